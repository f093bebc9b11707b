//! The history: the record of what was sent to one destination, in `$FROSTMIRROR_HISTORY/lineage.json`.
//!
//! A history is a lineage: it has an ID, it counts its bundles, and it stores its inputs, each with its newest set. An
//! input is identified by its kind and its label; its path on this machine is stored here and in no bundle. Every
//! bundle lists the sets of all inputs, so fetching one project never turns another project's crates into garbage on
//! the mirror. A bundle is recorded only after it was written and verified.
//!
//! Each bundle is recorded with the crates that it introduced, so that a delta can use any earlier bundle as its base
//! (`Memory::base`).
//!
//! The file `lines` beside it has the index lines of the bundles (`Memory::lines`). They are compared with upstream's
//! current lines, and are available if upstream deletes a version. This file is written after the record, so a kill
//! between the two sends a changed line again.
//!
//! The metadata of crates is stored too, because a bundle lists crates whose files are no longer cached. A history
//! without metadata is valid.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::inputs::input_id::InputId;
use crate::random;
use crate::safe_path::SafePath;
use crate::upstream::dist::ToolchainRequest;

mod base;
mod locked;
mod records;
mod error;
mod sent_lines;
mod plan;
#[cfg(test)]
mod tests;

pub use base::{DeltaBase, EMPTY_BASE};
pub use locked::LockedHistory;
pub use records::{BundleRecord, CrateMetadata, CrateRef, DistFileRef, InputRef, InputSet, REPAIR_KIND};

pub use error::{DigestConflict, Error};
pub use plan::BundlePlan;

use records::FORMAT;

/// The file name in the history's folder.
const FILE_NAME: &str = "lineage.json";

/// The content of a history.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    state: HistoryFile,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct HistoryFile {
    format: u32,
    lineage: String,
    inputs: Vec<InputSet>,
    bundles: Vec<BundleRecord>,
    #[serde(default)]
    #[serde(rename = "told")]
    crate_metadata: BTreeMap<Sha256, CrateMetadata>,
    // Whether an input was retired that the newest bundle lists.
    #[serde(default)]
    #[serde(rename = "forgotten")]
    has_forgotten_input: bool,
}

/// Whether the file of an input exists. A workspace does not need its Cargo.lock, so its Cargo.toml counts too.
pub(super) fn is_input_present(file: &Path) -> bool {
    file.exists() || file.ends_with("Cargo.lock") && file.with_file_name("Cargo.toml").exists()
}

impl History {
    /// Reads the content of the history in `folder`; a missing history is empty. Changes nothing and does not wait: the
    /// file is only replaced as a whole.
    pub fn read(folder: &Path) -> Result<History, Error> {
        let path = folder.join(FILE_NAME);
        let failed = |source| Error::Io { path: path.clone(), source };
        let state = match fs::read(&path) {
            Ok(bytes) => parse_history(&bytes, &path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => HistoryFile {
                format: FORMAT,
                lineage: random::hex(16).map_err(failed)?,
                inputs: Vec::new(),
                bundles: Vec::new(),
                crate_metadata: BTreeMap::new(),
                has_forgotten_input: false,
            },
            Err(error) => return Err(failed(error)),
        };
        Ok(History { path, state })
    }

    /// The inputs with their newest sets.
    pub fn inputs(&self) -> &[InputSet] {
        &self.state.inputs
    }

    /// The inputs whose files no longer exist, each with its file.
    pub fn missing_inputs(&self) -> impl Iterator<Item = (&InputId, &Path)> {
        let files = self.state.inputs.iter().filter_map(|input| Some((&input.id, input.path.as_deref()?)));
        files.filter(|(_, path)| !is_input_present(path))
    }

    /// The recorded bundles, oldest first.
    pub fn bundles(&self) -> &[BundleRecord] {
        &self.state.bundles
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The ID of the lineage.
    pub fn lineage(&self) -> &str {
        &self.state.lineage
    }

    /// The input with the user's name `name`.
    ///
    /// # Errors
    /// [`Error::UnknownInput`], [`Error::AmbiguousInput`].
    pub fn find_input(&self, name: &InputRef) -> Result<&InputSet, Error> {
        let names = |inputs: &[&InputSet]| inputs.iter().map(|input| input.id.to_string()).collect();
        let found: Vec<&InputSet> = self.state.inputs.iter().filter(|input| input.matches(name)).collect();
        let (path, text) = (self.path.clone(), name.text.clone());
        match found.as_slice() {
            [one] => Ok(one),
            [] => {
                let all: Vec<&InputSet> = self.state.inputs.iter().collect();
                Err(Error::UnknownInput { path, name: text, names: names(&all) })
            }
            several => Err(Error::AmbiguousInput { path, name: text, names: names(several) }),
        }
    }

    /// Rejects an input of this run with the identity of another existing file: each would turn the other's crates into
    /// garbage.
    ///
    /// # Errors
    /// [`Error::SameLabel`].
    pub fn check_label(&self, id: &InputId, new: &Path) -> Result<(), Error> {
        let same_id = self.state.inputs.iter().find(|input| input.id == *id);
        match same_id.and_then(|known| known.path.as_deref()) {
            Some(old) if old != new && is_input_present(old) && !is_same_file(old, new) => {
                let (id, new, old) = (id.clone(), new.to_owned(), old.to_owned());
                Err(Error::SameLabel { id, new, old, together: false })
            }
            _ => Ok(()),
        }
    }

    /// Another input of the history whose file is the one of this run's input `id`, unless this run forgets it.
    pub fn find_same_file(&self, id: &InputId, path: &Path, forget: &[InputRef]) -> Option<&InputId> {
        let is_same = |known: &&InputSet| {
            known.id != *id
                && known.id.kind == id.kind
                && known.path.as_deref().is_some_and(|old| is_same_file(old, path))
                && !forget.iter().any(|name| known.matches(name))
        };
        self.state.inputs.iter().find(is_same).map(|known| &known.id)
    }

    /// The toolchain requests of the inputs that are neither in `today` nor in `forget`. They share their channels with
    /// this run's inputs: if a channel moves, the files for all of them must be included.
    pub fn other_toolchain_requests(&self, today: &[InputId], forget: &[InputRef]) -> Vec<(InputId, ToolchainRequest)> {
        let is_forgotten = |old: &InputSet| forget.iter().any(|name| old.matches(name));
        let others = self.state.inputs.iter().filter(|old| !today.contains(&old.id) && !is_forgotten(old));
        others.filter_map(|old| Some((old.id.clone(), old.toolchain_request.clone()?))).collect()
    }

    /// The current and earlier paths of the dist file with this digest.
    pub fn paths_of_digest(&self, sha256: Sha256) -> BTreeSet<SafePath> {
        let from_inputs = self.state.inputs.iter().flat_map(|input| &input.dist_files);
        let from_bundles = self.state.bundles.iter().flat_map(|bundle| &bundle.introduced_dist_files);
        from_inputs
            .chain(from_bundles)
            .filter(|stored| stored.sha256 == sha256)
            .map(|stored| stored.path.clone())
            .collect()
    }

    /// The last toolchain needs of an input.
    pub fn recorded_toolchains(&self, id: &InputId) -> Option<(ToolchainRequest, Vec<DistFileRef>)> {
        let known = self.state.inputs.iter().find(|input| input.id == *id)?;
        Some((known.toolchain_request.clone()?, known.dist_files.clone()))
    }

    /// The newest bundle that changed the lineage.
    pub fn newest_bundle(&self) -> Option<&BundleRecord> {
        self.state.bundles.iter().rev().find(|bundle| bundle.kind != REPAIR_KIND)
    }
}

fn all_crates(inputs: &[InputSet]) -> impl Iterator<Item = &CrateRef> {
    inputs.iter().flat_map(|input| &input.crates)
}

fn parse_history(bytes: &[u8], path: &Path) -> Result<HistoryFile, Error> {
    #[derive(Deserialize)]
    struct FormatOnly {
        format: u32,
    }
    let damaged = |source| Error::Damaged { path: path.to_owned(), source };
    let head: FormatOnly = serde_json::from_slice(bytes).map_err(damaged)?;
    if head.format != FORMAT {
        return Err(Error::UnsupportedFormat {
            path: path.to_owned(),
            found: head.format,
            newer: head.format > FORMAT,
        });
    }
    let state: HistoryFile = serde_json::from_slice(bytes).map_err(damaged)?;
    let digits = state.lineage.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !digits || state.lineage.len() != 32 {
        let what = "the lineage's id is not 32 hexadecimal digits";
        return Err(damaged(serde::de::Error::custom(what)));
    }
    Ok(state)
}

/// Whether two paths lead to the same file.
fn is_same_file(a: &Path, b: &Path) -> bool {
    // The lock of a workspace may be missing.
    let folder_and_name = |path: &Path| Some((path.parent()?.canonicalize().ok()?, path.file_name()?.to_owned()));
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
        || matches!((folder_and_name(a), folder_and_name(b)), (Some(a), Some(b)) if a == b)
}
