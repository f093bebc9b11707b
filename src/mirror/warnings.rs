//! Warnings about a valid bundle at its import: signs of mistakes at its creation or transport.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::dist_files::MutableName;
use super::import::MissingBundles;
use super::layout::Layout;
use super::lineages::{LineageTip, add_contender, find_sequence_gap, sort_contenders};
use super::summary::MirrorSummary;
use crate::bundle::format::{CrateState, DistFileState, Manifest};
use crate::bundle::sanitize::sanitize_line;
use crate::event;
use crate::units::{format_time, pluralize};

/// The accepted difference between two correct clocks.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(24);

/// Maximum number of crates and dist files that a warning names; it counts the others.
const MAX_NAMED: usize = 5;

/// All warnings about the bundle in `file`, one sentence each. `head` is the mirror's summary before the import.
pub(super) fn collect_warnings(
    layout: &Layout,
    head: &MirrorSummary,
    manifest: &Manifest,
    file: &str,
    now: Timestamp,
) -> Vec<String> {
    let doubts = [
        clock_warning(manifest, file, now),
        lineage_warning(head, manifest, file),
        missing_files_warning(layout, manifest, file),
        incomplete_input_warning(manifest, file),
    ];
    doubts.into_iter().flatten().collect()
}

/// Warns if the ledger lacks records that the summary counts or names, other than that of the imported bundle. `returns`:
/// the record of this bundle is one of the lost ones, and the import restores it.
pub(super) fn lost_records_warning(
    summary: Option<&MirrorSummary>,
    record_names: &[String],
    bundle: &str,
    returns: bool,
) -> Option<String> {
    let summary = summary?;
    let is_lost = |tip: &&LineageTip| tip.bundle != bundle && !record_names.contains(&tip.record);
    let named = summary.all_contenders().filter(is_lost).count() as u64;
    let missing = summary.imports.saturating_sub(record_names.len() as u64).saturating_sub(returns.into());
    let lost = missing.max(named);
    (lost > 0).then(|| {
        format!(
            "the ledger lacks {} of earlier imports: run `cargo frostmirror verify --mirror DIR --rebuild-state`, which \
             names the lost bundles as far as they are known",
            pluralize(usize::try_from(lost).unwrap_or(usize::MAX), "record")
        )
    })
}

/// The clock of an air-gapped machine is often wrong, so a bundle is not rejected for it.
fn clock_warning(manifest: &Manifest, file: &str, now: Timestamp) -> Option<String> {
    let created: Timestamp = manifest.created.parse().ok()?;
    (created.duration_since(now) > MAX_CLOCK_SKEW).then(|| {
        format!(
            "{file} states that it was written at {created}, but the clock of this machine says {}: one of the two is wrong. \
             If the sender's clock is wrong, later bundles cannot update its index lines until that time",
            format_time(now)
        )
    })
}

/// Each number is assigned once, so a number that arrives after a higher one was assigned twice. A bundle after a gap is
/// uncertain, so it proves nothing about this bundle.
fn lineage_warning(head: &MirrorSummary, manifest: &Manifest, file: &str) -> Option<String> {
    let own = LineageTip::from_manifest(manifest, String::new());
    let mut contenders: Vec<LineageTip> = head.contenders(&own.id).cloned().collect();
    if contenders.iter().any(|known| known.bundle == own.bundle) {
        return None;
    }
    let LineageTip { id, sequence: number, bundle, created, .. } = &own;
    let check =
        "`cargo frostmirror history` on the sender's machine lists the ids of its bundles. If the list does not have";
    let reject = |bundle: &str| format!("reject it with `cargo frostmirror gc --mirror DIR --reject {id}@{bundle}`");
    if let Some(before) = find_sequence_gap(&contenders, &own) {
        return Some(format!(
            "{file} has the number {number} in its history, but the newest imported bundle has {before}: the bundles between them \
             are missing, or this one is not from that history. Until you decide, or the missing bundles arrive, `gc` removes \
             nothing because of it. {check} the id {bundle}, {}; otherwise, also after a `cargo frostmirror fetch --base`, accept \
             it with `cargo frostmirror gc --mirror DIR --accept {id}@{bundle}`",
            reject(bundle)
        ));
    }
    if let Some(other) = contenders.iter().find(|other| other.sequence == *number) {
        return Some(format!(
            "{file} has the number {number} in its history, but another bundle with that number was imported: the history was \
             restored from an older copy, is used for two destinations, or one of the two is not from it. `gc` keeps every file \
             that either needs until the import of the next bundle. The ids are {bundle} (this one) and {}. {check} one of them, \
             reject that bundle with `cargo frostmirror gc --mirror DIR --reject {id}@ID`",
            other.bundle
        ));
    }
    sort_contenders(&mut contenders);
    let newest = contenders.iter().rfind(|known| known.gap_after.is_none());
    if let Some(newest) = newest.filter(|newest| newest.sequence > *number) {
        let LineageTip { sequence, bundle: other, .. } = newest;
        return Some(if *created <= newest.created {
            format!(
                "{file} has the number {number} in its history and is older than number {sequence}, which was imported before: its \
                 crates are added, and number {sequence} stays the newest. {check} the id {other} of number {sequence}, {}",
                reject(other)
            )
        } else {
            format!(
                "{file} has the number {number} in its history and was written after number {sequence}: number {sequence} is not \
                 from that history, the history was restored from an older copy, or it is used for two destinations. `gc` keeps \
                 every file that either needs. {check} the id {other} of number {sequence}, {}. Otherwise start a new history with \
                 FROSTMIRROR_HISTORY, fetch every input, and retire this one with `cargo frostmirror gc --mirror DIR --forget {id}`",
                reject(other)
            )
        });
    }
    // This bundle may fill the gap.
    add_contender(&mut contenders, own.clone());
    let doubtful = contenders.iter().find(|known| known.gap_after.is_some() && known.sequence > *number)?;
    Some(format!(
        "{file} has the number {number} in its history, which still has a doubtful bundle number {}: `gc` keeps every file that \
         either needs. {check} the id {} of number {}, {}",
        doubtful.sequence,
        doubtful.bundle,
        doubtful.sequence,
        reject(&doubtful.bundle)
    ))
}

/// An input that was fetched incompletely does not build from the mirror.
fn incomplete_input_warning(manifest: &Manifest, file: &str) -> Option<String> {
    let (input, first) = manifest.skipped_packages().next()?;
    let count = manifest.skipped_packages().count();
    let more = if count > 1 { format!(", and {} more", count - 1) } else { String::new() };
    // The texts come from the bundle and are untrusted.
    let [input, name, version, source, why] =
        [input, &first.name, &first.version, &first.source, &first.reason].map(sanitize_line);
    Some(format!(
        "`{input}` in {file} does not build from this mirror alone. It was fetched without {name} {version} ({source}; \
         {why}){more}; `cargo frostmirror inspect` lists them"
    ))
}

/// Files of the history's other inputs are not part of the bundle's base, but no later bundle contains them.
fn missing_files_warning(layout: &Layout, manifest: &Manifest, file: &str) -> Option<String> {
    let kept = manifest.crates.iter().filter(|record| record.state == CrateState::Kept);
    let gone = |path: &Path, size: u64| {
        !path.symlink_metadata().is_ok_and(|there| there.is_file() && (size == 0 || size == there.len()))
    };
    let mut missing: Vec<String> = kept
        .filter(|record| gone(&layout.crate_file(&record.id()), record.size))
        .map(|record| record.id().to_string())
        .collect();
    let mut what: Vec<String> = Vec::new();
    if !missing.is_empty() {
        what.push(event::format_crates(missing.len() as u64));
    }
    let artifacts = manifest.dist_files_in(DistFileState::Kept).filter(|record| {
        // A newer file may have replaced a mutable one.
        let size = if MutableName::from_path(&record.path).is_some() { 0 } else { record.size };
        gone(&record.path.below(layout.root()), size)
    });
    let crates = missing.len();
    missing.extend(artifacts.map(|record| record.path.to_string()));
    if missing.len() > crates {
        what.push(event::format_dist_files((missing.len() - crates) as u64));
    }
    (!missing.is_empty()).then(|| {
        let first: Vec<&str> = missing.iter().take(MAX_NAMED).map(String::as_str).collect();
        let bundles = MissingBundles::find(layout, manifest, file, &missing).unwrap_or_default();
        let hint = bundles.hint();
        let why = if bundles.all_lost { "the mirror lost" } else { "bundles that were never imported have" };
        let todo = match hint.split_once(" first; ") {
            Some((import, otherwise)) => format!("{import} too; {otherwise}"),
            None => hint,
        };
        format!(
            "{why} {}, which other inputs of the history of {file} need; first {}: {todo}",
            what.join(" and "),
            first.join(", ")
        )
    })
}
