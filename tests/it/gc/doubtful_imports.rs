//! An import says at once what makes the newest bundle of a history doubtful, and says nothing twice.

use std::fs;
use std::path::PathBuf;

use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use serde_json::Value;

use crate::bundle_builder::{BundleBuilder, import};
use crate::support::crates::Crate;
use crate::support::process::Run;
use crate::support::sandbox::Sandbox;

/// A bundle of the history `a` with this number, written at that second, with the crate of this name.
fn write_bundle(sandbox: &Sandbox, number: u64, second: i64, name: &str) -> PathBuf {
    let make = BundleBuilder::new("a", number).read_at(second).ship(Crate::new(name, "1.0.0"));
    make.write(&sandbox.path(""), &format!("{name}.pkg"))
}

/// Imports such a bundle, and returns its ID.
fn import_bundle(sandbox: &Sandbox, mirror: &str, number: u64, second: i64, name: &str) -> String {
    let path = write_bundle(sandbox, number, second, name);
    import(&sandbox.path(mirror), &path).unwrap().id
}

fn lineage_id() -> String {
    BundleBuilder::new("a", 1).lineage().to_owned()
}

/// Exports the mirror `source` to `NAME.pkg`.
fn export_snapshot(sandbox: &Sandbox, name: &str) -> Run {
    let run = sandbox.run(["export", "snapshot", "--output", "out", "--mirror", "source"]).ok();
    let written = fs::read_dir(sandbox.path("out")).unwrap().map(|entry| entry.unwrap().path());
    let written = written.into_iter().find(|path| path.extension().is_some_and(|end| end == "pkg")).unwrap();
    fs::rename(written, sandbox.path(format!("{name}.pkg"))).unwrap();
    run
}

fn run_import(sandbox: &Sandbox, file: &str) -> Run {
    sandbox.run(["import", file, "--mirror", "mirror"]).ok()
}

/// The commands in backticks in the output, without `cargo frostmirror`.
fn printed_commands(run: &Run) -> Vec<Vec<String>> {
    let quoted = run.stderr.split('`').skip(1).step_by(2);
    let commands = quoted.filter_map(|text| text.strip_prefix("cargo frostmirror "));
    commands.map(|command| command.split_whitespace().map(str::to_owned).collect()).collect()
}

/// The printed commands with this option work as typed.
#[track_caller]
fn assert_command_works(sandbox: &Sandbox, run: &Run, option: &str, bundle: &str) {
    let commands = printed_commands(run);
    let has_option = |command: &&Vec<String>| {
        command.iter().any(|word| word == option) && command.iter().any(|word| word.ends_with(&format!("@{bundle}")))
    };
    let command = commands.iter().find(has_option).unwrap_or_else(|| panic!("{option} {bundle}: {}", run.describe()));
    sandbox.run(command.iter().map(String::as_str).chain(["--dry-run"])).ok();
}

#[test]
fn a_snapshot_with_a_sequence_jump_warns_like_a_bundle() {
    let sandbox = Sandbox::new();
    import_bundle(&sandbox, "source", 1000, 30, "forged");
    import_bundle(&sandbox, "mirror", 2, 20, "genuine");
    let forged = fs::read_dir(sandbox.path("source/.frostmirror/ledger")).unwrap().next().unwrap().unwrap();
    let forged = forged.file_name().into_string().unwrap();
    let forged = forged.strip_suffix(".json").unwrap().split_once('-').unwrap().1;
    export_snapshot(&sandbox, "snapshot");
    let run = run_import(&sandbox, "snapshot.pkg");
    let id = lineage_id();
    run.stderr_has(&format!(
        "warning: snapshot.pkg has the bundle {forged}, which has the number 1000 in the history {id}"
    ));
    let run = sandbox.run(["gc", "--dry-run", "--mirror", "mirror"]).ok();
    run.stdout_has("bundle number 1000 was imported when the highest number was 2");
}

#[test]
fn the_commands_of_a_snapshot_warning_work_as_typed() {
    let sandbox = Sandbox::new();
    let forged = import_bundle(&sandbox, "source", 1000, 30, "forged");
    import_bundle(&sandbox, "mirror", 2, 20, "genuine");
    export_snapshot(&sandbox, "snapshot");
    let run = run_import(&sandbox, "snapshot.pkg");
    for option in ["--accept", "--reject"] {
        assert_command_works(&sandbox, &run, option, &forged);
    }
    // The same snapshot brings no doubt a second time.
    run_import(&sandbox, "snapshot.pkg").stderr_lacks("warning");
    // The record of the import has the warning, for the pages and the API.
    let layout = Layout::new(sandbox.path("mirror"));
    let newest = ledger::record_names(&layout).unwrap().pop().unwrap();
    let record = ledger::read_header(&layout, &newest).unwrap().unwrap();
    assert!(record.warnings[0].contains("has the number 1000"), "{record:?}");
}

#[test]
fn the_json_output_of_a_snapshot_import_has_the_warning() {
    let sandbox = Sandbox::new();
    import_bundle(&sandbox, "source", 1000, 30, "forged");
    import_bundle(&sandbox, "mirror", 2, 20, "genuine");
    export_snapshot(&sandbox, "snapshot");
    let run = sandbox.run(["import", "snapshot.pkg", "--mirror", "mirror", "--message-format", "json"]).ok();
    let mut events = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let has_text = |event: &Value| event.to_string().contains("which has the number 1000 in the history");
    assert!(events.any(|event| has_text(&event)), "{}", run.describe());
}

#[test]
fn a_snapshot_of_a_doubtful_mirror_warns_in_a_new_mirror_and_counts_one_history() {
    let sandbox = Sandbox::new();
    import_bundle(&sandbox, "source", 1, 10, "first");
    let third = import_bundle(&sandbox, "source", 3, 30, "third");
    export_snapshot(&sandbox, "snapshot").stderr_has("of 1 history (");
    let run = sandbox.run(["inspect", "snapshot.pkg"]).ok();
    run.stdout_has("Lineages    1\n")
        .stdout_has("bundle 3 (third.pkg): 1 version\n            its newest may also be bundle 1 (first.pkg)");
    let run = run_import(&sandbox, "snapshot.pkg");
    let run =
        run.stderr_has("which has the number 3 in the history").stderr_has("the newest imported bundle has number 1");
    assert_command_works(&sandbox, &run, "--accept", &third);
    assert_command_works(&sandbox, &run, "--reject", &third);
}

/// The number of a bundle, and the second at which it was written.
type NumberAndSecond = (u64, i64);

#[test]
fn every_doubt_that_an_import_causes_is_reported_at_once() {
    // The numbers and seconds of bundles on record, then those of the new bundle.
    let cases: [(&[NumberAndSecond], NumberAndSecond); 7] = [
        (&[(1, 10)], (3, 30)),
        (&[(1, 10), (3, 30)], (4, 40)),
        (&[(2, 20)], (2, 30)),
        (&[(2, 50)], (3, 20)),
        (&[(3, 30)], (2, 40)),
        (&[(1, 10), (1000, 30)], (998, 40)),
        (&[(1, 10), (1000, 30)], (2, 20)),
    ];
    for (before, (number, second)) in cases {
        for by_snapshot in [false, true] {
            let case = format!("{before:?} {number} {second} {by_snapshot}");
            let sandbox = Sandbox::new();
            for (at, (number, second)) in before.iter().enumerate() {
                import_bundle(&sandbox, "mirror", *number, *second, &format!("c{at}"));
            }
            write_bundle(&sandbox, number, second, "new");
            if by_snapshot {
                import_bundle(&sandbox, "source", number, second, "new");
                export_snapshot(&sandbox, "new");
            }
            let run = run_import(&sandbox, "new.pkg").stderr_has("warning: new.pkg has the ");
            let plan = sandbox.run(["gc", "--dry-run", "--mirror", "mirror"]).ok();
            assert!(plan.stdout.contains("Doubtful: "), "{case}: {}", plan.describe());
            let decisions: Vec<Vec<String>> =
                printed_commands(&run).into_iter().filter(|command| command[0] == "gc").collect();
            assert!(!decisions.is_empty(), "{case}: {}", run.describe());
            for command in decisions {
                let dry_run = ["--dry-run"];
                let dry_run = dry_run.iter().filter(|word| !command.iter().any(|known| known == *word));
                sandbox.run(command.iter().map(String::as_str).chain(dry_run.copied())).ok();
            }
            run_import(&sandbox, "new.pkg").stderr_lacks("warning");
        }
    }
}

#[test]
fn an_import_of_a_bundle_on_record_accuses_no_other_bundle() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    for (number, name) in [(1, "first"), (2, "second"), (3, "third")] {
        import_bundle(&sandbox, "mirror", number, 10 * i64::try_from(number).unwrap(), name);
    }
    let damages: [fn(&std::path::Path); 3] = [
        |_| {},
        |mirror| fs::write(mirror.join("crates/first-1.0.0.crate"), "damaged").unwrap(),
        |mirror| fs::remove_file(mirror.join("index/fi/rs/first")).unwrap(),
    ];
    for damage in damages {
        damage(&mirror);
        run_import(&sandbox, "first.pkg").stderr_lacks("--reject").stderr_lacks("is older than");
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
    }
    // A record that is damaged or lost returns with its bundle.
    for is_rebuilt in [false, true] {
        for damage in ["altered", "removed"] {
            let ledger = fs::read_dir(mirror.join(".frostmirror/ledger")).unwrap();
            let is_first = |path: &PathBuf| fs::read_to_string(path).unwrap().contains("\"file\":\"first.pkg\"");
            let record = ledger.map(|entry| entry.unwrap().path()).find(is_first).unwrap();
            match damage {
                "altered" => fs::write(&record, fs::read_to_string(&record).unwrap().replace("first.pkg", "fIrst.pkg")),
                _ => fs::remove_file(&record),
            }
            .unwrap();
            if is_rebuilt {
                sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok();
            }
            run_import(&sandbox, "first.pkg").stderr_lacks("--reject").stderr_lacks("is older than");
            sandbox.run(["verify", "--mirror", "mirror"]).ok();
        }
    }
}

#[test]
fn an_older_bundle_that_is_new_says_so_once() {
    let sandbox = Sandbox::new();
    import_bundle(&sandbox, "mirror", 3, 30, "third");
    write_bundle(&sandbox, 2, 20, "second");
    run_import(&sandbox, "second.pkg").stderr_has("is older than number 3");
    fs::remove_file(sandbox.path("mirror/crates/second-1.0.0.crate")).unwrap();
    run_import(&sandbox, "second.pkg").stderr_has("Imported 1 crate").stderr_lacks("warning");
}

#[test]
fn a_repeated_import_gives_no_warning_that_its_first_import_gave() {
    let sandbox = Sandbox::new();
    // Its clock is years ahead, and it relies on a crate that other bundles of the history have.
    let make = BundleBuilder::new("a", 2).read_at(3_000_000_000).ship(Crate::new("new", "1.0.0"));
    let make = make.with_crate(Crate::new("kept", "1.0.0"), frostmirror::bundle::format::CrateState::Kept);
    make.write(&sandbox.path(""), "new.pkg");
    let run = run_import(&sandbox, "new.pkg");
    let run = run.stderr_has("one of the two is wrong").stderr_has("bundles that were never imported have 1 crate");
    assert_eq!(run.stderr.matches("warning: ").count(), 2, "{}", run.describe());
    run_import(&sandbox, "new.pkg").stderr_lacks("warning");
    fs::remove_file(sandbox.path("mirror/crates/new-1.0.0.crate")).unwrap();
    run_import(&sandbox, "new.pkg").stderr_has("Imported 1 crate").stderr_lacks("warning");
    fs::copy(sandbox.path("new.pkg"), sandbox.path("renamed.pkg")).unwrap();
    fs::remove_file(sandbox.path("mirror/crates/new-1.0.0.crate")).unwrap();
    run_import(&sandbox, "renamed.pkg").stderr_has("Imported 1 crate").stderr_lacks("warning");
}

#[test]
fn a_repeated_repair_gives_no_warning() {
    let sandbox = Sandbox::new();
    import_bundle(&sandbox, "mirror", 1, 10, "first");
    import_bundle(&sandbox, "mirror", 2, 20, "second");
    let repair = BundleBuilder::new("a", 3).read_at(30).repair().ship(Crate::new("second", "1.0.0"));
    repair.write(&sandbox.path(""), "repair.pkg");
    for number in [4, 5] {
        fs::remove_file(sandbox.path("mirror/crates/second-1.0.0.crate")).unwrap();
        run_import(&sandbox, "repair.pkg").stderr_has("Imported 1 crate").stderr_lacks("warning");
        import_bundle(&sandbox, "mirror", number, 10 * i64::try_from(number).unwrap(), &format!("c{number}"));
    }
}

/// The bundle other than `known` that a printed command names.
#[track_caller]
fn other_bundle(run: &Run, known: &str) -> String {
    let words = printed_commands(run).into_iter().flatten();
    let mut bundles = words.filter_map(|word| Some(word.split_once('@')?.1.to_owned()));
    bundles.find(|bundle| bundle != known).unwrap_or_else(|| panic!("{}", run.describe()))
}

#[test]
fn a_number_that_an_older_bundle_has_is_reported_with_both_ids() {
    let sandbox = Sandbox::new();
    let genuine =
        [1, 2, 3, 4].map(|n: u32| import_bundle(&sandbox, "mirror", n.into(), 10 * i64::from(n), &format!("crate{n}")));
    for (number, second, name) in [(3, 25, "earlier"), (1, 90, "later")] {
        write_bundle(&sandbox, number, second, name);
        let file = format!("{name}.pkg");
        let text =
            format!("{file} has the number {number} in its history, but another bundle with that number was imported");
        let run = run_import(&sandbox, &file).stderr_has(&text);
        let duplicate = &genuine[if number == 1 { 0 } else { 2 }];
        assert_command_works(&sandbox, &run, "--reject", duplicate);
        assert_command_works(&sandbox, &run, "--reject", &other_bundle(&run, duplicate));
        run_import(&sandbox, &file).stderr_lacks("warning:");
    }
}

#[test]
fn a_lower_number_names_both_bundles_that_may_be_false() {
    for second in [5, 90] {
        let sandbox = Sandbox::new();
        import_bundle(&sandbox, "mirror", 2, 20, "second");
        let newest = import_bundle(&sandbox, "mirror", 3, 30, "third");
        write_bundle(&sandbox, 1, second, "first");
        let run = run_import(&sandbox, "first.pkg");
        assert_command_works(&sandbox, &run, "--reject", &newest);
        assert_command_works(&sandbox, &run, "--reject", &other_bundle(&run, &newest));
    }
}

#[test]
fn a_collection_removes_nothing_while_records_are_missing() {
    let sandbox = Sandbox::new();
    for n in [1, 2, 3, 4] {
        import_bundle(&sandbox, "mirror", n, 10 * i64::try_from(n).unwrap(), &format!("crate{n}"));
    }
    fs::remove_dir_all(sandbox.path("mirror/.frostmirror/ledger")).unwrap();
    run_import(&sandbox, "crate4.pkg");
    let gc = ["gc", "--grace", "0", "--mirror", "mirror"];
    sandbox
        .run(gc)
        .exits(4)
        .stderr_has("the ledger lacks 3 records that manifest.json counts")
        .stderr_has("hint: import the newest bundles");
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]);
    sandbox.run(gc).ok();
    for n in 1..=4 {
        assert!(sandbox.path(format!("mirror/crates/crate{n}-1.0.0.crate")).is_file(), "{n}");
    }
}

#[test]
fn the_newest_number_with_an_older_time_names_both_bundles_that_may_be_false() {
    let sandbox = Sandbox::new();
    import_bundle(&sandbox, "mirror", 1, 10, "first");
    let second = import_bundle(&sandbox, "mirror", 2, 30, "second");
    write_bundle(&sandbox, 3, 20, "third");
    let run = run_import(&sandbox, "third.pkg").stderr_has("follows number 2, but was written before it");
    let third = other_bundle(&run, &second);
    for (option, bundle) in [("--reject", &second), ("--reject", &third), ("--accept", &third)] {
        assert_command_works(&sandbox, &run, option, bundle);
    }
}
