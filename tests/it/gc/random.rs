//! A property: whatever is imported of two lineages, in any order, and whenever garbage is collected, index, blobs, records,
//! ledger and head agree, and every current crate is there. A bundle whose base is missing is tried again when something
//! came, as a watched folder does. A bundle whose number jumps makes nothing garbage.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::CrateState;
use frostmirror::mirror::import::Error;
use proptest::prelude::*;

use super::{assert_records_agree, collect_at, stored_and_indexed_crates};
use crate::bundle_builder::{BundleBuilder, all_files, import};
use crate::support::crates::Crate;

/// What happens next.
#[derive(Clone, Debug)]
enum Action {
    /// One of the bundles is imported.
    Import(prop::sample::Index),
    /// Garbage is collected with this grace time, so many seconds after what came before.
    Collect(u64, i64),
}

/// A crate of a bundle.
#[derive(Clone, Debug)]
struct CratePick {
    name: usize,
    version: usize,
    yanked: bool,
    index_only: bool,
}

const NAMES: [&str; 3] = ["Alpha", "beta", "c"];
const VERSIONS: [&str; 3] = ["1.0.0", "1.0.1-rc.1", "2.0.0+x"];

fn picks() -> impl Strategy<Value = Vec<CratePick>> {
    let pick = (0usize..3, 0usize..3, any::<bool>(), prop::bool::weighted(0.2));
    let pick = pick.prop_map(|(name, version, yanked, index_only)| CratePick { name, version, yanked, index_only });
    prop::collection::vec(pick, 1..5)
}

/// One bundle of a history: which, whether it is a delta, and what it needs.
fn bundles() -> impl Strategy<Value = Vec<(bool, bool, Vec<CratePick>)>> {
    prop::collection::vec((any::<bool>(), any::<bool>(), picks()), 2..6)
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let import = any::<prop::sample::Index>().prop_map(Action::Import);
    let collect =
        (prop::sample::select(vec![0u64, 600]), 0i64..900).prop_map(|(grace, later)| Action::Collect(grace, later));
    prop::collection::vec(prop_oneof![3 => import, 2 => collect], 4..14)
}

/// A bundle on disk.
struct Bundle {
    file: PathBuf,
    lineage: bool,
    sequence: u64,
    /// Everything that it names, and whether its file was left out.
    named_crates: BTreeMap<String, bool>,
}

fn write(bundles: &[(bool, bool, Vec<CratePick>)], folder: &Path) -> Vec<Bundle> {
    let mut sent: BTreeMap<bool, BTreeSet<String>> = BTreeMap::new();
    let mut written = Vec::new();
    let mut counts = [0u64; 2];
    for (n, (lineage, delta, picks)) in bundles.iter().enumerate() {
        let count = &mut counts[usize::from(*lineage)];
        *count += 1;
        let sequence = *count;
        let mut make = BundleBuilder::new(if *lineage { "a" } else { "b" }, sequence);
        let mut picks = picks.clone();
        picks.sort_by_key(|pick| (pick.name, pick.version));
        picks.dedup_by_key(|pick| (pick.name, pick.version));
        let before = sent.entry(*lineage).or_default();
        let delta = *delta && !before.is_empty();
        if delta {
            make = make.parent("before.pkg");
        }
        let (mut names, mut now) = (BTreeMap::new(), BTreeSet::new());
        for CratePick { name, version, yanked, index_only } in picks {
            let one = Crate::new(NAMES[name], VERSIONS[version]);
            let one = if yanked { one.yanked() } else { one };
            let id = format!("{}-{}", NAMES[name], VERSIONS[version]);
            let state = match () {
                () if index_only => CrateState::IndexOnly,
                () if delta && before.contains(&id) => CrateState::Sent,
                () => CrateState::Shipped,
            };
            if state != CrateState::IndexOnly {
                now.insert(id.clone());
            }
            names.insert(id, index_only);
            make = make.with_crate(one, state);
        }
        *before = now;
        let file = make.write(folder, &format!("{n}.pkg"));
        written.push(Bundle { file, lineage: *lineage, sequence, named_crates: names });
    }
    written
}

/// The bundles of a history in the order of their first import, and those whose number jumped at their import.
#[derive(Default)]
struct ImportedHistory<'b> {
    imported: Vec<&'b Bundle>,
    sequence_jumps: BTreeSet<u64>,
}

impl<'b> ImportedHistory<'b> {
    fn add(&mut self, bundle: &'b Bundle) {
        let has = |number: u64| self.imported.iter().any(|one| one.sequence == number);
        if has(bundle.sequence) {
            return;
        }
        let number = bundle.sequence;
        if (1..number).any(has) && (!has(number - 1) || self.sequence_jumps.contains(&(number - 1))) {
            self.sequence_jumps.insert(number);
        } else {
            // The following numbers no longer have a gap before them, whatever the order of their import was.
            for next in (number + 1..).take_while(|next| has(*next)) {
                self.sequence_jumps.remove(&next);
            }
        }
        self.imported.push(bundle);
    }

    /// Those that lead to no other one beyond doubt.
    fn latest_bundles(&self) -> impl Iterator<Item = &'b Bundle> {
        let has = |number: u64| self.imported.iter().any(|one| one.sequence == number);
        let is_latest = move |number: u64| self.sequence_jumps.contains(&number) || !has(number + 1);
        self.imported.iter().copied().filter(move |one| is_latest(one.sequence))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_imports_and_gc_leaves_a_consistent_mirror(bundles in bundles(), acts in actions()) {
        let folder = tempfile::tempdir().unwrap();
        let bundles = write(&bundles, folder.path());
        let mirror = folder.path().join("mirror");
        let mut newest: BTreeMap<bool, ImportedHistory> = BTreeMap::new();
        let mut waiting: Vec<&Bundle> = Vec::new();
        let mut second = 2000;
        for act in acts {
            match act {
                Action::Import(which) => {
                    let mut next = vec![which.get(&bundles)];
                    while let Some(bundle) = next.pop() {
                        let before = all_files(&mirror);
                        match import(&mirror, &bundle.file) {
                            Ok(_) => {
                                newest.entry(bundle.lineage).or_default().add(bundle);
                                next.append(&mut waiting);
                                assert_records_agree(&mirror);
                            }
                            // What it builds on did not come, or is gone again.
                            Err(Error::MissingBase { .. }) => {
                                waiting.push(bundle);
                                // The first refusal of all leaves an empty mirror.
                                prop_assert!(newest.is_empty() || all_files(&mirror) == before);
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
                Action::Collect(grace, later) => {
                    if newest.is_empty() {
                        continue;
                    }
                    second += later;
                    let collected = collect_at(&mirror, second, grace);
                    assert_records_agree(&mirror);
                    let current: BTreeSet<String> = newest.values().flat_map(ImportedHistory::latest_bundles).flat_map(|one| one.named_crates.keys().cloned()).collect();
                    let (files, listed) = stored_and_indexed_crates(&mirror);
                    prop_assert_eq!(&listed, &current, "the index lists what is current");
                    if grace == 0 {
                        prop_assert_eq!(collected.pending, 0);
                        prop_assert!(files.is_subset(&current), "{:?}", files);
                    }
                }
            }
            let (files, listed) = stored_and_indexed_crates(&mirror);
            for bundle in newest.values().flat_map(ImportedHistory::latest_bundles) {
                for (name, left_out) in &bundle.named_crates {
                    prop_assert!(listed.contains(name), "{} is current and not listed", name);
                    prop_assert!(*left_out || files.contains(name), "{} is current and not there", name);
                }
            }
        }
    }
}
