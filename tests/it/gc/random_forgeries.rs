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
    /// Does what a collection says about a doubtful lineage.
    Decide,
    Reject,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        4 => (1..=GENUINE).prop_map(Action::ImportGenuine),
        2 => Just(Action::ImportForged),
        2 => Just(Action::Collect),
        2 => Just(Action::Decide),
        1 => Just(Action::Reject),
    ];
    prop::collection::vec(action, 3..10)
}

/// Writes the bundles of a history. Each genuine one is a delta on the one before, and no longer needs one of its crates. The
/// forged one has this number, and the latest time. Returns the argument that rejects it.
fn write_bundles(sandbox: &Sandbox, forged_number: u64) -> String {
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
    let previous = match forged_number.checked_sub(1) {
        Some(before @ 1..=GENUINE) => id_of(&format!("{before}.pkg")),
        _ => "0123456789abcdef".repeat(2),
    };
    let forged = BundleBuilder::new("a", forged_number).previous(&previous).read_at(100);
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

/// Imports a genuine bundle. If the import is refused, its error names the bundles to import with it, and a rejection. Returns
/// whether a warning names the forged bundle.
fn import_genuine(sandbox: &Sandbox, file: &str, forged: &str) -> bool {
    let run = import_files(sandbox, &[file.to_owned()]);
    if run.code == 0 {
        return names_rejection(&run, forged);
    }
    if run.stderr.contains(&format!("--reject {forged}")) {
        collect(sandbox, &["--reject", forged]).ok();
    }
    let mut files = named_files(&run.stderr);
    files.retain(|named| named != file);
    assert!(!files.is_empty() || run.stderr.contains("--reject"), "no bundle is named: {}", run.describe());
    files.push(file.to_owned());
    names_rejection(&import_files(sandbox, &files).ok(), forged)
}

/// Whether a warning says how to reject the forged bundle. The sender's list does not have it.
fn names_rejection(run: &Run, forged: &str) -> bool {
    run.stderr.contains(&format!("--reject {forged}"))
}

/// Accepts or rejects the bundle that a collection asks about, as the sender's list says. An acceptance confirms the other genuine
/// bundles. Returns the output of that collection; `None` if nothing is doubtful.
fn decide(sandbox: &Sandbox, forged: &str) -> Option<Run> {
    let plan = collect(sandbox, &["--dry-run"]);
    let (_, asked) = plan.stdout.split_once("look for the id ")?;
    let (lineage, forged_id) = forged.split_once('@').unwrap();
    let id = asked.split_once(' ').unwrap().0;
    if id == forged_id {
        return Some(collect(sandbox, &["--reject", forged]).ok());
    }
    let others = plan.stdout.lines().filter(|line| line.contains("Accepting rejects: "));
    let others = others.filter_map(|line| Some(line.rsplit_once("id ")?.1)).filter(|other| *other != forged_id);
    let terms: Vec<String> = [id].into_iter().chain(others).map(|id| format!("{lineage}@{id}")).collect();
    let args: Vec<&str> = terms.iter().flat_map(|term| ["--accept", term]).collect();
    Some(collect(sandbox, &args).ok())
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
fn assert_hints_restore_the_mirror(forged_number: u64, actions: &[Action]) {
    let sandbox = Sandbox::new();
    let forged = write_bundles(&sandbox, forged_number);
    let (mirror, reference) = (sandbox.path("mirror"), sandbox.path("reference"));
    (1..=GENUINE).for_each(|number| drop(import(&reference, &sandbox.path(format!("{number}.pkg"))).unwrap()));
    sandbox.run(["gc", "--grace", "0", "--mirror", "reference"]).ok();
    // Whether a warning has named the forged bundle that the mirror has.
    let mut is_named = false;
    let rejects_forged = |run: &Run| {
        let (_, id) = forged.split_once('@').unwrap();
        run.stdout.lines().any(|line| line.starts_with("Rejected: ") && line.contains(id))
    };
    for action in actions {
        match action {
            Action::ImportGenuine(number) => {
                is_named |= names_rejection(&import_files(&sandbox, &[format!("{number}.pkg")]), &forged);
            }
            Action::ImportForged => {
                is_named |= names_rejection(&import_files(&sandbox, &["forged.pkg".to_owned()]), &forged)
            }
            Action::Collect => drop(collect(&sandbox, &[])),
            Action::Decide => is_named &= !decide(&sandbox, &forged).is_some_and(|run| rejects_forged(&run)),
            Action::Reject => is_named &= !rejects_forged(&collect(&sandbox, &["--reject", &forged])),
        }
    }
    (1..=GENUINE).for_each(|number| is_named |= import_genuine(&sandbox, &format!("{number}.pkg"), &forged));
    for _ in 0..MAX_ROUNDS {
        let Some(run) = decide(&sandbox, &forged) else { break };
        is_named &= !rejects_forged(&run);
    }
    if is_named {
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
    use Action::{Collect, Decide, ImportForged, ImportGenuine, Reject};
    let genuine = [1, 2, 3].map(ImportGenuine);
    for after in [
        &[ImportForged, Collect][..],
        &[ImportForged, Collect, Reject],
        &[ImportForged, Collect, ImportGenuine(4)],
        &[ImportForged, Collect, ImportGenuine(4), Reject, ImportForged],
        &[ImportForged, Reject, Collect],
    ] {
        assert_hints_restore_the_mirror(4, &[&genuine[..], after].concat());
    }
    // The bundle in question is genuine, and the false one is older.
    let [first, second, third] = genuine;
    for actions in
        [&[first, ImportForged, second, third, Decide, Collect][..], &[first, second, third, ImportForged, Decide]]
    {
        assert_hints_restore_the_mirror(2, actions);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_hints_restore_the_mirror_in_any_order(forged in prop::sample::select(vec![1, 2, 4, 5, 9]), actions in actions()) {
        assert_hints_restore_the_mirror(forged, &actions);
    }
}
