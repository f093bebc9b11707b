//! Why something cannot be had from upstream, as a client is told.

use std::io;
use std::time::Duration;

use crate::http;

/// An answer without a file. Its text names no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveError {
    /// 404 where there is no such file, 502 where upstream gave no good answer, 503 where another try may have more luck.
    pub status: u16,
    /// One line for people.
    pub text: String,
    /// After how long another try makes sense.
    pub retry_after: Option<Duration>,
    /// What the operator is told besides: it may name paths of this machine.
    detail: Option<String>,
    /// What came has other bytes than it must have.
    is_mismatch: bool,
    /// Every client had left.
    is_abandoned: bool,
    /// It was a prefetch that went beyond its budget.
    given_up: bool,
}

impl LiveError {
    /// There is no such file, or it is not offered.
    pub(super) fn not_found(text: impl Into<String>) -> LiveError {
        LiveError { status: 404, ..LiveError::bad_gateway(text) }
    }

    /// Upstream gave no good answer.
    pub(super) fn bad_gateway(text: impl Into<String>) -> LiveError {
        LiveError {
            status: 502,
            text: text.into(),
            retry_after: None,
            detail: None,
            is_mismatch: false,
            is_abandoned: false,
            given_up: false,
        }
    }

    /// Nobody can be asked, for a reason that is the operator's alone.
    pub(super) fn misconfigured(text: impl Into<String>, detail: impl Into<String>) -> LiveError {
        LiveError { detail: Some(detail.into()), ..LiveError::bad_gateway(text) }
    }

    /// Upstream cannot be asked now.
    pub(super) fn unavailable(text: impl Into<String>, retry_after: Duration) -> LiveError {
        LiveError { status: 503, retry_after: Some(retry_after), ..LiveError::bad_gateway(text) }
    }

    /// The download ended because every client had left.
    pub(super) fn abandoned(what: &str) -> LiveError {
        let text = format!("the download of {what} ended, because every client had left; try again");
        LiveError { is_abandoned: true, ..LiveError::unavailable(text, Duration::from_secs(1)) }
    }

    /// The prefetch of `what` went beyond its budget. No client waits for it.
    pub(super) fn given_up(what: &str) -> LiveError {
        LiveError { given_up: true, ..LiveError::bad_gateway(format!("the prefetch of {what} was given up")) }
    }

    /// The disk did not take it.
    pub(super) fn store_failed(what: &str, error: &io::Error) -> LiveError {
        let text = format!("the mirror could not keep {what}");
        LiveError { status: 507, detail: Some(error_chain(error)), ..LiveError::bad_gateway(text) }
    }

    /// What an error of the wire is to a client that asked for `what`.
    pub(super) fn from_http(what: &str, error: &http::Error) -> LiveError {
        match error {
            http::Error::NotFound { .. } => LiveError::not_found(format!("upstream does not have {what}")),
            http::Error::Status { status: 429 | 503, .. } => {
                LiveError::unavailable(format!("upstream asks for patience for {what}"), Duration::from_secs(5))
            }
            http::Error::Sink { source, .. } | http::Error::Io { source, .. } => LiveError::store_failed(what, source),
            error @ http::Error::Checksum { .. } => {
                LiveError { is_mismatch: true, ..LiveError::bad_gateway(error_chain(error)) }
            }
            error => LiveError::bad_gateway(format!("could not get {what} from upstream: {}", error_chain(error))),
        }
    }

    /// What the operator is told.
    pub(super) fn operator_message(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{}: {detail}", self.text),
            None => self.text.clone(),
        }
    }

    /// Whether something came that has other bytes than it must have.
    pub(super) fn is_mismatch(&self) -> bool {
        self.is_mismatch
    }

    /// Whether the download ended because every client had left.
    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }

    /// Whether it was a prefetch that went beyond its budget.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// Whether the file is not there at all.
    pub fn is_not_found(&self) -> bool {
        self.status == 404
    }
}

/// An error and its causes in one line.
pub(super) fn error_chain(error: &dyn std::error::Error) -> String {
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
pub(super) fn is_upstream_failure(error: &http::Error) -> bool {
    match error {
        http::Error::Status { status, .. } => *status == 429 || *status >= 500,
        http::Error::Transport { .. } | http::Error::Certificate { .. } => true,
        _ => false,
    }
}
