//! What live mode did so far, in numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// The figures; all of them only grow.
#[derive(Debug, Default)]
pub struct LiveMetrics {
    /// Index files that upstream was asked for, or asked whether they have changed.
    pub(super) index_requests: AtomicU64,
    /// Crates and rustup artifacts that a client asked for and that were not held.
    pub(super) misses: AtomicU64,
    /// Files that upstream was asked for.
    pub(super) fetches: AtomicU64,
    /// Bytes of those that came whole and right.
    pub(super) fetched_bytes: AtomicU64,
    /// Files that came with other bytes than they must have.
    pub(super) mismatches: AtomicU64,
    /// Files that did not come for any other reason, other than that upstream has none.
    pub(super) failures: AtomicU64,
    /// Downloads that ended because every client had left.
    pub(super) abandoned: AtomicU64,
    /// Answers from an older copy, because upstream gave none.
    pub(super) stale_responses: AtomicU64,
    /// Files that were placed in the mirror.
    pub(super) stored: AtomicU64,
    /// Batches that could not be placed.
    pub(super) store_failures: AtomicU64,
    /// Misses that were given all the same, and the bytes of these answers.
    pub(super) served_misses: AtomicU64,
    pub(super) served_miss_bytes: AtomicU64,
    /// Crates that were fetched before anybody asked for them.
    pub(super) prefetched: AtomicU64,
    /// Bytes of those.
    pub(super) ahead_bytes: AtomicU64,
    /// Those of them that somebody asked for then.
    pub(super) prefetch_hits: AtomicU64,
    /// Bytes of those.
    pub(super) ahead_used_bytes: AtomicU64,
    /// Prefetched crates that no client requested in time.
    pub(super) ahead_wasted: AtomicU64,
    /// Bytes that upstream sent of those.
    pub(super) ahead_wasted_bytes: AtomicU64,
    /// Bytes of fetched crates that a client requested.
    pub(super) used_bytes: AtomicU64,
}

/// The figures as they are, and what is known of the upstreams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "Figured")]
pub struct MetricsSnapshot {
    /// Whether live mode is on.
    #[serde(rename = "on")]
    pub is_enabled: bool,
    /// Whether `offline` forbids switching it on.
    pub offline: bool,
    /// Why it is on and yet asks nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "trouble")]
    pub config_error: Option<String>,
    /// Index files that upstream was asked for, or asked whether they have changed.
    pub index_requests: u64,
    /// Crates and rustup artifacts that a client asked for and that were not held.
    pub misses: u64,
    /// Files that upstream was asked for.
    pub fetches: u64,
    /// Bytes of those that came whole and right.
    pub fetched_bytes: u64,
    /// Files that came with other bytes than they must have; nothing of them was kept.
    pub mismatches: u64,
    /// Files that did not come for any other reason, other than that upstream has none.
    pub failures: u64,
    /// Downloads that ended because every client had left.
    pub abandoned: u64,
    /// Answers from an older copy, because upstream gave none.
    #[serde(rename = "stale")]
    pub stale_responses: u64,
    /// Files that were placed in the mirror.
    #[serde(rename = "placed")]
    pub stored: u64,
    /// Batches of files that could not be placed.
    #[serde(rename = "not_placed")]
    pub store_failures: u64,
    /// Misses that were given all the same: what a client got that upstream had to be asked for.
    #[serde(rename = "misses_given")]
    pub served_misses: u64,
    /// Bytes of these answers.
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
    /// Bytes that upstream sent of those: together with what still waits at most 512 KiB and a tenth of what was used.
    pub ahead_wasted_bytes: u64,
    /// Bytes of fetched crates that a client requested.
    pub crates_used_bytes: u64,
    /// The upstreams, and how they are.
    pub upstreams: Vec<UpstreamHealth>,
}

/// How one upstream is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct UpstreamHealth {
    /// `index`, `crates` or `dist`.
    #[serde(rename = "of")]
    pub service: &'static str,
    /// Its address, without credentials; what is not known yet is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `unasked`, `good`, `shaky` (the last request failed) or `down` (it is left alone for a while).
    pub state: &'static str,
    /// Why it is not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "why")]
    pub reason: Option<String>,
}

impl LiveMetrics {
    pub(super) fn record_stored(&self, crates: u64, artifacts: u64) {
        self.stored.fetch_add(crates + artifacts, Relaxed);
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
            fetched_ahead_bytes: read(&self.ahead_bytes),
            prefetch_hits: read(&self.prefetch_hits),
            ahead_used_bytes: read(&self.ahead_used_bytes),
            ahead_wasted: read(&self.ahead_wasted),
            ahead_wasted_bytes: read(&self.ahead_wasted_bytes),
            // Read last, so that the bound holds for what was read before.
            crates_used_bytes: read(&self.used_bytes),
            ..MetricsSnapshot::default()
        }
    }
}
