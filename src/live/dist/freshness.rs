//! The state of upstream's toolchains: which are fresh, absent, or being fetched.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;

use super::super::download::SharedDownload;
use super::super::error::LiveError;
use super::file_set::FileSet;
use super::manifest_index::ManifestIndex;
use crate::digest::Sha256;
use crate::generational_map::GenerationalMap;
use crate::safe_path::SafePath;

/// How long an older copy is used before upstream is asked again.
const STALE_TTL: Duration = Duration::from_secs(5);
/// Maximum time for which a missing file is remembered.
const ABSENT_TTL: Duration = Duration::from_secs(60);
/// A client that got a manifest's digest requests the manifest next. During this time it is not refreshed, so that the
/// two match.
const PRIMARY_HOLD: Duration = Duration::from_secs(10);
/// Number of remembered missing files in each half of the table. When rustup searches an earlier nightly, it requests
/// every date since 2014.
const MAX_ABSENT: usize = 8 * 1024;
/// Number of remembered file sets in each half of the table. Upstream has some hundred mutable ones.
const MAX_FILE_SETS: usize = 1024;
/// A running sync, shared by all its callers.
pub(super) type PendingSync = Shared<BoxFuture<'static, Result<(), LiveError>>>;

/// The state of upstream's toolchains.
pub(in super::super) struct DistState {
    table: Mutex<FreshnessTable>,
    pub(super) manifests: ManifestIndex,
    /// Permit to read the manifests.
    pub(super) manifest_permit: Arc<Semaphore>,
    /// Components that are being downloaded or stored.
    downloads: Mutex<HashMap<SafePath, SharedDownload>>,
}

struct FreshnessTable {
    fresh: GenerationalMap<FileSet, Freshness>,
    absent: GenerationalMap<SafePath, Instant>,
    /// Running syncs, by file set and whether the sync is forced.
    pending: HashMap<(FileSet, bool), PendingSync>,
}

/// The freshness of a file set.
#[derive(Clone, Copy)]
struct Freshness {
    /// When upstream must be asked again.
    until: Instant,
    /// Upstream did not answer the last time.
    is_stale: bool,
    /// Until when the primary is not refreshed, because its digest was just served.
    primary_held_until: Instant,
    /// The digest that upstream stated last.
    last_digest: Option<Sha256>,
}

impl Default for DistState {
    fn default() -> DistState {
        let table = FreshnessTable {
            fresh: GenerationalMap::new(MAX_FILE_SETS),
            absent: GenerationalMap::new(MAX_ABSENT),
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
    /// The downloads of components.
    pub(super) fn downloads(&self) -> MutexGuard<'_, HashMap<SafePath, SharedDownload>> {
        self.downloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> MutexGuard<'_, FreshnessTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether upstream must be asked before the file at `path` is served; `Err`: not yet, because upstream did not
    /// answer.
    pub(super) fn needs_refresh(&self, file_set: &FileSet, path: &SafePath) -> Result<bool, UpstreamUnavailable> {
        let table = self.table();
        let Some(fresh) = table.fresh.get(file_set) else { return Ok(true) };
        let now = Instant::now();
        match fresh.until > now || (!file_set.is_digest_file(path) && fresh.primary_held_until > now) {
            true if fresh.is_stale => Err(UpstreamUnavailable),
            waits => Ok(!waits),
        }
    }

    /// Records that the stored files were just checked upstream.
    pub(super) fn record_fresh(&self, file_set: &FileSet, ttl: Duration, seen: Option<Sha256>) {
        let mut table = self.table();
        let now = Instant::now();
        let leads_until = table.fresh.get(file_set).map_or(now, |before| before.primary_held_until);
        table.fresh.insert(
            file_set.clone(),
            Freshness { until: now + ttl, is_stale: false, primary_held_until: leads_until, last_digest: seen },
            1,
        );
    }

    /// Records that the file at `path` is served, if it states the digest of another.
    pub(super) fn record_served(&self, file_set: &FileSet, path: &SafePath) {
        if file_set.is_digest_file(path)
            && let Some(fresh) = self.table().fresh.get_mut(file_set)
        {
            fresh.primary_held_until = Instant::now() + PRIMARY_HOLD;
        }
    }

    /// Records that upstream did not answer in time, so that other clients do not wait for it too.
    pub(super) fn record_stale(&self, file_set: &FileSet) {
        let mut table = self.table();
        let (now, before) = (Instant::now(), table.fresh.get(file_set).copied());
        // It may have finished at the last moment.
        if before.is_some_and(|before| before.until > now) {
            return;
        }
        let (leads_until, seen) = before.map_or((now, None), |before| (before.primary_held_until, before.last_digest));
        table.fresh.insert(
            file_set.clone(),
            Freshness { until: now + STALE_TTL, is_stale: true, primary_held_until: leads_until, last_digest: seen },
            1,
        );
    }

    /// The digest that upstream stated last for the primary of `file_set`.
    pub(super) fn last_digest(&self, file_set: &FileSet) -> Option<Sha256> {
        self.table().fresh.get(file_set).and_then(|fresh| fresh.last_digest)
    }

    /// The running sync of `file_set`, or a new one from `begin`; a forced sync is separate from an unforced one.
    pub(super) fn join_pending(
        &self,
        file_set: &FileSet,
        force: bool,
        begin: impl FnOnce() -> PendingSync,
    ) -> PendingSync {
        self.table().pending.entry((file_set.clone(), force)).or_insert_with(begin).clone()
    }

    /// Removes a finished sync of `file_set`.
    pub(super) fn remove_pending(&self, file_set: &FileSet, force: bool) {
        self.table().pending.remove(&(file_set.clone(), force));
    }

    /// Whether upstream recently reported that it lacks the file, or no manifest names it.
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

    /// Records a missing file.
    pub(super) fn record_absent(&self, path: SafePath, ttl: Duration) {
        self.table().absent.insert(path, Instant::now() + ttl.min(ABSENT_TTL), 1);
    }
}

/// Upstream recently did not answer.
pub(super) struct UpstreamUnavailable;
