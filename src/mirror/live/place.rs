//! A batch into the tree: crates, rustup artifacts, lines, the live records, the head, in an order in which a reader who
//! looks at any instant finds all that he is promised.
//!
//! The steps, with a named checkpoint after each at which a test kills the process (`-half`: in the middle of one):
//!
//! 1. Everything is staged: second names of the files that arrived, and what index files become. Then one sync.
//! 2. The log, which says all that the batch is.
//! 3. Renames; the records; the head. A failure takes back what was done.
//! 4. One sync, and the log goes, then the files that arrived.
//!
//! Killed after the second step, whoever takes the lock next does the batch again from its log: what is in its place stays,
//! and the numbers are counted anew. A crate costs the same in any mirror: nothing that grows is read or written for it,
//! other than the index file of its own name.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::arrived::{self, Arrived};
use super::shelved::{self, Shelved};
use super::{Arrival, ArrivedArtifact, Error, Figures, Record, Renewal, What, books};
use crate::bundle::about::{About, about_all};
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::durable::{self, checkpoint};
use crate::event::Sink;
use crate::index_line::IndexLine;
use crate::mirror::artifacts::Artifacts;
use crate::mirror::head::{Counts, Head};
use crate::mirror::import::restore_link;
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::mirror::link::{self, LinkState};
use crate::mirror::lock::AddGuard;
use crate::mirror::store::{self, Move, Placing, Removal, Staged, Staging, failed};
use crate::safe_path::SafePath;

/// Every checkpoint of a batch of crates, in the order in which it passes them.
pub const CHECKPOINTS: &[&str] = &[
    "live:staged",
    "live:logged",
    "live:crates-half",
    "live:crates",
    "live:lines-half",
    "live:lines",
    "live:index-half",
    "live:index",
    "live:records",
    "live:head-half",
    "live:head",
    "live:done",
];

/// The checkpoints that a batch passes beside these, after `live:crates`, where it brings rustup artifacts.
pub const ARTIFACT_CHECKPOINTS: &[&str] =
    &["live:components-half", "live:components", "live:channels-half", "live:channels", "live:artifacts"];

/// What came of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Crates whose files are new, or were mended.
    pub crates: u64,
    /// Crates that were held by then, and have a live record now.
    pub held: u64,
    /// Rustup artifacts that were not held.
    pub artifacts: u64,
    /// Bytes of all new files.
    pub bytes: u64,
    /// Held versions whose line is another one now.
    pub renewed: u64,
    /// The crates whose index files changed.
    pub names: Vec<CrateName>,
    /// Rustup artifacts that are not placed, because what is held is newer.
    pub left: Vec<SafePath>,
    /// What is not placed, because it contradicts what is held, or cannot be used.
    pub refused: Vec<Refused>,
    /// What the mirror holds now.
    pub counts: Counts,
}

/// One thing that is not placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which.
    pub what: What,
    /// Why, as a lowercase sentence without its end.
    pub why: String,
}

/// What is to be placed.
pub(super) struct Batch {
    pub(super) arrivals: Vec<Arrival>,
    pub(super) renewals: Vec<Renewal>,
    pub(super) artifacts: Vec<ArrivedArtifact>,
    pub(super) now: Timestamp,
}

impl AddGuard {
    /// Places what was fetched, and puts it on record as live mode's. Its files in `live/partial/` are gone afterwards,
    /// also of what is refused; one that contradicts what is held harms no other.
    ///
    /// # Errors
    /// The file system's; the mirror is then as it was, and the files are still there.
    pub fn place_live(
        &mut self,
        arrivals: Vec<Arrival>,
        renewals: Vec<Renewal>,
        artifacts: Vec<ArrivedArtifact>,
        now: Timestamp,
        sink: &dyn Sink,
    ) -> Result<Placed, Error> {
        finish(&self.layout, sink)?;
        place(&self.layout, &Batch { arrivals, renewals, artifacts, now }, false, sink)
    }

    /// Does again what a killed process was placing; `None` where none was. Taking the lock does it too.
    ///
    /// # Errors
    /// The file system's.
    pub fn finish_live(&mut self, sink: &dyn Sink) -> Result<Option<Placed>, Error> {
        finish(&self.layout, sink)
    }
}

/// Does again, under the lock, what a killed process was placing.
pub(in crate::mirror) fn finish(layout: &Layout, sink: &dyn Sink) -> Result<Option<Placed>, Error> {
    let path = layout.live_placing();
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        Err(source) => return Err(failed("read", &path)(source).into()),
    };
    let batch = match serde_json::from_slice::<Log>(&text) {
        Ok(log) => log.into_batch(layout),
        Err(error) => {
            // Crates that it named and that have no line yet are told of by an audit.
            sink.warning(format!("`{}` is damaged ({error}); only the numbers are counted anew", path.display()));
            Batch { arrivals: Vec::new(), renewals: Vec::new(), artifacts: Vec::new(), now: Timestamp::UNIX_EPOCH }
        }
    };
    let placed = place(layout, &batch, true, sink)?;
    for Refused { what, why } in &placed.refused {
        sink.warning(format!("{what}, which live mode was placing, is left out: {why}"));
    }
    Ok(Some(placed))
}

/// The log of a batch. Lines are kept as they are; files are named without their folder.
#[derive(Serialize, Deserialize)]
struct Log {
    placed: Timestamp,
    crates: Vec<LoggedCrate>,
    #[serde(default)]
    renewals: Vec<LoggedLine>,
    #[serde(default)]
    artifacts: Vec<LoggedArtifact>,
}

#[derive(Serialize, Deserialize)]
struct LoggedCrate {
    size: u64,
    file: String,
    #[serde(flatten)]
    line: LoggedLine,
}

#[derive(Serialize, Deserialize)]
struct LoggedLine {
    line: String,
    read: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct LoggedArtifact {
    path: SafePath,
    sha256: Sha256,
    size: u64,
    file: String,
    read: Timestamp,
}

impl Log {
    fn of(arrived: &Arrived<'_>, shelved: &Shelved<'_>, now: Timestamp) -> Log {
        let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let line = |line: &IndexLine, read| LoggedLine { line: line.raw.clone(), read };
        let crates = arrived.accepted.iter().map(|one| LoggedCrate {
            size: one.size,
            file: name(&one.file),
            line: line(&one.line, one.read),
        });
        let artifacts = shelved.accepted.iter().map(|one| LoggedArtifact {
            path: one.path.clone(),
            sha256: one.sha256,
            size: one.size,
            file: name(&one.file),
            read: one.read,
        });
        Log {
            placed: now,
            crates: crates.collect(),
            renewals: arrived.renewed.iter().map(|one| line(&one.line, one.read)).collect(),
            artifacts: artifacts.collect(),
        }
    }

    fn into_batch(self, layout: &Layout) -> Batch {
        let folder = layout.live_partial();
        let arrival = |LoggedCrate { size, file, line }: LoggedCrate| {
            let read = line.read;
            let line = IndexLine::parse(&line.line).ok()?;
            Some(Arrival { id: line.id.clone(), sha256: line.cksum, size, file: folder.join(file), line, read })
        };
        let artifact = |LoggedArtifact { path, sha256, size, file, read }: LoggedArtifact| ArrivedArtifact {
            path,
            sha256,
            size,
            file: folder.join(file),
            read,
        };
        let renewal =
            |LoggedLine { line, read }: LoggedLine| Some(Renewal { line: IndexLine::parse(&line).ok()?, read });
        Batch {
            arrivals: self.crates.into_iter().filter_map(arrival).collect(),
            renewals: self.renewals.into_iter().filter_map(renewal).collect(),
            artifacts: self.artifacts.into_iter().map(artifact).collect(),
            now: self.placed,
        }
    }
}

fn place(layout: &Layout, batch: &Batch, again: bool, sink: &dyn Sink) -> Result<Placed, Error> {
    for folder in [layout.live(), layout.live_partial()] {
        durable::make_folder(&folder).map_err(failed("make the folder", &folder))?;
    }
    let mut staging = Staging::begin(layout)?;
    let mut arrived = arrived::sort(layout, &mut staging, batch, sink)?;
    let shelved = shelved::sort(layout, &mut staging, batch, sink)?;
    let mut placed = Placed {
        crates: arrived.crates.len() as u64,
        held: arrived.held,
        artifacts: shelved.new.0,
        bytes: arrived.grown.bytes + shelved.new.1,
        renewed: arrived.renewed.len() as u64,
        names: std::mem::take(&mut arrived.names),
        left: shelved.left.clone(),
        refused: std::mem::take(&mut arrived.refused).into_iter().chain(shelved.refused.iter().cloned()).collect(),
        counts: Counts::default(),
    };
    let nothing = arrived.accepted.is_empty() && arrived.lines.is_empty() && shelved.accepted.is_empty();
    if nothing && !again {
        placed.counts = ledger::head(layout)?.map(|head| head.counts).unwrap_or_default();
        clear(batch);
        return Ok(placed);
    }
    make_id(layout)?;
    let change = Change::of(layout, &mut staging, arrived, shelved, batch, again)?;
    staging.sync()?;
    checkpoint("live:staged");
    if !again {
        let path = layout.live_placing();
        fs::rename(staging.path(change.log), &path).map_err(failed("write", &path))?;
        sync_live(layout)?;
    }
    checkpoint("live:logged");
    let mut placing = Placing::new(&staging);
    let recorded = RecordsBefore::of(layout);
    let done = change.carry_out(layout, &mut placing, &staging).and_then(|counts| {
        staging.sync()?;
        Ok(counts)
    });
    match done {
        Ok(counts) => placed.counts = counts,
        Err(source) => {
            let undone = placing.take_back().and(recorded.take_back());
            return Err(match undone {
                // Whoever is next counts anew, and does the rest of a batch that was begun before.
                Ok(()) if again => Error::Store(source),
                Ok(()) => {
                    remove(&layout.live_placing())?;
                    Error::Store(source)
                }
                Err(left) => Error::Torn { left, source },
            });
        }
    }
    // As long as there is the log: nobody looks after the link of a batch that is done.
    if link::link_state(layout) != LinkState::Good {
        restore_link(layout, sink);
    }
    remove(&layout.live_placing())?;
    sync_live(layout)?;
    checkpoint("live:done");
    // What a killed import left was counted now.
    staging.torn = false;
    drop(staging);
    clear(batch);
    Ok(placed)
}

/// Everything that a batch changes, staged.
struct Change {
    steps: Vec<Step>,
    log: Staged,
    records: Vec<Record>,
    figures: Figures,
    head: Head,
    /// The numbers afterwards; `None` where they are to be counted in the tree.
    counts: Option<Counts>,
    /// Numbers for what is only known late: the figures and the head.
    late: [Staged; 2],
}

struct Step {
    names: [&'static str; 2],
    root: PathBuf,
    removals: Vec<Removal>,
    moves: Vec<Move>,
}

impl Change {
    fn of(
        layout: &Layout,
        staging: &mut Staging,
        arrived: Arrived<'_>,
        shelved: Shelved<'_>,
        batch: &Batch,
        again: bool,
    ) -> Result<Change, Error> {
        let log = Log::of(&arrived, &shelved, batch.now);
        let log = staging.write(&serde_json::to_vec(&log).expect("plain fields are JSON"))?;
        let new = new_records(layout, &arrived, &shelved, batch.now);
        // Only what was held, or had been, may be on record already.
        let known = |one: &&ArrivedArtifact| shelved.before.0.contains_key(&one.path);
        let was_known = arrived.held > 0 || arrived.brings_back || shelved.accepted.iter().any(known);
        let (records, figures) = match again || was_known {
            true => among(books::records(layout)?, new),
            false => {
                let (before, more) = (books::figures(layout)?, books::figures_of(&new));
                let figures = Figures {
                    crates: before.crates + more.crates,
                    artifacts: before.artifacts + more.artifacts,
                    bytes: before.bytes.saturating_add(more.bytes),
                };
                (new, figures)
            }
        };
        let file = Head::read_file(layout)?;
        let recount = again || staging.torn || arrived.brings_back || file.is_none();
        let head = match (file, staging.torn) {
            (Some(head), false) => head,
            (file, _) => ledger::newest_head(layout)?.or(file).unwrap_or_default(),
        };
        let (mut counts, mut head) = (head.counts.after(&arrived.grown), head);
        if !batch.artifacts.is_empty() {
            (counts.artifacts, counts.artifact_bytes) = shelved.after.counts();
            head.toolchains = shelved.after.toolchains();
        } else if recount {
            head.toolchains = Artifacts::read(layout)?.unwrap_or_default().toolchains();
        }
        let mut steps = Vec::new();
        let mut step = |names, root, moves: Vec<Move>, removals: Vec<Removal>| {
            if !(moves.is_empty() && removals.is_empty()) {
                steps.push(Step { names, root, moves, removals });
            }
        };
        let root = layout.root().to_owned();
        step(["live:crates-half", "live:crates"], layout.crates(), arrived.crates, Vec::new());
        step(["live:components-half", "live:components"], root.clone(), shelved.components, Vec::new());
        step(["live:channels-half", "live:channels"], root, shelved.channels, shelved.removals);
        if shelved.after != shelved.before {
            let replaces = layout.artifacts().symlink_metadata().is_ok();
            let staged = staging.write(&shelved.after.render())?;
            let moved = Move { staged, place: "artifacts.json".into(), replaces };
            step(["live:artifacts-half", "live:artifacts"], layout.private(), vec![moved], Vec::new());
        }
        step(["live:lines-half", "live:lines"], layout.lines(), arrived.lines, Vec::new());
        step(["live:index-half", "live:index"], layout.index(), arrived.index, Vec::new());
        let late = [staging.reserve(), staging.reserve()];
        Ok(Change { steps, log, records, figures, head, counts: (!recount).then_some(counts), late })
    }

    /// Renames everything into the tree, writes the records and the head; and what the mirror holds then.
    fn carry_out(self, layout: &Layout, placing: &mut Placing<'_>, staging: &Staging) -> Result<Counts, store::Error> {
        for Step { names: [midway, name], root, removals, moves } in &self.steps {
            placing.remove(root, removals)?;
            placing.rename(root, moves, midway)?;
            checkpoint(name);
        }
        if !self.records.is_empty() {
            books::append(&layout.live_records(), &self.records)?;
        }
        checkpoint("live:records");
        let counts = match self.counts {
            Some(counts) => counts,
            None => Counts::of_tree(layout)?,
        };
        let [numbers, head] = self.late;
        staging.fill(numbers, &books::render(self.figures))?;
        staging.fill(head, &self.head.with(counts).render())?;
        let replaces = |path: &Path| path.symlink_metadata().is_ok();
        let numbers = Move {
            staged: numbers,
            place: ".frostmirror/live/counts".into(),
            replaces: replaces(&layout.live_counts()),
        };
        let head = Move { staged: head, place: "manifest.json".into(), replaces: replaces(&layout.head()) };
        placing.rename(layout.root(), &[numbers, head], "live:head-half")?;
        checkpoint("live:head");
        Ok(counts)
    }
}

/// The live records as they were before a batch.
struct RecordsBefore {
    path: PathBuf,
    length: Option<u64>,
}

impl RecordsBefore {
    fn of(layout: &Layout) -> RecordsBefore {
        let path = layout.live_records();
        let length = fs::metadata(&path).ok().map(|about| about.len());
        RecordsBefore { path, length }
    }

    fn take_back(&self) -> Result<(), store::Error> {
        let now = fs::metadata(&self.path).ok().map(|about| about.len());
        match self.length {
            Some(length) if now.is_some_and(|now| now > length) => books::cut(&self.path, length),
            None if now.is_some() => fs::remove_file(&self.path).map_err(failed("take back", &self.path)),
            _ => Ok(()),
        }
    }
}

/// The records of what is accepted, with what crates say of themselves.
fn new_records(layout: &Layout, arrived: &Arrived<'_>, shelved: &Shelved<'_>, now: Timestamp) -> Vec<Record> {
    let file = |one: &Arrival| match one.file.is_file() {
        true => one.file.clone(),
        false => layout.crate_file(&one.id),
    };
    let files: Vec<(CrateId, PathBuf)> = arrived.accepted.iter().map(|one| (one.id.clone(), file(one))).collect();
    let crates = arrived.accepted.iter().zip(about_all(&files)).map(|(one, about)| {
        let About { description, license, repository } = about.unwrap_or_default();
        let what = What::Crate(one.id.clone());
        let (sha256, size, read) = (one.sha256, one.size, one.read);
        Record { what, sha256, size, placed: now, read, description, license, repository }
    });
    let artifacts = shelved.accepted.iter().map(|one| {
        let what = What::Artifact(one.path.clone());
        let (sha256, size, read) = (one.sha256, one.size, one.read);
        Record { what, sha256, size, placed: now, read, description: None, license: None, repository: None }
    });
    crates.chain(artifacts).collect()
}

/// What of `new` is not among `known`, and how much all of it is.
fn among(known: Vec<Record>, mut new: Vec<Record>) -> (Vec<Record>, Figures) {
    let mut all: HashMap<What, Record> = known.into_iter().map(|record| (record.what.clone(), record)).collect();
    new.retain(|record| all.get(&record.what).is_none_or(|known| known.sha256 != record.sha256));
    all.extend(new.iter().map(|record| (record.what.clone(), record.clone())));
    let figures = books::figures_of(all.values());
    (new, figures)
}

/// Makes the id of what live mode brings, where there is none.
fn make_id(layout: &Layout) -> Result<(), Error> {
    let path = layout.live_id();
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    // One that was lost follows from the records, and stays what it was.
    let id = match books::id(layout)? {
        Some(id) => id,
        None => {
            let mut bytes = [0u8; 16];
            getrandom::fill(&mut bytes).map_err(Error::Random)?;
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        }
    };
    Ok(durable::write_by(&layout.staging(), &path, id.as_bytes()).map_err(failed("write", &path))?)
}

fn sync_live(layout: &Layout) -> Result<(), store::Error> {
    durable::sync_folder(&layout.live()).map_err(failed("sync", &layout.live()))
}

fn remove(path: &Path) -> Result<(), store::Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Removes the files that arrived. What cannot be removed is debris, for the next start.
fn clear(batch: &Batch) {
    let files = batch.arrivals.iter().map(|one| &one.file).chain(batch.artifacts.iter().map(|one| &one.file));
    for file in files {
        let _swept_later = remove(file).is_err();
    }
}
