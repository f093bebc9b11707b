//! Connections: accepted within limits, closed when idle, and shut down in order.

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

use super::capacity::capacity;
use super::file::OutgoingBody;
use super::forwarded::canonical_address;
use super::handler::Server;
use super::response_budget::{CHUNK_SIZE, ConnectionBudget, MIN_PROGRESS_BYTES, PRESSURE_WINDOW, StreamExecutor};
use super::stall_timeout::{ConnectionActivity, StallTimeoutStream};
use super::tls;

/// At the limit, the most idle connection is closed for a new one if it was idle for this long. Otherwise the new one
/// waits in the system's queue.
const MIN_IDLE_BEFORE_EVICTION: Duration = Duration::from_secs(1);
/// Maximum number of evicted connections that are not closed yet; they exceed the limit.
const MAX_CLOSING: usize = 16;
/// Timeout of a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for a request's headers, and for the pause between two requests.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Idle timeout of an HTTP/2 connection, which carries all requests of a client.
const HTTP2_IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// Maximum number of concurrent requests on one HTTP/2 connection.
const MAX_HTTP2_STREAMS: u32 = 128;
/// Maximum bytes of the headers of an HTTP/2 request. (HTTP/1.1 is limited by its read buffer.) hyper itself limits
/// their number to a hundred.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// How often the server checks whether stalled connections exceed the budget.
const SHED_INTERVAL: Duration = Duration::from_millis(250);
/// How long open requests may continue after shutdown began.
const SHUTDOWN_GRACE_PERIOD: Duration = Duration::from_secs(30);
/// Delay after the system had no file descriptor left, or no connection could be evicted.
const EXHAUSTED_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Accepts and serves connections until `shutdown`, then waits for the open ones.
pub(super) async fn run(listener: TcpListener, server: Arc<Server>, shutdown: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let mut crowd =
        ConnectionSet { max_connections: capacity().connections, tasks: JoinSet::new(), connections: HashMap::new() };
    let mut certificates = interval(tls::RELOAD_INTERVAL);
    let mut looks = interval(SHED_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let is_secured = server.tls_acceptor().is_some();
    let mut shutdown = pin!(shutdown);
    loop {
        let has_space = crowd.can_accept();
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = crowd.tasks.join_next_with_id() => crowd.remove(ended),
            accepted = listener.accept(), if has_space => match accepted {
                Ok((stream, peer)) => {
                    crowd.evict_if_full();
                    let account = ConnectionBudget::new(server.budget(), ConnectionActivity::new());
                    let own = Arc::clone(&account);
                    let connection = serve_connection(stream, peer, Arc::clone(&server), graceful.watcher(), own);
                    crowd.spawn(connection, account);
                }
                Err(e) if is_client_error(&e) => {}
                Err(_) => sleep(EXHAUSTED_RETRY_DELAY).await,
            },
            () = sleep(EXHAUSTED_RETRY_DELAY), if !has_space => {}
            _ = looks.tick() => crowd.shed_load(server.budget().excess()),
            _ = certificates.tick(), if is_secured => {
                let server = Arc::clone(&server);
                // The result is not awaited; a slow check is followed by the next.
                drop(spawn_blocking(move || server.reload_certificates()));
            }
        }
    }
    drop(listener);
    // Connections that are still open after the grace period are dropped with the set.
    let _late = timeout(SHUTDOWN_GRACE_PERIOD, graceful.shutdown()).await.is_err();
}

/// All connections.
struct ConnectionSet {
    max_connections: usize,
    tasks: JoinSet<()>,
    connections: HashMap<Id, ConnectionEntry>,
}

/// One connection.
struct ConnectionEntry {
    abort_handle: AbortHandle,
    budget: Arc<ConnectionBudget>,
    /// When it last made enough progress, and the bytes that it had read by then.
    progress_mark: (Instant, u64),
}

impl ConnectionSet {
    fn is_full(&self) -> bool {
        self.connections.len() >= self.max_connections
    }

    /// Whether one more connection may be accepted, possibly after an eviction. Evicted connections close a moment
    /// later.
    fn can_accept(&self) -> bool {
        !self.is_full() || (self.tasks.len() < self.max_connections + MAX_CLOSING && self.most_idle().is_some())
    }

    /// Evicts the most idle connection if a new one needs its slot.
    fn evict_if_full(&mut self) {
        if self.is_full()
            && let Some(quiet) = self.most_idle()
            && let Some(member) = self.connections.remove(&quiet)
        {
            member.abort_handle.abort();
        }
    }

    fn spawn(&mut self, connection: impl Future<Output = ()> + Send + 'static, account: Arc<ConnectionBudget>) {
        let handle = self.tasks.spawn(connection);
        self.connections.insert(
            handle.id(),
            ConnectionEntry { abort_handle: handle, budget: account, progress_mark: (Instant::now(), 0) },
        );
    }

    /// Records which connections made enough progress lately. Above the budget, it closes the others, largest first. It
    /// stops when the excess is gone or all remaining connections make progress.
    fn shed_load(&mut self, excess: usize) {
        for member in self.connections.values_mut() {
            let taken = member.budget.sent_bytes();
            // A connection that occupied nothing had nothing to read.
            if taken - member.progress_mark.1 >= MIN_PROGRESS_BYTES || member.budget.load() == 0 {
                member.progress_mark = (Instant::now(), taken);
            }
        }
        if excess == 0 {
            return;
        }
        let is_quiet = |member: &ConnectionEntry| member.progress_mark.0.elapsed() >= PRESSURE_WINDOW;
        let quiet = self.connections.iter().filter(|(_, member)| is_quiet(member));
        let mut quiet: Vec<(usize, Id)> = quiet.map(|(id, member)| (member.budget.load(), *id)).collect();
        quiet.sort_unstable_by_key(|(stored, _)| std::cmp::Reverse(*stored));
        let mut left = excess;
        for (stored, id) in quiet {
            if left == 0 {
                break;
            }
            if let Some(member) = self.connections.remove(&id) {
                member.abort_handle.abort();
            }
            left = left.saturating_sub(stored);
        }
    }

    fn remove(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.connections.remove(&id);
    }

    /// The most idle connection: one without requests, with an incomplete request, or whose client does not read. New
    /// connections and those that make progress do not count.
    fn most_idle(&self) -> Option<Id> {
        let last = |member: &ConnectionEntry| member.budget.activity().last_active();
        let (id, member) = self.connections.iter().min_by_key(|(_, member)| last(member))?;
        (last(member).elapsed() >= MIN_IDLE_BEFORE_EVICTION).then_some(*id)
    }
}

/// Serves one connection until its end. A client that disconnects early is not an error.
async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    server: Arc<Server>,
    watcher: Watcher,
    account: Arc<ConnectionBudget>,
) {
    // Sends a response at once, even if it is smaller than a packet.
    let (Ok(()), Ok(local)) = (stream.set_nodelay(true), stream.local_addr()) else { return };
    let counted = Arc::clone(&server);
    let _connected = counted.metrics().track_connection();
    let acceptor = server.tls_acceptor();
    let is_plain = acceptor.is_none();
    let stream = StallTimeoutStream::new(stream, account.activity().clone(), account.stalled_after());
    let handler =
        RequestHandler { server: Arc::clone(&server), local, peer: canonical_address(peer), budget: account, is_plain };
    let Some(acceptor) = acceptor else {
        return serve_http1(stream, handler, watcher).await;
    };
    let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await else { return };
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => serve_http2(stream, handler, watcher).await,
        _ => serve_http1(stream, handler, watcher).await,
    }
}

/// HTTP/1.1. `Upgrade: h2c`, which cargo sends with every plain request, is ignored. Of a request's body, only bytes
/// that have already arrived are read. If more would follow, the connection closes after the response.
async fn serve_http1<S>(stream: S, handler: RequestHandler, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| handler.clone().handle(request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT).max_buf_size(CHUNK_SIZE);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let _gone = watcher.watch(connection).await.is_err();
}

/// HTTP/2, only over TLS. hyper's own limits end floods of reset requests.
async fn serve_http2<S>(stream: S, handler: RequestHandler, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let account = Arc::clone(&handler.budget);
    // On the heap, where it takes no space of the stream while the response waits for its client.
    let service = service_fn(move |request: Request<Incoming>| Box::pin(handler.clone().handle(request)));
    let mut http = http2::Builder::new(StreamExecutor(Arc::clone(&account)));
    http.timer(TokioTimer::new())
        .max_concurrent_streams(MAX_HTTP2_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
        .max_send_buf_size(CHUNK_SIZE);
    let connection = watcher.watch(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection => drop(ended),
        () = wait_until_idle(&account) => {}
    }
}

/// Passes the requests of one connection to the server.
#[derive(Clone)]
struct RequestHandler {
    server: Arc<Server>,
    local: SocketAddr,
    peer: SocketAddr,
    budget: Arc<ConnectionBudget>,
    /// Whether bytes are sent unencrypted.
    is_plain: bool,
}

impl RequestHandler {
    async fn handle(self, request: Request<Incoming>) -> Result<Response<OutgoingBody>, Infallible> {
        // Bytes that arrive while a request is being answered belong to its body, and count as progress.
        let _taking = self.budget.activity().begin_request();
        let mut response = self.server.respond(request, self.local, self.peer, &self.budget).await;
        self.budget.activity().touch();
        if self.is_plain {
            self.budget.activity().set_sendfile_body(response.body_mut().take_memfd().as_ref());
        }
        Ok(response)
    }
}

/// Waits until a client has sent no request and read nothing for the idle timeout.
async fn wait_until_idle(account: &ConnectionBudget) {
    let deadline = || {
        let within = if account.reserved() > 0 { account.stalled_after() } else { HTTP2_IDLE_TIMEOUT };
        account.activity().last_active() + within
    };
    loop {
        let until = deadline();
        if until > Instant::now() {
            // A response may start to wait for its client meanwhile.
            sleep_until(until.min(Instant::now() + account.stalled_after() / 2)).await;
            continue;
        }
        // The same timeout resets the streams. The connection stays if only they waited for the client.
        sleep(account.stalled_after() / 8).await;
        if deadline() <= Instant::now() {
            return;
        }
    }
}

fn is_client_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::response_budget::{BodyChunk, Budget, STALL_TIMEOUT};
    use bytes::{Buf, Bytes};

    fn connection_set(most: usize) -> (Arc<Budget>, ConnectionSet) {
        (
            Budget::new(100, STALL_TIMEOUT),
            ConnectionSet { max_connections: most, tasks: JoinSet::new(), connections: HashMap::new() },
        )
    }

    #[tokio::test]
    async fn the_most_idle_connection_is_evicted_for_a_new_one() {
        let (budget, mut crowd) = connection_set(2);
        let now = Instant::now();
        // Even if this test is delayed, the busy connection is not idle.
        let (quiet, busy) = (now - 2 * MIN_IDLE_BEFORE_EVICTION, now + Duration::from_secs(3600));
        let join = |crowd: &mut ConnectionSet, opened| {
            crowd.spawn(std::future::pending(), ConnectionBudget::new(&budget, ConnectionActivity::since(opened)));
        };
        for _ in 0..2 {
            join(&mut crowd, busy);
        }
        assert!(crowd.is_full() && !crowd.can_accept(), "no connection is idle yet");
        let (_, mut crowd) = connection_set(2);
        join(&mut crowd, quiet);
        let first = *crowd.connections.keys().next().expect("one");
        join(&mut crowd, busy);
        assert!(crowd.can_accept());
        crowd.evict_if_full();
        assert!(!crowd.is_full() && crowd.connections.len() == 1 && !crowd.connections.contains_key(&first));
        let ended = crowd.tasks.join_next_with_id().await.expect("two");
        assert!(ended.as_ref().is_err_and(|error| error.is_cancelled() && error.id() == first));
        crowd.remove(ended);
        assert_eq!((crowd.connections.len(), crowd.tasks.len()), (1, 1));
    }

    #[tokio::test]
    async fn under_pressure_the_largest_stalled_connections_are_closed() {
        let (budget, mut crowd) = connection_set(10);
        let accounts: Vec<_> = (0..4).map(|_| ConnectionBudget::new(&budget, ConnectionActivity::new())).collect();
        for account in &accounts {
            crowd.spawn(std::future::pending(), Arc::clone(account));
        }
        // In order: nothing; much, with progress; a little; much.
        let mut holds: Vec<_> =
            [(1, 500_000), (2, 10_000), (3, 400_000)].map(|(at, bytes)| accounts[at].try_reserve(bytes, false)).into();
        let far = Instant::now() - 2 * PRESSURE_WINDOW;
        crowd.connections.values_mut().for_each(|member| member.progress_mark.0 = far);
        let taken = Bytes::from(vec![0; usize::try_from(MIN_PROGRESS_BYTES).expect("small")]);
        let length = taken.len();
        BodyChunk::new(taken, holds[0].clone()).advance(length);
        crowd.shed_load(0);
        assert_eq!(crowd.connections.len(), 4, "the budget is not exceeded");
        let is_there = |crowd: &ConnectionSet, at: usize| {
            crowd.connections.values().any(|member| Arc::ptr_eq(&member.budget, &accounts[at]))
        };
        crowd.shed_load(100);
        assert!(!is_there(&crowd, 3) && is_there(&crowd, 2) && is_there(&crowd, 1) && is_there(&crowd, 0));
        crowd.shed_load(10_000);
        assert!(!is_there(&crowd, 2) && is_there(&crowd, 1) && is_there(&crowd, 0));
        holds.clear();
    }
}
