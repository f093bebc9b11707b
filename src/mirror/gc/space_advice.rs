//! What frees space on the full disk of a mirror.

use super::error::Error;
use super::needed_files::Lineages;
use crate::mirror::layout::Layout;
use crate::mirror::lock;

/// What frees space on the full disk of a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceAdvice {
    /// The mirror has no files that a collection could remove.
    LargerDisk,
    /// A collection works.
    Collect,
    /// A collection refuses to run before a rebuild.
    RebuildFirst,
    /// An interrupted transaction needs space before anything else can run.
    OtherFiles,
}

impl SpaceAdvice {
    /// Determines what frees space for the mirror in its present state. Reads all records.
    pub fn for_mirror(layout: &Layout) -> SpaceAdvice {
        if layout.journal().exists() {
            return SpaceAdvice::OtherFiles;
        }
        let has_files = layout.summary().exists() || layout.find_stored_files().is_ok_and(|found| found.is_some());
        if !has_files {
            return SpaceAdvice::LargerDisk;
        }
        match lock::require_mirror(layout).map_err(Error::from).and_then(|()| Lineages::read_complete(layout)) {
            Ok(_) => SpaceAdvice::Collect,
            Err(_) => SpaceAdvice::RebuildFirst,
        }
    }
}
