//! `/api/deps`: depends.toml as JSON, in the file's own shape.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::ETAG;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::console::answer::{Outcome, Refusal, json, set, typed};
use crate::console::asked::Asked;
use crate::console::route::Route;
use crate::console::state::State;
use crate::digest::Sha256;
use crate::durable;
use crate::failure::{Class, Failure};
use crate::gather::depends::edit::{self, EditError};
use crate::gather::depends::read_text;
use crate::server_config::DEPENDS;
use crate::server_config::secrets::without_credentials;

/// depends.toml. A table that is left out is not there.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Depends {
    /// By crate: a version requirement, a table with `version`, `features`, `default-features` and `package`, or a list
    /// of such. A key of digits is a group, with entries of the same kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dependencies: Option<Map<String, Value>>,
    /// By crate: an exact version, or a list of such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    locked: Option<Map<String, Value>>,
    /// `targets`, `toolchain`, `profile`, `components`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platforms: Option<Map<String, Value>>,
}

/// What was stored, or would be.
#[derive(Serialize, JsonSchema)]
struct Stored {
    /// The file's new text.
    toml: String,
    /// Whether it differs from what was there.
    changed: bool,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/deps", "depends.toml as JSON; an ETag names this state of it. Readers see no credentials in it.", read)
            .query("format", "`toml`: the text of the file instead")
            .gives::<Depends>(200),
        Route::post(
            "/api/deps",
            "Makes depends.toml say this; comments and the order are kept. With If-Match only where it still is in that state.",
            write,
        )
        .query("dry_run", "`true`: only shows what would be stored")
        .takes::<Depends>()
        .gives::<Stored>(200),
    ]
}

fn read(state: &Arc<State>, asked: &Asked) -> Outcome {
    let (path, text) = file(state)?;
    let text = as_shown(state, asked, text.unwrap_or_default());
    let mut response = match asked.value("format") {
        Some("toml") => typed("text/plain; charset=utf-8", text.clone().into_bytes()),
        None | Some("json") => json(&edit::to_json(&text, &path).map_err(Failure::from)?),
        Some(_) => return Err(Refusal::new(StatusCode::BAD_REQUEST, "`format` is json or toml")),
    };
    set(&mut response, ETAG, &etag(&text));
    Ok(response)
}

fn write(state: &Arc<State>, asked: &Asked) -> Outcome {
    // What it means is decided by whoever reads the file; here it must only be of the shape.
    let _shape: Depends = asked.json()?;
    let wanted: Map<String, Value> = asked.json()?;
    let dry_run = asked.flag("dry_run")?;
    let _turn = state.options.settings.one_at_a_time();
    let (path, text) = file(state)?;
    let there = text.is_some();
    let text = text.unwrap_or_default();
    asked.unchanged(&etag(&text), "depends.toml was changed meanwhile")?;
    let after = edit::edited(&text, &path, &wanted).map_err(Failure::from)?;
    let changed = after != text || !there;
    if changed && !dry_run {
        let failed = |source| Failure::io(format!("could not write `{}`", path.display()), source);
        durable::make_folder(state.options.settings.folder()).map_err(failed)?;
        // Where the name is a link, the file that it leads to is the one to change.
        let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        durable::rewrite(&real, after.as_bytes(), 0o644).map_err(failed)?;
    }
    let tag = etag(&after);
    let mut response = json(&Stored { toml: after, changed });
    if !dry_run {
        set(&mut response, ETAG, &tag);
    }
    Ok(response)
}

/// Where depends.toml is, and its text where it is there.
pub(in crate::console) fn file(state: &State) -> Result<(PathBuf, Option<String>), Failure> {
    let path = state.options.settings.folder().join(DEPENDS);
    match fs::symlink_metadata(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok((path, None)),
        _ => {
            let text = read_text(&path)?;
            Ok((path, Some(text)))
        }
    }
}

/// The text as this client may see it: readers see no credentials.
pub(in crate::console) fn as_shown(state: &State, asked: &Asked, text: String) -> String {
    if asked.is_admin(state) { text } else { without_credentials(&text) }
}

/// What names this state of the file.
pub(in crate::console) fn etag(text: &str) -> String {
    format!("\"{}\"", Sha256::of(text.as_bytes()))
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Failure {
        match error {
            EditError::Depends(error) => Failure::from(error),
            error => Failure::new(Class::Input, error)
                .hint("/api/openapi.json describes the shape; `?dry_run=true` tries without storing"),
        }
    }
}
