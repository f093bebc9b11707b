//! The records that an import writes: the ledger records, the last of which is the commit, and then the summary.
//!
//! A bundle of a history has one record. A snapshot writes one record for each of its histories, unless an equally new
//! bundle of that history is known. Such a record has the crates of that history only, as if its newest bundle had been
//! imported. The snapshot's own record follows. It names all content of the snapshot and makes nothing current.

use std::cell::OnceCell;

use super::carried_history::{carried_manifest, history_manifest};
use super::history_statements::{Contradiction, describes_bundle, find_difference};
use super::import::ImportOptions;
use super::layout::Layout;
use super::ledger::lost_records::{self, Unrestored};
use super::ledger::{self, ChainNames, EarlierImport, LostBundle, Reader, Record, RecordRef, chain};
use super::lineages::LineageTip;
use super::retired::{self, Retirement};
use super::summary::{Counts, HistorySize, MirrorSummary};
use super::transaction::{Error, StagedFile, Staging};
use super::warnings::AddedBundle;
use crate::bundle::format::{BundleKind, CarriedHistory, Manifest, history_weight};
use crate::units::format_time;

/// What the commit writes after all other files are in place.
pub(super) struct PreparedCommit {
    /// The summary after the import.
    pub(super) summary: MirrorSummary,
    /// Staged new records by name, in the order in which they are committed.
    pub(super) records: Vec<(String, StagedFile)>,
    /// Acceptances of earlier records of these bundles.
    pub(super) acceptances: Vec<(Retirement, LineageTip)>,
}

/// What is known about a bundle before the commit.
pub(super) struct Before<'k> {
    /// The bundle's own record.
    pub(super) own: &'k RecordState,
    /// The existing records.
    pub(super) known: &'k LedgerState,
    /// Warnings of the import, one sentence each.
    pub(super) warnings: Vec<String>,
}

/// The existing records.
pub(super) struct LedgerState {
    /// The names of the records.
    pub(super) record_names: Vec<String>,
    retirements: Vec<Retirement>,
    /// The highest number that a note of the ledger states.
    noted_number: u64,
    /// Read when an older bundle is imported.
    chain_names: OnceCell<ChainNames>,
}

/// The state of a bundle's own record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RecordState {
    /// The record exists.
    Recorded(EarlierImport),
    /// The record exists under this name and is damaged or was altered. The bundle is the one that it recorded.
    Corrupt(String),
    /// There is no record.
    Missing,
}

impl LedgerState {
    /// Lists the ledger.
    pub(super) fn read(layout: &Layout) -> Result<LedgerState, Error> {
        Ok(LedgerState {
            record_names: ledger::record_names(layout)?,
            retirements: retired::read_retirements(layout)?,
            noted_number: lost_records::last_noted_number(layout)?,
            chain_names: OnceCell::new(),
        })
    }

    /// Whether the chain that leads to the newest bundle of its history contains this bundle, because the ledger has or
    /// names it. `head` is the summary before its import. Reads the ledger once, and only for an older bundle.
    fn is_in_chain(&self, layout: &Layout, head: &MirrorSummary, tip: &LineageTip) -> bool {
        if !head.contenders(&tip.id).any(|known| known.gap_after.is_none() && known.sequence > tip.sequence) {
            return false;
        }
        // A ledger that cannot be read shows no chain, so the bundle stays doubtful. The warnings of the import report it.
        self.chain_names.get_or_init(|| ChainNames::read(layout).unwrap_or_default()).has(tip)
    }

    /// The name of the newest record that counts of a bundle of this lineage.
    fn find_record(&self, layout: &Layout, bundle: &str, lineage: &str) -> Option<&str> {
        let end = format!("-{bundle}.json");
        let mut names = self.record_names.iter().rev().filter(|name| name.ends_with(&end));
        names.find(|name| self.counts(layout, name, lineage)).map(String::as_str)
    }

    /// Whether no note covers the record `name` of a bundle of this lineage. A snapshot may have stated another lineage, so that
    /// in the record decides, if it can be read.
    fn counts(&self, layout: &Layout, name: &str, lineage: &str) -> bool {
        if self.retirements.is_empty() {
            return true;
        }
        let number = ledger::record_number(name).unwrap_or(0);
        let recorded = ledger::read_lineage(layout, name).ok().flatten();
        !retired::is_retired(&self.retirements, number, recorded.as_deref().unwrap_or(lineage))
    }

    /// Whether the bundle has a record.
    pub(super) fn record_state(&self, layout: &Layout, manifest: &Manifest) -> Result<RecordState, Error> {
        let Some(newest) = self.find_record(layout, &manifest.id, &manifest.lineage.id) else {
            return Ok(RecordState::Missing);
        };
        let stated = MirrorSummary::read(layout)?.and_then(|summary| summary.newest_record);
        let faults = chain::read_faults(layout, stated.as_ref())?;
        let counts = |name: &&String| {
            let is_trusted = faults.iter().all(|fault| fault.record != **name);
            is_trusted && self.counts(layout, name, &manifest.lineage.id)
        };
        // A false record beside a right one is no reason for a new record.
        let end = format!("-{}.json", manifest.id);
        let trusted = self.record_names.iter().rev().filter(|name| name.ends_with(&end)).find(counts);
        let (name, is_trusted) = (trusted.map_or(newest, String::as_str), trusted.is_some());
        let record = ledger::read_record(layout, name)?.filter(|record| record.manifest.id == manifest.id);
        Ok(match record.filter(|_| is_trusted) {
            Some(Record { file, imported_at, warnings, manifest: recorded, .. })
                if describes_bundle(&recorded, manifest) =>
            {
                RecordState::Recorded(EarlierImport { file, imported_at, warnings })
            }
            // A snapshot's statement about a bundle does not replace the bundle's own record.
            Some(_) => RecordState::Missing,
            None => RecordState::Corrupt(name.to_owned()),
        })
    }

    /// The histories of a snapshot that are not recorded and not certainly older than those in `head`. Content without
    /// a history counts as one history. If numbers and times disagree, a garbage collection keeps what either needs, as
    /// after an import of such a bundle.
    pub(super) fn new_histories<'m>(
        &self,
        layout: &Layout,
        head: &MirrorSummary,
        manifest: &'m Manifest,
    ) -> Vec<NewHistory<'m>> {
        if manifest.kind != BundleKind::Snapshot {
            return Vec::new();
        }
        let mut inputs = manifest.lineage.inputs.iter();
        let unclaimed = inputs.any(|input| !input.crates.is_empty() || !input.dist_files.is_empty());
        let carried = manifest
            .carried_histories
            .iter()
            .map(NewHistory::Carried)
            .chain(unclaimed.then_some(NewHistory::Unclaimed(manifest)));
        let is_news = |feed: &NewHistory| {
            let lineage = feed.lineage_tip(String::new());
            self.find_record(layout, &lineage.bundle, &lineage.id).is_none() && !head.has_newer(&lineage)
        };
        let mut news: Vec<NewHistory> = carried.filter(is_news).collect();
        // Whether a number jumps depends on the histories before it.
        news.sort_by_cached_key(|feed| {
            let LineageTip { id, sequence, created, .. } = feed.lineage_tip(String::new());
            (matches!(feed, NewHistory::Unclaimed(_)), id, sequence, created)
        });
        news
    }
}

impl LedgerState {
    /// The bundles that the import of the bundle with this manifest adds to their histories, in the order of import. `own`
    /// is the state of its own record.
    pub(super) fn added_bundles(
        &self,
        layout: &Layout,
        head: &MirrorSummary,
        manifest: &Manifest,
        own: &RecordState,
    ) -> Result<Vec<AddedBundle>, Error> {
        let tips: Vec<LineageTip> = match (manifest.kind, own) {
            (BundleKind::Snapshot, _) => {
                let histories = self.new_histories(layout, head, manifest).into_iter();
                histories.map(|history| history.lineage_tip(String::new())).collect()
            }
            (_, RecordState::Missing) => vec![LineageTip::from_manifest(manifest, String::new())],
            (_, RecordState::Recorded(_) | RecordState::Corrupt(_)) => Vec::new(),
        };
        let lost = Unrestored::read(layout, 0, &self.retirements)?.bundles;
        let added = tips.into_iter().map(|mut tip| {
            let is_restored =
                lost.contains(&tip.bundle) || LostBundle::find(layout, head, &self.record_names, &tip)?.is_named();
            if retired::find_acceptance(layout, &self.retirements, &tip)?.is_some() {
                tip.accept();
            }
            Ok(AddedBundle { is_recorded: is_restored || self.is_in_chain(layout, head, &tip), tip })
        });
        added.collect()
    }
}

impl LedgerState {
    /// Corrects in `head` what a snapshot stated about the bundle with this manifest, whose own record counts. `own` is the state
    /// of that record.
    pub(super) fn retract_statements(
        &self,
        layout: &Layout,
        head: &mut MirrorSummary,
        manifest: &Manifest,
        own: &RecordState,
    ) -> Result<(), Error> {
        let is_stated = self.find_record(layout, &manifest.id, &manifest.lineage.id).is_some();
        if manifest.kind == BundleKind::Snapshot || *own != RecordState::Missing || !is_stated {
            return Ok(());
        }
        let tip = LineageTip::from_manifest(manifest, String::new());
        if let Some(mut contenders) = ledger::read_known_bundles(layout, &tip.id)?.retract(&tip) {
            // The ledger does not show what lost records stated.
            let is_lost = |known: &&LineageTip| !self.record_names.contains(&known.record);
            contenders.extend(head.contenders(&tip.id).filter(is_lost).cloned());
            self.set_contenders(layout, head, &tip.id, contenders)?;
        }
        Ok(())
    }

    /// Compares all bundles of the history of `tip` again, whose new record replaces a lost one, if the ledger has all others.
    /// Until then, a bundle that nothing names is doubtful.
    fn compare_restored(&self, layout: &Layout, head: &mut MirrorSummary, tip: &LineageTip) -> Result<(), Error> {
        let is_on_record = |known: &LineageTip| known.record == tip.record || self.record_names.contains(&known.record);
        if !head.contenders(&tip.id).all(is_on_record) {
            return Ok(());
        }
        let mut known = ledger::read_known_bundles(layout, &tip.id)?;
        known.retract(tip);
        known.insert(tip);
        self.set_contenders(layout, head, &tip.id, known.contenders(&tip.id))
    }

    /// Sets the bundles that may be a history's newest, which the ledger has.
    fn set_contenders(
        &self,
        layout: &Layout,
        head: &mut MirrorSummary,
        lineage: &str,
        contenders: Vec<LineageTip>,
    ) -> Result<(), Error> {
        for known in contenders.iter().filter(|known| self.record_names.contains(&known.record)) {
            if let Some(size) = ledger::read_history_size(layout, &known.record)? {
                head.history_sizes.insert(known.record.clone(), size);
            }
        }
        head.set_contenders(lineage, contenders);
        Ok(())
    }

    /// What a snapshot with this manifest states about a bundle, if a record contradicts it.
    pub(super) fn find_contradiction(
        &self,
        layout: &Layout,
        manifest: &Manifest,
    ) -> Result<Option<Contradiction>, Error> {
        if manifest.kind != BundleKind::Snapshot {
            return Ok(None);
        }
        let inputs = manifest.lineage.inputs.iter();
        let has_unclaimed = inputs.clone().any(|input| !input.crates.is_empty() || !input.dist_files.is_empty());
        let carried = manifest.carried_histories.iter().map(NewHistory::Carried);
        let mut reader = Reader::new(layout);
        for history in carried.chain(has_unclaimed.then_some(NewHistory::Unclaimed(manifest))) {
            let history = history.as_carried();
            let Some(record) = self.statement_record(&mut reader, &history.bundle)? else { continue };
            let Some(stated) = carried_manifest(&history, manifest) else { continue };
            let Some(difference) = find_difference(&stated, &record.manifest, record.snapshot_id.is_none()) else {
                continue;
            };
            let snapshot = record.snapshot_id.as_deref();
            let snapshot_file = snapshot.map(|id| self.find_snapshot_file(layout, id)).transpose()?;
            return Ok(Some(Contradiction {
                difference,
                bundle: history.bundle,
                file: snapshot_file.unwrap_or(record.file),
                snapshot: record.snapshot_id,
            }));
        }
        Ok(None)
    }

    /// The record that counts of the bundle with this id: its own, or else what a snapshot stated.
    fn statement_record(&self, reader: &mut Reader, bundle: &str) -> Result<Option<Record>, Error> {
        let end = format!("-{bundle}.json");
        let mut stated = None;
        for name in self.record_names.iter().filter(|name| name.ends_with(&end)) {
            let number = ledger::record_number(name).unwrap_or(0);
            let record = reader.read(name)?.filter(|Record { manifest, .. }| {
                manifest.id == bundle
                    && manifest.kind != BundleKind::Snapshot
                    && !retired::is_retired(&self.retirements, number, &manifest.lineage.id)
            });
            match record {
                Some(own) if own.snapshot_id.is_none() => return Ok(Some(own)),
                Some(record) => stated = Some(record),
                None => {}
            }
        }
        Ok(stated)
    }

    /// The file of the snapshot with this id.
    fn find_snapshot_file(&self, layout: &Layout, id: &str) -> Result<String, Error> {
        let name = ledger::find_record(&self.record_names, id);
        Ok(name.map(|name| ledger::read_file_name(layout, name)).transpose()?.flatten().unwrap_or_default())
    }
}

/// One history of a snapshot.
#[derive(Clone, Copy)]
pub(super) enum NewHistory<'m> {
    /// A history of the snapshot's mirror.
    Carried(&'m CarriedHistory),
    /// Content of that mirror that belongs to no history.
    Unclaimed(&'m Manifest),
}

impl NewHistory<'_> {
    fn lineage_tip(&self, record: String) -> LineageTip {
        let (lineage, bundle, created) = match self {
            NewHistory::Carried(one) => (&one.lineage, &one.bundle, &one.created),
            // Its id changes with its crates, so it counts as its own bundle.
            NewHistory::Unclaimed(snapshot) => (&snapshot.lineage, &snapshot.lineage.id, &snapshot.created),
        };
        let tip = LineageTip::new(&lineage.id, lineage.sequence, lineage.previous.as_deref(), bundle, created);
        LineageTip { record, ..tip }.with_inputs(lineage.inputs.iter().map(|input| input.name.as_str()))
    }

    /// The form in which a snapshot carries it.
    fn as_carried(&self) -> CarriedHistory {
        match self {
            NewHistory::Carried(one) => CarriedHistory::clone(one),
            NewHistory::Unclaimed(snapshot) => {
                let inputs = &snapshot.lineage.inputs;
                CarriedHistory {
                    bundle: snapshot.lineage.id.clone(),
                    file: String::new(),
                    created: snapshot.created.clone(),
                    index_read: snapshot.index_read.clone(),
                    lineage: snapshot.lineage.clone(),
                    crates: merge_positions(inputs.iter().map(|input| &input.crates)),
                    dist_files: merge_positions(inputs.iter().map(|input| &input.dist_files)),
                }
            }
        }
    }

    fn file_name(&self, snapshot: &str) -> String {
        match self {
            NewHistory::Carried(one) => one.file.clone(),
            NewHistory::Unclaimed(_) => snapshot.to_owned(),
        }
    }
}

/// All positions of several lists, ascending.
fn merge_positions<'l>(lists: impl Iterator<Item = &'l Vec<u32>>) -> Vec<u32> {
    let mut all: Vec<u32> = lists.flatten().copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Writes the records of a bundle to staging, then the summary. It writes one record at a time, because a snapshot may
/// have many.
pub(super) fn prepare_commit(
    layout: &Layout,
    head: MirrorSummary,
    counts: Counts,
    manifest: Manifest,
    before: Before,
    options: &ImportOptions,
    staging: &mut Staging,
) -> Result<PreparedCommit, Error> {
    let Before { own: record_state, known: ledger_state, warnings } = before;
    let imported = format_time(options.now);
    let mut head = head.with_counts(counts);
    let mut names = ledger_state.record_names.clone();
    let mut records = Vec::new();
    let mut acceptances = Vec::new();
    let new_histories = ledger_state.new_histories(layout, &head, &manifest);
    for feed in new_histories {
        let mut lineage = feed.lineage_tip(String::new());
        let name =
            ledger::next_record_name(&names, head.newest_record.as_ref(), ledger_state.noted_number, &lineage.bundle);
        lineage.record.clone_from(&name);
        let (file, carried) = (feed.file_name(&options.file_name), feed.as_carried());
        let rows = (carried.crates.len() + carried.dist_files.len()) as u64;
        let size = HistorySize { weight: history_weight(&carried.lineage, &file, rows), rows };
        let lost = LostBundle::find(layout, &head, &names, &lineage)?;
        let is_recorded = lost.is_named() || ledger_state.is_in_chain(layout, &head, &lineage);
        if let Some(acceptance) = retired::find_acceptance(layout, &ledger_state.retirements, &lineage)? {
            lineage.accept();
            acceptances.push((acceptance, lineage.clone()));
        }
        head = head.with_import(&imported, lineage.clone(), is_recorded, size);
        head.imports -= u64::from(lost.replaces_record());
        if lost.replaces_record() && head.imports == names.len() as u64 + 1 {
            ledger_state.compare_restored(layout, &mut head, &lineage)?;
        }
        names.push(name.clone());
        let previous = chain::predecessor(layout, &ledger_state.record_names, head.newest_record.as_ref(), &name)?;
        let record = Record {
            previous,
            snapshot_id: Some(manifest.id.clone()),
            gap_after: head.gap_before(&name),
            ..Record::new(imported.clone(), file, head.totals(), history_manifest(carried, &manifest))
        };
        let (staged, sha256) = record.stage(staging)?;
        head.newest_record = Some(RecordRef { record: name.clone(), sha256 });
        records.push((name, staged));
    }
    if !matches!(record_state, RecordState::Recorded(_)) || !records.is_empty() {
        let name =
            ledger::next_record_name(&names, head.newest_record.as_ref(), ledger_state.noted_number, &manifest.id);
        let mut tip = LineageTip::from_manifest(&manifest, name.clone());
        let replaces_damaged = matches!(record_state, RecordState::Corrupt(_));
        let lost = if replaces_damaged { LostBundle::No } else { LostBundle::find(layout, &head, &names, &tip)? };
        let replaces_lost = lost.replaces_record();
        head = match manifest.kind {
            BundleKind::Snapshot => head.with_record(&imported),
            BundleKind::Full | BundleKind::Delta => {
                let size = HistorySize::from_manifest(&manifest, &options.file_name);
                let is_recorded = lost.is_named() || replaces_damaged || ledger_state.is_in_chain(layout, &head, &tip);
                if let Some(acceptance) = retired::find_acceptance(layout, &ledger_state.retirements, &tip)? {
                    tip.accept();
                    acceptances.push((acceptance, tip.clone()));
                }
                head.with_import(&imported, tip.clone(), is_recorded, size)
            }
        };
        // A record that this one replaces is already counted.
        head.imports -= u64::from(replaces_lost || replaces_damaged);
        if replaces_lost && manifest.kind != BundleKind::Snapshot && head.imports == names.len() as u64 + 1 {
            ledger_state.compare_restored(layout, &mut head, &tip)?;
        }
        if replaces_damaged {
            // Without a summary, the damaged record is in `names` only.
            head.imports = head.imports.max(names.len() as u64);
        }
        let manifest = Manifest { blocks: Vec::new(), ..manifest };
        let previous = chain::predecessor(layout, &ledger_state.record_names, head.newest_record.as_ref(), &name)?;
        let record = Record {
            previous,
            gap_after: head.gap_before(&name),
            warnings,
            ..Record::new(imported, options.file_name.clone(), head.totals(), manifest)
        };
        let (staged, sha256) = record.stage(staging)?;
        head.newest_record = Some(RecordRef { record: name.clone(), sha256 });
        records.push((name, staged));
    }
    Ok(PreparedCommit { summary: head, records, acceptances })
}
