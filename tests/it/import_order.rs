//! The order of imports never changes what readers see: a property over small bundles of two histories.

use std::path::Path;

use frostmirror::bundle::format::CrateState;
use proptest::prelude::*;

use crate::import_bundle::{Make, assert_sound, import, view};
use crate::support::crates::Crate;

/// One crate of a bundle: which of few, yanked or not, with its file or without.
#[derive(Clone, Debug)]
struct Pick {
    name: usize,
    version: usize,
    yanked: bool,
    index_only: bool,
}

fn pick() -> impl Strategy<Value = Pick> {
    (0usize..3, 0usize..3, any::<bool>(), any::<bool>()).prop_map(|(name, version, yanked, index_only)| Pick {
        name,
        version,
        yanked,
        index_only,
    })
}

/// Bundles, each with the history it is of and the second at which it read the index.
fn bundles() -> impl Strategy<Value = Vec<(bool, i64, Vec<Pick>)>> {
    prop::collection::vec((any::<bool>(), 1i64..5, prop::collection::vec(pick(), 1..5)), 2..5)
}

fn write(bundles: &[(bool, i64, Vec<Pick>)], folder: &Path) -> Vec<std::path::PathBuf> {
    let mut written = Vec::new();
    for (n, (lineage, read, picks)) in bundles.iter().enumerate() {
        let mut make = Make::new(if *lineage { "a" } else { "b" }, n as u64 + 1).read(*read);
        let mut picks = picks.clone();
        picks.sort_by_key(|pick| (pick.name, pick.version));
        picks.dedup_by_key(|pick| (pick.name, pick.version));
        for Pick { name, version, yanked, index_only } in picks {
            let one = Crate::new(["Alpha", "beta", "c"][name], ["1.0.0", "1.0.1-rc.1", "2.0.0+x"][version]);
            let one = if yanked { one.yanked() } else { one };
            make = make.with(one, if index_only { CrateState::IndexOnly } else { CrateState::Shipped });
        }
        written.push(make.write(folder, &format!("{n}.pkg")));
    }
    written
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_order_gives_the_same_mirror(bundles in bundles(), keys in prop::collection::vec(any::<u32>(), 5)) {
        let folder = tempfile::tempdir().unwrap();
        let forward = write(&bundles, folder.path());
        let mut shuffled: Vec<_> = forward.iter().zip(keys).collect();
        shuffled.sort_by_key(|(_, key)| *key);
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        for bundle in &forward {
            import(&one, bundle).unwrap();
        }
        for (bundle, _) in &shuffled {
            import(&other, bundle).unwrap();
        }
        assert_sound(&one);
        prop_assert_eq!(view(&one), view(&other));
        // And an old bundle once more takes nothing away.
        import(&one, &forward[0]).unwrap();
        prop_assert_eq!(view(&one), view(&other));
    }
}
