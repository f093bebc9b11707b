//! Live mode's side of the disk: what was fetched for a client becomes part of the mirror, and is on record as live mode's.
//!
//! | file | what it knows |
//! |---|---|
//! | `books` | the records: read, appended to, rewritten; their numbers |
//! | `partial` | files under way, and which of them nobody will ever finish |
//! | `place` | a batch into the tree, and one that was killed, done again |
//! | `arrived` | which crates of a batch are placed, and what their index files become |
//! | `shelved` | the same for rustup artifacts |
//!
//! The format on disk stands in [`super::layout`]. Nothing here knows the network: whoever calls has the bytes in a file
//! of `live/partial/`, and has found their digest to be the one that upstream's index, or manifest, states.

use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::store;
use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::Sha256;
use crate::index_line::IndexLine;
use crate::safe_path::SafePath;

mod arrived;
mod books;
mod partial;
mod place;
mod shelved;

pub(super) use books::{Book, figures_of, forget, mend, write_forgotten};
pub use books::{Follower, figures, forgotten, id, records};
pub use partial::PartialFile;
pub(super) use place::finish;
pub use place::{ARTIFACT_CHECKPOINTS, CHECKPOINTS, Placed, Refused};

/// One crate or rustup artifact that live mode brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Row", into = "Row")]
pub struct Record {
    /// Which.
    pub what: What,
    /// Digest of its bytes, which upstream vouched for.
    pub sha256: Sha256,
    /// Bytes.
    pub size: u64,
    /// When it was placed.
    pub placed: Timestamp,
    /// When upstream's word of it was read.
    pub read: Timestamp,
    /// What the crate says it is.
    pub description: Option<String>,
    /// Its licence.
    pub license: Option<String>,
    /// Where it is developed.
    pub repository: Option<String>,
}

/// Something that live mode brings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// A crate, with its index line.
    Crate(CrateId),
    /// A file below `dist/` or `rustup/`.
    Artifact(SafePath),
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            What::Crate(id) => id.fmt(f),
            What::Artifact(path) => path.fmt(f),
        }
    }
}

impl Record {
    /// Where its file is, below the mirror's root.
    pub fn path(&self) -> SafePath {
        match &self.what {
            What::Crate(id) => id.crate_path(),
            What::Artifact(path) => path.clone(),
        }
    }

    /// The crate, where it is one.
    pub fn crate_id(&self) -> Option<&CrateId> {
        match &self.what {
            What::Crate(id) => Some(id),
            What::Artifact(_) => None,
        }
    }

    /// The path of the rustup artifact, where it is one.
    pub fn artifact(&self) -> Option<&SafePath> {
        match &self.what {
            What::Artifact(path) => Some(path),
            What::Crate(_) => None,
        }
    }
}

/// A crate that was fetched, and whose bytes were found to have the digest of its line.
#[derive(Clone, Debug)]
pub struct Arrival {
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
    pub read: Timestamp,
}

/// A line that upstream has changed, of a version that may be held. Where it is not, or where the line contradicts what is
/// held, nothing comes of it.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// Upstream's line.
    pub line: IndexLine,
    /// When upstream's index was read.
    pub read: Timestamp,
}

/// A rustup artifact that was fetched, and whose bytes were found to be what upstream vouches for.
#[derive(Clone, Debug)]
pub struct ArrivedArtifact {
    /// Where it belongs.
    pub path: SafePath,
    /// Digest of the file's bytes.
    pub sha256: Sha256,
    /// Bytes of the file.
    pub size: u64,
    /// The file, in `live/partial/`. It is gone when the batch is placed.
    pub file: PathBuf,
    /// When it was read from upstream.
    pub read: Timestamp,
}

/// What live mode's records come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// Crates.
    pub crates: u64,
    /// Rustup artifacts.
    pub artifacts: u64,
    /// Bytes of both.
    pub bytes: u64,
}

/// A batch that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused; the mirror is as it was.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A step failed, and what was placed before it could not all be taken back; whoever changes the mirror next does all
    /// of it again.
    #[error("what live mode placed was not undone whole ({left})")]
    Torn {
        /// What could not be taken back.
        left: store::Error,
        /// The step that failed.
        source: store::Error,
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

impl TryFrom<Row> for Record {
    type Error = &'static str;

    fn try_from(row: Row) -> Result<Record, &'static str> {
        let Row { sha256, size, placed, read, description, license, repository, .. } = row;
        let what = match (row.name, row.version, row.path) {
            (Some(name), Some(version), None) => What::Crate(CrateId { name, version }),
            (None, None, Some(path)) => What::Artifact(path),
            _ => return Err("neither a crate nor a path"),
        };
        Ok(Record { what, sha256, size, placed, read, description, license, repository })
    }
}

impl From<Record> for Row {
    fn from(record: Record) -> Row {
        let Record { what, sha256, size, placed, read, description, license, repository } = record;
        let (name, version, path) = match what {
            What::Crate(CrateId { name, version }) => (Some(name), Some(version), None),
            What::Artifact(path) => (None, None, Some(path)),
        };
        Row { name, version, path, sha256, size, placed, read, description, license, repository }
    }
}
