//! Files of the mirror: opened below its root only, and streamed in pieces that are read off the network's threads.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::Stream;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::budget::{Hold, Piece, STREAMED};
use super::twin::Twin;
use crate::safe_path::SafePath;

/// Bytes in one piece of a body. A file of this size or less is one piece: it is read at once, and leaves in one
/// write together with its headers.
pub(super) const PIECE: usize = 64 * 1024;

/// An open file of the mirror. It stays the same file even when an import puts another in its place.
pub(super) struct Held {
    /// The file, at its beginning.
    pub file: File,
    /// What tells it from any other.
    pub stamp: Stamp,
}

/// What the file system knows of a file: equal stamps of one path mean equal bytes, unless the file is younger than
/// the clock of the file system can tell (see [`Stamp::is_settled`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Bytes in the file.
    pub size: u64,
    /// Time of the last change of its bytes.
    pub modified: Option<SystemTime>,
    /// Nanoseconds since 1970 of the last change of anything about it, where the system knows, else of its bytes.
    changed: i128,
    /// The file system and the inode.
    identity: (u64, u64),
}

impl Stamp {
    /// The stamp of the file at a path now, wherever links lead: equal stamps are of the same file.
    pub fn at(path: &Path) -> io::Result<Stamp> {
        fs::metadata(path).map(|metadata| Stamp::of(&metadata))
    }

    /// The stamp of what is in memory alone, which changes by itself never.
    pub fn of_memory(size: u64) -> Stamp {
        Stamp { size, modified: None, changed: 0, identity: (0, 0) }
    }

    fn of(metadata: &fs::Metadata) -> Stamp {
        let modified = metadata.modified().ok();
        let (changed, identity) = identity(metadata, modified);
        Stamp { size: metadata.len(), modified, changed, identity }
    }

    /// Whether the file is old enough that a later change is sure to give another stamp. File systems count time in
    /// steps of some milliseconds (FAT: two seconds).
    pub fn is_settled(&self, now: SystemTime) -> bool {
        const STEP: i128 = 2_000_000_000;
        nanoseconds(now) - self.changed > STEP
    }

    /// A strong entity tag. Files are never written in place, so that another content is another inode or another
    /// time; hashing gigabytes before the first byte leaves is no option.
    pub fn etag(&self) -> String {
        format!("\"{:x}-{:x}-{:x}\"", self.size, self.changed, self.identity.1)
    }
}

#[cfg(unix)]
fn identity(metadata: &fs::Metadata, _: Option<SystemTime>) -> (i128, (u64, u64)) {
    use std::os::unix::fs::MetadataExt;
    (i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec()), (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata, modified: Option<SystemTime>) -> (i128, (u64, u64)) {
    (modified.map_or(0, nanoseconds), (0, 0))
}

fn nanoseconds(time: SystemTime) -> i128 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
}

/// Opens a file of the mirror; `None` where there is none, be it that the whole mirror is not there yet.
pub(super) fn open(mirror: &Path, path: &SafePath) -> io::Result<Option<Held>> {
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
    Ok(metadata.is_file().then(|| Held { file, stamp: Stamp::of(&metadata) }))
}

/// Opens a file at a path that did not come from a request; `None` where there is none, or something that is no file.
pub(super) fn open_trusted(path: &Path) -> io::Result<Option<Held>> {
    let file = match open_plain(path) {
        Ok(file) => file,
        Err(e) if is_absent(&e) => return Ok(None),
        Err(e) => return Err(e),
    };
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then(|| Held { file, stamp: Stamp::of(&metadata) }))
}

/// The quick way: the kernel refuses every link on the way.
#[cfg(target_os = "linux")]
fn open_without_links(mirror: &Path, path: &SafePath) -> io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
    let root = openat(CWD, mirror, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // A pipe must not hold the thread until somebody writes to it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(root, path.as_str(), flags, Mode::empty(), resolve)?.into())
}

/// Elsewhere there is only the careful way.
#[cfg(not(target_os = "linux"))]
fn open_without_links(mirror: &Path, path: &SafePath) -> io::Result<File> {
    open_through_links(mirror, path)
}

/// The careful way: where every link leads is found out first, and only what lies in the mirror, and is not hidden
/// there, is opened.
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

/// A link stood in the way, or this kernel cannot look out for them (before 5.6, or within some containers).
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
    // A link that goes in circles leads nowhere.
    kinds.contains(&error.kind()) || is_circle(error)
}

#[cfg(unix)]
fn is_circle(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

#[cfg(not(unix))]
fn is_circle(_: &io::Error) -> bool {
    false
}

/// Bytes that come from elsewhere, and how many there will be, where that is known.
struct Coming {
    pieces: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    left: Option<u64>,
}

/// A body that is not there yet.
type Later = Pin<Box<dyn Future<Output = io::Result<Content>> + Send>>;

/// A response's body: bytes at hand, and perhaps the rest of a file; or bytes that come from elsewhere.
pub struct Content {
    /// The body itself, when there is room for it, and how many bytes it will have.
    later: Option<(Later, Option<u64>)>,
    /// What the body may hold.
    hold: Option<Arc<Hold>>,
    /// Room for one page of those that a connection may have.
    _page: Option<OwnedSemaphorePermit>,
    ready: Option<Bytes>,
    rest: Option<JoinHandle<io::Result<(File, Bytes)>>>,
    /// Bytes that come from elsewhere, as they come.
    coming: Option<Coming>,
    /// Bytes of the file that follow those at hand.
    left: u64,
    /// Whether a piece of those at hand has left, and others are to have their turn before the next one.
    paused: bool,
    /// The twin of the bytes at hand.
    twin: Option<Arc<Twin>>,
    /// How many of the bytes at hand leave at once.
    piece: usize,
}

impl Content {
    /// A body of these bytes.
    pub fn of(bytes: impl Into<Bytes>) -> Content {
        Content { ready: Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()), ..Content::default() }
    }

    /// Bytes as they come, `length` of them where that is known. An error breaks the connection.
    pub(super) fn coming(
        length: Option<u64>,
        pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Content {
        Content { coming: Some(Coming { pieces: Box::pin(pieces), left: length }), ..Content::default() }
    }

    /// A body of `length` bytes, where that is known, that is made when there is room for it.
    pub(super) fn later(
        length: Option<u64>,
        body: impl Future<Output = io::Result<Content>> + Send + 'static,
    ) -> Content {
        Content { later: Some((Box::pin(body), length)), ..Content::default() }
    }

    /// The same body, with what it may hold.
    pub(super) fn holding(self, hold: Arc<Hold>) -> Content {
        Content { hold: Some(hold), ..self }
    }

    /// The same body, one of the pages of its connection.
    pub(super) fn keeping_page(self, page: Option<OwnedSemaphorePermit>) -> Content {
        Content { _page: page, ..self }
    }

    /// Bytes that the body takes in memory at most, and whether it keeps a file open; `None`: it takes nothing, or has
    /// what it may hold.
    pub(super) fn cost(&self) -> Option<(usize, bool)> {
        if self.hold.is_some() || self.later.is_some() {
            return None;
        }
        let streams = self.rest.is_some() || self.coming.is_some();
        let bytes = self.ready.as_ref().map_or(0, Bytes::len);
        match (streams, bytes) {
            (true, _) => Some((STREAMED.max(bytes), true)),
            (false, 0) => None,
            (false, bytes) => Some((bytes, false)),
        }
    }

    /// Whether the bytes come from elsewhere as they come, and could not be had again at once.
    pub(super) fn is_coming(&self) -> bool {
        self.coming.is_some()
    }

    /// The same, whose bytes may have a twin.
    pub(super) fn with_twin(self, twin: Option<Arc<Twin>>) -> Content {
        Content { twin, ..self }
    }

    /// The twin, for a connection that sends from it. What is sent without being copied goes in one piece.
    pub(super) fn give_twin(&mut self) -> Option<Arc<Twin>> {
        let twin = self.twin.take()?;
        self.piece = usize::MAX;
        Some(twin)
    }

    /// A part of a file. Its first piece is read here; call it where reading may block.
    pub fn of_file(mut file: File, start: u64, length: u64) -> io::Result<Content> {
        if start > 0 {
            file.seek(SeekFrom::Start(start))?;
        }
        let first = read_piece(&mut file, length)?;
        let left = length - first.len() as u64;
        let mut content = Content { left, ..Content::of(first) };
        if left > 0 {
            content.rest = Some(read_on(file, left));
        }
        Ok(content)
    }
}

impl Content {
    /// The next bytes.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(mut bytes) = self.ready.take() {
            if bytes.len() <= self.piece {
                self.paused = false;
                return Poll::Ready(Some(Ok(bytes)));
            }
            // Piece by piece and in turn, many connections have less on its way than the processor's caches hold, and
            // nobody waits for another's large answer.
            if self.paused {
                self.paused = false;
                self.ready = Some(bytes);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.paused = true;
            let piece = bytes.split_to(self.piece);
            self.ready = Some(bytes);
            return Poll::Ready(Some(Ok(piece)));
        }
        if let Some(coming) = &mut self.coming {
            let piece = ready!(coming.pieces.as_mut().poll_next(cx));
            match &piece {
                Some(Ok(piece)) => coming.left = coming.left.map(|left| left.saturating_sub(piece.len() as u64)),
                _ => self.coming = None,
            }
            return Poll::Ready(piece);
        }
        let Some(reading) = &mut self.rest else { return Poll::Ready(None) };
        let read = ready!(Pin::new(reading).poll(cx));
        self.rest = None;
        let (file, piece) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(source)) => return Poll::Ready(Some(Err(source))),
            Err(stopped) => return Poll::Ready(Some(Err(io::Error::other(stopped)))),
        };
        self.left -= piece.len() as u64;
        if self.left > 0 {
            self.rest = Some(read_on(file, self.left));
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

impl Default for Content {
    fn default() -> Content {
        Content {
            later: None,
            hold: None,
            _page: None,
            ready: None,
            rest: None,
            coming: None,
            left: 0,
            paused: false,
            twin: None,
            piece: PIECE,
        }
    }
}

/// The next piece of a file of which `left` bytes are to come.
fn read_piece(file: &mut File, left: u64) -> io::Result<Bytes> {
    let wanted = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
    let mut piece = Vec::with_capacity(wanted);
    file.take(wanted as u64).read_to_end(&mut piece)?;
    if piece.len() < wanted {
        // Somebody cut the file in place, which nothing here does. The connection is closed, so that the client sees it.
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(piece.into())
}

/// Reads the next piece while the last one is on its way out.
fn read_on(mut file: File, left: u64) -> JoinHandle<io::Result<(File, Bytes)>> {
    tokio::task::spawn_blocking(move || {
        let piece = read_piece(&mut file, left)?;
        Ok((file, piece))
    })
}

impl Body for Content {
    type Data = Piece;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Piece>>>> {
        if let Some((later, _)) = &mut self.later {
            let made = ready!(later.as_mut().poll(cx));
            self.later = None;
            match made {
                Ok(content) => *self = content,
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        let bytes = ready!(self.poll_bytes(cx));
        let hold = self.hold.clone();
        Poll::Ready(bytes.map(|bytes| bytes.map(|bytes| Frame::data(Piece::new(bytes, hold)))))
    }

    fn is_end_stream(&self) -> bool {
        self.later.is_none()
            && self.ready.is_none()
            && self.rest.is_none()
            && self.coming.as_ref().is_none_or(|coming| coming.left == Some(0))
    }

    fn size_hint(&self) -> SizeHint {
        if let Some((_, length)) = &self.later {
            return length.map_or_else(SizeHint::default, SizeHint::with_exact);
        }
        if let Some(coming) = &self.coming {
            return coming.left.map_or_else(SizeHint::default, SizeHint::with_exact);
        }
        SizeHint::with_exact(self.ready.as_ref().map_or(0, |bytes| bytes.len() as u64) + self.left)
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
        let held = |name: &str| open(&mirror, &path(name)).expect("no error").is_some();
        assert!(held("dist/file") && held("dist/inside"));
        for name in
            ["dist/outside", "dist/absolute", "dist/hidden", "dist/circle", "dist/up/secret", "dist", "dist/file/x"]
        {
            assert!(!held(name), "{name}");
        }
        symlink(&mirror, folder.path().join("elsewhere")).expect("link");
        assert!(open(&folder.path().join("elsewhere"), &path("dist/file")).expect("no error").is_some());
        assert!(open(&folder.path().join("nowhere"), &path("dist/file")).expect("no error").is_none());
    }

    #[tokio::test]
    async fn pieces_make_the_whole() {
        let folder = tempfile::tempdir().expect("folder");
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * PIECE + 17).collect();
        fs::write(folder.path().join("x"), &bytes).expect("write");
        for (start, length) in [(0, bytes.len()), (5, PIECE), (5, PIECE + 1), (bytes.len() - 1, 1), (7, 0)] {
            let held = open(folder.path(), &path("x")).expect("open").expect("there");
            let content = Content::of_file(held.file, start as u64, length as u64).expect("read");
            assert_eq!(content.size_hint().exact(), Some(length as u64));
            let read = content.collect().await.expect("body").to_bytes();
            assert!(read == bytes[start..start + length], "{start} {length}");
        }
        let held = open(folder.path(), &path("x")).expect("open").expect("there");
        let content = Content::of_file(held.file, 0, bytes.len() as u64 + 1).expect("read");
        assert!(content.collect().await.is_err(), "a file that was cut is no whole body");
    }

    #[test]
    fn stamps() {
        let folder = tempfile::tempdir().expect("folder");
        let stamp = || open(folder.path(), &path("x")).expect("open").expect("there").stamp;
        fs::write(folder.path().join("x"), "one").expect("write");
        let first = stamp();
        assert_eq!(first.etag(), stamp().etag());
        let now = SystemTime::now();
        assert!(!first.is_settled(now) && first.is_settled(now + std::time::Duration::from_secs(10)));
        fs::write(folder.path().join("y"), "two").expect("write");
        fs::rename(folder.path().join("y"), folder.path().join("x")).expect("rename");
        assert_ne!(first.etag(), stamp().etag());
    }
}
