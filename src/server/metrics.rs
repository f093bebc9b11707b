//! What was done so far, in numbers: kept in atomics that are found without a search, so that counting an answer costs a few
//! nanoseconds, and no lock.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hyper::StatusCode;

/// What a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
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

impl RequestKind {
    /// All of them.
    pub const ALL: [RequestKind; 9] = [
        RequestKind::Index,
        RequestKind::Crate,
        RequestKind::Dist,
        RequestKind::Rustup,
        RequestKind::Config,
        RequestKind::Script,
        RequestKind::Page,
        RequestKind::Api,
        RequestKind::Other,
    ];

    /// A word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            RequestKind::Index => "index",
            RequestKind::Crate => "crate",
            RequestKind::Dist => "dist",
            RequestKind::Rustup => "rustup",
            RequestKind::Config => "config",
            RequestKind::Script => "script",
            RequestKind::Page => "page",
            RequestKind::Api => "api",
            RequestKind::Other => "other",
        }
    }

    /// What a path asks for by its beginning; `None` where only the answer tells a page from nothing.
    pub(super) fn of_path(path: &str) -> Option<RequestKind> {
        let path = path.trim_start_matches('/');
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        Some(match (first, rest) {
            ("index", "config.json") => RequestKind::Config,
            ("index", _) => RequestKind::Index,
            // The page that lists crates has nothing after it.
            ("crates", "") => return None,
            ("crates", _) => RequestKind::Crate,
            ("dist", _) => RequestKind::Dist,
            ("rustup", _) => RequestKind::Rustup,
            ("rustup-init.sh" | "rustup-init.ps1", _) => RequestKind::Script,
            ("api", rest) if rest.starts_with("setup/") => RequestKind::Script,
            ("api", _) => RequestKind::Api,
            ("healthz" | "metrics" | "manifest.json", _) => RequestKind::Other,
            _ => return None,
        })
    }

    /// Whether it is a file of the mirror, whose absence somebody may want to hear of.
    pub fn is_mirror_file(self) -> bool {
        matches!(self, RequestKind::Index | RequestKind::Crate | RequestKind::Dist | RequestKind::Rustup)
    }
}

/// Statuses that are counted by themselves; others count as the last.
const STATUSES: [u16; 25] = [
    200, 201, 202, 204, 206, 302, 303, 304, 400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 416, 422, 429, 500, 502,
    503, 507,
];
const OTHER_STATUS: usize = STATUSES.len();
/// Where each status stands in [`STATUSES`], from 100 on.
const STATUS_INDEXES: [u8; 500] = status_indexes();

const fn status_indexes() -> [u8; 500] {
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
pub struct ServerMetrics {
    responses: [[AtomicU64; OTHER_STATUS + 1]; RequestKind::ALL.len()],
    bytes: [AtomicU64; RequestKind::ALL.len()],
    /// Answers that were in memory.
    pub cache_hits: AtomicU64,
    /// Answers whose file was opened.
    pub cache_misses: AtomicU64,
    /// Connections that are there now.
    pub open_connections: AtomicU64,
    /// Connections that came.
    pub total_connections: AtomicU64,
    /// Lines of the log that found no room to wait.
    pub dropped_log_lines: AtomicU64,
}

impl Default for ServerMetrics {
    fn default() -> ServerMetrics {
        ServerMetrics {
            responses: array::from_fn(|_| array::from_fn(|_| AtomicU64::new(0))),
            bytes: array::from_fn(|_| AtomicU64::new(0)),
            cache_hits: AtomicU64::new(0),
            cache_misses: AtomicU64::new(0),
            open_connections: AtomicU64::new(0),
            total_connections: AtomicU64::new(0),
            dropped_log_lines: AtomicU64::new(0),
        }
    }
}

impl ServerMetrics {
    /// An answer with a body of so many bytes.
    pub(super) fn record_response(&self, asked: RequestKind, status: StatusCode, bytes: u64) {
        let place = STATUS_INDEXES.get(usize::from(status.as_u16()) - 100).copied().map_or(OTHER_STATUS, usize::from);
        self.responses[asked as usize][place].fetch_add(1, Relaxed);
        self.bytes[asked as usize].fetch_add(bytes, Relaxed);
    }

    /// How many answers there were, by what was asked for and the status (`None`: a rare one); those of which there were any.
    pub fn responses(&self) -> impl Iterator<Item = (RequestKind, Option<u16>, u64)> {
        RequestKind::ALL.into_iter().flat_map(move |asked| {
            let counts = self.responses[asked as usize].iter().enumerate();
            counts.filter_map(move |(place, count)| {
                let count = count.load(Relaxed);
                (count > 0).then(|| (asked, STATUSES.get(place).copied(), count))
            })
        })
    }

    /// Bytes of the answers' bodies, by what was asked for.
    pub fn bytes(&self) -> impl Iterator<Item = (RequestKind, u64)> {
        RequestKind::ALL.into_iter().map(|asked| (asked, self.bytes[asked as usize].load(Relaxed)))
    }

    /// A connection that is there until the end of what is returned.
    pub(super) fn track_connection(&self) -> ConnectionGuard<'_> {
        self.total_connections.fetch_add(1, Relaxed);
        self.open_connections.fetch_add(1, Relaxed);
        ConnectionGuard(self)
    }
}

/// While this is there, a connection is.
pub(super) struct ConnectionGuard<'c>(&'c ServerMetrics);

impl Drop for ConnectionGuard<'_> {
    fn drop(&mut self) {
        self.0.open_connections.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_map_to_request_kinds() {
        for (path, wanted) in [
            ("/index/config.json", Some(RequestKind::Config)),
            ("//index//se/rd/serde", Some(RequestKind::Index)),
            ("/crates/serde/1.0.0/download", Some(RequestKind::Crate)),
            ("/crates", None),
            ("/crates/", None),
            ("/dist/channel-rust-stable.toml", Some(RequestKind::Dist)),
            ("/rustup/release-stable.toml", Some(RequestKind::Rustup)),
            ("/rustup-init.sh", Some(RequestKind::Script)),
            ("/api/setup/cargo-config", Some(RequestKind::Script)),
            ("/api/v1/crates", Some(RequestKind::Api)),
            ("/metrics", Some(RequestKind::Other)),
            ("/", None),
            ("/assets/style.css", None),
            ("*", None),
        ] {
            assert_eq!(RequestKind::of_path(path), wanted, "{path}");
        }
    }

    #[test]
    fn every_status_is_counted() {
        let counters = ServerMetrics::default();
        for code in [200, 200, 404, 418, 599, 999, 100] {
            counters.record_response(RequestKind::Crate, StatusCode::from_u16(code).expect("a status"), 10);
        }
        for (asked, place) in RequestKind::ALL.into_iter().zip(0..) {
            assert_eq!(asked as usize, place);
        }
        let counted: Vec<_> = counters.responses().collect();
        assert_eq!(
            counted,
            [(RequestKind::Crate, Some(200), 2), (RequestKind::Crate, Some(404), 1), (RequestKind::Crate, None, 4)]
        );
        assert_eq!(counters.bytes().find(|(asked, _)| *asked == RequestKind::Crate), Some((RequestKind::Crate, 70)));
        let connected = counters.track_connection();
        assert_eq!(counters.open_connections.load(Relaxed), 1);
        drop(connected);
        assert_eq!((counters.open_connections.load(Relaxed), counters.total_connections.load(Relaxed)), (0, 1));
    }
}
