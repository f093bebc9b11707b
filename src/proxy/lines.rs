//! Upstream's index files: kept with their validators, asked for again when they are no longer fresh, each by one request for
//! any number of clients.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use jiff::Timestamp;

use super::figures::Figures;
use super::refusal::Refusal;
use super::upstreams::Upstreams;
use crate::crate_id::CrateName;
use crate::digest::Sha256;
use crate::event::Sink;
use crate::gather::index_file::{IndexFile, Kept};

/// How long a client waits for upstream where an older copy is at hand.
const PATIENCE_WITH_COPY: Duration = Duration::from_secs(4);
/// How long where there is none. Cargo gives up after 30 seconds without a byte.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long an absence is remembered at most.
const ABSENT_FRESH: Duration = Duration::from_secs(60);
/// How long an older copy serves before upstream is asked again.
const STALE_FRESH: Duration = Duration::from_secs(5);
/// Files that are asked for at a time, at most: a client may ask for any number of names, and go away.
const MOST_ASKED: usize = 8192;
/// Bytes of index files that are kept in memory: two halves, of which the older one goes when the younger one is full.
const HALF: usize = 8 * 1024 * 1024;
/// What an entry takes beside its text.
const OVERHEAD: usize = 512;

/// Upstream's file of one crate, as it is known.
#[derive(Clone)]
pub(super) struct Known {
    /// The file; `None`: upstream has none.
    pub(super) file: Option<Arc<IndexFile>>,
    /// When upstream said so, or that nothing has changed; `None`: an earlier process knew.
    pub(super) read: Option<Timestamp>,
    /// When upstream is to be asked again.
    pub(super) fresh_until: Instant,
    /// Why upstream could not be asked; `None`: it was.
    pub(super) stale: Option<Refusal>,
}

/// The files.
pub(super) struct Lines {
    folder: PathBuf,
    table: Mutex<Table>,
    clock: fn() -> Timestamp,
    /// Counts files that turned out to be others than those that were still taken for fresh.
    surprises: Arc<AtomicU64>,
    figures: Arc<Figures>,
    sink: Arc<dyn Sink>,
}

type Asking = Shared<BoxFuture<'static, Result<Entry, Refusal>>>;

#[derive(Default)]
struct Table {
    young: HashMap<String, Entry>,
    old: HashMap<String, Entry>,
    /// Bytes of the young ones.
    bytes: usize,
    asking: HashMap<String, Asking>,
}

/// A file with what upstream gave to tell it by.
#[derive(Clone)]
struct Entry {
    kept: Arc<Kept>,
    read: Option<Timestamp>,
    fresh_until: Instant,
}

impl Lines {
    /// Those of the registry at `index`, kept below `folder`, where each registry has a folder of its own.
    pub(super) fn new(
        folder: &Path,
        index: &str,
        clock: fn() -> Timestamp,
        surprises: Arc<AtomicU64>,
        figures: Arc<Figures>,
        sink: Arc<dyn Sink>,
    ) -> Lines {
        let registry = Sha256::of(index.as_bytes()).to_string();
        Lines { folder: folder.join(&registry[..16]), table: Mutex::default(), clock, surprises, figures, sink }
    }

    /// The file of `name`, no older than `ttl`; where `since` is given, no older than that either. Where upstream gives no
    /// answer, an older copy.
    ///
    /// # Errors
    /// Upstream gives no answer, and there is no copy.
    pub(super) async fn of(
        self: &Arc<Self>,
        upstreams: &Arc<Upstreams>,
        name: &CrateName,
        ttl: Duration,
        since: Option<Timestamp>,
    ) -> Result<Known, Refusal> {
        let place = name.index_path();
        let asking = {
            let mut table = self.table();
            if let Some(entry) = table.get(&place)
                && entry.fresh_until > Instant::now()
                && since.is_none_or(|since| entry.read.is_some_and(|read| read >= since))
            {
                return Ok(entry.known(None));
            }
            let begin = || {
                let task = tokio::spawn(Arc::clone(self).ask(Arc::clone(upstreams), name.clone(), ttl));
                let (lines, lost) = (Arc::clone(self), place.clone());
                let broken_off = move |_| {
                    // Nobody else would take it out.
                    lines.table().asking.remove(&lost);
                    Err(Refusal::bad_gateway(format!("asking for upstream's index file {lost} was broken off")))
                };
                task.map(|ended| ended.unwrap_or_else(broken_off)).boxed().shared()
            };
            if table.asking.len() >= MOST_ASKED && !table.asking.contains_key(&place) {
                return Err(Refusal::busy("too much is asked for at once", Duration::from_secs(2)));
            }
            table.asking.entry(place.clone()).or_insert_with(begin).clone()
        };
        // Where there is a copy, nobody waits long for the one that may be newer.
        let mut asking = asking;
        let asked = tokio::time::timeout(PATIENCE_WITH_COPY, &mut asking).await;
        let slow = || Refusal::busy(format!("upstream is slow with the index file of {name}"), Duration::from_secs(2));
        let refusal = match &asked {
            Ok(Ok(entry)) => return Ok(entry.clone().known(None)),
            Ok(Err(refusal)) => refusal.clone(),
            Err(_) => slow(),
        };
        if let Some(copy) = self.copy(&place).await {
            return Ok(Entry { fresh_until: Instant::now() + STALE_FRESH, ..copy }.known(Some(refusal)));
        }
        if asked.is_ok() {
            return Err(refusal);
        }
        match tokio::time::timeout(PATIENCE.saturating_sub(PATIENCE_WITH_COPY), asking).await {
            Ok(answered) => answered.map(|entry| entry.known(None)),
            Err(_) => Err(slow()),
        }
    }

    /// Asks upstream, and keeps what it says.
    async fn ask(self: Arc<Self>, upstreams: Arc<Upstreams>, name: CrateName, ttl: Duration) -> Result<Entry, Refusal> {
        let place = name.index_path();
        let before = self.copy(&place).await.map(|entry| entry.kept);
        let asked = self.ask_for(&upstreams, &name, before.as_deref()).await;
        let kept = match asked {
            Ok(Some(new)) => self.keep(&place, new, before.is_some()).await,
            // What upstream says has not changed is here.
            Ok(None) => before.unwrap_or_else(|| Arc::new(Kept { etag: None, last_modified: None, file: None })),
            Err(refusal) => {
                self.table().asking.remove(&place);
                return Err(refusal);
            }
        };
        let fresh = if kept.file.is_some() { ttl } else { ttl.min(ABSENT_FRESH) };
        let entry = Entry { kept, read: Some((self.clock)()), fresh_until: Instant::now() + fresh };
        let mut table = self.table();
        let was_fresh = table.get(&place).filter(|before| before.fresh_until > Instant::now());
        if was_fresh.is_some_and(|before| before.kept.file != entry.kept.file) {
            self.surprises.fetch_add(1, Relaxed);
        }
        table.put(&place, entry.clone());
        table.asking.remove(&place);
        Ok(entry)
    }

    /// What upstream says now; `None`: what it said `before`.
    async fn ask_for(
        &self,
        upstreams: &Upstreams,
        name: &CrateName,
        before: Option<&Kept>,
    ) -> Result<Option<Kept>, Refusal> {
        // An absence has no validators, and a text without any cannot be asked for conditionally.
        let known = before.filter(|kept| kept.file.is_some());
        let etag = known.and_then(|kept| kept.etag.as_deref());
        let date = known.and_then(|kept| kept.last_modified.as_deref());
        self.figures.index_requests.fetch_add(1, Relaxed);
        let answer = upstreams.lines(name, etag, date).await?;
        match answer.status {
            304 if known.is_some() => return Ok(None),
            304 => {
                return Err(Refusal::bad_gateway(format!(
                    "upstream says that its index file of {name} has not changed, and nobody asked that"
                )));
            }
            _ => {}
        }
        if answer.status == 200 && !IndexFile::new(&answer.body).is_index() {
            let error = upstreams.site().no_index_file(name);
            return Err(Refusal::bad_gateway(error.to_string()));
        }
        let file = match answer.status {
            200 => {
                let (body, name) = (answer.body, name.clone());
                let parsed = tokio::task::spawn_blocking(move || IndexFile::strict(&body, &name)).await;
                let broken_off = |_| Refusal::bad_gateway("reading upstream's index file was broken off");
                Some(parsed.map_err(broken_off)?)
            }
            _ => None,
        };
        Ok(Some(Kept { etag: answer.etag, last_modified: answer.last_modified, file: file.map(Arc::new) }))
    }

    /// Keeps a file for the next process too. Names that upstream never had are not kept: anybody can invent them.
    async fn keep(&self, place: &str, new: Kept, was_there: bool) -> Arc<Kept> {
        let new = Arc::new(new);
        if new.file.is_none() && !was_there {
            return new;
        }
        let (path, kept) = (self.folder.join(place), Arc::clone(&new));
        let written = tokio::task::spawn_blocking(move || match &kept.file {
            Some(_) => kept.write(&path, path.parent().unwrap_or(&path)),
            None => std::fs::remove_file(&path),
        });
        // Without it, the next process asks for the whole file.
        if let Ok(Err(error)) = written.await {
            self.sink.detail(format!("could not keep upstream's index file {place}: {error}"));
        }
        new
    }

    /// What is known of the file, however old.
    async fn copy(&self, place: &str) -> Option<Entry> {
        if let Some(entry) = self.table().get(place) {
            return Some(entry);
        }
        let path = self.folder.join(place);
        let kept = tokio::task::spawn_blocking(move || Kept::read(&path)).await.ok().flatten()?;
        Some(Entry { kept: Arc::new(kept), read: None, fresh_until: Instant::now() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn known(self, stale: Option<Refusal>) -> Known {
        Known { file: self.kept.file.clone(), read: self.read, fresh_until: self.fresh_until, stale }
    }

    fn weight(&self, place: &str) -> usize {
        let text = self.kept.file.as_ref().map_or(0, |file| file.text().len());
        // The heads of its lines, which are found when somebody asks for one.
        OVERHEAD + place.len() + text + text / 4
    }
}

impl Table {
    fn get(&self, place: &str) -> Option<Entry> {
        self.young.get(place).or_else(|| self.old.get(place)).cloned()
    }

    fn put(&mut self, place: &str, entry: Entry) {
        let weight = entry.weight(place);
        if self.bytes + weight > HALF {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.old.remove(place);
        self.bytes += weight;
        if let Some(before) = self.young.insert(place.to_owned(), entry) {
            self.bytes -= before.weight(place);
        }
    }
}
