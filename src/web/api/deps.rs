//! `/api/deps`: depends.toml as JSON, with the file's own structure.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::ETAG;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::bounded_read;
use crate::config::DEPENDS;
use crate::credentials::redact_credentials;
use crate::durable;
use crate::error_report::Failure;
use crate::inputs::depends::json_edit::{self, EditError};
use crate::inputs::depends::{Error, read_text};
use crate::web::request::WebRequest;
use crate::web::response::{ApiError, HandlerResult, etag_of, json, set_header, with_content_type};
use crate::web::router::Route;
use crate::web::state::WebState;

/// depends.toml. A missing table is absent.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DependsBody {
    /// By crate: a version requirement, a table with `version`, `features`, `default-features` and `package`, or a list of
    /// these. A key of digits is a group, with entries of the same kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dependencies: Option<Map<String, Value>>,
    /// By crate: an exact version, or a list of exact versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    locked: Option<Map<String, Value>>,
    /// `targets`, `toolchain`, `profile`, `components`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platforms: Option<Map<String, Value>>,
}

/// The stored text, or the preview of it.
#[derive(Serialize, JsonSchema)]
struct StoredDepends {
    /// The file's new text.
    toml: String,
    /// Whether it differs from the previous text.
    changed: bool,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/deps", "depends.toml as JSON; the ETag identifies its state. Readers see no credentials.", read)
            .with_query("format", "`toml`: the text of the file instead")
            .returns_json::<DependsBody>(200),
        Route::post(
            "/api/deps",
            "Replaces the contents of depends.toml; comments and order are kept. With If-Match, only if the file is unchanged.",
            write,
        )
        .with_query("dry_run", "`true`: only returns the resulting text")
        .takes_json::<DependsBody>()
        .returns_json::<StoredDepends>(200),
    ]
}

fn read(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let (path, text) = read_depends(state)?;
    let text = visible_text(state, request, text.unwrap_or_default());
    let mut response = match request.query_value("format") {
        Some("toml") => with_content_type("text/plain; charset=utf-8", text.clone().into_bytes()),
        None | Some("json") => json(&json_edit::to_json(&text, &path).map_err(edit_error)?),
        Some(_) => return Err(ApiError::new(StatusCode::BAD_REQUEST, "`format` must be json or toml")),
    };
    set_header(&mut response, ETAG, &etag_of(&text));
    Ok(response)
}

fn write(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    // `fetch` validates the meaning; only the structure is validated here.
    let _shape: DependsBody = request.json()?;
    let requested: Map<String, Value> = request.json()?;
    let dry_run = request.query_flag("dry_run")?;
    let _write_guard = state.context.settings.lock_for_write();
    let (path, text) = read_depends(state)?;
    let exists = text.is_some();
    let text = text.unwrap_or_default();
    request.check_if_match(&etag_of(&text), "another client changed depends.toml")?;
    let after = json_edit::apply_json(&text, &path, &requested).map_err(edit_error)?;
    let changed = after != text || !exists;
    if changed && !dry_run {
        let failed = |source| Failure::io(format!("could not write `{}`", path.display()), source);
        durable::make_folder(state.context.settings.folder()).map_err(failed)?;
        // If the path is a link, the write changes its target.
        let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        durable::rewrite(&real, after.as_bytes(), 0o644).map_err(failed)?;
    }
    let tag = etag_of(&after);
    let mut response = json(&StoredDepends { toml: after, changed });
    if !dry_run {
        set_header(&mut response, ETAG, &tag);
    }
    Ok(response)
}

/// The path of depends.toml, and its text if it exists.
pub(in crate::web) fn read_depends(state: &WebState) -> Result<(PathBuf, Option<String>), ApiError> {
    let path = state.context.settings.folder().join(DEPENDS);
    match fs::symlink_metadata(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok((path, None)),
        _ => {
            let text = read_text(&path).map_err(depends_error)?;
            Ok((path, Some(text)))
        }
    }
}

/// The text that this client may see: readers see no credentials.
pub(in crate::web) fn visible_text(state: &WebState, request: &WebRequest, text: String) -> String {
    if request.is_admin(state) { text } else { redact_credentials(&text) }
}

/// The error for a request that does not result in a valid depends.toml.
fn edit_error(error: EditError) -> ApiError {
    match error {
        EditError::Toml { list, .. } => ApiError::invalid_file(DEPENDS, &list).with_hint(STORED_FILE_HINT),
        EditError::Depends(Error::Invalid { list, .. }) => {
            let hint = "correct these entries; `?dry_run=true` checks the request without storing it";
            ApiError::invalid_file("the resulting depends.toml", &list).with_hint(hint)
        }
        EditError::Depends(error) => depends_error(error),
        error @ EditError::Value { .. } => ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
            .with_hint("see the schema in /api/openapi.json; `?dry_run=true` checks the request without storing it"),
    }
}

const STORED_FILE_HINT: &str =
    "correct depends.toml in the server's configuration folder; `GET /api/deps?format=toml` returns its text";

/// The error for a stored file that cannot be used. It names the file without its folder.
fn depends_error(error: Error) -> ApiError {
    let invalid = |text: &str| {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{DEPENDS} {text}")).with_hint(STORED_FILE_HINT)
    };
    match error {
        Error::Read(bounded_read::Error::Io { source, .. }) => {
            Failure::io(format!("could not read {DEPENDS}"), source).into()
        }
        Error::Read(bounded_read::Error::TooLarge { .. }) => invalid("is larger than 1 MiB"),
        Error::Read(bounded_read::Error::Binary { .. }) => invalid("is a binary file, not a depends.toml"),
        Error::Read(bounded_read::Error::NotUtf8 { list, .. }) | Error::Invalid { list, .. } => {
            ApiError::invalid_file(DEPENDS, &list).with_hint(STORED_FILE_HINT)
        }
        Error::OtherKind { kind, .. } => invalid(&format!("has the contents of a {kind}")),
    }
}
