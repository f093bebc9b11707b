//! One bundle in words, from its manifest alone: for the person who must say whether it may cross.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::format::{
    ArtifactRecord, ArtifactState, Block, BundleKind, Carried, CrateRecord, CrateState, Entry, Input, LEGACY_LINEAGE,
    LeftOut, Manifest,
};
use super::shown::{Table, counted, exact_size, shown, size};
use crate::artifact::Kind;
use crate::channel::{self, Named};

/// What stands where a crate does not say what its licence is.
pub(super) const NO_LICENSE: &str = "no licence stated";

/// What stands where whoever made the bundle had no file of the crate to look into.
pub(super) const UNKNOWN: &str = "not known from this bundle";

/// The states in the order in which they are told of.
const STATES: [(CrateState, &str, &str); 4] = [
    (CrateState::Shipped, "shipped", "Shipped"),
    (CrateState::Sent, "sent before", "Sent before, and relied on"),
    (CrateState::IndexOnly, "index only", "Index only: the file is left out for these platforms"),
    (CrateState::Kept, "kept", "Kept for other inputs of the history"),
];

/// The same for rustup artifacts.
const ARTIFACT_STATES: [(ArtifactState, &str, &str); 3] = [
    (ArtifactState::Shipped, "shipped", "Rustup artifacts, shipped"),
    (ArtifactState::Sent, "sent before", "Rustup artifacts, sent before, and relied on"),
    (ArtifactState::Kept, "kept", "Rustup artifacts, kept for other inputs of the history"),
];

/// The bundle in words: what it is, what is in it, what licences come with it, then every crate of its set and every
/// rustup artifact.
pub fn describe(manifest: &Manifest) -> String {
    let mut out = String::new();
    head(manifest, &mut out);
    left_out(manifest, &mut out);
    licenses(manifest, &mut out);
    for (state, _, title) in STATES {
        let records: Vec<&CrateRecord> = manifest.crates.iter().filter(|record| record.state == state).collect();
        if !records.is_empty() {
            let _written = writeln!(out, "\n{title} ({}):", records.len()).is_ok();
            table(manifest, &records).write(&mut out);
        }
    }
    if !manifest.refreshed.is_empty() {
        let title = "Index lines that upstream changed, of crates that came with earlier bundles";
        let _written = writeln!(out, "\n{title} ({}):", manifest.refreshed.len()).is_ok();
        let mut table = Table::default();
        for one in &manifest.refreshed {
            let yanked = if one.yanked { "yanked" } else { "" };
            table.row([one.name.as_str(), &one.version.to_string(), yanked]);
        }
        table.write(&mut out);
    }
    for (state, _, title) in ARTIFACT_STATES {
        let count = manifest.artifacts_in(state).count();
        if count > 0 {
            let _written = writeln!(out, "\n{title} ({count}):").is_ok();
            artifact_table(manifest.artifacts_in(state)).write(&mut out);
        }
    }
    out
}

fn head(manifest: &Manifest, out: &mut String) {
    // Into memory, which takes everything.
    let mut line = |name: &str, value: &str| {
        let _written = writeln!(out, "{name:<12}{}", shown(value)).is_ok();
    };
    let kept = manifest.crates.iter().filter(|record| record.state == CrateState::Kept).count();
    if manifest.repair {
        line("Kind", "repair: what a mirror has lost, and nothing else");
    } else if manifest.kind == BundleKind::Full && kept > 0 {
        // It can be imported alone, and does not make a whole mirror.
        line("Kind", &format!("full, but {} of its history came with other bundles", counted(kept, "version")));
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
        for one in &manifest.carried {
            let Carried { lineage, file, crates, artifacts, .. } = one;
            let versions = needs(crates, artifacts);
            line("Lineage", &format!("{}, bundle {} ({file}): {versions}", lineage.id, lineage.sequence));
        }
    } else {
        line("Lineage", &format!("{}, bundle {}", manifest.lineage.id, manifest.lineage.sequence));
    }
    for entry in configuration(manifest) {
        line("Config", &format!("{}, {}, for the server that imports this", entry.path, exact_size(entry.size)));
    }
    for input in &manifest.lineage.inputs {
        let Input { name, crates, artifacts, .. } = input;
        line("Input", &format!("{} for {name}", needs(crates, artifacts)));
    }
    line("Index read", &manifest.index_read);
    let relevant = || manifest.artifacts.iter().filter(|record| record.state != ArtifactState::Kept);
    let mut targets = channel::targets_of(relevant().map(|record| &record.path));
    targets.extend(manifest.targets.iter().cloned());
    line("Targets", &or_none(&targets.into_iter().collect::<Vec<_>>()));
    let mut toolchains = manifest.toolchains.clone();
    if manifest.repair {
        let named = relevant().filter_map(|record| match Named::of(&record.path)? {
            Named::Toolchain(name) => Some(name),
            _ => None,
        });
        toolchains.extend(named.collect::<BTreeSet<_>>());
    }
    line("Toolchains", &or_none(&toolchains));
    let count = |state| manifest.crates.iter().filter(|record| record.state == state).count();
    let states: Vec<String> = STATES
        .iter()
        .map(|(state, words, _)| (count(*state), words))
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    line("Crates", &format!("{} ({})", manifest.crates.len(), or_none(&states)));
    line("Yanked", &manifest.crates.iter().filter(|record| record.yanked).count().to_string());
    line("Rustup", &artifacts(manifest));
    let sum = |of: fn(&Block) -> Option<u64>| manifest.blocks.iter().filter_map(of).fold(0, u64::saturating_add);
    line("Stored", &exact_size(sum(Block::stored_size)));
    line("Unpacked", &exact_size(sum(Block::plain_size)));
}

/// What the inputs need and no bundle brings.
fn left_out(manifest: &Manifest, out: &mut String) {
    let count = manifest.left_out().count();
    if count == 0 {
        return;
    }
    let _written = writeln!(out, "\nLeft out ({count}); these inputs do not build from this history alone:").is_ok();
    let mut table = Table::default();
    for (input, LeftOut { name, version, source, why }) in manifest.left_out() {
        table.row([name, version, source, why, &format!("for {input}")]);
    }
    table.write(out);
}

/// The files of a snapshot that are put into a server's configuration. An ordinary bundle has none: what is called
/// config.toml in it is for people.
pub(super) fn configuration(manifest: &Manifest) -> impl Iterator<Item = &Entry> {
    let snapshot = manifest.kind == BundleKind::Snapshot;
    manifest.entries().filter(move |entry| snapshot && entry.kind == Kind::Config)
}

/// How many rustup artifacts there are, in which state, and what those weigh that are shipped.
fn artifacts(manifest: &Manifest) -> String {
    let states: Vec<String> = ARTIFACT_STATES
        .iter()
        .map(|(state, words, _)| (manifest.artifacts_in(*state).count(), weight(manifest.artifacts_in(*state)), words))
        .filter(|(count, ..)| *count > 0)
        .map(|(count, bytes, words)| format!("{count} {words}, {}", size(bytes)))
        .collect();
    match states.is_empty() {
        true => counted(0, "artifact"),
        false => format!("{} ({})", counted(manifest.artifacts.len(), "artifact"), states.join("; ")),
    }
}

/// Bytes of these rustup artifacts.
pub(super) fn weight<'r>(records: impl Iterator<Item = &'r ArtifactRecord>) -> u64 {
    records.map(|record| record.size).fold(0, u64::saturating_add)
}

/// What a history or an input needs.
fn needs(crates: &[u32], artifacts: &[u32]) -> String {
    let versions = counted(crates.len(), "version");
    match artifacts.len() {
        0 => versions,
        count => format!("{versions}, {}", counted(count, "rustup artifact")),
    }
}

/// These rustup artifacts, one a row.
pub(super) fn artifact_table<'r>(records: impl Iterator<Item = &'r ArtifactRecord>) -> Table {
    let mut table = Table::default();
    for record in records {
        table.row([record.path.as_str(), &size(record.size)]);
    }
    table
}

/// How many of the shipped crates are under which licence, the most frequent first.
fn licenses(manifest: &Manifest, out: &mut String) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for record in manifest.crates.iter().filter(|record| record.state == CrateState::Shipped) {
        *counts.entry(license(manifest, record)).or_default() += 1;
    }
    if counts.is_empty() {
        return;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    out.push_str("\nLicences of what is shipped:\n");
    for (license, count) in counts {
        let _written = writeln!(out, "{count:>6}  {}", shown(license)).is_ok();
    }
}

/// Whether the manifest has what the crate says of itself, be it nothing. Nobody reads it out of the files of a
/// snapshot or of frostmirror 1.x, and a delta names crates whose files its maker may not have had.
pub(super) fn is_told(manifest: &Manifest, record: &CrateRecord) -> bool {
    let was_read = record.state == CrateState::Shipped
        && manifest.kind != BundleKind::Snapshot
        && manifest.lineage.id != LEGACY_LINEAGE;
    was_read || record.license.is_some() || record.repository.is_some() || record.description.is_some()
}

/// The licence that a crate states, or why none is shown.
pub(super) fn license<'r>(manifest: &Manifest, record: &'r CrateRecord) -> &'r str {
    match &record.license {
        Some(license) => license,
        None if is_told(manifest, record) => NO_LICENSE,
        None => UNKNOWN,
    }
}

fn table(manifest: &Manifest, records: &[&CrateRecord]) -> Table {
    let mut table = Table::default();
    for record in records {
        table.row([
            record.name.as_str(),
            &record.version.to_string(),
            &size_of(record),
            license(manifest, record),
            if record.yanked { "yanked" } else { "" },
            record.repository.as_deref().unwrap_or_default(),
        ]);
    }
    table
}

/// The size of a crate's file, where it is known.
pub(super) fn size_of(record: &CrateRecord) -> String {
    match record.size {
        0 if record.state != CrateState::Shipped => String::new(),
        bytes => size(bytes),
    }
}

fn or_none(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
