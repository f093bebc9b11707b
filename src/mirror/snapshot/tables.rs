//! The tables of a snapshot: stored items, and items that a history names and that are not stored.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::histories::LedgerContents;
use crate::bundle::format::{CrateRecord, CrateState, DistFileRecord, DistFileState};
use crate::crate_id::{CrateId, CrateName};
use crate::mirror::inventory::Inventory;
use crate::mirror::item::ItemId;
use crate::safe_path::SafePath;
use crate::units::format_time;

/// Both tables, each sorted by the items' ids.
pub(super) struct Tables {
    pub(super) crates: Vec<CrateRecord>,
    pub(super) dist_files: Vec<DistFileRecord>,
}

impl Tables {
    pub(super) fn new(inventory: &Inventory, ledger: &LedgerContents, index_read: Timestamp) -> Tables {
        Tables {
            crates: crate_table(inventory, ledger, index_read),
            dist_files: dist_file_table(inventory, ledger, index_read),
        }
    }

    /// Translates items into their positions in the two tables.
    pub(super) fn positions(&self) -> impl Fn(&BTreeSet<ItemId>) -> [Vec<u32>; 2] + use<> {
        let crates = self.crates.iter().map(|record| ItemId::Crate(record.id())).zip(0u32..);
        let files = self.dist_files.iter().map(|record| ItemId::DistFile(record.path.clone())).zip(0u32..);
        let positions: HashMap<ItemId, u32> = crates.chain(files).collect();
        move |items| {
            // All crates are before all dist files.
            let (crates, files): (Vec<&ItemId>, Vec<&ItemId>) =
                items.iter().partition(|item| item.crate_id().is_some());
            [crates, files].map(|items| items.into_iter().filter_map(|item| positions.get(item).copied()).collect())
        }
    }
}

fn crate_table(inventory: &Inventory, ledger: &LedgerContents, index_read: Timestamp) -> Vec<CrateRecord> {
    let mut table: BTreeMap<&CrateId, CrateRecord> = BTreeMap::new();
    for one in &inventory.crates {
        let known = ledger.crates.get(&one.id);
        let size = one.size.or(known.map(|known| known.size)).unwrap_or(0);
        let state = if one.size.is_some() { CrateState::Shipped } else { CrateState::IndexOnly };
        let record = CrateRecord {
            yanked: one.yanked,
            read_at: (one.read_at != index_read).then(|| format_time(one.read_at)),
            description: known.and_then(|known| known.description.clone()),
            license: known.and_then(|known| known.license.clone()),
            repository: known.and_then(|known| known.repository.clone()),
            ..CrateRecord::new(one.id.clone(), one.cksum, size, state)
        };
        table.insert(&one.id, record);
    }
    // A name that differs only in case from a stored one cannot be in the same table.
    let folded = |text: &str| text.to_lowercase();
    let mut spelled: HashMap<String, CrateName> =
        table.keys().map(|id| (folded(id.name.as_str()), id.name.clone())).collect();
    let mut taken: HashSet<String> = table.keys().map(|id| folded(&id.file_name())).collect();
    for id in ledger.items().filter_map(ItemId::crate_id) {
        if let (false, Some(known)) = (table.contains_key(id), ledger.crates.get(id))
            && *spelled.entry(folded(id.name.as_str())).or_insert_with(|| id.name.clone()) == id.name
            && taken.insert(folded(&id.file_name()))
        {
            table.insert(id, CrateRecord { state: CrateState::Kept, read_at: None, ..known.clone() });
        }
    }
    table.into_values().collect()
}

fn dist_file_table(inventory: &Inventory, ledger: &LedgerContents, index_read: Timestamp) -> Vec<DistFileRecord> {
    let recorded = &inventory.dist_files.0;
    let mut table: BTreeMap<&SafePath, DistFileRecord> = BTreeMap::new();
    for (path, row) in recorded {
        let read_at = (row.read_at != index_read).then(|| format_time(row.read_at.max(Timestamp::UNIX_EPOCH)));
        let state = DistFileState::Shipped;
        let record = DistFileRecord { path: path.clone(), sha256: row.sha256, size: row.size, state, read_at };
        table.insert(path, record);
    }
    // Files that are not stored must not collide with another path of the table.
    let mut taken: BTreeSet<String> = table.keys().map(|path| path.case_folded()).collect();
    for path in ledger.items().filter_map(ItemId::dist_file_path).filter(|path| !recorded.contains_key(*path)) {
        let Some(record) = ledger.dist_files.get(path) else { continue };
        let folded = path.case_folded();
        let above = folded.match_indices('/').any(|(at, _)| taken.contains(&folded[..at]));
        let inside = format!("{folded}/");
        let below = taken.range(inside.clone()..).next().is_some_and(|next| next.starts_with(&inside));
        if !above && !below && taken.insert(folded) {
            table.insert(path, DistFileRecord { state: DistFileState::Kept, read_at: None, ..record.clone() });
        }
    }
    table.into_values().collect()
}
