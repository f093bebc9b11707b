//! The online half as one call: gather what is needed, pack it, verify what was written, and record it.
//!
//! Nothing is left behind by a run that fails: the bundle gets its name only after it was verified, and the history
//! learns of it only then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use jiff::Timestamp;

use crate::client_config::BaseUrl;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::env::Env;
use crate::event::{self, Sink};
use crate::gather::cargo_config::{CargoConfig, Origin};
use crate::gather::download::{self, Downloaded, Downloads};
use crate::gather::history::{self, Base, Called, Memory};
use crate::gather::index::Index;
use crate::gather::input_id::Label;
use crate::gather::lockfile::{LeftOut, Lockfile};
use crate::gather::resolve::{self, CrateSpec, Resolved, Resolver, Skip};
use crate::gather::workspace::Workspace;
use crate::gather::{cache::Cache, cargo::Cargo, depends::Depends};
use crate::http::{self, Client};

mod delta;
mod error;
mod packed;
mod plan;
pub mod repair_list;
mod refresh;
mod remembered;
mod reuse;
mod standard_library;
mod told;
mod toolchains;
mod workspace_lock;

use standard_library::StdLock;

pub use error::Error;
pub use plan::{PlannedArtifact, PlannedCrate, Weighed};
pub use toolchains::{Lacking, Toolchains, Why};

/// Requests under way at once where HTTP/2 bears them.
const JOBS: usize = 128;

/// How long a worker may take to notice that it is stopped.
const STOPPING: Duration = Duration::from_secs(10);

/// What a run works with: where it stands, and how it may reach upstream.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// FROSTMIRROR_HOME: the caches lie there.
    pub home: PathBuf,
    /// The user's folder.
    pub cwd: PathBuf,
    /// Cargo's home.
    pub cargo_home: Option<PathBuf>,
    /// A folder for files that do not outlive the run; absolute.
    pub scratch: PathBuf,
    /// The environment.
    pub env: Env,
    /// What the clock says, whatever time the bundle is to state.
    pub now: Timestamp,
    /// Requests under way at once, where the user limits them.
    pub jobs: Option<usize>,
    /// Use the caches alone.
    pub offline: bool,
    /// Take git packages out instead of failing.
    pub skip_git: bool,
    /// Take the packages of these registries out instead of failing; names, or addresses of their indexes.
    pub skip_registries: Vec<String>,
    /// Mirrors and bundles whose files are used where they have the right digest.
    pub reuse: Vec<PathBuf>,
}

/// What to fetch, and where to.
pub struct Options {
    /// What to fetch; none where the list of a repair says it, or where inputs are only forgotten.
    pub inputs: Vec<Input>,
    /// What goes into the bundle.
    pub mode: Mode,
    /// What is said of toolchains.
    pub toolchains: Toolchains,
    /// Inputs of the history to retire.
    pub forget: Vec<Called>,
    /// The label of the one input, where the user gives it.
    pub label: Option<Label>,
    /// What the run works with.
    pub surroundings: Surroundings,
    /// The folder that the bundle goes to.
    pub output: PathBuf,
    /// The folder of the history.
    pub history: PathBuf,
    /// What the bundle's `config.toml` tells clients.
    pub base_url: BaseUrl,
    /// The time that the bundle states, for itself and for the index that was read.
    pub created: Timestamp,
    /// Whether the newest bundle of the history is already where this one is to go.
    pub delivered: Option<Delivered>,
}

/// What goes into a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// All that today's inputs need.
    #[default]
    Full,
    /// What was not sent yet.
    Incremental {
        /// The bundle up to which everything arrived: its id or its file; `None`: the newest.
        base: Option<String>,
    },
    /// What a repair list names, whatever was sent. The history's inputs stay as they are.
    Repair {
        /// The list.
        list: PathBuf,
    },
}

/// Tells of a bundle's id whether that bundle is where it was to go. Where the newest one is, and there is nothing
/// new, no other is written.
pub type Delivered = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Something to fetch.
#[derive(Clone, Debug)]
pub enum Input {
    /// A depends.toml.
    Depends(PathBuf),
    /// Exactly the packages of a Cargo.lock.
    Lockfile(PathBuf),
    /// The Cargo.lock of a workspace, or what cargo makes of its manifests where none fits.
    Workspace(Workspace),
    /// One crate or tool.
    Crate(CrateSpec),
}

/// What a run came to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A bundle was written.
    Written(Written),
    /// There is nothing that the newest bundle did not bring, and it was delivered or counts as delivered; or there is
    /// nothing to repair.
    NothingNew,
}

/// A bundle that was written and verified.
#[derive(Clone, Debug)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// The bundle's id.
    pub id: String,
    /// Crates in it.
    pub crates: usize,
    /// Rustup artifacts in it.
    pub artifacts: usize,
    /// What a repair list names and is not in it.
    pub lacking: Vec<Lacking>,
    /// What today's inputs need besides and was left out.
    pub left_out: Vec<LeftOut>,
}

/// Resolves, downloads, packs, verifies, records.
pub async fn fetch(options: Options, sink: Arc<dyn Sink>) -> Result<Outcome, Error> {
    output_is_usable(&options.output)?;
    let mut station = Station::begin(&options.surroundings, &sink).await?;
    station.remember(&options.history);
    let station = station;
    let known = delta::known(&options, &sink).await?;
    let inputs = station.inputs(&options).await?;
    if inputs.is_empty() && options.forget.is_empty() {
        return Ok(Outcome::NothingNew);
    }
    let sent = known.as_ref().map(|known| &known.base);
    let orders = station.orders(&options, &inputs);
    let memory = known.as_ref().map(|known| &*known.history as &Memory);
    let peeked = if memory.is_none() { Some(Memory::read(&options.history)?) } else { None };
    let memory = memory.or(peeked.as_ref());
    refuse_same_labels(&options, &inputs, memory)?;
    // What is wrong with `[platforms]` is told before crates are downloaded, of which there may be a great many.
    let planned = station.planned(&options, orders.clone(), &inputs, memory, sent).await?;
    let std_locks = station.std_locks(&options, &inputs, &planned).await?;
    let mut gathered = station.everything(&inputs, &std_locks, sent).await?;
    gathered.toolchains = station.toolchains(&options, planned, memory, sent).await?;
    refuse_nothing(&gathered.resolved, &gathered.toolchains)?;
    let lacking = &gathered.toolchains.lacking;
    if !lacking.is_empty() && gathered.resolved.crates.is_empty() && gathered.toolchains.shipped() == 0 {
        return Err(Error::Lacking(lacking.clone()));
    }
    if let Some(known) = &known {
        let plan = packed::planned(&known.history, &gathered, &options)?;
        if let Some(path) = delta::artifact_owed(&plan, &known.base, &gathered.toolchains) {
            return Err(Error::ToolchainsOwed(path));
        }
        let owed = delta::owed(&plan, &known.base, &gathered.resolved);
        if !owed.is_empty() {
            let more = station.everything(&[delta::exactly(owed, &known.base)], &[], None).await?;
            gathered.files.extend(more.files);
            gathered.resolved.crates.extend(more.resolved.crates);
        }
    }
    let (history, sent) = match known {
        Some(delta::Known { history, base }) => (history, Some(base)),
        None => {
            // Others were free to record bundles until now.
            let history = delta::open(&options, &sink).await?;
            if matches!(options.mode, Mode::Full) && station.has_changed(&options, &inputs, peeked.as_ref(), &history) {
                let planned = station.planned(&options, orders, &inputs, Some(&history), None).await?;
                let now = station.std_locks(&options, &inputs, &planned).await?;
                if now != std_locks {
                    gathered = station.everything(&inputs, &now, None).await?;
                }
                gathered.toolchains = station.toolchains(&options, planned, Some(&history), None).await?;
            }
            (history, None)
        }
    };
    if !inputs.is_empty() && !matches!(options.mode, Mode::Repair { .. }) {
        gathered.refreshed = station.refresh(&history, sent.as_ref(), &gathered.resolved).await?;
    }
    let (ended, end) = mpsc::channel();
    let writing = move || {
        let written = packed::write(&options, history, sent, &gathered, sink.as_ref());
        drop(ended);
        written
    };
    let _end = End(end);
    tokio::task::spawn_blocking(writing).await.map_err(Error::Worker)?
}

/// Refuses a folder that nothing can be written to, before anything is gathered for it. It is not made yet: a run that
/// fails leaves nothing behind.
fn output_is_usable(output: &Path) -> Result<(), Error> {
    let there = output.ancestors().find(|folder| folder.symlink_metadata().is_ok()).unwrap_or(output);
    // A file that has no name, and is gone with its handle.
    let tried = tempfile::tempfile_in(there).map(drop);
    tried.map_err(|source| Error::Output { path: output.to_owned(), source })
}

/// The end of a worker that asks whether it is stopped, and cleans up when it is; waited for when this is dropped.
struct End(mpsc::Receiver<()>);

impl Drop for End {
    fn drop(&mut self) {
        // Nothing is ever sent: it ends with the sender.
        let _ended = self.0.recv_timeout(STOPPING).is_err();
    }
}

/// Resolves, and says what would be downloaded and what it weighs. Writes nothing but caches.
pub async fn dry_run(options: Options, sink: Arc<dyn Sink>) -> Result<Weighed, Error> {
    let mut station = Station::begin(&options.surroundings, &sink).await?;
    station.remember(&options.history);
    let station = station;
    let known = delta::peek(&options, sink.as_ref())?;
    let inputs = station.inputs(&options).await?;
    let orders = station.orders(&options, &inputs);
    let memory = Memory::read(&options.history)?;
    refuse_same_labels(&options, &inputs, Some(&memory))?;
    let base = known.as_ref().map(|(_, base)| base);
    let toolchains = station.planned(&options, orders, &inputs, Some(&memory), base).await?;
    let std_locks = station.std_locks(&options, &inputs, &toolchains).await?;
    let resolved = standard_library::resolve(&station.resolver, &inputs, &std_locks, &station.downloads).await?;
    station.tell_of(&resolved);
    refuse_nothing(&resolved, &toolchains)?;
    let mut wanted: BTreeMap<CrateId, Sha256> =
        resolved.crates.iter().map(|(id, line)| (id.clone(), line.cksum)).collect();
    let gathered = Gathered { resolved, toolchains, ..Gathered::default() };
    if let Some((memory, base)) = &known {
        wanted.retain(|id, sha256| !base.holds(id, *sha256));
        let plan = packed::planned(memory, &gathered, &options)?;
        wanted.extend(delta::owed(&plan, base, &gathered.resolved));
    }
    let mut weighed = plan::weigh(&wanted, &station.downloads).await?;
    weighed.artifacts = plan::weigh_artifacts(gathered.toolchains.plan, base, &station.dist(&options)).await?;
    Ok(weighed)
}

/// The lock of a workspace: its own where it fits the manifests, else what cargo makes of a copy of them.
pub async fn lock(found: &Workspace, surroundings: &Surroundings, sink: Arc<dyn Sink>) -> Result<Lockfile, Error> {
    let station = Station::begin(surroundings, &sink).await?;
    workspace_lock::of(found, &station).await
}

/// One run's access to upstream: one client, one snapshot of the index, one cargo.
struct Station<'s> {
    surroundings: &'s Surroundings,
    resolver: Resolver,
    downloads: Downloads,
    sink: Arc<dyn Sink>,
}

impl<'s> Station<'s> {
    async fn begin(surroundings: &'s Surroundings, sink: &Arc<dyn Sink>) -> Result<Station<'s>, Error> {
        let Surroundings { cwd, cargo_home, env, .. } = surroundings;
        let config = CargoConfig::read(cwd, cargo_home.as_deref(), env)?;
        let upstream = config.upstream(env)?;
        for warning in config.warnings().iter().chain(&upstream.warnings) {
            sink.warning(warning.clone());
        }
        if let Origin::Replacement { name, file } = &upstream.origin {
            sink.status("Using", format!("registry `{name}` as upstream, as `{}` says", file.display()));
        }
        let mut settings = config.http();
        if let Some(jobs) = surroundings.jobs {
            settings.jobs = jobs;
        }
        let offline = surroundings.offline || config.offline();
        if offline && !surroundings.offline {
            sink.status("Using", "the caches alone, as cargo's `net.offline` says".to_owned());
        }
        let waits = Arc::clone(sink);
        settings.waits = http::Waits::told_to(move |why, seconds| {
            waits.status("Retrying", format!("in {seconds} s: {why}"));
        });
        let dist = env.text("FROSTMIRROR_DIST_URL").unwrap_or(crate::channel::UPSTREAM);
        settings.configured = upstream.addresses().chain([dist.to_owned()]).collect();
        let client = Client::new(&settings)?;
        let cache_folder = surroundings.home.join("cache");
        let cache =
            Cache::open(&cache_folder).map_err(|source| Error::Folder { path: cache_folder.clone(), source })?;
        let index = Index::new(client.clone(), upstream, &cache, offline, Arc::clone(sink));
        let cargo = Cargo::find(env, cwd, &surroundings.scratch).await?.configured(&config);
        let passes = std::thread::available_parallelism().map_or(2, usize::from);
        let skip = skip(surroundings, &config)?;
        let resolver = Resolver::start(cargo, index.clone(), skip, passes, Arc::clone(sink)).await?;
        let downloads = Downloads {
            client,
            index,
            cache,
            cargo_home: cargo_home.clone(),
            jobs: surroundings.jobs.unwrap_or(JOBS),
            offline,
            sink: Arc::clone(sink),
        };
        Ok(Station { surroundings, resolver, downloads, sink: Arc::clone(sink) })
    }

    /// Lets locks name versions that upstream deleted, where the history or what is to be reused has them.
    fn remember(&mut self, history: &Path) {
        let Surroundings { reuse, scratch, .. } = self.surroundings;
        self.resolver.remember(Arc::new(remembered::Sources {
            history: history.to_owned(),
            reuse: reuse.clone(),
            scratch: scratch.clone(),
            sink: Arc::clone(&self.sink),
        }));
    }

    /// What the user wrote, read and checked.
    async fn inputs(&self, options: &Options) -> Result<Vec<resolve::Input>, Error> {
        if let Mode::Repair { list } = &options.mode {
            let listed = repair_list::read(list)?;
            let some = !listed.crates.packages.is_empty() || !listed.artifacts.is_empty();
            return Ok(some.then_some(resolve::Input::Lockfile(listed.crates)).into_iter().collect());
        }
        let mut read = Vec::with_capacity(options.inputs.len());
        for input in &options.inputs {
            let mut input = match input {
                Input::Depends(path) => resolve::Input::Depends(Depends::read(path)?),
                Input::Lockfile(path) => resolve::Input::Lockfile(Lockfile::read(path)?),
                Input::Crate(spec) => resolve::Input::Crate(spec.clone()),
                Input::Workspace(found) => resolve::Input::Lockfile(workspace_lock::of(found, self).await?),
            };
            input.label(options.label.as_ref());
            read.push(input);
        }
        one_each(read)
    }

    /// The resolved set, and every file of it that is not known to be sent.
    async fn everything(
        &self,
        inputs: &[resolve::Input],
        std_locks: &[StdLock],
        sent: Option<&Base>,
    ) -> Result<Gathered, Error> {
        if inputs.is_empty() {
            return Ok(Gathered::default());
        }
        let to_send = |id: &CrateId, sha256| sent.is_none_or(|base| !base.holds(id, sha256));
        // A lock states the checksums: its crates are downloaded while the index is still being read. Whatever they
        // are, every one of them is held against its index line before anything is packed.
        let mut early: BTreeMap<CrateId, Sha256> = inputs
            .iter()
            .cloned()
            .chain(standard_library::inputs_of(std_locks))
            .flat_map(|input| locked(&input))
            .collect();
        early.retain(|id, sha256| to_send(id, *sha256));
        let resolving = async {
            let resolved = standard_library::resolve(&self.resolver, inputs, std_locks, &self.downloads).await;
            resolved.map_err(Error::from)
        };
        let downloading = async { self.files(&early).await };
        let (resolved, mut files) = if early.is_empty() {
            (resolving.await?, BTreeMap::new())
        } else {
            // What is wrong with the inputs is told before what is wrong with a download.
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
        self.tell_of(&resolved);
        let wanted: BTreeMap<CrateId, Sha256> = resolved
            .crates
            .iter()
            .map(|(id, line)| (id.clone(), line.cksum))
            .filter(|(id, sha256)| !files.contains_key(id) && to_send(id, *sha256))
            .collect();
        if !wanted.is_empty() {
            files.extend(self.files(&wanted).await?);
        }
        files.retain(|id, _| resolved.crates.contains_key(id));
        let fresh = files.values().filter(|file| file.from == download::Source::Upstream);
        let (count, bytes) = fresh.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.size));
        if !files.is_empty() {
            let all = event::crates(files.len() as u64);
            self.sink.status("Gathered", format!("{all} ({count} downloaded, {})", event::size(bytes)));
        }
        Ok(Gathered { resolved, files, ..Gathered::default() })
    }

    /// These crates, whole and checked, from wherever they can be had.
    async fn files(&self, wanted: &BTreeMap<CrateId, Sha256>) -> Result<BTreeMap<CrateId, Downloaded>, Error> {
        let Surroundings { reuse, scratch, .. } = self.surroundings;
        if !reuse.is_empty() {
            let (cache, sources, wanted) = (self.downloads.cache.clone(), reuse.clone(), wanted.clone());
            let (scratch, sink) = (scratch.clone(), Arc::clone(&self.sink));
            let adopting = move || reuse::adopt(&cache, &sources, &wanted, &scratch, sink.as_ref());
            tokio::task::spawn_blocking(adopting).await.map_err(Error::Worker)??;
        }
        Ok(self.downloads.fetch(wanted).await?)
    }

    fn tell_of(&self, resolved: &Resolved) {
        if resolved.crates.is_empty() {
            return;
        }
        self.sink.status("Resolved", event::crates(resolved.crates.len() as u64));
    }
}

/// Nothing at all is a mistake far more often than it is meant, and a bundle of nothing would look like success on both
/// sides of the gap.
fn refuse_nothing(resolved: &Resolved, toolchains: &toolchains::Gathered) -> Result<(), Error> {
    if resolved.crates.is_empty() && !resolved.inputs.is_empty() && toolchains.needs.is_empty() {
        let name = |input: &resolve::ResolvedInput| match &input.path {
            Some(path) => format!("`{}`", path.display()),
            None => format!("`{}`", input.id),
        };
        return Err(Error::Nothing(resolved.inputs.iter().map(name).collect()));
    }
    Ok(())
}

/// The inputs, each once: a file may be named in several ways.
fn one_each(inputs: Vec<resolve::Input>) -> Result<Vec<resolve::Input>, Error> {
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

/// A label that the user gives says that it is the same input. One that follows from a name may be another project's.
fn refuse_same_labels(options: &Options, inputs: &[resolve::Input], memory: Option<&Memory>) -> Result<(), Error> {
    let Some(memory) = memory.filter(|_| options.label.is_none()) else {
        return Ok(());
    };
    if matches!(options.mode, Mode::Repair { .. }) {
        return Ok(());
    }
    for input in inputs {
        if let Some(path) = input.path() {
            memory.refuse_same_label(&input.id(), path)?;
        }
    }
    Ok(())
}

/// What is needed, and where those of its files are that go into the bundle.
#[derive(Default)]
struct Gathered {
    resolved: Resolved,
    files: BTreeMap<CrateId, Downloaded>,
    toolchains: toolchains::Gathered,
    refreshed: refresh::Refreshed,
}

fn locked(input: &resolve::Input) -> Vec<(CrateId, Sha256)> {
    match input {
        resolve::Input::Lockfile(lockfile) => {
            lockfile.packages.iter().map(|package| (package.id.clone(), package.checksum)).collect()
        }
        resolve::Input::Depends(_) | resolve::Input::Crate(_) => Vec::new(),
    }
}

/// Registries may be named as cargo's configuration names them, or by the address of their index.
fn skip(surroundings: &Surroundings, config: &CargoConfig) -> Result<Skip, Error> {
    let mut registries = Vec::new();
    for name in &surroundings.skip_registries {
        let index =
            if name.contains("://") { Some(name.clone()) } else { config.registry_index(name, &surroundings.env)? };
        registries.push(index.ok_or_else(|| Error::UnknownRegistry(name.clone()))?);
    }
    Ok(Skip { git: surroundings.skip_git, registries })
}
