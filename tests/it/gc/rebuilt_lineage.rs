//! The lineage `rebuilt` keeps the files of lost records until every bundle that a rebuild named is imported again, in any
//! order of losses, rebuilds and imports.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use frostmirror::event::NullSink;
use frostmirror::mirror::audit::{Fault, Problem};
use frostmirror::mirror::gc::Options;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use frostmirror::mirror::lock::{lock_for_adding, lock_for_collecting, lock_for_reading};
use frostmirror::mirror::snapshot;
use proptest::prelude::*;

use super::{collect, stored_and_indexed_crates};
use crate::bundle_builder::{BundleBuilder, import, test_holder, test_time};
use crate::support::crates::Crate;
use crate::support::process::Run;
use crate::support::sandbox::Sandbox;

/// A bundle of the history with this number. It has a crate of its own and these others.
fn write_bundle(folder: &Path, history: &str, number: u64, second: i64, others: &[String]) -> PathBuf {
    let own = format!("own-{history}{number}");
    let mut names: Vec<&str> = others.iter().map(String::as_str).chain([own.as_str()]).collect();
    names.sort_unstable();
    let make = BundleBuilder::new(history, number).read_at(second);
    let make = names.into_iter().fold(make, |make, name| make.ship(Crate::new(name, "1.0.0")));
    make.write(folder, &format!("{history}{number}.pkg"))
}

/// Writes a snapshot of a mirror with this bundle alone.
fn snapshot_of(folder: &Path, bundle: &Path) -> PathBuf {
    let stem = bundle.file_stem().unwrap().to_string_lossy().into_owned();
    let mirror = folder.join(format!("mirror-of-{stem}"));
    let output = folder.join(format!("snapshot-of-{stem}"));
    if !output.exists() {
        import(&mirror, bundle).unwrap();
        let guard = lock_for_reading(&Layout::new(&mirror), Duration::ZERO, &test_holder(), &NullSink).unwrap();
        let options = snapshot::Options { folder: output.clone(), config: Vec::new(), now: test_time(900) };
        guard.snapshot(options, &NullSink).unwrap();
    }
    fs::read_dir(output).unwrap().next().unwrap().unwrap().path()
}

fn record_numbers(mirror: &Path, bundle: &str) -> Vec<u64> {
    let names = ledger::record_names(&Layout::new(mirror)).unwrap();
    let end = format!("-{bundle}.json");
    names.iter().filter(|name| name.ends_with(&end)).filter_map(|name| ledger::record_number(name)).collect()
}

/// Removes or cuts the record of this position.
fn lose_record(mirror: &Path, at: usize, is_cut: bool) {
    let layout = Layout::new(mirror);
    let names = ledger::record_names(&layout).unwrap();
    let path = layout.ledger().join(&names[at % names.len()]);
    if is_cut {
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() / 2]).unwrap();
    } else {
        fs::remove_file(&path).unwrap();
    }
}

/// Imports the bundles `a1 b1 a2 b2` and perhaps `c1`; `x` is in `b1` and `a2` only.
fn import_two_histories(sandbox: &Sandbox, has_third: bool) {
    let x = ["x".to_owned()];
    let bundles: [(&str, u64, &[String]); 5] =
        [("a", 1, &[]), ("b", 1, &x), ("a", 2, &x), ("b", 2, &[]), ("c", 1, &[])];
    for ((history, number, others), second) in bundles.into_iter().take(if has_third { 5 } else { 4 }).zip(10..) {
        import(&sandbox.path("mirror"), &write_bundle(&sandbox.path(""), history, number, second, others)).unwrap();
    }
}

fn rebuild(sandbox: &Sandbox) -> Run {
    sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok()
}

fn forget(sandbox: &Sandbox) -> Run {
    sandbox.run(["gc", "--forget", "rebuilt", "--grace", "0", "--mirror", "mirror"])
}

fn import_file(sandbox: &Sandbox, file: &str) {
    sandbox.run(["import", file, "--mirror", "mirror"]).ok();
}

fn is_stored(sandbox: &Sandbox, name: &str) -> bool {
    sandbox.path(format!("mirror/crates/{name}-1.0.0.crate")).exists()
}

#[test]
fn every_bundle_that_manifest_json_named_must_return() {
    for (first, second) in [("a2", "b2"), ("b2", "a2")] {
        for by_snapshot in [false, true] {
            let sandbox = Sandbox::new();
            let mirror = sandbox.path("mirror");
            import_two_histories(&sandbox, false);
            [3, 2].into_iter().for_each(|at| lose_record(&mirror, at, false));
            let run = rebuild(&sandbox);
            assert_eq!(run.stderr.matches("the record of bundle number 2 of lineage").count(), 2, "{}", run.describe());
            forget(&sandbox).exits(4).stderr_has(" and 1 more, whose record is lost");
            import_file(&sandbox, &format!("{first}.pkg"));
            forget(&sandbox).exits(4).stderr_has("whose record is lost, was not imported again");
            assert!(is_stored(&sandbox, "x"));
            if by_snapshot {
                import(&mirror, &snapshot_of(&sandbox.path(""), &sandbox.path(format!("{second}.pkg")))).unwrap();
            } else {
                import_file(&sandbox, &format!("{second}.pkg"));
            }
            forget(&sandbox).ok();
            assert!(is_stored(&sandbox, "x"), "a2 needs it");
            sandbox.run(["verify", "--mirror", "mirror"]).ok();
        }
    }
}

#[test]
fn rebuilt_needs_no_confirmation_once_every_lost_bundle_returned() {
    // Without manifest.json, nothing shows that no newer bundle is lost.
    for (lose_summary, lose_line_record) in [(false, false), (true, false), (true, true)] {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        let many: Vec<String> = (0..9).map(|number| format!("old-{number}")).collect();
        for (number, others) in [(1, many.as_slice()), (2, &[][..])] {
            let second = 10 * i64::try_from(number).unwrap();
            import(&mirror, &write_bundle(&sandbox.path(""), "a", number, second, others)).unwrap();
        }
        lose_record(&mirror, 1, false);
        if lose_summary {
            fs::remove_file(mirror.join("manifest.json")).unwrap();
        }
        if lose_line_record {
            fs::remove_file(mirror.join(".frostmirror/lines/ol/d-/old-0")).unwrap();
        }
        rebuild(&sandbox);
        forget(&sandbox).exits(4);
        import_file(&sandbox, "a2.pkg");
        let run = forget(&sandbox);
        if lose_summary {
            run.exits(4).stderr_has("manifest.json was lost, and a lost record may need what it would remove");
            assert!(is_stored(&sandbox, "old-0"));
            sandbox.forget_rebuilt().stdout_has("Removed 10 crates");
        } else {
            run.ok().stdout_has("Removed 10 crates");
        }
        if !lose_line_record {
            sandbox.run(["verify", "--mirror", "mirror"]).ok();
        }
        assert!(is_stored(&sandbox, "own-a2"));
    }
}

#[test]
fn a_crate_that_a_lost_record_shared_with_a_newest_one_stays() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let x = ["x".to_owned()];
    // At the rebuild, `a1` is the newest record of its history and names `x`. The lost `b1` needs `x` too, and `a2` does not.
    for (history, number, second, others) in [("b", 1, 10, &x[..]), ("a", 1, 20, &x[..]), ("a", 2, 30, &[][..])] {
        import(&mirror, &write_bundle(&sandbox.path(""), history, number, second, others)).unwrap();
    }
    [2, 0].into_iter().for_each(|at| lose_record(&mirror, at, false));
    rebuild(&sandbox);
    import_file(&sandbox, "a2.pkg");
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
    assert!(is_stored(&sandbox, "x"), "the lost b1 needs it");
    import_file(&sandbox, "b1.pkg");
    forget(&sandbox).ok();
    assert!(is_stored(&sandbox, "x"));
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn a_lost_record_of_the_rebuilt_lineage_does_not_release_the_files() {
    for lose_summary in [false, true] {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        import_two_histories(&sandbox, false);
        [3, 2].into_iter().for_each(|at| lose_record(&mirror, at, false));
        rebuild(&sandbox);
        import_file(&sandbox, "b2.pkg");
        // The record of `rebuilt` is the one before the last.
        let layout = Layout::new(&mirror);
        let names = ledger::record_names(&layout).unwrap();
        let rebuilt = names.iter().find(|name| name.ends_with("-rebuilt.json")).unwrap();
        fs::remove_file(layout.ledger().join(rebuilt)).unwrap();
        if lose_summary {
            fs::remove_file(layout.summary()).unwrap();
        }
        let run = rebuild(&sandbox).stderr_lacks("-rebuilt");
        // Without manifest.json, the bundle that is still missing is named again.
        assert_eq!(run.stderr.contains("the bundle with the id"), lose_summary, "{}", run.stderr);
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
        sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
        assert!(is_stored(&sandbox, "x"));
        forget(&sandbox)
            .exits(4)
            .stderr_has("whose record is lost, was not imported again")
            .stderr_lacks(" more, whose");
        import_file(&sandbox, "a2.pkg");
        forget(&sandbox).ok();
        assert!(is_stored(&sandbox, "x"));
    }
}

#[test]
fn lost_records_that_nothing_names_require_a_confirmation() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import_two_histories(&sandbox, true);
    [3, 2].into_iter().for_each(|at| lose_record(&mirror, at, false));
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    rebuild(&sandbox)
        .stderr_has("the record of the bundle with the id ")
        .stderr_has("1 other record is lost, and nothing names its bundle. Import every bundle that you still have");
    import_file(&sandbox, "b2.pkg");
    let run = forget(&sandbox).exits(4);
    let run = run.stderr_has("1 other record is lost, and nothing shows whether its bundle was imported again");
    assert!(is_stored(&sandbox, "x"));
    let confirmed = run.stderr.split_once("--forget ").unwrap().1.split_whitespace().next().unwrap().to_owned();
    import_file(&sandbox, "a2.pkg");
    sandbox.run(["gc", "--forget", &confirmed, "--grace", "0", "--mirror", "mirror"]).ok();
    assert!(is_stored(&sandbox, "x"));
    // The confirmation settled that loss: a later one does not include it.
    lose_record(&mirror, 0, false);
    rebuild(&sandbox);
    let run = sandbox.run(["gc", "--mirror", "mirror"]).ok();
    if run.stdout.contains("Lineage rebuilt") {
        forget(&sandbox).exits(4).stderr_lacks("other record");
    }
}

#[test]
fn a_restored_record_that_is_lost_again_is_reported_again() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import_two_histories(&sandbox, false);
    let layout = Layout::new(&mirror);
    for _ in 0..2 {
        let newest = ledger::record_names(&layout).unwrap().pop().unwrap();
        fs::remove_file(layout.ledger().join(&newest)).unwrap();
        let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
        run.stdout_has(&format!("{newest}: is missing, but manifest.json names it"));
        rebuild(&sandbox).stderr_has("the record of bundle number 2 of lineage");
        forget(&sandbox).exits(4).stderr_has("whose record is lost, was not imported again");
        import_file(&sandbox, "b2.pkg");
        let run = sandbox.run(["gc", "--forget", "rebuilt", "--dry-run", "--mirror", "mirror"]).ok();
        run.stderr_lacks("this run would fail");
    }
}

/// Of the two histories, `a` has itoa until its second bundle, and `b` has it in both. The records of both second bundles
/// are lost.
#[test]
fn what_the_newest_remaining_bundles_needed_stays_while_records_may_be_lost() {
    for lose_summary in [false, true] {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        let x = ["x".to_owned()];
        let bundles: [(&str, u64, &[String]); 4] = [("a", 1, &x), ("b", 1, &x), ("b", 2, &x), ("a", 2, &[])];
        for ((history, number, others), second) in bundles.into_iter().zip(10..) {
            let file = write_bundle(&sandbox.path(""), history, number, second, others);
            import(&mirror, &file).unwrap();
        }
        [3, 2, 1].into_iter().for_each(|at| lose_record(&mirror, at, false));
        if lose_summary {
            fs::remove_file(mirror.join("manifest.json")).unwrap();
        }
        rebuild(&sandbox);
        import_file(&sandbox, "a2.pkg");
        let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
        assert!(is_stored(&sandbox, "x"), "the lost b2 needs it");
        let why =
            if lose_summary { "records may be lost: 2 files." } else { "records are lost: 2 files, until the bundle" };
        run.stdout_has(&format!("Kept because import {why}"));
        let run =
            sandbox.run(["gc", "--grace", "0", "--dry-run", "--message-format", "json", "--mirror", "mirror"]).ok();
        run.stdout_has(r#""kept_for_lost_records":{"#);
        import_file(&sandbox, "b1.pkg");
        import_file(&sandbox, "b2.pkg");
        if lose_summary {
            sandbox.forget_rebuilt();
        } else {
            forget(&sandbox).ok();
        }
        assert!(is_stored(&sandbox, "x"));
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
    }
}

/// Of the bundles `a1`, `b1` and `a2`, only `b1` and its record are lost for good. Everything is needed when `rebuilt` is
/// forgotten, and no longer after `a3`.
#[test]
fn rebuilt_is_not_forgotten_without_a_confirmation_although_nothing_would_be_removed() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let x = ["x".to_owned()];
    let write = |history: &str, number: u64, second: i64, others: &[String]| {
        write_bundle(&sandbox.path(""), history, number, second, others)
    };
    import(&mirror, &write("a", 1, 10, &[])).unwrap();
    import(&mirror, &write("b", 1, 11, &x)).unwrap();
    lose_record(&mirror, 1, false);
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    rebuild(&sandbox).stderr_has("they are kept as lineage `rebuilt`");
    let all = ["own-a1".to_owned(), "own-b1".to_owned(), "x".to_owned()];
    import(&mirror, &write("a", 2, 20, &all)).unwrap();
    let run = forget(&sandbox).exits(4);
    run.stdout_has("To remove: 0 index lines")
        .stderr_has("manifest.json was lost, and a lost record may need what a later run would remove")
        .stderr_has("ends the protection of files for lost records for good");
    import(&mirror, &write("a", 3, 30, &[])).unwrap();
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
    assert!(is_stored(&sandbox, "x") && is_stored(&sandbox, "own-b1"), "the lost b1 needs them");
    let run = forget(&sandbox).exits(4);
    let confirmed = run.stderr.split_once("--forget ").unwrap().1.split_whitespace().next().unwrap().to_owned();
    let dry_run = ["gc", "--forget", &confirmed, "--dry-run", "-v", "--mirror", "mirror"];
    sandbox.run(dry_run).ok().stderr_has("index line x 1.0.0").stderr_lacks("this run would fail");
    sandbox.forget_rebuilt();
    assert!(!is_stored(&sandbox, "x"));
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_lacks("Kept because");
}

/// The remaining record names everything, so the rebuild writes no lineage `rebuilt`.
#[test]
fn what_other_bundles_named_stays_after_the_loss_of_manifest_json_alone_shows_no_loss() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let shared = ["own-b1".to_owned(), "x".to_owned()];
    for (history, others, second) in [("a", &shared[..], 10), ("b", &shared[1..], 11)] {
        import(&mirror, &write_bundle(&sandbox.path(""), history, 1, second, others)).unwrap();
    }
    lose_record(&mirror, 1, false);
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    rebuild(&sandbox);
    import(&mirror, &write_bundle(&sandbox.path(""), "a", 2, 20, &[])).unwrap();
    let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
    assert!(is_stored(&sandbox, "x") && is_stored(&sandbox, "own-b1"), "the lost b1 needs them");
    run.stdout_has("Kept because import records may be lost");
    // Its second step alone leads to the first one.
    for word in ["rebuilt", "rebuilt@abcd"] {
        let run = sandbox.run(["gc", "--forget", word, "--mirror", "mirror"]).exits(3);
        run.stderr_has("the mirror has no lineage `rebuilt` yet")
            .stderr_has("--rebuild-state`, which records these files");
    }
    // The way out that it prints.
    rebuild(&sandbox).stderr_has("they are kept as lineage `rebuilt`");
    let run = forget(&sandbox).exits(4).stderr_has("manifest.json was lost");
    assert!(is_stored(&sandbox, "x"));
    let confirmed = run.stderr.split_once("--forget ").unwrap().1.split_whitespace().next().unwrap().to_owned();
    sandbox.run(["gc", "--forget", &confirmed, "--grace", "0", "--mirror", "mirror"]).ok();
    assert!(!is_stored(&sandbox, "x"));
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_lacks("Kept because");
}

#[test]
fn a_bundle_of_a_lost_record_whose_files_others_name_can_be_given_up() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let x = ["x".to_owned()];
    for (number, others, second) in [(1, &x[..], 10), (2, &x[..], 11)] {
        for history in ["a", "b"] {
            import(&mirror, &write_bundle(&sandbox.path(""), history, number, second, others)).unwrap();
        }
    }
    // The other history names the crate too, so no lineage `rebuilt` is needed for it.
    lose_record(&mirror, 3, false);
    rebuild(&sandbox);
    let later = write_bundle(&sandbox.path(""), "a", 3, 20, &[]);
    import(&mirror, &later).unwrap();
    let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
    assert!(is_stored(&sandbox, "x"), "the lost b2 needs it");
    run.stdout_has("Kept because import records are lost");
    rebuild(&sandbox);
    let run = forget(&sandbox).exits(4).stderr_has("whose record is lost, was not imported again");
    let confirmed = run.stderr.split_once("--forget ").unwrap().1.split_whitespace().next().unwrap().to_owned();
    sandbox.run(["gc", "--forget", &confirmed, "--grace", "0", "--mirror", "mirror"]).ok();
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_lacks("Kept because");
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn a_restored_record_that_is_lost_again_with_manifest_json_is_named() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import_two_histories(&sandbox, false);
    let layout = Layout::new(&mirror);
    let lose_newest = || fs::remove_file(layout.ledger().join(ledger::record_names(&layout).unwrap().pop().unwrap()));
    lose_newest().unwrap();
    rebuild(&sandbox);
    import_file(&sandbox, "b2.pkg");
    let newest = ledger::record_names(&layout).unwrap().pop().unwrap();
    let (_, bundle) = newest.strip_suffix(".json").unwrap().split_once('-').unwrap();
    lose_newest().unwrap();
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    rebuild(&sandbox).stderr_has(&format!("the record of the bundle with the id {bundle} is lost"));
    forget(&sandbox).exits(4).stderr_has(&format!("the bundle with the id {bundle}, whose record is lost"));
    import_file(&sandbox, "b2.pkg");
    forget(&sandbox).stderr_lacks("whose record is lost");
}

/// What happens next.
#[derive(Clone, Debug)]
enum Action {
    /// These records are removed or cut, perhaps manifest.json too, and the mirror is rebuilt.
    Lose(Vec<(usize, bool)>, bool),
    /// A bundle that was imported once arrives again, alone or in a snapshot.
    Return(prop::sample::Index, bool),
    /// Garbage is collected.
    Collect,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let record = (0usize..16, any::<bool>());
    let lose =
        (prop::collection::vec(record, 0..4), any::<bool>()).prop_map(|(records, head)| Action::Lose(records, head));
    let again = (any::<prop::sample::Index>(), prop::bool::weighted(0.3)).prop_map(|(at, by)| Action::Return(at, by));
    let collect = Just(Action::Collect);
    let more = prop::collection::vec(prop_oneof![2 => lose.clone(), 4 => again, 2 => collect], 2..9);
    (lose, more).prop_map(|(first, more)| [vec![first], more].concat())
}

/// Each bundle's history, and which of the shared crates it has.
fn bundles() -> impl Strategy<Value = Vec<(usize, Vec<bool>)>> {
    prop::collection::vec((0usize..3, prop::collection::vec(any::<bool>(), 3)), 2..6)
}

/// Why a run does not forget the lineage `rebuilt`; `None` if it would.
fn refusal(mirror: &Path) -> Option<String> {
    let options = Options {
        grace: Duration::ZERO,
        retire: vec!["rebuilt".to_owned()],
        accept: Vec::new(),
        reject: Vec::new(),
        now: test_time(6000),
    };
    let mut guard = lock_for_collecting(&Layout::new(mirror), Duration::ZERO, &test_holder(), &NullSink).unwrap();
    let planned = guard.plan(&options).unwrap();
    planned.plan().refusal().map(ToString::to_string)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rebuilt_is_not_forgotten_before_every_named_bundle_returned(bundles in bundles(), acts in actions()) {
        let folder = tempfile::tempdir().unwrap();
        let mirror = folder.path().join("mirror");
        let mut numbers = [0u64; 3];
        let mut needed: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        let (mut files, mut ids) = (Vec::new(), Vec::new());
        for ((history, shared), second) in bundles.iter().zip(10..) {
            numbers[*history] += 1;
            let (letter, number) = (["a", "b", "c"][*history], numbers[*history]);
            let others: Vec<String> = (0..3).filter(|at| shared[*at]).map(|at| format!("s{at}")).collect();
            let file = write_bundle(folder.path(), letter, number, second, &others);
            ids.push(import(&mirror, &file).unwrap().id);
            files.push(file);
            let own = format!("own-{letter}{number}");
            needed.insert(*history, others.into_iter().chain([own]).map(|name| format!("{name}-1.0.0")).collect());
        }
        let needed: BTreeSet<String> = needed.into_values().flatten().collect();
        let mut named: BTreeSet<String> = BTreeSet::new();
        let mut snapshots: BTreeSet<PathBuf> = BTreeSet::new();
        let mut second = 2000;
        for act in acts {
            second += 10;
            match act {
                Action::Lose(records, head) => {
                    let count = ledger::record_names(&Layout::new(&mirror)).unwrap().len();
                    let places: BTreeMap<usize, bool> = records.into_iter().map(|(at, is_cut)| (at % count, is_cut)).collect();
                    for (at, is_cut) in places.into_iter().rev() {
                        lose_record(&mirror, at, is_cut);
                    }
                    if head {
                        fs::remove_file(mirror.join("manifest.json")).unwrap();
                    }
                    let mut guard = lock_for_adding(&Layout::new(&mirror), Duration::ZERO, &test_holder(), &NullSink).unwrap();
                    let report = guard.rebuild(test_time(second), &NullSink).unwrap();
                    // The newest remaining bundle of a history may need crates that were garbage.
                    let is_garbage = |problem: &Problem| matches!(problem.fault, Fault::NotInIndex { .. });
                    let problems: Vec<_> = report.audit.problems.iter().filter(|problem| !is_garbage(problem)).collect();
                    prop_assert!(problems.is_empty(), "{problems:?}");
                    named.extend(report.lost_bundles.into_iter().map(|lost| lost.bundle));
                }
                Action::Return(at, by_snapshot) => {
                    let at = at.index(files.len());
                    let before = record_numbers(&mirror, &ids[at]);
                    let file = if by_snapshot { snapshot_of(folder.path(), &files[at]) } else { files[at].clone() };
                    named.remove(&import(&mirror, &file).unwrap().id);
                    if by_snapshot {
                        snapshots.insert(file);
                    }
                    // A snapshot with an older bundle of a history does not restore its record.
                    if !by_snapshot || record_numbers(&mirror, &ids[at]) != before {
                        named.remove(&ids[at]);
                    }
                }
                Action::Collect => {
                    collect(&mirror, second, 0, &[]).unwrap();
                }
            }
            let (_, listed) = stored_and_indexed_crates(&mirror);
            prop_assert!(needed.is_subset(&listed), "{needed:?} {listed:?}");
            let summary = ledger::read_summary(&Layout::new(&mirror)).unwrap().unwrap();
            if summary.lineages.iter().any(|tip| tip.id == "rebuilt") {
                let refusal = refusal(&mirror);
                let is_refused_for_named = refusal.as_ref().is_some_and(|text| text.contains("the bundle with the id"));
                prop_assert_eq!(is_refused_for_named, !named.is_empty(), "{:?} {:?}", refusal, named);
            }
        }
        for file in snapshots.iter().chain(&files) {
            import(&mirror, file).unwrap();
        }
        let forgotten = collect(&mirror, second + 10, 0, &["rebuilt"]);
        if let Err(error) = forgotten {
            prop_assert!(!error.to_string().contains("the bundle with the id"), "{error}");
        }
        let (_, listed) = stored_and_indexed_crates(&mirror);
        prop_assert!(needed.is_subset(&listed), "{needed:?} {listed:?}");
    }
}
