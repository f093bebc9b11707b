//! A rejected snapshot leaves one small file in the ledger, once nothing of it is stored.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;

use super::rejected_content::{bundle_id, reference};
use crate::bundle_builder::{BundleBuilder, import, public_files};
use crate::snapshot::export;
use crate::support::crates::Crate;
use crate::support::process::Run;
use crate::support::sandbox::Sandbox;

/// The number of histories that the snapshot names.
const HISTORIES: u64 = 120;

fn json() -> Crate {
    Crate::new("json", "1.0.0")
}

/// A snapshot of many histories that need the same false line.
fn write_snapshot(sandbox: &Sandbox) -> PathBuf {
    let (folder, source) = (sandbox.path("source-bundles"), sandbox.path("source"));
    fs::create_dir_all(&folder).unwrap();
    for number in 0..HISTORIES {
        let make = BundleBuilder::new(&format!("evil{number}"), 1).read_at(100);
        let make = make.ship(json().yanked()).ship(Crate::new("evil", "1.0.0"));
        import(&source, &make.write(&folder, &format!("{number}.pkg"))).unwrap();
    }
    export(&source, &sandbox.path("out")).path
}

fn ledger_names(mirror: &Path) -> Vec<String> {
    let names = fs::read_dir(mirror.join(".frostmirror/ledger")).unwrap();
    let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The disk use of the ledger and the summary in blocks of 4 kB.
fn blocks(mirror: &Path) -> u64 {
    let ledger = mirror.join(".frostmirror/ledger");
    let files = ledger_names(mirror).into_iter().map(|name| ledger.join(name));
    files.chain([mirror.join("manifest.json")]).map(|path| fs::metadata(path).unwrap().len().div_ceil(4096)).sum()
}

fn gc(sandbox: &Sandbox, more: &[&str]) -> Run {
    sandbox.run(["gc", "--mirror", "mirror"].iter().chain(more))
}

/// Rebuilds after the loss of manifest.json alone: no record is lost.
fn rebuild(sandbox: &Sandbox) {
    let run = sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok();
    run.stderr_lacks("`rebuilt`")
        .stderr_lacks("import records were lost")
        .stderr_lacks("is lost and cannot be rebuilt");
}

fn assert_valid(sandbox: &Sandbox) {
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    let run = gc(sandbox, &["--grace", "0"]).ok();
    run.stdout_lacks("Unrecognized").stdout_lacks("Import again").stdout_has("Removed 0 crates");
}

#[test]
fn a_rejected_snapshot_of_many_histories_leaves_one_small_file() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let snapshot = write_snapshot(&sandbox);
    let term = format!("snapshot@{}", bundle_id(&snapshot));
    let genuine: Vec<PathBuf> = (1..=3)
        .map(|number: u64| {
            let make = BundleBuilder::new("a", number).read_at(i64::try_from(number).unwrap()).ship(json());
            make.write(&folder, &format!("{number}.pkg"))
        })
        .collect();
    import(&mirror, &genuine[0]).unwrap();
    let before = blocks(&mirror);
    for round in 1..=3_u64 {
        import(&mirror, &snapshot).unwrap();
        assert!(blocks(&mirror) > HISTORIES);
        let run = gc(&sandbox, &["--grace", "0", "--reject", &term]).ok();
        run.stdout_has("with its histories").stdout_has("Import again: ");
        assert_eq!(blocks(&mirror), before + round, "{:#?}", ledger_names(&mirror));
        // The rejection may be repeated, and the note of each round stays.
        gc(&sandbox, &["--grace", "0", "--reject", &term]).ok();
        let dropped = ledger_names(&mirror).into_iter().filter(|name| name.ends_with(".dropped")).count() as u64;
        assert_eq!(dropped, round);
        let revoked = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
        revoked.stdout_has("json 1.0.0 may be that of a rejected bundle");
        gc(&sandbox, &[]).ok().stdout_has("Import again: 1.pkg (");
        import(&mirror, &genuine[0]).unwrap();
        assert_valid(&sandbox);
    }
    // The chain and the number of records are right, also without the summary.
    let summary = ledger::read_summary(&Layout::new(&mirror)).unwrap().unwrap();
    for is_rebuilt in [false, true] {
        if is_rebuilt {
            fs::remove_file(mirror.join("manifest.json")).unwrap();
            rebuild(&sandbox);
            let again = ledger::read_summary(&Layout::new(&mirror)).unwrap().unwrap();
            assert_eq!((again.imports, &again.newest_record), (summary.imports, &summary.newest_record));
        }
        assert_valid(&sandbox);
    }
    import(&mirror, &genuine[1]).unwrap();
    import(&mirror, &genuine[2]).unwrap();
    assert_valid(&sandbox);
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    rebuild(&sandbox);
    assert_valid(&sandbox);
    assert_eq!(public_files(&mirror), reference(&sandbox, &genuine.iter().collect::<Vec<_>>()));
}

#[test]
fn the_records_of_a_rejected_snapshot_stay_while_its_files_wait_for_their_removal() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let snapshot = write_snapshot(&sandbox);
    let genuine = BundleBuilder::new("a", 1).ship(json()).write(&sandbox.path(""), "1.pkg");
    // The snapshot is the newest import, or the first.
    for is_first in [false, true] {
        let order = if is_first { [&snapshot, &genuine] } else { [&genuine, &snapshot] };
        order.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
        let term = format!("snapshot@{}", &bundle_id(&snapshot)[..8]);
        gc(&sandbox, &["--grace", "1h", "--reject", &term]).ok().stdout_has("To remove by a later run");
        assert!(ledger_names(&mirror).len() as u64 > 2 * HISTORIES);
        gc(&sandbox, &["--grace", "0"]).ok().stdout_has("Removed 1 crate");
        assert_eq!(ledger_names(&mirror).len(), 2, "{:#?}", ledger_names(&mirror));
        assert!(!mirror.join("crates/evil-1.0.0.crate").exists());
        import(&mirror, &genuine).unwrap();
        assert_valid(&sandbox);
        fs::remove_dir_all(&mirror).unwrap();
    }
    // Nothing else was ever imported.
    import(&mirror, &snapshot).unwrap();
    let term = format!("snapshot@{}", bundle_id(&snapshot));
    gc(&sandbox, &["--grace", "0", "--reject", &term]).ok();
    assert_eq!(ledger_names(&mirror).len(), 1);
    assert_valid(&sandbox);
    import(&mirror, &genuine).unwrap();
    assert_valid(&sandbox);
    // The same snapshot again is new.
    assert!(!import(&mirror, &snapshot).unwrap().already_imported);
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}
