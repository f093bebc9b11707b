//! Behind a real nginx that shows the server below a path.

use std::fs;

use super::{PAGES, TestSite, VIEWS};
use crate::api::two_bundles;
use crate::bundle_builder::import;
use crate::support::browser::Browser;
use crate::support::nginx::Nginx;
use crate::support::sandbox::Sandbox;

const TOKEN: &str = "0123456789abcdef-admin";

#[test]
#[ignore = "needs chromium and nginx"]
fn every_page_works_below_a_path_prefix() {
    let browser = Browser::start();
    let sandbox = Sandbox::new();
    for bundle in two_bundles(&sandbox) {
        import(&sandbox.path("mirror"), &bundle).unwrap();
    }
    let mut site = None;
    let nginx = Nginx::start_with(|url| {
        let flags = ["--base-url", &format!("{url}/rust/"), "--admin-token", TOKEN, "--watch-incoming"];
        let own = TestSite::start(sandbox, &flags);
        let lines = format!("location /rust/ {{ proxy_pass {}/; }}", own.url());
        site = Some(own);
        lines
    });
    let site = site.unwrap();
    let base = format!("{}/rust", nginx.url());
    browser.open(&format!("{base}/"));
    for page in PAGES {
        browser.click(&format!("nav[aria-label=Pages] a[href=\".{}\"]", page.path));
        browser.wait_for("h1", page.title);
        assert_eq!(browser.url(), format!("{base}{}", page.path));
        browser.wait_for("footer", &base);
        browser.assert_clean(&base);
    }
    for page in VIEWS {
        browser.open(&format!("{base}{}", page.path));
        browser.wait_for("h1", page.title);
        browser.assert_clean(&base);
    }

    browser.open(&format!("{base}/packages"));
    browser.click("#login");
    browser.fill("#login-token", TOKEN);
    browser.press("\u{e007}");
    browser.wait_for("#may", "Logged in");
    browser.wait_until("!document.querySelector('#choose-button').disabled");
    browser.choose_file("#choose", &site.write_bundle("fresh.pkg"));
    browser.wait_for("#uploads", "Imported.");
    browser.wait_for("#imports tbody tr:first-child", "fresh.pkg");
    browser.assert_clean(&base);

    browser.open(&format!("{base}/browse"));
    browser.fill("#q", "fresh");
    browser.press("\u{e007}");
    browser.wait_for("#found-title", "1 crate found");
    browser.click("tbody a[download]");
    let given = browser.downloaded("fresh-0.3.0.crate");
    assert!(given == fs::read(site.sandbox.path("mirror/crates/fresh-0.3.0.crate")).unwrap());
    browser.open(&format!("{base}/setup"));
    browser.wait_for("#cargo-config", &format!("sparse+{base}/index/"));
    browser.click("a[download='config.toml']");
    assert!(String::from_utf8(browser.downloaded("config.toml")).unwrap().contains(&base));
    browser.assert_clean(&base);
}
