//! rust-toolchain.toml: what `fetch` makes of it, and machines that do not have the toolchain that it names.

use std::fs;
use std::path::Path;

use super::{connected_sandbox, inspect};
use crate::end_to_end::fixture_registry::FixtureRegistry;
use crate::support::client::Project;
use crate::support::dist::{DistServer, LINUX, OLD_STABLE, WINDOWS};
use crate::support::process::Run;
use crate::support::rustup;
use crate::support::sandbox::Sandbox;

/// A project that needs `leaf`, with this toolchain file.
fn pinned_project(sandbox: &Sandbox, world: &FixtureRegistry, pin: &str) -> std::path::PathBuf {
    let project = Project::new("app").dep("leaf", "0.3");
    let lock = world.lockfile_of(&project);
    let app = project.lockfile(&lock).write(&sandbox.path("app"));
    fs::write(app.join("rust-toolchain.toml"), pin).unwrap();
    app
}

fn fetched_toolchains(sandbox: &Sandbox, run: &Run, from: &Path) -> (Vec<String>, Vec<String>) {
    let about = inspect(sandbox, &from.join(run.path()));
    let args = |key: &str| {
        let list = about[key].as_array().unwrap_or_else(|| panic!("no {key}: {about}"));
        list.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    (args("toolchains"), args("targets"))
}

#[test]
fn fetch_ships_the_toolchain_pinned_by_the_workspace() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist).env("RUSTUP_TOOLCHAIN", "stable");
    let app = pinned_project(&sandbox, &world, "[toolchain]\nchannel = \"1.86.0\"\nprofile = \"minimal\"\n");
    let run = sandbox.run_in(&app.join("src"), ["fetch", "-o", "../../out"]).ok();
    let output = format!("the toolchain 1.86.0 of `{}`", app.join("rust-toolchain.toml").display());
    let run = run.stderr_has(&output).stderr_has("`--no-toolchain` leaves it out");
    assert_eq!(
        fetched_toolchains(&sandbox, &run, &app.join("src")),
        (vec![format!("1.86.0 ({})", OLD_STABLE.1)], vec![LINUX.into()])
    );

    let run =
        sandbox.run_in(&app, ["fetch", "--no-toolchain", "-o", "../none"]).ok().stderr_lacks("Using the toolchain");
    let about = inspect(&sandbox, &app.join(run.path()));
    assert_eq!(about["toolchains"].as_array().map_or(0, Vec::len), 0, "{about}");
    // What the user says of this run comes before the file.
    let run =
        sandbox.process_in(&app, ["fetch", "-o", "../env"]).envs([("FROSTMIRROR_TOOLCHAIN", "stable")]).run().ok();
    assert!(fetched_toolchains(&sandbox, &run, &app).0[0].starts_with("stable"));
    let run = sandbox.run_in(&app, ["fetch", "--target", WINDOWS, "-o", "../target"]).ok();
    assert_eq!(
        fetched_toolchains(&sandbox, &run, &app),
        (vec![format!("1.86.0 ({})", OLD_STABLE.1)], vec![WINDOWS.into()])
    );
}

#[test]
fn depends_toml_beside_a_toolchain_file_uses_its_toolchain_unless_it_names_others() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist).env("RUSTUP_TOOLCHAIN", "stable");
    sandbox.write("rust-toolchain", "1.86.0-x86_64-pc-windows-msvc\n");
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\n");
    let run = sandbox.run(["fetch"]).ok().stderr_has("the toolchain 1.86.0 of");
    assert_eq!(
        fetched_toolchains(&sandbox, &run, &sandbox.path("")),
        (vec![format!("1.86.0 ({})", OLD_STABLE.1)], vec![WINDOWS.into()])
    );
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\n[platforms]\ntoolchain = \"nightly\"\n");
    let run = sandbox.run(["fetch"]).ok().stderr_lacks("the toolchain 1.86.0 of");
    let run = run.stderr_has("no longer requests toolchain `1.86.0`");
    assert!(fetched_toolchains(&sandbox, &run, &sandbox.path("")).0[0].starts_with("nightly"));
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\n");
    sandbox.write("rust-toolchain", "our-own\n");
    sandbox.run(["fetch", "-o", "own"]).ok().stderr_has("our-own").stderr_has("no toolchain is included");
    for (file, warning) in [
        ("[toolchain]\npath = \"/opt/rust\"\n", "names the toolchain folder `/opt/rust`, which cannot be mirrored"),
        ("[toolchain]\ntargets = [\"wasm32-unknown-unknown\"]\n", "names no `channel`"),
        ("[toolchain]\nchannel = \"1.86.0\"\npath = \"/opt\"\n", "it has both `channel` and `path`"),
        ("[toolchain]\nchannel = 1.86.0\n", "is not a toolchain file"),
    ] {
        sandbox.write("rust-toolchain", file);
        let run = sandbox.run(["fetch", "-o", "unusable"]).ok();
        run.stderr_has(warning).stderr_has("; no toolchain is included").stderr_lacks("the toolchain 1.86.0 of");
    }
    sandbox.write("rust-toolchain", "our-own\n");
    // A lock is exactly its packages.
    let app = pinned_project(&sandbox, &world, "[toolchain]\nchannel = \"1.86.0\"\n");
    sandbox.run_in(&app, ["fetch", "--lockfile", "Cargo.lock", "-o", "../lock"]).ok().stderr_has("no toolchain");
}

#[test]
fn a_pinned_toolchain_missing_upstream_is_named_with_its_file() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist).env("RUSTUP_TOOLCHAIN", "stable");
    let app = pinned_project(&sandbox, &world, "[toolchain]\nchannel = \"1.60\"\n");
    let run = sandbox.run_in(&app, ["fetch"]).exits(3).stderr_has("app/rust-toolchain.toml");
    run.stderr_has("exclude toolchains with `--no-toolchain`").stderr_has("`rustup toolchain install 1.60`");
}

/// The machine's own rustup as cargo and rustc: in its proxies the toolchain files count.
fn with_rustup_proxies(sandbox: Sandbox) -> Sandbox {
    let rustup = rustup::find_rustup();
    let folder = sandbox.root().join("proxies");
    fs::create_dir(&folder).unwrap();
    for name in ["rustup", "cargo", "rustc"] {
        std::os::unix::fs::symlink(rustup, folder.join(name)).unwrap();
    }
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display());
    sandbox.env("PATH", &path).env("RUSTUP_TOOLCHAIN", "")
}

#[test]
#[ignore = "needs rustup"]
fn a_pinned_toolchain_need_not_be_installed() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = with_rustup_proxies(connected_sandbox(&world, &dist));
    // Rustup would ask here, if it were to install what is missing.
    let requested = DistServer::with_builder(crate::support::upstream::Upstream::builder());
    let sandbox = sandbox.env("RUSTUP_DIST_SERVER", requested.url());
    let app = pinned_project(&sandbox, &world, "[toolchain]\nchannel = \"1.4.0\"\n");
    let named = format!("to run cargo: `{}` pins", app.join("rust-toolchain.toml").display());
    sandbox.run_in(&app, ["fetch", "--no-toolchain", "-o", "../a"]).ok().stderr_has(&named);
    sandbox.run_in(&app, ["fetch", "--lockfile", "Cargo.lock", "-o", "../b"]).ok().stderr_has(&named);
    let manifest = app.join("Cargo.toml");
    let args = ["fetch", "--no-toolchain", "--manifest-path", manifest.to_str().unwrap(), "-o", "c"];
    sandbox.run(args).ok().stderr_has(&named);
    fs::remove_file(app.join("Cargo.lock")).unwrap();
    sandbox.run_in(&app, ["fetch", "--no-toolchain", "-o", "../d"]).ok().stderr_has("no Cargo.lock");
    sandbox.run_in(&app, ["init"]).ok().stderr_has(&named);
    let depends = fs::read_to_string(app.join("depends.toml")).unwrap();
    assert!(depends.contains("toolchain = [\"1.4.0\"]"), "{depends}");
    // A status line says what is wrong with the file.
    for (file, reason) in [
        ("[toolchain]\nchannel = 1.4.0\n", "is not a toolchain file: line 2, column 1"),
        (
            "[toolchain]\npath = \"/opt/none\"\n",
            "names the folder `/opt/none` as the toolchain, but it contains no working cargo",
        ),
    ] {
        fs::write(app.join("rust-toolchain.toml"), file).unwrap();
        let run = sandbox.run_in(&app, ["fetch", "--no-toolchain", "-o", "../e"]).ok();
        run.stderr_has("to run cargo: `").stderr_has(reason).stderr_lacks("not installed");
    }
    assert_eq!(requested.requests().len(), 0);
}

/// What the guide says about `cargo frostmirror fetch`.
#[test]
#[ignore = "needs rustup"]
fn the_cargo_of_rustup_needs_the_pinned_toolchain_before_frostmirror_starts() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = with_rustup_proxies(connected_sandbox(&world, &dist));
    let binary = sandbox.root().join("proxies/cargo-frostmirror");
    std::os::unix::fs::symlink(crate::support::sandbox::BINARY, binary).unwrap();
    let requested = DistServer::with_builder(crate::support::upstream::Upstream::builder());
    let sandbox = sandbox.env("RUSTUP_DIST_SERVER", requested.url()).env("RUSTUP_AUTO_INSTALL", "0");
    let app = pinned_project(&sandbox, &world, "[toolchain]\nchannel = \"1.4.0\"\n");
    let run = |program: &str, args: &[&str]| {
        let args = args.iter().chain(&["fetch", "--no-toolchain", "-o", "../out"]);
        sandbox.other_program(sandbox.root().join("proxies").join(program).to_str().unwrap(), args).cwd(&app).run()
    };
    run("cargo", &["frostmirror"]).exits(1).stderr_has("is not installed");
    run("cargo", &["+stable", "frostmirror"]).ok();
    run("cargo-frostmirror", &[]).ok().stderr_has("pins a toolchain that is not installed here");
    // frostmirror itself installs nothing, whatever rustup would do.
    let sandbox = sandbox.env("RUSTUP_AUTO_INSTALL", "1");
    sandbox.run_in(&app, ["fetch", "--no-toolchain", "-o", "../auto"]).ok();
    assert_eq!(requested.requests().len(), 0);
}
