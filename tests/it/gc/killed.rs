//! Collection killed at each of its checkpoints: readers keep a sound view, and a rerun ends as if nothing had been.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use frostmirror::mirror::gc::CHECKPOINTS;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::summary::{Counts, LineageTip};
use frostmirror::mirror::{ledger, retired};

use super::assert_records_agree;
use crate::bundle_builder::{BundleBuilder, all_files, assert_consistent, import, public_files};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

const SIGABRT: i32 = 128 + 6;

fn write_three_bundles(folder: &Path) -> [std::path::PathBuf; 3] {
    let base = Crate::new("base", "1.0.0");
    let first = BundleBuilder::new("a", 1)
        .ship(base.clone())
        .ship(Crate::new("base", "1.1.0"))
        .ship(Crate::new("middle", "1.0.0").dep("base", "^1.1"))
        .ship(Crate::new("top", "1.0.0").dep("middle", "^1").dep("base", "^1"))
        .ship(Crate::new("top", "1.0.1").dep("base", "^1"));
    let second = BundleBuilder::new("a", 2).ship(base).ship(Crate::new("top", "1.0.1").dep("base", "^1"));
    let third = BundleBuilder::new("b", 1).ship(Crate::new("round", "1.0.0").dep("trip", "^1"));
    let third = third.ship(Crate::new("trip", "1.0.0").dep("round", "^1"));
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
    for checkpoint in CHECKPOINTS {
        let mirror = fresh("mirror");
        let died = sandbox.process(args("mirror")).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
        assert_eq!(died.code, SIGABRT, "no collection passes the checkpoint {checkpoint}: {}", died.stderr);
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
                .stderr_has("run the interrupted command again")
                .stderr_has("`cargo frostmirror gc --mirror ");
        }
        sandbox.run(args("mirror")).ok();
        assert_eq!(final_state(&mirror), expected, "{checkpoint}");
        assert_records_agree(&mirror);
        fs::remove_dir_all(&mirror).unwrap();
    }
}

#[test]
fn a_gc_killed_while_writing_a_file_leaves_no_permanent_leftovers() {
    let sandbox = Sandbox::new();
    let all = write_three_bundles(&sandbox.path(""));
    let mirror = sandbox.path("mirror");
    let other = BundleBuilder::new("b", 1).lineage().to_owned();
    let note = format!("written:00000003-{other}.forgotten");
    // The list of removals is written before crates go, and again where some have to wait.
    for (grace, half) in
        [("0", note.as_str()), ("0", "written:removals"), ("0", "written:manifest.json"), ("10m", &note)]
    {
        let begun = ["import", "1.pkg", "--mirror", "mirror"];
        sandbox.process(begun).envs([("FROSTMIRROR_CRASH_AT", "written:format")]).run().exits(SIGABRT);
        all.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
        let args = ["gc", "--grace", grace, "--forget", &other, "--mirror", "mirror"];
        let died = sandbox.process(args).envs([("FROSTMIRROR_CRASH_AT", half)]).run();
        assert_eq!(died.code, SIGABRT, "{half} is not written: {}", died.stderr);
        sandbox.run(args).ok();
        let debris: Vec<String> = all_files(&mirror).into_keys().filter(|path| path.contains(".part-")).collect();
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
    for checkpoint in ["gc:index-half", "gc:lines-half", "gc:crates-half", "gc:settled"] {
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
