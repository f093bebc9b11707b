//! `/api/config`: frostmirror.toml as JSON, and changes of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::console::answer::{Outcome, Refusal, json};
use crate::console::asked::Asked;
use crate::console::route::Route;
use crate::console::state::State;
use crate::failure::Failure;
use crate::server_config::Key;
use crate::server_config::edit::Error;

/// Every key of frostmirror.toml.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Config(BTreeMap<String, Setting>);

/// One key.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Setting {
    /// The value in effect; null where there is none. Passwords in addresses are masked.
    value: Value,
    /// The value where nothing says another.
    default: Value,
    /// What says it: `default`, `file`, `environment` or `flag`.
    source: String,
    /// The flag or the variable that fixes it until the end of the process.
    fixed_by: Option<String>,
    /// Whether a change waits for the next start.
    needs_restart: bool,
}

/// What a write did.
#[derive(Serialize, JsonSchema)]
struct Written {
    /// Keys that have another value now, or will have it at the next start.
    changed: Vec<String>,
    /// Keys whose value waits for the next start.
    needs_restart: Vec<String>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/config", "The settings: every key of frostmirror.toml.", read).gives::<Config>(200),
        Route::post(
            "/api/config",
            "Changes keys of frostmirror.toml: `{key: value}`, with null to take a key out. Comments are kept. A masked \
             password that comes back as it was shown keeps the stored one. 409 for a key that a flag or the environment fixes.",
            write,
        )
        .takes::<BTreeMap<String, Value>>()
        .gives::<Written>(200),
    ]
}

fn read(state: &Arc<State>, _: &Asked) -> Outcome {
    Ok(json(&state.options.settings.to_json()))
}

fn write(state: &Arc<State>, asked: &Asked) -> Outcome {
    let changes: Map<String, Value> = asked.json()?;
    let settings = &state.options.settings;
    let now = settings.current();
    let path = |key: Key, now: &Option<PathBuf>| match changes.get(key.name()) {
        None => now.clone(),
        Some(value) => value.as_str().map(|path| settings.folder().join(path)),
    };
    let admin = path(Key::AdminTokenFile, &now.admin_token_file);
    let readers = path(Key::ReadTokenFile, &now.read_token_file);
    let closed = changes.get(Key::AuthRequired.name()).map_or(now.auth_required, |value| value == true);
    // With a file that is no good nobody could write any more, and so nobody could mend that.
    state.options.access.would_do(admin.as_deref(), readers.as_deref(), closed).map_err(Failure::from)?;
    let written = settings.write(&changes).map_err(refused)?;
    let names = |keys: Vec<Key>| keys.into_iter().map(|key| key.name().to_owned()).collect();
    Ok(json(&Written { changed: names(written.changed), needs_restart: names(written.needs_restart) }))
}

fn refused(error: Error) -> Refusal {
    let conflict = matches!(error, Error::Fixed { .. } | Error::Changed { .. });
    let refusal = Refusal::from(Failure::from(error));
    if conflict { Refusal { status: StatusCode::CONFLICT, ..refusal } } else { refusal }
}
