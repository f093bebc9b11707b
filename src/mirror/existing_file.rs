//! What is at an item's path before the item is stored.

use std::fs::File;
use std::io;
use std::path::Path;

use super::transaction::{Error, failed};
use crate::digest::Sha256;
use crate::durable;

/// What is at a path of the mirror.
pub(super) enum ExistingFile {
    Absent,
    /// A folder. Its owner is unknown, so it is never replaced.
    Folder,
    /// A link or the like. A copied mirror may contain links, and the server follows none out of the mirror. So the
    /// target does not count as stored.
    NotAFile,
    /// A file of `length` bytes.
    File {
        file: File,
        length: u64,
    },
}

impl ExistingFile {
    /// Opens the file at `path`, if there is one.
    pub(super) fn open(path: &Path) -> Result<ExistingFile, Error> {
        let open = || match durable::if_exists(path.symlink_metadata())? {
            None => Ok(ExistingFile::Absent),
            Some(about) if about.is_dir() => Ok(ExistingFile::Folder),
            Some(about) if !about.is_file() => Ok(ExistingFile::NotAFile),
            Some(_) => {
                let Some(file) = durable::if_exists(File::open(path))? else { return Ok(ExistingFile::Absent) };
                let length = file.metadata()?.len();
                Ok(ExistingFile::File { file, length })
            }
        };
        open().map_err(failed("read", path))
    }

    /// Like [`ExistingFile::open`], for a path where a file will be stored. A folder is an error.
    pub(super) fn open_to_replace(path: &Path) -> Result<ExistingFile, Error> {
        match ExistingFile::open(path)? {
            ExistingFile::Folder => Err(failed("replace", path)(io::ErrorKind::IsADirectory.into())),
            other => Ok(other),
        }
    }
}

/// Whether the file at `path` has this size and digest. Without `verify_bytes` the digest is trusted.
pub(super) fn is_stored(path: &Path, size: Option<u64>, sha256: &Sha256, verify_bytes: bool) -> Result<bool, Error> {
    match ExistingFile::open(path)? {
        ExistingFile::File { file, length } if size.is_none_or(|size| size == length) => {
            Ok(!verify_bytes || Sha256::of_reader(file).map_err(failed("read", path))?.0 == *sha256)
        }
        _ => Ok(false),
    }
}
