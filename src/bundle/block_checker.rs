//! Checks a block of a bundle's payload against the manifest.

use std::io::{self, Read};

use super::brotli_stream::{self, BrotliReader};
use super::entry_visitor::EntryVisitor;
use super::format::{Block, Entry};
use super::index_line_checker::{IndexEntryChecker, LineRules};
use super::open_error::Error;
use super::problem::{self, Problem};
use crate::digest::{BUFFER_SIZE, Hasher};
use crate::mirror_file::FileKind;
use crate::panics::set_current_object;

/// An error that stops the reading of a bundle.
pub(super) enum StreamError {
    /// The bundle cannot be read.
    Read(io::Error),
    /// The visitor returned an error.
    Visitor(io::Error),
}

impl StreamError {
    /// The error of the bundle `name`.
    pub(super) fn in_bundle(self, name: &str) -> Error {
        let name = name.to_owned();
        match self {
            StreamError::Read(source) => Error::Io { name, source },
            StreamError::Visitor(source) => Error::Visitor { name, source },
        }
    }
}

/// Checks blocks one after another with one buffer.
pub(super) struct BlockChecker<'a> {
    line_rules: &'a dyn LineRules,
    pub(super) problems: Vec<Problem>,
    buffer: Vec<u8>,
}

/// How the bytes of an entry ended.
enum EntryEnd {
    /// The entry is complete.
    Complete,
    /// The file ends inside the entry.
    Truncated,
    /// The block cannot be decoded.
    Undecodable(brotli_stream::BrotliFault),
}

impl<'a> BlockChecker<'a> {
    pub(super) fn new(line_rules: &'a dyn LineRules) -> BlockChecker<'a> {
        BlockChecker { line_rules, problems: Vec::new(), buffer: vec![0; BUFFER_SIZE] }
    }

    /// Checks the block at the position of `reader`. Returns false if the file ends inside it.
    pub(super) fn check(
        &mut self,
        block: &Block,
        mut reader: impl Read,
        visitor: &mut dyn EntryVisitor,
    ) -> Result<bool, StreamError> {
        let Some(stored) = block.stored else {
            let mut is_complete = true;
            for entry in &block.entries {
                is_complete = matches!(self.check_entry(entry, &mut reader, visitor)?, EntryEnd::Complete);
            }
            return Ok(is_complete);
        };
        // The manifest is validated: the sum does not overflow.
        let mut plain = BrotliReader::new(&mut reader, stored.size, block.plain_size().unwrap_or(0));
        let before = self.problems.len();
        let mut damage = None;
        for entry in &block.entries {
            match damage {
                None => match self.check_entry(entry, &mut plain, visitor)? {
                    EntryEnd::Complete => {}
                    EntryEnd::Truncated => return Ok(false),
                    EntryEnd::Undecodable(fault) => damage = Some(fault),
                },
                Some(fault) => {
                    visitor.begin(entry).and_then(|()| visitor.end(entry, false)).map_err(StreamError::Visitor)?;
                    self.add_problem(Problem::Undecodable { path: entry.path.clone(), fault: fault.to_string() });
                }
            }
        }
        if damage.is_none() {
            damage = plain
                .check_end()
                .err()
                .map(|error| brotli_stream::BrotliFault::from_io(&error).ok_or(error))
                .transpose()
                .map_err(StreamError::Read)?;
        }
        let digest = plain.drain().map_err(StreamError::Read)?;
        // The manifest is validated: no block is without entries.
        let Some(first) = block.entries.first().map(|entry| entry.path.clone()) else { return Ok(true) };
        match (digest, damage) {
            (None, _) => {
                self.add_problem(Problem::Truncated { path: first });
                return Ok(false);
            }
            // Damaged entries are reported already; if there are none, the block is reported by its entries' names.
            _ if self.problems.len() > before => {}
            (Some(digest), damage) if digest != stored.sha256 || damage.is_some() => {
                self.add_problem(Problem::CorruptBlock { first, others: block.entries.len() - 1 });
            }
            _ => {}
        }
        Ok(true)
    }

    /// Checks the entry at the position of `reader`.
    fn check_entry(
        &mut self,
        entry: &Entry,
        reader: &mut impl Read,
        visitor: &mut dyn EntryVisitor,
    ) -> Result<EntryEnd, StreamError> {
        set_current_object(&entry.path);
        visitor.begin(entry).map_err(StreamError::Visitor)?;
        let mut hasher = Hasher::new();
        let mut lines = (entry.kind == FileKind::Index).then(|| IndexEntryChecker::new(self.line_rules, entry));
        let mut left = entry.size;
        let end = loop {
            if left == 0 {
                break EntryEnd::Complete;
            }
            let space = usize::try_from(left).unwrap_or(BUFFER_SIZE).min(BUFFER_SIZE);
            match reader.read(&mut self.buffer[..space]) {
                Ok(0) => break EntryEnd::Truncated,
                Ok(n) => {
                    let bytes = &self.buffer[..n];
                    hasher.update(bytes);
                    if let Some(lines) = &mut lines {
                        lines.feed(bytes);
                    }
                    visitor.data(bytes).map_err(StreamError::Visitor)?;
                    left -= n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => match brotli_stream::BrotliFault::from_io(&e) {
                    Some(brotli_stream::BrotliFault::Truncated) => break EntryEnd::Truncated,
                    Some(fault) => break EntryEnd::Undecodable(fault),
                    None => return Err(StreamError::Read(e)),
                },
            }
        };
        let path = || entry.path.clone();
        let actual = hasher.finish();
        let good = matches!(end, EntryEnd::Complete) && actual == entry.sha256;
        match &end {
            EntryEnd::Truncated => self.add_problem(Problem::Truncated { path: path() }),
            EntryEnd::Undecodable(fault) => {
                self.add_problem(Problem::Undecodable { path: path(), fault: fault.to_string() })
            }
            EntryEnd::Complete if !good => {
                self.add_problem(Problem::WrongDigest { path: path(), expected: entry.sha256, actual })
            }
            // Problems in lines of a damaged text are not reported: the damage is the cause.
            EntryEnd::Complete => {
                lines.into_iter().flat_map(IndexEntryChecker::finish).for_each(|problem| self.add_problem(problem))
            }
        }
        visitor.end(entry, good).map_err(StreamError::Visitor)?;
        Ok(end)
    }

    pub(super) fn add_problem(&mut self, problem: Problem) {
        if self.problems.len() < problem::MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }
}
