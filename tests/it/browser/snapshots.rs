//! Snapshots: made, taken along and deployed elsewhere; and jobs that outlive the page that began them.

use std::fs;
use std::time::Duration;

use frostmirror::event::NullSink;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::lock_for_adding;
use serde_json::json;

use super::{TestSite, corrupt_file, file_name};
use crate::bundle_builder::{public_files, test_holder};
use crate::support::browser::Browser;
use crate::support::server_fixture::get;

#[test]
#[ignore = "needs chromium"]
fn a_snapshot_is_created_downloaded_and_served_elsewhere() {
    let browser = Browser::start();
    let site = TestSite::with_bundles(&[]);
    let mirror = site.sandbox.path("mirror");
    // Another process has the mirror, so that the job lasts.
    let guard = lock_for_adding(&Layout::new(&mirror), Duration::ZERO, &test_holder(), &NullSink).unwrap();
    browser.open(&site.page_url("/packages"));
    browser.wait_until("!document.querySelector('#export').disabled");
    browser.click("#export");
    browser.wait_for("#job-title", "Creating a snapshot");
    browser.wait_for("#job-status", "even if you close this page");
    browser.wait_until("document.querySelector('#export').disabled && document.querySelector('#plan').disabled");

    // The tab is closed, and the page opened again.
    browser.open("about:blank");
    browser.open(&site.page_url("/packages"));
    browser.wait_for("#job-title", "Creating a snapshot");
    browser.wait_until("!document.querySelector('#job-meter').hidden");
    // Nothing else begins meanwhile, and the page does not offer it once the modules know.
    browser.wait_until("document.querySelector('#export').disabled && document.querySelector('#plan').disabled");
    drop(guard);
    browser.wait_for("#job-status", "is ready below");
    browser.wait_for("#exports tbody", "snapshot-");
    let file = browser.text("#exports tbody a");
    assert!(browser.text("#job-status").contains(&file));
    browser.wait_until("!document.querySelector('#export').disabled");
    browser.click("#exports tbody a");
    let bytes = browser.downloaded(&file);
    assert!(bytes == fs::read(site.sandbox.path("incoming/exports").join(&file)).unwrap());
    browser.assert_clean(site.url());

    let taken = browser.downloads().join(&file);
    let other = TestSite::empty(&[]);
    drop(other.server);
    let sandbox = other.sandbox;
    let args = ["import", taken.to_str().unwrap(), "--mirror", "mirror", "--config-dir", "config"];
    sandbox.run(args).ok();
    assert_eq!(public_files(&sandbox.path("mirror")), public_files(&mirror));
    let other = TestSite::start(sandbox, &[]);
    browser.open(&other.page_url("/browse?crate=leaf"));
    browser.wait_for("tbody", "1.1.0 yanked");
    browser.wait_for("tbody", "1.0.0");
    browser.open(&other.page_url("/packages"));
    browser.wait_for("#imports tbody", file_name(&taken));
    browser.assert_clean(other.url());
    let path = "/crates/leaf-1.0.0.crate";
    let [ours, theirs] = [site.url(), other.url()].map(|url| get(url, path, &[]));
    assert_eq!((ours.status, theirs.status, ours.body == theirs.body), (200, 200, true));

    // The page reports a check that another client ran, and its problems.
    other.run_verify_job();
    browser.open(&other.page_url("/packages"));
    browser.wait_for("#job-status", "and all other files are valid. Ended at");
    corrupt_file(&other.sandbox.path("mirror/crates/leaf-1.0.0.crate"));
    other.run_verify_job();
    browser.open(&other.page_url("/packages"));
    browser.wait_for("#job-status.wrong", "1 problem was found.");
    browser.wait_for("#job-found", "crates/leaf-1.0.0.crate");
    browser.assert_clean(other.url());

    // What a job came to is there for who comes when it is over.
    browser.open("about:blank");
    browser.open(&site.page_url("/packages"));
    browser.wait_for("#job-status", &format!("{file} is ready below"));
    assert_eq!(browser.js("return document.querySelector('#export').disabled", &json!([])), json!(false));
}
