//! The folder that an export makes: built beside its place, and placed by one rename when it is whole.
//!
//! While it is built it is locked, by the system's own lock on the folder itself, which dies with its writer. So a
//! leftover of a killed export is told from the work of a living one. Where folders cannot be locked (Windows, some
//! network file systems) leftovers stay; that is better than to remove what somebody is building.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Error, Obstacle, check_stopped, write_failed};
use crate::durable::{self, checkpoint};
use crate::event::Sink;
use crate::mirror::layout::Layout;

/// How the folder is called until it is whole.
const PREFIX: &str = ".frostmirror-export-";

/// A folder in the making. Dropped, it is gone.
pub(super) struct OutputDir {
    destination: PathBuf,
    work_dir: TempDir,
    _lock: Option<File>,
    /// Folders above it that were not there. Declared after `work`, for they can go only after it.
    _created_parents: CreatedParents,
}

impl OutputDir {
    /// Begins to make `folder`, and removes what killed exports left beside it.
    pub(super) fn create(folder: &Path, layout: &Layout) -> Result<OutputDir, Error> {
        let refused = |why| Error::Target { folder: folder.to_owned(), why };
        let existing = match fs::metadata(folder) {
            Ok(about) => Some(about),
            Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(folder).is_err() => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(refused(Obstacle::NotAFolder)),
            Err(error) => return Err(write_failed(folder)(error)),
        };
        let mut above = CreatedParents(Vec::new());
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
            // The folder that somebody made keeps its permissions.
            fs::set_permissions(work.path(), about.permissions()).map_err(write_failed(work.path()))?;
        }
        checkpoint("export:begun");
        Ok(OutputDir { destination, work_dir: work, _lock: locked, _created_parents: above })
    }

    /// Where to build.
    pub(super) fn path(&self) -> &Path {
        self.work_dir.path()
    }

    /// Makes everything durable, and gives the folder its name.
    pub(super) fn publish(self, sink: &dyn Sink) -> Result<PathBuf, Error> {
        let OutputDir { destination: place, work_dir: work, _lock: _locked, _created_parents: mut above } = self;
        // What is declared last goes first, and the folders above can go only after it.
        let work = work;
        checkpoint("export:filled");
        durable::sync_file_system(work.path()).map_err(write_failed(work.path()))?;
        checkpoint("export:synced");
        check_stopped(sink)?;
        if !sink.enter_commit() {
            return Err(Error::Stopped);
        }
        if cfg!(not(unix)) && place.is_dir() {
            // Unix renames to an empty folder, and to no other. Elsewhere it has to go first; it can only go if empty.
            fs::remove_dir(&place).map_err(write_failed(&place))?;
        }
        fs::rename(work.path(), &place).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty => Error::Target { folder: place.clone(), why: Obstacle::NotEmpty },
            io::ErrorKind::NotADirectory => Error::Target { folder: place.clone(), why: Obstacle::NotAFolder },
            _ => write_failed(&place)(source),
        })?;
        // What it was called is nobody's any more.
        let _renamed = work.keep();
        above.0.clear();
        let parent = place.parent().unwrap_or(&place);
        durable::sync_folder(parent).map_err(write_failed(parent))?;
        checkpoint("export:placed");
        Ok(place)
    }
}

/// Folders that were made for an export; they go again if nothing came of it.
struct CreatedParents(Vec<PathBuf>);

impl CreatedParents {
    fn create_all(&mut self, folder: &Path) -> io::Result<()> {
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
            // Not when somebody has put something there.
            let _kept = fs::remove_dir(folder).is_err();
        }
    }
}

/// A folder of an ordinary one's permissions, locked for as long as its writer lives.
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
                // Another export takes it for a leftover.
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(_)) => None,
            },
        };
        // One may have done so in the moment before the lock.
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

/// Removes folders whose writers are dead: the system took their locks away.
fn remove_leftovers(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !is_work_dir_name(&entry.file_name()) || !entry.file_type()?.is_dir() {
            continue;
        }
        let Ok(folder) = File::open(entry.path()) else { continue };
        if folder.try_lock().is_ok() {
            // What another user left is not ours to remove, and in nobody's way.
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

/// This system tells when it renames.
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
        // Somebody puts something there meanwhile.
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
