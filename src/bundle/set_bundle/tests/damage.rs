//! Damage in transit: every flipped bit and every cut is found.

use super::super::*;
use super::fixture::{World, problems};
use crate::bundle::format::HEADER_SIZE;

/// Two crates, of one of which another registry is the source, and a file.
fn small_bundle() -> Vec<u8> {
    World::new([1, 4, 9]).full()
}

#[test]
fn every_flipped_bit_is_found() {
    let good = small_bundle();
    assert_eq!(problems(&good, Base::Unknown), [""; 0]);
    assert!(good.len() < 4_000, "{}", good.len());
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let found = problems(&bytes, Base::Unknown);
        assert!(!found.is_empty(), "bit {bit}");
        if bit < HEADER_SIZE * 8 {
            assert!(found[0].starts_with("the header of `x.pkg` is damaged: "), "bit {bit}: {found:?}");
        }
    }
}

#[test]
fn damage_is_reported_where_it_is() {
    let good = small_bundle();
    let manifest = SetBundle::open(good.as_slice(), "x.pkg").expect("valid").manifest().clone();
    let part = manifest.parts[0].clone();
    let section = manifest.set.expect("a set").sections[0];
    let end = good.len();
    let blocks = end - usize::try_from(part.bytes).expect("small");
    let table = blocks - usize::try_from(part.table.stored).expect("small");
    let changes = table - usize::try_from(section.stored).expect("small");
    for (range, expected) in [
        (HEADER_SIZE..changes, "the manifest of `x.pkg` is damaged: "),
        (changes..table, "section 1 of the changes of `x.pkg` is damaged: its SHA-256 is "),
        (table..blocks, "part 1: its table is damaged: its SHA-256 is "),
    ] {
        for position in range {
            let mut bytes = good.clone();
            bytes[position] = !bytes[position];
            let found = problems(&bytes, Base::Unknown);
            assert!(found.len() == 1 && found[0].starts_with(expected), "byte {position}: {found:?}");
        }
    }
    for position in blocks..end {
        let mut bytes = good.clone();
        bytes[position] = !bytes[position];
        let found = problems(&bytes, Base::Unknown);
        let names = ["crates/", "r/", "index/", "dist/", "config.toml"];
        assert!(found.iter().all(|line| names.iter().any(|name| line.starts_with(name))), "{position}: {found:?}");
    }
}

#[test]
fn every_cut_is_found_and_so_are_trailing_bytes() {
    let good = small_bundle();
    for end in 0..good.len() {
        let found = problems(&good[..end], Base::Unknown);
        assert!(!found.is_empty(), "cut at {end}");
        let text = found.concat();
        let expected = ["is empty", "ends inside", "bundle ends", "not a bundle"];
        assert!(expected.iter().any(|words| text.contains(words)), "cut at {end}: {text}");
    }
    assert_eq!(problems(&[&good[..], b"x"].concat(), Base::Unknown), ["unexpected bytes follow the last entry"]);
}
