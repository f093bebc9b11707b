//! One crate name: checks its index file, the records of its lines and its crate files against each other.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::context::AuditContext;
use super::file_state::{self, CrateManifest, FileState};
use super::metadata::{CrateRef, Metadata};
use super::problem::{Fault, Problem};
use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::Sha256;
use crate::event::{Event, Phase, Sink};
use crate::index_line::{IndexLine, InvalidLine};
use crate::mirror::index_meta::{self, IndexLineMeta, REVOKED};
use crate::mirror::item::ItemId;
use crate::mirror::packaged_manifest::PackagedManifest;
use crate::parallel;

/// The state of an index file and its records.
pub(in crate::mirror) struct IndexState {
    /// The path relative to index/ and to lines/.
    pub(in crate::mirror) path: String,
    /// The lines, one per version.
    pub(in crate::mirror) lines: Vec<LineState>,
    /// The readable records that do not contradict their line.
    pub(in crate::mirror) records: Vec<IndexLineMeta>,
    /// Whether parts of the file of records are unusable.
    pub(in crate::mirror) records_damaged: bool,
    /// Recorded versions without a line.
    pub(in crate::mirror) missing_lines: Vec<LineState>,
    /// The crates of records that nothing confirms; `records` lacks these.
    pub(in crate::mirror) unsupported_records: Vec<CrateId>,
    /// The state of the crate files, by name and version.
    pub(super) crate_files: Vec<(ItemId, FileState)>,
    /// How many of the crates in lines or records are current according to the ledger.
    pub(super) current_count: usize,
    /// The problems found.
    pub(super) problems: Vec<Problem>,
    /// Crates that a bundle must bring to repair the file.
    pub(super) repairs: Vec<(ItemId, Sha256)>,
}

/// A line of an index file.
#[derive(Clone, Debug)]
pub(in crate::mirror) struct LineState {
    /// The crate.
    pub(in crate::mirror) id: CrateId,
    /// The digest that the crate file must have.
    pub(in crate::mirror) cksum: Sha256,
    /// Digest of the line itself.
    pub(in crate::mirror) digest: Sha256,
    /// Its number in the index file, from 1; 0 for a missing line.
    number: usize,
    /// A platform filter excluded the crate file, according to the record.
    pub(in crate::mirror) index_only: bool,
    /// How the line compares with the records.
    pub(in crate::mirror) record_match: RecordMatch,
}

impl LineState {
    /// Whether only the Cargo.toml in its crate can show that the line is false.
    fn is_plausible(&self) -> bool {
        matches!(self.record_match, RecordMatch::Recorded | RecordMatch::Unrecorded)
    }
}

/// How a line compares with the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mirror) enum RecordMatch {
    /// The line matches its record.
    Recorded,
    /// The version has no record.
    Unrecorded,
    /// The Cargo.toml in the crate shows that the line is false. The line has no record, or it has a record that fits.
    ContradictsCrate,
    /// The record is of another line.
    Altered,
    /// An import record states another checksum of the crate. The line, its record and the crate's file may agree, and
    /// are not trusted.
    Contradicted,
}

impl IndexState {
    /// The crates in lines and records, with the digests that their files must have.
    pub(in crate::mirror) fn expected_lines(&self) -> impl Iterator<Item = &LineState> {
        self.lines.iter().chain(&self.missing_lines)
    }

    /// Hashes the crate files and compares them with the lines. `text` is the index file.
    fn check_crate_files(&mut self, context: &AuditContext<'_>, text: &str, sink: &dyn Sink, buffer: &mut [u8]) {
        let mut expected: Vec<(&CrateId, Sha256)> = self.expected_lines().map(|line| (&line.id, line.cksum)).collect();
        expected.sort_unstable();
        let must_be = |id: &CrateId| expected.binary_search_by(|(one, _)| (*one).cmp(id)).ok().map(|at| expected[at].1);
        let before = context.before.get(&self.path).map_or(&[][..], Vec::as_slice);
        let ids = context.listing.crates.get(&self.path).into_iter().flatten();
        let texts: Vec<&str> = text.lines().collect();
        let mut contradictions = Vec::new();
        let mut states: Vec<(ItemId, FileState)> = ids
            .map(|id| {
                let (item, before) = (ItemId::Crate(id.clone()), find_crate_file(before, id));
                let must_be = must_be(id);
                let (mut state, manifest) =
                    file_state::check_with_manifest(context.layout, &item, must_be, before, sink, buffer);
                let line = self.lines.binary_search_by(|line| line.id.version.cmp(&id.version)).ok();
                let line = line.and_then(|at| self.lines.get(at)).filter(|line| line.id == *id && line.is_plausible());
                if let (FileState::Valid { compared_line, .. }, Some(line)) = (&mut state, line)
                    && *compared_line != Some(line.digest)
                {
                    let raw = line.number.checked_sub(1).and_then(|at| texts.get(at)).copied().unwrap_or_default();
                    let manifest = match manifest {
                        CrateManifest::Text(text) => PackagedManifest::parse(&text),
                        CrateManifest::Unreadable => None,
                        CrateManifest::NotRead => PackagedManifest::read(id, &context.layout.crate_file(id)),
                    };
                    match manifest.and_then(|manifest| manifest.find_contradiction(raw)) {
                        Some(difference) => contradictions.push((line.digest, id.clone(), difference)),
                        None => *compared_line = Some(line.digest),
                    }
                }
                (item, state)
            })
            .collect();
        states.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        self.crate_files = states;
        for (digest, id, difference) in contradictions {
            self.add_contradiction(digest, id, difference);
        }
        for (item, state) in &self.crate_files {
            let problem = |fault| Problem::new(item.path().as_str(), fault);
            match state {
                FileState::Valid { .. } => {}
                FileState::Invalid { expected, fault, .. } => {
                    self.problems.push(problem(fault.clone()));
                    self.repairs.push((item.clone(), *expected));
                }
                // A garbage collection removed the line. Readers of the old index may still request the file.
                FileState::Unlisted { .. } if context.pending_deletions.contains(&item.key()) => {}
                FileState::Unlisted { .. } => match unlisted_fault(context, item) {
                    Some((fault, sha256)) => {
                        self.problems.push(problem(fault));
                        self.repairs.push((item.clone(), sha256));
                    }
                    None => self.problems.push(problem(Fault::NotIndexed)),
                },
            }
        }
        for line in self.lines.iter().filter(|line| find_crate_file(&self.crate_files, &line.id).is_none()) {
            // A line without a record does not state whether a platform filter applied; the ledger does.
            let unrecorded = line.record_match == RecordMatch::Unrecorded;
            if !(line.index_only || unrecorded && context.metadata.is_index_only(&line.id)) {
                let fault = Fault::Missing { index: format!("index/{}", self.path) };
                self.problems.push(Problem::new(line.id.crate_path().as_str(), fault));
                self.repairs.push((ItemId::Crate(line.id.clone()), line.cksum));
            }
        }
    }

    /// Marks the line with this digest as false.
    fn add_contradiction(&mut self, digest: Sha256, id: CrateId, difference: String) {
        let Some(line) = self.lines.iter_mut().find(|line| line.id == id && line.digest == digest) else { return };
        line.record_match = RecordMatch::ContradictsCrate;
        self.repairs.push((ItemId::Crate(id.clone()), line.cksum));
        self.problems.push(Problem::new(format!("index/{}", self.path), Fault::ContradictsCrate { id, difference }));
    }

    /// The state of the crate file; `None` if there is no file.
    pub(in crate::mirror) fn crate_file(&self, id: &CrateId) -> Option<&FileState> {
        find_crate_file(&self.crate_files, id)
    }
}

/// What is wrong with a crate file without an index line whose digest an import record states, and that digest. The bundle of
/// that record brings the line back.
fn unlisted_fault(context: &AuditContext<'_>, item: &ItemId) -> Option<(Fault, Sha256)> {
    let named = context.metadata.crates.get(item.crate_id()?)?;
    let expected = context.metadata.stated_digest(item.crate_id()?)?;
    let fault = match Sha256::of_file(&item.file(context.layout)) {
        Ok((actual, _)) if actual == expected => {
            Fault::LineLost { stated_by: context.metadata.describe_record(&named.record) }
        }
        Ok((actual, _)) => Fault::Digest { expected, actual },
        Err(error) => Fault::Unreadable { why: error.to_string() },
    };
    Some((fault, expected))
}

/// Finds the file of `id` among the files of its name.
fn find_crate_file<'s>(states: &'s [(ItemId, FileState)], id: &CrateId) -> Option<&'s FileState> {
    states.binary_search_by(|(other, _)| other.crate_id().cmp(&Some(id))).ok().map(|at| &states[at].1)
}

/// Reads every index file with its records, and every crate file.
pub(super) fn check_all(context: &AuditContext<'_>, sink: &dyn Sink) -> Vec<IndexState> {
    parallel::map(&context.listing.index_paths, parallel::thread_count(), |path, buffer| {
        IndexAuditor { context, path, sink, problems: Vec::new(), repairs: Vec::new() }.read(buffer)
    })
}

struct IndexAuditor<'p> {
    context: &'p AuditContext<'p>,
    path: &'p str,
    sink: &'p dyn Sink,
    problems: Vec<Problem>,
    repairs: Vec<(ItemId, Sha256)>,
}

impl IndexAuditor<'_> {
    fn read(mut self, buffer: &mut [u8]) -> IndexState {
        let AuditContext { layout, metadata: books, .. } = self.context;
        let records_shown = format!(".frostmirror/lines/{}", self.path);
        let index_shown = format!("index/{}", self.path);
        let text = self.read_text(&layout.index().join(self.path), &index_shown);
        let records_text = self.read_text(&layout.index_meta().join(self.path), &records_shown);
        let (mut records, mut records_damaged) = (Vec::new(), false);
        for (at, line) in records_text.lines().enumerate() {
            let before = records.len();
            records.extend(index_meta::parse(line));
            if records.len() == before {
                self.problems.push(Problem::new(&records_shown, Fault::InvalidRecord { number: at + 1 }));
                records_damaged = true;
            }
        }
        let mut by_version: BTreeMap<Version, LineState> = BTreeMap::new();
        let mut garbage = false;
        for (number, line, digest) in self.valid_lines(&text, &records, &index_shown, &mut garbage) {
            let (state, contradiction) = compare_with_records(number, line, digest, &records, books);
            if contradiction {
                self.problems.push(Problem::new(&records_shown, Fault::RecordChecksum { id: state.id.clone() }));
                records.retain(|record| record.line_sha256 != digest || record.version != state.id.version);
                records_damaged = true;
            }
            // If a version has two lines, the recorded one counts, else the first.
            let second = match by_version.get(&state.id.version) {
                Some(first) => {
                    self.repairs.push((ItemId::Crate(first.id.clone()), first.cksum));
                    let better =
                        first.record_match != RecordMatch::Recorded && state.record_match == RecordMatch::Recorded;
                    self.problems.push(Problem::new(&index_shown, Fault::Duplicate { number, id: state.id.clone() }));
                    !better
                }
                None => false,
            };
            if !second {
                by_version.insert(state.id.version.clone(), state);
            }
        }
        for state in by_version.values() {
            self.check_line(state, books, &index_shown, &records_shown);
            if is_revoked(state, &records) {
                self.problems.push(Problem::new(&index_shown, Fault::RejectedLine { id: state.id.clone() }));
            }
        }
        let path = self.path;
        let context = self.context;
        let unsupported = self.take_unsupported_records(&mut records, &by_version);
        records_damaged |= !unsupported.is_empty();
        for id in &unsupported {
            self.problems.push(Problem::new(&records_shown, Fault::UnsupportedRecord { id: id.clone() }));
        }
        let lost = self.find_missing_lines(&records, &by_version, || context.crate_name_at(path), &index_shown);
        let lines: Vec<LineState> = by_version.into_values().collect();
        if let (true, Some(line)) = (garbage && self.repairs.is_empty(), lines.first()) {
            // Any line of the name makes an import rewrite the file.
            self.repairs.push((ItemId::Crate(line.id.clone()), line.cksum));
        }
        let mut state = IndexState {
            path: path.to_owned(),
            lines,
            records,
            records_damaged,
            missing_lines: lost,
            unsupported_records: unsupported,
            crate_files: Vec::new(),
            current_count: 0,
            problems: self.problems,
            repairs: self.repairs,
        };
        let is_current = |line: &&LineState| books.crates.get(&line.id).is_some_and(CrateRef::is_current);
        state.current_count = state.expected_lines().filter(is_current).count();
        if state.problems.is_empty() {
            self.sink.detail("Verified", format!("index/{}", state.path));
        }
        self.sink.event(Event::Advance { phase: Phase::Verifying, items: 1, bytes: 0 });
        if !self.sink.is_cancelled() {
            state.check_crate_files(context, &text, self.sink, buffer);
        }
        state
    }

    /// The text of a file; a missing file is empty. Bytes that are not UTF-8 become invalid lines.
    fn read_text(&mut self, path: &Path, shown: &str) -> String {
        match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    self.problems.push(Problem::new(shown, Fault::Unreadable { why: error.to_string() }));
                }
                String::new()
            }
        }
    }

    fn valid_lines(
        &mut self,
        text: &str,
        records: &[IndexLineMeta],
        shown: &str,
        garbage: &mut bool,
    ) -> Vec<(usize, LineHeader, Sha256)> {
        let mut sound: Vec<(usize, LineHeader, Sha256)> = Vec::new();
        for (at, raw) in text.lines().enumerate().filter(|(_, raw)| !raw.is_empty()) {
            let number = at + 1;
            let digest = Sha256::of(raw.as_bytes());
            // Recorded lines were validated completely at import.
            let on_record = records.iter().any(|record| record.line_sha256 == digest);
            let line = if on_record { LineHeader::parse_partially(raw) } else { None };
            let fault = match line.map_or_else(|| LineHeader::parse(raw), Ok) {
                Err(_) => Fault::InvalidLine { number },
                Ok(line) => {
                    let other = sound.first().is_some_and(|(_, first, _)| first.id.name != line.id.name);
                    if !other && line.id.name.index_path() == self.path {
                        sound.push((number, line, digest));
                        continue;
                    }
                    Fault::Misplaced { number, id: line.id }
                }
            };
            *garbage = true;
            self.problems.push(Problem::new(shown, fault));
        }
        sound
    }

    fn check_line(&mut self, state: &LineState, metadata: &Metadata, index: &str, records: &str) {
        let (id, number) = (|| state.id.clone(), state.number);
        match state.record_match {
            RecordMatch::Recorded => {}
            RecordMatch::Unrecorded | RecordMatch::ContradictsCrate => {
                self.problems.push(Problem::new(records, Fault::Unrecorded { id: id() }))
            }
            RecordMatch::Altered => {
                self.problems.push(Problem::new(index, Fault::Altered { number, id: id() }));
                self.repairs.push((ItemId::Crate(id()), state.cksum));
            }
            RecordMatch::Contradicted => {
                let record = metadata.crates.get(&state.id).map(|named| named.record.to_string()).unwrap_or_default();
                self.problems.push(Problem::new(index, Fault::LedgerChecksum { id: id(), record }));
                self.repairs.push((ItemId::Crate(id()), state.cksum));
            }
        }
        let unknown = self.context.unknown_crate_fault(number, &state.id);
        self.problems.extend(unknown.map(|fault| Problem::new(index, fault)));
    }

    /// Removes the records that nothing confirms: no line, no import record and no crate file has their version. Returns their
    /// crates. A killed command may have written records before lines. A lost import record may have confirmed one, unless
    /// the record states the digest of another version's line.
    fn take_unsupported_records(
        &self,
        records: &mut Vec<IndexLineMeta>,
        by_version: &BTreeMap<Version, LineState>,
    ) -> Vec<CrateId> {
        let AuditContext { listing, metadata, is_complete, interrupted, .. } = *self.context;
        if interrupted || records.iter().all(|record| by_version.contains_key(&record.version)) {
            return Vec::new();
        }
        let of_line = by_version.values().next().map(|state| state.id.name.clone());
        let Some(name) = of_line.or_else(|| self.context.crate_name_at(self.path)) else { return Vec::new() };
        let files = listing.crates.get(self.path);
        let mut unsupported = Vec::new();
        records.retain(|record| {
            let id = CrateId { name: name.clone(), version: record.version.clone() };
            let is_of_other_line = || by_version.values().any(|state| state.digest == record.line_sha256);
            let is_supported = by_version.contains_key(&record.version)
                || metadata.crates.contains_key(&id)
                || files.is_some_and(|ids| ids.contains(&id))
                || !is_complete && !is_of_other_line();
            if !is_supported {
                unsupported.push(id);
            }
            is_supported
        });
        unsupported
    }

    /// Recorded versions that have no line in the file.
    fn find_missing_lines(
        &mut self,
        records: &[IndexLineMeta],
        by_version: &BTreeMap<Version, LineState>,
        spelled: impl FnOnce() -> Option<CrateName>,
        shown: &str,
    ) -> Vec<LineState> {
        let mut gone = records.iter().filter(|record| !by_version.contains_key(&record.version)).peekable();
        if gone.peek().is_none() {
            return Vec::new();
        }
        let name = by_version.values().next().map(|state| state.id.name.clone()).or_else(spelled);
        let mut lost: BTreeMap<&Version, LineState> = BTreeMap::new();
        for record in gone {
            let Some(name) = name.clone() else { continue };
            let id = CrateId { name, version: record.version.clone() };
            lost.entry(&record.version).or_insert(LineState {
                cksum: self.context.metadata.stated_digest(&id).unwrap_or(record.cksum),
                id,
                digest: record.line_sha256,
                number: 0,
                index_only: record.index_only,
                record_match: RecordMatch::Altered,
            });
        }
        // A killed garbage collection removed lines before their records; a killed import wrote records first. A
        // version that a lineage still needs is missing in either case.
        let unfinished = |state: &&LineState| {
            self.context.interrupted && !self.context.metadata.crates.get(&state.id).is_some_and(CrateRef::is_current)
        };
        for state in lost.values().filter(|state| !unfinished(state)) {
            self.problems.push(Problem::new(shown, Fault::MissingLine { id: state.id.clone() }));
            self.repairs.push((ItemId::Crate(state.id.clone()), state.cksum));
        }
        lost.into_values().collect()
    }
}

/// The fields of a line that the audit needs.
struct LineHeader {
    id: CrateId,
    cksum: Sha256,
}

impl LineHeader {
    /// Parses the whole line, as cargo would.
    fn parse(raw: &str) -> Result<LineHeader, InvalidLine> {
        IndexLine::parse(raw).map(|line| LineHeader { id: line.id, cksum: line.cksum })
    }

    /// Parses only the needed fields, because dependencies are the larger part of an index.
    fn parse_partially(raw: &str) -> Option<LineHeader> {
        #[derive(Deserialize)]
        struct Head {
            name: String,
            vers: String,
            cksum: Sha256,
        }
        let Head { name, vers, cksum } = serde_json::from_str(raw).ok()?;
        Some(LineHeader { id: CrateId::parse(&name, &vers).ok()?, cksum })
    }
}

/// Whether only a rejected bundle confirms the line.
fn is_revoked(line: &LineState, records: &[IndexLineMeta]) -> bool {
    let is_of_line = |record: &&IndexLineMeta| record.version == line.id.version && record.line_sha256 == line.digest;
    records.iter().filter(is_of_line).map(|record| record.read_at).max() == Some(REVOKED)
}

/// Compares a line with the records. Also returns whether the matching record states another checksum.
fn compare_with_records(
    number: usize,
    line: LineHeader,
    digest: Sha256,
    records: &[IndexLineMeta],
    metadata: &Metadata,
) -> (LineState, bool) {
    let mut of_version = records.iter().filter(|record| record.version == line.id.version).peekable();
    let first = of_version.peek().map(|record| record.cksum);
    let fitting = of_version.filter(|record| record.line_sha256 == digest).max_by_key(|record| record.read_at);
    let (record_match, cksum, index_only) = match (fitting, first) {
        (Some(record), _) if record.cksum == line.cksum => (RecordMatch::Recorded, line.cksum, record.index_only),
        (Some(_), _) => (RecordMatch::Unrecorded, line.cksum, false),
        (None, Some(recorded)) => (RecordMatch::Altered, recorded, false),
        (None, None) => (RecordMatch::Unrecorded, line.cksum, false),
    };
    let contradiction = fitting.is_some() && record_match == RecordMatch::Unrecorded;
    // The import record decides, because the index and its records can be altered alike.
    let in_ledger = metadata.stated_digest(&line.id);
    let is_contradicted = in_ledger.is_some_and(|sha256| sha256 != line.cksum);
    let record_match = match record_match {
        RecordMatch::Recorded | RecordMatch::Unrecorded if is_contradicted => RecordMatch::Contradicted,
        other => other,
    };
    let cksum = in_ledger.unwrap_or(cksum);
    (LineState { id: line.id, cksum, digest, number, index_only, record_match }, contradiction)
}
