//! Random changes below the digests: every text is changed, and then sizes and digests are made correct.

use std::ops::Range;

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::*;
use super::fixture::{MemoryStore, Seen, World, problems, read};
use super::forged::Forged;
use crate::sharded_set::{SetRef, Walk};

/// Where a text is changed, and what replaces how many bytes.
type Mutation = (Index, usize, Vec<u8>);

fn mutation() -> impl Strategy<Value = Mutation> {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..4),
        prop::collection::vec(prop::sample::select(b"0123456789abcdefxy-+~@\t\n,.:\"{}[]/".to_vec()), 1..6),
    ];
    (any::<Index>(), 0usize..4, bytes)
}

fn mutate(text: &mut Vec<u8>, (at, removed, bytes): &Mutation) {
    let start = at.index(text.len() + 1);
    let range: Range<usize> = start..(start + removed).min(text.len());
    text.splice(range, bytes.iter().copied());
}

fn mutate_text(text: &mut String, mutation: &Mutation) {
    let mut bytes = std::mem::take(text).into_bytes();
    mutate(&mut bytes, mutation);
    *text = String::from_utf8_lossy(&bytes).into_owned();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_change_below_the_digests_makes_the_reader_panic_or_accept_another_set(
        target in 0usize..4,
        first in mutation(),
        second in prop::option::of(mutation()),
    ) {
        let mut world = World::new([1, 2, 4, 9, 19]);
        let mut forged = Forged::from(&world.full());
        let mutations = [Some(first), second].into_iter().flatten();
        let mut json = Vec::new();
        for mutation in mutations {
            match target {
                0 => mutate_text(&mut forged.sections[0], &mutation),
                1 => mutate_text(&mut forged.parts[0].table, &mutation),
                2 => mutate(&mut forged.parts[0].blocks, &mutation),
                _ => json.push(mutation),
            }
        }
        forged.manifest.parts[0].bytes = forged.parts[0].blocks.len() as u64;
        let bytes = forged.bytes_with_json(|text| {
            let mut text = text;
            json.iter().for_each(|mutation| mutate_text(&mut text, mutation));
            text
        });
        let store = MemoryStore::default();
        let bundle = SetBundle::open(bytes.as_slice(), "x.pkg");
        let content = bundle.and_then(|bundle| bundle.read_set(Base::Unknown, &store, &store));
        let Ok(content) = content else { return Ok(()) };
        // The set is what the manifest states, and can be read.
        let stated = content.manifest().set.as_ref().map(|set| set.after);
        prop_assert_eq!(content.set().map(|list| list.summary()), stated);
        if let Some(list) = content.set() {
            prop_assert!(Walk::new(SetRef::new(list, &store)).all(|row| row.is_ok()));
        }
        let found = problems(&bytes, Base::Unknown);
        if found.is_empty() {
            let mut seen = Seen::default();
            read(bytes.as_slice(), Base::Unknown, &mut seen).expect("readable");
            // The same files: rows and lines prove them.
            let mut files = world.files();
            files.retain(|file| file.file.0.path.as_str() != "config.toml");
            seen.files.retain(|(path, _)| path != "config.toml");
            prop_assert_eq!(seen.files, super::fixture::content(&files));
        }
    }
}
