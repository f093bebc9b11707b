//! Nothing is removed because of a bundle whose number tells that it may not be its lineage's newest.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::bundle::sequence::describe_bundle_number;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use serde_json::Value;

use super::{assert_records_agree, collect_at, stored_and_indexed_crates};
use crate::bundle_builder::{BundleBuilder, import};
use crate::support::crates::Crate;
use crate::support::process::Run;
use crate::support::sandbox::Sandbox;

/// A bundle of the history `a` with this number, written at that second, of the crate called so.
fn write_bundle(sandbox: &Sandbox, number: u64, second: i64, name: &str) -> PathBuf {
    let make = BundleBuilder::new("a", number).read_at(second).ship(Crate::new(name, "1.0.0"));
    make.write(&sandbox.path(""), &format!("{name}.pkg"))
}

fn lineage_id() -> String {
    BundleBuilder::new("a", 1).lineage().to_owned()
}

/// The crates that are listed and there.
fn stored_crates(mirror: &Path) -> Vec<String> {
    let (files, listed) = stored_and_indexed_crates(mirror);
    assert_eq!(files, listed);
    files.into_iter().map(|name| name.trim_end_matches("-1.0.0").to_owned()).collect()
}

/// A mirror with bundles of these numbers, each written a second after the one before, from second 10 on.
fn mirror_with_bundles(sandbox: &Sandbox, bundles: &[(u64, &str)]) -> PathBuf {
    let mirror = sandbox.path("mirror");
    for ((number, name), second) in bundles.iter().zip(10..) {
        import(&mirror, &write_bundle(sandbox, *number, second, name)).unwrap();
    }
    mirror
}

#[test]
fn a_sequence_jump_removes_nothing_until_it_is_accepted() {
    let sandbox = Sandbox::new();
    let mirror = mirror_with_bundles(&sandbox, &[(1, "first"), (2, "genuine"), (1000, "forged")]);
    let id = lineage_id();
    let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
    run.stdout_has("  Doubtful: bundle number 1000 was imported when the highest number was 2\n")
        .stdout_has(&format!("Lineage {id} (Cargo.lock): forged.pkg, "))
        .stdout_has(&format!("mirror --accept {id}@"))
        .stdout_has("Removed 1 crate,");
    assert_eq!(stored_crates(&mirror), ["forged", "genuine"], "what number 2 made garbage is gone");
    assert_records_agree(&mirror);
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
    assert_eq!(stored_crates(&mirror).len(), 2);
    let run = sandbox.run(["gc", "--grace", "0", "--accept", &id[..6], "--mirror", "mirror"]).ok();
    run.stdout_has(", accepted\n").stdout_has("Removed 1 crate,");
    let run = sandbox.run(["gc", "--accept", &id[..6], "--mirror", "mirror"]).ok();
    run.stdout_has(", not doubtful, so there is nothing to accept\n");
    assert_eq!(stored_crates(&mirror), ["forged"]);
    assert_records_agree(&mirror);

    // The ledger alone remembers it, and a later doubt is a new one.
    for lose_the_head in [false, true] {
        if lose_the_head {
            fs::remove_file(mirror.join("manifest.json")).unwrap();
            rebuild(&sandbox);
        }
        let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_has("Removed 0 crates");
        assert!(!run.stdout.contains("Doubtful"), "{}", run.describe());
        assert_eq!(ledger::read_summary(&Layout::new(&mirror)).unwrap().unwrap().contested, []);
    }
    import(&mirror, &write_bundle(&sandbox, 1002, 50, "again")).unwrap();
    assert_eq!(collect_at(&mirror, 3000, 0).crates, 0);
    assert_eq!(stored_crates(&mirror), ["again", "forged"]);
    assert_records_agree(&mirror);
}

#[test]
fn the_genuine_history_continues_after_a_forged_bundle() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &write_bundle(&sandbox, 1, 10, "first")).unwrap();
    // It says that it is later than everything that will ever come.
    import(&mirror, &write_bundle(&sandbox, 1000, 4_000_000_000, "forged")).unwrap();
    import(&mirror, &write_bundle(&sandbox, 2, 20, "second")).unwrap();
    collect_at(&mirror, 3000, 0);
    assert_eq!(stored_crates(&mirror), ["forged", "second"]);
    import(&mirror, &write_bundle(&sandbox, 3, 30, "third")).unwrap();
    collect_at(&mirror, 4000, 0);
    assert_eq!(stored_crates(&mirror), ["forged", "third"]);
    assert_records_agree(&mirror);
}

#[test]
fn the_missing_bundle_resolves_a_sequence_jump_and_the_next_does_not() {
    for (number, second, left) in [(4, 40, &["first", "later", "third"][..]), (2, 10, &["third"])] {
        let sandbox = Sandbox::new();
        let mut bundles = [(1, 10, "first"), (3, 11, "third"), (number, second, "later")];
        bundles.sort_unstable();
        bundles.iter().for_each(|(number, second, name)| drop(write_bundle(&sandbox, *number, *second, name)));
        let mirror = sandbox.path("mirror");
        for file in ["first.pkg", "third.pkg"] {
            import(&mirror, &sandbox.path(file)).unwrap();
        }
        collect_at(&mirror, 3000, 0);
        assert_eq!(stored_crates(&mirror), ["first", "third"]);
        import(&mirror, &sandbox.path("later.pkg")).unwrap();
        collect_at(&mirror, 4000, 0);
        assert_eq!(stored_crates(&mirror), left, "number {number}");
        assert_records_agree(&mirror);
    }
}

#[test]
fn a_gap_that_late_bundles_fill_in_any_order_leaves_no_doubt() {
    for order in [[2, 3, 4], [4, 3, 2], [3, 4, 2], [4, 2, 3]] {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        for number in 1..=5 {
            write_bundle(&sandbox, number, 10 + i64::try_from(number).unwrap(), &format!("c{number}"));
        }
        for number in [1, 5].into_iter().chain(order) {
            import(&mirror, &sandbox.path(format!("c{number}.pkg"))).unwrap();
        }
        let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
        assert!(!run.stdout.contains("Doubtful"), "{order:?}: {}", run.describe());
        assert_eq!(stored_crates(&mirror), ["c5"], "{order:?}");
        assert_records_agree(&mirror);
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
    }
}

/// The argument for the bundle with this number, which is a candidate or the newest of its lineage.
pub fn bundle_argument(mirror: &Path, number: u64) -> String {
    let summary = ledger::read_summary(&Layout::new(mirror)).unwrap().unwrap();
    let tip = summary.lineages.iter().chain(&summary.contested).find(|tip| tip.sequence == number).unwrap();
    format!("{}@{}", tip.id, tip.bundle)
}

/// The command in backticks in the line of the output with this beginning.
fn printed_command(run: &Run, beginning: &str) -> Vec<String> {
    let line = run.stdout.lines().find(|line| line.trim_start().starts_with(beginning));
    let line = line.unwrap_or_else(|| panic!("no line `{beginning}`: {}", run.describe()));
    let command = line.split('`').nth(1).unwrap().strip_prefix("cargo frostmirror ").unwrap();
    command.split(' ').map(str::to_owned).collect()
}

#[test]
fn a_rejected_bundle_with_any_number_no_longer_counts() {
    // The number of the forged bundle, the second at which it claims to be written, and its place in the order of import.
    for (number, second, at) in
        [(253_402_207_200, 10, 1), (253_402_207_200, 4_000_000_000, 1), (1000, 5, 0), (50, 11, 3), (3, 90, 2)]
    {
        let case = format!("{number} {second} {at}");
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        let genuine = |number: u64| {
            let crates = (1..=number).map(|number| Crate::new(&format!("c{number}"), "1.0.0"));
            let make = BundleBuilder::new("a", number).read_at(20 + i64::try_from(number).unwrap());
            crates.fold(make, BundleBuilder::ship).write(&sandbox.path(""), &format!("{number}.pkg"))
        };
        let mut order: Vec<PathBuf> = (1..=3).map(genuine).collect();
        order.insert(at, write_bundle(&sandbox, number, second, "forged"));
        order.iter().for_each(|path| drop(import(&mirror, path).unwrap()));
        let collect = |more: &[&str]| {
            let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"].iter().chain(more)).ok();
            assert_records_agree(&mirror);
            run
        };
        let forged = bundle_argument(&mirror, number);
        collect(&["--dry-run", "--reject", &forged])
            .stdout_has(&format!("Rejected: {} of lineage", describe_bundle_number(number)));
        collect(&["--reject", &forged]).stdout_has("Removed 1 crate,");
        assert_eq!(stored_crates(&mirror), ["c1", "c2", "c3"], "{case}");
        let run = collect(&[]).stdout_has("3.pkg, ");
        assert!(!run.stdout.contains("Doubtful"), "{case}: {}", run.describe());
        collect(&["--reject", &forged]).stdout_has("Removed 0 crates");
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
        rebuild(&sandbox).stderr_has("nothing was lost that could be rebuilt");
        // The next genuine bundle is the newest without a word about the forged one.
        let next = genuine(4);
        let run = sandbox.run(["import", next.to_str().unwrap(), "--mirror", "mirror"]).ok();
        assert!(!run.stderr.contains("warning"), "{case}: {}", run.describe());
        // The same forged bundle again is a new doubt.
        if number > 4 {
            import(&mirror, &order[at]).unwrap();
            collect(&[]).stdout_has(&format!("  Doubtful: bundle number {number} was imported"));
        }
    }
}

#[test]
fn the_printed_commands_for_a_doubtful_bundle_work_as_typed() {
    for (beginning, left) in [("If it does not, reject", "genuine"), ("If the list has that id, accept", "forged")] {
        let sandbox = Sandbox::new();
        let mirror = mirror_with_bundles(&sandbox, &[(1, "first"), (2, "genuine"), (1000, "forged")]);
        let run = sandbox.run(["gc", "--dry-run", "--mirror", "mirror"]).ok();
        let run = run
            .stdout_has("  Candidate: bundle number 2, genuine.pkg, written ")
            .stdout_has("  Candidate: bundle number 1000, forged.pkg, written ")
            .stdout_has("run `cargo frostmirror history` on the sender's machine");
        let command = printed_command(&run, beginning);
        sandbox.run(command.iter().map(String::as_str).chain(["--grace", "0"])).ok();
        assert_eq!(stored_crates(&mirror), [left], "{command:?}");
        let run = sandbox.run(["gc", "--mirror", "mirror"]).ok();
        assert!(!run.stdout.contains("Doubtful"), "{}", run.describe());
    }
}

#[test]
fn a_bundle_that_was_accepted_by_mistake_can_be_rejected() {
    let sandbox = Sandbox::new();
    let mirror = mirror_with_bundles(&sandbox, &[(1, "first"), (2, "genuine"), (1000, "forged")]);
    let forged = bundle_argument(&mirror, 1000);
    sandbox.run(["gc", "--grace", "1h", "--accept", &forged, "--mirror", "mirror"]).ok();
    sandbox.run(["gc", "--grace", "0", "--reject", &forged, "--mirror", "mirror"]).ok();
    let summary = ledger::read_summary(&Layout::new(&mirror)).unwrap().unwrap();
    assert_eq!((summary.lineages[0].sequence, summary.contested.len()), (2, 0));
    sandbox.run(["verify", "--mirror", "mirror"]).exits(4).stdout_has("genuine");
    sandbox.run(["import", "genuine.pkg", "--mirror", "mirror"]).ok();
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
    assert_eq!(stored_crates(&mirror), ["genuine"]);
    assert_records_agree(&mirror);
}

#[test]
fn a_rejected_bundle_is_given_with_its_lineage() {
    let sandbox = Sandbox::new();
    let mirror = mirror_with_bundles(&sandbox, &[(1, "first"), (3, "third")]);
    let id = lineage_id();
    let third = bundle_argument(&mirror, 3);
    let before = stored_crates(&mirror);
    for (word, error) in [
        (id.clone(), "names no bundle".to_owned()),
        (
            format!("{id}@ffffffff"),
            format!("no bundle on record in lineage `{id}` has an id that starts with `ffffffff`"),
        ),
        (format!("{id}@{}", &third.split_once('@').unwrap().1[..3]), "no bundle on record".to_owned()),
        (format!("ffff@{third}"), "no lineage of the mirror has an id that starts with `ffff`".to_owned()),
    ] {
        let run = sandbox.run(["gc", "--reject", &word, "--mirror", "mirror"]).exits(3);
        run.stderr_has(&error).stderr_has("hint: ");
    }
    assert_eq!(stored_crates(&mirror), before);
    // The rejection of the only bundle is like forgetting its lineage.
    sandbox.run(["gc", "--grace", "0", "--reject", &third, "--mirror", "mirror"]).ok();
    let first = bundle_argument(&mirror, 1);
    sandbox.run(["gc", "--grace", "0", "--reject", &first, "--mirror", "mirror"]).ok();
    assert_eq!(stored_crates(&mirror), Vec::<String>::new());
    assert_records_agree(&mirror);
    sandbox.run(["gc", "--grace", "0", "--reject", &first, "--mirror", "mirror"]).ok();
}

#[test]
fn imports_after_a_doubtful_bundle_say_how_to_reject_it() {
    let sandbox = Sandbox::new();
    let mirror = mirror_with_bundles(&sandbox, &[(1, "first"), (1000, "forged")]);
    let forged = format!("--reject {}", bundle_argument(&mirror, 1000));
    write_bundle(&sandbox, 2, 20, "second");
    let run = sandbox.run(["import", "second.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has(
        "second.pkg has the number 2 in its history, which still has a doubtful bundle with the number 1000",
    )
    .stderr_has(&forged)
    .stderr_lacks("is older than")
    .stderr_lacks("was written after");
}

#[test]
fn a_collection_without_a_summary_removes_nothing() {
    for damaged in [false, true] {
        let sandbox = Sandbox::new();
        let mirror = mirror_with_bundles(&sandbox, &[(1, "first"), (2, "second")]);
        let summary = mirror.join("manifest.json");
        fs::remove_file(&summary).unwrap();
        if damaged {
            fs::write(&summary, "{").unwrap();
        }
        let what = if damaged { "manifest.json` is damaged" } else { "manifest.json` is missing" };
        let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).exits(4).stderr_has(what);
        run.stderr_has("hint: run `cargo frostmirror verify --mirror ").stderr_has(" --rebuild-state`");
        assert_eq!(stored_crates(&mirror), ["first", "second"]);
        rebuild(&sandbox);
        // A lost record may need the older crate.
        sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
        assert_eq!(stored_crates(&mirror), ["first", "second"]);
        sandbox.forget_rebuilt();
        assert_eq!(stored_crates(&mirror), ["second"]);
    }
}

#[test]
fn repeated_sequence_jumps_remove_nothing() {
    let sandbox = Sandbox::new();
    let mirror = mirror_with_bundles(&sandbox, &[(1, "first"), (3, "third"), (5, "fifth")]);
    collect_at(&mirror, 3000, 0);
    assert_eq!(stored_crates(&mirror), ["fifth", "first", "third"]);
    sandbox.run(["gc", "--grace", "0", "--accept", &lineage_id(), "--mirror", "mirror"]).ok();
    assert_eq!(stored_crates(&mirror), ["fifth"]);
    assert_records_agree(&mirror);
}

/// Writes such a bundle, which names `previous` as the one before it, imports it, and returns its id.
fn import_after(sandbox: &Sandbox, number: u64, previous: &str, name: &str) -> String {
    let second = 10 + i64::try_from(number).unwrap();
    let make = BundleBuilder::new("a", number).read_at(second).previous(previous).ship(Crate::new(name, "1.0.0"));
    import(&sandbox.path("mirror"), &make.write(&sandbox.path(""), &format!("{name}.pkg"))).unwrap().id
}

#[test]
fn a_bundle_forged_for_a_gap_stays_doubtful_when_the_missing_number_arrives() {
    let foreign = "0123456789abcdef0123456789abcdef";
    for genuine_next in [false, true] {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        let fourth = import_after(&sandbox, 4, foreign, "fourth");
        let forged = import_after(&sandbox, 6, foreign, "forged");
        let fifth = import_after(&sandbox, 5, &fourth, "fifth");
        let doubt = format!(
            "bundle number 6 (id {forged}) does not follow bundle number 5 (id {fifth}): the id that it states of its predecessor"
        );
        let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
        let run = run.stdout_has(&doubt);
        assert_eq!(stored_crates(&mirror), ["fifth", "forged"], "{}", run.describe());
        sandbox.run(["status", "--mirror", "mirror"]).ok().stdout_has(&doubt);
        let mut left = vec!["fifth"];
        if genuine_next {
            import_after(&sandbox, 6, &fifth, "sixth");
            sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_has("two different bundles");
            left = vec!["forged", "sixth"];
            assert_eq!(stored_crates(&mirror), left);
            left.remove(0);
        }
        let forged = format!("{}@{forged}", lineage_id());
        sandbox.run(["gc", "--grace", "0", "--mirror", "mirror", "--reject", &forged]).ok();
        assert_eq!(stored_crates(&mirror), left);
        rebuild(&sandbox);
        let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
        assert!(!run.stdout.contains("Doubtful"), "{}", run.describe());
        assert_records_agree(&mirror);
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
    }
}

#[test]
fn a_number_that_came_twice_is_doubtful_until_an_administrator_decides() {
    let foreign = "0123456789abcdef0123456789abcdef";
    for (accepted, left) in [(false, ["one", "three"]), (true, ["three", ""])] {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        let first = import_after(&sandbox, 7, foreign, "one");
        let second = import_after(&sandbox, 7, foreign, "two");
        let third = import_after(&sandbox, 8, &second, "three");
        let doubt = format!("bundle number 7 (id {first}) is none of the bundles before number 8 (id {third})");
        let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
        run.stdout_has(&doubt);
        assert_eq!(stored_crates(&mirror), ["one", "three"]);
        fs::remove_file(mirror.join("manifest.json")).unwrap();
        rebuild(&sandbox);
        sandbox.run(["status", "--mirror", "mirror"]).ok().stdout_has(&doubt);
        if accepted {
            let newest = format!("{}@{third}", lineage_id());
            let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror", "--accept", &newest]).ok();
            run.stdout_has("Kept because import records may be lost: 1 file")
                .stdout_has(&format!("Rejected: bundle number 7 of lineage {}, one.pkg, id {first}", lineage_id()))
                .stdout_has("No bundle on record restores 1 replaced item (one 1.0.0)");
            // The kept line is that of a rejected bundle.
            sandbox
                .run(["verify", "--mirror", "mirror", "--rebuild-state"])
                .exits(4)
                .stdout_has("the line of one 1.0.0");
            sandbox.forget_rebuilt();
        }
        assert_eq!(stored_crates(&mirror), left.iter().filter(|name| !name.is_empty()).copied().collect::<Vec<_>>());
        // The accepted history goes on without a doubt.
        import_after(&sandbox, 9, &third, "four");
        let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
        assert_eq!(run.stdout.contains("Doubtful"), !accepted, "{}", run.describe());
        assert_records_agree(&mirror);
    }
}

#[test]
fn the_next_number_with_another_predecessor_is_doubtful() {
    let foreign = "0123456789abcdef0123456789abcdef";
    let sandbox = Sandbox::new();
    let first = import_after(&sandbox, 4, foreign, "first");
    BundleBuilder::new("a", 5)
        .read_at(20)
        .previous(foreign)
        .ship(Crate::new("second", "1.0.0"))
        .write(&sandbox.path(""), "second.pkg");
    let run = sandbox.run(["import", "second.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has(&format!(
        "second.pkg has the number 5 in its history, but does not follow the imported bundle {first}"
    ))
    .stderr_has(&format!("predecessor is {foreign}"))
    .stderr_has(" --reject ")
    .stderr_has(" --accept ");
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_has("Doubtful: bundle number 5 (id ");
    assert_eq!(stored_crates(&sandbox.path("mirror")), ["first", "second"]);
}

#[test]
fn gc_after_import_accepts_no_sequence_jump() {
    let sandbox = Sandbox::new();
    let mirror = mirror_with_bundles(&sandbox, &[(1, "first")]);
    sandbox.write("config/frostmirror.toml", "prune_on_import = true\n");
    write_bundle(&sandbox, 3, 30, "third");
    let run = sandbox.run(["import", "third.pkg", "--mirror", "mirror", "--config-dir", "config"]).ok();
    run.stderr_has("warning: gc keeps every file that any bundle of lineage").stderr_has(" --accept ");
    assert_eq!(stored_crates(&mirror), ["first", "third"]);
}

#[test]
fn rival_bundles_after_a_jump_are_both_named() {
    let sandbox = Sandbox::new();
    let mirror = mirror_with_bundles(&sandbox, &[(5, "fifth")]);
    let ids = [(20, "genuine"), (30, "rival")].map(|(second, name)| {
        let path = write_bundle(&sandbox, 7, second, name);
        import(&mirror, &path).unwrap().id
    });
    let both = format!("two different bundles have the number 7, with the ids {} and {}", ids[0], ids[1]);
    for args in [&["status"][..], &["gc", "--dry-run"]] {
        let run = sandbox.run(args.iter().chain(&["--mirror", "mirror"])).ok().stdout_has(&both);
        let jumps = run.stdout.matches("number 7 was imported when the highest number was 5").count();
        assert_eq!(jumps, 1, "{}", run.describe());
    }
    let run = sandbox.run(["gc", "--dry-run", "--mirror", "mirror"]).ok();
    run.stdout_has(
        "This rejects the bundles below, and files that only they need become garbage; --dry-run -v lists them",
    )
    .stdout_has("  Candidate: bundle number 7, genuine.pkg, written ")
    .stdout_has(&format!(", id {}", ids[0]));
    assert_eq!(stored_crates(&mirror), ["fifth", "genuine", "rival"]);
}

#[test]
fn two_bundles_with_one_sequence_number_are_reported_and_both_kept() {
    for second in [10, 11] {
        let sandbox = Sandbox::new();
        let mirror = mirror_with_bundles(&sandbox, &[(1, "one")]);
        write_bundle(&sandbox, 1, second, "other");
        let run = sandbox.run(["import", "other.pkg", "--mirror", "mirror"]).ok();
        run.stderr_has("warning: ").stderr_has("another bundle with that number was imported").stderr_has("history`");
        let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
        run.stdout_has("  Doubtful: two different bundles have the number 1, with the ids ").stdout_has(" --accept ");
        assert_eq!(stored_crates(&mirror), ["one", "other"]);
        assert_records_agree(&mirror);
        sandbox.run(["gc", "--grace", "0", "--accept", &lineage_id(), "--mirror", "mirror"]).ok();
        assert_eq!(stored_crates(&mirror), ["other"]);
        assert_records_agree(&mirror);
        let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
        assert!(!run.stdout.contains("Doubtful"), "{}", run.describe());
    }
}

#[test]
fn a_snapshot_preserves_an_unresolved_sequence_jump() {
    let sandbox = Sandbox::new();
    mirror_with_bundles(&sandbox, &[(1, "first"), (3, "third")]);
    sandbox.run(["export", "snapshot", "--output", "out", "--mirror", "mirror"]).ok();
    let file = fs::read_dir(sandbox.path("out")).unwrap().map(|entry| entry.unwrap().path());
    let file = file.into_iter().find(|path| path.extension().is_some_and(|end| end == "pkg")).unwrap();
    let target = sandbox.path("target");
    import(&target, &file).unwrap();
    collect_at(&target, 3000, 0);
    assert_eq!(stored_crates(&target), ["first", "third"]);
    assert_records_agree(&target);
}

fn rebuild(sandbox: &Sandbox) -> Run {
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok()
}

#[track_caller]
fn assert_doubted(sandbox: &Sandbox, is_doubted: bool) {
    let of = |args: &[&str]| sandbox.run(args.iter().chain(&["--mirror", "mirror"])).ok().stdout;
    let doubt = "Doubtful: bundle number 1000 was imported";
    assert_eq!(of(&["gc", "--dry-run"]).contains(doubt), is_doubted, "gc");
    assert_eq!(of(&["status"]).contains(doubt), is_doubted, "status");
}

#[test]
fn a_rebuild_keeps_the_doubt_about_a_sequence_jump() {
    for lost in ["nothing", "manifest.json", "record"] {
        let sandbox = Sandbox::new();
        let mirror = mirror_with_bundles(&sandbox, &[(1, "first"), (2, "genuine"), (1000, "forged")]);
        match lost {
            "record" => {
                let layout = Layout::new(&mirror);
                let name = ledger::record_names(&layout).unwrap().swap_remove(1);
                fs::remove_file(layout.ledger().join(name)).unwrap();
            }
            "manifest.json" => fs::remove_file(mirror.join("manifest.json")).unwrap(),
            _ => {}
        }
        let run = rebuild(&sandbox);
        let warning = "the record of bundle number 2 of lineage";
        assert_eq!(run.stderr.contains(warning), lost == "record", "{}", run.describe());
        assert_doubted(&sandbox, true);
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
        rebuild(&sandbox).stderr_has("nothing was lost that could be rebuilt");
        sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
        assert!(stored_crates(&mirror).contains(&"genuine".to_owned()), "{lost}");
        if lost == "record" {
            sandbox.run(["import", "genuine.pkg", "--mirror", "mirror"]).ok();
            assert_doubted(&sandbox, true);
        }
        sandbox.run(["gc", "--grace", "0", "--accept", &lineage_id(), "--mirror", "mirror"]).ok();
        let run = sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]);
        // Lines that are kept for lost records are those of rejected bundles.
        if lost == "nothing" {
            run.ok()
        } else {
            run.exits(4).stdout_has("may be that of a rejected bundle")
        };
        assert_doubted(&sandbox, false);
    }
}

#[test]
fn a_doubt_outlives_all_records_before_the_jump() {
    let sandbox = Sandbox::new();
    let mirror = mirror_with_bundles(&sandbox, &[(2, "genuine"), (1000, "forged")]);
    let layout = Layout::new(&mirror);
    let name = ledger::record_names(&layout).unwrap().swap_remove(0);
    fs::remove_file(layout.ledger().join(name)).unwrap();
    sandbox.run(["gc", "--mirror", "mirror"]).exits(4).stderr_has("it is unknown which files are needed");
    rebuild(&sandbox).stderr_has("the record of bundle number 2 of lineage").stderr_has("import FILE --mirror");
    assert_doubted(&sandbox, true);
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
    assert_eq!(stored_crates(&mirror), ["forged", "genuine"]);
    sandbox.run(["import", "genuine.pkg", "--mirror", "mirror"]).ok();
    sandbox.run(["gc", "--grace", "0", "--forget", "rebuilt", "--mirror", "mirror"]).ok();
    assert_doubted(&sandbox, true);
    assert_eq!(stored_crates(&mirror), ["forged", "genuine"]);
}

#[test]
fn an_audit_reports_a_summary_without_the_doubt() {
    let sandbox = Sandbox::new();
    let mirror = mirror_with_bundles(&sandbox, &[(2, "genuine"), (1000, "forged")]);
    let path = mirror.join("manifest.json");
    let mut summary: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    summary.as_object_mut().unwrap().remove("contested").unwrap();
    summary["lineages"][0].as_object_mut().unwrap().remove("jumped_from").unwrap();
    fs::write(&path, serde_json::to_vec(&summary).unwrap()).unwrap();
    let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
    run.stdout_has("manifest.json: differs from the ledger about which bundle of lineage")
        .stderr_has("--rebuild-state");
    rebuild(&sandbox);
    assert_doubted(&sandbox, true);
}

/// The number of a bundle, the second at which it was written, and its base.
type BundleRow<'b> = (u64, i64, Option<&'b str>);

/// Imports bundles of the history `a` and returns their ids. Each ships one crate, named after its number.
fn import_based(sandbox: &Sandbox, bundles: &[BundleRow<'_>]) -> Vec<String> {
    import_based_from(sandbox, bundles, 0)
}

/// The same; the first crate has this number in its name.
fn import_based_from(sandbox: &Sandbox, bundles: &[BundleRow<'_>], first: usize) -> Vec<String> {
    let mirror = sandbox.path("mirror");
    let mut ids: Vec<String> = Vec::new();
    for (at, (number, second, base)) in bundles.iter().enumerate() {
        let name = format!("c{}", first + at);
        let make = BundleBuilder::new("a", *number).read_at(*second).ship(Crate::new(&name, "1.0.0"));
        let make = match base {
            // The id of an earlier one of these bundles, by its position.
            Some(base) => make.based_on(base.parse::<usize>().map_or(base, |at| ids[at].as_str())),
            None => make,
        };
        ids.push(import(&mirror, &make.write(&sandbox.path(""), &format!("{name}.pkg"))).unwrap().id);
    }
    ids
}

#[test]
fn a_base_on_record_does_not_explain_a_sequence_jump() {
    for base in ["1", "0"] {
        for lost in ["nothing", "rebuild"] {
            let sandbox = Sandbox::new();
            let mirror = sandbox.path("mirror");
            let ids = import_based(&sandbox, &[(1, 10, None), (2, 20, None), (5, 30, Some(base))]);
            if lost == "rebuild" {
                rebuild(&sandbox);
            }
            let doubt = "bundle number 5 was imported when the highest number was 2";
            sandbox.run(["status", "--mirror", "mirror"]).ok().stdout_has(doubt);
            sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_has(doubt);
            assert_eq!(stored_crates(&mirror), ["c1", "c2"], "{base} {lost}");
            let accepted = format!("{}@{}", lineage_id(), ids[2]);
            sandbox.run(["gc", "--grace", "0", "--mirror", "mirror", "--accept", &accepted]).ok();
            assert_eq!(stored_crates(&mirror), ["c2"], "{base} {lost}");
            sandbox.run(["verify", "--mirror", "mirror"]).ok();
            assert_records_agree(&mirror);
        }
    }
}

#[test]
fn bundles_that_follow_a_doubtful_one_share_its_doubt() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let ids =
        import_based(&sandbox, &[(1, 10, None), (2, 20, None), (99, 30, None), (100, 40, Some("2")), (101, 50, None)]);
    let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
    run.stdout_has("bundle number 101 was imported when the highest number was 2");
    assert_eq!(stored_crates(&mirror), ["c1", "c2", "c3", "c4"]);
    // Genuine bundles go on from number 2.
    import_based_from(&sandbox, &[(3, 60, None)], 5);
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
    assert_eq!(stored_crates(&mirror), ["c2", "c3", "c4", "c5"]);
    for id in &ids[2..] {
        sandbox.run(["gc", "--grace", "0", "--mirror", "mirror", "--reject", &format!("{}@{id}", lineage_id())]).ok();
    }
    assert_eq!(stored_crates(&mirror), ["c5"]);
}

#[test]
fn a_jump_with_a_base_on_record_is_reported_at_import() {
    let sandbox = Sandbox::new();
    let ids = import_based(&sandbox, &[(1, 10, None), (2, 20, None)]);
    let make = BundleBuilder::new("a", 99).read_at(30).ship(Crate::new("c2", "1.0.0")).based_on(&ids[1]);
    make.write(&sandbox.path(""), "jump.pkg");
    sandbox
        .run(["import", "jump.pkg", "--mirror", "mirror"])
        .ok()
        .stderr_has("jump.pkg has the number 99 in its history, but the newest imported bundle has number 2")
        .stderr_has("otherwise, also after a `cargo frostmirror fetch --base`, accept it with");
}

#[test]
fn a_base_does_not_excuse_other_contradictions() {
    let foreign = "0123456789abcdef0123456789abcdef";
    // The numbers and times of the bundles, the base of each, and what stays after a collection.
    let cases: [(&[BundleRow<'_>], &[&str]); 5] = [
        // The base is not on record.
        (&[(1, 10, None), (2, 20, None), (5, 30, Some(foreign))], &["c1", "c2"]),
        // The number of the base jumped too.
        (&[(1, 10, None), (3, 20, None), (7, 30, Some("1"))], &["c0", "c1", "c2"]),
        // Another bundle has the same number.
        (&[(1, 10, None), (2, 20, None), (2, 30, Some("0"))], &["c1", "c2"]),
        // It was written before the newest.
        (&[(1, 10, None), (2, 20, None), (5, 15, Some("0"))], &["c1", "c2"]),
        // Its base has a higher number.
        (&[(5, 10, None), (3, 5, Some("0"))], &["c0", "c1"]),
    ];
    for (bundles, left) in cases {
        let sandbox = Sandbox::new();
        import_based(&sandbox, bundles);
        sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
        assert_eq!(stored_crates(&sandbox.path("mirror")), left, "{bundles:?}");
    }
    // The base is a bundle of another history.
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import_based(&sandbox, &[(1, 10, None), (2, 20, None)]);
    let other = BundleBuilder::new("b", 1).ship(Crate::new("other", "1.0.0")).write(&sandbox.path(""), "other.pkg");
    let other = import(&mirror, &other).unwrap().id;
    let forged = BundleBuilder::new("a", 9).read_at(40).ship(Crate::new("forged", "1.0.0")).based_on(&other);
    forged.write(&sandbox.path(""), "forged.pkg");
    sandbox.run(["import", "forged.pkg", "--mirror", "mirror"]).ok().stderr_has("the bundles between them are missing");
    sandbox
        .run(["gc", "--grace", "0", "--mirror", "mirror"])
        .ok()
        .stdout_has("  Doubtful: bundle number 9 was imported when the highest number was 2");
    assert_eq!(stored_crates(&mirror), ["c1", "forged", "other"]);
}

#[test]
fn an_accepted_bundle_stays_accepted_when_its_lost_record_is_restored() {
    for is_damaged in [false, true] {
        for has_summary in [true, false] {
            let sandbox = Sandbox::new();
            let mirror = mirror_with_bundles(&sandbox, &[(1, "first"), (1000, "accepted")]);
            let accepted = bundle_argument(&mirror, 1000);
            sandbox.run(["gc", "--accept", &accepted, "--mirror", "mirror"]).ok();
            import(&mirror, &write_bundle(&sandbox, 2, 20, "late")).unwrap();
            let layout = Layout::new(&mirror);
            let record = layout.ledger().join(&ledger::record_names(&layout).unwrap()[1]);
            if is_damaged {
                fs::write(record, "{").unwrap();
            } else {
                fs::remove_file(record).unwrap();
            }
            if !has_summary {
                fs::remove_file(mirror.join("manifest.json")).unwrap();
                rebuild(&sandbox);
            }
            sandbox.run(["import", "accepted.pkg", "--mirror", "mirror"]).ok().stderr_lacks("--accept");
            let is_certain = || {
                let summary = ledger::read_summary(&layout).unwrap().unwrap();
                let tips = summary.lineages.iter().chain(&summary.contested).filter(|tip| tip.id == lineage_id());
                let numbers: Vec<u64> = tips.map(|tip| tip.sequence).collect();
                assert_eq!(numbers, [1000], "{is_damaged} {has_summary}");
            };
            is_certain();
            let run = sandbox.run(["gc", "--mirror", "mirror"]).ok().stdout_lacks("Doubtful");
            run.stdout_has("accepted.pkg, ");
            is_certain();
            sandbox.run(["verify", "--mirror", "mirror"]).ok();
        }
    }
}
