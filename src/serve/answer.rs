//! Answers: of a text that was made, of what is in memory, of a file or a part of it; and those that are nothing but a sentence.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, LAST_MODIFIED, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Response, StatusCode};

use super::budget::Account;
use super::conditions::{self, Part, Validators, Verdict};
use super::file::{Content, Held};
use super::hot::{Form, Gzip, Kept};

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";
pub(super) const BINARY: &str = "application/octet-stream";
/// Kept, but asked about each time: what may be different after the next import.
pub(super) const ASK_AGAIN: &str = "no-cache";
/// Kept without asking: a published crate never changes.
pub(super) const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Headers that say something of a body, and nothing of the file.
const ABOUT_THE_BODY: [HeaderName; 4] = [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, X_CONTENT_TYPE_OPTIONS];

/// What every answer from a file needs of the request.
pub(super) struct Asked {
    pub(super) head: bool,
    /// It is of HTTP/1.0: who is told no length takes the end of the connection for the end of the body.
    pub(super) is_old: bool,
    pub(super) headers: HeaderMap,
    /// The connection's, where the answer's body is to have its share of it.
    pub(super) account: Option<Arc<Account>>,
}

impl Asked {
    /// The same request, whose answer's body has its share already.
    pub(super) fn again(&self) -> Asked {
        Asked { head: self.head, is_old: self.is_old, headers: self.headers.clone(), account: None }
    }

    /// A text that was made for this answer.
    pub(super) fn memory(&self, kind: &str, text: String) -> Response<Content> {
        let length = text.len() as u64;
        let body = if self.head { Content::default() } else { Content::of(text) };
        let mut response = Response::new(body);
        described(&mut response, kind, length);
        set(&mut response, CACHE_CONTROL, ASK_AGAIN);
        response
    }

    /// A whole body of `length` bytes, which is only read where it is sent.
    fn whole(
        &self,
        kind: &str,
        length: u64,
        read: impl FnOnce() -> io::Result<Content>,
    ) -> io::Result<Response<Content>> {
        let mut response = Response::new(if self.head { Content::default() } else { read()? });
        described(&mut response, kind, length);
        Ok(response)
    }

    /// What was read already; `None` where the client wants a compressed form that nobody has made yet.
    pub(super) fn at_hand(&self, kept: &Kept) -> Option<Response<Content>> {
        let form = match &kept.gzip {
            Gzip::Useless => &kept.plain,
            _ if !conditions::accepts_gzip(&self.headers) => &kept.plain,
            Gzip::Untried => return None,
            // A client that holds the plain form may keep it, even if it would take the other one now.
            Gzip::Made(_) if conditions::names(&self.headers, &kept.plain.etag) => &kept.plain,
            Gzip::Made(form) => form,
        };
        let known = Validators { etag: &form.etag, modified: kept.stamp.modified };
        let body = || if self.head { Content::default() } else { form.content(form.body.clone()) };
        let mut response = match conditions::weigh(&self.headers, &known) {
            Verdict::Failed => told(StatusCode::PRECONDITION_FAILED, "it has changed\n"),
            Verdict::NotModified => status(StatusCode::NOT_MODIFIED),
            // A range means nothing to HEAD.
            Verdict::Proceed if self.head || !kept.ranges => Response::new(body()),
            Verdict::Proceed => match conditions::part(&self.headers, kept.stamp.size, &known) {
                Part::Whole => Response::new(body()),
                Part::Bytes { start, length } => return cut(form, start, length),
                Part::Unsatisfiable => return Some(unsatisfiable(kept.stamp.size)),
            },
        };
        if response.status() == StatusCode::OK {
            *response.headers_mut() = form.headers.clone();
            return Some(response);
        }
        for (name, value) in &form.headers {
            if !ABOUT_THE_BODY.contains(name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        Some(response)
    }

    /// A file or the range of it that is asked for.
    pub(super) fn part_of(&self, held: Held, kind: &str, caching: &str) -> io::Result<Response<Content>> {
        let Held { file, stamp } = held;
        let etag = stamp.etag();
        let known = Validators { etag: &etag, modified: stamp.modified };
        let mut response = match conditions::weigh(&self.headers, &known) {
            Verdict::Failed => told(StatusCode::PRECONDITION_FAILED, "it has changed\n"),
            Verdict::NotModified => status(StatusCode::NOT_MODIFIED),
            // A range means nothing to HEAD.
            Verdict::Proceed if self.head => self.whole(kind, stamp.size, || Ok(Content::default()))?,
            Verdict::Proceed => match conditions::part(&self.headers, stamp.size, &known) {
                Part::Whole => self.whole(kind, stamp.size, || Content::of_file(file, 0, stamp.size))?,
                Part::Bytes { start, length } => {
                    let mut response = Response::new(Content::of_file(file, start, length)?);
                    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                    described(&mut response, kind, length);
                    let range = format!("bytes {start}-{}/{}", start + length - 1, stamp.size);
                    set(&mut response, CONTENT_RANGE, &range);
                    response
                }
                Part::Unsatisfiable => return Ok(unsatisfiable(stamp.size)),
            },
        };
        validators(&mut response, &etag, stamp.modified);
        set(&mut response, ACCEPT_RANGES, "bytes");
        set(&mut response, CACHE_CONTROL, caching);
        Ok(response)
    }
}

/// A part of what was read already; it was found to lie within.
fn cut(form: &Form, start: u64, length: u64) -> Option<Response<Content>> {
    let first = usize::try_from(start).ok()?;
    let end = first.checked_add(usize::try_from(length).ok()?).filter(|end| *end <= form.body.len())?;
    let mut response = Response::new(form.content(form.body.slice(first..end)));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    *response.headers_mut() = form.headers.clone();
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    set(&mut response, CONTENT_RANGE, &format!("bytes {start}-{}/{}", end - 1, form.body.len()));
    Some(response)
}

pub(super) fn status(status: StatusCode) -> Response<Content> {
    let mut response = Response::new(Content::default());
    *response.status_mut() = status;
    response
}

/// An answer that is nothing but a sentence. It is not to be kept: it may be another after the next import.
pub(super) fn told(code: StatusCode, text: &str) -> Response<Content> {
    let mut response = Response::new(Content::of(text.to_owned()));
    *response.status_mut() = code;
    described(&mut response, TEXT, text.len() as u64);
    set(&mut response, CACHE_CONTROL, ASK_AGAIN);
    response
}

pub(super) fn not_found() -> Response<Content> {
    told(StatusCode::NOT_FOUND, "not in this mirror\n")
}

pub(super) fn unsatisfiable(size: u64) -> Response<Content> {
    let mut response = told(StatusCode::RANGE_NOT_SATISFIABLE, "no byte is in that range\n");
    set(&mut response, CONTENT_RANGE, &format!("bytes */{size}"));
    response
}

pub(super) fn broken() -> Response<Content> {
    told(StatusCode::INTERNAL_SERVER_ERROR, "the mirror could not read this file; its own report says why\n")
}

/// Cargo waits as long as it is told to, ten seconds at most, and asks again.
pub(super) fn busy() -> Response<Content> {
    let mut response = told(StatusCode::SERVICE_UNAVAILABLE, "the mirror has too much to do\n");
    set(&mut response, RETRY_AFTER, "2");
    response
}

pub(super) fn described(response: &mut Response<Content>, kind: &str, length: u64) {
    set(response, CONTENT_TYPE, kind);
    set(response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
}

fn validators(response: &mut Response<Content>, etag: &str, modified: Option<SystemTime>) {
    set(response, ETAG, etag);
    if let Some(modified) = modified {
        set(response, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
}

/// Sets a header to a value that was made here, of visible ASCII alone.
pub(super) fn set(response: &mut Response<Content>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
