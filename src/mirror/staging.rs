//! `.frostmirror/staging`: the numbered files that a transaction will rename into the mirror.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::guard::WriteGuard;
use super::layout::Layout;
use crate::durable;

/// A failed file operation, with its path.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} `{}`{}", path.display(), unfinished_text(unfinished.as_deref()))]
pub struct Error {
    what: &'static str,
    path: PathBuf,
    /// Why the changes before the failed one could not be rolled back; the journal completes them.
    unfinished: Option<Box<Error>>,
    /// The system's error.
    pub source: io::Error,
}

impl Error {
    /// The mirror whose disk is full, if that is the cause.
    pub fn full_mirror(&self) -> Option<&Path> {
        if durable::is_disk_full(&self.source) { super::disk_reserve::mirror_of_file(&self.path) } else { None }
    }

    /// Whether a rollback failed too. The next process that takes the mirror's lock then completes the changes.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }

    pub(super) fn with_unfinished(mut self, left: Error) -> Error {
        self.unfinished = Some(Box::new(left));
        self
    }
}

fn unfinished_text(left: Option<&Error>) -> String {
    left.map(|left| format!(", and the changes could not be rolled back completely ({left}: {})", left.source))
        .unwrap_or_default()
}

/// An [`Error`] about `path`, for `map_err`.
pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error { what, path, unfinished: None, source }
}

/// The mark of a mirror whose summary states wrong counts.
const STALE_COUNTS_MARK: &str = "recount";

/// The folder of unfinished work. It is emptied at the start and on drop, unless a journal names its files.
pub(super) struct Staging {
    folder: PathBuf,
    journal: PathBuf,
    next_number: u32,
    /// A collection on a nearly full disk was killed, so the files must be counted again.
    pub(super) counts_are_stale: bool,
}

/// A staged file, identified by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StagedFile(pub(super) u32);

impl Staging {
    /// Empties the staging folder. Files of a killed process are useless, but its mark of wrong counts is kept.
    pub(super) fn begin(guard: &WriteGuard) -> Result<Staging, Error> {
        let layout = &guard.layout;
        let mut staging = Staging::existing(layout);
        staging.counts_are_stale = counts_are_stale(layout);
        staging.clear().map_err(failed("empty", &staging.folder))?;
        Ok(staging)
    }

    /// Removes what a killed process left in the folder, if no journal names it.
    pub(super) fn remove_leftovers(layout: &Layout) {
        if layout.staging().is_dir() {
            let mut staging = Staging::existing(layout);
            staging.counts_are_stale = counts_are_stale(layout);
            drop(staging);
        }
    }

    /// The folder with the files that a journal names.
    pub(super) fn existing(layout: &Layout) -> Staging {
        Staging { folder: layout.staging(), journal: layout.journal(), next_number: 0, counts_are_stale: false }
    }

    fn clear(&self) -> io::Result<()> {
        if self.journal.symlink_metadata().is_ok() {
            return Ok(());
        }
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return fs::create_dir(&self.folder),
            Err(e) => return Err(e),
        };
        // The folder itself stays: on a full disk there is no space for a new one.
        for entry in entries {
            let entry = entry?;
            if self.counts_are_stale && entry.file_name() == STALE_COUNTS_MARK {
                continue;
            }
            let removed = match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path()),
                false => fs::remove_file(entry.path()),
            };
            removed.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })?;
        }
        Ok(())
    }

    /// Writes the mark of wrong counts, which needs no space.
    pub(super) fn mark_counts_stale(&self) -> Result<(), Error> {
        let mark = self.folder.join(STALE_COUNTS_MARK);
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
        Ok(self.write_with(|file| file.write_all(bytes))?.0)
    }

    /// Creates a file with what `write` writes, and returns its result too.
    pub(super) fn write_with<T>(
        &mut self,
        write: impl FnOnce(&mut File) -> io::Result<T>,
    ) -> Result<(StagedFile, T), Error> {
        let (staged, mut file) = self.create()?;
        match write(&mut file) {
            Ok(result) => Ok((staged, result)),
            Err(source) => {
                drop(file);
                // On a full disk, deleting it frees space for others.
                let _stays = fs::remove_file(self.path(staged)).is_err();
                Err(failed("write", &self.path(staged))(source))
            }
        }
    }

    /// Stages the file at `path` by a hard link, which costs nothing for any size. The file also stays in its place.
    pub(super) fn hard_link(&mut self, path: &Path) -> Result<StagedFile, Error> {
        let staged = self.allocate();
        let staged_path = self.path(staged);
        link_or_copy(path, &staged_path)
            .and_then(|()| durable::make_public(&staged_path))
            .map_err(failed("stage", path))?;
        Ok(staged)
    }

    fn allocate(&mut self) -> StagedFile {
        let staged = StagedFile(self.next_number);
        self.next_number += 1;
        staged
    }

    /// The path of a staged file.
    pub(super) fn path(&self, staged: StagedFile) -> PathBuf {
        self.folder.join(staged.0.to_string())
    }

    /// The path of the previous file that the operation with this number replaces or removes.
    pub(super) fn backup_path(&self, operation: usize) -> PathBuf {
        self.folder.join(format!("{operation}.was"))
    }

    /// Makes all staged files durable.
    pub(super) fn sync(&self) -> Result<(), Error> {
        durable::sync_file_system(&self.folder).map_err(failed("sync", &self.folder))
    }
}

/// A second name of a file, or a copy where the file system has no hard links.
pub(super) fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Err(error),
        _ => fs::copy(from, to).map(drop),
    })
}

impl Drop for Staging {
    fn drop(&mut self) {
        // If this fails, the next start empties the folder.
        let _stays = self.clear().is_err();
    }
}

/// Whether the counts in the summary are wrong, because a collection on a nearly full disk was killed.
pub(super) fn counts_are_stale(layout: &Layout) -> bool {
    layout.staging().join(STALE_COUNTS_MARK).exists()
}

/// Whether a process was killed while it changed lines, so that index and records may differ.
pub(super) fn has_unfinished_work(layout: &Layout) -> bool {
    counts_are_stale(layout) || layout.journal().exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_counts_are_reported_until_they_are_corrected() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        fs::create_dir_all(layout.private()).expect("folder");
        let guard = WriteGuard::for_test(&layout);
        let staging = Staging::begin(&guard).expect("staging");
        staging.mark_counts_stale().expect("marked");
        std::mem::forget(staging);
        fs::write(layout.staging().join("7"), "left").expect("write");
        Staging::remove_leftovers(&layout);
        assert_eq!(fs::read_dir(layout.staging()).expect("list").count(), 1, "the mark stays");
        for _ in 0..2 {
            // A process that was killed before it counted, or that rejected its bundle.
            let staging = Staging::begin(&guard).expect("staging");
            assert!(staging.counts_are_stale);
            std::mem::forget(staging);
            assert!(Staging::begin(&guard).expect("staging").counts_are_stale);
        }
        let mut staging = Staging::begin(&guard).expect("staging");
        staging.counts_are_stale = false;
        drop(staging);
        assert!(!Staging::begin(&guard).expect("staging").counts_are_stale);
    }
}
