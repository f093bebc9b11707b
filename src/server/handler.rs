//! Answers one request. Responses never contain a path of this machine.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, ETAG, HOST, RETRY_AFTER, VIA, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::access_log::AccessLogEntry;
use super::auth::Throttled;
use super::capacity::{capacity, max_memfd_bodies};
use super::conditional;
use super::content_type::{ContentHeaders, IMMUTABLE, JSON, TEXT};
use super::fallback::RequestOrigin;
use super::file::{self, OpenFile, OutgoingBody};
use super::file_cache::{CachePolicy, FileCache, MAX_CACHED_FILE};
use super::forwarded::{Forwarded, UntrustedProxies, canonical_address, client_address};
use super::health::MirrorHealth;
use super::metrics::{RequestKind, ServerMetrics};
use super::options::ServeOptions;
use super::registry::{self, MAX_INDEX_FILE};
use super::request_body::{IncomingBody, UnreadSlot};
use super::response::{
    RequestMeta, end_after_request, internal_error, is_exhausted, not_found, set_header, text_response, unavailable,
};
use super::response_budget::{Budget, ConnectionBudget};
use super::router::{self, FileRoute, Route};
use super::scripts::{Script, landing_page, small_profiles};
use super::sendfile::MemfdBudget;
use super::tls::{self, Tls};
use crate::client_setup::{self, SmallProfile};
use crate::live;
use crate::safe_path::SafePath;
use crate::server_context::ServerContext;

/// As [`IMMUTABLE`], but for the client's own cache: a shared cache would serve it to clients without a token.
const PRIVATE_IMMUTABLE: &str = "private, max-age=31536000, immutable";

/// Maximum number of files that are looked up and read at a time; each is open meanwhile.
const MAX_CONCURRENT_READS: usize = 32;

/// How long a file that changes upstream is cached in memory in live mode.
const MUTABLE_FILE_TTL: Duration = Duration::from_millis(500);

/// Answers the requests of all connections.
pub(super) struct Server {
    pub(super) context: ServerContext,
    pub(super) options: ServeOptions,
    pub(super) file_cache: FileCache,
    budget: Arc<Budget>,
    read_permits: Semaphore,
    untrusted_proxies: UntrustedProxies,
    health: Arc<MirrorHealth>,
}

impl Server {
    pub(super) fn new(context: ServerContext, options: ServeOptions) -> Server {
        let (live, mirror) = (Arc::clone(&options.live), context.mirror.root());
        let generation = Box::new(move || live.settings_generation());
        Server {
            file_cache: FileCache::new(mirror, generation, MemfdBudget::new(max_memfd_bodies())),
            budget: Budget::new(capacity().files, options.stalled_after),
            read_permits: Semaphore::new(MAX_CONCURRENT_READS),
            untrusted_proxies: UntrustedProxies::default(),
            health: MirrorHealth::new(mirror.to_owned()),
            context,
            options,
        }
    }

    /// The budget of all responses.
    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The acceptor for TLS connections, if TLS is configured.
    pub(super) fn tls_acceptor(&self) -> Option<TlsAcceptor> {
        self.options.tls.as_deref().map(Tls::acceptor)
    }

    /// Reloads a changed certificate. Call it where blocking is allowed.
    pub(super) fn reload_certificates(&self) {
        if let Some(tls) = &self.options.tls {
            tls.reload_if_changed(self.context.sink.as_ref(), self.context.now());
        }
    }

    /// Whether the mirror can be read and the fallback handler is healthy.
    async fn check_health(&self) -> Result<(), &'static str> {
        match self.options.fallback.health_error() {
            Some(fault) => Err(fault),
            None => Arc::clone(&self.health).check().await,
        }
    }

    /// The counters.
    pub(super) fn metrics(&self) -> &ServerMetrics {
        &self.options.metrics
    }

    /// Answers a request from `peer` to the address `local`, counts it, and logs it if configured.
    pub(super) async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
        local: SocketAddr,
        peer: SocketAddr,
        account: &Arc<ConnectionBudget>,
    ) -> Response<OutgoingBody> {
        let line = self.options.logs_requests.then(|| AccessLogEntry::start(&request));
        let server = Arc::clone(&self);
        let (version, unread) = (request.version(), UnreadSlot::default());
        let request = request.map(|incoming| unread.track(incoming));
        let (kind, response) = self.dispatch(request, local, peer, account).await;
        let mut response = response.map(|body| reserve_body(account, body));
        let requested = kind.unwrap_or_else(|| kind_of_response(&response));
        let bytes = response.size_hint().exact().unwrap_or(0);
        server.metrics().record_response(requested, response.status(), bytes);
        if server.options.tls.is_some() {
            tls::set_hsts(response.headers_mut());
        }
        if let Some(line) = line {
            let context = &server.context;
            context.sink.event(line.finish(context.now().into(), peer, requested, &response));
        }
        match unread.take() {
            Some(unread) if version == Version::HTTP_2 => return end_after_request(response, unread),
            Some(_) => account.activity().linger_on_close(),
            None => {}
        }
        response
    }

    /// The response, and the kind of the request if its path shows it.
    async fn dispatch(
        self: Arc<Self>,
        request: Request<IncomingBody>,
        local: SocketAddr,
        peer: SocketAddr,
        account: &Arc<ConnectionBudget>,
    ) -> (Option<RequestKind>, Response<OutgoingBody>) {
        let (mut parts, body) = request.into_parts();
        let Some(host) = requested_host(&parts, local) else {
            let refusal = text_response(StatusCode::BAD_REQUEST, "invalid Host header: expected HOST or HOST:PORT\n");
            return (router::parse_path(parts.uri.path()).1, refusal);
        };
        let meta = RequestMeta {
            is_head: parts.method == Method::HEAD,
            is_http_10: parts.version < Version::HTTP_11,
            headers: std::mem::take(&mut parts.headers),
            budget: Some(Arc::clone(account)),
        };
        // If readers need a token, it is checked first.
        if (parts.method == Method::GET || meta.is_head)
            && !self.options.access.requires_reader_token()
            && let Some((file, response)) = self.cached_response(parts.uri.path(), &meta)
        {
            return (Some(file.kind()), self.reserve_or_defer(response, &file, &meta));
        }
        let (route, kind) = router::parse_path(parts.uri.path());
        (kind, self.answer(route, parts, body, meta, host, peer).await)
    }

    async fn answer(
        self: Arc<Self>,
        route: Route,
        mut parts: Parts,
        body: IncomingBody,
        meta: RequestMeta,
        host: String,
        peer: SocketAddr,
    ) -> Response<OutgoingBody> {
        let reads = parts.method == Method::GET || meta.is_head;
        let query = parts.uri.query().map(str::to_owned);
        let base_url = || self.client_base_url(&host, &meta.headers, peer);
        let settings = self.context.settings.current();
        let client = client_address(&meta.headers, peer.ip(), |address| settings.trusts_proxy(address));
        if let Route::Web(path) = &route {
            let (base, untrusted_proxy) = base_url();
            let origin = RequestOrigin { peer, client, base, host: host.clone(), untrusted_proxy };
            parts.headers = meta.headers.clone();
            let request = Request::from_parts(parts, body);
            let page = match &meta.budget {
                Some(account) => account.acquire_page().await,
                None => None,
            };
            if let Some(response) = self.options.fallback.handle(path.clone(), request, origin).await {
                return response.map(|body| body.with_page_permit(page));
            }
        }
        if !reads {
            let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, "this path only supports GET and HEAD\n");
            set_header(&mut response, ALLOW, "GET, HEAD");
            return response;
        }
        let closed = self.options.access.requires_reader_token();
        if closed && !route.is_public() {
            match self.may_read(&meta.headers, client).await {
                Ok(true) => {}
                Ok(false) => return unauthorized(&base_url().0),
                Err(throttled) => return too_many_wrong_tokens(throttled),
            }
        }
        match route {
            Route::Web(path) if path.is_empty() => {
                meta.generated_text(TEXT, landing_page(&base_url().0, closed, self.options.live.is_enabled()))
            }
            Route::Web(_) | Route::Invalid => not_found(),
            Route::Health => match self.check_health().await {
                Ok(()) => meta.generated_text(TEXT, "ok\n".to_owned()),
                Err(why) => text_response(StatusCode::SERVICE_UNAVAILABLE, why),
            },
            Route::Script(script) => {
                let small = self.small_profiles(script).await;
                match script.render(&base_url().0, query.as_deref(), closed, &small) {
                    Ok(text) => meta.generated_text(TEXT, text),
                    Err(why) => text_response(StatusCode::BAD_REQUEST, &why),
                }
            }
            Route::IndexConfig => {
                let mut response = meta.generated_text(JSON, registry::config_json(&base_url().0, closed));
                if self.options.live.is_enabled() {
                    set_header(&mut response, VIA, &self.options.live.via());
                }
                response
            }
            Route::File(file) => {
                let cached = if closed { self.cached_response(&format!("/{}", file.path()), &meta) } else { None };
                let response = match cached {
                    Some((_, response)) => self.reserve_or_defer(response, &file, &meta),
                    None => {
                        self.metrics().cache_misses.fetch_add(1, Ordering::Relaxed);
                        self.local_or_upstream(Arc::clone(&file), Arc::new(meta)).await
                    }
                };
                if closed { with_private_caching(response, &file) } else { response }
            }
        }
    }

    /// The response from the cache, and the file's route.
    fn cached_response(&self, path: &str, meta: &RequestMeta) -> Option<(Arc<FileRoute>, Response<OutgoingBody>)> {
        let cached = self.file_cache.get(path)?;
        let response = meta.cached_response(&cached)?;
        self.metrics().cache_hits.fetch_add(1, Ordering::Relaxed);
        Some((Arc::clone(&cached.route), response))
    }

    /// Reserves the body's share of the budget. Without space, the body is dropped and built again later. So a client
    /// that requests much and reads nothing occupies no more than its connection's share.
    fn reserve_or_defer(
        self: &Arc<Self>,
        response: Response<OutgoingBody>,
        file: &Arc<FileRoute>,
        meta: &RequestMeta,
    ) -> Response<OutgoingBody> {
        let (Some(account), Some((bytes, opens_file))) = (&meta.budget, response.body().cost()) else {
            return response;
        };
        if let Some(hold) = account.try_reserve(bytes, opens_file) {
            return response.map(|body| body.with_reservation(hold));
        }
        if response.body().is_streaming() {
            return response;
        }
        let (head, body) = response.into_parts();
        let length = body.size_hint().exact();
        drop(body);
        let (status, etag) = (head.status, head.headers.get(ETAG).cloned());
        let (server, file, account, requested) =
            (Arc::clone(self), Arc::clone(file), Arc::clone(account), Arc::new(meta.without_budget()));
        let later = async move {
            let hold = account.reserve(bytes, opens_file).await;
            let again = server.regenerate(file, requested).await;
            let is_same = again.status() == status
                && again.headers().get(ETAG) == etag.as_ref()
                && again.body().size_hint().exact() == length;
            // The client sees that the response breaks off, and retries.
            if is_same {
                Ok(again.into_body().with_reservation(hold))
            } else {
                Err(io::Error::other("the file has changed"))
            }
        };
        Response::from_parts(head, OutgoingBody::deferred(length, later))
    }

    /// Builds a local response again.
    fn regenerate(
        self: Arc<Self>,
        file: Arc<FileRoute>,
        meta: Arc<RequestMeta>,
    ) -> Pin<Box<dyn Future<Output = Response<OutgoingBody>> + Send>> {
        Box::pin(async move {
            let live = self.live_for_request(&meta.headers).map(Arc::clone);
            if let Some(live) = &live
                && let Some(response) = self.live_index_response(live, &file, &meta).await
            {
                return response;
            }
            let stored = self.local_response(&file, &meta, live.is_some()).await;
            stored.unwrap_or_else(|| absent_response(&file))
        })
    }

    /// Whether the request may read. Token files are read on a blocking thread.
    async fn may_read(&self, headers: &HeaderMap, client: IpAddr) -> Result<bool, Throttled> {
        let (access, fallback) = (Arc::clone(&self.options.access), Arc::clone(&self.options.fallback));
        let headers = headers.clone();
        let check = move || match fallback.is_authenticated(&headers) {
            true => Ok(true),
            false => access.may_read(&headers, client),
        };
        tokio::task::spawn_blocking(check).await.unwrap_or(Ok(false))
    }

    /// The base URL of this server as the client knows it, and whether an untrusted proxy reports another one.
    fn client_base_url(&self, host: &str, headers: &HeaderMap, peer: SocketAddr) -> (String, bool) {
        let settings = self.context.settings.current();
        if let Some(base) = settings.base_url.as_ref().filter(|_| self.options.applies_base_url) {
            return (base.to_string(), false);
        }
        let own = if self.options.tls.is_some() { "https" } else { "http" };
        let Forwarded { scheme, host: forwarded } = Forwarded::of(headers);
        let reported = format!("{}://{}", scheme.unwrap_or(own), forwarded.as_deref().unwrap_or(host));
        let trusts_scheme = settings.trusts_proxy(peer.ip());
        // Without a token, no operator has said that a proxy is in front of the server, and every local user could name a
        // host. A scheme cannot send a client to another server.
        let trusts_host = settings.is_listed_proxy(peer.ip()) || (trusts_scheme && self.options.access.has_token());
        let scheme = scheme.filter(|_| trusts_scheme).unwrap_or(own);
        let address = format!("{scheme}://{}", forwarded.as_deref().filter(|_| trusts_host).unwrap_or(host));
        if reported == address {
            return (address, false);
        }
        self.untrusted_proxies.report(peer.ip(), &address, self.context.sink.as_ref());
        (address, true)
    }

    /// The profile data that a bootstrap script needs.
    async fn small_profiles(&self, script: Script) -> Vec<SmallProfile> {
        if !script.is_bootstrap() {
            return Vec::new();
        }
        // Manifests are read on a blocking thread, so that a slow disk delays no other request.
        let context = self.context.clone();
        tokio::task::spawn_blocking(move || small_profiles(&context.toolchains())).await.unwrap_or_default()
    }

    /// A stored file; in live mode, otherwise one from upstream.
    async fn local_or_upstream(
        self: Arc<Self>,
        file: Arc<FileRoute>,
        meta: Arc<RequestMeta>,
    ) -> Response<OutgoingBody> {
        if let Some(response) = self.loop_response(&file, &meta.headers) {
            return response;
        }
        let live = self.live_for_request(&meta.headers).map(Arc::clone);
        if let Some(live) = &live {
            if let Some(response) = self.live_index_response(live, &file, &meta).await {
                return self.reserve_or_defer(response, &file, &meta);
            }
            if let FileRoute::Other(path) = &*file {
                live.refresh_dist_file(path).await;
            }
        }
        if let Some(stored) = self.local_response(&file, &meta, live.is_some()).await {
            // Only existing files are recorded: clients can invent any number of names.
            if let (Some(live), FileRoute::Crate(path, _) | FileRoute::Other(path)) = (&live, &*file)
                && !stored.status().is_client_error()
            {
                live.record_access(path);
            }
            return stored;
        }
        let fetched = match &live {
            Some(live) => self.fetch_missing(live, &file, &meta).await,
            None => None,
        };
        fetched.unwrap_or_else(|| absent_response(&file))
    }

    /// A stored file, read on a blocking thread, so that a slow disk delays no other request; `None` if it is absent.
    pub(super) async fn local_response(
        self: &Arc<Self>,
        file: &Arc<FileRoute>,
        meta: &Arc<RequestMeta>,
        live: bool,
    ) -> Option<Response<OutgoingBody>> {
        // The semaphore is never closed. A file that was read gets its share or is dropped before others are read.
        let _reading = self.read_permits.acquire().await.ok();
        let response = {
            let (server, file, requested) = (Arc::clone(self), Arc::clone(file), Arc::clone(meta));
            let answer = move || server.read_local(&file, &requested, live);
            tokio::task::spawn_blocking(answer).await.unwrap_or_else(|_| Some(internal_error()))
        };
        response.map(|response| self.reserve_or_defer(response, file, meta))
    }

    fn read_local(&self, file: &Arc<FileRoute>, meta: &RequestMeta, live: bool) -> Option<Response<OutgoingBody>> {
        // The order matters: a response that was read before live mode was enabled must not be cached for later.
        let policy = CachePolicy {
            settings_generation: self.file_cache.settings_generation(),
            // A crate's content is the same for all clients.
            is_shared: live || !self.options.live.is_enabled() || matches!(**file, FileRoute::Crate(..)),
            // A file that changes upstream must be checked there again soon.
            expires_at: (live && live::is_mutable_path(file.path())).then(|| Instant::now() + MUTABLE_FILE_TTL),
            now: (self.options.file_clock)(),
        };
        let answered = self.stored_response(file, policy, meta);
        self.file_cache.bump_epoch();
        answered.unwrap_or_else(|error| {
            self.context.sink.warning(format!("could not read `{}` of the mirror: {error}", file.path()));
            Some(if is_exhausted(&error) { unavailable() } else { internal_error() })
        })
    }

    /// The response with a stored file; `None` if it is absent.
    fn stored_response(
        &self,
        file: &Arc<FileRoute>,
        policy: CachePolicy,
        meta: &RequestMeta,
    ) -> io::Result<Option<Response<OutgoingBody>>> {
        let Some(source) = self.open_file(file.path())? else { return Ok(None) };
        let max_cached = if matches!(**file, FileRoute::Index(..)) { MAX_INDEX_FILE } else { MAX_CACHED_FILE };
        if source.stamp.size > max_cached {
            return meta.file_response(source, ContentHeaders::of(file)).map(Some);
        }
        let cached = self.file_cache.load(file, &source, conditional::accepts_gzip(&meta.headers), policy)?;
        Ok(Some(meta.cached_response(&cached).unwrap_or_else(internal_error)))
    }

    pub(super) fn open_file(&self, path: &SafePath) -> io::Result<Option<OpenFile>> {
        file::open(self.context.mirror.root(), path)
    }
}

/// The response for a file that is neither stored nor fetched.
fn absent_response(file: &FileRoute) -> Response<OutgoingBody> {
    match file {
        FileRoute::Crate(_, Some(id)) => text_response(StatusCode::NOT_FOUND, &registry::missing_crate_message(id)),
        FileRoute::Other(path) => text_response(StatusCode::NOT_FOUND, &registry::missing_file_message(path)),
        FileRoute::Crate(..) | FileRoute::Index(..) => not_found(),
    }
}

/// Reserves the share of a body that was not read from a file of the mirror, or that is streamed.
fn reserve_body(account: &Arc<ConnectionBudget>, body: OutgoingBody) -> OutgoingBody {
    let Some((bytes, file)) = body.cost() else { return body };
    if !file {
        return body.with_reservation(account.reserve_unchecked(bytes));
    }
    if let Some(hold) = account.try_reserve(bytes, file) {
        return body.with_reservation(hold);
    }
    let (length, account) = (body.size_hint().exact(), Arc::clone(account));
    OutgoingBody::deferred(length, async move { Ok(body.with_reservation(account.reserve(bytes, file).await)) })
}

/// The requested `HOST[:PORT]`; `None` if it is invalid. HTTP/1.0 needs no Host; then the connection's local address is
/// used.
fn requested_host(parts: &Parts, local: SocketAddr) -> Option<String> {
    let mut host_headers = parts.headers.get_all(HOST).iter();
    let header = host_headers.next();
    if host_headers.next().is_some() {
        return None;
    }
    let host = match (parts.uri.authority(), header) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(header)) => header.to_str().ok()?,
        (None, None) if parts.version < Version::HTTP_11 => return Some(canonical_address(local).to_string()),
        (None, None) => return None,
    };
    client_setup::is_host(host).then(|| host.to_owned())
}

/// Classifies a request whose path alone is ambiguous: an existing page, or anything else.
fn kind_of_response(response: &Response<OutgoingBody>) -> RequestKind {
    let is_page = response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
    if is_page { RequestKind::Page } else { RequestKind::Other }
}

/// Cargo repeats the request with its token if it has one, and otherwise shows the text.
fn unauthorized(base: &str) -> Response<OutgoingBody> {
    let text =
        "this registry requires a token: ask its operator for one, then run `cargo login --registry frostmirror`\n";
    let mut response = text_response(StatusCode::UNAUTHORIZED, text);
    set_header(&mut response, WWW_AUTHENTICATE, &format!("Cargo login_url=\"{base}/setup\""));
    response
}

/// Cargo waits as long as Retry-After says before it repeats the request.
fn too_many_wrong_tokens(throttled: Throttled) -> Response<OutgoingBody> {
    let text = format!("{}: {}\n", Throttled::MESSAGE, throttled.hint());
    let mut response = text_response(StatusCode::TOO_MANY_REQUESTS, &text);
    set_header(&mut response, RETRY_AFTER, &throttled.retry_after().to_string());
    response
}

/// Restricts a response that needs a token to the client's own cache.
fn with_private_caching(mut response: Response<OutgoingBody>, file: &FileRoute) -> Response<OutgoingBody> {
    let is_kept = response.headers().get(CACHE_CONTROL).is_some_and(|said| said == IMMUTABLE);
    if is_kept && !file.is_public() {
        set_header(&mut response, CACHE_CONTROL, PRIVATE_IMMUTABLE);
    }
    response
}
