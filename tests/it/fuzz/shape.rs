//! A bundle taken apart into its manifest and its files, and put together again with lengths and digests that fit.

use std::io::Write as _;

use frostmirror::bundle::format::HEADER;
use frostmirror::digest::Sha256;
use serde_json::{Map, Value, json};

use crate::support::forge::header;

const LEGACY_MAGIC: &[u8; 8] = b"FMPKG\0\x01\0";

/// Keys in the order in which the formats write them. All others follow, sorted.
const ORDER: &[&str] = &[
    "id",
    "format",
    "tool",
    "created",
    "kind",
    "repair",
    "parent",
    "bundle_type",
    "targets",
    "toolchain",
    "toolchains",
    "index_read",
    "crates",
    "rustup",
    "dist",
    "artifacts",
    "refreshed",
    "lineage",
    "carried",
    "blocks",
    "name",
    "version",
    "target",
    "filename",
    "path",
    "sha256",
    "size",
];

/// One file of a bundle.
#[derive(Clone)]
pub struct File {
    /// Its path in a bundle of frostmirror 1.x; empty in one of ours, whose manifest has the path.
    pub path: Vec<u8>,
    pub bytes: Vec<u8>,
    /// Position of its block.
    block: usize,
}

/// A bundle taken apart.
#[derive(Clone)]
pub struct Shape {
    pub manifest: Value,
    pub files: Vec<File>,
    pub legacy: bool,
    /// For each block, whether it is a brotli stream.
    encoded: Vec<bool>,
}

/// Which checks of the outer layers are made to fit.
#[derive(Clone, Copy)]
pub struct Fit {
    /// The id or hash of the manifest, and the header.
    pub sealed: bool,
    /// Sizes and digests of entries and blocks.
    pub stated: bool,
}

impl Shape {
    /// Takes a good bundle apart.
    pub fn of(bytes: &[u8]) -> Shape {
        if bytes[0] != 0x89 {
            return Shape::of_legacy(&unsqueezed(bytes));
        }
        let length = |at: usize| usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap();
        let mut rest = &bytes[HEADER + length(36)..];
        let manifest: Value = serde_json::from_slice(&unsqueezed(&bytes[HEADER..HEADER + length(36)])).unwrap();
        let (mut files, mut encoded) = (Vec::new(), Vec::new());
        for (number, block) in manifest["blocks"].as_array().unwrap().iter().enumerate() {
            let stored = block["stored"]["size"].as_u64();
            let size = stored.or_else(|| block["entries"][0]["size"].as_u64()).unwrap();
            let (own, after) = rest.split_at(usize::try_from(size).unwrap());
            rest = after;
            let plain = if stored.is_some() { unsqueezed(own) } else { own.to_vec() };
            let mut plain = plain.as_slice();
            for entry in block["entries"].as_array().unwrap() {
                let (own, after) = plain.split_at(usize::try_from(entry["size"].as_u64().unwrap()).unwrap());
                plain = after;
                files.push(File { path: Vec::new(), bytes: own.to_vec(), block: number });
            }
            encoded.push(stored.is_some());
        }
        assert!(rest.is_empty(), "bytes follow the last block");
        Shape { manifest, files, legacy: false, encoded }
    }

    fn of_legacy(plain: &[u8]) -> Shape {
        assert!(plain.starts_with(LEGACY_MAGIC), "a seed is no bundle");
        let number = |at: usize, length: usize| {
            plain[at..at + length].iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
        };
        let mut at = 12;
        let mut files = Vec::new();
        for block in 0..number(8, 4) {
            let length = number(at, 4);
            let path = plain[at + 4..at + 4 + length].to_vec();
            at += 4 + length;
            let (offset, size) = (number(at, 8), number(at + 8, 8));
            at += 16;
            files.push(File { path, bytes: plain[offset..offset + size].to_vec(), block });
        }
        let place = files.iter().position(|file| file.path == b"manifest.json").unwrap();
        let manifest = serde_json::from_slice(&files.remove(place).bytes).unwrap();
        Shape { manifest, files, legacy: true, encoded: Vec::new() }
    }

    /// Gives a file other bytes. With `follow`, all that names its digest and size names the new ones.
    pub fn replace(&mut self, file: usize, bytes: Vec<u8>, follow: bool) {
        let old = std::mem::replace(&mut self.files[file].bytes, bytes);
        if !follow || old.is_empty() || old == self.files[file].bytes {
            return;
        }
        let new = &self.files[file].bytes;
        let (from, to, size) = (Sha256::of(&old).to_string(), Sha256::of(new).to_string(), new.len());
        restate(&mut self.manifest, &from, &to, size);
        for other in &mut self.files {
            while let Some(at) = other.bytes.windows(64).position(|part| part == from.as_bytes()) {
                other.bytes[at..at + 64].copy_from_slice(to.as_bytes());
            }
        }
    }

    /// The bundle's bytes.
    pub fn bytes(&self, fit: Fit) -> Vec<u8> {
        if self.legacy {
            return squeezed(&self.legacy_plain(fit));
        }
        let mut manifest = self.manifest.clone();
        let mut payload = Vec::new();
        for (number, encoded) in self.encoded.iter().enumerate() {
            let files: Vec<&File> = self.files.iter().filter(|file| file.block == number).collect();
            let plain: Vec<u8> = files.iter().flat_map(|file| file.bytes.iter().copied()).collect();
            let stored = if *encoded { squeezed(&plain) } else { plain };
            if let Some(Value::Object(block)) =
                manifest.get_mut("blocks").and_then(|blocks| blocks.get_mut(number)).filter(|_| fit.stated)
            {
                if *encoded {
                    let stated = json!({"size": stored.len(), "sha256": Sha256::of(&stored).to_string()});
                    block.insert("stored".to_owned(), stated);
                }
                let entries = block.get_mut("entries").and_then(Value::as_array_mut);
                for (entry, file) in entries.into_iter().flatten().zip(files) {
                    if let Value::Object(entry) = entry {
                        entry.insert("sha256".to_owned(), Sha256::of(&file.bytes).to_string().into());
                        entry.insert("size".to_owned(), file.bytes.len().into());
                    }
                }
            }
            payload.extend_from_slice(&stored);
        }
        with_manifest(&self.text(&manifest, fit), &payload)
    }

    /// The bundle's bytes, its manifest's text edited as bytes and then sealed.
    pub fn bytes_with(&self, edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let fit = Fit { sealed: true, stated: true };
        let mut shape = self.clone();
        if shape.legacy {
            let mut plain = shape.legacy_plain(fit);
            edit(&mut plain);
            return squeezed(&plain);
        }
        let whole = shape.bytes(fit);
        let at = HEADER + usize::try_from(u64::from_le_bytes(whole[36..44].try_into().unwrap())).unwrap();
        shape.manifest = serde_json::from_slice(&unsqueezed(&whole[HEADER..at])).unwrap();
        let mut text = ordered(&shape.manifest);
        edit(&mut text);
        with_manifest(&sealed(text), &whole[at..])
    }

    fn text(&self, manifest: &Value, fit: Fit) -> Vec<u8> {
        let text = ordered(manifest);
        if fit.sealed { sealed(text) } else { text }
    }

    fn legacy_plain(&self, fit: Fit) -> Vec<u8> {
        let mut manifest = self.manifest.clone();
        if let Value::Object(about) = &mut manifest
            && fit.sealed
        {
            about.remove("manifest_hash");
            let hash = Sha256::of(&ordered(&Value::Object(about.clone()))).to_string();
            about.insert("manifest_hash".to_owned(), hash.into());
        }
        let text = ordered(&manifest);
        let first: (&[u8], &[u8]) = (b"manifest.json", &text);
        let sections: Vec<(&[u8], &[u8])> =
            std::iter::once(first).chain(self.files.iter().map(|file| (&file.path[..], &file.bytes[..]))).collect();
        let mut plain = LEGACY_MAGIC.to_vec();
        plain.extend_from_slice(&u32::try_from(sections.len()).unwrap().to_le_bytes());
        let mut offset = 12 + sections.iter().map(|(path, _)| path.len() + 20).sum::<usize>();
        for (path, bytes) in &sections {
            plain.extend_from_slice(&u32::try_from(path.len()).unwrap().to_le_bytes());
            plain.extend_from_slice(path);
            plain.extend_from_slice(&(offset as u64).to_le_bytes());
            plain.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            offset += bytes.len();
        }
        sections.iter().for_each(|(_, bytes)| plain.extend_from_slice(bytes));
        plain
    }
}

fn restate(value: &mut Value, from: &str, to: &str, size: usize) {
    match value {
        Value::Object(map) => {
            if map.get("sha256").and_then(Value::as_str) == Some(from) {
                map.insert("sha256".to_owned(), to.into());
                map.insert("size".to_owned(), size.into());
            }
            map.values_mut().for_each(|value| restate(value, from, to, size));
        }
        Value::Array(all) => all.iter_mut().for_each(|value| restate(value, from, to, size)),
        _ => {}
    }
}

fn with_manifest(text: &[u8], payload: &[u8]) -> Vec<u8> {
    let stored = squeezed(text);
    let mut bytes = header(1, "0.1.0", stored.len() as u64, text.len() as u64, &Sha256::of(&stored));
    bytes.extend_from_slice(&stored);
    bytes.extend_from_slice(payload);
    bytes
}

/// The text of a manifest with the id that follows from it, where there is a place for an id.
fn sealed(mut text: Vec<u8>) -> Vec<u8> {
    if text.len() > 39 && text.starts_with(br#"{"id":""#) {
        text[7..39].fill(b'0');
        let id = Sha256::of(&text).to_string();
        text[7..39].copy_from_slice(&id.as_bytes()[..32]);
    }
    text
}

fn ordered(value: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    write_ordered(value, &mut text);
    text
}

fn write_ordered(value: &Value, text: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            text.push(b'{');
            for (number, (key, value)) in in_order(map).into_iter().enumerate() {
                if number > 0 {
                    text.push(b',');
                }
                serde_json::to_writer(&mut *text, key).unwrap();
                text.push(b':');
                write_ordered(value, text);
            }
            text.push(b'}');
        }
        Value::Array(all) => {
            text.push(b'[');
            for (number, value) in all.iter().enumerate() {
                if number > 0 {
                    text.push(b',');
                }
                write_ordered(value, text);
            }
            text.push(b']');
        }
        other => serde_json::to_writer(text, other).unwrap(),
    }
}

fn in_order(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_by_key(|(key, _)| ORDER.iter().position(|known| known == key).unwrap_or(ORDER.len()));
    pairs
}

/// One brotli stream, made quickly.
pub fn squeezed(plain: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 16);
    encoder.write_all(plain).unwrap();
    encoder.into_inner()
}

fn unsqueezed(stored: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    brotli::BrotliDecompress(&mut &stored[..], &mut plain).unwrap();
    plain
}
