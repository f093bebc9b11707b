//! Why something cannot be had from upstream, as a client is told.

use std::io;
use std::time::Duration;

use crate::http;

/// An answer without a file. Its text names no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 404 where there is no such file, 502 where upstream gave no good answer, 503 where another try may have more luck.
    pub status: u16,
    /// One line for people.
    pub text: String,
    /// After how long another try makes sense.
    pub retry_after: Option<Duration>,
    /// What the operator is told besides: it may name paths of this machine.
    detail: Option<String>,
    /// What came has other bytes than it must have.
    mismatch: bool,
    /// Every client had left.
    abandoned: bool,
    /// It was a prefetch that went beyond its budget.
    given_up: bool,
}

impl Refusal {
    /// There is no such file, or it is not offered.
    pub(super) fn absent(text: impl Into<String>) -> Refusal {
        Refusal { status: 404, ..Refusal::bad_gateway(text) }
    }

    /// Upstream gave no good answer.
    pub(super) fn bad_gateway(text: impl Into<String>) -> Refusal {
        Refusal {
            status: 502,
            text: text.into(),
            retry_after: None,
            detail: None,
            mismatch: false,
            abandoned: false,
            given_up: false,
        }
    }

    /// Nobody can be asked, for a reason that is the operator's alone.
    pub(super) fn misled(text: impl Into<String>, detail: impl Into<String>) -> Refusal {
        Refusal { detail: Some(detail.into()), ..Refusal::bad_gateway(text) }
    }

    /// Upstream cannot be asked now.
    pub(super) fn busy(text: impl Into<String>, retry_after: Duration) -> Refusal {
        Refusal { status: 503, retry_after: Some(retry_after), ..Refusal::bad_gateway(text) }
    }

    /// The download ended because every client had left.
    pub(super) fn abandoned(what: &str) -> Refusal {
        let text = format!("the download of {what} ended, because every client had left; try again");
        Refusal { abandoned: true, ..Refusal::busy(text, Duration::from_secs(1)) }
    }

    /// The prefetch of `what` went beyond its budget. No client waits for it.
    pub(super) fn given_up(what: &str) -> Refusal {
        Refusal { given_up: true, ..Refusal::bad_gateway(format!("the prefetch of {what} was given up")) }
    }

    /// The disk did not take it.
    pub(super) fn not_kept(what: &str, error: &io::Error) -> Refusal {
        let text = format!("the mirror could not keep {what}");
        Refusal { status: 507, detail: Some(told(error)), ..Refusal::bad_gateway(text) }
    }

    /// What an error of the wire is to a client that asked for `what`.
    pub(super) fn of_wire(what: &str, error: &http::Error) -> Refusal {
        match error {
            http::Error::NotFound { .. } => Refusal::absent(format!("upstream does not have {what}")),
            http::Error::Status { status: 429 | 503, .. } => {
                Refusal::busy(format!("upstream asks for patience for {what}"), Duration::from_secs(5))
            }
            http::Error::Taken { source, .. } | http::Error::Io { source, .. } => Refusal::not_kept(what, source),
            error @ http::Error::Checksum { .. } => Refusal { mismatch: true, ..Refusal::bad_gateway(told(error)) },
            error => Refusal::bad_gateway(format!("could not get {what} from upstream: {}", told(error))),
        }
    }

    /// What the operator is told.
    pub(super) fn in_full(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{}: {detail}", self.text),
            None => self.text.clone(),
        }
    }

    /// Whether something came that has other bytes than it must have.
    pub(super) fn is_mismatch(&self) -> bool {
        self.mismatch
    }

    /// Whether the download ended because every client had left.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Whether it was a prefetch that went beyond its budget.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// Whether the file is not there at all.
    pub fn is_absent(&self) -> bool {
        self.status == 404
    }
}

/// An error and its causes in one line.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Some errors repeat their cause.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// Whether an error says that upstream itself is in trouble, rather than that it has no such file.
pub(super) fn is_trouble(error: &http::Error) -> bool {
    match error {
        http::Error::Status { status, .. } => *status == 429 || *status >= 500,
        http::Error::Transport { .. } | http::Error::Certificate { .. } => true,
        _ => false,
    }
}
