//! Records and summaries that were copied, swapped or set back by hand: the audit names each file and what is wrong with it.

use std::collections::BTreeMap;
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

/// The first line of a record.
fn first_line(mirror: &Path, name: &str) -> Value {
    let text = fs::read_to_string(ledger_file(mirror, name)).unwrap();
    serde_json::from_str(text.lines().next().unwrap()).unwrap()
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

/// The records by name.
fn ledger_files(mirror: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = ledger::record_names(&Layout::new(mirror)).unwrap();
    names.into_iter().map(|name| (name.clone(), fs::read(ledger_file(mirror, &name)).unwrap())).collect()
}

/// A rebuild gives `count` records their names back, and loses none.
#[track_caller]
fn assert_names_are_restored(sandbox: &Sandbox, mirror: &Path, before: &BTreeMap<String, Vec<u8>>, count: usize) {
    let names = if count == 1 { "1 renamed record" } else { "2 renamed records" };
    let run = rebuild(sandbox).stderr_has(&format!("the right names of {names}"));
    run.stderr_lacks("lost").stderr_lacks("damaged record");
    assert_eq!(ledger_files(mirror), *before);
}

#[test]
fn an_older_newest_record_in_the_summary_is_reported() {
    for at in [0, 1] {
        let sandbox = Sandbox::new();
        let (mirror, names) = mirror_of_three(&sandbox);
        let path = mirror.join("manifest.json");
        let mut summary: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let record = first_line(&mirror, &names[at]);
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
        let before = ledger_files(&mirror);
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
        assert_names_are_restored(&sandbox, &mirror, &before, 2);
    }
}

#[test]
fn a_renamed_record_is_named() {
    let sandbox = Sandbox::new();
    let (mirror, names) = mirror_of_three(&sandbox);
    let before = ledger_files(&mirror);
    let renamed = "00000003-0123456789abcdef0123456789abcdef.json";
    fs::rename(ledger_file(&mirror, &names[2]), ledger_file(&mirror, renamed)).unwrap();
    failed_audit(&sandbox)
        .stdout_has(&format!("{renamed}: is not genuine: it has the content of {}", names[2]))
        .stdout_has(&format!("{}: is missing, but manifest.json names it", names[2]));
    assert_names_are_restored(&sandbox, &mirror, &before, 1);
}

#[test]
fn a_record_with_a_false_number_gets_its_name_back() {
    for (at, number) in [(0, 9), (0, 3), (1, 9), (1, 0), (1, 1), (1, 3), (2, 9), (2, 1), (2, 0)] {
        for is_copied_first in [false, true] {
            let sandbox = Sandbox::new();
            let (mirror, names) = mirror_of_three(&sandbox);
            let before = ledger_files(&mirror);
            let id = names[at].trim_end_matches(".json").split_once('-').unwrap().1;
            let renamed = format!("{number:08}-{id}.json");
            if is_copied_first {
                // The copy also stays beside a file that replaced the record.
                fs::copy(ledger_file(&mirror, &names[at]), ledger_file(&mirror, &renamed)).unwrap();
                fs::write(ledger_file(&mirror, &names[at]), "{}").unwrap();
            } else {
                fs::rename(ledger_file(&mirror, &names[at]), ledger_file(&mirror, &renamed)).unwrap();
            }
            let fault = format!("{renamed}: is not genuine: it has the content of {}", names[at]);
            let run = failed_audit(&sandbox).stdout_has(&fault);
            for other in names.iter().filter(|name| **name != names[at]) {
                assert!(!run.stdout.contains(&format!("ledger/{other}: ")), "{at} {number}: {}", run.describe());
            }
            sandbox.run(["gc", "--mirror", "mirror"]).exits(4).stderr_has("--rebuild-state`");
            assert_names_are_restored(&sandbox, &mirror, &before, 1);
        }
    }
}

#[test]
fn a_copy_with_a_lower_number_does_not_displace_the_record() {
    for (at, number, has_summary) in
        [(2, 1, true), (2, 0, true), (1, 0, true), (2, 1, false), (2, 2, false), (1, 0, false)]
    {
        let sandbox = Sandbox::new();
        let (mirror, names) = mirror_of_three(&sandbox);
        let before = ledger_files(&mirror);
        let id = names[at].trim_end_matches(".json").split_once('-').unwrap().1;
        let copy = format!("{number:08}-{id}.json");
        fs::copy(ledger_file(&mirror, &names[at]), ledger_file(&mirror, &copy)).unwrap();
        if !has_summary {
            fs::remove_file(mirror.join("manifest.json")).unwrap();
        }
        let run = failed_audit(&sandbox);
        let run = run.stdout_has(&format!("{copy}: is not genuine: it has the content of {}", names[at]));
        assert_eq!(run.stdout.matches("ledger/").count(), 1, "{}", run.describe());
        if has_summary {
            // The record of the bundle still counts.
            let file = format!("{}.pkg", at + 1);
            sandbox.run(["import", &file, "--mirror", "mirror"]).ok().stderr_has("already imported");
        }
        rebuild(&sandbox).stderr_has("Moved 1 damaged record").stderr_lacks("the right name");
        assert_eq!(ledger_files(&mirror), before);
        assert!(mirror.join(".frostmirror/aside").join(&copy).exists());
    }
}

#[test]
fn a_summary_without_its_newest_record_is_written_again_while_all_records_exist() {
    for command in [&["gc", "--mirror", "mirror"][..], &["import", "4.pkg", "--mirror", "mirror"]] {
        for is_lost in [false, true] {
            let sandbox = Sandbox::new();
            let (mirror, names) = mirror_of_three(&sandbox);
            let bundle = BundleBuilder::new("a", 4).ship(Crate::new("crate4", "1.0.0"));
            bundle.write(&sandbox.path(""), "4.pkg");
            let path = mirror.join("manifest.json");
            let read = || serde_json::from_slice::<Value>(&fs::read(&path).unwrap()).unwrap();
            let mut summary = read();
            summary.as_object_mut().unwrap().remove("newest_record").unwrap();
            fs::write(&path, serde_json::to_vec(&summary).unwrap()).unwrap();
            failed_audit(&sandbox).stdout_has("does not state which record of the ledger is the newest");
            if is_lost {
                fs::remove_file(ledger_file(&mirror, &names[1])).unwrap();
                sandbox.run(["gc", "--mirror", "mirror"]).exits(4).stderr_has(&names[1]);
                continue;
            }
            sandbox.run(command).ok();
            let newest = ledger::record_names(&Layout::new(&mirror)).unwrap().pop().unwrap();
            assert_eq!(read()["newest_record"]["record"], newest.as_str(), "{command:?}");
            sandbox.run(["verify", "--mirror", "mirror"]).ok();
        }
    }
}

#[test]
fn a_false_number_in_the_summary_is_named_and_accuses_no_bundle() {
    let sandbox = Sandbox::new();
    let (mirror, names) = mirror_of_three(&sandbox);
    let bundle = BundleBuilder::new("a", 4).ship(Crate::new("crate4", "1.0.0"));
    bundle.write(&sandbox.path(""), "4.pkg");
    let path = mirror.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    let altered = text.replace("\"sequence\": 3", "\"sequence\": 99");
    assert_ne!(altered, text);
    fs::write(&path, &altered).unwrap();
    let run = failed_audit(&sandbox);
    let run = run.stdout_has("manifest.json: states the number 99 for a newest bundle of lineage ");
    run.stdout_has(&format!("but its record {} states the number 3", names[2]))
        .stdout_lacks("does not contain it")
        .stderr_lacks("import the bundle of that file");
    let copy = |from: &str, to: &str| sandbox.other_program("cp", ["-a", from, to]).run().ok();
    copy("mirror", "copy");
    rebuild(&sandbox).stderr_has("Rebuilt manifest.json").stderr_lacks("lost");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    // An import uses the number in the record.
    let run = sandbox.run(["import", "4.pkg", "--mirror", "copy"]).ok();
    run.stderr_has("manifest.json states the number 99").stderr_has("--rebuild-state`").stderr_lacks("--reject");
    sandbox.run(["verify", "--mirror", "copy"]).ok();
}
