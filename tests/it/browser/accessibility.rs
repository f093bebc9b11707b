//! The pages for users with low vision, with a screen reader, or without a mouse.

use std::fs;

use serde_json::{Value, json};

use super::live::with_live_problems;
use super::{PAGES, Page, TestSite, VIEWS, wait_until_loaded};
use crate::support::browser::Browser;
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;
use crate::support::server_fixture::MirrorTree;
use crate::support::upstream::Upstream;

/// Measures the page that is shown.
const LAYOUT_CHECKS: &str = include_str!("looks.js");
/// Each of these needs a name that tells it from others.
const NAME_REQUIRED: &[&str] = &[
    "button",
    "link",
    "textbox",
    "searchbox",
    "combobox",
    "listbox",
    "option",
    "checkbox",
    "radio",
    "switch",
    "spinbutton",
    "slider",
    "progressbar",
    "meter",
    "image",
    "img",
    "region",
    "navigation",
    "search",
    "form",
    "dialog",
    "table",
    "tab",
    "DisclosureTriangle",
];
/// None of these is a control: who has the focus put there reads on from there. A heading gets it when what had it is gone.
const FOCUSABLE_NON_CONTROLS: &[&str] = &["RootWebArea", "main", "region", "heading"];

/// A mirror with everything that a page can show: a refused bundle, a waiting one, a snapshot, toolchains aside.
fn site_with_every_element(flags: &[&str]) -> TestSite {
    let sandbox = Sandbox::new();
    for bundle in crate::api::two_bundles(&sandbox) {
        crate::bundle_builder::import(&sandbox.path("mirror"), &bundle).unwrap();
    }
    let exports = sandbox.path("incoming/exports");
    fs::create_dir_all(&exports).unwrap();
    sandbox.run(["export", "snapshot", "--mirror", "mirror", "--output", exports.to_str().unwrap()]).ok();
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    let long = "a-name-of-a-bundle-that-goes-on-and-on-without-end".repeat(3);
    mirror.add_crate(Crate::new(&"long-name-".repeat(6), "1.0.0-alpha.1+a.very.long.build.string.that.does.not.end"));
    let stuck = json!({ "file": format!("{long}.pkg"), "reason": format!("the block at 12 is damaged: {long}") });
    let output = json!({
        "folder": sandbox.path("incoming"), "done": 2, "arriving": [], "waiting": [stuck], "failed": [stuck],
        "failed_count": 1,
    });
    mirror.write_file(".frostmirror/incoming.json", output.to_string().as_bytes());

    TestSite::start(sandbox, flags)
}

fn role(node: &Value) -> &str {
    node["role"]["value"].as_str().unwrap_or_default()
}

fn name(node: &Value) -> &str {
    node["name"]["value"].as_str().unwrap_or_default().trim()
}

fn property<'n>(node: &'n Value, wanted: &str) -> Option<&'n Value> {
    let found = node["properties"].as_array()?.iter().find(|property| property["name"] == json!(wanted))?;
    Some(&found["value"]["value"])
}

/// Problems in a page's accessibility tree: names, roles, headings and landmarks.
fn accessibility_problems(browser: &Browser, page: &Page) -> Vec<String> {
    let nodes = browser.accessibility_tree();
    let mut wrong = Vec::new();
    let mut level = 0;
    for node in &nodes {
        let (role, name) = (role(node), name(node));
        if NAME_REQUIRED.contains(&role) && name.is_empty() {
            wrong.push(format!("a {role} has no name: {node}"));
        }
        let focusable = property(node, "focusable") == Some(&json!(true));
        if focusable && !NAME_REQUIRED.contains(&role) && !FOCUSABLE_NON_CONTROLS.contains(&role) {
            wrong.push(format!("what takes the focus is a {role} called {name:?}"));
        }
        if role == "heading" {
            let next = property(node, "level").and_then(Value::as_i64).unwrap_or_default();
            if next > level + 1 || (next == 1) != (level == 0) || name.is_empty() {
                wrong.push(format!("the heading {name:?} is of level {next} after one of level {level}"));
            }
            level = next;
        }
    }
    let count = |wanted: &str| nodes.iter().filter(|node| role(node) == wanted).count();
    for (landmark, number) in [("main", 1), ("banner", 1), ("contentinfo", 1)] {
        if count(landmark) != number {
            wrong.push(format!("there are {} of the landmark {landmark}", count(landmark)));
        }
    }
    if count("navigation") == 0 || count("button") + count("link") < 5 {
        wrong.push("there is no navigation, or hardly a control".to_owned());
    }
    for landmark in ["navigation", "region", "button"] {
        let mut names: Vec<&str> = nodes.iter().filter(|node| role(node) == landmark).map(name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        if names.len() != all {
            wrong.push(format!("two of the role {landmark} have one name: {names:?}"));
        }
    }
    let title = nodes.first().map(name).unwrap_or_default();
    if !title.starts_with(page.title) {
        wrong.push(format!("the window is called {title:?}"));
    }
    wrong
}

/// What is wrong with the way by keyboard. Tab leads through all controls in the order of the document, shows where it is, and out again.
fn keyboard_problems(browser: &Browser) -> Vec<String> {
    let begin = "
        const wanted = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')]
            .filter((one) => one.tabIndex >= 0 && !one.disabled && one.checkVisibility({ visibilityProperty: true })
                && !one.closest('dialog:not([open])'));
        const plain = new Map(wanted.map((one) => [one, look(one)]));
        function look(one) {
            const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(one);
            return `${outlineStyle} ${outlineWidth} ${outlineColor}`;
        }
        const walk = { reached: [], wrong: [], wanted };
        for (const one of wanted) if (one.tabIndex > 0) walk.wrong.push('a tabindex of its own: ' + one.outerHTML);
        addEventListener('focusin', ({ target }) => {
            walk.reached.push(target);
            const box = target.getBoundingClientRect();
            const { outlineStyle, outlineWidth } = getComputedStyle(target);
            if (look(target) === plain.get(target) || outlineStyle === 'none' || parseFloat(outlineWidth) < 2) {
                walk.wrong.push('no focus is seen: ' + target.outerHTML.slice(0, 200));
            }
            if (box.bottom < 0 || box.top > innerHeight || box.right < 0 || box.left > innerWidth) {
                walk.wrong.push('the focus is out of sight: ' + target.outerHTML.slice(0, 200));
            }
        });
        document.activeElement.blur();
        window.__walk = walk;
        return wanted.length;";
    let number = browser.js(begin, &json!([])).as_u64().unwrap();
    assert!(number > 5, "only {number} controls");
    browser.press(&"\u{e004}".repeat(usize::try_from(number).unwrap() + 1));
    let end = "
        const { reached, wrong, wanted } = window.__walk;
        const order = reached.slice(0, wanted.length);
        wanted.forEach((one, n) => {
            if (order[n] !== one) wrong.push(`${n}: ${one.outerHTML.slice(0, 120)} is wanted, and there is ${order[n]?.outerHTML.slice(0, 120)}`);
        });
        return wrong.slice(0, 6);";
    let wrong = browser.js(end, &json!([]));
    wrong.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

fn set_color_scheme(browser: &Browser, scheme: &str) {
    // Colours that are still on their way to others are not those that are seen.
    let features = json!([
        { "name": "prefers-color-scheme", "value": scheme },
        { "name": "prefers-reduced-motion", "value": "reduce" },
    ]);
    browser.cdp("Emulation.setEmulatedMedia", &json!({ "features": features }));
}

#[test]
#[ignore = "needs chromium"]
fn every_page_works_with_a_screen_reader_and_by_keyboard() {
    let browser = Browser::start();
    let local = site_with_every_element(&[]);
    let locked = site_with_every_element(&["--admin-token", "0123456789abcdef-admin"]);
    let empty = TestSite::empty(&[]);
    let upstream = Upstream::start();
    let live = with_live_problems(&upstream);
    local.run_verify_job();
    for site in [&local, &locked, &empty, &live] {
        for page in PAGES.iter().chain(VIEWS) {
            browser.open(&site.page_url(page.path));
            wait_until_loaded(&browser);
            assert_eq!(accessibility_problems(&browser, page), [""; 0], "{}", page.path);
            assert_eq!(keyboard_problems(&browser), [""; 0], "{}", page.path);
        }
    }
    // The first Tab leads to a link that leads past the navigation.
    browser.open(&local.page_url("/packages"));
    browser.press("\u{e004}\u{e007}");
    browser.wait_until("document.activeElement.id === 'main'");
    // Dialogs are announced as well, and return the focus.
    browser.open(&locked.page_url("/"));
    browser.click("#login");
    browser.wait_until("document.activeElement.id === 'login-token'");
    let dialog = browser.accessibility_tree();
    assert!(dialog.iter().any(|node| role(node) == "dialog" && name(node) == "Log in"));
    assert!(dialog.iter().any(|node| role(node) == "textbox" && name(node) == "Admin token"));
}

#[test]
#[ignore = "needs chromium"]
fn every_page_has_readable_layout_and_contrast() {
    let browser = Browser::start();
    let upstream = Upstream::start();
    let sites = [
        site_with_every_element(&[]),
        site_with_every_element(&["--admin-token", "0123456789abcdef-admin"]),
        TestSite::empty(&[]),
        with_live_problems(&upstream),
    ];
    let mut wrong = Vec::new();
    for (number, site) in sites.iter().enumerate() {
        for page in PAGES.iter().chain(VIEWS) {
            browser.open(&site.page_url(page.path));
            wait_until_loaded(&browser);
            if number == 0 && page.path == "/packages" {
                browser.choose_file("#choose", &site.sandbox.write("notes.txt", "no bundle"));
                browser.wait_for("#uploads", "This is not a .pkg file.");
                browser.click("#plan");
                browser.wait_for("#planned", "Remove these");
            }
            browser.js("for (const one of document.querySelectorAll('details')) one.open = true", &json!([]));
            for with_dialog in [false, true].into_iter().take(if number == 1 { 2 } else { 1 }) {
                if with_dialog {
                    browser.js("document.querySelector('#login-dialog').showModal()", &json!([]));
                }
                for scheme in ["light", "dark"] {
                    set_color_scheme(&browser, scheme);
                    for width in [320, 800, 1400] {
                        browser.resize(width, 900);
                        record_layout_problems(
                            &browser,
                            &format!("{scheme} {width} {} of {number}, {with_dialog}", page.path),
                            &mut wrong,
                        );
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn record_layout_problems(browser: &Browser, what: &str, wrong: &mut Vec<String>) {
    let found = browser.js(LAYOUT_CHECKS, &json!([]));
    wrong.extend(found.as_array().unwrap().iter().map(|one| format!("{what}: {}", one.as_str().unwrap())));
}

#[test]
#[ignore = "needs chromium"]
fn the_layout_check_finds_problems() {
    let browser = Browser::start();
    let site = TestSite::with_bundles(&[]);
    browser.open(&site.page_url("/"));
    wait_until_loaded(&browser);
    let damage = "
        const plain = document.querySelector('#growth summary');
        Object.assign(plain.style, { outline: 'none' });
        document.querySelector('.top nav a').tabIndex = 5;
        document.querySelector('#space h2').setAttribute('aria-level', '4');
        const nameless = document.createElement('button');
        document.querySelector('main').append(nameless);";
    browser.js(damage, &json!([]));
    assert_eq!(
        accessibility_problems(&browser, &PAGES[0]).len(),
        2,
        "{:#?}",
        accessibility_problems(&browser, &PAGES[0])
    );
    let wrong = keyboard_problems(&browser);
    assert!(wrong[0].contains("tabindex") && wrong.iter().any(|one| one.contains("no focus is seen")), "{wrong:#?}");
    assert!(wrong.iter().any(|one| one.starts_with("0: ")), "{wrong:#?}");

    browser.open(&site.page_url("/"));
    wait_until_loaded(&browser);
    let damage = "
        const make = (name, style) => {
            const one = document.createElement(name);
            one.append('measured');
            Object.assign(one.style, style);
            document.querySelector('main').append(one);
        };
        make('p', { color: '#888', backgroundColor: '#fff' });
        make('p', { opacity: '0.4' });
        make('button', { borderColor: '#eee', color: '#000', backgroundColor: '#fff' });
        make('div', { width: '3000px' });";
    browser.js(damage, &json!([]));
    let mut wrong = Vec::new();
    record_layout_problems(&browser, "", &mut wrong);
    assert_eq!(wrong.len(), 4, "{wrong:#?}");
    for (one, text) in wrong.iter().zip([": 3.5", "text", "edge", "wide in a window"]) {
        assert!(one.contains(text), "{wrong:#?}");
    }
}

#[test]
#[ignore = "needs chromium"]
fn the_layout_does_not_shift_while_a_page_loads() {
    let browser = Browser::start();
    let site = site_with_every_element(&["--admin-token", "0123456789abcdef-admin"]);
    let local = site_with_every_element(&[]);
    let upstream = Upstream::start();
    let live = with_live_problems(&upstream);
    local.run_verify_job();
    let watch = "
        window.__moved = 0;
        window.__what = [];
        new PerformanceObserver((list) => {
            for (const one of list.getEntries()) {
                window.__moved += one.value;
                for (const { node } of one.sources) window.__what.push(node?.outerHTML?.slice(0, 150) ?? node?.data);
            }
        }).observe({ type: 'layout-shift', buffered: true });";
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": watch }));
    // Two frames later everything was drawn that the page will show.
    let drawn =
        "return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))))";
    for width in [320, 1400] {
        browser.resize(width, 900);
        for base in [&site, &local, &live] {
            for page in PAGES.iter().chain(VIEWS) {
                browser.open(&base.page_url(page.path));
                wait_until_loaded(&browser);
                browser.js("document.dispatchEvent(new Event('visibilitychange'))", &json!([]));
                browser.js("return fetch('./api/session').then(() => 0)", &json!([]));
                browser.js(drawn, &json!([]));
                let moved = browser.js("return window.__moved", &json!([])).as_f64().expect("a number");
                let what = || browser.js("return window.__what", &json!([]));
                assert!(moved < 0.05, "{width} {}: {moved}: {:#}", page.path, what());
            }
        }
    }
    // It is noticed where something moves.
    let push = "const one = document.createElement('div'); one.style.height = '400px'; document.body.prepend(one);";
    browser.js(push, &json!([]));
    browser.js(drawn, &json!([]));
    browser.wait_until("window.__moved > 0.05");
}
