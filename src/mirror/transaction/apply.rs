//! Applies the operations of a journal, and rolls them back.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::link::{make_link, means_unsupported};
use super::operation::{Operation, checkpoint};
use crate::durable;
use crate::mirror::layout::Layout;
use crate::mirror::staging::{Error, StagedFile, Staging, failed, link_or_copy};

/// The operations of a journal in progress.
pub(super) struct Commit<'c> {
    layout: &'c Layout,
    staging: &'c Staging,
    keeps_backups: bool,
    /// The numbers of the operations that changed something, and whether a file was there before.
    pub(super) applied: Vec<(usize, bool)>,
    pub(super) created_folders: Vec<PathBuf>,
    /// Files of which neither the staged file nor the result exists.
    pub(super) lost: Vec<PathBuf>,
    existing_folders: HashSet<PathBuf>,
    touched_folders: HashSet<PathBuf>,
}

impl<'c> Commit<'c> {
    pub(super) fn new(layout: &'c Layout, staging: &'c Staging, keeps_backups: bool) -> Commit<'c> {
        Commit {
            layout,
            staging,
            keeps_backups,
            applied: Vec::new(),
            created_folders: Vec::new(),
            lost: Vec::new(),
            existing_folders: HashSet::new(),
            touched_folders: HashSet::new(),
        }
    }

    /// Applies all operations, and makes them durable.
    pub(super) fn apply(&mut self, operations: &[Operation]) -> Result<(), Error> {
        for (number, operation) in operations.iter().enumerate() {
            checkpoint();
            self.apply_one(number, operation)?;
        }
        checkpoint();
        let folders: Vec<&Path> = self.touched_folders.iter().map(PathBuf::as_path).collect();
        let is_appended = operations.iter().any(|operation| matches!(operation, Operation::Append(..)));
        match is_appended {
            true => self.staging.sync(),
            false => durable::sync_folders(self.layout.root(), &folders).map_err(failed("sync", self.layout.root())),
        }
    }

    pub(super) fn apply_one(&mut self, number: usize, operation: &Operation) -> Result<(), Error> {
        let root = self.layout.root();
        if !self.keeps_backups {
            // A journal may have come with a copy of the mirror, and must not lead out of it.
            for path in operation.paths().map(|path| path.below(root)) {
                if path.ancestors().skip(1).take_while(|above| *above != root).any(Path::is_symlink) {
                    return Err(failed("change", &path)(io::Error::other("a folder above it is a link")));
                }
            }
        }
        let existed = match operation {
            Operation::Put(staged, path) => {
                let (staged, path) = (self.staging.path(StagedFile(*staged)), path.below(root));
                self.make_parent(&path)?;
                let existed = self.keeps_backups && self.back_up(number, &path)?;
                match fs::rename(&staged, &path) {
                    // An earlier process has done it.
                    Err(e) if !self.keeps_backups && e.kind() == io::ErrorKind::NotFound && !exists(&staged) => {
                        if !exists(&path) {
                            self.lost.push(path);
                        }
                    }
                    renamed => renamed.map_err(failed("write", &path))?,
                }
                existed
            }
            Operation::Append(staged, length, path) => {
                let (staged, path) = (self.staging.path(StagedFile(*staged)), path.below(root));
                self.make_parent(&path)?;
                let existed = exists(&path);
                // Before the write, because a part of it must be rolled back too.
                self.applied.push((number, existed));
                let bytes = fs::read(&staged).map_err(failed("read", &staged))?;
                append(&path, *length, &bytes).map_err(failed("write", &path))?;
                return Ok(());
            }
            Operation::Delete(path) => {
                let path = path.below(root);
                let removed = match self.keeps_backups {
                    true => fs::rename(&path, self.staging.backup_path(number)),
                    false => fs::remove_file(&path),
                };
                match removed {
                    Err(e) if is_missing(&e) => return Ok(()),
                    removed => removed.map_err(failed("remove", &path))?,
                }
                self.touch_parent(&path);
                true
            }
            Operation::Move(path, target) => {
                let (path, target) = (path.below(root), target.below(root));
                // An earlier process may have done it. Then another operation may have put something at the first path.
                if exists(&target) || !exists(&path) {
                    return Ok(());
                }
                self.make_parent(&target)?;
                fs::rename(&path, &target).map_err(failed("move", &path))?;
                self.touch_parent(&path);
                false
            }
            Operation::Folder(path) => {
                let path = path.below(root);
                match fs::remove_dir(&path) {
                    // A file that no import brought may have appeared in it; the next collection reports it.
                    Err(e) if is_missing(&e) || e.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(()),
                    removed => removed.map_err(failed("remove", &path))?,
                }
                self.touched_folders.remove(&path);
                self.existing_folders.remove(&path);
                self.touch_parent(&path);
                true
            }
            Operation::Link(path) => {
                let path = path.below(root);
                if exists(&path) {
                    return Ok(());
                }
                self.make_parent(&path)?;
                match make_link(&path) {
                    Err(error) if means_unsupported(&error) => return Ok(()),
                    made => made.map_err(failed("make the link", &path))?,
                }
                false
            }
        };
        self.applied.push((number, existed));
        Ok(())
    }

    /// Gives the file at `path` a second name for a rollback. Returns whether there is one.
    fn back_up(&self, number: usize, path: &Path) -> Result<bool, Error> {
        match link_or_copy(path, &self.staging.backup_path(number)) {
            Ok(()) => Ok(true),
            Err(e) if is_missing(&e) => Ok(false),
            Err(source) => Err(failed("read", path)(source)),
        }
    }

    fn make_parent(&mut self, path: &Path) -> Result<(), Error> {
        let folder = path.parent().unwrap_or(path).to_owned();
        self.make_folder(&folder).map_err(failed("make the folder", &folder))?;
        self.touched_folders.insert(folder);
        Ok(())
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

    fn touch_parent(&mut self, path: &Path) {
        self.touched_folders.extend(path.parent().map(Path::to_owned));
    }

    /// Rolls back what was applied, the last operation first. Each staged file gets its name back, so that the journal
    /// stays complete.
    ///
    /// # Errors
    /// The first failed operation; the others are tried anyway.
    pub(super) fn rollback(&self, operations: &[Operation]) -> Result<(), Error> {
        let root = self.layout.root();
        let mut first = Ok(());
        let mut note = |undone: io::Result<()>, path: &Path| {
            if let Err(source) = undone
                && first.is_ok()
            {
                first = Err(failed("take back", path)(source));
            }
        };
        for (number, existed) in self.applied.iter().rev() {
            let backup = self.staging.backup_path(*number);
            let Some(operation) = operations.get(*number) else { continue };
            match operation {
                Operation::Put(staged, path) => {
                    let (staged, path) = (self.staging.path(StagedFile(*staged)), path.below(root));
                    let undone = match existed {
                        true => link_or_copy(&path, &staged).and_then(|()| fs::rename(backup, &path)),
                        false => fs::rename(&path, staged),
                    };
                    note(undone, &path);
                }
                Operation::Append(_, length, path) => {
                    let path = path.below(root);
                    let undone = match existed {
                        true => OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(*length)),
                        false => fs::remove_file(&path).or_else(|e| if is_missing(&e) { Ok(()) } else { Err(e) }),
                    };
                    note(undone, &path);
                }
                Operation::Delete(path) => note(fs::rename(backup, path.below(root)), &path.below(root)),
                Operation::Move(path, target) => {
                    note(fs::rename(target.below(root), path.below(root)), &path.below(root));
                }
                Operation::Folder(path) => note(fs::create_dir(path.below(root)), &path.below(root)),
                Operation::Link(path) => note(fs::remove_file(path.below(root)), &path.below(root)),
            }
        }
        for folder in self.created_folders.iter().rev() {
            note(fs::remove_dir(folder), folder);
        }
        first
    }
}

fn append(path: &Path, length: u64, bytes: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().create(true).append(true).open(path)?;
    if file.metadata()?.len() > length {
        file.set_len(length)?;
    }
    file.write_all(bytes)?;
    // Elsewhere a sync of staging does not include this file.
    if cfg!(target_os = "linux") { Ok(()) } else { file.sync_all() }
}

pub(super) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
