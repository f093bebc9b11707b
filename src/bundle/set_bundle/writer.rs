//! The writer: compares two sets and packs files, in memory that does not grow with either.
//!
//! Sections, tables and compressed blocks are written into unnamed files first, so that the manifest can state them. The
//! list of files is read twice: once for the tables, and once for the bytes.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::Path;

use jiff::Timestamp;

use super::super::format::{Block, BundleKind, Entry, FormatVersion, Parent};
use super::super::manifest::encode;
use super::super::pack::{
    BundleOutput, Error, Planned, PlannedFile, RepeatedFiles, Runs, UnpublishedBundle, check_cancelled, encode_blocks,
    remove_leftovers,
};
use super::compressed_text::CompressedText;
use super::manifest::{Part, PolicyException, RegistryRecord, SetLineage, SetManifest, StatedSet, Totals};
use super::rules::{check, registry_ids};
use super::table::{self, EntryDetails, EntryRules, MAX_ENTRIES_PER_BLOCK, PartBlock, TableFault};
use crate::event::{Event, Phase, Sink};
use crate::sharded_set::{DigestList, SetRef, ShardStore, diff};
use crate::units::format_time;

/// Plain size of a table in bytes, up to which blocks are added. Reader and writer hold one parsed table, which needs several
/// times its size.
const TABLE_SIZE: usize = 2 * 1024 * 1024;

/// The contents of a bundle.
pub struct SetPackPlan<'s> {
    /// The bundle's creation time, also used in its name; truncated to seconds.
    pub created: Timestamp,
    /// Whether it is full or a delta.
    pub kind: BundleKind,
    /// Whether it repairs a mirror.
    pub repair: bool,
    /// The base bundle of a delta.
    pub parent: Option<Parent>,
    /// The target triples.
    pub targets: Vec<String>,
    /// The included toolchains.
    pub toolchains: Vec<String>,
    /// The time when the index was read; truncated to seconds.
    pub index_read: Timestamp,
    /// The lineage with all its inputs.
    pub lineage: SetLineage,
    /// The numbers of the inputs of this run, ascending.
    pub fetched: Vec<u32>,
    /// The registries other than crates.io, ascending by ID.
    pub registries: Vec<RegistryRecord>,
    /// The exceptions from a policy, ascending.
    pub exceptions: Vec<PolicyException>,
    /// The change of the lineage's set; `None` in a repair.
    pub set: Option<PlannedSet<'s>>,
    /// The files.
    pub files: &'s dyn FileList,
}

/// The change of a set.
#[derive(Clone, Copy)]
pub struct PlannedSet<'s> {
    /// The set before; `None` for the empty set.
    pub before: Option<&'s DigestList>,
    /// The set after.
    pub after: &'s DigestList,
    /// The store with the shards of both.
    pub store: &'s dyn ShardStore,
}

/// The files of a bundle. It is read twice and gives the same files each time.
pub trait FileList {
    /// The files by kind and then in the order of the set; configuration files by path.
    fn files(&self) -> Box<dyn Iterator<Item = io::Result<PackedFile>> + '_>;
}

impl FileList for [PackedFile] {
    fn files(&self) -> Box<dyn Iterator<Item = io::Result<PackedFile>> + '_> {
        Box::new(self.iter().cloned().map(Ok))
    }
}

impl FileList for Vec<PackedFile> {
    fn files(&self) -> Box<dyn Iterator<Item = io::Result<PackedFile>> + '_> {
        self.as_slice().files()
    }
}

/// A file to pack, with the facts about it that its table states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedFile {
    /// The file and the source of its bytes.
    pub file: PlannedFile,
    /// Facts about it.
    pub details: EntryDetails,
}

impl Planned for PackedFile {
    fn planned(&self) -> &PlannedFile {
        &self.file
    }
}

/// Packs a plan into an unpublished bundle in `folder`, which must exist. Removes leftovers of killed writers first.
///
/// # Errors
/// A set, the list of files or a file cannot be read, the plan breaks a rule of the format, or the disk is full.
pub fn write(plan: &SetPackPlan<'_>, folder: &Path, sink: &dyn Sink) -> Result<UnpublishedBundle<SetManifest>, Error> {
    let failed = |source| Error::Write { folder: folder.to_owned(), source };
    remove_leftovers(folder).map_err(failed)?;
    let mut sections = Spool::create(folder)?;
    let mut tables = Spool::create(folder)?;
    let mut groups = tempfile::tempfile_in(folder).map_err(failed)?;
    let mut manifest = head(plan);
    manifest.set = plan.set.map(|set| spool_sections(set, &mut sections)).transpose()?;
    (manifest.parts, manifest.totals) = spool_parts(plan.files, &mut tables, &mut groups, folder, sink)?;
    manifest.assign_id();
    let stored = encode(&manifest).map_err(failed)?;
    check(&manifest).map_err(Error::InvalidPlan)?;

    let items = manifest.totals.sum().unwrap_or_default().entries;
    let bytes = manifest.parts.iter().map(|part| part.bytes).fold(0, u64::saturating_add);
    sink.event(Event::Begin { phase: Phase::Packing, items, bytes });
    let mut output = BundleOutput::create(folder, FormatVersion::SET, &stored)?;
    for spooled in [&mut sections.file, &mut tables.file, &mut groups] {
        spooled.rewind().map_err(failed)?;
    }
    for section in manifest.set.iter().flat_map(|set| &set.sections) {
        output.copy(&mut sections.file, section.stored)?;
    }
    let mut files = PlannedFiles::new(plan.files);
    let mut rules = EntryRules::new(manifest.kind, registry_ids(&manifest));
    for part in &manifest.parts {
        // The rules of the reader, whose first reading this is.
        let position = tables.file.stream_position().map_err(failed)?;
        let text = part.table.read(&mut tables.file).map_err(failed)?;
        tables.file.seek(io::SeekFrom::Start(position)).map_err(failed)?;
        output.copy(&mut tables.file, part.table.stored)?;
        for PartBlock { block, details } in table::parse(&text).map_err(invalid_table)? {
            check_cancelled(sink)?;
            for (entry, details) in block.entries.iter().zip(&details) {
                rules.check(entry, details).map_err(Error::InvalidPlan)?;
            }
            let run = files.take_block(&block)?;
            let run: Vec<&PlannedFile> = run.iter().map(Planned::planned).collect();
            output.write_block(&block, &run, &mut groups, sink)?;
        }
    }
    sink.event(Event::End { phase: Phase::Packing });
    let id = manifest.id.clone();
    output.finish(id, manifest.kind, plan.created, manifest)
}

fn invalid_table(fault: TableFault) -> Error {
    match fault {
        TableFault::Invalid(rule) => Error::InvalidPlan(rule),
        fault => Error::Files(io::Error::new(io::ErrorKind::InvalidData, fault)),
    }
}

/// The manifest without sections and parts.
fn head(plan: &SetPackPlan<'_>) -> SetManifest {
    SetManifest {
        id: String::new(),
        format: FormatVersion::SET,
        tool: concat!("cargo-frostmirror ", env!("CARGO_PKG_VERSION")).to_owned(),
        created: format_time(plan.created),
        kind: plan.kind,
        repair: plan.repair,
        parent: plan.parent.clone(),
        targets: plan.targets.clone(),
        toolchains: plan.toolchains.clone(),
        index_read: format_time(plan.index_read),
        lineage: plan.lineage.clone(),
        fetched: plan.fetched.clone(),
        registries: plan.registries.clone(),
        set: None,
        parts: Vec::new(),
        totals: Totals::default(),
        exceptions: plan.exceptions.clone(),
    }
}

/// Compressed texts one after another, in an unnamed file.
struct Spool {
    file: File,
}

impl Spool {
    fn create(folder: &Path) -> Result<Spool, Error> {
        let file = tempfile::tempfile_in(folder);
        Ok(Spool { file: file.map_err(|source| Error::Write { folder: folder.to_owned(), source })? })
    }

    fn push(&mut self, text: &[u8]) -> io::Result<CompressedText> {
        let (described, bytes) = CompressedText::encode(text)?;
        self.file.write_all(&bytes)?;
        Ok(described)
    }
}

fn spool_sections(set: PlannedSet<'_>, spool: &mut Spool) -> Result<StatedSet, Error> {
    let PlannedSet { before, after, store } = set;
    let empty = DigestList::empty();
    let old = SetRef::new(before.unwrap_or(&empty), store);
    let mut sections = Vec::new();
    diff(old, SetRef::new(after, store), &mut |text| {
        sections.push(spool.push(text.as_bytes())?);
        Ok(())
    })?;
    Ok(StatedSet { before: before.map(DigestList::summary), after: after.summary(), sections })
}

/// Writes the tables and the compressed blocks.
fn spool_parts(
    list: &dyn FileList,
    tables: &mut Spool,
    groups: &mut File,
    folder: &Path,
    sink: &dyn Sink,
) -> Result<(Vec<Part>, Totals), Error> {
    let failed = |source| Error::Write { folder: folder.to_owned(), source };
    let overflow = || Error::Files(io::Error::other("the sum of their sizes overflows 64 bits"));
    let mut parts = Vec::new();
    let mut totals = Totals::default();
    let (mut text, mut entries, mut bytes) = (String::new(), 0u64, 0u64);
    let mut files = PlannedFiles::new(list);
    for run in Runs::new(files.by_ref(), MAX_ENTRIES_PER_BLOCK) {
        check_cancelled(sink)?;
        let planned: Vec<&PlannedFile> = run.iter().map(Planned::planned).collect();
        let mut details = run.iter().map(|file| file.details.clone());
        for block in encode_blocks(&planned, groups, folder)? {
            let details = details.by_ref().take(block.entries.len()).collect();
            let size = block.stored_size().ok_or_else(overflow)?;
            for entry in &block.entries {
                totals.add(entry.kind, entry.size).ok_or_else(overflow)?;
            }
            let count = block.entries.len() as u64;
            let line = PartBlock { block, details }.line().map_err(|error| Error::Files(error.into()))?;
            if !text.is_empty() && text.len() + line.len() > TABLE_SIZE {
                let table = tables.push(text.as_bytes()).map_err(failed)?;
                parts.push(Part { table, entries, bytes });
                (entries, bytes) = (0, 0);
                text.clear();
            }
            text.push_str(&line);
            entries += count;
            bytes = bytes.checked_add(size).ok_or_else(overflow)?;
        }
    }
    if let Some(error) = files.error {
        return Err(Error::Files(error));
    }
    if !text.is_empty() {
        let table = tables.push(text.as_bytes()).map_err(failed)?;
        parts.push(Part { table, entries, bytes });
    }
    Ok((parts, totals))
}

/// The files of a list that need an entry. It ends at the first error.
struct PlannedFiles<'l> {
    files: Box<dyn Iterator<Item = io::Result<PackedFile>> + 'l>,
    repeated: RepeatedFiles,
    error: Option<io::Error>,
}

impl<'l> PlannedFiles<'l> {
    fn new(list: &'l dyn FileList) -> PlannedFiles<'l> {
        PlannedFiles { files: list.files(), repeated: RepeatedFiles::default(), error: None }
    }

    /// The files of the next block.
    fn take_block(&mut self, block: &Block) -> Result<Vec<PackedFile>, Error> {
        let files: Vec<PackedFile> = self.by_ref().take(block.entries.len()).collect();
        if let Some(error) = self.error.take() {
            return Err(Error::Files(error));
        }
        let is_same = |(file, entry): (&PackedFile, &Entry)| file.file.0.path == entry.path;
        match files.len() == block.entries.len() && files.iter().zip(&block.entries).all(is_same) {
            true => Ok(files),
            false => Err(Error::Files(io::Error::other("it changed during the work"))),
        }
    }
}

impl Iterator for PlannedFiles<'_> {
    type Item = PackedFile;

    fn next(&mut self) -> Option<PackedFile> {
        loop {
            match self.files.next()? {
                Ok(file) if self.repeated.contains(&file.file.0) => {}
                Ok(file) => return Some(file),
                Err(error) => {
                    self.error = Some(error);
                    return None;
                }
            }
        }
    }
}
