//! Collection: what no lineage needs any more is planned, shown, and removed.
//!
//! **Current** is what the newest bundle of each lineage names, whether it shipped it, relied on it, kept it for another
//! input, or left its file out. Of everything else only that is removed which some bundle on record brought; what came
//! in any other way is reported as a stranger and stays. Where numbers and times disagree on which bundle is the newest,
//! what either names is current. A record that `manifest.json` knows of and the ledger lacks might be the newest:
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
//! 3. The notes of lineages that are let go; the list of removals.
//! 4. Index files, dependents first; then the records of lines; then folders that are left empty.
//! 5. The names are durable by now: the crates that are due. The list of removals, and the head.
//!
//! Killed anywhere, no line names a missing crate, and the next run finds in the tree what is left to do.

mod carry_out;
mod feeds;
mod removals;
mod tree;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::artifacts::Artifacts;
use super::head::{Counts, Head, LineageHead};
use super::layout::{self, Layout};
use super::lock::{self, CollectGuard};
use super::store;
use super::store::was_torn;
use crate::event::Sink;
use feeds::Keys;
pub(super) use feeds::{Feed, Feeds};
use removals::Removals;
use tree::{CrateFile, Page, Tree};

/// Every checkpoint of a collection, in the order in which one that does everything passes them.
pub const CHECKPOINTS: &[&str] = &[
    "gc:planned",
    "gc:staged",
    "gc:marked",
    "gc:forgotten",
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

/// The least of a lineage's id that stands for it.
const SHORTEST: usize = 4;

/// How to collect.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a crate stays after its line went.
    pub grace: Duration,
    /// Lineages to let go, each by its id or the beginning of it.
    pub forget: Vec<String>,
    /// The time of the run.
    pub now: Timestamp,
}

/// What a collection will do, and why.
#[derive(Debug)]
pub struct Plan {
    /// Who feeds the mirror, by id.
    pub lineages: Vec<Lineage>,
    /// Index lines that go.
    pub lines: Vec<Line>,
    /// Crates that go in this run, by name.
    pub crates: Vec<Crate>,
    /// Crates that go in a later run, by name.
    pub waiting: Vec<Waiting>,
    /// What no bundle on record brought; it stays.
    pub strangers: Vec<String>,
    /// What the mirror holds afterwards.
    pub counts: Counts,
    work: Work,
}

/// A lineage, as a plan shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// It is let go by this run, and counts no more.
    pub forgotten: bool,
}

/// An index line that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The crate's name, as the index path has it.
    pub name: String,
    /// The version.
    pub version: String,
}

/// A crate that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Crate {
    /// Its file.
    pub file: String,
    /// Bytes.
    pub size: u64,
}

/// A crate that goes later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The crate.
    #[serde(flatten)]
    pub item: Crate,
    /// When its grace is over (RFC 3339, UTC).
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
    /// Lineages to let go.
    forget: Vec<LineageHead>,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Index lines that were removed.
    pub lines: u64,
    /// Crates that were removed.
    pub crates: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Crates that wait for their removal.
    pub waiting: u64,
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

fn plan(layout: &Layout, options: &Options) -> Result<Plan, Error> {
    let feeds = Feeds::read(layout)?;
    let said = Head::read_file(layout)?;
    let mut lost = said.iter().flat_map(|head| &head.lineages).filter(|lineage| !feeds.names.contains(&lineage.record));
    if let Some(LineageHead { record, .. }) = lost.next() {
        return Err(Error::LostRecord { record: record.clone() });
    }
    let forget = forgotten(&feeds, &options.forget)?;
    let (mut current, mut let_go) = (Keys::default(), Keys::default());
    let mut lineages = Vec::new();
    for (id, feed) in &feeds.lineages {
        let forgotten = forget.contains(id);
        // What a forgotten one names is counted for the plan, and kept by nobody.
        let keys = if forgotten { &mut let_go } else { &mut current };
        let crates = Feeds::add_needs(layout, feed, keys)?;
        let Feed { head, file, imported, .. } = feed;
        let (newest, file, imported) = (head.clone(), file.clone(), imported.clone());
        lineages.push(Lineage { newest, file, imported, crates, forgotten });
    }

    let mut survey = Survey::of(layout, &mut current)?;
    let before = Removals::read(layout)?;
    let mut unknown = Keys::default();
    for page in &survey.pages {
        page.spare.iter().for_each(|version| unknown.add_line(&page.place, version));
    }
    for file in &survey.spare {
        unknown.add_file(&file.name);
    }
    let mut strange = feeds.strangers(layout, unknown)?;
    let sorted = survey.sort_out(&mut strange);
    let (crates, waiting, during, after) = due(&survey.spare, &strange, &sorted, &before, options);

    let artifacts = Artifacts::read(layout)?.unwrap_or_default();
    let (artifact_files, artifact_bytes) = artifacts.counts();
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
    let [index_tree, lines_tree] = survey.trees;
    let kept = feeds.lineages.values().filter(|feed| !forget.contains(&feed.head.id));
    let head = Head {
        last_import: feeds.last_import.clone(),
        toolchains: artifacts.toolchains(),
        imports: feeds.names.len() as u64,
        lineages: kept.map(|feed| feed.head.clone()).collect(),
        ..Head::default()
    }
    .with(counts);
    let known = said.filter(|_| !was_torn(layout));
    // A mirror that nothing was ever imported into needs no head.
    let is_right = known.is_some_and(|known| Head { tool: head.tool.clone(), ..known } == head);
    let work = Work {
        index: sorted.index,
        records: sorted.records,
        folders: index_tree.empty_folders().into_iter().chain(lines_tree.empty_folders()).collect(),
        forget: lineages.iter().filter(|one| one.forgotten).map(|one| one.newest.clone()).collect(),
        newest_record: feeds.newest,
        removals: (during != before).then_some(during.clone()),
        removals_after: (after != during).then_some(after),
        head: (!is_right && !feeds.names.is_empty()).then_some(head),
        now: options.now,
    };
    Ok(Plan { lineages, lines: sorted.lines, crates, waiting, strangers, counts, work })
}

/// The ids of the lineages to let go.
fn forgotten(feeds: &Feeds, words: &[String]) -> Result<BTreeSet<String>, Error> {
    let mut ids = BTreeSet::new();
    for word in words {
        let fits = |id: &str| id == word || word.len() >= SHORTEST && id.starts_with(word.as_str());
        let fitting: Vec<String> = feeds.lineages.keys().filter(|id| fits(id)).cloned().collect();
        match fitting.len() {
            1 => ids.extend(fitting),
            // A run that was killed may have got this far.
            0 if feeds.notes.iter().any(|note| fits(&note.lineage)) => {}
            0 => {
                let known = feeds.lineages.keys().cloned().collect();
                return Err(Error::NoLineage { word: word.clone(), known });
            }
            _ => return Err(Error::Ambiguous { word: word.clone(), known: fitting }),
        }
    }
    Ok(ids)
}

/// What lies in the tree, against what is current.
struct Survey {
    /// index/ and lines/.
    trees: [Tree; 2],
    /// Index files and records with something to decide, by place.
    pages: Vec<Page>,
    /// Crates that no lineage needs, by name.
    spare: Vec<CrateFile>,
    /// What belongs nowhere.
    strangers: Vec<String>,
    /// Index files.
    names: u64,
    /// Crates.
    versions: u64,
    /// Bytes of these.
    bytes: u64,
}

/// What of a survey goes, other than crates.
#[derive(Default)]
struct Sorted {
    index: Vec<Change>,
    records: Vec<Change>,
    lines: Vec<Line>,
    strangers: Vec<String>,
    /// Index files that go whole.
    files_gone: u64,
    /// The crates of lines that go, by their files' names in lower case: index paths are.
    losing_line: HashSet<String>,
    /// The crates of strange lines that stay, likewise.
    with_line: HashSet<String>,
}

impl Survey {
    fn of(layout: &Layout, current: &mut Keys) -> Result<Survey, Error> {
        let (index, lines) = (Tree::list(layout.index())?, Tree::list(layout.lines())?);
        let mut strangers: Vec<String> = index.odd.iter().map(|place| format!("index/{place}")).collect();
        let mut places = BTreeSet::new();
        let mut names = 0;
        for place in &index.files {
            if !place.contains('/') {
                if place != "config.json" {
                    strangers.push(format!("index/{place}"));
                }
                continue;
            }
            names += 1;
            if tree::is_index_place(place) {
                places.insert(place.as_str());
            } else {
                strangers.push(format!("index/{place}"));
            }
        }
        places.extend(lines.files.iter().filter(|place| tree::is_index_place(place)).map(String::as_str));
        let mut pages = Vec::new();
        for place in places {
            let page = Page::read(layout, place, current)?;
            if !page.is_settled() {
                pages.push(page);
            }
        }
        let (files, others) = tree::crate_files(layout)?;
        strangers.extend(others.into_iter().map(|name| format!("crates/{name}")));
        let (versions, bytes) = (files.len() as u64, files.iter().map(|file| file.size).sum());
        let spare = files.into_iter().filter(|file| !current.has_file(&file.name)).collect();
        Ok(Survey { trees: [index, lines], pages, spare, strangers, names, versions, bytes })
    }

    /// Decides on every page what goes; only what is not strange does.
    fn sort_out(&mut self, strange: &mut Keys) -> Sorted {
        let mut sorted = Sorted::default();
        let [index, lines] = &mut self.trees;
        for page in &self.pages {
            let (place, name) = (&page.place, page.place.rsplit('/').next().unwrap_or_default());
            let (stay, go): (Vec<&String>, Vec<&String>) =
                page.spare.iter().partition(|version| strange.has_line(place, version));
            let file_of = |version: &String| format!("{name}-{version}.crate").to_lowercase();
            sorted.with_line.extend(stay.iter().map(|version| file_of(version)));
            sorted.losing_line.extend(go.iter().map(|version| file_of(version)));
            sorted.strangers.extend(stay.iter().map(|version| format!("index/{place}: {version}")));
            if page.unreadable > 0 {
                sorted.strangers.push(format!("index/{place}: {} that cannot be read", count(page.unreadable, "line")));
            }
            let as_line = |version: &&String| Line { name: name.to_owned(), version: (*version).clone() };
            sorted.lines.extend(go.iter().map(as_line));
            let going: HashSet<String> = go.iter().copied().cloned().collect();
            let leaving: HashSet<String> = going.iter().chain(&page.orphans).cloned().collect();
            if page.recorded.iter().any(|version| leaving.contains(version)) {
                if page.recorded.iter().all(|version| leaving.contains(version)) {
                    lines.remove(place);
                }
                sorted.records.push(Change { place: place.clone(), versions: leaving });
            }
            if !going.is_empty() {
                if !page.has_others && stay.is_empty() {
                    index.remove(place);
                    sorted.files_gone += 1;
                }
                sorted.index.push(Change { place: place.clone(), versions: going });
            }
        }
        sorted
    }
}

/// The files of crates that wait for their removal, by name. A list that cannot be read names none.
pub(super) fn waiting(layout: &Layout) -> BTreeSet<String> {
    Removals::read(layout).map(|list| list.0.into_keys().collect()).unwrap_or_default()
}

/// Crates that go now, those that go later, and the list of removals meanwhile and after.
fn due(
    spare: &[CrateFile],
    strange: &Keys,
    sorted: &Sorted,
    before: &Removals,
    options: &Options,
) -> (Vec<Crate>, Vec<Waiting>, Removals, Removals) {
    let (mut crates, mut waiting) = (Vec::new(), Vec::new());
    let (mut during, mut after) = (Removals::default(), Removals::default());
    for CrateFile { name, size } in spare {
        let lower = name.to_lowercase();
        if strange.has_file(name) || sorted.with_line.contains(&lower) {
            continue;
        }
        let since = match before.0.get(name) {
            // A time to come is of a clock that went wrong.
            Some(since) if !sorted.losing_line.contains(&lower) => (*since).min(options.now),
            _ => options.now,
        };
        let until = since.saturating_add(options.grace).unwrap_or(Timestamp::MAX);
        let item = Crate { file: name.clone(), size: *size };
        during.0.insert(name.clone(), since);
        if until <= options.now {
            crates.push(item);
        } else {
            after.0.insert(name.clone(), since);
            waiting.push(Waiting { item, until });
        }
    }
    (crates, waiting, during, after)
}

fn count(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let Work { index, records, folders, forget, removals, removals_after, head, .. } = &self.work;
        let files = index.is_empty() && records.is_empty() && folders.is_empty() && self.crates.is_empty();
        files && forget.is_empty() && removals.is_none() && removals_after.is_none() && head.is_none()
    }

    /// Bytes of the crates that go in this run.
    pub fn bytes(&self) -> u64 {
        self.crates.iter().map(|item| item.size).sum()
    }

    /// Bytes of the crates that go in a later run.
    pub fn bytes_waiting(&self) -> u64 {
        self.waiting.iter().map(|waiting| waiting.item.size).sum()
    }

    /// When the last of the waiting crates may go.
    pub fn until(&self) -> Option<Timestamp> {
        self.waiting.iter().map(|waiting| waiting.until).max()
    }
}
