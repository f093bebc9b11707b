//! Which proxy is asked for which address, by the rules that cargo has from libcurl.
//!
//! A configured proxy wins over the environment's. In the environment the lowercase name wins over the uppercase one,
//! and uppercase `HTTP_PROXY` does not count at all (a web server hands it to its scripts from a request's header).
//! `no_proxy` beats everything.

use crate::env::Env;

use super::Secret;
use super::address::shown;

/// Which proxy is asked for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// For `http` addresses.
    pub http: Option<ProxyAddress>,
    /// For `https` addresses.
    pub https: Option<ProxyAddress>,
    /// Hosts, domains, addresses and CIDR blocks that no proxy is asked for, separated by commas or blanks.
    pub no_proxy: Option<String>,
}

/// A proxy's address, which may hold a user's name and password, and where it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyAddress {
    /// `http://[user:password@]host[:port]`; without a scheme, `http` is meant.
    pub url: Secret,
    /// The setting that it comes from, as the user knows it.
    pub origin: String,
}

/// A proxy that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidProxy {
    /// Not an address.
    #[error("the proxy address `{shown}` of {origin} is not a valid http or https address")]
    Address {
        /// Without credentials.
        shown: String,
        /// The setting.
        origin: String,
    },
    /// A kind that this client cannot speak.
    #[error("the proxy `{shown}` of {origin} is a SOCKS proxy; only http and https proxies are supported")]
    Socks {
        /// Without credentials.
        shown: String,
        /// The setting.
        origin: String,
    },
}

impl ProxySettings {
    /// What the environment says, by libcurl's rules.
    pub fn of_env(env: &Env) -> ProxySettings {
        let first = |names: &[&str]| {
            names.iter().find_map(|name| {
                let url = Secret::new(env.text(name)?);
                Some(ProxyAddress { url, origin: format!("the variable {name}") })
            })
        };
        ProxySettings {
            http: first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
            https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            no_proxy: env.text("no_proxy").or_else(|| env.text("NO_PROXY")).map(str::to_owned),
        }
    }

    /// Sets one proxy for everything, as a configured `http.proxy` does; an empty one means that none is asked.
    pub fn configure(&mut self, url: &str, origin: &str) {
        let address = || {
            let url = (!url.is_empty()).then(|| Secret::new(url))?;
            Some(ProxyAddress { url, origin: origin.to_owned() })
        };
        self.http = address();
        self.https = address();
    }

    /// Hosts of the proxies that are themselves spoken to with TLS.
    pub(super) fn tls_hosts(&self) -> Vec<String> {
        let hosts = [&self.http, &self.https].into_iter().flatten().filter_map(|address| {
            let url = reqwest::Url::parse(address.url.expose()).ok()?;
            (url.scheme() == "https").then(|| url.host_str().map(str::to_owned)).flatten()
        });
        hosts.collect()
    }

    /// The hosts that no proxy is asked for; libcurl takes blanks for separators as well as commas.
    fn exempt(&self) -> impl Iterator<Item = &str> {
        let list = self.no_proxy.as_deref().unwrap_or_default();
        list.split([',', ' ', '\t']).filter(|host| !host.is_empty())
    }

    /// The same for the library that speaks.
    pub(super) fn to_reqwest(&self) -> Result<Vec<reqwest::Proxy>, InvalidProxy> {
        let mut proxies = Vec::new();
        // The library below takes a star for names only, libcurl for addresses as well.
        if self.exempt().any(|host| host == "*") {
            return Ok(proxies);
        }
        let list = self.exempt().collect::<Vec<_>>().join(",");
        let exempt = || reqwest::NoProxy::from_string(&list);
        if let Some(address) = &self.http {
            let proxy = reqwest::Proxy::http(address.checked()?).map_err(|_| address.invalid())?;
            proxies.push(proxy.no_proxy(exempt()));
        }
        if let Some(address) = &self.https {
            let proxy = reqwest::Proxy::https(address.checked()?).map_err(|_| address.invalid())?;
            proxies.push(proxy.no_proxy(exempt()));
        }
        Ok(proxies)
    }
}

/// The port that libcurl takes for an `http` proxy whose address names none.
const DEFAULT_PORT: u16 = 1080;

impl ProxyAddress {
    fn invalid(&self) -> InvalidProxy {
        InvalidProxy::Address { shown: shown(self.url.expose()), origin: self.origin.clone() }
    }

    /// The address with scheme and port filled in as libcurl does.
    fn checked(&self) -> Result<String, InvalidProxy> {
        let text = self.url.expose().trim();
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut url = reqwest::Url::parse(&text).map_err(|_| self.invalid())?;
        match url.scheme() {
            "http" | "https" if url.host_str().is_none_or(str::is_empty) => {
                return Err(self.invalid());
            }
            "http" => {
                if !names_port(&text) {
                    url.set_port(Some(DEFAULT_PORT)).map_err(|()| self.invalid())?;
                }
            }
            "https" => {}
            scheme if scheme.starts_with("socks") => {
                return Err(InvalidProxy::Socks { shown: shown(&text), origin: self.origin.clone() });
            }
            _ => return Err(self.invalid()),
        }
        Ok(url.into())
    }
}

/// Whether an address names its port; the parsed form drops a scheme's own port.
fn names_port(url: &str) -> bool {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = after_scheme.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_port_are_filled_in_as_libcurl_does() {
        for (given, expected) in [
            ("h", "http://h:1080/"),
            ("h:80", "http://h/"),
            ("http://u:p@h", "http://u:p@h:1080/"),
            ("http://[::1]", "http://[::1]:1080/"),
            ("http://[::1]:80/", "http://[::1]/"),
            ("https://h", "https://h/"),
            ("https://h:8443", "https://h:8443/"),
        ] {
            let address = ProxyAddress { url: Secret::new(given), origin: "test".to_owned() };
            assert_eq!(address.checked().expect(given), expected);
        }
    }
}
