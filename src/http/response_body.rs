//! A response whose body is still to be read: its chunks, its proper end, and error statuses.

use std::io;

use bytes::Bytes;
use reqwest::header::{self, HeaderMap};
use reqwest::{Response, StatusCode, Version};

use crate::digest::Sha256;

use super::encoding::{self, ContentCoding, Decoder};
use super::error::{AttemptError, Error, TransportError};
use super::host_limits::Permit;
use super::host_policy::HostTrust;
use super::low_speed::LowSpeedMonitor;
use super::observer::RequestSpan;
use super::proxy_refusal::ProxyRefusal;
use super::redact::{first_line, sanitize_excerpt};
use super::retry::retry_after;

/// Reading this many bytes of an unneeded body costs less than a new connection.
const MAX_DRAINED_BYTES: u64 = 64 * 1024;

/// Bytes of an error body that are read; enough for one line of an excerpt.
const MAX_ERROR_BODY: usize = 2048;

/// A response whose body is still to be read.
pub(super) struct ResponseBody {
    pub(super) response: Response,
    /// The URL after redirects, for messages.
    pub(super) address: String,
    /// Who chose the origin.
    pub(super) host_trust: HostTrust,
    low_speed: LowSpeedMonitor,
    /// Bytes of the body returned so far, decoded if requested.
    pub(super) received: u64,
    /// Bytes of the body so far as the server sent them.
    raw_received: u64,
    decoder: Option<Decoder>,
    /// Bytes before this body, which it continues.
    offset: u64,
    content_length: Option<u64>,
    /// Whether truncation of the body would be detected.
    pub(super) has_known_end: bool,
    _permit: Permit,
    span: RequestSpan,
}

impl ResponseBody {
    pub(super) fn new(
        response: Response,
        address: String,
        chosen: HostTrust,
        pace: LowSpeedMonitor,
        (permit, span): (Permit, RequestSpan),
    ) -> ResponseBody {
        let headers = response.headers();
        let announced = header_text(headers, header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let end_is_known = announced.is_some()
            || headers.contains_key(header::TRANSFER_ENCODING)
            || response.version() == Version::HTTP_2;
        ResponseBody {
            response,
            address,
            host_trust: chosen,
            low_speed: pace,
            received: 0,
            raw_received: 0,
            decoder: None,
            offset: 0,
            content_length: announced,
            has_known_end: end_is_known,
            _permit: permit,
            span,
        }
    }

    /// The encodings of the body.
    pub(super) fn codings(&self) -> Result<Vec<ContentCoding>, AttemptError> {
        encoding::parse_content_encoding(self.response.headers()).map_err(|encoding| {
            AttemptError::permanent(Error::Encoding {
                url: self.address.clone(),
                encoding: sanitize_excerpt(&encoding),
            })
        })
    }

    /// Whether the body has an encoding, supported or not.
    pub(super) fn is_encoded(&self) -> bool {
        encoding::parse_content_encoding(self.response.headers()).map_or(true, |codings| !codings.is_empty())
    }

    /// Decodes the body from now on.
    pub(super) fn enable_decoding(&mut self, codings: &[ContentCoding]) {
        self.decoder = Some(Decoder::new(codings));
    }

    /// Sets the number of bytes that the body continues.
    pub(super) fn set_offset(&mut self, before: u64) {
        self.offset = before;
    }

    /// The announced length of the body in bytes. The decoded length is not known.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.content_length.filter(|_| self.decoder.is_none())
    }

    /// The next chunk of the body, with at most `limit` bytes in total, including those that it continues; `None` at
    /// its proper end.
    pub(super) async fn chunk(&mut self, limit: u64) -> Result<Option<Bytes>, AttemptError> {
        loop {
            let Some(chunk) = self.raw_chunk(limit).await? else {
                let rest = match self.decoder.take() {
                    Some(mut decoder) => decoder.finish().map_err(|source| self.undecodable(source))?,
                    None => return Ok(None),
                };
                // After a rest, the next call reaches the end again.
                return if rest.is_empty() { Ok(None) } else { self.count_received(rest.into(), limit).map(Some) };
            };
            let Some(decoder) = &mut self.decoder else { return self.count_received(chunk, limit).map(Some) };
            let left = limit.saturating_sub(self.received);
            match decoder.decode(&chunk, left) {
                Ok(Some(decoded)) if decoded.is_empty() => {}
                Ok(Some(decoded)) => return self.count_received(decoded.into(), limit).map(Some),
                Ok(None) => return Err(self.too_large(limit)),
                Err(source) => return Err(self.undecodable(source)),
            }
        }
    }

    /// Restarts the time window after this side paused the transfer.
    pub(super) fn reset_low_speed(&mut self) {
        self.low_speed.reset();
    }

    async fn raw_chunk(&mut self, limit: u64) -> Result<Option<Bytes>, AttemptError> {
        let chunk = self.read_chunk(limit).await;
        match &chunk {
            Ok(Some(chunk)) => self.span.record_bytes(chunk.len() as u64),
            Ok(None) => {}
            Err(failure) => self.span.record_error(failure.cause()),
        }
        chunk
    }

    async fn read_chunk(&mut self, limit: u64) -> Result<Option<Bytes>, AttemptError> {
        if self.content_length.is_some_and(|announced| announced.saturating_add(self.offset) > limit) {
            return Err(self.too_large(limit));
        }
        match self.low_speed.wait(self.response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let length = chunk.len() as u64;
                self.raw_received += length;
                self.low_speed.record(length);
                if self.offset.saturating_add(self.raw_received) > limit {
                    Err(self.too_large(limit))
                } else {
                    Ok(Some(chunk))
                }
            }
            Ok(Ok(None)) => match self.content_length {
                Some(announced) if announced != self.raw_received => Err(AttemptError::transport(
                    &self.address,
                    TransportError::Truncated { received: self.raw_received, announced },
                )),
                _ => Ok(None),
            },
            Ok(Err(error)) => Err(AttemptError::from_reqwest(&self.address, error)),
            Err(slow) => Err(AttemptError::transport(&self.address, slow)),
        }
    }

    fn count_received(&mut self, chunk: Bytes, limit: u64) -> Result<Bytes, AttemptError> {
        self.received += chunk.len() as u64;
        if self.offset.saturating_add(self.received) > limit { Err(self.too_large(limit)) } else { Ok(chunk) }
    }

    fn too_large(&self, limit: u64) -> AttemptError {
        AttemptError::permanent(Error::TooLarge { url: self.address.clone(), limit })
    }

    fn undecodable(&self, source: io::Error) -> AttemptError {
        AttemptError::transport(&self.address, TransportError::Undecodable(source))
    }

    /// The error for a complete body with the wrong digest.
    pub(super) fn mismatch(&self, expected: Sha256, actual: Sha256) -> AttemptError {
        let error = Error::Checksum { url: self.address.clone(), expected, actual };
        // A body without an announced end may be truncated; every other one is complete.
        if self.has_known_end { AttemptError::permanent(error) } else { AttemptError::retryable(error) }
    }

    /// Reads an unneeded body if it is short, so that the connection can be reused.
    pub(super) async fn drain(mut self) {
        while self.raw_received < MAX_DRAINED_BYTES
            && let Ok(Ok(Some(chunk))) = self.low_speed.wait(self.response.chunk()).await
        {
            self.raw_received += chunk.len() as u64;
            self.span.record_bytes(chunk.len() as u64);
            self.low_speed.record(chunk.len() as u64);
        }
    }

    /// The error for a status other than 200. It quotes the first line of a plain text, unless the client could not reach
    /// that service by itself.
    pub(super) async fn into_attempt_error(mut self) -> AttemptError {
        let status = self.response.status();
        let pause = retry_after(self.response.headers());
        let is_text = is_plain_text(self.response.headers()) && !self.is_encoded();
        let mut body = Vec::new();
        // An error body may be endless or invalid; the part that arrives is enough.
        while is_text && self.host_trust != HostTrust::Internal && body.len() < MAX_ERROR_BODY {
            match self.low_speed.wait(self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    body.extend_from_slice(&chunk[..chunk.len().min(MAX_ERROR_BODY)]);
                    self.span.record_bytes(chunk.len() as u64);
                    self.low_speed.record(chunk.len() as u64);
                }
                _ => break,
            }
        }
        let url = self.address;
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return AttemptError::refused_by_proxy(&url, ProxyRefusal::PLAIN_407);
        }
        let body = if is_text { first_line(&String::from_utf8_lossy(&body)) } else { String::new() };
        if is_not_found(status) {
            return AttemptError::permanent(Error::NotFound { url, status: status.as_u16(), body });
        }
        let error = Error::Status { url, status: status.as_u16(), body, attempts: 1 };
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                AttemptError::retryable_after(error, pause)
            }
            // The same loop would be detected again.
            StatusCode::LOOP_DETECTED => AttemptError::permanent(error),
            status if status.is_server_error() => AttemptError::retryable(error),
            _ => AttemptError::permanent(error),
        }
    }
}

/// Whether the body is a plain text; an HTML page of an error says nothing in one line.
fn is_plain_text(headers: &HeaderMap) -> bool {
    header_text(headers, header::CONTENT_TYPE)
        .is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/plain"))
}

/// Whether the status says that something does not exist permanently.
pub(super) fn is_not_found(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS)
}

/// A header's value, if it is text.
pub(super) fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
