//! Formats a comparison as text.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::super::describe::{
    NO_LICENSE, UNKNOWN, crate_size_text, dist_file_table, is_metadata_known, license_text, total_dist_file_bytes,
};
use super::super::format::{CrateRecord, DistFileRecord, Manifest};
use super::super::sanitize::{Table, format_size, sanitize_line};
use super::{Comparison, SetDiff, UpdatedCrate, VersionChange, total_crate_bytes};

use crate::units::pluralize;

/// Shown if only one of two versions states a repository.
const NO_REPOSITORY: &str = "no repository stated";

/// The comparison of the bundles in the files `old` and `new`, as text.
pub fn render_text(comparison: &Comparison<'_>, old: &str, new: &str) -> String {
    let mut out = String::new();
    write_heading(comparison, [old, new], &mut out);
    write_set_diff("Input", &comparison.inputs, &mut out);
    write_set_diff("Toolchain", &comparison.toolchains, &mut out);
    write_set_diff("Target", &comparison.targets, &mut out);
    let (downgraded, updated): (Vec<&UpdatedCrate<'_>>, Vec<_>) =
        comparison.updated.iter().partition(|one| one.is_downgrade());
    let tables = [
        ("Added", comparison.added.len(), added_table(comparison)),
        ("Updated", updated.len(), updated_table(comparison, &updated)),
        ("Downgraded", downgraded.len(), updated_table(comparison, &downgraded)),
        ("Removed", comparison.removed.len(), removed_table(comparison)),
        ("Changed", comparison.changed.len(), changed_table(comparison)),
    ];
    for (title, count, table) in tables.iter().filter(|(_, count, _)| *count > 0) {
        // Writing to memory cannot fail.
        let _written = writeln!(out, "\n{title} ({count}):").is_ok();
        table.write(&mut out);
    }
    let dist_files = &comparison.dist_files;
    for (title, records) in
        [("added", &dist_files.added), ("changed", &dist_files.changed), ("removed", &dist_files.removed)]
    {
        if !records.is_empty() {
            let _written = writeln!(out, "\nRustup artifacts, {title} ({}):", records.len()).is_ok();
            dist_file_table(records.iter().copied()).write(&mut out);
        }
    }
    out.push('\n');
    out.push_str(&totals(comparison));
    out
}

fn write_heading(comparison: &Comparison<'_>, files: [&str; 2], out: &mut String) {
    let sides = [("Old", comparison.old), ("New", comparison.new)];
    for ((name, manifest), file) in sides.into_iter().zip(files) {
        let _written =
            writeln!(out, "{name:<12}{}", sanitize_line(&format!("{}, {file}", describe_bundle(manifest)))).is_ok();
    }
    let (old, new) = (&comparison.old.lineage, &comparison.new.lineage);
    if old.id != new.id {
        out.push_str("Note        the bundles belong to different histories\n");
    } else if new.sequence < old.sequence {
        out.push_str("Note        the new bundle is older than the old one\n");
    }
}

fn describe_bundle(manifest: &Manifest) -> String {
    let dist_files = match manifest.dist_files.len() {
        0 => String::new(),
        count => {
            let bytes = format_size(total_dist_file_bytes(manifest.dist_files.iter()));
            format!(", {} ({bytes})", pluralize(count, "rustup artifact"))
        }
    };
    format!(
        "{} of {}, {} ({}){dist_files}, id {}",
        manifest.kind,
        manifest.created,
        pluralize(manifest.crates.len(), "version"),
        format_size(total_crate_bytes(manifest.crates.iter())),
        manifest.id,
    )
}

fn write_set_diff(label: &str, diff: &SetDiff<'_>, out: &mut String) {
    for (sign, values) in [("+", &diff.added), ("-", &diff.removed)] {
        for value in values {
            let _written = writeln!(out, "{label:<12}{sign} {}", sanitize_line(value)).is_ok();
        }
    }
}

fn added_table(comparison: &Comparison<'_>) -> Table {
    let mut table = Table::default();
    for record in &comparison.added {
        table.add_row([
            record.name.as_str(),
            &record.version.to_string(),
            &crate_size_text(record),
            license_text(comparison.new, record),
            if record.yanked { "yanked" } else { "" },
            record.repository.as_deref().unwrap_or_default(),
        ]);
    }
    table
}

fn updated_table<'m>(comparison: &Comparison<'m>, crates: &[&UpdatedCrate<'m>]) -> Table {
    let mut table = Table::default();
    for updated in crates.iter().copied() {
        let versions = |records: &[&CrateRecord]| {
            records.iter().map(|record| record.version.to_string()).collect::<Vec<_>>().join(", ")
        };
        let bytes = total_crate_bytes(updated.new.iter().copied());
        table.add_row([
            updated.name.as_str(),
            &format!("{} -> {}", versions(&updated.old), versions(&updated.new)),
            &if bytes == 0 {
                updated.new.first().map(|one| crate_size_text(one)).unwrap_or_default()
            } else {
                format_size(bytes)
            },
            &new_and_previous_values(comparison, updated, |record| record.license.as_deref(), NO_LICENSE),
            if updated.new.iter().any(|record| record.yanked) { "yanked" } else { "" },
            &new_and_previous_values(comparison, updated, |record| record.repository.as_deref(), NO_REPOSITORY),
        ]);
    }
    table
}

/// The licence and repository of added versions, with the previous values if they changed: approvers look for such changes.
/// An unknown value is not a change.
fn new_and_previous_values<'m>(
    comparison: &Comparison<'m>,
    updated: &UpdatedCrate<'m>,
    of: fn(&'m CrateRecord) -> Option<&'m str>,
    nothing: &'static str,
) -> String {
    let known = |manifest: &Manifest, records: &[&'m CrateRecord]| -> BTreeSet<&'m str> {
        let known_records = records.iter().filter(|record| is_metadata_known(manifest, record));
        known_records.map(|record| of(record).unwrap_or(nothing)).collect()
    };
    let (old, new) = (known(comparison.old, &updated.old), known(comparison.new, &updated.new));
    let mut texts: Vec<&str> = new.iter().copied().collect();
    if updated.new.iter().any(|record| !is_metadata_known(comparison.new, record)) {
        texts.push(UNKNOWN);
    }
    let changed = old != new && !old.is_empty() && !new.is_empty();
    match texts.join(", ") {
        texts if changed => format!("{texts} (was {})", old.into_iter().collect::<Vec<_>>().join(", ")),
        texts if nothing == NO_REPOSITORY && (texts == NO_REPOSITORY || texts == UNKNOWN) => String::new(),
        texts => texts,
    }
}

fn removed_table(comparison: &Comparison<'_>) -> Table {
    let mut table = Table::default();
    for record in &comparison.removed {
        table.add_row([record.name.as_str(), &record.version.to_string(), &crate_size_text(record)]);
    }
    table
}

fn changed_table(comparison: &Comparison<'_>) -> Table {
    let mut table = Table::default();
    for changed in &comparison.changed {
        let changes: Vec<String> = changed.changes.iter().map(describe_change).collect();
        table.add_row([changed.new.name.as_str(), &changed.new.version.to_string(), &changes.join("; ")]);
    }
    table
}

fn describe_change(change: &VersionChange) -> String {
    match change {
        VersionChange::Checksum { old, new } => {
            format!("OTHER CONTENT: SHA-256 {new}, was {old}")
        }
        VersionChange::Yanked => "yanked".to_owned(),
        VersionChange::Unyanked => "no longer yanked".to_owned(),
        VersionChange::FileAdded => "its file is now included".to_owned(),
        VersionChange::FileExcluded => "its file is now left out".to_owned(),
    }
}

fn totals(comparison: &Comparison<'_>) -> String {
    if comparison.is_empty() {
        return format!("No change: {}.\n", pluralize(comparison.unchanged, "version"));
    }
    let (added, removed) = (comparison.all_added().count(), comparison.all_removed().count());
    format!(
        "Total: {} ({}) added, {} ({}) removed, {} changed, {} unchanged.\n",
        pluralize(added, "version"),
        format_size(total_crate_bytes(comparison.all_added())),
        pluralize(removed, "version"),
        format_size(total_crate_bytes(comparison.all_removed())),
        comparison.changed.len(),
        comparison.unchanged,
    ) + &dist_file_totals(comparison)
}

/// A line about dist files, if there are any.
fn dist_file_totals(comparison: &Comparison<'_>) -> String {
    let dist_files = &comparison.dist_files;
    if dist_files.is_empty() && dist_files.unchanged == 0 {
        return String::new();
    }
    let count_and_size = |records: &[&DistFileRecord]| {
        let bytes = format_size(total_dist_file_bytes(records.iter().copied()));
        format!("{} ({bytes})", pluralize(records.len(), "artifact"))
    };
    format!(
        "Rustup: {} added, {} removed, {} changed, {} unchanged.\n",
        count_and_size(&dist_files.added),
        count_and_size(&dist_files.removed),
        count_and_size(&dist_files.changed),
        dist_files.unchanged
    )
}
