//! Settings of the client: cargo's `[http]` and `[net]` settings and the environment.

use std::path::PathBuf;
use std::time::Duration;

use crate::env::Env;

use super::observer::Observer;
use super::proxy::ProxySettings;

/// Settings of the client. The defaults are cargo's.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `User-Agent`; cargo's `http.user-agent`.
    pub user_agent: String,
    /// The only trusted certificate authorities, as a PEM file; cargo's `http.cainfo`. It excludes the environment's
    /// and the system's.
    pub cainfo: Option<PathBuf>,
    /// The only trusted certificate authorities for a TLS proxy; cargo's `http.proxy-cainfo`. Default: as for upstream.
    pub proxy_cainfo: Option<PathBuf>,
    /// `SSL_CERT_FILE`: replaces the system's file of certificate authorities.
    pub cert_file: Option<PathBuf>,
    /// `SSL_CERT_DIR`: replaces the system's folder of certificate authorities.
    pub cert_dirs: Vec<PathBuf>,
    /// The proxies.
    pub proxy: ProxySettings,
    /// The oldest and the newest TLS version; cargo's `http.ssl-version`.
    pub tls: TlsVersions,
    /// Connect timeout; cargo's `http.timeout`.
    pub connect_timeout: Duration,
    /// A transfer with fewer than `low_speed_limit` bytes per second for this long is cancelled; `http.timeout`.
    pub low_speed_timeout: Duration,
    /// Bytes per second; cargo's `http.low-speed-limit`. 0: no limit.
    pub low_speed_limit: u32,
    /// Whether HTTP/2 is offered; cargo's `http.multiplexing`.
    pub multiplexing: bool,
    /// Retries after the first attempt; cargo's `net.retry`.
    pub retries: u32,
    /// Approximate wait after the first failure; later waits are longer, up to ten times this.
    pub first_backoff: Duration,
    /// Concurrent requests for one host that speaks HTTP/2. Without HTTP/2, at most 8.
    pub jobs: usize,
    /// How many of these downloads leave to texts such as index files, if a host allows more than one at a time.
    pub reserved_for_text: usize,
    /// The server's ID in `Via` (RFC 9110, 7.6.3), by which it recognizes its own requests.
    pub via: Option<String>,
    /// URLs that the user chose, by a setting or by default. Hosts that upstream chooses, by redirects or in its
    /// config.json, must be public or in a network of the same class as one of these. Empty: no restriction.
    pub configured_urls: Vec<String>,
    /// Receives the reports of requests and retries.
    pub observer: Observer,
}

/// The accepted TLS versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsVersions {
    /// The oldest.
    pub oldest: TlsVersion,
    /// The newest.
    pub newest: TlsVersion,
}

/// A TLS version that this client supports.
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
            observer: Observer::default(),
        }
    }
}

impl Settings {
    /// The defaults, with the proxies and certificate authorities of the environment.
    pub fn of_env(env: &Env) -> Settings {
        Settings {
            cert_file: env.path("SSL_CERT_FILE"),
            cert_dirs: env.var_os("SSL_CERT_DIR").map(|dirs| std::env::split_paths(dirs).collect()).unwrap_or_default(),
            proxy: ProxySettings::of_env(env),
            ..Settings::default()
        }
    }
}
