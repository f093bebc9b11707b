//! `fetch` itself, where the gathering rooms meet the user's folders.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::client::Project;
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;
use crate::support::upstream::{Fault, Upstream};

#[test]
fn a_workspace_without_a_lock_is_resolved_on_a_copy_with_our_index() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("a", "1.0.0").dep("b", "^1"));
    upstream.publish_all(&[("b", "1.0.0"), ("b", "1.1.0")]);
    let sandbox = Sandbox::new().upstream(&upstream);
    let project = Project::new("app").dep("a", "1").write(&sandbox.path("app"));
    let before = sandbox.snapshot(&project);
    let run = sandbox.run_in(&project, ["fetch", "-o", "../out"]).ok().stderr_has("no Cargo.lock");
    assert_eq!(sandbox.snapshot(&project), before);
    let listed = sandbox.run(["list", run.path().to_str().unwrap()]).ok().stdout;
    assert!(listed.ends_with("\na 1.0.0\nb 1.1.0\n"), "{listed}");

    upstream.always("/index/1/b", Fault::Status(503));
    let sandbox = Sandbox::new().upstream(&upstream).env("CARGO_NET_RETRY", "0");
    let project = Project::new("app").dep("a", "1").write(&sandbox.path("app"));
    sandbox.run_in(&project, ["fetch"]).exits(5).stderr_has("`b`").stderr_has("HTTP 503");
}

#[test]
fn a_failed_fetch_leaves_neither_bundle_nor_history_and_the_next_one_goes_on() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.0.0")]);
    let sandbox = Sandbox::new().upstream(&upstream).env("CARGO_NET_RETRY", "0");
    sandbox.write("depends.toml", "[dependencies]\na = \"1\"\nb = \"1\"\nc = \"1\"\n");
    upstream.always(&upstream.download_path("b", "1.0.0"), Fault::Status(404));
    sandbox.run(["fetch"]).exits(5).stderr_has("/b/1.0.0");
    let written = fs::read_dir(sandbox.path("output")).map_or(0, Iterator::count);
    assert_eq!(written, 0);
    assert!(!sandbox.frostmirror_home().join("history/lineage.json").exists());
    upstream.heal();
    upstream.clear_log();
    sandbox.run(["fetch"]).ok();
    assert_eq!(upstream.downloads(), [upstream.download_path("b", "1.0.0")]);
    assert!(sandbox.frostmirror_home().join("history/lineage.json").exists());
}

#[test]
fn a_fetch_that_was_killed_costs_only_what_it_had_not_yet() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.0.0")]);
    upstream.publish(Crate::new("slow", "1.0.0").weighing(200_000));
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("depends.toml", "[dependencies]\na = \"1\"\nb = \"1\"\nc = \"1\"\nslow = \"1\"\n");
    let slow = upstream.download_path("slow", "1.0.0");
    upstream.always(&slow, Fault::HangAfter(50_000));
    let running = sandbox.process(["fetch"]).start();
    let others = |upstream: &Upstream| {
        let done = |name| upstream.seen(&upstream.download_path(name, "1.0.0")).iter().any(|seen| seen.status == 200);
        ["a", "b", "c"].into_iter().all(done) && upstream.count(&slow) > 0
    };
    let begun = Instant::now();
    while !others(&upstream) {
        assert!(begun.elapsed() < Duration::from_secs(60), "the downloads did not come so far");
        std::thread::sleep(Duration::from_millis(20));
    }
    // What upstream has sent is on its way into the cache.
    std::thread::sleep(Duration::from_millis(500));
    running.signal(Signal::KILL);
    drop(running);
    upstream.heal();
    upstream.clear_log();
    sandbox.run(["fetch"]).ok();
    assert_eq!(upstream.downloads(), [slow]);
}
