//! The commands for clients: copied, downloaded, and obeyed by the real cargo.

use std::path::Path;

use serde_json::{Value, json};

use super::TestSite;
use crate::support::browser::Browser;
use crate::support::client::{Client, Project};
use crate::support::sandbox::BINARY;

/// What the button beside a text copies.
fn copied_text(browser: &Browser, id: &str) -> String {
    browser.click(&format!("[data-copy={id}]"));
    browser.wait_for("#copied", "Copied.");
    let text = browser.js("return navigator.clipboard.readText()", &json!([]));
    assert_eq!(text, browser.js("return document.getElementById(arguments[0]).textContent", &json!([id])));
    text.as_str().unwrap().to_owned()
}

fn project(folder: &Path) -> std::path::PathBuf {
    Project::new("app").dep("leaf", "=1.0.0").main("fn main() {}\n").write(folder)
}

#[test]
#[ignore = "needs chromium"]
fn the_copied_configuration_builds_a_project() {
    let browser = Browser::start();
    let site = TestSite::with_bundles(&[]);
    let permissions = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": site.url() });
    browser.cdp("Browser.grantPermissions", &permissions);
    browser.open(&site.page_url("/setup"));
    browser.wait_until("[...document.querySelectorAll('[data-copy]')].every((button) => !button.hidden)");
    browser.wait_for("#loopback-title", "This is a loopback address");

    let config = copied_text(&browser, "cargo-config");
    assert!(config.contains(&format!("sparse+{}/index/", site.url())), "{config}");
    let client = Client::new().config(&config);
    client.cargo(&project(&site.sandbox.path("app")), ["build"]).ok();

    // The same with the tool, pasted into a shell.
    let command = copied_text(&browser, "cargo-tool");
    let folder = Path::new(BINARY).parent().unwrap().display().to_string();
    let script = format!("PATH=\"{folder}:$PATH\"\n{command}");
    site.sandbox.other_program("sh", ["-ec", &script]).run().ok();
    let app = project(&site.sandbox.path("other"));
    site.sandbox.other_program("cargo", ["fetch"]).cwd(&app).run().ok();

    // Every text can be copied, each by a button that says which.
    let ids = "return [...document.querySelectorAll('[data-copy]')].map((button) => button.dataset.copy)";
    let ids = browser.js(ids, &json!([]));
    let ids: Vec<&str> = ids.as_array().unwrap().iter().map(|id| Value::as_str(id).unwrap()).collect();
    assert!(ids.len() > 8, "{ids:?}");
    for id in ids {
        let text = copied_text(&browser, id);
        assert!(!text.trim().is_empty(), "{id}");
    }

    browser.click("a[download='config.toml']");
    assert_eq!(String::from_utf8(browser.downloaded("config.toml")).unwrap(), config);
    let links = "return [...document.querySelectorAll('a[download]')].map((link) => link.href)";
    for link in browser.js(links, &json!([])).as_array().unwrap() {
        let status = "return fetch(arguments[0]).then((answer) => answer.status)";
        assert_eq!(browser.js(status, &json!([link])), json!(200), "{link}");
    }
    // Where there is no clipboard, the text is selected and copied the older way.
    browser.js("Object.defineProperty(navigator, 'clipboard', { value: undefined })", &json!([]));
    browser.click("[data-copy=cargo-config]");
    browser.wait_for("[data-copy=cargo-config]", "Copied");
    browser.assert_clean(site.url());
}
