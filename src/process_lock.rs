//! Lock files that one process at a time holds, with the owner's identity. The operating system's locks end with their
//! process.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// A shorter wait for a lock is not reported. Then the owner has also written who it is.
pub const REPORT_WAIT_AFTER: Duration = Duration::from_millis(200);

/// Interval between attempts to take a lock. A wait is reported at such an attempt, within half a second.
pub const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Maximum length of a verb in a lock file.
const MAX_VERB_LENGTH: usize = 20;

/// A lock that this process holds until this value is dropped.
#[derive(Debug)]
pub struct ProcessLock(File);

/// The process that holds a lock, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockOwner {
    pid: Option<u32>,
    verb: Option<String>,
}

impl LockOwner {
    /// Whether another process holds the lock, as far as is known.
    pub fn is_another(&self) -> bool {
        self.pid != Some(std::process::id())
    }
}

impl ProcessLock {
    /// Locks the file at `path` for `verb`, e.g. `fetch`, creating it if needed; returns the owner if another process
    /// holds it.
    ///
    /// # Errors
    /// A file system error; `Unsupported` if the file system has no locks.
    pub fn try_lock(path: &Path, verb: &str) -> io::Result<Result<ProcessLock, LockOwner>> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(read_owner(path))),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The content only informs waiting processes.
        let _unnamed = fs::write(path, format!("{} {verb}", std::process::id())).is_err();
        Ok(Ok(ProcessLock(file)))
    }

    /// Waits for the lock; `None` if the file system has no locks. `report` is called repeatedly with the owner during a
    /// long wait.
    ///
    /// # Errors
    /// A file system error.
    pub async fn wait(path: &Path, verb: &str, mut report: impl FnMut(LockOwner)) -> io::Result<Option<ProcessLock>> {
        let started = Instant::now();
        loop {
            match ProcessLock::try_lock(path, verb) {
                Ok(Ok(lock)) => return Ok(Some(lock)),
                Ok(Err(owner)) if started.elapsed() >= REPORT_WAIT_AFTER => report(owner),
                Ok(Err(_)) => {}
                Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(None),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(LOCK_POLL_INTERVAL).await;
        }
    }
}

impl Drop for ProcessLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process has a copy of it between fork and exec.
        let _closed_instead = self.0.unlock().is_err();
    }
}

fn read_owner(path: &Path) -> LockOwner {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut terms = text.split_whitespace();
    let pid = terms.next().and_then(|word| word.parse().ok());
    // Any process can write the file.
    let is_verb = |word: &&str| word.len() <= MAX_VERB_LENGTH && word.bytes().all(|byte| byte.is_ascii_lowercase());
    LockOwner { pid, verb: terms.next().filter(is_verb).map(str::to_owned) }
}

impl fmt::Display for LockOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.verb, self.pid) {
            (Some(verb), Some(pid)) => write!(f, "`{verb}` with pid {pid}"),
            (None, Some(pid)) => write!(f, "the process with pid {pid}"),
            (_, None) => f.write_str("another process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_reported_within_half_a_second() {
        assert!(REPORT_WAIT_AFTER + LOCK_POLL_INTERVAL <= Duration::from_millis(500));
    }

    #[test]
    fn a_second_lock_fails_and_names_the_owner() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("lock");
        let first = ProcessLock::try_lock(&path, "fetch").expect("lock").expect("free");
        let owner = ProcessLock::try_lock(&path, "up").expect("look").expect_err("locked");
        assert_eq!(owner.to_string(), format!("`fetch` with pid {}", std::process::id()));
        for (text, shown) in [
            ("4711", "the process with pid 4711"),
            ("4711 \u{1b}[2J", "the process with pid 4711"),
            ("x fetch", "another process"),
            ("", "another process"),
        ] {
            fs::write(&path, text).expect("write");
            assert_eq!(read_owner(&path).to_string(), shown);
        }
        drop(first);
        ProcessLock::try_lock(&path, "up").expect("lock").expect("free again");
    }
}
