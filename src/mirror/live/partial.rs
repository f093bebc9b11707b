//! Downloads in progress. The server that writes a file locks it, so leftovers of dead servers can be detected.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::durable;
use crate::mirror::disk;
use crate::mirror::guard::WriteGuard;
use crate::mirror::layout::Layout;
use crate::mirror::transaction::{Error, failed};

/// Maximum number of attempts to create a file with a new name.
const MAX_TRIES: usize = 16;

/// A new file in `live/partial/`, locked by this process. Dropping it deletes the file, unless it was committed.
#[derive(Debug)]
pub struct PartialFile(NamedTempFile);

impl PartialFile {
    /// Creates an empty file. Does not need the mirror's lock.
    ///
    /// # Errors
    /// A file system operation failed.
    pub fn create(layout: &Layout) -> Result<PartialFile, Error> {
        let folder = layout.live_partial();
        durable::make_folder(&folder).map_err(failed("make the folder", &folder))?;
        for _ in 0..MAX_TRIES {
            let made = tempfile::Builder::new().prefix("").rand_bytes(12).tempfile_in(&folder);
            let file = made.map_err(failed("write", &folder))?;
            // Between creation and locking, another process may have removed it as a leftover.
            if file.as_file().try_lock().is_ok() && file.path().exists() {
                return Ok(PartialFile(file));
            }
        }
        Err(failed("lock", &folder)(io::ErrorKind::WouldBlock.into()))
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The file, open for reading and writing.
    pub fn file(&self) -> &File {
        self.0.as_file()
    }
}

impl WriteGuard {
    /// Removes files that no running server writes or waits to commit. Returns their number.
    ///
    /// # Errors
    /// A file system operation failed.
    pub fn remove_stale_partial_files(&self) -> Result<u64, Error> {
        let mut removed = 0;
        let folder = self.layout.live_partial();
        for path in disk::read_names(&folder)?.map(|name| folder.join(name)) {
            let Ok(file) = File::open(&path) else { continue };
            if file.try_lock().is_err() {
                continue;
            }
            match fs::remove_file(&path) {
                Ok(()) => removed += 1,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(failed("remove", &path)(source)),
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::NullSink;
    use crate::mirror::lock::{Holder, lock_for_adding};

    #[test]
    fn only_unlocked_partial_files_are_removed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        let (one, two) = (PartialFile::create(&layout).expect("made"), PartialFile::create(&layout).expect("made"));
        assert_ne!(one.path(), two.path());
        let dead = layout.live_partial().join("dead");
        fs::write(&dead, "x").expect("write");
        let me = Holder { pid: 1, host: String::new(), verb: String::new(), since: String::new() };
        let guard = lock_for_adding(&layout, Duration::ZERO, &me, &NullSink).expect("free");
        assert_eq!(guard.remove_stale_partial_files().expect("swept"), 1);
        assert!(!dead.exists() && one.path().exists());
        let path = two.path().to_owned();
        drop(two);
        assert!(!path.exists());
        assert_eq!(guard.remove_stale_partial_files().expect("swept"), 0);
    }
}
