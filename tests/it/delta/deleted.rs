//! A version that upstream deleted, and that the history, a mirror or an earlier bundle still has.

use super::{ConnectedSide, read_manifest};
use crate::bundle_builder::import;
use crate::support::client::Project;
use crate::support::crates::{Crate, index_path};
use crate::support::sandbox::Sandbox;
use frostmirror::inputs::lockfile::CRATES_IO_SOURCE;

fn lockfile(crates: &[(&str, &str)]) -> String {
    let mut text = "version = 4\n".to_owned();
    for (name, version) in crates {
        let cksum = Crate::new(name, version).pack().cksum;
        text += &format!(
            "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{CRATES_IO_SOURCE}\"\nchecksum = \"{cksum}\"\n"
        );
    }
    text
}

/// A machine that sent `gone` 1.0.0 before upstream deleted it, with its line and its file; and the bundle.
fn after_upstream_deleted_a_version() -> (ConnectedSide, String) {
    let near = ConnectedSide::with_crates(&[("gone", "1.0.0"), ("new", "1.0.0")]);
    near.sandbox.write("old.lock", lockfile(&[("gone", "1.0.0")]));
    near.sandbox.write("both.lock", lockfile(&[("gone", "1.0.0"), ("new", "1.0.0")]));
    let first = near.fetch(&["--incremental", "--lockfile", "old.lock"]);
    import(&near.sandbox.path("mirror"), &first).unwrap();
    near.upstream.set_index(&index_path("gone"), "");
    near.upstream.remove_crate_file("gone", "1.0.0");
    (near, first.to_str().unwrap().to_owned())
}

#[test]
fn a_deleted_version_that_was_sent_is_taken_from_the_history() {
    let (near, _) = after_upstream_deleted_a_version();
    let run = near.run_fetch(&["--incremental", "--lockfile", "both.lock"]).ok();
    let run =
        run.stderr_has("upstream's index no longer has gone 1.0.0").stderr_has("an earlier bundle of this history");
    import(&near.sandbox.path("mirror"), &run.path()).unwrap();
    near.sandbox.run(["verify", "--mirror", "mirror", "--closure", "both.lock"]).ok();
    // The file is in the download cache, so that a full bundle has it too.
    let full = near.fetch(&["--lockfile", "both.lock"]);
    near.sandbox.run(["verify", full.to_str().unwrap(), "--closure", "both.lock"]).ok();
    near.fetch_without_changes(&["--incremental", "--lockfile", "both.lock"]);
    // What this history sent needs no lock that vouches for it.
    near.write_depends("depends.toml", &[("gone", "1.0.0")]);
    assert_eq!(read_manifest(&near.fetch(&["-c", "depends.toml"])).crates.len(), 2);
}

#[test]
fn reuse_provides_a_deleted_version_that_the_lock_confirms() {
    let (near, first) = after_upstream_deleted_a_version();
    let mirror = near.sandbox.path("mirror");
    for source in [mirror.to_str().unwrap(), &first] {
        let sandbox = Sandbox::new().upstream(&near.upstream);
        let path = sandbox.write("both.lock", lockfile(&[("gone", "1.0.0"), ("new", "1.0.0")]));
        let path = path.to_str().unwrap();
        let run = sandbox.run(["fetch", "--lockfile", path]).exits(3);
        run.stderr_has("the index has no gone 1.0.0").stderr_has("fetch --reuse MIRROR");
        let run = sandbox.run(["fetch", "--lockfile", path, "--reuse", source]).ok();
        let run = run.stderr_has(&format!("Using the line from `{source}`"));
        sandbox.run(["verify", run.path().to_str().unwrap(), "--closure", path]).ok();

        let other = Sandbox::new().upstream(&near.upstream);
        let text = lockfile(&[("gone", "1.0.0")]).replace(&Crate::new("gone", "1.0.0").pack().cksum, &"0".repeat(64));
        other.write("other.lock", text);
        let args = ["fetch", "--lockfile", "other.lock", "--reuse", source];
        other.run(args).exits(3).stderr_has("the index has no gone 1.0.0");
        other.write("depends.toml", "[locked]\ngone = \"1.0.0\"\n");
        // Without a checksum nothing confirms the archived version, so the hint asks for a lock.
        let run = other.run(["fetch", "--reuse", source]).exits(3).stderr_has("the index has no gone 1.0.0");
        run.stderr_has("fetch --lockfile Cargo.lock --reuse MIRROR` with a Cargo.lock that states its checksum");
    }
}

#[test]
fn the_error_about_a_workspace_that_locks_a_lost_version_names_reuse() {
    let (near, first) = after_upstream_deleted_a_version();
    let sandbox = Sandbox::new().upstream(&near.upstream);
    let app = "\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"gone\",\n]\n";
    let text = lockfile(&[]) + app + lockfile(&[("gone", "1.0.0")]).trim_start_matches("version = 4\n");
    Project::new("app").dep("gone", "1").lockfile(&text).write(&sandbox.path("app"));
    let args = ["fetch", "--manifest-path", "app/Cargo.toml"];
    let run =
        sandbox.run(args).exits(3).stderr_has("The index lacks these versions of its Cargo.lock:\n    gone 1.0.0");
    run.stderr_has("fetch --reuse MIRROR` with a mirror or bundle that has it");
    // Cargo does not move on to another version.
    near.upstream.publish(Crate::new("gone", "1.1.0"));
    sandbox.run(args).exits(3).stderr_has("`cargo update gone@1.0.0` in the workspace");
    let run = sandbox.run(args.into_iter().chain(["--reuse", &first])).ok();
    let bundle = run.path();
    sandbox.run(["verify", bundle.to_str().unwrap(), "--closure", "app/Cargo.lock"]).ok();
}

#[test]
fn a_workspace_keeps_a_deleted_version_named_by_its_lock() {
    let (near, _) = after_upstream_deleted_a_version();
    let app = "\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"gone\",\n]\n";
    let text = lockfile(&[]) + app + lockfile(&[("gone", "1.0.0")]).trim_start_matches("version = 4\n");
    let project = Project::new("app").dep("gone", "1").lockfile(&text).write(&near.sandbox.path("app"));
    let args = ["fetch", "--manifest-path", "app/Cargo.toml"];
    let run = near.process(&args).run().ok();
    let run = run.stderr_has("is used unchanged").stderr_has("names a version that upstream deleted");
    let lock = project.join("Cargo.lock");
    let closure = ["--closure", lock.to_str().unwrap()];
    near.sandbox.run(["verify", run.path().to_str().unwrap()].into_iter().chain(closure)).ok();
    // Cargo would move on to another version where there is one.
    near.upstream.publish(Crate::new("gone", "1.1.0"));
    let run = near.process(&args).run().ok().stderr_has("is used unchanged");
    near.sandbox.run(["verify", run.path().to_str().unwrap()].into_iter().chain(closure)).ok();
}
