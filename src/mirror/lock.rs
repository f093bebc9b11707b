//! The mirror's lock: one process at a time changes a mirror. It is the operating system's file lock, which ends with
//! the process.
//!
//! Every operation that changes a mirror is a method of [`WriteGuard`], or needs one as a transaction does. Readers take
//! no lock. An export, which needs the mirror unchanged, shares the lock with other exports.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::disk_reserve;
use super::guard::FileLock;
pub use super::guard::{ReadGuard, WriteGuard};
use super::layout::{self, Layout};
use super::live::LiveLineage;
use super::summary::{Counts, LiveTotals, MirrorSummary};
use super::transaction::{self, Recovery, Transaction};
use crate::durable;
use crate::env::Env;
use crate::event::Sink;
use crate::process_lock::{LOCK_POLL_INTERVAL, REPORT_WAIT_AFTER};
use crate::units::format_time;

/// Default timeout for waiting for another process.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// The process that has a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process id.
    pub pid: u32,
    /// Its host name.
    pub host: String,
    /// Its operation, e.g. `import`.
    pub verb: String,
    /// Since when (RFC 3339, UTC).
    pub since: String,
}

impl Holder {
    /// This process, which is about to do `verb`.
    pub fn this_process(verb: &str, env: &Env, now: Timestamp) -> Holder {
        let since = format_time(now);
        Holder { pid: std::process::id(), host: host_name(env), verb: verb.to_owned(), since }
    }

    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("four plain fields are JSON")
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` with pid {} on {} since {}", self.verb, self.pid, self.host, self.since)
    }
}

fn host_name(env: &Env) -> String {
    // Shells and Windows set the variables; the file is specific to Linux.
    let host = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.as_deref().map(str::trim).filter(|name| !name.is_empty());
    host.or_else(|| env.var("HOSTNAME")).or_else(|| env.var("COMPUTERNAME")).unwrap_or("this host").to_owned()
}

/// The folders that the lock of a new mirror creates, so that a failed first import can remove them.
#[derive(Debug)]
pub struct NewMirror {
    layout: Layout,
    /// Nested ones first; empty if the mirror exists.
    missing: Vec<PathBuf>,
}

impl NewMirror {
    /// Determines what is missing. To be called before the lock is taken.
    pub fn before_lock(layout: &Layout) -> NewMirror {
        let private = layout.private();
        let missing = private.ancestors().take_while(|path| path.symlink_metadata().is_err());
        NewMirror { layout: layout.clone(), missing: missing.map(Path::to_owned).collect() }
    }

    /// Removes what the lock created, if the mirror did not exist and nothing was stored since. Releases the lock.
    pub fn discard(&self, guard: WriteGuard) {
        let layout = &self.layout;
        let own = [layout.format(), layout.reserve(), layout.holder(), layout.staging(), layout.lock()];
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_empty = !self.missing.is_empty()
            && entries(&layout.private()).all(|path| own.contains(&path))
            && entries(&layout.staging()).next().is_none();
        if is_empty {
            // Nothing depends on these files; what cannot be removed stays.
            let _stays = fs::remove_dir(layout.staging()).is_err();
            for path in own {
                let _stays = fs::remove_file(path).is_err();
            }
            let _stays = self.missing.iter().try_for_each(fs::remove_dir).is_err();
        }
        drop(guard);
    }
}

/// The lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the lock and did not release it before the timeout.
    #[error("the mirror `{}` is locked by {}", root.display(), match holder { Some(holder) => holder.to_string(), None => "another process".to_owned() })]
    Locked {
        /// The mirror.
        root: PathBuf,
        /// The process that has it, if known.
        holder: Option<Holder>,
        /// The time spent waiting.
        waited: Duration,
    },
    /// The wait for another process was stopped.
    #[error("stopped while waiting for the lock of the mirror `{}`", root.display())]
    Stopped {
        /// The mirror.
        root: PathBuf,
    },
    /// There is no mirror.
    #[error("there is no mirror in `{}`", root.display())]
    NoMirror {
        /// The path of the mirror.
        root: PathBuf,
    },
    /// The folder has files of a mirror, and lost its records.
    #[error("`{}` is missing, although the mirror has {content}", private.display())]
    RecordsLost {
        /// The folder of the records.
        private: PathBuf,
        /// What shows that a mirror is there.
        content: &'static str,
    },
    /// The folder has files of something else.
    #[error("`{}` is not empty and is not a mirror", root.display())]
    Occupied {
        /// The folder.
        root: PathBuf,
    },
    /// The mirror has another layout version.
    #[error(transparent)]
    Layout(#[from] layout::Error),
    /// The transaction of a killed process could not be completed.
    #[error(transparent)]
    RecoveryFailed(#[from] transaction::Error),
    /// A file system operation failed.
    #[error("could not lock the mirror with `{}`", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Returns an error for a folder that has files and is not a mirror. No mirror is created among them.
///
/// # Errors
/// [`Error::Occupied`]; the folder cannot be read.
pub fn require_free_or_mirror(layout: &Layout) -> Result<(), Error> {
    match layout.can_be_mirror() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::Occupied { root: layout.root().to_owned() }),
        Err(source) => Err(Error::Io { path: layout.root().to_owned(), source }),
    }
}

/// Locks the mirror for additions, and creates it if it does not exist.
///
/// If another process has the lock, reports that process once, and waits up to `timeout`.
///
/// # Errors
/// [`Error::Occupied`]; [`Error::Locked`] after `timeout`; a mirror of a newer layout; a failed file system operation.
pub fn lock_for_adding(layout: &Layout, timeout: Duration, me: &Holder, sink: &dyn Sink) -> Result<WriteGuard, Error> {
    require_free_or_mirror(layout)?;
    let guard = acquire(layout, timeout, me, sink)?;
    disk_reserve::maintain(&guard, disk_reserve::SHARE_WHEN_ADDING);
    Ok(guard)
}

/// Locks the mirror, which must exist, for removals. There is only one lock: additions and removals wait for each
/// other.
///
/// # Errors
/// [`Error::NoMirror`]; [`Error::RecordsLost`]; otherwise as [`lock_for_adding`].
pub fn lock_for_collecting(
    layout: &Layout,
    timeout: Duration,
    me: &Holder,
    sink: &dyn Sink,
) -> Result<WriteGuard, Error> {
    require_mirror(layout)?;
    acquire(layout, timeout, me, sink)
}

/// Locks the mirror, which must exist, against changes during an export. Several exports share the lock.
///
/// Nothing needs to be writable: an existing lock file is enough, and a mirror on a read-only file system never
/// changes.
///
/// # Errors
/// [`Error::NoMirror`]; [`Error::RecordsLost`]; [`Error::Locked`] after `timeout`; a mirror of a newer layout; a failed
/// file system operation.
pub fn lock_for_reading(layout: &Layout, timeout: Duration, me: &Holder, sink: &dyn Sink) -> Result<ReadGuard, Error> {
    require_mirror(layout)?;
    if layout.journal().exists() {
        // Taking the other lock completes the transaction of a killed process. A mirror that this process may not write
        // is read as it is.
        match acquire(layout, timeout, me, sink) {
            Err(Error::Io { source, .. }) if durable::is_write_denied(&source) => {}
            completed => drop(completed?),
        }
    }
    let path = layout.lock();
    let opened = match open_lock_file(&path, true) {
        Err(refused) if durable::is_write_denied(&refused) => match File::open(&path) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Err(refused),
            opened => opened,
        },
        opened => opened,
    };
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            return Ok(ReadGuard::new(layout, None));
        }
        Err(source) => return Err(Error::Io { path, source }),
    };
    wait_for_lock(layout, timeout, sink, &|| file.try_lock_shared())?;
    let text = me.to_json();
    let named = fs::write(layout.holder(), &text).is_ok().then_some(text);
    Ok(ReadGuard::new(layout, Some(FileLock::new(layout, file, named))))
}

/// Returns an error for a path without a mirror, for a mirror without its records, and for a mirror of a newer layout.
///
/// # Errors
/// [`Error::NoMirror`], [`Error::RecordsLost`], [`Error::Layout`].
pub(super) fn require_mirror(layout: &Layout) -> Result<(), Error> {
    let failed = |source| Error::Io { path: layout.root().to_owned(), source };
    let no_mirror = || Error::NoMirror { root: layout.root().to_owned() };
    if !layout.can_be_mirror().map_err(failed)? {
        return Err(no_mirror());
    }
    if !layout.private().is_dir() {
        let content = match layout.summary().exists() {
            true => Some("a manifest.json"),
            false => layout.find_stored_files().map_err(failed)?,
        };
        let lost = content.map(|content| Error::RecordsLost { private: layout.private(), content });
        return Err(lost.unwrap_or_else(no_mirror));
    }
    Ok(layout.check_format()?)
}

fn acquire(layout: &Layout, timeout: Duration, me: &Holder, sink: &dyn Sink) -> Result<WriteGuard, Error> {
    layout.check_format()?;
    let failed = |path: PathBuf| move |source| Error::Io { path, source };
    let path = layout.lock();
    let file = loop {
        let file = create_lock_file(layout)?;
        wait_for_lock(layout, timeout, sink, &|| file.try_lock())?;
        // The process that had the lock may have removed the file, see `NewMirror::discard`.
        if is_current(&file, &path) {
            break file;
        }
    };
    let text = me.to_json();
    let named = match fs::write(layout.holder(), &text) {
        // The holder's name only informs waiting processes, and a collection frees space.
        Err(error) if durable::is_disk_full(&error) => None,
        written => written.map(|()| Some(text)).map_err(failed(layout.holder()))?,
    };
    let guard = WriteGuard::new(FileLock::new(layout, file, named));
    match layout.ensure_format() {
        // An empty mirror on a full disk gets its version from the next process that changes it.
        Err(error) if disk_reserve::is_full(&error) => {}
        settled => settled?,
    }
    // Every process that changes the mirror from here on sees a whole transaction or nothing of it.
    let recovered = match transaction::recover(&guard, sink) {
        Err(error) if disk_reserve::is_full(&error) && disk_reserve::release(&guard) => {
            transaction::recover(&guard, sink)
        }
        recovered => recovered,
    };
    if recovered? == Recovery::Lost {
        count_again(&guard)?;
    }
    Ok(guard)
}

/// Corrects the totals of a mirror of which some changes of a transaction are lost.
fn count_again(guard: &WriteGuard) -> Result<(), transaction::Error> {
    let layout = guard.layout();
    // A rebuild writes a lost summary.
    let Some(summary) = MirrorSummary::read(layout)? else { return Ok(()) };
    let mut tx = Transaction::begin(guard, "the recount of the mirror's files")?;
    let live = LiveTotals::sum(LiveLineage::read(layout)?.current());
    let summary = MirrorSummary { live, ..summary.with_counts(Counts::count_tree(layout)?) };
    tx.put_bytes(&layout.summary(), &summary.render())?;
    tx.commit()
}

/// Whether the open file is still the one at `path`.
#[cfg(unix)]
fn is_current(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |about: fs::Metadata| (about.dev(), about.ino());
    match (file.metadata().map(identity), fs::metadata(path).map(identity)) {
        (Ok(open), Ok(there)) => open == there,
        (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
        (Err(_), Ok(_)) => true,
    }
}

/// Whether the open file is still the one at `path`. Other systems do not remove open files.
#[cfg(not(unix))]
fn is_current(_: &File, _: &Path) -> bool {
    true
}

/// Creates the lock file and its folders if they do not exist, and opens the file. Another process may remove them between two
/// of these steps, see [`NewMirror::discard`]. Each process does so once, so a
/// mirror meets few of these races. The limit ends the attempts if the folder vanishes for another reason.
fn create_lock_file(layout: &Layout) -> Result<File, Error> {
    const ATTEMPTS: u32 = 100;
    let (folder, path) = (layout.private(), layout.lock());
    let mut attempt = 1;
    loop {
        let (failed, source) = match durable::make_folder(&folder) {
            Err(source) => (&folder, source),
            Ok(()) => match open_lock_file(&path, false) {
                Ok(file) => return Ok(file),
                Err(source) => (&path, source),
            },
        };
        // A folder that exists when it is created, and is gone when its type is read, counts as a file in the way.
        let may_be_race = matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists);
        if !may_be_race || attempt == ATTEMPTS {
            return Err(Error::Io { path: failed.clone(), source });
        }
        attempt += 1;
    }
}

/// Opens the lock file, and creates it if it does not exist.
fn open_lock_file(path: &Path, read: bool) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(read).write(true).open(path)
}

/// Retries until the lock is taken, up to `timeout`. Reports once which process it waits for.
fn wait_for_lock(
    layout: &Layout,
    timeout: Duration,
    sink: &dyn Sink,
    lock: &dyn Fn() -> Result<(), TryLockError>,
) -> Result<(), Error> {
    let began = Instant::now();
    let mut reported = false;
    loop {
        match lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(source)) => return Err(Error::Io { path: layout.lock(), source }),
            Err(TryLockError::WouldBlock) => {}
        }
        if sink.is_cancelled() {
            return Err(Error::Stopped { root: layout.root().to_owned() });
        }
        let waited = began.elapsed();
        if waited >= timeout {
            return Err(Error::Locked { root: layout.root().to_owned(), holder: read_holder(layout), waited });
        }
        // By then, the other process has written who it is.
        if !reported && waited >= REPORT_WAIT_AFTER {
            reported = true;
            let who = read_holder(layout).map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
            sink.status(
                "Blocking",
                format!("waiting for {who}, which has locked the mirror `{}`", layout.root().display()),
            );
        }
        std::thread::sleep(LOCK_POLL_INTERVAL.min(timeout - waited));
    }
}

/// The holder, as that process wrote it. A killed process leaves the file behind.
fn read_holder(layout: &Layout) -> Option<Holder> {
    serde_json::from_slice(&fs::read(layout.holder()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::NullSink;

    /// A sink that always requests a stop.
    struct Stopped;

    impl Sink for Stopped {
        fn event(&self, _: crate::event::Event) {}

        fn is_cancelled(&self) -> bool {
            true
        }
    }

    #[test]
    fn stopping_ends_the_wait() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        let stored = lock_for_adding(&layout, Duration::ZERO, &me(), &Stopped).expect("the lock is free");
        let began = Instant::now();
        let refused = lock_for_collecting(&layout, Duration::from_secs(60), &me(), &Stopped).expect_err("held");
        assert!(matches!(refused, Error::Stopped { .. }) && began.elapsed() < Duration::from_secs(30), "{refused}");
        drop(stored);
    }

    fn me() -> Holder {
        Holder { pid: 7, host: "h".to_owned(), verb: "import".to_owned(), since: "2026-01-01T00:00:00Z".to_owned() }
    }

    #[test]
    fn the_lock_file_is_created_while_another_process_removes_a_new_mirror() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path().join("new/mirror"));
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let removing = scope.spawn(|| {
                let private = layout.private();
                while !is_done.load(Ordering::Relaxed) {
                    let _missing = fs::remove_file(layout.lock()).is_err();
                    let _missing = private.ancestors().take(3).try_for_each(fs::remove_dir).is_err();
                }
            });
            let failed = (0..3000).find_map(|_| create_lock_file(&layout).err());
            is_done.store(true, Ordering::Relaxed);
            removing.join().expect("no panic");
            assert!(failed.is_none(), "{failed:?}");
        });
        // A file in the way is an error.
        let file = folder.path().join("file");
        fs::write(&file, "x").expect("write");
        assert!(matches!(create_lock_file(&Layout::new(&file)), Err(Error::Io { .. })));
    }

    #[test]
    fn a_new_mirror_without_content_is_removed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path().join("new/mirror"));
        let lock = || lock_for_adding(&layout, Duration::from_secs(30), &me(), &NullSink).expect("free");
        let new = NewMirror::before_lock(&layout);
        let first = lock();
        let second = std::thread::scope(|scope| {
            let waiting = scope.spawn(lock);
            new.discard(first);
            waiting.join().expect("no panic")
        });
        // The waiting process created the mirror again.
        assert!(layout.lock().exists());
        new.discard(second);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
        let first = lock();
        fs::write(layout.private().join("other"), "x").expect("written");
        new.discard(first);
        assert!(layout.format().exists(), "it is in use");
        assert!(NewMirror::before_lock(&layout).missing.is_empty());
    }

    #[test]
    fn a_second_writer_sees_the_holder_and_waits() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path().join("new/mirror"));
        let first = lock_for_adding(&layout, Duration::ZERO, &me(), &NullSink).expect("free");
        let error = lock_for_adding(&layout, Duration::ZERO, &me(), &NullSink).expect_err("held");
        assert!(
            error.to_string().ends_with("is locked by `import` with pid 7 on h since 2026-01-01T00:00:00Z"),
            "{error}"
        );
        let second = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| lock_for_adding(&layout, Duration::from_secs(30), &me(), &NullSink));
            drop(first);
            waiting.join().expect("no panic")
        });
        assert!(second.is_ok());
    }

    #[test]
    fn readers_share_the_lock_and_exclude_writers() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path().join("mirror"));
        let export = |since: &str| Holder { verb: "export".to_owned(), since: since.to_owned(), ..me() };
        let read = |since: &str| lock_for_reading(&layout, Duration::ZERO, &export(since), &NullSink);
        assert!(matches!(read("t"), Err(Error::NoMirror { .. })));
        assert!(!layout.root().exists(), "a reader does not create a mirror");
        let writer = lock_for_adding(&layout, Duration::ZERO, &me(), &NullSink).expect("free");
        assert!(matches!(read("t"), Err(Error::Locked { holder: Some(holder), .. }) if holder.verb == "import"));
        drop(writer);
        let (first, second) = (read("t1").expect("free"), read("t2").expect("shared"));
        drop(first);
        for _ in 0..2 {
            let error = lock_for_adding(&layout, Duration::ZERO, &me(), &NullSink).expect_err("held");
            assert!(matches!(&error, Error::Locked { holder: Some(holder), .. } if holder.since == "t2"), "{error}");
            assert!(lock_for_collecting(&layout, Duration::ZERO, &me(), &NullSink).is_err());
        }
        drop(second);
        assert!(!layout.holder().exists());
        assert!(lock_for_collecting(&layout, Duration::ZERO, &me(), &NullSink).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_read_only_lock_file_can_be_locked() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path().join("mirror"));
        drop(lock_for_adding(&layout, Duration::ZERO, &me(), &NullSink).expect("free"));
        let mode = |path: PathBuf, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
        mode(layout.lock(), 0o444);
        mode(layout.private(), 0o555);
        let reader = lock_for_reading(&layout, Duration::ZERO, &me(), &NullSink).expect("a shared lock");
        let file = File::open(layout.lock()).expect("readable");
        assert!(matches!(file.try_lock(), Err(TryLockError::WouldBlock)), "it is a real lock");
        drop(reader);
        file.try_lock().expect("released");
        mode(layout.private(), 0o755);
    }
}
