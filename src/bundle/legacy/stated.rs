//! `manifest.json` of a frostmirror 1.x bundle, as its makers have it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};

use super::{Refused, Section, Stop, refuse_section};
use crate::digest::{BUFFER, HashingWriter};

/// Bytes of `manifest.json`.
const MAX_MANIFEST: u64 = 24 * 1024 * 1024;

/// `manifest.json` of frostmirror 1.x. The order of the fields is theirs: the manifest's own hash is over it.
#[derive(Serialize, Deserialize)]
pub(super) struct Stated {
    pub(super) created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<String>,
    pub(super) bundle_type: String,
    pub(super) targets: Vec<String>,
    pub(super) toolchain: String,
    pub(super) crates: BTreeMap<String, StatedCrate>,
    #[serde(default)]
    pub(super) rustup: Vec<StatedRustup>,
    #[serde(default)]
    pub(super) dist: Vec<StatedDist>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) manifest_hash: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StatedCrate {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) sha256: String,
    pub(super) size: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StatedRustup {
    pub(super) target: String,
    pub(super) filename: String,
    pub(super) sha256: String,
    pub(super) size: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StatedDist {
    pub(super) path: String,
    pub(super) sha256: String,
    pub(super) size: u64,
}

/// Finds the manifest among the sections, reads it out of the spooled file, and checks its own hash.
pub(super) fn read(sections: &[Section], file: &mut File) -> Result<Stated, Stop> {
    let mut named = sections.iter().filter(|section| section.path.as_str() == "manifest.json");
    let section = match (named.next(), named.next()) {
        (None, _) => return Err(Refused::Framing("it has no manifest").into()),
        (Some(_), Some(_)) => return Err(refuse_section("manifest.json", "is in it twice").into()),
        (Some(section), None) => section,
    };
    if section.length > MAX_MANIFEST {
        return Err(refuse_section("manifest.json", "is too long").into());
    }
    file.seek(SeekFrom::Start(section.offset)).map_err(Stop::Spool)?;
    let reader = BufReader::with_capacity(BUFFER, file.take(section.length));
    let mut stated: Stated = serde_json::from_reader(reader)?;
    let hash = stated.manifest_hash.take().unwrap_or_default();
    let mut hashing = HashingWriter::new(io::sink());
    serde_json::to_writer(&mut hashing, &stated)?;
    if hash != hashing.finish().0.to_string() {
        return Err(refuse_section("manifest.json", "is damaged: its own hash does not fit").into());
    }
    Ok(stated)
}
