//! Configuration: every setting of frostmirror.toml, what it is, what says so, and whether it can be changed here. The
//! module beside puts controls in place of the values.

use std::sync::Arc;

use askama::Template;
use serde_json::{Value, json};

use super::live_mode::Standing;
use super::{Frame, page};
use crate::console::answer::Outcome;
use crate::console::api::config::{as_shown, etag};
use crate::console::asked::Asked;
use crate::console::state::State;
use crate::event;
use crate::mirror::live;
use crate::server_config::{Key, Live, SERVER};

#[derive(Template)]
#[template(path = "config.html")]
struct Config {
    frame: Frame,
    why_not: Option<&'static str>,
    path: String,
    sets: Vec<Set>,
    /// Whether live mode is on, and how it fares.
    live: Standing,
    /// Names the state of the settings that is shown.
    etag: String,
}

/// Settings that belong together.
struct Set {
    id: &'static str,
    name: &'static str,
    about: &'static str,
    rows: Vec<Row>,
}

struct Row {
    key: &'static str,
    label: &'static str,
    about: String,
    value: String,
    default: String,
    /// What says the value, where that is not the default.
    said_by: Option<String>,
    needs_restart: bool,
    operator_only: bool,
    /// What the control begins with.
    json: String,
}

/// What a setting is edited with.
enum Control {
    Switch,
    Text,
    /// A number of bytes.
    Size,
    /// One word in each line.
    List,
    Select(&'static [&'static str]),
}

/// A setting, its control, and its name for people. [`Key::about`] describes it.
type Labelled = (Key, Control, &'static str);

const SETS: &[(&str, &str, &str, &[Labelled])] = &[
    (
        "server",
        "Server",
        "",
        &[
            (Key::BaseUrl, Control::Text, "Address for clients"),
            (Key::TrustedProxies, Control::List, "Trusted proxies"),
            (Key::Bind, Control::Text, "Listens on"),
        ],
    ),
    (
        "importing",
        "Importing",
        "",
        &[
            (Key::WatchIncoming, Control::Switch, "Watch the incoming folder"),
            (Key::VerifyChecksums, Control::Switch, "Hash files that are held already"),
            (Key::KeepFailedPackages, Control::Switch, "Keep refused bundles"),
            (Key::PruneOnImport, Control::Switch, "Clean up after each import"),
        ],
    ),
    (
        "toolchains",
        "Toolchains offered",
        "What the setup page names, and what fetch brings where toolchains are asked for and nothing else names them.",
        &[(Key::Targets, Control::List, "Targets"), (Key::Toolchain, Control::List, "Toolchains")],
    ),
    (
        "access",
        "Access",
        "",
        &[
            (Key::AdminTokenFile, Control::Text, "File of the admin token"),
            (Key::ReadTokenFile, Control::Text, "File of the readers' tokens"),
            (Key::AuthRequired, Control::Switch, "Reading needs a token"),
        ],
    ),
    (
        "tls",
        "TLS",
        "Both or neither. The files may be replaced while the server runs.",
        &[(Key::TlsCert, Control::Text, "Certificate"), (Key::TlsKey, Control::Text, "Private key")],
    ),
    ("logs", "Logs", "", &[(Key::LogFormat, Control::Select(&["text", "json"]), "Format")]),
    (
        "live",
        "Live mirror",
        "What the server does not hold it can fetch from upstream, check, pass on and keep, where it has a network. Off, it never asks anybody.",
        &[
            (Key::ProxyMode, Control::Switch, "Live mode"),
            (Key::Offline, Control::Switch, "Offline"),
            (Key::ProxyIndexUrl, Control::Text, "Index"),
            (Key::ProxyDlUrl, Control::Text, "Downloads"),
            (Key::ProxyDistUrl, Control::Text, "Toolchains"),
            (Key::ProxyTtl, Control::Text, "Fresh for"),
            (Key::ProxyCacheMax, Control::Size, "Keeps at most"),
            (Key::MinAge, Control::Text, "Youngest version"),
            (Key::Allow, Control::List, "Only these crates"),
            (Key::Deny, Control::List, "Not these crates"),
        ],
    ),
];

pub(super) fn show(state: &Arc<State>, asked: &Asked) -> Outcome {
    page("/config", state, asked, |frame| {
        let settings = &state.options.settings;
        let told = as_shown(state, asked);
        // A mirror that cannot be read is no reason to keep the settings from whoever came to mend it.
        let brought = live::figures(&state.options.mirror).unwrap_or_default();
        let live = Standing::of(&state.options.proxy.figures(), brought);
        let set = |(id, name, about, keys): &(&'static str, &'static str, &'static str, &'static [Labelled])| Set {
            id,
            name,
            about,
            rows: keys.iter().map(|labelled| row(labelled, &told, settings)).collect(),
        };
        Ok(Config {
            why_not: frame.why_not(),
            frame,
            path: match asked.is_admin(state) {
                true => settings.folder().join(SERVER).display().to_string(),
                false => SERVER.to_owned(),
            },
            sets: SETS.iter().map(set).collect(),
            etag: etag(&told),
            live,
        })
    })
}

fn row((key, control, label): &Labelled, told: &Value, settings: &Live) -> Row {
    let without = key.without();
    let own = &told[key.name()];
    let fixed_by = own["fixed_by"].as_str();
    let (kind, options): (&str, &[&str]) = match control {
        Control::Switch => ("switch", &[]),
        Control::Text => ("text", &[]),
        Control::Size => ("size", &[]),
        Control::List => ("list", &[]),
        Control::Select(options) => ("select", options),
    };
    let words = |value| words(control, value, without);
    Row {
        key: key.name(),
        label,
        about: match control {
            Control::List => format!("{} One value a line.", key.about()),
            _ => key.about().to_owned(),
        },
        value: words(&own["value"]),
        default: words(&own["default"]),
        said_by: match own["source"].as_str() {
            Some("file") => Some("frostmirror.toml".to_owned()),
            _ => fixed_by.map(str::to_owned),
        },
        needs_restart: key.needs_restart(),
        operator_only: key.is_operator_only(),
        json: json!({
            "kind": kind, "options": options, "without": without, "may": settings.may_write(*key),
            "value": own["value"], "default": own["default"], "source": own["source"], "fixed_by": fixed_by,
        })
        .to_string(),
    }
}

/// A value for people.
fn words(control: &Control, value: &Value, without: &str) -> String {
    match (control, value) {
        (_, Value::Null) => without.to_owned(),
        (_, Value::Array(list)) if list.is_empty() => without.to_owned(),
        (Control::Switch, Value::Bool(on)) => if *on { "on" } else { "off" }.to_owned(),
        (Control::Size, Value::Number(bytes)) => match bytes.as_u64() {
            Some(0) => "no cap".to_owned(),
            Some(bytes) => event::size(bytes),
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
    fn every_key_has_its_place() {
        let mut shown: Vec<Key> = SETS.iter().flat_map(|(.., keys)| keys.iter().map(|(key, ..)| *key)).collect();
        shown.sort();
        assert_eq!(shown, Key::ALL);
    }

    #[test]
    fn values_are_written_for_people() {
        assert_eq!(words(&Control::Switch, &json!(true), ""), "on");
        assert_eq!(words(&Control::Size, &json!(0), ""), "no cap");
        assert_eq!(words(&Control::Size, &json!(10u64 << 30), ""), "10.00 GiB");
        assert_eq!(words(&Control::List, &json!([]), "none"), "none");
        assert_eq!(words(&Control::List, &json!(["a", "b@1"]), "none"), "a\nb@1");
        assert_eq!(words(&Control::Text, &json!(null), "all"), "all");
    }
}
