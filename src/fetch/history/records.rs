//! What a history records.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bundle::format::SkippedPackage;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::index_line::IndexLine;
use crate::inputs::input_id::InputId;
use crate::safe_path::SafePath;
use crate::upstream::dist::ToolchainRequest;

/// The supported version of the file format. Version 3 has labels.
pub(super) const FORMAT: u32 = 3;

/// One input with its newest set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputSet {
    /// The identity of the input.
    #[serde(flatten)]
    pub id: InputId,
    /// Its file on this machine; `None` if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The time of its last fetch (RFC 3339, UTC).
    #[serde(default)]
    pub fetched: String,
    /// The requested entries.
    pub roots: Vec<String>,
    /// The required crates, sorted, without duplicates.
    pub crates: Vec<CrateRef>,
    /// Required packages that no bundle includes, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "left_out")]
    pub skipped_packages: Vec<SkippedPackage>,
    /// The toolchain request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "order")]
    pub toolchain_request: Option<ToolchainRequest>,
    /// The required dist files, sorted by path, without duplicates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "artifacts")]
    pub dist_files: Vec<DistFileRef>,
}

/// One dist file of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistFileRef {
    /// Its path.
    pub path: SafePath,
    /// Its digest.
    pub sha256: Sha256,
    /// Its size in bytes; 0 if unknown.
    pub size: u64,
}

/// One crate of a set or of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrateRef {
    /// Its name and version.
    #[serde(flatten)]
    pub id: CrateId,
    /// The digest of its `.crate`.
    pub sha256: Sha256,
    /// The size of its `.crate` in bytes; 0 if unknown.
    #[serde(default)]
    pub size: u64,
    /// Whether it was yanked when the index was read.
    #[serde(default)]
    pub yanked: bool,
}

/// The metadata of a crate from its manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrateMetadata {
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The URL of its source repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

/// One bundle of the lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleRecord {
    /// Its ID.
    pub id: String,
    /// Its file name.
    pub file: String,
    /// Its number in the lineage, from 1.
    pub sequence: u64,
    /// The time of its creation (RFC 3339, UTC).
    pub created: String,
    /// `full`, `delta`, or [`REPAIR_KIND`].
    pub kind: String,
    /// Its size in bytes.
    pub size: u64,
    /// The crates that it introduced: the bundle before it did not list them.
    #[serde(rename = "came")]
    pub introduced: Vec<CrateRef>,
    /// Likewise for dist files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "artifacts")]
    pub introduced_dist_files: Vec<DistFileRef>,
    /// Crates of earlier bundles whose index lines upstream had changed; this bundle has the new lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refreshed: Vec<CrateRef>,
}

/// The kind of a repair bundle, which does not change the lineage.
pub const REPAIR_KIND: &str = "repair";

impl From<&IndexLine> for CrateRef {
    fn from(line: &IndexLine) -> CrateRef {
        CrateRef { id: line.id.clone(), sha256: line.cksum, size: 0, yanked: line.yanked }
    }
}

/// The user's name for an input of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRef {
    /// The name as typed: a label, or the displayed form of an input.
    pub text: String,
    /// The same as the absolute path of a file.
    pub path: PathBuf,
}

impl InputSet {
    /// Whether the name matches this input.
    pub(super) fn matches(&self, name: &InputRef) -> bool {
        self.id.matches(&name.text) || self.path.as_ref() == Some(&name.path)
    }
}
