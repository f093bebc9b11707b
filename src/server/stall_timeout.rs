//! Fails writes that make no progress for too long, and records a connection's last activity.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::request_body::{DISCARD_TIMEOUT, MAX_DISCARDED_BYTES};
use super::sendfile::{MemfdBody, PendingSendfile};

/// When a connection was last active.
#[derive(Clone)]
pub(super) struct ConnectionActivity(Arc<ActivityState>);

struct ActivityState {
    opened: Instant,
    /// Milliseconds from `opened` to the last bytes that the client read, or sent as a request's body.
    last_active: AtomicU64,
    /// Requests in progress.
    open_requests: AtomicUsize,
    /// The memfd copy of the bytes that are sent.
    pending_sendfile: PendingSendfile,
    /// Whether the client may still be sending a body that the server does not read.
    lingers: AtomicBool,
}

impl ConnectionActivity {
    /// The activity of a connection that was opened now.
    pub fn new() -> ConnectionActivity {
        ConnectionActivity::since(Instant::now())
    }

    /// The activity of a connection that was opened at that instant.
    pub(super) fn since(opened: Instant) -> ConnectionActivity {
        ConnectionActivity(Arc::new(ActivityState {
            opened,
            last_active: AtomicU64::new(0),
            open_requests: AtomicUsize::new(0),
            pending_sendfile: PendingSendfile::default(),
            lingers: AtomicBool::new(false),
        }))
    }

    /// When the client last read bytes of a body or was answered, or when it connected.
    pub fn last_active(&self) -> Instant {
        self.0.opened + Duration::from_millis(self.0.last_active.load(Ordering::Relaxed))
    }

    /// Counts received bytes as progress until the guard is dropped: they belong to a request's body, and an upload is
    /// not idle. The bytes of a request's head never count, however slowly they arrive.
    pub fn begin_request(&self) -> RequestGuard {
        self.0.open_requests.fetch_add(1, Ordering::Relaxed);
        self.0.lingers.store(false, Ordering::Relaxed);
        RequestGuard(self.clone())
    }

    /// Sets the memfd copy of the next body.
    pub fn set_sendfile_body(&self, memfd_copy: Option<&Arc<MemfdBody>>) {
        self.0.pending_sendfile.set(memfd_copy);
    }

    /// Makes the connection wait for the end of an unread request body before it closes.
    pub fn linger_on_close(&self) {
        self.0.lingers.store(true, Ordering::Relaxed);
    }

    fn has_open_request(&self) -> bool {
        self.0.open_requests.load(Ordering::Relaxed) > 0
    }

    /// Records that the client read bytes of a body, or sent a request.
    pub fn touch(&self) {
        let since = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_active.store(since, Ordering::Relaxed);
    }
}

/// A request is in progress while this exists.
pub(super) struct RequestGuard(ConnectionActivity);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.0.open_requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection whose writes fail if the client reads nothing for too long.
pub(super) struct StallTimeoutStream {
    stream: TcpStream,
    activity: ConnectionActivity,
    /// The deadline, while a write is blocked.
    stall_deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// How long a write may be blocked.
    stalled_after: Duration,
    /// Set after the last byte was sent, if the connection lingers.
    linger: Option<Linger>,
}

/// Discards what the client still sends after the response. Without it, the system would answer those bytes with a reset,
/// and the client's system would discard a response that the client has not read yet.
struct Linger {
    discarded: usize,
    /// When the connection closes, however much the client sends.
    deadline: Pin<Box<Sleep>>,
    /// When the connection closes if the client sends nothing.
    idle: Pin<Box<Sleep>>,
}

/// How long a lingering connection waits for the client's next bytes (nginx's `lingering_timeout`).
const LINGER_IDLE_TIMEOUT: Duration = Duration::from_secs(5);

impl Linger {
    fn new() -> Linger {
        Linger { discarded: 0, deadline: Box::pin(sleep(DISCARD_TIMEOUT)), idle: Box::pin(sleep(LINGER_IDLE_TIMEOUT)) }
    }

    /// Completes when the client has closed its side, or when a limit is exceeded.
    fn poll_discard(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; 8 * 1024];
        while self.discarded <= MAX_DISCARDED_BYTES {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.discarded += buffer.filled().len();
                    self.idle.as_mut().reset(Instant::now() + LINGER_IDLE_TIMEOUT);
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        if self.discarded > MAX_DISCARDED_BYTES
            || self.deadline.as_mut().poll(cx).is_ready()
            || self.idle.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl StallTimeoutStream {
    /// Wraps a connection. It reports activity to `pulse`, and fails writes that are blocked for `stalled_after`.
    pub fn new(stream: TcpStream, pulse: ConnectionActivity, stalled_after: Duration) -> StallTimeoutStream {
        StallTimeoutStream { stream, activity: pulse, stall_deadline: None, timer: None, stalled_after, linger: None }
    }

    fn fail_if_stalled<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            // The bytes may answer a PING: progress of a body is recorded by its chunks.
            self.stall_deadline = None;
            return written;
        }
        let until = *self.stall_deadline.get_or_insert(Instant::now() + self.stalled_after);
        // One timer serves many waits. It fires early for all but the first, and is then reset. Creating and dropping
        // one for each wait would cost more than the write itself.
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= until {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            timer.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl AsyncRead for StallTimeoutStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if into.filled().len() > before && self.activity.has_open_request() {
            self.activity.touch();
        }
        read
    }
}

impl AsyncWrite for StallTimeoutStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.fail_if_stalled(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match self.activity.0.pending_sendfile.poll_send(&self.stream, cx, pieces) {
            Poll::Ready(Ok(0)) => Pin::new(&mut self.stream).poll_write_vectored(cx, pieces),
            sent => sent,
        };
        self.fail_if_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.activity.0.lingers.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        this.linger.get_or_insert_with(Linger::new).poll_discard(&mut this.stream, cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_stalled_client_is_disconnected() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let _silent = client.expect("connect");
        let mut stream =
            StallTimeoutStream::new(accepted.expect("accept").0, ConnectionActivity::new(), Duration::from_secs(60));
        // Simulates waits that began a minute ago, with the timer of an earlier wait, which fires too early.
        stream.timer = Some(Box::pin(sleep(Duration::from_millis(20))));
        let piece = vec![0; 64 * 1024];
        let error = loop {
            let written = timeout(Duration::from_millis(200), stream.write(&piece)).await;
            let stalled = stream.stall_deadline.is_some();
            match written {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => break error,
                Err(_) if stalled => {
                    assert!(stream.timer.as_ref().is_some_and(|timer| !timer.is_elapsed()), "the timer restarted");
                    stream.stall_deadline = Some(Instant::now() + Duration::from_millis(50));
                    stream.timer = None;
                }
                Err(_) => {}
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
