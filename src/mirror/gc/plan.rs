//! Makes the plan of a collection from the ledger, names and sizes.

use std::collections::{BTreeMap, BTreeSet};

use super::dir_scan::CrateFile;
use super::dist_scan::DistScan;
use super::grace_period::partition_by_grace;
use super::lineages::{KeepSet, LineageState, Lineages};
use super::live_records::{LIVE_LINEAGE, LiveChanges};
use super::pending_deletions::PendingDeletions;
use super::scan::MirrorScan;
use super::{Error, FileChanges, LineagePlan, Options, Plan};
use crate::id_prefix::{MIN_ID_PREFIX, matches_id};
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, Reader};
use crate::mirror::lineages::LineageTip;
use crate::mirror::live;
use crate::mirror::summary::{Counts, MirrorSummary};
use crate::mirror::transaction::counts_are_stale;
use crate::safe_path::SafePath;

pub(super) fn make_plan(layout: &Layout, options: &Options) -> Result<Plan, Error> {
    let (mut ledger_lineages, stored_summary) = Lineages::read_complete(layout)?;
    let mut live = LiveChanges::none(std::mem::take(&mut ledger_lineages.live));
    // The id stays after all files of live mode are retired and deleted.
    let has_live = live.lineage.id.is_some();
    let retire = lineages_to_retire(&ledger_lineages, &options.retire, has_live)?;
    let accept = accepted(&ledger_lineages, &options.accept)?;
    let (mut current, mut let_go) = (KeepSet::default(), KeepSet::default());
    let mut lineages = Vec::new();
    let mut reader = Reader::new(layout);
    for (id, feed) in &mut ledger_lineages.by_id {
        let doubts = feed.warnings();
        let accepted = accept.contains(id) && !doubts.is_empty() && !retire.contains(id);
        if accepted {
            feed.accept_newest();
        }
        let forgotten = retire.contains(id);
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
            accepted,
        });
    }

    let live_summary = live.plan_retirement(options.retire.iter().any(|word| word == LIVE_LINEAGE));
    live.lineage.current().for_each(|record| current.add_item(&record.item));

    let mut scan = MirrorScan::scan(layout, &mut current)?;
    let before = PendingDeletions::read(layout)?;
    let mut unknown = KeepSet::default();
    for page in &scan.entries {
        page.unreferenced.iter().for_each(|version| unknown.add_line(&page.path, version));
    }
    for file in &scan.unreferenced {
        unknown.add_file(&file.name);
    }
    let mut dist_scan = DistScan::scan(layout, &current)?;
    dist_scan.unreferenced.iter().for_each(|path| unknown.add_file(path.as_str()));
    live.lineage.retired().for_each(|record| unknown.remove_item(&record.item));
    let mut unrecognized_keys = ledger_lineages.unrecognized(layout, unknown)?;
    let sorted = scan.classify(&mut unrecognized_keys);
    let (crates, mut pending, mut after) =
        partition_by_grace(&scan.unreferenced, &unrecognized_keys, &sorted, &before, options);
    let unrecognized_dist_files =
        dist_scan.unreferenced.iter().map(SafePath::to_string).filter(|path| unrecognized_keys.has_file(path));
    let strange_artifacts: Vec<String> =
        unrecognized_dist_files.chain(std::mem::take(&mut dist_scan.unrecognized)).collect();
    let mut artifacts = dist_scan.classify(&unrecognized_keys, options, &before, &mut after)?;

    let (artifact_files, artifact_bytes) = artifacts.after.count_and_bytes();
    let counts = Counts {
        dist_files: artifact_files,
        dist_file_bytes: artifact_bytes,
        crates: scan.names - sorted.index_files_removed,
        versions: scan.versions - crates.len() as u64,
        bytes: scan.bytes - crates.iter().map(|item| item.size).sum::<u64>(),
    };
    // Crates that no line and no record names are not part of the mirror.
    let is_unknown = |file: &&CrateFile| {
        unrecognized_keys.has_file(&file.name)
            && !sorted.with_unrecognized_line.contains(&file.name.to_lowercase())
            && !after.0.contains_key(&file.name)
    };
    let unknown: Vec<u64> = scan.unreferenced.iter().filter(is_unknown).map(|file| file.size).collect();
    let counts = Counts {
        versions: counts.versions - unknown.len() as u64,
        bytes: counts.bytes - unknown.iter().sum::<u64>(),
        ..counts
    };
    let mut unrecognized = sorted.unrecognized;
    unrecognized.append(&mut scan.unrecognized);
    let unrecognized_crates = scan.unreferenced.iter().filter(|file| unrecognized_keys.has_file(&file.name));
    unrecognized.extend(unrecognized_crates.map(|file| format!("crates/{}", file.name)));
    unrecognized.extend(strange_artifacts);
    let [index_tree, lines_tree] = scan.trees;
    let kept = ledger_lineages.by_id.values().filter(|feed| !retire.contains(&feed.newest.id));
    let contested: Vec<LineageTip> = kept.clone().flat_map(|feed| feed.contenders.iter().cloned()).collect();
    let mut sizes = BTreeMap::new();
    for record in kept.clone().flat_map(LineageState::records) {
        let known = stored_summary.as_ref().and_then(|head| head.history_sizes.get(record)).copied();
        let size = known.map_or_else(|| ledger::read_history_size(layout, record), |known| Ok(Some(known)))?;
        sizes.extend(size.map(|size| (record.to_owned(), size)));
    }
    let head = MirrorSummary {
        live: live::sum_totals(live.lineage.current()),
        history_sizes: sizes,
        contested,
        last_import: ledger_lineages.last_import.clone(),
        toolchains: artifacts.after.toolchain_names(),
        imports: ledger_lineages.record_names.len() as u64,
        newest_record: ledger_lineages.newest.clone(),
        lineages: kept.map(|feed| feed.newest.clone()).collect(),
        ..MirrorSummary::default()
    }
    .with_counts(counts);
    let has_head = stored_summary.is_some();
    let known = stored_summary.filter(|_| !counts_are_stale(layout));
    // A mirror without any import needs no summary.
    let is_right = known.is_some_and(|known| MirrorSummary { tool: head.tool.clone(), ..known } == head);
    // A mirror that only live mode fills needs one too.
    let wants_head = !ledger_lineages.record_names.is_empty() || has_head || live_summary.is_some();
    pending.append(&mut artifacts.pending);
    let removals = [artifacts.mutable_files, crates, artifacts.components].concat();
    live.drop_deleted(layout, &removals);
    let work = FileChanges {
        live,
        index_lines: sorted.index_lines,
        index_meta: sorted.index_meta,
        folders: index_tree.empty_folders().into_iter().chain(lines_tree.empty_folders()).collect(),
        dist_folders: artifacts.folders,
        dist_files: artifacts.is_changed.then_some(artifacts.after),
        retire: lineages.iter().filter(|one| one.retired).map(|one| one.newest.clone()).collect(),
        accept: lineages.iter().filter(|one| one.accepted).map(|one| one.newest.clone()).collect(),
        newest_record: ledger_lineages.newest_record,
        pending: (after != before).then_some(after),
        summary: (!is_right && wants_head).then_some(head),
        now: options.now,
    };
    let lines = sorted.lines;
    Ok(Plan { lineages, live: live_summary, lines, removals, pending, unrecognized, counts, changes: work })
}

/// The ids of the lineages to retire.
fn lineages_to_retire(lineages: &Lineages, given: &[String], has_live: bool) -> Result<BTreeSet<String>, Error> {
    let terms: Vec<String> = given.iter().filter(|word| !(has_live && *word == LIVE_LINEAGE)).cloned().collect();
    // A killed run may have retired the lineage already.
    resolve_lineages(lineages, &terms, |word| lineages.retirements.iter().any(|note| matches_id(word, &note.lineage)))
}

/// The ids of the lineages whose newest bundle is accepted.
fn accepted(lineages: &Lineages, terms: &[String]) -> Result<BTreeSet<String>, Error> {
    let mut ids = BTreeSet::new();
    for word in terms {
        let (lineage, bundle) = word.split_once('@').map_or((word.as_str(), None), |(id, bundle)| (id, Some(bundle)));
        for id in resolve_lineages(lineages, &[lineage.to_owned()], |_| false)? {
            let newest = lineages.by_id.get(&id).map_or("", |feed| feed.newest.bundle.as_str());
            if let Some(bundle) = bundle.filter(|bundle| !matches_id(bundle, newest)) {
                let (bundle, newest) = (bundle.to_owned(), newest.to_owned());
                return Err(Error::NotNewest { lineage: id, bundle, newest });
            }
            ids.insert(id);
        }
    }
    Ok(ids)
}

/// The ids that match `given`. Text that `is_gone` accepts may match no lineage.
fn resolve_lineages(
    lineages: &Lineages,
    given: &[String],
    is_gone: impl Fn(&str) -> bool,
) -> Result<BTreeSet<String>, Error> {
    let mut ids = BTreeSet::new();
    for word in given {
        let known = |feed: &LineageState| feed.newest.id_and_inputs();
        let fitting: Vec<&LineageState> =
            lineages.by_id.values().filter(|feed| matches_id(word, &feed.newest.id)).collect();
        match fitting.as_slice() {
            [one] => drop(ids.insert(one.newest.id.clone())),
            [] if is_gone(word) => {}
            [] if word.len() < MIN_ID_PREFIX => {
                let matching = lineages.by_id.values().filter(|feed| feed.newest.id.starts_with(word.as_str()));
                return Err(Error::TooShort { word: word.clone(), matching: matching.map(known).collect() });
            }
            [] => {
                let known = lineages.by_id.values().map(known).collect();
                return Err(Error::NoLineage { word: word.clone(), known });
            }
            several => {
                let known = several.iter().map(|feed| known(feed)).collect();
                return Err(Error::Ambiguous { word: word.clone(), known });
            }
        }
    }
    Ok(ids)
}
