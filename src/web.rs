//! The operator's console, on the same port as the mirror's files: a REST API for machines and pages for people.
//!
//! | room | what it does |
//! |---|---|
//! | `router` | the table of everything that can be asked, and how a path finds its row |
//! | `request` | a request as handlers see it: path and query decoded once, the body bounded |
//! | `response` | answers in JSON and HTML, refusals as `{"error", "hint"}` |
//! | `auth` | who may write |
//! | `sessions` | who logged in on the pages |
//! | `login_throttle` | how often a client may try to log in |
//! | `jobs` | work that outlives a request, one at a time |
//! | `imports`, `origins` | the history of imports, and which bundle brought a crate |
//! | `crates` | the crates that are held |
//! | `toolchains` | the toolchains that are offered |
//! | `background_loader` | what is read beside the answers, since it takes long |
//! | `search` | what words find |
//! | `incoming` | the incoming folder |
//! | `upload` | a bundle that is sent into it |
//! | `snapshots` | snapshots that were built here |
//! | `statistics` | how the mirror grew, and what takes its space |
//! | `state` | what the handlers share |
//! | `api` | the REST API, one file a subject |
//! | `registry_api` | what cargo is told by the parts of a registry's API that a mirror does not have |
//! | `openapi` | the table of `route` as an OpenAPI document |
//! | `pages` | the web pages |
//! | `metrics` | figures for Prometheus |
//!
//! Reading takes no lock and works on recorded state. What changes the mirror goes through the same lock guards as the
//! verbs do, as a job.

mod auth;
mod response;
mod api;
mod incoming;
mod request;
mod background_loader;
mod crates;
mod imports;
mod jobs;
mod metrics;
mod toolchains;
mod openapi;
mod provenance;
mod pages;
mod registry_api;
mod router;
mod sessions;
mod search;
mod snapshots;
mod state;
mod login_throttle;
mod statistics;
mod upload;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};
use jiff::Timestamp;

use crate::config::SettingsStore;
use crate::env::Env;
use crate::event::Sink;
use crate::live::LiveMirror;
use crate::mirror::layout::Layout;
use crate::server::auth::AccessControl;
use crate::server::fallback::{FallbackHandler, RequestOrigin};
use crate::server::metrics::ServerMetrics;
use crate::server::{OutgoingBody, Tls};
use crate::watcher::ImportCounters;
use router::Router;
use state::WebState;

/// Whose console it is.
pub struct WebOptions {
    /// The mirror.
    pub mirror: Layout,
    /// The folder that bundles are dropped into.
    pub incoming: PathBuf,
    /// The settings, and the folder of frostmirror.toml and depends.toml.
    pub settings: Arc<SettingsStore>,
    /// Who may read and write.
    pub access: Arc<AccessControl>,
    /// The environment, for the name of this machine.
    pub env: Env,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// Where faults are reported; a client is only told that there was one.
    pub sink: Arc<dyn Sink>,
    /// The server's figures.
    pub server_metrics: Arc<ServerMetrics>,
    /// The watcher's.
    pub import_counters: Arc<ImportCounters>,
    /// Live mode.
    pub live: Arc<LiveMirror>,
    /// What connections are secured with.
    pub tls: Option<Arc<Tls>>,
}

/// The console.
pub struct WebApp {
    state: Arc<WebState>,
    routes: Arc<Router>,
}

impl WebApp {
    /// A console that knows nothing yet but what is on the disk. What killed uploads left in the incoming folder is removed.
    pub fn new(options: WebOptions) -> WebApp {
        upload::remove_leftovers(&options.incoming);
        let mut routes = api::routes();
        routes.push(openapi::route());
        routes.extend(pages::routes());
        routes.extend(metrics::routes());
        WebApp { state: Arc::new(WebState::new(options)), routes: Arc::new(Router::new(routes)) }
    }
}

impl FallbackHandler for WebApp {
    fn is_authenticated(&self, headers: &HeaderMap) -> bool {
        auth::has_session(&self.state, headers)
    }

    fn health_error(&self) -> Option<&'static str> {
        let failed = self.state.options.import_counters.watcher_failed.load(Ordering::Relaxed);
        failed.then_some("a bug ended the import of incoming bundles; restart the server\n")
    }

    fn handle<'a>(
        &'a self,
        request: Request<Incoming>,
        at: RequestOrigin,
    ) -> Pin<Box<dyn Future<Output = Option<Response<OutgoingBody>>> + Send + 'a>> {
        Box::pin(self.routes.handle(&self.state, request, at))
    }
}
