//! Who may write.
//!
//! With an admin token: who sends it as `Authorization: Bearer TOKEN`, or who logged in with it and has the session's
//! cookie; a session begun with a reader's token reads, and nothing else. Without an admin token: who sits at this machine
//! and reaches the server directly. A request from a foreign page is refused in either case: its Origin is not this
//! server, or the Host that it asked for is a name that somebody pointed here.
//!
//! | attack | defence |
//! |---|---|
//! | a page elsewhere posts a form here | Origin and Sec-Fetch-Site must be this server's own; bodies must be declared as JSON |
//! | a name elsewhere is pointed to 127.0.0.1 | without a token the Host must be a loopback name |
//! | a proxy on this machine makes everybody local | a set base URL, a forwarding header or HTTP/1.0 asks for a token |
//! | the token is guessed byte by byte | digests are compared, not tokens |
//! | the token is guessed | it has at least 16 characters, so that there is nothing to hope for; logins are throttled |

use std::net::IpAddr;

use hyper::header::{HeaderMap, ORIGIN};
use hyper::{StatusCode, Version};

use super::answer::{Refusal, in_one_line};
use super::sessions::cookies;
use super::state::State;
use crate::failure::Failure;
use crate::serve::access::{Token, given};
use crate::serve::extension::At;
use crate::serve::forwarded::is_forwarded;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Anybody.
    Nothing,
    /// Whoever may read the mirror.
    Read,
    /// Whoever may change it.
    Write,
    /// Anybody from this server's own pages: for what decides by itself, as the login does.
    SameOrigin,
}

/// Whether the request may do what its route does.
pub(super) fn check(
    state: &State,
    needs: Needs,
    headers: &HeaderMap,
    version: Version,
    at: &At,
) -> Result<(), Refusal> {
    if needs == Needs::Nothing {
        return Ok(());
    }
    if needs == Needs::Read {
        return may_read(state, headers).then_some(()).ok_or_else(|| {
            Refusal::new(StatusCode::UNAUTHORIZED, "reading needs a token")
                .hint("send `Authorization: Bearer TOKEN` with a reader's token, or log in on the page")
        });
    }
    same_origin(headers, at)?;
    if needs == Needs::SameOrigin {
        return Ok(());
    }
    match token(state)? {
        Some(token) => with_token(state, &token, headers),
        // Where clients know this server by an address that was set, or proxies of this machine are named, a connection from
        // this machine may be anybody's.
        None => {
            let settings = state.options.settings.current();
            let behind_proxy = settings.base_url.is_some() || settings.names_proxy(at.peer.ip());
            at_this_machine(behind_proxy, headers, version, at)
        }
    }
}

/// The token that is asked for; `None` where there is none.
pub(super) fn token(state: &State) -> Result<Option<Token>, Refusal> {
    state.options.access.admin().map_err(|error| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the file of the admin token cannot be used")
            .hint("the server's own report says why")
            .fault(format!("nobody can write: {}", in_one_line(&Failure::from(error))))
    })
}

/// Whether the cookie of a session comes with the request that may read. Who logged in with a token that was replaced since is
/// nobody.
pub(super) fn has_session(state: &State, headers: &HeaderMap) -> bool {
    tokens_of_sessions(state, headers).any(|token| state.options.access.lets_read(&token))
}

fn tokens_of_sessions(state: &State, headers: &HeaderMap) -> impl Iterator<Item = Token> {
    cookies(headers).filter_map(|value| state.sessions.token_of(value))
}

/// Whether this client may read.
pub(super) fn may_read(state: &State, headers: &HeaderMap) -> bool {
    state.options.access.may_read(headers) || has_session(state, headers)
}

/// Whether a page that is shown for this request may offer to write.
pub(super) fn is_admin(state: &State, headers: &HeaderMap, version: Version, at: &At) -> bool {
    check(state, Needs::Write, headers, version, at).is_ok()
}

fn with_token(state: &State, token: &Token, headers: &HeaderMap) -> Result<(), Refusal> {
    if given(headers).is_some_and(|given| token.is(given)) || tokens_of_sessions(state, headers).any(|of| of == *token)
    {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::UNAUTHORIZED, "this needs the admin token")
        .hint("send `Authorization: Bearer TOKEN`, or log in on the page; the token is the one that `serve` was given with --admin-token, FROSTMIRROR_ADMIN_TOKEN or admin_token_file"))
}

fn at_this_machine(behind_proxy: bool, headers: &HeaderMap, version: Version, at: &At) -> Result<(), Refusal> {
    let by_proxy = behind_proxy
        || is_forwarded(headers)
        // No client of today speaks it; proxies do.
        || version < Version::HTTP_11;
    if at.peer.ip().is_loopback() && is_loopback_name(&at.host) && !by_proxy {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::FORBIDDEN, "without an admin token only a user at the server itself may do this").hint(
        "start `serve` with --admin-token-file FILE (or FROSTMIRROR_ADMIN_TOKEN), or open it on its own machine as http://localhost:PORT/",
    ))
}

/// The Origin, which every browser sends with a write, is this server as it was asked for, or as it is known.
fn same_origin(headers: &HeaderMap, at: &At) -> Result<(), Refusal> {
    let foreign = || {
        Refusal::new(StatusCode::FORBIDDEN, "the request comes from a page of another server")
            .hint("behind a proxy, `serve` needs --base-url with the address that the browser shows")
    };
    if let Some(site) = headers.get("sec-fetch-site") {
        let own = site.to_str().is_ok_and(|site| site == "same-origin" || site == "none");
        own.then_some(()).ok_or_else(foreign)?;
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    let origin = origin.to_str().ok().filter(|_| origins.next().is_none()).ok_or_else(foreign)?;
    let known = origin_of(&at.base).into_iter().chain([format!("http://{}", at.host), format!("https://{}", at.host)]);
    let own = known.into_iter().any(|known| known.eq_ignore_ascii_case(origin));
    own.then_some(()).ok_or_else(foreign)
}

/// `scheme://host:port` of an address, as browsers write it: without the port that goes without saying.
fn origin_of(base: &str) -> Option<String> {
    let (scheme, rest) = base.split_once("://")?;
    let host = rest.split('/').next()?;
    let implied = if scheme == "https" { ":443" } else { ":80" };
    Some(format!("{scheme}://{}", host.strip_suffix(implied).unwrap_or(host)))
}

/// Whether `HOST[:PORT]` names this machine by a name that no one else can give away.
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

    fn at(peer: &str, host: &str) -> At {
        let peer = peer.parse().expect("address");
        At { peer, host: host.to_owned(), base: format!("http://{host}"), untrusted_proxy: false }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("value"));
        }
        headers
    }

    #[test]
    fn this_machine_is_told_from_a_proxy_on_it() {
        let may = |peer: &str, host: &str, pairs: &[(&'static str, &str)], proxy, version| {
            at_this_machine(proxy, &headers(pairs), version, &at(peer, host)).is_ok()
        };
        let v = Version::HTTP_11;
        assert!(may("127.0.0.1:5", "localhost:8080", &[], false, v));
        assert!(may("[::1]:5", "[::1]:8080", &[], false, v));
        assert!(may("127.0.0.1:5", "127.0.0.1", &[], false, v));
        assert!(!may("10.0.0.2:5", "localhost:8080", &[], false, v), "another machine");
        assert!(!may("127.0.0.1:5", "evil.example:8080", &[], false, v), "a name that somebody pointed here");
        assert!(!may("127.0.0.1:5", "localhost.evil.example", &[], false, v));
        assert!(!may("127.0.0.1:5", "localhost", &[("x-forwarded-for", "10.0.0.2")], false, v));
        assert!(!may("127.0.0.1:5", "localhost", &[("x-forwarded-port", "443")], false, v));
        assert!(!may("127.0.0.1:5", "localhost", &[("via", "1.1 x")], false, v));
        assert!(!may("127.0.0.1:5", "localhost", &[("cf-connecting-ip", "10.0.0.2")], false, v));
        assert!(!may("127.0.0.1:5", "localhost", &[], true, v), "a base URL was set");
        assert!(!may("127.0.0.1:5", "localhost", &[], false, Version::HTTP_10));
    }

    #[test]
    fn foreign_pages_are_told_from_our_own() {
        let own =
            |pairs: &[(&'static str, &str)]| same_origin(&headers(pairs), &at("127.0.0.1:5", "mirror:8080")).is_ok();
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
