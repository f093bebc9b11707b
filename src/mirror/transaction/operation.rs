//! One change of a mirror, as the journal states it.

use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use crate::durable;
use crate::safe_path::SafePath;

/// One change. Paths are relative to the mirror's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Operation {
    /// Renames the staged file of this number to the path, whatever is there.
    Put(u32, SafePath),
    /// Cuts the file to the length, and appends the content of the staged file of this number.
    Append(u32, u64, SafePath),
    /// Removes the file, if it exists.
    Delete(SafePath),
    /// Renames the file, link or folder at the first path to the second, if nothing is there yet.
    Move(SafePath, SafePath),
    /// Removes the folder, if it is empty.
    Folder(SafePath),
    /// Makes the link at this path to the index, if nothing is there and the file system has links.
    Link(SafePath),
}

impl Operation {
    /// Every path that it changes.
    pub(super) fn paths(&self) -> impl Iterator<Item = &SafePath> {
        let target = match self {
            Operation::Move(_, target) => Some(target),
            _ => None,
        };
        std::iter::once(self.path()).chain(target)
    }

    pub(super) fn path(&self) -> &SafePath {
        match self {
            Operation::Put(_, path)
            | Operation::Append(_, _, path)
            | Operation::Delete(path)
            | Operation::Move(path, _)
            | Operation::Folder(path)
            | Operation::Link(path) => path,
        }
    }
}

/// A numbered checkpoint of this process.
pub(super) fn checkpoint() {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    if cfg!(debug_assertions) {
        durable::checkpoint(&format!("commit:{}", NUMBER.fetch_add(1, Ordering::Relaxed) + 1));
    }
}
