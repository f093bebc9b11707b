//! What goes wrong over the years: restored backups, lost records, moved projects, clocks that are wrong.

mod fetching;

use std::fs;

use frostmirror::bundle::format::CrateState;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;

use crate::import_bundle::{Make, assert_sound, import};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

fn one(name: &str) -> Crate {
    Crate::new(name, "1.0.0")
}

#[test]
fn a_history_that_was_restored_from_a_backup_loses_nothing_to_gc() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    for (sequence, name) in [(4, "a"), (5, "b")] {
        let bundle = Make::new("a", sequence).ship(one(name)).write(&desk, "one.pkg");
        import(&mirror, &bundle).unwrap();
    }
    // The history's folder is as it was after number 1: its numbers come again, with other content.
    let again = Make::new("a", 2).read(100).ship(one("c")).write(&desk, "again.pkg");
    let words = ["import".as_ref(), again.as_os_str(), "--mirror".as_ref(), mirror.as_os_str()];
    sandbox.run(words).ok().stderr_has("warning: ").stderr_has("older copy");
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
    assert!(mirror.join("crates/c-1.0.0.crate").exists());
    // Nobody knows which of the two is right.
    assert!(mirror.join("crates/b-1.0.0.crate").exists());
    assert!(!mirror.join("crates/a-1.0.0.crate").exists());
    assert_sound(&mirror);
    // A bundle that is later by number and by time than both is alone again.
    let sixth = Make::new("a", 6).read(200).ship(one("d")).write(&desk, "sixth.pkg");
    import(&mirror, &sixth).unwrap();
    let plan = sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
    plan.stdout_has("Removed 2 crates");
    assert!(mirror.join("crates/d-1.0.0.crate").exists());
    // One that was late is late, and nothing is said of it.
    let late = Make::new("a", 3).read(50).ship(one("c")).write(&desk, "late.pkg");
    let words = ["import".as_ref(), late.as_os_str(), "--mirror".as_ref(), mirror.as_os_str()];
    sandbox.run(words).ok().stderr_lacks("older copy");
}

#[test]
fn gc_removes_nothing_where_a_record_that_counts_is_gone() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let first = Make::new("a", 1).ship(one("a")).ship(one("b")).write(&desk, "one.pkg");
    let second = Make::new("a", 2).ship(one("a")).write(&desk, "two.pkg");
    let third = Make::new("a", 3).ship(one("a")).ship(one("b")).write(&desk, "three.pkg");
    for bundle in [first, second, third] {
        import(&mirror, &bundle).unwrap();
    }
    let layout = Layout::new(&mirror);
    let newest = ledger::names(&layout).unwrap().pop().unwrap();
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
fn a_damaged_record_is_written_anew_by_its_bundle() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let first = Make::new("a", 1).ship(one("a")).write(&desk, "one.pkg");
    let second = Make::new("a", 2).ship(one("a")).ship(one("b")).write(&desk, "two.pkg");
    import(&mirror, &first).unwrap();
    import(&mirror, &second).unwrap();
    let layout = Layout::new(&mirror);
    let names = ledger::names(&layout).unwrap();
    for damaged in &names {
        fs::write(layout.ledger().join(damaged), "{").unwrap();
    }
    let run = sandbox.run(["gc", "--mirror", "mirror"]).exits(4);
    run.stderr_has("cargo frostmirror verify --mirror DIR --rebuild-state");
    for bundle in ["one.pkg", "two.pkg"] {
        let run = sandbox.run(["import", bundle, "--mirror", "mirror"]).ok();
        run.stderr_lacks("already imported").stderr_has("the record");
        sandbox.run(["import", bundle, "--mirror", "mirror"]).ok().stderr_has("already imported");
    }
    assert_eq!(ledger::names(&layout).unwrap(), names);
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    sandbox.run(["gc", "--mirror", "mirror"]).ok();
}

#[test]
fn a_lineage_that_the_head_does_not_name_is_told_and_put_back() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    for (lineage, name) in [("a", "a"), ("b", "b"), ("c", "c")] {
        let bundle = Make::new(lineage, 1).ship(one(name)).write(&desk, "one.pkg");
        import(&mirror, &bundle).unwrap();
    }
    let text = fs::read_to_string(mirror.join("manifest.json")).unwrap();
    let mut head: serde_json::Value = serde_json::from_str(&text).unwrap();
    let lineages = head["lineages"].as_array_mut().unwrap();
    let id_of = |lineage: &serde_json::Value| lineage["id"].as_str().unwrap().to_owned();
    let (gone, forgotten) = (id_of(&lineages.remove(0)), id_of(&lineages[0]));
    fs::write(mirror.join("manifest.json"), head.to_string()).unwrap();
    let told = sandbox.run(["verify", "--mirror", "mirror"]).exits(4).stderr_has("--rebuild-state");
    assert!(told.stdout.contains(&gone) && told.stdout.lines().count() == 1, "{}", told.stdout);
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
fn a_folder_of_bundles_with_bad_ones_is_imported_but_for_those() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path("stick"), sandbox.path("mirror"));
    fs::create_dir(&folder).unwrap();
    let first = Make::new("a", 1).ship(one("a")).write(&folder, "z.pkg");
    let second = Make::new("a", 2).with(one("a"), CrateState::Sent).ship(one("b")).parent("z.pkg");
    second.write(&folder, "m.pkg");
    let orphan = Make::new("b", 2).with(one("x"), CrateState::Sent).ship(one("y")).parent("lost.pkg");
    orphan.write(&folder, "orphan.pkg");
    let mut torn = fs::read(&first).unwrap();
    torn.truncate(torn.len() - 100);
    fs::write(folder.join("torn.pkg"), torn).unwrap();
    fs::write(folder.join("text.pkg"), "hello").unwrap();
    for _ in 0..2 {
        let run = sandbox.run(["import", "stick", "--mirror", "mirror"]).exits(4);
        let said = run.stderr_has("3 of 5 bundles").stderr;
        for name in ["orphan.pkg", "torn.pkg", "text.pkg", "lost.pkg"] {
            assert!(said.contains(name), "{name}: {said}");
        }
        assert_eq!(ledger::names(&Layout::new(&mirror)).unwrap().len(), 2);
        assert_sound(&mirror);
    }
    // One alone is told as ever.
    sandbox.run(["import", "stick/text.pkg", "--mirror", "mirror"]).exits(4).stderr_has("could not import text.pkg");
    // A disk that is full, or a mirror that is locked, is in the way of all of them.
    let _file = sandbox.write("file", "x");
    let run = sandbox.run(["import", "stick", "--mirror", "file/mirror"]);
    assert_eq!(run.code, 7, "{}", run.told());
}

#[test]
fn a_delta_keeps_what_waits_for_its_removal() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let first = Make::new("a", 1).ship(one("a")).ship(one("b")).write(&desk, "one.pkg");
    let second = Make::new("a", 2).with(one("a"), CrateState::Sent).parent("one.pkg").write(&desk, "two.pkg");
    let third = Make::new("a", 3).with(one("a"), CrateState::Sent).with(one("b"), CrateState::Sent);
    let third = third.parent("two.pkg").write(&desk, "three.pkg");
    import(&mirror, &first).unwrap();
    import(&mirror, &second).unwrap();
    let waiting = sandbox.run(["gc", "--mirror", "mirror", "--grace", "1h"]).ok();
    waiting.stdout_has("To remove: 1 index line\n").stdout_has("by a later run");
    import(&mirror, &third).unwrap();
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok().stdout_has("Removed 0 crates");
    assert!(mirror.join("crates/b-1.0.0.crate").exists());
    assert!(!Layout::new(&mirror).removals().exists());
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn a_folder_in_a_crates_place_is_told_with_what_to_do() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let first = Make::new("a", 1).ship(one("a")).write(&desk, "one.pkg");
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
fn what_a_link_leads_to_is_no_base() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let first = Make::new("a", 1).ship(one("a")).write(&desk, "one.pkg");
    import(&mirror, &first).unwrap();
    let (place, elsewhere) = (mirror.join("crates/a-1.0.0.crate"), sandbox.path("elsewhere"));
    fs::rename(&place, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &place).unwrap();
    let delta = Make::new("a", 2).with(one("a"), CrateState::Sent).ship(one("b")).parent("one.pkg");
    delta.write(&desk, "two.pkg");
    // A server gives no link away that leaves the mirror.
    sandbox.run(["import", "two.pkg", "--mirror", "mirror"]).exits(4).stderr_has("a 1.0.0").stderr_has("one.pkg");
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    sandbox.run(["import", "two.pkg", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn what_another_input_needs_and_never_came_is_told() {
    let sandbox = Sandbox::new();
    let desk = sandbox.path("");
    let bundle = Make::new("a", 3).ship(one("a")).with(one("kept"), CrateState::Kept).write(&desk, "three.pkg");
    let run = sandbox.run(["import", "three.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("warning: ").stderr_has("kept 1.0.0").stderr_has("--base");
    let other = Make::new("a", 2).ship(one("kept")).write(&desk, "two.pkg");
    import(&sandbox.path("mirror"), &other).unwrap();
    import(&sandbox.path("mirror"), &bundle).unwrap();
    sandbox.run(["import", "three.pkg", "--mirror", "mirror"]).ok().stderr_lacks("warning");
}

#[test]
fn a_bundle_from_the_future_is_told_of() {
    let sandbox = Sandbox::new();
    let desk = sandbox.path("");
    let year = 366 * 24 * 60 * 60;
    Make::new("a", 1).read(300 * year).ship(one("a")).write(&desk, "future.pkg");
    let run = sandbox.run(["import", "future.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("warning: ").stderr_has("clock");
}

#[test]
fn an_empty_variable_is_as_good_as_none() {
    let sandbox = Sandbox::new();
    let desk = sandbox.path("");
    Make::new("a", 1).ship(one("a")).write(&desk, "one.pkg");
    let names = ["OUTPUT", "BASE_URL", "BIND", "MIRROR", "INCOMING", "CONFIG_DIR"];
    let empty = names.map(|name| (format!("FROSTMIRROR_{name}"), ""));
    let run = |words: &[&str]| sandbox.process(words).envs(empty.clone()).run();
    run(&["import", "one.pkg"]).ok();
    assert!(sandbox.frostmirror_home().join("mirror/crates/a-1.0.0.crate").exists());
    run(&["status"]).ok().stdout_has("Crate count: 1");
    run(&["fetch"]).exits(3).stderr_has("nothing to fetch");
}

#[test]
fn a_files_name_forges_no_line_of_a_plan_and_steers_no_terminal() {
    let sandbox = Sandbox::new();
    let name = "odd\u{1b}[31m\nTo remove: 0 index lines.pkg";
    Make::new("a", 1).ship(one("a")).write(&sandbox.path(""), name);
    sandbox.run(["import", name, "--mirror", "mirror"]).ok();
    let plan = sandbox.run(["gc", "--mirror", "mirror"]).ok().stdout;
    assert_eq!(plan.matches("\nTo remove: ").count(), 2, "{plan}");
}

#[test]
fn a_head_with_any_numbers_stops_no_import() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    import(&mirror, &Make::new("a", 1).ship(one("a")).write(&desk, "one.pkg")).unwrap();
    let text = fs::read_to_string(mirror.join("manifest.json")).unwrap();
    let huge = ["crates", "versions", "bytes", "imports"].iter().fold(text, |text, key| {
        let (before, after) = text.split_once(&format!("\"{key}\": ")).unwrap();
        let rest = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
        format!("{before}\"{key}\": {}{rest}", u64::MAX)
    });
    fs::write(mirror.join("manifest.json"), huge).unwrap();
    fs::write(Layout::new(&mirror).ledger().join(format!("{}-x.json", u64::MAX)), "{}").unwrap();
    Make::new("a", 2).ship(one("a")).ship(one("b")).write(&desk, "two.pkg");
    sandbox.run(["import", "two.pkg", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).exits(4).stdout_has("manifest.json: says ");
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok().stdout_has("OK -- 2 crates");
}

#[test]
fn when_records_were_rebuilt_is_no_time_of_an_import() {
    let sandbox = Sandbox::new();
    let (desk, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    import(&mirror, &Make::new("a", 1).ship(one("a")).write(&desk, "one.pkg")).unwrap();
    import(&mirror, &Make::new("a", 2).ship(one("b")).write(&desk, "two.pkg")).unwrap();
    let layout = Layout::new(&mirror);
    let newest = ledger::names(&layout).unwrap().pop().unwrap();
    fs::write(layout.ledger().join(newest), "{").unwrap();
    let last = || sandbox.run(["status", "--mirror", "mirror"]).ok().stdout.lines().nth(2).map(str::to_owned);
    let before = last();
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
    assert_eq!(last(), before);
}
