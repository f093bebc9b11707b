//! The guards of a mirror's lock. The files below take them as a proof that this process has the lock.

use std::fs::{self, File};

use super::layout::Layout;

/// The lock for changes of a mirror. Dropping it releases the lock.
#[derive(Debug)]
pub struct WriteGuard {
    pub(super) layout: Layout,
    _lock: FileLock,
}

/// The shared lock for reading a mirror that must not change. Dropping it releases the lock.
#[derive(Debug)]
pub struct ReadGuard {
    pub(super) layout: Layout,
    _lock: Option<FileLock>,
}

/// The OS lock, released on drop.
#[derive(Debug)]
pub(super) struct FileLock {
    layout: Layout,
    file: File,
    /// The text that this process wrote to the holder file, if that was possible.
    holder_text: Option<Vec<u8>>,
}

impl WriteGuard {
    /// The guard of the mirror that this process has locked.
    pub(super) fn new(lock: FileLock) -> WriteGuard {
        WriteGuard { layout: lock.layout.clone(), _lock: lock }
    }

    /// A guard without a lock, of a folder that only one test knows.
    #[cfg(test)]
    pub(super) fn for_test(layout: &Layout) -> WriteGuard {
        WriteGuard::new(FileLock::new(layout, tempfile::tempfile().expect("temporary file"), None))
    }

    /// The mirror, which only this process changes.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

impl ReadGuard {
    /// The guard of a mirror. Without a lock, it is on a read-only file system without a lock file: no process can change
    /// it.
    pub(super) fn new(layout: &Layout, lock: Option<FileLock>) -> ReadGuard {
        ReadGuard { layout: layout.clone(), _lock: lock }
    }

    /// The mirror, which does not change.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

impl FileLock {
    /// The locked `file`, and the text that this process wrote to the holder file.
    pub(super) fn new(layout: &Layout, file: File, holder_text: Option<Vec<u8>>) -> FileLock {
        FileLock { layout: layout.clone(), file, holder_text }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Of several processes that share the lock, the file names the last one, which removes it.
        let ours = self.holder_text.is_some() && fs::read(self.layout.holder()).ok() == self.holder_text;
        // The name only informs waiting processes; the next holder replaces it.
        let _stays = ours && fs::remove_file(self.layout.holder()).is_err();
        // Closing the file is not enough, because a child process has a copy of it between fork and exec.
        let _closed_instead = self.file.unlock().is_err();
    }
}
