//! Protects the files of lost records. A rebuild keeps these files in the lineage `rebuilt`. If it is forgotten too early,
//! a collection removes files that the lost records still needed.

use std::collections::HashMap;

use jiff::Timestamp;

use super::error::Error;
use super::needed_files::{KeepSet, Lineages};
use super::plan::{KeptForLostRecords, Plan};
use crate::bundle::format::CrateState;
use crate::crate_id::{CrateId, CrateName, Version};
use crate::index_line::IndexLine;
use crate::mirror::disk;
use crate::mirror::index_meta::{self, REVOKED};
use crate::mirror::item::ItemId;
use crate::mirror::layout::Layout;
use crate::mirror::ledger::lost_records::{REBUILT_END, Unrestored};
use crate::mirror::ledger::{self, Reader};
use crate::mirror::lineages::REBUILT_LINEAGE;
use crate::mirror::retired;
use crate::safe_path::SafePath;
use crate::units::{agree, pluralize};

/// Whether one of the lineages to retire is [`REBUILT_LINEAGE`] with the id of its newest record.
pub(super) fn is_confirmed(retire: &[String]) -> bool {
    retire.iter().any(|word| word.split_once('@').is_some_and(|(lineage, _)| REBUILT_LINEAGE.starts_with(lineage)))
}

/// Adds everything that any record before the last loss names, while bundles of lost records are or may be missing. The rebuild
/// kept only what the newest records of that time did not name, and a later bundle may no longer need the rest. If manifest.json
/// was lost, nothing shows which records are, so this ends when the lineage `rebuilt` is forgotten (`is_forgotten`). A crate
/// whose index line is gone was garbage before. Returns what is kept for this reason alone; `None` if it is nothing.
pub(super) fn keep_for_lost_records(
    layout: &Layout,
    lineages: &Lineages,
    reader: &mut Reader,
    needed: &mut KeepSet,
    is_forgotten: bool,
) -> Result<Option<KeptForLostRecords>, Error> {
    let settled = retired::last_retirement(&lineages.retirements, REBUILT_LINEAGE);
    let lost = Unrestored::read(layout, settled, &lineages.retirements)?;
    if lost.is_empty() && (is_forgotten || !lost.is_incomplete) {
        return Ok(None);
    }
    let mut recorded = KeepSet::default();
    for name in &lineages.record_names {
        if ledger::record_number(name).is_some_and(|number| number <= lost.last_record) {
            Lineages::add_record(reader, name, &mut recorded)?;
        }
    }
    let mut kept: Vec<ItemId> = Vec::new();
    for file in recorded.files_beyond(needed) {
        let item = match CrateId::from_file_name(file) {
            Some(id) if !file.contains('/') => {
                let text = disk::read_text(&layout.index_file(&id.name))?.unwrap_or_default();
                IndexLine::find_version(&text, &id.name, &id.version).map(|_| ItemId::Crate(id))
            }
            _ => {
                let path = file.parse::<SafePath>().ok();
                path.filter(|path| path.below(layout.root()).symlink_metadata().is_ok()).map(ItemId::DistFile)
            }
        };
        kept.extend(item);
    }
    kept.iter().for_each(|item| needed.add_item(item));
    let bundles = lost.bundles.into_iter().collect();
    let has_lineage = lineages.by_id.contains_key(REBUILT_LINEAGE);
    Ok((!kept.is_empty()).then_some(KeptForLostRecords { files: kept.len() as u64, bundles, has_lineage }))
}

/// The files and index lines that `plan` removes, now or later.
fn removed_keys(plan: &Plan) -> KeepSet {
    let mut keys = KeepSet::default();
    for item in plan.removals.iter().map(|item| &item.id).chain(plan.pending.iter().map(|one| &one.item.id)) {
        keys.add_file(&item.key());
    }
    for line in &plan.lines {
        if let Ok(name) = line.name.parse::<CrateName>() {
            keys.add_file(&format!("{name}-{}.crate", line.version));
        }
    }
    keys
}

/// Whether a bundle on record explains the last import of every line that `plan` removes: the record of a line states when
/// its last bundle read it. A lost record that needed one of these lines would have left a later time. Dist files and lines
/// without a time leave no such trace.
fn are_lines_explained(layout: &Layout, lineages: &Lineages, plan: &Plan) -> Result<bool, Error> {
    if plan.dist_files().next().is_some() || plan.pending_dist_files().next().is_some() {
        return Ok(false);
    }
    let mut read_at: HashMap<(String, Version), Timestamp> = HashMap::new();
    for line in &plan.lines {
        let (Ok(name), Ok(version)) = (line.name.parse::<CrateName>(), line.version.parse::<Version>()) else {
            return Ok(false);
        };
        let text = disk::read_text(&layout.index_meta_file(&name))?.unwrap_or_default();
        let records = index_meta::parse(&text).into_iter().filter(|record| record.version == version);
        match records.map(|record| record.read_at).max().filter(|last| *last > REVOKED) {
            Some(last) => drop(read_at.insert((name.index_path(), version), last)),
            None => return Ok(false),
        }
    }
    let mut reader = Reader::new(layout);
    let of_bundles = |name: &&String| ledger::bundle_of_record(name).is_some_and(|id| !id.ends_with(REBUILT_END));
    for name in lineages.record_names.iter().rev().filter(of_bundles) {
        if read_at.is_empty() {
            break;
        }
        let Some(record) = reader.read(name)? else { return Ok(false) };
        for one in record.manifest.crates.iter().filter(|one| one.state != CrateState::Kept) {
            let key = (one.name.index_path(), one.version.clone());
            let Some(last) = read_at.get(&key) else { continue };
            let stated = record.manifest.line_read_at(one).parse::<Timestamp>();
            if stated.is_ok_and(|stated| stated >= *last) {
                read_at.remove(&key);
            }
        }
    }
    Ok(read_at.is_empty())
}

/// Why a run must not forget [`REBUILT_LINEAGE`] without a confirmation. That ends the protection of everything that lost
/// bundles may need. If nothing shows which records are lost, no import ends it, so it needs a confirmation also if this run
/// removes nothing. Otherwise `None` if the bundles of all lost records are imported again, or if the run removes nothing, or
/// only what bundles on record explain, or not most crates.
pub(super) fn refuse(layout: &Layout, lineages: &Lineages, plan: &Plan) -> Result<Option<Error>, Error> {
    let Some(rebuilt) = lineages.by_id.get(REBUILT_LINEAGE) else { return Ok(None) };
    // A confirmed run settled the losses before it.
    let settled = retired::last_retirement(&lineages.retirements, REBUILT_LINEAGE);
    let lost = Unrestored::read(layout, settled, &lineages.retirements)?;
    let removes_nothing =
        plan.lines.is_empty() && plan.dist_files().next().is_none() && plan.pending_dist_files().next().is_none();
    let lines = plan.lines.len() as u64;
    let removed = plan.crates().count() as u64;
    let crates = plan.counts.versions.saturating_add(removed);
    let number = ledger::record_number(&rebuilt.newest.record).unwrap_or(0);
    let has_later_import = lineages.newest_record > number;
    let reason = if let Some(first) = lost.bundles.first() {
        let more =
            if lost.bundles.len() == 1 { String::new() } else { format!(" and {} more", lost.bundles.len() - 1) };
        format!("the bundle with the id {first}{more}, whose record is lost, was not imported again")
    } else if lost.unnamed > 0 {
        format!(
            "{} {} lost, and nothing shows whether {} imported again",
            pluralize(lost.unnamed, "other record"),
            agree(lost.unnamed, "is", "are"),
            agree(lost.unnamed, "its bundle was", "their bundles were")
        )
    } else if !lost.is_incomplete
        && (removes_nothing || lost.is_all_restored() || are_lines_explained(layout, lineages, plan)?)
    {
        return Ok(None);
    } else if !has_later_import {
        "manifest.json was lost, so newer records may be lost too, and no import since the rebuild restored one"
            .to_owned()
    } else if lost.is_incomplete {
        match lineages.find_unnamed(layout, removed_keys(plan))? {
            Some((first, count)) => {
                let more = if count == 1 { String::new() } else { format!(" and {} more", count - 1) };
                format!("manifest.json was lost, and no bundle on record names {first}{more}, which it would remove")
            }
            None if removes_nothing => {
                "manifest.json was lost, and a lost record may need what a later run would remove".to_owned()
            }
            None => "manifest.json was lost, and a lost record may need what it would remove".to_owned(),
        }
    } else if lines.saturating_mul(2) > crates {
        format!("it would remove {lines} of {}", pluralize(crates, "crate"))
    } else {
        return Ok(None);
    };
    Ok(Some(Error::RebuiltNeeded { reason, bundle: rebuilt.newest.bundle.clone() }))
}

/// The lineages to retire.
pub(super) struct RetireTerms {
    /// The terms for [`REBUILT_LINEAGE`], if no rebuild has written it yet. Until then, the files are kept for lost records
    /// without a lineage.
    pub(super) missing: Vec<String>,
    /// All other terms.
    pub(super) others: Vec<String>,
}

/// Splits the terms of a run that forgets [`REBUILT_LINEAGE`] before a rebuild has written it.
pub(super) fn split_off_missing(lineages: &Lineages, retire: &[String]) -> RetireTerms {
    let has_lineage = lineages.by_id.contains_key(REBUILT_LINEAGE);
    let is_missing = |word: &&String| !has_lineage && word.split('@').next() == Some(REBUILT_LINEAGE);
    let (missing, others) = retire.iter().partition::<Vec<&String>, _>(is_missing);
    RetireTerms { missing: missing.into_iter().cloned().collect(), others: others.into_iter().cloned().collect() }
}
