//! The index lines of a bundle against its table of crates, line by line as they pass.

use std::sync::atomic::{AtomicBool, Ordering};

use super::format::{CrateRecord, CrateState, Entry, MAX_LINE, Manifest, Refreshed};
use super::open::Problem;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::index_line::IndexLine;
use crate::safe_path::SafePath;

/// Which crates' lines were seen. Shared by threads that each check other index entries.
pub(super) struct Ledger<'m> {
    crates: &'m [CrateRecord],
    seen: Vec<AtomicBool>,
    refreshed: &'m [Refreshed],
    refreshed_seen: Vec<AtomicBool>,
}

impl<'m> Ledger<'m> {
    pub(super) fn new(manifest: &'m Manifest) -> Ledger<'m> {
        let unseen = |count: usize| std::iter::repeat_with(|| AtomicBool::new(false)).take(count).collect();
        let (crates, refreshed) = (manifest.crates.as_slice(), manifest.refreshed.as_slice());
        Ledger { crates, seen: unseen(crates.len()), refreshed, refreshed_seen: unseen(refreshed.len()) }
    }

    /// The crates that should have had a line and had none.
    pub(super) fn missing(&self) -> impl Iterator<Item = Problem> {
        let pairs = self.crates.iter().zip(&self.seen);
        let crates = pairs
            .filter(|(record, seen)| record.state != CrateState::Kept && !seen.load(Ordering::Relaxed))
            .map(|(record, _)| record.id());
        let pairs = self.refreshed.iter().zip(&self.refreshed_seen);
        let refreshed = pairs.filter(|(_, seen)| !seen.load(Ordering::Relaxed)).map(|(one, _)| one.id());
        crates.chain(refreshed).map(|id| Problem::NoLine { id })
    }

    /// What is wrong with one line at `path`, if anything is.
    fn fault(&self, path: &SafePath, raw: &[u8]) -> Option<LineFault> {
        let Ok(raw) = std::str::from_utf8(raw) else {
            return Some(LineFault::Text);
        };
        let Ok(line) = IndexLine::parse(raw) else {
            return Some(LineFault::Unreadable);
        };
        if path.strip_prefix("index") != Some(line.id.name.index_path().as_str()) {
            return Some(LineFault::Elsewhere(line.id));
        }
        match self.expected(&line.id) {
            None => Some(LineFault::Stranger(line.id)),
            Some((sha256, _)) if *sha256 != line.cksum => Some(LineFault::Cksum(line.id)),
            Some((_, seen)) if seen.swap(true, Ordering::Relaxed) => Some(LineFault::Twice(line.id)),
            Some(_) => None,
        }
    }

    /// The digest that a crate's line must state, and whether the line was seen; `None` where no line is due.
    fn expected(&self, id: &CrateId) -> Option<(&Sha256, &AtomicBool)> {
        let wanted = (&id.name, &id.version);
        if let Ok(at) = self.refreshed.binary_search_by(|one| (&one.name, &one.version).cmp(&wanted)) {
            return Some((&self.refreshed.get(at)?.sha256, self.refreshed_seen.get(at)?));
        }
        let at = self.crates.binary_search_by(|record| (&record.name, &record.version).cmp(&wanted)).ok()?;
        let record = self.crates.get(at).filter(|record| record.state != CrateState::Kept)?;
        Some((&record.sha256, self.seen.get(at)?))
    }
}

/// What is wrong with an index line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Not UTF-8.
    #[error("is not UTF-8")]
    Text,
    /// Not what cargo reads as an index line.
    #[error("is not an index line that cargo can read")]
    Unreadable,
    /// Longer than [`MAX_LINE`].
    #[error("is longer than an index line may be")]
    Long,
    /// The last line does not end.
    #[error("has no line break at its end")]
    Cut,
    /// It belongs into another file.
    #[error("is of {0}, which belongs into another index file")]
    Elsewhere(CrateId),
    /// The table of crates does not have it.
    #[error("is of {0}, which is not a crate of this bundle")]
    Stranger(CrateId),
    /// Its `cksum` is not the crate's digest.
    #[error("gives {0} another checksum than the bundle has for that crate")]
    Cksum(CrateId),
    /// The crate had its line already.
    #[error("is a second line of {0}")]
    Twice(CrateId),
}

/// Takes one index entry's bytes as they pass.
pub(super) struct Lines<'l> {
    ledger: &'l Ledger<'l>,
    path: &'l SafePath,
    /// The line that has begun but not ended.
    partial: Vec<u8>,
    too_long: bool,
    number: u64,
    problems: Vec<Problem>,
}

impl<'l> Lines<'l> {
    pub(super) fn new(ledger: &'l Ledger<'l>, entry: &'l Entry) -> Lines<'l> {
        Lines { ledger, path: &entry.path, partial: Vec::new(), too_long: false, number: 1, problems: Vec::new() }
    }

    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.gather(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.gather(bytes);
    }

    /// The problems of the entry's lines.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        if !self.partial.is_empty() || self.too_long {
            self.report(LineFault::Cut);
        }
        self.problems
    }

    fn gather(&mut self, part: &[u8]) {
        if self.partial.len() + part.len() > MAX_LINE {
            self.too_long = true;
        }
        if !self.too_long {
            self.partial.extend_from_slice(part);
        }
    }

    fn end_line(&mut self) {
        let fault = match std::mem::take(&mut self.too_long) {
            true => Some(LineFault::Long),
            false => self.ledger.fault(self.path, &self.partial),
        };
        if let Some(fault) = fault {
            self.report(fault);
        }
        self.partial.clear();
        self.number += 1;
    }

    fn report(&mut self, fault: LineFault) {
        // Nobody reads the thousandth, and a hostile entry may have millions.
        if self.problems.len() < super::open::MOST_PROBLEMS {
            self.problems.push(Problem::Line { path: self.path.clone(), number: self.number, fault });
        }
    }
}
