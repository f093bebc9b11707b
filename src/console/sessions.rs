//! Who logged in on the pages: sessions, kept in memory alone, and the cookie that names one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::{COOKIE, HeaderMap};

use crate::digest::Sha256;
use crate::serve::access::Token;

/// How the name of the session's cookie begins.
const COOKIE_PREFIX: &str = "frostmirror-session-";
/// How long a session lasts after its last use.
pub(super) const SESSION: Duration = Duration::from_secs(12 * 3600);
/// Sessions at one time; the oldest makes room.
const MOST_SESSIONS: usize = 64;

/// Who logged in. Kept in memory alone, by the digest of the cookie.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<Sha256, Session>>);

/// One who logged in.
struct Session {
    /// When it was last used.
    used: Instant,
    /// The token that it was begun with: with another one in its place it is over.
    token: Token,
}

impl Sessions {
    /// A new session of one who knows the token; the value of its cookie.
    pub(super) fn open(&self, token: Token) -> Result<String, getrandom::Error> {
        let mut random = [0u8; 32];
        getrandom::fill(&mut random)?;
        let value: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.used.elapsed() < SESSION && session.token == token);
        while sessions.len() >= MOST_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used).map(|(key, _)| *key);
            let Some(oldest) = oldest else { break };
            sessions.remove(&oldest);
        }
        sessions.insert(Sha256::of(value.as_bytes()), Session { used: Instant::now(), token });
        Ok(value)
    }

    /// Whether the cookie is that of a session that was begun with this token, which counts as its use.
    pub(super) fn knows(&self, value: &str, token: &Token) -> bool {
        let mut sessions = self.lock();
        match sessions.get_mut(&Sha256::of(value.as_bytes())) {
            Some(session) if session.used.elapsed() < SESSION && session.token == *token => {
                session.used = Instant::now();
                true
            }
            _ => false,
        }
    }

    /// Ends a session.
    pub(super) fn close(&self, value: &str) {
        self.lock().remove(&Sha256::of(value.as_bytes()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Sha256, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the session's cookie at this address. Browsers keep one jar for all ports of a host: by one name for all, who
/// logs in at one server would be logged out at the other.
pub(super) fn cookie_name(base: &str) -> String {
    format!("{COOKIE_PREFIX}{}", &Sha256::of(base.as_bytes()).to_string()[..16])
}

/// What may be the session's cookie. Those of other servers on this host come along, and none of them hides ours.
pub(super) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| name.starts_with(COOKIE_PREFIX)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end() {
        let sessions = Sessions::default();
        let token = |text: &str| Token::parse(text).expect("a token");
        let (token, next) = (token("0123456789abcdef"), token("0123456789abcdeg"));
        let value = sessions.open(token).expect("random");
        assert!(sessions.knows(&value, &token) && !sessions.knows("x", &token));
        assert!(!sessions.knows(&value, &next), "the token was replaced");
        sessions.close(&value);
        assert!(!sessions.knows(&value, &token));
        let all: Vec<String> = (0..=MOST_SESSIONS).map(|_| sessions.open(token).expect("random")).collect();
        assert_eq!(all.iter().filter(|value| sessions.knows(value, &token)).count(), MOST_SESSIONS);
    }

    #[test]
    fn servers_on_one_host_do_not_take_each_others_cookies() {
        let (ours, theirs) = (cookie_name("http://host:8080"), cookie_name("http://host:8081"));
        assert_ne!(ours, theirs);
        let line = format!("a=b; {theirs}=them; {ours}=us; c=d");
        let headers = HeaderMap::from_iter([(COOKIE, line.parse().expect("a value"))]);
        assert_eq!(cookies(&headers).collect::<Vec<_>>(), ["them", "us"]);
    }
}
