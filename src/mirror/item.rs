//! What a mirror stores: crates, each with its index line, and dist files. Collections, snapshots, rebuilds and live mode
//! treat both alike.

use std::fmt;

use crate::crate_id::CrateId;
use crate::safe_path::SafePath;

/// Identifies a stored file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemId {
    /// A crate, with its index line.
    Crate(CrateId),
    /// A file below `dist/` or `rustup/`.
    DistFile(SafePath),
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ItemId::Crate(id) => id.fmt(f),
            ItemId::DistFile(path) => path.fmt(f),
        }
    }
}

impl ItemId {
    /// The path of its file, relative to the mirror's root.
    pub fn path(&self) -> SafePath {
        match self {
            ItemId::Crate(id) => id.crate_path(),
            ItemId::DistFile(path) => path.clone(),
        }
    }

    /// The name of a crate file, or the path of a dist file. Only a path contains a `/`.
    pub(super) fn key(&self) -> String {
        match self {
            ItemId::Crate(id) => id.file_name(),
            ItemId::DistFile(path) => path.to_string(),
        }
    }

    /// The crate, if it is one.
    pub fn crate_id(&self) -> Option<&CrateId> {
        match self {
            ItemId::Crate(id) => Some(id),
            ItemId::DistFile(_) => None,
        }
    }

    /// The path of the dist file, if it is one.
    pub fn dist_file_path(&self) -> Option<&SafePath> {
        match self {
            ItemId::DistFile(path) => Some(path),
            ItemId::Crate(_) => None,
        }
    }
}
