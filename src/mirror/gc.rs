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

mod artifacts;
mod carry_out;
mod evict;
mod feeds;
mod living;
mod removals;
mod survey;
mod told;
mod tree;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::artifacts::Artifacts;
use super::head::{Counts, Head, LineageHead, is_zero};
use super::layout::{self, Layout};
use super::ledger::{self, Reader};
use super::live;
use super::lock::{self, CollectGuard, Holder, lock_for_collecting};
use super::store;
use super::store::was_torn;
use crate::event::{self, Sink};
use crate::safe_path::SafePath;
use artifacts::Shelf;
pub use evict::Evicted;
use feeds::Keys;
pub(super) use feeds::{Feed, Feeds};
use living::LiveWork;
pub use living::{LIVE, Live};
use removals::Removals;
use survey::{Survey, due};
pub use told::Told;

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
pub const ARTIFACT_CHECKPOINTS: &[&str] = &[
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
pub const GRACE: Duration = Duration::from_secs(10 * 60);

/// The least of a lineage's id that stands for it.
const SHORTEST: usize = 4;

/// How to collect.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a crate stays after its line went.
    pub grace: Duration,
    /// Lineages to let go, each by its id or the beginning of it, or [`LIVE`].
    pub forget: Vec<String>,
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
    pub lineages: Vec<Lineage>,
    /// What live mode brought; `None` where it never brought anything.
    pub live: Option<Live>,
    /// Index lines that go.
    pub lines: Vec<Line>,
    /// Crates that go in this run, by name.
    pub crates: Vec<Item>,
    /// Crates that go in a later run, by name.
    pub waiting: Vec<Waiting>,
    /// Rustup artifacts that go at once, in this order: the names that rustup asks for first.
    pub names: Vec<Item>,
    /// Other rustup artifacts that go in this run, by path.
    pub components: Vec<Item>,
    /// Rustup artifacts that go in a later run, by path.
    pub components_waiting: Vec<Waiting>,
    /// What no bundle on record brought; it stays.
    pub strangers: Vec<String>,
    /// What the mirror holds afterwards.
    pub counts: Counts,
    work: Work,
}

/// A lineage, as a plan shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Lineage {
    /// Its newest bundle, and where that stands in the ledger.
    #[serde(flatten)]
    pub newest: LineageHead,
    /// The file of that bundle.
    pub file: String,
    /// When it was imported (RFC 3339, UTC).
    pub imported: String,
    /// How many crates it names.
    pub crates: u64,
    /// How many rustup artifacts it names.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default)]
    pub artifacts: u64,
    /// It is let go by this run, and counts no more.
    pub forgotten: bool,
    /// Why it is doubtful which of its bundles is the newest, one sentence each; what any of them needs stays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub doubts: Vec<String>,
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
pub struct Waiting {
    /// The file.
    #[serde(flatten)]
    pub item: Item,
    /// When its grace is over (RFC 3339, UTC).
    #[schemars(with = "String")]
    pub until: Timestamp,
}

/// What a plan does to files that no one is shown.
#[derive(Debug)]
struct Work {
    /// Versions that go from index files, by place.
    index: Vec<Change>,
    /// Versions that go from the records of lines, by place.
    records: Vec<Change>,
    /// Folders that are left empty, those inside others first.
    folders: Vec<PathBuf>,
    /// Folders below dist/ and rustup/ that are left empty, those inside others first, and these two.
    artifact_folders: Vec<PathBuf>,
    /// What is on record of rustup artifacts afterwards; `None` where it is that already.
    artifacts: Option<Artifacts>,
    /// Lineages to let go.
    forget: Vec<LineageHead>,
    /// Bundles that are accepted as the newest of their lineage.
    accept: Vec<LineageHead>,
    /// What becomes of live mode's records.
    live: LiveWork,
    /// The number of the newest record.
    newest_record: u64,
    /// The list of removals while crates are removed; `None` where it is that already.
    removals: Option<Removals>,
    /// The list of removals afterwards; `None` where it is that already.
    removals_after: Option<Removals>,
    /// The head afterwards; `None` where it is that already.
    head: Option<Head>,
    /// The time of the run, for the notes.
    now: Timestamp,
}

/// Versions that go from one file.
#[derive(Debug)]
struct Change {
    place: String,
    versions: HashSet<String>,
}

/// What a collection did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Collected {
    /// Index lines that were removed.
    pub lines: u64,
    /// Crates that were removed.
    pub crates: u64,
    /// Rustup artifacts that were removed.
    pub artifacts: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Crates that wait for their removal.
    pub waiting: u64,
    /// Rustup artifacts that wait for theirs.
    pub artifacts_waiting: u64,
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
    Store(#[from] store::Error),
}

fn known_ones(known: &[String]) -> String {
    match known {
        [] => String::new(),
        known => format!(": {}", known.join(", ")),
    }
}

/// A plan, and the right to carry it out: once.
#[derive(Debug)]
pub struct Planned<'a> {
    guard: &'a mut CollectGuard,
    plan: Plan,
}

/// The plan of a collection that will not take place. Takes no lock: what an import changes meanwhile is seen or not.
///
/// # Errors
/// Everything in [`Error`].
pub fn preview(layout: &Layout, options: &Options) -> Result<Plan, Error> {
    lock::require(layout)?;
    plan(layout, options)
}

impl CollectGuard {
    /// Plans a collection.
    ///
    /// # Errors
    /// Everything in [`Error`]; nothing was changed.
    pub fn plan(&mut self, options: &Options) -> Result<Planned<'_>, Error> {
        let plan = plan(&self.layout, options)?;
        Ok(Planned { guard: self, plan })
    }
}

impl Planned<'_> {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Carries the plan out.
    ///
    /// # Errors
    /// The file system's. The mirror is sound then too, and the next run does the rest.
    pub fn execute(self, sink: &dyn Sink) -> Result<Collected, Error> {
        carry_out::execute(&self.guard.layout, self.plan, sink)
    }
}

/// Collects with the usual grace and shows no plan, as it is done after an import where that is wanted.
///
/// # Errors
/// As those of a collection that is planned and carried out.
pub fn prune(layout: &Layout, timeout: Duration, me: &Holder, now: Timestamp, sink: &dyn Sink) -> Result<(), Error> {
    // Nothing that is doubtful is accepted without a person.
    let options = Options { grace: GRACE, forget: Vec::new(), accept: Vec::new(), now };
    let mut guard = lock_for_collecting(layout, timeout, me, sink)?;
    let planned = guard.plan(&options)?;
    for lineage in planned.plan().lineages.iter().filter(|lineage| !lineage.doubts.is_empty()) {
        sink.warning(format!(
            "gc keeps what any bundle of lineage {} needs: {}; `cargo frostmirror gc --dry-run` says what to check",
            lineage.newest.id_and_inputs(),
            lineage.doubts.join("; ")
        ));
    }
    let collected = planned.execute(sink)?;
    if collected.lines + collected.crates + collected.artifacts > 0 {
        let Collected { lines, crates, artifacts, bytes, .. } = collected;
        let lines = if lines == 1 { "1 index line".to_owned() } else { format!("{lines} index lines") };
        let (crates, artifacts) = (event::crates(crates), event::rustup_artifacts(artifacts));
        sink.status("Pruned", format!("{lines}, {crates}, {artifacts}; freed {}", event::size(bytes)));
    }
    Ok(())
}

fn plan(layout: &Layout, options: &Options) -> Result<Plan, Error> {
    let mut feeds = Feeds::read(layout)?;
    let said = Head::read_file(layout)?;
    let mut lost = said.iter().flat_map(|head| &head.lineages).filter(|lineage| !feeds.names.contains(&lineage.record));
    if let Some(LineageHead { record, .. }) = lost.next() {
        return Err(Error::LostRecord { record: record.clone() });
    }
    // The id is older than anything that live mode brought, and stays when all of it is let go.
    let has_live = live::id(layout)?.is_some();
    let forget = forgotten(&feeds, &options.forget, has_live)?;
    let accept = accepted(&feeds, &options.accept)?;
    let (mut current, mut let_go) = (Keys::default(), Keys::default());
    let mut lineages = Vec::new();
    let mut reader = Reader::of(layout);
    for (id, feed) in &mut feeds.lineages {
        let doubts = feed.doubts();
        let accepted = accept.contains(id) && !doubts.is_empty() && !forget.contains(id);
        if accepted {
            feed.accept();
        }
        let forgotten = forget.contains(id);
        // What a forgotten one names is counted for the plan, and kept by nobody.
        let keys = if forgotten { &mut let_go } else { &mut current };
        let [crates, artifacts] = Feeds::add_needs(&mut reader, feed, keys)?;
        let Feed { head, file, imported, .. } = feed;
        let (newest, file, imported) = (head.clone(), file.clone(), imported.clone());
        lineages.push(Lineage { newest, file, imported, crates, artifacts, forgotten, doubts, accepted });
    }

    let (live, live_work) = living::plan(layout, &options.forget)?;
    live_work.kept().for_each(|record| current.add_live(record));

    let mut survey = Survey::of(layout, &mut current)?;
    let before = Removals::read(layout)?;
    let mut unknown = Keys::default();
    for page in &survey.pages {
        page.spare.iter().for_each(|version| unknown.add_line(&page.place, version));
    }
    for file in &survey.spare {
        unknown.add_file(&file.name);
    }
    let mut shelf = Shelf::of(layout, &current)?;
    shelf.spare.iter().for_each(|path| unknown.add_file(path.as_str()));
    live_work.let_go().for_each(|record| unknown.settle_live(record));
    let mut strange = feeds.strangers(layout, unknown)?;
    let sorted = survey.sort_out(&mut strange);
    let (crates, waiting, mut during, mut after) = due(&survey.spare, &strange, &sorted, &before, options);
    let strange_artifacts = shelf.spare.iter().map(SafePath::to_string).filter(|path| strange.has_file(path));
    let strange_artifacts: Vec<String> = strange_artifacts.chain(std::mem::take(&mut shelf.strangers)).collect();
    let artifacts = shelf.sort_out(&strange, options, &before, [&mut during, &mut after])?;

    let (artifact_files, artifact_bytes) = artifacts.after.counts();
    let counts = Counts {
        artifacts: artifact_files,
        artifact_bytes,
        crates: survey.names - sorted.files_gone,
        versions: survey.versions - crates.len() as u64,
        bytes: survey.bytes - crates.iter().map(|item| item.size).sum::<u64>(),
    };
    let mut strangers = sorted.strangers;
    strangers.append(&mut survey.strangers);
    let strange_files = survey.spare.iter().filter(|file| strange.has_file(&file.name));
    strangers.extend(strange_files.map(|file| format!("crates/{}", file.name)));
    strangers.extend(strange_artifacts);
    let [index_tree, lines_tree] = survey.trees;
    let kept = feeds.lineages.values().filter(|feed| !forget.contains(&feed.head.id));
    let contested: Vec<LineageHead> = kept.clone().flat_map(|feed| feed.also.iter().cloned()).collect();
    let mut sizes = BTreeMap::new();
    for record in kept.clone().flat_map(Feed::records) {
        let known = said.as_ref().and_then(|head| head.sizes.get(record)).copied();
        let size = known.map_or_else(|| ledger::size(layout, record), |known| Ok(Some(known)))?;
        sizes.extend(size.map(|size| (record.to_owned(), size)));
    }
    let head = Head {
        sizes,
        contested,
        last_import: feeds.last_import.clone(),
        toolchains: artifacts.after.toolchains(),
        imports: feeds.names.len() as u64,
        lineages: kept.map(|feed| feed.head.clone()).collect(),
        ..Head::default()
    }
    .with(counts);
    let has_head = said.is_some();
    let known = said.filter(|_| !was_torn(layout));
    // A mirror that nothing was ever imported into needs no head.
    let is_right = known.is_some_and(|known| Head { tool: head.tool.clone(), ..known } == head);
    // One of a mirror that live mode alone feeds is as good.
    let wants_head = !feeds.names.is_empty() || has_head || live.is_some();
    let work = Work {
        live: live_work.after(layout, &[&crates, &artifacts.names, &artifacts.components]),
        index: sorted.index,
        records: sorted.records,
        folders: index_tree.empty_folders().into_iter().chain(lines_tree.empty_folders()).collect(),
        artifact_folders: artifacts.folders,
        artifacts: artifacts.changes.then_some(artifacts.after),
        forget: lineages.iter().filter(|one| one.forgotten).map(|one| one.newest.clone()).collect(),
        accept: lineages.iter().filter(|one| one.accepted).map(|one| one.newest.clone()).collect(),
        newest_record: feeds.newest,
        removals: (during != before).then_some(during.clone()),
        removals_after: (after != during).then_some(after),
        head: (!is_right && wants_head).then_some(head),
        now: options.now,
    };
    let artifacts::Sorted { names, components, waiting: components_waiting, .. } = artifacts;
    let lines = sorted.lines;
    Ok(Plan { lineages, live, lines, crates, waiting, names, components, components_waiting, strangers, counts, work })
}

/// The ids of the lineages to let go.
fn forgotten(feeds: &Feeds, words: &[String], has_live: bool) -> Result<BTreeSet<String>, Error> {
    let words: Vec<String> = words.iter().filter(|word| !(has_live && *word == LIVE)).cloned().collect();
    // A run that was killed may have got this far.
    lineages_of(feeds, &words, |word| feeds.notes.iter().any(|note| fits(word, &note.lineage)))
}

/// The ids of the lineages whose newest bundle is accepted.
fn accepted(feeds: &Feeds, words: &[String]) -> Result<BTreeSet<String>, Error> {
    let mut ids = BTreeSet::new();
    for word in words {
        let (lineage, bundle) = word.split_once('@').map_or((word.as_str(), None), |(id, bundle)| (id, Some(bundle)));
        for id in lineages_of(feeds, &[lineage.to_owned()], |_| false)? {
            let newest = feeds.lineages.get(&id).map_or("", |feed| feed.head.bundle.as_str());
            if let Some(bundle) = bundle.filter(|bundle| !fits(bundle, newest)) {
                let (bundle, newest) = (bundle.to_owned(), newest.to_owned());
                return Err(Error::NotNewest { lineage: id, bundle, newest });
            }
            ids.insert(id);
        }
    }
    Ok(ids)
}

/// Whether `word` is the id or stands for it.
fn fits(word: &str, id: &str) -> bool {
    id == word || word.len() >= SHORTEST && id.starts_with(word)
}

/// The ids that `words` stand for; one that `is_gone` knows may stand for none.
fn lineages_of(feeds: &Feeds, words: &[String], is_gone: impl Fn(&str) -> bool) -> Result<BTreeSet<String>, Error> {
    let mut ids = BTreeSet::new();
    for word in words {
        let known = |feed: &Feed| feed.head.id_and_inputs();
        let fitting: Vec<&Feed> = feeds.lineages.values().filter(|feed| fits(word, &feed.head.id)).collect();
        match fitting.as_slice() {
            [one] => drop(ids.insert(one.head.id.clone())),
            [] if is_gone(word) => {}
            [] => {
                let known = feeds.lineages.values().map(known).collect();
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
pub(super) fn waiting(layout: &Layout) -> BTreeSet<String> {
    Removals::read(layout).map(|list| list.0.into_keys().collect()).unwrap_or_default()
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let Work { index, records, folders, artifact_folders, forget, accept, removals, removals_after, head, .. } =
            &self.work;
        let artifacts = self.work.artifacts.is_none() && artifact_folders.is_empty();
        let files = index.is_empty() && records.is_empty() && folders.is_empty() && self.crates.is_empty();
        let live = self.work.live.is_empty();
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
    pub fn bytes_waiting(&self) -> u64 {
        self.waiting.iter().map(|waiting| waiting.item.size).sum()
    }

    /// The rustup artifacts that go in this run, in this order.
    pub fn artifacts(&self) -> impl Iterator<Item = &Item> {
        self.names.iter().chain(&self.components)
    }

    /// When the last of what waits may go.
    pub fn until(&self) -> Option<Timestamp> {
        self.waiting.iter().chain(&self.components_waiting).map(|waiting| waiting.until).max()
    }
}
