//! The index files that a transaction changes: reads and merges one at a time, and adds them in the order in which readers
//! may see them.

use std::path::PathBuf;

use super::disk;
use super::index_merge::{MergeResult, StoredIndexFile};
use super::index_meta;
use super::layout::Layout;
use super::topo_sort::{NameIds, Node, dependencies_first};
use super::transaction::{Error, StagedFile, Transaction};
use crate::crate_id::CrateName;

/// Maximum number of dependencies that are stored to sort index files, four bytes each. Real bundles have about twenty
/// per crate. The order only helps concurrent readers, and index files beyond this limit are not sorted.
const MAX_DEPENDENCIES: usize = 4 * 1024 * 1024;

/// An index file and the records of its lines, as they are on disk.
pub(super) struct IndexOnDisk {
    pub(super) file: StoredIndexFile,
    text_exists: bool,
    records_exist: bool,
}

impl IndexOnDisk {
    /// Reads the index file of a crate.
    pub(super) fn read(layout: &Layout, name: &CrateName) -> Result<IndexOnDisk, Error> {
        let (text, records) =
            (disk::read_text(&layout.index_file(name))?, disk::read_text(&layout.index_meta_file(name))?);
        Ok(IndexOnDisk {
            text_exists: text.is_some(),
            records_exist: records.is_some(),
            file: StoredIndexFile {
                text: text.unwrap_or_default(),
                records: index_meta::parse(records.as_deref().unwrap_or_default()),
            },
        })
    }
}

/// The changed index files of a transaction.
pub(super) struct IndexChanges {
    name_ids: NameIds,
    files: Vec<(PathBuf, StagedFile)>,
    /// The dependencies of each of these files.
    nodes: Vec<Node>,
    dependency_count: usize,
    /// Index files that did not exist.
    pub(super) names_added: u64,
    /// Versions that no record lists as stored yet.
    pub(super) newly_stored: u64,
    /// Stored lines that were damaged.
    pub(super) damaged_lines: u64,
    /// Whether a recorded index file is missing.
    pub(super) files_lost: bool,
}

impl IndexChanges {
    /// No changes. Only index files of these names are sorted.
    pub(super) fn new(name_ids: NameIds) -> IndexChanges {
        IndexChanges {
            name_ids,
            files: Vec::new(),
            nodes: Vec::new(),
            dependency_count: 0,
            names_added: 0,
            newly_stored: 0,
            damaged_lines: 0,
            files_lost: false,
        }
    }

    /// Whether no index file changes.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The number of index files that change.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Adds the result of a merge with the file on disk. Returns whether the index file changes.
    pub(super) fn add(
        &mut self,
        layout: &Layout,
        tx: &mut Transaction<'_>,
        name: &CrateName,
        stored: &IndexOnDisk,
        merged: &MergeResult,
    ) -> Result<bool, Error> {
        self.damaged_lines += merged.damaged_lines as u64;
        self.newly_stored += merged.newly_stored as u64;
        self.files_lost |= stored.records_exist && !stored.text_exists;
        let changes = merged.text != stored.file.text;
        // A record of a replaced line may remain; it is harmless, and no reason to write.
        if changes || !merged.records.iter().all(|record| stored.file.records.contains(record)) {
            tx.put_bytes(&layout.index_meta_file(name), index_meta::render(&merged.records).as_bytes())?;
        }
        if !changes {
            return Ok(false);
        }
        let id = self.name_ids.id(name.as_str());
        let dependencies: Box<[u32]> = match id {
            Some(_) if self.dependency_count < MAX_DEPENDENCIES => {
                merged.dependencies.iter().filter_map(|need| self.name_ids.id(need)).collect()
            }
            _ => Box::default(),
        };
        self.dependency_count += dependencies.len();
        self.nodes.push(Node { id: id.unwrap_or(u32::MAX), dependencies });
        self.files.push((layout.index_file(name), tx.staging.write(merged.text.as_bytes())?));
        self.names_added += u64::from(!stored.text_exists);
        Ok(true)
    }

    /// Adds the index files to the transaction, dependencies before the files that depend on them. Returns their positions
    /// in the order in which they were added.
    pub(super) fn put(&mut self, tx: &mut Transaction<'_>) -> Result<Vec<usize>, Error> {
        let order = dependencies_first(&self.nodes);
        for (path, staged) in order.iter().filter_map(|at| self.files.get(*at)) {
            tx.put(path, *staged)?;
        }
        Ok(order)
    }
}
