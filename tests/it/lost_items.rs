//! Everything that the newest bundle of a history names and that the mirror had is checked, also what the bundle names only
//! for other inputs. What was removed on purpose or never imported is no problem.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::{CrateState, DistFileState};
use frostmirror::crate_id::CrateId;
use frostmirror::digest::Sha256;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use frostmirror::mirror::lineages::LineageTip;

use crate::bundle_builder::{BundleBuilder, import, public_files};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

fn base() -> Crate {
    Crate::new("base", "1.0.0")
}

fn other() -> Crate {
    Crate::new("other", "1.0.0")
}

/// A bundle with a crate of its own input, which names the crate of another input.
fn with_other_input(number: u64) -> BundleBuilder {
    let make = BundleBuilder::new("a", number).read_at(100 + i64::try_from(number).unwrap());
    make.ship(base()).ship(Crate::new("new", "1.0.0")).with_crate(other(), CrateState::Kept)
}

/// A mirror of two bundles; the second one names a crate of the first for another input.
fn mirror_of_two(sandbox: &Sandbox) -> PathBuf {
    let mirror = sandbox.path("mirror");
    let first = BundleBuilder::new("a", 1).ship(base()).ship(other());
    import(&mirror, &first.write(&sandbox.path(""), "one.pkg")).unwrap();
    import(&mirror, &with_other_input(2).write(&sandbox.path(""), "two.pkg")).unwrap();
    mirror
}

/// Removes a crate with its index file and the record of its line.
fn remove_crate(mirror: &Path) {
    for path in ["crates/other-1.0.0.crate", "index/ot/he/other", ".frostmirror/lines/ot/he/other"] {
        fs::remove_file(mirror.join(path)).unwrap();
    }
}

fn tips(mirror: &Path) -> Vec<LineageTip> {
    let summary = ledger::read_summary(&Layout::new(mirror)).unwrap().unwrap();
    summary.lineages.into_iter().chain(summary.contested).collect()
}

/// The argument of `gc` for the bundle with this number.
fn bundle_argument(mirror: &Path, number: u64) -> String {
    let tips = tips(mirror);
    let tip = tips.iter().find(|tip| tip.sequence == number).unwrap();
    format!("{}@{}", tip.id, tip.bundle)
}

fn gc(sandbox: &Sandbox, more: &[&str]) {
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"].iter().chain(more)).ok();
}

/// The audit names the crate and the bundle that needs it, and no export hides the loss.
#[track_caller]
fn assert_crate_is_reported(sandbox: &Sandbox, mirror: &Path, needed_by: &str) {
    let run = sandbox.run(["verify", "--mirror", "mirror", "--repair-list", "list.jsonl"]).exits(4);
    let tip = tips(mirror).into_iter().find(|tip| tip.sequence == 2).unwrap();
    let line = format!(
        "index/ot/he/other: the line of other 1.0.0 is missing, but bundle number 2 (`{needed_by}`, id {}) of lineage {} \
         (Cargo.lock) needs it\n",
        tip.bundle, tip.id
    );
    let run = run.stdout_has(&line).stderr_has("import `one.pkg` (number 1, id ");
    run.stderr_has("`cargo frostmirror fetch --from-list list.jsonl`").stderr_has("1 crate is to be fetched again");
    let sha256 = other().pack().cksum;
    let listed = format!("{{\"kind\":\"crate\",\"name\":\"other\",\"version\":\"1.0.0\",\"sha256\":\"{sha256}\"}}\n");
    assert_eq!(sandbox.read("list.jsonl"), listed);
    let run = sandbox.run(["export", "snapshot", "--mirror", "mirror", "--output", "out"]).exits(4);
    run.stderr_has("other 1.0.0 is missing, but bundle number 2").stderr_has("names the bundles to import again");
    assert!(!sandbox.path("out").exists());
}

#[track_caller]
fn assert_restored(sandbox: &Sandbox) {
    sandbox.run(["verify", "--mirror", "mirror"]).ok().stderr_lacks("warning").stdout_has("OK -- 3 crates");
    sandbox.run(["export", "snapshot", "--mirror", "mirror", "--output", "out"]).ok();
}

#[test]
fn a_lost_crate_of_another_input_is_reported_and_restored() {
    for with_repair_bundle in [false, true] {
        let sandbox = Sandbox::new();
        let mirror = mirror_of_two(&sandbox);
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
        remove_crate(&mirror);
        // The counts of the summary show a loss too, and a rebuild corrects them.
        sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).exits(4).stdout_has("other 1.0.0 is missing");
        assert_crate_is_reported(&sandbox, &mirror, "two.pkg");
        if with_repair_bundle {
            BundleBuilder::new("b", 1).repair().ship(other()).write(&sandbox.path(""), "repair.pkg");
            sandbox.run(["import", "repair.pkg", "--mirror", "mirror"]).ok();
        } else {
            sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
        }
        assert_restored(&sandbox);
    }
}

#[test]
fn crates_that_a_false_bundle_made_garbage_are_reported() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let first = BundleBuilder::new("a", 1).ship(base()).ship(other());
    import(&mirror, &first.write(&sandbox.path(""), "one.pkg")).unwrap();
    let forged = BundleBuilder::new("a", 1000).read_at(20).ship(Crate::new("forged", "1.0.0"));
    import(&mirror, &forged.write(&sandbox.path(""), "forged.pkg")).unwrap();
    let forged = bundle_argument(&mirror, 1000);
    gc(&sandbox, &["--accept", &forged]);
    // Everything that the accepted bundle needs is stored.
    sandbox.run(["verify", "--mirror", "mirror"]).ok().stdout_has("OK -- 1 crate,");
    import(&mirror, &with_other_input(2).write(&sandbox.path(""), "two.pkg")).unwrap();
    gc(&sandbox, &["--reject", &forged]);
    assert_crate_is_reported(&sandbox, &mirror, "two.pkg");
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    assert_restored(&sandbox);
}

#[test]
fn a_lost_dist_file_of_another_input_is_reported_and_restored() {
    const PATH: &str = "dist/2026-04-16/rust-std-1.95.0-wasm32-unknown-unknown.tar.xz";
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let first = BundleBuilder::new("a", 1).ship(base()).dist_file(PATH, "std", DistFileState::Shipped);
    import(&mirror, &first.write(&sandbox.path(""), "one.pkg")).unwrap();
    let second = BundleBuilder::new("a", 2).ship(base()).dist_file(PATH, "std", DistFileState::Kept);
    import(&mirror, &second.write(&sandbox.path(""), "two.pkg")).unwrap();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    fs::remove_file(mirror.join(PATH)).unwrap();
    fs::write(mirror.join(".frostmirror/artifacts.json"), r#"{"format":1,"artifacts":[]}"#).unwrap();
    let run = sandbox.run(["verify", "--mirror", "mirror", "--repair-list", "list.jsonl"]).exits(4);
    run.stdout_has(&format!("{PATH}: is not stored, but bundle number 2 (`two.pkg`, id "))
        .stderr_has("import `one.pkg` (number 1, id ");
    assert!(sandbox.read("list.jsonl").contains(PATH));
    let run = sandbox.run(["export", "snapshot", "--mirror", "mirror", "--output", "out"]).exits(4);
    run.stderr_has(&format!("{PATH} is missing, but bundle number 2"));
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    // The count in the summary was right, so the import counted the file twice.
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok().stdout_has("1 rustup artifact");
}

#[test]
fn removed_and_never_imported_crates_are_no_problem() {
    // Another history had the crate, and dropped it or was forgotten before this history named it.
    for is_forgotten in [false, true] {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        let first = BundleBuilder::new("b", 1).ship(other());
        let id = first.lineage().to_owned();
        import(&mirror, &first.write(&sandbox.path(""), "b1.pkg")).unwrap();
        if is_forgotten {
            gc(&sandbox, &["--forget", &id]);
        } else {
            import(&mirror, &BundleBuilder::new("b", 2).ship(base()).write(&sandbox.path(""), "b2.pkg")).unwrap();
            gc(&sandbox, &[]);
        }
        import(&mirror, &with_other_input(1).write(&sandbox.path(""), "a.pkg")).unwrap();
        let run = sandbox.run(["verify", "--mirror", "mirror"]).ok().stdout_has("OK -- 2 crates");
        run.stderr_has("other inputs of a history need 1 crate");
        sandbox.run(["export", "snapshot", "--mirror", "mirror", "--output", "out"]).ok();
    }

    // No imported bundle had it.
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &with_other_input(1).write(&sandbox.path(""), "a.pkg")).unwrap();
    let run = sandbox.run(["verify", "--mirror", "mirror", "--repair-list", "list.jsonl"]).ok();
    run.stderr_has("warning: other inputs of a history need 1 crate, first other 1.0.0, and no bundle of that history");
    assert_eq!(sandbox.read("list.jsonl"), "");
    let run = sandbox.run(["verify", "--mirror", "mirror", "--message-format", "json"]).ok();
    run.stdout_has("\"never_imported\":1");
    // The mirror of a snapshot states the same.
    sandbox.run(["export", "snapshot", "--mirror", "mirror", "--output", "out"]).ok();
    let snapshot = fs::read_dir(sandbox.path("out")).unwrap().next().unwrap().unwrap().path();
    import(&sandbox.path("copy"), &snapshot).unwrap();
    sandbox.run(["verify", "--mirror", "copy"]).ok().stderr_has("other inputs of a history need 1 crate");

    // The newest bundle does not name it.
    let sandbox = Sandbox::new();
    let mirror = mirror_of_two(&sandbox);
    import(&mirror, &BundleBuilder::new("a", 3).read_at(200).ship(base()).write(&sandbox.path(""), "three.pkg"))
        .unwrap();
    gc(&sandbox, &[]);
    sandbox.run(["verify", "--mirror", "mirror"]).ok().stdout_has("OK -- 1 crate,").stderr_lacks("warning");
}

#[test]
fn a_digest_that_a_bundle_states_for_another_input_displaces_no_checked_digest() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &BundleBuilder::new("a", 1).ship(other()).write(&sandbox.path(""), "one.pkg")).unwrap();
    let false_digest = BundleBuilder::new("b", 1).ship(base()).with_crate(other().dep("x", "^1"), CrateState::Kept);
    import(&mirror, &false_digest.write(&sandbox.path(""), "b.pkg")).unwrap();
    let before = public_files(&mirror);
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
    assert_eq!(public_files(&mirror), before);
}

#[test]
fn a_rebuild_after_a_forged_line_names_the_bundle_of_the_intact_crate() {
    let sandbox = Sandbox::new();
    let mirror = mirror_of_two(&sandbox);
    let before = public_files(&mirror);
    let layout = Layout::new(&mirror);
    let name = CrateId::parse("other", "1.0.0").unwrap().name;
    let forged = |text: &str| text.replace(&other().pack().cksum, &"0".repeat(64));
    let line = fs::read_to_string(layout.index_file(&name)).unwrap();
    let digest = |line: &str| Sha256::of(line.trim_end().as_bytes()).to_string();
    let record = fs::read_to_string(layout.index_meta_file(&name)).unwrap();
    let record = forged(&record).replace(&digest(&line), &digest(&forged(&line)));
    fs::write(layout.index_file(&name), forged(&line)).unwrap();
    fs::write(layout.index_meta_file(&name), record).unwrap();

    let import_again = "mport `one.pkg` (number 1, id ";
    sandbox.run(["verify", "--mirror", "mirror"]).exits(4).stderr_has(import_again);
    let run = sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).exits(4);
    run.stdout_has("crates/other-1.0.0.crate: has the SHA-256 that bundle number 1 (`one.pkg`, id ")
        .stdout_has("but its index line is missing\n")
        .stdout_lacks("no index line names it")
        .stderr_has(&format!("were moved to .frostmirror/aside. I{import_again}"))
        .stderr_has(&format!("hint: i{import_again}"))
        .stderr_lacks("by hand");
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    assert_eq!(public_files(&mirror), before);
    assert_restored(&sandbox);
}

#[test]
fn the_hint_for_a_lost_record_is_that_of_gc() {
    let sandbox = Sandbox::new();
    let mirror = mirror_of_two(&sandbox);
    let layout = Layout::new(&mirror);
    let first = ledger::record_names(&layout).unwrap().swap_remove(0);
    fs::remove_file(layout.ledger().join(&first)).unwrap();
    let hint =
        "hint: import the bundle of that file again, or restore the file from a copy of the mirror; if neither exists";
    sandbox.run(["verify", "--mirror", "mirror"]).exits(4).stdout_has(&first).stderr_has(hint);
    sandbox.run(["gc", "--mirror", "mirror"]).exits(4).stderr_has(&first).stderr_has(hint);
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    assert_restored(&sandbox);
}
