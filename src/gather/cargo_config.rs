//! What the user's cargo configuration says about the network (`[http]`, `[net]`, `[source]`, `[registries]`) and about which
//! versions are chosen (`[resolver]`, `[unstable]`).
//!
//! The files are found as cargo finds them: `.cargo/config.toml` of the current folder and of every folder above it,
//! then the one of CARGO_HOME, each with what it includes; the nearer one wins, and the environment wins over all.
//! Nothing else of them is looked at: a `[patch]` or an `[alias]` of the user's has no say in what is mirrored.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::env::Env;
use crate::http::{Settings, TlsVersion, TlsVersions};

mod files;
mod git_proxy;
mod provider;
mod upstream;

pub use provider::{Provider, TokenProgram};
pub use upstream::{Origin, Upstream};

use files::{ConfigFiles, FoundValue};

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

/// A configuration that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that is there and cannot be read.
    #[error("could not read `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is no TOML.
    #[error("`{path}` is not valid TOML: line {line}, column {column}: {message}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What was expected. Never the line itself, which may hold a token.
        message: String,
    },
    /// A file that includes itself.
    #[error("`{path}` is included by a file that it includes itself")]
    IncludeCycle {
        /// The file.
        path: PathBuf,
    },
    /// A value of another kind than the key takes.
    #[error("`{key}` in {location} must be {expected}")]
    InvalidValue {
        /// The key, with dots.
        key: String,
        /// The file, or the variable.
        location: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A replacement that nobody defined.
    #[error("crates.io is replaced with `{name}` in `{file}`, but no source or registry of that name is configured")]
    UnknownSource {
        /// The name.
        name: String,
        /// The file that names it.
        file: PathBuf,
    },
    /// A replacement that leads back to itself.
    #[error("the replacement of crates.io in `{file}` leads back to `{name}`")]
    SourceCycle {
        /// The name that comes twice.
        name: String,
        /// The file that starts the chain.
        file: PathBuf,
    },
    /// An address that cannot be an upstream.
    #[error("`{url}` ({location}) is not an http or https address")]
    InvalidAddress {
        /// Without credentials.
        url: String,
        /// Where it was set.
        location: String,
    },
    /// A token that only a program of the user's can give.
    #[error(
        "the token for the registry `{registry}` comes from the credential provider `{provider}`, which cannot be asked here"
    )]
    CredentialProvider {
        /// The registry's name.
        registry: String,
        /// As configured.
        provider: String,
        /// The variable that can hold the token instead.
        variable: String,
    },
}

impl CargoConfig {
    /// Reads the configuration as cargo does when it is run in `cwd`, an absolute path.
    ///
    /// # Errors
    ///
    /// A file that is there but cannot be read, that is no TOML, or whose values are of the wrong kind.
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

    /// Variables that give a cargo which fetches git dependencies the same way to the network as the user's.
    pub(super) fn git_vars(&self) -> &[(String, String)] {
        &self.git_vars
    }

    /// Of `[resolver]` and `[unstable]`, what decides which versions cargo chooses.
    pub(super) fn resolver_config(&self) -> &toml::Table {
        &self.resolver_config
    }

    /// Keys that cargo follows and this program does not.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The value of a key that counts for cargo, and the file that it stands in. The environment is not looked at.
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

    /// How a client must behave to be like the user's cargo.
    pub fn http_settings(&self) -> Settings {
        self.http.clone()
    }

    /// Whether `net.offline` forbids the network.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// Where index and crates come from: FROSTMIRROR_REGISTRY_URL, else the user's own replacement of crates.io where
    /// it is a sparse registry, else crates.io.
    ///
    /// # Errors
    ///
    /// A replacement that leads nowhere, an address that is none, a token that cannot be had.
    pub fn upstream(&self, env: &Env) -> Result<Upstream, Error> {
        upstream::find(&self.files, self.cargo_home.as_deref(), env)
    }

    /// The registry whose index is at `index`, with or without `sparse+` before it, with the token that cargo has for it.
    ///
    /// # Errors
    ///
    /// An address that is none, a token that cannot be had.
    pub fn upstream_at(&self, index: &str, env: &Env) -> Result<Upstream, Error> {
        upstream::with_index(&self.files, self.cargo_home.as_deref(), env, index)
    }

    /// The address of the index of `[registries.NAME]`; `None` where no registry has that name.
    ///
    /// # Errors
    ///
    /// A value that is no text.
    pub fn registry_index(&self, name: &str, env: &Env) -> Result<Option<String>, Error> {
        upstream::registry_index(&self.files, self.cargo_home.as_deref(), env, name)
    }
}

/// Keys that decide how git dependencies are fetched, as the variables that stand for them. They win over configuration files,
/// which the cargo that is run does not see.
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

/// What decides which versions cargo chooses: all of `[unstable]`, which a stable cargo passes over, and the choice of versions
/// by rust-version.
fn read_resolver_config(values: &ConfigValues<'_>) -> toml::Table {
    let mut decisions = toml::Table::new();
    let mut unstable = toml::Table::new();
    for found in values.files.values(&["unstable"]) {
        for (key, value) in found.value.as_table().into_iter().flatten() {
            unstable.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    // Our run has an index of its own, which it must be allowed to read.
    unstable.remove("no-index-update");
    if !unstable.is_empty() {
        decisions.insert("unstable".to_owned(), unstable.into());
    }
    let (table, key) = ("resolver", "incompatible-rust-versions");
    // The variable reaches cargo by itself.
    if values.env_value(&[table, key]).is_none()
        && let Some(found) = values.files.effective(&[table, key])
    {
        let resolver = toml::Table::from_iter([(key.to_owned(), found.value.clone())]);
        decisions.insert("resolver".to_owned(), resolver.into());
    }
    decisions
}

/// Says that `resolver.lockfile-path` is not followed, where it is set.
fn lockfile_path_warning(values: &ConfigValues<'_>) -> Option<String> {
    let keys = ["resolver", "lockfile-path"];
    let place = match values.env_value(&keys) {
        Some(set) => set.location,
        None => values.files.effective(&keys)?.location(),
    };
    Some(format!(
        "`resolver.lockfile-path` in {place} is not followed: a workspace's lock is its Cargo.lock; `--lockfile PATH` names another"
    ))
}

/// The `[http]` and `[net]` settings. `http.check-revoke` is none of ours: it speaks to Windows' own TLS, which is not
/// used here.
fn read_http_settings(values: &ConfigValues<'_>) -> Result<Settings, Error> {
    let mut http = Settings::of_env(values.env);
    if let Some(agent) = values.text("http", "user-agent")? {
        http.user_agent = agent.value;
    }
    http.cainfo = values.path("http", "cainfo")?;
    // Like curl, cargo lets the proxy's authorities follow upstream's where they are not set.
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
        // For curl, 0 means its own limit for the connection and none for the transfer.
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
    const EXPECTED: &str = "one of `default`, `tlsv1.2`, `tlsv1.3`, or a table of `min` and `max`";
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
            // Older ones than we can speak are no bound from below, and leave nothing from above.
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

/// Single values: the environment's, else the nearest file's.
struct ConfigValues<'a> {
    files: &'a ConfigFiles,
    env: &'a Env,
    cwd: &'a Path,
}

/// A value as text, and where it was set.
struct TextValue {
    value: String,
    location: String,
}

/// The variable that stands for a key: `http.low-speed-limit` is `CARGO_HTTP_LOW_SPEED_LIMIT`.
fn env_var_name(keys: &[&str]) -> String {
    let mut name = "CARGO".to_owned();
    for key in keys {
        name.push('_');
        name.push_str(&key.to_uppercase().replace(['-', '.'], "_"));
    }
    name
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

    /// As [`ConfigValues::text`]; a table counts as nothing.
    fn text_or_table(&self, table: &str, key: &str) -> Result<Option<TextValue>, Error> {
        match self.files.effective(&[table, key]) {
            Some(found) if found.value.is_table() => Ok(self.env_value(&[table, key])),
            _ => self.text(table, key),
        }
    }

    /// A path of a file counts from the folder that holds its `.cargo`, one of the environment from the current one.
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
        let keys = [table, key];
        let wrong =
            |place| Error::InvalidValue { key: keys.join("."), location: place, expected: "a whole number from 0 on" };
        if let Some(set) = self.env_value(&keys) {
            return set.value.trim().parse().map(Some).map_err(|_| wrong(set.location));
        }
        let Some(found) = self.files.effective(&keys) else {
            return Ok(None);
        };
        let number = found.value.as_integer().and_then(|number| u32::try_from(number).ok());
        number.map(Some).ok_or_else(|| wrong(found.location()))
    }

    fn bool(&self, table: &str, key: &str) -> Result<Option<bool>, Error> {
        let keys = [table, key];
        let wrong = |place| Error::InvalidValue { key: keys.join("."), location: place, expected: "`true` or `false`" };
        if let Some(set) = self.env_value(&keys) {
            return set.value.trim().parse().map(Some).map_err(|_| wrong(set.location));
        }
        let Some(found) = self.files.effective(&keys) else {
            return Ok(None);
        };
        found.value.as_bool().map(Some).ok_or_else(|| wrong(found.location()))
    }
}

#[cfg(test)]
mod tests;
