//! Rules of a manifest about what is not shipped: packages that were left out, and the states of crates.

use frostmirror::bundle::format::{BundleKind, CrateState, RefreshedCrate, SkippedPackage};
use frostmirror::bundle::verify::verify;
use frostmirror::digest::Sha256;
use frostmirror::event::NullSink;

use crate::support::forged_bundle::{FakeCrate, ForgedBundle};

fn small() -> ForgedBundle {
    ForgedBundle::from_crates(&[FakeCrate::new("a", "1.0.0", 60), FakeCrate::new("bb", "0.2.0", 40)])
}

/// What is wrong with a bundle; nothing where it is good.
fn problems(forged: &ForgedBundle) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pkg");
    std::fs::write(&path, forged.bytes()).unwrap();
    match verify(&path, folder.path(), &NullSink) {
        Ok(verdict) => verdict.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        Err(error) => {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
            format!("{error}{}", source.unwrap_or_default())
        }
    }
}

#[test]
fn the_first_bundle_of_a_history_has_number_1() {
    let invalid = "has an invalid `lineage.sequence`: the first bundle of a history has number 1";
    // Numbers of bundles without a count are times. A number after all times would escape the rule about `previous`.
    for (number, expected) in [
        (1, ""),
        (0, invalid),
        (1_796_056_100, ""),
        (253_402_300_800, invalid),
        (u64::MAX - 1, invalid),
        (u64::MAX, invalid),
    ] {
        let mut forged = small();
        forged.manifest.lineage.sequence = number;
        let output = problems(&forged);
        assert!(if expected.is_empty() { output.is_empty() } else { output.contains(expected) }, "{number}: {output}");
    }
}

#[test]
fn left_out_packages_must_be_sorted_and_bounded() {
    let left_out = |name: &str, why: &str| SkippedPackage {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        source: "git: https://example.org/x".to_owned(),
        reason: why.to_owned(),
    };
    let leaving = |all: &[SkippedPackage]| {
        let mut forged = small();
        forged.manifest.lineage.inputs[0].skipped_packages = all.to_vec();
        problems(&forged)
    };
    let (a, b) = (left_out("a", "x"), left_out("b", &"y".repeat(1024)));
    assert_eq!(leaving(&[a.clone(), b.clone()]), "");
    for (all, why) in [
        (vec![b, a.clone()], "out of order"),
        (vec![a.clone(), a], "duplicated or out of order"),
        (vec![left_out("a", "")], "empty or too long"),
        (vec![left_out("a", &"y".repeat(1025))], "empty or too long"),
    ] {
        let output = leaving(&all);
        assert!(output.contains("depends.toml") && output.contains(why), "{output}");
    }
}

#[test]
fn refreshed_crates_must_be_sorted_and_not_in_the_crate_table() {
    let refreshed = |name: &str, version: &str| RefreshedCrate {
        name: name.parse().unwrap(),
        version: version.parse().unwrap(),
        sha256: Sha256::of(name.as_bytes()),
        yanked: true,
    };
    let with = |all: &[RefreshedCrate], bend: &dyn Fn(&mut ForgedBundle)| {
        let mut forged = small();
        forged.manifest.refreshed_crates = all.to_vec();
        bend(&mut forged);
        problems(&forged)
    };
    let as_it_is = |_: &mut ForgedBundle| {};
    for (all, why) in [
        (
            vec![refreshed("c", "1.0.0"), refreshed("b", "1.0.0")],
            "b 1.0.0 is duplicated or out of order in the table of refreshed crates",
        ),
        (
            vec![refreshed("c", "1.0.0"), refreshed("c", "1.0.0")],
            "c 1.0.0 is duplicated or out of order in the table of refreshed crates",
        ),
        (vec![refreshed("a", "1.0.0")], "a 1.0.0 is in the table of refreshed crates, but the table of crates has"),
        (
            vec![refreshed("A", "2.0.0")],
            "A 2.0.0 is in the table of refreshed crates, but the bundle also has its name with different case",
        ),
        (
            vec![refreshed("C", "1.0.0"), refreshed("c", "1.0.0")],
            "c 1.0.0 is in the table of refreshed crates, but the bundle also has its name",
        ),
        // Its line is missing.
        (vec![refreshed("c", "1.0.0")], "c 1.0.0"),
    ] {
        let output = with(&all, &as_it_is);
        assert!(output.contains(why), "{output}");
    }
    let kept = |forged: &mut ForgedBundle| forged.manifest.crates[0].state = CrateState::Kept;
    let reported = with(&[refreshed("a", "1.0.0")], &kept);
    assert!(reported.contains("a 1.0.0 has different digests"), "{reported}");
    let snapshot = |forged: &mut ForgedBundle| forged.manifest.kind = BundleKind::Snapshot;
    let reported = with(&[refreshed("c", "1.0.0")], &snapshot);
    assert!(reported.contains("refreshes index lines, but is a snapshot"), "{reported}");
}
