//! The text of changes, in sections: writer and strict reader.

use std::collections::BTreeSet;
use std::io;

use super::error::Error;
use super::fault::{ChangeFault, RowFault};
use super::key::{CrateKey, Key, KeyText, Placer, Registry, RegistryId, SortKey};
use super::limits::{MAX_SECTION_SIZE, shard_bits};
use super::row::{Inputs, Row};
use super::shard::{PlacedRow, parse_inputs_line, parse_key_line, parse_line};
use crate::digest::Sha256;

/// A change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds the row, or replaces the row with its key.
    Put(Row),
    /// Removes the row with this key.
    Remove(Key),
    /// Replaces the inputs of the row with this key.
    SetInputs(Key, Inputs),
}

impl Change {
    /// The key of the row.
    pub fn key(&self) -> Key {
        match self {
            Change::Put(row) => row.key(),
            Change::Remove(key) | Change::SetInputs(key, _) => key.clone(),
        }
    }

    pub(super) fn key_text(&self) -> KeyText {
        match self {
            Change::Put(row) => row.key_text(),
            Change::Remove(key) | Change::SetInputs(key, _) => key.text(),
        }
    }
}

/// A change with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedChange {
    /// The position of its row.
    pub sort_key: SortKey,
    /// The change.
    pub change: Change,
    /// The digest of its shard after all changes, as the sender states it. `None` for own changes.
    pub(super) expected: Option<Sha256>,
}

/// The inputs, registries and bundles that rows may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowRules {
    inputs: BTreeSet<u32>,
    registries: BTreeSet<RegistryId>,
    sequence: u64,
}

impl RowRules {
    /// Rows name only these inputs and registries, and bundles up to `sequence`.
    pub fn new(
        inputs: impl IntoIterator<Item = u32>,
        registries: impl IntoIterator<Item = RegistryId>,
        sequence: u64,
    ) -> RowRules {
        RowRules { inputs: inputs.into_iter().collect(), registries: registries.into_iter().collect(), sequence }
    }

    /// Checks an added row or its inputs. A removed row follows the rules of an earlier bundle.
    fn check(&self, change: &Change) -> Result<(), ChangeFault> {
        let inputs = match change {
            Change::Put(row) => row.inputs(),
            Change::SetInputs(_, inputs) => inputs,
            Change::Remove(_) => return Ok(()),
        };
        if let Some(input) = inputs.as_slice().iter().find(|input| !self.inputs.contains(input)) {
            return Err(ChangeFault::UnknownInput(*input));
        }
        let Change::Put(row) = change else { return Ok(()) };
        match row.key() {
            Key::Crate(CrateKey { registry: Registry::Other(id), .. }) if !self.registries.contains(&id) => {
                Err(ChangeFault::UnknownRegistry(id.to_string()))
            }
            _ if row.introduced() > self.sequence => {
                Err(ChangeFault::LaterBundle { introduced: row.introduced(), sequence: self.sequence })
            }
            _ => Ok(()),
        }
    }
}

/// Maximum length of a line that names a shard, in bytes: `@`, five digits, a digest, two tabs and a line break.
const MAX_HEADER: usize = 73;

/// Receives the sections of changes in order.
pub(super) type SectionSink<'s> = dyn FnMut(String) -> io::Result<()> + 's;

/// Writes changes as text.
pub(super) struct SectionWriter<'s> {
    sink: &'s mut SectionSink<'s>,
    /// Maximum size of a section in bytes. A longer line is a section of its own.
    max_size: usize,
    text: String,
    /// The shard of the last line.
    shard: Option<usize>,
    sections: usize,
}

impl<'s> SectionWriter<'s> {
    pub(super) fn new(max_size: usize, sink: &'s mut SectionSink<'s>) -> SectionWriter<'s> {
        SectionWriter { sink, max_size, text: String::new(), shard: None, sections: 0 }
    }

    /// Writes the removal of a row from a shard, which then has the digest `after`.
    pub(super) fn remove(&mut self, shard: usize, after: &Sha256, row: &PlacedRow) -> Result<(), Error> {
        self.push(shard, after, &format!("-{}\n", row.row.key_text().text))
    }

    /// Writes the addition of a row to a shard, which then has the digest `after`.
    pub(super) fn put(&mut self, shard: usize, after: &Sha256, row: &PlacedRow) -> Result<(), Error> {
        self.push(shard, after, &format!("+{}\n", row.row.text()))
    }

    /// Writes the inputs of a row of a shard, which then has the digest `after`.
    pub(super) fn set_inputs(&mut self, shard: usize, after: &Sha256, row: &PlacedRow) -> Result<(), Error> {
        let mut line = format!("~{}\t", row.row.key_text().text);
        row.row.inputs().push_to(&mut line);
        line.push('\n');
        self.push(shard, after, &line)
    }

    fn push(&mut self, shard: usize, after: &Sha256, line: &str) -> Result<(), Error> {
        if self.text.len() + MAX_HEADER + line.len() > self.max_size {
            self.flush()?;
        }
        if self.shard != Some(shard) || self.text.is_empty() {
            self.shard = Some(shard);
            self.text.push_str(&format!("@\t{shard}\t"));
            after.push_to(&mut self.text);
            self.text.push('\n');
        }
        self.text.push_str(line);
        Ok(())
    }

    /// Writes the last section.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.text.is_empty() {
            return Ok(());
        }
        self.sections += 1;
        let section = self.sections;
        (self.sink)(std::mem::take(&mut self.text)).map_err(|source| Error::WriteSection { section, source })
    }
}

/// Reads changes from the texts of sections, with every check that needs no set. It ends after the first error.
pub struct ChangeReader<'r, I> {
    rules: &'r RowRules,
    sections: I,
    text: Vec<u8>,
    /// How much of `text` was read.
    offset: usize,
    /// The numbers of the section and of the line.
    section: usize,
    line: usize,
    position: Position,
    is_done: bool,
}

/// What the lines so far mean for the next one.
struct Position {
    bits: u32,
    group: Option<Group>,
    last: Option<SortKey>,
    placer: Placer,
}

/// The shard to which the next changes belong.
struct Group {
    shard: usize,
    after: Sha256,
    has_changes: bool,
}

impl<'r, I: Iterator<Item = io::Result<Vec<u8>>>> ChangeReader<'r, I> {
    /// Reads the changes to a set of `rows` rows after them.
    pub fn new(sections: impl IntoIterator<IntoIter = I>, rows: u64, rules: &'r RowRules) -> ChangeReader<'r, I> {
        let position = Position { bits: shard_bits(rows), group: None, last: None, placer: Placer::default() };
        let sections = sections.into_iter();
        ChangeReader { rules, sections, text: Vec::new(), offset: 0, section: 0, line: 0, position, is_done: false }
    }

    fn read_next(&mut self) -> Result<Option<PlacedChange>, Error> {
        loop {
            let rest = self.text.get(self.offset..).unwrap_or_default();
            let Some(line) = rest.split_inclusive(|byte| *byte == b'\n').next() else {
                if !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            self.offset += line.len();
            self.line += 1;
            let is_last = line.len() == rest.len();
            let change = self.position.read_line(line, self.line == 1, is_last);
            let change = change.and_then(|change| match &change {
                Some(placed) => self.rules.check(&placed.change).map(|()| change),
                None => Ok(None),
            });
            let (section, line) = (self.section, self.line);
            if let Some(change) = change.map_err(|fault| Error::InvalidChange { section, line, fault })? {
                return Ok(Some(change));
            }
        }
    }

    /// Opens the next section; `false` after the last one.
    fn open_next(&mut self) -> Result<bool, Error> {
        let section = self.section + 1;
        let Some(text) = self.sections.next().transpose().map_err(|source| Error::ReadSection { section, source })?
        else {
            return Ok(false);
        };
        if text.is_empty() || text.len() > MAX_SECTION_SIZE {
            return Err(Error::SectionSize { section });
        }
        (self.text, self.offset, self.section, self.line) = (text, 0, section, 0);
        Ok(true)
    }
}

impl<I: Iterator<Item = io::Result<Vec<u8>>>> Iterator for ChangeReader<'_, I> {
    type Item = Result<PlacedChange, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let next = self.read_next();
        self.is_done = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

impl Position {
    /// Reads a line with its line break, the first or the last of its section. `None` for a line that names a shard.
    fn read_line(&mut self, line: &[u8], is_first: bool, is_last: bool) -> Result<Option<PlacedChange>, ChangeFault> {
        let change = match line.split_first() {
            Some((b'@', rest)) => {
                self.enter_shard(rest, is_first)?;
                return if is_last { Err(ChangeFault::EmptyShard) } else { Ok(None) };
            }
            Some((b'+', row)) => Change::Put(parse_line(row)?),
            Some((b'-', key)) => Change::Remove(parse_key_line(key)?),
            Some((b'~', row)) => {
                let (key, inputs) = parse_inputs_line(row)?;
                Change::SetInputs(key, inputs)
            }
            _ => return Err(ChangeFault::UnknownLine),
        };
        let Some(group) = self.group.as_mut().filter(|_| !is_first) else { return Err(ChangeFault::NoShard) };
        let sort_key = self.placer.sort_key(change.key_text());
        if sort_key.shard(self.bits) != group.shard {
            return Err(RowFault::WrongShard(change.key().to_string()).into());
        }
        if self.last.as_ref().is_some_and(|last| *last >= sort_key) {
            return Err(RowFault::OutOfOrder(change.key().to_string()).into());
        }
        group.has_changes = true;
        self.last = Some(sort_key.clone());
        Ok(Some(PlacedChange { sort_key, change, expected: Some(group.after) }))
    }

    /// Reads the rest of `@ SHARD SHA256`.
    fn enter_shard(&mut self, text: &[u8], is_first: bool) -> Result<(), ChangeFault> {
        let (shard, after) = parse_shard(text).ok_or(ChangeFault::InvalidShard)?;
        if shard >= 1 << self.bits {
            return Err(ChangeFault::InvalidShard);
        }
        match &self.group {
            Some(group) if !group.has_changes => return Err(ChangeFault::EmptyShard),
            Some(group) if group.shard > shard => return Err(ChangeFault::ShardOrder),
            Some(group) if group.shard == shard && !(is_first && group.after == after) => {
                return Err(ChangeFault::ShardOrder);
            }
            _ => {}
        }
        self.group = Some(Group { shard, after, has_changes: false });
        Ok(())
    }
}

/// Number and digest in their only spelling.
fn parse_shard(text: &[u8]) -> Option<(usize, Sha256)> {
    let text = std::str::from_utf8(text).ok()?;
    let (shard, after) = text.strip_prefix('\t')?.strip_suffix('\n')?.split_once('\t')?;
    let (number, digest): (usize, Sha256) = (shard.parse().ok()?, after.parse().ok()?);
    (number.to_string() == shard && digest.to_string() == after).then_some((number, digest))
}

#[cfg(test)]
mod tests;
