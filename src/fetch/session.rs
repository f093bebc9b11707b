//! Access to upstream for one run: what its steps resolve and download.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::event::{self, Sink};
use crate::fetch::cargo::Cargo;
use crate::fetch::crate_cache::CrateCache;
use crate::fetch::crate_downloader::{CrateDownloader, DownloadedCrate};
use crate::fetch::deleted_lines::LineSources;
use crate::fetch::error::Error;
use crate::fetch::history::DeltaBase;
use crate::fetch::index_snapshot::IndexSnapshot;
use crate::fetch::options::Environment;
use crate::fetch::resolve::{self, Resolution, Resolver, SkipPolicy};
use crate::fetch::reuse;
use crate::fetch::standard_library::{self, StdLock};
use crate::http::{self, Client};
use crate::upstream::cargo_config::{CargoConfig, Origin};

/// Maximum number of concurrent requests over HTTP/2.
const DEFAULT_JOBS: usize = 128;

/// Access to upstream for one run: one client, one snapshot of the index and one cargo.
pub(super) struct Session<'s> {
    pub(super) environment: &'s Environment,
    pub(super) resolver: Resolver,
    pub(super) downloads: CrateDownloader,
    pub(super) sink: Arc<dyn Sink>,
}

impl<'s> Session<'s> {
    /// With a history, locks may name versions that upstream deleted, if the history or a source of `--reuse` has them.
    pub(super) async fn start(
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
            resolver.set_line_archive(Arc::new(LineSources {
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
            downloaded: Arc::default(),
        };
        Ok(Session { environment: surroundings, resolver, downloads, sink: Arc::clone(sink) })
    }

    /// Resolves the inputs and downloads every file that was not sent before.
    pub(super) async fn resolve_and_download(
        &self,
        inputs: &[resolve::Input],
        std_locks: &[StdLock],
        sent: Option<&DeltaBase>,
    ) -> Result<Resolution, Error> {
        if inputs.is_empty() {
            return Ok(Resolution::default());
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
                let is_new = self.downloads.was_downloaded(planned.line.cksum);
                (all, downloaded, bytes) =
                    (all + 1, downloaded + u64::from(is_new), bytes + if is_new { file.size } else { 0 });
            }
        }
        if all > 0 {
            let origin = match downloaded {
                0 => "all from the caches".to_owned(),
                _ => format!("{downloaded} downloaded, {}", event::format_size(bytes)),
            };
            self.sink.status("Gathered", format!("{} ({origin})", event::format_crates(all)));
        }
        Ok(resolved)
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

    pub(super) fn report_resolved(&self, resolved: &Resolution) {
        if resolved.crates.is_empty() {
            return;
        }
        for id in resolved.crates.keys() {
            self.sink.detail("Resolved", id.to_string());
        }
        self.sink.status("Resolved", event::format_crates(resolved.crates.len() as u64));
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
