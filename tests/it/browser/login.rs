//! Who has no token changes nothing; who has it, logs in and out.

use serde_json::json;

use super::TestSite;
use crate::support::browser::Browser;

const TOKEN: &str = "0123456789abcdef-admin";

#[test]
#[ignore = "needs chromium"]
fn a_session_starts_with_the_token_and_ends_at_logout() {
    let browser = Browser::start();
    let site = TestSite::with_bundles(&["--admin-token", TOKEN]);
    browser.open(&site.page_url("/packages"));
    browser.wait_for("#may", "Read only");
    browser.wait_for("#write-denied", "Log in with the admin token");
    browser.wait_until("!document.querySelector('#login').hidden");
    // Readers see no control that they cannot use.
    let writes = "[...document.querySelectorAll('#choose-button, #export, #check, #plan, #job-stop')]";
    let others = "document.querySelectorAll('main button, main input, #drop, #planned').length";
    browser.wait_until(&format!("{writes}.length === 0 && {others} === 0"));
    browser.assert_clean(site.url());

    browser.click("#login");
    browser.wait_until("document.activeElement.id === 'login-token'");
    browser.fill("#login-token", "0123456789abcdef-wrong");
    browser.press("\u{e007}");
    browser.wait_until("document.querySelector('#login-wrong').textContent !== ''");
    assert!(!browser.text("#login-wrong").contains("0123456789abcdef"));
    browser.assert_clean_except(site.url(), &[401, 403]);
    // Escape closes it, and the focus is back where it was.
    browser.press("\u{e00c}");
    browser.wait_until("!document.querySelector('#login-dialog').open && document.activeElement.id === 'login'");

    browser.click("#login");
    browser.fill("#login-token", TOKEN);
    browser.press("\u{e007}");
    browser.wait_for("#may", "Logged in");
    browser.wait_until(&format!(
        "{writes}.filter((one) => one.id !== 'job-stop').length === 4 && {writes}.every((button) => !button.disabled)"
    ));
    assert_eq!(browser.js("return document.cookie", &json!([])), json!(""), "scripts do not see the cookie");
    let kept = "return JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage)]) + document.documentElement.outerHTML";
    assert!(!browser.js(kept, &json!([])).to_string().contains(TOKEN));
    let cookies = browser.cdp("Network.getCookies", &json!({}));
    let cookie = &cookies["cookies"][0];
    assert_eq!((&cookie["httpOnly"], &cookie["sameSite"]), (&json!(true), &json!("Strict")), "{cookies}");

    browser.open(&site.page_url("/packages"));
    browser.wait_for("#may", "Logged in");
    assert_eq!(browser.js("return document.querySelector('#write-denied')", &json!([])), json!(null));
    browser.wait_until("!document.querySelector('#plan').disabled");
    browser.click("#plan");
    browser.wait_for("#planned", "Index lines: 1");
    browser.click("#logout");
    browser.wait_for("#may", "Read only");
    browser.wait_until(&format!("{writes}.length === 0"));
    assert_eq!(browser.cdp("Network.getCookies", &json!({}))["cookies"], json!([]));
    browser.assert_clean(site.url());
}

#[test]
#[ignore = "needs chromium"]
fn a_reader_logs_in_when_reading_requires_a_token() {
    const READER: &str = "0123456789abcdef-reader";
    let browser = Browser::start();
    let site = TestSite::with_reader_token(READER, &["--admin-token", TOKEN]);
    browser.open(&site.page_url("/packages"));
    browser.wait_for("#may", "Not logged in");
    browser.wait_until("!document.querySelector('#login').hidden");
    browser.click("#login");
    browser.wait_for("#login-about", "Enter a read token, or the admin token");
    browser.fill("#login-token", READER);
    browser.press("\u{e007}");
    browser.wait_for("#may", "Logged in, read only");
    browser.wait_for("#write-denied", "Log in with the admin token");
    browser.wait_until("document.querySelector('#choose-button') === null");
    // Then as an administrator, and logged out again.
    browser.click("#login");
    browser.fill("#login-token", TOKEN);
    browser.press("\u{e007}");
    browser.wait_until("document.querySelector('#choose-button')?.disabled === false");
    browser.click("#logout");
    browser.wait_for("#may", "Not logged in");
    browser.assert_clean_except(site.url(), &[401]);
}
