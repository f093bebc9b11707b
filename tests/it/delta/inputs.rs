//! Several inputs of one history: what belongs to one is never taken from the other.

use frostmirror::bundle::format::CrateState;

use super::{Near, assert_delta, in_state, manifest};
use crate::import_bundle::{assert_sound, import};

const CRATES: [(&str, &str); 3] = [("a", "1.0.0"), ("both", "1.0.0"), ("c", "1.0.0")];

#[test]
fn two_inputs_share_what_was_sent_and_keep_each_other_current() {
    let near = Near::new(&CRATES);
    near.needs("one.toml", &[("a", "1.0.0"), ("both", "1.0.0")]);
    near.needs("two.toml", &[("both", "1.0.0"), ("c", "1.0.0")]);
    let first = near.fetch(&["--incremental", "-c", "one.toml"]);
    let second = near.fetch(&["--incremental", "-c", "two.toml"]);
    let said = assert_delta(&second, &first, &["c 1.0.0"], &["both 1.0.0"]);
    assert_eq!(in_state(&said, CrateState::Kept), ["a 1.0.0"]);
    let names: Vec<&str> = said.lineage.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, ["desk-one (depends.toml)", "desk-two (depends.toml)"]);
    near.fetch_nothing(&["--incremental", "-c", "one.toml"]);
    near.fetch_nothing(&["--incremental", "-c", "two.toml"]);
    // What one gives up and the other needs stays.
    near.needs("one.toml", &[("a", "1.0.0")]);
    let third = near.fetch(&["--incremental", "-c", "one.toml"]);
    let said = assert_delta(&third, &second, &[], &["a 1.0.0"]);
    assert_eq!(in_state(&said, CrateState::Kept), ["both 1.0.0", "c 1.0.0"]);
    let mirror = near.sandbox.path("mirror");
    for bundle in [&first, &second, &third] {
        import(&mirror, bundle).unwrap();
    }
    assert_sound(&mirror);
    // An input that needs nothing new is news all the same: it must outlive the other.
    near.needs("three.toml", &[("a", "1.0.0")]);
    let fourth = near.fetch(&["--incremental", "-c", "three.toml"]);
    assert_eq!(assert_delta(&fourth, &third, &[], &["a 1.0.0"]).lineage.inputs.len(), 3);
}

#[test]
fn a_forgotten_input_is_news_and_its_crates_are_no_longer_named() {
    let near = Near::new(&CRATES);
    near.needs("one.toml", &[("a", "1.0.0"), ("both", "1.0.0")]);
    near.needs("two.toml", &[("both", "1.0.0"), ("c", "1.0.0")]);
    near.fetch(&["--incremental", "-c", "one.toml"]);
    let second = near.fetch(&["--incremental", "-c", "two.toml"]);
    near.run(&["--forget", "three.toml"]).exits(3).stderr_has("desk-one").stderr_has("desk-two");
    near.run(&["-c", "one.toml", "--forget", "desk-one"]).exits(3).stderr_has("desk-one");
    let third = near.fetch(&["--incremental", "--forget", "one.toml"]);
    let said = assert_delta(&third, &second, &[], &[]);
    assert_eq!(in_state(&said, CrateState::Kept), ["both 1.0.0", "c 1.0.0"]);
    assert_eq!(said.lineage.inputs.len(), 1);
    // With a fetch, and by a flag's name; and what comes back comes anew.
    let fourth = near.fetch(&["--incremental", "--crate", "a@=1.0.0"]);
    assert_delta(&fourth, &third, &["a 1.0.0"], &[]);
    let fifth = near.fetch(&["-c", "two.toml", "--forget", "--crate a@=1.0.0"]);
    assert_eq!(in_state(&manifest(&fifth), CrateState::Shipped), ["both 1.0.0", "c 1.0.0"]);
    assert_eq!(manifest(&fifth).crates.len(), 2);
    // The last one may go as well.
    let last = near.fetch(&["--forget", "two.toml"]);
    assert!(manifest(&last).crates.is_empty());
    near.sandbox.run(["import".as_ref(), last.as_os_str(), "--mirror".as_ref(), "mirror".as_ref()]).ok();
}

#[test]
fn each_destination_has_a_history_of_its_own() {
    let near = Near::new(&CRATES);
    near.needs("depends.toml", &[("a", "1.0.0")]);
    near.fetch(&["--incremental"]);
    let there = near.sandbox.path("there");
    let run = near.process(&["fetch", "--incremental"]).envs([("FROSTMIRROR_HISTORY", &there)]).run().ok();
    let other = manifest(&run.stderr_has("full one").path());
    assert_eq!(in_state(&other, CrateState::Shipped), ["a 1.0.0"]);
    assert_eq!(other.lineage.sequence, 1);
    near.fetch_nothing(&["--incremental"]);
}
