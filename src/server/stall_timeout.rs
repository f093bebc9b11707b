//! A connection whose writes fail when the client takes nothing for too long, and when it was last of use.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::sendfile::{MemfdBody, PendingSendfile};

/// When a connection last was of use to its client.
#[derive(Clone)]
pub(super) struct ConnectionActivity(Arc<ActivityState>);

struct ActivityState {
    opened: Instant,
    /// Milliseconds from `opened` to the last bytes that the client took, or gave as a request's body.
    last_active: AtomicU64,
    /// Requests that are being answered.
    open_requests: AtomicUsize,
    /// What is sent may have a twin.
    pending_sendfile: PendingSendfile,
}

impl ConnectionActivity {
    /// Of a connection that was opened now.
    pub fn new() -> ConnectionActivity {
        ConnectionActivity::since(Instant::now())
    }

    /// Of a connection that was opened at that instant.
    pub(super) fn since(opened: Instant) -> ConnectionActivity {
        ConnectionActivity(Arc::new(ActivityState {
            opened,
            last_active: AtomicU64::new(0),
            open_requests: AtomicUsize::new(0),
            pending_sendfile: PendingSendfile::default(),
        }))
    }

    /// When the client last took bytes of a body or was answered, or when it came.
    pub fn last_active(&self) -> Instant {
        self.0.opened + Duration::from_millis(self.0.last_active.load(Ordering::Relaxed))
    }

    /// From now until the end of what is returned, bytes that come are those of a request's body: an upload is no idle
    /// connection. The bytes of a request's head never count, however slowly they come.
    pub fn begin_request(&self) -> RequestGuard {
        self.0.open_requests.fetch_add(1, Ordering::Relaxed);
        RequestGuard(self.clone())
    }

    /// The body that is sent next may have a twin.
    pub fn set_sendfile_body(&self, twin: Option<&Arc<MemfdBody>>) {
        self.0.pending_sendfile.set(twin);
    }

    fn has_open_request(&self) -> bool {
        self.0.open_requests.load(Ordering::Relaxed) > 0
    }

    /// The client took bytes of a body, or asked for something.
    pub fn touch(&self) {
        let since = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_active.store(since, Ordering::Relaxed);
    }
}

/// While this is there, a request is being answered.
pub(super) struct RequestGuard(ConnectionActivity);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.0.open_requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection whose writes fail when the other side takes nothing for too long.
pub(super) struct StallTimeoutStream {
    stream: TcpStream,
    activity: ConnectionActivity,
    /// When the client has taken nothing for too long, while it takes nothing.
    stall_deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// How long the client may take nothing.
    stalled_after: Duration,
}

impl StallTimeoutStream {
    /// This connection, whose last use is told to `pulse`, and whose writes fail when the client takes nothing for so long.
    pub fn new(stream: TcpStream, pulse: ConnectionActivity, stalled_after: Duration) -> StallTimeoutStream {
        StallTimeoutStream { stream, activity: pulse, stall_deadline: None, timer: None, stalled_after }
    }

    /// Sends what has a twin from there; nothing where that is not so.
    fn poll_sendfile(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Some(memfd) = self.activity.0.pending_sendfile.get() else { return Poll::Ready(Ok(0)) };
        let (head, body) = match pieces {
            [body, ..] if memfd.range_of(body).is_some() => (&[][..], body),
            [head, body, ..] => (&head[..], body),
            _ => return Poll::Ready(Ok(0)),
        };
        let Some(part) = memfd.range_of(body) else { return Poll::Ready(Ok(0)) };
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let sent = self.stream.try_io(Interest::WRITABLE, || memfd.send(&self.stream, head, part.clone()));
            match sent {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }

    fn fail_if_stalled<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            // What is written may be the answer to a PING: whether a body makes progress, its pieces know.
            self.stall_deadline = None;
            return written;
        }
        let until = *self.stall_deadline.get_or_insert(Instant::now() + self.stalled_after);
        // One timer serves for many waits: it goes off early for all but the first, and is then set anew. To begin and end
        // one for each would cost more than the writing.
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
        let written = match self.poll_sendfile(cx, pieces) {
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
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::time::{sleep, timeout};

    #[tokio::test]
    async fn a_stalled_client_is_disconnected() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let _silent = client.expect("connect");
        let mut stream =
            StallTimeoutStream::new(accepted.expect("accept").0, ConnectionActivity::new(), Duration::from_secs(60));
        // As if each wait had begun a minute ago, and with the timer of an earlier one, which goes off too soon.
        stream.timer = Some(Box::pin(sleep(Duration::from_millis(20))));
        let piece = vec![0; 64 * 1024];
        let error = loop {
            let written = timeout(Duration::from_millis(200), stream.write(&piece)).await;
            let stalled = stream.stall_deadline.is_some();
            match written {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => break error,
                Err(_) if stalled => {
                    assert!(stream.timer.as_ref().is_some_and(|timer| !timer.is_elapsed()), "it was set anew");
                    stream.stall_deadline = Some(Instant::now() + Duration::from_millis(50));
                    stream.timer = None;
                }
                Err(_) => {}
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
