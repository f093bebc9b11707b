//! The parts of the server that the web interface uses.

use std::sync::Arc;

use crate::live::LiveMirror;
use crate::server::Tls;
use crate::server::auth::AccessControl;
use crate::server::metrics::ServerMetrics;
use crate::watcher::ImportCounters;

/// The parts of the server that the web interface uses.
pub struct WebOptions {
    /// Whether `import` uses this mirror without `--mirror`.
    pub is_default_mirror: bool,
    /// Access control for reads and writes.
    pub access: Arc<AccessControl>,
    /// The server's metrics.
    pub server_metrics: Arc<ServerMetrics>,
    /// The watcher's metrics.
    pub import_counters: Arc<ImportCounters>,
    /// Live mode.
    pub live: Arc<LiveMirror>,
    /// The TLS configuration.
    pub tls: Option<Arc<Tls>>,
}
