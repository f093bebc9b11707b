//! The two editors in a real browser: what is typed is what stands in the file, and nothing of it is run.

use serde_json::json;

use crate::support::browser::Browser;
use crate::support::crates::Crate;
use crate::support::http_client::get;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::{MirrorTree, RawConnection};
use crate::support::tls::CertificateAuthority;

const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";
/// What would be run if it were taken for HTML.
const HOSTILE: &str = "\"><img src=x onerror='hacked=1'>";
const DEPENDS_FILE: &str = "config/depends.toml";
const SETTINGS_FILE: &str = "config/frostmirror.toml";

fn serve(sandbox: &Sandbox) -> RunningServer {
    MirrorTree::at(sandbox.path("mirror")).add_crate(Crate::new("leaf", "1.0.0"));
    sandbox.serve(["--mirror", "mirror", "--config-dir", "config"])
}

/// The name that a screen reader says of what has the focus.
#[track_caller]
fn focused_name(browser: &Browser) -> String {
    let name =
        browser.js("return document.activeElement.getAttribute('aria-label') ?? document.activeElement.id", &json!([]));
    name.as_str().expect("text").to_owned()
}

/// Whether the browser would ask before it leaves the page.
#[track_caller]
fn warns_before_leaving(browser: &Browser) -> bool {
    let body = "const event = new Event('beforeunload', { cancelable: true }); dispatchEvent(event); return event.defaultPrevented";
    browser.js(body, &json!([])) == json!(true)
}

/// Whether every control that can be seen has a name.
#[track_caller]
fn assert_controls_have_names(browser: &Browser) {
    let roles = ["button", "textbox", "checkbox", "combobox"];
    let tree = browser.accessibility_tree();
    let controls: Vec<_> =
        tree.iter().filter(|node| node["role"]["value"].as_str().is_some_and(|role| roles.contains(&role))).collect();
    assert!(controls.len() > 10, "{controls:?}");
    for control in controls {
        assert!(control["name"]["value"].as_str().is_some_and(|name| !name.is_empty()), "{control}");
    }
}

/// Whether text and borders of the controls stand out from their ground as they should, in this theme.
#[track_caller]
fn assert_contrast(browser: &Browser, scheme: &str) {
    browser.set_color_scheme(scheme);
    let body = r#"
        const channels = (color) => color.match(/[\d.]+/g).map(Number);
        const light = (color) => {
          const [r, g, b] = channels(color).slice(0, 3).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
        const ground = (element) => {
          for (let at = element; at; at = at.parentElement) {
            const color = getComputedStyle(at).backgroundColor;
            if ((channels(color)[3] ?? 1) === 1) return color;
          }
          return 'rgb(255, 255, 255)';
        };
        const wrong = [];
        for (const element of document.querySelectorAll('main *')) {
          if (!element.checkVisibility() || element.closest('.unseen')) continue;
          const style = getComputedStyle(element);
          const control = element.matches('input, textarea, select, button');
          const texts = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
          if (control || texts) {
            const found = ratio(style.color, ground(element));
            if (found < 4.5 && !element.matches('[type=checkbox]')) wrong.push([element.outerHTML.slice(0, 120), 'text', found]);
          }
          if (element.placeholder) {
            const found = ratio(getComputedStyle(element, '::placeholder').color, ground(element));
            if (found < 4.5) wrong.push([element.outerHTML.slice(0, 120), 'placeholder', found]);
          }
          if (control && !element.matches('.strong')) {
            const found = ratio(style.borderTopColor, ground(element.parentElement));
            if (found < 3) wrong.push([element.outerHTML.slice(0, 120), 'border', found]);
          }
        }
        return wrong;"#;
    assert_eq!(browser.js(body, &json!([])), json!([]), "{scheme}");
}

/// Scrolls first, so that the page's bar does not cover the target, and clicks.
#[track_caller]
fn scroll_and_click(browser: &Browser, css: &str) {
    browser.js("document.querySelector(arguments[0])?.scrollIntoView({ block: 'center' })", &json!([css]));
    browser.click(css);
}

#[test]
#[ignore = "needs chromium"]
fn dependencies_are_edited_and_saved() {
    let browser = Browser::start();
    let sandbox = Sandbox::new();
    sandbox.write(
        DEPENDS_FILE,
        "# ours\n[dependencies]\nanyhow = \"1\" # errors\nserde = [\"=1.0.100\", { version = \"1\", features = [\"derive\"] }]\n\
         tokio = { version = \"1\", default-features = false }\n\n[locked]\nsyn = [\"1.0.109\", \"2.0.90\"]\n",
    );
    let serving = serve(&sandbox);
    browser.open(&format!("{}/deps", serving.url()));
    browser.wait_for("#save-status", "No changes");
    assert!(!warns_before_leaving(&browser));
    assert_controls_have_names(&browser);
    for scheme in ["dark", "light"] {
        assert_contrast(&browser, scheme);
    }
    browser.fill("[aria-label='Version of anyhow']", "1.0.80");
    browser.wait_for("#toml", "anyhow = \"1.0.80\" # errors");
    assert!(warns_before_leaving(&browser), "what is not saved would be lost without a word");
    // Enter goes on to a new row, and a second one does not make two.
    browser.press(ENTER);
    assert_eq!(focused_name(&browser), "Crate of row 2");
    browser.press(ENTER);
    browser.press(&format!("itoa{TAB}1{TAB}i128, std"));
    assert_eq!(focused_name(&browser), "Features of itoa");
    browser.wait_for("#toml", "itoa = { version = \"1\", features = [\"i128\", \"std\"] }");
    scroll_and_click(&browser, "[aria-label='Add version of serde']");
    assert_eq!(focused_name(&browser), "Version of serde, version 3");
    browser.press("0.9");
    scroll_and_click(&browser, "[aria-label='Remove syn']");
    assert_eq!(browser.js("return document.activeElement.textContent", &json!([])), json!("Add an exact version"));
    scroll_and_click(&browser, "[aria-label='Remove anyhow']");
    assert_eq!(focused_name(&browser), "Remove itoa");
    scroll_and_click(&browser, "#add-group");
    assert_eq!(focused_name(&browser), "Crate of row 1");
    browser.press(&format!("axum{TAB}0.6"));
    scroll_and_click(&browser, "#platforms");
    browser.fill("#platforms-targets", "wasm32-unknown-unknown\nx86_64-unknown-linux-gnu");
    browser.wait_for("#toml", "x86_64-unknown-linux-gnu");
    scroll_and_click(&browser, "#save");
    browser.wait_for("#save-status", "Saved.");
    assert!(!warns_before_leaving(&browser));
    let wanted = "# ours\n[dependencies]\nserde = [\"=1.0.100\", { version = \"1\", features = [\"derive\"] }, \"0.9\"]\n\
         tokio = { version = \"1\", default-features = false }\nitoa = { version = \"1\", features = [\"i128\", \"std\"] }\n\n\
         [dependencies.2]\naxum = \"0.6\"\n\n[platforms]\ntargets = [\"wasm32-unknown-unknown\", \"x86_64-unknown-linux-gnu\"]\n";
    assert_eq!(sandbox.read(DEPENDS_FILE), wanted);
    assert_eq!(browser.js("return document.querySelector('#toml').textContent", &json!([])), json!(wanted));
    browser.assert_clean(serving.url());
    // What is wrong is said where it is, and is not stored.
    browser.fill("[aria-label='Version of itoa']", "one");
    browser.wait_for(".problem:not([hidden])", "`dependencies.itoa` has the version requirement `one`");
    assert_eq!(
        browser.js("return document.querySelector('[aria-invalid=true]').ariaLabel", &json!([])),
        json!("Version of itoa")
    );
    scroll_and_click(&browser, "#save");
    browser.wait_for("#save-status", "One entry is invalid");
    assert_eq!((focused_name(&browser), sandbox.read(DEPENDS_FILE)), ("Version of itoa".to_owned(), wanted.to_owned()));
    browser.fill("[aria-label='Version of itoa']", "1");
    browser.wait_for("#save-status", "No changes");
    // JSON cannot represent a name that is listed twice.
    browser.fill("[aria-label='Crate of axum']", "tower");
    browser.fill("[aria-label='Crate of tokio']", "serde");
    browser.wait_for(".problem:not([hidden])", "serde is listed twice");
    scroll_and_click(&browser, "#discard");
    browser.wait_for("#save-status", "No changes");
    assert!(browser.text("#toml").contains("axum"));
}

#[test]
#[ignore = "needs chromium"]
fn concurrent_edits_of_depends_toml_lose_nothing() {
    let browser = Browser::start();
    let sandbox = Sandbox::new();
    sandbox.write(DEPENDS_FILE, "[dependencies]\nanyhow = \"1\"\nserde = \"1\"\n");
    let serving = serve(&sandbox);
    browser.open(&format!("{}/deps", serving.url()));
    browser.wait_for("#preview-about", "The stored file");
    sandbox.write(DEPENDS_FILE, "# theirs\n[dependencies]\nanyhow = \"1.0.2\"\nserde = \"1\"\nsyn = \"2\"\n");
    browser.fill("[aria-label='Version of serde']", "1.0.200");
    browser.fill("[aria-label='Version of anyhow']", "1.0.1");
    browser.wait_for("#moved", "Another client changed the file");
    scroll_and_click(&browser, "#load-keep");
    browser.wait_for("#moved", "Both of you changed dependencies.anyhow");
    browser.wait_for("#toml", "syn = \"2\"");
    scroll_and_click(&browser, "#save");
    browser.wait_for("#save-status", "Saved.");
    assert_eq!(
        sandbox.read(DEPENDS_FILE),
        "# theirs\n[dependencies]\nanyhow = \"1.0.1\"\nserde = \"1.0.200\"\nsyn = \"2\"\n"
    );
}

#[test]
#[ignore = "needs chromium"]
fn unknown_entries_are_shown_as_text_and_preserved() {
    let browser = Browser::start();
    let sandbox = Sandbox::new();
    let quoted = json!(HOSTILE);
    sandbox.write(
        DEPENDS_FILE,
        format!(
            "# {HOSTILE}\n[dependencies]\nleaf = {{ version = {quoted}, features = [{quoted}], feature = [{quoted}] }}\n\
             other = 3\n[nothing]\nx = {quoted}\n"
        ),
    );
    let tokens = "0123456789abcdef-reader\n";
    sandbox.write(format!("config/{HOSTILE}"), tokens);
    sandbox.write(SETTINGS_FILE, format!("read_token_file = {quoted}\n"));
    let serving = serve(&sandbox);
    browser.open(&format!("{}/deps", serving.url()));
    browser.wait_for("#editor", "is not a table of depends.toml");
    browser.wait_for("#editor", "is not a valid entry");
    assert!(browser.text("#toml").contains("# \"><img src=x"));
    let before = sandbox.read(DEPENDS_FILE);
    browser.wait_until("document.querySelector('#problems').checkVisibility()");
    scroll_and_click(&browser, "#save");
    assert_eq!(sandbox.read(DEPENDS_FILE), before);
    assert_eq!(
        browser.js("return [typeof hacked, document.querySelectorAll('main img').length]", &json!([])),
        json!(["undefined", 0])
    );
    // Taken out, each of them, it can be saved.
    scroll_and_click(&browser, "#editor .odd button");
    scroll_and_click(&browser, "#editor .odd button");
    scroll_and_click(&browser, "[aria-label='Remove other']");
    browser.fill("[aria-label='Version of leaf']", "1");
    browser.fill("[aria-label='Features of leaf']", "std");
    browser.wait_for("#save-status", "Not saved yet");
    browser.wait_for("#toml", "features = [\"std\"]");
    scroll_and_click(&browser, "#save");
    browser.wait_for("#save-status", "Saved.");
    assert_eq!(
        sandbox.read(DEPENDS_FILE),
        format!("# {HOSTILE}\n[dependencies]\nleaf = {{ version = \"1\", features = [\"std\"] }}\n")
    );
    browser.open(&format!("{}/config", serving.url()));
    browser.wait_for("#save-status", "No changes");
    let shown = browser.js("return document.querySelector('#set-read_token_file').value", &json!([]));
    assert!(shown.as_str().expect("text").ends_with(HOSTILE), "{shown}");
    assert_eq!(
        browser.js("return [typeof hacked, document.querySelectorAll('main img').length]", &json!([])),
        json!(["undefined", 0])
    );
}

#[test]
#[ignore = "needs chromium"]
fn changed_settings_take_effect() {
    let browser = Browser::start();
    let sandbox = Sandbox::new();
    sandbox.write(SETTINGS_FILE, "# ours\nproxy_ttl = \"1h\"\nproxy_index_url = \"https://me:hunter2@h/\"\n");
    let serving = serve(&sandbox);
    browser.open(&format!("{}/config", serving.url()));
    browser.wait_for("#save-status", "No changes");
    assert_controls_have_names(&browser);
    for scheme in ["dark", "light"] {
        assert_contrast(&browser, scheme);
    }
    assert_eq!(browser.js("return document.querySelector('#set-bind').disabled", &json!([])), json!(true));
    assert!(browser.text("#row-bind").contains("Fixed by --bind"));
    assert!(browser.text("#live-state").contains("switched off"));
    scroll_and_click(&browser, "#set-prune_on_import");
    scroll_and_click(&browser, "#set-proxy_mode");
    browser.fill("#set-deny", "openssl\nleft-pad@<1.0.0");
    browser.fill("#set-proxy_cache_max", "10GiB");
    scroll_and_click(&browser, "#row-proxy_ttl button");
    assert_eq!(focused_name(&browser), "set-proxy_ttl");
    assert!(browser.text("#row-proxy_ttl").contains("Saving restores the default"));
    assert!(browser.text("#save-status").contains("5 changes") && warns_before_leaving(&browser));
    scroll_and_click(&browser, "#save");
    browser.wait_for("#save-status", "Saved and in effect.");
    assert!(!warns_before_leaving(&browser));
    assert_eq!(
        sandbox.read(SETTINGS_FILE),
        "# ours\nproxy_index_url = \"https://me:hunter2@h/\"\ndeny = [\"openssl\", \"left-pad@<1.0.0\"]\nproxy_cache_max = \"10GiB\"\n\
         proxy_mode = true\nprune_on_import = true\n",
        "only what was changed is written"
    );
    browser.wait_for("#live-state", "Live mode is on");
    assert!(browser.text("#live-state").contains("https://h/") && !browser.text("#live-state").contains("hunter2"));
    assert!(browser.text("#row-prune_on_import").contains("Set by frostmirror.toml"));
    let (certificate, key) = CertificateAuthority::new().issue(&["localhost"]);
    sandbox.write("config/c.pem", certificate);
    sandbox.write("config/k.pem", key);
    browser.fill("#set-tls_cert", "c.pem");
    browser.fill("#set-tls_key", "k.pem");
    scroll_and_click(&browser, "#save");
    browser.wait_for("#save-status", "Restart the server to apply tls_cert and tls_key.");
    browser.assert_clean(serving.url());
    // What is wrong is said at its setting.
    browser.fill("#set-min_age", "soon");
    scroll_and_click(&browser, "#save");
    browser.wait_for("#wrong-min_age", "`min_age` has the invalid value `soon`");
    assert_eq!(focused_name(&browser), "set-min_age");
    scroll_and_click(&browser, "#discard");
    assert!(browser.text("#wrong-min_age").is_empty() && !warns_before_leaving(&browser));
    // Behind an address that was set, who writes needs a token: the page says so from then on.
    browser.fill("#set-base_url", "http://mirror.example");
    scroll_and_click(&browser, "#save");
    browser.wait_for("#wrong-base_url", "without an admin token, no request could write");
    sandbox.write("config/admin", "0123456789abcdef-token");
    browser.fill("#set-admin_token_file", "admin");
    scroll_and_click(&browser, "#save");
    browser.wait_until("document.body.dataset.admin === 'false'");
    let output = String::from_utf8(get(&format!("{}/index/config.json", serving.url())).body).unwrap();
    assert!(output.contains("\"http://mirror.example/"), "{output}");
    assert!(browser.text("#row-base_url").contains("http://mirror.example"));
}

#[test]
#[ignore = "needs chromium"]
fn concurrent_settings_changes_are_reported() {
    let browser = Browser::start();
    let sandbox = Sandbox::new();
    let serving = serve(&sandbox);
    browser.open(&format!("{}/config", serving.url()));
    browser.wait_for("#save-status", "No changes");
    browser.fill("#set-deny", "mine");
    let other = |text: &str| {
        let head = "POST /api/config HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
        let head = format!("{head}\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        assert_eq!(RawConnection::connect(serving.url()).send(head).read_reply().status, 200);
    };
    other(r#"{"deny": ["theirs"], "proxy_ttl": "2h"}"#);
    scroll_and_click(&browser, "#save");
    browser.wait_for("#save-status", "Not saved: Another client changed proxy_ttl, deny in the meantime.");
    browser.wait_for("#wrong-deny", "Your value is shown");
    assert!(sandbox.read(SETTINGS_FILE).contains("theirs"), "nothing of theirs is lost");
    let shown = browser
        .js("return ['deny', 'proxy_ttl'].map((key) => document.querySelector(`#set-${key}`).value)", &json!([]));
    assert_eq!(shown, json!(["mine", "2h"]));
    assert!(browser.text("#save-status").len() > 10 && warns_before_leaving(&browser), "mine is still to be saved");
    scroll_and_click(&browser, "#save");
    browser.wait_for("#save-status", "Saved and in effect.");
    assert_eq!(sandbox.read(SETTINGS_FILE), "deny = [\"mine\"]\nproxy_ttl = \"2h\"\n");
    // One who changed it and saved knows the newest state.
    scroll_and_click(&browser, "#set-prune_on_import");
    scroll_and_click(&browser, "#save");
    browser.wait_for("#save-status", "Saved and in effect.");
    let output = browser.js("return document.querySelector('#wrong-deny').textContent", &json!([]));
    assert_eq!(output, json!(""));
}

#[test]
#[ignore = "needs chromium"]
fn enabled_and_disabled_controls_have_enough_contrast() {
    let browser = Browser::start();
    for (mirror, flags) in [("mirror", &[][..]), ("none", &["--admin-token", "0123456789abcdef-token"])] {
        let sandbox = Sandbox::new();
        MirrorTree::at(sandbox.path("mirror")).add_crate(Crate::new("leaf", "1.0.0"));
        sandbox.write(DEPENDS_FILE, "[dependencies]\nanyhow = \"1\"\n");
        let serving =
            sandbox.serve(["--mirror", mirror, "--config-dir", "config"].iter().chain(flags).collect::<Vec<_>>());
        for scheme in ["dark", "light"] {
            // Chosen before the page comes, so that what is enabled on the way is seen as it is then.
            browser.set_color_scheme(scheme);
            for path in ["/", "/packages", "/browse", "/setup", "/deps", "/config"] {
                browser.open(&format!("{}{path}", serving.url()));
                assert_contrast(&browser, scheme);
            }
        }
    }
}
