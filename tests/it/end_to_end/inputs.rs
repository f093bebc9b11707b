//! What can be named to `fetch`, alone and together, and what is not enough to make a bundle of.

use super::fixture_registry::{FixtureRegistry, bundle_crates, files_below, owned};
use crate::support::client::Project;

#[test]
fn lockfiles_and_crates_can_be_fetched_alone_and_combined() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", "[dependencies]\nplus = \"1\"\n");
    let one = world.lockfile_of(&Project::new("one").dep("native", "=2.0.0"));
    let two = world.lockfile_of(&Project::new("two").dep("leaf", "0.3"));
    sandbox.write("one.lock", one);
    sandbox.write("two/Cargo.lock", two);
    let locks = ["--lockfile", "one.lock", "--lockfile", "two/Cargo.lock"];
    let bundle = sandbox.run(["fetch"].iter().chain(&locks)).ok().path();
    assert_eq!(bundle_crates(&sandbox, &bundle), owned(&[("leaf", "0.3.0"), ("native", "2.0.0")]));

    let other = world.sandbox();
    other.write("depends.toml", "[dependencies]\nplus = \"1\"\n");
    let bundle =
        other.run(["fetch", "--crate", "Mixed_Case", "--crate", "native@^1", "-c", "depends.toml"]).ok().path();
    assert_eq!(
        bundle_crates(&other, &bundle),
        owned(&[("Mixed_Case", "1.0.0"), ("native", "1.0.0"), ("plus", "1.0.0+build.7")])
    );
}

#[test]
fn exact_versions_are_not_resolved_further() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", "[locked]\nengine = \"1.0.0\"\nleaf = [\"0.3.0\", \"0.3.1\"]\n");
    let bundle = sandbox.run(["fetch"]).ok().path();
    assert_eq!(bundle_crates(&sandbox, &bundle), owned(&[("engine", "1.0.0"), ("leaf", "0.3.0"), ("leaf", "0.3.1")]));
}

#[test]
fn a_yanked_version_that_a_lock_names_is_mirrored() {
    let world = FixtureRegistry::new();
    world.upstream.yank("leaf", "0.3.1", false);
    let project = Project::new("app").dep("leaf", "=0.3.1");
    let lock = world.lockfile_of(&project);
    world.upstream.yank("leaf", "0.3.1", true);
    let sandbox = world.sandbox();
    let app = project.lockfile(&lock).write(&sandbox.path("app"));
    let bundle = sandbox.run_in(&app, ["fetch"]).ok().path();
    assert_eq!(bundle_crates(&sandbox, &app.join(bundle)), owned(&[("leaf", "0.3.1")]));
}

#[test]
fn an_empty_input_writes_no_bundle() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    let app = Project::new("app").write(&sandbox.path("app"));
    let run = sandbox.run_in(&app, ["fetch"]).exits(3).stderr_has("nothing");
    assert_eq!(run.stdout, "");
    assert_eq!(files_below(&app.join("output")), [""; 0].map(std::path::PathBuf::from));
    assert_eq!(world.upstream.downloads(), [""; 0]);
    assert_eq!(files_below(&sandbox.frostmirror_home().join("history")), [""; 0].map(std::path::PathBuf::from));
}

#[test]
fn a_dry_run_lists_missing_crates_and_writes_nothing() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\nnative = \"1\"\n");
    let plan = sandbox.run(["fetch", "--dry-run"]).ok();
    let size = world.packed("leaf", "0.3.0").bytes.len() + world.packed("native", "1.0.0").bytes.len();
    plan.stderr_has(&format!("2 crates; 2 to download, {size} bytes"));
    assert_eq!(files_below(&sandbox.path("output")), [""; 0].map(std::path::PathBuf::from));
    assert_eq!(files_below(&sandbox.frostmirror_home().join("history")), [""; 0].map(std::path::PathBuf::from));
    sandbox.run(["fetch"]).ok();
    let plan = sandbox.run(["fetch", "--dry-run"]).ok();
    plan.stderr_has("2 crates; 0 to download, 0 bytes");
    assert_eq!(files_below(&sandbox.path("output")).len(), 1);
}
