//! Every file checked, from the page: how far it is, what it found, and what is to be done.

use std::fs;
use std::time::Duration;

use frostmirror::event::NullSink;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::lock_for_adding;
use serde_json::{Value, json};

use super::{TestSite, corrupt_file};
use crate::bundle_builder::{BundleBuilder, import, test_holder};
use crate::support::browser::Browser;
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

/// The problems that the page names.
fn listed_problems(browser: &Browser) -> Vec<String> {
    let items = "return [...document.querySelectorAll('#job-found li')].map((item) => item.textContent)";
    let items: Value = browser.js(items, &json!([]));
    items.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn start_verify(browser: &Browser) {
    browser.wait_until("!document.querySelector('#check').disabled");
    browser.click("#check");
    browser.wait_for("#job-title", "Checking every file");
    // The title may be that of an earlier check.
    browser.wait_until("document.activeElement.id === 'job'");
}

#[test]
#[ignore = "needs chromium"]
fn problems_found_by_verify_are_listed() {
    let browser = Browser::start();
    let site = TestSite::with_bundles(&[]);
    browser.open(&site.page_url("/packages"));
    start_verify(&browser);
    browser.wait_for("#job-status", "all other files are valid");
    assert!(listed_problems(&browser).is_empty());
    corrupt_file(&site.sandbox.path("mirror/crates/leaf-1.0.0.crate"));
    start_verify(&browser);
    browser.wait_for("#job-status.wrong", "1 problem was found.");
    browser.wait_for("#job-found", "1 file must be fetched again");
    let found = listed_problems(&browser);
    assert!(found.len() == 1 && found[0].starts_with("crates/leaf-1.0.0.crate: "), "{found:?}");
    browser.assert_clean(site.url());
    // Another page, and back: it is still told.
    browser.open(&site.page_url("/"));
    browser.open(&site.page_url("/packages"));
    browser.wait_for("#job-status.wrong", "1 problem was found.");
    assert_eq!(listed_problems(&browser), found);
}

#[test]
#[ignore = "needs chromium"]
fn a_waiting_job_can_be_cancelled() {
    let browser = Browser::start();
    let site = TestSite::with_bundles(&[]);
    let layout = Layout::new(site.sandbox.path("mirror"));
    let guard = lock_for_adding(&layout, Duration::ZERO, &test_holder(), &NullSink).unwrap();
    browser.open(&site.page_url("/packages"));
    browser.wait_until("!document.querySelector('#export').disabled");
    assert!(!browser.js("return document.querySelector('#job-stop').checkVisibility()", &json!([])).as_bool().unwrap());
    browser.click("#export");
    browser.wait_until("document.querySelector('#job-stop').checkVisibility()");
    assert_eq!(browser.js("return document.querySelector('#check').disabled", &json!([])), json!(true));
    browser.click("#job-stop");
    browser.wait_for("#job-status", "Stopped.");
    browser.wait_until("!document.querySelector('#check').disabled");
    browser.wait_until("!document.querySelector('#job-stop').checkVisibility()");
    drop(guard);
    start_verify(&browser);
    browser.wait_for("#job-status", "all other files are valid");
    browser.assert_clean(site.url());
}

#[test]
#[ignore = "needs chromium"]
fn a_long_problem_list_is_truncated_with_a_note() {
    let browser = Browser::start();
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("made")).unwrap();
    let many =
        (0..230).fold(BundleBuilder::new("one", 1), |make, n| make.ship(Crate::new(&format!("crate{n}"), "1.0.0")));
    import(&sandbox.path("mirror"), &many.write(&sandbox.path("made"), "one.pkg")).unwrap();
    for n in 0..230 {
        fs::remove_file(sandbox.path(format!("mirror/crates/crate{n}-1.0.0.crate"))).unwrap();
    }
    let site = TestSite::start(sandbox, &[]);
    browser.open(&site.page_url("/packages"));
    start_verify(&browser);
    browser.wait_for("#job-status.wrong", "232 problems were found.");
    let found = listed_problems(&browser);
    assert_eq!((found.len(), found[200].as_str()), (201, "and 32 more"));
    browser.wait_for("#job-found", "230 files must be fetched again");
    browser.set_javascript_enabled(false);
    browser.open(&site.page_url("/packages"));
    assert_eq!(browser.text("#job-found").matches("crates/crate").count(), 200);
    browser.wait_for("#job-found", "and 32 more");
}
