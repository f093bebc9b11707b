//! Collection: what no lineage needs any more is planned, shown, and removed.
//!
//! **Current** is what the newest bundle of each lineage names, whether it shipped it, relied on it, kept it for another
//! input, or left its file out; and what live mode brought, until that is let go as a lineage is. Of everything else only that is removed which some bundle on record brought; what came
//! in any other way is reported as a stranger and stays. Where numbers and times disagree on which bundle is the newest,
//! what either names is current, and what a bundle names stays current where only a bundle whose number came with a jump is
//! later; until the newest bundle is accepted, which a note in the ledger remembers. A record that `manifest.json` knows of and the ledger lacks might be the newest:
//! then nothing is removed.
//!
//! **Two steps.** A client may have read an index line just before it goes, and fetch the crate after. So lines go first,
//! and their crates when a grace time has passed, in a later run; `removals` remembers since when. A crate whose line
//! came back, or that became current again, is off that list by itself: a plan is made from the tree and the records.
//!
//! The steps, with a named checkpoint after each at which a test kills the process (`-half`: in the middle of one):
//!
//! 1. The plan, from names, sizes and records; the bytes of crates are not read.
//! 2. What index files and their records become is staged and made durable.
//! 3. The notes of lineages that are let go or whose newest bundle is accepted; the list of removals.
//! 4. Index files, dependents first; then the records of lines; then the names of rustup artifacts, which is what rustup
//!    asks for first; then folders that are left empty.
//! 5. The names are durable by now: the crates and the other rustup artifacts that are due. What is on record of rustup
//!    artifacts, the list of removals, and the head.
//!
//! Where the disk is short of room, nothing is staged ahead: the reserve is given up and crates that have no lines go first,
//! and index files and records change one part at a time (see the page of the layout).
//!
//! Killed anywhere, no line names a missing crate, no channel that is served names a component that went because of it,
//! and the next run finds in the tree what is left to do.

mod dist_scan;
mod apply;
mod evict;
mod lineages;
mod live_records;
mod pending_deletions;
mod scan;
mod plan_report;
mod dir_scan;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::dist_files::DistFiles;
use super::layout::{self, Layout};
use super::ledger::{self, Reader};
use super::live;
use super::lock::{self, CollectGuard, Holder, lock_for_collecting};
use super::summary::{Counts, LineageTip, MirrorSummary, is_zero};
use super::transaction;
use super::transaction::was_interrupted;
use crate::event::{self, Sink};
use crate::safe_path::SafePath;
use dist_scan::DistScan;
pub use evict::EvictionReport;
use lineages::KeepSet;
pub(super) use lineages::{LineageState, Lineages};
use live_records::LiveChanges;
pub use live_records::{LIVE_LINEAGE, LiveSummary};
use pending_deletions::PendingDeletions;
pub use plan_report::PlanReport;
use scan::{MirrorScan, partition_by_grace};

/// Every checkpoint of a collection, in the order in which one that does everything passes them.
pub const CHECKPOINTS: &[&str] = &[
    "gc:planned",
    "gc:staged",
    "gc:marked",
    "gc:forgotten",
    "gc:live",
    "gc:removals",
    "gc:index-half",
    "gc:index",
    "gc:lines-half",
    "gc:lines",
    "gc:folders",
    "gc:crates-half",
    "gc:crates",
    "gc:settled",
    "gc:head",
];

/// The checkpoints that a collection passes beside these where it removes rustup artifacts: before `gc:folders`, and before
/// `gc:settled`.
pub const DIST_FILE_CHECKPOINTS: &[&str] = &[
    "gc:channels-half",
    "gc:channels",
    "gc:components-half",
    "gc:components",
    "gc:components-folders",
    "gc:artifacts",
];

/// The checkpoints that a collection passes beside these on a disk that is short of room. Crates without lines go after
/// `gc:marked`; index files and records change in parts, of which each has a checkpoint when it is staged.
pub const SHORT_CHECKPOINTS: &[&str] =
    &["gc:nameless-half", "gc:nameless", "gc:index-part-1", "gc:index-part-2", "gc:lines-part-1"];

/// How long what clients may have read of stays, unless told otherwise.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10 * 60);

/// The least of a lineage's id that stands for it.
const MIN_ID_PREFIX: usize = 4;

/// How to collect.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a crate stays after its line went.
    pub grace: Duration,
    /// Lineages to let go, each by its id or the beginning of it, or [`LIVE_LINEAGE`].
    pub retire: Vec<String>,
    /// Lineages whose newest bundle is accepted although it is doubtful, each by its id or the beginning of it. With `@` and the
    /// id of a bundle behind it, only that bundle is accepted, and not one that came since somebody looked.
    pub accept: Vec<String>,
    /// The time of the run.
    pub now: Timestamp,
}

/// What a collection will do, and why.
#[derive(Debug)]
pub struct Plan {
    /// Who feeds the mirror, by id.
    pub lineages: Vec<LineagePlan>,
    /// What live mode brought; `None` where it never brought anything.
    pub live: Option<LiveSummary>,
    /// Index lines that go.
    pub lines: Vec<Line>,
    /// Crates that go in this run, by name.
    pub crates: Vec<Item>,
    /// Crates that go in a later run, by name.
    pub pending_crates: Vec<PendingDeletion>,
    /// Rustup artifacts that go at once, in this order: the names that rustup asks for first.
    pub mutable_files: Vec<Item>,
    /// Other rustup artifacts that go in this run, by path.
    pub components: Vec<Item>,
    /// Rustup artifacts that go in a later run, by path.
    pub pending_components: Vec<PendingDeletion>,
    /// What no bundle on record brought; it stays.
    pub unrecognized: Vec<String>,
    /// What the mirror holds afterwards.
    pub counts: Counts,
    changes: FileChanges,
}

/// A lineage, as a plan shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LineagePlan {
    /// Its newest bundle, and where that stands in the ledger.
    #[serde(flatten)]
    pub newest: LineageTip,
    /// The file of that bundle.
    pub file: String,
    /// When it was imported (RFC 3339, UTC).
    #[serde(rename = "imported")]
    pub imported_at: String,
    /// How many crates it names.
    pub crates: u64,
    /// How many rustup artifacts it names.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default)]
    #[serde(rename = "artifacts")]
    pub dist_files: u64,
    /// It is let go by this run, and counts no more.
    #[serde(rename = "forgotten")]
    pub retired: bool,
    /// Why it is doubtful which of its bundles is the newest, one sentence each; what any of them needs stays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    #[serde(rename = "doubts")]
    pub warnings: Vec<String>,
    /// The newest bundle is taken at its word by this run.
    pub accepted: bool,
}

/// An index line that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Line {
    /// The crate's name, as the index path has it.
    pub name: String,
    /// The version.
    pub version: String,
}

/// A file that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Item {
    /// The name of a crate's file; of a rustup artifact, its path.
    pub file: String,
    /// Bytes.
    pub size: u64,
}

/// A file that goes later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PendingDeletion {
    /// The file.
    #[serde(flatten)]
    pub item: Item,
    /// When its grace is over (RFC 3339, UTC).
    #[schemars(with = "String")]
    pub until: Timestamp,
}

/// What a plan does to files that no one is shown.
#[derive(Debug)]
struct FileChanges {
    /// Versions that go from index files, by place.
    index_lines: Vec<VersionRemoval>,
    /// Versions that go from the records of lines, by place.
    index_meta: Vec<VersionRemoval>,
    /// Folders that are left empty, those inside others first.
    folders: Vec<PathBuf>,
    /// Folders below dist/ and rustup/ that are left empty, those inside others first, and these two.
    dist_folders: Vec<PathBuf>,
    /// What is on record of rustup artifacts afterwards; `None` where it is that already.
    dist_files: Option<DistFiles>,
    /// Lineages to let go.
    retire: Vec<LineageTip>,
    /// Bundles that are accepted as the newest of their lineage.
    accept: Vec<LineageTip>,
    /// What becomes of live mode's records.
    live: LiveChanges,
    /// The number of the newest record.
    newest_record: u64,
    /// The list of removals while crates are removed; `None` where it is that already.
    pending_during: Option<PendingDeletions>,
    /// The list of removals afterwards; `None` where it is that already.
    pending_after: Option<PendingDeletions>,
    /// The head afterwards; `None` where it is that already.
    summary: Option<MirrorSummary>,
    /// The time of the run, for the notes.
    now: Timestamp,
}

/// Versions that go from one file.
#[derive(Debug)]
struct VersionRemoval {
    path: String,
    versions: HashSet<String>,
}

/// What a collection did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GcReport {
    /// Index lines that were removed.
    pub lines: u64,
    /// Crates that were removed.
    pub crates: u64,
    /// Rustup artifacts that were removed.
    #[serde(rename = "artifacts")]
    pub dist_files: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Crates that wait for their removal.
    #[serde(rename = "waiting")]
    pub pending: u64,
    /// Rustup artifacts that wait for theirs.
    #[serde(rename = "artifacts_waiting")]
    pub pending_dist_files: u64,
}

/// A collection that was refused or failed. Whatever was removed by then is left out of the index rightly; the next run
/// does the rest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no mirror.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// A mirror of another layout.
    #[error(transparent)]
    Layout(#[from] layout::Error),
    /// A record cannot be read, so that nobody knows what it keeps.
    #[error("the record `{}` cannot be read, so nothing is removed", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A record is gone, so that nobody knows what it kept.
    #[error("manifest.json names the record `{record}`, and it is not in the ledger, so nothing is removed")]
    LostRecord {
        /// Its name.
        record: String,
    },
    /// No such lineage.
    #[error("no lineage of the mirror has an id that is or begins with `{word}`{}", known_ones(known))]
    NoLineage {
        /// What was given.
        word: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// More than one such lineage.
    #[error("several lineages of the mirror have an id that begins with `{word}`{}", known_ones(known))]
    Ambiguous {
        /// What was given.
        word: String,
        /// Those that it fits.
        known: Vec<String>,
    },
    /// Another bundle is the newest of the lineage.
    #[error("the newest bundle of lineage `{lineage}` is `{newest}`, not `{bundle}`")]
    NotNewest {
        /// The lineage.
        lineage: String,
        /// The bundle that was to be accepted.
        bundle: String,
        /// The newest.
        newest: String,
    },
    /// The file system refused.
    #[error(transparent)]
    Store(#[from] transaction::Error),
}

fn known_ones(known: &[String]) -> String {
    match known {
        [] => String::new(),
        known => format!(": {}", known.join(", ")),
    }
}

/// A plan, and the right to carry it out: once.
#[derive(Debug)]
pub struct ExecutablePlan<'a> {
    guard: &'a mut CollectGuard,
    plan: Plan,
}

/// The plan of a collection that will not take place. Takes no lock: what an import changes meanwhile is seen or not.
///
/// # Errors
/// Everything in [`Error`].
pub fn preview(layout: &Layout, options: &Options) -> Result<Plan, Error> {
    lock::require_mirror(layout)?;
    make_plan(layout, options)
}

impl CollectGuard {
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

    /// Carries the plan out.
    ///
    /// # Errors
    /// The file system's. The mirror is sound then too, and the next run does the rest.
    pub fn execute(self, sink: &dyn Sink) -> Result<GcReport, Error> {
        apply::execute(&self.guard.layout, self.plan, sink)
    }
}

/// Collects with the usual grace and shows no plan, as it is done after an import where that is wanted.
///
/// # Errors
/// As those of a collection that is planned and carried out.
pub fn collect_with_defaults(
    layout: &Layout,
    timeout: Duration,
    me: &Holder,
    now: Timestamp,
    sink: &dyn Sink,
) -> Result<(), Error> {
    // Nothing that is doubtful is accepted without a person.
    let options = Options { grace: DEFAULT_GRACE, retire: Vec::new(), accept: Vec::new(), now };
    let mut guard = lock_for_collecting(layout, timeout, me, sink)?;
    let planned = guard.plan(&options)?;
    for lineage in planned.plan().lineages.iter().filter(|lineage| !lineage.warnings.is_empty()) {
        sink.warning(format!(
            "gc keeps what any bundle of lineage {} needs: {}; `cargo frostmirror gc --dry-run` says what to check",
            lineage.newest.id_and_inputs(),
            lineage.warnings.join("; ")
        ));
    }
    let collected = planned.execute(sink)?;
    if collected.lines + collected.crates + collected.dist_files > 0 {
        let GcReport { lines, crates, dist_files: artifacts, bytes, .. } = collected;
        let lines = if lines == 1 { "1 index line".to_owned() } else { format!("{lines} index lines") };
        let (crates, artifacts) = (event::format_crates(crates), event::format_dist_files(artifacts));
        sink.status("Pruned", format!("{lines}, {crates}, {artifacts}; freed {}", event::format_size(bytes)));
    }
    Ok(())
}

fn make_plan(layout: &Layout, options: &Options) -> Result<Plan, Error> {
    let mut ledger_lineages = Lineages::read(layout)?;
    let stored_summary = MirrorSummary::read(layout)?;
    let mut lost = stored_summary
        .iter()
        .flat_map(|head| &head.lineages)
        .filter(|lineage| !ledger_lineages.record_names.contains(&lineage.record));
    if let Some(LineageTip { record, .. }) = lost.next() {
        return Err(Error::LostRecord { record: record.clone() });
    }
    // The id is older than anything that live mode brought, and stays when all of it is let go.
    let has_live = live::lineage_id(layout)?.is_some();
    let retire = lineages_to_retire(&ledger_lineages, &options.retire, has_live)?;
    let accept = accepted(&ledger_lineages, &options.accept)?;
    let (mut current, mut let_go) = (KeepSet::default(), KeepSet::default());
    let mut lineages = Vec::new();
    let mut reader = Reader::new(layout);
    for (id, feed) in &mut ledger_lineages.by_id {
        let doubts = feed.warnings();
        let accepted = accept.contains(id) && !doubts.is_empty() && !retire.contains(id);
        if accepted {
            feed.accept_newest();
        }
        let forgotten = retire.contains(id);
        // What a forgotten one names is counted for the plan, and kept by nobody.
        let keys = if forgotten { &mut let_go } else { &mut current };
        let [crates, artifacts] = Lineages::add_referenced(&mut reader, feed, keys)?;
        let LineageState { newest: head, file, imported_at: imported, .. } = feed;
        let (newest, file, imported) = (head.clone(), file.clone(), imported.clone());
        lineages.push(LineagePlan {
            newest,
            file,
            imported_at: imported,
            crates,
            dist_files: artifacts,
            retired: forgotten,
            warnings: doubts,
            accepted,
        });
    }

    let (live, live_work) = live_records::plan_live(layout, &options.retire)?;
    live_work.kept().for_each(|record| current.add_live(record));

    let mut scan = MirrorScan::scan(layout, &mut current)?;
    let before = PendingDeletions::read(layout)?;
    let mut unknown = KeepSet::default();
    for page in &scan.entries {
        page.unreferenced.iter().for_each(|version| unknown.add_line(&page.path, version));
    }
    for file in &scan.unreferenced {
        unknown.add_file(&file.name);
    }
    let mut dist_scan = DistScan::scan(layout, &current)?;
    dist_scan.unreferenced.iter().for_each(|path| unknown.add_file(path.as_str()));
    live_work.retired_records().for_each(|record| unknown.remove_live(record));
    let mut unrecognized_keys = ledger_lineages.unrecognized(layout, unknown)?;
    let sorted = scan.classify(&mut unrecognized_keys);
    let (crates, waiting, mut during, mut after) =
        partition_by_grace(&scan.unreferenced, &unrecognized_keys, &sorted, &before, options);
    let unrecognized_dist_files =
        dist_scan.unreferenced.iter().map(SafePath::to_string).filter(|path| unrecognized_keys.has_file(path));
    let strange_artifacts: Vec<String> =
        unrecognized_dist_files.chain(std::mem::take(&mut dist_scan.unrecognized)).collect();
    let artifacts = dist_scan.classify(&unrecognized_keys, options, &before, [&mut during, &mut after])?;

    let (artifact_files, artifact_bytes) = artifacts.after.count_and_bytes();
    let counts = Counts {
        dist_files: artifact_files,
        dist_file_bytes: artifact_bytes,
        crates: scan.names - sorted.index_files_removed,
        versions: scan.versions - crates.len() as u64,
        bytes: scan.bytes - crates.iter().map(|item| item.size).sum::<u64>(),
    };
    let mut strangers = sorted.unrecognized;
    strangers.append(&mut scan.unrecognized);
    let unrecognized_crates = scan.unreferenced.iter().filter(|file| unrecognized_keys.has_file(&file.name));
    strangers.extend(unrecognized_crates.map(|file| format!("crates/{}", file.name)));
    strangers.extend(strange_artifacts);
    let [index_tree, lines_tree] = scan.trees;
    let kept = ledger_lineages.by_id.values().filter(|feed| !retire.contains(&feed.newest.id));
    let contested: Vec<LineageTip> = kept.clone().flat_map(|feed| feed.contenders.iter().cloned()).collect();
    let mut sizes = BTreeMap::new();
    for record in kept.clone().flat_map(LineageState::records) {
        let known = stored_summary.as_ref().and_then(|head| head.history_sizes.get(record)).copied();
        let size = known.map_or_else(|| ledger::read_history_size(layout, record), |known| Ok(Some(known)))?;
        sizes.extend(size.map(|size| (record.to_owned(), size)));
    }
    let head = MirrorSummary {
        history_sizes: sizes,
        contested,
        last_import: ledger_lineages.last_import.clone(),
        toolchains: artifacts.after.toolchain_names(),
        imports: ledger_lineages.record_names.len() as u64,
        lineages: kept.map(|feed| feed.newest.clone()).collect(),
        ..MirrorSummary::default()
    }
    .with_counts(counts);
    let has_head = stored_summary.is_some();
    let known = stored_summary.filter(|_| !was_interrupted(layout));
    // A mirror that nothing was ever imported into needs no head.
    let is_right = known.is_some_and(|known| MirrorSummary { tool: head.tool.clone(), ..known } == head);
    // One of a mirror that live mode alone feeds is as good.
    let wants_head = !ledger_lineages.record_names.is_empty() || has_head || live.is_some();
    let work = FileChanges {
        live: live_work.with_deleted_files(layout, &[&crates, &artifacts.mutable_files, &artifacts.components]),
        index_lines: sorted.index_lines,
        index_meta: sorted.index_meta,
        folders: index_tree.empty_folders().into_iter().chain(lines_tree.empty_folders()).collect(),
        dist_folders: artifacts.folders,
        dist_files: artifacts.is_changed.then_some(artifacts.after),
        retire: lineages.iter().filter(|one| one.retired).map(|one| one.newest.clone()).collect(),
        accept: lineages.iter().filter(|one| one.accepted).map(|one| one.newest.clone()).collect(),
        newest_record: ledger_lineages.newest_record,
        pending_during: (during != before).then_some(during.clone()),
        pending_after: (after != during).then_some(after),
        summary: (!is_right && wants_head).then_some(head),
        now: options.now,
    };
    let dist_scan::DistDeletions { mutable_files: names, components, pending: components_waiting, .. } = artifacts;
    let lines = sorted.lines;
    Ok(Plan {
        lineages,
        live,
        lines,
        crates,
        pending_crates: waiting,
        mutable_files: names,
        components,
        pending_components: components_waiting,
        unrecognized: strangers,
        counts,
        changes: work,
    })
}

/// The ids of the lineages to let go.
fn lineages_to_retire(lineages: &Lineages, given: &[String], has_live: bool) -> Result<BTreeSet<String>, Error> {
    let words: Vec<String> = given.iter().filter(|word| !(has_live && *word == LIVE_LINEAGE)).cloned().collect();
    // A run that was killed may have got this far.
    resolve_lineages(lineages, &words, |word| lineages.retirements.iter().any(|note| matches_id(word, &note.lineage)))
}

/// The ids of the lineages whose newest bundle is accepted.
fn accepted(feeds: &Lineages, words: &[String]) -> Result<BTreeSet<String>, Error> {
    let mut ids = BTreeSet::new();
    for word in words {
        let (lineage, bundle) = word.split_once('@').map_or((word.as_str(), None), |(id, bundle)| (id, Some(bundle)));
        for id in resolve_lineages(feeds, &[lineage.to_owned()], |_| false)? {
            let newest = feeds.by_id.get(&id).map_or("", |feed| feed.newest.bundle.as_str());
            if let Some(bundle) = bundle.filter(|bundle| !matches_id(bundle, newest)) {
                let (bundle, newest) = (bundle.to_owned(), newest.to_owned());
                return Err(Error::NotNewest { lineage: id, bundle, newest });
            }
            ids.insert(id);
        }
    }
    Ok(ids)
}

/// Whether `word` is the id or stands for it.
fn matches_id(given: &str, id: &str) -> bool {
    id == given || given.len() >= MIN_ID_PREFIX && id.starts_with(given)
}

/// The ids that `words` stand for; one that `is_gone` knows may stand for none.
fn resolve_lineages(
    lineages: &Lineages,
    given: &[String],
    is_gone: impl Fn(&str) -> bool,
) -> Result<BTreeSet<String>, Error> {
    let mut ids = BTreeSet::new();
    for word in given {
        let known = |feed: &LineageState| feed.newest.id_and_inputs();
        let fitting: Vec<&LineageState> =
            lineages.by_id.values().filter(|feed| matches_id(word, &feed.newest.id)).collect();
        match fitting.as_slice() {
            [one] => drop(ids.insert(one.newest.id.clone())),
            [] if is_gone(word) => {}
            [] => {
                let known = lineages.by_id.values().map(known).collect();
                return Err(Error::NoLineage { word: word.clone(), known });
            }
            several => {
                let known = several.iter().map(|feed| known(feed)).collect();
                return Err(Error::Ambiguous { word: word.clone(), known });
            }
        }
    }
    Ok(ids)
}

/// The files of crates that wait for their removal, by name. A list that cannot be read names none.
pub(super) fn pending_file_names(layout: &Layout) -> BTreeSet<String> {
    PendingDeletions::read(layout).map(|list| list.0.into_keys().collect()).unwrap_or_default()
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let FileChanges {
            index_lines: index,
            index_meta: records,
            folders,
            dist_folders: artifact_folders,
            retire: forget,
            accept,
            pending_during: removals,
            pending_after: removals_after,
            summary: head,
            ..
        } = &self.changes;
        let artifacts = self.changes.dist_files.is_none() && artifact_folders.is_empty();
        let files = index.is_empty() && records.is_empty() && folders.is_empty() && self.crates.is_empty();
        let live = self.changes.live.is_empty();
        files
            && artifacts
            && live
            && forget.is_empty()
            && accept.is_empty()
            && removals.is_none()
            && removals_after.is_none()
            && head.is_none()
    }

    /// Bytes of the crates that go in this run.
    pub fn bytes(&self) -> u64 {
        self.crates.iter().map(|item| item.size).sum()
    }

    /// Bytes of the crates that go in a later run.
    pub fn pending_bytes(&self) -> u64 {
        self.pending_crates.iter().map(|waiting| waiting.item.size).sum()
    }

    /// The rustup artifacts that go in this run, in this order.
    pub fn dist_files(&self) -> impl Iterator<Item = &Item> {
        self.mutable_files.iter().chain(&self.components)
    }

    /// When the last of what waits may go.
    pub fn last_deletion(&self) -> Option<Timestamp> {
        self.pending_crates.iter().chain(&self.pending_components).map(|waiting| waiting.until).max()
    }
}
