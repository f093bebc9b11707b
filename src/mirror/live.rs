//! Live mode's side of the disk: what was fetched for a client becomes part of the mirror, and is on record as live mode's.
//!
//! | file | what it knows |
//! |---|---|
//! | `records` | the records: read, appended to, rewritten; their numbers |
//! | `partial` | files under way, and which of them nobody will ever finish |
//! | `commit` | a batch into the tree, and one that was killed, done again |
//! | `crates` | which crates of a batch are placed, and what their index files become |
//! | `dist_files` | the same for rustup artifacts |
//!
//! The format on disk stands in [`super::layout`]. Nothing here knows the network: whoever calls has the bytes in a file
//! of `live/partial/`, and has found their digest to be the one that upstream's index, or manifest, states.

use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::transaction;
use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::Sha256;
use crate::index_line::IndexLine;
use crate::safe_path::SafePath;

mod crates;
mod records;
mod partial;
mod commit;
mod dist_files;

pub(super) use commit::recover;
pub use commit::{CHECKPOINTS, DIST_FILE_CHECKPOINTS, Rejection, StoreOutcome};
pub use partial::PartialFile;
pub(super) use records::{RecordFile, repair, retire, sum_totals, write_retired};
pub use records::{Tailer, lineage_id, read_records, read_retired, read_totals};

/// One crate or rustup artifact that live mode brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Row", into = "Row")]
pub struct LiveRecord {
    /// Which.
    pub item: ItemId,
    /// Digest of its bytes, which upstream vouched for.
    pub sha256: Sha256,
    /// Bytes.
    pub size: u64,
    /// When it was placed.
    pub stored_at: Timestamp,
    /// When upstream's word of it was read.
    pub read_at: Timestamp,
    /// What the crate says it is.
    pub description: Option<String>,
    /// Its licence.
    pub license: Option<String>,
    /// Where it is developed.
    pub repository: Option<String>,
}

/// Something that live mode brings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemId {
    /// A crate, with its index line.
    Crate(CrateId),
    /// A file below `dist/` or `rustup/`.
    DistFile(SafePath),
}

impl std::fmt::Display for ItemId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ItemId::Crate(id) => id.fmt(f),
            ItemId::DistFile(path) => path.fmt(f),
        }
    }
}

impl LiveRecord {
    /// Where its file is, below the mirror's root.
    pub fn path(&self) -> SafePath {
        match &self.item {
            ItemId::Crate(id) => id.crate_path(),
            ItemId::DistFile(path) => path.clone(),
        }
    }

    /// The crate, where it is one.
    pub fn crate_id(&self) -> Option<&CrateId> {
        match &self.item {
            ItemId::Crate(id) => Some(id),
            ItemId::DistFile(_) => None,
        }
    }

    /// The path of the rustup artifact, where it is one.
    pub fn dist_file_path(&self) -> Option<&SafePath> {
        match &self.item {
            ItemId::DistFile(path) => Some(path),
            ItemId::Crate(_) => None,
        }
    }
}

/// A crate that was fetched, and whose bytes were found to have the digest of its line.
#[derive(Clone, Debug)]
pub struct FetchedCrate {
    /// Which.
    pub id: CrateId,
    /// Digest of the file's bytes.
    pub sha256: Sha256,
    /// Bytes of the file.
    pub size: u64,
    /// The file, in `live/partial/`. It is gone when the batch is placed.
    pub file: PathBuf,
    /// Upstream's line of it.
    pub line: IndexLine,
    /// When upstream's index was read.
    pub read_at: Timestamp,
}

/// A line that upstream has changed, of a version that may be held. Where it is not, or where the line contradicts what is
/// held, nothing comes of it.
#[derive(Clone, Debug)]
pub struct IndexUpdate {
    /// Upstream's line.
    pub line: IndexLine,
    /// When upstream's index was read.
    pub read_at: Timestamp,
}

/// A rustup artifact that was fetched, and whose bytes were found to be what upstream vouches for.
#[derive(Clone, Debug)]
pub struct FetchedDistFile {
    /// Where it belongs.
    pub path: SafePath,
    /// Digest of the file's bytes.
    pub sha256: Sha256,
    /// Bytes of the file.
    pub size: u64,
    /// The file, in `live/partial/`. It is gone when the batch is placed.
    pub file: PathBuf,
    /// When it was read from upstream.
    pub read_at: Timestamp,
}

/// What live mode's records come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveTotals {
    /// Crates.
    pub crates: u64,
    /// Rustup artifacts.
    #[serde(rename = "artifacts")]
    pub dist_files: u64,
    /// Bytes of both.
    pub bytes: u64,
}

/// A batch that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused; the mirror is as it was.
    #[error(transparent)]
    Store(#[from] transaction::Error),
    /// A step failed, and what was placed before it could not all be taken back; whoever changes the mirror next does all
    /// of it again.
    #[error("what live mode placed was not undone whole ({left})")]
    RollbackFailed {
        /// What could not be taken back.
        left: transaction::Error,
        /// The step that failed.
        source: transaction::Error,
    },
    /// The operating system has no random bytes.
    #[error("could not make an id for live mode")]
    Random(#[source] getrandom::Error),
}

/// A record's line.
#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<CrateName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<SafePath>,
    sha256: Sha256,
    size: u64,
    placed: Timestamp,
    read: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
}

impl TryFrom<Row> for LiveRecord {
    type Error = &'static str;

    fn try_from(row: Row) -> Result<LiveRecord, &'static str> {
        let Row { sha256, size, placed, read, description, license, repository, .. } = row;
        let what = match (row.name, row.version, row.path) {
            (Some(name), Some(version), None) => ItemId::Crate(CrateId { name, version }),
            (None, None, Some(path)) => ItemId::DistFile(path),
            _ => return Err("neither a crate nor a path"),
        };
        Ok(LiveRecord { item: what, sha256, size, stored_at: placed, read_at: read, description, license, repository })
    }
}

impl From<LiveRecord> for Row {
    fn from(record: LiveRecord) -> Row {
        let LiveRecord { item: what, sha256, size, stored_at: placed, read_at: read, description, license, repository } =
            record;
        let (name, version, path) = match what {
            ItemId::Crate(CrateId { name, version }) => (Some(name), Some(version), None),
            ItemId::DistFile(path) => (None, None, Some(path)),
        };
        Row { name, version, path, sha256, size, placed, read, description, license, repository }
    }
}
