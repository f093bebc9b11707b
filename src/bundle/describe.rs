//! Describes a bundle as text, from its manifest only, for the person who approves the transfer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::format::{
    Block, BundleKind, CarriedHistory, CrateRecord, CrateState, DistFileRecord, DistFileState, Entry, Input,
    LEGACY_LINEAGE, Manifest, SkippedPackage,
};
use super::sanitize::{Table, format_exact_size, format_size, sanitize_line};
use super::sequence::{describe_bundle_number, is_time};
use crate::mirror_file::FileKind;
use crate::toolchain::{self, DistPath};
use crate::units::pluralize;

/// Shown if a crate states no licence.
pub(super) const NO_LICENSE: &str = "no licence stated";

/// Shown if the bundle's creator did not have the crate's file.
pub(super) const UNKNOWN: &str = "not known from this bundle";

/// The states of crates in display order.
const CRATE_STATES: [(CrateState, &str, &str); 4] = [
    (CrateState::Shipped, "shipped", "Shipped"),
    (CrateState::Sent, "sent before", "Sent by earlier bundles, and needed"),
    (CrateState::IndexOnly, "index only", "Index only: the file is left out for these platforms"),
    (CrateState::Kept, "kept", "Kept for other inputs of the history"),
];

/// The states of dist files in display order.
const DIST_FILE_STATES: [(DistFileState, &str, &str); 3] = [
    (DistFileState::Shipped, "shipped", "Rustup artifacts, shipped"),
    (DistFileState::Sent, "sent before", "Rustup artifacts, sent by earlier bundles, and needed"),
    (DistFileState::Kept, "kept", "Rustup artifacts, kept for other inputs of the history"),
];

/// Describes the bundle: its kind, its contents, their licences, every crate of its set and every dist file.
pub fn describe(manifest: &Manifest) -> String {
    let mut out = String::new();
    write_summary(manifest, &mut out);
    write_skipped_packages(manifest, &mut out);
    write_licenses(manifest, &mut out);
    for (state, _, title) in CRATE_STATES {
        let records: Vec<&CrateRecord> = manifest.crates.iter().filter(|record| record.state == state).collect();
        if !records.is_empty() {
            let _written = writeln!(out, "\n{title} ({}):", records.len()).is_ok();
            crate_table(manifest, &records).write(&mut out);
        }
    }
    if !manifest.refreshed_crates.is_empty() {
        let title = "Index lines that upstream changed, for crates of earlier bundles";
        let _written = writeln!(out, "\n{title} ({}):", manifest.refreshed_crates.len()).is_ok();
        let mut table = Table::default();
        for one in &manifest.refreshed_crates {
            let yanked = if one.yanked { "yanked" } else { "" };
            table.add_row([one.name.as_str(), &one.version.to_string(), yanked]);
        }
        table.write(&mut out);
    }
    for (state, _, title) in DIST_FILE_STATES {
        let count = manifest.dist_files_in(state).count();
        if count > 0 {
            let _written = writeln!(out, "\n{title} ({count}):").is_ok();
            dist_file_table(manifest.dist_files_in(state)).write(&mut out);
        }
    }
    out
}

/// The bundle with this number, in few words.
fn short_number(sequence: u64) -> String {
    if is_time(sequence) { describe_bundle_number(sequence) } else { format!("bundle {sequence}") }
}

fn write_summary(manifest: &Manifest, out: &mut String) {
    // Writing to memory cannot fail.
    let mut line = |name: &str, value: &str| {
        let _written = writeln!(out, "{name:<12}{}", sanitize_line(value)).is_ok();
    };
    let kept_count = manifest.crates.iter().filter(|record| record.state == CrateState::Kept).count();
    if manifest.repair {
        line("Kind", "repair: only files that a mirror has lost");
    } else if manifest.kind == BundleKind::Full && kept_count > 0 {
        // It can be imported alone, but it does not make a complete mirror.
        line("Kind", &format!("full, but other bundles have {} of its history", pluralize(kept_count, "version")));
    } else {
        line("Kind", &manifest.kind.to_string());
    }
    line("Created", &manifest.created);
    line("Tool", &manifest.tool);
    line("Id", &manifest.id);
    if let Some(parent) = &manifest.parent {
        line("Parent", &format!("{} ({})", parent.id, parent.file));
    }
    if manifest.kind == BundleKind::Snapshot {
        line("Lineages", &manifest.carried_history_count().to_string());
        for candidates in manifest.carried_histories.chunk_by(|one, next| one.lineage.id == next.lineage.id) {
            let mut candidates: Vec<&CarriedHistory> = candidates.iter().collect();
            candidates.sort_by(|a, b| (b.lineage.sequence, &b.created).cmp(&(a.lineage.sequence, &a.created)));
            for (at, CarriedHistory { lineage, file, crates, dist_files, .. }) in candidates.into_iter().enumerate() {
                let number = short_number(lineage.sequence);
                let bundle = format!("{number} ({file}): {}", format_needs(crates, dist_files));
                match at {
                    0 => line("Lineage", &format!("{}, {bundle}", lineage.id)),
                    _ => line("", &format!("its newest may also be {bundle}")),
                }
            }
        }
    } else {
        line("Lineage", &format!("{}, {}", manifest.lineage.id, short_number(manifest.lineage.sequence)));
    }
    for entry in configuration_entries(manifest) {
        line("Config", &format!("{}, {}, for the server that imports this", entry.path, format_exact_size(entry.size)));
    }
    for input in &manifest.lineage.inputs {
        let Input { name, crates, dist_files, .. } = input;
        line("Input", &format!("{} for {name}", format_needs(crates, dist_files)));
    }
    line("Index read", &manifest.index_read);
    let relevant = || manifest.dist_files.iter().filter(|record| record.state != DistFileState::Kept);
    let mut targets = toolchain::std_targets_of(relevant().map(|record| &record.path));
    targets.extend(manifest.targets.iter().cloned());
    line("Targets", &join_or_none(&targets.into_iter().collect::<Vec<_>>()));
    let mut toolchains = manifest.toolchains.clone();
    if manifest.repair {
        let named_toolchains = relevant().filter_map(|record| match DistPath::parse(&record.path)? {
            DistPath::Toolchain(name) => Some(name),
            _ => None,
        });
        toolchains.extend(named_toolchains.collect::<BTreeSet<_>>());
    }
    line("Toolchains", &join_or_none(&toolchains));
    let count = |state| manifest.crates.iter().filter(|record| record.state == state).count();
    let states: Vec<String> = CRATE_STATES
        .iter()
        .map(|(state, label, _)| (count(*state), label))
        .filter(|(count, _)| *count > 0)
        .map(|(count, label)| format!("{count} {label}"))
        .collect();
    line("Crates", &format!("{} ({})", manifest.crates.len(), join_or_none(&states)));
    line("Yanked", &manifest.crates.iter().filter(|record| record.yanked).count().to_string());
    line("Rustup", &dist_file_summary(manifest));
    let sum = |of: fn(&Block) -> Option<u64>| manifest.blocks.iter().filter_map(of).fold(0, u64::saturating_add);
    line("Stored", &format_exact_size(sum(Block::stored_size)));
    line("Unpacked", &format_exact_size(sum(Block::plain_size)));
}

/// Dependencies of the inputs that no bundle contains.
fn write_skipped_packages(manifest: &Manifest, out: &mut String) {
    let count = manifest.skipped_packages().count();
    if count == 0 {
        return;
    }
    let _written = writeln!(out, "\nLeft out ({count}); these inputs do not build from this history alone:").is_ok();
    let mut table = Table::default();
    for (input, SkippedPackage { name, version, source, reason: why }) in manifest.skipped_packages() {
        table.add_row([name, version, source, why, &format!("for {input}")]);
    }
    table.write(out);
}

/// The configuration files of a snapshot, which an import restores. An ordinary bundle has none: its config.toml is for
/// users.
pub(super) fn configuration_entries(manifest: &Manifest) -> impl Iterator<Item = &Entry> {
    let snapshot = manifest.kind == BundleKind::Snapshot;
    manifest.entries().filter(move |entry| snapshot && entry.kind == FileKind::Config)
}

/// The number of dist files by state, and the size of the shipped ones.
fn dist_file_summary(manifest: &Manifest) -> String {
    let states: Vec<String> = DIST_FILE_STATES
        .iter()
        .map(|(state, label, _)| {
            (manifest.dist_files_in(*state).count(), total_dist_file_bytes(manifest.dist_files_in(*state)), label)
        })
        .filter(|(count, ..)| *count > 0)
        .map(|(count, bytes, label)| format!("{count} {label}, {}", format_size(bytes)))
        .collect();
    match states.is_empty() {
        true => pluralize(0, "artifact"),
        false => format!("{} ({})", pluralize(manifest.dist_files.len(), "artifact"), states.join("; ")),
    }
}

/// The total size of these dist files in bytes.
pub(super) fn total_dist_file_bytes<'r>(records: impl Iterator<Item = &'r DistFileRecord>) -> u64 {
    records.map(|record| record.size).fold(0, u64::saturating_add)
}

/// The requirements of a history or an input.
fn format_needs(crates: &[u32], dist_files: &[u32]) -> String {
    let versions = pluralize(crates.len(), "version");
    match dist_files.len() {
        0 => versions,
        count => format!("{versions}, {}", pluralize(count, "rustup artifact")),
    }
}

/// These dist files, one per row.
pub(super) fn dist_file_table<'r>(records: impl Iterator<Item = &'r DistFileRecord>) -> Table {
    let mut table = Table::default();
    for record in records {
        table.add_row([record.path.as_str(), &format_size(record.size)]);
    }
    table
}

/// The number of shipped crates by licence, most frequent first.
fn write_licenses(manifest: &Manifest, out: &mut String) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for record in manifest.crates.iter().filter(|record| record.state == CrateState::Shipped) {
        *counts.entry(license_text(manifest, record)).or_default() += 1;
    }
    if counts.is_empty() {
        return;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    out.push_str("\nLicences of the shipped crates:\n");
    for (license, count) in counts {
        let _written = writeln!(out, "{count:>6}  {}", sanitize_line(license)).is_ok();
    }
}

/// Whether the manifest has the crate's metadata, even if it is empty. Snapshots and bundles of frostmirror 1.x have none,
/// and the creator of a delta may not have the files of its base.
pub(super) fn is_metadata_known(manifest: &Manifest, record: &CrateRecord) -> bool {
    let was_inspected = record.state == CrateState::Shipped
        && manifest.kind != BundleKind::Snapshot
        && manifest.lineage.id != LEGACY_LINEAGE;
    was_inspected || record.license.is_some() || record.repository.is_some() || record.description.is_some()
}

/// The crate's licence, or the reason why it is unknown.
pub(super) fn license_text<'r>(manifest: &Manifest, record: &'r CrateRecord) -> &'r str {
    match &record.license {
        Some(license) => license,
        None if is_metadata_known(manifest, record) => NO_LICENSE,
        None => UNKNOWN,
    }
}

fn crate_table(manifest: &Manifest, records: &[&CrateRecord]) -> Table {
    let mut table = Table::default();
    for record in records {
        table.add_row([
            record.name.as_str(),
            &record.version.to_string(),
            &crate_size_text(record),
            license_text(manifest, record),
            if record.yanked { "yanked" } else { "" },
            record.repository.as_deref().unwrap_or_default(),
        ]);
    }
    table
}

/// The size of a crate's file, if known.
pub(super) fn crate_size_text(record: &CrateRecord) -> String {
    match record.size {
        0 if record.state != CrateState::Shipped => String::new(),
        bytes => format_size(bytes),
    }
}

fn join_or_none(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
