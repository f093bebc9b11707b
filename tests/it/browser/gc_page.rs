//! A collection: its plan first, and then no more and no less than that.

use std::time::Duration;

use frostmirror::event::NullSink;
use frostmirror::mirror::gc::Options;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::lock_for_collecting;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::TestSite;
use crate::bundle_builder::{BundleBuilder, import, test_holder};
use crate::gc::{assert_records_agree, stored_and_indexed_crates};
use crate::support::browser::Browser;
use crate::support::crates::Crate;

/// A collection of two hours ago.
fn gc_two_hours_ago(site: &TestSite) {
    let layout = Layout::new(site.sandbox.path("mirror"));
    let now = Timestamp::now() - SignedDuration::from_hours(2);
    let options =
        Options { grace: Duration::from_secs(600), retire: Vec::new(), accept: Vec::new(), reject: Vec::new(), now };
    let mut guard = lock_for_collecting(&layout, Duration::ZERO, &test_holder(), &NullSink).unwrap();
    guard.plan(&options).unwrap().execute(&NullSink).unwrap();
}

/// What the page lists below a heading that begins so.
fn items_below_heading(browser: &Browser, heading: &str) -> Vec<String> {
    let body = "const one = [...document.querySelectorAll('#planned details')]
                    .find((details) => details.firstChild.textContent.startsWith(arguments[0]));
                return one ? [...one.querySelectorAll('li')].map((item) => item.textContent) : [];";
    let found: Value = browser.js(body, &json!([heading]));
    found.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
#[ignore = "needs chromium"]
fn gc_removes_exactly_what_the_plan_showed() {
    let browser = Browser::start();
    let site = TestSite::with_bundles(&[]);
    let mirror = site.sandbox.path("mirror");
    let made = site.sandbox.path("made");
    // What the third bundle does not name lost its lines two hours ago; what the fourth does not name has them still.
    let third = BundleBuilder::new("one", 3).ship(Crate::new("leaf", "2.0.0")).ship(Crate::new("other", "1.0.0"));
    import(&mirror, &third.write(&made, "three.pkg")).unwrap();
    gc_two_hours_ago(&site);
    import(&mirror, &BundleBuilder::new("one", 4).ship(Crate::new("leaf", "2.0.0")).write(&made, "four.pkg")).unwrap();
    let before = stored_and_indexed_crates(&mirror);
    assert!(before.0.contains("leaf-1.0.0") && before.1.contains("other-1.0.0"), "{before:?}");

    browser.open(&site.page_url("/packages"));
    browser.wait_until("!document.querySelector('#plan').disabled");
    browser.click("#plan");
    browser.wait_for("#planned", "This would free");
    assert_eq!(browser.js("return document.activeElement.id", &json!([])), json!("planned"));
    let lines = items_below_heading(&browser, "Index lines");
    let crates: Vec<String> = items_below_heading(&browser, "Crates")
        .iter()
        .map(|text| text.rsplit_once(".crate (").unwrap_or_else(|| panic!("{text}")).0.to_owned())
        .collect();
    let later = items_below_heading(&browser, "To remove by a later run");
    assert_eq!((lines.as_slice(), later.len()), (&["other 1.0.0".to_owned()][..], 1), "{later:?}");
    assert!(
        crates.contains(&"leaf-1.0.0".to_owned()) && crates.contains(&"Under_Score-0.1.0".to_owned()),
        "{crates:?}"
    );

    // Who keeps everything, keeps everything.
    browser.click("#planned .actions button:not(.danger)");
    browser.wait_until("document.querySelector('#planned').childNodes.length === 0");
    assert_eq!(browser.js("return document.activeElement.id", &json!([])), json!("plan"));
    assert_eq!(stored_and_indexed_crates(&mirror), before);

    browser.click("#plan");
    browser.click("#planned .danger");
    browser.wait_for("#job-status", "Done: 1 index line removed, 3 crates removed");
    browser.wait_for("#job-status", "1 file remaining for a later run");
    let mut expected = before;
    expected.0.retain(|name| !crates.contains(name));
    expected.1.remove("other-1.0.0");
    assert_eq!(stored_and_indexed_crates(&mirror), expected);
    assert_records_agree(&mirror);
    browser.wait_until("!document.querySelector('#plan').disabled");
    browser.click("#plan");
    browser.wait_for("#planned", "Nothing to remove now.");
    browser.assert_clean(site.url());
}

#[test]
#[ignore = "needs chromium"]
fn a_doubtful_bundle_is_accepted_on_the_page() {
    let browser = Browser::start();
    let site = TestSite::with_bundles(&[]);
    let mirror = site.sandbox.path("mirror");
    let jump = BundleBuilder::new("one", 9).ship(Crate::new("forged", "1.0.0"));
    let id = jump.lineage().to_owned();
    import(&mirror, &jump.write(&site.sandbox.path("made"), "nine.pkg")).unwrap();
    let before = stored_and_indexed_crates(&mirror);

    browser.open(&site.page_url("/"));
    browser.wait_for("#alarm", "The newest bundle of a history is doubtful");
    browser.click("#alarm a");
    browser.wait_for("#histories .doubtful", "Bundle number 9 was imported when the highest number was 2.");
    browser.wait_for("#histories .doubtful", &id);
    browser.wait_for("#histories .doubtful", "Cargo.lock");
    browser.click("#imports .warnings summary");
    browser.wait_for("#imports .warnings", "nine.pkg has the number 9 in its history");
    // The plan says what the acceptance would do; who keeps everything has accepted nothing.
    browser.wait_until("!document.querySelector('#plan').disabled");
    browser.click("[data-accept]");
    browser.wait_for("#planned", "Bundle number 9 becomes the newest of its history.");
    assert_eq!(browser.js("return document.activeElement.id", &json!([])), json!("planned"));
    assert_eq!(items_below_heading(&browser, "Index lines").len(), 4);
    browser.click("#planned .actions button:not(.danger)");
    browser.wait_until("document.querySelector('#planned').childNodes.length === 0");
    assert_eq!(stored_and_indexed_crates(&mirror), before);
    browser.click("[data-accept]");
    browser.wait_for("#planned .danger", "Accept it and remove these");
    browser.click("#planned .danger");
    browser.wait_for("#job-status", "Done: 4 index lines removed");
    browser.wait_until("document.querySelector('#histories .doubtful') === null");
    assert_records_agree(&mirror);
    browser.open(&site.page_url("/"));
    browser.wait_for("#facts", "of 1 name");
    assert!(!browser.text("#alarm").contains("doubtful"));
    browser.assert_clean(site.url());
}
