//! What the next bundle says of the lineage: the newest sets of all inputs, and whether they differ from what was sent.

use std::collections::BTreeMap;

use super::{Bundle, Called, Conflict, Error, Held, HeldArtifact, InputSet, Memory, Told, held};
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::gather::input_id::InputId;
use crate::safe_path::SafePath;

/// What the next bundle of the lineage says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The lineage's id, 32 hexadecimal digits.
    pub lineage: String,
    /// The bundle's number.
    pub sequence: u64,
    /// Every input, with its newest set, sorted.
    pub inputs: Vec<InputSet>,
    /// Every crate that some input needs.
    pub crates: BTreeMap<CrateId, Held>,
    /// What crates say of themselves, by the digest of their `.crate`. What the history knows of it; whoever reads
    /// more of them adds it, and it is recorded for the crates that some input needs.
    pub told: BTreeMap<Sha256, Told>,
    /// Every rustup artifact that some input needs.
    pub artifacts: BTreeMap<SafePath, HeldArtifact>,
    /// The index lines that the bundle brings; the caller that packs it adds them.
    pub lines: BTreeMap<CrateId, String>,
    /// The bundle before it; one that mends does not count.
    pub parent: Option<Bundle>,
    /// Whether there is anything that the last bundle did not say: an input or a crate more or less, or another yanked
    /// flag.
    pub news: bool,
}

impl Memory {
    /// What the next bundle must say, given the sets of today's inputs and the inputs to forget. Changes nothing.
    pub fn plan(&self, today: Vec<InputSet>, forget: &[Called]) -> Result<Plan, Error> {
        self.plan_with(today, BTreeMap::new(), forget)
    }

    /// The same, where other inputs need other rustup artifacts than when they were fetched.
    pub fn plan_with(
        &self,
        today: Vec<InputSet>,
        mut moved: BTreeMap<InputId, Vec<HeldArtifact>>,
        forget: &[Called],
    ) -> Result<Plan, Error> {
        let mut forgotten = Vec::with_capacity(forget.len());
        for name in forget {
            if let Some(input) = today.iter().find(|input| input.is_called(name)) {
                return Err(Error::FetchedAndForgotten(input.id.clone()));
            }
            forgotten.push(&self.called(name)?.id);
        }
        let mut inputs = today;
        for held in inputs.iter_mut().flat_map(|input| &mut input.crates).filter(|held| held.size == 0) {
            // A file that is not here now weighs what it weighed when it was sent.
            held.size = self.size(held).unwrap_or(0);
        }
        let mut crates = BTreeMap::new();
        for held in inputs.iter().flat_map(|input| &input.crates) {
            crates.insert(held.id(), held.clone());
        }
        for old in &self.state.inputs {
            if forgotten.contains(&&old.id) || inputs.iter().any(|input| input.id == old.id) {
                continue;
            }
            let mut kept = old.clone();
            if let Some(artifacts) = moved.remove(&old.id) {
                kept.artifacts = artifacts;
            }
            for held in &mut kept.crates {
                let newest = crates.entry(held.id()).or_insert_with(|| held.clone());
                if newest.sha256 != held.sha256 {
                    return Err(Error::Conflict(Box::new(Conflict {
                        id: held.id(),
                        input: old.id.to_string(),
                        old: held.sha256,
                        new: newest.sha256,
                    })));
                }
                // Today's reading of the index is the newer one.
                held.clone_from(newest);
            }
            inputs.push(kept);
        }
        let mut artifacts: BTreeMap<SafePath, HeldArtifact> = BTreeMap::new();
        for input in &mut inputs {
            input.crates.sort_by_key(Held::id);
            input.crates.dedup_by_key(|held| held.id());
            input.artifacts.sort_by(|a, b| a.path.cmp(&b.path));
            input.artifacts.dedup_by(|a, b| a.path == b.path);
            for held in &mut input.artifacts {
                if held.size == 0 {
                    held.size = self.artifact_size(held).unwrap_or(0);
                }
                // Today's inputs come first: what upstream has at a path now is what the path is to have.
                held.clone_from(artifacts.entry(held.path.clone()).or_insert_with(|| held.clone()));
            }
        }
        inputs.sort_by(|a, b| a.id.cmp(&b.id));
        let parent = self.newest().cloned();
        Ok(Plan {
            lineage: self.state.lineage.clone(),
            sequence: self.state.bundles.last().map_or(1, |last| last.sequence.saturating_add(1)),
            news: parent.is_none() || self.state.forgotten || !says_the_same(&inputs, &self.state.inputs),
            parent,
            inputs,
            crates,
            told: self.state.told.clone(),
            artifacts,
            lines: BTreeMap::new(),
        })
    }

    fn artifact_size(&self, of: &HeldArtifact) -> Option<u64> {
        let sent = self.state.inputs.iter().flat_map(|input| &input.artifacts);
        sent.filter(|held| held.size > 0 && held.sha256 == of.sha256).map(|held| held.size).next()
    }

    fn size(&self, of: &Held) -> Option<u64> {
        held(&self.state.inputs).filter(|held| held.size > 0 && held.sha256 == of.sha256).map(|held| held.size).next()
    }
}

/// Whether two lists of inputs are the same to whoever uses the mirror. How the user words what he asks for is not.
fn says_the_same(ours: &[InputSet], theirs: &[InputSet]) -> bool {
    let same =
        |a: &Held, b: &Held| (&a.name, &a.version, a.sha256, a.yanked) == (&b.name, &b.version, b.sha256, b.yanked);
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(a, b)| {
            a.id == b.id
                && a.left_out == b.left_out
                && a.crates.len() == b.crates.len()
                && a.crates.iter().zip(&b.crates).all(|(a, b)| same(a, b))
                && a.artifacts.len() == b.artifacts.len()
                && a.artifacts.iter().zip(&b.artifacts).all(|(a, b)| (&a.path, a.sha256) == (&b.path, b.sha256))
        })
}
