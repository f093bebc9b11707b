//! Head and ledger: read whole, and held against each other.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use super::problem::{Fault, Problem, SummaryFault};
use crate::bundle::format::{BundleKind, CrateState, DistFileState, Manifest};
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::mirror::dist_files::{DistFile, DistFiles, MutableName};
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, Reader, Record};
use crate::mirror::live::{self, ItemId, LiveTotals, RecordFile};
use crate::mirror::retired::{self, Retirement};
use crate::mirror::summary::{Counts, ImportTotals, LineageTip, MirrorSummary};
use crate::mirror::transaction::Error;
use crate::safe_path::SafePath;

/// What stands for the record of a crate that live mode brought.
pub(super) const LIVE_RECORDS: &str = "live/records";

/// Live mode's records, relative to the mirror.
const LIVE_RECORDS_PATH: &str = ".frostmirror/live/records";

/// What is on record of the whole mirror.
pub(in crate::mirror) struct Metadata {
    /// `manifest.json`, where it can be read.
    pub(in crate::mirror) summary: Option<MirrorSummary>,
    /// Something is at its place.
    summary_exists: bool,
    /// The records that can be read, in the order of import.
    pub(in crate::mirror) records: Vec<RecordHeader>,
    /// The names of those that cannot.
    pub(in crate::mirror) unreadable: Vec<String>,
    /// Every crate that a record names, as the last one that does.
    pub(in crate::mirror) crates: HashMap<CrateId, CrateRef>,
    /// What is on record of rustup artifacts; `None` where it cannot be read, or is gone though the ledger names some.
    pub(in crate::mirror) dist_files: Option<DistFiles>,
    /// Every rustup artifact that a record names: each digest that it ever had, with the latest time.
    pub(in crate::mirror) dist_file_digests: BTreeMap<SafePath, Vec<DistFile>>,
    /// Numbers of lines of live mode's records that are none.
    pub(in crate::mirror) damaged_live_lines: Vec<usize>,
    /// What live mode's records come to, and what is written of that; `None` where nothing is.
    live_totals: (LiveTotals, Option<LiveTotals>),
    /// Rustup artifacts that live mode brought, with their digests.
    live_dist_files: Vec<(SafePath, Sha256)>,
    /// Lineages that were let go.
    retirements: Vec<Retirement>,
    /// How names are spelled, by the place of their index file.
    crate_names: OnceLock<HashMap<String, CrateName>>,
}

/// The first lines of a record.
pub(in crate::mirror) struct RecordHeader {
    /// The head as of that import.
    pub(in crate::mirror) totals: ImportTotals,
    /// The bundle as its lineage's newest.
    pub(in crate::mirror) lineage: LineageTip,
    /// It is of a snapshot, which is of no lineage: those that it brought along have records of their own.
    is_snapshot: bool,
}

/// What the ledger says of a crate.
pub(in crate::mirror) struct CrateRef {
    /// Its digest.
    pub(in crate::mirror) sha256: Sha256,
    /// The record that says so.
    pub(in crate::mirror) record: Arc<str>,
    /// Its file was left out and never sent.
    index_only: bool,
    /// The newest record of a lineage of the head names it as held.
    is_current: bool,
}

impl CrateRef {
    /// Whether the newest record of a lineage names it as held.
    pub(super) fn is_current(&self) -> bool {
        self.is_current
    }
}

impl Metadata {
    /// Reads head and ledger.
    pub(super) fn read(layout: &Layout) -> Result<Metadata, Error> {
        let head = MirrorSummary::read(layout)?;
        let mut metadata = Metadata {
            summary: head,
            summary_exists: fs::symlink_metadata(layout.summary()).is_ok(),
            records: Vec::new(),
            unreadable: Vec::new(),
            crates: HashMap::new(),
            dist_files: DistFiles::read(layout)?,
            dist_file_digests: BTreeMap::new(),
            damaged_live_lines: Vec::new(),
            live_totals: (LiveTotals::default(), None),
            live_dist_files: Vec::new(),
            retirements: retired::read_retirements(layout)?,
            crate_names: OnceLock::new(),
        };
        // One that was let go by a collection that did not come to write the head needs nothing any more.
        let counts = |lineage: &&LineageTip| {
            !retired::is_retired(
                &metadata.retirements,
                ledger::record_number(&lineage.record).unwrap_or(0),
                &lineage.id,
            )
        };
        let lineages = metadata.summary.iter().flat_map(|head| &head.lineages).filter(counts);
        let newest: HashSet<String> = lineages.map(|lineage| lineage.record.clone()).collect();
        let mut reader = Reader::new(layout);
        for name in ledger::record_names(layout)? {
            // What the system cannot read is of as little use as what is no record.
            match reader.read(&name).ok().flatten().filter(|record| matches_file_name(&name, &record.manifest)) {
                Some(record) => metadata.add_record(&name, record, newest.contains(&name)),
                None => metadata.unreadable.push(name),
            }
        }
        metadata.add_live_records(RecordFile::read(&layout.live_records())?);
        metadata.live_totals.1 =
            fs::read(layout.live_counts()).ok().map(|text| serde_json::from_slice(&text).unwrap_or_default());
        if !metadata.dist_file_digests.is_empty() && fs::symlink_metadata(layout.dist_files()).is_err() {
            metadata.dist_files = None;
        }
        Ok(metadata)
    }

    fn add_record(&mut self, name: &str, record: Record, newest: bool) {
        let record_name: Arc<str> = name.into();
        self.crates.reserve(record.manifest.crates.len());
        for one in &record.manifest.crates {
            let is_stored = matches!(one.state, CrateState::Shipped | CrateState::Sent);
            let left_out = one.state == CrateState::IndexOnly;
            let (sha256, record) = (one.sha256, record_name.clone());
            let named = CrateRef { sha256, record, index_only: left_out, is_current: newest && is_stored };
            match self.crates.entry(one.id()) {
                Entry::Vacant(place) => {
                    place.insert(named);
                }
                Entry::Occupied(mut before) => {
                    // It came with some bundle, or came with none.
                    let (left_out, current) = (before.get().index_only, before.get().is_current);
                    before.insert(CrateRef {
                        index_only: named.index_only && left_out,
                        is_current: named.is_current || current,
                        ..named
                    });
                }
            }
        }
        for one in record.manifest.dist_files.iter().filter(|one| one.state != DistFileState::Kept) {
            let read = record.manifest.dist_file_read_at(one).parse().unwrap_or(Timestamp::MIN);
            let digests = self.dist_file_digests.entry(one.path.clone()).or_default();
            match digests.iter_mut().find(|before| before.sha256 == one.sha256) {
                Some(before) => before.read_at = before.read_at.max(read),
                None => digests.push(DistFile { sha256: one.sha256, size: one.size, read_at: read }),
            }
        }
        let lineage = LineageTip::from_manifest(&record.manifest, name.to_owned());
        let snapshot = record.manifest.kind == BundleKind::Snapshot;
        self.records.push(RecordHeader { totals: record.totals, lineage, is_snapshot: snapshot });
    }

    /// What live mode brought is current, as what the newest record of a lineage names is.
    fn add_live_records(&mut self, file: RecordFile) {
        let record: Arc<str> = LIVE_RECORDS.into();
        self.live_totals.0 = live::sum_totals(&file.records);
        self.damaged_live_lines = file.damaged_lines;
        for one in file.records {
            let sha256 = one.sha256;
            match one.item {
                ItemId::Crate(id) => {
                    self.crates
                        .insert(id, CrateRef { sha256, record: record.clone(), index_only: false, is_current: true });
                }
                ItemId::DistFile(path) => {
                    let digests = self.dist_file_digests.entry(path.clone()).or_default();
                    match digests.iter_mut().find(|before| before.sha256 == sha256) {
                        Some(before) => before.read_at = before.read_at.max(one.read_at),
                        None => digests.push(DistFile { sha256, size: one.size, read_at: one.read_at }),
                    }
                    self.live_dist_files.push((path, sha256));
                }
            }
        }
    }

    /// What is wrong with live mode's records, where this many lines of them are none; and what must be fetched again.
    pub(super) fn check_live(&self) -> (Vec<Problem>, Vec<(SafePath, Sha256)>) {
        let damaged = self.damaged_live_lines.iter().map(|number| Fault::LiveRecord { number: *number });
        let mut problems: Vec<Problem> = damaged.map(|fault| Problem::new(LIVE_RECORDS_PATH, fault)).collect();
        let (found, says) = self.live_totals;
        // Without a file the numbers are taken from the records.
        if let Some(says) = says.filter(|says| *says != found) {
            let fault =
                Fault::LiveCounts { says: says.crates + says.dist_files, found: found.crates + found.dist_files };
            problems.push(Problem::new(".frostmirror/live/counts", fault));
        }
        let mut repairs = Vec::new();
        let Some(artifacts) = &self.dist_files else { return (problems, repairs) };
        // What moves may be another one by now, or gone with it.
        for (path, sha256) in self.live_dist_files.iter().filter(|(path, _)| MutableName::from_path(path).is_none()) {
            if artifacts.0.get(path).is_none_or(|held| held.sha256 != *sha256) {
                problems.push(Problem::new(path.as_str(), Fault::LiveDistFile));
                repairs.push((path.clone(), *sha256));
            }
        }
        (problems, repairs)
    }

    /// Whether nothing is on record at all.
    pub(super) fn is_empty(&self) -> bool {
        self.live_totals.0 == LiveTotals::default()
            && self.records.is_empty()
            && self.unreadable.is_empty()
            && !self.summary_exists
    }

    /// Whether the record called `name` can be read.
    pub(in crate::mirror) fn has_record(&self, name: &str) -> bool {
        self.records.iter().any(|record| record.lineage.record == name)
    }

    /// Whether the ledger names the crate and no bundle ever brought its file.
    pub(in crate::mirror) fn is_index_only(&self, id: &CrateId) -> bool {
        self.crates.get(id).is_some_and(|named| named.index_only)
    }

    /// How the ledger spells the name whose index file is at `place`; asked only where index files are lost.
    pub(super) fn crate_name_at(&self, path: &str) -> Option<&CrateName> {
        let by_place = || self.crates.keys().map(|id| (id.name.index_path(), id.name.clone())).collect();
        self.crate_names.get_or_init(by_place).get(path)
    }

    /// Crates that the newest bundle of a lineage brought or relied on.
    pub(super) fn current_crates(&self) -> impl Iterator<Item = (&CrateId, &CrateRef)> {
        self.crates.iter().filter(|(_, named)| named.is_current)
    }

    /// The newest readable record of each lineage.
    pub(in crate::mirror) fn newest_records(&self) -> BTreeMap<&str, &LineageTip> {
        let mut newest: BTreeMap<&str, &LineageTip> = BTreeMap::new();
        for RecordHeader { lineage, .. } in self.records.iter().filter(|record| !record.is_snapshot) {
            let known = newest.entry(&lineage.id).or_insert(lineage);
            // Of one bundle, what it says itself came later than what a snapshot said of it.
            if known.bundle == lineage.bundle || !known.is_newer(lineage) {
                *known = lineage;
            }
        }
        newest
    }

    /// The newest readable record of each lineage that counts and that the head does not name.
    pub(in crate::mirror) fn lineages_missing_from_summary(&self) -> impl Iterator<Item = &LineageTip> {
        let named: HashSet<&str> =
            self.summary.iter().flat_map(|head| &head.lineages).map(|lineage| lineage.id.as_str()).collect();
        self.newest_records().into_values().filter(move |lineage| {
            let number = ledger::record_number(&lineage.record).unwrap_or(0);
            !named.contains(lineage.id.as_str()) && !retired::is_retired(&self.retirements, number, &lineage.id)
        })
    }

    /// What is wrong with head and ledger, where this is on disk.
    pub(super) fn check(&self, counts: &Counts) -> Vec<Problem> {
        let unreadable = |name: &String| Problem::new(format!(".frostmirror/ledger/{name}"), Fault::LedgerRecord);
        let mut problems: Vec<Problem> = self.unreadable.iter().map(unreadable).collect();
        let mut head_fault = |fault| problems.push(Problem::new("manifest.json", Fault::Summary(fault)));
        let found = self.records.len() as u64;
        let Some(head) = &self.summary else {
            head_fault(if self.summary_exists { SummaryFault::Damaged } else { SummaryFault::Missing });
            // The newest record has a copy of the head, which knows how many there were.
            if let Some(says) = self.records.last().map(|record| record.totals.imports).filter(|says| *says != found) {
                head_fault(SummaryFault::Imports { says, found });
            }
            return problems;
        };
        for (what, says, found) in [
            ("names", head.counts.crates, counts.crates),
            ("crates", head.counts.versions, counts.versions),
            ("bytes of crates", head.counts.bytes, counts.bytes),
            ("rustup artifacts", head.counts.dist_files, counts.dist_files),
            ("bytes of rustup artifacts", head.counts.dist_file_bytes, counts.dist_file_bytes),
        ] {
            if says != found {
                head_fault(SummaryFault::Count { what, says, found });
            }
        }
        if head.imports != found {
            head_fault(SummaryFault::Imports { says: head.imports, found });
        }
        let newest = self.newest_records();
        for lineage in &head.lineages {
            let (id, record) = (lineage.id.clone(), lineage.record.clone());
            // From where its number jumped stands in no record: it follows from all of them.
            let said = LineageTip { gap_after: None, ..lineage.clone() };
            if !self.records.iter().any(|known| known.lineage == said) {
                head_fault(SummaryFault::MissingRecord { lineage: id, record });
            } else if let Some(newer) = newest.get(lineage.id.as_str()).filter(|newer| newer.record != record) {
                head_fault(SummaryFault::OutdatedRecord { lineage: id, record: newer.record.clone() });
            }
        }
        for lineage in self.lineages_missing_from_summary() {
            let (lineage, record) = (lineage.id.clone(), lineage.record.clone());
            head_fault(SummaryFault::MissingLineage { lineage, record });
        }
        problems
    }
}

/// Whether a record is in the file that is called for its bundle.
fn matches_file_name(name: &str, manifest: &Manifest) -> bool {
    name.strip_suffix(".json").and_then(|name| name.split_once('-')).is_some_and(|(_, id)| id == manifest.id)
}
