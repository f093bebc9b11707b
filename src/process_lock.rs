//! Lock files that one process at a time holds, with the owner's identity. The operating system's locks end with their
//! process.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

/// A lock that this process holds until this value is dropped.
#[derive(Debug)]
pub struct ProcessLock(File);

/// The process that holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockOwner(Option<u32>);

impl LockOwner {
    /// Whether another process holds the lock, as far as is known.
    pub fn is_another(self) -> bool {
        self.0 != Some(std::process::id())
    }
}

impl ProcessLock {
    /// Locks the file at `path`, creating it if needed; returns the owner if another process holds it.
    ///
    /// # Errors
    /// A file system error; `Unsupported` if the file system has no locks.
    pub fn try_lock(path: &Path) -> io::Result<Result<ProcessLock, LockOwner>> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(read_owner(path))),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The content only informs waiting processes.
        let _unnamed = fs::write(path, std::process::id().to_string()).is_err();
        Ok(Ok(ProcessLock(file)))
    }
}

impl Drop for ProcessLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process has a copy of it between fork and exec.
        let _closed_instead = self.0.unlock().is_err();
    }
}

fn read_owner(path: &Path) -> LockOwner {
    LockOwner(fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()))
}

impl fmt::Display for LockOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "the process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_fails_and_names_the_owner() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("lock");
        let first = ProcessLock::try_lock(&path).expect("lock").expect("free");
        let owner = ProcessLock::try_lock(&path).expect("look").expect_err("locked");
        assert_eq!(owner.to_string(), format!("the process {}", std::process::id()));
        drop(first);
        ProcessLock::try_lock(&path).expect("lock").expect("free again");
    }
}
