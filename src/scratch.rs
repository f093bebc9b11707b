//! Temporary folders of a process, each locked by its owner; the next process removes those of dead owners.
//!
//! | path | what it is |
//! |---|---|
//! | `BASE/run-RANDOM/` | the files of one process |
//! | `BASE/run-RANDOM.owner` | locked for as long as that process lives; it holds the process's id. It is removed after the folder |
//! | `BASE/gone-RANDOM-NUMBER/` | a dead process's folder that is being removed |
//! | `BASE/*.lock` | other lock files; removed if no process holds the lock |
//! | `BASE/lock` | locked while a folder is made, and while dead ones are looked for |
//!
//! `BASE` is `$FROSTMIRROR_HOME/scratch`, and `$FROSTMIRROR_HOME/cache/tmp` for files that are renamed into the cache. The
//! operating system's locks end with their process, even if it is killed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::durable;
use crate::process_lock::{LOCK_POLL_INTERVAL, LockOwner, ProcessLock, REPORT_WAIT_AFTER};

const RUN_PREFIX: &str = "run-";
const OWNER_SUFFIX: &str = ".owner";
const RETIRED_PREFIX: &str = "gone-";

/// Maximum time for the removal of a folder into which an ended child process or a thread may still write.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Interval between attempts to remove a folder.
const REMOVAL_RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Without lock support, a folder of this age counts as abandoned.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A folder that is removed when this value is dropped, or by the next process if this one is killed.
#[derive(Debug)]
pub struct ScratchFolder {
    // The order of fields is the drop order: the folder is removed while it is still locked.
    folder: TempDir,
    _owner_lock: OwnerLock,
}

/// The locked file of the living owner.
#[derive(Debug)]
struct OwnerLock {
    path: PathBuf,
    _lock: File,
}

impl ScratchFolder {
    /// Creates a folder below `base`, which is created if needed, and removes the folders of dead processes there. If
    /// another process does the same for long, `on_wait` is called once with that process.
    ///
    /// # Errors
    /// A file system error, if no folder can be created. A folder that cannot be removed is left to the next process.
    pub fn create(base: &Path, on_wait: &dyn Fn(&LockOwner)) -> io::Result<ScratchFolder> {
        durable::make_folder(base)?;
        let scratch = {
            let _base_lock = wait_for_base(&base.join("lock"), on_wait)?;
            retire_abandoned(base);
            let folder = tempfile::Builder::new().prefix(RUN_PREFIX).tempdir_in(base)?;
            let owner = OwnerLock::create(folder.path())?;
            ScratchFolder { folder, _owner_lock: owner }
        };
        remove_retired(base);
        Ok(scratch)
    }

    /// Removes the folders of dead processes below `base`, if it exists and no other process does the same.
    pub fn remove_abandoned(base: &Path) {
        if !base.is_dir() {
            return;
        }
        let base_lock = ProcessLock::try_lock(&base.join("lock"), "");
        if matches!(base_lock, Ok(Ok(_))) {
            retire_abandoned(base);
            // Others need not wait for the removal.
            drop(base_lock);
            remove_retired(base);
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        let until = Instant::now() + REMOVAL_TIMEOUT;
        // A file that is created between the listing and the removal makes it fail. The writer is about to end.
        while let Err(error) = fs::remove_dir_all(self.folder.path()) {
            if error.kind() != io::ErrorKind::DirectoryNotEmpty || Instant::now() >= until {
                break;
            }
            std::thread::sleep(REMOVAL_RETRY_INTERVAL);
        }
        // A child of a killed process may have written into its folder after this process removed it.
        if let Some(base) = self.folder.path().parent() {
            ScratchFolder::remove_abandoned(base);
        }
    }
}

/// Waits for the lock of a base, which is held for a few renames only; `None` if the file system has no locks.
fn wait_for_base(path: &Path, on_wait: &dyn Fn(&LockOwner)) -> io::Result<Option<ProcessLock>> {
    let (began, mut reported) = (Instant::now(), false);
    loop {
        match ProcessLock::try_lock(path, "") {
            Ok(Ok(lock)) => return Ok(Some(lock)),
            Ok(Err(owner)) => {
                if !reported && began.elapsed() >= REPORT_WAIT_AFTER {
                    reported = true;
                    on_wait(&owner);
                }
                std::thread::sleep(LOCK_POLL_INTERVAL);
            }
            // Either the file system has no locks, or the file cannot be opened.
            Err(_) => return File::options().write(true).create(true).truncate(false).open(path).map(|_| None),
        }
    }
}

impl OwnerLock {
    fn create(folder: &Path) -> io::Result<OwnerLock> {
        let path = owner_file_path(folder);
        fs::write(&path, std::process::id().to_string())?;
        let file = File::options().read(true).write(true).open(&path)?;
        let _without_locks = file.try_lock().is_err();
        Ok(OwnerLock { path, _lock: file })
    }
}

impl Drop for OwnerLock {
    fn drop(&mut self) {
        // The next process removes a remaining file.
        let _stays = fs::remove_file(&self.path).is_err();
    }
}

fn owner_file_path(folder: &Path) -> PathBuf {
    let mut path = folder.as_os_str().to_owned();
    path.push(OWNER_SUFFIX);
    path.into()
}

/// Renames the folders of dead owners. The caller holds the lock of `base`, so no folder is created in the meantime.
fn retire_abandoned(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = entry.path();
        if let Some(id) = name.strip_prefix(RUN_PREFIX).filter(|_| !name.ends_with(OWNER_SUFFIX)) {
            let owner = owner_file_path(&path);
            if is_abandoned(&owner) {
                let _stays = fs::rename(&path, unused_retired_path(base, id)).is_err();
            }
        } else if name.ends_with(".lock") && is_abandoned(&path) {
            let _stays = fs::remove_file(&path).is_err();
        } else if name.starts_with(".part-") && is_older_than_limit(&path) {
            // Folders of versions without owner files.
            let _stays = fs::remove_file(&path).is_err();
        }
    }
}

/// Whether no process holds the lock. A folder without an owner file was being created when its process died.
fn is_abandoned(owner: &Path) -> bool {
    match File::options().read(true).write(true).open(owner) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(file) => match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(_)) => is_older_than_limit(owner),
        },
    }
}

fn is_older_than_limit(path: &Path) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|about| about.modified()).ok();
    modified.and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age > ABANDONED_AFTER)
}

/// A path for the folder `run-ID` of a dead process. An earlier folder of that name may be there still: a child process
/// that outlives its parent creates it again.
fn unused_retired_path(base: &Path, id: &str) -> PathBuf {
    let paths = (0_u32..).map(|number| base.join(format!("{RETIRED_PREFIX}{id}-{number}")));
    paths.into_iter().find(|path| !path.exists()).unwrap_or_else(|| base.join(format!("{RETIRED_PREFIX}{id}")))
}

fn remove_retired(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(RETIRED_PREFIX)) {
            // Another process may be removing it too; the next run removes the rest.
            let _stays = fs::remove_dir_all(entry.path()).is_err();
        }
    }
    remove_unneeded_owner_files(base);
}

/// Removes the owner files of dead processes whose folders are gone. If a folder stays, the next process tries again.
fn remove_unneeded_owner_files(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let folder = name.to_str().and_then(|name| name.strip_suffix(OWNER_SUFFIX));
        let Some(folder) = folder.filter(|folder| folder.starts_with(RUN_PREFIX)) else { continue };
        if !base.join(folder).exists() && is_abandoned(&entry.path()) {
            let _stays = fs::remove_file(entry.path()).is_err();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(base: &Path) -> Vec<String> {
        let entries = fs::read_dir(base).expect("list").flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_scratch_folder_is_removed_on_drop() {
        let base = tempfile::tempdir().expect("temporary folder");
        let scratch = ScratchFolder::create(base.path(), &|_| ()).expect("open");
        fs::write(scratch.path().join("file"), b"x").expect("write");
        assert!(owner_file_path(scratch.path()).is_file());
        drop(scratch);
        assert_eq!(names(base.path()), ["lock"]);
    }

    #[test]
    fn only_folders_of_dead_processes_are_removed() {
        let base = tempfile::tempdir().expect("temporary folder");
        let living = ScratchFolder::create(base.path(), &|_| ()).expect("open");
        fs::write(living.path().join("file"), b"x").expect("write");
        // The states that a killed process leaves: with an unlocked owner file, without one, and half removed.
        fs::create_dir_all(base.path().join("run-dead/deep/er")).expect("make");
        fs::write(base.path().join("run-dead.owner"), b"1").expect("write");
        fs::create_dir(base.path().join("run-early")).expect("make");
        fs::write(base.path().join("run-late.owner"), b"1").expect("write");
        fs::create_dir_all(base.path().join("gone-half/deep")).expect("make");
        fs::create_dir(base.path().join("mine")).expect("make");
        let second = ScratchFolder::create(base.path(), &|_| ()).expect("open");
        assert!(living.path().join("file").is_file() && second.path().is_dir());
        drop((living, second));
        assert_eq!(names(base.path()), ["lock", "mine"]);
    }

    #[test]
    fn a_folder_that_a_child_of_a_dead_process_creates_again_is_removed_too() {
        let base = tempfile::tempdir().expect("temporary folder");
        let dead = base.path().join("run-dead");
        let write_file = || {
            fs::create_dir_all(dead.join("deep")).expect("make");
            fs::write(dead.join("deep/file"), b"x").expect("write");
        };
        write_file();
        fs::write(base.path().join("run-dead.owner"), b"1").expect("write");
        // An earlier process could not remove the folder.
        fs::create_dir_all(base.path().join("gone-dead-0/deep")).expect("make");
        let mine = ScratchFolder::create(base.path(), &|_| ()).expect("open");
        assert!(!dead.exists());
        write_file();
        drop(mine);
        assert_eq!(names(base.path()), ["lock"]);
        write_file();
        ScratchFolder::remove_abandoned(base.path());
        assert_eq!(names(base.path()), ["lock"]);
    }

    #[test]
    fn the_owner_file_stays_until_the_folder_is_gone() {
        let base = tempfile::tempdir().expect("temporary folder");
        fs::create_dir(base.path().join("run-dead")).expect("make");
        fs::write(base.path().join("run-dead.owner"), b"1").expect("write");
        retire_abandoned(base.path());
        assert_eq!(names(base.path()), ["gone-dead-0", "run-dead.owner"]);
        fs::create_dir(base.path().join("run-dead")).expect("make");
        remove_retired(base.path());
        assert_eq!(names(base.path()), ["run-dead", "run-dead.owner"], "the next process tries again");
    }

    #[test]
    fn concurrent_scratch_folders_do_not_remove_each_other() {
        let base = tempfile::tempdir().expect("temporary folder");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let scratch = ScratchFolder::create(base.path(), &|_| ()).expect("open");
                        fs::write(scratch.path().join("file"), b"x").expect("its own folder stays");
                    }
                });
            }
        });
        assert_eq!(names(base.path()), ["lock"]);
    }
}
