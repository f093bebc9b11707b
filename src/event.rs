//! What library functions report while they work. They take a sink and know nothing of terminals; `report.rs` draws.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// What is being counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Index files and passes of cargo.
    Resolving,
    /// Crates over the network.
    Downloading,
    /// Entries into a bundle.
    Packing,
    /// Entries of a bundle, checked.
    Verifying,
    /// Entries of a bundle, staged into a mirror.
    Importing,
    /// Crates of a mirror, copied out of it.
    Exporting,
}

impl Phase {
    /// The verb that a bar or a line begins with, in cargo's style.
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

/// One report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A step was taken: a right-aligned green verb and a sentence, as cargo prints them.
    Status {
        /// One word, e.g. `Packed`.
        verb: &'static str,
        /// The rest of the line.
        message: String,
    },
    /// Something that the user should know, though the work goes on.
    Warning(String),
    /// Detail that is shown with `-v` only.
    Detail(String),
    /// A counted phase begins.
    Begin {
        /// Which.
        phase: Phase,
        /// Items to come.
        items: u64,
        /// Bytes to come; 0 where nobody knows.
        bytes: u64,
    },
    /// Some of a phase is done.
    Advance {
        /// Which.
        phase: Phase,
        /// Items finished since the last report.
        items: u64,
        /// Bytes handled since the last report.
        bytes: u64,
    },
    /// A counted phase is over.
    End {
        /// Which.
        phase: Phase,
    },
    /// A request was answered.
    Request(RequestEvent),
}

/// A request and what it was answered with: no query, no header but one, so that no secret can be in it. Texts are the client's,
/// and bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestEvent {
    /// When the answer began.
    pub time: SystemTime,
    /// The other end of the connection; behind a proxy, the proxy.
    pub peer: SocketAddr,
    /// The method.
    pub method: String,
    /// The path as it was asked for.
    pub path: String,
    /// The answer's status.
    pub status: u16,
    /// Bytes of the answer's body, as they were declared.
    pub bytes: u64,
    /// From the end of the request's head to the end of the answer's.
    pub duration: Duration,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// Whether a file was asked for that the mirror does not have.
    pub is_missing: bool,
}

/// Where reports go. Called from several threads at once.
pub trait Sink: Send + Sync {
    /// Takes one report. Must be quick; it is called in the middle of work.
    fn event(&self, event: Event);

    /// Whether the work is to be broken off. Long work on threads that nobody else can end asks now and then.
    fn is_cancelled(&self) -> bool {
        false
    }

    /// Tells that the work is as good as done, and can no longer be broken off; `false` where it has been already.
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
    fn detail(&self, message: String) {
        self.event(Event::Detail(message));
    }
}

/// A sink that drops every report; for callers that only want the outcome.
pub struct NullSink;

impl Sink for NullSink {
    fn event(&self, _: Event) {}
}

/// A number of crates, as a status line has it.
pub fn format_crates(count: u64) -> String {
    if count == 1 { "1 crate".to_owned() } else { format!("{count} crates") }
}

/// A number of rustup artifacts, as a status line has it: `1 rustup artifact`, `0 rustup artifacts`.
pub fn format_dist_files(count: u64) -> String {
    if count == 1 { "1 rustup artifact".to_owned() } else { format!("{count} rustup artifacts") }
}

/// Crates and rustup artifacts together: `1 crate and 2 rustup artifacts`; of what there is none of, nothing is said.
pub fn format_contents(crate_count: u64, dist_file_count: u64) -> String {
    match (crate_count, dist_file_count) {
        (count, 0) => format_crates(count),
        (0, count) => format_dist_files(count),
        (count, artifacts) => format!("{} and {}", format_crates(count), format_dist_files(artifacts)),
    }
}

/// A size, as a status line has it: binary units.
pub fn format_size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}
