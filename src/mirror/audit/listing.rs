//! Lists the files of a mirror by name, without reading them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, FileType};
use std::path::Path;

use super::problem::{Fault, Problem};
use crate::crate_id::{CrateId, CrateName};
use crate::durable;
use crate::index_line::RegistryConfig;
use crate::mirror::layout::Layout;
use crate::mirror::transaction::{Error, failed};

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
            listing.add_dist_files(&layout.root().join(folder), folder)?;
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
        match parse_crate_file_name(name) {
            None => self.add_unrecognized(format!("crates/{name}")),
            Some(_) if !kind.is_file() => self.problems.push(Problem::new(format!("crates/{name}"), Fault::NotAFile)),
            Some(id) => {
                self.crates.entry(id.name.index_path()).or_default().push(id);
            }
        }
    }

    /// Lists the files below `root` as relative paths, and the entries that do not belong there.
    fn list_index_tree(root: &Path, shown: &str) -> Result<(BTreeSet<String>, Vec<Problem>), Error> {
        let (mut alone, mut found) = (Listing::default(), BTreeSet::new());
        alone.add_index_paths(root, shown, "", &mut found)?;
        Ok((found, alone.problems))
    }

    fn add_index_paths(
        &mut self,
        folder: &Path,
        shown: &str,
        path: &str,
        found: &mut BTreeSet<String>,
    ) -> Result<(), Error> {
        for (name, kind) in read_folder(folder)? {
            let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            let belongs = || name.parse::<CrateName>().is_ok_and(|name| name.index_path() == below);
            // An index path has two or three components: `1/a`, `se/rd/serde`.
            if kind.is_dir() && below.split('/').count() < 3 {
                self.add_index_paths(&folder.join(&name), shown, &below, found)?;
            } else if shown == "index" && below == "config.json" && kind.is_file() {
                continue;
            } else if !belongs() {
                self.add_unrecognized(format!("{shown}/{below}"));
            } else if !kind.is_file() {
                self.problems.push(Problem::new(format!("{shown}/{below}"), Fault::NotAFile));
            } else {
                found.insert(below);
            }
        }
        Ok(())
    }

    fn add_dist_files(&mut self, folder: &Path, shown: &str) -> Result<(), Error> {
        for (name, kind) in read_folder(folder)? {
            let below = format!("{shown}/{name}");
            if kind.is_dir() {
                self.add_dist_files(&folder.join(&name), &below)?;
            } else {
                self.dist_files.insert(below);
            }
        }
        Ok(())
    }

    fn add_unrecognized(&mut self, path: String) {
        self.problems.push(Problem::new(path, Fault::Unrecognized));
    }
}

/// Parses a crate file name. Crate names have no dot, so the digits before the first dot begin the version.
pub(in crate::mirror) fn parse_crate_file_name(name: &str) -> Option<CrateId> {
    let stem = name.strip_suffix(".crate")?;
    let dash = stem[..stem.find('.')?].rfind('-')?;
    let id = CrateId::parse(&stem[..dash], &stem[dash + 1..]).ok()?;
    (id.file_name() == name).then_some(id)
}

/// Names and types of the entries of `folder`; none if it does not exist. Links are not followed.
fn read_folder(folder: &Path) -> Result<Vec<(String, FileType)>, Error> {
    let listed = durable::if_exists(fs::read_dir(folder)).map_err(failed("list", folder))?;
    let Some(listed) = listed else { return Ok(Vec::new()) };
    listed
        .map(|entry| {
            let entry = entry.map_err(failed("list", folder))?;
            let kind = entry.file_type().map_err(failed("list", folder))?;
            Ok((entry.file_name().to_string_lossy().into_owned(), kind))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_file_name_parses_in_one_way() {
        let id = |name: &str| parse_crate_file_name(name).map(|id| id.to_string());
        for (name, reported) in [
            ("a-1.0.0.crate", "a 1.0.0"),
            ("foo-1-2.0.0.crate", "foo-1 2.0.0"),
            ("foo-1.0.0-rc.1-2.0.crate", "foo 1.0.0-rc.1-2.0"),
            ("zstd-sys-2.0.9+zstd.1.5.5.crate", "zstd-sys 2.0.9+zstd.1.5.5"),
        ] {
            assert_eq!(id(name).as_deref(), Some(reported));
        }
        for name in ["a.crate", "a-1.0.crate", "-1.0.0.crate", "a-01.0.0.crate", "a-1.0.0", "ä-1.0.0.crate", ".crate"]
        {
            assert_eq!(id(name), None, "{name}");
        }
    }
}
