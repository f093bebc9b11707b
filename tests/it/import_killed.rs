//! Import killed at each of its named checkpoints: readers keep a sound view, and a rerun ends as if nothing had been.

use std::fs;
use std::path::Path;

use frostmirror::client_setup::BaseUrl;
use frostmirror::mirror::import::ImportOptions;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use frostmirror::mirror::summary::Counts;

use crate::bundle_builder::{BundleBuilder, assert_consistent, import, import_with, options, public_files};
use crate::support::commit_steps::{SIGABRT, commit_steps};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

fn first_bundle() -> BundleBuilder {
    BundleBuilder::new("a", 1).ship(Crate::new("json", "1.0.0")).ship(Crate::new("serde", "1.0.0").dep("json", "^1"))
}

/// Refreshes a line, adds versions, and adds crates that need each other.
fn second_bundle() -> BundleBuilder {
    BundleBuilder::new("a", 2)
        .ship(Crate::new("json", "1.0.0").yanked())
        .ship(Crate::new("json", "1.0.1"))
        .ship(Crate::new("serde", "1.0.1").dep("json", "^1.0.1").dep("zeta", "^1"))
        .ship(Crate::new("alpha", "1.0.0").dep("zeta", "^1"))
        .ship(Crate::new("zeta", "1.0.0"))
}

/// What must be the same whether an import was killed before or not.
fn final_state(mirror: &Path) -> (std::collections::BTreeMap<String, Vec<u8>>, Counts, Vec<String>, Vec<u64>) {
    let layout = Layout::new(mirror);
    let head = ledger::read_summary(&layout).unwrap().unwrap();
    let sequences = head.lineages.iter().map(|lineage| lineage.sequence).chain([head.imports]).collect();
    (public_files(mirror), head.counts, ledger::record_names(&layout).unwrap(), sequences)
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
        let warning = "has the number 4 in its history, but the newest imported bundle has 1";
        assert!(record.warnings.iter().any(|text| text.contains(warning)), "{checkpoint}: {:?}", record.warnings);
        // Once the journal is written, the record keeps the warning.
        assert_eq!(!is_recorded, rerun.stderr.contains(warning), "{checkpoint}: {}", rerun.describe());
        let sentence = "Completed the import of 1 crate of four.pkg, which was interrupted";
        assert_eq!(is_recorded, rerun.stderr.contains(sentence), "{checkpoint}: {}", rerun.describe());
        fs::remove_dir_all(&mirror).unwrap();
    }
}

#[test]
fn an_import_killed_at_any_checkpoint_leaves_a_consistent_mirror_and_a_rerun_completes_it() {
    let sandbox = Sandbox::new();
    let (one, two) =
        (first_bundle().write(&sandbox.path(""), "one.pkg"), second_bundle().write(&sandbox.path(""), "two.pkg"));
    let undisturbed = sandbox.path("undisturbed");
    import(&undisturbed, &one).unwrap();
    let old = public_files(&undisturbed);
    let with_url = ImportOptions { base_url: Some(BaseUrl::parse("http://h").unwrap()), ..options(&two) };
    import_with(&undisturbed, &two, &with_url).unwrap();
    let expected = final_state(&undisturbed);
    let mut kills = 0;
    for checkpoint in commit_steps() {
        let mirror = sandbox.path("mirror");
        import(&mirror, &one).unwrap();
        let args = ["import", "two.pkg", "--mirror", "mirror", "--base-url", "http://h"];
        let died = sandbox.process(args).envs([("FROSTMIRROR_CRASH_AT", &checkpoint)]).run();
        if died.code != SIGABRT {
            died.ok();
            break;
        }
        kills += 1;

        assert_consistent(&mirror);
        let torn = public_files(&mirror);
        for path in old.keys() {
            assert!(torn.contains_key(path), "{checkpoint}: {path} is gone");
        }
        for path in old.keys().filter(|path| path.starts_with("crates/")) {
            assert_eq!(torn[path], old[path], "{checkpoint}: {path}");
        }
        sandbox.run(["status", "--mirror", "mirror"]).ok();

        sandbox.run(args).ok();
        assert_eq!(final_state(&mirror), expected, "{checkpoint}");
        assert_eq!(fs::read_dir(mirror.join(".frostmirror/staging")).unwrap().count(), 0);
        fs::remove_dir_all(&mirror).unwrap();
    }
    assert!(kills > 18, "{kills}");
}

#[test]
fn files_left_by_a_killed_import_are_counted_by_the_next_import() {
    let sandbox = Sandbox::new();
    second_bundle().write(&sandbox.path(""), "two.pkg");
    let other = BundleBuilder::new("b", 1).ship(Crate::new("other", "1.0.0")).write(&sandbox.path(""), "other.pkg");
    let args = ["import", "two.pkg", "--mirror", "mirror"];
    for checkpoint in ["commit:2", "commit:4", "commit:8", "commit:12"] {
        let mirror = sandbox.path("mirror");
        sandbox.process(args).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run().exits(SIGABRT);
        import(&mirror, &other).unwrap();
        let head = ledger::read_summary(&Layout::new(&mirror)).unwrap().unwrap();
        assert_eq!(head.counts, Counts::count_tree(&Layout::new(&mirror)).unwrap(), "{checkpoint}");
        assert_consistent(&mirror);
        fs::remove_dir_all(&mirror).unwrap();
    }
}
