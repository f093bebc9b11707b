//! A property over random histories: deltas lead where full bundles lead, whatever the far side has collected meanwhile.

use std::collections::BTreeSet;
use std::fs;

use frostmirror::bundle::format::Manifest;
use proptest::prelude::*;

use super::{ConnectedSide, read_manifest};
use crate::bundle_builder::{assert_consistent, import, public_files};

const CRATES: [(&str, &str); 7] = [
    ("a", "1.0.0"),
    ("a", "1.1.0"),
    ("Bb", "1.0.0"),
    ("ccc", "1.0.0+x"),
    ("ccc", "2.0.0-rc.1"),
    ("dddd", "0.1.0"),
    ("e", "9.0.0"),
];

/// One fetch: of which input, how, and what that input needs.
#[derive(Clone, Debug)]
struct FetchRound {
    input: usize,
    full: bool,
    needs: BTreeSet<usize>,
}

fn rounds() -> impl Strategy<Value = Vec<FetchRound>> {
    let round = (0usize..2, prop::bool::weighted(0.2), prop::collection::btree_set(0..CRATES.len(), 1..5));
    prop::collection::vec(round.prop_map(|(input, full, needs)| FetchRound { input, full, needs }), 3..6)
}

fn crate_set(which: &BTreeSet<usize>) -> Vec<(&'static str, &'static str)> {
    which.iter().map(|at| CRATES[*at]).collect()
}

/// Takes from a mirror what a manifest does not name, as a collection may.
fn remove_unnamed_crates(mirror: &std::path::Path, named: &Manifest) {
    for (name, version) in CRATES {
        let id = frostmirror::crate_id::CrateId::parse(name, version).unwrap();
        let path = mirror.join(id.crate_path().as_str());
        if path.exists() && !named.crates.iter().any(|record| record.id() == id) {
            let index = mirror.join("index").join(id.name.index_path());
            let text = fs::read_to_string(&index).unwrap();
            let kept: Vec<&str> =
                text.lines().filter(|line| !line.contains(&format!("\"vers\":\"{version}\""))).collect();
            match kept.is_empty() {
                true => fs::remove_file(index).unwrap(),
                false => fs::write(index, kept.join("\n") + "\n").unwrap(),
            }
            fs::remove_file(path).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn deltas_give_the_same_mirror_as_a_full_bundle(rounds in rounds()) {
        let near = ConnectedSide::with_crates(&CRATES);
        let (grown, lean) = (near.sandbox.path("grown"), near.sandbox.path("lean"));
        let mut ever = BTreeSet::new();
        let mut newest = [BTreeSet::new(), BTreeSet::new()];
        let mut last: Option<Manifest> = None;
        for FetchRound { input, full, needs } in rounds {
            let file = ["one.toml", "two.toml"][input];
            near.write_depends(file, &crate_set(&needs));
            ever.extend(needs.iter().copied());
            newest[input] = needs;
            let mut args = vec!["-c", file];
            args.extend((!full).then_some("--incremental"));
            let run = near.run_fetch(&args).ok();
            if run.stdout.is_empty() {
                continue;
            }
            let bundle = run.path();
            import(&grown, &bundle).unwrap();
            if let Some(last) = &last {
                remove_unnamed_crates(&lean, last);
            }
            import(&lean, &bundle).unwrap();
            assert_consistent(&lean);
            let contents = read_manifest(&bundle);
            let named: BTreeSet<String> = contents.crates.iter().map(|record| record.id().to_string()).collect();
            let current = newest[0].union(&newest[1]).map(|at| format!("{} {}", CRATES[*at].0, CRATES[*at].1));
            prop_assert_eq!(named, current.collect::<BTreeSet<_>>());
            last = Some(contents);
        }
        // One full bundle of all that was ever needed, and one of what is needed now, each of another history.
        let of = |which: &BTreeSet<usize>, name: &str| {
            near.write_depends("all.toml", &crate_set(which));
            let history = near.sandbox.path(format!("history-{name}"));
            let run = near.process(&["fetch", "-c", "all.toml"]).envs([("FROSTMIRROR_HISTORY", &history)]).run();
            let mirror = near.sandbox.path(name);
            import(&mirror, &run.ok().path()).unwrap();
            mirror
        };
        prop_assert_eq!(public_files(&grown), public_files(&of(&ever, "everything")));
        remove_unnamed_crates(&lean, &last.unwrap());
        let now = newest[0].union(&newest[1]).copied().collect();
        let files = |mirror: &std::path::Path| {
            let mut files = public_files(mirror);
            files.retain(|path, _| !path.ends_with('/'));
            files
        };
        prop_assert_eq!(files(&lean), files(&of(&now, "current")));
    }
}
