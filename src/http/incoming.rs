//! An answer whose body is still to come: its pieces, its proper end, and what it means when it is a refusal.

use std::io;

use bytes::{Bytes, BytesMut};
use reqwest::header::{self, HeaderMap};
use reqwest::{Response, StatusCode, Version};
use tokio::io::AsyncWriteExt as _;

use crate::digest::{BUFFER, Hasher, Sha256};

use super::address::{QUOTED, quoted};
use super::encoding::{self, Coding, Decoder};
use super::failing::{Error, Fault, Trouble, retry_after};
use super::lanes::Pass;
use super::pace::Pace;
use super::targets::Chosen;

/// Bytes of an unwanted body that cost less than a new connection.
const DRAINED: u64 = 64 * 1024;

/// An answer whose body is still to come.
pub(super) struct Incoming {
    pub(super) response: Response,
    /// Where it came from, after redirects, for messages.
    pub(super) address: String,
    /// Who chose where it came from.
    pub(super) chosen: Chosen,
    pace: Pace,
    /// Bytes of the body that were given so far, decoded where that was asked for.
    pub(super) received: u64,
    /// Bytes of the body so far as the server sent them.
    raw: u64,
    decoder: Option<Decoder>,
    /// Bytes that were there before, which this body follows.
    before: u64,
    announced: Option<u64>,
    /// Whether a body that ended early would be known for it.
    pub(super) end_is_known: bool,
    _pass: Pass,
}

impl Incoming {
    pub(super) fn new(response: Response, address: String, chosen: Chosen, pace: Pace, pass: Pass) -> Incoming {
        let headers = response.headers();
        let announced = text_of(headers, header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let end_is_known = announced.is_some()
            || headers.contains_key(header::TRANSFER_ENCODING)
            || response.version() == Version::HTTP_2;
        Incoming {
            response,
            address,
            chosen,
            pace,
            received: 0,
            raw: 0,
            decoder: None,
            before: 0,
            announced,
            end_is_known,
            _pass: pass,
        }
    }

    /// The encodings of the body.
    pub(super) fn codings(&self) -> Result<Vec<Coding>, Trouble> {
        encoding::codings(self.response.headers()).map_err(|encoding| {
            Trouble::last(Error::Encoding { url: self.address.clone(), encoding: quoted(&encoding) })
        })
    }

    /// Whether the body has an encoding, known or not.
    pub(super) fn is_encoded(&self) -> bool {
        encoding::codings(self.response.headers()).map_or(true, |codings| !codings.is_empty())
    }

    /// Gives the body decoded from now on.
    pub(super) fn decode(&mut self, codings: &[Coding]) {
        self.decoder = Some(Decoder::new(codings));
    }

    /// The body goes on where so many bytes end.
    pub(super) fn follows(&mut self, before: u64) {
        self.before = before;
    }

    /// How many bytes the body has, where that was announced. What it has when it is decoded is not known.
    pub(super) fn announced(&self) -> Option<u64> {
        self.announced.filter(|_| self.decoder.is_none())
    }

    /// The next piece of the body, of which there may be `limit` bytes in all, what it follows included; `None` at its
    /// proper end.
    pub(super) async fn chunk(&mut self, limit: u64) -> Result<Option<Bytes>, Trouble> {
        loop {
            let Some(chunk) = self.raw_chunk(limit).await? else {
                let rest = match self.decoder.take() {
                    Some(mut decoder) => decoder.finish().map_err(|source| self.undecodable(source))?,
                    None => return Ok(None),
                };
                // Where there is a rest, the next call finds the end once more.
                return if rest.is_empty() { Ok(None) } else { self.given(rest.into(), limit).map(Some) };
            };
            let Some(decoder) = &mut self.decoder else { return self.given(chunk, limit).map(Some) };
            let left = limit.saturating_sub(self.received);
            match decoder.decode(&chunk, left) {
                Ok(Some(decoded)) if decoded.is_empty() => {}
                Ok(Some(decoded)) => return self.given(decoded.into(), limit).map(Some),
                Ok(None) => return Err(self.too_large(limit)),
                Err(source) => return Err(self.undecodable(source)),
            }
        }
    }

    /// Goes on after this side has let the server wait.
    pub(super) fn resume_pace(&mut self) {
        self.pace.renew();
    }

    async fn raw_chunk(&mut self, limit: u64) -> Result<Option<Bytes>, Trouble> {
        if self.announced.is_some_and(|announced| announced.saturating_add(self.before) > limit) {
            return Err(self.too_large(limit));
        }
        match self.pace.within(self.response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let length = chunk.len() as u64;
                self.raw += length;
                self.pace.took(length);
                if self.before.saturating_add(self.raw) > limit { Err(self.too_large(limit)) } else { Ok(Some(chunk)) }
            }
            Ok(Ok(None)) => match self.announced {
                Some(announced) if announced != self.raw => {
                    Err(Trouble::fault(&self.address, Fault::Truncated { received: self.raw, announced }))
                }
                _ => Ok(None),
            },
            Ok(Err(error)) => Err(Trouble::of_request(&self.address, error)),
            Err(slow) => Err(Trouble::fault(&self.address, slow)),
        }
    }

    fn given(&mut self, chunk: Bytes, limit: u64) -> Result<Bytes, Trouble> {
        self.received += chunk.len() as u64;
        if self.before.saturating_add(self.received) > limit { Err(self.too_large(limit)) } else { Ok(chunk) }
    }

    fn too_large(&self, limit: u64) -> Trouble {
        Trouble::last(Error::TooLarge { url: self.address.clone(), limit })
    }

    fn undecodable(&self, source: io::Error) -> Trouble {
        Trouble::fault(&self.address, Fault::Undecodable(source))
    }

    /// The whole body came, and it is not what it should be.
    pub(super) fn mismatch(&self, expected: Sha256, actual: Sha256) -> Trouble {
        let error = Error::Checksum { url: self.address.clone(), expected, actual };
        // A body whose end nobody announced may have been cut short; every other one is what the server meant.
        if self.end_is_known { Trouble::last(error) } else { Trouble::again(error) }
    }

    /// Writes the whole body to `file`, hashing on the way; the digest. `told` is how many bytes `progress` knows of.
    pub(super) async fn receive(
        &mut self,
        limit: u64,
        file: &mut tokio::fs::File,
        written: impl Fn(io::Error) -> Trouble,
        progress: &(dyn Fn(u64) + Sync),
        told: &mut u64,
    ) -> Result<Sha256, Trouble> {
        let mut hasher = Hasher::new();
        let mut waiting = BytesMut::new();
        while let Some(chunk) = self.chunk(limit).await? {
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
        while self.raw < DRAINED
            && let Ok(Ok(Some(chunk))) = self.pace.within(self.response.chunk()).await
        {
            self.raw += chunk.len() as u64;
            self.pace.took(chunk.len() as u64);
        }
    }

    /// What an answer other than 200 means. The beginning of its body is quoted, unless the client could not reach that
    /// service by itself.
    pub(super) async fn refusal(mut self) -> Trouble {
        let status = self.response.status();
        let pause = retry_after(self.response.headers());
        let mut body = Vec::new();
        // A server that refuses may do so without end, or badly; what it manages to say is enough.
        while self.chosen != Chosen::ByUpstream && body.len() < 4 * QUOTED {
            match self.pace.within(self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    body.extend_from_slice(&chunk[..chunk.len().min(4 * QUOTED)]);
                    self.pace.took(chunk.len() as u64);
                }
                _ => break,
            }
        }
        let body = quoted(&String::from_utf8_lossy(&body));
        let url = self.address;
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
