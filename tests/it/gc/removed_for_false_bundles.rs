//! What a collection removed because of a false bundle is named, and the printed steps restore it.

use std::path::{Path, PathBuf};

use frostmirror::bundle::format::CrateState::Sent;

use super::assert_records_agree;
use super::rejected_content::{bundle_id, reference, rejection};
use crate::bundle_builder::{BundleBuilder, import, public_files};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

fn crate_of(number: u64) -> Crate {
    Crate::new(&format!("c{number}"), "1.0.0")
}

/// The genuine bundle of this number: a delta that needs the crates of all bundles before it.
fn write_genuine(folder: &Path, number: u64) -> PathBuf {
    let bundle = BundleBuilder::new("a", number).ship(crate_of(number));
    let bundle = (1..number).fold(bundle, |bundle, before| bundle.with_crate(crate_of(before), Sent));
    match number {
        1 => bundle.write(folder, "1.pkg"),
        _ => {
            let base = bundle_id(&folder.join(format!("{}.pkg", number - 1)));
            bundle.based_on(&base).previous(&base).write(folder, &format!("{number}.pkg"))
        }
    }
}

/// A mirror of the genuine bundles before number 4 and of a false bundle with this number, which needs only the crate of number 3,
/// after a collection. Returns the false bundle.
fn collect_for_false_bundle(sandbox: &Sandbox, number: u64) -> PathBuf {
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    (1..=3).for_each(|number| drop(import(&mirror, &write_genuine(&folder, number)).unwrap()));
    let bundle = BundleBuilder::new("a", number).read_at(20).ship(crate_of(3)).ship(Crate::new("evil", "1.0.0"));
    let previous = if number == 4 { bundle_id(&folder.join("3.pkg")) } else { "0123456789abcdef".repeat(2) };
    let forged = bundle.previous(&previous).write(&folder, "forged.pkg");
    import(&mirror, &forged).unwrap();
    let mut args = vec!["gc", "--grace", "0", "--mirror", "mirror"];
    let term = rejection(&forged);
    if number != 4 {
        args.extend(["--accept", &term]);
    }
    sandbox.run(args).ok().stdout_has("Removed 2 crates");
    forged
}

#[test]
fn a_genuine_bundle_after_a_collection_for_a_false_one_is_imported_by_the_printed_steps() {
    for number in [4, 9] {
        let sandbox = Sandbox::new();
        let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
        let forged = collect_for_false_bundle(&sandbox, number);
        let genuine: Vec<PathBuf> = (1..=4).map(|number| write_genuine(&folder, number)).collect();
        let expected = reference(&sandbox, &genuine.iter().collect::<Vec<_>>());
        let run = sandbox.run(["import", "4.pkg", "--mirror", "mirror"]).exits(4);
        let what = if number == 4 { "`forged.pkg` has the same number" } else { "does not follow this bundle" };
        run.stderr_has(what)
            .stderr_has(&format!("gc --mirror {} --reject {}", mirror.display(), rejection(&forged)))
            .stderr_has("(`1.pkg`, id ")
            .stderr_has("(`2.pkg`, id ");
        let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror", "--reject", &rejection(&forged)]).ok();
        run.stdout_has("Import again: 3.pkg (bundle number 3, id ")
            .stdout_has("Import again: 1.pkg (bundle number 1, id ")
            .stdout_has("Import again: 2.pkg (bundle number 2, id ");
        sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
        let status = || sandbox.run(["status", "--mirror", "mirror"]).ok();
        status().stdout_has("Import again: 1.pkg").stdout_has("Import again: 2.pkg");
        sandbox.run(["import", "1.pkg", "--mirror", "mirror"]).ok();
        status().stdout_lacks("1.pkg").stdout_has("Import again: 2.pkg");
        sandbox.run(["import", "2.pkg", "--mirror", "mirror"]).ok();
        status().stdout_lacks("2.pkg").stdout_has("Import again: 3.pkg");
        sandbox.run(["import", "3.pkg", "--mirror", "mirror"]).ok();
        status().stdout_lacks("Import again");
        sandbox.run(["import", "4.pkg", "--mirror", "mirror"]).ok();
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
        let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
        run.stdout_lacks("Import again").stdout_lacks("Doubtful");
        assert_eq!(public_files(&mirror), expected);
        assert_records_agree(&mirror);
    }
}

#[test]
fn every_plan_names_the_missing_bundles_until_they_are_imported() {
    let sandbox = Sandbox::new();
    let forged = collect_for_false_bundle(&sandbox, 4);
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror", "--reject", &rejection(&forged)]).ok();
    for _ in 0..2 {
        let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
        run.stdout_has("Import again: 1.pkg (").stdout_has("Import again: 2.pkg (");
    }
    // A bundle that is older than the newest on record is no rival.
    let run = sandbox.run(["import", "2.pkg", "--mirror", "mirror"]).exits(4);
    run.stderr_has("(`1.pkg`, id ").stderr_lacks("--reject");
    sandbox.run(["import", "1.pkg", "2.pkg", "3.pkg", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_lacks("Import again");
}
