//! A property: whatever live mode places, whatever is imported meanwhile, and whenever garbage is collected, something is let
//! go or the cache has its limit, index, blobs and records agree, and everything current is there.

use frostmirror::mirror::lock::lock_for_collecting;
use proptest::prelude::*;

use super::*;
use crate::gc::collect;

#[derive(Clone, Debug)]
enum Act {
    Place(Vec<Pick>),
    Import(bool, Vec<Pick>),
    Collect { grace: u64, forget: bool },
    Evict(u64),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pick {
    name: usize,
    version: usize,
    yanked: bool,
}

const NAMES: [&str; 3] = ["Alpha", "beta", "c"];
const VERSIONS: [&str; 3] = ["1.0.0", "1.0.1-rc.1", "2.0.0+x"];

impl Pick {
    fn of(&self) -> Crate {
        let one = Crate::new(NAMES[self.name], VERSIONS[self.version]);
        if self.yanked { one.yanked() } else { one }
    }

    fn name(&self) -> String {
        format!("{}-{}", NAMES[self.name], VERSIONS[self.version])
    }
}

fn picks() -> impl Strategy<Value = Vec<Pick>> {
    let pick = (0usize..3, 0usize..3, any::<bool>());
    prop::collection::vec(pick.prop_map(|(name, version, yanked)| Pick { name, version, yanked }), 1..4).prop_map(
        |mut picks| {
            picks.sort();
            picks.dedup_by_key(|pick| (pick.name, pick.version));
            picks
        },
    )
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let collect = (prop::sample::select(vec![0u64, 600]), prop::bool::weighted(0.2))
        .prop_map(|(grace, forget)| Act::Collect { grace, forget });
    let act = prop_oneof![
        4 => picks().prop_map(Act::Place),
        2 => (any::<bool>(), picks()).prop_map(|(lineage, picks)| Act::Import(lineage, picks)),
        2 => collect,
        1 => prop::sample::select(vec![0u64, 600, 1500]).prop_map(Act::Evict),
    ];
    prop::collection::vec(act, 3..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_leaves_an_agreeing_mirror(acts in acts()) {
        let folder = tempfile::tempdir().unwrap();
        let mirror = folder.path().join("mirror");
        let mut newest: BTreeMap<bool, BTreeSet<String>> = BTreeMap::new();
        let mut live_set: BTreeSet<String> = BTreeSet::new();
        let mut sent = [0u64; 2];
        for (act, number) in acts.into_iter().zip(1u64..) {
            let second = i64::try_from(number).unwrap() * 100;
            match act {
                Act::Place(picks) => {
                    let crates: Vec<Crate> = picks.iter().map(Pick::of).collect();
                    let placed = place(&mirror, &crates, second);
                    prop_assert_eq!((placed.crates + placed.held, placed.refused.len()), (crates.len() as u64, 0));
                    live_set.extend(picks.iter().map(Pick::name));
                }
                Act::Import(lineage, picks) => {
                    sent[usize::from(lineage)] += 1;
                    let of_lineage = sent[usize::from(lineage)];
                    let make = Make::new(if lineage { "a" } else { "b" }, of_lineage).read(second);
                    let make = picks.iter().fold(make, |make, pick| make.ship(pick.of()));
                    import(&mirror, &make.write(folder.path(), &format!("{number}.pkg"))).unwrap();
                    newest.insert(lineage, picks.iter().map(Pick::name).collect());
                }
                Act::Collect { grace, forget } if mirror.exists() => {
                    // Where it never was there is nothing to let go, and that is refused.
                    let has_live = live::id(&Layout::new(&mirror)).unwrap().is_some();
                    let forget: &[&str] = if forget && has_live { &["live"] } else { &[] };
                    if !forget.is_empty() {
                        live_set.clear();
                    }
                    collect(&mirror, second, grace, forget).unwrap();
                    let current: BTreeSet<String> = newest.values().flatten().chain(&live_set).cloned().collect();
                    let (files, listed) = held(&mirror);
                    prop_assert_eq!(&listed, &current);
                    prop_assert!(grace > 0 || files == current);
                }
                Act::Evict(cap) if mirror.exists() => {
                    let mut guard =
                        lock_for_collecting(&Layout::new(&mirror), Duration::ZERO, &me(), &Silent).unwrap();
                    let evicted = guard.evict_live(cap, &BTreeMap::new(), at(second), &Silent).unwrap();
                    drop(guard);
                    let kept: BTreeSet<String> = records(&mirror).values().map(|one| {
                        let id = one.crate_id().unwrap();
                        format!("{}-{}", id.name, id.version)
                    }).collect();
                    let named: BTreeSet<String> = newest.values().flatten().cloned().collect();
                    prop_assert!(live_set.difference(&kept).all(|gone| !named.contains(gone)));
                    prop_assert!(evicted.left <= cap || evicted.crates == 0 && kept.is_subset(&named));
                    live_set = kept;
                }
                _ => continue,
            }
            let known: BTreeSet<String> = records(&mirror).into_keys().collect();
            prop_assert_eq!(known, live_set.iter().map(|name| format!("crates/{name}.crate")).collect::<BTreeSet<_>>());
            let (files, listed) = held(&mirror);
            for name in newest.values().flatten().chain(&live_set) {
                prop_assert!(listed.contains(name) && files.contains(name), "{} is current", name);
            }
            figures(&mirror);
            assert_agreement(&mirror);
        }
    }
}
