//! Bundles with sets: written and read again, and damaged in every way.

mod damage;
mod false_content;
mod fixture;
mod forged;
mod memory;
mod mutations;

use std::collections::BTreeMap;
use std::io::Read;

use fixture::{Item, MemoryStore, Seen, World, content, error_chain, read};
use forged::Forged;
use proptest::prelude::*;

use super::*;
use crate::bundle::format::BundleKind;
use crate::digest::Sha256;
use crate::sharded_set::{DigestList, SetRef, Walk};

/// Gives one byte a time, as a pipe may.
struct Slow<'b>(&'b [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let end = buffer.len().min(1);
        self.0.read(&mut buffer[..end])
    }
}

#[test]
fn a_full_bundle_has_its_set_and_every_file_in_order() {
    for count in [0, 1, 5, 700] {
        let mut world = World::new(0..count);
        let bytes = world.full();
        let mut seen = Seen::default();
        let report = read(bytes.as_slice(), Base::Unknown, &mut seen).expect("readable");
        assert_eq!(report.problems, []);
        assert_eq!(report.set.as_ref(), Some(&world.list));
        assert_eq!(seen.files, content(&world.files()), "{count}");
        let bundle = SetBundle::open(bytes.as_slice(), "x.pkg").expect("valid");
        assert_eq!(bundle.file_length(), Some(bytes.len() as u64));
        let total = bundle.manifest().totals.sum().expect("small").entries;
        assert_eq!(total, world.files().len() as u64);
        assert_eq!(world.full(), bytes, "the same contents give the same bytes");
    }
}

#[test]
fn a_bundle_is_read_from_a_pipe() {
    let mut world = World::new(0..20);
    let bytes = world.full();
    let report = read(Slow(&bytes), Base::Unknown, &mut Seen::default()).expect("readable");
    assert_eq!(report.problems, []);
    assert_eq!(report.set, Some(world.list));
}

#[test]
fn a_delta_costs_what_changed_and_needs_its_base() {
    let mut world = World::new(0..1_000);
    let full = world.full();
    let base = world.list.clone();
    for number in 1_000..1_010 {
        world.items.insert(number, Item::new(number, 0));
    }
    world.items.remove(&3);
    let delta = world.delta(&base, 1_000..1_010);
    assert!(delta.len() * 20 < full.len(), "{} of {}", delta.len(), full.len());

    let known = Base::Known(&base, &world.store);
    let mut seen = Seen::default();
    let report = read(delta.as_slice(), known, &mut seen).expect("readable");
    assert_eq!((report.problems, report.set), (vec![], Some(world.list.clone())));
    assert_eq!(seen.files.iter().filter(|(path, _)| path.starts_with("crates/")).count(), 9);
    // Its shards and those of the base are the whole set.
    let rows = Walk::new(SetRef::new(&world.list, &world.store)).map(|row| row.expect("valid").row);
    assert_eq!(rows.count(), world.items.len());

    let report = read(delta.as_slice(), Base::Unknown, &mut Seen::default()).expect("readable");
    assert_eq!((report.problems, report.set), (vec![], None));
    let other = World::new(5..9);
    let error = read(delta.as_slice(), Base::Known(&other.list, &other.store), &mut Seen::default());
    let message = error_chain(&error.expect_err("another base"));
    assert!(message.starts_with("could not apply the changes of `x.pkg`: the changes are for the set "), "{message}");
}

#[test]
fn a_delta_without_changed_rows_has_no_sections() {
    let mut world = World::new(0..30);
    world.full();
    let base = world.list.clone();
    let delta = world.delta(&base, [4, 9]);
    let bundle = SetBundle::open(delta.as_slice(), "x.pkg").expect("valid");
    assert_eq!(bundle.manifest().set.as_ref().map(|set| set.sections.len()), Some(0));
    let report = read(delta.as_slice(), Base::Known(&base, &world.store), &mut Seen::default()).expect("readable");
    assert_eq!((report.problems, report.set), (vec![], Some(base)));
}

#[test]
fn a_repair_has_files_and_no_set() {
    let mut world = World::new(0..30);
    let bytes = world.repair(3..9);
    let mut seen = Seen::default();
    let report = read(bytes.as_slice(), Base::Unknown, &mut seen).expect("readable");
    assert_eq!((report.problems, report.set), (vec![], None));
    assert!(seen.files.len() > 6);
}

#[test]
fn a_bundle_of_many_files_has_several_parts() {
    let mut world = World::new(0..2_400);
    let mut files = world.files();
    for (number, file) in files.iter_mut().enumerate().filter(|(_, file)| file.details.license.is_some()) {
        let text = (0..30u32).map(|part| Sha256::of(format!("{number} {part}").as_bytes()).to_string());
        file.details.description = Some(text.collect());
    }
    let bytes = world.full_with(files.clone());
    let mut seen = Seen::default();
    let report = read(bytes.as_slice(), Base::Unknown, &mut seen).expect("readable");
    assert_eq!((report.problems, report.set), (vec![], Some(world.list.clone())));
    assert!(report.manifest.parts.len() > 1);
    assert_eq!(seen.files, content(&files));
}

#[test]
fn sections_are_cut_anywhere() {
    let mut world = World::new(0..700);
    let forged = Forged::from(&world.full());
    let lines: Vec<&str> = forged.sections[0].split_inclusive('\n').collect();
    let header_before = |at: usize| lines[..at].iter().rfind(|line| line.starts_with('@')).expect("a shard");
    for at in [2, 3, lines.len() / 2, lines.len() - 1] {
        let is_new_shard = lines[at].starts_with('@');
        let repeated = if is_new_shard { "" } else { header_before(at) };
        let sections = vec![lines[..at].concat(), format!("{repeated}{}", lines[at..].concat())];
        let cut = Forged { sections, ..forged.clone() };
        let report = read(cut.bytes().as_slice(), Base::Unknown, &mut Seen::default()).expect("readable");
        assert_eq!((report.problems, report.set), (vec![], Some(world.list.clone())), "{at}");
    }
}

#[test]
fn a_newer_header_names_the_tool() {
    let mut world = World::new(0..2);
    let bytes = fixture::with_format(&world.full(), 3);
    let error = SetBundle::open(bytes.as_slice(), "x.pkg").expect_err("newer");
    let tool = env!("CARGO_PKG_VERSION");
    let expected = format!("`x.pkg` was written by cargo-frostmirror {tool} in format 3; ");
    assert!(error.to_string().starts_with(&expected), "{error}");
    let bytes = fixture::with_format(&world.full(), 1);
    let error = SetBundle::open(bytes.as_slice(), "x.pkg").expect_err("older").to_string();
    assert_eq!(error, "the header of `x.pkg` is damaged: its format is older than sets");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_series_of_bundles_gives_the_set_of_its_sender(
        batches in prop::collection::vec(prop::collection::btree_map(0u32..500, prop::option::of(0u8..6), 0..60), 1..4),
    ) {
        let mut world = World::new(0..200);
        let receiver = MemoryStore::default();
        let mut stored = DigestList::empty();
        for (round, batch) in batches.iter().enumerate() {
            for (number, content) in batch {
                match content {
                    Some(content) => world.items.insert(*number, Item::new(*number, *content)),
                    None => world.items.remove(number),
                };
            }
            let shipped: BTreeMap<u32, Item> = world.items.clone();
            let (bytes, kind) = match round {
                0 => (world.full(), BundleKind::Full),
                _ => (world.delta(&stored, shipped.into_keys()), BundleKind::Delta),
            };
            let bundle = SetBundle::open(bytes.as_slice(), "x.pkg").expect("valid");
            prop_assert_eq!(bundle.manifest().kind, kind);
            let scratch = MemoryStore::default();
            let base = Base::Known(&stored, &receiver);
            let content = bundle.read_set(base, &receiver, &scratch).expect("valid changes");
            let mut seen = Seen::default();
            let report = content.stream(&mut seen).expect("readable");
            prop_assert_eq!(report.problems, vec![]);
            stored = report.set.expect("a set");
            prop_assert_eq!(&stored, &world.list);
            let rows = Walk::new(SetRef::new(&stored, &receiver)).map(|row| row.expect("valid").row);
            let sent = Walk::new(SetRef::new(&world.list, &world.store)).map(|row| row.expect("valid").row);
            prop_assert!(rows.eq(sent));
        }
    }
}
