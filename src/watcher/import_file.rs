//! Inspects one file of the incoming folder, imports it, and moves it away.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::failed_bundles;
use super::file_state::{FileStamp, Obstacle, Outcome};
use super::processed::ProcessedFolders;
use super::safe_open::open_regular;
use crate::bundle::file_name::is_bundle_file_name;
use crate::bundle::format::{BundleKind, MAGIC};
use crate::bundle::open::{self, Bundle};
use crate::bundle::sanitize::sanitize_to_length;
use crate::config;
use crate::error_report::{ErrorClass, Failure, replace_control};
use crate::event::Sink;
use crate::mirror::gc;
use crate::mirror::import::{self, ImportOptions};
use crate::mirror::import_order::BundlePosition;
use crate::mirror::ledger;
use crate::mirror::lock::lock_for_adding;
use crate::panics::catch_panic;
use crate::server_context::ServerContext;

/// Imports bundles of the incoming folder into the mirror.
pub(super) struct FileImporter {
    pub(super) context: ServerContext,
    /// Set when the watcher must stop; a bundle that is being read then stays in place.
    pub(super) is_stopping: Arc<AtomicBool>,
}

/// A bundle whose manifest was read.
struct OpenedBundle {
    bundle: Bundle<Box<dyn Read>>,
    /// Length of the file in bytes.
    length: u64,
    /// Whether the bundle has the native format rather than that of frostmirror 1.x.
    is_native: bool,
}

/// The content of the incoming folder.
#[derive(Debug, Default)]
pub(super) struct FolderListing {
    /// Files with a bundle's name.
    pub(super) files: BTreeMap<OsString, FileStamp>,
    /// Entries with a bundle's name that are not regular files.
    pub(super) non_files: Vec<OsString>,
}

impl FileImporter {
    /// Lists the folder's top level.
    pub(super) fn list(&self) -> io::Result<FolderListing> {
        let mut listing = FolderListing::default();
        for entry in fs::read_dir(&self.context.incoming)? {
            let name = entry?.file_name();
            if !is_bundle_file_name(&name) {
                continue;
            }
            match fs::symlink_metadata(self.context.incoming.join(&name)) {
                Ok(about) if about.is_file() => {
                    listing.files.insert(name, file_stamp(&about));
                }
                // Another process moved it away after the listing.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                // A link, a folder or a pipe; one such entry must not block all others.
                Ok(_) | Err(_) => listing.non_files.push(name),
            }
        }
        Ok(listing)
    }

    /// The current stamp of the file; `None` if it does not exist or cannot be queried.
    pub(super) fn stamp(&self, name: &OsStr) -> Option<FileStamp> {
        let about = fs::symlink_metadata(self.context.incoming.join(name)).ok()?;
        about.is_file().then(|| file_stamp(&about))
    }

    /// Reads only the manifest. `can_reject` says whether the file was unchanged long enough to be rejected. Until
    /// then, a file shorter than its manifest states is not read further.
    ///
    /// # Errors
    /// The outcome, if it is already known.
    pub(super) fn read_position(&self, name: &OsStr, can_reject: bool) -> Result<BundlePosition, Outcome> {
        let OpenedBundle { bundle, length, is_native } =
            catch_panic(|| self.open_bundle(name)).unwrap_or_else(|bug| Err(failure_outcome(bug.into())))?;
        let manifest = bundle.manifest();
        let stored = manifest.blocks.iter().try_fold(0u64, |sum, block| sum.checked_add(block.stored_size()?));
        if is_native && !can_reject && stored.is_some_and(|stored| stored > length) {
            return Err(Outcome::Invalid(format!("`{}` is shorter than its manifest states", display_name(name))));
        }
        let position = BundlePosition::from_manifest(manifest);
        drop(bundle);
        // If the watcher cannot move a bundle away, it would import it again after each start. Elsewhere a second
        // import is useful: it repairs corrupt files.
        let records = ledger::record_names(&self.context.mirror)
            .map_err(|error| Outcome::Blocked(obstacle(&Failure::from(error))))?;
        if ledger::contains_bundle(&records, &position.id)
            && !ProcessedFolders::new(&self.context.incoming).can_move_to_done()
        {
            return Err(Outcome::Imported);
        }
        Ok(position)
    }

    /// Imports the file that had the stamp `before`, and moves it to `done/`. Both happen under the mirror's lock, so a
    /// second server no longer finds the file. Waits for the lock at most `timeout`. Also returns whether the mirror
    /// contains the bundle.
    pub(super) fn import(
        &self,
        name: &OsStr,
        before: FileStamp,
        timeout: Duration,
        sink: &dyn Sink,
    ) -> (Outcome, bool) {
        let mut was_imported = false;
        let outcome = catch_panic(|| self.try_import(name, before, timeout, sink, &mut was_imported))
            .unwrap_or_else(|bug| failure_outcome(bug.into()));
        let outcome = match outcome {
            Outcome::Invalid(text) => Outcome::Invalid(self.context.mirror.fill_in(&text)),
            outcome => outcome,
        };
        (outcome, was_imported)
    }

    fn try_import(
        &self,
        name: &OsStr,
        before: FileStamp,
        timeout: Duration,
        sink: &dyn Sink,
        was_imported: &mut bool,
    ) -> Outcome {
        let now = self.context.now();
        let me = self.context.lock_holder("serve");
        let mut guard = match lock_for_adding(&self.context.mirror, timeout, &me, sink) {
            Ok(guard) => guard,
            Err(error) => {
                let failure = Failure::from(error);
                return match failure.class {
                    // The hint is about an option of other verbs; the watcher tries again by itself.
                    ErrorClass::Locked => Outcome::MirrorLocked(Obstacle { hint: None, ..obstacle(&failure) }),
                    _ => Outcome::Blocked(obstacle(&failure)),
                };
            }
        };
        if self.stamp(name).is_none() {
            return Outcome::Gone;
        }
        let OpenedBundle { bundle, length, .. } = match self.open_bundle(name) {
            Ok(opened) => opened,
            Err(verdict) => return verdict,
        };
        let options = ImportOptions {
            base_url: None,
            verify_existing: self.context.settings.current().verify_checksums,
            file_name: display_name(name),
            bundle_length: Some(length),
            now,
        };
        // An error in the configuration folder says nothing about the bundle, which waits until it is fixed.
        let not_restored = |error: config::Error| Outcome::Blocked(obstacle(&Failure::from(error)));
        if bundle.manifest().kind == BundleKind::Snapshot
            && let Err(error) = config::check_files(self.context.settings.folder())
        {
            return not_restored(error);
        }
        let imported = match guard.import(bundle, &options, sink) {
            Ok(imported) => imported,
            Err(error) => return import_error_outcome(error),
        };
        *was_imported = true;
        let _dismissed = failed_bundles::dismiss_superseded(&self.context.incoming, name);
        if let Err(error) = self.context.settings.restore(&imported.config, sink) {
            return not_restored(error);
        }
        if self.stamp(name) != Some(before) {
            return Outcome::Imported;
        }
        match ProcessedFolders::new(&self.context.incoming).move_to_done(name) {
            Ok(_) => Outcome::Gone,
            Err(error) => {
                self.context
                    .sink
                    .warning(format!("{} was imported, but could not be moved to done/: {error}", display_name(name)));
                Outcome::Imported
            }
        }
    }

    /// Collects garbage. Returns whether the request is finished.
    pub(super) fn prune(&self) -> bool {
        let now = self.context.now();
        let me = self.context.lock_holder("serve --watch-incoming");
        let Err(error) =
            gc::collect_with_defaults(&self.context.mirror, Duration::ZERO, &me, now, self.context.sink.as_ref())
        else {
            return true;
        };
        let failure = Failure::from(error);
        if failure.class == ErrorClass::Locked {
            return false;
        }
        self.context.sink.warning(format!("the mirror was not pruned: {}", failure.one_line()));
        true
    }

    /// Opens a bundle and reads its manifest.
    fn open_bundle(&self, name: &OsStr) -> Result<OpenedBundle, Outcome> {
        let path = self.context.incoming.join(name);
        let blocked = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => Outcome::Gone,
            _ => Outcome::Blocked(obstacle(&Failure::io(format!("could not read `{}`", path.display()), source))),
        };
        let mut file = open_regular(&path).map_err(blocked)?;
        let length = file.metadata().map_err(blocked)?.len();
        let mut magic = Vec::new();
        (&mut file).take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(blocked)?;
        file.rewind().map_err(blocked)?;
        let reader = Box::new(CancellableFile { file, is_stopping: Arc::clone(&self.is_stopping) });
        let root = self.context.mirror.root();
        let spool = root.ancestors().find(|folder| folder.is_dir()).unwrap_or(root);
        let bundle = open::open_any(reader, &display_name(name), spool).map_err(open_error_outcome)?;
        Ok(OpenedBundle { bundle, length, is_native: magic == MAGIC })
    }
}

fn import_error_outcome(error: import::Error) -> Outcome {
    match error {
        import::Error::Open(error) => open_error_outcome(error),
        import::Error::MissingBase { .. } => Outcome::BaseMissing(obstacle(&Failure::from(error))),
        // The bundle waits until the mirror is repaired.
        import::Error::SummaryLost(loss) => Outcome::Blocked(obstacle(&Failure::from(loss))),
        error => failure_outcome(error.into()),
    }
}

fn open_error_outcome(error: open::Error) -> Outcome {
    match error {
        // A disk or network error says nothing about the bundle.
        open::Error::Io { .. } | open::Error::Spool { .. } | open::Error::Visitor { .. } => {
            Outcome::Blocked(obstacle(&Failure::from(error)))
        }
        error => failure_outcome(error.into()),
    }
}

fn failure_outcome(failure: Failure) -> Outcome {
    match failure.class {
        ErrorClass::Disk | ErrorClass::Locked | ErrorClass::Network | ErrorClass::Interrupted => {
            Outcome::Blocked(obstacle(&failure))
        }
        ErrorClass::Bug | ErrorClass::Usage | ErrorClass::Input | ErrorClass::Integrity => {
            Outcome::Invalid(full_text(&failure))
        }
    }
}

/// A failure that says nothing about the bundle.
fn obstacle(failure: &Failure) -> Obstacle {
    let hint = failure.hint.as_deref().map(|hint| replace_control_chars(hint.trim_end()));
    Obstacle { reason: failure.one_line(), hint }
}

/// A failure for the reason file of a rejected bundle: one summary line, then the full text.
fn full_text(failure: &Failure) -> String {
    let mut text = format!("{}\n\nerror: {failure}\n", failure.one_line());
    if let Some(hint) = &failure.hint {
        text.push_str(&format!("\nhint: {}\n", replace_control(hint)));
    }
    text
}

/// A file name for display.
pub(super) fn display_name(name: &OsStr) -> String {
    replace_control_chars(&name.to_string_lossy())
}

/// Replaces control characters, so that the text cannot control a terminal.
pub(super) fn replace_control_chars(text: &str) -> String {
    sanitize_to_length(text, usize::MAX)
}

pub(super) fn file_stamp(about: &Metadata) -> FileStamp {
    FileStamp { size: about.len(), modified: about.modified().ok(), inode: number_of(about) }
}

#[cfg(unix)]
fn number_of(about: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(about)
}

#[cfg(not(unix))]
fn number_of(_: &Metadata) -> u64 {
    0
}

/// The identity of the folder at `path`, to detect a replaced folder.
#[cfg(unix)]
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|about| (about.dev(), about.ino()))
}

/// The identity of the folder at `path`; without file numbers, only whether it exists.
#[cfg(not(unix))]
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    path.is_dir().then_some((0, 0))
}

/// A file whose reads fail after a stop was requested.
struct CancellableFile {
    file: File,
    is_stopping: Arc<AtomicBool>,
}

impl Read for CancellableFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_stopping.load(Ordering::Relaxed) {
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
    fn only_errors_of_the_bundle_reject_it() {
        let name = || "a.pkg".to_owned();
        let read = open::Error::Io { name: name(), source: io_error(io::ErrorKind::PermissionDenied) };
        assert!(matches!(open_error_outcome(read), Outcome::Blocked(why) if why.reason.contains("a.pkg")));
        let spool =
            open::Error::Spool { name: name(), folder: "/m".into(), source: io_error(io::ErrorKind::StorageFull) };
        assert!(matches!(import_error_outcome(import::Error::Open(spool)), Outcome::Blocked(_)));
        let full = import::Error::NoSpace { file: name(), root: "/m".into(), needed: 7, free: 6 };
        assert!(matches!(import_error_outcome(full), Outcome::Blocked(why) if why.reason.contains("needs 7 bytes")));
        let bundles = import::MissingBundles { base: Some("base.pkg".to_owned()), ..import::MissingBundles::default() };
        let first = "b 1.0.0".to_owned();
        let missing = import::Error::MissingBase { file: name(), bundles: Box::new(bundles), missing: 2, first };
        let Outcome::BaseMissing(why) = import_error_outcome(missing) else { panic!("not missing") };
        assert!(why.reason.contains("base.pkg"), "{why:?}");
        assert!(why.hint.is_some_and(|hint| hint.contains("`cargo frostmirror fetch --base none`")));
        let header = open::Error::CorruptHeader { name: name(), fault: "the file is empty".to_owned() };
        assert!(matches!(open_error_outcome(header), Outcome::Invalid(_)));
        let problems = import::Problems(vec!["one: bad".to_owned(), "two: bad".to_owned()]);
        let Outcome::Invalid(text) = import_error_outcome(import::Error::Invalid { file: name(), problems }) else {
            panic!("not bad")
        };
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("the bundle `a.pkg` is invalid; the mirror is unchanged: one: bad; two: bad"));
        assert!(text.contains("\nerror: the bundle") && text.contains("\nhint: copy the bundle again"), "{text}");
    }

    #[test]
    fn a_cancelled_reader_fails() {
        let file = tempfile::tempfile().expect("temporary file");
        file.set_len(10).expect("length");
        let stopped = Arc::new(AtomicBool::new(false));
        let mut reader = CancellableFile { file, is_stopping: Arc::clone(&stopped) };
        let mut byte = [0];
        reader.read_exact(&mut byte).expect("goes on");
        stopped.store(true, Ordering::Relaxed);
        reader.read_exact(&mut byte).expect_err("ends");
    }
}
