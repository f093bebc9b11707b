//! Head and ledger: read whole, and held against each other.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use super::problem::{Fault, HeadFault, Problem};
use crate::bundle::format::{ArtifactState, BundleKind, CrateState, Manifest};
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::mirror::artifacts::{Artifacts, Held, Moving};
use crate::mirror::forgotten::{self, Note};
use crate::mirror::head::{Counts, Head, LineageHead, Tip};
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, Reader, Record};
use crate::mirror::live::{self, Book, Figures, What};
use crate::mirror::store::Error;
use crate::safe_path::SafePath;

/// What stands for the record of a crate that live mode brought.
pub(super) const LIVE_RECORDS: &str = "live/records";

/// Live mode's records, relative to the mirror.
const LIVE_RECORDS_SHOWN: &str = ".frostmirror/live/records";

/// What is on record of the whole mirror.
pub(in crate::mirror) struct Books {
    /// `manifest.json`, where it can be read.
    pub(in crate::mirror) head: Option<Head>,
    /// Something is at its place.
    head_there: bool,
    /// The records that can be read, in the order of import.
    pub(in crate::mirror) records: Vec<Headline>,
    /// The names of those that cannot.
    pub(in crate::mirror) unreadable: Vec<String>,
    /// Every crate that a record names, as the last one that does.
    pub(in crate::mirror) named: HashMap<CrateId, Named>,
    /// What is on record of rustup artifacts; `None` where it cannot be read, or is gone though the ledger names some.
    pub(in crate::mirror) artifacts: Option<Artifacts>,
    /// Every rustup artifact that a record names: each digest that it ever had, with the latest time.
    pub(in crate::mirror) told: BTreeMap<SafePath, Vec<Held>>,
    /// Numbers of lines of live mode's records that are none.
    pub(in crate::mirror) live_damaged: Vec<usize>,
    /// What live mode's records come to, and what is written of that; `None` where nothing is.
    live: (Figures, Option<Figures>),
    /// Rustup artifacts that live mode brought, with their digests.
    live_artifacts: Vec<(SafePath, Sha256)>,
    /// Lineages that were let go.
    notes: Vec<Note>,
    /// How names are spelled, by the place of their index file.
    spelling: OnceLock<HashMap<String, CrateName>>,
}

/// The first lines of a record.
pub(in crate::mirror) struct Headline {
    /// The head as of that import.
    pub(in crate::mirror) head: Tip,
    /// The bundle as its lineage's newest.
    pub(in crate::mirror) lineage: LineageHead,
    /// It is of a snapshot, which is of no lineage: those that it brought along have records of their own.
    snapshot: bool,
}

/// What the ledger says of a crate.
pub(in crate::mirror) struct Named {
    /// Its digest.
    pub(in crate::mirror) sha256: Sha256,
    /// The record that says so.
    pub(in crate::mirror) record: Arc<str>,
    /// Its file was left out and never sent.
    left_out: bool,
    /// The newest record of a lineage of the head names it as held.
    current: bool,
}

impl Named {
    /// Whether the newest record of a lineage names it as held.
    pub(super) fn is_current(&self) -> bool {
        self.current
    }
}

impl Books {
    /// Reads head and ledger.
    pub(super) fn read(layout: &Layout) -> Result<Books, Error> {
        let head = Head::read_file(layout)?;
        let mut books = Books {
            head,
            head_there: fs::symlink_metadata(layout.head()).is_ok(),
            records: Vec::new(),
            unreadable: Vec::new(),
            named: HashMap::new(),
            artifacts: Artifacts::read(layout)?,
            told: BTreeMap::new(),
            live_damaged: Vec::new(),
            live: (Figures::default(), None),
            live_artifacts: Vec::new(),
            notes: forgotten::notes(layout)?,
            spelling: OnceLock::new(),
        };
        // One that was let go by a collection that did not come to write the head needs nothing any more.
        let counts = |lineage: &&LineageHead| {
            !forgotten::covers(&books.notes, ledger::sequence_of(&lineage.record).unwrap_or(0), &lineage.id)
        };
        let lineages = books.head.iter().flat_map(|head| &head.lineages).filter(counts);
        let newest: HashSet<String> = lineages.map(|lineage| lineage.record.clone()).collect();
        let mut reader = Reader::of(layout);
        for name in ledger::names(layout)? {
            // What the system cannot read is of as little use as what is no record.
            match reader.read(&name).ok().flatten().filter(|record| belongs(&name, &record.manifest)) {
                Some(record) => books.take(&name, record, newest.contains(&name)),
                None => books.unreadable.push(name),
            }
        }
        books.take_live(Book::read(&layout.live_records())?);
        books.live.1 =
            fs::read(layout.live_counts()).ok().map(|text| serde_json::from_slice(&text).unwrap_or_default());
        if !books.told.is_empty() && fs::symlink_metadata(layout.artifacts()).is_err() {
            books.artifacts = None;
        }
        Ok(books)
    }

    fn take(&mut self, name: &str, record: Record, newest: bool) {
        let record_name: Arc<str> = name.into();
        self.named.reserve(record.manifest.crates.len());
        for one in &record.manifest.crates {
            let held = matches!(one.state, CrateState::Shipped | CrateState::Sent);
            let left_out = one.state == CrateState::IndexOnly;
            let (sha256, record) = (one.sha256, record_name.clone());
            let named = Named { sha256, record, left_out, current: newest && held };
            match self.named.entry(one.id()) {
                Entry::Vacant(place) => {
                    place.insert(named);
                }
                Entry::Occupied(mut before) => {
                    // It came with some bundle, or came with none.
                    let (left_out, current) = (before.get().left_out, before.get().current);
                    before.insert(Named {
                        left_out: named.left_out && left_out,
                        current: named.current || current,
                        ..named
                    });
                }
            }
        }
        for one in record.manifest.artifacts.iter().filter(|one| one.state != ArtifactState::Kept) {
            let read = record.manifest.artifact_read(one).parse().unwrap_or(Timestamp::MIN);
            let told = self.told.entry(one.path.clone()).or_default();
            match told.iter_mut().find(|before| before.sha256 == one.sha256) {
                Some(before) => before.read = before.read.max(read),
                None => told.push(Held { sha256: one.sha256, size: one.size, read }),
            }
        }
        let lineage = LineageHead::of(&record.manifest, name.to_owned());
        let snapshot = record.manifest.kind == BundleKind::Snapshot;
        self.records.push(Headline { head: record.head, lineage, snapshot });
    }

    /// What live mode brought is current, as what the newest record of a lineage names is.
    fn take_live(&mut self, book: Book) {
        let record: Arc<str> = LIVE_RECORDS.into();
        self.live.0 = live::figures_of(&book.records);
        self.live_damaged = book.damaged;
        for one in book.records {
            let sha256 = one.sha256;
            match one.what {
                What::Crate(id) => {
                    self.named.insert(id, Named { sha256, record: record.clone(), left_out: false, current: true });
                }
                What::Artifact(path) => {
                    let told = self.told.entry(path.clone()).or_default();
                    match told.iter_mut().find(|before| before.sha256 == sha256) {
                        Some(before) => before.read = before.read.max(one.read),
                        None => told.push(Held { sha256, size: one.size, read: one.read }),
                    }
                    self.live_artifacts.push((path, sha256));
                }
            }
        }
    }

    /// What is wrong with live mode's records, where this many lines of them are none; and what must be fetched again.
    pub(super) fn judge_live(&self) -> (Vec<Problem>, Vec<(SafePath, Sha256)>) {
        let damaged = self.live_damaged.iter().map(|number| Fault::LiveRecord { number: *number });
        let mut problems: Vec<Problem> = damaged.map(|fault| Problem::new(LIVE_RECORDS_SHOWN, fault)).collect();
        let (found, says) = self.live;
        // Without a file the numbers are taken from the records.
        if let Some(says) = says.filter(|says| *says != found) {
            let fault = Fault::LiveCounts { says: says.crates + says.artifacts, found: found.crates + found.artifacts };
            problems.push(Problem::new(".frostmirror/live/counts", fault));
        }
        let mut repairs = Vec::new();
        let Some(artifacts) = &self.artifacts else { return (problems, repairs) };
        // What moves may be another one by now, or gone with it.
        for (path, sha256) in self.live_artifacts.iter().filter(|(path, _)| Moving::of(path).is_none()) {
            if artifacts.0.get(path).is_none_or(|held| held.sha256 != *sha256) {
                problems.push(Problem::new(path.as_str(), Fault::LiveArtifact));
                repairs.push((path.clone(), *sha256));
            }
        }
        (problems, repairs)
    }

    /// Whether nothing is on record at all.
    pub(super) fn is_empty(&self) -> bool {
        self.live.0 == Figures::default() && self.records.is_empty() && self.unreadable.is_empty() && !self.head_there
    }

    /// Whether the record called `name` can be read.
    pub(in crate::mirror) fn has(&self, name: &str) -> bool {
        self.records.iter().any(|record| record.lineage.record == name)
    }

    /// Whether the ledger names the crate and no bundle ever brought its file.
    pub(in crate::mirror) fn left_out(&self, id: &CrateId) -> bool {
        self.named.get(id).is_some_and(|named| named.left_out)
    }

    /// How the ledger spells the name whose index file is at `place`; asked only where index files are lost.
    pub(super) fn spelled(&self, place: &str) -> Option<&CrateName> {
        let by_place = || self.named.keys().map(|id| (id.name.index_path(), id.name.clone())).collect();
        self.spelling.get_or_init(by_place).get(place)
    }

    /// Crates that the newest bundle of a lineage brought or relied on.
    pub(super) fn current(&self) -> impl Iterator<Item = (&CrateId, &Named)> {
        self.named.iter().filter(|(_, named)| named.current)
    }

    /// The newest readable record of each lineage.
    pub(in crate::mirror) fn newest(&self) -> BTreeMap<&str, &LineageHead> {
        let mut newest: BTreeMap<&str, &LineageHead> = BTreeMap::new();
        for Headline { lineage, .. } in self.records.iter().filter(|record| !record.snapshot) {
            let known = newest.entry(&lineage.id).or_insert(lineage);
            // Of one bundle, what it says itself came later than what a snapshot said of it.
            if known.bundle == lineage.bundle || !known.is_newer(lineage) {
                *known = lineage;
            }
        }
        newest
    }

    /// The newest readable record of each lineage that counts and that the head does not name.
    pub(in crate::mirror) fn unnamed(&self) -> impl Iterator<Item = &LineageHead> {
        let named: HashSet<&str> =
            self.head.iter().flat_map(|head| &head.lineages).map(|lineage| lineage.id.as_str()).collect();
        self.newest().into_values().filter(move |lineage| {
            let number = ledger::sequence_of(&lineage.record).unwrap_or(0);
            !named.contains(lineage.id.as_str()) && !forgotten::covers(&self.notes, number, &lineage.id)
        })
    }

    /// What is wrong with head and ledger, where this is on disk.
    pub(super) fn judge(&self, counts: &Counts) -> Vec<Problem> {
        let unreadable = |name: &String| Problem::new(format!(".frostmirror/ledger/{name}"), Fault::LedgerRecord);
        let mut problems: Vec<Problem> = self.unreadable.iter().map(unreadable).collect();
        let mut head_fault = |fault| problems.push(Problem::new("manifest.json", Fault::Head(fault)));
        let found = self.records.len() as u64;
        let Some(head) = &self.head else {
            head_fault(if self.head_there { HeadFault::Damaged } else { HeadFault::Missing });
            // The newest record has a copy of the head, which knows how many there were.
            if let Some(says) = self.records.last().map(|record| record.head.imports).filter(|says| *says != found) {
                head_fault(HeadFault::Imports { says, found });
            }
            return problems;
        };
        for (what, says, found) in [
            ("names", head.counts.crates, counts.crates),
            ("crates", head.counts.versions, counts.versions),
            ("bytes of crates", head.counts.bytes, counts.bytes),
            ("rustup artifacts", head.counts.artifacts, counts.artifacts),
            ("bytes of rustup artifacts", head.counts.artifact_bytes, counts.artifact_bytes),
        ] {
            if says != found {
                head_fault(HeadFault::Count { what, says, found });
            }
        }
        if head.imports != found {
            head_fault(HeadFault::Imports { says: head.imports, found });
        }
        let newest = self.newest();
        for lineage in &head.lineages {
            let (id, record) = (lineage.id.clone(), lineage.record.clone());
            // From where its number jumped stands in no record: it follows from all of them.
            let said = LineageHead { jumped_from: None, ..lineage.clone() };
            if !self.records.iter().any(|known| known.lineage == said) {
                head_fault(HeadFault::Record { lineage: id, record });
            } else if let Some(newer) = newest.get(lineage.id.as_str()).filter(|newer| newer.record != record) {
                head_fault(HeadFault::Older { lineage: id, record: newer.record.clone() });
            }
        }
        for lineage in self.unnamed() {
            let (lineage, record) = (lineage.id.clone(), lineage.record.clone());
            head_fault(HeadFault::Unnamed { lineage, record });
        }
        problems
    }
}

/// Whether a record is in the file that is called for its bundle.
fn belongs(name: &str, manifest: &Manifest) -> bool {
    name.strip_suffix(".json").and_then(|name| name.split_once('-')).is_some_and(|(_, id)| id == manifest.id)
}
