//! What the server serves, and how.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::auth::AccessControl;
use super::fallback::FallbackHandler;
use super::metrics::ServerMetrics;
use super::tls::Tls;
use crate::live::LiveMirror;

/// What the server serves, and how.
pub struct ServeOptions {
    /// How long a response may wait for its client without progress: [`STALL_TIMEOUT`](super::STALL_TIMEOUT), or less in tests.
    pub stalled_after: Duration,
    /// Whether clients get the `base_url` of the settings; otherwise the address of each request's Host header.
    pub applies_base_url: bool,
    /// TLS; `None`: plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// The clock for the age of files. A file that changed a moment ago may change again within the same tick of its
    /// timestamp.
    pub file_clock: fn() -> SystemTime,
    /// Controls read access.
    pub access: Arc<AccessControl>,
    /// Counts responses and connections.
    pub metrics: Arc<ServerMetrics>,
    /// Whether each request is reported to the sink, which then must not block.
    pub logs_requests: bool,
    /// Live mode, on or off.
    pub live: Arc<LiveMirror>,
    /// Handles requests for everything but the mirror's files.
    pub fallback: Arc<dyn FallbackHandler>,
}
