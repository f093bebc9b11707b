//! A false crate arrived before the genuine one. The refusal names both bundles, and its hint leads to a mirror with the
//! genuine crate.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use frostmirror::digest::Sha256;
use frostmirror::event::NullSink;
use frostmirror::mirror::import::ImportOptions;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use frostmirror::mirror::lock::lock_for_reading;
use frostmirror::mirror::snapshot;

use crate::bundle_builder::{BundleBuilder, all_files, import, import_with, options, test_holder, test_time};
use crate::support::crates::{Crate, PackedCrate};
use crate::support::http_client::get;
use crate::support::process::Run;
use crate::support::sandbox::Sandbox;

fn genuine() -> PackedCrate {
    Crate::new("json", "1.0.0").pack()
}

/// Other bytes under the same name and version, of the same length or another.
fn forged(has_same_length: bool) -> PackedCrate {
    let mut packed = genuine();
    packed.bytes.reverse();
    if !has_same_length {
        packed.bytes.push(0);
    }
    let cksum = Sha256::of(&packed.bytes).to_string();
    packed.line = packed.line.replace(&packed.cksum, &cksum);
    PackedCrate { cksum, ..packed }
}

/// The command in backquotes of the hint that contains `text`, as arguments after `cargo frostmirror`.
#[track_caller]
fn hinted_command(run: &Run, text: &str) -> Vec<String> {
    let (_, hint) = run.stderr.split_once("hint: ").unwrap_or_else(|| panic!("{}", run.describe()));
    let command = hint.split('`').find(|part| part.contains(text)).unwrap_or_else(|| panic!("{}", run.describe()));
    let args = command.split_whitespace().skip_while(|word| *word != "frostmirror").skip(1);
    args.map(str::to_owned).collect()
}

fn import_genuine(sandbox: &Sandbox) -> Run {
    sandbox.run(["import", "genuine.pkg", "--mirror", "mirror"])
}

/// The genuine crate is stored and served, and the audit finds no problem.
#[track_caller]
fn assert_genuine(sandbox: &Sandbox, mirror: &Path) {
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    assert_eq!(fs::read(mirror.join("crates/json-1.0.0.crate")).unwrap(), genuine().bytes);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let line = get(&format!("{}/index/js/on/json", serving.url()));
    assert_eq!(String::from_utf8(line.body).unwrap(), format!("{}\n", genuine().line));
    assert_eq!(get(&format!("{}/crates/json-1.0.0.crate", serving.url())).body, genuine().bytes);
    serving.stop().ok();
}

#[test]
fn a_false_crate_gives_way_after_its_bundle_is_rejected() {
    for (history, number) in [("evil", 1), ("a", 1)] {
        for has_same_length in [true, false] {
            for verify_existing in [true, false] {
                let sandbox = Sandbox::new();
                let mirror = sandbox.path("mirror");
                let first = BundleBuilder::new(history, number).ship_packed(forged(has_same_length));
                let lineage = first.lineage().to_owned();
                let id = import(&mirror, &first.write(&sandbox.path(""), "false.pkg")).unwrap().id;
                let own = BundleBuilder::new("a", 2)
                    .ship_packed(genuine())
                    .ship(Crate::new("app", "1.0.0").dep("json", "^1"));
                let bundle = own.write(&sandbox.path(""), "genuine.pkg");
                let before = all_files(&mirror);
                let run = import_genuine(&sandbox).exits(4);
                let run = run
                    .stderr_has("`genuine.pkg` contradicts the mirror; the mirror is unchanged")
                    .stderr_has(&format!(
                        "json 1.0.0 is stored with the checksum {}, but the bundle has the checksum {}",
                        forged(has_same_length).cksum,
                        genuine().cksum
                    ))
                    .stderr_has(&format!("bundle number {number} (`false.pkg`, id {id}) of lineage {lineage}"))
                    .stderr_has("bundle number 2 (`genuine.pkg`, id ")
                    .stderr_has("one of the two is false, and the mirror cannot tell which")
                    .stderr_has("Cargo.lock has the checksum of each crate")
                    .stderr_has("`cargo frostmirror history`")
                    .stderr_has("If `genuine.pkg` is false, delete it");
                assert_eq!(all_files(&mirror), before);
                let command = hinted_command(&run, "--reject");
                assert!(command.contains(&format!("{lineage}@{id}")), "{command:?}");
                sandbox.run(&command).ok();
                sandbox.run(["verify", "--mirror", "mirror"]).ok();
                import_with(&mirror, &bundle, &ImportOptions { verify_existing, ..options(&bundle) }).unwrap();
                assert_genuine(&sandbox, &mirror);
                // The file of the false crate is not deleted in place of the genuine one.
                sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
                assert_genuine(&sandbox, &mirror);
            }
        }
    }
}

#[test]
fn every_bundle_that_states_the_false_crate_is_named() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    for (history, number) in [("evil", 1), ("evil", 2), ("other", 1)] {
        let bundle = BundleBuilder::new(history, number).ship_packed(forged(true));
        import(&mirror, &bundle.write(&sandbox.path(""), &format!("{history}{number}.pkg"))).unwrap();
    }
    BundleBuilder::new("a", 1).ship_packed(genuine()).write(&sandbox.path(""), "genuine.pkg");
    let run = import_genuine(&sandbox).exits(4);
    let run = run.stderr_has("(`evil1.pkg`, id ").stderr_has("(`evil2.pkg`, id ").stderr_has("(`other1.pkg`, id ");
    sandbox.run(hinted_command(&run, "--reject")).ok();
    import_genuine(&sandbox).ok();
    assert_genuine(&sandbox, &mirror);
}

#[test]
fn a_false_crate_of_a_snapshot_gives_way_after_its_history_is_rejected() {
    let sandbox = Sandbox::new();
    let (source, mirror) = (sandbox.path("source"), sandbox.path("mirror"));
    let first = BundleBuilder::new("evil", 1).ship_packed(forged(true)).write(&sandbox.path(""), "false.pkg");
    import(&source, &first).unwrap();
    let guard = lock_for_reading(&Layout::new(&source), Duration::ZERO, &test_holder(), &NullSink).unwrap();
    let options = snapshot::Options { folder: sandbox.path("out"), config: Vec::new(), now: test_time(900) };
    guard.snapshot(options, &NullSink).unwrap();
    drop(guard);
    let snapshot: PathBuf = fs::read_dir(sandbox.path("out")).unwrap().next().unwrap().unwrap().path();
    import(&mirror, &snapshot).unwrap();
    BundleBuilder::new("a", 1).ship_packed(genuine()).write(&sandbox.path(""), "genuine.pkg");
    let run = import_genuine(&sandbox).exits(4).stderr_has("bundle number 1 (`false.pkg`, id ");
    sandbox.run(hinted_command(&run, "--reject")).ok();
    import_genuine(&sandbox).ok();
    assert_genuine(&sandbox, &mirror);
}

#[test]
fn a_false_crate_whose_record_is_lost_gives_way_after_a_rebuild() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let first = BundleBuilder::new("evil", 1).ship_packed(forged(true)).write(&sandbox.path(""), "false.pkg");
    import(&mirror, &first).unwrap();
    fs::remove_dir_all(mirror.join(".frostmirror/ledger")).unwrap();
    BundleBuilder::new("a", 1).ship_packed(genuine()).write(&sandbox.path(""), "genuine.pkg");
    let run = import_genuine(&sandbox).exits(4);
    let run = run.stderr_has("no import record shows which bundle brought the stored crate");
    sandbox.run(hinted_command(&run, "--rebuild-state")).ok();
    let run = import_genuine(&sandbox).exits(4);
    let refused = sandbox.run(hinted_command(&run, "--forget rebuilt")).exits(4);
    sandbox.run(hinted_command(&refused, "--forget rebuilt@")).ok();
    import_genuine(&sandbox).ok();
    assert_genuine(&sandbox, &mirror);
}

#[test]
fn the_record_of_a_rejected_bundle_proves_nothing_against_the_genuine_crate() {
    for has_summary in [true, false] {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        let first = BundleBuilder::new("evil", 1).ship_packed(forged(true)).write(&sandbox.path(""), "false.pkg");
        import(&mirror, &first).unwrap();
        BundleBuilder::new("a", 1).ship_packed(genuine()).write(&sandbox.path(""), "genuine.pkg");
        let run = import_genuine(&sandbox).exits(4);
        sandbox.run(hinted_command(&run, "--reject")).ok();
        import_genuine(&sandbox).ok();
        // Only the record of the false bundle is left.
        let layout = Layout::new(&mirror);
        fs::remove_file(layout.ledger().join(ledger::record_names(&layout).unwrap().pop().unwrap())).unwrap();
        if !has_summary {
            fs::remove_file(layout.summary()).unwrap();
        }
        let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
        run.stdout_lacks("json-1.0.0.crate").stdout_lacks("checksum");
        sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
        assert_genuine(&sandbox, &mirror);
        import_genuine(&sandbox).ok();
        assert_genuine(&sandbox, &mirror);
    }
}
