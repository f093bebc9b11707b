//! `done/` and `failed/` in the incoming folder, which receive processed bundles. Nothing there is ever overwritten.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::safe_open::open_regular;
use crate::bundle::file_name::is_bundle_file_name;

/// Folder of imported bundles.
const DONE_FOLDER: &str = "done";
/// Folder of rejected bundles.
pub(super) const FAILED_FOLDER: &str = "failed";
/// The suffix of the file that states why a bundle was rejected.
pub(super) const REASON_SUFFIX: &str = ".reason.txt";
/// The suffix of that file after an administrator dismissed the rejection.
pub(super) const DISMISSED_SUFFIX: &str = ".dismissed.txt";
/// The start of the line that states the name under which the bundle arrived.
pub(super) const ARRIVED_AS: &str = "Arrived as: ";
/// The last line of the reason if the bundle was deleted. Only this line distinguishes it from a bundle that was moved
/// back.
pub(super) const DELETED: &str = "The bundle was deleted because of `keep_failed_packages = false`.\n";
/// Maximum length of a file name in bytes, on every common file system.
const MAX_NAME_BYTES: usize = 255;
/// Maximum bytes that are read of a reason.
const MAX_REASON_BYTES: u64 = 64 * 1024;

/// The folders of processed bundles in one incoming folder.
#[derive(Debug)]
pub(super) struct ProcessedFolders {
    folder: PathBuf,
    /// Cached reasons, by the name of the bundle.
    reasons: HashMap<OsString, String>,
}

impl ProcessedFolders {
    /// Refers to the folders in `folder`; they are created when needed.
    pub(super) fn new(folder: &Path) -> ProcessedFolders {
        ProcessedFolders { folder: folder.to_owned(), reasons: HashMap::new() }
    }

    /// Moves an imported bundle to `done/` and returns its name there. Returns `None` if another process moved it away.
    ///
    /// # Errors
    /// A file system operation failed; the bundle is then unchanged.
    pub(super) fn move_to_done(&self, name: &OsStr) -> io::Result<Option<OsString>> {
        self.move_bundle(name, DONE_FOLDER, None)
    }

    /// Moves a rejected bundle to `failed/`, with its reason.
    ///
    /// # Errors
    /// A file system operation failed; the bundle is then unchanged.
    pub(super) fn move_to_failed(&self, name: &OsStr, reason: &str) -> io::Result<Option<OsString>> {
        self.move_bundle(name, FAILED_FOLDER, Some(reason))
    }

    /// Deletes a bundle that was moved to `failed/` as `name`, if `is_judged` confirms that it is the rejected one. Its
    /// reason stays, and ends with [`DELETED`].
    ///
    /// # Errors
    /// A file system operation failed; the bundle is then unchanged.
    pub(super) fn delete_failed(&self, name: &OsStr, is_judged: impl Fn(&fs::Metadata) -> bool) -> io::Result<()> {
        let path = self.folder.join(FAILED_FOLDER).join(name);
        if !is_judged(&fs::metadata(&path)?) {
            return Ok(());
        }
        let reason = path.with_file_name(with_suffix(name, REASON_SUFFIX));
        let mut file = OpenOptions::new().append(true).open(reason)?;
        file.write_all(format!("\n{DELETED}").as_bytes())?;
        file.sync_all()?;
        fs::remove_file(path)
    }

    /// Whether a bundle could be moved to `done/`.
    pub(super) fn can_move_to_done(&self) -> bool {
        let done = self.folder.join(DONE_FOLDER);
        is_writable(&self.folder) && (done.symlink_metadata().is_err() || (done.is_dir() && is_writable(&done)))
    }

    /// The number of bundles in `done/`.
    pub(super) fn count_done(&self) -> u64 {
        self.bundles_in(DONE_FOLDER).len() as u64
    }

    /// The bundles in `failed/` with their reasons: the last `limit` by name, and the total count.
    pub(super) fn list_failed(&mut self, limit: usize) -> (Vec<(OsString, String)>, u64) {
        let mut names = self.failed_names();
        let count = names.len() as u64;
        names.sort();
        let names = names.split_off(names.len().saturating_sub(limit));
        let mut reasons = std::mem::take(&mut self.reasons);
        let listed = names.into_iter().map(|name| {
            let reason = reasons.remove(&name).unwrap_or_else(|| self.read_reason(&name));
            (name, reason)
        });
        let listed: Vec<(OsString, String)> = listed.collect();
        self.reasons = listed.iter().cloned().collect();
        (listed, count)
    }

    /// The dismissed bundles in `failed/` with their reasons: the last `limit` by name.
    pub(super) fn list_dismissed(&self, limit: usize) -> Vec<(OsString, String)> {
        let mut names = self.dismissed_names();
        names.sort();
        let names = names.split_off(names.len().saturating_sub(limit));
        names.into_iter().map(|name| (name.clone(), self.read_reason(&name))).collect()
    }

    /// Names of the bundles in `failed/` that are not dismissed.
    pub(super) fn failed_names(&self) -> Vec<OsString> {
        let mut names = self.bundles_in(FAILED_FOLDER);
        names.retain(|name| !self.is_dismissed(name));
        names.extend(self.deleted_names());
        names
    }

    /// Names of the bundles in `failed/` that are dismissed.
    pub(super) fn dismissed_names(&self) -> Vec<OsString> {
        let mut names = self.bundles_in(FAILED_FOLDER);
        names.retain(|name| self.is_dismissed(name));
        names
    }

    fn is_dismissed(&self, name: &OsStr) -> bool {
        self.folder.join(FAILED_FOLDER).join(with_suffix(name, DISMISSED_SUFFIX)).symlink_metadata().is_ok()
    }

    fn bundles_in(&self, folder: &str) -> Vec<OsString> {
        let Ok(entries) = fs::read_dir(self.folder.join(folder)) else { return Vec::new() };
        let names = entries.flatten().filter(|entry| {
            // An empty file without a reason is only a reserved name.
            let has = |end| entry.path().with_file_name(with_suffix(&entry.file_name(), end)).is_file();
            let has_reason = || has(REASON_SUFFIX) || has(DISMISSED_SUFFIX);
            let is_bundle = |about: fs::Metadata| about.is_file() && (about.len() > 0 || has_reason());
            is_bundle_file_name(&entry.file_name()) && entry.metadata().is_ok_and(is_bundle)
        });
        names.map(|entry| entry.file_name()).collect()
    }

    /// Names of deleted bundles of which only the reason is left.
    fn deleted_names(&self) -> Vec<OsString> {
        let folder = self.folder.join(FAILED_FOLDER);
        let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| {
            let name = entry.file_name().to_str()?.strip_suffix(REASON_SUFFIX).map(OsString::from)?;
            let gone = is_bundle_file_name(&name) && folder.join(&name).symlink_metadata().is_err();
            (gone && ends_with(&entry.path(), DELETED)).then_some(name)
        });
        names.collect()
    }

    fn read_reason(&self, name: &OsStr) -> String {
        let path = |end| self.folder.join(FAILED_FOLDER).join(with_suffix(name, end));
        let text = read_reason_text(&path(REASON_SUFFIX))
            .or_else(|| read_reason_text(&path(DISMISSED_SUFFIX)))
            .unwrap_or_default();
        let line = text.lines().next().filter(|line| !line.is_empty());
        line.unwrap_or("no reason is recorded").to_owned()
    }

    /// Reserves the new name with an empty file first, so that two processes never move one file twice. The process
    /// that loses the race releases its name.
    fn move_bundle(&self, name: &OsStr, folder: &str, reason: Option<&str>) -> io::Result<Option<OsString>> {
        let from = self.folder.join(name);
        if from.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let target = self.folder.join(folder);
        match fs::create_dir(&target) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && target.is_dir() => {}
            made => made?,
        }
        let (reserved, path) = reserve_name(&target, name)?;
        let reason_path = target.join(with_suffix(&reserved, REASON_SUFFIX));
        let moved = match reason {
            // Must not follow a link: users who can write to this folder may not write wherever this server can.
            Some(reason) => File::create_new(&reason_path)
                .and_then(|mut file| file.write_all(reason.as_bytes()))
                .and_then(|()| fs::rename(&from, &path)),
            None => fs::rename(&from, &path),
        };
        let Err(error) = moved else { return Ok(Some(reserved)) };
        let mut cleanup = fs::remove_file(&path);
        if reason.is_some() {
            cleanup = cleanup.and(fs::remove_file(&reason_path));
        }
        match (error.kind(), cleanup) {
            (io::ErrorKind::NotFound, Ok(())) => Ok(None),
            _ => Err(error),
        }
    }
}

/// The name of the `number`th bundle called `name`: `NAME`, `NAME-2`, `NAME-3`…. A long name is truncated to leave
/// space for the number and for [`REASON_SUFFIX`].
fn numbered_name(name: &OsStr, number: u64) -> OsString {
    if number == 1 && name.len() + REASON_SUFFIX.len() <= MAX_NAME_BYTES {
        return name.to_owned();
    }
    let stem = Path::new(name).file_stem().unwrap_or(name);
    let end = Path::new(name).extension().unwrap_or_default().to_string_lossy();
    let end = if number == 1 { format!(".{end}") } else { format!("-{number}.{end}") };
    let max_stem = MAX_NAME_BYTES.saturating_sub(REASON_SUFFIX.len() + end.len());
    if stem.len() <= max_stem {
        return with_suffix(stem, &end);
    }
    let stem = stem.to_string_lossy();
    format!("{}{end}", &stem[..stem.floor_char_boundary(max_stem)]).into()
}

/// Reserves the first free name for the bundle `name` in `folder`.
fn reserve_name(folder: &Path, name: &OsStr) -> io::Result<(OsString, PathBuf)> {
    let mut number = 1u64;
    loop {
        let numbered_name = numbered_name(name, number);
        let path = folder.join(&numbered_name);
        let reason_there = folder.join(with_suffix(&numbered_name, REASON_SUFFIX)).symlink_metadata().is_ok();
        if !reason_there {
            match File::create_new(&path) {
                Ok(_) => return Ok((numbered_name, path)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        number += 1;
    }
}

/// The text of a reason, up to the maximum length.
pub(super) fn read_reason_text(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    open_regular(path).and_then(|file| file.take(MAX_REASON_BYTES).read_to_end(&mut text)).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Whether the file at `path` ends with `end`.
fn ends_with(path: &Path, end: &str) -> bool {
    let read = || {
        let mut file = open_regular(path)?;
        let mut text = vec![0; end.len()];
        file.seek(SeekFrom::End(-i64::try_from(end.len()).unwrap_or(i64::MAX)))?;
        file.read_exact(&mut text).map(|()| text)
    };
    read().is_ok_and(|text: Vec<u8>| text == end.as_bytes())
}

pub(super) fn with_suffix(name: &OsStr, end: &str) -> OsString {
    let mut full_name = name.to_owned();
    full_name.push(end);
    full_name
}

#[cfg(unix)]
fn is_writable(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
fn is_writable(folder: &Path) -> bool {
    folder.metadata().is_ok_and(|about| !about.permissions().readonly())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("list");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_pipe_in_failed_does_not_block() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let failed = folder.path().join(FAILED_FOLDER);
        fs::create_dir(&failed).expect("folder");
        fs::write(failed.join("a.pkg"), "x").expect("write");
        for name in ["a.pkg.reason.txt", "b.pkg.reason.txt"] {
            let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600));
            rustix::fs::mknodat(rustix::fs::CWD, failed.join(name), kind, mode, 0).expect("a pipe");
        }
        let (listed, count) = ProcessedFolders::new(folder.path()).list_failed(10);
        assert_eq!((listed, count), (vec![("a.pkg".into(), "no reason is recorded".to_owned())], 1));
    }

    #[test]
    fn processed_bundles_are_never_overwritten() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut processed_folders = ProcessedFolders::new(folder.path());
        let name = OsStr::new("a.b.pkg");
        for text in ["one", "two", "three"] {
            fs::write(folder.path().join(name), text).expect("write");
            processed_folders.move_to_done(name).expect("moved").expect("there");
        }
        let done = folder.path().join("done");
        assert_eq!(names(&done), ["a.b-2.pkg", "a.b-3.pkg", "a.b.pkg"]);
        for (name, text) in [("a.b.pkg", "one"), ("a.b-2.pkg", "two"), ("a.b-3.pkg", "three")] {
            assert_eq!(fs::read_to_string(done.join(name)).expect("read"), text);
        }
        for reason in ["first\n\nmore", "second"] {
            fs::write(folder.path().join(name), "bad").expect("write");
            processed_folders.move_to_failed(name, reason).expect("moved").expect("there");
        }
        let (failed, count) = processed_folders.list_failed(10);
        let line = |name: &str, reason: &str| (OsString::from(name), reason.to_owned());
        assert_eq!((failed, count), (vec![line("a.b-2.pkg", "second"), line("a.b.pkg", "first")], 2));
        assert_eq!(processed_folders.list_failed(1).0, [line("a.b.pkg", "first")]);
        assert_eq!(processed_folders.count_done(), 3);
        // An empty bundle is rejected like any other; a reserved name is not a bundle.
        fs::write(folder.path().join(name), "").expect("write");
        processed_folders.move_to_failed(name, "empty").expect("moved").expect("there");
        fs::write(folder.path().join("failed/taken.pkg"), "").expect("write");
        assert_eq!(processed_folders.list_failed(1), (vec![line("a.b.pkg", "first")], 3));
        assert!(processed_folders.list_failed(3).0.contains(&line("a.b-3.pkg", "empty")));
    }

    #[test]
    fn the_longest_names_can_be_rejected_repeatedly() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut processed_folders = ProcessedFolders::new(folder.path());
        for stem in ["a".repeat(251), "é".repeat(125), "b".repeat(241)] {
            let name = OsString::from(format!("{stem}.pkg"));
            for reason in ["first", "second"] {
                fs::write(folder.path().join(&name), "bad").expect("write");
                let moved = processed_folders.move_to_failed(&name, reason).expect("moved").expect("there");
                let moved = moved.to_str().expect("text");
                assert!(moved.len() <= 244 && moved.ends_with(".pkg"), "{moved}");
                let reported = folder.path().join("failed").join(format!("{moved}.reason.txt"));
                assert_eq!(fs::read_to_string(reported).expect("read"), reason);
                fs::write(folder.path().join(&name), "good").expect("write");
                processed_folders.move_to_done(&name).expect("moved").expect("there");
            }
        }
        assert_eq!((processed_folders.list_failed(9).1, processed_folders.count_done()), (6, 6));
        assert!(processed_folders.list_failed(9).0.iter().any(|(name, _)| name.to_string_lossy().ends_with("é-2.pkg")));
    }

    #[test]
    fn the_reason_of_a_deleted_bundle_counts_until_removed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut processed_folders = ProcessedFolders::new(folder.path());
        let name = OsStr::new("a.pkg");
        fs::write(folder.path().join(name), "bad").expect("write");
        processed_folders.move_to_failed(name, "why\n").expect("moved").expect("there");
        // Another file has replaced it.
        processed_folders.delete_failed(name, |_| false).expect("left");
        assert_eq!(names(&folder.path().join("failed")).len(), 2);
        processed_folders.delete_failed(name, |about| about.len() == 3).expect("deleted");
        assert_eq!(names(&folder.path().join("failed")), ["a.pkg.reason.txt"]);
        for _ in 0..2 {
            assert_eq!(processed_folders.list_failed(9), (vec![(name.into(), "why".to_owned())], 1));
            processed_folders = ProcessedFolders::new(folder.path());
        }
        // A second bundle with the same name, and then one that is moved back for a retry.
        fs::write(folder.path().join(name), "bad").expect("write");
        let moved = processed_folders.move_to_failed(name, "again\n").expect("moved").expect("there");
        assert_eq!((moved.to_str(), processed_folders.list_failed(9).1), (Some("a-2.pkg"), 2));
        fs::rename(folder.path().join("failed/a-2.pkg"), folder.path().join("a-2.pkg")).expect("moved back");
        assert_eq!(ProcessedFolders::new(folder.path()).list_failed(9).1, 1);
        fs::remove_file(folder.path().join("failed/a.pkg.reason.txt")).expect("removed");
        assert_eq!(ProcessedFolders::new(folder.path()).list_failed(9).1, 0);
    }

    #[test]
    fn a_missing_file_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let processed_folders = ProcessedFolders::new(folder.path());
        assert_eq!(processed_folders.move_to_failed(OsStr::new("a.pkg"), "why").expect("no failure"), None);
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn an_unusable_done_folder_is_detected() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let processed_folders = ProcessedFolders::new(folder.path());
        assert!(processed_folders.can_move_to_done());
        fs::write(folder.path().join("done"), "a file").expect("write");
        assert!(!processed_folders.can_move_to_done());
        fs::write(folder.path().join("a.pkg"), "x").expect("write");
        processed_folders.move_to_done(OsStr::new("a.pkg")).expect_err("no folder");
        assert_eq!(names(folder.path()), ["a.pkg", "done"]);
    }
}
