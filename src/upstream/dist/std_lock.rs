//! Reads the Cargo.lock of the standard library from rust-src: `-Zbuild-std` builds its packages (cargo:
//! src/cargo/core/compiler/standard_lib.rs).
//!
//! The archive has the digest of the channel manifest, but is hostile input: it is read as a stream with a limit on its
//! uncompressed bytes, on the decoder's memory and on the lock, and nothing is unpacked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use lzma_rust2::XzReader;

use super::dist_cache::{DistCache, TextRecord};
use super::{DistDownloader, DownloadPlan, Error, PlannedFile};
use crate::digest::Sha256;
use crate::inputs::lock_graph::LockGraph;
use crate::inputs::lockfile::{self, Lockfile};
use crate::safe_path::SafePath;

/// Maximum uncompressed bytes of an archive that are scanned. The largest rust-src has about 400 MB.
const MAX_UNPACKED: u64 = 1024 * 1024 * 1024;
/// Maximum size of a lock in bytes; the largest has about 150 kB.
const MAX_LOCK: u64 = 4 * 1024 * 1024;
/// Memory of the decoder, in KiB. Upstream packs with a dictionary of 64 MiB (rust-installer: src/compression.rs).
const MAX_MEMORY: u32 = 128 * 1024;

/// The path of the lock in the archive, below a folder with the archive's name.
const LIBRARY_LOCK: &str = "rust-src/lib/rustlib/src/rust/library/Cargo.lock";
/// The path until Rust 1.82: the lock of the compiler too.
const WORKSPACE_LOCK: &str = "rust-src/lib/rustlib/src/rust/Cargo.lock";
/// The packages of the standard library in the combined lock.
const LIBRARY_ROOTS: [&str; 6] = ["sysroot", "std", "core", "alloc", "test", "proc_macro"];

/// The cached result for a rust-src: the lock's digest by the name of its path.
const RECORD_ENTRIES: [(&str, bool); 2] = [("library/Cargo.lock", true), ("Cargo.lock", false)];

/// The Cargo.lock of a rust-src.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RustSrcLock {
    text: String,
    /// The lock of the library alone.
    is_library_only: bool,
}

impl DistDownloader {
    /// The packages of the standard library's lock in each rust-src that `plan` needs, by the archive's path. Results
    /// are cached; otherwise the archive is taken from the cache or downloaded.
    ///
    /// # Errors
    /// An archive is unavailable or unreadable, or its lock is invalid.
    pub async fn fetch_std_locks(&self, plan: &DownloadPlan) -> Result<BTreeMap<SafePath, Lockfile>, Error> {
        let sources = plan.files.iter().filter(|(path, _)| is_rust_src(path));
        let sources: BTreeMap<SafePath, Sha256> = sources.map(|(path, one)| (path.clone(), one.sha256)).collect();
        if sources.is_empty() {
            return Ok(BTreeMap::new());
        }
        let store = DistCache::open(&self.cache, &self.server_url)?;
        let mut known = BTreeMap::new();
        let mut unknown = DownloadPlan::default();
        for (path, sha256) in &sources {
            match load_std_lock(&store, *sha256)? {
                Some(lock) => drop(known.insert(path.clone(), lock)),
                None => {
                    let needed = PlannedFile::new(*sha256);
                    unknown.files.insert(path.clone(), needed);
                }
            }
        }
        self.fetch(&mut unknown, &|_, _| true).await?;
        for (path, PlannedFile { sha256, .. }) in unknown.files {
            let archive = store.path(sha256);
            let is_gz = path.as_str().ends_with(".gz");
            let reading = tokio::task::spawn_blocking(move || read_archive(&archive, is_gz)).await;
            let lock = reading.unwrap_or_else(|ended| Err(io::Error::other(ended)));
            let lock = lock.map_err(|source| Error::RustSrc { path: path.clone(), source })?;
            save_std_lock(&store, sha256, lock.as_ref())?;
            known.insert(path, lock);
        }
        let mut locks = BTreeMap::new();
        for (path, lock) in known {
            match lock {
                Some(lock) => {
                    let parsed = parse_std_lock(&lock, &path);
                    let lockfile = parsed
                        .map_err(|source| Error::InvalidStdLock { path: path.clone(), source: Box::new(source) })?;
                    locks.insert(path, lockfile);
                }
                None => self.sink.detail("Note", format!("`{path}` has no Cargo.lock of the standard library")),
            }
        }
        Ok(locks)
    }
}

/// Whether a dist file is the source of the standard library.
pub fn is_rust_src(path: &SafePath) -> bool {
    let name = path.as_str().rsplit('/').next().unwrap_or_default();
    name.starts_with("rust-src-") && (name.ends_with(".tar.xz") || name.ends_with(".tar.gz"))
}

/// The packages of the library in a lock.
fn parse_std_lock(lock: &RustSrcLock, path: &SafePath) -> Result<Lockfile, lockfile::Error> {
    let name = path.as_str().rsplit('/').next().unwrap_or_default();
    let mut lockfile = Lockfile::parse(&lock.text, Path::new(&format!("Cargo.lock in {name}")))?;
    if !lock.is_library_only
        && let Ok(graph) = LockGraph::parse(&lock.text)
    {
        let reached = graph.reachable_from(&LIBRARY_ROOTS);
        let is_reached = |name: &str, version: String| reached.contains(&(name.to_owned(), version));
        lockfile.packages.retain(|id, _| is_reached(id.name.as_str(), id.version.to_string()));
        lockfile.foreign.retain(|foreign| is_reached(&foreign.name, foreign.version.clone()));
    }
    Ok(lockfile)
}

/// The cached result for a rust-src; `None` if there is none.
fn load_std_lock(store: &DistCache, archive: Sha256) -> Result<Option<Option<RustSrcLock>>, Error> {
    let Some(record) = store.load_record(&record_name(archive))? else { return Ok(None) };
    for (name, library) in RECORD_ENTRIES {
        let digest = record.iter().find_map(|(path, digest)| (path.as_str() == name).then_some(*digest)?);
        if let Some(digest) = digest {
            let text = store.load_text(digest)?.and_then(|text| String::from_utf8(text.to_vec()).ok());
            return Ok(text.map(|text| Some(RustSrcLock { text, is_library_only: library })));
        }
    }
    Ok(Some(None))
}

fn save_std_lock(store: &DistCache, archive: Sha256, lock: Option<&RustSrcLock>) -> Result<(), Error> {
    let mut record = TextRecord::new();
    for (name, library) in RECORD_ENTRIES {
        if let Some(lock) = lock.filter(|lock| lock.is_library_only == library)
            && let Ok(path) = name.parse()
        {
            record.insert(path, Some(store.save_text(lock.text.as_bytes())?));
        }
    }
    store.save_record(&record_name(archive), &record)
}

fn record_name(archive: Sha256) -> String {
    format!("rust-src-{archive}")
}

/// The lock in an archive; `None` if it has none.
fn read_archive(archive: &Path, is_gz: bool) -> io::Result<Option<RustSrcLock>> {
    let packed = BufReader::new(File::open(archive)?);
    match is_gz {
        true => find_lock(GzDecoder::new(packed)),
        false => find_lock(XzReader::new_mem_limit(packed, false, MAX_MEMORY)),
    }
}

fn find_lock(plain: impl Read) -> io::Result<Option<RustSrcLock>> {
    let mut archive = tar::Archive::new(plain.take(MAX_UNPACKED));
    let mut workspace_lock = None;
    // Raw entries: long names and other extensions are not read, so they cannot use memory.
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let path = entry.path_bytes().into_owned();
        let below = path.split(|byte| *byte == b'/').next().map_or(0, <[u8]>::len);
        let below = path.get(below + 1..).unwrap_or_default();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        if below == LIBRARY_LOCK.as_bytes() {
            return Ok(Some(RustSrcLock { text: read_text(&mut entry)?, is_library_only: true }));
        }
        if below == WORKSPACE_LOCK.as_bytes() && workspace_lock.is_none() {
            workspace_lock = Some(RustSrcLock { text: read_text(&mut entry)?, is_library_only: false });
        }
    }
    Ok(workspace_lock)
}

fn read_text(entry: &mut impl Read) -> io::Result<String> {
    let mut text = String::new();
    entry.take(MAX_LOCK + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_LOCK {
        return Err(io::Error::other("its Cargo.lock is larger than 4 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    /// A gzip archive of these files.
    fn archive(folder: &Path, files: &[(&str, &[u8])]) -> std::path::PathBuf {
        let path = folder.join("rust-src.tar.gz");
        let mut builder = tar::Builder::new(GzEncoder::new(File::create(&path).expect("create"), Compression::fast()));
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *bytes).expect("append");
        }
        builder.into_inner().and_then(GzEncoder::finish).expect("finish");
        path
    }

    #[test]
    fn the_library_lock_wins_over_the_workspace_lock() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |path: &str| format!("rust-src-1.95.0/{path}");
        let (whole, library) = (at(WORKSPACE_LOCK), at(LIBRARY_LOCK));
        let decoys: [(&str, &[u8]); 2] = [(LIBRARY_LOCK, b"not this"), ("a/b/rust-src/Cargo.lock", b"nor this")];
        let path = archive(folder.path(), &[decoys[0], decoys[1], (&whole, b"whole"), (&library, b"library")]);
        let found = |path: &Path| read_archive(path, true).expect("read").map(|lock| (lock.text, lock.is_library_only));
        assert_eq!(found(&path), Some(("library".to_owned(), true)));
        let path = archive(folder.path(), &[decoys[0], (&whole, b"whole")]);
        assert_eq!(found(&path), Some(("whole".to_owned(), false)));
        assert_eq!(found(&archive(folder.path(), &decoys)), None);
        let huge = vec![b'#'; usize::try_from(MAX_LOCK).expect("small") + 1];
        let error = read_archive(&archive(folder.path(), &[(&library, &huge)]), true).expect_err("too large");
        assert!(error.to_string().contains("4 MiB"), "{error}");
    }

    #[test]
    fn only_library_packages_of_the_workspace_lock_are_used() {
        let sum = "0".repeat(64);
        let package = |name: &str| {
            format!(
                "[[package]]\nname = {name:?}\nversion = \"1.0.0\"\nsource = {:?}\nchecksum = \"{sum}\"\n\n",
                lockfile::CRATES_IO_SOURCE
            )
        };
        let member = |name: &str, dependencies: &str| {
            format!("[[package]]\nname = {name:?}\nversion = \"0.0.0\"\ndependencies = [{dependencies}]\n\n")
        };
        let text = [
            member("std", "\"hashbrown\", \"core\""),
            member("core", ""),
            member("rustc", "\"regex\""),
            package("hashbrown"),
            package("regex"),
        ]
        .concat();
        let path = "dist/2022-04-07/rust-src-1.60.0.tar.xz".parse().expect("a path");
        let names = |library: bool| {
            let lockfile =
                parse_std_lock(&RustSrcLock { text: text.clone(), is_library_only: library }, &path).expect("a lock");
            let names: Vec<String> = lockfile.packages.keys().map(|id| id.name.to_string()).collect();
            names.join(" ")
        };
        assert_eq!((names(false), names(true)), ("hashbrown".to_owned(), "hashbrown regex".to_owned()));
    }

    /// A block header with a dictionary of 4 GiB, with a chunk that needs it.
    #[test]
    fn an_oversized_xz_dictionary_is_refused_before_allocation() {
        let crc = |bytes: &[u8]| {
            let mut crc = flate2::Crc::new();
            crc.update(bytes);
            crc.sum().to_le_bytes()
        };
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bomb.tar.xz");
        for (dictionary, refused) in [(40, true), (30, true), (28, false)] {
            let (flags, header) = ([0, 1], [2, 0, 0x21, 1, dictionary, 0, 0, 0]);
            let mut bytes = b"\xfd7zXZ\0".to_vec();
            bytes.extend([&flags[..], &crc(&flags), &header, &crc(&header), &[0]].concat());
            std::fs::write(&path, bytes).expect("write");
            let error = read_archive(&path, false).expect_err("it ends there").to_string();
            assert_eq!(error.contains("mem"), refused, "{dictionary}: {error}");
        }
        std::fs::write(&path, b"no archive at all").expect("write");
        assert!(read_archive(&path, false).is_err() && read_archive(&path, true).is_err());
    }
}
