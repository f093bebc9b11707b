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

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::bundle::format::SkippedPackage;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::durable;
use crate::event::Sink;
use crate::index_line::IndexLine;
use crate::inputs::input_id::{InputId, InputKind, Label};
use crate::process_lock::{LOCK_POLL_INTERVAL, ProcessLock, REPORT_WAIT_AFTER};
use crate::random;
use crate::safe_path::SafePath;
use crate::upstream::dist::ToolchainRequest;

mod base;
mod error;
mod sent_lines;
mod plan;
#[cfg(test)]
mod tests;

pub use base::{DeltaBase, EMPTY_BASE};
pub use error::{DigestConflict, Error};
pub use plan::BundlePlan;

/// The supported version of the file format. Version 3 has labels.
const FORMAT: u32 = 3;
/// The file name in the history's folder.
const FILE_NAME: &str = "lineage.json";

/// An open history. It is locked: no other process changes it while this value exists.
#[derive(Debug)]
pub struct LockedHistory {
    history: History,
    _lock: ProcessLock,
}

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

/// One input with its newest set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputSet {
    /// The identity of the input.
    #[serde(flatten)]
    pub id: InputId,
    /// Its file on this machine; `None` if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The time of its last fetch (RFC 3339, UTC).
    #[serde(default)]
    pub fetched: String,
    /// The requested entries.
    pub roots: Vec<String>,
    /// The required crates, sorted, without duplicates.
    pub crates: Vec<CrateRef>,
    /// Required packages that no bundle includes, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "left_out")]
    pub skipped_packages: Vec<SkippedPackage>,
    /// The toolchain request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "order")]
    pub toolchain_request: Option<ToolchainRequest>,
    /// The required dist files, sorted by path, without duplicates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "artifacts")]
    pub dist_files: Vec<DistFileRef>,
}

/// One dist file of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistFileRef {
    /// Its path.
    pub path: SafePath,
    /// Its digest.
    pub sha256: Sha256,
    /// Its size in bytes; 0 if unknown.
    pub size: u64,
}

/// One crate of a set or of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrateRef {
    /// Its name and version.
    #[serde(flatten)]
    pub id: CrateId,
    /// The digest of its `.crate`.
    pub sha256: Sha256,
    /// The size of its `.crate` in bytes; 0 if unknown.
    #[serde(default)]
    pub size: u64,
    /// Whether it was yanked when the index was read.
    #[serde(default)]
    pub yanked: bool,
}

/// The metadata of a crate from its manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrateMetadata {
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The URL of its source repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

/// One bundle of the lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleRecord {
    /// Its ID.
    pub id: String,
    /// Its file name.
    pub file: String,
    /// Its number in the lineage, from 1.
    pub sequence: u64,
    /// The time of its creation (RFC 3339, UTC).
    pub created: String,
    /// `full`, `delta`, or [`REPAIR_KIND`].
    pub kind: String,
    /// Its size in bytes.
    pub size: u64,
    /// The crates that it introduced: the bundle before it did not list them.
    #[serde(rename = "came")]
    pub introduced: Vec<CrateRef>,
    /// Likewise for dist files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "artifacts")]
    pub introduced_dist_files: Vec<DistFileRef>,
    /// Crates of earlier bundles whose index lines upstream had changed; this bundle has the new lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refreshed: Vec<CrateRef>,
}

/// The kind of a repair bundle, which does not change the lineage.
pub const REPAIR_KIND: &str = "repair";

impl From<&IndexLine> for CrateRef {
    fn from(line: &IndexLine) -> CrateRef {
        CrateRef { id: line.id.clone(), sha256: line.cksum, size: 0, yanked: line.yanked }
    }
}

/// The user's name for an input of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRef {
    /// The name as typed: a label, or the displayed form of an input.
    pub text: String,
    /// The same as the absolute path of a file.
    pub path: PathBuf,
}

/// Whether the file of an input exists. A workspace does not need its Cargo.lock, so its Cargo.toml counts too.
pub(super) fn is_input_present(file: &Path) -> bool {
    file.exists() || file.ends_with("Cargo.lock") && file.with_file_name("Cargo.toml").exists()
}

impl InputSet {
    /// Whether the name matches this input.
    fn matches(&self, name: &InputRef) -> bool {
        self.id.matches(&name.text) || self.path.as_ref() == Some(&name.path)
    }
}

impl LockedHistory {
    /// Opens the history in `folder` for `verb`, or creates one. Waits for another process that has it open, and reports
    /// the wait.
    ///
    /// # Errors
    /// An error of the history; an I/O error of the kind `Interrupted` if the wait was cancelled.
    pub fn open(folder: &Path, verb: &str, sink: &dyn Sink) -> Result<LockedHistory, Error> {
        let path = folder.join(FILE_NAME);
        let failed = |source| Error::Io { path: path.clone(), source };
        durable::make_folder(folder).map_err(failed)?;
        let lock = wait_for_lock(folder, verb, sink).map_err(failed)?;
        remove_partial_files(folder);
        Ok(LockedHistory { history: History::read(folder)?, _lock: lock })
    }

    /// Records the bundle of `plan`, with the index lines in it. Call it after the bundle was written and verified.
    pub fn record<'l>(
        &mut self,
        plan: &BundlePlan,
        lines: impl IntoIterator<Item = &'l IndexLine>,
        bundle: BundleRecord,
    ) -> Result<(), Error> {
        let mut state = self.state.clone();
        // A repair bundle does not change the lineage.
        state.has_forgotten_input &= bundle.kind == REPAIR_KIND;
        state.inputs.clone_from(&plan.inputs);
        state.bundles.push(bundle);
        let needed: HashSet<Sha256> = all_crates(&state.inputs).map(|crate_ref| crate_ref.sha256).collect();
        state.crate_metadata = plan
            .crate_metadata
            .iter()
            .filter(|(of, _)| needed.contains(of))
            .map(|(of, message)| (*of, message.clone()))
            .collect();
        self.write(state)?;
        self.history.record_lines(lines)
    }

    /// Records the time and the paths of this run's inputs, if nothing else is new.
    ///
    /// # Errors
    /// A file system error.
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

    /// Removes the input with the user's name `name`. The next bundle omits crates that only it needs.
    ///
    /// # Errors
    /// [`Error::UnknownInput`], [`Error::AmbiguousInput`], or a file system error.
    pub fn forget(&mut self, name: &InputRef) -> Result<InputId, Error> {
        let id = self.find_input(name)?.id.clone();
        let mut state = self.state.clone();
        state.inputs.retain(|input| input.id != id);
        state.has_forgotten_input = true;
        self.write(state)?;
        Ok(id)
    }

    /// Changes the label of the input with the user's name `name`. Returns both identities, the old one first.
    ///
    /// # Errors
    /// [`Error::UnknownInput`], [`Error::AmbiguousInput`], [`Error::LabelTaken`], or a file system error.
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

fn wait_for_lock(folder: &Path, verb: &str, sink: &dyn Sink) -> io::Result<ProcessLock> {
    let path = folder.join("lock");
    let (began, mut reported) = (Instant::now(), false);
    loop {
        let owner = match ProcessLock::try_lock(&path, verb)? {
            Ok(lock) => return Ok(lock),
            Err(owner) => owner,
        };
        // By then, the other process has written who it is.
        if !reported && began.elapsed() >= REPORT_WAIT_AFTER {
            reported = true;
            sink.status("Blocking", format!("waiting for {owner}, which uses the history `{}`", folder.display()));
        }
        if sink.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        std::thread::sleep(LOCK_POLL_INTERVAL);
    }
}

/// Removes partial files of a killed process. The caller holds the lock.
fn remove_partial_files(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(".part-")) {
            let _stays = fs::remove_file(entry.path()).is_err();
        }
    }
}

/// Whether two paths lead to the same file.
fn is_same_file(a: &Path, b: &Path) -> bool {
    // The lock of a workspace may be missing.
    let folder_and_name = |path: &Path| Some((path.parent()?.canonicalize().ok()?, path.file_name()?.to_owned()));
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
        || matches!((folder_and_name(a), folder_and_name(b)), (Some(a), Some(b)) if a == b)
}
