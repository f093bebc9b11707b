//! Downloads whose pieces are passed on as they come, before anybody knows whether the whole is right.

use std::future::Future;
use std::io;

use bytes::Bytes;
use reqwest::{Method, StatusCode};

use crate::digest::{Hasher, Sha256};

use super::error::{AttemptError, Error, RetryState};
use super::host_policy::HostTrust;
use super::redact::redact_url;
use super::resume::is_remaining_range;
use super::{Client, Request};

/// Who takes the pieces.
pub trait ChunkSink: Send {
    /// A body begins, of `length` bytes where that is announced. Whatever was taken before is void: the download began anew.
    /// Until the whole is found right, a `hold_until_verified` body may be another file, of a service that only this machine can reach
    /// say; nobody else must see of it.
    fn begin(&mut self, length: Option<u64>, hold_until_verified: bool) -> impl Future<Output = io::Result<()>> + Send;

    /// The next piece.
    fn write_chunk(&mut self, piece: Bytes) -> impl Future<Output = io::Result<()>> + Send;
}

impl Client {
    /// Downloads piece by piece to `taker`, hashing on the way; the number of bytes. A download that breaks off goes on where
    /// it was, as long as upstream gives parts of its files; else it begins anew. Attempts are counted from the first on.
    ///
    /// Only when this returns `Ok` is what was taken what it should be.
    ///
    /// # Errors
    ///
    /// As for [`Client::download`]; [`Error::Sink`] is what the taker says.
    pub async fn download_to_sink(
        &self,
        request: &Request<'_>,
        expected: Sha256,
        limit: u64,
        sink: &mut impl ChunkSink,
    ) -> Result<u64, Error> {
        let inner = &self.inner;
        let mut tries = RetryState::new(inner.retries, inner.first_backoff, &inner.retry_observer);
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
        // A second round begins with nothing, a third one decodes, and it ends in any case.
        loop {
            if state.must_decode {
                // How far the body was decoded says nothing of how far it was sent.
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
                // The rest of what others have seen the beginning of does not come from anywhere else.
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
            // Two halves may have been of two files; upstream's word is only what came in one piece.
            if resumed_at == 0 {
                if state.must_decode || incoming.codings()?.is_empty() {
                    return Err(incoming.mismatch(expected, actual));
                }
                // Many servers call a file's own compression an encoding. This one means it.
                state.must_decode = true;
            }
        }
    }
}

/// What was taken so far.
struct SinkDownload {
    hasher: Hasher,
    received: u64,
    /// What the taker was told of the body.
    hold_until_verified: bool,
    /// Whether the body is decoded, as its `Content-Encoding` says.
    must_decode: bool,
}
