//! The strict reader: header and manifest, then the changes of the set, then the parts, in one pass.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};

use super::super::block_checker::BlockChecker;
use super::super::entry_visitor::{EntryVisitor, NullVisitor};
use super::super::format::{BundleKind, Entry, FormatVersion, HEADER_SIZE};
use super::super::header::{self, Header, read_up_to};
use super::super::manifest::{WeightLimit, read_weighed};
use super::super::open_error::Error;
use super::super::problem::Problem;
use super::compressed_text::{CompressedText, TextFault};
use super::entry_key::EntryKey;
use super::manifest::{MAX_MANIFEST_SIZE, MAX_MANIFEST_WEIGHT, Part, SetManifest, StatedSet, Totals};
use super::rows::{KnownRows, RequiredRows, Requirements, RowChecker};
use super::rules::{check, registry_ids, row_rules};
use super::table::{self, EntryDetails, EntryRules, PartBlock, TableFault};
use crate::panics::set_current_object;
use crate::sharded_set::{
    self, Builder, Change, ChangeReader, DigestList, Inputs, Key, LayeredStore, Lookup, PlacedChange, Row, SetChange,
    SetRef, ShardStore, apply,
};

/// A bundle with a validated header and manifest.
pub struct SetBundle<R> {
    name: String,
    /// The version of the tool that wrote it.
    tool: String,
    manifest: SetManifest,
    payload_offset: u64,
    /// Positioned after the manifest.
    reader: R,
}

/// The set to which the changes of a bundle apply.
#[derive(Clone, Copy)]
pub enum Base<'s> {
    /// A set in a store.
    Known(&'s DigestList, &'s dyn ShardStore),
    /// It is not here. The changes are checked apart from their result, and entries are compared with the added rows.
    Unknown,
}

/// A bundle whose changes were read.
pub struct SetContent<'s, R> {
    bundle: SetBundle<R>,
    base: Base<'s>,
    store: &'s dyn ShardStore,
    scratch: &'s dyn ShardStore,
    /// The set after the changes; `None` in a repair, and if the base is not known.
    after: Option<DigestList>,
    /// The added rows as a set of their own; `None` in a repair, and if all rows are added.
    added: Option<DigestList>,
}

/// The result of reading a bundle.
#[derive(Debug)]
pub struct SetReport {
    /// Its manifest.
    pub manifest: SetManifest,
    /// Its set, if the base is known.
    pub set: Option<DigestList>,
    /// All problems; the bundle is valid if there are none.
    pub problems: Vec<Problem>,
}

/// Receives the parts of a bundle, each with its table before its entries.
pub trait PartVisitor: EntryVisitor {
    /// A part begins, which has these blocks.
    ///
    /// # Errors
    /// The visitor's own; the pass stops.
    fn begin_part(&mut self, number: usize, blocks: &[PartBlock]) -> io::Result<()>;
}

impl PartVisitor for NullVisitor {
    fn begin_part(&mut self, _: usize, _: &[PartBlock]) -> io::Result<()> {
        Ok(())
    }
}

impl<R> fmt::Debug for SetBundle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetBundle").field("name", &self.name).field("id", &self.manifest.id).finish_non_exhaustive()
    }
}

impl<R: Read> SetBundle<R> {
    /// Reads header and manifest, and validates everything that only needs the manifest. `name` is for errors.
    ///
    /// # Errors
    /// The first violated rule, or the file cannot be read.
    pub fn open(mut reader: R, name: &str) -> Result<SetBundle<R>, Error> {
        let header = header::read(&mut reader, name)?;
        if header.format > FormatVersion::SET {
            return Err(Error::NewerFormat { name: name.to_owned(), tool: header.tool, format: header.format });
        }
        if header.format < FormatVersion::SET {
            return Err(header::damaged(name, "its format is older than sets"));
        }
        header.check_lengths(MAX_MANIFEST_SIZE).map_err(|fault| header::damaged(name, fault))?;
        set_current_object("the manifest");
        let limit = WeightLimit { limit: &|| MAX_MANIFEST_WEIGHT, fault: "it has too many values" };
        let manifest =
            read_weighed(&mut reader, &header, &limit, parse_manifest, |manifest: &SetManifest| &manifest.id)
                .map_err(|error| error.in_bundle(name))?;
        if let Some(content) = manifest.unknown_input_kind() {
            return Err(Error::NewerContent { name: name.to_owned(), tool: header.tool, content });
        }
        check(&manifest).map_err(|source| Error::InvalidManifest { name: name.to_owned(), source })?;
        let Header { tool, stored_size, .. } = header;
        let payload_offset = HEADER_SIZE as u64 + stored_size;
        Ok(SetBundle { name: name.to_owned(), tool, manifest, payload_offset, reader })
    }

    /// The bundle's manifest.
    pub fn manifest(&self) -> &SetManifest {
        &self.manifest
    }

    /// The file size in bytes according to header and manifest; `None` if the sum overflows.
    pub fn file_length(&self) -> Option<u64> {
        self.payload_offset.checked_add(self.manifest.payload_size()?)
    }

    /// Reads the changes and applies them to `base`. New shards are written to `store`, and rows for later checks to
    /// `scratch`.
    ///
    /// # Errors
    /// The first violated rule, the bundle or a store cannot be read, or it is for another base.
    pub fn read_set<'s>(
        mut self,
        base: Base<'s>,
        store: &'s dyn ShardStore,
        scratch: &'s dyn ShardStore,
    ) -> Result<SetContent<'s, R>, Error> {
        set_current_object("the changes of the set");
        let (mut after, mut added) = (None, None);
        if let Some(set) = self.manifest.set.take() {
            let outcome = self.read_changes(&set, base, store, scratch);
            self.manifest.set = Some(set);
            (after, added) = outcome.map_err(|error| self.set_error(error))?;
        }
        Ok(SetContent { bundle: self, base, store, scratch, after, added })
    }

    fn read_changes(
        &mut self,
        set: &StatedSet,
        base: Base<'_>,
        store: &dyn ShardStore,
        scratch: &dyn ShardStore,
    ) -> Result<(Option<DigestList>, Option<DigestList>), sharded_set::Error> {
        let rules = row_rules(&self.manifest);
        let sections = Sections { reader: &mut self.reader, sections: set.sections.iter() };
        let changes = ChangeReader::new(sections, set.after.rows, &rules);
        let empty = DigestList::empty();
        let Some(before) = set.before else {
            let change = SetChange { before: empty.summary(), after: set.after };
            return Ok((Some(apply(&empty, store, &change, changes, store)?), None));
        };
        // A row with its sign and line break has about this many bytes.
        let expected = set.sections.iter().map(|section| section.plain / 160).sum();
        let mut builder = Builder::new(expected, scratch);
        let mut add = |change: &PlacedChange| match &change.change {
            Change::Put(row) => builder.push(row.clone()),
            Change::Remove(_) | Change::SetInputs(..) => Ok(()),
        };
        let mut changes = changes.map(|change| {
            let change = change?;
            add(&change)?;
            Ok(change)
        });
        let after = match base {
            Base::Known(list, source) => {
                Some(apply(list, source, &SetChange { before, after: set.after }, changes, store)?)
            }
            Base::Unknown => {
                changes.try_for_each(|change| change.map(drop))?;
                None
            }
        };
        Ok((after, Some(builder.finish()?)))
    }
}

impl<R> SetBundle<R> {
    fn set_error(&self, error: sharded_set::Error) -> Error {
        let name = self.name.clone();
        if error.is_newer_format() {
            return Error::NewerContent { name, tool: self.tool.clone(), content: error.to_string() };
        }
        match error {
            sharded_set::Error::ReadSection { section, source } => match TextFault::from_io(&source) {
                Some(fault) => Error::CorruptSection { name, section, fault },
                None => Error::Io { name, source },
            },
            source => Error::Set { name, source: Box::new(source) },
        }
    }
}

fn parse_manifest(text: &mut dyn Read) -> Result<SetManifest, serde_json::Error> {
    // The ID is computed from what is read, so that the whole text is read, and in large pieces.
    serde_json::from_reader(io::BufReader::new(text))
}

/// The texts of sections.
struct Sections<'r, R> {
    reader: &'r mut R,
    sections: std::slice::Iter<'r, CompressedText>,
}

impl<R: Read> Iterator for Sections<'_, R> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        Some(self.sections.next()?.read(self.reader))
    }
}

impl<R: Read> SetContent<'_, R> {
    /// The bundle's manifest.
    pub fn manifest(&self) -> &SetManifest {
        &self.bundle.manifest
    }

    /// The set after the changes; `None` in a repair, and if the base is not known.
    pub fn set(&self) -> Option<&DigestList> {
        self.after.as_ref()
    }

    /// Reads the parts to the end of the file and passes them to `visitor`.
    ///
    /// # Errors
    /// Those of the reader, the stores and the visitor, and a newer format.
    pub fn stream(self, visitor: &mut dyn PartVisitor) -> Result<SetReport, Error> {
        let SetContent { mut bundle, base, store, scratch, after, added } = self;
        let problems = bundle.check_parts(base, store, scratch, after.as_ref(), added.as_ref(), visitor)?;
        Ok(SetReport { manifest: bundle.manifest, set: after, problems })
    }
}

impl<R: Read> SetBundle<R> {
    /// Reads the parts, and returns all problems.
    fn check_parts(
        &mut self,
        base: Base<'_>,
        store: &dyn ShardStore,
        scratch: &dyn ShardStore,
        after: Option<&DigestList>,
        added: Option<&DigestList>,
        visitor: &mut dyn PartVisitor,
    ) -> Result<Vec<Problem>, Error> {
        let (source, before) = match base {
            Base::Known(list, source) => (source, Some(SetRef::new(list, source))),
            Base::Unknown => (store, None),
        };
        let layered = LayeredStore { first: store, second: source };
        let after = after.map(|list| SetRef::new(list, &layered));
        let added = added.map(|list| SetRef::new(list, scratch));
        let rows = match (after, added) {
            (Some(set), _) => KnownRows::All(set),
            (None, Some(set)) => KnownRows::Added(set),
            (None, None) => KnownRows::None,
        };
        let checker = RowChecker::new(rows, requirements(&self.manifest, before, after, added));
        let problems = self.read_parts(&checker, visitor)?;
        match problems.is_empty() {
            true => checker.finish().map_err(|error| self.set_error(error)),
            false => Ok(problems),
        }
    }
}

/// The rows that need a file or a line in the bundle.
fn requirements<'s>(
    manifest: &SetManifest,
    before: Option<SetRef<'s>>,
    after: Option<SetRef<'s>>,
    added: Option<SetRef<'s>>,
) -> Requirements<'s> {
    let fetched: BTreeSet<u32> = manifest.fetched.iter().copied().collect();
    let is_fetched = move |inputs: &Inputs| inputs.as_slice().iter().any(|input| fetched.contains(input));
    let mut requirements = Requirements::default();
    let full = after.filter(|_| manifest.kind == BundleKind::Full);
    if let Some(after) = full {
        let is_needed = is_fetched.clone();
        requirements.crates = Some(RequiredRows::new(after, move |row| {
            Ok(matches!(row, Row::Crate(row) if !row.is_index_only && is_needed(&row.inputs)))
        }));
        let is_needed = is_fetched.clone();
        requirements.files =
            Some(RequiredRows::new(after, move |row| Ok(matches!(row, Row::File(row) if is_needed(&row.inputs)))));
    }
    // Without rows before, all rows are added.
    let has_base = manifest.set.as_ref().is_some_and(|set| set.before.is_some());
    let new_rows = if has_base { added.filter(|_| before.is_some()) } else { after };
    let mut before = before.filter(|_| has_base).map(Lookup::new);
    requirements.lines = new_rows.map(|rows| {
        RequiredRows::new(rows, move |row| {
            let Row::Crate(row) = row else { return Ok(false) };
            if !is_fetched(&row.inputs) {
                return Ok(false);
            }
            let replaced = match &mut before {
                Some(before) => before.find(&Key::Crate(row.key.clone()))?,
                None => None,
            };
            Ok(!matches!(replaced, Some(Row::Crate(replaced)) if replaced.line_sha256 == row.line_sha256))
        })
    });
    requirements
}

/// The blocks of a part, with the objects of each block's entries.
struct CheckedTable {
    blocks: Vec<PartBlock>,
    keys: Vec<Vec<EntryKey>>,
}

impl<R: Read> SetBundle<R> {
    /// Reads the parts, and returns all problems apart from what is missing.
    fn read_parts(&mut self, rows: &RowChecker<'_>, visitor: &mut dyn PartVisitor) -> Result<Vec<Problem>, Error> {
        let mut checker = BlockChecker::new(rows);
        let mut rules = EntryRules::new(self.manifest.kind, registry_ids(&self.manifest));
        let mut totals = Totals::default();
        for (position, part) in self.manifest.parts.iter().enumerate() {
            let number = position + 1;
            set_current_object(format_args!("part {number}"));
            let text = match part.table.read(&mut self.reader) {
                Ok(text) => text,
                Err(error) => match TextFault::from_io(&error) {
                    Some(fault) => {
                        checker.add_problem(Problem::CorruptTable { part: number, fault });
                        return Ok(checker.problems);
                    }
                    None => return Err(Error::Io { name: self.name.clone(), source: error }),
                },
            };
            let CheckedTable { blocks, keys } = match read_table(&text, part, &mut rules, &mut totals) {
                Ok(table) => table,
                Err(fault) if fault.is_newer_format() => {
                    let content = format!("part {number}: {fault}");
                    return Err(Error::NewerContent { name: self.name.clone(), tool: self.tool.clone(), content });
                }
                Err(fault) => {
                    checker.add_problem(Problem::InvalidTable { part: number, fault: Box::new(fault) });
                    return Ok(checker.problems);
                }
            };
            let failed = |source| Error::Visitor { name: self.name.clone(), source };
            visitor.begin_part(number, &blocks).map_err(failed)?;
            for (PartBlock { block, details }, keys) in blocks.iter().zip(keys) {
                let mut checked = RowVisitor { rows, inner: &mut *visitor, entries: keys.into_iter().zip(details) };
                let is_complete = checker
                    .check(block, &mut self.reader, &mut checked)
                    .map_err(|error| error.in_bundle(&self.name))?;
                let problems = rows.take_problems().map_err(|error| self.set_error(error))?;
                problems.into_iter().for_each(|problem| checker.add_problem(problem));
                if !is_complete {
                    return Ok(checker.problems);
                }
            }
        }
        let surplus = read_up_to(&mut self.reader, &mut [0]);
        if surplus.map_err(|source| Error::Io { name: self.name.clone(), source })? > 0 {
            checker.add_problem(Problem::TrailingBytes);
        }
        if totals != self.manifest.totals {
            checker.add_problem(Problem::WrongTotals);
        }
        Ok(checker.problems)
    }
}

/// Reads the table of a part and checks every rule that needs neither bytes nor rows.
fn read_table(
    text: &[u8],
    part: &Part,
    rules: &mut EntryRules,
    totals: &mut Totals,
) -> Result<CheckedTable, TableFault> {
    let blocks = table::parse(text)?;
    let mut keys = Vec::new();
    let mut sums = (0u64, 0u64);
    for PartBlock { block, details } in &blocks {
        let size = block.stored_size().ok_or(TableFault::Sums)?;
        sums = (sums.0 + block.entries.len() as u64, sums.1.checked_add(size).ok_or(TableFault::Sums)?);
        let mut keys_of_block = Vec::new();
        for (entry, details) in block.entries.iter().zip(details) {
            keys_of_block.push(rules.check(entry, details)?);
            totals.add(entry.kind, entry.size).ok_or(TableFault::Sums)?;
        }
        keys.push(keys_of_block);
    }
    match sums == (part.entries, part.bytes) {
        true => Ok(CheckedTable { blocks, keys }),
        false => Err(TableFault::Sums),
    }
}

/// Compares each entry with its row before it is passed on.
struct RowVisitor<'v, 's, 'd> {
    rows: &'v RowChecker<'s>,
    inner: &'v mut dyn PartVisitor,
    /// The objects and details of the block's entries.
    entries: std::iter::Zip<std::vec::IntoIter<EntryKey>, std::slice::Iter<'d, EntryDetails>>,
}

impl EntryVisitor for RowVisitor<'_, '_, '_> {
    fn begin(&mut self, entry: &Entry) -> io::Result<()> {
        if let Some((key, details)) = self.entries.next() {
            self.rows.begin(entry, key, details);
        }
        self.inner.begin(entry)
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.data(bytes)
    }

    fn end(&mut self, entry: &Entry, good: bool) -> io::Result<()> {
        self.rows.end(good);
        self.inner.end(entry, good)
    }
}
