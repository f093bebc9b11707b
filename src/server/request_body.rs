//! A request's body, of which an early response may leave a part unread.
//!
//! A client that is still sending may not see a response before its body is sent: over HTTP/1.1, closing a connection
//! with unread bytes discards the response; over HTTP/2, curl reports a reset of the stream in place of the response.
//! So the server discards a limited part of an unread body. Over HTTP/2 the response is sent at once, and ends when the
//! body has ended (see [`end_after_request`](super::response::end_after_request)). Over HTTP/1.1 the connection lingers after the response, as with nginx's `lingering_close`.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

/// Maximum bytes of an unread body that are discarded, which most bundles do not exceed.
pub(super) const MAX_DISCARDED_BYTES: usize = 64 * 1024 * 1024;
/// Timeout for discarding an unread body (nginx's `lingering_time`).
pub(super) const DISCARD_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a dropped [`IncomingBody`] leaves its unread rest.
#[derive(Clone, Default)]
pub(super) struct UnreadSlot(Arc<Mutex<Option<Incoming>>>);

impl UnreadSlot {
    /// The body of a request that will be dropped before the response is sent.
    pub(super) fn track(&self, incoming: Incoming) -> IncomingBody {
        IncomingBody { incoming: Some(incoming), unread: self.clone() }
    }

    /// The rest of the body, if it was dropped before its end.
    pub(super) fn take(&self) -> Option<UnreadBody> {
        let incoming = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(UnreadBody { incoming, discarded: 0, deadline: None })
    }
}

/// A request's body as it arrives. It may be dropped before its end.
pub struct IncomingBody {
    incoming: Option<Incoming>,
    unread: UnreadSlot,
}

impl Body for IncomingBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(incoming).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.incoming = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for IncomingBody {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take().filter(|incoming| !incoming.is_end_stream()) {
            *self.unread.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(incoming);
        }
    }
}

/// The unread rest of a request's body.
pub(super) struct UnreadBody {
    incoming: Incoming,
    discarded: usize,
    /// When discarding ends; it begins with the first poll.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl UnreadBody {
    /// Completes when the body has ended, or when a limit for discarding it is exceeded.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(DISCARD_TIMEOUT)));
        if deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while self.discarded <= MAX_DISCARDED_BYTES {
            match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                Some(Ok(frame)) => self.discarded += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) | None => break,
            }
        }
        Poll::Ready(())
    }
}
