//! The log line of a request. Its texts are bounded. It contains no query and no header except the user agent, so it
//! cannot contain a token.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use hyper::body::Body;
use hyper::header::{CONTENT_LENGTH, USER_AGENT};
use hyper::{Request, Response, StatusCode};

use super::file::OutgoingBody;
use super::metrics::RequestKind;
use crate::event::{self, Event};

/// Maximum bytes of a path, a method and a user agent. Longer texts are truncated.
const MAX_PATH_BYTES: usize = 512;
const MAX_METHOD_BYTES: usize = 32;
const MAX_AGENT_BYTES: usize = 200;

/// A request in progress.
pub(super) struct AccessLogEntry {
    started: Instant,
    method: String,
    path: String,
    agent: Option<String>,
}

impl AccessLogEntry {
    /// Records what the log line needs from a request.
    pub(super) fn start<B>(request: &Request<B>) -> AccessLogEntry {
        let agent = request.headers().get(USER_AGENT).map(|agent| {
            let agent = agent.as_bytes();
            String::from_utf8_lossy(&agent[..agent.len().min(MAX_AGENT_BYTES)]).into_owned()
        });
        AccessLogEntry {
            started: Instant::now(),
            method: truncate(request.method().as_str(), MAX_METHOD_BYTES),
            // Only the path of an absolute URL: its authority may contain a password.
            path: truncate(request.uri().path(), MAX_PATH_BYTES),
            agent,
        }
    }

    /// Returns the log line, given the response that is about to be sent.
    pub(super) fn finish(
        self,
        time: SystemTime,
        peer: SocketAddr,
        kind: RequestKind,
        response: &Response<OutgoingBody>,
    ) -> Event {
        let AccessLogEntry { started: began, method, path, agent } = self;
        let declared = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Event::Request(event::RequestEvent {
            time,
            peer,
            method,
            path,
            status: response.status().as_u16(),
            bytes: declared.or(response.size_hint().exact()).unwrap_or(0),
            duration: began.elapsed(),
            user_agent: agent,
            is_missing: response.status() == StatusCode::NOT_FOUND && kind.is_mirror_file(),
        })
    }
}

/// Truncates a text and marks the cut with an ellipsis.
fn truncate(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let end = (0..=max_bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_long_values_are_not_logged() {
        let request = Request::get("http://me:hunter22@host/crates/x?token=hunter22")
            .header(USER_AGENT, [b'a'; 500].as_slice())
            .header("authorization", "hunter22")
            .body(())
            .expect("a request");
        let response = Response::new(OutgoingBody::from_bytes("12345"));
        let peer = "127.0.0.1:1".parse().expect("address");
        let event = AccessLogEntry::start(&request).finish(SystemTime::UNIX_EPOCH, peer, RequestKind::Crate, &response);
        assert!(!format!("{event:?}").contains("hunter22"), "{event:?}");
        let Event::Request(reported) = event else { panic!("{event:?}") };
        assert_eq!((reported.path.as_str(), reported.bytes, reported.is_missing), ("/crates/x", 5, false));
        assert_eq!(reported.user_agent.map(|agent| agent.len()), Some(MAX_AGENT_BYTES));
        assert_eq!(truncate("aää", 2), "a…");
    }
}
