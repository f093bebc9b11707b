//! Resumes interrupted downloads of this process or of a killed one.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use reqwest::header::{self, HeaderMap};
use reqwest::{Method, StatusCode};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use crate::digest::{BUFFER_SIZE, Hasher, Sha256};

use super::error::{AttemptError, Error};
use super::response_body::header_text;
use super::retry::RetryState;
use super::{Client, Request};

/// An attempt that brought this many new bytes made progress: the count of attempts restarts.
const MIN_PROGRESS_BYTES: u64 = 1024 * 1024;

impl Client {
    /// Downloads to the file `part` like [`Client::download`], but keeps its content. The existing bytes are hashed,
    /// and only the rest is requested, also after an interrupted attempt. If upstream does not support ranges, or the
    /// result has the wrong digest, everything is downloaded again.
    ///
    /// After an error the file keeps the received bytes for the next run. No other process may write to it meanwhile.
    /// `progress` is called at once with the existing bytes. Attempts are counted from the last one that brought a
    /// megabyte.
    ///
    /// # Errors
    ///
    /// As for [`Client::download`]. After [`Error::Checksum`] the file is empty.
    pub async fn resume(
        &self,
        request: &Request<'_>,
        part: &Path,
        expected: Sha256,
        limit: u64,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, Error> {
        let inner = &self.inner;
        let mut tries = RetryState::new(inner.retries, inner.first_backoff, &inner.observer, &inner.proxies);
        let mut part = PartialDownload::open(part, limit).await?;
        let mut reported = part.received;
        if part.received > 0 {
            progress(part.received);
            if part.hasher.clone().finish() == expected {
                return Ok(part.received);
            }
        }
        let mut furthest = part.received;
        loop {
            let outcome = self.try_resume(request, &mut part, expected, limit, progress, &mut reported).await;
            // Also after an error: the received bytes are kept, and no write is pending when the next attempt begins.
            part.flush().await?;
            match outcome {
                Ok(()) => return Ok(part.received),
                Err(trouble) => {
                    if part.received >= furthest.saturating_add(MIN_PROGRESS_BYTES) {
                        furthest = part.received;
                        tries.reset();
                    }
                    tries.wait_after(trouble).await?;
                }
            }
        }
    }

    async fn try_resume(
        &self,
        request: &Request<'_>,
        part: &mut PartialDownload,
        expected: Sha256,
        limit: u64,
        progress: &(dyn Fn(u64) + Sync),
        reported: &mut u64,
    ) -> Result<(), AttemptError> {
        // The second round starts from an empty file, the third one decodes, so the loop ends.
        loop {
            if part.must_decode {
                // The number of decoded bytes is no offset in the encoded body.
                part.truncate().await.map_err(AttemptError::permanent)?;
            }
            let from = part.received;
            let mut incoming = self.send(Method::GET, request, "identity", from).await?;
            match incoming.response.status() {
                StatusCode::OK => {
                    if part.must_decode {
                        let codings = incoming.codings()?;
                        incoming.enable_decoding(&codings);
                    }
                    part.truncate().await.map_err(AttemptError::permanent)?;
                }
                StatusCode::PARTIAL_CONTENT if is_remaining_range(incoming.response.headers(), from) => {
                    incoming.set_offset(from)
                }
                StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
                    incoming.drain().await;
                    part.truncate().await.map_err(AttemptError::permanent)?;
                    continue;
                }
                _ => return Err(incoming.into_attempt_error().await),
            }
            let resumed_at = part.received;
            while let Some(chunk) = incoming.chunk(limit).await? {
                part.append(&chunk).await.map_err(AttemptError::permanent)?;
                if part.received > *reported {
                    progress(part.received - *reported);
                    *reported = part.received;
                }
            }
            let actual = part.hasher.clone().finish();
            if actual == expected {
                return Ok(());
            }
            part.truncate().await.map_err(AttemptError::permanent)?;
            // The existing bytes may belong to another file or be damaged; only a body received in one response proves
            // a wrong digest.
            if resumed_at == 0 {
                if part.must_decode || incoming.codings()?.is_empty() {
                    return Err(incoming.mismatch(expected, actual));
                }
                // Many servers label a file's own compression as an encoding. Here it is a real encoding.
                part.must_decode = true;
            }
        }
    }
}

/// Whether a response contains everything from byte `from` on: `bytes 100-199/200`.
pub(super) fn is_remaining_range(headers: &HeaderMap, from: u64) -> bool {
    let Some(text) = header_text(headers, header::CONTENT_RANGE) else { return false };
    let bounds = || {
        let (range, whole) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?.checked_add(1)?, whole.parse::<u64>().ok()?))
    };
    from > 0 && bounds().is_some_and(|(first, end, whole)| first == from && end == whole)
}

/// The existing part of a file, with its running digest.
struct PartialDownload {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    received: u64,
    /// Whether the body is decoded according to its `Content-Encoding`. Then a later request cannot continue the file.
    must_decode: bool,
    /// Bytes that are counted and hashed, but not written yet.
    buffer: BytesMut,
}

impl PartialDownload {
    async fn open(path: &Path, limit: u64) -> Result<PartialDownload, Error> {
        let path = path.to_owned();
        let opened = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || open_and_hash(&path, limit)).await
        };
        match opened.unwrap_or_else(|ended| Err(io::Error::other(ended))) {
            Ok((file, hasher, stored)) => Ok(PartialDownload {
                path,
                file: File::from_std(file),
                hasher,
                received: stored,
                must_decode: false,
                buffer: BytesMut::new(),
            }),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    async fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        self.received += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_SIZE { self.write_buffer().await } else { Ok(()) }
    }

    async fn write_buffer(&mut self) -> Result<(), Error> {
        let written = self.file.write_all(&self.buffer).await;
        self.buffer.clear();
        written.map_err(|source| Error::Io { path: self.path.clone(), source })
    }

    /// Writes the buffer to the file.
    async fn flush(&mut self) -> Result<(), Error> {
        self.write_buffer().await?;
        self.file.flush().await.map_err(|source| Error::Io { path: self.path.clone(), source })
    }

    /// Discards all bytes.
    async fn truncate(&mut self) -> Result<(), Error> {
        self.buffer.clear();
        self.hasher = Hasher::new();
        if self.received == 0 {
            return Ok(());
        }
        self.received = 0;
        let emptied = async {
            self.file.flush().await?;
            self.file.set_len(0).await?;
            self.file.seek(SeekFrom::Start(0)).await
        };
        emptied.await.map(|_| ()).map_err(|source| Error::Io { path: self.path.clone(), source })
    }
}

/// Opens the file at `path` at its end, and creates it if it is missing; returns its digest so far and its length in
/// bytes.
fn open_and_hash(path: &Path, limit: u64) -> io::Result<(std::fs::File, Hasher, u64)> {
    use std::io::Read as _;
    let mut file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut hasher = Hasher::new();
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        // A device or a pipe may have no end.
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if metadata.len() > limit {
        file.set_len(0)?;
    }
    let mut length_so_far = 0;
    let mut buffer = vec![0; BUFFER_SIZE];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((file, hasher, length_so_far)),
            Ok(length) => {
                hasher.update(&buffer[..length]);
                length_so_far += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
