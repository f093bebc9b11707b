//! Untrusted input stays text: file names, reasons, descriptions, and parts of an address.

use std::fs;
use std::path::Path;

use frostmirror::mirror::import::ImportOptions;
use serde_json::json;

use super::{PAGES, TestSite};
use crate::api::two_bundles;
use crate::bundle_builder::{BundleBuilder, import, import_with, options};
use crate::support::browser::Browser;
use crate::support::crates::Crate;
use crate::support::nginx::Nginx;
use crate::support::sandbox::Sandbox;
use crate::support::server_fixture::MirrorTree;

/// A name that a file may have.
const HOSTILE_NAME: &str = "<img src=x onerror=window.__xss=1>.pkg";
/// The same where nothing is forbidden.
const HOSTILE_TEXT: &str = "\"'><img src=x onerror=\"window.__xss=1\"></script><script>window.__xss=1</script>{{7*7}}";

/// Nothing of it was taken for HTML, and nothing ran.
#[track_caller]
fn assert_nothing_executed(browser: &Browser) {
    let made = "return [window.__xss === undefined, document.querySelectorAll('img, body script, iframe').length]";
    assert_eq!(browser.js(made, &json!([])), json!([true, 0]));
}

/// Whether the visible text of the page has it as it was written.
#[track_caller]
fn has_visible_text(browser: &Browser, css: &str, text: &str) {
    browser.wait_until(&format!(
        "document.querySelector({css:?}).textContent.replaceAll(/\\s+/g, ' ').includes({})",
        json!(text)
    ));
}

/// An import of the bundle as if it were called by the hostile name.
fn import_options_with_hostile_name(bundle: &Path) -> ImportOptions {
    ImportOptions { file_name: HOSTILE_NAME.to_owned(), ..options(bundle) }
}

#[test]
#[ignore = "needs chromium"]
fn hostile_text_is_never_executed() {
    let browser = Browser::start();
    let sandbox = Sandbox::new();
    let [first, _] = two_bundles(&sandbox);
    let mirror = sandbox.path("mirror");
    import_with(&mirror, &first, &import_options_with_hostile_name(&first)).unwrap();
    let described = Crate::new("described", "1.0.0-a.b+c-d").description(HOSTILE_TEXT).license(HOSTILE_TEXT);
    import(&mirror, &BundleBuilder::new("two", 1).ship(described).write(&sandbox.path("made"), "two.pkg")).unwrap();
    // A refused bundle by its name, as it was copied into the folder.
    sandbox.write(format!("incoming/{HOSTILE_NAME}"), "no bundle");
    // The alarm over another one stays when a good bundle comes under the first name.
    sandbox.write(format!("incoming/other {HOSTILE_NAME}"), "no bundle");
    let site = TestSite::start(sandbox, &["--watch-incoming"]);
    browser.open(&site.page_url("/packages"));
    browser.wait_for("#pending-bundles", "rejected");
    has_visible_text(&browser, "#pending-bundles", HOSTILE_NAME);
    has_visible_text(&browser, "#imports", HOSTILE_NAME);
    assert_nothing_executed(&browser);
    // And by one that is uploaded: whatever is answered has its name in it.
    let upload = site.sandbox.write(format!("made/{HOSTILE_NAME}"), fs::read(&first).unwrap());
    browser.wait_until("!document.querySelector('#choose-button').disabled");
    browser.choose_file("#choose", &upload);
    has_visible_text(&browser, "#uploads", HOSTILE_NAME);
    browser.wait_until("!document.querySelector('#uploads progress')");
    assert_nothing_executed(&browser);
    browser.open(&site.page_url("/browse?crate=described"));
    has_visible_text(&browser, "tbody", "1.0.0-a.b+c-d");
    assert_nothing_executed(&browser);
    browser.open(&site.page_url("/browse?crate=leaf"));
    has_visible_text(&browser, "tbody", HOSTILE_NAME);
    assert_nothing_executed(&browser);
    browser.open(&site.page_url("/"));
    browser.wait_for("#alarm", "rejected");
    assert_nothing_executed(&browser);
    browser.assert_clean_except(site.url(), &[400, 409]);

    let query: String = HOSTILE_TEXT.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for page in PAGES {
        for path in [format!("{}?q={query}", page.path), format!("{}?{query}={query}#{query}", page.path)] {
            browser.open(&site.page_url(&path));
            browser.wait_for("h1", page.title);
            assert_nothing_executed(&browser);
        }
    }
    browser.open(&site.page_url(&format!("/browse?q={query}")));
    assert_eq!(browser.js("return document.querySelector('#q').value", &json!([])), json!(HOSTILE_TEXT));
    browser.assert_clean(site.url());
    for path in [format!("/browse?crate={query}"), format!("/browse?page={query}"), format!("/{query}")] {
        browser.open(&site.page_url(&path));
        assert_nothing_executed(&browser);
    }
    browser.assert_clean_except(site.url(), &[404]);
}

#[test]
#[ignore = "needs chromium"]
fn hostile_failure_reasons_are_shown_as_text() {
    let browser = Browser::start();
    let sandbox = Sandbox::new();
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    mirror.add_crate(Crate::new("leaf", "1.0.0"));
    sandbox.write(format!("incoming/failed/{HOSTILE_NAME}"), "no bundle");
    sandbox.write(format!("incoming/failed/{HOSTILE_NAME}.reason.txt"), HOSTILE_TEXT);
    let site = TestSite::start(sandbox, &[]);
    for path in ["/packages", "/"] {
        browser.open(&site.page_url(path));
        browser.wait_for("h1", if path == "/" { "Dashboard" } else { "Packages" });
        assert_nothing_executed(&browser);
        // The same when the page is made new by a module.
        browser.js("document.dispatchEvent(new Event('visibilitychange'))", &json!([]));
        browser.assert_clean(site.url());
    }
    browser.open(&site.page_url("/packages"));
    has_visible_text(&browser, "#pending-bundles .reason", HOSTILE_TEXT);
    has_visible_text(&browser, "#pending-bundles .name", HOSTILE_NAME);
    // Newly come rows are put in by the module.
    site.sandbox.write("incoming/failed/x.pkg", "no bundle");
    site.sandbox.write("incoming/failed/x.pkg.reason.txt", format!("new {HOSTILE_TEXT}"));
    browser.js("document.dispatchEvent(new Event('visibilitychange'))", &json!([]));
    has_visible_text(&browser, "#pending-bundles", &format!("new {HOSTILE_TEXT}"));
    assert_nothing_executed(&browser);
    browser.assert_clean(site.url());
}

#[test]
#[ignore = "needs chromium and nginx"]
fn a_hostile_host_header_is_shown_as_text() {
    let browser = Browser::start();
    let site = TestSite::with_bundles(&[]);
    for (host, shown) in
        [("a.example<img src=x onerror=window.__xss=1>", false), ("a'b.example", false), ("a.example:81", true)]
    {
        let lines = format!("location / {{ proxy_pass {}; proxy_set_header Host \"{host}\"; }}", site.url());
        let nginx = Nginx::start(&lines);
        for page in PAGES {
            browser.open(&format!("{}{}", nginx.url(), page.path));
            assert_nothing_executed(&browser);
            assert_eq!(browser.text("body").contains("a.example"), shown, "{host} {}", page.path);
        }
        browser.assert_clean_except(nginx.url(), &[400]);
    }
}
