//! Garbage collection: plans, shows and removes files that no lineage needs.
//!
//! **Current** files are those that the newest bundle of each lineage names. It does not matter whether the bundle
//! shipped the file, relied on it, kept it for another input, or excluded it. Files of live mode are current until live
//! mode is retired like a lineage. A collection removes other files only if a bundle on record brought them. It reports
//! all remaining files as unrecognized and keeps them. If numbers and times disagree about the newest bundle, the files
//! of each candidate are current. If a later bundle's number has a gap before it, the files of the earlier bundle stay
//! current. Both last until the newest bundle is accepted, or a false one is rejected, which notes in the ledger
//! record. An acceptance rejects the bundles that do not lead to the accepted one. If the ledger lacks a record that `manifest.json` names, that record might be the newest. Then nothing is
//! removed.
//!
//! A rejected bundle may have replaced content of other bundles. That content gives way, and the plan names the bundles to
//! import again (see `revocation`).
//!
//! **Two steps.** A client may read an index line just before its removal, and fetch the crate afterwards. So a
//! collection removes lines first. A later run removes their crates when a grace period has passed;
//! `pending_deletions` stores since when. A crate whose line returns, or that becomes current again, drops off that
//! list, because a plan is made from the files and the records.
//!
//! The plan is made from names, sizes and records; the bytes of crates are not read. One [transaction](super::transaction)
//! makes all its changes. First come the notes of retired lineages, and of accepted and rejected bundles. Then index files change, dependents
//! first, then the records of lines, the names of dist files that rustup requests first, the crates and other dist files
//! that are due, and empty folders. The record of dist files, the list of pending removals and the summary are last.
//!
//! On a nearly full disk, nothing is staged ahead. The reserve is released, and the removals that need no new file come
//! first. Then index files and records change one part at a time (see the page of the layout). After a kill at any point, no line names
//! a missing crate, and no served channel names a component that was removed because of it. The next run determines the
//! remaining work from the files.

mod apply;
mod candidates;
mod dist_rules;
mod dropped_records;
mod dropped_snapshots;
mod error;
mod evict;
mod forget_rebuilt;
mod index_entry;
mod lineage_terms;
mod live_records;
mod needed_files;
mod options;
mod plan;
mod plan_report;
mod planner;
mod reject;
mod rejected_bundle;
mod revocation;
mod scan;
mod statements;
mod space_advice;

use std::time::Duration;

use jiff::Timestamp;

use super::guard::WriteGuard;
pub use super::item::{StoredItem, total_size};
use super::layout::Layout;
use super::lock::{self, Holder, lock_for_collecting};
use crate::event::{self, Sink};
use crate::units::pluralize;
pub use apply::GcReport;
pub use error::Error;
pub use evict::EvictionReport;
pub use live_records::{LIVE_LINEAGE, LiveSummary};
pub(super) use needed_files::{LineageState, Lineages};
pub use options::{DEFAULT_GRACE, Options};
pub use plan::{Candidate, KeptForLostRecords, Line, LineagePlan, PendingDeletion, Plan};
pub use plan_report::PlanReport;
use planner::make_plan;
pub use rejected_bundle::RejectedBundle;
pub use space_advice::SpaceAdvice;

/// A plan under the mirror's lock, which can be executed once.
#[derive(Debug)]
pub struct ExecutablePlan<'a> {
    guard: &'a mut WriteGuard,
    plan: Plan,
}

/// Plans a collection without executing it. Takes no lock, so the plan may or may not include a concurrent import.
///
/// # Errors
/// Everything in [`Error`].
pub fn preview(layout: &Layout, options: &Options) -> Result<Plan, Error> {
    lock::require_mirror(layout)?;
    make_plan(layout, options)
}

impl WriteGuard {
    /// Plans a collection.
    ///
    /// # Errors
    /// Everything in [`Error`]; nothing was changed.
    pub fn plan(&mut self, options: &Options) -> Result<ExecutablePlan<'_>, Error> {
        let plan = make_plan(&self.layout, options)?;
        Ok(ExecutablePlan { guard: self, plan })
    }
}

impl ExecutablePlan<'_> {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Executes the plan.
    ///
    /// # Errors
    /// The plan is refused (see [`Plan::refusal`]), and nothing was changed. Or a file system operation failed. The mirror
    /// is then still consistent, and the next run completes the work.
    pub fn execute(self, sink: &dyn Sink) -> Result<GcReport, Error> {
        if let Some(refusal) = self.plan.refusal {
            return Err(refusal);
        }
        apply::execute(self.guard, self.plan, sink)
    }
}

/// Plans and executes a collection with the default grace period, as configured after an import.
///
/// # Errors
/// See [`Error`].
pub fn collect_with_defaults(
    layout: &Layout,
    timeout: Duration,
    me: &Holder,
    now: Timestamp,
    sink: &dyn Sink,
) -> Result<(), Error> {
    // Only an administrator accepts uncertain bundles.
    let options = Options { grace: DEFAULT_GRACE, retire: Vec::new(), accept: Vec::new(), reject: Vec::new(), now };
    let mut guard = lock_for_collecting(layout, timeout, me, sink)?;
    let planned = guard.plan(&options)?;
    for lineage in planned.plan().lineages.iter().filter(|lineage| !lineage.warnings.is_empty()) {
        sink.warning(format!(
            "gc keeps every file that any bundle of lineage {} needs: {}; {} shows what to check",
            lineage.newest.id_and_inputs(),
            lineage.warnings.join("; "),
            layout.fill_in("`cargo frostmirror gc --mirror DIR --dry-run`")
        ));
    }
    let collected = planned.execute(sink)?;
    if collected.lines + collected.crates + collected.dist_files > 0 {
        let GcReport { lines, crates, dist_files: artifacts, bytes, .. } = collected;
        let lines = pluralize(lines, "index line");
        let (crates, artifacts) = (event::format_crates(crates), event::format_dist_files(artifacts));
        sink.status("Pruned", format!("{lines}, {crates}, {artifacts}; freed {}", event::format_size(bytes)));
    }
    Ok(())
}
