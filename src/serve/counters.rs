//! What was done so far, in numbers: kept in atomics that are found without a search, so that counting an answer costs a few
//! nanoseconds, and no lock.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hyper::StatusCode;

/// What a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Index lines of a crate.
    Index,
    /// A crate's file.
    Crate,
    /// A file of a toolchain.
    Dist,
    /// A file of rustup.
    Rustup,
    /// The registry's own config.json.
    Config,
    /// A script or a configuration that is made for the asking client.
    Script,
    /// A web page, and what it loads.
    Page,
    /// The REST API, and cargo's.
    Api,
    /// Anything else: health, figures, and what is not there.
    Other,
}

impl Asked {
    /// All of them.
    pub const ALL: [Asked; 9] = [
        Asked::Index,
        Asked::Crate,
        Asked::Dist,
        Asked::Rustup,
        Asked::Config,
        Asked::Script,
        Asked::Page,
        Asked::Api,
        Asked::Other,
    ];

    /// A word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Asked::Index => "index",
            Asked::Crate => "crate",
            Asked::Dist => "dist",
            Asked::Rustup => "rustup",
            Asked::Config => "config",
            Asked::Script => "script",
            Asked::Page => "page",
            Asked::Api => "api",
            Asked::Other => "other",
        }
    }

    /// What a path asks for by its beginning; `None` where only the answer tells a page from nothing.
    pub(super) fn of_path(path: &str) -> Option<Asked> {
        let path = path.trim_start_matches('/');
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        Some(match (first, rest) {
            ("index", "config.json") => Asked::Config,
            ("index", _) => Asked::Index,
            // The page that lists crates has nothing after it.
            ("crates", "") => return None,
            ("crates", _) => Asked::Crate,
            ("dist", _) => Asked::Dist,
            ("rustup", _) => Asked::Rustup,
            ("rustup-init.sh" | "rustup-init.ps1", _) => Asked::Script,
            ("api", rest) if rest.starts_with("setup/") => Asked::Script,
            ("api", _) => Asked::Api,
            ("healthz" | "metrics" | "manifest.json", _) => Asked::Other,
            _ => return None,
        })
    }

    /// Whether it is a file of the mirror, whose absence somebody may want to hear of.
    pub fn is_held(self) -> bool {
        matches!(self, Asked::Index | Asked::Crate | Asked::Dist | Asked::Rustup)
    }
}

/// Statuses that are counted by themselves; others count as the last.
const STATUSES: [u16; 25] = [
    200, 201, 202, 204, 206, 302, 303, 304, 400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 416, 422, 429, 500, 502,
    503, 507,
];
const OTHER_STATUS: usize = STATUSES.len();
/// Where each status stands in [`STATUSES`], from 100 on.
const PLACES: [u8; 500] = places();

const fn places() -> [u8; 500] {
    let mut places = [25; 500];
    let mut place = 0u8;
    while (place as usize) < STATUSES.len() {
        places[STATUSES[place as usize] as usize - 100] = place;
        place += 1;
    }
    places
}

/// The figures of a server; all of them only grow, but for those that are open.
#[derive(Debug)]
pub struct Counters {
    answers: [[AtomicU64; OTHER_STATUS + 1]; Asked::ALL.len()],
    bytes: [AtomicU64; Asked::ALL.len()],
    /// Answers that were in memory.
    pub hot_hits: AtomicU64,
    /// Answers whose file was opened.
    pub hot_misses: AtomicU64,
    /// Connections that are there now.
    pub open_connections: AtomicU64,
    /// Connections that came.
    pub connections: AtomicU64,
    /// Lines of the log that found no room to wait.
    pub lines_dropped: AtomicU64,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            answers: array::from_fn(|_| array::from_fn(|_| AtomicU64::new(0))),
            bytes: array::from_fn(|_| AtomicU64::new(0)),
            hot_hits: AtomicU64::new(0),
            hot_misses: AtomicU64::new(0),
            open_connections: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            lines_dropped: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// An answer with a body of so many bytes.
    pub(super) fn answered(&self, asked: Asked, status: StatusCode, bytes: u64) {
        let place = PLACES.get(usize::from(status.as_u16()) - 100).copied().map_or(OTHER_STATUS, usize::from);
        self.answers[asked as usize][place].fetch_add(1, Relaxed);
        self.bytes[asked as usize].fetch_add(bytes, Relaxed);
    }

    /// How many answers there were, by what was asked for and the status (`None`: a rare one); those of which there were any.
    pub fn answers(&self) -> impl Iterator<Item = (Asked, Option<u16>, u64)> {
        Asked::ALL.into_iter().flat_map(move |asked| {
            let counts = self.answers[asked as usize].iter().enumerate();
            counts.filter_map(move |(place, count)| {
                let count = count.load(Relaxed);
                (count > 0).then(|| (asked, STATUSES.get(place).copied(), count))
            })
        })
    }

    /// Bytes of the answers' bodies, by what was asked for.
    pub fn bytes(&self) -> impl Iterator<Item = (Asked, u64)> {
        Asked::ALL.into_iter().map(|asked| (asked, self.bytes[asked as usize].load(Relaxed)))
    }

    /// A connection that is there until the end of what is returned.
    pub(super) fn connected(&self) -> Connected<'_> {
        self.connections.fetch_add(1, Relaxed);
        self.open_connections.fetch_add(1, Relaxed);
        Connected(self)
    }
}

/// While this is there, a connection is.
pub(super) struct Connected<'c>(&'c Counters);

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.open_connections.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_tell_what_is_asked_for() {
        for (path, wanted) in [
            ("/index/config.json", Some(Asked::Config)),
            ("//index//se/rd/serde", Some(Asked::Index)),
            ("/crates/serde/1.0.0/download", Some(Asked::Crate)),
            ("/crates", None),
            ("/crates/", None),
            ("/dist/channel-rust-stable.toml", Some(Asked::Dist)),
            ("/rustup/release-stable.toml", Some(Asked::Rustup)),
            ("/rustup-init.sh", Some(Asked::Script)),
            ("/api/setup/cargo-config", Some(Asked::Script)),
            ("/api/v1/crates", Some(Asked::Api)),
            ("/metrics", Some(Asked::Other)),
            ("/", None),
            ("/assets/style.css", None),
            ("*", None),
        ] {
            assert_eq!(Asked::of_path(path), wanted, "{path}");
        }
    }

    #[test]
    fn every_status_is_counted() {
        let counters = Counters::default();
        for code in [200, 200, 404, 418, 599, 999, 100] {
            counters.answered(Asked::Crate, StatusCode::from_u16(code).expect("a status"), 10);
        }
        for (asked, place) in Asked::ALL.into_iter().zip(0..) {
            assert_eq!(asked as usize, place);
        }
        let counted: Vec<_> = counters.answers().collect();
        assert_eq!(counted, [(Asked::Crate, Some(200), 2), (Asked::Crate, Some(404), 1), (Asked::Crate, None, 4)]);
        assert_eq!(counters.bytes().find(|(asked, _)| *asked == Asked::Crate), Some((Asked::Crate, 70)));
        let connected = counters.connected();
        assert_eq!(counters.open_connections.load(Relaxed), 1);
        drop(connected);
        assert_eq!((counters.open_connections.load(Relaxed), counters.connections.load(Relaxed)), (0, 1));
    }
}
