//! Rules about the removal of dist files, in addition to those for all files.
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

use super::error::Error;
use super::index_entry;
use crate::digest::Sha256;
use crate::mirror::dist_files::{
    DistFile, DistFiles, MutableName, RUSTUP_RELEASE_PATH, channel_of_manifest, parse_rustup_version,
};
use crate::mirror::item::StoredItem;
use crate::mirror::layout::Layout;
use crate::safe_path::SafePath;
use crate::toolchain::{self, ChannelManifest};

/// Where upstream stores every release of rustup.
const ARCHIVE: &str = "rustup/archive/";

/// The recorded dist files of a mirror, for the rules about them.
pub(super) struct DistRules<'a> {
    pub(super) layout: &'a Layout,
    pub(super) recorded: &'a DistFiles,
}

impl DistRules<'_> {
    /// Unreferenced files that a remaining name refers to, if no other file of that name remains.
    pub(super) fn kept_for_served_names(
        &self,
        unreferenced: &BTreeSet<&SafePath>,
    ) -> Result<BTreeSet<SafePath>, Error> {
        let (mut alone, recorded) = (BTreeSet::new(), self.recorded);
        if unreferenced.iter().all(|path| MutableName::from_path(path).is_some()) {
            return Ok(alone);
        }
        let staying = recorded.0.iter().filter(|(path, _)| !unreferenced.contains(path));
        for named in self.files_of_manifests(staying)?.into_values() {
            if !named.iter().any(|path| recorded.0.contains_key(path) && !unreferenced.contains(path)) {
                alone.extend(named.into_iter().filter(|path| unreferenced.contains(path)));
            }
        }
        let release: SafePath = RUSTUP_RELEASE_PATH.parse().expect("a plain path");
        if recorded.0.contains_key(&release) && !unreferenced.contains(&release) {
            let text = index_entry::read_or_empty(&release.below(self.layout.root()))?;
            if let Some(version) = parse_rustup_version(&text) {
                let folder = format!("{ARCHIVE}{version}/");
                let of_release: BTreeSet<&SafePath> =
                    recorded.0.keys().filter(|path| path.as_str().starts_with(&folder)).collect();
                if of_release.is_subset(unreferenced) {
                    alone.extend(of_release.into_iter().cloned());
                }
            }
        }
        Ok(alone)
    }

    /// The paths that these names refer to; [`ARCHIVE`] for everything below it.
    pub(super) fn paths_named_by(&self, names: &[StoredItem]) -> Result<HashSet<String>, Error> {
        let names = names.iter().filter_map(|item| item.id.dist_file_path());
        let rows = names.clone().filter_map(|path| self.recorded.0.get_key_value(path));
        let mut named: HashSet<String> =
            self.files_of_manifests(rows)?.into_values().flatten().map(|path| path.to_string()).collect();
        if names.into_iter().any(|path| path.as_str() == RUSTUP_RELEASE_PATH) {
            named.insert(ARCHIVE.to_owned());
        }
        Ok(named)
    }

    /// Whether [`DistRules::paths_named_by`] found the path.
    pub(super) fn is_named(named: &HashSet<String>, path: &SafePath) -> bool {
        named.contains(path.as_str()) || named.contains(ARCHIVE) && path.as_str().starts_with(ARCHIVE)
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
                let text = index_entry::read_or_empty(&file)?;
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
