//! The files that an audit checks, and the entries that do not belong in a mirror.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::problem::{Fault, Problem};
use crate::crate_id::CrateId;
use crate::index_line::RegistryConfig;
use crate::mirror::disk::read_folder;
use crate::mirror::layout::Layout;
use crate::mirror::listing::{self, Tree, Unexpected};
use crate::mirror::transaction::Error;

/// Entries that belong in the mirror's root. The server never serves names that begin with a dot; those are internal or
/// belong to the operating system.
const ROOT_ENTRIES: &[&str] =
    &["crates", "index", "dist", "rustup", "manifest.json", "lost+found", "System Volume Information"];

/// The files of a mirror.
pub(super) struct Listing {
    /// Crates whose files are stored, by the path of their index file.
    pub(super) crates: BTreeMap<String, Vec<CrateId>>,
    /// Index files, as paths relative to index/.
    pub(super) index: Vec<String>,
    /// Every path where an index file or a file of records exists or belongs.
    pub(super) index_paths: Vec<String>,
    /// Entries below dist/ and rustup/, as paths.
    pub(super) dist_files: BTreeSet<String>,
    /// Entries that do not belong in a mirror.
    pub(super) problems: Vec<Problem>,
}

impl Listing {
    /// Lists every folder of the mirror that clients read.
    pub(super) fn read(layout: &Layout) -> Result<Listing, Error> {
        let listing::Listing { crates: files, index, index_meta, dist_files } = listing::Listing::read(layout)?;
        let is_unknown = |name: &String| !name.starts_with('.') && !ROOT_ENTRIES.contains(&name.as_str());
        let unknown = read_folder(layout.root())?.into_iter().map(|(name, _)| name).filter(is_unknown);
        let mut problems: Vec<Problem> = unknown.map(|name| Problem::new(name, Fault::Unrecognized)).collect();
        let misplaced = |Unexpected { path, is_file_name }| {
            Problem::new(path, if is_file_name { Fault::NotAFile } else { Fault::Unrecognized })
        };
        problems.extend(index.unexpected.into_iter().chain(index_meta.unexpected).map(misplaced));
        let mut crates: BTreeMap<String, Vec<CrateId>> = BTreeMap::new();
        for (name, kind) in files {
            match CrateId::from_file_name(&name) {
                None => problems.push(Problem::new(format!("crates/{name}"), Fault::Unrecognized)),
                Some(_) if !kind.is_file() => problems.push(Problem::new(format!("crates/{name}"), Fault::NotAFile)),
                Some(id) => crates.entry(id.name.index_path()).or_default().push(id),
            }
        }
        let mut index_paths: Vec<String> =
            index.files.iter().cloned().chain(index_meta.files).chain(crates.keys().cloned()).collect();
        index_paths.sort_unstable();
        index_paths.dedup();
        let unexpected = dist_files.iter().flat_map(|tree| tree.unexpected.iter().map(|one| one.path.clone()));
        let dist_files = dist_files.iter().flat_map(Tree::paths).chain(unexpected).collect();
        match fs::read(layout.index_config()) {
            Ok(text) if serde_json::from_slice::<RegistryConfig>(&text).is_err() => {
                problems.push(Problem::new("index/config.json", Fault::Config));
            }
            _ => {}
        }
        Ok(Listing { crates, index: index.files, index_paths, dist_files, problems })
    }
}
