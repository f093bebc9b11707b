//! The two steps of a removal, what is shown of it, and what is not touched.

use std::fs;

use frostmirror::bundle::format::CrateState;
use frostmirror::mirror::gc::Error;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::{ledger, retired};

use super::{assert_records_agree, collect, collect_at, stored_and_indexed_crates};
use crate::bundle_builder::{BundleBuilder, all_files, import, public_files};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

fn old_bundle() -> BundleBuilder {
    BundleBuilder::new("a", 1)
        .ship(Crate::new("json", "1.0.0"))
        .ship(Crate::new("Gone", "1.0.0+b").dep("json", "^1").with_extra_bytes(5000))
}

fn new_bundle() -> BundleBuilder {
    BundleBuilder::new("a", 2).ship(Crate::new("json", "1.0.1").yanked())
}

fn name_set(all: &[&str]) -> std::collections::BTreeSet<String> {
    all.iter().map(|name| (*name).to_owned()).collect()
}

/// A mirror whose newest bundle needs less than the one before.
fn mirror_with_garbage() -> (Sandbox, std::path::PathBuf) {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &old_bundle().write(&sandbox.path(""), "old.pkg")).unwrap();
    import(&mirror, &new_bundle().write(&sandbox.path(""), "new.pkg")).unwrap();
    (sandbox, mirror)
}

#[test]
fn index_lines_are_removed_first_and_crates_after_the_grace_period() {
    let (_sandbox, mirror) = mirror_with_garbage();
    let first = collect_at(&mirror, 2000, 600);
    assert_eq!((first.lines, first.crates, first.bytes, first.pending), (2, 0, 0, 2));
    assert_eq!(
        stored_and_indexed_crates(&mirror),
        (name_set(&["Gone-1.0.0+b", "json-1.0.0", "json-1.0.1"]), name_set(&["json-1.0.1"]))
    );
    assert!(!mirror.join("index/go").exists() && !mirror.join(".frostmirror/lines/go").exists());
    assert_records_agree(&mirror);

    let before = all_files(&mirror);
    let early = collect_at(&mirror, 2599, 600);
    assert_eq!((early.lines, early.crates, early.pending), (0, 0, 2));
    assert_eq!(all_files(&mirror), before, "nothing is written where nothing is to be done");

    let size = fs::metadata(mirror.join("crates/Gone-1.0.0+b.crate")).unwrap().len()
        + fs::metadata(mirror.join("crates/json-1.0.0.crate")).unwrap().len();
    let last = collect_at(&mirror, 2600, 600);
    assert_eq!((last.lines, last.crates, last.bytes, last.pending), (0, 2, size, 0));
    assert_eq!(
        stored_and_indexed_crates(&mirror),
        (name_set(&["json-1.0.1"]), name_set(&["json-1.0.1"])),
        "a yanked one that is needed stays"
    );
    assert!(!mirror.join(".frostmirror/removals").exists());
    assert_records_agree(&mirror);
    let before = all_files(&mirror);
    assert_eq!(collect_at(&mirror, 9000, 0).crates, 0);
    assert_eq!(all_files(&mirror), before);
}

#[test]
fn an_import_during_the_grace_period_keeps_a_crate_it_needs() {
    let (sandbox, mirror) = mirror_with_garbage();
    collect_at(&mirror, 2000, 600);
    // A delta of another history relies on what the mirror still holds.
    let again = BundleBuilder::new("b", 1).parent("x.pkg").with_crate(Crate::new("json", "1.0.0"), CrateState::Sent);
    import(&mirror, &again.write(&sandbox.path(""), "again.pkg")).unwrap();
    assert_records_agree(&mirror);
    let last = collect_at(&mirror, 2600, 600);
    assert_eq!((last.crates, last.pending), (1, 0));
    let both = name_set(&["json-1.0.0", "json-1.0.1"]);
    assert_eq!(stored_and_indexed_crates(&mirror), (both.clone(), both));
    assert_records_agree(&mirror);
}

#[test]
fn an_old_bundle_during_the_grace_period_restarts_it() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let older = BundleBuilder::new("a", 1).read_at(0).ship(Crate::new("json", "1.0.0"));
    let older = older.write(&sandbox.path(""), "older.pkg");
    let old = BundleBuilder::new("a", 2)
        .ship(Crate::new("json", "1.0.0"))
        .ship(Crate::new("Gone", "1.0.0+b").dep("json", "^1").with_extra_bytes(5000));
    import(&mirror, &old.write(&sandbox.path(""), "old.pkg")).unwrap();
    let new = BundleBuilder::new("a", 3).ship(Crate::new("json", "1.0.1").yanked());
    import(&mirror, &new.write(&sandbox.path(""), "new.pkg")).unwrap();
    collect_at(&mirror, 2000, 600);
    // It was taken out of its order: its lines are seen again, although its history has moved on.
    import(&mirror, &older).unwrap();
    assert!(stored_and_indexed_crates(&mirror).1.contains("json-1.0.0"));
    let second = collect_at(&mirror, 2600, 600);
    assert_eq!((second.lines, second.crates, second.pending), (1, 1, 1));
    assert_records_agree(&mirror);
    assert_eq!(collect_at(&mirror, 3199, 600).pending, 1);
    assert_eq!(collect_at(&mirror, 3200, 600).crates, 1);
    assert_records_agree(&mirror);
}

#[test]
fn a_dry_run_prints_the_plan_and_changes_nothing() {
    let (sandbox, mirror) = mirror_with_garbage();
    let before = all_files(&mirror);
    let plan = sandbox.run(["gc", "--dry-run", "--grace", "0", "-v", "--mirror", "mirror"]).ok();
    assert_eq!(all_files(&mirror), before);
    let run = sandbox.run(["gc", "--grace", "0", "-v", "--mirror", "mirror"]).ok();
    let (shown, last) = run.stdout.trim_end().rsplit_once('\n').unwrap();
    // The age may have grown by a unit meanwhile.
    let without_age = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split(", ").filter(|part| !part.ends_with(" old")).collect()).collect()
    };
    assert_eq!(without_age(shown), without_age(&plan.stdout));
    assert_eq!(run.stderr, plan.stderr);
    let bytes: usize =
        [Crate::new("Gone", "1.0.0+b").dep("json", "^1").with_extra_bytes(5000), Crate::new("json", "1.0.0")]
            .map(|one| one.pack().bytes.len())
            .iter()
            .sum();
    assert_eq!(last, format!("Removed 2 crates, freed {bytes} bytes"));
    plan.stdout_has(": new.pkg, ")
        .stdout_has(" old, 1 crate\n")
        .stdout_has("To remove: 2 index lines\nTo remove: 2 crates (")
        .stdout_has("To stay: 1 crate (")
        .stderr_has("line gone 1.0.0+b")
        .stderr_has("crate Gone-1.0.0+b.crate (");
    assert_records_agree(&mirror);
    sandbox.run(["gc", "--mirror", "mirror"]).ok().stdout_has("Removed 0 crates, freed 0 bytes\n");
}

#[test]
fn the_gc_plan_and_result_are_available_as_json() {
    let (sandbox, _mirror) = mirror_with_garbage();
    let run = sandbox.run(["gc", "--mirror", "mirror", "--message-format", "json"]).ok();
    let objects: Vec<serde_json::Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reasons: Vec<_> = objects.iter().map(|object| object["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["gc-plan", "collected", "finished"]);
    let plan = &objects[0];
    assert_eq!(plan["lineages"][0]["sequence"], 2);
    assert_eq!(plan["lines"][0], serde_json::json!({"name": "gone", "version": "1.0.0+b"}));
    assert_eq!(plan["waiting"][1]["file"], "json-1.0.0.crate");
    assert!(plan["waiting"][1]["until"].is_string() && plan["crates"].as_array().unwrap().is_empty());
    assert_eq!((&objects[1]["lines"], &objects[1]["waiting"]), (&2.into(), &2.into()));
}

#[test]
fn unrecognized_files_are_reported_and_kept() {
    let (sandbox, mirror) = mirror_with_garbage();
    let line = Crate::new("json", "0.9.0").pack();
    let index = mirror.join("index/js/on/json");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, format!("{}\n{text}not a line\n", line.line)).unwrap();
    fs::write(mirror.join("crates/json-0.9.0.crate"), &line.bytes).unwrap();
    fs::create_dir_all(mirror.join("index/ow/nf")).unwrap();
    for path in ["crates/notes.txt", "crates/own-1.0.0.crate", "index/README", "index/ow/nf/Wrong"] {
        fs::write(mirror.join(path), "mine").unwrap();
    }
    let run = sandbox.run(["gc", "--grace", "0", "-v", "--mirror", "mirror"]).ok();
    let run =
        run.stdout_has("Unrecognized files (kept): 7 (`cargo frostmirror verify --mirror ").stdout_has("Removed 2 ");
    for unrecognized_path in [
        "crates/notes.txt",
        "crates/own-1.0.0.crate",
        "crates/json-0.9.0.crate",
        "index/README",
        "index/ow/nf/Wrong",
        "index/js/on/json: 0.9.0",
        "index/js/on/json: 1 line that cannot be read",
    ] {
        assert!(
            run.stderr.contains(&format!("Keep unrecognized file {unrecognized_path}\n")),
            "{unrecognized_path}\n{}",
            run.describe()
        );
    }
    let tree = all_files(&mirror);
    let kept = format!("{}\n{}\nnot a line\n", line.line, Crate::new("json", "1.0.1").yanked().pack().line);
    assert_eq!(tree["index/js/on/json"], kept.into_bytes());
    assert_eq!(tree["crates/notes.txt"], b"mine");
    assert!(tree.contains_key("crates/json-0.9.0.crate") && !tree.contains_key("crates/json-1.0.0.crate"));
    // A mirror of which nothing is on record is strange all over.
    fs::remove_dir_all(mirror.join(".frostmirror/ledger")).unwrap();
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    let before = public_files(&mirror);
    sandbox
        .run(["gc", "--grace", "0", "--mirror", "mirror"])
        .exits(4)
        .stderr_has("manifest.json` is missing, although the mirror has records of index lines");
    assert_eq!(public_files(&mirror), before);
}

#[test]
fn a_forgotten_lineage_returns_with_its_next_import() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let one = old_bundle().write(&sandbox.path(""), "one.pkg");
    let two = BundleBuilder::new("b", 1).ship(Crate::new("json", "1.0.0")).ship(Crate::new("other", "1.0.0"));
    import(&mirror, &one).unwrap();
    import(&mirror, &two.write(&sandbox.path(""), "two.pkg")).unwrap();
    let layout = Layout::new(&mirror);
    let lineages = || -> Vec<String> {
        ledger::read_summary(&layout).unwrap().unwrap().lineages.into_iter().map(|lineage| lineage.id).collect()
    };
    let all = lineages();
    let record = ledger::read_record(&layout, &ledger::record_names(&layout).unwrap()[0]).unwrap().unwrap();
    let id = record.manifest.lineage.id;
    let other: Vec<String> = all.iter().filter(|one| **one != id).cloned().collect();

    let before = all_files(&mirror);
    let run = sandbox.run(["gc", "--forget", &id[..3], "--mirror", "mirror"]).exits(3);
    run.stderr_has("is too short").stderr_has(&format!("it matches {id} (Cargo.lock)\n")).stderr_lacks(&other[0]);
    let run = sandbox.run(["gc", "--forget", "ffffffff", "--mirror", "mirror"]).exits(3).stderr_has("`ffffffff`");
    let named: Vec<String> = all.iter().map(|id| format!("{id} (Cargo.lock)")).collect();
    run.stderr_has(&named.join(", "));
    let run = sandbox.run(["gc", "--forget", "live", "--mirror", "mirror"]).exits(3);
    run.stderr_has("live mode of this mirror added no files\n").stderr_has("without `--forget live`");
    sandbox.run(["gc", "--dry-run", "--forget", &id[..8], "--mirror", "mirror"]).ok().stdout_has(", forgotten\n");
    assert_eq!(all_files(&mirror), before);
    assert!(matches!(collect(&mirror, 2000, 0, &["x"]), Err(Error::TooShort { .. })));

    let collected = collect(&mirror, 2000, 0, &[&id[..8]]).unwrap();
    assert_eq!(collected.crates, 1);
    assert_eq!(lineages(), other);
    assert_eq!(retired::read_retirements(&layout).unwrap().len(), 1);
    assert_records_agree(&mirror);
    // The records alone show it too, without the head.
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    assert_eq!(lineages(), other);
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
    assert_eq!(lineages(), other);
    assert_eq!(collect_at(&mirror, 2000, 0).crates, 0);
    assert_eq!(collect(&mirror, 2000, 0, &[&id]).unwrap().crates, 0, "let go already");

    // The very bundle that is on record already brings it back.
    assert!(!import(&mirror, &one).unwrap().already_imported);
    assert_eq!(lineages(), all);
    assert_records_agree(&mirror);
    assert_eq!(collect_at(&mirror, 3000, 0).crates, 0);
    assert!(import(&mirror, &one).unwrap().already_imported);
}

#[test]
fn an_unreadable_record_prevents_any_removal() {
    let (sandbox, mirror) = mirror_with_garbage();
    let layout = Layout::new(&mirror);
    for name in ledger::record_names(&layout).unwrap() {
        let path = layout.ledger().join(&name);
        let good = fs::read(&path).unwrap();
        fs::write(&path, &good[..good.len() / 2]).unwrap();
        let before = all_files(&mirror);
        sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).exits(4).stderr_has(&name).stderr_has("hint:");
        assert_eq!(all_files(&mirror), before);
        fs::write(&path, good).unwrap();
    }
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_has("Removed 2 crates");
}

#[test]
fn gc_refuses_a_folder_that_is_not_a_mirror_or_is_locked() {
    let (sandbox, mirror) = mirror_with_garbage();
    fs::create_dir(sandbox.path("empty")).unwrap();
    for (folder, flag) in [("empty", "--dry-run"), ("nowhere", "--grace=0")] {
        sandbox.run(["gc", flag, "--mirror", folder]).exits(3).stderr_has("there is no mirror in").stderr_has(folder);
    }
    assert_eq!(fs::read_dir(sandbox.path("empty")).unwrap().count(), 0);
    let layout = Layout::new(&mirror);
    let stored = frostmirror::mirror::lock::lock_for_adding(
        &layout,
        std::time::Duration::ZERO,
        &crate::bundle_builder::test_holder(),
        &frostmirror::event::NullSink,
    );
    let existing = stored.unwrap();
    sandbox.run(["gc", "--mirror", "mirror", "--lock-timeout", "0"]).exits(6).stderr_has("`test` with pid 1");
    sandbox.run(["gc", "--mirror", "mirror", "--dry-run"]).ok();
    drop(existing);
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "5"]).exits(2).stderr_has("90s, 10m, 2h, 7d");
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
    assert_records_agree(&mirror);
}

#[test]
fn crates_of_another_input_and_index_only_crates_are_kept() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let first = BundleBuilder::new("a", 1).ship(Crate::new("kept", "1.0.0")).ship(Crate::new("sent", "1.0.0"));
    import(&mirror, &first.write(&sandbox.path(""), "first.pkg")).unwrap();
    let second = BundleBuilder::new("a", 2)
        .parent("first.pkg")
        .with_crate(Crate::new("kept", "1.0.0"), CrateState::Kept)
        .with_crate(Crate::new("sent", "1.0.0"), CrateState::Sent)
        .with_crate(Crate::new("left-out", "1.0.0"), CrateState::IndexOnly)
        .ship(Crate::new("fresh", "1.0.0"));
    import(&mirror, &second.write(&sandbox.path(""), "second.pkg")).unwrap();
    let before = stored_and_indexed_crates(&mirror);
    assert_eq!(collect_at(&mirror, 2000, 0).lines, 0);
    assert_eq!(stored_and_indexed_crates(&mirror), before);
    assert_eq!(before.1.len(), 4);
    assert_records_agree(&mirror);
}
