//! A cache of upstream's index files with their validators. A stale file is revalidated by one request for all clients.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use jiff::Timestamp;

use super::error::LiveError;
use super::metrics::LiveMetrics;
use super::upstreams::Upstreams;
use crate::crate_id::CrateName;
use crate::event::Sink;
use crate::generational_map::GenerationalMap;
use crate::upstream::index_file::{CachedIndexFile, IndexFile, cache_folder};

/// How long a client waits for upstream if a cached copy exists.
const TIMEOUT_WITH_COPY: Duration = Duration::from_secs(4);
/// How long it waits otherwise. Cargo gives up after 30 seconds without a byte.
const TIMEOUT: Duration = Duration::from_secs(25);
/// Maximum time for which a missing file is remembered.
const ABSENT_TTL: Duration = Duration::from_secs(60);
/// How long a stale copy is used before upstream is asked again.
const STALE_TTL: Duration = Duration::from_secs(5);
/// Maximum number of pending fetches: a client may request any number of names and disconnect.
const MAX_PENDING: usize = 8192;
/// Bytes of index files in one generation of the memory cache.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;
/// Memory of an entry beside its text, in bytes.
const ENTRY_OVERHEAD: usize = 512;

/// The cached state of one crate's upstream file.
#[derive(Clone)]
pub(super) struct CachedIndex {
    /// The file; `None`: upstream has none.
    pub(super) file: Option<Arc<IndexFile>>,
    /// When upstream last confirmed this state; `None`: in an earlier process.
    pub(super) checked_at: Option<Timestamp>,
    /// When upstream must be asked again.
    pub(super) fresh_until: Instant,
    /// Why upstream could not be asked; `None`: it answered.
    pub(super) stale_reason: Option<LiveError>,
}

/// The cache.
pub(super) struct IndexCache {
    folder: PathBuf,
    table: Mutex<Table>,
    clock: fn() -> Timestamp,
    /// Counts files that changed while their cached copy still counted as fresh.
    early_changes: Arc<AtomicU64>,
    metrics: Arc<LiveMetrics>,
    sink: Arc<dyn Sink>,
}

type PendingFetch = Shared<BoxFuture<'static, Result<Entry, LiveError>>>;

struct Table {
    /// By bytes.
    entries: GenerationalMap<String, Entry>,
    pending: HashMap<String, PendingFetch>,
}

/// A file with its validators.
#[derive(Clone)]
struct Entry {
    cached: Arc<CachedIndexFile>,
    checked_at: Option<Timestamp>,
    fresh_until: Instant,
}

impl IndexCache {
    /// A cache for the registry at `index`, below `folder`, where each registry has its own folder.
    pub(super) fn new(
        folder: &Path,
        index: &str,
        clock: fn() -> Timestamp,
        surprises: Arc<AtomicU64>,
        figures: Arc<LiveMetrics>,
        sink: Arc<dyn Sink>,
    ) -> IndexCache {
        IndexCache {
            folder: cache_folder(folder, index),
            table: Mutex::new(Table { entries: GenerationalMap::new(SEGMENT_BYTES), pending: HashMap::new() }),
            clock,
            early_changes: surprises,
            metrics: figures,
            sink,
        }
    }

    /// The file of `name`, no older than `ttl`, and no older than `since` if given. If upstream does not answer, an
    /// older copy.
    ///
    /// # Errors Upstream does not answer, and there is no copy.
    pub(super) async fn get(
        self: &Arc<Self>,
        upstreams: &Arc<Upstreams>,
        name: &CrateName,
        ttl: Duration,
        since: Option<Timestamp>,
    ) -> Result<CachedIndex, LiveError> {
        let path = name.index_path();
        let asking = {
            let mut table = self.table();
            if let Some(entry) = table.get(&path)
                && entry.fresh_until > Instant::now()
                && since.is_none_or(|since| entry.checked_at.is_some_and(|read| read >= since))
            {
                return Ok(entry.into_cached_index(None));
            }
            let begin = || {
                let task = tokio::spawn(Arc::clone(self).refresh(Arc::clone(upstreams), name.clone(), ttl));
                let (lines, lost) = (Arc::clone(self), path.clone());
                let broken_off = move |_| {
                    // No other task would remove it.
                    lines.table().pending.remove(&lost);
                    Err(LiveError::bad_gateway(format!("the request for upstream's index file {lost} was cancelled")))
                };
                task.map(|ended| ended.unwrap_or_else(broken_off)).boxed().shared()
            };
            if table.pending.len() >= MAX_PENDING && !table.pending.contains_key(&path) {
                return Err(LiveError::unavailable(
                    "too many pending requests for index files; try again",
                    Duration::from_secs(2),
                ));
            }
            table.pending.entry(path.clone()).or_insert_with(begin).clone()
        };
        // If there is a copy, clients do not wait long for a newer one.
        let mut asking = asking;
        let requested = tokio::time::timeout(TIMEOUT_WITH_COPY, &mut asking).await;
        let slow = || {
            LiveError::unavailable(
                format!("upstream has not sent the index file of {name} yet; try again"),
                Duration::from_secs(2),
            )
        };
        let refusal = match &requested {
            Ok(Ok(entry)) => return Ok(entry.clone().into_cached_index(None)),
            Ok(Err(refusal)) => refusal.clone(),
            Err(_) => slow(),
        };
        if let Some(copy) = self.cached_copy(&path).await {
            return Ok(Entry { fresh_until: Instant::now() + STALE_TTL, ..copy }.into_cached_index(Some(refusal)));
        }
        if requested.is_ok() {
            return Err(refusal);
        }
        match tokio::time::timeout(TIMEOUT.saturating_sub(TIMEOUT_WITH_COPY), asking).await {
            Ok(answered) => answered.map(|entry| entry.into_cached_index(None)),
            Err(_) => Err(slow()),
        }
    }

    /// Fetches the file from upstream and caches it.
    async fn refresh(
        self: Arc<Self>,
        upstreams: Arc<Upstreams>,
        name: CrateName,
        ttl: Duration,
    ) -> Result<Entry, LiveError> {
        let path = name.index_path();
        let previous = self.cached_copy(&path).await.map(|entry| entry.cached);
        self.metrics.index_requests.fetch_add(1, Relaxed);
        let kept = match upstreams.fetch_index_file(&name, previous.as_deref()).await {
            Ok(Some(new)) => self.persist(&path, new, previous.is_some()).await,
            Ok(None) => {
                let absent = CachedIndexFile { etag: None, last_modified: None, file: None };
                let kept = previous.unwrap_or_else(|| Arc::new(absent));
                self.restore(&path, &kept).await;
                kept
            }
            Err(refusal) => {
                self.table().pending.remove(&path);
                return Err(refusal);
            }
        };
        let fresh = if kept.file.is_some() { ttl } else { ttl.min(ABSENT_TTL) };
        let entry = Entry { cached: kept, checked_at: Some((self.clock)()), fresh_until: Instant::now() + fresh };
        let mut table = self.table();
        let was_fresh = table.get(&path).filter(|before| before.fresh_until > Instant::now());
        if was_fresh.is_some_and(|before| before.cached.file != entry.cached.file) {
            self.early_changes.fetch_add(1, Relaxed);
        }
        table.insert(&path, entry.clone());
        table.pending.remove(&path);
        Ok(entry)
    }

    /// Saves a file for the next process. Names that upstream never had are not saved: clients can invent any number of
    /// them.
    async fn persist(&self, place: &str, new: CachedIndexFile, was_there: bool) -> Arc<CachedIndexFile> {
        let new = Arc::new(new);
        if new.file.is_some() || was_there {
            self.write(place, Arc::clone(&new), true).await;
        }
        new
    }

    /// Saves an unmodified file again if its copy on disk was removed: a snapshot needs the lines of all offered crates.
    async fn restore(&self, place: &str, kept: &Arc<CachedIndexFile>) {
        if kept.file.is_some() {
            self.write(place, Arc::clone(kept), false).await;
        }
    }

    async fn write(&self, place: &str, kept: Arc<CachedIndexFile>, replaces: bool) {
        let path = self.folder.join(place);
        let written = tokio::task::spawn_blocking(move || match &kept.file {
            Some(_) if !replaces && path.is_file() => Ok(()),
            Some(_) => kept.write(&path, path.parent().unwrap_or(&path)),
            None => std::fs::remove_file(&path),
        });
        // Without it, the next process fetches the whole file.
        if let Ok(Err(error)) = written.await {
            self.sink.detail("Note", format!("could not cache upstream's index file {place}: {error}"));
        }
    }

    /// The cached file, of any age.
    async fn cached_copy(&self, place: &str) -> Option<Entry> {
        if let Some(entry) = self.table().get(place) {
            return Some(entry);
        }
        let path = self.folder.join(place);
        let kept = tokio::task::spawn_blocking(move || CachedIndexFile::read(&path)).await.ok().flatten()?;
        Some(Entry { cached: Arc::new(kept), checked_at: None, fresh_until: Instant::now() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn into_cached_index(self, stale: Option<LiveError>) -> CachedIndex {
        CachedIndex {
            file: self.cached.file.clone(),
            checked_at: self.checked_at,
            fresh_until: self.fresh_until,
            stale_reason: stale,
        }
    }

    fn weight(&self, path: &str) -> usize {
        let text = self.cached.file.as_ref().map_or(0, |file| file.text().len());
        // The parsed heads of its lines, which are computed on first use.
        ENTRY_OVERHEAD + path.len() + text + text / 4
    }
}

impl Table {
    fn get(&self, path: &str) -> Option<Entry> {
        self.entries.get(path).cloned()
    }

    fn insert(&mut self, path: &str, entry: Entry) {
        let weight = entry.weight(path);
        self.entries.insert(path.to_owned(), entry, weight);
    }
}
