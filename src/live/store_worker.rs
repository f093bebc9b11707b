//! A thread that stores fetched files in the mirror, under the mirror's lock. Each batch takes all files that have
//! arrived meanwhile.

use std::io;
use std::ops::Deref;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::access_times::AccessTimes;
use super::download::CompletedDownload;
use super::error::is_disk_full;
use super::metrics::LiveMetrics;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::error_chain::one_line;
use crate::event::{self, NullSink, format_contents};
use crate::index_line::IndexLine;
use crate::mirror::gc::{self, EvictionReport};
use crate::mirror::live::{FetchedCrate, FetchedDistFile, IndexUpdate, Rejection};
use crate::mirror::lock::{self, lock_for_adding, lock_for_collecting};
use crate::safe_path::SafePath;
use crate::server_context::ServerContext;

/// How long the thread waits for more files before it stores a batch.
const BATCH_WINDOW: Duration = Duration::from_millis(20);
/// Maximum number of files in one batch.
const MAX_BATCH: usize = 512;
/// How often the access times are saved.
const ACCESS_TIMES_SAVE_INTERVAL: Duration = Duration::from_secs(300);
/// How long one attempt waits for the mirror's lock. An import may hold it for long; fetched files wait in memory and
/// on disk.
const LOCK_TIMEOUT: Duration = Duration::from_secs(600);

/// How long the thread waits for the gc lock, during which nothing is stored, and when it retries.
const EVICTION_LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const EVICTION_RETRY_DELAY: Duration = Duration::from_secs(60);

/// A job of the worker.
pub(super) enum StoreJob {
    /// A crate.
    Crate {
        /// Its name and version.
        id: CrateId,
        /// Its index line as offered.
        line: Box<IndexLine>,
        /// When upstream's index was read.
        index_read: Timestamp,
        /// Its file.
        download: CompletedDownload,
    },
    /// Dist files that are stored in one transaction.
    DistFiles(Vec<(SafePath, Sha256, Timestamp, CompletedDownload)>),
    /// Index lines of stored versions that upstream has changed.
    IndexUpdates(Vec<IndexUpdate>),
    /// Stores nothing: the disk was too full for a download, so files above the limit must be evicted.
    FreeSpace,
}

/// Called after the job, with whether it was stored.
pub(super) type OnStored = Box<dyn FnOnce(bool) + Send>;

/// What the worker needs.
pub(super) struct WorkerContext {
    /// What all parts of the server share.
    pub(super) server: ServerContext,
    /// The counters.
    pub(super) metrics: Arc<LiveMetrics>,
    /// When files were last requested.
    pub(super) access_times: Arc<AccessTimes>,
}

/// The worker thread. It ends when all handles are dropped.
pub(super) struct StoreWorker {
    jobs: Mutex<Option<Sender<(StoreJob, OnStored)>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl StoreWorker {
    /// Starts the thread.
    ///
    /// # Errors The system cannot start a thread.
    pub(super) fn start(tools: WorkerContext) -> io::Result<StoreWorker> {
        let (sender, receiver) = mpsc::channel();
        let work = WorkerThread { context: tools, unreferenced_bytes: None, next_eviction: Instant::now() };
        let thread = std::thread::Builder::new().name("live-placing".to_owned()).spawn(move || work.run(&receiver))?;
        Ok(StoreWorker { jobs: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Stores the job's files. Calls `done` afterwards, or at once during shutdown.
    pub(super) fn enqueue(&self, job: StoreJob, done: OnStored) {
        let sender = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let refused = match sender {
            Some(sender) => sender.send((job, done)).err().map(|refused| refused.0),
            None => Some((job, done)),
        };
        if let Some((_, done)) = refused {
            done(false);
        }
    }

    /// Accepts no more jobs, and waits up to `timeout` until all are stored; returns whether they are.
    pub(super) fn shutdown(&self, timeout: Duration) -> bool {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return true };
        let until = Instant::now() + timeout;
        while !thread.is_finished() {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        thread.join().is_ok()
    }
}

struct WorkerThread {
    context: WorkerContext,
    /// Bytes of files that only live mode needs; `None`: not yet determined.
    unreferenced_bytes: Option<u64>,
    /// When the next eviction may start.
    next_eviction: Instant,
}

impl Deref for WorkerThread {
    type Target = WorkerContext;

    fn deref(&self) -> &WorkerContext {
        &self.context
    }
}

impl WorkerThread {
    fn run(mut self, parcels: &Receiver<(StoreJob, OnStored)>) {
        self.recover_interrupted();
        let mut saved = Instant::now();
        loop {
            let first = match parcels.recv_timeout(ACCESS_TIMES_SAVE_INTERVAL) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Some(first) = first {
                let mut batch = vec![first];
                while batch.len() < MAX_BATCH {
                    match parcels.recv_timeout(BATCH_WINDOW) {
                        Ok(more) => batch.push(more),
                        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                    }
                }
                if !batch.iter().all(|(job, _)| matches!(job, StoreJob::FreeSpace)) {
                    self.store_batch(batch);
                }
                self.evict_over_limit();
            }
            if saved.elapsed() >= ACCESS_TIMES_SAVE_INTERVAL {
                self.save_access_times();
                saved = Instant::now();
            }
        }
        self.save_access_times();
    }

    fn save_access_times(&self) {
        let root = self.server.mirror.root();
        // They only determine the order of evictions.
        if let Err(error) =
            self.access_times.write(&self.server.mirror.live_access_times(), |path| root.join(path).is_file())
        {
            self.server.sink.detail("Note", format!("could not save the access times: {error}"));
        }
    }

    /// Evicts the least recently requested files if the size exceeds the limit.
    fn evict_over_limit(&mut self) {
        let settings = self.server.settings.current();
        let max_bytes = settings.proxy_cache_max;
        if !settings.proxy_mode
            || max_bytes == 0
            || self.unreferenced_bytes.is_some_and(|unreferenced| unreferenced <= max_bytes)
        {
            return;
        }
        if Instant::now() < self.next_eviction {
            return;
        }
        let now = self.server.now();
        let holder = self.server.lock_holder("live");
        let evicted =
            lock_for_collecting(&self.server.mirror, EVICTION_LOCK_TIMEOUT, &holder, self.server.sink.as_ref())
                .map_err(gc::Error::from)
                .and_then(|mut guard| {
                    guard.evict_live(max_bytes, &self.access_times.all(), now, self.server.sink.as_ref())
                });
        match evicted {
            Ok(EvictionReport { crates, dist_files: artifacts, bytes, remaining_bytes: left }) => {
                self.unreferenced_bytes = Some(left);
                if crates + artifacts > 0 {
                    let (what, bytes) = (format_contents(crates, artifacts), event::format_size(bytes));
                    self.server.sink.status("Evicted", format!("{what}, the least recently requested; freed {bytes}"));
                }
            }
            Err(error) => {
                self.server.sink.warning(format!(
                    "`proxy_cache_max` is exceeded, but no file could be evicted: {}",
                    one_line(&error)
                ));
                // Prevents an attempt with every batch.
                self.next_eviction = Instant::now() + EVICTION_RETRY_DELAY;
            }
        }
    }

    /// Removes leftovers of killed processes, and completes their interrupted transactions.
    fn recover_interrupted(&self) {
        if !self.server.mirror.live_partial().is_dir() {
            return;
        }
        let holder = self.server.lock_holder("live");
        // If another process holds the lock, the next batch or the next start does it.
        if let Ok(guard) = lock_for_adding(&self.server.mirror, Duration::ZERO, &holder, &NullSink)
            && let Err(error) = guard.remove_stale_partial_files()
        {
            self.server
                .sink
                .warning(format!("could not remove unfinished downloads of an earlier server: {}", one_line(&error)));
        }
    }

    fn store_batch(&mut self, batch: Vec<(StoreJob, OnStored)>) {
        let now = self.server.now();
        let me = self.server.lock_holder("live");
        let mut guard = loop {
            match lock_for_adding(&self.server.mirror, LOCK_TIMEOUT, &me, self.server.sink.as_ref()) {
                Ok(guard) => break guard,
                Err(stored @ lock::Error::Locked { .. }) => {
                    self.server.sink.warning(format!("fetched files wait to be stored: {}", one_line(&stored)));
                }
                Err(error) => return self.fail_batch(batch, &error),
            }
        };
        let (mut arrivals, mut renewals, mut artifacts) = (Vec::new(), Vec::new(), Vec::new());
        // The files stay protected until they are stored.
        let (mut files, mut all_done) = (Vec::new(), Vec::new());
        for (job, done) in batch {
            all_done.push(done);
            match job {
                StoreJob::Crate { id, line, index_read: read, download: CompletedDownload { file, size } } => {
                    let path = file.path().to_owned();
                    arrivals.push(FetchedCrate {
                        sha256: line.cksum,
                        id,
                        size,
                        file: path,
                        line: *line,
                        read_at: read,
                    });
                    files.push(file);
                }
                StoreJob::DistFiles(all) => {
                    for (path, sha256, read, CompletedDownload { file, size }) in all {
                        artifacts.push(FetchedDistFile {
                            path,
                            sha256,
                            size,
                            file: file.path().to_owned(),
                            read_at: read,
                        });
                        files.push(file);
                    }
                }
                StoreJob::IndexUpdates(lines) => renewals.extend(lines),
                StoreJob::FreeSpace => {}
            }
        }
        let placed = guard.store_live(arrivals, renewals, artifacts, now, self.server.sink.as_ref());
        drop(guard);
        let good = match placed {
            Ok(placed) => {
                self.metrics.record_stored(placed.crates, placed.dist_files);
                self.unreferenced_bytes =
                    self.unreferenced_bytes.map(|unreferenced| unreferenced.saturating_add(placed.bytes));
                for Rejection { item: what, reason: why } in placed.rejected {
                    self.server.sink.warning(format!("live mode fetched {what}, but the mirror rejects it: {why}"));
                }
                true
            }
            Err(error) => {
                self.server
                    .sink
                    .warning(format!("could not store the files that live mode fetched: {}", one_line(&error)));
                self.record_failure(&error);
                false
            }
        };
        drop(files);
        for done in all_done {
            done(good);
        }
    }

    fn record_failure(&self, error: &(dyn std::error::Error + 'static)) {
        self.metrics.record_store_failure();
        if is_disk_full(error) {
            self.metrics.record_full_disk(self.server.now());
        }
    }

    fn fail_batch(&self, batch: Vec<(StoreJob, OnStored)>, error: &(dyn std::error::Error + 'static)) {
        self.server.sink.warning(format!("could not store the files that live mode fetched: {}", one_line(error)));
        self.record_failure(error);
        for (_, done) in batch {
            done(false);
        }
    }
}
