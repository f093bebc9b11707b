//! The same on the connected side.

use frostmirror::bundle::format::CrateState;

use crate::delta::{Near, in_state, manifest};
use crate::support::upstream::Fault;

const LINES: [(&str, &str); 3] = [("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.0.0")];

#[test]
fn a_path_is_one_input_however_it_is_written() {
    let near = Near::new(&LINES);
    near.needs("depends.toml", &[("a", "1.0.0")]);
    near.sandbox.write("below/x", "");
    near.fetch(&["--incremental"]);
    for path in ["depends.toml", "./depends.toml", "below/../depends.toml", ".//./depends.toml"] {
        near.fetch_nothing(&["--incremental", "-c", path]);
    }
    near.needs("depends.toml", &[("b", "1.0.0")]);
    let bundle = near.fetch(&["--incremental", "-c", "below/../depends.toml"]);
    assert_eq!(manifest(&bundle).lineage.inputs.len(), 1);
    near.needs("other.toml", &[("c", "1.0.0")]);
    near.fetch(&["--incremental", "-c", "./other.toml", "--forget", "below/.././depends.toml"]);
}

#[test]
fn an_input_that_is_gone_is_named_with_how_to_retire_it() {
    let near = Near::new(&LINES);
    near.needs("old.toml", &[("a", "1.0.0"), ("b", "1.0.0")]);
    near.fetch(&["--incremental", "-c", "old.toml"]);
    let (old, new) = (near.sandbox.path("old.toml"), near.sandbox.path("new.toml"));
    std::fs::rename(&old, &new).unwrap();
    let run = near.run(&["--incremental", "-c", "new.toml"]).ok();
    let run = run.stderr_has("warning: ").stderr_has("--forget 'desk-old (depends.toml)'");
    let said = manifest(&run.path());
    assert_eq!((said.lineage.inputs.len(), in_state(&said, CrateState::Sent).len()), (2, 2));
    let run = near.run(&["--incremental", "-c", "new.toml", "--forget", old.to_str().unwrap()]).ok();
    assert_eq!(manifest(&run.stderr_lacks("warning").path()).lineage.inputs.len(), 1);
}

#[test]
fn a_clock_that_went_back_is_told_of() {
    let near = Near::new(&LINES);
    near.needs("depends.toml", &[("a", "1.0.0")]);
    near.fetch(&["--incremental"]);
    near.needs("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0")]);
    let back = near.process(&["fetch", "--incremental"]).envs([("SOURCE_DATE_EPOCH", "1700000000")]).run().ok();
    back.stderr_has("warning: ").stderr_has("clock");
}

#[test]
fn a_bundle_of_another_history_is_no_base() {
    let near = Near::new(&LINES);
    near.needs("depends.toml", &[("a", "1.0.0")]);
    let other = near.process(&["fetch"]).envs([("FROSTMIRROR_HISTORY", "elsewhere")]).run().ok().path();
    near.fetch(&["--incremental"]);
    near.needs("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0")]);
    let id = manifest(&other).id;
    for base in [other.to_str().unwrap(), &id] {
        near.run(&["--base", base]).exits(3).stderr_has(&id).stderr_has("hint: ");
    }
}

#[test]
fn a_wait_is_no_standstill() {
    let near = Near::new(&LINES);
    near.needs("depends.toml", &[("a", "1.0.0")]);
    near.upstream.fault(&near.upstream.download_path("a", "1.0.0"), [Fault::TooMany(2)]);
    let run = near.run(&[]).ok();
    run.stderr_has("Retrying in ").stderr_has("HTTP 429").stderr_lacks("error");
}
