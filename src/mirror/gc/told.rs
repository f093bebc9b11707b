//! A plan and what came of it as data, the same for the verb and for the API.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Item, Line, Lineage, Live, Plan, Waiting};
use crate::mirror::head::Counts;

/// A plan, as it is told to machines.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Told<'p> {
    /// Whether it is only shown.
    pub dry_run: bool,
    /// Who feeds the mirror.
    lineages: &'p [Lineage],
    /// What live mode brought; absent where it never brought anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: &'p Option<Live>,
    /// Index lines that go.
    lines: &'p [Line],
    /// Crates that go in this run.
    crates: &'p [Item],
    /// Bytes of everything that goes in this run.
    bytes: u64,
    /// Crates that go in a later run.
    waiting: &'p [Waiting],
    /// Rustup artifacts that go in this run.
    artifacts: Vec<&'p Item>,
    /// Rustup artifacts that go in a later run.
    artifacts_waiting: &'p [Waiting],
    /// What no bundle on record brought; it stays.
    strangers: &'p [String],
    /// What the mirror holds afterwards.
    after: Counts,
}

impl Plan {
    /// The plan, as it is told to machines.
    pub fn told(&self, dry_run: bool) -> Told<'_> {
        Told {
            dry_run,
            lineages: &self.lineages,
            live: &self.live,
            lines: &self.lines,
            crates: &self.crates,
            bytes: self.bytes() + self.artifacts().map(|item| item.size).sum::<u64>(),
            waiting: &self.waiting,
            artifacts: self.artifacts().collect(),
            artifacts_waiting: &self.components_waiting,
            strangers: &self.strangers,
            after: self.counts,
        }
    }
}
