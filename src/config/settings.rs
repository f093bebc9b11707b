//! Parses `frostmirror.toml` strictly: every value has a validated type, and an error names the position, the key and the
//! expected value. An invalid value never falls back to a default.
//!
//! Keys are flat. [`Key`] lists them; `value` validates them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use toml::de::{DeTable, DeValue};

use super::SERVER;
use crate::bounded_read::{self, SizeLimit};
use crate::client_setup::BaseUrl;
use crate::diagnostics::{ProblemCollector, ProblemList, closest_match, quote, suggest_quotes};
use crate::toolchain::{self, ToolchainName};
use crate::units;

mod key;
mod network;
mod value;

pub use key::Key;
pub use network::Network;
pub use value::{CratePattern, InvalidValue, LogFormat, UpstreamUrl};

/// The default listen address of `serve`.
pub const DEFAULT_BIND: &str = "0.0.0.0:8080";
/// The default target.
pub const DEFAULT_TARGET: &str = "x86_64-unknown-linux-gnu";

/// The limit for a file; a real one has a few hundred bytes.
const LIMIT: SizeLimit = SizeLimit { max: 1 << 20, kind: "a frostmirror.toml" };

/// The settings of the server; [`Key::about`] describes each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The base URL for clients, or `None` to use the Host of each request.
    pub base_url: Option<BaseUrl>,
    /// Trusted reverse proxies, or `None` to trust those on this machine.
    pub trusted_proxies: Option<Vec<Network>>,
    /// `HOST:PORT` to listen on.
    pub bind: String,
    /// Target triples of the setup page, and the default of `fetch`.
    pub targets: Vec<String>,
    /// The default toolchains of `fetch`, at least one; the setup page shows the first.
    pub toolchain: Vec<ToolchainName>,
    /// Whether bundles of the incoming folder are imported.
    pub watch_incoming: bool,
    /// Whether an import hashes stored files again. Bundles are always checked.
    pub verify_checksums: bool,
    /// Whether the watcher keeps invalid bundles; it always keeps the reasons.
    pub keep_failed_packages: bool,
    /// Whether gc runs after each import.
    pub prune_on_import: bool,
    /// Whether live mode is on.
    pub proxy_mode: bool,
    /// Live mode's sparse index.
    pub proxy_index_url: UpstreamUrl,
    /// Live mode's download URL with cargo's markers, or `None` to use the index's config.json.
    pub proxy_dl_url: Option<UpstreamUrl>,
    /// Live mode's source of toolchains.
    pub proxy_dist_url: UpstreamUrl,
    /// How long an index file stays fresh in live mode.
    pub proxy_ttl: Duration,
    /// Limit in bytes for files that live mode stores; 0 means no limit.
    pub proxy_cache_max: u64,
    /// Minimum age of a version in live mode.
    pub min_age: Duration,
    /// The crates available in live mode, or `None` for all.
    pub allow: Option<Vec<CratePattern>>,
    /// The crates that live mode refuses.
    pub deny: Vec<CratePattern>,
    /// The file with the admin token.
    pub admin_token_file: Option<PathBuf>,
    /// The file with the read tokens.
    pub read_token_file: Option<PathBuf>,
    /// Whether read requests need a token.
    pub auth_required: bool,
    /// The certificate chain (PEM).
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    pub tls_key: Option<PathBuf>,
    /// The log format.
    pub log_format: LogFormat,
    /// Whether the server must not send requests to upstream; live mode cannot be switched on.
    pub offline: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        let upstream = |url: &str| UpstreamUrl::parse(url).expect("the address of an upstream is one");
        Settings {
            base_url: None,
            trusted_proxies: None,
            bind: DEFAULT_BIND.to_owned(),
            targets: vec![DEFAULT_TARGET.to_owned()],
            toolchain: vec!["stable".parse().expect("stable is a channel")],
            watch_incoming: false,
            verify_checksums: true,
            keep_failed_packages: true,
            prune_on_import: false,
            proxy_mode: false,
            proxy_index_url: upstream(crates_index::sparse::URL),
            proxy_dl_url: None,
            proxy_dist_url: upstream(toolchain::UPSTREAM_DIST_URL),
            proxy_ttl: Duration::from_secs(5 * 60),
            proxy_cache_max: 0,
            min_age: Duration::ZERO,
            allow: None,
            deny: Vec::new(),
            admin_token_file: None,
            read_token_file: None,
            auth_required: false,
            tls_cert: None,
            tls_key: None,
            log_format: LogFormat::Text,
            offline: false,
        }
    }
}

/// The reason why a configuration is invalid.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read, is too large or is not text.
    #[error(transparent)]
    Read(#[from] bounded_read::Error),
    /// The file has invalid contents.
    #[error("{}", list.draw(path))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The problems.
        list: ProblemList,
    },
    /// The value of a flag or variable is invalid.
    #[error("{overridden_by} is invalid: {error}")]
    InvalidOverride {
        /// The flag or the variable.
        overridden_by: String,
        /// The problem.
        error: InvalidValue,
    },
    /// One of two keys that belong together is missing.
    #[error("`{given}` needs `{missing}`, which is not set")]
    IncompletePair {
        /// The key that is set.
        given: &'static str,
        /// The missing key.
        missing: &'static str,
    },
    /// Live mode is on, but `offline` forbids it.
    #[error("`offline` forbids live mode, but `proxy_mode` switches it on")]
    Offline,
}

/// The contents of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParsedFile {
    /// The settings; missing keys have their defaults.
    pub settings: Settings,
    /// The keys in the file.
    pub keys: BTreeSet<Key>,
}

impl ParsedFile {
    /// Reads the `frostmirror.toml` of `folder`; a missing file counts as empty.
    ///
    /// # Errors
    /// Everything in [`Error`] except errors about flags.
    pub fn read(folder: &Path) -> Result<ParsedFile, Error> {
        let path = folder.join(SERVER);
        match read_text(&path)? {
            Some(text) => ParsedFile::parse(&text, &path),
            None => Ok(ParsedFile::default()),
        }
    }

    /// Parses `text`; `path` appears in errors, and its folder is the base of relative paths.
    ///
    /// # Errors
    /// [`Error::Read`] if the text is too large, [`Error::Invalid`].
    pub fn parse(text: &str, path: &Path) -> Result<ParsedFile, Error> {
        LIMIT.check(text, path)?;
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut problems = ProblemCollector::new(text, &errors, |_| "each key once");
        let mut parsed = ParsedFile::default();
        let folder = path.parent().unwrap_or(Path::new(""));
        for (name, value) in root.get_ref() {
            let Some(key) = Key::from_name(name.get_ref()) else {
                problems.add(name.span(), describe_unknown_key(name.get_ref(), value.get_ref().is_table()));
                continue;
            };
            parsed.keys.insert(key);
            if let Err(wrong) = parsed.settings.set(key, value.get_ref(), folder) {
                let number = matches!(value.get_ref(), DeValue::Integer(_) | DeValue::Float(_));
                let number = text.get(value.span()).filter(|_| number);
                let would_fit =
                    |text: &&str| parsed.settings.clone().set(key, &DeValue::String((*text).into()), folder).is_ok();
                let message = match number.filter(would_fit) {
                    Some(number) => suggest_quotes(Some(key.name()), number),
                    None => wrong.to_string(),
                };
                problems.add(value.span(), message);
            }
        }
        if problems.is_empty() {
            return Ok(parsed);
        }
        Err(Error::Invalid { path: path.to_owned(), list: problems.finish() })
    }
}

/// The text of the file at `path`; `None` if there is no file.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, bounded_read::Error> {
    bounded_read::if_exists(LIMIT.read_text(path))
}

/// The message for a key that is not one of [`Key::ALL`].
pub(super) fn describe_unknown_key(name: &str, is_table: bool) -> String {
    let names = Key::ALL.map(Key::name);
    match closest_match(name, &names) {
        _ if is_table => format!(
            "unknown table {}; {SERVER} has no tables: write its keys at the top of the file",
            quote(&format!("[{name}]"))
        ),
        Some(near) => format!("unknown key {}; did you mean `{near}`?", quote(name)),
        None => format!("unknown key {}; expected one of {}", quote(name), names.join(", ")),
    }
}

impl Settings {
    /// Sets `key`; `folder` is the base of relative paths.
    ///
    /// # Errors
    /// The value is invalid; the settings are unchanged.
    pub fn set(&mut self, key: Key, value: &DeValue<'_>, folder: &Path) -> Result<(), InvalidValue> {
        let reader = value::ValueReader { key, value, folder };
        match key {
            Key::BaseUrl => self.base_url = Some(reader.base_url()?),
            Key::TrustedProxies => self.trusted_proxies = Some(reader.networks()?),
            Key::Bind => self.bind = reader.bind()?,
            Key::Targets => self.targets = reader.targets()?,
            Key::Toolchain => self.toolchain = reader.toolchain()?,
            Key::WatchIncoming => self.watch_incoming = reader.boolean()?,
            Key::VerifyChecksums => self.verify_checksums = reader.boolean()?,
            Key::KeepFailedPackages => self.keep_failed_packages = reader.boolean()?,
            Key::PruneOnImport => self.prune_on_import = reader.boolean()?,
            Key::ProxyMode => self.proxy_mode = reader.boolean()?,
            Key::ProxyIndexUrl => self.proxy_index_url = reader.upstream()?,
            Key::ProxyDlUrl => self.proxy_dl_url = Some(reader.upstream()?),
            Key::ProxyDistUrl => self.proxy_dist_url = reader.upstream()?,
            Key::ProxyTtl => self.proxy_ttl = reader.duration()?,
            Key::ProxyCacheMax => self.proxy_cache_max = reader.size()?,
            Key::MinAge => self.min_age = reader.duration()?,
            Key::Allow => self.allow = Some(reader.non_empty_crates()?),
            Key::Deny => self.deny = reader.crates()?,
            Key::AdminTokenFile => self.admin_token_file = Some(reader.path()?),
            Key::ReadTokenFile => self.read_token_file = Some(reader.path()?),
            Key::AuthRequired => self.auth_required = reader.boolean()?,
            Key::TlsCert => self.tls_cert = Some(reader.path()?),
            Key::TlsKey => self.tls_key = Some(reader.path()?),
            Key::LogFormat => self.log_format = reader.log_format()?,
            Key::Offline => self.offline = reader.boolean()?,
        }
        Ok(())
    }

    /// Whether forwarding headers of this peer are trusted. Without the setting, those of this machine are.
    pub fn trusts_proxy(&self, peer: IpAddr) -> bool {
        match &self.trusted_proxies {
            Some(networks) => networks.iter().any(|network| network.contains(peer)),
            None => peer.to_canonical().is_loopback(),
        }
    }

    /// Whether the setting names this peer as a proxy: its connections may then come from any client.
    pub fn is_listed_proxy(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.is_some() && self.trusts_proxy(peer)
    }

    /// Refuses conflicting and incomplete combinations of keys.
    ///
    /// # Errors
    /// [`Error::IncompletePair`], [`Error::Offline`].
    pub fn validate(&self) -> Result<(), Error> {
        if self.offline && self.proxy_mode {
            return Err(Error::Offline);
        }
        let (given, missing) = match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => (Key::TlsCert, Key::TlsKey),
            (None, Some(_)) => (Key::TlsKey, Key::TlsCert),
            _ => return Ok(()),
        };
        Err(Error::IncompletePair { given: given.name(), missing: missing.name() })
    }

    /// Copies the keys that snapshots contain (see [`Key::is_in_snapshots`]).
    pub(super) fn copy_snapshot_keys(&mut self, from: &Settings) {
        self.targets.clone_from(&from.targets);
        self.toolchain.clone_from(&from.toolchain);
    }

    /// The value of `key` as JSON, in the form that a write accepts. Secrets in URLs are masked (see
    /// [`UpstreamUrl::masked`]).
    pub fn masked_json(&self, key: Key) -> serde_json::Value {
        self.json_with(key, UpstreamUrl::masked)
    }

    /// The value with its secrets, for comparisons.
    pub(super) fn unmasked_json(&self, key: Key) -> serde_json::Value {
        self.json_with(key, |url| url.as_str().to_owned())
    }

    /// The upstream URL of `key`.
    pub(super) fn upstream(&self, key: Key) -> Option<&UpstreamUrl> {
        match key {
            Key::ProxyIndexUrl => Some(&self.proxy_index_url),
            Key::ProxyDlUrl => self.proxy_dl_url.as_ref(),
            Key::ProxyDistUrl => Some(&self.proxy_dist_url),
            _ => None,
        }
    }

    fn json_with(&self, key: Key, url: impl Fn(&UpstreamUrl) -> String) -> serde_json::Value {
        let path = |path: &Option<PathBuf>| json!(path.as_ref().map(|path| path.to_string_lossy()));
        let crates = |list: &[CratePattern]| list.iter().map(CratePattern::to_string).collect::<Vec<_>>();
        match key {
            Key::BaseUrl => json!(self.base_url.as_ref().map(BaseUrl::as_str)),
            Key::TrustedProxies => {
                json!(self.trusted_proxies.as_ref().map(|all| all.iter().map(Network::to_string).collect::<Vec<_>>()))
            }
            Key::Bind => json!(self.bind),
            Key::Targets => json!(self.targets),
            Key::Toolchain => json!(self.toolchain),
            Key::WatchIncoming => json!(self.watch_incoming),
            Key::VerifyChecksums => json!(self.verify_checksums),
            Key::KeepFailedPackages => json!(self.keep_failed_packages),
            Key::PruneOnImport => json!(self.prune_on_import),
            Key::ProxyMode => json!(self.proxy_mode),
            Key::ProxyIndexUrl | Key::ProxyDlUrl | Key::ProxyDistUrl => json!(self.upstream(key).map(url)),
            Key::ProxyTtl => json!(units::format_duration(self.proxy_ttl)),
            Key::ProxyCacheMax => json!(self.proxy_cache_max),
            Key::MinAge => json!(units::format_duration(self.min_age)),
            Key::Allow => json!(self.allow.as_deref().map(crates)),
            Key::Deny => json!(crates(&self.deny)),
            Key::AdminTokenFile => path(&self.admin_token_file),
            Key::ReadTokenFile => path(&self.read_token_file),
            Key::AuthRequired => json!(self.auth_required),
            Key::TlsCert => path(&self.tls_cert),
            Key::TlsKey => path(&self.tls_key),
            Key::LogFormat => json!(self.log_format.as_str()),
            Key::Offline => json!(self.offline),
        }
    }
}

#[cfg(test)]
mod tests;
