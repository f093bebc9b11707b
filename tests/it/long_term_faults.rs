//! What goes wrong over the years: restored backups, lost records, moved projects, clocks that are wrong.

mod connected_side;

use std::fs;

use frostmirror::bundle::format::CrateState;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;

use crate::bundle_builder::{BundleBuilder, assert_consistent, import};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

fn simple_crate(name: &str) -> Crate {
    Crate::new(name, "1.0.0")
}

#[test]
fn gc_removes_nothing_after_a_history_was_restored_from_a_backup() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    for (sequence, name) in [(4, "a"), (5, "b")] {
        let bundle = BundleBuilder::new("a", sequence).ship(simple_crate(name)).write(&desk, "one.pkg");
        import(&mirror, &bundle).unwrap();
    }
    // The history's folder is as it was after number 1: its numbers come again, with other content.
    let again = BundleBuilder::new("a", 2).read_at(100).ship(simple_crate("c")).write(&desk, "again.pkg");
    let args = ["import".as_ref(), again.as_os_str(), "--mirror".as_ref(), mirror.as_os_str()];
    sandbox.run(args).ok().stderr_has("warning: ").stderr_has("older copy");
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
    assert!(mirror.join("crates/c-1.0.0.crate").exists());
    // Nothing tells which of the two is right.
    assert!(mirror.join("crates/b-1.0.0.crate").exists());
    assert!(!mirror.join("crates/a-1.0.0.crate").exists());
    assert_consistent(&mirror);
    // A bundle that follows one of the two does not prove that it is the right one.
    let sixth = BundleBuilder::new("a", 6).read_at(200).ship(simple_crate("d")).write(&desk, "sixth.pkg");
    import(&mirror, &sixth).unwrap();
    let plan = sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
    plan.stdout_has("Doubtful: ").stdout_has("Removed 1 crate");
    assert!(mirror.join("crates/d-1.0.0.crate").exists() && mirror.join("crates/c-1.0.0.crate").exists());
    let lineage = BundleBuilder::new("a", 1).lineage().to_owned();
    let accept = ["gc", "--mirror", "mirror", "--grace", "0", "--accept", &lineage];
    sandbox.run(accept).ok().stdout_has("Removed 1 crate");
    // One that was late is late, and nothing is said of it.
    let late = BundleBuilder::new("a", 3).read_at(50).ship(simple_crate("c")).write(&desk, "late.pkg");
    let args = ["import".as_ref(), late.as_os_str(), "--mirror".as_ref(), mirror.as_os_str()];
    sandbox.run(args).ok().stderr_lacks("older copy");
}

#[test]
fn gc_removes_nothing_if_a_current_record_is_missing() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let first = BundleBuilder::new("a", 1).ship(simple_crate("a")).ship(simple_crate("b")).write(&desk, "one.pkg");
    let second = BundleBuilder::new("a", 2).ship(simple_crate("a")).write(&desk, "two.pkg");
    let third = BundleBuilder::new("a", 3).ship(simple_crate("a")).ship(simple_crate("b")).write(&desk, "three.pkg");
    for bundle in [first, second, third] {
        import(&mirror, &bundle).unwrap();
    }
    let layout = Layout::new(&mirror);
    let newest = ledger::record_names(&layout).unwrap().pop().unwrap();
    fs::remove_file(layout.ledger().join(&newest)).unwrap();
    for more in [&["--dry-run"][..], &[]] {
        let run = sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"].iter().chain(more)).exits(4);
        run.stderr_has(&newest).stderr_has("--rebuild-state");
    }
    assert!(mirror.join("crates/b-1.0.0.crate").exists());
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok().stdout_has("Removed 0 crates");
    assert!(mirror.join("crates/b-1.0.0.crate").exists());
}

#[test]
fn importing_a_bundle_again_replaces_its_corrupt_record() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let first = BundleBuilder::new("a", 1).ship(simple_crate("a")).write(&desk, "one.pkg");
    let second = BundleBuilder::new("a", 2).ship(simple_crate("a")).ship(simple_crate("b")).write(&desk, "two.pkg");
    import(&mirror, &first).unwrap();
    import(&mirror, &second).unwrap();
    let layout = Layout::new(&mirror);
    let names = ledger::record_names(&layout).unwrap();
    for damaged in &names {
        fs::write(layout.ledger().join(damaged), "{").unwrap();
    }
    let run = sandbox.run(["gc", "--mirror", "mirror"]).exits(4);
    run.stderr_has("mirror --rebuild-state`");
    for bundle in ["one.pkg", "two.pkg"] {
        let run = sandbox.run(["import", bundle, "--mirror", "mirror"]).ok();
        run.stderr_lacks("already imported").stderr_has("the record");
        sandbox.run(["import", bundle, "--mirror", "mirror"]).ok().stderr_has("already imported");
    }
    let numbers =
        ledger::record_names(&layout).unwrap().iter().map(|name| ledger::record_number(name)).collect::<Vec<_>>();
    assert_eq!(numbers, [Some(3), Some(4)]);
    for damaged in &names {
        assert_eq!(fs::read(mirror.join(".frostmirror/aside").join(damaged)).unwrap(), b"{");
    }
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    sandbox.run(["gc", "--mirror", "mirror"]).ok();
}

#[test]
fn a_lineage_missing_in_the_summary_is_reported_and_restored() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    for (lineage, name) in [("a", "a"), ("b", "b"), ("c", "c")] {
        let bundle = BundleBuilder::new(lineage, 1).ship(simple_crate(name)).write(&desk, "one.pkg");
        import(&mirror, &bundle).unwrap();
    }
    let text = fs::read_to_string(mirror.join("manifest.json")).unwrap();
    let mut head: serde_json::Value = serde_json::from_str(&text).unwrap();
    let lineages = head["lineages"].as_array_mut().unwrap();
    let id_of = |lineage: &serde_json::Value| lineage["id"].as_str().unwrap().to_owned();
    let (gone, forgotten) = (id_of(&lineages.remove(0)), id_of(&lineages[0]));
    fs::write(mirror.join("manifest.json"), head.to_string()).unwrap();
    let output = sandbox.run(["verify", "--mirror", "mirror"]).exits(4).stderr_has("--rebuild-state");
    assert!(output.stdout.contains(&gone) && output.stdout.lines().count() == 1, "{}", output.stdout);
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
    assert_eq!(fs::read_to_string(mirror.join("manifest.json")).unwrap(), text);
    // One that was let go is rightly not there.
    sandbox.run(["gc", "--mirror", "mirror", "--forget", &forgotten, "--grace", "0"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
    let text = fs::read_to_string(mirror.join("manifest.json")).unwrap();
    assert!(!text.contains(&forgotten) && text.contains(&gone), "{text}");
}

#[test]
fn a_folder_import_skips_invalid_bundles() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path("stick"), sandbox.path("mirror"));
    fs::create_dir(&folder).unwrap();
    let first = BundleBuilder::new("a", 1).ship(simple_crate("a")).write(&folder, "z.pkg");
    let second = BundleBuilder::new("a", 2)
        .with_crate(simple_crate("a"), CrateState::Sent)
        .ship(simple_crate("b"))
        .parent("z.pkg");
    second.write(&folder, "m.pkg");
    let orphan = BundleBuilder::new("b", 2)
        .with_crate(simple_crate("x"), CrateState::Sent)
        .ship(simple_crate("y"))
        .parent("lost.pkg");
    orphan.write(&folder, "orphan.pkg");
    let mut torn = fs::read(&first).unwrap();
    torn.truncate(torn.len() - 100);
    fs::write(folder.join("torn.pkg"), torn).unwrap();
    fs::write(folder.join("text.pkg"), "hello").unwrap();
    for _ in 0..2 {
        let run = sandbox.run(["import", "stick", "--mirror", "mirror"]).exits(4);
        let output = run.stderr_has("3 of 5 bundles").stderr;
        for name in ["orphan.pkg", "torn.pkg", "text.pkg", "lost.pkg"] {
            assert!(output.contains(name), "{name}: {output}");
        }
        assert_eq!(ledger::record_names(&Layout::new(&mirror)).unwrap().len(), 2);
        assert_consistent(&mirror);
    }
    // One alone is reported as usual.
    sandbox.run(["import", "stick/text.pkg", "--mirror", "mirror"]).exits(4).stderr_has("could not import text.pkg");
    // A disk that is full, or a mirror that is locked, is in the way of all of them.
    let _file = sandbox.write("file", "x");
    let run = sandbox.run(["import", "stick", "--mirror", "file/mirror"]);
    assert_eq!(run.code, 7, "{}", run.describe());
}

#[test]
fn a_delta_keeps_crates_that_wait_for_deletion() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let first = BundleBuilder::new("a", 1).ship(simple_crate("a")).ship(simple_crate("b")).write(&desk, "one.pkg");
    let second = BundleBuilder::new("a", 2)
        .with_crate(simple_crate("a"), CrateState::Sent)
        .parent("one.pkg")
        .write(&desk, "two.pkg");
    let third = BundleBuilder::new("a", 3)
        .with_crate(simple_crate("a"), CrateState::Sent)
        .with_crate(simple_crate("b"), CrateState::Sent);
    let third = third.parent("two.pkg").write(&desk, "three.pkg");
    import(&mirror, &first).unwrap();
    import(&mirror, &second).unwrap();
    let waiting = sandbox.run(["gc", "--mirror", "mirror", "--grace", "1h"]).ok();
    waiting.stdout_has("To remove: 1 index line\n").stdout_has("by a later run");
    import(&mirror, &third).unwrap();
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok().stdout_has("Removed 0 crates");
    assert!(mirror.join("crates/b-1.0.0.crate").exists());
    assert!(!Layout::new(&mirror).pending_deletions().exists());
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn a_folder_at_a_crate_path_is_reported_with_a_hint() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let first = BundleBuilder::new("a", 1).ship(simple_crate("a")).write(&desk, "one.pkg");
    import(&mirror, &first).unwrap();
    let place = mirror.join("crates/a-1.0.0.crate");
    fs::remove_file(&place).unwrap();
    fs::create_dir(&place).unwrap();
    let run = sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).exits(7);
    run.stderr_has("a-1.0.0.crate").stderr_has("hint: ");
    fs::remove_dir(&place).unwrap();
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn a_symlinked_crate_is_not_accepted_as_a_base() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let first = BundleBuilder::new("a", 1).ship(simple_crate("a")).write(&desk, "one.pkg");
    import(&mirror, &first).unwrap();
    let (place, elsewhere) = (mirror.join("crates/a-1.0.0.crate"), sandbox.path("elsewhere"));
    fs::rename(&place, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &place).unwrap();
    let delta = BundleBuilder::new("a", 2)
        .with_crate(simple_crate("a"), CrateState::Sent)
        .ship(simple_crate("b"))
        .parent("one.pkg");
    delta.write(&desk, "two.pkg");
    // A server gives no link away that leaves the mirror.
    sandbox.run(["import", "two.pkg", "--mirror", "mirror"]).exits(4).stderr_has("a 1.0.0").stderr_has("one.pkg");
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    sandbox.run(["import", "two.pkg", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn missing_crates_of_another_input_are_reported() {
    let sandbox = Sandbox::new();
    let desk = sandbox.path("");
    let bundle = BundleBuilder::new("a", 3)
        .ship(simple_crate("a"))
        .with_crate(simple_crate("kept"), CrateState::Kept)
        .write(&desk, "three.pkg");
    let run = sandbox.run(["import", "three.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("warning: ").stderr_has("kept 1.0.0").stderr_has("--base");
    let other = BundleBuilder::new("a", 2).ship(simple_crate("kept")).write(&desk, "two.pkg");
    import(&sandbox.path("mirror"), &other).unwrap();
    import(&sandbox.path("mirror"), &bundle).unwrap();
    sandbox.run(["import", "three.pkg", "--mirror", "mirror"]).ok().stderr_lacks("warning");
}

#[test]
fn a_bundle_dated_in_the_future_is_reported() {
    let sandbox = Sandbox::new();
    let desk = sandbox.path("");
    let year = 366 * 24 * 60 * 60;
    BundleBuilder::new("a", 1).read_at(300 * year).ship(simple_crate("a")).write(&desk, "future.pkg");
    let run = sandbox.run(["import", "future.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("warning: ").stderr_has("clock");
}

#[test]
fn an_empty_environment_variable_counts_as_unset() {
    let sandbox = Sandbox::new();
    let desk = sandbox.path("");
    BundleBuilder::new("a", 1).ship(simple_crate("a")).write(&desk, "one.pkg");
    let names = ["OUTPUT", "BASE_URL", "BIND", "MIRROR", "INCOMING", "CONFIG_DIR"];
    let empty = names.map(|name| (format!("FROSTMIRROR_{name}"), ""));
    let run = |args: &[&str]| sandbox.process(args).envs(empty.clone()).run();
    run(&["import", "one.pkg"]).ok();
    assert!(sandbox.frostmirror_home().join("mirror/crates/a-1.0.0.crate").exists());
    run(&["status"]).ok().stdout_has("Crate count: 1");
    run(&["fetch"]).exits(3).stderr_has("nothing to fetch");
}

#[test]
fn a_hostile_file_name_neither_forges_a_line_nor_controls_the_terminal() {
    let sandbox = Sandbox::new();
    let name = "odd\u{1b}[31m\nTo remove: 0 index lines.pkg";
    BundleBuilder::new("a", 1).ship(simple_crate("a")).write(&sandbox.path(""), name);
    sandbox.run(["import", name, "--mirror", "mirror"]).ok();
    let plan = sandbox.run(["gc", "--mirror", "mirror"]).ok().stdout;
    assert_eq!(plan.matches("\nTo remove: ").count(), 2, "{plan}");
}

#[test]
fn wrong_numbers_in_the_summary_do_not_stop_an_import() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    import(&mirror, &BundleBuilder::new("a", 1).ship(simple_crate("a")).write(&desk, "one.pkg")).unwrap();
    let text = fs::read_to_string(mirror.join("manifest.json")).unwrap();
    let huge = ["crates", "versions", "bytes", "imports"].iter().fold(text, |text, key| {
        let (before, after) = text.split_once(&format!("\"{key}\": ")).unwrap();
        let rest = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
        format!("{before}\"{key}\": {}{rest}", u64::MAX)
    });
    fs::write(mirror.join("manifest.json"), huge).unwrap();
    fs::write(Layout::new(&mirror).ledger().join(format!("{}-x.json", u64::MAX)), "{}").unwrap();
    BundleBuilder::new("a", 2).ship(simple_crate("a")).ship(simple_crate("b")).write(&desk, "two.pkg");
    sandbox.run(["import", "two.pkg", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).exits(4).stdout_has("manifest.json: states ");
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok().stdout_has("OK -- 2 crates");
}

#[test]
fn a_rebuild_does_not_count_as_an_import_time() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    import(&mirror, &BundleBuilder::new("a", 1).ship(simple_crate("a")).write(&desk, "one.pkg")).unwrap();
    import(&mirror, &BundleBuilder::new("a", 2).ship(simple_crate("b")).write(&desk, "two.pkg")).unwrap();
    let layout = Layout::new(&mirror);
    let newest = ledger::record_names(&layout).unwrap().pop().unwrap();
    fs::write(layout.ledger().join(newest), "{").unwrap();
    let last = |code| {
        let run = sandbox.run(["status", "--mirror", "mirror"]).exits(code);
        run.stdout.lines().nth(2).map(str::to_owned)
    };
    let before = last(4);
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
    assert_eq!(last(0), before);
}
