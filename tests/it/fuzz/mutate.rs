//! Mutations: of bytes, and of what bytes mean.

use frostmirror::bundle::format::HEADER_SIZE;
use serde_json::Value;

use super::Corpus;
use super::bundle_parts::{BundleParts, ConsistencyFixes};
use crate::support::forged_bundle::fix_header_checksum;

/// Texts that a bundle's fields have a meaning for, and some that they must not have.
const FIELD_TEXTS: &[&str] = &[
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
const EXTRA_KEYS: &[&str] = &[
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
pub struct SeededRandom(u64);

impl SeededRandom {
    pub fn new(seed: u64, round: u64) -> SeededRandom {
        let mut numbers = SeededRandom(seed ^ round.wrapping_mul(0xd134_2543_de82_ef95));
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

    pub fn is_one_in(&mut self, count: usize) -> bool {
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
pub fn mutate_bundle(corpus: &Corpus, numbers: &mut SeededRandom) -> Vec<u8> {
    let seed = numbers.below(corpus.bytes.len());
    match numbers.below(20) {
        // As it was stored: what damage in transit does.
        0..=2 => {
            let mut bytes = corpus.bytes[seed].clone();
            for _ in 0..=numbers.below(4) {
                mutate_bytes(&mut bytes, &corpus.bytes, numbers);
            }
            bytes
        }
        // A header whose checksum fits, over anything.
        3 => {
            let mut bytes = corpus.bytes[seed].clone();
            if bytes.len() > HEADER_SIZE && bytes[0] == 0x89 {
                let mut head = bytes[..84].to_vec();
                let at = *numbers.pick(&[8, 12, 36, 44, 52]);
                let number = numbers.number().to_le_bytes();
                head[at..at + 8].copy_from_slice(&number);
                bytes.splice(..HEADER_SIZE, fix_header_checksum(head));
            }
            if numbers.is_one_in(2) {
                mutate_bytes(&mut bytes, &corpus.bytes, numbers);
            }
            bytes
        }
        // The manifest's text, or the plain form of an old bundle, as bytes below digests that fit.
        4..=7 => corpus.shapes[seed].bytes_with(|text| {
            for _ in 0..=numbers.below(3) {
                mutate_bytes(text, &corpus.bytes, numbers);
            }
        }),
        _ => {
            let mut shape = corpus.shapes[seed].clone();
            for _ in 0..=numbers.below(4) {
                mutate_shape(&mut shape, corpus, numbers);
            }
            let fit = ConsistencyFixes { seal_manifest: !numbers.is_one_in(16), update_digests: !numbers.is_one_in(4) };
            let mut bytes = shape.bytes(fit);
            if numbers.is_one_in(16) {
                mutate_bytes(&mut bytes, &corpus.bytes, numbers);
            }
            bytes
        }
    }
}

/// Changes what a bundle says or holds.
fn mutate_shape(shape: &mut BundleParts, corpus: &Corpus, numbers: &mut SeededRandom) {
    match numbers.below(8) {
        0..=3 => {
            let other = numbers.pick(&corpus.shapes).manifest.clone();
            mutate_value(&mut shape.manifest, &other, numbers);
        }
        4 if shape.is_legacy && !shape.files.is_empty() => {
            let file = numbers.below(shape.files.len());
            match numbers.below(4) {
                0 => mutate_bytes(&mut shape.files[file].path, &corpus.bytes, numbers),
                1 => shape.files[file].path = numbers.pick(FIELD_TEXTS).as_bytes().to_vec(),
                2 => drop(shape.files.remove(file)),
                _ => shape.files.push(shape.files[file].clone()),
            }
        }
        _ if shape.files.is_empty() => {}
        _ => {
            let file = numbers.below(shape.files.len());
            let mut bytes = shape.files[file].bytes.clone();
            match numbers.below(4) {
                0 => mutate_bytes(&mut bytes, &corpus.bytes, numbers),
                1 => bytes.clone_from(&numbers.pick(&shape.files).bytes),
                _ => mutate_line(&mut bytes, corpus, numbers),
            }
            let follow = !numbers.is_one_in(4);
            shape.replace_file(file, bytes, follow);
        }
    }
}

/// Changes one line of a text: the meaning of a JSON object, the words of anything else.
fn mutate_line(bytes: &mut Vec<u8>, corpus: &Corpus, numbers: &mut SeededRandom) {
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.is_empty() {
        *bytes = numbers.pick(FIELD_TEXTS).as_bytes().to_vec();
        return;
    }
    let position = numbers.below(lines.len());
    match (numbers.below(8), serde_json::from_slice::<Value>(&lines[position])) {
        (0, _) => drop(lines.remove(position)),
        (1, _) => lines.insert(position, lines[position].clone()),
        (2, _) => lines.swap(0, position),
        (_, Ok(mut value)) => {
            let other = value.clone();
            mutate_value(&mut value, &other, numbers);
            lines[position] = format!("{value}\n").into_bytes();
        }
        (3..=5, Err(_)) => {
            let text = numbers.pick(FIELD_TEXTS).as_bytes();
            let at = numbers.below(lines[position].len());
            let until = if numbers.is_one_in(2) { at } else { lines[position].len() - 1 };
            lines[position].splice(at.min(until)..until, text.iter().copied());
        }
        _ => mutate_bytes(&mut lines[position], &corpus.bytes, numbers),
    }
    *bytes = lines.concat();
}

/// Changes one place of a JSON value, perhaps to what another one has.
fn mutate_value(value: &mut Value, other: &Value, numbers: &mut SeededRandom) {
    let position = numbers.below(count_values(value));
    let donor = numbers.below(count_values(other));
    let donated = nth_value(other, donor).cloned().unwrap_or(Value::Null);
    let Some(node) = nth_value_mut(value, position) else { return };
    if numbers.is_one_in(12) {
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
            0 | 1 => *text = (*numbers.pick(FIELD_TEXTS)).to_owned(),
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
                    Some(there) if numbers.is_one_in(2) => *there = letter,
                    Some(_) if numbers.is_one_in(2) => drop(letters.remove(at)),
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
                _ => drop(map.insert((*numbers.pick(EXTRA_KEYS)).to_owned(), donated)),
            }
        }
    }
}

fn count_values(value: &Value) -> usize {
    1 + match value {
        Value::Array(all) => all.iter().map(count_values).sum(),
        Value::Object(map) => map.values().map(count_values).sum(),
        _ => 0,
    }
}

fn nth_value(value: &Value, mut position: usize) -> Option<&Value> {
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        if position == 0 {
            return Some(value);
        }
        position -= 1;
        match value {
            Value::Array(all) => waiting.extend(all),
            Value::Object(map) => waiting.extend(map.values()),
            _ => {}
        }
    }
    None
}

fn nth_value_mut(value: &mut Value, mut position: usize) -> Option<&mut Value> {
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        if position == 0 {
            return Some(value);
        }
        position -= 1;
        match value {
            Value::Array(all) => waiting.extend(all),
            Value::Object(map) => waiting.extend(map.values_mut()),
            _ => {}
        }
    }
    None
}

/// Changes some bytes.
fn mutate_bytes(bytes: &mut Vec<u8>, others: &[Vec<u8>], numbers: &mut SeededRandom) {
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
            let end = if numbers.is_one_in(2) { other.len() } else { (from + 64).min(other.len()) };
            bytes.splice(at..until.max(at), other[from..end].iter().copied());
        }
    }
}
