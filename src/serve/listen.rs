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
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet, spawn_blocking};
use tokio::time::{interval, sleep, sleep_until, timeout};

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
/// How long requests in flight may go on after the end was asked for.
const GRACE: Duration = Duration::from_secs(30);
/// How long to wait when the system has no more descriptors to give, or no connection can be let go.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Accepts and serves connections until `shutdown`, and then finishes those that are there.
pub(super) async fn run(listener: TcpListener, server: Arc<Server>, shutdown: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let mut crowd = Crowd { most: max_connections(), tasks: JoinSet::new(), open: HashMap::new() };
    let mut certificates = interval(tls::LOOK_EVERY);
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
                    let pulse = Pulse::new();
                    let connection = connection(stream, peer, Arc::clone(&server), graceful.watcher(), pulse.clone());
                    crowd.join(connection, pulse);
                }
                Err(e) if is_of_the_client(&e) => {}
                Err(_) => sleep(EXHAUSTED).await,
            },
            () = sleep(EXHAUSTED), if !has_room => {}
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
    open: HashMap<Id, (AbortHandle, Pulse)>,
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
            && let Some((connection, _)) = self.open.remove(&quiet)
        {
            connection.abort();
        }
    }

    fn join(&mut self, connection: impl Future<Output = ()> + Send + 'static, pulse: Pulse) {
        let handle = self.tasks.spawn(connection);
        self.open.insert(handle.id(), (handle, pulse));
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.open.remove(&id);
    }

    /// The connection to which nothing was sent for longest: one that idles, that never finishes asking, or whose client
    /// takes nothing. Who came a moment ago or takes what it asked for is none of these.
    fn quietest(&self) -> Option<Id> {
        let (id, (_, pulse)) = self.open.iter().min_by_key(|(_, (_, pulse))| pulse.last())?;
        (pulse.last().elapsed() >= QUIET_AFTER).then_some(*id)
    }
}

/// As many as there are descriptors for: each needs one for itself, and may need one for the file that it sends.
#[cfg(unix)]
fn max_connections() -> usize {
    const OTHERS: u64 = 64;
    let limit = open_files();
    let most = (limit.saturating_sub(OTHERS + twin::most(limit)) / 2).clamp(OTHERS, MAX_CONNECTIONS);
    usize::try_from(most).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
fn max_connections() -> usize {
    usize::try_from(MAX_CONNECTIONS).unwrap_or(usize::MAX)
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

/// One connection until its end. A client that goes away in the middle is its own affair.
async fn connection(stream: TcpStream, peer: SocketAddr, server: Arc<Server>, watcher: Watcher, pulse: Pulse) {
    // An answer leaves at once, even when it is smaller than a packet.
    let (Ok(()), Ok(local)) = (stream.set_nodelay(true), stream.local_addr()) else { return };
    let counted = Arc::clone(&server);
    let _connected = counted.counters().connected();
    let acceptor = server.acceptor();
    let is_plain = acceptor.is_none();
    let asker = Asker { server: Arc::clone(&server), local, peer: plain_address(peer), pulse: pulse.clone(), is_plain };
    let stream = Patient::new(stream, pulse.clone());
    let Some(acceptor) = acceptor else {
        return over_http1(stream, asker, watcher).await;
    };
    let Ok(Ok(stream)) = timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await else { return };
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => over_http2(stream, asker, watcher, pulse).await,
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
async fn over_http2<S>(stream: S, asker: Asker, watcher: Watcher, pulse: Pulse)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| asker.clone().ask(request));
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEADERS).unwrap_or(u32::MAX))
        .max_send_buf_size(4 * PIECE);
    let connection = watcher.watch(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection => drop(ended),
        () = idle(&pulse) => {}
    }
}

/// Takes the requests of one connection to the server.
#[derive(Clone)]
struct Asker {
    server: Arc<Server>,
    local: SocketAddr,
    peer: SocketAddr,
    pulse: Pulse,
    /// Whether what is sent leaves as it is.
    is_plain: bool,
}

impl Asker {
    async fn ask(self, request: Request<Incoming>) -> Result<Response<Content>, Infallible> {
        // What comes while a request is being answered is its body, and as good as what is sent.
        let _taking = self.pulse.takes();
        let mut response = self.server.respond(request, self.local, self.peer).await;
        if self.is_plain {
            self.pulse.sends(response.body_mut().give_twin().as_ref());
        }
        Ok(response)
    }
}

/// Until a client took nothing for so long that it is not to be waited for.
async fn idle(pulse: &Pulse) {
    while pulse.last().elapsed() < IDLE_WITHIN {
        sleep_until(pulse.last() + IDLE_WITHIN).await;
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

    #[tokio::test]
    async fn the_quietest_goes_for_a_new_one() {
        let mut crowd = Crowd { most: 2, tasks: JoinSet::new(), open: HashMap::new() };
        crowd.join(std::future::pending(), Pulse::new());
        let first = *crowd.open.keys().next().expect("one");
        sleep(QUIET_AFTER.mul_f32(0.6)).await;
        crowd.join(std::future::pending(), Pulse::new());
        assert!(crowd.is_full() && !crowd.has_room(), "nobody is quiet yet");
        sleep(QUIET_AFTER.mul_f32(0.6)).await;
        assert!(crowd.has_room());
        crowd.make_room();
        assert!(!crowd.is_full() && crowd.open.len() == 1 && !crowd.open.contains_key(&first));
        let ended = crowd.tasks.join_next_with_id().await.expect("two");
        assert!(ended.as_ref().is_err_and(|error| error.is_cancelled() && error.id() == first));
        crowd.forget(ended);
        assert_eq!((crowd.open.len(), crowd.tasks.len()), (1, 1));
    }

    #[test]
    fn mapped_addresses_are_written_plainly() {
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:80".parse().expect("address");
        assert_eq!(plain_address(mapped).to_string(), "10.0.0.1:80");
    }
}
