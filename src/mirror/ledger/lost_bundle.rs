//! Whether the ledger lost the record of a bundle.

use super::chain;
use crate::mirror::layout::Layout;
use crate::mirror::lineages::LineageTip;
use crate::mirror::summary::MirrorSummary;
use crate::mirror::transaction::Error;

/// How a bundle without a record relates to the lost records of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mirror) enum LostBundle {
    /// The ledger lost no record that may be this bundle's.
    No,
    /// A lost record may be this bundle's: the bundle is older than the newest one of its history. Its new record counts in the
    /// place of a lost one. That proves nothing about the bundle, because its sender chose its number and time.
    Possible,
    /// manifest.json or another record names the lost record of this bundle.
    Named,
}

impl LostBundle {
    /// Compares a bundle with the lost records. `head` is the summary before its import, and `names` are the records that exist.
    ///
    /// The summary counts the imports, so it shows a loss. It names the newest bundles, and each record names the one before
    /// it. Nothing names other lost records.
    pub(in crate::mirror) fn find(
        layout: &Layout,
        head: &MirrorSummary,
        names: &[String],
        tip: &LineageTip,
    ) -> Result<LostBundle, Error> {
        if head.imports <= names.len() as u64 {
            return Ok(LostBundle::No);
        }
        let end = format!("-{}.json", tip.bundle);
        if head.contenders(&tip.id).any(|known| known.bundle == tip.bundle)
            || chain::is_record_missing(layout, head.newest_record.as_ref(), &end)?
        {
            return Ok(LostBundle::Named);
        }
        let is_older = |known: &LineageTip| {
            known.gap_after.is_none() && known.sequence > tip.sequence && known.created >= tip.created
        };
        Ok(if head.contenders(&tip.id).any(is_older) { LostBundle::Possible } else { LostBundle::No })
    }

    /// Whether the new record of the bundle counts in the place of a lost one.
    pub(in crate::mirror) fn replaces_record(self) -> bool {
        self != LostBundle::No
    }

    /// Whether another file proves that the mirror had the bundle.
    pub(in crate::mirror) fn is_named(self) -> bool {
        self == LostBundle::Named
    }
}
