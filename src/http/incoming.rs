//! An answer whose body is still to come: its pieces, its proper end, and what it means when it is a refusal.

use std::io;

use bytes::{Bytes, BytesMut};
use reqwest::header::{self, HeaderMap};
use reqwest::{Response, StatusCode, Version};
use tokio::io::AsyncWriteExt as _;

use crate::digest::{BUFFER, Hasher, Sha256};

use super::address::{QUOTED, quoted, shown};
use super::failing::{Error, Fault, Trouble, retry_after};
use super::lanes::Pass;
use super::pace::Pace;

/// Bytes of an unwanted body that cost less than a new connection.
const DRAINED: u64 = 64 * 1024;

/// An answer whose body is still to come.
pub(super) struct Incoming {
    pub(super) response: Response,
    pace: Pace,
    /// Bytes of the body so far.
    pub(super) received: u64,
    /// Bytes that were there before, which this body follows.
    before: u64,
    announced: Option<u64>,
    /// Whether a body that ended early would be known for it.
    pub(super) end_is_known: bool,
    _pass: Pass,
}

impl Incoming {
    pub(super) fn new(response: Response, pace: Pace, pass: Pass) -> Incoming {
        let headers = response.headers();
        let announced = text_of(headers, header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let end_is_known = announced.is_some()
            || headers.contains_key(header::TRANSFER_ENCODING)
            || response.version() == Version::HTTP_2;
        Incoming { response, pace, received: 0, before: 0, announced, end_is_known, _pass: pass }
    }

    /// The body goes on where so many bytes end.
    pub(super) fn follows(&mut self, before: u64) {
        self.before = before;
    }

    /// How many bytes the body has, where that was announced.
    pub(super) fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// The next piece of the body, of which there may be `limit` bytes in all, what it follows included; `None` at its
    /// proper end.
    pub(super) async fn chunk(&mut self, url: &str, limit: u64) -> Result<Option<Bytes>, Trouble> {
        let too_large = || Trouble::last(Error::TooLarge { url: shown(url), limit });
        if self.announced.is_some_and(|announced| announced.saturating_add(self.before) > limit) {
            return Err(too_large());
        }
        match self.pace.within(self.response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let length = chunk.len() as u64;
                self.received += length;
                self.pace.took(length);
                if self.before.saturating_add(self.received) > limit { Err(too_large()) } else { Ok(Some(chunk)) }
            }
            Ok(Ok(None)) => match self.announced {
                Some(announced) if announced != self.received => {
                    Err(Trouble::fault(url, Fault::Truncated { received: self.received, announced }))
                }
                _ => Ok(None),
            },
            Ok(Err(error)) => Err(Trouble::of_request(url, error)),
            Err(slow) => Err(Trouble::fault(url, slow)),
        }
    }

    /// Writes the whole body to `file`, hashing on the way; the digest. `told` is how many bytes `progress` knows of.
    pub(super) async fn receive(
        &mut self,
        url: &str,
        limit: u64,
        file: &mut tokio::fs::File,
        written: impl Fn(io::Error) -> Trouble,
        progress: &(dyn Fn(u64) + Sync),
        told: &mut u64,
    ) -> Result<Sha256, Trouble> {
        let mut hasher = Hasher::new();
        let mut waiting = BytesMut::new();
        while let Some(chunk) = self.chunk(url, limit).await? {
            hasher.update(&chunk);
            waiting.extend_from_slice(&chunk);
            if waiting.len() >= BUFFER {
                file.write_all(&waiting).await.map_err(&written)?;
                waiting.clear();
            }
            if self.received > *told {
                progress(self.received - *told);
                *told = self.received;
            }
        }
        file.write_all(&waiting).await.map_err(&written)?;
        Ok(hasher.finish())
    }

    /// Takes in a body that nobody wants, if it is short: then the connection can serve again.
    pub(super) async fn drain(mut self) {
        while self.received < DRAINED
            && let Ok(Ok(Some(chunk))) = self.pace.within(self.response.chunk()).await
        {
            self.received += chunk.len() as u64;
            self.pace.took(chunk.len() as u64);
        }
    }

    /// What an answer other than 200 means; the beginning of its body is quoted.
    pub(super) async fn refusal(mut self, url: &str) -> Trouble {
        let status = self.response.status();
        let pause = retry_after(self.response.headers());
        let mut body = Vec::new();
        // A server that refuses may do so without end, or badly; what it manages to say is enough.
        while body.len() < 4 * QUOTED {
            match self.pace.within(self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    body.extend_from_slice(&chunk[..chunk.len().min(4 * QUOTED)]);
                    self.pace.took(chunk.len() as u64);
                }
                _ => break,
            }
        }
        let body = quoted(&String::from_utf8_lossy(&body));
        let url = shown(url);
        if is_absent(status) {
            return Trouble::last(Error::NotFound { url, status: status.as_u16(), body });
        }
        let error = Error::Status { url, status: status.as_u16(), body, attempts: 1 };
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Trouble::after(error, pause),
            status if status.is_server_error() => Trouble::again(error),
            _ => Trouble::last(error),
        }
    }
}

/// The answers that say that something is not there, and will not be.
pub(super) fn is_absent(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS)
}

/// A header's value, where it is text.
pub(super) fn text_of(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
