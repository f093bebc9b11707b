//! One name: its index file, the records of its lines and its crates' files, each held against the others.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::blob::{self, Blob};
use super::books::{Books, Named};
use super::problem::{Fault, Problem};
use super::{Known, in_parallel};
use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::Sha256;
use crate::event::{Event, Phase, Sink};
use crate::index_line::{IndexLine, InvalidLine};
use crate::mirror::lines::{self, LineRecord};

/// What an index file and its records say.
pub(in crate::mirror) struct NameState {
    /// Below index/ and below lines/.
    pub(in crate::mirror) place: String,
    /// The lines, one a version.
    pub(in crate::mirror) lines: Vec<LineState>,
    /// The records that can be read and do not contradict their line.
    pub(in crate::mirror) records: Vec<LineRecord>,
    /// The records' file is there.
    pub(in crate::mirror) records_there: bool,
    /// Some of the records' file is of no use.
    pub(in crate::mirror) records_damaged: bool,
    /// Versions on record without a line.
    pub(in crate::mirror) lost: Vec<LineState>,
    /// How the crates' files are, by name and version.
    pub(super) blobs: Vec<(CrateId, Blob)>,
    /// How many of the crates that lines or records name the books call current.
    pub(super) current: usize,
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
    /// What a bundle must bring for the file to become right.
    pub(super) repairs: Vec<(CrateId, Sha256)>,
}

/// A line of an index file.
#[derive(Clone, Debug)]
pub(in crate::mirror) struct LineState {
    /// The crate.
    pub(in crate::mirror) id: CrateId,
    /// The digest that its file must have.
    pub(in crate::mirror) cksum: Sha256,
    /// Digest of the line itself.
    pub(in crate::mirror) digest: Sha256,
    /// Recorded as left out by a platform filter.
    pub(in crate::mirror) index_only: bool,
    /// How it stands with the records.
    pub(in crate::mirror) standing: Standing,
}

/// How a line stands with the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mirror) enum Standing {
    /// It is the one on record.
    Recorded,
    /// Nothing is on record of its version.
    Unrecorded,
    /// Another line is on record.
    Altered,
}

impl NameState {
    /// What lines and records name, with the digests that the files must have.
    pub(in crate::mirror) fn expected(&self) -> impl Iterator<Item = &LineState> {
        self.lines.iter().chain(&self.lost)
    }

    /// Hashes the crates' files and holds them against the lines.
    fn read_crates(&mut self, known: &Known<'_>, sink: &dyn Sink, buffer: &mut [u8]) {
        let mut expected: Vec<(&CrateId, Sha256)> = self.expected().map(|line| (&line.id, line.cksum)).collect();
        expected.sort_unstable();
        let must_be = |id: &CrateId| expected.binary_search_by(|(one, _)| (*one).cmp(id)).ok().map(|at| expected[at].1);
        let before = known.before.get(&self.place).map_or(&[][..], Vec::as_slice);
        let ids = known.listing.crates.get(&self.place).into_iter().flatten();
        let mut blobs: Vec<(CrateId, Blob)> = ids
            .map(|id| {
                let blob = blob::judge(known.layout, id, must_be(id), find(before, id), buffer);
                sink.event(Event::Advance { phase: Phase::Verifying, items: 1, bytes: blob.length() });
                (id.clone(), blob)
            })
            .collect();
        blobs.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        self.blobs = blobs;
        for (id, blob) in &self.blobs {
            match blob {
                Blob::Good { .. } => {}
                Blob::Bad { expected, fault, .. } => {
                    self.problems.push(Problem::of_crate(id, fault.clone()));
                    self.repairs.push((id.clone(), *expected));
                }
                // A collection took its line; readers of the old one may still want it.
                Blob::Unnamed { .. } if known.waiting.contains(&id.file_name()) => {}
                Blob::Unnamed { .. } => self.problems.push(Problem::of_crate(id, Fault::NoLine)),
            }
        }
        for line in self.lines.iter().filter(|line| find(&self.blobs, &line.id).is_none()) {
            // A line without a record says nothing of a platform filter; the ledger does.
            let unrecorded = line.standing == Standing::Unrecorded;
            if !(line.index_only || unrecorded && known.books.left_out(&line.id)) {
                let fault = Fault::Missing { index: format!("index/{}", self.place) };
                self.problems.push(Problem::of_crate(&line.id, fault));
                self.repairs.push((line.id.clone(), line.cksum));
            }
        }
    }

    /// How the crate's file is; `None` where there is none.
    pub(in crate::mirror) fn blob(&self, id: &CrateId) -> Option<&Blob> {
        find(&self.blobs, id)
    }
}

/// The file of `id` among those of its name.
fn find<'b>(blobs: &'b [(CrateId, Blob)], id: &CrateId) -> Option<&'b Blob> {
    blobs.binary_search_by(|(other, _)| other.cmp(id)).ok().map(|at| &blobs[at].1)
}

/// Reads every index file with its records, and every crate.
pub(super) fn read_all(places: &[&str], known: &Known<'_>, sink: &dyn Sink) -> Vec<NameState> {
    in_parallel(places, |place, buffer| {
        Reading { known, place, sink, problems: Vec::new(), repairs: Vec::new() }.read(buffer)
    })
}

struct Reading<'p> {
    known: &'p Known<'p>,
    place: &'p str,
    sink: &'p dyn Sink,
    problems: Vec<Problem>,
    repairs: Vec<(CrateId, Sha256)>,
}

impl Reading<'_> {
    fn read(mut self, buffer: &mut [u8]) -> NameState {
        let Known { layout, listing, books, .. } = self.known;
        let records_shown = format!(".frostmirror/lines/{}", self.place);
        let index_shown = format!("index/{}", self.place);
        let text = self.text(&layout.index().join(self.place), &index_shown);
        let records_text = self.text(&layout.lines().join(self.place), &records_shown);
        let records_there = listing.records.contains(self.place);
        let (mut records, mut records_damaged) = (Vec::new(), false);
        for (at, line) in records_text.lines().enumerate() {
            let before = records.len();
            records.extend(lines::parse(line));
            if records.len() == before {
                self.problems.push(Problem::new(&records_shown, Fault::NoRecord { number: at + 1 }));
                records_damaged = true;
            }
        }
        let mut by_version: BTreeMap<Version, (usize, LineState)> = BTreeMap::new();
        let mut garbage = false;
        for (number, line, digest) in self.sound_lines(&text, &records, &index_shown, &mut garbage) {
            let (state, contradiction) = stand(line, digest, &records, books);
            if contradiction {
                self.problems.push(Problem::new(&records_shown, Fault::RecordChecksum { id: state.id.clone() }));
                records.retain(|record| record.line != digest || record.version != state.id.version);
                records_damaged = true;
            }
            // Of two lines for one version the one on record counts, else the first.
            let second = match by_version.get(&state.id.version) {
                Some((_, first)) => {
                    self.repairs.push((first.id.clone(), first.cksum));
                    let better = first.standing != Standing::Recorded && state.standing == Standing::Recorded;
                    self.problems.push(Problem::new(&index_shown, Fault::Twice { number, id: state.id.clone() }));
                    !better
                }
                None => false,
            };
            if !second {
                by_version.insert(state.id.version.clone(), (number, state));
            }
        }
        for (number, state) in by_version.values() {
            self.judge(*number, state, books, &index_shown, &records_shown);
        }
        let place = self.place;
        let known = self.known;
        let lost = self.lost(&records, &by_version, || known.spelled(place), &index_shown);
        let lines: Vec<LineState> = by_version.into_values().map(|(_, state)| state).collect();
        if let (true, Some(line)) = (garbage && self.repairs.is_empty(), lines.first()) {
            // Any line of the name makes an import write the file anew.
            self.repairs.push((line.id.clone(), line.cksum));
        }
        let mut state = NameState {
            place: place.to_owned(),
            records_there,
            lines,
            records,
            records_damaged,
            lost,
            blobs: Vec::new(),
            current: 0,
            problems: self.problems,
            repairs: self.repairs,
        };
        let is_current = |line: &&LineState| books.named.get(&line.id).is_some_and(Named::is_current);
        state.current = state.expected().filter(is_current).count();
        self.sink.event(Event::Advance { phase: Phase::Verifying, items: 1, bytes: 0 });
        if !self.sink.stopped() {
            state.read_crates(known, self.sink, buffer);
        }
        state
    }

    /// The text of a file; a file that is not there has none. Bytes that are no text become lines that nothing fits.
    fn text(&mut self, path: &Path, shown: &str) -> String {
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

    fn sound_lines(
        &mut self,
        text: &str,
        records: &[LineRecord],
        shown: &str,
        garbage: &mut bool,
    ) -> Vec<(usize, Line, Sha256)> {
        let mut sound: Vec<(usize, Line, Sha256)> = Vec::new();
        for (at, raw) in text.lines().enumerate().filter(|(_, raw)| !raw.is_empty()) {
            let number = at + 1;
            let digest = Sha256::of(raw.as_bytes());
            // What is on record was read in full when it came.
            let on_record = records.iter().any(|record| record.line == digest);
            let line = if on_record { Line::glance(raw) } else { None };
            let fault = match line.map_or_else(|| Line::parse(raw), Ok) {
                Err(_) => Fault::Garbage { number },
                Ok(line) => {
                    let other = sound.first().is_some_and(|(_, first, _)| first.id.name != line.id.name);
                    if !other && line.id.name.index_path() == self.place {
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

    fn judge(&mut self, number: usize, state: &LineState, books: &Books, index: &str, records: &str) {
        let id = || state.id.clone();
        match state.standing {
            Standing::Recorded => {}
            Standing::Unrecorded => self.problems.push(Problem::new(records, Fault::Unrecorded { id: id() })),
            Standing::Altered => {
                self.problems.push(Problem::new(index, Fault::Altered { number, id: id() }));
                self.repairs.push((id(), state.cksum));
            }
        }
        if let Some(named) = books.named.get(&state.id).filter(|named| named.sha256 != state.cksum) {
            let record = named.record.to_string();
            self.problems.push(Problem::new(index, Fault::LedgerChecksum { id: id(), record }));
        }
    }

    /// Versions on record of which the file has no line.
    fn lost(
        &mut self,
        records: &[LineRecord],
        by_version: &BTreeMap<Version, (usize, LineState)>,
        spelled: impl FnOnce() -> Option<CrateName>,
        shown: &str,
    ) -> Vec<LineState> {
        let mut gone = records.iter().filter(|record| !by_version.contains_key(&record.version)).peekable();
        if gone.peek().is_none() {
            return Vec::new();
        }
        let name = by_version.values().next().map(|(_, state)| state.id.name.clone()).or_else(spelled);
        let mut lost: BTreeMap<&Version, LineState> = BTreeMap::new();
        for record in gone {
            let Some(name) = name.clone() else { continue };
            let id = CrateId { name, version: record.version.clone() };
            lost.entry(&record.version).or_insert(LineState {
                id,
                cksum: record.cksum,
                digest: record.line,
                index_only: record.index_only,
                standing: Standing::Altered,
            });
        }
        // A collection that was killed took lines and not yet their records; a killed import placed records first. What a
        // lineage still needs is lost all the same.
        let unfinished = |state: &&LineState| {
            self.known.torn && !self.known.books.named.get(&state.id).is_some_and(Named::is_current)
        };
        for state in lost.values().filter(|state| !unfinished(state)) {
            self.problems.push(Problem::new(shown, Fault::LineLost { id: state.id.clone() }));
            self.repairs.push((state.id.clone(), state.cksum));
        }
        lost.into_values().collect()
    }
}

/// What is needed of a line.
struct Line {
    id: CrateId,
    cksum: Sha256,
}

impl Line {
    /// Reads the whole line, as cargo would.
    fn parse(raw: &str) -> Result<Line, InvalidLine> {
        IndexLine::parse(raw).map(|line| Line { id: line.id, cksum: line.cksum })
    }

    /// Reads no more than is needed; dependencies are the larger part of an index.
    fn glance(raw: &str) -> Option<Line> {
        #[derive(Deserialize)]
        struct Head {
            name: String,
            vers: String,
            cksum: Sha256,
        }
        let Head { name, vers, cksum } = serde_json::from_str(raw).ok()?;
        Some(Line { id: CrateId::parse(&name, &vers).ok()?, cksum })
    }
}

/// How a line stands with the records, and whether the one that it fits states another checksum.
fn stand(line: Line, digest: Sha256, records: &[LineRecord], books: &Books) -> (LineState, bool) {
    let mut of_version = records.iter().filter(|record| record.version == line.id.version).peekable();
    let first = of_version.peek().map(|record| record.cksum);
    let fitting = of_version.filter(|record| record.line == digest).max_by_key(|record| record.read);
    let in_ledger = books.named.get(&line.id).map(|named| named.sha256);
    let (standing, cksum, index_only) = match (fitting, first) {
        (Some(record), _) if record.cksum == line.cksum => (Standing::Recorded, line.cksum, record.index_only),
        (Some(_), _) => (Standing::Unrecorded, line.cksum, false),
        (None, Some(recorded)) => (Standing::Altered, recorded, false),
        (None, None) => (Standing::Unrecorded, in_ledger.unwrap_or(line.cksum), false),
    };
    let contradiction = fitting.is_some() && standing == Standing::Unrecorded;
    // An unrecorded line that the ledger contradicts is told as altered, so that nothing vouches for it.
    let standing = match in_ledger {
        Some(sha256) if standing == Standing::Unrecorded && sha256 != line.cksum => Standing::Altered,
        _ => standing,
    };
    (LineState { id: line.id, cksum, digest, index_only, standing }, contradiction)
}
