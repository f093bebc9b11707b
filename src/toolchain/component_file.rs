//! The file of a component: maps the URL and the digest of a manifest to a path below the root of the dist server.

use crate::digest::{InvalidDigest, Sha256};
use crate::safe_path::{SafePath, UnsafePath};

use super::name::Date;

/// The prefix of every URL in a manifest. rustup replaces it with RUSTUP_DIST_SERVER, so a mirror serves the manifest
/// as upstream signed it. (rustup: src/dist/download.rs)
pub const UPSTREAM_DIST_URL: &str = "https://static.rust-lang.org/";

/// Why a file of a manifest is unusable.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ComponentFileError {
    /// The file is marked as available, but its URL or its digest is missing.
    #[error("it is marked as available, but has no URL or no digest")]
    Missing,
    /// The URL is not upstream's, or not below a dated folder.
    #[error("the URL `{}` is not of the form {UPSTREAM_DIST_URL}dist/YYYY-MM-DD/FILE", .url.escape_debug())]
    UnexpectedUrl {
        /// The URL, shortened to one line.
        url: String,
    },
    /// The URL's path contains `..`, or is not a valid file name.
    #[error("the URL `{}` has no usable path", .url.escape_debug())]
    InvalidPath {
        /// The URL, shortened to one line.
        url: String,
        /// The cause.
        source: UnsafePath,
    },
    /// The digest is invalid.
    #[error("the digest of `{path}` cannot be used")]
    Digest {
        /// The file.
        path: SafePath,
        /// The cause.
        source: InvalidDigest,
    },
}

/// Returns the path and the digest for a file of a manifest.
pub(super) fn parse_component_file(url: &str, hash: &str) -> Result<(SafePath, Sha256), ComponentFileError> {
    let elsewhere = || ComponentFileError::UnexpectedUrl { url: shortened(url) };
    let path = url.strip_prefix(UPSTREAM_DIST_URL).ok_or_else(elsewhere)?;
    // A client interprets these three characters as more than a part of a file name.
    if path.contains(['%', '?', '#']) {
        return Err(elsewhere());
    }
    let path: SafePath =
        path.parse().map_err(|source| ComponentFileError::InvalidPath { url: shortened(url), source })?;
    if !is_in_dated_folder(&path) {
        return Err(elsewhere());
    }
    let sha256 = hash.parse().map_err(|source| ComponentFileError::Digest { path: path.clone(), source })?;
    Ok((path, sha256))
}

fn is_in_dated_folder(path: &SafePath) -> bool {
    let mut parts = path.components();
    let dated = parts.next() == Some("dist") && parts.next().is_some_and(|part| part.parse::<Date>().is_ok());
    dated && parts.next().is_some()
}

/// Shortens a text of upstream to one line.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "0421d71bd676f0d38e318bf3eb7cd1a9ca33cf5ccf70f49644950a91fa046de7";

    #[test]
    fn urls_outside_a_dated_upstream_folder_are_refused() {
        for url in [
            "http://static.rust-lang.org/dist/2026-04-16/a.tar.xz",
            "https://static.rust-lang.org.evil.example/dist/2026-04-16/a.tar.xz",
            "https://evil.example/dist/2026-04-16/a.tar.xz",
            "https://static.rust-lang.org/rustup/2026-04-16/a.tar.xz",
            "https://static.rust-lang.org/dist/a.tar.xz",
            "https://static.rust-lang.org/dist/2026-04-16",
            "https://static.rust-lang.org/dist/channel-rust-stable.toml",
            "https://static.rust-lang.org/dist/2026-04-16/%2e%2e/a.tar.xz",
            "https://static.rust-lang.org/dist/2026-04-16/a.tar.xz?x",
            "",
        ] {
            let error = parse_component_file(url, DIGEST).expect_err(url);
            assert_eq!(error, ComponentFileError::UnexpectedUrl { url: url.to_owned() });
        }
        for url in [
            "https://static.rust-lang.org/dist/2026-04-16/../../x",
            "https://static.rust-lang.org//dist/2026-04-16/x",
            "https://static.rust-lang.org/dist/2026-04-16/",
            "https://static.rust-lang.org/dist/2026-04-16/a\\b",
        ] {
            let error = parse_component_file(url, DIGEST).expect_err(url);
            assert!(matches!(error, ComponentFileError::InvalidPath { .. }), "{error:?}");
        }
    }

    #[test]
    fn an_invalid_digest_is_refused() {
        let url = "https://static.rust-lang.org/dist/2026-04-16/a.tar.gz";
        assert!(parse_component_file(url, DIGEST).is_ok());
        for hash in ["", "x", &DIGEST[1..], &DIGEST.replace('0', "g")] {
            let error = parse_component_file(url, hash).expect_err(hash);
            assert!(matches!(error, ComponentFileError::Digest { .. }), "{error:?}");
        }
    }

    #[test]
    fn a_long_url_is_truncated_in_the_message() {
        let url = "x".repeat(1 << 20);
        let message = parse_component_file(&url, DIGEST).expect_err("elsewhere").to_string();
        assert!(message.len() < 400, "{}", message.len());
    }
}
