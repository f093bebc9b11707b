//! A property: in whatever order genuine bundles, a forged one, collections and rejections come, the printed hints lead to the
//! mirror that the genuine bundles alone give. Only the sender's list of ids, which says what is forged, is known besides.

use std::fs;

use frostmirror::bundle::format::CrateState;
use proptest::prelude::*;

use super::rejected_content::{bundle_id, rejection};
use crate::bundle_builder::{BundleBuilder, import, public_files};
use crate::support::crates::Crate;
use crate::support::process::Run;
use crate::support::sandbox::Sandbox;

/// The number of genuine bundles.
const GENUINE: u64 = 5;

/// More rounds than any chain of hints needs.
const MAX_ROUNDS: usize = 12;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Action {
    ImportGenuine(u64),
    ImportForged,
    Collect,
    Reject,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        4 => (1..=GENUINE).prop_map(Action::ImportGenuine),
        2 => Just(Action::ImportForged),
        2 => Just(Action::Collect),
        1 => Just(Action::Reject),
    ];
    prop::collection::vec(action, 3..10)
}

/// Writes the bundles of a history. Each genuine one is a delta on the one before, and no longer needs one of its crates.
/// Returns the argument that rejects the forged one.
fn write_bundles(sandbox: &Sandbox) -> String {
    let folder = sandbox.path("");
    let id_of = |file: &str| bundle_id(&sandbox.path(file));
    let one = |number: u64| Crate::new(&format!("c{number}"), "1.0.0");
    for number in 1..=GENUINE {
        let make = BundleBuilder::new("a", number).ship(one(number));
        let make = match number {
            1 => make.ship(Crate::new("always", "1.0.0")),
            _ => make
                .based_on(&id_of(&format!("{}.pkg", number - 1)))
                .with_crate(one(number - 1), CrateState::Sent)
                .with_crate(Crate::new("always", "1.0.0"), CrateState::Sent),
        };
        make.write(&folder, &format!("{number}.pkg"));
    }
    let forged = BundleBuilder::new("a", 4).previous(&id_of("3.pkg")).read_at(100);
    let forged = forged.ship(Crate::new("always", "1.0.0").yanked()).ship(Crate::new("evil", "1.0.0"));
    rejection(&forged.write(&folder, "forged.pkg"))
}

fn collect(sandbox: &Sandbox, more: &[&str]) -> Run {
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"].iter().chain(more))
}

fn import_files(sandbox: &Sandbox, files: &[String]) -> Run {
    let args = ["import", "--mirror", "mirror"].map(str::to_owned);
    sandbox.run(args.iter().chain(files))
}

/// The genuine bundles in backticks, in the order in which the text names them.
fn named_files(text: &str) -> Vec<String> {
    let mut files: Vec<String> = Vec::new();
    for word in text.split('`').skip(1).step_by(2) {
        if word.ends_with(".pkg") && word != "forged.pkg" && !files.iter().any(|known| known == word) {
            files.push(word.to_owned());
        }
    }
    files
}

/// Imports a genuine bundle. If the import is refused, its error names the bundles to import with it, and a rejection.
fn import_genuine(sandbox: &Sandbox, file: &str, forged: &str) {
    let run = import_files(sandbox, &[file.to_owned()]);
    if run.code == 0 {
        return;
    }
    if run.stderr.contains(&format!("--reject {forged}")) {
        collect(sandbox, &["--reject", forged]).ok();
    }
    let mut files = named_files(&run.stderr);
    files.retain(|named| named != file);
    assert!(!files.is_empty() || run.stderr.contains("--reject"), "no bundle is named: {}", run.describe());
    files.push(file.to_owned());
    import_files(sandbox, &files).ok();
}

/// Imports what a collection says, until it says nothing more.
fn import_again(sandbox: &Sandbox) {
    for _ in 0..MAX_ROUNDS {
        let run = collect(sandbox, &[]).ok();
        let files: Vec<String> = run
            .stdout
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("Import again: ")?.split_once(" ("))
            .map(|(file, _)| file.to_owned())
            .collect();
        if files.is_empty() {
            return;
        }
        import_files(sandbox, &files).ok();
    }
    panic!("the collection still names bundles: {}", collect(sandbox, &[]).describe());
}

/// Does these actions, then what the hints say, and compares the mirror with that of the genuine bundles.
fn assert_hints_restore_the_mirror(actions: &[Action]) {
    let sandbox = Sandbox::new();
    let forged = write_bundles(&sandbox);
    let (mirror, reference) = (sandbox.path("mirror"), sandbox.path("reference"));
    (1..=GENUINE).for_each(|number| drop(import(&reference, &sandbox.path(format!("{number}.pkg"))).unwrap()));
    sandbox.run(["gc", "--grace", "0", "--mirror", "reference"]).ok();
    let mut is_forged_on_record = false;
    for action in actions {
        match action {
            Action::ImportGenuine(number) => drop(import(&mirror, &sandbox.path(format!("{number}.pkg")))),
            Action::ImportForged => is_forged_on_record |= import(&mirror, &sandbox.path("forged.pkg")).is_ok(),
            Action::Collect => drop(collect(&sandbox, &[])),
            Action::Reject => drop(collect(&sandbox, &["--reject", &forged])),
        }
    }
    (1..=GENUINE).for_each(|number| import_genuine(&sandbox, &format!("{number}.pkg"), &forged));
    if is_forged_on_record {
        collect(&sandbox, &["--reject", &forged]).ok();
    }
    import_again(&sandbox);
    collect(&sandbox, &[]).ok().stdout_lacks("Doubtful").stdout_lacks("Import again");
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    sandbox.run(["status", "--mirror", "mirror"]).ok().stdout_lacks("Import again");
    assert_eq!(public_files(&mirror), public_files(&reference));
    fs::remove_dir_all(mirror).unwrap();
}

#[test]
fn the_hints_restore_a_mirror_whose_files_a_false_bundle_made_garbage() {
    use Action::{Collect, ImportForged, ImportGenuine, Reject};
    let genuine = [1, 2, 3].map(ImportGenuine);
    for after in [
        &[ImportForged, Collect][..],
        &[ImportForged, Collect, Reject],
        &[ImportForged, Collect, ImportGenuine(4)],
        &[ImportForged, Collect, ImportGenuine(4), Reject, ImportForged],
        &[ImportForged, Reject, Collect],
    ] {
        assert_hints_restore_the_mirror(&[&genuine[..], after].concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_hints_restore_the_mirror_in_any_order(actions in actions()) {
        assert_hints_restore_the_mirror(&actions);
    }
}
