//! Transactions: the only code that creates, replaces or removes files of a mirror.
//!
//! ```text
//! let mut tx = Transaction::begin(guard, "the import of a.pkg")?;   // an empty staging folder
//! let staged = tx.staging.write(bytes)?;                             // new content
//! tx.put(path, staged);  tx.delete(path);  tx.append(path, length, staged);
//! tx.commit()?;
//! ```
//!
//! # Steps of a commit
//!
//! 1. The journal is written to staging: every operation, in order. One sync makes it and all staged files durable.
//! 2. The journal is renamed to `.frostmirror/journal`. From here on the changes will happen.
//! 3. The operations. If one fails, those before it are rolled back, the last first, and the journal is removed.
//! 4. One sync. Then the journal is removed, and staging is emptied.
//!
//! A process that is killed before step 2 changes nothing. After it, `recover` repeats the operations; the process
//! that takes the mirror's lock next does that first. Every operation can be repeated at any time, also in the middle of a rollback:
//! a rollback gives each staged file its name back. If a rollback fails, the journal stays, and the next process
//! completes the changes.
//!
//! # Order of the operations
//!
//! The path of a file decides, not the caller (see `order.rs`). Removals come first, from the names that clients read to the
//! files that these name. Additions follow in the reverse order: crates and components, then index files and channels,
//! then the records, then the summary. So a reader finds everything that an index file or channel manifest names at any
//! time. Operations of one rank keep the order in which they were added.
//!
//! # Checkpoints
//!
//! The commits of a process number their steps: `commit:1`, `commit:2`, … A debug build exits at the one that
//! [`durable::CHECKPOINT_VARIABLE`] names, so that a test can kill every command at every step.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk;
use super::guard::WriteGuard;
use super::layout::Layout;
pub use super::staging::Error;
pub(super) use super::staging::{StagedFile, Staging, counts_are_stale, failed, has_unfinished_work};
use crate::durable;
use crate::event::Sink;
use crate::safe_path::SafePath;
use crate::units::pluralize;

mod apply;
mod link;
mod operation;
mod order;
#[cfg(test)]
mod tests;

use apply::{Commit, exists, is_missing};
pub(super) use link::{LINK_TARGET, make_link, means_unsupported};
use operation::{Operation, checkpoint};
use order::Rank;

/// The content of `.frostmirror/journal`.
#[derive(Serialize, Deserialize)]
struct Journal {
    /// What the changes belong to, for messages.
    what: String,
    operations: Vec<Operation>,
}

/// Changes that happen all or not at all.
pub(super) struct Transaction<'l> {
    layout: &'l Layout,
    /// New content.
    pub(super) staging: Staging,
    what: String,
    operations: Vec<(Rank, Operation)>,
    keeps_backups: bool,
}

/// What [`recover`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// No interrupted transaction.
    Nothing,
    /// An interrupted transaction was completed.
    Completed,
    /// The journal was unreadable, so its changes are lost. Counts may be wrong.
    Lost,
}

impl<'l> Transaction<'l> {
    /// An empty transaction of the locked mirror. `what` names it in messages, such as `the import of a.pkg`.
    pub(super) fn begin(guard: &'l WriteGuard, what: impl Into<String>) -> Result<Transaction<'l>, Error> {
        let staging = Staging::begin(guard)?;
        Ok(Transaction {
            layout: &guard.layout,
            staging,
            what: what.into(),
            operations: Vec::new(),
            keeps_backups: true,
        })
    }

    /// Names the changes more precisely.
    pub(super) fn describe(&mut self, what: String) {
        self.what = what;
    }

    /// Removes files without keeping them for a rollback, which frees their space at once. After a failure the journal
    /// stays, and the next process completes the changes.
    pub(super) fn without_backups(&mut self) {
        self.keeps_backups = false;
    }

    /// Adds or replaces the file at `path`, an absolute path below the mirror's folder.
    pub(super) fn put(&mut self, path: &Path, staged: StagedFile) -> Result<(), Error> {
        let path = self.relative(path)?;
        self.operations.push((Rank::of_addition(&path), Operation::Put(staged.0, path)));
        Ok(())
    }

    /// Adds or replaces a file by these bytes.
    pub(super) fn put_bytes(&mut self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let staged = self.staging.write(bytes)?;
        self.put(path, staged)
    }

    /// Replaces an index file, or the records of its lines, by one that names less.
    pub(super) fn put_reduced(&mut self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let path = self.relative(path)?;
        let staged = self.staging.write(bytes)?;
        self.operations.push((Rank::of_removal(&path), Operation::Put(staged.0, path)));
        Ok(())
    }

    /// Appends bytes to a file, behind its first `length` bytes.
    pub(super) fn append(&mut self, path: &Path, length: u64, bytes: &[u8]) -> Result<(), Error> {
        let path = self.relative(path)?;
        let staged = self.staging.write(bytes)?;
        self.operations.push((Rank::of_addition(&path), Operation::Append(staged.0, length, path)));
        Ok(())
    }

    /// Removes a file.
    pub(super) fn delete(&mut self, path: &Path) -> Result<(), Error> {
        let path = self.relative(path)?;
        self.operations.push((Rank::of_removal(&path), Operation::Delete(path)));
        Ok(())
    }

    /// Moves a file into `.frostmirror/aside/`, as `name` or with a number appended.
    pub(super) fn move_aside(&mut self, path: &Path, name: &str) -> Result<(), Error> {
        let aside = self.free_path_aside(name);
        let staged = self.staging.hard_link(path)?;
        self.put(&aside, staged)?;
        self.delete(path)
    }

    /// Moves a file, a link or a folder into `.frostmirror/aside/`, as `name` or with a number appended. Returns its new path.
    pub(super) fn rename_aside(&mut self, path: &Path, name: &str) -> Result<PathBuf, Error> {
        let aside = self.free_path_aside(name);
        let (path, target) = (self.relative(path)?, self.relative(&aside)?);
        self.operations.push((Rank::of_removal(&path), Operation::Move(path, target)));
        Ok(aside)
    }

    /// Writes a part of a file into `.frostmirror/aside/`, as `name` or with a number appended.
    pub(super) fn copy_aside(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let aside = self.free_path_aside(name);
        self.put_bytes(&aside, bytes)
    }

    fn free_path_aside(&self, name: &str) -> PathBuf {
        let folder = self.layout.moved_aside();
        let mut aside = folder.join(name);
        for number in 1.. {
            if !exists(&aside) {
                break;
            }
            aside = folder.join(format!("{name}.{number}"));
        }
        aside
    }

    /// Removes a folder if it has become empty. Nested folders come first. A folder that no mirror has stays.
    pub(super) fn remove_folder(&mut self, path: &Path) {
        if let Ok(path) = self.relative(path) {
            self.operations.push((Rank::Folder, Operation::Folder(path)));
        }
    }

    /// Makes the link to the index, if there is nothing in its place.
    pub(super) fn link_index(&mut self) -> Result<(), Error> {
        let path = self.relative(&self.layout.index_link())?;
        self.operations.push((Rank::List, Operation::Link(path)));
        Ok(())
    }

    fn relative(&self, path: &Path) -> Result<SafePath, Error> {
        let below = path.strip_prefix(self.layout.root()).ok();
        let parts: Option<Vec<&str>> =
            below.and_then(|below| below.components().map(|part| part.as_os_str().to_str()).collect());
        let parsed = parts.and_then(|parts| parts.join("/").parse().ok());
        parsed.ok_or_else(|| failed("change", path)(io::ErrorKind::InvalidInput.into()))
    }

    /// Whether there is nothing to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The files to add or replace, in the order of the commit.
    pub(super) fn added_files(&mut self) -> Vec<SafePath> {
        self.operations.sort_by_key(|(rank, _)| *rank);
        let is_put = |operation: &Operation| matches!(operation, Operation::Put(..));
        self.operations.iter().filter(|(_, one)| is_put(one)).map(|(_, one)| one.path().clone()).collect()
    }

    /// Makes all changes.
    ///
    /// # Errors
    /// A file system operation failed. The mirror is then unchanged, unless [`Error::is_unfinished`].
    pub(super) fn commit(mut self) -> Result<(), Error> {
        if self.operations.is_empty() {
            return Ok(());
        }
        self.operations.sort_by_key(|(rank, _)| *rank);
        let operations = std::mem::take(&mut self.operations).into_iter().map(|(_, operation)| operation).collect();
        let journal = Journal { what: std::mem::take(&mut self.what), operations };
        checkpoint();
        let staged = self.staging.write(&serde_json::to_vec(&journal).expect("plain fields are JSON"))?;
        self.staging.sync()?;
        checkpoint();
        let path = self.layout.journal();
        fs::rename(self.staging.path(staged), &path).map_err(failed("write", &path))?;
        let mut commit = Commit::new(self.layout, &self.staging, self.keeps_backups);
        let private = self.layout.private();
        let result = catch_unwind(AssertUnwindSafe(|| {
            durable::sync_folder(&private).map_err(failed("sync", &private))?;
            commit.apply(&journal.operations)
        }));
        let source = match result {
            Ok(Ok(())) => return remove_journal(self.layout),
            Ok(Err(source)) => Ok(source),
            Err(panic) => Err(panic),
        };
        let undone = match self.keeps_backups {
            true => commit.rollback(&journal.operations).and_then(|()| remove_journal(self.layout)),
            false => Ok(()),
        };
        match (source, undone) {
            (Err(panic), _) => resume_unwind(panic),
            (Ok(source), Ok(())) => Err(source),
            (Ok(source), Err(left)) => Err(source.with_unfinished(left)),
        }
    }
}

/// Removes files and empty folders without a journal, in this order, because a full disk has no space for one. For files
/// that no index file and no channel names, which the next collection removes otherwise.
///
/// # Errors
/// A file system operation failed; the files before it are gone.
pub(super) fn delete_unreferenced(_: &WriteGuard, paths: impl IntoIterator<Item = PathBuf>) -> Result<(), Error> {
    let mut folders = HashSet::new();
    for path in paths {
        checkpoint();
        let removed = if path.is_dir() && !path.is_symlink() { fs::remove_dir(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(e) if is_missing(&e) || e.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            removed => removed.map_err(failed("remove", &path))?,
        }
        folders.remove(&path);
        folders.extend(path.parent().map(Path::to_owned));
    }
    let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    folders.first().map_or(Ok(()), |first| durable::sync_folders(first, &folders).map_err(failed("sync", first)))
}

/// Removes a folder whose content can be lost, without a journal.
///
/// # Errors
/// A file system operation failed.
pub(super) fn delete_folder(_: &WriteGuard, folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if is_missing(&error) => Ok(()),
        removed => removed.map_err(failed("remove", folder)),
    }
}

/// Completes the transaction of a killed process.
pub(super) fn recover(guard: &WriteGuard, sink: &dyn Sink) -> Result<Recovery, Error> {
    let layout = &guard.layout;
    let path = layout.journal();
    let Some(text) = disk::read_if_present(&path)? else {
        Staging::remove_leftovers(layout);
        return Ok(Recovery::Nothing);
    };
    let journal: Journal = match serde_json::from_slice(&text) {
        Ok(journal) => journal,
        Err(error) => {
            sink.warning(format!(
                "`{}` is damaged ({error}); the changes of an interrupted command are lost, and the files are counted again",
                path.display()
            ));
            remove_journal(layout)?;
            return Ok(Recovery::Lost);
        }
    };
    let staging = Staging::existing(layout);
    let mut commit = Commit::new(layout, &staging, false);
    commit.apply(&journal.operations)?;
    let lost = std::mem::take(&mut commit.lost);
    remove_journal(layout)?;
    drop(staging);
    if let Some(first) = lost.first() {
        sink.warning(format!(
            "{} was interrupted and lost {}, first `{}`; the files are counted again",
            journal.what,
            pluralize(lost.len(), "file"),
            first.display()
        ));
        return Ok(Recovery::Lost);
    }
    sink.status("Completed", format!("{}, which was interrupted", journal.what));
    Ok(Recovery::Completed)
}

fn remove_journal(layout: &Layout) -> Result<(), Error> {
    let (path, private) = (layout.journal(), layout.private());
    fs::remove_file(&path).map_err(failed("remove", &path))?;
    // A journal that came back after a power failure would name the staged files of the next transaction.
    durable::sync_folder(&private).map_err(failed("sync", &private))?;
    checkpoint();
    Ok(())
}
