//! Checks every crate file against its expected digest.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::problem::Fault;
use crate::crate_id::CrateId;
use crate::digest::{Hasher, Sha256};
use crate::mirror::layout::Layout;

/// The state of a crate file.
#[derive(Clone, Debug)]
pub(in crate::mirror) enum CrateFileState {
    /// The file has the expected digest.
    Valid { sha256: Sha256, length: u64 },
    /// The file is missing, unreadable or has another digest.
    Invalid { expected: Sha256, fault: Fault, length: u64 },
    /// No record states an expected digest.
    Unlisted { length: u64 },
}

impl CrateFileState {
    /// Length of the file in bytes.
    pub(super) fn length(&self) -> u64 {
        match self {
            CrateFileState::Valid { length, .. }
            | CrateFileState::Invalid { length, .. }
            | CrateFileState::Unlisted { length } => *length,
        }
    }
}

/// Checks the file of `id` against its expected digest. A file that was valid in `before` is not read again.
pub(super) fn check(
    layout: &Layout,
    id: &CrateId,
    expected: Option<Sha256>,
    before: Option<&CrateFileState>,
    buffer: &mut [u8],
) -> CrateFileState {
    let path = layout.crate_file(id);
    let Some(expected) = expected else {
        return CrateFileState::Unlisted { length: file_length(&path) };
    };
    if let Some(good @ CrateFileState::Valid { sha256, .. }) = before
        && *sha256 == expected
    {
        return good.clone();
    }
    match hash_file(&path, buffer) {
        Ok((sha256, length)) if sha256 == expected => CrateFileState::Valid { sha256, length },
        Ok((actual, length)) => CrateFileState::Invalid { expected, fault: Fault::Digest { expected, actual }, length },
        Err(error) => unreadable(&path, expected, error.to_string()),
    }
}

fn unreadable(path: &Path, expected: Sha256, why: String) -> CrateFileState {
    CrateFileState::Invalid { expected, fault: Fault::Unreadable { why }, length: file_length(path) }
}

/// Like [`Sha256::of_file`], with a reused buffer, because mirrors have many small files.
pub(super) fn hash_file(path: &Path, buffer: &mut [u8]) -> io::Result<(Sha256, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new();
    let mut length = 0;
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok((hasher.finish(), length)),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                length += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn file_length(path: &Path) -> u64 {
    path.metadata().map_or(0, |about| about.len())
}
