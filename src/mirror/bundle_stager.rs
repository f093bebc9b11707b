//! Receives a bundle's bytes while they are read, and stages the files that the mirror does not have. It does not
//! change the mirror's files.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;

use jiff::Timestamp;

use super::crate_sources::CrateSources;
use super::disk;
use super::dist_files::MutableName;
use super::existing_file::ExistingFile;
use super::index_changes::{IndexChanges, IndexOnDisk};
use super::index_merge::{self, NewLine};
use super::layout::Layout;
use super::line_conflict::{ConflictJudge, Decision, Refusal};
use super::pending_lines::PendingLines;
use super::summary::CountsDelta;
use super::topo_sort::NameIds;
use super::transaction::{Error, StagedFile, Transaction, failed};
use crate::bundle::format::Entry;
use crate::bundle::open::EntryVisitor;
use crate::config::{self, SnapshotFile};
use crate::crate_id::CrateId;
use crate::digest::{BUFFER_SIZE, Sha256};
use crate::durable;
use crate::event::{Event, Phase, Sink};
use crate::index_line::IndexLine;
use crate::mirror_file::FileKind;
use crate::safe_path::SafePath;
use crate::units::pluralize;

pub(super) mod dist_files;
pub(super) mod incoming_dist_files;

use dist_files::DistFileSource;

/// What was staged, and the problems that prevent a commit.
pub(super) struct StagedImport {
    /// The changed index files.
    pub(super) index: IndexChanges,
    /// The change of the mirror's counts.
    pub(super) delta: CountsDelta,
    /// Crates in the bundle.
    pub(super) shipped: u64,
    /// Crates that were not stored before.
    pub(super) crates_new: u64,
    /// Crates whose file had other bytes.
    pub(super) crates_repaired: u64,
    /// Those of them whose file was of another bundle, or was altered together with its index line.
    pub(super) crates_replaced: u64,
    /// Whether a crate has another length or is only a link.
    pub(super) files_lost: bool,
    /// Total bytes of the staged crates.
    pub(super) bytes_new: u64,
    /// Dist files in the bundle, by digest.
    pub(super) dist_files: HashMap<Sha256, DistFileSource>,
    /// Contradictions with stored files.
    pub(super) conflicts: Vec<Refusal>,
    /// The sources of the bundle's crates, if a decision about a contradiction needed them.
    pub(super) crate_sources: Option<CrateSources>,
    /// Entries with correct digests and unusable content.
    pub(super) unusable: Vec<String>,
    /// Warnings for the user.
    pub(super) warnings: Vec<String>,
    /// A snapshot's configuration.
    pub(super) config: Vec<SnapshotFile>,
    /// Refreshed lines that wait for their crates after this import.
    pub(super) pending: PendingLines,
    /// Why the stream was aborted.
    pub(super) failure: Option<Error>,
}

impl StagedImport {
    /// Whether the mirror lost counted files, so that restored ones must not count as new.
    pub(super) fn needs_recount(&self) -> bool {
        self.files_lost || self.index.files_lost || self.crates_new != self.index.newly_stored
    }
}

/// The handling of the current entry.
enum EntryState {
    /// The entry is trusted or not stored.
    Skip,
    /// A file that is staged. `replaced`: the length of the file that it replaces.
    Stage { staged: StagedFile, file: File, replaced: Option<u64> },
    /// An item whose file exists and has been equal so far.
    Compare { path: PathBuf, file: File, equal: u64 },
    /// Index text, or a snapshot's configuration.
    Text(Vec<u8>),
}

/// What a manifest states about the index lines that follow.
pub(super) struct LineInfo {
    /// When the lines were read from upstream's index.
    pub(super) read_at: Timestamp,
    /// The times of lines that were read at another time.
    pub(super) read_at_by_crate: HashMap<CrateId, Timestamp>,
    /// Crates whose file was excluded and never sent.
    pub(super) index_only: HashSet<CrateId>,
    /// Crates of earlier bundles whose lines replace the stored ones.
    pub(super) refreshed: HashSet<CrateId>,
    /// Refreshed lines of earlier imports whose crates were not stored.
    pub(super) pending: PendingLines,
    /// Crates of the bundle whose stored files must be compared, see `contradicted_crates`.
    pub(super) contradicted: HashSet<SafePath>,
}

/// Stages the entries of a bundle.
pub(super) struct ImportVisitor<'a, 't> {
    layout: &'a Layout,
    tx: &'a mut Transaction<'t>,
    compare_stored: bool,
    line_info: LineInfo,
    sink: &'a dyn Sink,
    entry_state: EntryState,
    buffer: Vec<u8>,
    judge: ConflictJudge<'a>,
    staged: StagedImport,
}

impl<'a, 't> ImportVisitor<'a, 't> {
    /// Creates a visitor for a bundle whose manifest states `line_info`.
    pub(super) fn new(
        layout: &'a Layout,
        tx: &'a mut Transaction<'t>,
        compare_held: bool,
        line_info: LineInfo,
        names: NameIds,
        judge: ConflictJudge<'a>,
        sink: &'a dyn Sink,
    ) -> ImportVisitor<'a, 't> {
        ImportVisitor {
            layout,
            tx,
            compare_stored: compare_held,
            line_info,
            sink,
            entry_state: EntryState::Skip,
            buffer: vec![0; BUFFER_SIZE],
            judge,
            staged: StagedImport {
                index: IndexChanges::new(names),
                delta: CountsDelta::default(),
                shipped: 0,
                crates_new: 0,
                crates_repaired: 0,
                crates_replaced: 0,
                files_lost: false,
                bytes_new: 0,
                dist_files: HashMap::new(),
                conflicts: Vec::new(),
                crate_sources: None,
                unusable: Vec::new(),
                warnings: Vec::new(),
                config: Vec::new(),
                pending: PendingLines::default(),
                failure: None,
            },
        }
    }

    /// The staged files.
    pub(super) fn finish(self) -> StagedImport {
        let mut received = self.staged;
        received.crate_sources = self.judge.into_sources();
        received.pending = self.line_info.pending;
        received.pending.trim();
        received.delta.crates = received.index.names_added;
        let damaged = received.index.damaged_lines;
        if damaged > 0 {
            received.warnings.push(format!(
                "found {} in the mirror's index; lines that the bundle contains are replaced, the others dropped",
                pluralize(damaged, "damaged line")
            ));
        }
        received
    }

    /// A stored crate of the same length is trusted unless it must be compared. Mutable dist files are always staged:
    /// they are small, and the newer one is determined when both are complete.
    fn begin_file(&mut self, entry: &Entry) -> Result<EntryState, Error> {
        let path = entry.path.below(self.layout.root());
        let is_crate = entry.kind == FileKind::Crate;
        let (file, length) = match ExistingFile::open_to_replace(&path)? {
            ExistingFile::File { file, length } => (file, length),
            ExistingFile::Absent => return self.stage(None),
            ExistingFile::NotAFile | ExistingFile::Folder => {
                self.staged.files_lost |= is_crate;
                return self.stage(None);
            }
        };
        if length != entry.size {
            // The recorded length of a crate differs from its actual length.
            self.staged.files_lost |= is_crate;
            return self.stage(Some(length));
        }
        match is_crate {
            true if self.compare_stored || self.line_info.contradicted.contains(&entry.path) => {}
            true => return Ok(EntryState::Skip),
            false if MutableName::from_path(&entry.path).is_some() => return self.stage(Some(length)),
            false => {}
        }
        Ok(EntryState::Compare { path, file, equal: 0 })
    }

    fn end_dist_file(&mut self, entry: &Entry, slot: EntryState) {
        let content = match slot {
            EntryState::Stage { staged, .. } => DistFileSource::Staged(staged),
            EntryState::Compare { path, .. } => DistFileSource::Stored(path),
            EntryState::Skip | EntryState::Text(_) => return,
        };
        self.staged.dist_files.insert(entry.sha256, content);
    }

    fn stage(&mut self, replaced: Option<u64>) -> Result<EntryState, Error> {
        let (staged, file) = self.tx.staging.create()?;
        Ok(EntryState::Stage { staged, file, replaced })
    }

    /// Takes `bytes` of a crate or dist file. If the stored file differs, it is replaced; the equal part is copied from it.
    fn file_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let buffer = &mut self.buffer[..bytes.len()];
        match &mut self.entry_state {
            EntryState::Skip | EntryState::Text(_) => Ok(()),
            EntryState::Stage { staged, file, .. } => {
                file.write_all(bytes).map_err(failed("write", &self.tx.staging.path(*staged)))
            }
            EntryState::Compare { path, file, equal } => {
                match file.read_exact(buffer) {
                    Ok(()) if buffer == bytes => {
                        *equal += bytes.len() as u64;
                        return Ok(());
                    }
                    Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => return Err(failed("read", path)(e)),
                    _ => {}
                }
                let (staged, mut copy) = self.tx.staging.create()?;
                let length = file.metadata().map_err(failed("read", path))?.len();
                let copied = file.rewind().and_then(|()| io::copy(&mut file.take(*equal), &mut copy));
                copied.and_then(|_| copy.write_all(bytes)).map_err(failed("write", &self.tx.staging.path(staged)))?;
                self.entry_state = EntryState::Stage { staged, file: copy, replaced: Some(length) };
                Ok(())
            }
        }
    }

    fn end_crate(&mut self, entry: &Entry, slot: &EntryState) -> Result<(), Error> {
        self.staged.shipped += 1;
        let EntryState::Stage { staged, replaced, .. } = slot else { return Ok(()) };
        let is_replaced = replaced.is_some() && !self.is_indexed(entry)?;
        let StagedImport { delta: grown, crates_new, crates_repaired, crates_replaced, bytes_new, .. } =
            &mut self.staged;
        grown.bytes += entry.size;
        *bytes_new += entry.size;
        match replaced {
            None => {
                grown.versions += 1;
                *crates_new += 1;
            }
            Some(length) => {
                grown.bytes_replaced += length;
                *crates_repaired += 1;
                *crates_replaced += u64::from(is_replaced);
            }
        }
        self.tx.put(&entry.path.below(self.layout.root()), *staged)
    }

    /// Whether the mirror's index states the checksum of this crate of the bundle.
    fn is_indexed(&self, entry: &Entry) -> Result<bool, Error> {
        let name = entry.path.as_str().rsplit('/').next().unwrap_or_default();
        let Some(id) = CrateId::from_file_name(name) else { return Ok(false) };
        let text = disk::read_text(&self.layout.index_file(&id.name))?.unwrap_or_default();
        let line = IndexLine::find_version(&text, &id.name, &id.version);
        Ok(line.is_some_and(|line| line.cksum == entry.sha256))
    }

    fn end_index(&mut self, entry: &Entry, text: &[u8]) -> Result<(), Error> {
        let Some(path) = entry.path.strip_prefix("index") else {
            return Ok(());
        };
        // The bundle's reader reports lines that cargo cannot read, and lines of crates that the bundle does not name.
        let text = String::from_utf8_lossy(text);
        let lines: Vec<IndexLine> = IndexLine::parse_file(&text).collect();
        let Some(name) = lines.first().map(|line| line.id.name.clone()) else {
            return Ok(());
        };
        if lines.iter().any(|line| line.id.name != name) || name.index_path() != path {
            let text = format!("`{}` has lines of a crate that belongs in another index file", entry.path);
            self.staged.conflicts.push(Refusal::new(text));
            return Ok(());
        }
        let ids: Vec<CrateId> = lines.iter().map(|line| line.id.clone()).collect();
        let mut incoming: Vec<NewLine> = Vec::with_capacity(lines.len());
        for line in lines {
            let refresh = self.line_info.refreshed.contains(&line.id);
            // A refreshed line says nothing about the file.
            let index_only = refresh || self.line_info.index_only.contains(&line.id);
            let read = self.line_info.read_at_by_crate.get(&line.id).copied().unwrap_or(self.line_info.read_at);
            let pending = if refresh { None } else { self.line_info.pending.get(&line.id) };
            let pending = pending.filter(|(_, pending)| pending.is_consistent_with(&line));
            incoming.push(NewLine { line, read_at: read, index_only, is_refresh: refresh });
            incoming.extend(pending.map(|(read, line)| NewLine {
                line,
                read_at: read,
                index_only: true,
                is_refresh: true,
            }));
        }
        let mut stored = IndexOnDisk::read(self.layout, &name)?;
        let mut false_lines = BTreeSet::new();
        let merged = loop {
            let conflict = match index_merge::merge_over(&stored.file, incoming.clone(), &false_lines) {
                Ok(merged) => break merged,
                Err(conflict) => conflict,
            };
            match self.judge.decide(&conflict, &mut stored.file, &incoming, &mut false_lines)? {
                Decision::Replace(warning) => self.staged.warnings.push(warning),
                Decision::Refuse(refusal) => {
                    self.staged.conflicts.push(refusal);
                    return Ok(());
                }
            }
        };
        let waits = |id: &CrateId| merged.pending.iter().any(|(line, _)| line.id == *id);
        ids.iter().filter(|id| !waits(id)).for_each(|id| self.line_info.pending.remove(id));
        merged.pending.iter().for_each(|(line, read)| self.line_info.pending.add(line, *read));
        self.staged.index.add(self.layout, self.tx, &name, &stored, &merged)?;
        Ok(())
    }

    fn end_config(&mut self, entry: &Entry, text: &[u8]) {
        let Some(name) = server_config_name(entry) else {
            return;
        };
        match SnapshotFile::parse(name, text) {
            Ok(added) => self.staged.config.push(added),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                self.staged.unusable.push(format!("{error}{}", cause.trim_end()));
            }
        }
    }

    /// Stores the error that aborts the stream.
    fn abort(&mut self, failure: Error) -> io::Error {
        self.staged.failure = Some(failure);
        io::Error::other("stopped by the importer")
    }
}

impl EntryVisitor for ImportVisitor<'_, '_> {
    fn begin(&mut self, entry: &Entry) -> io::Result<()> {
        if cfg!(debug_assertions) {
            durable::checkpoint(&format!("import:entry:{}", entry.path));
        }
        self.entry_state = match entry.kind {
            FileKind::Crate | FileKind::Dist | FileKind::Rustup => {
                self.begin_file(entry).map_err(|failure| self.abort(failure))?
            }
            FileKind::Index => EntryState::Text(Vec::new()),
            FileKind::Config if server_config_name(entry).is_some() => EntryState::Text(Vec::new()),
            FileKind::Config => EntryState::Skip,
        };
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let EntryState::Text(text) = &mut self.entry_state {
            text.extend_from_slice(bytes);
            return Ok(());
        }
        for piece in bytes.chunks(BUFFER_SIZE) {
            self.file_bytes(piece).map_err(|failure| self.abort(failure))?;
        }
        Ok(())
    }

    fn end(&mut self, entry: &Entry, good: bool) -> io::Result<()> {
        let slot = std::mem::replace(&mut self.entry_state, EntryState::Skip);
        if good {
            let ended = match (slot, entry.kind) {
                (slot, FileKind::Crate) => self.end_crate(entry, &slot),
                (slot, FileKind::Dist | FileKind::Rustup) => {
                    self.end_dist_file(entry, slot);
                    Ok(())
                }
                (EntryState::Text(text), FileKind::Config) => {
                    self.end_config(entry, &text);
                    Ok(())
                }
                (EntryState::Text(text), FileKind::Index) => self.end_index(entry, &text),
                _ => Ok(()),
            };
            ended.map_err(|failure| self.abort(failure))?;
        }
        self.sink.event(Event::Advance { phase: Phase::Importing, items: 1, bytes: entry.size });
        Ok(())
    }
}

/// The name of a server configuration file, if the entry is one.
fn server_config_name(entry: &Entry) -> Option<&'static str> {
    config::CONFIG_FILES.into_iter().find(|name| entry.path.as_str() == *name)
}
