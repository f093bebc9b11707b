//! What `fetch`, `inspect` and the rest say of toolchains: early, in full, and in words that help.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::end_to_end::fixture_registry::FixtureRegistry;
use crate::support::dist::{DistServer, LINUX, OLD_STABLE, WASM};
use crate::support::process::Run;
use crate::support::sandbox::Sandbox;

struct ConnectedMachine {
    sandbox: Sandbox,
    _registry: FixtureRegistry,
    dist: DistServer,
}

/// A machine with network, and a depends.toml with these `[platforms]`.
fn connected_machine(platforms: &str) -> ConnectedMachine {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = world.sandbox().env("FROSTMIRROR_DIST_URL", dist.url());
    let desk = ConnectedMachine { sandbox, _registry: world, dist };
    desk.write_depends("depends.toml", platforms);
    desk
}

impl ConnectedMachine {
    fn write_depends(&self, file: &str, platforms: &str) {
        self.sandbox.write(file, format!("[dependencies]\nleaf = \"0.3\"\n\n[platforms]\n{platforms}"));
    }

    fn fetch(&self, args: &[&str]) -> Run {
        self.sandbox.run(["fetch"].iter().chain(args))
    }

    fn inspect(&self, bundle: &str) -> Run {
        self.sandbox.run(["inspect", bundle]).ok()
    }
}

#[test]
fn targets_without_a_host_are_warned_about() {
    let desk = connected_machine("targets = [\"wasm32-unknown-unknown\"]\n");
    desk.fetch(&["--dry-run"]).ok().stderr_has("no host is among the targets");
    desk.write_depends("depends.toml", "targets = [\"wasm32-unknown-unknown\", \"x86_64-unknown-linux-gnu\"]\n");
    desk.fetch(&["--dry-run"]).ok().stderr_lacks("no host is among");
}

#[test]
fn a_variable_of_rustup_without_effect_is_named() {
    let desk = connected_machine("targets = [\"x86_64-unknown-linux-gnu\"]\n");
    let note =
        "RUSTUP_DIST_SERVER has no effect here: set FROSTMIRROR_DIST_URL to fetch toolchains from another server";
    let fetch = |variables: &[(&str, &str)]| {
        let variables = variables.iter().copied().chain([("RUSTUP_DIST_SERVER", desk.dist.url())]);
        desk.sandbox.process(["fetch", "--dry-run"]).envs(variables).run()
    };
    fetch(&[]).ok().stderr_lacks("RUSTUP_DIST_SERVER");
    let run = fetch(&[("FROSTMIRROR_DIST_URL", "")]);
    assert_eq!(run.stderr.matches(note).count(), 1, "{}", run.stderr);
    // Nothing is fetched from that server for crates alone.
    let run = desk.sandbox.process(["fetch", "--dry-run", "--no-toolchain"]).envs([("FROSTMIRROR_DIST_URL", "")]);
    run.envs([("RUSTUP_DIST_SERVER", desk.dist.url())]).run().ok().stderr_lacks("RUSTUP_DIST_SERVER");
}

#[test]
fn a_typo_in_platforms_is_reported_with_its_position_before_any_download() {
    let desk = connected_machine("targets = [\n  \"x86_64-unknown-linux-gnu\",\n  \"wasm32-unkown-unknown\",\n]\n");
    let refused = desk
        .fetch(&[])
        .exits(3)
        .stderr_has("--> depends.toml:7:3\n")
        .stderr_has("did you mean `wasm32-unknown-unknown`?");
    refused.stderr_lacks("Gathered");
    desk.write_depends("depends.toml", "components = [\"rust-scr\", \"unheard-of\"]\n");
    desk.fetch(&[]).exits(3).stderr_has("--> depends.toml:5:15\n").stderr_has("did you mean `rust-src`?");
    desk.write_depends("depends.toml", "components = [\"unheard-of\"]\n");
    desk.fetch(&[]).exits(3).stderr_has("choose one of `").stderr_has("`clippy`").stderr_lacks("-preview");
    desk.write_depends("depends.toml", "toolchain = \"1.2.3\"\n");
    desk.fetch(&[]).exits(3).stderr_has("--> depends.toml:5:13\n");
    // What a flag says is in no file.
    desk.write_depends("depends.toml", "");
    desk.fetch(&["--target", "wasm32-unkown-unknown"]).exits(3).stderr_lacks("depends.toml:");
    for (word, says) in [
        ("stabel", "did you mean `stable`?"),
        ("nightyl-2026-01-01", "did you mean `nightly-2026-01-01`?"),
        ("nightly-2026-13-01", "`2026-13-01` is not a valid date"),
    ] {
        desk.write_depends("depends.toml", &format!("toolchain = \"{word}\"\n"));
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
fn a_narrower_request_names_what_it_no_longer_includes() {
    let desk = connected_machine(&format!("targets = [\"{LINUX}\", \"{WASM}\"]\n"));
    desk.fetch(&[]).ok().stderr_lacks("no longer requests");
    desk.write_depends("depends.toml", &format!("targets = [\"{LINUX}\"]\n"));
    desk.fetch(&[]).ok().stderr_has(&format!("no longer requests target `{WASM}`, which its last bundle had"));
    desk.fetch(&[]).ok().stderr_lacks("no longer requests");
}

#[test]
fn bundles_of_one_history_have_different_names_in_all_folders() {
    let desk = connected_machine("");
    desk.sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\n");
    let name = |folder: &str| {
        let run = desk.sandbox.process(["fetch", "-o", folder]).envs([("SOURCE_DATE_EPOCH", "1775000000")]).run().ok();
        PathBuf::from(run.stdout.trim()).file_name().unwrap().to_owned()
    };
    assert_ne!(name("one"), name("two"));
}

#[test]
fn an_unwritable_output_folder_is_reported_at_once() {
    let desk = connected_machine("");
    desk.sandbox.write("file", "");
    for output in ["/proc/x", "file/x"] {
        let refused = desk.fetch(&["-o", output]);
        assert_ne!(refused.code, 0, "{}", refused.describe());
        refused.stderr_has(output).stderr_has("-o DIR").stderr_lacks("Resolved");
    }
    assert!(desk.dist.requests().is_empty());
}

#[test]
fn identical_dist_files_are_counted_once_in_the_size_estimate() {
    let desk = connected_machine("");
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
fn inspect_shows_all_targets_and_the_inputs_of_toolchains() {
    let both = format!("targets = [\"{LINUX}\", \"{WASM}\"]\ntoolchain = [\"stable\", \"{}\"]\n", OLD_STABLE.0);
    let desk = connected_machine(&both);
    let first = desk.fetch(&[]).ok().stderr_lacks("Including").stdout;
    desk.write_depends(
        "second.toml",
        &format!("targets = [\"{LINUX}\"]\ntoolchain = \"{}\"\nprofile = \"minimal\"\n", OLD_STABLE.0),
    );
    let second = desk.fetch(&["-c", "second.toml"]).ok().stderr_has(" for other inputs of the history only: `");
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
fn a_repair_list_with_only_a_digest_file_is_fetched_and_imported() {
    let desk = connected_machine("");
    let bundle = PathBuf::from(desk.fetch(&[]).ok().stdout.trim());
    desk.sandbox.run(["import".as_ref(), "--mirror".as_ref(), "mirror".as_ref(), bundle.as_os_str()]).ok();
    let digest = desk.sandbox.path("mirror/dist/channel-rust-stable.toml.sha256");
    let good = fs::read(&digest).unwrap();
    fs::write(&digest, [&good[..], b"x\n"].concat()).unwrap();
    desk.sandbox.run(["verify", "--mirror", "mirror", "--repair-list", "list"]).exits(4);
    let mending = desk.fetch(&["--from-list", "list"]).ok().stdout;
    desk.inspect(mending.trim())
        .stdout_has("Kind        repair: only files that a mirror has lost\n")
        .stdout_has("\nToolchains  stable\n");
    let import = desk.sandbox.run(["import", "--mirror", "mirror", mending.trim()]).ok();
    import.stderr_lacks("warning").stderr_has("Imported 1 rustup artifact (");
    desk.sandbox.run(["verify", "--mirror", "mirror"]).ok();
    assert_eq!(fs::read(&digest).unwrap(), good);
}
