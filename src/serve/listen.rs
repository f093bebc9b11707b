//! Connections: accepted within bounds, kept from idling, and ended in good order.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::budget::{Account, ENOUGH, QUIET_AFTER as PRESSED_AFTER, Streams};
use super::file::Content;
use super::file::PIECE;
use super::patient::{Patient, Pulse};
use super::respond::Server;
use super::tls;
use super::twin;

/// Connections at one time. Cargo opens two at most for each of its phases.
const MAX_CONNECTIONS: u64 = 4096;
/// Where there are as many as there may be, the one that was of no use for longest ends for a new one, when this is how
/// long; else the new one waits in the system's queue.
const QUIET_AFTER: Duration = Duration::from_secs(1);
/// Connections beyond those that may be, which were let go and are not closed yet.
const CLOSING: usize = 16;
/// How long a connection may take to agree on a secret.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection may take to send a request's headers, and to send nothing between two requests.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);
/// The same for HTTP/2, where one connection carries all that a client asks for.
const IDLE_WITHIN: Duration = Duration::from_secs(120);
/// Requests at one time on one connection of HTTP/2.
const MAX_STREAMS: u32 = 128;
/// Bytes of the headers of a request over HTTP/2 (over HTTP/1.1 it is what one piece and one read hold), which are a hundred
/// at most by hyper's own bound.
const MAX_HEADERS: usize = 16 * 1024;
/// How often the server looks whether connections that take nothing hold too much.
const RELIEVE_EVERY: Duration = Duration::from_millis(250);
/// Descriptors for all that is neither a connection nor a file that is sent.
const OTHERS: u64 = 64;
/// How long requests in flight may go on after the end was asked for.
const GRACE: Duration = Duration::from_secs(30);
/// How long to wait when the system has no more descriptors to give, or no connection can be let go.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Accepts and serves connections until `shutdown`, and then finishes those that are there.
pub(super) async fn run(listener: TcpListener, server: Arc<Server>, shutdown: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let mut crowd = Crowd { most: capacity().connections, tasks: JoinSet::new(), open: HashMap::new() };
    let mut certificates = interval(tls::LOOK_EVERY);
    let mut looks = interval(RELIEVE_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let is_secured = server.acceptor().is_some();
    let mut shutdown = pin!(shutdown);
    loop {
        let has_room = crowd.has_room();
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = crowd.tasks.join_next_with_id() => crowd.forget(ended),
            accepted = listener.accept(), if has_room => match accepted {
                Ok((stream, peer)) => {
                    crowd.make_room();
                    let account = Account::new(server.budget(), Pulse::new());
                    let own = Arc::clone(&account);
                    let connection = connection(stream, peer, Arc::clone(&server), graceful.watcher(), own);
                    crowd.join(connection, account);
                }
                Err(e) if is_of_the_client(&e) => {}
                Err(_) => sleep(EXHAUSTED).await,
            },
            () = sleep(EXHAUSTED), if !has_room => {}
            _ = looks.tick() => crowd.relieve(server.budget().excess()),
            _ = certificates.tick(), if is_secured => {
                let server = Arc::clone(&server);
                // Nobody waits for it; a look that takes long is followed by the next.
                drop(spawn_blocking(move || server.look_at_certificates()));
            }
        }
    }
    drop(listener);
    // Those that are not done by then are dropped with the crowd.
    let _late = timeout(GRACE, graceful.shutdown()).await.is_err();
}

/// All connections.
struct Crowd {
    most: usize,
    tasks: JoinSet<()>,
    open: HashMap<Id, Member>,
}

/// One connection.
struct Member {
    handle: AbortHandle,
    account: Arc<Account>,
    /// When it had last taken enough, and all that it had taken by then.
    mark: (Instant, u64),
}

impl Crowd {
    fn is_full(&self) -> bool {
        self.open.len() >= self.most
    }

    /// Whether one more may come, be it in the place of another. Those that were let go close a moment later.
    fn has_room(&self) -> bool {
        !self.is_full() || (self.tasks.len() < self.most + CLOSING && self.quietest().is_some())
    }

    /// Lets the quietest go where that is needed for one more.
    fn make_room(&mut self) {
        if self.is_full()
            && let Some(quiet) = self.quietest()
            && let Some(member) = self.open.remove(&quiet)
        {
            member.handle.abort();
        }
    }

    fn join(&mut self, connection: impl Future<Output = ()> + Send + 'static, account: Arc<Account>) {
        let handle = self.tasks.spawn(connection);
        self.open.insert(handle.id(), Member { handle, account, mark: (Instant::now(), 0) });
    }

    /// Notes who took enough lately. Where too much is held, those that did not and hold the most are let go, until the
    /// excess is gone or all that are left take what they asked for.
    fn relieve(&mut self, excess: usize) {
        for member in self.open.values_mut() {
            let taken = member.account.taken();
            // Who held nothing since had nothing to take.
            if taken - member.mark.1 >= ENOUGH || member.account.load() == 0 {
                member.mark = (Instant::now(), taken);
            }
        }
        if excess == 0 {
            return;
        }
        let is_quiet = |member: &Member| member.mark.0.elapsed() >= PRESSED_AFTER;
        let quiet = self.open.iter().filter(|(_, member)| is_quiet(member));
        let mut quiet: Vec<(usize, Id)> = quiet.map(|(id, member)| (member.account.load(), *id)).collect();
        quiet.sort_unstable_by_key(|(held, _)| std::cmp::Reverse(*held));
        let mut left = excess;
        for (held, id) in quiet {
            if left == 0 {
                break;
            }
            if let Some(member) = self.open.remove(&id) {
                member.handle.abort();
            }
            left = left.saturating_sub(held);
        }
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.open.remove(&id);
    }

    /// The connection to which nothing was sent for longest: one that idles, that never finishes asking, or whose client
    /// takes nothing. Who came a moment ago or takes what it asked for is none of these.
    fn quietest(&self) -> Option<Id> {
        let last = |member: &Member| member.account.pulse().last();
        let (id, member) = self.open.iter().min_by_key(|(_, member)| last(member))?;
        (last(member).elapsed() >= QUIET_AFTER).then_some(*id)
    }
}

/// How many clients the limit of open files bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Connections at one time.
    pub connections: usize,
    /// Files that may be open to be sent.
    pub files: usize,
    /// The limit of open files; `None`: there is none, or none is known.
    pub limit: Option<u64>,
}

/// The capacity under the limit of open files that this process has now. Each connection needs a descriptor for itself, and
/// may need one for the file that it sends.
pub fn capacity() -> Capacity {
    let limit = open_files();
    Capacity { limit: (limit < u64::MAX).then_some(limit), ..capacity_of(limit) }
}

fn capacity_of(limit: u64) -> Capacity {
    let left = limit.saturating_sub(OTHERS + twin::most(limit));
    let half = usize::try_from((left / 2).clamp(OTHERS, MAX_CONNECTIONS)).unwrap_or(usize::MAX);
    Capacity { connections: half, files: half, limit: None }
}

/// How many bodies may be open files of their own.
#[cfg(unix)]
pub(super) fn max_twins() -> u64 {
    twin::most(open_files())
}

#[cfg(not(unix))]
pub(super) fn max_twins() -> u64 {
    0
}

#[cfg(unix)]
fn open_files() -> u64 {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(not(unix))]
fn open_files() -> u64 {
    u64::MAX
}

/// One connection until its end. A client that goes away in the middle is its own affair.
async fn connection(stream: TcpStream, peer: SocketAddr, server: Arc<Server>, watcher: Watcher, account: Arc<Account>) {
    // An answer leaves at once, even when it is smaller than a packet.
    let (Ok(()), Ok(local)) = (stream.set_nodelay(true), stream.local_addr()) else { return };
    let counted = Arc::clone(&server);
    let _connected = counted.counters().connected();
    let acceptor = server.acceptor();
    let is_plain = acceptor.is_none();
    let stream = Patient::new(stream, account.pulse().clone(), account.stalled_after());
    let asker = Asker { server: Arc::clone(&server), local, peer: plain_address(peer), account, is_plain };
    let Some(acceptor) = acceptor else {
        return over_http1(stream, asker, watcher).await;
    };
    let Ok(Ok(stream)) = timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await else { return };
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => over_http2(stream, asker, watcher).await,
        _ => over_http1(stream, asker, watcher).await,
    }
}

/// HTTP/1.1. An `Upgrade: h2c`, which cargo sends with every plain request, is ignored. A body that comes with a request
/// is read as far as it is there already; where more is to come, the connection ends after the answer.
async fn over_http1<S>(stream: S, asker: Asker, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| asker.clone().ask(request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).max_buf_size(PIECE);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let _gone = watcher.watch(connection).await.is_err();
}

/// HTTP/2, over TLS only. Floods of requests that are taken back are ended by hyper's own bounds.
async fn over_http2<S>(stream: S, asker: Asker, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let account = Arc::clone(&asker.account);
    let service = service_fn(move |request: Request<Incoming>| asker.clone().ask(request));
    let mut http = http2::Builder::new(Streams(Arc::clone(&account)));
    http.timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEADERS).unwrap_or(u32::MAX))
        .max_send_buf_size(PIECE);
    let connection = watcher.watch(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection => drop(ended),
        () = idle(&account) => {}
    }
}

/// Takes the requests of one connection to the server.
#[derive(Clone)]
struct Asker {
    server: Arc<Server>,
    local: SocketAddr,
    peer: SocketAddr,
    account: Arc<Account>,
    /// Whether what is sent leaves as it is.
    is_plain: bool,
}

impl Asker {
    async fn ask(self, request: Request<Incoming>) -> Result<Response<Content>, Infallible> {
        // What comes while a request is being answered is its body, and as good as what is sent.
        let _taking = self.account.pulse().takes();
        let mut response = self.server.respond(request, self.local, self.peer, &self.account).await;
        self.account.pulse().beat();
        if self.is_plain {
            self.account.pulse().sends(response.body_mut().give_twin().as_ref());
        }
        Ok(response)
    }
}

/// Until a client asked for nothing and took nothing for so long that it is not to be waited for.
async fn idle(account: &Account) {
    loop {
        let within = if account.held() > 0 { account.stalled_after() } else { IDLE_WITHIN };
        let until = account.pulse().last() + within;
        if until <= Instant::now() {
            return;
        }
        // An answer may begin to wait for its client meanwhile.
        sleep_until(until.min(Instant::now() + account.stalled_after() / 2)).await;
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// The address as a client would write it: an IPv4 address that came over an IPv6 socket is one again.
pub(super) fn plain_address(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::budget::{Budget, Piece, STALLED_AFTER};
    use bytes::{Buf, Bytes};

    fn crowd(most: usize) -> (Arc<Budget>, Crowd) {
        (Budget::new(100, STALLED_AFTER), Crowd { most, tasks: JoinSet::new(), open: HashMap::new() })
    }

    #[tokio::test]
    async fn the_quietest_goes_for_a_new_one() {
        let (budget, mut crowd) = crowd(2);
        let now = Instant::now();
        // However long this test is held up, the busy one is not quiet.
        let (quiet, busy) = (now - 2 * QUIET_AFTER, now + Duration::from_secs(3600));
        let join = |crowd: &mut Crowd, opened| {
            crowd.join(std::future::pending(), Account::new(&budget, Pulse::since(opened)));
        };
        for _ in 0..2 {
            join(&mut crowd, busy);
        }
        assert!(crowd.is_full() && !crowd.has_room(), "nobody is quiet yet");
        let (_, mut crowd) = self::crowd(2);
        join(&mut crowd, quiet);
        let first = *crowd.open.keys().next().expect("one");
        join(&mut crowd, busy);
        assert!(crowd.has_room());
        crowd.make_room();
        assert!(!crowd.is_full() && crowd.open.len() == 1 && !crowd.open.contains_key(&first));
        let ended = crowd.tasks.join_next_with_id().await.expect("two");
        assert!(ended.as_ref().is_err_and(|error| error.is_cancelled() && error.id() == first));
        crowd.forget(ended);
        assert_eq!((crowd.open.len(), crowd.tasks.len()), (1, 1));
    }

    #[tokio::test]
    async fn under_pressure_those_go_that_hold_the_most_and_take_nothing() {
        let (budget, mut crowd) = crowd(10);
        let accounts: Vec<_> = (0..4).map(|_| Account::new(&budget, Pulse::new())).collect();
        for account in &accounts {
            crowd.join(std::future::pending(), Arc::clone(account));
        }
        // Nothing; much, and it takes it; a little; much.
        let mut holds: Vec<_> =
            [(1, 500_000), (2, 10_000), (3, 400_000)].map(|(at, bytes)| accounts[at].try_hold(bytes, false)).into();
        let far = Instant::now() - 2 * PRESSED_AFTER;
        crowd.open.values_mut().for_each(|member| member.mark.0 = far);
        let taken = Bytes::from(vec![0; usize::try_from(ENOUGH).expect("small")]);
        let length = taken.len();
        Piece::new(taken, holds[0].clone()).advance(length);
        crowd.relieve(0);
        assert_eq!(crowd.open.len(), 4, "there is no pressure");
        let is_there =
            |crowd: &Crowd, at: usize| crowd.open.values().any(|member| Arc::ptr_eq(&member.account, &accounts[at]));
        crowd.relieve(100);
        assert!(!is_there(&crowd, 3) && is_there(&crowd, 2) && is_there(&crowd, 1) && is_there(&crowd, 0));
        crowd.relieve(10_000);
        assert!(!is_there(&crowd, 2) && is_there(&crowd, 1) && is_there(&crowd, 0));
        holds.clear();
    }

    #[test]
    fn the_limit_of_open_files_bounds_connections_and_files() {
        for (limit, half) in [(10, 64), (300, 99), (1024, 416), (9472, 4096), (u64::MAX, 4096)] {
            let capacity = capacity_of(limit);
            assert_eq!((capacity.connections, capacity.files), (half, half), "{limit}");
        }
    }

    #[test]
    fn mapped_addresses_are_written_plainly() {
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:80".parse().expect("address");
        assert_eq!(plain_address(mapped).to_string(), "10.0.0.1:80");
    }
}
