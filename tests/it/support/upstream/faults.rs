//! What goes wrong with a request, and how the right answer is spoilt by it.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{self, HeaderValue};

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing: this request is answered as it should be. For scripts such as "the second one fails".
    Pass,
    /// This status with a short text.
    Status(u16),
    /// This status with this text.
    StatusText(u16, &'static str),
    /// 429 with `Retry-After` in seconds.
    TooManyRequests(u64),
    /// This status with `Retry-After` as it stands.
    RetryAfter(u16, String),
    /// A redirection to this address.
    Redirect(String),
    /// These bytes, with 200, instead of the right ones.
    Body(Vec<u8>),
    /// As many bytes as the right answer, each of them wrong.
    WrongBytes,
    /// This many bytes of the right answer, then the connection ends though more was promised.
    Truncated(usize),
    /// The connection is reset before any answer.
    Reset,
    /// This many bytes of the right answer, then the connection is reset.
    ResetAfter(usize),
    /// The right answer, this much later.
    Delayed(Duration),
    /// The right answer, in pieces of so many bytes with a pause after each.
    Slow(usize, Duration),
    /// No answer, ever.
    Hang,
    /// This many bytes of the right answer, then silence.
    HangAfter(usize),
    /// The whole file with 200, whatever range was requested.
    IgnoreRange,
    /// The right answer, and from then on these files, by their paths: upstream publishes between two requests.
    PublishAfter(Vec<(String, Vec<u8>)>),
}

/// The error that ends a connection without an answer.
fn connection_error() -> io::Error {
    io::Error::other("scripted")
}

/// The right answer, with the fault worked in.
pub(super) async fn apply_fault(
    fault: Fault,
    right: Response<Bytes>,
    reset: &AtomicBool,
) -> Result<Response<Body>, io::Error> {
    let (head, bytes) = right.into_parts();
    let plain = |status: u16, text: &str| {
        let body = Full::new(Bytes::from(text.to_owned())).map_err(no_error).boxed_unsync();
        Response::builder().status(status).header(header::CONTENT_TYPE, "text/plain").body(body).unwrap()
    };
    let cut = |head, bytes: &Bytes, keep: usize| {
        let kept = bytes.slice(..keep.min(bytes.len()));
        (head, bytes.len(), kept)
    };
    let promised = |(mut head, length, kept): (hyper::http::response::Parts, usize, Bytes),
                    then: stream::BoxStream<'static, _>| {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        let first = stream::iter((!kept.is_empty()).then(|| Ok(Frame::data(kept))));
        Response::from_parts(head, StreamBody::new(futures_util::StreamExt::chain(first, then)).boxed_unsync())
    };
    let body = match fault {
        Fault::Pass | Fault::IgnoreRange | Fault::PublishAfter(_) => bytes,
        Fault::Status(status) => return Ok(plain(status, "scripted")),
        Fault::StatusText(status, text) => return Ok(plain(status, text)),
        Fault::TooManyRequests(seconds) => {
            return Ok(with_header(plain(429, "slower"), header::RETRY_AFTER, &seconds.to_string()));
        }
        Fault::RetryAfter(status, value) => {
            return Ok(with_header(plain(status, "slower"), header::RETRY_AFTER, &value));
        }
        Fault::Redirect(to) => return Ok(with_header(plain(302, ""), header::LOCATION, &to)),
        Fault::Body(bytes) => {
            let body = Full::new(Bytes::from(bytes)).map_err(no_error).boxed_unsync();
            return Ok(Response::new(body));
        }
        Fault::WrongBytes => bytes.iter().map(|byte| !byte).collect(),
        Fault::Reset => {
            reset.store(true, Ordering::SeqCst);
            return Err(connection_error());
        }
        Fault::Truncated(keep) => return Ok(promised(cut(head, &bytes, keep), delayed_error(None))),
        Fault::ResetAfter(keep) => {
            reset.store(true, Ordering::SeqCst);
            return Ok(promised(cut(head, &bytes, keep), delayed_error(None)));
        }
        Fault::Hang => std::future::pending().await,
        Fault::HangAfter(keep) => {
            return Ok(promised(cut(head, &bytes, keep), delayed_error(Some(Duration::MAX))));
        }
        Fault::Delayed(delay) => {
            tokio::time::sleep(delay).await;
            bytes
        }
        Fault::Slow(piece, pause) => {
            let length = bytes.len();
            let pieces = stream::unfold(bytes, move |mut rest| async move {
                if rest.is_empty() {
                    return None;
                }
                tokio::time::sleep(pause).await;
                let next = rest.split_to(piece.min(rest.len()));
                Some((Ok(Frame::data(next)), rest))
            });
            return Ok(promised((head, length, Bytes::new()), Box::pin(pieces)));
        }
    };
    Ok(Response::from_parts(head, Full::new(body).map_err(no_error).boxed_unsync()))
}

/// An error after a pause (a short one by default, so that what came before is on its way).
fn delayed_error(pause: Option<Duration>) -> stream::BoxStream<'static, Result<Frame<Bytes>, io::Error>> {
    let pause = pause.unwrap_or(Duration::from_millis(20));
    Box::pin(stream::once(async move {
        match pause {
            Duration::MAX => std::future::pending().await,
            pause => tokio::time::sleep(pause).await,
        }
        Err(connection_error())
    }))
}

fn no_error(never: Infallible) -> io::Error {
    match never {}
}

fn with_header(mut answer: Response<Body>, name: header::HeaderName, value: &str) -> Response<Body> {
    answer.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
    answer
}
