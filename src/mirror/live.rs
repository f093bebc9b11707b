//! Live mode's files on disk. Files that were fetched for a client become part of the mirror and are recorded as live
//! mode's.
//!
//! | file | purpose |
//! |---|---|
//! | `records` | the records of the lineage: read, appended, rewritten |
//! | `partial` | downloads in progress, and leftovers of dead servers |
//! | `batch` | the fetched files of a batch |
//! | `commit` | commits a batch |
//! | `merge_crates` | decides which crates of a batch to store, and merges their index lines |
//! | `dist_files` | the same for dist files |
//!
//! [`super::layout`] describes the on-disk format. This module has no network access. The caller has the bytes in a
//! file of `live/partial/`, and has checked their digest against upstream's index or manifest.

use std::path::PathBuf;

use jiff::Timestamp;

use super::summary::SummaryLoss;
use super::transaction;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::index_line::IndexLine;
use crate::safe_path::SafePath;

mod batch;
mod merge_crates;
mod records;
mod partial;
mod commit;
mod dist_files;

pub use super::item::ItemId;
pub use super::summary::LiveTotals;
pub use batch::Rejection;
pub use commit::StoreOutcome;
pub use partial::PartialFile;
pub use records::{LiveLineage, LiveRecord, Tailer};

/// The input's name of live mode's lineage in a snapshot.
pub(super) const LIVE_INPUT: &str = "live mirror";

/// A fetched crate, whose bytes have the digest of its line.
#[derive(Clone, Debug)]
pub struct FetchedCrate {
    /// The crate.
    pub id: CrateId,
    /// Digest of the file's bytes.
    pub sha256: Sha256,
    /// Size of the file in bytes.
    pub size: u64,
    /// The file, in `live/partial/`. It is gone after the commit.
    pub file: PathBuf,
    /// Upstream's index line.
    pub line: IndexLine,
    /// When upstream's index was read.
    pub read_at: Timestamp,
}

/// A changed line of upstream, for a version that may be stored. If the version is not stored, or the line contradicts
/// it, the update is dropped.
#[derive(Clone, Debug)]
pub struct IndexUpdate {
    /// Upstream's line.
    pub line: IndexLine,
    /// When upstream's index was read.
    pub read_at: Timestamp,
}

/// A fetched dist file, whose bytes have the digest that upstream states.
#[derive(Clone, Debug)]
pub struct FetchedDistFile {
    /// Its path in the mirror.
    pub path: SafePath,
    /// Digest of the file's bytes.
    pub sha256: Sha256,
    /// Size of the file in bytes.
    pub size: u64,
    /// The file, in `live/partial/`. It is gone after the commit.
    pub file: PathBuf,
    /// When it was read from upstream.
    pub read_at: Timestamp,
}

/// A batch failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file system operation failed.
    #[error(transparent)]
    Store(#[from] transaction::Error),
    /// `manifest.json` is lost beside files of earlier imports.
    #[error(transparent)]
    SummaryLost(#[from] SummaryLoss),
}
