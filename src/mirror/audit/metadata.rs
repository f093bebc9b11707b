//! Reads the summary and the ledger completely, and compares them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use super::problem::{Fault, LIVE_RECORDS, Problem, SummaryFault};
use crate::bundle::format::{CrateState, DistFileState, Manifest};
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::mirror::dist_files::{DistFile, DistFiles, MutableName};
use crate::mirror::layout::Layout;
use crate::mirror::ledger::chain::{self, ChainFault};
use crate::mirror::ledger::{self, ChainFaultKind, Reader, Record, RecordRef};
use crate::mirror::lineages::{LineageTip, REBUILT_LINEAGE};
use crate::mirror::live::{ItemId, LiveLineage, LiveTotals};
use crate::mirror::retired::{self, Retirement};
use crate::mirror::summary::{Counts, ImportTotals, MirrorSummary};
use crate::mirror::transaction::Error;
use crate::safe_path::SafePath;

/// Path of live mode's records relative to the mirror.
const LIVE_RECORDS_PATH: &str = ".frostmirror/live/records";

/// All records about the mirror.
pub(in crate::mirror) struct Metadata {
    /// `manifest.json`, if it can be read.
    pub(in crate::mirror) summary: Option<MirrorSummary>,
    /// Whether the path exists.
    summary_exists: bool,
    /// The readable records, in the order of import.
    pub(in crate::mirror) records: Vec<RecordHeader>,
    /// The names of records that are damaged or that the chain contradicts.
    pub(in crate::mirror) unreadable: Vec<String>,
    /// The faults of the chain of records.
    pub(in crate::mirror) chain_faults: Vec<ChainFault>,
    /// Whether a rebuild reported lost records whose bundles were not imported again.
    has_losses: bool,
    /// The newest valid record.
    pub(in crate::mirror) newest_record: Option<RecordRef>,
    /// Every crate that a record names, as the last such record states it.
    pub(in crate::mirror) crates: HashMap<CrateId, CrateRef>,
    /// The record of dist files. `None` if it is unreadable, or if it is missing although the ledger names dist files.
    pub(in crate::mirror) dist_files: Option<DistFiles>,
    /// Every dist file that a record names: each digest that it ever had, with the latest time.
    pub(in crate::mirror) dist_file_digests: BTreeMap<SafePath, Vec<DistFile>>,
    /// Line numbers of invalid lines in live mode's records.
    pub(in crate::mirror) damaged_live_lines: Vec<usize>,
    /// Totals computed from live mode's records, and the stored totals (`None` if not stored).
    pub(in crate::mirror) live_totals: LiveTotals,
    /// Dist files that live mode stored, with their digests.
    live_dist_files: Vec<(SafePath, Sha256)>,
    /// The histories of the readable records, and the time of the last import; no counts.
    pub(in crate::mirror) histories: MirrorSummary,
    /// Retired lineages.
    retirements: Vec<Retirement>,
    /// The spelling of crate names, by index path.
    crate_names: OnceLock<HashMap<String, CrateName>>,
}

/// The first lines of a record.
pub(in crate::mirror) struct RecordHeader {
    /// The totals of the summary after that import.
    pub(in crate::mirror) totals: ImportTotals,
    /// The bundle as the newest of its lineage.
    pub(in crate::mirror) lineage: LineageTip,
}

/// What the ledger states about a crate.
pub(in crate::mirror) struct CrateRef {
    /// The digest of the crate file.
    pub(in crate::mirror) sha256: Sha256,
    /// The record that states it.
    pub(in crate::mirror) record: Arc<str>,
    /// Whether the file was excluded and never sent.
    index_only: bool,
    /// Whether the newest record of a lineage of the summary names it as stored.
    is_current: bool,
    /// How the record knows the digest.
    source: DigestSource,
}

/// How a record knows the digest of a crate; the greater one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum DigestSource {
    /// A rebuild read it from the index.
    Rebuilt,
    /// Live mode read it from upstream's index.
    Live,
    /// A bundle stated it.
    Bundle,
}

impl CrateRef {
    /// Whether the newest record of a lineage names it as stored.
    pub(super) fn is_current(&self) -> bool {
        self.is_current
    }
}

impl Metadata {
    /// Reads the summary and the ledger.
    pub(super) fn read(layout: &Layout) -> Result<Metadata, Error> {
        let head = MirrorSummary::read(layout)?;
        let chain_faults = chain::read_faults(layout, head.as_ref().and_then(|head| head.newest_record.as_ref()))?;
        let is_missing = |fault: &&ChainFault| matches!(fault.kind, ChainFaultKind::Missing { .. });
        let untrusted: HashSet<String> =
            chain_faults.iter().filter(|fault| !is_missing(fault)).map(|fault| fault.record.clone()).collect();
        let mut metadata = Metadata {
            summary: head,
            summary_exists: fs::symlink_metadata(layout.summary()).is_ok(),
            records: Vec::new(),
            unreadable: Vec::new(),
            chain_faults,
            newest_record: None,
            has_losses: !chain::unrestored_bundles(layout)?.is_empty(),
            crates: HashMap::new(),
            dist_files: DistFiles::read(layout)?,
            dist_file_digests: BTreeMap::new(),
            damaged_live_lines: Vec::new(),
            live_totals: LiveTotals::default(),
            live_dist_files: Vec::new(),
            histories: MirrorSummary::default(),
            retirements: retired::read_retirements(layout)?,
            crate_names: OnceLock::new(),
        };
        // A collection may have retired the lineage without writing the summary. Such a lineage needs nothing.
        let counts = |lineage: &&LineageTip| {
            !retired::is_retired(
                &metadata.retirements,
                ledger::record_number(&lineage.record).unwrap_or(0),
                &lineage.id,
            )
        };
        // The histories of the records that remain.
        let derived = if metadata.summary.is_none() { ledger::derive_summary(layout)? } else { None };
        // A garbage collection keeps the files of all bundles that may be the newest of their history.
        let lineages = metadata.summary.iter().chain(&derived).flat_map(MirrorSummary::all_contenders).filter(counts);
        let newest: HashSet<String> = lineages.map(|lineage| lineage.record.clone()).collect();
        let mut reader = Reader::new(layout);
        for name in ledger::record_names(layout)? {
            if untrusted.contains(&name) {
                metadata.unreadable.push(name);
                continue;
            }
            // An unreadable file is as useless as an invalid record.
            let read = reader.read_with_digest(&name).ok().flatten();
            match read.filter(|(record, _)| matches_file_name(&name, &record.manifest)) {
                Some((record, sha256)) => {
                    metadata.add_record(&name, record, newest.contains(&name));
                    metadata.newest_record = Some(RecordRef { record: name, sha256 });
                }
                None => {
                    metadata.chain_faults.push(ChainFault { record: name.clone(), kind: ChainFaultKind::Altered });
                    metadata.unreadable.push(name);
                }
            }
        }
        metadata.add_live_lineage(LiveLineage::read(layout)?);
        if !metadata.dist_file_digests.is_empty() && fs::symlink_metadata(layout.dist_files()).is_err() {
            metadata.dist_files = None;
        }
        Ok(metadata)
    }

    fn add_record(&mut self, name: &str, record: Record, newest: bool) {
        self.histories = ledger::add_history(std::mem::take(&mut self.histories), name, &record, &self.retirements);
        let record_name: Arc<str> = name.into();
        let is_rebuilt = record.manifest.lineage.id == REBUILT_LINEAGE;
        let source = if is_rebuilt { DigestSource::Rebuilt } else { DigestSource::Bundle };
        self.crates.reserve(record.manifest.crates.len());
        for one in &record.manifest.crates {
            let is_stored = matches!(one.state, CrateState::Shipped | CrateState::Sent);
            let left_out = one.state == CrateState::IndexOnly;
            let (sha256, record) = (one.sha256, record_name.clone());
            let is_current = newest && is_stored;
            self.add_crate(one.id(), CrateRef { sha256, record, index_only: left_out, is_current, source });
        }
        for one in record.manifest.dist_files.iter().filter(|one| one.state != DistFileState::Kept) {
            let read_at = record.manifest.dist_file_read_at(one).parse().unwrap_or(Timestamp::MIN);
            self.add_dist_file(&one.path, DistFile { sha256: one.sha256, size: one.size, read_at });
        }
        let lineage = LineageTip::from_manifest(&record.manifest, name.to_owned());
        self.records.push(RecordHeader { totals: record.totals, lineage });
    }

    /// Several records may name the crate; their flags are combined.
    fn add_crate(&mut self, id: CrateId, named: CrateRef) {
        match self.crates.entry(id) {
            Entry::Vacant(place) => {
                place.insert(named);
            }
            Entry::Occupied(mut before) => {
                let before = before.get_mut();
                let (index_only, is_current) =
                    (named.index_only && before.index_only, named.is_current || before.is_current);
                if named.source >= before.source {
                    *before = named;
                }
                (before.index_only, before.is_current) = (index_only, is_current);
            }
        }
    }

    /// The current crates of live mode's lineage are current, like those of the newest record of any other.
    fn add_live_lineage(&mut self, lineage: LiveLineage) {
        let record: Arc<str> = LIVE_RECORDS.into();
        self.live_totals = LiveTotals::sum(lineage.current());
        self.damaged_live_lines = lineage.damaged_lines;
        for one in lineage.records.into_iter().filter(|one| !one.retired) {
            let sha256 = one.sha256;
            match one.item {
                ItemId::Crate(id) => {
                    let (record, source) = (record.clone(), DigestSource::Live);
                    self.add_crate(id, CrateRef { sha256, record, index_only: false, is_current: true, source });
                }
                ItemId::DistFile(path) => {
                    self.add_dist_file(&path, DistFile { sha256, size: one.size, read_at: one.read_at });
                    self.live_dist_files.push((path, sha256));
                }
            }
        }
    }

    /// Of equal digests, the later time counts.
    fn add_dist_file(&mut self, path: &SafePath, file: DistFile) {
        let digests = self.dist_file_digests.entry(path.clone()).or_default();
        match digests.iter_mut().find(|before| before.sha256 == file.sha256) {
            Some(before) => before.read_at = before.read_at.max(file.read_at),
            None => digests.push(file),
        }
    }

    /// Problems of live mode's records, including the number of invalid lines, and the files that must be fetched
    /// again.
    pub(super) fn check_live(&self) -> (Vec<Problem>, Vec<(ItemId, Sha256)>) {
        let damaged = self.damaged_live_lines.iter().map(|number| Fault::LiveRecord { number: *number });
        let mut problems: Vec<Problem> = damaged.map(|fault| Problem::new(LIVE_RECORDS_PATH, fault)).collect();
        let mut repairs = Vec::new();
        let Some(artifacts) = &self.dist_files else { return (problems, repairs) };
        // A mutable file may have been replaced or removed since.
        for (path, sha256) in self.live_dist_files.iter().filter(|(path, _)| MutableName::from_path(path).is_none()) {
            if artifacts.0.get(path).is_none_or(|stored| stored.sha256 != *sha256) {
                problems.push(Problem::new(path.as_str(), Fault::LiveDistFile));
                repairs.push((ItemId::DistFile(path.clone()), *sha256));
            }
        }
        (problems, repairs)
    }

    /// Whether there are no records at all.
    pub(super) fn is_empty(&self) -> bool {
        self.live_totals == LiveTotals::default()
            && self.records.is_empty()
            && self.unreadable.is_empty()
            && !self.summary_exists
    }

    /// Whether the records name everything that was ever imported: none is lost.
    pub(in crate::mirror) fn is_complete(&self) -> bool {
        let has_newest = self.summary.as_ref().is_some_and(|summary| {
            summary.newest_record == self.newest_record && summary.imports == self.records.len() as u64
        });
        // All records of live mode may be lost at once.
        let has_live = self.summary.as_ref().is_some_and(|summary| summary.live == self.live_totals);
        has_newest && has_live && self.chain_faults.is_empty() && self.damaged_live_lines.is_empty()
    }

    /// Whether, besides, no record was ever lost without an import of its bundle since.
    pub(super) fn was_always_complete(&self) -> bool {
        self.is_complete() && !self.has_losses
    }

    /// Whether the record `name` can be read.
    pub(in crate::mirror) fn has_record(&self, name: &str) -> bool {
        self.records.iter().any(|record| record.lineage.record == name)
    }

    /// Whether the ledger names the crate but no bundle contained its file.
    pub(in crate::mirror) fn is_index_only(&self, id: &CrateId) -> bool {
        self.crates.get(id).is_some_and(|named| named.index_only)
    }

    /// The ledger's spelling of the crate name for an index path. Used only if index files are missing.
    pub(super) fn crate_name_at(&self, path: &str) -> Option<&CrateName> {
        let by_place = || self.crates.keys().map(|id| (id.name.index_path(), id.name.clone())).collect();
        self.crate_names.get_or_init(by_place).get(path)
    }

    /// Crates that the newest bundle of a lineage added or relied on.
    pub(super) fn current_crates(&self) -> impl Iterator<Item = (&CrateId, &CrateRef)> {
        self.crates.iter().filter(|(_, named)| named.is_current)
    }

    /// Problems of the summary and the ledger, given the counts on disk.
    pub(super) fn check(&self, counts: &Counts) -> Vec<Problem> {
        let of_record = |ChainFault { record, kind }: &ChainFault| {
            Problem::new(format!(".frostmirror/ledger/{record}"), Fault::LedgerRecord(kind.clone()))
        };
        let mut problems: Vec<Problem> = self.chain_faults.iter().map(of_record).collect();
        let mut head_fault = |fault| problems.push(Problem::new("manifest.json", Fault::Summary(fault)));
        let found = self.records.len() as u64;
        let Some(head) = &self.summary else {
            head_fault(if self.summary_exists { SummaryFault::Damaged } else { SummaryFault::Missing });
            // The newest record contains a copy of the totals, which state the number of records.
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
            ("crates of live mode", head.live.crates, self.live_totals.crates),
            ("rustup artifacts of live mode", head.live.dist_files, self.live_totals.dist_files),
            ("bytes of live mode", head.live.bytes, self.live_totals.bytes),
        ] {
            if says != found {
                head_fault(SummaryFault::Count { what, says, found });
            }
        }
        if head.newest_record.is_none() && self.newest_record.is_some() {
            head_fault(SummaryFault::NoNewestRecord);
        }
        if head.imports != found {
            head_fault(SummaryFault::Imports { says: head.imports, found });
        }
        for lineage in head.all_contenders() {
            // The gap follows from all records.
            let stated = LineageTip { gap_after: None, ..lineage.clone() };
            if !self.records.iter().any(|known| known.lineage == stated) {
                let (lineage, record) = (lineage.id.clone(), lineage.record.clone());
                head_fault(SummaryFault::MissingRecord { lineage, record });
            }
        }
        for newest in &self.histories.lineages {
            let (lineage, record) = (newest.id.clone(), newest.record.clone());
            match head.lineages.iter().find(|known| known.id == newest.id) {
                None => head_fault(SummaryFault::MissingLineage { lineage, record }),
                Some(known) if !self.has_record(&known.record) => {}
                Some(known) if known.record != record => {
                    head_fault(SummaryFault::OutdatedRecord { lineage, record });
                }
                Some(_) => {
                    let contenders = |of: &MirrorSummary| -> Vec<(String, Option<u64>)> {
                        of.contenders(&newest.id).map(|one| (one.record.clone(), one.gap_after)).collect()
                    };
                    if contenders(head) != contenders(&self.histories) {
                        head_fault(SummaryFault::Doubts { lineage });
                    }
                }
            }
        }
        problems
    }
}

/// Whether a record is in the file that is named after its bundle.
fn matches_file_name(name: &str, manifest: &Manifest) -> bool {
    name.strip_suffix(".json").and_then(|name| name.split_once('-')).is_some_and(|(_, id)| id == manifest.id)
}
