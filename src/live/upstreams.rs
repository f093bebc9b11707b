//! The upstreams of live mode by the current settings, and their health.

use std::net::IpAddr;
use std::sync::{Arc, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, watch};

use super::circuit_breaker::CircuitBreaker;
use super::error::{LiveError, is_own_server, is_upstream_failure};
use crate::config::{Key, Settings, SettingsStore};
use crate::crate_id::CrateName;
use crate::env::Env;
use crate::error_chain::one_line;
use crate::event::{Event, Sink};
use crate::http::{self, Client, HttpReport, Observer};
use crate::toolchain;
use crate::upstream::cargo_config::{self, CargoConfig, Origin, Upstream};
use crate::upstream::index_file::{CachedIndexFile, IndexFile};
use crate::upstream::registry_client::{self, RegistryClient, RegistryInfo};

/// How long an index's config.json counts as fresh.
const CONFIG_TTL: Duration = Duration::from_secs(10 * 60);

/// How long a stale one is used before the next request, and how long callers wait for a newer one.
const CONFIG_RETRY_DELAY: Duration = Duration::from_secs(60);
const CONFIG_TIMEOUT: Duration = Duration::from_secs(4);

/// Connect timeout. Clients wait behind each request, and cargo gives up after 30 seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
const LOW_SPEED_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes per second. A download that is slower for [`LOW_SPEED_TIMEOUT`] is cancelled: it occupies a connection that
/// others wait for.
const LOW_SPEED_LIMIT: u32 = 256;
/// Concurrent requests that downloads leave to index files.
const RESERVED_FOR_INDEX: usize = 2;
const RETRIES: u32 = 2;
const FIRST_BACKOFF: Duration = Duration::from_millis(250);

/// Prefix of a server's ID in `Via`.
pub(super) const VIA_PREFIX: &str = "frostmirror-";
/// Maximum number of parsed mirrors in a chain.
const MAX_VIA_MIRRORS: usize = 16;

/// Environment variables that select the upstream, as for `fetch`.
const DIST_URL: &str = "FROSTMIRROR_DIST_URL";

/// Reads the user's cargo configuration.
pub type ReadCargoConfig = Arc<dyn Fn() -> Result<CargoConfig, cargo_config::Error> + Send + Sync>;

/// Why there is no upstream.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Cargo's configuration is invalid.
    #[error(transparent)]
    CargoConfig(#[from] cargo_config::Error),
    /// The HTTP client cannot be created.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// Cargo's configuration forbids network access.
    #[error("live mode needs the network, but cargo's `net.offline` forbids it")]
    Offline,
    /// The upstream is this server itself.
    #[error("{setting} is this server's own address")]
    OwnAddress {
        /// The settings key or the environment variable in backticks, or another description of the setting.
        setting: &'static str,
    },
}

/// The upstreams for one settings generation.
pub(super) struct Upstreams {
    registry_client: RegistryClient,
    config: Mutex<Option<(Arc<RegistryInfo>, Instant)>>,
    /// The `Via` IDs of mirrors of this kind behind the registry, as they report them.
    upstream_mirrors: std::sync::Mutex<Vec<String>>,
    /// The URL that has dist/ and rustup/, without a trailing slash. It may contain a user name and a password.
    pub(super) dist_url: String,
    pub(super) client: Client,
    pub(super) index_breaker: CircuitBreaker,
    pub(super) crates_breaker: CircuitBreaker,
    pub(super) dist_breaker: CircuitBreaker,
    disable_sender: watch::Sender<bool>,
    /// This server's ID in `Via`.
    own_via: String,
    /// The setting that names the registry.
    registry_setting: &'static str,
    /// Set once the registry's answer came from this server.
    is_own_server: OnceLock<()>,
    /// The settings that name the server of crates, and that of toolchains.
    crate_setting: &'static str,
    dist_setting: &'static str,
    sink: Arc<dyn Sink>,
}

impl Upstreams {
    /// Stops all requests and cancels running ones.
    pub(super) fn disable(&self) {
        self.disable_sender.send_replace(true);
    }

    /// Upstreams from `settings`, else from the environment, else from cargo's configuration, else crates.io and
    /// rust-lang.org.
    pub(super) fn from_settings(
        live: &SettingsStore,
        settings: &Settings,
        read: &ReadCargoConfig,
        env: &Env,
        via: &str,
        sink: &Arc<dyn Sink>,
    ) -> Result<Upstreams, Error> {
        let cargo = read()?;
        if cargo.is_offline() {
            return Err(Error::Offline);
        }
        let mut http = cargo.http_settings();
        http.via = Some(via.to_owned());
        http.retries = http.retries.min(RETRIES);
        http.first_backoff = FIRST_BACKOFF;
        http.connect_timeout = http.connect_timeout.min(CONNECT_TIMEOUT);
        // Zero means no limit, but a server needs one.
        http.low_speed_timeout = Some(http.low_speed_timeout)
            .filter(|time| !time.is_zero())
            .unwrap_or(LOW_SPEED_TIMEOUT)
            .min(LOW_SPEED_TIMEOUT);
        http.low_speed_limit = http.low_speed_limit.max(LOW_SPEED_LIMIT);
        http.reserved_for_text = RESERVED_FOR_INDEX;
        let http_sink = Arc::clone(sink);
        http.observer = Observer::new(move |report| match report {
            HttpReport::Request(request) => http_sink.event(Event::HttpRequest(request)),
            // A client waits for each of them, so none is a step of this server.
            HttpReport::Retry(retry) => http_sink.detail("Retrying", retry.to_string()),
        });
        let mut registry = registry_upstream(live, settings, &cargo, env)?;
        for warning in std::mem::take(&mut registry.warnings) {
            sink.warning(warning);
        }
        let (dist, dist_setting) = match env.var(DIST_URL).filter(|_| !live.is_explicit(Key::ProxyDistUrl)) {
            Some(url) => (url.to_owned(), "`FROSTMIRROR_DIST_URL`"),
            None => (settings.proxy_dist_url.as_str().to_owned(), "`proxy_dist_url`"),
        };
        let dist = dist.trim_end_matches('/').to_owned();
        http.configured_urls = registry.addresses().chain([dist.clone()]).collect();
        let client = Client::new(&http)?;
        let registry_setting = setting_of(&registry);
        let crate_setting = match (&settings.proxy_dl_url, &registry.dl) {
            (None, Some(_)) => "`FROSTMIRROR_DL_URL`",
            _ => "`proxy_dl_url`",
        };
        reject_own_address(settings, &registry, (&dist, dist_setting))?;
        let (off, is_off) = watch::channel(false);
        Ok(Upstreams {
            registry_client: RegistryClient::new(client.clone(), registry),
            config: Mutex::default(),
            upstream_mirrors: std::sync::Mutex::default(),
            dist_url: dist,
            client,
            index_breaker: CircuitBreaker::new("the index", &is_off, Arc::clone(sink)),
            crates_breaker: CircuitBreaker::new("crates", &is_off, Arc::clone(sink)),
            dist_breaker: CircuitBreaker::new("toolchains", &is_off, Arc::clone(sink)),
            disable_sender: off,
            own_via: via.to_owned(),
            registry_setting,
            is_own_server: OnceLock::new(),
            crate_setting,
            dist_setting,
            sink: Arc::clone(sink),
        })
    }

    /// The registry client.
    pub(super) fn registry_client(&self) -> &RegistryClient {
        &self.registry_client
    }

    /// The registry's config.json, refreshed from time to time.
    ///
    /// # Errors It cannot be fetched, and there is no older copy.
    pub(super) async fn config(&self) -> Result<Arc<RegistryInfo>, LiveError> {
        let mut config = self.config.lock().await;
        if let Some((known, until)) = &*config
            && *until > Instant::now()
        {
            return Ok(Arc::clone(known));
        }
        let requested =
            with_breaker(&self.index_breaker, "config.json", self.registry_client.fetch_config(), http_error);
        let requested = match &*config {
            None => requested.await,
            Some(_) => match tokio::time::timeout(CONFIG_TIMEOUT, requested).await {
                Ok(requested) => requested,
                Err(_) => {
                    Err(LiveError::unavailable("upstream has not sent config.json yet; try again", CONFIG_TIMEOUT))
                }
            },
        };
        match (requested, &*config) {
            (Ok((new, response)), _) => {
                let mirrors = mirrors_in_via(response.via.as_deref().unwrap_or_default());
                // A server names itself before the mirrors that it fetches from.
                if mirrors.first() == Some(&self.own_via) {
                    return Err(self.record_own_server());
                }
                // A restarted mirror has a new ID.
                *self.lock_upstream_mirrors() = mirrors;
                let new = Arc::new(new);
                *config = Some((Arc::clone(&new), Instant::now() + CONFIG_TTL));
                Ok(new)
            }
            (Err(_), Some((known, _))) => {
                let known = Arc::clone(known);
                // Otherwise each waiting caller would send its own request.
                *config = Some((Arc::clone(&known), Instant::now() + CONFIG_RETRY_DELAY));
                Ok(known)
            }
            (Err(refusal), None) => Err(refusal),
        }
    }

    /// Records that the registry is this server itself, and reports that once.
    fn record_own_server(&self) -> LiveError {
        let error = self.own_server_error();
        if self.is_own_server.set(()).is_ok() {
            self.sink.warning(error.operator_message());
        }
        error
    }

    fn own_server_error(&self) -> LiveError {
        LiveError::misconfigured(
            "live mode is on, but its upstream is this server itself",
            format!("set {} to the address of another server", self.registry_setting),
        )
    }

    /// The error of every request, if the registry's answer showed that it is this server itself.
    pub(super) fn own_server(&self) -> Option<LiveError> {
        self.is_own_server.get().map(|()| self.own_server_error())
    }

    /// What the operator must change if requests for crates or for toolchains come back to this server.
    pub(super) fn file_loop(&self) -> Option<String> {
        let (what, setting) = match (self.crates_breaker.is_own_server(), self.dist_breaker.is_own_server()) {
            (true, _) => ("crates", self.crate_setting),
            (false, true) => ("toolchains", self.dist_setting),
            (false, false) => return None,
        };
        Some(format!("the upstream of {what} is this server itself: set {setting} to the address of another server"))
    }

    /// The `Via` IDs of mirrors of this kind behind the registry, as far as they reported them.
    pub(super) fn upstream_mirrors(&self) -> Vec<String> {
        self.lock_upstream_mirrors().clone()
    }

    fn lock_upstream_mirrors(&self) -> MutexGuard<'_, Vec<String>> {
        self.upstream_mirrors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches the index file of one crate, with the lines that may be served; `None`: it is still the `cached` one.
    pub(super) async fn fetch_index_file(
        &self,
        name: &CrateName,
        cached: Option<&CachedIndexFile>,
    ) -> Result<Option<CachedIndexFile>, LiveError> {
        let config = self.config().await?;
        let what = format!("the index file of {name}");
        let requested = self.registry_client.fetch_index(&config, name, cached, IndexFile::valid_lines_only);
        with_breaker(&self.index_breaker, &what, requested, http_error).await
    }
}

/// The IDs of mirrors of this kind in a `Via` header.
pub(super) fn mirrors_in_via(via: &str) -> Vec<String> {
    let terms = via.split([',', ' ']).filter(|word| word.starts_with(VIA_PREFIX) && word.len() <= 64);
    terms.take(MAX_VIA_MIRRORS).map(str::to_owned).collect()
}

/// Sends a request if the upstream is not down, and records its result.
pub(super) async fn with_breaker<T, E: std::error::Error + 'static>(
    breaker: &CircuitBreaker,
    what: &str,
    request: impl Future<Output = Result<T, E>>,
    http_error: fn(&E) -> Option<&http::Error>,
) -> Result<T, LiveError> {
    breaker.try_acquire(Instant::now()).map_err(|(left, why)| {
        LiveError::unavailable(format!("upstream is down, so {what} is not available: {why}"), left)
    })?;
    let mut guard = BreakerGuard { breaker, is_recorded: false };
    let result = tokio::select! {
        biased;
        () = breaker.wait_disabled() => {
            return Err(LiveError::bad_gateway(format!("the request for {what} was cancelled: the settings have changed")));
        }
        result = request => result,
    };
    guard.is_recorded = true;
    breaker.record_own_server(result.as_ref().err().and_then(http_error).is_some_and(is_own_server));
    match &result {
        Err(error) if http_error(error).is_some_and(is_upstream_failure) => {
            breaker.record_failure(Instant::now(), one_line(error))
        }
        // Upstream answered even if the response could not be saved.
        _ => breaker.record_success(),
    }
    result.map_err(|error| match http_error(&error) {
        Some(wire) => LiveError::from_http(what, wire),
        None => LiveError::bad_gateway(one_line(&error)),
    })
}

/// Informs the breaker of a cancelled request.
struct BreakerGuard<'b> {
    breaker: &'b CircuitBreaker,
    is_recorded: bool,
}

impl Drop for BreakerGuard<'_> {
    fn drop(&mut self) {
        if !self.is_recorded {
            self.breaker.record_cancelled();
        }
    }
}

/// The HTTP error behind a registry error.
fn http_error(error: &registry_client::Error) -> Option<&http::Error> {
    match error {
        registry_client::Error::Fetch { source, .. } => Some(source),
        _ => None,
    }
}

/// Returns an HTTP error itself.
pub(super) fn identity(error: &http::Error) -> Option<&http::Error> {
    Some(error)
}

fn registry_upstream(
    live: &SettingsStore,
    settings: &Settings,
    cargo: &CargoConfig,
    env: &Env,
) -> Result<Upstream, Error> {
    let mut upstream = match live.is_explicit(Key::ProxyIndexUrl) {
        true => cargo.upstream_at(settings.proxy_index_url.as_str(), env)?,
        false => cargo.upstream(env)?,
    };
    if let Some(dl) = &settings.proxy_dl_url {
        upstream.dl = Some(dl.as_str().to_owned());
    }
    Ok(upstream)
}

/// The setting that names the registry, for messages.
fn setting_of(registry: &Upstream) -> &'static str {
    match registry.origin {
        Origin::Environment => "`FROSTMIRROR_REGISTRY_URL`",
        Origin::Replacement { .. } => "the replacement of crates.io in cargo's configuration",
        Origin::Explicit | Origin::CratesIo => "`proxy_index_url`",
    }
}

/// Rejects an upstream that is this server, if its address shows it. Other loops are detected by their requests.
fn reject_own_address(
    settings: &Settings,
    registry: &Upstream,
    (dist, dist_setting): (&str, &'static str),
) -> Result<(), Error> {
    let is_below_base = |url: &str| {
        let shown = http::redact_url(url);
        settings.base_url.as_ref().is_some_and(|base| {
            let rest = shown.trim_end_matches('/').strip_prefix(base.as_str().trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let is_own = |url: &str| is_below_base(url) || is_listener(url, &settings.bind);
    if is_own(&registry.index) {
        return Err(Error::OwnAddress { setting: setting_of(registry) });
    }
    if is_own(dist) && dist != toolchain::UPSTREAM_DIST_URL {
        return Err(Error::OwnAddress { setting: dist_setting });
    }
    if registry.dl.as_deref().is_some_and(|dl| is_listener(dl, &settings.bind)) {
        let setting = if settings.proxy_dl_url.is_some() { "`proxy_dl_url`" } else { "`FROSTMIRROR_DL_URL`" };
        return Err(Error::OwnAddress { setting });
    }
    Ok(())
}

/// Whether a request to `url` on this machine plainly reaches the listener at `bind`. Port 0 shows nothing.
fn is_listener(url: &str, bind: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let (Some(host), Some((bind_host, port))) = (url.host_str(), bind.rsplit_once(':')) else { return false };
    if port == "0" || port.parse().ok() != url.port_or_known_default() {
        return false;
    }
    let unbracketed = |host: &str| host.trim_matches(['[', ']']).to_ascii_lowercase();
    let (host, bind_host) = (unbracketed(host), unbracketed(bind_host));
    let has_address = |host: &str, is: fn(&IpAddr) -> bool| host.parse().is_ok_and(|address| is(&address));
    let is_local = |host: &str| host == "localhost" || has_address(host, IpAddr::is_loopback);
    match host == bind_host {
        true => true,
        false if has_address(&bind_host, IpAddr::is_unspecified) => is_local(&host),
        // Another address of the loopback network may have another server.
        false => is_local(&bind_host) && (host == "localhost" || bind_host == "localhost" && is_local(&host)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_listener_is_recognized() {
        for (url, bind) in [
            ("http://127.0.0.1:8080/index/", "127.0.0.1:8080"),
            ("http://LOCALHOST:8080/index/", "127.0.0.1:8080"),
            ("http://127.0.0.1:8080", "localhost:8080"),
            ("http://[::1]:8080/", "[::1]:8080"),
            ("http://localhost:8080/", "0.0.0.0:8080"),
            ("http://me:secret@[::1]:8080/", "[::]:8080"),
            ("https://10.0.0.5/index/", "10.0.0.5:443"),
        ] {
            assert!(is_listener(url, bind), "{url} {bind}");
        }
        for (url, bind) in [
            ("http://127.0.0.1:8081/index/", "127.0.0.1:8080"),
            ("http://127.0.0.2:8080/index/", "127.0.0.1:8080"),
            ("http://127.0.0.1:8080/index/", "127.0.0.1:0"),
            ("http://mirror.example:8080/index/", "0.0.0.0:8080"),
            ("http://10.0.0.6:8080/index/", "10.0.0.5:8080"),
            ("not an address", "127.0.0.1:8080"),
        ] {
            assert!(!is_listener(url, bind), "{url} {bind}");
        }
    }
}
