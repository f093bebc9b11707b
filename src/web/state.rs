//! What the handlers share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::WebOptions;
use super::crates::CrateCatalog;
use super::imports::ImportCache;
use super::jobs::Jobs;
use super::login_throttle::LoginThrottle;
use super::sessions::Sessions;
use super::statistics::Statistics;
use super::toolchains::ToolchainCache;
use super::upload;

/// Answers that are worked on at one time for those who read. Each takes a thread and up to some hundred megabytes for a
/// moment; the others wait without either, and leave the threads to the mirror's files.
const MAX_CONCURRENT_READS: usize = 16;

/// What the handlers share.
pub(super) struct WebState {
    pub(super) options: WebOptions,
    pub(super) sessions: Sessions,
    pub(super) throttle: LoginThrottle,
    pub(super) jobs: Jobs,
    /// Turns of those who read.
    pub(super) read_permits: Arc<Semaphore>,
    /// Turns of those who upload.
    pub(super) upload_permits: Semaphore,
    pub(super) upload_counts: UploadCounts,
    pub(super) started: Timestamp,
    pub(super) imports: ImportCache,
    pub(super) crates: CrateCatalog,
    pub(super) toolchains: ToolchainCache,
    pub(super) statistics: Statistics,
}

/// What came of uploads.
#[derive(Default)]
pub(super) struct UploadCounts {
    pub(super) done: AtomicU64,
    pub(super) failed: AtomicU64,
}

impl WebState {
    /// Why clients refuse the server's certificate because of its dates.
    pub(super) fn certificate_fault(&self) -> Option<String> {
        self.options.tls.as_ref()?.validity()?.fault((self.options.clock)())
    }

    pub(super) fn new(options: WebOptions) -> WebState {
        WebState {
            started: (options.clock)(),
            upload_counts: UploadCounts::default(),
            options,
            sessions: Sessions::default(),
            throttle: LoginThrottle::default(),
            jobs: Jobs::default(),
            read_permits: Arc::new(Semaphore::new(MAX_CONCURRENT_READS)),
            upload_permits: Semaphore::new(upload::MAX_CONCURRENT_UPLOADS),
            imports: ImportCache::default(),
            crates: CrateCatalog::default(),
            toolchains: ToolchainCache::default(),
            statistics: Statistics::default(),
        }
    }
}
