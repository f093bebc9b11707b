//! A property: whatever live mode places, whatever is imported meanwhile, and whenever garbage is collected, something is let
//! go or the cache has its limit, index, blobs and records agree, and everything current is there.

use frostmirror::mirror::lock::lock_for_collecting;
use proptest::prelude::*;

use super::*;
use crate::gc::collect;

#[derive(Clone, Debug)]
enum Action {
    Place(Vec<CratePick>),
    Import(bool, Vec<CratePick>),
    Collect { grace: u64, forget: bool },
    Evict(u64),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct CratePick {
    name: usize,
    version: usize,
    yanked: bool,
}

const NAMES: [&str; 3] = ["Alpha", "beta", "c"];
const VERSIONS: [&str; 3] = ["1.0.0", "1.0.1-rc.1", "2.0.0+x"];

impl CratePick {
    fn to_crate(&self) -> Crate {
        let one = Crate::new(NAMES[self.name], VERSIONS[self.version]);
        if self.yanked { one.yanked() } else { one }
    }

    fn name(&self) -> String {
        format!("{}-{}", NAMES[self.name], VERSIONS[self.version])
    }
}

fn picks() -> impl Strategy<Value = Vec<CratePick>> {
    let pick = (0usize..3, 0usize..3, any::<bool>());
    prop::collection::vec(pick.prop_map(|(name, version, yanked)| CratePick { name, version, yanked }), 1..4).prop_map(
        |mut picks| {
            picks.sort();
            picks.dedup_by_key(|pick| (pick.name, pick.version));
            picks
        },
    )
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let collect = (prop::sample::select(vec![0u64, 600]), prop::bool::weighted(0.2))
        .prop_map(|(grace, forget)| Action::Collect { grace, forget });
    let act = prop_oneof![
        4 => picks().prop_map(Action::Place),
        2 => (any::<bool>(), picks()).prop_map(|(lineage, picks)| Action::Import(lineage, picks)),
        2 => collect,
        1 => prop::sample::select(vec![0u64, 600, 1500]).prop_map(Action::Evict),
    ];
    prop::collection::vec(act, 3..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_batches_imports_and_gc_leaves_a_consistent_mirror(acts in actions()) {
        let folder = tempfile::tempdir().unwrap();
        let mirror = folder.path().join("mirror");
        let mut newest: BTreeMap<bool, BTreeSet<String>> = BTreeMap::new();
        let mut live_set: BTreeSet<String> = BTreeSet::new();
        let mut sent = [0u64; 2];
        for (act, number) in acts.into_iter().zip(1u64..) {
            let second = i64::try_from(number).unwrap() * 100;
            match act {
                Action::Place(picks) => {
                    let crates: Vec<Crate> = picks.iter().map(CratePick::to_crate).collect();
                    let placed = store_crates(&mirror, &crates, second);
                    prop_assert_eq!((placed.crates + placed.already_stored, placed.rejected.len()), (crates.len() as u64, 0));
                    live_set.extend(picks.iter().map(CratePick::name));
                }
                Action::Import(lineage, picks) => {
                    sent[usize::from(lineage)] += 1;
                    let of_lineage = sent[usize::from(lineage)];
                    let make = BundleBuilder::new(if lineage { "a" } else { "b" }, of_lineage).read_at(second);
                    let make = picks.iter().fold(make, |make, pick| make.ship(pick.to_crate()));
                    import(&mirror, &make.write(folder.path(), &format!("{number}.pkg"))).unwrap();
                    newest.insert(lineage, picks.iter().map(CratePick::name).collect());
                }
                Action::Collect { grace, forget } if mirror.exists() => {
                    // Where it never was there is nothing to let go, and that is refused.
                    let has_live = live_lineage(&mirror).id.is_some();
                    let forget: &[&str] = if forget && has_live { &["live"] } else { &[] };
                    if !forget.is_empty() {
                        live_set.clear();
                    }
                    collect(&mirror, second, grace, forget).unwrap();
                    let current: BTreeSet<String> = newest.values().flatten().chain(&live_set).cloned().collect();
                    let (files, listed) = stored_and_indexed_crates(&mirror);
                    prop_assert_eq!(&listed, &current);
                    prop_assert!(grace > 0 || files == current);
                }
                Action::Evict(cap) if mirror.exists() => {
                    let mut guard =
                        lock_for_collecting(&Layout::new(&mirror), Duration::ZERO, &test_holder(), &NullSink).unwrap();
                    let evicted = guard.evict_live(cap, &BTreeMap::new(), test_time(second), &NullSink).unwrap();
                    drop(guard);
                    let kept: BTreeSet<String> = records(&mirror).values().map(|one| {
                        let id = one.item.crate_id().unwrap();
                        format!("{}-{}", id.name, id.version)
                    }).collect();
                    let named: BTreeSet<String> = newest.values().flatten().cloned().collect();
                    prop_assert!(live_set.difference(&kept).all(|gone| !named.contains(gone)));
                    prop_assert!(evicted.remaining_bytes <= cap || evicted.crates == 0 && kept.is_subset(&named));
                    live_set = kept;
                }
                _ => continue,
            }
            let known: BTreeSet<String> = records(&mirror).into_keys().collect();
            prop_assert_eq!(known, live_set.iter().map(|name| format!("crates/{name}.crate")).collect::<BTreeSet<_>>());
            let (files, listed) = stored_and_indexed_crates(&mirror);
            for name in newest.values().flatten().chain(&live_set) {
                prop_assert!(listed.contains(name) && files.contains(name), "{} is current", name);
            }
            live_metrics(&mirror);
            assert_records_agree(&mirror);
        }
    }
}
