//! Live mode with the real cargo: what the mirror lacks comes from upstream, is checked, and stays.

mod prefetch;
mod concurrency;
mod faults;
mod freshness;
mod frozen;
mod switched_off;
mod killed;
mod limits;
mod redirects;
mod regressions;
mod slow_upstream;
mod unwritable;
mod upstreams;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::http_client::{WebResponse, get, send_request, send_request_with_body};
use crate::support::process::Run;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::upstream::Upstream;
use crate::support::wait;

/// An upstream, and a server in front of it that fetches what it lacks.
pub struct LiveServer {
    pub sandbox: Sandbox,
    pub upstream: Upstream,
    pub serving: RunningServer,
}

impl LiveServer {
    /// In front of an upstream with a few crates.
    pub fn new() -> LiveServer {
        let upstream = Upstream::start();
        publish_crates(&upstream);
        LiveServer::in_front_of(upstream, "")
    }

    /// A server whose clock is ahead: files count as old enough for the cache at once.
    pub fn with_clock_ahead() -> LiveServer {
        let upstream = Upstream::start();
        publish_crates(&upstream);
        let sandbox = Sandbox::new().upstream(&upstream).env("FROSTMIRROR_CLOCK_AHEAD", "1");
        let serving = start_live(&sandbox);
        LiveServer { sandbox, upstream, serving }
    }

    /// In front of this one, with these settings.
    pub fn in_front_of(upstream: Upstream, settings: &str) -> LiveServer {
        let sandbox = Sandbox::new().upstream(&upstream);
        sandbox.write("config/frostmirror.toml", settings);
        let serving = start_live(&sandbox);
        LiveServer { sandbox, upstream, serving }
    }

    /// Ends the server, and starts it again.
    pub fn restart(mut self) -> LiveServer {
        self.serving.stop();
        self.serving = start_live(&self.sandbox);
        self
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.serving.url())
    }

    pub fn get(&self, path: &str) -> WebResponse {
        get(&self.url(path))
    }

    pub fn text(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        String::from_utf8(answer.body).unwrap()
    }

    pub fn status_of(&self, path: &str) -> u16 {
        self.get(path).status
    }

    /// A cargo that knows nothing but this server.
    pub fn client(&self) -> Client {
        Client::with_index(&self.url("/index/"))
    }

    /// Changes settings while the server runs.
    pub fn change_settings(&self, changes: &str) {
        let answer =
            send_request_with_body("POST", &self.url("/api/config"), &[("Content-Type", "application/json")], changes);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    }

    /// What `/api/status` says of live mode.
    pub fn status(&self) -> Value {
        let status: Value = serde_json::from_str(&self.text("/api/status")).unwrap();
        status["live"].clone()
    }

    /// Waits until the log of the server contains `text`.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        wait::until_with(
            format!("the log contains `{text}`"),
            || self.serving.running().stderr(),
            || self.serving.running().stderr().contains(text),
        );
    }

    /// Waits until so many crates are in the mirror's tree.
    #[track_caller]
    pub fn wait_for_stored_crates(&self, crates: usize) {
        let placing = self.sandbox.path("mirror/.frostmirror/journal");
        let state = || format!("{:?}; {}", self.stored_files(), self.serving.running().stderr());
        wait::until_with(format!("{crates} crates are stored"), state, || {
            self.stored_files().len() >= crates && !placing.exists() && self.leftover_files().is_empty()
        });
    }

    /// The crates' files that are in the mirror's tree, with their index lines.
    pub fn stored_files(&self) -> Vec<String> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.sandbox.path("mirror/crates")).into_iter().flatten() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".crate") {
                names.push(name);
            }
        }
        names.sort();
        names
    }

    /// The index file of `name` on disk; what is frozen is offered from there.
    pub fn stored_index_file(&self, place: &str) -> String {
        fs::read_to_string(self.sandbox.path("mirror/index").join(place)).unwrap_or_default()
    }

    /// Whether anything lies about that is not placed.
    pub fn leftover_files(&self) -> Vec<PathBuf> {
        let folder = self.sandbox.path("mirror/.frostmirror/live/partial");
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }

    pub fn verify(&self) -> Run {
        self.sandbox.run(["verify", "--mirror", "mirror"])
    }
}

/// What a live mirror is started with.
const LIVE_ARGS: [&str; 7] = ["--mirror", "mirror", "--incoming", "incoming", "--config-dir", "config", "--live"];

fn start_live(sandbox: &Sandbox) -> RunningServer {
    sandbox.serve(LIVE_ARGS)
}

fn publish_crates(upstream: &Upstream) {
    upstream.publish(Crate::new("leaf", "1.0.0"));
    upstream.publish(Crate::new("leaf", "1.1.0"));
    upstream.publish(Crate::new("Mid_Case", "0.3.0+build.7").dep("leaf", "^1"));
    upstream.publish(Crate::new("other", "0.1.0"));
}

/// Publishes so many crates, each needing the one before, and writes a project into `folder` that needs them all, with its
/// lock. Nothing of that counts as asked for.
pub fn publish_workload(upstream: &Upstream, crates: usize, folder: &Path) -> PathBuf {
    let mut project = Project::new("app");
    for n in 0..crates {
        let item = Crate::new(&workload_crate_name(n), "1.0.0").with_extra_bytes(2_000 + n * 7919 % 60_000);
        upstream.publish(if n > 0 { item.dep(&workload_crate_name(n - 1), "1") } else { item });
        project = project.dep(&workload_crate_name(n), "1");
    }
    let folder = project.write(folder);
    Client::with_index(&upstream.index_url()).lock(&folder);
    upstream.clear_log();
    folder
}

/// The name of one of them.
pub fn workload_crate_name(n: usize) -> String {
    format!("part-{n:02}")
}

/// A project that needs two of them.
pub fn write_app(live: &LiveServer) -> PathBuf {
    Project::new("app")
        .dep("Mid_Case", "0.3")
        .dep("leaf", "1")
        .main("fn main() { println!(\"{} {}\", Mid_Case::VERSION, leaf::VERSION); }\n")
        .write(&live.sandbox.path("app"))
}

#[test]
fn a_project_builds_through_an_empty_mirror_and_then_without_upstream() {
    let live = LiveServer::new();
    let (client, app) = (live.client(), write_app(&live));
    let target = live.sandbox.path("target");
    let build = ["build", "--locked", "--target-dir", target.to_str().unwrap()];
    let lock = client.lock(&app);
    assert!(lock.contains("version = \"1.1.0\""), "{lock}");
    client.cargo(&app, build).ok();
    live.wait_for_stored_crates(2);
    assert_eq!(live.stored_files(), ["Mid_Case-0.3.0+build.7.crate", "leaf-1.1.0.crate"]);
    // The file on disk lists the stored versions; the server adds upstream's.
    assert!(
        live.stored_index_file("le/af/leaf").contains("1.1.0")
            && !live.stored_index_file("le/af/leaf").contains("1.0.0")
    );
    assert!(live.text("/index/le/af/leaf").contains("\"vers\":\"1.0.0\""));
    for crate_path in live.upstream.downloads() {
        assert_eq!(live.upstream.request_count(&crate_path), 1, "{crate_path}");
    }
    let request_count = live.upstream.requests().len();

    // Another client, everything warm: upstream is not asked at all.
    live.client().cargo(&app, ["fetch", "--locked"]).ok();
    assert_eq!(live.upstream.requests().len(), request_count);

    // Switched off at run time, and upstream gone.
    live.change_settings(r#"{"proxy_mode": false}"#);
    let LiveServer { sandbox, upstream, serving } = live;
    drop(upstream);
    let offline = Client::with_index(&format!("{}/index/", serving.url()));
    offline.cargo(&app, build).ok();
    assert!(
        !String::from_utf8(get(&format!("{}/index/le/af/leaf", serving.url())).body).unwrap().contains("\"1.0.0\"")
    );
    assert_eq!(get(&format!("{}/index/ot/he/other", serving.url())).status, 404);
    serving.stop();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn concurrent_clients_cause_one_upstream_request_per_file() {
    let upstream = Upstream::builder().latency(Duration::from_millis(50)).start();
    publish_crates(&upstream);
    let live = LiveServer::in_front_of(upstream, "");
    let path = "/crates/leaf-1.1.0.crate";
    let bodies: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let url = live.url(path);
        let asking: Vec<_> = (0..16).map(|_| url.clone()).map(|url| scope.spawn(move || get(&url))).collect();
        asking
            .into_iter()
            .map(|one| {
                let answer = one.join().unwrap();
                assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
                answer.body
            })
            .collect()
    });
    assert!(bodies.iter().all(|body| *body == bodies[0] && !body.is_empty()));
    assert_eq!(live.upstream.request_count(&live.upstream.download_path("leaf", "1.1.0")), 1);
    assert_eq!(live.upstream.request_count("/index/le/af/leaf"), 1);
    assert_eq!(live.upstream.request_count("/index/config.json"), 1);
    live.wait_for_stored_crates(1);
    assert_eq!(live.get(path).body, bodies[0]);
    assert!(live.leftover_files().is_empty());
    live.verify().ok();
}

#[test]
fn with_live_mode_off_upstream_gets_no_request() {
    let upstream = Upstream::start();
    publish_crates(&upstream);
    let sandbox = Sandbox::new().upstream(&upstream);
    let serving = sandbox.serve(["--mirror", "mirror", "--config-dir", "config"]);
    for path in [
        "/index/le/af/leaf",
        "/index/config.json",
        "/crates/leaf-1.1.0.crate",
        "/crates/leaf/1.1.0/download",
        "/dist/channel-rust-stable.toml.sha256",
        "/dist/2026-01-01/rustc-1.95.0-x86_64-unknown-linux-gnu.tar.xz",
        "/rustup/release-stable.toml",
        "/",
        "/packages",
        "/config",
        "/api/status",
        "/metrics",
    ] {
        let _answered = get(&format!("{}{path}", serving.url()));
    }
    serving.stop();
    assert!(upstream.requests().is_empty(), "{:?}", upstream.requests());
}

#[test]
fn crates_that_upstream_does_not_list_are_not_fetched() {
    let live = LiveServer::new();
    assert_eq!(live.status_of("/index/no/su/nosuch"), 404);
    for path in
        ["/crates/nosuch-1.0.0.crate", "/crates/leaf-9.9.9.crate", "/crates/leaf/9.9.9/download", "/crates/x.crate"]
    {
        let answer = live.get(path);
        assert_eq!(answer.status, 404, "{path}: {}", String::from_utf8_lossy(&answer.body));
    }
    assert!(live.upstream.downloads().is_empty());
    assert_eq!(send_request("POST", &live.url("/crates/leaf-1.1.0.crate"), &[]).status, 405);
    assert!(live.stored_files().is_empty() && live.leftover_files().is_empty());
}
