//! Connections: accepted within bounds, kept from idling, and ended in good order.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};

use super::file::PIECE;
use super::respond::Server;

/// Connections at one time; more wait in the system's queue. Cargo opens two at most for each of its phases.
const MAX_CONNECTIONS: usize = 1024;
/// How long a connection may take to send a request's headers, and to send nothing between two requests.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);
/// How long a client may take nothing of what is sent to it.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// How long requests in flight may go on after the end was asked for.
const GRACE: Duration = Duration::from_secs(30);
/// How long to wait when the system has no more descriptors to give.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Accepts and serves connections until `shutdown`, and then finishes those that are there.
pub(super) async fn run(listener: TcpListener, server: Arc<Server>, shutdown: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    let Some(connection) = connection(stream, peer, &server) else { continue };
                    let watched = graceful.watch(connection);
                    // A client that goes away in the middle is its own affair.
                    connections.spawn(async move { watched.await.is_ok() });
                }
                Err(e) if is_of_the_client(&e) => {}
                Err(_) => sleep(EXHAUSTED).await,
            },
        }
    }
    drop(listener);
    // Those that are not done by then are dropped with the set.
    let _late = timeout(GRACE, graceful.shutdown()).await.is_err();
}

/// HTTP/1.1 on one connection; `None` where the client is gone already. An `Upgrade: h2c`, which cargo sends with
/// every plain request, is ignored.
fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    server: &Arc<Server>,
) -> Option<impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + use<>> {
    // An answer leaves at once, even when it is smaller than a packet.
    stream.set_nodelay(true).ok()?;
    let local = stream.local_addr().ok()?;
    let server = Arc::clone(server);
    let service = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, std::convert::Infallible>(server.respond(request, local, plain_address(peer)).await) }
    });
    let io = TokioIo::new(Patient { stream, stalled: None });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).max_buf_size(PIECE);
    Some(http.serve_connection(io, service))
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// The address as a client would write it: an IPv4 address that came over an IPv6 socket is one again.
pub(super) fn plain_address(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A connection whose writes fail when the other side takes nothing for too long.
struct Patient {
    stream: TcpStream,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn unless_stalled<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALLED_AFTER)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.unless_stalled(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.unless_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let _silent = client.expect("connect");
        let mut patient = Patient { stream: accepted.expect("accept").0, stalled: None };
        // As if the wait had begun a minute ago.
        patient.stalled = Some(Box::pin(sleep(Duration::from_millis(50))));
        let piece = vec![0; PIECE];
        let error = loop {
            let stalled = patient.stalled.is_none();
            match timeout(Duration::from_millis(200), patient.write(&piece)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => break error,
                Err(_) if stalled => patient.stalled = Some(Box::pin(sleep(Duration::from_millis(50)))),
                Err(_) => {}
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn mapped_addresses_are_written_plainly() {
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:80".parse().expect("address");
        assert_eq!(plain_address(mapped).to_string(), "10.0.0.1:80");
    }
}
