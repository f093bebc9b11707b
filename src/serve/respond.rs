//! One request, one answer. What an answer says to a client names no path of this machine.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, ETAG, HOST, VIA, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::ServeOptions;
use super::access_log::Line;
use super::answer::{ASK_AGAIN, Asked, BINARY, FOR_EVER, JSON, TEXT, broken, busy, not_found, set, told};
use super::budget::{Account, Budget};
use super::conditions;
use super::counters::{Asked as Wanted, Counters};
use super::extension::At;
use super::file::{self, Content, Held};
use super::forwarded::{Forwarded, Untrusted};
use super::health::Health;
use super::hot::{Headers, Hot, Keeping, MAX_FILE};
use super::listen::{capacity, max_twins, plain_address};
use super::profiles::Profiles;
use super::registry::{self, MAX_TEXT};
use super::route::{self, Target};
use super::scripts::Script;
use super::tls::{self, Tls};
use super::twin::Room;
use crate::artifact::Kind;
use crate::client_config::{self, Client, SmallProfile};
use crate::crate_id::{CrateId, CrateName};
use crate::proxy;
use crate::safe_path::SafePath;

/// The same by the client itself alone: a proxy that kept it would give it to whoever asks, with a token or without.
const FOR_EVER_ITSELF: &str = "private, max-age=31536000, immutable";

/// Files that are looked up and read at one time, each of which is open meanwhile.
const READ_AT_ONCE: usize = 32;

/// How long a file that moves upstream is in memory in live mode.
const MOVES: Duration = Duration::from_millis(500);

/// What answers requests; one for all connections.
pub(super) struct Server {
    pub(super) options: ServeOptions,
    pub(super) hot: Hot,
    budget: Arc<Budget>,
    reading: Semaphore,
    untrusted: Untrusted,
    health: Arc<Health>,
    profiles: Profiles,
}

impl Server {
    pub(super) fn new(options: ServeOptions) -> Server {
        let proxy = options.proxy.clone();
        let generation = move || proxy.as_ref().map_or(0, |proxy| proxy.generation());
        let hot = Hot::new(&options.mirror, Box::new(generation), Room::new(max_twins()));
        let health = Health::of(options.mirror.clone());
        let (budget, reading) = (Budget::new(capacity().files, options.stalled_after), Semaphore::new(READ_AT_ONCE));
        let untrusted = Untrusted::default();
        Server { options, hot, budget, reading, untrusted, health, profiles: Profiles::default() }
    }

    /// What all answers together may hold.
    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// What takes TLS connections, where that is what they are to be.
    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.options.tls.as_deref().map(Tls::acceptor)
    }

    /// Takes a certificate that has changed. Call it where reading may block.
    pub(super) fn look_at_certificates(&self) {
        if let Some(tls) = &self.options.tls {
            // A clock before or after all times that can be calculated with says nothing of a certificate.
            let now = Timestamp::try_from((self.options.clock)()).unwrap_or_default();
            tls.look_again(self.options.sink.as_ref(), now);
        }
    }

    /// Whether the mirror can be read, and what serves beside it is at work.
    async fn health(&self) -> Result<(), &'static str> {
        match self.options.extension.as_ref().and_then(|extension| extension.fault()) {
            Some(fault) => Err(fault),
            None => Arc::clone(&self.health).now().await,
        }
    }

    /// The figures.
    pub(super) fn counters(&self) -> &Counters {
        &self.options.counters
    }

    /// Answers a request that came from `peer` to the address `local`, counts it, and reports it where that is wanted.
    pub(super) async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
        local: SocketAddr,
        peer: SocketAddr,
        account: &Arc<Account>,
    ) -> Response<Content> {
        let asked = Wanted::of_path(request.uri().path());
        let line = self.options.requests.then(|| Line::begin(&request));
        let server = Arc::clone(&self);
        let mut response = self.answer(request, local, peer, account).await.map(|body| within(account, body));
        let asked = asked.unwrap_or_else(|| wanted_by(&response));
        let bytes = response.size_hint().exact().unwrap_or(0);
        server.counters().answered(asked, response.status(), bytes);
        if server.options.tls.is_some() {
            tls::ask_for_it_always(response.headers_mut());
        }
        if let Some(line) = line {
            let options = &server.options;
            options.sink.event(line.end((options.clock)(), peer, asked, &response));
        }
        response
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        local: SocketAddr,
        peer: SocketAddr,
        account: &Arc<Account>,
    ) -> Response<Content> {
        let (parts, body) = request.into_parts();
        let Some(host) = host(&parts, local) else {
            return told(StatusCode::BAD_REQUEST, "the Host that was asked for is not HOST or HOST:PORT\n");
        };
        let reads = parts.method == Method::GET || parts.method == Method::HEAD;
        let is_old = parts.version < Version::HTTP_11;
        let asked = Asked {
            head: parts.method == Method::HEAD,
            is_old,
            headers: parts.headers,
            account: Some(Arc::clone(account)),
        };
        // The readers are asked first where they are to be asked at all.
        let closed = self.options.access.is_closed();
        if reads
            && !closed
            && let Some(response) = self.at_hand(parts.uri.path(), &asked)
        {
            return self.admit(response, || Arc::new(route::target(parts.uri.path())), &asked);
        }
        let target = route::target(parts.uri.path());
        if let Some(extension) = &self.options.extension
            && matches!(target, Target::Nothing | Target::Front)
        {
            let (base, untrusted_proxy) = self.address(&host, &asked.headers, peer);
            let at = At { peer, base, host: host.clone(), untrusted_proxy };
            let mut request = Request::new(body);
            (*request.method_mut(), *request.version_mut()) = (parts.method, parts.version);
            (*request.uri_mut(), *request.headers_mut()) = (parts.uri.clone(), asked.headers.clone());
            let page = account.page().await;
            if let Some(response) = extension.answer(request, at).await {
                return response.map(|body| body.keeping_page(page));
            }
        }
        if !reads {
            let mut response = told(StatusCode::METHOD_NOT_ALLOWED, "this path only knows GET and HEAD\n");
            set(&mut response, ALLOW, "GET, HEAD");
            return response;
        }
        if closed && !is_for_everybody(&target) && !self.may_read(&asked.headers) {
            return unknown_reader(&self.address(&host, &asked.headers, peer).0);
        }
        if closed && let Some(response) = self.at_hand(parts.uri.path(), &asked) {
            let target = Arc::new(target);
            return for_readers(self.admit(response, || Arc::clone(&target), &asked), &target);
        }
        let query = parts.uri.query().map(str::to_owned);
        match target {
            Target::Nothing => not_found(),
            Target::Health => match self.health().await {
                Ok(()) => asked.memory(TEXT, "ok\n".to_owned()),
                Err(why) => told(StatusCode::SERVICE_UNAVAILABLE, why),
            },
            Target::Front => {
                asked.memory(TEXT, front(&self.address(&host, &asked.headers, peer).0, closed, self.is_live()))
            }
            Target::Script(script) => {
                let small = self.small_profiles(script).await;
                match script.text(&self.address(&host, &asked.headers, peer).0, query.as_deref(), closed, &small) {
                    Ok(text) => asked.memory(TEXT, text),
                    Err(why) => told(StatusCode::BAD_REQUEST, &why),
                }
            }
            Target::IndexConfig => {
                let mut response =
                    asked.memory(JSON, registry::config_json(&self.address(&host, &asked.headers, peer).0, closed));
                if let Some(proxy) = self.options.proxy.as_ref().filter(|proxy| proxy.is_on()) {
                    set(&mut response, VIA, &proxy.via());
                }
                response
            }
            target => {
                self.counters().hot_misses.fetch_add(1, Ordering::Relaxed);
                let target = Arc::new(target);
                let response = self.held_or_fetched(Arc::clone(&target), Arc::new(asked)).await;
                if closed { for_readers(response, &target) } else { response }
            }
        }
    }

    /// The answer where it is in memory.
    fn at_hand(&self, path: &str, asked: &Asked) -> Option<Response<Content>> {
        let response = asked.at_hand(&*self.hot.get(path)?)?;
        self.counters().hot_hits.fetch_add(1, Ordering::Relaxed);
        Some(response)
    }

    /// The answer, if its body may hold what it has; else the same one, whose body is made anew when there is room. A client
    /// that asks for much and takes nothing has no more than its connection's share.
    fn admit(
        self: &Arc<Self>,
        response: Response<Content>,
        target: impl FnOnce() -> Arc<Target>,
        asked: &Asked,
    ) -> Response<Content> {
        let (Some(account), Some((bytes, file))) = (&asked.account, response.body().cost()) else { return response };
        if let Some(hold) = account.try_hold(bytes, file) {
            return response.map(|body| body.holding(hold));
        }
        if response.body().is_coming() {
            return response;
        }
        let (head, body) = response.into_parts();
        let length = body.size_hint().exact();
        drop(body);
        let (status, etag) = (head.status, head.headers.get(ETAG).cloned());
        let (server, target, account, asked) =
            (Arc::clone(self), target(), Arc::clone(account), Arc::new(asked.again()));
        let later = async move {
            let hold = account.wait_to_hold(bytes, file).await;
            let again = server.same_again(target, asked).await;
            let is_same = again.status() == status
                && again.headers().get(ETAG) == etag.as_ref()
                && again.body().size_hint().exact() == length;
            // The client sees that the answer breaks off, and asks anew.
            if is_same { Ok(again.into_body().holding(hold)) } else { Err(io::Error::other("the file has changed")) }
        };
        Response::from_parts(head, Content::later(length, later))
    }

    /// What was the answer a moment ago, of what is held.
    fn same_again(
        self: Arc<Self>,
        target: Arc<Target>,
        asked: Arc<Asked>,
    ) -> Pin<Box<dyn Future<Output = Response<Content>> + Send>> {
        Box::pin(async move {
            let proxy = self.proxy_for(&asked.headers).map(Arc::clone);
            if let (Some(proxy), Some((name, path))) = (&proxy, index_of(&target))
                && let Some(response) = self.offered(proxy, &name, path.clone(), &asked).await
            {
                return response;
            }
            self.held(&target, &asked, proxy.is_some()).await
        })
    }

    fn is_live(&self) -> bool {
        self.options.proxy.as_ref().is_some_and(|proxy| proxy.is_on())
    }

    fn may_read(&self, headers: &HeaderMap) -> bool {
        self.options.access.may_read(headers)
            || self.options.extension.as_ref().is_some_and(|extension| extension.knows(headers))
    }

    /// The address of this server as the client knows it, and whether a proxy that nobody trusts says otherwise.
    fn address(&self, host: &str, headers: &HeaderMap, peer: SocketAddr) -> (String, bool) {
        if let Some(base) = (self.options.base_url)() {
            return (base.to_string(), false);
        }
        let own = if self.options.tls.is_some() { "https" } else { "http" };
        let Forwarded { scheme, host: forwarded } = Forwarded::of(headers);
        let known = format!("{}://{}", scheme.unwrap_or(own), forwarded.as_deref().unwrap_or(host));
        let address = format!("{own}://{host}");
        if known == address || (self.options.trusts_proxy)(peer.ip()) {
            return (known, false);
        }
        self.untrusted.report(peer.ip(), &address, self.options.sink.as_ref());
        (address, true)
    }

    /// What a bootstrap must know of profiles.
    async fn small_profiles(self: &Arc<Self>, script: Script) -> Arc<Vec<SmallProfile>> {
        if !script.is_bootstrap() {
            return Arc::default();
        }
        // Manifests are read where waiting for a disk holds up nobody else.
        let server = Arc::clone(self);
        tokio::task::spawn_blocking(move || server.profiles.now(&server.options.mirror)).await.unwrap_or_default()
    }

    /// What is held; where live mode is on, what upstream has besides.
    async fn held_or_fetched(self: Arc<Self>, target: Arc<Target>, asked: Arc<Asked>) -> Response<Content> {
        let proxy = self.proxy_for(&asked.headers).map(Arc::clone);
        if let (Some(proxy), Some((name, path))) = (&proxy, index_of(&target))
            && let Some(response) = self.offered(proxy, &name, path.clone(), &asked).await
        {
            return self.admit(response, || Arc::clone(&target), &asked);
        }
        if let (Some(proxy), Target::File(path)) = (&proxy, &*target) {
            proxy.freshen(path).await;
        }
        let response = self.held(&target, &asked, proxy.is_some()).await;
        // Only of what is there: names that strangers make up are not written down.
        if let (Some(proxy), Target::Crate(path, _) | Target::File(path)) = (&proxy, &*target)
            && !response.status().is_client_error()
        {
            proxy.gives(path);
        }
        match proxy {
            Some(proxy) if response.status() == StatusCode::NOT_FOUND => {
                self.fetched(&proxy, &target, &asked).await.unwrap_or(response)
            }
            _ => response,
        }
    }

    /// What is held. Files are read where waiting for a disk holds up nobody else.
    pub(super) async fn held(
        self: &Arc<Self>,
        target: &Arc<Target>,
        asked: &Arc<Asked>,
        live: bool,
    ) -> Response<Content> {
        // It is never closed. What is read has its share, or is dropped, before others are read.
        let _reading = self.reading.acquire().await.ok();
        let response = {
            let (server, target, asked) = (Arc::clone(self), Arc::clone(target), Arc::clone(asked));
            let answer = move || server.read_and_answer(&target, &asked, live);
            tokio::task::spawn_blocking(answer).await.unwrap_or_else(|_| broken())
        };
        self.admit(response, || Arc::clone(target), asked)
    }

    fn read_and_answer(&self, target: &Target, asked: &Asked, live: bool) -> Response<Content> {
        // In this order: what is read before live mode is switched on is not kept for later.
        let keeping = Keeping {
            generation: self.hot.generation(),
            is_for_all: live || !self.options.proxy.as_ref().is_some_and(|proxy| proxy.is_on()),
            until: None,
            now: (self.options.clock)(),
        };
        let (path, answered) = match target {
            Target::Index(path) => (path, self.index(path, keeping, asked)),
            Target::Crate(path, id) => (path, self.krate(path, id.as_ref(), keeping, asked)),
            Target::File(path) => (path, self.plain(path, live, keeping, asked)),
            Target::Front | Target::Health | Target::IndexConfig | Target::Script(_) | Target::Nothing => {
                return not_found();
            }
        };
        self.hot.learned();
        answered.unwrap_or_else(|error| {
            self.options.sink.warning(format!("could not read `{path}` of the mirror: {error}"));
            if is_exhausted(&error) { busy() } else { broken() }
        })
    }

    fn index(&self, path: &SafePath, keeping: Keeping, asked: &Asked) -> io::Result<Response<Content>> {
        let Some(held) = self.open(path)? else { return Ok(not_found()) };
        if held.stamp.size > MAX_TEXT {
            return asked.part_of(held, TEXT, ASK_AGAIN);
        }
        let gzip = conditions::accepts_gzip(&asked.headers);
        let headers = Headers { kind: TEXT, caching: ASK_AGAIN };
        let kept = self.hot.text(path, &held, gzip, headers, keeping)?;
        Ok(asked.at_hand(&kept).unwrap_or_else(broken))
    }

    fn krate(
        &self,
        path: &SafePath,
        id: Option<&CrateId>,
        keeping: Keeping,
        asked: &Asked,
    ) -> io::Result<Response<Content>> {
        // A crate's bytes are the same for all.
        let response = self.file(path, BINARY, FOR_EVER, Keeping { is_for_all: true, ..keeping }, asked)?;
        Ok(match id {
            Some(id) if response.status() == StatusCode::NOT_FOUND => {
                told(StatusCode::NOT_FOUND, &registry::missing_crate(id))
            }
            _ => response,
        })
    }

    fn plain(&self, path: &SafePath, live: bool, keeping: Keeping, asked: &Asked) -> io::Result<Response<Content>> {
        // What moves upstream is looked for there again before long.
        let until = (live && proxy::moves(path)).then(|| Instant::now() + MOVES);
        let response = self.file(path, type_of(path), ASK_AGAIN, Keeping { until, ..keeping }, asked)?;
        Ok(match response.status() {
            StatusCode::NOT_FOUND => told(StatusCode::NOT_FOUND, &registry::missing_file(path)),
            _ => response,
        })
    }

    fn file(
        &self,
        path: &SafePath,
        kind: &'static str,
        caching: &'static str,
        keeping: Keeping,
        asked: &Asked,
    ) -> io::Result<Response<Content>> {
        let Some(held) = self.open(path)? else { return Ok(not_found()) };
        if held.stamp.size > MAX_FILE {
            return asked.part_of(held, kind, caching);
        }
        let kept = self.hot.file(path, &held, Headers { kind, caching }, keeping)?;
        Ok(asked.at_hand(&kept).unwrap_or_else(broken))
    }

    pub(super) fn open(&self, path: &SafePath) -> io::Result<Option<Held>> {
        let mirror: &Path = &self.options.mirror;
        file::open(mirror, path)
    }
}

/// The share of a body that was not made by reading a file of the mirror, or comes as it comes.
fn within(account: &Arc<Account>, body: Content) -> Content {
    let Some((bytes, file)) = body.cost() else { return body };
    if !file {
        return body.holding(account.hold_anyway(bytes));
    }
    if let Some(hold) = account.try_hold(bytes, file) {
        return body.holding(hold);
    }
    let (length, account) = (body.size_hint().exact(), Arc::clone(account));
    Content::later(length, async move { Ok(body.holding(account.wait_to_hold(bytes, file).await)) })
}

fn index_of(target: &Target) -> Option<(CrateName, &SafePath)> {
    let Target::Index(path) = target else { return None };
    Some((path.as_str().rsplit('/').next()?.parse().ok()?, path))
}

/// The `HOST[:PORT]` that was asked for; `None` where it is none. HTTP/1.0 needs no Host; then the connection's own address serves.
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
fn front(base: &str, closed: bool, live: bool) -> String {
    let lines = match client_config::BaseUrl::parse(base) {
        Ok(base) => Client { wants_token: closed, ..Client::of_server(base) }.cargo_config(),
        Err(_) => client_config::cargo_config(base),
    };
    let holds = match live {
        true => "It fetches from upstream what it does not hold yet.",
        false => "It has the crates that were brought here, and no others.",
    };
    let (flag, login) = match closed {
        true => (" --auth-required", "\nIt asks for a token: cargo login --registry frostmirror\n"),
        false => ("", ""),
    };
    format!(
        "This is a mirror of crates.io, served by cargo-frostmirror. {holds}\n\nTo use it, put this into \
         $CARGO_HOME/config.toml, or run `cargo frostmirror setup --write --url {base}{flag}`:\n\n{lines}{login}\n\
         Where toolchains are here too, this installs rustup and Rust:\n\n    \
         curl -fsS {base}/rustup-init.sh | sh\n\nand on Windows, in PowerShell:\n\n    \
         Invoke-RestMethod {base}/rustup-init.ps1 | Invoke-Expression\n\nWhere rustup is there already, \
         {base}/api/setup/rustup-env.sh and {base}/api/setup/rustup-env.ps1 point it here.\n"
    )
}

/// What was asked for, where the path alone does not tell: a page that is there, and everything else.
fn wanted_by(response: &Response<Content>) -> Wanted {
    let is_page = response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
    if is_page { Wanted::Page } else { Wanted::Other }
}

pub(super) fn type_of(path: &SafePath) -> &'static str {
    let name = path.as_str();
    let is = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    match () {
        () if is(&[".json"]) => JSON,
        () if is(&[".toml", ".sha256", ".asc"]) => TEXT,
        () => BINARY,
    }
}

/// What rustup asks for, which sends no token, and what tells a client how to get on.
fn is_for_everybody(target: &Target) -> bool {
    match target {
        Target::Health | Target::Script(_) | Target::Nothing | Target::Front => true,
        Target::File(path) => matches!(Kind::of_path(path), Some(Kind::Dist | Kind::Rustup)),
        Target::IndexConfig | Target::Index(_) | Target::Crate(..) => false,
    }
}

/// Cargo asks again with its token when it has one, and shows the text when it has none.
fn unknown_reader(base: &str) -> Response<Content> {
    let text = "this registry is for those who have a token: ask its operator for one, and give it to `cargo login \
                --registry frostmirror`\n";
    let mut response = told(StatusCode::UNAUTHORIZED, text);
    set(&mut response, WWW_AUTHENTICATE, &format!("Cargo login_url=\"{base}/setup\""));
    response
}

/// What only readers may have, as no one but themselves may keep it.
fn for_readers(mut response: Response<Content>, target: &Target) -> Response<Content> {
    let is_kept = response.headers().get(CACHE_CONTROL).is_some_and(|said| said == FOR_EVER);
    if is_kept && !is_for_everybody(target) {
        set(&mut response, CACHE_CONTROL, FOR_EVER_ITSELF);
    }
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
