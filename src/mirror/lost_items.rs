//! Finds items that the mirror had, that a lineage needs, and that are no longer stored.
//!
//! A lineage needs all items that its newest bundles name, see [`super::gc`], and so does live mode. A bundle also names
//! the items of its history's other inputs. Earlier bundles had these, and the import of this one does not require them. So
//! such an item counts as lost only if a record of the same lineage shows that the mirror had it. Otherwise it was never
//! imported: a mirror need not get every bundle of a history. It does not matter whether that record still counts, because a
//! false bundle may have been accepted in between.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::dist_files::{DistFiles, MutableName};
use super::item::ItemId;
use super::layout::Layout;
use super::ledger::{self, Reader};
use super::lineages::{LineageTip, REBUILT_LINEAGE, describe_bundle};
use super::live::LiveLineage;
use super::retired;
use super::transaction::Error;
use crate::bundle::format::{BundleKind, CrateState, DistFileRecord, DistFileState, Manifest};
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::safe_path::SafePath;

/// A lost item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LostItem {
    /// The item.
    pub(super) item: ItemId,
    /// The digest that its file must have.
    pub(super) sha256: Sha256,
    /// What needs it, for users.
    pub(super) needed_by: String,
}

/// Needed items that are not stored.
#[derive(Debug, Default)]
pub(super) struct MissingItems {
    /// Items that the mirror had, sorted.
    pub(super) lost: Vec<LostItem>,
    /// Items that no imported bundle of the lineage had, sorted.
    pub(super) never_imported: Vec<ItemId>,
}

/// An item that is not stored and that a needed record names for another input.
struct Candidate {
    lost: LostItem,
    lineage: String,
}

/// Finds the missing items. `needed` are the records that state what the lineages need. `is_listed` says whether the index
/// has a line of a crate. `recorded` are the recorded dist files; without them, no dist file counts as lost.
///
/// # Errors
/// A file system operation failed.
pub(super) fn find_missing_items<'n>(
    layout: &Layout,
    needed: impl IntoIterator<Item = &'n str>,
    is_listed: &dyn Fn(&CrateId) -> Result<bool, Error>,
    recorded: Option<&DistFiles>,
) -> Result<MissingItems, Error> {
    let mut lost: BTreeMap<ItemId, LostItem> = BTreeMap::new();
    let mut candidates: HashMap<ItemId, Vec<Candidate>> = HashMap::new();
    let mut reader = Reader::new(layout);
    for name in needed {
        let Some(record) = reader.read(name)? else { continue };
        let manifest = &record.manifest;
        let needed_by = match manifest.lineage.id.as_str() {
            REBUILT_LINEAGE => format!("the ledger's {name}"),
            _ => describe_bundle(&LineageTip::from_manifest(manifest, name.to_owned()), &record.file),
        };
        let mut add = |item: ItemId, sha256: Sha256, is_of_other_input: bool| {
            let one = LostItem { item: item.clone(), sha256, needed_by: needed_by.clone() };
            match is_of_other_input {
                true => {
                    let candidate = Candidate { lost: one, lineage: manifest.lineage.id.clone() };
                    candidates.entry(item).or_default().push(candidate);
                }
                false => drop(lost.entry(item).or_insert(one)),
            }
        };
        for one in &manifest.crates {
            let id = one.id();
            if !is_listed(&id)? {
                add(ItemId::Crate(id), one.sha256, one.state == CrateState::Kept);
            }
        }
        for one in recorded.iter().flat_map(|recorded| missing_dist_files(manifest, recorded)) {
            add(ItemId::DistFile(one.path.clone()), one.sha256, one.state == DistFileState::Kept);
        }
    }
    // The dist files of live mode are compared with their records elsewhere.
    for record in LiveLineage::read(layout)?.current() {
        if let Some(id) = record.item.crate_id()
            && !is_listed(id)?
        {
            let item = ItemId::Crate(id.clone());
            let one = LostItem { item: item.clone(), sha256: record.sha256, needed_by: "live mode".to_owned() };
            lost.entry(item).or_insert(one);
        }
    }
    candidates.retain(|item, _| !lost.contains_key(item));
    move_lost_candidates(layout, &mut candidates, &mut lost)?;
    let never_imported: BTreeSet<ItemId> = candidates.into_keys().collect();
    let never_imported = never_imported.into_iter().collect();
    Ok(MissingItems { lost: lost.into_values().collect(), never_imported })
}

/// Moves the candidates to `lost` that the mirror had.
fn move_lost_candidates(
    layout: &Layout,
    candidates: &mut HashMap<ItemId, Vec<Candidate>>,
    lost: &mut BTreeMap<ItemId, LostItem>,
) -> Result<(), Error> {
    let mut reader = Reader::new(layout);
    for name in ledger::record_names(layout)?.into_iter().rev() {
        if candidates.is_empty() {
            break;
        }
        let Some(record) = reader.read(&name)? else { continue };
        let lineage = record.manifest.lineage.id.as_str();
        for item in items_in(&record.manifest) {
            let Some(named) = candidates.get_mut(&item) else { continue };
            if let Some(found) = named.iter().position(|candidate| candidate.lineage == lineage) {
                lost.insert(item.clone(), named.swap_remove(found).lost);
                candidates.remove(&item);
            }
        }
    }
    Ok(())
}

/// The items that a bundle shipped, relied on or listed: the mirror had them after its import.
fn items_in(manifest: &Manifest) -> impl Iterator<Item = ItemId> {
    let crates = manifest.crates.iter().filter(|record| record.state != CrateState::Kept);
    let dist_files = manifest.dist_files.iter().filter(|record| record.state != DistFileState::Kept);
    crates
        .map(|record| ItemId::Crate(record.id()))
        .chain(dist_files.map(|record| ItemId::DistFile(record.path.clone())))
}

/// The dist files that the bundle names and that are not recorded. Files that moved on with their name are not missing.
fn missing_dist_files<'m>(manifest: &'m Manifest, recorded: &'m DistFiles) -> impl Iterator<Item = &'m DistFileRecord> {
    manifest.dist_files.iter().filter(move |record| {
        if recorded.0.contains_key(&record.path) {
            return false;
        }
        match MutableName::from_path(&record.path) {
            None => true,
            // The import stores only those that rustup can use.
            Some(_) if manifest.is_legacy() => false,
            Some(MutableName::RustupRelease) => true,
            Some(MutableName::Channel(path)) => match record.path.as_str().strip_prefix(path.as_str()) {
                Some("") => true,
                // A signature is removed when its channel moves on without one.
                Some(".asc") => false,
                _ => is_channel_recorded(manifest, recorded, &path),
            },
        }
    })
}

/// Whether the mirror has the bundle's content of a channel manifest.
fn is_channel_recorded(manifest: &Manifest, recorded: &DistFiles, path: &str) -> bool {
    let Ok(path) = path.parse::<SafePath>() else { return false };
    let at = manifest.dist_files.binary_search_by(|record| record.path.cmp(&path)).ok();
    let named = at.and_then(|at| manifest.dist_files.get(at)).map(|record| record.sha256);
    named.is_some() && recorded.0.get(&path).map(|stored| stored.sha256) == named
}

/// A bundle on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// Its number in its lineage; `None` for a snapshot.
    pub sequence: Option<u64>,
    /// Its id.
    pub bundle: String,
    /// The name of its file.
    pub file: String,
}

/// The bundles on record that contain these items, the newest first, and the number of items that none contains. Of several
/// bundles with one item, the newest counts. Rejected bundles do not count.
///
/// # Errors
/// A file system operation failed.
pub fn find_carriers(layout: &Layout, items: &BTreeMap<ItemId, Sha256>) -> Result<(Vec<Carrier>, usize), Error> {
    let notes = retired::read_retirements(layout)?;
    let mut remaining: BTreeSet<&ItemId> = items.keys().collect();
    let mut carriers = Vec::new();
    let mut reader = Reader::new(layout);
    for name in ledger::record_names(layout)?.into_iter().rev() {
        if remaining.is_empty() {
            break;
        }
        let Some(record) = reader.read(&name)? else { continue };
        let manifest = &record.manifest;
        let number = ledger::record_number(&name).unwrap_or(0);
        let is_rejected = retired::is_rejected(&notes, number, &manifest.lineage.id);
        // The snapshot itself is on record too.
        if is_rejected || manifest.lineage.id == REBUILT_LINEAGE || record.snapshot_id.is_some() {
            continue;
        }
        let crates = manifest.crates.iter().filter(|one| one.state == CrateState::Shipped);
        let crates = crates.map(|one| (ItemId::Crate(one.id()), one.sha256));
        let dist_files = manifest.dist_files_in(DistFileState::Shipped);
        let shipped = crates.chain(dist_files.map(|one| (ItemId::DistFile(one.path.clone()), one.sha256)));
        let before = remaining.len();
        for (item, sha256) in shipped {
            if items.get(&item) == Some(&sha256) {
                remaining.remove(&item);
            }
        }
        if remaining.len() < before {
            let sequence = (manifest.kind != BundleKind::Snapshot).then_some(manifest.lineage.sequence);
            carriers.push(Carrier { sequence, bundle: manifest.id.clone(), file: record.file });
        }
    }
    Ok((carriers, remaining.len()))
}
