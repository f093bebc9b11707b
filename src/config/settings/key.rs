//! The keys of `frostmirror.toml`.

/// A key, in display order.
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
    /// All keys in display order.
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

    /// The key's name in the file.
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

    /// The key with this name.
    pub fn from_name(name: &str) -> Option<Key> {
        Key::ALL.into_iter().find(|key| key.name() == name)
    }

    /// The description in one or two sentences, for the Configuration page and the guide's table.
    pub fn about(self) -> &'static str {
        match self {
            Key::BaseUrl => {
                "Base URL for clients. Set it behind a reverse proxy. If it is set, every write needs the admin token."
            }
            Key::TrustedProxies => {
                "Addresses and networks of reverse proxies, such as 10.0.0.5 and 10.1.0.0/16. Their X-Forwarded-Proto, X-Forwarded-Host and Forwarded headers name the address that clients use. Through them, every write needs the admin token. Without this key, the host counts only if a token is set."
            }
            Key::Bind => "HOST:PORT on which the server listens. Port 0 takes any free port.",
            Key::Targets => {
                "Target triples that fetch uses if toolchains are requested without targets. The setup page names them."
            }
            Key::Toolchain => {
                "Toolchains that fetch uses if none are named: stable, beta, nightly, 1.86.0, nightly-2026-04-25. The setup page names the first."
            }
            Key::WatchIncoming => "Import bundles that appear in the incoming folder.",
            Key::VerifyChecksums => {
                "Hash stored files again during an import. Off: an import trusts their size. The bundle itself is always checked."
            }
            Key::KeepFailedPackages => {
                "Keep rejected bundles in failed/. Off: they are deleted, and only the reason is kept."
            }
            Key::PruneOnImport => "Run gc with its usual grace period after each import.",
            Key::ProxyMode => {
                "Live mode: fetch what the mirror lacks from upstream. Off: only stored files are served."
            }
            Key::Offline => {
                "Send no request to upstream. Live mode cannot be switched on. Set it in frostmirror.toml on the server, or start the server with --offline."
            }
            Key::ProxyIndexUrl => {
                "Sparse index from which live mode fetches. If it is not set, the environment and cargo's configuration count, as for fetch. A password in it is shown as ***."
            }
            Key::ProxyDlUrl => "Where live mode downloads crates, with cargo's markers such as {crate} and {version}.",
            Key::ProxyDistUrl => "Where live mode fetches toolchains and rustup.",
            Key::ProxyTtl => {
                "How long live mode serves index files and channels without asking upstream: 90s, 10m, 2h, 7d, or 0."
            }
            Key::ProxyCacheMax => {
                "Limit for files that only live mode fetched: bytes, 500MB or 10GiB; 0 for no limit. Above it, the least recently used ones are removed."
            }
            Key::MinAge => "How old a version must be before live mode serves it, unless it is stored: 14d, or 0.",
            Key::Allow => "The only crates that live mode fetches: name or name@requirement.",
            Key::Deny => "Crates that live mode does not fetch: name or name@requirement. Overrides allow.",
            Key::AdminTokenFile => {
                "File with the admin token. If it is set, every write needs that token, even from localhost."
            }
            Key::ReadTokenFile => "File with the read tokens, one per line. They apply if auth_required is set.",
            Key::AuthRequired => {
                "Reading needs a token: crates, the index and the pages. Toolchains stay open, because rustup sends no token."
            }
            Key::TlsCert => "File with the certificate chain (PEM). It is reloaded when it changes. Needs tls_key.",
            Key::TlsKey => "File with the private key (PEM). It is reloaded when it changes. Needs tls_cert.",
            Key::LogFormat => "Format of the log on stderr: text, or json with one object per line.",
        }
    }

    /// The meaning of a missing value or an empty list.
    pub fn without(self) -> &'static str {
        match self {
            Key::BaseUrl => "the Host that each client requests",
            Key::TrustedProxies => "those on this machine",
            Key::ProxyDlUrl => "the dl of the index's config.json",
            Key::Allow => "all crates",
            Key::AdminTokenFile => "none: only this machine may write",
            Key::TlsCert | Key::TlsKey => "none: plain HTTP",
            _ => "none",
        }
    }

    /// Whether a snapshot includes the key. Only the keys that name the mirrored toolchains are included. Each server's
    /// operation, checks and permissions are decided on its own machine. A new key is excluded by default.
    pub fn is_in_snapshots(self) -> bool {
        matches!(self, Key::Targets | Key::Toolchain)
    }

    /// Whether only the operator can change the key: in the file, by a flag or by a variable. The API and the pages show it
    /// and refuse changes.
    pub fn is_operator_only(self) -> bool {
        matches!(self, Key::Offline)
    }

    /// Whether a change needs a restart. For TLS this concerns the paths; changed contents of the files are reloaded.
    pub fn needs_restart(self) -> bool {
        matches!(self, Key::Bind | Key::TlsCert | Key::TlsKey)
    }
}
