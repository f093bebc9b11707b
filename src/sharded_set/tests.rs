//! Properties of sets: one digest whatever the history, changes that round-trip, and no damage that stays unnoticed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use proptest::prelude::*;

use super::diff::diff_in_sections;
use super::shard::ShardRows;
use super::*;
use crate::digest::Sha256;

/// Texts in memory. Counts what is read and written.
#[derive(Debug, Default)]
pub(super) struct MemoryStore {
    texts: RefCell<HashMap<Sha256, Vec<u8>>>,
    reads: Cell<usize>,
    writes: Cell<usize>,
}

impl MemoryStore {
    fn reset_counts(&self) -> (usize, usize) {
        (self.reads.replace(0), self.writes.replace(0))
    }
}

impl ShardStore for MemoryStore {
    fn open(&self, sha256: &Sha256) -> io::Result<Option<Box<dyn Read + '_>>> {
        self.reads.set(self.reads.get() + 1);
        let text = self.texts.borrow().get(sha256).cloned();
        Ok(text.map(|text| Box::new(io::Cursor::new(text)) as Box<dyn Read>))
    }

    fn write(&self, sha256: &Sha256, text: &[u8]) -> io::Result<()> {
        self.writes.set(self.writes.get() + 1);
        self.texts.borrow_mut().insert(*sha256, text.to_vec());
        Ok(())
    }
}

/// The row of a number with one of 256 contents. Three numbers have one name; some are files.
pub(super) fn row(number: u32, content: u8) -> Row {
    let digest = |what: &str| Sha256::of(format!("{what} {number} {}", content / 4).as_bytes());
    let inputs = Inputs::new((1..=1 + u32::from(content % 4)).chain([40])).unwrap();
    let (sha256, introduced) = (digest("file"), 1 + u64::from(content / 4));
    if number % 10 == 9 {
        let path: crate::safe_path::SafePath =
            format!("dist/2026-01-{:02}/file-{number}.tar.xz", number % 28).parse().unwrap();
        let path = FilePath::try_from(path).unwrap();
        return Row::File(FileRow { path, sha256, size: u64::from(number), introduced, inputs });
    }
    let name = format!("{}rate-{}", if (number / 3).is_multiple_of(5) { 'C' } else { 'c' }, number / 3);
    let id = crate::crate_id::CrateId::parse(&name, &format!("1.{}.0", number % 3)).unwrap();
    let registry = match number / 3 % 7 {
        0 => Registry::Other(registry()),
        _ => Registry::CratesIo,
    };
    Row::Crate(CrateRow {
        key: CrateKey { registry, id },
        sha256,
        size: u64::from(number) * 7,
        line_sha256: digest("line"),
        introduced,
        inputs,
        is_index_only: content == 3,
        is_yanked: content % 5 == 2,
    })
}

pub(super) fn rows(numbers: impl IntoIterator<Item = u32>) -> Vec<Row> {
    numbers.into_iter().map(|number| row(number, 0)).collect()
}

fn all_rows(list: &DigestList, store: &MemoryStore) -> Vec<Row> {
    Walk::new(SetRef::new(list, store)).map(|row| row.expect("valid").row).collect()
}

/// The changes between two sets.
pub(super) fn sections(
    before: &DigestList,
    after: &DigestList,
    store: &MemoryStore,
    max: usize,
) -> (Vec<String>, DiffTotals) {
    let mut sections = Vec::new();
    let totals = diff_in_sections(SetRef::new(before, store), SetRef::new(after, store), max, &mut |section| {
        sections.push(section);
        Ok(())
    });
    (sections, totals.expect("readable sets"))
}

/// The result of a receiver.
#[derive(Debug)]
struct Received {
    list: DigestList,
    store: MemoryStore,
    /// How many shards it read and wrote.
    reads: usize,
    writes: usize,
}

/// Applies changes as a receiver that only has the set before.
fn receive(
    before: &DigestList,
    sender: &MemoryStore,
    after: SetSummary,
    sections: &[String],
) -> Result<Received, Error> {
    let existing = MemoryStore::default();
    let texts = sender.texts.borrow();
    let known = before.digests().iter().filter_map(|digest| Some((*digest, texts.get(digest)?.clone())));
    existing.texts.borrow_mut().extend(known);
    let store = MemoryStore::default();
    let change = SetChange { before: before.summary(), after };
    let sections = sections.iter().map(|section| Ok(section.clone().into_bytes()));
    let list = apply(before, &existing, &change, sections, &store)?;
    let (reads, writes) = (existing.reads.get(), store.writes.get());
    store.texts.borrow_mut().extend(existing.texts.into_inner());
    Ok(Received { list, store, reads, writes })
}

/// Applies changes from one store to another.
pub(super) fn apply(
    before: &DigestList,
    source: &MemoryStore,
    change: &SetChange,
    sections: impl IntoIterator<Item = io::Result<Vec<u8>>>,
    store: &MemoryStore,
) -> Result<DigestList, Error> {
    let rules = RowRules::new(1..=40, [registry()], 64);
    super::apply(before, source, change, ChangeReader::new(sections, change.after.rows, &rules), store)
}

pub(super) fn registry() -> RegistryId {
    RegistryId::of_url("https://registry.example/index/")
}

/// Puts (with a content) and removals, by number.
type Batch = Vec<(u32, Option<u8>)>;

fn batch() -> impl Strategy<Value = Batch> {
    let change = (0u32..900, prop_oneof![3 => any::<u8>().prop_map(Some), 1 => Just(None)]);
    prop_oneof![
        prop::collection::vec(change.clone(), 0..12),
        prop::collection::vec(change, 200..700),
        // Everything goes.
        Just((0..900).map(|number| (number, None)).collect::<Batch>()),
    ]
}

/// Applies a batch to a model of a set, and returns the changes.
fn change_model(model: &mut BTreeMap<u32, Row>, batch: &Batch) -> Vec<Change> {
    let batch: BTreeMap<u32, Option<u8>> = batch.iter().copied().collect();
    let mut changes = Vec::new();
    for (number, content) in batch {
        match content.map(|content| row(number, content)) {
            Some(row) => {
                model.insert(number, row.clone());
                changes.push(Change::Put(row));
            }
            None => changes.extend(model.remove(&number).map(|row| Change::Remove(row.key()))),
        }
    }
    changes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_sequence_of_changes_gives_the_set_that_is_built_at_once(batches in prop::collection::vec(batch(), 1..5)) {
        let store = MemoryStore::default();
        let (mut list, mut model) = (DigestList::empty(), BTreeMap::new());
        for batch in &batches {
            let before = list.clone();
            list = edit(SetRef::new(&before, &store), change_model(&mut model, batch), &store).expect("valid");
            prop_assert_eq!(list.rows(), model.len() as u64);
            // The same change as a bundle, in sections of any size.
            for max in [300, 100_000] {
                let (texts, _) = sections(&before, &list, &store, max);
                let received = receive(&before, &store, list.summary(), &texts).expect("valid");
                prop_assert_eq!(&received.list, &list);
                prop_assert_eq!(all_rows(&received.list, &received.store), all_rows(&list, &store));
            }
        }
        let at_once = MemoryStore::default();
        let built = build(model.values().cloned(), &at_once).expect("valid");
        prop_assert_eq!(&built, &list);
        prop_assert_eq!(all_rows(&built, &at_once), all_rows(&list, &store));
        prop_assert_eq!(built.digests().len(), 1 << shard_bits(model.len() as u64));
        let text = built.text();
        prop_assert_eq!(DigestList::read(text.as_bytes(), built.summary().root).expect("valid"), built);
    }

    #[test]
    fn changes_between_any_two_sets_round_trip(one in batch(), other in batch()) {
        let store = MemoryStore::default();
        let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
        change_model(&mut before, &one);
        change_model(&mut after, &other);
        let old = build(before.values().cloned(), &store).expect("valid");
        let new = build(after.values().cloned(), &store).expect("valid");
        let (texts, totals) = sections(&old, &new, &store, 5_000);
        let received = receive(&old, &store, new.summary(), &texts).expect("valid");
        prop_assert_eq!(&received.list, &new);
        prop_assert_eq!(all_rows(&received.list, &received.store), all_rows(&new, &store));
        prop_assert_eq!(new.rows(), after.len() as u64);
        let added = after.keys().filter(|number| !before.contains_key(number)).count() as u64;
        let removed = before.keys().filter(|number| !after.contains_key(number)).count() as u64;
        let changed = after.iter().filter_map(|(number, row)| Some((before.get(number)?, row)));
        let changed: Vec<_> = changed.filter(|(old, new)| old != new).collect();
        let reassigned = changed.iter().filter(|(old, new)| (*old).clone().with_inputs(new.inputs().clone()) == **new);
        let reassigned = reassigned.count();
        prop_assert_eq!((totals.added, totals.removed), (added, removed));
        prop_assert_eq!(totals.reassigned, reassigned as u64);
        prop_assert_eq!(totals.replaced, (changed.len() - reassigned) as u64);
        // Any cut into sections gives the same lines, apart from repeated shards.
        let lines = |texts: &[String]| -> Vec<String> {
            let mut lines: Vec<String> = texts.concat().lines().map(str::to_owned).collect();
            lines.dedup();
            let mut seen = String::new();
            lines.retain(|line| !line.starts_with('@') || std::mem::replace(&mut seen, line.clone()) != *line);
            lines
        };
        prop_assert_eq!(lines(&texts), lines(&sections(&old, &new, &store, 200).0));
    }

    #[test]
    fn a_union_has_every_row_of_every_set_in_order(
        sets in prop::collection::vec(prop::collection::btree_map(0u32..900, 0u8..3, 0..600), 0..4),
    ) {
        let store = MemoryStore::default();
        let build = |set: &BTreeMap<u32, u8>| build(set.iter().map(|(number, content)| row(*number, *content)), &store);
        let lists: Vec<DigestList> = sets.iter().map(|set| build(set).expect("valid")).collect();
        store.reset_counts();
        let mut found = BTreeMap::new();
        let mut last = None;
        for united in Union::new(lists.iter().map(|list| SetRef::new(list, &store))) {
            let UnionRow { sort_key, rows } = united.expect("valid");
            prop_assert!(last.replace(sort_key.clone()).is_none_or(|last| last < sort_key));
            let key = rows.first().expect("a row").1.key();
            prop_assert!(found.insert(key, rows).is_none());
        }
        let mut expected: BTreeMap<Key, Vec<(usize, Row)>> = BTreeMap::new();
        for (set, rows) in sets.iter().enumerate() {
            for (number, content) in rows {
                let row = row(*number, *content);
                expected.entry(row.key()).or_default().push((set, row));
            }
        }
        prop_assert_eq!(found, expected);
        let shards = lists.iter().flat_map(DigestList::digests).filter(|digest| **digest != Sha256::of(b"")).count();
        prop_assert_eq!(store.reset_counts(), (shards, 0));
    }

    #[test]
    fn no_text_makes_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>()) {
        let store = MemoryStore::default();
        let (old, new) = (build(rows(0..20), &store).unwrap(), build(rows(5..30), &store).unwrap());
        let mut shard = store.texts.borrow()[&new.digests()[0]].clone();
        let mut section = sections(&old, &new, &store, MAX_SECTION_SIZE).0.concat().into_bytes();
        for text in [&mut shard, &mut section] {
            let start = at.index(text.len());
            let end = (start + bytes.len() / 2).min(text.len());
            text.splice(start..end, bytes.iter().copied());
        }
        drop(ShardRows::parse(&shard, 0, 0));
        drop(ShardRows::parse(&bytes, 0, 0));
        drop(DigestList::read(bytes.as_slice(), Sha256::of(&bytes)));
        for text in [section, bytes] {
            let change = SetChange { before: old.summary(), after: new.summary() };
            let result = apply(&old, &store, &change, [Ok(text)], &MemoryStore::default());
            prop_assert!(result.map_or(true, |list| list == new));
        }
    }

    #[test]
    fn any_flipped_bit_of_a_large_change_is_found_and_named(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let store = MemoryStore::default();
        let (old, new) = (build(rows(0..600), &store).unwrap(), build(rows(20..620), &store).unwrap());
        let mut text = sections(&old, &new, &store, MAX_SECTION_SIZE).0.concat().into_bytes();
        let position = at.index(text.len());
        text[position] ^= 1 << bit;
        let change = SetChange { before: old.summary(), after: new.summary() };
        let error = apply(&old, &store, &change, [Ok(text)], &MemoryStore::default()).expect_err("damaged");
        assert_names_place(&error);
    }
}

#[track_caller]
fn assert_names_place(error: &Error) {
    let text = error.to_string();
    assert!(text.contains("shard ") || text.contains(" of section 1 of the changes"), "{error:?}: {text}");
}

#[test]
fn every_flipped_bit_of_a_shard_is_found_and_named() {
    let store = MemoryStore::default();
    let list = build(rows(0..12), &store).expect("valid");
    let digest = list.digests()[0];
    let text = store.texts.borrow()[&digest].clone();
    let sound = ShardRows::parse(&text, 0, 0).expect("valid");
    for bit in 0..text.len() * 8 {
        let mut flipped = text.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        store.texts.borrow_mut().insert(digest, flipped.clone());
        let results: Vec<_> = Walk::new(SetRef::new(&list, &store)).collect();
        assert!(matches!(results.as_slice(), [Err(Error::DamagedShard { shard: 0, .. })]), "bit {bit}");
        // Without its digest, the text has another meaning or none.
        match ShardRows::parse(&flipped, 0, 0) {
            Ok(rows) => assert_ne!(rows, sound, "bit {bit}"),
            Err(Error::InvalidRow { shard: 0, row, .. }) => assert!((1..=12).contains(&row), "bit {bit}: row {row}"),
            Err(error) => panic!("bit {bit}: {error}"),
        }
    }
    store.texts.borrow_mut().remove(&digest);
    let missing = Walk::new(SetRef::new(&list, &store)).next().expect("a shard").expect_err("missing");
    assert!(missing.to_string().starts_with("shard 0 of the set is missing (SHA-256 "), "{missing}");
}

#[test]
fn every_flipped_bit_of_a_change_is_found_and_named() {
    let store = MemoryStore::default();
    let new = build(rows(3..10).into_iter().chain([row(2, 1)]), &store).unwrap();
    let old = build(rows(0..8), &store).unwrap();
    let text = sections(&old, &new, &store, MAX_SECTION_SIZE).0.concat();
    assert!(['-', '~', '+'].iter().all(|sign| text.contains(&format!("\n{sign}"))), "{text}");
    let change = SetChange { before: old.summary(), after: new.summary() };
    let receive = |text: Vec<u8>| apply(&old, &store, &change, [Ok(text)], &MemoryStore::default());
    assert_eq!(receive(text.clone().into_bytes()).expect("valid"), new);
    for bit in 0..text.len() * 8 {
        let mut flipped = text.clone().into_bytes();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_names_place(&receive(flipped).expect_err("damaged"));
    }
    // A cut at any byte, and every line that is missing or doubled.
    for end in 0..text.len() {
        receive(text.as_bytes()[..end].to_vec()).expect_err("incomplete");
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for at in 0..lines.len() {
        let without = [&lines[..at], &lines[at + 1..]].concat().concat();
        receive(without.into_bytes()).expect_err("a line is missing");
        let doubled = [&lines[..=at], &lines[at..]].concat().concat();
        assert_names_place(&receive(doubled.into_bytes()).expect_err("a line is doubled"));
    }
}

#[test]
fn ten_changes_of_a_large_set_cost_what_changed() {
    let store = MemoryStore::default();
    let before = build(rows(0..100_000), &store).expect("valid");
    assert_eq!(before.digests().len(), 512);
    let changes = (0..10u32).map(|change| match change % 3 {
        0 => Change::Put(row(100_000 + change, 0)),
        1 => Change::Put(row(change * 9_000, 5)),
        _ => Change::Remove(row(change * 8_000, 0).key()),
    });
    store.reset_counts();
    let after = edit(SetRef::new(&before, &store), changes, &store).expect("valid");
    let (reads, writes) = store.reset_counts();
    assert!(reads <= 10 && writes <= 10, "edit: {reads} read, {writes} written");
    let (texts, totals) = sections(&before, &after, &store, MAX_SECTION_SIZE);
    assert_eq!((totals.added, totals.replaced, totals.removed), (4, 3, 3));
    assert!(totals.shards <= 10 && texts.len() == 1, "{totals:?}");
    assert!(texts[0].len() < 4_000, "{}", texts[0].len());
    assert!(store.reset_counts().0 <= 20);
    let received = receive(&before, &store, after.summary(), &texts).expect("valid");
    assert_eq!(received.list, after);
    assert!(received.reads <= 10 && received.writes <= 10, "{} read, {} written", received.reads, received.writes);
}

#[test]
fn a_change_of_the_number_of_shards_costs_no_text() {
    let store = MemoryStore::default();
    let before = build(rows(0..8_189), &store).expect("valid");
    let grown = edit(SetRef::new(&before, &store), rows(8_189..8_199).into_iter().map(Change::Put), &store);
    let grown = grown.expect("valid");
    assert_eq!((before.digests().len(), grown.digests().len()), (32, 64));
    for (from, to) in [(&before, &grown), (&grown, &before)] {
        let (texts, totals) = sections(from, to, &store, MAX_SECTION_SIZE);
        assert!(totals.shards <= 10 && texts.len() == 1 && texts[0].len() < 4_000, "{totals:?}");
        let received = receive(from, &store, to.summary(), &texts).expect("valid");
        // Each shard is read once and written once, whatever the change.
        assert_eq!((received.reads, received.writes), (from.digests().len(), to.digests().len()));
        assert_eq!(&received.list, to);
    }
}

#[test]
fn rows_can_be_added_name_by_name_without_all_of_them_in_memory() {
    let store = MemoryStore::default();
    let whole = build(rows(0..3_000), &store).expect("valid");
    for expected in [0, 3_000, 1_000_000] {
        let mut builder = Builder::new(expected, &store);
        let mut sorted = rows(0..3_000);
        sorted.sort_by_cached_key(|row| builder.sort_key(&row.key()));
        sorted.into_iter().for_each(|row| builder.push(row).expect("in order"));
        assert_eq!(builder.finish().expect("valid"), whole);
    }
    // In order, each shard is read once.
    store.reset_counts();
    let mut lookup = Lookup::new(SetRef::new(&whole, &store));
    for row in all_rows(&whole, &store) {
        assert_eq!(lookup.find(&row.key()).expect("readable"), Some(&row));
    }
    assert_eq!(store.reset_counts(), (2 * whole.digests().len(), 0));
    assert_eq!(lookup.find(&row(3_000, 0).key()).expect("readable"), None);
}

#[test]
fn a_change_of_inputs_alone_repeats_no_digest() {
    let store = MemoryStore::default();
    let shared = build((0..5_000).map(|number| row(number, 1)), &store).expect("valid");
    let own = build(rows(0..5_000), &store).expect("valid");
    for (before, after) in [(&shared, &own), (&own, &shared)] {
        let (texts, totals) = sections(before, after, &store, MAX_SECTION_SIZE);
        assert_eq!(totals, DiffTotals { reassigned: 5_000, shards: 32, ..DiffTotals::default() });
        let text = texts.concat();
        assert!(text.len() < 5_000 * 45, "{}", text.len());
        let digests = text.split(['\t', '\n']).filter(|field| field.parse::<Sha256>().is_ok()).count();
        assert_eq!(digests, 32, "one of each shard");
        let received = receive(before, &store, after.summary(), &texts).expect("valid");
        assert_eq!(&received.list, after);
        let changes = Walk::new(SetRef::new(after, &store)).map(|placed| {
            let row = placed.expect("valid").row;
            Change::SetInputs(row.key(), row.inputs().clone())
        });
        assert_eq!(&edit(SetRef::new(before, &store), changes, &store).expect("valid"), after);
    }
}

#[test]
fn a_list_with_a_false_number_of_rows_is_found_by_a_walk() {
    let store = MemoryStore::default();
    let list = build(rows(0..300), &store).expect("valid");
    let text = list.text().replacen("300", "301", 1);
    let forged = DigestList::read(text.as_bytes(), Sha256::of(text.as_bytes())).expect("well-formed");
    let error = Walk::new(SetRef::new(&forged, &store)).find_map(Result::err).expect("a wrong number");
    assert_eq!(error.to_string(), "the list of shards states 301 as the number of rows, but there are 300");
    assert!(Walk::new(SetRef::new(&list, &store)).all(|row| row.is_ok()));
}

#[test]
fn own_changes_that_break_a_rule_are_refused() {
    let store = MemoryStore::default();
    let list = build(rows(0..600), &store).expect("valid");
    let set = SetRef::new(&list, &store);
    let double = [Change::Put(row(700, 0)), Change::Put(row(700, 5))];
    assert!(matches!(
        edit(set, double, &store),
        Err(Error::InvalidRow { fault: RowFault::Duplicate(_), .. } | Error::InvalidChange { .. })
    ));
    assert!(matches!(edit(set, [Change::Remove(row(700, 0).key())], &store), Err(Error::AbsentRow { .. })));
    let Row::Crate(existing) = row(4, 0) else { panic!("a crate") };
    let id = crate::crate_id::CrateId::parse("CRATE-1", "9.0.0").expect("valid");
    let renamed = Row::Crate(CrateRow { key: CrateKey { id, ..existing.key }, ..existing });
    let error = edit(set, [Change::Put(renamed)], &store).expect_err("another case").to_string();
    assert!(error.ends_with("is for CRATE-1 9.0.0, whose name another row spells in different case"), "{error}");
    assert_eq!(edit(set, [Change::Put(row(4, 0))], &store).expect("no change"), list);
    assert_eq!(edit(set, [], &store).expect("no change"), list);
}
