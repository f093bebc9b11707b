//! The keys of `frostmirror.toml`.

/// A key, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the fields of `Settings` say what each is")]
pub enum Key {
    BaseUrl,
    TrustedProxies,
    Bind,
    Targets,
    Toolchain,
    WatchIncoming,
    VerifyChecksums,
    KeepFailedPackages,
    PruneOnImport,
    ProxyMode,
    Offline,
    ProxyIndexUrl,
    ProxyDlUrl,
    ProxyDistUrl,
    ProxyTtl,
    ProxyCacheMax,
    MinAge,
    Allow,
    Deny,
    AdminTokenFile,
    ReadTokenFile,
    AuthRequired,
    TlsCert,
    TlsKey,
    LogFormat,
}

impl Key {
    /// All of them, in order.
    pub const ALL: [Key; 25] = [
        Key::BaseUrl,
        Key::TrustedProxies,
        Key::Bind,
        Key::Targets,
        Key::Toolchain,
        Key::WatchIncoming,
        Key::VerifyChecksums,
        Key::KeepFailedPackages,
        Key::PruneOnImport,
        Key::ProxyMode,
        Key::Offline,
        Key::ProxyIndexUrl,
        Key::ProxyDlUrl,
        Key::ProxyDistUrl,
        Key::ProxyTtl,
        Key::ProxyCacheMax,
        Key::MinAge,
        Key::Allow,
        Key::Deny,
        Key::AdminTokenFile,
        Key::ReadTokenFile,
        Key::AuthRequired,
        Key::TlsCert,
        Key::TlsKey,
        Key::LogFormat,
    ];

    /// Its name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Key::BaseUrl => "base_url",
            Key::TrustedProxies => "trusted_proxies",
            Key::Bind => "bind",
            Key::Targets => "targets",
            Key::Toolchain => "toolchain",
            Key::WatchIncoming => "watch_incoming",
            Key::VerifyChecksums => "verify_checksums",
            Key::KeepFailedPackages => "keep_failed_packages",
            Key::PruneOnImport => "prune_on_import",
            Key::ProxyMode => "proxy_mode",
            Key::ProxyIndexUrl => "proxy_index_url",
            Key::ProxyDlUrl => "proxy_dl_url",
            Key::ProxyDistUrl => "proxy_dist_url",
            Key::ProxyTtl => "proxy_ttl",
            Key::ProxyCacheMax => "proxy_cache_max",
            Key::MinAge => "min_age",
            Key::Allow => "allow",
            Key::Deny => "deny",
            Key::AdminTokenFile => "admin_token_file",
            Key::ReadTokenFile => "read_token_file",
            Key::AuthRequired => "auth_required",
            Key::TlsCert => "tls_cert",
            Key::TlsKey => "tls_key",
            Key::LogFormat => "log_format",
            Key::Offline => "offline",
        }
    }

    /// The key of this name.
    pub fn of(name: &str) -> Option<Key> {
        Key::ALL.into_iter().find(|key| key.name() == name)
    }

    /// Whether a snapshot carries the key to another server. Only what says which toolchains are mirrored does: how a
    /// server runs, what it fetches, checks, removes and allows is decided on its own machine. A new key does not travel.
    pub fn travels(self) -> bool {
        matches!(self, Key::Targets | Key::Toolchain)
    }

    /// Whether a change takes effect at the next start only. Of the two of TLS that is true of their paths; what is in
    /// the files may change under a running server.
    pub fn needs_restart(self) -> bool {
        matches!(self, Key::Bind | Key::TlsCert | Key::TlsKey)
    }
}
