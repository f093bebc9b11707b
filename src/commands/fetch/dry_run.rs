//! The report of `fetch --dry-run`.

use serde_json::json;

use super::super::Context;
use crate::event::{self, Sink as _};
use crate::fetch::DryRun;
use crate::units::{agree, pluralize};

pub(super) fn report(estimate: &DryRun, context: &Context) {
    if context.reporter.is_json() {
        report_json(estimate, context);
        return;
    }
    for input in &estimate.forgotten {
        context.reporter.status("Planned", format!("to forget `{input}`"));
    }
    if !estimate.writes_bundle {
        context.reporter.status("Unchanged", "there is nothing new, so `fetch` would write no bundle".to_owned());
        return;
    }
    if estimate.crates.is_empty() && estimate.dist_files.is_empty() {
        let dropped = event::format_contents(estimate.dropped_crates, estimate.dropped_dist_files);
        let reason = match (estimate.dropped_crates, estimate.dropped_dist_files) {
            (0, 0) => "inputs or index entries changed".to_owned(),
            (crates, files) => format!("{dropped} {} no longer needed", agree(crates + files, "is", "are")),
        };
        context.reporter.status("Planned", format!("a bundle without files: {reason}; nothing was written"));
        return;
    }
    context.reporter.print_data(&list_files(estimate));
    let (count, bytes, unknown) = estimate.download_totals();
    let unknown = if unknown > 0 { format!(" and {unknown} of unknown size") } else { String::new() };
    let human = if bytes < 1024 { String::new() } else { format!(" ({})", event::format_size(bytes)) };
    let all = event::format_contents(estimate.crates.len() as u64, estimate.dist_files.len() as u64);
    let pack = event::format_size(estimate.bytes_to_pack());
    context.reporter.status(
        "Planned",
        format!(
            "{all}; {count} to download, {}{human}{unknown}, for a .pkg of about {pack}; nothing was written",
            pluralize(bytes, "byte")
        ),
    );
}

/// One line for each file: its size and its name.
fn list_files(estimate: &DryRun) -> String {
    let crates = estimate.crates.iter().map(|planned| (planned.size, planned.key.to_string(), planned.is_cached));
    let dist_files =
        estimate.dist_files.iter().map(|planned| (planned.size, planned.key.to_string(), planned.is_cached));
    let line = |(size, name, is_cached): (Option<u64>, String, bool)| {
        let size = size.map_or("?".to_owned(), |size| size.to_string());
        let cached_note = if is_cached { "  (in the cache)" } else { "" };
        format!("{size:>12} {name}{cached_note}\n")
    };
    crates.chain(dist_files).map(line).collect()
}

fn report_json(estimate: &DryRun, context: &Context) {
    for planned in &estimate.crates {
        context.reporter.print_json(&json!({
            "reason": "planned", "name": planned.key.name, "version": planned.key.version,
            "size": planned.size, "held": planned.is_cached,
        }));
    }
    for planned in &estimate.dist_files {
        context.reporter.print_json(&json!({
            "reason": "planned-artifact", "path": planned.key, "size": planned.size, "held": planned.is_cached,
        }));
    }
    let (count, bytes, unknown) = estimate.download_totals();
    context.reporter.print_json(&json!({
        "reason": "plan", "writes_bundle": estimate.writes_bundle, "rustup_artifacts": estimate.dist_files.len(),
        "crates": estimate.crates.len(), "to_download": count, "bytes": bytes, "of_unknown_size": unknown,
        "bytes_to_pack": estimate.bytes_to_pack(), "forgotten": estimate.forgotten,
        "dropped_crates": estimate.dropped_crates, "dropped_rustup_artifacts": estimate.dropped_dist_files,
    }));
}
