//! Checks the index lines of a bundle against its table of crates, in one streaming pass.

use std::sync::atomic::{AtomicBool, Ordering};

use super::format::{CrateRecord, CrateState, Entry, MAX_LINE_LENGTH, Manifest, RefreshedCrate};
use super::problem::{self, LineFault, Problem};
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::index_line::IndexLine;
use crate::safe_path::SafePath;

/// Decides which index lines a bundle may have.
pub(super) trait LineRules {
    /// The problem of a line of an index entry, if any.
    fn check_line(&self, entry: &Entry, raw: &[u8]) -> Option<LineFault>;
}

/// The crates whose lines were seen. Threads that check different index entries share it.
pub(super) struct IndexLineChecker<'m> {
    crates: &'m [CrateRecord],
    seen: Vec<AtomicBool>,
    refreshed_crates: &'m [RefreshedCrate],
    refreshed_seen: Vec<AtomicBool>,
}

impl<'m> IndexLineChecker<'m> {
    pub(super) fn new(manifest: &'m Manifest) -> IndexLineChecker<'m> {
        let unseen = |count: usize| std::iter::repeat_with(|| AtomicBool::new(false)).take(count).collect();
        let (crates, refreshed) = (manifest.crates.as_slice(), manifest.refreshed_crates.as_slice());
        IndexLineChecker {
            crates,
            seen: unseen(crates.len()),
            refreshed_crates: refreshed,
            refreshed_seen: unseen(refreshed.len()),
        }
    }

    /// The crates that need a line and have none.
    pub(super) fn missing_lines(&self) -> impl Iterator<Item = Problem> {
        let pairs = self.crates.iter().zip(&self.seen);
        let crates = pairs
            .filter(|(record, seen)| record.state != CrateState::Kept && !seen.load(Ordering::Relaxed))
            .map(|(record, _)| record.id());
        let pairs = self.refreshed_crates.iter().zip(&self.refreshed_seen);
        let refreshed = pairs.filter(|(_, seen)| !seen.load(Ordering::Relaxed)).map(|(one, _)| one.id());
        crates.chain(refreshed).map(|id| Problem::MissingLine { id })
    }

    /// The digest that a crate's line must state, and whether the line was seen; `None` if no line is expected.
    fn expected_line(&self, id: &CrateId) -> Option<(&Sha256, &AtomicBool)> {
        let key = (&id.name, &id.version);
        if let Ok(at) = self.refreshed_crates.binary_search_by(|one| (&one.name, &one.version).cmp(&key)) {
            return Some((&self.refreshed_crates.get(at)?.sha256, self.refreshed_seen.get(at)?));
        }
        let at = self.crates.binary_search_by(|record| (&record.name, &record.version).cmp(&key)).ok()?;
        let record = self.crates.get(at).filter(|record| record.state != CrateState::Kept)?;
        Some((&record.sha256, self.seen.get(at)?))
    }
}

impl LineRules for IndexLineChecker<'_> {
    fn check_line(&self, entry: &Entry, raw: &[u8]) -> Option<LineFault> {
        let line = match parse_line(&entry.path, raw) {
            Ok(line) => line,
            Err(fault) => return Some(fault),
        };
        match self.expected_line(&line.id) {
            None => Some(LineFault::UnknownCrate(line.id)),
            Some((sha256, _)) if *sha256 != line.cksum => Some(LineFault::WrongChecksum(line.id)),
            Some((_, seen)) if seen.swap(true, Ordering::Relaxed) => Some(LineFault::Duplicate(line.id)),
            Some(_) => None,
        }
    }
}

/// Parses a line of the index file at `path`, which begins with `index/`.
pub(super) fn parse_line(path: &SafePath, raw: &[u8]) -> Result<IndexLine, LineFault> {
    let raw = std::str::from_utf8(raw).map_err(|_| LineFault::NotUtf8)?;
    let line = IndexLine::parse(raw).map_err(|_| LineFault::Malformed)?;
    match path.strip_prefix("index") == Some(line.id.name.index_path().as_str()) {
        true => Ok(line),
        false => Err(LineFault::WrongFile(line.id)),
    }
}

/// Checks the bytes of one index entry in chunks.
pub(super) struct IndexEntryChecker<'l> {
    rules: &'l dyn LineRules,
    entry: &'l Entry,
    /// The unfinished line.
    partial: Vec<u8>,
    is_too_long: bool,
    line_number: u64,
    problems: Vec<Problem>,
}

impl<'l> IndexEntryChecker<'l> {
    pub(super) fn new(rules: &'l dyn LineRules, entry: &'l Entry) -> IndexEntryChecker<'l> {
        IndexEntryChecker {
            rules,
            entry,
            partial: Vec::new(),
            is_too_long: false,
            line_number: 1,
            problems: Vec::new(),
        }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.append_partial(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.append_partial(bytes);
    }

    /// The problems of the entry's lines.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        if !self.partial.is_empty() || self.is_too_long {
            self.add_problem(LineFault::Unterminated);
        }
        self.problems
    }

    fn append_partial(&mut self, part: &[u8]) {
        if self.partial.len() + part.len() > MAX_LINE_LENGTH {
            self.is_too_long = true;
        }
        if !self.is_too_long {
            self.partial.extend_from_slice(part);
        }
    }

    fn end_line(&mut self) {
        let fault = match std::mem::take(&mut self.is_too_long) {
            true => Some(LineFault::TooLong),
            false => self.rules.check_line(self.entry, &self.partial),
        };
        if let Some(fault) = fault {
            self.add_problem(fault);
        }
        self.partial.clear();
        self.line_number += 1;
    }

    fn add_problem(&mut self, fault: LineFault) {
        // A hostile entry may have millions of problems, so only the first are kept.
        if self.problems.len() < problem::MAX_PROBLEMS {
            self.problems.push(Problem::InvalidLine { path: self.entry.path.clone(), number: self.line_number, fault });
        }
    }
}
