//! The table of routes, and the lookup of a path.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hyper::header::{ACCEPT, HeaderMap, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::auth::{self, RequiredAccess};
use super::registry_api;
use super::request::{self, MAX_ANONYMOUS_BODY, MAX_WRITE_BODY, WebRequest};
use super::response::{ApiError, HandlerResult, set_header, with_content_type, with_security_headers};
use super::state::WebState;
use crate::server::fallback::RequestOrigin;
use crate::server::{IncomingBody, OutgoingBody};

/// The future of a handler, which does not block a thread.
pub(super) type HandlerFuture = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;
/// A handler that gets the whole body.
pub(super) type BufferedHandler = fn(&Arc<WebState>, &WebRequest) -> HandlerResult;
/// A handler that streams the body.
pub(super) type StreamingHandler = fn(Arc<WebState>, WebRequest, IncomingBody) -> HandlerFuture;

/// The handler of a route.
#[derive(Clone, Copy)]
pub(super) enum Handler {
    /// Uses files or memory: runs on a thread where disk waits block no other request.
    Buffered(BufferedHandler),
    /// Streams the body, and limits its size itself.
    Streaming(StreamingHandler),
}

/// The kind of a body.
pub(super) type SchemaFn = fn(&mut SchemaGenerator) -> Schema;

/// The body of a request.
#[derive(Clone, Copy)]
pub(super) enum RequestBody {
    /// JSON, optional unless required.
    Json { schema: SchemaFn, required: bool },
    /// A file.
    Bytes,
}

/// A route.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) method: Method,
    /// The path; `{name}` is a parameter.
    pub(super) path: &'static str,
    pub(super) access: RequiredAccess,
    pub(super) handler: Handler,
    /// The description, one sentence.
    pub(super) summary: &'static str,
    /// The names and meanings of the query parameters.
    pub(super) query: Vec<(&'static str, &'static str)>,
    /// The request body, if any.
    pub(super) request_body: Option<RequestBody>,
    /// The success statuses with the schema of their JSON, or `None`.
    pub(super) responses: Vec<(u16, Option<SchemaFn>)>,
    /// Whether it is a web page, which the OpenAPI document omits.
    pub(super) is_page: bool,
}

impl Route {
    fn new(
        method: Method,
        path: &'static str,
        access: RequiredAccess,
        handler: Handler,
        summary: &'static str,
    ) -> Route {
        let (query, responses) = (Vec::new(), Vec::new());
        Route { method, path, access, handler, summary, query, request_body: None, responses, is_page: false }
    }

    /// A read route.
    pub(super) fn get(path: &'static str, about: &'static str, run: BufferedHandler) -> Route {
        Route::new(Method::GET, path, RequiredAccess::Read, Handler::Buffered(run), about)
    }

    /// A web page.
    pub(super) fn page(path: &'static str, about: &'static str, run: BufferedHandler) -> Route {
        Route { is_page: true, ..Route::get(path, about, run) }
    }

    /// A write route.
    pub(super) fn post(path: &'static str, about: &'static str, run: BufferedHandler) -> Route {
        Route::new(Method::POST, path, RequiredAccess::Write, Handler::Buffered(run), about)
    }

    /// A delete route.
    pub(super) fn delete(path: &'static str, about: &'static str, run: BufferedHandler) -> Route {
        Route::new(Method::DELETE, path, RequiredAccess::Write, Handler::Buffered(run), about)
    }

    /// An upload route.
    pub(super) fn put(path: &'static str, about: &'static str, run: StreamingHandler) -> Route {
        Route::new(Method::PUT, path, RequiredAccess::Write, Handler::Streaming(run), about)
    }

    #[must_use]
    pub(super) fn with_access(mut self, needs: RequiredAccess) -> Route {
        self.access = needs;
        self
    }

    #[must_use]
    pub(super) fn with_query(mut self, name: &'static str, meaning: &'static str) -> Route {
        self.query.push((name, meaning));
        self
    }

    #[must_use]
    pub(super) fn takes_json<T: JsonSchema>(mut self) -> Route {
        self.request_body =
            Some(RequestBody::Json { schema: |generator| generator.subschema_for::<T>(), required: true });
        self
    }

    /// Accepts an optional JSON body.
    #[must_use]
    pub(super) fn takes_optional_json<T: JsonSchema>(mut self) -> Route {
        self.request_body =
            Some(RequestBody::Json { schema: |generator| generator.subschema_for::<T>(), required: false });
        self
    }

    /// Accepts a file as the body.
    #[must_use]
    pub(super) fn takes_bytes(mut self) -> Route {
        self.request_body = Some(RequestBody::Bytes);
        self
    }

    /// Adds a success status with JSON.
    #[must_use]
    pub(super) fn returns_json<T: JsonSchema>(mut self, status: u16) -> Route {
        self.responses.push((status, Some(|generator| generator.subschema_for::<T>())));
        self
    }

    /// Adds a success status without JSON.
    #[must_use]
    pub(super) fn returns_other(mut self, status: u16) -> Route {
        self.responses.push((status, None));
        self
    }

    /// The parameters' values if `path` matches this route.
    fn match_path(&self, path: &[String]) -> Option<Vec<String>> {
        let own: Vec<&str> = self.path.split('/').filter(|part| !part.is_empty()).collect();
        if own.len() != path.len() {
            return None;
        }
        let mut params = Vec::new();
        for (own, given) in own.iter().zip(path) {
            if own.starts_with('{') {
                params.push(given.clone());
            } else if own != given {
                return None;
            }
        }
        Some(params)
    }
}

/// All routes.
pub(super) struct Router {
    routes: Vec<Route>,
    /// The page for a path without a route; its only parameter is the raw path.
    not_found: BufferedHandler,
}

impl Router {
    pub(super) fn new(routes: Vec<Route>, not_found: BufferedHandler) -> Router {
        Router { routes, not_found }
    }

    /// The response, or `None` if no route matches and the path is not below the API.
    pub(super) async fn handle(
        &self,
        state: &Arc<WebState>,
        path: &[String],
        request: Request<IncomingBody>,
        at: RequestOrigin,
    ) -> Option<Response<OutgoingBody>> {
        let (parts, incoming) = request.into_parts();
        if path.is_empty() && !wants_html(&parts.headers) {
            // A terminal client gets the plain text that the server shows without pages.
            return None;
        }
        let head = parts.method == Method::HEAD;
        let method = if head { &Method::GET } else { &parts.method };
        let matching: Vec<(&Route, Vec<String>)> =
            self.routes.iter().filter_map(|route| Some((route, route.match_path(path)?))).collect();
        let is_registry = registry_api::is_registry_path(path);
        let Some((route, params)) = matching.iter().find(|(route, _)| route.method == *method).cloned() else {
            if is_registry && matching.is_empty() {
                return Some(registry_api::error_response(registry_api::unsupported(method, path)));
            }
            if let Some(error) = no_route_error(&matching, path) {
                return Some(error.into_response());
            }
            return match *method == Method::GET && !path.is_empty() && wants_html(&parts.headers) {
                true => Some(self.not_found_page(state, head, parts, at).await),
                false => None,
            };
        };
        // Log the route's own path, because the client chose the requested one.
        let operation = format!("{} {}", parts.method, route.path);
        let error_response = |refusal: ApiError| {
            refusal.report(state.context.sink.as_ref(), &operation);
            if is_registry { registry_api::error_response(refusal) } else { refusal.into_response() }
        };
        if let Err(refusal) = check_access(state, route.access, &parts, &at).await {
            return Some(error_response(refusal));
        }
        if let Some(redirect) = trailing_slash_redirect(route, path, &parts.uri) {
            return Some(redirect);
        }
        let query = request::parse_query(parts.uri.query());
        let requested = WebRequest {
            is_head: head,
            version: parts.version,
            headers: parts.headers,
            path_params: params,
            query,
            body: bytes::Bytes::new(),
            origin: at,
        };
        let outcome = run_handler(state, route, requested, incoming).await;
        Some(outcome.map(with_security_headers).unwrap_or_else(error_response))
    }

    /// The page for a browser whose path has no route.
    async fn not_found_page(
        &self,
        state: &Arc<WebState>,
        is_head: bool,
        parts: Parts,
        at: RequestOrigin,
    ) -> Response<OutgoingBody> {
        let request = WebRequest {
            is_head,
            version: parts.version,
            headers: parts.headers,
            path_params: vec![parts.uri.path().to_owned()],
            query: Vec::new(),
            body: bytes::Bytes::new(),
            origin: at,
        };
        run_buffered(state, self.not_found, RequiredAccess::Public, request)
            .await
            .map(with_security_headers)
            .unwrap_or_else(ApiError::into_response)
    }
}

/// Checks the access that a route requires. Token files are read on a blocking thread.
async fn check_access(
    state: &Arc<WebState>,
    access: RequiredAccess,
    parts: &Parts,
    at: &RequestOrigin,
) -> Result<(), ApiError> {
    if access == RequiredAccess::Public {
        return Ok(());
    }
    let (state, headers, version, at) = (Arc::clone(state), parts.headers.clone(), parts.version, at.clone());
    let check = move || auth::check(&state, access, &headers, version, &at);
    tokio::task::spawn_blocking(check).await.unwrap_or_else(|_| Err(handler_panicked()))
}

fn handler_panicked() -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error: a bug in this server")
        .with_internal_message("the handler panicked, which is a bug: please report it")
}

async fn run_handler(
    state: &Arc<WebState>,
    route: &Route,
    mut request: WebRequest,
    incoming: IncomingBody,
) -> HandlerResult {
    match route.handler {
        Handler::Streaming(run) => run(Arc::clone(state), request, incoming).await,
        Handler::Buffered(run) => {
            // Clients with write access get larger limits.
            let limit = if route.access == RequiredAccess::Write { MAX_WRITE_BODY } else { MAX_ANONYMOUS_BODY };
            request.body = request::read_body(incoming, limit).await?;
            run_buffered(state, run, route.access, request).await
        }
    }
}

async fn run_buffered(
    state: &Arc<WebState>,
    run: BufferedHandler,
    access: RequiredAccess,
    request: WebRequest,
) -> HandlerResult {
    // Write requests do not queue behind read requests.
    let permit = match access {
        RequiredAccess::Public | RequiredAccess::Read => Arc::clone(&state.read_permits).acquire_owned().await.ok(),
        RequiredAccess::Write | RequiredAccess::SameOrigin => None,
    };
    let state = Arc::clone(state);
    let work = move || {
        // Held until the work ends, even if the client disconnects.
        let _turn = permit;
        run(&state, &request).map_err(|error| error.visible(&state.context, || request.is_admin(&state)))
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(handler_panicked()))
}

/// The redirect target for a page URL with a trailing slash, which would break its relative links. The target is relative,
/// since a proxy may serve the page below its own path.
fn trailing_slash_redirect(route: &Route, path: &[String], uri: &hyper::Uri) -> Option<Response<OutgoingBody>> {
    let last = path.last().filter(|_| route.is_page && uri.path().ends_with('/'))?;
    // Only literal path components: a parameter could have any value.
    let last = route.path.ends_with(last.as_str()).then_some(last)?;
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let mut response = with_content_type("text/plain; charset=utf-8", "");
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    set_header(&mut response, LOCATION, &format!("../{last}{query}"));
    Some(response)
}

/// The response for a path without a route for the method.
fn no_route_error(known: &[(&Route, Vec<String>)], path: &[String]) -> Option<ApiError> {
    if !known.is_empty() {
        let mut methods: Vec<&str> = known.iter().map(|(route, _)| route.method.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        let allowed = methods.join(", ");
        let refusal = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not support this method")
            .with_hint(format!("use {}", allowed.replace(", ", " or ")));
        return Some(ApiError { allow: Some(allowed.into()), ..refusal });
    }
    let is_api = path.first().is_some_and(|first| first == "api");
    is_api.then(|| {
        let is_setup = path.get(1).is_some_and(|second| second == "setup");
        ApiError::new(StatusCode::NOT_FOUND, "the API has no such path").with_hint(match is_setup {
            true => {
                "use /api/setup/cargo-config, /api/setup/rustup-env.sh or /api/setup/rustup-env.ps1; /setup explains them"
            }
            false => "see /api/openapi.json for all paths",
        })
    })
}

/// Whether the client accepts HTML, as every browser does.
fn wants_html(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(|line| line.to_str().is_ok_and(|line| line.contains("text/html")))
}
