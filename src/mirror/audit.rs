//! Audit of a mirror on disk. It checks every file against its record, and every record against the files.
//!
//! | checked | against |
//! |---|---|
//! | a crate file | the recorded digest, which is the `cksum` of upstream's index line |
//! | an index line | its record (the line's digest), its path, the crate that it names, and the Cargo.toml in that crate |
//! | the record of a line | an index line |
//! | `manifest.json` | the counts on disk, the ledger |
//! | live mode's records | the index, the dist files, their own totals |
//! | a record of the ledger | its file name |
//! | everything that the newest bundles of a lineage name, and that the mirror had | the index, the record of dist files |
//! | any other file where clients look | must not exist: no record names it |
//!
//! The audit takes no lock, like a server, so that a large mirror can be audited during imports. A problem may
//! therefore be an import in progress. [`WriteGuard::audit_again`] checks again under the lock, and hashes only files
//! that were not valid before.
//!
//! The audit returns all problems and decides nothing. If two digests of a crate differ, it trusts the import record.
//! Without one, it trusts the record of the line, and otherwise the line's own. A line of a crate that no record names is
//! a problem too. If records are lost, one of them may have named it.

use std::path::PathBuf;

use super::dist_files::DistFiles;
use super::guard::WriteGuard;
use super::index_link::{self, LinkState};
use super::item::ItemId;
use super::layout::{self, Layout};
use super::lost_items::{LostItem, find_missing_items};
use super::pending_deletions;
use super::summary::Counts;
use super::transaction::{self, counts_are_stale, has_unfinished_work};
use crate::crate_id::CrateId;
use crate::event::{Event, Phase, Sink};
use crate::safe_path::SafePath;

mod context;
mod dist_files;
mod file_state;
mod metadata;
mod listing;
mod index_entry;
mod problem;

pub use problem::{Fault, Problem, Repairs, render_repair_list};

use context::AuditContext;
pub(super) use file_state::FileState;
use file_state::FileStates;
pub(super) use index_entry::{IndexState, LineState, RecordMatch};
use listing::Listing;
pub(super) use metadata::Metadata;

/// The result of an audit.
#[derive(Debug)]
pub struct Audit {
    /// Valid `.crate` files that an index line names.
    pub crates: u64,
    /// Total size of these files in bytes.
    pub bytes: u64,
    /// Valid dist files.
    pub dist_files: u64,
    /// All problems, by path.
    pub problems: Vec<Problem>,
    /// Files that must be fetched again, with upstream's digest as recorded. There are none while a transaction is
    /// unfinished, because its completion may store or retire what seems to be missing.
    pub repairs: Repairs,
    /// Items that the newest bundle of a lineage names for other inputs, and that no imported bundle of the lineage had.
    /// They are no problem: a mirror need not get every bundle of a history.
    pub never_imported: Vec<ItemId>,
    pub(super) files: FileStates,
}

/// The mirror cannot be audited.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder does not exist or does not look like a mirror.
    #[error("no mirror is at `{}`", root.display())]
    NoMirror {
        /// The folder that was searched.
        root: PathBuf,
    },
    /// The audit was stopped. The partial result says nothing about the whole mirror.
    #[error("the check was stopped before it was complete")]
    Stopped,
    /// The mirror has another layout version.
    #[error(transparent)]
    Layout(#[from] layout::Error),
    /// A file system operation failed.
    #[error(transparent)]
    Store(#[from] transaction::Error),
}

/// Audits a mirror without a lock. A problem may be work in progress; [`WriteGuard::audit_again`] checks it.
///
/// # Errors
/// The mirror does not exist, or a folder cannot be listed. An unreadable file is a problem, not an error.
pub fn audit(layout: &Layout, sink: &dyn Sink) -> Result<Audit, Error> {
    require_mirror(layout)?;
    require_complete(Pass::run(layout, &FileStates::new(), sink)?, sink).map(Pass::into_audit)
}

/// Returns an error for a stopped pass, because it did not check everything.
fn require_complete(pass: Pass, sink: &dyn Sink) -> Result<Pass, Error> {
    if sink.is_cancelled() { Err(Error::Stopped) } else { Ok(pass) }
}

/// Returns an error if the path has no mirror.
///
/// # Errors
/// [`Error::NoMirror`], a mirror with a newer layout, or an unreadable folder.
pub fn require_mirror(layout: &Layout) -> Result<(), Error> {
    match layout.is_mirror() {
        Ok(true) => Ok(layout.check_format()?),
        Ok(false) => Err(Error::NoMirror { root: layout.root().to_owned() }),
        Err(source) => Err(transaction::failed("read", layout.root())(source).into()),
    }
}

impl WriteGuard {
    /// Checks the problems of `first` again, while no other process can change the mirror.
    ///
    /// # Errors
    /// See [`audit()`].
    pub fn audit_again(&self, first: &Audit, sink: &dyn Sink) -> Result<Audit, Error> {
        let mut pass = require_complete(Pass::run(&self.layout, &first.files, sink)?, sink)?;
        if index_link::link_state(&self.layout) == LinkState::Missing && !index_link::is_supported(self) {
            pass.problems.retain(|problem| !matches!(problem.fault, Fault::Link { .. }));
        }
        Ok(pass.into_audit())
    }
}

/// One pass over the whole mirror.
pub(super) struct Pass {
    /// The state of each index file, its records and its crates.
    pub(super) index_states: Vec<IndexState>,
    /// The summary and the ledger.
    pub(super) metadata: Metadata,
    /// Counts of the files on disk, without unrecognized crates.
    pub(super) counts: Counts,
    problems: Vec<Problem>,
    repairs: Repairs,
    never_imported: Vec<ItemId>,
    dist_files: dist_files::DistFileResults,
}

impl Pass {
    /// Checks everything. Files that were valid in `before` are not hashed again. If `sink` requests a stop, the pass
    /// ends between two files and its result is useless.
    pub(super) fn run(layout: &Layout, before: &FileStates, sink: &dyn Sink) -> Result<Pass, transaction::Error> {
        let (listing, metadata) = std::thread::scope(|scope| {
            let reading = scope.spawn(|| Metadata::read(layout));
            let listing = Listing::read(layout);
            (listing, reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let (mut listing, metadata) = (listing?, metadata?);
        let crate_files: u64 = listing.crates.values().map(|ids| ids.len() as u64).sum();
        let bytes = metadata.summary.as_ref().map_or(0, |head| head.counts.bytes + head.counts.dist_file_bytes);
        let items = crate_files + listing.index_paths.len() as u64 + listing.dist_files.len() as u64;
        sink.event(Event::Begin { phase: Phase::Verifying, items, bytes });
        let (waiting, interrupted) = (pending_deletions::pending_file_names(layout), has_unfinished_work(layout));
        let is_complete = metadata.is_complete() && !interrupted;
        let known = AuditContext {
            is_complete,
            layout,
            listing: &listing,
            metadata: &metadata,
            before,
            pending_deletions: waiting,
            interrupted,
        };
        let names = index_entry::check_all(&known, sink);
        let dist_files = dist_files::check_all(&known, sink);
        sink.event(Event::End { phase: Phase::Verifying });
        let is_stored = |(item, file): &&(ItemId, FileState)| {
            !matches!(file, FileState::Unlisted { .. }) || known.pending_deletions.contains(&item.key())
        };
        let stored = names.iter().flat_map(|name| &name.crate_files).filter(is_stored);
        let (versions, lengths) = stored.fold((0, 0), |(count, bytes), (_, file)| (count + 1, bytes + file.length()));
        let crates = listing.index.len() as u64;
        let (recorded, artifact_bytes) =
            metadata.dist_files.as_ref().map(DistFiles::count_and_bytes).unwrap_or_default();
        let counts = Counts { crates, versions, bytes: lengths, dist_files: recorded, dist_file_bytes: artifact_bytes };
        let problems = std::mem::take(&mut listing.problems);
        let (repairs, never_imported) = (Repairs::new(), Vec::new());
        let mut pass = Pass { index_states: names, metadata, counts, problems, repairs, never_imported, dist_files };
        pass.problems.append(&mut pass.dist_files.problems);
        pass.repairs.append(&mut pass.dist_files.repairs);
        for state in &mut pass.index_states {
            pass.problems.append(&mut state.problems);
            pass.repairs.extend(state.repairs.drain(..));
        }
        pass.check_metadata(layout);
        pass.check_needed_items(layout)?;
        Ok(pass)
    }

    fn check_metadata(&mut self, layout: &Layout) {
        if counts_are_stale(layout) {
            self.problems.push(Problem::new(".frostmirror/staging/recount", Fault::Interrupted));
        }
        if layout.journal().exists() {
            self.problems.push(Problem::new(".frostmirror/journal", Fault::Unfinished));
        }
        let (mut problems, repairs) = self.metadata.check_live();
        self.problems.append(&mut problems);
        self.repairs.extend(repairs);
        let has_files = layout.find_stored_files().is_ok_and(|found| found.is_some());
        let bare = self.counts == Counts::default() && self.metadata.is_empty() && !has_files;
        if !bare {
            self.problems.append(&mut self.metadata.check(&self.counts));
            match index_link::link_state(layout) {
                LinkState::Good => {}
                state => self.problems.push(Problem::new("crates/index", Fault::Link { state: state.to_string() })),
            }
        }
    }

    /// Checks that everything that a lineage needs is in the index or in the record of dist files. Other checks compare the
    /// files with these.
    fn check_needed_items(&mut self, layout: &Layout) -> Result<(), transaction::Error> {
        let Pass { index_states, metadata, .. } = self;
        let is_listed = |id: &CrateId| {
            let path = id.name.index_path();
            let at = index_states.binary_search_by(|state| state.path.as_str().cmp(&path)).ok();
            let state = at.and_then(|at| index_states.get(at));
            state.is_some_and(|state| state.expected_lines().any(|line| line.id == *id))
        };
        let recorded = metadata.dist_files.as_ref();
        let is_recorded = |path: &SafePath| recorded.is_none_or(|files| files.0.contains_key(path));
        let crates = metadata.never_imported_crates().filter(|id| !is_listed(id)).cloned().map(ItemId::Crate);
        let dist_files = metadata.never_imported_dist_files().filter(|path| !is_recorded(path)).cloned();
        let mut never_imported: Vec<ItemId> = crates.chain(dist_files.map(ItemId::DistFile)).collect();
        never_imported.sort_unstable();
        // A lost item is rare. A count detects a lost crate without a look at each record.
        let current_count: usize = index_states.iter().map(|state| state.current_count).sum();
        let (problems, repairs) = (&mut self.problems, &mut self.repairs);
        if metadata.current_crate_count() != current_count || !metadata.needed_dist_files.iter().all(is_recorded) {
            let needed = metadata.needed_records.iter().map(String::as_str);
            let missing = find_missing_items(layout, needed, &|id| Ok(is_listed(id)), recorded)?;
            never_imported = missing.never_imported;
            for LostItem { item, sha256, needed_by } in missing.lost {
                problems.push(match &item {
                    ItemId::Crate(id) => {
                        let path = format!("index/{}", id.name.index_path());
                        Problem::new(path, Fault::NotInIndex { id: id.clone(), needed_by })
                    }
                    ItemId::DistFile(path) => Problem::new(path.as_str(), Fault::LostDistFile { needed_by }),
                });
                repairs.insert(item, sha256);
            }
        }
        self.never_imported = never_imported;
        Ok(())
    }

    /// The public result of this pass.
    pub(super) fn into_audit(self) -> Audit {
        let Pass { index_states, mut problems, mut repairs, never_imported, dist_files, .. } = self;
        if problems.iter().any(|problem| matches!(problem.fault, Fault::Unfinished)) {
            repairs.clear();
        }
        problems.sort();
        problems.dedup();
        let crates = index_states.into_iter().map(|state| (state.path, state.crate_files));
        let dist_files = dist_files.states.into_iter().map(|one| (one.0.key(), vec![one]));
        let files = crates.chain(dist_files).collect();
        let mut audit = Audit { crates: 0, bytes: 0, dist_files: 0, problems, repairs, never_imported, files };
        for (item, state) in audit.files.values().flatten() {
            match (item, state) {
                (ItemId::Crate(_), FileState::Valid { length, .. }) => {
                    audit.crates += 1;
                    audit.bytes += length;
                }
                (ItemId::DistFile(_), FileState::Valid { .. }) => audit.dist_files += 1,
                _ => {}
            }
        }
        audit
    }
}
