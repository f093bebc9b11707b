//! Login sessions of the web pages, in memory only, and their cookie.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::{COOKIE, HeaderMap};

use crate::digest::Sha256;
use crate::server::auth::Token;
use crate::server::fallback::RequestOrigin;

/// The prefix of the cookie's name.
const COOKIE_PREFIX: &str = "frostmirror-session-";
/// The lifetime after the last use.
pub(super) const SESSION_IDLE_TIMEOUT: Duration = Duration::from_secs(12 * 3600);
/// The absolute lifetime: it limits the use of a stolen cookie.
const MAX_SESSION_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Maximum number of sessions per token; the oldest is dropped.
const MAX_SESSIONS_PER_TOKEN: usize = 64;

/// The sessions, in memory only, keyed by the cookie's digest.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<Sha256, Session>>);

/// A session.
struct Session {
    started: Instant,
    /// The time of the last use.
    last_used: Instant,
    /// The token that started it: the session ends when the token becomes invalid.
    token: Token,
}

impl Sessions {
    /// Starts a session for this token; returns the cookie's value.
    pub(super) fn open(&self, token: Token) -> Result<String, getrandom::Error> {
        let mut random = [0u8; 32];
        getrandom::fill(&mut random)?;
        let value: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut sessions = self.lock();
        let now = Instant::now();
        sessions.retain(|_, session| session.is_valid(now));
        // Only sessions of the same token: readers cannot evict the administrator.
        let of_token = || sessions.iter().filter(|(_, session)| session.token == token);
        if of_token().count() >= MAX_SESSIONS_PER_TOKEN
            && let Some(oldest) = of_token().min_by_key(|(_, session)| session.last_used).map(|(key, _)| *key)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(Sha256::of(value.as_bytes()), Session { started: now, last_used: now, token });
        Ok(value)
    }

    /// Returns the token that started the cookie's session, and counts as a use. The caller checks whether the token is
    /// still valid.
    pub(super) fn token_of(&self, value: &str) -> Option<Token> {
        self.token_at(Instant::now(), value)
    }

    fn token_at(&self, now: Instant, value: &str) -> Option<Token> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(&Sha256::of(value.as_bytes())).filter(|session| session.is_valid(now))?;
        session.last_used = now;
        Some(session.token)
    }

    /// Ends a session.
    pub(super) fn close(&self, value: &str) {
        self.lock().remove(&Sha256::of(value.as_bytes()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Sha256, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_valid(&self, now: Instant) -> bool {
        let since = |then| now.saturating_duration_since(then);
        since(self.last_used) < SESSION_IDLE_TIMEOUT && since(self.started) < MAX_SESSION_AGE
    }
}

/// The cookie's path: the path of the configured base URL if the request came through it. Clients that bypass the proxy use
/// another host, without that path.
pub(super) fn cookie_path(at: &RequestOrigin) -> &str {
    let rest = at.base.split_once("://").map_or("", |(_, rest)| rest);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if path.is_empty() || host != at.host { "/" } else { path }
}

/// The cookie's name at this address. Browsers share cookies between all ports of a host, so a common name would end the
/// session at another server.
pub(super) fn cookie_name(base: &str) -> String {
    format!("{COOKIE_PREFIX}{}", &Sha256::of(base.as_bytes()).to_string()[..16])
}

/// The candidates for the session cookie. Cookies of other servers on this host are sent too, and must not hide ours.
pub(super) fn session_cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| name.starts_with(COOKIE_PREFIX)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_and_surplus_sessions_end() {
        let sessions = Sessions::default();
        let token = |text: &str| Token::parse(text).expect("a token");
        let (token, next) = (token("0123456789abcdef"), token("0123456789abcdeg"));
        let value = sessions.open(token).expect("random");
        assert!(sessions.token_of(&value) == Some(token) && sessions.token_of("x").is_none());
        sessions.close(&value);
        assert_eq!(sessions.token_of(&value), None);
        let other = sessions.open(next).expect("random");
        let all: Vec<String> = (0..=MAX_SESSIONS_PER_TOKEN).map(|_| sessions.open(token).expect("random")).collect();
        assert_eq!(all.iter().filter(|value| sessions.token_of(value).is_some()).count(), MAX_SESSIONS_PER_TOKEN);
        assert_eq!(sessions.token_of(&other), Some(next), "others are not concerned");
    }

    #[test]
    fn a_used_session_ends_at_its_maximum_age() {
        let sessions = Sessions::default();
        let token = Token::parse("0123456789abcdef").expect("a token");
        let (idle, value) = (sessions.open(token).expect("random"), sessions.open(token).expect("random"));
        let begun = Instant::now();
        let hours = |hours: u64| begun + Duration::from_secs(hours * 3600);
        let known = (1..=200).take_while(|hour| sessions.token_at(hours(*hour), &value).is_some()).count();
        assert_eq!(known, 7 * 24 - 1);
        assert_eq!(sessions.token_at(hours(12), &idle), None, "it was not used");
    }

    #[test]
    fn the_cookie_path_is_the_path_of_the_base_url() {
        let at = |base: &str, host: &str| RequestOrigin {
            peer: ([127, 0, 0, 1], 1).into(),
            client: [127, 0, 0, 1].into(),
            host: host.to_owned(),
            base: base.to_owned(),
            untrusted_proxy: false,
        };
        for (base, host, path) in [
            ("http://host/rust", "host", "/rust"),
            ("https://host:1/a/b", "host:1", "/a/b"),
            ("http://host", "host", "/"),
            ("http://host/rust", "127.0.0.1:8080", "/"),
        ] {
            assert_eq!(cookie_path(&at(base, host)), path, "{base} {host}");
        }
    }

    #[test]
    fn cookies_of_servers_on_one_host_do_not_collide() {
        let (ours, theirs) = (cookie_name("http://host:8080"), cookie_name("http://host:8081"));
        assert_ne!(ours, theirs);
        let line = format!("a=b; {theirs}=them; {ours}=us; c=d");
        let headers = HeaderMap::from_iter([(COOKIE, line.parse().expect("a value"))]);
        assert_eq!(session_cookies(&headers).collect::<Vec<_>>(), ["them", "us"]);
    }
}
