//! The snapshots built by this server, in `exports/` of the incoming folder, which the watcher ignores.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::bundle::file_name::is_bundle_file_name;
use crate::durable;
use crate::error_report::Failure;
use crate::units::format_time;

/// The name of the snapshots folder in the incoming folder.
const EXPORTS_FOLDER: &str = "exports";
/// Maximum number of listed snapshots; more copies of a mirror are unlikely.
const MAX_LISTED: usize = 1000;

/// A snapshot available for download.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Snapshot {
    /// The file name.
    pub(super) file: String,
    /// The file size in bytes.
    pub(super) bytes: u64,
    /// The creation time (RFC 3339, UTC).
    pub(super) created: String,
}

/// The snapshots folder of this incoming folder.
pub(super) fn folder(incoming: &Path) -> PathBuf {
    incoming.join(EXPORTS_FOLDER)
}

/// The existing snapshots, newest first.
///
/// # Errors
/// The file system's.
pub(super) fn list(incoming: &Path) -> Result<Vec<Snapshot>, Failure> {
    let folder = folder(incoming);
    let failed = |error| Failure::io(format!("could not list `{}`", folder.display()), error);
    if !is_folder(&folder) {
        return Ok(Vec::new());
    }
    let Some(entries) = durable::if_exists(fs::read_dir(&folder)).map_err(failed)? else { return Ok(Vec::new()) };
    let mut snapshots = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| is_snapshot_name(name)) else { continue };
        let Ok(about) = entry.path().symlink_metadata() else { continue };
        if about.is_file() {
            let created = about.modified().ok().and_then(|time| Timestamp::try_from(time).ok()).unwrap_or_default();
            let created = format_time(created);
            snapshots.push(Snapshot { file: name.to_owned(), bytes: about.len(), created });
        }
    }
    snapshots.sort_by(|a, b| (&b.created, &b.file).cmp(&(&a.created, &a.file)));
    snapshots.truncate(MAX_LISTED);
    Ok(snapshots)
}

/// The path of a listed snapshot with this name; links are not followed.
pub(super) fn find(incoming: &Path, name: &str) -> Option<PathBuf> {
    let folder = folder(incoming);
    let path = folder.join(Some(name).filter(|name| is_snapshot_name(name))?);
    let is_file = path.symlink_metadata().is_ok_and(|about| about.is_file());
    (is_folder(&folder) && is_file).then_some(path)
}

/// Deletes the snapshot with this name; returns `false` if it does not exist.
///
/// # Errors
/// The file system's.
pub(super) fn delete(incoming: &Path, name: &str) -> Result<bool, Failure> {
    let Some(path) = find(incoming, name) else { return Ok(false) };
    let removed = durable::if_exists(fs::remove_file(&path));
    let failed = |error| Failure::io(format!("could not delete `{}`", path.display()), error);
    Ok(removed.map_err(failed)?.is_some())
}

fn is_folder(folder: &Path) -> bool {
    folder.symlink_metadata().is_ok_and(|about| about.is_dir())
}

/// Whether the name is a valid snapshot name: plain characters only, without path separators.
fn is_snapshot_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.len() <= 100
        && name.starts_with("snapshot-")
        && is_bundle_file_name(OsStr::new(name))
        && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_with_a_snapshot_name_are_listed() {
        let incoming = tempfile::tempdir().expect("temporary folder");
        assert_eq!(list(incoming.path()).expect("listed"), Vec::new());
        let exports = folder(incoming.path());
        fs::create_dir(&exports).expect("folder");
        for name in ["snapshot-20260402-2130.pkg", "a.pkg", ".snapshot-x.pkg", "snapshot-ä.pkg", "snapshot-x.txt"] {
            fs::write(exports.join(name), "text").expect("write");
        }
        fs::create_dir(exports.join("snapshot-folder.pkg")).expect("folder");
        #[cfg(unix)]
        std::os::unix::fs::symlink("a.pkg", exports.join("snapshot-link.pkg")).expect("link");
        let names: Vec<String> = list(incoming.path()).expect("listed").into_iter().map(|one| one.file).collect();
        assert_eq!(names, ["snapshot-20260402-2130.pkg"]);
        assert!(find(incoming.path(), "snapshot-20260402-2130.pkg").is_some());
        for name in ["a.pkg", "snapshot-folder.pkg", "snapshot-link.pkg", "snapshot-/../x.pkg", "snapshot-none.pkg", ""]
        {
            assert_eq!(find(incoming.path(), name), None, "{name}");
            assert!(!delete(incoming.path(), name).expect("nothing to delete"), "{name}");
        }
        assert_eq!(fs::read_dir(&exports).expect("list").count(), 7);
        assert!(delete(incoming.path(), "snapshot-20260402-2130.pkg").expect("deleted"));
        assert_eq!(list(incoming.path()).expect("listed"), Vec::new());
        assert!(!delete(incoming.path(), "snapshot-20260402-2130.pkg").expect("gone already"));
    }
}
