//! The lineage in the next bundle: the newest sets of all inputs, and whether they differ from those sent before.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    BundleRecord, CrateMetadata, CrateRef, DigestConflict, DistFileRef, Error, History, InputRef, InputSet, all_crates,
};
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::inputs::input_id::InputId;
use crate::safe_path::SafePath;

/// The lineage in the next bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundlePlan {
    /// The lineage's ID, 32 hexadecimal digits.
    pub lineage: String,
    /// The bundle's number.
    pub sequence: u64,
    /// The id of the bundle before it; `None` for the first.
    pub previous: Option<String>,
    /// Every input with its newest set, sorted.
    pub inputs: Vec<InputSet>,
    /// Every crate that any input needs.
    pub crates: BTreeMap<CrateId, CrateRef>,
    /// The metadata of crates, by the digest of their `.crate`, as far as the history has it. The caller may add more;
    /// it is recorded for the crates that any input needs.
    pub crate_metadata: BTreeMap<Sha256, CrateMetadata>,
    /// Every dist file that any input needs.
    pub dist_files: BTreeMap<SafePath, DistFileRef>,
    /// The previous bundle; repair bundles do not count.
    pub parent: Option<BundleRecord>,
    /// Whether the last bundle differs: an added or removed input or crate, or a changed yanked flag.
    pub has_changes: bool,
}

impl History {
    /// Plans the next bundle, from the sets of this run's inputs and the inputs to retire. Changes nothing.
    pub fn plan(&self, today: Vec<InputSet>, forget: &[InputRef]) -> Result<BundlePlan, Error> {
        self.plan_with_updated_files(today, BTreeMap::new(), forget)
    }

    /// Likewise, if other inputs need other dist files than when they were fetched.
    pub fn plan_with_updated_files(
        &self,
        today: Vec<InputSet>,
        mut moved: BTreeMap<InputId, Vec<DistFileRef>>,
        forget: &[InputRef],
    ) -> Result<BundlePlan, Error> {
        let mut forgotten = Vec::with_capacity(forget.len());
        for name in forget {
            if let Some(input) = today.iter().find(|input| input.matches(name)) {
                return Err(Error::FetchedAndForgotten(input.id.clone()));
            }
            forgotten.push(&self.find_input(name)?.id);
        }
        let mut inputs = today;
        for stored in inputs.iter_mut().flat_map(|input| &mut input.crates).filter(|stored| stored.size == 0) {
            // A file that is not cached keeps the size from when it was sent.
            stored.size = self.recorded_crate_size(stored).unwrap_or(0);
        }
        let mut crates = BTreeMap::new();
        for stored in inputs.iter().flat_map(|input| &input.crates) {
            crates.insert(stored.id.clone(), stored.clone());
        }
        for old in &self.state.inputs {
            if forgotten.contains(&&old.id) || inputs.iter().any(|input| input.id == old.id) {
                continue;
            }
            let mut kept = old.clone();
            if let Some(artifacts) = moved.remove(&old.id) {
                kept.dist_files = artifacts;
            }
            for stored in &mut kept.crates {
                let newest = crates.entry(stored.id.clone()).or_insert_with(|| stored.clone());
                if newest.sha256 != stored.sha256 {
                    return Err(Error::Conflict(Box::new(DigestConflict {
                        id: stored.id.clone(),
                        input: old.id.to_string(),
                        old: stored.sha256,
                        new: newest.sha256,
                    })));
                }
                // This run's reading of the index is newer.
                stored.clone_from(newest);
            }
            inputs.push(kept);
        }
        let mut artifacts: BTreeMap<SafePath, DistFileRef> = BTreeMap::new();
        for input in &mut inputs {
            input.crates.sort_by(|a, b| a.id.cmp(&b.id));
            input.crates.dedup_by(|a, b| a.id == b.id);
            input.dist_files.sort_by(|a, b| a.path.cmp(&b.path));
            input.dist_files.dedup_by(|a, b| a.path == b.path);
            for stored in &mut input.dist_files {
                if stored.size == 0 {
                    stored.size = self.recorded_file_size(stored).unwrap_or(0);
                }
                // This run's inputs come first: the current file of upstream at a path is the one that the path must
                // have.
                stored.clone_from(artifacts.entry(stored.path.clone()).or_insert_with(|| stored.clone()));
            }
        }
        inputs.sort_by(|a, b| a.id.cmp(&b.id));
        let parent = self.newest_bundle().cloned();
        Ok(BundlePlan {
            lineage: self.state.lineage.clone(),
            sequence: self.state.bundles.last().map_or(1, |last| last.sequence.saturating_add(1)),
            previous: self.state.bundles.last().map(|last| last.id.clone()),
            has_changes: parent.is_none()
                || self.state.has_forgotten_input
                || !have_same_content(&inputs, &self.state.inputs),
            parent,
            inputs,
            crates,
            crate_metadata: self.state.crate_metadata.clone(),
            dist_files: artifacts,
        })
    }

    /// The numbers of recorded crates and dist files that no input of `plan` needs.
    pub fn count_dropped(&self, plan: &BundlePlan) -> (u64, u64) {
        let crates: BTreeSet<&CrateId> = all_crates(&self.state.inputs).map(|stored| &stored.id).collect();
        let dist_files: BTreeSet<&SafePath> =
            self.state.inputs.iter().flat_map(|input| &input.dist_files).map(|stored| &stored.path).collect();
        let dropped_crates = crates.iter().filter(|id| !plan.crates.contains_key(**id)).count();
        let dropped_files = dist_files.iter().filter(|path| !plan.dist_files.contains_key(**path)).count();
        (dropped_crates as u64, dropped_files as u64)
    }

    fn recorded_file_size(&self, of: &DistFileRef) -> Option<u64> {
        let sent = self.state.inputs.iter().flat_map(|input| &input.dist_files);
        sent.filter(|stored| stored.size > 0 && stored.sha256 == of.sha256).map(|stored| stored.size).next()
    }

    fn recorded_crate_size(&self, of: &CrateRef) -> Option<u64> {
        all_crates(&self.state.inputs)
            .filter(|stored| stored.size > 0 && stored.sha256 == of.sha256)
            .map(|stored| stored.size)
            .next()
    }
}

/// Whether two lists of inputs are equal for a user of the mirror. The text of the requests does not count.
fn have_same_content(ours: &[InputSet], theirs: &[InputSet]) -> bool {
    let same = |a: &CrateRef, b: &CrateRef| (&a.id, a.sha256, a.yanked) == (&b.id, b.sha256, b.yanked);
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(a, b)| {
            a.id == b.id
                && a.skipped_packages == b.skipped_packages
                && a.crates.len() == b.crates.len()
                && a.crates.iter().zip(&b.crates).all(|(a, b)| same(a, b))
                && a.dist_files.len() == b.dist_files.len()
                && a.dist_files.iter().zip(&b.dist_files).all(|(a, b)| (&a.path, a.sha256) == (&b.path, b.sha256))
        })
}
