//! The log of a server: its levels and its line format.

use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::bundle::sanitize::escape_json;
use crate::event::{Event, RequestEvent};
use crate::http::RequestReport;
use crate::units::format_time_millis;

/// The level of a report. A level includes all levels before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Show nothing.
    Off,
    /// Errors that end the server.
    Error,
    /// Warnings.
    Warn,
    /// Actions and every request.
    Info,
    /// Details.
    Debug,
    /// The same as `Debug`; there is no finer level.
    Trace,
}

/// The log format.
#[derive(Clone, Copy, Debug)]
pub struct LogConfig {
    /// The maximum level that is shown.
    pub level: Level,
    /// Whether lines are JSON objects: `{"time", "level", "message"}`, and the fields of a request.
    pub json: bool,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

impl Level {
    /// The level from RUST_LOG: `LEVEL`, or `frostmirror=LEVEL`, which takes precedence. Commas separate several
    /// directives, and directives for other programs are ignored. `None`: no directive is for this program.
    ///
    /// # Errors
    /// The invalid directive.
    pub fn parse(text: &str) -> Result<Option<Level>, String> {
        let (mut all, mut own) = (None, None);
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (target, word) =
                part.split_once('=').map_or((None, part), |(target, word)| (Some(target.trim()), word));
            let level = Level::from_name(word.trim()).ok_or_else(|| part.to_owned())?;
            match target {
                None => all = Some(level),
                Some("frostmirror" | "cargo_frostmirror" | "cargo-frostmirror") => own = Some(level),
                Some(_) => {}
            }
        }
        Ok(own.or(all))
    }

    fn from_name(word: &str) -> Option<Level> {
        let levels = [Level::Off, Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];
        levels.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(word))
    }

    /// The level of an event.
    pub(super) fn of_event(event: &Event) -> Level {
        match event {
            Event::Warning(_) => Level::Warn,
            Event::Detail { .. } => Level::Debug,
            Event::Trace { .. } | Event::HttpRequest(_) => Level::Trace,
            Event::Status { .. }
            | Event::Request(_)
            | Event::Begin { .. }
            | Event::Advance { .. }
            | Event::End { .. } => Level::Info,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Level::Off => "off",
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

impl LogConfig {
    /// An event as a line of JSON; `None` if the event is not logged.
    pub(super) fn event_line(&self, event: &Event) -> Option<String> {
        let message = match event {
            Event::Status { verb, message } | Event::Detail { verb, message } | Event::Trace { verb, message } => {
                format!("{verb} {message}")
            }
            Event::Warning(message) => message.clone(),
            Event::HttpRequest(request) => format!("HTTP {request}"),
            Event::Request(request) => {
                let mut fields = Map::new();
                fields.insert("time".to_owned(), json!(format_time(request.time)));
                fields.insert("level".to_owned(), json!(Level::Info.as_str()));
                fields.extend(request_fields(request));
                return Some(json_line(Value::Object(fields)));
            }
            Event::Begin { .. } | Event::Advance { .. } | Event::End { .. } => return None,
        };
        Some(self.message_line(Level::of_event(event), &message, None))
    }

    /// A JSON line with a message.
    pub(super) fn message_line(&self, level: Level, message: &str, hint: Option<&str>) -> String {
        let time = format_time_millis((self.clock)());
        let mut object = json!({ "time": time, "level": level.as_str(), "message": message });
        if let Some(hint) = hint {
            object["hint"] = json!(hint);
        }
        json_line(object)
    }
}

/// One line: line breaks and control characters in texts are escaped.
fn json_line(object: Value) -> String {
    format!("{}\n", escape_json(&object.to_string()))
}

/// The fields of a request, for JSON.
pub(super) fn request_fields(request: &RequestEvent) -> Map<String, Value> {
    let fields = json!({
        "peer": request.peer.to_string(),
        "method": request.method,
        "path": request.path,
        "status": request.status,
        "bytes": request.bytes,
        "seconds": request.duration.as_secs_f64(),
        "user_agent": request.user_agent,
        "missing": request.is_missing,
    });
    let Value::Object(fields) = fields else { return Map::new() };
    fields
}

/// The fields of a request of the HTTP client, for JSON.
pub(super) fn http_request_fields(request: &RequestReport) -> Map<String, Value> {
    let fields = json!({
        "method": request.method,
        "url": request.url,
        "status": request.status,
        "bytes": request.bytes,
        "milliseconds": u64::try_from(request.duration.as_millis()).unwrap_or(u64::MAX),
        "protocol": request.protocol,
        "error": request.error,
    });
    let Value::Object(fields) = fields else { return Map::new() };
    fields
}

/// The same as text: `TIME PEER METHOD PATH STATUS BYTES SECONDS "AGENT"`, with `missing` if the mirror lacks the
/// requested file.
pub(super) fn request_text(request: &RequestEvent) -> String {
    let RequestEvent {
        time,
        peer,
        method,
        path,
        status,
        bytes,
        duration: took,
        user_agent: agent,
        is_missing: missing,
    } = request;
    let (time, seconds) = (format_time(*time), took.as_secs_f64());
    let (method, path) = (escape_text(method), escape_text(path));
    let agent = agent.as_ref().map_or_else(|| "-".to_owned(), |agent| format!("\"{}\"", escape_text(agent)));
    let missing = if *missing { " missing" } else { "" };
    format!("{time} {peer} {method} {path} {status} {bytes} {seconds:.6} {agent}{missing}")
}

/// A text of the client as one word on one line: quotes, backslashes and non-printable characters are escaped.
fn escape_text(text: &str) -> String {
    text.escape_debug().collect()
}

fn format_time(time: SystemTime) -> String {
    format_time_millis(Timestamp::try_from(time).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn rust_log_values_are_parsed() {
        for (text, wanted) in [
            ("", Ok(None)),
            ("warn", Ok(Some(Level::Warn))),
            ("WARN", Ok(Some(Level::Warn))),
            ("off", Ok(Some(Level::Off))),
            ("frostmirror=debug", Ok(Some(Level::Debug))),
            ("frostmirror=debug,warn", Ok(Some(Level::Debug))),
            ("hyper=trace", Ok(None)),
            ("error,hyper=trace", Ok(Some(Level::Error))),
            ("loud", Err("loud".to_owned())),
            ("frostmirror=loud", Err("frostmirror=loud".to_owned())),
        ] {
            assert_eq!(Level::parse(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_request_cannot_forge_a_log_line() {
        let request = RequestEvent {
            time: SystemTime::UNIX_EPOCH,
            peer: "127.0.0.1:9".parse().expect("address"),
            method: "GET".to_owned(),
            path: "/crates/\u{202e}x\"".to_owned(),
            status: 404,
            bytes: 3,
            duration: Duration::from_micros(1500),
            user_agent: Some("a\r\n\"b\\\u{1b}[2J\u{85}".to_owned()),
            is_missing: true,
        };
        assert_eq!(
            request_text(&request),
            "1970-01-01T00:00:00.000Z 127.0.0.1:9 GET /crates/\\u{202e}x\\\" 404 3 0.001500 \
             \"a\\r\\n\\\"b\\\\\\u{1b}[2J\\u{85}\" missing"
        );
        let log = LogConfig { level: Level::Info, json: true, clock: || Timestamp::UNIX_EPOCH };
        let line = log.event_line(&Event::Request(request.clone())).expect("a line");
        assert!(line.ends_with('\n') && line.chars().filter(|c| c.is_control()).count() == 1, "{line:?}");
        assert!(!line.contains('\u{202e}'));
        let read: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((read["path"].as_str(), &read["status"]), (Some(request.path.as_str()), &json!(404)));
        assert_eq!(read["user_agent"].as_str(), request.user_agent.as_deref());
    }
}
