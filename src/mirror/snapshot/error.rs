//! Why a snapshot fails.

use std::path::PathBuf;

use crate::bundle::{open, pack};
use crate::digest::Sha256;
use crate::mirror::import::Problems;
use crate::mirror::summary::SummaryLoss;
use crate::mirror::{gc, transaction};

/// The mirror cannot be exported. The export leaves no files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] gc::Error),
    /// A file system operation failed.
    #[error(transparent)]
    Store(#[from] transaction::Error),
    /// Index, records and files contradict each other.
    #[error("the mirror `{}` is damaged; nothing was written", root.display())]
    Damaged {
        /// The mirror.
        root: PathBuf,
        /// All problems.
        #[source]
        problems: Problems,
    },
    /// `manifest.json` is lost, so histories may be missing from the snapshot.
    #[error("{}, so nothing was exported", .0.finding())]
    SummaryLost(SummaryLoss),
    /// The mirror is empty.
    #[error("the mirror `{}` has no crates and no toolchains", root.display())]
    Empty {
        /// The mirror.
        root: PathBuf,
    },
    /// A file no longer has its recorded digest.
    #[error("`{}` has SHA-256 {actual}, but {expected} is recorded; nothing was written", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// The recorded digest.
        expected: Sha256,
        /// The actual digest.
        actual: Sha256,
    },
    /// The output folder is inside the mirror.
    #[error("`{}` is inside the mirror", folder.display())]
    InMirror {
        /// The given folder.
        folder: PathBuf,
    },
    /// The bundle could not be written.
    #[error(transparent)]
    Pack(pack::Error),
    /// The written bundle cannot be read.
    #[error("the written snapshot cannot be read")]
    Read(#[source] open::Error),
    /// The written bundle is invalid.
    #[error("the written snapshot is invalid")]
    Invalid {
        /// The problems.
        #[source]
        problems: Problems,
    },
}
