//! The shared state of the handlers.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::crate_catalog::CrateCatalog;
use super::imports::ImportCache;
use super::jobs::{Job, JobKind, Jobs};
use super::last_audit::LastAuditCell;
use super::options::WebOptions;
use super::response::ApiError;
use super::sessions::Sessions;
use super::statistics::Statistics;
use super::upload;
use crate::error_report::Failure;
use crate::event::Sink;
use crate::server_context::ServerContext;

/// Maximum number of read requests in progress. Each needs a thread and briefly up to some hundred megabytes. The others
/// wait without either, so the threads stay available for the mirror's files.
const MAX_CONCURRENT_READS: usize = 16;

/// The shared state of the handlers.
pub(super) struct WebState {
    pub(super) context: ServerContext,
    pub(super) options: WebOptions,
    pub(super) sessions: Sessions,
    pub(super) jobs: Jobs,
    /// The result of the last audit.
    pub(super) last_audit: LastAuditCell,
    /// Permits of read requests.
    pub(super) read_permits: Arc<Semaphore>,
    /// Permits of uploads.
    pub(super) upload_permits: Semaphore,
    pub(super) upload_counts: UploadCounts,
    pub(super) started: Timestamp,
    pub(super) imports: ImportCache,
    pub(super) crates: CrateCatalog,
    pub(super) statistics: Statistics,
}

/// The outcomes of uploads.
#[derive(Default)]
pub(super) struct UploadCounts {
    pub(super) done: AtomicU64,
    pub(super) failed: AtomicU64,
}

impl WebState {
    /// Starts a job on this state.
    ///
    /// # Errors
    /// 409 if another job runs.
    pub(super) fn start_job(
        self: &Arc<Self>,
        kind: JobKind,
        work: impl FnOnce(&WebState, &dyn Sink) -> Result<Value, Failure> + Send + 'static,
    ) -> Result<Job, ApiError> {
        let state = Arc::clone(self);
        self.jobs.start(kind, self.context.clock, &self.context.sink, move |sink| work(&state, sink))
    }

    /// Why clients refuse the server's certificate because of its dates.
    pub(super) fn certificate_fault(&self) -> Option<String> {
        self.options.tls.as_ref()?.validity()?.fault(self.context.now())
    }

    pub(super) fn new(context: ServerContext, options: WebOptions) -> WebState {
        WebState {
            started: context.now(),
            upload_counts: UploadCounts::default(),
            context,
            options,
            sessions: Sessions::default(),
            jobs: Jobs::default(),
            last_audit: LastAuditCell::default(),
            read_permits: Arc::new(Semaphore::new(MAX_CONCURRENT_READS)),
            upload_permits: Semaphore::new(upload::MAX_CONCURRENT_UPLOADS),
            imports: ImportCache::default(),
            crates: CrateCatalog::default(),
            statistics: Statistics::default(),
        }
    }
}
