//! A downloader of toolchains, and its plan.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::digest::Sha256;
use crate::event::Sink;
use crate::http::Client;
use crate::mirror_file::FileSource;
use crate::safe_path::SafePath;
use crate::toolchain::{ToolchainName, UnavailableComponent};

/// A downloader of toolchains. Cheap to clone.
#[derive(Clone)]
pub struct DistDownloader {
    /// The HTTP client.
    pub client: Client,
    /// The base address, as in RUSTUP_DIST_SERVER; usually `https://static.rust-lang.org`.
    pub server_url: String,
    /// `$FROSTMIRROR_HOME/cache`; downloads are stored in its folder `dist`.
    pub cache: PathBuf,
    /// Maximum number of concurrent downloads; never more than 8, because the files are large.
    pub jobs: usize,
    /// Whether network access is forbidden.
    pub offline: bool,
    /// The current time.
    pub now: Timestamp,
    /// The verb of this process, for processes that wait for its lock.
    pub verb: &'static str,
    /// Receives progress.
    pub sink: Arc<dyn Sink>,
}

/// One required file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// The digest that upstream states.
    pub sha256: Sha256,
    /// Its content; `None` until it is fetched.
    pub bytes: Option<FileSource>,
    /// Its size in bytes, if known.
    pub size: Option<u64>,
}

impl PlannedFile {
    /// A file that is not fetched yet.
    pub fn new(sha256: Sha256) -> PlannedFile {
        PlannedFile { sha256, bytes: None, size: None }
    }
}

/// The required files of the requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownloadPlan {
    /// Every file by its path below the root of the dist server. Small texts already have their bytes.
    pub files: BTreeMap<SafePath, PlannedFile>,
    /// For messages: `stable 1.95.0 (2026-04-16)`.
    pub toolchains: Vec<String>,
    /// The files of each request, in the order of the requests.
    pub by_request: Vec<BTreeSet<SafePath>>,
    /// The triples with a complete toolchain.
    pub hosts: BTreeSet<String>,
    /// Requested components that are missing; they were reported to the sink.
    pub unavailable: Vec<(ToolchainName, UnavailableComponent)>,
}
