//! `done/` and `failed/` in the incoming folder: where bundles go when they are dealt with. Nothing there is ever
//! overwritten.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::open::regular;
use crate::bundle::name::is_bundles;

/// Where imported bundles go.
const DONE: &str = "done";
/// Where refused bundles go.
pub(super) const FAILED: &str = "failed";
/// What is added to a refused bundle's name for the file that says why.
pub(super) const REASON: &str = ".reason.txt";
/// The same once somebody has dismissed the refusal.
pub(super) const DISMISSED: &str = ".dismissed.txt";
/// How the line of a reason begins that says under which name the bundle arrived.
pub(super) const ARRIVED_AS: &str = "Arrived as: ";
/// How the reason of a bundle ends that is not kept: nothing but that tells it from one that was moved back.
pub(super) const DELETED: &str = "The bundle was deleted, as `keep_failed_packages = false` asks.\n";
/// Most bytes of a file's name, on every common file system.
const MAX_NAME: usize = 255;
/// Bytes of a reason that are read again.
const MOST_REASON: u64 = 64 * 1024;

/// The shelves of one incoming folder.
#[derive(Debug)]
pub(super) struct Shelves {
    folder: PathBuf,
    /// Reasons that were read, by the name of the bundle.
    known: HashMap<OsString, String>,
}

impl Shelves {
    /// The shelves in `folder`, which are made when something is put on them.
    pub(super) fn of(folder: &Path) -> Shelves {
        Shelves { folder: folder.to_owned(), known: HashMap::new() }
    }

    /// Moves an imported bundle to `done/`; says under which name. `None`: somebody else took it away.
    ///
    /// # Errors
    /// The file system's; the bundle is then where it was.
    pub(super) fn done(&self, name: &OsStr) -> io::Result<Option<OsString>> {
        self.put(name, DONE, None)
    }

    /// Moves a refused bundle to `failed/`, with its reason beside it.
    ///
    /// # Errors
    /// The file system's; the bundle is then where it was.
    pub(super) fn failed(&self, name: &OsStr, reason: &str) -> io::Result<Option<OsString>> {
        self.put(name, FAILED, Some(reason))
    }

    /// Deletes a bundle that was moved to `failed/` as `name` where that `is_judged` as the refused one. Its reason
    /// stays, and ends with [`DELETED`].
    ///
    /// # Errors
    /// The file system's; the bundle is then where it was.
    pub(super) fn delete_failed(&self, name: &OsStr, is_judged: impl Fn(&fs::Metadata) -> bool) -> io::Result<()> {
        let path = self.folder.join(FAILED).join(name);
        if !is_judged(&fs::metadata(&path)?) {
            return Ok(());
        }
        let reason = path.with_file_name(with_end(name, REASON));
        let mut file = OpenOptions::new().append(true).open(reason)?;
        file.write_all(format!("\n{DELETED}").as_bytes())?;
        file.sync_all()?;
        fs::remove_file(path)
    }

    /// Whether a bundle could be moved to `done/`.
    pub(super) fn can_move(&self) -> bool {
        let done = self.folder.join(DONE);
        is_writable(&self.folder) && (done.symlink_metadata().is_err() || (done.is_dir() && is_writable(&done)))
    }

    /// How many bundles are in `done/`.
    pub(super) fn count_done(&self) -> u64 {
        self.bundles(DONE).len() as u64
    }

    /// The bundles in `failed/` with their reasons: the `most` last by name, and how many there are.
    pub(super) fn list_failed(&mut self, most: usize) -> (Vec<(OsString, String)>, u64) {
        let mut names = self.failed_names();
        let count = names.len() as u64;
        names.sort();
        let names = names.split_off(names.len().saturating_sub(most));
        let mut known = std::mem::take(&mut self.known);
        let listed = names.into_iter().map(|name| {
            let reason = known.remove(&name).unwrap_or_else(|| self.read_reason(&name));
            (name, reason)
        });
        let listed: Vec<(OsString, String)> = listed.collect();
        self.known = listed.iter().cloned().collect();
        (listed, count)
    }

    /// The bundles in `failed/` that were dismissed, with their reasons: the `most` last by name.
    pub(super) fn list_dismissed(&self, most: usize) -> Vec<(OsString, String)> {
        let mut names = self.dismissed_names();
        names.sort();
        let names = names.split_off(names.len().saturating_sub(most));
        names.into_iter().map(|name| (name.clone(), self.read_reason(&name))).collect()
    }

    /// Names of the bundles in `failed/` that nobody has dismissed.
    pub(super) fn failed_names(&self) -> Vec<OsString> {
        let mut names = self.bundles(FAILED);
        names.retain(|name| !self.is_dismissed(name));
        names.extend(self.deleted());
        names
    }

    /// Names of the bundles in `failed/` that somebody has dismissed.
    pub(super) fn dismissed_names(&self) -> Vec<OsString> {
        let mut names = self.bundles(FAILED);
        names.retain(|name| self.is_dismissed(name));
        names
    }

    fn is_dismissed(&self, name: &OsStr) -> bool {
        self.folder.join(FAILED).join(with_end(name, DISMISSED)).symlink_metadata().is_ok()
    }

    fn bundles(&self, shelf: &str) -> Vec<OsString> {
        let Ok(entries) = fs::read_dir(self.folder.join(shelf)) else { return Vec::new() };
        let names = entries.flatten().filter(|entry| {
            // An empty file is a name that was taken for a bundle that never came, unless it says why it was refused.
            let has = |end| entry.path().with_file_name(with_end(&entry.file_name(), end)).is_file();
            let told = || has(REASON) || has(DISMISSED);
            let whole = |about: fs::Metadata| about.is_file() && (about.len() > 0 || told());
            is_bundles(&entry.file_name()) && entry.metadata().is_ok_and(whole)
        });
        names.map(|entry| entry.file_name()).collect()
    }

    /// Names of refused bundles of which only the reason is left.
    fn deleted(&self) -> Vec<OsString> {
        let folder = self.folder.join(FAILED);
        let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| {
            let name = entry.file_name().to_str()?.strip_suffix(REASON).map(OsString::from)?;
            let gone = is_bundles(&name) && folder.join(&name).symlink_metadata().is_err();
            (gone && ends_so(&entry.path(), DELETED)).then_some(name)
        });
        names.collect()
    }

    fn read_reason(&self, name: &OsStr) -> String {
        let path = |end| self.folder.join(FAILED).join(with_end(name, end));
        let text = read_text(&path(REASON)).or_else(|| read_text(&path(DISMISSED))).unwrap_or_default();
        let line = text.lines().next().filter(|line| !line.is_empty());
        line.unwrap_or("no reason is on record").to_owned()
    }

    /// The name is taken first by an empty file, so that two movers of one file never meet; the one who comes too late
    /// gives his name back.
    fn put(&self, name: &OsStr, shelf: &str, reason: Option<&str>) -> io::Result<Option<OsString>> {
        let from = self.folder.join(name);
        if from.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let shelf = self.folder.join(shelf);
        match fs::create_dir(&shelf) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && shelf.is_dir() => {}
            made => made?,
        }
        let (taken, path) = take_name(&shelf, name)?;
        let reason_path = shelf.join(with_end(&taken, REASON));
        let moved = match reason {
            // Never through a link: who may put files here may not write wherever this server may.
            Some(reason) => File::create_new(&reason_path)
                .and_then(|mut file| file.write_all(reason.as_bytes()))
                .and_then(|()| fs::rename(&from, &path)),
            None => fs::rename(&from, &path),
        };
        let Err(error) = moved else { return Ok(Some(taken)) };
        let mut kept = fs::remove_file(&path);
        if reason.is_some() {
            kept = kept.and(fs::remove_file(&reason_path));
        }
        match (error.kind(), kept) {
            (io::ErrorKind::NotFound, Ok(())) => Ok(None),
            _ => Err(error),
        }
    }
}

/// The name of the `number`th bundle called `name`: `NAME`, `NAME-2`, `NAME-3`…; a long one is cut, so that there is
/// room for the number and for [`REASON`].
fn numbered(name: &OsStr, number: u64) -> OsString {
    if number == 1 && name.len() + REASON.len() <= MAX_NAME {
        return name.to_owned();
    }
    let stem = Path::new(name).file_stem().unwrap_or(name);
    let end = Path::new(name).extension().unwrap_or_default().to_string_lossy();
    let end = if number == 1 { format!(".{end}") } else { format!("-{number}.{end}") };
    let room = MAX_NAME.saturating_sub(REASON.len() + end.len());
    if stem.len() <= room {
        return with_end(stem, &end);
    }
    let stem = stem.to_string_lossy();
    format!("{}{end}", &stem[..stem.floor_char_boundary(room)]).into()
}

/// Takes the first of the names for the bundle `name` that is free in `shelf`.
fn take_name(shelf: &Path, name: &OsStr) -> io::Result<(OsString, PathBuf)> {
    let mut number = 1u64;
    loop {
        let taken = numbered(name, number);
        let path = shelf.join(&taken);
        let reason_there = shelf.join(with_end(&taken, REASON)).symlink_metadata().is_ok();
        if !reason_there {
            match File::create_new(&path) {
                Ok(_) => return Ok((taken, path)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        number += 1;
    }
}

/// The text of a reason, as far as it is read.
pub(super) fn read_text(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    regular(path).and_then(|file| file.take(MOST_REASON).read_to_end(&mut text)).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Whether the file at `path` ends with `end`.
fn ends_so(path: &Path, end: &str) -> bool {
    let read = || {
        let mut file = regular(path)?;
        let mut text = vec![0; end.len()];
        file.seek(SeekFrom::End(-i64::try_from(end.len()).unwrap_or(i64::MAX)))?;
        file.read_exact(&mut text).map(|()| text)
    };
    read().is_ok_and(|text: Vec<u8>| text == end.as_bytes())
}

pub(super) fn with_end(name: &OsStr, end: &str) -> OsString {
    let mut whole = name.to_owned();
    whole.push(end);
    whole
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
    fn a_pipe_on_a_shelf_holds_nobody_up() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let failed = folder.path().join(FAILED);
        fs::create_dir(&failed).expect("folder");
        fs::write(failed.join("a.pkg"), "x").expect("write");
        for name in ["a.pkg.reason.txt", "b.pkg.reason.txt"] {
            let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600));
            rustix::fs::mknodat(rustix::fs::CWD, failed.join(name), kind, mode, 0).expect("a pipe");
        }
        let (listed, count) = Shelves::of(folder.path()).list_failed(10);
        assert_eq!((listed, count), (vec![("a.pkg".into(), "no reason is on record".to_owned())], 1));
    }

    #[test]
    fn nothing_on_a_shelf_is_overwritten() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut shelves = Shelves::of(folder.path());
        let name = OsStr::new("a.b.pkg");
        for text in ["one", "two", "three"] {
            fs::write(folder.path().join(name), text).expect("write");
            shelves.done(name).expect("moved").expect("there");
        }
        let done = folder.path().join("done");
        assert_eq!(names(&done), ["a.b-2.pkg", "a.b-3.pkg", "a.b.pkg"]);
        for (name, text) in [("a.b.pkg", "one"), ("a.b-2.pkg", "two"), ("a.b-3.pkg", "three")] {
            assert_eq!(fs::read_to_string(done.join(name)).expect("read"), text);
        }
        for reason in ["first\n\nmore", "second"] {
            fs::write(folder.path().join(name), "bad").expect("write");
            shelves.failed(name, reason).expect("moved").expect("there");
        }
        let (failed, count) = shelves.list_failed(10);
        let line = |name: &str, reason: &str| (OsString::from(name), reason.to_owned());
        assert_eq!((failed, count), (vec![line("a.b-2.pkg", "second"), line("a.b.pkg", "first")], 2));
        assert_eq!(shelves.list_failed(1).0, [line("a.b.pkg", "first")]);
        assert_eq!(shelves.count_done(), 3);
        // An empty one is refused as any other; a name that was only taken is none.
        fs::write(folder.path().join(name), "").expect("write");
        shelves.failed(name, "empty").expect("moved").expect("there");
        fs::write(folder.path().join("failed/taken.pkg"), "").expect("write");
        assert_eq!(shelves.list_failed(1), (vec![line("a.b.pkg", "first")], 3));
        assert!(shelves.list_failed(3).0.contains(&line("a.b-3.pkg", "empty")));
    }

    #[test]
    fn the_longest_names_can_be_refused_and_refused_again() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut shelves = Shelves::of(folder.path());
        for stem in ["a".repeat(251), "é".repeat(125), "b".repeat(241)] {
            let name = OsString::from(format!("{stem}.pkg"));
            for reason in ["first", "second"] {
                fs::write(folder.path().join(&name), "bad").expect("write");
                let moved = shelves.failed(&name, reason).expect("moved").expect("there");
                let moved = moved.to_str().expect("text");
                assert!(moved.len() <= 244 && moved.ends_with(".pkg"), "{moved}");
                let told = folder.path().join("failed").join(format!("{moved}.reason.txt"));
                assert_eq!(fs::read_to_string(told).expect("read"), reason);
                fs::write(folder.path().join(&name), "good").expect("write");
                shelves.done(&name).expect("moved").expect("there");
            }
        }
        assert_eq!((shelves.list_failed(9).1, shelves.count_done()), (6, 6));
        assert!(shelves.list_failed(9).0.iter().any(|(name, _)| name.to_string_lossy().ends_with("é-2.pkg")));
    }

    #[test]
    fn of_a_deleted_bundle_the_reason_counts_until_it_is_taken_away() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut shelves = Shelves::of(folder.path());
        let name = OsStr::new("a.pkg");
        fs::write(folder.path().join(name), "bad").expect("write");
        shelves.failed(name, "why\n").expect("moved").expect("there");
        // Another file has taken its place.
        shelves.delete_failed(name, |_| false).expect("left");
        assert_eq!(names(&folder.path().join("failed")).len(), 2);
        shelves.delete_failed(name, |about| about.len() == 3).expect("deleted");
        assert_eq!(names(&folder.path().join("failed")), ["a.pkg.reason.txt"]);
        for _ in 0..2 {
            assert_eq!(shelves.list_failed(9), (vec![(name.into(), "why".to_owned())], 1));
            shelves = Shelves::of(folder.path());
        }
        // A second of the same name, and then one that is moved back to be tried again.
        fs::write(folder.path().join(name), "bad").expect("write");
        let moved = shelves.failed(name, "again\n").expect("moved").expect("there");
        assert_eq!((moved.to_str(), shelves.list_failed(9).1), (Some("a-2.pkg"), 2));
        fs::rename(folder.path().join("failed/a-2.pkg"), folder.path().join("a-2.pkg")).expect("moved back");
        assert_eq!(Shelves::of(folder.path()).list_failed(9).1, 1);
        fs::remove_file(folder.path().join("failed/a.pkg.reason.txt")).expect("removed");
        assert_eq!(Shelves::of(folder.path()).list_failed(9).1, 0);
    }

    #[test]
    fn a_file_that_is_gone_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let shelves = Shelves::of(folder.path());
        assert_eq!(shelves.failed(OsStr::new("a.pkg"), "why").expect("no failure"), None);
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn a_folder_without_room_for_shelves_is_known() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let shelves = Shelves::of(folder.path());
        assert!(shelves.can_move());
        fs::write(folder.path().join("done"), "a file").expect("write");
        assert!(!shelves.can_move());
        fs::write(folder.path().join("a.pkg"), "x").expect("write");
        shelves.done(OsStr::new("a.pkg")).expect_err("no folder");
        assert_eq!(names(folder.path()), ["a.pkg", "done"]);
    }
}
