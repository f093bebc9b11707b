//! One bundle of the incoming folder, imported because somebody asked for it: on a server that does not watch.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::put_aside::{Refusal, put_aside};
use super::settle::Verdict;
use super::shelves::Shelves;
use super::take::Taker;
use super::{Tally, first_line, refused};
use crate::bundle::name::is_bundles;
use crate::bundle::shown::shown;
use crate::env::Env;
use crate::event::Sink;
use crate::failure::{Class, Failure};
use crate::mirror::layout::Layout;
use crate::server_config::Live;

/// How long an import waits for another process that changes the mirror.
const LOCK_WITHIN: Duration = Duration::from_secs(600);
/// How long a file must have been left alone before it may be refused, where nobody knows that it is whole.
const QUIET: Duration = Duration::from_secs(30);

/// What is imported, and into which mirror.
pub struct Single {
    /// The incoming folder.
    pub folder: std::path::PathBuf,
    /// The name of the bundle's file in it.
    pub name: OsString,
    /// Whether the file is known to be whole, as one that was uploaded is.
    pub whole: bool,
    /// The mirror.
    pub mirror: Layout,
    /// The settings, and the folder that a snapshot's configuration goes to.
    pub settings: Arc<Live>,
    /// The environment, for the name of this machine.
    pub env: Env,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// Where the server's reports go.
    pub log: Arc<dyn Sink>,
    /// Where imports are counted.
    pub tally: Arc<Tally>,
}

/// The bundle in `folder` that is shown as `file`; `None` where there is none, or several look alike.
pub fn find(folder: &Path, file: &str) -> Option<OsString> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let is_it = |name: &OsStr| is_bundles(name) && shown(&name.to_string_lossy()) == file;
    let mut found =
        entries.filter(|entry| is_it(&entry.file_name()) && entry.file_type().is_ok_and(|kind| kind.is_file()));
    let name = found.next()?.file_name();
    found.next().is_none().then_some(name)
}

impl Single {
    /// Imports the bundle and moves it to `done/`, or to `failed/` where it is invalid. Says whether the mirror took it.
    ///
    /// # Errors
    /// Why it was not imported.
    pub fn import(self, sink: &dyn Sink) -> Result<(), Failure> {
        let Single { folder, name, whole, mirror, settings, env, clock, log, tally } = self;
        let stopped = Arc::new(AtomicBool::new(false));
        let taker =
            Taker { folder: folder.clone(), mirror, live: Arc::clone(&settings), env, clock, sink: log, stopped };
        let file = shown(&name.to_string_lossy());
        let gone = || Failure::new(Class::Input, format!("`{file}` is no longer in the incoming folder"));
        let before = taker.stamp(&name).ok_or_else(gone)?;
        let (verdict, imported) = taker.import(&name, before, LOCK_WITHIN, sink);
        if imported {
            tally.imported.fetch_add(1, Ordering::Relaxed);
            if settings.current().prune_on_import && !taker.prune() {
                sink.warning("the mirror was not pruned, since another process changes it".to_owned());
            }
        }
        let doing = format!("could not import `{file}`");
        match verdict {
            Verdict::Imported | Verdict::Gone if imported => Ok(()),
            Verdict::Imported => Ok(()),
            Verdict::Gone => Err(gone()),
            Verdict::BaseMissing(reason) => Err(Failure::new(Class::Integrity, reason)
                .doing(doing)
                .hint("the bundle stays in the incoming folder: import the missing one first, then this one")),
            Verdict::Busy(reason) => {
                Err(Failure::new(Class::Locked, reason).doing(doing).hint("import it again later"))
            }
            Verdict::Hindered(reason) if sink.stopped() => Err(Failure::new(Class::Interrupted, reason).doing(doing)),
            Verdict::Hindered(reason) => Err(Failure::new(Class::Disk, reason)
                .doing(doing)
                .hint("the bundle stays in the incoming folder: remove the cause, then import it again")),
            Verdict::Bad(reason) => {
                let line = first_line(&reason).to_owned();
                let failure = Failure::new(Class::Integrity, line).doing(doing);
                let modified = before.modified.and_then(|time| SystemTime::from(clock()).duration_since(time).ok());
                let is_quiet = whole || modified.is_none_or(|age| age >= QUIET);
                if taker.stamp(&name) != Some(before) || !is_quiet {
                    return Err(failure.hint(
                        "the file changed a moment ago and may still be arriving: import it again when it is whole",
                    ));
                }
                let keep = settings.current().keep_failed_packages;
                let refusal = Refusal { name: &name, judged: before, reason: &reason, keep, now: clock() };
                let moved = put_aside(&Shelves::of(&folder), &refusal, &tally, sink);
                moved.map_err(|error| Failure::io(format!("could not move `{file}` to failed/"), error))?;
                Err(failure.hint(if keep {
                    "the bundle is in failed/: copy it again from its source, and compare both copies with `cargo frostmirror verify`"
                } else {
                    "the bundle was deleted, as `keep_failed_packages = false` asks: bring it again"
                }))
            }
        }
    }
}

/// Brings the record that `status` reads up to date, on a server whose watcher does not.
///
/// # Errors
/// The file system's.
pub fn record(mirror: &Layout, folder: &Path) -> Result<(), Failure> {
    use crate::mirror::incoming::{Bundle, Incoming};
    if !mirror.private().is_dir() {
        return Ok(());
    }
    let recorded = Incoming::read(mirror)?.filter(|state| state.folder == *folder);
    let mut state = recorded.unwrap_or_else(|| Incoming { folder: folder.to_owned(), ..Incoming::default() });
    let listed = refused::list(folder);
    state.failed = listed.failed.into_iter().map(|one| Bundle { file: one.file, reason: one.reason }).collect();
    state.failed_count = listed.failed_count;
    state.done = refused::count_done(folder);
    Ok(state.record(mirror)?)
}
