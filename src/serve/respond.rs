//! One request, one answer. What an answer says to a client names no path of this machine.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HOST,
    HeaderName, HeaderValue, LAST_MODIFIED, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};

use super::ServeOptions;
use super::conditions::{self, Part, Validators, Verdict};
use super::extension::At;
use super::file::{self, Content, Held};
use super::listen::plain_address;
use super::registry::{self, IndexCache, MAX_TEXT};
use super::route::{self, Target};
use crate::client_config;
use crate::crate_id::CrateId;
use crate::safe_path::SafePath;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const BINARY: &str = "application/octet-stream";
/// Kept, but asked about each time: what may be different after the next import.
const ASK_AGAIN: &str = "no-cache";
/// Kept without asking: a published crate never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// What answers requests; one for all connections.
pub(super) struct Server {
    options: ServeOptions,
    index: IndexCache,
}

/// What every answer from a file needs of the request.
pub(super) struct Asked {
    pub(super) head: bool,
    pub(super) headers: HeaderMap,
}

impl Server {
    pub(super) fn new(options: ServeOptions) -> Server {
        Server { options, index: IndexCache::default() }
    }

    /// Answers a request that came from `peer` to the address `local`.
    pub(super) async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Response<Content> {
        let (parts, body) = request.into_parts();
        let Some(host) = host(&parts, local) else {
            return told(StatusCode::BAD_REQUEST, "the Host that was asked for is not HOST or HOST:PORT\n");
        };
        let reads = parts.method == Method::GET || parts.method == Method::HEAD;
        let target = route::target(parts.uri.path());
        let (parts, target) = match &self.options.extension {
            Some(extension) if !reads || matches!(target, Target::Nothing | Target::Front) => {
                let at = At { peer, base: self.base(&host), host: host.clone() };
                let asked = Request::from_parts(parts.clone(), body);
                match extension.answer(asked, at).await {
                    Some(response) => return response,
                    None => (parts, target),
                }
            }
            _ => (parts, target),
        };
        if !reads {
            let mut response = told(StatusCode::METHOD_NOT_ALLOWED, "this path only knows GET and HEAD\n");
            set(&mut response, ALLOW, "GET, HEAD");
            return response;
        }
        let query = parts.uri.query().map(str::to_owned);
        let asked = Asked { head: parts.method == Method::HEAD, headers: parts.headers };
        match target {
            Target::Nothing => not_found(),
            Target::Health => asked.memory(TEXT, "ok\n".to_owned()),
            Target::Front => asked.memory(TEXT, front(&self.base(&host))),
            Target::Script(script) => match script.text(&self.base(&host), query.as_deref()) {
                Ok(text) => asked.memory(TEXT, text),
                Err(why) => told(StatusCode::BAD_REQUEST, &why),
            },
            Target::IndexConfig => asked.memory(JSON, registry::config_json(&self.base(&host))),
            target => {
                // Files are read where waiting for a disk holds up nobody else.
                let answered = tokio::task::spawn_blocking(move || self.read_and_answer(&target, &asked)).await;
                answered.unwrap_or_else(|_| broken())
            }
        }
    }

    fn base(&self, host: &str) -> String {
        (self.options.base_url)().map_or_else(|| format!("http://{host}"), |base| base.to_string())
    }

    fn read_and_answer(&self, target: &Target, asked: &Asked) -> Response<Content> {
        let (path, answered) = match target {
            Target::Index(path) => (path, self.index(path, asked)),
            Target::Crate(path, id) => (path, self.krate(path, id.as_ref(), asked)),
            Target::File(path) => (path, self.file(path, type_of(path), ASK_AGAIN, asked)),
            Target::Front | Target::Health | Target::IndexConfig | Target::Script(_) | Target::Nothing => {
                return not_found();
            }
        };
        answered.unwrap_or_else(|error| {
            self.options.sink.warning(format!("could not read `{path}` of the mirror: {error}"));
            if is_exhausted(&error) { busy() } else { broken() }
        })
    }

    fn index(&self, path: &SafePath, asked: &Asked) -> io::Result<Response<Content>> {
        let Some(held) = self.open(path)? else { return Ok(not_found()) };
        if held.stamp.size > MAX_TEXT {
            return asked.part_of(held, TEXT, ASK_AGAIN);
        }
        let wants_gzip = conditions::accepts_gzip(&asked.headers);
        let text = self.index.text(path, &held, wants_gzip, (self.options.clock)())?;
        // A client that holds the plain form may keep it, even if it would take the other one now.
        let gzip = text.gzip.clone().filter(|_| wants_gzip && !conditions::names(&asked.headers, &text.etag));
        let etag = if gzip.is_some() { text.gzip_etag() } else { text.etag };
        let modified = held.stamp.modified;
        let mut response = match conditions::weigh(&asked.headers, &Validators { etag: &etag, modified }) {
            Verdict::Failed => told(StatusCode::PRECONDITION_FAILED, "it has changed\n"),
            Verdict::NotModified => status(StatusCode::NOT_MODIFIED),
            Verdict::Proceed => {
                let encoded = gzip.is_some();
                let body = match gzip.or(text.plain) {
                    Some(body) => body,
                    None => registry::read(&held)?,
                };
                let mut response = asked.whole(TEXT, body.len() as u64, || Ok(Content::of(body)))?;
                if encoded {
                    set(&mut response, CONTENT_ENCODING, "gzip");
                }
                response
            }
        };
        validators(&mut response, &etag, modified);
        set(&mut response, CACHE_CONTROL, ASK_AGAIN);
        set(&mut response, VARY, "Accept-Encoding");
        Ok(response)
    }

    fn krate(&self, path: &SafePath, id: Option<&CrateId>, asked: &Asked) -> io::Result<Response<Content>> {
        let response = self.file(path, BINARY, FOR_EVER, asked)?;
        Ok(match id {
            Some(id) if response.status() == StatusCode::NOT_FOUND => {
                told(StatusCode::NOT_FOUND, &registry::missing_crate(id))
            }
            _ => response,
        })
    }

    fn file(&self, path: &SafePath, kind: &str, caching: &str, asked: &Asked) -> io::Result<Response<Content>> {
        match self.open(path)? {
            Some(held) => asked.part_of(held, kind, caching),
            None => Ok(not_found()),
        }
    }

    fn open(&self, path: &SafePath) -> io::Result<Option<Held>> {
        let mirror: &Path = &self.options.mirror;
        file::open(mirror, path)
    }
}

impl Asked {
    /// A text that was made for this answer.
    fn memory(&self, kind: &str, text: String) -> Response<Content> {
        let length = text.len() as u64;
        let body = if self.head { Content::default() } else { Content::of(text) };
        let mut response = Response::new(body);
        described(&mut response, kind, length);
        set(&mut response, CACHE_CONTROL, ASK_AGAIN);
        response
    }

    /// A whole body of `length` bytes, which is only read where it is sent.
    fn whole(
        &self,
        kind: &str,
        length: u64,
        read: impl FnOnce() -> io::Result<Content>,
    ) -> io::Result<Response<Content>> {
        let mut response = Response::new(if self.head { Content::default() } else { read()? });
        described(&mut response, kind, length);
        Ok(response)
    }

    /// A file or the range of it that is asked for.
    pub(super) fn part_of(&self, held: Held, kind: &str, caching: &str) -> io::Result<Response<Content>> {
        let Held { file, stamp } = held;
        let etag = stamp.etag();
        let known = Validators { etag: &etag, modified: stamp.modified };
        let mut response = match conditions::weigh(&self.headers, &known) {
            Verdict::Failed => told(StatusCode::PRECONDITION_FAILED, "it has changed\n"),
            Verdict::NotModified => status(StatusCode::NOT_MODIFIED),
            // A range means nothing to HEAD.
            Verdict::Proceed if self.head => self.whole(kind, stamp.size, || Ok(Content::default()))?,
            Verdict::Proceed => match conditions::part(&self.headers, stamp.size, &known) {
                Part::Whole => self.whole(kind, stamp.size, || Content::of_file(file, 0, stamp.size))?,
                Part::Bytes { start, length } => {
                    let mut response = Response::new(Content::of_file(file, start, length)?);
                    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                    described(&mut response, kind, length);
                    let range = format!("bytes {start}-{}/{}", start + length - 1, stamp.size);
                    set(&mut response, CONTENT_RANGE, &range);
                    response
                }
                Part::Unsatisfiable => {
                    let mut response = told(StatusCode::RANGE_NOT_SATISFIABLE, "no byte is in that range\n");
                    set(&mut response, CONTENT_RANGE, &format!("bytes */{}", stamp.size));
                    return Ok(response);
                }
            },
        };
        validators(&mut response, &etag, stamp.modified);
        set(&mut response, ACCEPT_RANGES, "bytes");
        set(&mut response, CACHE_CONTROL, caching);
        Ok(response)
    }
}

/// The `HOST[:PORT]` that was asked for; `None` where it is none. Forwarding headers are anyone's to write, and count
/// for nothing. HTTP/1.0 needs no Host; then the connection's own address serves.
fn host(parts: &Parts, local: SocketAddr) -> Option<String> {
    let mut given = parts.headers.get_all(HOST).iter();
    let header = given.next();
    if given.next().is_some() {
        return None;
    }
    let asked = match (parts.uri.authority(), header) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(header)) => header.to_str().ok()?,
        (None, None) if parts.version < Version::HTTP_11 => return Some(plain_address(local).to_string()),
        (None, None) => return None,
    };
    client_config::is_host(asked).then(|| asked.to_owned())
}

/// What a person sees who looks at the server with a browser.
fn front(base: &str) -> String {
    format!(
        "This is a mirror of crates.io, served by cargo-frostmirror. It has the crates that were brought here, and no \
         others.\n\nTo use it, put this into $CARGO_HOME/config.toml, or run `cargo frostmirror setup --write --url \
         {base}`:\n\n{}\nWhere toolchains were brought here too, this installs rustup and Rust:\n\n    \
         curl -fsS {base}/rustup-init.sh | sh\n\nand on Windows, in PowerShell:\n\n    \
         Invoke-RestMethod {base}/rustup-init.ps1 | Invoke-Expression\n\nWhere rustup is there already, \
         {base}/api/setup/rustup-env.sh and {base}/api/setup/rustup-env.ps1 point it here.\n",
        client_config::cargo_config(base)
    )
}

fn type_of(path: &SafePath) -> &'static str {
    let name = path.as_str();
    let is = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    match () {
        () if is(&[".json"]) => JSON,
        () if is(&[".toml", ".sha256", ".asc"]) => TEXT,
        () => BINARY,
    }
}

fn status(status: StatusCode) -> Response<Content> {
    let mut response = Response::new(Content::default());
    *response.status_mut() = status;
    response
}

/// An answer that is nothing but a sentence. It is not to be kept: it may be another after the next import.
fn told(code: StatusCode, text: &str) -> Response<Content> {
    let mut response = Response::new(Content::of(text.to_owned()));
    *response.status_mut() = code;
    described(&mut response, TEXT, text.len() as u64);
    set(&mut response, CACHE_CONTROL, ASK_AGAIN);
    response
}

fn not_found() -> Response<Content> {
    told(StatusCode::NOT_FOUND, "not in this mirror\n")
}

fn broken() -> Response<Content> {
    told(StatusCode::INTERNAL_SERVER_ERROR, "the mirror could not read this file; its own report says why\n")
}

/// Cargo waits as long as it is told to, ten seconds at most, and asks again.
fn busy() -> Response<Content> {
    let mut response = told(StatusCode::SERVICE_UNAVAILABLE, "the mirror has too much to do\n");
    set(&mut response, RETRY_AFTER, "2");
    response
}

#[cfg(unix)]
fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let codes = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| codes.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(not(unix))]
fn is_exhausted(_: &io::Error) -> bool {
    false
}

fn described(response: &mut Response<Content>, kind: &str, length: u64) {
    set(response, CONTENT_TYPE, kind);
    set(response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
}

fn validators(response: &mut Response<Content>, etag: &str, modified: Option<SystemTime>) {
    set(response, ETAG, etag);
    if let Some(modified) = modified {
        set(response, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
}

/// Sets a header to a value that was made here, of visible ASCII alone.
fn set(response: &mut Response<Content>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
