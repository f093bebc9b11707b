//! What frees space on the full disk of a mirror.

use super::error::Error;
use super::needed_files::Lineages;
use crate::mirror::disk_reserve;
use crate::mirror::layout::{self, Layout};
use crate::mirror::lock;

/// What frees space on the full disk of a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceAdvice {
    /// The mirror has no files that a collection could remove.
    LargerDisk,
    /// A collection works.
    Collect,
    /// A collection may need space that is not reserved.
    CollectWithoutReserve,
    /// A collection refuses to run before a rebuild.
    RebuildFirst,
    /// An interrupted transaction needs space before anything else can run.
    OtherFiles,
    /// This process cannot read the state of the mirror.
    Unreadable,
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
            Ok(_) if disk_reserve::missing_reserve(layout).is_some() => SpaceAdvice::CollectWithoutReserve,
            Ok(_) => SpaceAdvice::Collect,
            Err(Error::Lock(lock::Error::Layout(error)) | Error::Layout(error)) if !is_rebuildable(&error) => {
                SpaceAdvice::Unreadable
            }
            Err(Error::Store(_) | Error::Lock(lock::Error::Io { .. })) => SpaceAdvice::Unreadable,
            Err(_) => SpaceAdvice::RebuildFirst,
        }
    }
}

/// Whether a rebuild restores the mirror's layout version.
fn is_rebuildable(error: &layout::Error) -> bool {
    matches!(error, layout::Error::Unreadable { .. })
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;

    use super::*;
    use crate::mirror::summary::MirrorSummary;

    #[test]
    fn a_ledger_that_cannot_be_read_is_no_reason_for_a_rebuild() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        assert_eq!(SpaceAdvice::for_mirror(&layout), SpaceAdvice::LargerDisk);
        fs::create_dir_all(layout.private()).expect("folder");
        fs::write(layout.summary(), MirrorSummary::default().with_counts(Default::default()).render()).expect("write");
        assert_eq!(SpaceAdvice::for_mirror(&layout), SpaceAdvice::CollectWithoutReserve);
        fs::write(layout.reserve(), vec![1; 1 << 20]).expect("write");
        assert_eq!(SpaceAdvice::for_mirror(&layout), SpaceAdvice::Collect);
        // The system refuses to list a link to itself.
        std::os::unix::fs::symlink(layout.ledger(), layout.ledger()).expect("link");
        assert_eq!(SpaceAdvice::for_mirror(&layout), SpaceAdvice::Unreadable);
    }
}
