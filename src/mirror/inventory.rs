//! Lists the index, and checks each line against its record and its crate file. Lists the recorded dist files likewise.
//! An export or a snapshot copies what this lists.
//!
//! It does not read the bytes of these files; they are hashed while they are copied.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::disk;
use super::dist_files::DistFiles;
use super::index_meta;
use super::item::{Item, ItemId};
use super::layout::Layout;
use super::transaction::{self, failed, has_unfinished_work};
use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::Sha256;
use crate::index_line::IndexLine;
use crate::units::pluralize;

/// A crate that the index lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InventoryEntry {
    /// Its name and version.
    pub(super) id: CrateId,
    /// The digest that its file must have.
    pub(super) cksum: Sha256,
    /// Whether it is yanked.
    pub(super) yanked: bool,
    /// When its line was read from upstream's index; [`Timestamp::UNIX_EPOCH`] if unknown.
    pub(super) read_at: Timestamp,
    /// Size of its file in bytes; `None` if only its index line exists.
    pub(super) size: Option<u64>,
}

/// The content of the index, by name and version, including yanked versions.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// Every crate.
    pub(super) crates: Vec<InventoryEntry>,
    /// The recorded dist files, see [`Inventory::add_dist_files`].
    pub(super) dist_files: DistFiles,
    /// All contradictions, one line each.
    pub(super) problems: Vec<String>,
}

impl Inventory {
    /// Reads the whole index, and passes the name, the path and the text of each file to `each`. Skips files without a
    /// readable line.
    ///
    /// # Errors
    /// A file system operation failed, or `each` returned an error.
    pub(super) fn read<E: From<transaction::Error>>(
        layout: &Layout,
        each: &mut dyn FnMut(&CrateName, &Path, &str) -> Result<(), E>,
    ) -> Result<Inventory, E> {
        // A killed import leaves records of lines that it did not commit.
        let interrupted = has_unfinished_work(layout);
        let mut inventory = Inventory::default();
        let paths = disk::index_files(layout)?;
        if !interrupted {
            inventory.add_missing_index_files(layout, &paths)?;
        }
        for path in paths {
            let path = layout.index().join(path);
            let Some(bytes) = disk::read_if_present(&path)? else { continue };
            let text = String::from_utf8_lossy(&bytes);
            if let Some(name) = inventory.add_index_file(layout, &path, &text, interrupted)? {
                each(&name, &path, &text)?;
            }
        }
        inventory.crates.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(inventory)
    }

    /// Adds crates that are not listed.
    pub(super) fn add_crates(&mut self, more: Vec<InventoryEntry>) {
        self.crates.extend(more);
        self.crates.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    }

    /// The crates whose files are stored.
    pub(super) fn stored(&self) -> impl Iterator<Item = &InventoryEntry> {
        self.crates.iter().filter(|holding| holding.size.is_some())
    }

    /// The stored files with the digests that they must have.
    pub(super) fn stored_items(&self) -> impl Iterator<Item = Item> {
        let crates = self
            .crates
            .iter()
            .filter_map(|one| Some(Item { id: ItemId::Crate(one.id.clone()), sha256: one.cksum, size: one.size? }));
        crates.chain(self.dist_files.items())
    }

    /// The digests of all items, stored or not.
    pub(super) fn digests(&self) -> impl Iterator<Item = (ItemId, Sha256)> {
        let crates = self.crates.iter().map(|one| (ItemId::Crate(one.id.clone()), one.cksum));
        crates.chain(self.dist_files.items().map(|item| (item.id, item.sha256)))
    }

    /// Adds the recorded dist files, and compares their record with names and sizes of the files.
    pub(super) fn add_dist_files(&mut self, layout: &Layout) -> Result<(), transaction::Error> {
        let Some(recorded) = DistFiles::read(layout)? else {
            let problem =
                ".frostmirror/artifacts.json is damaged, so the expected content of dist/ and rustup/ is unknown";
            self.problems.push(problem.to_owned());
            return Ok(());
        };
        for item in recorded.items() {
            let fault = match item.id.file(layout).symlink_metadata() {
                Ok(about) if about.is_file() && about.len() == item.size => continue,
                Ok(about) if about.is_file() => {
                    format!("has {}, but its record states {}", pluralize(about.len(), "byte"), item.size)
                }
                Ok(_) => "is not a file".to_owned(),
                Err(_) => "is missing, but is recorded as stored".to_owned(),
            };
            self.problems.push(format!("{} {fault}", item.id));
        }
        self.dist_files = recorded;
        Ok(())
    }

    /// Adds a problem for each index file that is missing although its lines are recorded. `paths` are sorted.
    fn add_missing_index_files(&mut self, layout: &Layout, paths: &[String]) -> Result<(), transaction::Error> {
        for record in disk::list(&layout.index_meta(), 3)? {
            let is_missing = record.kind.is_file() && paths.binary_search(&record.path).is_err();
            if is_missing && disk::is_index_path(&record.path) {
                self.problems.push(format!("index/{} is missing, but its lines are recorded", record.path));
            }
        }
        Ok(())
    }

    fn add_index_file(
        &mut self,
        layout: &Layout,
        path: &Path,
        text: &str,
        interrupted: bool,
    ) -> Result<Option<CrateName>, transaction::Error> {
        let index_path = path.strip_prefix(layout.index()).unwrap_or(path);
        let shown = format!("index/{}", index_path.display());
        let of_records = layout.index_meta().join(index_path);
        // The audit reports lost records; the lines and the crates still confirm each other.
        let records = index_meta::parse(&fs::read_to_string(of_records).unwrap_or_default());
        let mut name: Option<CrateName> = None;
        let mut seen: HashSet<Version> = HashSet::new();
        for (number, raw) in (1..).zip(text.lines()).filter(|(_, raw)| !raw.is_empty()) {
            let IndexLine { id, cksum, yanked, .. } = match IndexLine::parse(raw) {
                Ok(line) => line,
                Err(why) => {
                    self.problems.push(format!("{shown} is damaged at line {number}: {why}"));
                    continue;
                }
            };
            if layout.index_file(&id.name) != path {
                self.problems.push(format!("{shown} has a line of {id}, which belongs in another index file"));
                continue;
            }
            name.get_or_insert_with(|| id.name.clone());
            if !seen.insert(id.version.clone()) {
                self.problems.push(format!("{shown} has two lines of {id}"));
                continue;
            }
            let digest = Sha256::of(raw.as_bytes());
            let mut recorded = records.iter().filter(|record| record.version == id.version).peekable();
            let known = recorded.peek().is_some();
            let matching = recorded.filter(|record| record.line_sha256 == digest && record.cksum == cksum);
            let record = matching.max_by_key(|record| record.read_at);
            if known && record.is_none() {
                self.problems.push(format!("{shown} has a line of {id} that differs from the recorded one"));
                continue;
            }
            let index_only = record.is_some_and(|record| record.index_only);
            if let Some(size) = self.file_size(layout, &id, index_only)? {
                let read = record.map_or(Timestamp::UNIX_EPOCH, |record| record.read_at.max(Timestamp::UNIX_EPOCH));
                self.crates.push(InventoryEntry { id, cksum, yanked, read_at: read, size });
            }
        }
        if name.is_none() && records.is_empty() {
            self.problems.push(format!("{shown} has no valid index line"));
        }
        if let Some(lost) = records.iter().find(|record| !interrupted && !seen.contains(&record.version)) {
            self.problems.push(format!("{shown} has no line of the recorded version {}", lost.version));
        }
        Ok(name)
    }

    /// Size of the crate file in bytes; the inner `None` if it was excluded, the outer one if there is a problem.
    fn file_size(
        &mut self,
        layout: &Layout,
        id: &CrateId,
        index_only: bool,
    ) -> Result<Option<Option<u64>>, transaction::Error> {
        let path = layout.crate_file(id);
        let fault = match path.symlink_metadata() {
            Ok(about) if about.is_file() => return Ok(Some(Some(about.len()))),
            Ok(_) => "is not a file",
            Err(e) if e.kind() == io::ErrorKind::NotFound && index_only => return Ok(Some(None)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => "is missing, but the index names it",
            Err(source) => return Err(failed("read", &path)(source)),
        };
        self.problems.push(format!("{} {fault}", id.crate_path()));
        Ok(None)
    }
}
