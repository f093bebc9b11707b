//! The server's counters. They are atomics in fixed positions, so counting a response takes a few nanoseconds and no
//! lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hyper::StatusCode;

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Index entry of a crate.
    Index,
    /// A `.crate` file.
    Crate,
    /// A dist file.
    Dist,
    /// A rustup installer or its metadata.
    Rustup,
    /// The registry's config.json.
    Config,
    /// A script or configuration generated for the client.
    Script,
    /// A web page or one of its assets.
    Page,
    /// The REST API, or cargo's web API.
    Api,
    /// Anything else: health, metrics, and paths that do not exist.
    Other,
}

impl RequestKind {
    /// All kinds.
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

    /// The kind's label.
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

    /// The kind of a decoded path; `None` if only the response distinguishes a page from a missing path.
    pub(super) fn of_components(path: &[&str]) -> Option<RequestKind> {
        Some(match path {
            ["index", "config.json"] => RequestKind::Config,
            ["index", ..] => RequestKind::Index,
            // The page that lists all crates has no further component.
            ["crates", _, ..] => RequestKind::Crate,
            ["dist", ..] => RequestKind::Dist,
            ["rustup", ..] => RequestKind::Rustup,
            ["rustup-init.sh" | "rustup-init.ps1", ..] | ["api", "setup", _, ..] => RequestKind::Script,
            ["api", ..] => RequestKind::Api,
            ["healthz" | "metrics" | "manifest.json", ..] => RequestKind::Other,
            _ => return None,
        })
    }

    /// Whether it is a file of the mirror, so that a missing one is worth reporting.
    pub fn is_mirror_file(self) -> bool {
        matches!(self, RequestKind::Index | RequestKind::Crate | RequestKind::Dist | RequestKind::Rustup)
    }
}

/// Statuses with their own counter; all others share the last one.
const STATUSES: [u16; 25] = [
    200, 201, 202, 204, 206, 302, 303, 304, 400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 416, 422, 429, 500, 502,
    503, 507,
];
const OTHER_STATUS: usize = STATUSES.len();
/// The position of each status in [`STATUSES`], from 100 on.
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

/// The counters of a server. All but the open connections only increase.
#[derive(Debug, Default)]
pub struct ServerMetrics {
    responses: [[AtomicU64; OTHER_STATUS + 1]; RequestKind::ALL.len()],
    bytes: [AtomicU64; RequestKind::ALL.len()],
    /// Responses from the memory cache.
    pub cache_hits: AtomicU64,
    /// Responses for which a file was opened.
    pub cache_misses: AtomicU64,
    /// Currently open connections.
    pub open_connections: AtomicU64,
    /// Connections accepted since the start.
    pub total_connections: AtomicU64,
    /// Log lines dropped because the queue was full.
    pub dropped_log_lines: AtomicU64,
}

impl ServerMetrics {
    /// Counts a response with a body of `bytes` bytes.
    pub(super) fn record_response(&self, requested: RequestKind, status: StatusCode, bytes: u64) {
        let place = STATUS_INDEXES.get(usize::from(status.as_u16()) - 100).copied().map_or(OTHER_STATUS, usize::from);
        self.responses[requested as usize][place].fetch_add(1, Relaxed);
        self.bytes[requested as usize].fetch_add(bytes, Relaxed);
    }

    /// Numbers of responses by kind and status (`None`: a rare status), without zeros.
    pub fn responses(&self) -> impl Iterator<Item = (RequestKind, Option<u16>, u64)> {
        RequestKind::ALL.into_iter().flat_map(move |requested| {
            let counts = self.responses[requested as usize].iter().enumerate();
            counts.filter_map(move |(place, count)| {
                let count = count.load(Relaxed);
                (count > 0).then(|| (requested, STATUSES.get(place).copied(), count))
            })
        })
    }

    /// Bytes of the response bodies, by kind.
    pub fn bytes(&self) -> impl Iterator<Item = (RequestKind, u64)> {
        RequestKind::ALL.into_iter().map(|requested| (requested, self.bytes[requested as usize].load(Relaxed)))
    }

    /// Counts a connection as open until the guard is dropped.
    pub(super) fn track_connection(&self) -> ConnectionGuard<'_> {
        self.total_connections.fetch_add(1, Relaxed);
        self.open_connections.fetch_add(1, Relaxed);
        ConnectionGuard(self)
    }
}

/// Counts a connection as open while it exists.
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
            ("index/config.json", Some(RequestKind::Config)),
            ("index/se/rd/serde", Some(RequestKind::Index)),
            ("crates/serde/1.0.0/download", Some(RequestKind::Crate)),
            ("crates", None),
            ("dist/channel-rust-stable.toml", Some(RequestKind::Dist)),
            ("rustup/release-stable.toml", Some(RequestKind::Rustup)),
            ("rustup-init.sh", Some(RequestKind::Script)),
            ("api/setup/cargo-config", Some(RequestKind::Script)),
            ("api/v1/crates", Some(RequestKind::Api)),
            ("metrics", Some(RequestKind::Other)),
            ("", None),
            ("assets/style.css", None),
            ("*", None),
        ] {
            let components: Vec<&str> = path.split('/').collect();
            assert_eq!(RequestKind::of_components(&components), wanted, "{path}");
        }
    }

    #[test]
    fn every_status_is_counted() {
        let counters = ServerMetrics::default();
        for code in [200, 200, 404, 418, 599, 999, 100] {
            counters.record_response(RequestKind::Crate, StatusCode::from_u16(code).expect("a status"), 10);
        }
        for (requested, place) in RequestKind::ALL.into_iter().zip(0..) {
            assert_eq!(requested as usize, place);
        }
        let counted: Vec<_> = counters.responses().collect();
        assert_eq!(
            counted,
            [(RequestKind::Crate, Some(200), 2), (RequestKind::Crate, Some(404), 1), (RequestKind::Crate, None, 4)]
        );
        assert_eq!(
            counters.bytes().find(|(requested, _)| *requested == RequestKind::Crate),
            Some((RequestKind::Crate, 70))
        );
        let connected = counters.track_connection();
        assert_eq!(counters.open_connections.load(Relaxed), 1);
        drop(connected);
        assert_eq!((counters.open_connections.load(Relaxed), counters.total_connections.load(Relaxed)), (0, 1));
    }
}
