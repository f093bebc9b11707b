//! A fake crates.io on loopback: sparse index and downloads, with scripted faults and a log of what was asked.
//!
//! ```ignore
//! let upstream = Upstream::start();
//! upstream.publish(Crate::new("json", "1.0.0"));
//! upstream.fault("/index/js/on/json", [Fault::Status(500), Fault::Status(500)]);
//! // … FROSTMIRROR_REGISTRY_URL = upstream.index_url()
//! assert_eq!(upstream.request_count("/index/js/on/json"), 3);
//! ```

mod faults;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::crates::{Crate, PackedCrate, hex, index_path};
use super::range_response::range_response;
use super::resettable_stream::ResettableStream;
use super::tls::CertificateAuthority;

pub use faults::Fault;
use faults::apply_fault;

/// One request as it came in.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    pub method: String,
    /// Path and query as the client wrote them.
    pub path: String,
    pub version: Version,
    pub headers: HeaderMap,
    /// Counts connections from 1.
    pub connection: usize,
    /// What was answered; 0 where there was no answer.
    pub status: u16,
}

impl RecordedRequest {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// How the server is to be.
pub struct Builder {
    authority: Option<Arc<CertificateAuthority>>,
    http2: bool,
    latency: Duration,
    validators: bool,
    token: Option<String>,
    host: Option<String>,
    dl: Option<String>,
}

impl Builder {
    /// TLS with an authority of its own; HTTP/2 is offered.
    pub fn tls(mut self) -> Builder {
        self.authority = Some(Arc::new(CertificateAuthority::new()));
        self
    }

    /// HTTP/1.1 alone.
    pub fn http1(mut self) -> Builder {
        self.http2 = false;
        self
    }

    /// Answers each request this much later.
    pub fn latency(mut self, latency: Duration) -> Builder {
        self.latency = latency;
        self
    }

    /// Neither ETag nor Last-Modified, like some corporate proxies.
    pub fn without_validators(mut self) -> Builder {
        self.validators = false;
        self
    }

    /// 401 for everything that does not bring this token, and `auth-required` in config.json.
    pub fn token(mut self, token: &str) -> Builder {
        self.token = Some(token.to_owned());
        self
    }

    /// Calls itself `HOST:PORT` with a made-up host, which a client reaches through the proxy alone.
    pub fn host(mut self, host: &str) -> Builder {
        self.host = Some(host.to_owned());
        self
    }

    /// The `dl` of config.json; `{base}` stands for the server's own address. Markers count where there are any.
    pub fn dl(mut self, dl: &str) -> Builder {
        self.dl = Some(dl.to_owned());
        self
    }

    /// Starts it.
    pub fn start(self) -> Upstream {
        Upstream::new(self)
    }
}

/// The server. It dies with this value.
pub struct Upstream {
    addr: SocketAddr,
    base: String,
    authority: Option<Arc<CertificateAuthority>>,
    shared: Arc<Shared>,
    // Own threads, so that tests without a runtime can use it.
    runtime: Option<Runtime>,
}

struct Shared {
    state: Mutex<State>,
    open_connections: AtomicUsize,
    max_connections: AtomicUsize,
    active_requests: AtomicUsize,
    max_requests: AtomicUsize,
}

struct State {
    base: String,
    latency: Duration,
    validators: bool,
    token: Option<String>,
    dl: String,
    /// Index files by their path below `/index/`.
    index: BTreeMap<String, IndexFile>,
    crates: Vec<PackedCrate>,
    missing_crates: Vec<(String, String)>,
    files: HashMap<String, Bytes>,
    faults: HashMap<String, VecDeque<Fault>>,
    permanent_faults: HashMap<String, Fault>,
    log: Vec<RecordedRequest>,
    /// Seconds since 1970 of the newest change; each publication is a second later.
    clock: u64,
}

#[derive(Default)]
struct IndexFile {
    text: String,
    changed: u64,
}

impl Upstream {
    /// A plain server.
    pub fn start() -> Upstream {
        Upstream::builder().start()
    }

    /// A server to be described.
    pub fn builder() -> Builder {
        Builder {
            authority: None,
            http2: true,
            latency: Duration::ZERO,
            validators: true,
            token: None,
            host: None,
            dl: None,
        }
    }

    fn new(builder: Builder) -> Upstream {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let host = builder.host.unwrap_or_else(|| "127.0.0.1".to_owned());
        let scheme = if builder.authority.is_some() { "https" } else { "http" };
        let base = format!("{scheme}://{host}:{}", addr.port());
        let acceptor = builder
            .authority
            .as_ref()
            .map(|authority| authority.acceptor(&["127.0.0.1", "localhost", &host], builder.http2));
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                dl: builder.dl.as_deref().unwrap_or("{base}/api/v1/crates").replace("{base}", &base),
                base: base.clone(),
                latency: builder.latency,
                validators: builder.validators,
                token: builder.token,
                index: BTreeMap::new(),
                crates: Vec::new(),
                missing_crates: Vec::new(),
                files: HashMap::new(),
                faults: HashMap::new(),
                permanent_faults: HashMap::new(),
                log: Vec::new(),
                clock: 1_700_000_000,
            }),
            open_connections: AtomicUsize::new(0),
            max_connections: AtomicUsize::new(0),
            active_requests: AtomicUsize::new(0),
            max_requests: AtomicUsize::new(0),
        });
        runtime.spawn(accept(listener, acceptor, builder.http2, Arc::clone(&shared)));
        Upstream { addr, base, authority: builder.authority, shared, runtime: Some(runtime) }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:PORT`, without a final slash.
    pub fn base_url(&self) -> &str {
        &self.base
    }

    /// The sparse index's address, with its final slash and without `sparse+`.
    pub fn index_url(&self) -> String {
        format!("{}/index/", self.base)
    }

    /// The authority's certificate as PEM.
    pub fn ca_pem(&self) -> String {
        self.authority.as_ref().expect("a plain server has no authority").pem()
    }

    /// Publishes a version: its line comes last in the index file, its file can be downloaded.
    pub fn publish(&self, item: Crate) -> PackedCrate {
        let packed = item.pack();
        let mut state = self.state();
        state.clock += 1;
        let changed = state.clock;
        let file = state.index.entry(index_path(&packed.name)).or_default();
        file.text.push_str(&packed.line);
        file.text.push('\n');
        file.changed = changed;
        state.crates.push(packed.clone());
        packed
    }

    /// Publishes versions that have nothing special about them.
    pub fn publish_all(&self, crates: &[(&str, &str)]) {
        for (name, version) in crates {
            self.publish(Crate::new(name, version));
        }
    }

    /// Sets a whole index file's text, below `/index/`.
    pub fn set_index(&self, path: &str, text: &str) {
        let mut state = self.state();
        state.clock += 1;
        let changed = state.clock;
        state.index.insert(path.to_owned(), IndexFile { text: text.to_owned(), changed });
    }

    /// An index file's text.
    pub fn index_text(&self, name: &str) -> String {
        self.state().index.get(&index_path(name)).map(|file| file.text.clone()).unwrap_or_default()
    }

    /// Sets or clears a version's `yanked` flag.
    pub fn yank(&self, name: &str, version: &str, yanked: bool) {
        let text: String = self
            .index_text(name)
            .lines()
            .map(|line| {
                let ours = line.contains(&format!("\"vers\":\"{version}\""));
                let now = format!("\"yanked\":{yanked}");
                if ours { line.replace(&format!("\"yanked\":{}", !yanked), &now) + "\n" } else { format!("{line}\n") }
            })
            .collect();
        self.set_index(&index_path(name), &text);
    }

    /// Takes a version's file away; the index still lists it.
    pub fn remove_crate_file(&self, name: &str, version: &str) {
        self.state().missing_crates.push((name.to_owned(), version.to_owned()));
    }

    /// Any further file, by its path.
    pub fn put_file(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.state().files.insert(path.to_owned(), Bytes::from(content.into()));
    }

    /// Takes a further file away.
    pub fn remove_file(&self, path: &str) {
        self.state().files.remove(path);
    }

    /// The further file at `path`, as it is answered now.
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        self.state().files.get(path).map(|content| content.to_vec())
    }

    /// Every further file, with its path.
    pub fn all_files(&self) -> Vec<(String, Bytes)> {
        self.state().files.iter().map(|(path, content)| (path.clone(), content.clone())).collect()
    }

    /// Changes config.json's `dl`; `{base}` stands for the server's own address.
    pub fn set_dl(&self, dl: &str) {
        let mut state = self.state();
        state.dl = dl.replace("{base}", &self.base);
    }

    /// Changes the latency of every answer from now on.
    pub fn set_latency(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// What the next requests of `path` meet, one each; after that all is well. A path that ends in `*` stands for
    /// every path that begins so.
    pub fn fault(&self, path: &str, script: impl IntoIterator<Item = Fault>) {
        self.state().faults.entry(path.to_owned()).or_default().extend(script);
    }

    /// What every request of `path` meets from now on.
    pub fn fault_always(&self, path: &str, fault: Fault) {
        self.state().permanent_faults.insert(path.to_owned(), fault);
    }

    /// Ends every fault.
    pub fn clear_faults(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.permanent_faults.clear();
    }

    /// The path under which a version is downloaded with the present `dl`.
    pub fn download_path(&self, name: &str, version: &str) -> String {
        let state = self.state();
        let found = state.crates.iter().find(|one| one.name == name && one.version == version);
        state.download_path(found.expect("published before"))
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.state().log.clone()
    }

    /// The requests of `path`.
    pub fn requests_to(&self, path: &str) -> Vec<RecordedRequest> {
        self.requests().into_iter().filter(|seen| seen.path == path).collect()
    }

    /// How often `path` was requested.
    pub fn request_count(&self, path: &str) -> usize {
        self.requests_to(path).len()
    }

    /// The paths of downloads so far, in the order of the requests.
    pub fn downloads(&self) -> Vec<String> {
        let paths = self.requests().into_iter().map(|seen| seen.path);
        paths.filter(|path| !path.starts_with("/index/")).collect()
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) {
        self.state().log.clear();
        self.shared.max_connections.store(self.shared.open_connections.load(Ordering::SeqCst), Ordering::SeqCst);
        self.shared.max_requests.store(self.shared.active_requests.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// The most connections that were open at once.
    pub fn max_connections(&self) -> usize {
        self.shared.max_connections.load(Ordering::SeqCst)
    }

    /// The most requests that were in work at once.
    pub fn max_concurrent_requests(&self) -> usize {
        self.shared.max_requests.load(Ordering::SeqCst)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts while it lives, and remembers the most.
struct CountedGuard<'a>(&'a AtomicUsize);

impl<'a> CountedGuard<'a> {
    fn new(count: &'a AtomicUsize, most: &AtomicUsize) -> CountedGuard<'a> {
        most.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        CountedGuard(count)
    }
}

impl Drop for CountedGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, http2: bool, shared: Arc<Shared>) {
    let mut connection = 0;
    while let Ok((stream, _)) = listener.accept().await {
        connection += 1;
        let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
        tokio::spawn(async move {
            let _open = CountedGuard::new(&shared.open_connections, &shared.max_connections);
            stream.set_nodelay(true).unwrap();
            let reset = Arc::new(AtomicBool::new(false));
            let stream = ResettableStream::new(stream, Arc::clone(&reset));
            let service = service_fn(|request| respond(request, connection, Arc::clone(&shared), Arc::clone(&reset)));
            let mut server = auto::Builder::new(TokioExecutor::new());
            if !http2 {
                server = server.http1_only();
            }
            // How a connection ended is the client's story; the test looks at what the client made of it.
            let _ended = match acceptor {
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => server.serve_connection(TokioIo::new(stream), service).await.is_ok(),
                    Err(_) => false,
                },
                None => server.serve_connection(TokioIo::new(stream), service).await.is_ok(),
            };
        });
    }
}

async fn respond(
    request: Request<Incoming>,
    connection: usize,
    shared: Arc<Shared>,
    reset: Arc<AtomicBool>,
) -> Result<Response<faults::Body>, io::Error> {
    let _busy = CountedGuard::new(&shared.active_requests, &shared.max_requests);
    let (fault, right, latency, entry) = {
        let mut state = shared.state();
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let fault = state.next_fault(&path);
        let mut requested = request.headers().clone();
        if let Fault::IgnoreRange = fault {
            requested.remove(header::RANGE);
        }
        let right = state.correct_response(&path, &requested);
        if let Fault::PublishAfter(files) = &fault {
            state.files.extend(files.iter().map(|(path, content)| (path.clone(), Bytes::from(content.clone()))));
        }
        state.log.push(RecordedRequest {
            method: request.method().to_string(),
            path,
            version: request.version(),
            headers: request.headers().clone(),
            connection,
            status: 0,
        });
        (fault, right, state.latency, state.log.len() - 1)
    };
    tokio::time::sleep(latency).await;
    let answer = apply_fault(fault, right, &reset).await?;
    // The log may have been cleared in the meantime.
    if let Some(seen) = shared.state().log.get_mut(entry) {
        seen.status = answer.status().as_u16();
    }
    Ok(answer)
}

impl State {
    fn next_fault(&mut self, path: &str) -> Fault {
        let matches = |pattern: &str| match pattern.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == pattern,
        };
        let scripts = self.faults.iter_mut().filter(|(pattern, _)| matches(pattern));
        if let Some(next) = scripts.filter_map(|(_, script)| script.pop_front()).next() {
            return next;
        }
        let always = self.permanent_faults.iter().find(|(pattern, _)| matches(pattern));
        always.map_or(Fault::Pass, |(_, fault)| fault.clone())
    }

    fn correct_response(&self, path: &str, headers: &HeaderMap) -> Response<Bytes> {
        let bare = |status: StatusCode, text: &'static str| {
            let builder = Response::builder().status(status).header(header::CONTENT_TYPE, "text/plain");
            builder.body(Bytes::from_static(text.as_bytes())).unwrap()
        };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if self.token.is_some() && self.token.as_deref() != given {
            return bare(StatusCode::UNAUTHORIZED, "this registry wants a token");
        }
        let decoded = percent_decode_str(path).decode_utf8_lossy();
        if decoded == "/index/config.json" {
            let mut config = serde_json::json!({"dl": self.dl, "api": self.base});
            if self.token.is_some() {
                config["auth-required"] = true.into();
            }
            return Response::new(Bytes::from(config.to_string()));
        }
        if let Some(file) = decoded.strip_prefix("/index/").and_then(|path| self.index.get(path)) {
            return self.index_response(file, headers);
        }
        if let Some(content) = self.files.get(decoded.as_ref()) {
            return range_response(content, headers);
        }
        let lost = |one: &PackedCrate| {
            self.missing_crates.iter().any(|(name, version)| (name, version) == (&one.name, &one.version))
        };
        match self.crates.iter().find(|one| self.download_path(one) == decoded) {
            Some(found) if !lost(found) => Response::new(Bytes::from(found.bytes.clone())),
            _ => bare(StatusCode::NOT_FOUND, "no such thing here"),
        }
    }

    fn index_response(&self, file: &IndexFile, headers: &HeaderMap) -> Response<Bytes> {
        let mut answer = Response::new(Bytes::from(file.text.clone()));
        if !self.validators {
            return answer;
        }
        let etag = format!("\"{}\"", &hex(&Sha256::digest(&file.text))[..32]);
        let modified = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(file.changed));
        let is = |name, value: &str| headers.get(name).is_some_and(|given: &HeaderValue| given == value);
        // If-None-Match, if present, decides alone (RFC 9110, 13.2.2).
        let unchanged = match headers.contains_key(header::IF_NONE_MATCH) {
            true => is(header::IF_NONE_MATCH, &etag),
            false => is(header::IF_MODIFIED_SINCE, &modified),
        };
        if unchanged {
            answer = Response::builder().status(StatusCode::NOT_MODIFIED).body(Bytes::new()).unwrap();
        }
        answer.headers_mut().insert(header::ETAG, HeaderValue::from_str(&etag).unwrap());
        answer.headers_mut().insert(header::LAST_MODIFIED, HeaderValue::from_str(&modified).unwrap());
        answer
    }

    /// Where `dl` puts a version (cargo: registry/download.rs); decoded, without scheme and host.
    fn download_path(&self, one: &PackedCrate) -> String {
        let path = self.dl.strip_prefix(&self.base).unwrap_or(&self.dl);
        let prefix =
            |name: &str| index_path(name).rsplit_once('/').map(|(prefix, _)| prefix.to_owned()).unwrap_or_default();
        // The prefix of the name as it is written, upper case and all.
        let cased = |name: &str| match name.len() {
            3 => format!("3/{}", &name[..1]),
            4.. => format!("{}/{}", &name[..2], &name[2..4]),
            _ => prefix(name),
        };
        let expanded = path
            .replace("{crate}", &one.name)
            .replace("{version}", &one.version)
            .replace("{prefix}", &cased(&one.name))
            .replace("{lowerprefix}", &prefix(&one.name))
            .replace("{sha256-checksum}", &one.cksum);
        match expanded == path {
            true => format!("{path}/{}/{}/download", one.name, one.version),
            false => expanded,
        }
    }
}
