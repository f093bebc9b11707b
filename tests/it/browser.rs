//! The pages in a real browser, as users work with them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::api::two_bundles;
use crate::bundle_builder::{BundleBuilder, import};
use crate::support::browser::Browser;
use crate::support::crates::Crate;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::{RawConnection, get};
use crate::support::wait;

mod accessibility;
mod verify_page;
mod gc_page;
mod hostile;
mod large_depends;
mod live;
mod login;
mod path_prefix;
mod setup;
mod snapshots;
mod no_javascript;
mod uploads;
mod navigation;

/// A page: where it is, and what it is called in the navigation and by its heading.
struct Page {
    path: &'static str,
    title: &'static str,
}

/// Every page of the navigation. What is true of all of them is tested with this list.
const PAGES: &[Page] = &[
    Page { path: "/", title: "Dashboard" },
    Page { path: "/deps", title: "Dependencies" },
    Page { path: "/config", title: "Configuration" },
    Page { path: "/packages", title: "Packages" },
    Page { path: "/browse", title: "Crates" },
    Page { path: "/setup", title: "Client Setup" },
    Page { path: "/guide", title: "Guide" },
];
/// What else they show.
const VIEWS: &[Page] = &[
    Page { path: "/browse?q=le", title: "Crates" },
    Page { path: "/browse?q=nosuch", title: "Crates" },
    Page { path: "/browse?crate=leaf", title: "Crates" },
    Page { path: "/guide?chapter=operating", title: "Guide" },
    Page { path: "/guide?chapter=reference", title: "Guide" },
];

/// A server with a mirror.
struct TestSite {
    sandbox: Sandbox,
    server: RunningServer,
}

impl TestSite {
    /// A server of a mirror with two bundles of one history, with further flags.
    fn with_bundles(flags: &[&str]) -> TestSite {
        let sandbox = Sandbox::new();
        for bundle in two_bundles(&sandbox) {
            import(&sandbox.path("mirror"), &bundle).unwrap();
        }
        TestSite::start(sandbox, flags)
    }

    /// A server without a mirror.
    fn empty(flags: &[&str]) -> TestSite {
        TestSite::start(Sandbox::new(), flags)
    }

    /// A server without a mirror that only those read who have this token, or another one that the flags name.
    fn with_reader_token(reader: &str, flags: &[&str]) -> TestSite {
        let sandbox = Sandbox::new();
        sandbox.write("config/frostmirror.toml", "auth_required = true\nread_token_file = 'readers'\n");
        sandbox.write("config/readers", reader);
        TestSite::start(sandbox, flags)
    }

    fn start(sandbox: Sandbox, flags: &[&str]) -> TestSite {
        let folders = ["--mirror", "mirror", "--incoming", "incoming", "--config-dir", "config"];
        let serving = sandbox.serve(folders.iter().chain(flags));
        TestSite { sandbox, server: serving }
    }

    /// The address of a page.
    fn page_url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }

    fn url(&self) -> &str {
        self.server.url()
    }

    /// Has every file checked, as a job, and waits for its end.
    fn run_verify_job(&self) {
        let head = "POST /api/verify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(RawConnection::connect(self.url()).send(head).read_reply().status, 202);
        wait::until("the job ends", || !get(self.url(), "/api/jobs", &[]).text().contains("\"running\""));
    }

    /// A bundle of another history, with one crate, beside the mirror.
    fn write_bundle(&self, name: &str) -> PathBuf {
        let made = self.sandbox.path("made");
        fs::create_dir_all(&made).unwrap();
        BundleBuilder::new("other", 1).ship(Crate::new("fresh", "0.3.0")).write(&made, name)
    }

    /// The same, damaged in its middle.
    fn write_corrupt_bundle(&self, name: &str) -> PathBuf {
        let path = self.write_bundle(name);
        corrupt_file(&path);
        path
    }
}

/// Waits until the page is loaded and its modules have begun.
fn wait_until_loaded(browser: &Browser) {
    browser.wait_until("document.readyState === 'complete'");
}

/// Makes a byte in the middle of a file another.
fn corrupt_file(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(path, bytes).unwrap();
}

/// A file's name.
fn file_name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}
