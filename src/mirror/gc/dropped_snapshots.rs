//! Finds the rejected snapshots whose records a collection removes, because nothing of them is left.
//!
//! A snapshot of some kilobytes can name a thousand histories, each of which has a record and a note of its rejection. Once
//! no stored file is known from the snapshot alone, these say nothing more than that the snapshot was rejected. One note says
//! this with the numbers of the records. While a file waits for its removal, its record shows that a bundle brought it.

use std::collections::HashSet;

use super::candidates::RejectedSnapshot;
use super::dropped_records::{DroppedRange, DroppedRecords};
use super::error::Error;
use super::needed_files::{KeepSet, Lineages};
use crate::mirror::item::{ItemId, StoredItem};
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, RecordRef};
use crate::mirror::lineages::REBUILT_LINEAGE;
use crate::mirror::retired;

/// Finds the records of `snapshots` that no longer explain anything. `needed` is what stays, and `removed` what this run
/// removes.
pub(super) fn find_dropped_records(
    layout: &Layout,
    lineages: &Lineages,
    snapshots: Vec<RejectedSnapshot>,
    needed: &KeepSet,
    removed: &[StoredItem],
) -> Result<DroppedRecords, Error> {
    let removed: HashSet<&ItemId> = removed.iter().map(|item| &item.id).collect();
    let is_left = |item: &ItemId| {
        !needed.has_file(&item.key()) && !removed.contains(item) && item.file(layout).symlink_metadata().is_ok()
    };
    let settled: Vec<RejectedSnapshot> =
        snapshots.into_iter().filter(|snapshot| !snapshot.items.iter().any(is_left)).collect();
    let mut dropped = DroppedRecords::default();
    if settled.is_empty() {
        return Ok(dropped);
    }
    let mut headers = Vec::new();
    for name in &lineages.record_names {
        let Some((header, sha256)) = ledger::read_checked_header(layout, name)? else {
            return Ok(DroppedRecords::default());
        };
        let number = ledger::record_number(name).unwrap_or(0);
        let is_rejected = retired::is_rejected(&lineages.retirements, number, &header.bundle.lineage.id);
        headers.push((name, number, header, sha256, is_rejected));
    }
    for RejectedSnapshot { id, file, number: own, .. } in settled {
        // Records of histories follow each other, and their snapshot's own record follows them. Another import of the
        // snapshot that is not rejected needs its own record only.
        let mut first = own;
        for (name, number, header, _, is_rejected) in headers.iter().rev() {
            let is_history = header.snapshot_id.as_deref() == Some(id.as_str()) && *is_rejected;
            if *number == own || *number + 1 == first && is_history {
                first = *number;
                dropped.records.insert((*name).clone());
            }
        }
        dropped.ranges.push(DroppedRange { snapshot: id, file, first, last: own });
    }
    // A history whose snapshot has no own record would be damaged.
    let names_left = || headers.iter().filter(|(name, ..)| !dropped.records.contains(*name));
    let has_own =
        |id: &str| names_left().any(|(_, _, header, ..)| header.bundle.id == id && header.snapshot_id.is_none());
    if names_left().any(|(_, _, header, ..)| header.snapshot_id.as_deref().is_some_and(|id| !has_own(id))) {
        return Ok(DroppedRecords::default());
    }
    let (mut newest, mut last_import) = (None, None);
    for (name, _, header, sha256, _) in names_left() {
        newest = Some(RecordRef { record: (*name).clone(), sha256: *sha256 });
        if header.bundle.lineage.id != REBUILT_LINEAGE {
            last_import = Some(header.imported_at.clone());
        }
    }
    (dropped.newest, dropped.last_import) = (newest, last_import);
    Ok(dropped)
}
