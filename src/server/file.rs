//! Files of the mirror: opened only below its root, and streamed in chunks that are read outside of the network
//! threads.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::request_body::UnreadBody;
use super::response_budget::{BodyChunk, CHUNK_SIZE, Reservation, STREAMED_BYTES};
use super::sendfile::MemfdBody;
use crate::file_stamp::FileStamp;
use crate::safe_path::SafePath;

/// An open file of the mirror. It stays the same file even if an import replaces it.
pub(super) struct OpenFile {
    /// The file, positioned at its start.
    pub file: File,
    /// Identifies this version of the file.
    pub stamp: FileStamp,
}

/// Opens a file of the mirror; `None` if it does not exist, or the mirror itself does not exist.
pub(super) fn open(mirror: &Path, path: &SafePath) -> io::Result<Option<OpenFile>> {
    let opened = match open_without_links(mirror, path) {
        Err(e) if is_link(&e) => open_through_links(mirror, path),
        opened => opened,
    };
    let file = match opened {
        Ok(file) => file,
        Err(e) if is_absent(&e) => return Ok(None),
        Err(e) => return Err(e),
    };
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then(|| OpenFile { file, stamp: FileStamp::of(&metadata) }))
}

/// Opens a file at a path that did not come from a request; `None` if it does not exist or is not a regular file.
pub(super) fn open_trusted(path: &Path) -> io::Result<Option<OpenFile>> {
    let file = match open_plain(path) {
        Ok(file) => file,
        Err(e) if is_absent(&e) => return Ok(None),
        Err(e) => return Err(e),
    };
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then(|| OpenFile { file, stamp: FileStamp::of(&metadata) }))
}

/// The fast way: the kernel refuses every link in the path.
#[cfg(target_os = "linux")]
fn open_without_links(mirror: &Path, path: &SafePath) -> io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
    let root = openat(CWD, mirror, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // Opening a pipe must not block the thread until another process writes to it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(root, path.as_str(), flags, Mode::empty(), resolve)?.into())
}

/// Other systems always use the slow way.
#[cfg(not(target_os = "linux"))]
fn open_without_links(mirror: &Path, path: &SafePath) -> io::Result<File> {
    open_through_links(mirror, path)
}

/// The slow way: resolves all links first, and opens only a file that lies in the mirror and is not hidden there.
fn open_through_links(mirror: &Path, path: &SafePath) -> io::Result<File> {
    let outside = || io::Error::from(io::ErrorKind::NotFound);
    let root = fs::canonicalize(mirror)?;
    let real = fs::canonicalize(path.below(&root))?;
    let inside = real.strip_prefix(&root).map_err(|_| outside())?;
    if inside.iter().any(|part| part.as_encoded_bytes().starts_with(b".")) {
        return Err(outside());
    }
    open_plain(&real)
}

#[cfg(unix)]
fn open_plain(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    Ok(open(path, flags, Mode::empty())?.into())
}

#[cfg(not(unix))]
fn open_plain(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Whether the path contains a link, or the kernel lacks the check (before 5.6, or in some containers).
#[cfg(target_os = "linux")]
fn is_link(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let link = [Errno::LOOP, Errno::XDEV, Errno::AGAIN, Errno::NOSYS, Errno::PERM];
    error.raw_os_error().is_some_and(|code| link.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(not(target_os = "linux"))]
fn is_link(_: &io::Error) -> bool {
    false
}

fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    let kinds = [NotFound, NotADirectory, InvalidFilename];
    // A link loop has no target.
    kinds.contains(&error.kind()) || is_link_loop(error)
}

#[cfg(unix)]
fn is_link_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

#[cfg(not(unix))]
fn is_link_loop(_: &io::Error) -> bool {
    false
}

/// Bytes from another source, and their number if known.
struct StreamedBody {
    chunks: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    remaining: Option<u64>,
}

/// A body that is built later.
type DeferredBody = Pin<Box<dyn Future<Output = io::Result<OutgoingBody>> + Send>>;

/// A response's body: bytes in memory, optionally followed by the rest of a file; or bytes from another source.
pub struct OutgoingBody {
    /// Builds the body once there is space for it; and its length in bytes, if known.
    deferred: Option<(DeferredBody, Option<u64>)>,
    /// The body's share of its connection's budget.
    reservation: Option<Arc<Reservation>>,
    /// The permit of a page.
    _page_permit: Option<OwnedSemaphorePermit>,
    buffered: Option<Bytes>,
    pending_read: Option<JoinHandle<io::Result<(File, Bytes)>>>,
    /// Bytes from another source, sent as they arrive.
    stream: Option<StreamedBody>,
    /// The file, until its next chunk is read.
    file: Option<File>,
    /// Whether a chunk is read while the one before it is being sent.
    reads_ahead: bool,
    /// Bytes of the file that follow those in memory.
    remaining: u64,
    /// Whether a chunk was sent, so that other connections get a turn before the next one.
    has_yielded: bool,
    /// The memfd copy of the bytes in memory.
    memfd: Option<Arc<MemfdBody>>,
    /// How many of the bytes in memory are sent at once.
    chunk_size: usize,
    /// The unread rest of the request's body, after which the response ends; and whether hyper knows its length.
    unread_request: Option<(UnreadBody, bool)>,
}

impl OutgoingBody {
    /// A body of these bytes.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> OutgoingBody {
        OutgoingBody {
            buffered: Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()),
            ..OutgoingBody::default()
        }
    }

    /// A body of bytes sent as they arrive, `length` of them if known. An error closes the connection.
    pub(super) fn from_stream(
        length: Option<u64>,
        pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> OutgoingBody {
        OutgoingBody {
            stream: Some(StreamedBody { chunks: Box::pin(pieces), remaining: length }),
            ..OutgoingBody::default()
        }
    }

    /// A body of `length` bytes, if known, that is built once there is space for it.
    pub(super) fn deferred(
        length: Option<u64>,
        body: impl Future<Output = io::Result<OutgoingBody>> + Send + 'static,
    ) -> OutgoingBody {
        OutgoingBody { deferred: Some((Box::pin(body), length)), ..OutgoingBody::default() }
    }

    /// Adds the body's share of its connection's budget.
    pub(super) fn with_reservation(self, hold: Arc<Reservation>) -> OutgoingBody {
        OutgoingBody { reservation: Some(hold), ..self }
    }

    /// Adds the permit of a page.
    pub(super) fn with_page_permit(self, page: Option<OwnedSemaphorePermit>) -> OutgoingBody {
        OutgoingBody { _page_permit: page, ..self }
    }

    /// Delays the end of the body until the unread rest of the request's body has arrived. With `states_length`, hyper
    /// still adds `Content-Length`.
    pub(super) fn with_unread_request(self, unread: UnreadBody, states_length: bool) -> OutgoingBody {
        OutgoingBody { unread_request: Some((unread, states_length)), ..self }
    }

    /// Memory in bytes that the body needs at most, and whether it keeps a file open; `None` if it needs nothing or has
    /// its share.
    pub(super) fn cost(&self) -> Option<(usize, bool)> {
        if self.reservation.is_some() || self.deferred.is_some() {
            return None;
        }
        let streams = self.file.is_some() || self.pending_read.is_some() || self.stream.is_some();
        let bytes = self.buffered.as_ref().map_or(0, Bytes::len);
        match (streams, bytes) {
            (true, _) => Some((STREAMED_BYTES.max(bytes), true)),
            (false, 0) => None,
            (false, bytes) => Some((bytes, false)),
        }
    }

    /// Whether the bytes are sent as they arrive, so that the body cannot be built again.
    pub(super) fn is_streaming(&self) -> bool {
        self.stream.is_some()
    }

    /// Adds a memfd copy of the bytes.
    pub(super) fn with_memfd(self, memfd_copy: Option<Arc<MemfdBody>>) -> OutgoingBody {
        OutgoingBody { memfd: memfd_copy, ..self }
    }

    /// Takes the memfd copy, for a connection that sends from it. Such a body is sent as one chunk.
    pub(super) fn take_memfd(&mut self) -> Option<Arc<MemfdBody>> {
        let memfd_copy = self.memfd.take()?;
        self.chunk_size = usize::MAX;
        Some(memfd_copy)
    }

    /// A part of a file. Call it where blocking is allowed.
    pub fn from_file(mut file: File, start: u64, length: u64) -> io::Result<OutgoingBody> {
        if start > 0 {
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(OutgoingBody { remaining: length, file: Some(file).filter(|_| length > 0), ..OutgoingBody::default() })
    }
}

impl OutgoingBody {
    /// Polls for the next bytes.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(mut bytes) = self.buffered.take() {
            if bytes.len() <= self.chunk_size {
                self.has_yielded = false;
                return Poll::Ready(Some(Ok(bytes)));
            }
            // Small chunks in turn keep the data in flight of many connections within the processor's caches. They also
            // prevent a large response from delaying others.
            if self.has_yielded {
                self.has_yielded = false;
                self.buffered = Some(bytes);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.has_yielded = true;
            let piece = bytes.split_to(self.chunk_size);
            self.buffered = Some(bytes);
            return Poll::Ready(Some(Ok(piece)));
        }
        if let Some(coming) = &mut self.stream {
            let piece = ready!(coming.chunks.as_mut().poll_next(cx));
            match &piece {
                Some(Ok(piece)) => {
                    coming.remaining = coming.remaining.map(|left| left.saturating_sub(piece.len() as u64))
                }
                _ => self.stream = None,
            }
            return Poll::Ready(piece);
        }
        if let Some(file) = self.file.take() {
            self.pending_read = Some(spawn_read(file, self.remaining));
        }
        let Some(reading) = &mut self.pending_read else { return Poll::Ready(None) };
        let read = ready!(Pin::new(reading).poll(cx));
        self.pending_read = None;
        let (file, piece) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(source)) => return Poll::Ready(Some(Err(source))),
            Err(stopped) => return Poll::Ready(Some(Err(io::Error::other(stopped)))),
        };
        self.remaining -= piece.len() as u64;
        if self.remaining > 0 && self.reads_ahead {
            self.pending_read = Some(spawn_read(file, self.remaining));
        } else if self.remaining > 0 {
            // The second chunk is read when the client has a window for the first.
            (self.file, self.reads_ahead) = (Some(file), true);
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

impl Default for OutgoingBody {
    fn default() -> OutgoingBody {
        OutgoingBody {
            deferred: None,
            reservation: None,
            _page_permit: None,
            buffered: None,
            pending_read: None,
            stream: None,
            file: None,
            reads_ahead: false,
            remaining: 0,
            has_yielded: false,
            memfd: None,
            chunk_size: CHUNK_SIZE,
            unread_request: None,
        }
    }
}

/// Reads `length` bytes, the capacity of `chunk`, from a file.
fn read_chunk(file: &mut File, mut chunk: Vec<u8>, length: usize) -> io::Result<Bytes> {
    file.take(length as u64).read_to_end(&mut chunk)?;
    if chunk.len() < length {
        // Another process truncated the file in place. Closing the connection shows the client the error.
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(chunk.into())
}

/// Reads the next chunk of a file with `left` bytes left.
fn spawn_read(mut file: File, left: u64) -> JoinHandle<io::Result<(File, Bytes)>> {
    let length = usize::try_from(left).unwrap_or(CHUNK_SIZE).min(CHUNK_SIZE);
    // Allocated here: the allocator keeps freed memory for each thread, and there are few of these threads.
    let chunk = Vec::with_capacity(length);
    tokio::task::spawn_blocking(move || {
        let piece = read_chunk(&mut file, chunk, length)?;
        Ok((file, piece))
    })
}

impl Body for OutgoingBody {
    type Data = BodyChunk;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<BodyChunk>>>> {
        if let Some((later, _)) = &mut self.deferred {
            let made = ready!(later.as_mut().poll(cx));
            self.deferred = None;
            match made {
                Ok(content) => {
                    let unread_request = self.unread_request.take();
                    *self = OutgoingBody { unread_request, ..content };
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        let bytes = ready!(self.poll_bytes(cx));
        if bytes.is_none()
            && let Some((unread, _)) = &mut self.unread_request
        {
            ready!(unread.poll_discard(cx));
            self.unread_request = None;
        }
        let hold = self.reservation.clone();
        Poll::Ready(bytes.map(|bytes| bytes.map(|bytes| Frame::data(BodyChunk::new(bytes, hold)))))
    }

    fn is_end_stream(&self) -> bool {
        self.deferred.is_none()
            && self.unread_request.is_none()
            && self.buffered.is_none()
            && self.file.is_none()
            && self.pending_read.is_none()
            && self.stream.as_ref().is_none_or(|coming| coming.remaining == Some(0))
    }

    fn size_hint(&self) -> SizeHint {
        if let Some((_, states_length)) = &self.unread_request
            && !states_length
        {
            return SizeHint::default();
        }
        if let Some((_, length)) = &self.deferred {
            return length.map_or_else(SizeHint::default, SizeHint::with_exact);
        }
        if let Some(coming) = &self.stream {
            return coming.remaining.map_or_else(SizeHint::default, SizeHint::with_exact);
        }
        if self.unread_request.is_some() && self.buffered.is_none() {
            // hyper would add `Content-Length: 0` to a response that must not have one, such as a 204.
            return SizeHint::default();
        }
        SizeHint::with_exact(self.buffered.as_ref().map_or(0, |bytes| bytes.len() as u64) + self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn path(text: &str) -> SafePath {
        text.parse().expect("a safe path")
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_inside_the_mirror_only() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().expect("folder");
        let mirror = folder.path().join("mirror");
        for sub in ["dist", ".frostmirror"] {
            fs::create_dir_all(mirror.join(sub)).expect("folder");
        }
        fs::write(folder.path().join("secret"), "secret").expect("write");
        fs::write(mirror.join("dist/file"), "file").expect("write");
        fs::write(mirror.join(".frostmirror/state"), "state").expect("write");
        for (target, link) in [
            ("file", "dist/inside"),
            ("../../secret", "dist/outside"),
            ("/etc/hostname", "dist/absolute"),
            ("../.frostmirror/state", "dist/hidden"),
            ("circle", "dist/circle"),
            ("../..", "dist/up"),
        ] {
            symlink(target, mirror.join(link)).expect("link");
        }
        let stored = |name: &str| open(&mirror, &path(name)).expect("no error").is_some();
        assert!(stored("dist/file") && stored("dist/inside"));
        for name in
            ["dist/outside", "dist/absolute", "dist/hidden", "dist/circle", "dist/up/secret", "dist", "dist/file/x"]
        {
            assert!(!stored(name), "{name}");
        }
        symlink(&mirror, folder.path().join("elsewhere")).expect("link");
        assert!(open(&folder.path().join("elsewhere"), &path("dist/file")).expect("no error").is_some());
        assert!(open(&folder.path().join("nowhere"), &path("dist/file")).expect("no error").is_none());
    }

    #[tokio::test]
    async fn chunks_add_up_to_the_requested_range() {
        let folder = tempfile::tempdir().expect("folder");
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * CHUNK_SIZE + 17).collect();
        fs::write(folder.path().join("x"), &bytes).expect("write");
        for (start, length) in [(0, bytes.len()), (5, CHUNK_SIZE), (5, CHUNK_SIZE + 1), (bytes.len() - 1, 1), (7, 0)] {
            let stored = open(folder.path(), &path("x")).expect("open").expect("there");
            let content = OutgoingBody::from_file(stored.file, start as u64, length as u64).expect("read");
            assert_eq!(content.size_hint().exact(), Some(length as u64));
            let read = content.collect().await.expect("body").to_bytes();
            assert!(read == bytes[start..start + length], "{start} {length}");
        }
        let stored = open(folder.path(), &path("x")).expect("open").expect("there");
        let content = OutgoingBody::from_file(stored.file, 0, bytes.len() as u64 + 1).expect("read");
        assert!(content.collect().await.is_err(), "a truncated file is not a complete body");
    }
}
