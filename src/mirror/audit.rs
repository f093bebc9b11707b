//! The audit of a mirror on disk: every file against what is on record of it, and every record against the files.
//!
//! | what | against what |
//! |---|---|
//! | a crate's file | the digest on record, which is the `cksum` that upstream's index line states |
//! | an index line | its record (its own digest), its place, and the crate that it names |
//! | a line's record | an index line |
//! | `manifest.json` | the numbers on disk, the ledger |
//! | live mode's records | the index, the rustup artifacts, their own numbers |
//! | a record of the ledger | its name; the newest of each lineage: the index |
//! | any other file where clients look | nothing names it |
//!
//! It reads under no lock, as a server does, so that a large mirror can be audited while it is fed. What looks wrong may
//! then only have been on its way: [`AddGuard::audit_again`] looks once more with the lock held, and hashes only what was
//! not found good before.
//!
//! All problems are returned and nothing is decided. Which digest is right, where two differ: the one on record while the
//! line fits its record or has been altered, the ledger's where a line has no record, else the line's own.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use super::dist_files::DistFiles;
use super::gc;
use super::index_link::{self, LinkState};
use super::layout::{self, Layout};
use super::lock::AddGuard;
use super::summary::Counts;
use super::transaction::{self, has_unfinished_work, was_interrupted};
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::event::{Event, Phase, Sink};
use crate::safe_path::SafePath;

mod dist_files;
mod crate_file;
mod metadata;
mod listing;
mod index_entry;
mod problem;

pub use problem::{Fault, Problem, Repair};

pub(super) use crate_file::CrateFileState;
pub(super) use index_entry::{IndexState, RecordMatch};
use listing::Listing;
pub(super) use metadata::Metadata;

/// What an audit found.
#[derive(Debug)]
pub struct Audit {
    /// `.crate` files that are as they must be, and that an index line names.
    pub crates: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Toolchain files that are as they must be.
    pub dist_files: u64,
    /// Everything that is wrong, by path.
    pub problems: Vec<Problem>,
    /// What must be fetched again, by name and version.
    pub repairs: Vec<Repair>,
    /// Rustup artifacts that must be fetched again, with the digests on record.
    pub dist_file_repairs: Vec<(SafePath, Sha256)>,
    crate_files: CrateFileStates,
}

/// How each crate's file is, by the place of its name. What was good need not be hashed twice in one audit.
type CrateFileStates = BTreeMap<String, Vec<(CrateId, CrateFileState)>>;

/// A mirror that cannot be audited.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is there, or nothing that looks like a mirror.
    #[error("no mirror is at `{}`", root.display())]
    NoMirror {
        /// Where it was looked for.
        root: PathBuf,
    },
    /// It was broken off; what was seen until then says nothing of the whole.
    #[error("the check was stopped before its end")]
    Stopped,
    /// It is of another layout.
    #[error(transparent)]
    Layout(#[from] layout::Error),
    /// The file system refused.
    #[error(transparent)]
    Store(#[from] transaction::Error),
}

/// Audits a mirror under no lock. What it finds wrong may be work in progress: [`AddGuard::audit_again`] knows.
///
/// # Errors
/// There is no mirror; a folder cannot be listed. A file that cannot be read is a problem, not an error.
pub fn audit(layout: &Layout, sink: &dyn Sink) -> Result<Audit, Error> {
    require_mirror(layout)?;
    require_complete(Pass::run(layout, &CrateFileStates::new(), sink)?, sink).map(Pass::into_audit)
}

/// Refuses a pass that was stopped: it did not look at everything.
fn require_complete(pass: Pass, sink: &dyn Sink) -> Result<Pass, Error> {
    if sink.is_cancelled() { Err(Error::Stopped) } else { Ok(pass) }
}

/// Refuses a path where no mirror is.
///
/// # Errors
/// [`Error::NoMirror`], a mirror of a newer layout, or one that may not be looked into.
pub fn require_mirror(layout: &Layout) -> Result<(), Error> {
    let marks = [layout.private(), layout.summary(), layout.crates(), layout.index()];
    for mark in marks {
        match fs::metadata(&mark) {
            Ok(_) => return Ok(layout.check_format()?),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            // What may not be looked into may well be a mirror.
            Err(source) => return Err(transaction::failed("read", &mark)(source).into()),
        }
    }
    Err(Error::NoMirror { root: layout.root().to_owned() })
}

impl AddGuard {
    /// Looks again, while nobody else can change the mirror, at what `first` found wrong.
    ///
    /// # Errors
    /// As for [`audit()`].
    pub fn audit_again(&self, first: &Audit, sink: &dyn Sink) -> Result<Audit, Error> {
        let mut pass = require_complete(Pass::run(&self.layout, &first.crate_files, sink)?, sink)?;
        if index_link::link_state(&self.layout) == LinkState::Missing && !index_link::is_supported(&self.layout) {
            pass.problems.retain(|problem| !matches!(problem.fault, Fault::Link { .. }));
        }
        Ok(pass.into_audit())
    }
}

/// One look at the whole mirror.
pub(super) struct Pass {
    /// What each index file, its records and its crates say.
    pub(super) index_states: Vec<IndexState>,
    /// Head and ledger.
    pub(super) metadata: Metadata,
    /// What is on disk.
    pub(super) counts: Counts,
    problems: Vec<Problem>,
    repairs: BTreeMap<CrateId, Sha256>,
    dist_files: dist_files::DistFileResults,
}

impl Pass {
    /// Looks at everything; files that were good `before` are not hashed again. Where `sink` says that it is to stop, it does
    /// so between two files, and what it then says is of no use.
    pub(super) fn run(layout: &Layout, before: &CrateFileStates, sink: &dyn Sink) -> Result<Pass, transaction::Error> {
        let (listing, metadata) = std::thread::scope(|scope| {
            let reading = scope.spawn(|| Metadata::read(layout));
            let listing = Listing::read(layout);
            (listing, reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let (mut listing, metadata) = (listing?, metadata?);
        let artifacts_there = listing.dist_files.len() as u64;
        let versions = listing.crates.values().map(|ids| ids.len() as u64).sum();
        let places = listing.index_paths();
        let bytes = metadata.summary.as_ref().map_or(0, |head| head.counts.bytes + head.counts.dist_file_bytes);
        let items = versions + places.len() as u64 + artifacts_there;
        sink.event(Event::Begin { phase: Phase::Verifying, items, bytes });
        let (waiting, interrupted) = (gc::pending_file_names(layout), has_unfinished_work(layout));
        let known = AuditContext {
            layout,
            listing: &listing,
            metadata: &metadata,
            before,
            pending_deletions: waiting,
            interrupted,
        };
        let names = index_entry::check_all(&places, &known, sink);
        let artifacts = dist_files::check_all(layout, &metadata, &listing, sink);
        sink.event(Event::End { phase: Phase::Verifying });
        let lengths = names.iter().flat_map(|name| &name.crate_files).map(|(_, blob)| blob.length());
        let crates = listing.index.len() as u64;
        let (recorded, artifact_bytes) =
            metadata.dist_files.as_ref().map(DistFiles::count_and_bytes).unwrap_or_default();
        let counts =
            Counts { crates, versions, bytes: lengths.sum(), dist_files: recorded, dist_file_bytes: artifact_bytes };
        let problems = std::mem::take(&mut listing.problems);
        let mut pass =
            Pass { index_states: names, metadata, counts, problems, repairs: BTreeMap::new(), dist_files: artifacts };
        pass.problems.append(&mut pass.dist_files.problems);
        for state in &mut pass.index_states {
            pass.problems.append(&mut state.problems);
            pass.repairs.extend(state.repairs.drain(..));
        }
        pass.check_metadata(layout);
        Ok(pass)
    }

    fn check_metadata(&mut self, layout: &Layout) {
        if was_interrupted(layout) {
            self.problems.push(Problem::new(".frostmirror/staging/placing", Fault::Interrupted));
        }
        if layout.live_journal().exists() {
            self.problems.push(Problem::new(".frostmirror/live/placing", Fault::LiveInterrupted));
        }
        let (mut problems, mut repairs) = self.metadata.check_live();
        self.problems.append(&mut problems);
        self.dist_files.repairs.append(&mut repairs);
        let bare = self.counts == Counts::default() && self.metadata.is_empty();
        if !bare {
            self.problems.append(&mut self.metadata.check(&self.counts));
            match index_link::link_state(layout) {
                LinkState::Good => {}
                state => self.problems.push(Problem::new("crates/index", Fault::Link { state: state.to_string() })),
            }
        }
        // Hardly ever is one lost: a count tells that, without a set of all crates.
        if self.metadata.current_crates().count()
            == self.index_states.iter().map(|name| name.current_count).sum::<usize>()
        {
            return;
        }
        let expected: HashSet<&CrateId> =
            self.index_states.iter().flat_map(IndexState::expected_lines).map(|line| &line.id).collect();
        for (id, named) in self.metadata.current_crates().filter(|(id, _)| !expected.contains(id)) {
            let fault = Fault::NotInIndex { id: id.clone(), record: named.record.to_string() };
            self.problems.push(Problem::new(format!("index/{}", id.name.index_path()), fault));
            self.repairs.insert(id.clone(), named.sha256);
        }
    }

    /// What is told of this pass.
    pub(super) fn into_audit(self) -> Audit {
        let Pass { index_states: names, mut problems, repairs, dist_files: artifacts, .. } = self;
        problems.sort();
        problems.dedup();
        let blobs: CrateFileStates = names.into_iter().map(|name| (name.path, name.crate_files)).collect();
        let lengths = blobs.values().flatten().filter_map(|(_, blob)| match blob {
            CrateFileState::Valid { length, .. } => Some(*length),
            _ => None,
        });
        let (crates, bytes) = lengths.fold((0, 0), |(crates, bytes), length| (crates + 1, bytes + length));
        Audit {
            crates,
            bytes,
            dist_files: artifacts.valid,
            problems,
            repairs: repairs.into_iter().map(|(id, sha256)| Repair { id, sha256 }).collect(),
            dist_file_repairs: artifacts.repairs,
            crate_files: blobs,
        }
    }
}

/// What is known before any crate's file is read.
struct AuditContext<'a> {
    layout: &'a Layout,
    listing: &'a Listing,
    metadata: &'a Metadata,
    /// What an earlier look found.
    before: &'a CrateFileStates,
    /// Names of crates' files that a collection has put down for removal.
    pending_deletions: BTreeSet<String>,
    /// An import or a collection was killed, and nothing was completed since.
    interrupted: bool,
}

impl AuditContext<'_> {
    /// The name of a crate by the place of its index file: as a file or a record spells it, else in lower case.
    fn crate_name_at(&self, path: &str) -> Option<CrateName> {
        let file = self.listing.crates.get(path).and_then(|ids| ids.first()).map(|id| &id.name);
        let known = file.or_else(|| self.metadata.crate_name_at(path));
        known.cloned().or_else(|| path.rsplit('/').next()?.parse().ok())
    }
}

/// Threads that read and hash: two at least, so that one waits for the disk while the other hashes.
fn thread_count() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16)
}

/// Does `work` for each item on several threads, each with a buffer of its own; results in the items' order.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T, &mut [u8]) -> R + Sync) -> Vec<R> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let next = AtomicUsize::new(0);
    let run = || {
        let mut buffer = vec![0; crate::digest::BUFFER_SIZE];
        let mut done = Vec::new();
        while let Some((at, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, items.get(at)?)))
        {
            done.push((at, work(item, &mut buffer)));
        }
        done
    };
    let mut all: Vec<(usize, R)> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..thread_count().min(items.len())).map(|_| scope.spawn(run)).collect();
        running
            .into_iter()
            .flat_map(|thread| match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}
