//! Compares entries and index lines with the rows of a set.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};

use super::super::format::Entry;
use super::super::index_line_checker::{LineRules, parse_line};
use super::super::problem::{LineFault, MAX_PROBLEMS, Problem};
use super::entry_key::EntryKey;
use super::table::EntryDetails;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::safe_path::SafePath;
use crate::sharded_set::{CrateKey, CrateRow, Error, Key, Lookup, PlacedRow, Registry, Row, SetRef, SortKey, Walk};

/// The known rows of a bundle.
#[derive(Clone, Copy)]
pub(super) enum KnownRows<'s> {
    /// All rows of its set.
    All(SetRef<'s>),
    /// The added rows; the set before is not known.
    Added(SetRef<'s>),
    /// None: a repair has no set.
    None,
}

/// What the bundle must contain, in the order of its entries.
#[derive(Default)]
pub(super) struct Requirements<'s> {
    /// The crates that need a file; nothing if the bundle may rely on earlier ones.
    pub(super) crates: Option<RequiredRows<'s>>,
    /// The crates that need an index line; nothing if the rows that they replace are not known.
    pub(super) lines: Option<RequiredRows<'s>>,
    /// The files that it needs; nothing if the bundle may rely on earlier ones.
    pub(super) files: Option<RequiredRows<'s>>,
}

/// Rows that need something, in order.
pub(super) struct RequiredRows<'s> {
    rows: Box<dyn Iterator<Item = Result<PlacedRow, Error>> + 's>,
    next: Option<PlacedRow>,
}

impl<'s> RequiredRows<'s> {
    /// The rows of `set` for which `needs` returns true.
    pub(super) fn new(set: SetRef<'s>, mut needs: impl FnMut(&Row) -> Result<bool, Error> + 's) -> RequiredRows<'s> {
        let rows = Walk::new(set).filter_map(move |placed| {
            let placed = match placed {
                Ok(placed) => placed,
                Err(error) => return Some(Err(error)),
            };
            match needs(&placed.row) {
                Ok(needed) => needed.then_some(Ok(placed)),
                Err(error) => Some(Err(error)),
            }
        });
        RequiredRows { rows: Box::new(rows), next: None }
    }

    /// The next row for which `is_wanted` returns true; it is skipped then.
    fn next_if(&mut self, is_wanted: impl Fn(&PlacedRow) -> bool) -> Result<Option<PlacedRow>, Error> {
        if self.next.is_none() {
            self.next = self.rows.next().transpose()?;
        }
        Ok(self.next.take_if(|next| is_wanted(next)))
    }
}

/// Checks entries and index lines against rows.
pub(super) struct RowChecker<'s> {
    state: RefCell<State<'s>>,
}

struct State<'s> {
    rows: Option<Lookup<'s>>,
    /// Whether a row that is not found does not exist.
    has_all_rows: bool,
    requirements: Requirements<'s>,
    /// The digests of dist files: the same bytes travel once.
    file_digests: HashSet<Sha256>,
    index: Option<IndexEntry>,
    problems: Vec<Problem>,
    /// Missing crates, files and lines, which are reported only if everything else is valid.
    missing: Vec<Problem>,
    error: Option<Error>,
}

/// The current index file.
struct IndexEntry {
    first_key: CrateKey,
    path: SafePath,
    is_refreshed: bool,
    seen: BTreeSet<CrateId>,
}

impl<'s> RowChecker<'s> {
    pub(super) fn new(rows: KnownRows<'s>, requirements: Requirements<'s>) -> RowChecker<'s> {
        let (rows, has_all_rows) = match rows {
            KnownRows::All(set) => (Some(Lookup::new(set)), true),
            KnownRows::Added(set) => (Some(Lookup::new(set)), false),
            KnownRows::None => (None, false),
        };
        let state = State {
            rows,
            has_all_rows,
            requirements,
            file_digests: HashSet::new(),
            index: None,
            problems: Vec::new(),
            missing: Vec::new(),
            error: None,
        };
        RowChecker { state: RefCell::new(state) }
    }

    /// Checks an entry, whose bytes follow.
    pub(super) fn begin(&self, entry: &Entry, key: EntryKey, details: &EntryDetails) {
        let mut state = self.state.borrow_mut();
        let outcome = state.begin(entry, key, details);
        state.keep_error(outcome);
    }

    /// Ends an entry; `good`: its size and digest match.
    pub(super) fn end(&self, good: bool) {
        let mut state = self.state.borrow_mut();
        let outcome = state.end(good);
        state.keep_error(outcome);
    }

    /// The problems since the last call.
    ///
    /// # Errors
    /// A set cannot be read.
    pub(super) fn take_problems(&self) -> Result<Vec<Problem>, Error> {
        let mut state = self.state.borrow_mut();
        match state.error.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut state.problems)),
        }
    }

    /// Everything that is missing after the last entry.
    ///
    /// # Errors
    /// A set cannot be read.
    pub(super) fn finish(self) -> Result<Vec<Problem>, Error> {
        let mut state = self.state.into_inner();
        state.skip_crates(None)?;
        state.skip_lines(None)?;
        while let Some(row) = next_required(&mut state.requirements.files, |_| true)? {
            if !state.file_digests.contains(&row.row.sha256()) {
                state.add_missing(Problem::MissingFile { name: row.row.key().to_string() });
            }
        }
        match state.error {
            Some(error) => Err(error),
            None => Ok(state.missing),
        }
    }
}

impl LineRules for RowChecker<'_> {
    fn check_line(&self, _: &Entry, raw: &[u8]) -> Option<LineFault> {
        let mut state = self.state.borrow_mut();
        match state.check_line(raw) {
            Ok(fault) => fault,
            Err(error) => {
                state.keep_error(Err(error));
                None
            }
        }
    }
}

fn next_required(
    rows: &mut Option<RequiredRows<'_>>,
    is_wanted: impl Fn(&PlacedRow) -> bool,
) -> Result<Option<PlacedRow>, Error> {
    rows.as_mut().map_or(Ok(None), |rows| rows.next_if(is_wanted))
}

impl State<'_> {
    fn keep_error(&mut self, outcome: Result<(), Error>) {
        if let Err(error) = outcome {
            self.error.get_or_insert(error);
        }
    }

    fn add_missing(&mut self, problem: Problem) {
        if self.missing.len() < MAX_PROBLEMS {
            self.missing.push(problem);
        }
    }

    fn find(&mut self, key: &Key) -> Result<Option<Row>, Error> {
        match &mut self.rows {
            Some(rows) => Ok(rows.find(key)?.cloned()),
            None => Ok(None),
        }
    }

    fn begin(&mut self, entry: &Entry, key: EntryKey, details: &EntryDetails) -> Result<(), Error> {
        self.index = None;
        let key = match key {
            EntryKey::Config => return Ok(()),
            EntryKey::Index { first_key, path } => {
                self.skip_lines(Some(&Key::Crate(first_key.clone()).sort_key()))?;
                let is_refreshed = details.is_refreshed;
                self.index = Some(IndexEntry { first_key, path, is_refreshed, seen: BTreeSet::new() });
                return Ok(());
            }
            EntryKey::Crate(key) => Key::Crate(key),
            EntryKey::File(path) => {
                self.file_digests.insert(entry.sha256);
                Key::File(path)
            }
        };
        if matches!(key, Key::Crate(_)) {
            self.skip_crates(Some(&key.sort_key()))?;
        }
        let path = || entry.path.clone();
        let problem = match self.find(&key)? {
            None if self.has_all_rows => Problem::UnknownFile { path: path() },
            None => return Ok(()),
            Some(Row::Crate(CrateRow { is_index_only: true, .. })) => Problem::IndexOnlyFile { path: path() },
            Some(row) if (row.sha256(), row.size()) != (entry.sha256, entry.size) => {
                Problem::DiffersFromRow { path: path() }
            }
            Some(_) => return Ok(()),
        };
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
        Ok(())
    }

    /// Reports required crates before the one at `position`, which is present; all others if there is none.
    fn skip_crates(&mut self, position: Option<&SortKey>) -> Result<(), Error> {
        let is_before = |row: &PlacedRow| position.is_none_or(|position| row.sort_key <= *position);
        while let Some(row) = next_required(&mut self.requirements.crates, is_before)? {
            if position != Some(&row.sort_key) {
                self.add_missing(Problem::MissingFile { name: row.row.key().to_string() });
            }
        }
        Ok(())
    }

    /// Reports required lines before the index file at `position`; all others if there is none.
    fn skip_lines(&mut self, position: Option<&SortKey>) -> Result<(), Error> {
        let is_before = |row: &PlacedRow| position.is_none_or(|position| row.sort_key < *position);
        while let Some(row) = next_required(&mut self.requirements.lines, is_before)? {
            self.add_missing_line(&row);
        }
        Ok(())
    }

    fn add_missing_line(&mut self, row: &PlacedRow) {
        if let Row::Crate(row) = &row.row {
            self.add_missing(Problem::MissingLine { id: row.key.id.clone() });
        }
    }

    fn end(&mut self, good: bool) -> Result<(), Error> {
        let Some(index) = self.index.take() else { return Ok(()) };
        let is_of_file = |row: &PlacedRow| match &row.row {
            Row::Crate(row) => {
                let (one, other) = (row.key.id.name.as_str(), index.first_key.id.name.as_str());
                row.key.registry == index.first_key.registry && one.eq_ignore_ascii_case(other)
            }
            Row::File(_) => false,
        };
        while let Some(placed) = next_required(&mut self.requirements.lines, is_of_file)? {
            let is_seen = matches!(&placed.row, Row::Crate(row) if index.seen.contains(&row.key.id));
            // Lines that are missing in damaged text have the damage as their cause.
            if good && (!is_seen || index.is_refreshed) {
                self.add_missing_line(&placed);
            }
        }
        Ok(())
    }

    fn check_line(&mut self, raw: &[u8]) -> Result<Option<LineFault>, Error> {
        // Lines come after the beginning of their index file.
        let Some(mut index) = self.index.take() else { return Ok(None) };
        let fault = self.check_line_of(&mut index, raw);
        self.index = Some(index);
        fault
    }

    fn check_line_of(&mut self, index: &mut IndexEntry, raw: &[u8]) -> Result<Option<LineFault>, Error> {
        let line = match parse_line(&index.path, raw) {
            Ok(line) => line,
            Err(fault) => return Ok(Some(fault)),
        };
        let registry: Registry = index.first_key.registry;
        let row = self.find(&Key::Crate(CrateKey { registry, id: line.id.clone() }))?;
        let is_second = index.seen.contains(&line.id);
        let is_sorted = index.seen.last().is_none_or(|last| *last < line.id);
        index.seen.insert(line.id.clone());
        let fault = match row {
            _ if is_second => LineFault::Duplicate(line.id),
            Some(_) if index.is_refreshed => LineFault::NotRefreshed(line.id),
            _ if index.is_refreshed && !is_sorted => LineFault::OutOfOrder(line.id),
            None if self.has_all_rows && !index.is_refreshed => LineFault::UnknownCrate(line.id),
            Some(Row::Crate(row)) if row.sha256 != line.cksum => LineFault::WrongChecksum(line.id),
            Some(Row::Crate(row)) if row.line_sha256 != Sha256::of(raw) => LineFault::DiffersFromRow(line.id),
            _ => return Ok(None),
        };
        Ok(Some(fault))
    }
}
