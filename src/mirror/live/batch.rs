//! A batch of fetched files, and the reasons to reject some of them.

use std::fs;
use std::path::Path;

use jiff::Timestamp;

use super::{FetchedCrate, FetchedDistFile, IndexUpdate, ItemId};

/// The content of a batch.
pub(super) struct Batch {
    pub(super) crates: Vec<FetchedCrate>,
    pub(super) index_updates: Vec<IndexUpdate>,
    pub(super) dist_files: Vec<FetchedDistFile>,
    pub(super) now: Timestamp,
}

/// A rejected item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The item.
    pub item: ItemId,
    /// Why, as a lowercase sentence without a final period.
    pub reason: String,
}

/// Whether the downloaded file exists with its full length.
pub(super) fn is_complete_file(file: &Path, size: u64) -> bool {
    fs::symlink_metadata(file).is_ok_and(|about| about.is_file() && about.len() == size)
}
