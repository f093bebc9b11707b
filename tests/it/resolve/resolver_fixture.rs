//! One run of the resolver and the downloads as a library, in a folder of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use frostmirror::crate_id::CrateId;
use frostmirror::digest::Sha256;
use frostmirror::env::Env;
use frostmirror::error_report::Failure;
use frostmirror::event::{Event, Sink};
use frostmirror::fetch::cargo::Cargo;
use frostmirror::fetch::crate_cache::CrateCache;
use frostmirror::fetch::crate_downloader::{self, CrateDownloader, DownloadedCrate};
use frostmirror::fetch::index_snapshot::IndexSnapshot;
use frostmirror::fetch::resolve::{Input, Resolution, Resolver, SkipPolicy};
use frostmirror::http::{Client, Secret, Settings};
use frostmirror::inputs::depends::DependsFile;
use frostmirror::inputs::lockfile::Lockfile;
use frostmirror::upstream::cargo_config::{Origin, Upstream as Address};
use tempfile::TempDir;

use crate::support::upstream::Upstream;

/// Everything that was reported.
#[derive(Default)]
pub struct EventRecorder(Mutex<Vec<Event>>);

impl Sink for EventRecorder {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl EventRecorder {
    /// The status lines and warnings, one a line.
    pub fn text(&self) -> String {
        let events = self.0.lock().unwrap();
        let lines = events.iter().filter_map(|event| match event {
            Event::Status { verb, message } => Some(format!("{verb} {message}\n")),
            Event::Warning(message) => Some(format!("warning: {message}\n")),
            _ => None,
        });
        lines.collect()
    }

    /// The sum of what was announced and the sum of what was done, in items.
    pub fn announced_and_done(&self) -> (u64, u64) {
        let events = self.0.lock().unwrap();
        events.iter().fold((0, 0), |(begun, done), event| match event {
            Event::Begin { items, .. } => (begun + items, done),
            Event::Advance { items, .. } => (begun, done + items),
            _ => (begun, done),
        })
    }
}

/// Where the runs of one test happen.
pub struct ResolverFixture {
    folder: TempDir,
    vars: BTreeMap<String, String>,
    address: Address,
    pub offline: bool,
    pub skip: SkipPolicy,
    pub cargo_home: Option<PathBuf>,
    pub events: Arc<EventRecorder>,
}

impl ResolverFixture {
    pub fn new(upstream: &Upstream) -> ResolverFixture {
        // Of this process's environment, only what leads to the toolchain.
        let vars = ["PATH", "HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
        let vars = vars.into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
        ResolverFixture {
            folder: TempDir::with_prefix("frostmirror-test-").unwrap(),
            vars: vars.collect(),
            address: Address {
                index: upstream.index_url(),
                dl: None,
                token: None,
                provider: None,
                origin: Origin::Environment,
                warnings: Vec::new(),
            },
            offline: false,
            skip: SkipPolicy::default(),
            cargo_home: None,
            events: Arc::default(),
        }
    }

    pub fn env(mut self, name: &str, value: &str) -> ResolverFixture {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn token(mut self, token: &str) -> ResolverFixture {
        self.address.token = Some(Secret::new(token));
        self
    }

    pub fn dl(mut self, dl: &str) -> ResolverFixture {
        self.address.dl = Some(dl.to_owned());
        self
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub fn depends_input(&self, text: &str) -> Input {
        Input::Depends(DependsFile::parse(text, Path::new("/project/depends.toml")).unwrap())
    }

    pub fn lock_input(&self, text: &str) -> Input {
        Input::Lockfile(Lockfile::parse(text, Path::new("/project/Cargo.lock")).unwrap())
    }

    fn index_and_downloader(&self) -> (IndexSnapshot, CrateDownloader) {
        let settings = Settings { retries: 1, first_backoff: Duration::from_millis(1), ..Settings::default() };
        let client = Client::new(&settings).unwrap();
        let sink: Arc<dyn Sink> = self.events.clone();
        let cache = CrateCache::open(&self.path("cache"), sink.as_ref()).unwrap();
        let index = IndexSnapshot::new(client.clone(), self.address.clone(), &cache, self.offline, sink.clone());
        let downloads = CrateDownloader {
            client,
            index: index.clone(),
            cache,
            cargo_home: self.cargo_home.clone(),
            jobs: 8,
            offline: self.offline,
            verb: "fetch",
            sink,
            downloaded: Arc::default(),
        };
        (index, downloads)
    }

    /// Resolves in a run of its own.
    pub fn resolve(&self, inputs: &[Input]) -> Result<Resolution, Failure> {
        block_on(async {
            let (index, downloads) = self.index_and_downloader();
            let cargo = Cargo::find(&Env::from_vars(self.vars.clone()), self.folder.path(), self.folder.path()).await?;
            let resolver = Resolver::start(cargo, index, self.skip.clone(), 2, self.events.clone()).await?;
            Ok(resolver.resolve(inputs, &downloads).await?)
        })
    }

    /// Resolves one depends.toml: `name version`, sorted.
    pub fn resolved_names(&self, depends: &str) -> Vec<String> {
        crate_names(&self.resolve(&[self.depends_input(depends)]).unwrap())
    }

    /// The failure as the user reads it, after its exit code.
    pub fn failure_text(&self, inputs: &[Input]) -> String {
        failure_message(self.resolve(inputs).expect_err("this must fail"))
    }

    /// Downloads in a run of its own.
    pub fn download(
        &self,
        wanted: &[(&str, &str, &str)],
    ) -> Result<BTreeMap<CrateId, DownloadedCrate>, Box<crate_downloader::Error>> {
        let wanted = wanted.iter().map(|(name, version, cksum)| {
            let digest: Sha256 = cksum.parse().unwrap();
            (CrateId::parse(name, version).unwrap(), digest)
        });
        block_on(async { Ok(self.index_and_downloader().1.fetch(&wanted.collect()).await?) })
    }
}

pub fn failure_message(failure: Failure) -> String {
    let hint = failure.hint.clone().unwrap_or_default();
    format!("{}: {failure}\nhint: {hint}", failure.class.code())
}

pub fn crate_names(resolved: &Resolution) -> Vec<String> {
    resolved.crates.keys().map(CrateId::to_string).collect()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(work)
}
