//! A comparison in words.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::super::describe::{
    NO_LICENSE, UNKNOWN, artifact_table, is_told, license, size_of, weight as weight_of_artifacts,
};
use super::super::format::{ArtifactRecord, CrateRecord, Manifest};
use super::super::shown::{Table, counted, shown, size};
use super::{Change, Comparison, Updated, Words, weight};

/// What stands where a crate stops or begins to say where its source is.
const NO_REPOSITORY: &str = "no repository stated";

/// The comparison of the bundles in the files `old` and `new`, in words.
pub fn text(comparison: &Comparison<'_>, old: &str, new: &str) -> String {
    let mut out = String::new();
    heading(comparison, [old, new], &mut out);
    words("Input", &comparison.inputs, &mut out);
    words("Toolchain", &comparison.toolchains, &mut out);
    words("Target", &comparison.targets, &mut out);
    let tables = [
        ("Added", comparison.added.len(), added(comparison)),
        ("Updated", comparison.updated.len(), updated(comparison)),
        ("Removed", comparison.removed.len(), removed(comparison)),
        ("Changed", comparison.changed.len(), changed(comparison)),
    ];
    for (title, count, table) in tables.iter().filter(|(_, count, _)| *count > 0) {
        // Into memory, which takes everything.
        let _written = writeln!(out, "\n{title} ({count}):").is_ok();
        table.write(&mut out);
    }
    let artifacts = &comparison.artifacts;
    for (title, records) in
        [("added", &artifacts.added), ("changed", &artifacts.changed), ("removed", &artifacts.removed)]
    {
        if !records.is_empty() {
            let _written = writeln!(out, "\nRustup artifacts, {title} ({}):", records.len()).is_ok();
            artifact_table(records.iter().copied()).write(&mut out);
        }
    }
    out.push('\n');
    out.push_str(&totals(comparison));
    out
}

fn heading(comparison: &Comparison<'_>, files: [&str; 2], out: &mut String) {
    let sides = [("Old", comparison.old), ("New", comparison.new)];
    for ((name, manifest), file) in sides.into_iter().zip(files) {
        let _written = writeln!(out, "{name:<12}{}", shown(&format!("{}, {file}", side(manifest)))).is_ok();
    }
    let (old, new) = (&comparison.old.lineage, &comparison.new.lineage);
    if old.id != new.id {
        out.push_str("Note        the two are of different histories\n");
    } else if new.sequence < old.sequence {
        out.push_str("Note        the new one was made before the old one\n");
    }
}

fn side(manifest: &Manifest) -> String {
    let artifacts = match manifest.artifacts.len() {
        0 => String::new(),
        count => {
            let bytes = size(weight_of_artifacts(manifest.artifacts.iter()));
            format!(", {} ({bytes})", counted(count, "rustup artifact"))
        }
    };
    format!(
        "{} of {}, {} ({}){artifacts}, id {}",
        manifest.kind,
        manifest.created,
        counted(manifest.crates.len(), "version"),
        size(weight(manifest.crates.iter())),
        manifest.id,
    )
}

fn words(what: &str, words: &Words<'_>, out: &mut String) {
    for (sign, words) in [("+", &words.added), ("-", &words.removed)] {
        for word in words {
            let _written = writeln!(out, "{what:<12}{sign} {}", shown(word)).is_ok();
        }
    }
}

fn added(comparison: &Comparison<'_>) -> Table {
    let mut table = Table::default();
    for record in &comparison.added {
        table.row([
            record.name.as_str(),
            &record.version.to_string(),
            &size_of(record),
            license(comparison.new, record),
            if record.yanked { "yanked" } else { "" },
            record.repository.as_deref().unwrap_or_default(),
        ]);
    }
    table
}

fn updated(comparison: &Comparison<'_>) -> Table {
    let mut table = Table::default();
    for updated in &comparison.updated {
        let versions = |records: &[&CrateRecord]| {
            records.iter().map(|record| record.version.to_string()).collect::<Vec<_>>().join(", ")
        };
        let bytes = weight(updated.new.iter().copied());
        table.row([
            updated.name.as_str(),
            &format!("{} -> {}", versions(&updated.old), versions(&updated.new)),
            &if bytes == 0 { updated.new.first().map(|one| size_of(one)).unwrap_or_default() } else { size(bytes) },
            &said(comparison, updated, |record| record.license.as_deref(), NO_LICENSE),
            if updated.new.iter().any(|record| record.yanked) { "yanked" } else { "" },
            &said(comparison, updated, |record| record.repository.as_deref(), NO_REPOSITORY),
        ]);
    }
    table
}

/// What the versions that come say, and what was said before where that was something else: a licence or a repository
/// that changes is what an approver looks for. What one of the two does not know has not changed.
fn said<'m>(
    comparison: &Comparison<'m>,
    updated: &Updated<'m>,
    of: fn(&'m CrateRecord) -> Option<&'m str>,
    nothing: &'static str,
) -> String {
    let known = |manifest: &Manifest, records: &[&'m CrateRecord]| -> BTreeSet<&'m str> {
        let told = records.iter().filter(|record| is_told(manifest, record));
        told.map(|record| of(record).unwrap_or(nothing)).collect()
    };
    let (old, new) = (known(comparison.old, &updated.old), known(comparison.new, &updated.new));
    let mut texts: Vec<&str> = new.iter().copied().collect();
    if updated.new.iter().any(|record| !is_told(comparison.new, record)) {
        texts.push(UNKNOWN);
    }
    let changed = old != new && !old.is_empty() && !new.is_empty();
    match texts.join(", ") {
        texts if changed => format!("{texts} (was {})", old.into_iter().collect::<Vec<_>>().join(", ")),
        texts if nothing == NO_REPOSITORY && (texts == NO_REPOSITORY || texts == UNKNOWN) => String::new(),
        texts => texts,
    }
}

fn removed(comparison: &Comparison<'_>) -> Table {
    let mut table = Table::default();
    for record in &comparison.removed {
        table.row([record.name.as_str(), &record.version.to_string(), &size_of(record)]);
    }
    table
}

fn changed(comparison: &Comparison<'_>) -> Table {
    let mut table = Table::default();
    for changed in &comparison.changed {
        let how: Vec<String> = changed.how.iter().map(in_words).collect();
        table.row([changed.new.name.as_str(), &changed.new.version.to_string(), &how.join("; ")]);
    }
    table
}

fn in_words(change: &Change) -> String {
    match change {
        Change::Checksum { old, new } => {
            format!("OTHER CONTENT: SHA-256 {new}, was {old}")
        }
        Change::Yanked => "yanked".to_owned(),
        Change::Unyanked => "no longer yanked".to_owned(),
        Change::FileAdded => "its file comes, which was left out".to_owned(),
        Change::FileLeftOut => "its file is left out now".to_owned(),
    }
}

fn totals(comparison: &Comparison<'_>) -> String {
    if comparison.is_empty() {
        return format!("No change: {}.\n", counted(comparison.unchanged, "version"));
    }
    let (coming, going) = (comparison.coming().count(), comparison.going().count());
    format!(
        "Total: {} ({}) in, {} ({}) out, {} changed, {} as before.\n",
        counted(coming, "version"),
        size(weight(comparison.coming())),
        counted(going, "version"),
        size(weight(comparison.going())),
        comparison.changed.len(),
        comparison.unchanged,
    ) + &artifact_totals(comparison)
}

/// A line of rustup artifacts, where there are any.
fn artifact_totals(comparison: &Comparison<'_>) -> String {
    let artifacts = &comparison.artifacts;
    if artifacts.is_empty() && artifacts.unchanged == 0 {
        return String::new();
    }
    let told = |records: &[&ArtifactRecord]| {
        let bytes = size(weight_of_artifacts(records.iter().copied()));
        format!("{} ({bytes})", counted(records.len(), "artifact"))
    };
    format!(
        "Rustup: {} in, {} out, {} changed, {} as before.\n",
        told(&artifacts.added),
        told(&artifacts.removed),
        told(&artifacts.changed),
        artifacts.unchanged
    )
}
