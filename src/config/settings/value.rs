//! Parses and validates the values of `frostmirror.toml`.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use semver::VersionReq;
use toml::de::DeValue;

use super::{Key, Network};
use crate::client_setup::{BaseUrl, is_host};
use crate::crate_id::{CrateName, Version};
use crate::diagnostics::{describe_value_kind, quote};
use crate::index_line::DL_MARKERS;
use crate::toolchain::{ToolchainName, is_triple};
use crate::units;

/// An invalid key or value, and the expected one. It never repeats a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; expected {expected}")]
pub struct InvalidValue {
    /// The problem, with the key.
    pub what: String,
    /// The expected value.
    pub expected: String,
}

impl InvalidValue {
    pub(in crate::config) fn new(what: impl Into<String>, expected: impl Into<String>) -> InvalidValue {
        InvalidValue { what: what.into(), expected: expected.into() }
    }
}

/// The log format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

/// An upstream URL: http or https, a host, optional credentials, a path, and (for downloads) cargo's markers. It is stored
/// as written, without the prefix `sparse+`. `Debug` shows it masked.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamUrl(String);

/// The replacement of a secret.
const MASK: &str = "***";

impl UpstreamUrl {
    /// Parses `url`, with or without the prefix `sparse+`.
    ///
    /// # Errors
    /// The expected form. The error does not repeat the URL.
    pub fn parse(url: &str) -> Result<UpstreamUrl, &'static str> {
        const EXPECTED: &str = "an address such as `https://index.example/path/`, with or without `sparse+` before it";
        let plain = url.strip_prefix("sparse+").unwrap_or(url);
        let is_web = plain.starts_with("http://") || plain.starts_with("https://");
        if plain.contains('#') {
            return Err("an address such as `https://index.example/path/`, without a fragment (from `#` on)");
        }
        let is_text = plain.chars().all(|c| c.is_ascii_graphic() && !"\"'`\\<>^|".contains(c));
        if plain.len() > 1024 || !is_web || !is_text {
            return Err(EXPECTED);
        }
        let upstream = UpstreamUrl(plain.to_owned());
        let (_, _, host, _) = upstream.parts();
        if !is_host(host) || reqwest::Url::parse(plain).is_err() {
            return Err(EXPECTED);
        }
        Ok(upstream)
    }

    /// The URL without `sparse+`. It may contain credentials, which are never shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL with `***` in place of secrets: a password, a user name without one (possibly a token), and a query (possibly
    /// with a signature).
    pub fn masked(&self) -> String {
        let (scheme, login, host, rest) = self.parts();
        let login = match login.map(|login| login.split_once(':')) {
            None => String::new(),
            Some(Some((name, _))) => format!("{name}:{MASK}@"),
            Some(None) => format!("{MASK}@"),
        };
        let rest = match rest.split_once('?') {
            Some((path, _)) => format!("{path}?{MASK}"),
            None => rest.to_owned(),
        };
        format!("{scheme}://{login}{host}{rest}")
    }

    /// Whether the URL has secrets that [`UpstreamUrl::masked`] hides.
    pub fn has_secret(&self) -> bool {
        self.masked() != self.0
    }

    /// Whether the URL contains the mask.
    pub(in crate::config) fn contains_mask(&self) -> bool {
        let (_, login, _, rest) = self.parts();
        let ends = |text: &str| text == MASK || text.ends_with(":***");
        login.is_some_and(ends) || rest.split_once('?').is_some_and(|(_, query)| query == MASK)
    }

    /// Splits scheme, credentials, host with port, and the rest.
    fn parts(&self) -> (&str, Option<&str>, &str, &str) {
        let (scheme, rest) = self.0.split_once("://").unwrap_or_default();
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        match authority.rsplit_once('@') {
            Some((login, host)) => (scheme, Some(login), host, rest),
            None => (scheme, None, authority, rest),
        }
    }
}

impl fmt::Debug for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upstream({:?})", self.masked())
    }
}

/// A crate pattern, all or some versions: `name` or `name@req`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CratePattern {
    /// The crate.
    pub name: CrateName,
    /// The version requirement, or `None` for all versions, including pre-releases.
    pub versions: Option<VersionReq>,
}

impl CratePattern {
    /// Whether the pattern matches this version of this crate. As on crates.io, `-` equals `_` and case is ignored.
    pub fn matches(&self, name: &CrateName, version: &Version) -> bool {
        normalize_name(&self.name) == normalize_name(name)
            && self.versions.as_ref().is_none_or(|req| req.matches(version))
    }
}

impl FromStr for CratePattern {
    type Err = ();

    fn from_str(text: &str) -> Result<CratePattern, ()> {
        let (name, versions) = match text.split_once('@') {
            Some((name, req)) if !req.trim().is_empty() => (name, Some(VersionReq::parse(req).map_err(|_| ())?)),
            Some(_) => return Err(()),
            None => (text, None),
        };
        Ok(CratePattern { name: name.parse().map_err(|_| ())?, versions })
    }
}

impl fmt::Display for CratePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.versions {
            Some(req) => write!(f, "{}@{req}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

fn normalize_name(name: &CrateName) -> String {
    name.as_str().to_ascii_lowercase().replace('_', "-")
}

/// Whether `text` is `HOST:PORT` with a name or an address.
fn is_bind_address(text: &str) -> bool {
    let ported = text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    text.parse::<SocketAddr>().is_ok() || (ported && is_host(text))
}

/// A value before its conversion.
pub(super) struct ValueReader<'v, 'i> {
    pub(super) key: Key,
    pub(super) value: &'v DeValue<'i>,
    pub(super) folder: &'v Path,
}

impl ValueReader<'_, '_> {
    /// The error for a value of the wrong type.
    fn wrong_type(&self, expected: impl Into<String>) -> InvalidValue {
        InvalidValue::new(format!("`{}` is {}", self.key.name(), describe_value_kind(self.value)), expected)
    }

    /// The error for an invalid value of the right type.
    fn invalid_text(&self, text: &str, expected: impl Into<String>) -> InvalidValue {
        InvalidValue::new(format!("`{}` has the invalid value {}", self.key.name(), quote(text)), expected)
    }

    fn text(&self, expected: &str) -> Result<&str, InvalidValue> {
        match self.value {
            DeValue::String(text) => Ok(text),
            _ => Err(self.wrong_type(expected)),
        }
    }

    pub(super) fn boolean(&self) -> Result<bool, InvalidValue> {
        match self.value {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.wrong_type("true or false")),
        }
    }

    pub(super) fn base_url(&self) -> Result<BaseUrl, InvalidValue> {
        const EXPECTED: &str = "the address of the server, such as `http://mirror.example:8080`";
        let text = self.text(EXPECTED)?;
        BaseUrl::parse(text).map_err(|_| match text.chars().find(|char| matches!(char, '@' | '?' | '#')) {
            // The value may contain a secret.
            Some('@') => InvalidValue::new("`base_url` is not the address of a server", EXPECTED),
            Some('?') => InvalidValue::new("`base_url` has a query (from `?` on)", EXPECTED),
            Some(_) => InvalidValue::new("`base_url` has a fragment (from `#` on)", EXPECTED),
            None => self.invalid_text(text, EXPECTED),
        })
    }

    pub(super) fn networks(&self) -> Result<Vec<Network>, InvalidValue> {
        self.string_list("a list of addresses and networks, such as `10.0.0.5` or `10.0.0.0/8`", |word| {
            word.parse().ok()
        })
    }

    pub(super) fn bind(&self) -> Result<String, InvalidValue> {
        const EXPECTED: &str = "HOST:PORT, such as `127.0.0.1:8080`, with port 0 for any free one";
        let text = self.text(EXPECTED)?;
        if is_bind_address(text) { Ok(text.to_owned()) } else { Err(self.invalid_text(text, EXPECTED)) }
    }

    /// A channel or a list of channels, as in depends.toml.
    pub(super) fn toolchain(&self) -> Result<Vec<ToolchainName>, InvalidValue> {
        const EXPECTED: &str = "a channel or a list of them, such as `stable`, `1.86.0` or `nightly-2026-04-25`";
        if let DeValue::Array(list) = self.value {
            if list.is_empty() {
                return Err(InvalidValue::new("`toolchain` is empty", EXPECTED));
            }
            return self.string_list(EXPECTED, |word| word.parse().ok());
        }
        let text = self.text(EXPECTED)?;
        text.parse().map(|toolchain| vec![toolchain]).map_err(|_| self.invalid_text(text, EXPECTED))
    }

    pub(super) fn targets(&self) -> Result<Vec<String>, InvalidValue> {
        const EXPECTED: &str = "a list of one or more target triples, such as `x86_64-unknown-linux-gnu`";
        let targets = self.string_list(EXPECTED, |word| is_triple(word).then(|| word.to_owned()))?;
        if targets.is_empty() {
            return Err(InvalidValue::new("`targets` is empty", EXPECTED));
        }
        Ok(targets)
    }

    pub(super) fn crates(&self) -> Result<Vec<CratePattern>, InvalidValue> {
        self.string_list("a list of crates, such as `serde` or `openssl@<0.10.60`", |word| word.parse().ok())
    }

    /// A non-empty list: an empty one could be read as all or as nothing.
    pub(super) fn non_empty_crates(&self) -> Result<Vec<CratePattern>, InvalidValue> {
        let crates = self.crates()?;
        if crates.is_empty() {
            let expected = "at least one crate; remove the key to allow all crates";
            return Err(InvalidValue::new(format!("`{}` is empty", self.key.name()), expected));
        }
        Ok(crates)
    }

    pub(super) fn upstream(&self) -> Result<UpstreamUrl, InvalidValue> {
        let text = self.text("an address such as `https://index.example/path/`")?;
        let wrong =
            |expected| InvalidValue::new(format!("`{}` is not the address of an upstream", self.key.name()), expected);
        let upstream = UpstreamUrl::parse(text).map_err(wrong)?;
        if upstream.contains_mask() {
            return Err(InvalidValue::new(
                format!("`{}` contains the mask `{MASK}` instead of the secret", self.key.name()),
                "the secret itself; to keep the stored one, send the whole masked address unchanged",
            ));
        }
        if self.key != Key::ProxyDlUrl {
            // The value may contain a secret.
            if upstream.as_str().contains('?') {
                let found = format!("`{}` has a query (from `?` on)", self.key.name());
                return Err(InvalidValue::new(found, "an address without a query and without markers"));
            }
            return match upstream.as_str().contains(['{', '}']) {
                true => Err(wrong("an address without a query and without markers")),
                false => Ok(upstream),
            };
        }
        // Cargo leaves an unknown marker unchanged, so every download would fail.
        let without = DL_MARKERS.iter().fold(upstream.as_str().to_owned(), |text, marker| text.replace(marker, ""));
        match without.contains(['{', '}']) {
            true => Err(wrong(
                "only the markers `{crate}`, `{version}`, `{prefix}`, `{lowerprefix}` and `{sha256-checksum}` in braces",
            )),
            false => Ok(upstream),
        }
    }

    pub(super) fn duration(&self) -> Result<Duration, InvalidValue> {
        const EXPECTED: &str = "a duration: a string such as \"90s\", \"10m\", \"2h\" or \"7d\"; or 0";
        match self.value {
            DeValue::String(text) => units::parse_duration(text).map_err(|_| self.invalid_text(text, EXPECTED)),
            DeValue::Integer(number) if number.as_str() == "0" => Ok(Duration::ZERO),
            _ => Err(self.wrong_type(EXPECTED)),
        }
    }

    pub(super) fn size(&self) -> Result<u64, InvalidValue> {
        const EXPECTED: &str = "a number of bytes, or a string such as \"500MB\" or \"10GiB\"; 0 for no limit";
        // A number beyond TOML's integers is useless as a limit.
        let fits = |bytes: &u64| i64::try_from(*bytes).is_ok();
        match self.value {
            DeValue::String(text) => {
                units::parse_size(text).ok().filter(fits).ok_or_else(|| self.invalid_text(text, EXPECTED))
            }
            DeValue::Integer(number) => {
                let bytes = u64::from_str_radix(number.as_str(), number.radix()).ok();
                bytes.filter(fits).ok_or_else(|| self.invalid_text(number.as_str(), EXPECTED))
            }
            _ => Err(self.wrong_type(EXPECTED)),
        }
    }

    pub(super) fn path(&self) -> Result<PathBuf, InvalidValue> {
        const EXPECTED: &str = "the path of a file; a relative one is below the folder of this file";
        let text = self.text(EXPECTED)?;
        if text.is_empty() || text.contains('\0') {
            return Err(self.invalid_text(text, EXPECTED));
        }
        Ok(self.folder.join(text))
    }

    pub(super) fn log_format(&self) -> Result<LogFormat, InvalidValue> {
        const EXPECTED: &str = "`text` or `json`";
        match self.text(EXPECTED)? {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            other => Err(self.invalid_text(other, EXPECTED)),
        }
    }

    /// A list of unique items.
    fn string_list<T>(&self, expected: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, InvalidValue> {
        let DeValue::Array(list) = self.value else {
            return Err(self.wrong_type(expected));
        };
        let mut seen = HashSet::new();
        let mut items = Vec::new();
        for one in list {
            let item_error =
                |what: String| InvalidValue::new(format!("`{}` contains {what}", self.key.name()), expected);
            let DeValue::String(word) = one.get_ref() else {
                return Err(item_error(describe_value_kind(one.get_ref()).to_owned()));
            };
            if !seen.insert(word.as_ref()) {
                return Err(item_error(format!("{} twice", quote(word))));
            }
            items.push(read(word).ok_or_else(|| item_error(quote(word)))?);
        }
        Ok(items)
    }
}
