//! Live mode's files on disk. Files that were fetched for a client become part of the mirror and are recorded as live
//! mode's.
//!
//! | file | purpose |
//! |---|---|
//! | `records` | reads, appends and rewrites the record of the lineage |
//! | `partial` | downloads in progress, and leftovers of dead servers |
//! | `batch` | the fetched files of a batch |
//! | `commit` | commits a batch |
//! | `merge_crates` | decides which crates of a batch to store, and merges their index lines |
//! | `dist_files` | the same for dist files |
//!
//! [`super::layout`] describes the on-disk format. This module has no network access. The caller has the bytes in a
//! file of `live/partial/`, and has checked their digest against upstream's index or manifest.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::summary::SummaryLoss;
use super::transaction;
use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::Sha256;
use crate::index_line::IndexLine;
use crate::safe_path::SafePath;

mod batch;
mod merge_crates;
mod records;
mod partial;
mod commit;
mod dist_files;

pub use super::item::ItemId;
pub use super::summary::LiveTotals;
pub use batch::Rejection;
pub use commit::StoreOutcome;
pub use partial::PartialFile;
pub(super) use records::sum_totals;
pub use records::{LiveLineage, Tailer, read_totals};

/// A crate or dist file that live mode stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Row", into = "Row")]
pub struct LiveRecord {
    /// The crate or dist file.
    pub item: ItemId,
    /// Digest of its bytes, which upstream published.
    pub sha256: Sha256,
    /// Size in bytes.
    pub size: u64,
    /// When it was stored.
    pub stored_at: Timestamp,
    /// When upstream's index or manifest was read.
    pub read_at: Timestamp,
    /// The crate's description.
    pub description: Option<String>,
    /// The crate's license.
    pub license: Option<String>,
    /// The crate's repository.
    pub repository: Option<String>,
    /// Whether live mode no longer needs it. Its file stays until a collection deletes it.
    pub retired: bool,
}

/// A fetched crate, whose bytes have the digest of its line.
#[derive(Clone, Debug)]
pub struct FetchedCrate {
    /// The crate.
    pub id: CrateId,
    /// Digest of the file's bytes.
    pub sha256: Sha256,
    /// Size of the file in bytes.
    pub size: u64,
    /// The file, in `live/partial/`. It is gone after the commit.
    pub file: PathBuf,
    /// Upstream's index line.
    pub line: IndexLine,
    /// When upstream's index was read.
    pub read_at: Timestamp,
}

/// A changed line of upstream, for a version that may be stored. If the version is not stored, or the line contradicts
/// it, the update is dropped.
#[derive(Clone, Debug)]
pub struct IndexUpdate {
    /// Upstream's line.
    pub line: IndexLine,
    /// When upstream's index was read.
    pub read_at: Timestamp,
}

/// A fetched dist file, whose bytes have the digest that upstream states.
#[derive(Clone, Debug)]
pub struct FetchedDistFile {
    /// Its path in the mirror.
    pub path: SafePath,
    /// Digest of the file's bytes.
    pub sha256: Sha256,
    /// Size of the file in bytes.
    pub size: u64,
    /// The file, in `live/partial/`. It is gone after the commit.
    pub file: PathBuf,
    /// When it was read from upstream.
    pub read_at: Timestamp,
}

/// A batch failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file system operation failed.
    #[error(transparent)]
    Store(#[from] transaction::Error),
    /// `manifest.json` is lost beside files of earlier imports.
    #[error(transparent)]
    SummaryLost(#[from] SummaryLoss),
}

/// The JSON form of a record.
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
    #[serde(rename = "placed")]
    stored_at: Timestamp,
    #[serde(rename = "read")]
    read_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[serde(rename = "forgotten")]
    retired: bool,
}

impl TryFrom<Row> for LiveRecord {
    type Error = &'static str;

    fn try_from(row: Row) -> Result<LiveRecord, &'static str> {
        let Row { name, version, path, sha256, size, stored_at, read_at, description, license, repository, retired } =
            row;
        let item = match (name, version, path) {
            (Some(name), Some(version), None) => ItemId::Crate(CrateId { name, version }),
            (None, None, Some(path)) => ItemId::DistFile(path),
            _ => return Err("neither a crate nor a dist file"),
        };
        Ok(LiveRecord { item, sha256, size, stored_at, read_at, description, license, repository, retired })
    }
}

impl From<LiveRecord> for Row {
    fn from(record: LiveRecord) -> Row {
        let LiveRecord { item, sha256, size, stored_at, read_at, description, license, repository, retired } = record;
        let (name, version, path) = match item {
            ItemId::Crate(CrateId { name, version }) => (Some(name), Some(version), None),
            ItemId::DistFile(path) => (None, None, Some(path)),
        };
        Row { name, version, path, sha256, size, stored_at, read_at, description, license, repository, retired }
    }
}
