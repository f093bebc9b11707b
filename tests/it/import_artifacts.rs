//! Rustup artifacts in a mirror: placed before what names them, never moved back, mended, and audited.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use frostmirror::bundle::format::ArtifactState::{Sent, Shipped};
use frostmirror::digest::Sha256;
use frostmirror::event::Silent;
use frostmirror::mirror::audit::audit;
use frostmirror::mirror::import::{ARTIFACT_CHECKPOINTS, Error};
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use proptest::prelude::*;

use crate::import_bundle::{Make, everything, import, view};
use crate::support::crates::Crate;
use crate::support::dist::WINDOWS;
use crate::support::sandbox::Sandbox;

const SIGABRT: i32 = 128 + 6;
pub const HOST: &str = "x86_64-unknown-linux-gnu";

/// The manifest of a release, which names cargo for two hosts.
pub fn channel(date: &str, release: &str) -> String {
    format!(
        "manifest-version = \"2\"\ndate = \"{date}\"\n[pkg.rust]\nversion = \"{release} (0 {date})\"\n\
         [pkg.cargo]\nversion = \"{release}\"\n[pkg.cargo.target.{HOST}]\navailable = true\n\
         xz_url = \"https://static.rust-lang.org/dist/{date}/cargo-{release}-{HOST}.tar.xz\"\nxz_hash = \"{}\"\n\
         [pkg.cargo.target.{WINDOWS}]\navailable = true\n\
         xz_url = \"https://static.rust-lang.org/dist/{date}/cargo-{release}-{WINDOWS}.tar.xz\"\nxz_hash = \"{}\"\n",
        Sha256::of(component(date, release).as_bytes()),
        Sha256::of(b"windows")
    )
}

pub fn component(date: &str, release: &str) -> String {
    format!("cargo {release} of {date}")
}

/// A stable release as a bundle has it: under four names, with its component.
pub fn stable(make: Make, date: &str, release: &str) -> Make {
    let text = channel(date, release);
    let digest = format!("{}  channel\n", Sha256::of(text.as_bytes()));
    let names = [
        "dist/channel-rust-stable.toml".to_owned(),
        format!("dist/channel-rust-{release}.toml"),
        format!("dist/{date}/channel-rust-stable.toml"),
    ];
    let make = names.iter().fold(make, |make, name| {
        make.artifact(name, &text, Shipped).artifact(&format!("{name}.sha256"), &digest, Shipped)
    });
    make.artifact(&format!("dist/{date}/cargo-{release}-{HOST}.tar.xz"), component(date, release), Shipped)
}

/// A release of rustup.
pub fn rustup(make: Make, version: &str) -> Make {
    let program = format!("rustup {version}");
    let make = make.artifact(
        "rustup/release-stable.toml",
        format!("schema-version = \"1\"\nversion = \"{version}\"\n"),
        Shipped,
    );
    [format!("rustup/archive/{version}/{HOST}/rustup-init"), format!("rustup/dist/{HOST}/rustup-init")]
        .iter()
        .fold(make, |make, path| make.artifact(path, &program, Shipped))
}

pub fn whole(lineage: &str, sequence: u64, date: &str, release: &str, version: &str) -> Make {
    let make = Make::new(lineage, sequence).ship(Crate::new("a", "1.0.0"));
    rustup(stable(make, date, release), version)
}

fn is_clean(mirror: &Path) {
    let audit = audit(&Layout::new(mirror), &Silent).unwrap();
    assert_eq!(audit.problems.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
}

pub fn toolchains(mirror: &Path) -> Vec<String> {
    ledger::head(&Layout::new(mirror)).unwrap().unwrap().toolchains
}

pub fn text(mirror: &Path, path: &str) -> String {
    fs::read_to_string(mirror.join(path)).unwrap()
}

#[test]
fn a_toolchain_is_placed_under_all_its_names_and_counted() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let bundle = whole("a", 1, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "one.pkg");
    let imported = import(&mirror, &bundle).unwrap();
    assert_eq!((imported.artifacts_new, imported.counts.artifacts), (10, 10));
    assert_eq!(toolchains(&mirror), ["stable (1.95.0)"]);
    assert_eq!(text(&mirror, "rustup/dist/x86_64-unknown-linux-gnu/rustup-init"), "rustup 1.29.0");
    assert_eq!(text(&mirror, "rustup/archive/1.29.0/x86_64-unknown-linux-gnu/rustup-init"), "rustup 1.29.0");
    is_clean(&mirror);
    assert!(import(&mirror, &bundle).unwrap().already);
}

#[test]
fn an_older_bundle_that_comes_late_moves_nothing_back() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let new = whole("a", 2, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "new.pkg");
    let old = whole("a", 1, "2026-03-05", "1.94.0", "1.28.2").write(&folder, "old.pkg");
    import(&mirror, &new).unwrap();
    let before = view(&mirror);
    import(&mirror, &old).unwrap();
    let after = view(&mirror);
    for (path, bytes) in &before {
        assert_eq!(after.get(path), Some(bytes), "{path}");
    }
    // What it adds beside is there: it can be asked for by its own name.
    assert_eq!(text(&mirror, "dist/channel-rust-1.94.0.toml"), channel("2026-03-05", "1.94.0"));
    assert_eq!(toolchains(&mirror), ["1.94.0", "stable (1.95.0)"]);
    is_clean(&mirror);
}

#[test]
fn a_later_bundle_moves_the_channel_and_keeps_what_was_there() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    import(&mirror, &whole("a", 1, "2026-03-05", "1.94.0", "1.28.2").write(&folder, "old.pkg")).unwrap();
    import(&mirror, &whole("b", 1, "2026-04-16", "1.95.0", "1.29.0").read(9).write(&folder, "new.pkg")).unwrap();
    assert_eq!(text(&mirror, "dist/channel-rust-stable.toml"), channel("2026-04-16", "1.95.0"));
    assert!(text(&mirror, "rustup/release-stable.toml").contains("1.29.0"));
    assert_eq!(text(&mirror, "rustup/dist/x86_64-unknown-linux-gnu/rustup-init"), "rustup 1.29.0");
    assert_eq!(toolchains(&mirror), ["1.94.0", "stable (1.95.0)"]);
    is_clean(&mirror);
}

#[test]
fn a_channel_that_does_not_fit_its_digest_is_refused_and_nothing_is_placed() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    import(&mirror, &Make::new("a", 1).ship(Crate::new("a", "1.0.0")).write(&folder, "one.pkg")).unwrap();
    let before = everything(&mirror);
    let wrong = format!("{}  x\n", Sha256::of(b"other"));
    let bad = whole("a", 2, "2026-04-16", "1.95.0", "1.29.0");
    for (path, content) in [
        ("dist/channel-rust-stable.toml.sha256", wrong.as_str()),
        ("dist/channel-rust-stable.toml", "no manifest"),
        ("rustup/release-stable.toml", "no release"),
    ] {
        let bundle = bad.clone().artifact(path, content, Shipped).write(&folder, "bad.pkg");
        let refused = import(&mirror, &bundle).unwrap_err();
        assert!(matches!(refused, Error::Bad { .. }), "{refused}");
        assert_eq!(everything(&mirror), before, "{path}");
    }
}

#[test]
fn a_delta_relies_on_what_is_held_with_its_digest() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let path = "dist/2026-04-16/cargo-1.95.0-x86_64-unknown-linux-gnu.tar.xz";
    let one = whole("a", 1, "2026-04-16", "1.95.0", "1.29.0");
    let delta = |content: &str| {
        let make = Make::new("a", 2).parent("one.pkg").ship(Crate::new("b", "1.0.0"));
        make.artifact(path, content, Sent).write(&folder, "two.pkg")
    };
    let refused = import(&mirror, &delta(&component("2026-04-16", "1.95.0"))).unwrap_err();
    assert!(refused.to_string().contains(path) && refused.to_string().contains("one.pkg"), "{refused}");
    import(&mirror, &one.write(&folder, "one.pkg")).unwrap();
    let refused = import(&mirror, &delta("another")).unwrap_err();
    assert!(matches!(refused, Error::MissingBase { missing: 1, .. }), "{refused}");
    import(&mirror, &delta(&component("2026-04-16", "1.95.0"))).unwrap();
    fs::write(mirror.join(path), component("2026-04-16", "1.95.1")).unwrap();
    let refused = import(&mirror, &delta(&component("2026-04-16", "1.95.0"))).unwrap_err();
    assert!(matches!(refused, Error::MissingBase { missing: 1, .. }), "rot counts as not held: {refused}");
}

#[test]
fn rot_and_loss_are_told_and_mended_by_a_bundle_that_has_the_files() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let bundle = whole("a", 1, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "one.pkg");
    import(&mirror, &bundle).unwrap();
    let before = view(&mirror);
    let component_path = "dist/2026-04-16/cargo-1.95.0-x86_64-unknown-linux-gnu.tar.xz";
    fs::write(mirror.join(component_path), "rot").unwrap();
    fs::write(mirror.join("dist/channel-rust-stable.toml"), "rot").unwrap();
    fs::remove_file(mirror.join("rustup/dist/x86_64-unknown-linux-gnu/rustup-init")).unwrap();
    fs::write(mirror.join("dist/stranger"), "x").unwrap();
    let audit = audit(&Layout::new(&mirror), &Silent).unwrap();
    let told: BTreeMap<&str, String> =
        audit.problems.iter().map(|problem| (problem.path.as_str(), problem.fault.to_string())).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[component_path].contains("SHA-256"));
    assert!(told["rustup/dist/x86_64-unknown-linux-gnu/rustup-init"].contains("missing"));
    assert!(told["dist/stranger"].contains("nothing names it"));
    assert_eq!(audit.artifact_repairs.len(), 3);
    fs::remove_file(mirror.join("dist/stranger")).unwrap();
    import(&mirror, &bundle).unwrap();
    assert_eq!(view(&mirror), before);
    is_clean(&mirror);
}

#[test]
fn killed_at_any_checkpoint_a_channel_names_what_is_there_and_a_rerun_completes_it() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    let one = whole("a", 1, "2026-03-05", "1.94.0", "1.28.2").write(&folder, "one.pkg");
    let two = whole("a", 2, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "two.pkg");
    let undisturbed = sandbox.path("undisturbed");
    import(&undisturbed, &one).unwrap();
    import(&undisturbed, &two).unwrap();
    let expected = (view(&undisturbed), toolchains(&undisturbed));
    for checkpoint in ARTIFACT_CHECKPOINTS {
        let mirror = sandbox.path("mirror");
        import(&mirror, &one).unwrap();
        let words = ["import", "two.pkg", "--mirror", "mirror"];
        let died = sandbox.process(words).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
        assert_eq!(died.code, SIGABRT, "no import passes the checkpoint {checkpoint}: {}", died.stderr);
        for (date, release) in [("2026-03-05", "1.94.0"), ("2026-04-16", "1.95.0")] {
            if text(&mirror, "dist/channel-rust-stable.toml") == channel(date, release) {
                let named = mirror.join(format!("dist/{date}/cargo-{release}-{HOST}.tar.xz"));
                assert!(named.exists(), "{checkpoint}: {release} is offered and not there");
            }
        }
        sandbox.run(words).ok();
        assert_eq!((view(&mirror), toolchains(&mirror)), expected, "{checkpoint}");
        is_clean(&mirror);
        fs::remove_dir_all(&mirror).unwrap();
    }
}

#[test]
fn a_manifest_without_its_digest_takes_no_good_channels_place() {
    let sandbox = Sandbox::new();
    let (folder, good, mixed) = (sandbox.path(""), sandbox.path("good"), sandbox.path("mixed"));
    let old = whole("a", 1, "2026-03-05", "1.94.0", "1.28.2").write(&folder, "old.pkg");
    // Newer, and nothing by which rustup would take it.
    let half = Make::new("b", 1).read(9).ship(Crate::new("b", "1.0.0")).artifact(
        "dist/channel-rust-stable.toml",
        channel("2026-04-16", "1.95.0"),
        Shipped,
    );
    let half = half.write(&folder, "half.pkg");
    for (mirror, bundles) in [(&good, [&old, &half]), (&mixed, [&half, &old])] {
        for bundle in bundles {
            import(mirror, bundle).unwrap();
        }
        let (manifest, digest) = ("dist/channel-rust-stable.toml", "dist/channel-rust-stable.toml.sha256");
        let stated = text(mirror, digest);
        assert!(stated.starts_with(&Sha256::of(text(mirror, manifest).as_bytes()).to_string()), "rustup refuses this");
        is_clean(mirror);
    }
    assert_eq!(view(&good), view(&mixed));
}

#[test]
fn no_signature_of_an_older_manifest_comes_beside_a_newer_one() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let signature = "dist/channel-rust-stable.toml.asc";
    let old = whole("a", 1, "2026-03-05", "1.94.0", "1.28.2").artifact(signature, "of 1.94.0", Shipped);
    import(&mirror, &whole("a", 2, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "new.pkg")).unwrap();
    import(&mirror, &old.write(&folder, "old.pkg")).unwrap();
    assert!(!mirror.join(signature).exists());
    is_clean(&mirror);
}

#[test]
fn a_delta_on_a_channel_that_another_history_moved_on_is_taken_and_moves_nothing_back() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    import(&mirror, &whole("a", 1, "2026-03-05", "1.94.0", "1.28.2").write(&folder, "one.pkg")).unwrap();
    import(&mirror, &whole("b", 1, "2026-04-16", "1.95.0", "1.29.0").read(9).write(&folder, "other.pkg")).unwrap();
    let text_of = channel("2026-03-05", "1.94.0");
    let digest = format!("{}  channel\n", Sha256::of(text_of.as_bytes()));
    let delta = Make::new("a", 2).parent("one.pkg").ship(Crate::new("b", "1.0.0"));
    let names = ["dist/channel-rust-stable.toml", "dist/2026-03-05/channel-rust-stable.toml"];
    let delta = names.iter().fold(delta, |delta, name| {
        delta.artifact(name, &text_of, Sent).artifact(&format!("{name}.sha256"), &digest, Sent)
    });
    import(&mirror, &delta.write(&folder, "two.pkg")).unwrap();
    assert_eq!(text(&mirror, names[0]), channel("2026-04-16", "1.95.0"));
    is_clean(&mirror);
}

#[test]
fn small_files_that_are_huge_are_refused_unread() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let bad = whole("a", 2, "2026-04-16", "1.95.0", "1.29.0");
    let good = Sha256::of(channel("2026-04-16", "1.95.0").as_bytes());
    let padding = " ".repeat(5 << 20);
    for (path, content) in [
        ("dist/channel-rust-stable.toml.sha256", format!("{good}  {padding}\n")),
        ("rustup/release-stable.toml", format!("version = \"1.29.0\"\n#{padding}\n")),
    ] {
        let bundle = bad.clone().artifact(path, content, Shipped).write(&folder, "bad.pkg");
        let refused = import(&mirror, &bundle).unwrap_err();
        assert!(matches!(refused, Error::Bad { .. }), "{refused}");
    }
}

#[test]
fn a_channel_that_rotted_and_still_reads_is_mended() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let bundle = whole("a", 1, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "one.pkg");
    import(&mirror, &bundle).unwrap();
    let before = view(&mirror);
    let path = "dist/channel-rust-stable.toml";
    fs::write(mirror.join(path), text(&mirror, path).replace("1.95.0", "1.95.8")).unwrap();
    import(&mirror, &bundle).unwrap();
    assert_eq!(view(&mirror), before);
    is_clean(&mirror);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_imports_changes_nothing(order in Just((0..4usize).collect::<Vec<_>>()).prop_shuffle()) {
        let sandbox = Sandbox::new();
        let folder = sandbox.path("");
        let bundles = [
            whole("a", 1, "2026-03-05", "1.94.0", "1.28.2"),
            whole("a", 2, "2026-04-16", "1.95.0", "1.29.0").read(5),
            whole("b", 1, "2026-04-16", "1.95.0", "1.28.2").read(7),
            stable(Make::new("c", 1).ship(Crate::new("c", "1.0.0")), "2026-04-16", "1.95.0").read(3),
        ];
        let paths: Vec<_> =
            bundles.into_iter().enumerate().map(|(n, make)| make.write(&folder, &format!("{n}.pkg"))).collect();
        let (straight, mixed) = (sandbox.path("straight"), sandbox.path("mixed"));
        for n in 0..4 {
            import(&straight, &paths[n]).unwrap();
            import(&mixed, &paths[order[n]]).unwrap();
        }
        prop_assert_eq!(view(&mixed), view(&straight));
        prop_assert_eq!(toolchains(&mixed), toolchains(&straight));
    }
}
