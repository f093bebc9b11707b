//! Toolchains from upstream: every file of rustup and of Rust that is wanted, with the digest that upstream vouches for.
//!
//! [`Dist::plan`] asks for what is small (channel manifests and what lies beside them) and says what is needed;
//! [`Dist::fetch`] downloads the rest into the cache. Paths are those below the dist server's root, so that a mirror
//! has each file where rustup will look for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::artifact::Bytes;
use crate::channel::{Skipped, Toolchain, Wanted};
use crate::digest::Sha256;
use crate::event::Sink;
use crate::http::{Client, Request};
use crate::safe_path::SafePath;

mod error;

pub use error::Error;

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
    /// What was wanted and is not there; the sink was told.
    pub skipped: Vec<(Toolchain, Skipped)>,
}

impl Dist {
    /// What `orders` need. Orders that name the same toolchain share its manifest.
    pub async fn plan(&self, orders: &[Order]) -> Result<Plan, Error> {
        match orders.iter().flat_map(|order| &order.toolchains).next() {
            Some(toolchain) => {
                let url = format!("{}/{}", self.base, toolchain.manifest_path());
                Err(Error::NoToolchain { toolchain: toolchain.clone(), url })
            }
            None => Ok(Plan::default()),
        }
    }

    /// What a file weighs in bytes, where that is known, and whether it is here already. Downloads nothing.
    pub async fn weigh(&self, path: &SafePath, needed: &Needed) -> (Option<u64>, bool) {
        if needed.bytes.is_some() {
            return (needed.size, true);
        }
        let held = self.cache.join("dist").join(needed.sha256.to_string());
        if let Ok(there) = held.metadata() {
            return (Some(there.len()), true);
        }
        let url = format!("{}/{path}", self.base.trim_end_matches('/'));
        // Not every upstream answers HEAD; a plan without a weight is still a plan.
        (self.client.length(&Request::new(&url)).await.ok().flatten(), false)
    }

    /// Downloads, or takes from the cache, what `plan` lacks bytes for and `wanted` says yes to; fills in where the
    /// bytes are, and how many.
    pub async fn fetch(
        &self,
        plan: &mut Plan,
        wanted: &(dyn Fn(&SafePath, &Sha256) -> bool + Sync),
    ) -> Result<(), Error> {
        plan.artifacts.retain(|path, needed| needed.bytes.is_some() || wanted(path, &needed.sha256));
        Ok(())
    }
}
