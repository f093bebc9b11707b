//! Protects the files of lost records. A rebuild keeps these files in the lineage `rebuilt`. If it is forgotten too early,
//! a collection removes files that the lost records still needed.

use super::error::Error;
use super::needed_files::Lineages;
use super::plan::Plan;
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, chain};
use crate::mirror::lineages::REBUILT_LINEAGE;
use crate::mirror::transaction;
use crate::units::pluralize;

/// Whether one of the lineages to retire is [`REBUILT_LINEAGE`] with the id of its newest record.
pub(super) fn is_confirmed(retire: &[String]) -> bool {
    retire.iter().any(|word| word.split_once('@').is_some_and(|(lineage, _)| REBUILT_LINEAGE.starts_with(lineage)))
}

/// Why a run must not forget [`REBUILT_LINEAGE`] without a confirmation. `None` if it removes nothing, or if the bundles of
/// the lost records seem to be imported again: a bundle was imported since the rebuild, and most crates stay.
pub(super) fn refuse(layout: &Layout, lineages: &Lineages, plan: &Plan) -> Result<Option<Error>, transaction::Error> {
    let dist_files = plan.dist_files().count() + plan.pending_dist_files().count();
    let Some(rebuilt) = lineages.by_id.get(REBUILT_LINEAGE) else { return Ok(None) };
    if plan.lines.is_empty() && dist_files == 0 {
        return Ok(None);
    }
    let lines = plan.lines.len() as u64;
    let removed = plan.crates().count() as u64;
    let crates = plan.counts.versions.saturating_add(removed);
    let number = ledger::record_number(&rebuilt.newest.record).unwrap_or(0);
    let lost = chain::unrestored_bundles(layout)?;
    let reason = if lineages.newest_record <= number {
        "no bundle was imported since the rebuild".to_owned()
    } else if let [first, others @ ..] = lost.as_slice() {
        let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        format!("the bundle with the id {first}{more}, whose record is lost, was not imported again")
    } else if lines.saturating_mul(2) > crates {
        format!("it would remove {lines} of {}", pluralize(crates, "crate"))
    } else {
        return Ok(None);
    };
    Ok(Some(Error::RebuiltNeeded { reason, bundle: rebuilt.newest.bundle.clone() }))
}
