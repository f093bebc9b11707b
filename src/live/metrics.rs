//! Counters of live mode.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use crate::units::format_time;

/// The counters; all only increase.
#[derive(Debug, Default)]
pub struct LiveMetrics {
    /// Index files requested or revalidated upstream.
    pub(super) index_requests: AtomicU64,
    /// Crates and dist files that a client requested and that were not stored.
    pub(super) misses: AtomicU64,
    /// Files requested from upstream.
    pub(super) fetches: AtomicU64,
    /// Bytes of the verified ones.
    pub(super) fetched_bytes: AtomicU64,
    /// Files that arrived with wrong bytes.
    pub(super) mismatches: AtomicU64,
    /// Files that could not be fetched for any other reason, except that upstream does not have them.
    pub(super) failures: AtomicU64,
    /// Downloads that ended because all clients had left.
    pub(super) abandoned: AtomicU64,
    /// Responses from an older copy, because upstream did not answer.
    pub(super) stale_responses: AtomicU64,
    /// Files stored in the mirror.
    pub(super) stored: AtomicU64,
    /// Batches that could not be stored.
    pub(super) store_failures: AtomicU64,
    /// Misses that were served after a fetch, and the bytes of these responses.
    pub(super) served_misses: AtomicU64,
    pub(super) served_miss_bytes: AtomicU64,
    /// Crates that were fetched before a client requested them.
    pub(super) prefetched: AtomicU64,
    /// Bytes of those.
    pub(super) ahead_bytes: AtomicU64,
    /// Prefetched crates that a client requested afterwards.
    pub(super) prefetch_hits: AtomicU64,
    /// Bytes of those.
    pub(super) ahead_used_bytes: AtomicU64,
    /// Prefetched crates that no client requested in time.
    pub(super) ahead_wasted: AtomicU64,
    /// Bytes that upstream sent of those.
    pub(super) ahead_wasted_bytes: AtomicU64,
    /// Bytes of fetched crates that a client requested.
    pub(super) used_bytes: AtomicU64,
    /// Since when the disk of the mirror is full; `None` after a file was stored.
    disk_full_since: Mutex<Option<Timestamp>>,
}

/// A snapshot of the counters, and the health of the upstreams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "Figured")]
pub struct MetricsSnapshot {
    /// Whether live mode is on.
    #[serde(rename = "on")]
    pub is_enabled: bool,
    /// Whether `offline` forbids switching it on.
    pub offline: bool,
    /// Why it is on but has no usable upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "trouble")]
    pub config_error: Option<String>,
    /// Index files requested or revalidated upstream.
    pub index_requests: u64,
    /// Crates and dist files that a client requested and that were not stored.
    pub misses: u64,
    /// Files requested from upstream.
    pub fetches: u64,
    /// Bytes of the verified ones.
    pub fetched_bytes: u64,
    /// Files that arrived with wrong bytes; they were discarded.
    pub mismatches: u64,
    /// Files that could not be fetched for any other reason, except that upstream does not have them.
    pub failures: u64,
    /// Downloads that ended because all clients had left.
    pub abandoned: u64,
    /// Responses from an older copy, because upstream did not answer.
    #[serde(rename = "stale")]
    pub stale_responses: u64,
    /// Files stored in the mirror.
    #[serde(rename = "placed")]
    pub stored: u64,
    /// Batches of files that could not be stored.
    #[serde(rename = "not_placed")]
    pub store_failures: u64,
    /// Misses that were served after a fetch from upstream.
    #[serde(rename = "misses_given")]
    pub served_misses: u64,
    /// Bytes of these responses.
    #[serde(rename = "misses_given_bytes")]
    pub served_miss_bytes: u64,
    /// Crates that were fetched before a client requested them. They are only stored when a client does.
    #[serde(rename = "fetched_ahead")]
    pub prefetched: u64,
    /// Bytes that upstream sent of those.
    pub fetched_ahead_bytes: u64,
    /// Prefetched crates that a client requested afterwards.
    #[serde(rename = "ahead_used")]
    pub prefetch_hits: u64,
    /// Bytes of those.
    pub ahead_used_bytes: u64,
    /// Prefetched crates that no client requested in time.
    pub ahead_wasted: u64,
    /// Bytes that upstream sent of those. Together with those that still wait, at most 512 KiB and a tenth of the used
    /// bytes.
    pub ahead_wasted_bytes: u64,
    /// Bytes of fetched crates that a client requested.
    pub crates_used_bytes: u64,
    /// Since when the disk of the mirror is full (RFC 3339), until the next file is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_full_since: Option<String>,
    /// The upstreams and their health.
    pub upstreams: Vec<UpstreamHealth>,
}

/// The health of one upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct UpstreamHealth {
    /// `index`, `crates` or `dist`.
    #[serde(rename = "of")]
    pub service: &'static str,
    /// Its URL without credentials; omitted if it is not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `unasked`, `good`, `shaky` (the last request failed) or `down` (it gets no requests for a while).
    pub state: &'static str,
    /// Why it is not `good`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "why")]
    pub reason: Option<String>,
}

impl MetricsSnapshot {
    /// What is wrong with the mirror's disk, as a sentence without its final period.
    pub fn disk_problem(&self) -> Option<String> {
        let since = self.disk_full_since.as_ref()?;
        Some(format!(
            "the disk of the mirror is full since {since}, so no file from upstream can be stored: free space on it, or lower \
             `proxy_cache_max`; the next stored file ends this problem"
        ))
    }
}

impl LiveMetrics {
    pub(super) fn record_stored(&self, crates: u64, artifacts: u64) {
        self.stored.fetch_add(crates + artifacts, Relaxed);
        if crates + artifacts > 0 {
            *self.lock_disk_full_since() = None;
        }
    }

    pub(super) fn record_full_disk(&self, now: Timestamp) {
        self.lock_disk_full_since().get_or_insert(now);
    }

    fn lock_disk_full_since(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.disk_full_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record_store_failure(&self) {
        self.store_failures.fetch_add(1, Relaxed);
    }

    pub(super) fn snapshot(&self) -> MetricsSnapshot {
        let read = |number: &AtomicU64| number.load(Relaxed);
        MetricsSnapshot {
            index_requests: read(&self.index_requests),
            misses: read(&self.misses),
            fetches: read(&self.fetches),
            fetched_bytes: read(&self.fetched_bytes),
            mismatches: read(&self.mismatches),
            failures: read(&self.failures),
            abandoned: read(&self.abandoned),
            stale_responses: read(&self.stale_responses),
            stored: read(&self.stored),
            store_failures: read(&self.store_failures),
            served_misses: read(&self.served_misses),
            served_miss_bytes: read(&self.served_miss_bytes),
            prefetched: read(&self.prefetched),
            disk_full_since: self.lock_disk_full_since().map(format_time),
            fetched_ahead_bytes: read(&self.ahead_bytes),
            prefetch_hits: read(&self.prefetch_hits),
            ahead_used_bytes: read(&self.ahead_used_bytes),
            ahead_wasted: read(&self.ahead_wasted),
            ahead_wasted_bytes: read(&self.ahead_wasted_bytes),
            // Read last, so that the bound holds for the values that were read before.
            crates_used_bytes: read(&self.used_bytes),
            ..MetricsSnapshot::default()
        }
    }
}
