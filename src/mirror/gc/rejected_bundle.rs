//! A bundle that a collection rejects, and each of its records.

use schemars::JsonSchema;
use serde::Serialize;

use crate::mirror::lineages::LineageTip;

/// A bundle that no longer counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RejectedBundle {
    /// Its lineage.
    pub lineage: String,
    /// Its number in the lineage; 0 if it is unknown, because the record is lost.
    pub sequence: u64,
    /// Its ID.
    pub bundle: String,
    /// The bundle's file; empty if it is unknown.
    pub file: String,
    /// Whether it is a snapshot. All its histories are rejected too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub snapshot: bool,
    /// Whether it is rejected because it does not lead to a bundle that is accepted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub unconnected: bool,
}

/// A record to reject.
#[derive(Clone, Debug)]
pub(super) struct RejectedRecord {
    /// Its bundle.
    pub(super) tip: LineageTip,
    /// The number of the accepted record to which it does not lead; `None` if an administrator named the bundle.
    pub(super) accepted: Option<u64>,
}
