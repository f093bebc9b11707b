//! The cache of dist files, by digest, in `$FROSTMIRROR_HOME/cache/dist/`.
//!
//! | path | content |
//! |---|---|
//! | `SHA256` | a complete file; hashed before each use, so that a corrupted file counts as absent |
//! | `part/SHA256` | a partial file; the next attempt or the next run continues it |
//! | `meta/SERVER/NAME.json` | the small texts of a toolchain in the last run, by path and digest; for `--offline` |
//! | `lock` | locked during downloads, so that two runs do not write to one partial file |
//!
//! Nothing is synced: a crash costs a download.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use crate::bounded_read::read_at_most;
use crate::digest::Sha256;
use crate::durable;
use crate::event::Sink;
use crate::process_lock::ProcessLock;
use crate::safe_path::SafePath;
use crate::upstream::index_file::cache_folder;

use super::Error;

/// A partial file of this age belongs to a release that is no longer requested.
const ABANDONED_AFTER: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Maximum size of a record of texts in bytes.
const MAX_RECORD: u64 = 1024 * 1024;

/// The texts of a toolchain, or of rustup; `None` for texts that upstream does not have.
pub(super) type TextRecord = BTreeMap<SafePath, Option<Sha256>>;

/// The store.
#[derive(Clone, Debug)]
pub(super) struct DistCache {
    root: PathBuf,
    meta: PathBuf,
}

impl DistCache {
    /// Opens the store in `cache`, with the records of the server `base`.
    pub(super) fn open(cache: &Path, base: &str) -> Result<DistCache, Error> {
        let root = cache.join("dist");
        let store = DistCache { meta: cache_folder(&root.join("meta"), base), root };
        for folder in [store.meta.clone(), store.parts_folder()] {
            durable::make_folder(&folder).map_err(|source| Error::Cache { path: folder, source })?;
        }
        Ok(store)
    }

    fn parts_folder(&self) -> PathBuf {
        self.root.join("part")
    }

    /// The path of the file with this digest, if it is cached.
    pub(super) fn path(&self, digest: Sha256) -> PathBuf {
        self.root.join(digest.to_string())
    }

    /// The path of the partial file with this digest.
    pub(super) fn part_path(&self, digest: Sha256) -> PathBuf {
        self.parts_folder().join(digest.to_string())
    }

    /// The size in bytes of the file with this digest, after hashing it; `None` if it is absent or corrupted.
    pub(super) fn verified_size(&self, digest: Sha256) -> Result<Option<u64>, Error> {
        let path = self.path(digest);
        digest.verified_length(&path).map_err(|source| Error::Cache { path, source })
    }

    /// Stores a partial file as complete. The caller has checked its digest.
    pub(super) fn promote_part(&self, digest: Sha256) -> Result<PathBuf, Error> {
        let (part, path) = (self.part_path(digest), self.path(digest));
        match fs::rename(&part, &path) {
            Ok(()) => Ok(path),
            Err(source) => Err(Error::Cache { path: part, source }),
        }
    }

    /// Stores a text.
    pub(super) fn save_text(&self, text: &[u8]) -> Result<Sha256, Error> {
        let digest = Sha256::of(text);
        if self.load_text(digest)?.is_none() {
            self.write(&self.path(digest), text)?;
        }
        Ok(digest)
    }

    /// Reads a stored text.
    pub(super) fn load_text(&self, digest: Sha256) -> Result<Option<Bytes>, Error> {
        let path = self.path(digest);
        let text = durable::if_exists(fs::read(&path)).map_err(|source| Error::Cache { path, source })?;
        Ok(text.filter(|text| Sha256::of(text) == digest).map(Bytes::from))
    }

    /// Records the current texts of `name`.
    pub(super) fn save_record(&self, name: &str, record: &TextRecord) -> Result<(), Error> {
        let text = serde_json::to_vec(record).expect("paths and digests can be written");
        self.write(&self.record_path(name), &text)
    }

    /// The texts of `name` in the last run; `None` if unknown.
    pub(super) fn load_record(&self, name: &str) -> Result<Option<TextRecord>, Error> {
        let path = self.record_path(name);
        let text =
            durable::if_exists(read_at_most(&path, MAX_RECORD)).map_err(|source| Error::Cache { path, source })?;
        // A damaged record counts as absent.
        Ok(text.flatten().and_then(|text| serde_json::from_slice(&text).ok()))
    }

    fn record_path(&self, name: &str) -> PathBuf {
        self.meta.join(format!("{name}.json"))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let written = || {
            let mut file = tempfile::Builder::new().prefix(".text-").tempfile_in(self.parts_folder())?;
            file.write_all(bytes)?;
            durable::make_public(file.path())?;
            file.persist(path).map_err(|error| error.error)
        };
        written().map(|_| ()).map_err(|source| Error::Cache { path: path.to_owned(), source })
    }

    /// Waits until no other process downloads toolchains into this cache. Others wait until the guard is dropped. `verb`
    /// is the reason that they report.
    pub(super) async fn lock(&self, verb: &str, sink: &dyn Sink) -> Result<DownloadLock, Error> {
        let path = self.root.join("lock");
        let mut reported = false;
        let report = |owner| {
            if !std::mem::replace(&mut reported, true) {
                sink.status("Blocking", format!("waiting for {owner}, which downloads toolchains"));
            }
        };
        // A file system without locks does not prevent downloads: every file is hashed.
        let lock = ProcessLock::wait(&path, verb, report).await;
        let lock = lock.map_err(|source| Error::Cache { path, source })?;
        self.remove_abandoned_parts();
        Ok(DownloadLock { _lock: lock })
    }

    /// Removes partial files that are unchanged for long. A file that remains does no harm.
    fn remove_abandoned_parts(&self) {
        for entry in fs::read_dir(self.parts_folder()).into_iter().flatten().flatten() {
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            if modified.and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age > ABANDONED_AFTER) {
                let _gone: io::Result<()> = fs::remove_file(entry.path());
            }
        }
    }
}

/// The lock for downloads; released when it is dropped or the process ends.
pub(super) struct DownloadLock {
    _lock: Option<ProcessLock>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::NullSink;

    fn store() -> (tempfile::TempDir, DistCache) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = DistCache::open(folder.path(), "https://static.rust-lang.org").expect("open");
        (folder, store)
    }

    #[test]
    fn a_corrupt_text_counts_as_absent_and_is_rewritten() {
        let (_folder, store) = store();
        for _ in 0..2 {
            let digest = store.save_text(b"good").expect("keep");
            assert_eq!(store.verified_size(digest).expect("look"), Some(4));
            assert_eq!(store.load_text(digest).expect("read").as_deref(), Some(&b"good"[..]));
            fs::write(store.path(digest), b"goof").expect("rot");
            assert_eq!(store.verified_size(digest).expect("look"), None);
            assert_eq!(store.load_text(digest).expect("read"), None);
        }
    }

    #[test]
    fn records_are_per_server_and_damaged_ones_are_ignored() {
        let (folder, store) = store();
        let path: SafePath = "dist/channel-rust-stable.toml".parse().expect("path");
        let record = TextRecord::from([(path, Some(Sha256::of(b"x")))]);
        store.save_record("stable", &record).expect("remember");
        assert_eq!(store.load_record("stable").expect("recall"), Some(record.clone()));
        assert_eq!(store.load_record("beta").expect("recall"), None);
        let other = DistCache::open(folder.path(), "https://other.example").expect("open");
        assert_eq!(other.load_record("stable").expect("recall"), None);
        for damaged in [&b"{"[..], b"{\"../x\":null}", &vec![b' '; 2 << 20]] {
            fs::write(store.record_path("stable"), damaged).expect("damage");
            assert_eq!(store.load_record("stable").expect("recall"), None);
        }
    }

    #[tokio::test]
    async fn the_lock_is_exclusive_and_removes_abandoned_parts() {
        let (_folder, store) = store();
        let (old, new) = (store.part_path(Sha256::of(b"old")), store.part_path(Sha256::of(b"new")));
        fs::write(&new, b"n").expect("write");
        let then = std::time::SystemTime::now() - 2 * ABANDONED_AFTER;
        fs::File::create(&old).and_then(|file| file.set_modified(then)).expect("an old file");
        let guard = store.lock("fetch", &NullSink).await.expect("lock");
        assert!(new.exists() && !old.exists());
        let second = tokio::time::timeout(Duration::from_millis(300), store.lock("fetch", &NullSink)).await;
        assert!(second.is_err());
        drop(guard);
        store.lock("fetch", &NullSink).await.expect("free again");
    }
}
