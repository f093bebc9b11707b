//! Why a depends.toml is invalid.

use std::fmt;
use std::path::PathBuf;

use crate::bounded_read;
use crate::diagnostics::ProblemList;

/// Why a depends.toml is invalid.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read, is too large or is not text.
    #[error(transparent)]
    Read(#[from] bounded_read::Error),
    /// The content is invalid.
    #[error("{}", list.draw(path))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The problems.
        list: ProblemList,
    },
    /// Another file of cargo was given.
    #[error("`{}` is a {kind}, not a depends.toml", path.display())]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// The kind of the file.
        kind: OtherKind,
    },
}

/// A file of cargo that is not a depends.toml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherKind {
    /// A Cargo.toml.
    Manifest,
    /// A Cargo.lock.
    Lockfile,
}

impl fmt::Display for OtherKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OtherKind::Manifest => "Cargo.toml",
            OtherKind::Lockfile => "Cargo.lock",
        })
    }
}
