//! The download cache: crates that earlier runs fetched, by digest, in `$FROSTMIRROR_HOME/cache/crates/`.
//!
//! A file's name is the digest of its bytes, and the bytes are hashed before each use: a corrupted file counts as
//! absent and is replaced. Therefore nothing is synced here; a crash costs a download. Files are written to a folder of
//! this process below `cache/tmp/` and renamed, so a name under `crates/` is always a complete file.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;

use crate::digest::{HashingReader, Sha256};
use crate::durable;
use crate::event::Sink;
use crate::process_lock::LockOwner;
use crate::scratch::ScratchFolder;

/// The cache of crates.
#[derive(Clone, Debug)]
pub struct CrateCache {
    root: PathBuf,
    crates: PathBuf,
    staging: Arc<ScratchFolder>,
}

impl CrateCache {
    /// Opens the cache below `root`, and creates it if it is missing. Removes partial files of killed runs. A wait for
    /// another process that does this is reported to `sink`.
    pub fn open(root: &Path, sink: &dyn Sink) -> io::Result<CrateCache> {
        let crates = root.join("crates");
        durable::make_folder(&crates)?;
        let report_wait = |owner: &LockOwner| {
            sink.status("Blocking", format!("waiting for {owner}, which uses the cache `{}`", root.display()));
        };
        let staging = Arc::new(ScratchFolder::create(&root.join("tmp"), &report_wait)?);
        Ok(CrateCache { root: root.to_owned(), crates, staging })
    }

    /// The folder of the whole cache.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A folder of this process, from which files are renamed into the cache.
    pub fn staging(&self) -> &Path {
        self.staging.path()
    }

    /// The lock file of the process that downloads the file with this digest.
    pub fn lock_path(&self, digest: Sha256) -> PathBuf {
        self.root.join("tmp").join(format!("{digest}.lock"))
    }

    /// The path of the file with this digest, if it is cached.
    pub fn path(&self, digest: Sha256) -> PathBuf {
        let name = digest.to_string();
        self.crates.join(&name[..2]).join(&name)
    }

    /// The size in bytes of the file with this digest, after hashing it; `None` if it is absent or corrupted.
    pub fn verified_size(&self, digest: Sha256) -> io::Result<Option<u64>> {
        digest.verified_length(&self.path(digest))
    }

    /// A temporary file for a download, which is removed unless it is stored.
    pub fn new_partial_file(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(".part-").tempfile_in(self.staging())
    }

    /// Stores a complete file, whose digest the caller has checked.
    pub fn insert(&self, file: NamedTempFile, digest: Sha256) -> io::Result<PathBuf> {
        let path = self.path(digest);
        if let Some(folder) = path.parent() {
            durable::make_folder(folder)?;
        }
        durable::make_public(file.path())?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(path)
    }

    /// Copies `from` into the cache if it has this digest. Returns its size in bytes, or `None` if the digest differs
    /// or the file cannot be opened.
    ///
    /// This makes a copy and not a link: the file belongs to cargo, which rewrites a damaged file in place and deletes
    /// old files.
    pub fn import_copy(&self, from: &Path, digest: Sha256) -> io::Result<Option<u64>> {
        // The file does not exist or is not readable. It belongs to another program, and upstream has it too.
        let Ok(file) = File::open(from) else {
            return Ok(None);
        };
        let mut reader = HashingReader::new(file);
        let mut partial = self.new_partial_file()?;
        io::copy(&mut reader, &mut partial)?;
        let (found, length, _) = reader.finish();
        if found != digest {
            return Ok(None);
        }
        self.insert(partial, digest)?;
        Ok(Some(length))
    }

    /// Like [`CrateCache::import_copy`], but creates a hard link if the file system supports it: for files of this
    /// program, which are never rewritten in place.
    pub fn import_link(&self, from: &Path, digest: Sha256) -> io::Result<Option<u64>> {
        // A hard link to a symbolic link would link the symbolic link itself.
        if !from.symlink_metadata().is_ok_and(|about| about.is_file()) {
            return self.import_copy(from, digest);
        }
        let folder = tempfile::Builder::new().prefix(".part-").tempdir_in(self.staging())?;
        let second = folder.path().join("link");
        if fs::hard_link(from, &second).is_err() {
            return self.import_copy(from, digest);
        }
        // The file is hashed under its new name, because the first name may belong to another file by now.
        let (found, length) = match Sha256::of_file(&second) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
            Err(error) => return Err(error),
        };
        if found != digest {
            return Ok(None);
        }
        let path = self.path(digest);
        if let Some(folder) = path.parent() {
            durable::make_folder(folder)?;
        }
        fs::rename(&second, &path)?;
        Ok(Some(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn cache() -> (tempfile::TempDir, CrateCache) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let cache = CrateCache::open(folder.path(), &crate::event::NullSink).expect("open");
        (folder, cache)
    }

    #[test]
    fn a_corrupt_file_counts_as_absent_and_is_replaced() {
        let (_folder, cache) = cache();
        let digest = Sha256::of(b"good");
        assert_eq!(cache.verified_size(digest).expect("look"), None);
        for round in 0..2 {
            let mut file = cache.new_partial_file().expect("partial");
            file.write_all(b"good").expect("write");
            let path = cache.insert(file, digest).expect("place");
            assert_eq!(cache.verified_size(digest).expect("look"), Some(4), "{round}");
            fs::write(&path, b"goof").expect("rot");
            assert_eq!(cache.verified_size(digest).expect("look"), None, "{round}");
        }
    }

    #[test]
    fn only_a_matching_file_is_copied_and_no_partial_file_remains() {
        let (folder, cache) = cache();
        let theirs = folder.path().join("a-1.0.0.crate");
        fs::write(&theirs, b"good").expect("write");
        let adopt = |digest| cache.import_copy(&theirs, digest).expect("adopt");
        assert_eq!(adopt(Sha256::of(b"other")), None);
        assert_eq!(adopt(Sha256::of(b"good")), Some(4));
        let absent = folder.path().join("absent");
        assert_eq!(cache.import_copy(&absent, Sha256::of(b"good")).expect("adopt"), None);
        // Cargo may rewrite its own file; the copy stays.
        fs::write(&theirs, b"evil").expect("write");
        assert_eq!(cache.verified_size(Sha256::of(b"good")).expect("look"), Some(4));
        assert_eq!(fs::read_dir(cache.staging()).expect("list").count(), 0);
    }

    #[test]
    fn only_a_matching_file_is_hard_linked() {
        let (folder, cache) = cache();
        let ours = folder.path().join("a-1.0.0.crate");
        fs::write(&ours, b"good").expect("write");
        let link = |digest| cache.import_link(&ours, digest).expect("link");
        assert_eq!(link(Sha256::of(b"other")), None);
        assert_eq!(link(Sha256::of(b"good")), Some(4));
        assert_eq!(cache.verified_size(Sha256::of(b"good")).expect("look"), Some(4));
        // Again, with both names for one file.
        assert_eq!(link(Sha256::of(b"good")), Some(4));
        assert_eq!(cache.import_link(&folder.path().join("absent"), Sha256::of(b"good")).expect("link"), None);
        assert_eq!(fs::read_dir(cache.staging()).expect("list").count(), 0);
    }
}
