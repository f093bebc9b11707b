//! One file of the incoming folder: looked at, tried, and moved where it belongs.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use super::open::regular;
use super::refused;
use super::settle::{Stamp, Verdict};
use super::shelves::Shelves;
use crate::bundle::format::{BundleKind, MAGIC};
use crate::bundle::name::is_bundles;
use crate::bundle::open::{self, Bundle};
use crate::env::Env;
use crate::event::Sink;
use crate::failure::{Class, Failure};
use crate::mirror::chain::Place;
use crate::mirror::gc;
use crate::mirror::import::{self, ImportOptions};
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::mirror::lock::{Holder, lock_for_adding};
use crate::panics::caught;
use crate::server_config::{self, Live};

/// Takes bundles of one folder into one mirror.
pub(super) struct Taker {
    pub(super) folder: PathBuf,
    pub(super) mirror: Layout,
    pub(super) live: Arc<Live>,
    pub(super) env: Env,
    pub(super) clock: fn() -> Timestamp,
    pub(super) sink: Arc<dyn Sink>,
    /// Set when everything is to end; a bundle that is being read is then left where it is.
    pub(super) stopped: Arc<AtomicBool>,
}

/// A bundle whose manifest was read.
struct Opened {
    bundle: Bundle<Box<dyn Read>>,
    /// Bytes of its file.
    length: u64,
    /// Whether it is of our own format, rather than of frostmirror 1.x.
    ours: bool,
}

/// What is in the folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Files that are named as bundles.
    pub(super) files: BTreeMap<OsString, Stamp>,
    /// What is named as a bundle and is no file.
    pub(super) others: Vec<OsString>,
}

impl Taker {
    /// Lists the folder's top level.
    pub(super) fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            if !is_bundles(&name) {
                continue;
            }
            match fs::symlink_metadata(self.folder.join(&name)) {
                Ok(about) if about.is_file() => {
                    listing.files.insert(name, stamp_of(&about));
                }
                // Moved away by somebody since it was listed.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                // A link, a folder, a pipe: one of them must not stop everything else.
                Ok(_) | Err(_) => listing.others.push(name),
            }
        }
        Ok(listing)
    }

    /// The file as it is now; `None` where it is gone or cannot be asked.
    pub(super) fn stamp(&self, name: &OsStr) -> Option<Stamp> {
        let about = fs::symlink_metadata(self.folder.join(name)).ok()?;
        about.is_file().then(|| stamp_of(&about))
    }

    /// Reads the manifest alone. `last`: whether the file has been left alone long enough to be refused; until then,
    /// one that is shorter than its manifest says is not read any further.
    ///
    /// # Errors
    /// What is to be said of the file already.
    pub(super) fn look(&self, name: &OsStr, last: bool) -> Result<Place, Verdict> {
        let Opened { bundle, length, ours } =
            caught(|| self.open(name)).unwrap_or_else(|bug| Err(verdict_of(bug.into())))?;
        let manifest = bundle.manifest();
        let stored = manifest.blocks.iter().try_fold(0u64, |sum, block| sum.checked_add(block.stored_size()?));
        if ours && !last && stored.is_some_and(|stored| stored > length) {
            return Err(Verdict::Bad(format!("`{}` is shorter than its manifest says", shown(name))));
        }
        let place = Place::of(manifest);
        drop(bundle);
        // What cannot be moved away would be imported again after each start. Elsewhere that is what a user wants who
        // brings a bundle a second time: it mends files that have rotted.
        let records = ledger::names(&self.mirror).map_err(|error| Verdict::Hindered(one_line(&error.into())))?;
        if ledger::holds(&records, &place.id) && !Shelves::of(&self.folder).can_move() {
            return Err(Verdict::Imported);
        }
        Ok(place)
    }

    /// Imports the file that had the stamp `before`, and moves it to `done/`; both under the mirror's lock, so that of
    /// two servers the second finds it gone. For that lock it waits at most for `timeout`. Says too whether the mirror has
    /// taken it.
    pub(super) fn import(&self, name: &OsStr, before: Stamp, timeout: Duration, sink: &dyn Sink) -> (Verdict, bool) {
        let mut taken = false;
        let verdict = caught(|| self.try_import(name, before, timeout, sink, &mut taken))
            .unwrap_or_else(|bug| verdict_of(bug.into()));
        (verdict, taken)
    }

    fn try_import(&self, name: &OsStr, before: Stamp, timeout: Duration, sink: &dyn Sink, taken: &mut bool) -> Verdict {
        let now = (self.clock)();
        let me = Holder::this_process("serve", &self.env, now);
        let mut guard = match lock_for_adding(&self.mirror, timeout, &me, sink) {
            Ok(guard) => guard,
            Err(error) => {
                let failure = Failure::from(error);
                return match failure.class {
                    Class::Locked => Verdict::Busy(one_line(&failure)),
                    _ => Verdict::Hindered(one_line(&failure)),
                };
            }
        };
        if self.stamp(name).is_none() {
            return Verdict::Gone;
        }
        let Opened { bundle, length, .. } = match self.open(name) {
            Ok(opened) => opened,
            Err(verdict) => return verdict,
        };
        let options = ImportOptions {
            base_url: None,
            rehash_held: self.live.current().verify_checksums,
            file_name: shown(name),
            length: Some(length),
            now,
        };
        // What stands in the configuration's folder says nothing of the bundle, which waits until that is mended.
        let not_restored = |error: server_config::Error| Verdict::Hindered(one_line(&error.into()));
        if bundle.manifest().kind == BundleKind::Snapshot
            && let Err(error) = server_config::check(self.live.folder())
        {
            return not_restored(error);
        }
        let imported = match guard.import(bundle, &options, sink) {
            Ok(imported) => imported,
            Err(error) => return verdict(error),
        };
        *taken = true;
        let _dismissed = refused::resolve(&self.folder, name);
        if let Err(error) = self.live.restore(&imported.config, sink) {
            return not_restored(error);
        }
        if self.stamp(name) != Some(before) {
            return Verdict::Imported;
        }
        match Shelves::of(&self.folder).done(name) {
            Ok(_) => Verdict::Gone,
            Err(error) => {
                self.sink.warning(format!("{} is imported, and could not be moved to done/: {error}", shown(name)));
                Verdict::Imported
            }
        }
    }

    /// Collects garbage; says whether there is nothing more to do about it.
    pub(super) fn prune(&self) -> bool {
        let now = (self.clock)();
        let me = Holder::this_process("serve --watch-incoming", &self.env, now);
        let Err(error) = gc::prune(&self.mirror, Duration::ZERO, &me, now, self.sink.as_ref()) else { return true };
        let failure = Failure::from(error);
        if failure.class == Class::Locked {
            return false;
        }
        self.sink.warning(format!("the mirror was not pruned: {}", one_line(&failure)));
        true
    }

    /// Opens a bundle and reads its manifest.
    fn open(&self, name: &OsStr) -> Result<Opened, Verdict> {
        let path = self.folder.join(name);
        let hindered = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => Verdict::Gone,
            _ => Verdict::Hindered(one_line(&Failure::io(format!("could not read `{}`", path.display()), source))),
        };
        let mut file = regular(&path).map_err(hindered)?;
        let length = file.metadata().map_err(hindered)?.len();
        let mut start = Vec::new();
        (&mut file).take(MAGIC.len() as u64).read_to_end(&mut start).map_err(hindered)?;
        file.rewind().map_err(hindered)?;
        let reader = Box::new(Stoppable { file, stopped: Arc::clone(&self.stopped) });
        let root = self.mirror.root();
        let spool = root.ancestors().find(|folder| folder.is_dir()).unwrap_or(root);
        let bundle = open::open_any(reader, &shown(name), spool).map_err(verdict_of_open)?;
        Ok(Opened { bundle, length, ours: start == MAGIC })
    }
}

fn verdict(error: import::Error) -> Verdict {
    match error {
        import::Error::Open(error) => verdict_of_open(error),
        import::Error::MissingBase { .. } => Verdict::BaseMissing(one_line(&error.into())),
        error => verdict_of(error.into()),
    }
}

fn verdict_of_open(error: open::Error) -> Verdict {
    match error {
        // A disk or a network that fails says nothing of the bundle.
        open::Error::Io { .. } | open::Error::Spool { .. } | open::Error::Visitor { .. } => {
            Verdict::Hindered(one_line(&error.into()))
        }
        error => verdict_of(error.into()),
    }
}

fn verdict_of(failure: Failure) -> Verdict {
    match failure.class {
        Class::Disk | Class::Locked | Class::Network | Class::Interrupted => Verdict::Hindered(one_line(&failure)),
        Class::Bug | Class::Usage | Class::Input | Class::Integrity => Verdict::Bad(in_full(&failure)),
    }
}

/// A failure in one line, without its hint.
fn one_line(failure: &Failure) -> String {
    let mut parts: Vec<String> = failure.doing.iter().cloned().collect();
    let mut next: Option<&dyn Error> = Some(failure.cause.as_ref());
    while let Some(error) = next {
        let part = plain(&error.to_string().replace('\n', "; "));
        // Transparent wrappers repeat their source's words.
        if parts.last() != Some(&part) {
            parts.push(part);
        }
        next = error.source();
    }
    parts.join(": ")
}

/// A failure as the file beside a refused bundle has it: one line, then all of it.
fn in_full(failure: &Failure) -> String {
    let mut text = format!("{}\n\nerror: {failure}\n", one_line(failure));
    if let Some(hint) = &failure.hint {
        text.push_str(&format!("\nhint: {hint}\n"));
    }
    text
}

/// A file's name for people.
pub(super) fn shown(name: &OsStr) -> String {
    plain(&name.to_string_lossy())
}

/// A text in which nothing steers a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

pub(super) fn stamp_of(about: &Metadata) -> Stamp {
    Stamp { size: about.len(), modified: about.modified().ok(), number: number_of(about) }
}

#[cfg(unix)]
fn number_of(about: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(about)
}

#[cfg(not(unix))]
fn number_of(_: &Metadata) -> u64 {
    0
}

/// Which folder `path` is, to see whether another one has taken its place.
#[cfg(unix)]
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|about| (about.dev(), about.ino()))
}

/// Which folder `path` is; without numbers, only whether it is there.
#[cfg(not(unix))]
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    path.is_dir().then_some((0, 0))
}

/// A file whose reading ends with an error once everything is to end.
struct Stoppable {
    file: File,
    stopped: Arc<AtomicBool>,
}

impl Read for Stoppable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("the server is stopping"));
        }
        self.file.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io_error(kind: io::ErrorKind) -> io::Error {
        io::Error::from(kind)
    }

    #[test]
    fn only_the_bundles_own_faults_are_held_against_it() {
        let name = || "a.pkg".to_owned();
        let read = open::Error::Io { name: name(), source: io_error(io::ErrorKind::PermissionDenied) };
        assert!(matches!(verdict_of_open(read), Verdict::Hindered(reason) if reason.contains("a.pkg")));
        let spool =
            open::Error::Spool { name: name(), folder: "/m".into(), source: io_error(io::ErrorKind::StorageFull) };
        assert!(matches!(verdict(import::Error::Open(spool)), Verdict::Hindered(_)));
        let full = import::Error::NoSpace { file: name(), root: "/m".into(), needed: 7, free: 6 };
        assert!(matches!(verdict(full), Verdict::Hindered(reason) if reason.contains("needs 7 bytes")));
        let parent = Some("base.pkg".to_owned());
        let missing = import::Error::MissingBase { file: name(), parent, missing: 2, first: "b 1.0.0".to_owned() };
        assert!(matches!(verdict(missing), Verdict::BaseMissing(reason) if reason.contains("base.pkg")));
        let header = open::Error::Header { name: name(), fault: "the file is empty".to_owned() };
        assert!(matches!(verdict_of_open(header), Verdict::Bad(_)));
        let problems = import::Problems(vec!["one: bad".to_owned(), "two: bad".to_owned()]);
        let Verdict::Bad(text) = verdict(import::Error::Bad { file: name(), problems }) else { panic!("not bad") };
        let mut lines = text.lines();
        assert_eq!(
            lines.next(),
            Some("the bundle `a.pkg` is not good; nothing of it was imported: one: bad; two: bad")
        );
        assert!(text.contains("\nerror: the bundle") && text.contains("\nhint: copy the bundle again"), "{text}");
    }

    #[test]
    fn a_reader_ends_when_it_is_told_to() {
        let file = tempfile::tempfile().expect("temporary file");
        file.set_len(10).expect("length");
        let stopped = Arc::new(AtomicBool::new(false));
        let mut reader = Stoppable { file, stopped: Arc::clone(&stopped) };
        let mut byte = [0];
        reader.read_exact(&mut byte).expect("goes on");
        stopped.store(true, Ordering::Relaxed);
        reader.read_exact(&mut byte).expect_err("ends");
    }
}
