//! The order of imports never changes where a mirror ends: a property over small bundles of two histories, full ones and
//! deltas, with lines that they refresh. A delta that comes before its base is refused, and tried again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::CrateState;
use frostmirror::digest::Sha256;
use frostmirror::mirror::import::Error;
use frostmirror::mirror::index_meta::{self, IndexLineMeta};
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use frostmirror::mirror::summary::{Counts, MirrorSummary};
use proptest::prelude::*;

use crate::bundle_builder::{BundleBuilder, all_files, import, public_files};
use crate::gc::assert_records_agree;
use crate::support::crates::Crate;

/// One crate of a bundle: which of few, yanked or not, with its file or without.
#[derive(Clone, Debug)]
struct CratePick {
    name: usize,
    version: usize,
    yanked: bool,
    index_only: bool,
}

fn pick() -> impl Strategy<Value = CratePick> {
    (0usize..3, 0usize..3, any::<bool>(), prop::bool::weighted(0.3))
        .prop_map(|(name, version, yanked, index_only)| CratePick { name, version, yanked, index_only })
}

/// A bundle: the history it is of, whether it is a delta, the second at which it read the index, what it needs, and what it
/// refreshes, as far as an earlier bundle of its history may have brought it.
type Bundle = (bool, bool, i64, Vec<CratePick>, Vec<CratePick>);

fn bundles() -> impl Strategy<Value = Vec<Bundle>> {
    let bundle = (
        any::<bool>(),
        prop::bool::weighted(0.7),
        1i64..5,
        prop::collection::vec(pick(), 1..6),
        prop::collection::vec(pick(), 0..4),
    );
    prop::collection::vec(bundle, 2..7)
}

fn write_bundles(bundles: &[Bundle], folder: &Path) -> Vec<PathBuf> {
    let mut sent: BTreeMap<bool, BTreeSet<(usize, usize)>> = BTreeMap::new();
    let make_crate = |CratePick { name, version, yanked, .. }: &CratePick| {
        let one = Crate::new(["Alpha", "beta", "c"][*name], ["1.0.0", "1.0.1-rc.1", "2.0.0+x"][*version]);
        if *yanked { one.yanked() } else { one }
    };
    let mut written = Vec::new();
    for (n, (lineage, delta, read, picks, refreshes)) in bundles.iter().enumerate() {
        let mut make = BundleBuilder::new(if *lineage { "a" } else { "b" }, n as u64 + 1).read_at(*read);
        let before = sent.entry(*lineage).or_default();
        let delta = *delta && !before.is_empty();
        if delta {
            make = make.parent("before.pkg");
        }
        let mut picks = picks.clone();
        picks.sort_by_key(|pick| (pick.name, pick.version));
        picks.dedup_by_key(|pick| (pick.name, pick.version));
        let mut now = BTreeSet::new();
        let mut refreshes = refreshes.clone();
        refreshes.sort_by_key(|pick| (pick.name, pick.version));
        refreshes.dedup_by_key(|pick| (pick.name, pick.version));
        for pick in refreshes {
            if !picks.iter().any(|other| (other.name, other.version) == (pick.name, pick.version)) {
                make = make.refresh(make_crate(&pick));
            }
        }
        for pick in picks {
            let one = make_crate(&pick);
            let CratePick { name, version, index_only, .. } = pick;
            let state = match () {
                () if index_only => CrateState::IndexOnly,
                () if delta && before.contains(&(name, version)) => CrateState::Sent,
                () => CrateState::Shipped,
            };
            if state != CrateState::IndexOnly {
                now.insert((name, version));
            }
            make = make.with_crate(one, state);
        }
        *before = now;
        written.push(make.write(folder, &format!("{n}.pkg")));
    }
    written
}

/// Imports all of them; what is refused because its base is missing changes nothing, and is tried again after the others.
fn import_all<'a>(mirror: &Path, bundles: impl IntoIterator<Item = &'a PathBuf>) -> usize {
    let mut waiting: VecDeque<&PathBuf> = bundles.into_iter().collect();
    let (mut refused, mut in_vain) = (0, 0);
    while let Some(bundle) = waiting.pop_front() {
        let before = mirror.exists().then(|| all_files(mirror));
        match import(mirror, bundle) {
            Ok(_) => {
                in_vain = 0;
                assert_records_agree(mirror);
            }
            Err(Error::MissingBase { .. }) => {
                waiting.push_back(bundle);
                (refused, in_vain) = (refused + 1, in_vain + 1);
                assert!(in_vain <= waiting.len(), "each waits for another");
                if let Some(before) = before {
                    assert_eq!(all_files(mirror), before);
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
    refused
}

/// All that must be the same: what readers see, the records of the lines that they see, the numbers, each history's newest
/// bundle, and which bundles are on record. The record of a line that was replaced may linger.
#[derive(Debug, PartialEq)]
struct FinalMirror {
    view: BTreeMap<String, Vec<u8>>,
    lines: Vec<(String, IndexLineMeta)>,
    counts: Counts,
    newest: Vec<(String, u64, String)>,
    recorded: BTreeSet<String>,
}

impl FinalMirror {
    fn read(mirror: &Path) -> FinalMirror {
        let layout = Layout::new(mirror);
        let MirrorSummary { counts, lineages, .. } = ledger::read_summary(&layout).unwrap().unwrap();
        let view = public_files(mirror);
        let mut lines = Vec::new();
        for (path, text) in view.iter().filter(|(path, _)| path.starts_with("index/") && !path.ends_with('/')) {
            let digests: BTreeSet<Sha256> = String::from_utf8_lossy(text).lines().map(digest_of).collect();
            let records = fs::read_to_string(layout.index_meta().join(&path["index/".len()..])).unwrap();
            let seen = index_meta::parse(&records).into_iter().filter(|record| digests.contains(&record.line_sha256));
            lines.extend(seen.map(|record| (path.clone(), record)));
        }
        let recorded = ledger::record_names(&layout).unwrap().iter().map(|name| name[8..].to_owned()).collect();
        let newest = lineages.into_iter().map(|one| (one.id, one.sequence, one.bundle)).collect();
        FinalMirror { view, lines, counts, newest, recorded }
    }
}

fn digest_of(line: &str) -> Sha256 {
    Sha256::of(line.as_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_import_order_gives_the_same_mirror(bundles in bundles(), keys in prop::collection::vec(any::<u32>(), 7)) {
        let folder = tempfile::tempdir().unwrap();
        let forward = write_bundles(&bundles, folder.path());
        let mut shuffled: Vec<_> = forward.iter().zip(keys).collect();
        shuffled.sort_by_key(|(_, key)| *key);
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        prop_assert_eq!(import_all(&one, &forward), 0);
        import_all(&other, shuffled.into_iter().map(|(bundle, _)| bundle));
        prop_assert_eq!(FinalMirror::read(&one), FinalMirror::read(&other));
        // And an old bundle once more takes nothing away.
        import(&one, &forward[0]).unwrap();
        prop_assert_eq!(FinalMirror::read(&one), FinalMirror::read(&other));
        assert_records_agree(&one);
    }
}
