//! `list`: prints the crates of a mirror or a bundle, one per line, and marks yanked versions.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::Context;
use super::inspect::read_manifest;
use crate::bundle::format::{CrateState, DistFileState};
use crate::bundle::sanitize::{format_size, sanitize_line};
use crate::error_report::Failure;
use crate::event::{self, Sink};
use crate::mirror::audit::require_mirror;
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::mirror::stored_crates::{StoredCrate, list_stored_crates};
use crate::mirror::summary::{Counts, SummaryLoss};
use crate::mirror::transaction;
use crate::units::pluralize;

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Bundle to list instead of a mirror
    ///
    /// Bundle to list instead of a mirror: the crates whose files it contains.
    #[arg(conflicts_with = "mirror")]
    pub file: Option<PathBuf>,
    /// Mirror to list [default: /mirror, else ~/.frostmirror/mirror]
    ///
    /// Mirror to list. The default is FROSTMIRROR_MIRROR, else /mirror if it exists, as in a container, else `mirror` in
    /// FROSTMIRROR_HOME.
    // Clap does not fill this from the environment: a set variable must not conflict with FILE.
    #[arg(long, value_name = "DIR")]
    pub mirror: Option<PathBuf>,
}

/// The contents to list.
struct ListOutput {
    /// The creation time of the bundle, or of the mirror's newest bundle; RFC 3339.
    created: Option<String>,
    /// Total size of crates and dist files.
    bytes: u64,
    crates: Vec<StoredCrate>,
    /// The number of dist files and their size in bytes, which is part of the total.
    dist_files: (u64, u64),
    /// The names of the toolchains.
    toolchains: Vec<String>,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let listed = match &args.file {
        Some(file) => list_bundle(file, context)?,
        None => {
            let mirror = args.mirror.clone().or_else(|| context.env.path("FROSTMIRROR_MIRROR"));
            let layout = Layout::new(context.resolve_folder(mirror.as_deref(), "/mirror", "mirror")?);
            if args.mirror.is_some() {
                // A default mirror may be missing before the first import.
                require_mirror(&layout).map_err(|error| {
                    let reason = format!("could not list the crates of `{}`", layout.root().display());
                    Failure::from(error).with_mirror(&layout).context(reason)
                })?;
            }
            if !layout.root().exists() {
                context.reporter.status("Note", format!("no mirror is at `{}` yet", layout.root().display()));
            }
            context.reporter.detail("Reading", format!("`{}`", layout.summary().display()));
            context.reporter.detail("Reading", format!("the index in `{}`", layout.index().display()));
            list_mirror(&layout)?
        }
    };
    let created = listed.created.as_deref().map(sanitize_line);
    if context.reporter.is_json() {
        context.reporter.print_json(&json!({
            "reason": "listed",
            "created": created,
            "count": listed.crates.len(),
            "bytes": listed.bytes,
            "crates": listed.crates.iter().map(crate_json).collect::<Vec<_>>(),
            "rustup_artifacts": listed.dist_files.0,
            "rustup_artifact_bytes": listed.dist_files.1,
            "toolchains": listed.toolchains,
        }));
        return Ok(());
    }
    let created = created.as_deref().unwrap_or("never");
    let mut text = format!(
        "Created: {created}\nCrate count: {}\nTotal size: {}\n",
        listed.crates.len(),
        pluralize(listed.bytes, "byte")
    );
    for StoredCrate { id, yanked } in &listed.crates {
        let yanked = if *yanked { " (yanked)" } else { "" };
        text.push_str(&format!("{id}{yanked}\n"));
    }
    context.reporter.print_data(&text);
    if listed.dist_files.0 > 0 {
        // Each line on stdout is a crate, so this goes to stderr.
        let toolchains: Vec<String> = listed.toolchains.iter().map(|name| sanitize_line(name)).collect();
        context.reporter.status(
            "Note",
            format!(
                "the size includes {} ({}), which the list does not show: {}",
                event::format_dist_files(listed.dist_files.0),
                format_size(listed.dist_files.1),
                if toolchains.is_empty() { "no toolchain".to_owned() } else { toolchains.join(", ") }
            ),
        );
    }
    Ok(())
}

fn crate_json(StoredCrate { id, yanked }: &StoredCrate) -> serde_json::Value {
    json!({ "name": id.name, "version": id.version, "yanked": yanked })
}

fn list_bundle(file: &Path, context: &Context) -> Result<ListOutput, Failure> {
    let manifest = read_manifest("list", file, context)?;
    let shipped = || manifest.crates.iter().filter(|record| record.state == CrateState::Shipped);
    let artifacts = manifest.dist_files_in(DistFileState::Shipped).map(|record| record.size);
    let artifacts = artifacts.fold((0, 0), |(count, bytes): (u64, u64), size| (count + 1, bytes.saturating_add(size)));
    Ok(ListOutput {
        bytes: shipped().map(|record| record.size).chain([artifacts.1]).fold(0, u64::saturating_add),
        crates: shipped().map(|record| StoredCrate { id: record.id(), yanked: record.yanked }).collect(),
        dist_files: artifacts,
        toolchains: manifest.toolchains,
        created: Some(manifest.created),
    })
}

fn list_mirror(layout: &Layout) -> Result<ListOutput, Failure> {
    let listed = || -> Result<ListOutput, transaction::Error> {
        let head = ledger::read_summary(layout)?;
        // Without manifest.json, the records may state an older content.
        let counts = match &head {
            Some(head) if SummaryLoss::find(layout)?.is_none() => head.counts,
            _ => Counts::count_tree(layout)?,
        };
        let toolchains = head.as_ref().map(|head| head.toolchains.clone()).unwrap_or_default();
        let created = head.and_then(|head| head.lineages.into_iter().map(|lineage| lineage.created).max());
        Ok(ListOutput {
            created,
            bytes: counts.total_bytes(),
            crates: list_stored_crates(layout)?,
            dist_files: (counts.dist_files, counts.dist_file_bytes),
            toolchains,
        })
    };
    layout
        .check_format()
        .map_err(Failure::from)
        .and_then(|()| listed().map_err(Failure::from))
        .map_err(|failure| failure.context(format!("could not list the crates of `{}`", layout.root().display())))
}
