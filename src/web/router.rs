//! The table of everything that can be asked, and how a path finds its row.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, HeaderMap, LOCATION};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::auth::{self, RequiredAccess};
use super::registry_api;
use super::request::{self, MAX_ANONYMOUS_BODY, MAX_WRITE_BODY, WebRequest};
use super::response::{ApiError, HandlerResult, set_header, with_content_type, with_security_headers};
use super::state::WebState;
use crate::server::OutgoingBody;
use crate::server::fallback::RequestOrigin;

/// What comes to an outcome without holding up a thread.
pub(super) type HandlerFuture = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;
/// What takes a body as it comes.
pub(super) type StreamingHandler = fn(Arc<WebState>, WebRequest, Incoming) -> HandlerFuture;

/// What a route runs.
#[derive(Clone, Copy)]
pub(super) enum Handler {
    /// Works on files, or on what is at hand: run where waiting for a disk holds up nobody else.
    Buffered(fn(&Arc<WebState>, &WebRequest) -> HandlerResult),
    /// Takes the body as it comes, and bounds it itself.
    Streaming(StreamingHandler),
}

/// How a body looks.
pub(super) type SchemaFn = fn(&mut SchemaGenerator) -> Schema;

/// A request's body.
#[derive(Clone, Copy)]
pub(super) enum RequestBody {
    /// JSON, which may be left out unless it is required.
    Json { schema: SchemaFn, required: bool },
    /// A file's bytes.
    Bytes,
}

/// One thing that can be asked.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) method: Method,
    /// The path; `{name}` is a place that is open.
    pub(super) path: &'static str,
    pub(super) access: RequiredAccess,
    pub(super) handler: Handler,
    /// What it is for, in a sentence.
    pub(super) summary: &'static str,
    /// Names and meanings of what the query may say.
    pub(super) query: Vec<(&'static str, &'static str)>,
    /// The request's body, if it has one.
    pub(super) request_body: Option<RequestBody>,
    /// Statuses of good answers, with what JSON they hold; `None`: no JSON.
    pub(super) responses: Vec<(u16, Option<SchemaFn>)>,
    /// Whether it is a page for people, which the API's description leaves out.
    pub(super) is_page: bool,
}

impl Route {
    fn new(method: Method, path: &'static str, needs: RequiredAccess, handler: Handler, about: &'static str) -> Route {
        let (query, takes, gives) = (Vec::new(), None, Vec::new());
        Route {
            method,
            path,
            access: needs,
            handler,
            summary: about,
            query,
            request_body: takes,
            responses: gives,
            is_page: false,
        }
    }

    /// Something to read.
    pub(super) fn get(
        path: &'static str,
        about: &'static str,
        run: fn(&Arc<WebState>, &WebRequest) -> HandlerResult,
    ) -> Route {
        Route::new(Method::GET, path, RequiredAccess::Read, Handler::Buffered(run), about)
    }

    /// A page to look at.
    pub(super) fn page(
        path: &'static str,
        about: &'static str,
        run: fn(&Arc<WebState>, &WebRequest) -> HandlerResult,
    ) -> Route {
        Route { is_page: true, ..Route::get(path, about, run) }
    }

    /// Something that changes what is there.
    pub(super) fn post(
        path: &'static str,
        about: &'static str,
        run: fn(&Arc<WebState>, &WebRequest) -> HandlerResult,
    ) -> Route {
        Route::new(Method::POST, path, RequiredAccess::Write, Handler::Buffered(run), about)
    }

    /// Something that removes.
    pub(super) fn delete(
        path: &'static str,
        about: &'static str,
        run: fn(&Arc<WebState>, &WebRequest) -> HandlerResult,
    ) -> Route {
        Route::new(Method::DELETE, path, RequiredAccess::Write, Handler::Buffered(run), about)
    }

    /// Something that is written as it comes.
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

    /// Takes JSON where there is any.
    #[must_use]
    pub(super) fn takes_optional_json<T: JsonSchema>(mut self) -> Route {
        self.request_body =
            Some(RequestBody::Json { schema: |generator| generator.subschema_for::<T>(), required: false });
        self
    }

    /// Takes a file's bytes.
    #[must_use]
    pub(super) fn takes_bytes(mut self) -> Route {
        self.request_body = Some(RequestBody::Bytes);
        self
    }

    /// Answers with this status and JSON.
    #[must_use]
    pub(super) fn returns_json<T: JsonSchema>(mut self, status: u16) -> Route {
        self.responses.push((status, Some(|generator| generator.subschema_for::<T>())));
        self
    }

    /// Answers with this status and something that is no JSON, or nothing.
    #[must_use]
    pub(super) fn returns_other(mut self, status: u16) -> Route {
        self.responses.push((status, None));
        self
    }

    /// The open places' values, where `path` is this route's.
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

/// All of them.
pub(super) struct Router(Vec<Route>);

impl Router {
    pub(super) fn new(routes: Vec<Route>) -> Router {
        Router(routes)
    }

    /// The answer; `None` where no route has the path and it is not the API's.
    pub(super) async fn handle(
        &self,
        state: &Arc<WebState>,
        request: Request<Incoming>,
        at: RequestOrigin,
    ) -> Option<Response<OutgoingBody>> {
        let (parts, incoming) = request.into_parts();
        let path = decode_components(parts.uri.path())?;
        if path.is_empty() && !wants_html(&parts.headers) {
            // Whoever asks from a terminal reads the plain text that the server has without pages.
            return None;
        }
        let head = parts.method == Method::HEAD;
        let method = if head { &Method::GET } else { &parts.method };
        let matching: Vec<(&Route, Vec<String>)> =
            self.0.iter().filter_map(|route| Some((route, route.match_path(&path)?))).collect();
        let is_registry = registry_api::is_registry_path(&path);
        let Some((route, params)) = matching.iter().find(|(route, _)| route.method == *method).cloned() else {
            if is_registry && matching.is_empty() {
                registry_api::drain_body(incoming).await;
                return Some(registry_api::error_response(registry_api::unsupported(method, &path)));
            }
            return no_route_error(&matching, &path).map(ApiError::into_response);
        };
        // The route's own path: what the client wrote into it may be anything.
        let operation = format!("{} {}", parts.method, route.path);
        let error_response = |refusal: ApiError| {
            refusal.report(state.options.sink.as_ref(), &operation);
            if is_registry { registry_api::error_response(refusal) } else { refusal.into_response() }
        };
        if let Err(refusal) = auth::check(state, route.access, &parts.headers, parts.version, &at) {
            return Some(error_response(refusal));
        }
        if let Some(redirect) = trailing_slash_redirect(route, &path, &parts.uri) {
            return Some(redirect);
        }
        let query = request::parse_query(parts.uri.query());
        let asked = WebRequest {
            is_head: head,
            version: parts.version,
            headers: parts.headers,
            path_params: params,
            query,
            body: bytes::Bytes::new(),
            origin: at,
        };
        let outcome = run_handler(state, route, asked, incoming).await;
        Some(outcome.map(with_security_headers).unwrap_or_else(error_response))
    }
}

async fn run_handler(
    state: &Arc<WebState>,
    route: &Route,
    mut request: WebRequest,
    incoming: Incoming,
) -> HandlerResult {
    let state = Arc::clone(state);
    match route.handler {
        Handler::Streaming(run) => run(state, request, incoming).await,
        Handler::Buffered(run) => {
            // Who has shown that it may write is trusted with more.
            let limit = if route.access == RequiredAccess::Write { MAX_WRITE_BODY } else { MAX_ANONYMOUS_BODY };
            request.body = request::read_body(incoming, limit).await?;
            // Writing does not wait behind a crowd that reads.
            let permit = match route.access {
                RequiredAccess::Public | RequiredAccess::Read => {
                    Arc::clone(&state.read_permits).acquire_owned().await.ok()
                }
                RequiredAccess::Write | RequiredAccess::SameOrigin => None,
            };
            let work = move || {
                // Kept until the work is done, and not only until the client goes away.
                let _turn = permit;
                run(&state, &request)
            };
            let done = tokio::task::spawn_blocking(work).await;
            done.unwrap_or_else(|_| {
                Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "that is a bug of this server")
                    .with_internal_message("the work broke off, which is a bug: please report it"))
            })
        }
    }
}

/// Where a page is whose address was given with a slash at the end, at which its links would lead elsewhere. Relative, since
/// a proxy may show it below a path of its own.
fn trailing_slash_redirect(route: &Route, path: &[String], uri: &hyper::Uri) -> Option<Response<OutgoingBody>> {
    let last = path.last().filter(|_| route.is_page && uri.path().ends_with('/'))?;
    // Known names alone: an open place could be anything.
    let last = route.path.ends_with(last.as_str()).then_some(last)?;
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let mut response = with_content_type("text/plain; charset=utf-8", "");
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    set_header(&mut response, LOCATION, &format!("../{last}{query}"));
    Some(response)
}

/// What is said of a path without a route for the method.
fn no_route_error(known: &[(&Route, Vec<String>)], path: &[String]) -> Option<ApiError> {
    if !known.is_empty() {
        let mut methods: Vec<&str> = known.iter().map(|(route, _)| route.method.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        let refusal = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not know that method");
        return Some(ApiError { allow: Some(methods.join(", ")), ..refusal });
    }
    let is_api = path.first().is_some_and(|first| first == "api");
    is_api.then(|| {
        ApiError::new(StatusCode::NOT_FOUND, "the API has nothing at this path")
            .with_hint("/api/openapi.json lists what it has")
    })
}

/// Whether the client says that it shows pages, as every browser does.
fn wants_html(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(|line| line.to_str().is_ok_and(|line| line.contains("text/html")))
}

/// The components of a path, each decoded by itself; doubled slashes count once, as they do for files.
fn decode_components(raw: &str) -> Option<Vec<String>> {
    let parts = raw.strip_prefix('/')?.split('/').filter(|part| !part.is_empty());
    parts.map(|part| percent_decode_str(part).decode_utf8().ok().map(std::borrow::Cow::into_owned)).collect()
}
