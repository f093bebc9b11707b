//! Garbage collection: plans, shows and removes files that no lineage needs.
//!
//! **Current** files are those that the newest bundle of each lineage names. It does not matter whether the bundle
//! shipped the file, relied on it, kept it for another input, or excluded it. Files of live mode are current until live
//! mode is retired like a lineage. A collection removes other files only if a bundle on record brought them. It reports
//! all remaining files as unrecognized and keeps them. If numbers and times disagree about the newest bundle, the files
//! of each candidate are current. If a later bundle's number has a gap before it, the files of the earlier bundle stay
//! current. Both last until the newest bundle is accepted, or a false one is rejected, which a note in the ledger
//! records. If the ledger lacks a record that `manifest.json` names, that record might be the newest. Then nothing is
//! removed.
//!
//! **Two steps.** A client may read an index line just before its removal, and fetch the crate afterwards. So a
//! collection removes lines first. A later run removes their crates when a grace period has passed; `removals` stores
//! since when. A crate whose line returns, or that becomes current again, drops off that list, because a plan is made
//! from the files and the records.
//!
//! The plan is made from names, sizes and records; the bytes of crates are not read. One [transaction]
//! makes all its changes. First come the notes of retired lineages, and of accepted and rejected bundles. Then index files change, dependents
//! first, then the records of lines, the names of dist files that rustup requests first, the crates and other dist files
//! that are due, and empty folders. The record of dist files, the list of pending removals and the summary are last.
//!
//! On a nearly full disk, nothing is staged ahead. The reserve is released, crates without lines are removed first, and
//! index files and records change one part at a time (see the page of the layout). After a kill at any point, no line names
//! a missing crate, and no served channel names a component that was removed because of it. The next run determines the
//! remaining work from the files.

mod dist_rules;
mod apply;
mod evict;
mod forget_rebuilt;
mod needed_files;
mod plan;
mod live_records;
mod pending_deletions;
mod scan;
mod plan_report;
mod index_entry;
mod reject;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::dist_files::DistFiles;
use super::guard::WriteGuard;
pub use super::item::StoredItem;
use super::layout::{self, Layout};
use super::ledger::{ChainFaultKind, Reader};
use super::lineages::LineageTip;
use super::lock::{self, Holder, lock_for_collecting};
use super::rebuild::REBUILT_LINEAGE;
use super::summary::{Counts, MirrorSummary, SummaryLoss};
use super::transaction;
use crate::event::{self, Sink};
use crate::id_prefix::MIN_ID_PREFIX;
use crate::units::{is_zero, pluralize};
pub use evict::EvictionReport;
use live_records::LiveChanges;
pub use live_records::{LIVE_LINEAGE, LiveSummary};
pub(super) use needed_files::{LineageState, Lineages};
use pending_deletions::PendingDeletions;
use plan::make_plan;
pub use plan_report::PlanReport;

/// The default grace period before unreferenced files are deleted.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10 * 60);

/// Options of a collection.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a crate stays after the removal of its line.
    pub grace: Duration,
    /// Lineages to retire, each by its id or a unique prefix, or [`LIVE_LINEAGE`]. `LINEAGE@BUNDLE` retires the lineage
    /// only if that bundle is its newest, and confirms that files of lost records may be removed.
    pub retire: Vec<String>,
    /// Lineages whose newest bundle is accepted despite warnings, each by its id or a unique prefix. `LINEAGE@BUNDLE`
    /// accepts only that bundle, and not one that arrived later.
    pub accept: Vec<String>,
    /// Bundles that no longer count, each as `LINEAGE@BUNDLE`, with IDs or unique prefixes.
    pub reject: Vec<String>,
    /// The time of the run.
    pub now: Timestamp,
}

/// What a collection will do, and why.
#[derive(Debug)]
pub struct Plan {
    /// The lineages of the mirror, by id.
    pub lineages: Vec<LineagePlan>,
    /// The bundles that this run rejects.
    pub rejected: Vec<RejectedBundle>,
    /// The files of live mode; `None` if it never stored any.
    pub live: Option<LiveSummary>,
    /// Index lines to remove.
    pub lines: Vec<Line>,
    /// Files to remove in this run, in this order: the names that rustup requests first, crates, other dist files.
    pub removals: Vec<StoredItem>,
    /// Files to remove in a later run: crates, then dist files.
    pub pending: Vec<PendingDeletion>,
    /// Unrecognized files, which no bundle on record brought. They are kept.
    pub unrecognized: Vec<String>,
    /// The content of the mirror afterwards.
    pub counts: Counts,
    /// Why the plan will not be executed.
    refusal: Option<Error>,
    changes: FileChanges,
}

/// A lineage in a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LineagePlan {
    /// Its newest bundle, and the bundle's position in the ledger.
    #[serde(flatten)]
    pub newest: LineageTip,
    /// The file of that bundle.
    pub file: String,
    /// When it was imported (RFC 3339, UTC).
    #[serde(rename = "imported")]
    pub imported_at: String,
    /// Number of crates that it names.
    pub crates: u64,
    /// Number of dist files that it names.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default)]
    #[serde(rename = "artifacts")]
    pub dist_files: u64,
    /// Whether this run retires the lineage.
    #[serde(rename = "forgotten")]
    pub retired: bool,
    /// Why the newest bundle is uncertain, one sentence each. Files that any candidate needs are kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    #[serde(rename = "doubts")]
    pub warnings: Vec<String>,
    /// If the newest bundle is uncertain: every bundle that may be the newest, the likeliest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub candidates: Vec<Candidate>,
    /// Whether this run accepts the newest bundle.
    pub accepted: bool,
}

/// A bundle that may be the newest of its lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Candidate {
    /// Its number in the lineage.
    pub sequence: u64,
    /// Its ID.
    pub bundle: String,
    /// The bundle's file.
    pub file: String,
    /// When it was written, as it states (RFC 3339, UTC).
    pub created: String,
    /// When it was imported (RFC 3339, UTC).
    #[serde(rename = "imported")]
    pub imported_at: String,
}

/// A bundle that no longer counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RejectedBundle {
    /// Its lineage.
    pub lineage: String,
    /// Its number in the lineage.
    pub sequence: u64,
    /// Its ID.
    pub bundle: String,
    /// The bundle's file.
    pub file: String,
}

/// An index line to remove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Line {
    /// The crate's name, as in the index path.
    pub name: String,
    /// The version.
    pub version: String,
}

/// A file to remove later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PendingDeletion {
    /// The file.
    #[serde(flatten)]
    pub item: StoredItem,
    /// When its grace period ends (RFC 3339, UTC).
    #[schemars(with = "String")]
    pub until: Timestamp,
}

/// Changes of internal files, which are not displayed.
#[derive(Debug)]
struct FileChanges {
    /// Versions to remove from index files, by path.
    index_lines: Vec<VersionRemoval>,
    /// Versions to remove from the records of lines, by path.
    index_meta: Vec<VersionRemoval>,
    /// Folders that become empty, nested ones first.
    folders: Vec<PathBuf>,
    /// Folders at or below dist/ and rustup/ that become empty, nested ones first.
    dist_folders: Vec<PathBuf>,
    /// The new record of dist files; `None` if unchanged.
    dist_files: Option<DistFiles>,
    /// Lineages to retire.
    retire: Vec<LineageTip>,
    /// Bundles to accept as the newest of their lineage.
    accept: Vec<LineageTip>,
    /// Bundles to reject, one for each of their records.
    reject: Vec<LineageTip>,
    /// Changes of live mode's records.
    live: LiveChanges,
    /// The number of the newest record.
    newest_record: u64,
    /// The new list of pending removals; `None` if unchanged.
    pending: Option<PendingDeletions>,
    /// The new summary; `None` if unchanged.
    summary: Option<MirrorSummary>,
    /// The time of the run, for the notes.
    now: Timestamp,
}

/// Versions to remove from one file.
#[derive(Debug)]
struct VersionRemoval {
    path: String,
    versions: HashSet<String>,
}

/// The result of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GcReport {
    /// Removed index lines.
    pub lines: u64,
    /// Removed crates.
    pub crates: u64,
    /// Removed dist files.
    #[serde(rename = "artifacts")]
    pub dist_files: u64,
    /// Total bytes of the removed crates and dist files.
    pub bytes: u64,
    /// Crates with a pending removal.
    #[serde(rename = "waiting")]
    pub pending: u64,
    /// Dist files with a pending removal.
    #[serde(rename = "artifacts_waiting")]
    pub pending_dist_files: u64,
}

/// A collection was refused or failed. The index is consistent with everything that was removed; the next run completes
/// the work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no mirror.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// The mirror has another layout version.
    #[error(transparent)]
    Layout(#[from] layout::Error),
    /// A record cannot be read, so it is unknown which files it needs.
    #[error("the record `{}` cannot be read, so nothing is removed", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// The parse error.
        source: serde_json::Error,
    },
    /// A record is missing, was altered, or is damaged, so it is unknown which files it needs.
    #[error("the record `{}` {fault}, so nothing is removed", path.display())]
    Untrusted {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        fault: ChainFaultKind,
    },
    /// A record is missing, so it is unknown which files it needs.
    #[error("manifest.json names the record `{record}`, but the ledger does not contain it, so nothing is removed")]
    LostRecord {
        /// Its name.
        record: String,
    },
    /// `manifest.json` is lost, and it would name the newest record.
    #[error(transparent)]
    SummaryLost(#[from] SummaryLoss),
    /// The lineage `rebuilt` still keeps files whose records are lost.
    #[error("lineage `{REBUILT_LINEAGE}` is not forgotten, so nothing is removed: {reason}")]
    RebuiltNeeded {
        /// Why these files may be needed.
        reason: String,
        /// The id of the lineage's newest record, which confirms the removal.
        bundle: String,
    },
    /// No lineage matches.
    #[error("no lineage of the mirror has an id that starts with `{word}`{}", known_ones(known))]
    NoLineage {
        /// The given text.
        word: String,
        /// The existing lineages.
        known: Vec<String>,
    },
    /// Several lineages match.
    #[error("several lineages of the mirror have an id that starts with `{word}`{}", known_ones(known))]
    Ambiguous {
        /// The given text.
        word: String,
        /// The matching lineages.
        known: Vec<String>,
    },
    /// The given prefix is too short to be safe.
    #[error(
        "`{word}` is too short: the id of a lineage needs at least {MIN_ID_PREFIX} digits{}",
        matching_ones(matching)
    )]
    TooShort {
        /// The given text.
        word: String,
        /// The matching lineages.
        matching: Vec<String>,
    },
    /// Another bundle is the newest of the lineage.
    #[error("the newest bundle of lineage `{lineage}` is `{newest}`, not `{bundle}`")]
    NotNewest {
        /// The lineage.
        lineage: String,
        /// The bundle to accept.
        bundle: String,
        /// The newest bundle.
        newest: String,
    },
    /// A rejected bundle is not given as a lineage and a bundle.
    #[error("`{word}` names no bundle: a rejected bundle is given as LINEAGE@BUNDLE")]
    NoBundleGiven {
        /// The given text.
        word: String,
    },
    /// No bundle of the lineage matches.
    #[error("no bundle that counts in lineage `{lineage}` has an id that starts with `{bundle}`")]
    NoBundle {
        /// The lineage.
        lineage: String,
        /// The given text.
        bundle: String,
    },
    /// Several bundles of the lineage match.
    #[error("several bundles of lineage `{lineage}` have an id that starts with `{bundle}`: {}", matching.join(", "))]
    AmbiguousBundle {
        /// The lineage.
        lineage: String,
        /// The given text.
        bundle: String,
        /// The ids of the matching bundles.
        matching: Vec<String>,
    },
    /// A file system operation failed.
    #[error(transparent)]
    Store(#[from] transaction::Error),
}

fn matching_ones(matching: &[String]) -> String {
    match matching {
        [] => "; it matches no lineage".to_owned(),
        matching => format!("; it matches {}", matching.join(", ")),
    }
}

fn known_ones(known: &[String]) -> String {
    match known {
        [] => String::new(),
        known => format!(": {}", known.join(", ")),
    }
}

/// A plan under the mirror's lock, which can be executed once.
#[derive(Debug)]
pub struct ExecutablePlan<'a> {
    guard: &'a mut WriteGuard,
    plan: Plan,
}

/// Plans a collection without executing it. Takes no lock, so the plan may or may not include a concurrent import.
///
/// # Errors
/// Everything in [`Error`].
pub fn preview(layout: &Layout, options: &Options) -> Result<Plan, Error> {
    lock::require_mirror(layout)?;
    make_plan(layout, options)
}

impl WriteGuard {
    /// Plans a collection.
    ///
    /// # Errors
    /// Everything in [`Error`]; nothing was changed.
    pub fn plan(&mut self, options: &Options) -> Result<ExecutablePlan<'_>, Error> {
        let plan = make_plan(&self.layout, options)?;
        Ok(ExecutablePlan { guard: self, plan })
    }
}

impl ExecutablePlan<'_> {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Executes the plan.
    ///
    /// # Errors
    /// The plan is refused (see [`Plan::refusal`]), and nothing was changed. Or a file system operation failed. The mirror
    /// is then still consistent, and the next run completes the work.
    pub fn execute(self, sink: &dyn Sink) -> Result<GcReport, Error> {
        if let Some(refusal) = self.plan.refusal {
            return Err(refusal);
        }
        apply::execute(self.guard, self.plan, sink)
    }
}

/// Plans and executes a collection with the default grace period, as configured after an import.
///
/// # Errors
/// See [`Error`].
pub fn collect_with_defaults(
    layout: &Layout,
    timeout: Duration,
    me: &Holder,
    now: Timestamp,
    sink: &dyn Sink,
) -> Result<(), Error> {
    // Only an administrator accepts uncertain bundles.
    let options = Options { grace: DEFAULT_GRACE, retire: Vec::new(), accept: Vec::new(), reject: Vec::new(), now };
    let mut guard = lock_for_collecting(layout, timeout, me, sink)?;
    let planned = guard.plan(&options)?;
    for lineage in planned.plan().lineages.iter().filter(|lineage| !lineage.warnings.is_empty()) {
        sink.warning(format!(
            "gc keeps every file that any bundle of lineage {} needs: {}; {} shows what to check",
            lineage.newest.id_and_inputs(),
            lineage.warnings.join("; "),
            layout.fill_in("`cargo frostmirror gc --mirror DIR --dry-run`")
        ));
    }
    let collected = planned.execute(sink)?;
    if collected.lines + collected.crates + collected.dist_files > 0 {
        let GcReport { lines, crates, dist_files: artifacts, bytes, .. } = collected;
        let lines = pluralize(lines, "index line");
        let (crates, artifacts) = (event::format_crates(crates), event::format_dist_files(artifacts));
        sink.status("Pruned", format!("{lines}, {crates}, {artifacts}; freed {}", event::format_size(bytes)));
    }
    Ok(())
}

/// The names of crate files with a pending removal. An unreadable list is treated as empty.
pub(super) fn pending_file_names(layout: &Layout) -> BTreeSet<String> {
    PendingDeletions::read(layout).map(|list| list.0.into_keys().collect()).unwrap_or_default()
}

impl Plan {
    /// Why the plan will not be executed; `None` if it will be.
    pub fn refusal(&self) -> Option<&Error> {
        self.refusal.as_ref()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let FileChanges {
            index_lines: index,
            index_meta: records,
            folders,
            dist_folders: artifact_folders,
            retire: forget,
            accept,
            reject,
            pending: removals,
            summary: head,
            ..
        } = &self.changes;
        let artifacts = self.changes.dist_files.is_none() && artifact_folders.is_empty();
        let files = index.is_empty() && records.is_empty() && folders.is_empty() && self.removals.is_empty();
        let live = self.changes.live.is_empty();
        files
            && artifacts
            && live
            && forget.is_empty()
            && accept.is_empty()
            && reject.is_empty()
            && removals.is_none()
            && head.is_none()
    }

    /// The crates that this run removes.
    pub fn crates(&self) -> impl Iterator<Item = &StoredItem> {
        self.removals.iter().filter(|item| item.id.crate_id().is_some())
    }

    /// The dist files that this run removes.
    pub fn dist_files(&self) -> impl Iterator<Item = &StoredItem> {
        self.removals.iter().filter(|item| item.id.crate_id().is_none())
    }

    /// The crates that a later run removes.
    pub fn pending_crates(&self) -> impl Iterator<Item = &PendingDeletion> {
        self.pending.iter().filter(|pending| pending.item.id.crate_id().is_some())
    }

    /// The dist files that a later run removes.
    pub fn pending_dist_files(&self) -> impl Iterator<Item = &PendingDeletion> {
        self.pending.iter().filter(|pending| pending.item.id.crate_id().is_none())
    }

    /// When the last pending file may be removed.
    pub fn last_deletion(&self) -> Option<Timestamp> {
        self.pending.iter().map(|pending| pending.until).max()
    }
}

/// Total size in bytes.
pub fn total_size<'i>(items: impl IntoIterator<Item = &'i StoredItem>) -> u64 {
    items.into_iter().map(|item| item.size).sum()
}
