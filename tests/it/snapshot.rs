//! A mirror as one bundle, and what is made of it elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use frostmirror::bundle::format::{BundleKind, CrateState, Manifest};
use frostmirror::event::NullSink;
use frostmirror::mirror::audit::audit;
use frostmirror::mirror::gc;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::{lock_for_collecting, lock_for_reading};
use frostmirror::mirror::snapshot::{Error, Options, SnapshotReport};
use frostmirror::mirror::summary::MirrorSummary;
use frostmirror::mirror::{index_meta, ledger};

use crate::bundle_builder::{BundleBuilder, assert_consistent, import, public_files, test_holder, test_time};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

mod config;
mod degraded_mirrors;
mod hostile;
mod killed;
mod redeployed;
mod toolchains;

/// Exports at that second.
fn export_at(mirror: &Path, folder: &Path, second: i64) -> Result<SnapshotReport, Error> {
    let guard = lock_for_reading(&Layout::new(mirror), Duration::ZERO, &test_holder(), &NullSink).unwrap();
    guard.snapshot(Options { folder: folder.to_owned(), config: Vec::new(), now: test_time(second) }, &NullSink)
}

pub fn export(mirror: &Path, folder: &Path) -> SnapshotReport {
    export_at(mirror, folder, 5000).unwrap()
}

fn run_gc(mirror: &Path, forget: &[&str]) {
    let forget = forget.iter().map(|word| (*word).to_owned()).collect();
    let options = gc::Options {
        grace: Duration::ZERO,
        retire: forget,
        accept: Vec::new(),
        reject: Vec::new(),
        now: test_time(6000),
    };
    let mut guard = lock_for_collecting(&Layout::new(mirror), Duration::ZERO, &test_holder(), &NullSink).unwrap();
    guard.plan(&options).unwrap().execute(&NullSink).unwrap();
}

fn summary(mirror: &Path) -> MirrorSummary {
    ledger::read_summary(&Layout::new(mirror)).unwrap().unwrap()
}

/// The histories without the place of their records.
fn history_rows(mirror: &Path) -> Vec<(String, u64, String, String)> {
    let lineages = summary(mirror).lineages.into_iter();
    lineages.map(|one| (one.id, one.sequence, one.bundle, one.created)).collect()
}

/// The records of lines, which decide what a later bundle may replace; a record of a line that was replaced is not one.
fn line_records(mirror: &Path) -> BTreeMap<(String, String), String> {
    let mut all = BTreeMap::new();
    for (path, text) in crate::bundle_builder::all_files(mirror) {
        if path.starts_with(".frostmirror/lines/") && !path.ends_with('/') {
            for record in index_meta::parse(std::str::from_utf8(&text).unwrap()) {
                all.insert((path.clone(), record.version.to_string()), index_meta::render(&[record]));
            }
        }
    }
    all
}

fn assert_clean(mirror: &Path) {
    assert_consistent(mirror);
    let found = audit(&Layout::new(mirror), &NullSink).unwrap();
    assert!(found.problems.is_empty(), "{:?}", found.problems);
}

/// Two histories, the first with a version that was dropped, one that was yanked later, one whose file was left out, and
/// one that is kept for another input.
pub fn source_mirror(sandbox: &Sandbox) -> PathBuf {
    let folder = sandbox.path("bundles");
    fs::create_dir(&folder).unwrap();
    let json = Crate::new("json", "1.0.0");
    let bundles = [
        BundleBuilder::new("a", 1).ship(json.clone()).ship(Crate::new("gone", "1.0.0")).write(&folder, "a1.pkg"),
        BundleBuilder::new("a", 2)
            .read_at(50)
            .parent("a1.pkg")
            .with_crate(json.clone().yanked(), CrateState::Sent)
            .ship(Crate::new("json", "1.1.0"))
            .with_crate(Crate::new("windows", "0.5.0"), CrateState::IndexOnly)
            .with_crate(Crate::new("elsewhere", "0.1.0"), CrateState::Kept)
            .write(&folder, "a2.pkg"),
        BundleBuilder::new("b", 7)
            .read_at(30)
            .ship(Crate::new("Serde", "1.0.0").dep("json", "^1"))
            .ship(json)
            .write(&folder, "b.pkg"),
    ];
    let mirror = sandbox.path("source");
    for bundle in bundles {
        import(&mirror, &bundle).unwrap();
    }
    mirror
}

#[test]
fn a_snapshot_lists_its_content() {
    let sandbox = Sandbox::new();
    let mirror = source_mirror(&sandbox);
    let exported = export(&mirror, &sandbox.path("out"));
    assert_eq!(exported.path.file_name().unwrap().to_str(), Some("snapshot-20260921-1536.pkg"));
    assert_eq!(fs::read_dir(sandbox.path("out")).unwrap().count(), 1);
    let Manifest { kind, crates, carried_histories: carried, lineage, parent, .. } = exported.manifest;
    assert_eq!((kind, parent), (BundleKind::Snapshot, None));
    let states: Vec<_> = crates.iter().map(|one| (one.id().to_string(), one.state, one.yanked)).collect();
    let expected = [
        ("Serde 1.0.0", CrateState::Shipped, false),
        ("elsewhere 0.1.0", CrateState::Kept, false),
        ("gone 1.0.0", CrateState::Shipped, false),
        ("json 1.0.0", CrateState::Shipped, true),
        ("json 1.1.0", CrateState::Shipped, false),
        ("windows 0.5.0", CrateState::IndexOnly, false),
    ];
    assert_eq!(states, expected.map(|(id, state, yanked)| (id.to_owned(), state, yanked)));
    let files: Vec<_> = carried.iter().map(|one| (one.file.as_str(), one.crates.len())).collect();
    assert_eq!(files.len(), 2);
    assert!(files.contains(&("a2.pkg", 4)) && files.contains(&("b.pkg", 2)), "{files:?}");
    assert!(lineage.inputs.is_empty());
    sandbox.run(["verify", exported.path.to_str().unwrap()]).ok().stdout_has("OK -- 4 crates");
    let inspected = sandbox.run(["inspect", exported.path.to_str().unwrap()]).ok();
    inspected.stdout_has("bundle 2 (a2.pkg): 4 versions").stdout_has("bundle 7 (b.pkg): 2 versions");
    // The next one of the same minute does not take its name.
    let second = export(&mirror, &sandbox.path("out"));
    assert_eq!(second.path.file_name().unwrap().to_str(), Some("snapshot-20260921-1536-2.pkg"));
    assert_eq!(second.sha256, exported.sha256, "the same mirror at the same time gives the same bytes");
}

#[test]
fn a_corrupt_file_stops_the_export_and_is_named() {
    let sandbox = Sandbox::new();
    let mirror = source_mirror(&sandbox);
    let file = mirror.join("crates/json-1.1.0.crate");
    let mut bytes = fs::read(&file).unwrap();
    bytes[20] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = export_at(&mirror, &sandbox.path("out"), 1).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { file: named, .. } if *named == file), "{error}");
    assert!(!sandbox.path("out").exists(), "a failed export removes the folder that it created");
}

#[test]
fn all_inconsistencies_are_reported_before_anything_is_written() {
    let sandbox = Sandbox::new();
    let mirror = source_mirror(&sandbox);
    fs::remove_file(mirror.join("crates/gone-1.0.0.crate")).unwrap();
    let index = mirror.join("index/js/on/json");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replacen(r#""yanked":true"#, r#""yanked": true"#, 1)).unwrap();
    fs::create_dir_all(mirror.join("index/no/ns")).unwrap();
    fs::write(mirror.join("index/no/ns/nonsense"), "{\n").unwrap();
    let Err(Error::Damaged { problems, .. }) = export_at(&mirror, &sandbox.path("out"), 1) else {
        panic!("a damaged mirror was exported");
    };
    let output = problems.to_string();
    for args in [
        "crates/gone-1.0.0.crate is missing",
        "index/js/on/json has a line of json 1.0.0",
        "index/no/ns/nonsense is damaged at line 1",
    ] {
        assert!(output.contains(args), "{output}");
    }
    assert!(!sandbox.path("out").exists());
    let empty = sandbox.path("empty");
    fs::create_dir_all(empty.join(".frostmirror")).unwrap();
    assert!(matches!(export_at(&empty, &sandbox.path("out"), 1), Err(Error::Empty { .. })));
}
