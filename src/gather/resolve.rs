//! What is needed, to the last crate: each input becomes a set of exact versions, as cargo itself would lock them.
//!
//! A depends.toml goes through cargo: once with all entries of a group together, and once with each entry alone, because
//! the far side may use them together or not. A lockfile is taken as it stands. Whatever comes out is checked against
//! the one snapshot of the index: every version has its line, and every checksum of a lock is the line's `cksum`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, StreamExt as _};

use super::cargo::{self, Cargo};
use super::depends::Depends;
use super::download::{self, Downloads};
use super::index::{self, Index};
use super::input_id::{InputId, InputKind, Label};
use super::lockfile::{self, Foreign, ForeignSource, LeftOut, Lockfile};
use super::loopback::Loopback;
use super::packaged_lock;
use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::Sha256;
use crate::event::Sink;
use crate::index_line::IndexLine;

mod crate_spec;
mod passes;
mod scratch;
mod tool;
mod words;

pub use crate_spec::{CrateSpec, InvalidSpec};

/// Index files asked for at a time when a lock says which.
const FILES: usize = 128;

/// Something to resolve.
#[derive(Clone, Debug)]
pub enum Input {
    /// Requirements, resolved by cargo.
    Depends(Depends),
    /// Exactly these packages.
    Lockfile(Lockfile),
    /// One crate: resolved by cargo, and the lock packaged with it.
    Crate(CrateSpec),
}

impl Input {
    /// What identifies the input in a history.
    pub fn id(&self) -> InputId {
        match self {
            Input::Depends(depends) => InputId::of_file(InputKind::Depends, &depends.label),
            Input::Lockfile(lockfile) => InputId::of_file(InputKind::Lockfile, &lockfile.label),
            Input::Crate(spec) => InputId::of_crate(spec, spec.label.as_ref()),
        }
    }

    /// Gives the input its label: the user's, else the name of the package or of the folder that its file is in. A crate
    /// without a label of the user's is identified by its own text.
    pub fn label(&mut self, given: Option<&Label>) {
        let label = |path: &Path, usual| given.cloned().unwrap_or_else(|| Label::of_file(path, usual));
        match self {
            Input::Depends(depends) => depends.label = label(&depends.path, "depends.toml"),
            Input::Lockfile(lockfile) => lockfile.label = label(&lockfile.path, "Cargo.lock"),
            Input::Crate(spec) => spec.label = given.cloned(),
        }
    }

    /// The file that it was read from.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Input::Depends(depends) => Some(&depends.path),
            Input::Lockfile(lockfile) => Some(&lockfile.path),
            Input::Crate(_) => None,
        }
    }
}

/// Which packages that are not of crates.io may be left out, each with a warning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skip {
    /// Those of git.
    pub git: bool,
    /// Those of these registries, by the index's address.
    pub registries: Vec<String>,
}

/// What all inputs need.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// Every crate with its index line.
    pub crates: BTreeMap<CrateId, IndexLine>,
    /// Who needs which.
    pub inputs: Vec<ResolvedInput>,
    /// Entries that do not resolve together with the others of their group; they were resolved apart.
    pub left_out: Vec<String>,
}

/// What one input needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedInput {
    /// What identifies the input in a history.
    pub id: InputId,
    /// The file that it was read from.
    pub path: Option<PathBuf>,
    /// What was asked for, e.g. `serde = "1"`.
    pub roots: Vec<String>,
    /// The crates that it needs.
    pub ids: BTreeSet<CrateId>,
    /// What it needs besides and no bundle brings. Sorted, each once.
    pub left_out: Vec<LeftOut>,
}

/// Index lines that upstream once had.
pub trait Remembered: Send + Sync {
    /// The lines of those of `wanted` that are known. Each has the checksum that is wanted with it. May block.
    fn recall(&self, wanted: &Set) -> BTreeMap<CrateId, Recalled>;
}

/// A line that upstream no longer has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// The line.
    pub line: IndexLine,
    /// Where it comes from, for people.
    pub from: String,
}

/// Resolves inputs against one snapshot of the index.
pub struct Resolver {
    cargo: Cargo,
    index: Index,
    loopback: Loopback,
    skip: Skip,
    /// What was left out of the input that is being resolved.
    left_out: Mutex<BTreeSet<LeftOut>>,
    /// Lines of versions that upstream deleted.
    remembered: Option<Arc<dyn Remembered>>,
    jobs: usize,
    sink: Arc<dyn Sink>,
}

/// Why an input could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Cargo could not be run.
    #[error(transparent)]
    Cargo(#[from] cargo::Error),
    /// The index could not be read.
    #[error(transparent)]
    Index(#[from] Arc<index::Error>),
    /// The server for the cargo that we run did not start.
    #[error("could not serve the index to cargo on 127.0.0.1")]
    Loopback(#[source] io::Error),
    /// The scratch project could not be made or read.
    #[error("could not prepare a scratch project for cargo")]
    Scratch(#[source] io::Error),
    /// Cargo finds no solution for an entry that stands alone.
    #[error("{}", list(unresolved.iter()))]
    Unresolvable {
        /// Each of them.
        unresolved: Vec<Unresolved>,
    },
    /// Exact versions that the index lacks.
    #[error("{}", list(missing.iter()))]
    NoVersion {
        /// Each of them.
        missing: Vec<NoVersion>,
    },
    /// A lock and the index do not agree on the bytes of a crate.
    #[error("{}", list(mismatches.iter()))]
    Mismatch {
        /// Each of them.
        mismatches: Vec<Mismatch>,
    },
    /// Packages that are not of crates.io.
    #[error("{input} needs packages that are not of crates.io:\n{}", list(foreign.iter()))]
    Foreign {
        /// Each of them.
        foreign: Vec<Foreign>,
        /// Who needs them.
        input: String,
    },
    /// A lockfile could not be read.
    #[error(transparent)]
    Lockfile(#[from] lockfile::Error),
    /// The `.crate` of a `--crate` could not be downloaded.
    #[error(transparent)]
    Download(Box<download::Error>),
    /// The lock in it could not be read.
    #[error(transparent)]
    PackagedLock(#[from] packaged_lock::Error),
}

impl From<download::Error> for Error {
    fn from(error: download::Error) -> Error {
        Error::Download(Box::new(error))
    }
}

/// An entry without a solution.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{entry}` ({input}) cannot be resolved\n{words}")]
pub struct Unresolved {
    /// As the user wrote it.
    pub entry: String,
    /// Where: a path and a table, or a flag.
    pub input: String,
    /// Cargo's own words, without what only concerns the scratch project.
    pub words: String,
}

/// A version that the index lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the index has no {id}, which {input} names{}", nearest_shown(nearest))]
pub struct NoVersion {
    /// Which.
    pub id: CrateId,
    /// Who wants it.
    pub input: String,
    /// What the index has around it; empty where it does not know the crate.
    pub nearest: Vec<Version>,
}

/// A checksum that is not the index's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{input} locks {id} with the checksum {locked}, and the index says {upstream}")]
pub struct Mismatch {
    /// The crate.
    pub id: CrateId,
    /// Whose lock.
    pub input: String,
    /// The lock's checksum.
    pub locked: Sha256,
    /// The index line's `cksum`.
    pub upstream: Sha256,
}

/// Exact versions, with the checksum where a lock states one.
pub type Set = BTreeMap<CrateId, Option<Sha256>>;

impl Resolver {
    /// A resolver over `index`. Its cargos run at most `jobs` at a time.
    pub async fn start(
        cargo: Cargo,
        index: Index,
        skip: Skip,
        jobs: usize,
        sink: Arc<dyn Sink>,
    ) -> Result<Resolver, Error> {
        let loopback = Loopback::start(index.clone()).await;
        let loopback = loopback.map_err(Error::Loopback)?;
        Ok(Resolver {
            cargo,
            index,
            loopback,
            skip,
            left_out: Mutex::default(),
            remembered: None,
            jobs: jobs.max(1),
            sink,
        })
    }

    /// Resolves `inputs`; `downloads` fetches the `.crate` of each `--crate`, for the lock inside.
    pub async fn resolve(&self, inputs: &[Input], downloads: &Downloads) -> Result<Resolved, Error> {
        let mut resolved = Resolved::default();
        for input in inputs {
            let needs = match input {
                Input::Depends(depends) => self.depends(depends, &mut resolved.left_out).await?,
                Input::Lockfile(lockfile) => self.lockfile(lockfile).await?,
                Input::Crate(spec) => self.crate_spec(spec, downloads).await?,
            };
            resolved.inputs.push(ResolvedInput {
                id: input.id(),
                path: input.path().map(Path::to_owned),
                roots: needs.roots,
                ids: needs.lines.keys().cloned().collect(),
                left_out: std::mem::take(&mut *self.left_out()).into_iter().collect(),
            });
            resolved.crates.extend(needs.lines);
        }
        self.index.rest();
        Ok(resolved)
    }

    /// Takes versions that a lock names and upstream deleted from `remembered`.
    pub fn remember(&mut self, remembered: Arc<dyn Remembered>) {
        self.remembered = Some(remembered);
    }

    /// Whether upstream deleted a version that this lock names, and its line is remembered.
    pub async fn names_deleted(&self, lockfile: &Lockfile) -> Result<bool, Error> {
        let set = set_of(lockfile);
        let mut missing = Set::new();
        for (id, locked) in set {
            let file = self.index.file(&id.name).await?;
            if file.is_none_or(|file| file.find(&id.name, &id.version).is_none()) {
                missing.insert(id, locked);
            }
        }
        Ok(!self.recall(missing).await.is_empty())
    }

    async fn recall(&self, missing: Set) -> BTreeMap<CrateId, Recalled> {
        let Some(remembered) = self.remembered.clone().filter(|_| !missing.is_empty()) else {
            return BTreeMap::new();
        };
        let recalling = tokio::task::spawn_blocking(move || remembered.recall(&missing));
        recalling.await.unwrap_or_default()
    }

    /// Runs cargo in `folder` with these arguments, hermetically, with the snapshot as crates.io: for a workspace that
    /// has no fitting lock. Dropping the future ends it.
    ///
    /// Where it fails, [`Resolver::upstream_failure`] tells whether upstream is to blame.
    pub async fn run_for_workspace(&self, folder: &Path, args: &[&str]) -> io::Result<Output> {
        self.cargo.run_for_workspace(&self.loopback, folder, args).await
    }

    /// The first failure of upstream that a cargo of ours met, if any.
    pub fn upstream_failure(&self) -> Option<Arc<index::Error>> {
        self.loopback.failure()
    }

    async fn depends(&self, depends: &Depends, left_out: &mut Vec<String>) -> Result<Needs, Error> {
        let name = depends.path.display().to_string();
        let mut roots = passes::roots(depends);
        let mut set = self.groups(depends, left_out).await?;
        for id in &depends.locked {
            roots.push(format!("{} = \"={}\"", id.name, id.version));
            set.entry(id.clone()).or_default();
        }
        let lines = self.lines(&set, &format!("`{name}`")).await?;
        Ok(Needs { roots, lines })
    }

    async fn lockfile(&self, lockfile: &Lockfile) -> Result<Needs, Error> {
        let name = lockfile.path.display().to_string();
        self.refuse_foreign(lockfile, &format!("`{name}`"))?;
        let lines = self.lines(&set_of(lockfile), &format!("`{name}`")).await?;
        let roots = Vec::new();
        Ok(Needs { roots, lines })
    }

    /// The index line of every crate of `set`, checked against the set's checksums.
    async fn lines(&self, set: &Set, input: &str) -> Result<BTreeMap<CrateId, IndexLine>, Error> {
        let mut names: BTreeMap<&CrateName, Vec<&CrateId>> = BTreeMap::new();
        for id in set.keys() {
            names.entry(&id.name).or_default().push(id);
        }
        // Of each file only the lines that are needed stay in memory.
        let found = stream::iter(names).map(|(name, ids)| async move {
            let file = self.index.file(name).await?.unwrap_or_default();
            let line = |id: &CrateId| file.find(&id.name, &id.version).ok_or_else(|| file.nearest(&id.version));
            Ok::<_, Error>(ids.into_iter().map(|id| (id, line(id))).collect::<Vec<_>>())
        });
        let found: Vec<Result<Vec<_>, Error>> = found.buffer_unordered(FILES).collect().await;
        let mut known: BTreeMap<&CrateId, Result<IndexLine, Vec<Version>>> = BTreeMap::new();
        for found in found {
            known.extend(found?);
        }
        let mut lines = BTreeMap::new();
        let (mut missing, mut mismatches) = (Vec::new(), Vec::new());
        for (id, locked) in set {
            let line = match known.remove(id).unwrap_or_else(|| Err(Vec::new())) {
                Ok(line) => line,
                Err(nearest) => {
                    missing.push(NoVersion { id: id.clone(), input: input.to_owned(), nearest });
                    continue;
                }
            };
            match locked {
                Some(locked) if *locked != line.cksum => mismatches.push(Mismatch {
                    id: id.clone(),
                    input: input.to_owned(),
                    locked: *locked,
                    upstream: line.cksum,
                }),
                _ => {
                    lines.insert(id.clone(), line);
                }
            }
        }
        if !mismatches.is_empty() {
            return Err(Error::Mismatch { mismatches });
        }
        let deleted = missing.iter().filter_map(|one| Some((one.id.clone(), *set.get(&one.id)?))).collect();
        for (id, Recalled { line, from }) in self.recall(deleted).await {
            self.sink.warning(format!(
                "upstream's index no longer has {id}, which {input} names: it was deleted there. It is taken from {from}"
            ));
            missing.retain(|one| one.id != id);
            lines.insert(id, line);
        }
        if !missing.is_empty() {
            return Err(Error::NoVersion { missing });
        }
        Ok(lines)
    }

    /// Packages that are not of crates.io are an error, or a warning where they may be left out; never silence.
    fn refuse_foreign(&self, lockfile: &Lockfile, input: &str) -> Result<(), Error> {
        let (skipped, foreign): (Vec<Foreign>, Vec<Foreign>) =
            lockfile.foreign.iter().cloned().partition(|foreign| self.skips(foreign));
        if !foreign.is_empty() {
            let input = input.to_owned();
            return Err(Error::Foreign { foreign, input });
        }
        for foreign in &skipped {
            let why = match foreign.source {
                ForeignSource::Git { .. } => "--skip-git",
                ForeignSource::Registry { .. } => "--skip-registry",
            };
            self.leave_out(foreign, why, input);
        }
        Ok(())
    }

    /// Remembers a package that was left out, and warns of it once.
    fn leave_out(&self, package: &Foreign, why: &'static str, input: &str) {
        if self.left_out().insert(LeftOut { package: package.clone(), why }) {
            self.sink.warning(format!("left out: {package}, which {input} needs"));
        }
    }

    fn left_out(&self) -> MutexGuard<'_, BTreeSet<LeftOut>> {
        // Nothing is half-done while it is locked.
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn skips(&self, foreign: &Foreign) -> bool {
        match &foreign.source {
            ForeignSource::Git { .. } => self.skip.git,
            ForeignSource::Registry { url } => {
                let same = |other: &String| bare(other) == bare(url);
                self.skip.registries.iter().any(same)
            }
        }
    }
}

struct Needs {
    roots: Vec<String>,
    lines: BTreeMap<CrateId, IndexLine>,
}

fn set_of(lockfile: &Lockfile) -> Set {
    let packages = lockfile.packages.iter().map(|package| (package.id.clone(), Some(package.checksum)));
    packages.chain(lockfile.line_only.iter().map(|line| (line.id.clone(), line.checksum))).collect()
}

/// An index's address without what cargo puts around it.
fn bare(address: &str) -> &str {
    let address = address.strip_prefix("registry+").unwrap_or(address);
    let address = address.strip_prefix("sparse+").unwrap_or(address);
    address.trim_end_matches('/')
}

fn nearest_shown(nearest: &[Version]) -> String {
    match nearest {
        [] => "; it does not know the crate at all".to_owned(),
        some => {
            let some: Vec<String> = some.iter().map(Version::to_string).collect();
            format!("; it has {}", some.join(", "))
        }
    }
}

fn list(items: impl Iterator<Item = impl ToString>) -> String {
    let lines: Vec<String> = items.map(|item| item.to_string()).collect();
    lines.join("\n")
}
