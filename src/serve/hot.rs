//! Small files and index texts that were asked for lately, ready to be sent from the network's own threads.
//!
//! What is kept is never believed for long: a file's stamp is looked at anew when the last look was in another
//! millisecond, or when anything was read from the disk since. So nobody who was told something new is told something
//! older afterwards (in the middle of an import, a new index text beside an old one could name a version that the other
//! does not have), and a client that comes after an import, a collection, or a tree that an operator copied over the
//! mirror is told the new state with its first request. One look costs about two microseconds, which is more than all
//! else that is done for an answer outside of the network: files that thousands ask for at once are spared it. A count
//! that importers keep would spare no more, and would miss what others put into the tree.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::HeaderMap;
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue, LAST_MODIFIED,
    VARY, X_CONTENT_TYPE_OPTIONS,
};

use super::file::{Content, Held, Stamp};
use super::twin::{Prospect, Room};
use crate::digest::Sha256;
use crate::safe_path::SafePath;

/// Files above this many bytes are streamed from the disk.
pub(super) const MAX_FILE: u64 = 512 * 1024;
/// Texts below this many bytes are not worth compressing.
const MIN_GZIP: usize = 512;
/// Bytes that are kept: two halves, of which the older one goes as a whole when the younger one is full.
const MAX_KEPT: usize = 32 * 1024 * 1024;
const HALF: usize = MAX_KEPT / 2;
/// What an entry and one of its forms take beside their bodies and paths.
const OVERHEAD: usize = 1536;

/// A number that is another one whenever answers may be others though no file has changed.
pub(super) type Generation = Box<dyn Fn() -> u64 + Send + Sync>;

/// What was asked for lately, by the path of the request.
pub(super) struct Hot {
    mirror: PathBuf,
    generation: Generation,
    halves: RwLock<Halves>,
    age: Age,
    room: Arc<Room>,
}

/// Counts the times at which what was seen on the disk may have become old.
struct Age {
    since: Instant,
    millisecond: AtomicU64,
    count: AtomicU64,
}

#[derive(Default)]
struct Halves {
    young: Half,
    old: Half,
}

#[derive(Default)]
struct Half {
    files: HashMap<String, Arc<Kept>>,
    bytes: usize,
}

/// One file with all that is said about it.
pub(super) struct Kept {
    /// The file as it is.
    pub plain: Form,
    /// The same, compressed.
    pub gzip: Gzip,
    /// Whether parts of it may be asked for.
    pub ranges: bool,
    /// What the file system said of it before it was read.
    pub stamp: Stamp,
    watch: Watch,
    /// The age in which it was looked at last.
    seen: AtomicU64,
}

/// What tells that an answer is no longer what it was.
struct Watch {
    /// The file that it was made from.
    path: PathBuf,
    /// How that was; `None`: it was not there.
    stamp: Option<Stamp>,
    /// The millisecond from which on it is to be made anew, whatever the file is.
    until: Option<u64>,
    /// What was set when it was made.
    generation: u64,
}

/// One encoding of a file.
pub(super) struct Form {
    /// Strong entity tag, with its quotes.
    pub etag: String,
    /// The bytes.
    pub body: Bytes,
    /// The headers of a full answer.
    pub headers: HeaderMap,
    /// Whether it has a twin.
    twin: Prospect,
}

/// The compressed form of a file.
pub(super) enum Gzip {
    /// It would be no smaller.
    Useless,
    /// Nobody asked for it.
    Untried,
    /// Here it is.
    Made(Form),
}

impl Hot {
    /// Nothing yet; `room`: for copies in the memory of the system.
    pub fn new(mirror: &Path, generation: Generation, room: Arc<Room>) -> Hot {
        let age = Age { since: Instant::now(), millisecond: AtomicU64::new(0), count: AtomicU64::new(1) };
        Hot { mirror: mirror.to_owned(), generation, halves: RwLock::default(), age, room }
    }

    /// Something else was read from the disk; call it before anybody is told.
    pub fn learned(&self) {
        self.age.next();
    }

    /// What is held under the path of a request, where that is still so.
    pub fn get(&self, asked: &str) -> Option<Arc<Kept>> {
        let (kept, is_old) = self.halves.read().unwrap_or_else(PoisonError::into_inner).find(asked)?;
        let is_fresh = kept.watch.generation == (self.generation)() && kept.is_fresh(&self.age);
        if !is_fresh || is_old {
            let mut halves = self.halves.write().unwrap_or_else(PoisonError::into_inner);
            halves.take_out(asked);
            if is_fresh {
                halves.put(asked.to_owned(), Arc::clone(&kept));
            }
        }
        is_fresh.then_some(kept)
    }

    /// An index file, read where it is not known yet; `gzip`: with its compressed form.
    pub fn text(
        &self,
        path: &SafePath,
        held: &Held,
        gzip: bool,
        headers: Headers,
        now: SystemTime,
    ) -> io::Result<Arc<Kept>> {
        if let Some(kept) = self.known(path, held, gzip) {
            return Ok(kept);
        }
        let (plain, gzip) = text_forms(read(held)?, &held.stamp, gzip, headers, &self.room)?;
        let kept = Kept { gzip, ..self.plain(path, held, plain, false, None) };
        Ok(self.keep(path, held.stamp.is_settled(now), kept))
    }

    /// An index text that was made from the held file, where there is one, and from what else is known until then.
    pub fn made(&self, path: &SafePath, text: String, from: Made<'_>, headers: Headers) -> io::Result<Arc<Kept>> {
        let Made { held, until, generation, gzip, now } = from;
        let stamp = Stamp::of_memory(text.len() as u64);
        let (plain, gzip) = text_forms(text.into(), &stamp, gzip, headers, &self.room)?;
        let watch = Watch {
            path: path.below(&self.mirror),
            stamp: held.map(|held| held.stamp.clone()),
            until: Some(self.age.millisecond_of(until)),
            generation,
        };
        let is_settled = held.is_none_or(|held| held.stamp.is_settled(now));
        Ok(self.keep(path, is_settled, Kept { plain, gzip, ranges: false, stamp, watch, seen: AtomicU64::new(0) }))
    }

    /// Any other file, read; `until`: when it is to be looked for anew, whatever it is.
    pub fn file(
        &self,
        path: &SafePath,
        held: &Held,
        headers: Headers,
        until: Option<Instant>,
        now: SystemTime,
    ) -> io::Result<Arc<Kept>> {
        if let Some(kept) = self.known(path, held, false) {
            return Ok(kept);
        }
        let mut form = form(held.stamp.etag(), read(held)?, &held.stamp, headers, &self.room);
        form.headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        Ok(self.keep(path, held.stamp.is_settled(now), self.plain(path, held, form, true, until)))
    }

    fn plain(&self, path: &SafePath, held: &Held, plain: Form, ranges: bool, until: Option<Instant>) -> Kept {
        let watch = Watch {
            path: path.below(&self.mirror),
            stamp: Some(held.stamp.clone()),
            until: until.map(|until| self.age.millisecond_of(until)),
            generation: (self.generation)(),
        };
        Kept { plain, gzip: Gzip::Useless, ranges, stamp: held.stamp.clone(), watch, seen: AtomicU64::new(0) }
    }

    /// What another request has read of the very same file, perhaps under another spelling of its path.
    fn known(&self, path: &SafePath, held: &Held, gzip: bool) -> Option<Arc<Kept>> {
        let (kept, _) = self.halves.read().unwrap_or_else(PoisonError::into_inner).find(&key(path))?;
        let untried = gzip && matches!(kept.gzip, Gzip::Untried);
        let is_so = kept.watch.stamp.as_ref() == Some(&held.stamp) && kept.watch.generation == (self.generation)();
        // What is made anew from time to time is not what the file is.
        (is_so && kept.watch.until.is_none() && !untried).then_some(kept)
    }

    /// Keeps what was read, unless the file is so young that it could change again without another stamp.
    fn keep(&self, path: &SafePath, is_settled: bool, kept: Kept) -> Arc<Kept> {
        let kept = Arc::new(kept);
        if is_settled {
            self.halves.write().unwrap_or_else(PoisonError::into_inner).put(key(path), Arc::clone(&kept));
        }
        kept
    }
}

impl Age {
    /// The age that it is now, which is never 0.
    fn now(&self) -> u64 {
        let millisecond = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        if self.millisecond.load(Ordering::SeqCst) != millisecond {
            // In this order: who finds the millisecond counted finds the age begun.
            self.next();
            self.millisecond.store(millisecond, Ordering::SeqCst);
        }
        self.count.load(Ordering::SeqCst)
    }

    /// The millisecond in which `then` is.
    fn millisecond_of(&self, then: Instant) -> u64 {
        u64::try_from(then.saturating_duration_since(self.since).as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether the millisecond has come, as far as was seen when the age was asked for last.
    fn has_come(&self, millisecond: u64) -> bool {
        self.millisecond.load(Ordering::SeqCst) >= millisecond
    }

    fn next(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }
}

impl Kept {
    /// Whether the file is what it was, as far as that was looked at in the age that was before.
    fn is_fresh(&self, age: &Age) -> bool {
        let now = age.now();
        if self.watch.until.is_some_and(|until| age.has_come(until)) {
            return false;
        }
        if self.seen.load(Ordering::SeqCst) == now {
            return true;
        }
        let is_fresh = match (Stamp::at(&self.watch.path), &self.watch.stamp) {
            (Ok(now), Some(then)) => now == *then,
            (Err(e), None) => e.kind() == io::ErrorKind::NotFound,
            _ => false,
        };
        if is_fresh {
            self.seen.store(now, Ordering::SeqCst);
        }
        is_fresh
    }
}

impl Form {
    /// All of the body, or the part of it that is `slice`, to be sent now.
    pub fn content(&self, slice: Bytes) -> Content {
        Content::of(slice).with_twin(self.twin.twin(&self.body))
    }
}

impl Halves {
    fn find(&self, asked: &str) -> Option<(Arc<Kept>, bool)> {
        let young = self.young.files.get(asked).map(|kept| (Arc::clone(kept), false));
        young.or_else(|| self.old.files.get(asked).map(|kept| (Arc::clone(kept), true)))
    }

    fn put(&mut self, asked: String, kept: Arc<Kept>) {
        let weight = weight(&asked, &kept);
        if weight > HALF {
            return;
        }
        self.take_out(&asked);
        if self.young.bytes + weight > HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.bytes += weight;
        self.young.files.insert(asked, kept);
    }

    fn take_out(&mut self, asked: &str) {
        for half in [&mut self.young, &mut self.old] {
            if let Some(kept) = half.files.remove(asked) {
                half.bytes -= weight(asked, &kept);
            }
        }
    }
}

/// What is said of a file beside what is known of its bytes.
#[derive(Clone, Copy)]
pub(super) struct Headers {
    /// Content-Type.
    pub kind: &'static str,
    /// Cache-Control.
    pub caching: &'static str,
}

/// What an index text is made from, beside what is asked elsewhere.
pub(super) struct Made<'m> {
    /// The held file, where there is one.
    pub held: Option<&'m Held>,
    /// Until when it is fresh.
    pub until: Instant,
    /// What was set when it was made.
    pub generation: u64,
    /// Whether a compressed form is wanted.
    pub gzip: bool,
    /// The time.
    pub now: SystemTime,
}

/// The forms of an index text, whose entity tag is of its content alone.
fn text_forms(body: Bytes, stamp: &Stamp, gzip: bool, headers: Headers, room: &Arc<Room>) -> io::Result<(Form, Gzip)> {
    let digest = Sha256::of(&body).to_string();
    let etag = format!("\"{}\"", &digest[..32]);
    let compressed = match gzip {
        true => compress(&body)?,
        false => None,
    };
    let compressed = match compressed {
        Some(body) => {
            let etag = format!("{}-gz\"", etag.trim_end_matches('"'));
            let mut form = form(etag, body, stamp, headers, room);
            form.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            form.headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
            Gzip::Made(form)
        }
        None if gzip => Gzip::Useless,
        None => Gzip::Untried,
    };
    let mut plain = form(etag, body, stamp, headers, room);
    plain.headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    Ok((plain, compressed))
}

/// The path under which cargo asks for a file. Other spellings of it are understood, and find no short cut.
fn key(path: &SafePath) -> String {
    format!("/{path}")
}

fn weight(asked: &str, kept: &Kept) -> usize {
    let gzip = if let Gzip::Made(form) = &kept.gzip { form.body.len() + OVERHEAD } else { 0 };
    kept.plain.body.len() + OVERHEAD + gzip + asked.len() + kept.watch.path.as_os_str().len()
}

fn form(etag: String, body: Bytes, stamp: &Stamp, of: Headers, room: &Arc<Room>) -> Form {
    let mut headers = HeaderMap::with_capacity(10);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(of.kind));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(of.caching));
    headers.insert(CONTENT_LENGTH, body.len().into());
    // Both are of visible ASCII alone.
    headers.extend(HeaderValue::from_str(&etag).ok().map(|etag| (ETAG, etag)));
    let modified = stamp.modified.and_then(|modified| HeaderValue::from_str(&httpdate::fmt_http_date(modified)).ok());
    headers.extend(modified.map(|modified| (LAST_MODIFIED, modified)));
    Form { etag, body, headers, twin: Prospect::new(room) }
}

/// The bytes of a file. More than it had when it was opened are not read.
fn read(held: &Held) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(usize::try_from(held.stamp.size).map_err(io::Error::other)?);
    (&held.file).take(held.stamp.size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != held.stamp.size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes.into())
}

/// `None` where it would be no smaller.
fn compress(plain: &[u8]) -> io::Result<Option<Bytes>> {
    if plain.len() < MIN_GZIP {
        return Ok(None);
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::default());
    encoder.write_all(plain)?;
    let mut bytes = encoder.finish()?;
    bytes.shrink_to_fit();
    Ok((bytes.len() < plain.len()).then(|| bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::file;
    use std::fs;
    use std::time::Duration;

    const AS_TEXT: Headers = Headers { kind: "text/plain", caching: "no-cache" };

    struct Tree {
        folder: tempfile::TempDir,
        hot: Hot,
    }

    fn tree() -> Tree {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir_all(folder.path().join("index")).expect("folder");
        let hot = Hot::new(folder.path(), Box::new(|| 0), Room::new(16));
        Tree { folder, hot }
    }

    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(60)
    }

    impl Tree {
        fn put(&self, path: &str, bytes: &[u8]) {
            fs::write(self.folder.path().join("new"), bytes).expect("write");
            fs::rename(self.folder.path().join("new"), self.folder.path().join(path)).expect("rename");
        }

        fn text(&self, path: &str, gzip: bool, now: SystemTime) -> Arc<Kept> {
            let path: SafePath = path.parse().expect("path");
            let held = file::open(self.folder.path(), &path).expect("open").expect("there");
            self.hot.text(&path, &held, gzip, AS_TEXT, now).expect("text")
        }
    }

    #[test]
    fn what_is_kept_goes_with_the_file() {
        let tree = tree();
        let lines = "line\n".repeat(1000);
        tree.put("index/x", lines.as_bytes());
        tree.text("index/x", false, SystemTime::now());
        assert!(tree.hot.get("/index/x").is_none(), "a young file is not kept");
        let first = tree.text("index/x", false, later());
        assert!(Arc::ptr_eq(&first, &tree.hot.get("/index/x").expect("kept")));
        assert!(matches!(first.gzip, Gzip::Untried));
        let second = tree.text("index/x", true, later());
        let Gzip::Made(gzip) = &second.gzip else { panic!("it is smaller") };
        assert!(gzip.body.len() < 200 && gzip.etag != second.plain.etag && second.plain.etag == first.plain.etag);
        assert!(Arc::ptr_eq(&second, &tree.text("index/x", false, later())), "the richer one stays");

        tree.put("index/x", b"short\n");
        tree.hot.learned();
        assert!(tree.hot.get("/index/x").is_none(), "another file");
        let third = tree.text("index/x", true, later());
        assert!(matches!(third.gzip, Gzip::Useless) && third.plain.etag != first.plain.etag);
        fs::remove_file(tree.folder.path().join("index/x")).expect("remove");
        std::thread::sleep(Duration::from_millis(2));
        assert!(tree.hot.get("/index/x").is_none(), "no file");
        let halves = tree.hot.halves.read().expect("lock");
        assert_eq!((halves.young.bytes, halves.young.files.len(), halves.old.bytes), (0, 0, 0));
    }

    #[test]
    fn what_is_asked_for_stays_and_the_bound_holds() {
        let tree = tree();
        for n in 0..100 {
            tree.put(&format!("index/{n}"), &vec![0; 500_000]);
        }
        for n in 0..100 {
            let path: SafePath = format!("index/{n}").parse().expect("path");
            let held = file::open(tree.folder.path(), &path).expect("open").expect("there");
            tree.hot.file(&path, &held, AS_TEXT, None, later()).expect("file");
            assert!(tree.hot.get("/index/0").is_some(), "asked for all the time");
            let halves = tree.hot.halves.read().expect("lock");
            for half in [&halves.young, &halves.old] {
                let sum: usize = half.files.iter().map(|(path, kept)| weight(path, kept)).sum();
                assert!(half.bytes == sum && sum <= HALF);
            }
        }
        assert!(tree.hot.get("/index/1").is_none() && tree.hot.get("/index/99").is_some());
    }
}
