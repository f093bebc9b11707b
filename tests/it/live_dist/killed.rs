//! The server dies while it places a toolchain: no manifest names what is not there, and the next one has all of it.

use std::collections::{BTreeMap, BTreeSet};

use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::live::{ARTIFACT_CHECKPOINTS, CHECKPOINTS, records};

use super::*;

/// SIGABRT, as a shell tells it.
const ABORTED: i32 = 134;

#[derive(Debug, PartialEq, Eq)]
struct Whole {
    dist: BTreeMap<PathBuf, Vec<u8>>,
    rustup: BTreeMap<PathBuf, Vec<u8>>,
    records: BTreeSet<String>,
    counts: String,
}

#[track_caller]
fn whole(sandbox: &Sandbox) -> Whole {
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    let layout = Layout::new(sandbox.path("mirror"));
    for folder in [layout.live_partial(), layout.staging()] {
        let left: Vec<_> = fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert!(!layout.live_placing().exists());
    Whole {
        dist: sandbox.snapshot("mirror/dist"),
        rustup: sandbox.snapshot("mirror/rustup"),
        records: records(&layout)
            .unwrap()
            .iter()
            .map(|one| format!("{} {} {}", one.what, one.sha256, one.size))
            .collect(),
        counts: fs::read_to_string(layout.live_counts()).unwrap(),
    }
}

fn paths() -> Vec<String> {
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
fn fetched(shelf: Shelf) -> Shelf {
    for path in paths() {
        shelf.is_as_upstream(&path);
    }
    for path in paths() {
        shelf.await_placed(&path);
    }
    shelf
}

#[test]
fn a_server_that_dies_while_it_places_a_toolchain_is_as_if_it_had_not() {
    let Shelf { sandbox, mut dist, serving } = fetched(Shelf::before(Dist::start(), ""));
    serving.stop().ok();
    let right = whole(&sandbox);
    let common = CHECKPOINTS.iter().filter(|name| ["live:logged", "live:records", "live:done"].contains(name));
    for checkpoint in ARTIFACT_CHECKPOINTS.iter().chain(common) {
        let sandbox = Sandbox::new().upstream(&dist).env("FROSTMIRROR_DIST_URL", dist.url());
        sandbox.write("config/frostmirror.toml", "");
        let words = ["serve", "--bind", "127.0.0.1:0", "--mirror", "mirror", "--config-dir", "config", "--live"];
        let victim = Serving::of(sandbox.process(words).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]));
        for path in paths() {
            let url = format!("{}{path}", victim.url());
            // It may be dead by then.
            let _answered = std::panic::catch_unwind(|| get(&url)).is_ok();
        }
        victim.end(Duration::from_secs(60)).exits(ABORTED);
        let serving = start(&sandbox);
        let shelf = Shelf { sandbox, dist, serving };
        // What the killed one left is sound for whoever comes first.
        let digest = shelf.get(DIGEST);
        assert!(digest.status != 200 || fits(&digest, &shelf.get(MANIFEST)), "{checkpoint}");
        let shelf = fetched(shelf);
        shelf.serving.stop().ok();
        assert_eq!(whole(&shelf.sandbox), right, "{checkpoint}");
        dist = shelf.dist;
    }
}
