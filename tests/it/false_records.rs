//! Records and summaries that were copied, swapped or set back by hand: the audit names each file and what is wrong with it.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use serde_json::Value;

use crate::bundle_builder::{BundleBuilder, import};
use crate::support::crates::Crate;
use crate::support::process::Run;
use crate::support::sandbox::Sandbox;

/// A mirror of bundles 1 to 3 of one history. Returns the names of their records.
fn mirror_of_three(sandbox: &Sandbox) -> (PathBuf, Vec<String>) {
    let mirror = sandbox.path("mirror");
    for number in 1..=3 {
        let crates = (1..=number).map(|number| Crate::new(&format!("crate{number}"), "1.0.0"));
        let make = crates.fold(BundleBuilder::new("a", number), BundleBuilder::ship);
        import(&mirror, &make.write(&sandbox.path(""), &format!("{number}.pkg"))).unwrap();
    }
    let names = ledger::record_names(&Layout::new(&mirror)).unwrap();
    (mirror, names)
}

fn ledger_file(mirror: &Path, name: &str) -> PathBuf {
    mirror.join(".frostmirror/ledger").join(name)
}

/// The audit fails, and says which command to run.
fn failed_audit(sandbox: &Sandbox) -> Run {
    let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
    run.stderr_has("hint: ").stderr_has("`cargo frostmirror verify --mirror ").stderr_has(" --rebuild-state`")
}

fn rebuild(sandbox: &Sandbox) -> Run {
    let run = sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_has("Removed 0 crates");
    run
}

#[test]
fn an_older_newest_record_in_the_summary_is_reported() {
    for at in [0, 1] {
        let sandbox = Sandbox::new();
        let (mirror, names) = mirror_of_three(&sandbox);
        let path = mirror.join("manifest.json");
        let mut summary: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let record: Value = serde_json::from_slice(&fs::read(ledger_file(&mirror, &names[at])).unwrap()).unwrap();
        summary["newest_record"]["record"] = names[at].as_str().into();
        summary["newest_record"]["sha256"] = record["sha256"].clone();
        fs::write(&path, serde_json::to_vec(&summary).unwrap()).unwrap();
        failed_audit(&sandbox).stdout_has(&format!(
            "manifest.json: states that {} is the newest record, but {} is newer",
            names[at], names[2]
        ));
        rebuild(&sandbox).stderr_lacks("lost");
    }
}

#[test]
fn a_copied_record_is_named_and_no_loss_is_reported() {
    let other_id = "0123456789abcdef0123456789abcdef";
    for (at, number, is_renamed) in [(0, 9, false), (2, 9, false), (1, 2, true), (0, 9, true), (2, 4, true)] {
        let sandbox = Sandbox::new();
        let (mirror, names) = mirror_of_three(&sandbox);
        let id = if is_renamed { other_id } else { names[at].trim_end_matches(".json").split_once('-').unwrap().1 };
        let copy = format!("{number:08}-{id}.json");
        fs::copy(ledger_file(&mirror, &names[at]), ledger_file(&mirror, &copy)).unwrap();
        let run = failed_audit(&sandbox);
        let expected = format!(".frostmirror/ledger/{copy}: is not genuine: it has the content of {}", names[at]);
        let run = run.stdout_has(&expected);
        assert_eq!(run.stdout.lines().count(), 1, "{}", run.describe());
        sandbox.run(["gc", "--mirror", "mirror"]).exits(4).stderr_has(&copy);
        rebuild(&sandbox).stderr_has("Moved 1 damaged record").stderr_lacks("lost").stderr_lacks("Import every");
        assert!(mirror.join(".frostmirror/aside").join(&copy).exists());
    }
}

#[test]
fn swapped_records_are_named_with_each_other() {
    for (first, second) in [(0, 1), (1, 2), (0, 2)] {
        let sandbox = Sandbox::new();
        let (mirror, names) = mirror_of_three(&sandbox);
        let [a, b] = [first, second].map(|at| ledger_file(&mirror, &names[at]));
        let [text_of_a, text_of_b] = [&a, &b].map(|path| fs::read(path).unwrap());
        fs::write(&a, text_of_b).unwrap();
        fs::write(&b, text_of_a).unwrap();
        let run = failed_audit(&sandbox);
        let mut run = run.stdout_has("manifest.json: states 3 imports, but the ledger has 1 valid record\n");
        for (one, other) in [(first, second), (second, first)] {
            let fault = format!("{}: is not genuine: it has the content of {}", names[one], names[other]);
            run = run.stdout_has(&fault);
        }
        let about = ["manifest.json", ".frostmirror/ledger/"];
        let count = run.stdout.lines().filter(|line| about.iter().any(|path| line.starts_with(path))).count();
        assert_eq!(count, 3, "{}", run.describe());
        sandbox.run(["gc", "--mirror", "mirror"]).exits(4).stderr_has("is not genuine");
        let run = rebuild(&sandbox).stderr_has("Moved 2 damaged records");
        for at in [first, second] {
            let id = names[at].trim_end_matches(".json").split_once('-').unwrap().1;
            assert!(run.stderr.contains(&format!("the bundle with the id {id}")), "{}", run.describe());
            sandbox.run(["import", &format!("{}.pkg", at + 1), "--mirror", "mirror"]).ok().stderr_lacks("--reject");
        }
        sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_has("Removed 0 crates");
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
    }
}

#[test]
fn a_renamed_record_is_named() {
    let sandbox = Sandbox::new();
    let (mirror, names) = mirror_of_three(&sandbox);
    let renamed = "00000003-0123456789abcdef0123456789abcdef.json";
    fs::rename(ledger_file(&mirror, &names[2]), ledger_file(&mirror, renamed)).unwrap();
    failed_audit(&sandbox)
        .stdout_has(&format!("{renamed}: is not genuine: it has the content of {}", names[2]))
        .stdout_has(&format!("{}: is missing, but manifest.json names it", names[2]));
    rebuild(&sandbox).stderr_has("the record of bundle number 3 of lineage");
}
