//! The ledger: one immutable record per bundle, in the order of import. Writing a record commits an import.
//!
//! A record contains the bundle's manifest without its payload table. That is the whole resolved set, from which a
//! collection derives the current files, and upstream's crate descriptions. The notes of [`super::retired`] are in the
//! same folder.

use std::collections::{BTreeSet, HashMap};
use std::fs;

use serde::{Deserialize, Serialize};

use super::carried_history::carried_manifest;
use super::dist_files::DistFiles;
use super::layout::Layout;
use super::lineages::{LineageTip, REBUILT_LINEAGE};
use super::live;
use super::retired::{self, Retirement};
use super::staging::{StagedFile, Staging};
use super::summary::{HistorySize, ImportTotals, MirrorSummary};
use super::transaction::{Error, counts_are_stale, failed};
use crate::bundle::format::{BundleKind, Manifest};
use crate::crate_id::CrateId;
use crate::digest::Sha256;

pub(super) mod chain;
mod known_bundles;
mod lost_bundle;
pub(super) mod lost_records;
mod quick_check;
mod record_header;
mod record_name;
pub(super) mod seal;

pub use chain::ChainFaultKind;
pub(super) use known_bundles::{CountingBundle, KnownBundles};
pub(super) use lost_bundle::LostBundle;
pub use quick_check::{FaultyRecord, QuickCheck};
pub(super) use record_header::RecordHeader;
use record_header::{LineageHeader, ManifestHeader};
pub use record_name::{RecordRef, contains_bundle, record_names, record_number, stray_names};
pub(super) use record_name::{bundle_of_record, find_record, has_valid_id, next_record_name};

/// One import.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The record before this one; `None` for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<RecordRef>,
    /// When it was done (RFC 3339, UTC).
    #[serde(rename = "imported")]
    pub imported_at: String,
    /// The name of the bundle's file.
    pub file: String,
    /// The totals of the mirror after this import.
    #[serde(rename = "head")]
    pub totals: ImportTotals,
    /// For a history that a snapshot included, the snapshot's id. In its file, the manifest then has one `carried` and
    /// no tables: its positions refer to the tables in the snapshot's own record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "snapshot")]
    pub snapshot_id: Option<String>,
    /// See [`LineageTip::gap_after`], as of this import. The other records show it too, but any of them may be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "jumped_from")]
    pub gap_after: Option<u64>,
    /// Warnings of the import, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The bundle's manifest, without its blocks.
    pub manifest: Manifest,
}

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
        Ok(self.read_with_digest(name)?.map(|(record, _)| record))
    }

    /// The same with the digest of the record's content.
    pub(super) fn read_with_digest(&mut self, name: &str) -> Result<Option<(Record, Sha256)>, Error> {
        let Some((text, sha256)) = read_text(self.layout, name)? else { return Ok(None) };
        let Ok(mut record) = serde_json::from_slice::<Record>(&text) else { return Ok(None) };
        drop(text);
        let (Some(of), [carried]) = (&record.snapshot_id, record.manifest.carried_histories.as_slice()) else {
            return Ok(Some((record, sha256)).filter(|(record, _)| record.snapshot_id.is_none()));
        };
        if self.snapshot.as_ref().is_none_or(|(known, _)| known != of) {
            let Some(manifest) = self.read_snapshot(of)? else { return Ok(None) };
            self.snapshot = Some((of.clone(), manifest));
        }
        let tables = self.snapshot.as_ref().and_then(|(_, snapshot)| carried_manifest(carried, snapshot));
        let Some(manifest) = tables else { return Ok(None) };
        record.manifest = manifest;
        Ok(Some((record, sha256)))
    }
}

/// What the bundle of the record `name` adds to a snapshot; `None` if the record cannot be read.
pub(super) fn read_history_size(layout: &Layout, name: &str) -> Result<Option<HistorySize>, Error> {
    Ok(read_stored_record(layout, name)?.map(|record| HistorySize::from_manifest(&record.manifest, &record.file)))
}

/// The name of the bundle's file in the record `name`; `None` if the record cannot be read.
pub(super) fn read_file_name(layout: &Layout, name: &str) -> Result<Option<String>, Error> {
    Ok(read_header(layout, name)?.map(|header| header.file))
}

/// The lineage in the record `name`; `None` if the record cannot be read.
pub(super) fn read_lineage(layout: &Layout, name: &str) -> Result<Option<String>, Error> {
    Ok(read_header(layout, name)?.map(|header| header.manifest.lineage.id))
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
            let record = read_stored_record(self.layout, name)?;
            // A hostile snapshot may include a history whose bundle has another snapshot's id.
            let own = |record: &Record| record.manifest.kind == BundleKind::Snapshot && record.snapshot_id.is_none();
            found = record.filter(own).map(|record| record.manifest);
            if found.is_some() {
                break;
            }
        }
        self.names = Some(names);
        Ok(found)
    }
}

/// The text of the record `name`, with the digest of its content; `None` if it does not have the digest that it states.
pub(super) fn read_text(layout: &Layout, name: &str) -> Result<Option<(Vec<u8>, Sha256)>, Error> {
    let path = layout.ledger().join(name);
    let text = fs::read(&path).map_err(failed("read", &path))?;
    Ok(seal::RECORD.check(&text).map(|sha256| (text, sha256)))
}

/// What the record `name` states without its tables; `None` if it is invalid or does not have the digest that it states.
pub(super) fn read_header(layout: &Layout, name: &str) -> Result<Option<RecordHeader>, Error> {
    Ok(read_text(layout, name)?.and_then(|(text, _)| RecordHeader::parse(&text).ok()))
}

fn read_stored_record(layout: &Layout, name: &str) -> Result<Option<Record>, Error> {
    Ok(read_text(layout, name)?.and_then(|(text, _)| serde_json::from_slice(&text).ok()))
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

/// All readable records of the histories for which `is_wanted` returns true, in the order of import.
fn read_bundles(layout: &Layout, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<ImportedBundle>, Error> {
    let mut bundles = Vec::new();
    for name in record_names(layout)? {
        let Some(RecordHeader { file, snapshot, manifest, .. }) = read_header(layout, &name)? else { continue };
        let ManifestHeader { id, created, kind, parent, lineage, .. } = manifest;
        let (base, is_of_snapshot) = (parent.map(|parent| parent.id), snapshot.is_some());
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
        let Some((text, sha256)) = read_text(layout, &name)? else { continue };
        let Ok(record) = serde_json::from_slice::<Record>(&text) else { continue };
        tip = Some(record.totals);
        head = add_history(head, &name, &record, &notes, &mut known);
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
        if header.manifest.lineage.id == lineage {
            known.add(header.tip(&name), header.manifest.kind, &notes);
        }
    }
    Ok(known)
}

/// Adds to `head` what the record `name` states about its history and about the time of the last import. `known` are the
/// bundles of the records before it.
pub(super) fn add_history(
    mut head: MirrorSummary,
    name: &str,
    record: &Record,
    notes: &[Retirement],
    known: &mut KnownBundles,
) -> MirrorSummary {
    let Record { imported_at: imported, file, manifest, gap_after, .. } = record;
    let lineage = LineageTip::from_manifest(manifest, name.to_owned());
    let last_import = if lineage.id == REBUILT_LINEAGE { head.last_import.clone() } else { Some(imported.clone()) };
    let lineage = LineageTip { gap_after: *gap_after, ..lineage };
    if let Some(CountingBundle { tip, is_recorded, remaining }) = known.add(lineage, manifest.kind, notes) {
        if let Some(remaining) = remaining {
            head.set_contenders(&tip.id, remaining);
        }
        let size = HistorySize::from_manifest(manifest, file);
        head = head.with_import(imported, tip, is_recorded, size);
    }
    head.last_import = last_import;
    head
}

impl Record {
    /// The text of the record's file, and the digest of its content.
    pub fn render(&self) -> (Vec<u8>, Sha256) {
        seal::RECORD.render(self)
    }

    /// Stages the record's file. Returns the digest of its content.
    pub(super) fn stage(&self, staging: &mut Staging) -> Result<(StagedFile, Sha256), Error> {
        staging.write_with(|file| seal::RECORD.write(file, self))
    }
}
