//! Import killed at each of its named checkpoints: readers keep a sound view, and a rerun ends as if nothing had been.

use std::fs;
use std::path::Path;

use frostmirror::client_config::BaseUrl;
use frostmirror::mirror::head::Counts;
use frostmirror::mirror::import::{CHECKPOINTS, ImportOptions};
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;

use crate::import_bundle::{Make, assert_sound, import, import_with, options, view};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

const SIGABRT: i32 = 128 + 6;

fn first() -> Make {
    Make::new("a", 1).ship(Crate::new("json", "1.0.0")).ship(Crate::new("serde", "1.0.0").dep("json", "^1"))
}

/// Refreshes a line, adds versions, and adds crates that need each other.
fn second() -> Make {
    Make::new("a", 2)
        .ship(Crate::new("json", "1.0.0").yanked())
        .ship(Crate::new("json", "1.0.1"))
        .ship(Crate::new("serde", "1.0.1").dep("json", "^1.0.1").dep("zeta", "^1"))
        .ship(Crate::new("alpha", "1.0.0").dep("zeta", "^1"))
        .ship(Crate::new("zeta", "1.0.0"))
}

/// What must be the same whether an import was killed before or not.
fn outcome(mirror: &Path) -> (std::collections::BTreeMap<String, Vec<u8>>, Counts, Vec<String>, Vec<u64>) {
    let layout = Layout::new(mirror);
    let head = ledger::head(&layout).unwrap().unwrap();
    let sequences = head.lineages.iter().map(|lineage| lineage.sequence).chain([head.imports]).collect();
    (view(mirror), head.counts, ledger::names(&layout).unwrap(), sequences)
}

#[test]
fn killed_at_any_checkpoint_the_mirror_is_sound_and_a_rerun_completes_it() {
    let sandbox = Sandbox::new();
    let (one, two) = (first().write(&sandbox.path(""), "one.pkg"), second().write(&sandbox.path(""), "two.pkg"));
    let undisturbed = sandbox.path("undisturbed");
    import(&undisturbed, &one).unwrap();
    let old = view(&undisturbed);
    let with_url = ImportOptions { base_url: Some(BaseUrl::parse("http://h").unwrap()), ..options(&two) };
    import_with(&undisturbed, &two, &with_url).unwrap();
    let expected = outcome(&undisturbed);
    for checkpoint in CHECKPOINTS {
        let mirror = sandbox.path("mirror");
        import(&mirror, &one).unwrap();
        let words = ["import", "two.pkg", "--mirror", "mirror", "--base-url", "http://h"];
        let died = sandbox.process(words).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
        assert_eq!(died.code, SIGABRT, "no import passes the checkpoint {checkpoint}: {}", died.stderr);

        assert_sound(&mirror);
        let torn = view(&mirror);
        for path in old.keys() {
            assert!(torn.contains_key(path), "{checkpoint}: {path} is gone");
        }
        for path in old.keys().filter(|path| path.starts_with("crates/")) {
            assert_eq!(torn[path], old[path], "{checkpoint}: {path}");
        }
        sandbox.run(["status", "--mirror", "mirror"]).ok();

        sandbox.run(words).ok();
        assert_eq!(outcome(&mirror), expected, "{checkpoint}");
        assert_eq!(fs::read_dir(mirror.join(".frostmirror/staging")).unwrap().count(), 0);
        fs::remove_dir_all(&mirror).unwrap();
    }
}

#[test]
fn what_a_killed_import_left_is_counted_though_another_bundle_comes_next() {
    let sandbox = Sandbox::new();
    second().write(&sandbox.path(""), "two.pkg");
    let other = Make::new("b", 1).ship(Crate::new("other", "1.0.0")).write(&sandbox.path(""), "other.pkg");
    let words = ["import", "two.pkg", "--mirror", "mirror"];
    for checkpoint in ["import:crates-half", "import:index-half", "import:record"] {
        let mirror = sandbox.path("mirror");
        sandbox.process(words).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run().exits(SIGABRT);
        import(&mirror, &other).unwrap();
        let head = ledger::head(&Layout::new(&mirror)).unwrap().unwrap();
        assert_eq!(head.counts, Counts::of_tree(&Layout::new(&mirror)).unwrap(), "{checkpoint}");
        assert_sound(&mirror);
        fs::remove_dir_all(&mirror).unwrap();
    }
}
