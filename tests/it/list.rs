//! `list`: what a bundle ships and what a mirror holds.

use std::fs;

use frostmirror::bundle::format::{BundleKind, CrateState, Parent};

use crate::bundle_builder::BundleBuilder;
use crate::inspect_and_diff::write_forged;
use crate::support::crates::Crate;
use crate::support::forged_bundle;
use crate::support::sandbox::Sandbox;

const EXPECTED_LIST: &str = "\
Created: 2026-04-02T21:30:00Z
Crate count: 5
Total size: 73600 bytes
Foo-Bar 0.1.0+b.1
a 1.0.0
a 1.9.0
a 1.10.0
zz 2.0.0-rc.1
";

#[test]
fn a_bundle_and_its_mirror_list_the_same_crates() {
    let sandbox = Sandbox::new();
    let bundle = forged_bundle::pack_to_path(&forged_bundle::sample_crates(), &sandbox.path(""));
    let bundle = bundle.file_name().unwrap().to_str().unwrap();
    assert_eq!(sandbox.run(["list", bundle]).ok().stdout, EXPECTED_LIST);
    sandbox.run(["import", bundle, "--mirror", "mirror"]).ok();
    assert_eq!(sandbox.run(["list", "--mirror", "mirror"]).ok().stdout, EXPECTED_LIST);
    // Nothing of a bundle's payload, and no crate's file.
    fs::rename(sandbox.path("mirror/crates"), sandbox.path("elsewhere")).unwrap();
    assert_eq!(sandbox.run(["list", "--mirror", "mirror"]).ok().stdout, EXPECTED_LIST);

    let run = sandbox.run(["list", "--mirror", "mirror", "--message-format", "json"]).ok();
    let listed: serde_json::Value = serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&listed["reason"], &listed["count"], &listed["bytes"]), (&"listed".into(), &5.into(), &73600.into()));
    assert_eq!(listed["crates"][3], serde_json::json!({"name": "a", "version": "1.10.0", "yanked": false}));
}

#[test]
fn yanked_versions_are_marked_in_a_bundle_and_in_its_mirror() {
    let sandbox = Sandbox::new();
    let bundle = BundleBuilder::new("a", 1)
        .ship(Crate::new("good", "1.0.0"))
        .ship(Crate::new("good", "1.1.0").yanked())
        .write(&sandbox.path(""), "yanked.pkg");
    sandbox.run(["import".as_ref(), bundle.as_os_str(), "--mirror".as_ref(), "mirror".as_ref()]).ok();
    for args in [&["list", "yanked.pkg"][..], &["list", "--mirror", "mirror"]] {
        sandbox.run(args).ok().stdout_has("\ngood 1.0.0\ngood 1.1.0 (yanked)\n");
        let run = sandbox.run(args.iter().chain(&["--message-format", "json"])).ok();
        let listed: serde_json::Value = serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap();
        assert_eq!((&listed["crates"][0]["yanked"], &listed["crates"][1]["yanked"]), (&false.into(), &true.into()));
    }
}

#[test]
fn the_mirror_from_the_environment_is_listed_unless_a_bundle_is_given() {
    let sandbox = Sandbox::new();
    let bundle = forged_bundle::pack_to_path(&forged_bundle::sample_crates()[..1], &sandbox.path(""));
    let bundle = bundle.file_name().unwrap().to_str().unwrap();
    let sandbox = sandbox.env("FROSTMIRROR_MIRROR", "empty");
    let empty = "Created: never\nCrate count: 0\nTotal size: 0 bytes\n";
    assert_eq!(sandbox.run(["list"]).ok().stdout, empty);
    assert!(sandbox.run(["list", bundle]).ok().stdout.ends_with(" bytes\na 1.0.0\n"));
    sandbox.run(["list", bundle, "--mirror", "mirror"]).exits(2);
    sandbox.run(["list", "absent.pkg"]).exits(3).stderr_has("absent.pkg");
}

#[test]
fn crates_that_a_bundle_does_not_ship_are_not_listed() {
    let sandbox = Sandbox::new();
    write_forged(&sandbox, "x.pkg", &[("a", "1.0.0", 10), ("b", "1.0.0", 20), ("c", "1.0.0", 30)], |manifest| {
        manifest.kind = BundleKind::Delta;
        manifest.parent = Some(Parent { id: "a".repeat(32), file: "old.pkg".to_owned() });
        manifest.crates[0].state = CrateState::Sent;
        manifest.crates[2].state = CrateState::IndexOnly;
    });
    let text = sandbox.run(["list", "x.pkg"]).ok().stdout;
    assert_eq!(text, "Created: 2026-04-02T21:30:00Z\nCrate count: 1\nTotal size: 20 bytes\nb 1.0.0\n");
}

#[test]
fn a_mirror_lists_neither_index_only_crates_nor_unrecognized_files() {
    let sandbox = Sandbox::new();
    let bundle = forged_bundle::pack_to_path(&forged_bundle::sample_crates(), &sandbox.path(""));
    sandbox.run(["import", bundle.to_str().unwrap(), "--mirror", "mirror"]).ok();
    let records = "mirror/.frostmirror/lines/1/a";
    let text = sandbox.read(records);
    let line = text.lines().find(|line| line.starts_with("1.9.0 ")).unwrap();
    sandbox.write(records, text.replace(line, &line.replace(" held", " index-only")));
    sandbox.write("mirror/index/st/ra/stranger", [0xff, 0xfe]);
    sandbox.write("mirror/index/st/ra/strange", forged_bundle::sample_crates()[0].line());
    let listed = sandbox.run(["list", "--mirror", "mirror"]).ok().stdout;
    assert!(listed.contains("Crate count: 4\n"), "{listed}");
    assert!(listed.ends_with(" bytes\nFoo-Bar 0.1.0+b.1\na 1.0.0\na 1.10.0\nzz 2.0.0-rc.1\n"), "{listed}");
}

#[test]
fn listing_a_missing_mirror_says_so() {
    let sandbox = Sandbox::new();
    sandbox.run(["list"]).ok().stderr_has("no mirror is at").stdout_has("Crate count: 0\n");
    sandbox.run(["list", "--mirror", "absent"]).exits(3).stderr_has("no mirror is at").stderr_has("absent");
}
