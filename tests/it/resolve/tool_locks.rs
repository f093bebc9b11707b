//! `--crate`: what a library brings, what a tool brings, and tools that only their own lock resolves.

use frostmirror::fetch::resolve::Input;

use super::resolver_fixture::{ResolverFixture, crate_names};
use crate::support::crates::{Crate, PackedCrate};
use crate::support::upstream::Upstream;

/// A package of crates.io as a lock names it.
fn lock_package(packed: &PackedCrate, dependencies: &[&str]) -> String {
    let PackedCrate { name, version, cksum, .. } = packed;
    format!(
        "[[package]]\nname = {name:?}\nversion = {version:?}\n\
         source = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{cksum}\"\n\
         dependencies = {dependencies:?}\n\n"
    )
}

/// The lock inside a `.crate`.
fn lockfile(name: &str, version: &str, dependencies: &[&str], packages: &[String]) -> String {
    let own = format!("[[package]]\nname = {name:?}\nversion = {version:?}\ndependencies = {dependencies:?}\n\n");
    format!("version = 4\n\n{own}{}", packages.concat())
}

fn crate_input(spec: &str) -> [Input; 1] {
    [Input::Crate(spec.parse().unwrap())]
}

#[test]
fn a_library_adds_no_dev_dependencies_even_with_a_lock() {
    let upstream = Upstream::start();
    let normal = upstream.publish(Crate::new("normal", "1.0.0"));
    upstream.publish(Crate::new("normal", "1.1.0"));
    upstream.publish(Crate::new("builder", "1.0.0"));
    let bench = upstream.publish(Crate::new("bench", "1.0.0"));
    let packages = [lock_package(&normal, &[]), lock_package(&bench, &[])];
    let library = Crate::new("leaf", "1.0.0").dep("normal", "^1").dep("builder", "^1").kind("build");
    let library = library.dep("bench", "^1").kind("dev");
    upstream.publish(library.with_lockfile(&lockfile("leaf", "1.0.0", &["normal", "bench"], &packages)));
    let fixture = ResolverFixture::new(&upstream);
    let resolved = fixture.resolve(&crate_input("leaf")).unwrap();
    assert_eq!(crate_names(&resolved), ["builder 1.0.0", "leaf 1.0.0", "normal 1.1.0"]);
    assert_eq!(fixture.events.text(), "");
}

#[test]
fn a_tools_whole_lock_is_included_with_dev_dependencies() {
    let upstream = Upstream::start();
    let old = upstream.publish(Crate::new("normal", "1.0.0").dep("deep", "^1"));
    upstream.publish(Crate::new("normal", "1.1.0"));
    let deep = upstream.publish(Crate::new("deep", "1.0.0"));
    let choice = upstream.publish(Crate::new("choice", "1.0.0"));
    let bench = upstream.publish(Crate::new("bench", "1.0.0").dep("plotter", "^1"));
    let plotter = upstream.publish(Crate::new("plotter", "1.0.0"));
    let packages = [
        lock_package(&old, &["deep"]),
        lock_package(&deep, &[]),
        lock_package(&choice, &[]),
        lock_package(&bench, &["plotter"]),
        lock_package(&plotter, &[]),
    ];
    let tool = Crate::new("tool", "1.0.0").dep("normal", "^1").dep("choice", "^1").optional().dep("bench", "^1");
    let tool = tool.kind("dev").file("src/bin/run.rs", "fn main() {}");
    upstream.publish(tool.with_lockfile(&lockfile("tool", "1.0.0", &["normal", "choice", "bench"], &packages)));
    let fixture = ResolverFixture::new(&upstream);
    let found = crate_names(&fixture.resolve(&crate_input("tool")).unwrap());
    assert_eq!(
        found,
        ["bench 1.0.0", "choice 1.0.0", "deep 1.0.0", "normal 1.0.0", "normal 1.1.0", "plotter 1.0.0", "tool 1.0.0"]
    );
}

/// A tool of which cargo finds no solution without its lock, because `dep` 1.0.0 was yanked.
fn publish_tool_with_yanked_dependency(upstream: &Upstream, version: &str, lock_of: impl Fn(&PackedCrate) -> String) {
    let dep = upstream.publish(Crate::new("dep", "1.0.0").yanked());
    let tool = Crate::new("tool", version).dep("dep", "=1.0.0").bin("fn main() {}");
    upstream.publish(tool.with_lockfile(&lock_of(&dep)));
}

#[test]
fn a_tool_that_only_its_lock_resolves_is_mirrored_with_that_lock() {
    let upstream = Upstream::start();
    publish_tool_with_yanked_dependency(&upstream, "1.0.0", |dep| {
        lockfile("tool", "1.0.0", &["dep"], &[lock_package(dep, &[])])
    });
    let fixture = ResolverFixture::new(&upstream);
    let resolved = fixture.resolve(&crate_input("tool")).unwrap();
    assert_eq!(crate_names(&resolved), ["dep 1.0.0", "tool 1.0.0"]);
    let text = fixture.events.text();
    assert!(text.contains("warning: tool 1.0.0 resolves only with the Cargo.lock inside its .crate"), "{text}");
    assert!(text.contains("`cargo install --locked tool`") && text.contains("`dep = \"=1.0.0\"`"), "{text}");
}

#[test]
fn if_the_newest_tool_version_needs_its_lock_two_versions_are_mirrored() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("tool", "1.0.0").bin("fn main() {}"));
    publish_tool_with_yanked_dependency(&upstream, "2.0.0", |dep| {
        lockfile("tool", "2.0.0", &["dep"], &[lock_package(dep, &[])])
    });
    let fixture = ResolverFixture::new(&upstream);
    assert_eq!(crate_names(&fixture.resolve(&crate_input("tool")).unwrap()), ["dep 1.0.0", "tool 1.0.0", "tool 2.0.0"]);
    let text = fixture.events.text();
    assert!(text.contains("warning: tool 2.0.0 resolves only with"), "{text}");
    assert_eq!(crate_names(&fixture.resolve(&crate_input("tool@1")).unwrap()), ["tool 1.0.0"]);
}

#[test]
fn a_tool_that_its_lock_cannot_resolve_either_fails() {
    for (what, lock_of) in [
        (
            "it lacks a dependency",
            &(|_: &PackedCrate| lockfile("tool", "1.0.0", &[], &[])) as &dyn Fn(&PackedCrate) -> String,
        ),
        ("it names a version that is gone", &|dep: &PackedCrate| {
            let gone = PackedCrate { version: "0.9.0".to_owned(), ..dep.clone() };
            lockfile("tool", "1.0.0", &["dep"], &[lock_package(&gone, &[])])
        }),
        ("it names another package", &|dep: &PackedCrate| {
            lockfile("else", "1.0.0", &["dep"], &[lock_package(dep, &[])])
        }),
        ("it is none", &|_: &PackedCrate| "version = 4\n[[package]]\n".to_owned()),
    ] {
        let upstream = Upstream::start();
        publish_tool_with_yanked_dependency(&upstream, "1.0.0", lock_of);
        let fixture = ResolverFixture::new(&upstream);
        let message = fixture.failure_text(&crate_input("tool"));
        assert!(
            message.starts_with("3: ") && message.contains("`tool` (--crate tool) cannot be resolved"),
            "{what}: {message}"
        );
        assert!(!fixture.events.text().contains("resolves only with"), "{what}");
    }
}

#[test]
fn an_unknown_crate_is_named_with_a_hint() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("known", "1.2.0"));
    let fixture = ResolverFixture::new(&upstream);
    let message = fixture.failure_text(&crate_input("nope"));
    assert!(message.starts_with("3: ") && message.contains("no matching package named `nope` found"), "{message}");
    assert!(message.ends_with("hint: check the name, for example with `cargo search nope`"), "{message}");
    let reported = fixture.failure_text(&crate_input("known@7"));
    assert!(reported.contains("1.2.0"), "{reported}");
    assert!(reported.ends_with("hint: choose a version that the index has, or omit `@7` for the newest"), "{reported}");
}
