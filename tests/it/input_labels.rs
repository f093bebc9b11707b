//! Inputs are known by their labels: in histories, in bundles, in mirrors. No path of the fetching machine leaves it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use frostmirror::bundle::format::{Entry, Manifest};
use frostmirror::bundle::open::{EntryVisitor, open_any};
use serde_json::Value;

use crate::delta::{ConnectedSide, read_manifest};
use crate::end_to_end::fixture_registry::files_below;
use crate::support::client::Project;
use crate::support::crates::Crate;
use crate::support::sandbox::{Sandbox, read_tree};
use crate::support::upstream::Upstream;

/// The plain bytes of all entries.
#[derive(Default)]
struct AllEntriesVisitor(Vec<u8>);

impl EntryVisitor for AllEntriesVisitor {
    fn begin(&mut self, entry: &Entry) -> io::Result<()> {
        self.0.extend(entry.path.as_str().as_bytes());
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend(bytes);
        Ok(())
    }

    fn end(&mut self, _: &Entry, good: bool) -> io::Result<()> {
        assert!(good);
        Ok(())
    }
}

/// All that is in a bundle, decoded: its manifest, the names of its entries, and what is in them.
fn decode_bundle(bundle: &Path) -> Vec<u8> {
    let opened = open_any(Box::new(File::open(bundle).unwrap()), "bundle", bundle.parent().unwrap()).unwrap();
    let mut all = serde_json::to_vec(opened.manifest()).unwrap();
    let mut entries = AllEntriesVisitor::default();
    let streamed = opened.stream(&mut entries).unwrap();
    assert!(streamed.problems.is_empty());
    all.extend(entries.0);
    all
}

#[track_caller]
fn assert_lacks(bytes: &[u8], forbidden: &[&str], what: &str) {
    for word in forbidden {
        let at = bytes.windows(word.len()).position(|window| window == word.as_bytes());
        let around = at.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(80)..(at + 120).min(bytes.len())]));
        assert_eq!(around, None, "{what} names `{word}`");
    }
}

fn input_names(manifest: &Manifest) -> Vec<&str> {
    manifest.lineage.inputs.iter().map(|input| input.name.as_str()).collect()
}

/// A project of this name with one dependency and a lock, in `folder`.
fn write_project(sandbox: &Sandbox, upstream: &Upstream, name: &str, folder: &str, dependency: &str) {
    let packed = upstream.publish(Crate::new(dependency, "1.0.0"));
    let lock = format!(
        "version = 4\n\n[[package]]\nname = \"{dependency}\"\nversion = \"1.0.0\"\n\
         source = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{}\"\n\n\
         [[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\ndependencies = [\n \"{dependency}\",\n]\n",
        packed.cksum
    );
    Project::new(name).dep(dependency, "1").lockfile(&lock).write(&sandbox.path(folder));
}

#[test]
fn bundles_and_mirrors_contain_no_path_of_the_fetching_machine() {
    let upstream = Upstream::start();
    let sandbox = Sandbox::new().upstream(&upstream);
    write_project(&sandbox, &upstream, "app", "secret-folder/checkout-1", "a");
    upstream.publish_all(&[("tool", "1.0.0"), ("b", "1.0.0")]);
    sandbox.write("hidden-place/team/depends.toml", "[dependencies]\nb = \"1\"\n");
    let app = sandbox.path("secret-folder/checkout-1");
    let out = sandbox.path("out");
    let out = out.to_str().unwrap();
    sandbox.run_in(&app, ["fetch", "-o", out]).ok();
    sandbox.run_in(&app, ["fetch", "-o", out, "--lockfile", "Cargo.lock", "--incremental", "--crate", "tool@1"]).ok();
    let depends = "hidden-place/team/depends.toml";
    let last = sandbox.run(["fetch", "-o", out, "-c", depends, "--incremental"]).ok().path();
    assert_eq!(input_names(&read_manifest(&last)), ["app (Cargo.lock)", "team (depends.toml)", "--crate tool@1"]);
    sandbox.run(["import", "out", "--mirror", "mirror"]).ok();
    sandbox.run(["export", "snapshot", "-o", "snap", "--mirror", "mirror"]).ok();
    let root = sandbox.root().to_str().unwrap();
    let forbidden = [root, "secret-folder", "hidden-place", "checkout-1", "frostmirror-test-", "scratch"];
    let bundles = [files_below(&sandbox.path("out")), files_below(&sandbox.path("snap"))].concat();
    assert_eq!(bundles.len(), 4);
    for bundle in bundles {
        assert_lacks(&decode_bundle(&bundle), &forbidden, &bundle.display().to_string());
    }
    for (path, bytes) in read_tree(&sandbox.path("mirror")) {
        assert_lacks(&bytes, &forbidden, &path.display().to_string());
    }
    for shown in [&["inspect"][..], &["inspect", "--format", "json"], &["inspect", "--format", "cyclonedx"], &["list"]]
    {
        let run = sandbox.process(shown).args([last.to_str().unwrap()]).run().ok();
        assert_lacks(run.stdout.as_bytes(), &forbidden[1..], "what is shown");
    }
}

#[test]
fn a_checkout_in_another_folder_is_the_same_input() {
    let upstream = Upstream::start();
    let sandbox = Sandbox::new().upstream(&upstream);
    write_project(&sandbox, &upstream, "app", "build-1/src", "a");
    let fetch = |folder: &str| sandbox.run_in(&sandbox.path(folder), ["fetch", "--incremental", "-o", "../../out"]);
    fetch("build-1/src").ok();
    fs::rename(sandbox.path("build-1"), sandbox.path("build-2")).unwrap();
    fetch("build-2/src").ok().stderr_has("nothing new").stderr_lacks("gone");
    // The next one knows where it was last.
    let copy = sandbox.path("build-3/src");
    write_project(&sandbox, &upstream, "app", "build-3/src", "a");
    let refused = fetch("build-3/src").exits(3);
    let refused = refused.stderr_has("the same label, `app`").stderr_has("build-2/src/Cargo.lock");
    refused.stderr_has("hint: ").stderr_has("--label");
    assert_eq!(files_below(&sandbox.path("out")).len(), 1);
    // The hint works as it is written: the same project, or one of its own.
    sandbox
        .run_in(&copy, ["fetch", "--incremental", "-o", "../../out", "--label", "app"])
        .ok()
        .stderr_has("nothing new");
    let other = sandbox.run_in(&copy, ["fetch", "--incremental", "-o", "../../out", "--label", "app-3"]).ok();
    assert_eq!(input_names(&read_manifest(&other.path())), ["app (Cargo.lock)", "app-3 (Cargo.lock)"]);
}

#[test]
fn two_inputs_with_one_label_are_refused() {
    let upstream = Upstream::start();
    let sandbox = Sandbox::new().upstream(&upstream);
    write_project(&sandbox, &upstream, "app", "x/src", "a");
    write_project(&sandbox, &upstream, "app", "y/src", "b");
    let run = sandbox.run(["fetch", "--lockfile", "x/src/Cargo.lock", "--lockfile", "y/src/Cargo.lock"]).exits(3);
    run.stderr_has("the same label").stderr_has("in separate runs");
    // The same file twice is one input.
    sandbox.run(["fetch", "--lockfile", "x/src/Cargo.lock", "--lockfile", "x/src/../src/Cargo.lock"]).ok();
    for args in [&["--label", "a/b"][..], &["--label", ""], &["--label", "a\u{1b}[1m"]] {
        sandbox.process(["fetch", "--lockfile", "x/src/Cargo.lock"]).args(args).run().exits(2).stderr_has("label");
    }
    let args = ["fetch", "--label", "z", "--lockfile", "x/src/Cargo.lock", "--lockfile", "y/src/Cargo.lock"];
    sandbox.run(args).exits(2).stderr_has("one input");
    sandbox.run(["fetch", "--label", "z", "--crate", "a", "--crate", "b"]).exits(2).stderr_has("one input");
}

#[test]
fn a_crate_input_is_never_reported_as_a_missing_file() {
    let near = ConnectedSide::with_crates(&[("a", "1.0.0"), ("b", "1.0.0")]);
    near.write_depends("depends.toml", &[("a", "1.0.0")]);
    near.run_fetch(&["--crate", "b"]).ok().stderr_lacks("warning");
    near.run_fetch(&["--incremental"]).ok().stderr_lacks("warning");
    near.run_fetch(&["--incremental", "--crate", "b"]).ok().stderr_lacks("warning");
}

#[test]
fn a_crate_with_a_label_is_one_input_whatever_version_it_names() {
    let near = ConnectedSide::with_crates(&[("a", "1.0.0"), ("a", "2.0.0"), ("b", "1.0.0")]);
    let first = near.fetch(&["--crate", "a@1.0.0", "--label", "tools"]);
    assert_eq!(input_names(&read_manifest(&first)), ["tools (crate)"]);
    // A new version, or another tool, takes the place of the one before.
    let second = read_manifest(&near.fetch(&["--crate", "a@2.0.0", "--label", "tools"]));
    assert_eq!((input_names(&second), second.crates.len()), (vec!["tools (crate)"], 1));
    // Without a label, each is an input of its own.
    near.fetch(&["--crate", "b"]);
    let third = near.fetch(&["--crate", "b@1.0.0"]);
    assert_eq!(input_names(&read_manifest(&third)), ["--crate b", "--crate b@1.0.0", "tools (crate)"]);
    near.sandbox.run(["history", "label", "--crate b", "search"]).ok().stderr_has("search (crate)");
    near.fetch_without_changes(&["--incremental", "--crate", "b", "--label", "search"]);
    near.sandbox.run(["history", "label", "--crate b@1.0.0", "search"]).exits(3).stderr_has("already");
    near.sandbox.run(["history", "forget", "tools"]).ok().stderr_has("tools (crate)");
}

#[test]
fn only_history_warns_of_an_input_whose_file_is_missing() {
    let near = ConnectedSide::with_crates(&[("a", "1.0.0"), ("b", "1.0.0")]);
    let sandbox = &near.sandbox;
    near.write_depends("one.toml", &[("a", "1.0.0")]);
    near.write_depends("two.toml", &[("b", "1.0.0")]);
    near.fetch(&["--incremental", "-c", "one.toml"]);
    sandbox.run(["history"]).ok().stderr_lacks("does not exist");
    fs::remove_file(sandbox.path("one.toml")).unwrap();
    let args = ["fetch", "--incremental", "-c", "two.toml"];
    sandbox.run(args).ok().stderr_lacks("one.toml").stderr_lacks("does not exist");
    let run =
        sandbox.run(["history"]).ok().stderr_has("the file of the input `desk-one (depends.toml)` does not exist: `");
    run.stderr_has("run `cargo frostmirror history forget 'desk-one (depends.toml)'`");
    sandbox.run(["history", "forget", "desk-one (depends.toml)"]).ok();
    sandbox.run(["history"]).ok().stderr_lacks("does not exist");
}

#[test]
fn history_lists_labels_and_forgets_inputs() {
    let near = ConnectedSide::with_crates(&[("a", "1.0.0"), ("b", "1.0.0")]);
    let sandbox = &near.sandbox;
    sandbox.run(["history"]).ok().stderr_has("no bundle was recorded");
    sandbox.run(["history", "forget", "x"]).exits(3).stderr_has("hint: ");
    assert!(!sandbox.frostmirror_home().join("history").exists());
    near.write_depends("one.toml", &[("a", "1.0.0")]);
    near.write_depends("two.toml", &[("b", "1.0.0")]);
    let first = near.fetch(&["--incremental", "-c", "one.toml"]);
    let second = near.fetch(&["--incremental", "-c", "two.toml"]);
    let listed = sandbox.run(["history"]).ok().stdout;
    assert_eq!(sandbox.run(["history", "list"]).ok().stdout, listed);
    let file = |bundle: &Path| bundle.file_name().unwrap().to_str().unwrap().to_owned();
    for part in
        ["Inputs: 2", "desk-one (depends.toml)", "1 crate", "Bundles: 2", &file(&first), &file(&second), "delta"]
    {
        assert!(listed.contains(part), "{part}\n{listed}");
    }
    let json = sandbox.run(["history", "--message-format", "json"]).ok().stdout;
    let lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |reason: &str| lines.iter().filter(|line| line["reason"] == reason).collect::<Vec<&Value>>();
    assert_eq!((of("input").len(), of("sent").len()), (2, 2));
    assert_eq!(of("input")[0]["label"], "desk-one");
    assert_eq!(of("sent")[0]["size"], fs::metadata(&first).unwrap().len());
    assert_eq!(lines.last().unwrap()["success"], true);

    sandbox.run(["history", "label", "desk-one", "web"]).ok().stderr_has("web (depends.toml)");
    sandbox.run(["history", "label", "desk-two", "web"]).exits(3).stderr_has("already");
    sandbox.run(["history", "label", "web", "../etc"]).exits(2);
    near.fetch_without_changes(&["--incremental", "-c", "one.toml", "--label", "web"]);
    sandbox.run(["history", "forget", "web"]).ok();
    sandbox.run(["history", "forget", "web"]).exits(3).stderr_has("desk-two (depends.toml)");
    // That it was forgotten is news, once.
    let third = near.fetch(&["--incremental", "-c", "two.toml"]);
    let contents = read_manifest(&third);
    assert_eq!((input_names(&contents), contents.crates.len()), (vec!["desk-two (depends.toml)"], 1));
    near.fetch_without_changes(&["--incremental", "-c", "two.toml"]);
}

#[test]
fn the_same_file_with_another_label_is_reported() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("leaf", "1.0.0"));
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("app/depends.toml", "[dependencies]\nleaf = \"1\"\n");
    let args = ["fetch", "-c", "app/depends.toml"];
    sandbox.run(args).ok().stderr_lacks("another one");
    sandbox.run(args).ok().stderr_lacks("another one");
    let run = sandbox.run(args.into_iter().chain(["--label", "web"])).ok();
    let run = run
        .stderr_has("is also the input `app (depends.toml)` of the history, and `web (depends.toml)` is another one");
    run.stderr_has("`cargo frostmirror history forget 'app (depends.toml)'`");
    sandbox.run(["history", "forget", "app (depends.toml)"]).ok();
    sandbox.run(args.into_iter().chain(["--label", "web"])).ok().stderr_lacks("another one");
    // Without a label, and with one that this run forgets.
    sandbox.run(args).ok().stderr_has("history forget 'web (depends.toml)'`");
    sandbox.run(args.into_iter().chain(["--forget", "web (depends.toml)"])).ok().stderr_lacks("another one");
}
