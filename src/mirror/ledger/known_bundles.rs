//! Which bundles count in their histories, as the records of a ledger are read in the order of import.

use std::collections::HashMap;

use super::record_name::record_number;
use crate::bundle::format::BundleKind;
use crate::mirror::lineages::{LineageTip, add_contender};
use crate::mirror::retired::{self, Retirement};

/// The bundles of the records that were read so far, by their history.
#[derive(Debug, Default)]
pub(in crate::mirror) struct KnownBundles(HashMap<String, HistoryBundles>);

/// The bundles of one history, as their records state them.
#[derive(Debug, Default)]
struct HistoryBundles {
    /// In the order of the records. Each with whether an earlier record has the same bundle.
    tips: Vec<(LineageTip, bool)>,
    /// The positions of each bundle among them.
    positions: HashMap<String, Vec<usize>>,
}

/// A bundle that counts in its history.
#[derive(Debug)]
pub(in crate::mirror) struct CountingBundle {
    pub(in crate::mirror) tip: LineageTip,
    /// Whether an earlier record has the same bundle: a snapshot brought one of the two.
    pub(in crate::mirror) is_recorded: bool,
    /// If an earlier record contradicts this one: the bundles that may be the history's newest without what it stated.
    pub(in crate::mirror) remaining: Option<Vec<LineageTip>>,
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
        let remaining = self.retract(&tip);
        let is_recorded = !self.insert(&tip);
        Some(CountingBundle { tip, is_recorded, remaining })
    }

    /// Adds a bundle. `false` if it was added before.
    pub(in crate::mirror) fn insert(&mut self, tip: &LineageTip) -> bool {
        let HistoryBundles { tips, positions } = self.0.entry(tip.id.clone()).or_default();
        let positions = positions.entry(tip.bundle.clone()).or_default();
        let mut known = positions.iter().filter_map(|at| tips.get(*at));
        let is_new = known.all(|(known, _)| known.sequence != tip.sequence);
        positions.push(tips.len());
        tips.push((tip.clone(), !is_new));
        is_new
    }

    /// Forgets what other records state about this bundle, if they contradict it: a snapshot stated something else than the
    /// bundle's own record. Returns the bundles of its history that may be the newest without that. `None` if no record
    /// contradicts it. A chain that was joined by a false number or predecessor cannot be taken apart, so all are compared again.
    pub(in crate::mirror) fn retract(&mut self, tip: &LineageTip) -> Option<Vec<LineageTip>> {
        let history = self.0.get_mut(&tip.id)?;
        let mut known = history.positions.get(&tip.bundle)?.iter().filter_map(|at| history.tips.get(*at));
        if !known.any(|(known, _)| known.contradicts(tip)) {
            return None;
        }
        let before = std::mem::take(history);
        for (known, is_recorded) in before.tips.into_iter().filter(|(known, _)| !known.contradicts(tip)) {
            history.positions.entry(known.bundle.clone()).or_default().push(history.tips.len());
            history.tips.push((known, is_recorded));
        }
        Some(self.contenders(&tip.id))
    }

    /// The bundles of a history that may be its newest.
    pub(in crate::mirror) fn contenders(&self, lineage: &str) -> Vec<LineageTip> {
        let mut contenders = Vec::new();
        for (tip, is_recorded) in self.0.get(lineage).into_iter().flat_map(|history| &history.tips) {
            add_contender(&mut contenders, tip.clone(), *is_recorded);
        }
        contenders
    }
}
