//! Which inputs of bundles were fetched without a package of git or of another registry.
//!
//! Several projects may have skipped the same package, and a bundle lists the inputs of all of them. The lock's own input
//! has its label, or its crates.

use std::collections::{HashMap, HashSet};

use crate::bundle::format::{Input, Lineage, Manifest, SkippedPackage};
use crate::crate_id::CrateId;
use crate::inputs::input_id::{InputId, InputKind, Label};
use crate::inputs::lockfile::{ForeignPackage, Lockfile};

/// An input that was fetched without a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippingInput {
    /// The name of the input in the bundle.
    pub name: String,
    /// The flag that left the package out.
    pub reason: String,
}

/// How likely an input is the lock's own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Similarity {
    /// It lacks crates of the lock.
    Other,
    /// It has every crate of the lock, and more.
    MoreCrates,
    /// It has exactly the crates of the lock.
    SameCrates,
    /// It has the label that a fetch of the lock gives it.
    SameLabel,
}

/// The inputs that skipped a package, by name, version and source.
type SkippingInputs = HashMap<(String, String, String), Vec<(Similarity, SkippingInput)>>;

/// The inputs that skipped each foreign package of a lock: the lock's own if one can be recognized, otherwise all.
pub(super) struct SkippedPackages<'l> {
    lock: &'l Lockfile,
    own_names: [String; 2],
    found: SkippingInputs,
    /// Lineages and inputs that a newer bundle described already.
    seen: HashSet<(String, String)>,
}

impl<'l> SkippedPackages<'l> {
    /// No inputs yet; they are compared with `lock`.
    pub(super) fn new(lock: &'l Lockfile) -> SkippedPackages<'l> {
        let label = Label::of_file(&lock.path, "Cargo.lock");
        let own_names =
            [InputKind::Lockfile, InputKind::Depends].map(|kind| InputId::of_file(kind, &label).to_string());
        SkippedPackages { lock, own_names, found: HashMap::new(), seen: HashSet::new() }
    }

    /// Adds the inputs of a bundle. Newer bundles come first, because each describes all inputs of its lineage.
    pub(super) fn add(&mut self, manifest: &Manifest) {
        let lineages =
            std::iter::once(&manifest.lineage).chain(manifest.carried_histories.iter().map(|one| &one.lineage));
        for Lineage { id, inputs, .. } in lineages {
            for input in inputs {
                if self.seen.insert((id.clone(), input.name.clone())) && !input.skipped_packages.is_empty() {
                    self.add_input(manifest, input);
                }
            }
        }
    }

    /// The inputs that were fetched without `package`.
    pub(super) fn skipping_inputs(&self, package: &ForeignPackage) -> Vec<SkippingInput> {
        let key = (package.name.clone(), package.version.clone(), package.source.without_local_path());
        let all = self.found.get(&key).map(Vec::as_slice).unwrap_or_default();
        let best = all.iter().map(|(similarity, _)| *similarity).max();
        let mut inputs: Vec<SkippingInput> = Vec::new();
        for (similarity, input) in all {
            if Some(*similarity) == best && !inputs.contains(input) {
                inputs.push(input.clone());
            }
        }
        inputs
    }

    fn add_input(&mut self, manifest: &Manifest, input: &Input) {
        let similarity = self.similarity(manifest, input);
        for SkippedPackage { name, version, source, reason } in &input.skipped_packages {
            let skipping = SkippingInput { name: input.name.clone(), reason: reason.clone() };
            let key = (name.clone(), version.clone(), source.clone());
            self.found.entry(key).or_default().push((similarity, skipping));
        }
    }

    fn similarity(&self, manifest: &Manifest, input: &Input) -> Similarity {
        if self.own_names.contains(&input.name) {
            return Similarity::SameLabel;
        }
        let records = input.crates.iter().filter_map(|position| manifest.crates.get(usize::try_from(*position).ok()?));
        let crates: HashSet<CrateId> = records.map(|record| record.id()).collect();
        let Lockfile { packages, unbuilt, .. } = self.lock;
        if !packages.keys().all(|id| crates.contains(id)) {
            return Similarity::Other;
        }
        match crates.iter().all(|id| packages.contains_key(id) || unbuilt.contains_key(id)) {
            true => Similarity::SameCrates,
            false => Similarity::MoreCrates,
        }
    }
}
