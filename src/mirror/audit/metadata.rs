//! Reads the summary and the ledger completely, and compares them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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
use crate::mirror::ledger::lost_records::Unrestored;
use crate::mirror::ledger::{self, ChainFaultKind, KnownBundles, Reader, Record, RecordRef};
use crate::mirror::lineages::{LineageTip, REBUILT_LINEAGE, describe_bundle};
use crate::mirror::live::{ItemId, LiveLineage, LiveTotals};
use crate::mirror::retired::{self, Retirement};
use crate::mirror::stated_tips;
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
    /// The names of files in the ledger that are neither records nor notes.
    pub(in crate::mirror) strays: Vec<String>,
    /// The names of records that are damaged or that the chain contradicts.
    pub(in crate::mirror) unreadable: Vec<String>,
    /// The faults of the chain of records.
    pub(in crate::mirror) chain_faults: Vec<ChainFault>,
    /// Whether a rebuild reported lost records whose bundles were not imported again.
    has_losses: bool,
    /// The newest valid record.
    pub(in crate::mirror) newest_record: Option<RecordRef>,
    /// Every crate that a record names. If records state different digests, see [`DigestSource`].
    pub(in crate::mirror) crates: HashMap<CrateId, CrateRef>,
    /// The readable records that state what the lineages need: those of every bundle that is or may be the newest of its
    /// lineage, as in a garbage collection.
    pub(super) needed_records: BTreeSet<String>,
    /// The dist files that these records name.
    pub(super) needed_dist_files: BTreeSet<SafePath>,
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
    /// The bundles of these records.
    known_bundles: KnownBundles,
    /// Retired lineages.
    pub(in crate::mirror) retirements: Vec<Retirement>,
    /// The spelling of crate names, by index path.
    crate_names: OnceLock<HashMap<String, CrateName>>,
}

/// The first lines of a record.
pub(in crate::mirror) struct RecordHeader {
    /// The totals of the summary after that import. The number of imports lacks the records that a collection removed since.
    pub(in crate::mirror) totals: ImportTotals,
    /// The bundle as the newest of its lineage.
    pub(in crate::mirror) lineage: LineageTip,
    /// The name of the bundle's file.
    file: String,
}

/// What the ledger states about a crate.
pub(in crate::mirror) struct CrateRef {
    /// The digest of the crate file.
    pub(in crate::mirror) sha256: Sha256,
    /// The record that states it.
    pub(in crate::mirror) record: Arc<str>,
    /// Whether the file was excluded and never sent.
    index_only: bool,
    /// Whether one of [`Metadata::needed_records`] or live mode names it.
    is_needed: bool,
    /// Whether the mirror had it: a bundle shipped it or relied on it, or live mode stored it. The bundles of other inputs
    /// only name it.
    was_stored: bool,
    /// How the record knows the digest.
    source: DigestSource,
}

/// How a record knows the digest of a crate; the greater one counts, and of equal ones the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum DigestSource {
    /// A rebuild read it from the index.
    Rebuilt,
    /// A bundle that was rejected stated it.
    Rejected,
    /// A bundle named the crate for another input. The import did not compare this digest with a file or an index line.
    Named,
    /// Live mode read it from upstream's index.
    Live,
    /// A bundle shipped the crate or its index line.
    Bundle,
}

impl CrateRef {
    /// Whether a lineage needs the crate, and the mirror had it.
    pub(super) fn is_current(&self) -> bool {
        self.is_needed && self.was_stored
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
        let retirements = retired::read_retirements(layout)?;
        let mut metadata = Metadata {
            summary: head,
            summary_exists: fs::symlink_metadata(layout.summary()).is_ok(),
            records: Vec::new(),
            strays: ledger::stray_names(layout)?,
            unreadable: Vec::new(),
            chain_faults,
            newest_record: None,
            has_losses: !Unrestored::read(layout, 0, &retirements)?.is_empty(),
            crates: HashMap::new(),
            needed_records: BTreeSet::new(),
            needed_dist_files: BTreeSet::new(),
            dist_files: DistFiles::read(layout)?,
            dist_file_digests: BTreeMap::new(),
            damaged_live_lines: Vec::new(),
            live_totals: LiveTotals::default(),
            live_dist_files: Vec::new(),
            histories: MirrorSummary::default(),
            known_bundles: KnownBundles::default(),
            retirements,
            crate_names: OnceLock::new(),
        };
        // The summary is usually right. Then no record is read twice.
        let stated = metadata.summary.iter().flat_map(MirrorSummary::all_contenders);
        let stated = stated.filter(|tip| !is_tip_retired(&metadata.retirements, tip)).map(|tip| tip.record.clone());
        metadata.needed_records = stated.collect();
        let mut reader = Reader::new(layout);
        for name in ledger::record_names(layout)? {
            if untrusted.contains(&name) {
                metadata.unreadable.push(name);
                continue;
            }
            // An unreadable file is as useless as an invalid record.
            let read = reader.read_with_header(&name).ok().flatten();
            match read.filter(|(_, _, record)| matches_file_name(&name, &record.manifest)) {
                Some((header, sha256, record)) => {
                    metadata.add_record(&name, &header, record);
                    metadata.newest_record = Some(RecordRef { record: name, sha256 });
                }
                None => {
                    metadata.chain_faults.push(ChainFault { record: name.clone(), kind: ChainFaultKind::Altered });
                    metadata.unreadable.push(name);
                }
            }
        }
        metadata.correct_needed_records(&mut reader)?;
        metadata.add_live_lineage(LiveLineage::read(layout)?);
        if !metadata.dist_file_digests.is_empty() && fs::symlink_metadata(layout.dist_files()).is_err() {
            metadata.dist_files = None;
        }
        Ok(metadata)
    }

    fn add_record(&mut self, name: &str, header: &ledger::RecordHeader, record: Record) {
        let before = std::mem::take(&mut self.histories);
        self.histories = ledger::add_history(before, name, header, &self.retirements, &mut self.known_bundles);
        let record_name: Arc<str> = name.into();
        let lineage = &record.manifest.lineage.id;
        let number = ledger::record_number(name).unwrap_or(0);
        let is_rejected = retired::is_rejected(&self.retirements, number, lineage);
        let is_rebuilt = lineage == REBUILT_LINEAGE;
        let is_needed = self.needed_records.contains(name);
        self.crates.reserve(record.manifest.crates.len());
        for one in &record.manifest.crates {
            let source = match one.state {
                _ if is_rebuilt => DigestSource::Rebuilt,
                _ if is_rejected => DigestSource::Rejected,
                CrateState::Kept => DigestSource::Named,
                CrateState::Shipped | CrateState::Sent | CrateState::IndexOnly => DigestSource::Bundle,
            };
            let named = CrateRef {
                sha256: one.sha256,
                record: record_name.clone(),
                index_only: one.state == CrateState::IndexOnly,
                is_needed,
                was_stored: one.state != CrateState::Kept,
                source,
            };
            self.add_crate(one.id(), named);
        }
        for one in record.manifest.dist_files.iter().filter(|one| one.state != DistFileState::Kept) {
            let stated = record.manifest.dist_file_read_at(one).parse().ok();
            // What a rejected bundle states is only expected if no other bundle states anything.
            let read_at = stated.filter(|_| !is_rejected).unwrap_or(Timestamp::MIN);
            self.add_dist_file(&one.path, DistFile { sha256: one.sha256, size: one.size, read_at });
        }
        if is_needed {
            self.needed_dist_files.extend(record.manifest.dist_files.iter().map(|one| one.path.clone()));
        }
        let lineage = LineageTip::from_manifest(&record.manifest, name.to_owned());
        let dropped = retired::count_dropped_before(&self.retirements, number);
        let totals = ImportTotals { imports: record.totals.imports.saturating_sub(dropped), ..record.totals };
        self.records.push(RecordHeader { totals, lineage, file: record.file });
    }

    /// Marks again what is needed if the ledger shows other newest bundles than `manifest.json`.
    fn correct_needed_records(&mut self, reader: &mut Reader) -> Result<(), Error> {
        let needed = self.find_needed_records();
        if needed == self.needed_records {
            return Ok(());
        }
        self.crates.values_mut().for_each(|named| named.is_needed = false);
        self.needed_dist_files.clear();
        for name in &needed {
            let Some(record) = reader.read(name)? else { continue };
            for one in &record.manifest.crates {
                if let Some(named) = self.crates.get_mut(&one.id()) {
                    named.is_needed = true;
                }
            }
            self.needed_dist_files.extend(record.manifest.dist_files.into_iter().map(|one| one.path));
        }
        self.needed_records = needed;
        Ok(())
    }

    /// The records of the bundles that are or may be the newest of their lineage. A garbage collection finds the same ones.
    /// While it lacks a record that `manifest.json` names, it removes nothing; then the other records that are named count.
    fn find_needed_records(&self) -> BTreeSet<String> {
        let known: HashSet<&str> = self.records.iter().map(|record| record.lineage.record.as_str()).collect();
        let stated = self.summary.iter().flat_map(MirrorSummary::all_contenders);
        let stated: Vec<&LineageTip> = stated.filter(|tip| !is_tip_retired(&self.retirements, tip)).collect();
        let lost = stated.iter().filter(|tip| !known.contains(tip.record.as_str()));
        let lost: HashSet<&str> = lost.map(|tip| tip.id.as_str()).collect();
        let derived = self.histories.all_contenders().filter(|tip| !lost.contains(tip.id.as_str()));
        let stated = stated.iter().copied().filter(|tip| lost.contains(tip.id.as_str()));
        let all = derived.chain(stated).map(|tip| &tip.record);
        all.filter(|record| known.contains(record.as_str())).cloned().collect()
    }

    /// The bundle of a record for users, such as "bundle number 2 (`two.pkg`, id 0a1b) of lineage 0c1d (app (Cargo.lock))".
    pub(super) fn describe_record(&self, name: &str) -> String {
        let found = self.records.iter().find(|record| record.lineage.record == name);
        match found.filter(|record| record.lineage.id != REBUILT_LINEAGE) {
            Some(RecordHeader { lineage, file, .. }) => describe_bundle(lineage, file),
            None if name == LIVE_RECORDS => "live mode".to_owned(),
            None => format!("the ledger's {name}"),
        }
    }

    /// Several records may name the crate; their flags are combined.
    fn add_crate(&mut self, id: CrateId, named: CrateRef) {
        match self.crates.entry(id) {
            Entry::Vacant(place) => {
                place.insert(named);
            }
            Entry::Occupied(mut before) => {
                let before = before.get_mut();
                // A record that names the crate for another input does not know whether its file was excluded.
                let index_only = match (before.was_stored, named.was_stored) {
                    (true, true) => before.index_only && named.index_only,
                    (true, false) => before.index_only,
                    (false, _) => named.index_only,
                };
                let (is_needed, was_stored) =
                    (named.is_needed || before.is_needed, named.was_stored || before.was_stored);
                if named.source >= before.source {
                    *before = named;
                }
                (before.index_only, before.is_needed, before.was_stored) = (index_only, is_needed, was_stored);
            }
        }
    }

    /// The current crates of live mode's lineage are needed, like those of the newest record of any other.
    fn add_live_lineage(&mut self, lineage: LiveLineage) {
        let record: Arc<str> = LIVE_RECORDS.into();
        self.live_totals = LiveTotals::sum(lineage.current());
        self.damaged_live_lines = lineage.damaged_lines;
        for one in lineage.records.into_iter().filter(|one| !one.retired) {
            let sha256 = one.sha256;
            match one.item {
                ItemId::Crate(id) => {
                    let (record, source) = (record.clone(), DigestSource::Live);
                    let named =
                        CrateRef { sha256, record, index_only: false, is_needed: true, was_stored: true, source };
                    self.add_crate(id, named);
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

    /// Whether the record of this bundle no longer counts.
    pub(in crate::mirror) fn is_retired(&self, tip: &LineageTip) -> bool {
        is_tip_retired(&self.retirements, tip)
    }

    /// The number of the newest record when this lineage was retired last; 0 if it never was.
    pub(in crate::mirror) fn last_retirement(&self, lineage: &str) -> u64 {
        retired::last_retirement(&self.retirements, lineage)
    }

    /// Whether a readable record of this bundle counts.
    pub(in crate::mirror) fn has_bundle(&self, bundle: &str) -> bool {
        let tips = self.records.iter().map(|record| &record.lineage);
        tips.filter(|tip| tip.bundle == bundle).any(|tip| !self.is_retired(tip))
    }

    /// Whether the record `name` can be read.
    pub(in crate::mirror) fn has_record(&self, name: &str) -> bool {
        self.records.iter().any(|record| record.lineage.record == name)
    }

    /// The digest that the ledger states of a crate, and that its index line must state too. A rejected bundle proves nothing.
    pub(super) fn stated_digest(&self, id: &CrateId) -> Option<Sha256> {
        self.crates.get(id).filter(|named| named.source != DigestSource::Rejected).map(|named| named.sha256)
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

    /// The number of crates that a lineage needs and that the mirror had.
    pub(super) fn current_crate_count(&self) -> usize {
        self.crates.values().filter(|named| named.is_current()).count()
    }

    /// Crates that a lineage needs, and that only bundles of its other inputs had, none of which was imported.
    pub(super) fn never_imported_crates(&self) -> impl Iterator<Item = &CrateId> {
        self.crates.iter().filter(|(_, named)| named.is_needed && !named.was_stored).map(|(id, _)| id)
    }

    /// Dist files of the same kind.
    pub(super) fn never_imported_dist_files(&self) -> impl Iterator<Item = &SafePath> {
        self.needed_dist_files.iter().filter(|path| !self.dist_file_digests.contains_key(*path))
    }

    /// Problems of the summary and the ledger, given the counts on disk.
    pub(super) fn check(&self, counts: &Counts) -> Vec<Problem> {
        let of_record = |ChainFault { record, kind }: &ChainFault| {
            Problem::new(format!(".frostmirror/ledger/{record}"), Fault::LedgerRecord(kind.clone()))
        };
        let mut problems: Vec<Problem> = self.chain_faults.iter().map(of_record).collect();
        // A renamed record is a fault of the chain.
        let strays = self.strays.iter().filter(|name| self.chain_faults.iter().all(|fault| fault.record != **name));
        let of_stray = |name: &String| Problem::new(format!(".frostmirror/ledger/{name}"), Fault::NoRecord);
        problems.extend(strays.map(of_stray));
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
        match (&head.newest_record, &self.newest_record) {
            (None, Some(_)) => head_fault(SummaryFault::NoNewestRecord),
            // If the stated record is lost or false, that is a fault of the chain.
            (Some(stated), Some(found)) if stated.record != found.record && self.has_record(&stated.record) => {
                let (stated, newest) = (stated.record.clone(), found.record.clone());
                head_fault(SummaryFault::OlderNewestRecord { stated, newest });
            }
            _ => {}
        }
        if head.imports != found {
            head_fault(SummaryFault::Imports { says: head.imports, found });
        }
        for lineage in head.all_contenders() {
            let of_record = self.records.iter().find(|known| known.lineage.record == lineage.record);
            let difference = of_record.map(|known| stated_tips::find_difference(lineage, &known.lineage));
            let (id, record) = (lineage.id.clone(), lineage.record.clone());
            match difference {
                Some(None) => {}
                Some(Some((says, found))) => {
                    head_fault(SummaryFault::ContradictsRecord { lineage: id, record, says, found });
                }
                // A false or damaged record is a problem of its own.
                None if self.unreadable.contains(&record) => {}
                None => head_fault(SummaryFault::MissingRecord { lineage: id, record }),
            }
        }
        // A lost record may be part of a chain.
        let is_complete = self.chain_faults.is_empty() && head.imports == found;
        let comparable = |one: &LineageTip| match is_complete {
            true => LineageTip { inputs: Vec::new(), more_inputs: 0, ..one.clone() },
            false => LineageTip { record: one.record.clone(), gap_after: one.gap_after, ..LineageTip::default() },
        };
        for newest in &self.histories.lineages {
            let (lineage, record) = (newest.id.clone(), newest.record.clone());
            match head.lineages.iter().find(|known| known.id == newest.id) {
                None => head_fault(SummaryFault::MissingLineage { lineage, record }),
                Some(known) if !self.has_record(&known.record) => {}
                Some(known) if known.record != record => {
                    head_fault(SummaryFault::OutdatedRecord { lineage, record });
                }
                Some(_) => {
                    let contenders =
                        |of: &MirrorSummary| -> Vec<LineageTip> { of.contenders(&newest.id).map(comparable).collect() };
                    if contenders(head) != contenders(&self.histories) {
                        head_fault(SummaryFault::Doubts { lineage });
                    }
                }
            }
        }
        problems
    }
}

/// A collection may have retired the bundle without writing the summary. Such a bundle needs nothing.
fn is_tip_retired(notes: &[Retirement], tip: &LineageTip) -> bool {
    retired::is_retired(notes, ledger::record_number(&tip.record).unwrap_or(0), &tip.id)
}

/// Whether a record is in the file that is named after its bundle.
fn matches_file_name(name: &str, manifest: &Manifest) -> bool {
    name.strip_suffix(".json").and_then(|name| name.split_once('-')).is_some_and(|(_, id)| id == manifest.id)
}
