//! The crates of an export: each is read once, on several threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::error::Error;
use crate::crate_id::CrateName;
use crate::digest::Sha256;
use crate::durable::checkpoint;
use crate::event::{Event, Phase, Sink};
use crate::mirror::import::Problems;
use crate::mirror::inventory::{Inventory, InventoryEntry};
use crate::mirror::layout::Layout;
use crate::mirror::summary::SummaryLoss;
use crate::parallel;

/// Reads the inventory and passes each index file to `each`. Rejects a mirror with contradictions, or without its summary.
pub(super) fn read_inventory(
    layout: &Layout,
    sink: &dyn Sink,
    each: &mut dyn FnMut(&CrateName, &str) -> Result<(), Error>,
) -> Result<Inventory, Error> {
    if let Some(loss) = SummaryLoss::find(layout)? {
        return Err(Error::SummaryLost(loss));
    }
    let inventory = Inventory::read(layout, &mut |name, _, text| {
        check_stopped(sink)?;
        each(name, text)
    })?;
    match inventory.problems.as_slice() {
        [] => Ok(inventory),
        problems => Err(Error::Damaged { problems: Problems::summarize(problems) }),
    }
}

/// Runs `work` for every crate on several threads, each with its own buffer, and sums the bytes. After a failure it
/// starts no new crate, and returns the error of the first failed crate in order.
pub(super) fn for_each_crate(
    crates: &[&InventoryEntry],
    sink: &dyn Sink,
    work: impl Fn(&InventoryEntry, &mut [u8]) -> Result<u64, Error> + Sync,
) -> Result<u64, Error> {
    sink.event(Event::Begin { phase: Phase::Exporting, items: crates.len() as u64, bytes: 0 });
    let (started, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let run = |stored: &&InventoryEntry, buffer: &mut [u8]| {
        if failed.load(Ordering::Relaxed) {
            return Ok(0);
        }
        if started.fetch_add(1, Ordering::Relaxed) == crates.len() / 2 {
            checkpoint("export:half");
        }
        let done = check_stopped(sink).and_then(|()| work(stored, buffer));
        match &done {
            Ok(bytes) => {
                sink.detail("Exported", stored.id.to_string());
                sink.event(Event::Advance { phase: Phase::Exporting, items: 1, bytes: *bytes });
            }
            Err(_) => failed.store(true, Ordering::Relaxed),
        }
        done
    };
    let results = parallel::map(crates, parallel::thread_count(), run);
    sink.event(Event::End { phase: Phase::Exporting });
    results.into_iter().sum()
}

/// The error for a crate whose bytes differ from the recorded digest.
pub(super) fn corrupt_crate(entry: &InventoryEntry, actual: Sha256) -> Error {
    let path = entry.id.crate_path().to_string();
    Error::Corrupt { path, fault: format!("has SHA-256 {actual}, but {} is recorded", entry.cksum) }
}

/// The error for a crate file that is missing or not a regular file.
pub(super) fn missing_crate(entry: &InventoryEntry) -> Error {
    Error::Corrupt { path: entry.id.crate_path().to_string(), fault: "is missing, but the index names it".to_owned() }
}

/// Stops the export if the sink requests it.
pub(super) fn check_stopped(sink: &dyn Sink) -> Result<(), Error> {
    if sink.is_cancelled() { Err(Error::Stopped) } else { Ok(()) }
}
