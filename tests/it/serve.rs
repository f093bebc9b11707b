//! The real cargo against the server: every command that a mirror must carry.

use std::fs;
use std::path::PathBuf;

use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::MirrorTree;

fn start_server() -> (Sandbox, MirrorTree, RunningServer) {
    let sandbox = Sandbox::new();
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    mirror.add_crate(Crate::new("leaf", "1.0.0"));
    mirror.add_crate(Crate::new("leaf", "1.1.0"));
    mirror.add_crate(Crate::new("leaf", "2.0.0"));
    mirror.add_crate(Crate::new("Mid_Case", "0.3.0+build.7").dep("leaf", "^1"));
    mirror
        .add_crate(Crate::new("tool", "0.9.0").dep("leaf", "^2").bin("fn main() { println!(\"{}\", leaf::VERSION); }"));
    let serving = sandbox.serve(["--mirror", "mirror"]);
    (sandbox, mirror, serving)
}

/// A cargo with an empty home and the configuration that `setup` prints.
fn client(sandbox: &Sandbox, serving: &RunningServer) -> Client {
    let printed = sandbox.run(["setup", "--url", serving.url()]).ok().stdout;
    Client::new().config(&printed)
}

fn write_app(sandbox: &Sandbox) -> PathBuf {
    Project::new("app")
        .dep("Mid_Case", "0.3")
        .dep("leaf", "1")
        .main("fn main() { println!(\"{} {}\", Mid_Case::VERSION, leaf::VERSION); }\n")
        .write(&sandbox.path("app"))
}

#[test]
fn cargo_resolves_builds_adds_and_updates() {
    let (sandbox, mirror, serving) = start_server();
    let client = client(&sandbox, &serving);
    let app = write_app(&sandbox);
    let lock = client.lock(&app);
    assert!(
        lock.contains("\"registry+https://github.com/rust-lang/crates.io-index\""),
        "the lock knows no mirror: {lock}"
    );
    assert!(lock.contains("version = \"1.1.0\""), "{lock}");

    client.clear_caches();
    let target = sandbox.path("target");
    let build = ["build", "--locked", "--target-dir", target.to_str().unwrap()];
    client.cargo(&app, build).ok();
    assert_eq!(fs::read_to_string(app.join("Cargo.lock")).unwrap(), lock);

    // What is imported while the server runs is there for the next command.
    mirror.add_crate(Crate::new("leaf", "1.2.0"));
    mirror.add_crate(Crate::new("fresh", "0.1.0"));
    client.cargo(&app, ["update"]).ok().stderr_has("v1.2.0");
    client.cargo(&app, ["add", "fresh"]).ok();
    let manifest = fs::read_to_string(app.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("fresh = \"0.1.0\"") && !manifest.contains("registry"), "{manifest}");
    client.cargo(&app, build.into_iter().filter(|word| *word != "--locked")).ok();
    client.cargo(&app, build).ok();
    client.cargo(&app, ["fetch", "--locked"]).ok();
    client.cargo(&app, ["metadata", "--format-version", "1", "--locked"]).ok();
    client.cargo(&app, ["info", "leaf", "--registry", "frostmirror"]).ok().stdout_has("1.2.0");
}

#[test]
fn cargo_installs_with_and_without_a_lock() {
    let (sandbox, _mirror, serving) = start_server();
    let client = client(&sandbox, &serving);
    let root = sandbox.path("installed");
    let root = root.to_str().unwrap();
    client.cargo(&sandbox.path(""), ["install", "tool", "--root", root]).ok();
    let tool = crate::support::process::Process::new(format!("{root}/bin/tool"), &sandbox.path("")).run().ok();
    assert_eq!(tool.line(), "2.0.0");
    let registries = fs::read_to_string(format!("{root}/.crates.toml")).unwrap();
    assert!(registries.contains("crates.io-index"), "{registries}");
}

#[test]
fn a_missing_crate_gives_cargos_own_error() {
    let (sandbox, mirror, serving) = start_server();
    let client = client(&sandbox, &serving);
    let app = Project::new("app").dep("absent", "1").write(&sandbox.path("absent"));
    client.cargo(&app, ["generate-lockfile"]).exits(101).stderr_has("no matching package named `absent`");

    // A lock made elsewhere names a version whose file is gone.
    let app = Project::new("app").dep("leaf", "=2.0.0").write(&sandbox.path("gone"));
    client.lock(&app);
    fs::remove_file(mirror.root().join("crates/leaf-2.0.0.crate")).unwrap();
    client.clear_caches();
    let fetched = client.cargo(&app, ["fetch", "--locked"]).exits(101);
    fetched.stderr_has("leaf 2.0.0 is not in this mirror; on the connected side add `leaf = \"2.0.0\"`");
}

#[test]
fn a_second_resolution_downloads_no_index_files() {
    let (sandbox, _mirror, serving) = start_server();
    let client = client(&sandbox, &serving);
    let app = write_app(&sandbox);
    let first = client.lock(&app);
    let cached = client.cargo_home().join("registry/index");
    let cache = || fs::read_dir(&cached).unwrap().next().unwrap().unwrap().path().join(".cache/le/af/leaf");
    let kept = fs::read(cache()).unwrap();
    let text = String::from_utf8_lossy(&kept).into_owned();
    assert!(text.contains("etag: \""), "cargo keeps the tag: {text}");
    assert_eq!(client.lock(&app), first);
    assert_eq!(fs::read(cache()).unwrap(), kept);
}
