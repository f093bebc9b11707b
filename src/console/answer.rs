//! Answers in JSON and HTML, and refusals that say why and what to do.

use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Sink;
use crate::failure::{Class, Failure, printable};
use crate::serve::Content;

/// What a handler comes to.
pub(super) type Outcome = Result<Response<Content>, Refusal>;

/// A page loads nothing but what this server has, runs no script in its text, and is shown in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A request that is not answered, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// A sentence without a full stop.
    pub(super) error: String,
    /// What to do next.
    pub(super) hint: Option<String>,
    /// Methods that the path knows, where that is what is wrong.
    pub(super) allow: Option<String>,
    /// Seconds after which the client may try again.
    pub(super) retry_after: Option<u64>,
    /// What the operator is told, where that is more than the client may know.
    pub(super) fault: Option<String>,
}

/// How a refusal is written.
#[derive(Serialize, JsonSchema)]
pub(super) struct RefusalBody {
    /// What is wrong, and why.
    pub(super) error: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Refusal {
        Refusal { status, error: error.into(), hint: None, allow: None, retry_after: None, fault: None }
    }

    /// That there is no such job.
    pub(super) fn no_job() -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "there is no such job")
            .hint("jobs are forgotten when the server ends; /api/jobs lists those that are known")
    }

    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Refusal {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(super) fn fault(mut self, fault: impl Into<String>) -> Refusal {
        self.fault = Some(fault.into());
        self
    }

    /// Reports a refusal that is the server's own fault and not the client's, of whoever asked for `what`. The texts of
    /// failures hold no secrets, and neither do the paths of routes.
    pub(super) fn report(&self, sink: &dyn Sink, what: &str) {
        if self.status.is_server_error() {
            let why = self.fault.as_ref().unwrap_or(&self.error);
            sink.warning(format!("{what} was answered with {}: {why}", self.status.as_u16()));
        }
    }

    /// The refusal as JSON.
    pub(super) fn into_response(self) -> Response<Content> {
        let Refusal { status, error, hint, allow, retry_after, fault: _ } = self;
        let mut response = json_with(status, &RefusalBody { error, hint });
        if status == StatusCode::UNAUTHORIZED {
            set(&mut response, WWW_AUTHENTICATE, "Bearer realm=\"frostmirror\"");
        }
        if let Some(allow) = allow {
            set(&mut response, ALLOW, &allow);
        }
        if let Some(seconds) = retry_after {
            set(&mut response, RETRY_AFTER, &seconds.to_string());
        }
        response
    }
}

/// The whole chain of what went wrong, in one line.
impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        let status = match failure.class {
            Class::Bug => StatusCode::INTERNAL_SERVER_ERROR,
            Class::Usage | Class::Input => StatusCode::UNPROCESSABLE_ENTITY,
            Class::Integrity => StatusCode::CONFLICT,
            Class::Network => StatusCode::BAD_GATEWAY,
            Class::Locked | Class::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
            Class::Disk => StatusCode::INSUFFICIENT_STORAGE,
        };
        Refusal {
            status,
            error: in_one_line(&failure),
            hint: failure.hint,
            allow: None,
            retry_after: None,
            fault: None,
        }
    }
}

/// What was being done and why it failed, in one line.
pub(super) fn in_one_line(failure: &Failure) -> String {
    let mut parts: Vec<String> = failure.doing.iter().cloned().collect();
    parts.push(failure.cause.to_string());
    let mut cause = failure.cause.source();
    while let Some(next) = cause {
        parts.push(next.to_string());
        cause = next.source();
    }
    parts.dedup();
    printable(&parts.join(": ")).replace('\n', " ")
}

/// An answer in JSON.
pub(super) fn json<T: Serialize>(body: &T) -> Response<Content> {
    json_with(StatusCode::OK, body)
}

/// An answer in JSON with another status than 200.
pub(super) fn json_with<T: Serialize>(status: StatusCode, body: &T) -> Response<Content> {
    let mut text = serde_json::to_string_pretty(body).expect("plain fields are JSON");
    text.push('\n');
    let mut response = typed("application/json", text.into_bytes());
    *response.status_mut() = status;
    set(&mut response, CACHE_CONTROL, "no-store");
    response
}

/// An answer that it is done, without a body.
pub(super) fn no_content() -> Response<Content> {
    let mut response = Response::new(Content::of(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    set(&mut response, CACHE_CONTROL, "no-store");
    guarded(response)
}

/// A web page.
pub(super) fn html(text: String) -> Response<Content> {
    let mut response = typed("text/html; charset=utf-8", text.into_bytes());
    set(&mut response, CACHE_CONTROL, "no-store");
    response
}

/// Bytes of a kind. None of them may be taken for another kind, be framed or run a script of its own.
pub(super) fn typed(kind: &str, bytes: impl Into<bytes::Bytes>) -> Response<Content> {
    let bytes = bytes.into();
    let length = bytes.len() as u64;
    let mut response = Response::new(Content::of(bytes));
    set(&mut response, CONTENT_TYPE, kind);
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    guarded(response)
}

/// The answer with the headers that keep a browser from doing more with it than is meant.
pub(super) fn guarded(mut response: Response<Content>) -> Response<Content> {
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, X_FRAME_OPTIONS, "DENY");
    set(&mut response, CONTENT_SECURITY_POLICY, POLICY);
    set(&mut response, REFERRER_POLICY, "same-origin");
    response
}

/// Sets a header to a value of visible ASCII.
pub(super) fn set(response: &mut Response<Content>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_why_in_one_line() {
        let io = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let refusal = Refusal::from(Failure::io("could not write `x\u{1b}[2J`", io));
        assert_eq!(refusal.status, StatusCode::INSUFFICIENT_STORAGE);
        assert!(refusal.error.starts_with("could not write `x\u{fffd}[2J`: "), "{}", refusal.error);
        assert!(refusal.hint.is_some());
    }
}
