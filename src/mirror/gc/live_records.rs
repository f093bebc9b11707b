//! Files of live mode in a collection. They are current until retired. Retired files stay on record as added by live
//! mode until they are deleted.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::Item;
use crate::mirror::layout::Layout;
use crate::mirror::live::{self, ItemId, LiveRecord};
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

/// Changes of live mode's records.
#[derive(Debug, Default)]
pub(super) struct LiveChanges {
    current: Vec<LiveRecord>,
    retired: Vec<LiveRecord>,
    /// Items that this run retires.
    to_retire: HashSet<ItemId>,
    /// The new record of retired items; `None` if unchanged.
    retired_after: Option<Vec<LiveRecord>>,
}

/// The files of live mode, and those that this run retires.
pub(super) fn plan_live(layout: &Layout, forget: &[String]) -> Result<(Option<LiveSummary>, LiveChanges), Error> {
    let (current, forgotten) = (live::read_records(layout)?, live::read_retired(layout)?);
    let is_forgotten = forget.iter().any(|word| word == LIVE_LINEAGE);
    let live::LiveTotals { crates, dist_files: artifacts, bytes } = live::sum_totals(&current);
    let shown = LiveSummary { crates, dist_files: artifacts, bytes, retired: is_forgotten };
    let to_retire = current.iter().filter(|_| is_forgotten).map(|record| record.item.clone()).collect();
    let shown = (!current.is_empty() || is_forgotten && !forgotten.is_empty()).then_some(shown);
    Ok((shown, LiveChanges { current, retired: forgotten, to_retire, retired_after: None }))
}

impl LiveChanges {
    /// The changes that retire the given items, of which no file remains afterwards.
    pub(super) fn for_eviction(
        current: Vec<LiveRecord>,
        forgotten: Vec<LiveRecord>,
        evicted: HashSet<ItemId>,
    ) -> LiveChanges {
        let after = forgotten.iter().filter(|record| !evicted.contains(&record.item)).cloned().collect();
        LiveChanges { current, retired: forgotten, to_retire: evicted, retired_after: Some(after) }
    }

    /// Records that stay current.
    pub(super) fn kept(&self) -> impl Iterator<Item = &LiveRecord> {
        self.current.iter().filter(|record| !self.to_retire.contains(&record.item))
    }

    /// Records of files that live mode added and no longer needs.
    pub(super) fn retired_records(&self) -> impl Iterator<Item = &LiveRecord> {
        self.retired.iter().chain(self.current.iter().filter(|record| self.to_retire.contains(&record.item)))
    }

    /// Adds the retired items to remember after these files are gone: those whose file remains and that were not added
    /// again.
    pub(super) fn with_deleted_files(mut self, layout: &Layout, gone: &[Item]) -> LiveChanges {
        let gone: HashSet<&str> = gone.iter().map(|item| item.file.as_str()).collect();
        let kept: HashSet<&ItemId> = self.kept().map(|record| &record.item).collect();
        let mut seen = HashSet::new();
        let stays = |record: &&LiveRecord| {
            let file = record.item.key();
            let is_there = || record.item.path().below(layout.root()).symlink_metadata().is_ok();
            !kept.contains(&record.item)
                && !gone.contains(file.as_str())
                && is_there()
                && seen.insert(record.item.clone())
        };
        let after: Vec<LiveRecord> = self.retired_records().filter(stays).cloned().collect();
        self.retired_after = (!self.to_retire.is_empty() || after != self.retired).then_some(after);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.to_retire.is_empty() && self.retired_after.is_none()
    }

    /// Adds to a transaction that items are retired, but none of their files removed.
    pub(super) fn stage_retirement(&self, layout: &Layout, tx: &mut Transaction<'_>) -> Result<(), Error> {
        if self.to_retire.is_empty() {
            return Ok(());
        }
        let kept: Vec<LiveRecord> = self.kept().cloned().collect();
        live::stage_records(layout, tx, &kept)?;
        let retired: Vec<LiveRecord> = self.retired_records().cloned().collect();
        live::stage_retired(layout, tx, &retired)
    }

    /// Adds to a transaction all changes of live mode's records.
    pub(super) fn stage(&self, layout: &Layout, tx: &mut Transaction<'_>) -> Result<(), Error> {
        if !self.to_retire.is_empty() {
            let kept: Vec<LiveRecord> = self.kept().cloned().collect();
            live::stage_records(layout, tx, &kept)?;
        }
        match &self.retired_after {
            Some(after) => live::stage_retired(layout, tx, after),
            None => Ok(()),
        }
    }
}
