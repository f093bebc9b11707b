//! Bundles that are uploaded from the page, and what becomes of them.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{TestSite, file_name};
use crate::support::browser::Browser;
use crate::support::server_fixture::get;
use crate::support::wait;

#[test]
#[ignore = "needs chromium"]
fn an_upload_is_imported_and_a_corrupt_one_shows_the_reason() {
    let browser = Browser::start();
    let site = TestSite::with_bundles(&["--watch-incoming"]);
    browser.open(&site.page_url("/packages"));
    browser.wait_until("!document.querySelector('#choose-button').disabled");
    let fresh = site.write_bundle("fresh.pkg");
    browser.choose_file("#choose", &fresh);
    browser.wait_for("#uploads", "fresh.pkg");
    browser.wait_for("#uploads", "Imported.");
    browser.wait_for("#imports tbody tr:first-child", "fresh.pkg");
    browser.wait_for("#pending-bundles", "No bundle is waiting or rejected.");
    browser.assert_clean(site.url());

    let damaged = site.write_corrupt_bundle("damaged.pkg");
    browser.choose_file("#choose", &damaged);
    browser.wait_for("#uploads li:nth-child(2)", "Rejected:");
    browser.wait_for("#pending-bundles tbody tr", "damaged.pkg");
    let reason = browser.text("#pending-bundles .why");
    assert!(!reason.is_empty());
    assert!(browser.text("#uploads li:nth-child(2)").contains(&reason), "{reason}");
    assert!(fs::read(site.sandbox.path("incoming/failed/damaged.pkg")).unwrap() == fs::read(&damaged).unwrap());
    // A file whose name is not that of a bundle is not sent.
    let other = site.sandbox.write("made/notes.txt", "no bundle");
    browser.choose_file("#choose", &other);
    browser.wait_for("#uploads li:nth-child(3)", "This is not a .pkg file.");
    assert!(!site.sandbox.path("incoming").join(file_name(&other)).exists());
    browser.assert_clean(site.url());

    browser.open(&site.page_url("/"));
    browser.wait_for("#alarm", "1 bundle was rejected");
    browser.wait_for("#facts .alarm", "Rejected bundles");
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
    browser.assert_clean(site.url());
}

/// Drags files from outside over the page, and lets them go where `css` is.
fn drop_files(browser: &Browser, css: &str, files: &[&Path]) {
    let middle = "const box = document.querySelector(arguments[0]).getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]";
    let at = browser.js(middle, &json!([css]));
    let data = json!({ "items": [], "files": files, "dragOperationsMask": 1 });
    for kind in ["dragEnter", "dragOver", "drop"] {
        browser.cdp("Input.dispatchDragEvent", &json!({ "type": kind, "x": at[0], "y": at[1], "data": data }));
    }
}

#[test]
#[ignore = "needs chromium"]
fn files_can_be_dropped_anywhere_on_the_page() {
    let browser = Browser::start();
    let site = TestSite::with_bundles(&["--watch-incoming"]);
    browser.open(&site.page_url("/packages"));
    browser.wait_until("!document.querySelector('#choose-button').disabled");
    let (fresh, damaged) = (site.write_bundle("fresh.pkg"), site.write_corrupt_bundle("damaged.pkg"));
    drop_files(&browser, "#drop", &[&fresh, &damaged]);
    browser.wait_for("#uploads li:nth-child(1)", "Imported.");
    browser.wait_for("#uploads li:nth-child(2)", "Rejected:");
    // Beside the field is as good, and the page does not go away to show the file.
    let other = site.sandbox.write("made/notes.txt", "no bundle");
    drop_files(&browser, "h1", &[&other]);
    browser.wait_for("#uploads li:nth-child(3)", "This is not a .pkg file.");
    assert_eq!(browser.url(), site.page_url("/packages"));
    browser.assert_clean(site.url());

    // Who may not write drops in vain.
    let site = TestSite::with_bundles(&["--admin-token", "0123456789abcdef-admin"]);
    browser.open(&site.page_url("/packages"));
    browser.wait_until("!document.querySelector('#login').hidden");
    drop_files(&browser, "h1", &[&site.write_bundle("fresh.pkg")]);
    assert_eq!(browser.js("return document.querySelector('#uploads')", &json!([])), json!(null));
    assert_eq!((browser.url(), site.sandbox.path("incoming/fresh.pkg").exists()), (site.page_url("/packages"), false));
}

#[test]
#[ignore = "needs chromium"]
fn without_a_watcher_uploads_are_imported_and_rejected_ones_can_be_handled() {
    let browser = Browser::start();
    let site = TestSite::with_bundles(&[]);
    // Copied there by hand.
    fs::create_dir_all(site.sandbox.path("incoming")).unwrap();
    fs::copy(site.write_bundle("fresh.pkg"), site.sandbox.path("incoming/by-hand.pkg")).unwrap();
    browser.open(&site.page_url("/packages"));
    browser.wait_until("!document.querySelector('#choose-button').disabled");
    browser.click("#pending-bundles [data-act=import]");
    browser.wait_for("#job-status", "by-hand.pkg is imported");
    browser.wait_for("#imports tbody tr:first-child", "by-hand.pkg");
    browser.wait_for("#pending-bundles", "No bundle is waiting or rejected.");

    let damaged = site.write_corrupt_bundle("damaged.pkg");
    browser.choose_file("#choose", &damaged);
    browser.wait_for("#uploads li:nth-child(1)", "Could not import `damaged.pkg`");
    browser.wait_for("#pending-bundles tbody tr", "rejected");
    browser.click("#pending-bundles [data-act=retry]");
    browser.wait_for("#job-title", "Importing a bundle");
    // The one before said the same.
    let jobs = || get(site.url(), "/api/jobs", &[]).text();
    wait::until_with("the second import job has failed", jobs, || jobs().matches("\"failed\"").count() >= 2);
    browser.wait_for("#job-status", "Could not import `damaged.pkg`");
    browser.wait_for("#pending-bundles tbody tr", "rejected");
    // The alarm ends, the bundle stays.
    browser.click("#pending-bundles [data-act=dismiss]");
    browser.wait_for("#pending-bundles-status", "Dismissed.");
    browser.wait_for("#pending-bundles tbody tr", "dismissed");
    browser.open(&site.page_url("/"));
    browser.wait_for("#facts", "Rejected");
    assert_eq!(browser.text("#alarm").trim(), "");
    browser.open(&site.page_url("/packages"));
    // Deleting asks once more.
    browser.wait_for("#pending-bundles [data-act=delete]", "Delete");
    browser.wait_until("!document.querySelector('#choose-button').disabled");
    browser.click("#pending-bundles [data-act=delete]");
    browser.wait_for("#pending-bundles [data-act=delete]", "Delete permanently");
    assert!(site.sandbox.path("incoming/failed/damaged.pkg").is_file());
    browser.click("#pending-bundles [data-act=delete]");
    browser.wait_for("#pending-bundles", "No bundle is waiting or rejected.");
    assert_eq!(fs::read_dir(site.sandbox.path("incoming/failed")).unwrap().count(), 0);

    fs::create_dir_all(site.sandbox.path("incoming/exports")).unwrap();
    fs::write(site.sandbox.path("incoming/exports/snapshot-1.pkg"), "x").unwrap();
    browser.open(&site.page_url("/packages"));
    browser.wait_until("!document.querySelector('#choose-button').disabled");
    browser.click("#exports [data-act=delete-snapshot]");
    browser.wait_for("#exports [data-act=delete-snapshot]", "Delete permanently");
    browser.click("#exports [data-act=delete-snapshot]");
    browser.wait_for("#exports", "There are no snapshots yet.");
    assert!(!site.sandbox.path("incoming/exports/snapshot-1.pkg").exists());
    browser.assert_clean(site.url());
}
