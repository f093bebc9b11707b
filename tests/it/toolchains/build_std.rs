//! With rust-src come the crates that its Cargo.lock names, for -Zbuild-std.

use std::fs;

use super::{assert_clean, connected_sandbox, fetch, import, paths_in_state};
use crate::end_to_end::fixture_registry::FixtureRegistry;
use crate::support::crates::Crate;
use crate::support::dist::release::Release;
use crate::support::dist::{DistServer, NIGHTLY, STABLE};
use crate::support::sandbox::Sandbox;

/// A library's lock that names these crates of the world.
fn std_lock(world: &FixtureRegistry, packages: &[(&str, &str)]) -> String {
    let own = "[[package]]\nname = \"std\"\nversion = \"0.0.0\"\n";
    let packages = packages.iter().map(|(name, version)| {
        let cksum = &world.packed(name, version).cksum;
        let source = "registry+https://github.com/rust-lang/crates.io-index";
        format!("\n[[package]]\nname = {name:?}\nversion = {version:?}\nsource = {source:?}\nchecksum = \"{cksum}\"\n")
    });
    format!("version = 4\n\n{own}{}", packages.collect::<String>())
}

fn nightly(version: &str, date: &str, world: &FixtureRegistry, packages: &[(&str, &str)]) -> Release {
    Release::nightly(version, date).std_lock(&std_lock(world, packages))
}

fn write_depends_with_rust_src(sandbox: &Sandbox, toolchains: &str) {
    let platforms =
        format!("[platforms]\ntoolchain = {toolchains}\nprofile = \"minimal\"\ncomponents = [\"rust-src\"]\n");
    sandbox.write("depends.toml", format!("[dependencies]\nleaf = \"0.3\"\n\n{platforms}"));
}

fn crates_of(sandbox: &Sandbox, bundle: &std::path::Path) -> String {
    let output = sandbox.run(["list", bundle.to_str().unwrap()]).ok().stdout;
    output.lines().filter(|line| line.starts_with("std-")).collect::<Vec<_>>().join(", ")
}

fn registry_for_build_std() -> FixtureRegistry {
    let mut world = FixtureRegistry::new();
    for (name, version) in [("std-a", "1.0.0"), ("std-a", "1.1.0"), ("std-b", "2.0.0"), ("std-old", "0.1.0")] {
        world.publish(Crate::new(name, version));
    }
    world
}

#[test]
fn build_std_works_behind_the_air_gap_for_each_rust_src() {
    let (world, dist) = (registry_for_build_std(), DistServer::start());
    let night = nightly(NIGHTLY.0, NIGHTLY.1, &world, &[("std-a", "1.1.0"), ("std-b", "2.0.0")]);
    dist.publish(&night);
    let stable = Release::stable(STABLE.0, STABLE.1).std_lock(&std_lock(&world, &[("std-a", "1.0.0")])).gz_only();
    dist.publish(&stable);
    let sandbox = connected_sandbox(&world, &dist);
    write_depends_with_rust_src(&sandbox, "[\"nightly\", \"stable\"]");
    sandbox.run(["fetch", "--dry-run"]).ok().stdout_has("std-b 2.0.0");
    let run = sandbox.run(["fetch"]).ok();
    let bundle = sandbox.path(run.path());
    run.stderr_has("3 crates of the standard library, for -Zbuild-std");
    assert_eq!(crates_of(&sandbox, &bundle), "std-a 1.0.0, std-a 1.1.0, std-b 2.0.0");
    import(&sandbox, &bundle);
    assert_clean(&sandbox);
    for (name, packages) in [("a", &[("std-a", "1.1.0"), ("std-b", "2.0.0")][..]), ("b", &[("std-a", "1.0.0")])] {
        let lock = sandbox.write(name, std_lock(&world, packages));
        sandbox.run(["verify", "--mirror", "mirror", "--closure", lock.to_str().unwrap()]).ok();
    }
    // What an archive says is remembered, with a network and without one.
    let archives = fs::read_dir(sandbox.frostmirror_home().join("cache/dist")).unwrap().flatten();
    let archives = archives.filter(|entry| entry.metadata().unwrap().len() > 2048 && entry.path().is_file());
    archives.for_each(|entry| fs::remove_file(entry.path()).unwrap());
    sandbox.run(["fetch", "--incremental"]).ok().stderr_has("nothing new");
    assert!(!dist.requests().iter().rev().take(5).any(|seen| seen.path.contains("rust-src")));
    // Without rust-src there is nothing to add.
    sandbox.write("plain/depends.toml", "[dependencies]\nleaf = \"0.3\"\n[platforms]\nprofile = \"minimal\"\n");
    let sandbox = sandbox.env("FROSTMIRROR_HISTORY", "other");
    let run = sandbox.run(["fetch", "-c", "plain/depends.toml", "-o", "plain"]).ok().stderr_lacks("build-std");
    assert_eq!(crates_of(&sandbox, &sandbox.path(run.path())), "");
}

#[test]
fn a_new_rust_src_ships_its_crates_in_deltas_of_every_project() {
    let (world, dist) = (registry_for_build_std(), DistServer::start());
    dist.publish(&nightly(NIGHTLY.0, NIGHTLY.1, &world, &[("std-old", "0.1.0")]));
    let sandbox = connected_sandbox(&world, &dist);
    write_depends_with_rust_src(&sandbox, "\"nightly\"");
    import(&sandbox, &fetch(&sandbox, &[]));
    dist.publish(&nightly("1.98.0-nightly", "2026-05-05", &world, &[("std-a", "1.0.0")]));
    let delta = sandbox.path(fetch(&sandbox, &["--incremental"]));
    assert_eq!(crates_of(&sandbox, &delta), "std-a 1.0.0");
    assert!(paths_in_state(&sandbox, &delta, "shipped").iter().any(|path| path.contains("rust-src")));
    import(&sandbox, &delta);
    assert_clean(&sandbox);
    // The channel moves for all, and this project has no rust-src.
    dist.publish(&nightly("1.98.0-nightly", "2026-05-06", &world, &[("std-b", "2.0.0")]));
    let second = "[dependencies]\nleaf = \"0.3\"\n[platforms]\ntoolchain = \"nightly\"\nprofile = \"minimal\"\n";
    sandbox.write("second/depends.toml", second);
    let bundle = fetch(&sandbox, &["-c", "second/depends.toml", "--incremental"]);
    import(&sandbox, &bundle);
    let lock = sandbox.write("lock", std_lock(&world, &[("std-b", "2.0.0")]));
    sandbox.run(["verify", "--mirror", "mirror", "--closure", lock.to_str().unwrap()]).ok();
    assert_clean(&sandbox);
}

#[test]
fn a_kept_rust_src_keeps_its_crates() {
    let (world, dist) = (registry_for_build_std(), DistServer::start());
    dist.publish(&nightly(NIGHTLY.0, NIGHTLY.1, &world, &[("std-a", "1.0.0")]));
    let lock = std_lock(&world, &[("std-a", "1.0.0")]);
    let sandbox = connected_sandbox(&world, &dist);
    let lock = sandbox.write("lock", lock);
    write_depends_with_rust_src(&sandbox, "\"nightly\"");
    import(&sandbox, &fetch(&sandbox, &[]));
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\nengine = \"1\"\n");
    for args in [&["--incremental"][..], &["--no-toolchain"]] {
        import(&sandbox, &fetch(&sandbox, args));
        sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
        sandbox.run(["verify", "--mirror", "mirror", "--closure", lock.to_str().unwrap()]).ok();
        assert_clean(&sandbox);
    }
}

#[test]
fn an_unreadable_rust_src_lock_stops_the_fetch_and_is_named() {
    let (world, dist) = (registry_for_build_std(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist);
    write_depends_with_rust_src(&sandbox, "\"nightly\"");
    let gone = std_lock(&world, &[("std-a", "1.0.0")]).replace("std-a", "std-gone");
    let altered = std_lock(&world, &[("std-a", "1.0.0")]).replace("1.0.0", "1.1.0");
    for (day, lock, code, named) in [
        (1, "version = 4\n[[package]]\n".to_owned(), 4, "Cargo.lock in rust-src-nightly.tar.xz"),
        (2, "version = 9\n".to_owned(), 4, "has format 9"),
        (3, gone, 3, "no std-gone 1.0.0"),
        (4, altered, 4, "std-a 1.1.0"),
    ] {
        dist.publish(&Release::nightly("1.98.0-nightly", &format!("2026-05-0{day}")).std_lock(&lock));
        sandbox.run(["fetch"]).exits(code).stderr_has(named).stderr_has("rust-src");
        assert_eq!(fs::read_dir(sandbox.path("output")).map_or(0, Iterator::count), 0);
    }
}
