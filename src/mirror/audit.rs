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

use super::artifacts::Artifacts;
use super::gc;
use super::head::Counts;
use super::layout::{self, Layout};
use super::link::{self, LinkState};
use super::lock::AddGuard;
use super::store::{self, is_unfinished, was_torn};
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::event::{Event, Phase, Sink};
use crate::safe_path::SafePath;

mod artifact;
mod blob;
mod books;
mod listing;
mod name;
mod problem;

pub use problem::{Fault, Problem, Repair};

pub(super) use blob::Blob;
pub(super) use books::Books;
use listing::Listing;
pub(super) use name::{NameState, Standing};

/// What an audit found.
#[derive(Debug)]
pub struct Audit {
    /// `.crate` files that are as they must be, and that an index line names.
    pub crates: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Toolchain files that are as they must be.
    pub artifacts: u64,
    /// Everything that is wrong, by path.
    pub problems: Vec<Problem>,
    /// What must be fetched again, by name and version.
    pub repairs: Vec<Repair>,
    /// Rustup artifacts that must be fetched again, with the digests on record.
    pub artifact_repairs: Vec<(SafePath, Sha256)>,
    blobs: Blobs,
}

/// How each crate's file is, by the place of its name. What was good need not be hashed twice in one audit.
type Blobs = BTreeMap<String, Vec<(CrateId, Blob)>>;

/// A mirror that cannot be audited.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is there, or nothing that looks like a mirror.
    #[error("no mirror is at `{}`", root.display())]
    Absent {
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
    Store(#[from] store::Error),
}

/// Audits a mirror under no lock. What it finds wrong may be work in progress: [`AddGuard::audit_again`] knows.
///
/// # Errors
/// There is no mirror; a folder cannot be listed. A file that cannot be read is a problem, not an error.
pub fn audit(layout: &Layout, sink: &dyn Sink) -> Result<Audit, Error> {
    require_mirror(layout)?;
    whole(Pass::run(layout, &Blobs::new(), sink)?, sink).map(Pass::into_audit)
}

/// Refuses a pass that was stopped: it did not look at everything.
fn whole(pass: Pass, sink: &dyn Sink) -> Result<Pass, Error> {
    if sink.stopped() { Err(Error::Stopped) } else { Ok(pass) }
}

/// Refuses a path where no mirror is.
///
/// # Errors
/// [`Error::Absent`], a mirror of a newer layout, or one that may not be looked into.
pub fn require_mirror(layout: &Layout) -> Result<(), Error> {
    let marks = [layout.private(), layout.head(), layout.crates(), layout.index()];
    for mark in marks {
        match fs::metadata(&mark) {
            Ok(_) => return Ok(layout.check_format()?),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            // What may not be looked into may well be a mirror.
            Err(source) => return Err(store::failed("read", &mark)(source).into()),
        }
    }
    Err(Error::Absent { root: layout.root().to_owned() })
}

impl AddGuard {
    /// Looks again, while nobody else can change the mirror, at what `first` found wrong.
    ///
    /// # Errors
    /// As for [`audit()`].
    pub fn audit_again(&self, first: &Audit, sink: &dyn Sink) -> Result<Audit, Error> {
        let mut pass = whole(Pass::run(&self.layout, &first.blobs, sink)?, sink)?;
        if link::link_state(&self.layout) == LinkState::Missing && !link::is_possible(&self.layout) {
            pass.problems.retain(|problem| !matches!(problem.fault, Fault::Link { .. }));
        }
        Ok(pass.into_audit())
    }
}

/// One look at the whole mirror.
pub(super) struct Pass {
    /// What each index file, its records and its crates say.
    pub(super) names: Vec<NameState>,
    /// Head and ledger.
    pub(super) books: Books,
    /// What is on disk.
    pub(super) counts: Counts,
    problems: Vec<Problem>,
    repairs: BTreeMap<CrateId, Sha256>,
    artifacts: artifact::Verdict,
}

impl Pass {
    /// Looks at everything; files that were good `before` are not hashed again. Where `sink` says that it is to stop, it does
    /// so between two files, and what it then says is of no use.
    pub(super) fn run(layout: &Layout, before: &Blobs, sink: &dyn Sink) -> Result<Pass, store::Error> {
        let (listing, books) = std::thread::scope(|scope| {
            let reading = scope.spawn(|| Books::read(layout));
            let listing = Listing::read(layout);
            (listing, reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let (mut listing, books) = (listing?, books?);
        let artifacts_there = listing.artifacts.len() as u64;
        let versions = listing.crates.values().map(|ids| ids.len() as u64).sum();
        let places = listing.places();
        let bytes = books.head.as_ref().map_or(0, |head| head.counts.bytes + head.counts.artifact_bytes);
        let items = versions + places.len() as u64 + artifacts_there;
        sink.event(Event::Begin { phase: Phase::Verifying, items, bytes });
        let (waiting, torn) = (gc::waiting(layout), is_unfinished(layout));
        let known = Known { layout, listing: &listing, books: &books, before, waiting, torn };
        let names = name::read_all(&places, &known, sink);
        let artifacts = artifact::judge_all(layout, &books, &listing, sink);
        sink.event(Event::End { phase: Phase::Verifying });
        let lengths = names.iter().flat_map(|name| &name.blobs).map(|(_, blob)| blob.length());
        let crates = listing.index.len() as u64;
        let (recorded, artifact_bytes) = books.artifacts.as_ref().map(Artifacts::counts).unwrap_or_default();
        let counts = Counts { crates, versions, bytes: lengths.sum(), artifacts: recorded, artifact_bytes };
        let problems = std::mem::take(&mut listing.problems);
        let mut pass = Pass { names, books, counts, problems, repairs: BTreeMap::new(), artifacts };
        pass.problems.append(&mut pass.artifacts.problems);
        for state in &mut pass.names {
            pass.problems.append(&mut state.problems);
            pass.repairs.extend(state.repairs.drain(..));
        }
        pass.judge_books(layout);
        Ok(pass)
    }

    fn judge_books(&mut self, layout: &Layout) {
        if was_torn(layout) {
            self.problems.push(Problem::new(".frostmirror/staging/placing", Fault::Torn));
        }
        if layout.live_placing().exists() {
            self.problems.push(Problem::new(".frostmirror/live/placing", Fault::Placing));
        }
        let (mut problems, mut repairs) = self.books.judge_live();
        self.problems.append(&mut problems);
        self.artifacts.repairs.append(&mut repairs);
        let bare = self.counts == Counts::default() && self.books.is_empty();
        if !bare {
            self.problems.append(&mut self.books.judge(&self.counts));
            match link::link_state(layout) {
                LinkState::Good => {}
                state => self.problems.push(Problem::new("crates/index", Fault::Link { state: state.to_string() })),
            }
        }
        // Hardly ever is one lost: a count tells that, without a set of all crates.
        if self.books.current().count() == self.names.iter().map(|name| name.current).sum::<usize>() {
            return;
        }
        let expected: HashSet<&CrateId> =
            self.names.iter().flat_map(NameState::expected).map(|line| &line.id).collect();
        for (id, named) in self.books.current().filter(|(id, _)| !expected.contains(id)) {
            let fault = Fault::NotInIndex { id: id.clone(), record: named.record.to_string() };
            self.problems.push(Problem::new(format!("index/{}", id.name.index_path()), fault));
            self.repairs.insert(id.clone(), named.sha256);
        }
    }

    /// What is told of this pass.
    pub(super) fn into_audit(self) -> Audit {
        let Pass { names, mut problems, repairs, artifacts, .. } = self;
        problems.sort();
        problems.dedup();
        let blobs: Blobs = names.into_iter().map(|name| (name.place, name.blobs)).collect();
        let lengths = blobs.values().flatten().filter_map(|(_, blob)| match blob {
            Blob::Good { length, .. } => Some(*length),
            _ => None,
        });
        let (crates, bytes) = lengths.fold((0, 0), |(crates, bytes), length| (crates + 1, bytes + length));
        Audit {
            crates,
            bytes,
            artifacts: artifacts.good,
            problems,
            repairs: repairs.into_iter().map(|(id, sha256)| Repair { id, sha256 }).collect(),
            artifact_repairs: artifacts.repairs,
            blobs,
        }
    }
}

/// What is known before any crate's file is read.
struct Known<'a> {
    layout: &'a Layout,
    listing: &'a Listing,
    books: &'a Books,
    /// What an earlier look found.
    before: &'a Blobs,
    /// Names of crates' files that a collection has put down for removal.
    waiting: BTreeSet<String>,
    /// An import or a collection was killed, and nothing was completed since.
    torn: bool,
}

impl Known<'_> {
    /// The name of a crate by the place of its index file: as a file or a record spells it, else in lower case.
    fn spelled(&self, place: &str) -> Option<CrateName> {
        let file = self.listing.crates.get(place).and_then(|ids| ids.first()).map(|id| &id.name);
        let known = file.or_else(|| self.books.spelled(place));
        known.cloned().or_else(|| place.rsplit('/').next()?.parse().ok())
    }
}

/// Threads that read and hash: two at least, so that one waits for the disk while the other hashes.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16)
}

/// Does `work` for each item on several threads, each with a buffer of its own; results in the items' order.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T, &mut [u8]) -> R + Sync) -> Vec<R> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let next = AtomicUsize::new(0);
    let run = || {
        let mut buffer = vec![0; crate::digest::BUFFER];
        let mut done = Vec::new();
        while let Some((at, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, items.get(at)?)))
        {
            done.push((at, work(item, &mut buffer)));
        }
        done
    };
    let mut all: Vec<(usize, R)> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads().min(items.len())).map(|_| scope.spawn(run)).collect();
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
