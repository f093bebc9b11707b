//! The server dies in the middle: what is served has no debris, the clients' next try succeeds, and in the end everything is
//! as if nothing had happened.

use std::collections::{BTreeMap, BTreeSet};

use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::live::{LiveLineage, LiveTotals};
use rustix::process::Signal;

use super::*;
use crate::support::process::SIGABRT;
use crate::support::upstream::Fault;

const CRATES: usize = 8;

/// What the mirror offers, and what is on record: the same bytes each time, whatever the clock said.
#[derive(Debug, PartialEq, Eq)]
struct FinalMirror {
    crates: BTreeMap<PathBuf, Vec<u8>>,
    index: BTreeMap<PathBuf, Vec<u8>>,
    records: BTreeSet<String>,
    counts: String,
    status: String,
}

fn layout(sandbox: &Sandbox) -> Layout {
    Layout::new(sandbox.path("mirror"))
}

/// What there is at the end; nothing else may lie about.
#[track_caller]
fn final_mirror(sandbox: &Sandbox) -> FinalMirror {
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    let layout = layout(sandbox);
    for folder in [layout.live_partial(), layout.staging()] {
        let left: Vec<_> = fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert!(!layout.journal().exists());
    let status = sandbox.run(["status", "--mirror", "mirror"]).ok().stdout;
    let is_timeless = |line: &&str| line.starts_with("Crate count") || line.starts_with("Total size");
    FinalMirror {
        crates: sandbox.read_tree("mirror/crates"),
        index: sandbox.read_tree("mirror/index"),
        records: LiveLineage::read(&layout)
            .unwrap()
            .current()
            .map(|one| format!("{} {} {}", one.item, one.sha256, one.size))
            .collect(),
        counts: format!("{:?}", LiveTotals::read(&layout).unwrap()),
        status: status.lines().filter(is_timeless).collect(),
    }
}

/// Whether a reader who looks at this instant finds all that he is promised, and nothing that is half there.
#[track_caller]
fn assert_sound(sandbox: &Sandbox, right: &FinalMirror, when: &str) {
    for (path, bytes) in sandbox.read_tree("mirror/crates") {
        assert!(right.crates.get(&path) == Some(&bytes), "{when}: crates/{} is not what it must be", path.display());
    }
    for (path, bytes) in sandbox.read_tree("mirror/index").into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
        assert!(right.index.get(&path) == Some(&bytes), "{when}: index/{} is not what it must be", path.display());
        let name = path.file_name().unwrap().to_str().unwrap();
        let file = sandbox.path(format!("mirror/crates/{name}-1.0.0.crate"));
        assert!(file.is_file(), "{when}: {name} is offered, and its file is not there");
    }
}

/// Waits until all is placed, and stops the server.
#[track_caller]
fn wait_and_stop(sandbox: Sandbox, upstream: Upstream, serving: RunningServer) -> (Sandbox, Upstream) {
    let live = LiveServer { sandbox, upstream, serving };
    live.wait_for_stored_crates(CRATES);
    let LiveServer { sandbox, upstream, serving } = live;
    serving.stop().ok();
    (sandbox, upstream)
}

fn client_for(serving: &RunningServer) -> Client {
    Client::with_index(&format!("{}/index/", serving.url()))
}

/// A run in which nothing happens.
fn run_uninterrupted(upstream: Upstream, app: &Path) -> (FinalMirror, Upstream) {
    let sandbox = Sandbox::new().upstream(&upstream);
    let serving = start_live(&sandbox);
    client_for(&serving).cargo(app, ["fetch", "--locked"]).ok();
    let (sandbox, upstream) = wait_and_stop(sandbox, upstream, serving);
    (final_mirror(&sandbox), upstream)
}

#[test]
fn a_server_killed_at_any_checkpoint_ends_in_the_same_state() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let app = publish_workload(&upstream, CRATES, &folder.path().join("app"));
    let (right, mut upstream) = run_uninterrupted(upstream, &app);
    // A batch of eight crates has 30 steps, and several batches have more. The tests of batches kill at every step.
    for step in [1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 29, 30] {
        let checkpoint = &format!("commit:{step}");
        let mut sandbox = Sandbox::new().upstream(&upstream);
        let victim = sandbox.process(["serve", "--bind", "127.0.0.1:0"]).args(LIVE_ARGS);
        let victim = RunningServer::start(victim.envs([("FROSTMIRROR_CRASH_AT", checkpoint)]));
        // It may have had everything before the server died.
        let _first = client_for(&victim).cargo(&app, ["fetch", "--locked"]);
        victim.wait(Duration::from_secs(60)).exits(SIGABRT);
        assert_sound(&sandbox, &right, checkpoint);
        let serving = start_live(&sandbox);
        let target = folder.path().join("target");
        let check = ["check", "--locked", "--target-dir", target.to_str().unwrap()];
        client_for(&serving).cargo(&app, check).ok();
        (sandbox, upstream) = wait_and_stop(sandbox, upstream, serving);
        assert_eq!(final_mirror(&sandbox), right, "{checkpoint}");
    }
}

#[test]
fn a_repeatedly_killed_server_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let app = publish_workload(&upstream, CRATES, &folder.path().join("app"));
    let (right, upstream) = run_uninterrupted(upstream, &app);
    upstream.set_latency(Duration::from_millis(15));
    upstream.fault_always("/api/*", Fault::Slow(9_000, Duration::from_millis(10)));
    let sandbox = Sandbox::new().upstream(&upstream);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..12 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let pause = Duration::from_millis(random % 700);
        let serving = start_live(&sandbox);
        let client = client_for(&serving);
        let asking = client.process(&app, ["fetch", "--locked"]).start();
        std::thread::sleep(pause);
        serving.running().signal(Signal::KILL);
        serving.wait(Duration::from_secs(60));
        asking.wait(Duration::from_secs(60));
        assert_sound(&sandbox, &right, &format!("round {round}, after {pause:?}"));
    }
    let serving = start_live(&sandbox);
    client_for(&serving).cargo(&app, ["fetch", "--locked"]).ok();
    let (sandbox, _upstream) = wait_and_stop(sandbox, upstream, serving);
    assert_eq!(final_mirror(&sandbox), right);
}
