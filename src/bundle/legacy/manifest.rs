//! `manifest.json` of a frostmirror 1.x bundle, in its original form.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};

use super::error::{ConvertError, LegacyError, section_error};
use super::section::Section;
use crate::digest::{BUFFER_SIZE, HashingWriter};

/// Maximum size of `manifest.json` in bytes.
const MAX_MANIFEST_SIZE: u64 = 24 * 1024 * 1024;

/// `manifest.json` of frostmirror 1.x. The field order matters: the manifest's own hash covers it.
#[derive(Serialize, Deserialize)]
pub(super) struct LegacyManifest {
    pub(super) created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<String>,
    pub(super) bundle_type: String,
    pub(super) targets: Vec<String>,
    pub(super) toolchain: String,
    pub(super) crates: BTreeMap<String, LegacyCrate>,
    #[serde(default)]
    pub(super) rustup: Vec<LegacyRustupFile>,
    #[serde(default)]
    pub(super) dist: Vec<LegacyDistFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) manifest_hash: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct LegacyCrate {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) sha256: String,
    pub(super) size: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct LegacyRustupFile {
    pub(super) target: String,
    pub(super) filename: String,
    pub(super) sha256: String,
    pub(super) size: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct LegacyDistFile {
    pub(super) path: String,
    pub(super) sha256: String,
    pub(super) size: u64,
}

/// Finds the manifest among the sections, reads it from the spooled file, and checks its own hash.
pub(super) fn read(sections: &[Section], file: &mut File) -> Result<LegacyManifest, ConvertError> {
    let mut named = sections.iter().filter(|section| section.path.as_str() == "manifest.json");
    let section = match (named.next(), named.next()) {
        (None, _) => return Err(LegacyError::Framing("it has no manifest.json").into()),
        (Some(_), Some(_)) => return Err(section_error("manifest.json", "occurs twice").into()),
        (Some(section), None) => section,
    };
    if section.length > MAX_MANIFEST_SIZE {
        return Err(section_error("manifest.json", "exceeds its size limit").into());
    }
    file.seek(SeekFrom::Start(section.offset)).map_err(ConvertError::Spool)?;
    let reader = BufReader::with_capacity(BUFFER_SIZE, file.take(section.length));
    let mut manifest: LegacyManifest = serde_json::from_reader(reader)?;
    let hash = manifest.manifest_hash.take().unwrap_or_default();
    let mut hashing = HashingWriter::new(io::sink());
    serde_json::to_writer(&mut hashing, &manifest)?;
    if hash != hashing.finish().0.to_string() {
        return Err(section_error("manifest.json", "is damaged: its `manifest_hash` does not match").into());
    }
    Ok(manifest)
}
