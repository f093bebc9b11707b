//! Toolchains from upstream: every required file of rustup and of Rust, with the digest that upstream states.
//!
//! [`DistDownloader::plan`] requests the small files (channel manifests, their checksums and signatures) and returns
//! the required files; [`DistDownloader::fetch`] downloads the rest into the cache. Paths are below the root of the
//! dist server, so that a mirror has each file where rustup requests it.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Sha256;
use crate::mirror_file::FileSource;
use crate::safe_path::SafePath;
use crate::toolchain::{ChannelManifest, HOSTS, ToolchainName, UnavailableComponent, select};

mod download;
mod error;
mod release;
mod rustup;
mod std_lock;
mod dist_cache;
mod dist_client;
mod downloader;
mod request;

pub use dist_client::{DistClient, MAX_DIGEST_FILE, Texts, parse_sha256};
pub use download::MAX_DIST_FILE;
pub use downloader::{DistDownloader, DownloadPlan, PlannedFile};
pub use error::Error;
pub use request::ToolchainRequest;
pub use rustup::{RUSTUP_RELEASE_PATH, RustupInstaller, RustupRelease};
pub use std_lock::is_rust_src;

use dist_cache::DistCache;
use release::ToolchainRelease;

impl DistDownloader {
    /// Plans the files of `orders`. Requests for the same toolchain share its manifest, and each gets its own selection
    /// from it.
    ///
    /// Inconsistent texts are requested again, all of them and several times: upstream may be publishing. Offline, the
    /// texts of the last run are used.
    ///
    /// # Errors
    ///
    /// All errors but [`Error::Unavailable`], which only [`DistDownloader::fetch`] returns.
    pub async fn plan(&self, requests: &[ToolchainRequest]) -> Result<DownloadPlan, Error> {
        let store = DistCache::open(&self.cache, &self.server_url)?;
        let mut failures = 0;
        let plan = loop {
            match self.build_plan(&store, requests).await {
                // Two names of one release, requested before and after it was published.
                Err(error @ Error::ConflictingDigests { .. }) if failures == 0 && !self.offline => {
                    failures += 1;
                    self.client.backoff_sleep("the toolchains", error.to_string(), failures, 2).await;
                }
                other => break other?,
            }
        };
        self.report_unavailable(&plan);
        Ok(plan)
    }

    async fn build_plan(&self, store: &DistCache, requests: &[ToolchainRequest]) -> Result<DownloadPlan, Error> {
        let mut builder = PlanBuilder::new(requests.len());
        let mut missing = Vec::new();
        let requested = requests.iter().flat_map(|order| &order.toolchains).collect::<BTreeSet<_>>();
        // Sequential: parsing a manifest uses much memory.
        for toolchain in requested {
            match self.fetch_release(store, toolchain).await {
                Ok(release) => builder.add_toolchain(store, requests, toolchain, &release)?,
                Err(Error::Offline { paths }) => missing.extend(paths),
                Err(error) => return Err(error),
            }
        }
        let hosts: BTreeSet<String> = builder.hosts.keys().cloned().collect();
        if !hosts.is_empty() {
            match self.fetch_rustup(store, &hosts).await {
                Ok(rustup) => builder.add_rustup(store, rustup)?,
                Err(Error::Offline { paths }) => missing.extend(paths),
                Err(error) => return Err(error),
            }
        }
        match missing.is_empty() {
            true => Ok(builder.plan),
            false => Err(Error::Offline { paths: missing }),
        }
    }

    /// Reports the missing components of all toolchains in one warning.
    fn report_unavailable(&self, plan: &DownloadPlan) {
        if plan.hosts.is_empty() && !plan.files.is_empty() {
            self.sink.warning(
                "no host is among the targets, so the bundle has standard libraries but no rustc, cargo or rustup: add the \
                 hosts that build as targets, such as `x86_64-unknown-linux-gnu`"
                    .to_owned(),
            );
        }
        let mut groups: BTreeMap<(&ToolchainName, &str), Vec<&str>> = BTreeMap::new();
        for (toolchain, skipped) in &plan.unavailable {
            groups.entry((toolchain, &skipped.component)).or_default().push(&skipped.target);
        }
        if groups.is_empty() {
            return;
        }
        let lines = |most: usize| {
            let lines = groups.iter().map(|((toolchain, component), targets)| {
                let shown = targets.iter().take(most).copied().collect::<Vec<_>>().join(", ");
                let rest = match targets.len().saturating_sub(most) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("\n  {toolchain}: {component} for {shown}{rest}")
            });
            lines.collect::<String>()
        };
        self.sink.warning(format!(
            "upstream does not have every requested component; skipped:{}",
            lines(MAX_LISTED_TARGETS)
        ));
        if groups.values().any(|targets| targets.len() > MAX_LISTED_TARGETS) {
            for line in lines(usize::MAX).lines().filter(|line| !line.is_empty()) {
                self.sink.detail("Skipped", line.trim().to_owned());
            }
        }
    }
}

/// Maximum number of targets of one component in a warning.
const MAX_LISTED_TARGETS: usize = 4;

/// A plan under construction.
struct PlanBuilder {
    plan: DownloadPlan,
    /// The requests that need a host's rustup, and the first toolchain with that host.
    hosts: BTreeMap<String, (ToolchainName, BTreeSet<usize>)>,
}

impl PlanBuilder {
    fn new(orders: usize) -> PlanBuilder {
        let plan = DownloadPlan { by_request: vec![BTreeSet::new(); orders], ..DownloadPlan::default() };
        PlanBuilder { plan, hosts: BTreeMap::new() }
    }

    fn add_toolchain(
        &mut self,
        store: &DistCache,
        orders: &[ToolchainRequest],
        toolchain: &ToolchainName,
        release: &ToolchainRelease,
    ) -> Result<(), Error> {
        self.plan.toolchains.push(describe_toolchain(toolchain, &release.manifest));
        let mut skipped = BTreeSet::new();
        for (number, order) in orders.iter().enumerate().filter(|(_, order)| order.toolchains.contains(toolchain)) {
            for (path, text) in &release.texts {
                self.add_text(store, number, path, text)?;
            }
            let selection = select(&release.manifest, &order.selection).map_err(|source| Error::Select {
                toolchain: toolchain.clone(),
                request: number,
                source: Box::new(source),
            })?;
            for component in selection.components {
                self.add_file(number, component.path, PlannedFile::new(component.sha256))?;
            }
            skipped.extend(selection.unavailable);
            self.plan.hosts.extend(selection.hosts.iter().cloned());
            for host in selection.hosts.into_iter().filter(|host| HOSTS.contains(&host.as_str())) {
                let wanted = self.hosts.entry(host).or_insert_with(|| (toolchain.clone(), BTreeSet::new()));
                wanted.1.insert(number);
            }
        }
        self.plan.unavailable.extend(skipped.into_iter().map(|skipped| (toolchain.clone(), skipped)));
        Ok(())
    }

    fn add_rustup(&mut self, store: &DistCache, rustup: RustupRelease) -> Result<(), Error> {
        let hosts = std::mem::take(&mut self.hosts);
        for (host, installer) in rustup.installers {
            let Some((_, orders)) = hosts.get(&host) else { continue };
            for &number in orders {
                self.add_text(store, number, &rustup.release.0, &rustup.release.1)?;
                for (path, text) in &installer.texts {
                    self.add_text(store, number, path, text)?;
                }
                for path in &installer.paths {
                    self.add_file(number, path.clone(), PlannedFile::new(installer.sha256))?;
                }
            }
        }
        for target in rustup.unavailable_hosts {
            let Some((toolchain, _)) = hosts.get(&target) else { continue };
            let skipped = UnavailableComponent { component: "rustup-init".to_owned(), target };
            self.plan.unavailable.push((toolchain.clone(), skipped));
        }
        Ok(())
    }

    /// A text that is already in the store; a manifest is too large to keep in memory for each of its names.
    fn add_text(&mut self, store: &DistCache, order: usize, path: &SafePath, text: &[u8]) -> Result<(), Error> {
        let sha256 = Sha256::of(text);
        let bytes = match text.len() < MAX_IN_MEMORY_TEXT {
            true => FileSource::Memory(text.to_vec()),
            false => FileSource::File(store.path(sha256)),
        };
        self.add_file(order, path.clone(), PlannedFile { sha256, bytes: Some(bytes), size: Some(text.len() as u64) })
    }

    fn add_file(&mut self, order: usize, path: SafePath, needed: PlannedFile) -> Result<(), Error> {
        let first = self.plan.files.entry(path.clone()).or_insert_with(|| needed.clone());
        if first.sha256 != needed.sha256 {
            return Err(Error::ConflictingDigests { path });
        }
        self.plan.by_request[order].insert(path);
        Ok(())
    }
}

/// Minimum size in bytes of a text that stays on disk.
const MAX_IN_MEMORY_TEXT: usize = 16 * 1024;

/// `stable 1.95.0 (2026-04-16)`.
fn describe_toolchain(toolchain: &ToolchainName, manifest: &ChannelManifest) -> String {
    let (name, date) = (toolchain.to_string(), manifest.date());
    match manifest.release_version() {
        Some(release) if release != name => format!("{name} {} ({date})", release.escape_debug()),
        _ => format!("{name} ({date})"),
    }
}
