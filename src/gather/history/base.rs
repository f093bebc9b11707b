//! What a delta may rely on: the crates that the far side is sure to hold once it has taken a given bundle.
//!
//! The far side collects garbage: what the newest bundle does not name may be gone there, even if an earlier one
//! brought it. So a crate counts as held only if every bundle since the one that brought it has named it. What came
//! back after it had been dropped came anew.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Bundle, Error, HeldArtifact, Memory, Plan};
use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::Sha256;
use crate::safe_path::SafePath;

/// Bundles that an error lists at most.
const LISTED: usize = 10;

/// One crate that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Its name.
    pub name: CrateName,
    /// Its version.
    pub version: Version,
    /// The digest of its `.crate`.
    pub sha256: Sha256,
}

/// What the far side holds once it has taken a bundle and all before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The bundle; `None` where nothing was sent yet.
    pub bundle: Option<Bundle>,
    /// Whether it is the newest that there is.
    pub newest: bool,
    crates: BTreeMap<CrateId, Sha256>,
    artifacts: BTreeMap<SafePath, Sha256>,
}

impl Base {
    /// Whether this very file is held.
    pub fn holds(&self, id: &CrateId, sha256: Sha256) -> bool {
        self.crates.get(id) == Some(&sha256)
    }

    /// Whether this very rustup artifact is held.
    pub fn holds_artifact(&self, path: &SafePath, sha256: Sha256) -> bool {
        self.artifacts.get(path) == Some(&sha256)
    }
}

impl Memory {
    /// What the newest bundle, or the one called `name` (its id, or its file's name or path), leaves on the far side.
    ///
    /// # Errors
    /// [`Error::UnknownBundle`].
    pub fn base(&self, name: Option<&str>) -> Result<Base, Error> {
        let newest = self.newest();
        let bundle = match name {
            Some(name) => Some(self.bundle(name)?),
            None => newest,
        };
        let Some(bundle) = bundle else {
            return Ok(Base::default());
        };
        let after = || self.state.bundles.iter().filter(|other| other.sequence > bundle.sequence);
        let held = self.state.inputs.iter().flat_map(|input| &input.artifacts);
        let mut artifacts: BTreeMap<SafePath, Sha256> = held.map(|held| (held.path.clone(), held.sha256)).collect();
        for sent in after().flat_map(|later| &later.artifacts) {
            artifacts.remove(&sent.path);
        }
        let named = self.state.inputs.iter().flat_map(|input| &input.crates);
        let mut crates: BTreeMap<CrateId, Sha256> = named.map(|held| (held.id(), held.sha256)).collect();
        for sent in after().flat_map(|later| &later.came) {
            crates.remove(&CrateId { name: sent.name.clone(), version: sent.version.clone() });
        }
        let newest = newest.is_none_or(|newest| newest.sequence <= bundle.sequence);
        Ok(Base { bundle: Some(bundle.clone()), newest, crates, artifacts })
    }

    fn bundle(&self, name: &str) -> Result<&Bundle, Error> {
        let unknown = |several| {
            let newest = self.state.bundles.iter().rev().take(LISTED);
            let names = newest.map(|bundle| format!("{} ({})", bundle.file, bundle.id)).collect();
            Error::UnknownBundle { path: self.path.clone(), name: name.to_owned(), several, names }
        };
        if let Some(bundle) = self.state.bundles.iter().find(|bundle| bundle.id == name) {
            return Ok(bundle);
        }
        let file = Path::new(name).file_name().and_then(|file| file.to_str()).unwrap_or(name);
        let mut called = self.state.bundles.iter().filter(|bundle| bundle.file == file);
        match (called.next(), called.next()) {
            (Some(bundle), None) => Ok(bundle),
            (found, _) => Err(unknown(found.is_some())),
        }
    }
}

impl Plan {
    /// The crates that a bundle of this plan brings or names anew, where the newest one left `base`.
    pub fn came(&self, base: &Base) -> Vec<Sent> {
        let anew = self.crates.iter().filter(|(id, held)| !base.holds(id, held.sha256));
        anew.map(|(_, held)| Sent { name: held.name.clone(), version: held.version.clone(), sha256: held.sha256 })
            .collect()
    }

    /// Likewise the rustup artifacts.
    pub fn artifacts_came(&self, base: &Base) -> Vec<HeldArtifact> {
        let anew = self.artifacts.values().filter(|held| !base.holds_artifact(&held.path, held.sha256));
        anew.cloned().collect()
    }
}
