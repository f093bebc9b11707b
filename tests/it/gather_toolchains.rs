//! Toolchains from upstream: what is asked for, what is believed, and what becomes of answers that do not belong together.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use frostmirror::artifact::Bytes;
use frostmirror::channel::{Profile, Wanted};
use frostmirror::digest::Sha256;
use frostmirror::event::{Event, Phase, Sink};
use frostmirror::failure::Failure;
use frostmirror::gather::toolchains::{Dist as Downloader, Error, Order, Plan};
use frostmirror::http::{Client, Settings};

use crate::support::dist::{Dist, LINUX, NIGHTLY, RUSTUP, Release, STABLE, WASM, WINDOWS};
use crate::support::upstream::Fault;

mod faults;
mod texts;

/// What a sink heard.
#[derive(Default)]
struct Heard(Mutex<Vec<Event>>);

impl Sink for Heard {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Heard {
    fn warnings(&self) -> Vec<String> {
        let events = self.0.lock().unwrap();
        let warning = |event: &Event| if let Event::Warning(text) = event { Some(text.clone()) } else { None };
        events.iter().filter_map(warning).collect()
    }

    /// Items and bytes that were announced, and those that were told of.
    fn downloading(&self) -> [(u64, u64); 2] {
        let (mut announced, mut told) = ((0, 0), (0, 0));
        for event in self.0.lock().unwrap().iter() {
            match event {
                Event::Begin { phase: Phase::Downloading, items, bytes } => announced = (*items, *bytes),
                Event::Advance { phase: Phase::Downloading, items, bytes } => {
                    told = (told.0 + items, told.1 + bytes);
                }
                _ => {}
            }
        }
        [announced, told]
    }
}

/// A downloader with a cache of its own.
struct Bench {
    dist: Dist,
    folder: tempfile::TempDir,
    heard: Arc<Heard>,
}

impl Bench {
    fn new() -> Bench {
        Bench::of(Dist::start())
    }

    fn of(dist: Dist) -> Bench {
        Bench { dist, folder: tempfile::tempdir().unwrap(), heard: Arc::default() }
    }

    fn downloader(&self) -> Downloader {
        let settings = Settings {
            first_backoff: Duration::from_millis(2),
            low_speed_timeout: Duration::from_millis(1000),
            ..Settings::default()
        };
        Downloader {
            client: Client::new(&settings).unwrap(),
            base: self.dist.url().to_owned(),
            cache: self.folder.path().join("cache"),
            jobs: 4,
            offline: false,
            now: "2026-06-01T00:00:00Z".parse().unwrap(),
            sink: Arc::clone(&self.heard) as Arc<dyn Sink>,
        }
    }

    fn offline(&self) -> Downloader {
        Downloader { offline: true, ..self.downloader() }
    }

    fn plan(&self, orders: &[Order]) -> Result<Plan, Error> {
        run(self.downloader().plan(orders))
    }

    /// Everything that the orders need, with its bytes.
    fn fetch(&self, orders: &[Order]) -> Result<Plan, Error> {
        fetch_with(&self.downloader(), orders)
    }

    fn parts(&self) -> PathBuf {
        self.folder.path().join("cache/dist/part")
    }

    /// What upstream has at `path`.
    fn upstreams(&self, path: &str) -> Vec<u8> {
        self.dist.held(&format!("/{path}")).unwrap_or_else(|| panic!("upstream has no {path}"))
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

fn fetch_with(downloader: &Downloader, orders: &[Order]) -> Result<Plan, Error> {
    run(async {
        let mut plan = downloader.plan(orders).await?;
        downloader.fetch(&mut plan, &|_, _| true).await?;
        Ok(plan)
    })
}

fn order(toolchains: &[&str], targets: &[&str], profile: Profile, components: &[&str]) -> Order {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    Order {
        toolchains: toolchains.iter().map(|name| name.parse().unwrap()).collect(),
        wanted: Wanted { targets: texts(targets), profile, components: texts(components) },
    }
}

/// Stable for Linux, as small as it gets.
fn minimal() -> Order {
    order(&["stable"], &[LINUX], Profile::Minimal, &[])
}

/// The paths of a set, without their folders of manifests.
fn archives<'p>(paths: impl IntoIterator<Item = &'p frostmirror::safe_path::SafePath>) -> Vec<String> {
    let names = paths.into_iter().map(|path| path.as_str());
    names.filter(|path| path.contains(".tar.")).map(|path| path.rsplit('/').next().unwrap().to_owned()).collect()
}

fn bytes_of(bytes: &Bytes) -> Vec<u8> {
    match bytes {
        Bytes::File(path) => fs::read(path).unwrap(),
        Bytes::Memory(bytes) => bytes.clone(),
    }
}

/// Every file is what upstream has at its path, and has the digest and the size that are told.
#[track_caller]
fn is_upstreams(bench: &Bench, plan: &Plan) {
    for (path, needed) in &plan.artifacts {
        let bytes = bytes_of(needed.bytes.as_ref().unwrap_or_else(|| panic!("{path} was not fetched")));
        assert_eq!(Sha256::of(&bytes), needed.sha256, "{path}");
        assert_eq!(Some(bytes.len() as u64), needed.size, "{path}");
        assert!(bytes == bench.upstreams(path.as_str()), "{path}");
    }
}

#[track_caller]
fn fails(outcome: Result<Plan, Error>, code: u8, words: &str) -> Failure {
    let Err(error) = outcome else { panic!("it should have failed: {words}") };
    let failure = Failure::from(error);
    let told = format!("{failure}\n{}", failure.hint.as_deref().unwrap_or_default());
    assert_eq!(failure.class.code(), code, "{told}");
    assert!(told.contains(words), "{told}");
    failure
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn everything_that_rustup_asks_for_comes_byte_for_byte() {
    let bench = Bench::new();
    let everything = order(&["stable"], &[LINUX, WINDOWS, WASM], Profile::Default, &["rust-src", "rust-analyzer"]);
    let plan = bench.fetch(&[everything]).unwrap();
    is_upstreams(&bench, &plan);
    assert_eq!(plan.toolchains, ["stable 1.95.0 (2026-04-16)"]);
    let has = |path: &str| plan.artifacts.contains_key(&path.parse().unwrap());
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
    assert_eq!(plan.by_order, [plan.artifacts.keys().cloned().collect::<BTreeSet<_>>()]);
    // 12 manifests' files, 5 of rustup's texts, 4 installers, 16 archives.
    assert_eq!(plan.artifacts.len(), 12 + 5 + 4 + 16);
    // No archive was asked for twice, no installer under both of its names, and no progress is invented.
    let gets = bench.dist.requests().into_iter().filter(|seen| seen.method == "GET");
    let large: Vec<String> =
        gets.map(|seen| seen.path).filter(|path| !path.contains(".toml") && !path.ends_with(".sha256")).collect();
    // Both hosts have the same program in this fake.
    assert_eq!(large.len(), 16 + 1, "{large:?}");
    let [announced, told] = bench.heard.downloading();
    assert_eq!((announced, announced.0), (told, 17));
    assert_eq!(count(&bench.parts()), 0);
}

#[test]
fn an_upstream_may_be_a_folder_of_a_server() {
    let bench = Bench::of(Dist::empty(crate::support::upstream::Upstream::builder()));
    for (path, content) in Dist::start().all_held() {
        bench.dist.put(&format!("/rust/mirror{path}"), content.to_vec());
    }
    for end in ["", "/", "//"] {
        let base = format!("{}/rust/mirror{end}", bench.dist.url());
        let plan = fetch_with(&Downloader { base, ..bench.downloader() }, &[minimal()]).unwrap();
        assert_eq!(archives(plan.artifacts.keys()).len(), 3);
    }
    assert!(
        bench.dist.requests().iter().all(|seen| seen.path.starts_with("/rust/mirror/") && !seen.path.contains("//"))
    );
}

#[test]
fn what_is_there_is_not_asked_for_again() {
    let bench = Bench::new();
    let first = bench.fetch(&[minimal()]).unwrap();
    bench.dist.clear_log();
    let second = bench.fetch(&[minimal()]).unwrap();
    assert_eq!(first, second);
    let asked = bench.dist.requests();
    assert!(asked.iter().all(|seen| !seen.path.contains(".tar.") && !seen.path.ends_with("rustup-init")), "{asked:?}");
    // What rots in the cache is fetched again.
    let (path, rotten) = first.artifacts.iter().find(|(path, _)| path.as_str().contains("rustc")).unwrap();
    let Some(Bytes::File(file)) = &rotten.bytes else { panic!("an archive is a file") };
    fs::write(file, b"rotten").unwrap();
    let third = bench.fetch(&[minimal()]).unwrap();
    is_upstreams(&bench, &third);
    assert_eq!(bench.dist.seen(&format!("/{path}")).iter().filter(|seen| seen.method == "GET").count(), 1);
}

#[test]
fn only_what_the_caller_wants_is_downloaded() {
    let bench = Bench::new();
    let downloader = bench.downloader();
    run(async {
        let mut plan = downloader.plan(&[minimal()]).await.unwrap();
        let small = |path: &str| path.contains(".toml") || path.ends_with(".sha256");
        for (path, needed) in &plan.artifacts {
            assert_eq!(needed.bytes.is_some(), small(path.as_str()), "{path}");
        }
        bench.dist.clear_log();
        let mut offline = plan.clone();
        bench.offline().weigh(&mut offline, &|_, _| true).await.unwrap();
        assert_eq!(offline, plan);
        assert!(bench.dist.requests().is_empty());
        downloader.weigh(&mut plan, &|_, _| true).await.unwrap();
        for (path, needed) in &plan.artifacts {
            assert_eq!(needed.size, Some(bench.upstreams(path.as_str()).len() as u64), "{path}");
        }
        assert!(bench.dist.requests().iter().all(|seen| seen.method == "HEAD"));
        bench.dist.clear_log();
        downloader.fetch(&mut plan, &|path, _| path.as_str().contains("cargo-")).await.unwrap();
        let fetched = plan.artifacts.iter().filter(|(path, needed)| needed.bytes.is_some() && !small(path.as_str()));
        let fetched = archives(fetched.map(|(path, _)| path));
        assert_eq!(fetched, [format!("cargo-{}-{LINUX}.tar.xz", STABLE.0)]);
        assert_eq!(bench.dist.requests().len(), 1, "its length was known already");
    });
}

#[test]
fn orders_of_one_toolchain_share_its_manifest_and_keep_their_own() {
    let bench = Bench::new();
    let orders = [
        minimal(),
        order(&["stable", "nightly-2026-04-25"], &[WINDOWS, WASM], Profile::Default, &["rust-src"]),
        order(&[], &[LINUX], Profile::Default, &[]),
    ];
    let plan = bench.fetch(&orders).unwrap();
    is_upstreams(&bench, &plan);
    assert_eq!(plan.toolchains, ["stable 1.95.0 (2026-04-16)", "nightly-2026-04-25 1.97.0-nightly (2026-04-25)"]);
    assert_eq!(bench.dist.count("/dist/channel-rust-stable.toml"), 1);
    assert_eq!(bench.dist.count("/rustup/release-stable.toml"), 1);
    let manifest = "dist/channel-rust-stable.toml".parse().unwrap();
    let nightly = format!("dist/{}/channel-rust-nightly.toml", NIGHTLY.1).parse().unwrap();
    assert!(plan.by_order[0].contains(&manifest) && plan.by_order[1].contains(&manifest));
    assert!(!plan.by_order[0].contains(&nightly) && plan.by_order[1].contains(&nightly));
    let names = |packages: &[&str]| packages.iter().map(|name| format!("{name}-1.95.0-{LINUX}.tar.xz")).collect();
    let expected: Vec<String> = names(&["cargo", "rust-std", "rustc"]);
    assert_eq!(archives(&plan.by_order[0]), expected);
    assert!(archives(&plan.by_order[1]).iter().all(|name| !name.contains(LINUX)));
    assert!(plan.by_order[2].is_empty());
    let init = |host: &str, exe: &str| format!("rustup/dist/{host}/rustup-init{exe}").parse().unwrap();
    assert!(plan.by_order[0].contains(&init(LINUX, "")) && !plan.by_order[0].contains(&init(WINDOWS, ".exe")));
    assert!(plan.by_order[1].contains(&init(WINDOWS, ".exe")));
    let all: BTreeSet<_> = plan.by_order.iter().flatten().cloned().collect();
    assert_eq!(all, plan.artifacts.keys().cloned().collect());
}

#[test]
fn a_cross_target_has_its_library_and_no_rustup() {
    let bench = Bench::new();
    let plan = bench.fetch(&[order(&["1.86"], &[WASM], Profile::Default, &[])]).unwrap();
    assert_eq!(archives(plan.artifacts.keys()), [format!("rust-std-1.86.0-{WASM}.tar.xz")]);
    assert!(plan.artifacts.keys().all(|path| !path.as_str().starts_with("rustup/")));
    assert_eq!(plan.toolchains, ["1.86 1.86.0 (2025-04-03)"]);
}

#[test]
fn renames_are_followed_and_what_is_unavailable_is_told_once() {
    let bench = Bench::new();
    let orders = [
        order(&["stable", "1.95.0"], &[LINUX, WINDOWS], Profile::Minimal, &["clippy", "miri"]),
        order(&["stable"], &[LINUX], Profile::Complete, &[]),
    ];
    let plan = bench.fetch(&orders).unwrap();
    is_upstreams(&bench, &plan);
    assert!(archives(&plan.by_order[0]).contains(&format!("clippy-1.95.0-{LINUX}.tar.xz")));
    assert_eq!(plan.skipped.len(), 4);
    let [warning] = &bench.heard.warnings()[..] else { panic!("{:?}", bench.heard.warnings()) };
    let line = format!("\n  stable: miri-preview for {WINDOWS}, {LINUX}");
    assert!(warning.contains(&line) && warning.contains("\n  1.95.0: miri-preview"), "{warning}");
    fails(bench.plan(&[order(&["stable"], &["wasm32-unknown-unknwon"], Profile::Minimal, &[])]), 3, WASM);
    fails(bench.plan(&[order(&["stable"], &[LINUX], Profile::Minimal, &["clipy"])]), 3, "did you mean `clippy`?");
}

#[test]
fn without_network_the_last_run_counts() {
    let bench = Bench::new();
    let orders = [minimal(), order(&["nightly"], &[WINDOWS], Profile::Minimal, &[])];
    let missing = fails(fetch_with(&bench.offline(), &orders), 5, "dist/channel-rust-stable.toml");
    assert!(missing.to_string().contains("dist/channel-rust-nightly.toml"), "{missing}");
    let online = bench.fetch(&orders).unwrap();
    bench.dist.publish(&Release::stable("1.96.0", "2026-05-28"));
    bench.dist.clear_log();
    assert_eq!(fetch_with(&bench.offline(), &orders).unwrap(), online);
    // One at a time has what both had together; the second asked rustup for another host.
    for order in orders {
        bench.plan(std::slice::from_ref(&order)).unwrap();
    }
    bench.dist.clear_log();
    let both = [minimal(), order(&["nightly"], &[LINUX, WINDOWS], Profile::Minimal, &[])];
    let failure = fails(fetch_with(&bench.offline(), &both), 5, "without --offline");
    assert!(failure.to_string().contains(&format!("rustc-nightly-{LINUX}.tar.xz")), "{failure}");
    assert!(!failure.to_string().contains(&format!("cargo-nightly-{WINDOWS}.tar.xz")), "{failure}");
    assert!(bench.dist.requests().is_empty());
    // Another server's words are not this one's.
    let elsewhere = Downloader { base: "http://127.0.0.1:9".to_owned(), ..bench.offline() };
    fails(fetch_with(&elsewhere, &[minimal()]), 5, "channel-rust-stable.toml");
}
