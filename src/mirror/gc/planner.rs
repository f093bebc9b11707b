//! Makes the plan of a collection from the ledger, names and sizes.

use std::collections::BTreeMap;

use super::dropped_snapshots::find_dropped_records;
use super::error::Error;
use super::forget_rebuilt;
use super::lineage_terms::{lineages_to_accept, lineages_to_retire};
use super::live_records::{LIVE_LINEAGE, LiveChanges};
use super::needed_files::{KeepSet, LineageState, Lineages};
use super::options::Options;
use super::plan::{FileChanges, LineagePlan, Plan};
use super::reject::{Rejection, bundles_to_reject};
use super::revocation::Revocation;
use super::scan::MirrorScan;
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, Reader};
use crate::mirror::lineages::{LineageTip, REBUILT_LINEAGE};
use crate::mirror::pending_deletions::PendingDeletions;
use crate::mirror::retired::Retirement;
use crate::mirror::summary::{LiveTotals, MirrorSummary};
use crate::mirror::transaction::counts_are_stale;

pub(super) fn make_plan(layout: &Layout, options: &Options) -> Result<Plan, Error> {
    let (mut ledger_lineages, stored_summary) = Lineages::read_complete(layout)?;
    let live_id = ledger_lineages.live.id.clone();
    let live_id = live_id.as_deref();
    let mut rejection = Rejection::resolve(layout, &ledger_lineages, live_id, &options.reject)?;
    if !rejection.records.is_empty() {
        let notes = ledger_lineages.retirements.iter().cloned().chain(rejection.notes(ledger_lineages.newest_record));
        ledger_lineages = Lineages::read_with(layout, notes.collect())?;
    }
    let mut live = LiveChanges::none(std::mem::take(&mut ledger_lineages.live));
    let terms = forget_rebuilt::split_off_missing(&ledger_lineages, &options.retire);
    let retire = lineages_to_retire(&ledger_lineages, live_id, &terms.others)?;
    let accept = lineages_to_accept(layout, &ledger_lineages, live_id, &options.accept)?;
    let (mut current, mut let_go) = (KeepSet::default(), KeepSet::default());
    let mut lineages = Vec::new();
    let mut reader = Reader::new(layout);
    for (id, feed) in &mut ledger_lineages.by_id {
        let (doubts, candidates) = (feed.warnings(), feed.candidates());
        let forgotten = retire.contains(id);
        let confirmed = accept.get(id).filter(|_| !forgotten);
        let accepted = confirmed.is_some() && !doubts.is_empty();
        let nothing_to_accept = confirmed.is_some() && doubts.is_empty();
        let (notes, newest_record) = (&ledger_lineages.retirements, ledger_lineages.newest_record);
        let unconnected = match confirmed.filter(|_| accepted) {
            _ if doubts.is_empty() || forgotten => Vec::new(),
            Some(confirmed) => {
                rejection.add_unconnected(layout, notes, newest_record, feed, confirmed)?;
                feed.accept_newest();
                Vec::new()
            }
            None => bundles_to_reject(layout, notes, feed)?,
        };
        // The plan counts what a retired lineage names, but does not keep it.
        let keys = if forgotten { &mut let_go } else { &mut current };
        let [crates, artifacts] = Lineages::add_referenced(&mut reader, feed, keys)?;
        let LineageState { newest: head, file, imported_at: imported, .. } = feed;
        let (newest, file, imported) = (head.clone(), file.clone(), imported.clone());
        lineages.push(LineagePlan {
            newest,
            file,
            imported_at: imported,
            crates,
            dist_files: artifacts,
            retired: forgotten,
            warnings: doubts,
            candidates,
            unconnected,
            accepted,
            nothing_to_accept,
        });
    }

    // Notes that this run writes count in the rest of the plan.
    let notes =
        rejection.notes(ledger_lineages.newest_record).filter(|note| !ledger_lineages.retirements.contains(note));
    let notes: Vec<Retirement> = notes.collect();
    ledger_lineages.retirements.extend(notes);
    let is_forgotten = retire.contains(REBUILT_LINEAGE);
    let kept_for_lost_records = match is_forgotten && forget_rebuilt::is_confirmed(&options.retire) {
        true => None,
        false => {
            let (lineages, reader) = (&ledger_lineages, &mut reader);
            forget_rebuilt::keep_for_lost_records(layout, lineages, reader, &mut current, is_forgotten)?
        }
    };

    if !terms.missing.is_empty() {
        // Without a lineage and without files for lost records, the terms name nothing.
        if kept_for_lost_records.is_some() {
            return Err(Error::NotRebuilt);
        }
        lineages_to_retire(&ledger_lineages, live_id, &terms.missing)?;
    }
    let live_summary = live.plan_retirement(options.retire.iter().any(|word| word == LIVE_LINEAGE));
    live.lineage.current().for_each(|record| current.add_item(&record.item));

    let mut revocation = Revocation::find(layout, &ledger_lineages, &live.lineage, &mut current)?;
    let scan = MirrorScan::scan(layout, &mut current)?;
    let before = PendingDeletions::read(layout)?;
    let mut unknown = scan.unreferenced();
    live.lineage.retired().for_each(|record| unknown.remove_item(&record.item));
    let mut unrecognized = ledger_lineages.unrecognized(layout, unknown)?;
    let mut deletions = scan.classify(&mut unrecognized, &before, &revocation, options)?;
    let strays = ledger::stray_names(layout)?;
    deletions.unrecognized.extend(strays.iter().map(|name| format!(".frostmirror/ledger/{name}")));

    let snapshots = std::mem::take(&mut revocation.snapshots);
    let dropped = find_dropped_records(layout, &ledger_lineages, snapshots, &current, &deletions.now)?;
    let (newest_record, last_import) = match dropped.is_empty() {
        true => (ledger_lineages.newest.clone(), ledger_lineages.last_import.clone()),
        false => (dropped.newest.clone(), dropped.last_import.clone()),
    };

    let kept = ledger_lineages.by_id.values().filter(|feed| !retire.contains(&feed.newest.id));
    let contested: Vec<LineageTip> = kept.clone().flat_map(|feed| feed.contenders.iter().cloned()).collect();
    let mut sizes = BTreeMap::new();
    for record in kept.clone().flat_map(LineageState::records) {
        let known = stored_summary.as_ref().and_then(|head| head.history_sizes.get(record)).copied();
        let size = known.map_or_else(|| ledger::read_history_size(layout, record), |known| Ok(Some(known)))?;
        sizes.extend(size.map(|size| (record.to_owned(), size)));
    }
    let head = MirrorSummary {
        live: LiveTotals::sum(live.lineage.current()),
        history_sizes: sizes,
        contested,
        import_again: revocation.to_import.clone(),
        last_import,
        toolchains: deletions.toolchains,
        imports: (ledger_lineages.record_names.len() - dropped.records.len()) as u64,
        newest_record,
        lineages: kept.map(|feed| feed.newest.clone()).collect(),
        ..MirrorSummary::default()
    }
    .with_counts(deletions.counts);
    let has_head = stored_summary.is_some();
    let known = stored_summary.filter(|_| !counts_are_stale(layout));
    // A mirror without any import needs no summary.
    let is_right = known.is_some_and(|known| MirrorSummary { tool: head.tool.clone(), ..known } == head);
    // A mirror that only live mode fills needs one too.
    let wants_head = !ledger_lineages.record_names.is_empty() || has_head || live_summary.is_some();
    live.drop_deleted(layout, &deletions.now);
    let work = FileChanges {
        live,
        index_lines: deletions.index_lines,
        index_meta: deletions.index_meta,
        folders: deletions.folders,
        dist_folders: deletions.dist_folders,
        dist_files: deletions.dist_files,
        retire: lineages.iter().filter(|one| one.retired).map(|one| one.newest.clone()).collect(),
        accept: lineages.iter().filter(|one| one.accepted).map(|one| one.newest.clone()).collect(),
        reject: rejection.records,
        dropped,
        newest_record: ledger_lineages.newest_record,
        pending: (deletions.pending != before).then_some(deletions.pending),
        pending_lines: revocation.pending_lines,
        summary: (!is_right && wants_head).then_some(head),
        now: options.now,
    };
    let mut plan = Plan {
        lineages,
        rejected: rejection.bundles,
        live: live_summary,
        lines: deletions.lines,
        removals: deletions.now,
        pending: deletions.later,
        unrecognized: deletions.unrecognized,
        reset_lines: revocation.lines,
        to_import: revocation.to_import,
        unavailable: revocation.unavailable,
        kept_for_lost_records,
        counts: deletions.counts,
        refusal: None,
        changes: work,
    };
    if retire.contains(REBUILT_LINEAGE) && !forget_rebuilt::is_confirmed(&options.retire) {
        plan.refusal = forget_rebuilt::refuse(layout, &ledger_lineages, &plan)?;
    }
    Ok(plan)
}
