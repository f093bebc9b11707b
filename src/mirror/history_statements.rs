//! Compares what snapshots state about a bundle with each other, and with the bundle's own record.
//!
//! The id of a bundle is a digest of its manifest, so its own record is proven. A snapshot only states what its mirror knew
//! about the bundle. Two snapshots must state the same, otherwise one of them is false. The first one must not decide alone
//! which crates of a history are needed.
//!
//! Genuine snapshots differ in three ways. Their mirrors store other crates and files, so the states differ. A mutable dist file
//! has the digest that is stored when the snapshot is exported. The bundle of a live history, and of content without a
//! history, has an id that only shows its items, so its number and time differ.

use std::collections::{BTreeMap, BTreeSet};

use super::dist_files::MutableName;
use super::item::ItemId;
use crate::bundle::format::{CrateState, DistFileState, Manifest};
use crate::bundle::sanitize::sanitize_line;
use crate::bundle::sequence::is_time;
use crate::digest::Sha256;

/// A snapshot states something about a bundle that a record contradicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The difference: what the snapshot states, then what the record states.
    pub difference: String,
    /// The id of the bundle.
    pub bundle: String,
    /// The file of the bundle, or of the snapshot that stated the record.
    pub file: String,
    /// The id of that snapshot; `None` if the record is the bundle's own.
    pub snapshot: Option<String>,
}

impl Contradiction {
    /// What the snapshot contradicts: the bundle itself, or another snapshot's statement about it.
    pub fn source(&self) -> String {
        let (file, bundle) = (sanitize_line(&self.file), sanitize_line(&self.bundle));
        match &self.snapshot {
            Some(id) => format!("the snapshot `{file}`, id {}, about bundle {bundle}", sanitize_line(id)),
            None => format!("bundle {bundle}, which was imported as `{file}`"),
        }
    }

    /// How to find out which side is false, and what to do then. `file` is the refused snapshot.
    pub fn hint(&self, file: &str) -> String {
        let file = sanitize_line(file);
        let Some(id) = &self.snapshot else {
            return format!(
                "delete `{file}`, or export the snapshot again from a mirror that `cargo frostmirror verify` found intact"
            );
        };
        let (id, stored) = (sanitize_line(id), sanitize_line(&self.file));
        format!(
            "compare both with their senders: `cargo frostmirror inspect FILE` shows the ID of a snapshot. If `{file}` is false, delete \
             it. If `{stored}` is false, run `cargo frostmirror gc --mirror DIR --reject snapshot@{id}`, and import `{file}` again"
        )
    }
}

/// Whether a record states the same as the bundle with its id. Records are not checked against their id.
pub(super) fn describes_bundle(recorded: &Manifest, manifest: &Manifest) -> bool {
    let of = |manifest: &Manifest| {
        let lineage = &manifest.lineage;
        (lineage.id.clone(), lineage.sequence, lineage.previous.clone(), manifest.created.clone())
    };
    of(recorded) == of(manifest) && items_with_digests(recorded).eq(items_with_digests(manifest))
}

fn items_with_digests(manifest: &Manifest) -> impl Iterator<Item = (ItemId, Sha256)> {
    let crates = manifest.crates.iter().map(|one| (ItemId::Crate(one.id()), one.sha256));
    crates.chain(manifest.dist_files.iter().map(|one| (ItemId::DistFile(one.path.clone()), one.sha256)))
}

/// How what a snapshot states about a bundle differs from a record of it: "the number 2 instead of 3". `None` if both agree. If the
/// record `is_own`, only items that the bundle relies on must be stated.
pub(super) fn find_difference(stated: &Manifest, recorded: &Manifest, is_own: bool) -> Option<String> {
    let [one, other] = [stated, recorded].map(|manifest| &manifest.lineage);
    if one.id != other.id {
        return Some(format!("the lineage {} instead of {}", sanitize_line(&one.id), sanitize_line(&other.id)));
    }
    // The id of a set of items does not depend on its number and time.
    let is_live = is_time(one.sequence) && is_time(other.sequence) && !recorded.is_legacy();
    let is_item_set = is_live || one.id == recorded.id;
    if !is_item_set {
        if one.sequence != other.sequence {
            return Some(format!("the number {} instead of {}", one.sequence, other.sequence));
        }
        if one.previous != other.previous {
            let shown = |id: &Option<String>| id.as_deref().map_or_else(|| "none".to_owned(), sanitize_line);
            return Some(format!("the predecessor {} instead of {}", shown(&one.previous), shown(&other.previous)));
        }
        if stated.created != recorded.created {
            let [one, other] = [stated, recorded].map(|manifest| sanitize_line(&manifest.created));
            return Some(format!("the time {one} instead of {other}"));
        }
    }
    find_item_difference(stated, recorded, is_own)
}

/// An item that only one of the two has, or with another digest.
fn find_item_difference(stated: &Manifest, recorded: &Manifest, is_own: bool) -> Option<String> {
    let kept = recorded.crates.iter().filter(|one| one.state == CrateState::Kept).map(|one| ItemId::Crate(one.id()));
    let kept_files = recorded.dist_files.iter().filter(|one| one.state == DistFileState::Kept);
    let kept = kept.chain(kept_files.map(|one| ItemId::DistFile(one.path.clone())));
    // Of the crates of other inputs, a bundle only states the names.
    let optional: BTreeSet<ItemId> = if is_own { kept.collect() } else { BTreeSet::new() };
    let known: BTreeMap<ItemId, Sha256> = items_with_digests(recorded).collect();
    let found: BTreeMap<ItemId, Sha256> = items_with_digests(stated).collect();
    let is_mutable = |item: &ItemId| item.dist_file_path().is_some_and(|path| MutableName::from_path(path).is_some());
    for (item, sha256) in &found {
        match known.get(item) {
            None => return Some(format!("{item}, which the other statement lacks")),
            Some(other) if other != sha256 && !is_mutable(item) && !optional.contains(item) => {
                return Some(format!("{item} with the SHA-256 {sha256} instead of {other}"));
            }
            Some(_) => {}
        }
    }
    let missing = known.keys().find(|item| !found.contains_key(*item) && !optional.contains(*item))?;
    Some(format!("a set of items without {missing}"))
}
