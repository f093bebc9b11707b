//! Rebuilds lost state from the files on disk: the records of lines and of dist files, the ledger, the summary.
//!
//! The rebuild trusts no file only because it exists. A line gets a record only if its crate file has the digest that
//! the line states, and neither the ledger nor the Cargo.toml in the crate contradicts it. Everything else stays unchanged
//! and is reported. So a damaged file never gets a new digest that matches it. A record of a version is dropped if no
//! index line, import record or crate file has that version.
//!
//! The record of dist files is derived from the ledger, which has every digest that a path ever had. It is rebuilt if
//! it is lost. A file that the ledger no longer names is recorded again if upstream's digests beside it prove it. A
//! `.sha256` proves a channel manifest, and a channel manifest proves a component. The signature of a proven channel
//! manifest stays if it has the form of one; any other signature is moved aside. Any other file stays unrecognized.
//!
//! Unknown values are marked as unknown. A line whose record was lost counts as read before all others, so that any
//! bundle's line of that version replaces it. Import times are not invented: the summary's `last_import` is that of the
//! newest readable record, or absent.
//!
//! The lineage of a lost record is unknown, and so are its current files. A collection keeps what the newest record of
//! each lineage names. So the rebuild writes a record of a lineage called [`REBUILT_LINEAGE`], to which no bundle can
//! belong. It names every crate of the index and every dist file that no newest record names. These stay until that
//! lineage is retired. The record includes crates whose file is damaged or missing, because they are current and need a
//! repair.
//!
//! Only manifest.json shows whether the newest record is lost. If it is lost, the report names the newest bundle on record
//! of each history, and that record keeps every crate that none of these bundles needs.
//!
//! A file that has the content of another record gets that record's name, if the chain of records states it and no valid
//! record has it. A record that is damaged, was altered, or that the chain contradicts counts as lost.
//! A lost record cannot be restored, only brought again by its bundle. The report names the bundles that manifest.json
//! or another record still names.
//!
//! Damaged and altered records, and the signatures above, are moved to `.frostmirror/aside/`. So are crates that an
//! import record contradicts, and crates that no import on record added although no record is lost, each with its index
//! line. A line that contradicts the Cargo.toml in its crate is moved there alone, also one with a record that fits.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use jiff::Timestamp;

use super::audit::{Audit, FileState, Metadata, Pass, RecordMatch};
use super::disk_reserve;
use super::dist_files::{DistFiles, MutableName};
use super::guard::WriteGuard;
use super::import;
use super::index_link;
use super::index_meta::{self, IndexLineMeta};
use super::item::{ItemId, items_of};
use super::layout::Layout;
use super::ledger::chain::{self, ChainFault, ChainLink};
use super::ledger::lost_records::{self, LostRecords, REBUILT_END, Unrestored};
use super::ledger::{self, ChainFaultKind, Reader, Record, RecordRef};
use super::lineages::{LineageTip, REBUILT_LINEAGE};
use super::live::LiveLineage;
use super::summary::{Counts, HistorySize, MirrorSummary, SummaryLoss};
use super::transaction::{self, Transaction, failed};
use crate::bundle::format::{CrateRecord, CrateState, DistFileRecord, DistFileState, Input, Lineage, Manifest};
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::event::Sink;
use crate::safe_path::SafePath;
use crate::units::format_time;

mod record_names;
mod untrusted;
mod verified_files;

pub use untrusted::UntrustedCrates;

/// What the changes belong to, for messages.
const WHAT: &str = "the rebuild of the mirror's records";

/// Why a rebuild writes a record of [`REBUILT_LINEAGE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptCause {
    /// Import records are lost.
    LostRecords,
    /// Lines of live mode's records are damaged.
    DamagedLiveRecords,
    /// No record names the files, and it is unknown whether records are lost.
    NoRecord,
    /// manifest.json was lost, so a lost record may need the files.
    UnknownLoss,
}

/// The newest bundle on record of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewestBundle {
    /// Its number, its history and its inputs.
    pub tip: LineageTip,
    /// The name of its file.
    pub file: String,
}

/// The bundle of a lost record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostBundle {
    /// Its id.
    pub bundle: String,
    /// Its number, its history and its inputs, if manifest.json states them. It states them only of bundles that are or
    /// may be the newest of their history.
    pub tip: Option<LineageTip>,
}

/// The result of a rebuild.
#[derive(Debug)]
pub struct RebuildReport {
    /// Lines that got a new record.
    pub lines: u64,
    /// Dist files that are recorded again, if that record was lost.
    pub dist_files: Option<u64>,
    /// Crates that the import records contradict or do not know, and false index lines.
    pub untrusted: UntrustedCrates,
    /// The crates of records that were dropped, because no index line, import record or crate file has their version.
    pub dropped_records: Vec<CrateId>,
    /// The names of import records whose files had other names.
    pub renamed_records: Vec<String>,
    /// The number of crates in the new record of [`REBUILT_LINEAGE`], and why it was written.
    pub kept_crates: Option<(u64, KeptCause)>,
    /// Dist files in that record.
    pub kept_dist_files: u64,
    /// Import records that could not be read, and were moved aside.
    pub records_moved_aside: u64,
    /// The names of files in the ledger that no import wrote, and that were moved aside.
    pub others_moved_aside: Vec<String>,
    /// The number of import records that are lost, including those moved aside.
    pub lost_records: u64,
    /// The bundles of lost records, as far as manifest.json or another record names them. An import of such a bundle
    /// restores its record.
    pub lost_bundles: Vec<LostBundle>,
    /// Set if manifest.json was lost, so that newer records may be lost without a trace: the newest bundles on record, by
    /// history.
    pub unknown_loss: Option<Vec<NewestBundle>>,
    /// Signatures of channel manifests that could not be verified, and were moved aside.
    pub signatures_aside: Vec<SafePath>,
    /// Whether live mode's records were wrong and were rewritten.
    pub live_rewritten: bool,
    /// Whether `manifest.json` was written.
    pub summary_rewritten: bool,
    /// The remaining problems.
    pub audit: Audit,
}

impl WriteGuard {
    /// Rebuilds lost or damaged records, as far as the files prove them, and audits the result. Works on a full disk, if the
    /// reserved space is enough.
    ///
    /// # Errors
    /// A file system operation failed; the changes are then rolled back.
    pub fn rebuild(&mut self, now: Timestamp, sink: &dyn Sink) -> Result<RebuildReport, import::Error> {
        let mut is_released = disk_reserve::is_low_on_space(&self.layout) && disk_reserve::release(self);
        let rebuilt = match self.rebuild_records(now, sink) {
            // The user's quota is full, and not the disk.
            Err(import::Error::Store(error)) if disk_reserve::is_full(&error) && disk_reserve::release(self) => {
                is_released = true;
                self.rebuild_records(now, sink)
            }
            rebuilt => rebuilt,
        };
        let share = if is_released { disk_reserve::SHARE_OF_RELEASED } else { disk_reserve::SHARE_AFTER_GC };
        disk_reserve::maintain(self, share);
        rebuilt
    }

    fn rebuild_records(&mut self, now: Timestamp, sink: &dyn Sink) -> Result<RebuildReport, import::Error> {
        let layout = self.layout.clone();
        let is_summary_lost = SummaryLoss::find(&layout)?.is_some();
        let renamed_records = record_names::restore(self, WHAT)?;
        let mut pass = Pass::run(&layout, &Default::default(), sink)?;
        if sink.is_cancelled() {
            return Err(import::Error::Stopped);
        }
        let unsupported = pass.index_states.iter().flat_map(|state| state.unsupported_records.clone()).collect();
        let untrusted = untrusted::move_aside(self, &pass, WHAT)?;
        if !untrusted.is_empty() {
            pass = Pass::run(&layout, &pass.into_audit().files, sink)?;
            if sink.is_cancelled() {
                return Err(import::Error::Stopped);
            }
        }
        let mut tx = Transaction::begin(self, WHAT)?;
        let lines = stage_index_meta(&layout, &pass, &mut tx)?;
        let (mut head, mut losses) = verified_summary(&pass.metadata, &ledger::record_names(&layout)?);
        losses.notes.last_number = losses.notes.last_number.max(lost_records::last_noted_number(&layout)?);
        // Earlier rebuilds kept files in a record that may be lost now.
        let settled = pass.metadata.last_retirement(REBUILT_LINEAGE);
        let is_kept = head.lineages.iter().any(|tip| tip.id == REBUILT_LINEAGE);
        let unrestored = Unrestored::read(&layout, settled, &pass.metadata.retirements)?;
        let needs_record = losses.has_any || !is_kept && !unrestored.is_empty();
        if is_summary_lost {
            losses.add_unrestored(&unrestored.bundles);
        }
        let current = current_items(&head, &layout)?;
        let recorded = pass.metadata.dist_files.as_ref().filter(|_| layout.dist_files().symlink_metadata().is_ok());
        let restored = recorded.is_none().then(|| rebuild_dist_files(&pass.metadata, &current, &layout)).transpose()?;
        // A mirror without dist files needs no such record.
        let restored = restored.filter(|all| pass.metadata.dist_files.is_none() || !all.0.is_empty());
        if let Some(artifacts) = &restored {
            tx.put_bytes(&layout.dist_files(), &artifacts.render())?;
        }
        let is_restored = restored.is_some();
        let artifacts = restored.or_else(|| pass.metadata.dist_files.clone()).unwrap_or_default();
        let unnamed = unreferenced_crates(&pass, &current);
        let unnamed_artifacts = unreferenced_dist_files(&artifacts, &current);
        let is_unknown = unnamed.iter().any(|one| !pass.metadata.crates.contains_key(&one.id()))
            || unnamed_artifacts.iter().any(|one| !pass.metadata.dist_file_digests.contains_key(&one.path));
        let cause = if needs_record {
            Some(KeptCause::LostRecords)
        } else if !pass.metadata.damaged_live_lines.is_empty() {
            Some(KeptCause::DamagedLiveRecords)
        } else if is_unknown {
            // They belong to a lost record.
            Some(KeptCause::NoRecord)
        } else {
            // Without the lineage, nothing could end what an earlier rebuild noted.
            (is_summary_lost || !is_kept && unrestored.is_incomplete).then_some(KeptCause::UnknownLoss)
        };
        let unknown_loss = if is_summary_lost { Some(newest_bundles(&head, &layout)?) } else { None };
        let (mut kept, mut kept_artifacts, mut new_record) = (None, 0, None);
        head.imports = pass.metadata.records.len() as u64;
        head.newest_record.clone_from(&pass.metadata.newest_record);
        head.toolchains = artifacts.toolchain_names();
        head.live = pass.metadata.live_totals;
        let (count, bytes) = artifacts.count_and_bytes();
        head = head.with_counts(Counts { dist_files: count, dist_file_bytes: bytes, ..pass.counts });
        if let Some(cause) = cause.filter(|_| !(unnamed.is_empty() && unnamed_artifacts.is_empty())) {
            kept = Some((unnamed.len() as u64, cause));
            kept_artifacts = unnamed_artifacts.len() as u64;
            let last = losses.notes.last_number;
            let record = make_rebuilt_record(&mut head, unnamed, unnamed_artifacts, last, &pass.metadata, now);
            let name = ledger::next_record_name(&[], None, last, &record.manifest.id);
            let (staged, sha256) = record.stage(&mut tx.staging)?;
            head.newest_record = Some(RecordRef { record: name.clone(), sha256 });
            tx.put(&layout.ledger().join(&name), staged)?;
            new_record = Some(ChainLink { name, seal: Some((sha256, record.previous)), copy_of: None });
        }
        // Only manifest.json names the newest record of every lineage. Nothing names files of damaged live records.
        let is_known = !is_summary_lost && pass.metadata.damaged_live_lines.is_empty() && (needs_record || !is_unknown);
        losses.notes.is_complete = is_known;
        let head_written = pass.metadata.summary.as_ref() != Some(&head);
        if head_written {
            tx.put_bytes(&layout.summary(), &head.render())?;
        }
        let strays = pass.metadata.strays.clone();
        for name in pass.metadata.unreadable.iter().chain(&strays) {
            tx.move_aside(&layout.ledger().join(name), name)?;
        }
        // Everything that is served must be recorded, and signatures cannot be verified here.
        let mut signatures_aside = if is_restored { verified_files::signatures(&layout)? } else { Vec::new() };
        signatures_aside.retain(|path| !artifacts.0.contains_key(path));
        for path in &signatures_aside {
            tx.move_aside(&path.below(layout.root()), &path.as_str().replace('/', "-"))?;
        }
        let live_rewritten = !pass.metadata.damaged_live_lines.is_empty();
        if live_rewritten {
            LiveLineage::read(&layout)?.stage(&layout, &mut tx, &HashSet::new())?;
        }
        // The records that name lost ones are kept, and the notes explain why those are missing.
        let unreadable = pass.metadata.unreadable.len() as u64;
        let removed: Vec<String> = pass.metadata.unreadable.iter().chain(&strays).cloned().collect();
        let faults = chain::read_faults_after(&layout, head.newest_record.as_ref(), &removed, new_record)?;
        let missing = faults.into_iter().filter(|fault| matches!(fault.kind, ChainFaultKind::Missing { .. }));
        let missing = missing.filter(|fault| ledger::has_valid_id(&fault.record));
        losses.notes.names.extend(missing.map(|fault| fault.record));
        // In the same transaction, because the new manifest.json no longer names the lost records.
        losses.notes.stage(&layout, &mut tx, &format_time(now))?;
        // Also without any file to commit: the files have been counted now.
        tx.staging.counts_are_stale = false;
        tx.commit()?;
        index_link::restore(self)?;
        let restored_count = is_restored.then_some(count);
        let audit = pass.into_audit();
        let audit = self.audit_again(&audit, sink).map_err(|error| match error {
            super::audit::Error::Store(error) => import::Error::Store(error),
            // The layout was checked when the lock was taken.
            other => import::Error::Store(failed("audit", layout.root())(std::io::Error::other(other))),
        })?;
        Ok(RebuildReport {
            untrusted,
            dropped_records: unsupported,
            renamed_records,
            lines,
            dist_files: restored_count,
            kept_crates: kept,
            kept_dist_files: kept_artifacts,
            records_moved_aside: unreadable,
            others_moved_aside: strays,
            lost_records: losses.total,
            lost_bundles: losses.named,
            unknown_loss,
            signatures_aside,
            live_rewritten,
            summary_rewritten: head_written,
            audit,
        })
    }
}

/// Stages the records of proven lines that lack one. Returns the number of these lines.
fn stage_index_meta(layout: &Layout, pass: &Pass, tx: &mut Transaction<'_>) -> Result<u64, transaction::Error> {
    let mut count = 0;
    for name in &pass.index_states {
        let mut records = name.records.clone();
        for line in name.lines.iter().filter(|line| line.record_match == RecordMatch::Unrecorded) {
            let index_only = match name.crate_file(&line.id) {
                Some(FileState::Valid { .. }) => false,
                None if pass.metadata.is_index_only(&line.id) => true,
                _ => continue,
            };
            count += 1;
            records.push(IndexLineMeta {
                version: line.id.version.clone(),
                read_at: Timestamp::MIN,
                cksum: line.cksum,
                line_sha256: line.digest,
                index_only,
            });
        }
        if records.len() == name.records.len() && !name.records_damaged {
            continue;
        }
        records.sort_by(|a, b| a.version.cmp(&b.version));
        let path = layout.index_meta().join(&name.path);
        if records.is_empty() {
            tx.delete(&path)?;
            continue;
        }
        tx.put_bytes(&path, index_meta::render(&records).as_bytes())?;
    }
    Ok(count)
}

/// The summary as far as the ledger confirms it, and the records that are known to be lost. The histories, their newest
/// bundles and the doubts about these come from the readable records alone, as in a garbage collection. `names` are the
/// records that exist.
fn verified_summary(metadata: &Metadata, names: &[String]) -> (MirrorSummary, Losses) {
    let base = match &metadata.summary {
        Some(summary) => summary.clone(),
        None => {
            // The newest readable record states how many imports there were.
            let totals = metadata.records.last().map(|record| record.totals).unwrap_or_default();
            MirrorSummary { imports: totals.imports, ..metadata.histories.clone().with_counts(totals.counts) }
        }
    };
    let stated = metadata.summary.iter().filter_map(|summary| summary.newest_record.as_ref());
    let known = names.iter().chain(stated.map(|stated| &stated.record)).filter(|name| ledger::has_valid_id(name));
    let last_number = known.filter_map(|name| ledger::record_number(name)).max().unwrap_or(0);
    let mut losses = Losses { notes: LostRecords { last_number, ..LostRecords::default() }, ..Losses::default() };
    let tips = base.all_contenders().filter(|tip| !metadata.has_record(&tip.record) && !metadata.is_retired(tip));
    let mut candidates: Vec<(&String, Option<&LineageTip>, bool)> =
        tips.map(|tip| (&tip.record, Some(tip), false)).collect();
    // Any other file is no record, so no bundle belongs to it.
    let faults = metadata.chain_faults.iter().filter(|fault| ledger::has_valid_id(&fault.record));
    let is_copied = |fault: &ChainFault| matches!(fault.kind, ChainFaultKind::Copied { .. });
    let (copies, faulty): (Vec<&ChainFault>, Vec<&ChainFault>) = faults.partition(|fault| is_copied(fault));
    candidates.extend(faulty.iter().map(|fault| (&fault.record, None, false)));
    candidates.extend(copies.iter().map(|fault| (&fault.record, None, true)));
    let missing = base.imports.saturating_sub(metadata.records.len() as u64);
    let mut rebuilt = BTreeSet::new();
    for (record, tip, is_copy) in candidates {
        let stated = tip.map(|tip| tip.bundle.as_str());
        let Some(bundle) = stated.or_else(|| ledger::bundle_of_record(record)) else { continue };
        // A second record of a bundle is no loss.
        if metadata.has_bundle(bundle) {
            continue;
        }
        // A copy replaced a record, or is one more file. manifest.json shows the number of records.
        let known = (losses.named.len() + rebuilt.len()) as u64;
        if is_copy && metadata.summary.is_some() && known >= missing {
            continue;
        }
        if bundle.ends_with(REBUILT_END) {
            rebuilt.insert(bundle);
            continue;
        }
        losses.notes.names.insert(record.clone());
        if losses.named.iter().all(|lost| lost.bundle != bundle) {
            losses.named.push(LostBundle { bundle: bundle.to_owned(), tip: tip.cloned() });
        }
    }
    let named = losses.named.len() as u64;
    losses.total = missing.saturating_sub(rebuilt.len() as u64).max(named);
    losses.has_any = losses.total > 0 || !rebuilt.is_empty();
    // manifest.json names the newest records of all lineages, so no other lost record was one of them.
    losses.notes.unnamed = if metadata.summary.is_none() { losses.total - named } else { 0 };
    let MirrorSummary { lineages, contested, history_sizes, .. } = metadata.histories.clone();
    (MirrorSummary { lineages, contested, history_sizes, ..base }, losses)
}

/// Lost records.
#[derive(Default)]
struct Losses {
    /// The number of imports whose records are lost, as far as it is known.
    total: u64,
    /// Those whose bundle is known.
    named: Vec<LostBundle>,
    /// Whether any record is lost, also of an earlier rebuild.
    has_any: bool,
    /// The notes about them.
    notes: LostRecords,
}

impl Losses {
    /// Adds the bundles of records that an earlier rebuild noted as lost. Such a record may have been restored and lost again,
    /// which only manifest.json shows.
    fn add_unrestored(&mut self, bundles: &BTreeSet<String>) {
        let others: Vec<String> =
            bundles.iter().filter(|bundle| self.named.iter().all(|known| known.bundle != **bundle)).cloned().collect();
        self.named.extend(others.into_iter().map(|bundle| LostBundle { bundle, tip: None }));
        self.total = self.total.max(self.named.len() as u64);
    }
}

/// The newest bundle on record of each history.
fn newest_bundles(head: &MirrorSummary, layout: &Layout) -> Result<Vec<NewestBundle>, transaction::Error> {
    let mut newest = Vec::new();
    for tip in head.lineages.iter().filter(|tip| tip.id != REBUILT_LINEAGE) {
        let file = ledger::read_file_name(layout, &tip.record)?.unwrap_or_default();
        newest.push(NewestBundle { tip: tip.clone(), file });
    }
    Ok(newest)
}

/// The files that the newest records of the lineages name, and those of live mode.
fn current_items(head: &MirrorSummary, layout: &Layout) -> Result<BTreeSet<ItemId>, transaction::Error> {
    let live = LiveLineage::read(layout)?;
    let mut current: BTreeSet<ItemId> = live.current().map(|record| record.item.clone()).collect();
    let mut reader = Reader::new(layout);
    for lineage in head.lineages.iter().chain(&head.contested).filter(|lineage| lineage.id != REBUILT_LINEAGE) {
        if let Some(record) = reader.read(&lineage.record)? {
            current.extend(items_of(&record.manifest));
        }
    }
    Ok(current)
}

/// Rebuilds the record of dist files from the ledger and the files. It includes existing files with a digest that the
/// ledger has for their path. It includes current files that are missing or damaged, with the latest digest, so that
/// they can be repaired. It includes files that the ledger does not name and that upstream's digests prove.
fn rebuild_dist_files(
    metadata: &Metadata,
    current: &BTreeSet<ItemId>,
    layout: &Layout,
) -> Result<DistFiles, transaction::Error> {
    let mut artifacts = DistFiles(verified_files::find_verified(layout)?);
    // If the ledger knows a path, it decides, except for mutable paths, where its digest may be older than the file. A
    // signature that the ledger contradicts may be damaged, which no other check would show.
    let is_signature = |path: &SafePath| path.as_str().ends_with(".toml.asc");
    artifacts.0.retain(|path, _| {
        !metadata.dist_file_digests.contains_key(path) || MutableName::from_path(path).is_some() && !is_signature(path)
    });
    for (path, digests) in &metadata.dist_file_digests {
        let file = path.below(layout.root());
        let is_ours = !file.ancestors().take_while(|above| *above != layout.root()).any(Path::is_symlink);
        let found = Some(&file).filter(|file| is_ours && file.is_file()).and_then(|file| Sha256::of_file(file).ok());
        let there = digests.iter().find(|stored| found == Some((stored.sha256, stored.size)));
        // A signature is removed when its channel moves on without one, so a missing signature is not a loss.
        let is_missed = current.contains(&ItemId::DistFile(path.clone())) && !is_signature(path);
        let latest = digests.iter().max_by_key(|stored| stored.read_at).filter(|_| is_missed);
        match there {
            Some(stored) => drop(artifacts.0.insert(path.clone(), *stored)),
            None if artifacts.0.contains_key(path) => {}
            None => artifacts.0.extend(latest.map(|stored| (path.clone(), *stored))),
        }
    }
    Ok(artifacts)
}

/// Every recorded dist file that no lineage's newest record names.
fn unreferenced_dist_files(artifacts: &DistFiles, current: &BTreeSet<ItemId>) -> Vec<DistFileRecord> {
    let unreferenced = artifacts.0.iter().filter(|(path, _)| !current.contains(&ItemId::DistFile((*path).clone())));
    unreferenced
        .map(|(path, stored)| DistFileRecord {
            path: path.clone(),
            sha256: stored.sha256,
            size: stored.size,
            state: DistFileState::Shipped,
            read_at: Some(format_time(stored.read_at.max(Timestamp::UNIX_EPOCH))),
        })
        .collect()
}

/// Every crate of the index that no lineage's newest record names.
fn unreferenced_crates(pass: &Pass, current: &BTreeSet<ItemId>) -> Vec<CrateRecord> {
    let known = pass.index_states.iter().flat_map(|name| name.expected_lines().map(move |line| (name, line)));
    let mut unnamed: Vec<CrateRecord> = known
        .filter(|(_, line)| !current.contains(&ItemId::Crate(line.id.clone())))
        .map(|(name, line)| {
            let (size, left_out) = match name.crate_file(&line.id) {
                Some(FileState::Valid { length, .. }) => (*length, false),
                Some(_) => (0, false),
                None => (0, line.index_only || pass.metadata.is_index_only(&line.id)),
            };
            let state = if left_out { CrateState::IndexOnly } else { CrateState::Shipped };
            CrateRecord::new(line.id.clone(), line.cksum, size, state)
        })
        .collect();
    unnamed.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    unnamed
}

/// Makes the record that keeps `crates` and `artifacts`, and updates `head` to the state after it.
fn make_rebuilt_record(
    head: &mut MirrorSummary,
    crates: Vec<CrateRecord>,
    artifacts: Vec<DistFileRecord>,
    last_number: u64,
    metadata: &Metadata,
    now: Timestamp,
) -> Record {
    let now = format_time(now);
    let rebuilt = metadata.records.iter().filter(|record| record.lineage.id == REBUILT_LINEAGE);
    let sequence = rebuilt.map(|record| record.lineage.sequence).max().unwrap_or(0).saturating_add(1);
    let crate_positions = (0u32..).zip(&crates).map(|(at, _)| at).collect();
    let file_positions = (0u32..).zip(&artifacts).map(|(at, _)| at).collect();
    let inputs = vec![Input::new("files without a record at a rebuild", crate_positions, file_positions)];
    // The time of the index is unknown, so it is before all others.
    let index_read = format_time(Timestamp::UNIX_EPOCH);
    let lineage = Lineage { id: REBUILT_LINEAGE.to_owned(), sequence, previous: None, inputs };
    let mut manifest = Manifest { crates, dist_files: artifacts, ..Manifest::new(now.clone(), index_read, lineage) };
    manifest.assign_id();
    manifest.id = format!("{}{REBUILT_END}", manifest.id.get(..24).unwrap_or_default());
    let lineage = LineageTip::from_manifest(&manifest, ledger::next_record_name(&[], None, last_number, &manifest.id));
    // It counts as a record of the ledger, but not as an import, so `last_import` does not change.
    let last_import = head.last_import.take();
    let size = HistorySize::from_manifest(&manifest, "(rebuilt)");
    *head = MirrorSummary { last_import, ..std::mem::take(head).with_import(&now, lineage, false, size) };
    let previous = metadata.newest_record.clone();
    Record { previous, ..Record::new(now, "(rebuilt)".to_owned(), head.totals(), manifest) }
}
