//! One download for any number of clients. Its bytes are written to a separate file and hashed, and all waiting clients
//! read them from there as they arrive.
//!
//! No client gets the end of a file before its digest is verified. A client that would accept wrong bytes sees its
//! connection break instead.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use super::circuit_breaker::CircuitBreaker;
use super::error::LiveError;
use super::prefetch_budget::Admission;
use super::upstreams::{identity, with_breaker};
use crate::digest::Sha256;
use crate::durable;
use crate::http::{ChunkSink, Client, Request, Secret};
use crate::mirror::layout::Layout;
use crate::mirror::live::PartialFile;
use crate::safe_path::SafePath;
use crate::upstream::dist::MAX_DIST_FILE;

/// Bytes that are written and announced at a time.
const CHUNK_SIZE: usize = 64 * 1024;
/// The end of a file that is withheld until the whole file is verified, in bytes.
const UNVERIFIED_TAIL: u64 = 16 * 1024;
/// Minimum free disk space for a body of unknown length, in bytes.
const MIN_ALLOCATION: u64 = 1 << 20;
/// How long a client waits for the first bytes. Cargo gives up after 30 seconds without a byte.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(25);
/// A download that all clients have left ends after this time, unless the rest will arrive within the same time at the
/// current speed. A client that must retry is back by then.
const ABANDON_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a download is checked for waiting clients.
const ABANDON_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// How often a paused download checks whether it may continue.
const PAUSE_LOOKS: Duration = Duration::from_millis(20);

/// What to download.
pub(super) struct DownloadSpec {
    /// Its name in errors.
    pub(super) name: String,
    /// Its URL, which may contain a user name and a password.
    pub(super) url: String,
    /// The token to send.
    pub(super) token: Option<Secret>,
    /// The expected digest.
    pub(super) sha256: Sha256,
    /// Maximum size in bytes.
    pub(super) max_bytes: u64,
    /// Decides whether it continues; `None`: always.
    pub(super) gate: Option<Gate>,
}

impl DownloadSpec {
    /// A file of the dist server at `server_url`.
    pub(super) fn of_dist_file(server_url: &str, path: &SafePath, sha256: Sha256) -> DownloadSpec {
        let url = format!("{server_url}/{path}");
        DownloadSpec { name: path.to_string(), url, token: None, sha256, max_bytes: MAX_DIST_FILE, gate: None }
    }
}

/// Decides at each step whether a download continues.
pub(super) type Gate = Box<dyn Fn(Step) -> Admission + Send + Sync>;

/// A step of a download.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// A body of this length begins, for the first time or after a restart.
    Begins(Option<u64>),
    /// This many bytes of it have arrived.
    Received(u64),
}

/// A complete and verified file.
#[derive(Debug)]
pub(super) struct CompletedDownload {
    /// The file, protected from cleanup while this exists.
    pub(super) file: PartialFile,
    /// Size in bytes.
    pub(super) size: u64,
}

/// A running or finished download.
#[derive(Clone, Debug)]
pub struct SharedDownload {
    progress: watch::Receiver<Progress>,
    /// True once any client has waited; its receivers are the clients that wait now.
    clients: Arc<watch::Sender<bool>>,
    /// Only in a client's own handle.
    client: Option<watch::Receiver<bool>>,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    /// The file and its length if known, once a body has begun.
    started: Option<StartedDownload>,
    /// Bytes that clients may read.
    readable: u64,
    /// The result: the size in bytes, or an error.
    result: Option<Result<u64, LiveError>>,
}

/// A body that has begun.
#[derive(Clone, Debug)]
pub struct StartedDownload {
    file: Arc<File>,
    /// Counts the restarts: bytes of an earlier attempt may belong to another file.
    attempt: u32,
    /// Size of the whole file in bytes, if upstream states it.
    pub length: Option<u64>,
}

/// The writing side of a download.
pub(super) struct DownloadWriter {
    progress: watch::Sender<Progress>,
    clients: Arc<watch::Sender<bool>>,
    mirror: Layout,
}

impl SharedDownload {
    /// A download with its file among the partial files of `mirror`, and its writer.
    pub(super) fn create(mirror: Layout) -> (SharedDownload, DownloadWriter) {
        let (sender, receiver) = watch::channel(Progress::default());
        let clients = Arc::new(watch::Sender::new(false));
        let shared_download = SharedDownload { progress: receiver, clients: Arc::clone(&clients), client: None };
        (shared_download, DownloadWriter { progress: sender, clients, mirror })
    }

    /// A client's handle. When the last client drops its handle, the download is abandoned.
    pub(super) fn for_client(&self) -> SharedDownload {
        let client = Some(self.clients.subscribe());
        self.clients.send_replace(true);
        SharedDownload { progress: self.progress.clone(), clients: Arc::clone(&self.clients), client }
    }

    /// Whether it has neither a result nor a writer, because its task ended early.
    pub(super) fn is_aborted(&self) -> bool {
        self.progress.has_changed().is_err() && self.progress.borrow().result.is_none()
    }

    /// Waits for the first bytes.
    ///
    /// # Errors It failed, or does not start in time.
    pub async fn wait_started(&self) -> Result<StartedDownload, LiveError> {
        let mut progress = self.progress.clone();
        let begun = progress.wait_for(|now| now.started.is_some() || now.result.is_some());
        match tokio::time::timeout(CLIENT_TIMEOUT, begun).await {
            Ok(Ok(now)) => match (&now.result, &now.started) {
                (Some(Err(refusal)), _) => Err(refusal.clone()),
                (_, Some(begun)) => Ok(begun.clone()),
                _ => Err(aborted()),
            },
            Ok(Err(_)) => Err(aborted()),
            Err(_) => Err(LiveError::unavailable(
                "upstream is slow, and the download continues; try again",
                Duration::from_secs(2),
            )),
        }
    }

    /// Waits for the result, as long as a client may wait; returns the size in bytes.
    ///
    /// # Errors It is invalid, or not complete yet.
    pub async fn wait_length(&self) -> Result<u64, LiveError> {
        let slow = || {
            LiveError::unavailable("upstream is slow, and the download continues; try again", Duration::from_secs(2))
        };
        tokio::time::timeout(CLIENT_TIMEOUT, self.wait_finished()).await.unwrap_or_else(|_| Err(slow()))
    }

    /// Waits for the result.
    ///
    /// # Errors It is invalid, or failed.
    pub(super) async fn wait_finished(&self) -> Result<u64, LiveError> {
        let mut progress = self.progress.clone();
        let ended = progress.wait_for(|now| now.result.is_some()).await;
        ended.ok().and_then(|now| now.result.clone()).unwrap_or_else(|| Err(aborted()))
    }

    /// Streams the bytes from `start` up to `end` (`None`: the end of the file) as they arrive. The stream fails if the
    /// download fails, or restarts after bytes of it were sent.
    pub fn stream(
        &self,
        started: StartedDownload,
        start: u64,
        end: Option<u64>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let client = self.client.clone();
        let reader =
            DownloadReader { progress: self.progress.clone(), _client: client, started, start, position: start, end };
        futures_util::stream::unfold(Some(reader), |reader| async {
            let mut reader = reader?;
            match reader.next().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(reader))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

fn aborted() -> LiveError {
    LiveError::bad_gateway("the download was cancelled")
}

struct DownloadReader {
    progress: watch::Receiver<Progress>,
    _client: Option<watch::Receiver<bool>>,
    started: StartedDownload,
    start: u64,
    position: u64,
    end: Option<u64>,
}

impl DownloadReader {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let (readable, end, begun) = {
                let now = self.progress.borrow_and_update();
                (now.readable, now.result.clone(), now.started.clone())
            };
            if let Some(Err(refusal)) = end {
                return Err(io::Error::other(refusal.text));
            }
            if let Some(begun) = begun
                && begun.attempt != self.started.attempt
            {
                // The response headers with the length were already sent.
                if self.position > self.start || begun.length != self.started.length {
                    return Err(io::Error::other("upstream restarted the download"));
                }
                self.started = begun;
            }
            // The end of a range is withheld like the end of the file.
            let deliverable = |to: u64| if end.is_some() { to } else { to.saturating_sub(UNVERIFIED_TAIL) };
            let until = self.end.map_or(u64::MAX, deliverable).min(readable);
            if self.position < until {
                let wanted = usize::try_from(until - self.position).unwrap_or(CHUNK_SIZE).min(CHUNK_SIZE);
                // Recently written data is in memory, so reading it does not block.
                let piece = read_at(&self.started.file, self.position, wanted)?;
                self.position += piece.len() as u64;
                return Ok(Some(piece));
            }
            let over = self.end.is_some_and(|end| self.position >= end);
            if over || end.is_some_and(|end| end.is_ok_and(|size| self.position >= size)) {
                return Ok(None);
            }
            self.progress.changed().await.map_err(|_| io::Error::other("the download was cancelled"))?;
        }
    }
}

#[cfg(unix)]
fn read_at(file: &File, at: u64, wanted: usize) -> io::Result<Bytes> {
    use std::os::unix::fs::FileExt as _;
    let mut piece = vec![0; wanted];
    file.read_exact_at(&mut piece, at)?;
    Ok(piece.into())
}

#[cfg(windows)]
fn read_at(file: &File, at: u64, wanted: usize) -> io::Result<Bytes> {
    use std::os::windows::fs::FileExt as _;
    let mut piece = vec![0; wanted];
    let length = file.seek_read(&mut piece, at)?;
    piece.truncate(length);
    if piece.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(piece.into()) }
}

impl DownloadWriter {
    /// Downloads the file and informs all waiting clients; returns the verified file.
    ///
    /// # Errors The error that the clients get.
    pub(super) async fn run(
        self,
        client: &Client,
        breaker: &CircuitBreaker,
        spec: &DownloadSpec,
    ) -> Result<CompletedDownload, LiveError> {
        let mut writer = PartialFileSink::new(&self, breaker);
        writer.gate = spec.gate.as_ref();
        let request = Request { authorization: spec.token.as_ref(), ..Request::new(&spec.url) };
        let flown = client.download_to_sink(&request, spec.sha256, spec.max_bytes, &mut writer);
        let flown = tokio::select! {
            biased;
            flown = with_breaker(breaker, &spec.name, flown, identity) => flown,
            () = self.wait_abandoned() => Err(LiveError::abandoned(&spec.name)),
        };
        let completed = match flown {
            Err(_) if writer.is_given_up => Err(LiveError::given_up(&spec.name)),
            Ok(size) => writer.finish(size).await.map_err(|error| LiveError::store_failed(&spec.name, &error)),
            Err(refusal) => Err(refusal),
        };
        self.progress.send_modify(|now| match &completed {
            Ok(landed) => {
                now.readable = landed.size;
                now.result = Some(Ok(landed.size));
            }
            Err(refusal) => now.result = Some(Err(refusal.clone())),
        });
        completed
    }

    /// Returns once no client has waited for the download for [`ABANDON_TIMEOUT`] and the rest would not arrive within
    /// that time. A download that no client ever waited for is not abandoned.
    async fn wait_abandoned(&self) {
        let mut samples = std::collections::VecDeque::new();
        let mut since = None;
        loop {
            tokio::time::sleep(ABANDON_CHECK_INTERVAL).await;
            let now = tokio::time::Instant::now();
            let (readable, length) = {
                let progress = self.progress.borrow();
                (progress.readable, progress.started.as_ref().and_then(|begun| begun.length))
            };
            samples.push_back((now, readable));
            while samples.front().is_some_and(|(then, _)| now - *then > ABANDON_TIMEOUT) {
                samples.pop_front();
            }
            if self.clients.receiver_count() > 0 || !*self.clients.borrow() {
                since = None;
                continue;
            }
            let since = *since.get_or_insert(now);
            let recent = readable.saturating_sub(samples.front().map_or(readable, |(_, then)| *then));
            let is_nearly_done = length.is_some_and(|length| length.saturating_sub(readable) <= recent);
            if now - since >= ABANDON_TIMEOUT && !is_nearly_done {
                return;
            }
        }
    }

    /// Informs all waiting clients that the download failed.
    pub(super) fn fail(self, refusal: LiveError) {
        self.progress.send_modify(|now| now.result = Some(Err(refusal)));
    }
}

/// Writes the arriving bytes.
struct PartialFileSink<'p> {
    download: &'p DownloadWriter,
    breaker: &'p CircuitBreaker,
    part: Option<OpenPart>,
    attempt: u32,
    length: Option<u64>,
    /// Bytes of the current body that are in the file.
    written: u64,
    /// Bytes in the file when the download restarted. While the new body has the same bytes, clients need not know of
    /// the restart.
    previous_length: u64,
    buffer: BytesMut,
    /// Clients may see nothing of this body before the whole is verified.
    hold_until_verified: bool,
    gate: Option<&'p Gate>,
    /// Bytes of the body that have arrived.
    received: u64,
    /// The gate ended the download.
    is_given_up: bool,
}

struct OpenPart {
    partial: PartialFile,
    file: tokio::fs::File,
    shared: Arc<File>,
}

impl<'p> PartialFileSink<'p> {
    fn new(download_writer: &'p DownloadWriter, breaker: &'p CircuitBreaker) -> PartialFileSink<'p> {
        PartialFileSink {
            download: download_writer,
            breaker,
            part: None,
            attempt: 0,
            length: None,
            written: 0,
            previous_length: 0,
            buffer: BytesMut::new(),
            hold_until_verified: false,
            gate: None,
            received: 0,
            is_given_up: false,
        }
    }
}

impl PartialFileSink<'_> {
    /// Waits until the gate lets the download continue.
    async fn pass(&mut self, step: Step) -> io::Result<()> {
        let Some(gate) = self.gate else { return Ok(()) };
        loop {
            match gate(step) {
                Admission::Admitted => return Ok(()),
                Admission::Paused => tokio::time::sleep(PAUSE_LOOKS).await,
                Admission::Refused => {
                    self.is_given_up = true;
                    return Err(io::Error::other("the prefetch was cancelled"));
                }
            }
        }
    }

    async fn flush_buffer(&mut self) -> io::Result<()> {
        let Some(part) = &mut self.part else { return Ok(()) };
        let repeated = usize::try_from(self.previous_length.saturating_sub(self.written)).unwrap_or(usize::MAX);
        let (known, new) = self.buffer.split_at(repeated.min(self.buffer.len()));
        if !known.is_empty() && read_at(&part.shared, self.written, known.len())? != known {
            return self.restart().await;
        }
        part.file.write_all(new).await?;
        part.file.flush().await?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if self.hold_until_verified {
            return Ok(());
        }
        let readable = self.written.saturating_sub(UNVERIFIED_TAIL);
        self.download.progress.send_if_modified(|now| {
            let more = readable > now.readable;
            now.readable = now.readable.max(readable);
            more
        });
        Ok(())
    }

    /// The new body differs from the earlier one: clients that read from that one are informed.
    async fn restart(&mut self) -> io::Result<()> {
        let Some(part) = &mut self.part else { return Ok(()) };
        self.attempt += 1;
        let begun = StartedDownload { file: Arc::clone(&part.shared), attempt: self.attempt, length: self.length };
        self.download.progress.send_modify(|now| {
            now.started = (!self.hold_until_verified).then_some(begun);
            now.readable = 0;
        });
        // The equal prefix is kept.
        part.file.set_len(self.written).await?;
        part.file.seek(io::SeekFrom::Start(self.written)).await?;
        part.file.write_all(&self.buffer).await?;
        part.file.flush().await?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        self.previous_length = 0;
        Ok(())
    }

    async fn finish(mut self, size: u64) -> io::Result<CompletedDownload> {
        self.flush_buffer().await?;
        if self.previous_length > self.written {
            // The new body is shorter than what arrived before.
            self.restart().await?;
        }
        let OpenPart { partial, shared, .. } = self.part.ok_or_else(|| io::Error::other("upstream sent nothing"))?;
        self.download.progress.send_modify(|now| {
            // Clients do not see an unverified body.
            now.started.get_or_insert(StartedDownload { file: shared, attempt: self.attempt, length: Some(size) });
        });
        Ok(CompletedDownload { file: partial, size })
    }

    /// Opens a file and allocates the body's size. If the disk is full, clients are informed before any byte is sent.
    async fn open_part(&mut self) -> io::Result<()> {
        let mirror = self.download.mirror.clone();
        let space = self.length.unwrap_or(MIN_ALLOCATION);
        let made = tokio::task::spawn_blocking(move || {
            let partial = PartialFile::create(&mirror).map_err(|error| io::Error::new(error.source.kind(), error))?;
            let (writer, reader) = (partial.file().try_clone()?, partial.file().try_clone()?);
            durable::allocate(&writer, space)?;
            io::Result::Ok((partial, writer, reader))
        });
        let (partial, writer, reader) = made.await.map_err(io::Error::other)??;
        self.part = Some(OpenPart { partial, file: tokio::fs::File::from_std(writer), shared: Arc::new(reader) });
        Ok(())
    }
}

impl ChunkSink for PartialFileSink<'_> {
    async fn begin(&mut self, length: Option<u64>, hold_until_verified: bool) -> io::Result<()> {
        // A body may take long: meanwhile the upstream must not count as down.
        self.breaker.record_response_start();
        self.received = 0;
        self.pass(Step::Begins(length)).await?;
        self.buffer.clear();
        self.previous_length = self.previous_length.max(self.written);
        self.written = 0;
        let is_other = self.length != length;
        self.length = length;
        self.hold_until_verified = hold_until_verified;
        if self.part.is_some() && !is_other {
            return Ok(());
        }
        match &self.part {
            None => self.open_part().await?,
            Some(part) => {
                let (file, space) = (Arc::clone(&part.shared), length.unwrap_or(MIN_ALLOCATION));
                let given = tokio::task::spawn_blocking(move || durable::allocate(&file, space));
                given.await.map_err(io::Error::other)??;
            }
        }
        self.restart().await
    }

    async fn write_chunk(&mut self, piece: Bytes) -> io::Result<()> {
        self.received += piece.len() as u64;
        self.pass(Step::Received(self.received)).await?;
        self.buffer.extend_from_slice(&piece);
        if self.buffer.len() >= CHUNK_SIZE { self.flush_buffer().await } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
