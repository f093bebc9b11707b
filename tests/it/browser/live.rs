//! Live mode on the pages: switched on, watched, and switched off.

use serde_json::json;

use super::TestSite;
use crate::support::browser::Browser;
use crate::support::crates::Crate;
use crate::support::http_client;
use crate::support::sandbox::Sandbox;
use crate::support::upstream::{Fault, Upstream};
use crate::support::wait;

/// A server in front of an upstream with a few crates.
pub fn in_front_of(upstream: &Upstream, flags: &[&str]) -> TestSite {
    upstream.publish(Crate::new("leaf", "1.0.0"));
    upstream.publish(Crate::new("leaf", "1.1.0"));
    upstream.publish(Crate::new("altered", "0.1.0"));
    upstream.publish(Crate::new("other", "0.1.0"));
    TestSite::start(Sandbox::new().upstream(upstream), flags)
}

/// A server with all that is to be said of live mode: crates that it brought, one that was altered, an upstream that is down.
pub fn with_live_problems(upstream: &Upstream) -> TestSite {
    let site = in_front_of(upstream, &["--live"]);
    assert_eq!(fetch_status(&site, "leaf-1.1.0"), 200);
    assert_eq!(fetch_status(&site, "leaf-1.0.0"), 200);
    wait_for_crates(&site, 2);
    fetch_corrupt_crate(&site, upstream);
    fail_until_breaker_opens(&site, upstream);
    site
}

/// The status with which a crate comes.
fn fetch_status(site: &TestSite, name: &str) -> u16 {
    http_client::get(&site.page_url(&format!("/crates/{name}.crate"))).status
}

/// Waits until so many crates are in their place.
fn wait_for_crates(site: &TestSite, number: usize) {
    let placed =
        |line: &str| line.starts_with("frostmirror_live_placed_total ") && line.ends_with(&format!(" {number}"));
    wait::until_with(
        format!("{number} crates are stored"),
        || site.server.running().stderr(),
        || String::from_utf8_lossy(&http_client::get(&site.page_url("/metrics")).body).lines().any(placed),
    );
}

/// Has a crate come with other bytes than the index promises.
fn fetch_corrupt_crate(site: &TestSite, upstream: &Upstream) {
    upstream.fault_always(&upstream.download_path("altered", "0.1.0"), Fault::WrongBytes);
    let url = site.url().to_owned();
    // The connection is broken off, which the client is not to take for an answer.
    let _broken =
        std::thread::spawn(move || http_client::get(&format!("{url}/crates/altered-0.1.0.crate"))).join().is_err();
}

/// Has the index fail until it counts as down.
fn fail_until_breaker_opens(site: &TestSite, upstream: &Upstream) {
    for name in ["aaaa", "bbbb", "cccc", "dddd"] {
        let path = format!("/index/{}/{}/{name}", &name[..2], &name[2..]);
        upstream.fault_always(&path, Fault::Status(500));
        assert!(http_client::get(&site.page_url(&path)).status >= 500);
    }
}

/// Puts live mode on or off on the page of settings.
fn switch_live_mode(browser: &Browser, site: &TestSite, word: &str) {
    browser.open(&site.page_url("/config"));
    browser.wait_for("#save-status", "No changes");
    browser.js("document.querySelector('#set-proxy_mode').scrollIntoView({ block: 'center' })", &json!([]));
    browser.click("#set-proxy_mode");
    browser.click("#save");
    browser.wait_for("#save-status", "Saved and in effect.");
    browser.wait_for("#live-state", word);
}

/// The number that the dashboard has below a word.
#[track_caller]
fn wait_for_number(browser: &Browser, word: &str, number: &str) {
    let shown = "[...document.querySelectorAll('#live-mode dl div')].find((one) => one.querySelector('dt').textContent";
    browser.wait_until(&format!("{shown} === '{word}')?.querySelector('b').textContent === '{number}'"));
}

fn refresh(browser: &Browser) {
    browser.js("document.dispatchEvent(new Event('visibilitychange'))", &json!([]));
}

#[test]
#[ignore = "needs chromium"]
fn live_mode_is_switched_on_used_and_switched_off() {
    let browser = Browser::start();
    let upstream = Upstream::start();
    let site = in_front_of(&upstream, &[]);
    browser.open(&site.page_url("/"));
    browser.wait_for("#first", "The mirror is empty");
    assert_eq!(browser.text("#live"), "");
    browser.open(&site.page_url("/config"));
    browser.wait_for("#live-state", "switched off");
    assert_eq!(fetch_status(&site, "leaf-1.1.0"), 404);
    assert!(upstream.requests().is_empty());

    switch_live_mode(&browser, &site, "Live mode is on: missing files are fetched from");
    browser.wait_for("#live-state", upstream.base_url());
    browser.wait_for("#live-state", "Toolchains");
    browser.open(&site.page_url("/"));
    browser.wait_for("#first", "live mode fills it");
    wait_for_number(&browser, "Hits", "0");

    // The page becomes new under the reader's eyes.
    assert_eq!(fetch_status(&site, "leaf-1.1.0"), 200);
    wait_for_crates(&site, 1);
    refresh(&browser);
    wait_for_number(&browser, "Misses", "1");
    wait_for_number(&browser, "Hits", "0");
    for _ in 0..3 {
        assert_eq!(fetch_status(&site, "leaf-1.1.0"), 200);
    }
    assert_eq!(fetch_status(&site, "leaf-9.9.9"), 404);
    refresh(&browser);
    wait_for_number(&browser, "Hits", "3");
    wait_for_number(&browser, "Misses", "2");
    browser.wait_for("#live-mode", "60 % of the requests");
    browser.wait_for("#live-mode", "1 download from upstream");
    browser.wait_for("#live-mode", "1 crate (");
    wait_for_number(&browser, "Checksum mismatches", "0");
    assert_eq!(browser.text("#alarm"), "");
    assert_eq!(browser.text("#first"), "");

    // Each page with crates shows it.
    browser.open(&site.page_url("/browse?crate=leaf"));
    browser.wait_for("tbody .tag", "live mode");
    browser.open(&site.page_url("/browse?q=nosuch"));
    browser.wait_for("main", "Live mode fetches it on a client's request");
    browser.open(&site.page_url("/packages"));
    browser.wait_for("#imports", "Live mode also fetched 1 crate (");
    browser.wait_until("!document.querySelector('#plan').disabled");
    browser.click("#plan");
    browser.wait_for("#planned", "Files of live mode stay: 1 crate (");
    browser.assert_clean(site.url());

    // What is wrong is an alarm.
    fetch_corrupt_crate(&site, &upstream);
    fail_until_breaker_opens(&site, &upstream);
    browser.open(&site.page_url("/"));
    browser.wait_for("#alarm", "Files from upstream do not match its index");
    browser.wait_for("#alarm", "The upstream of the index is down");
    wait_for_number(&browser, "Checksum mismatches", "1");
    browser.wait_for("#live-mode .upstreams", "down");
    browser.open(&site.page_url("/config"));
    browser.wait_for("#live-state .tag.bad", "down");
    let status = String::from_utf8(http_client::get(&site.page_url("/api/status")).body).unwrap();
    assert!(
        status.contains("\"healthy\": false") && status.contains("upstream sent 1 file with a wrong checksum"),
        "{status}"
    );

    switch_live_mode(&browser, &site, "switched off");
    browser.wait_for("#live-state", "1 crate (");
    upstream.clear_faults();
    upstream.clear_log();
    assert_eq!(fetch_status(&site, "leaf-1.1.0"), 200);
    assert_eq!(fetch_status(&site, "other-0.1.0"), 404);
    browser.open(&site.page_url("/"));
    browser.wait_for("#live-title", "off");
    wait_for_number(&browser, "Misses", "3");
    browser.open(&site.page_url("/browse"));
    browser.wait_for("tbody .tag", "live mode");
    assert!(upstream.requests().is_empty(), "{:?}", upstream.requests());
    browser.assert_clean(site.url());
}
