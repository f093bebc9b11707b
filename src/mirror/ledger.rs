//! The ledger: one immutable record a bundle, in the order of import. Writing a record is what commits an import.
//!
//! A record keeps the bundle's manifest without its payload table: the whole resolved set, from which later a
//! collection knows what is current, and what upstream said of each crate. Beside the records lie the notes of
//! [`super::forgotten`].

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use super::forgotten;
use super::head::Head;
use super::layout::Layout;
use super::store::{Error, failed, was_torn};
use crate::bundle::format::Manifest;

/// One import.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When it was done (RFC 3339, UTC).
    pub imported: String,
    /// The name of the bundle's file.
    pub file: String,
    /// The head as of this import.
    pub head: Head,
    /// What the bundle said of itself; its blocks are left out.
    pub manifest: Manifest,
}

/// The records' names, in the order of import.
///
/// # Errors
/// The file system's.
pub fn names(layout: &Layout) -> Result<Vec<String>, Error> {
    let folder = layout.ledger();
    let entries = match fs::read_dir(&folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => {
            return Ok(Vec::new());
        }
        entries => entries.map_err(failed("list", &folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed("list", &folder))?.file_name();
        if let Some(name) = name.to_str().filter(|name| sequence_of(name).is_some()) {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The place of the record called `name` in the ledger, from 1.
pub fn sequence_of(name: &str) -> Option<u64> {
    let (sequence, id) = name.strip_suffix(".json")?.split_once('-')?;
    // Nobody imports a billion bundles: a longer number is not ours, and none may follow the greatest.
    ((8..=9).contains(&sequence.len()) && !id.is_empty()).then(|| sequence.parse().ok())?
}

/// The name of the record that follows those called `names`.
pub(super) fn next_name(names: &[String], bundle: &str) -> String {
    let last = names.last().and_then(|name| sequence_of(name)).unwrap_or(0);
    format!("{:08}-{bundle}.json", last + 1)
}

/// The record called `name`; `None` where it cannot be read as one.
///
/// # Errors
/// The file system's.
pub fn read(layout: &Layout, name: &str) -> Result<Option<Record>, Error> {
    let path = layout.ledger().join(name);
    let text = fs::read(&path).map_err(failed("read", &path))?;
    Ok(serde_json::from_slice(&text).ok())
}

/// The newest record of the bundle with this id among `names`.
pub(super) fn name_of<'n>(names: &'n [String], bundle: &str) -> Option<&'n str> {
    let end = format!("-{bundle}.json");
    names.iter().rev().find(|name| name.ends_with(&end)).map(String::as_str)
}

/// Whether the bundle with this id is on record among `names`.
pub fn holds(names: &[String], bundle: &str) -> bool {
    let end = format!("-{bundle}.json");
    names.iter().any(|name| name.ends_with(&end))
}

/// The head of a mirror: from `manifest.json`, in constant time; from the newest record where that is lost, or where
/// an import was killed and may not have got to it. `None` where neither can be read.
///
/// # Errors
/// The file system's, other than that a file is not there.
pub fn head(layout: &Layout) -> Result<Option<Head>, Error> {
    let file = Head::read_file(layout)?;
    if file.is_some() && !was_torn(layout) {
        return Ok(file);
    }
    Ok(newest_head(layout)?.or(file))
}

/// The head that the newest readable record holds, without the lineages that were let go since.
pub(super) fn newest_head(layout: &Layout) -> Result<Option<Head>, Error> {
    #[derive(Deserialize)]
    struct Tip {
        head: Head,
    }
    // A record is written whole or not at all; one that cannot be read has rotted, and the one before it is the next best.
    for name in names(layout)?.into_iter().rev() {
        let path = layout.ledger().join(&name);
        let text = fs::read(&path).map_err(failed("read", &path))?;
        if let Ok(mut tip) = serde_json::from_slice::<Tip>(&text) {
            let (notes, number) = (forgotten::notes(layout)?, sequence_of(&name).unwrap_or(0));
            tip.head.lineages.retain(|lineage| !forgotten::covers(&notes, number, &lineage.id));
            return Ok(Some(tip.head));
        }
    }
    Ok(None)
}

impl Record {
    /// The text of the record's file.
    pub(super) fn render(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record is plain data with text for keys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_numbered_in_order_and_found_by_their_bundle() {
        let mut names: Vec<String> = Vec::new();
        for bundle in ["cc", "aa", "bb"] {
            names.push(next_name(&names, bundle));
        }
        assert_eq!(names, ["00000001-cc.json", "00000002-aa.json", "00000003-bb.json"]);
        assert!(holds(&names, "aa") && !holds(&names, "a") && !holds(&names, "dd"));
        assert_eq!(sequence_of(".part-x.json"), None);
        assert_eq!(sequence_of("18446744073709551615-aa.json"), None);
    }
}
