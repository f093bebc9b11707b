//! The two steps of a removal, what is shown of it, and what is not touched.

use std::fs;

use frostmirror::bundle::format::CrateState;
use frostmirror::mirror::gc::Error;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::{forgotten, ledger};

use super::{assert_agreement, collect, collect_at, held};
use crate::import_bundle::{Make, everything, import};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

fn old() -> Make {
    Make::new("a", 1)
        .ship(Crate::new("json", "1.0.0"))
        .ship(Crate::new("Gone", "1.0.0+b").dep("json", "^1").weighing(5000))
}

fn new() -> Make {
    Make::new("a", 2).ship(Crate::new("json", "1.0.1").yanked())
}

fn names(all: &[&str]) -> std::collections::BTreeSet<String> {
    all.iter().map(|name| (*name).to_owned()).collect()
}

/// A mirror whose newest bundle needs less than the one before.
fn with_garbage() -> (Sandbox, std::path::PathBuf) {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &old().write(&sandbox.path(""), "old.pkg")).unwrap();
    import(&mirror, &new().write(&sandbox.path(""), "new.pkg")).unwrap();
    (sandbox, mirror)
}

#[test]
fn lines_go_first_and_crates_after_the_grace_time() {
    let (_sandbox, mirror) = with_garbage();
    let first = collect_at(&mirror, 2000, 600);
    assert_eq!((first.lines, first.crates, first.bytes, first.waiting), (2, 0, 0, 2));
    assert_eq!(held(&mirror), (names(&["Gone-1.0.0+b", "json-1.0.0", "json-1.0.1"]), names(&["json-1.0.1"])));
    assert!(!mirror.join("index/go").exists() && !mirror.join(".frostmirror/lines/go").exists());
    assert_agreement(&mirror);

    let before = everything(&mirror);
    let early = collect_at(&mirror, 2599, 600);
    assert_eq!((early.lines, early.crates, early.waiting), (0, 0, 2));
    assert_eq!(everything(&mirror), before, "nothing is written where nothing is to be done");

    let size = fs::metadata(mirror.join("crates/Gone-1.0.0+b.crate")).unwrap().len()
        + fs::metadata(mirror.join("crates/json-1.0.0.crate")).unwrap().len();
    let last = collect_at(&mirror, 2600, 600);
    assert_eq!((last.lines, last.crates, last.bytes, last.waiting), (0, 2, size, 0));
    assert_eq!(held(&mirror), (names(&["json-1.0.1"]), names(&["json-1.0.1"])), "a yanked one that is needed stays");
    assert!(!mirror.join(".frostmirror/removals").exists());
    assert_agreement(&mirror);
    let before = everything(&mirror);
    assert_eq!(collect_at(&mirror, 9000, 0).crates, 0);
    assert_eq!(everything(&mirror), before);
}

#[test]
fn an_import_between_the_steps_that_needs_a_crate_again_keeps_it() {
    let (sandbox, mirror) = with_garbage();
    collect_at(&mirror, 2000, 600);
    // A delta of another history relies on what the mirror still holds.
    let again = Make::new("b", 1).parent("x.pkg").with(Crate::new("json", "1.0.0"), CrateState::Sent);
    import(&mirror, &again.write(&sandbox.path(""), "again.pkg")).unwrap();
    assert_agreement(&mirror);
    let last = collect_at(&mirror, 2600, 600);
    assert_eq!((last.crates, last.waiting), (1, 0));
    let both = names(&["json-1.0.0", "json-1.0.1"]);
    assert_eq!(held(&mirror), (both.clone(), both));
    assert_agreement(&mirror);
}

#[test]
fn an_old_bundle_between_the_steps_begins_the_grace_time_anew() {
    let (sandbox, mirror) = with_garbage();
    collect_at(&mirror, 2000, 600);
    // It was taken out of its order: its lines are seen again, although its history has moved on.
    let older = Make::new("a", 1).read(0).ship(Crate::new("json", "1.0.0"));
    import(&mirror, &older.write(&sandbox.path(""), "older.pkg")).unwrap();
    assert!(held(&mirror).1.contains("json-1.0.0"));
    let second = collect_at(&mirror, 2600, 600);
    assert_eq!((second.lines, second.crates, second.waiting), (1, 1, 1));
    assert_agreement(&mirror);
    assert_eq!(collect_at(&mirror, 3199, 600).waiting, 1);
    assert_eq!(collect_at(&mirror, 3200, 600).crates, 1);
    assert_agreement(&mirror);
}

#[test]
fn a_dry_run_prints_the_plan_of_the_run_and_changes_nothing() {
    let (sandbox, mirror) = with_garbage();
    let before = everything(&mirror);
    let plan = sandbox.run(["gc", "--dry-run", "--grace", "0", "-v", "--mirror", "mirror"]).ok();
    assert_eq!(everything(&mirror), before);
    let run = sandbox.run(["gc", "--grace", "0", "-v", "--mirror", "mirror"]).ok();
    let (shown, last) = run.stdout.trim_end().rsplit_once('\n').unwrap();
    // The age may have grown by a unit meanwhile.
    let without_age = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split(", ").filter(|part| !part.ends_with(" old")).collect()).collect()
    };
    assert_eq!(without_age(shown), without_age(&plan.stdout));
    assert_eq!(run.stderr, plan.stderr);
    let bytes: usize = [Crate::new("Gone", "1.0.0+b").dep("json", "^1").weighing(5000), Crate::new("json", "1.0.0")]
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
    assert_agreement(&mirror);
    sandbox.run(["gc", "--mirror", "mirror"]).ok().stdout_has("Removed 0 crates, freed 0 bytes\n");
}

#[test]
fn the_plan_and_the_outcome_are_json_too() {
    let (sandbox, _mirror) = with_garbage();
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
fn strangers_are_told_of_and_stay() {
    let (sandbox, mirror) = with_garbage();
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
    let run = run
        .stdout_has("Strangers, which no sound index line or record names and which stay: 7 (`verify --mirror` tells")
        .stdout_has("Removed 2 ");
    for stranger in [
        "crates/notes.txt",
        "crates/own-1.0.0.crate",
        "crates/json-0.9.0.crate",
        "index/README",
        "index/ow/nf/Wrong",
        "index/js/on/json: 0.9.0",
        "index/js/on/json: 1 line that cannot be read",
    ] {
        assert!(run.stderr.contains(&format!("stays {stranger}\n")), "{stranger}\n{}", run.told());
    }
    let tree = everything(&mirror);
    let kept = format!("{}\n{}\nnot a line\n", line.line, Crate::new("json", "1.0.1").yanked().pack().line);
    assert_eq!(tree["index/js/on/json"], kept.into_bytes());
    assert_eq!(tree["crates/notes.txt"], b"mine");
    assert!(tree.contains_key("crates/json-0.9.0.crate") && !tree.contains_key("crates/json-1.0.0.crate"));
    // A mirror of which nothing is on record is strange all over.
    fs::remove_dir_all(mirror.join(".frostmirror/ledger")).unwrap();
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    let before = everything(&mirror);
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_has("Removed 0 crates, freed 0 bytes\n");
    assert_eq!(everything(&mirror), before);
}

#[test]
fn a_lineage_is_let_go_and_comes_back_with_its_next_import() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let one = old().write(&sandbox.path(""), "one.pkg");
    let two = Make::new("b", 1).ship(Crate::new("json", "1.0.0")).ship(Crate::new("other", "1.0.0"));
    import(&mirror, &one).unwrap();
    import(&mirror, &two.write(&sandbox.path(""), "two.pkg")).unwrap();
    let layout = Layout::new(&mirror);
    let lineages = || -> Vec<String> {
        ledger::head(&layout).unwrap().unwrap().lineages.into_iter().map(|lineage| lineage.id).collect()
    };
    let all = lineages();
    let record = ledger::read(&layout, &ledger::names(&layout).unwrap()[0]).unwrap().unwrap();
    let id = record.manifest.lineage.id;
    let other: Vec<String> = all.iter().filter(|one| **one != id).cloned().collect();

    let before = everything(&mirror);
    for (word, wrong) in [("live", "`live`"), (&id[..3], "`"), ("ffffffff", "`ffffffff`")] {
        let run = sandbox.run(["gc", "--forget", word, "--mirror", "mirror"]).exits(3).stderr_has(wrong);
        let named: Vec<String> = all.iter().map(|id| format!("{id} (Cargo.lock)")).collect();
        run.stderr_has(&named.join(", "));
    }
    sandbox.run(["gc", "--dry-run", "--forget", &id[..8], "--mirror", "mirror"]).ok().stdout_has(", forgotten\n");
    assert_eq!(everything(&mirror), before);
    assert!(matches!(collect(&mirror, 2000, 0, &["x"]), Err(Error::NoLineage { .. })));

    let collected = collect(&mirror, 2000, 0, &[&id[..8]]).unwrap();
    assert_eq!(collected.crates, 1);
    assert_eq!(lineages(), other);
    assert_eq!(forgotten::notes(&layout).unwrap().len(), 1);
    assert_agreement(&mirror);
    // The records alone say so too, to whoever lost the head.
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    assert_eq!(lineages(), other);
    assert_eq!(collect_at(&mirror, 2000, 0).crates, 0);
    assert_eq!(collect(&mirror, 2000, 0, &[&id]).unwrap().crates, 0, "let go already");

    // The very bundle that is on record already brings it back.
    assert!(!import(&mirror, &one).unwrap().already);
    assert_eq!(lineages(), all);
    assert_agreement(&mirror);
    assert_eq!(collect_at(&mirror, 3000, 0).crates, 0);
    assert!(import(&mirror, &one).unwrap().already);
}

#[test]
fn nothing_is_removed_when_a_record_cannot_be_read() {
    let (sandbox, mirror) = with_garbage();
    let layout = Layout::new(&mirror);
    for name in ledger::names(&layout).unwrap() {
        let path = layout.ledger().join(&name);
        let good = fs::read(&path).unwrap();
        fs::write(&path, &good[..good.len() / 2]).unwrap();
        let before = everything(&mirror);
        sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).exits(4).stderr_has(&name).stderr_has("hint:");
        assert_eq!(everything(&mirror), before);
        fs::write(&path, good).unwrap();
    }
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_has("Removed 2 crates");
}

#[test]
fn what_is_no_mirror_or_held_by_another_is_refused() {
    let (sandbox, mirror) = with_garbage();
    fs::create_dir(sandbox.path("empty")).unwrap();
    for (folder, flag) in [("empty", "--dry-run"), ("nowhere", "--grace=0")] {
        sandbox.run(["gc", flag, "--mirror", folder]).exits(3).stderr_has("there is no mirror in").stderr_has(folder);
    }
    assert_eq!(fs::read_dir(sandbox.path("empty")).unwrap().count(), 0);
    let layout = Layout::new(&mirror);
    let held = frostmirror::mirror::lock::lock_for_adding(
        &layout,
        std::time::Duration::ZERO,
        &crate::import_bundle::me(),
        &frostmirror::event::Silent,
    );
    let held = held.unwrap();
    sandbox.run(["gc", "--mirror", "mirror", "--lock-timeout", "0"]).exits(6).stderr_has("`test` with pid 1");
    sandbox.run(["gc", "--mirror", "mirror", "--dry-run"]).ok();
    drop(held);
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "5"]).exits(2).stderr_has("90s, 10m, 2h, 7d");
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
    assert_agreement(&mirror);
}

#[test]
fn what_only_another_input_needs_and_what_has_no_file_stays() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let first = Make::new("a", 1).ship(Crate::new("kept", "1.0.0")).ship(Crate::new("sent", "1.0.0"));
    import(&mirror, &first.write(&sandbox.path(""), "first.pkg")).unwrap();
    let second = Make::new("a", 2)
        .parent("first.pkg")
        .with(Crate::new("kept", "1.0.0"), CrateState::Kept)
        .with(Crate::new("sent", "1.0.0"), CrateState::Sent)
        .with(Crate::new("left-out", "1.0.0"), CrateState::IndexOnly)
        .ship(Crate::new("fresh", "1.0.0"));
    import(&mirror, &second.write(&sandbox.path(""), "second.pkg")).unwrap();
    let before = held(&mirror);
    assert_eq!(collect_at(&mirror, 2000, 0).lines, 0);
    assert_eq!(held(&mirror), before);
    assert_eq!(before.1.len(), 4);
    assert_agreement(&mirror);
}
