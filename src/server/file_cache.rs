//! A memory cache of small files and index entries, ready to be sent from the network threads.
//!
//! A cached file is never trusted for long. Its stamp is checked again if the last check was in another millisecond, or
//! if anything was read from the disk since. So no client sees older data after newer data. In the middle of an import,
//! a new index entry beside an old one could name a version that the other lacks. A client that connects after an
//! import, a gc run or a manual copy sees the new state with its first request.
//!
//! One check costs about two microseconds, more than everything else in a response except the network. Files with
//! thousands of concurrent requests avoid it. A counter kept by importers would save no more, and would miss changes by
//! other programs.

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

use super::content_type::ContentHeaders;
use super::file::{OpenFile, OutgoingBody};
use super::router::FileRoute;
use super::sendfile::{MemfdBudget, SendfileCandidate};
use crate::digest::Sha256;
use crate::file_stamp::FileStamp;
use crate::generational_map::GenerationalMap;

/// Larger files are streamed from the disk, in bytes.
pub(super) const MAX_CACHED_FILE: u64 = 512 * 1024;
/// Smaller texts are not compressed, in bytes.
const MIN_GZIP: usize = 512;
/// Cache size in bytes. The cache has two generations; the older one is dropped as a whole when the younger one is
/// full.
const MAX_CACHE_BYTES: usize = 32 * 1024 * 1024;
/// Memory of an entry and one of its representations beside their bodies and paths, in bytes.
const ENTRY_OVERHEAD: usize = 1536;

/// Returns the settings generation; a change invalidates cached responses.
pub(super) type SettingsGeneration = Box<dyn Fn() -> u64 + Send + Sync>;

/// Recently requested files, by request path.
pub(super) struct FileCache {
    mirror: PathBuf,
    settings_generation: SettingsGeneration,
    entries: RwLock<GenerationalMap<String, Arc<CachedFile>>>,
    epoch: Epoch,
    memfd_budget: Arc<MemfdBudget>,
}

/// Counts the moments after which earlier checks of the disk may be outdated.
struct Epoch {
    started: Instant,
    millisecond: AtomicU64,
    current: AtomicU64,
}

/// One cached file with its headers.
pub(super) struct CachedFile {
    /// The file's route.
    pub route: Arc<FileRoute>,
    /// The unencoded file.
    pub plain: Representation,
    /// The compressed file.
    pub gzip: GzipState,
    /// Whether range requests are allowed.
    pub accepts_ranges: bool,
    /// The file's stamp before it was read.
    pub stamp: FileStamp,
    validity: Validity,
    /// The epoch of the last check.
    checked_epoch: AtomicU64,
}

/// Decides whether a cached response is still valid.
struct Validity {
    /// The source file.
    path: PathBuf,
    /// The source file's stamp; `None`: it did not exist.
    stamp: Option<FileStamp>,
    /// The millisecond at which the entry expires even if the file did not change.
    expires_at: Option<u64>,
    /// The settings generation when the entry was created.
    settings_generation: u64,
}

/// One encoding of a file.
pub(super) struct Representation {
    /// Strong entity tag, with its quotes.
    pub etag: String,
    pub body: Bytes,
    /// The headers of a full response.
    pub headers: HeaderMap,
    /// Whether it has a memfd copy.
    sendfile: SendfileCandidate,
}

/// The compressed representation of a file.
pub(super) enum GzipState {
    /// Compression would not make it smaller.
    Incompressible,
    /// No client requested it yet.
    NotCompressed,
    /// Compressed.
    Compressed(Representation),
}

impl FileCache {
    /// An empty cache; `space`: the budget for memfd copies.
    pub fn new(mirror: &Path, generation: SettingsGeneration, space: Arc<MemfdBudget>) -> FileCache {
        let age = Epoch { started: Instant::now(), millisecond: AtomicU64::new(0), current: AtomicU64::new(1) };
        FileCache {
            mirror: mirror.to_owned(),
            settings_generation: generation,
            entries: RwLock::new(GenerationalMap::new(MAX_CACHE_BYTES / 2)),
            epoch: age,
            memfd_budget: space,
        }
    }

    /// The current settings generation. Call it before reading anything that may depend on the settings.
    pub fn settings_generation(&self) -> u64 {
        (self.settings_generation)()
    }

    /// Records that something was read from the disk. Call it before the response is sent.
    pub fn bump_epoch(&self) {
        self.epoch.advance();
    }

    /// The cached file for a request path, if it is still valid.
    pub fn get(&self, requested: &str) -> Option<Arc<CachedFile>> {
        let (kept, is_old) = {
            let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
            let (kept, is_old) = entries.find(requested)?;
            (Arc::clone(kept), is_old)
        };
        let is_fresh = kept.validity.settings_generation == (self.settings_generation)() && kept.is_fresh(&self.epoch);
        if !is_fresh || is_old {
            let mut halves = self.entries.write().unwrap_or_else(PoisonError::into_inner);
            halves.remove(requested);
            if is_fresh {
                halves.insert(requested.to_owned(), Arc::clone(&kept), cache_weight(requested, &kept));
            }
        }
        is_fresh.then_some(kept)
    }

    /// A file, read if it is not cached. `gzip`: an index file with its compressed representation.
    pub fn load(
        &self,
        route: &Arc<FileRoute>,
        source: &OpenFile,
        gzip: bool,
        policy: CachePolicy,
    ) -> io::Result<Arc<CachedFile>> {
        if let Some(kept) = self.find_current(route, source, gzip) {
            return Ok(kept);
        }
        let (body, stamp, headers) = (read_file(source)?, &source.stamp, ContentHeaders::of(route));
        let is_index = matches!(**route, FileRoute::Index(..));
        let (plain, gzip) = if is_index {
            index_representations(body, stamp, gzip, headers, &self.memfd_budget)?
        } else {
            let mut plain = representation(stamp.etag(), body, stamp, headers, &self.memfd_budget);
            plain.headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            (plain, GzipState::Incompressible)
        };
        let validity = Validity {
            path: route.path().below(&self.mirror),
            stamp: Some(*stamp),
            expires_at: policy.expires_at.map(|until| self.epoch.millisecond_of(until)),
            settings_generation: policy.settings_generation,
        };
        let loaded = CachedFile {
            route: Arc::clone(route),
            plain,
            gzip,
            accepts_ranges: !is_index,
            stamp: *stamp,
            validity,
            checked_epoch: AtomicU64::new(0),
        };
        Ok(self.insert(policy.is_shared && stamp.is_settled(policy.now), loaded))
    }

    /// Caches an index entry that was derived from the stored file, if there is one, and from other sources,
    /// until it expires.
    pub fn insert_derived(
        &self,
        route: &Arc<FileRoute>,
        text: String,
        from: Derived<'_>,
    ) -> io::Result<Arc<CachedFile>> {
        let Derived { source: stored, fresh_until: until, settings_generation: generation, wants_gzip: gzip, now } =
            from;
        let stamp = FileStamp::in_memory(text.len() as u64);
        let (plain, gzip) =
            index_representations(text.into(), &stamp, gzip, ContentHeaders::of(route), &self.memfd_budget)?;
        let watch = Validity {
            path: route.path().below(&self.mirror),
            stamp: stored.map(|stored| stored.stamp),
            expires_at: Some(self.epoch.millisecond_of(until)),
            settings_generation: generation,
        };
        let is_settled = stored.is_none_or(|stored| stored.stamp.is_settled(now));
        let route = Arc::clone(route);
        Ok(self.insert(
            is_settled,
            CachedFile {
                route,
                plain,
                gzip,
                accepts_ranges: false,
                stamp,
                validity: watch,
                checked_epoch: AtomicU64::new(0),
            },
        ))
    }

    /// What another request has read of the same file, perhaps under another spelling of its path.
    fn find_current(&self, route: &FileRoute, source: &OpenFile, gzip: bool) -> Option<Arc<CachedFile>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let kept = Arc::clone(entries.get(&cache_key(route))?);
        drop(entries);
        let untried = gzip && matches!(kept.gzip, GzipState::NotCompressed);
        let is_so = kept.validity.stamp.as_ref() == Some(&source.stamp)
            && kept.validity.settings_generation == (self.settings_generation)();
        // An entry that expires is derived, and not the file's content.
        (is_so && kept.validity.expires_at.is_none() && !untried).then_some(kept)
    }

    /// Caches a file, unless it is so young that it could change without a new stamp.
    fn insert(&self, is_settled: bool, kept: CachedFile) -> Arc<CachedFile> {
        let kept = Arc::new(kept);
        if is_settled {
            let (key, mut entries) =
                (cache_key(&kept.route), self.entries.write().unwrap_or_else(PoisonError::into_inner));
            let weight = cache_weight(&key, &kept);
            entries.insert(key, Arc::clone(&kept), weight);
        }
        kept
    }
}

impl Epoch {
    /// The current epoch, which is never 0.
    fn current(&self) -> u64 {
        let millisecond = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if self.millisecond.load(Ordering::SeqCst) != millisecond {
            // The order matters: a thread that sees the new millisecond must also see the new epoch.
            self.advance();
            self.millisecond.store(millisecond, Ordering::SeqCst);
        }
        self.current.load(Ordering::SeqCst)
    }

    /// The millisecond that contains `then`.
    fn millisecond_of(&self, then: Instant) -> u64 {
        u64::try_from(then.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether the millisecond is reached, as of the last call that read the epoch.
    fn has_reached(&self, millisecond: u64) -> bool {
        self.millisecond.load(Ordering::SeqCst) >= millisecond
    }

    fn advance(&self) {
        self.current.fetch_add(1, Ordering::SeqCst);
    }
}

impl CachedFile {
    /// Whether the file is unchanged. It is checked at most once per epoch.
    fn is_fresh(&self, age: &Epoch) -> bool {
        let now = age.current();
        if self.validity.expires_at.is_some_and(|until| age.has_reached(until)) {
            return false;
        }
        if self.checked_epoch.load(Ordering::SeqCst) == now {
            return true;
        }
        let is_fresh = FileStamp::read(&self.validity.path).is_ok_and(|now| now == self.validity.stamp);
        if is_fresh {
            self.checked_epoch.store(now, Ordering::SeqCst);
        }
        is_fresh
    }
}

impl Representation {
    /// The body to send: all of it, or the part `slice`.
    pub fn outgoing_body(&self, slice: Bytes) -> OutgoingBody {
        OutgoingBody::from_bytes(slice).with_memfd(self.sendfile.memfd_body(&self.body))
    }
}

/// Who may receive a file that was read from the disk, and for how long.
pub(super) struct CachePolicy {
    /// Whether the response is the same for all clients; others are not cached.
    pub is_shared: bool,
    /// When the file must be looked up again, even if it did not change.
    pub expires_at: Option<Instant>,
    /// The settings generation at the request.
    pub settings_generation: u64,
    /// The current time.
    pub now: SystemTime,
}

/// The inputs of a derived index entry.
pub(super) struct Derived<'m> {
    /// The stored file, if there is one.
    pub source: Option<&'m OpenFile>,
    /// When the entry expires.
    pub fresh_until: Instant,
    /// The settings generation when the entry was derived.
    pub settings_generation: u64,
    /// Whether a compressed representation is needed.
    pub wants_gzip: bool,
    /// The current time.
    pub now: SystemTime,
}

/// The representations of an index entry. Its entity tag depends on the content only.
fn index_representations(
    body: Bytes,
    stamp: &FileStamp,
    gzip: bool,
    headers: ContentHeaders,
    space: &Arc<MemfdBudget>,
) -> io::Result<(Representation, GzipState)> {
    let digest = Sha256::of(&body).to_string();
    let etag = format!("\"{}\"", &digest[..32]);
    let compressed = match gzip {
        true => compress(&body)?,
        false => None,
    };
    let compressed = match compressed {
        Some(body) => {
            let etag = format!("{}-gz\"", etag.trim_end_matches('"'));
            let mut form = representation(etag, body, stamp, headers, space);
            form.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            form.headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
            GzipState::Compressed(form)
        }
        None if gzip => GzipState::Incompressible,
        None => GzipState::NotCompressed,
    };
    let mut plain = representation(etag, body, stamp, headers, space);
    plain.headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    Ok((plain, compressed))
}

/// The path under which cargo requests a file. Other spellings work but bypass the cache.
fn cache_key(route: &FileRoute) -> String {
    format!("/{}", route.path())
}

fn cache_weight(requested: &str, kept: &CachedFile) -> usize {
    let gzip = if let GzipState::Compressed(form) = &kept.gzip { form.body.len() + ENTRY_OVERHEAD } else { 0 };
    kept.plain.body.len() + ENTRY_OVERHEAD + gzip + requested.len() + kept.validity.path.as_os_str().len()
}

fn representation(
    etag: String,
    body: Bytes,
    stamp: &FileStamp,
    of: ContentHeaders,
    space: &Arc<MemfdBudget>,
) -> Representation {
    let mut headers = HeaderMap::with_capacity(10);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(of.content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(of.cache_control));
    headers.insert(CONTENT_LENGTH, body.len().into());
    // Both values are visible ASCII.
    headers.extend(HeaderValue::from_str(&etag).ok().map(|etag| (ETAG, etag)));
    let modified = stamp.modified.and_then(|modified| HeaderValue::from_str(&httpdate::fmt_http_date(modified)).ok());
    headers.extend(modified.map(|modified| (LAST_MODIFIED, modified)));
    Representation { etag, body, headers, sendfile: SendfileCandidate::new(space) }
}

/// Reads a file's bytes, at most as many as it had when it was opened.
fn read_file(source: &OpenFile) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(usize::try_from(source.stamp.size).map_err(io::Error::other)?);
    (&source.file).take(source.stamp.size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != source.stamp.size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes.into())
}

/// Compresses a text; `None` if the result would not be smaller.
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
    use crate::server::file;
    use std::fs;
    use std::time::Duration;

    struct Tree {
        folder: tempfile::TempDir,
        cache: FileCache,
    }

    fn tree() -> Tree {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir_all(folder.path().join("index")).expect("folder");
        let hot = FileCache::new(folder.path(), Box::new(|| 0), MemfdBudget::new(16));
        Tree { folder, cache: hot }
    }

    fn keeping(now: SystemTime) -> CachePolicy {
        CachePolicy { is_shared: true, expires_at: None, settings_generation: 0, now }
    }

    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(60)
    }

    impl Tree {
        fn put(&self, path: &str, bytes: &[u8]) {
            fs::write(self.folder.path().join("new"), bytes).expect("write");
            fs::rename(self.folder.path().join("new"), self.folder.path().join(path)).expect("rename");
        }

        fn text(&self, path: &str, gzip: bool, now: SystemTime) -> Arc<CachedFile> {
            let route = FileRoute::Index("x".parse().expect("a name"), path.parse().expect("path"));
            let stored = file::open(self.folder.path(), route.path()).expect("open").expect("there");
            self.cache.load(&Arc::new(route), &stored, gzip, keeping(now)).expect("text")
        }
    }

    #[test]
    fn cached_files_are_dropped_when_the_file_changes() {
        let tree = tree();
        let lines = "line\n".repeat(1000);
        tree.put("index/x", lines.as_bytes());
        tree.text("index/x", false, SystemTime::now());
        assert!(tree.cache.get("/index/x").is_none(), "a young file is not kept");
        let first = tree.text("index/x", false, later());
        assert!(Arc::ptr_eq(&first, &tree.cache.get("/index/x").expect("kept")));
        assert!(matches!(first.gzip, GzipState::NotCompressed));
        let second = tree.text("index/x", true, later());
        let GzipState::Compressed(gzip) = &second.gzip else { panic!("it is smaller") };
        assert!(gzip.body.len() < 200 && gzip.etag != second.plain.etag && second.plain.etag == first.plain.etag);
        assert!(Arc::ptr_eq(&second, &tree.text("index/x", false, later())), "the richer one stays");

        tree.put("index/x", b"short\n");
        tree.cache.bump_epoch();
        assert!(tree.cache.get("/index/x").is_none(), "another file");
        let third = tree.text("index/x", true, later());
        assert!(matches!(third.gzip, GzipState::Incompressible) && third.plain.etag != first.plain.etag);
        fs::remove_file(tree.folder.path().join("index/x")).expect("remove");
        std::thread::sleep(Duration::from_millis(2));
        assert!(tree.cache.get("/index/x").is_none(), "no file");
        assert_eq!(tree.cache.entries.read().expect("lock").weight(), 0);
    }

    #[test]
    fn used_entries_survive_eviction_and_the_size_limit_holds() {
        let tree = tree();
        for n in 0..100 {
            tree.put(&format!("index/{n}"), &vec![0; 500_000]);
        }
        for n in 0..100 {
            let route = FileRoute::Other(format!("index/{n}").parse().expect("path"));
            let stored = file::open(tree.folder.path(), route.path()).expect("open").expect("there");
            tree.cache.load(&Arc::new(route), &stored, false, keeping(later())).expect("file");
            assert!(tree.cache.get("/index/0").is_some(), "requested regularly");
            assert!(tree.cache.entries.read().expect("lock").weight() <= MAX_CACHE_BYTES);
        }
        assert!(tree.cache.get("/index/1").is_none() && tree.cache.get("/index/99").is_some());
    }
}
