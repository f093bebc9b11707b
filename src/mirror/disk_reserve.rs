//! Disk space reserved for garbage collections, so that a full disk can be cleaned.
//!
//! `.frostmirror/reserve` has bytes that are neither zero nor compressible, so a copy of the mirror, also one that skips
//! zeros, reserves as much. Every addition to a mirror, and every collection, renews it. A collection releases the
//! reserve first if the disk is nearly full, and restores it at its end. So does a rebuild, with the space that is left.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::guard::WriteGuard;
use super::layout::Layout;
use crate::bundle::sanitize::format_size;
use crate::durable;
use crate::error_chain::causes;

/// Bytes that a collection may need in addition to its own lists.
const MIN_RESERVE: u64 = 1 << 20;

/// The smallest useful reserve in bytes.
const MIN_USEFUL: u64 = 64 << 10;

/// Bytes that are written at a time.
const CHUNK_SIZE: usize = 64 << 10;

/// After an addition, the reserve is at most this fraction (1/64) of the free space.
pub(super) const SHARE_WHEN_ADDING: u64 = 64;

/// After a collection, which has just freed space, the reserve is at most this fraction (1/4) of the free space.
pub(super) const SHARE_AFTER_GC: u64 = 4;

/// After a command that released the reserve and freed no other space, the reserve may use all of the free space.
pub(super) const SHARE_OF_RELEASED: u64 = 1;

/// On a small disk, the smallest useful reserve may be this fraction (1/8) of the free space.
const MAX_SHARE: u64 = 8;

/// With less than this many bytes free, a collection deletes before it writes.
const LOW_SPACE: u64 = 16 << 20;

/// Whether the mirror's disk is nearly full; false if the system does not say.
pub(super) fn is_low_on_space(layout: &Layout) -> bool {
    durable::free_space(layout.root()).ok().flatten().is_some_and(|free| free < LOW_SPACE)
}

/// Creates or renews the reserve, of at most 1/`share` of the free space. Errors are ignored, because [`missing_reserve`]
/// reports a mirror without a reserve.
pub(super) fn maintain(guard: &WriteGuard, share: u64) {
    let layout = &guard.layout;
    let Ok(Some(free)) = durable::free_space(layout.root()) else { return };
    let lists = [layout.live_records(), layout.pending_deletions(), layout.dist_files(), layout.summary()];
    let lists: u64 = lists.iter().filter_map(|path| fs::metadata(path).ok()).map(|about| about.len()).sum();
    let wanted = MIN_RESERVE.saturating_add(lists.saturating_mul(2));
    let smallest = if free / MAX_SHARE >= MIN_USEFUL { MIN_USEFUL } else { 0 };
    let mut size = wanted.min((free / share).max(smallest));
    if allocated_size(layout) >= size / 2 {
        return;
    }
    let path = layout.reserve();
    // The file system may need a part of the free space itself.
    while size >= MIN_USEFUL && File::create(&path).and_then(|file| fill(file, size)).is_err() {
        let _stays = fs::remove_file(&path).is_err();
        size /= 2;
    }
}

/// Writes `size` bytes that no file system or copy tool stores in less space.
fn fill(mut file: File, size: u64) -> io::Result<()> {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut rest = usize::try_from(size).unwrap_or(usize::MAX);
    let mut chunk = Vec::with_capacity(CHUNK_SIZE);
    while rest > 0 {
        chunk.clear();
        while chunk.len() < CHUNK_SIZE {
            // Marsaglia's xorshift64.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            chunk.extend_from_slice(&(state | 0x0101_0101_0101_0101).to_le_bytes());
        }
        chunk.truncate(rest);
        file.write_all(&chunk)?;
        rest -= chunk.len();
    }
    Ok(())
}

/// Bytes that the disk has allocated for the reserve; 0 if there is none.
fn allocated_size(layout: &Layout) -> u64 {
    let path = layout.reserve();
    let Ok(about) = fs::metadata(&path) else { return 0 };
    match allocated_blocks(&about) {
        // Some file systems do not report blocks. A file without blocks has only zeros.
        0 if starts_with_content(&path) => about.len(),
        allocated => allocated.min(about.len()),
    }
}

fn starts_with_content(path: &Path) -> bool {
    let mut first = [0];
    File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok() && first != [0]
}

/// Why a collection may fail once the disk of this mirror is full, and what to do; `None` if space is reserved, if the
/// mirror is empty, or if this process cannot write to it.
pub fn missing_reserve(layout: &Layout) -> Option<String> {
    let is_reserved = allocated_size(layout) >= MIN_USEFUL;
    if is_reserved || !layout.summary().exists() || durable::check_writable(&layout.private()).is_err() {
        return None;
    }
    let free = durable::free_space(layout.root()).ok().flatten()?;
    let needed = MIN_USEFUL * MAX_SHARE;
    let command = layout.fill_in("run `cargo frostmirror gc --mirror DIR`, which reserves some");
    let action = if free < needed { format!("free {} there, then {command}", format_size(needed)) } else { command };
    Some(format!(
        "the disk of the mirror has no space reserved for `gc`, which may fail once that disk is full: {action}"
    ))
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
fn allocated_blocks(about: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    about.blocks().saturating_mul(512)
}

#[cfg(not(unix))]
fn allocated_blocks(about: &fs::Metadata) -> u64 {
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
        assert_eq!(missing_reserve(&layout), None, "the mirror is empty");
        fs::write(layout.summary(), "{}").expect("write");
        let warning = missing_reserve(&layout).expect("no reserve");
        assert!(warning.contains(&layout.fill_in("`cargo frostmirror gc --mirror DIR`")), "{warning}");
        for _ in 0..2 {
            maintain(&guard, SHARE_WHEN_ADDING);
            assert!(allocated_size(&layout) >= MIN_USEFUL);
            assert_eq!(missing_reserve(&layout), None);
        }
        assert!(release(&guard));
        assert!(!layout.reserve().exists());
    }

    /// What `cp` makes of a file with allocated blocks and without bytes, and a file of zeros.
    #[cfg(unix)]
    #[test]
    fn a_reserve_without_blocks_is_filled_again() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        fs::create_dir_all(layout.private()).expect("folder");
        fs::write(layout.summary(), "{}").expect("write");
        let guard = WriteGuard::for_test(&layout);
        for length in [0, 1 << 20] {
            File::create(layout.reserve()).and_then(|file| file.set_len(length)).expect("created");
            assert_eq!(allocated_size(&layout), 0);
            assert!(missing_reserve(&layout).is_some());
            maintain(&guard, SHARE_WHEN_ADDING);
            let content = fs::read(layout.reserve()).expect("read");
            assert!(content.len() as u64 >= MIN_USEFUL && content.iter().all(|byte| *byte != 0));
            assert_eq!(missing_reserve(&layout), None);
        }
    }

    #[test]
    fn the_mirror_of_a_state_file_is_found() {
        assert_eq!(mirror_of_file(Path::new("/m/.frostmirror/staging/3")), Some(Path::new("/m")));
        assert_eq!(mirror_of_file(Path::new("/m/crates/a-1.0.0.crate")), None);
    }
}
