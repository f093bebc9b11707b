//! What is known of upstream's toolchains: what is fresh, what is absent, what is on its way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;

use super::super::download::SharedDownload;
use super::super::error::LiveError;
use super::file_set::FileSet;
use super::lru::LruMap;
use super::manifest_index::ManifestIndex;
use crate::digest::Sha256;
use crate::safe_path::SafePath;

/// How long an older copy serves before upstream is asked again.
const STALE_TTL: Duration = Duration::from_secs(5);
/// How long an absence is remembered at most.
const ABSENT_TTL: Duration = Duration::from_secs(60);
/// Who was given a manifest's digest asks for the manifest next. For so long it is not looked for anew, so that they fit.
const PRIMARY_HOLD: Duration = Duration::from_secs(10);
/// Absences that are remembered, in each half of the table. A rustup that looks for a nightly of an earlier day asks for
/// every day since 2014.
const MAX_ABSENT: usize = 8 * 1024;
/// Units that are remembered, in each half of the table. Upstream has some hundred that move.
const MAX_FILE_SETS: usize = 1024;
/// A unit that is on its way, for all who ask for it.
pub(super) type PendingSync = Shared<BoxFuture<'static, Result<(), LiveError>>>;

/// What is known of upstream's toolchains.
pub(in super::super) struct DistState {
    table: Mutex<FreshnessTable>,
    pub(super) manifests: ManifestIndex,
    /// Whose turn it is to read these.
    pub(super) manifest_permit: Arc<Semaphore>,
    /// Components that are under way, and those that came and are not placed yet.
    downloads: Mutex<HashMap<SafePath, SharedDownload>>,
}

struct FreshnessTable {
    fresh: LruMap<FileSet, Freshness>,
    absent: LruMap<SafePath, Instant>,
    /// What is on its way; anew, or where it has changed.
    pending: HashMap<(FileSet, bool), PendingSync>,
}

/// How fresh a unit is.
#[derive(Clone, Copy)]
struct Freshness {
    /// When upstream is to be asked again.
    until: Instant,
    /// Upstream gave no answer the last time.
    is_stale: bool,
    /// Until when the leader is not looked for anew, because its digest was just given.
    primary_held_until: Instant,
    /// The digest that upstream stated the last time.
    last_digest: Option<Sha256>,
}

impl Default for DistState {
    fn default() -> DistState {
        let table = FreshnessTable {
            fresh: LruMap::new(MAX_FILE_SETS),
            absent: LruMap::new(MAX_ABSENT),
            pending: HashMap::new(),
        };
        DistState {
            table: Mutex::new(table),
            manifests: ManifestIndex::default(),
            manifest_permit: Arc::new(Semaphore::new(1)),
            downloads: Mutex::default(),
        }
    }
}

impl DistState {
    /// The components that are under way.
    pub(super) fn downloads(&self) -> MutexGuard<'_, HashMap<SafePath, SharedDownload>> {
        self.downloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> MutexGuard<'_, FreshnessTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether upstream is to be asked before the file at `path` is given; `Err`: not yet, since it gave no answer.
    pub(super) fn needs_refresh(&self, file_set: &FileSet, path: &SafePath) -> Result<bool, UpstreamUnavailable> {
        let table = self.table();
        let Some(fresh) = table.fresh.get(file_set) else { return Ok(true) };
        let now = Instant::now();
        match fresh.until > now || (!file_set.is_digest_file(path) && fresh.primary_held_until > now) {
            true if fresh.is_stale => Err(UpstreamUnavailable),
            waits => Ok(!waits),
        }
    }

    /// Remembers that what is held was looked for upstream, just now.
    pub(super) fn record_fresh(&self, file_set: &FileSet, ttl: Duration, seen: Option<Sha256>) {
        let mut table = self.table();
        let now = Instant::now();
        let leads_until = table.fresh.get(file_set).map_or(now, |before| before.primary_held_until);
        table.fresh.insert(
            file_set.clone(),
            Freshness { until: now + ttl, is_stale: false, primary_held_until: leads_until, last_digest: seen },
        );
    }

    /// Remembers that the file at `path` is given to somebody, where it is the digest of another.
    pub(super) fn record_served(&self, file_set: &FileSet, path: &SafePath) {
        if file_set.is_digest_file(path)
            && let Some(fresh) = self.table().fresh.get_mut(file_set)
        {
            fresh.primary_held_until = Instant::now() + PRIMARY_HOLD;
        }
    }

    /// Remembers that upstream gave no answer, or none in time: others do not wait for it as well.
    pub(super) fn record_stale(&self, file_set: &FileSet) {
        let mut table = self.table();
        let (now, before) = (Instant::now(), table.fresh.get(file_set).copied());
        // It may have come at the last moment.
        if before.is_some_and(|before| before.until > now) {
            return;
        }
        let (leads_until, seen) = before.map_or((now, None), |before| (before.primary_held_until, before.last_digest));
        table.fresh.insert(
            file_set.clone(),
            Freshness { until: now + STALE_TTL, is_stale: true, primary_held_until: leads_until, last_digest: seen },
        );
    }

    /// The digest that upstream stated the last time for the leader of `unit`.
    pub(super) fn last_digest(&self, file_set: &FileSet) -> Option<Sha256> {
        self.table().fresh.get(file_set).and_then(|fresh| fresh.last_digest)
    }

    /// What brings `unit` already, else what `begin` begins; `anew` is another thing than where it has changed.
    pub(super) fn join_pending(
        &self,
        file_set: &FileSet,
        force: bool,
        begin: impl FnOnce() -> PendingSync,
    ) -> PendingSync {
        self.table().pending.entry((file_set.clone(), force)).or_insert_with(begin).clone()
    }

    /// Nothing brings `unit` any more.
    pub(super) fn remove_pending(&self, file_set: &FileSet, force: bool) {
        self.table().pending.remove(&(file_set.clone(), force));
    }

    /// Whether upstream said lately that it has no such file, or no manifest names it.
    pub(super) fn is_known_absent(&self, path: &SafePath) -> bool {
        let mut table = self.table();
        match table.absent.get(path) {
            Some(until) if *until > Instant::now() => true,
            Some(_) => {
                table.absent.remove(path);
                false
            }
            None => false,
        }
    }

    /// Remembers that.
    pub(super) fn record_absent(&self, path: SafePath, ttl: Duration) {
        self.table().absent.insert(path, Instant::now() + ttl.min(ABSENT_TTL));
    }
}

/// Upstream gave no answer a moment ago.
pub(super) struct UpstreamUnavailable;
