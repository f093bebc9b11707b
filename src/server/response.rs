//! Builds responses: from generated texts, cached files, files and ranges of them; and responses with only a message.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, LAST_MODIFIED, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Response, StatusCode};

use super::conditional::{self, Precondition, RequestedRange, Validators};
use super::content_type::{ContentHeaders, NO_CACHE, TEXT};
use super::file::{OpenFile, OutgoingBody};
use super::file_cache::{CachedFile, GzipState, Representation};
use super::request_body::UnreadBody;
use super::response_budget::ConnectionBudget;

/// Headers that describe a body and not the file.
const BODY_HEADERS: [HeaderName; 4] = [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, X_CONTENT_TYPE_OPTIONS];

/// What every file response needs from the request.
pub(super) struct RequestMeta {
    pub(super) is_head: bool,
    /// HTTP/1.0: without a length, the client takes the end of the connection for the end of the body.
    pub(super) is_http_10: bool,
    pub(super) headers: HeaderMap,
    /// The connection's budget, if the response's body needs a share of it.
    pub(super) budget: Option<Arc<ConnectionBudget>>,
}

impl RequestMeta {
    /// The same request for a body that already has its share.
    pub(super) fn without_budget(&self) -> RequestMeta {
        RequestMeta { is_head: self.is_head, is_http_10: self.is_http_10, headers: self.headers.clone(), budget: None }
    }

    /// A text generated for this response.
    pub(super) fn generated_text(&self, kind: &str, text: String) -> Response<OutgoingBody> {
        let length = text.len() as u64;
        let body = if self.is_head { OutgoingBody::default() } else { OutgoingBody::from_bytes(text) };
        let mut response = Response::new(body);
        set_body_headers(&mut response, kind, length);
        set_header(&mut response, CACHE_CONTROL, NO_CACHE);
        response
    }

    /// The selected part of a content of `size` bytes, if known. `body` gets the first byte and the length of the part; it
    /// is called only if a body is sent.
    pub(super) fn part_response(
        &self,
        part: RequestedRange,
        content_type: &str,
        size: Option<u64>,
        body: impl FnOnce(u64, Option<u64>) -> io::Result<OutgoingBody>,
    ) -> io::Result<Response<OutgoingBody>> {
        let whole = size.unwrap_or_default();
        let (start, length) = match part {
            RequestedRange::Full => (0, size),
            RequestedRange::Partial { start, length } => (start, Some(length)),
            RequestedRange::Unsatisfiable => return Ok(range_not_satisfiable(whole)),
        };
        let mut response = Response::new(if self.is_head { OutgoingBody::default() } else { body(start, length)? });
        set_content_type(&mut response, content_type);
        if let Some(length) = length {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        if let RequestedRange::Partial { start, length } = part {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            set_header(&mut response, CONTENT_RANGE, &format!("bytes {start}-{}/{whole}", start + length - 1));
        }
        Ok(response)
    }

    /// The response from a cached file; `None` if the client accepts gzip and no compressed representation exists yet.
    pub(super) fn cached_response(&self, cached: &CachedFile) -> Option<Response<OutgoingBody>> {
        let form = match &cached.gzip {
            GzipState::Incompressible => &cached.plain,
            _ if !conditional::accepts_gzip(&self.headers) => &cached.plain,
            GzipState::NotCompressed => return None,
            // A client that has the unencoded representation may keep it, even if it would accept gzip now.
            GzipState::Compressed(_) if conditional::matches_etag(&self.headers, &cached.plain.etag) => &cached.plain,
            GzipState::Compressed(form) => form,
        };
        let known = Validators { etag: &form.etag, modified: cached.stamp.modified };
        let body = || if self.is_head { OutgoingBody::default() } else { form.outgoing_body(form.body.clone()) };
        let mut response = match conditional::evaluate_preconditions(&self.headers, &known) {
            Precondition::Failed => {
                text_response(StatusCode::PRECONDITION_FAILED, "precondition failed: the file has changed\n")
            }
            Precondition::NotModified => empty_response(StatusCode::NOT_MODIFIED),
            // HEAD ignores ranges.
            Precondition::Proceed if self.is_head || !cached.accepts_ranges => Response::new(body()),
            Precondition::Proceed => match conditional::requested_range(&self.headers, cached.stamp.size, &known) {
                RequestedRange::Full => Response::new(body()),
                RequestedRange::Partial { start, length } => return partial_response(form, start, length),
                RequestedRange::Unsatisfiable => return Some(range_not_satisfiable(cached.stamp.size)),
            },
        };
        if response.status() == StatusCode::OK {
            *response.headers_mut() = form.headers.clone();
            return Some(response);
        }
        for (name, value) in &form.headers {
            if !BODY_HEADERS.contains(name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        Some(response)
    }

    /// A file or the requested range of it.
    pub(super) fn file_response(
        &self,
        source: OpenFile,
        headers: ContentHeaders,
    ) -> io::Result<Response<OutgoingBody>> {
        let OpenFile { file, stamp } = source;
        let etag = stamp.etag();
        let known = Validators { etag: &etag, modified: stamp.modified };
        let mut response = match conditional::evaluate_preconditions(&self.headers, &known) {
            Precondition::Failed => {
                text_response(StatusCode::PRECONDITION_FAILED, "precondition failed: the file has changed\n")
            }
            Precondition::NotModified => empty_response(StatusCode::NOT_MODIFIED),
            Precondition::Proceed => {
                // HEAD ignores ranges.
                let part = match self.is_head {
                    true => RequestedRange::Full,
                    false => conditional::requested_range(&self.headers, stamp.size, &known),
                };
                let body =
                    |start, length: Option<u64>| OutgoingBody::from_file(file, start, length.unwrap_or(stamp.size));
                let response = self.part_response(part, headers.content_type, Some(stamp.size), body)?;
                if part == RequestedRange::Unsatisfiable {
                    return Ok(response);
                }
                response
            }
        };
        set_validators(&mut response, &etag, stamp.modified);
        set_header(&mut response, ACCEPT_RANGES, "bytes");
        set_header(&mut response, CACHE_CONTROL, headers.cache_control);
        Ok(response)
    }
}

/// A part of a cached representation; the caller has checked the bounds.
fn partial_response(form: &Representation, start: u64, length: u64) -> Option<Response<OutgoingBody>> {
    let first = usize::try_from(start).ok()?;
    let end = first.checked_add(usize::try_from(length).ok()?).filter(|end| *end <= form.body.len())?;
    let mut response = Response::new(form.outgoing_body(form.body.slice(first..end)));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    *response.headers_mut() = form.headers.clone();
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    set_header(&mut response, CONTENT_RANGE, &format!("bytes {start}-{}/{}", end - 1, form.body.len()));
    Some(response)
}

pub(super) fn empty_response(status: StatusCode) -> Response<OutgoingBody> {
    let mut response = Response::new(OutgoingBody::default());
    *response.status_mut() = status;
    response
}

/// A response with only a message. It is not cached, because the next import may change it.
pub(super) fn text_response(code: StatusCode, text: &str) -> Response<OutgoingBody> {
    let mut response = Response::new(OutgoingBody::from_bytes(text.to_owned()));
    *response.status_mut() = code;
    set_body_headers(&mut response, TEXT, text.len() as u64);
    set_header(&mut response, CACHE_CONTROL, NO_CACHE);
    response
}

pub(super) fn not_found() -> Response<OutgoingBody> {
    text_response(StatusCode::NOT_FOUND, "not in this mirror\n")
}

fn range_not_satisfiable(size: u64) -> Response<OutgoingBody> {
    let mut response = text_response(StatusCode::RANGE_NOT_SATISFIABLE, "the file has no byte in this range\n");
    set_header(&mut response, CONTENT_RANGE, &format!("bytes */{size}"));
    response
}

pub(super) fn internal_error() -> Response<OutgoingBody> {
    text_response(StatusCode::INTERNAL_SERVER_ERROR, "the server could not read this file; see the server's log\n")
}

/// Cargo waits for Retry-After, but at most ten seconds, and retries.
pub(super) fn unavailable() -> Response<OutgoingBody> {
    let mut response = text_response(StatusCode::SERVICE_UNAVAILABLE, "the server is overloaded; try again\n");
    set_header(&mut response, RETRY_AFTER, "2");
    response
}

fn set_body_headers(response: &mut Response<OutgoingBody>, kind: &str, length: u64) {
    set_content_type(response, kind);
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
}

fn set_content_type(response: &mut Response<OutgoingBody>, content_type: &str) {
    set_header(response, CONTENT_TYPE, content_type);
    set_header(response, X_CONTENT_TYPE_OPTIONS, "nosniff");
}

fn set_validators(response: &mut Response<OutgoingBody>, etag: &str, modified: Option<SystemTime>) {
    set_header(response, ETAG, etag);
    if let Some(modified) = modified {
        set_header(response, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
}

/// Ends an HTTP/2 response after the unread rest of the request's body has arrived.
///
/// curl goes on sending after a success. It reads until it has as many bytes as `Content-Length` states; then it no
/// longer sees that its window is extended, and stalls (curl 7.88). Without that header it reads until the stream ends.
/// After any other status curl stops sending, and needs the header to see where the response ends.
pub(super) fn end_after_request(mut response: Response<OutgoingBody>, unread: UnreadBody) -> Response<OutgoingBody> {
    let is_success = response.status().is_success();
    if is_success {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response.map(|body| body.with_unread_request(unread, !is_success))
}

/// Sets a header to a generated value, which is visible ASCII.
pub fn set_header(response: &mut Response<OutgoingBody>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Whether the system lacks file descriptors or memory.
#[cfg(unix)]
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let codes = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| codes.iter().any(|errno| errno.raw_os_error() == code))
}

/// Whether the system lacks file descriptors or memory.
#[cfg(not(unix))]
pub(super) fn is_exhausted(_: &io::Error) -> bool {
    false
}
