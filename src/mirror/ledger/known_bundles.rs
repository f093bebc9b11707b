//! Which bundles count in their histories, as the records of a ledger are read in the order of import.

use std::collections::HashSet;

use super::record_name::record_number;
use crate::bundle::format::BundleKind;
use crate::mirror::lineages::LineageTip;
use crate::mirror::retired::{self, Retirement};

/// The bundles of the records that were read so far: their histories, ids and numbers.
#[derive(Debug, Default)]
pub(in crate::mirror) struct KnownBundles(HashSet<(String, String, u64)>);

/// A bundle that counts in its history.
#[derive(Debug)]
pub(in crate::mirror) struct CountingBundle {
    pub(in crate::mirror) tip: LineageTip,
    /// Whether an earlier record has the same bundle: a snapshot brought one of the two.
    pub(in crate::mirror) is_recorded: bool,
}

impl KnownBundles {
    /// The bundle of the next record, which is of this kind; `None` if it changes no history. Content of a snapshot counts by
    /// the records of its histories, and a retired bundle does not count. An accepted bundle begins a chain.
    pub(in crate::mirror) fn add(
        &mut self,
        mut tip: LineageTip,
        kind: BundleKind,
        notes: &[Retirement],
    ) -> Option<CountingBundle> {
        let number = record_number(&tip.record).unwrap_or(0);
        if kind == BundleKind::Snapshot || retired::is_retired(notes, number, &tip.id) {
            return None;
        }
        if retired::is_accepted(notes, number, &tip.id) {
            tip.accept();
        }
        let is_recorded = !self.0.insert((tip.id.clone(), tip.bundle.clone(), tip.sequence));
        Some(CountingBundle { tip, is_recorded })
    }
}
