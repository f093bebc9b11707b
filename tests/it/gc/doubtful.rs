//! Nothing is removed because of a bundle whose number tells that it may not be its lineage's newest.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use serde_json::Value;

use super::{assert_agreement, collect_at, held};
use crate::import_bundle::{Make, import};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

/// A bundle of the history `a` with this number, written at that second, of the crate called so.
fn bundle(sandbox: &Sandbox, number: u64, second: i64, name: &str) -> PathBuf {
    let make = Make::new("a", number).read(second).ship(Crate::new(name, "1.0.0"));
    make.write(&sandbox.path(""), &format!("{name}.pkg"))
}

fn lineage() -> String {
    Make::new("a", 1).lineage().to_owned()
}

/// The crates that are listed and there.
fn crates(mirror: &Path) -> Vec<String> {
    let (files, listed) = held(mirror);
    assert_eq!(files, listed);
    files.into_iter().map(|name| name.trim_end_matches("-1.0.0").to_owned()).collect()
}

/// A mirror with bundles of these numbers, each written a second after the one before, from second 10 on.
fn with(sandbox: &Sandbox, bundles: &[(u64, &str)]) -> PathBuf {
    let mirror = sandbox.path("mirror");
    for ((number, name), second) in bundles.iter().zip(10..) {
        import(&mirror, &bundle(sandbox, *number, second, name)).unwrap();
    }
    mirror
}

#[test]
fn a_jump_removes_nothing_until_it_is_accepted() {
    let sandbox = Sandbox::new();
    let mirror = with(&sandbox, &[(1, "first"), (2, "genuine"), (1000, "forged")]);
    let id = lineage();
    let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
    run.stdout_has("  Doubtful: bundle number 1000 came when the highest number before it was 2\n")
        .stdout_has(&format!("Lineage {id} (Cargo.lock): forged.pkg, "))
        .stdout_has(&format!("Then accept that bundle with `gc --accept {id}@"))
        .stdout_has("Removed 1 crate,");
    assert_eq!(crates(&mirror), ["forged", "genuine"], "what number 2 made garbage is gone");
    assert_agreement(&mirror);
    let run = sandbox.run(["gc", "--dry-run", "--mirror", "mirror", "--message-format", "json"]).ok();
    let plan: Value = serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(plan["lineages"][0]["jumped_from"], 2);
    assert_eq!(plan["lineages"][0]["doubts"].as_array().unwrap().len(), 1);
    assert_eq!(plan["lineages"][0]["accepted"], false);

    sandbox
        .run(["gc", "--accept", "ffff", "--mirror", "mirror"])
        .exits(3)
        .stderr_has("`ffff`")
        .stderr_has(&format!("{id} (Cargo.lock)"));
    sandbox.run(["gc", "--dry-run", "--accept", &id[..6], "--mirror", "mirror"]).ok().stdout_has(", accepted\n");
    assert_eq!(crates(&mirror).len(), 2);
    let run = sandbox.run(["gc", "--grace", "0", "--accept", &id[..6], "--mirror", "mirror"]).ok();
    run.stdout_has(", accepted\n").stdout_has("Removed 1 crate,");
    assert_eq!(crates(&mirror), ["forged"]);
    assert_agreement(&mirror);

    // The ledger alone remembers it, and a later doubt is a new one.
    for lose_the_head in [false, true] {
        if lose_the_head {
            fs::remove_file(mirror.join("manifest.json")).unwrap();
        }
        let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_has("Removed 0 crates");
        assert!(!run.stdout.contains("Doubtful"), "{}", run.told());
        assert_eq!(ledger::head(&Layout::new(&mirror)).unwrap().unwrap().contested, []);
    }
    import(&mirror, &bundle(&sandbox, 1002, 50, "again")).unwrap();
    assert_eq!(collect_at(&mirror, 3000, 0).crates, 0);
    assert_eq!(crates(&mirror), ["again", "forged"]);
    assert_agreement(&mirror);
}

#[test]
fn the_genuine_history_goes_on_after_a_forged_bundle() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &bundle(&sandbox, 1, 10, "first")).unwrap();
    // It says that it is later than everything that will ever come.
    import(&mirror, &bundle(&sandbox, 1000, 4_000_000_000, "forged")).unwrap();
    import(&mirror, &bundle(&sandbox, 2, 20, "second")).unwrap();
    collect_at(&mirror, 3000, 0);
    assert_eq!(crates(&mirror), ["forged", "second"]);
    import(&mirror, &bundle(&sandbox, 3, 30, "third")).unwrap();
    collect_at(&mirror, 4000, 0);
    assert_eq!(crates(&mirror), ["forged", "third"]);
    assert_agreement(&mirror);
}

#[test]
fn the_next_number_or_the_missing_one_makes_a_jump_ordinary() {
    for (number, second, left) in [(4, 40, "later"), (2, 10, "third")] {
        let sandbox = Sandbox::new();
        let mirror = with(&sandbox, &[(1, "first"), (3, "third")]);
        collect_at(&mirror, 3000, 0);
        assert_eq!(crates(&mirror), ["first", "third"]);
        import(&mirror, &bundle(&sandbox, number, second, "later")).unwrap();
        collect_at(&mirror, 4000, 0);
        assert_eq!(crates(&mirror), [left], "number {number}");
        assert_agreement(&mirror);
    }
}

#[test]
fn jump_after_jump_removes_nothing() {
    let sandbox = Sandbox::new();
    let mirror = with(&sandbox, &[(1, "first"), (3, "third"), (5, "fifth")]);
    collect_at(&mirror, 3000, 0);
    assert_eq!(crates(&mirror), ["fifth", "first", "third"]);
    sandbox.run(["gc", "--grace", "0", "--accept", &lineage(), "--mirror", "mirror"]).ok();
    assert_eq!(crates(&mirror), ["fifth"]);
    assert_agreement(&mirror);
}

#[test]
fn a_collection_after_an_import_accepts_nothing() {
    let sandbox = Sandbox::new();
    let mirror = with(&sandbox, &[(1, "first")]);
    sandbox.write("config/frostmirror.toml", "prune_on_import = true\n");
    bundle(&sandbox, 3, 30, "third");
    let run = sandbox.run(["import", "third.pkg", "--mirror", "mirror", "--config-dir", "config"]).ok();
    run.stderr_has("warning: gc keeps what any bundle of lineage").stderr_has("`gc --accept ");
    assert_eq!(crates(&mirror), ["first", "third"]);
}

#[test]
fn a_number_that_came_twice_is_told_of_and_keeps_both() {
    for second in [10, 11] {
        let sandbox = Sandbox::new();
        let mirror = with(&sandbox, &[(1, "one")]);
        bundle(&sandbox, 1, second, "other");
        let run = sandbox.run(["import", "other.pkg", "--mirror", "mirror"]).ok();
        run.stderr_has("warning: ").stderr_has("another bundle with that number is here").stderr_has("inspect");
        let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
        run.stdout_has("  Doubtful: two different bundles have the number 1\n").stdout_has("`gc --accept ");
        assert_eq!(crates(&mirror), ["one", "other"]);
        assert_agreement(&mirror);
        sandbox.run(["gc", "--grace", "0", "--accept", &lineage(), "--mirror", "mirror"]).ok();
        assert_eq!(crates(&mirror), ["other"]);
        assert_agreement(&mirror);
        let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
        assert!(!run.stdout.contains("Doubtful"), "{}", run.told());
    }
}

#[test]
fn a_snapshot_carries_the_doubt() {
    let sandbox = Sandbox::new();
    with(&sandbox, &[(1, "first"), (3, "third")]);
    sandbox.run(["export", "snapshot", "--output", "out", "--mirror", "mirror"]).ok();
    let file = fs::read_dir(sandbox.path("out")).unwrap().map(|entry| entry.unwrap().path());
    let file = file.into_iter().find(|path| path.extension().is_some_and(|end| end == "pkg")).unwrap();
    let target = sandbox.path("target");
    import(&target, &file).unwrap();
    collect_at(&target, 3000, 0);
    assert_eq!(crates(&target), ["first", "third"]);
    assert_agreement(&target);
}
