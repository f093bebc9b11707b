//! The one client: proxies, authorities, time-outs and user agent as the user's cargo has them; retries, limits, HTTP/2.
//!
//! Nothing here reads the environment: it comes in through [`Settings`]. Nothing here decompresses a crate: what
//! arrives is what is hashed. Only [`Client::get`] asks for gzip, for the index's text, and decodes within its limit.
//! No error and no report shows credentials, neither of an address nor of a header.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url, Version, redirect};
use tokio::io::AsyncWriteExt as _;

use crate::digest::Sha256;

mod address;
mod failing;
mod gzip;
mod incoming;
mod lanes;
mod pace;
pub mod proxy;
mod relay;
mod resume;
mod settings;
mod tls;

pub use address::shown;
pub use failing::{Error, Fault, Root};
pub use proxy::{InvalidProxy, ProxyAddress, ProxySettings};
pub use relay::Taker;
pub use settings::{Settings, TlsVersion, TlsVersions, Waits};
pub use tls::InvalidTls;

use failing::{Tries, Trouble};
use incoming::{Incoming, is_absent, text_of};
use lanes::Lanes;
use pace::Pace;

/// Redirects that are followed at most for one request.
const REDIRECTS: usize = 10;

/// How often an HTTP/2 connection with requests under way is asked whether it lives, and how long it may think.
const PING: Duration = Duration::from_secs(20);

/// A text that is never shown: a token, or an address that may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret in.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The secret itself, for a request's header and nothing else.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The client. Cheap to clone; clones share connections and limits.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    client: reqwest::Client,
    lanes: Lanes,
    retries: u32,
    first_backoff: Duration,
    waits: Waits,
    connect_timeout: Duration,
    low_speed_timeout: Duration,
    low_speed_limit: u32,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// An `http` or `https` address.
    pub url: &'a str,
    /// The `Authorization` header as it stands, which for a registry is the token without a scheme. It stays with this
    /// host: a redirect to another does not carry it.
    pub authorization: Option<&'a Secret>,
    /// An entity tag, with its quotes; a match is answered with 304.
    pub if_none_match: Option<&'a str>,
    /// A date as the server gave it; an older file is answered with 304.
    pub if_modified_since: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// A plain request for `url`.
    pub fn new(url: &'a str) -> Request<'a> {
        Request { url, authorization: None, if_none_match: None, if_modified_since: None }
    }
}

/// What was answered: 200 with a body, or one of the answers without one.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 200, 304, 404, 410 or 451; everything else is an error.
    pub status: u16,
    /// The body of a 200, decoded; empty for every other status.
    pub body: Bytes,
    /// The entity tag, with its quotes.
    pub etag: Option<String>,
    /// The date of the last change, as the server wrote it.
    pub last_modified: Option<String>,
    /// Who passed the answer on, as they say.
    pub via: Option<String>,
}

impl Client {
    /// A client that behaves as `settings` say.
    ///
    /// # Errors
    ///
    /// [`Error::Proxy`] and [`Error::Tls`] for settings that cannot be followed.
    pub fn new(settings: &Settings) -> Result<Client, Error> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::configuration(settings)?)
            .user_agent(user_agent(&settings.user_agent)?)
            .connect_timeout(settings.connect_timeout)
            .redirect(redirect::Policy::limited(REDIRECTS))
            .referer(false)
            // A connection that died without a word would otherwise be given to every attempt.
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PING)
            // The library must not read the environment by itself; the proxies below are all there are.
            .no_proxy();
        if let Some(via) = &settings.via {
            let value = HeaderValue::from_str(&format!("1.1 {via}"))
                .map_err(|_| Error::UserAgent { text: address::quoted(via) })?;
            builder = builder.default_headers(HeaderMap::from_iter([(header::VIA, value)]));
        }
        if !settings.multiplexing {
            builder = builder.http1_only();
        }
        for proxy in settings.proxy.to_reqwest()? {
            builder = builder.proxy(proxy);
        }
        let client = builder.build().map_err(Error::Client)?;
        Ok(Client {
            inner: Arc::new(Inner {
                client,
                lanes: Lanes::new(settings.jobs, settings.multiplexing),
                retries: settings.retries,
                first_backoff: settings.first_backoff,
                waits: settings.waits.clone(),
                connect_timeout: settings.connect_timeout,
                low_speed_timeout: settings.low_speed_timeout,
                low_speed_limit: settings.low_speed_limit,
            }),
        })
    }

    /// Fetches something small into memory: at most `limit` bytes, also after decoding. Faults that may pass (429, 5xx,
    /// resets, truncation, time-outs) are tried again.
    pub async fn get(&self, request: &Request<'_>, limit: u64) -> Result<Answer, Error> {
        let mut tries = Tries::new(self.inner.retries, self.inner.first_backoff, &self.inner.waits);
        loop {
            match self.try_get(request, limit).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => tries.wait_after(trouble).await?,
            }
        }
    }

    /// Downloads to the file `into`, hashing on the way and never holding the whole body; the number of bytes.
    ///
    /// The file is created or truncated, and whole and right when this returns `Ok`; after an error it holds whatever
    /// had come. It is not synced. `progress` is told of bytes as they arrive; bytes that a retry brings again are not
    /// told of again.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for 404, 410 and 451, [`Error::Checksum`] for a whole body with another digest,
    /// [`Error::TooLarge`] for more than `limit` bytes: these are final. Passing faults are tried again first.
    pub async fn download(
        &self,
        request: &Request<'_>,
        into: &Path,
        expected: Sha256,
        limit: u64,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, Error> {
        let mut tries = Tries::new(self.inner.retries, self.inner.first_backoff, &self.inner.waits);
        let mut told = 0;
        loop {
            match self.try_download(request, into, expected, limit, progress, &mut told).await {
                Ok(length) => return Ok(length),
                Err(trouble) => tries.wait_after(trouble).await?,
            }
        }
    }

    /// The length in bytes that the server states for a body, without fetching it; `None` where it states none.
    ///
    /// # Errors
    ///
    /// As for [`Client::download`].
    pub async fn length(&self, request: &Request<'_>) -> Result<Option<u64>, Error> {
        let mut tries = Tries::new(self.inner.retries, self.inner.first_backoff, &self.inner.waits);
        loop {
            match self.try_length(request).await {
                Ok(length) => return Ok(length),
                Err(trouble) => tries.wait_after(trouble).await?,
            }
        }
    }

    async fn try_length(&self, request: &Request<'_>) -> Result<Option<u64>, Trouble> {
        let incoming = self.send(Method::HEAD, request, "identity", 0).await?;
        match incoming.response.status() {
            // Asked of the headers themselves: a HEAD answer's body is empty, whatever length it states.
            StatusCode::OK => {
                Ok(text_of(incoming.response.headers(), header::CONTENT_LENGTH).and_then(|text| text.parse().ok()))
            }
            _ => Err(incoming.refusal(request.url).await),
        }
    }

    async fn try_get(&self, request: &Request<'_>, limit: u64) -> Result<Answer, Trouble> {
        let mut incoming = self.send(Method::GET, request, "gzip", 0).await?;
        let url = request.url;
        let status = incoming.response.status();
        let headers = incoming.response.headers();
        let mut answer = Answer {
            status: status.as_u16(),
            body: Bytes::new(),
            etag: text_of(headers, header::ETAG),
            last_modified: text_of(headers, header::LAST_MODIFIED),
            via: text_of(headers, header::VIA),
        };
        match status {
            StatusCode::OK => {}
            status if status == StatusCode::NOT_MODIFIED || is_absent(status) => {
                incoming.drain().await;
                return Ok(answer);
            }
            _ => return Err(incoming.refusal(url).await),
        }
        let encoding = text_of(headers, header::CONTENT_ENCODING).unwrap_or_default();
        let mut body = BytesMut::new();
        while let Some(chunk) = incoming.chunk(url, limit).await? {
            body.extend_from_slice(&chunk);
        }
        answer.body = match encoding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => body.freeze(),
            "gzip" | "x-gzip" => match gzip::decode(&body, limit) {
                Ok(Some(text)) => Bytes::from(text),
                Ok(None) => {
                    return Err(Trouble::last(Error::TooLarge { url: shown(url), limit }));
                }
                Err(source) => return Err(Trouble::fault(url, Fault::Undecodable(source))),
            },
            other => {
                return Err(Trouble::last(Error::Encoding { url: shown(url), encoding: address::quoted(other) }));
            }
        };
        Ok(answer)
    }

    async fn try_download(
        &self,
        request: &Request<'_>,
        into: &Path,
        expected: Sha256,
        limit: u64,
        progress: &(dyn Fn(u64) + Sync),
        told: &mut u64,
    ) -> Result<u64, Trouble> {
        let url = request.url;
        let mut incoming = self.send(Method::GET, request, "identity", 0).await?;
        match incoming.response.status() {
            StatusCode::OK => {}
            _ => return Err(incoming.refusal(url).await),
        }
        let written = |source: io::Error| Trouble::last(Error::Io { path: into.to_owned(), source });
        let mut file = tokio::fs::File::create(into).await.map_err(written)?;
        let received = incoming.receive(url, limit, &mut file, written, progress, told).await;
        // Also after a failure: a write that is still under way must not land in the next attempt's file.
        let flushed = file.flush().await.map_err(written);
        let actual = received?;
        flushed?;
        if actual == expected {
            return Ok(incoming.received);
        }
        let error = Error::Checksum { url: shown(url), expected, actual };
        // A body whose end nobody announced may have been cut short; every other one is what the server meant.
        Err(if incoming.end_is_known { Trouble::last(error) } else { Trouble::again(error) })
    }

    /// Waits as after the failure number `failures` of one request, and tells why: for what has to be asked again
    /// although each answer was whole.
    pub async fn rest(&self, failures: u32, why: &(dyn fmt::Display + Sync)) {
        failing::rest(failures, self.inner.first_backoff, &self.inner.waits, why).await;
    }

    /// Sends the request, for what begins at byte `from`, and waits for the head of the answer.
    async fn send(
        &self,
        method: Method,
        request: &Request<'_>,
        encoding: &'static str,
        from: u64,
    ) -> Result<Incoming, Trouble> {
        let inner = &self.inner;
        let url = parsed(request)?;
        let mut headers = headers_of(request, encoding)?;
        if from > 0 {
            let range = HeaderValue::from_str(&format!("bytes={from}-")).expect("letters and digits");
            headers.insert(header::RANGE, range);
        }
        let pass = inner.lanes.enter(&url).await;
        let mut pace = Pace::new(inner.low_speed_timeout, inner.low_speed_limit);
        let sent = inner.client.request(method, url.clone()).headers(headers).send();
        let response = match pace.first(inner.connect_timeout, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(Trouble::of_request(request.url, error)),
            Err(slow) => return Err(Trouble::fault(request.url, slow)),
        };
        // After a redirect this is another host's protocol, and says nothing about this one's.
        let is_own = response.url().origin() == url.origin();
        pass.answered(is_own && response.version() == Version::HTTP_2);
        Ok(Incoming::new(response, pace, pass))
    }
}

fn parsed(request: &Request<'_>) -> Result<Url, Trouble> {
    let invalid = || Trouble::last(Error::Address { url: shown(request.url) });
    let mut url = Url::parse(request.url).map_err(|_| invalid())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid());
    }
    if request.authorization.is_some() {
        // Name and password of an address turn into a header of the same name; only one of the two can be meant.
        url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| invalid())?;
    }
    Ok(url)
}

fn headers_of(request: &Request<'_>, encoding: &'static str) -> Result<HeaderMap, Trouble> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encoding));
    if let Some(token) = request.authorization {
        let mut value = HeaderValue::from_str(token.expose())
            .map_err(|_| Trouble::last(Error::Token { url: shown(request.url) }))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    // A validator that is no header was kept badly; without it the whole answer comes, which is right too.
    let validators =
        [(header::IF_NONE_MATCH, request.if_none_match), (header::IF_MODIFIED_SINCE, request.if_modified_since)];
    for (name, value) in validators {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    Ok(headers)
}

fn user_agent(text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(|_| Error::UserAgent { text: address::quoted(text) })
}

#[cfg(test)]
mod tests;
