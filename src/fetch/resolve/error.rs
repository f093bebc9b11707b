//! Why a resolution fails.

use std::io;
use std::sync::Arc;

use super::unresolved::{self, MissingVersion, UnresolvedEntry};
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::fetch::crate_downloader;
use crate::fetch::index_snapshot;
use crate::fetch::{cargo, packaged_lock};
use crate::inputs::lockfile::{self, ForeignPackage};

/// Why an input could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Cargo could not be run.
    #[error(transparent)]
    Cargo(#[from] cargo::Error),
    /// The index could not be read.
    #[error(transparent)]
    Index(#[from] Arc<index_snapshot::Error>),
    /// The registry server for the child cargo did not start.
    #[error("could not serve the index to cargo on 127.0.0.1")]
    LocalRegistry(#[source] io::Error),
    /// The scratch project could not be created or read.
    #[error("could not prepare a scratch project for cargo")]
    Scratch(#[source] io::Error),
    /// Cargo finds no solution for a single entry.
    #[error("{}", unresolved::join(unresolved, missing))]
    Unresolvable {
        /// The entries.
        unresolved: Vec<UnresolvedEntry>,
        /// Versions of `[locked]` in the same file that the index lacks.
        missing: Vec<MissingVersion>,
    },
    /// The index lacks exact versions.
    #[error("{}", unresolved::join(&[], missing))]
    MissingVersions {
        /// The missing versions.
        missing: Vec<MissingVersion>,
    },
    /// The checksums of a lockfile or a repair list and those of the index differ.
    #[error("{}", join_lines(mismatches.iter()))]
    ChecksumMismatch {
        /// The mismatches.
        mismatches: Vec<ChecksumMismatch>,
    },
    /// Packages are not from crates.io.
    #[error("{input} needs packages that are not from crates.io:\n{}", join_lines(foreign.iter()))]
    ForeignPackages {
        /// The packages.
        foreign: Vec<ForeignPackage>,
        /// The input that needs them.
        input: String,
    },
    /// A lockfile could not be read.
    #[error(transparent)]
    Lockfile(#[from] lockfile::Error),
    /// The `.crate` of a `--crate` could not be downloaded.
    #[error(transparent)]
    Download(Box<crate_downloader::Error>),
    /// The lock in the `.crate` could not be read.
    #[error(transparent)]
    PackagedLock(#[from] packaged_lock::Error),
}

impl Error {
    /// Whether the message is a list of lines of depends.toml, and needs no further context.
    pub fn names_lines(&self) -> bool {
        match self {
            Error::Unresolvable { unresolved, missing } => unresolved::all_located(unresolved, missing),
            Error::MissingVersions { missing } => unresolved::all_located(&[], missing),
            _ => false,
        }
    }
}

impl From<crate_downloader::Error> for Error {
    fn from(error: crate_downloader::Error) -> Error {
        Error::Download(Box::new(error))
    }
}

/// A checksum that differs from the index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{input} states the checksum {locked} for {id}, but the index has {upstream}")]
pub struct ChecksumMismatch {
    /// The crate.
    pub id: CrateId,
    /// The input that states the checksum: a lockfile or a repair list.
    pub input: String,
    /// The checksum in the input.
    pub locked: Sha256,
    /// The index line's `cksum`.
    pub upstream: Sha256,
}

fn join_lines(items: impl Iterator<Item = impl ToString>) -> String {
    let lines: Vec<String> = items.map(|item| item.to_string()).collect();
    lines.join("\n")
}
