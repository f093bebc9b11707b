//! The renames of an import and of a rebuild, with their rollback.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::transaction::{Error, Removal, Rename, StagedFile, Staging, failed};
use crate::durable;

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
        durable::sync_folders(root, &folders).map_err(failed("sync", root))
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
                let saved = self.staging.backup_path(staged.0 as usize);
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
            fs::rename(&path, self.staging.backup_path(staged.0 as usize)).map_err(failed("remove", &path))?;
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
            let undone = if *replaces {
                fs::rename(self.staging.backup_path(staged.0 as usize), path)
            } else {
                fs::remove_file(path)
            };
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
