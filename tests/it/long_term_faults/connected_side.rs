//! The same on the connected side.

use frostmirror::bundle::format::CrateState;

use crate::delta::{ConnectedSide, crates_in_state, read_manifest};
use crate::support::upstream::Fault;

const CRATES: [(&str, &str); 3] = [("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.0.0")];

#[test]
fn one_path_in_different_spellings_is_one_input() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("depends.toml", &[("a", "1.0.0")]);
    near.sandbox.write("below/x", "");
    near.fetch(&["--incremental"]);
    for path in ["depends.toml", "./depends.toml", "below/../depends.toml", ".//./depends.toml"] {
        near.fetch_without_changes(&["--incremental", "-c", path]);
    }
    near.write_depends("depends.toml", &[("b", "1.0.0")]);
    let bundle = near.fetch(&["--incremental", "-c", "below/../depends.toml"]);
    assert_eq!(read_manifest(&bundle).lineage.inputs.len(), 1);
    near.write_depends("other.toml", &[("c", "1.0.0")]);
    near.fetch(&["--incremental", "-c", "./other.toml", "--forget", "below/.././depends.toml"]);
}

#[test]
fn a_missing_input_is_named_with_a_hint_to_forget_it() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("old.toml", &[("a", "1.0.0"), ("b", "1.0.0")]);
    near.fetch(&["--incremental", "-c", "old.toml"]);
    let (old, new) = (near.sandbox.path("old.toml"), near.sandbox.path("new.toml"));
    std::fs::rename(&old, &new).unwrap();
    let run = near.run_fetch(&["--incremental", "-c", "new.toml"]).ok().stderr_lacks("warning: ");
    near.process(&["history"])
        .run()
        .ok()
        .stderr_has("warning: ")
        .stderr_has("history forget 'desk-old (depends.toml)'");
    let contents = read_manifest(&run.path());
    assert_eq!((contents.lineage.inputs.len(), crates_in_state(&contents, CrateState::Sent).len()), (2, 2));
    let run = near.run_fetch(&["--incremental", "-c", "new.toml", "--forget", old.to_str().unwrap()]).ok();
    assert_eq!(read_manifest(&run.stderr_lacks("warning").path()).lineage.inputs.len(), 1);
}

#[test]
fn a_clock_that_went_back_is_reported() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("depends.toml", &[("a", "1.0.0")]);
    near.fetch(&["--incremental"]);
    near.write_depends("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0")]);
    let back = near.process(&["fetch", "--incremental"]).envs([("SOURCE_DATE_EPOCH", "1700000000")]).run().ok();
    back.stderr_has("warning: ").stderr_has("clock");
}

#[test]
fn a_bundle_of_another_history_is_refused_as_a_base() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("depends.toml", &[("a", "1.0.0")]);
    let other = near.process(&["fetch"]).envs([("FROSTMIRROR_HISTORY", "elsewhere")]).run().ok().path();
    near.fetch(&["--incremental"]);
    near.write_depends("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0")]);
    let id = read_manifest(&other).id;
    for base in [other.to_str().unwrap(), &id] {
        near.run_fetch(&["--base", base]).exits(3).stderr_has(&id).stderr_has("hint: ");
    }
}

#[test]
fn a_retry_wait_is_reported_as_progress() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("depends.toml", &[("a", "1.0.0")]);
    near.upstream.fault(&near.upstream.download_path("a", "1.0.0"), [Fault::TooManyRequests(2)]);
    let run = near.run_fetch(&[]).ok();
    run.stderr_has("    Retrying http://").stderr_has("HTTP 429").stderr_lacks("error");
}
