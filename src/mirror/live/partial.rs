//! Files under way: each is locked by the server that writes it, so that those of dead servers are known.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::durable;
use crate::mirror::layout::Layout;
use crate::mirror::lock::AddGuard;
use crate::mirror::transaction::{Error, failed};

/// How often a new name is tried for before the file system is believed to refuse.
const MAX_TRIES: usize = 16;

/// A new file in `live/partial/`, locked by this process. Dropped, it is gone, unless it was placed.
#[derive(Debug)]
pub struct PartialFile(NamedTempFile);

impl PartialFile {
    /// An empty file. Needs no lock on the mirror.
    ///
    /// # Errors
    /// The file system's.
    pub fn create(layout: &Layout) -> Result<PartialFile, Error> {
        let folder = layout.live_partial();
        durable::make_folder(&folder).map_err(failed("make the folder", &folder))?;
        for _ in 0..MAX_TRIES {
            let made = tempfile::Builder::new().prefix("").rand_bytes(12).tempfile_in(&folder);
            let file = made.map_err(failed("write", &folder))?;
            // Between its making and its locking somebody may have taken it for debris.
            if file.as_file().try_lock().is_ok() && file.path().exists() {
                return Ok(PartialFile(file));
            }
        }
        Err(failed("lock", &folder)(io::ErrorKind::WouldBlock.into()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The file, open for reading and writing.
    pub fn file(&self) -> &File {
        self.0.as_file()
    }
}

impl AddGuard {
    /// Removes the files that no living server writes or waits to place. Returns how many they were.
    ///
    /// # Errors
    /// The file system's.
    pub fn remove_stale_partial_files(&mut self) -> Result<u64, Error> {
        let mut removed = 0;
        for path in list_partial_files(&self.layout)? {
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

fn list_partial_files(layout: &Layout) -> Result<Vec<PathBuf>, Error> {
    let folder = layout.live_partial();
    let entries = match fs::read_dir(&folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("list", &folder))?,
    };
    entries.map(|entry| Ok(entry.map_err(failed("list", &folder))?.path())).collect()
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
        let mut guard = lock_for_adding(&layout, Duration::ZERO, &me, &NullSink).expect("free");
        assert_eq!(guard.remove_stale_partial_files().expect("swept"), 1);
        assert!(!dead.exists() && one.path().exists());
        let path = two.path().to_owned();
        drop(two);
        assert!(!path.exists());
        assert_eq!(guard.remove_stale_partial_files().expect("swept"), 0);
    }
}
