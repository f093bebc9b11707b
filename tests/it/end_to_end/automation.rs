//! For programs that run it: JSON on stdout, several at once, quiet; and for folders as people name them.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::fixture_registry::{FixtureRegistry, files_below};
use crate::support::client::{Client, Project};
use crate::support::process::Run;

/// Every line of stdout, read; the last one says how it ended.
#[track_caller]
fn json_lines(run: &Run) -> Vec<Value> {
    let lines: Vec<Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{}", run.describe())))
        .collect();
    assert!(lines.iter().all(|line| line["reason"].is_string()), "{}", run.describe());
    let finished: Vec<usize> = (0..lines.len()).filter(|place| lines[*place]["reason"] == "finished").collect();
    assert_eq!(finished, [lines.len() - 1], "{}", run.describe());
    let last = &lines[lines.len() - 1];
    assert_eq!(last["success"], run.code == 0, "{}", run.describe());
    assert_eq!(last["exit_code"], run.code, "{}", run.describe());
    lines
}

#[test]
fn every_verb_prints_json_lines_that_end_with_the_outcome() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", "[dependencies]\ngears = \"1\"\n");
    let json = |args: &[&str]| sandbox.run(args.iter().chain(&["--message-format", "json"]));
    let find = |run: &Run, reason: &str| {
        json_lines(run)
            .into_iter()
            .find(|line| line["reason"] == reason)
            .unwrap_or_else(|| panic!("{}", run.describe()))
    };
    let fetched = json(&["fetch"]).ok();
    assert_eq!(fetched.stderr, "");
    let bundle = find(&fetched, "bundle");
    assert_eq!(bundle["crates"], 2);
    let path = bundle["path"].as_str().unwrap();
    assert_eq!(find(&json(&["fetch", "--dry-run"]).ok(), "planned")["held"], true);
    assert_eq!(find(&json(&["verify", path]).ok(), "verified")["id"], bundle["id"]);
    assert_eq!(find(&json(&["inspect", path]).ok(), "manifest")["manifest"]["id"], bundle["id"]);
    json_lines(&json(&["import", path]).ok());
    assert_eq!(find(&json(&["status"]).ok(), "status-of-mirror")["crates"], 2);
    json_lines(&json(&["setup"]).ok());
    for (args, code) in [
        (["fetch", "-c", "nowhere.toml"].as_slice(), 3),
        (&["verify", "depends.toml"], 4),
        (&["import", "nowhere.pkg"], 3),
        (&["inspect", "depends.toml"], 4),
        (&["setup", "--url", "x"], 3),
    ] {
        let run = json(args).exits(code);
        let last = json_lines(&run).pop().unwrap();
        assert!(last["error"].is_string() && last["hint"].is_string(), "{}", run.describe());
        assert_eq!(run.stderr, "", "{}", run.describe());
    }
}

#[test]
fn quiet_prints_only_data() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", "[dependencies]\ngears = \"1\"\n");
    let run = sandbox.run(["fetch", "-q"]).ok();
    assert_eq!(run.stderr, "");
    let bundle = run.path();
    let run = sandbox.run(["import".as_ref(), "-q".as_ref(), bundle.as_os_str()]).ok();
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    sandbox.run(["import", "-q", "nowhere.pkg"]).exits(3).stderr_has("error: ");
}

#[test]
fn concurrent_fetches_make_one_history() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", "[dependencies]\nengine = \"1\"\n");
    let running: Vec<_> = (0..4).map(|_| sandbox.process(["fetch"]).start()).collect();
    let paths: BTreeSet<_> =
        running.into_iter().map(|one| one.wait(std::time::Duration::from_secs(100)).ok().path()).collect();
    assert_eq!(paths.len(), 4, "each has a name of its own: {paths:?}");
    assert_eq!(files_below(&sandbox.path("output")).len(), 4);
    let sequences: BTreeSet<u64> = paths
        .iter()
        .map(|path| {
            let json = sandbox.run(["inspect", "--format", "json", path.to_str().unwrap()]).ok().stdout;
            let manifest: Value = serde_json::from_str(&json).unwrap();
            manifest["lineage"]["sequence"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(sequences, BTreeSet::from([1, 2, 3, 4]));
    // All of them into one mirror, at once.
    let running: Vec<_> =
        paths.iter().map(|path| sandbox.process(["import".as_ref(), path.as_os_str()]).start()).collect();
    for one in running {
        one.wait(std::time::Duration::from_secs(100)).ok();
    }
    sandbox.run(["status"]).ok().stdout_has("Crate count: 5\n").stdout_has("Index link: good");
}

#[test]
fn folder_names_may_have_spaces_and_unicode() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox().env("FROSTMIRROR_MIRROR", "der Spiegel's \"größter\"/mirror");
    let project = Project::new("app").dep("engine", "1").main("fn main() { println!(\"{}\", engine::TEETH); }");
    let lock = world.lockfile_of(&project);
    let app = project.lockfile(&lock).write(&sandbox.path("mein projekt & 100 %/app ü"));
    let bundle = sandbox.run_in(&app, ["fetch", "-o", "aus gabe"]).ok().path();
    let bundle = app.join(bundle);
    sandbox.run(["verify".as_ref(), bundle.as_os_str()]).ok();
    sandbox.run(["import".as_ref(), bundle.as_os_str()]).ok();
    let serving = sandbox.serve::<&str>([]);
    for args in [["--url", serving.url()].as_slice(), &["--local"]] {
        // The linker is not at home in such a folder.
        let client = Client::new().env("CARGO_TARGET_DIR", sandbox.root().join("target").to_str().unwrap());
        let setup = sandbox.process(["setup", "--write"].iter().chain(args));
        setup.envs([("CARGO_HOME", client.cargo_home())]).run().ok();
        let run = client.cargo(&app, ["run", "--locked", "--quiet"]).ok();
        assert_eq!(run.line(), "42");
        fs::remove_dir_all(sandbox.root().join("target")).unwrap();
    }
}

#[test]
fn vendored_and_mirrored_projects_are_fetched_from_upstream() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    let project = Project::new("app").dep("leaf", "0.3");
    let lock = world.lockfile_of(&project);
    let app = project.lockfile(&lock).write(&sandbox.path("app"));
    let sources = [
        "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = \"vendor\"\n",
        "[source.crates-io]\nreplace-with = \"frostmirror\"\n[registries.frostmirror]\nindex = \"sparse+http://127.0.0.1:9/index/\"\n",
        "[source.crates-io]\nreplace-with = \"frostmirror\"\n[source.frostmirror]\nlocal-registry = \"/nowhere\"\n",
    ];
    for config in sources {
        fs::create_dir_all(app.join(".cargo")).unwrap();
        fs::write(app.join(".cargo/config.toml"), config).unwrap();
        sandbox.run_in(&app, ["fetch", "-o", "../output"]).ok().stderr_has("Packed 1 crate ");
    }
    // The lock has to be brought up to date: what the user's own cargo would be sent to does not count.
    Project::new("app").dep("leaf", "0.3").dep("plus", "1").lockfile(&lock).write(&app);
    sandbox.run_in(&app, ["fetch", "-o", "../output"]).ok().stderr_has("Packed 2 crates ");
}
