//! Answers: of a text that was made, of what is in memory, of a file or a part of it; and those that are nothing but a sentence.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, LAST_MODIFIED, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Response, StatusCode};

use super::budget::ConnectionBudget;
use super::conditional::{self, Precondition, RequestedRange, Validators};
use super::file::{OpenFile, OutgoingBody};
use super::file_cache::{CachedFile, GzipState, Representation};

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";
pub(super) const BINARY: &str = "application/octet-stream";
/// Kept, but asked about each time: what may be different after the next import.
pub(super) const NO_CACHE: &str = "no-cache";
/// Kept without asking: a published crate never changes.
pub(super) const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// Headers that say something of a body, and nothing of the file.
const BODY_HEADERS: [HeaderName; 4] = [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, X_CONTENT_TYPE_OPTIONS];

/// What every answer from a file needs of the request.
pub(super) struct RequestMeta {
    pub(super) is_head: bool,
    /// It is of HTTP/1.0: who is told no length takes the end of the connection for the end of the body.
    pub(super) is_http_10: bool,
    pub(super) headers: HeaderMap,
    /// The connection's, where the answer's body is to have its share of it.
    pub(super) budget: Option<Arc<ConnectionBudget>>,
}

impl RequestMeta {
    /// The same request, whose answer's body has its share already.
    pub(super) fn without_budget(&self) -> RequestMeta {
        RequestMeta { is_head: self.is_head, is_http_10: self.is_http_10, headers: self.headers.clone(), budget: None }
    }

    /// A text that was made for this answer.
    pub(super) fn generated_text(&self, kind: &str, text: String) -> Response<OutgoingBody> {
        let length = text.len() as u64;
        let body = if self.is_head { OutgoingBody::default() } else { OutgoingBody::from_bytes(text) };
        let mut response = Response::new(body);
        set_body_headers(&mut response, kind, length);
        set_header(&mut response, CACHE_CONTROL, NO_CACHE);
        response
    }

    /// A whole body of `length` bytes, which is only read where it is sent.
    fn full_response(
        &self,
        kind: &str,
        length: u64,
        read: impl FnOnce() -> io::Result<OutgoingBody>,
    ) -> io::Result<Response<OutgoingBody>> {
        let mut response = Response::new(if self.is_head { OutgoingBody::default() } else { read()? });
        set_body_headers(&mut response, kind, length);
        Ok(response)
    }

    /// What was read already; `None` where the client wants a compressed form that nobody has made yet.
    pub(super) fn cached_response(&self, cached: &CachedFile) -> Option<Response<OutgoingBody>> {
        let form = match &cached.gzip {
            GzipState::Incompressible => &cached.plain,
            _ if !conditional::accepts_gzip(&self.headers) => &cached.plain,
            GzipState::NotCompressed => return None,
            // A client that holds the plain form may keep it, even if it would take the other one now.
            GzipState::Compressed(_) if conditional::matches_etag(&self.headers, &cached.plain.etag) => &cached.plain,
            GzipState::Compressed(form) => form,
        };
        let known = Validators { etag: &form.etag, modified: cached.stamp.modified };
        let body = || if self.is_head { OutgoingBody::default() } else { form.outgoing_body(form.body.clone()) };
        let mut response = match conditional::evaluate_preconditions(&self.headers, &known) {
            Precondition::Failed => text_response(StatusCode::PRECONDITION_FAILED, "it has changed\n"),
            Precondition::NotModified => empty_response(StatusCode::NOT_MODIFIED),
            // A range means nothing to HEAD.
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

    /// A file or the range of it that is asked for.
    pub(super) fn file_response(
        &self,
        source: OpenFile,
        kind: &str,
        caching: &str,
    ) -> io::Result<Response<OutgoingBody>> {
        let OpenFile { file, stamp } = source;
        let etag = stamp.etag();
        let known = Validators { etag: &etag, modified: stamp.modified };
        let mut response = match conditional::evaluate_preconditions(&self.headers, &known) {
            Precondition::Failed => text_response(StatusCode::PRECONDITION_FAILED, "it has changed\n"),
            Precondition::NotModified => empty_response(StatusCode::NOT_MODIFIED),
            // A range means nothing to HEAD.
            Precondition::Proceed if self.is_head => {
                self.full_response(kind, stamp.size, || Ok(OutgoingBody::default()))?
            }
            Precondition::Proceed => match conditional::requested_range(&self.headers, stamp.size, &known) {
                RequestedRange::Full => {
                    self.full_response(kind, stamp.size, || OutgoingBody::from_file(file, 0, stamp.size))?
                }
                RequestedRange::Partial { start, length } => {
                    let mut response = Response::new(OutgoingBody::from_file(file, start, length)?);
                    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                    set_body_headers(&mut response, kind, length);
                    let range = format!("bytes {start}-{}/{}", start + length - 1, stamp.size);
                    set_header(&mut response, CONTENT_RANGE, &range);
                    response
                }
                RequestedRange::Unsatisfiable => return Ok(range_not_satisfiable(stamp.size)),
            },
        };
        set_validators(&mut response, &etag, stamp.modified);
        set_header(&mut response, ACCEPT_RANGES, "bytes");
        set_header(&mut response, CACHE_CONTROL, caching);
        Ok(response)
    }
}

/// A part of what was read already; it was found to lie within.
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

/// An answer that is nothing but a sentence. It is not to be kept: it may be another after the next import.
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

pub(super) fn range_not_satisfiable(size: u64) -> Response<OutgoingBody> {
    let mut response = text_response(StatusCode::RANGE_NOT_SATISFIABLE, "no byte is in that range\n");
    set_header(&mut response, CONTENT_RANGE, &format!("bytes */{size}"));
    response
}

pub(super) fn internal_error() -> Response<OutgoingBody> {
    text_response(StatusCode::INTERNAL_SERVER_ERROR, "the mirror could not read this file; its own report says why\n")
}

/// Cargo waits as long as it is told to, ten seconds at most, and asks again.
pub(super) fn unavailable() -> Response<OutgoingBody> {
    let mut response = text_response(StatusCode::SERVICE_UNAVAILABLE, "the mirror has too much to do\n");
    set_header(&mut response, RETRY_AFTER, "2");
    response
}

pub(super) fn set_body_headers(response: &mut Response<OutgoingBody>, kind: &str, length: u64) {
    set_header(response, CONTENT_TYPE, kind);
    set_header(response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
}

fn set_validators(response: &mut Response<OutgoingBody>, etag: &str, modified: Option<SystemTime>) {
    set_header(response, ETAG, etag);
    if let Some(modified) = modified {
        set_header(response, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
}

/// Sets a header to a value that was made here, of visible ASCII alone.
pub(super) fn set_header(response: &mut Response<OutgoingBody>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
