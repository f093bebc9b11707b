//! A mirror as one bundle, and what is made of it elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use frostmirror::bundle::format::{BundleKind, CrateState, Manifest};
use frostmirror::event::Silent;
use frostmirror::mirror::audit::audit;
use frostmirror::mirror::gc;
use frostmirror::mirror::head::Head;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::{lock_for_collecting, lock_for_reading};
use frostmirror::mirror::snapshot::{Error, Exported, Options};
use frostmirror::mirror::{ledger, lines};

use crate::import_bundle::{Make, assert_sound, at, import, me, view};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

mod config;
mod doubtful;
mod hostile;
mod killed;
mod redeployed;
mod toolchains;

/// Exports at that second.
fn export_at(mirror: &Path, folder: &Path, second: i64) -> Result<Exported, Error> {
    let guard = lock_for_reading(&Layout::new(mirror), Duration::ZERO, &me(), &Silent).unwrap();
    guard.snapshot(Options { folder: folder.to_owned(), config: Vec::new(), now: at(second) }, &Silent)
}

fn export(mirror: &Path, folder: &Path) -> Exported {
    export_at(mirror, folder, 5000).unwrap()
}

fn collect(mirror: &Path, forget: &[&str]) {
    let forget = forget.iter().map(|word| (*word).to_owned()).collect();
    let options = gc::Options { grace: Duration::ZERO, forget, accept: Vec::new(), now: at(6000) };
    let mut guard = lock_for_collecting(&Layout::new(mirror), Duration::ZERO, &me(), &Silent).unwrap();
    guard.plan(&options).unwrap().execute(&Silent).unwrap();
}

fn head(mirror: &Path) -> Head {
    ledger::head(&Layout::new(mirror)).unwrap().unwrap()
}

/// The histories without the place of their records.
fn histories(mirror: &Path) -> Vec<(String, u64, String, String)> {
    let lineages = head(mirror).lineages.into_iter();
    lineages.map(|one| (one.id, one.sequence, one.bundle, one.created)).collect()
}

/// The records of lines, which decide what a later bundle may replace; a record of a line that was replaced is not one.
fn line_records(mirror: &Path) -> BTreeMap<(String, String), String> {
    let mut all = BTreeMap::new();
    for (path, text) in crate::import_bundle::everything(mirror) {
        if path.starts_with(".frostmirror/lines/") && !path.ends_with('/') {
            for record in lines::parse(std::str::from_utf8(&text).unwrap()) {
                all.insert((path.clone(), record.version.to_string()), lines::render(&[record]));
            }
        }
    }
    all
}

fn assert_clean(mirror: &Path) {
    assert_sound(mirror);
    let found = audit(&Layout::new(mirror), &Silent).unwrap();
    assert!(found.problems.is_empty(), "{:?}", found.problems);
}

/// Two histories, the first with a version that was dropped, one that was yanked later, one whose file was left out, and
/// one that is kept for another input.
fn source(sandbox: &Sandbox) -> PathBuf {
    let folder = sandbox.path("bundles");
    fs::create_dir(&folder).unwrap();
    let json = Crate::new("json", "1.0.0");
    let bundles = [
        Make::new("a", 1).ship(json.clone()).ship(Crate::new("gone", "1.0.0")).write(&folder, "a1.pkg"),
        Make::new("a", 2)
            .read(50)
            .parent("a1.pkg")
            .with(json.clone().yanked(), CrateState::Sent)
            .ship(Crate::new("json", "1.1.0"))
            .with(Crate::new("windows", "0.5.0"), CrateState::IndexOnly)
            .with(Crate::new("elsewhere", "0.1.0"), CrateState::Kept)
            .write(&folder, "a2.pkg"),
        Make::new("b", 7)
            .read(30)
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
fn a_snapshot_says_what_it_holds() {
    let sandbox = Sandbox::new();
    let mirror = source(&sandbox);
    let exported = export(&mirror, &sandbox.path("out"));
    assert_eq!(exported.path.file_name().unwrap().to_str(), Some("snapshot-20260921-1536.pkg"));
    assert_eq!(fs::read_dir(sandbox.path("out")).unwrap().count(), 1);
    let Manifest { kind, crates, carried, lineage, parent, .. } = exported.manifest;
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
fn a_file_that_has_rotted_stops_the_export_by_its_name() {
    let sandbox = Sandbox::new();
    let mirror = source(&sandbox);
    let file = mirror.join("crates/json-1.1.0.crate");
    let mut bytes = fs::read(&file).unwrap();
    bytes[20] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = export_at(&mirror, &sandbox.path("out"), 1).unwrap_err();
    assert!(matches!(&error, Error::Rotten { file: named, .. } if *named == file), "{error}");
    assert_eq!(fs::read_dir(sandbox.path("out")).unwrap().count(), 0);
}

#[test]
fn everything_else_that_does_not_agree_is_named_before_anything_is_written() {
    let sandbox = Sandbox::new();
    let mirror = source(&sandbox);
    fs::remove_file(mirror.join("crates/gone-1.0.0.crate")).unwrap();
    let index = mirror.join("index/js/on/json");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replacen(r#""yanked":true"#, r#""yanked": true"#, 1)).unwrap();
    fs::create_dir_all(mirror.join("index/no/ns")).unwrap();
    fs::write(mirror.join("index/no/ns/nonsense"), "{\n").unwrap();
    let Err(Error::Damaged { problems, .. }) = export_at(&mirror, &sandbox.path("out"), 1) else {
        panic!("a damaged mirror was exported");
    };
    let said = problems.to_string();
    for words in [
        "crates/gone-1.0.0.crate is missing",
        "index/js/on/json has another line of json 1.0.0",
        "index/no/ns/nonsense is damaged at line 1",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!sandbox.path("out").exists());
    let empty = sandbox.path("empty");
    fs::create_dir_all(empty.join(".frostmirror")).unwrap();
    assert!(matches!(export_at(&empty, &sandbox.path("out"), 1), Err(Error::Empty { .. })));
}
