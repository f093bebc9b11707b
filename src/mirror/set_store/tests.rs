//! One end state for any order of bundles, and no damage that stays unnoticed.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use proptest::prelude::*;

use super::*;
use crate::mirror::guard::WriteGuard;
use crate::sharded_set::{
    Change, ChangeReader, CrateKey, CrateRow, Inputs, Registry, Row, RowRules, SetChange, apply, build, edit,
};

/// The sender's shards.
#[derive(Default)]
struct MemoryStore(RefCell<HashMap<Sha256, Vec<u8>>>);

impl ShardStore for MemoryStore {
    fn open(&self, sha256: &Sha256) -> io::Result<Option<Box<dyn Read + '_>>> {
        let text = self.0.borrow().get(sha256).cloned();
        Ok(text.map(|text| Box::new(io::Cursor::new(text)) as Box<dyn Read>))
    }

    fn write(&self, sha256: &Sha256, text: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().insert(*sha256, text.to_vec());
        Ok(())
    }
}

fn row(number: u32, content: u8) -> Row {
    let digest = |what: &str| Sha256::of(format!("{what} {number} {content}").as_bytes());
    let id = crate::crate_id::CrateId::parse(&format!("crate-{}", number / 4), &format!("1.{}.0", number % 4));
    Row::Crate(CrateRow {
        key: CrateKey { registry: Registry::CratesIo, id: id.expect("valid") },
        sha256: digest("file"),
        size: u64::from(number),
        line_sha256: digest("line"),
        introduced: 1,
        inputs: Inputs::new([1]).expect("valid"),
        is_index_only: false,
        is_yanked: content == 1,
    })
}

/// A bundle of a history, as far as it concerns the set.
#[derive(Debug)]
struct SetBundle {
    history: u32,
    sequence: usize,
    change: SetChange,
    sections: Vec<String>,
}

impl SetBundle {
    /// The changes from one set of the sender to another.
    fn new(history: u32, sequence: usize, before: &DigestList, after: &DigestList, store: &MemoryStore) -> SetBundle {
        let mut sections = Vec::new();
        let (from, to) = (SetRef::new(before, store), SetRef::new(after, store));
        let written = diff(from, to, &mut |section| {
            sections.push(section);
            Ok(())
        });
        written.expect("readable sets");
        SetBundle {
            history,
            sequence,
            change: SetChange { before: before.summary(), after: after.summary() },
            sections,
        }
    }
}

/// A mirror that only has sets. Its records are in memory.
struct SetMirror {
    _folder: tempfile::TempDir,
    guard: WriteGuard,
    store: SetStore,
    records: BTreeMap<(u32, usize), SetSummary>,
    bytes: u64,
}

impl SetMirror {
    fn new() -> SetMirror {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        fs::create_dir_all(layout.ledger()).expect("folder");
        let store = SetStore::new(&layout);
        SetMirror { guard: WriteGuard::for_test(&layout), store, records: BTreeMap::new(), bytes: 0, _folder: folder }
    }

    fn layout(&self) -> &Layout {
        &self.guard.layout
    }

    /// Imports a bundle. `false` if its base is missing.
    fn import(&mut self, bundle: &SetBundle) -> bool {
        let before = bundle.change.before;
        let base = match before.rows {
            0 => DigestList::empty(),
            _ => match self.store.read("base", before) {
                Ok(base) => base.list,
                Err(_) => return false,
            },
        };
        let mut tx = Transaction::begin(&self.guard, "a test").expect("staging");
        let writer = SetWriter::new(self.layout(), &mut tx.staging);
        let rules = RowRules::new([1], [], bundle.sequence as u64 + 1);
        let sections = bundle.sections.iter().map(|section| Ok(section.clone().into_bytes()));
        let changes = ChangeReader::new(sections, bundle.change.after.rows, &rules);
        let list = apply(&base, &self.store, &bundle.change, changes, &writer).expect("valid");
        let staged = writer.finish(&list).expect("staged");
        self.bytes += staged.bytes;
        staged.put(&mut tx).expect("paths of the mirror");
        tx.commit().expect("committed");
        self.records.insert((bundle.history, bundle.sequence), bundle.change.after);
        true
    }

    fn read(&self, history: u32, sequence: usize) -> RecordedSet {
        let summary = self.records[&(history, sequence)];
        self.store.read(&format!("{history}-{sequence}.json"), summary).expect("readable")
    }

    /// The newest record of each history.
    fn tips(&self) -> Vec<(u32, usize)> {
        let newest: BTreeMap<u32, usize> = self.records.keys().copied().collect();
        newest.into_iter().collect()
    }

    /// Removes the sets of all other records.
    fn collect(&mut self) {
        let tips: Vec<RecordedSet> =
            self.tips().into_iter().map(|(history, number)| self.read(history, number)).collect();
        let files = self.store.unreferenced(&tips).expect("readable");
        let mut tx = Transaction::begin(&self.guard, "a test").expect("staging");
        self.store.delete(&files, &mut tx).expect("paths of the mirror");
        tx.commit().expect("committed");
    }

    /// The stored files below `lists` and `shards`.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = self.store.unreferenced(&[]).expect("readable");
        files.sort_unstable();
        files
    }

    fn texts(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let read = |file: PathBuf| {
            let text = fs::read(&file).expect("readable");
            (file.strip_prefix(self.layout().root()).expect("below").to_owned(), text)
        };
        self.files().into_iter().map(read).collect()
    }

    /// Every way to read the set finds a problem and names the record.
    #[track_caller]
    fn assert_damaged(&self, set: (&str, SetSummary), text: &str) {
        let read = match self.store.read(set.0, set.1) {
            Err(error) => return assert_names(&error, set.0, text),
            Ok(read) => read,
        };
        let problems = self.store.check(&read);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_names(&problems[0], set.0, text);
        let whole = RecordedSet { record: "whole.json".to_owned(), list: DigestList::empty() };
        let sets = [whole, read];
        assert_names(&self.store.union(&sets).find_map(Result::err).expect("damaged"), set.0, text);
        assert_names(&self.store.diff(&sets, &mut |_| Ok(())).expect_err("damaged"), set.0, text);
    }
}

#[track_caller]
fn assert_names(error: &SetError, record: &str, text: &str) {
    let full = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    assert!(full.contains(record) && full.contains(text), "{full}");
}

/// The bundles of a history. Each step has numbers of rows to change, and whether its bundle is full.
fn history(number: u32, steps: &[(Vec<u16>, bool)], store: &MemoryStore) -> Vec<SetBundle> {
    let mut present: BTreeMap<u32, u8> = (0..300).map(|row| (row + 100 * number, 0)).collect();
    let empty = DigestList::empty();
    let rows = present.keys().map(|number| row(*number, 0));
    let mut before = build(rows, store).expect("valid");
    let mut bundles = vec![SetBundle::new(number, 0, &empty, &before, store)];
    for (marker, (position, (touched, is_full))) in (3..).zip(steps.iter().enumerate()) {
        // No set is like an earlier one, because a delta could then replace one that was lost.
        present.insert(10_000 + number, marker);
        for one in touched {
            let (key, content) = (u32::from(*one) / 3 % 450, (one % 3) as u8);
            if content == 2 {
                present.remove(&key);
            } else {
                present.insert(key, content);
            }
        }
        let rows = present.iter().map(|(number, content)| row(*number, *content));
        let after = build(rows, store).expect("valid");
        bundles.push(SetBundle::new(number, position + 1, if *is_full { &empty } else { &before }, &after, store));
        before = after;
    }
    bundles
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// Two histories of full bundles and deltas. Some bundles are lost, the others arrive in any order, and those whose base
    /// is missing arrive again. Collections in between keep only the newest sets.
    #[test]
    fn any_order_of_bundles_gives_one_end_state(
        first in prop::collection::vec((prop::collection::vec(any::<u16>(), 0..12), any::<bool>()), 1..6),
        second in prop::collection::vec((prop::collection::vec(any::<u16>(), 0..12), any::<bool>()), 1..6),
        lost in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        order in prop::collection::vec(any::<u32>(), 14),
        collections in prop::collection::vec(any::<bool>(), 14),
    ) {
        let sender = MemoryStore::default();
        let mut bundles = history(0, &first, &sender);
        bundles.extend(history(1, &second, &sender));
        for one in lost {
            bundles.remove(one.index(bundles.len()));
        }
        let (mut in_order, mut shuffled) = (SetMirror::new(), SetMirror::new());
        for bundle in &bundles {
            in_order.import(bundle);
        }
        let mut waiting: Vec<(u32, &SetBundle)> = order.iter().copied().zip(&bundles).collect();
        waiting.sort_by_key(|(position, _)| *position);
        loop {
            let count = waiting.len();
            let mut step = 0;
            waiting.retain(|(_, bundle)| {
                let is_refused = !shuffled.import(bundle);
                if collections.get(step).copied().unwrap_or_default() {
                    shuffled.collect();
                }
                step += 1;
                is_refused
            });
            if waiting.len() == count {
                break;
            }
        }
        prop_assert_eq!(in_order.tips(), shuffled.tips());
        in_order.collect();
        shuffled.collect();
        prop_assert_eq!(in_order.texts(), shuffled.texts());
        let tips: Vec<RecordedSet> = shuffled.tips().into_iter().map(|(one, number)| shuffled.read(one, number)).collect();
        prop_assert!(tips.iter().all(|tip| shuffled.store.check(tip).is_empty()));
        // The union has every row of every tip.
        let rows = shuffled.store.union(&tips).map(|row| row.expect("valid").rows.len() as u64).sum::<u64>();
        prop_assert_eq!(rows, tips.iter().map(|tip| tip.list.rows()).sum::<u64>());
        // Nothing else is stored.
        let shards: BTreeSet<Sha256> = tips.iter().flat_map(|tip| tip.list.digests().iter().copied()).collect();
        let stored = shards.iter().filter(|digest| **digest != Sha256::of(b"")).count();
        let lists: BTreeSet<String> = tips.iter().map(|tip| tip.list.summary().root.to_string()).collect();
        prop_assert_eq!(shuffled.files().len(), stored + lists.len());
    }
}

/// A mirror with a set of 700 rows, and the same with ten changed rows.
fn two_sets() -> (SetMirror, SetBundle, SetBundle) {
    let sender = MemoryStore::default();
    let full = build((0..700).map(|number| row(number, 0)), &sender).expect("valid");
    let changes = (0..10).map(|number| Change::Put(row(number * 70, 1)));
    let changed = edit(SetRef::new(&full, &sender), changes, &sender).expect("valid");
    let first = SetBundle::new(0, 0, &DigestList::empty(), &full, &sender);
    let second = SetBundle::new(0, 1, &full, &changed, &sender);
    (SetMirror::new(), first, second)
}

#[test]
fn a_shard_is_stored_once_and_a_delta_writes_what_changed() {
    let (mut mirror, full, delta) = two_sets();
    assert!(!mirror.import(&delta), "its base is missing");
    assert_eq!(mirror.files(), Vec::<PathBuf>::new());
    assert!(mirror.import(&full));
    assert_eq!(mirror.files().len(), 5, "a list and four shards");
    let sender = MemoryStore::default();
    let large = build((0..20_000).map(|number| row(number, 0)), &sender).expect("valid");
    let changed = edit(SetRef::new(&large, &sender), [Change::Put(row(7, 1))], &sender).expect("valid");
    assert!(mirror.import(&SetBundle::new(1, 0, &DigestList::empty(), &large, &sender)));
    let (files, bytes) = (mirror.files().len(), mirror.bytes);
    assert!(mirror.import(&SetBundle::new(1, 1, &large, &changed, &sender)));
    assert_eq!(mirror.files().len(), files + 2, "a list and a shard");
    assert!(mirror.bytes - bytes < 70_000, "{}", mirror.bytes - bytes);
    // The same again writes its list only.
    let bytes = mirror.bytes;
    assert!(mirror.import(&SetBundle::new(1, 1, &large, &changed, &sender)));
    assert_eq!(mirror.bytes - bytes, changed.text().len() as u64);
    let sets = [mirror.read(1, 0), mirror.read(1, 1)];
    let totals = mirror.store.diff(&sets, &mut |_| Ok(())).expect("readable");
    assert_eq!((totals.replaced, totals.added, totals.removed), (1, 0, 0));
    // A file that is no digest stays.
    let foreign = mirror.layout().ledger().join("shards/00/notes.txt");
    fs::create_dir_all(foreign.parent().expect("folder")).expect("folder");
    fs::write(&foreign, "notes").expect("write");
    mirror.records.clear();
    mirror.collect();
    assert_eq!(mirror.files(), Vec::<PathBuf>::new());
    let left: Vec<_> = fs::read_dir(mirror.layout().ledger().join("shards")).expect("folder").collect();
    assert_eq!((left.len(), foreign.exists()), (1, true), "empty folders are removed");
}

#[test]
fn every_flipped_bit_is_found_and_the_record_is_named() {
    let sender = MemoryStore::default();
    let small = build((0..2).map(|number| row(number, 0)), &sender).expect("valid");
    let mut mirror = SetMirror::new();
    assert!(mirror.import(&SetBundle::new(0, 0, &DigestList::empty(), &small, &sender)));
    let set = ("00000003-abc.json", small.summary());
    for file in mirror.files() {
        let text = fs::read(&file).expect("readable");
        let expected = if file.starts_with(mirror.layout().ledger().join("lists")) {
            "list of shards is damaged"
        } else {
            "shard 0 of the set is damaged"
        };
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&file, flipped).expect("write");
            mirror.assert_damaged(set, expected);
        }
        fs::write(&file, text).expect("write");
    }
    assert!(mirror.store.check(&mirror.read(0, 0)).is_empty());
    // The record itself.
    let SetSummary { root, rows } = small.summary();
    mirror.assert_damaged(("a.json", SetSummary { root, rows: rows + 1 }), "states 3 as the number of rows");
    let other = Sha256::of(b"other");
    mirror.assert_damaged(("a.json", SetSummary { root: other, rows }), &format!("{other} is missing"));
}

#[test]
fn lost_and_exchanged_files_are_named_and_an_import_brings_them_again() {
    let (mut mirror, full, delta) = two_sets();
    assert!(mirror.import(&full));
    let list = mirror.read(0, 0).list;
    let [first, second] = [0, 1].map(|shard: usize| mirror.store.shard_path(&list.digests()[shard]));
    let set = ("00000001-abc.json", list.summary());
    let damages: [(&dyn Fn(), &str); 5] = [
        (&|| fs::remove_file(&second).expect("removed"), "shard 1 of the set is missing"),
        (&|| assert!(fs::copy(&first, &second).is_ok()), "shard 1 of the set is damaged"),
        (&|| fs::write(&second, "").expect("write"), "shard 1 of the set is damaged"),
        (
            &|| fs::write(&second, vec![b'\n'; MAX_SHARD_SIZE + 9]).expect("write"),
            "shard 1 of the set is larger than 4 MiB",
        ),
        (&|| fs::remove_file(mirror.store.list_path(&set.1.root)).expect("removed"), "is missing"),
    ];
    let mut healed = Vec::new();
    for (damage, expected) in damages {
        let texts = mirror.texts();
        damage();
        mirror.assert_damaged(set, expected);
        // What an import of the same bundle does.
        let mut other = SetMirror {
            records: BTreeMap::new(),
            store: mirror.store.clone(),
            guard: WriteGuard::for_test(mirror.layout()),
            bytes: 0,
            _folder: tempfile::tempdir().expect("folder"),
        };
        assert!(other.import(&full));
        healed.push(mirror.texts() == texts);
    }
    assert_eq!(healed, [true; 5]);
    // A delta reads its own shards only, and names a damaged one.
    assert!(mirror.import(&delta));
}
