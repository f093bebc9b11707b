//! Compares the files on disk with the current ones, and decides which index lines and crates to remove, and when.

use std::collections::{BTreeSet, HashSet};

use super::dir_scan::{self, CrateFile, DirScan, IndexEntry};
use super::lineages::KeepSet;
use super::{Error, Line, VersionRemoval};
use crate::mirror::layout::Layout;
use crate::units::pluralize;

/// The files on disk, compared with the current ones.
pub(super) struct MirrorScan {
    /// index/ and lines/.
    pub(super) trees: [DirScan; 2],
    /// Index files and records with something to decide, by path.
    pub(super) entries: Vec<IndexEntry>,
    /// Crates that no lineage needs, by name.
    pub(super) unreferenced: Vec<CrateFile>,
    /// Unrecognized entries.
    pub(super) unrecognized: Vec<String>,
    /// Number of index files.
    pub(super) names: u64,
    /// Number of crates.
    pub(super) versions: u64,
    /// Total bytes of the crates.
    pub(super) bytes: u64,
}

/// Planned removals of a scan, other than crates.
#[derive(Default)]
pub(super) struct IndexDeletions {
    pub(super) index_lines: Vec<VersionRemoval>,
    pub(super) index_meta: Vec<VersionRemoval>,
    pub(super) lines: Vec<Line>,
    pub(super) unrecognized: Vec<String>,
    /// Index files to remove completely.
    pub(super) index_files_removed: u64,
    /// Crates of the lines to remove, by their file names in lower case, like index paths.
    pub(super) losing_line: HashSet<String>,
    /// Crates of unrecognized lines, which stay; in the same form.
    pub(super) with_unrecognized_line: HashSet<String>,
}

impl MirrorScan {
    pub(super) fn scan(layout: &Layout, current: &mut KeepSet) -> Result<MirrorScan, Error> {
        let (index, lines) = (
            DirScan::list(layout.index(), dir_scan::MAX_INDEX_DEPTH)?,
            DirScan::list(layout.index_meta(), dir_scan::MAX_INDEX_DEPTH)?,
        );
        let mut unrecognized: Vec<String> = index.unexpected.iter().map(|path| format!("index/{path}")).collect();
        let mut places = BTreeSet::new();
        let mut names = 0;
        for place in &index.files {
            if !place.contains('/') {
                if place != "config.json" {
                    unrecognized.push(format!("index/{place}"));
                }
                continue;
            }
            names += 1;
            if dir_scan::is_index_path(place) {
                places.insert(place.as_str());
            } else {
                unrecognized.push(format!("index/{place}"));
            }
        }
        places.extend(lines.files.iter().filter(|place| dir_scan::is_index_path(place)).map(String::as_str));
        let mut pages = Vec::new();
        for place in places {
            let page = IndexEntry::read(layout, place, current)?;
            if !page.needs_no_change() {
                pages.push(page);
            }
        }
        let (files, others) = dir_scan::list_crate_files(layout)?;
        unrecognized.extend(others.into_iter().map(|name| format!("crates/{name}")));
        let (versions, bytes) = (files.len() as u64, files.iter().map(|file| file.size).sum());
        let unreferenced = files.into_iter().filter(|file| !current.has_file(&file.name)).collect();
        Ok(MirrorScan { trees: [index, lines], entries: pages, unreferenced, unrecognized, names, versions, bytes })
    }

    /// Decides for every index file what to remove; unrecognized lines are kept.
    pub(super) fn classify(&mut self, unrecognized: &mut KeepSet) -> IndexDeletions {
        let mut sorted = IndexDeletions::default();
        let [index, lines] = &mut self.trees;
        for page in &self.entries {
            let (path, name) = (&page.path, page.path.rsplit('/').next().unwrap_or_default());
            let (stay, go): (Vec<&String>, Vec<&String>) =
                page.unreferenced.iter().partition(|version| unrecognized.has_line(path, version));
            let file_of = |version: &String| format!("{name}-{version}.crate").to_lowercase();
            sorted.with_unrecognized_line.extend(stay.iter().map(|version| file_of(version)));
            sorted.losing_line.extend(go.iter().map(|version| file_of(version)));
            sorted.unrecognized.extend(stay.iter().map(|version| format!("index/{path}: {version}")));
            if page.unreadable > 0 {
                sorted
                    .unrecognized
                    .push(format!("index/{path}: {} that cannot be read", pluralize(page.unreadable, "line")));
            }
            let as_line = |version: &&String| Line { name: name.to_owned(), version: (*version).clone() };
            sorted.lines.extend(go.iter().map(as_line));
            let going: HashSet<String> = go.iter().copied().cloned().collect();
            let leaving: HashSet<String> = going.iter().chain(&page.orphans).cloned().collect();
            if page.recorded.iter().any(|version| leaving.contains(version)) {
                if page.recorded.iter().all(|version| leaving.contains(version)) {
                    lines.mark_removed(path);
                }
                sorted.index_meta.push(VersionRemoval { path: path.clone(), versions: leaving });
            }
            if !going.is_empty() {
                if !page.has_others && stay.is_empty() {
                    index.mark_removed(path);
                    sorted.index_files_removed += 1;
                }
                sorted.index_lines.push(VersionRemoval { path: path.clone(), versions: going });
            }
        }
        sorted
    }
}
