//! What is said of the toolchains that a mirror has: by `status`, `list`, `serve` and `setup`, and by its bootstraps.

use serde_json::{Value, json};

use crate::end_to_end::fixture_registry::FixtureRegistry;
use crate::support::dist::{DistServer, LINUX, STABLE, WASM, WINDOWS};
use crate::support::http_client::get;
use crate::support::rustup::{self, Rustup};
use crate::support::sandbox::Sandbox;

/// A sandbox whose `mirror` has what `[platforms]` asks for, without any crate.
fn mirror_with_toolchains(platforms: &str) -> (Sandbox, FixtureRegistry, DistServer) {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = mirrored_from(&world, &dist, platforms);
    (sandbox, world, dist)
}

fn mirrored_from(world: &FixtureRegistry, dist: &DistServer, platforms: &str) -> Sandbox {
    let sandbox = world.sandbox().env("FROSTMIRROR_DIST_URL", dist.url());
    sandbox.write("depends.toml", format!("[platforms]\n{platforms}"));
    let bundle = sandbox.run(["fetch"]).ok().stdout;
    sandbox.run(["import", "--mirror", "mirror", bundle.trim()]).ok();
    sandbox
}

const MINIMAL_PLATFORMS: &str = "targets = [\"x86_64-unknown-linux-gnu\", \"wasm32-unknown-unknown\"]\nprofile = \"minimal\"\n\
                     components = [\"rust-src\"]\n";

#[test]
fn status_and_list_show_the_available_toolchains() {
    let (sandbox, _world, dist) = mirror_with_toolchains(MINIMAL_PLATFORMS);
    let release = STABLE.0;
    let status = sandbox.run(["status", "--mirror", "mirror"]).ok();
    let status = status.stdout_has(&format!(
        "\nToolchain stable ({release}): {}; profile minimal on {LINUX}; also builds for {WASM}; with rust-src\n",
        STABLE.1
    ));
    let status = status.stdout_has("\nRustup: ").stdout_has(&format!(" for {LINUX}\n"));
    status.stdout_has("Rustup artifacts: ").stdout_has("iB)\n");
    let object = sandbox.run(["status", "--mirror", "mirror", "--message-format", "json"]).ok().stdout;
    let object: Value = serde_json::from_str(object.lines().next().unwrap()).unwrap();
    let stable = &object["offers"]["toolchains"][0];
    assert_eq!(stable["hosts"], json!({ LINUX: "minimal" }));
    assert_eq!(stable["targets"], json!([WASM, LINUX]));
    assert_eq!(stable["components"], json!(["rust-src"]));
    assert_eq!(stable["date"], STABLE.1);
    assert_eq!(object["offers"]["rustup"]["hosts"], json!([LINUX]));
    let listed = sandbox.run(["list", "--mirror", "mirror"]).ok();
    listed.stderr_has(", which the list does not show: stable");
    drop(dist);
}

#[test]
fn a_mirror_with_only_toolchains_is_not_empty() {
    let (sandbox, _world, _dist) = mirror_with_toolchains(MINIMAL_PLATFORMS);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let output = serving.stop().stderr;
    assert!(output.contains("Serving") && !output.contains("nothing has been imported"), "{output}");
}

#[test]
fn rustup_variables_can_be_evaluated_by_a_shell() {
    let (sandbox, _world, _dist) = mirror_with_toolchains(MINIMAL_PLATFORMS);
    let args = ["setup", "--local", "--mirror", "mirror", "--env"];
    let run = sandbox.run(args.into_iter().chain(["sh"])).ok();
    let run = run.stderr_has("run rustup with `--profile minimal`");
    let script = format!("{}printf %s \"$RUSTUP_DIST_SERVER\"", run.stdout);
    let evaluated = std::process::Command::new("/bin/sh").args(["-euc", &script]).output().unwrap();
    let server = String::from_utf8(evaluated.stdout).unwrap();
    assert!(server.starts_with("file:///") && server.ends_with("/mirror"), "{server}");
    sandbox
        .run(["setup", "--env", "powershell"])
        .ok()
        .stdout_has("\n$env:RUSTUP_DIST_SERVER = 'http://localhost:8080'\n");
    sandbox.run(["setup", "--env", "sh", "--write"]).exits(2);
}

#[test]
fn the_bootstrap_requests_the_available_profile() {
    let (sandbox, _world, _dist) = mirror_with_toolchains(MINIMAL_PLATFORMS);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let line = format!("\nstable {LINUX} minimal\n");
    for name in ["rustup-init.sh", "rustup-init.ps1"] {
        let script = String::from_utf8(get(&format!("{}/{name}", serving.url())).body).unwrap();
        assert!(script.contains(&line), "{script}");
    }
}

#[test]
#[ignore = "needs rustup"]
fn the_bootstrap_installs_the_profile_that_there_is() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    dist.publish_rustup(&rustup::local_version(), &[LINUX, WINDOWS], &rustup::local_binary());
    let sandbox = mirrored_from(&world, &dist, MINIMAL_PLATFORMS);
    drop(dist);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let script = get(&format!("{}/rustup-init.sh", serving.url())).body;
    let rustup = Rustup::for_mirror(serving.url());
    let boot = |args: &[&str]| rustup.process("/bin/sh").args(["-s", "--"]).args(args).stdin(&script).run();
    boot(&["-y", "--no-modify-path", "--default-toolchain", "stable"]).ok().stderr_has("--profile minimal");
    rustup.tool("rustc", ["-V"]).ok().stdout_has(&format!("rustc {}", STABLE.0));
    // Who names a profile gets that one.
    rustup.run(["toolchain", "uninstall", "stable"]).ok();
    let args = ["-y", "--no-modify-path", "--profile=default", "--default-toolchain", "stable"];
    boot(&args).exits(1).stderr_lacks("has the profile");
}

#[test]
fn the_setup_page_shows_the_configured_toolchain_and_targets() {
    let (sandbox, _world, dist) = mirror_with_toolchains(MINIMAL_PLATFORMS);
    drop(dist);
    let page = |text: &str| {
        sandbox.write("config/frostmirror.toml", text);
        let serving = sandbox.serve(["--mirror", "mirror", "--config-dir", "config"]);
        String::from_utf8(get(&format!("{}/setup", serving.url())).body).unwrap()
    };
    let release = STABLE.0;
    let own = page(&format!("toolchain = '{release}'\ntargets = ['{LINUX}', '{WASM}']\n"));
    assert_eq!(own.matches(&format!("-- --default-toolchain {release} --target {WASM}\n")).count(), 2, "{own}");
    assert!(own.contains(&format!("rustup-init.ps1 --default-toolchain {release} --target {WASM}\n")));
    assert!(own.contains(&format!("This mirror has {release} for {LINUX}.")) && !own.contains("setup-note"));
    assert!(own.contains(&format!("This mirror has no {release} for macOS.")));
    assert!(page("").contains("-- --default-toolchain stable\n"), "the defaults ask for no other target");
    let other = page(&format!("toolchain = 'nightly'\ntargets = ['{WINDOWS}', '{LINUX}']\n"));
    assert!(other.contains("-- --default-toolchain stable\n") && !other.contains("--default-toolchain nightly"));
    assert!(other.contains("the toolchain nightly, which this mirror lacks"), "{other}");
    assert!(other.contains(&format!("The settings name {WINDOWS}, but this mirror lacks that standard library.")));
}

#[test]
fn the_bootstrap_sets_no_profile_when_the_default_profile_is_available() {
    let (sandbox, _world, _dist) = mirror_with_toolchains("");
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let script = String::from_utf8(get(&format!("{}/rustup-init.sh", serving.url())).body).unwrap();
    assert!(script.contains("\nPROFILES=''\n"), "{script}");
}
