//! The real cargo builds from what was exported, with an empty home and no network.

use std::fs;

use super::{mirror, words};
use crate::support::client::{Client, Project};
use crate::support::run::Run;
use crate::support::sandbox::Sandbox;

/// The configuration that an export told of.
fn config(run: &Run) -> String {
    let (_, text) = run.stderr.split_once("[source.crates-io]").expect("lines for cargo's configuration");
    format!("[source.crates-io]{text}")
}

const MAIN: &str = "fn main() { println!(\"{}\", serde::VERSION); }\n";

#[test]
fn from_a_local_registry_cargo_resolves_adds_and_builds() {
    let sandbox = Sandbox::new();
    let mirror = mirror(&sandbox);
    let run = sandbox.run(words("local-registry", "registry")).ok();
    let client = Client::new().config(&config(&run));
    run.stderr_has("1 crate that the index names without holding");
    // It stands alone.
    fs::remove_dir_all(mirror).unwrap();
    let app = Project::new("app").dep("serde", "1").dep_on("cfg(windows)", "winonly", "0.1").main(MAIN);
    let app = app.write(&sandbox.path("app"));
    let lock = client.lock(&app);
    assert!(
        lock.contains("winonly") && lock.contains("registry+https://github.com/rust-lang/crates.io-index"),
        "{lock}"
    );
    client.cargo(&app, ["build", "--locked", "--offline"]).ok();
    client.cargo(&app, ["run", "--locked", "--offline", "--quiet"]).ok().stdout_has("1.0.0");
    client.cargo(&app, ["fetch", "--locked"]).exits(101).stderr_has("winonly");
    client.cargo(&app, ["add", "Json"]).ok();
    client.cargo(&app, ["build", "--offline"]).ok();
    assert!(fs::read_to_string(app.join("Cargo.toml")).unwrap().contains("Json = \"1.0.0\""));
}

#[test]
fn from_a_vendor_folder_cargo_builds_and_sees_what_was_edited() {
    let sandbox = Sandbox::new();
    let mirror = mirror(&sandbox);
    let run = sandbox.run(words("vendor", "vendor")).ok();
    let client = Client::new().config(&config(&run));
    run.stderr_has("1 crate that the index names without holding: left out");
    let yanked = sandbox.path("vendor/Json-1.1.0");
    assert!(yanked.is_dir() && sandbox.path("vendor/serde-1.0.0+meta.1/.cargo-checksum.json").is_file());
    assert!(sandbox.path("vendor/Json-1.0.0/.gitignore").is_file());

    // A lock made with the registry fits, which names the crates' digests.
    let registry = sandbox.run(words("local-registry", "registry")).ok();
    let app = Project::new("app").dep("serde", "1").main(MAIN).write(&sandbox.path("app"));
    Client::new().config(&config(&registry)).lock(&app);
    fs::remove_dir_all(mirror).unwrap();
    client.cargo(&app, ["build", "--locked", "--offline"]).ok();
    client.cargo(&app, ["run", "--locked", "--offline", "--quiet"]).ok().stdout_has("1.0.0");

    fs::remove_dir_all(app.join("target")).unwrap();
    sandbox.write("vendor/Json-1.0.0/src/lib.rs", "pub const VERSION: &str = \"edited\";");
    let told = client.cargo(&app, ["build", "--locked", "--offline"]).exits(101);
    told.stderr_has("the listed checksum of").stderr_has("lib.rs");
}
