//! What the handlers share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::Options;
use super::holdings::Holdings;
use super::imports::Imports;
use super::jobs::Jobs;
use super::offers::Offers;
use super::sessions::Sessions;
use super::throttle::Throttle;
use super::trend::Trend;
use super::upload;

/// Answers that are worked on at one time for those who read. Each takes a thread and up to some hundred megabytes for a
/// moment; the others wait without either, and leave the threads to the mirror's files.
const READING_AT_ONCE: usize = 16;

/// What the handlers share.
pub(super) struct State {
    pub(super) options: Options,
    pub(super) sessions: Sessions,
    pub(super) throttle: Throttle,
    pub(super) jobs: Jobs,
    /// Turns of those who read.
    pub(super) turns: Arc<Semaphore>,
    /// Turns of those who upload.
    pub(super) uploads: Semaphore,
    pub(super) uploaded: Uploaded,
    pub(super) started: Timestamp,
    pub(super) imports: Imports,
    pub(super) holdings: Holdings,
    pub(super) offers: Offers,
    pub(super) trend: Trend,
}

/// What came of uploads.
#[derive(Default)]
pub(super) struct Uploaded {
    pub(super) done: AtomicU64,
    pub(super) failed: AtomicU64,
}

impl State {
    /// Why clients refuse the server's certificate because of its dates.
    pub(super) fn certificate_fault(&self) -> Option<String> {
        self.options.tls.as_ref()?.validity()?.fault((self.options.clock)())
    }

    pub(super) fn new(options: Options) -> State {
        State {
            started: (options.clock)(),
            uploaded: Uploaded::default(),
            options,
            sessions: Sessions::default(),
            throttle: Throttle::default(),
            jobs: Jobs::default(),
            turns: Arc::new(Semaphore::new(READING_AT_ONCE)),
            uploads: Semaphore::new(upload::AT_ONCE),
            imports: Imports::default(),
            holdings: Holdings::default(),
            offers: Offers::default(),
            trend: Trend::default(),
        }
    }
}
