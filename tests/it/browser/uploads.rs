//! Bundles that are uploaded from the page, and what becomes of them.

use std::fs;

use super::{Site, name};
use crate::support::browser::Browser;

#[test]
fn an_upload_arrives_and_a_damaged_one_says_why_not() {
    let Some(browser) = Browser::start() else { return };
    let site = Site::filled(&["--watch-incoming"]);
    browser.open(&site.at("/packages"));
    browser.wait_until("!document.querySelector('#choose-button').disabled");
    let fresh = site.bundle("fresh.pkg");
    browser.choose_file("#choose", &fresh);
    browser.wait_for("#uploads", "fresh.pkg");
    browser.wait_for("#uploads", "It is imported.");
    browser.wait_for("#imports tbody tr:first-child", "fresh.pkg");
    browser.wait_for("#arrivals", "Nothing is waiting, and nothing was refused.");
    browser.is_clean(site.url());

    let damaged = site.damaged_bundle("damaged.pkg");
    browser.choose_file("#choose", &damaged);
    browser.wait_for("#uploads li:nth-child(2)", "It was refused:");
    browser.wait_for("#arrivals tbody tr", "damaged.pkg");
    let reason = browser.text("#arrivals .reason");
    assert!(!reason.is_empty());
    assert!(browser.text("#uploads li:nth-child(2)").contains(&reason), "{reason}");
    assert!(fs::read(site.sandbox.path("incoming/failed/damaged.pkg")).unwrap() == fs::read(&damaged).unwrap());
    // What is no bundle by its name is not even sent.
    let other = site.sandbox.write("made/notes.txt", "no bundle");
    browser.choose_file("#choose", &other);
    browser.wait_for("#uploads li:nth-child(3)", "It is no .pkg file.");
    assert!(!site.sandbox.path("incoming").join(name(&other)).exists());
    browser.is_clean(site.url());

    browser.open(&site.at("/"));
    browser.wait_for("#alarm", "1 bundle was refused");
    browser.wait_for("#facts .alarm", "Refused bundles");
    browser.click("#alarm a");
    browser.wait_for("#not-imported", &reason);

    browser.click("nav[aria-label=Pages] a[href='./browse']");
    browser.fill("#q", "fres");
    browser.press("\u{e007}");
    browser.wait_for("#found-title", "1 crate found");
    browser.wait_for("tbody tr", "fresh.pkg");
    browser.click("tbody a[download]");
    let crate_file = browser.downloaded("fresh-0.3.0.crate");
    assert!(crate_file == fs::read(site.sandbox.path("mirror/crates/fresh-0.3.0.crate")).unwrap());
    browser.click("tbody th a");
    browser.wait_for("#crate-title", "fresh");
    browser.wait_for("#use-line", "cargo add fresh");
    browser.is_clean(site.url());
}
