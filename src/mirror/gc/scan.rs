//! Compares the files on disk with the current ones, and decides which index lines and files to remove, and when.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::dist_rules::DistRules;
use super::error::Error;
use super::index_entry::IndexEntry;
use super::needed_files::KeepSet;
use super::options::Options;
use super::plan::{Line, PendingDeletion, VersionRemoval};
use super::revocation::Revocation;
use crate::crate_id::CrateId;
use crate::mirror::dist_files::{DistFiles, MutableName};
use crate::mirror::item::{ItemId, StoredItem};
use crate::mirror::layout::Layout;
use crate::mirror::listing::{Listing, Tree};
use crate::mirror::pending_deletions::PendingDeletions;
use crate::mirror::summary::Counts;
use crate::mirror::transaction::failed;
use crate::safe_path::SafePath;
use crate::units::pluralize;

/// The files on disk, compared with the current ones.
pub(super) struct MirrorScan<'a> {
    layout: &'a Layout,
    listing: Listing,
    /// Index files and records with something to decide, by path.
    entries: Vec<IndexEntry>,
    /// Stored files that no lineage needs: crates, then recorded dist files.
    unreferenced: Vec<StoredItem>,
    /// Recorded dist files that no lineage needs and that are not stored. They are only dropped from the record.
    missing: Vec<SafePath>,
    /// The record of dist files.
    recorded: DistFiles,
    /// Unrecognized entries.
    unrecognized: Vec<String>,
    /// The index files and crates on disk.
    counts: Counts,
}

/// The planned removals.
#[derive(Default)]
pub(super) struct Deletions {
    pub(super) index_lines: Vec<VersionRemoval>,
    pub(super) index_meta: Vec<VersionRemoval>,
    pub(super) lines: Vec<Line>,
    /// Files to remove in this run: the names that rustup requests first, crates, other dist files.
    pub(super) now: Vec<StoredItem>,
    /// Files to remove in a later run.
    pub(super) later: Vec<PendingDeletion>,
    /// The list of pending removals after the run.
    pub(super) pending: PendingDeletions,
    pub(super) unrecognized: Vec<String>,
    /// Folders that become empty, nested ones first.
    pub(super) folders: Vec<PathBuf>,
    /// The same for folders at or below dist/ and rustup/.
    pub(super) dist_folders: Vec<PathBuf>,
    /// The new record of dist files; `None` if unchanged.
    pub(super) dist_files: Option<DistFiles>,
    /// The toolchains that remain available.
    pub(super) toolchains: Vec<String>,
    /// The content of the mirror afterwards.
    pub(super) counts: Counts,
    /// Crates of the lines to remove, by their file names in lower case, like index paths.
    losing_line: HashSet<String>,
    /// Crates of unrecognized lines, which stay; in the same form.
    with_unrecognized_line: HashSet<String>,
}

impl<'a> MirrorScan<'a> {
    pub(super) fn scan(layout: &'a Layout, current: &mut KeepSet) -> Result<MirrorScan<'a>, Error> {
        let mut scan = MirrorScan {
            layout,
            listing: Listing::read(layout)?,
            entries: Vec::new(),
            unreferenced: Vec::new(),
            missing: Vec::new(),
            recorded: DistFiles::default(),
            unrecognized: Vec::new(),
            counts: Counts::default(),
        };
        scan.add_index_files(current)?;
        scan.add_crates(current)?;
        match DistFiles::read(layout)? {
            Some(recorded) => {
                scan.recorded = recorded;
                scan.add_dist_files(current)?;
            }
            // It is unknown which dist files are stored, so none is removed.
            None => scan.listing.dist_files.clear(),
        }
        Ok(scan)
    }

    fn add_index_files(&mut self, current: &mut KeepSet) -> Result<(), Error> {
        let Listing { index, index_meta, .. } = &self.listing;
        self.unrecognized.extend(index.unexpected.iter().map(|one| one.path.clone()));
        self.counts.crates = index.files.len() as u64;
        for path in index.files.iter().chain(&index_meta.files).collect::<BTreeSet<_>>() {
            let entry = IndexEntry::read(self.layout, path, current)?;
            if !entry.needs_no_change() {
                self.entries.push(entry);
            }
        }
        Ok(())
    }

    fn add_crates(&mut self, current: &KeepSet) -> Result<(), Error> {
        for (name, kind) in std::mem::take(&mut self.listing.crates) {
            let is_current = kind.is_file() && current.has_file(&name);
            let id = if is_current { None } else { CrateId::from_file_name(&name).filter(|_| kind.is_file()) };
            if !is_current && id.is_none() {
                self.unrecognized.push(format!("crates/{name}"));
                continue;
            }
            let size = file_size(&self.layout.crates().join(&name))?;
            self.counts.versions += 1;
            self.counts.bytes += size;
            self.unreferenced.extend(id.map(|id| StoredItem { id: ItemId::Crate(id), size }));
        }
        self.unreferenced.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(())
    }

    fn add_dist_files(&mut self, current: &KeepSet) -> Result<(), Error> {
        let mut missing: BTreeSet<&SafePath> =
            self.recorded.0.keys().filter(|path| !current.has_file(path.as_str())).collect();
        let mut stored = BTreeSet::new();
        for path in self.listing.dist_files.iter().flat_map(Tree::paths) {
            match path.parse::<SafePath>().ok().filter(|path| self.recorded.0.contains_key(path)) {
                Some(path) => stored.extend(missing.take(&path)),
                None => self.unrecognized.push(path),
            }
        }
        let unexpected = self.listing.dist_files.iter().flat_map(|tree| &tree.unexpected);
        self.unrecognized.extend(unexpected.map(|one| one.path.clone()));
        let missing = missing.into_iter().cloned().collect();
        for path in stored {
            let size = file_size(&path.below(self.layout.root()))?;
            self.unreferenced.push(StoredItem { id: ItemId::DistFile(path.clone()), size });
        }
        self.missing = missing;
        Ok(())
    }

    /// The files and index lines that no lineage needs.
    pub(super) fn unreferenced(&self) -> KeepSet {
        let mut keys = KeepSet::default();
        for entry in &self.entries {
            entry.unreferenced.iter().for_each(|version| keys.add_line(&entry.path, version));
        }
        self.unreferenced.iter().for_each(|item| keys.add_file(&item.id.key()));
        self.missing.iter().for_each(|path| keys.add_file(path.as_str()));
        keys
    }

    /// Decides what to remove now and later. Lines and files that are `unrecognized` are kept. The content of rejected bundles,
    /// which `revocation` names, is removed at once.
    pub(super) fn classify(
        mut self,
        unrecognized: &mut KeepSet,
        before: &PendingDeletions,
        revocation: &Revocation,
        options: &Options,
    ) -> Result<Deletions, Error> {
        let mut deletions = Deletions { counts: self.counts, ..Deletions::default() };
        self.classify_index(unrecognized, &mut deletions);
        deletions.reset_lines(revocation);
        deletions.unrecognized.append(&mut self.unrecognized);
        let is_unrecognized = |id: &ItemId| unrecognized.has_file(&id.key());
        let (unknown, known): (Vec<StoredItem>, Vec<StoredItem>) =
            std::mem::take(&mut self.unreferenced).into_iter().partition(|item| is_unrecognized(&item.id));
        let (unknown_missing, missing): (Vec<SafePath>, Vec<SafePath>) =
            std::mem::take(&mut self.missing).into_iter().partition(|path| unrecognized.has_file(path.as_str()));
        deletions.unrecognized.extend(unknown.iter().map(|item| item.id.path().to_string()));
        deletions.unrecognized.extend(unknown_missing.iter().map(SafePath::to_string));
        // Crates that no line and no record names are not part of the mirror.
        for item in &unknown {
            if !deletions.has_unrecognized_line(&item.id) {
                deletions.uncount(item);
            }
        }
        let rules = DistRules { layout: self.layout, recorded: &self.recorded };
        let known_paths = known.iter().filter_map(|item| item.id.dist_file_path());
        let unreferenced: BTreeSet<&SafePath> = known_paths.chain(&missing).collect();
        let mut kept = rules.kept_for_served_names(&unreferenced)?;
        kept.retain(|path| !revocation.items.contains(&ItemId::DistFile(path.clone())));
        let (names, others): (Vec<StoredItem>, Vec<StoredItem>) = known
            .into_iter()
            .filter(|item| !deletions.has_unrecognized_line(&item.id))
            .filter(|item| item.id.dist_file_path().is_none_or(|path| !kept.contains(path)))
            .partition(|item| item.id.dist_file_path().and_then(MutableName::from_path).is_some());
        let losing_name = if others.iter().any(|item| item.id.crate_id().is_none()) {
            rules.paths_named_by(&names)?
        } else {
            HashSet::new()
        };
        let is_losing = |deletions: &Deletions, id: &ItemId| match id {
            ItemId::Crate(id) => deletions.losing_line.contains(&id.file_name().to_lowercase()),
            ItemId::DistFile(path) => DistRules::is_named(&losing_name, path),
        };
        // In reverse order, a manifest's digest precedes the manifest.
        deletions.now = names.into_iter().rev().collect();
        for item in others {
            let key = item.id.key();
            let (since, until) =
                before.waiting_period(&key, is_losing(&deletions, &item.id), options.now, options.grace);
            if until <= options.now || revocation.items.contains(&item.id) {
                deletions.uncount(&item);
                deletions.now.push(item);
            } else {
                deletions.pending.0.insert(key, since);
                deletions.later.push(PendingDeletion { item, until });
            }
        }
        let missing = missing.into_iter().filter(|path| !kept.contains(path)).collect();
        self.finish(missing, revocation, &mut deletions);
        Ok(deletions)
    }

    /// Decides for every index file what to remove; unrecognized lines are kept.
    fn classify_index(&self, unrecognized: &mut KeepSet, deletions: &mut Deletions) {
        let (mut removed, mut removed_meta) = (HashSet::new(), HashSet::new());
        for page in &self.entries {
            let (path, name) = (&page.path, page.path.rsplit('/').next().unwrap_or_default());
            let (stay, go): (Vec<&String>, Vec<&String>) =
                page.unreferenced.iter().partition(|version| unrecognized.has_line(path, version));
            let file_of = |version: &String| format!("{name}-{version}.crate").to_lowercase();
            deletions.with_unrecognized_line.extend(stay.iter().map(|version| file_of(version)));
            deletions.losing_line.extend(go.iter().map(|version| file_of(version)));
            deletions.unrecognized.extend(stay.iter().map(|version| format!("index/{path}: {version}")));
            if page.unreadable > 0 {
                let lines = pluralize(page.unreadable, "line");
                deletions.unrecognized.push(format!("index/{path}: {lines} that cannot be read"));
            }
            let as_line = |version: &&String| Line { name: name.to_owned(), version: (*version).clone() };
            deletions.lines.extend(go.iter().map(as_line));
            let going: HashSet<String> = go.iter().copied().cloned().collect();
            let leaving: HashSet<String> = going.iter().chain(&page.orphans).cloned().collect();
            if page.recorded.iter().any(|version| leaving.contains(version)) {
                if page.recorded.iter().all(|version| leaving.contains(version)) {
                    removed_meta.insert(path.as_str());
                }
                deletions.index_meta.push(VersionRemoval {
                    path: path.clone(),
                    versions: leaving,
                    reset: HashSet::new(),
                });
            }
            if !going.is_empty() {
                if !page.has_others && stay.is_empty() {
                    removed.insert(path.as_str());
                    deletions.counts.crates -= 1;
                }
                deletions.index_lines.push(VersionRemoval {
                    path: path.clone(),
                    versions: going,
                    reset: HashSet::new(),
                });
            }
        }
        deletions.folders = self.listing.index.empty_folders(|path| removed.contains(path));
        deletions.folders.extend(self.listing.index_meta.empty_folders(|path| removed_meta.contains(path)));
    }

    /// Adds the record of dist files without the removed ones and the `missing` ones, with the times that `revocation` corrects, and
    /// the folders that become empty.
    fn finish(mut self, missing: Vec<SafePath>, revocation: &Revocation, deletions: &mut Deletions) {
        let removed = deletions.now.iter().filter_map(|item| item.id.dist_file_path());
        let dropped: BTreeSet<&SafePath> = removed.clone().chain(&missing).collect();
        self.recorded.0.retain(|path, _| !dropped.contains(path));
        for (path, read_at) in &revocation.read_times {
            if let Some(file) = self.recorded.0.get_mut(path) {
                file.read_at = *read_at;
            }
        }
        (deletions.counts.dist_files, deletions.counts.dist_file_bytes) = self.recorded.count_and_bytes();
        deletions.toolchains = self.recorded.toolchain_names();
        let removed: HashSet<&str> = removed.map(SafePath::as_str).collect();
        for tree in &self.listing.dist_files {
            deletions.dist_folders.extend(tree.empty_folders_and_root(&removed));
        }
        let is_changed = !dropped.is_empty() || !revocation.read_times.is_empty();
        deletions.dist_files = is_changed.then_some(self.recorded);
    }
}

fn file_size(path: &Path) -> Result<u64, Error> {
    Ok(fs::symlink_metadata(path).map_err(failed("read", path))?.len())
}

impl Deletions {
    fn has_unrecognized_line(&self, id: &ItemId) -> bool {
        id.crate_id().is_some_and(|id| self.with_unrecognized_line.contains(&id.file_name().to_lowercase()))
    }

    /// Adds the line records that lose their time. One file may lose other records too.
    fn reset_lines(&mut self, revocation: &Revocation) {
        for (path, versions) in &revocation.versions {
            match self.index_meta.iter_mut().find(|change| change.path == *path) {
                Some(change) => change.reset.clone_from(versions),
                None => self.index_meta.push(VersionRemoval {
                    path: path.clone(),
                    versions: HashSet::new(),
                    reset: versions.clone(),
                }),
            }
        }
    }

    /// Subtracts a crate that is removed, or that does not belong to the mirror. The record of dist files counts those.
    fn uncount(&mut self, item: &StoredItem) {
        if item.id.crate_id().is_some() {
            self.counts.versions -= 1;
            self.counts.bytes -= item.size;
        }
    }
}
