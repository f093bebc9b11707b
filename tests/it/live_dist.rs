//! Live mode with rustup: toolchains are fetched from upstream on request, each file once, and stay.

mod faults;
mod with_rustup;
mod killed;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::crates::hex;
use crate::support::dist::release::Release;
use crate::support::dist::{DistServer, LINUX, NIGHTLY, RUSTUP, STABLE, WASM};
use crate::support::http_client::{WebResponse, get, send_request};
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::upstream::{Fault, Upstream};
use crate::support::wait;

const MANIFEST: &str = "/dist/channel-rust-stable.toml";
const DIGEST: &str = "/dist/channel-rust-stable.toml.sha256";

/// A dist server, and a mirror in front of it that fetches what it lacks.
pub struct LiveDistServer {
    pub sandbox: Sandbox,
    pub dist: DistServer,
    pub serving: RunningServer,
}

impl LiveDistServer {
    /// In front of the usual releases, which are looked at again after a second.
    fn new() -> LiveDistServer {
        LiveDistServer::in_front_of(DistServer::start(), "proxy_ttl = \"1s\"\n")
    }

    /// In front of one release whose rustc is large enough to break off in the middle.
    fn with_large_rustc() -> (LiveDistServer, Release) {
        let dist = DistServer::with_builder(Upstream::builder());
        let release = Release::stable(STABLE.0, STABLE.1).with_extra_bytes(400_000);
        dist.publish(&release);
        (LiveDistServer::in_front_of(dist, ""), release)
    }

    fn in_front_of(dist: DistServer, settings: &str) -> LiveDistServer {
        let sandbox = Sandbox::new().upstream(&dist).env("FROSTMIRROR_DIST_URL", dist.url());
        sandbox.write("config/frostmirror.toml", settings);
        let serving = start_live(&sandbox);
        LiveDistServer { sandbox, dist, serving }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.serving.url())
    }

    fn get(&self, path: &str) -> WebResponse {
        get(&self.url(path))
    }

    /// What is answered is what upstream has now.
    #[track_caller]
    fn assert_same_as_upstream(&self, path: &str) {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        assert!(Some(answer.body) == self.dist.file(path), "{path} is another one");
    }

    fn status(&self) -> Value {
        let status: Value = serde_json::from_slice(&self.get("/api/status").body).unwrap();
        status["live"].clone()
    }

    fn stored_path(&self, path: &str) -> PathBuf {
        self.sandbox.path("mirror").join(path.trim_start_matches('/'))
    }

    fn leftover_files(&self) -> usize {
        fs::read_dir(self.sandbox.path("mirror/.frostmirror/live/partial")).into_iter().flatten().count()
    }

    /// Waits until `is_so` holds; a failure shows the log.
    #[track_caller]
    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        wait::until_with(what, || self.serving.running().stderr(), is_so);
    }

    /// Waits until the file is in its place, and all that came is.
    #[track_caller]
    fn wait_for_stored_file(&self, path: &str) {
        self.wait_until(path, || self.stored_path(path).is_file() && self.leftover_files() == 0);
    }
}

fn start_live(sandbox: &Sandbox) -> RunningServer {
    sandbox.serve(["--mirror", "mirror", "--incoming", "incoming", "--config-dir", "config", "--live"])
}

/// Waits until a file that is fresh for one second is checked again. A request would renew it, so nothing can be polled.
fn wait_for_expiry() {
    std::thread::sleep(Duration::from_millis(1_600));
}

/// Whether a `.sha256` is of these bytes.
fn digest_matches(digest: &WebResponse, manifest: &WebResponse) -> bool {
    digest.body.starts_with(hex(&Sha256::digest(&manifest.body)).as_bytes())
}

#[test]
fn each_file_is_fetched_once_and_stays_identical_to_upstream() {
    let live = LiveDistServer::in_front_of(DistServer::start(), "");
    let stable = Release::stable(STABLE.0, STABLE.1);
    let archived = format!("/rustup/archive/{RUSTUP}/{LINUX}/rustup-init");
    let windows = "/rustup/dist/x86_64-pc-windows-msvc/rustup-init.exe".to_owned();
    let paths = [
        DIGEST.to_owned(),
        MANIFEST.to_owned(),
        format!("{MANIFEST}.asc"),
        stable.archive_path("rustc", LINUX, "xz"),
        stable.archive_path("cargo", LINUX, "gz"),
        stable.archive_path("rust-src", "*", "xz"),
        "/dist/channel-rust-1.95.toml".to_owned(),
        "/dist/channel-rust-1.86.0.toml.sha256".to_owned(),
        "/dist/channel-rust-1.86.0.toml".to_owned(),
        format!("/dist/{}/channel-rust-nightly.toml.sha256", NIGHTLY.1),
        format!("/dist/{}/channel-rust-nightly.toml", NIGHTLY.1),
        "/rustup/release-stable.toml".to_owned(),
        archived.clone(),
        format!("{archived}.sha256"),
        format!("{windows}.sha256"),
        windows,
    ];
    for path in &paths {
        live.assert_same_as_upstream(path);
        live.wait_for_stored_file(path);
    }
    for request in live.dist.requests().iter().filter(|request| !request.path.ends_with(".sha256")) {
        let path = &request.path;
        // Every question about rustup begins with which one there is.
        assert!(
            path.ends_with("release-stable.toml") || live.dist.request_count(path) == 1,
            "{path} was requested again"
        );
    }
    let request_count = live.dist.requests().len();
    for path in &paths {
        live.assert_same_as_upstream(path);
    }
    assert_eq!(live.dist.requests().len(), request_count, "all of it is held, and fresh");
    let figures = live.status();
    assert!(figures["misses"].as_u64() > Some(5) && figures["failures"] == 0 && figures["stale"] == 0, "{figures}");
    live.sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn moving_files_are_revalidated_and_never_go_back() {
    let live = LiveDistServer::new();
    let old = Release::stable(STABLE.0, STABLE.1);
    for path in [DIGEST, MANIFEST, "/rustup/release-stable.toml"] {
        live.assert_same_as_upstream(path);
    }
    let rustup = format!("/rustup/dist/{LINUX}/rustup-init");
    live.assert_same_as_upstream(&rustup);
    // Nothing is new: the manifest is not asked for.
    wait_for_expiry();
    live.assert_same_as_upstream(DIGEST);
    assert_eq!(live.dist.request_count(MANIFEST), 1);

    let new = Release::stable("1.96.0", "2026-05-28");
    live.dist.publish(&new);
    live.dist.publish_rustup("9.9.10", &[LINUX], b"#!/bin/sh\n");
    wait_for_expiry();
    for path in [DIGEST, MANIFEST, "/rustup/release-stable.toml"] {
        live.assert_same_as_upstream(path);
    }
    live.assert_same_as_upstream(&format!("{rustup}.sha256"));
    live.assert_same_as_upstream(&rustup);
    live.assert_same_as_upstream(&new.archive_path("cargo", LINUX, "xz"));
    // A client with the earlier manifest finds its components by the dated manifest.
    live.assert_same_as_upstream(&old.archive_path("rustc", LINUX, "xz"));

    // An upstream that goes back is not followed, and its old manifest is not fetched repeatedly.
    live.dist.publish(&old);
    let before = live.dist.request_count(MANIFEST);
    for _ in 0..3 {
        wait_for_expiry();
        let (digest, manifest) = (live.get(DIGEST), live.get(MANIFEST));
        assert!(digest_matches(&digest, &manifest) && String::from_utf8(manifest.body).unwrap().contains("1.96.0"));
    }
    assert!(live.dist.request_count(MANIFEST) <= before + 1, "{} times", live.dist.request_count(MANIFEST) - before);
    live.sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn a_served_digest_matches_the_following_manifest() {
    let live = LiveDistServer::new();
    let until = Instant::now() + Duration::from_secs(6);
    let (mut releases, mut rounds, mut seen) = (96..100, 0, std::collections::BTreeSet::new());
    while Instant::now() < until {
        let digest = live.get(DIGEST);
        if rounds % 4 == 1
            && let Some(minor) = releases.next()
        {
            // Between the two.
            live.dist.publish(&Release::stable(&format!("1.{minor}.0"), &format!("2026-06-{:02}", minor - 90)));
        }
        std::thread::sleep(Duration::from_millis(rounds % 7 * 50));
        let manifest = live.get(MANIFEST);
        assert_eq!((digest.status, manifest.status), (200, 200));
        assert!(digest_matches(&digest, &manifest), "round {rounds}");
        seen.insert(manifest.body);
        rounds += 1;
    }
    assert!(seen.len() > 2, "it moved {} times", seen.len());
}

#[test]
fn concurrent_clients_cause_one_upstream_request() {
    let live = LiveDistServer::in_front_of(DistServer::start(), "");
    live.dist.set_latency(Duration::from_millis(150));
    let component = Release::stable(STABLE.0, STABLE.1).archive_path("rustc", LINUX, "xz");
    for path in [MANIFEST, &component] {
        let url = live.url(path);
        let asking: Vec<_> = (0..16)
            .map(|_| {
                std::thread::spawn({
                    let url = url.clone();
                    move || get(&url)
                })
            })
            .collect();
        for one in asking {
            let answer = one.join().unwrap();
            assert_eq!(answer.status, 200);
            assert!(Some(answer.body) == live.dist.file(path), "{path}");
        }
        assert_eq!(live.dist.request_count(path), 1, "{path}");
    }
}

#[test]
fn a_range_of_a_missing_file_returns_that_range() {
    let (live, release) = LiveDistServer::with_large_rustc();
    for path in [release.archive_path("rustc", LINUX, "xz"), MANIFEST.to_owned()] {
        let right = live.dist.file(&path).unwrap();
        let from = right.len() / 2;
        let part = send_request("GET", &live.url(&path), &[("Range", &format!("bytes={from}-"))]);
        assert_eq!(part.status, 206, "{}", part.head);
        assert!(part.body == right[from..], "{path}");
        let range = format!("content-range: bytes {from}-{}/{}", right.len() - 1, right.len());
        assert!(part.head.to_lowercase().contains(&range), "{}", part.head);
        live.wait_for_stored_file(&path);
        assert!(fs::read(live.stored_path(&path)).unwrap() == right);
    }
}

#[test]
fn unknown_dist_paths_are_not_requested_upstream() {
    let live = LiveDistServer::in_front_of(DistServer::start(), "");
    let component = Release::stable(STABLE.0, STABLE.1).archive_path("rustc", LINUX, "xz");
    for path in [
        "/dist/index.html",
        "/dist/channel-rust-stable",
        "/dist/channel-rust-mine.toml",
        "/dist/channel-rust-stable-date.txt",
        "/dist/2026-04-16/index.html",
        "/dist/2026-04-16/x/rustc-1.95.0-x86_64-unknown-linux-gnu.tar.xz",
        "/dist/2026-13-16/rustc-1.95.0-x86_64-unknown-linux-gnu.tar.xz",
        "/dist/2999-01-01/channel-rust-nightly.toml.sha256",
        "/dist/1999-01-01/rustc-nightly-x86_64-unknown-linux-gnu.tar.xz",
        "/rustup/release-beta.toml",
        "/rustup/anything",
        "/rustup/archive/../x86_64-unknown-linux-gnu/rustup-init",
        "/rustup/archive/1.2/x86_64-unknown-linux-gnu/rustup-init",
        "/rustup/dist/x86_64-unknown-linux-gnu/evil",
        "/elsewhere/x",
        &format!("{component}.sha256"),
        &format!("{component}.asc"),
    ] {
        assert_eq!(live.get(path).status, 404, "{path}");
        assert!(live.dist.requests().is_empty(), "{path}");
    }
    // What no manifest of its day names is looked for in these, once.
    let invented = format!("/dist/{}/evil-1.95.0-{LINUX}.tar.xz", STABLE.1);
    live.dist.put_file(&invented, "evil");
    assert_eq!(live.get(&invented).status, 404);
    let requested = live.dist.requests();
    assert!(
        requested.iter().all(|request| request.path.contains("/channel-rust-")) && requested.len() < 12,
        "{}",
        requested.len()
    );
    for other in ["evil-1.95.0", "evil-beta", "evil-nightly", "evil"] {
        assert_eq!(live.get(&format!("/dist/{}/{other}-{WASM}.tar.gz", STABLE.1)).status, 404);
    }
    assert_eq!(live.dist.requests().len(), requested.len());
    assert!(!live.stored_path(&invented).exists());
    // Marked as unavailable: named without a file.
    let miri = Release::stable(STABLE.0, STABLE.1).archive_path("miri-preview", LINUX, "xz");
    assert_eq!(live.get(&miri).status, 404);
}

#[test]
fn missing_release_dates_are_requested_once_and_leave_nothing() {
    let live = LiveDistServer::in_front_of(DistServer::start(), "");
    let days: Vec<String> =
        (1..=12).flat_map(|month| (1..=25).map(move |day| format!("2020-{month:02}-{day:02}"))).collect();
    for _ in 0..2 {
        for day in &days {
            for end in [".sha256", ""] {
                assert_eq!(live.get(&format!("/dist/{day}/channel-rust-nightly.toml{end}")).status, 404);
            }
        }
    }
    assert_eq!(live.dist.requests().len(), days.len());
    assert_eq!(fs::read_dir(live.sandbox.path("mirror/dist")).map_or(0, Iterator::count), 0);
    assert_eq!(live.status()["failures"], 0);
}

#[test]
fn a_missing_signature_is_requested_once() {
    let dist = DistServer::with_builder(Upstream::builder());
    dist.publish(&Release::beta("1.96.0-beta.3", "2026-05-01").unsigned());
    let live = LiveDistServer::in_front_of(dist, "");
    for path in ["/dist/channel-rust-beta.toml", "/dist/2026-05-01/channel-rust-beta.toml"] {
        live.assert_same_as_upstream(path);
        let signature = format!("{path}.asc");
        assert_eq!(live.get(&signature).status, 404);
        let request_count = live.dist.request_count(&signature);
        assert_eq!(live.get(&signature).status, 404);
        assert_eq!(live.dist.request_count(&signature), request_count);
        // One that comes later is brought, with the manifest that it is of.
        live.dist.put_file(&signature, "signed");
    }
    let LiveDistServer { sandbox, dist, serving } = live;
    serving.stop();
    let live = LiveDistServer { serving: start_live(&sandbox), sandbox, dist };
    for path in ["/dist/channel-rust-beta.toml.asc", "/dist/2026-05-01/channel-rust-beta.toml.asc"] {
        live.assert_same_as_upstream(path);
        live.wait_for_stored_file(path);
    }
    live.sandbox.run(["verify", "--mirror", "mirror"]).ok();
}
