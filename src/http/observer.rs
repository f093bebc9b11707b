//! Reports of finished requests and of retries. They contain no credentials, no query and no header.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Method, Response, Version};

use crate::units::pluralize;

/// Receives the reports of a client. Cheap to clone.
#[derive(Clone, Default)]
pub struct Observer {
    listener: Option<Arc<Listener>>,
    quiet_until: Arc<Mutex<Option<Instant>>>,
}

type Listener = dyn Fn(HttpReport) + Send + Sync;

/// What the client reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpReport {
    /// A request ended.
    Request(RequestReport),
    /// An attempt failed, and another one follows.
    Retry(RetryReport),
}

/// A request that ended, with or without a response. Each hop of a redirect chain is a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestReport {
    /// The method.
    pub method: &'static str,
    /// The URL without credentials, query and fragment.
    pub url: String,
    /// The status; `None` without a response.
    pub status: Option<u16>,
    /// Bytes of the body as the server sent them.
    pub bytes: u64,
    /// From the start of the request to the end of the body, or to the error.
    pub duration: Duration,
    /// The protocol of the response, e.g. `HTTP/2`.
    pub protocol: Option<&'static str>,
    /// Why the request failed, if it did.
    pub error: Option<String>,
}

/// A failed attempt that is repeated after a pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryReport {
    /// The requested object: a URL without credentials and query, or a name.
    pub object: String,
    /// The cause, e.g. `connection refused` or `HTTP 503`.
    pub cause: String,
    /// The number of the next attempt; the first one was 1.
    pub attempt: u32,
    /// The maximum number of attempts.
    pub max_attempts: u32,
    /// The pause before the next attempt.
    pub pause: Duration,
    /// Whether no other pause of this client was reported that still lasts. A failed host fails many requests at once.
    pub is_first: bool,
}

impl fmt::Display for RequestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.method, self.url)?;
        match (self.status, &self.error) {
            (Some(status), _) => write!(f, "{status}, {}, ", pluralize(self.bytes, "byte"))?,
            (None, Some(error)) => write!(f, "{error}, ")?,
            (None, None) => f.write_str("no response, ")?,
        }
        write!(f, "{} ms", self.duration.as_millis())?;
        if let Some(protocol) = self.protocol {
            write!(f, ", {protocol}")?;
        }
        match &self.error {
            Some(error) if self.status.is_some() => write!(f, ", {error}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for RetryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RetryReport { object, cause, attempt, max_attempts, pause, .. } = self;
        let seconds = pause.as_millis().div_ceil(1000);
        write!(f, "{object}: {cause} (attempt {attempt} of {max_attempts} in {seconds} s)")
    }
}

impl Observer {
    /// Calls `listener` with every report. It must be fast, because it is called in the middle of work.
    pub fn new(listener: impl Fn(HttpReport) + Send + Sync + 'static) -> Observer {
        Observer { listener: Some(Arc::new(listener)), ..Observer::default() }
    }

    /// Reports a retry; the caller need not set `is_first`.
    pub(super) fn report_retry(&self, mut report: RetryReport) {
        let Some(listener) = &self.listener else { return };
        let now = Instant::now();
        let mut quiet_until = self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        report.is_first = quiet_until.is_none_or(|until| until <= now);
        if report.is_first {
            *quiet_until = Some(now + report.pause);
        }
        drop(quiet_until);
        listener(HttpReport::Retry(report));
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("is_observed", &self.listener.is_some()).finish_non_exhaustive()
    }
}

/// A request in progress. It is reported when this value is dropped.
pub(super) struct RequestSpan {
    listener: Option<Arc<Listener>>,
    report: RequestReport,
    started: Instant,
}

impl RequestSpan {
    /// Starts the clock. `url` has no credentials and no query.
    pub(super) fn start(observer: &Observer, method: &Method, url: String) -> RequestSpan {
        let method = if *method == Method::HEAD { "HEAD" } else { "GET" };
        let report = RequestReport {
            method,
            url,
            status: None,
            bytes: 0,
            duration: Duration::ZERO,
            protocol: None,
            error: None,
        };
        RequestSpan { listener: observer.listener.clone(), report, started: Instant::now() }
    }

    /// Records the head of the response.
    pub(super) fn record_head(&mut self, response: &Response) {
        self.report.status = Some(response.status().as_u16());
        self.report.protocol = Some(match response.version() {
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        });
    }

    /// Counts bytes of the body.
    pub(super) fn record_bytes(&mut self, bytes: u64) {
        self.report.bytes += bytes;
    }

    /// Records why the request failed.
    pub(super) fn record_error(&mut self, cause: String) {
        self.report.error = Some(cause);
    }
}

impl Drop for RequestSpan {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            self.report.duration = self.started.elapsed();
            listener(HttpReport::Request(self.report.clone()));
        }
    }
}
