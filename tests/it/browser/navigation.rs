//! Each page, from one to the next, with nothing in the console and no request to anywhere else.

use serde_json::json;

use super::{PAGES, Page, TestSite, VIEWS};
use crate::bundle_builder::import;
use crate::support::browser::Browser;

/// Follows the navigation by clicks.
fn click_through_pages(browser: &Browser, site: &TestSite) {
    browser.open(&site.page_url("/"));
    for Page { path, title } in PAGES {
        browser.click(&format!("nav[aria-label=Pages] a[href=\".{path}\"]"));
        browser.wait_for("h1", title);
        browser.wait_for("[aria-current=page]", title);
        assert_eq!(browser.url(), site.page_url(path));
        browser.assert_clean(site.url());
    }
}

#[test]
#[ignore = "needs chromium"]
fn every_page_opens_without_console_messages() {
    let browser = Browser::start();
    let site = TestSite::with_bundles(&["--watch-incoming"]);
    click_through_pages(&browser, &site);
    for Page { path, title } in VIEWS {
        browser.open(&site.page_url(path));
        browser.wait_for("h1", title);
        browser.assert_clean(site.url());
    }
    browser.open(&site.page_url("/"));
    browser.wait_for("#facts", "watched");
    browser.wait_for("#space", "Largest crates");
    browser.wait_for("#growth", "Bytes in the mirror after each import");

    browser.assert_clean(site.url());

    let empty = TestSite::empty(&[]);
    click_through_pages(&browser, &empty);
    for (path, part, text) in [
        ("/", "#first", "The mirror is empty"),
        ("/", "#facts", "not watched"),
        ("/packages", "#pending-bundles", "No bundle is waiting or rejected."),
        ("/packages", "#imports", "No bundle has been imported yet."),
        ("/packages", "#exports", "There are no snapshots yet."),
        ("/browse", "main", "The mirror has no crates yet."),
        ("/browse?q=leaf", "main", "No stored crate has such a name."),
        ("/setup", "#cargo", "config.toml"),
    ] {
        browser.open(&empty.page_url(path));
        browser.wait_for(part, text);
        browser.assert_clean(empty.url());
    }
    browser.open(&empty.page_url("/packages"));
    browser.wait_until("!document.querySelector('#choose-button').disabled");
    for button in ["#export", "#check", "#plan"] {
        assert_eq!(browser.js("return document.querySelector(arguments[0]).disabled", &json!([button])), json!(true));
    }
}

#[test]
#[ignore = "needs chromium"]
fn the_dashboard_updates_while_it_is_open() {
    let browser = Browser::start();
    let site = TestSite::with_bundles(&[]);
    browser.resize(800, 500);
    browser.open(&site.page_url("/"));
    browser.wait_for("#facts", "of 3 names");
    browser.wait_for("#growth summary", "Growth as a table");
    browser.click("#growth summary");
    browser.js("document.querySelector('#growth summary').focus(); scrollTo(0, 120)", &json!([]));
    import(&site.sandbox.path("mirror"), &site.write_bundle("fresh.pkg")).unwrap();
    browser.js("document.dispatchEvent(new Event('visibilitychange'))", &json!([]));
    browser.wait_for("#facts", "of 4 names");
    browser.wait_until("document.querySelectorAll('#growth tbody tr').length === 3");
    let kept = "return [document.querySelector('#growth details').open, document.activeElement.nodeName, scrollY]";
    assert_eq!(browser.js(kept, &json!([])), json!([true, "SUMMARY", 120]));
    browser.assert_clean(site.url());

    let url = site.url().to_owned();
    site.server.stop();
    browser.js("document.dispatchEvent(new Event('visibilitychange'))", &json!([]));
    browser.wait_for("#unreachable", "The server cannot be reached.");
    assert!(browser.text("#facts").contains("of 4 names"), "what was shown stays");
    assert_eq!(browser.url(), format!("{url}/"));
}
