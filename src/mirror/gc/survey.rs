//! What lies in the tree, held against what is current: which index lines and crates go, and when.

use std::collections::{BTreeSet, HashSet};

use super::feeds::Keys;
use super::removals::Removals;
use super::tree::{self, CrateFile, Page, Tree};
use super::{Change, Error, Item, Line, Options, Waiting};
use crate::mirror::layout::Layout;

/// What lies in the tree, against what is current.
pub(super) struct Survey {
    /// index/ and lines/.
    pub(super) trees: [Tree; 2],
    /// Index files and records with something to decide, by place.
    pub(super) pages: Vec<Page>,
    /// Crates that no lineage needs, by name.
    pub(super) spare: Vec<CrateFile>,
    /// What belongs nowhere.
    pub(super) strangers: Vec<String>,
    /// Index files.
    pub(super) names: u64,
    /// Crates.
    pub(super) versions: u64,
    /// Bytes of these.
    pub(super) bytes: u64,
}

/// What of a survey goes, other than crates.
#[derive(Default)]
pub(super) struct Sorted {
    pub(super) index: Vec<Change>,
    pub(super) records: Vec<Change>,
    pub(super) lines: Vec<Line>,
    pub(super) strangers: Vec<String>,
    /// Index files that go whole.
    pub(super) files_gone: u64,
    /// The crates of lines that go, by their files' names in lower case: index paths are.
    losing_line: HashSet<String>,
    /// The crates of strange lines that stay, likewise.
    with_line: HashSet<String>,
}

impl Survey {
    pub(super) fn of(layout: &Layout, current: &mut Keys) -> Result<Survey, Error> {
        let (index, lines) = (Tree::list(layout.index(), tree::DEPTH)?, Tree::list(layout.lines(), tree::DEPTH)?);
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
    pub(super) fn sort_out(&mut self, strange: &mut Keys) -> Sorted {
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

/// Crates that go now, those that go later, and the list of removals meanwhile and after.
pub(super) fn due(
    spare: &[CrateFile],
    strange: &Keys,
    sorted: &Sorted,
    before: &Removals,
    options: &Options,
) -> (Vec<Item>, Vec<Waiting>, Removals, Removals) {
    let (mut crates, mut waiting) = (Vec::new(), Vec::new());
    let (mut during, mut after) = (Removals::default(), Removals::default());
    for CrateFile { name, size } in spare {
        let lower = name.to_lowercase();
        if strange.has_file(name) || sorted.with_line.contains(&lower) {
            continue;
        }
        let (since, until) = before.of(name, sorted.losing_line.contains(&lower), options);
        let item = Item { file: name.clone(), size: *size };
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
