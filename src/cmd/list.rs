//! `list`: which crates a mirror or a bundle holds, one a line.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::Context;
use super::inspect::manifest;
use crate::bundle::format::{ArtifactState, CrateState};
use crate::bundle::shown::shown;
use crate::crate_id::CrateId;
use crate::event::Sink;
use crate::failure::Failure;
use crate::mirror::head::Counts;
use crate::mirror::held::held;
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::mirror::store;

/// Words of `list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A bundle to list instead of a mirror: the crates whose files are in it
    #[arg(conflicts_with = "mirror")]
    pub file: Option<PathBuf>,
    /// The mirror [default: FROSTMIRROR_MIRROR, else /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]
    // Not filled by clap from the environment: a variable that is set must not conflict with FILE.
    #[arg(long, value_name = "DIR")]
    pub mirror: Option<PathBuf>,
}

/// What is listed.
struct Listed {
    /// When the bundle, or the newest bundle in the mirror, was written; RFC 3339.
    created: Option<String>,
    /// Of crates and rustup artifacts.
    bytes: u64,
    crates: Vec<CrateId>,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let listed = match &args.file {
        Some(file) => of_bundle(file, context)?,
        None => {
            let mirror = args.mirror.clone().or_else(|| context.env.path("FROSTMIRROR_MIRROR"));
            let layout = Layout::new(context.directory(mirror.as_deref(), "/mirror", "mirror")?);
            if !layout.root().exists() {
                context.report.status("Note", format!("no mirror is at `{}` yet", layout.root().display()));
            }
            of_mirror(&layout)?
        }
    };
    // The form in which `status` tells times.
    let created = listed.created.map(|time| shown(&time.replace('Z', "+00:00")));
    if context.report.is_json() {
        context.report.json(&json!({
            "reason": "listed",
            "created": created,
            "count": listed.crates.len(),
            "bytes": listed.bytes,
            "crates": listed.crates,
        }));
        return Ok(());
    }
    let created = created.as_deref().unwrap_or("never");
    let mut text =
        format!("Created: {created}\nCrate count: {}\nTotal size: {} bytes\n", listed.crates.len(), listed.bytes);
    for id in &listed.crates {
        text.push_str(&format!("{id}\n"));
    }
    context.report.data(&text);
    Ok(())
}

fn of_bundle(file: &Path, context: &Context) -> Result<Listed, Failure> {
    let manifest = manifest(file, context)?;
    let shipped = || manifest.crates.iter().filter(|record| record.state == CrateState::Shipped);
    let artifacts = manifest.artifacts_in(ArtifactState::Shipped).map(|record| record.size);
    Ok(Listed {
        bytes: shipped().map(|record| record.size).chain(artifacts).fold(0, u64::saturating_add),
        crates: shipped().map(|record| record.id()).collect(),
        created: Some(manifest.created),
    })
}

fn of_mirror(layout: &Layout) -> Result<Listed, Failure> {
    let listed = || -> Result<Listed, store::Error> {
        let head = ledger::head(layout)?;
        let bytes = match &head {
            Some(head) => head.counts.all_bytes(),
            None => Counts::of_tree(layout)?.all_bytes(),
        };
        let created = head.and_then(|head| head.lineages.into_iter().map(|lineage| lineage.created).max());
        Ok(Listed { created, bytes, crates: held(layout)? })
    };
    layout
        .check_format()
        .map_err(Failure::from)
        .and_then(|()| listed().map_err(Failure::from))
        .map_err(|failure| failure.doing(format!("could not list the crates of `{}`", layout.root().display())))
}
