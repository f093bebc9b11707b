//! The online half as one call: resolves the inputs, downloads and packs the files, verifies the bundle and records it.
//!
//! A failed run leaves no files behind. The bundle gets its name, and the history records it, only after it was
//! verified.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use jiff::Timestamp;

use crate::client_setup::BaseUrl;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::env::Env;
use crate::event::{self, Sink};
use crate::fetch::cargo::Cargo;
use crate::fetch::crate_cache::CrateCache;
use crate::fetch::crate_downloader::{CrateDownloader, DownloadedCrate, FileOrigin};
use crate::fetch::history::{DeltaBase, History, InputRef};
use crate::fetch::index_snapshot::IndexSnapshot;
use crate::fetch::resolve::{CrateSpec, Resolution, Resolver, SkipPolicy};
use crate::fetch::workspace::Workspace;
use crate::http::{self, Client};
use crate::index_line::IndexLine;
use crate::inputs::depends::DependsFile;
use crate::inputs::input_id::{InputId, Label};
use crate::inputs::lockfile::{Lockfile, SkippedPackage};
use crate::upstream::cargo_config::{CargoConfig, Origin};
use crate::upstream::dist::ToolchainRequest;

pub mod init;
pub mod history;
pub mod substitute_toolchain;
pub mod resolve;
pub mod crate_downloader;
pub mod packaged_lock;
pub mod planned_crate;
pub mod crate_cache;
pub mod workspace;
pub mod cargo;
pub mod local_registry;
pub mod index_snapshot;
pub mod index_spool;
mod delta;
mod error;
mod write_bundle;
mod estimate;
pub mod repair_list;
mod changed_index_lines;
mod deleted_lines;
mod reuse;
mod standard_library;
mod metadata;
mod toolchains;
mod workspace_lock;

use standard_library::StdLock;

pub use error::Error;
pub use estimate::{DryRun, EstimatedFile};
pub use toolchains::{Reason, ToolchainOptions, Unavailable};

/// Maximum number of concurrent requests over HTTP/2.
const DEFAULT_JOBS: usize = 128;

/// Maximum time until a worker notices that it is stopped.
const WORKER_STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The environment of a run: its folders, its variables and its access to upstream.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The verb of this process, for processes that wait for its locks.
    pub verb: &'static str,
    /// FROSTMIRROR_HOME; contains the caches.
    pub home: PathBuf,
    /// The user's current folder.
    pub cwd: PathBuf,
    /// CARGO_HOME.
    pub cargo_home: Option<PathBuf>,
    /// An absolute path for files that are deleted at the end of the run.
    pub scratch: PathBuf,
    /// The environment variables.
    pub env: Env,
    /// The current time of the clock, independent of the time that the bundle states.
    pub now: Timestamp,
    /// Maximum number of concurrent requests, if the user sets one.
    pub jobs: Option<usize>,
    /// Use only the caches.
    pub offline: bool,
    /// Skip git packages instead of failing.
    pub skip_git: bool,
    /// Skip the packages of these registries instead of failing. Each is a name or the address of an index.
    pub skip_registries: Vec<String>,
    /// Mirrors and bundles whose files are reused if their digest matches.
    pub reuse: Vec<PathBuf>,
}

/// A fetch: its inputs and its output.
pub struct Options {
    /// The inputs. Empty for a repair list, or if inputs are only retired.
    pub inputs: Vec<InputSpec>,
    /// The content of the bundle.
    pub mode: Mode,
    /// The toolchain options of the user.
    pub toolchains: ToolchainOptions,
    /// Inputs of the history to retire.
    pub forget: Vec<InputRef>,
    /// The label of the single input, if the user gives one.
    pub label: Option<Label>,
    /// The environment of the run.
    pub environment: Environment,
    /// The output folder of the bundle.
    pub output: PathBuf,
    /// The folder of the history.
    pub history: PathBuf,
    /// The content of the bundle's `config.json`.
    pub base_url: BaseUrl,
    /// The time that the bundle states for its creation and for the index.
    pub created: Timestamp,
    /// Reports whether the newest bundle of the history is already at its destination.
    pub is_delivered: Option<DeliveryCheck>,
}

/// The content of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Everything that the inputs of this run need.
    #[default]
    Full,
    /// Only files that were not sent before.
    Incremental {
        /// The base: every bundle up to this one arrived. An ID or a file; `None` means the newest bundle.
        base: Option<String>,
    },
    /// The files of a repair list, even if they were sent before. The history's inputs stay unchanged.
    Repair {
        /// The repair list.
        list: PathBuf,
    },
}

/// Returns whether the bundle with this ID is at its destination. If the newest bundle is, and nothing is new, no
/// bundle is written.
pub type DeliveryCheck = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// An input of a fetch.
#[derive(Clone, Debug)]
pub enum InputSpec {
    /// A depends.toml, read once: the toolchain request and the resolution see the same text.
    Depends(DependsFile),
    /// Exactly the packages of a Cargo.lock.
    Lockfile(PathBuf),
    /// The Cargo.lock of a workspace. If it does not fit the manifests, cargo resolves a copy of them.
    Workspace(Workspace),
    /// One crate or tool.
    Crate(CrateSpec),
}

/// The result of a run.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A bundle was written.
    Written(WrittenBundle),
    /// No bundle was written: the newest bundle has everything and was delivered or counts as delivered, or the repair
    /// list is empty.
    NothingNew,
}

/// A bundle that was written and verified.
#[derive(Clone, Debug)]
pub struct WrittenBundle {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// The ID of the bundle.
    pub id: String,
    /// The number of crates in the bundle.
    pub crates: usize,
    /// The number of dist files in the bundle.
    pub dist_files: usize,
    /// The inputs that this run retired.
    pub forgotten: Vec<String>,
    /// Files of the repair list that the bundle lacks.
    pub unavailable: Vec<Unavailable>,
    /// Packages that the inputs of this run need and that were skipped.
    pub skipped_packages: Vec<SkippedPackage>,
}

/// Resolves, downloads, packs, verifies and records a bundle.
pub async fn fetch(options: Options, sink: Arc<dyn Sink>) -> Result<Outcome, Error> {
    check_output(&options.output)?;
    let session = Session::start(&options.environment, Some(&options.history), &sink).await?;
    let incremental = delta::open_incremental(&options, &sink).await?;
    let run = Run::start(&options, session).await?;
    if run.has_no_work() {
        return Ok(Outcome::NothingNew);
    }
    let sent = incremental.as_ref().map(|known| &known.base);
    // Without a lock, other processes may record bundles meanwhile.
    let memory = &History::read(&options.history)?;
    run.check_labels(memory)?;
    run.report_unrequested_toolchains(memory);
    // Errors in `[platforms]` are reported before the crates, which can be many, are downloaded.
    let planned = run.plan_toolchains(memory, sent).await?;
    let std_locks = run.fetch_std_locks(&planned).await?;
    let mut fetch_plan = run.session.resolve_and_download(&run.inputs, &std_locks, sent).await?;
    fetch_plan.toolchains = run.download_toolchains(planned, memory, sent).await?;
    check_not_empty(&fetch_plan.resolution, &fetch_plan.toolchains)?;
    let unavailable = &fetch_plan.toolchains.unavailable;
    if !unavailable.is_empty() && fetch_plan.resolution.crates.is_empty() && fetch_plan.toolchains.shipped_count() == 0
    {
        return Err(Error::Unavailable(unavailable.clone()));
    }
    if let Some(known) = &incremental {
        let plan = write_bundle::plan_bundle(&known.history, &fetch_plan, &options)?;
        if let Some(path) = delta::dist_file_missing_from_base(&plan, &known.base, &fetch_plan.toolchains) {
            return Err(Error::ToolchainsMissingFromBase(path));
        }
        let missing = delta::missing_from_base(&plan, &known.base, &fetch_plan.resolution);
        if !missing.is_empty() {
            let more =
                run.session.resolve_and_download(&[delta::pinned_input(missing, &known.base)], &[], None).await?;
            fetch_plan.resolution.crates.extend(more.resolution.crates);
        }
    }
    let (history, sent) = match incremental {
        Some(delta::IncrementalState { history, base }) => (history, Some(base)),
        None => {
            let history = delta::open_history(&options, &sink).await?;
            if matches!(options.mode, Mode::Full) && run.other_requests(memory) != run.other_requests(&history) {
                let planned = run.plan_toolchains(&history, None).await?;
                let now = run.fetch_std_locks(&planned).await?;
                if now != std_locks {
                    fetch_plan = run.session.resolve_and_download(&run.inputs, &now, None).await?;
                }
                fetch_plan.toolchains = run.download_toolchains(planned, &history, None).await?;
            }
            (history, None)
        }
    };
    if !run.inputs.is_empty() && !matches!(options.mode, Mode::Repair { .. }) {
        fetch_plan.refreshed = run.session.refresh_lines(&history, sent.as_ref(), &fetch_plan.resolution).await?;
    }
    fetch_plan.cached_index_read = run.session.downloads.index.oldest_used();
    let (ended, end) = mpsc::channel();
    let writing = move || {
        let written = write_bundle::write_bundle(&options, history, sent, &fetch_plan, sink.as_ref());
        drop(ended);
        written
    };
    let _end = WorkerGuard(end);
    tokio::task::spawn_blocking(writing).await.map_err(Error::Worker)?
}

/// Rejects an output folder that is not writable before the download starts. The folder is not created yet, because a
/// failed run leaves no files behind.
fn check_output(output: &Path) -> Result<(), Error> {
    let existing = output.ancestors().find(|folder| folder.symlink_metadata().is_ok()).unwrap_or(output);
    // A file without a name, which disappears with its handle.
    let tried = tempfile::tempfile_in(existing).map(drop);
    tried.map_err(|source| Error::Output { path: output.to_owned(), source })
}

/// Stops a worker and waits for its cleanup when this value is dropped.
struct WorkerGuard(mpsc::Receiver<()>);

impl Drop for WorkerGuard {
    fn drop(&mut self) {
        // No value is ever sent: the channel ends with the sender.
        let _ended = self.0.recv_timeout(WORKER_STOP_TIMEOUT).is_err();
    }
}

/// Resolves the inputs and returns the planned downloads with their sizes. Writes only to the caches.
pub async fn dry_run(options: Options, sink: Arc<dyn Sink>) -> Result<DryRun, Error> {
    let session = Session::start(&options.environment, Some(&options.history), &sink).await?;
    let memory = History::read(&options.history)?;
    let base = delta::peek_base(&memory, &options, sink.as_ref())?;
    let base = base.as_ref();
    let run = Run::start(&options, session).await?;
    let (session, inputs) = (&run.session, &run.inputs);
    run.check_labels(&memory)?;
    run.report_unrequested_toolchains(&memory);
    let toolchains = run.plan_toolchains(&memory, base).await?;
    let std_locks = run.fetch_std_locks(&toolchains).await?;
    let resolved =
        standard_library::resolve_with_std_locks(&session.resolver, inputs, &std_locks, &session.downloads).await?;
    session.report_resolved(&resolved);
    check_not_empty(&resolved, &toolchains)?;
    let mut wanted: BTreeMap<CrateId, Sha256> =
        resolved.crates.iter().map(|(id, planned)| (id.clone(), planned.line.cksum)).collect();
    let gathered = FetchPlan { resolution: resolved, toolchains, ..FetchPlan::default() };
    let is_repair = matches!(options.mode, Mode::Repair { .. });
    let plan = if is_repair { None } else { Some(write_bundle::plan_bundle(&memory, &gathered, &options)?) };
    let mut has_changes = !run.has_no_work();
    if let (Some(base), Some(plan)) = (base, &plan) {
        wanted.retain(|id, sha256| !base.has_crate(id, *sha256));
        wanted.extend(delta::missing_from_base(plan, base, &gathered.resolution));
        has_changes &= plan.has_changes || !write_bundle::is_delivered(&options, plan, Some(base));
        if !has_changes && !inputs.is_empty() {
            let refreshed = session.refresh_lines(&memory, Some(base), &gathered.resolution).await?;
            has_changes = !refreshed.changed.is_empty();
        }
    }
    let mut estimate = estimate::estimate_crates(&wanted, &session.downloads).await?;
    estimate.writes_bundle = has_changes;
    if let Some(plan) = &plan {
        estimate.forgotten =
            write_bundle::forgotten_inputs(&memory, &options)?.iter().map(InputId::to_string).collect();
        (estimate.dropped_crates, estimate.dropped_dist_files) = memory.count_dropped(plan);
    }
    estimate.dist_files =
        estimate::estimate_dist_files(gathered.toolchains.downloads, base, &run.dist_downloader()).await?;
    Ok(estimate)
}

/// The lock of a workspace: its own if it fits the manifests, otherwise the lock that cargo resolves for a copy of
/// them.
pub async fn lock_workspace(
    workspace: &Workspace,
    surroundings: &Environment,
    sink: Arc<dyn Sink>,
) -> Result<Lockfile, Error> {
    let session = Session::start(surroundings, None, &sink).await?;
    workspace_lock::read_or_resolve(workspace, &session).await
}

/// Access to upstream for one run: one client, one snapshot of the index and one cargo.
struct Session<'s> {
    environment: &'s Environment,
    resolver: Resolver,
    downloads: CrateDownloader,
    sink: Arc<dyn Sink>,
}

impl<'s> Session<'s> {
    /// With a history, locks may name versions that upstream deleted, if the history or a source of `--reuse` has them.
    async fn start(
        surroundings: &'s Environment,
        history: Option<&Path>,
        sink: &Arc<dyn Sink>,
    ) -> Result<Session<'s>, Error> {
        let Environment { cwd, cargo_home, env, .. } = surroundings;
        let config = CargoConfig::read(cwd, cargo_home.as_deref(), env)?;
        let upstream = config.upstream(env)?;
        for warning in config.warnings().iter().chain(&upstream.warnings) {
            sink.warning(warning.clone());
        }
        if let Origin::Replacement { name, file } = &upstream.origin {
            sink.status("Using", format!("registry `{name}` as upstream, set in `{}`", file.display()));
        }
        let mut settings = config.http_settings();
        if let Some(jobs) = surroundings.jobs {
            settings.jobs = jobs;
        }
        let offline = surroundings.offline || config.is_offline();
        if offline && !surroundings.offline {
            sink.status("Using", "only the caches, because cargo's `net.offline` is set".to_owned());
        }
        let http_sink = Arc::clone(sink);
        settings.observer = http::Observer::new(move |report| http_sink.http(report));
        let dist = env.var("FROSTMIRROR_DIST_URL").unwrap_or(crate::toolchain::UPSTREAM_DIST_URL);
        settings.configured_urls = upstream.addresses().chain([dist.to_owned()]).collect();
        let client = Client::new(&settings)?;
        let cache_folder = surroundings.home.join("cache");
        let (opened, cache_sink) = (cache_folder.clone(), Arc::clone(sink));
        // It may wait for another process.
        let opening = tokio::task::spawn_blocking(move || CrateCache::open(&opened, cache_sink.as_ref()));
        let cache = opening.await.map_err(Error::Worker)?;
        let cache = cache.map_err(|source| Error::Folder { path: cache_folder, source })?;
        let index = IndexSnapshot::new(client.clone(), upstream, &cache, offline, Arc::clone(sink));
        let cargo = Cargo::find(env, cwd, &surroundings.scratch).await?.with_config(&config);
        let passes = std::thread::available_parallelism().map_or(2, usize::from);
        let skip = skip_policy(surroundings, &config)?;
        let mut resolver = Resolver::start(cargo, index.clone(), skip, passes, Arc::clone(sink)).await?;
        if let Some(history) = history {
            resolver.set_line_archive(Arc::new(deleted_lines::LineSources {
                history: history.to_owned(),
                reuse: surroundings.reuse.clone(),
                scratch: surroundings.scratch.clone(),
                sink: Arc::clone(sink),
            }));
        }
        let downloads = CrateDownloader {
            client,
            index,
            cache,
            cargo_home: cargo_home.clone(),
            jobs: surroundings.jobs.unwrap_or(DEFAULT_JOBS),
            offline,
            verb: surroundings.verb,
            sink: Arc::clone(sink),
        };
        Ok(Session { environment: surroundings, resolver, downloads, sink: Arc::clone(sink) })
    }

    /// Reads and checks the inputs of the user.
    async fn read_inputs(&self, options: &Options) -> Result<Vec<resolve::Input>, Error> {
        if let Mode::Repair { list } = &options.mode {
            let listed = repair_list::read(list)?;
            let some = !listed.crates.packages.is_empty() || !listed.dist_files.is_empty();
            return Ok(some.then_some(resolve::Input::Lockfile(listed.crates)).into_iter().collect());
        }
        let mut read = Vec::with_capacity(options.inputs.len());
        for input in &options.inputs {
            let mut input = match input {
                InputSpec::Depends(depends) => resolve::Input::Depends(depends.clone()),
                InputSpec::Lockfile(path) => resolve::Input::Lockfile(Lockfile::read(path)?),
                InputSpec::Crate(spec) => resolve::Input::Crate(spec.clone()),
                InputSpec::Workspace(found) => {
                    resolve::Input::Lockfile(workspace_lock::read_or_resolve(found, self).await?)
                }
            };
            input.set_label(options.label.as_ref());
            read.push(input);
        }
        deduplicate_inputs(read)
    }

    /// Resolves the inputs and downloads every file that was not sent before.
    async fn resolve_and_download(
        &self,
        inputs: &[resolve::Input],
        std_locks: &[StdLock],
        sent: Option<&DeltaBase>,
    ) -> Result<FetchPlan, Error> {
        if inputs.is_empty() {
            return Ok(FetchPlan::default());
        }
        let to_send = |id: &CrateId, sha256| sent.is_none_or(|base| !base.has_crate(id, sha256));
        // A lock states the checksums, so its crates are downloaded while the index is still being read. Every crate is
        // checked against its index line before it is packed.
        let own = inputs.iter().filter_map(|input| match input {
            resolve::Input::Lockfile(lockfile) => Some(lockfile),
            resolve::Input::Depends(_) | resolve::Input::Crate(_) => None,
        });
        let locked = own.chain(std_locks.iter().map(StdLock::lockfile)).flat_map(|lockfile| &lockfile.packages);
        let locked = locked.filter(|(id, sha256)| to_send(id, **sha256));
        let early: BTreeMap<CrateId, Sha256> = locked.map(|(id, sha256)| (id.clone(), *sha256)).collect();
        let resolving = async {
            let resolved =
                standard_library::resolve_with_std_locks(&self.resolver, inputs, std_locks, &self.downloads).await;
            resolved.map_err(Error::from)
        };
        let downloading = async { self.download_crates(&early).await };
        let (mut resolved, mut files) = if early.is_empty() {
            (resolving.await?, BTreeMap::new())
        } else {
            // Errors of the inputs are reported before errors of the downloads.
            tokio::pin!(downloading);
            tokio::pin!(resolving);
            let mut early_files = None;
            let resolved = loop {
                tokio::select! {
                    biased;
                    resolved = &mut resolving => break resolved?,
                    files = &mut downloading, if early_files.is_none() => early_files = Some(files),
                }
            };
            let files = match early_files {
                Some(files) => files,
                None => downloading.await,
            };
            (resolved, files?)
        };
        self.report_resolved(&resolved);
        let missing = resolved.crates.iter().map(|(id, planned)| (id, planned.line.cksum));
        let missing = missing.filter(|(id, sha256)| !files.contains_key(*id) && to_send(id, *sha256));
        let missing: BTreeMap<CrateId, Sha256> = missing.map(|(id, sha256)| (id.clone(), sha256)).collect();
        if !missing.is_empty() {
            files.extend(self.download_crates(&missing).await?);
        }
        let (mut all, mut downloaded, mut bytes) = (0, 0, 0);
        for (id, planned) in &mut resolved.crates {
            planned.file = files.remove(id);
            if let Some(file) = &planned.file {
                let is_new = file.origin == FileOrigin::Upstream;
                (all, downloaded, bytes) =
                    (all + 1, downloaded + u64::from(is_new), bytes + if is_new { file.size } else { 0 });
            }
        }
        if all > 0 {
            let (all, bytes) = (event::format_crates(all), event::format_size(bytes));
            self.sink.status("Gathered", format!("{all} ({downloaded} downloaded, {bytes})"));
        }
        Ok(FetchPlan { resolution: resolved, ..FetchPlan::default() })
    }

    /// Provides these crates, complete and checked, from the caches or from upstream.
    async fn download_crates(
        &self,
        wanted: &BTreeMap<CrateId, Sha256>,
    ) -> Result<BTreeMap<CrateId, DownloadedCrate>, Error> {
        let Environment { reuse, scratch, .. } = self.environment;
        if !reuse.is_empty() {
            let (cache, sources, wanted) = (self.downloads.cache.clone(), reuse.clone(), wanted.clone());
            let (scratch, sink) = (scratch.clone(), Arc::clone(&self.sink));
            let adopting = move || reuse::import_into_cache(&cache, &sources, &wanted, &scratch, sink.as_ref());
            tokio::task::spawn_blocking(adopting).await.map_err(Error::Worker)??;
        }
        Ok(self.downloads.fetch(wanted).await?)
    }

    fn report_resolved(&self, resolved: &Resolution) {
        if resolved.crates.is_empty() {
            return;
        }
        for id in resolved.crates.keys() {
            self.sink.detail("Resolved", id.to_string());
        }
        self.sink.status("Resolved", event::format_crates(resolved.crates.len() as u64));
    }
}

/// One fetch or dry run: what the user requests, and the session for it.
struct Run<'o> {
    options: &'o Options,
    session: Session<'o>,
    /// The inputs of the user, read and checked.
    inputs: Vec<resolve::Input>,
    /// The toolchain requests of the inputs.
    requests: BTreeMap<InputId, ToolchainRequest>,
}

impl<'o> Run<'o> {
    async fn start(options: &'o Options, session: Session<'o>) -> Result<Run<'o>, Error> {
        let inputs = session.read_inputs(options).await?;
        let requests = options.toolchains.requests_for(&inputs);
        Ok(Run { options, session, inputs, requests })
    }

    /// Whether nothing is requested: an empty repair list. An explicit base requests what the history recorded.
    fn has_no_work(&self) -> bool {
        let requests_base = matches!(self.options.mode, Mode::Incremental { base: Some(_) });
        self.inputs.is_empty() && self.options.forget.is_empty() && !requests_base
    }

    /// A label of the user declares that inputs are the same project. A label derived from a name may belong to another
    /// project.
    fn check_labels(&self, history: &History) -> Result<(), Error> {
        if self.options.label.is_none() && !matches!(self.options.mode, Mode::Repair { .. }) {
            for input in &self.inputs {
                if let Some(path) = input.path() {
                    history.check_label(&input.id(), path)?;
                }
            }
        }
        Ok(())
    }
}

/// An empty set is usually a mistake. An empty bundle would look like success on both sides of the gap.
fn check_not_empty(resolved: &Resolution, toolchains: &toolchains::ToolchainPlan) -> Result<(), Error> {
    if resolved.crates.is_empty() && !resolved.inputs.is_empty() && toolchains.needed_paths.is_empty() {
        let name = |input: &resolve::ResolvedInput| match &input.path {
            Some(path) => format!("`{}`", path.display()),
            None => format!("`{}`", input.id),
        };
        return Err(Error::NoCrates(resolved.inputs.iter().map(name).collect()));
    }
    Ok(())
}

/// The inputs without duplicates: several paths may name one file.
fn deduplicate_inputs(inputs: Vec<resolve::Input>) -> Result<Vec<resolve::Input>, Error> {
    let mut each: Vec<resolve::Input> = Vec::with_capacity(inputs.len());
    for input in inputs {
        let id = input.id();
        match (each.iter().find(|other| other.id() == id), input.path()) {
            (None, _) => each.push(input),
            (Some(other), Some(new)) if other.path() != Some(new) => {
                let old = other.path().unwrap_or(new).to_owned();
                let new = new.to_owned();
                return Err(history::Error::SameLabel { id, new, old, together: true }.into());
            }
            _ => {}
        }
    }
    Ok(each)
}

/// The resolved set, with the files that go into the bundle.
#[derive(Default)]
struct FetchPlan {
    resolution: Resolution,
    toolchains: toolchains::ToolchainPlan,
    refreshed: changed_index_lines::RefreshedLines,
    /// When the index was read, if the run was offline and used older files of the cache.
    cached_index_read: Option<Timestamp>,
}

impl FetchPlan {
    /// The index lines that go into the bundle, sorted by crate.
    fn lines(&self) -> impl Iterator<Item = &IndexLine> {
        let lines = self.resolution.crates.iter().map(|(id, planned)| (id, &planned.line));
        lines.chain(&self.refreshed.lines).collect::<BTreeMap<_, _>>().into_values()
    }
}

/// Each registry is a name in cargo's configuration or the address of an index.
fn skip_policy(surroundings: &Environment, config: &CargoConfig) -> Result<SkipPolicy, Error> {
    let mut registries = Vec::new();
    for name in &surroundings.skip_registries {
        let index =
            if name.contains("://") { Some(name.clone()) } else { config.registry_index(name, &surroundings.env)? };
        registries.push(index.ok_or_else(|| Error::UnknownRegistry(name.clone()))?);
    }
    Ok(SkipPolicy { git: surroundings.skip_git, registries })
}
