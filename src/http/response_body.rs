//! An answer whose body is still to come: its pieces, its proper end, and what it means when it is a refusal.

use std::io;

use bytes::{Bytes, BytesMut};
use reqwest::header::{self, HeaderMap};
use reqwest::{Response, StatusCode, Version};
use tokio::io::AsyncWriteExt as _;

use crate::digest::{BUFFER_SIZE, Hasher, Sha256};

use super::encoding::{self, ContentCoding, Decoder};
use super::error::{AttemptError, Error, TransportError, retry_after};
use super::host_limits::Permit;
use super::host_policy::HostTrust;
use super::low_speed::LowSpeedMonitor;
use super::redact::{MAX_EXCERPT_CHARS, sanitize_excerpt};

/// Bytes of an unwanted body that cost less than a new connection.
const MAX_DRAINED_BYTES: u64 = 64 * 1024;

/// An answer whose body is still to come.
pub(super) struct ResponseBody {
    pub(super) response: Response,
    /// Where it came from, after redirects, for messages.
    pub(super) address: String,
    /// Who chose where it came from.
    pub(super) host_trust: HostTrust,
    low_speed: LowSpeedMonitor,
    /// Bytes of the body that were given so far, decoded where that was asked for.
    pub(super) received: u64,
    /// Bytes of the body so far as the server sent them.
    raw_received: u64,
    decoder: Option<Decoder>,
    /// Bytes that were there before, which this body follows.
    offset: u64,
    content_length: Option<u64>,
    /// Whether a body that ended early would be known for it.
    pub(super) has_known_end: bool,
    _permit: Permit,
}

impl ResponseBody {
    pub(super) fn new(
        response: Response,
        address: String,
        chosen: HostTrust,
        pace: LowSpeedMonitor,
        pass: Permit,
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
            _permit: pass,
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

    /// Whether the body has an encoding, known or not.
    pub(super) fn is_encoded(&self) -> bool {
        encoding::parse_content_encoding(self.response.headers()).map_or(true, |codings| !codings.is_empty())
    }

    /// Gives the body decoded from now on.
    pub(super) fn enable_decoding(&mut self, codings: &[ContentCoding]) {
        self.decoder = Some(Decoder::new(codings));
    }

    /// The body goes on where so many bytes end.
    pub(super) fn set_offset(&mut self, before: u64) {
        self.offset = before;
    }

    /// How many bytes the body has, where that was announced. What it has when it is decoded is not known.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.content_length.filter(|_| self.decoder.is_none())
    }

    /// The next piece of the body, of which there may be `limit` bytes in all, what it follows included; `None` at its
    /// proper end.
    pub(super) async fn chunk(&mut self, limit: u64) -> Result<Option<Bytes>, AttemptError> {
        loop {
            let Some(chunk) = self.raw_chunk(limit).await? else {
                let rest = match self.decoder.take() {
                    Some(mut decoder) => decoder.finish().map_err(|source| self.undecodable(source))?,
                    None => return Ok(None),
                };
                // Where there is a rest, the next call finds the end once more.
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

    /// Goes on after this side has let the server wait.
    pub(super) fn reset_low_speed(&mut self) {
        self.low_speed.reset();
    }

    async fn raw_chunk(&mut self, limit: u64) -> Result<Option<Bytes>, AttemptError> {
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

    /// The whole body came, and it is not what it should be.
    pub(super) fn mismatch(&self, expected: Sha256, actual: Sha256) -> AttemptError {
        let error = Error::Checksum { url: self.address.clone(), expected, actual };
        // A body whose end nobody announced may have been cut short; every other one is what the server meant.
        if self.has_known_end { AttemptError::permanent(error) } else { AttemptError::retryable(error) }
    }

    /// Writes the whole body to `file`, hashing on the way; the digest. `told` is how many bytes `progress` knows of.
    pub(super) async fn write_to(
        &mut self,
        limit: u64,
        file: &mut tokio::fs::File,
        write_error: impl Fn(io::Error) -> AttemptError,
        progress: &(dyn Fn(u64) + Sync),
        reported: &mut u64,
    ) -> Result<Sha256, AttemptError> {
        let mut hasher = Hasher::new();
        let mut buffer = BytesMut::new();
        while let Some(chunk) = self.chunk(limit).await? {
            hasher.update(&chunk);
            buffer.extend_from_slice(&chunk);
            if buffer.len() >= BUFFER_SIZE {
                file.write_all(&buffer).await.map_err(&write_error)?;
                buffer.clear();
            }
            if self.received > *reported {
                progress(self.received - *reported);
                *reported = self.received;
            }
        }
        file.write_all(&buffer).await.map_err(&write_error)?;
        Ok(hasher.finish())
    }

    /// Takes in a body that nobody wants, if it is short: then the connection can serve again.
    pub(super) async fn drain(mut self) {
        while self.raw_received < MAX_DRAINED_BYTES
            && let Ok(Ok(Some(chunk))) = self.low_speed.wait(self.response.chunk()).await
        {
            self.raw_received += chunk.len() as u64;
            self.low_speed.record(chunk.len() as u64);
        }
    }

    /// What an answer other than 200 means. The beginning of its body is quoted, unless the client could not reach that
    /// service by itself.
    pub(super) async fn into_attempt_error(mut self) -> AttemptError {
        let status = self.response.status();
        let pause = retry_after(self.response.headers());
        let mut body = Vec::new();
        // A server that refuses may do so without end, or badly; what it manages to say is enough.
        while self.host_trust != HostTrust::Internal && body.len() < 4 * MAX_EXCERPT_CHARS {
            match self.low_speed.wait(self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    body.extend_from_slice(&chunk[..chunk.len().min(4 * MAX_EXCERPT_CHARS)]);
                    self.low_speed.record(chunk.len() as u64);
                }
                _ => break,
            }
        }
        let body = sanitize_excerpt(&String::from_utf8_lossy(&body));
        let url = self.address;
        if is_not_found(status) {
            return AttemptError::permanent(Error::NotFound { url, status: status.as_u16(), body });
        }
        let error = Error::Status { url, status: status.as_u16(), body, attempts: 1 };
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                AttemptError::retryable_after(error, pause)
            }
            status if status.is_server_error() => AttemptError::retryable(error),
            _ => AttemptError::permanent(error),
        }
    }
}

/// The answers that say that something is not there, and will not be.
pub(super) fn is_not_found(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS)
}

/// A header's value, where it is text.
pub(super) fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
