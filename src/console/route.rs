//! The table of everything that can be asked, and how a path finds its row.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, HeaderMap, LOCATION};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::access::{self, Needs};
use super::answer::{Outcome, Refusal, guarded, set, typed};
use super::asked::{self, Asked, MAX_BODY, MAX_BODY_OF_STRANGERS};
use super::registry;
use super::state::State;
use crate::serve::Content;
use crate::serve::extension::At;

/// What comes to an outcome without holding up a thread.
pub(super) type Coming = Pin<Box<dyn Future<Output = Outcome> + Send>>;
/// What takes a body as it comes.
pub(super) type Streamed = fn(Arc<State>, Asked, Incoming) -> Coming;

/// What a route runs.
#[derive(Clone, Copy)]
pub(super) enum Handler {
    /// Works on files, or on what is at hand: run where waiting for a disk holds up nobody else.
    Whole(fn(&Arc<State>, &Asked) -> Outcome),
    /// Takes the body as it comes, and bounds it itself.
    Streamed(Streamed),
}

/// How a body looks.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// A request's body.
#[derive(Clone, Copy)]
pub(super) enum Taken {
    /// JSON, which may be left out unless it is required.
    Json { shape: Shape, required: bool },
    /// A file's bytes.
    Bytes,
}

/// One thing that can be asked.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) method: Method,
    /// The path; `{name}` is a place that is open.
    pub(super) path: &'static str,
    pub(super) needs: Needs,
    pub(super) handler: Handler,
    /// What it is for, in a sentence.
    pub(super) about: &'static str,
    /// Names and meanings of what the query may say.
    pub(super) query: Vec<(&'static str, &'static str)>,
    /// The request's body, if it has one.
    pub(super) takes: Option<Taken>,
    /// Statuses of good answers, with what JSON they hold; `None`: no JSON.
    pub(super) gives: Vec<(u16, Option<Shape>)>,
    /// Whether it is a page for people, which the API's description leaves out.
    pub(super) page: bool,
}

impl Route {
    fn new(method: Method, path: &'static str, needs: Needs, handler: Handler, about: &'static str) -> Route {
        let (query, takes, gives) = (Vec::new(), None, Vec::new());
        Route { method, path, needs, handler, about, query, takes, gives, page: false }
    }

    /// Something to read.
    pub(super) fn get(path: &'static str, about: &'static str, run: fn(&Arc<State>, &Asked) -> Outcome) -> Route {
        Route::new(Method::GET, path, Needs::Read, Handler::Whole(run), about)
    }

    /// A page to look at.
    pub(super) fn page(path: &'static str, about: &'static str, run: fn(&Arc<State>, &Asked) -> Outcome) -> Route {
        Route { page: true, ..Route::get(path, about, run) }
    }

    /// Something that changes what is there.
    pub(super) fn post(path: &'static str, about: &'static str, run: fn(&Arc<State>, &Asked) -> Outcome) -> Route {
        Route::new(Method::POST, path, Needs::Write, Handler::Whole(run), about)
    }

    /// Something that removes.
    pub(super) fn delete(path: &'static str, about: &'static str, run: fn(&Arc<State>, &Asked) -> Outcome) -> Route {
        Route::new(Method::DELETE, path, Needs::Write, Handler::Whole(run), about)
    }

    /// Something that is written as it comes.
    pub(super) fn put(path: &'static str, about: &'static str, run: Streamed) -> Route {
        Route::new(Method::PUT, path, Needs::Write, Handler::Streamed(run), about)
    }

    #[must_use]
    pub(super) fn needs(mut self, needs: Needs) -> Route {
        self.needs = needs;
        self
    }

    #[must_use]
    pub(super) fn query(mut self, name: &'static str, meaning: &'static str) -> Route {
        self.query.push((name, meaning));
        self
    }

    #[must_use]
    pub(super) fn takes<T: JsonSchema>(mut self) -> Route {
        self.takes = Some(Taken::Json { shape: |generator| generator.subschema_for::<T>(), required: true });
        self
    }

    /// Takes JSON where there is any.
    #[must_use]
    pub(super) fn may_take<T: JsonSchema>(mut self) -> Route {
        self.takes = Some(Taken::Json { shape: |generator| generator.subschema_for::<T>(), required: false });
        self
    }

    /// Takes a file's bytes.
    #[must_use]
    pub(super) fn takes_bytes(mut self) -> Route {
        self.takes = Some(Taken::Bytes);
        self
    }

    /// Answers with this status and JSON.
    #[must_use]
    pub(super) fn gives<T: JsonSchema>(mut self, status: u16) -> Route {
        self.gives.push((status, Some(|generator| generator.subschema_for::<T>())));
        self
    }

    /// Answers with this status and something that is no JSON, or nothing.
    #[must_use]
    pub(super) fn gives_other(mut self, status: u16) -> Route {
        self.gives.push((status, None));
        self
    }

    /// The open places' values, where `path` is this route's.
    fn matches(&self, path: &[String]) -> Option<Vec<String>> {
        let own: Vec<&str> = self.path.split('/').filter(|part| !part.is_empty()).collect();
        if own.len() != path.len() {
            return None;
        }
        let mut places = Vec::new();
        for (own, given) in own.iter().zip(path) {
            if own.starts_with('{') {
                places.push(given.clone());
            } else if own != given {
                return None;
            }
        }
        Some(places)
    }
}

/// All of them.
pub(super) struct Routes(Vec<Route>);

impl Routes {
    pub(super) fn new(routes: Vec<Route>) -> Routes {
        Routes(routes)
    }

    /// The answer; `None` where no route has the path and it is not the API's.
    pub(super) async fn answer(
        &self,
        state: &Arc<State>,
        request: Request<Incoming>,
        at: At,
    ) -> Option<Response<Content>> {
        let (parts, incoming) = request.into_parts();
        let path = components(parts.uri.path())?;
        if path.is_empty() && !wants_html(&parts.headers) {
            // Whoever asks from a terminal reads the plain text that the server has without pages.
            return None;
        }
        let head = parts.method == Method::HEAD;
        let method = if head { &Method::GET } else { &parts.method };
        let known: Vec<(&Route, Vec<String>)> =
            self.0.iter().filter_map(|route| Some((route, route.matches(&path)?))).collect();
        let is_registry = registry::is_registry(&path);
        let Some((route, places)) = known.iter().find(|(route, _)| route.method == *method).cloned() else {
            if is_registry && known.is_empty() {
                registry::drain(incoming).await;
                return Some(registry::response(registry::refusal(method, &path)));
            }
            return missing(&known, &path).map(Refusal::into_response);
        };
        // The route's own path: what the client wrote into it may be anything.
        let what = format!("{} {}", parts.method, route.path);
        let refused = |refusal: Refusal| {
            refusal.report(state.options.sink.as_ref(), &what);
            if is_registry { registry::response(refusal) } else { refusal.into_response() }
        };
        if let Err(refusal) = access::check(state, route.needs, &parts.headers, parts.version, &at) {
            return Some(refused(refusal));
        }
        if let Some(place) = moved(route, &path, &parts.uri) {
            return Some(place);
        }
        let query = asked::query(parts.uri.query());
        let asked = Asked {
            head,
            version: parts.version,
            headers: parts.headers,
            places,
            query,
            body: bytes::Bytes::new(),
            at,
        };
        let outcome = run(state, route, asked, incoming).await;
        Some(outcome.map(guarded).unwrap_or_else(refused))
    }
}

async fn run(state: &Arc<State>, route: &Route, mut asked: Asked, incoming: Incoming) -> Outcome {
    let state = Arc::clone(state);
    match route.handler {
        Handler::Streamed(run) => run(state, asked, incoming).await,
        Handler::Whole(run) => {
            // Who has shown that it may write is trusted with more.
            let most = if route.needs == Needs::Write { MAX_BODY } else { MAX_BODY_OF_STRANGERS };
            asked.body = asked::body(incoming, most).await?;
            // Writing does not wait behind a crowd that reads.
            let turn = match route.needs {
                Needs::Nothing | Needs::Read => Arc::clone(&state.turns).acquire_owned().await.ok(),
                Needs::Write | Needs::SameOrigin => None,
            };
            let work = move || {
                // Kept until the work is done, and not only until the client goes away.
                let _turn = turn;
                run(&state, &asked)
            };
            let done = tokio::task::spawn_blocking(work).await;
            done.unwrap_or_else(|_| {
                Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "that is a bug of this server")
                    .fault("the work broke off, which is a bug: please report it"))
            })
        }
    }
}

/// Where a page is whose address was given with a slash at the end, at which its links would lead elsewhere. Relative, since
/// a proxy may show it below a path of its own.
fn moved(route: &Route, path: &[String], uri: &hyper::Uri) -> Option<Response<Content>> {
    let last = path.last().filter(|_| route.page && uri.path().ends_with('/'))?;
    // Known names alone: an open place could be anything.
    let last = route.path.ends_with(last.as_str()).then_some(last)?;
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let mut response = typed("text/plain; charset=utf-8", "");
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    set(&mut response, LOCATION, &format!("../{last}{query}"));
    Some(response)
}

/// What is said of a path without a route for the method.
fn missing(known: &[(&Route, Vec<String>)], path: &[String]) -> Option<Refusal> {
    if !known.is_empty() {
        let mut methods: Vec<&str> = known.iter().map(|(route, _)| route.method.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not know that method");
        return Some(Refusal { allow: Some(methods.join(", ")), ..refusal });
    }
    let is_api = path.first().is_some_and(|first| first == "api");
    is_api.then(|| {
        Refusal::new(StatusCode::NOT_FOUND, "the API has nothing at this path")
            .hint("/api/openapi.json lists what it has")
    })
}

/// Whether the client says that it shows pages, as every browser does.
fn wants_html(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(|line| line.to_str().is_ok_and(|line| line.contains("text/html")))
}

/// The components of a path, each decoded by itself; doubled slashes count once, as they do for files.
fn components(raw: &str) -> Option<Vec<String>> {
    let parts = raw.strip_prefix('/')?.split('/').filter(|part| !part.is_empty());
    parts.map(|part| percent_decode_str(part).decode_utf8().ok().map(std::borrow::Cow::into_owned)).collect()
}
