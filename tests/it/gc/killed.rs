//! Collection killed at each of its checkpoints: readers keep a sound view, and a rerun ends as if nothing had been.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lineages::LineageTip;
use frostmirror::mirror::summary::Counts;
use frostmirror::mirror::{ledger, retired};

use super::assert_records_agree;
use crate::bundle_builder::{BundleBuilder, all_files, assert_consistent, import, public_files};
use crate::support::commit_steps::{SIGABRT, commit_steps};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

fn write_three_bundles(folder: &Path) -> [std::path::PathBuf; 3] {
    let base = Crate::new("base", "1.0.0");
    let first = BundleBuilder::new("a", 1)
        .ship(base.clone())
        .ship(Crate::new("base", "1.1.0"))
        .ship(Crate::new("middle", "1.0.0").dep("base", "^1.1"))
        .ship(Crate::new("top", "1.0.0").dep("middle", "^1").dep("base", "^1"))
        .ship(Crate::new("top", "1.0.1").dep("base", "^1"));
    let second = BundleBuilder::new("a", 2).ship(base).ship(Crate::new("top", "1.0.1").dep("base", "^1"));
    // A cycle would be cut somewhere.
    let third = BundleBuilder::new("b", 1).ship(Crate::new("round", "1.0.0").dep("trip", "^1"));
    let third = third.ship(Crate::new("trip", "1.0.0"));
    [(first, "1.pkg"), (second, "2.pkg"), (third, "3.pkg")].map(|(make, name)| make.write(folder, name))
}

/// What must be the same whether a run was killed before or not.
pub type FinalState = (BTreeMap<String, Vec<u8>>, Counts, Vec<LineageTip>, Vec<retired::Retirement>, Vec<String>);

pub fn final_state(mirror: &Path) -> FinalState {
    let layout = Layout::new(mirror);
    let head = ledger::read_summary(&layout).unwrap().unwrap();
    let private = all_files(mirror).into_keys().filter(|path| path.starts_with(".frostmirror/")).collect();
    (public_files(mirror), head.counts, head.lineages, retired::read_retirements(&layout).unwrap(), private)
}

#[test]
fn a_gc_killed_at_any_checkpoint_leaves_no_dangling_index_line_and_a_rerun_finishes() {
    let sandbox = Sandbox::new();
    let all = write_three_bundles(&sandbox.path(""));
    let fresh = |name: &str| {
        let mirror = sandbox.path(name);
        all.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
        mirror
    };
    let undisturbed = fresh("undisturbed");
    let lineages = ledger::read_summary(&Layout::new(&undisturbed)).unwrap().unwrap().lineages;
    let other = lineages.iter().find(|lineage| lineage.record.starts_with("00000003-")).unwrap();
    let args = |mirror: &'static str| ["gc", "--grace", "0", "--forget", &other.id, "--mirror", mirror];
    sandbox.run(args("undisturbed")).ok().stdout_has("Removed 5 crates");
    assert_records_agree(&undisturbed);
    let expected = final_state(&undisturbed);
    assert_eq!(expected.2.len(), 1);
    let before = public_files(&fresh("before"));
    let mut kills = 0;
    for checkpoint in commit_steps() {
        let mirror = fresh("mirror");
        let died = sandbox.process(args("mirror")).envs([("FROSTMIRROR_CRASH_AT", &checkpoint)]).run();
        if died.code != SIGABRT {
            died.ok();
            break;
        }
        kills += 1;
        assert_consistent(&mirror);
        let torn = public_files(&mirror);
        for (path, bytes) in expected.0.iter().filter(|(path, _)| path.starts_with("crates/")) {
            assert_eq!(&torn[path], bytes, "{checkpoint}: {path}");
        }
        sandbox.run(["status", "--mirror", "mirror"]).ok();
        // What was on its way out is not to be fetched again.
        let audited = sandbox.run(["verify", "--mirror", "mirror", "--repair-list", "list"]);
        assert_eq!(fs::read_to_string(sandbox.path("list")).unwrap(), "", "{checkpoint}");
        if audited.code != 0 {
            audited
                .exits(4)
                .stderr_has("which completes the interrupted command")
                .stderr_has("`cargo frostmirror gc --mirror ");
        }
        assert!(torn != before || !Layout::new(&mirror).journal().exists() || kills == 3, "{checkpoint}");
        sandbox.run(args("mirror")).ok();
        assert_eq!(final_state(&mirror), expected, "{checkpoint}");
        assert_records_agree(&mirror);
        fs::remove_dir_all(&mirror).unwrap();
    }
    assert!(kills > 20, "{kills}");
}

#[test]
fn a_killed_gc_changes_nothing_before_its_journal_and_is_completed_by_any_command_after_it() {
    let sandbox = Sandbox::new();
    let all = write_three_bundles(&sandbox.path(""));
    let more = BundleBuilder::new("c", 1).ship(Crate::new("more", "1.0.0")).write(&sandbox.path(""), "more.pkg");
    let mirror = sandbox.path("mirror");
    let args = ["gc", "--grace", "0", "--mirror", "mirror"];
    for (checkpoint, is_completed) in [("commit:1", false), ("commit:2", false), ("commit:3", true), ("commit:6", true)]
    {
        all.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
        let before = public_files(&mirror);
        sandbox.process(args).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run().exits(SIGABRT);
        assert_eq!(public_files(&mirror) == before, checkpoint != "commit:6", "{checkpoint}");
        let run = sandbox.run(["import", "more.pkg", "--mirror", "mirror"]).ok();
        let sentence = "Completed the garbage collection, which was interrupted";
        assert_eq!(run.stderr.contains(sentence), is_completed, "{}", run.describe());
        let is_removed = !mirror.join("crates/middle-1.0.0.crate").exists();
        assert_eq!(is_removed, is_completed, "{checkpoint}");
        assert_records_agree(&mirror);
        fs::remove_dir_all(&mirror).unwrap();
    }
    drop(more);
}

#[test]
fn a_gc_killed_with_a_grace_period_leaves_no_permanent_leftovers() {
    let sandbox = Sandbox::new();
    let all = write_three_bundles(&sandbox.path(""));
    let mirror = sandbox.path("mirror");
    let other = BundleBuilder::new("b", 1).lineage().to_owned();
    for (grace, half) in [("0", "commit:1"), ("0", "commit:2"), ("10m", "commit:2"), ("10m", "commit:4")] {
        let begun = ["import", "1.pkg", "--mirror", "mirror"];
        sandbox.process(begun).envs([("FROSTMIRROR_CRASH_AT", "written:format")]).run().exits(SIGABRT);
        all.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
        let args = ["gc", "--grace", grace, "--forget", &other, "--mirror", "mirror"];
        let died = sandbox.process(args).envs([("FROSTMIRROR_CRASH_AT", half)]).run();
        assert_eq!(died.code, SIGABRT, "no collection passes {half}: {}", died.stderr);
        sandbox.run(args).ok();
        let is_debris = |path: &String| path.contains(".part-") || path.starts_with(".frostmirror/staging/");
        let debris: Vec<String> = all_files(&mirror).into_keys().filter(is_debris).collect();
        let debris: Vec<&String> = debris.iter().filter(|path| *path != ".frostmirror/staging/").collect();
        assert!(debris.is_empty(), "{half}: {debris:?}");
        assert_records_agree(&mirror);
        fs::remove_dir_all(&mirror).unwrap();
    }
}

#[test]
fn files_left_by_a_killed_gc_are_counted_after_an_import() {
    let sandbox = Sandbox::new();
    let all = write_three_bundles(&sandbox.path(""));
    let more = BundleBuilder::new("c", 1).ship(Crate::new("more", "1.0.0")).write(&sandbox.path(""), "more.pkg");
    for checkpoint in ["commit:1", "commit:4", "commit:7", "commit:12"] {
        let mirror = sandbox.path("mirror");
        all.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
        let args = ["gc", "--grace", "0", "--mirror", "mirror"];
        sandbox.process(args).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run().exits(SIGABRT);
        import(&mirror, &more).unwrap();
        let layout = Layout::new(&mirror);
        assert_eq!(
            ledger::read_summary(&layout).unwrap().unwrap().counts,
            Counts::count_tree(&layout).unwrap(),
            "{checkpoint}"
        );
        assert_consistent(&mirror);
        sandbox.run(args).ok();
        assert_records_agree(&mirror);
        fs::remove_dir_all(&mirror).unwrap();
    }
}
