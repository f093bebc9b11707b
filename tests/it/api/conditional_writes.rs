//! Concurrent changes of the configuration: none is lost silently.

use serde_json::json;

use super::{get_json, json_body, send, start_server};
use crate::support::server_fixture::get;

#[test]
fn if_match_prevents_lost_settings_changes() {
    let (sandbox, _mirror, serving) = start_server(&["--config-dir", "config"]);
    let tag = || get(serving.url(), "/api/config", &[]).header("etag").expect("a tag").to_owned();
    let write = |tag: &str, text: &str| {
        let line = format!("If-Match: {tag}");
        let lines: &[&str] = if tag.is_empty() { &[] } else { &[&line] };
        send(&serving, "POST", "/api/config", lines, text)
    };
    let first = tag();
    assert_eq!(tag(), first, "reading changes nothing");
    let written = write(&first, r#"{"deny": ["one"]}"#);
    assert_eq!((written.status, written.header("etag")), (200, Some(tag().as_str())));
    assert_ne!(tag(), first);
    let late = write(&first, r#"{"deny": ["two"], "bind": 3}"#);
    assert_eq!((late.status, json_body(&late)["hint"].is_string()), (412, true), "{}", late.text());
    assert_eq!(get_json(&serving, "/api/config")["deny"]["value"], json!(["one"]));
    assert_eq!(sandbox.read("config/frostmirror.toml"), "deny = [\"one\"]\n");
    for tag in ["*", ""] {
        assert_eq!(write(tag, r#"{"deny": ["three"]}"#).status, 200, "{tag}");
    }
    // What is refused leaves the state as it is.
    let now = tag();
    assert_eq!(write(&now, r#"{"deny": 3}"#).status, 422);
    assert_eq!(write(&now, r#"{"deny": ["four"]}"#).status, 200);
}
