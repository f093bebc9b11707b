//! `/api/export`: builds, lists and downloads snapshots of the mirror with its server's configuration.
//!
//! Clients with read access may download them. They contain the mirror's files and the portable part of the configuration,
//! which has no tokens and no passwords.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::CONTENT_DISPOSITION;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::config;
use crate::error_report::{Failure, replace_control};
use crate::event::{self, Sink};
use crate::mirror::lock::lock_for_reading;
use crate::mirror::snapshot::{Options, SnapshotReport};
use crate::mirror_file::FileKind as Sort;
use crate::server::fallback;
use crate::web::jobs::{Job, JobKind};
use crate::web::request::WebRequest;
use crate::web::response::{ApiError, HandlerResult, json, json_with_status, no_content, set_header};
use crate::web::router::Route;
use crate::web::snapshots::{self, Snapshot};
use crate::web::state::WebState;

/// How long an export waits for a running import.
const LOCK_TIMEOUT: Duration = Duration::from_secs(600);

/// The snapshots that can be downloaded.
#[derive(Serialize, JsonSchema)]
struct SnapshotList {
    /// Newest first.
    snapshots: Vec<Snapshot>,
}

/// The outcome of an export job.
#[derive(Serialize, JsonSchema)]
struct ExportOutcome {
    /// The file name, for `/api/export/download/FILE`.
    file: String,
    /// The file size in bytes.
    bytes: u64,
    /// The file's SHA-256.
    sha256: String,
    /// The bundle's id.
    id: String,
    /// The number of crates.
    crates: u64,
    /// The number of histories.
    histories: u64,
    /// Files in crates/ that the index does not name, which are left out.
    #[serde(rename = "left_behind")]
    unlisted_files: u64,
}

pub(super) fn routes() -> Vec<Route> {
    let about = "Builds a snapshot of the mirror and its server's configuration, as a job. Its outcome has `file`, `bytes`, `sha256`, \
                 `id`, `crates`, `histories` and `left_behind`.";
    let download = "Downloads a snapshot. It supports ranges, so that a client can resume. It contains the mirror's files and the configuration without tokens and passwords, and needs read access.";
    vec![
        Route::post("/api/export", about, start_export).returns_json::<Job>(202),
        Route::get("/api/export", "The snapshots that this server built.", list).returns_json::<SnapshotList>(200),
        Route::get("/api/export/download/{filename}", download, download_snapshot)
            .returns_other(200)
            .returns_other(206)
            .returns_other(304),
        Route::delete("/api/export/{filename}", "Deletes a snapshot. Running downloads continue.", delete)
            .returns_other(204),
    ]
}

fn list(state: &Arc<WebState>, _: &WebRequest) -> HandlerResult {
    Ok(json(&SnapshotList { snapshots: snapshots::list(&state.context.incoming)? }))
}

fn download_snapshot(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let name = request.path_param(0);
    let unknown = || {
        ApiError::new(StatusCode::NOT_FOUND, "the server has no such snapshot")
            .with_hint("list the snapshots with /api/export")
    };
    let path = snapshots::find(&state.context.incoming, name).ok_or_else(unknown)?;
    let file_response = fallback::file_response(&path, &request.headers, request.is_head, "application/octet-stream");
    let file_response =
        file_response.map_err(|error| Failure::io(format!("could not read `{}`", path.display()), error))?;
    let mut response = file_response.ok_or_else(unknown)?;
    set_header(&mut response, CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
    Ok(response)
}

fn delete(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    if snapshots::delete(&state.context.incoming, request.path_param(0))? {
        return Ok(no_content());
    }
    Err(ApiError::new(StatusCode::NOT_FOUND, "the server has no such snapshot")
        .with_hint("list the snapshots with /api/export"))
}

fn start_export(state: &Arc<WebState>, _: &WebRequest) -> HandlerResult {
    Ok(json_with_status(StatusCode::ACCEPTED, &state.start_job(JobKind::Export, run_export)?))
}

fn run_export(state: &WebState, sink: &dyn Sink) -> Result<Value, Failure> {
    let context = &state.context;
    let (config, notes) = config::files_for_snapshot(context.settings.folder())?;
    for (name, note) in notes {
        sink.status("Note", format!("left out of {name}: {note}"));
    }
    let guard = lock_for_reading(&context.mirror, LOCK_TIMEOUT, &context.lock_holder("serve"), sink)?;
    let folder = snapshots::folder(&context.incoming);
    let SnapshotReport { path, size, sha256, manifest, unlisted_files: left_behind } =
        guard.snapshot(Options { folder, config, now: context.now() }, sink)?;
    drop(guard);
    let built = ExportOutcome {
        file: replace_control(&path.file_name().unwrap_or_default().to_string_lossy()),
        bytes: size,
        sha256: sha256.to_string(),
        id: manifest.id.clone(),
        crates: manifest.count_entries(Sort::Crate) as u64,
        histories: manifest.carried_history_count() as u64,
        unlisted_files: left_behind,
    };
    sink.status(
        "Exported",
        format!("{} ({}) to {}", event::format_crates(built.crates), event::format_size(size), built.file),
    );
    Ok(serde_json::to_value(built).expect("plain fields are JSON"))
}
