//! What an entry's path says: the kind, the registry, and the key of its row.

use super::super::format::Entry;
use crate::crate_id::{CrateId, CrateName};
use crate::mirror_file::FileKind;
use crate::safe_path::SafePath;
use crate::sharded_set::{CrateKey, FilePath, Key, Registry, RegistryId, SortKey};

/// The object of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EntryKey {
    /// The file of a crate.
    Crate(CrateKey),
    /// The index file of a name, with its path in its registry. The first key is not after those of its lines.
    Index { first_key: CrateKey, path: SafePath },
    /// A file of a toolchain or of rustup.
    File(FilePath),
    /// A configuration file.
    Config,
}

/// The registry of a path, and the path in it: `r/ID/crates/…` and `r/ID/index/…`, otherwise crates.io.
pub(super) fn split_registry(path: &SafePath) -> Result<(Registry, SafePath), &'static str> {
    let Some(rest) = path.strip_prefix("r") else { return Ok((Registry::CratesIo, path.clone())) };
    let (id, rest) = rest.split_once('/').ok_or("is not below the folder of a registry")?;
    let id: RegistryId = id.parse().map_err(|_| "is not below the folder of a registry")?;
    let rest: SafePath = rest.parse().map_err(|_| "is not below the folder of a registry")?;
    match FileKind::from_path(&rest) {
        Some(FileKind::Crate | FileKind::Index) => Ok((Registry::Other(id), rest)),
        _ => Err("is neither a crate nor an index file of a registry"),
    }
}

impl EntryKey {
    /// The object of an entry, whose kind fits `path`, its path in its registry.
    pub(super) fn of(entry: &Entry, registry: Registry, path: SafePath) -> Result<EntryKey, &'static str> {
        let file_name = path.components().next_back().unwrap_or_default();
        match entry.kind {
            FileKind::Crate => {
                let id = CrateId::from_file_name(file_name).filter(|id| id.crate_path() == path);
                Ok(EntryKey::Crate(CrateKey { registry, id: id.ok_or("is not the path of a crate")? }))
            }
            FileKind::Index => {
                let name: Option<CrateName> = file_name.parse().ok();
                let name = name.filter(|name| path.strip_prefix("index") == Some(name.index_path().as_str()));
                let name = name.ok_or("is not the path of an index file")?;
                // No version precedes this one as text.
                let id = CrateId::parse(name.as_str(), "0.0.0").map_err(|_| "is not the path of an index file")?;
                Ok(EntryKey::Index { first_key: CrateKey { registry, id }, path })
            }
            FileKind::Dist | FileKind::Rustup => {
                FilePath::try_from(path).map(EntryKey::File).map_err(|error| error.reason())
            }
            FileKind::Config => Ok(EntryKey::Config),
        }
    }

    /// The position of its rows; `None` for a configuration file.
    pub(super) fn sort_key(&self) -> Option<SortKey> {
        match self {
            EntryKey::Crate(key) | EntryKey::Index { first_key: key, .. } => Some(Key::Crate(key.clone()).sort_key()),
            EntryKey::File(path) => Some(Key::File(path.clone()).sort_key()),
            EntryKey::Config => None,
        }
    }
}
