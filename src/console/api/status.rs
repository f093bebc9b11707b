//! `/api/status`: what the mirror holds and how it is.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::console::answer::{Outcome, json};
use crate::console::asked::Asked;
use crate::console::route::Route;
use crate::console::state::State;
use crate::failure::Failure;
use crate::mirror::status::Status;

/// The mirror's health and size.
#[derive(Serialize, JsonSchema)]
struct Body {
    /// Crates, each version counted.
    crates: u64,
    /// Names of crates.
    names: u64,
    /// Bytes of everything that is held.
    bytes: u64,
    /// Bytes of the crates.
    crate_bytes: u64,
    /// Files of rustup and of toolchains.
    rustup_artifacts: u64,
    /// Their bytes.
    rustup_artifact_bytes: u64,
    /// The toolchains that are offered: `stable (1.95.0)`.
    toolchains: Vec<String>,
    /// When the newest import was done (RFC 3339), `never`, or `unknown`.
    last_import: String,
    /// Imports on record.
    imports: u64,
    /// Bundles that wait for another one.
    waiting: u64,
    /// Bundles that were refused.
    failed: u64,
}

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/api/status", "What the mirror holds, and how it is.", status).gives::<Body>(200)]
}

fn status(state: &Arc<State>, _: &Asked) -> Outcome {
    let status = Status::read(&state.options.mirror).map_err(Failure::from)?;
    let last_import = status.last_import_text();
    let incoming = status.incoming.unwrap_or_default();
    Ok(json(&Body {
        crates: status.counts.versions,
        names: status.counts.crates,
        bytes: status.counts.all_bytes(),
        crate_bytes: status.counts.bytes,
        rustup_artifacts: status.counts.artifacts,
        rustup_artifact_bytes: status.counts.artifact_bytes,
        toolchains: status.toolchains,
        last_import,
        imports: status.imports,
        waiting: incoming.waiting.len() as u64,
        failed: incoming.failed_count,
    }))
}
