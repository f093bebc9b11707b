//! Toolchains from upstream: every file of rustup and of Rust that is wanted, with the digest that upstream vouches for.
//!
//! [`Dist::plan`] asks for what is small (channel manifests and what lies beside them) and says what is needed;
//! [`Dist::fetch`] downloads the rest into the cache. Paths are those below the dist server's root, so that a mirror
//! has each file where rustup will look for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::artifact::Bytes;
use crate::channel::{ChannelManifest, HOSTS, Skipped, Toolchain, Wanted, select};
use crate::digest::Sha256;
use crate::event::Sink;
use crate::http::Client;
use crate::safe_path::SafePath;

mod download;
mod error;
mod release;
mod rustup;
mod std_lock;
mod store;
mod texts;

pub use download::MAX_FILE;
pub use download::Refused;
pub use error::Error;
pub use rustup::{Installer, RELEASE, Rustup};
pub use std_lock::is_rust_src;
pub use texts::{MAX_DIGEST, Source, Texts, stated};

use release::Release;
use store::Store;

/// What one input wants of toolchains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// By name.
    pub toolchains: Vec<Toolchain>,
    /// Of each of them.
    pub wanted: Wanted,
}

/// A downloader of toolchains. Cheap to clone.
#[derive(Clone)]
pub struct Dist {
    /// Fetches.
    pub client: Client,
    /// What RUSTUP_DIST_SERVER would be; usually `https://static.rust-lang.org`.
    pub base: String,
    /// `$FROSTMIRROR_HOME/cache`; what is downloaded is kept in its folder `dist`.
    pub cache: PathBuf,
    /// Downloads under way at a time; never more than 8, since these are large.
    pub jobs: usize,
    /// Whether the network is forbidden.
    pub offline: bool,
    /// What the clock says.
    pub now: Timestamp,
    /// Hears of progress.
    pub sink: Arc<dyn Sink>,
}

/// One file that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// What upstream vouches for.
    pub sha256: Sha256,
    /// Where its bytes are; `None` until it is fetched.
    pub bytes: Option<Bytes>,
    /// Its length in bytes, where that is known.
    pub size: Option<u64>,
}

/// What the orders need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Every file by its path below the dist server's root. Small texts have their bytes already.
    pub artifacts: BTreeMap<SafePath, Needed>,
    /// For people: `stable 1.95.0 (2026-04-16)`.
    pub toolchains: Vec<String>,
    /// Which files each order needs; as many as there are orders, in the same order.
    pub by_order: Vec<BTreeSet<SafePath>>,
    /// The triples that get a whole toolchain.
    pub hosts: BTreeSet<String>,
    /// What was wanted and is not there; the sink was told.
    pub skipped: Vec<(Toolchain, Skipped)>,
}

impl Dist {
    /// What `orders` need. Orders that name the same toolchain share its manifest, and each has of it what it wants.
    ///
    /// Texts that do not belong together are asked for again, all of them and more than once: upstream may be publishing
    /// just then. Offline, they are those of the last run.
    ///
    /// # Errors
    ///
    /// All but [`Error::Refused`], which is for [`Dist::fetch`].
    pub async fn plan(&self, orders: &[Order]) -> Result<Plan, Error> {
        let store = Store::open(&self.cache, &self.base)?;
        let mut failures = 0;
        let plan = loop {
            match self.draft(&store, orders).await {
                // Two names of one release, one asked for before a release and one after it.
                Err(error @ Error::TwoDigests { .. }) if failures == 0 && !self.offline => {
                    failures += 1;
                    self.client.rest(failures, &error).await;
                }
                other => break other?,
            }
        };
        self.tell(&plan);
        Ok(plan)
    }

    async fn draft(&self, store: &Store, orders: &[Order]) -> Result<Plan, Error> {
        let mut draft = Draft::new(orders.len());
        let mut missing = Vec::new();
        let asking = orders.iter().flat_map(|order| &order.toolchains).collect::<BTreeSet<_>>();
        // One after the other: a manifest takes much memory while it is read.
        for toolchain in asking {
            match self.release(store, toolchain).await {
                Ok(release) => draft.toolchain(store, orders, toolchain, &release)?,
                Err(Error::Offline { paths }) => missing.extend(paths),
                Err(error) => return Err(error),
            }
        }
        let hosts: BTreeSet<String> = draft.hosts.keys().cloned().collect();
        if !hosts.is_empty() {
            match self.rustup(store, &hosts).await {
                Ok(rustup) => draft.rustup(rustup)?,
                Err(Error::Offline { paths }) => missing.extend(paths),
                Err(error) => return Err(error),
            }
        }
        match missing.is_empty() {
            true => Ok(draft.plan),
            false => Err(Error::Offline { paths: missing }),
        }
    }

    /// Says once, of all toolchains together, what is not there.
    fn tell(&self, plan: &Plan) {
        if plan.hosts.is_empty() && !plan.artifacts.is_empty() {
            self.sink.warning(
                "no machine is among the targets, so that neither rustc nor cargo nor rustup comes along, only what they \
                 build with: name the machines that build as targets too, such as `x86_64-unknown-linux-gnu`"
                    .to_owned(),
            );
        }
        let mut groups: BTreeMap<(&Toolchain, &str), Vec<&str>> = BTreeMap::new();
        for (toolchain, skipped) in &plan.skipped {
            groups.entry((toolchain, &skipped.component)).or_default().push(&skipped.target);
        }
        if groups.is_empty() {
            return;
        }
        let lines = |most: usize| {
            let lines = groups.iter().map(|((toolchain, component), targets)| {
                let shown = targets.iter().take(most).copied().collect::<Vec<_>>().join(", ");
                let more = match targets.len().saturating_sub(most) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("\n  {toolchain}: {component} for {shown}{more}")
            });
            lines.collect::<String>()
        };
        self.sink.warning(format!("upstream does not have everything that is wanted; left out:{}", lines(SHOWN)));
        if groups.values().any(|targets| targets.len() > SHOWN) {
            self.sink.detail(format!("left out:{}", lines(usize::MAX)));
        }
    }
}

/// Targets of one component that a warning names.
const SHOWN: usize = 4;

/// A plan that is being made.
struct Draft {
    plan: Plan,
    /// Which orders want a host's rustup, and the first toolchain that has that host.
    hosts: BTreeMap<String, (Toolchain, BTreeSet<usize>)>,
}

impl Draft {
    fn new(orders: usize) -> Draft {
        let plan = Plan { by_order: vec![BTreeSet::new(); orders], ..Plan::default() };
        Draft { plan, hosts: BTreeMap::new() }
    }

    fn toolchain(
        &mut self,
        store: &Store,
        orders: &[Order],
        toolchain: &Toolchain,
        release: &Release,
    ) -> Result<(), Error> {
        self.plan.toolchains.push(for_people(toolchain, &release.manifest));
        let mut skipped = BTreeSet::new();
        for (number, order) in orders.iter().enumerate().filter(|(_, order)| order.toolchains.contains(toolchain)) {
            for (path, text) in &release.texts {
                self.text(store, number, path, text)?;
            }
            let selection = select(&release.manifest, &order.wanted).map_err(|source| Error::Select {
                toolchain: toolchain.clone(),
                order: number,
                source: Box::new(source),
            })?;
            for component in selection.components {
                self.add(number, component.path, Needed { sha256: component.sha256, bytes: None, size: None })?;
            }
            skipped.extend(selection.skipped);
            self.plan.hosts.extend(selection.hosts.iter().cloned());
            for host in selection.hosts.into_iter().filter(|host| HOSTS.contains(&host.as_str())) {
                let wanted = self.hosts.entry(host).or_insert_with(|| (toolchain.clone(), BTreeSet::new()));
                wanted.1.insert(number);
            }
        }
        self.plan.skipped.extend(skipped.into_iter().map(|skipped| (toolchain.clone(), skipped)));
        Ok(())
    }

    fn rustup(&mut self, rustup: Rustup) -> Result<(), Error> {
        let hosts = std::mem::take(&mut self.hosts);
        for (host, installer) in rustup.hosts {
            let Some((_, orders)) = hosts.get(&host) else { continue };
            for &number in orders {
                self.memory(number, &rustup.release.0, &rustup.release.1)?;
                for (path, text) in &installer.texts {
                    self.memory(number, path, text)?;
                }
                for path in &installer.paths {
                    self.add(number, path.clone(), Needed { sha256: installer.sha256, bytes: None, size: None })?;
                }
            }
        }
        for target in rustup.absent {
            let Some((toolchain, _)) = hosts.get(&target) else { continue };
            let skipped = Skipped { component: "rustup-init".to_owned(), target };
            self.plan.skipped.push((toolchain.clone(), skipped));
        }
        Ok(())
    }

    /// A text that lies in the store already; a manifest is too large to be held in memory under each of its names.
    fn text(&mut self, store: &Store, order: usize, path: &SafePath, text: &[u8]) -> Result<(), Error> {
        if text.len() < SMALL {
            return self.memory(order, path, text);
        }
        let sha256 = Sha256::of(text);
        let bytes = Some(Bytes::File(store.path(sha256)));
        self.add(order, path.clone(), Needed { sha256, bytes, size: Some(text.len() as u64) })
    }

    fn memory(&mut self, order: usize, path: &SafePath, text: &[u8]) -> Result<(), Error> {
        let bytes = Some(Bytes::Memory(text.to_vec()));
        self.add(order, path.clone(), Needed { sha256: Sha256::of(text), bytes, size: Some(text.len() as u64) })
    }

    fn add(&mut self, order: usize, path: SafePath, needed: Needed) -> Result<(), Error> {
        let first = self.plan.artifacts.entry(path.clone()).or_insert_with(|| needed.clone());
        if first.sha256 != needed.sha256 {
            return Err(Error::TwoDigests { path });
        }
        self.plan.by_order[order].insert(path);
        Ok(())
    }
}

/// Bytes from which on a text stays on disk.
const SMALL: usize = 16 * 1024;

/// `stable 1.95.0 (2026-04-16)`.
fn for_people(toolchain: &Toolchain, manifest: &ChannelManifest) -> String {
    let (name, date) = (toolchain.to_string(), manifest.date());
    match manifest.release() {
        Some(release) if release != name => format!("{name} {} ({date})", release.escape_debug()),
        _ => format!("{name} ({date})"),
    }
}
