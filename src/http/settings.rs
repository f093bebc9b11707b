//! How the client behaves: what cargo's `[http]` and `[net]` settings and the environment say.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::env::Env;

use super::proxy::ProxySettings;

/// How the client behaves. The defaults are cargo's.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `User-Agent`; cargo's `http.user-agent`.
    pub user_agent: String,
    /// The only authorities to trust, as a PEM file; cargo's `http.cainfo`. It excludes the environment's and the
    /// system's.
    pub cainfo: Option<PathBuf>,
    /// The only authorities to trust for a proxy that speaks TLS; cargo's `http.proxy-cainfo`. Default: as for upstream.
    pub proxy_cainfo: Option<PathBuf>,
    /// `SSL_CERT_FILE`: stands in for the system's file of authorities.
    pub cert_file: Option<PathBuf>,
    /// `SSL_CERT_DIR`: stands in for the system's folder of authorities.
    pub cert_dirs: Vec<PathBuf>,
    /// Which proxy is asked for what.
    pub proxy: ProxySettings,
    /// The oldest and the newest TLS version; cargo's `http.ssl-version`.
    pub tls: TlsVersions,
    /// How long to wait for a connection; cargo's `http.timeout`.
    pub connect_timeout: Duration,
    /// A transfer that brings fewer than `low_speed_limit` bytes a second for this long is given up; `http.timeout`.
    pub low_speed_timeout: Duration,
    /// Bytes a second; cargo's `http.low-speed-limit`. 0: a transfer may take as long as it likes.
    pub low_speed_limit: u32,
    /// Whether HTTP/2 is offered; cargo's `http.multiplexing`.
    pub multiplexing: bool,
    /// Attempts after the first; cargo's `net.retry`.
    pub retries: u32,
    /// About how long to wait after the first failure; later waits are longer, up to ten times this.
    pub first_backoff: Duration,
    /// Requests at a time for one host that speaks HTTP/2. Without HTTP/2 it is never more than 8.
    pub jobs: usize,
    /// Of these, how many downloads leave to texts such as index files, where a host bears more than one at a time.
    pub reserved_for_text: usize,
    /// What a server that asks for its clients calls itself in `Via` (RFC 9110, 7.6.3), by which it knows its own requests.
    pub via: Option<String>,
    /// Addresses that the user has chosen, by a setting or by default. Hosts that upstream chooses, by redirects or in its
    /// config.json, are only reached where they are public or in a network of the same kind as one of these. Empty: every
    /// host is reached.
    pub configured_urls: Vec<String>,
    /// Told of waits, so that nobody takes them for a standstill.
    pub retry_observer: RetryObserver,
}

/// Who is told that something is tried again, why, and in how many seconds; of many waits at once, only of the first.
#[derive(Clone, Default)]
pub struct RetryObserver {
    listener: Option<Arc<Listener>>,
    quiet_until: Arc<Mutex<Option<Instant>>>,
}

type Listener = dyn Fn(&str, u64) + Send + Sync;

impl RetryObserver {
    /// Tells `listener`.
    pub fn new(listener: impl Fn(&str, u64) + Send + Sync + 'static) -> RetryObserver {
        RetryObserver { listener: Some(Arc::new(listener)), ..RetryObserver::default() }
    }

    pub(super) fn notify(&self, why: &dyn std::fmt::Display, pause: Duration) {
        let Some(listener) = &self.listener else { return };
        let now = Instant::now();
        let mut told_until = self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        if told_until.is_none_or(|until| until <= now) {
            *told_until = Some(now + pause);
            drop(told_until);
            listener(&why.to_string(), pause.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX));
        }
    }
}

impl std::fmt::Debug for RetryObserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RetryObserver").field("is_observed", &self.listener.is_some()).finish_non_exhaustive()
    }
}

/// The TLS versions that may be spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsVersions {
    /// The oldest.
    pub oldest: TlsVersion,
    /// The newest.
    pub newest: TlsVersion,
}

/// A TLS version that this client can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Default for TlsVersions {
    fn default() -> TlsVersions {
        TlsVersions { oldest: TlsVersion::Tls12, newest: TlsVersion::Tls13 }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            user_agent: concat!("cargo-frostmirror/", env!("CARGO_PKG_VERSION")).to_owned(),
            cainfo: None,
            proxy_cainfo: None,
            cert_file: None,
            cert_dirs: Vec::new(),
            proxy: ProxySettings::default(),
            tls: TlsVersions::default(),
            connect_timeout: Duration::from_secs(30),
            low_speed_timeout: Duration::from_secs(30),
            low_speed_limit: 10,
            multiplexing: true,
            retries: 3,
            first_backoff: Duration::from_secs(1),
            jobs: 128,
            reserved_for_text: 0,
            via: None,
            configured_urls: Vec::new(),
            retry_observer: RetryObserver::default(),
        }
    }
}

impl Settings {
    /// The defaults, with the proxies and authorities that the environment names.
    pub fn of_env(env: &Env) -> Settings {
        Settings {
            cert_file: env.path("SSL_CERT_FILE"),
            cert_dirs: env.var_os("SSL_CERT_DIR").map(|dirs| std::env::split_paths(dirs).collect()).unwrap_or_default(),
            proxy: ProxySettings::of_env(env),
            ..Settings::default()
        }
    }
}
