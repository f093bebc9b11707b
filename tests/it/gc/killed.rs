//! Collection killed at each of its checkpoints: readers keep a sound view, and a rerun ends as if nothing had been.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use frostmirror::mirror::gc::CHECKPOINTS;
use frostmirror::mirror::head::{Counts, LineageHead};
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::{forgotten, ledger};

use super::assert_agreement;
use crate::import_bundle::{Make, assert_sound, everything, import, view};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

const SIGABRT: i32 = 128 + 6;

fn bundles(folder: &Path) -> [std::path::PathBuf; 3] {
    let base = Crate::new("base", "1.0.0");
    let first = Make::new("a", 1)
        .ship(base.clone())
        .ship(Crate::new("base", "1.1.0"))
        .ship(Crate::new("middle", "1.0.0").dep("base", "^1.1"))
        .ship(Crate::new("top", "1.0.0").dep("middle", "^1").dep("base", "^1"))
        .ship(Crate::new("top", "1.0.1").dep("base", "^1"));
    let second = Make::new("a", 2).ship(base).ship(Crate::new("top", "1.0.1").dep("base", "^1"));
    let third = Make::new("b", 1).ship(Crate::new("round", "1.0.0").dep("trip", "^1"));
    let third = third.ship(Crate::new("trip", "1.0.0").dep("round", "^1"));
    [(first, "1.pkg"), (second, "2.pkg"), (third, "3.pkg")].map(|(make, name)| make.write(folder, name))
}

/// What must be the same whether a run was killed before or not.
pub type Outcome = (BTreeMap<String, Vec<u8>>, Counts, Vec<LineageHead>, Vec<forgotten::Note>, Vec<String>);

pub fn outcome(mirror: &Path) -> Outcome {
    let layout = Layout::new(mirror);
    let head = ledger::head(&layout).unwrap().unwrap();
    let private = everything(mirror).into_keys().filter(|path| path.starts_with(".frostmirror/")).collect();
    (view(mirror), head.counts, head.lineages, forgotten::notes(&layout).unwrap(), private)
}

#[test]
fn killed_at_any_checkpoint_no_line_names_a_missing_crate_and_a_rerun_finishes() {
    let sandbox = Sandbox::new();
    let all = bundles(&sandbox.path(""));
    let fresh = |name: &str| {
        let mirror = sandbox.path(name);
        all.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
        mirror
    };
    let undisturbed = fresh("undisturbed");
    let lineages = ledger::head(&Layout::new(&undisturbed)).unwrap().unwrap().lineages;
    let other = lineages.iter().find(|lineage| lineage.record.starts_with("00000003-")).unwrap();
    let words = |mirror: &'static str| ["gc", "--grace", "0", "--forget", &other.id, "--mirror", mirror];
    sandbox.run(words("undisturbed")).ok().stdout_has("Removed 5 crates");
    assert_agreement(&undisturbed);
    let expected = outcome(&undisturbed);
    assert_eq!(expected.2.len(), 1);
    for checkpoint in CHECKPOINTS {
        let mirror = fresh("mirror");
        let died = sandbox.process(words("mirror")).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
        assert_eq!(died.code, SIGABRT, "no collection passes the checkpoint {checkpoint}: {}", died.stderr);
        assert_sound(&mirror);
        let torn = view(&mirror);
        for (path, bytes) in expected.0.iter().filter(|(path, _)| path.starts_with("crates/")) {
            assert_eq!(&torn[path], bytes, "{checkpoint}: {path}");
        }
        sandbox.run(["status", "--mirror", "mirror"]).ok();
        // What was on its way out is not to be fetched again.
        let audited = sandbox.run(["verify", "--mirror", "mirror", "--repair-list", "list"]);
        assert_eq!(fs::read_to_string(sandbox.path("list")).unwrap(), "", "{checkpoint}");
        if audited.code != 0 {
            audited.exits(4).stderr_has("once more").stderr_has("`cargo frostmirror gc`");
        }
        sandbox.run(words("mirror")).ok();
        assert_eq!(outcome(&mirror), expected, "{checkpoint}");
        assert_agreement(&mirror);
        fs::remove_dir_all(&mirror).unwrap();
    }
}

#[test]
fn killed_in_the_middle_of_a_file_it_leaves_nothing_for_good() {
    let sandbox = Sandbox::new();
    let all = bundles(&sandbox.path(""));
    let mirror = sandbox.path("mirror");
    let other = Make::new("b", 1).lineage().to_owned();
    let note = format!("written:00000003-{other}.forgotten");
    // The list of removals is written before crates go, and again where some have to wait.
    for (grace, half) in
        [("0", note.as_str()), ("0", "written:removals"), ("0", "written:manifest.json"), ("10m", &note)]
    {
        let begun = ["import", "1.pkg", "--mirror", "mirror"];
        sandbox.process(begun).envs([("FROSTMIRROR_CRASH_AT", "written:format")]).run().exits(SIGABRT);
        all.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
        let words = ["gc", "--grace", grace, "--forget", &other, "--mirror", "mirror"];
        let died = sandbox.process(words).envs([("FROSTMIRROR_CRASH_AT", half)]).run();
        assert_eq!(died.code, SIGABRT, "{half} is not written: {}", died.stderr);
        sandbox.run(words).ok();
        let debris: Vec<String> = everything(&mirror).into_keys().filter(|path| path.contains(".part-")).collect();
        assert!(debris.is_empty(), "{half}: {debris:?}");
        assert_agreement(&mirror);
        fs::remove_dir_all(&mirror).unwrap();
    }
}

#[test]
fn what_a_killed_collection_left_is_counted_though_an_import_comes_next() {
    let sandbox = Sandbox::new();
    let all = bundles(&sandbox.path(""));
    let more = Make::new("c", 1).ship(Crate::new("more", "1.0.0")).write(&sandbox.path(""), "more.pkg");
    for checkpoint in ["gc:index-half", "gc:lines-half", "gc:crates-half", "gc:settled"] {
        let mirror = sandbox.path("mirror");
        all.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
        let words = ["gc", "--grace", "0", "--mirror", "mirror"];
        sandbox.process(words).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run().exits(SIGABRT);
        import(&mirror, &more).unwrap();
        let layout = Layout::new(&mirror);
        assert_eq!(ledger::head(&layout).unwrap().unwrap().counts, Counts::of_tree(&layout).unwrap(), "{checkpoint}");
        assert_sound(&mirror);
        sandbox.run(words).ok();
        assert_agreement(&mirror);
        fs::remove_dir_all(&mirror).unwrap();
    }
}
