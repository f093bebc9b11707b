//! The lineage of live mode in a collection. Its files are current until retired. Retired files stay on record as added
//! by live mode until they are deleted.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::mirror::item::StoredItem;
use crate::mirror::layout::Layout;
use crate::mirror::live::{ItemId, LiveLineage, LiveTotals};
use crate::mirror::transaction::{Error, Transaction};
use crate::units::is_zero;

/// The name for all files of live mode when a lineage is retired. No lineage id begins like this.
pub const LIVE_LINEAGE: &str = "live";

/// The files of live mode in a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LiveSummary {
    /// Number of crates.
    pub crates: u64,
    /// Number of dist files.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default)]
    #[serde(rename = "artifacts")]
    pub dist_files: u64,
    /// Total bytes of both.
    pub bytes: u64,
    /// Whether this run retires them.
    #[serde(rename = "forgotten")]
    pub retired: bool,
}

/// Live mode's lineage after a run.
#[derive(Debug, Default)]
pub(super) struct LiveChanges {
    pub(super) lineage: LiveLineage,
    /// Whether the run retires items.
    retires: bool,
    /// Retired items of which no file remains.
    dropped: HashSet<ItemId>,
}

impl LiveChanges {
    pub(super) fn none(lineage: LiveLineage) -> LiveChanges {
        LiveChanges { lineage, ..LiveChanges::default() }
    }

    /// Retires all items if `retires`. Returns what a plan displays: the files that were current before.
    pub(super) fn plan_retirement(&mut self, retires: bool) -> Option<LiveSummary> {
        let LiveTotals { crates, dist_files, bytes } = LiveTotals::sum(self.lineage.current());
        let shown = LiveSummary { crates, dist_files, bytes, retired: retires };
        let is_shown = crates + dist_files > 0 || retires && !self.lineage.records.is_empty();
        if retires {
            self.retire(|_| true);
        }
        is_shown.then_some(shown)
    }

    /// Retires these current items.
    pub(super) fn retire(&mut self, is_retired: impl Fn(&ItemId) -> bool) {
        for record in self.lineage.records.iter_mut().filter(|record| !record.retired && is_retired(&record.item)) {
            record.retired = true;
            self.retires = true;
        }
    }

    /// Drops the retired items whose file does not exist or is among `deleted`.
    pub(super) fn drop_deleted(&mut self, layout: &Layout, deleted: &[StoredItem]) {
        let deleted: HashSet<&ItemId> = deleted.iter().map(|item| &item.id).collect();
        let is_missing = |item: &ItemId| item.file(layout).symlink_metadata().is_err();
        let retired = self.lineage.retired().map(|record| &record.item);
        self.dropped = retired.filter(|item| deleted.contains(item) || is_missing(item)).cloned().collect();
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.retires && self.dropped.is_empty()
    }

    /// Adds to a transaction that items are retired, but none of their files removed.
    pub(super) fn stage_retirement(&self, layout: &Layout, tx: &mut Transaction<'_>) -> Result<(), Error> {
        if self.retires { self.lineage.stage(layout, tx, &HashSet::new()) } else { Ok(()) }
    }

    /// Adds to a transaction all changes of live mode's record.
    pub(super) fn stage(&self, layout: &Layout, tx: &mut Transaction<'_>) -> Result<(), Error> {
        if self.is_empty() { Ok(()) } else { self.lineage.stage(layout, tx, &self.dropped) }
    }
}
