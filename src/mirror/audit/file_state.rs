//! Checks a stored file against its expected digest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::problem::Fault;
use crate::digest::{Hasher, Sha256};
use crate::event::{Event, Phase, Sink};
use crate::mirror::item::ItemId;
use crate::mirror::layout::Layout;

/// The state of a stored file.
#[derive(Clone, Debug)]
pub(in crate::mirror) enum FileState {
    /// The file has the expected digest.
    Valid { sha256: Sha256, length: u64 },
    /// The file is missing, unreadable or has another digest.
    Invalid { expected: Sha256, fault: Fault, length: u64 },
    /// No record states an expected digest.
    Unlisted { length: u64 },
}

impl FileState {
    /// Length of the file in bytes.
    pub(super) fn length(&self) -> u64 {
        match self {
            FileState::Valid { length, .. } | FileState::Invalid { length, .. } | FileState::Unlisted { length } => {
                *length
            }
        }
    }

    fn unreadable(path: &Path, expected: Sha256, why: impl ToString) -> FileState {
        FileState::Invalid { expected, fault: Fault::Unreadable { why: why.to_string() }, length: file_length(path) }
    }
}

/// The state of each file: of crates by the index path of their name, of dist files by their path. An audit hashes no
/// valid file twice.
pub(in crate::mirror) type FileStates = BTreeMap<String, Vec<(ItemId, FileState)>>;

/// Checks the file of `item` against its expected digest. A file that was valid in `before` is not read again.
pub(super) fn check(
    layout: &Layout,
    item: &ItemId,
    expected: Option<Sha256>,
    before: Option<&FileState>,
    sink: &dyn Sink,
    buffer: &mut [u8],
) -> FileState {
    let path = item.file(layout);
    let state = match (expected, before) {
        (None, _) => FileState::Unlisted { length: file_length(&path) },
        (Some(expected), Some(valid @ FileState::Valid { sha256, .. })) if *sha256 == expected => valid.clone(),
        (Some(expected), _) if is_behind_link(layout, item, &path) => {
            FileState::unreadable(&path, expected, "it is behind a link, which the server does not follow")
        }
        (Some(expected), _) => match hash_file(&path, buffer) {
            Ok((sha256, length)) if sha256 == expected => FileState::Valid { sha256, length },
            Ok((actual, length)) => FileState::Invalid { expected, fault: Fault::Digest { expected, actual }, length },
            Err(error) => FileState::unreadable(&path, expected, error),
        },
    };
    if matches!(state, FileState::Valid { .. }) {
        sink.detail("Verified", item.path().to_string());
    }
    sink.event(Event::Advance { phase: Phase::Verifying, items: 1, bytes: state.length() });
    state
}

/// Whether a link leads to the file. A link may point outside of the mirror, so the server does not follow it. The
/// listing of the only folder of crates already leaves out links.
fn is_behind_link(layout: &Layout, item: &ItemId, file: &Path) -> bool {
    let inside = file.ancestors().take_while(|path| *path != layout.root());
    item.crate_id().is_none() && inside.into_iter().any(Path::is_symlink)
}

/// Like [`Sha256::of_file`], with a reused buffer, because mirrors have many small files.
fn hash_file(path: &Path, buffer: &mut [u8]) -> io::Result<(Sha256, u64)> {
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
