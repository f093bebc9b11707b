//! Why an export fails.

use std::io;
use std::path::{Path, PathBuf};

use crate::mirror::import::Problems;
use crate::mirror::summary::SummaryLoss;
use crate::mirror::transaction;

/// The export failed. It leaves no files, and the mirror is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The requested folder cannot be created.
    #[error("`{}` {}", folder.display(), why.description())]
    Target {
        /// The folder.
        folder: PathBuf,
        /// The obstacle.
        why: Obstacle,
    },
    /// Index, records and files of the mirror contradict each other.
    #[error("the mirror is damaged")]
    Damaged {
        /// All problems.
        #[source]
        problems: Problems,
    },
    /// `manifest.json` is lost, so it is unknown what the mirror should have.
    #[error("{}, so nothing was exported", .0.finding())]
    SummaryLost(SummaryLoss),
    /// A file of the mirror differs from its record.
    #[error("`{path}` {fault}")]
    Corrupt {
        /// The file, relative to the mirror.
        path: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The mirror cannot be read.
    #[error(transparent)]
    Store(#[from] transaction::Error),
    /// The folder cannot be written.
    #[error("could not write `{}`", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The sink requested a stop.
    #[error("interrupted")]
    Stopped,
}

/// Why the requested folder cannot be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The folder exists and is not empty.
    NotEmpty,
    /// The path is a file.
    NotAFolder,
    /// The path is inside the mirror.
    InMirror,
    /// The path has no file name, such as the root of a file system.
    NoName,
    /// The path is a mount point, so nothing can be renamed to it.
    MountPoint,
}

impl Obstacle {
    fn description(self) -> &'static str {
        match self {
            Obstacle::NotEmpty => "is not empty",
            Obstacle::NotAFolder => "is not a folder",
            Obstacle::InMirror => "is inside the mirror",
            Obstacle::NoName => "is not a path where a folder can be created",
            Obstacle::MountPoint => "is a mount point",
        }
    }
}

/// Wraps the error of a write to `path`.
pub(super) fn write_failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Write { path, source }
}
