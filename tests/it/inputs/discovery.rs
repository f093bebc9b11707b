//! Where depends.toml is found, and where `init` puts it.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use crate::support::client::{Client, Project};
use crate::support::sandbox::Sandbox;
use crate::support::upstream::Upstream;

/// A workspace whose member `app` needs `a`; its lock too.
fn write_workspace(sandbox: &Sandbox, upstream: &Upstream, folder: &str) {
    sandbox.write(format!("{folder}/Cargo.toml"), "[workspace]\nmembers = [\"crates/*\"]\nresolver = \"2\"\n");
    Project::new("app").dep("a", "1").write(&sandbox.path(format!("{folder}/crates/app")));
    Client::with_index(&upstream.index_url()).cargo(&sandbox.path(folder), ["generate-lockfile"]).ok();
}

fn list_output(sandbox: &Sandbox, output: &str) -> String {
    let bundle = fs::read_dir(sandbox.path(output)).unwrap().next().unwrap().unwrap().path();
    let text = sandbox.run(["list", bundle.to_str().unwrap()]).ok().stdout;
    text.lines().last().unwrap().to_owned()
}

#[test]
fn depends_toml_is_found_up_to_the_workspace_root() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.0.0")]);
    let sandbox = Sandbox::new().upstream(&upstream);
    write_workspace(&sandbox, &upstream, "space");
    // Outside of the workspace: of no interest to it.
    sandbox.write("depends.toml", "[dependencies]\nc = \"1\"\n");
    let source = sandbox.path("space/crates/app/src");
    sandbox.run_in(&source, ["fetch", "-o", "out-lock"]).ok().stderr_has("the workspace has no depends.toml");
    assert_eq!(list_output(&sandbox, "space/crates/app/src/out-lock"), "a 1.0.0");

    let list = sandbox.write("space/depends.toml", "[dependencies]\nb = \"1\"\n");
    let using = format!("Using `{}`", list.display());
    sandbox.run_in(&source, ["fetch", "-o", "out-root"]).ok().stderr_has(&using);
    assert_eq!(list_output(&sandbox, "space/crates/app/src/out-root"), "b 1.0.0");
    // The nearest one counts.
    let list = sandbox.write("space/crates/app/depends.toml", "[dependencies]\nc = \"1\"\n");
    sandbox.run_in(&source, ["fetch", "-o", "out-near"]).ok().stderr_has(&format!("Using `{}`", list.display()));
    assert_eq!(list_output(&sandbox, "space/crates/app/src/out-near"), "c 1.0.0");
    sandbox.run_in(&sandbox.path("space/crates"), ["fetch", "-o", "out-above"]).ok().stderr_has(&using);
    // Without a package around it, only the folder itself is looked at.
    fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox.run_in(&sandbox.path("empty"), ["fetch"]).exits(3).stderr_has("no depends.toml here");
}

#[test]
fn a_workspace_root_that_is_not_a_parent_folder_is_searched() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0"), ("b", "1.0.0")]);
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("root/Cargo.toml", "[workspace]\nmembers = [\"../app\"]\nresolver = \"2\"\n");
    sandbox.write("root/depends.toml", "[dependencies]\nb = \"1\"\n");
    Project::new("app").dep("a", "1").key("workspace = \"../root\"").write(&sandbox.path("app"));
    sandbox.run_in(&sandbox.path("app"), ["fetch", "-o", "out"]).ok().stderr_has("root/depends.toml");
    assert_eq!(list_output(&sandbox, "app/out"), "b 1.0.0");
}

#[test]
fn init_writes_beside_the_manifest_of_the_workspace() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0")]);
    let sandbox = Sandbox::new().upstream(&upstream);
    write_workspace(&sandbox, &upstream, "space");
    let member = sandbox.path("space/crates/app");
    sandbox.run_in(&member, ["init"]).ok().stderr_has("space/depends.toml");
    assert!(sandbox.read("space/depends.toml").contains("a = \"1.0.0\""));
    assert!(!member.join("depends.toml").exists());
    sandbox.run_in(&member, ["init"]).exits(3).stderr_has("space/depends.toml` exists");
    sandbox.run_in(&member, ["init", "--update"]).ok().stderr_has("space/depends.toml");
    // What is named is named from here, and another workspace's list is written here.
    sandbox.run_in(&member, ["init", "-o", "own.toml"]).ok();
    assert!(member.join("own.toml").exists());
    sandbox.run(["init", "--manifest-path", "space/Cargo.toml"]).ok();
    assert!(sandbox.path("depends.toml").exists());
}

#[test]
fn depends_toml_is_read_once_in_a_run() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0")]);
    let sandbox = Sandbox::new().upstream(&upstream);
    let pipe = sandbox.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for args in [vec!["fetch", "-c", "pipe", "--dry-run"], vec!["fetch", "-c", "pipe", "-o", "out"]] {
        let running = sandbox.process(args).start();
        // This is open as soon as the run reads. A second reader would wait forever.
        let mut writer = File::options().write(true).open(&pipe).unwrap();
        writer.write_all(b"[dependencies]\na = \"1\"\n").unwrap();
        drop(writer);
        running.wait(Duration::from_secs(60)).ok();
    }
    assert_eq!(list_output(&sandbox, "out"), "a 1.0.0");
}
