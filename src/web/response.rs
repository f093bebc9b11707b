//! Responses in JSON and HTML, and errors with a reason and a hint.

use std::io;

use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::visible_text::visible_text;
use crate::diagnostics::{Problem, ProblemList};
use crate::digest::Sha256;
use crate::durable;
use crate::error_chain::causes;
use crate::error_report::{ErrorClass, Failure};
use crate::event::Sink;
use crate::server::OutgoingBody;
pub(super) use crate::server::set_header;
use crate::server_context::ServerContext;
use crate::units::pluralize;

/// The result of a handler.
pub(super) type HandlerResult = Result<Response<OutgoingBody>, ApiError>;

/// The Content-Security-Policy of pages: only resources of this server, no inline script, no framing.
const PAGE_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// An error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    /// The message, a sentence without a full stop.
    pub(super) error: String,
    /// The hint.
    pub(super) hint: Option<String>,
    /// The allowed methods, for a 405 response.
    pub(super) allow: Option<Box<str>>,
    /// The value of Retry-After in seconds.
    pub(super) retry_after: Option<u64>,
    /// The problems of a TOML file.
    pub(super) problems: Box<[FileProblem]>,
    /// Details for the operator that the client may not see.
    pub(super) internal_message: Option<Box<str>>,
}

/// A problem of a TOML file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct FileProblem {
    /// The problem, and what to write instead.
    pub(super) message: String,
    /// The line in the file, from 1.
    pub(super) line: usize,
    /// The column in characters, from 1.
    pub(super) column: usize,
    /// The text of the line; absent if it contains credentials or is too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
}

/// The JSON form of an error.
#[derive(Serialize, JsonSchema)]
pub(super) struct ErrorBody {
    /// The problem and its reason.
    pub(super) error: String,
    /// The hint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
    /// The problems of a TOML file, in the order of its lines.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub(super) problems: Box<[FileProblem]>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> ApiError {
        let (error, problems) = (error.into(), Box::default());
        ApiError { status, error, hint: None, allow: None, retry_after: None, problems, internal_message: None }
    }

    /// The error for invalid contents of a TOML file. It names the file without its folder.
    pub(super) fn invalid_file(name: &str, list: &ProblemList) -> ApiError {
        let problem = |problem: &Problem| FileProblem {
            message: problem.message.clone(),
            line: problem.position().line,
            column: problem.position().column,
            source: problem.excerpt.source_line(),
        };
        let problems: Box<[FileProblem]> = list.problems.iter().map(problem).collect();
        let first = problems.first().map_or_else(String::new, |first| {
            format!(": line {}, column {}: {}", first.line, first.column, first.message)
        });
        let more = match problems.len().saturating_sub(1) + list.omitted {
            0 => String::new(),
            more => format!("; and {}", pluralize(more, "more problem")),
        };
        let error = format!("{name} is invalid{first}{more}");
        ApiError { problems, ..ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error) }
    }

    /// The error for an unknown job.
    pub(super) fn job_not_found() -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "the server has no such job")
            .with_hint("list the jobs since the server's start with /api/jobs")
    }

    #[must_use]
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> ApiError {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(super) fn with_internal_message(mut self, fault: impl Into<Box<str>>) -> ApiError {
        self.internal_message = Some(fault.into());
        self
    }

    /// The error as this client may see it: readers see no paths of the host.
    pub(super) fn visible(mut self, context: &ServerContext, is_admin: impl FnOnce() -> bool) -> ApiError {
        // Most errors have no path. For these, the tokens need not be checked.
        if self.hint.iter().chain([&self.error]).any(|text| text.contains("--mirror DIR") || text.contains('/')) {
            let is_admin = is_admin();
            for text in self.hint.iter_mut().chain([&mut self.error]) {
                *text = visible_text(context, text, is_admin);
            }
        }
        self
    }

    /// Reports an internal error of the request `what` to the operator. Error messages and route paths contain no secrets.
    pub(super) fn report(&self, sink: &dyn Sink, operation: &str) {
        if self.status.is_server_error() {
            let why = self.internal_message.as_deref().unwrap_or(&self.error);
            sink.warning(format!("{operation} was answered with {}: {why}", self.status.as_u16()));
        }
    }

    /// The error as JSON.
    pub(super) fn into_response(self) -> Response<OutgoingBody> {
        let ApiError { status, error, hint, allow, retry_after, problems, internal_message: _ } = self;
        let mut response = json_with_status(status, &ErrorBody { error, hint, problems });
        if status == StatusCode::UNAUTHORIZED {
            set_header(&mut response, WWW_AUTHENTICATE, "Bearer realm=\"frostmirror\"");
        }
        if let Some(allow) = allow {
            set_header(&mut response, ALLOW, &allow);
        }
        if let Some(seconds) = retry_after {
            set_header(&mut response, RETRY_AFTER, &seconds.to_string());
        }
        response
    }
}

/// The error with all its causes, in one line.
impl From<Failure> for ApiError {
    fn from(failure: Failure) -> ApiError {
        let status = match failure.class {
            ErrorClass::Bug => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorClass::Usage | ErrorClass::Input => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorClass::Integrity => StatusCode::CONFLICT,
            ErrorClass::Network => StatusCode::BAD_GATEWAY,
            ErrorClass::Locked | ErrorClass::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
            ErrorClass::Disk if is_write_denied(&failure) => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorClass::Disk => StatusCode::INSUFFICIENT_STORAGE,
        };
        ApiError { hint: failure.hint.clone(), ..ApiError::new(status, failure.one_line()) }
    }
}

/// Whether the server has no permission, so that free space does not help.
fn is_write_denied(failure: &Failure) -> bool {
    let mut causes = causes(failure.cause.as_ref());
    causes.any(|cause| cause.downcast_ref::<io::Error>().is_some_and(durable::is_write_denied))
}

/// A JSON response.
pub(super) fn json<T: Serialize>(body: &T) -> Response<OutgoingBody> {
    json_with_status(StatusCode::OK, body)
}

/// A JSON response with another status than 200.
pub(super) fn json_with_status<T: Serialize>(status: StatusCode, body: &T) -> Response<OutgoingBody> {
    let mut text = serde_json::to_string_pretty(body).expect("plain fields are JSON");
    text.push('\n');
    let mut response = with_content_type("application/json", text.into_bytes());
    *response.status_mut() = status;
    set_header(&mut response, CACHE_CONTROL, "no-store");
    response
}

/// A 204 response.
pub(super) fn no_content() -> Response<OutgoingBody> {
    let mut response = Response::new(OutgoingBody::from_bytes(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    set_header(&mut response, CACHE_CONTROL, "no-store");
    with_security_headers(response)
}

/// A web page.
pub(super) fn html(text: String) -> Response<OutgoingBody> {
    let mut response = with_content_type("text/html; charset=utf-8", text.into_bytes());
    set_header(&mut response, CACHE_CONTROL, "no-store");
    response
}

/// A response with bytes of a content type. Headers forbid sniffing, framing and scripts.
pub(super) fn with_content_type(kind: &str, bytes: impl Into<bytes::Bytes>) -> Response<OutgoingBody> {
    let bytes = bytes.into();
    let length = bytes.len() as u64;
    let mut response = Response::new(OutgoingBody::from_bytes(bytes));
    set_header(&mut response, CONTENT_TYPE, kind);
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    with_security_headers(response)
}

/// Adds headers that restrict what a browser may do with the response.
pub(super) fn with_security_headers(mut response: Response<OutgoingBody>) -> Response<OutgoingBody> {
    set_header(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set_header(&mut response, X_FRAME_OPTIONS, "DENY");
    set_header(&mut response, CONTENT_SECURITY_POLICY, PAGE_SECURITY_POLICY);
    set_header(&mut response, REFERRER_POLICY, "same-origin");
    response
}

/// A strong entity tag of this content.
pub(super) fn etag_of(content: &str) -> String {
    format!("\"{}\"", Sha256::of(content.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_becomes_a_one_line_message() {
        let io = io::Error::from(io::ErrorKind::StorageFull);
        let refusal = ApiError::from(Failure::io("could not write `x\u{1b}[2J`", io));
        assert_eq!(refusal.status, StatusCode::INSUFFICIENT_STORAGE);
        assert!(refusal.error.starts_with("could not write `x\u{fffd}[2J`: "), "{}", refusal.error);
        assert!(refusal.hint.is_some());
    }

    #[test]
    fn a_missing_permission_is_no_lack_of_space() {
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem] {
            let error = ApiError::from(Failure::io("could not write `x`", kind.into()));
            assert_eq!(error.status, StatusCode::INTERNAL_SERVER_ERROR, "{error:?}");
        }
    }
}
