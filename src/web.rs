//! The web interface, on the same port as the mirror's files: a REST API and web pages.
//!
//! | module | what it does |
//! |---|---|
//! | `router` | the table of routes, and the lookup of a path |
//! | `request` | a request for handlers: path and query decoded, the body limited |
//! | `response` | responses in JSON and HTML, errors as `{"error", "hint"}` |
//! | `auth` | access control |
//! | `sessions` | login sessions |
//! | `jobs` | background jobs, one at a time |
//! | `imports`, `provenance` | the import history, and the bundle of each crate |
//! | `crate_catalog` | the stored crates |
//! | `background_loader` | loads data that takes long to read |
//! | `search` | searches names and descriptions |
//! | `incoming` | the incoming folder |
//! | `upload` | receives a bundle into it |
//! | `snapshots` | snapshots that this server built |
//! | `statistics` | the mirror's growth and its largest crates |
//! | `state` | the shared state of the handlers |
//! | `api` | the REST API, one file per subject |
//! | `registry_api` | answers cargo's requests to unsupported registry endpoints |
//! | `openapi` | the routes as an OpenAPI document |
//! | `pages` | the web pages |
//! | `metrics` | metrics for Prometheus |
//!
//! Read requests take no lock and use recorded state. Requests that change the mirror run as jobs, with the same lock guards
//! as the verbs.

mod auth;
mod response;
mod api;
mod incoming;
mod request;
mod background_loader;
mod crate_catalog;
mod imports;
mod jobs;
mod metrics;
mod openapi;
mod options;
mod pagination;
mod provenance;
mod pages;
mod registry_api;
mod router;
mod sessions;
mod search;
mod snapshots;
mod state;
mod statistics;
mod upload;
mod visible_text;
mod last_audit;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::{HeaderMap, Request, Response};

use crate::server::fallback::{FallbackHandler, RequestOrigin};
use crate::server::{IncomingBody, OutgoingBody};
use crate::server_context::ServerContext;
use router::Router;
use state::WebState;

pub use options::WebOptions;

/// The web interface.
pub struct WebApp {
    state: Arc<WebState>,
    routes: Arc<Router>,
}

impl WebApp {
    /// Creates the web interface without cached data. Removes unfinished uploads of a killed server from the incoming
    /// folder.
    pub fn new(context: ServerContext, options: WebOptions) -> WebApp {
        upload::remove_leftovers(&context.incoming);
        let mut routes = api::routes();
        routes.push(openapi::route());
        routes.extend(pages::routes());
        routes.extend(metrics::routes());
        WebApp {
            state: Arc::new(WebState::new(context, options)),
            routes: Arc::new(Router::new(routes, pages::show_not_found)),
        }
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
        path: Vec<String>,
        request: Request<IncomingBody>,
        at: RequestOrigin,
    ) -> Pin<Box<dyn Future<Output = Option<Response<OutgoingBody>>> + Send + 'a>> {
        Box::pin(async move { self.routes.handle(&self.state, &path, request, at).await })
    }
}
