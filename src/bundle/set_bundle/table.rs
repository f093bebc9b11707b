//! The table of a part: one block a line, and the rules that need no set.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::format::{Block, BundleKind, Encoding, Entry, MAX_TEXT_LENGTH, StoredBytes, json_length};
use super::super::invalid_manifest::InvalidManifest;
use super::super::validate::{check_block, check_encoding, check_entry};
use super::entry_key::{EntryKey, split_registry};
use crate::digest::Sha256;
use crate::mirror_file::FileKind;
use crate::safe_path::SafePath;
use crate::sharded_set::{Registry, RegistryId, SortKey};

/// Maximum number of entries in a block. Its line then fits into a table, whatever the paths.
pub(super) const MAX_ENTRIES_PER_BLOCK: usize = 2048;

/// Maximum number of files of toolchains and rustup in a bundle. The reader keeps their digests.
const MAX_DIST_FILES: usize = 524_288;
/// Maximum number of these files with one place. A shard has less space.
const MAX_NEIGHBOURS: usize = 65_536;

/// A block with the details of its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartBlock {
    /// The block.
    pub block: Block,
    /// The details of each entry.
    pub details: Vec<EntryDetails>,
}

/// Facts about an entry that its bytes do not need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryDetails {
    /// `package.description` of a crate, shortened.
    pub description: Option<String>,
    /// `package.license` of a crate, or `package.license-file` as `file: NAME`.
    pub license: Option<String>,
    /// `package.repository` of a crate.
    pub repository: Option<String>,
    /// Whether the lines of an index file belong to crates of earlier bundles that no input needs.
    pub is_refreshed: bool,
}

/// A problem of a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableFault {
    /// A line is not a block.
    #[error("line {line} is not a block: {fault}")]
    NotABlock {
        /// The line, from 1.
        line: usize,
        /// The problem.
        fault: String,
    },
    /// An entry has a kind that this version does not know.
    #[error("`{path}` has the kind `{}`, which this version does not know", kind.escape_debug())]
    UnknownKind {
        /// The entry.
        path: SafePath,
        /// The kind.
        kind: String,
    },
    /// A block or an entry breaks a rule.
    #[error(transparent)]
    Invalid(#[from] InvalidManifest),
    /// The sums differ from those of the manifest.
    #[error("it has other sums of entries or bytes than the manifest states")]
    Sums,
}

impl TableFault {
    /// Whether a newer version of the program wrote the table.
    pub(super) fn is_newer_format(&self) -> bool {
        matches!(self, TableFault::UnknownKind { .. } | TableFault::Invalid(InvalidManifest::UnknownEncoding { .. }))
    }
}

/// A line of a table.
#[derive(Serialize, Deserialize)]
struct BlockLine {
    encoding: Encoding,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stored: Option<StoredBytes>,
    entries: Vec<EntryLine>,
}

/// An entry of a line.
#[derive(Serialize, Deserialize)]
struct EntryLine {
    path: SafePath,
    size: u64,
    sha256: Sha256,
    kind: KindName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    refreshed: bool,
}

/// A kind. An unknown name is not malformed but newer.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum KindName {
    Known(FileKind),
    Unknown(String),
}

impl PartBlock {
    /// Its line in a table.
    pub(super) fn line(&self) -> serde_json::Result<String> {
        let entries = self.block.entries.iter().zip(&self.details).map(|(entry, details)| EntryLine {
            path: entry.path.clone(),
            size: entry.size,
            sha256: entry.sha256,
            kind: KindName::Known(entry.kind),
            description: details.description.clone(),
            license: details.license.clone(),
            repository: details.repository.clone(),
            refreshed: details.is_refreshed,
        });
        let block = &self.block;
        let line = BlockLine { encoding: block.encoding.clone(), stored: block.stored, entries: entries.collect() };
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        Ok(text)
    }

    fn parse(line: &[u8], number: usize) -> Result<PartBlock, TableFault> {
        let not_a_block = |fault: &str| TableFault::NotABlock { line: number, fault: fault.to_owned() };
        let json = line.strip_suffix(b"\n").ok_or_else(|| not_a_block("it has no line break at its end"))?;
        let parsed: BlockLine = serde_json::from_slice(json).map_err(|error| not_a_block(&error.to_string()))?;
        let mut part = PartBlock {
            block: Block { encoding: parsed.encoding, stored: parsed.stored, entries: Vec::new() },
            details: Vec::new(),
        };
        for entry in parsed.entries {
            let kind = match entry.kind {
                KindName::Known(kind) => kind,
                KindName::Unknown(kind) => {
                    return Err(TableFault::UnknownKind { path: entry.path, kind: kind.chars().take(80).collect() });
                }
            };
            let EntryLine { path, size, sha256, description, license, repository, refreshed, .. } = entry;
            part.block.entries.push(Entry { path, size, sha256, kind });
            part.details.push(EntryDetails { description, license, repository, is_refreshed: refreshed });
        }
        check_encoding(&part.block)?;
        Ok(part)
    }
}

/// Reads the blocks of a table. Unknown encodings and kinds are found before the other rules are checked.
pub(super) fn parse(text: &[u8]) -> Result<Vec<PartBlock>, TableFault> {
    let lines = text.split_inclusive(|byte| *byte == b'\n').enumerate();
    let blocks = lines.map(|(position, line)| PartBlock::parse(line, position + 1));
    let blocks = blocks.collect::<Result<Vec<PartBlock>, TableFault>>()?;
    for part in &blocks {
        check_block(&part.block)?;
        if let Some(entry) = part.block.entries.get(MAX_ENTRIES_PER_BLOCK) {
            return Err(invalid(entry, "is in a block with more than 2048 entries").into());
        }
    }
    Ok(blocks)
}

fn invalid(entry: &Entry, rule: &'static str) -> InvalidManifest {
    InvalidManifest::Entry { path: entry.path.clone(), rule }
}

/// The rules for the entries of all parts, in their order.
pub(super) struct EntryRules {
    bundle: BundleKind,
    registries: BTreeSet<RegistryId>,
    last: Option<Position>,
    /// The number of files of toolchains and rustup.
    dist_files: usize,
    /// Those with the place of the last one.
    neighbours: Vec<SortKey>,
}

/// The position of an entry: by kind, and then by its rows or by its path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    kind: FileKind,
    key: Option<SortKey>,
    config_path: Option<SafePath>,
}

impl EntryRules {
    /// Rules for a bundle of this kind that lists these registries.
    pub(super) fn new(bundle: BundleKind, registries: BTreeSet<RegistryId>) -> EntryRules {
        EntryRules { bundle, registries, last: None, dist_files: 0, neighbours: Vec::new() }
    }

    /// Checks the next entry.
    pub(super) fn check(&mut self, entry: &Entry, details: &EntryDetails) -> Result<EntryKey, InvalidManifest> {
        let broken = |rule| invalid(entry, rule);
        let (registry, path) = split_registry(&entry.path).map_err(broken)?;
        check_entry(entry, &path, self.bundle).map_err(|error| match error {
            InvalidManifest::Entry { rule, .. } => broken(rule),
            error => error,
        })?;
        if matches!(registry, Registry::Other(id) if !self.registries.contains(&id)) {
            return Err(broken("is of a registry that the manifest does not list"));
        }
        let texts = [&details.description, &details.license, &details.repository];
        if texts.into_iter().flatten().any(|text| json_length(text) > MAX_TEXT_LENGTH) {
            return Err(broken("has a description, licence or repository that is too long"));
        }
        if texts.into_iter().any(Option::is_some) && entry.kind != FileKind::Crate {
            return Err(broken("has a description, licence or repository, but is not a crate"));
        }
        if details.is_refreshed && entry.kind != FileKind::Index {
            return Err(broken("is refreshed, but is not an index file"));
        }
        let key = EntryKey::of(entry, registry, path).map_err(broken)?;
        self.check_order(entry, &key)?;
        Ok(key)
    }

    fn check_order(&mut self, entry: &Entry, key: &EntryKey) -> Result<(), InvalidManifest> {
        let sort_key = key.sort_key();
        let config_path = sort_key.is_none().then(|| entry.path.clone());
        let position = Position { kind: entry.kind, key: sort_key, config_path };
        if let Some(last) = &self.last {
            match last.cmp(&position) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => {
                    return Err(invalid(
                        entry,
                        "occurs twice in the bundle, or differs from another entry only in case",
                    ));
                }
                std::cmp::Ordering::Greater => return Err(invalid(entry, "is out of order")),
            }
        }
        if let (EntryKey::File(_), Some(sort_key)) = (key, &position.key) {
            if self.neighbours.last().is_some_and(|last| !last.has_same_place(sort_key)) {
                self.neighbours.clear();
            }
            if sort_key.is_below(&self.neighbours) {
                return Err(invalid(entry, "is below a path that is a file"));
            }
            self.dist_files += 1;
            if self.dist_files > MAX_DIST_FILES || self.neighbours.len() >= MAX_NEIGHBOURS {
                return Err(invalid(entry, "is one of more dist files than a bundle can have"));
            }
            self.neighbours.push(sort_key.clone());
        }
        self.last = Some(position);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_dist_files_is_limited() {
        let entry = |path: String| Entry {
            path: path.parse().expect("safe"),
            size: 1,
            sha256: Sha256::of(b"x"),
            kind: FileKind::Dist,
        };
        let check = |rules: &mut EntryRules, path: String| {
            rules.check(&entry(path), &EntryDetails::default()).map(drop).map_err(|error| error.to_string())
        };
        let mut rules = EntryRules::new(BundleKind::Full, BTreeSet::new());
        for number in 0..MAX_NEIGHBOURS {
            assert_eq!(check(&mut rules, format!("dist/2026-01-01/{number:06}")), Ok(()));
        }
        let refused = |path: &str| Err(format!("`{path}` is one of more dist files than a bundle can have"));
        assert_eq!(check(&mut rules, "dist/2026-01-01/z".to_owned()), refused("dist/2026-01-01/z"));
        let mut rules = EntryRules::new(BundleKind::Full, BTreeSet::new());
        rules.dist_files = MAX_DIST_FILES - 1;
        assert_eq!(check(&mut rules, "dist/2026-01-01/a".to_owned()), Ok(()));
        assert_eq!(check(&mut rules, "dist/2026-01-01/b".to_owned()), refused("dist/2026-01-01/b"));
    }
}
