//! Splits unreferenced crates by age: those whose grace period has ended are removed now, the others later.

use super::dir_scan::CrateFile;
use super::lineages::KeepSet;
use super::pending_deletions::PendingDeletions;
use super::scan::IndexDeletions;
use super::{Item, Options, PendingDeletion};

/// Crates to remove now, those to remove later, and the list of pending removals after the run.
pub(super) fn partition_by_grace(
    unreferenced: &[CrateFile],
    unrecognized: &KeepSet,
    sorted: &IndexDeletions,
    before: &PendingDeletions,
    options: &Options,
) -> (Vec<Item>, Vec<PendingDeletion>, PendingDeletions) {
    let (mut crates, mut waiting) = (Vec::new(), Vec::new());
    let mut after = PendingDeletions::default();
    for CrateFile { name, size } in unreferenced {
        let lower = name.to_lowercase();
        if unrecognized.has_file(name) || sorted.with_unrecognized_line.contains(&lower) {
            continue;
        }
        let (since, until) = before.waiting_period(name, sorted.losing_line.contains(&lower), options);
        let item = Item { file: name.clone(), size: *size };
        if until <= options.now {
            crates.push(item);
        } else {
            after.0.insert(name.clone(), since);
            waiting.push(PendingDeletion { item, until });
        }
    }
    (crates, waiting, after)
}
