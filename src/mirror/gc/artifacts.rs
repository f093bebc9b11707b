//! Rustup artifacts, held against what is current: which go, and when.
//!
//! The names that rustup asks for first (channel manifests with their digests and signatures, rustup's release) go at
//! once, those of one manifest in the order in which no client takes the rest for whole. What they name goes after the
//! grace time, since a client may be in the middle of an install.
//!
//! A name can be current and yet be another lineage's: a channel that one history moved on is served to all. If no
//! current record names anything of such a release, it would be offered and not be there, because nothing moves back;
//! so all of it is kept that is held, until the name moves on.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::PathBuf;

use super::feeds::Keys;
use super::removals::Removals;
use super::tree::{self, Tree};
use super::{Error, Item, Options, Waiting};
use crate::channel::{self, ChannelManifest};
use crate::digest::Sha256;
use crate::mirror::artifacts::{Artifacts, Held, Moving, RELEASE, channel_manifest, release_version};
use crate::mirror::layout::Layout;
use crate::mirror::store::failed;
use crate::safe_path::SafePath;

/// Where upstream keeps every release of rustup.
const ARCHIVE: &str = "rustup/archive/";

/// What lies below dist/ and rustup/, against what is current.
pub(super) struct Shelf<'a> {
    layout: &'a Layout,
    /// What is on record; `None` where nobody can tell, and then nothing goes.
    held: Option<Artifacts>,
    /// dist/ and rustup/.
    trees: Vec<(&'static str, Tree)>,
    /// On record, and named by no current record.
    pub(super) spare: BTreeSet<SafePath>,
    /// Not on record.
    pub(super) strangers: Vec<String>,
}

/// What becomes of it.
pub(super) struct Sorted {
    /// What goes at once, in this order.
    pub(super) names: Vec<Item>,
    /// What goes in this run after that.
    pub(super) components: Vec<Item>,
    /// What goes in a later run.
    pub(super) waiting: Vec<Waiting>,
    /// What is on record afterwards.
    pub(super) after: Artifacts,
    /// Whether that is anything else than before.
    pub(super) changes: bool,
    /// Folders that are left empty, those inside others first.
    pub(super) folders: Vec<PathBuf>,
}

impl<'a> Shelf<'a> {
    pub(super) fn of(layout: &'a Layout, current: &Keys) -> Result<Shelf<'a>, Error> {
        let held = Artifacts::read(layout)?;
        let mut shelf = Shelf { layout, held, trees: Vec::new(), spare: BTreeSet::new(), strangers: Vec::new() };
        let Some(held) = &shelf.held else {
            return Ok(shelf);
        };
        for folder in ["dist", "rustup"] {
            let root = layout.root().join(folder);
            // What a link leads to is not the mirror's.
            if root.is_symlink() {
                shelf.strangers.push(folder.to_owned());
                continue;
            }
            let tree = Tree::list(root, usize::MAX)?;
            let known = |path: &String| path.parse::<SafePath>().is_ok_and(|path| held.0.contains_key(&path));
            let paths = tree.files.iter().map(|place| format!("{folder}/{place}"));
            shelf.strangers.extend(paths.filter(|path| !known(path)));
            shelf.strangers.extend(tree.odd.iter().map(|place| format!("{folder}/{place}")));
            shelf.trees.push((folder, tree));
        }
        shelf.spare = held.0.keys().filter(|path| !current.has_file(path.as_str())).cloned().collect();
        Ok(shelf)
    }

    /// Decides what goes; what is in `strange` does not. Adds to the lists of removals during the run and after it.
    pub(super) fn sort_out(
        mut self,
        strange: &Keys,
        options: &Options,
        before: &Removals,
        [during, after]: [&mut Removals; 2],
    ) -> Result<Sorted, Error> {
        let held = self.held.take().unwrap_or_default();
        let mut spare = std::mem::take(&mut self.spare);
        spare.retain(|path| !strange.has_file(path.as_str()));
        for path in self.served_alone(&held, &spare)? {
            spare.remove(&path);
        }
        let mut sorted = Sorted {
            names: Vec::new(),
            components: Vec::new(),
            waiting: Vec::new(),
            changes: false,
            after: held.clone(),
            folders: Vec::new(),
        };
        // What is on record and not there only leaves the record.
        let files = self.files();
        let (there, gone): (BTreeSet<&SafePath>, BTreeSet<&SafePath>) =
            spare.iter().partition(|path| files.contains(path.as_str()));
        let (names, components): (Vec<&SafePath>, Vec<&SafePath>) =
            there.into_iter().partition(|path| Moving::of(path).is_some());
        let losing = if components.is_empty() { HashSet::new() } else { self.named_by(&names, &held)? };
        // Backwards in their order, a manifest's digest goes before the manifest.
        for path in names.into_iter().rev() {
            sorted.names.push(self.item(path)?);
        }
        for path in components {
            let is_losing =
                losing.contains(path.as_str()) || losing.contains(ARCHIVE) && path.as_str().starts_with(ARCHIVE);
            let (since, until) = before.of(path.as_str(), is_losing, options);
            during.0.insert(path.to_string(), since);
            let item = self.item(path)?;
            if until <= options.now {
                sorted.components.push(item);
            } else {
                after.0.insert(path.to_string(), since);
                sorted.waiting.push(Waiting { item, until });
            }
        }
        sorted.changes = !(gone.is_empty() && sorted.names.is_empty() && sorted.components.is_empty());
        sorted.after.0.retain(|path, _| !gone.contains(path));
        for item in sorted.names.iter().chain(&sorted.components) {
            if let Ok(path) = item.file.parse::<SafePath>() {
                sorted.after.0.remove(&path);
            }
            for (folder, tree) in &mut self.trees {
                if let Some(place) = item.file.strip_prefix(*folder).and_then(|place| place.strip_prefix('/')) {
                    tree.remove(place);
                }
            }
        }
        sorted.folders = self.trees.into_iter().flat_map(|(_, tree)| tree.empty_folders_and_root()).collect();
        Ok(sorted)
    }

    /// The regular files that are there, by path.
    fn files(&self) -> HashSet<String> {
        let below = |(folder, tree): &(&str, Tree)| -> Vec<String> {
            tree.files.iter().map(|place| format!("{folder}/{place}")).collect()
        };
        self.trees.iter().flat_map(below).collect()
    }

    fn item(&self, path: &SafePath) -> Result<Item, Error> {
        let file = path.below(self.layout.root());
        let size = fs::symlink_metadata(&file).map_err(failed("read", &file))?.len();
        Ok(Item { file: path.to_string(), size })
    }

    /// What of `spare` is named by something that stays and of which nothing else stays.
    fn served_alone(&self, held: &Artifacts, spare: &BTreeSet<SafePath>) -> Result<Vec<SafePath>, Error> {
        let mut alone = Vec::new();
        if spare.iter().all(|path| Moving::of(path).is_some()) {
            return Ok(alone);
        }
        let staying = held.0.iter().filter(|(path, _)| !spare.contains(*path));
        for named in self.manifests(staying)?.into_values() {
            if !named.iter().any(|path| held.0.contains_key(path) && !spare.contains(path)) {
                alone.extend(named.into_iter().filter(|path| spare.contains(path)));
            }
        }
        let release: SafePath = RELEASE.parse().expect("a plain path");
        if held.0.contains_key(&release) && !spare.contains(&release) {
            let text = tree::read(&release.below(self.layout.root()))?;
            if let Some(version) = release_version(&text) {
                let folder = format!("{ARCHIVE}{version}/");
                let is_of_it = |path: &&SafePath| path.as_str().starts_with(&folder);
                if !held.0.keys().filter(is_of_it).any(|path| !spare.contains(path)) {
                    alone.extend(spare.iter().filter(is_of_it).cloned());
                }
            }
        }
        Ok(alone)
    }

    /// The paths that these names give to clients until they go; [`ARCHIVE`] for all below it.
    fn named_by(&self, names: &[&SafePath], held: &Artifacts) -> Result<HashSet<String>, Error> {
        let rows = names.iter().filter_map(|path| held.0.get_key_value(*path));
        let mut named: HashSet<String> =
            self.manifests(rows)?.into_values().flatten().map(|path| path.to_string()).collect();
        if names.iter().any(|path| path.as_str() == RELEASE) {
            named.insert(ARCHIVE.to_owned());
        }
        Ok(named)
    }

    /// What the channel manifests among `rows` name. Of one that has several names, one that has not rotted is enough;
    /// until one is found, all that can be read of the others counts. One that cannot be read as one names nothing, to
    /// rustup neither.
    fn manifests<'r>(
        &self,
        rows: impl Iterator<Item = (&'r SafePath, &'r Held)>,
    ) -> Result<BTreeMap<Sha256, Vec<SafePath>>, Error> {
        let mut named: BTreeMap<Sha256, Vec<SafePath>> = BTreeMap::new();
        let mut sound: HashSet<Sha256> = HashSet::new();
        for (path, row) in rows {
            if channel_manifest(path).is_none() || sound.contains(&row.sha256) {
                continue;
            }
            let file = path.below(self.layout.root());
            if fs::metadata(&file).is_ok_and(|there| there.is_file() && there.len() <= channel::MAX_SIZE as u64) {
                let text = tree::read(&file)?;
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
