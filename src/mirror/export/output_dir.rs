//! The output folder of an export: built under a temporary name, and renamed once when complete.
//!
//! The writer holds the system's lock on the folder itself, which ends with the process. The lock distinguishes the
//! folder of a running export from a leftover of a killed one. If folders cannot be locked (Windows, some network file
//! systems), leftovers stay, because removing a running export would be worse.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::crates::check_stopped;
use super::error::{Error, Obstacle, write_failed};
use crate::durable::{self, checkpoint};
use crate::event::Sink;
use crate::mirror::layout::Layout;

/// Prefix of the temporary name.
const PREFIX: &str = ".frostmirror-export-";

/// An unfinished output folder. Dropping it removes the folder.
pub(super) struct OutputDir {
    destination: PathBuf,
    work_dir: TempDir,
    _lock: Option<File>,
    /// Parent folders that the export created. Declared after `work`, because they can be removed only after it.
    _created_parents: CreatedParents,
}

impl OutputDir {
    /// Starts the output for `folder`, and removes leftovers of killed exports beside it.
    pub(super) fn create(folder: &Path, layout: &Layout) -> Result<OutputDir, Error> {
        let refused = |why| Error::Target { folder: folder.to_owned(), why };
        let existing = match fs::metadata(folder) {
            Ok(about) => Some(about),
            Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(folder).is_err() => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(refused(Obstacle::NotAFolder)),
            Err(error) => return Err(write_failed(folder)(error)),
        };
        let mut above = CreatedParents::default();
        let destination = match &existing {
            Some(about) if !about.is_dir() => return Err(refused(Obstacle::NotAFolder)),
            Some(_) => {
                let place = folder.canonicalize().map_err(write_failed(folder))?;
                if fs::read_dir(&place).map_err(write_failed(folder))?.next().is_some() {
                    return Err(refused(Obstacle::NotEmpty));
                }
                place
            }
            None => {
                let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
                    return Err(refused(Obstacle::NoName));
                };
                above.create_all(parent).map_err(write_failed(parent))?;
                parent.canonicalize().map_err(write_failed(parent))?.join(name)
            }
        };
        let Some(parent) = destination.parent() else { return Err(refused(Obstacle::NoName)) };
        if layout.root().canonicalize().is_ok_and(|root| destination.starts_with(root)) {
            return Err(refused(Obstacle::InMirror));
        }
        if existing.is_some() && !is_on_one_file_system(&destination, parent) {
            return Err(refused(Obstacle::MountPoint));
        }
        remove_leftovers(parent).map_err(write_failed(parent))?;
        let (work, locked) = create_work_dir(parent).map_err(write_failed(parent))?;
        if let Some(about) = existing {
            // The permissions of an existing folder are preserved.
            fs::set_permissions(work.path(), about.permissions()).map_err(write_failed(work.path()))?;
        }
        checkpoint("export:begun");
        Ok(OutputDir { destination, work_dir: work, _lock: locked, _created_parents: above })
    }

    /// The temporary folder to write into.
    pub(super) fn path(&self) -> &Path {
        self.work_dir.path()
    }

    /// Makes all content durable, and renames the folder to its final name.
    pub(super) fn publish(self, sink: &dyn Sink) -> Result<PathBuf, Error> {
        let OutputDir { destination: place, work_dir: work, _lock: _locked, _created_parents: mut above } = self;
        // Locals are dropped in reverse order, and the parent folders can be removed only after this folder.
        let work = work;
        checkpoint("export:filled");
        durable::sync_file_system(work.path()).map_err(write_failed(work.path()))?;
        checkpoint("export:synced");
        check_stopped(sink)?;
        if !sink.enter_commit() {
            return Err(Error::Stopped);
        }
        if cfg!(not(unix)) && place.is_dir() {
            // On Unix, a rename can replace an empty folder, and no other. Elsewhere the folder must be removed first,
            // which works only if it is empty.
            fs::remove_dir(&place).map_err(write_failed(&place))?;
        }
        fs::rename(work.path(), &place).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty => Error::Target { folder: place.clone(), why: Obstacle::NotEmpty },
            io::ErrorKind::NotADirectory => Error::Target { folder: place.clone(), why: Obstacle::NotAFolder },
            _ => write_failed(&place)(source),
        })?;
        // The temporary name no longer exists.
        let _renamed = work.keep();
        above.0.clear();
        let parent = place.parent().unwrap_or(&place);
        durable::sync_folder(parent).map_err(write_failed(parent))?;
        checkpoint("export:placed");
        Ok(place)
    }
}

/// Folders that the export created; dropping the value removes those that are empty.
#[derive(Default)]
pub(in crate::mirror) struct CreatedParents(Vec<PathBuf>);

impl CreatedParents {
    /// Creates the folder and its missing parents.
    pub(in crate::mirror) fn create_all(&mut self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() || folder.as_os_str().is_empty() {
            return Ok(());
        }
        if let Some(parent) = folder.parent() {
            self.create_all(parent)?;
        }
        match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
            made => made.map(|()| self.0.push(folder.to_owned())),
        }
    }
}

impl Drop for CreatedParents {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            // Fails if the folder has other content, which then stays.
            let _kept = fs::remove_dir(folder).is_err();
        }
    }
}

/// Creates a folder with the default permissions, locked until the process ends.
fn create_work_dir(parent: &Path) -> io::Result<(TempDir, Option<File>)> {
    loop {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        ordinary(&mut builder);
        let work = builder.tempdir_in(parent)?;
        let locked = match File::open(work.path()) {
            Err(_) => None,
            Ok(folder) => match folder.try_lock() {
                Ok(()) => Some(folder),
                // Another export treats the folder as a leftover.
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(_)) => None,
            },
        };
        // Another export may have removed it just before the lock.
        if work.path().is_dir() {
            return Ok((work, locked));
        }
    }
}

#[cfg(unix)]
fn ordinary(builder: &mut tempfile::Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(fs::Permissions::from_mode(0o777));
}

#[cfg(not(unix))]
fn ordinary(_: &mut tempfile::Builder<'_, '_>) {}

/// Removes the folders of dead exports, whose locks the system has released.
fn remove_leftovers(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !is_work_dir_name(&entry.file_name()) || !entry.file_type()?.is_dir() {
            continue;
        }
        let Ok(folder) = File::open(entry.path()) else { continue };
        if folder.try_lock().is_ok() {
            // Leftovers of another user cannot be removed and do no harm.
            let _stays = fs::remove_dir_all(entry.path()).is_err();
        }
    }
    Ok(())
}

fn is_work_dir_name(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(PREFIX))
}

#[cfg(unix)]
fn is_on_one_file_system(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| fs::metadata(path).map(|about| about.dev()).ok();
    device(one) == device(other)
}

/// This system reports an error at the rename.
#[cfg(not(unix))]
fn is_on_one_file_system(_: &Path, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::NullSink;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("list")
            .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_folder_appears_only_when_complete() {
        let root = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(root.path().join("mirror"));
        let folder = root.path().join("some/where/new");
        let target = OutputDir::create(&folder, &layout).expect("begun");
        fs::write(target.path().join("half"), "").expect("write");
        drop(target);
        assert!(names(root.path()).is_empty());
        let target = OutputDir::create(&folder, &layout).expect("begun");
        fs::write(target.path().join("all"), "").expect("write");
        assert!(!folder.exists());
        target.publish(&NullSink).expect("placed");
        assert_eq!(names(&folder), ["all"]);
        assert_eq!(names(&root.path().join("some/where")), ["new"]);
        let again = OutputDir::create(&folder, &layout);
        assert!(matches!(again, Err(Error::Target { why: Obstacle::NotEmpty, .. })));
    }

    #[cfg(unix)]
    #[test]
    fn leftovers_of_killed_exports_are_removed_and_running_ones_kept() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(root.path().join("mirror"));
        let dead = root.path().join(format!("{PREFIX}dead"));
        fs::create_dir_all(dead.join("a")).expect("folder");
        let other = root.path().join("other");
        fs::create_dir(&other).expect("folder");
        fs::set_permissions(&other, fs::Permissions::from_mode(0o750)).expect("mode");
        let living = OutputDir::create(&root.path().join("one"), &layout).expect("begun");
        assert!(!dead.exists());
        let second = OutputDir::create(&other, &layout).expect("begun");
        assert!(living.path().is_dir());
        // Another program writes to the folder meanwhile.
        fs::write(other.join("mine"), "").expect("write");
        assert!(matches!(second.publish(&NullSink), Err(Error::Target { why: Obstacle::NotEmpty, .. })));
        assert_eq!(names(&other), ["mine"]);
        living.publish(&NullSink).expect("placed");
        fs::remove_file(other.join("mine")).expect("removed");
        OutputDir::create(&other, &layout).expect("begun").publish(&NullSink).expect("placed");
        assert_eq!(fs::metadata(&other).expect("there").permissions().mode() & 0o777, 0o750);
        assert_eq!(names(root.path()), ["one", "other"]);
    }

    #[test]
    fn a_folder_in_the_mirror_or_an_existing_file_is_refused() {
        let root = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(root.path().join("mirror"));
        fs::create_dir_all(layout.crates()).expect("folder");
        fs::write(root.path().join("file"), "").expect("write");
        let refused = |folder: &str| match OutputDir::create(&root.path().join(folder), &layout) {
            Err(Error::Target { why, .. }) => Some(why),
            _ => None,
        };
        assert_eq!(refused("mirror/crates"), Some(Obstacle::InMirror));
        assert_eq!(refused("mirror/new/deep"), Some(Obstacle::InMirror));
        assert!(!layout.root().join("new").exists());
        assert_eq!(refused("file"), Some(Obstacle::NotAFolder));
        assert_eq!(refused("/"), Some(Obstacle::NotEmpty));
    }
}
