//! What came is placed in the mirror by a thread of its own, under the mirror's lock, as much at a time as has come meanwhile.

use std::io;
use std::ops::Deref;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::figures::Figures;
use super::flight::Landed;
use super::refusal::told;
use super::used::Used;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::env::Env;
use crate::event::{self, Silent, Sink, contents};
use crate::index_line::IndexLine;
use crate::mirror::gc::{self, Evicted};
use crate::mirror::layout::Layout;
use crate::mirror::live::{Arrival, ArrivedArtifact, Refused, Renewal};
use crate::mirror::lock::{self, Holder, lock_for_adding, lock_for_collecting};
use crate::safe_path::SafePath;
use crate::server_config::Live;

/// How long the thread waits for more before it places what there is.
const GATHERING: Duration = Duration::from_millis(20);
/// Files in one batch at most.
const BATCH: usize = 512;
/// How often it is written down when files were last asked for.
const WRITTEN_EVERY: Duration = Duration::from_secs(300);
/// How long one attempt waits for the mirror's lock. An import may hold it for long; what came waits in memory and on disk.
const LOCK_PATIENCE: Duration = Duration::from_secs(600);

/// How long the thread waits for the lock of a collection, in which nothing is placed, and when it tries again.
const EVICT_PATIENCE: Duration = Duration::from_secs(10);
const EVICT_AGAIN: Duration = Duration::from_secs(60);

/// One thing to place.
pub(super) enum Parcel {
    /// A crate.
    Crate {
        /// Which.
        id: CrateId,
        /// Its line, as it was offered.
        line: Box<IndexLine>,
        /// When upstream's index was read.
        read: Timestamp,
        /// Its file.
        landed: Landed,
    },
    /// Files that rustup asks for, placed together or not at all.
    Artifacts(Vec<(SafePath, Sha256, Timestamp, Landed)>),
    /// Lines of held versions that upstream has changed.
    Renewals(Vec<Renewal>),
    /// Nothing: the disk was too full for a download, so that what exceeds the limit must go.
    Room,
}

/// What is called when a parcel was placed, or could not be.
pub(super) type Done = Box<dyn FnOnce(bool) + Send>;

/// What the thread works with.
pub(super) struct Tools {
    /// The mirror.
    pub(super) layout: Layout,
    /// The settings: what live mode brings may be limited.
    pub(super) settings: Arc<Live>,
    /// The environment, for the name of this machine.
    pub(super) env: Env,
    /// The clock.
    pub(super) clock: fn() -> Timestamp,
    /// What is counted.
    pub(super) figures: Arc<Figures>,
    /// When files were last asked for.
    pub(super) used: Arc<Used>,
    /// Where faults are reported.
    pub(super) sink: Arc<dyn Sink>,
}

/// The thread, as long as somebody has work for it.
pub(super) struct Placer {
    parcels: Mutex<Option<Sender<(Parcel, Done)>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Placer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives none.
    pub(super) fn start(tools: Tools) -> io::Result<Placer> {
        let (sender, receiver) = mpsc::channel();
        let work = Work { tools, spare: None, evicts_from: Instant::now() };
        let thread = std::thread::Builder::new().name("live-placing".to_owned()).spawn(move || work.run(&receiver))?;
        Ok(Placer { parcels: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Has it placed; `done` is called afterwards, or at once where the end has begun.
    pub(super) fn place(&self, parcel: Parcel, done: Done) {
        let sender = self.parcels.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let refused = match sender {
            Some(sender) => sender.send((parcel, done)).err().map(|refused| refused.0),
            None => Some((parcel, done)),
        };
        if let Some((_, done)) = refused {
            done(false);
        }
    }

    /// Takes nothing more, and waits until everything is placed, for so long at most; whether it is.
    pub(super) fn finish(&self, within: Duration) -> bool {
        drop(self.parcels.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return true };
        let until = Instant::now() + within;
        while !thread.is_finished() {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        thread.join().is_ok()
    }
}

struct Work {
    tools: Tools,
    /// Bytes that live mode brought and that nobody else needs, at most; `None`: nobody has looked.
    spare: Option<u64>,
    /// When there is a next attempt to remove something.
    evicts_from: Instant,
}

impl Deref for Work {
    type Target = Tools;

    fn deref(&self) -> &Tools {
        &self.tools
    }
}

impl Work {
    fn run(mut self, parcels: &Receiver<(Parcel, Done)>) {
        self.sweep();
        let mut written = Instant::now();
        loop {
            let first = match parcels.recv_timeout(WRITTEN_EVERY) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Some(first) = first {
                let mut batch = vec![first];
                while batch.len() < BATCH {
                    match parcels.recv_timeout(GATHERING) {
                        Ok(more) => batch.push(more),
                        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                    }
                }
                if !batch.iter().all(|(parcel, _)| matches!(parcel, Parcel::Room)) {
                    self.place(batch);
                }
                self.keep_within_limit();
            }
            if written.elapsed() >= WRITTEN_EVERY {
                self.write_used();
                written = Instant::now();
            }
        }
        self.write_used();
    }

    fn write_used(&self) {
        let root = self.layout.root();
        // They only say what goes first.
        if let Err(error) = self.used.write(&self.layout.live_used(), |path| root.join(path).is_file()) {
            self.sink.detail(format!("could not keep when files were last asked for: {error}"));
        }
    }

    /// Removes what was not asked for the longest where there is more than is wanted.
    fn keep_within_limit(&mut self) {
        let settings = self.settings.current();
        let cap = settings.proxy_cache_max;
        if !settings.proxy_mode || cap == 0 || self.spare.is_some_and(|spare| spare <= cap) {
            return;
        }
        if Instant::now() < self.evicts_from {
            return;
        }
        let now = (self.clock)();
        let me = Holder::this_process("live", &self.env, now);
        let evicted = lock_for_collecting(&self.layout, EVICT_PATIENCE, &me, self.sink.as_ref())
            .map_err(gc::Error::from)
            .and_then(|mut guard| guard.evict_live(cap, &self.used.all(), now, self.sink.as_ref()));
        match evicted {
            Ok(Evicted { crates, artifacts, bytes, left }) => {
                self.spare = Some(left);
                if crates + artifacts > 0 {
                    let (what, bytes) = (contents(crates, artifacts), event::size(bytes));
                    self.sink.status("Evicted", format!("{what} that nobody asked for lately; freed {bytes}"));
                }
            }
            Err(error) => {
                self.sink
                    .warning(format!("`proxy_cache_max` is exceeded, and nothing could be removed: {}", told(&error)));
                // Not with every batch.
                self.evicts_from = Instant::now() + EVICT_AGAIN;
            }
        }
    }

    /// Removes what killed processes left, and places what one of them was placing.
    fn sweep(&self) {
        if !self.layout.live_partial().is_dir() {
            return;
        }
        let me = Holder::this_process("live", &self.env, (self.clock)());
        // Where somebody is at work, the next batch, or the next start, does it.
        if let Ok(mut guard) = lock_for_adding(&self.layout, Duration::ZERO, &me, &Silent)
            && let Err(error) = guard.sweep_partial()
        {
            self.sink.warning(format!("what an earlier server was fetching could not be removed: {}", told(&error)));
        }
    }

    fn place(&mut self, batch: Vec<(Parcel, Done)>) {
        let now = (self.clock)();
        let me = Holder::this_process("live", &self.env, now);
        let mut guard = loop {
            match lock_for_adding(&self.layout, LOCK_PATIENCE, &me, self.sink.as_ref()) {
                Ok(guard) => break guard,
                Err(held @ lock::Error::Held { .. }) => {
                    self.sink.warning(format!("what live mode fetched waits to be placed: {}", told(&held)));
                }
                Err(error) => return self.failed(batch, &error),
            }
        };
        let (mut arrivals, mut renewals, mut artifacts) = (Vec::new(), Vec::new(), Vec::new());
        // The files are ours until they are placed.
        let (mut files, mut all_done) = (Vec::new(), Vec::new());
        for (parcel, done) in batch {
            all_done.push(done);
            match parcel {
                Parcel::Crate { id, line, read, landed: Landed { file, size } } => {
                    let path = file.path().to_owned();
                    arrivals.push(Arrival { sha256: line.cksum, id, size, file: path, line: *line, read });
                    files.push(file);
                }
                Parcel::Artifacts(all) => {
                    for (path, sha256, read, Landed { file, size }) in all {
                        artifacts.push(ArrivedArtifact { path, sha256, size, file: file.path().to_owned(), read });
                        files.push(file);
                    }
                }
                Parcel::Renewals(lines) => renewals.extend(lines),
                Parcel::Room => {}
            }
        }
        let placed = guard.place_live(arrivals, renewals, artifacts, now, self.sink.as_ref());
        drop(guard);
        let good = match placed {
            Ok(placed) => {
                self.figures.placed(placed.crates, placed.artifacts);
                self.spare = self.spare.map(|spare| spare.saturating_add(placed.bytes));
                for Refused { what, why } in placed.refused {
                    self.sink.warning(format!("live mode fetched {what}, which the mirror refuses: {why}"));
                }
                true
            }
            Err(error) => {
                self.sink.warning(format!("what live mode fetched could not be placed: {}", told(&error)));
                self.figures.not_placed();
                false
            }
        };
        drop(files);
        for done in all_done {
            done(good);
        }
    }

    fn failed(&self, batch: Vec<(Parcel, Done)>, error: &dyn std::error::Error) {
        self.sink.warning(format!("what live mode fetched could not be placed: {}", told(error)));
        self.figures.not_placed();
        for (_, done) in batch {
            done(false);
        }
    }
}
