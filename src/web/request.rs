//! A request for handlers: path and query decoded once, the body complete and limited in size.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::header::{CONTENT_TYPE, IF_MATCH};
use hyper::{HeaderMap, StatusCode, Version};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::auth;
use super::pagination::Pagination;
use super::response::ApiError;
use super::state::WebState;
use crate::bundle::sanitize::sanitize_line;
use crate::server::IncomingBody;
use crate::server::fallback::RequestOrigin;

/// Maximum size in bytes of a request body. A depends.toml of ten thousand entries needs a third of it.
pub(super) const MAX_WRITE_BODY: usize = 1024 * 1024;

/// Maximum size in bytes of an unauthenticated request's body: thousands of them at once must not exhaust the memory.
pub(super) const MAX_ANONYMOUS_BODY: usize = 4 * 1024;

/// Timeout for a request body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum page size of a list.
pub(super) const MAX_PER_PAGE: usize = 100;
/// The highest page number.
const MAX_PAGE_NUMBER: usize = 1_000_000_000;

/// A request.
pub(super) struct WebRequest {
    /// Whether the request is a HEAD request.
    pub(super) is_head: bool,
    /// The HTTP version.
    pub(super) version: Version,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// The decoded values of the path parameters, in order.
    pub(super) path_params: Vec<String>,
    /// The decoded names and values of the query.
    pub(super) query: Vec<(String, String)>,
    /// The body; empty for routes that read it themselves.
    pub(super) body: Bytes,
    /// The request's origin.
    pub(super) origin: RequestOrigin,
}

impl WebRequest {
    /// The value of the path parameter number `index`.
    pub(super) fn path_param(&self, index: usize) -> &str {
        self.path_params.get(index).map_or("", String::as_str)
    }

    /// Whether this client may write.
    pub(super) fn is_admin(&self, state: &WebState) -> bool {
        auth::is_admin(state, &self.headers, self.version, &self.origin)
    }

    /// The last value of a query parameter.
    pub(super) fn query_value(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A boolean query parameter; false if missing.
    pub(super) fn query_flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.query_value(name) {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(_) => Err(ApiError::new(StatusCode::BAD_REQUEST, format!("`{name}` must be true or false"))),
        }
    }

    /// A numeric query parameter, at most `most`.
    pub(super) fn query_number(&self, name: &str, default: usize, max: usize) -> Result<usize, ApiError> {
        let Some(text) = self.query_value(name) else { return Ok(default) };
        let number = text.parse::<usize>().ok().filter(|number| *number <= max);
        let wrong = || ApiError::new(StatusCode::BAD_REQUEST, format!("`{name}` must be a number, at most {max}"));
        number.ok_or_else(wrong)
    }

    /// The page number of a web page. An invalid one means the first page: a mistyped URL should not fail.
    pub(super) fn page_number(&self) -> usize {
        self.query_value("page").and_then(|page| page.parse().ok()).unwrap_or(1).max(1)
    }

    /// The requested page.
    pub(super) fn pagination(&self, size: usize) -> Result<Pagination, ApiError> {
        let (number, size) =
            (self.query_number("page", 1, MAX_PAGE_NUMBER)?, self.query_number("per_page", size, MAX_PER_PAGE)?);
        if number == 0 || size == 0 {
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "`page` and `per_page` must be at least 1"));
        }
        Ok(Pagination { number, size })
    }

    /// Checks the request's precondition: fails if the resource changed since the client read it. Callers that hold the
    /// resource's lock call this before the change.
    pub(super) fn check_if_match(&self, etag: &str, otherwise: &str) -> Result<(), ApiError> {
        let wanted = self.headers.get(IF_MATCH).map(|value| value.to_str().unwrap_or_default());
        if wanted.is_some_and(|wanted| wanted != "*" && wanted != etag) {
            return Err(ApiError::new(StatusCode::PRECONDITION_FAILED, otherwise)
                .with_hint("load it again and repeat the change"));
        }
        Ok(())
    }

    /// Refuses unknown query parameters: for a dangerous request, a misspelled one must not be ignored.
    pub(super) fn check_query_names(&self, names: &[&str]) -> Result<(), ApiError> {
        match self.query.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            Some((name, _)) => {
                let error = format!("the query parameter `{}` does not exist on this path", sanitize_line(name));
                Err(ApiError::new(StatusCode::BAD_REQUEST, error).with_hint(format!("use one of {}", names.join(", "))))
            }
            None => Ok(()),
        }
    }

    /// Parses the body as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let kind = self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            // A browser sends a foreign form with any other content type without a preflight request.
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the request's Content-Type is not JSON")
                .with_hint("send `Content-Type: application/json`"));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            ApiError::new(StatusCode::BAD_REQUEST, format!("invalid request body: {error}"))
                .with_hint("see the schema in /api/openapi.json")
        })
    }
}

/// The decoded names and values of a query. Drops pairs that are not UTF-8.
pub(super) fn parse_query(raw: Option<&str>) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let plain = text.replace('+', " ");
        percent_decode_str(&plain).decode_utf8().map(std::borrow::Cow::into_owned).ok()
    };
    let pairs = raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(name)?, decode(value)?))
    });
    pairs.collect()
}

/// Reads the whole body, at most `most` bytes.
pub(super) async fn read_body(incoming: IncomingBody, limit: usize) -> Result<Bytes, ApiError> {
    let Ok(collected) = timeout(BODY_TIMEOUT, Limited::new(incoming, limit).collect()).await else {
        return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "the request body did not arrive in time"));
    };
    match collected {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the request body has more than {limit} bytes")))
        }
        Err(_) => Err(ApiError::new(StatusCode::BAD_REQUEST, "the request body is incomplete")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pagination_stops_at_the_end_of_the_list() {
        let list = [1, 2, 3, 4, 5];
        let page = |number, size| Pagination { number, size }.slice(&list).to_vec();
        assert_eq!((page(1, 2), page(3, 2), page(4, 2)), (vec![1, 2], vec![5], Vec::new()));
        assert_eq!((page(MAX_PAGE_NUMBER, MAX_PER_PAGE), page(1, 100)), (Vec::new(), list.to_vec()));
    }

    #[test]
    fn queries_are_decoded_once() {
        let pairs = parse_query(Some("q=a%2Bb+c&empty&x=1&x=2&bad=%ff&%3d=%2525"));
        let wanted = [("q", "a+b c"), ("empty", ""), ("x", "1"), ("x", "2"), ("=", "%25")];
        assert_eq!(pairs, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(parse_query(None), Vec::new());
    }
}
