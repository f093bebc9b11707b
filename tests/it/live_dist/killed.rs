//! The server dies while it places a toolchain: no manifest names what is not there, and the next one has all of it.

use std::collections::{BTreeMap, BTreeSet};

use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::live::{LiveLineage, LiveTotals};

use super::*;
use crate::support::process::SIGABRT;

#[derive(Debug, PartialEq, Eq)]
struct FinalMirror {
    dist: BTreeMap<PathBuf, Vec<u8>>,
    rustup: BTreeMap<PathBuf, Vec<u8>>,
    records: BTreeSet<String>,
    counts: String,
}

#[track_caller]
fn final_mirror(sandbox: &Sandbox) -> FinalMirror {
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    let layout = Layout::new(sandbox.path("mirror"));
    for folder in [layout.live_partial(), layout.staging()] {
        let left: Vec<_> = fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert!(!layout.journal().exists());
    FinalMirror {
        dist: sandbox.read_tree("mirror/dist"),
        rustup: sandbox.read_tree("mirror/rustup"),
        records: LiveLineage::read(&layout)
            .unwrap()
            .current()
            .map(|one| format!("{} {} {}", one.item, one.sha256, one.size))
            .collect(),
        counts: format!("{:?}", LiveTotals::read(&layout).unwrap()),
    }
}

fn toolchain_paths() -> Vec<String> {
    let stable = Release::stable(STABLE.0, STABLE.1);
    let mut paths = vec![
        DIGEST.to_owned(),
        MANIFEST.to_owned(),
        stable.archive_path("rustc", LINUX, "xz"),
        stable.archive_path("cargo", LINUX, "xz"),
        "/rustup/release-stable.toml".to_owned(),
    ];
    let archived = format!("/rustup/archive/{RUSTUP}/{LINUX}/rustup-init");
    paths.extend([archived.clone(), format!("{archived}.sha256")]);
    paths
}

/// Has all of it fetched, and stops the server.
#[track_caller]
fn fetch_all_and_stop(live: LiveDistServer) -> LiveDistServer {
    for path in toolchain_paths() {
        live.assert_same_as_upstream(&path);
    }
    for path in toolchain_paths() {
        live.wait_for_stored_file(&path);
    }
    live
}

#[test]
fn a_server_killed_while_storing_a_toolchain_ends_in_the_same_state() {
    let LiveDistServer { sandbox, mut dist, serving } =
        fetch_all_and_stop(LiveDistServer::in_front_of(DistServer::start(), ""));
    serving.stop().ok();
    let right = final_mirror(&sandbox);
    // A batch of seven files has 16 steps, and several batches have more.
    for step in [1, 2, 3, 5, 8, 11, 14, 16] {
        let checkpoint = format!("commit:{step}");
        let sandbox = Sandbox::new().upstream(&dist).env("FROSTMIRROR_DIST_URL", dist.url());
        sandbox.write("config/frostmirror.toml", "");
        let args = ["serve", "--bind", "127.0.0.1:0", "--mirror", "mirror", "--config-dir", "config", "--live"];
        let victim = RunningServer::start(sandbox.process(args).envs([("FROSTMIRROR_CRASH_AT", &checkpoint)]));
        for path in toolchain_paths() {
            let url = format!("{}{path}", victim.url());
            // It may be dead by then.
            let _answered = std::panic::catch_unwind(|| get(&url)).is_ok();
        }
        victim.wait(Duration::from_secs(60)).exits(SIGABRT);
        let serving = start_live(&sandbox);
        let live = LiveDistServer { sandbox, dist, serving };
        // The next client finds a consistent state after the kill.
        let digest = live.get(DIGEST);
        assert!(digest.status != 200 || digest_matches(&digest, &live.get(MANIFEST)), "{checkpoint}");
        let live = fetch_all_and_stop(live);
        live.serving.stop().ok();
        assert_eq!(final_mirror(&live.sandbox), right, "{checkpoint}");
        dist = live.dist;
    }
}
