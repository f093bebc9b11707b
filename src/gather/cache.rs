//! The download cache: crates that some run has fetched, by digest, in `$FROSTMIRROR_HOME/cache/crates/`.
//!
//! A file's name is the digest of its bytes, and the bytes are hashed before each use: a file that rotted counts as
//! absent and is replaced. Hence nothing here is synced; a crash costs a download. Files arrive in a folder of this process
//! below `cache/tmp/` and are renamed, so that a name under `crates/` is always a whole file.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;

use crate::digest::{HashingReader, Sha256};
use crate::durable;
use crate::scratch::Scratch;

/// The cache of crates.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
    crates: PathBuf,
    staging: Arc<Scratch>,
}

impl Cache {
    /// The cache below `root`, made where it is missing. Removes what killed runs have left half-written.
    pub fn open(root: &Path) -> io::Result<Cache> {
        let crates = root.join("crates");
        durable::make_folder(&crates)?;
        let staging = Arc::new(Scratch::open(&root.join("tmp"))?);
        Ok(Cache { root: root.to_owned(), crates, staging })
    }

    /// The folder of the whole cache.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A folder of this process, from which files are renamed to their place in the cache.
    pub fn staging(&self) -> &Path {
        self.staging.path()
    }

    /// The file that a process has locked while it downloads the file with this digest.
    pub fn lock_path(&self, digest: Sha256) -> PathBuf {
        self.root.join("tmp").join(format!("{digest}.lock"))
    }

    /// Where the file with this digest is, if it is here.
    pub fn path(&self, digest: Sha256) -> PathBuf {
        let name = digest.to_string();
        self.crates.join(&name[..2]).join(&name)
    }

    /// The length in bytes of the file with this digest, hashed just now; `None` where it is absent or has rotted.
    pub fn held(&self, digest: Sha256) -> io::Result<Option<u64>> {
        match Sha256::of_file(&self.path(digest)) {
            Ok((found, length)) => Ok((found == digest).then_some(length)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A file to download into; it goes away unless it is placed.
    pub fn partial(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(".part-").tempfile_in(self.staging())
    }

    /// Puts a whole file, whose digest the caller has checked, under its name.
    pub fn place(&self, file: NamedTempFile, digest: Sha256) -> io::Result<PathBuf> {
        let path = self.path(digest);
        if let Some(folder) = path.parent() {
            durable::make_folder(folder)?;
        }
        durable::make_public(file.path())?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(path)
    }

    /// Copies `from` in where it has this digest; the length in bytes, or `None` where it has another or cannot be opened.
    ///
    /// It is a copy and not a link: the file belongs to cargo, which rewrites a damaged one in place and deletes old
    /// ones on its own.
    pub fn adopt(&self, from: &Path, digest: Sha256) -> io::Result<Option<u64>> {
        // Not there, or not ours to read: it is somebody else's file, and upstream has another.
        let Ok(file) = File::open(from) else {
            return Ok(None);
        };
        let mut reader = HashingReader::new(file);
        let mut partial = self.partial()?;
        io::copy(&mut reader, &mut partial)?;
        let (found, length, _) = reader.finish();
        if found != digest {
            return Ok(None);
        }
        self.place(partial, digest)?;
        Ok(Some(length))
    }

    /// As [`Cache::adopt`], with a second name in place of a copy where the file system has such: for files of ours, which
    /// are never rewritten in place.
    pub fn link(&self, from: &Path, digest: Sha256) -> io::Result<Option<u64>> {
        // A link to another file would itself get the second name.
        if !from.symlink_metadata().is_ok_and(|about| about.is_file()) {
            return self.adopt(from, digest);
        }
        let folder = tempfile::Builder::new().prefix(".part-").tempdir_in(self.staging())?;
        let second = folder.path().join("link");
        if fs::hard_link(from, &second).is_err() {
            return self.adopt(from, digest);
        }
        // Hashed under the name that it keeps: what stands under the first one may be another file by now.
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

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let cache = Cache::open(folder.path()).expect("open");
        (folder, cache)
    }

    #[test]
    fn what_rotted_is_not_held_and_is_replaced() {
        let (_folder, cache) = cache();
        let digest = Sha256::of(b"good");
        assert_eq!(cache.held(digest).expect("look"), None);
        for round in 0..2 {
            let mut file = cache.partial().expect("partial");
            file.write_all(b"good").expect("write");
            let path = cache.place(file, digest).expect("place");
            assert_eq!(cache.held(digest).expect("look"), Some(4), "{round}");
            fs::write(&path, b"goof").expect("rot");
            assert_eq!(cache.held(digest).expect("look"), None, "{round}");
        }
    }

    #[test]
    fn only_the_right_bytes_are_adopted_and_nothing_stays_behind() {
        let (folder, cache) = cache();
        let theirs = folder.path().join("a-1.0.0.crate");
        fs::write(&theirs, b"good").expect("write");
        let adopt = |digest| cache.adopt(&theirs, digest).expect("adopt");
        assert_eq!(adopt(Sha256::of(b"other")), None);
        assert_eq!(adopt(Sha256::of(b"good")), Some(4));
        let absent = folder.path().join("absent");
        assert_eq!(cache.adopt(&absent, Sha256::of(b"good")).expect("adopt"), None);
        // Cargo may rewrite its own file; ours stays.
        fs::write(&theirs, b"evil").expect("write");
        assert_eq!(cache.held(Sha256::of(b"good")).expect("look"), Some(4));
        assert_eq!(fs::read_dir(cache.staging()).expect("list").count(), 0);
    }

    #[test]
    fn a_file_of_ours_gets_a_second_name_and_only_the_right_one() {
        let (folder, cache) = cache();
        let ours = folder.path().join("a-1.0.0.crate");
        fs::write(&ours, b"good").expect("write");
        let link = |digest| cache.link(&ours, digest).expect("link");
        assert_eq!(link(Sha256::of(b"other")), None);
        assert_eq!(link(Sha256::of(b"good")), Some(4));
        assert_eq!(cache.held(Sha256::of(b"good")).expect("look"), Some(4));
        // Once more, where both names are of one file already.
        assert_eq!(link(Sha256::of(b"good")), Some(4));
        assert_eq!(cache.link(&folder.path().join("absent"), Sha256::of(b"good")).expect("link"), None);
        assert_eq!(fs::read_dir(cache.staging()).expect("list").count(), 0);
    }
}
