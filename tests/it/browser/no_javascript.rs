//! With JavaScript off, everything can be read.

use super::{PAGES, TestSite, corrupt_file};
use crate::support::browser::Browser;

#[test]
#[ignore = "needs chromium"]
fn every_page_is_readable_without_javascript() {
    let browser = Browser::start();
    let site = TestSite::with_bundles(&[]);
    site.run_verify_job();
    browser.set_javascript_enabled(false);
    for page in PAGES {
        browser.open(&site.page_url(page.path));
        browser.wait_for("h1", page.title);
        browser.wait_for("noscript", "All pages are readable without JavaScript");
        assert_eq!(browser.text("nav[aria-label=Pages]").lines().count(), PAGES.len());
    }
    for (path, part, text) in [
        ("/", "#facts", "of 3 names"),
        ("/", "#space", "Largest crates"),
        ("/", "#growth", "Bytes in the mirror after each import"),
        ("/packages", "#imports", "one.pkg"),
        ("/packages", "#imports", "two.pkg current"),
        ("/packages", "#pending-bundles", "No bundle is waiting"),
        ("/packages", "#job", "Checking every file"),
        ("/packages", "#job-status", "Done. Ended at 2"),
        ("/browse", "#found-title", "3 crates in the index"),
        ("/browse?crate=leaf", "tbody", "1.1.0 yanked"),
        ("/setup", "#cargo-config", "replace-with"),
        ("/setup", "#docker", "FROM"),
    ] {
        browser.open(&site.page_url(path));
        browser.wait_for(part, text);
    }
    corrupt_file(&site.sandbox.path("mirror/crates/leaf-1.0.0.crate"));
    site.run_verify_job();
    browser.open(&site.page_url("/packages"));
    browser.wait_for("#job-status.wrong", "1 problem was found.");
    browser.wait_for("#job-found", "crates/leaf-1.0.0.crate");
    browser.wait_for("#job-found", "1 file must be fetched again");
    browser.wait_for("#check:disabled", "Check every file");
    // The search is a plain form, and what needs a script is not offered.
    browser.open(&site.page_url("/browse"));
    browser.fill("#q", "under");
    browser.click("form.search button");
    browser.wait_for("tbody", "Under_Score");
    browser.click("tbody a[download]");
    assert!(!browser.downloaded("Under_Score-0.1.0.crate").is_empty());
    browser.open(&site.page_url("/packages"));
    browser.wait_for("#plan:disabled", "Show the plan");
    browser.wait_for("#choose-button:disabled", "Choose files");
    browser.assert_clean(site.url());
}
