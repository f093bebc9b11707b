//! The Configuration page: every setting of frostmirror.toml with its description, its value, the value's source, and
//! whether it can be changed here. The page's module replaces the values with controls.

use std::sync::Arc;

use askama::Template;
use serde_json::{Value, json};

use super::frame::{Frame, render_page};
use super::live_mode::LiveStatus;
use crate::config::{Key, SERVER, SettingsStore};
use crate::event;
use crate::mirror::live::LiveTotals;
use crate::web::api::config::{etag, visible_settings};
use crate::web::request::WebRequest;
use crate::web::response::HandlerResult;
use crate::web::state::WebState;

#[derive(Template)]
#[template(path = "config.html")]
struct ConfigPage {
    frame: Frame,
    write_denied: Option<&'static str>,
    path: String,
    sets: Vec<SettingGroup>,
    /// The state of live mode.
    live: LiveStatus,
    /// The ETag of the displayed settings.
    etag: String,
}

/// A group of settings.
struct SettingGroup {
    id: &'static str,
    name: &'static str,
    about: &'static str,
    rows: Vec<SettingRow>,
}

struct SettingRow {
    key: &'static str,
    label: &'static str,
    about: String,
    value: String,
    default: String,
    /// The source of the value, if it is not the default.
    set_by: Option<String>,
    needs_restart: bool,
    operator_only: bool,
    /// The initial value of the control.
    json: String,
}

/// The control of a setting.
enum Control {
    Switch,
    Text,
    /// A number of bytes.
    Size,
    /// One item per line.
    List,
    Select(&'static [&'static str]),
}

/// A setting, its control, and its label. [`Key::about`] describes it.
type Labelled = (Key, Control, &'static str);

const SETTING_GROUPS: &[(&str, &str, &str, &[Labelled])] = &[
    (
        "server",
        "Server",
        "",
        &[
            (Key::BaseUrl, Control::Text, "Base URL for clients"),
            (Key::TrustedProxies, Control::List, "Trusted proxies"),
            (Key::Bind, Control::Text, "Listening address"),
        ],
    ),
    (
        "importing",
        "Importing",
        "",
        &[
            (Key::WatchIncoming, Control::Switch, "Watch the incoming folder"),
            (Key::VerifyChecksums, Control::Switch, "Hash stored files again"),
            (Key::KeepFailedPackages, Control::Switch, "Keep rejected bundles"),
            (Key::PruneOnImport, Control::Switch, "Clean up after each import"),
        ],
    ),
    (
        "toolchains",
        "Toolchains",
        "The setup page names them, and fetch uses them if toolchains are requested without names.",
        &[(Key::Targets, Control::List, "Targets"), (Key::Toolchain, Control::List, "Toolchains")],
    ),
    (
        "access",
        "Access",
        "",
        &[
            (Key::AdminTokenFile, Control::Text, "Admin token file"),
            (Key::ReadTokenFile, Control::Text, "Read token file"),
            (Key::AuthRequired, Control::Switch, "Reading needs a token"),
        ],
    ),
    (
        "tls",
        "TLS",
        "Set both or neither. The server reloads the files when they change.",
        &[(Key::TlsCert, Control::Text, "Certificate"), (Key::TlsKey, Control::Text, "Private key")],
    ),
    ("logs", "Logs", "", &[(Key::LogFormat, Control::Select(&["text", "json"]), "Format")]),
    (
        "live",
        "Live mirror",
        "The server can fetch missing files from upstream, check, serve and store them. This needs a network. If live mode is off, the server sends no request to upstream.",
        &[
            (Key::ProxyMode, Control::Switch, "Live mode"),
            (Key::Offline, Control::Switch, "Offline"),
            (Key::ProxyIndexUrl, Control::Text, "Index"),
            (Key::ProxyDlUrl, Control::Text, "Downloads"),
            (Key::ProxyDistUrl, Control::Text, "Toolchains"),
            (Key::ProxyTtl, Control::Text, "Fresh for"),
            (Key::ProxyCacheMax, Control::Size, "Limit for fetched files"),
            (Key::MinAge, Control::Text, "Minimum age of versions"),
            (Key::Allow, Control::List, "Only these crates"),
            (Key::Deny, Control::List, "Not these crates"),
        ],
    ),
];

pub(super) fn show(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    render_page("/config", state, request, |frame| {
        let settings = &state.context.settings;
        let settings_json = visible_settings(state, request);
        // An unreadable mirror must not hide the settings.
        let live_totals = LiveTotals::read(&state.context.mirror).ok();
        let live = LiveStatus::new(&state.options.live.metrics_snapshot(), live_totals);
        let set =
            |(id, name, about, keys): &(&'static str, &'static str, &'static str, &'static [Labelled])| SettingGroup {
                id,
                name,
                about,
                rows: keys.iter().map(|labelled| setting_row(labelled, &settings_json, settings)).collect(),
            };
        Ok(ConfigPage {
            write_denied: frame.write_denied(),
            frame,
            path: match request.is_admin(state) {
                true => settings.folder().join(SERVER).display().to_string(),
                false => SERVER.to_owned(),
            },
            sets: SETTING_GROUPS.iter().map(set).collect(),
            etag: etag(&settings_json),
            live,
        })
    })
}

fn setting_row((key, control, label): &Labelled, settings_json: &Value, settings: &SettingsStore) -> SettingRow {
    let without = key.without();
    let setting = &settings_json[key.name()];
    let fixed_by = setting["fixed_by"].as_str();
    let (kind, options): (&str, &[&str]) = match control {
        Control::Switch => ("switch", &[]),
        Control::Text => ("text", &[]),
        Control::Size => ("size", &[]),
        Control::List => ("list", &[]),
        Control::Select(options) => ("select", options),
    };
    let format = |value| format_value(control, value, without);
    SettingRow {
        key: key.name(),
        label,
        about: match control {
            Control::List => format!("{} One value per line.", key.about()),
            _ => key.about().to_owned(),
        },
        value: format(&setting["value"]),
        default: format(&setting["default"]),
        set_by: match setting["source"].as_str() {
            Some("file") => Some("frostmirror.toml".to_owned()),
            _ => fixed_by.map(str::to_owned),
        },
        needs_restart: key.needs_restart(),
        operator_only: key.is_operator_only(),
        json: json!({
            "kind": kind, "options": options, "without": without, "may": settings.is_writable(*key),
            "value": setting["value"], "default": setting["default"], "source": setting["source"], "fixed_by": fixed_by,
        })
        .to_string(),
    }
}

/// Formats a value.
fn format_value(control: &Control, value: &Value, without: &str) -> String {
    match (control, value) {
        (_, Value::Null) => without.to_owned(),
        (_, Value::Array(list)) if list.is_empty() => without.to_owned(),
        (Control::Switch, Value::Bool(on)) => if *on { "on" } else { "off" }.to_owned(),
        (Control::Size, Value::Number(bytes)) => match bytes.as_u64() {
            Some(0) => "no limit".to_owned(),
            Some(bytes) => event::format_size(bytes),
            None => bytes.to_string(),
        },
        (_, Value::String(text)) => text.clone(),
        (_, Value::Array(list)) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        (_, other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_on_the_page() {
        let mut shown: Vec<Key> =
            SETTING_GROUPS.iter().flat_map(|(.., keys)| keys.iter().map(|(key, ..)| *key)).collect();
        shown.sort();
        assert_eq!(shown, Key::ALL);
    }

    #[test]
    fn values_are_readable() {
        assert_eq!(format_value(&Control::Switch, &json!(true), ""), "on");
        assert_eq!(format_value(&Control::Size, &json!(0), ""), "no limit");
        assert_eq!(format_value(&Control::Size, &json!(10u64 << 30), ""), "10.00 GiB");
        assert_eq!(format_value(&Control::List, &json!([]), "none"), "none");
        assert_eq!(format_value(&Control::List, &json!(["a", "b@1"]), "none"), "a\nb@1");
        assert_eq!(format_value(&Control::Text, &json!(null), "all"), "all");
    }
}
