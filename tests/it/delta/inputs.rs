//! Several inputs of one history: what belongs to one is never taken from the other.

use frostmirror::bundle::format::CrateState;

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
    // With a fetch, and by a flag's name; and what comes back comes anew.
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
