//! Decides which dist files to remove, and when.
//!
//! Names that rustup requests first (channel manifests with their digests and signatures, rustup's release) are removed
//! at once. The files of one manifest are removed in an order in which no client treats the rest as complete. The files
//! that they name are removed after the grace period, because a client may be in the middle of an install.
//!
//! A name can be current and yet have the content of another lineage, because all clients see a channel that one
//! history has moved on. If no current record names any file of such a release, the channel would refer to missing
//! files, because nothing moves back. So all its stored files are kept until the name moves on.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::PathBuf;

use super::dir_scan::{self, DirScan};
use super::lineages::KeepSet;
use super::pending_deletions::PendingDeletions;
use super::{Error, Item, Options, PendingDeletion};
use crate::digest::Sha256;
use crate::mirror::dist_files::{
    DistFile, DistFiles, MutableName, RUSTUP_RELEASE_PATH, channel_of_manifest, parse_rustup_version,
};
use crate::mirror::layout::Layout;
use crate::mirror::transaction::failed;
use crate::safe_path::SafePath;
use crate::toolchain::{self, ChannelManifest};

/// Where upstream stores every release of rustup.
const ARCHIVE: &str = "rustup/archive/";

/// The files below dist/ and rustup/, compared with the current ones.
pub(super) struct DistScan<'a> {
    layout: &'a Layout,
    /// The recorded files; `None` if unknown, and then nothing is removed.
    recorded: Option<DistFiles>,
    /// dist/ and rustup/.
    trees: Vec<(&'static str, DirScan)>,
    /// Recorded files that no current record names.
    pub(super) unreferenced: BTreeSet<SafePath>,
    /// Files without a record.
    pub(super) unrecognized: Vec<String>,
}

/// The planned removals of dist files.
pub(super) struct DistDeletions {
    /// Files to remove at once, in this order.
    pub(super) mutable_files: Vec<Item>,
    /// Files to remove afterwards in this run.
    pub(super) components: Vec<Item>,
    /// Files to remove in a later run.
    pub(super) pending: Vec<PendingDeletion>,
    /// The record of dist files afterwards.
    pub(super) after: DistFiles,
    /// Whether the record changes.
    pub(super) is_changed: bool,
    /// Folders that become empty, nested ones first.
    pub(super) folders: Vec<PathBuf>,
}

impl<'a> DistScan<'a> {
    pub(super) fn scan(layout: &'a Layout, current: &KeepSet) -> Result<DistScan<'a>, Error> {
        let recorded = DistFiles::read(layout)?;
        let mut scan =
            DistScan { layout, recorded, trees: Vec::new(), unreferenced: BTreeSet::new(), unrecognized: Vec::new() };
        let Some(stored) = &scan.recorded else {
            return Ok(scan);
        };
        for folder in ["dist", "rustup"] {
            let root = layout.root().join(folder);
            // A link's target does not belong to the mirror.
            if root.is_symlink() {
                scan.unrecognized.push(folder.to_owned());
                continue;
            }
            let tree = DirScan::list(root, usize::MAX)?;
            let known = |path: &String| path.parse::<SafePath>().is_ok_and(|path| stored.0.contains_key(&path));
            let paths = tree.files.iter().map(|place| format!("{folder}/{place}"));
            scan.unrecognized.extend(paths.filter(|path| !known(path)));
            scan.unrecognized.extend(tree.unexpected.iter().map(|place| format!("{folder}/{place}")));
            scan.trees.push((folder, tree));
        }
        scan.unreferenced = stored.0.keys().filter(|path| !current.has_file(path.as_str())).cloned().collect();
        Ok(scan)
    }

    /// Decides which files to remove; unrecognized ones are kept. Updates the list of pending removals after
    /// the run.
    pub(super) fn classify(
        mut self,
        unrecognized: &KeepSet,
        options: &Options,
        before: &PendingDeletions,
        after: &mut PendingDeletions,
    ) -> Result<DistDeletions, Error> {
        let recorded = self.recorded.take().unwrap_or_default();
        let mut unreferenced = std::mem::take(&mut self.unreferenced);
        unreferenced.retain(|path| !unrecognized.has_file(path.as_str()));
        for path in self.kept_for_served_names(&recorded, &unreferenced)? {
            unreferenced.remove(&path);
        }
        let mut sorted = DistDeletions {
            mutable_files: Vec::new(),
            components: Vec::new(),
            pending: Vec::new(),
            is_changed: false,
            after: recorded.clone(),
            folders: Vec::new(),
        };
        // A recorded file that is missing is only dropped from the record.
        let files = self.files();
        let (there, gone): (BTreeSet<&SafePath>, BTreeSet<&SafePath>) =
            unreferenced.iter().partition(|path| files.contains(path.as_str()));
        let (names, components): (Vec<&SafePath>, Vec<&SafePath>) =
            there.into_iter().partition(|path| MutableName::from_path(path).is_some());
        let losing_names = if components.is_empty() { HashSet::new() } else { self.paths_named_by(&names, &recorded)? };
        // In reverse order, a manifest's digest precedes the manifest.
        for path in names.into_iter().rev() {
            sorted.mutable_files.push(self.item(path)?);
        }
        for path in components {
            let is_losing = losing_names.contains(path.as_str())
                || losing_names.contains(ARCHIVE) && path.as_str().starts_with(ARCHIVE);
            let (since, until) = before.waiting_period(path.as_str(), is_losing, options);
            let item = self.item(path)?;
            if until <= options.now {
                sorted.components.push(item);
            } else {
                after.0.insert(path.to_string(), since);
                sorted.pending.push(PendingDeletion { item, until });
            }
        }
        sorted.is_changed = !(gone.is_empty() && sorted.mutable_files.is_empty() && sorted.components.is_empty());
        sorted.after.0.retain(|path, _| !gone.contains(path));
        for item in sorted.mutable_files.iter().chain(&sorted.components) {
            if let Ok(path) = item.file.parse::<SafePath>() {
                sorted.after.0.remove(&path);
            }
            for (folder, tree) in &mut self.trees {
                if let Some(place) = item.file.strip_prefix(*folder).and_then(|place| place.strip_prefix('/')) {
                    tree.mark_removed(place);
                }
            }
        }
        sorted.folders = self.trees.into_iter().flat_map(|(_, tree)| tree.empty_folders_and_root()).collect();
        Ok(sorted)
    }

    /// The existing regular files, by path.
    fn files(&self) -> HashSet<String> {
        let below = |(folder, tree): &(&str, DirScan)| -> Vec<String> {
            tree.files.iter().map(|place| format!("{folder}/{place}")).collect()
        };
        self.trees.iter().flat_map(below).collect()
    }

    fn item(&self, path: &SafePath) -> Result<Item, Error> {
        let file = path.below(self.layout.root());
        let size = fs::symlink_metadata(&file).map_err(failed("read", &file))?.len();
        Ok(Item { file: path.to_string(), size })
    }

    /// Unreferenced files that a remaining name refers to, if no other file of that name remains.
    fn kept_for_served_names(
        &self,
        recorded: &DistFiles,
        unreferenced: &BTreeSet<SafePath>,
    ) -> Result<Vec<SafePath>, Error> {
        let mut alone = Vec::new();
        if unreferenced.iter().all(|path| MutableName::from_path(path).is_some()) {
            return Ok(alone);
        }
        let staying = recorded.0.iter().filter(|(path, _)| !unreferenced.contains(*path));
        for named in self.files_of_manifests(staying)?.into_values() {
            if !named.iter().any(|path| recorded.0.contains_key(path) && !unreferenced.contains(path)) {
                alone.extend(named.into_iter().filter(|path| unreferenced.contains(path)));
            }
        }
        let release: SafePath = RUSTUP_RELEASE_PATH.parse().expect("a plain path");
        if recorded.0.contains_key(&release) && !unreferenced.contains(&release) {
            let text = dir_scan::read_or_empty(&release.below(self.layout.root()))?;
            if let Some(version) = parse_rustup_version(&text) {
                let folder = format!("{ARCHIVE}{version}/");
                let is_of_it = |path: &&SafePath| path.as_str().starts_with(&folder);
                if !recorded.0.keys().filter(is_of_it).any(|path| !unreferenced.contains(path)) {
                    alone.extend(unreferenced.iter().filter(is_of_it).cloned());
                }
            }
        }
        Ok(alone)
    }

    /// The paths that these names refer to; [`ARCHIVE`] for everything below it.
    fn paths_named_by(&self, names: &[&SafePath], recorded: &DistFiles) -> Result<HashSet<String>, Error> {
        let rows = names.iter().filter_map(|path| recorded.0.get_key_value(*path));
        let mut named: HashSet<String> =
            self.files_of_manifests(rows)?.into_values().flatten().map(|path| path.to_string()).collect();
        if names.iter().any(|path| path.as_str() == RUSTUP_RELEASE_PATH) {
            named.insert(ARCHIVE.to_owned());
        }
        Ok(named)
    }

    /// The files that the channel manifests among `rows` name. If a manifest has several names, one valid copy is
    /// enough; until one is found, every readable copy counts. An invalid manifest names nothing, for rustup as well.
    fn files_of_manifests<'r>(
        &self,
        rows: impl Iterator<Item = (&'r SafePath, &'r DistFile)>,
    ) -> Result<BTreeMap<Sha256, Vec<SafePath>>, Error> {
        let mut named: BTreeMap<Sha256, Vec<SafePath>> = BTreeMap::new();
        let mut sound: HashSet<Sha256> = HashSet::new();
        for (path, row) in rows {
            if channel_of_manifest(path).is_none() || sound.contains(&row.sha256) {
                continue;
            }
            let file = path.below(self.layout.root());
            if fs::metadata(&file)
                .is_ok_and(|there| there.is_file() && there.len() <= toolchain::MAX_MANIFEST_SIZE as u64)
            {
                let text = dir_scan::read_or_empty(&file)?;
                if Sha256::of(&text) == row.sha256 {
                    sound.insert(row.sha256);
                }
                if let Ok(manifest) = ChannelManifest::parse(&text) {
                    named.entry(row.sha256).or_default().extend(manifest.files().into_keys());
                }
            }
        }
        Ok(named)
    }
}
