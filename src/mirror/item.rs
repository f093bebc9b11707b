//! What a mirror stores: crates, each with its index line, and dist files. Collections, snapshots, rebuilds and live mode
//! treat both alike.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::layout::Layout;
use crate::bundle::format::Manifest;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
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

    /// Its file in a mirror.
    pub(super) fn file(&self, layout: &Layout) -> PathBuf {
        match self {
            ItemId::Crate(id) => layout.crate_file(id),
            ItemId::DistFile(path) => path.below(layout.root()),
        }
    }

    /// The name of a crate file, or the path of a dist file. Only a path contains a `/`.
    pub fn key(&self) -> String {
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

/// The items that a bundle names, whatever their state.
pub(super) fn items_of(manifest: &Manifest) -> impl Iterator<Item = ItemId> {
    let crates = manifest.crates.iter().map(|record| ItemId::Crate(record.id()));
    crates.chain(manifest.dist_files.iter().map(|record| ItemId::DistFile(record.path.clone())))
}

/// An item with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub id: ItemId,
    /// The digest that its file has or must have.
    pub sha256: Sha256,
    /// Size in bytes.
    pub size: u64,
}

/// A file on disk, whose digest is not needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StoredItem {
    /// The name of a crate file, or the path of a dist file. Only a path contains a `/`.
    #[serde(rename = "file", serialize_with = "serialize_key")]
    #[schemars(with = "String")]
    pub id: ItemId,
    /// Size in bytes.
    pub size: u64,
}

fn serialize_key<S: Serializer>(id: &ItemId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&id.key())
}

/// The total size of these files in bytes.
pub fn total_size<'i>(items: impl IntoIterator<Item = &'i StoredItem>) -> u64 {
    items.into_iter().map(|item| item.size).sum()
}
