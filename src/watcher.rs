//! The incoming folder: the watcher imports each complete bundle that arrives there and moves it away.
//!
//! | file | purpose |
//! |---|---|
//! | [`file_state`] | when to try a file, and what follows; uses no files and no clocks |
//! | `import_file` | inspects and imports one file |
//! | [`failed_bundles`] | `failed/` for an administrator: retry, dismiss, delete |
//! | `move_to_failed` | moves a rejected bundle away |
//! | [`import_on_request`] | imports one bundle on request |
//! | `processed` | `done/` and `failed/`, where nothing is overwritten |
//! | `safe_open` | opens files without blocking and without following links |
//! | `fs_events` | file system events |
//! | `event_queue` | queue of events |
//!
//! The watcher scans the folder every few seconds. It cannot rely on events, because network file systems send none,
//! queues overflow and folders get unmounted. Events only make it react sooner. It considers only `*.pkg` files at the
//! folder's top level that are not hidden.
//!
//! If several bundles are due, the watcher imports them in the order of their histories. A delta whose base is missing
//! stays, and the watcher retries it after each change of the mirror. Two servers may watch one folder for one mirror.
//! Each imports and moves a bundle under the mirror's lock, so the second server no longer finds it.
//!
//! The watcher runs on its own thread and uses no resources of the server. It stops between two reads of a bundle,
//! which then stays in place. While the settings disable the import, it sleeps.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::durable::checkpoint;
use crate::file_stamp::FileStamp;
use crate::mirror::import_order::sort_for_import;
use crate::mirror::watcher_state::{PendingBundle, WatcherState};
use crate::panics::catch_panic;
use crate::server_context::ServerContext;
use event_queue::EventQueue;
use failed_bundles::MAX_LISTED as MOST_FAILED;
use file_state::{Attempt, FileStates, FileStatus, Obstacle, Outcome, Timing};
use fs_events::FsEvents;
use import_file::{FileImporter, display_name, identity, replace_control_chars};
use move_to_failed::{Rejection, first_line, reject_bundle};
use processed::ProcessedFolders;

mod event_queue;
mod fs_events;
pub(crate) mod safe_open;
mod counters;
mod move_to_failed;
pub mod failed_bundles;
pub mod file_state;
mod processed;
pub mod import_on_request;
mod import_file;

pub use counters::ImportCounters;

/// Options of a watcher.
pub struct WatcherOptions {
    /// What all parts of the server share. The watcher creates the incoming folder at the start, and later waits for it
    /// if it disappears.
    pub context: ServerContext,
    /// Delays and intervals.
    pub timing: Timing,
    /// Whether to use file system events; otherwise the watcher polls the folder.
    pub uses_fs_events: bool,
    /// Counts imports.
    pub import_counters: Arc<ImportCounters>,
}

/// A running watcher. Dropping it requests a stop without waiting.
pub struct Watcher {
    events: Arc<EventQueue>,
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Starts a watcher on its own thread.
///
/// # Errors
/// The system cannot start a thread.
pub fn start(options: WatcherOptions) -> io::Result<Watcher> {
    let mailbox = Arc::new(EventQueue::default());
    let stopped = Arc::new(AtomicBool::new(false));
    let (events, stop) = (Arc::clone(&mailbox), Arc::clone(&stopped));
    let thread = thread::Builder::new().name("incoming".to_owned()).spawn(move || {
        let (context, tally) = (options.context.clone(), Arc::clone(&options.import_counters));
        let mut watch = WatchLoop::new(options, events, stop);
        if let Err(bug) = catch_panic(|| watch.run()) {
            tally.watcher_failed.store(true, Ordering::Relaxed);
            context.sink.warning(format!(
                "{} is no longer watched; restart the server, and report this: {bug}",
                context.incoming.display()
            ));
            watch.problem = Some("a bug ended the watcher; restart the server".to_owned());
            watch.save_state();
        }
    })?;
    Ok(Watcher { events: mailbox, stopped, thread })
}

impl Watcher {
    /// Requests a stop without waiting.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.events.request_scan();
    }

    /// Requests a stop and waits at most `timeout`. Returns whether the watcher has ended. A commit in progress applies
    /// completely or not at all, even if the process ends.
    pub fn finish(self, timeout: Duration) -> bool {
        self.stop();
        let deadline = Instant::now() + timeout;
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        self.thread.is_finished()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The state of the watcher's thread.
struct WatchLoop {
    importer: FileImporter,
    files: FileStates,
    processed: ProcessedFolders,
    timing: Timing,
    events: Arc<EventQueue>,
    started: Instant,
    /// Whether events are wanted, the active event source, and the folder that it watches.
    wants_fs_events: bool,
    fs_events: Option<FsEvents>,
    watched_folder: Option<(u64, u64)>,
    /// Why the folder cannot be read.
    problem: Option<String>,
    /// The last stamp of the summary; a new stamp shows that the mirror has changed.
    summary_stamp: Option<FileStamp>,
    /// The last warning about each file, so that it is printed once.
    last_warnings: HashMap<OsString, String>,
    /// Whether the failure to save the state was reported.
    save_failed: bool,
    /// Whether the settings enable the import.
    is_enabled: bool,
    /// Whether to collect garbage as soon as the mirror's lock is free.
    prune_pending: bool,
    import_counters: Arc<ImportCounters>,
}

impl WatchLoop {
    fn new(options: WatcherOptions, mailbox: Arc<EventQueue>, stopped: Arc<AtomicBool>) -> WatchLoop {
        let WatcherOptions { context, timing: pace, uses_fs_events: notices, import_counters: tally } = options;
        WatchLoop {
            files: FileStates::new(pace, true),
            processed: ProcessedFolders::new(&context.incoming),
            importer: FileImporter { context, is_stopping: stopped },
            timing: pace,
            events: mailbox,
            started: Instant::now(),
            wants_fs_events: notices,
            fs_events: None,
            watched_folder: None,
            problem: None,
            summary_stamp: None,
            last_warnings: HashMap::new(),
            save_failed: false,
            is_enabled: false,
            prune_pending: false,
            import_counters: tally,
        }
    }

    fn run(&mut self) {
        while !self.is_stopped() {
            if !self.update_enabled() {
                self.events.wait(self.timing.rescan_interval);
                continue;
            }
            checkpoint("watch:look");
            let scan_time = self.elapsed();
            self.watch_current_folder();
            let pending = self.events.take();
            match self.importer.list() {
                Ok(listing) => {
                    self.problem = None;
                    self.files.update(&listing.files, scan_time);
                    for name in listing.non_files {
                        self.warn_once(&name, "it is not a regular file, so it is ignored");
                    }
                    for (name, hint) in pending.hints {
                        self.files.apply_hint(&name, hint, scan_time);
                    }
                    self.check_mirror_change();
                    self.import_due();
                }
                Err(error) => self.set_problem(format!("could not list the folder: {error}")),
            }
            if self.prune_pending && !self.is_stopped() {
                self.prune_pending = !self.importer.prune();
            }
            self.report_waiting();
            self.save_state();
            let next = self.files.next_due().unwrap_or(Duration::MAX).min(scan_time + self.timing.rescan_interval);
            let next = if self.problem.is_some() { scan_time + self.timing.rescan_interval } else { next };
            self.events.wait(next.saturating_sub(self.elapsed()));
        }
    }

    /// Applies the settings. Returns whether to import bundles.
    fn update_enabled(&mut self) -> bool {
        let is_enabled = self.importer.context.settings.current().watch_incoming;
        match (is_enabled, self.is_enabled) {
            (true, false) => {
                self.importer.context.sink.status("Watching", self.importer.context.incoming.display().to_string());
                // The folder may go missing later because a disk was unmounted; its mount point must stay free.
                let _waited_for = fs::create_dir_all(&self.importer.context.incoming).is_err();
            }
            (false, true) => {
                self.importer
                    .context
                    .sink
                    .status("Stopped", format!("watching {}", self.importer.context.incoming.display()));
                self.problem = Some("the settings disable the import from this folder".to_owned());
                self.save_state();
                // The watcher misses events meanwhile, so it examines every file again afterwards.
                self.files = FileStates::new(self.timing, true);
                (self.fs_events, self.watched_folder, self.prune_pending) = (None, None, false);
            }
            _ => {}
        }
        self.is_enabled = is_enabled;
        is_enabled
    }

    /// Makes sure that events come from the folder that exists now, which may have been replaced.
    fn watch_current_folder(&mut self) {
        let folder_id = identity(&self.importer.context.incoming);
        if folder_id == self.watched_folder && folder_id.is_some() {
            return;
        }
        (self.watched_folder, self.fs_events) = (folder_id, None);
        if folder_id.is_none() {
            return;
        }
        if self.wants_fs_events {
            match FsEvents::watch(&self.importer.context.incoming, &self.events) {
                Ok(notices) => self.fs_events = Some(notices),
                Err(error) => self.importer.context.sink.warning(format!(
                    "the system sends no file events for {}: {error}",
                    self.importer.context.incoming.display()
                )),
            }
        }
        self.files.is_polling = self.fs_events.is_none() || fs_events::is_silent(&self.importer.context.incoming);
        if self.files.is_polling {
            let folder = self.importer.context.incoming.display();
            self.importer
                .context
                .sink
                .detail("Scanning", format!("`{folder}` every {} s", self.timing.rescan_interval.as_secs()));
        }
    }

    /// Every change of a mirror replaces its summary.
    fn check_mirror_change(&mut self) {
        let head = FileStamp::read(&self.importer.context.mirror.summary()).ok().flatten();
        if head != self.summary_stamp {
            self.summary_stamp = head;
            self.files.mirror_changed();
        }
    }

    /// Tries all due files, in the order of the histories.
    fn import_due(&mut self) {
        let mut positions = Vec::new();
        for name in self.files.due_files(self.elapsed()) {
            if self.is_stopped() {
                return;
            }
            let Some(before) = self.importer.stamp(&name) else {
                self.files.remove(&name);
                continue;
            };
            let began = self.elapsed();
            match self.importer.read_position(&name, self.files.can_reject(&name, began)) {
                Ok(position) => positions.push((position, name)),
                Err(outcome) => self.record_attempt(name, began, before, outcome),
            }
        }
        for name in sort_for_import(positions) {
            if self.is_stopped() || !self.importer.context.settings.current().watch_incoming {
                return;
            }
            let Some(before) = self.importer.stamp(&name) else {
                self.files.remove(&name);
                continue;
            };
            let began = self.elapsed();
            let (outcome, imported) =
                self.importer.import(&name, before, Duration::ZERO, self.importer.context.sink.as_ref());
            self.import_counters.imported.fetch_add(imported.into(), Ordering::Relaxed);
            self.prune_pending |= imported && self.importer.context.settings.current().prune_on_import;
            self.record_attempt(name, began, before, outcome);
            self.check_mirror_change();
        }
    }

    fn record_attempt(&mut self, name: OsString, began: Duration, before: file_state::FileStamp, outcome: Outcome) {
        // An interrupted attempt has no result.
        if self.is_stopped() && !matches!(outcome, Outcome::Gone | Outcome::Imported) {
            return;
        }
        let attempt = Attempt { began, before, after: self.importer.stamp(&name), outcome };
        let now = self.elapsed();
        let Some(reason) = self.files.record_attempt(&name, attempt, now) else { return };
        let keep = self.importer.context.settings.current().keep_failed_packages;
        let rejection = Rejection {
            name: &name,
            checked_stamp: before,
            reason: &reason,
            keeps_file: keep,
            now: self.importer.context.now(),
        };
        match reject_bundle(&self.processed, &rejection, &self.import_counters, self.importer.context.sink.as_ref()) {
            Ok(_) => self.files.remove(&name),
            Err(error) => self.warn_once(&name, &format!("rejected, but could not be moved to failed/: {error}")),
        }
    }

    fn report_waiting(&mut self) {
        let mut lines = Vec::new();
        for (name, standing) in self.files.statuses() {
            match standing {
                FileStatus::Waiting(Obstacle { reason, hint }) => {
                    let mirror = &self.importer.context.mirror;
                    let hint = hint.as_deref().map(|hint| format!("; {}", mirror.fill_in(hint))).unwrap_or_default();
                    let reason = mirror.fill_in(reason);
                    lines.push((name.to_owned(), format!("waiting: {reason}{hint}")));
                }
                FileStatus::Rejected(reason) => {
                    lines.push((name.to_owned(), format!("rejected: {}", first_line(reason))));
                }
                FileStatus::Arriving(_) | FileStatus::Done => {}
            }
        }
        for (name, line) in lines {
            self.warn_once(&name, &line);
        }
    }

    /// Warns about a file, unless the last warning about it was the same.
    fn warn_once(&mut self, name: &OsStr, what: &str) {
        if self.last_warnings.get(name).is_some_and(|reported| reported == what) {
            return;
        }
        if self.last_warnings.len() > 1000 {
            self.last_warnings.clear();
        }
        self.last_warnings.insert(name.to_owned(), what.to_owned());
        self.importer.context.sink.warning(format!("{}: {what}", display_name(name)));
    }

    fn set_problem(&mut self, problem: String) {
        if self.problem.as_ref() != Some(&problem) {
            self.importer.context.sink.warning(format!("{}: {problem}", self.importer.context.incoming.display()));
        }
        self.problem = Some(problem);
    }

    /// Saves the state if it has changed.
    fn save_state(&mut self) {
        // A mirror of a newer version stays unchanged; a warning already says that nothing is imported into it.
        if self.importer.context.mirror.check_format().is_err() {
            return;
        }
        let mut state = WatcherState {
            folder: self.importer.context.incoming.clone(),
            problem: self.problem.clone(),
            is_polling: self.files.is_polling,
            done: self.processed.count_done(),
            ..WatcherState::default()
        };
        let (failed, count) = self.processed.list_failed(MOST_FAILED);
        state.failed_count = count;
        state.failed.extend(failed.iter().map(|(name, reason)| pending_bundle(name, reason)));
        for (name, standing) in self.files.statuses() {
            match standing {
                FileStatus::Arriving(reason) => state.arriving.push(pending_bundle(name, reason)),
                FileStatus::Waiting(Obstacle { reason, hint }) => {
                    state.waiting.push(PendingBundle { hint: hint.clone(), ..pending_bundle(name, reason) });
                }
                FileStatus::Rejected(reason) => {
                    state.failed.push(pending_bundle(name, reason));
                    state.failed_count += 1;
                }
                FileStatus::Done => state.done += 1,
            }
        }
        let recorded = state.save(&self.importer.context.mirror);
        if let (Err(error), false) = (&recorded, self.save_failed) {
            self.importer
                .context
                .sink
                .warning(format!("`status` cannot report on the incoming folder: {error}: {}", error.source));
        }
        self.save_failed = recorded.is_err();
    }

    fn is_stopped(&self) -> bool {
        self.importer.is_stopping.load(Ordering::Relaxed)
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

fn pending_bundle(name: &OsStr, reason: &str) -> PendingBundle {
    PendingBundle { file: display_name(name), reason: replace_control_chars(first_line(reason)), hint: None }
}
