//! Progress reports of library functions. They use a sink and do not depend on a terminal; `terminal.rs` displays them.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::http::{HttpReport, RequestReport};
use crate::units;

/// The kind of counted work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Resolving: index files and runs of cargo.
    Resolving,
    /// Downloading crates.
    Downloading,
    /// Packing entries into a bundle.
    Packing,
    /// Verifying entries of a bundle.
    Verifying,
    /// Staging entries of a bundle into a mirror.
    Importing,
    /// Copying crates out of a mirror.
    Exporting,
}

impl Phase {
    /// The verb at the start of a progress bar or line, in cargo's style.
    pub fn verb(self) -> &'static str {
        match self {
            Phase::Resolving => "Resolving",
            Phase::Downloading => "Downloading",
            Phase::Packing => "Packing",
            Phase::Verifying => "Verifying",
            Phase::Importing => "Importing",
            Phase::Exporting => "Exporting",
        }
    }
}

/// A report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A step: a right-aligned green verb and a sentence, in cargo's style.
    Status {
        /// A verb, e.g. `Packed`.
        verb: &'static str,
        /// The rest of the line.
        message: String,
    },
    /// A warning; the work continues.
    Warning(String),
    /// A detail, only shown with `-v`: an action and the object that it concerns.
    Detail {
        /// A verb, e.g. `Downloaded`.
        verb: &'static str,
        /// The rest of the line.
        message: String,
    },
    /// A finer detail, only shown with `-vv`, e.g. a line that cargo printed.
    Trace {
        /// A verb, e.g. `Cargo`.
        verb: &'static str,
        /// The rest of the line.
        message: String,
    },
    /// The HTTP client completed a request; only shown with `-vv`.
    HttpRequest(RequestReport),
    /// A counted phase begins.
    Begin {
        /// The phase.
        phase: Phase,
        /// The number of items.
        items: u64,
        /// The number of bytes; 0 if unknown.
        bytes: u64,
    },
    /// Progress of a phase.
    Advance {
        /// The phase.
        phase: Phase,
        /// Items finished since the last report.
        items: u64,
        /// Bytes processed since the last report.
        bytes: u64,
    },
    /// A counted phase ends.
    End {
        /// The phase.
        phase: Phase,
    },
    /// The server answered a request.
    Request(RequestEvent),
}

/// A request and its response. It has no query and only one header, so that it contains no secret. The client chose the
/// texts; their length is limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestEvent {
    /// When the response began.
    pub time: SystemTime,
    /// The peer's address; behind a proxy, the proxy's.
    pub peer: SocketAddr,
    /// The method.
    pub method: String,
    /// The requested path.
    pub path: String,
    /// The status.
    pub status: u16,
    /// The declared size of the response body in bytes.
    pub bytes: u64,
    /// From the end of the request's head to the end of the response's head.
    pub duration: Duration,
    /// The user agent.
    pub user_agent: Option<String>,
    /// Whether the request named a file that the mirror lacks.
    pub is_missing: bool,
}

/// Receives reports from several threads at once.
pub trait Sink: Send + Sync {
    /// Handles a report. It must be fast, because it is called in the middle of work.
    fn event(&self, event: Event);

    /// Whether the work is cancelled. Long work on its own threads checks this regularly.
    fn is_cancelled(&self) -> bool {
        false
    }

    /// Announces that the work can no longer be cancelled; returns `false` if it is already cancelled.
    fn enter_commit(&self) -> bool {
        true
    }

    /// Reports a step.
    fn status(&self, verb: &'static str, message: String) {
        self.event(Event::Status { verb, message });
    }

    /// Reports a warning.
    fn warning(&self, message: String) {
        self.event(Event::Warning(message));
    }

    /// Reports a detail.
    fn detail(&self, verb: &'static str, message: String) {
        self.event(Event::Detail { verb, message });
    }

    /// Reports a finer detail.
    fn trace(&self, verb: &'static str, message: String) {
        self.event(Event::Trace { verb, message });
    }

    /// Reports a request or a retry of the HTTP client. If a host fails, many requests are retried at once; the first
    /// one is a step, and the others are details.
    fn http(&self, report: HttpReport) {
        match report {
            HttpReport::Request(request) => self.event(Event::HttpRequest(request)),
            HttpReport::Retry(retry) if retry.is_first => self.status("Retrying", retry.to_string()),
            HttpReport::Retry(retry) => self.trace("Retrying", retry.to_string()),
        }
    }
}

/// A sink that drops every report.
pub struct NullSink;

impl Sink for NullSink {
    fn event(&self, _: Event) {}
}

/// A number of crates for a status line.
pub fn format_crates(count: u64) -> String {
    units::pluralize(count, "crate")
}

/// A number of dist files for a status line: `1 rustup artifact`, `0 rustup artifacts`.
pub fn format_dist_files(count: u64) -> String {
    units::pluralize(count, "rustup artifact")
}

/// Crates and dist files together: `1 crate and 2 rustup artifacts`; zeros are omitted.
pub fn format_contents(crate_count: u64, dist_file_count: u64) -> String {
    match (crate_count, dist_file_count) {
        (count, 0) => format_crates(count),
        (0, count) => format_dist_files(count),
        (count, artifacts) => format!("{} and {}", format_crates(count), format_dist_files(artifacts)),
    }
}

/// A size for a status line, in binary units: `512 B`, `1.30 MiB`.
pub fn format_size(bytes: u64) -> String {
    units::approximate_size(bytes, 2)
}
