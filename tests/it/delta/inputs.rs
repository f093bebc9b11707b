//! Several inputs of one history: what belongs to one is never taken from the other.

use frostmirror::bundle::format::{BundleKind, CrateState};

use super::{ConnectedSide, assert_delta, crates_in_state, read_manifest};
use crate::bundle_builder::{assert_consistent, import};

const CRATES: [(&str, &str); 3] = [("a", "1.0.0"), ("both", "1.0.0"), ("c", "1.0.0")];

#[test]
fn two_inputs_share_sent_crates_and_keep_each_others_needs() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("one.toml", &[("a", "1.0.0"), ("both", "1.0.0")]);
    near.write_depends("two.toml", &[("both", "1.0.0"), ("c", "1.0.0")]);
    let first = near.fetch(&["--incremental", "-c", "one.toml"]);
    let second = near.fetch(&["--incremental", "-c", "two.toml"]);
    let contents = assert_delta(&second, &first, &["c 1.0.0"], &["both 1.0.0"]);
    assert_eq!(crates_in_state(&contents, CrateState::Kept), ["a 1.0.0"]);
    let names: Vec<&str> = contents.lineage.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, ["desk-one (depends.toml)", "desk-two (depends.toml)"]);
    near.fetch_without_changes(&["--incremental", "-c", "one.toml"]);
    near.fetch_without_changes(&["--incremental", "-c", "two.toml"]);
    // What one gives up and the other needs stays.
    near.write_depends("one.toml", &[("a", "1.0.0")]);
    let third = near.fetch(&["--incremental", "-c", "one.toml"]);
    let contents = assert_delta(&third, &second, &[], &["a 1.0.0"]);
    assert_eq!(crates_in_state(&contents, CrateState::Kept), ["both 1.0.0", "c 1.0.0"]);
    let mirror = near.sandbox.path("mirror");
    for bundle in [&first, &second, &third] {
        import(&mirror, bundle).unwrap();
    }
    assert_consistent(&mirror);
    // An input that needs nothing new is news all the same: it must outlive the other.
    near.write_depends("three.toml", &[("a", "1.0.0")]);
    let fourth = near.fetch(&["--incremental", "-c", "three.toml"]);
    assert_eq!(assert_delta(&fourth, &third, &[], &["a 1.0.0"]).lineage.inputs.len(), 3);
}

#[test]
fn forgetting_an_input_writes_a_bundle_without_its_crates() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("one.toml", &[("a", "1.0.0"), ("both", "1.0.0")]);
    near.write_depends("two.toml", &[("both", "1.0.0"), ("c", "1.0.0")]);
    near.fetch(&["--incremental", "-c", "one.toml"]);
    let second = near.fetch(&["--incremental", "-c", "two.toml"]);
    near.run_fetch(&["--forget", "three.toml"]).exits(3).stderr_has("desk-one").stderr_has("desk-two");
    near.run_fetch(&["-c", "one.toml", "--forget", "desk-one"]).exits(3).stderr_has("desk-one");
    let third = near.fetch(&["--incremental", "--forget", "one.toml"]);
    let contents = assert_delta(&third, &second, &[], &[]);
    assert_eq!(crates_in_state(&contents, CrateState::Kept), ["both 1.0.0", "c 1.0.0"]);
    assert_eq!(contents.lineage.inputs.len(), 1);
    // Forgetting works in a fetch, and by the label of a crate; a forgotten input that returns is sent again.
    let fourth = near.fetch(&["--incremental", "--crate", "a@=1.0.0"]);
    assert_delta(&fourth, &third, &["a 1.0.0"], &[]);
    let fifth = near.fetch(&["-c", "two.toml", "--forget", "--crate a@=1.0.0"]);
    assert_eq!(crates_in_state(&read_manifest(&fifth), CrateState::Shipped), ["both 1.0.0", "c 1.0.0"]);
    assert_eq!(read_manifest(&fifth).crates.len(), 2);
    // The last one may go as well.
    let last = near.fetch(&["--forget", "two.toml"]);
    assert!(read_manifest(&last).crates.is_empty());
    near.sandbox.run(["import".as_ref(), last.as_os_str(), "--mirror".as_ref(), "mirror".as_ref()]).ok();
}

#[test]
fn a_run_says_which_inputs_it_forgets() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("one.toml", &[("a", "1.0.0"), ("both", "1.0.0")]);
    near.write_depends("two.toml", &[("both", "1.0.0"), ("c", "1.0.0")]);
    near.fetch(&["-c", "one.toml"]);
    near.fetch(&["-c", "two.toml"]);
    for mode in [&["--incremental"][..], &[]] {
        let planned = near.run_fetch(&[mode, &["--dry-run", "--forget", "one.toml"]].concat()).ok();
        assert_eq!(planned.stdout, "");
        let planned = planned.stderr_has("Planned to forget `desk-one (depends.toml)`");
        planned.stderr_has("Planned a bundle without files: 1 crate is no longer needed; nothing was written\n");
        let run = near.run_fetch(&[mode, &["--dry-run", "--forget", "one.toml", "--message-format", "json"]].concat());
        let lines = run.ok().stdout;
        let plan = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let plan = plan.into_iter().find(|line| line["reason"] == "plan").unwrap();
        assert_eq!(
            (&plan["writes_bundle"], &plan["forgotten"], &plan["dropped_crates"]),
            (&true.into(), &serde_json::json!(["desk-one (depends.toml)"]), &1.into())
        );
        near.run_fetch(&[mode, &["--dry-run", "--forget", "absent"]].concat())
            .exits(3)
            .stderr_has("has no input `absent`");
    }
    let run = near.run_fetch(&["--incremental", "--forget", "desk-one"]).ok();
    run.stderr_has(
        "Forgot `desk-one (depends.toml)`; after the import of this bundle, `gc` removes the files that only it needed",
    );
}

#[test]
fn an_empty_base_ships_everything_that_the_history_needs() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("one.toml", &[("a", "1.0.0"), ("both", "1.0.0")]);
    near.write_depends("two.toml", &[("both", "1.0.0"), ("c", "1.0.0")]);
    near.fetch(&["-c", "one.toml"]);
    let second = near.fetch(&["--incremental", "-c", "two.toml"]);
    // The first bundle was lost before any import, so the delta is refused with this command.
    let mirror = near.sandbox.path("mirror");
    let import_verb = ["import".as_ref(), second.as_os_str(), "--mirror".as_ref(), mirror.as_os_str()];
    near.sandbox.run(import_verb).exits(4).stderr_has("`cargo frostmirror fetch --base none` on the connected side");
    // It works as typed, also where nothing is to be fetched and the file of an input is gone.
    std::fs::remove_file(near.sandbox.path("one.toml")).unwrap();
    let everything = ["a 1.0.0", "both 1.0.0", "c 1.0.0"];
    for args in [&["--base", "none"][..], &["--base", "none", "-c", "two.toml"]] {
        let planned = near.run_fetch(&[args, &["--dry-run"]].concat()).ok();
        let named: Vec<&str> = planned.stdout.lines().filter_map(|line| line.get(13..)?.split("  ").next()).collect();
        assert_eq!(named, everything);
        let full = near.fetch(args);
        let contents = read_manifest(&full);
        assert_eq!(contents.kind, BundleKind::Full);
        assert_eq!(contents.parent, None);
        assert_eq!(crates_in_state(&contents, CrateState::Shipped), everything);
        assert_eq!(contents.lineage.inputs.len(), 2);
        import(&mirror, &full).unwrap();
    }
    assert_consistent(&mirror);
    near.write_depends("depends.toml", &[("c", "1.0.0")]);
    let next = near.fetch(&["--incremental"]);
    import(&mirror, &next).unwrap();
}

#[test]
fn each_destination_has_its_own_history() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("depends.toml", &[("a", "1.0.0")]);
    near.fetch(&["--incremental"]);
    let there = near.sandbox.path("there");
    let run = near.process(&["fetch", "--incremental"]).envs([("FROSTMIRROR_HISTORY", &there)]).run().ok();
    let other = read_manifest(&run.stderr_has("is full").path());
    assert_eq!(crates_in_state(&other, CrateState::Shipped), ["a 1.0.0"]);
    assert_eq!(other.lineage.sequence, 1);
    near.fetch_without_changes(&["--incremental"]);
}
