//! Options of `gc` that name no lineage of the mirror: the hint works as typed.

use std::path::Path;

use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::live::LiveLineage;

use super::stored_and_indexed_crates;
use crate::bundle_builder::BundleBuilder;
use crate::live_store::store_crates;
use crate::support::crates::Crate;
use crate::support::process::Run;
use crate::support::sandbox::Sandbox;

fn gc(sandbox: &Sandbox, option: &str, value: &str) -> Run {
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror", option, value])
}

/// Runs the command in the hint.
fn run_hint(sandbox: &Sandbox, run: &Run) -> Run {
    let hint = run.stderr.split_once("hint: run `cargo frostmirror ").unwrap_or_else(|| panic!("{}", run.describe())).1;
    sandbox.run(hint.split_once('`').unwrap().0.split_whitespace())
}

fn live_id(mirror: &Path) -> String {
    LiveLineage::read(&Layout::new(mirror)).unwrap().id.unwrap()
}

#[test]
fn live_lineages_of_other_mirrors_are_forgotten_by_their_ids() {
    let sandbox = Sandbox::new();
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        store_crates(&sandbox.path(name), &[Crate::new(name, "1.0.0")], 10);
        ids.push(live_id(&sandbox.path(name)));
        let snapshot = sandbox.run(["export", "snapshot", "--mirror", name, "-o", "out"]).ok().path();
        sandbox
            .run(["import", "--mirror", "mirror"].map(std::ffi::OsStr::new).into_iter().chain([snapshot.as_os_str()]))
            .ok();
    }
    for id in &ids {
        let status = sandbox.run(["status", "--mirror", "mirror"]).ok();
        status.stdout_has(&format!("Lineage {id} (live mirror): bundle of 20")).stdout_lacks("bundle number 1");
    }
    let run = gc(&sandbox, "--forget", "live").exits(3).stderr_has("came with snapshots of other mirrors");
    ids.iter().for_each(|id| assert!(run.stderr.contains(&format!(" --forget {id}")), "{}", run.describe()));
    run_hint(&sandbox, &run).ok().stdout_has("To remove: 2 index lines");
    assert!(stored_and_indexed_crates(&sandbox.path("mirror")).1.is_empty());
    gc(&sandbox, "--forget", "live").exits(3).stderr_has("hint: run the same command without `--forget live`");
}

#[test]
fn an_option_that_names_nothing_says_what_works() {
    let sandbox = Sandbox::new();
    store_crates(&sandbox.path("mirror"), &[Crate::new("live", "1.0.0")], 10);
    let own = live_id(&sandbox.path("mirror"));
    for (option, value) in [
        ("--forget", "abcd"),
        ("--accept", "abcd@1234"),
        ("--reject", "abcd@1234"),
        ("--accept", "live"),
        ("--reject", "live@1234"),
        ("--accept", own.as_str()),
    ] {
        let run = gc(&sandbox, option, value).exits(3);
        run.stderr_has(&format!("hint: run the same command without `{option} {value}`"));
    }
    // These mean live mode's files.
    for value in ["live@1234", own.as_str(), &own[..8]] {
        let run = gc(&sandbox, "--forget", value).exits(3);
        let command = Layout::new(sandbox.path("mirror")).fill_in("cargo frostmirror gc --mirror DIR --forget live");
        let run = run.stderr_has(&format!("hint: run `{command}`"));
        run_hint(&sandbox, &run).ok().stdout_has(", forgotten");
    }
    // With lineages in the mirror, the list of them helps.
    let bundle = BundleBuilder::new("a", 1).ship(Crate::new("json", "1.0.0")).write(&sandbox.path(""), "a.pkg");
    sandbox
        .run(["import", "--mirror", "mirror"].map(std::ffi::OsStr::new).into_iter().chain([bundle.as_os_str()]))
        .ok();
    gc(&sandbox, "--forget", "rebuilt").exits(3).stderr_has("hint: run the same command without `--forget rebuilt`");
    for (option, value) in [("--forget", "abcd"), ("--accept", "abcd"), ("--reject", "abcd@1234")] {
        gc(&sandbox, option, value).exits(3).stderr_has("--dry-run` shows every lineage");
    }
}
