//! The online half as one call: gather what is needed, pack it, verify what was written, and record it.
//!
//! Nothing is left behind by a run that fails: the bundle gets its name only after it was verified, and the history
//! learns of it only then.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::bundle::{self, pack};
use crate::client_config::BaseUrl;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::env::Env;
use crate::event::Sink;
use crate::gather::cargo_config::{self, CargoConfig, Origin};
use crate::gather::download::{self, Downloaded, Downloads};
use crate::gather::index::Index;
use crate::gather::resolve::{self, CrateSpec, Resolved, Resolver, Skip};
use crate::gather::workspace::{self, Workspace};
use crate::gather::{
    cache::Cache, cargo, cargo::Cargo, depends, depends::Depends, history, lockfile, lockfile::Lockfile,
};
use crate::http::{self, Client};

mod packed;
mod plan;
mod workspace_lock;

pub use plan::{PlannedCrate, Weighed};

/// Requests under way at once where HTTP/2 bears them.
const JOBS: usize = 64;

/// What to fetch, with what, and where to.
pub struct Options {
    /// What to fetch; at least one.
    pub inputs: Vec<Input>,
    /// Which packages of other origins may be left out.
    pub skip: Skip,
    /// The folder that the bundle goes to.
    pub output: PathBuf,
    /// FROSTMIRROR_HOME: the caches lie there.
    pub home: PathBuf,
    /// The folder of the history.
    pub history: PathBuf,
    /// What the bundle's `config.toml` tells clients.
    pub base_url: BaseUrl,
    /// Requests under way at once, where the user limits them.
    pub jobs: Option<usize>,
    /// Use the caches alone.
    pub offline: bool,
    /// The time that the bundle states.
    pub created: Timestamp,
    /// The time at which the index is read.
    pub now: Timestamp,
    /// The user's folder.
    pub cwd: PathBuf,
    /// Cargo's home.
    pub cargo_home: Option<PathBuf>,
    /// A folder for files that do not outlive the run.
    pub scratch: PathBuf,
    /// The environment.
    pub env: Env,
    /// Whether the newest bundle of the history, by its id, is already where this one is to go. Where it is, and there
    /// is nothing new, no bundle is written.
    pub delivered: Option<Arc<dyn Fn(&str) -> bool + Send + Sync>>,
}

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
    /// There is nothing that the newest bundle did not bring, and it was delivered.
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
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user's cargo configuration.
    #[error(transparent)]
    CargoConfig(#[from] cargo_config::Error),
    /// The HTTP client's settings.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// No usable cargo.
    #[error(transparent)]
    Cargo(#[from] cargo::Error),
    /// A depends.toml.
    #[error(transparent)]
    Depends(#[from] depends::Error),
    /// A Cargo.lock.
    #[error(transparent)]
    Lockfile(#[from] lockfile::Error),
    /// A workspace.
    #[error(transparent)]
    Workspace(#[from] workspace::Error),
    /// Something cannot be resolved.
    #[error(transparent)]
    Resolve(#[from] resolve::Error),
    /// Something cannot be downloaded.
    #[error(transparent)]
    Download(#[from] download::Error),
    /// The history.
    #[error(transparent)]
    History(#[from] history::Error),
    /// The bundle cannot be written.
    #[error(transparent)]
    Pack(#[from] pack::Error),
    /// The bundle that was written cannot be read again.
    #[error(transparent)]
    Unreadable(#[from] bundle::open::Error),
    /// The bundle that was written is not good.
    #[error("the bundle that was written does not verify: {0}")]
    Unsound(String),
    /// A depends.toml asks for toolchains.
    #[error("`{}` asks for toolchains, and this version mirrors crates alone", .0.display())]
    Toolchains(PathBuf),
    /// A folder of ours.
    #[error("could not use `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A worker of this process ended before its time.
    #[error("a worker ended before its time")]
    Worker(#[source] tokio::task::JoinError),
}

/// Resolves, downloads, packs, verifies, records.
pub async fn fetch(options: Options, sink: Arc<dyn Sink>) -> Result<Outcome, Error> {
    let gathering = Gathering::begin(&options, &sink).await?;
    let (resolved, files) = gathering.everything(&options, &sink).await?;
    let writing = move || packed::write(&options, resolved, &files, sink.as_ref());
    tokio::task::spawn_blocking(writing).await.map_err(Error::Worker)?
}

/// Resolves, and says what would be downloaded and what it weighs. Writes nothing but caches.
pub async fn dry_run(options: Options, sink: Arc<dyn Sink>) -> Result<Weighed, Error> {
    let gathering = Gathering::begin(&options, &sink).await?;
    let resolved = gathering.resolver.resolve(&gathering.inputs, &gathering.downloads).await?;
    tell_of(&resolved, sink.as_ref());
    plan::weigh(&resolved, &gathering.downloads).await
}

/// What a run works with, and what it works on.
struct Gathering {
    resolver: Resolver,
    downloads: Downloads,
    inputs: Vec<resolve::Input>,
}

impl Gathering {
    async fn begin(options: &Options, sink: &Arc<dyn Sink>) -> Result<Gathering, Error> {
        let config = CargoConfig::read(&options.cwd, options.cargo_home.as_deref(), &options.env)?;
        let upstream = config.upstream(&options.env)?;
        for warning in &upstream.warnings {
            sink.warning(warning.clone());
        }
        if let Origin::Replacement { name, file } = &upstream.origin {
            sink.status("Using", format!("registry `{name}` as upstream, as `{}` says", file.display()));
        }
        let mut settings = config.http();
        if let Some(jobs) = options.jobs {
            settings.jobs = jobs;
        }
        let offline = options.offline || config.offline();
        let client = Client::new(&settings)?;
        let cache_folder = options.home.join("cache");
        let cache =
            Cache::open(&cache_folder).map_err(|source| Error::Folder { path: cache_folder.clone(), source })?;
        let index = Index::new(client.clone(), upstream, &cache_folder, offline, Arc::clone(sink));
        let cargo = Cargo::find(&options.env, &options.cwd).await?;
        let passes = std::thread::available_parallelism().map_or(2, usize::from);
        let resolver = Resolver::start(cargo, index.clone(), options.skip.clone(), passes, Arc::clone(sink)).await?;
        let downloads = Downloads {
            client,
            index,
            cache,
            cargo_home: options.cargo_home.clone(),
            jobs: options.jobs.unwrap_or(JOBS),
            offline,
            sink: Arc::clone(sink),
        };
        let mut inputs = Vec::new();
        for input in &options.inputs {
            inputs.push(match input {
                Input::Depends(path) => resolve::Input::Depends(Depends::read(path)?),
                Input::Lockfile(path) => resolve::Input::Lockfile(Lockfile::read(path)?),
                Input::Crate(spec) => resolve::Input::Crate(spec.clone()),
                Input::Workspace(found) => {
                    resolve::Input::Lockfile(workspace_lock::of(found, options, &resolver, sink).await?)
                }
            });
        }
        Ok(Gathering { resolver, downloads, inputs })
    }

    /// The resolved set, and every file of it.
    async fn everything(
        &self,
        options: &Options,
        sink: &Arc<dyn Sink>,
    ) -> Result<(Resolved, BTreeMap<CrateId, Downloaded>), Error> {
        // A lock states the checksums: its crates are downloaded while the index is still being read. Whatever they
        // are, every one of them is held against its index line before anything is packed.
        let early: BTreeMap<CrateId, Sha256> = self.inputs.iter().flat_map(locked).collect();
        let resolving = async { self.resolver.resolve(&self.inputs, &self.downloads).await.map_err(Error::from) };
        let downloading = async { self.downloads.fetch(&early).await.map_err(Error::from) };
        let (resolved, mut files) = if early.is_empty() || options.skip != Skip::default() {
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
        tell_of(&resolved, sink.as_ref());
        let wanted: BTreeMap<CrateId, Sha256> = resolved
            .crates
            .iter()
            .filter(|(id, _)| !files.contains_key(*id))
            .map(|(id, line)| (id.clone(), line.cksum))
            .collect();
        if !wanted.is_empty() {
            files.extend(self.downloads.fetch(&wanted).await?);
        }
        files.retain(|id, _| resolved.crates.contains_key(id));
        let fresh = files.values().filter(|file| file.from == download::Source::Upstream);
        let (count, bytes) = fresh.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.size));
        sink.status("Gathered", format!("{} ({count} downloaded, {})", crates(files.len()), packed::size(bytes)));
        Ok((resolved, files))
    }
}

fn locked(input: &resolve::Input) -> Vec<(CrateId, Sha256)> {
    match input {
        resolve::Input::Lockfile(lockfile) => {
            lockfile.packages.iter().map(|package| (package.id.clone(), package.checksum)).collect()
        }
        resolve::Input::Depends(_) | resolve::Input::Crate(_) => Vec::new(),
    }
}

fn tell_of(resolved: &Resolved, sink: &dyn Sink) {
    for entry in &resolved.left_out {
        sink.status("Apart", format!("{entry} does not resolve together with the rest of its group"));
    }
    sink.status("Resolved", crates(resolved.crates.len()));
}

fn crates(count: usize) -> String {
    if count == 1 { "1 crate".to_owned() } else { format!("{count} crates") }
}
