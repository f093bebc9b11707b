//! A version that upstream deleted, and that the history, a mirror or an earlier bundle still has.

use super::{Near, manifest};
use crate::import_bundle::import;
use crate::support::client::Project;
use crate::support::crates::{Crate, index_path};
use crate::support::sandbox::Sandbox;
use frostmirror::gather::lockfile::CRATES_IO;

fn lock(crates: &[(&str, &str)]) -> String {
    let mut text = "version = 4\n".to_owned();
    for (name, version) in crates {
        let cksum = Crate::new(name, version).pack().cksum;
        text += &format!(
            "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{CRATES_IO}\"\nchecksum = \"{cksum}\"\n"
        );
    }
    text
}

/// A machine that sent `gone` 1.0.0 before upstream deleted it, with its line and its file; and the bundle.
fn world() -> (Near, String) {
    let near = Near::new(&[("gone", "1.0.0"), ("new", "1.0.0")]);
    near.sandbox.write("old.lock", lock(&[("gone", "1.0.0")]));
    near.sandbox.write("both.lock", lock(&[("gone", "1.0.0"), ("new", "1.0.0")]));
    let first = near.fetch(&["--incremental", "--lockfile", "old.lock"]);
    import(&near.sandbox.path("mirror"), &first).unwrap();
    near.upstream.set_index(&index_path("gone"), "");
    near.upstream.lose_file("gone", "1.0.0");
    (near, first.to_str().unwrap().to_owned())
}

#[test]
fn what_the_history_sent_is_taken_from_there() {
    let (near, _) = world();
    let run = near.run(&["--incremental", "--lockfile", "both.lock"]).ok();
    let run =
        run.stderr_has("upstream's index no longer has gone 1.0.0").stderr_has("an earlier bundle of this history");
    import(&near.sandbox.path("mirror"), &run.path()).unwrap();
    near.sandbox.run(["verify", "--mirror", "mirror", "--closure", "both.lock"]).ok();
    // The file is in the download cache, so that a full bundle has it too.
    let full = near.fetch(&["--lockfile", "both.lock"]);
    near.sandbox.run(["verify", full.to_str().unwrap(), "--closure", "both.lock"]).ok();
    near.fetch_nothing(&["--incremental", "--lockfile", "both.lock"]);
    // What this history sent needs no lock that vouches for it.
    near.needs("depends.toml", &[("gone", "1.0.0")]);
    assert_eq!(manifest(&near.fetch(&["-c", "depends.toml"])).crates.len(), 2);
}

#[test]
fn a_mirror_and_a_bundle_to_reuse_have_it_for_a_lock_that_vouches_for_it() {
    let (near, first) = world();
    let mirror = near.sandbox.path("mirror");
    for source in [mirror.to_str().unwrap(), &first] {
        let sandbox = Sandbox::new().upstream(&near.upstream);
        let path = sandbox.write("both.lock", lock(&[("gone", "1.0.0"), ("new", "1.0.0")]));
        let path = path.to_str().unwrap();
        let run = sandbox.run(["fetch", "--lockfile", path]).exits(3);
        run.stderr_has("the index has no gone 1.0.0").stderr_has("fetch --reuse MIRROR");
        let run = sandbox.run(["fetch", "--lockfile", path, "--reuse", source]).ok();
        let run = run.stderr_has(&format!("It is taken from `{source}`"));
        sandbox.run(["verify", run.path().to_str().unwrap(), "--closure", path]).ok();

        let other = Sandbox::new().upstream(&near.upstream);
        let text = lock(&[("gone", "1.0.0")]).replace(&Crate::new("gone", "1.0.0").pack().cksum, &"0".repeat(64));
        other.write("other.lock", text);
        let words = ["fetch", "--lockfile", "other.lock", "--reuse", source];
        other.run(words).exits(3).stderr_has("the index has no gone 1.0.0");
        other.write("depends.toml", "[locked]\ngone = \"1.0.0\"\n");
        other.run(["fetch", "--reuse", source]).exits(3).stderr_has("the index has no gone 1.0.0");
    }
}

#[test]
fn a_workspace_keeps_the_deleted_version_that_its_lock_names() {
    let (near, _) = world();
    let app = "\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"gone\",\n]\n";
    let text = lock(&[]) + app + lock(&[("gone", "1.0.0")]).trim_start_matches("version = 4\n");
    let project = Project::new("app").dep("gone", "1").lockfile(&text).write(&near.sandbox.path("app"));
    let words = ["fetch", "--manifest-path", "app/Cargo.toml"];
    let run = near.process(&words).run().ok();
    let run = run.stderr_has("is taken as it stands").stderr_has("names a version that upstream deleted");
    let lock = project.join("Cargo.lock");
    let closure = ["--closure", lock.to_str().unwrap()];
    near.sandbox.run(["verify", run.path().to_str().unwrap()].into_iter().chain(closure)).ok();
    // Cargo would move on to another version where there is one.
    near.upstream.publish(Crate::new("gone", "1.1.0"));
    let run = near.process(&words).run().ok().stderr_has("is taken as it stands");
    near.sandbox.run(["verify", run.path().to_str().unwrap()].into_iter().chain(closure)).ok();
}
