//! The first line of a record: the import, and its bundle without the tables of crates and dist files.

use serde::{Deserialize, Serialize};

use super::record_name::RecordRef;
use crate::bundle::format::history_weight;
use crate::bundle::format::{BundleKind, CarriedHistory, CrateState, DistFileState, Lineage, Manifest, Parent};
use crate::digest::Sha256;
use crate::mirror::lineages::LineageTip;
use crate::mirror::summary::{HistorySize, ImportTotals};
use crate::units::is_zero;

/// What the first line of a record states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordHeader {
    /// The digest of the bytes after the first line.
    pub(super) manifest_sha256: Sha256,
    /// See [`super::Record::previous`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<RecordRef>,
    /// See [`super::Record::imported_at`].
    #[serde(rename = "imported")]
    pub imported_at: String,
    /// The name of the bundle's file.
    pub file: String,
    /// See [`super::Record::totals`].
    #[serde(rename = "head")]
    pub totals: ImportTotals,
    /// See [`super::Record::snapshot_id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "snapshot")]
    pub(in crate::mirror) snapshot_id: Option<String>,
    /// See [`super::Record::gap_after`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "jumped_from")]
    pub(in crate::mirror) gap_after: Option<u64>,
    /// See [`super::Record::warnings`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The bundle.
    pub bundle: BundleHeader,
}

/// A bundle without its tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleHeader {
    /// Its id.
    pub id: String,
    /// When it was written (RFC 3339, UTC).
    pub created: String,
    /// Its kind.
    pub kind: BundleKind,
    /// The base of a delta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The included toolchains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub toolchains: Vec<String>,
    /// Its history.
    pub lineage: LineageHeader,
    /// Its files.
    pub contents: ContentCounts,
}

/// The history of a bundle without the positions of its inputs' crates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageHeader {
    /// Its id.
    pub id: String,
    /// The number of the bundle in it.
    pub sequence: u64,
    /// The id of the bundle before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::mirror) previous: Option<String>,
    /// See [`LineageTip::inputs`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<String>,
    /// See [`LineageTip::more_inputs`].
    #[serde(default, skip_serializing_if = "is_zero")]
    more_inputs: u64,
    /// See [`HistorySize::weight`].
    weight: u64,
}

/// The numbers of files that a bundle names and contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentCounts {
    /// The crates that it names, including those of its base.
    pub crates: u64,
    /// The crates that it contained.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub crates_shipped: u64,
    /// The dist files that it names, including those of its base.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dist_files: u64,
    /// The dist files that it contained.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dist_files_shipped: u64,
    /// The size in bytes of the crates and dist files that it contained.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: u64,
}

impl RecordHeader {
    /// Whether a snapshot brought the record: it names its crates by their positions in the snapshot's tables.
    pub fn is_of_snapshot(&self) -> bool {
        self.snapshot_id.is_some()
    }

    /// The bundle, whose record is called `name`. The gap before its number is that of the record.
    pub(in crate::mirror) fn tip(&self, name: &str) -> LineageTip {
        let BundleHeader { id, created, lineage, .. } = &self.bundle;
        LineageTip {
            record: name.to_owned(),
            gap_after: self.gap_after,
            inputs: lineage.inputs.clone(),
            more_inputs: lineage.more_inputs,
            ..LineageTip::new(&lineage.id, lineage.sequence, lineage.previous.as_deref(), id, created)
        }
    }

    /// What the bundle adds to a snapshot.
    pub(in crate::mirror) fn history_size(&self) -> HistorySize {
        let BundleHeader { lineage, contents, .. } = &self.bundle;
        HistorySize { weight: lineage.weight, rows: contents.rows() }
    }
}

impl BundleHeader {
    /// What the first line of a record states of the bundle with this manifest. `file` is the name of the bundle's file.
    pub(super) fn of_bundle(manifest: &Manifest, file: &str) -> BundleHeader {
        let contents = ContentCounts::of_bundle(manifest);
        BundleHeader {
            id: manifest.id.clone(),
            created: manifest.created.clone(),
            kind: manifest.kind,
            parent: manifest.parent.clone(),
            toolchains: manifest.toolchains.clone(),
            lineage: LineageHeader::new(&manifest.lineage, file, contents),
            contents,
        }
    }

    /// The same of a bundle of which only a snapshot states something.
    pub(super) fn of_history(carried: &CarriedHistory, file: &str) -> BundleHeader {
        // The snapshot contained its files.
        let (crates, dist_files) = (carried.crates.len() as u64, carried.dist_files.len() as u64);
        let contents = ContentCounts { crates, dist_files, ..ContentCounts::default() };
        BundleHeader {
            id: carried.bundle.clone(),
            created: carried.created.clone(),
            kind: BundleKind::Full,
            parent: None,
            toolchains: Vec::new(),
            lineage: LineageHeader::new(&carried.lineage, file, contents),
            contents,
        }
    }
}

impl LineageHeader {
    fn new(lineage: &Lineage, file: &str, contents: ContentCounts) -> LineageHeader {
        let names = lineage.inputs.iter().map(|input| input.name.as_str());
        let LineageTip { inputs, more_inputs, .. } = LineageTip::default().with_inputs(names);
        LineageHeader {
            id: lineage.id.clone(),
            sequence: lineage.sequence,
            previous: lineage.previous.clone(),
            inputs,
            more_inputs,
            weight: history_weight(lineage, file, contents.rows()),
        }
    }
}

impl ContentCounts {
    /// What the first line of a record states of the bundle with this manifest. `file` is the name of the bundle's file.
    pub(super) fn of_bundle(manifest: &Manifest) -> ContentCounts {
        let crates = manifest.crates.iter().filter(|one| one.state == CrateState::Shipped);
        let dist_files = manifest.dist_files.iter().filter(|one| one.state == DistFileState::Shipped);
        let sizes = crates.clone().map(|one| one.size).chain(dist_files.clone().map(|one| one.size));
        ContentCounts {
            crates: manifest.crates.len() as u64,
            crates_shipped: crates.count() as u64,
            dist_files: manifest.dist_files.len() as u64,
            dist_files_shipped: dist_files.count() as u64,
            bytes: sizes.fold(0, u64::saturating_add),
        }
    }

    fn rows(self) -> u64 {
        self.crates.saturating_add(self.dist_files)
    }
}
