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
    about: &'static str,
    value: String,
    default: String,
    /// What says the value, where that is not the default.
    said_by: Option<String>,
    needs_restart: bool,
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

/// A setting in words: its name for people, what it does, and what it means that there is none.
type About = (Key, Control, &'static str, &'static str, &'static str);

const SETS: &[(&str, &str, &str, &[About])] = &[
    (
        "server",
        "Server",
        "",
        &[
            (
                Key::BaseUrl,
                Control::Text,
                "Address for clients",
                "What clients are told; behind a proxy, the address that it is known by. Once it is set, only the admin token lets anybody write.",
                "the one that each client asks",
            ),
            (
                Key::TrustedProxies,
                Control::List,
                "Trusted proxies",
                "Addresses and networks of reverse proxies, one in each line. Their X-Forwarded-Proto, X-Forwarded-Host and Forwarded headers say which address clients use. Without an admin token nobody may write through them.",
                "those of this machine",
            ),
            (Key::Bind, Control::Text, "Listens on", "HOST:PORT; port 0 is any free one.", ""),
        ],
    ),
    (
        "importing",
        "Importing",
        "",
        &[
            (
                Key::WatchIncoming,
                Control::Switch,
                "Watch the incoming folder",
                "Bundles that arrive there are imported by themselves.",
                "",
            ),
            (
                Key::VerifyChecksums,
                Control::Switch,
                "Hash files that are held already",
                "Off: an import trusts the size of files that the mirror holds. A bundle is checked in any case.",
                "",
            ),
            (
                Key::KeepFailedPackages,
                Control::Switch,
                "Keep refused bundles",
                "Off: a bundle that is refused is deleted; why it was is kept in any case.",
                "",
            ),
            (
                Key::PruneOnImport,
                Control::Switch,
                "Clean up after each import",
                "Removes what no history needs any more, with the usual grace.",
                "",
            ),
        ],
    ),
    (
        "toolchains",
        "Toolchains offered",
        "What the setup page names, and what fetch brings where toolchains are asked for and nothing else names them.",
        &[
            (Key::Targets, Control::List, "Targets", "Target triples, one in each line.", ""),
            (
                Key::Toolchain,
                Control::List,
                "Toolchains",
                "stable, beta, nightly, 1.86.0, nightly-2026-04-25; one in each line. The setup page names the first.",
                "",
            ),
        ],
    ),
    (
        "access",
        "Access",
        "",
        &[
            (
                Key::AdminTokenFile,
                Control::Text,
                "File of the admin token",
                "Once it is set, nothing is changed without that token, not from this machine either: this page asks for it then.",
                "none: only this machine may write",
            ),
            (
                Key::ReadTokenFile,
                Control::Text,
                "File of the readers' tokens",
                "One in each line. They count where reading needs a token.",
                "none",
            ),
            (
                Key::AuthRequired,
                Control::Switch,
                "Reading needs a token",
                "Crates, the index and these pages; toolchains stay open, for rustup sends no token.",
                "",
            ),
        ],
    ),
    (
        "tls",
        "TLS",
        "Both or neither. The files may be replaced while the server runs.",
        &[
            (Key::TlsCert, Control::Text, "Certificate", "The file of the chain, as PEM.", "none: plain HTTP"),
            (Key::TlsKey, Control::Text, "Private key", "Its file, as PEM.", "none: plain HTTP"),
        ],
    ),
    (
        "logs",
        "Logs",
        "",
        &[(
            Key::LogFormat,
            Control::Select(&["text", "json"]),
            "Format",
            "For people, or one JSON object in each line.",
            "",
        )],
    ),
    (
        "live",
        "Live mirror",
        "What the server does not hold it can fetch from upstream, check, pass on and keep, where it has a network. Off, it never asks anybody.",
        &[
            (Key::ProxyMode, Control::Switch, "Live mode", "Off: only stored files are served.", ""),
            (
                Key::Offline,
                Control::Switch,
                "Offline",
                "On: the server never uses the network for itself, and live mode cannot be switched on.",
                "",
            ),
            (
                Key::ProxyIndexUrl,
                Control::Text,
                "Index",
                "The upstream's sparse index. Where nothing is said here, the environment and cargo's configuration may name another, as for fetch. A password in it is shown as ***, and stays when it comes back so.",
                "",
            ),
            (
                Key::ProxyDlUrl,
                Control::Text,
                "Downloads",
                "With cargo's markers, such as {crate} and {version}.",
                "what the index says",
            ),
            (Key::ProxyDistUrl, Control::Text, "Toolchains", "Where rustup's files come from.", ""),
            (
                Key::ProxyTtl,
                Control::Text,
                "Fresh for",
                "How long index files and channels are taken for fresh: 90s, 10m, 2h, 7d, or 0.",
                "",
            ),
            (
                Key::ProxyCacheMax,
                Control::Size,
                "Keeps at most",
                "What was not asked for the longest goes then; never what a bundle brought. Bytes, or 500MB, 10GiB; 0 for no cap.",
                "",
            ),
            (
                Key::MinAge,
                Control::Text,
                "Youngest version",
                "How old a version must be to be offered, unless it is held: 14d, or 0.",
                "",
            ),
            (
                Key::Allow,
                Control::List,
                "Only these crates",
                "name or name@requirement, one in each line.",
                "all crates",
            ),
            (Key::Deny, Control::List, "Not these crates", "name or name@requirement, one in each line.", "none"),
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
        let set = |(id, name, about, keys): &(&'static str, &'static str, &'static str, &'static [About])| Set {
            id,
            name,
            about,
            rows: keys.iter().map(|about| row(about, &told, settings)).collect(),
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

fn row((key, control, label, about, without): &About, told: &Value, settings: &Live) -> Row {
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
        about,
        value: words(&own["value"]),
        default: words(&own["default"]),
        said_by: match own["source"].as_str() {
            Some("file") => Some("frostmirror.toml".to_owned()),
            _ => fixed_by.map(str::to_owned),
        },
        needs_restart: key.needs_restart(),
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
