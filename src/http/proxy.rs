//! Selects the proxy for a URL, by the rules that cargo has from libcurl.
//!
//! A configured proxy takes precedence over the environment's. In the environment, the lowercase name takes precedence
//! over the uppercase one. Uppercase `HTTP_PROXY` is ignored, because a web server passes it to CGI scripts from a
//! request header. `no_proxy` overrides everything.

use crate::env::Env;

use super::redact::redact_url;
use super::request::Secret;

/// The proxies by scheme.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// For `http` URLs.
    pub http: Option<ProxyAddress>,
    /// For `https` URLs.
    pub https: Option<ProxyAddress>,
    /// Hosts, domains, addresses and CIDR blocks that are reached without a proxy, separated by commas or spaces.
    pub no_proxy: Option<String>,
}

/// A proxy's URL, which may contain a user name and password, and where it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyAddress {
    /// `SCHEME://[user:password@]host[:port]` with the scheme http, https or SOCKS; the default is `http`.
    pub url: Secret,
    /// The name of its setting, as the user knows it.
    pub origin: String,
}

/// The proxy of a failed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedProxy {
    /// Its URL without credentials.
    pub url: String,
    /// Whether its URL contains a user name or password.
    pub has_credentials: bool,
    /// The setting, as the user knows it.
    pub origin: String,
}

/// An unusable proxy.
#[derive(Debug, thiserror::Error)]
pub enum InvalidProxy {
    /// An invalid URL.
    #[error("the proxy `{shown}` of {origin} is not a valid address of an http, https or SOCKS proxy")]
    Address {
        /// Without credentials.
        shown: String,
        /// The setting.
        origin: String,
    },
    /// A user name or password that the proxy protocol cannot transmit.
    #[error(
        "the proxy `{shown}` of {origin} has a user name or password, which this client can only send to a SOCKS5 proxy"
    )]
    SocksUser {
        /// Without credentials.
        shown: String,
        /// The setting.
        origin: String,
    },
}

impl ProxySettings {
    /// The proxies in the environment, by libcurl's rules.
    pub fn of_env(env: &Env) -> ProxySettings {
        let first = |names: &[&str]| {
            names.iter().find_map(|name| {
                let url = Secret::new(env.var(name)?);
                Some(ProxyAddress { url, origin: format!("the variable {name}") })
            })
        };
        ProxySettings {
            http: first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
            https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            no_proxy: env.var("no_proxy").or_else(|| env.var("NO_PROXY")).map(str::to_owned),
        }
    }

    /// Sets one proxy for all URLs, as a configured `http.proxy` does; an empty one means no proxy.
    pub fn configure(&mut self, url: &str, origin: &str) {
        let address = || {
            let url = (!url.is_empty()).then(|| Secret::new(url))?;
            Some(ProxyAddress { url, origin: origin.to_owned() })
        };
        self.http = address();
        self.https = address();
    }

    /// The proxy for this host, if there is one; a host without brackets.
    pub fn proxy_for(&self, scheme: &str, host: &str) -> Option<&ProxyAddress> {
        let host = host.to_ascii_lowercase();
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        let is_exempt = |name: &str| {
            let name = name.trim_matches(['[', ']']).trim_start_matches('.').to_ascii_lowercase();
            let is_domain = host.strip_suffix(&name).is_some_and(|rest| rest.ends_with('.'));
            // A CIDR block may contain the address; callers of this approximation accept that.
            name == "*" || name == host || (is_domain && !is_address) || (is_address && name.contains('/'))
        };
        let proxy = if scheme == "https" { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !self.no_proxy_hosts().any(is_exempt))
    }

    /// The proxy for a request of `url`, without credentials.
    pub(super) fn used_for(&self, url: &str) -> Option<UsedProxy> {
        let (proxy, origin) = self.url_for(&reqwest::Url::parse(url).ok()?)?;
        let has_credentials = !proxy.username().is_empty() || proxy.password().is_some();
        Some(UsedProxy { url: redact_url(proxy.as_str()), has_credentials, origin })
    }

    /// The URL of the proxy for a request of `url`, with its credentials, and where it was set.
    pub(super) fn url_for(&self, url: &reqwest::Url) -> Option<(reqwest::Url, String)> {
        let proxy = self.proxy_for(url.scheme(), url.host_str()?.trim_matches(['[', ']']))?;
        Some((reqwest::Url::parse(&proxy.normalized_url().ok()?).ok()?, proxy.origin.clone()))
    }

    /// Hosts of the proxies that are reached over TLS.
    pub(super) fn tls_hosts(&self) -> Vec<String> {
        self.valid_urls()
            .filter(|url| url.scheme() == "https")
            .filter_map(|url| url.host_str().map(str::to_owned))
            .collect()
    }

    /// Hosts of all proxies.
    pub(super) fn hosts(&self) -> Vec<String> {
        self.valid_urls().filter_map(|url| url.host_str().map(str::to_owned)).collect()
    }

    /// URLs of the valid proxies.
    fn valid_urls(&self) -> impl Iterator<Item = reqwest::Url> {
        let addresses = [&self.http, &self.https].into_iter().flatten();
        addresses.filter_map(|address| reqwest::Url::parse(&address.normalized_url().ok()?).ok())
    }

    /// The hosts without a proxy; libcurl accepts spaces as separators as well as commas.
    fn no_proxy_hosts(&self) -> impl Iterator<Item = &str> {
        let list = self.no_proxy.as_deref().unwrap_or_default();
        list.split([',', ' ', '\t']).filter(|host| !host.is_empty())
    }

    /// Converts the settings for the HTTP library.
    pub(super) fn to_reqwest(&self) -> Result<Vec<reqwest::Proxy>, InvalidProxy> {
        let mut proxies = Vec::new();
        // The library accepts `*` only for names, libcurl for addresses as well.
        if self.no_proxy_hosts().any(|host| host == "*") {
            return Ok(proxies);
        }
        let list = self.no_proxy_hosts().collect::<Vec<_>>().join(",");
        let exempt = || reqwest::NoProxy::from_string(&list);
        if let Some(address) = &self.http {
            let proxy = reqwest::Proxy::http(address.normalized_url()?).map_err(|_| address.invalid())?;
            proxies.push(proxy.no_proxy(exempt()));
        }
        if let Some(address) = &self.https {
            let proxy = reqwest::Proxy::https(address.normalized_url()?).map_err(|_| address.invalid())?;
            proxies.push(proxy.no_proxy(exempt()));
        }
        Ok(proxies)
    }
}

/// The supported schemes. Host names are resolved here for `socks4` (also written `socks`) and `socks5`, and by the
/// proxy for the others.
const SCHEMES: [&str; 7] = ["http", "https", "socks", "socks4", "socks4a", "socks5", "socks5h"];

/// libcurl's default port for a proxy URL without one, except for `https` proxies.
const DEFAULT_PORT: u16 = 1080;

impl ProxyAddress {
    fn invalid(&self) -> InvalidProxy {
        InvalidProxy::Address { shown: redact_url(self.url.expose()), origin: self.origin.clone() }
    }

    /// The URL with scheme and port filled in as libcurl does.
    fn normalized_url(&self) -> Result<String, InvalidProxy> {
        let text = self.url.expose().trim();
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        // libcurl accepts schemes in either case, and `socks` for `socks4`.
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", &text));
        let scheme = scheme.to_ascii_lowercase();
        if !SCHEMES.contains(&scheme.as_str()) {
            return Err(self.invalid());
        }
        let scheme = if scheme == "socks" { "socks4" } else { &scheme };
        let mut url = reqwest::Url::parse(&format!("{scheme}://{rest}")).map_err(|_| self.invalid())?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(self.invalid());
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user && scheme.starts_with("socks4") {
            return Err(InvalidProxy::SocksUser { shown: redact_url(url.as_str()), origin: self.origin.clone() });
        }
        if scheme != "https" && !names_port(&text) {
            url.set_port(Some(DEFAULT_PORT)).map_err(|()| self.invalid())?;
        }
        Ok(url.into())
    }
}

/// Whether a URL contains a port; the parsed form drops a scheme's default port.
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
    fn no_proxy_rules_follow_libcurl() {
        let settings = |no_proxy: &str| {
            let mut settings = ProxySettings { no_proxy: Some(no_proxy.to_owned()), ..ProxySettings::default() };
            settings.configure("http://p:3128", "test");
            settings
        };
        for (no_proxy, host, requested) in [
            ("", "mirror.corp", true),
            ("", "127.0.0.1", true),
            ("mirror.corp", "Mirror.corp", false),
            ("corp", "mirror.corp", false),
            (".corp, other", "mirror.corp", false),
            ("rp", "mirror.corp", true),
            ("*", "mirror.corp", false),
            ("0.0.1", "127.0.0.1", true),
            ("127.0.0.0/8", "127.0.0.1", false),
            ("[::1]", "::1", false),
        ] {
            assert_eq!(settings(no_proxy).proxy_for("http", host).is_some(), requested, "{no_proxy:?} {host}");
        }
        assert!(ProxySettings::default().proxy_for("https", "h").is_none());
    }

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
            ("HTTP://h", "http://h:1080/"),
            ("socks://h", "socks4://h:1080"),
            ("socks4a://h:9", "socks4a://h:9"),
            ("SOCKS5://u:p@h", "socks5://u:p@h:1080"),
            ("socks5h://[::1]:1080/", "socks5h://[::1]:1080/"),
        ] {
            let address = ProxyAddress { url: Secret::new(given), origin: "test".to_owned() };
            assert_eq!(address.normalized_url().expect(given), expected);
        }
    }
}
