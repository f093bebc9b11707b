//! A plan and what came of it as data, the same for the verb and for the API.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Item, Line, LineagePlan, LiveSummary, PendingDeletion, Plan};
use crate::mirror::summary::Counts;

/// A plan, as it is told to machines.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanReport<'p> {
    /// Whether it is only shown.
    pub dry_run: bool,
    /// Who feeds the mirror.
    lineages: &'p [LineagePlan],
    /// What live mode brought; absent where it never brought anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: &'p Option<LiveSummary>,
    /// Index lines that go.
    lines: &'p [Line],
    /// Crates that go in this run.
    crates: &'p [Item],
    /// Bytes of everything that goes in this run.
    bytes: u64,
    /// Crates that go in a later run.
    #[serde(rename = "waiting")]
    pending_crates: &'p [PendingDeletion],
    /// Rustup artifacts that go in this run.
    #[serde(rename = "artifacts")]
    dist_files: Vec<&'p Item>,
    /// Rustup artifacts that go in a later run.
    #[serde(rename = "artifacts_waiting")]
    pending_components: &'p [PendingDeletion],
    /// What no bundle on record brought; it stays.
    #[serde(rename = "strangers")]
    unrecognized: &'p [String],
    /// What the mirror holds afterwards.
    after: Counts,
}

impl Plan {
    /// The plan, as it is told to machines.
    pub fn report(&self, dry_run: bool) -> PlanReport<'_> {
        PlanReport {
            dry_run,
            lineages: &self.lineages,
            live: &self.live,
            lines: &self.lines,
            crates: &self.crates,
            bytes: self.bytes() + self.dist_files().map(|item| item.size).sum::<u64>(),
            pending_crates: &self.pending_crates,
            dist_files: self.dist_files().collect(),
            pending_components: &self.pending_components,
            unrecognized: &self.unrecognized,
            after: self.counts,
        }
    }
}
