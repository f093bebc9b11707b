//! What is said of the toolchains that a mirror has: by `status`, `list`, `serve` and `setup`, and by its bootstraps.

use serde_json::{Value, json};

use crate::journey::world::World;
use crate::support::dist::{Dist, LINUX, STABLE, WASM, WINDOWS};
use crate::support::rustup::{self, Rustup};
use crate::support::sandbox::Sandbox;
use crate::support::web::get;

/// A sandbox whose `mirror` has what `[platforms]` asks for, without any crate.
fn mirrored(platforms: &str) -> (Sandbox, World, Dist) {
    let (world, dist) = (World::new(), Dist::start());
    let sandbox = mirrored_from(&world, &dist, platforms);
    (sandbox, world, dist)
}

fn mirrored_from(world: &World, dist: &Dist, platforms: &str) -> Sandbox {
    let sandbox = world.sandbox().env("FROSTMIRROR_DIST_URL", dist.url());
    sandbox.write("depends.toml", format!("[platforms]\n{platforms}"));
    let bundle = sandbox.run(["fetch"]).ok().stdout;
    sandbox.run(["import", "--mirror", "mirror", bundle.trim()]).ok();
    sandbox
}

const SMALL: &str = "targets = [\"x86_64-unknown-linux-gnu\", \"wasm32-unknown-unknown\"]\nprofile = \"minimal\"\n\
                     components = [\"rust-src\"]\n";

#[test]
fn status_and_list_tell_what_there_is_of_toolchains() {
    let (sandbox, _world, dist) = mirrored(SMALL);
    let release = STABLE.0;
    let status = sandbox.run(["status", "--mirror", "mirror"]).ok();
    let status = status.stdout_has(&format!(
        "\nToolchain stable ({release}): {}; profile minimal on {LINUX}; also builds for {WASM}; with rust-src\n",
        STABLE.1
    ));
    let status = status.stdout_has("\nRustup: ").stdout_has(&format!(" for {LINUX}\n"));
    status.stdout_has("Rustup artifacts: ").stdout_has("iB, ");
    let object = sandbox.run(["status", "--mirror", "mirror", "--message-format", "json"]).ok().stdout;
    let object: Value = serde_json::from_str(object.lines().next().unwrap()).unwrap();
    let stable = &object["offers"]["toolchains"][0];
    assert_eq!(stable["hosts"], json!({ LINUX: "minimal" }));
    assert_eq!(stable["targets"], json!([WASM, LINUX]));
    assert_eq!(stable["components"], json!(["rust-src"]));
    assert_eq!(stable["date"], STABLE.1);
    assert_eq!(object["offers"]["rustup"]["hosts"], json!([LINUX]));
    let listed = sandbox.run(["list", "--mirror", "mirror"]).ok();
    listed.stderr_has(" are part of the size, and not listed: stable");
    drop(dist);
}

#[test]
fn a_mirror_of_toolchains_alone_is_not_empty() {
    let (sandbox, _world, _dist) = mirrored(SMALL);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let said = serving.stop().stderr;
    assert!(said.contains("Serving") && !said.contains("nothing has been imported"), "{said}");
}

#[test]
fn rustups_variables_are_there_for_eval() {
    let (sandbox, _world, _dist) = mirrored(SMALL);
    let words = ["setup", "--local", "--mirror", "mirror", "--env"];
    let run = sandbox.run(words.into_iter().chain(["sh"])).ok();
    let run = run.stderr_has("give rustup `--profile minimal`");
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
fn the_bootstrap_asks_for_the_profile_that_there_is() {
    let (sandbox, _world, _dist) = mirrored(SMALL);
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
    let (world, dist) = (World::new(), Dist::start());
    dist.publish_rustup(&rustup::version(), &[LINUX, WINDOWS], &rustup::bytes());
    let sandbox = mirrored_from(&world, &dist, SMALL);
    drop(dist);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let script = get(&format!("{}/rustup-init.sh", serving.url())).body;
    let rustup = Rustup::at(serving.url());
    let boot = |words: &[&str]| rustup.process("/bin/sh").args(["-s", "--"]).args(words).stdin(&script).run();
    boot(&["-y", "--no-modify-path", "--default-toolchain", "stable"]).ok().stderr_has("--profile minimal");
    rustup.tool("rustc", ["-V"]).ok().stdout_has(&format!("rustc {}", STABLE.0));
    // Who names a profile gets that one.
    rustup.run(["toolchain", "uninstall", "stable"]).ok();
    let words = ["-y", "--no-modify-path", "--profile=default", "--default-toolchain", "stable"];
    boot(&words).exits(1).stderr_lacks("has the profile");
}

#[test]
fn the_setup_page_names_the_toolchain_and_the_targets_of_the_settings() {
    let (sandbox, _world, dist) = mirrored(SMALL);
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
    assert!(own.contains(&format!("This mirror has {release} for no machine with macOS.")));
    assert!(page("").contains("-- --default-toolchain stable\n"), "the defaults ask for no other target");
    let other = page(&format!("toolchain = 'nightly'\ntargets = ['{WINDOWS}', '{LINUX}']\n"));
    assert!(other.contains("-- --default-toolchain stable\n") && !other.contains("--default-toolchain nightly"));
    assert!(other.contains("the toolchain nightly, which this mirror does not hold"), "{other}");
    assert!(other.contains(&format!("The settings name {WINDOWS}, which this mirror has no standard library for.")));
}

#[test]
fn the_bootstrap_says_nothing_of_profiles_where_there_is_rustups_own() {
    let (sandbox, _world, _dist) = mirrored("");
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let script = String::from_utf8(get(&format!("{}/rustup-init.sh", serving.url())).body).unwrap();
    assert!(script.contains("\nPROFILES=''\n"), "{script}");
}
