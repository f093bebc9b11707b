//! Much of everything: the editor of a depends.toml of some thousand entries stays of use.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

use super::TestSite;
use crate::support::browser::Browser;
use crate::support::sandbox::Sandbox;

#[test]
#[ignore = "needs chromium"]
fn thousands_of_dependencies_can_be_edited() {
    const ROWS: usize = 3000;
    let browser = Browser::start();
    let sandbox = Sandbox::new();
    let mut text = "[dependencies]\n".to_owned();
    for n in 0..ROWS {
        writeln!(text, "crate-{n} = \"1.{n}\"").unwrap();
    }
    sandbox.write("config/depends.toml", &text);
    let site = TestSite::start(sandbox, &[]);
    let begun = Instant::now();
    browser.open(&site.page_url("/deps"));
    browser.wait_until("!document.querySelector('#savebar').hidden");
    browser.wait_for("#preview-about", "The stored file.");
    let ready = begun.elapsed();
    let last = format!("[aria-label='Version of crate-{}']", ROWS - 1);
    let begun = Instant::now();
    browser.fill(&last, "2");
    browser.wait_for("#save-status", "Not saved yet");
    browser.wait_for("#preview-about", "Preview of the new file.");
    browser.click("#save");
    browser.wait_for("#save-status", "Saved.");
    let saved = begun.elapsed();
    let stored = site.sandbox.read("config/depends.toml");
    assert_eq!(stored, text.replace(&format!("\"1.{}\"", ROWS - 1), "\"2\""));
    browser.assert_clean(site.url());
    // What a key costs: the time until the page has drawn what it led to.
    let key = "const field = document.querySelector(arguments[0]); const begun = performance.now();
               field.value = '3'; field.dispatchEvent(new Event('input', { bubbles: true }));
               return new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun))))";
    let cost = browser.js(key, &json!([last])).as_f64().unwrap();
    assert!(
        ready < Duration::from_secs(15) && saved < Duration::from_secs(15) && cost < 1500.0,
        "{ready:?} {saved:?} {cost}"
    );
}
