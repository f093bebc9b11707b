//! The redirects of one request, followed one by one: the headers of each hop depend on its own origin.
//!
//! A credential belongs to the origin (scheme, host and port) for which it was given. It is never sent to another host
//! or port, nor from https to http. If redirects return to that origin, it is sent again. libcurl, which cargo uses,
//! does the same (`Curl_allow_auth_to_host` in libcurl's http.c compares with the first host, port and protocol).

use super::error::{AttemptError, Error};
use super::redact::{redact_url, sanitize_excerpt};
use super::request::Request;
use percent_encoding::{CONTROLS, percent_encode};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{StatusCode, Url};

/// Maximum number of redirects for one request; libcurl's default.
const MAX_REDIRECTS: usize = 30;

/// The visited URLs, the next one, and the credentials by origin.
pub(super) struct RedirectChain {
    url: Url,
    /// The URLs so far, the current one last; none has credentials or a fragment.
    visited: Vec<Url>,
    /// By origin.
    credentials: Vec<(String, Credential)>,
}

#[derive(Clone)]
enum Credential {
    /// The value of `Authorization`.
    Header(HeaderValue),
    /// User name and password as in a URL.
    Userinfo(String, Option<String>),
}

impl RedirectChain {
    /// The chain at the start of a request.
    pub(super) fn new(request: &Request<'_>) -> Result<RedirectChain, AttemptError> {
        let invalid = || AttemptError::permanent(Error::Address { url: redact_url(request.url) });
        let mut url = Url::parse(request.url).map_err(|_| invalid())?;
        if !is_http(&url) {
            return Err(invalid());
        }
        let userinfo = take_userinfo(&mut url);
        let token = match request.authorization {
            Some(token) => {
                let mut value = HeaderValue::from_str(token.expose())
                    .map_err(|_| AttemptError::permanent(Error::Token { url: redact_url(request.url) }))?;
                value.set_sensitive(true);
                // Both would set the same header, so only one can be used.
                Some(Credential::Header(value))
            }
            None => userinfo,
        };
        let credentials = token.map(|token| (origin(&url), token)).into_iter().collect();
        Ok(RedirectChain { visited: vec![url.clone()], url, credentials })
    }

    /// The URL of the next request, without credentials.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The URL and the header with the credential of this hop, if one belongs to its origin.
    pub(super) fn current_hop(&self) -> (Url, Option<HeaderValue>) {
        let mut url = self.url.clone();
        let own = origin(&url);
        match self.credentials.iter().find(|(owner, _)| *owner == own) {
            Some((_, Credential::Header(value))) => (url, Some(value.clone())),
            Some((_, Credential::Userinfo(name, password))) => {
                // This fails only for URLs without a host.
                let _always = url.set_username(name).and_then(|()| url.set_password(password.as_deref()));
                (url, None)
            }
            None => (url, None),
        }
    }

    /// For messages: the first URL, and the current one after redirects.
    pub(super) fn describe(&self) -> String {
        let now = redact_url(self.url.as_str());
        match self.visited.first() {
            Some(first) if *first != self.url => format!("{} (redirected to {now})", redact_url(first.as_str())),
            _ => now,
        }
    }

    /// Follows a redirect; returns whether the response is one.
    pub(super) fn follow(&mut self, status: StatusCode, headers: &HeaderMap) -> Result<bool, AttemptError> {
        if !matches!(status.as_u16(), 300..=303 | 307 | 308) {
            return Ok(false);
        }
        let Some(location) = headers.get(header::LOCATION) else { return Ok(false) };
        let location = location_text(location);
        let redirect_error = |why| {
            AttemptError::permanent(Error::Redirect { url: self.describe(), to: redact_location(&location), why })
        };
        let mut next = self.url.join(&location).map_err(|_| redirect_error("which is not a valid address"))?;
        if !is_http(&next) {
            return Err(redirect_error("which is not an http or https address"));
        }
        next.set_fragment(None);
        let userinfo = take_userinfo(&mut next);
        if self.visited.contains(&next) {
            return Err(redirect_error("which creates a redirect loop"));
        }
        if self.visited.len() > MAX_REDIRECTS {
            return Err(redirect_error("after 30 other redirects"));
        }
        if let Some(userinfo) = userinfo {
            let own = origin(&next);
            // A redirect must not replace an existing credential of that origin.
            if self.credentials.iter().all(|(owner, _)| *owner != own) {
                self.credentials.push((own, userinfo));
            }
        }
        self.visited.push(next.clone());
        self.url = next;
        Ok(true)
    }
}

/// Scheme, host and port.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

/// Removes user name and password from a URL.
fn take_userinfo(url: &mut Url) -> Option<Credential> {
    let (name, password) = (url.username().to_owned(), url.password().map(str::to_owned));
    // These fail only for URLs without a host, which have no credentials either.
    let _always = url.set_username("").and_then(|()| url.set_password(None));
    (!name.is_empty() || password.is_some()).then_some(Credential::Userinfo(name, password))
}

/// A `Location`; some servers send it with raw bytes.
fn location_text(value: &HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => percent_encode(value.as_bytes(), CONTROLS).to_string(),
    }
}

/// A `Location` for messages: a URL without credentials and query, or the start of an invalid one.
fn redact_location(location: &str) -> String {
    match Url::parse(location) {
        Ok(url) if url.has_host() => redact_url(location),
        _ => sanitize_excerpt(location.split(['?', '#']).next().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Secret;

    fn follow(route: &mut RedirectChain, location: &str) -> Result<bool, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_bytes(location.as_bytes()).expect("header"));
        route.follow(StatusCode::FOUND, &headers).map_err(|trouble| trouble.into_error().to_string())
    }

    #[test]
    fn locations_are_read_as_browsers_and_libcurl_do() {
        for (location, expected) in [
            ("/b", "http://h:1/b"),
            ("b?q=1#f", "http://h:1/a/b?q=1"),
            ("../c", "http://h:1/c"),
            ("//other/d", "http://other/d"),
            ("?q", "http://h:1/a/x?q"),
            (" https://other:8/e ", "https://other:8/e"),
            ("/ä b", "http://h:1/%C3%A4%20b"),
            ("http://u:p@other/f", "http://other/f"),
        ] {
            let mut route = RedirectChain::new(&Request::new("http://h:1/a/x")).unwrap_or_else(|_| panic!("address"));
            assert_eq!(follow(&mut route, location), Ok(true), "{location}");
            assert_eq!(route.url().as_str(), expected, "{location}");
        }
    }

    #[test]
    fn invalid_redirects_are_rejected_with_their_reason() {
        for (location, why) in [
            ("file:///etc/passwd", "`file:///etc/passwd`, which is not an http or https address"),
            ("ftp://u:secret@h/x", "`ftp://h/x`, which is not an http or https address"),
            ("http://[::1/", "which is not a valid address"),
            ("/a/x", "which creates a redirect loop"),
            ("#again", "which creates a redirect loop"),
        ] {
            let mut route = RedirectChain::new(&Request::new("http://h:1/a/x")).unwrap_or_else(|_| panic!("address"));
            let error = follow(&mut route, location).expect_err(location);
            assert!(error.contains(why) && error.contains("http://h:1/a/x") && !error.contains("secret"), "{error}");
        }
        let mut route = RedirectChain::new(&Request::new("http://h/0")).unwrap_or_else(|_| panic!("address"));
        for hop in 1..=MAX_REDIRECTS {
            assert_eq!(follow(&mut route, &format!("/{hop}")), Ok(true));
        }
        let error = follow(&mut route, "/more").expect_err("too many");
        assert!(error.contains("after 30 other redirects"), "{error}");
    }

    #[test]
    fn url_credentials_stay_with_their_own_origin() {
        let mut route = RedirectChain::new(&Request::new("http://u:p@h/a")).unwrap_or_else(|_| panic!("address"));
        assert_eq!(route.current_hop().0.as_str(), "http://u:p@h/a");
        assert_eq!(follow(&mut route, "/b"), Ok(true));
        assert_eq!(route.current_hop().0.as_str(), "http://u:p@h/b");
        assert_eq!(follow(&mut route, "http://evil:x@h:81/c"), Ok(true));
        assert_eq!(route.current_hop().0.as_str(), "http://evil:x@h:81/c");
        assert_eq!(follow(&mut route, "http://evil:x@h/d"), Ok(true));
        assert_eq!(route.current_hop().0.as_str(), "http://u:p@h/d");
        assert_eq!(follow(&mut route, "https://h/e"), Ok(true));
        assert_eq!(route.current_hop().0.as_str(), "https://h/e");
        assert_eq!(route.describe(), "http://h/a (redirected to https://h/e)");
    }

    #[test]
    fn a_token_takes_precedence_over_url_credentials() {
        let token = Secret::new("tok");
        let request = Request { authorization: Some(&token), ..Request::new("https://u:p@h/a") };
        let route = RedirectChain::new(&request).unwrap_or_else(|_| panic!("address"));
        let (url, header) = route.current_hop();
        assert_eq!((url.as_str(), header.expect("token").to_str().expect("text")), ("https://h/a", "tok"));
    }
}
