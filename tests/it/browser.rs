//! The pages in a real browser, as somebody uses them.

use crate::support::browser::Browser;
use crate::support::crates::Crate;
use crate::support::published::Published;
use crate::support::sandbox::Sandbox;

#[test]
fn the_dashboard_is_shown() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    Published::at(sandbox.path("mirror")).hold(Crate::new("leaf", "1.0.0"));
    let serving = sandbox.serve(["--mirror", "mirror"]);
    browser.open(serving.url());
    browser.wait_for("h1", "Dashboard");
    browser.is_clean(serving.url());
}
