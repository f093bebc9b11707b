//! Mutations: of bytes, and of what bytes mean.

use frostmirror::bundle::format::HEADER;
use serde_json::Value;

use super::Corpus;
use super::shape::{Fit, Shape};
use crate::support::forge::reseal;

/// Texts that a bundle's fields have a meaning for, and some that they must not have.
const TEXTS: &[&str] = &[
    "",
    ".",
    "..",
    "../x",
    "/etc/passwd",
    "CON",
    "com1.txt",
    "a\0b",
    "a\\b",
    "C:x",
    "full",
    "delta",
    "snapshot",
    "kept",
    "sent",
    "shipped",
    "index-only",
    "stored",
    "brotli",
    "zstd",
    "crate",
    "index",
    "dist",
    "rustup",
    "config",
    "true",
    "crates/a-1.0.0.crate",
    "crates/a/1.0.0/download",
    "index/1/a",
    "index/config.json",
    "dist/x",
    "dist/x/y",
    "rustup/release-stable.toml",
    "dist/channel-rust-stable.toml",
    "dist/channel-rust-stable.toml.sha256",
    "frostmirror.toml",
    "depends.toml",
    "config.toml",
    "manifest.json",
    ".frostmirror/lock",
    "a",
    "A",
    "b",
    "1.0.0",
    "0.0.0",
    "1.0.0+b",
    "18446744073709551615.0.0",
    "18446744073709551616.0.0",
    "1.0.0-é",
    "*",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "-009999-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-11-29T23:59:60Z",
    "66726f73746d6972726f722d312e7878",
    "00000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "é",
    "\u{202e}",
    "\u{fffd}\u{10ffff}",
];

/// Keys that a mutated object may gain.
const KEYS: &[&str] = &[
    "id",
    "kind",
    "repair",
    "parent",
    "file",
    "artifacts",
    "refreshed",
    "carried",
    "blocks",
    "entries",
    "stored",
    "encoding",
    "state",
    "read",
    "yanked",
    "description",
    "license",
    "left_out",
    "roots",
    "crates",
    "index_read",
    "deps",
    "features",
    "features2",
    "cksum",
    "vers",
    "package",
    "unknown",
];

/// Numbers, the same for the same seed on every machine (SplitMix64).
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64, round: u64) -> Numbers {
        let mut numbers = Numbers(seed ^ round.wrapping_mul(0xd134_2543_de82_ef95));
        numbers.next();
        numbers
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap()
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn number(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 => 1 << self.below(64),
            4 => (1_u64 << self.below(64)).wrapping_sub(1),
            _ => self.next() >> self.below(64),
        }
    }
}

/// One mutated bundle.
pub fn mutated(corpus: &Corpus, numbers: &mut Numbers) -> Vec<u8> {
    let seed = numbers.below(corpus.bytes.len());
    match numbers.below(20) {
        // As it was stored: what damage in transit does.
        0..=2 => {
            let mut bytes = corpus.bytes[seed].clone();
            for _ in 0..=numbers.below(4) {
                edit(&mut bytes, &corpus.bytes, numbers);
            }
            bytes
        }
        // A header whose checksum fits, over anything.
        3 => {
            let mut bytes = corpus.bytes[seed].clone();
            if bytes.len() > HEADER && bytes[0] == 0x89 {
                let mut head = bytes[..84].to_vec();
                let at = *numbers.pick(&[8, 12, 36, 44, 52]);
                let number = numbers.number().to_le_bytes();
                head[at..at + 8].copy_from_slice(&number);
                bytes.splice(..HEADER, reseal(head));
            }
            if numbers.one_in(2) {
                edit(&mut bytes, &corpus.bytes, numbers);
            }
            bytes
        }
        // The manifest's text, or the plain form of an old bundle, as bytes below digests that fit.
        4..=7 => corpus.shapes[seed].bytes_with(|text| {
            for _ in 0..=numbers.below(3) {
                edit(text, &corpus.bytes, numbers);
            }
        }),
        _ => {
            let mut shape = corpus.shapes[seed].clone();
            for _ in 0..=numbers.below(4) {
                reshape(&mut shape, corpus, numbers);
            }
            let fit = Fit { sealed: !numbers.one_in(16), stated: !numbers.one_in(4) };
            let mut bytes = shape.bytes(fit);
            if numbers.one_in(16) {
                edit(&mut bytes, &corpus.bytes, numbers);
            }
            bytes
        }
    }
}

/// Changes what a bundle says or holds.
fn reshape(shape: &mut Shape, corpus: &Corpus, numbers: &mut Numbers) {
    match numbers.below(8) {
        0..=3 => {
            let other = numbers.pick(&corpus.shapes).manifest.clone();
            change(&mut shape.manifest, &other, numbers);
        }
        4 if shape.legacy && !shape.files.is_empty() => {
            let file = numbers.below(shape.files.len());
            match numbers.below(4) {
                0 => edit(&mut shape.files[file].path, &corpus.bytes, numbers),
                1 => shape.files[file].path = numbers.pick(TEXTS).as_bytes().to_vec(),
                2 => drop(shape.files.remove(file)),
                _ => shape.files.push(shape.files[file].clone()),
            }
        }
        _ if shape.files.is_empty() => {}
        _ => {
            let file = numbers.below(shape.files.len());
            let mut bytes = shape.files[file].bytes.clone();
            match numbers.below(4) {
                0 => edit(&mut bytes, &corpus.bytes, numbers),
                1 => bytes.clone_from(&numbers.pick(&shape.files).bytes),
                _ => change_lines(&mut bytes, corpus, numbers),
            }
            let follow = !numbers.one_in(4);
            shape.replace(file, bytes, follow);
        }
    }
}

/// Changes one line of a text: the meaning of a JSON object, the words of anything else.
fn change_lines(bytes: &mut Vec<u8>, corpus: &Corpus, numbers: &mut Numbers) {
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.is_empty() {
        *bytes = numbers.pick(TEXTS).as_bytes().to_vec();
        return;
    }
    let place = numbers.below(lines.len());
    match (numbers.below(8), serde_json::from_slice::<Value>(&lines[place])) {
        (0, _) => drop(lines.remove(place)),
        (1, _) => lines.insert(place, lines[place].clone()),
        (2, _) => lines.swap(0, place),
        (_, Ok(mut value)) => {
            let other = value.clone();
            change(&mut value, &other, numbers);
            lines[place] = format!("{value}\n").into_bytes();
        }
        (3..=5, Err(_)) => {
            let text = numbers.pick(TEXTS).as_bytes();
            let at = numbers.below(lines[place].len());
            let until = if numbers.one_in(2) { at } else { lines[place].len() - 1 };
            lines[place].splice(at.min(until)..until, text.iter().copied());
        }
        _ => edit(&mut lines[place], &corpus.bytes, numbers),
    }
    *bytes = lines.concat();
}

/// Changes one place of a JSON value, perhaps to what another one has.
fn change(value: &mut Value, other: &Value, numbers: &mut Numbers) {
    let place = numbers.below(count(value));
    let donor = numbers.below(count(other));
    let donated = nth(other, donor).cloned().unwrap_or(Value::Null);
    let Some(node) = nth_mut(value, place) else { return };
    if numbers.one_in(12) {
        *node = donated;
        return;
    }
    match node {
        Value::Null => *node = donated,
        Value::Bool(value) => *value = !*value,
        Value::Number(number) => {
            let now = number.as_u64().unwrap_or(0);
            *node = match numbers.below(6) {
                0 => now.wrapping_add(1).into(),
                1 => now.wrapping_sub(1).into(),
                2 => (-1).into(),
                3 => 1.5.into(),
                _ => numbers.number().into(),
            };
        }
        Value::String(text) => match numbers.below(6) {
            0 | 1 => *text = (*numbers.pick(TEXTS)).to_owned(),
            2 if donated.is_string() => *node = donated,
            3 => *text = text.repeat(1 + numbers.below(40)),
            4 => {
                *text = text.chars().map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c }).collect();
            }
            _ => {
                let mut letters: Vec<char> = text.chars().collect();
                let at = numbers.below(letters.len() + 1);
                let letter = char::from(numbers.byte());
                match letters.get_mut(at) {
                    Some(there) if numbers.one_in(2) => *there = letter,
                    Some(_) if numbers.one_in(2) => drop(letters.remove(at)),
                    _ => letters.insert(at, letter),
                }
                *text = letters.into_iter().collect();
            }
        },
        Value::Array(all) => {
            let (from, to) = (numbers.below(all.len()), numbers.below(all.len()));
            match numbers.below(7) {
                0 if !all.is_empty() => drop(all.remove(from)),
                1 if !all.is_empty() => all.swap(from, to),
                2 => all.reverse(),
                3 => all.truncate(from),
                4 => all.push(donated),
                5 if !all.is_empty() && all.len() < 200 => {
                    let copies = vec![all[from].clone(); 1 + numbers.below(300)];
                    all.splice(to..to, copies);
                }
                _ if !all.is_empty() => all.insert(to, all[from].clone()),
                _ => all.push(donated),
            }
        }
        Value::Object(map) => {
            let key = map.keys().nth(numbers.below(map.len())).cloned();
            match (key, numbers.below(3)) {
                (Some(key), 0) => drop(map.remove(&key)),
                (Some(key), 1) => drop(map.insert(key, donated)),
                _ => drop(map.insert((*numbers.pick(KEYS)).to_owned(), donated)),
            }
        }
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(all) => all.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

fn nth(value: &Value, mut place: usize) -> Option<&Value> {
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        if place == 0 {
            return Some(value);
        }
        place -= 1;
        match value {
            Value::Array(all) => waiting.extend(all),
            Value::Object(map) => waiting.extend(map.values()),
            _ => {}
        }
    }
    None
}

fn nth_mut(value: &mut Value, mut place: usize) -> Option<&mut Value> {
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        if place == 0 {
            return Some(value);
        }
        place -= 1;
        match value {
            Value::Array(all) => waiting.extend(all),
            Value::Object(map) => waiting.extend(map.values_mut()),
            _ => {}
        }
    }
    None
}

/// Changes some bytes.
fn edit(bytes: &mut Vec<u8>, others: &[Vec<u8>], numbers: &mut Numbers) {
    let at = numbers.below(bytes.len() + 1);
    let until = (at + 1 + numbers.below(64)).min(bytes.len());
    match numbers.below(9) {
        0 | 1 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
        2 if at < bytes.len() => bytes[at] = numbers.byte(),
        3 => bytes.insert(at, numbers.byte()),
        4 if at < until => drop(bytes.drain(at..until)),
        5 => bytes.truncate(at),
        6 if at < until => {
            let part = bytes[at..until].to_vec();
            let to = numbers.below(bytes.len());
            bytes.splice(to..to, part);
        }
        7 => {
            // A length, little-endian, as both formats have them.
            let length = *numbers.pick(&[4, 8]);
            let number = numbers.number().to_le_bytes();
            let until = (at + length).min(bytes.len());
            bytes[at..until].copy_from_slice(&number[..until - at]);
        }
        _ => {
            let other = numbers.pick(others);
            let from = numbers.below(other.len());
            let end = if numbers.one_in(2) { other.len() } else { (from + 64).min(other.len()) };
            bytes.splice(at..until.max(at), other[from..end].iter().copied());
        }
    }
}
