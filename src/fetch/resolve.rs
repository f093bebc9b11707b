//! Resolution: each input becomes a set of exact versions, as cargo itself would lock them.
//!
//! A depends.toml is resolved by cargo: once with all entries of a group together, and once with each entry alone,
//! because the user of the mirror may use them together or separately. A lockfile is used unchanged. The result is
//! checked against the single snapshot of the index: every version has its line, and every checksum of a lock equals
//! the line's `cksum`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, StreamExt as _};

use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::Sha256;
use crate::event::Sink;
use crate::fetch::cargo::{self, Cargo};
use crate::fetch::crate_downloader::CrateDownloader;
use crate::fetch::index_snapshot::{self, IndexSnapshot};
use crate::fetch::local_registry::LocalRegistry;
use crate::fetch::planned_crate::PlannedCrate;
use crate::index_line::IndexLine;
use crate::inputs::depends::{DependsFile, Location};
use crate::inputs::input_id::{InputId, InputKind, Label};
use crate::inputs::lockfile::{ForeignPackage, ForeignSource, Lockfile, SkippedPackage};

mod crate_spec;
mod passes;
mod scratch_project;
mod scratch_dependency;
mod requested_entries;
mod crate_resolution;
mod cargo_errors;
mod unresolved;
mod error;

pub use crate_spec::{CrateSpec, InvalidCrateSpec};
pub use error::{ChecksumMismatch, Error};
pub use unresolved::{KnownVersions, MissingVersion, UnresolvedEntry};

/// Maximum number of concurrent index requests for a lock.
const MAX_CONCURRENT_INDEX_FILES: usize = 128;

/// An input to resolve.
#[derive(Clone, Debug)]
pub enum Input {
    /// Requirements, resolved by cargo.
    Depends(DependsFile),
    /// Exactly these packages.
    Lockfile(Lockfile),
    /// One crate: resolved by cargo, with the lock packaged in it.
    Crate(CrateSpec),
}

impl Input {
    /// The identity of the input in a history.
    pub fn id(&self) -> InputId {
        match self {
            Input::Depends(depends) => InputId::of_file(InputKind::Depends, &depends.label),
            Input::Lockfile(lockfile) => InputId::of_file(InputKind::Lockfile, &lockfile.label),
            Input::Crate(spec) => InputId::of_crate(spec, spec.label.as_ref()),
        }
    }

    /// Sets the label of the input: the user's, otherwise the name of the package or of the folder of its file. A crate
    /// without a user's label is identified by its own text.
    pub fn set_label(&mut self, given: Option<&Label>) {
        let label = |path: &Path, usual| given.cloned().unwrap_or_else(|| Label::of_file(path, usual));
        match self {
            Input::Depends(depends) => depends.label = label(&depends.path, "depends.toml"),
            Input::Lockfile(lockfile) => lockfile.label = label(&lockfile.path, "Cargo.lock"),
            Input::Crate(spec) => spec.label = given.cloned(),
        }
    }

    /// The input in messages.
    fn describe(&self) -> String {
        match self {
            Input::Depends(depends) => format!("`{}`", depends.path.display()),
            Input::Lockfile(lockfile) => lockfile.describe(),
            Input::Crate(_) => format!("`{}`", self.id()),
        }
    }

    /// The file of the input.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Input::Depends(depends) => Some(&depends.path),
            Input::Lockfile(lockfile) => Some(&lockfile.path),
            Input::Crate(_) => None,
        }
    }
}

/// The packages outside crates.io that may be skipped, each with a warning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkipPolicy {
    /// Packages of git.
    pub git: bool,
    /// Packages of these registries, by the index's address.
    pub registries: Vec<String>,
}

/// The needs of all inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolution {
    /// Every crate.
    pub crates: BTreeMap<CrateId, PlannedCrate>,
    /// The needs of each input.
    pub inputs: Vec<ResolvedInput>,
    /// Entries that do not resolve together with the others of their group; they were resolved separately.
    pub conflicting_entries: Vec<String>,
}

/// The needs of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedInput {
    /// The identity of the input in a history.
    pub id: InputId,
    /// The file of the input.
    pub path: Option<PathBuf>,
    /// The input in messages.
    pub description: String,
    /// The requested entries, e.g. `serde = "1"`.
    pub roots: Vec<String>,
    /// The required crates.
    pub ids: BTreeSet<CrateId>,
    /// Required packages that no bundle includes. Sorted, without duplicates.
    pub skipped_packages: Vec<SkippedPackage>,
}

/// An archive of index lines that upstream deleted.
pub trait LineArchive: Send + Sync {
    /// Returns the archived lines for `wanted`. Each has the requested checksum. May block.
    fn recover_lines(&self, wanted: &ExactVersions) -> BTreeMap<CrateId, RecoveredLine>;
}

/// A line that upstream deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredLine {
    /// The line.
    pub line: IndexLine,
    /// Its source, for messages.
    pub origin: String,
}

/// The versions of a lock that upstream's index lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedVersions {
    /// Whether the line of at least one of them is archived.
    pub has_archived: bool,
    /// Those whose lines are not archived. Sorted.
    pub lost: Vec<CrateId>,
}

/// The next step for a version that upstream deleted and whose checksum a lock states.
pub const REUSE_HINT: &str = "use `cargo frostmirror fetch --reuse MIRROR` with a mirror or bundle that has it";

/// Resolves inputs against one snapshot of the index.
pub struct Resolver {
    cargo: Cargo,
    index: IndexSnapshot,
    registry: LocalRegistry,
    skip: SkipPolicy,
    /// The skipped packages of the current input.
    skipped_packages: Mutex<BTreeSet<SkippedPackage>>,
    /// Lines of versions that upstream deleted.
    line_archive: Option<Arc<dyn LineArchive>>,
    jobs: usize,
    sink: Arc<dyn Sink>,
}

/// Exact versions, with the checksum if a lock has one.
pub type ExactVersions = BTreeMap<CrateId, Option<Sha256>>;

impl Resolver {
    /// Starts a resolver over `index`. It runs at most `jobs` cargo processes at a time.
    pub async fn start(
        cargo: Cargo,
        index: IndexSnapshot,
        skip: SkipPolicy,
        jobs: usize,
        sink: Arc<dyn Sink>,
    ) -> Result<Resolver, Error> {
        let loopback = LocalRegistry::start(index.clone()).await;
        let loopback = loopback.map_err(Error::LocalRegistry)?;
        Ok(Resolver {
            cargo,
            index,
            registry: loopback,
            skip,
            skipped_packages: Mutex::default(),
            line_archive: None,
            jobs: jobs.max(1),
            sink,
        })
    }

    /// Resolves `inputs`; `downloads` fetches the `.crate` of each `--crate` for the lock inside.
    pub async fn resolve(&self, inputs: &[Input], downloads: &CrateDownloader) -> Result<Resolution, Error> {
        let mut resolved = Resolution::default();
        for input in inputs {
            let resolution = match input {
                Input::Depends(depends) => self.resolve_depends(depends, &mut resolved.conflicting_entries).await?,
                Input::Lockfile(lockfile) => self.resolve_lockfile(lockfile).await?,
                Input::Crate(spec) => self.resolve_crate_spec(spec, downloads).await?,
            };
            resolved.inputs.push(ResolvedInput {
                id: input.id(),
                path: input.path().map(Path::to_owned),
                description: input.describe(),
                roots: resolution.roots,
                ids: resolution.lines.keys().cloned().collect(),
                skipped_packages: std::mem::take(&mut *self.skipped_packages()).into_iter().collect(),
            });
            resolved.crates.extend(resolution.lines.into_iter().map(|(id, line)| (id, PlannedCrate::new(line))));
        }
        self.index.stop_prefetching();
        Ok(resolved)
    }

    /// Sets the archive for locked versions that upstream deleted.
    pub fn set_line_archive(&mut self, remembered: Arc<dyn LineArchive>) {
        self.line_archive = Some(remembered);
    }

    /// The versions of this lock that the index lacks.
    pub async fn find_deleted_versions(&self, lockfile: &Lockfile) -> Result<DeletedVersions, Error> {
        let set = locked_versions(lockfile);
        let mut missing = ExactVersions::new();
        for (id, locked) in set {
            let file = self.index.file(&id.name).await?;
            if file.is_none_or(|file| file.find_line(&id.name, &id.version).is_none()) {
                missing.insert(id, locked);
            }
        }
        let mut deleted: Vec<CrateId> = missing.keys().cloned().collect();
        let archived = self.recover_lines(missing).await;
        deleted.retain(|id| !archived.contains_key(id));
        Ok(DeletedVersions { has_archived: !archived.is_empty(), lost: deleted })
    }

    async fn recover_lines(&self, missing: ExactVersions) -> BTreeMap<CrateId, RecoveredLine> {
        let Some(remembered) = self.line_archive.clone().filter(|_| !missing.is_empty()) else {
            return BTreeMap::new();
        };
        let recalling = tokio::task::spawn_blocking(move || remembered.recover_lines(&missing));
        recalling.await.unwrap_or_default()
    }

    /// Runs cargo in `folder` with these arguments, isolated, with the snapshot as crates.io: for a workspace without a
    /// fitting lock. Dropping the future stops cargo.
    ///
    /// If it fails, [`Resolver::upstream_failure`] reports whether upstream is the cause.
    pub async fn run_for_workspace(&self, folder: &Path, args: &[&str]) -> io::Result<Output> {
        self.sink.detail("Running", format!("`cargo {}` on a copy of the workspace's manifests", args.join(" ")));
        let trace = |line: &str| self.trace_cargo_output(line);
        self.cargo.run_for_workspace(&self.registry, folder, args, &trace).await
    }

    /// Reports lines that cargo printed. The address of the loopback index is a secret.
    fn trace_cargo_output(&self, stderr: &str) {
        cargo::trace_output(
            &stderr.replace(self.registry.address(), "the local copy of the index"),
            self.sink.as_ref(),
        );
    }

    /// The first upstream failure during the requests of a child cargo, if any.
    pub fn upstream_failure(&self) -> Option<Arc<index_snapshot::Error>> {
        self.registry.first_failure()
    }

    async fn resolve_depends(
        &self,
        depends: &DependsFile,
        conflicting: &mut Vec<String>,
    ) -> Result<InputResolution, Error> {
        let name = depends.path.display().to_string();
        for package in &depends.left_out {
            self.record_skipped(package, LEFT_OUT_BY_INIT, &format!("`{name}`"));
        }
        let mut roots = requested_entries::requested_entries(depends);
        let locked: ExactVersions = depends.locked.iter().map(|id| (id.clone(), None)).collect();
        let input = format!("`{name}`");
        let locate = |mut missing: Vec<MissingVersion>| {
            for one in missing.iter_mut().filter(|one| locked.contains_key(&one.id)) {
                one.location = depends.locate(Location::Locked(&one.id));
            }
            missing
        };
        let mut set = match self.resolve_groups(depends, conflicting).await {
            // All mistakes of the file are reported together.
            Err(Error::Unresolvable { unresolved, .. }) => {
                return Err(match self.index_lines(&locked, &input).await {
                    Err(Error::MissingVersions { missing }) => {
                        Error::Unresolvable { unresolved, missing: locate(missing) }
                    }
                    _ => Error::Unresolvable { unresolved, missing: Vec::new() },
                });
            }
            set => set?,
        };
        for id in &depends.locked {
            roots.push(format!("{} = \"={}\"", id.name, id.version));
            set.entry(id.clone()).or_default();
        }
        match self.index_lines(&set, &input).await {
            Err(Error::MissingVersions { missing }) => Err(Error::MissingVersions { missing: locate(missing) }),
            lines => Ok(InputResolution { roots, lines: lines? }),
        }
    }

    async fn resolve_lockfile(&self, lockfile: &Lockfile) -> Result<InputResolution, Error> {
        let input = lockfile.describe();
        self.check_foreign(lockfile, &input)?;
        let lines = self.index_lines(&locked_versions(lockfile), &input).await?;
        let roots = Vec::new();
        Ok(InputResolution { roots, lines })
    }

    /// The index line of every crate of `set`, checked against the set's checksums.
    async fn index_lines(&self, set: &ExactVersions, input: &str) -> Result<BTreeMap<CrateId, IndexLine>, Error> {
        let mut names: BTreeMap<&CrateName, Vec<&CrateId>> = BTreeMap::new();
        for id in set.keys() {
            names.entry(&id.name).or_default().push(id);
        }
        // Only the required lines of each file stay in memory.
        let found = stream::iter(names).map(|(name, ids)| async move {
            let file = self.index.file(name).await?.unwrap_or_default();
            let line =
                |id: &CrateId| file.find_line(&id.name, &id.version).ok_or_else(|| file.nearest_versions(&id.version));
            Ok::<_, Error>(ids.into_iter().map(|id| (id, line(id))).collect::<Vec<_>>())
        });
        let found: Vec<Result<Vec<_>, Error>> = found.buffer_unordered(MAX_CONCURRENT_INDEX_FILES).collect().await;
        let mut by_id: BTreeMap<&CrateId, Result<IndexLine, Vec<Version>>> = BTreeMap::new();
        for found in found {
            by_id.extend(found?);
        }
        let mut lines = BTreeMap::new();
        let (mut missing, mut mismatches) = (Vec::new(), Vec::new());
        for (id, locked) in set {
            let line = match by_id.remove(id).unwrap_or_else(|| Err(Vec::new())) {
                Ok(line) => line,
                Err(nearest) => {
                    missing.push(MissingVersion {
                        id: id.clone(),
                        input: input.to_owned(),
                        nearest,
                        has_checksum: locked.is_some(),
                        location: None,
                    });
                    continue;
                }
            };
            match locked {
                Some(locked) if *locked != line.cksum => mismatches.push(ChecksumMismatch {
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
            return Err(Error::ChecksumMismatch { mismatches });
        }
        let missing_versions = missing.iter().filter_map(|one| Some((one.id.clone(), *set.get(&one.id)?))).collect();
        for (id, RecoveredLine { line, origin: from }) in self.recover_lines(missing_versions).await {
            self.sink.warning(format!(
                "upstream's index no longer has {id}, which {input} requests: upstream deleted it. Using the line from {from}"
            ));
            missing.retain(|one| one.id != id);
            lines.insert(id, line);
        }
        if !missing.is_empty() {
            return Err(Error::MissingVersions { missing });
        }
        Ok(lines)
    }

    /// Packages outside crates.io are an error, or a warning if they may be skipped; they are never ignored silently.
    fn check_foreign(&self, lockfile: &Lockfile, input: &str) -> Result<(), Error> {
        let (skipped, foreign): (Vec<ForeignPackage>, Vec<ForeignPackage>) =
            lockfile.foreign.iter().cloned().partition(|foreign| self.is_skipped(foreign));
        if !foreign.is_empty() {
            let input = input.to_owned();
            return Err(Error::ForeignPackages { foreign, input });
        }
        for foreign in &skipped {
            let why = match foreign.source {
                ForeignSource::Git { .. } => "--skip-git",
                ForeignSource::Registry { .. } => "--skip-registry",
            };
            self.record_skipped(foreign, why, input);
        }
        Ok(())
    }

    /// Records a skipped package, and warns about it once.
    fn record_skipped(&self, package: &ForeignPackage, why: &'static str, input: &str) {
        if self.skipped_packages().insert(SkippedPackage { package: package.clone(), reason: why }) {
            self.sink.warning(format!("left out: {package}, which {input} needs"));
        }
    }

    fn skipped_packages(&self) -> MutexGuard<'_, BTreeSet<SkippedPackage>> {
        // No update is partial while it is locked.
        self.skipped_packages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the user excludes everything in a lock that is not from crates.io, and the lock has such packages.
    pub fn skips_all_foreign(&self, lockfile: &Lockfile) -> bool {
        !lockfile.foreign.is_empty() && lockfile.foreign.iter().all(|foreign| self.is_skipped(foreign))
    }

    fn is_skipped(&self, foreign: &ForeignPackage) -> bool {
        match &foreign.source {
            ForeignSource::Git { .. } => self.skip.git,
            ForeignSource::Registry { url } => {
                let same = |other: &String| normalize_index_url(other) == normalize_index_url(url);
                self.skip.registries.iter().any(same)
            }
        }
    }
}

/// Why a package is missing that a comment of `init` names.
const LEFT_OUT_BY_INIT: &str = "left out by `init`";

struct InputResolution {
    roots: Vec<String>,
    lines: BTreeMap<CrateId, IndexLine>,
}

fn locked_versions(lockfile: &Lockfile) -> ExactVersions {
    let packages = lockfile.packages.iter().map(|(id, checksum)| (id.clone(), Some(*checksum)));
    packages.chain(lockfile.unbuilt.clone()).collect()
}

/// An index address without cargo's prefixes and the trailing slash.
fn normalize_index_url(address: &str) -> &str {
    let address = address.strip_prefix("registry+").unwrap_or(address);
    let address = address.strip_prefix("sparse+").unwrap_or(address);
    address.trim_end_matches('/')
}
