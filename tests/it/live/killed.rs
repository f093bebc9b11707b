//! The server dies in the middle: what is served has no debris, the clients' next try succeeds, and in the end everything is
//! as if nothing had happened.

use std::collections::{BTreeMap, BTreeSet};

use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::live::{CHECKPOINTS, records};
use rustix::process::Signal;

use super::*;
use crate::support::upstream::Fault;

/// SIGABRT, as a shell tells it.
const ABORTED: i32 = 134;
const CRATES: usize = 8;

/// What the mirror offers, and what is on record: the same bytes each time, whatever the clock said.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
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
fn whole(sandbox: &Sandbox) -> Whole {
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    let layout = layout(sandbox);
    for folder in [layout.live_partial(), layout.staging()] {
        let left: Vec<_> = fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert!(!layout.live_placing().exists());
    let status = sandbox.run(["status", "--mirror", "mirror"]).ok().stdout;
    let is_timeless = |line: &&str| line.starts_with("Crate count") || line.starts_with("Total size");
    Whole {
        crates: sandbox.snapshot("mirror/crates"),
        index: sandbox.snapshot("mirror/index"),
        records: records(&layout)
            .unwrap()
            .iter()
            .map(|one| format!("{} {} {}", one.what, one.sha256, one.size))
            .collect(),
        counts: fs::read_to_string(layout.live_counts()).unwrap(),
        status: status.lines().filter(is_timeless).collect(),
    }
}

/// Whether a reader who looks at this instant finds all that he is promised, and nothing that is half there.
#[track_caller]
fn assert_sound(sandbox: &Sandbox, right: &Whole, when: &str) {
    for (path, bytes) in sandbox.snapshot("mirror/crates") {
        assert!(right.crates.get(&path) == Some(&bytes), "{when}: crates/{} is not what it must be", path.display());
    }
    for (path, bytes) in sandbox.snapshot("mirror/index").into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
        assert!(right.index.get(&path) == Some(&bytes), "{when}: index/{} is not what it must be", path.display());
        let name = path.file_name().unwrap().to_str().unwrap();
        let file = sandbox.path(format!("mirror/crates/{name}-1.0.0.crate"));
        assert!(file.is_file(), "{when}: {name} is offered, and its file is not there");
    }
}

/// Waits until all is placed, and stops the server.
#[track_caller]
fn settled(sandbox: Sandbox, upstream: Upstream, serving: Serving) -> (Sandbox, Upstream) {
    let live = Live { sandbox, upstream, serving };
    live.await_placed(CRATES);
    let Live { sandbox, upstream, serving } = live;
    serving.stop().ok();
    (sandbox, upstream)
}

fn client_of(serving: &Serving) -> Client {
    Client::of(&format!("{}/index/", serving.url()))
}

/// A run in which nothing happens.
fn uninterrupted(upstream: Upstream, app: &Path) -> (Whole, Upstream) {
    let sandbox = Sandbox::new().upstream(&upstream);
    let serving = start(&sandbox);
    client_of(&serving).cargo(app, ["fetch", "--locked"]).ok();
    let (sandbox, upstream) = settled(sandbox, upstream, serving);
    (whole(&sandbox), upstream)
}

#[test]
fn a_server_that_dies_at_any_checkpoint_is_as_if_it_had_not() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let app = workload(&upstream, CRATES, &folder.path().join("app"));
    let (right, mut upstream) = uninterrupted(upstream, &app);
    for checkpoint in CHECKPOINTS {
        let mut sandbox = Sandbox::new().upstream(&upstream);
        let victim = sandbox.process(["serve", "--bind", "127.0.0.1:0"]).args(LIVE);
        let victim = Serving::of(victim.envs([("FROSTMIRROR_CRASH_AT", checkpoint)]));
        // It may have had everything before the server died.
        let _first = client_of(&victim).cargo(&app, ["fetch", "--locked"]);
        victim.end(Duration::from_secs(60)).exits(ABORTED);
        assert_sound(&sandbox, &right, checkpoint);
        let serving = start(&sandbox);
        let target = folder.path().join("target");
        let check = ["check", "--locked", "--target-dir", target.to_str().unwrap()];
        client_of(&serving).cargo(&app, check).ok();
        (sandbox, upstream) = settled(sandbox, upstream, serving);
        assert_eq!(whole(&sandbox), right, "{checkpoint}");
    }
}

#[test]
fn a_server_that_is_killed_again_and_again_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let app = workload(&upstream, CRATES, &folder.path().join("app"));
    let (right, upstream) = uninterrupted(upstream, &app);
    upstream.set_latency(Duration::from_millis(15));
    upstream.always("/api/*", Fault::Slow(9_000, Duration::from_millis(10)));
    let sandbox = Sandbox::new().upstream(&upstream);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..12 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let pause = Duration::from_millis(random % 700);
        let serving = start(&sandbox);
        let client = client_of(&serving);
        let asking = client.process(&app, ["fetch", "--locked"]).start();
        std::thread::sleep(pause);
        serving.running().signal(Signal::KILL);
        serving.end(Duration::from_secs(60));
        asking.wait(Duration::from_secs(60));
        assert_sound(&sandbox, &right, &format!("round {round}, after {pause:?}"));
    }
    let serving = start(&sandbox);
    client_of(&serving).cargo(&app, ["fetch", "--locked"]).ok();
    let (sandbox, _upstream) = settled(sandbox, upstream, serving);
    assert_eq!(whole(&sandbox), right);
}
