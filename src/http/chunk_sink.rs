//! Downloads whose chunks are passed on as they arrive, before the whole is verified.

use std::future::Future;
use std::io;

use bytes::Bytes;
use reqwest::{Method, StatusCode};

use crate::digest::{Hasher, Sha256};

use super::error::{AttemptError, Error};
use super::host_policy::HostTrust;
use super::redact::redact_url;
use super::resume::is_remaining_range;
use super::retry::RetryState;
use super::{Client, Request};

/// Receives the chunks.
pub trait ChunkSink: Send {
    /// A body begins, of `length` bytes if announced. Earlier chunks are void: the download restarted. A
    /// `hold_until_verified` body may belong to a different service, such as one that only this machine can reach. Show
    /// it to no other client until the whole is verified.
    fn begin(&mut self, length: Option<u64>, hold_until_verified: bool) -> impl Future<Output = io::Result<()>> + Send;

    /// Receives the next chunk.
    fn write_chunk(&mut self, piece: Bytes) -> impl Future<Output = io::Result<()>> + Send;
}

impl Client {
    /// Downloads to `taker` in chunks, hashing on the way; returns the number of bytes. An interrupted download resumes
    /// if upstream supports ranges, and otherwise restarts. All attempts count towards the limit.
    ///
    /// The chunks are only verified when this returns `Ok`.
    ///
    /// # Errors
    ///
    /// As for [`Client::download`]; [`Error::Sink`] for an error of the sink.
    pub async fn download_to_sink(
        &self,
        request: &Request<'_>,
        expected: Sha256,
        limit: u64,
        sink: &mut impl ChunkSink,
    ) -> Result<u64, Error> {
        let inner = &self.inner;
        let mut tries = RetryState::new(inner.retries, inner.first_backoff, &inner.observer, &inner.proxies);
        let mut state =
            SinkDownload { hasher: Hasher::new(), received: 0, hold_until_verified: false, must_decode: false };
        loop {
            match self.try_download_to_sink(request, expected, limit, sink, &mut state).await {
                Ok(()) => return Ok(state.received),
                Err(trouble) => tries.wait_after(trouble).await?,
            }
        }
    }

    async fn try_download_to_sink(
        &self,
        request: &Request<'_>,
        expected: Sha256,
        limit: u64,
        sink: &mut impl ChunkSink,
        state: &mut SinkDownload,
    ) -> Result<(), AttemptError> {
        let sink_error = |source| AttemptError::permanent(Error::Sink { url: redact_url(request.url), source });
        // The second round starts from zero, the third one decodes, so the loop ends.
        loop {
            if state.must_decode {
                // The number of decoded bytes is no offset in the encoded body.
                state.received = 0;
            }
            let from = state.received;
            let mut incoming = self.send(Method::GET, request, "identity", from).await?;
            match incoming.response.status() {
                StatusCode::OK => {
                    if state.must_decode {
                        let codings = incoming.codings()?;
                        incoming.enable_decoding(&codings);
                    }
                    let length = incoming.content_length();
                    if length.is_some_and(|length| length > limit) {
                        return Err(AttemptError::permanent(Error::TooLarge { url: incoming.address, limit }));
                    }
                    let hold_until_verified = incoming.is_encoded() || incoming.host_trust == HostTrust::Internal;
                    *state = SinkDownload {
                        hasher: Hasher::new(),
                        received: 0,
                        hold_until_verified,
                        must_decode: state.must_decode,
                    };
                    sink.begin(length, hold_until_verified).await.map_err(sink_error)?;
                }
                // Once others have seen the start of a body, its rest must come from the same place.
                StatusCode::PARTIAL_CONTENT
                    if is_remaining_range(incoming.response.headers(), from)
                        && (state.hold_until_verified || incoming.host_trust != HostTrust::Internal) =>
                {
                    incoming.set_offset(from);
                }
                StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
                    incoming.drain().await;
                    state.received = 0;
                    continue;
                }
                _ => return Err(incoming.into_attempt_error().await),
            }
            let resumed_at = state.received;
            while let Some(chunk) = incoming.chunk(limit).await? {
                state.hasher.update(&chunk);
                state.received += chunk.len() as u64;
                sink.write_chunk(chunk).await.map_err(sink_error)?;
            }
            let actual = state.hasher.clone().finish();
            if actual == expected {
                return Ok(());
            }
            state.received = 0;
            // A resumed body may mix two files; only a body received in one response proves a wrong digest.
            if resumed_at == 0 {
                if state.must_decode || incoming.codings()?.is_empty() {
                    return Err(incoming.mismatch(expected, actual));
                }
                // Many servers label a file's own compression as an encoding. Here it is a real encoding.
                state.must_decode = true;
            }
        }
    }
}

/// The state of a download.
struct SinkDownload {
    hasher: Hasher,
    received: u64,
    /// The flag that the sink received for the body.
    hold_until_verified: bool,
    /// Whether the body is decoded according to its `Content-Encoding`.
    must_decode: bool,
}
