//! The ledger: one immutable record per bundle, in the order of import. Writing a record commits an import.
//!
//! A record's first line states the import and the bundle. The bundle's manifest without its payload table follows. That
//! is the whole resolved set, from which a collection derives the current files, and upstream's crate descriptions. The
//! notes of [`super::retired`] are in the same folder.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::carried_history::carried_manifest;
use super::dist_files::DistFiles;
use super::layout::Layout;
use super::lineages::{LineageTip, REBUILT_LINEAGE};
use super::live;
use super::retired::{self, Retirement};
use super::summary::{HistorySize, ImportTotals, MirrorSummary};
use super::transaction::{Error, counts_are_stale};
use crate::bundle::format::{BundleKind, CarriedHistory, Manifest};
use crate::crate_id::CrateId;
use crate::digest::Sha256;

pub(super) mod chain;
mod known_bundles;
mod lost_bundle;
pub(super) mod lost_records;
mod quick_check;
mod record_file;
mod record_header;
mod record_name;
pub(super) mod seal;

pub use chain::ChainFaultKind;
pub(super) use known_bundles::{CountingBundle, KnownBundles};
pub(super) use lost_bundle::LostBundle;
pub use quick_check::{FaultyRecord, QuickCheck};
use record_file::RecordContents;
pub(super) use record_file::read_checked_header;
pub use record_file::{Record, RecordFile, read_header};
use record_header::LineageHeader;
pub use record_header::{BundleHeader, RecordHeader};
pub use record_name::{RecordRef, contains_bundle, record_names, record_number, stray_names};
pub(super) use record_name::{bundle_of_record, find_record, has_valid_id, next_record_name};

/// Reads several records. The records of one snapshot's histories share its tables, which are read once.
pub struct Reader<'l> {
    layout: &'l Layout,
    /// The names of all records, loaded on demand.
    names: Option<Vec<String>>,
    /// The manifest of the snapshot that was read last, by its id.
    snapshot: Option<(String, Manifest)>,
}

impl<'l> Reader<'l> {
    /// A reader of this mirror's ledger.
    pub fn new(layout: &'l Layout) -> Reader<'l> {
        Reader { layout, names: None, snapshot: None }
    }

    /// The mirror.
    pub fn layout(&self) -> &'l Layout {
        self.layout
    }

    /// The record `name`, with its tables; `None` if it is invalid.
    ///
    /// # Errors
    /// A file system operation failed.
    pub fn read(&mut self, name: &str) -> Result<Option<Record>, Error> {
        Ok(self.read_with_header(name)?.map(|(_, _, record)| record))
    }

    /// The same with the record's first line and its digest.
    pub(super) fn read_with_header(&mut self, name: &str) -> Result<Option<(RecordHeader, Sha256, Record)>, Error> {
        let Some(mut file) = RecordFile::open(self.layout, name)? else { return Ok(None) };
        let manifest = match (file.read_contents()?, &file.header.snapshot_id) {
            (Some(RecordContents::Bundle(manifest)), None) => Some(manifest),
            (Some(RecordContents::History(carried)), Some(snapshot)) => self.read_history(&carried, snapshot)?,
            _ => None,
        };
        Ok(manifest.map(|manifest| (file.header.clone(), file.sha256, Record::from_parts(file.header, manifest))))
    }

    /// The manifest of a history in the snapshot with this id; `None` if the snapshot's record cannot be read.
    fn read_history(&mut self, carried: &CarriedHistory, snapshot: &str) -> Result<Option<Manifest>, Error> {
        if self.snapshot.as_ref().is_none_or(|(known, _)| known != snapshot) {
            let Some(manifest) = self.read_snapshot(snapshot)? else { return Ok(None) };
            self.snapshot = Some((snapshot.to_owned(), manifest));
        }
        Ok(self.snapshot.as_ref().and_then(|(_, snapshot)| carried_manifest(carried, snapshot)))
    }
}

/// What the bundle of the record `name` adds to a snapshot; `None` if the record cannot be read.
pub(super) fn read_history_size(layout: &Layout, name: &str) -> Result<Option<HistorySize>, Error> {
    Ok(read_header(layout, name)?.map(|header| header.history_size()))
}

/// The name of the bundle's file in the record `name`; `None` if the record cannot be read.
pub(super) fn read_file_name(layout: &Layout, name: &str) -> Result<Option<String>, Error> {
    Ok(read_header(layout, name)?.map(|header| header.file))
}

/// The lineage in the record `name`; `None` if the record cannot be read.
pub(super) fn read_lineage(layout: &Layout, name: &str) -> Result<Option<String>, Error> {
    Ok(read_header(layout, name)?.map(|header| header.bundle.lineage.id))
}

impl Reader<'_> {
    /// The manifest in a snapshot's own record. It may be missing after a killed import.
    fn read_snapshot(&mut self, id: &str) -> Result<Option<Manifest>, Error> {
        let names = match self.names.take() {
            Some(names) => names,
            None => record_names(self.layout)?,
        };
        let end = format!("-{id}.json");
        let mut found = None;
        for name in names.iter().rev().filter(|name| name.ends_with(&end)) {
            let Some(mut file) = RecordFile::open(self.layout, name)? else { continue };
            // A hostile snapshot may include a history whose bundle has another snapshot's id.
            if file.header.bundle.kind == BundleKind::Snapshot
                && let Some(RecordContents::Bundle(manifest)) = file.read_contents()?
            {
                found = Some(manifest);
                break;
            }
        }
        self.names = Some(names);
        Ok(found)
    }
}

/// The record `name`; `None` if it is invalid.
///
/// # Errors
/// A file system operation failed.
pub fn read_record(layout: &Layout, name: &str) -> Result<Option<Record>, Error> {
    Reader::new(layout).read(name)
}

/// The digests that bundles on record state for each crate, and live mode's for other crates. Records that are damaged, or
/// that the chain contradicts, prove nothing, and neither do those of a rebuild or of rejected bundles.
pub(super) fn recorded_digests(layout: &Layout) -> Result<HashMap<CrateId, BTreeSet<Sha256>>, Error> {
    let stated = MirrorSummary::read(layout)?.and_then(|summary| summary.newest_record);
    let faults = chain::read_faults(layout, stated.as_ref())?;
    let mut digests: HashMap<CrateId, BTreeSet<Sha256>> = HashMap::new();
    let mut reader = Reader::new(layout);
    let notes = retired::read_retirements(layout)?;
    for name in record_names(layout)? {
        let is_trusted = faults.iter().all(|fault| fault.record != name);
        let record = if is_trusted { reader.read(&name)? } else { None };
        let number = record_number(&name).unwrap_or(0);
        let counts = |record: &Record| {
            let lineage = record.manifest.lineage.id.as_str();
            lineage != REBUILT_LINEAGE && !retired::is_rejected(&notes, number, lineage)
        };
        for one in record.into_iter().filter(counts) {
            for one in &one.manifest.crates {
                digests.entry(one.id()).or_default().insert(one.sha256);
            }
        }
    }
    for record in live::LiveLineage::read(layout)?.current() {
        if let Some(id) = record.item.crate_id() {
            digests.entry(id.clone()).or_insert_with(|| [record.sha256].into());
        }
    }
    Ok(digests)
}

/// A bundle on record.
#[derive(Clone, Debug)]
pub(super) struct ImportedBundle {
    /// Its history.
    pub(super) lineage: String,
    /// Its number in its history.
    pub(super) sequence: u64,
    /// The id of the bundle before it, as it states.
    pub(super) previous: Option<String>,
    /// The id of the bundle on which it is a delta.
    pub(super) base: Option<String>,
    /// Whether a snapshot brought it.
    pub(super) is_of_snapshot: bool,
    /// Its id.
    pub(super) id: String,
    /// The name of its file.
    pub(super) file: String,
    /// Its kind.
    pub(super) kind: BundleKind,
    /// The name of its record.
    pub(super) record: String,
    /// When it was written (RFC 3339, UTC).
    pub(super) created: String,
}

/// The readable records of the history `lineage` that count, in the order of import.
pub(super) fn read_imported_bundles(layout: &Layout, lineage: &str) -> Result<Vec<ImportedBundle>, Error> {
    retain_counting(layout, read_bundles_of_lineage(layout, lineage)?)
}

/// The readable records of the history `lineage` that would not be rejected if the bundle `suspect` were, in the order of import. If
/// that one was accepted, those before it, and those that its acceptance rejected, are among them.
pub(super) fn read_bundles_without(
    layout: &Layout,
    lineage: &str,
    suspect: &str,
) -> Result<Vec<ImportedBundle>, Error> {
    let mut notes = retired::read_retirements(layout)?;
    let mut bundles = read_bundles_of_lineage(layout, lineage)?;
    let suspects = bundles.iter().filter(|one| one.id == suspect).filter_map(|one| record_number(&one.record));
    notes.extend(suspects.map(|number| Retirement::of_false_bundle(lineage, number)));
    bundles.retain(|one| !retired::is_rejected(&notes, record_number(&one.record).unwrap_or(0), &one.lineage));
    Ok(bundles)
}

/// All readable records that count, in the order of import.
pub(super) fn read_counting_bundles(layout: &Layout) -> Result<Vec<ImportedBundle>, Error> {
    retain_counting(layout, read_bundles(layout, |_| true)?)
}

fn retain_counting(layout: &Layout, mut bundles: Vec<ImportedBundle>) -> Result<Vec<ImportedBundle>, Error> {
    let notes = retired::read_retirements(layout)?;
    bundles.retain(|one| !retired::is_retired(&notes, record_number(&one.record).unwrap_or(0), &one.lineage));
    Ok(bundles)
}

/// All readable records of the history `lineage`, in the order of import.
pub(super) fn read_bundles_of_lineage(layout: &Layout, lineage: &str) -> Result<Vec<ImportedBundle>, Error> {
    read_bundles(layout, |id| id == lineage)
}

/// A snapshot that brought histories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarryingSnapshot {
    /// Its id.
    pub id: String,
    /// The number of histories in the mirror that it brought.
    pub histories: usize,
}

/// The snapshot that brought the most of the histories in `summary`; `None` if none brought several.
pub(super) fn find_carrying_snapshot(
    layout: &Layout,
    summary: &MirrorSummary,
) -> Result<Option<CarryingSnapshot>, Error> {
    let mut found: BTreeMap<String, CarryingSnapshot> = BTreeMap::new();
    // The summary may name the record of an import that was refused.
    let names: BTreeSet<String> = record_names(layout)?.into_iter().collect();
    let tips = summary.lineages.iter().chain(&summary.contested);
    for tip in tips.filter(|tip| names.contains(&tip.record)) {
        let Some(RecordHeader { snapshot_id: Some(id), .. }) = read_header(layout, &tip.record)? else { continue };
        let snapshot = CarryingSnapshot { id: id.clone(), histories: 0 };
        found.entry(id).or_insert(snapshot).histories += 1;
    }
    let most = found.into_values().max_by_key(|snapshot| snapshot.histories);
    Ok(most.filter(|snapshot| snapshot.histories > 1))
}

/// All readable records of the histories for which `is_wanted` returns true, in the order of import.
fn read_bundles(layout: &Layout, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<ImportedBundle>, Error> {
    let mut bundles = Vec::new();
    for name in record_names(layout)? {
        let Some(header) = read_header(layout, &name)? else { continue };
        let is_of_snapshot = header.is_of_snapshot();
        let RecordHeader { file, bundle, .. } = header;
        let BundleHeader { id, created, kind, parent, lineage, .. } = bundle;
        let base = parent.map(|parent| parent.id);
        let LineageHeader { id: lineage, sequence, previous, .. } = lineage;
        if is_wanted(&lineage) && kind != BundleKind::Snapshot {
            let record = name;
            bundles.push(ImportedBundle {
                lineage,
                sequence,
                previous,
                base,
                is_of_snapshot,
                id,
                file,
                kind,
                record,
                created,
            });
        }
    }
    Ok(bundles)
}

/// The bundles that the ledger has, and those that their manifests name as the ones before them. To each belongs the time
/// before which it was written: that of the bundle that names it.
#[derive(Debug, Default)]
pub(super) struct ChainNames(HashMap<(String, u64, String), String>);

impl ChainNames {
    /// Reads all records that count.
    pub(super) fn read(layout: &Layout) -> Result<ChainNames, Error> {
        let mut names = ChainNames::default();
        for ImportedBundle { lineage, sequence, previous, id, created, .. } in read_counting_bundles(layout)? {
            if let (Some(previous), Some(before)) = (previous, sequence.checked_sub(1)) {
                names.insert((lineage.clone(), before, previous), created.clone());
            }
            names.insert((lineage, sequence, id), created);
        }
        Ok(names)
    }

    fn insert(&mut self, bundle: (String, u64, String), time: String) {
        let latest = self.0.entry(bundle).or_default();
        *latest = time.max(std::mem::take(latest));
    }

    /// Whether this bundle is one of them.
    pub(super) fn has(&self, tip: &LineageTip) -> bool {
        let time = self.0.get(&(tip.id.clone(), tip.sequence, tip.bundle.clone()));
        time.is_some_and(|time| *time >= tip.created)
    }
}

/// What a record states about the import of its bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EarlierImport {
    /// The name of the bundle's file.
    pub(super) file: String,
    /// The time of the import (RFC 3339, UTC).
    pub(super) imported_at: String,
    /// The warnings of the import.
    pub(super) warnings: Vec<String>,
}

/// The summary of a mirror: from `manifest.json`, in constant time. If that is lost, or a killed import may not have
/// updated it, the summary comes from the newest record. `None` if neither can be read.
///
/// # Errors
/// A file system operation failed; a missing file is not an error.
pub fn read_summary(layout: &Layout) -> Result<Option<MirrorSummary>, Error> {
    let file = MirrorSummary::read(layout)?;
    if file.is_some() && !counts_are_stale(layout) {
        return Ok(file);
    }
    Ok(derive_summary(layout)?.or(file))
}

/// The summary derived from the readable records: the counts of the newest, and the histories of all, except retired
/// ones. `None` without such a record.
pub(super) fn derive_summary(layout: &Layout) -> Result<Option<MirrorSummary>, Error> {
    let notes = retired::read_retirements(layout)?;
    let (mut head, mut tip, mut known) = (MirrorSummary::default(), None, KnownBundles::default());
    for name in record_names(layout)? {
        // A record is written completely or not at all, so an unreadable one is corrupt.
        let Some((header, sha256)) = read_checked_header(layout, &name)? else { continue };
        let dropped = retired::count_dropped_before(&notes, record_number(&name).unwrap_or(0));
        tip = Some(ImportTotals { imports: header.totals.imports.saturating_sub(dropped), ..header.totals });
        head = add_history(head, &name, &header, &notes, &mut known);
        head.newest_record = Some(RecordRef { record: name, sha256 });
    }
    let Some(ImportTotals { counts, imports }) = tip else { return Ok(None) };
    let toolchains = DistFiles::read(layout)?.map(|artifacts| artifacts.toolchain_names()).unwrap_or_default();
    Ok(Some(MirrorSummary { imports, toolchains, ..head.with_counts(counts) }))
}

/// The bundles of the history `lineage`, as the records that count state them.
pub(super) fn read_known_bundles(layout: &Layout, lineage: &str) -> Result<KnownBundles, Error> {
    let notes = retired::read_retirements(layout)?;
    let mut known = KnownBundles::default();
    for name in record_names(layout)? {
        let Some(header) = read_header(layout, &name)? else { continue };
        if header.bundle.lineage.id == lineage {
            known.add(header.tip(&name), header.bundle.kind, &notes);
        }
    }
    Ok(known)
}

/// Adds to `head` what the record `name` states about its history and about the time of the last import. `known` are the
/// bundles of the records before it.
pub(super) fn add_history(
    mut head: MirrorSummary,
    name: &str,
    record: &RecordHeader,
    notes: &[Retirement],
    known: &mut KnownBundles,
) -> MirrorSummary {
    let imported = &record.imported_at;
    let lineage = record.tip(name);
    let last_import = if lineage.id == REBUILT_LINEAGE { head.last_import.clone() } else { Some(imported.clone()) };
    if let Some(CountingBundle { tip, is_recorded, remaining }) = known.add(lineage, record.bundle.kind, notes) {
        if let Some(remaining) = remaining {
            head.set_contenders(&tip.id, remaining);
        }
        head = head.with_import(imported, tip, is_recorded, record.history_size());
    }
    head.last_import = last_import;
    head
}
