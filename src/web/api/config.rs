//! `/api/config`: reads and changes frostmirror.toml as JSON.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::ETAG;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::edit::Error;
use crate::config::{Key, SERVER, Settings, settings};
use crate::error_report::Failure;
use crate::server::Tls;
use crate::server::auth::AccessControl;
use crate::web::request::WebRequest;
use crate::web::response::{ApiError, HandlerResult, etag_of, json, set_header};
use crate::web::router::Route;
use crate::web::state::WebState;

/// Every key of frostmirror.toml.
#[derive(Serialize, Deserialize, JsonSchema)]
struct ConfigBody(BTreeMap<String, SettingBody>);

/// One key.
#[derive(Serialize, Deserialize, JsonSchema)]
struct SettingBody {
    /// The value in effect, or null. Passwords in URLs are masked.
    value: Value,
    /// The default value.
    default: Value,
    /// The source of the value: `default`, `file`, `environment` or `flag`.
    source: String,
    /// The flag or variable that fixes it until the process ends.
    fixed_by: Option<String>,
    /// Whether a change needs a restart.
    needs_restart: bool,
    /// Whether only the operator can change it (in the file or by a flag), and not this API.
    operator_only: bool,
}

/// The outcome of a write.
#[derive(Serialize, JsonSchema)]
struct ConfigChange {
    /// Keys whose value changed, or will change at the next start.
    changed: Vec<String>,
    /// Keys whose new value needs a restart.
    needs_restart: Vec<String>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/config", "The settings: every key of frostmirror.toml; the ETag identifies their state. Readers see no paths of the host.", read).returns_json::<ConfigBody>(200),
        Route::post(
            "/api/config",
            "Changes keys of frostmirror.toml: `{key: value}`; null removes a key. Comments are kept. A masked password that is sent back unchanged keeps the stored one. The answer is 409 for a key that a flag or the environment fixes, for `offline`, and for live mode if `offline` is true. With If-Match, only if the settings are unchanged.",
            write,
        )
        .takes_json::<BTreeMap<String, Value>>()
        .returns_json::<ConfigChange>(200),
    ]
}

fn read(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let settings_json = visible_settings(state, request);
    let mut response = json(&settings_json);
    set_header(&mut response, ETAG, &etag(&settings_json));
    Ok(response)
}

/// The settings that this client may see: readers see no path of the host.
pub(in crate::web) fn visible_settings(state: &WebState, request: &WebRequest) -> Value {
    let mut settings_json = state.context.settings.to_json();
    if !request.is_admin(state) {
        for key in [Key::AdminTokenFile, Key::ReadTokenFile, Key::TlsCert, Key::TlsKey] {
            if let Some(value) =
                settings_json.pointer_mut(&format!("/{}/value", key.name())).filter(|value| !value.is_null())
            {
                *value = Value::from("***");
            }
        }
    }
    settings_json
}

/// The ETag of the settings as shown; masked values do not affect it.
pub(in crate::web) fn etag(settings_json: &Value) -> String {
    etag_of(&settings_json.to_string())
}

fn write(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let changes: Map<String, Value> = request.json()?;
    let check = |after: &Settings| {
        check_write_access_remains(&state.options.access, after)?;
        // An invalid certificate would keep the server from starting again.
        let names_tls = [Key::TlsCert, Key::TlsKey].iter().any(|key| changes.contains_key(key.name()));
        if let (Some(certificate), Some(key), true) = (&after.tls_cert, &after.tls_key, names_tls) {
            Tls::load(certificate, key).map_err(Failure::from)?;
        }
        Ok::<(), ApiError>(())
    };
    let settings = &state.context.settings;
    let write_guard = settings.lock_for_write();
    request.check_if_match(&etag(&settings.to_json()), "another client changed the settings")?;
    let written = settings.write_with_guard(&write_guard, &changes, check)?;
    let after = etag(&settings.to_json());
    drop(write_guard);
    let names = |keys: Vec<Key>| keys.into_iter().map(|key| key.name().to_owned()).collect();
    let mut response =
        json(&ConfigChange { changed: names(written.changed), needs_restart: names(written.needs_restart) });
    set_header(&mut response, ETAG, &after);
    Ok(response)
}

/// Refuses settings that would lock everybody out of writing, because this API could then not revert them.
fn check_write_access_remains(access: &AccessControl, after: &Settings) -> Result<(), ApiError> {
    let (admin, readers) = (after.admin_token_file.as_deref(), after.read_token_file.as_deref());
    let has_token = access.check_settings(admin, readers, after.auth_required).map_err(Failure::from)?;
    let is_own = |peer: IpAddr| after.is_listed_proxy(peer);
    let behind_proxy = if after.base_url.is_some() {
        Some("base_url")
    } else if is_own(Ipv4Addr::LOCALHOST.into()) || is_own(Ipv6Addr::LOCALHOST.into()) {
        Some("trusted_proxies")
    } else {
        None
    };
    if let Some(key) = behind_proxy.filter(|_| !has_token) {
        let error = format!("with `{key}` and without an admin token, no request could write");
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error).with_hint(
            "set `admin_token_file` too, because the server cannot recognize local clients behind a proxy",
        ));
    }
    Ok(())
}

impl From<Error> for ApiError {
    fn from(error: Error) -> ApiError {
        if let Error::Settings(settings::Error::Invalid { list, .. }) = &error {
            return ApiError::invalid_file(SERVER, list).with_hint(
                "correct frostmirror.toml in the server's configuration folder, and send the request again",
            );
        }
        let conflict = matches!(
            error,
            Error::Overridden { .. }
                | Error::OperatorOnly { .. }
                | Error::ConcurrentChange { .. }
                | Error::Settings(settings::Error::Offline)
        );
        let refusal = ApiError::from(Failure::from(error));
        if conflict { ApiError { status: StatusCode::CONFLICT, ..refusal } } else { refusal }
    }
}
