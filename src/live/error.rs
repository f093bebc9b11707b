//! Why a file cannot be fetched from upstream, as shown to a client.

use std::io;
use std::time::Duration;

use crate::error_chain::{causes, one_line};
use crate::http;

/// The status of a response to a request that this server sent itself (508, Loop Detected).
pub const LOOP_STATUS: u16 = 508;

/// An error response. Its text contains no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveError {
    /// 404 if the file does not exist, 500 if the server may not write to the mirror, 502 if upstream gave no valid answer, 503
    /// if a retry may succeed, 507 if the disk is full.
    pub status: u16,
    /// One line for people.
    pub text: String,
    /// When a retry makes sense.
    pub retry_after: Option<Duration>,
    /// Further details for the operator; they may contain local paths.
    detail: Option<String>,
    /// The received bytes differ from the expected ones.
    is_mismatch: bool,
    /// All clients had left.
    is_abandoned: bool,
    /// A prefetch exceeded its budget.
    given_up: bool,
    /// The disk of the mirror is full.
    is_disk_full: bool,
}

impl LiveError {
    /// The file does not exist, or is not offered.
    pub(super) fn not_found(text: impl Into<String>) -> LiveError {
        LiveError { status: 404, ..LiveError::bad_gateway(text) }
    }

    /// Upstream gave no valid answer.
    pub(super) fn bad_gateway(text: impl Into<String>) -> LiveError {
        LiveError {
            status: 502,
            text: text.into(),
            retry_after: None,
            detail: None,
            is_mismatch: false,
            is_abandoned: false,
            given_up: false,
            is_disk_full: false,
        }
    }

    /// No upstream is usable; only the operator sees the reason.
    pub(super) fn misconfigured(text: impl Into<String>, detail: impl Into<String>) -> LiveError {
        LiveError { detail: Some(detail.into()), ..LiveError::bad_gateway(text) }
    }

    /// Upstream is not usable at the moment.
    pub(super) fn unavailable(text: impl Into<String>, retry_after: Duration) -> LiveError {
        LiveError { status: 503, retry_after: Some(retry_after), ..LiveError::bad_gateway(text) }
    }

    /// The download ended because all clients had left.
    pub(super) fn abandoned(what: &str) -> LiveError {
        let text = format!("the download of {what} was cancelled, because every client disconnected; try again");
        LiveError { is_abandoned: true, ..LiveError::unavailable(text, Duration::from_secs(1)) }
    }

    /// The prefetch of `what` exceeded its budget. No client waits for it.
    pub(super) fn given_up(what: &str) -> LiveError {
        LiveError { given_up: true, ..LiveError::bad_gateway(format!("the prefetch of {what} was cancelled")) }
    }

    /// The disk write failed.
    pub(super) fn store_failed(what: &str, error: &io::Error) -> LiveError {
        let (status, why) = match error.kind() {
            io::ErrorKind::PermissionDenied => (500, ": the server has no permission to write to the mirror"),
            io::ErrorKind::ReadOnlyFilesystem => (500, ": the mirror is on a read-only file system"),
            _ if is_full(error) => (507, ": its disk is full; ask its operator to free space"),
            _ => (507, ": the log of its server states the reason"),
        };
        let text = format!("the mirror could not store {what}{why}");
        let is_disk_full = is_full(error);
        LiveError { status, detail: Some(one_line(error)), is_disk_full, ..LiveError::bad_gateway(text) }
    }

    /// Converts an HTTP error for a client that requested `what`.
    pub(super) fn from_http(what: &str, error: &http::Error) -> LiveError {
        match error {
            http::Error::NotFound { .. } => LiveError::not_found(format!("upstream does not have {what}")),
            http::Error::Status { status: 429 | 503, .. } => LiveError::unavailable(
                format!("upstream is overloaded and did not send {what}; try again"),
                Duration::from_secs(5),
            ),
            http::Error::Sink { source, .. } | http::Error::Io { source, .. } => LiveError::store_failed(what, source),
            http::Error::Status { status: LOOP_STATUS, .. } => LiveError::bad_gateway(format!(
                "could not fetch {what}: the upstream of this server is the server itself, which its operator must change"
            )),
            error @ http::Error::Checksum { .. } => {
                LiveError { is_mismatch: true, ..LiveError::bad_gateway(one_line(error)) }
            }
            error => LiveError::bad_gateway(format!("could not fetch {what} from upstream: {}", one_line(error))),
        }
    }

    /// The text for the operator.
    pub(super) fn operator_message(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{}: {detail}", self.text),
            None => self.text.clone(),
        }
    }

    /// Whether the received bytes differ from the expected ones.
    pub(super) fn is_mismatch(&self) -> bool {
        self.is_mismatch
    }

    /// Whether the disk of the mirror is full.
    pub(super) fn is_disk_full(&self) -> bool {
        self.is_disk_full
    }

    /// Whether the download ended because all clients had left.
    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }

    /// Whether it was a prefetch that exceeded its budget.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// Whether the file does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status == 404
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether the error, or one of its causes, is that the disk is full.
pub(super) fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<io::Error>().is_some_and(is_full))
}

/// Whether the answer shows that the upstream is this server itself.
pub(super) fn is_own_server(error: &http::Error) -> bool {
    matches!(error, http::Error::Status { status: LOOP_STATUS, .. })
}

/// Whether an error means that upstream itself has a problem, rather than that it lacks the file.
pub(super) fn is_upstream_failure(error: &http::Error) -> bool {
    match error {
        http::Error::Status { status, .. } => *status == 429 || *status >= 500 && *status != LOOP_STATUS,
        http::Error::Transport { .. } | http::Error::Certificate { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_states_whether_space_or_permission_is_missing() {
        let stored = |kind: io::ErrorKind| {
            let LiveError { status, text, .. } = LiveError::store_failed("a 1.0.0", &kind.into());
            (status, text)
        };
        let text = "the mirror could not store a 1.0.0";
        let full = format!("{text}: its disk is full; ask its operator to free space");
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert_eq!(stored(kind), (507, full.clone()));
            assert!(LiveError::store_failed("a", &kind.into()).is_disk_full() && is_disk_full(&io::Error::from(kind)));
        }
        let other = io::ErrorKind::NotADirectory;
        assert_eq!(stored(other), (507, format!("{text}: the log of its server states the reason")));
        assert!(!LiveError::store_failed("a", &other.into()).is_disk_full());
        let denied = format!("{text}: the server has no permission to write to the mirror");
        assert_eq!(stored(io::ErrorKind::PermissionDenied), (500, denied));
        let read_only = format!("{text}: the mirror is on a read-only file system");
        assert_eq!(stored(io::ErrorKind::ReadOnlyFilesystem), (500, read_only));
    }
}
