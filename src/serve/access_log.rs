//! What is reported of a request: bounded texts, no query and no header but the client's name, so that no token can be in it.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use hyper::body::Body;
use hyper::header::{CONTENT_LENGTH, USER_AGENT};
use hyper::{Request, Response, StatusCode};

use super::counters::Asked;
use super::file::Content;
use crate::event::{self, Event};

/// Bytes of a path, of a method and of a client's name. What is longer is cut.
const LONGEST_PATH: usize = 512;
const LONGEST_METHOD: usize = 32;
const LONGEST_AGENT: usize = 200;

/// A request that is being answered.
pub(super) struct Line {
    began: Instant,
    method: String,
    path: String,
    agent: Option<String>,
}

impl Line {
    /// Takes down what there is to say of a request.
    pub(super) fn begin<B>(request: &Request<B>) -> Line {
        let agent = request.headers().get(USER_AGENT).map(|agent| {
            let agent = agent.as_bytes();
            String::from_utf8_lossy(&agent[..agent.len().min(LONGEST_AGENT)]).into_owned()
        });
        Line {
            began: Instant::now(),
            method: cut(request.method().as_str(), LONGEST_METHOD),
            // Of an absolute address the path alone: before it may be a password.
            path: cut(request.uri().path(), LONGEST_PATH),
            agent,
        }
    }

    /// The report, with the answer that is about to leave.
    pub(super) fn end(self, time: SystemTime, peer: SocketAddr, asked: Asked, response: &Response<Content>) -> Event {
        let Line { began, method, path, agent } = self;
        let declared = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Event::Request(event::Request {
            time,
            peer,
            method,
            path,
            status: response.status().as_u16(),
            bytes: declared.or(response.size_hint().exact()).unwrap_or(0),
            took: began.elapsed(),
            agent,
            missing: response.status() == StatusCode::NOT_FOUND && asked.is_held(),
        })
    }
}

/// The beginning of a text, which ends in an ellipsis where there was more.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_long_texts_stay_out() {
        let request = Request::get("http://me:hunter22@host/crates/x?token=hunter22")
            .header(USER_AGENT, [b'a'; 500].as_slice())
            .header("authorization", "hunter22")
            .body(())
            .expect("a request");
        let response = Response::new(Content::of("12345"));
        let peer = "127.0.0.1:1".parse().expect("address");
        let event = Line::begin(&request).end(SystemTime::UNIX_EPOCH, peer, Asked::Crate, &response);
        assert!(!format!("{event:?}").contains("hunter22"), "{event:?}");
        let Event::Request(told) = event else { panic!("{event:?}") };
        assert_eq!((told.path.as_str(), told.bytes, told.missing), ("/crates/x", 5, false));
        assert_eq!(told.agent.map(|agent| agent.len()), Some(LONGEST_AGENT));
        assert_eq!(cut("aää", 2), "a…");
    }
}
