//! A bundle taken apart into its manifest and its files, and put together again with lengths and digests that fit.

use std::io::Write as _;

use frostmirror::bundle::format::HEADER_SIZE;
use frostmirror::digest::Sha256;
use serde_json::{Map, Value, json};

use crate::support::forged_bundle::header;

const LEGACY_MAGIC: &[u8; 8] = b"FMPKG\0\x01\0";

/// Keys in the order in which the formats write them. All others follow, sorted.
const KEY_ORDER: &[&str] = &[
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
pub struct ShapeFile {
    /// Its path in a bundle of frostmirror 1.x; empty in one of ours, whose manifest has the path.
    pub path: Vec<u8>,
    pub bytes: Vec<u8>,
    /// Position of its block.
    block: usize,
}

/// A bundle taken apart.
#[derive(Clone)]
pub struct BundleParts {
    pub manifest: Value,
    pub files: Vec<ShapeFile>,
    pub is_legacy: bool,
    /// For each block, whether it is a brotli stream.
    is_compressed: Vec<bool>,
}

/// Which checks of the outer layers are made to fit.
#[derive(Clone, Copy)]
pub struct ConsistencyFixes {
    /// The id or hash of the manifest, and the header.
    pub seal_manifest: bool,
    /// Sizes and digests of entries and blocks.
    pub update_digests: bool,
}

impl BundleParts {
    /// Takes a good bundle apart.
    pub fn parse(bytes: &[u8]) -> BundleParts {
        if bytes[0] != 0x89 {
            return BundleParts::parse_legacy(&decompress(bytes));
        }
        let length = |at: usize| usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap();
        let mut rest = &bytes[HEADER_SIZE + length(36)..];
        let manifest: Value =
            serde_json::from_slice(&decompress(&bytes[HEADER_SIZE..HEADER_SIZE + length(36)])).unwrap();
        let (mut files, mut encoded) = (Vec::new(), Vec::new());
        for (number, block) in manifest["blocks"].as_array().unwrap().iter().enumerate() {
            let stored = block["stored"]["size"].as_u64();
            let size = stored.or_else(|| block["entries"][0]["size"].as_u64()).unwrap();
            let (own, after) = rest.split_at(usize::try_from(size).unwrap());
            rest = after;
            let plain = if stored.is_some() { decompress(own) } else { own.to_vec() };
            let mut plain = plain.as_slice();
            for entry in block["entries"].as_array().unwrap() {
                let (own, after) = plain.split_at(usize::try_from(entry["size"].as_u64().unwrap()).unwrap());
                plain = after;
                files.push(ShapeFile { path: Vec::new(), bytes: own.to_vec(), block: number });
            }
            encoded.push(stored.is_some());
        }
        assert!(rest.is_empty(), "bytes follow the last block");
        BundleParts { manifest, files, is_legacy: false, is_compressed: encoded }
    }

    fn parse_legacy(plain: &[u8]) -> BundleParts {
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
            files.push(ShapeFile { path, bytes: plain[offset..offset + size].to_vec(), block });
        }
        let position = files.iter().position(|file| file.path == b"manifest.json").unwrap();
        let manifest = serde_json::from_slice(&files.remove(position).bytes).unwrap();
        BundleParts { manifest, files, is_legacy: true, is_compressed: Vec::new() }
    }

    /// Gives a file other bytes. With `follow`, all that names its digest and size names the new ones.
    pub fn replace_file(&mut self, file: usize, bytes: Vec<u8>, follow: bool) {
        let old = std::mem::replace(&mut self.files[file].bytes, bytes);
        if !follow || old.is_empty() || old == self.files[file].bytes {
            return;
        }
        let new = &self.files[file].bytes;
        let (from, to, size) = (Sha256::of(&old).to_string(), Sha256::of(new).to_string(), new.len());
        update_size_and_digest(&mut self.manifest, &from, &to, size);
        for other in &mut self.files {
            while let Some(at) = other.bytes.windows(64).position(|part| part == from.as_bytes()) {
                other.bytes[at..at + 64].copy_from_slice(to.as_bytes());
            }
        }
    }

    /// The bundle's bytes.
    pub fn bytes(&self, fit: ConsistencyFixes) -> Vec<u8> {
        if self.is_legacy {
            return compress(&self.legacy_bytes(fit));
        }
        let mut manifest = self.manifest.clone();
        let mut payload = Vec::new();
        for (number, encoded) in self.is_compressed.iter().enumerate() {
            let files: Vec<&ShapeFile> = self.files.iter().filter(|file| file.block == number).collect();
            let plain: Vec<u8> = files.iter().flat_map(|file| file.bytes.iter().copied()).collect();
            let stored = if *encoded { compress(&plain) } else { plain };
            if let Some(Value::Object(block)) =
                manifest.get_mut("blocks").and_then(|blocks| blocks.get_mut(number)).filter(|_| fit.update_digests)
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
        prepend_manifest(&self.manifest_text(&manifest, fit), &payload)
    }

    /// The bundle's bytes, its manifest's text edited as bytes and then sealed.
    pub fn bytes_with(&self, edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let fit = ConsistencyFixes { seal_manifest: true, update_digests: true };
        let mut shape = self.clone();
        if shape.is_legacy {
            let mut plain = shape.legacy_bytes(fit);
            edit(&mut plain);
            return compress(&plain);
        }
        let whole = shape.bytes(fit);
        let at = HEADER_SIZE + usize::try_from(u64::from_le_bytes(whole[36..44].try_into().unwrap())).unwrap();
        shape.manifest = serde_json::from_slice(&decompress(&whole[HEADER_SIZE..at])).unwrap();
        let mut text = to_ordered_json(&shape.manifest);
        edit(&mut text);
        prepend_manifest(&seal_text(text), &whole[at..])
    }

    fn manifest_text(&self, manifest: &Value, fit: ConsistencyFixes) -> Vec<u8> {
        let text = to_ordered_json(manifest);
        if fit.seal_manifest { seal_text(text) } else { text }
    }

    fn legacy_bytes(&self, fit: ConsistencyFixes) -> Vec<u8> {
        let mut manifest = self.manifest.clone();
        if let Value::Object(about) = &mut manifest
            && fit.seal_manifest
        {
            about.remove("manifest_hash");
            let hash = Sha256::of(&to_ordered_json(&Value::Object(about.clone()))).to_string();
            about.insert("manifest_hash".to_owned(), hash.into());
        }
        let text = to_ordered_json(&manifest);
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

fn update_size_and_digest(value: &mut Value, from: &str, to: &str, size: usize) {
    match value {
        Value::Object(map) => {
            if map.get("sha256").and_then(Value::as_str) == Some(from) {
                map.insert("sha256".to_owned(), to.into());
                map.insert("size".to_owned(), size.into());
            }
            map.values_mut().for_each(|value| update_size_and_digest(value, from, to, size));
        }
        Value::Array(all) => all.iter_mut().for_each(|value| update_size_and_digest(value, from, to, size)),
        _ => {}
    }
}

fn prepend_manifest(text: &[u8], payload: &[u8]) -> Vec<u8> {
    let stored = compress(text);
    let mut bytes = header(1, "0.1.0", stored.len() as u64, text.len() as u64, &Sha256::of(&stored));
    bytes.extend_from_slice(&stored);
    bytes.extend_from_slice(payload);
    bytes
}

/// The text of a manifest with the id that follows from it, where there is a place for an id.
fn seal_text(mut text: Vec<u8>) -> Vec<u8> {
    if text.len() > 39 && text.starts_with(br#"{"id":""#) {
        text[7..39].fill(b'0');
        let id = Sha256::of(&text).to_string();
        text[7..39].copy_from_slice(&id.as_bytes()[..32]);
    }
    text
}

fn to_ordered_json(value: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    write_ordered(value, &mut text);
    text
}

fn write_ordered(value: &Value, text: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            text.push(b'{');
            for (number, (key, value)) in ordered_entries(map).into_iter().enumerate() {
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

fn ordered_entries(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_by_key(|(key, _)| KEY_ORDER.iter().position(|known| known == key).unwrap_or(KEY_ORDER.len()));
    pairs
}

/// One brotli stream, made quickly.
pub fn compress(plain: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 16);
    encoder.write_all(plain).unwrap();
    encoder.into_inner()
}

fn decompress(stored: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    brotli::BrotliDecompress(&mut &stored[..], &mut plain).unwrap();
    plain
}
