//! Results of imports since the watcher started.

use std::sync::atomic::{AtomicBool, AtomicU64};

/// Results of imports since the watcher started.
#[derive(Debug, Default)]
pub struct ImportCounters {
    /// Imported bundles.
    pub imported: AtomicU64,
    /// Rejected bundles.
    pub rejected: AtomicU64,
    /// A bug ended the watcher's thread, so no imports run until the server restarts.
    pub watcher_failed: AtomicBool,
}
