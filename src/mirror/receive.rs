//! Takes a bundle's bytes as they pass, and stages what the mirror does not hold. Nothing here touches the tree.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::artifacts::Moving;
use super::head::Growth;
use super::index::{self, Held, Incoming, Merged};
use super::layout::Layout;
use super::lines;
use super::order::{Names, Node};
use super::pending_lines::PendingLines;
use super::store::{Error, Move, Staged, Staging, failed};
use crate::artifact::Kind;
use crate::bundle::format::Entry;
use crate::bundle::open::Visitor;
use crate::crate_id::{CrateId, CrateName};
use crate::digest::{BUFFER, Sha256};
use crate::durable;
use crate::event::{Event, Phase, Sink};
use crate::index_line::IndexLine;
use crate::server_config::{self, Brought};

pub(super) mod artifacts;

use artifacts::Content;

/// Needs that are remembered to put index files in order, four bytes each. Real bundles have some twenty a crate; the
/// order is a courtesy to those who read meanwhile, and the files behind this many come without it.
const MOST_NEEDS: usize = 4 * 1024 * 1024;

/// What was staged, and what speaks against placing it.
#[derive(Default)]
pub(super) struct Received {
    /// Crates to be placed.
    pub(super) crates: Vec<Move>,
    /// Line records to be placed.
    pub(super) lines: Vec<Move>,
    /// Index files to be placed, each with its node at the same position in `nodes`.
    pub(super) index: Vec<Move>,
    /// What the index files need.
    pub(super) nodes: Vec<Node>,
    /// What it adds to the tree.
    pub(super) grown: Growth,
    /// Crates that the bundle ships.
    pub(super) shipped: u64,
    /// Crates that were not held.
    pub(super) crates_new: u64,
    /// Crates whose file was there with other bytes.
    pub(super) crates_mended: u64,
    /// Versions that no record has as held yet.
    pub(super) lines_brought: u64,
    /// An index file is gone that the records know of, or a crate has another length or is only a link.
    pub(super) lost: bool,
    /// Bytes of staged crates.
    pub(super) bytes_new: u64,
    /// Rustup artifacts that the bundle ships, by digest.
    pub(super) artifacts: HashMap<Sha256, Content>,
    /// What cannot be true together with what is held.
    pub(super) conflicts: Vec<String>,
    /// Entries whose bytes are as packed and yet cannot be used.
    pub(super) unusable: Vec<String>,
    /// What the user should know.
    pub(super) notes: Vec<String>,
    /// A snapshot's configuration.
    pub(super) config: Vec<Brought>,
    /// Refreshed lines that wait for their crates after this import.
    pub(super) pending: PendingLines,
    /// Why the stream was stopped.
    pub(super) failure: Option<Error>,
}

impl Received {
    /// Whether the tree has lost files behind the back of whoever counted them: then what is brought back is not new.
    pub(super) fn brings_back(&self) -> bool {
        self.lost || self.crates_new != self.lines_brought
    }
}

/// What becomes of the entry that is passing.
enum Slot {
    /// Nothing; it is trusted or not placed.
    Pass,
    /// A crate that is staged. `replaced`: the length of the file that it replaces.
    Stage { staged: Staged, file: File, replaced: Option<u64> },
    /// A crate whose file is there, and has been equal so far.
    Compare { path: PathBuf, file: File, equal: u64 },
    /// Index text, or a snapshot's configuration.
    Text(Vec<u8>),
}

/// What a manifest tells of the lines that follow.
pub(super) struct Told {
    /// When they were read from upstream's index.
    pub(super) read: Timestamp,
    /// When those were read that were not read then.
    pub(super) reads: HashMap<CrateId, Timestamp>,
    /// The crates whose file was left out and never sent.
    pub(super) index_only: HashSet<CrateId>,
    /// The crates of earlier bundles whose lines replace those that are held.
    pub(super) refreshed: HashSet<CrateId>,
    /// Refreshed lines of earlier imports whose crates were not held.
    pub(super) pending: PendingLines,
}

/// Stages what passes.
pub(super) struct Receiver<'a> {
    layout: &'a Layout,
    staging: &'a mut Staging,
    compare_held: bool,
    told: Told,
    sink: &'a dyn Sink,
    slot: Slot,
    buffer: Vec<u8>,
    names: Names,
    /// How many needs the nodes have so far.
    needs: usize,
    damaged: u64,
    received: Received,
}

impl<'a> Receiver<'a> {
    /// Ready for the first entry of a bundle whose manifest says what is `told`.
    pub(super) fn new(
        layout: &'a Layout,
        staging: &'a mut Staging,
        compare_held: bool,
        told: Told,
        names: Names,
        sink: &'a dyn Sink,
    ) -> Receiver<'a> {
        Receiver {
            layout,
            staging,
            compare_held,
            told,
            sink,
            slot: Slot::Pass,
            buffer: vec![0; BUFFER],
            names,
            needs: 0,
            damaged: 0,
            received: Received::default(),
        }
    }

    /// What was staged.
    pub(super) fn finish(self) -> Received {
        let mut received = self.received;
        received.pending = self.told.pending;
        received.pending.trim();
        if self.damaged > 0 {
            received.notes.push(format!("{} lines of the mirror's index were damaged; they are replaced where the bundle has them, else dropped", self.damaged));
        }
        received
    }

    fn begin_crate(&mut self, entry: &Entry) -> Result<Slot, Error> {
        let path = entry.path.below(self.layout.root());
        // A tree that was copied may have links in it. One that leaves the mirror is never served, so what is read
        // through it is not held.
        match path.symlink_metadata() {
            Ok(there) if there.is_symlink() => {
                self.received.lost = true;
                return self.stage(None);
            }
            // Whose it is nobody knows, so it is not replaced.
            Ok(there) if there.is_dir() => return Err(failed("replace", &path)(io::ErrorKind::IsADirectory.into())),
            _ => {}
        }
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return self.stage(None),
            Err(source) => return Err(failed("read", &path)(source)),
        };
        let length = file.metadata().map_err(failed("read", &path))?.len();
        if length != entry.size {
            // Its length on record is another than the one it has.
            self.received.lost = true;
            return self.stage(Some(length));
        }
        Ok(if self.compare_held { Slot::Compare { path, file, equal: 0 } } else { Slot::Pass })
    }

    /// What moves is always staged: it is small, and which of two is newer is decided when both are whole.
    fn begin_artifact(&mut self, entry: &Entry) -> Result<Slot, Error> {
        let path = entry.path.below(self.layout.root());
        match artifacts::comparable(&path, entry.size)? {
            Some(file) if Moving::of(&entry.path).is_none() => Ok(Slot::Compare { path, file, equal: 0 }),
            _ => self.stage(None),
        }
    }

    fn end_artifact(&mut self, entry: &Entry, slot: Slot) {
        let content = match slot {
            Slot::Stage { staged, .. } => Content::Staged(staged),
            Slot::Compare { path, .. } => Content::Held(path),
            Slot::Pass | Slot::Text(_) => return,
        };
        self.received.artifacts.insert(entry.sha256, content);
    }

    fn stage(&mut self, replaced: Option<u64>) -> Result<Slot, Error> {
        let (staged, file) = self.staging.create()?;
        Ok(Slot::Stage { staged, file, replaced })
    }

    /// Takes `bytes` of a crate. A held file that turns out to differ is replaced: what was equal is copied from it.
    fn crate_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let buffer = &mut self.buffer[..bytes.len()];
        match &mut self.slot {
            Slot::Pass | Slot::Text(_) => Ok(()),
            Slot::Stage { staged, file, .. } => {
                file.write_all(bytes).map_err(failed("write", &self.staging.path(*staged)))
            }
            Slot::Compare { path, file, equal } => {
                match file.read_exact(buffer) {
                    Ok(()) if buffer == bytes => {
                        *equal += bytes.len() as u64;
                        return Ok(());
                    }
                    Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => return Err(failed("read", path)(e)),
                    _ => {}
                }
                let (staged, mut copy) = self.staging.create()?;
                let length = file.metadata().map_err(failed("read", path))?.len();
                let copied = file.rewind().and_then(|()| io::copy(&mut file.take(*equal), &mut copy));
                copied.and_then(|_| copy.write_all(bytes)).map_err(failed("write", &self.staging.path(staged)))?;
                self.slot = Slot::Stage { staged, file: copy, replaced: Some(length) };
                Ok(())
            }
        }
    }

    fn end_crate(&mut self, entry: &Entry, slot: &Slot) {
        self.received.shipped += 1;
        let (Slot::Stage { staged, replaced, .. }, Some(place)) = (slot, entry.path.strip_prefix("crates")) else {
            return;
        };
        let Received { grown, crates_new, crates_mended, bytes_new, .. } = &mut self.received;
        grown.bytes += entry.size;
        *bytes_new += entry.size;
        match replaced {
            None => {
                grown.versions += 1;
                *crates_new += 1;
            }
            Some(length) => {
                grown.bytes_replaced += length;
                *crates_mended += 1;
            }
        }
        let replaces = replaced.is_some() || self.layout.crates().join(place).symlink_metadata().is_ok();
        self.received.crates.push(Move { staged: *staged, place: place.into(), replaces });
    }

    fn end_index(&mut self, entry: &Entry, text: &[u8]) -> Result<(), Error> {
        let Some(place) = entry.path.strip_prefix("index") else {
            return Ok(());
        };
        // Lines that cargo cannot read, or of crates that the bundle does not name, are the reader's to complain of.
        let text = String::from_utf8_lossy(text);
        let lines: Vec<IndexLine> = IndexLine::parse_file(&text).collect();
        let Some(name) = lines.first().map(|line| line.id.name.clone()) else {
            return Ok(());
        };
        if lines.iter().any(|line| line.id.name != name) || name.index_path() != place {
            self.received.conflicts.push(format!("`{}` has lines of a crate that does not belong there", entry.path));
            return Ok(());
        }
        let ids: Vec<CrateId> = lines.iter().map(|line| line.id.clone()).collect();
        let mut incoming: Vec<Incoming> = Vec::with_capacity(lines.len());
        for line in lines {
            let refresh = self.told.refreshed.contains(&line.id);
            // A refreshed line says nothing of the file.
            let index_only = refresh || self.told.index_only.contains(&line.id);
            let read = self.told.reads.get(&line.id).copied().unwrap_or(self.told.read);
            let pending = if refresh { None } else { self.told.pending.get(&line.id) };
            let pending = pending.filter(|(_, pending)| pending.agrees_with(&line));
            incoming.push(Incoming { line, read, index_only, refresh });
            incoming.extend(pending.map(|(read, line)| Incoming { line, read, index_only: true, refresh: true }));
        }
        let (index_path, records_path) = (self.layout.index_file(&name), self.layout.line_records(&name));
        let (held_text, held_records) = (read_text(&index_path)?, read_text(&records_path)?);
        let held = Held {
            text: held_text.clone().unwrap_or_default(),
            records: lines::parse(held_records.as_deref().unwrap_or_default()),
        };
        match index::merge(&held, incoming) {
            Ok(merged) => {
                let waits = |id: &CrateId| merged.pending.iter().any(|(line, _)| line.id == *id);
                ids.iter().filter(|id| !waits(id)).for_each(|id| self.told.pending.remove(id));
                merged.pending.iter().for_each(|(line, read)| self.told.pending.add(line, *read));
                self.stage_index(&name, place, &held, held_text.is_some(), held_records.is_some(), &merged)
            }
            Err(conflict) => {
                self.received.conflicts.push(conflict.to_string());
                Ok(())
            }
        }
    }

    fn stage_index(
        &mut self,
        name: &CrateName,
        place: &str,
        held: &Held,
        text_there: bool,
        records_there: bool,
        merged: &Merged,
    ) -> Result<(), Error> {
        self.damaged += merged.damaged as u64;
        self.received.lines_brought += merged.brought as u64;
        self.received.lost |= records_there && !text_there;
        // A record of a line that was replaced before may linger; it does no harm, and is no reason to write.
        if merged.text != held.text || !merged.records.iter().all(|record| held.records.contains(record)) {
            let staged = self.staging.write(lines::render(&merged.records).as_bytes())?;
            self.received.lines.push(Move { staged, place: place.into(), replaces: records_there });
        }
        if merged.text != held.text {
            let staged = self.staging.write(merged.text.as_bytes())?;
            self.received.index.push(Move { staged, place: place.into(), replaces: text_there });
            let needs: Box<[u32]> = match self.names.number(name.as_str()) {
                Some(_) if self.needs < MOST_NEEDS => {
                    merged.needs.iter().filter_map(|need| self.names.number(need)).collect()
                }
                _ => Box::default(),
            };
            self.needs += needs.len();
            // The reader refuses lines of crates that the bundle does not name.
            self.received.nodes.push(Node { name: self.names.number(name.as_str()).unwrap_or(u32::MAX), needs });
            self.received.grown.crates += u64::from(!text_there);
        }
        Ok(())
    }

    fn end_config(&mut self, entry: &Entry, text: &[u8]) {
        let Some(name) = server_config_name(entry) else {
            return;
        };
        match Brought::parse(name, text) {
            Ok(brought) => self.received.config.push(brought),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                self.received.unusable.push(format!("{error}{}", cause.trim_end()));
            }
        }
    }

    /// Remembers why the stream is stopped, and stops it.
    fn stop(&mut self, failure: Error) -> io::Error {
        self.received.failure = Some(failure);
        io::Error::other("stopped by the importer")
    }
}

impl Visitor for Receiver<'_> {
    fn begin(&mut self, entry: &Entry) -> io::Result<()> {
        if cfg!(debug_assertions) {
            durable::checkpoint(&format!("import:entry:{}", entry.path));
        }
        self.slot = match entry.kind {
            Kind::Crate => self.begin_crate(entry).map_err(|failure| self.stop(failure))?,
            Kind::Index => Slot::Text(Vec::new()),
            Kind::Dist | Kind::Rustup => self.begin_artifact(entry).map_err(|failure| self.stop(failure))?,
            Kind::Config if server_config_name(entry).is_some() => Slot::Text(Vec::new()),
            Kind::Config => Slot::Pass,
        };
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Slot::Text(text) = &mut self.slot {
            text.extend_from_slice(bytes);
            return Ok(());
        }
        for piece in bytes.chunks(BUFFER) {
            self.crate_bytes(piece).map_err(|failure| self.stop(failure))?;
        }
        Ok(())
    }

    fn end(&mut self, entry: &Entry, good: bool) -> io::Result<()> {
        let slot = std::mem::replace(&mut self.slot, Slot::Pass);
        if good && matches!(entry.kind, Kind::Dist | Kind::Rustup) {
            self.end_artifact(entry, slot);
        } else if good {
            match (&slot, entry.kind) {
                (_, Kind::Crate) => self.end_crate(entry, &slot),
                (Slot::Text(text), Kind::Config) => self.end_config(entry, text),
                (Slot::Text(text), Kind::Index) => self.end_index(entry, text).map_err(|failure| self.stop(failure))?,
                _ => {}
            }
        }
        self.sink.event(Event::Advance { phase: Phase::Importing, items: 1, bytes: entry.size });
        Ok(())
    }
}

/// The name of a file of the server's configuration, where the entry is one.
fn server_config_name(entry: &Entry) -> Option<&'static str> {
    server_config::FILES.into_iter().find(|name| entry.path.as_str() == *name)
}

/// The text of a file of ours, `None` where it is not there. Bytes that are no text become lines that nothing fits.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed("read", path)(source)),
    }
}
