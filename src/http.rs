//! The shared HTTP client. Proxies, certificate authorities, timeouts and user agent are as in the user's cargo; it
//! adds retries, limits and HTTP/2.
//!
//! Nothing here reads the environment; it is passed in through [`Settings`]. Nothing here decompresses a crate: the
//! received bytes are hashed. Only [`Client::get`] requests gzip, for index files, and decodes within its limit. No
//! error or report contains credentials of a URL or a header.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Version, redirect};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

mod redact;
mod address_class;
mod encoding;
mod error;
mod retry;
mod response_body;
mod host_limits;
mod low_speed;
mod observer;
pub mod proxy;
mod proxy_refusal;
mod download;
mod redirects;
mod request;
mod settings;
mod host_policy;
mod tls;
mod tls_error;

pub use address_class::AddressClass;
pub use download::ChunkSink;
pub use error::{Error, RootCause, TransportError};
pub use observer::{HttpReport, Observer, RequestReport, RetryReport};
pub use proxy::{InvalidProxy, ProxyAddress, ProxySettings};
pub use proxy_refusal::ProxyRefusal;
pub use redact::{redact_url, redact_urls};
pub use request::{Request, Secret};
pub use settings::{Settings, TlsVersion, TlsVersions};
pub use tls::InvalidTls;
pub use tls_error::{CertificateFault, describe_tls_error};

use error::AttemptError;
use host_limits::{HostLimits, Purpose};
use host_policy::HostPolicy;
use low_speed::LowSpeedMonitor;
use observer::RequestSpan;
use redirects::RedirectChain;
use response_body::{ResponseBody, header_text, is_not_found};
use retry::{RetryPolicy, RetryState};

/// The encoding requested for texts; files are requested unencoded.
const TEXT_ENCODING: &str = "gzip";

/// Interval of HTTP/2 keep-alive pings while requests are open, and the timeout of their answer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// The client. Cheap to clone; clones share connections and limits.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    client: reqwest::Client,
    host_policy: HostPolicy,
    host_limits: HostLimits,
    retry_policy: RetryPolicy,
    connect_timeout: Duration,
    low_speed_timeout: Duration,
    low_speed_limit: u32,
    /// For connections to proxies: HTTP/1.1 only.
    proxy_tls: Arc<rustls::ClientConfig>,
}

impl Inner {
    /// Why the proxy refused the connection for a request of `url`, if that is what `error` means.
    async fn proxy_refusal(&self, error: &reqwest::Error, url: &reqwest::Url) -> Option<ProxyRefusal> {
        let (proxy, _) = self.retry_policy.proxies.url_for(url)?;
        proxy_refusal::find_refusal(&error::root_text(error), &proxy, url, &self.proxy_tls, &self.client).await
    }
}

/// A response: 200 with a body, or one of the expected statuses without one.
#[derive(Clone, Debug)]
pub struct Response {
    /// 200, 304, 404, 410 or 451; everything else is an error.
    pub status: u16,
    /// The decoded body of a 200; empty for every other status.
    pub body: Bytes,
    /// The entity tag, with its quotes.
    pub etag: Option<String>,
    /// The Last-Modified date as sent by the server.
    pub last_modified: Option<String>,
    /// The Via header: the proxies that forwarded the response.
    pub via: Option<String>,
    /// The permit of a [`LargeBodyLimit`], kept while this value or a clone of it exists.
    _large_body_permit: Option<Arc<OwnedSemaphorePermit>>,
}

/// Limits the memory of large responses among many. Cheap to clone; clones share the limit.
#[derive(Clone, Debug)]
pub struct LargeBodyLimit(Arc<Semaphore>);

impl LargeBodyLimit {
    /// Bytes that a response may have without a permit.
    pub const SMALL_BODY_BYTES: u64 = 1024 * 1024;

    /// Permits this many concurrent responses of more than [`LargeBodyLimit::SMALL_BODY_BYTES`] bytes. Further ones
    /// wait until one is dropped.
    pub fn new(answers: usize) -> LargeBodyLimit {
        LargeBodyLimit(Arc::new(Semaphore::new(answers)))
    }

    async fn acquire(&self) -> Option<Arc<OwnedSemaphorePermit>> {
        // The semaphore is never closed, so this never fails.
        Arc::clone(&self.0).acquire_owned().await.ok().map(Arc::new)
    }
}

impl Client {
    /// A client configured by `settings`.
    ///
    /// # Errors
    ///
    /// [`Error::Proxy`] and [`Error::Tls`] for invalid settings.
    pub fn new(settings: &Settings) -> Result<Client, Error> {
        Client::with_lookup(settings, host_policy::system_lookup())
    }

    fn with_lookup(settings: &Settings, lookup: host_policy::Lookup) -> Result<Client, Error> {
        let targets = HostPolicy::new(settings, lookup);
        let tls_config = tls::build_config(settings)?;
        let mut proxy_tls = tls_config.clone();
        proxy_tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls_config)
            .user_agent(user_agent_header(&settings.user_agent)?)
            .connect_timeout(settings.connect_timeout)
            // The library would send the first request's headers to every redirect target; [`RedirectChain`] does not.
            .redirect(redirect::Policy::none())
            .dns_resolver(targets.clone())
            .referer(false)
            // Otherwise every retry would use a connection that died silently.
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .http2_keep_alive_timeout(KEEP_ALIVE_INTERVAL)
            // The library must not read the environment itself; only the proxies below are used.
            .no_proxy();
        if let Some(via) = &settings.via {
            let value = HeaderValue::from_str(&format!("1.1 {via}"))
                .map_err(|_| Error::UserAgent { text: redact::sanitize_excerpt(via) })?;
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
                host_policy: targets,
                host_limits: HostLimits::new(settings.jobs, settings.multiplexing, settings.reserved_for_text),
                retry_policy: RetryPolicy::new(settings),
                connect_timeout: settings.connect_timeout,
                low_speed_timeout: settings.low_speed_timeout,
                low_speed_limit: settings.low_speed_limit,
                proxy_tls: Arc::new(proxy_tls),
            }),
        })
    }

    /// Fetches a small response into memory: at most `limit` bytes, also after decoding. Retries temporary errors (429,
    /// 5xx, resets, truncation, timeouts).
    pub async fn get(&self, request: &Request<'_>, limit: u64) -> Result<Response, Error> {
        self.retry(|| self.try_get(request, limit, None)).await
    }

    /// Like [`Client::get`], but a response of more than [`LargeBodyLimit::SMALL_BODY_BYTES`] bytes waits for a permit
    /// of `large_bodies` before more is read. A caller with such a response must not wait for another one of the same limit.
    pub async fn get_with_body_limit(
        &self,
        request: &Request<'_>,
        limit: u64,
        large_bodies: &LargeBodyLimit,
    ) -> Result<Response, Error> {
        self.retry(|| self.try_get(request, limit, Some(large_bodies))).await
    }

    /// The length in bytes that the server states for a body, without fetching it; `None` if it states none.
    ///
    /// # Errors
    ///
    /// As for [`Client::download`].
    pub async fn length(&self, request: &Request<'_>) -> Result<Option<u64>, Error> {
        self.retry(|| self.try_length(request)).await
    }

    async fn retry<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, AttemptError>>,
    {
        let mut tries = RetryState::new(&self.inner.retry_policy);
        loop {
            match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => tries.wait_after(trouble).await?,
            }
        }
    }

    async fn try_length(&self, request: &Request<'_>) -> Result<Option<u64>, AttemptError> {
        let incoming = self.send(Method::HEAD, request, "identity", 0).await?;
        match incoming.response.status() {
            // Read from the headers: the body of a HEAD response is empty, whatever length it states.
            StatusCode::OK => {
                let is_encoded = !incoming.codings()?.is_empty();
                let length = header_text(incoming.response.headers(), header::CONTENT_LENGTH);
                Ok(length.filter(|_| !is_encoded).and_then(|text| text.parse().ok()))
            }
            _ => Err(incoming.into_attempt_error().await),
        }
    }

    async fn try_get(
        &self,
        request: &Request<'_>,
        limit: u64,
        large_bodies: Option<&LargeBodyLimit>,
    ) -> Result<Response, AttemptError> {
        let mut incoming = self.send(Method::GET, request, TEXT_ENCODING, 0).await?;
        let status = incoming.response.status();
        let headers = incoming.response.headers();
        let mut answer = Response {
            status: status.as_u16(),
            body: Bytes::new(),
            etag: header_text(headers, header::ETAG),
            last_modified: header_text(headers, header::LAST_MODIFIED),
            via: header_text(headers, header::VIA),
            _large_body_permit: None,
        };
        match status {
            StatusCode::OK => {}
            status if status == StatusCode::NOT_MODIFIED || is_not_found(status) => {
                incoming.drain().await;
                return Ok(answer);
            }
            _ => return Err(incoming.into_attempt_error().await),
        }
        let codings = incoming.codings()?;
        let mut body = BytesMut::new();
        while let Some(chunk) = incoming.chunk(limit).await? {
            if let Some(large_bodies) = large_bodies
                && answer._large_body_permit.is_none()
                && (body.len() + chunk.len()) as u64 > LargeBodyLimit::SMALL_BODY_BYTES
            {
                answer._large_body_permit = large_bodies.acquire().await;
                incoming.reset_low_speed();
            }
            body.extend_from_slice(&chunk);
        }
        if codings.is_empty() {
            answer.body = body.freeze();
            return Ok(answer);
        }
        let undecodable = |source| AttemptError::transport(&incoming.address, TransportError::Undecodable(source));
        if let Some(large_bodies) = large_bodies
            && answer._large_body_permit.is_none()
        {
            let small =
                encoding::decode(&body, &codings, limit.min(LargeBodyLimit::SMALL_BODY_BYTES)).map_err(undecodable)?;
            if let Some(text) = small {
                answer.body = Bytes::from(text);
                return Ok(answer);
            }
            answer._large_body_permit = large_bodies.acquire().await;
        }
        match encoding::decode(&body, &codings, limit).map_err(undecodable)? {
            Some(text) => answer.body = Bytes::from(text),
            None => return Err(AttemptError::permanent(Error::TooLarge { url: incoming.address, limit })),
        }
        Ok(answer)
    }

    /// Waits as after failure number `failures` of one request, and reports why. For retries after complete but
    /// inconsistent responses about `object`, of which there are at most `max_attempts`.
    pub async fn backoff_sleep(&self, object: &str, cause: String, failures: u32, max_attempts: u32) {
        let pause = retry::backoff(self.inner.retry_policy.first_backoff, failures);
        let object = object.to_owned();
        let attempt = failures + 1;
        let report = RetryReport { object, cause, attempt, max_attempts, pause, is_first: true };
        self.inner.retry_policy.observer.report_retry(report);
        tokio::time::sleep(pause).await;
    }

    /// Sends the request for the bytes from `from` on, follows redirects, and waits for the response headers.
    async fn send(
        &self,
        method: Method,
        request: &Request<'_>,
        encoding: &'static str,
        from: u64,
    ) -> Result<ResponseBody, AttemptError> {
        let mut route = RedirectChain::new(request)?;
        loop {
            let incoming = self.send_hop(method.clone(), request, &route, encoding, from).await?;
            let response = &incoming.response;
            if !route.follow(response.status(), response.headers())? {
                return Ok(incoming);
            }
            incoming.drain().await;
        }
    }

    /// Sends the request to the current URL of its redirect chain.
    async fn send_hop(
        &self,
        method: Method,
        request: &Request<'_>,
        route: &RedirectChain,
        encoding: &'static str,
        from: u64,
    ) -> Result<ResponseBody, AttemptError> {
        let inner = &self.inner;
        let address = route.describe();
        inner.host_policy.check(route.url()).await.map_err(|blocked| AttemptError::blocked(&address, &blocked))?;
        let (url, authorization) = route.current_hop();
        let mut headers = request_headers(request, encoding);
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, authorization);
        }
        if from > 0 {
            let range = HeaderValue::from_str(&format!("bytes={from}-")).expect("letters and digits");
            headers.insert(header::RANGE, range);
        }
        let is_text = encoding == TEXT_ENCODING || method == Method::HEAD;
        let purpose = if is_text { Purpose::Text } else { Purpose::File };
        let permit = inner.host_limits.acquire(&url, purpose).await;
        let mut low_speed = LowSpeedMonitor::new(inner.low_speed_timeout, inner.low_speed_limit);
        let mut span = RequestSpan::start(&inner.retry_policy.observer, &method, redact_url(route.url().as_str()));
        let sent = inner.client.request(method, url).headers(headers).send();
        let failure = match low_speed.wait_for_head(inner.connect_timeout, sent).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(match inner.proxy_refusal(&error, route.url()).await {
                Some(refusal) => AttemptError::refused_by_proxy(&address, refusal),
                None => AttemptError::from_reqwest(&address, error),
            }),
            Err(slow) => Err(AttemptError::transport(&address, slow)),
        };
        let response = failure.inspect_err(|failure| span.record_error(failure.cause()))?;
        span.record_head(&response);
        permit.record_protocol(response.version() == Version::HTTP_2);
        let host_trust = inner.host_policy.host_trust(route.url(), response.remote_addr());
        Ok(ResponseBody::new(response, address, host_trust, low_speed, (permit, span)))
    }
}

/// The headers for every hop.
fn request_headers(request: &Request<'_>, encoding: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encoding));
    // A validator that is not a valid header value is omitted; then the whole response is sent, which is correct too.
    let validators =
        [(header::IF_NONE_MATCH, request.if_none_match), (header::IF_MODIFIED_SINCE, request.if_modified_since)];
    for (name, value) in validators {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    headers
}

fn user_agent_header(text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(|_| Error::UserAgent { text: redact::sanitize_excerpt(text) })
}

#[cfg(test)]
mod tests;
