//! Toolchains on their whole way: asked for in depends.toml, fetched, carried, imported, and installed by the real rustup.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::end_to_end::fixture_registry::FixtureRegistry;
use crate::support::dist::release::Release;
use crate::support::dist::{DistServer, LINUX, NIGHTLY, OLD_STABLE, RUSTUP, STABLE, WASM, WINDOWS};
use crate::support::rustup::{self, Rustup};
use crate::support::sandbox::{BINARY, Sandbox};
use crate::support::wait;

mod build_std;
mod kept;
mod pinned;

/// A machine with network: the fake crates.io and the fake dist server.
fn connected_sandbox(world: &FixtureRegistry, dist: &DistServer) -> Sandbox {
    world.sandbox().env("FROSTMIRROR_DIST_URL", dist.url())
}

fn write_depends(sandbox: &Sandbox, platforms: &str) {
    sandbox.write("depends.toml", format!("[dependencies]\nleaf = \"0.3\"\n\n[platforms]\n{platforms}"));
}

/// The bundle that `fetch` wrote.
fn fetch(sandbox: &Sandbox, args: &[&str]) -> PathBuf {
    let args: Vec<&str> = ["fetch"].into_iter().chain(args.iter().copied()).collect();
    PathBuf::from(sandbox.run(args).ok().stdout.trim())
}

fn import(sandbox: &Sandbox, bundle: &std::path::Path) {
    sandbox.run(["import", "--mirror", "mirror", bundle.to_str().unwrap()]).ok();
}

/// What `inspect` says, as JSON.
fn inspect(sandbox: &Sandbox, bundle: &std::path::Path) -> Value {
    let output = sandbox.run(["inspect", "--format", "json", bundle.to_str().unwrap()]).ok().stdout;
    serde_json::from_str(&output).unwrap()
}

/// Paths of the table in one state.
fn paths_in_state(sandbox: &Sandbox, bundle: &std::path::Path, state: &str) -> Vec<String> {
    let about = inspect(sandbox, bundle);
    let table = about["artifacts"].as_array().unwrap_or_else(|| panic!("no table of artifacts: {about}")).clone();
    let there = table.iter().filter(|one| one["state"] == state);
    there.map(|one| one["path"].as_str().unwrap().to_owned()).collect()
}

fn assert_clean(sandbox: &Sandbox) {
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

const ALL_TARGETS: &str = "targets = [\"x86_64-unknown-linux-gnu\", \"x86_64-pc-windows-msvc\", \"wasm32-unknown-unknown\"]\n\
                   toolchain = [\"stable\", \"1.86.0\", \"nightly-2026-04-25\"]\ncomponents = [\"rust-src\"]\n";

#[test]
#[ignore = "needs rustup"]
fn requested_toolchains_are_installed_behind_the_air_gap() {
    let version = rustup::local_version();
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    dist.publish_rustup(&version, &[LINUX, WINDOWS], &rustup::local_binary());
    let sandbox = connected_sandbox(&world, &dist);
    write_depends(&sandbox, ALL_TARGETS);
    let bundle = fetch(&sandbox, &[]);
    let output = sandbox.run(["verify", bundle.to_str().unwrap()]).ok().stdout;
    assert!(output.starts_with("OK -- ") && !output.contains(" 0 rustup artifacts"), "{output}");
    import(&sandbox, &bundle);
    assert_clean(&sandbox);
    drop(dist);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let rustup = Rustup::for_mirror(serving.url());
    rustup.init(["--default-toolchain", "stable"]).ok();
    rustup.tool("rustc", ["-V"]).ok().stdout_has(&format!("rustc {}", STABLE.0));
    for name in [OLD_STABLE.0, "nightly-2026-04-25"] {
        rustup.run(["toolchain", "install", name, "--profile", "minimal"]).ok();
    }
    rustup.tool("rustc", [&format!("+{}", OLD_STABLE.0), "-V"]).ok().stdout_has(&format!("rustc {}", OLD_STABLE.0));
    rustup.run(["target", "add", WASM]).ok();
    rustup.run(["component", "add", "rust-src"]).ok();
    rustup.run(["check"]).ok();
    rustup.run(["update"]).ok();
}

#[test]
fn a_delta_ships_only_the_new_release_and_moves_the_channel() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist);
    write_depends(&sandbox, "targets = [\"x86_64-unknown-linux-gnu\"]\ntoolchain = [\"stable\", \"1.86.0\"]\n");
    let full = fetch(&sandbox, &[]);
    import(&sandbox, &full);
    sandbox.run(["fetch", "--incremental"]).ok().stderr_has("nothing new");

    // Another target brings its own files and no others'.
    write_depends(
        &sandbox,
        "targets = [\"x86_64-unknown-linux-gnu\", \"wasm32-unknown-unknown\"]\ntoolchain = [\"stable\", \"1.86.0\"]\n",
    );
    let target = fetch(&sandbox, &["--incremental"]);
    let large = |paths: Vec<String>| -> Vec<String> {
        paths.into_iter().filter(|path| path.ends_with(".tar.xz") || path.contains("rustup-init")).collect()
    };
    let shipped = large(paths_in_state(&sandbox, &target, "shipped"));
    let ends = |path: &String| path.ends_with(".sha256") || path.contains(WASM);
    assert!(!shipped.is_empty() && shipped.iter().all(ends), "{shipped:?}");
    import(&sandbox, &target);
    assert_clean(&sandbox);

    dist.publish(&Release::stable("1.96.0", "2026-05-28"));
    let moved = fetch(&sandbox, &["--incremental"]);
    let shipped = large(paths_in_state(&sandbox, &moved, "shipped"));
    assert!(shipped.iter().any(|path| path.contains("rustc-1.96.0")), "{shipped:?}");
    assert!(!shipped.iter().any(|path| path.contains("1.86.0") || path.contains(STABLE.0)), "{shipped:?}");
    assert!(fs::metadata(&moved).unwrap().len() < fs::metadata(&full).unwrap().len());
    import(&sandbox, &moved);
    assert_clean(&sandbox);
    let stable = fs::read_to_string(sandbox.path("mirror/dist/channel-rust-stable.toml")).unwrap();
    assert!(stable.contains("1.96.0"), "{stable}");
    // The first one again, late: nothing goes back.
    import(&sandbox, &full);
    assert_eq!(fs::read_to_string(sandbox.path("mirror/dist/channel-rust-stable.toml")).unwrap(), stable);
    assert_clean(&sandbox);
}

#[test]
fn toolchains_that_never_arrived_are_reported() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist);
    sandbox.write("b.toml", "[dependencies]\nengine = \"1\"\n");
    write_depends(&sandbox, "toolchain = \"1.86.0\"\nprofile = \"minimal\"\n");
    fetch(&sandbox, &["-c", "depends.toml"]);
    let other = fetch(&sandbox, &["-c", "b.toml"]);
    let output = sandbox.run(["import", "--mirror", "mirror", other.to_str().unwrap()]).ok();
    output.stderr_has("rustup artifacts, which other inputs of the history");
}

#[test]
fn a_moved_channel_ships_the_components_of_every_input() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist);
    sandbox.write(
        "a.toml",
        "[dependencies]\nleaf = \"0.3\"\n[platforms]\ntargets = [\"x86_64-pc-windows-msvc\"]\nprofile = \"minimal\"\n",
    );
    sandbox.write("b.toml", "[dependencies]\nengine = \"1\"\n[platforms]\ntargets = [\"x86_64-unknown-linux-gnu\"]\n");
    import(&sandbox, &fetch(&sandbox, &["-c", "a.toml"]));
    dist.publish(&Release::stable("1.96.0", "2026-05-28"));
    let bundle = fetch(&sandbox, &["-c", "b.toml", "--incremental"]);
    let shipped = paths_in_state(&sandbox, &bundle, "shipped");
    for triple in [WINDOWS, LINUX] {
        assert!(shipped.iter().any(|path| path.contains(&format!("rustc-1.96.0-{triple}"))), "{triple}: {shipped:?}");
    }
    import(&sandbox, &bundle);
    assert_clean(&sandbox);
}

#[test]
fn an_input_recorded_during_a_fetch_gets_its_components_of_a_moved_channel() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist);
    let (one, other) =
        ("[platforms]\ntargets = [\"x86_64-pc-windows-msvc\"]\nprofile = \"minimal\"\n", "[platforms]\n");
    sandbox.write("a.toml", one);
    sandbox.write("b.toml", other);
    fetch(&sandbox, &["-c", "a.toml"]);
    let history = sandbox.frostmirror_home().join("history");
    let recorded = fs::read(history.join("lineage.json")).unwrap();
    fs::remove_file(history.join("lineage.json")).unwrap();
    let lock = fs::File::options().append(true).open(history.join("lock")).unwrap();
    lock.lock().unwrap();
    let release = Release::stable("1.96.0", "2026-05-28");
    dist.publish(&release);
    let running = sandbox.process(["fetch", "-c", "b.toml"]).start();
    // It has read the history by now, and cannot go on before this one is recorded.
    let path = release.archive_path("rustc", LINUX, "xz");
    wait::until_with(
        "rustc is downloaded",
        || running.stderr(),
        || dist.requests_to(&path).iter().any(|seen| seen.method == "GET"),
    );
    fs::write(history.join("lineage.json"), recorded).unwrap();
    drop(lock);
    let bundle = PathBuf::from(running.wait(Duration::from_secs(60)).ok().stdout.trim());
    let shipped = paths_in_state(&sandbox, &bundle, "shipped");
    assert!(shipped.iter().any(|path| path.contains(&format!("rustc-1.96.0-{WINDOWS}"))), "{shipped:?}");
    import(&sandbox, &bundle);
    assert_clean(&sandbox);
}

#[test]
fn an_input_that_blocks_the_fetch_is_named_and_can_be_forgotten() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist);
    let windows = "[dependencies]\nleaf = \"0.3\"\n[platforms]\ntargets = [\"x86_64-pc-windows-msvc\"]\n";
    sandbox.write("a.toml", windows);
    sandbox.write("b.toml", "[dependencies]\nengine = \"1\"\n[platforms]\ntargets = [\"x86_64-unknown-linux-gnu\"]\n");
    fetch(&sandbox, &["-c", "a.toml"]);
    dist.publish(&Release::stable("1.96.0", "2026-05-28").hosts(&[LINUX]));
    let input = "desk-a (depends.toml)";
    let refused = sandbox.run(["fetch", "-c", "b.toml", "--incremental"]).exits(3);
    refused.stderr_has(WINDOWS).stderr_has(&format!("for `{input}`")).stderr_has(&format!("--forget '{input}'"));
    // An error in this run's own input does not name another input.
    let own = sandbox.run(["fetch", "-c", "a.toml"]).exits(3);
    assert!(!own.stderr.contains("--forget"), "{}", own.stderr);
    fetch(&sandbox, &["-c", "b.toml", "--incremental", "--forget", "a.toml"]);

    // Likewise a toolchain that only it wants, and that is gone.
    sandbox.write("a.toml", "[platforms]\ntoolchain = \"1.86.0\"\nprofile = \"minimal\"\n");
    fetch(&sandbox, &["-c", "a.toml"]);
    dist.remove_file("/dist/channel-rust-1.86.0.toml.sha256");
    let refused = sandbox.run(["fetch", "-c", "b.toml"]).exits(3);
    refused.stderr_has("no toolchain `1.86.0`").stderr_has(&format!("--forget '{input}'"));
}

#[test]
fn no_toolchain_keeps_the_toolchains_sent_before() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist);
    write_depends(&sandbox, "toolchain = \"stable\"\nprofile = \"minimal\"\n");
    import(&sandbox, &fetch(&sandbox, &[]));
    sandbox.write(
        "depends.toml",
        "[dependencies]\nleaf = \"0.3\"\nengine = \"1\"\n[platforms]\ntoolchain = \"stable\"\nprofile = \"minimal\"\n",
    );
    let bundle = fetch(&sandbox, &["--incremental", "--no-toolchain"]);
    assert_eq!(paths_in_state(&sandbox, &bundle, "shipped"), Vec::<String>::new());
    assert!(!paths_in_state(&sandbox, &bundle, "kept").is_empty());
    import(&sandbox, &bundle);
    assert_clean(&sandbox);
}

#[test]
fn environment_variables_apply_without_platforms_and_no_toolchain_skips_them() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist);
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\n");
    sandbox.run(["fetch"]).ok().stderr_has("only crates, no toolchains");
    assert!(dist.requests().is_empty());
    let requested =
        connected_sandbox(&world, &dist).env("FROSTMIRROR_TOOLCHAIN", "1.86.0").env("FROSTMIRROR_PLATFORMS", WASM);
    requested.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\n");
    let bundle = fetch(&requested, &[]);
    let shipped = paths_in_state(&requested, &bundle, "shipped");
    assert!(shipped.iter().any(|path| path.contains(&format!("rust-std-1.86.0-{WASM}"))), "{shipped:?}");
    assert!(!shipped.iter().any(|path| path.contains("rustc-") || path.contains("rustup")), "{shipped:?}");
    let targeted = fetch(&requested, &["--target", LINUX, "-o", "other"]);
    let shipped = paths_in_state(&requested, &targeted, "shipped");
    assert!(shipped.iter().any(|path| path.contains(&format!("rustc-1.86.0-{LINUX}"))), "{shipped:?}");
    assert!(shipped.contains(&format!("rustup/archive/{RUSTUP}/{LINUX}/rustup-init")), "{shipped:?}");
    requested.run(["fetch", "--no-toolchain", "-o", "bare"]).ok();
}

#[test]
fn a_dry_run_estimates_sizes_and_an_unknown_triple_is_refused() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist);
    write_depends(&sandbox, "toolchain = \"nightly\"\nprofile = \"minimal\"\n");
    let planned = sandbox.run(["fetch", "--dry-run"]).ok();
    let planned = planned.stdout_has(&format!("dist/{}/cargo-nightly-{LINUX}.tar.xz", NIGHTLY.1));
    planned.stderr_has("rustup artifacts");
    assert!(!sandbox.path("output").exists());
    write_depends(&sandbox, "targets = [\"x86_64-unknown-linux-gnuu\"]\n");
    let refused = sandbox.run(["fetch"]).exits(3);
    refused.stderr_has("x86_64-unknown-linux-gnuu").stderr_has("x86_64-unknown-linux-gnu`");
}

#[test]
fn a_failing_dist_server_is_named_and_nothing_is_written() {
    use crate::support::upstream::Fault;
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist);
    write_depends(&sandbox, "toolchain = \"stable\"\nprofile = \"minimal\"\n");
    let path = Release::stable(STABLE.0, STABLE.1).archive_path("rustc", LINUX, "xz");
    // Once for the question how long it is, and once for the file.
    dist.fault(&path, [Fault::Status(404), Fault::Status(404)]);
    sandbox.run(["fetch"]).exits(5).stderr_has("rustc-1.95.0");
    assert!(fs::read_dir(sandbox.path("output")).map_or(0, Iterator::count) == 0);
    import(&sandbox, &fetch(&sandbox, &[]));
    assert_clean(&sandbox);
}

#[test]
fn init_requests_the_toolchain_of_the_project() {
    let sandbox = Sandbox::new();
    sandbox.write("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    sandbox.write("src/lib.rs", "");
    sandbox.write("Cargo.lock", "version = 3\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n");
    let file =
        "[toolchain]\nchannel = \"1.86.0\"\ncomponents = [\"rust-src\"]\ntargets = [\"wasm32-unknown-unknown\"]\n";
    sandbox.write("rust-toolchain.toml", format!("{file}profile = \"minimal\"\n"));
    // The toolchain that it names is not installed, and rustup is not to fetch it.
    let run = |args: &[&str]| sandbox.process(args.iter().copied()).envs([("RUSTUP_TOOLCHAIN", "stable")]).run();
    run(&["init"]).ok().stderr_has("1 toolchain");
    let text = fs::read_to_string(sandbox.path("depends.toml")).unwrap();
    let table = "[platforms]\ntargets = [\"x86_64-unknown-linux-gnu\", \"wasm32-unknown-unknown\"]\n\
                 toolchain = [\"1.86.0\"]\ncomponents = [\"rust-src\"]\nprofile = \"minimal\"\n";
    assert!(text.contains(table), "{text}");
    sandbox.write("rust-toolchain.toml", "[toolchain]\nchannel = \"our-own\"\n");
    run(&["init", "--force"]).ok().stderr_has("our-own");
    assert!(!fs::read_to_string(sandbox.path("depends.toml")).unwrap().contains("[platforms]"));
    sandbox.write("rust-toolchain.toml", "[toolchain]\npath = \"/opt/rust\"\n");
    let init = run(&["init", "--force"]).ok().stderr_has("names the toolchain folder `/opt/rust`");
    init.stderr_has("`[platforms]` is left out").stderr_lacks("for `[platforms]`");
    assert!(!fs::read_to_string(sandbox.path("depends.toml")).unwrap().contains("[platforms]"));
}

#[test]
fn corrupt_dist_files_are_reported_and_restored_by_a_repair_list() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist);
    write_depends(&sandbox, "toolchain = \"1.86.0\"\nprofile = \"minimal\"\n");
    import(&sandbox, &fetch(&sandbox, &[]));
    let rustc = &Release::stable(OLD_STABLE.0, OLD_STABLE.1).archive_path("rustc", LINUX, "xz")[1..];
    fs::write(sandbox.path("mirror").join(rustc), "rot").unwrap();
    fs::remove_file(sandbox.path("mirror/dist/channel-rust-1.86.0.toml.sha256")).unwrap();
    fs::remove_file(sandbox.path("mirror/crates/leaf-0.3.0.crate")).ok();
    let audit = sandbox.run(["verify", "--mirror", "mirror", "--repair-list", "list"]).exits(4);
    audit.stdout_has(rustc).stdout_has("channel-rust-1.86.0.toml.sha256");
    // A pipe is readable only once.
    let list = fs::read(sandbox.path("list")).unwrap();
    let run = sandbox.process(["fetch", "--from-list", "/dev/stdin"]).stdin(&list).run().ok();
    let bundle = PathBuf::from(run.stdout.trim());
    assert!(paths_in_state(&sandbox, &bundle, "shipped").contains(&rustc.to_owned()));
    import(&sandbox, &bundle);
    assert_clean(&sandbox);
    // It says nothing new of the history: the next delta has nothing to say either.
    sandbox.run(["fetch", "--incremental"]).ok().stderr_has("nothing new");
}

#[test]
fn a_mirror_with_only_toolchains_is_set_up_for_rustup_only() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist);
    sandbox.write("depends.toml", "[platforms]\ntoolchain = \"1.86.0\"\nprofile = \"minimal\"\n");
    sandbox.run(["setup", "--local", "--mirror", "mirror"]).exits(3).stderr_has("no index");
    import(&sandbox, &fetch(&sandbox, &[]));
    let output = sandbox.run(["setup", "--local", "--mirror", "mirror"]).ok();
    let output = output.stdout_has("export RUSTUP_DIST_SERVER='file:///").stderr_has("no crates");
    assert!(!output.stdout.contains("[source") && !output.stdout.contains("For cargo"), "{}", output.stdout);
    sandbox.run(["setup", "--local", "--mirror", "mirror", "--write"]).exits(3).stderr_has("no crates");
}

#[test]
fn a_component_in_rustups_spelling_is_refused_with_a_hint() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist);
    write_depends(&sandbox, "toolchain = \"1.86.0\"\ncomponents = [\"rust-std-wasm32-unknown-unknown\"]\n");
    sandbox.run(["fetch"]).exits(3).stderr_has("add `wasm32-unknown-unknown` to `targets`");
}

#[test]
fn a_repair_ships_available_files_and_names_missing_ones() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist);
    write_depends(&sandbox, "toolchain = \"stable\"\nprofile = \"minimal\"\n");
    import(&sandbox, &fetch(&sandbox, &[]));
    let now = Release::stable(STABLE.0, STABLE.1);
    let rustc = &now.archive_path("rustc", LINUX, "xz")[1..];
    let lost = [rustc, "dist/channel-rust-stable.toml", "rustup/release-stable.toml"];
    for path in lost {
        fs::write(sandbox.path("mirror").join(path), "rot").unwrap();
    }
    sandbox.run(["verify", "--mirror", "mirror", "--repair-list", "list"]).exits(4);
    dist.publish(&Release::stable("1.96.0", "2026-05-28"));
    dist.publish_rustup("10.0.0", &[LINUX, WINDOWS], b"#!/bin/sh\n");
    // Nothing is in the cache.
    let elsewhere = connected_sandbox(&world, &dist);
    let home = sandbox.frostmirror_home();
    fs::remove_dir_all(home.join("cache")).unwrap();
    let history = home.join("history");
    let args = ["fetch", "--from-list", "list"];
    let run = sandbox.process(args).run().exits(5);
    let run = run.stderr_has("`rustup/release-stable.toml` has a newer file").stderr_has("cargo frostmirror fetch");
    // The manifest is still there in the folder of its day, as the history knows.
    assert!(!run.stderr.contains("channel-rust-stable") && !run.stderr.contains("rustc"), "{}", run.stderr);
    let bundle = PathBuf::from(run.stdout.trim());
    assert_eq!(paths_in_state(&sandbox, &bundle, "shipped"), [rustc, "dist/channel-rust-stable.toml"]);
    import(&sandbox, &bundle);
    let rest = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
    assert!(!rest.stdout.contains("rustc") && !rest.stdout.contains("channel-rust"), "{}", rest.stdout);
    // As the hint says, the next bundle mends the rest.
    import(&sandbox, &fetch(&sandbox, &["--incremental"]));
    assert_clean(&sandbox);

    // Without any available file there is no bundle. An immutable file that changed is not retried.
    elsewhere.write("list", fs::read(sandbox.path("list")).unwrap());
    dist.put_file(&format!("/{rustc}"), "altered");
    dist.remove_file("/dist/channel-rust-stable.toml");
    let run = elsewhere.run(args).exits(4);
    let run = run
        .stderr_has(&format!("`{rustc}` has different bytes"))
        .stderr_has("`dist/channel-rust-stable.toml` does not exist");
    assert_eq!(run.stdout, "");
    assert!(history.exists() && !elsewhere.path("output").exists());
}

#[test]
fn a_full_disk_is_reported_and_the_next_run_resumes() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    dist.publish(&Release::stable("1.96.0", "2026-05-28").hosts(&[LINUX]).with_extra_bytes(600_000));
    let sandbox = connected_sandbox(&world, &dist);
    write_depends(&sandbox, "toolchain = \"stable\"\nprofile = \"minimal\"\n");
    // Files may grow to 256 KiB: the write of a larger component fails as it does on a full disk.
    let script = format!("trap '' XFSZ; ulimit -f 512; exec '{BINARY}' fetch");
    let full = sandbox.other_program("sh", ["-c", &script]).run().exits(7);
    full.stderr_has("frostmirror/cache");
    assert!(fs::read_dir(sandbox.path("output")).map_or(0, Iterator::count) == 0);
    import(&sandbox, &fetch(&sandbox, &[]));
    assert_clean(&sandbox);
}

#[test]
fn toolchains_of_a_lost_bundle_are_sent_again_for_any_input() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist);
    sandbox.write("a.toml", "[dependencies]\nleaf = \"0.3\"\n");
    sandbox.write("b.toml", "[platforms]\ntoolchain = \"1.86.0\"\nprofile = \"minimal\"\n");
    let first = fetch(&sandbox, &["-c", "a.toml"]);
    let base = first.file_name().unwrap().to_str().unwrap();
    import(&sandbox, &first);
    // This one never arrives.
    fetch(&sandbox, &["-c", "b.toml", "--incremental"]);
    sandbox.write("a.toml", "[dependencies]\nleaf = \"0.3\"\nengine = \"1\"\n");
    let refused = sandbox.run(["fetch", "-c", "a.toml", "--base", base, "--no-toolchain"]).exits(3);
    refused.stderr_has("--no-toolchain");
    let again = fetch(&sandbox, &["-c", "a.toml", "--base", base]);
    import(&sandbox, &again);
    assert_clean(&sandbox);
    let shipped = paths_in_state(&sandbox, &again, "shipped");
    assert!(shipped.iter().any(|path| path.contains("rustc-1.86.0")), "{shipped:?}");
}

#[test]
fn frostmirror_toml_provides_defaults_for_platforms() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist).env("FROSTMIRROR_CONFIG_DIR", "config");
    sandbox.write("config/frostmirror.toml", format!("targets = ['{WASM}', '{LINUX}']\ntoolchain = '1.86.0'\n"));
    write_depends(&sandbox, "");
    let shipped = paths_in_state(&sandbox, &fetch(&sandbox, &[]), "shipped");
    let has = |shipped: &[String], part: &str| shipped.iter().any(|path| path.contains(part));
    assert!(has(&shipped, "dist/channel-rust-1.86.0.toml") && has(&shipped, WASM), "{shipped:?}");
    assert!(!has(&shipped, "dist/channel-rust-stable.toml"), "{shipped:?}");
    // The environment, and `[platforms]`, count more.
    let sandbox = sandbox.env("FROSTMIRROR_TOOLCHAIN", "stable");
    let shipped = paths_in_state(&sandbox, &fetch(&sandbox, &["-o", "second"]), "shipped");
    assert!(has(&shipped, "dist/channel-rust-stable.toml") && has(&shipped, WASM), "{shipped:?}");
    let sandbox = sandbox.without_env("FROSTMIRROR_TOOLCHAIN");
    write_depends(&sandbox, "targets = [\"x86_64-unknown-linux-gnu\"]\ntoolchain = \"stable\"\n");
    let shipped = paths_in_state(&sandbox, &fetch(&sandbox, &["-o", "third"]), "shipped");
    assert!(has(&shipped, "dist/channel-rust-stable.toml") && !has(&shipped, WASM), "{shipped:?}");
    // A file that cannot be used stops what would use it, and nothing else.
    sandbox.write("config/frostmirror.toml", "targets = 'wasm'\n");
    sandbox
        .run(["fetch", "-o", "fourth"])
        .exits(3)
        .stderr_has("frostmirror.toml:1:11\n")
        .stderr_has("`targets` is a string");
    sandbox.run(["fetch", "-o", "fifth", "--no-toolchain"]).ok();
}
