//! A false bundle can be rejected although its record is lost, and lines that no record explains are named until they are replaced.

use std::fs;
use std::path::{Path, PathBuf};

use super::rejected_content::{bundle_id, reference, rejection};
use crate::bundle_builder::{BundleBuilder, import, public_files};
use crate::import_dist_files::read_text;
use crate::support::crates::Crate;
use crate::support::process::Run;
use crate::support::sandbox::Sandbox;

fn json() -> Crate {
    Crate::new("json", "1.0.0")
}

fn gc(sandbox: &Sandbox, more: &[&str]) -> Run {
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"].iter().chain(more))
}

/// Removes the record of the bundle in this file, and rebuilds.
fn lose_record(sandbox: &Sandbox, bundle: &Path) {
    let end = format!("-{}.json", bundle_id(bundle));
    let ledger = fs::read_dir(sandbox.path("mirror/.frostmirror/ledger")).unwrap();
    let record = ledger.map(|entry| entry.unwrap().path()).find(|path| path.to_str().unwrap().ends_with(&end)).unwrap();
    fs::remove_file(record).unwrap();
    let run = sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]);
    assert!([0, 4].contains(&run.code), "{}", run.describe());
}

/// Three bundles of a genuine history.
fn genuine_chain(folder: &Path) -> Vec<PathBuf> {
    let name = |number: u64| format!("{number}.pkg");
    let write = |number: u64| {
        let make = BundleBuilder::new("a", number).read_at(10 * i64::try_from(number).unwrap()).ship(json());
        make.ship(Crate::new(&format!("c{number}"), "1.0.0")).write(folder, &name(number))
    };
    (1..=3).map(write).collect()
}

#[test]
fn a_false_bundle_whose_record_is_lost_is_rejected() {
    // Whether the false bundle is of the genuine history or of one that it forged too, and whether the other files of lost
    // records are given up before.
    for (history, is_forgotten) in [("a", false), ("a", true), ("evil", false), ("evil", true)] {
        let sandbox = Sandbox::new();
        let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
        let chain = genuine_chain(&folder);
        let forged = BundleBuilder::new(history, 2).previous(&bundle_id(&chain[0])).read_at(100);
        let forged = forged.ship(json().yanked()).ship(Crate::new("evil", "1.0.0")).write(&folder, "forged.pkg");
        for bundle in [&chain[0], &forged, &chain[1], &chain[2]] {
            import(&mirror, bundle).unwrap();
        }
        lose_record(&sandbox, &forged);
        // The genuine bundles change nothing, because their lines are older.
        chain.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
        if is_forgotten {
            sandbox.forget_rebuilt();
        }
        assert!(read_text(&mirror, "index/js/on/json").contains("\"yanked\":true"));
        let term = rejection(&forged);
        let wrong = format!("{}@ffffffff", term.split_once('@').unwrap().0);
        gc(&sandbox, &["--reject", &wrong]).exits(3);
        let text = format!("whose record is lost, id {}", bundle_id(&forged));
        // The lineage `rebuilt` has the crate of the false bundle.
        let lines = if is_forgotten { "1 index line " } else { "2 index lines " };
        let plan = gc(&sandbox, &["--dry-run", "--reject", &term]).ok();
        let plan = plan
            .stdout_has(&format!("Rejected: a bundle of lineage {} {text}", term.split_once('@').unwrap().0))
            .stdout_has(&format!("To reset: {lines}from a rejected bundle"))
            .stdout_has("Import again: 3.pkg (");
        if !is_forgotten {
            plan.stdout_has(
                "(evil 1.0.0): import a bundle of your sender that has this content; if only lineage `rebuilt`",
            );
        }
        gc(&sandbox, &["--reject", &term]).ok().stdout_has(&text).stdout_has("Import again: 3.pkg (");
        let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
        run.stdout_has("json 1.0.0 may be that of a rejected bundle");
        gc(&sandbox, &[]).ok().stdout_has("Import again: 3.pkg (");
        sandbox.run(["status", "--mirror", "mirror"]).ok().stdout_has("Import again: 3.pkg (");
        import(&mirror, &chain[2]).unwrap();
        if !is_forgotten {
            // Nothing waits for the false bundle, so this needs no confirmation.
            gc(&sandbox, &["--forget", "rebuilt"]).ok();
        }
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
        gc(&sandbox, &[]).ok().stdout_lacks("Import again").stdout_lacks("Kept because").stdout_has("Removed 0 crates");
        let expected = reference(&sandbox, &[&chain[2]]);
        assert_eq!(public_files(&mirror), expected, "{history} {is_forgotten}");
    }
}

#[test]
fn a_run_after_a_killed_one_completes_the_rejection_of_a_lost_record() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let chain = genuine_chain(&folder);
    let forged = BundleBuilder::new("evil", 1).read_at(100).ship(json().yanked()).write(&folder, "forged.pkg");
    [&chain[0], &forged].iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
    lose_record(&sandbox, &forged);
    // On a full disk, the note is written before the lines change.
    let newest = fs::read_dir(mirror.join(".frostmirror/ledger")).unwrap();
    let names = newest.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let number = names.filter(|name| name.ends_with(".json")).max().unwrap()[..8].to_owned();
    let lineage = rejection(&forged).split_once('@').unwrap().0.to_owned();
    fs::write(mirror.join(format!(".frostmirror/ledger/{number}-{lineage}-00000002.rejected")), "{}").unwrap();
    gc(&sandbox, &[]).ok().stdout_has("To reset: 1 index line").stdout_has("Import again: 1.pkg (");
    import(&mirror, &chain[0]).unwrap();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    assert!(!read_text(&mirror, "index/js/on/json").contains("\"yanked\":true"));
}

#[test]
fn a_revoked_line_that_no_bundle_on_record_states_is_named() {
    for is_false_record_lost in [false, true] {
        let sandbox = Sandbox::new();
        let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
        let genuine = BundleBuilder::new("a", 1).ship(json()).write(&folder, "genuine.pkg");
        let forged = BundleBuilder::new("evil", 1).read_at(100).ship(json().yanked()).write(&folder, "forged.pkg");
        [&genuine, &forged].iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
        gc(&sandbox, &["--reject", &rejection(&forged)]).ok().stdout_has("Import again: genuine.pkg (");
        lose_record(&sandbox, &genuine);
        if is_false_record_lost {
            lose_record(&sandbox, &forged);
        }
        let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
        run.stdout_has("json 1.0.0 may be that of a rejected bundle").stderr_has("gc --mirror");
        for _ in 0..2 {
            let run = gc(&sandbox, &[]).ok();
            run.stdout_has("No bundle on record restores 1 replaced item (json 1.0.0)")
                .stdout_has("import a bundle of your sender that has this content");
        }
        import(&mirror, &genuine).unwrap();
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
        gc(&sandbox, &[]).ok().stdout_lacks("No bundle on record");
        assert!(!read_text(&mirror, "index/js/on/json").contains("\"yanked\":true"));
    }
}
