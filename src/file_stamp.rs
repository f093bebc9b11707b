//! Recognizes a changed file by its metadata.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::durable;

/// Identifies a version of a file: equal stamps of one path mean equal bytes, unless the file is younger than the
/// resolution of the file system's clock (see [`FileStamp::is_settled`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change of the content.
    pub modified: Option<SystemTime>,
    /// Nanoseconds since 1970 of the last change of content or metadata (ctime) where available, else of the content.
    changed: i128,
    /// Device and inode.
    identity: (u64, u64),
}

impl FileStamp {
    /// The current stamp of the file at a path; `None` if there is none. Follows links: equal stamps identify the same
    /// file.
    ///
    /// # Errors
    /// The file system's.
    pub fn read(path: &Path) -> io::Result<Option<FileStamp>> {
        Ok(durable::if_exists(fs::metadata(path))?.map(|metadata| FileStamp::of(&metadata)))
    }

    /// The stamp of content that exists only in memory and never changes.
    pub fn in_memory(size: u64) -> FileStamp {
        FileStamp { size, modified: None, changed: 0, identity: (0, 0) }
    }

    /// The stamp of a file with this metadata.
    pub fn of(metadata: &fs::Metadata) -> FileStamp {
        let modified = metadata.modified().ok();
        let (changed, identity) = identity(metadata, modified);
        FileStamp { size: metadata.len(), modified, changed, identity }
    }

    /// Whether the file is old enough that a later change certainly changes its stamp. File systems count time in steps
    /// of some milliseconds (FAT: two seconds).
    pub fn is_settled(&self, now: SystemTime) -> bool {
        const STEP: i128 = 2_000_000_000;
        nanoseconds(now) - self.changed > STEP
    }

    /// A strong entity tag. Files are never written in place, so different content has another inode or time. A content
    /// hash would mean hashing gigabytes before the first byte is sent.
    pub fn etag(&self) -> String {
        format!("\"{:x}-{:x}-{:x}\"", self.size, self.changed, self.identity.1)
    }
}

#[cfg(unix)]
fn identity(metadata: &fs::Metadata, _: Option<SystemTime>) -> (i128, (u64, u64)) {
    use std::os::unix::fs::MetadataExt;
    (i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec()), (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata, modified: Option<SystemTime>) -> (i128, (u64, u64)) {
    (modified.map_or(0, nanoseconds), (0, 0))
}

fn nanoseconds(time: SystemTime) -> i128 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_change_with_the_file() {
        let folder = tempfile::tempdir().expect("folder");
        let stamp = || FileStamp::read(&folder.path().join("x")).expect("no error").expect("there");
        assert!(FileStamp::read(&folder.path().join("x")).is_ok_and(|none| none.is_none()));
        fs::write(folder.path().join("x"), "one").expect("write");
        let first = stamp();
        assert_eq!(first.etag(), stamp().etag());
        let now = SystemTime::now();
        assert!(!first.is_settled(now) && first.is_settled(now + std::time::Duration::from_secs(10)));
        fs::write(folder.path().join("y"), "two").expect("write");
        fs::rename(folder.path().join("y"), folder.path().join("x")).expect("rename");
        assert_ne!(first.etag(), stamp().etag());
    }
}
