//! The history: what one destination has been sent, in `$FROSTMIRROR_HISTORY/lineage.json`.
//!
//! A history is a lineage: it has an id, it counts its bundles, and it remembers its inputs, each with its newest set.
//! Every bundle names the sets of all inputs, so that fetching one project never makes another's crates garbage on the
//! far side. A bundle is recorded when it was written and found good, and not before.
//!
//! Each bundle is recorded with the crates that it was the first to name, so that a delta can be made against any
//! earlier one (`Memory::base`). Format 1 did not have these; it is read, and its bundles serve as a base only where
//! nothing came after them.
//!
//! The index lines as the bundles brought them are in `lines`, beside it (`Memory::lines`): upstream's next reading is held
//! against them, and they are there where upstream deleted a version. The file is written after the record, so that a kill
//! between the two sends a changed line once more.
//!
//! What a crate says of itself is kept too, because a bundle names crates whose files are not at hand any more. A
//! history without it is read.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::random;
use super::toolchains::Order;
use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::Sha256;
use crate::durable;
use crate::event::Sink;
use crate::safe_path::SafePath;

mod base;
mod lines;
#[cfg(test)]
mod tests;

pub use base::{Base, Sent};

/// The version of the file that is written here; earlier ones are read.
const FORMAT: u32 = 2;
/// Its name in the history's folder.
const FILE: &str = "lineage.json";

/// An open history. No other process changes it while this value lives.
#[derive(Debug)]
pub struct History {
    memory: Memory,
    // Held for the lock on it.
    _lock: File,
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
}

/// One input with its newest set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputSet {
    /// How the input is known: a path, or `--crate NAME@REQ`.
    pub name: String,
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
    /// The crates that no bundle before it named and kept naming. `None`: a tool that did not record them wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came: Option<Vec<Sent>>,
    /// Likewise of rustup artifacts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<HeldArtifact>,
    /// The crates of earlier bundles whose index lines upstream had changed; the bundle brought the new ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refreshed: Vec<Sent>,
}

/// The kind of a bundle that mends a mirror: it says nothing new of the lineage.
pub const REPAIR: &str = "repair";

/// What the next bundle of the lineage says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The lineage's id, 32 hexadecimal digits.
    pub lineage: String,
    /// The bundle's number.
    pub sequence: u64,
    /// Every input, with its newest set, sorted by name.
    pub inputs: Vec<InputSet>,
    /// Every crate that some input needs.
    pub crates: BTreeMap<CrateId, Held>,
    /// What crates say of themselves, by the digest of their `.crate`. What the history knows of it; whoever reads
    /// more of them adds it, and it is recorded for the crates that some input needs.
    pub told: BTreeMap<Sha256, Told>,
    /// Every rustup artifact that some input needs.
    pub artifacts: BTreeMap<SafePath, HeldArtifact>,
    /// The index lines that the bundle brings; whoever packs it adds them.
    pub lines: BTreeMap<CrateId, String>,
    /// The bundle before it; one that mends does not count.
    pub parent: Option<Bundle>,
    /// Whether there is anything that the last bundle did not say: an input or a crate more or less, or another yanked
    /// flag.
    pub news: bool,
}

/// Why the history cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or the file cannot be read or written.
    #[error("could not use the history `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is damaged.
    #[error("the history `{}` is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file is of a later tool.
    #[error("the history `{}` has the format {found}, and this version of cargo-frostmirror reads formats up to {FORMAT}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Two inputs mean different bytes by one name and version.
    #[error(transparent)]
    Conflict(Box<Conflict>),
    /// An input to forget that the history does not know.
    #[error("the history `{}` knows no input `{name}`; it knows {}", path.display(), known(names))]
    UnknownInput {
        /// The file.
        path: PathBuf,
        /// The input.
        name: String,
        /// What it knows.
        names: Vec<String>,
    },
    /// An input that is to be fetched and to be forgotten.
    #[error("`{0}` is to be fetched and to be forgotten")]
    FetchedAndForgotten(String),
    /// A bundle to build on that the history does not know, or knows several of.
    #[error("the history `{}` knows {} bundle `{}`{}; it knows {}", path.display(), if *several { "more than one" } else { "no" }, name.escape_debug(), if is_file(name) && !several { ", and no such file is here" } else { "" }, known(names))]
    UnknownBundle {
        /// The file.
        path: PathBuf,
        /// The bundle.
        name: String,
        /// Whether several files have that name.
        several: bool,
        /// The newest bundles that it knows, each with its id.
        names: Vec<String>,
    },
}

/// One name and version with two digests.
#[derive(Debug, thiserror::Error)]
#[error("{id} has the checksum {new} now, and had {old} when `{input}` was fetched")]
pub struct Conflict {
    /// The crate.
    pub id: CrateId,
    /// The input of the history that knows the other.
    pub input: String,
    /// That input's checksum.
    pub old: Sha256,
    /// The checksum of today.
    pub new: Sha256,
}

impl Held {
    /// The crate's identity.
    pub fn id(&self) -> CrateId {
        CrateId { name: self.name.clone(), version: self.version.clone() }
    }
}

impl History {
    /// Opens the history in `folder`, or begins one; waits for another process that has it open, and says so.
    pub fn open(folder: &Path, sink: &dyn Sink) -> Result<History, Error> {
        let path = folder.join(FILE);
        let failed = |source| Error::Io { path: path.clone(), source };
        durable::make_folder(folder).map_err(failed)?;
        let lock = lock(folder, sink).map_err(failed)?;
        Ok(History { memory: Memory::read(folder)?, _lock: lock })
    }

    /// Records the bundle that `plan` became. To be called when it was written and verified.
    pub fn record(&mut self, plan: &Plan, bundle: Bundle) -> Result<(), Error> {
        let mut state = self.state.clone();
        state.format = FORMAT;
        state.inputs.clone_from(&plan.inputs);
        state.bundles.push(bundle);
        let needed: HashSet<Sha256> = held(&state.inputs).map(|held| held.sha256).collect();
        state.told =
            plan.told.iter().filter(|(of, _)| needed.contains(of)).map(|(of, told)| (*of, told.clone())).collect();
        let failed = |source| Error::Io { path: self.path.clone(), source };
        let mut text = serde_json::to_vec_pretty(&state).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        durable::write(&self.path, &text).map_err(failed)?;
        self.memory.state = state;
        self.memory.record_lines(&plan.lines)
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

    /// What the inputs want of toolchains that are neither in `today` nor in `forget`, by the inputs' names. They share
    /// their channels with today's: where one moves, what all of them need of it must come along.
    pub fn other_orders(&self, today: &[String], forget: &[String]) -> Vec<(String, Order)> {
        let others = self.state.inputs.iter().filter(|old| !today.contains(&old.name) && !forget.contains(&old.name));
        others.filter_map(|old| Some((old.name.clone(), old.order.clone()?))).collect()
    }

    /// The paths at which the rustup artifact of this digest lies, or lay when a bundle brought it.
    pub fn places(&self, sha256: Sha256) -> BTreeSet<SafePath> {
        let now = self.state.inputs.iter().flat_map(|input| &input.artifacts);
        let sent = self.state.bundles.iter().flat_map(|bundle| &bundle.artifacts);
        now.chain(sent).filter(|held| held.sha256 == sha256).map(|held| held.path.clone()).collect()
    }

    /// What the input called `name` last needed of toolchains.
    pub fn toolchains_of(&self, name: &str) -> Option<(Order, Vec<HeldArtifact>)> {
        let known = self.state.inputs.iter().find(|input| input.name == name)?;
        Some((known.order.clone()?, known.artifacts.clone()))
    }

    /// What the next bundle must say, given the sets of today's inputs and the inputs to forget. Changes nothing.
    pub fn plan(&self, today: Vec<InputSet>, forget: &[String]) -> Result<Plan, Error> {
        self.plan_with(today, BTreeMap::new(), forget)
    }

    /// The same, where other inputs need other rustup artifacts than when they were fetched.
    pub fn plan_with(
        &self,
        today: Vec<InputSet>,
        mut moved: BTreeMap<String, Vec<HeldArtifact>>,
        forget: &[String],
    ) -> Result<Plan, Error> {
        for name in forget {
            if today.iter().any(|input| input.name == *name) {
                return Err(Error::FetchedAndForgotten(name.clone()));
            }
            if !self.state.inputs.iter().any(|input| input.name == *name) {
                return Err(Error::UnknownInput {
                    path: self.path.clone(),
                    name: name.clone(),
                    names: self.state.inputs.iter().map(|input| input.name.clone()).collect(),
                });
            }
        }
        let mut inputs = today;
        for held in inputs.iter_mut().flat_map(|input| &mut input.crates).filter(|held| held.size == 0) {
            // A file that is not here now weighs what it weighed when it was sent.
            held.size = self.size(held).unwrap_or(0);
        }
        let mut crates = BTreeMap::new();
        for held in inputs.iter().flat_map(|input| &input.crates) {
            crates.insert(held.id(), held.clone());
        }
        for old in &self.state.inputs {
            if forget.contains(&old.name) || inputs.iter().any(|input| input.name == old.name) {
                continue;
            }
            let mut kept = old.clone();
            if let Some(artifacts) = moved.remove(&old.name) {
                kept.artifacts = artifacts;
            }
            for held in &mut kept.crates {
                let newest = crates.entry(held.id()).or_insert_with(|| held.clone());
                if newest.sha256 != held.sha256 {
                    return Err(Error::Conflict(Box::new(Conflict {
                        id: held.id(),
                        input: old.name.clone(),
                        old: held.sha256,
                        new: newest.sha256,
                    })));
                }
                // Today's reading of the index is the newer one.
                held.clone_from(newest);
            }
            inputs.push(kept);
        }
        let mut artifacts: BTreeMap<SafePath, HeldArtifact> = BTreeMap::new();
        for input in &mut inputs {
            input.crates.sort_by_key(Held::id);
            input.crates.dedup_by_key(|held| held.id());
            input.artifacts.sort_by(|a, b| a.path.cmp(&b.path));
            input.artifacts.dedup_by(|a, b| a.path == b.path);
            for held in &mut input.artifacts {
                if held.size == 0 {
                    held.size = self.artifact_size(held).unwrap_or(0);
                }
                // Today's inputs come first: what upstream has at a path now is what the path is to have.
                held.clone_from(artifacts.entry(held.path.clone()).or_insert_with(|| held.clone()));
            }
        }
        inputs.sort_by(|a, b| a.name.cmp(&b.name));
        let parent = self.newest().cloned();
        Ok(Plan {
            lineage: self.state.lineage.clone(),
            sequence: self.state.bundles.last().map_or(1, |last| last.sequence.saturating_add(1)),
            news: parent.is_none() || !says_the_same(&inputs, &self.state.inputs),
            parent,
            inputs,
            crates,
            told: self.state.told.clone(),
            artifacts,
            lines: BTreeMap::new(),
        })
    }

    /// The newest bundle that said something of the lineage.
    pub fn newest(&self) -> Option<&Bundle> {
        self.state.bundles.iter().rev().find(|bundle| bundle.kind != REPAIR)
    }

    fn artifact_size(&self, of: &HeldArtifact) -> Option<u64> {
        let sent = self.state.inputs.iter().flat_map(|input| &input.artifacts);
        sent.filter(|held| held.size > 0 && held.sha256 == of.sha256).map(|held| held.size).next()
    }

    fn size(&self, of: &Held) -> Option<u64> {
        held(&self.state.inputs).filter(|held| held.size > 0 && held.sha256 == of.sha256).map(|held| held.size).next()
    }
}

fn held(inputs: &[InputSet]) -> impl Iterator<Item = &Held> {
    inputs.iter().flat_map(|input| &input.crates)
}

/// Whether two lists of inputs are the same to whoever uses the mirror. How the user words what he asks for is not.
fn says_the_same(ours: &[InputSet], theirs: &[InputSet]) -> bool {
    let same =
        |a: &Held, b: &Held| (&a.name, &a.version, a.sha256, a.yanked) == (&b.name, &b.version, b.sha256, b.yanked);
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(a, b)| {
            a.name == b.name
                && a.left_out == b.left_out
                && a.crates.len() == b.crates.len()
                && a.crates.iter().zip(&b.crates).all(|(a, b)| same(a, b))
                && a.artifacts.len() == b.artifacts.len()
                && a.artifacts.iter().zip(&b.artifacts).all(|(a, b)| (&a.path, a.sha256) == (&b.path, b.sha256))
        })
}

fn read(bytes: &[u8], path: &Path) -> Result<State, Error> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let damaged = |source| Error::Damaged { path: path.to_owned(), source };
    let head: Head = serde_json::from_slice(bytes).map_err(damaged)?;
    if head.format > FORMAT {
        return Err(Error::Newer { path: path.to_owned(), found: head.format });
    }
    let state: State = serde_json::from_slice(bytes).map_err(damaged)?;
    let digits = state.lineage.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !digits || state.lineage.len() != 32 {
        let what = "the lineage's id is not 32 hexadecimal digits";
        return Err(damaged(serde::de::Error::custom(what)));
    }
    Ok(state)
}

fn lock(folder: &Path, sink: &dyn Sink) -> io::Result<File> {
    let path = folder.join("lock");
    let file = File::options().create(true).append(true).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let folder = folder.display();
            sink.status("Blocking", format!("waiting for another fetch that uses the history `{folder}`"));
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error),
    }
    Ok(file)
}

/// Whether a bundle is named as a file is, rather than by its id.
fn is_file(name: &str) -> bool {
    name.contains(std::path::is_separator) || Path::new(name).extension().is_some_and(|end| end == "pkg")
}

fn known(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
