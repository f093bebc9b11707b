//! `/api/incoming`: the incoming folder. Uploads bundles, and retries, dismisses or deletes those in it.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::StatusCode;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE};
use schemars::JsonSchema;
use serde::Serialize;

use crate::bundle::sanitize::sanitize_line;
use crate::error_report::Failure;
use crate::server::IncomingBody;
use crate::watcher::failed_bundles;
use crate::watcher::import_on_request::{self, ImportRequest};
use crate::web::incoming::{self, IncomingFolder};
use crate::web::jobs::{Job, JobKind};
use crate::web::request::WebRequest;
use crate::web::response::{ApiError, HandlerResult, json, json_with_status, no_content};
use crate::web::router::{HandlerFuture, Route};
use crate::web::state::{UploadCounts as Uploads, WebState};
use crate::web::upload::{self, MinRate, UploadRequest};

/// An uploaded bundle.
#[derive(Serialize, JsonSchema)]
struct UploadedBundle {
    /// The file name in the incoming folder.
    file: String,
    /// The file size in bytes.
    bytes: u64,
    /// Its SHA-256, to compare with that of the sent file.
    sha256: String,
    /// Whether the watcher will import it.
    watching: bool,
    /// The import job, if one was requested and the server does not watch the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Job>,
    /// The next step, if it is not imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// A retried bundle.
#[derive(Serialize, JsonSchema)]
struct RetriedBundle {
    /// The file name in the incoming folder.
    file: String,
    /// Whether the watcher will import it.
    watching: bool,
    /// The import job, if the server does not watch the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Job>,
    /// The next step, if there is no such job.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

pub(super) fn routes() -> Vec<Route> {
    let upload = "Uploads a bundle of any size, with or without Content-Length. It appears in the incoming folder when it is complete. An existing file is never replaced.";
    let import = "Imports a bundle of the incoming folder, as a job, on a server that does not watch the folder. The bundle moves to \
                  done/, or to failed/ if it is invalid. The outcome has `file`.";
    let retry = "Moves a rejected bundle back into the incoming folder. A server that does not watch it imports it at once, as a job.";
    let dismiss = "Dismisses the alarm about a rejected bundle, which stays in failed/.";
    vec![
        Route::get(
            "/api/incoming",
            "The incoming folder: arriving, waiting, rejected and imported bundles.",
            show_folder,
        )
        .returns_json::<IncomingFolder>(200),
        Route::put("/api/incoming/{filename}", upload, upload_bundle)
            .with_query(
                "import",
                "`true`: imports the bundle at once, as a job, if the server does not watch the folder",
            )
            .takes_bytes()
            .returns_json::<UploadedBundle>(201),
        Route::post("/api/incoming/{filename}/import", import, import_bundle).returns_json::<Job>(202),
        Route::post("/api/incoming/failed/{filename}/retry", retry, retry_rejected).returns_json::<RetriedBundle>(202),
        Route::post("/api/incoming/failed/{filename}/dismiss", dismiss, dismiss_rejected).returns_other(204),
        Route::delete("/api/incoming/failed/{filename}", "Deletes a rejected bundle and its reason.", delete_rejected)
            .returns_other(204),
    ]
}

fn show_folder(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    Ok(json(&incoming::read_visible(&state.context, request.is_admin(state))?))
}

fn upload_bundle(state: Arc<WebState>, request: WebRequest, body: IncomingBody) -> HandlerFuture {
    Box::pin(async move {
        let upload_request = upload_request(&state, &request)?;
        request.check_query_names(&["import"])?;
        let import = request.query_flag("import")?;
        let Ok(_permit) = state.upload_permits.try_acquire() else {
            return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too many uploads are in progress")
                .with_hint("send it again when one of them has ended"));
        };
        let file = upload_request.name.clone();
        let received = upload::receive(body, upload_request, MinRate::default()).await;
        let Uploads { done, failed } = &state.upload_counts;
        let counter = if received.is_ok() { done } else { failed };
        counter.fetch_add(1, Ordering::Relaxed);
        let received = received?;
        let watching = state.context.settings.current().watch_incoming;
        let (job, hint) = match (watching, import) {
            (true, _) => (None, None),
            (false, true) => job_or_hint(start_import(&state, OsString::from(&file), true)),
            (false, false) => {
                let hint = format!(
                    "the server does not watch the folder: send POST /api/incoming/{file}/import, or start `serve` with --watch-incoming"
                );
                (None, Some(hint))
            }
        };
        let (bytes, sha256) = (received.bytes, received.sha256.to_string());
        Ok(json_with_status(StatusCode::CREATED, &UploadedBundle { file, bytes, sha256, watching, job, hint }))
    })
}

/// Starts the import of a bundle. `whole`: the file is complete, and no process writes to it.
fn start_import(state: &Arc<WebState>, name: OsString, is_complete: bool) -> Result<Job, ApiError> {
    let file = sanitize_line(&name.to_string_lossy());
    state.start_job(JobKind::Import, move |state, sink| {
        let (context, import_counters) = (state.context.clone(), Arc::clone(&state.options.import_counters));
        let imported = ImportRequest { context, name, is_complete, import_counters }.import(sink);
        update_record(state)?;
        imported.map(|()| serde_json::json!({ "file": file }))
    })
}

/// The started job, or a hint why none was started.
fn job_or_hint(job: Result<Job, ApiError>) -> (Option<Job>, Option<String>) {
    match job {
        Ok(job) => (Some(job), None),
        Err(refusal) => (None, Some(format!("{}; then send POST /api/incoming/FILE/import", refusal.error))),
    }
}

fn is_watching(state: &WebState) -> bool {
    state.context.settings.current().watch_incoming
}

/// A running watcher keeps its own record.
fn update_record(state: &WebState) -> Result<(), Failure> {
    if is_watching(state) {
        Ok(())
    } else {
        import_on_request::save_watcher_state(&state.context.mirror, &state.context.incoming)
    }
}

fn import_bundle(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    if is_watching(state) {
        return Err(ApiError::new(StatusCode::CONFLICT, "the server watches the incoming folder")
            .with_hint("see its state in /api/incoming; it imports every complete bundle"));
    }
    let name = import_on_request::find_bundle(&state.context.incoming, request.path_param(0)).ok_or_else(|| {
        ApiError::new(StatusCode::NOT_FOUND, "the incoming folder has no bundle of that name")
            .with_hint("list the bundles with /api/incoming, under `files`")
    })?;
    Ok(json_with_status(StatusCode::ACCEPTED, &start_import(state, name, false)?))
}

fn retry_rejected(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let name = failed_bundles::retry(&state.context.incoming, request.path_param(0)).map_err(api_error)?;
    update_record(state)?;
    let (file, watching) = (sanitize_line(&name.to_string_lossy()), is_watching(state));
    let (job, hint) = if watching { (None, None) } else { job_or_hint(start_import(state, name, true)) };
    Ok(json_with_status(StatusCode::ACCEPTED, &RetriedBundle { file, watching, job, hint }))
}

fn dismiss_rejected(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    failed_bundles::dismiss(&state.context.incoming, request.path_param(0)).map_err(api_error)?;
    update_record(state)?;
    Ok(no_content())
}

fn delete_rejected(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    failed_bundles::delete(&state.context.incoming, request.path_param(0)).map_err(api_error)?;
    update_record(state)?;
    Ok(no_content())
}

fn api_error(error: failed_bundles::Error) -> ApiError {
    use failed_bundles::Error as E;
    match error {
        E::NotFound => ApiError::new(StatusCode::NOT_FOUND, error.to_string())
            .with_hint("list rejected bundles with /api/incoming, under `failed` and `dismissed`"),
        E::Ambiguous => ApiError::new(StatusCode::CONFLICT, error.to_string())
            .with_hint("rename or remove them in failed/ on the server"),
        E::Deleted => ApiError::new(StatusCode::CONFLICT, error.to_string()).with_hint("upload the bundle again"),
        E::NameTaken(_) => {
            ApiError::new(StatusCode::CONFLICT, error.to_string()).with_hint("import or remove that file first")
        }
        E::Io { path, source } => Failure::io(format!("could not change `{}`", path.display()), source).into(),
    }
}

/// Whether the request headers allow the upload.
fn upload_request(state: &WebState, request: &WebRequest) -> Result<UploadRequest, ApiError> {
    let name = request.path_param(0).to_owned();
    if !upload::is_valid_name(&name) {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid bundle name")
            .with_hint("use a name that ends in .pkg, without a leading dot or a path, of at most 200 bytes"));
    }
    if request.headers.contains_key(CONTENT_ENCODING) || request.headers.contains_key(CONTENT_RANGE) {
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a bundle must be sent complete and unencoded")
            .with_hint("omit Content-Encoding and Content-Range"));
    }
    let length = request.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let watching = state.context.settings.current().watch_incoming;
    // The watcher waits for a missing folder: it may be the mount point of a missing disk, and must not be created.
    Ok(UploadRequest { folder: state.context.incoming.clone(), creates_folder: !watching, name, length })
}
