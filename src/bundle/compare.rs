//! Two bundles held against each other, by what their manifests say of the resolved set: what comes, what goes, what
//! is another version now, and what upstream says otherwise of a version that stays.
//!
//! The whole set counts, not only what is shipped, so that a delta can be held against its base.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::describe::total_dist_file_bytes as weight_of_artifacts;
use super::format::{CrateRecord, CrateState, DistFileRecord, Manifest};
use crate::crate_id::CrateName;
use crate::digest::Sha256;

mod text;

pub use text::render_text;

/// How one bundle's set differs from another's. Everything is sorted by name and version.
#[derive(Debug)]
pub struct Comparison<'m> {
    /// The bundle that is there already.
    pub old: &'m Manifest,
    /// The bundle that is to come.
    pub new: &'m Manifest,
    /// Versions that come, of crates of which none goes.
    pub added: Vec<&'m CrateRecord>,
    /// Crates of which versions come and versions go.
    pub updated: Vec<UpdatedCrate<'m>>,
    /// Versions that go, of crates of which none comes.
    pub removed: Vec<&'m CrateRecord>,
    /// Versions that stay, with something else said of them.
    pub changed: Vec<ChangedVersion<'m>>,
    /// How many versions stay as they were.
    pub unchanged: usize,
    /// Rustup artifacts that come, that go, and that stay, by path.
    pub dist_files: DistFileDiff<'m>,
    /// Toolchains that come and go.
    pub toolchains: SetDiff<'m>,
    /// Target triples that come and go.
    pub targets: SetDiff<'m>,
    /// Inputs of the history that come and go, by name.
    pub inputs: SetDiff<'m>,
}

/// A crate of which versions come and versions go.
#[derive(Debug)]
pub struct UpdatedCrate<'m> {
    /// The crate.
    pub name: &'m CrateName,
    /// The versions that go; at least one.
    pub old: Vec<&'m CrateRecord>,
    /// The versions that come; at least one.
    pub new: Vec<&'m CrateRecord>,
}

/// A version that is in both sets.
#[derive(Debug)]
pub struct ChangedVersion<'m> {
    /// As the old bundle has it.
    pub old: &'m CrateRecord,
    /// As the new bundle has it.
    pub new: &'m CrateRecord,
    /// In what they differ; at least one.
    pub changes: Vec<VersionChange>,
}

/// What is said otherwise of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionChange {
    /// Another digest. Upstream never does that: one of the two bundles does not hold what upstream published.
    Checksum {
        /// In the old bundle.
        old: Sha256,
        /// In the new one.
        new: Sha256,
    },
    /// Upstream took it out of use.
    Yanked,
    /// Upstream took that back.
    Unyanked,
    /// Its file comes, which a platform filter had left out.
    FileAdded,
    /// Its file is left out by a platform filter.
    FileExcluded,
}

/// How the rustup artifacts of two bundles differ, by path.
#[derive(Debug, Default)]
pub struct DistFileDiff<'m> {
    /// In the new one only.
    pub added: Vec<&'m DistFileRecord>,
    /// In the old one only.
    pub removed: Vec<&'m DistFileRecord>,
    /// At the same path with other bytes, as a channel that moved: as the new one has them.
    pub changed: Vec<&'m DistFileRecord>,
    /// How many are as they were.
    pub unchanged: usize,
}

/// Words that are only in the one list or only in the other, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SetDiff<'m> {
    /// In the new one only.
    pub added: Vec<&'m str>,
    /// In the old one only.
    pub removed: Vec<&'m str>,
}

/// Holds `new` against `old`.
pub fn compare<'m>(old: &'m Manifest, new: &'m Manifest) -> Comparison<'m> {
    let set_diff = |of: fn(&'m Manifest) -> Vec<&'m str>| SetDiff::diff(of(old), of(new));
    let mut comparison = Comparison {
        old,
        new,
        added: Vec::new(),
        updated: Vec::new(),
        removed: Vec::new(),
        changed: Vec::new(),
        unchanged: 0,
        dist_files: DistFileDiff::diff(&old.dist_files, &new.dist_files),
        toolchains: set_diff(|manifest| manifest.toolchains.iter().map(String::as_str).collect()),
        targets: set_diff(|manifest| manifest.targets.iter().map(String::as_str).collect()),
        inputs: set_diff(|manifest| manifest.lineage.inputs.iter().map(|input| input.name.as_str()).collect()),
    };
    let mut names: BTreeMap<&CrateName, (Vec<&CrateRecord>, Vec<&CrateRecord>)> = BTreeMap::new();
    for record in &old.crates {
        names.entry(&record.name).or_default().0.push(record);
    }
    for record in &new.crates {
        names.entry(&record.name).or_default().1.push(record);
    }
    for (name, (before, after)) in names {
        comparison.add_crate(name, &before, &after);
    }
    comparison
}

impl<'m> Comparison<'m> {
    fn add_crate(&mut self, name: &'m CrateName, before: &[&'m CrateRecord], after: &[&'m CrateRecord]) {
        // A manifest's table is sorted by name and version, which its reader checked.
        let find = |records: &[&'m CrateRecord], wanted: &CrateRecord| {
            records.binary_search_by(|record| record.version.cmp(&wanted.version)).ok().map(|at| records[at])
        };
        let removed: Vec<_> = before.iter().copied().filter(|record| find(after, record).is_none()).collect();
        let mut added = Vec::new();
        for record in after.iter().copied() {
            match find(before, record) {
                None => added.push(record),
                Some(old) => match find_changes(old, record) {
                    how if how.is_empty() => self.unchanged += 1,
                    how => self.changed.push(ChangedVersion { old, new: record, changes: how }),
                },
            }
        }
        match (removed.is_empty(), added.is_empty()) {
            (false, false) => self.updated.push(UpdatedCrate { name, old: removed, new: added }),
            (true, _) => self.added.extend(added),
            (_, true) => self.removed.extend(removed),
        }
    }

    /// Whether there is nothing to tell of.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.updated.is_empty()
            && self.removed.is_empty()
            && self.changed.is_empty()
            && self.dist_files.is_empty()
            && [&self.toolchains, &self.targets, &self.inputs].iter().all(|words| words.is_empty())
    }

    /// Every version that comes, of new crates and of those known.
    pub fn all_added(&self) -> impl Iterator<Item = &'m CrateRecord> {
        self.added.iter().copied().chain(self.updated.iter().flat_map(|updated| updated.new.iter().copied()))
    }

    /// Every version that goes.
    pub fn all_removed(&self) -> impl Iterator<Item = &'m CrateRecord> {
        self.removed.iter().copied().chain(self.updated.iter().flat_map(|updated| updated.old.iter().copied()))
    }

    /// The comparison as JSON; sizes are bytes of `.crate` files, 0 where the manifest does not know them.
    pub fn to_json(&self) -> Value {
        let updated = self.updated.iter().map(|one| json!({"name": one.name, "old": one.old, "new": one.new}));
        let changed = self.changed.iter().map(|one| {
            json!({
                "name": one.new.name,
                "version": one.new.version,
                "changes": one.changes.iter().map(|change| change.to_json()).collect::<Vec<_>>(),
            })
        });
        json!({
            "old": bundle_json(self.old),
            "new": bundle_json(self.new),
            "same": self.is_empty(),
            "added": self.added,
            "updated": updated.collect::<Vec<_>>(),
            "removed": self.removed,
            "changed": changed.collect::<Vec<_>>(),
            "rustup_artifacts": self.dist_files.to_json(),
            "toolchains": self.toolchains.to_json(),
            "targets": self.targets.to_json(),
            "inputs": self.inputs.to_json(),
            "totals": {
                "coming": {"versions": self.all_added().count(), "bytes": total_crate_bytes(self.all_added())},
                "going": {"versions": self.all_removed().count(), "bytes": total_crate_bytes(self.all_removed())},
                "changed": self.changed.len(),
                "unchanged": self.unchanged,
            },
        })
    }
}

fn bundle_json(manifest: &Manifest) -> Value {
    let parent = manifest.parent.as_ref();
    json!({
        "id": manifest.id,
        "kind": manifest.kind,
        "created": manifest.created,
        "parent": parent.map(|parent| &parent.id),
        "lineage": manifest.lineage.id,
        "sequence": manifest.lineage.sequence,
        "versions": manifest.crates.len(),
        "bytes": total_crate_bytes(manifest.crates.iter()),
        "rustup_artifacts": manifest.dist_files.len(),
        "rustup_artifact_bytes": weight_of_artifacts(manifest.dist_files.iter()),
    })
}

/// Bytes of the files of these crates, as far as they are known.
pub(super) fn total_crate_bytes<'r>(records: impl Iterator<Item = &'r CrateRecord>) -> u64 {
    records.map(|record| record.size).fold(0, u64::saturating_add)
}

fn find_changes(old: &CrateRecord, new: &CrateRecord) -> Vec<VersionChange> {
    let mut changes = Vec::new();
    if old.sha256 != new.sha256 {
        changes.push(VersionChange::Checksum { old: old.sha256, new: new.sha256 });
    }
    match (old.yanked, new.yanked) {
        (false, true) => changes.push(VersionChange::Yanked),
        (true, false) => changes.push(VersionChange::Unyanked),
        _ => {}
    }
    match (old.state == CrateState::IndexOnly, new.state == CrateState::IndexOnly) {
        (true, false) => changes.push(VersionChange::FileAdded),
        (false, true) => changes.push(VersionChange::FileExcluded),
        _ => {}
    }
    changes
}

impl VersionChange {
    /// What it is called in documents for machines.
    pub fn name(&self) -> &'static str {
        match self {
            VersionChange::Checksum { .. } => "checksum",
            VersionChange::Yanked => "yanked",
            VersionChange::Unyanked => "unyanked",
            VersionChange::FileAdded => "file-added",
            VersionChange::FileExcluded => "file-left-out",
        }
    }

    fn to_json(self) -> Value {
        match self {
            VersionChange::Checksum { old, new } => json!({"change": self.name(), "old": old, "new": new}),
            _ => json!({"change": self.name()}),
        }
    }
}

impl<'m> DistFileDiff<'m> {
    fn diff(old: &'m [DistFileRecord], new: &'m [DistFileRecord]) -> DistFileDiff<'m> {
        // Tables are sorted by path, which their readers checked.
        let find = |records: &'m [DistFileRecord], wanted: &DistFileRecord| {
            records.binary_search_by(|record| record.path.cmp(&wanted.path)).ok().map(|at| &records[at])
        };
        let mut artifacts = DistFileDiff::default();
        artifacts.removed.extend(old.iter().filter(|record| find(new, record).is_none()));
        for record in new {
            match find(old, record) {
                None => artifacts.added.push(record),
                Some(before) if before.sha256 == record.sha256 => artifacts.unchanged += 1,
                Some(_) => artifacts.changed.push(record),
            }
        }
        artifacts
    }

    /// Whether there is nothing to tell of.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    fn to_json(&self) -> Value {
        let bytes = |records: &[&DistFileRecord]| weight_of_artifacts(records.iter().copied());
        json!({
            "added": self.added,
            "removed": self.removed,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "bytes": {
                "added": bytes(&self.added),
                "removed": bytes(&self.removed),
                "changed": bytes(&self.changed),
            },
        })
    }
}

impl<'m> SetDiff<'m> {
    fn diff(old: Vec<&'m str>, new: Vec<&'m str>) -> SetDiff<'m> {
        let (old, new): (BTreeSet<_>, BTreeSet<_>) = (old.into_iter().collect(), new.into_iter().collect());
        SetDiff { added: new.difference(&old).copied().collect(), removed: old.difference(&new).copied().collect() }
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    fn to_json(&self) -> Value {
        json!({"added": self.added, "removed": self.removed})
    }
}
