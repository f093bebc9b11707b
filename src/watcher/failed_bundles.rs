//! `failed/` for an administrator: lists rejected bundles with reasons, and retries, dismisses or deletes them.
//!
//! | on disk | meaning |
//! |---|---|
//! | `NAME.pkg` and `NAME.pkg.reason.txt` | rejected: an alarm |
//! | `NAME.pkg.reason.txt` alone, ending with a certain line | rejected and deleted because of `keep_failed_packages = false`: an alarm |
//! | `NAME.pkg` and `NAME.pkg.dismissed.txt` | rejected and dismissed: no alarm |
//!
//! An import of a valid bundle dismisses the rejected bundles that arrived under its name. Names are untrusted, because
//! they come from requests and from users who can write to the folder. A requested name is compared with the existing
//! names and never becomes a path. Neither `failed/` nor a bundle in it may be a link.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::processed::{
    self, ARRIVED_AS, DISMISSED_SUFFIX, FAILED_FOLDER, ProcessedFolders, REASON_SUFFIX, with_suffix,
};
use crate::bundle::file_name::is_bundle_file_name;
use crate::bundle::sanitize::sanitize_line;
use crate::error_report::Failure;
use crate::mirror::layout::Layout;
use crate::mirror::watcher_state::WatcherState;

/// Maximum number of rejected bundles that are listed by name.
pub const MAX_LISTED: usize = 100;

/// The rejected bundles of an incoming folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RejectedBundles {
    /// Bundles that raise an alarm: the last hundred by name.
    pub failed: Vec<RejectedBundle>,
    /// The total number of these bundles.
    pub failed_count: u64,
    /// Dismissed bundles: the last hundred by name.
    pub dismissed: Vec<RejectedBundle>,
}

/// A rejected bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedBundle {
    /// The name in `failed/`, with control characters made visible.
    pub file: String,
    /// Why it was rejected, in one line.
    pub reason: String,
    /// Whether the bundle still exists, and not only its reason.
    pub has_file: bool,
}

/// Why an operation on a rejected bundle failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No rejected bundle has this name.
    #[error("no rejected bundle has this name")]
    NotFound,
    /// Several bundles have the same displayed name.
    #[error("several rejected bundles have the same displayed name")]
    Ambiguous,
    /// Only the reason is left.
    #[error("the bundle was deleted when it was rejected, because of `keep_failed_packages = false`")]
    Deleted,
    /// The incoming folder already has a file of this name.
    #[error("the incoming folder already has a file `{0}`")]
    NameTaken(String),
    /// A file system operation failed.
    #[error("could not change `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The rejected bundles in `incoming`.
pub fn list(incoming: &Path) -> RejectedBundles {
    let mut processed_folders = ProcessedFolders::new(incoming);
    let (failed, failed_count) = processed_folders.list_failed(MAX_LISTED);
    let dismissed = processed_folders.list_dismissed(MAX_LISTED);
    let folder = incoming.join(FAILED_FOLDER);
    let refused = |list: Vec<(OsString, String)>| {
        let refused = list.into_iter().map(|(name, reason)| RejectedBundle {
            has_file: folder.join(&name).symlink_metadata().is_ok(),
            file: sanitize_line(&name.to_string_lossy()),
            reason,
        });
        refused.collect()
    };
    RejectedBundles { failed: refused(failed), failed_count, dismissed: refused(dismissed) }
}

/// The number of bundles in `done/` of `incoming`.
pub fn count_done(incoming: &Path) -> u64 {
    ProcessedFolders::new(incoming).count_done()
}

/// Moves the rejected bundle that is displayed as `file` back into the incoming folder. Returns its name there.
///
/// # Errors
/// See [`Error`]; nothing is changed then.
pub fn retry(incoming: &Path, file: &str) -> Result<OsString, Error> {
    let (folder, name) = find(incoming, file)?;
    let from = folder.join(&name);
    if from.symlink_metadata().is_err() {
        return Err(Error::Deleted);
    }
    let original =
        original_name(&folder, &name).filter(|arrived| is_bundle_file_name(arrived)).unwrap_or_else(|| name.clone());
    let to = incoming.join(&original);
    // Reserves the name first, so that a file that arrives meanwhile is not overwritten.
    match File::create_new(&to) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Error::NameTaken(sanitize_line(&original.to_string_lossy())));
        }
        Err(source) => return Err(Error::Io { path: to, source }),
    }
    if let Err(source) = fs::rename(&from, &to) {
        let _left = fs::remove_file(&to).is_err();
        return Err(Error::Io { path: from, source });
    }
    for end in [REASON_SUFFIX, DISMISSED_SUFFIX] {
        remove_if_exists(&folder.join(with_suffix(&name, end)))?;
    }
    Ok(original)
}

/// Dismisses the alarm of the rejected bundle that is displayed as `file`; the bundle stays in `failed/`.
///
/// # Errors
/// See [`Error`]; nothing is changed then.
pub fn dismiss(incoming: &Path, file: &str) -> Result<(), Error> {
    let (folder, name) = find(incoming, file)?;
    dismiss_entry(&folder, &name)
}

/// Deletes the rejected bundle that is displayed as `file`, and its reason.
///
/// # Errors
/// See [`Error`].
pub fn delete(incoming: &Path, file: &str) -> Result<(), Error> {
    let (folder, name) = find(incoming, file)?;
    // The reason is deleted last. Without it, the rest of an interrupted deletion would not count as a rejected bundle.
    for path in [name.clone(), with_suffix(&name, DISMISSED_SUFFIX), with_suffix(&name, REASON_SUFFIX)] {
        remove_if_exists(&folder.join(path))?;
    }
    Ok(())
}

/// Dismisses rejected bundles that arrived as `name`, because a valid bundle of that name was imported in another way.
/// Uses the incoming folder that a server last recorded for this mirror. Returns how many it dismissed.
///
/// # Errors
/// The record cannot be read.
pub fn dismiss_replaced(mirror: &Layout, name: &OsStr) -> Result<usize, Failure> {
    let Some(mut state) = WatcherState::read(mirror)? else { return Ok(0) };
    let dismissed = dismiss_superseded(&state.folder, name);
    if !dismissed.is_empty() {
        let names: Vec<String> = dismissed.iter().map(|name| sanitize_line(&name.to_string_lossy())).collect();
        state.failed.retain(|one| !names.contains(&one.file));
        state.failed_count = state.failed_count.saturating_sub(names.len() as u64);
        state.save(mirror)?;
    }
    Ok(dismissed.len())
}

/// Dismisses the rejected bundles in `incoming` that arrived as `name`, after the import of a valid bundle of that
/// name. Returns their names in `failed/`.
pub(super) fn dismiss_superseded(incoming: &Path, name: &OsStr) -> Vec<OsString> {
    let folder = incoming.join(FAILED_FOLDER);
    let mut dismissed = Vec::new();
    let stem = Path::new(name).file_stem().unwrap_or(name).to_string_lossy().into_owned();
    for entry in ProcessedFolders::new(incoming).failed_names() {
        // All names in `failed/` for one bundle begin alike; see `numbered_name`.
        let other = Path::new(&entry).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let other = other.rsplit_once('-').filter(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
        let may_match = entry == name || other.is_some_and(|(other, _)| !other.is_empty() && stem.starts_with(other));
        let matches_name = || original_name(&folder, &entry).map_or(entry == name, |arrived| arrived == name);
        if may_match && matches_name() {
            // A failed dismissal leaves the alarm visible; the import must not fail for it.
            if dismiss_entry(&folder, &entry).is_ok() {
                dismissed.push(entry);
            }
        }
    }
    dismissed.sort();
    dismissed
}

fn dismiss_entry(folder: &Path, name: &OsStr) -> Result<(), Error> {
    let reason = folder.join(with_suffix(name, REASON_SUFFIX));
    if folder.join(name).symlink_metadata().is_err() {
        return remove_if_exists(&reason);
    }
    let dismissed = folder.join(with_suffix(name, DISMISSED_SUFFIX));
    match fs::rename(&reason, &dismissed) {
        // A bundle without a reason, which a person put there by hand.
        Err(error) if error.kind() == io::ErrorKind::NotFound => match File::create_new(&dismissed) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(Error::Io { path: dismissed, source }),
            _ => Ok(()),
        },
        renamed => renamed.map_err(|source| Error::Io { path: reason, source }),
    }
}

/// The rejected bundle with this displayed name: `failed/` and its name there.
fn find(incoming: &Path, file: &str) -> Result<(PathBuf, OsString), Error> {
    let folder = incoming.join(FAILED_FOLDER);
    if !folder.symlink_metadata().is_ok_and(|about| about.is_dir()) {
        return Err(Error::NotFound);
    }
    let processed_folders = ProcessedFolders::new(incoming);
    let mut names = processed_folders.failed_names();
    names.extend(processed_folders.dismissed_names());
    names.retain(|name| sanitize_line(&name.to_string_lossy()) == file);
    match (names.pop(), names.is_empty()) {
        (None, _) => Err(Error::NotFound),
        (Some(name), true) => Ok((folder, name)),
        (Some(_), false) => Err(Error::Ambiguous),
    }
}

/// The name under which a rejected bundle arrived, if its reason states it.
fn original_name(folder: &Path, name: &OsStr) -> Option<OsString> {
    let text = [REASON_SUFFIX, DISMISSED_SUFFIX]
        .into_iter()
        .find_map(|end| processed::read_reason_text(&folder.join(with_suffix(name, end))))?;
    text.lines().find_map(|line| line.strip_prefix(ARRIVED_AS)).map(OsString::from)
}

fn remove_if_exists(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Io { path: path.to_owned(), source }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An incoming folder in which these bundles were rejected, in this order.
    fn folder_with_rejected(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("temporary folder");
        for name in names {
            fs::write(folder.path().join(name), "bad").expect("write");
            let text = super::super::move_to_failed::reason_text("why", "2026-01-01T00:00:00Z", true, OsStr::new(name));
            ProcessedFolders::new(folder.path())
                .move_to_failed(OsStr::new(name), &text)
                .expect("moved")
                .expect("there");
        }
        folder
    }

    fn names(list: &[RejectedBundle]) -> Vec<&str> {
        list.iter().map(|one| one.file.as_str()).collect()
    }

    fn files(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("list");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_retry_restores_the_original_name() {
        let incoming = folder_with_rejected(&["a.pkg", "a.pkg"]);
        assert_eq!(names(&list(incoming.path()).failed), ["a-2.pkg", "a.pkg"]);
        assert_eq!(retry(incoming.path(), "a-2.pkg").expect("moved"), "a.pkg");
        assert_eq!(files(incoming.path()), ["a.pkg", "failed"]);
        let taken = retry(incoming.path(), "a.pkg").expect_err("the name is taken");
        assert!(matches!(taken, Error::NameTaken(name) if name == "a.pkg"));
        assert_eq!(files(&incoming.path().join("failed")), ["a.pkg", "a.pkg.reason.txt"]);
        dismiss(incoming.path(), "a.pkg").expect("dismissed");
        fs::remove_file(incoming.path().join("a.pkg")).expect("removed");
        retry(incoming.path(), "a.pkg").expect("a dismissed one too");
        assert_eq!(files(&incoming.path().join("failed")), [""; 0]);
    }

    #[test]
    fn a_dismissed_bundle_is_not_failed_and_can_be_deleted() {
        let incoming = folder_with_rejected(&["a.pkg", "b.pkg"]);
        dismiss(incoming.path(), "a.pkg").expect("dismissed");
        dismiss(incoming.path(), "a.pkg").expect("dismissed already");
        let RejectedBundles { failed, failed_count, dismissed } = list(incoming.path());
        assert_eq!((names(&failed), failed_count), (vec!["b.pkg"], 1));
        let expected = RejectedBundle { file: "a.pkg".to_owned(), reason: "why".to_owned(), has_file: true };
        assert_eq!(dismissed, [expected]);
        // The next bundle of that name is a separate alarm.
        fs::write(incoming.path().join("a.pkg"), "bad").expect("write");
        ProcessedFolders::new(incoming.path())
            .move_to_failed(OsStr::new("a.pkg"), "again")
            .expect("moved")
            .expect("there");
        assert_eq!(names(&list(incoming.path()).failed), ["a-2.pkg", "b.pkg"]);
        for name in ["a.pkg", "a-2.pkg", "b.pkg"] {
            delete(incoming.path(), name).expect("deleted");
            assert!(matches!(delete(incoming.path(), name), Err(Error::NotFound)));
        }
        assert_eq!(files(&incoming.path().join("failed")), [""; 0]);
    }

    #[test]
    fn an_imported_bundle_dismisses_rejected_ones_of_its_name() {
        let incoming = folder_with_rejected(&["a.pkg", "a.pkg", "b.pkg", "a-7.pkg", "abc.pkg"]);
        assert_eq!(dismiss_superseded(incoming.path(), OsStr::new("a.pkg")), ["a-2.pkg", "a.pkg"]);
        let listed = list(incoming.path());
        assert_eq!(names(&listed.failed), ["a-7.pkg", "abc.pkg", "b.pkg"]);
        assert_eq!(names(&listed.dismissed), ["a-2.pkg", "a.pkg"]);
        dismiss_superseded(incoming.path(), OsStr::new("a-7.pkg"));
        assert_eq!(names(&list(incoming.path()).failed), ["abc.pkg", "b.pkg"]);
    }

    #[test]
    fn dismiss_and_delete_remove_the_reason_of_a_deleted_bundle() {
        for act in [dismiss, delete] {
            let incoming = folder_with_rejected(&["a.pkg"]);
            ProcessedFolders::new(incoming.path()).delete_failed(OsStr::new("a.pkg"), |_| true).expect("deleted");
            let listed = list(incoming.path());
            assert_eq!((listed.failed_count, listed.failed[0].has_file), (1, false));
            assert!(matches!(retry(incoming.path(), "a.pkg"), Err(Error::Deleted)));
            act(incoming.path(), "a.pkg").expect("done");
            assert_eq!(list(incoming.path()), RejectedBundles::default());
        }
    }

    #[cfg(unix)]
    #[test]
    fn hostile_names_and_links_are_not_followed() {
        use std::os::unix::ffi::OsStrExt;
        let incoming = folder_with_rejected(&["a.pkg"]);
        let outside = tempfile::tempdir().expect("temporary folder");
        fs::write(outside.path().join("b.pkg"), "mine").expect("write");
        let failed = incoming.path().join("failed");
        std::os::unix::fs::symlink(outside.path().join("b.pkg"), failed.join("link.pkg")).expect("link");
        let hostile = OsStr::from_bytes(b"x\x1b\xff<img>.pkg");
        fs::write(failed.join(hostile), "bad").expect("write");
        let alike = OsStr::from_bytes(b"x\x1b\xfe<img>.pkg");
        fs::write(failed.join(alike), "bad").expect("write");
        let path = outside.path().join("b.pkg");
        for name in
            ["../a.pkg", "failed/a.pkg", "/a.pkg", "link.pkg", "a.pkg.reason.txt", "", path.to_str().expect("text")]
        {
            for act in [dismiss, delete] {
                assert!(matches!(act(incoming.path(), name), Err(Error::NotFound)), "{name}");
            }
        }
        let shown = sanitize_line(&hostile.to_string_lossy());
        assert!(matches!(delete(incoming.path(), &shown), Err(Error::Ambiguous)));
        fs::remove_file(failed.join(alike)).expect("removed");
        delete(incoming.path(), &shown).expect("deleted");
        assert!(!failed.join(hostile).exists() && path.exists());
        // The folder itself is replaced.
        fs::remove_dir_all(&failed).expect("removed");
        std::os::unix::fs::symlink(outside.path(), &failed).expect("link");
        assert!(matches!(delete(incoming.path(), "b.pkg"), Err(Error::NotFound)));
        assert!(path.exists());
    }
}
