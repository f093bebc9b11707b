//! Two bundles held against each other, by what their manifests say of the resolved set: what comes, what goes, what
//! is another version now, and what upstream says otherwise of a version that stays.
//!
//! The whole set counts, not only what is shipped, so that a delta can be held against its base.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::describe::weight as weight_of_artifacts;
use super::format::{ArtifactRecord, CrateRecord, CrateState, Manifest};
use crate::crate_id::CrateName;
use crate::digest::Sha256;

mod text;

pub use text::text;

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
    pub updated: Vec<Updated<'m>>,
    /// Versions that go, of crates of which none comes.
    pub removed: Vec<&'m CrateRecord>,
    /// Versions that stay, with something else said of them.
    pub changed: Vec<Changed<'m>>,
    /// How many versions stay as they were.
    pub unchanged: usize,
    /// Rustup artifacts that come, that go, and that stay, by path.
    pub artifacts: Artifacts<'m>,
    /// Toolchains that come and go.
    pub toolchains: Words<'m>,
    /// Target triples that come and go.
    pub targets: Words<'m>,
    /// Inputs of the history that come and go, by name.
    pub inputs: Words<'m>,
}

/// A crate of which versions come and versions go.
#[derive(Debug)]
pub struct Updated<'m> {
    /// The crate.
    pub name: &'m CrateName,
    /// The versions that go; at least one.
    pub old: Vec<&'m CrateRecord>,
    /// The versions that come; at least one.
    pub new: Vec<&'m CrateRecord>,
}

/// A version that is in both sets.
#[derive(Debug)]
pub struct Changed<'m> {
    /// As the old bundle has it.
    pub old: &'m CrateRecord,
    /// As the new bundle has it.
    pub new: &'m CrateRecord,
    /// In what they differ; at least one.
    pub how: Vec<Change>,
}

/// What is said otherwise of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
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
    FileLeftOut,
}

/// How the rustup artifacts of two bundles differ, by path.
#[derive(Debug, Default)]
pub struct Artifacts<'m> {
    /// In the new one only.
    pub added: Vec<&'m ArtifactRecord>,
    /// In the old one only.
    pub removed: Vec<&'m ArtifactRecord>,
    /// At the same path with other bytes, as a channel that moved: as the new one has them.
    pub changed: Vec<&'m ArtifactRecord>,
    /// How many are as they were.
    pub unchanged: usize,
}

/// Words that are only in the one list or only in the other, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words<'m> {
    /// In the new one only.
    pub added: Vec<&'m str>,
    /// In the old one only.
    pub removed: Vec<&'m str>,
}

/// Holds `new` against `old`.
pub fn compare<'m>(old: &'m Manifest, new: &'m Manifest) -> Comparison<'m> {
    let words = |of: fn(&'m Manifest) -> Vec<&'m str>| Words::between(of(old), of(new));
    let mut comparison = Comparison {
        old,
        new,
        added: Vec::new(),
        updated: Vec::new(),
        removed: Vec::new(),
        changed: Vec::new(),
        unchanged: 0,
        artifacts: Artifacts::between(&old.artifacts, &new.artifacts),
        toolchains: words(|manifest| manifest.toolchains.iter().map(String::as_str).collect()),
        targets: words(|manifest| manifest.targets.iter().map(String::as_str).collect()),
        inputs: words(|manifest| manifest.lineage.inputs.iter().map(|input| input.name.as_str()).collect()),
    };
    let mut names: BTreeMap<&CrateName, (Vec<&CrateRecord>, Vec<&CrateRecord>)> = BTreeMap::new();
    for record in &old.crates {
        names.entry(&record.name).or_default().0.push(record);
    }
    for record in &new.crates {
        names.entry(&record.name).or_default().1.push(record);
    }
    for (name, (before, after)) in names {
        comparison.take(name, &before, &after);
    }
    comparison
}

impl<'m> Comparison<'m> {
    fn take(&mut self, name: &'m CrateName, before: &[&'m CrateRecord], after: &[&'m CrateRecord]) {
        // A manifest's table is sorted by name and version, which its reader checked.
        let find = |records: &[&'m CrateRecord], wanted: &CrateRecord| {
            records.binary_search_by(|record| record.version.cmp(&wanted.version)).ok().map(|at| records[at])
        };
        let going: Vec<_> = before.iter().copied().filter(|record| find(after, record).is_none()).collect();
        let mut coming = Vec::new();
        for record in after.iter().copied() {
            match find(before, record) {
                None => coming.push(record),
                Some(old) => match changes(old, record) {
                    how if how.is_empty() => self.unchanged += 1,
                    how => self.changed.push(Changed { old, new: record, how }),
                },
            }
        }
        match (going.is_empty(), coming.is_empty()) {
            (false, false) => self.updated.push(Updated { name, old: going, new: coming }),
            (true, _) => self.added.extend(coming),
            (_, true) => self.removed.extend(going),
        }
    }

    /// Whether there is nothing to tell of.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.updated.is_empty()
            && self.removed.is_empty()
            && self.changed.is_empty()
            && self.artifacts.is_empty()
            && [&self.toolchains, &self.targets, &self.inputs].iter().all(|words| words.is_empty())
    }

    /// Every version that comes, of new crates and of those known.
    pub fn coming(&self) -> impl Iterator<Item = &'m CrateRecord> {
        self.added.iter().copied().chain(self.updated.iter().flat_map(|updated| updated.new.iter().copied()))
    }

    /// Every version that goes.
    pub fn going(&self) -> impl Iterator<Item = &'m CrateRecord> {
        self.removed.iter().copied().chain(self.updated.iter().flat_map(|updated| updated.old.iter().copied()))
    }

    /// The comparison as JSON; sizes are bytes of `.crate` files, 0 where the manifest does not know them.
    pub fn json(&self) -> Value {
        let updated = self.updated.iter().map(|one| json!({"name": one.name, "old": one.old, "new": one.new}));
        let changed = self.changed.iter().map(|one| {
            json!({
                "name": one.new.name,
                "version": one.new.version,
                "changes": one.how.iter().map(Change::json).collect::<Vec<_>>(),
            })
        });
        json!({
            "old": side(self.old),
            "new": side(self.new),
            "same": self.is_empty(),
            "added": self.added,
            "updated": updated.collect::<Vec<_>>(),
            "removed": self.removed,
            "changed": changed.collect::<Vec<_>>(),
            "rustup_artifacts": self.artifacts.json(),
            "toolchains": self.toolchains.json(),
            "targets": self.targets.json(),
            "inputs": self.inputs.json(),
            "totals": {
                "coming": {"versions": self.coming().count(), "bytes": weight(self.coming())},
                "going": {"versions": self.going().count(), "bytes": weight(self.going())},
                "changed": self.changed.len(),
                "unchanged": self.unchanged,
            },
        })
    }
}

fn side(manifest: &Manifest) -> Value {
    let parent = manifest.parent.as_ref();
    json!({
        "id": manifest.id,
        "kind": manifest.kind,
        "created": manifest.created,
        "parent": parent.map(|parent| &parent.id),
        "lineage": manifest.lineage.id,
        "sequence": manifest.lineage.sequence,
        "versions": manifest.crates.len(),
        "bytes": weight(manifest.crates.iter()),
        "rustup_artifacts": manifest.artifacts.len(),
        "rustup_artifact_bytes": weight_of_artifacts(manifest.artifacts.iter()),
    })
}

/// Bytes of the files of these crates, as far as they are known.
pub(super) fn weight<'r>(records: impl Iterator<Item = &'r CrateRecord>) -> u64 {
    records.map(|record| record.size).fold(0, u64::saturating_add)
}

fn changes(old: &CrateRecord, new: &CrateRecord) -> Vec<Change> {
    let mut how = Vec::new();
    if old.sha256 != new.sha256 {
        how.push(Change::Checksum { old: old.sha256, new: new.sha256 });
    }
    match (old.yanked, new.yanked) {
        (false, true) => how.push(Change::Yanked),
        (true, false) => how.push(Change::Unyanked),
        _ => {}
    }
    match (old.state == CrateState::IndexOnly, new.state == CrateState::IndexOnly) {
        (true, false) => how.push(Change::FileAdded),
        (false, true) => how.push(Change::FileLeftOut),
        _ => {}
    }
    how
}

impl Change {
    /// What it is called in documents for machines.
    pub fn name(&self) -> &'static str {
        match self {
            Change::Checksum { .. } => "checksum",
            Change::Yanked => "yanked",
            Change::Unyanked => "unyanked",
            Change::FileAdded => "file-added",
            Change::FileLeftOut => "file-left-out",
        }
    }

    fn json(&self) -> Value {
        match self {
            Change::Checksum { old, new } => json!({"change": self.name(), "old": old, "new": new}),
            _ => json!({"change": self.name()}),
        }
    }
}

impl<'m> Artifacts<'m> {
    fn between(old: &'m [ArtifactRecord], new: &'m [ArtifactRecord]) -> Artifacts<'m> {
        // Tables are sorted by path, which their readers checked.
        let find = |records: &'m [ArtifactRecord], wanted: &ArtifactRecord| {
            records.binary_search_by(|record| record.path.cmp(&wanted.path)).ok().map(|at| &records[at])
        };
        let mut artifacts = Artifacts::default();
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

    fn json(&self) -> Value {
        let bytes = |records: &[&ArtifactRecord]| weight_of_artifacts(records.iter().copied());
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

impl<'m> Words<'m> {
    fn between(old: Vec<&'m str>, new: Vec<&'m str>) -> Words<'m> {
        let (old, new): (BTreeSet<_>, BTreeSet<_>) = (old.into_iter().collect(), new.into_iter().collect());
        Words { added: new.difference(&old).copied().collect(), removed: old.difference(&new).copied().collect() }
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    fn json(&self) -> Value {
        json!({"added": self.added, "removed": self.removed})
    }
}
