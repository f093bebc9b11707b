//! A plan and its result as data, shared by the CLI and the API.

use schemars::JsonSchema;
use serde::Serialize;

use super::live_records::LiveSummary;
use super::plan::{KeptForLostRecords, Line, LineagePlan, PendingDeletion, Plan};
use super::rejected_bundle::RejectedBundle;
use crate::mirror::item::{StoredItem, total_size};
use crate::mirror::summary::{BundleToImport, Counts};

/// The JSON form of a plan.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanReport<'p> {
    /// Whether the plan is only shown and not executed.
    pub dry_run: bool,
    /// The lineages of the mirror.
    lineages: &'p [LineagePlan],
    /// The bundles that this run rejects.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(default)]
    rejected: &'p [RejectedBundle],
    /// The files of live mode; absent if it never stored any.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: &'p Option<LiveSummary>,
    /// Index lines to remove.
    lines: &'p [Line],
    /// Crates to remove in this run.
    crates: Vec<&'p StoredItem>,
    /// Total bytes of all files to remove in this run.
    bytes: u64,
    /// Crates to remove in a later run.
    #[serde(rename = "waiting")]
    pending_crates: Vec<&'p PendingDeletion>,
    /// Dist files to remove in this run.
    #[serde(rename = "artifacts")]
    dist_files: Vec<&'p StoredItem>,
    /// Dist files to remove in a later run.
    #[serde(rename = "artifacts_waiting")]
    pending_dist_files: Vec<&'p PendingDeletion>,
    /// Unrecognized files, which no bundle on record brought. They are kept.
    unrecognized: &'p [String],
    /// Index lines that a rejected bundle may have brought. The next line of a bundle replaces each.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(default)]
    reset_lines: &'p [Line],
    /// The bundles whose next import restores what rejected bundles replaced.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(default)]
    #[serde(rename = "import_again")]
    to_import: &'p [BundleToImport],
    /// Files and crates that rejected bundles replaced, and that no bundle on record restores.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(default)]
    unavailable: &'p [String],
    /// What no bundle on record needs now, and lost records may need.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    kept_for_lost_records: Option<&'p KeptForLostRecords>,
    /// The content of the mirror afterwards.
    after: Counts,
}

impl Plan {
    /// The JSON form of the plan.
    pub fn report(&self, dry_run: bool) -> PlanReport<'_> {
        PlanReport {
            dry_run,
            lineages: &self.lineages,
            rejected: &self.rejected,
            live: &self.live,
            lines: &self.lines,
            crates: self.crates().collect(),
            bytes: total_size(&self.removals),
            pending_crates: self.pending_crates().collect(),
            dist_files: self.dist_files().collect(),
            pending_dist_files: self.pending_dist_files().collect(),
            unrecognized: &self.unrecognized,
            reset_lines: &self.reset_lines,
            to_import: &self.to_import,
            unavailable: &self.unavailable,
            kept_for_lost_records: self.kept_for_lost_records.as_ref(),
            after: self.counts,
        }
    }
}
