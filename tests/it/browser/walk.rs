//! Each page, from one to the next, with nothing in the console and no request to anywhere else.

use serde_json::json;

use super::{PAGES, Page, Site, VIEWS};
use crate::import_bundle::import;
use crate::support::browser::Browser;

/// Through the navigation, as somebody clicks.
fn walk(browser: &Browser, site: &Site) {
    browser.open(&site.at("/"));
    for Page { path, title } in PAGES {
        browser.click(&format!("nav[aria-label=Pages] a[href=\".{path}\"]"));
        browser.wait_for("h1", title);
        browser.wait_for("[aria-current=page]", title);
        assert_eq!(browser.url(), site.at(path));
        browser.is_clean(site.url());
    }
}

#[test]
#[ignore = "needs chromium"]
fn every_page_opens_and_says_nothing_in_the_console() {
    let browser = Browser::start();
    let site = Site::filled(&["--watch-incoming"]);
    walk(&browser, &site);
    for Page { path, title } in VIEWS {
        browser.open(&site.at(path));
        browser.wait_for("h1", title);
        browser.is_clean(site.url());
    }
    browser.open(&site.at("/"));
    browser.wait_for("#facts", "watched");
    browser.wait_for("#space", "Largest crates");
    browser.wait_for("#growth", "Bytes in the mirror after each import");

    browser.is_clean(site.url());

    let empty = Site::empty(&[]);
    walk(&browser, &empty);
    for (path, part, text) in [
        ("/", "#first", "The mirror is empty"),
        ("/", "#facts", "not watched"),
        ("/packages", "#arrivals", "Nothing is waiting, and nothing was refused."),
        ("/packages", "#imports", "Nothing was imported yet."),
        ("/packages", "#exports", "There is none yet."),
        ("/browse", "main", "The mirror holds no crate yet."),
        ("/browse?q=leaf", "main", "No crate that is held has such a name."),
        ("/setup", "#cargo", "config.toml"),
    ] {
        browser.open(&empty.at(path));
        browser.wait_for(part, text);
        browser.is_clean(empty.url());
    }
    browser.open(&empty.at("/packages"));
    browser.wait_until("!document.querySelector('#choose-button').disabled");
    for button in ["#export", "#check", "#plan"] {
        assert_eq!(browser.js("return document.querySelector(arguments[0]).disabled", &json!([button])), json!(true));
    }
}

#[test]
#[ignore = "needs chromium"]
fn the_dashboard_becomes_new_under_the_readers_eyes() {
    let browser = Browser::start();
    let site = Site::filled(&[]);
    browser.resize(800, 500);
    browser.open(&site.at("/"));
    browser.wait_for("#facts", "of 3 names");
    browser.wait_for("#growth summary", "Growth as a table");
    browser.click("#growth summary");
    browser.js("document.querySelector('#growth summary').focus(); scrollTo(0, 120)", &json!([]));
    import(&site.sandbox.path("mirror"), &site.bundle("fresh.pkg")).unwrap();
    browser.js("document.dispatchEvent(new Event('visibilitychange'))", &json!([]));
    browser.wait_for("#facts", "of 4 names");
    browser.wait_until("document.querySelectorAll('#growth tbody tr').length === 3");
    let kept = "return [document.querySelector('#growth details').open, document.activeElement.nodeName, scrollY]";
    assert_eq!(browser.js(kept, &json!([])), json!([true, "SUMMARY", 120]));
    browser.is_clean(site.url());

    let url = site.url().to_owned();
    site.serving.stop();
    browser.js("document.dispatchEvent(new Event('visibilitychange'))", &json!([]));
    browser.wait_for("#unreachable", "The server cannot be reached.");
    assert!(browser.text("#facts").contains("of 4 names"), "what was shown stays");
    assert_eq!(browser.url(), format!("{url}/"));
}
