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
use super::toolchains::Order;
use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::Sha256;
use crate::durable;
use crate::event::Sink;
use crate::process_lock::ProcessLock;
use crate::safe_path::SafePath;

mod base;
mod error;
mod lines;
mod plan;
#[cfg(test)]
mod tests;

pub use base::{Base, Sent};
pub use error::{Conflict, Error};
pub use plan::Plan;

/// The version of the file that is read and written here. Version 3 has labels.
const FORMAT: u32 = 3;
/// How often the lock is tried while another process holds it.
const PAUSE: Duration = Duration::from_millis(50);
/// Its name in the history's folder.
const FILE: &str = "lineage.json";

/// An open history. No other process changes it while this value lives.
#[derive(Debug)]
pub struct History {
    memory: Memory,
    _lock: ProcessLock,
}

/// What a history remembers.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    state: State,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    format: u32,
    lineage: String,
    inputs: Vec<InputSet>,
    bundles: Vec<Bundle>,
    #[serde(default)]
    told: BTreeMap<Sha256, Told>,
    // Whether an input was forgotten that the newest bundle names.
    #[serde(default)]
    forgotten: bool,
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
    pub crates: Vec<Held>,
    /// What it needs besides and no bundle brings, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// What it wants of toolchains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// The rustup artifacts that it needs, sorted by path, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<HeldArtifact>,
}

/// A package that an input needs and that was left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it comes from, as bundles name it.
    pub source: String,
    /// Why it was left out.
    pub why: String,
}

/// One rustup artifact of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldArtifact {
    /// Where it belongs.
    pub path: SafePath,
    /// Its digest.
    pub sha256: Sha256,
    /// Its length in bytes; 0 where it is not known.
    pub size: u64,
}

/// One crate of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
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
pub struct Told {
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
pub struct Bundle {
    /// Its id.
    pub id: String,
    /// Its file's name.
    pub file: String,
    /// Its number in the lineage, from 1.
    pub sequence: u64,
    /// When it was written (RFC 3339, UTC).
    pub created: String,
    /// `full`, `delta`, or [`REPAIR`].
    pub kind: String,
    /// Bytes of its file.
    pub size: u64,
    /// The crates that no bundle before it named and kept naming.
    pub came: Vec<Sent>,
    /// Likewise of rustup artifacts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<HeldArtifact>,
    /// The crates of earlier bundles whose index lines upstream had changed; the bundle brought the new ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refreshed: Vec<Sent>,
}

/// The kind of a bundle that mends a mirror: it says nothing new of the lineage.
pub const REPAIR: &str = "repair";

impl Held {
    /// The crate's identity.
    pub fn id(&self) -> CrateId {
        CrateId { name: self.name.clone(), version: self.version.clone() }
    }
}

/// How the user names an input of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// As it was typed: a label, or what is shown of an input.
    pub text: String,
    /// The same as the absolute path of a file.
    pub path: PathBuf,
}

impl InputSet {
    /// Whether the user may mean this one.
    fn is_called(&self, name: &Called) -> bool {
        self.id.is_called(&name.text) || self.path.as_ref() == Some(&name.path)
    }
}

impl History {
    /// Opens the history in `folder`, or begins one; waits for another process that has it open, and says so.
    ///
    /// # Errors
    /// The history's own; an I/O error of the kind `Interrupted` where the wait was stopped.
    pub fn open(folder: &Path, sink: &dyn Sink) -> Result<History, Error> {
        let path = folder.join(FILE);
        let failed = |source| Error::Io { path: path.clone(), source };
        durable::make_folder(folder).map_err(failed)?;
        let lock = lock(folder, sink).map_err(failed)?;
        remove_unfinished(folder);
        Ok(History { memory: Memory::read(folder)?, _lock: lock })
    }

    /// Records the bundle that `plan` became. To be called when it was written and verified.
    pub fn record(&mut self, plan: &Plan, bundle: Bundle) -> Result<(), Error> {
        let mut state = self.state.clone();
        // A bundle that mends says nothing of the lineage.
        state.forgotten &= bundle.kind == REPAIR;
        state.inputs.clone_from(&plan.inputs);
        state.bundles.push(bundle);
        let needed: HashSet<Sha256> = held(&state.inputs).map(|held| held.sha256).collect();
        state.told =
            plan.told.iter().filter(|(of, _)| needed.contains(of)).map(|(of, told)| (*of, told.clone())).collect();
        self.write(state)?;
        self.memory.record_lines(&plan.lines)
    }

    /// Remembers when and where today's inputs were read, where nothing else is new.
    ///
    /// # Errors
    /// The file system's.
    pub fn touch(&mut self, today: &[InputSet]) -> Result<(), Error> {
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
    pub fn forget(&mut self, name: &Called) -> Result<InputId, Error> {
        let id = self.called(name)?.id.clone();
        let mut state = self.state.clone();
        state.inputs.retain(|input| input.id != id);
        state.forgotten = true;
        self.write(state)?;
        Ok(id)
    }

    /// Gives another label to the input that the user calls `name`; both identities, the old one first.
    ///
    /// # Errors
    /// [`Error::UnknownInput`], [`Error::AmbiguousInput`], [`Error::LabelTaken`]; the file system's.
    pub fn relabel(&mut self, name: &Called, label: &Label) -> Result<(InputId, InputId), Error> {
        let old = self.called(name)?.id.clone();
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

    fn write(&mut self, state: State) -> Result<(), Error> {
        let failed = |source| Error::Io { path: self.path.clone(), source };
        let mut text = serde_json::to_vec_pretty(&state).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        durable::write(&self.path, &text).map_err(failed)?;
        self.memory.state = state;
        Ok(())
    }
}

impl Deref for History {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.memory
    }
}

impl Memory {
    /// What the history in `folder` remembers now; one that is not there remembers nothing. Changes nothing, and waits
    /// for nobody: the file is only ever replaced whole.
    pub fn read(folder: &Path) -> Result<Memory, Error> {
        let path = folder.join(FILE);
        let failed = |source| Error::Io { path: path.clone(), source };
        let state = match fs::read(&path) {
            Ok(bytes) => read(&bytes, &path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State {
                format: FORMAT,
                lineage: random::hex(16).map_err(failed)?,
                inputs: Vec::new(),
                bundles: Vec::new(),
                told: BTreeMap::new(),
                forgotten: false,
            },
            Err(error) => return Err(failed(error)),
        };
        Ok(Memory { path, state })
    }

    /// The inputs that it remembers, with their newest sets.
    pub fn inputs(&self) -> &[InputSet] {
        &self.state.inputs
    }

    /// The bundles that were recorded, oldest first.
    pub fn bundles(&self) -> &[Bundle] {
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
    pub fn called(&self, name: &Called) -> Result<&InputSet, Error> {
        let names = |inputs: &[&InputSet]| inputs.iter().map(|input| input.id.to_string()).collect();
        let found: Vec<&InputSet> = self.state.inputs.iter().filter(|input| input.is_called(name)).collect();
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
    pub fn refuse_same_label(&self, id: &InputId, new: &Path) -> Result<(), Error> {
        let known = self.state.inputs.iter().find(|input| input.id == *id);
        match known.and_then(|known| known.path.as_deref()) {
            Some(old) if old != new && old.exists() && !is_one_file(old, new) => {
                let (id, new, old) = (id.clone(), new.to_owned(), old.to_owned());
                Err(Error::SameLabel { id, new, old, together: false })
            }
            _ => Ok(()),
        }
    }

    /// What the inputs want of toolchains that are neither in `today` nor in `forget`. They share their channels with
    /// today's: where one moves, what all of them need of it must come along.
    pub fn other_orders(&self, today: &[InputId], forget: &[Called]) -> Vec<(InputId, Order)> {
        let is_forgotten = |old: &InputSet| forget.iter().any(|name| old.is_called(name));
        let others = self.state.inputs.iter().filter(|old| !today.contains(&old.id) && !is_forgotten(old));
        others.filter_map(|old| Some((old.id.clone(), old.order.clone()?))).collect()
    }

    /// The paths at which the rustup artifact of this digest lies, or lay when a bundle brought it.
    pub fn places(&self, sha256: Sha256) -> BTreeSet<SafePath> {
        let now = self.state.inputs.iter().flat_map(|input| &input.artifacts);
        let sent = self.state.bundles.iter().flat_map(|bundle| &bundle.artifacts);
        now.chain(sent).filter(|held| held.sha256 == sha256).map(|held| held.path.clone()).collect()
    }

    /// What an input last needed of toolchains.
    pub fn toolchains_of(&self, id: &InputId) -> Option<(Order, Vec<HeldArtifact>)> {
        let known = self.state.inputs.iter().find(|input| input.id == *id)?;
        Some((known.order.clone()?, known.artifacts.clone()))
    }

    /// The newest bundle that said something of the lineage.
    pub fn newest(&self) -> Option<&Bundle> {
        self.state.bundles.iter().rev().find(|bundle| bundle.kind != REPAIR)
    }
}

fn held(inputs: &[InputSet]) -> impl Iterator<Item = &Held> {
    inputs.iter().flat_map(|input| &input.crates)
}

fn read(bytes: &[u8], path: &Path) -> Result<State, Error> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let damaged = |source| Error::Damaged { path: path.to_owned(), source };
    let head: Head = serde_json::from_slice(bytes).map_err(damaged)?;
    if head.format != FORMAT {
        return Err(Error::OtherFormat { path: path.to_owned(), found: head.format, newer: head.format > FORMAT });
    }
    let state: State = serde_json::from_slice(bytes).map_err(damaged)?;
    let digits = state.lineage.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !digits || state.lineage.len() != 32 {
        let what = "the lineage's id is not 32 hexadecimal digits";
        return Err(damaged(serde::de::Error::custom(what)));
    }
    Ok(state)
}

fn lock(folder: &Path, sink: &dyn Sink) -> io::Result<ProcessLock> {
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
        if sink.stopped() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        std::thread::sleep(PAUSE);
    }
}

/// Removes what a killed process left half-written. The caller holds the lock.
fn remove_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(".part-")) {
            let _stays = fs::remove_file(entry.path()).is_err();
        }
    }
}

/// Whether two paths lead to the same file.
fn is_one_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
