//! Disk space reserved for garbage collections, so that a full disk can be cleaned.
//!
//! `.frostmirror/reserve` has allocated blocks and no bytes, if the file system supports that. Every addition to a
//! mirror renews it. A collection releases the reserve first if the disk is nearly full, and restores it at its end.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::guard::WriteGuard;
use super::layout::Layout;
use crate::durable;
use crate::error_chain::causes;

/// Bytes that a collection may need in addition to its own lists.
const MIN_RESERVE: u64 = 1 << 20;

/// A smaller reserve is not worth a file.
const MIN_USEFUL: u64 = 64 << 10;

/// After an addition, the reserve is at most this fraction (1/64) of the free space.
pub(super) const SHARE_WHEN_ADDING: u64 = 64;

/// After a collection, which has just freed space, the reserve is at most this fraction (1/4) of the free space.
pub(super) const SHARE_AFTER_GC: u64 = 4;

/// With less than this many bytes free, a collection deletes before it writes.
const LOW_SPACE: u64 = 16 << 20;

/// Whether the mirror's disk is nearly full; false if the system does not say.
pub(super) fn is_low_on_space(layout: &Layout) -> bool {
    durable::free_space(layout.root()).ok().flatten().is_some_and(|free| free < LOW_SPACE)
}

/// Creates or renews the reserve, of at most 1/`share` of the free space. Errors are ignored because nothing depends on
/// the reserve.
pub(super) fn maintain(guard: &WriteGuard, share: u64) {
    let layout = &guard.layout;
    let path = layout.reserve();
    let lists = [layout.live_records(), layout.pending_deletions(), layout.dist_files(), layout.summary()];
    let lists: u64 = lists.iter().filter_map(|path| fs::metadata(path).ok()).map(|about| about.len()).sum();
    let wanted = MIN_RESERVE + 2 * lists;
    if fs::metadata(&path).is_ok_and(|about| held(&about) >= wanted / 2) {
        return;
    }
    let Ok(Some(free)) = durable::free_space(layout.root()) else { return };
    if free / share < MIN_USEFUL {
        return;
    }
    let made = File::create(&path).and_then(|file| durable::allocate(&file, wanted.min(free / share)));
    if made.is_err() {
        let _stays = fs::remove_file(&path).is_err();
    }
}

/// Releases the reserve. Returns whether there was one.
pub(super) fn release(guard: &WriteGuard) -> bool {
    fs::remove_file(guard.layout.reserve()).is_ok()
}

/// Whether an error or one of its causes says that the disk or the user's quota is full.
pub(super) fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<io::Error>().is_some_and(durable::is_disk_full))
}

/// The mirror that contains the file `path`.
pub(super) fn mirror_of_file(path: &Path) -> Option<&Path> {
    path.ancestors().find(|above| above.file_name().is_some_and(|name| name == ".frostmirror"))?.parent()
}

#[cfg(unix)]
fn held(about: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    about.blocks().saturating_mul(512)
}

#[cfg(not(unix))]
fn held(about: &fs::Metadata) -> u64 {
    about.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_created_and_released() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        fs::create_dir_all(layout.private()).expect("folder");
        let guard = WriteGuard::for_test(&layout);
        assert!(!release(&guard));
        maintain(&guard, SHARE_WHEN_ADDING);
        let free = durable::free_space(folder.path()).expect("asked").expect("said");
        assert_eq!(layout.reserve().exists(), free / SHARE_WHEN_ADDING >= MIN_USEFUL);
        maintain(&guard, SHARE_WHEN_ADDING);
        assert_eq!(release(&guard), free / SHARE_WHEN_ADDING >= MIN_USEFUL);
        assert!(!layout.reserve().exists());
    }

    #[test]
    fn the_mirror_of_a_state_file_is_found() {
        assert_eq!(mirror_of_file(Path::new("/m/.frostmirror/staging/3")), Some(Path::new("/m")));
        assert_eq!(mirror_of_file(Path::new("/m/crates/a-1.0.0.crate")), None);
    }
}
