//! What a record states about its bundle, without the tables of crates and dist files.

use serde::Deserialize;

use crate::bundle::format::BundleKind;
use crate::mirror::lineages::LineageTip;

/// A record without its tables, which are most of its text.
#[derive(Debug, Deserialize)]
pub(in crate::mirror) struct RecordHeader {
    /// See [`super::Record::imported_at`].
    #[serde(rename = "imported")]
    pub(in crate::mirror) imported_at: String,
    /// The name of the bundle's file.
    pub(in crate::mirror) file: String,
    /// See [`super::Record::gap_after`].
    #[serde(default, rename = "jumped_from")]
    pub(in crate::mirror) gap_after: Option<u64>,
    /// See [`super::Record::snapshot_id`].
    #[serde(default)]
    pub(in crate::mirror) snapshot: Option<String>,
    /// The bundle's manifest.
    pub(in crate::mirror) manifest: ManifestHeader,
}

/// A manifest without its tables.
#[derive(Debug, Deserialize)]
pub(in crate::mirror) struct ManifestHeader {
    pub(in crate::mirror) id: String,
    pub(in crate::mirror) created: String,
    pub(in crate::mirror) kind: BundleKind,
    /// The bundle on which this one is a delta.
    #[serde(default)]
    pub(in crate::mirror) parent: Option<ParentHeader>,
    pub(in crate::mirror) lineage: LineageHeader,
    #[serde(default)]
    carried: Vec<CarriedHeader>,
}

/// A history without the positions of its inputs' crates.
#[derive(Debug, Deserialize)]
pub(in crate::mirror) struct LineageHeader {
    pub(in crate::mirror) id: String,
    pub(in crate::mirror) sequence: u64,
    #[serde(default)]
    pub(in crate::mirror) previous: Option<String>,
    #[serde(default)]
    inputs: Vec<InputHeader>,
}

#[derive(Debug, Deserialize)]
pub(in crate::mirror) struct ParentHeader {
    pub(in crate::mirror) id: String,
}

#[derive(Debug, Deserialize)]
struct CarriedHeader {
    lineage: LineageHeader,
}

#[derive(Debug, Deserialize)]
struct InputHeader {
    name: String,
}

impl RecordHeader {
    /// Parses the text of a record.
    pub(in crate::mirror) fn parse(text: &[u8]) -> serde_json::Result<RecordHeader> {
        serde_json::from_slice(text)
    }

    /// The bundle, whose record is called `name`. The gap before its number is that of the record.
    pub(in crate::mirror) fn tip(&self, name: &str) -> LineageTip {
        let ManifestHeader { id, created, kind, lineage, carried, .. } = &self.manifest;
        let inputs = match carried.as_slice() {
            // The record of a history that a snapshot included.
            [carried] if *kind != BundleKind::Snapshot => &carried.lineage.inputs,
            _ => &lineage.inputs,
        };
        let tip = LineageTip::new(&lineage.id, lineage.sequence, lineage.previous.as_deref(), id, created);
        LineageTip { record: name.to_owned(), gap_after: self.gap_after, ..tip }
            .with_inputs(inputs.iter().map(|input| input.name.as_str()))
    }
}
