//! The pages in a real browser, as somebody uses them.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::console::two_bundles;
use crate::import_bundle::{Make, import};
use crate::support::browser::Browser;
use crate::support::crates::Crate;
use crate::support::published::{Wire, get};
use crate::support::sandbox::{Sandbox, Serving};

mod accessible;
mod checking;
mod collecting;
mod hostile;
mod large;
mod live;
mod login;
mod prefixed;
mod setup;
mod snapshots;
mod unscripted;
mod uploads;
mod walk;

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
struct Site {
    sandbox: Sandbox,
    serving: Serving,
}

impl Site {
    /// A server of a mirror with two bundles of one history, with further flags.
    fn filled(flags: &[&str]) -> Site {
        let sandbox = Sandbox::new();
        for bundle in two_bundles(&sandbox) {
            import(&sandbox.path("mirror"), &bundle).unwrap();
        }
        Site::of(sandbox, flags)
    }

    /// A server without a mirror.
    fn empty(flags: &[&str]) -> Site {
        Site::of(Sandbox::new(), flags)
    }

    /// A server without a mirror that only those read who have this token, or another one that the flags name.
    fn closed(reader: &str, flags: &[&str]) -> Site {
        let sandbox = Sandbox::new();
        sandbox.write("config/frostmirror.toml", "auth_required = true\nread_token_file = 'readers'\n");
        sandbox.write("config/readers", reader);
        Site::of(sandbox, flags)
    }

    fn of(sandbox: Sandbox, flags: &[&str]) -> Site {
        let folders = ["--mirror", "mirror", "--incoming", "incoming", "--config-dir", "config"];
        let serving = sandbox.serve(folders.iter().chain(flags));
        Site { sandbox, serving }
    }

    /// The address of a page.
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.serving.url())
    }

    fn url(&self) -> &str {
        self.serving.url()
    }

    /// Has every file checked, as a job, and waits for its end.
    fn job(&self) {
        let head = "POST /api/verify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(Wire::to(self.url()).send(head).reply().status, 202);
        let until = Instant::now() + Duration::from_secs(60);
        while get(self.url(), "/api/jobs", &[]).text().contains("\"running\"") {
            assert!(Instant::now() < until, "the job does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// A bundle of another history, with one crate, beside the mirror.
    fn bundle(&self, name: &str) -> PathBuf {
        let made = self.sandbox.path("made");
        fs::create_dir_all(&made).unwrap();
        Make::new("other", 1).ship(Crate::new("fresh", "0.3.0")).write(&made, name)
    }

    /// The same, damaged in its middle.
    fn damaged_bundle(&self, name: &str) -> PathBuf {
        let path = self.bundle(name);
        damage(&path);
        path
    }
}

/// Waits until the page is loaded and its modules have begun.
fn settle(browser: &Browser) {
    browser.wait_until("document.readyState === 'complete'");
}

/// Makes a byte in the middle of a file another.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(path, bytes).unwrap();
}

/// A file's name.
fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}
