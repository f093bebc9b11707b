//! Rustup artifacts in a mirror: placed before what names them, never moved back, mended, and audited.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use frostmirror::bundle::format::DistFileState::{Sent, Shipped};
use frostmirror::digest::Sha256;
use frostmirror::event::NullSink;
use frostmirror::mirror::audit::audit;
use frostmirror::mirror::import::Error;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use proptest::prelude::*;

use crate::bundle_builder::{BundleBuilder, all_files, import, public_files};
use crate::support::crates::Crate;
use crate::support::dist::WINDOWS;
use crate::support::sandbox::Sandbox;

pub const HOST: &str = "x86_64-unknown-linux-gnu";

/// The manifest of a release, which names cargo for two hosts.
pub fn channel_manifest(date: &str, release: &str) -> String {
    format!(
        "manifest-version = \"2\"\ndate = \"{date}\"\n[pkg.rust]\nversion = \"{release} (0 {date})\"\n\
         [pkg.cargo]\nversion = \"{release}\"\n[pkg.cargo.target.{HOST}]\navailable = true\n\
         xz_url = \"https://static.rust-lang.org/dist/{date}/cargo-{release}-{HOST}.tar.xz\"\nxz_hash = \"{}\"\n\
         [pkg.cargo.target.{WINDOWS}]\navailable = true\n\
         xz_url = \"https://static.rust-lang.org/dist/{date}/cargo-{release}-{WINDOWS}.tar.xz\"\nxz_hash = \"{}\"\n",
        Sha256::of(component_content(date, release).as_bytes()),
        Sha256::of(b"windows")
    )
}

pub fn component_content(date: &str, release: &str) -> String {
    format!("cargo {release} of {date}")
}

/// A stable release as a bundle has it: under four names, with its component.
pub fn add_stable_release(make: BundleBuilder, date: &str, release: &str) -> BundleBuilder {
    let text = channel_manifest(date, release);
    let digest = format!("{}  channel\n", Sha256::of(text.as_bytes()));
    let names = [
        "dist/channel-rust-stable.toml".to_owned(),
        format!("dist/channel-rust-{release}.toml"),
        format!("dist/{date}/channel-rust-stable.toml"),
    ];
    let make = names.iter().fold(make, |make, name| {
        make.dist_file(name, &text, Shipped).dist_file(&format!("{name}.sha256"), &digest, Shipped)
    });
    make.dist_file(&format!("dist/{date}/cargo-{release}-{HOST}.tar.xz"), component_content(date, release), Shipped)
}

/// A release of rustup.
pub fn add_rustup_release(make: BundleBuilder, version: &str) -> BundleBuilder {
    let program = format!("rustup {version}");
    let make = make.dist_file(
        "rustup/release-stable.toml",
        format!("schema-version = \"1\"\nversion = \"{version}\"\n"),
        Shipped,
    );
    [format!("rustup/archive/{version}/{HOST}/rustup-init"), format!("rustup/dist/{HOST}/rustup-init")]
        .iter()
        .fold(make, |make, path| make.dist_file(path, &program, Shipped))
}

pub fn full_bundle(lineage: &str, sequence: u64, date: &str, release: &str, version: &str) -> BundleBuilder {
    let make = BundleBuilder::new(lineage, sequence).ship(Crate::new("a", "1.0.0"));
    add_rustup_release(add_stable_release(make, date, release), version)
}

fn assert_clean(mirror: &Path) {
    let audit = audit(&Layout::new(mirror), &NullSink).unwrap();
    assert_eq!(audit.problems.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
}

pub fn toolchains(mirror: &Path) -> Vec<String> {
    ledger::read_summary(&Layout::new(mirror)).unwrap().unwrap().toolchains
}

pub fn read_text(mirror: &Path, path: &str) -> String {
    fs::read_to_string(mirror.join(path)).unwrap()
}

#[test]
fn a_toolchain_is_stored_under_all_its_names_and_counted() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let bundle = full_bundle("a", 1, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "one.pkg");
    let imported = import(&mirror, &bundle).unwrap();
    assert_eq!((imported.dist_files_new, imported.counts.dist_files), (10, 10));
    assert_eq!(toolchains(&mirror), ["stable (1.95.0)"]);
    assert_eq!(read_text(&mirror, "rustup/dist/x86_64-unknown-linux-gnu/rustup-init"), "rustup 1.29.0");
    assert_eq!(read_text(&mirror, "rustup/archive/1.29.0/x86_64-unknown-linux-gnu/rustup-init"), "rustup 1.29.0");
    assert_clean(&mirror);
    assert!(import(&mirror, &bundle).unwrap().already_imported);
}

#[test]
fn an_older_bundle_never_moves_a_channel_back() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let new = full_bundle("a", 2, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "new.pkg");
    let old = full_bundle("a", 1, "2026-03-05", "1.94.0", "1.28.2").write(&folder, "old.pkg");
    import(&mirror, &new).unwrap();
    let before = public_files(&mirror);
    import(&mirror, &old).unwrap();
    let after = public_files(&mirror);
    for (path, bytes) in &before {
        assert_eq!(after.get(path), Some(bytes), "{path}");
    }
    // What it adds beside is there: it can be asked for by its own name.
    assert_eq!(read_text(&mirror, "dist/channel-rust-1.94.0.toml"), channel_manifest("2026-03-05", "1.94.0"));
    assert_eq!(toolchains(&mirror), ["1.94.0", "stable (1.95.0)"]);
    assert_clean(&mirror);
}

#[test]
fn a_newer_bundle_moves_the_channel_and_keeps_older_files() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    import(&mirror, &full_bundle("a", 1, "2026-03-05", "1.94.0", "1.28.2").write(&folder, "old.pkg")).unwrap();
    import(&mirror, &full_bundle("b", 1, "2026-04-16", "1.95.0", "1.29.0").read_at(9).write(&folder, "new.pkg"))
        .unwrap();
    assert_eq!(read_text(&mirror, "dist/channel-rust-stable.toml"), channel_manifest("2026-04-16", "1.95.0"));
    assert!(read_text(&mirror, "rustup/release-stable.toml").contains("1.29.0"));
    assert_eq!(read_text(&mirror, "rustup/dist/x86_64-unknown-linux-gnu/rustup-init"), "rustup 1.29.0");
    assert_eq!(toolchains(&mirror), ["1.94.0", "stable (1.95.0)"]);
    assert_clean(&mirror);
}

#[test]
fn a_channel_that_does_not_match_its_digest_is_refused_and_nothing_is_stored() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    import(&mirror, &BundleBuilder::new("a", 1).ship(Crate::new("a", "1.0.0")).write(&folder, "one.pkg")).unwrap();
    let before = all_files(&mirror);
    let wrong = format!("{}  x\n", Sha256::of(b"other"));
    let bad = full_bundle("a", 2, "2026-04-16", "1.95.0", "1.29.0");
    for (path, content) in [
        ("dist/channel-rust-stable.toml.sha256", wrong.as_str()),
        ("dist/channel-rust-stable.toml", "no manifest"),
        ("rustup/release-stable.toml", "no release"),
    ] {
        let bundle = bad.clone().dist_file(path, content, Shipped).write(&folder, "bad.pkg");
        let refused = import(&mirror, &bundle).unwrap_err();
        assert!(matches!(refused, Error::Invalid { .. }), "{refused}");
        assert_eq!(all_files(&mirror), before, "{path}");
    }
}

#[test]
fn a_delta_relies_on_stored_dist_files_with_matching_digests() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let path = "dist/2026-04-16/cargo-1.95.0-x86_64-unknown-linux-gnu.tar.xz";
    let one = full_bundle("a", 1, "2026-04-16", "1.95.0", "1.29.0");
    let delta = |content: &str| {
        let make = BundleBuilder::new("a", 2).parent("one.pkg").ship(Crate::new("b", "1.0.0"));
        make.dist_file(path, content, Sent).write(&folder, "two.pkg")
    };
    let refused = import(&mirror, &delta(&component_content("2026-04-16", "1.95.0"))).unwrap_err();
    assert!(refused.to_string().contains(path) && refused.to_string().contains("one.pkg"), "{refused}");
    import(&mirror, &one.write(&folder, "one.pkg")).unwrap();
    let refused = import(&mirror, &delta("another")).unwrap_err();
    assert!(matches!(refused, Error::MissingBase { missing: 1, .. }), "{refused}");
    import(&mirror, &delta(&component_content("2026-04-16", "1.95.0"))).unwrap();
    fs::write(mirror.join(path), component_content("2026-04-16", "1.95.1")).unwrap();
    let refused = import(&mirror, &delta(&component_content("2026-04-16", "1.95.0"))).unwrap_err();
    assert!(matches!(refused, Error::MissingBase { missing: 1, .. }), "rot counts as not held: {refused}");
}

#[test]
fn corrupt_and_missing_dist_files_are_reported_and_repaired() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let bundle = full_bundle("a", 1, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "one.pkg");
    import(&mirror, &bundle).unwrap();
    let before = public_files(&mirror);
    let component_path = "dist/2026-04-16/cargo-1.95.0-x86_64-unknown-linux-gnu.tar.xz";
    fs::write(mirror.join(component_path), "rot").unwrap();
    fs::write(mirror.join("dist/channel-rust-stable.toml"), "rot").unwrap();
    fs::remove_file(mirror.join("rustup/dist/x86_64-unknown-linux-gnu/rustup-init")).unwrap();
    fs::write(mirror.join("dist/stranger"), "x").unwrap();
    let audit = audit(&Layout::new(&mirror), &NullSink).unwrap();
    let output: BTreeMap<&str, String> =
        audit.problems.iter().map(|problem| (problem.path.as_str(), problem.fault.to_string())).collect();
    assert_eq!(output.len(), 4, "{output:?}");
    assert!(output[component_path].contains("SHA-256"));
    assert!(output["rustup/dist/x86_64-unknown-linux-gnu/rustup-init"].contains("missing"));
    assert!(output["dist/stranger"].contains("nothing names it"));
    assert_eq!(audit.repairs.len(), 3);
    fs::remove_file(mirror.join("dist/stranger")).unwrap();
    import(&mirror, &bundle).unwrap();
    assert_eq!(public_files(&mirror), before);
    assert_clean(&mirror);
}

#[test]
fn a_manifest_without_a_digest_does_not_replace_a_valid_channel() {
    let sandbox = Sandbox::new();
    let (folder, good, mixed) = (sandbox.path(""), sandbox.path("good"), sandbox.path("mixed"));
    let old = full_bundle("a", 1, "2026-03-05", "1.94.0", "1.28.2").write(&folder, "old.pkg");
    // Newer, and nothing by which rustup would take it.
    let half = BundleBuilder::new("b", 1).read_at(9).ship(Crate::new("b", "1.0.0")).dist_file(
        "dist/channel-rust-stable.toml",
        channel_manifest("2026-04-16", "1.95.0"),
        Shipped,
    );
    let half = half.write(&folder, "half.pkg");
    for (mirror, bundles) in [(&good, [&old, &half]), (&mixed, [&half, &old])] {
        for bundle in bundles {
            import(mirror, bundle).unwrap();
        }
        let (manifest, digest) = ("dist/channel-rust-stable.toml", "dist/channel-rust-stable.toml.sha256");
        let stated = read_text(mirror, digest);
        assert!(
            stated.starts_with(&Sha256::of(read_text(mirror, manifest).as_bytes()).to_string()),
            "rustup refuses this"
        );
        assert_clean(mirror);
    }
    assert_eq!(public_files(&good), public_files(&mixed));
}

#[test]
fn a_signature_of_an_older_manifest_is_not_stored_beside_a_newer_one() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let signature = "dist/channel-rust-stable.toml.asc";
    let old = full_bundle("a", 1, "2026-03-05", "1.94.0", "1.28.2").dist_file(signature, "of 1.94.0", Shipped);
    import(&mirror, &full_bundle("a", 2, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "new.pkg")).unwrap();
    import(&mirror, &old.write(&folder, "old.pkg")).unwrap();
    assert!(!mirror.join(signature).exists());
    assert_clean(&mirror);
}

#[test]
fn a_delta_whose_channel_another_history_moved_is_imported_and_moves_nothing_back() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    import(&mirror, &full_bundle("a", 1, "2026-03-05", "1.94.0", "1.28.2").write(&folder, "one.pkg")).unwrap();
    import(&mirror, &full_bundle("b", 1, "2026-04-16", "1.95.0", "1.29.0").read_at(9).write(&folder, "other.pkg"))
        .unwrap();
    let text_of = channel_manifest("2026-03-05", "1.94.0");
    let digest = format!("{}  channel\n", Sha256::of(text_of.as_bytes()));
    let delta = BundleBuilder::new("a", 2).parent("one.pkg").ship(Crate::new("b", "1.0.0"));
    let names = ["dist/channel-rust-stable.toml", "dist/2026-03-05/channel-rust-stable.toml"];
    let delta = names.iter().fold(delta, |delta, name| {
        delta.dist_file(name, &text_of, Sent).dist_file(&format!("{name}.sha256"), &digest, Sent)
    });
    import(&mirror, &delta.write(&folder, "two.pkg")).unwrap();
    assert_eq!(read_text(&mirror, names[0]), channel_manifest("2026-04-16", "1.95.0"));
    assert_clean(&mirror);
}

#[test]
fn oversized_digest_and_release_files_are_refused_unread() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let bad = full_bundle("a", 2, "2026-04-16", "1.95.0", "1.29.0");
    let good = Sha256::of(channel_manifest("2026-04-16", "1.95.0").as_bytes());
    let padding = " ".repeat(5 << 20);
    for (path, content) in [
        ("dist/channel-rust-stable.toml.sha256", format!("{good}  {padding}\n")),
        ("rustup/release-stable.toml", format!("version = \"1.29.0\"\n#{padding}\n")),
    ] {
        let bundle = bad.clone().dist_file(path, content, Shipped).write(&folder, "bad.pkg");
        let refused = import(&mirror, &bundle).unwrap_err();
        assert!(matches!(refused, Error::Invalid { .. }), "{refused}");
    }
}

#[test]
fn a_corrupt_channel_that_still_parses_is_repaired() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let bundle = full_bundle("a", 1, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "one.pkg");
    import(&mirror, &bundle).unwrap();
    let before = public_files(&mirror);
    let path = "dist/channel-rust-stable.toml";
    fs::write(mirror.join(path), read_text(&mirror, path).replace("1.95.0", "1.95.8")).unwrap();
    import(&mirror, &bundle).unwrap();
    assert_eq!(public_files(&mirror), before);
    assert_clean(&mirror);
}

/// Bundles of two histories with different files at one path.
fn contradicting_bundles(sandbox: &Sandbox, path: &str) -> [std::path::PathBuf; 2] {
    [("a", "genuine"), ("evil", "forged")].map(|(lineage, content)| {
        let make = BundleBuilder::new(lineage, 1).ship(Crate::new("json", "1.0.0"));
        make.dist_file(path, content, Shipped).write(&sandbox.path(""), &format!("{content}.pkg"))
    })
}

const IMMUTABLE_PATHS: [&str; 2] = [
    "dist/2026-04-16/cargo-1.95.0-x86_64-unknown-linux-gnu.tar.xz",
    "rustup/archive/1.29.0/x86_64-unknown-linux-gnu/rustup-init",
];

#[test]
fn an_immutable_file_is_not_replaced_by_another_bundle() {
    for path in IMMUTABLE_PATHS {
        for (first, second) in [("genuine", "forged"), ("forged", "genuine")] {
            let sandbox = Sandbox::new();
            let mirror = sandbox.path("mirror");
            contradicting_bundles(&sandbox, path);
            let file = |content: &str| format!("{content}.pkg");
            let id = import(&mirror, &sandbox.path(file(first))).unwrap().id;
            let before = all_files(&mirror);
            let run = sandbox.run(["import", &file(second), "--mirror", "mirror"]).exits(4);
            run.stderr_has(&format!("the mirror has `{path}` with the digest {}", Sha256::of(first.as_bytes())))
                .stderr_has(&format!("but the bundle has it with {}", Sha256::of(second.as_bytes())))
                .stderr_has(&format!("{first}.pkg"))
                .stderr_has(" has the stored file")
                .stderr_has("one of the two is false")
                .stderr_has(&format!("@{id}"));
            assert_eq!(all_files(&mirror), before);
            // A corrupt file is replaced.
            fs::write(mirror.join(path), "rot").unwrap();
            sandbox.run(["import", &file(second), "--mirror", "mirror"]).ok();
            assert_eq!(read_text(&mirror, path), second);
        }
    }
}

#[test]
fn an_immutable_file_of_a_rejected_or_forgotten_bundle_is_replaced() {
    for word in ["--reject", "--forget"] {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        let [genuine, forged] = contradicting_bundles(&sandbox, IMMUTABLE_PATHS[0]);
        let forged_id = import(&mirror, &forged).unwrap().id;
        assert!(matches!(import(&mirror, &genuine), Err(Error::Conflicts { .. })));
        let lineage = BundleBuilder::new("evil", 1).lineage().to_owned();
        let term = if word == "--reject" { format!("{lineage}@{forged_id}") } else { lineage };
        sandbox.run(["gc", "--grace", "7d", word, &term, "--mirror", "mirror"]).ok();
        assert_eq!(read_text(&mirror, IMMUTABLE_PATHS[0]), "forged", "{word}");
        import(&mirror, &genuine).unwrap();
        assert_eq!(read_text(&mirror, IMMUTABLE_PATHS[0]), "genuine");
        assert_clean(&mirror);
    }
}

#[test]
fn an_immutable_file_of_a_lost_record_is_not_replaced() {
    for is_rebuilt in [false, true] {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        let [genuine, _] = contradicting_bundles(&sandbox, IMMUTABLE_PATHS[0]);
        import(&mirror, &genuine).unwrap();
        let ledger = mirror.join(".frostmirror/ledger");
        for one in fs::read_dir(ledger).unwrap() {
            fs::remove_file(one.unwrap().path()).unwrap();
        }
        if is_rebuilt {
            sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok();
        }
        let run = sandbox.run(["import", "forged.pkg", "--mirror", "mirror"]).exits(4);
        run.stderr_has("no import record shows which bundle brought the stored file")
            .stderr_has(&format!("remove `DIR/{}`", IMMUTABLE_PATHS[0]));
        assert_eq!(read_text(&mirror, IMMUTABLE_PATHS[0]), "genuine");
        fs::remove_file(mirror.join(IMMUTABLE_PATHS[0])).unwrap();
        sandbox.run(["import", "forged.pkg", "--mirror", "mirror"]).ok();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_imports_does_not_change_the_toolchains(order in Just((0..4usize).collect::<Vec<_>>()).prop_shuffle()) {
        let sandbox = Sandbox::new();
        let folder = sandbox.path("");
        let bundles = [
            full_bundle("a", 1, "2026-03-05", "1.94.0", "1.28.2"),
            full_bundle("a", 2, "2026-04-16", "1.95.0", "1.29.0").read_at(5),
            full_bundle("b", 1, "2026-04-16", "1.95.0", "1.28.2").read_at(7),
            add_stable_release(BundleBuilder::new("c", 1).ship(Crate::new("c", "1.0.0")), "2026-04-16", "1.95.0").read_at(3),
        ];
        let paths: Vec<_> =
            bundles.into_iter().enumerate().map(|(n, make)| make.write(&folder, &format!("{n}.pkg"))).collect();
        let (straight, mixed) = (sandbox.path("straight"), sandbox.path("mixed"));
        for n in 0..4 {
            import(&straight, &paths[n]).unwrap();
            import(&mixed, &paths[order[n]]).unwrap();
        }
        prop_assert_eq!(public_files(&mixed), public_files(&straight));
        prop_assert_eq!(toolchains(&mixed), toolchains(&straight));
    }
}
