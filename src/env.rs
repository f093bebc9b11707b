//! The environment variables, read once at the start, so that no other code reads them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// A variable that this program reads, as described in the guide.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The verbs that read it.
    pub verbs: &'static str,
    /// Its effect.
    pub about: &'static str,
    /// The default.
    pub default: &'static str,
}

/// Variables for child processes that may be rustup's proxies: with them, rustup installs no toolchain. Releases of rustup
/// that do not know RUSTUP_AUTO_INSTALL always install a missing toolchain. They fail at the addresses, which are files
/// that do not exist.
pub const NO_TOOLCHAIN_INSTALL: [(&str, &str); 3] =
    [("RUSTUP_AUTO_INSTALL", "0"), ("RUSTUP_DIST_SERVER", NO_DIST_SERVER), ("RUSTUP_UPDATE_ROOT", NO_DIST_SERVER)];

/// The address of a server that has no toolchain, see [`NO_TOOLCHAIN_INSTALL`].
const NO_DIST_SERVER: &str = "file:///frostmirror-installs-no-toolchain";

/// Whether rustup refused to run because a toolchain is not installed, according to its message.
pub fn is_missing_toolchain(message: &str) -> bool {
    message.contains("is not installed") || message.contains(NO_DIST_SERVER)
}

/// The variables for users. Cargo's variables also apply, as they do in cargo.
pub const VARIABLES: &[Variable] = &[
    variable("FROSTMIRROR_HOME", "all", "state, download cache, history and default mirror", "`~/.frostmirror`"),
    variable(
        "FROSTMIRROR_REGISTRY_URL",
        "init, fetch, up, serve",
        "sparse index of crates, with or without `sparse+` and a final slash; serve uses it in live mode",
        "cargo's replacement of crates.io, else crates.io",
    ),
    variable(
        "FROSTMIRROR_DL_URL",
        "fetch, up, serve",
        "URL of crate files, with cargo's markers; serve uses it in live mode",
        "the `dl` of the index's config.json",
    ),
    variable(
        "FROSTMIRROR_DIST_URL",
        "fetch, serve",
        "URL of toolchains and rustup; serve uses it in live mode",
        "`https://static.rust-lang.org`",
    ),
    variable(
        "FROSTMIRROR_TOOLCHAIN",
        "fetch",
        "toolchains if `[platforms]` names none, separated by commas",
        "`stable`",
    ),
    variable(
        "FROSTMIRROR_PLATFORMS",
        "fetch",
        "targets if `[platforms]` names none, separated by commas",
        "`x86_64-unknown-linux-gnu`",
    ),
    variable("FROSTMIRROR_MODE", "fetch", "`full`, or `incremental` for deltas", "`full`"),
    variable("FROSTMIRROR_OUTPUT", "fetch", "folder for bundles", "`./output`"),
    variable("FROSTMIRROR_HISTORY", "fetch, history", "folder of the history", "`$FROSTMIRROR_HOME/history`"),
    variable(
        "FROSTMIRROR_MIRROR",
        "import, serve, up, status, list, gc, export, setup",
        "the mirror",
        "`/mirror` if it exists, else `$FROSTMIRROR_HOME/mirror`",
    ),
    variable(
        "FROSTMIRROR_INCOMING",
        "serve, up",
        "the incoming folder",
        "`/incoming` if it exists, else `$FROSTMIRROR_HOME/incoming`",
    ),
    variable(
        "FROSTMIRROR_CONFIG_DIR",
        "import, serve, up, fetch, export",
        "folder of frostmirror.toml",
        "`/config` if it exists, else `$FROSTMIRROR_HOME/config`",
    ),
    variable(
        "FROSTMIRROR_BASE_URL",
        "fetch, import, serve",
        "URL of the mirror for clients",
        "the Host that each client requests; for fetch `http://localhost:8080`",
    ),
    variable("FROSTMIRROR_BIND", "serve, up", "listening address", "`0.0.0.0:8080`; for up `127.0.0.1:8080`"),
    variable("FROSTMIRROR_TLS_CERT", "serve", "certificate chain (PEM)", "none: plain HTTP"),
    variable("FROSTMIRROR_TLS_KEY", "serve", "private key (PEM)", "none: plain HTTP"),
    variable("FROSTMIRROR_ADMIN_TOKEN", "serve, up", "the admin token", "none: only this machine may write"),
    variable(
        "FROSTMIRROR_PROXY_MODE",
        "serve",
        "live mode: `1`, `true`, `yes`, `on`, or `0`, `false`, `no`, `off`",
        "`proxy_mode` of frostmirror.toml",
    ),
    variable(
        "FROSTMIRROR_OFFLINE",
        "serve",
        "no request to upstream, so no live mode; the same values",
        "`offline` of frostmirror.toml",
    ),
    variable("RUST_LOG", "serve", "log level: `off`, `error`, `warn`, `info`, `debug`, `trace`", "`info`"),
    variable("SOURCE_DATE_EPOCH", "fetch", "date of the bundle, in seconds since 1970", "now"),
];

/// Cargo's variables for the terminal, which all verbs follow as cargo does.
pub const TERMINAL_VARIABLES: [&str; 6] = [
    "CARGO_TERM_COLOR",
    "CARGO_TERM_QUIET",
    "CARGO_TERM_VERBOSE",
    "CARGO_TERM_PROGRESS_WHEN",
    "CARGO_TERM_PROGRESS_WIDTH",
    "NO_COLOR",
];

const fn variable(name: &'static str, verbs: &'static str, about: &'static str, default: &'static str) -> Variable {
    Variable { name, verbs, about, default }
}

/// The file that the system starts as `program`: the first of that name in the folders of `path`, the value of PATH. If
/// there is none, or `program` has a folder, it is `program` itself.
pub fn find_program(program: &OsStr, path: Option<&OsStr>) -> PathBuf {
    let name = PathBuf::from(program);
    if name.components().count() > 1 {
        return name;
    }
    let folders = path.into_iter().flat_map(std::env::split_paths);
    folders.map(|folder| folder.join(&name)).find(|file| file.is_file()).unwrap_or(name)
}

/// The environment variables, read once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Env(BTreeMap<OsString, OsString>);

impl Env {
    /// The environment of this process.
    pub fn from_process() -> Env {
        Env(std::env::vars_os().collect())
    }

    /// An environment with only these variables.
    pub fn from_vars<K: Into<OsString>, V: Into<OsString>>(vars: impl IntoIterator<Item = (K, V)>) -> Env {
        Env(vars.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }

    /// The value of `name`; an empty one counts as unset.
    pub fn var_os(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The value of `name` if it is UTF-8; an empty one counts as unset.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.var_os(name)?.to_str()
    }

    /// The value of `name` as a path.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.var_os(name).map(PathBuf::from)
    }

    /// The same variables with `name` set to `value`.
    pub fn with(&self, name: &str, value: &str) -> Env {
        let mut vars = self.0.clone();
        vars.insert(name.into(), value.into());
        Env(vars)
    }

    /// All variables, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(key, value)| (key.as_os_str(), value.as_os_str()))
    }
}
