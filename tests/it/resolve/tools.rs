//! `--crate`: what a library brings, what a tool brings, and tools that only their own lock resolves.

use frostmirror::gather::resolve::Input;

use super::workshop::{Workshop, names};
use crate::support::crates::{Crate, Packed};
use crate::support::upstream::Upstream;

/// A package of crates.io as a lock names it.
fn locked(packed: &Packed, dependencies: &[&str]) -> String {
    let Packed { name, version, cksum, .. } = packed;
    format!(
        "[[package]]\nname = {name:?}\nversion = {version:?}\n\
         source = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{cksum}\"\n\
         dependencies = {dependencies:?}\n\n"
    )
}

/// The lock inside a `.crate`.
fn lock(name: &str, version: &str, dependencies: &[&str], packages: &[String]) -> String {
    let own = format!("[[package]]\nname = {name:?}\nversion = {version:?}\ndependencies = {dependencies:?}\n\n");
    format!("version = 4\n\n{own}{}", packages.concat())
}

fn wanted(spec: &str) -> [Input; 1] {
    [Input::Crate(spec.parse().unwrap())]
}

#[test]
fn a_library_brings_no_dev_dependencies_whatever_lock_it_has() {
    let upstream = Upstream::start();
    let normal = upstream.publish(Crate::new("normal", "1.0.0"));
    upstream.publish(Crate::new("normal", "1.1.0"));
    upstream.publish(Crate::new("builder", "1.0.0"));
    let bench = upstream.publish(Crate::new("bench", "1.0.0"));
    let packages = [locked(&normal, &[]), locked(&bench, &[])];
    let library = Crate::new("leaf", "1.0.0").dep("normal", "^1").dep("builder", "^1").kind("build");
    let library = library.dep("bench", "^1").kind("dev");
    upstream.publish(library.with_lockfile(&lock("leaf", "1.0.0", &["normal", "bench"], &packages)));
    let shop = Workshop::new(&upstream);
    let resolved = shop.resolve(&wanted("leaf")).unwrap();
    assert_eq!(names(&resolved), ["builder 1.0.0", "leaf 1.0.0", "normal 1.1.0"]);
    assert_eq!(shop.events.text(), "");
}

#[test]
fn a_tools_lock_comes_whole_because_cargo_resolves_its_dev_dependencies_with_locked() {
    let upstream = Upstream::start();
    let old = upstream.publish(Crate::new("normal", "1.0.0").dep("deep", "^1"));
    upstream.publish(Crate::new("normal", "1.1.0"));
    let deep = upstream.publish(Crate::new("deep", "1.0.0"));
    let choice = upstream.publish(Crate::new("choice", "1.0.0"));
    let bench = upstream.publish(Crate::new("bench", "1.0.0").dep("plotter", "^1"));
    let plotter = upstream.publish(Crate::new("plotter", "1.0.0"));
    let packages = [
        locked(&old, &["deep"]),
        locked(&deep, &[]),
        locked(&choice, &[]),
        locked(&bench, &["plotter"]),
        locked(&plotter, &[]),
    ];
    let tool = Crate::new("tool", "1.0.0").dep("normal", "^1").dep("choice", "^1").optional().dep("bench", "^1");
    let tool = tool.kind("dev").file("src/bin/run.rs", "fn main() {}");
    upstream.publish(tool.with_lockfile(&lock("tool", "1.0.0", &["normal", "choice", "bench"], &packages)));
    let shop = Workshop::new(&upstream);
    let found = names(&shop.resolve(&wanted("tool")).unwrap());
    assert_eq!(
        found,
        ["bench 1.0.0", "choice 1.0.0", "deep 1.0.0", "normal 1.0.0", "normal 1.1.0", "plotter 1.0.0", "tool 1.0.0"]
    );
}

/// A tool of which cargo finds no solution without its lock, because `dep` 1.0.0 was yanked.
fn tool_of_a_yanked(upstream: &Upstream, version: &str, lock_of: impl Fn(&Packed) -> String) {
    let dep = upstream.publish(Crate::new("dep", "1.0.0").yanked());
    let tool = Crate::new("tool", version).dep("dep", "=1.0.0").bin("fn main() {}");
    upstream.publish(tool.with_lockfile(&lock_of(&dep)));
}

#[test]
fn a_tool_that_only_its_own_lock_resolves_comes_with_that_set() {
    let upstream = Upstream::start();
    tool_of_a_yanked(&upstream, "1.0.0", |dep| lock("tool", "1.0.0", &["dep"], &[locked(dep, &[])]));
    let shop = Workshop::new(&upstream);
    let resolved = shop.resolve(&wanted("tool")).unwrap();
    assert_eq!(names(&resolved), ["dep 1.0.0", "tool 1.0.0"]);
    let text = shop.events.text();
    assert!(text.contains("warning: tool 1.0.0 resolves only with the Cargo.lock inside its .crate"), "{text}");
    assert!(text.contains("`cargo install --locked tool`") && text.contains("`dep = \"=1.0.0\"`"), "{text}");
}

#[test]
fn of_a_tool_whose_newest_version_needs_its_lock_both_versions_come() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("tool", "1.0.0").bin("fn main() {}"));
    tool_of_a_yanked(&upstream, "2.0.0", |dep| lock("tool", "2.0.0", &["dep"], &[locked(dep, &[])]));
    let shop = Workshop::new(&upstream);
    assert_eq!(names(&shop.resolve(&wanted("tool")).unwrap()), ["dep 1.0.0", "tool 1.0.0", "tool 2.0.0"]);
    let text = shop.events.text();
    assert!(text.contains("warning: tool 2.0.0 resolves only with"), "{text}");
    assert_eq!(names(&shop.resolve(&wanted("tool@1")).unwrap()), ["tool 1.0.0"]);
}

#[test]
fn a_lock_that_does_not_resolve_the_tool_either_is_no_help() {
    for (what, lock_of) in [
        ("it lacks a dependency", &(|_: &Packed| lock("tool", "1.0.0", &[], &[])) as &dyn Fn(&Packed) -> String),
        ("it names a version that is gone", &|dep: &Packed| {
            let gone = Packed { version: "0.9.0".to_owned(), ..dep.clone() };
            lock("tool", "1.0.0", &["dep"], &[locked(&gone, &[])])
        }),
        ("it names another package", &|dep: &Packed| lock("else", "1.0.0", &["dep"], &[locked(dep, &[])])),
        ("it is none", &|_: &Packed| "version = 4\n[[package]]\n".to_owned()),
    ] {
        let upstream = Upstream::start();
        tool_of_a_yanked(&upstream, "1.0.0", lock_of);
        let shop = Workshop::new(&upstream);
        let told = shop.failure(&wanted("tool"));
        assert!(told.starts_with("3: ") && told.contains("`tool` (--crate tool) cannot be resolved"), "{what}: {told}");
        assert!(!shop.events.text().contains("resolves only with"), "{what}");
    }
}

#[test]
fn a_crate_that_does_not_exist_is_named_with_what_to_check() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("known", "1.2.0"));
    let shop = Workshop::new(&upstream);
    let told = shop.failure(&wanted("nope"));
    assert!(told.starts_with("3: ") && told.contains("no matching package named `nope` found"), "{told}");
    assert!(told.ends_with("hint: check the name, for example with `cargo search nope`"), "{told}");
    let told = shop.failure(&wanted("known@7"));
    assert!(told.contains("1.2.0"), "{told}");
    assert!(told.ends_with("hint: name a version that the index has, or leave `@7` away for the newest"), "{told}");
}
