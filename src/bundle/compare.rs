//! Compares two bundles by the resolved sets of their manifests: added, removed and updated crates, and changed facts about
//! unchanged versions.
//!
//! The comparison covers the whole set, not only the shipped files, so that a delta can be compared with its base.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::describe::total_dist_file_bytes as weight_of_artifacts;
use super::format::{CrateRecord, CrateState, DistFileRecord, Manifest};
use crate::crate_id::CrateName;
use crate::digest::Sha256;

mod text;

pub use text::render_text;

/// The difference between two bundles. All lists are sorted by name and version.
#[derive(Debug)]
pub struct Comparison<'m> {
    /// The older bundle.
    pub old: &'m Manifest,
    /// The newer bundle.
    pub new: &'m Manifest,
    /// Added versions of crates without removed versions.
    pub added: Vec<&'m CrateRecord>,
    /// Crates with added and removed versions.
    pub updated: Vec<UpdatedCrate<'m>>,
    /// Removed versions of crates without added versions.
    pub removed: Vec<&'m CrateRecord>,
    /// Versions in both sets with changed facts.
    pub changed: Vec<ChangedVersion<'m>>,
    /// The number of unchanged versions.
    pub unchanged: usize,
    /// Added, removed and changed dist files, by path.
    pub dist_files: DistFileDiff<'m>,
    /// Added and removed toolchains.
    pub toolchains: SetDiff<'m>,
    /// Added and removed target triples.
    pub targets: SetDiff<'m>,
    /// Added and removed inputs of the history, by name.
    pub inputs: SetDiff<'m>,
}

/// A crate with added and removed versions.
#[derive(Debug)]
pub struct UpdatedCrate<'m> {
    /// The crate's name.
    pub name: &'m CrateName,
    /// The removed versions; at least one.
    pub old: Vec<&'m CrateRecord>,
    /// The added versions; at least one.
    pub new: Vec<&'m CrateRecord>,
}

/// A version in both sets.
#[derive(Debug)]
pub struct ChangedVersion<'m> {
    /// The record of the old bundle.
    pub old: &'m CrateRecord,
    /// The record of the new bundle.
    pub new: &'m CrateRecord,
    /// The differences; at least one.
    pub changes: Vec<VersionChange>,
}

/// A difference in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionChange {
    /// Another digest. Upstream never changes digests, so one of the two bundles differs from upstream.
    Checksum {
        /// The old bundle's digest.
        old: Sha256,
        /// The new bundle's digest.
        new: Sha256,
    },
    /// The version was yanked.
    Yanked,
    /// The version was unyanked.
    Unyanked,
    /// The file was added; a platform filter had left it out.
    FileAdded,
    /// A platform filter leaves the file out now.
    FileExcluded,
}

/// The difference in dist files, by path.
#[derive(Debug, Default)]
pub struct DistFileDiff<'m> {
    /// Only in the new bundle.
    pub added: Vec<&'m DistFileRecord>,
    /// Only in the old bundle.
    pub removed: Vec<&'m DistFileRecord>,
    /// Same path, different bytes, as in an updated channel: the new bundle's record.
    pub changed: Vec<&'m DistFileRecord>,
    /// The number of unchanged files.
    pub unchanged: usize,
}

/// Names in only one of two lists, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SetDiff<'m> {
    /// Only in the new list.
    pub added: Vec<&'m str>,
    /// Only in the old list.
    pub removed: Vec<&'m str>,
}

/// Compares `new` with `old`.
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

impl UpdatedCrate<'_> {
    /// Whether the newest added version is older than the newest removed one.
    pub fn is_downgrade(&self) -> bool {
        let newest = |records: &[&CrateRecord]| records.iter().map(|record| record.version.clone()).max();
        newest(&self.new) < newest(&self.old)
    }
}

impl<'m> Comparison<'m> {
    fn add_crate(&mut self, name: &'m CrateName, before: &[&'m CrateRecord], after: &[&'m CrateRecord]) {
        // The reader checked that a manifest's table is sorted by name and version.
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

    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.updated.is_empty()
            && self.removed.is_empty()
            && self.changed.is_empty()
            && self.dist_files.is_empty()
            && [&self.toolchains, &self.targets, &self.inputs].iter().all(|terms| terms.is_empty())
    }

    /// Every added version, of new and of known crates.
    pub fn all_added(&self) -> impl Iterator<Item = &'m CrateRecord> {
        self.added.iter().copied().chain(self.updated.iter().flat_map(|updated| updated.new.iter().copied()))
    }

    /// Every removed version.
    pub fn all_removed(&self) -> impl Iterator<Item = &'m CrateRecord> {
        self.removed.iter().copied().chain(self.updated.iter().flat_map(|updated| updated.old.iter().copied()))
    }

    /// The comparison as JSON; sizes are bytes of `.crate` files, or 0 if the manifest lacks them.
    pub fn to_json(&self) -> Value {
        let updated = self
            .updated
            .iter()
            .map(|one| json!({"name": one.name, "old": one.old, "new": one.new, "downgrade": one.is_downgrade()}));
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

/// Total size of these crates in bytes, as far as it is known.
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
    /// The name in JSON documents.
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
        // The reader checked that the tables are sorted by path.
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

    /// Whether there is no difference.
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
