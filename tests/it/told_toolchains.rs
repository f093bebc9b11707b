//! What `fetch`, `inspect` and the rest say of toolchains: early, in full, and in words that help.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::journey::world::World;
use crate::support::dist::{Dist, LINUX, OLD, WASM};
use crate::support::run::Run;
use crate::support::sandbox::Sandbox;

struct Desk {
    sandbox: Sandbox,
    _world: World,
    dist: Dist,
}

/// A machine with network, and a depends.toml with these `[platforms]`.
fn desk(platforms: &str) -> Desk {
    let (world, dist) = (World::new(), Dist::start());
    let sandbox = world.sandbox().env("FROSTMIRROR_DIST_URL", dist.url());
    let desk = Desk { sandbox, _world: world, dist };
    desk.depends("depends.toml", platforms);
    desk
}

impl Desk {
    fn depends(&self, file: &str, platforms: &str) {
        self.sandbox.write(file, format!("[dependencies]\nleaf = \"0.3\"\n\n[platforms]\n{platforms}"));
    }

    fn fetch(&self, words: &[&str]) -> Run {
        self.sandbox.run(["fetch"].iter().chain(words))
    }

    fn inspect(&self, bundle: &str) -> Run {
        self.sandbox.run(["inspect", bundle]).ok()
    }
}

#[test]
fn targets_without_a_machine_are_warned_of() {
    let desk = desk("targets = [\"wasm32-unknown-unknown\"]\n");
    desk.fetch(&["--dry-run"]).ok().stderr_has("no machine is among the targets");
    desk.depends("depends.toml", "targets = [\"wasm32-unknown-unknown\", \"x86_64-unknown-linux-gnu\"]\n");
    desk.fetch(&["--dry-run"]).ok().stderr_lacks("no machine");
}

#[test]
fn a_typing_mistake_is_told_by_its_place_before_any_crate_is_downloaded() {
    let desk = desk("targets = [\n  \"x86_64-unknown-linux-gnu\",\n  \"wasm32-unkown-unknown\",\n]\n");
    let refused =
        desk.fetch(&[]).exits(3).stderr_has("depends.toml:7:3: ").stderr_has("did you mean `wasm32-unknown-unknown`?");
    refused.stderr_lacks("Gathered");
    desk.depends("depends.toml", "components = [\"rust-scr\", \"unheard-of\"]\n");
    desk.fetch(&[]).exits(3).stderr_has("depends.toml:5:15: ").stderr_has("did you mean `rust-src`?");
    desk.depends("depends.toml", "components = [\"unheard-of\"]\n");
    desk.fetch(&[]).exits(3).stderr_has("there are `").stderr_has("`clippy`").stderr_lacks("-preview");
    desk.depends("depends.toml", "toolchain = \"1.2.3\"\n");
    desk.fetch(&[]).exits(3).stderr_has("depends.toml:5:13: ");
    // What a flag says is in no file.
    desk.depends("depends.toml", "");
    desk.fetch(&["--target", "wasm32-unkown-unknown"]).exits(3).stderr_lacks("depends.toml:");
    for (word, says) in [
        ("stabel", "did you mean `stable`?"),
        ("nightyl-2026-01-01", "did you mean `nightly-2026-01-01`?"),
        ("nightly-2026-13-01", "`2026-13-01` is no day of the calendar"),
    ] {
        desk.depends("depends.toml", &format!("toolchain = \"{word}\"\n"));
        desk.fetch(&[]).exits(3).stderr_has(says);
        let by_variable = desk.sandbox.process(["fetch"]).envs([("FROSTMIRROR_TOOLCHAIN", word)]).run();
        by_variable.exits(3).stderr_has(says);
    }
    desk.fetch(&["--toolchain", "stable"])
        .exits(2)
        .stderr_has("FROSTMIRROR_TOOLCHAIN=stable")
        .stderr_lacks("no-toolchain");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_told_at_once() {
    let desk = desk("");
    desk.sandbox.write("file", "");
    for output in ["/proc/x", "file/x"] {
        let refused = desk.fetch(&["-o", output]);
        assert_ne!(refused.code, 0, "{}", refused.told());
        refused.stderr_has(output).stderr_has("-o DIR").stderr_lacks("Resolved");
    }
    assert!(desk.dist.requests().is_empty());
}

#[test]
fn the_same_bytes_weigh_once() {
    let desk = desk("");
    let large = vec![7; 3 << 20];
    desk.dist.publish_rustup("9.9.9", &[LINUX], &large);
    let plan = desk.fetch(&["--dry-run", "--message-format", "json"]).ok();
    let objects: Vec<Value> = plan.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let plan = objects.iter().find(|one| one["reason"] == "plan").unwrap();
    let fetched = desk.fetch(&[]).ok();
    let size = fs::metadata(fetched.stdout.trim()).unwrap().len();
    let weighed = plan["bytes_to_pack"].as_u64().unwrap();
    assert!(plan["bytes"].as_u64().unwrap() <= weighed && weighed < size + (1 << 20), "{weighed} {size}");
    assert!(weighed + (1 << 20) > size, "{weighed} {size}");
    assert!(fetched.stderr.contains("rustup artifacts (3."), "{}", fetched.stderr);
}

#[test]
fn who_approves_reads_of_all_targets_and_whose_toolchains_they_are() {
    let both = format!("targets = [\"{LINUX}\", \"{WASM}\"]\ntoolchain = [\"stable\", \"{}\"]\n", OLD.0);
    let desk = desk(&both);
    let first = desk.fetch(&[]).ok().stderr_lacks("Including").stdout;
    desk.depends(
        "second.toml",
        &format!("targets = [\"{LINUX}\"]\ntoolchain = \"{}\"\nprofile = \"minimal\"\n", OLD.0),
    );
    let second =
        desk.fetch(&["-c", "second.toml"]).ok().stderr_has(" of them that only other inputs of the history need: `");
    let targets = format!("\nTargets     {WASM}, {LINUX}\n");
    desk.inspect(first.trim()).stdout_has(&targets);
    desk.inspect(second.stdout.trim()).stdout_has(&targets);
    let import = desk.sandbox.run(["import", "--mirror", "mirror", second.stdout.trim()]).ok();
    import.stderr_has("rustup artifacts of ").stderr_has("Verified 1 crate and ");
    let snapshot =
        desk.sandbox.run(["export", "snapshot", "--mirror", "mirror"]).ok().stderr_has("Exported 1 crate and ");
    desk.inspect(snapshot.stdout.trim()).stdout_has(&targets);
}

#[test]
fn a_list_of_a_digest_alone_goes_the_whole_way_round() {
    let desk = desk("");
    let bundle = PathBuf::from(desk.fetch(&[]).ok().stdout.trim());
    desk.sandbox.run(["import".as_ref(), "--mirror".as_ref(), "mirror".as_ref(), bundle.as_os_str()]).ok();
    let digest = desk.sandbox.path("mirror/dist/channel-rust-stable.toml.sha256");
    let good = fs::read(&digest).unwrap();
    fs::write(&digest, [&good[..], b"x\n"].concat()).unwrap();
    desk.sandbox.run(["verify", "--mirror", "mirror", "--repair-list", "list"]).exits(4);
    let mending = desk.fetch(&["--from-list", "list"]).ok().stdout;
    desk.inspect(mending.trim())
        .stdout_has("Kind        repair: what a mirror has lost, and nothing else\n")
        .stdout_has("\nToolchains  stable\n");
    let import = desk.sandbox.run(["import", "--mirror", "mirror", mending.trim()]).ok();
    import.stderr_lacks("warning").stderr_has("Imported 1 rustup artifact (");
    desk.sandbox.run(["verify", "--mirror", "mirror"]).ok();
    assert_eq!(fs::read(&digest).unwrap(), good);
}
