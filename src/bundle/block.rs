//! One block of a bundle's payload: its bytes against what the manifest states of them.

use std::io::{self, Read};

use super::encoded::{self, Plain};
use super::format::{Block, Entry};
use super::lines::{Ledger, Lines};
use super::open::{Problem, Visitor};
use crate::artifact::Kind;
use crate::digest::{BUFFER, Hasher};
use crate::panics::working_on;

/// What ends the reading of a bundle at once.
pub(super) enum Stop {
    /// The bundle cannot be read.
    Read(io::Error),
    /// The visitor gave up.
    Visitor(io::Error),
}

/// Checks blocks, one after another, with one buffer.
pub(super) struct Checker<'a> {
    pub(super) ledger: &'a Ledger<'a>,
    pub(super) problems: Vec<Problem>,
    buffer: Vec<u8>,
}

/// How an entry's bytes ended.
enum End {
    /// All of them were there.
    Whole,
    /// The file ends inside them.
    Truncated,
    /// The block does not decode.
    Undecodable(encoded::Fault),
}

impl<'a> Checker<'a> {
    pub(super) fn new(ledger: &'a Ledger<'a>) -> Checker<'a> {
        Checker { ledger, problems: Vec::new(), buffer: vec![0; BUFFER] }
    }

    /// Checks one block, whose bytes are the next of `reader`. False where the file ends inside it.
    pub(super) fn check(
        &mut self,
        block: &Block,
        mut reader: impl Read,
        visitor: &mut dyn Visitor,
    ) -> Result<bool, Stop> {
        let Some(stored) = block.stored else {
            let mut whole = true;
            for entry in &block.entries {
                whole = matches!(self.entry(entry, &mut reader, visitor)?, End::Whole);
            }
            return Ok(whole);
        };
        // The manifest was checked: the sum does not overflow.
        let mut plain = Plain::new(&mut reader, stored.size, block.plain_size().unwrap_or(0));
        let before = self.problems.len();
        let mut damage = None;
        for entry in &block.entries {
            match damage {
                None => match self.entry(entry, &mut plain, visitor)? {
                    End::Whole => {}
                    End::Truncated => return Ok(false),
                    End::Undecodable(fault) => damage = Some(fault),
                },
                Some(fault) => {
                    visitor.begin(entry).and_then(|()| visitor.end(entry, false)).map_err(Stop::Visitor)?;
                    self.report(Problem::Undecodable { path: entry.path.clone(), fault: fault.to_string() });
                }
            }
        }
        if damage.is_none() {
            damage = plain
                .check_end()
                .err()
                .map(|error| encoded::Fault::of(&error).ok_or(error))
                .transpose()
                .map_err(Stop::Read)?;
        }
        let digest = plain.drain().map_err(Stop::Read)?;
        // The manifest was checked: no block is without entries.
        let Some(first) = block.entries.first().map(|entry| entry.path.clone()) else { return Ok(true) };
        match (digest, damage) {
            (None, _) => {
                self.report(Problem::Truncated { path: first });
                return Ok(false);
            }
            // The entries that suffered are named already; where none did, the block is by its entries' names.
            _ if self.problems.len() > before => {}
            (Some(digest), damage) if digest != stored.sha256 || damage.is_some() => {
                self.report(Problem::Block { first, others: block.entries.len() - 1 });
            }
            _ => {}
        }
        Ok(true)
    }

    /// Checks one entry, whose content is the next of `reader`.
    fn entry(&mut self, entry: &Entry, reader: &mut impl Read, visitor: &mut dyn Visitor) -> Result<End, Stop> {
        working_on(&entry.path);
        visitor.begin(entry).map_err(Stop::Visitor)?;
        let mut hasher = Hasher::new();
        let mut lines = (entry.kind == Kind::Index).then(|| Lines::new(self.ledger, entry));
        let mut left = entry.size;
        let end = loop {
            if left == 0 {
                break End::Whole;
            }
            let room = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            match reader.read(&mut self.buffer[..room]) {
                Ok(0) => break End::Truncated,
                Ok(n) => {
                    let bytes = &self.buffer[..n];
                    hasher.update(bytes);
                    if let Some(lines) = &mut lines {
                        lines.take(bytes);
                    }
                    visitor.data(bytes).map_err(Stop::Visitor)?;
                    left -= n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => match encoded::Fault::of(&e) {
                    Some(encoded::Fault::Truncated) => break End::Truncated,
                    Some(fault) => break End::Undecodable(fault),
                    None => return Err(Stop::Read(e)),
                },
            }
        };
        let path = || entry.path.clone();
        let actual = hasher.finish();
        let good = matches!(end, End::Whole) && actual == entry.sha256;
        match &end {
            End::Truncated => self.report(Problem::Truncated { path: path() }),
            End::Undecodable(fault) => self.report(Problem::Undecodable { path: path(), fault: fault.to_string() }),
            End::Whole if !good => self.report(Problem::Digest { path: path(), expected: entry.sha256, actual }),
            // Lines of damaged text say nothing more than that it is damaged.
            End::Whole => lines.into_iter().flat_map(Lines::finish).for_each(|problem| self.report(problem)),
        }
        visitor.end(entry, good).map_err(Stop::Visitor)?;
        Ok(end)
    }

    fn report(&mut self, problem: Problem) {
        if self.problems.len() < super::open::MOST_PROBLEMS {
            self.problems.push(problem);
        }
    }
}
