//! The base of a delta: the crates that the mirror certainly has after the import of a given bundle.
//!
//! The mirror collects garbage: a crate that the newest bundle does not list may be deleted there, even if an earlier
//! bundle brought it. So a crate counts as stored only if every bundle since its introduction lists it. A crate that
//! returned after a removal was introduced again.

use std::collections::BTreeMap;
use std::path::Path;

use super::{BundlePlan, BundleRecord, CrateRef, DistFileRef, Error, History};
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::id_prefix::matches_id;
use crate::safe_path::SafePath;

/// The user's name for an empty base: the mirror has nothing, so the bundle has everything that the history needs.
pub const EMPTY_BASE: &str = "none";

/// Maximum number of bundles in an error.
const MAX_LISTED_BUNDLES: usize = 10;

/// The content of the mirror after the import of a bundle and all bundles before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeltaBase {
    /// The bundle; `None` if nothing was sent yet.
    pub bundle: Option<BundleRecord>,
    /// Whether it is the newest bundle.
    pub is_newest: bool,
    crates: BTreeMap<CrateId, Sha256>,
    dist_files: BTreeMap<SafePath, Sha256>,
}

impl DeltaBase {
    /// Whether the mirror has this exact file.
    pub fn has_crate(&self, id: &CrateId, sha256: Sha256) -> bool {
        self.crates.get(id) == Some(&sha256)
    }

    /// Whether the mirror has this exact dist file.
    pub fn has_dist_file(&self, path: &SafePath, sha256: Sha256) -> bool {
        self.dist_files.get(path) == Some(&sha256)
    }
}

impl History {
    /// The content of the mirror after the newest bundle, or after the bundle `name` (its ID or a unique prefix of it, or
    /// its file name or path). It is empty for [`EMPTY_BASE`].
    ///
    /// # Errors
    /// [`Error::UnknownBundle`].
    pub fn base(&self, name: Option<&str>) -> Result<DeltaBase, Error> {
        let newest = self.newest_bundle();
        let bundle = match name {
            Some(EMPTY_BASE) => None,
            Some(name) => Some(self.find_bundle(name)?),
            None => newest,
        };
        let Some(bundle) = bundle else {
            return Ok(DeltaBase::default());
        };
        let after = || self.state.bundles.iter().filter(|other| other.sequence > bundle.sequence);
        let current_files = self.state.inputs.iter().flat_map(|input| &input.dist_files);
        let mut artifacts: BTreeMap<SafePath, Sha256> =
            current_files.map(|stored| (stored.path.clone(), stored.sha256)).collect();
        for sent in after().flat_map(|later| &later.introduced_dist_files) {
            artifacts.remove(&sent.path);
        }
        let current_crates = self.state.inputs.iter().flat_map(|input| &input.crates);
        let mut crates: BTreeMap<CrateId, Sha256> =
            current_crates.map(|stored| (stored.id.clone(), stored.sha256)).collect();
        for sent in after().flat_map(|later| &later.introduced) {
            crates.remove(&sent.id);
        }
        let newest = newest.is_none_or(|newest| newest.sequence <= bundle.sequence);
        Ok(DeltaBase { bundle: Some(bundle.clone()), is_newest: newest, crates, dist_files: artifacts })
    }

    fn find_bundle(&self, name: &str) -> Result<&BundleRecord, Error> {
        let unknown = |several| {
            let newest = self.state.bundles.iter().rev().take(MAX_LISTED_BUNDLES);
            let names = newest.map(|bundle| format!("{} ({})", bundle.file, bundle.id)).collect();
            Error::UnknownBundle { path: self.path.clone(), name: name.to_owned(), is_ambiguous: several, names }
        };
        if let Some(bundle) = self.state.bundles.iter().find(|bundle| bundle.id == name) {
            return Ok(bundle);
        }
        let file = Path::new(name).file_name().and_then(|file| file.to_str()).unwrap_or(name);
        let with_name = self.state.bundles.iter().filter(|bundle| bundle.file == file).collect::<Vec<_>>();
        let with_prefix = || self.state.bundles.iter().filter(|bundle| matches_id(name, &bundle.id)).collect();
        let matching = if with_name.is_empty() { with_prefix() } else { with_name };
        match matching.as_slice() {
            [bundle] => Ok(bundle),
            several => Err(unknown(!several.is_empty())),
        }
    }
}

impl BundlePlan {
    /// The crates that a bundle of this plan introduces, if `base` is the content after the newest bundle.
    pub fn introduced_crates(&self, base: &DeltaBase) -> Vec<CrateRef> {
        let introduced = self.crates.values().filter(|stored| !base.has_crate(&stored.id, stored.sha256));
        introduced.cloned().collect()
    }

    /// Likewise for dist files.
    pub fn introduced_dist_files(&self, base: &DeltaBase) -> Vec<DistFileRef> {
        let introduced = self.dist_files.values().filter(|stored| !base.has_dist_file(&stored.path, stored.sha256));
        introduced.cloned().collect()
    }
}
