//! Commits a batch in one transaction: crates, dist files, lines, the live records, the summary.
//!
//! The downloaded files are staged by hard links, and removed after the commit. A crate costs the same in any mirror: apart
//! from its own index file, no file that grows is read or written.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;

use super::batch::{Batch, Rejection};
use super::dist_files::{self, StagedDistFiles};
use super::merge_crates::{self, StagedCrates};
use super::{FetchedCrate, FetchedDistFile, IndexUpdate, ItemId, LiveLineage, LiveRecord, LiveTotals, records};
use crate::bundle::package_metadata::{PackageMetadata, read_all_metadata};
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::durable;
use crate::event::{self, Sink};
use crate::mirror::dist_files::DistFiles;
use crate::mirror::guard::WriteGuard;
use crate::mirror::import::restore_link;
use crate::mirror::index_link::{self, LinkState};
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::mirror::summary::{Counts, MirrorSummary, SummaryLoss};
use crate::mirror::transaction::{Error, Transaction, failed};
use crate::safe_path::SafePath;

/// The result of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreOutcome {
    /// Crates whose files are new, or were repaired.
    pub crates: u64,
    /// Crates that were already stored, and now have a live record.
    pub already_stored: u64,
    /// Dist files that were not stored before.
    pub dist_files: u64,
    /// Total bytes of all new files.
    pub bytes: u64,
    /// Stored versions whose line changed.
    pub updated_lines: u64,
    /// The crates whose index files changed.
    pub changed_names: Vec<CrateName>,
    /// Dist files that were skipped, because the stored ones are newer.
    pub skipped: Vec<SafePath>,
    /// Items that were rejected, because they contradict stored ones or are unusable.
    pub rejected: Vec<Rejection>,
    /// The content of the mirror afterwards.
    pub counts: Counts,
}

impl WriteGuard {
    /// Stores fetched files, and records them as live mode's. Afterwards the files in `live/partial/` are gone,
    /// including those of rejected items. An item that contradicts stored ones does not affect the others.
    ///
    /// # Errors
    /// manifest.json is lost, or a file system operation failed; the mirror is then unchanged, and the files still exist.
    pub fn store_live(
        &mut self,
        crates: Vec<FetchedCrate>,
        index_updates: Vec<IndexUpdate>,
        dist_files: Vec<FetchedDistFile>,
        now: Timestamp,
        sink: &dyn Sink,
    ) -> Result<StoreOutcome, super::Error> {
        store_batch(self, &Batch { crates, index_updates, dist_files, now }, sink)
    }
}

fn store_batch(guard: &WriteGuard, batch: &Batch, sink: &dyn Sink) -> Result<StoreOutcome, super::Error> {
    let layout = guard.layout();
    if let Some(loss) = SummaryLoss::find(layout)? {
        return Err(loss.into());
    }
    for folder in [layout.live(), layout.live_partial()] {
        durable::make_folder(&folder).map_err(failed("make the folder", &folder))?;
    }
    let count = event::format_contents(batch.crates.len() as u64, batch.dist_files.len() as u64);
    let mut tx = Transaction::begin(guard, format!("live mode's batch of {count}"))?;
    let mut staged_crates = merge_crates::stage_crates(layout, &mut tx, batch, sink)?;
    let staged_dist_files = dist_files::stage_dist_files(layout, &mut tx.staging, batch, sink)?;
    let mut outcome = StoreOutcome {
        crates: staged_crates.crates,
        already_stored: staged_crates.already_stored,
        dist_files: staged_dist_files.plan.added.0,
        bytes: staged_crates.delta.bytes + staged_dist_files.plan.added.1,
        updated_lines: staged_crates.updates.len() as u64,
        changed_names: std::mem::take(&mut staged_crates.changed_names),
        skipped: staged_dist_files.skipped.clone(),
        rejected: std::mem::take(&mut staged_crates.rejected)
            .into_iter()
            .chain(staged_dist_files.rejected.iter().cloned())
            .collect(),
        counts: Counts::default(),
    };
    let nothing = staged_crates.accepted.is_empty() && tx.is_empty() && staged_dist_files.accepted.is_empty();
    if nothing {
        outcome.counts = ledger::read_summary(layout)?.map(|head| head.counts).unwrap_or_default();
    } else {
        outcome.counts = commit(layout, tx, staged_crates, staged_dist_files, batch)?;
        if index_link::link_state(layout) != LinkState::Good {
            restore_link(guard, sink);
        }
    }
    remove_downloads(batch);
    Ok(outcome)
}

/// Commits what was staged. Returns the mirror's counts afterwards.
fn commit(
    layout: &Layout,
    mut tx: Transaction<'_>,
    staged_crates: StagedCrates<'_>,
    staged_dist_files: StagedDistFiles<'_>,
    batch: &Batch,
) -> Result<Counts, Error> {
    let stored = MirrorSummary::read(layout)?.filter(|_| !tx.staging.counts_are_stale);
    let recount = staged_crates.needs_recount || stored.is_none();
    let mut summary = match stored {
        Some(summary) => summary,
        None => ledger::derive_summary(layout)?.or(MirrorSummary::read(layout)?).unwrap_or_default(),
    };
    summary.live = stage_records(layout, &mut tx, &staged_crates, &staged_dist_files, batch.now)?;
    let is_imported = |id: &CrateId| batch.crates.iter().any(|one| one.id == *id);
    let before = if recount { Counts::count_tree_with(layout, &is_imported)? } else { summary.counts };
    let mut counts = before.with_delta(&staged_crates.delta);
    if !batch.dist_files.is_empty() {
        (counts.dist_files, counts.dist_file_bytes) = staged_dist_files.plan.after.count_and_bytes();
        summary.toolchains = staged_dist_files.plan.after.toolchain_names();
    } else if recount {
        summary.toolchains = DistFiles::read(layout)?.unwrap_or_default().toolchain_names();
    }
    staged_dist_files.plan.stage(layout, &mut tx, &staged_dist_files.before)?;
    tx.put_bytes(&layout.summary(), &summary.with_counts(counts).render())?;
    if index_link::link_state(layout) == LinkState::Missing {
        tx.link_index()?;
    }
    tx.staging.counts_are_stale = false;
    tx.commit()?;
    Ok(counts)
}

/// Appends the records of accepted items. Returns the totals of all records.
fn stage_records(
    layout: &Layout,
    tx: &mut Transaction<'_>,
    staged_crates: &StagedCrates<'_>,
    staged_dist_files: &StagedDistFiles<'_>,
    now: Timestamp,
) -> Result<LiveTotals, Error> {
    let new = new_records(layout, staged_crates, staged_dist_files, now);
    // Only files that are or were stored may have a record already.
    let known = |one: &&FetchedDistFile| staged_dist_files.before.0.contains_key(&one.path);
    let was_known =
        staged_crates.already_stored > 0 || staged_crates.needs_recount || staged_dist_files.accepted.iter().any(known);
    let (records, totals) = match was_known {
        true => merge_new(LiveLineage::read(layout)?, new),
        false => {
            let (before, more) = (LiveTotals::read(layout)?, LiveTotals::sum(&new));
            let totals = LiveTotals {
                crates: before.crates + more.crates,
                dist_files: before.dist_files + more.dist_files,
                bytes: before.bytes.saturating_add(more.bytes),
            };
            (new, totals)
        }
    };
    records::stage_append(layout, tx, &records)?;
    Ok(totals)
}

/// The records of accepted items, with the crates' descriptions.
fn new_records(
    layout: &Layout,
    staged_crates: &StagedCrates<'_>,
    staged_dist_files: &StagedDistFiles<'_>,
    now: Timestamp,
) -> Vec<LiveRecord> {
    let file = |one: &FetchedCrate| match one.file.is_file() {
        true => one.file.clone(),
        false => layout.crate_file(&one.id),
    };
    let files: Vec<(CrateId, PathBuf)> = staged_crates.accepted.iter().map(|one| (one.id.clone(), file(one))).collect();
    let crates = staged_crates.accepted.iter().zip(read_all_metadata(&files)).map(|(one, about)| {
        let PackageMetadata { description, license, repository } = about.unwrap_or_default();
        let stored = new_record(ItemId::Crate(one.id.clone()), one.sha256, one.size, one.read_at, now);
        LiveRecord { description, license, repository, ..stored }
    });
    let dist_files = staged_dist_files
        .accepted
        .iter()
        .map(|one| new_record(ItemId::DistFile(one.path.clone()), one.sha256, one.size, one.read_at, now));
    crates.chain(dist_files).collect()
}

fn new_record(item: ItemId, sha256: Sha256, size: u64, read_at: Timestamp, stored_at: Timestamp) -> LiveRecord {
    let (description, license, repository) = (None, None, None);
    LiveRecord { item, sha256, size, stored_at, read_at, description, license, repository, retired: false }
}

/// The records of `new` that are not current in `known`, and the totals of all.
fn merge_new(known: LiveLineage, mut new: Vec<LiveRecord>) -> (Vec<LiveRecord>, LiveTotals) {
    let current = known.records.into_iter().filter(|record| !record.retired);
    let mut all: HashMap<ItemId, LiveRecord> = current.map(|record| (record.item.clone(), record)).collect();
    new.retain(|record| all.get(&record.item).is_none_or(|known| known.sha256 != record.sha256));
    all.extend(new.iter().map(|record| (record.item.clone(), record.clone())));
    let figures = LiveTotals::sum(all.values());
    (new, figures)
}

/// Removes the downloaded files. The next start removes those that remain.
fn remove_downloads(batch: &Batch) {
    let files = batch.crates.iter().map(|one| &one.file).chain(batch.dist_files.iter().map(|one| &one.file));
    for file in files {
        let _swept_later = fs::remove_file(file).is_err();
    }
}
