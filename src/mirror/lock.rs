//! Who may change a mirror: one process at a time, held by the system's own file lock, so that death releases it.
//!
//! Whatever changes a mirror is a method on a guard from here. Readers take no lock.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::layout::{self, Layout};
use crate::durable;
use crate::env::Env;
use crate::event::Sink;

/// How long to wait for another process where nobody says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// How often the lock is tried while another process holds it.
const PAUSE: Duration = Duration::from_millis(100);

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// Its machine.
    pub host: String,
    /// What it does, e.g. `import`.
    pub verb: String,
    /// Since when (RFC 3339, UTC).
    pub since: String,
}

impl Holder {
    /// This process, about to do `verb`.
    pub fn this_process(verb: &str, env: &Env, now: Timestamp) -> Holder {
        let since = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Holder { pid: std::process::id(), host: host_name(env), verb: verb.to_owned(), since }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` with pid {} on {} since {}", self.verb, self.pid, self.host, self.since)
    }
}

fn host_name(env: &Env) -> String {
    // The variables are what shells and Windows set; the file is Linux's own word.
    let told = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let told = told.as_deref().map(str::trim).filter(|name| !name.is_empty());
    told.or_else(|| env.text("HOSTNAME")).or_else(|| env.text("COMPUTERNAME")).unwrap_or("this host").to_owned()
}

/// The right to add to a mirror. Dropped, it lets the next process in.
#[derive(Debug)]
pub struct AddGuard {
    pub(super) layout: Layout,
    _held: Held,
}

/// The right to take away from a mirror. Dropped, it lets the next process in.
#[derive(Debug)]
pub struct CollectGuard {
    pub(super) layout: Layout,
    _held: Held,
}

/// The lock itself, until it is dropped.
#[derive(Debug)]
struct Held {
    layout: Layout,
    file: File,
}

/// A lock that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process holds it and did not let go in time.
    #[error("the mirror `{}` is locked by {}", root.display(), match holder { Some(holder) => holder.to_string(), None => "another process".to_owned() })]
    Held {
        /// The mirror.
        root: PathBuf,
        /// Who holds it, where that is known.
        holder: Option<Holder>,
        /// How long was waited.
        waited: Duration,
    },
    /// There is nothing to take away from.
    #[error("there is no mirror in `{}`", root.display())]
    Absent {
        /// Where one should be.
        root: PathBuf,
    },
    /// The mirror is of another layout.
    #[error(transparent)]
    Layout(#[from] layout::Error),
    /// The file system refused.
    #[error("could not lock the mirror with `{}`", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Locks the mirror for adding to it, and makes it where it is not there yet.
///
/// Where another process holds it, says so once, naming it, and waits up to `timeout`.
///
/// # Errors
/// [`Error::Held`] after `timeout`; a mirror of a newer layout; the file system's.
pub fn lock_for_adding(layout: &Layout, timeout: Duration, me: &Holder, sink: &dyn Sink) -> Result<AddGuard, Error> {
    Ok(AddGuard { layout: layout.clone(), _held: acquire(layout, timeout, me, sink)? })
}

/// Locks the mirror, which must be there, for taking away from it. One lock serves both: who takes away waits for who
/// adds, and the other way round.
///
/// # Errors
/// [`Error::Absent`]; else as [`lock_for_adding`].
pub fn lock_for_collecting(
    layout: &Layout,
    timeout: Duration,
    me: &Holder,
    sink: &dyn Sink,
) -> Result<CollectGuard, Error> {
    require(layout)?;
    Ok(CollectGuard { layout: layout.clone(), _held: acquire(layout, timeout, me, sink)? })
}

/// Refuses a place where no mirror is, and a mirror of a newer layout.
///
/// # Errors
/// [`Error::Absent`], [`Error::Layout`].
pub(super) fn require(layout: &Layout) -> Result<(), Error> {
    if !layout.private().is_dir() {
        return Err(Error::Absent { root: layout.root().to_owned() });
    }
    Ok(layout.check_format()?)
}

fn acquire(layout: &Layout, timeout: Duration, me: &Holder, sink: &dyn Sink) -> Result<Held, Error> {
    layout.check_format()?;
    let failed = |path: PathBuf| move |source| Error::Io { path, source };
    durable::make_folder(&layout.private()).map_err(failed(layout.private()))?;
    let path = layout.lock();
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed(path.clone()))?;
    let began = Instant::now();
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(source)) => return Err(Error::Io { path, source }),
            Err(TryLockError::WouldBlock) => {}
        }
        let waited = began.elapsed();
        if waited >= timeout {
            return Err(Error::Held { root: layout.root().to_owned(), holder: holder(layout), waited });
        }
        if !told {
            told = true;
            let who = holder(layout).map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
            sink.status("Blocking", format!("waiting for the lock of {}, held by {who}", layout.root().display()));
        }
        std::thread::sleep(PAUSE.min(timeout - waited));
    }
    let text = serde_json::to_vec(me).expect("four plain fields are JSON");
    fs::write(layout.holder(), text).map_err(failed(layout.holder()))?;
    let held = Held { layout: layout.clone(), file };
    layout.settle_format()?;
    Ok(held)
}

impl AddGuard {
    /// The mirror that may be added to.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

impl CollectGuard {
    /// The mirror that may be taken away from.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The name only serves those who wait; where it stays, the next holder replaces it.
        let _stays = fs::remove_file(self.layout.holder()).is_err();
        // Closing the file would do, were there not the copy of it that a child has between its fork and its exec.
        let _closed_instead = self.file.unlock().is_err();
    }
}

/// Who holds the lock, as that process wrote it; a process that died leaves its name behind.
fn holder(layout: &Layout) -> Option<Holder> {
    serde_json::from_slice(&fs::read(layout.holder()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Silent;

    fn me() -> Holder {
        Holder { pid: 7, host: "h".to_owned(), verb: "import".to_owned(), since: "2026-01-01T00:00:00Z".to_owned() }
    }

    #[test]
    fn the_second_is_told_of_the_first_and_waits_for_it() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path().join("new/mirror"));
        let first = lock_for_adding(&layout, Duration::ZERO, &me(), &Silent).expect("free");
        let error = lock_for_adding(&layout, Duration::ZERO, &me(), &Silent).expect_err("held");
        assert!(
            error.to_string().ends_with("is locked by `import` with pid 7 on h since 2026-01-01T00:00:00Z"),
            "{error}"
        );
        let second = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| lock_for_adding(&layout, Duration::from_secs(30), &me(), &Silent));
            drop(first);
            waiting.join().expect("no panic")
        });
        assert!(second.is_ok());
    }
}
