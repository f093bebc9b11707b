//! The incoming folder: what is dropped there is imported as soon as it is whole, and moved away.
//!
//! | room | what it knows |
//! |---|---|
//! | [`settle`] | when a file is tried, and what follows: no files, no clocks |
//! | `take` | one file: looked at, imported |
//! | [`refused`] | `failed/` for an administrator: retry, dismiss, delete |
//! | `put_aside` | what becomes of a bundle that was refused |
//! | [`single`] | one bundle, imported on request |
//! | `shelves` | `done/` and `failed/`, where nothing is overwritten |
//! | `open` | files opened without waiting and without following links |
//! | `notices` | the system's hints of changes |
//! | `mailbox` | where hints wait |
//!
//! The truth is a look at the folder every few seconds, because network file systems watch in silence, queues overflow
//! and folders are unmounted. The system's notices only make it quicker. Only the folder's top level counts, and of it
//! the files `*.pkg` that are not hidden.
//!
//! Several bundles that can be tried at once go in the order of their histories. A delta whose base is missing stays
//! and is tried again whenever the mirror has changed. Two servers may watch one folder for one mirror: a bundle is
//! imported and moved under the mirror's lock, so the second finds it gone.
//!
//! The watcher has a thread of its own and takes nothing from the server. It ends between two reads of a bundle, which
//! is then left in its place. While the settings say that nothing is to be watched, it sleeps.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

use crate::durable::checkpoint;
use crate::env::Env;
use crate::event::Sink;
use crate::mirror::chain::in_order;
use crate::mirror::incoming::{Bundle, Incoming};
use crate::mirror::layout::Layout;
use crate::panics::caught;
use crate::server_config::Live;
use mailbox::Mailbox;
use notices::Notices;
use put_aside::{Refusal, put_aside};
use refused::MOST as MOST_FAILED;
use settle::{Pace, Settle, Standing, Trial, Verdict};
use shelves::Shelves;
use take::{Taker, identity, plain, shown};

mod mailbox;
mod notices;
pub(crate) mod open;
mod put_aside;
pub mod refused;
pub mod settle;
mod shelves;
pub mod single;
mod take;

/// What is watched, and for which mirror.
pub struct WatchOptions {
    /// The incoming folder; made at the start where it is not there, and otherwise waited for.
    pub folder: PathBuf,
    /// The mirror.
    pub mirror: Layout,
    /// The settings, which may change meanwhile, and the folder that a snapshot's configuration goes to.
    pub settings: Arc<Live>,
    /// How long to wait for what.
    pub pace: Pace,
    /// Whether to listen to the system's notices; without them the folder is polled.
    pub notices: bool,
    /// The environment, for the name of this machine.
    pub env: Env,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// Where reports go.
    pub sink: Arc<dyn Sink>,
    /// Where imports are counted.
    pub tally: Arc<Tally>,
}

/// What came of bundles since the watcher began.
#[derive(Debug, Default)]
pub struct Tally {
    /// Bundles that were imported.
    pub imported: AtomicU64,
    /// Bundles that were refused.
    pub refused: AtomicU64,
    /// A bug ended the watcher's thread, so that nothing is imported until the server is restarted.
    pub failed: AtomicBool,
}

/// A watcher at work. Dropped, it is told to end and not waited for.
pub struct Watcher {
    mailbox: Arc<Mailbox>,
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Begins to watch, on a thread of its own.
///
/// # Errors
/// The system gives no thread.
pub fn start(options: WatchOptions) -> io::Result<Watcher> {
    let mailbox = Arc::new(Mailbox::default());
    let stopped = Arc::new(AtomicBool::new(false));
    let (post, stop) = (Arc::clone(&mailbox), Arc::clone(&stopped));
    let thread = thread::Builder::new().name("incoming".to_owned()).spawn(move || {
        let (sink, folder, tally) = (Arc::clone(&options.sink), options.folder.clone(), Arc::clone(&options.tally));
        let mut watch = Watch::new(options, post, stop);
        if let Err(bug) = caught(|| watch.run()) {
            tally.failed.store(true, Ordering::Relaxed);
            sink.warning(format!(
                "{} is no longer watched; restart the server, and report this: {bug}",
                folder.display()
            ));
            watch.problem = Some("a bug ended the watching; restart the server".to_owned());
            watch.record();
        }
    })?;
    Ok(Watcher { mailbox, stopped, thread })
}

impl Watcher {
    /// Tells the watcher to end, without waiting for that.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.mailbox.look();
    }

    /// Tells the watcher to end, and waits for that, at most for `patience`; says whether it has ended. What it is
    /// placing in the mirror by then is placed whole or not at all, even if the process ends.
    pub fn finish(self, patience: Duration) -> bool {
        self.stop();
        let until = Instant::now() + patience;
        while !self.thread.is_finished() && Instant::now() < until {
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

/// The thread's own.
struct Watch {
    taker: Taker,
    settle: Settle,
    shelves: Shelves,
    pace: Pace,
    mailbox: Arc<Mailbox>,
    began: Instant,
    /// Whether notices are wanted, those there are, and of which folder.
    wanted: bool,
    notices: Option<Notices>,
    watched: Option<(u64, u64)>,
    /// Why the folder cannot be read.
    problem: Option<String>,
    /// The head's last state: a sign that the mirror has changed.
    head: Option<(u64, SystemTime)>,
    /// What was said of each file, so that it is said once.
    told: HashMap<OsString, String>,
    /// Whether it was said that the state cannot be recorded.
    unrecorded: bool,
    /// Whether the settings ask for it.
    awake: bool,
    /// Whether garbage is to be collected, as soon as nobody else holds the mirror.
    prune: bool,
    tally: Arc<Tally>,
}

impl Watch {
    fn new(options: WatchOptions, mailbox: Arc<Mailbox>, stopped: Arc<AtomicBool>) -> Watch {
        let WatchOptions { folder, mirror, settings: live, pace, notices, env, clock, sink, tally } = options;
        Watch {
            settle: Settle::new(pace, true),
            shelves: Shelves::of(&folder),
            taker: Taker { folder, mirror, live, env, clock, sink, stopped },
            pace,
            mailbox,
            began: Instant::now(),
            wanted: notices,
            notices: None,
            watched: None,
            problem: None,
            head: None,
            told: HashMap::new(),
            unrecorded: false,
            awake: false,
            prune: false,
            tally,
        }
    }

    fn run(&mut self) {
        while !self.is_stopped() {
            if !self.is_awake() {
                self.mailbox.wait(self.pace.rescan);
                continue;
            }
            checkpoint("watch:look");
            let look = self.now();
            self.watch_folder();
            let post = self.mailbox.take();
            match self.taker.list() {
                Ok(listing) => {
                    self.problem = None;
                    self.settle.scan(&listing.files, look);
                    for name in listing.others {
                        self.say(&name, "it is not a regular file, so it is left alone");
                    }
                    for (name, hint) in post.hints {
                        self.settle.hint(&name, hint, look);
                    }
                    self.notice_mirror();
                    self.work();
                }
                Err(error) => self.set_problem(format!("could not list the folder: {error}")),
            }
            if self.prune && !self.is_stopped() {
                self.prune = !self.taker.prune();
            }
            self.say_what_waits();
            self.record();
            let next = self.settle.next().unwrap_or(Duration::MAX).min(look + self.pace.rescan);
            let next = if self.problem.is_some() { look + self.pace.rescan } else { next };
            self.mailbox.wait(next.saturating_sub(self.now()));
        }
    }

    /// Follows the settings: whether bundles are to be imported.
    fn is_awake(&mut self) -> bool {
        let wanted = self.taker.live.current().watch_incoming;
        match (wanted, self.awake) {
            (true, false) => {
                self.taker.sink.status("Watching", self.taker.folder.display().to_string());
                // Later it may be missing because a disk was taken away, whose place must stay free.
                let _waited_for = fs::create_dir_all(&self.taker.folder).is_err();
            }
            (false, true) => {
                self.taker.sink.status("Resting", format!("{} is not watched any more", self.taker.folder.display()));
                self.problem = Some("it is not watched any more, as the settings ask".to_owned());
                self.record();
                // What happens meanwhile is seen by nobody, so everything is looked at anew afterwards.
                self.settle = Settle::new(self.pace, true);
                (self.notices, self.watched, self.prune) = (None, None, false);
            }
            _ => {}
        }
        self.awake = wanted;
        wanted
    }

    /// Sees to it that the folder which is there now is the one that notices come from.
    fn watch_folder(&mut self) {
        let there = identity(&self.taker.folder);
        if there == self.watched && there.is_some() {
            return;
        }
        (self.watched, self.notices) = (there, None);
        if there.is_none() {
            return;
        }
        if self.wanted {
            match Notices::of(&self.taker.folder, &self.mailbox) {
                Ok(notices) => self.notices = Some(notices),
                Err(error) => self
                    .taker
                    .sink
                    .warning(format!("the system does not watch {}: {error}", self.taker.folder.display())),
            }
        }
        self.settle.polled = self.notices.is_none() || notices::is_silent(&self.taker.folder);
        if self.settle.polled {
            let folder = self.taker.folder.display();
            self.taker.sink.detail(format!("{folder} is looked through every {} s", self.pace.rescan.as_secs()));
        }
    }

    /// Whatever changes a mirror replaces its head.
    fn notice_mirror(&mut self) {
        let about = fs::metadata(self.taker.mirror.head()).ok();
        let head = about.and_then(|about| Some((about.len(), about.modified().ok()?)));
        if head != self.head {
            self.head = head;
            self.settle.mirror_changed();
        }
    }

    /// Tries everything that is due, in the order of the histories.
    fn work(&mut self) {
        let mut places = Vec::new();
        for name in self.settle.due(self.now()) {
            if self.is_stopped() {
                return;
            }
            let Some(before) = self.taker.stamp(&name) else {
                self.settle.forget(&name);
                continue;
            };
            let began = self.now();
            match self.taker.look(&name, self.settle.is_last(&name, began)) {
                Ok(place) => places.push((place, name)),
                Err(verdict) => self.conclude(name, began, before, verdict),
            }
        }
        for name in in_order(places) {
            if self.is_stopped() || !self.taker.live.current().watch_incoming {
                return;
            }
            let Some(before) = self.taker.stamp(&name) else {
                self.settle.forget(&name);
                continue;
            };
            let began = self.now();
            let (verdict, imported) = self.taker.import(&name, before, Duration::ZERO, self.taker.sink.as_ref());
            self.tally.imported.fetch_add(imported.into(), Ordering::Relaxed);
            self.prune |= imported && self.taker.live.current().prune_on_import;
            self.conclude(name, began, before, verdict);
            self.notice_mirror();
        }
    }

    fn conclude(&mut self, name: OsString, began: Duration, before: settle::Stamp, verdict: Verdict) {
        // A trial that was broken off says nothing.
        if self.is_stopped() && !matches!(verdict, Verdict::Gone | Verdict::Imported) {
            return;
        }
        let trial = Trial { began, before, after: self.taker.stamp(&name), verdict };
        let now = self.now();
        let Some(reason) = self.settle.tried(&name, trial, now) else { return };
        let keep = self.taker.live.current().keep_failed_packages;
        let refusal = Refusal { name: &name, judged: before, reason: &reason, keep, now: (self.taker.clock)() };
        match put_aside(&self.shelves, &refusal, &self.tally, self.taker.sink.as_ref()) {
            Ok(_) => self.settle.forget(&name),
            Err(error) => self.say(&name, &format!("it was refused, and could not be moved to failed/: {error}")),
        }
    }

    fn say_what_waits(&mut self) {
        let mut lines = Vec::new();
        for (name, standing) in self.settle.standings() {
            match standing {
                Standing::Waiting(reason) => lines.push((name.to_owned(), format!("it waits: {reason}"))),
                Standing::Refused(reason) => {
                    lines.push((name.to_owned(), format!("it was refused: {}", first_line(reason))));
                }
                Standing::Arriving(_) | Standing::Done => {}
            }
        }
        for (name, line) in lines {
            self.say(&name, &line);
        }
    }

    /// Warns of a file, unless that was the last that was said of it.
    fn say(&mut self, name: &OsStr, what: &str) {
        if self.told.get(name).is_some_and(|told| told == what) {
            return;
        }
        if self.told.len() > 1000 {
            self.told.clear();
        }
        self.told.insert(name.to_owned(), what.to_owned());
        self.taker.sink.warning(format!("{}: {what}", shown(name)));
    }

    fn set_problem(&mut self, problem: String) {
        if self.problem.as_ref() != Some(&problem) {
            self.taker.sink.warning(format!("{}: {problem}", self.taker.folder.display()));
        }
        self.problem = Some(problem);
    }

    /// Records how everything stands, where that has changed.
    fn record(&mut self) {
        // A mirror of a newer tool is left as it is; that nothing is imported into it has been said.
        if self.taker.mirror.check_format().is_err() {
            return;
        }
        let mut state = Incoming {
            folder: self.taker.folder.clone(),
            problem: self.problem.clone(),
            polled: self.settle.polled,
            done: self.shelves.count_done(),
            ..Incoming::default()
        };
        let (failed, count) = self.shelves.list_failed(MOST_FAILED);
        state.failed_count = count;
        state.failed.extend(failed.iter().map(|(name, reason)| line(name, reason)));
        for (name, standing) in self.settle.standings() {
            match standing {
                Standing::Arriving(reason) => state.arriving.push(line(name, reason)),
                Standing::Waiting(reason) => state.waiting.push(line(name, reason)),
                Standing::Refused(reason) => {
                    state.failed.push(line(name, reason));
                    state.failed_count += 1;
                }
                Standing::Done => state.done += 1,
            }
        }
        let recorded = state.record(&self.taker.mirror);
        if let (Err(error), false) = (&recorded, self.unrecorded) {
            self.taker.sink.warning(format!("`status` cannot tell of the incoming folder: {error}: {}", error.source));
        }
        self.unrecorded = recorded.is_err();
    }

    fn is_stopped(&self) -> bool {
        self.taker.stopped.load(Ordering::Relaxed)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

fn line(name: &OsStr, reason: &str) -> Bundle {
    Bundle { file: shown(name), reason: plain(first_line(reason)) }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
