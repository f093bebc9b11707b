//! Warnings about a valid bundle at its import: signs of mistakes at its creation or transport.

use std::cell::{OnceCell, RefCell};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::dist_files::MutableName;
use super::import::MissingBundles;
use super::layout::Layout;
use super::ledger::{self, EarlierImport, ImportedBundle};
use super::lineages::LineageTip;
use super::summary::MirrorSummary;
use super::transaction::Error;
use crate::bundle::format::{BundleKind, CrateState, DistFileState, Manifest};
use crate::bundle::sanitize::sanitize_line;
use crate::event;
use crate::units::{format_time, pluralize};

mod doubtful_bundles;

pub(super) use doubtful_bundles::AddedBundle;
use doubtful_bundles::doubtful_bundle_warnings;

/// The accepted difference between two correct clocks.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(24);

/// Maximum number of crates and dist files that a warning names; it counts the others.
const MAX_NAMED: usize = 5;

/// What a warning depends on.
pub(super) struct ImportedFile<'i> {
    /// The mirror's summary before the import.
    pub(super) head: &'i MirrorSummary,
    /// The bundles that the import adds to their histories, in the order of import.
    pub(super) added: &'i [AddedBundle],
    /// The import of the same bundle that is on record.
    pub(super) earlier: Option<&'i EarlierImport>,
    /// The name of the file.
    pub(super) file: &'i str,
    /// The time of the import.
    pub(super) now: Timestamp,
}

/// The warnings about a bundle, one sentence each. An import of a bundle on record gives only those that its earlier import
/// did not give.
pub(super) fn collect_warnings(layout: &Layout, manifest: &Manifest, imported: &ImportedFile<'_>) -> Vec<String> {
    let ImportedFile { head, added, earlier, file, now } = *imported;
    let mut warnings = Vec::new();
    let clock_before = earlier.and_then(|import| clock_warning(manifest, file, import.imported_at.parse().ok()?));
    warnings.extend(clock_warning(manifest, file, now).filter(|_| clock_before.is_none()));
    let is_snapshot = manifest.kind == BundleKind::Snapshot;
    // An unreadable ledger hides warnings, and does not prevent an import whose content was checked.
    let failures = RefCell::new(Vec::new());
    let recorded = OnceCell::new();
    warnings.extend(doubtful_bundle_warnings(head, added, file, is_snapshot, |tip| {
        let bundles = recorded.get_or_init(|| {
            ledger::read_counting_bundles(layout).unwrap_or_else(|error| {
                failures.borrow_mut().push(unsearchable_ledger_warning(file, &error));
                Vec::new()
            })
        });
        find_duplicate(bundles, tip)
    }));
    warnings.extend(new_warning(earlier, file, |file| {
        missing_files_warning(layout, manifest, file).unwrap_or_else(|error| {
            failures.borrow_mut().push(unsearchable_ledger_warning(file, &error));
            None
        })
    }));
    warnings.extend(new_warning(earlier, file, |file| incomplete_input_warning(manifest, file)));
    let mut failures = failures.into_inner();
    failures.dedup();
    warnings.append(&mut failures);
    warnings
}

/// The id of another bundle in `recorded` with the number of `tip` in its history.
fn find_duplicate(recorded: &[ImportedBundle], tip: &LineageTip) -> Option<String> {
    let is_duplicate =
        |other: &&ImportedBundle| other.lineage == tip.id && other.sequence == tip.sequence && other.id != tip.bundle;
    recorded.iter().find(is_duplicate).map(|other| other.id.clone())
}

/// The warning about a ledger that could not be searched for the bundles that a warning about `file` would name.
fn unsearchable_ledger_warning(file: &str, error: &Error) -> String {
    format!(
        "not every warning about {file} is known, because the ledger cannot be searched: {error}: {}. Run `cargo frostmirror \
         verify --mirror DIR`",
        error.source
    )
}

/// The warning about `file`, unless the earlier import of the bundle gave it.
fn new_warning(earlier: Option<&EarlierImport>, file: &str, make: impl Fn(&str) -> Option<String>) -> Option<String> {
    let text = make(file)?;
    let was_given = |import: &EarlierImport| match import.file == file {
        true => import.warnings.contains(&text),
        false => make(&import.file).is_some_and(|text| import.warnings.contains(&text)),
    };
    (!earlier.is_some_and(was_given)).then_some(text)
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
fn missing_files_warning(layout: &Layout, manifest: &Manifest, file: &str) -> Result<Option<String>, Error> {
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
    if missing.is_empty() {
        return Ok(None);
    }
    let first: Vec<&str> = missing.iter().take(MAX_NAMED).map(String::as_str).collect();
    let bundles = MissingBundles::find(layout, manifest, file, &missing)?;
    let hint = bundles.hint();
    let why = if bundles.all_lost { "the mirror lost" } else { "bundles that were never imported have" };
    let todo = match hint.split_once(" first; ") {
        Some((import, otherwise)) => format!("{import} too; {otherwise}"),
        None => hint,
    };
    Ok(Some(format!(
        "{why} {}, which other inputs of the history of {file} need; first {}: {todo}",
        what.join(" and "),
        first.join(", ")
    )))
}
