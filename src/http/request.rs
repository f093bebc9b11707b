//! A request, and the credentials that it may send.

use std::fmt;

/// A text that is never displayed: a token, or a URL that may contain a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The secret itself, only for a request header.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A GET request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// An `http` or `https` URL.
    pub url: &'a str,
    /// The complete `Authorization` header, which for a registry is the token without a scheme. It is sent only to the
    /// origin (scheme, host and port) of `url`, whatever the redirects.
    pub authorization: Option<&'a Secret>,
    /// An entity tag, with its quotes; if it matches, the response is 304.
    pub if_none_match: Option<&'a str>,
    /// A date as the server sent it; if the file is not newer, the response is 304.
    pub if_modified_since: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// A plain request for `url`.
    pub fn new(url: &'a str) -> Request<'a> {
        Request { url, authorization: None, if_none_match: None, if_modified_since: None }
    }
}
