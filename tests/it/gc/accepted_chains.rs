//! An acceptance rejects the bundles of the history that do not lead to the accepted one. Nothing that others need is lost.

use std::path::{Path, PathBuf};

use frostmirror::bundle::format::CrateState::Sent;

use super::rejected_content::{bundle_id, reference, rejection};
use super::{assert_records_agree, stored_and_indexed_crates};
use crate::bundle_builder::{BundleBuilder, import, public_files};
use crate::import_dist_files::read_text;
use crate::support::crates::Crate;
use crate::support::process::Run;
use crate::support::sandbox::Sandbox;

fn crate_of(number: u64) -> Crate {
    Crate::new(&format!("c{number}"), "1.0.0")
}

/// The genuine bundle of this number, which needs the crates of all bundles before it, after the bundle `previous`.
fn genuine(folder: &Path, number: u64, previous: Option<&Path>, name: &str) -> PathBuf {
    let bundle = BundleBuilder::new("a", number).ship(crate_of(number));
    let bundle = (1..number).fold(bundle, |bundle, before| bundle.with_crate(crate_of(before), Sent));
    let Some(previous) = previous else { return bundle.write(folder, name) };
    let base = bundle_id(previous);
    bundle.based_on(&base).previous(&base).write(folder, name)
}

/// Genuine bundles with the numbers 1 to `last`.
fn genuine_chain(folder: &Path, last: u64) -> Vec<PathBuf> {
    let mut chain: Vec<PathBuf> = Vec::new();
    for number in 1..=last {
        let next = genuine(folder, number, chain.last().map(PathBuf::as_path), &format!("{number}.pkg"));
        chain.push(next);
    }
    chain
}

/// A forged bundle after `previous` that yanks the crate of number 1. Its time is later than all genuine ones.
fn forged(folder: &Path, number: u64, second: i64, previous: &str, name: &str) -> PathBuf {
    let bundle = BundleBuilder::new("a", number).read_at(second).previous(previous);
    bundle.ship(crate_of(1).yanked()).ship(Crate::new(name, "1.0.0")).write(folder, &format!("{name}.pkg"))
}

fn gc(sandbox: &Sandbox, more: &[&str]) -> Run {
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"].iter().chain(more))
}

fn import_all<'p>(mirror: &Path, bundles: impl IntoIterator<Item = &'p PathBuf>) {
    bundles.into_iter().for_each(|bundle| drop(import(mirror, bundle).unwrap()));
}

/// Imports the genuine bundles again, and compares the mirror with one that has nothing else.
fn assert_restored(sandbox: &Sandbox, genuine: &[PathBuf]) {
    let mirror = sandbox.path("mirror");
    import_all(&mirror, genuine);
    gc(sandbox, &[]).ok().stdout_lacks("Doubtful").stdout_lacks("Import again").stdout_lacks("No bundle on record");
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    assert_eq!(public_files(&mirror), reference(sandbox, &genuine.iter().collect::<Vec<_>>()));
    assert_records_agree(&mirror);
}

#[test]
fn the_line_of_a_false_bundle_leaves_service_when_a_later_genuine_one_is_accepted() {
    // The number of the first of two forged bundles, and the position of both in the order of import.
    for (number, at) in [(2, 1), (2, 3), (3, 2), (1, 0), (1, 3)] {
        let sandbox = Sandbox::new();
        let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
        let chain = genuine_chain(&folder, 3);
        let previous = if number == 1 {
            "0123456789abcdef".repeat(2)
        } else {
            bundle_id(&chain[usize::try_from(number).unwrap() - 2])
        };
        let first = forged(&folder, number, 100, &previous, "evil");
        let second = forged(&folder, number + 1, 101, &bundle_id(&first), "worse");
        let mut order: Vec<&PathBuf> = chain.iter().collect();
        order.splice(at..at, [&first, &second]);
        import_all(&mirror, order);
        assert!(read_text(&mirror, "index/2/c1").contains("\"yanked\":true"));
        let term = rejection(&chain[2]);
        let plan = gc(&sandbox, &["--dry-run"]).ok();
        let case = format!("{number} {at}: {}", plan.describe());
        if !plan.stdout.contains(&format!("look for the id {} ", bundle_id(&chain[2]))) {
            // The forged bundle is the newest, and is asked about first.
            assert!(plan.stdout.contains(&format!("--reject {}`", rejection(&second))), "{case}");
            continue;
        }
        let ids = [&first, &second].map(|path| bundle_id(path));
        for id in &ids {
            assert!(
                plan.stdout.lines().any(|line| line.contains("Accepting rejects: ") && line.ends_with(id)),
                "{case}"
            );
        }
        let is_named = |run: &Run, id: &str| {
            run.stdout.lines().any(|line| line.starts_with("Rejected: bundle number ") && line.contains(id))
        };
        let plan = gc(&sandbox, &["--dry-run", "--accept", &term]).ok().stdout_has("To reset: 1 index line");
        assert!(ids.iter().all(|id| is_named(&plan, id)), "{case}");
        assert!(read_text(&mirror, "index/2/c1").contains("\"yanked\":true"));
        let run = gc(&sandbox, &["--accept", &term]).ok().stdout_has("Import again: 3.pkg (");
        assert!(ids.iter().all(|id| is_named(&run, id)), "{case}");
        gc(&sandbox, &[]).ok().stdout_lacks("Doubtful").stdout_has("Import again: 3.pkg (");
        sandbox.run(["verify", "--mirror", "mirror"]).exits(4).stdout_has("c1 1.0.0 may be that of a rejected bundle");
        assert_restored(&sandbox, &chain);
    }
}

#[test]
fn of_two_genuine_forks_the_rejected_one_takes_nothing_that_others_need() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let chain = genuine_chain(&folder, 3);
    // The history was restored after number 2. The old number 3 brought `shared`, which another history needs too.
    let fork = BundleBuilder::new("a", 3).read_at(50).previous(&bundle_id(&chain[1]));
    let fork = fork.ship(Crate::new("shared", "1.0.0")).ship(Crate::new("alone", "1.0.0")).write(&folder, "fork.pkg");
    let other = BundleBuilder::new("b", 1).read_at(5).ship(Crate::new("shared", "1.0.0")).write(&folder, "other.pkg");
    import_all(&mirror, [&chain[0], &chain[1], &fork, &other, &chain[2]]);
    let fourth = genuine(&folder, 4, Some(&chain[2]), "4.pkg");
    import(&mirror, &fourth).unwrap();
    let term = rejection(&fourth);
    let plan = gc(&sandbox, &["--dry-run", "-v", "--accept", &term]).ok();
    plan.stdout_has(&format!("fork.pkg, id {}, because it does not lead to the accepted bundle", bundle_id(&fork)))
        .stdout_has("Import again: other.pkg (")
        .stderr_has("crate alone-1.0.0.crate")
        .stderr_lacks("shared-1.0.0.crate");
    gc(&sandbox, &["--accept", &term]).ok();
    let expected = ["c1-1.0.0", "c2-1.0.0", "c3-1.0.0", "c4-1.0.0", "shared-1.0.0"].map(str::to_owned).into();
    assert_eq!(stored_and_indexed_crates(&mirror).0, expected);
    let all: Vec<PathBuf> = chain.into_iter().chain([fourth, other]).collect();
    assert_restored(&sandbox, &all);
}

#[test]
fn a_genuine_bundle_before_a_gap_is_kept_if_it_is_confirmed() {
    for is_confirmed in [false, true] {
        let sandbox = Sandbox::new();
        let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
        let chain = genuine_chain(&folder, 4);
        import_all(&mirror, &chain[..2]);
        let jump = BundleBuilder::new("a", 9).read_at(90).ship(crate_of(9)).ship(crate_of(1)).write(&folder, "9.pkg");
        import(&mirror, &jump).unwrap();
        let (newest, second) = (rejection(&jump), rejection(&chain[1]));
        let plan = gc(&sandbox, &["--dry-run"]).ok();
        plan.stdout_has(&format!("--accept {newest} --accept {}`", rejection(&chain[0])));
        // The newest is in question, so the other one alone decides nothing.
        gc(&sandbox, &["--accept", &second]).exits(3).stderr_has("the newest bundle of lineage");
        gc(&sandbox, &["--accept", &newest, "--accept", &format!("{}@ffff", newest.split_once('@').unwrap().0)])
            .exits(3)
            .stderr_has("no bundle on record");
        let mut args = vec!["--accept", &newest];
        if is_confirmed {
            args.extend(["--accept", &second]);
        }
        let run = gc(&sandbox, &args).ok().stdout_lacks("To reset");
        assert_eq!(run.stdout.matches("Rejected: bundle number ").count(), if is_confirmed { 0 } else { 2 });
        gc(&sandbox, &[])
            .ok()
            .stdout_lacks("Doubtful")
            .stdout_lacks("Import again")
            .stdout_lacks("No bundle on record");
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
        assert_records_agree(&mirror);
    }
}

#[test]
fn the_bundles_that_lead_to_the_base_of_an_accepted_one_are_not_rejected() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let chain = genuine_chain(&folder, 2);
    import_all(&mirror, &chain);
    let jump = BundleBuilder::new("a", 9).read_at(90).ship(crate_of(9)).based_on(&bundle_id(&chain[1]));
    let jump = jump.previous(&"0123456789abcdef".repeat(2)).write(&folder, "9.pkg");
    import(&mirror, &jump).unwrap();
    gc(&sandbox, &["--dry-run"]).ok().stdout_has("  Doubtful: ").stdout_lacks("Accepting rejects");
    gc(&sandbox, &["--accept", &rejection(&jump)]).ok().stdout_lacks("Rejected: ");
}

#[test]
fn a_later_acceptance_renews_the_rejections_of_an_earlier_false_one() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let chain = genuine_chain(&folder, 4);
    let evil = forged(&folder, 3, 100, &bundle_id(&chain[1]), "evil");
    import_all(&mirror, [&chain[0], &chain[1], &chain[2], &evil]);
    // The wrong one is accepted, and a genuine one later.
    gc(&sandbox, &["--accept", &rejection(&evil)]).ok().stdout_has(", 3.pkg, id ").stdout_lacks("2.pkg, id");
    import_all(&mirror, &chain);
    let term = rejection(&chain[3]);
    let run = gc(&sandbox, &["--accept", &term]).ok();
    run.stdout_has("evil.pkg, id ").stdout_lacks("3.pkg, id");
    assert_restored(&sandbox, &chain);
    // That acceptance is no mistake, but its rejection would count the bundles again as before.
    gc(&sandbox, &["--dry-run", "--reject", &term]).ok().stdout_has("evil.pkg, ");
}
