//! Run again: nothing is downloaded twice, a failed run leaves nothing behind, one history knows several projects.

use std::path::PathBuf;

use super::fixture_registry::{EVERY_FORM, FixtureRegistry, every_form_set, files_below};
use crate::support::client::Project;
use crate::support::upstream::Fault;
use crate::support::wait;

fn no_files() -> Vec<PathBuf> {
    Vec::new()
}

#[test]
fn a_second_fetch_downloads_nothing_and_works_offline() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", EVERY_FORM);
    let first = sandbox.run(["fetch"]).ok().path();
    assert_eq!(world.upstream.downloads().len(), every_form_set().len());
    world.upstream.clear_log();
    let second = sandbox.run(["fetch"]).ok().path();
    assert_ne!(first, second, "two in one minute have two names");
    assert_eq!(world.upstream.downloads(), [""; 0]);
    let changed: Vec<_> = world.upstream.requests().into_iter().filter(|seen| seen.status != 304).collect();
    assert!(changed.iter().all(|seen| seen.path == "/index/config.json"), "{changed:?}");
    world.upstream.clear_log();
    sandbox.run(["fetch", "--offline"]).ok();
    assert!(world.upstream.requests().is_empty());
    sandbox.write("depends.toml", "[dependencies]\nnative = \"=2.0.1\"\n");
    sandbox.run(["fetch", "--offline"]).exits(5).stderr_has("native");
    sandbox.write("depends.toml", "[dependencies]\ntool = \"2\"\n");
    sandbox.run(["fetch", "--offline"]).exits(5).stderr_has("tool");
    let sandbox = sandbox.env("CARGO_NET_OFFLINE", "true");
    sandbox.run(["fetch"]).exits(5).stderr_has("tool");
    assert!(world.upstream.requests().is_empty());
}

#[test]
fn a_failed_fetch_leaves_nothing_and_the_next_downloads_only_missing_crates() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", EVERY_FORM);
    let broken = world.upstream.download_path("turbo", "0.9.3");
    world.upstream.fault_always(&broken, Fault::Status(404));
    let run = sandbox.run(["fetch", "-j", "1"]).exits(5).stderr_has("turbo 0.9.3");
    assert_eq!(run.stdout, "");
    assert_eq!(files_below(&sandbox.path("output")), no_files());
    assert_eq!(files_below(&sandbox.frostmirror_home().join("history")), no_files());
    assert_eq!(files_below(&sandbox.root().join("tmp")), no_files());
    let cache = sandbox.read_tree(sandbox.frostmirror_home().join("cache"));
    let partial: Vec<_> = cache.keys().filter(|path| path.to_string_lossy().contains("turbo-0.9")).collect();
    assert!(partial.is_empty(), "{partial:?}");

    world.upstream.clear_faults();
    world.upstream.clear_log();
    sandbox.run(["fetch"]).ok();
    assert_eq!(world.upstream.downloads(), [broken]);
    assert_eq!(files_below(&sandbox.path("output")).len(), 1);
    assert_eq!(files_below(&sandbox.root().join("tmp")), no_files());
}

#[test]
fn an_interrupted_fetch_says_so_and_the_next_downloads_only_missing_crates() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", EVERY_FORM);
    let hanging = world.upstream.download_path("win-gears", "1.0.0");
    world.upstream.fault_always(&hanging, Fault::Hang);
    let running = sandbox.process(["fetch", "-j", "8"]).start();
    let all = every_form_set().len();
    wait::until_with("all crates but one are downloaded", || running.stderr(), || sandbox.cached_crates() >= all - 1);
    running.terminate().exits(130);
    assert_eq!(files_below(&sandbox.path("output")), no_files());
    assert_eq!(files_below(&sandbox.frostmirror_home().join("history")), no_files());
    world.upstream.clear_faults();
    world.upstream.clear_log();
    sandbox.run(["fetch"]).ok();
    assert_eq!(world.upstream.downloads(), [hanging]);
}

#[test]
fn equal_inputs_at_the_same_time_give_equal_bytes() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox().env("SOURCE_DATE_EPOCH", "1775165400");
    sandbox.write("depends.toml", EVERY_FORM);
    let history = sandbox.frostmirror_home().join("history/lineage.json");
    sandbox.run(["fetch"]).ok();
    // What was sent before is an input too.
    let before = std::fs::read(&history).unwrap();
    let bytes = |output: &str, jobs: &str| {
        std::fs::write(&history, &before).unwrap();
        let path = sandbox.run(["fetch", "-o", output, "-j", jobs]).ok().path();
        (path.file_name().unwrap().to_owned(), std::fs::read(path).unwrap())
    };
    let first = bytes("first", "64");
    std::fs::remove_dir_all(sandbox.frostmirror_home().join("cache")).unwrap();
    let second = bytes("second", "1");
    // The history has a bundle of this minute already.
    assert_eq!(first.0, "20260402-2130-2-crates.pkg");
    assert!(first == second);
    // The time of the run is not part of the bundle.
    let second = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let before = second();
    wait::until("the clock shows another second", || second() > before);
    assert!(bytes("third", "64") == first);
}

#[test]
fn the_second_bundle_of_a_history_names_both_projects() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    for (name, dependency) in [("one", "leaf"), ("two", "plus")] {
        let project = Project::new(name).dep(dependency, "*");
        let lock = world.lockfile_of(&project);
        let folder = project.lockfile(&lock).write(&sandbox.path(name));
        sandbox.run_in(&folder, ["fetch", "-o", "../output"]).ok();
    }
    let bundles = files_below(&sandbox.path("output"));
    assert_eq!(bundles.len(), 2);
    let newest = bundles.iter().max_by_key(|path| path.metadata().unwrap().modified().unwrap()).unwrap();
    let json = sandbox.run(["inspect", "--format", "json", newest.to_str().unwrap()]).ok().stdout;
    let manifest: serde_json::Value = serde_json::from_str(&json).unwrap();
    let inputs = manifest["lineage"]["inputs"].as_array().unwrap();
    let names: Vec<&str> = inputs.iter().map(|input| input["name"].as_str().unwrap()).collect();
    assert!(
        names.iter().any(|name| name.contains("one")) && names.iter().any(|name| name.contains("two")),
        "{names:?}"
    );
    assert_eq!(manifest["lineage"]["sequence"], 2);
    assert_eq!(inputs.len(), 2);
}
