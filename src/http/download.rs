//! Downloads: hashed as they arrive, resumed after an interruption, and restarted where upstream supports no ranges.

use std::future::Future;
use std::io::{self, SeekFrom};
use std::path::Path;

use bytes::{Bytes, BytesMut};
use reqwest::header::{self, HeaderMap};
use reqwest::{Method, StatusCode};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use crate::digest::{BUFFER_SIZE, Hasher, Sha256};

use super::error::{AttemptError, Error};
use super::host_policy::HostTrust;
use super::redact::redact_url;
use super::response_body::header_text;
use super::retry::RetryState;
use super::{Client, Request};

/// An attempt that brought this many new bytes made progress: the count of attempts restarts.
const MIN_PROGRESS_BYTES: u64 = 1024 * 1024;

/// Receives the chunks.
pub trait ChunkSink: Send {
    /// A body begins, of `length` bytes if announced. Earlier chunks are void: the download restarted. A
    /// `hold_until_verified` body may belong to a different service, such as one that only this machine can reach. Show
    /// it to no other client until the whole is verified.
    fn begin(&mut self, length: Option<u64>, hold_until_verified: bool) -> impl Future<Output = io::Result<()>> + Send;

    /// Receives the next chunk.
    fn write_chunk(&mut self, piece: Bytes) -> impl Future<Output = io::Result<()>> + Send;
}

/// The state of a download.
struct Transfer {
    hasher: Hasher,
    received: u64,
    /// The flag that the sink received for the body.
    hold_until_verified: bool,
    /// Whether the body is decoded according to its `Content-Encoding`. Then a later request cannot continue it.
    must_decode: bool,
}

impl Client {
    /// Downloads to the file `part` and returns its size in bytes. It hashes while it downloads, and never has the
    /// whole body in memory.
    ///
    /// Existing bytes of the file are hashed, and only the rest is requested, also after an interrupted attempt. If
    /// upstream does not support ranges, or the result has the wrong digest, everything is downloaded again.
    ///
    /// The file is complete and verified when this returns `Ok`; it is not synced. After an error it keeps the received
    /// bytes for the next run. No other process may write to it meanwhile. `progress` receives the number of new bytes,
    /// first the existing ones; bytes that a retry repeats are not counted again. Attempts are counted from the last one
    /// that brought a megabyte.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for 404, 410 and 451, [`Error::Checksum`] for a complete body with another digest,
    /// [`Error::TooLarge`] for more than `limit` bytes: these are permanent. Temporary errors are retried first. After
    /// [`Error::Checksum`] the file is empty.
    pub async fn download(
        &self,
        request: &Request<'_>,
        part: &Path,
        expected: Sha256,
        limit: u64,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, Error> {
        let io_error = |source| Error::Io { path: part.to_owned(), source };
        let path = part.to_owned();
        let opened = tokio::task::spawn_blocking(move || open_and_hash(&path, limit)).await;
        let (file, hasher, received) = opened.unwrap_or_else(|ended| Err(io::Error::other(ended))).map_err(io_error)?;
        if received > 0 {
            progress(received);
            if hasher.clone().finish() == expected {
                return Ok(received);
            }
        }
        let buffer = BytesMut::new();
        let mut sink =
            FileSink { file: File::from_std(file), buffer, position: received, reported: received, progress };
        // No client sees the file before it is verified.
        let mut state = Transfer { hasher, received, hold_until_verified: true, must_decode: false };
        let mut tries = RetryState::new(&self.inner.retry_policy);
        let mut furthest = received;
        loop {
            let outcome = self.try_download(request, expected, limit, &mut sink, &mut state).await;
            // Also after an error: the received bytes are kept, and no write is pending when the next attempt begins.
            sink.settle(state.received).await.map_err(io_error)?;
            let Err(failure) = outcome else { return Ok(state.received) };
            if state.received >= furthest.saturating_add(MIN_PROGRESS_BYTES) {
                furthest = state.received;
                tries.reset();
            }
            tries.wait_after(failure).await.map_err(|error| match error {
                Error::Sink { source, .. } => io_error(source),
                other => other,
            })?;
        }
    }

    /// Downloads to `sink` in chunks, hashing on the way; returns the number of bytes. It is resumed or restarted like
    /// [`Client::download`], but all attempts count towards the limit.
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
        let mut tries = RetryState::new(&self.inner.retry_policy);
        let mut state = Transfer { hasher: Hasher::new(), received: 0, hold_until_verified: false, must_decode: false };
        while let Err(failure) = self.try_download(request, expected, limit, sink, &mut state).await {
            tries.wait_after(failure).await?;
        }
        Ok(state.received)
    }

    async fn try_download(
        &self,
        request: &Request<'_>,
        expected: Sha256,
        limit: u64,
        sink: &mut impl ChunkSink,
        state: &mut Transfer,
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
                    let must_decode = state.must_decode;
                    *state = Transfer { hasher: Hasher::new(), received: 0, hold_until_verified, must_decode };
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
            // The existing bytes may belong to another file or be damaged; only a body received in one response proves
            // a wrong digest.
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

/// Whether a response contains everything from byte `from` on: `bytes 100-199/200`.
fn is_remaining_range(headers: &HeaderMap, from: u64) -> bool {
    let Some(text) = header_text(headers, header::CONTENT_RANGE) else { return false };
    let bounds = || {
        let (range, whole) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?.checked_add(1)?, whole.parse::<u64>().ok()?))
    };
    from > 0 && bounds().is_some_and(|(first, end, whole)| first == from && end == whole)
}

/// Writes to a file.
struct FileSink<'p> {
    file: File,
    /// Received bytes that are not written yet.
    buffer: BytesMut,
    /// Bytes of the body in the file and the buffer.
    position: u64,
    /// The number of bytes that `progress` has received.
    reported: u64,
    progress: &'p (dyn Fn(u64) + Sync),
}

impl FileSink<'_> {
    async fn write_buffer(&mut self) -> io::Result<()> {
        let written = self.file.write_all(&self.buffer).await;
        self.buffer.clear();
        written
    }

    /// Writes the buffer to the file; discards the file's content if nothing of it is valid.
    async fn settle(&mut self, valid_bytes: u64) -> io::Result<()> {
        if valid_bytes == 0 {
            return self.truncate().await;
        }
        self.write_buffer().await?;
        self.file.flush().await
    }

    async fn truncate(&mut self) -> io::Result<()> {
        self.buffer.clear();
        if std::mem::take(&mut self.position) > 0 {
            self.file.flush().await?;
            self.file.set_len(0).await?;
            self.file.seek(SeekFrom::Start(0)).await?;
        }
        Ok(())
    }
}

impl ChunkSink for FileSink<'_> {
    async fn begin(&mut self, _length: Option<u64>, _hold_until_verified: bool) -> io::Result<()> {
        self.truncate().await
    }

    async fn write_chunk(&mut self, piece: Bytes) -> io::Result<()> {
        self.position += piece.len() as u64;
        self.buffer.extend_from_slice(&piece);
        if self.buffer.len() >= BUFFER_SIZE {
            self.write_buffer().await?;
        }
        if self.position > self.reported {
            (self.progress)(self.position - self.reported);
            self.reported = self.position;
        }
        Ok(())
    }
}

/// Opens the file at `path` at its end, and creates it if it is missing; returns its digest so far and its length in
/// bytes.
fn open_and_hash(path: &Path, limit: u64) -> io::Result<(std::fs::File, Hasher, u64)> {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        // A device or a pipe may have no end.
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if metadata.len() > limit {
        file.set_len(0)?;
    }
    let mut hasher = Hasher::new();
    let length = hasher.update_from(&mut file)?;
    Ok((file, hasher, length))
}
