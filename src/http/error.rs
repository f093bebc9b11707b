//! What can go wrong on the wire, and which of it is tried again.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{self, HeaderMap};

use crate::digest::Sha256;

use super::address_class::AddressClass;
use super::host_policy::BlockedHost;
use super::proxy::InvalidProxy;
use super::settings::RetryObserver;
use super::tls::InvalidTls;

/// The longest wait that a server can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Why something could not be had. Addresses are shown without credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 404, 410 or 451 for something to download.
    #[error("{url} is not there (HTTP {status}){}", body_excerpt(body))]
    NotFound {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// The beginning of what the server said.
        body: String,
    },
    /// An answer that is no success.
    #[error("{url} was answered with HTTP {status}{}{}", attempts_note(*attempts), body_excerpt(body))]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// The beginning of what the server said.
        body: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The whole body came, and it is not what it should be.
    #[error("{url} does not have the expected content: its SHA-256 is {actual}, expected was {expected}")]
    Checksum {
        /// The address.
        url: String,
        /// What the lock file or the index says.
        expected: Sha256,
        /// What came.
        actual: Sha256,
    },
    /// More than was allowed.
    #[error("{url} is larger than {limit} bytes")]
    TooLarge {
        /// The address.
        url: String,
        /// Bytes.
        limit: u64,
    },
    /// No whole answer.
    #[error("could not get {url}{}", attempts_note(*attempts))]
    Transport {
        /// The address.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What went wrong the last time.
        source: TransportError,
    },
    /// The server, or the proxy before it, is not whom we trust.
    #[error("the certificate that was shown for {url} is not trusted")]
    Certificate {
        /// The address.
        url: String,
        /// Why not.
        source: rustls::Error,
    },
    /// A body in an encoding that cargo's libcurl cannot decode either.
    #[error("{url} was answered with the header `Content-Encoding: {encoding}`; only gzip and deflate can be decoded")]
    Encoding {
        /// The address.
        url: String,
        /// As the server names it.
        encoding: String,
    },
    /// A redirect that cannot be followed.
    #[error("{url} redirects to `{to}`, {why}")]
    Redirect {
        /// The address.
        url: String,
        /// As the server names it, without credentials.
        to: String,
        /// Why not.
        why: &'static str,
    },
    /// A host that upstream has chosen and that only this machine or its network can reach.
    #[error("{url} was not requested: its host has a {class} address, and no configured upstream has one")]
    ForbiddenHost {
        /// The address.
        url: String,
        /// What kind of address the host has.
        class: AddressClass,
    },
    /// A configured host that had a public address before.
    #[error("{url} was not requested: its host had a public address before, and has a {class} address now")]
    DnsRebinding {
        /// The address.
        url: String,
        /// What kind of address the host has.
        class: AddressClass,
    },
    /// The file to download to.
    #[error("could not write `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Who takes the pieces could not.
    #[error("could not pass on {url}")]
    Sink {
        /// The address.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// Not something that can be asked for.
    #[error("`{url}` is not an http or https address")]
    Address {
        /// The address.
        url: String,
    },
    /// A token that cannot be sent.
    #[error("the token for {url} contains characters that a header cannot hold")]
    Token {
        /// The address.
        url: String,
    },
    /// A user agent that cannot be sent.
    #[error("the user agent `{text}` contains characters that a header cannot hold")]
    UserAgent {
        /// As configured.
        text: String,
    },
    /// A proxy that cannot be used.
    #[error(transparent)]
    Proxy(#[from] InvalidProxy),
    /// Authorities that cannot be used.
    #[error(transparent)]
    Tls(#[from] InvalidTls),
    /// The client cannot be built.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// The deepest cause of a fault, in its own words. The layers above it say little, and show the address as it is.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RootCause(String);

/// A fault of the wire; it may pass.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection, a reset, a body that ended early: what the library says.
    #[error("{what}")]
    Request {
        /// Which step failed.
        what: &'static str,
        /// Why.
        #[source]
        root: RootCause,
    },
    /// Nothing, or almost nothing, for too long.
    #[error("only {received} bytes came in {seconds} seconds")]
    Slow {
        /// Bytes within that time.
        received: u64,
        /// The time that is allowed.
        seconds: f32,
    },
    /// Fewer or more bytes than the head of the answer announced.
    #[error("the body ended after {received} of {announced} bytes")]
    Truncated {
        /// Bytes that came.
        received: u64,
        /// Bytes that should have come.
        announced: u64,
    },
    /// A compressed body that is damaged or cut short.
    #[error("the body cannot be decompressed")]
    Undecodable(#[source] io::Error),
}

fn attempts_note(attempts: u32) -> String {
    if attempts > 1 { format!(" (tried {attempts} times)") } else { String::new() }
}

fn body_excerpt(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(": {body}") }
}

/// What kind of step failed.
fn failed_step(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no connection in time"
    } else if error.is_connect() {
        "could not connect"
    } else if error.is_body() || error.is_decode() {
        "the connection broke while the body came"
    } else {
        "the connection broke before an answer came"
    }
}

/// One attempt's failure, and whether another attempt makes sense.
pub(super) struct AttemptError {
    error: Error,
    is_retryable: bool,
    retry_after: Option<Duration>,
}

impl AttemptError {
    /// The error alone.
    #[cfg(test)]
    pub(super) fn into_error(self) -> Error {
        self.error
    }

    /// Final.
    pub(super) fn permanent(error: Error) -> AttemptError {
        AttemptError { error, is_retryable: false, retry_after: None }
    }

    /// May pass.
    pub(super) fn retryable(error: Error) -> AttemptError {
        AttemptError { error, is_retryable: true, retry_after: None }
    }

    /// May pass, and the server may have said when.
    pub(super) fn retryable_after(error: Error, pause: Option<Duration>) -> AttemptError {
        AttemptError { error, is_retryable: true, retry_after: pause }
    }

    /// A fault of the wire. `url` is without credentials.
    pub(super) fn transport(url: &str, source: TransportError) -> AttemptError {
        AttemptError::retryable(Error::Transport { url: url.to_owned(), attempts: 1, source })
    }

    /// A host that may not be reached. `url` is without credentials.
    pub(super) fn blocked(url: &str, blocked: &BlockedHost) -> AttemptError {
        let (url, class) = (url.to_owned(), blocked.class);
        AttemptError::permanent(match blocked.was_public {
            true => Error::DnsRebinding { url, class },
            false => Error::ForbiddenHost { url, class },
        })
    }

    /// What the library said about a request or its body. `url` is without credentials.
    pub(super) fn from_reqwest(url: &str, error: reqwest::Error) -> AttemptError {
        if let Some(source) = certificate_error(&error) {
            return AttemptError::permanent(Error::Certificate { url: url.to_owned(), source });
        }
        if let Some(blocked) = error_chain(&error).find_map(|error| error.downcast_ref::<BlockedHost>()) {
            return AttemptError::blocked(url, blocked);
        }
        let hopeless = error.is_builder();
        let root = RootCause(super::redact::sanitize_excerpt(
            &error_chain(&error).last().map(ToString::to_string).unwrap_or_default(),
        ));
        let trouble = AttemptError::transport(url, TransportError::Request { what: failed_step(&error), root });
        AttemptError { is_retryable: !hopeless, ..trouble }
    }
}

/// The error and its causes, down to those that hide inside of I/O errors.
fn error_chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let first: &(dyn std::error::Error + 'static) = error;
    // An I/O error gives its content's source for its own, so the content itself is asked for.
    std::iter::successors(Some(first), |error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    })
}

/// The verdict on a certificate.
fn certificate_error(error: &reqwest::Error) -> Option<rustls::Error> {
    error_chain(error).find_map(|error| match error.downcast_ref() {
        Some(found @ rustls::Error::InvalidCertificate(_)) => Some(found.clone()),
        _ => None,
    })
}

/// How often something was tried, and how long to wait before the next time.
pub(super) struct RetryState {
    attempts: u32,
    retries: u32,
    first_backoff: Duration,
    observer: RetryObserver,
}

impl RetryState {
    pub(super) fn new(retries: u32, first: Duration, waits: &RetryObserver) -> RetryState {
        RetryState { attempts: 0, retries, first_backoff: first, observer: waits.clone() }
    }

    /// Waits until it makes sense to try again, or gives up with the error.
    pub(super) async fn wait_after(&mut self, failure: AttemptError) -> Result<(), Error> {
        self.attempts += 1;
        if !failure.is_retryable || self.attempts > self.retries {
            let mut error = failure.error;
            if let Error::Status { attempts, .. } | Error::Transport { attempts, .. } = &mut error {
                *attempts = self.attempts;
            }
            return Err(error);
        }
        let backoff = backoff(self.first_backoff, self.attempts);
        let pause = failure.retry_after.map_or(backoff, |pause| pause.min(MAX_RETRY_AFTER).max(backoff));
        self.observer.notify(&failure.error, pause);
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Counts from the beginning: the last attempt was worth it.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// Waits as after the attempt number `attempts`.
pub(super) async fn backoff_sleep(
    attempts: u32,
    first: Duration,
    waits: &RetryObserver,
    why: &(dyn std::fmt::Display + Sync),
) {
    let pause = backoff(first, attempts);
    waits.notify(why, pause);
    tokio::time::sleep(pause).await;
}

/// 1, 3, 9, then 10 times the first wait, each give or take a half, so that a crowd does not come back as one.
fn backoff(first: Duration, attempts: u32) -> Duration {
    let times = 3u32.saturating_pow(attempts.saturating_sub(1)).min(10);
    let chance = RandomState::new().hash_one(attempts) % 1000;
    first.saturating_mul(times).mul_f64(0.5 + chance as f64 / 1000.0)
}

/// How long the server asks to be left alone: seconds, or a date, which is read against the server's own clock.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = httpdate::parse_http_date(text).ok()?;
    let now = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
    Some(then.duration_since(now).unwrap_or_default())
}
