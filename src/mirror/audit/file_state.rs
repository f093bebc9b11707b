//! Checks a stored file against its expected digest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::problem::Fault;
use crate::bundle::package_metadata::manifest_text;
use crate::crate_id::CrateId;
use crate::digest::{Hasher, Sha256};
use crate::event::{Event, Phase, Sink};
use crate::mirror::item::ItemId;
use crate::mirror::layout::Layout;

/// The state of a stored file.
#[derive(Clone, Debug)]
pub(in crate::mirror) enum FileState {
    /// The file has the expected digest.
    Valid {
        sha256: Sha256,
        length: u64,
        /// Digest of the index line that was compared with the Cargo.toml in the crate, and does not contradict it.
        compared_line: Option<Sha256>,
    },
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
    check_with_manifest(layout, item, expected, before, sink, buffer).0
}

/// The Cargo.toml in the file of a crate.
pub(super) enum CrateManifest {
    /// The file was not read.
    NotRead,
    /// The file was read, and its Cargo.toml cannot be read.
    Unreadable,
    /// Its text.
    Text(String),
}

/// The same. If the item is a crate and its file is valid and was read, also returns the Cargo.toml in it, from the same
/// bytes.
pub(super) fn check_with_manifest(
    layout: &Layout,
    item: &ItemId,
    expected: Option<Sha256>,
    before: Option<&FileState>,
    sink: &dyn Sink,
    buffer: &mut [u8],
) -> (FileState, CrateManifest) {
    let path = item.file(layout);
    let mut manifest = CrateManifest::NotRead;
    let state = match (expected, before) {
        (None, _) => FileState::Unlisted { length: file_length(&path) },
        (Some(expected), Some(valid @ FileState::Valid { sha256, .. })) if *sha256 == expected => valid.clone(),
        (Some(expected), _) if is_behind_link(layout, item, &path) => {
            FileState::unreadable(&path, expected, "it is behind a link, which the server does not follow")
        }
        (Some(expected), _) => match hash_file(&path, item.crate_id(), buffer) {
            Ok(HashedFile { sha256, length, manifest: text }) if sha256 == expected => {
                manifest = text.map_or(CrateManifest::Unreadable, CrateManifest::Text);
                FileState::Valid { sha256, length, compared_line: None }
            }
            Ok(HashedFile { sha256: actual, length, .. }) => {
                FileState::Invalid { expected, fault: Fault::Digest { expected, actual }, length }
            }
            Err(error) => FileState::unreadable(&path, expected, error),
        },
    };
    if matches!(state, FileState::Valid { .. }) {
        sink.detail("Verified", item.path().to_string());
    }
    sink.event(Event::Advance { phase: Phase::Verifying, items: 1, bytes: state.length() });
    (state, manifest)
}

/// Whether a link leads to the file. A link may point outside of the mirror, so the server does not follow it. The
/// listing of the only folder of crates already leaves out links.
fn is_behind_link(layout: &Layout, item: &ItemId, file: &Path) -> bool {
    let inside = file.ancestors().take_while(|path| *path != layout.root());
    item.crate_id().is_none() && inside.into_iter().any(Path::is_symlink)
}

struct HashedFile {
    sha256: Sha256,
    length: u64,
    /// The Cargo.toml in a crate; `None` if it cannot be read.
    manifest: Option<String>,
}

/// Like [`Sha256::of_file`], with a reused buffer, because mirrors have many small files. Of the file of `crate_id`, also
/// reads the Cargo.toml.
fn hash_file(path: &Path, crate_id: Option<&CrateId>, buffer: &mut [u8]) -> io::Result<HashedFile> {
    let mut file = HashingReader { file: File::open(path)?, hasher: Hasher::new(), length: 0, error: None };
    let manifest = crate_id.and_then(|id| manifest_text(&mut file, id));
    match file.error.take() {
        Some(error) => return Err(error),
        None => while file.read(buffer)? > 0 {},
    }
    Ok(HashedFile { sha256: file.hasher.finish(), length: file.length, manifest })
}

/// Hashes the bytes that are read. Keeps the first error, because readers of archives hide errors.
struct HashingReader {
    file: File,
    hasher: Hasher,
    length: u64,
    error: Option<io::Error>,
}

impl Read for HashingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.file.read(buffer) {
                Ok(count) => {
                    self.hasher.update(buffer.get(..count).unwrap_or_default());
                    self.length += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let reported = io::Error::new(error.kind(), error.to_string());
                    self.error.get_or_insert(error);
                    return Err(reported);
                }
            }
        }
    }
}

fn file_length(path: &Path) -> u64 {
    path.metadata().map_or(0, |about| about.len())
}
