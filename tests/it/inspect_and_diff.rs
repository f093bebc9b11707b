//! `inspect` and `diff` as an approver reads them: golden texts, JSON, hostile texts, bundles of frostmirror 1.x.

use std::fs;

use frostmirror::bundle::format::{BundleKind, CrateState, Manifest, Parent};
use serde_json::Value;

use crate::support::forged_bundle::{FakeCrate, ForgedBundle};
use crate::support::sandbox::Sandbox;

const LEGACY_BUNDLE: &[u8] = include_bytes!("../../fixtures/bundles/frostmirror-1.0.0.pkg");

/// A bundle of these crates, bent and written to `name` with nothing behind its manifest.
pub fn write_forged(sandbox: &Sandbox, name: &str, crates: &[(&str, &str, usize)], bend: impl FnOnce(&mut Manifest)) {
    let crates: Vec<FakeCrate> =
        crates.iter().map(|(name, version, size)| FakeCrate::new(name, version, *size)).collect();
    let mut forged = ForgedBundle::from_crates(&crates);
    bend(&mut forged.manifest);
    let states: Vec<_> = forged.manifest.crates.iter().map(|record| (record.id().crate_path(), record.state)).collect();
    forged.manifest.blocks.retain(|block| {
        let state = states.iter().find(|(path, _)| *path == block.entries[0].path);
        state.is_none_or(|(_, state)| *state == CrateState::Shipped)
    });
    forged.payload.clear();
    fs::write(sandbox.path(name), forged.bytes()).unwrap();
}

/// The licence and repository that each crate declares.
pub fn set_metadata(manifest: &mut Manifest, about: &[(&str, Option<&str>, Option<&str>)]) {
    for (id, license, repository) in about {
        let record = manifest.crates.iter_mut().find(|record| record.id().to_string() == *id).unwrap();
        record.license = license.map(str::to_owned);
        record.repository = repository.map(str::to_owned);
    }
}

fn set_state(manifest: &mut Manifest, id: &str, state: CrateState) {
    manifest.crates.iter_mut().find(|record| record.id().to_string() == id).unwrap().state = state;
}

fn write_full_and_delta(sandbox: &Sandbox) {
    let first = [
        ("anyhow", "1.0.1", 2000),
        ("gone", "0.1.0", 500),
        ("serde", "1.0.0", 4096),
        ("stays", "1.0.0", 100),
        ("syn", "1.0.0", 10),
        ("windows", "0.5.0", 700),
    ];
    write_forged(sandbox, "old.pkg", &first, |manifest| {
        set_metadata(manifest, &[("serde 1.0.0", Some("MIT"), Some("https://git.example/serde"))]);
        set_state(manifest, "windows 0.5.0", CrateState::IndexOnly);
        manifest.toolchains = vec!["stable".to_owned()];
    });
    let second = [
        ("anyhow", "1.0.1", 2000),
        ("new-one", "0.3.0+b", 1536),
        ("serde", "1.0.1", 5000),
        ("serde", "2.0.0", 120),
        ("stays", "1.0.0", 100),
        ("syn", "1.0.0", 10),
        ("syn", "2.0.0", 20),
        ("windows", "0.5.0", 700),
    ];
    write_forged(sandbox, "new.pkg", &second, |manifest| {
        manifest.kind = BundleKind::Delta;
        manifest.parent = Some(Parent { id: "a".repeat(32), file: "old.pkg".to_owned() });
        manifest.lineage.sequence = 2;
        manifest.lineage.previous = Some("a".repeat(32));
        manifest.toolchains = vec!["1.86.0".to_owned(), "stable".to_owned()];
        for id in ["anyhow 1.0.1", "stays 1.0.0", "syn 1.0.0"] {
            set_state(manifest, id, CrateState::Sent);
        }
        manifest.crates.iter_mut().find(|record| record.name.as_str() == "anyhow").unwrap().yanked = true;
        let about = [
            ("serde 1.0.1", Some("MIT OR Apache-2.0"), Some("https://git.example/serde")),
            ("serde 2.0.0", Some("MIT OR Apache-2.0"), Some("https://elsewhere.example/serde")),
            ("new-one 0.3.0+b", Some("ISC"), Some("https://git.example/new-one")),
            ("syn 2.0.0", Some("MIT OR Apache-2.0"), None),
        ];
        set_metadata(manifest, &about);
    });
}

#[test]
fn inspect_summarizes_a_delta() {
    let sandbox = Sandbox::new();
    write_full_and_delta(&sandbox);
    let run = sandbox.run(["inspect", "new.pkg"]).ok().stderr_has("`cargo frostmirror verify` checks");
    let id = bundle_id(&sandbox, "new.pkg");
    snapbox::assert_data_eq!(
        run.stdout.replace(&id, "[ID]"),
        snapbox::str![[r#"
Kind        delta
Created     2026-04-02T21:30:00Z
Tool        cargo-frostmirror 0.1.0
Id          [ID]
Parent      aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa (old.pkg)
Lineage     0123456789abcdef0123456789abcdef, bundle 2
Input       8 versions for /project/depends.toml
Index read  2026-04-02T21:30:00Z
Targets     none
Toolchains  1.86.0, stable
Crates      8 (5 shipped, 3 sent before)
Yanked      1
Rustup      0 artifacts
Stored      7.66 KiB (7840 bytes)
Unpacked    8.36 KiB (8556 bytes)

Licences of the shipped crates:
     3  MIT OR Apache-2.0
     1  ISC
     1  no licence stated

Shipped (5):
  new-one  0.3.0+b  1.50 KiB  ISC                https://git.example/new-one
  serde    1.0.1    4.88 KiB  MIT OR Apache-2.0  https://git.example/serde
  serde    2.0.0       120 B  MIT OR Apache-2.0  https://elsewhere.example/serde
  syn      2.0.0        20 B  MIT OR Apache-2.0
  windows  0.5.0       700 B  no licence stated

Sent by earlier bundles, and needed (3):
  anyhow  1.0.1  1.95 KiB  not known from this bundle  yanked
  stays   1.0.0     100 B  not known from this bundle
  syn     1.0.0      10 B  not known from this bundle

"#]]
    );
}

#[test]
fn diff_lists_added_and_removed_crates() {
    let sandbox = Sandbox::new();
    write_full_and_delta(&sandbox);
    let run = sandbox.run(["diff", "old.pkg", "new.pkg"]).ok();
    let text = run
        .stdout
        .replace(&bundle_id(&sandbox, "old.pkg"), "[OLD-ID]")
        .replace(&bundle_id(&sandbox, "new.pkg"), "[NEW-ID]");
    snapbox::assert_data_eq!(
        text,
        snapbox::str![[r#"
Old         full of 2026-04-02T21:30:00Z, 6 versions (7.23 KiB), id [OLD-ID], old.pkg
New         delta of 2026-04-02T21:30:00Z, 8 versions (9.26 KiB), id [NEW-ID], new.pkg
Toolchain   + 1.86.0

Added (2):
  new-one  0.3.0+b  1.50 KiB  ISC                https://git.example/new-one
  syn      2.0.0        20 B  MIT OR Apache-2.0

Updated (1):
  serde  1.0.0 -> 1.0.1, 2.0.0  5.00 KiB  MIT OR Apache-2.0 (was MIT)  https://elsewhere.example/serde, https://git.example/serde (was https://git.example/serde)

Removed (1):
  gone  0.1.0  500 B

Changed (2):
  anyhow   1.0.1  yanked
  windows  0.5.0  its file is now included

Total: 4 versions (6.52 KiB) added, 2 versions (4.49 KiB) removed, 2 changed, 2 unchanged.

"#]]
    );
}

fn bundle_id(sandbox: &Sandbox, file: &str) -> String {
    json_output(sandbox, &["inspect", file, "--format", "json"])["id"].as_str().unwrap().to_owned()
}

fn json_output(sandbox: &Sandbox, args: &[&str]) -> Value {
    serde_json::from_str(&sandbox.run(args).ok().stdout).unwrap()
}

#[test]
fn diff_as_json_has_every_record() {
    let sandbox = Sandbox::new();
    write_full_and_delta(&sandbox);
    let diff = json_output(&sandbox, &["diff", "old.pkg", "new.pkg", "--format", "json"]);
    let ids = |records: &Value| -> Vec<String> {
        let text = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
        let records = records.as_array().unwrap().iter();
        records.map(|record| format!("{} {}", text(record, "name"), text(record, "version"))).collect()
    };
    assert_eq!(ids(&diff["added"]), ["new-one 0.3.0+b", "syn 2.0.0"]);
    assert_eq!(ids(&diff["removed"]), ["gone 0.1.0"]);
    assert_eq!(diff["updated"].as_array().unwrap().len(), 1);
    assert_eq!(ids(&diff["updated"][0]["old"]), ["serde 1.0.0"]);
    assert_eq!(ids(&diff["updated"][0]["new"]), ["serde 1.0.1", "serde 2.0.0"]);
    assert_eq!(diff["updated"][0]["new"][0]["license"], "MIT OR Apache-2.0");
    assert_eq!(ids(&diff["changed"]), ["anyhow 1.0.1", "windows 0.5.0"]);
    assert_eq!(diff["changed"][0]["changes"][0]["change"], "yanked");
    assert_eq!(diff["changed"][1]["changes"][0]["change"], "file-added");
    assert_eq!(diff["totals"]["coming"], serde_json::json!({"versions": 4, "bytes": 1536 + 20 + 5000 + 120}));
    assert_eq!(diff["totals"]["going"], serde_json::json!({"versions": 2, "bytes": 500 + 4096}));
    assert_eq!(diff["toolchains"], serde_json::json!({"added": ["1.86.0"], "removed": []}));
    assert_eq!(diff["old"]["id"], bundle_id(&sandbox, "old.pkg"));
    assert_eq!(diff["new"]["sequence"], 2);
    assert_eq!(diff["same"], false);

    let run = sandbox.run(["diff", "old.pkg", "new.pkg", "--message-format", "json"]).ok();
    let lines: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["reason"], &lines[0]["added"]), (&"diff".into(), &diff["added"]));
    assert_eq!(lines.last().unwrap()["reason"], "finished");
}

#[test]
fn a_bundle_compared_with_itself_has_no_changes() {
    let sandbox = Sandbox::new();
    write_full_and_delta(&sandbox);
    fs::write(sandbox.path("legacy.pkg"), LEGACY_BUNDLE).unwrap();
    for (file, count) in [("new.pkg", 8), ("legacy.pkg", 2)] {
        let text = sandbox.run(["diff", file, file]).ok().stdout;
        assert!(text.ends_with(&format!("\n\nNo change: {count} versions.\n")), "{text}");
        assert_eq!(text.lines().count(), 4, "two bundles, a blank, and that nothing changed: {text}");
        let diff = json_output(&sandbox, &["diff", file, file, "--format", "json"]);
        assert_eq!((&diff["same"], &diff["totals"]["unchanged"]), (&true.into(), &count.into()));
    }
}

#[test]
fn a_reversed_diff_swaps_added_and_removed() {
    let sandbox = Sandbox::new();
    write_full_and_delta(&sandbox);
    let there = json_output(&sandbox, &["diff", "old.pkg", "new.pkg", "--format", "json"]);
    let back = json_output(&sandbox, &["diff", "new.pkg", "old.pkg", "--format", "json"]);
    assert_eq!((&there["added"], &there["removed"]), (&back["removed"], &back["added"]));
    assert_eq!(there["totals"]["coming"], back["totals"]["going"]);
    let text = sandbox.run(["diff", "new.pkg", "old.pkg"]).ok().stdout;
    for expected in ["older than the old one", "no longer yanked", "its file is now left out", "Toolchain   - 1.86.0"] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn changed_content_of_the_same_version_is_reported() {
    let sandbox = Sandbox::new();
    write_forged(&sandbox, "one.pkg", &[("a", "1.0.0", 10)], |_| {});
    // The digest follows from the size, as the bytes do.
    write_forged(&sandbox, "other.pkg", &[("a", "1.0.0", 11)], |manifest| manifest.lineage.id = "f".repeat(32));
    let text = sandbox.run(["diff", "one.pkg", "other.pkg"]).ok().stdout;
    let (old, new) = (FakeCrate::new("a", "1.0.0", 10).sha256(), FakeCrate::new("a", "1.0.0", 11).sha256());
    assert!(text.contains(&format!("  a  1.0.0  OTHER CONTENT: SHA-256 {new}, was {old}\n")), "{text}");
    assert!(text.contains("to different histories"), "{text}");
}

#[test]
fn diff_separates_downgrades_from_updates() {
    let sandbox = Sandbox::new();
    write_forged(&sandbox, "one.pkg", &[("down", "1.10.0", 10), ("up", "1.9.0", 10)], |_| {});
    write_forged(&sandbox, "two.pkg", &[("down", "1.9.0", 10), ("up", "1.10.0", 10)], |_| {});
    let text = sandbox.run(["diff", "one.pkg", "two.pkg"]).ok().stdout;
    assert!(text.contains("\nUpdated (1):\n  up  1.9.0 -> 1.10.0"), "{text}");
    assert!(text.contains("\nDowngraded (1):\n  down  1.10.0 -> 1.9.0"), "{text}");
    let json = sandbox.run(["diff", "one.pkg", "two.pkg", "--format", "json"]).ok().stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    let downgrades: Vec<_> = json["updated"].as_array().unwrap().iter().map(|one| &one["downgrade"]).collect();
    assert_eq!(downgrades, [&Value::Bool(true), &Value::Bool(false)]);
}

#[test]
fn a_legacy_bundle_can_be_inspected_and_compared() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("legacy.pkg"), LEGACY_BUNDLE).unwrap();
    let text = sandbox.run(["inspect", "legacy.pkg"]).ok().stdout;
    for line in ["Tool        frostmirror 1.x\n", "Crates      2 (2 shipped)\n", "\n  cfg-if  1.0.0   "] {
        assert!(text.contains(line), "{line} in {text}");
    }
    write_forged(&sandbox, "next.pkg", &[("cfg-if", "1.0.4", 10), ("itoa", "1.0.11", 10)], |_| {});
    let text = sandbox.run(["diff", "legacy.pkg", "next.pkg"]).ok().stdout;
    for expected in
        ["\nUpdated (1):\n  cfg-if  1.0.0 -> 1.0.4  10 B  ", "\n  itoa  1.0.11  OTHER CONTENT", "1 version ("]
    {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn hostile_texts_neither_control_the_terminal_nor_forge_a_line() {
    let sandbox = Sandbox::new();
    let evil = "MIT\u{1b}[2J\u{9b}31m\r\nKind        full\n\u{202e}txet\u{2066}\u{200b}\u{7f}\u{0}";
    let crates = [("a", "1.0.0", 10), ("b", "1.0.0", 10)];
    write_forged(&sandbox, "old.pkg", &crates[..1], |_| {});
    write_forged(&sandbox, "bad.pkg", &crates, |manifest| {
        let long = format!("{evil}{}", "x".repeat(1_800));
        set_metadata(manifest, &[("a 1.0.0", Some(evil), Some(evil)), ("b 1.0.0", Some(&long), Some(&long))]);
        manifest.tool = evil.to_owned();
        manifest.kind = BundleKind::Delta;
        manifest.parent = Some(Parent { id: "a".repeat(32), file: evil.to_owned() });
        manifest.toolchains = vec![evil.to_owned()];
        manifest.targets = vec![evil.to_owned()];
        manifest.lineage.inputs[0].name = evil.to_owned();
    });
    let formats = [&["--format", "text"][..], &["--format", "json"], &["--format", "cyclonedx"]];
    for args in [&["inspect", "bad.pkg"][..], &["diff", "old.pkg", "bad.pkg"], &["list", "bad.pkg"]] {
        for format in formats {
            let format = if args[0] == "list" { &[] } else { format };
            let text = sandbox.run(args.iter().chain(format)).ok().stdout;
            let acts = |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{2066}\u{200b}".contains(c));
            assert!(!text.contains(acts), "{args:?} {format:?}: {text:?}");
            if format.get(1) == Some(&"text") {
                assert!(!text.contains("\nKind        full"), "{text}");
                assert!(text.lines().all(|line| line.chars().count() < 700), "a line pushes the others away");
            } else if !format.is_empty() {
                assert!(text.contains("MIT\\u001b[2J"), "nothing is lost to a program: {text}");
            }
        }
    }
}

#[test]
fn the_diff_of_three_hundred_crates_is_summarized() {
    let sandbox = Sandbox::new();
    let names: Vec<String> = (0..300).map(|n| format!("crate-{}{n}", "x".repeat(n % 30))).collect();
    let crates: Vec<(&str, &str, usize)> = names.iter().map(|name| (name.as_str(), "1.0.0", 1)).collect();
    write_forged(&sandbox, "many.pkg", &crates, |manifest| {
        manifest.crates.iter_mut().for_each(|record| record.license = Some("MIT".to_owned()));
    });
    let text = sandbox.run(["inspect", "many.pkg"]).ok().stdout;
    let rows: Vec<&str> = text.lines().skip_while(|line| *line != "Shipped (300):").skip(1).collect();
    assert_eq!(rows.len(), 300);
    let column = rows[0].find("1.0.0");
    assert!(rows.iter().all(|row| row.find("1.0.0") == column && row.ends_with("  1 B  MIT")), "{text}");
    assert!(text.contains("\nLicences of the shipped crates:\n   300  MIT\n"), "{text}");
}

#[test]
fn diff_reads_only_manifests_and_names_invalid_inputs() {
    let sandbox = Sandbox::new();
    write_forged(&sandbox, "good.pkg", &[("a", "1.0.0", 10)], |_| {});
    sandbox.run(["diff", "good.pkg", "absent.pkg"]).exits(3).stderr_has("absent.pkg");
    sandbox.run(["diff", ".", "good.pkg"]).exits(3).stderr_has("is a folder, not a bundle");
    sandbox.write("text.pkg", "no bundle at all");
    sandbox.run(["diff", "text.pkg", "good.pkg"]).exits(4).stderr_has("`text.pkg` is not a bundle");
    sandbox.run(["diff", "good.pkg"]).exits(2);
}
