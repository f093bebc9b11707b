//! The headers of a reverse proxy: the scheme and the host that the client requested, and the client's address.
//!
//! Any client can write `X-Forwarded-Proto`, `X-Forwarded-Host`, `X-Forwarded-For` and `Forwarded` (RFC 7239). They are
//! only used from peers in `trusted_proxies`, and only as `http` or `https`, as `HOST[:PORT]` and as an address. Everything
//! else is ignored. Without that setting, they are used from this machine; the host only if a token is set. If a chain of proxies wrote several values, the first scheme and host are from the proxy nearest to
//! the client. The client's address is the last one that is not a trusted proxy's: a client can write those before it.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use hyper::HeaderMap;
use hyper::header::{FORWARDED, VIA};

use crate::client_setup::is_host;
use crate::event::Sink;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// Maximum number of reported peers; a limit prevents an attack on the log.
const MAX_REPORTED: usize = 16;
/// Maximum number of parsed elements of a forwarding header.
const MAX_ELEMENTS: usize = 16;

/// Headers that proxies, load balancers and content delivery networks add, beside those that begin with `x-forwarded`.
const PROXY_HEADERS: [&str; 25] = [
    "cdn-loop",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-visitor",
    "client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded-for",
    "forwarded-for-ip",
    "front-end-https",
    "proxy-client-ip",
    "true-client-ip",
    "wl-proxy-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-original-forwarded-for",
    "x-original-host",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-ip",
    "x-scheme",
];

/// The name of a header that shows that the request came through a proxy.
pub fn forwarding_header(headers: &HeaderMap) -> Option<&str> {
    let is_forwarding = |name: &&str| {
        *name == FORWARDED.as_str()
            || *name == VIA.as_str()
            || name.starts_with("x-forwarded")
            || name.starts_with("x-envoy-")
            || PROXY_HEADERS.contains(name)
    };
    headers.keys().map(|name| name.as_str()).find(is_forwarding)
}

/// The scheme and the host that a client requested from a proxy, as far as the proxy states them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Forwarded {
    pub(super) scheme: Option<&'static str>,
    pub(super) host: Option<String>,
}

impl Forwarded {
    /// Parses the headers.
    pub(super) fn of(headers: &HeaderMap) -> Forwarded {
        let first = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?;
            Some(value.split(',').next().unwrap_or_default().trim())
        };
        let standard =
            headers.get(FORWARDED).and_then(|value| value.to_str().ok()).map(parse_forwarded).unwrap_or_default();
        Forwarded {
            scheme: first("x-forwarded-proto").and_then(parse_scheme).or(standard.scheme),
            host: first("x-forwarded-host").and_then(parse_host).or(standard.host),
        }
    }
}

/// The client of a request that came from `peer`: the last address in the headers that is not a trusted proxy's, if the
/// peer is one.
pub(super) fn client_address(headers: &HeaderMap, peer: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    let (header, parse): (_, fn(&str) -> Option<IpAddr>) = match headers.contains_key(X_FORWARDED_FOR) {
        true => (X_FORWARDED_FOR, parse_node),
        false => (FORWARDED.as_str(), parse_forwarded_for),
    };
    let lines = headers.get_all(header).iter().rev().filter_map(|line| line.to_str().ok());
    for element in lines.flat_map(|line| line.rsplit(',')).take(MAX_ELEMENTS) {
        let Some(address) = parse(element.trim()) else { return client };
        client = address;
        if !is_trusted(client) {
            return client;
        }
    }
    client
}

/// `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`.
fn parse_node(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = bracketed.unwrap_or(text).parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address| address.to_canonical())
}

/// The `for=` of one element of a `Forwarded` header.
fn parse_forwarded_for(element: &str) -> Option<IpAddr> {
    let pairs = element.split(';').take(MAX_ELEMENTS).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    parse_node(value.trim_matches('"'))
}

fn parse_scheme(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme))
}

fn parse_host(text: &str) -> Option<String> {
    is_host(text).then(|| text.to_owned())
}

/// `for=…;proto=https;host=mirror.example, for=…`: the first element.
fn parse_forwarded(value: &str) -> Forwarded {
    let mut found = Forwarded::default();
    // A quoted text may contain a comma, but no scheme or host does: such an element is ignored.
    let element = value.split(',').next().unwrap_or_default();
    for pair in element.split(';').take(MAX_ELEMENTS) {
        let Some((name, value)) = pair.trim().split_once('=') else { continue };
        let value = match value.strip_prefix('"') {
            Some(quoted) => quoted.strip_suffix('"').unwrap_or_default(),
            None => value,
        };
        if name.eq_ignore_ascii_case("proto") {
            found.scheme = parse_scheme(value);
        } else if name.eq_ignore_ascii_case("host") {
            found.host = parse_host(value);
        }
    }
    found
}

/// Untrusted proxies that were already reported.
#[derive(Default)]
pub(super) struct UntrustedProxies(Mutex<HashSet<IpAddr>>);

impl UntrustedProxies {
    /// Reports, once per peer, that its headers are ignored and how to trust it.
    pub(super) fn report(&self, peer: IpAddr, message: &str, sink: &dyn Sink) {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() >= MAX_REPORTED || !reported.insert(peer) {
            return;
        }
        drop(reported);
        sink.warning(format!(
            "the proxy at {peer} is not trusted, so clients get the address `{message}` and not the one in its forwarding headers; \
             set `base_url` to the address that clients use, or add `{peer}` to `trusted_proxies`"
        ));
    }
}

/// The address as a client would write it: an IPv4-mapped IPv6 address becomes an IPv4 address.
pub(super) fn canonical_address(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_mapped_addresses_are_shown_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:80".parse().expect("address");
        assert_eq!(canonical_address(mapped).to_string(), "10.0.0.1:80");
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("value"));
        }
        headers
    }

    fn read(pairs: &[(&'static str, &str)]) -> (Option<&'static str>, Option<String>) {
        let Forwarded { scheme, host } = Forwarded::of(&headers(pairs));
        (scheme, host)
    }

    #[test]
    fn schemes_and_hosts_are_read_strictly() {
        let host = |text: &str| Some(text.to_owned());
        for (pairs, wanted) in [
            (
                &[("x-forwarded-proto", "https"), ("x-forwarded-host", "m.example")][..],
                (Some("https"), host("m.example")),
            ),
            (&[("x-forwarded-proto", "HTTPS, http"), ("x-forwarded-host", "m:1, n")], (Some("https"), host("m:1"))),
            (
                &[("forwarded", "for=1.2.3.4;Proto=https;host=\"m.example:8443\"")],
                (Some("https"), host("m.example:8443")),
            ),
            (&[("forwarded", "for=1.2.3.4; proto=https, for=5.6.7.8;proto=http;host=n")], (Some("https"), None)),
            (&[("forwarded", "proto=http"), ("x-forwarded-proto", "https")], (Some("https"), None)),
            (&[("x-forwarded-proto", "ftp"), ("x-forwarded-host", "m/../x")], (None, None)),
            (&[("x-forwarded-proto", "javascript:alert(1)//")], (None, None)),
            (&[("x-forwarded-host", "m\"; rm -rf ~; \"")], (None, None)),
            (&[("x-forwarded-host", "user:word@m")], (None, None)),
            (&[("x-forwarded-host", "")], (None, None)),
            (&[("forwarded", "host=\"m,n\";proto=https")], (None, None)),
            (&[("forwarded", ";;;=;proto;host")], (None, None)),
            (&[], (None, None)),
        ] {
            assert_eq!(read(pairs), wanted, "{pairs:?}");
        }
    }

    #[test]
    fn the_client_is_the_last_address_that_is_not_a_trusted_proxy() {
        let trusted = |address: IpAddr| address.is_loopback() || address.to_string().starts_with("10.");
        for (peer, pairs, client) in [
            ("192.0.2.1", &[("x-forwarded-for", "1.1.1.1")][..], "192.0.2.1"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("::ffff:127.0.0.1", &[("x-forwarded-for", "1.1.1.1")], "1.1.1.1"),
            ("127.0.0.1", &[("x-forwarded-for", "9.9.9.9, 1.1.1.1")], "1.1.1.1"),
            ("127.0.0.1", &[("x-forwarded-for", "9.9.9.9, 1.1.1.1, 10.0.0.1")], "1.1.1.1"),
            ("127.0.0.1", &[("x-forwarded-for", "9.9.9.9"), ("x-forwarded-for", "1.1.1.1,10.0.0.1")], "1.1.1.1"),
            ("127.0.0.1", &[("x-forwarded-for", "9.9.9.9, nonsense, 10.0.0.1")], "10.0.0.1"),
            ("127.0.0.1", &[("x-forwarded-for", "10.0.0.2, 10.0.0.1")], "10.0.0.2"),
            ("127.0.0.1", &[("x-forwarded-for", "1.1.1.1:4711")], "1.1.1.1"),
            ("127.0.0.1", &[("x-forwarded-for", "")], "127.0.0.1"),
            ("127.0.0.1", &[("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=9.9.9.9")], "1.1.1.1"),
            ("127.0.0.1", &[("forwarded", "for=9.9.9.9, proto=https;For=1.1.1.1")], "1.1.1.1"),
            ("127.0.0.1", &[("forwarded", "for=\"[2001:db8::1]:4711\"")], "2001:db8::1"),
            ("127.0.0.1", &[("forwarded", "for=_hidden")], "127.0.0.1"),
        ] {
            let headers = headers(pairs);
            let peer = peer.parse().expect("address");
            assert_eq!(client_address(&headers, peer, trusted).to_string(), client, "{peer} {pairs:?}");
        }
    }

    #[test]
    fn all_proxy_headers_are_recognized() {
        assert_eq!(forwarding_header(&headers(&[("host", "a"), ("accept", "*/*"), ("x-requested-with", "x")])), None);
        let others = ["forwarded", "via", "x-forwarded-for", "x-forwarded-port", "x-envoy-attempt-count"];
        for name in PROXY_HEADERS.into_iter().chain(others) {
            assert_eq!(forwarding_header(&headers(&[("host", "a"), (name, "1")])), Some(name));
        }
    }
}
