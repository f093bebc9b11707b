//! The address under which clients reach a mirror, checked once, and the index configuration that follows from it.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

use crate::index_line::RegistryConfig;

/// An `http`, `https` or `file` address without query and fragment, kept without its final slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

/// A text that is no such address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{}` is not an address for clients: {reason}", text.escape_debug())]
pub struct InvalidBaseUrl {
    text: String,
    reason: &'static str,
}

impl BaseUrl {
    /// The address, without a final slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the index's `config.json` says: `dl` as the static tree is laid out, so that every kind of server gives
    /// the same addresses and a client's warm cache survives a change from one to another.
    pub fn registry_config(&self) -> RegistryConfig {
        RegistryConfig {
            dl: format!("{}/crates/{{crate}}-{{version}}.crate", self.0),
            api: Some(self.0.clone()),
            auth_required: false,
        }
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;

    fn from_str(text: &str) -> Result<BaseUrl, InvalidBaseUrl> {
        let invalid = |reason| InvalidBaseUrl { text: text.chars().take(200).collect(), reason };
        let plain = text.strip_prefix("sparse+").unwrap_or(text);
        let url =
            Url::parse(plain).map_err(|_| invalid("an absolute one like `http://mirror.example:8080` is needed"))?;
        if !["http", "https", "file"].contains(&url.scheme()) {
            return Err(invalid("it must begin with http, https or file"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it must not have a query or a fragment"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it must not carry a user or a password; everyone can read it"));
        }
        Ok(BaseUrl(url.as_str().trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_kept_without_their_final_slash() {
        for (text, kept) in [
            ("http://h:8080", "http://h:8080"),
            ("https://h/a/b//", "https://h/a/b"),
            ("file:///srv/mirror/", "file:///srv/mirror"),
            ("http://[::1]:1/", "http://[::1]:1"),
        ] {
            assert_eq!(text.parse::<BaseUrl>().expect(text).as_str(), kept);
        }
        let config = "http://h/".parse::<BaseUrl>().expect("valid").registry_config();
        assert_eq!(config.dl, "http://h/crates/{crate}-{version}.crate");
        assert_eq!(config.api.as_deref(), Some("http://h"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "mirror:8080", "/srv/mirror", "ftp://h", "http://h?q", "http://h/#x", "http://u:p@h/", "javascript:x"]
        {
            assert!(text.parse::<BaseUrl>().is_err(), "{text}");
        }
    }
}
