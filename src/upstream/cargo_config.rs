//! The user's cargo configuration for the network (`[http]`, `[net]`, `[source]`, `[registries]`), for the choice of
//! versions (`[resolver]`, `[unstable]`) and for the terminal (`[term]`).
//!
//! Files are searched as in cargo: `.cargo/config.toml` of the current folder and of every folder above it, then the
//! one of CARGO_HOME, each with its includes. The nearest file takes precedence, and the environment overrides all
//! files. Other keys are ignored: `[patch]` and `[alias]` do not affect what is mirrored.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::env::Env;
use crate::http::{Settings, TlsVersion, TlsVersions};

mod error;
mod files;
mod git_proxy;
mod provider;
mod term;
mod upstream;

pub use error::Error;
pub use provider::{Provider, TokenProgram};
pub use term::{TermSettings, When};
pub use upstream::{Origin, Upstream};

use files::{ConfigFiles, FoundValue, env_var_name};

/// The user's cargo configuration, as far as it concerns the network.
#[derive(Clone, Debug)]
pub struct CargoConfig {
    files: ConfigFiles,
    cargo_home: Option<PathBuf>,
    http: Settings,
    offline: bool,
    git_vars: Vec<(String, String)>,
    resolver_config: toml::Table,
    warnings: Vec<String>,
}

impl CargoConfig {
    /// Reads the configuration as cargo does in `cwd`, an absolute path.
    ///
    /// # Errors
    ///
    /// A file exists but cannot be read, is not TOML, or has values of the wrong type.
    pub fn read(cwd: &Path, cargo_home: Option<&Path>, env: &Env) -> Result<CargoConfig, Error> {
        let files = ConfigFiles::read(cwd, cargo_home)?;
        let values = ConfigValues { files: &files, env, cwd };
        let http = read_http_settings(&values)?;
        let offline = values.bool("net", "offline")?.unwrap_or(false);
        let git_vars = read_git_vars(&values)?;
        let decisions = read_resolver_config(&values);
        let warnings = lockfile_path_warning(&values).into_iter().collect();
        Ok(CargoConfig {
            cargo_home: cargo_home.map(Path::to_owned),
            http,
            offline,
            git_vars,
            resolver_config: decisions,
            warnings,
            files,
        })
    }

    /// Variables that give the user's network settings to a cargo that fetches git dependencies.
    pub(crate) fn git_vars(&self) -> &[(String, String)] {
        &self.git_vars
    }

    /// The keys of `[resolver]` and `[unstable]` that decide which versions cargo chooses.
    pub(crate) fn resolver_config(&self) -> &toml::Table {
        &self.resolver_config
    }

    /// Warnings about keys that cargo supports and this program ignores.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The value of a key in the files, and its file. The environment is ignored.
    pub fn value(&self, key: &[&str]) -> Option<(&toml::Value, &Path)> {
        self.files.effective(key).map(|found| (found.value, found.file))
    }

    /// The keys of a table, each with the file whose value counts, sorted.
    pub fn keys_of(&self, table: &[&str]) -> Vec<(String, PathBuf)> {
        let mut keys = std::collections::BTreeMap::new();
        for found in self.files.values(table) {
            for name in found.value.as_table().into_iter().flat_map(toml::Table::keys) {
                keys.entry(name.clone()).or_insert_with(|| found.file.to_owned());
            }
        }
        keys.into_iter().collect()
    }

    /// The HTTP settings of the user's cargo.
    pub fn http_settings(&self) -> Settings {
        self.http.clone()
    }

    /// Whether `net.offline` forbids network access.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// The upstream of index and crates: FROSTMIRROR_REGISTRY_URL, otherwise the user's replacement of crates.io if it
    /// is a sparse registry, otherwise crates.io.
    ///
    /// # Errors
    ///
    /// A replacement is undefined, an address is invalid, or a token is unavailable.
    pub fn upstream(&self, env: &Env) -> Result<Upstream, Error> {
        upstream::find(&self.files, self.cargo_home.as_deref(), env)
    }

    /// The registry whose index is at `index`, with or without the prefix `sparse+`, with cargo's token for it.
    ///
    /// # Errors
    ///
    /// The address is invalid, or the token is unavailable.
    pub fn upstream_at(&self, index: &str, env: &Env) -> Result<Upstream, Error> {
        upstream::with_index(&self.files, self.cargo_home.as_deref(), env, index)
    }

    /// The index address of `[registries.NAME]`; `None` if no registry has that name.
    ///
    /// # Errors
    ///
    /// The value is not a string.
    pub fn registry_index(&self, name: &str, env: &Env) -> Result<Option<String>, Error> {
        upstream::registry_index(&self.files, self.cargo_home.as_deref(), env, name)
    }
}

/// Keys that decide how git dependencies are fetched, as their variables. They override configuration files, which the
/// child cargo does not see.
fn read_git_vars(values: &ConfigValues<'_>) -> Result<Vec<(String, String)>, Error> {
    let mut vars = Vec::new();
    let mut put = |keys: &[&str], value: Option<String>| vars.extend(value.map(|value| (env_var_name(keys), value)));
    for key in ["proxy", "user-agent"] {
        put(&["http", key], values.text("http", key)?.map(|set| set.value));
    }
    for key in ["cainfo", "proxy-cainfo"] {
        put(&["http", key], values.path("http", key)?.map(|path| path.to_string_lossy().into_owned()));
    }
    put(&["http", "ssl-version"], values.text_or_table("http", "ssl-version")?.map(|set| set.value));
    for bound in ["min", "max"] {
        let keys = ["http", "ssl-version", bound];
        put(&keys, values.value(&keys)?.map(|set| set.value));
    }
    for (table, key) in [("http", "check-revoke"), ("net", "git-fetch-with-cli")] {
        put(&[table, key], values.bool(table, key)?.map(|value| value.to_string()));
    }
    Ok(vars)
}

/// The settings that decide which versions cargo chooses: all of `[unstable]`, which a stable cargo ignores, and the
/// choice of versions by rust-version.
fn read_resolver_config(values: &ConfigValues<'_>) -> toml::Table {
    let mut decisions = toml::Table::new();
    let mut unstable = toml::Table::new();
    for found in values.files.values(&["unstable"]) {
        for (key, value) in found.value.as_table().into_iter().flatten() {
            unstable.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    // The child cargo has its own index and must be allowed to read it.
    unstable.remove("no-index-update");
    if !unstable.is_empty() {
        decisions.insert("unstable".to_owned(), unstable.into());
    }
    let (table, key) = ("resolver", "incompatible-rust-versions");
    // The child cargo inherits the variable.
    if values.env_value(&[table, key]).is_none()
        && let Some(found) = values.files.effective(&[table, key])
    {
        let resolver = toml::Table::from_iter([(key.to_owned(), found.value.clone())]);
        decisions.insert("resolver".to_owned(), resolver.into());
    }
    decisions
}

/// Warns that `resolver.lockfile-path` is ignored, if it is set.
fn lockfile_path_warning(values: &ConfigValues<'_>) -> Option<String> {
    let keys = ["resolver", "lockfile-path"];
    let place = match values.env_value(&keys) {
        Some(set) => set.location,
        None => values.files.effective(&keys)?.location(),
    };
    Some(format!(
        "`resolver.lockfile-path` in {place} is ignored: a workspace's lock is its Cargo.lock; use `--lockfile PATH` for another file"
    ))
}

/// The `[http]` and `[net]` settings. `http.check-revoke` is ignored: it configures the TLS library of Windows, which
/// this program does not use.
fn read_http_settings(values: &ConfigValues<'_>) -> Result<Settings, Error> {
    let mut http = Settings::of_env(values.env);
    if let Some(agent) = values.text("http", "user-agent")? {
        http.user_agent = agent.value;
    }
    http.cainfo = values.path("http", "cainfo")?;
    // Like curl, cargo uses upstream's authorities for the proxy if the proxy has none.
    http.proxy_cainfo = values.path("http", "proxy-cainfo")?;
    if let Some(proxy) = values.text("http", "proxy")? {
        http.proxy.configure(&proxy.value, &format!("`http.proxy` in {}", proxy.location));
    } else if let Some((url, file)) = git_proxy::http_proxy(values.env) {
        http.proxy.configure(&url, &format!("`http.proxy` in `{}`", file.display()));
    }
    let timeout = match values.number("http", "timeout")? {
        Some(seconds) => Some(seconds),
        None => values.env.var("HTTP_TIMEOUT").and_then(|seconds| seconds.parse().ok()),
    };
    match timeout {
        // For curl, 0 means its default limit for the connection and no limit for the transfer.
        Some(0) => {
            http.connect_timeout = Duration::from_secs(300);
            http.low_speed_timeout = Duration::ZERO;
        }
        Some(seconds) => {
            http.connect_timeout = Duration::from_secs(u64::from(seconds));
            http.low_speed_timeout = http.connect_timeout;
        }
        None => {}
    }
    if let Some(limit) = values.number("http", "low-speed-limit")? {
        http.low_speed_limit = limit;
    }
    if let Some(multiplexing) = values.bool("http", "multiplexing")? {
        http.multiplexing = multiplexing;
    }
    if let Some(retries) = values.number("net", "retry")? {
        http.retries = retries;
    }
    http.tls = read_tls_versions(values)?;
    Ok(http)
}

/// `http.ssl-version`: one version, or a table of `min` and `max`.
fn read_tls_versions(values: &ConfigValues<'_>) -> Result<TlsVersions, Error> {
    const KEY: &str = "ssl-version";
    const EXPECTED: &str = "one of `default`, `tlsv1.2`, `tlsv1.3`, or a table with `min` and `max`";
    let mut versions = TlsVersions::default();
    if let Some(single) = values.text_or_table("http", KEY)? {
        let (oldest, newest) = match single.value.as_str() {
            "default" | "tlsv1" => (TlsVersion::Tls12, TlsVersion::Tls13),
            "tlsv1.2" => (TlsVersion::Tls12, TlsVersion::Tls12),
            "tlsv1.3" => (TlsVersion::Tls13, TlsVersion::Tls13),
            _ => {
                return Err(Error::InvalidValue {
                    key: format!("http.{KEY}"),
                    location: single.location,
                    expected: EXPECTED,
                });
            }
        };
        return Ok(TlsVersions { oldest, newest });
    }
    for (bound, slot) in [("min", &mut versions.oldest), ("max", &mut versions.newest)] {
        let Some(found) = values.value(&["http", KEY, bound])? else {
            continue;
        };
        match (bound, found.value.as_str()) {
            (_, "default") => {}
            // Unsupported older versions set no lower bound, and allow no version as an upper bound.
            ("min", "tlsv1" | "tlsv1.0" | "tlsv1.1") => {}
            (_, "tlsv1.2") => *slot = TlsVersion::Tls12,
            (_, "tlsv1.3") => *slot = TlsVersion::Tls13,
            _ => {
                let key = format!("http.{KEY}.{bound}");
                return Err(Error::InvalidValue {
                    key,
                    location: found.location,
                    expected: "`default`, `tlsv1.2` or `tlsv1.3`",
                });
            }
        }
    }
    Ok(versions)
}

/// Single values: from the environment, otherwise from the nearest file.
struct ConfigValues<'a> {
    files: &'a ConfigFiles,
    env: &'a Env,
    cwd: &'a Path,
}

/// A string value and its position.
struct TextValue {
    value: String,
    location: String,
}

impl ConfigValues<'_> {
    fn env_value(&self, keys: &[&str]) -> Option<TextValue> {
        let name = env_var_name(keys);
        let value = self.env.var(&name)?.to_owned();
        Some(TextValue { value, location: format!("the variable {name}") })
    }

    fn value(&self, keys: &[&str]) -> Result<Option<TextValue>, Error> {
        match (self.env_value(keys), self.files.effective(keys)) {
            (Some(set), _) => Ok(Some(set)),
            (None, Some(found)) => {
                Ok(Some(TextValue { value: found.text(keys)?.to_owned(), location: found.location() }))
            }
            (None, None) => Ok(None),
        }
    }

    fn text(&self, table: &str, key: &str) -> Result<Option<TextValue>, Error> {
        self.value(&[table, key])
    }

    /// Like [`ConfigValues::text`], but a table counts as absent.
    fn text_or_table(&self, table: &str, key: &str) -> Result<Option<TextValue>, Error> {
        match self.files.effective(&[table, key]) {
            Some(found) if found.value.is_table() => Ok(self.env_value(&[table, key])),
            _ => self.text(table, key),
        }
    }

    /// A path in a file is relative to the folder that contains its `.cargo`. A path in the environment is relative to
    /// the current folder.
    fn path(&self, table: &str, key: &str) -> Result<Option<PathBuf>, Error> {
        let keys = [table, key];
        if let Some(path) = self.env.path(&env_var_name(&keys)) {
            return Ok(Some(self.cwd.join(path)));
        }
        match self.files.effective(&keys) {
            Some(found) => Ok(Some(found.base_folder().join(found.text(&keys)?))),
            None => Ok(None),
        }
    }

    fn number(&self, table: &str, key: &str) -> Result<Option<u32>, Error> {
        self.number_at(&[table, key])
    }

    fn number_at(&self, keys: &[&str]) -> Result<Option<u32>, Error> {
        self.parsed(keys, "a non-negative integer", |value| value.as_integer()?.try_into().ok())
    }

    fn bool(&self, table: &str, key: &str) -> Result<Option<bool>, Error> {
        self.parsed(&[table, key], "`true` or `false`", toml::Value::as_bool)
    }

    fn parsed<T: std::str::FromStr>(
        &self,
        keys: &[&str],
        expected: &'static str,
        convert: impl Fn(&toml::Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let (value, location) = match (self.env_value(keys), self.files.effective(keys)) {
            (Some(set), _) => (set.value.trim().parse().ok(), set.location),
            (None, Some(found)) => (convert(found.value), found.location()),
            (None, None) => return Ok(None),
        };
        value.map(Some).ok_or_else(|| Error::InvalidValue { key: keys.join("."), location, expected })
    }
}

#[cfg(test)]
mod tests;
