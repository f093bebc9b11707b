//! The history: what one destination has been sent, in `$FROSTMIRROR_HISTORY/lineage.json`.
//!
//! A history is a lineage: it has an id, it counts its bundles, and it remembers its inputs, each with its newest set. An
//! input is identified by its kind and its label; the path that it had on this machine is remembered here and in no bundle.
//! Every bundle names the sets of all inputs, so that fetching one project never makes another's crates garbage on the
//! far side. A bundle is recorded when it was written and found good, and not before.
//!
//! Each bundle is recorded with the crates that it was the first to name, so that a delta can be made against any
//! earlier one (`Memory::base`).
//!
//! The index lines as the bundles brought them are in `lines`, beside it (`Memory::lines`): upstream's next reading is held
//! against them, and they are there where upstream deleted a version. The file is written after the record, so that a kill
//! between the two sends a changed line once more.
//!
//! What a crate says of itself is kept too, because a bundle names crates whose files are not at hand any more. A
//! history without it is read.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::input_id::{InputId, InputKind, Label};
use super::random;
use super::toolchains::ToolchainRequest;
use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::Sha256;
use crate::durable;
use crate::event::Sink;
use crate::process_lock::ProcessLock;
use crate::safe_path::SafePath;

mod base;
mod error;
mod sent_lines;
mod plan;
#[cfg(test)]
mod tests;

pub use base::{DeltaBase, SentCrate};
pub use error::{DigestConflict, Error};
pub use plan::BundlePlan;

/// The version of the file that is read and written here. Version 3 has labels.
const FORMAT: u32 = 3;
/// How often the lock is tried while another process holds it.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Its name in the history's folder.
const FILE_NAME: &str = "lineage.json";

/// An open history. No other process changes it while this value lives.
#[derive(Debug)]
pub struct LockedHistory {
    history: History,
    _lock: ProcessLock,
}

/// What a history remembers.
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
    // Whether an input was forgotten that the newest bundle names.
    #[serde(default)]
    #[serde(rename = "forgotten")]
    has_forgotten_input: bool,
}

/// One input with its newest set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputSet {
    /// What identifies it.
    #[serde(flatten)]
    pub id: InputId,
    /// The file that it was read from on this machine; `None` where it never was a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// When it was last fetched (RFC 3339, UTC).
    #[serde(default)]
    pub fetched: String,
    /// What was asked for.
    pub roots: Vec<String>,
    /// What it needs, sorted, each once.
    pub crates: Vec<CrateRef>,
    /// What it needs besides and no bundle brings, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "left_out")]
    pub skipped_packages: Vec<SkippedPackage>,
    /// What it wants of toolchains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "order")]
    pub toolchain_request: Option<ToolchainRequest>,
    /// The rustup artifacts that it needs, sorted by path, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "artifacts")]
    pub dist_files: Vec<DistFileRef>,
}

/// A package that an input needs and that was left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SkippedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it comes from, as bundles name it.
    pub source: String,
    /// Why it was left out.
    #[serde(rename = "why")]
    pub reason: String,
}

/// One rustup artifact of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistFileRef {
    /// Where it belongs.
    pub path: SafePath,
    /// Its digest.
    pub sha256: Sha256,
    /// Its length in bytes; 0 where it is not known.
    pub size: u64,
}

/// One crate of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrateRef {
    /// Its name.
    pub name: CrateName,
    /// Its version.
    pub version: Version,
    /// The digest of its `.crate`.
    pub sha256: Sha256,
    /// The length of its `.crate` in bytes.
    pub size: u64,
    /// Whether it was yanked when the index was read.
    #[serde(default)]
    pub yanked: bool,
}

/// What a crate says of itself in its manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrateMetadata {
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Where its source is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

/// One bundle of the lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleRecord {
    /// Its id.
    pub id: String,
    /// Its file's name.
    pub file: String,
    /// Its number in the lineage, from 1.
    pub sequence: u64,
    /// When it was written (RFC 3339, UTC).
    pub created: String,
    /// `full`, `delta`, or [`REPAIR_KIND`].
    pub kind: String,
    /// Bytes of its file.
    pub size: u64,
    /// The crates that no bundle before it named and kept naming.
    #[serde(rename = "came")]
    pub introduced: Vec<SentCrate>,
    /// Likewise of rustup artifacts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "artifacts")]
    pub introduced_dist_files: Vec<DistFileRef>,
    /// The crates of earlier bundles whose index lines upstream had changed; the bundle brought the new ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refreshed: Vec<SentCrate>,
}

/// The kind of a bundle that mends a mirror: it says nothing new of the lineage.
pub const REPAIR_KIND: &str = "repair";

impl CrateRef {
    /// The crate's identity.
    pub fn id(&self) -> CrateId {
        CrateId { name: self.name.clone(), version: self.version.clone() }
    }
}

/// How the user names an input of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRef {
    /// As it was typed: a label, or what is shown of an input.
    pub text: String,
    /// The same as the absolute path of a file.
    pub path: PathBuf,
}

impl InputSet {
    /// Whether the user may mean this one.
    fn matches(&self, name: &InputRef) -> bool {
        self.id.matches(&name.text) || self.path.as_ref() == Some(&name.path)
    }
}

impl LockedHistory {
    /// Opens the history in `folder`, or begins one; waits for another process that has it open, and says so.
    ///
    /// # Errors
    /// The history's own; an I/O error of the kind `Interrupted` where the wait was stopped.
    pub fn open(folder: &Path, sink: &dyn Sink) -> Result<LockedHistory, Error> {
        let path = folder.join(FILE_NAME);
        let failed = |source| Error::Io { path: path.clone(), source };
        durable::make_folder(folder).map_err(failed)?;
        let lock = wait_for_lock(folder, sink).map_err(failed)?;
        remove_partial_files(folder);
        Ok(LockedHistory { history: History::read(folder)?, _lock: lock })
    }

    /// Records the bundle that `plan` became. To be called when it was written and verified.
    pub fn record(&mut self, plan: &BundlePlan, bundle: BundleRecord) -> Result<(), Error> {
        let mut state = self.state.clone();
        // A bundle that mends says nothing of the lineage.
        state.has_forgotten_input &= bundle.kind == REPAIR_KIND;
        state.inputs.clone_from(&plan.inputs);
        state.bundles.push(bundle);
        let needed: HashSet<Sha256> = all_crates(&state.inputs).map(|crate_ref| crate_ref.sha256).collect();
        state.crate_metadata = plan
            .crate_metadata
            .iter()
            .filter(|(of, _)| needed.contains(of))
            .map(|(of, told)| (*of, told.clone()))
            .collect();
        self.write(state)?;
        self.history.record_lines(&plan.lines)
    }

    /// Remembers when and where today's inputs were read, where nothing else is new.
    ///
    /// # Errors
    /// The file system's.
    pub fn update_inputs_read(&mut self, today: &[InputSet]) -> Result<(), Error> {
        let mut state = self.state.clone();
        for old in &mut state.inputs {
            if let Some(new) = today.iter().find(|new| new.id == old.id) {
                old.fetched.clone_from(&new.fetched);
                old.path.clone_from(&new.path);
            }
        }
        if state.inputs == self.state.inputs { Ok(()) } else { self.write(state) }
    }

    /// Removes the input that the user calls `name`. The next bundle no longer names what only it needs.
    ///
    /// # Errors
    /// [`Error::UnknownInput`], [`Error::AmbiguousInput`]; the file system's.
    pub fn forget(&mut self, name: &InputRef) -> Result<InputId, Error> {
        let id = self.find_input(name)?.id.clone();
        let mut state = self.state.clone();
        state.inputs.retain(|input| input.id != id);
        state.has_forgotten_input = true;
        self.write(state)?;
        Ok(id)
    }

    /// Gives another label to the input that the user calls `name`; both identities, the old one first.
    ///
    /// # Errors
    /// [`Error::UnknownInput`], [`Error::AmbiguousInput`], [`Error::LabelTaken`]; the file system's.
    pub fn relabel(&mut self, name: &InputRef, label: &Label) -> Result<(InputId, InputId), Error> {
        let old = self.find_input(name)?.id.clone();
        let kind = if old.kind == InputKind::Crate { InputKind::LabelledCrate } else { old.kind };
        let new = InputId { label: label.to_string(), kind };
        if self.state.inputs.iter().any(|input| input.id == new) && new != old {
            return Err(Error::LabelTaken { path: self.path.clone(), id: new });
        }
        let mut state = self.state.clone();
        state.inputs.iter_mut().filter(|input| input.id == old).for_each(|input| input.id = new.clone());
        state.inputs.sort_by(|a, b| a.id.cmp(&b.id));
        self.write(state)?;
        Ok((old, new))
    }

    fn write(&mut self, state: HistoryFile) -> Result<(), Error> {
        let failed = |source| Error::Io { path: self.path.clone(), source };
        let mut text = serde_json::to_vec_pretty(&state).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        durable::write(&self.path, &text).map_err(failed)?;
        self.history.state = state;
        Ok(())
    }
}

impl Deref for LockedHistory {
    type Target = History;

    fn deref(&self) -> &History {
        &self.history
    }
}

impl History {
    /// What the history in `folder` remembers now; one that is not there remembers nothing. Changes nothing, and waits
    /// for nobody: the file is only ever replaced whole.
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

    /// The inputs that it remembers, with their newest sets.
    pub fn inputs(&self) -> &[InputSet] {
        &self.state.inputs
    }

    /// The bundles that were recorded, oldest first.
    pub fn bundles(&self) -> &[BundleRecord] {
        &self.state.bundles
    }

    /// The file that holds it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The lineage's id.
    pub fn lineage(&self) -> &str {
        &self.state.lineage
    }

    /// The input that the user calls `name`.
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

    /// Refuses an input of today that has the identity of another file which is still there: each would make garbage of
    /// what the other needs.
    ///
    /// # Errors
    /// [`Error::SameLabel`].
    pub fn check_label(&self, id: &InputId, new: &Path) -> Result<(), Error> {
        let same_id = self.state.inputs.iter().find(|input| input.id == *id);
        match same_id.and_then(|known| known.path.as_deref()) {
            Some(old) if old != new && old.exists() && !is_same_file(old, new) => {
                let (id, new, old) = (id.clone(), new.to_owned(), old.to_owned());
                Err(Error::SameLabel { id, new, old, together: false })
            }
            _ => Ok(()),
        }
    }

    /// What the inputs want of toolchains that are neither in `today` nor in `forget`. They share their channels with
    /// today's: where one moves, what all of them need of it must come along.
    pub fn other_toolchain_requests(&self, today: &[InputId], forget: &[InputRef]) -> Vec<(InputId, ToolchainRequest)> {
        let is_forgotten = |old: &InputSet| forget.iter().any(|name| old.matches(name));
        let others = self.state.inputs.iter().filter(|old| !today.contains(&old.id) && !is_forgotten(old));
        others.filter_map(|old| Some((old.id.clone(), old.toolchain_request.clone()?))).collect()
    }

    /// The paths at which the rustup artifact of this digest lies, or lay when a bundle brought it.
    pub fn paths_of_digest(&self, sha256: Sha256) -> BTreeSet<SafePath> {
        let from_inputs = self.state.inputs.iter().flat_map(|input| &input.dist_files);
        let from_bundles = self.state.bundles.iter().flat_map(|bundle| &bundle.introduced_dist_files);
        from_inputs.chain(from_bundles).filter(|held| held.sha256 == sha256).map(|held| held.path.clone()).collect()
    }

    /// What an input last needed of toolchains.
    pub fn recorded_toolchains(&self, id: &InputId) -> Option<(ToolchainRequest, Vec<DistFileRef>)> {
        let known = self.state.inputs.iter().find(|input| input.id == *id)?;
        Some((known.toolchain_request.clone()?, known.dist_files.clone()))
    }

    /// The newest bundle that said something of the lineage.
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

fn wait_for_lock(folder: &Path, sink: &dyn Sink) -> io::Result<ProcessLock> {
    let path = folder.join("lock");
    let mut reported = false;
    loop {
        let owner = match ProcessLock::try_lock(&path)? {
            Ok(lock) => return Ok(lock),
            Err(owner) => owner,
        };
        if !reported {
            reported = true;
            sink.status("Blocking", format!("waiting for {owner}, which uses the history `{}`", folder.display()));
        }
        if sink.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        std::thread::sleep(LOCK_POLL_INTERVAL);
    }
}

/// Removes what a killed process left half-written. The caller holds the lock.
fn remove_partial_files(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(".part-")) {
            let _stays = fs::remove_file(entry.path()).is_err();
        }
    }
}

/// Whether two paths lead to the same file.
fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
