//! What status, inspect, diff, list, verify and the bill of materials say of toolchains.

use frostmirror::bundle::format::DistFileState::{Kept, Sent, Shipped};
use serde_json::Value;

use crate::bundle_builder::{BundleBuilder, import};
use crate::import_dist_files::{HOST, component_content, full_bundle};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

const WASM: &str = "dist/2026-04-16/rust-std-1.95.0-wasm32-unknown-unknown.tar.xz";

/// A full bundle, and a delta that ships one component more, relies on one, keeps one, and lets the rest go.
fn full_bundle_and_delta() -> Sandbox {
    let sandbox = Sandbox::new();
    full_bundle("a", 1, "2026-04-16", "1.95.0", "1.29.0").write(&sandbox.path(""), "one.pkg");
    let path = format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz");
    let delta = BundleBuilder::new("a", 2).read_at(60).parent("one.pkg").ship(Crate::new("b", "1.0.0"));
    let delta = delta.dist_file(&path, component_content("2026-04-16", "1.95.0"), Sent).dist_file(
        WASM,
        "w".repeat(2048),
        Shipped,
    );
    let delta = delta.dist_file("rustup/release-stable.toml", "version = \"1.30.0\"\n", Shipped);
    delta.dist_file("dist/2026-04-16/other.tar.xz", "o", Kept).write(&sandbox.path(""), "two.pkg");
    sandbox
}

fn parse_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn status_shows_toolchains_from_the_summary_alone() {
    let sandbox = full_bundle_and_delta();
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    std::fs::remove_file(sandbox.path("mirror/.frostmirror/artifacts.json")).unwrap();
    std::fs::remove_dir_all(sandbox.path("mirror/dist")).unwrap();
    let object = sandbox.run(["status", "--mirror", "mirror", "--message-format", "json"]).ok().stdout;
    let object = parse_json(object.lines().next().unwrap());
    let (crates, artifacts) =
        (object["crate_bytes"].as_u64().unwrap(), object["rustup_artifact_bytes"].as_u64().unwrap());
    assert_eq!(object["bytes"], crates + artifacts);
    assert_eq!(object["toolchains"], serde_json::json!(["stable (1.95.0)"]));
    assert_eq!(object["rustup_artifacts"], 10);
    let bytes = crates + artifacts;
    sandbox
        .run(["status", "--mirror", "mirror"])
        .ok()
        .stdout_has(&format!("Crate count: 1\nTotal size: {bytes} bytes\nLast import: "))
        .stdout_has("\nToolchains: stable (1.95.0)\nRustup artifacts: 10 (2.04 KiB)\n");
    let listed = sandbox.run(["list", "--mirror", "mirror"]).ok();
    listed.stdout_has(&format!("Crate count: 1\nTotal size: {bytes} bytes\na 1.0.0\n"));
}

#[test]
fn verify_counts_dist_files_by_path() {
    let sandbox = full_bundle_and_delta();
    // rustup-init stands at two paths, and its bytes travel once.
    sandbox.run(["verify", "one.pkg"]).ok().stdout_has("OK -- 1 crate, 10 rustup artifacts\n");
    sandbox.run(["verify", "two.pkg"]).ok().stdout_has("OK -- 1 crate, 2 rustup artifacts\n");
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok().stdout_has("OK -- 1 crate, 10 rustup artifacts\n");
    assert!(import(&sandbox.path("mirror"), &sandbox.path("one.pkg")).unwrap().already_imported);
}

#[test]
fn inspect_groups_dist_files_by_state() {
    let sandbox = full_bundle_and_delta();
    sandbox
        .run(["inspect", "two.pkg"])
        .ok()
        .stdout_has("4 artifacts (2 shipped, 2.02 KiB; 1 sent before, 26 B; 1 kept, 1 B)\n")
        .stdout_has("1 version, 4 rustup artifacts for Cargo.lock\n")
        .stdout_has("\nRustup artifacts, shipped (2):\n")
        .stdout_has(WASM)
        .stdout_has("\nRustup artifacts, sent by earlier bundles, and needed (1):\n")
        .stdout_has("\nRustup artifacts, kept for other inputs of the history (1):\n");
    sandbox.run(["list", "two.pkg"]).ok().stdout_has(&format!(
        "Total size: {} bytes\n",
        Crate::new("b", "1.0.0").pack().bytes.len() + 2048 + "version = \"1.30.0\"\n".len()
    ));
    let document = parse_json(&sandbox.run(["inspect", "two.pkg", "--format", "cyclonedx"]).ok().stdout);
    let files: Vec<&Value> =
        document["components"].as_array().unwrap().iter().filter(|one| one["type"] == "file").collect();
    assert_eq!(files.len(), 4);
    let wasm = files.iter().find(|one| one["name"] == WASM).unwrap();
    assert_eq!(wasm["properties"][0]["value"], "shipped");
    assert_eq!(wasm["properties"][1]["value"], "2048");
}

#[test]
fn diff_shows_added_removed_and_moved_toolchains() {
    let sandbox = full_bundle_and_delta();
    let run = sandbox.run(["diff", "one.pkg", "two.pkg"]).ok();
    run.stdout_has("1 version (")
        .stdout_has("10 rustup artifacts (")
        .stdout_has("\nRustup artifacts, added (2):\n  dist/2026-04-16/other.tar.xz ")
        .stdout_has("\nRustup artifacts, changed (1):\n  rustup/release-stable.toml  19 B\n")
        .stdout_has("\nRustup artifacts, removed (8):\n")
        .stdout_has("\nRustup: 2 artifacts (2.00 KiB) added, 8 artifacts (")
        .stdout_has("removed, 1 artifact (19 B) changed, 1 unchanged.\n");
    let object = parse_json(&sandbox.run(["diff", "one.pkg", "two.pkg", "--format", "json"]).ok().stdout);
    assert_eq!(object["rustup_artifacts"]["added"][1]["path"], WASM);
    assert_eq!(object["rustup_artifacts"]["bytes"]["added"], 2049);
    assert_eq!(object["old"]["rustup_artifacts"], 10);
    let document = parse_json(&sandbox.run(["diff", "one.pkg", "two.pkg", "--format", "cyclonedx"]).ok().stdout);
    let names: Vec<&str> =
        document["components"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.contains(&WASM) && names.contains(&"rustup/release-stable.toml"), "{names:?}");
    let same = sandbox.run(["diff", "one.pkg", "one.pkg"]).ok();
    same.stdout_has("No change: 1 version.\n");
}
