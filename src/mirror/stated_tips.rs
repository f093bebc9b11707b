//! Compares the newest bundles that manifest.json states with their records.

use std::collections::BTreeSet;

use super::layout::Layout;
use super::ledger::{self, RecordHeader, bundle_of_record, chain};
use super::lineages::LineageTip;
use super::summary::MirrorSummary;
use super::transaction::Error;
use crate::bundle::format::Manifest;
use crate::bundle::sanitize::sanitize_line;
use crate::units::pluralize;

/// How a newest bundle that manifest.json states differs from its record: what each of the two states. `None` if they agree.
/// The gap before its number is not compared, because it follows from all records.
pub(super) fn find_difference(stated: &LineageTip, recorded: &LineageTip) -> Option<(String, String)> {
    let differing = |of: fn(&LineageTip) -> String| {
        let (one, other) = (of(stated), of(recorded));
        (one != other).then_some((one, other))
    };
    differing(|tip| format!("the number {}", tip.sequence))
        .or_else(|| differing(|tip| format!("the id {}", sanitize_line(&tip.bundle))))
        .or_else(|| differing(|tip| format!("the time {}", sanitize_line(&tip.created))))
        .or_else(|| differing(|tip| format!("the inputs of lineage {}", tip.id_and_inputs())))
        .or_else(|| differing(|tip| pluralize(tip.more_inputs, "more input")))
}

/// Corrects in `head`, which manifest.json states, the newest bundles of the histories of the bundle with this manifest: if
/// the file was changed and their records contradict it, the records count. Returns one warning for each correction.
pub(super) fn correct_tips(
    layout: &Layout,
    head: &mut MirrorSummary,
    manifest: &Manifest,
) -> Result<Vec<String>, Error> {
    // Reading a record of 100,000 versions takes a tenth of the time of a small import.
    if MirrorSummary::is_intact(layout)? {
        return Ok(Vec::new());
    }
    let carried = manifest.carried_histories.iter().map(|history| history.lineage.id.as_str());
    let ids: BTreeSet<&str> = carried.chain([manifest.lineage.id.as_str()]).collect();
    let names = ledger::record_names(layout)?;
    let mut warnings = Vec::new();
    for id in ids {
        let mut contenders: Vec<LineageTip> = head.contenders(id).cloned().collect();
        let before = warnings.len();
        for tip in contenders.iter_mut().filter(|tip| names.contains(&tip.record)) {
            let header = ledger::read_header(layout, &tip.record)?;
            // A file with the content of another record proves nothing.
            let is_own = |header: &RecordHeader| bundle_of_record(&tip.record) == Some(header.bundle.id.as_str());
            let Some(recorded) = header.filter(is_own).map(|header| header.tip(&tip.record)) else { continue };
            if let Some((says, found)) = find_difference(tip, &recorded) {
                let faults = chain::read_faults(layout, head.newest_record.as_ref())?;
                if faults.iter().any(|fault| fault.record == tip.record) {
                    continue;
                }
                warnings.push(format!(
                    "manifest.json states {says} for a newest bundle of lineage {}, but its record {} states {found}. The \
                     record counts: manifest.json was changed by hand or is damaged. `cargo frostmirror verify --mirror DIR \
                     --rebuild-state` writes it again",
                    sanitize_line(id),
                    tip.record
                ));
                let (chain_start, chain_created) = (tip.chain_start, std::mem::take(&mut tip.chain_created));
                let (chain_follows, gap_after) = (tip.chain_follows.take(), tip.gap_after);
                *tip = LineageTip { chain_start, chain_created, chain_follows, gap_after, ..recorded };
            }
        }
        if warnings.len() > before {
            head.set_contenders(id, contenders);
        }
    }
    Ok(warnings)
}
