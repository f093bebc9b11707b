//! What a rerun reports after an import was killed. `crash` kills imports at every step.

use std::fs;

use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;

use crate::bundle_builder::{BundleBuilder, all_files, import};
use crate::support::crates::Crate;
use crate::support::process::SIGABRT;
use crate::support::sandbox::Sandbox;

fn first_bundle() -> BundleBuilder {
    BundleBuilder::new("a", 1).ship(Crate::new("json", "1.0.0")).ship(Crate::new("serde", "1.0.0").dep("json", "^1"))
}

#[test]
fn a_rerun_after_a_kill_repeats_the_warnings() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    let one = first_bundle().write(&folder, "one.pkg");
    BundleBuilder::new("a", 4).ship(Crate::new("late", "1.0.0")).write(&folder, "four.pkg");
    for (checkpoint, is_recorded) in [("commit:1", false), ("commit:2", false), ("commit:3", true), ("commit:6", true)]
    {
        let mirror = sandbox.path("mirror");
        import(&mirror, &one).unwrap();
        let args = ["import", "four.pkg", "--mirror", "mirror"];
        let died = sandbox.process(args).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
        assert_eq!(died.code, SIGABRT, "{checkpoint}: {}", died.stderr);
        let rerun = sandbox.run(args).ok();
        let layout = Layout::new(&mirror);
        let name = ledger::record_names(&layout).unwrap().pop().unwrap();
        let record = ledger::read_record(&layout, &name).unwrap().unwrap();
        let warning = "has the number 4 in its history, but the newest imported bundle has number 1";
        assert!(record.warnings.iter().any(|text| text.contains(warning)), "{checkpoint}: {:?}", record.warnings);
        // Once the journal is written, the record keeps the warning.
        assert_eq!(!is_recorded, rerun.stderr.contains(warning), "{checkpoint}: {}", rerun.describe());
        let sentence = "Completed the import of 1 crate of four.pkg, which was interrupted";
        assert_eq!(is_recorded, rerun.stderr.contains(sentence), "{checkpoint}: {}", rerun.describe());
        fs::remove_dir_all(&mirror).unwrap();
    }
}

#[test]
fn a_kill_during_the_creation_of_a_mirror_leaves_no_partial_file() {
    let sandbox = Sandbox::new();
    first_bundle().write(&sandbox.path(""), "one.pkg");
    let args = ["import", "one.pkg", "--mirror", "mirror"];
    sandbox.process(args).envs([("FROSTMIRROR_CRASH_AT", "written:format")]).run().exits(SIGABRT);
    sandbox.run(args).ok();
    let partial = |path: &String| path.contains(".part-") || path.starts_with(".frostmirror/staging/");
    let left: Vec<String> = all_files(&sandbox.path("mirror")).into_keys().filter(partial).collect();
    assert_eq!(left, [".frostmirror/staging/"]);
}
