//! HTTP client errors, and which of them are retried.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::digest::Sha256;
use crate::units::pluralize;

use super::address_class::{AddressClass, BlockedHost};
use super::proxy::{InvalidProxy, UsedProxy};
use super::proxy_refusal::ProxyRefusal;
use super::tls::InvalidTls;
use super::tls_error::{CertificateFault, describe_tls_error};

/// Why a request failed. URLs are shown without credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 404, 410 or 451 for a download.
    #[error("{url} was not found (HTTP {status}){}", body_excerpt(body))]
    NotFound {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// The start of the response body.
        body: String,
    },
    /// An unexpected status.
    #[error("{url} was answered with HTTP {status}{}{}", attempts_note(*attempts), body_excerpt(body))]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// The start of the response body.
        body: String,
        /// Number of attempts.
        attempts: u32,
    },
    /// The complete body has the wrong digest.
    #[error("{url} does not have the expected content: its SHA-256 is {actual}, expected {expected}")]
    Checksum {
        /// The address.
        url: String,
        /// The digest in the lockfile or the index.
        expected: Sha256,
        /// The digest of the received bytes.
        actual: Sha256,
    },
    /// The body exceeds the limit.
    #[error("{url} is larger than {limit} bytes")]
    TooLarge {
        /// The address.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// No complete response.
    #[error("could not get {url}{}{}", through(proxy.as_deref()), attempts_note(*attempts))]
    Transport {
        /// The address.
        url: String,
        /// The proxy of the request, and where it was set; without credentials.
        proxy: Option<Box<UsedProxy>>,
        /// Number of attempts.
        attempts: u32,
        /// The last error.
        source: TransportError,
    },
    /// The certificate of the server, or of the proxy, is not trusted.
    #[error("the certificate of {url} is not trusted")]
    Certificate {
        /// The address.
        url: String,
        /// The reason.
        source: CertificateFault,
    },
    /// An encoding that cargo's libcurl cannot decode either.
    #[error("{url} was answered with the header `Content-Encoding: {encoding}`; only gzip and deflate can be decoded")]
    Encoding {
        /// The address.
        url: String,
        /// The encoding as sent by the server.
        encoding: String,
    },
    /// A redirect that cannot be followed.
    #[error("{url} redirects to `{to}`, {why}")]
    Redirect {
        /// The address.
        url: String,
        /// The redirect target as sent by the server, without credentials.
        to: String,
        /// The reason.
        why: &'static str,
    },
    /// Upstream chose a host that only this machine or its network can reach.
    #[error("{url} was not requested: its host has a {class} address, and no configured upstream has one")]
    ForbiddenHost {
        /// The address.
        url: String,
        /// The class of the host's address.
        class: AddressClass,
    },
    /// A configured host whose address was public before.
    #[error("{url} was not requested: its host had a public address before, and has a {class} address now")]
    DnsRebinding {
        /// The address.
        url: String,
        /// The class of the host's address.
        class: AddressClass,
    },
    /// The target file cannot be written.
    #[error("could not write `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The sink failed.
    #[error("could not store the response of {url}")]
    Sink {
        /// The address.
        url: String,
        /// The cause.
        source: io::Error,
    },
    /// The URL is not an http or https URL.
    #[error("`{url}` is not an http or https address")]
    Address {
        /// The address.
        url: String,
    },
    /// The token cannot be sent in a header.
    #[error("the token for {url} contains characters that a header cannot hold")]
    Token {
        /// The address.
        url: String,
    },
    /// The user agent cannot be sent in a header.
    #[error("the user agent `{text}` contains characters that a header cannot hold")]
    UserAgent {
        /// As configured.
        text: String,
    },
    /// A proxy setting is invalid.
    #[error(transparent)]
    Proxy(#[from] InvalidProxy),
    /// A certificate authority cannot be used.
    #[error(transparent)]
    Tls(#[from] InvalidTls),
    /// The HTTP client cannot be created.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

impl Error {
    /// The URL of the failed request, without credentials; empty for errors about no request.
    pub(super) fn url(&self) -> &str {
        match self {
            Error::NotFound { url, .. }
            | Error::Status { url, .. }
            | Error::Checksum { url, .. }
            | Error::TooLarge { url, .. }
            | Error::Transport { url, .. }
            | Error::Certificate { url, .. }
            | Error::Encoding { url, .. }
            | Error::Redirect { url, .. }
            | Error::ForbiddenHost { url, .. }
            | Error::DnsRebinding { url, .. }
            | Error::Sink { url, .. }
            | Error::Address { url }
            | Error::Token { url } => url,
            Error::Io { .. } | Error::UserAgent { .. } | Error::Proxy(_) | Error::Tls(_) | Error::Client(_) => "",
        }
    }

    /// The cause alone, without the URL: `HTTP 503`, `connection refused`.
    pub fn cause(&self) -> String {
        match self {
            Error::NotFound { status, .. } | Error::Status { status, .. } => format!("HTTP {status}"),
            Error::Checksum { .. } => "the checksum is wrong".to_owned(),
            Error::TooLarge { limit, .. } => format!("the body has more than {limit} bytes"),
            Error::Transport { source, .. } => source.cause(),
            Error::Certificate { source, .. } => format!("the certificate is not trusted: {source}"),
            other => other.to_string(),
        }
    }
}

impl TransportError {
    /// Whether the server at an http address answered in another protocol, which is TLS as a rule.
    pub fn is_other_protocol(&self) -> bool {
        // hyper's message for a response that does not begin with an HTTP version.
        matches!(self, TransportError::Request { root: RootCause(root), .. } if root.contains("invalid HTTP version"))
    }

    fn cause(&self) -> String {
        match self {
            TransportError::Request { what, root: RootCause(root) } => {
                // "Connection refused (os error 111)": the number tells a user nothing.
                let root = lowercase_first_word(root.split(" (os error").next().unwrap_or(root).trim());
                match *what {
                    TIMED_OUT => (*what).to_owned(),
                    _ if root.contains("lookup address") || root.starts_with("dns error") => {
                        format!("the host name could not be resolved: {root}")
                    }
                    NOT_CONNECTED if !root.is_empty() => root,
                    what if root.is_empty() => what.to_owned(),
                    what => format!("{what}: {root}"),
                }
            }
            TransportError::Undecodable(source) => format!("{self}: {source}"),
            other => other.to_string(),
        }
    }
}

/// The text as part of a sentence: its first letter becomes lowercase, unless the first word is an abbreviation such as
/// `SOCKS` or `I/O`.
fn lowercase_first_word(text: &str) -> String {
    let mut chars = text.chars();
    let (first, rest) = (chars.next(), chars.as_str());
    match first {
        // A second letter in lowercase, or none, as in "A broken pipe".
        Some(first) if rest.chars().next().is_none_or(|second| second.is_lowercase() || second.is_whitespace()) => {
            first.to_lowercase().chain(rest.chars()).collect()
        }
        _ => text.to_owned(),
    }
}

fn through(proxy: Option<&UsedProxy>) -> String {
    proxy.map_or_else(String::new, |proxy| format!(" through the proxy {} of {}", proxy.url, proxy.origin))
}

/// The steps of [`TransportError::Request`] whose cause is shown in another form.
const TIMED_OUT: &str = "the connection timed out";
const NOT_CONNECTED: &str = "could not connect";

/// The deepest cause of an error. The outer layers add little, and show the URL with credentials.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RootCause(String);

/// A transport error; it may be temporary.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection, a reset, or an incomplete body, as reported by the library.
    #[error("{what}")]
    Request {
        /// Which step failed.
        what: &'static str,
        /// The cause.
        #[source]
        root: RootCause,
    },
    /// The proxy did not connect to the server.
    #[error("{0}")]
    Proxy(ProxyRefusal),
    /// The transfer was too slow.
    #[error("only {} arrived in {}", pluralize(*received, "byte"), pluralize(*seconds, "second"))]
    Slow {
        /// Bytes received within that time.
        received: u64,
        /// The time window in seconds.
        seconds: f32,
    },
    /// Fewer or more bytes than the response headers announced.
    #[error("the body ended after {received} of {}", pluralize(*announced, "byte"))]
    Truncated {
        /// Bytes received.
        received: u64,
        /// Bytes announced.
        announced: u64,
    },
    /// A compressed body is corrupt or truncated.
    #[error("the body cannot be decompressed")]
    Undecodable(#[source] io::Error),
}

fn attempts_note(attempts: u32) -> String {
    if attempts > 1 { format!(" (tried {attempts} times)") } else { String::new() }
}

fn body_excerpt(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(": {body}") }
}

/// The step that failed.
fn failed_step(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        TIMED_OUT
    } else if error.is_connect() {
        NOT_CONNECTED
    } else if error.is_body() || error.is_decode() {
        "the connection broke during the response body"
    } else {
        "the connection broke before a response arrived"
    }
}

/// The error of one attempt, and whether a retry makes sense.
pub(super) struct AttemptError {
    pub(super) error: Error,
    pub(super) is_retryable: bool,
    pub(super) retry_after: Option<Duration>,
}

impl AttemptError {
    /// The error itself.
    #[cfg(test)]
    pub(super) fn into_error(self) -> Error {
        self.error
    }

    /// The cause alone, without the URL, for reports.
    pub(super) fn cause(&self) -> String {
        self.error.cause()
    }

    /// A permanent error.
    pub(super) fn permanent(error: Error) -> AttemptError {
        AttemptError { error, is_retryable: false, retry_after: None }
    }

    /// A temporary error.
    pub(super) fn retryable(error: Error) -> AttemptError {
        AttemptError { error, is_retryable: true, retry_after: None }
    }

    /// A temporary error, with the server's Retry-After if sent.
    pub(super) fn retryable_after(error: Error, pause: Option<Duration>) -> AttemptError {
        AttemptError { error, is_retryable: true, retry_after: pause }
    }

    /// A transport error. `url` has no credentials.
    pub(super) fn transport(url: &str, source: TransportError) -> AttemptError {
        AttemptError::retryable(Error::Transport { url: url.to_owned(), proxy: None, attempts: 1, source })
    }

    /// A connection that the proxy refused. `url` has no credentials.
    pub(super) fn refused_by_proxy(url: &str, refusal: ProxyRefusal) -> AttemptError {
        let error = AttemptError::transport(url, TransportError::Proxy(refusal));
        AttemptError { is_retryable: refusal.is_temporary(), ..error }
    }

    /// A host that must not be reached. `url` has no credentials.
    pub(super) fn blocked(url: &str, blocked: &BlockedHost) -> AttemptError {
        let (url, class) = (url.to_owned(), blocked.class);
        AttemptError::permanent(match blocked.was_public {
            true => Error::DnsRebinding { url, class },
            false => Error::ForbiddenHost { url, class },
        })
    }

    /// An error of the library about a request or its body. `url` has no credentials.
    pub(super) fn from_reqwest(url: &str, error: reqwest::Error) -> AttemptError {
        if let Some(source) = certificate_error(&error) {
            return AttemptError::permanent(Error::Certificate { url: url.to_owned(), source });
        }
        if let Some(blocked) = error_chain(&error).find_map(|error| error.downcast_ref::<BlockedHost>()) {
            return AttemptError::blocked(url, blocked);
        }
        let hopeless = error.is_builder();
        let tls = error_chain(&error).find_map(|error| error.downcast_ref::<rustls::Error>());
        let root = tls.map_or_else(|| root_text(&error), describe_tls_error);
        let root = RootCause(super::redact::sanitize_excerpt(&root));
        let trouble = AttemptError::transport(url, TransportError::Request { what: failed_step(&error), root });
        AttemptError { is_retryable: !hopeless, ..trouble }
    }
}

/// The text of the deepest cause.
pub(super) fn root_text(error: &reqwest::Error) -> String {
    error_chain(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The error and its causes, including those wrapped in I/O errors.
fn error_chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let first: &(dyn std::error::Error + 'static) = error;
    // An I/O error returns the source of its content as its own source, so the content itself is inserted.
    std::iter::successors(Some(first), |error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    })
}

/// The fault of the certificate, if the error is about one.
fn certificate_error(error: &reqwest::Error) -> Option<CertificateFault> {
    error_chain(error).find_map(|error| match error.downcast_ref() {
        Some(rustls::Error::InvalidCertificate(found)) => Some(CertificateFault::from(found)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_begin_in_lowercase_but_abbreviations_stay() {
        for (text, expected) in [
            ("Connection refused", "connection refused"),
            ("A pipe broke", "a pipe broke"),
            ("Élan", "élan"),
            ("SOCKS error: connection refused", "SOCKS error: connection refused"),
            ("I/O error", "I/O error"),
            ("TLS failed", "TLS failed"),
            ("HTTP/2 error", "HTTP/2 error"),
            ("URLs are invalid", "URLs are invalid"),
            ("", ""),
        ] {
            let root = RootCause(text.to_owned());
            assert_eq!(
                TransportError::Request { what: NOT_CONNECTED, root }.cause(),
                if text.is_empty() { NOT_CONNECTED } else { expected }
            );
        }
    }
}
