//! Commits a batch: crates, dist files, lines, the live records, the summary. The order guarantees that a reader finds
//! everything that an index or manifest names at any time.
//!
//! The steps, with a named checkpoint after each at which a test kills the process (`-half`: in the middle of a step):
//!
//! 1. Everything is staged: hard links of the downloaded files, and new index files. Then one sync.
//! 2. The journal, which describes the whole batch.
//! 3. Renames; the records; the summary. A failure rolls everything back.
//! 4. One sync. Then the journal is removed, and then the downloaded files.
//!
//! If the process is killed after the second step, the next process that takes the lock repeats the batch from its
//! journal. Files already in place stay, and the totals are counted anew. A crate costs the same in any mirror: apart
//! from its own index file, no file that grows is read or written.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::crates::{self, StagedCrates};
use super::dist_files::{self, StagedDistFiles};
use super::{Error, FetchedCrate, FetchedDistFile, IndexUpdate, ItemId, LiveRecord, LiveTotals, records};
use crate::bundle::package_metadata::{PackageMetadata, read_all_metadata};
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::durable::{self, checkpoint};
use crate::event::Sink;
use crate::index_line::IndexLine;
use crate::mirror::dist_files::DistFiles;
use crate::mirror::import::restore_link;
use crate::mirror::index_link::{self, LinkState};
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::mirror::lock::AddGuard;
use crate::mirror::summary::{Counts, MirrorSummary};
use crate::mirror::transaction::{self, Removal, Rename, StagedFile, Staging, Transaction, failed};
use crate::safe_path::SafePath;

/// All checkpoints of a batch of crates, in order.
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

/// Additional checkpoints of a batch with dist files, after `live:crates`.
pub const DIST_FILE_CHECKPOINTS: &[&str] =
    &["live:components-half", "live:components", "live:channels-half", "live:channels", "live:artifacts"];

/// The result of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreOutcome {
    /// Crates whose files are new, or were repaired.
    pub crates: u64,
    /// Crates that were already stored, and now have a live record.
    pub already_stored: u64,
    /// Dist files that were not stored before.
    pub dist_files: u64,
    /// Total bytes of all new files.
    pub bytes: u64,
    /// Stored versions whose line changed.
    pub updated_lines: u64,
    /// The crates whose index files changed.
    pub changed_names: Vec<CrateName>,
    /// Dist files that were skipped, because the stored ones are newer.
    pub skipped: Vec<SafePath>,
    /// Items that were rejected, because they contradict stored ones or are unusable.
    pub rejected: Vec<Rejection>,
    /// The content of the mirror afterwards.
    pub counts: Counts,
}

/// A rejected item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The item.
    pub item: ItemId,
    /// Why, as a lowercase sentence without a final period.
    pub reason: String,
}

/// The content of a batch.
pub(super) struct Batch {
    pub(super) crates: Vec<FetchedCrate>,
    pub(super) index_updates: Vec<IndexUpdate>,
    pub(super) dist_files: Vec<FetchedDistFile>,
    pub(super) now: Timestamp,
}

impl AddGuard {
    /// Stores fetched files, and records them as live mode's. Afterwards the files in `live/partial/` are gone,
    /// including those of rejected items. An item that contradicts stored ones does not affect the others.
    ///
    /// # Errors
    /// A file system operation failed; the mirror is then unchanged, and the files still exist.
    pub fn store_live(
        &mut self,
        crates: Vec<FetchedCrate>,
        index_updates: Vec<IndexUpdate>,
        dist_files: Vec<FetchedDistFile>,
        now: Timestamp,
        sink: &dyn Sink,
    ) -> Result<StoreOutcome, Error> {
        recover(&self.layout, sink)?;
        store_batch(&self.layout, &Batch { crates, index_updates, dist_files, now }, false, sink)
    }

    /// Repeats the commit of a killed process; `None` if there was none. Taking the lock does this too.
    ///
    /// # Errors
    /// A file system operation failed.
    pub fn recover_live(&mut self, sink: &dyn Sink) -> Result<Option<StoreOutcome>, Error> {
        recover(&self.layout, sink)
    }
}

/// Repeats, under the lock, the commit of a killed process.
pub(in crate::mirror) fn recover(layout: &Layout, sink: &dyn Sink) -> Result<Option<StoreOutcome>, Error> {
    let path = layout.live_journal();
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        Err(source) => return Err(failed("read", &path)(source).into()),
    };
    let batch = match serde_json::from_slice::<Journal>(&text) {
        Ok(log) => log.into_batch(layout),
        Err(error) => {
            // An audit reports crates that the batch named and that have no line yet.
            sink.warning(format!(
                "`{}` is damaged ({error}); its changes are lost, and the files are counted again",
                path.display()
            ));
            Batch { crates: Vec::new(), index_updates: Vec::new(), dist_files: Vec::new(), now: Timestamp::UNIX_EPOCH }
        }
    };
    let placed = store_batch(layout, &batch, true, sink)?;
    for Rejection { item: what, reason: why } in &placed.rejected {
        sink.warning(format!("live mode does not store {what}: {why}"));
    }
    Ok(Some(placed))
}

/// The journal of a batch. Lines are stored verbatim; files are named without their folder.
#[derive(Serialize, Deserialize)]
struct Journal {
    #[serde(rename = "placed")]
    stored_at: Timestamp,
    crates: Vec<JournalCrate>,
    #[serde(default)]
    #[serde(rename = "renewals")]
    index_updates: Vec<JournalLine>,
    #[serde(default)]
    #[serde(rename = "artifacts")]
    dist_files: Vec<JournalDistFile>,
}

#[derive(Serialize, Deserialize)]
struct JournalCrate {
    size: u64,
    file: String,
    #[serde(flatten)]
    line: JournalLine,
}

#[derive(Serialize, Deserialize)]
struct JournalLine {
    line: String,
    #[serde(rename = "read")]
    read_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct JournalDistFile {
    path: SafePath,
    sha256: Sha256,
    size: u64,
    file: String,
    #[serde(rename = "read")]
    read_at: Timestamp,
}

impl Journal {
    fn from_staged(
        staged_crates: &StagedCrates<'_>,
        staged_dist_files: &StagedDistFiles<'_>,
        now: Timestamp,
    ) -> Journal {
        let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let line = |line: &IndexLine, read| JournalLine { line: line.raw.clone(), read_at: read };
        let crates = staged_crates.accepted.iter().map(|one| JournalCrate {
            size: one.size,
            file: name(&one.file),
            line: line(&one.line, one.read_at),
        });
        let artifacts = staged_dist_files.accepted.iter().map(|one| JournalDistFile {
            path: one.path.clone(),
            sha256: one.sha256,
            size: one.size,
            file: name(&one.file),
            read_at: one.read_at,
        });
        Journal {
            stored_at: now,
            crates: crates.collect(),
            index_updates: staged_crates.updates.iter().map(|one| line(&one.line, one.read_at)).collect(),
            dist_files: artifacts.collect(),
        }
    }

    fn into_batch(self, layout: &Layout) -> Batch {
        let folder = layout.live_partial();
        let arrival = |JournalCrate { size, file, line }: JournalCrate| {
            let read = line.read_at;
            let line = IndexLine::parse(&line.line).ok()?;
            Some(FetchedCrate {
                id: line.id.clone(),
                sha256: line.cksum,
                size,
                file: folder.join(file),
                line,
                read_at: read,
            })
        };
        let artifact = |JournalDistFile { path, sha256, size, file, read_at: read }: JournalDistFile| FetchedDistFile {
            path,
            sha256,
            size,
            file: folder.join(file),
            read_at: read,
        };
        let renewal = |JournalLine { line, read_at: read }: JournalLine| {
            Some(IndexUpdate { line: IndexLine::parse(&line).ok()?, read_at: read })
        };
        Batch {
            crates: self.crates.into_iter().filter_map(arrival).collect(),
            index_updates: self.index_updates.into_iter().filter_map(renewal).collect(),
            dist_files: self.dist_files.into_iter().map(artifact).collect(),
            now: self.stored_at,
        }
    }
}

fn store_batch(layout: &Layout, batch: &Batch, is_recovery: bool, sink: &dyn Sink) -> Result<StoreOutcome, Error> {
    for folder in [layout.live(), layout.live_partial()] {
        durable::make_folder(&folder).map_err(failed("make the folder", &folder))?;
    }
    let mut staging = Staging::begin(layout)?;
    let mut staged_crates = crates::stage_crates(layout, &mut staging, batch, sink)?;
    let staged_dist_files = dist_files::stage_dist_files(layout, &mut staging, batch, sink)?;
    let mut outcome = StoreOutcome {
        crates: staged_crates.crates.len() as u64,
        already_stored: staged_crates.already_stored,
        dist_files: staged_dist_files.added.0,
        bytes: staged_crates.delta.bytes + staged_dist_files.added.1,
        updated_lines: staged_crates.updates.len() as u64,
        changed_names: std::mem::take(&mut staged_crates.changed_names),
        skipped: staged_dist_files.skipped.clone(),
        rejected: std::mem::take(&mut staged_crates.rejected)
            .into_iter()
            .chain(staged_dist_files.rejected.iter().cloned())
            .collect(),
        counts: Counts::default(),
    };
    let nothing = staged_crates.accepted.is_empty()
        && staged_crates.index_meta.is_empty()
        && staged_dist_files.accepted.is_empty();
    if nothing && !is_recovery {
        outcome.counts = ledger::read_summary(layout)?.map(|head| head.counts).unwrap_or_default();
        remove_downloads(batch);
        return Ok(outcome);
    }
    ensure_lineage_id(layout)?;
    let change = BatchPlan::prepare(layout, &mut staging, staged_crates, staged_dist_files, batch, is_recovery)?;
    staging.sync()?;
    checkpoint("live:staged");
    if !is_recovery {
        let path = layout.live_journal();
        fs::rename(staging.path(change.journal), &path).map_err(failed("write", &path))?;
        sync_live(layout)?;
    }
    checkpoint("live:logged");
    let mut transaction = Transaction::new(&staging);
    let records_before = RecordsBefore::capture(layout);
    let done = change.apply(layout, &mut transaction, &staging).and_then(|counts| {
        staging.sync()?;
        Ok(counts)
    });
    match done {
        Ok(counts) => outcome.counts = counts,
        Err(source) => {
            let undone = transaction.rollback().and(records_before.rollback());
            return Err(match undone {
                // The next process counts anew, and repeats the rest of an earlier batch.
                Ok(()) if is_recovery => Error::Store(source),
                Ok(()) => {
                    remove_if_present(&layout.live_journal())?;
                    Error::Store(source)
                }
                Err(left) => Error::RollbackFailed { left, source },
            });
        }
    }
    // While the journal exists, because no process checks the link of a finished batch.
    if index_link::link_state(layout) != LinkState::Good {
        restore_link(layout, sink);
    }
    remove_if_present(&layout.live_journal())?;
    sync_live(layout)?;
    checkpoint("live:done");
    // The files of a killed import are included in the counts now.
    staging.interrupted = false;
    drop(staging);
    remove_downloads(batch);
    Ok(outcome)
}

/// Everything that a batch changes, staged.
struct BatchPlan {
    steps: Vec<Step>,
    journal: StagedFile,
    records: Vec<LiveRecord>,
    totals: LiveTotals,
    summary: MirrorSummary,
    /// The counts afterwards; `None` if the files must be counted on disk.
    counts: Option<Counts>,
    /// Allocated files for content that is only known late: the totals and the summary.
    allocated_files: [StagedFile; 2],
}

struct Step {
    checkpoints: [&'static str; 2],
    root: PathBuf,
    removals: Vec<Removal>,
    renames: Vec<Rename>,
}

impl BatchPlan {
    fn prepare(
        layout: &Layout,
        staging: &mut Staging,
        arrived: StagedCrates<'_>,
        shelved: StagedDistFiles<'_>,
        batch: &Batch,
        is_recovery: bool,
    ) -> Result<BatchPlan, Error> {
        let log = Journal::from_staged(&arrived, &shelved, batch.now);
        let log = staging.write(&serde_json::to_vec(&log).expect("plain fields are JSON"))?;
        let new = new_records(layout, &arrived, &shelved, batch.now);
        // Only files that are or were stored may have a record already.
        let known = |one: &&FetchedDistFile| shelved.before.0.contains_key(&one.path);
        let was_known = arrived.already_stored > 0 || arrived.needs_recount || shelved.accepted.iter().any(known);
        let (records, figures) = match is_recovery || was_known {
            true => merge_new(records::read_records(layout)?, new),
            false => {
                let (before, more) = (records::read_totals(layout)?, records::sum_totals(&new));
                let figures = LiveTotals {
                    crates: before.crates + more.crates,
                    dist_files: before.dist_files + more.dist_files,
                    bytes: before.bytes.saturating_add(more.bytes),
                };
                (new, figures)
            }
        };
        let file = MirrorSummary::read(layout)?;
        let recount = is_recovery || staging.interrupted || arrived.needs_recount || file.is_none();
        let head = match (file, staging.interrupted) {
            (Some(head), false) => head,
            (file, _) => ledger::derive_summary(layout)?.or(file).unwrap_or_default(),
        };
        let (mut counts, mut head) = (head.counts.with_delta(&arrived.delta), head);
        if !batch.dist_files.is_empty() {
            (counts.dist_files, counts.dist_file_bytes) = shelved.after.count_and_bytes();
            head.toolchains = shelved.after.toolchain_names();
        } else if recount {
            head.toolchains = DistFiles::read(layout)?.unwrap_or_default().toolchain_names();
        }
        let mut steps = Vec::new();
        let mut step = |names, root, moves: Vec<Rename>, removals: Vec<Removal>| {
            if !(moves.is_empty() && removals.is_empty()) {
                steps.push(Step { checkpoints: names, root, renames: moves, removals });
            }
        };
        let root = layout.root().to_owned();
        step(["live:crates-half", "live:crates"], layout.crates(), arrived.crates, Vec::new());
        step(["live:components-half", "live:components"], root.clone(), shelved.components, Vec::new());
        step(["live:channels-half", "live:channels"], root, shelved.channels, shelved.removals);
        if shelved.after != shelved.before {
            let replaces = layout.dist_files().symlink_metadata().is_ok();
            let staged = staging.write(&shelved.after.render())?;
            let moved = Rename { staged, path: "artifacts.json".into(), replaces };
            step(["live:artifacts-half", "live:artifacts"], layout.private(), vec![moved], Vec::new());
        }
        step(["live:lines-half", "live:lines"], layout.index_meta(), arrived.index_meta, Vec::new());
        step(["live:index-half", "live:index"], layout.index(), arrived.index, Vec::new());
        let late = [staging.allocate(), staging.allocate()];
        Ok(BatchPlan {
            steps,
            journal: log,
            records,
            totals: figures,
            summary: head,
            counts: (!recount).then_some(counts),
            allocated_files: late,
        })
    }

    /// Renames everything into the mirror, and writes the records and the summary. Returns the new counts.
    fn apply(
        self,
        layout: &Layout,
        transaction: &mut Transaction<'_>,
        staging: &Staging,
    ) -> Result<Counts, transaction::Error> {
        for Step { checkpoints: [midway, name], root, removals, renames: moves } in &self.steps {
            transaction.remove(root, removals)?;
            transaction.rename(root, moves, midway)?;
            checkpoint(name);
        }
        if !self.records.is_empty() {
            records::append(&layout.live_records(), &self.records)?;
        }
        checkpoint("live:records");
        let counts = match self.counts {
            Some(counts) => counts,
            None => Counts::count_tree(layout)?,
        };
        let [numbers, head] = self.allocated_files;
        staging.write_allocated(numbers, &records::render_totals(self.totals))?;
        staging.write_allocated(head, &self.summary.with_counts(counts).render())?;
        let replaces = |path: &Path| path.symlink_metadata().is_ok();
        let numbers = Rename {
            staged: numbers,
            path: ".frostmirror/live/counts".into(),
            replaces: replaces(&layout.live_counts()),
        };
        let head = Rename { staged: head, path: "manifest.json".into(), replaces: replaces(&layout.summary()) };
        transaction.rename(layout.root(), &[numbers, head], "live:head-half")?;
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
    fn capture(layout: &Layout) -> RecordsBefore {
        let path = layout.live_records();
        let length = fs::metadata(&path).ok().map(|about| about.len());
        RecordsBefore { path, length }
    }

    fn rollback(&self) -> Result<(), transaction::Error> {
        let now = fs::metadata(&self.path).ok().map(|about| about.len());
        match self.length {
            Some(length) if now.is_some_and(|now| now > length) => records::truncate(&self.path, length),
            None if now.is_some() => fs::remove_file(&self.path).map_err(failed("take back", &self.path)),
            _ => Ok(()),
        }
    }
}

/// The records of accepted items, with the crates' descriptions.
fn new_records(
    layout: &Layout,
    staged_crates: &StagedCrates<'_>,
    staged_dist_files: &StagedDistFiles<'_>,
    now: Timestamp,
) -> Vec<LiveRecord> {
    let file = |one: &FetchedCrate| match one.file.is_file() {
        true => one.file.clone(),
        false => layout.crate_file(&one.id),
    };
    let files: Vec<(CrateId, PathBuf)> = staged_crates.accepted.iter().map(|one| (one.id.clone(), file(one))).collect();
    let crates = staged_crates.accepted.iter().zip(read_all_metadata(&files)).map(|(one, about)| {
        let PackageMetadata { description, license, repository } = about.unwrap_or_default();
        let what = ItemId::Crate(one.id.clone());
        let (sha256, size, read) = (one.sha256, one.size, one.read_at);
        LiveRecord { item: what, sha256, size, stored_at: now, read_at: read, description, license, repository }
    });
    let artifacts = staged_dist_files.accepted.iter().map(|one| {
        let what = ItemId::DistFile(one.path.clone());
        let (sha256, size, read) = (one.sha256, one.size, one.read_at);
        LiveRecord {
            item: what,
            sha256,
            size,
            stored_at: now,
            read_at: read,
            description: None,
            license: None,
            repository: None,
        }
    });
    crates.chain(artifacts).collect()
}

/// The records of `new` that are not in `known`, and the totals of all.
fn merge_new(known: Vec<LiveRecord>, mut new: Vec<LiveRecord>) -> (Vec<LiveRecord>, LiveTotals) {
    let mut all: HashMap<ItemId, LiveRecord> = known.into_iter().map(|record| (record.item.clone(), record)).collect();
    new.retain(|record| all.get(&record.item).is_none_or(|known| known.sha256 != record.sha256));
    all.extend(new.iter().map(|record| (record.item.clone(), record.clone())));
    let figures = records::sum_totals(all.values());
    (new, figures)
}

/// Creates the id of live mode's lineage, if there is none.
fn ensure_lineage_id(layout: &Layout) -> Result<(), Error> {
    let path = layout.live_lineage_id();
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    // A lost id can be derived from the records, and stays the same.
    let id = match records::lineage_id(layout)? {
        Some(id) => id,
        None => {
            let mut bytes = [0u8; 16];
            getrandom::fill(&mut bytes).map_err(Error::Random)?;
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        }
    };
    Ok(durable::write_via(&layout.staging(), &path, id.as_bytes()).map_err(failed("write", &path))?)
}

fn sync_live(layout: &Layout) -> Result<(), transaction::Error> {
    durable::sync_folder(&layout.live()).map_err(failed("sync", &layout.live()))
}

fn remove_if_present(path: &Path) -> Result<(), transaction::Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Removes the downloaded files. The next start removes those that remain.
fn remove_downloads(batch: &Batch) {
    let files = batch.crates.iter().map(|one| &one.file).chain(batch.dist_files.iter().map(|one| &one.file));
    for file in files {
        let _swept_later = remove_if_present(file).is_err();
    }
}
