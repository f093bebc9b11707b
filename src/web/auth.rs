//! Access control for write requests.
//!
//! If an admin token is set, a write request needs it as `Authorization: Bearer TOKEN`, or the cookie of a session that was
//! started with it. A session of a read token can only read. Without an admin token, only a direct local connection may
//! write. Requests of foreign pages are refused in both cases: their Origin is not this server, or their Host is a foreign
//! name that resolves to this machine.
//!
//! | attack | defence |
//! |---|---|
//! | a foreign page posts a form to this server | Origin and Sec-Fetch-Site must be this server's own; bodies must be declared as JSON |
//! | a foreign name resolves to 127.0.0.1 | without a token the Host must be a loopback name |
//! | a local proxy makes all clients look local | a set base URL, a forwarding header or HTTP/1.0 requires a token |
//! | the token is guessed byte by byte | digests are compared, not tokens |
//! | the token is guessed | it has at least 16 characters, too many to guess; wrong tokens are throttled |

use std::net::IpAddr;

use hyper::header::{HeaderMap, ORIGIN};
use hyper::{StatusCode, Version};

use super::response::ApiError;
use super::sessions::session_cookies;
use super::state::WebState;
use crate::error_report::Failure;
use crate::server::auth::{Throttled, Token};
use crate::server::fallback::RequestOrigin;
use crate::server::forwarded::forwarding_header;

/// The access that a route requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequiredAccess {
    /// No restriction.
    Public,
    /// Read access.
    Read,
    /// Write access.
    Write,
    /// Any client, but only from this server's own pages: for routes that check access themselves, such as the login.
    SameOrigin,
}

/// Whether the request has the access that its route requires.
pub(super) fn check(
    state: &WebState,
    needs: RequiredAccess,
    headers: &HeaderMap,
    version: Version,
    at: &RequestOrigin,
) -> Result<(), ApiError> {
    if needs == RequiredAccess::Public {
        return Ok(());
    }
    if needs == RequiredAccess::Read {
        let may_read = has_session(state, headers)
            || state.options.access.may_read(headers, at.client).map_err(too_many_wrong_tokens)?;
        return may_read.then_some(()).ok_or_else(|| {
            ApiError::new(StatusCode::UNAUTHORIZED, "reading needs a token")
                .with_hint("send `Authorization: Bearer TOKEN` with a read token, or log in on the page")
        });
    }
    check_same_origin(headers, at)?;
    if needs == RequiredAccess::SameOrigin {
        return Ok(());
    }
    match admin_token(state)? {
        Some(token) => check_admin_token(state, &token, headers, at),
        // If a base URL or trusted proxies are configured, a local connection may come from any client through a proxy.
        None => {
            let settings = state.context.settings.current();
            let behind_proxy = settings.base_url.is_some() || settings.is_listed_proxy(at.peer.ip());
            check_local(behind_proxy, headers, version, at)
        }
    }
}

/// The configured admin token, if any.
pub(super) fn admin_token(state: &WebState) -> Result<Option<Token>, ApiError> {
    state.options.access.admin_token().map_err(|error| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the admin token file cannot be used")
            .with_hint("see the server's log for the reason")
            .with_internal_message(format!("write access is disabled: {}", Failure::from(error).one_line()))
    })
}

/// Whether the request has a session cookie with read access. A session ends when its token is replaced.
pub(super) fn has_session(state: &WebState, headers: &HeaderMap) -> bool {
    session_tokens(state, headers).any(|token| state.options.access.may_token_read(&token))
}

fn session_tokens(state: &WebState, headers: &HeaderMap) -> impl Iterator<Item = Token> {
    session_cookies(headers).filter_map(|value| state.sessions.token_of(value))
}

/// Whether a page may show this client what a reader sees.
pub(super) fn may_read(state: &WebState, headers: &HeaderMap, version: Version, at: &RequestOrigin) -> bool {
    check(state, RequiredAccess::Read, headers, version, at).is_ok()
}

/// Whether a page may offer write actions to this client.
pub(super) fn is_admin(state: &WebState, headers: &HeaderMap, version: Version, at: &RequestOrigin) -> bool {
    check(state, RequiredAccess::Write, headers, version, at).is_ok()
}

/// The error for a client that sent too many wrong tokens.
pub(super) fn too_many_wrong_tokens(throttled: Throttled) -> ApiError {
    let refusal = ApiError::new(StatusCode::TOO_MANY_REQUESTS, Throttled::MESSAGE);
    ApiError { retry_after: Some(throttled.retry_after()), ..refusal }.with_hint(throttled.hint())
}

fn check_admin_token(state: &WebState, token: &Token, headers: &HeaderMap, at: &RequestOrigin) -> Result<(), ApiError> {
    let access = &state.options.access;
    if session_tokens(state, headers).any(|session_token| session_token == *token)
        || access.has_admin_token(token, headers, at.client).map_err(too_many_wrong_tokens)?
    {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::UNAUTHORIZED, "the request requires the admin token")
        .with_hint("send `Authorization: Bearer TOKEN`, or log in on the page; the operator sets the token with --admin-token-file, FROSTMIRROR_ADMIN_TOKEN or admin_token_file"))
}

fn check_local(behind_proxy: bool, headers: &HeaderMap, version: Version, at: &RequestOrigin) -> Result<(), ApiError> {
    const SET_TOKEN: &str = "start `serve` with --admin-token-file FILE (or FROSTMIRROR_ADMIN_TOKEN)";
    let hint = if !at.peer.ip().is_loopback() || !is_loopback_name(&at.host) {
        format!("{SET_TOKEN}, or send the request on the server's own machine to http://localhost:PORT/")
    } else if behind_proxy {
        format!("{SET_TOKEN}: with `base_url` or `trusted_proxies`, local requests may come from a proxy")
    } else if let Some(header) = forwarding_header(headers) {
        format!(
            "the header `{header}` shows that the request came through a proxy: {SET_TOKEN}, or send the request without a \
             proxy, for example with NO_PROXY=localhost"
        )
    } else if version < Version::HTTP_11 {
        // Only proxies still use HTTP/1.0.
        format!("{SET_TOKEN}, or send the request without a proxy: HTTP/1.0 counts as a proxy's")
    } else {
        return Ok(());
    };
    Err(ApiError::new(StatusCode::FORBIDDEN, "without an admin token, only local requests may write").with_hint(hint))
}

/// Whether the Origin, which every browser sends with a write, is this server's requested or configured address.
fn check_same_origin(headers: &HeaderMap, at: &RequestOrigin) -> Result<(), ApiError> {
    let foreign = || {
        ApiError::new(StatusCode::FORBIDDEN, "the request comes from a page of another server")
            .with_hint("behind a proxy, `serve` needs --base-url with the address that the browser shows")
    };
    if let Some(site) = headers.get("sec-fetch-site") {
        let own = site.to_str().is_ok_and(|site| site == "same-origin" || site == "none");
        own.then_some(()).ok_or_else(foreign)?;
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    let origin = origin.to_str().ok().filter(|_| origins.next().is_none()).ok_or_else(foreign)?;
    let own_origins =
        origin_of(&at.base).into_iter().chain([format!("http://{}", at.host), format!("https://{}", at.host)]);
    let own = own_origins.into_iter().any(|known| known.eq_ignore_ascii_case(origin));
    own.then_some(()).ok_or_else(foreign)
}

/// The `scheme://host:port` of a URL as browsers write it: without the default port.
fn origin_of(base: &str) -> Option<String> {
    let (scheme, rest) = base.split_once("://")?;
    let host = rest.split('/').next()?;
    let implied = if scheme == "https" { ":443" } else { ":80" };
    Some(format!("{scheme}://{}", host.strip_suffix(implied).unwrap_or(host)))
}

/// Whether `HOST[:PORT]` is a name of this machine that no other party can register.
pub(super) fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(peer: &str, host: &str) -> RequestOrigin {
        let peer = peer.parse().expect("address");
        RequestOrigin {
            peer,
            client: peer.ip(),
            host: host.to_owned(),
            base: format!("http://{host}"),
            untrusted_proxy: false,
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("value"));
        }
        headers
    }

    #[test]
    fn local_clients_are_distinguished_from_local_proxies() {
        let may = |peer: &str, host: &str, pairs: &[(&'static str, &str)], proxy, version| {
            check_local(proxy, &headers(pairs), version, &origin(peer, host)).is_ok()
        };
        let v = Version::HTTP_11;
        assert!(may("127.0.0.1:5", "localhost:8080", &[], false, v));
        assert!(may("[::1]:5", "[::1]:8080", &[], false, v));
        assert!(may("127.0.0.1:5", "127.0.0.1", &[], false, v));
        assert!(!may("10.0.0.2:5", "localhost:8080", &[], false, v), "another machine");
        assert!(!may("127.0.0.1:5", "evil.example:8080", &[], false, v), "a foreign name that resolves to this server");
        assert!(!may("127.0.0.1:5", "localhost.evil.example", &[], false, v));
        assert!(!may("127.0.0.1:5", "localhost", &[("x-forwarded-for", "10.0.0.2")], false, v));
        assert!(!may("127.0.0.1:5", "localhost", &[("x-forwarded-port", "443")], false, v));
        assert!(!may("127.0.0.1:5", "localhost", &[("via", "1.1 x")], false, v));
        assert!(!may("127.0.0.1:5", "localhost", &[("cf-connecting-ip", "10.0.0.2")], false, v));
        assert!(!may("127.0.0.1:5", "localhost", &[], true, v), "a base URL was set");
        assert!(!may("127.0.0.1:5", "localhost", &[], false, Version::HTTP_10));
        let hint = |peer: &str, pairs: &[(&'static str, &str)], proxy| {
            let refused =
                check_local(proxy, &headers(pairs), v, &origin(peer, "localhost")).expect_err("no local request");
            refused.hint.expect("a hint")
        };
        assert!(hint("127.0.0.1:5", &[("via", "1.1 x")], false).contains("the header `via` shows"));
        assert!(hint("127.0.0.1:5", &[("x-real-ip", "10.0.0.2")], false).contains("the header `x-real-ip` shows"));
        assert!(hint("127.0.0.1:5", &[], true).contains("with `base_url` or `trusted_proxies`"));
        assert!(hint("10.0.0.2:5", &[("via", "1.1 x")], false).contains("on the server's own machine"));
    }

    #[test]
    fn foreign_origins_are_rejected() {
        let own = |pairs: &[(&'static str, &str)]| {
            check_same_origin(&headers(pairs), &origin("127.0.0.1:5", "mirror:8080")).is_ok()
        };
        assert!(own(&[]));
        assert!(own(&[("origin", "http://mirror:8080")]));
        assert!(own(&[("origin", "https://mirror:8080"), ("sec-fetch-site", "same-origin")]));
        for foreign in ["null", "http://mirror", "http://mirror:8081", "http://evil", "http://mirror:8080.evil"] {
            assert!(!own(&[("origin", foreign)]), "{foreign}");
        }
        assert!(!own(&[("sec-fetch-site", "cross-site")]));
        assert!(!own(&[("sec-fetch-site", "same-site")]));
        assert!(!own(&[("origin", "http://mirror:8080"), ("origin", "http://evil")]));
        for (base, origin) in [("https://h:443/x", "https://h"), ("http://h:80", "http://h"), ("http://h/", "http://h")]
        {
            assert_eq!(origin_of(base).as_deref(), Some(origin));
        }
    }
}
