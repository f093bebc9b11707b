//! Lists the files of a mirror by name, without reading them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, FileType};
use std::path::Path;

use super::problem::{Fault, Problem};
use crate::crate_id::{CrateId, CrateName};
use crate::index_line::RegistryConfig;
use crate::mirror::disk::{self, Entry, read_folder};
use crate::mirror::layout::Layout;
use crate::mirror::transaction::Error;

/// Entries that belong in the mirror's root. The server never serves names that begin with a dot; those are internal or
/// belong to the operating system.
const ROOT_ENTRIES: &[&str] =
    &["crates", "index", "dist", "rustup", "manifest.json", "lost+found", "System Volume Information"];

/// The files of a mirror.
#[derive(Default)]
pub(super) struct Listing {
    /// Files in crates/ with a crate file name, by the path of their index file.
    pub(super) crates: BTreeMap<String, Vec<CrateId>>,
    /// Index files, as paths relative to index/.
    pub(super) index: BTreeSet<String>,
    /// Files of line records, as paths relative to lines/.
    pub(super) index_meta: BTreeSet<String>,
    /// Files below dist/ and rustup/, as paths.
    pub(super) dist_files: BTreeSet<String>,
    /// Entries that do not belong in a mirror.
    pub(super) problems: Vec<Problem>,
}

impl Listing {
    /// Lists every folder of the mirror that clients read.
    pub(super) fn read(layout: &Layout) -> Result<Listing, Error> {
        let mut listing = Listing::default();
        for (name, _) in read_folder(layout.root())? {
            if !name.starts_with('.') && !ROOT_ENTRIES.contains(&name.as_str()) {
                listing.add_unrecognized(name);
            }
        }
        // A tree of small folders takes as long to list as all crates, so both are listed in parallel.
        let (crates, trees) = std::thread::scope(|scope| {
            let trees = [(layout.index(), "index"), (layout.index_meta(), ".frostmirror/lines")]
                .map(|(root, shown)| scope.spawn(move || Listing::list_index_tree(&root, shown)));
            let crates = read_folder(&layout.crates());
            (crates, trees.map(|tree| tree.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))))
        });
        for (name, kind) in crates? {
            listing.add_crate_file(&name, kind);
        }
        let [index, records] = trees;
        for (tree, places) in [(index?, &mut listing.index), (records?, &mut listing.index_meta)] {
            let (found, mut problems) = tree;
            *places = found;
            listing.problems.append(&mut problems);
        }
        for folder in ["dist", "rustup"] {
            let entries = disk::list(&layout.root().join(folder), usize::MAX)?.into_iter();
            let files = entries.filter(|entry| !entry.is_listed);
            listing.dist_files.extend(files.map(|entry| format!("{folder}/{}", entry.path)));
        }
        match fs::read(layout.index_config()) {
            Ok(text) if serde_json::from_slice::<RegistryConfig>(&text).is_err() => {
                listing.problems.push(Problem::new("index/config.json", Fault::Config));
            }
            _ => {}
        }
        Ok(listing)
    }

    /// Every path where an index file or a file of records exists or belongs, without duplicates.
    pub(super) fn index_paths(&self) -> Vec<&str> {
        let places: BTreeSet<&String> = self.index.iter().chain(&self.index_meta).chain(self.crates.keys()).collect();
        places.into_iter().map(String::as_str).collect()
    }

    fn add_crate_file(&mut self, name: &str, kind: FileType) {
        if name == "index" {
            return;
        }
        match CrateId::from_file_name(name) {
            None => self.add_unrecognized(format!("crates/{name}")),
            Some(_) if !kind.is_file() => self.problems.push(Problem::new(format!("crates/{name}"), Fault::NotAFile)),
            Some(id) => {
                self.crates.entry(id.name.index_path()).or_default().push(id);
            }
        }
    }

    /// Lists the files below `root` as relative paths, and the entries that do not belong there.
    fn list_index_tree(root: &Path, shown: &str) -> Result<(BTreeSet<String>, Vec<Problem>), Error> {
        let (mut found, mut problems) = (BTreeSet::new(), Vec::new());
        // An index path has two or three components: `1/a`, `se/rd/serde`.
        for Entry { path, kind, .. } in disk::list(root, 2)?.into_iter().filter(|entry| !entry.is_listed) {
            let name = path.rsplit('/').next().unwrap_or_default();
            if shown == "index" && path == "config.json" && kind.is_file() {
                continue;
            } else if !name.parse::<CrateName>().is_ok_and(|name| name.index_path() == path) {
                problems.push(Problem::new(format!("{shown}/{path}"), Fault::Unrecognized));
            } else if !kind.is_file() {
                problems.push(Problem::new(format!("{shown}/{path}"), Fault::NotAFile));
            } else {
                found.insert(path);
            }
        }
        Ok((found, problems))
    }

    fn add_unrecognized(&mut self, path: String) {
        self.problems.push(Problem::new(path, Fault::Unrecognized));
    }
}
