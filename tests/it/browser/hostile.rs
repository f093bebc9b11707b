//! What strangers wrote stays text: names of files, reasons, descriptions, and what stands in an address.

use std::fs;
use std::path::Path;

use frostmirror::mirror::import::ImportOptions;
use serde_json::json;

use super::{PAGES, Site};
use crate::console::two_bundles;
use crate::import_bundle::{Make, import, import_with, options};
use crate::support::browser::Browser;
use crate::support::crates::Crate;
use crate::support::nginx::Nginx;
use crate::support::published::Published;
use crate::support::sandbox::Sandbox;

/// A name that a file may have.
const NAME: &str = "<img src=x onerror=window.__xss=1>.pkg";
/// The same where nothing is forbidden.
const TEXT: &str = "\"'><img src=x onerror=\"window.__xss=1\"></script><script>window.__xss=1</script>{{7*7}}";

/// Nothing of it was taken for HTML, and nothing ran.
#[track_caller]
fn is_text(browser: &Browser) {
    let made = "return [window.__xss === undefined, document.querySelectorAll('img, body script, iframe').length]";
    assert_eq!(browser.js(made, &json!([])), json!([true, 0]));
}

/// Whether the visible text of the page has it as it was written.
#[track_caller]
fn says(browser: &Browser, css: &str, text: &str) {
    browser.wait_until(&format!(
        "document.querySelector({css:?}).textContent.replaceAll(/\\s+/g, ' ').includes({})",
        json!(text)
    ));
}

/// An import of the bundle as if it were called by the hostile name.
fn named(bundle: &Path) -> ImportOptions {
    ImportOptions { file_name: NAME.to_owned(), ..options(bundle) }
}

#[test]
#[ignore = "needs chromium"]
fn nothing_of_a_strangers_runs() {
    let browser = Browser::start();
    let sandbox = Sandbox::new();
    let [first, _] = two_bundles(&sandbox);
    let mirror = sandbox.path("mirror");
    import_with(&mirror, &first, &named(&first)).unwrap();
    let described = Crate::new("described", "1.0.0-a.b+c-d").description(TEXT).license(TEXT);
    import(&mirror, &Make::new("two", 1).ship(described).write(&sandbox.path("made"), "two.pkg")).unwrap();
    // A refused bundle by its name, as it was copied into the folder.
    sandbox.write(format!("incoming/{NAME}"), "no bundle");
    // The alarm over another one stays when a good bundle comes under the first name.
    sandbox.write(format!("incoming/other {NAME}"), "no bundle");
    let site = Site::of(sandbox, &["--watch-incoming"]);
    browser.open(&site.at("/packages"));
    browser.wait_for("#arrivals", "refused");
    says(&browser, "#arrivals", NAME);
    says(&browser, "#imports", NAME);
    is_text(&browser);
    // And by one that is uploaded: whatever is answered has its name in it.
    let upload = site.sandbox.write(format!("made/{NAME}"), fs::read(&first).unwrap());
    browser.wait_until("!document.querySelector('#choose-button').disabled");
    browser.choose_file("#choose", &upload);
    says(&browser, "#uploads", NAME);
    browser.wait_until("!document.querySelector('#uploads progress')");
    is_text(&browser);
    browser.open(&site.at("/browse?crate=described"));
    says(&browser, "tbody", "1.0.0-a.b+c-d");
    is_text(&browser);
    browser.open(&site.at("/browse?crate=leaf"));
    says(&browser, "tbody", NAME);
    is_text(&browser);
    browser.open(&site.at("/"));
    browser.wait_for("#alarm", "refused");
    is_text(&browser);
    browser.is_clean_but(site.url(), &[400, 409]);

    let query: String = TEXT.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for page in PAGES {
        for path in [format!("{}?q={query}", page.path), format!("{}?{query}={query}#{query}", page.path)] {
            browser.open(&site.at(&path));
            browser.wait_for("h1", page.title);
            is_text(&browser);
        }
    }
    browser.open(&site.at(&format!("/browse?q={query}")));
    assert_eq!(browser.js("return document.querySelector('#q').value", &json!([])), json!(TEXT));
    browser.is_clean(site.url());
    for path in [format!("/browse?crate={query}"), format!("/browse?page={query}"), format!("/{query}")] {
        browser.open(&site.at(&path));
        is_text(&browser);
    }
    browser.is_clean_but(site.url(), &[404]);
}

#[test]
#[ignore = "needs chromium"]
fn reasons_of_a_stranger_are_text() {
    let browser = Browser::start();
    let sandbox = Sandbox::new();
    let mirror = Published::at(sandbox.path("mirror"));
    mirror.hold(Crate::new("leaf", "1.0.0"));
    sandbox.write(format!("incoming/failed/{NAME}"), "no bundle");
    sandbox.write(format!("incoming/failed/{NAME}.reason.txt"), TEXT);
    let site = Site::of(sandbox, &[]);
    for path in ["/packages", "/"] {
        browser.open(&site.at(path));
        browser.wait_for("h1", if path == "/" { "Dashboard" } else { "Packages" });
        is_text(&browser);
        // The same when the page is made new by a module.
        browser.js("document.dispatchEvent(new Event('visibilitychange'))", &json!([]));
        browser.is_clean(site.url());
    }
    browser.open(&site.at("/packages"));
    says(&browser, "#arrivals .reason", TEXT);
    says(&browser, "#arrivals .name", NAME);
    // Newly come rows are put in by the module.
    site.sandbox.write("incoming/failed/x.pkg", "no bundle");
    site.sandbox.write("incoming/failed/x.pkg.reason.txt", format!("new {TEXT}"));
    browser.js("document.dispatchEvent(new Event('visibilitychange'))", &json!([]));
    says(&browser, "#arrivals", &format!("new {TEXT}"));
    is_text(&browser);
    browser.is_clean(site.url());
}

#[test]
#[ignore = "needs chromium and nginx"]
fn a_host_of_a_strangers_is_text() {
    let browser = Browser::start();
    let site = Site::filled(&[]);
    for (host, shown) in
        [("a.example<img src=x onerror=window.__xss=1>", false), ("a'b.example", false), ("a.example:81", true)]
    {
        let lines = format!("location / {{ proxy_pass {}; proxy_set_header Host \"{host}\"; }}", site.url());
        let nginx = Nginx::start(&lines);
        for page in PAGES {
            browser.open(&format!("{}{}", nginx.url(), page.path));
            is_text(&browser);
            assert_eq!(browser.text("body").contains("a.example"), shown, "{host} {}", page.path);
        }
        browser.is_clean_but(nginx.url(), &[400]);
    }
}
