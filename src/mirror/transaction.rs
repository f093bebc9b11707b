//! Transactions on the mirror's files: staging, bulk sync, commit by rename, and rollback when a later step fails.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::layout::Layout;
use crate::durable;

/// A failed file operation, with its path.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} `{}`", path.display())]
pub struct Error {
    what: &'static str,
    path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

impl Error {
    /// The mirror whose disk is full, if that is the cause.
    pub fn full_mirror(&self) -> Option<&Path> {
        if durable::is_disk_full(&self.source) { super::disk_reserve::mirror_of_file(&self.path) } else { None }
    }
}

/// An [`Error`] about `path`, for `map_err`.
pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error { what, path, source }
}

/// The mark of a commit in progress.
const IN_PROGRESS_MARK: &str = "placing";

/// The folder of unfinished work, emptied at the start and on drop.
pub(super) struct Staging {
    folder: PathBuf,
    next_number: u32,
    /// An import was killed during its commit, and its files are not counted yet.
    pub(super) interrupted: bool,
}

/// A staged file, identified by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StagedFile(u32);

impl Staging {
    /// Empties the staging folder of `layout`. Files of a killed process are useless, but its mark of a commit in
    /// progress is kept.
    pub(super) fn begin(layout: &Layout) -> Result<Staging, Error> {
        let folder = layout.staging();
        let interrupted = was_interrupted(layout);
        let staging = Staging { folder, next_number: 0, interrupted };
        staging.clear().map_err(failed("empty", &staging.folder))?;
        if interrupted {
            staging.mark_in_progress()?;
        }
        Ok(staging)
    }

    fn clear(&self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return fs::create_dir(&self.folder),
            Err(e) => return Err(e),
        };
        // The folder itself stays: on a full disk there is no space for a new one.
        for entry in entries {
            let entry = entry?;
            let removed = match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path()),
                false => fs::remove_file(entry.path()),
            };
            removed.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })?;
        }
        Ok(())
    }

    /// Writes the mark of a commit in progress.
    pub(super) fn mark_in_progress(&self) -> Result<(), Error> {
        let mark = self.folder.join(IN_PROGRESS_MARK);
        File::create(&mark).and_then(|file| file.sync_all()).map_err(failed("write", &mark))?;
        durable::sync_folder(&self.folder).map_err(failed("sync", &self.folder))
    }

    /// Creates a file to write to.
    pub(super) fn create(&mut self) -> Result<(StagedFile, File), Error> {
        let staged = self.allocate();
        let path = self.path(staged);
        let file = File::create_new(&path).map_err(failed("write", &path))?;
        Ok((staged, file))
    }

    /// Creates a file with these bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<StagedFile, Error> {
        let (staged, mut file) = self.create()?;
        if let Err(source) = file.write_all(bytes) {
            drop(file);
            // On a full disk, deleting it frees space for others.
            let _stays = fs::remove_file(self.path(staged)).is_err();
            return Err(failed("write", &self.path(staged))(source));
        }
        Ok(staged)
    }

    /// Stages the file at `path` by a hard link, which costs nothing for any size. The file also stays in its place.
    pub(super) fn hard_link(&mut self, path: &Path) -> Result<StagedFile, Error> {
        let staged = self.allocate();
        let staged_path = self.path(staged);
        // Not every file system has hard links.
        let linked = fs::hard_link(path, &staged_path).or_else(|_| fs::copy(path, &staged_path).map(drop));
        linked.and_then(|()| durable::make_public(&staged_path)).map_err(failed("stage", path))?;
        Ok(staged)
    }

    /// Assigns a number to a file whose bytes are not known yet.
    pub(super) fn allocate(&mut self) -> StagedFile {
        let staged = StagedFile(self.next_number);
        self.next_number += 1;
        staged
    }

    /// Writes the bytes of an allocated file.
    pub(super) fn write_allocated(&self, staged: StagedFile, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path(staged);
        File::create_new(&path).and_then(|mut file| file.write_all(bytes)).map_err(failed("write", &path))
    }

    /// The path of a staged file.
    pub(super) fn path(&self, staged: StagedFile) -> PathBuf {
        self.folder.join(staged.0.to_string())
    }

    fn backup_path(&self, staged: StagedFile) -> PathBuf {
        self.folder.join(format!("{}.was", staged.0))
    }

    /// Makes all staged files durable.
    pub(super) fn sync(&self) -> Result<(), Error> {
        durable::sync_file_system(&self.folder).map_err(failed("sync", &self.folder))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // If this fails, the next start empties the folder.
        let cleared = self.clear();
        let _stays = (self.interrupted && cleared.is_ok()).then(|| self.mark_in_progress().is_err());
    }
}

/// Whether an import was killed during its commit, and none has been completed since.
pub(super) fn was_interrupted(layout: &Layout) -> bool {
    layout.staging().join(IN_PROGRESS_MARK).exists()
}

/// Whether a process was killed while it changed lines, so that index and records may differ.
pub(super) fn has_unfinished_work(layout: &Layout) -> bool {
    was_interrupted(layout) || layout.live_journal().exists()
}

/// A file to rename into the mirror.
#[derive(Debug)]
pub(super) struct Rename {
    /// The staged file.
    pub(super) staged: StagedFile,
    /// Its path relative to the root that the rename is for.
    pub(super) path: Box<str>,
    /// Whether a file exists there.
    pub(super) replaces: bool,
}

/// A file to remove from the mirror.
#[derive(Debug)]
pub(super) struct Removal {
    /// An empty file that was staged for a rollback.
    pub(super) staged: StagedFile,
    /// Its path relative to the root that the removal is for.
    pub(super) path: Box<str>,
}

/// Renames files into the mirror, and records how to roll them back.
pub(super) struct Transaction<'a> {
    staging: &'a Staging,
    applied: Vec<(PathBuf, StagedFile, bool)>,
    created_folders: Vec<PathBuf>,
    existing_folders: HashSet<PathBuf>,
}

impl<'a> Transaction<'a> {
    /// An empty transaction.
    pub(super) fn new(staging: &'a Staging) -> Transaction<'a> {
        Transaction { staging, applied: Vec::new(), created_folders: Vec::new(), existing_folders: HashSet::new() }
    }

    fn make_folder(&mut self, folder: &Path) -> io::Result<()> {
        if self.existing_folders.contains(folder) {
            return Ok(());
        }
        if !folder.is_dir() {
            if let Some(above) = folder.parent() {
                self.make_folder(above)?;
            }
            fs::create_dir(folder)?;
            self.created_folders.push(folder.to_owned());
        }
        self.existing_folders.insert(folder.to_owned());
        Ok(())
    }

    /// Renames the files to their paths below `root`, in order, and makes their names durable. `midway` names a
    /// checkpoint half way.
    pub(super) fn rename_and_sync(&mut self, root: &Path, renames: &[Rename], midway: &str) -> Result<(), Error> {
        self.rename(root, renames, midway)?;
        let folders: Vec<&Path> = self.existing_folders.iter().map(PathBuf::as_path).collect();
        durable::sync_folders(&self.staging.folder, &folders).map_err(failed("sync", root))
    }

    /// The same without making the names durable, for callers that can repeat it from a journal.
    pub(super) fn rename(&mut self, root: &Path, renames: &[Rename], midway: &str) -> Result<(), Error> {
        self.existing_folders.clear();
        self.applied.reserve(renames.len());
        for one in renames {
            let path = root.join(&*one.path);
            let folder = path.parent().unwrap_or(root);
            self.make_folder(folder).map_err(failed("make the folder", folder))?;
        }
        for (n, Rename { staged, path: place, replaces }) in renames.iter().enumerate() {
            if n == renames.len() / 2 {
                durable::checkpoint(midway);
            }
            let path = root.join(&**place);
            if *replaces {
                let saved = self.staging.backup_path(*staged);
                // A hard link costs nothing; not every file system has them.
                let kept = fs::hard_link(&path, &saved).or_else(|_| fs::copy(&path, &saved).map(drop));
                kept.map_err(failed("read", &path))?;
            }
            fs::rename(self.staging.path(*staged), &path).map_err(failed("write", &path))?;
            self.applied.push((path, *staged, *replaces));
        }
        Ok(())
    }

    /// Removes files below `root`. Each has a staged file that nothing else uses, for a rollback.
    pub(super) fn remove(&mut self, root: &Path, removals: &[Removal]) -> Result<(), Error> {
        for Removal { staged, path: place } in removals {
            let path = root.join(&**place);
            fs::rename(&path, self.staging.backup_path(*staged)).map_err(failed("remove", &path))?;
            self.applied.push((path, *staged, true));
        }
        Ok(())
    }

    /// Rolls back all renames and removals, the last first, and removes the folders that were created.
    ///
    /// # Errors
    /// The first failed operation; the others are tried anyway.
    pub(super) fn rollback(self) -> Result<(), Error> {
        let mut first = Ok(());
        for (path, staged, replaces) in self.applied.iter().rev() {
            let undone =
                if *replaces { fs::rename(self.staging.backup_path(*staged), path) } else { fs::remove_file(path) };
            if let Err(source) = undone {
                first = first.and(Err(failed("take back", path)(source)));
            }
        }
        for folder in self.created_folders.iter().rev() {
            if let Err(source) = fs::remove_dir(folder) {
                first = first.and(Err(failed("take back", folder)(source)));
            }
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(root: &Path) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(root).expect("list") {
            let path = entry.expect("entry").path();
            let name = path.file_name().expect("name").to_string_lossy().into_owned();
            if path.is_dir() {
                found.push((name.clone(), String::new()));
                found.extend(tree(&path).into_iter().map(|(below, text)| (format!("{name}/{below}"), text)));
            } else {
                found.push((name, fs::read_to_string(&path).expect("read")));
            }
        }
        found.sort();
        found
    }

    #[test]
    fn rollback_restores_every_byte() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        let root = folder.path().join("index");
        fs::create_dir_all(layout.private()).expect("folder");
        fs::create_dir_all(root.join("1")).expect("folder");
        fs::write(root.join("1/a"), "old").expect("write");
        let mut staging = Staging::begin(&layout).expect("staging");
        assert!(!staging.interrupted);
        let moves = [("1/a", true), ("se/rd/serde", false)].map(|(place, replaces)| {
            let staged = staging.write(b"new").expect("staged");
            Rename { staged, path: place.into(), replaces }
        });
        fs::write(root.join("1/b"), "to go").expect("write");
        let before = tree(&root);
        let removals = [Removal { staged: staging.write(b"").expect("staged"), path: "1/b".into() }];
        let mut placing = Transaction::new(&staging);
        placing.remove(&root, &removals).expect("removed");
        placing.rename_and_sync(&root, &moves, "none").expect("placed");
        assert_eq!(fs::read_to_string(root.join("se/rd/serde")).expect("read"), "new");
        assert!(!root.join("1/b").exists());
        placing.rollback().expect("taken back");
        assert_eq!(tree(&root), before);
        drop(staging);
        assert_eq!(fs::read_dir(layout.staging()).expect("list").count(), 0);
    }

    #[test]
    fn an_interrupted_transaction_is_reported_until_it_is_completed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        fs::create_dir_all(layout.private()).expect("folder");
        let staging = Staging::begin(&layout).expect("staging");
        staging.mark_in_progress().expect("marked");
        std::mem::forget(staging);
        for _ in 0..2 {
            // A process that was killed again before it could count, or that rejected its bundle.
            let staging = Staging::begin(&layout).expect("staging");
            assert!(staging.interrupted);
            std::mem::forget(staging);
            assert!(Staging::begin(&layout).expect("staging").interrupted);
        }
        let mut staging = Staging::begin(&layout).expect("staging");
        staging.interrupted = false;
        drop(staging);
        assert!(!Staging::begin(&layout).expect("staging").interrupted);
    }
}
