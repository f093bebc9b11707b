//! Toolchains from upstream: the requests, the accepted answers, and the handling of inconsistent ones.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use frostmirror::digest::Sha256;
use frostmirror::error_report::Failure;
use frostmirror::event::{Event, Phase, Sink};
use frostmirror::http::{Client, Settings};
use frostmirror::mirror_file::FileSource;
use frostmirror::toolchain::{Profile, SelectionRequest};
use frostmirror::upstream::dist::{DistDownloader as Downloader, DownloadPlan, Error, ToolchainRequest};

use crate::support::dist::{DistServer, LINUX, NIGHTLY, RUSTUP, Release, STABLE, WASM, WINDOWS};
use crate::support::upstream::Fault;

mod faults;
mod manifests;

/// What a sink heard.
#[derive(Default)]
struct EventRecorder(Mutex<Vec<Event>>);

impl Sink for EventRecorder {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl EventRecorder {
    fn warnings(&self) -> Vec<String> {
        let events = self.0.lock().unwrap();
        let warning = |event: &Event| if let Event::Warning(text) = event { Some(text.clone()) } else { None };
        events.iter().filter_map(warning).collect()
    }

    /// Announced items and bytes, and reported ones.
    fn announced_and_done(&self) -> [(u64, u64); 2] {
        let (mut announced, mut output) = ((0, 0), (0, 0));
        for event in self.0.lock().unwrap().iter() {
            match event {
                Event::Begin { phase: Phase::Downloading, items, bytes } => announced = (*items, *bytes),
                Event::Advance { phase: Phase::Downloading, items, bytes } => {
                    output = (output.0 + items, output.1 + bytes);
                }
                _ => {}
            }
        }
        [announced, output]
    }
}

/// A downloader with a cache of its own.
struct DownloadFixture {
    dist: DistServer,
    folder: tempfile::TempDir,
    events: Arc<EventRecorder>,
}

impl DownloadFixture {
    fn new() -> DownloadFixture {
        DownloadFixture::with_server(DistServer::start())
    }

    fn with_server(dist: DistServer) -> DownloadFixture {
        DownloadFixture { dist, folder: tempfile::tempdir().unwrap(), events: Arc::default() }
    }

    fn downloader(&self) -> Downloader {
        let settings = Settings {
            first_backoff: Duration::from_millis(2),
            low_speed_timeout: Duration::from_millis(1000),
            ..Settings::default()
        };
        Downloader {
            client: Client::new(&settings).unwrap(),
            server_url: self.dist.url().to_owned(),
            cache: self.folder.path().join("cache"),
            jobs: 4,
            offline: false,
            now: "2026-06-01T00:00:00Z".parse().unwrap(),
            verb: "fetch",
            sink: Arc::clone(&self.events) as Arc<dyn Sink>,
        }
    }

    fn offline_downloader(&self) -> Downloader {
        Downloader { offline: true, ..self.downloader() }
    }

    fn plan(&self, orders: &[ToolchainRequest]) -> Result<DownloadPlan, Error> {
        block_on(self.downloader().plan(orders))
    }

    /// Everything that the orders need, with its bytes.
    fn fetch(&self, orders: &[ToolchainRequest]) -> Result<DownloadPlan, Error> {
        fetch_with(&self.downloader(), orders)
    }

    fn partial_folder(&self) -> PathBuf {
        self.folder.path().join("cache/dist/part")
    }

    /// What upstream has at `path`.
    fn upstream_file(&self, path: &str) -> Vec<u8> {
        self.dist.file(&format!("/{path}")).unwrap_or_else(|| panic!("upstream has no {path}"))
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

fn fetch_with(downloader: &Downloader, orders: &[ToolchainRequest]) -> Result<DownloadPlan, Error> {
    block_on(async {
        let mut plan = downloader.plan(orders).await?;
        downloader.fetch(&mut plan, &|_, _| true).await?;
        Ok(plan)
    })
}

fn toolchain_request(toolchains: &[&str], targets: &[&str], profile: Profile, components: &[&str]) -> ToolchainRequest {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    ToolchainRequest {
        toolchains: toolchains.iter().map(|name| name.parse().unwrap()).collect(),
        selection: SelectionRequest { targets: texts(targets), profile, components: texts(components) },
    }
}

/// Stable for Linux, as small as it gets.
fn minimal_stable() -> ToolchainRequest {
    toolchain_request(&["stable"], &[LINUX], Profile::Minimal, &[])
}

/// The paths of a set, without their folders of manifests.
fn archive_names<'p>(paths: impl IntoIterator<Item = &'p frostmirror::safe_path::SafePath>) -> Vec<String> {
    let names = paths.into_iter().map(|path| path.as_str());
    names.filter(|path| path.contains(".tar.")).map(|path| path.rsplit('/').next().unwrap().to_owned()).collect()
}

fn read_bytes(bytes: &FileSource) -> Vec<u8> {
    match bytes {
        FileSource::File(path) => fs::read(path).unwrap(),
        FileSource::Memory(bytes) => bytes.clone(),
    }
}

/// Every file equals upstream's, with the stated digest and size.
#[track_caller]
fn assert_matches_upstream(bench: &DownloadFixture, plan: &DownloadPlan) {
    for (path, needed) in &plan.files {
        let bytes = read_bytes(needed.bytes.as_ref().unwrap_or_else(|| panic!("{path} was not fetched")));
        assert_eq!(Sha256::of(&bytes), needed.sha256, "{path}");
        assert_eq!(Some(bytes.len() as u64), needed.size, "{path}");
        assert!(bytes == bench.upstream_file(path.as_str()), "{path}");
    }
}

#[track_caller]
fn assert_failure(outcome: Result<DownloadPlan, Error>, code: u8, expected: &str) -> Failure {
    let Err(error) = outcome else { panic!("it should have failed: {expected}") };
    let failure = Failure::from(error);
    let output = format!("{failure}\n{}", failure.hint.as_deref().unwrap_or_default());
    assert_eq!(failure.class.code(), code, "{output}");
    assert!(output.contains(expected), "{output}");
    failure
}

fn count_files(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn all_files_that_rustup_needs_are_downloaded_byte_for_byte() {
    let bench = DownloadFixture::new();
    let everything =
        toolchain_request(&["stable"], &[LINUX, WINDOWS, WASM], Profile::Default, &["rust-src", "rust-analyzer"]);
    let plan = bench.fetch(&[everything]).unwrap();
    assert_matches_upstream(&bench, &plan);
    assert_eq!(plan.toolchains, ["stable 1.95.0 (2026-04-16)"]);
    let has = |path: &str| plan.files.contains_key(&path.parse().unwrap());
    for manifest in [
        "dist/channel-rust-stable.toml",
        "dist/channel-rust-1.95.0.toml",
        "dist/channel-rust-1.95.toml",
        "dist/2026-04-16/channel-rust-stable.toml",
    ] {
        for end in ["", ".sha256", ".asc"] {
            assert!(has(&format!("{manifest}{end}")), "{manifest}{end}");
        }
    }
    for (host, name) in [(LINUX, "rustup-init"), (WINDOWS, "rustup-init.exe")] {
        for folder in [format!("archive/{RUSTUP}"), "dist".to_owned()] {
            assert!(has(&format!("rustup/{folder}/{host}/{name}")));
            assert!(has(&format!("rustup/{folder}/{host}/{name}.sha256")));
        }
    }
    assert!(has("rustup/release-stable.toml"));
    for package in ["rustc", "cargo", "rust-std", "rust-docs", "rustfmt", "clippy", "rust-analyzer"] {
        for host in [LINUX, WINDOWS] {
            assert!(has(&format!("dist/{}/{package}-{}-{host}.tar.xz", STABLE.1, STABLE.0)), "{package} {host}");
        }
    }
    assert!(has(&format!("dist/{}/rust-src-{}.tar.xz", STABLE.1, STABLE.0)));
    assert!(has(&format!("dist/{}/rust-std-{}-{WASM}.tar.xz", STABLE.1, STABLE.0)));
    assert_eq!(plan.by_request, [plan.files.keys().cloned().collect::<BTreeSet<_>>()]);
    // 12 manifests' files, 5 of rustup's texts, 4 installers, 16 archives.
    assert_eq!(plan.files.len(), 12 + 5 + 4 + 16);
    // No archive was requested twice, no installer under both of its names, and all progress is real.
    let gets = bench.dist.requests().into_iter().filter(|seen| seen.method == "GET");
    let large: Vec<String> =
        gets.map(|seen| seen.path).filter(|path| !path.contains(".toml") && !path.ends_with(".sha256")).collect();
    // Both hosts have the same program in this fake.
    assert_eq!(large.len(), 16 + 1, "{large:?}");
    let [announced, reported] = bench.events.announced_and_done();
    assert_eq!((announced, announced.0), (reported, 17));
    assert_eq!(count_files(&bench.partial_folder()), 0);
}

#[test]
fn the_dist_server_url_may_have_a_path() {
    let bench = DownloadFixture::with_server(DistServer::with_builder(crate::support::upstream::Upstream::builder()));
    for (path, content) in DistServer::start().all_files() {
        bench.dist.put_file(&format!("/rust/mirror{path}"), content.to_vec());
    }
    for end in ["", "/", "//"] {
        let base = format!("{}/rust/mirror{end}", bench.dist.url());
        let plan = fetch_with(&Downloader { server_url: base, ..bench.downloader() }, &[minimal_stable()]).unwrap();
        assert_eq!(archive_names(plan.files.keys()).len(), 3);
    }
    assert!(
        bench.dist.requests().iter().all(|seen| seen.path.starts_with("/rust/mirror/") && !seen.path.contains("//"))
    );
}

#[test]
fn cached_files_are_not_downloaded_again() {
    let bench = DownloadFixture::new();
    let first = bench.fetch(&[minimal_stable()]).unwrap();
    bench.dist.clear_log();
    let second = bench.fetch(&[minimal_stable()]).unwrap();
    assert_eq!(first, second);
    let requested = bench.dist.requests();
    assert!(
        requested.iter().all(|seen| !seen.path.contains(".tar.") && !seen.path.ends_with("rustup-init")),
        "{requested:?}"
    );
    // What rots in the cache is fetched again.
    let (path, rotten) = first.files.iter().find(|(path, _)| path.as_str().contains("rustc")).unwrap();
    let Some(FileSource::File(file)) = &rotten.bytes else { panic!("an archive is a file") };
    fs::write(file, b"rotten").unwrap();
    let third = bench.fetch(&[minimal_stable()]).unwrap();
    assert_matches_upstream(&bench, &third);
    assert_eq!(bench.dist.requests_to(&format!("/{path}")).iter().filter(|seen| seen.method == "GET").count(), 1);
}

#[test]
fn only_requested_files_are_downloaded() {
    let bench = DownloadFixture::new();
    let downloader = bench.downloader();
    block_on(async {
        let mut plan = downloader.plan(&[minimal_stable()]).await.unwrap();
        let small = |path: &str| path.contains(".toml") || path.ends_with(".sha256");
        for (path, needed) in &plan.files {
            assert_eq!(needed.bytes.is_some(), small(path.as_str()), "{path}");
        }
        bench.dist.clear_log();
        let mut offline = plan.clone();
        bench.offline_downloader().fill_sizes(&mut offline, &|_, _| true).await.unwrap();
        assert_eq!(offline, plan);
        assert!(bench.dist.requests().is_empty());
        downloader.fill_sizes(&mut plan, &|_, _| true).await.unwrap();
        for (path, needed) in &plan.files {
            assert_eq!(needed.size, Some(bench.upstream_file(path.as_str()).len() as u64), "{path}");
        }
        assert!(bench.dist.requests().iter().all(|seen| seen.method == "HEAD"));
        bench.dist.clear_log();
        downloader.fetch(&mut plan, &|path, _| path.as_str().contains("cargo-")).await.unwrap();
        let fetched = plan.files.iter().filter(|(path, needed)| needed.bytes.is_some() && !small(path.as_str()));
        let fetched = archive_names(fetched.map(|(path, _)| path));
        assert_eq!(fetched, [format!("cargo-{}-{LINUX}.tar.xz", STABLE.0)]);
        assert_eq!(bench.dist.requests().len(), 1, "its length was known already");
    });
}

#[test]
fn requests_for_one_toolchain_share_its_manifest() {
    let bench = DownloadFixture::new();
    let orders = [
        minimal_stable(),
        toolchain_request(&["stable", "nightly-2026-04-25"], &[WINDOWS, WASM], Profile::Default, &["rust-src"]),
        toolchain_request(&[], &[LINUX], Profile::Default, &[]),
    ];
    let plan = bench.fetch(&orders).unwrap();
    assert_matches_upstream(&bench, &plan);
    assert_eq!(plan.toolchains, ["stable 1.95.0 (2026-04-16)", "nightly-2026-04-25 1.97.0-nightly (2026-04-25)"]);
    assert_eq!(bench.dist.request_count("/dist/channel-rust-stable.toml"), 1);
    assert_eq!(bench.dist.request_count("/rustup/release-stable.toml"), 1);
    let manifest = "dist/channel-rust-stable.toml".parse().unwrap();
    let nightly = format!("dist/{}/channel-rust-nightly.toml", NIGHTLY.1).parse().unwrap();
    assert!(plan.by_request[0].contains(&manifest) && plan.by_request[1].contains(&manifest));
    assert!(!plan.by_request[0].contains(&nightly) && plan.by_request[1].contains(&nightly));
    let names = |packages: &[&str]| packages.iter().map(|name| format!("{name}-1.95.0-{LINUX}.tar.xz")).collect();
    let expected: Vec<String> = names(&["cargo", "rust-std", "rustc"]);
    assert_eq!(archive_names(&plan.by_request[0]), expected);
    assert!(archive_names(&plan.by_request[1]).iter().all(|name| !name.contains(LINUX)));
    assert!(plan.by_request[2].is_empty());
    let init = |host: &str, exe: &str| format!("rustup/dist/{host}/rustup-init{exe}").parse().unwrap();
    assert!(plan.by_request[0].contains(&init(LINUX, "")) && !plan.by_request[0].contains(&init(WINDOWS, ".exe")));
    assert!(plan.by_request[1].contains(&init(WINDOWS, ".exe")));
    let all: BTreeSet<_> = plan.by_request.iter().flatten().cloned().collect();
    assert_eq!(all, plan.files.keys().cloned().collect());
}

#[test]
fn a_cross_target_gets_rust_std_and_no_rustup() {
    let bench = DownloadFixture::new();
    let plan = bench.fetch(&[toolchain_request(&["1.86"], &[WASM], Profile::Default, &[])]).unwrap();
    assert_eq!(archive_names(plan.files.keys()), [format!("rust-std-1.86.0-{WASM}.tar.xz")]);
    assert!(plan.files.keys().all(|path| !path.as_str().starts_with("rustup/")));
    assert_eq!(plan.toolchains, ["1.86 1.86.0 (2025-04-03)"]);
}

#[test]
fn renamed_components_are_followed_and_unavailable_ones_reported_once() {
    let bench = DownloadFixture::new();
    let orders = [
        toolchain_request(&["stable", "1.95.0"], &[LINUX, WINDOWS], Profile::Minimal, &["clippy", "miri"]),
        toolchain_request(&["stable"], &[LINUX], Profile::Complete, &[]),
    ];
    let plan = bench.fetch(&orders).unwrap();
    assert_matches_upstream(&bench, &plan);
    assert!(archive_names(&plan.by_request[0]).contains(&format!("clippy-1.95.0-{LINUX}.tar.xz")));
    assert_eq!(plan.unavailable.len(), 4);
    let [warning] = &bench.events.warnings()[..] else { panic!("{:?}", bench.events.warnings()) };
    let line = format!("\n  stable: miri-preview for {WINDOWS}, {LINUX}");
    assert!(warning.contains(&line) && warning.contains("\n  1.95.0: miri-preview"), "{warning}");
    assert_failure(
        bench.plan(&[toolchain_request(&["stable"], &["wasm32-unknown-unknwon"], Profile::Minimal, &[])]),
        3,
        WASM,
    );
    assert_failure(
        bench.plan(&[toolchain_request(&["stable"], &[LINUX], Profile::Minimal, &["clipy"])]),
        3,
        "did you mean `clippy`?",
    );
}

#[test]
fn offline_the_last_downloaded_manifest_is_used() {
    let bench = DownloadFixture::new();
    let orders = [minimal_stable(), toolchain_request(&["nightly"], &[WINDOWS], Profile::Minimal, &[])];
    let missing = assert_failure(fetch_with(&bench.offline_downloader(), &orders), 5, "dist/channel-rust-stable.toml");
    assert!(missing.to_string().contains("dist/channel-rust-nightly.toml"), "{missing}");
    let online = bench.fetch(&orders).unwrap();
    bench.dist.publish(&Release::stable("1.96.0", "2026-05-28"));
    bench.dist.clear_log();
    assert_eq!(fetch_with(&bench.offline_downloader(), &orders).unwrap(), online);
    // One at a time has what both had together; the second asked rustup for another host.
    for order in orders {
        bench.plan(std::slice::from_ref(&order)).unwrap();
    }
    bench.dist.clear_log();
    let both = [minimal_stable(), toolchain_request(&["nightly"], &[LINUX, WINDOWS], Profile::Minimal, &[])];
    let failure = assert_failure(fetch_with(&bench.offline_downloader(), &both), 5, "without --offline");
    assert!(failure.to_string().contains(&format!("rustc-nightly-{LINUX}.tar.xz")), "{failure}");
    assert!(!failure.to_string().contains(&format!("cargo-nightly-{WINDOWS}.tar.xz")), "{failure}");
    assert!(bench.dist.requests().is_empty());
    // Another server's words are not this one's.
    let elsewhere = Downloader { server_url: "http://127.0.0.1:9".to_owned(), ..bench.offline_downloader() };
    assert_failure(fetch_with(&elsewhere, &[minimal_stable()]), 5, "channel-rust-stable.toml");
}
