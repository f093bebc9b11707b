//! Content types, and for how long clients may cache a response.

use super::router::FileRoute;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";
pub(super) const BINARY: &str = "application/octet-stream";
/// Clients may cache the response but must revalidate it: the next import may change it.
pub(super) const NO_CACHE: &str = "no-cache";
/// Clients may cache the response without revalidation: a published crate never changes.
pub(super) const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// Headers that do not follow from a file's bytes.
#[derive(Clone, Copy)]
pub(super) struct ContentHeaders {
    /// Content-Type.
    pub content_type: &'static str,
    /// Cache-Control.
    pub cache_control: &'static str,
}

impl ContentHeaders {
    pub(super) fn of(file: &FileRoute) -> ContentHeaders {
        let (content_type, cache_control) = match file {
            FileRoute::Index(..) => (TEXT, NO_CACHE),
            FileRoute::Crate(..) => (BINARY, IMMUTABLE),
            FileRoute::Other(path) => {
                let is = |ends: &[&str]| ends.iter().any(|end| path.as_str().ends_with(end));
                let content_type = match () {
                    () if is(&[".json"]) => JSON,
                    () if is(&[".toml", ".sha256", ".asc"]) => TEXT,
                    () => BINARY,
                };
                (content_type, NO_CACHE)
            }
        };
        ContentHeaders { content_type, cache_control }
    }
}
