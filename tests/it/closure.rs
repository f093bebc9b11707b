//! `verify --closure`: can this lock be built from what is here?

mod against_cargo;
mod unused_patches;

use std::fs;

use frostmirror::bundle::format::CrateState;
use frostmirror::inputs::lockfile::CRATES_IO_SOURCE;

use crate::bundle_builder::{BundleBuilder, import};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

fn json() -> Crate {
    Crate::new("json", "1.0.0")
}

fn newer_json() -> Crate {
    Crate::new("json", "1.1.0")
}

fn left_out() -> Crate {
    Crate::new("winapi", "0.3.9")
}

fn package(name: &str, version: &str, source: &str, cksum: &str) -> String {
    format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\n{cksum}\n")
}

/// A lock of these crates and the project itself.
fn lockfile(crates: &[Crate]) -> String {
    let mut text = "version = 4\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n\n".to_owned();
    for one in crates {
        let one = one.clone().pack();
        text += &package(&one.name, &one.version, CRATES_IO_SOURCE, &format!("checksum = \"{}\"", one.cksum));
    }
    text
}

/// A machine with a full bundle of json 1.0.0, and a delta that brings json 1.1.0 and winapi's line.
fn base_and_delta() -> Sandbox {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    BundleBuilder::new("a", 1).ship(json()).write(&folder, "full.pkg");
    BundleBuilder::new("a", 2)
        .ship(newer_json())
        .with_crate(json(), CrateState::Sent)
        .with_crate(left_out(), CrateState::IndexOnly)
        .parent("full.pkg")
        .write(&folder, "delta.pkg");
    sandbox.write("old.lock", lockfile(&[json()]));
    sandbox.write("both.lock", lockfile(&[json(), newer_json()]));
    sandbox.write("windows.lock", lockfile(&[newer_json(), left_out()]));
    sandbox
}

#[test]
fn a_full_bundle_covers_its_shipped_crates() {
    let sandbox = base_and_delta();
    let run = sandbox.run(["verify", "full.pkg", "--closure", "old.lock"]).ok();
    assert_eq!(run.stdout, "full.pkg: OK -- 1 crate, 0 rustup artifacts\nOK -- closure of 1 package\n");
    let run = sandbox.run(["verify", "full.pkg", "--closure", "both.lock"]).exits(4);
    let verdict = "json 1.1.0: is missing\nFAILED -- closure with 1 problem\n";
    assert_eq!(run.stdout, format!("full.pkg: OK -- 1 crate, 0 rustup artifacts\n{verdict}"));
    run.stderr_has("`both.lock` cannot be built from what is here (1 problem)");
    let run = sandbox.run(["verify", "full.pkg", "--closure", "both.lock", "--message-format", "json"]).exits(4);
    let output = run.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let closure = output.into_iter().find(|line| line["reason"] == "closure").unwrap();
    assert_eq!((&closure["success"], &closure["packages"]), (&false.into(), &2.into()));
    assert_eq!(closure["problems"], serde_json::json!(["json 1.1.0: is missing"]));
}

#[test]
fn a_different_checksum_is_distinguished_from_a_missing_package() {
    let sandbox = base_and_delta();
    let good = json().pack().cksum;
    let other = "0".repeat(64);
    sandbox.write("other.lock", lockfile(&[json()]).replace(&good, &other));
    let run = sandbox.run(["verify", "full.pkg", "--closure", "other.lock"]).exits(4);
    run.stdout_has(&format!("json 1.0.0: the lock has the checksum {other}, but full.pkg has {good}\n"));
    import(&sandbox.path("mirror"), &sandbox.path("full.pkg")).unwrap();
    let run = sandbox.run(["verify", "--mirror", "mirror", "--closure", "other.lock"]).exits(4);
    let run =
        run.stdout_has(&format!("the lock has the checksum {other}, but the mirror's index/js/on/json has {good}\n"));
    // A fetch of this lock fails, so the hint must not promise a bundle.
    run.stderr_has("hint: run `cargo frostmirror fetch --lockfile other.lock` on the connected side: if it fails, the lock was altered");
}

#[test]
fn a_delta_needs_its_base_bundle_or_a_mirror() {
    let sandbox = base_and_delta();
    let run = sandbox.run(["verify", "delta.pkg", "--closure", "both.lock"]).exits(4);
    let run = run
        .stdout_has("json 1.0.0: is missing\n")
        .stdout_has("delta.pkg: builds on full.pkg, but 1 crate that it needs is missing, first json 1.0.0\n");
    run.stderr_has("add the base bundles, or use `--mirror DIR`");
    let run = sandbox.run(["verify", "--closure", "both.lock"]).exits(2);
    run.stderr_has("error: could not check whether `both.lock` can be built\n")
        .stderr_has("  neither a bundle nor a mirror was given\n")
        .stderr_has("`cargo frostmirror verify --mirror DIR --closure both.lock` checks a mirror")
        .stderr_has("`cargo frostmirror verify FILE --closure both.lock` checks a bundle");
    // The default mirror is named, so that the command works as typed.
    let other = Sandbox::new();
    let default = other.frostmirror_home().join("mirror");
    fs::create_dir_all(other.frostmirror_home()).unwrap();
    import(&default, &sandbox.path("full.pkg")).unwrap();
    fs::copy(sandbox.path("both.lock"), other.path("both.lock")).unwrap();
    let run = other.run(["verify", "--closure", "both.lock"]).exits(2);
    let hint = run.stderr.lines().find_map(|line| line.strip_prefix("hint: `cargo frostmirror ")).expect("a command");
    let command: Vec<&str> = hint.split('`').next().expect("a command").split(' ').collect();
    other.run(command).exits(4).stdout_has("json 1.1.0: is missing\n");
    for order in [["full.pkg", "delta.pkg"], ["delta.pkg", "full.pkg"]] {
        let run = sandbox.run(["verify", order[0], order[1], "--closure", "both.lock"]).ok();
        run.stdout_has("OK -- closure of 2 packages\n");
    }
    import(&sandbox.path("mirror"), &sandbox.path("full.pkg")).unwrap();
    let args = ["verify", "delta.pkg", "--mirror", "mirror", "--closure", "both.lock"];
    sandbox.run(args).ok().stdout_has("OK -- closure of 2 packages\n");
    sandbox
        .run(["verify", "--mirror", "mirror", "--closure", "both.lock"])
        .exits(4)
        .stdout_has("json 1.1.0: is missing\n");
    // The mirror's file counts by its bytes.
    fs::write(sandbox.path("mirror/crates/json-1.0.0.crate"), "rot").unwrap();
    let run = sandbox.run(args).exits(4);
    run.stdout_has("json 1.0.0: its file in the mirror is damaged\n").stdout_has("delta.pkg: builds on full.pkg");
}

#[test]
fn a_mirror_covers_crates_with_an_index_line_and_a_file() {
    let sandbox = base_and_delta();
    let mirror = sandbox.path("mirror");
    import(&mirror, &sandbox.path("full.pkg")).unwrap();
    import(&mirror, &sandbox.path("delta.pkg")).unwrap();
    let ask = |lock: &str| sandbox.run(["verify", "--mirror", "mirror", "--closure", lock]);
    assert_eq!(ask("both.lock").ok().stdout, "OK -- closure of 2 packages\n");
    ask("windows.lock").ok().stderr_has(
        "1 package is in the index only, left out by a platform filter or never downloaded in live mode: winapi 0.3.9",
    );
    fs::remove_file(mirror.join("crates/json-1.1.0.crate")).unwrap();
    ask("both.lock").exits(4).stdout_has("json 1.1.0: the mirror's index lists it, but its file is missing\n");
    fs::remove_file(mirror.join("index/js/on/json")).unwrap();
    ask("old.lock")
        .exits(4)
        .stdout_has("json 1.0.0: the mirror has its file, but the mirror's index does not list it\n");
    ask("absent.lock").exits(3).stderr_has("check the path");
    sandbox.write("Cargo.toml", "[package]\nname = \"a\"\nversion = \"1.0.0\"\n");
    ask("Cargo.toml").exits(3).stderr_has("is a manifest, not a Cargo.lock");
    sandbox.run(["verify", "--mirror", "absent", "--closure", "old.lock"]).exits(3);
    // What cannot be looked into is not absent; a user who may look everywhere meets it as links in a circle.
    std::os::unix::fs::symlink("circle", sandbox.path("circle")).unwrap();
    for args in [&["verify", "--mirror", "circle"][..], &["verify", "--mirror", "circle", "--closure", "old.lock"]] {
        sandbox.run(args).exits(7).stderr_has("could not read `").stderr_lacks("no mirror is at");
    }
}

#[test]
fn packages_from_other_sources_cannot_be_covered() {
    let sandbox = base_and_delta();
    let text = lockfile(&[json()])
        + &package("tool", "0.2.0", "git+https://user:secret@example.org/tool?branch=main#0123", "")
        + &package(
            "inner",
            "1.0.0",
            "sparse+https://corp.example/index/",
            &format!("checksum = \"{}\"", "0".repeat(64)),
        );
    sandbox.write("foreign.lock", text);
    let run = sandbox.run(["verify", "full.pkg", "--closure", "foreign.lock"]).exits(4);
    assert_eq!(
        run.stdout.lines().skip(1).collect::<Vec<_>>(),
        [
            "inner 1.0.0: a bundle cannot contain it, because it is from registry: https://corp.example/index/",
            "tool 0.2.0: a bundle cannot contain it, because it is from git: https://example.org/tool?branch=main",
            "FAILED -- closure with 2 problems",
        ]
    );
    let run = run.stderr_has("hint: `cargo vendor` in the workspace on the connected side copies the packages of git");
    run.stderr_lacks("fetch --lockfile");
    // The fetch of the rest needs the options that exclude these packages.
    sandbox.write("my lock", sandbox.read("foreign.lock") + &lockfile(&[newer_json()]).replace("version = 4\n", ""));
    let run = sandbox.run(["verify", "full.pkg", "--closure", "my lock"]).exits(4);
    run.stderr_has(
        "hint: run `cargo frostmirror fetch --lockfile 'my lock' --skip-git --skip-registry https://corp.example/index/` on",
    );
}

#[test]
fn a_damaged_bundle_covers_nothing() {
    let sandbox = base_and_delta();
    let mut bytes = fs::read(sandbox.path("full.pkg")).unwrap();
    let middle = bytes.len() - 10;
    bytes[middle] ^= 1;
    fs::write(sandbox.path("full.pkg"), bytes).unwrap();
    let run = sandbox.run(["verify", "full.pkg", "--closure", "old.lock"]).exits(4);
    assert!(!run.stdout.contains("closure"), "{}", run.describe());
}
