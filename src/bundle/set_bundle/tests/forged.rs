//! Bundles with correct digests and false content.

use std::io::Read;

use super::super::compressed_text::CompressedText;
use super::super::{SetBundle, SetManifest};
use crate::bundle::brotli_stream;
use crate::bundle::format::{FormatVersion, HEADER_SIZE, ID_DIGITS, ID_PREFIX, short_id};
use crate::bundle::header::Header;
use crate::digest::Sha256;

/// The plain texts of a bundle, which can be changed.
#[derive(Clone)]
pub struct Forged {
    pub manifest: SetManifest,
    pub sections: Vec<String>,
    pub parts: Vec<ForgedPart>,
}

/// The plain text of a table, and the bytes of its blocks.
#[derive(Clone)]
pub struct ForgedPart {
    pub table: String,
    pub blocks: Vec<u8>,
}

impl Forged {
    /// The texts of a valid bundle.
    pub fn from(bytes: &[u8]) -> Forged {
        let manifest = SetBundle::open(bytes, "x.pkg").expect("valid").manifest().clone();
        let header = Header::parse(bytes[..HEADER_SIZE].try_into().expect("a header")).expect("valid");
        let mut rest = &bytes[HEADER_SIZE + usize::try_from(header.stored_size).expect("small")..];
        let text =
            |text: &CompressedText, rest: &mut &[u8]| String::from_utf8(text.read(rest).expect("valid")).expect("text");
        let sections = manifest.set.iter().flat_map(|set| &set.sections).map(|one| text(one, &mut rest)).collect();
        let parts = manifest.parts.iter().map(|part| {
            let table = text(&part.table, &mut rest);
            let mut blocks = vec![0; usize::try_from(part.bytes).expect("small")];
            rest.read_exact(&mut blocks).expect("whole");
            ForgedPart { table, blocks }
        });
        let parts = parts.collect();
        assert_eq!(rest, b"");
        Forged { manifest, sections, parts }
    }

    /// The bundle of these texts, with their sizes and digests.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes_with(|_| {})
    }

    /// The same with a manifest that is changed at last.
    pub fn bytes_with(&self, change: impl FnOnce(&mut SetManifest)) -> Vec<u8> {
        let mut manifest = self.manifest.clone();
        let mut payload = Vec::new();
        let store = |text: &str, payload: &mut Vec<u8>| {
            let (described, bytes) = CompressedText::encode(text.as_bytes()).expect("memory");
            payload.extend(bytes);
            described
        };
        if let Some(set) = &mut manifest.set {
            set.sections = self.sections.iter().map(|section| store(section, &mut payload)).collect();
        }
        manifest.parts.truncate(self.parts.len());
        for (part, forged) in manifest.parts.iter_mut().zip(&self.parts) {
            part.table = store(&forged.table, &mut payload);
            payload.extend(&forged.blocks);
        }
        change(&mut manifest);
        seal(&serde_json::to_vec(&manifest).expect("JSON"), &payload)
    }

    /// The same with other JSON.
    pub fn bytes_with_json(&self, change: impl FnOnce(String) -> String) -> Vec<u8> {
        let mut json = String::new();
        let bytes = self.bytes_with(|manifest| json = serde_json::to_string(manifest).expect("JSON"));
        let header = Header::parse(bytes[..HEADER_SIZE].try_into().expect("a header")).expect("valid");
        seal(change(json).as_bytes(), &bytes[HEADER_SIZE + usize::try_from(header.stored_size).expect("small")..])
    }
}

/// A bundle with this manifest, whose ID and digest are made correct.
fn seal(json: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut json = json.to_owned();
    let digits = ID_PREFIX.len()..ID_PREFIX.len() + ID_DIGITS;
    if json.starts_with(ID_PREFIX) && json.len() > digits.end {
        json[digits.clone()].fill(b'0');
        let id = short_id(&Sha256::of(&json));
        json[digits].copy_from_slice(id.as_bytes());
    }
    let stored = brotli_stream::encode(|writer| writer.write_all(&json)).expect("memory");
    let header = Header {
        format: FormatVersion::SET,
        tool: "9.9.9".to_owned(),
        stored_size: stored.len() as u64,
        plain_size: json.len() as u64,
        sha256: Sha256::of(&stored),
    };
    [&header.to_bytes()[..], &stored, payload].concat()
}
