//! Requests small texts from upstream, and repeats the requests until the texts are consistent.

use std::collections::BTreeMap;
use std::future::Future;

use bytes::Bytes;
use jiff::Timestamp;

use crate::digest::Sha256;
use crate::http::{self, Client, Request};
use crate::safe_path::SafePath;

use super::dist_cache::{DistCache, TextRecord};
use super::{DistDownloader, Error};

/// Texts by their paths.
pub type Texts = BTreeMap<SafePath, Bytes>;

/// A client of a dist server. Cheap to clone.
#[derive(Clone)]
pub struct DistClient {
    /// The HTTP client.
    pub client: Client,
    /// The base address, as in RUSTUP_DIST_SERVER. It may contain a name and a password.
    pub server_url: String,
    /// The current time.
    pub now: Timestamp,
}

/// Maximum size of a `.sha256` in bytes.
pub const MAX_DIGEST_FILE: u64 = 4 * 1024;

/// Maximum size in bytes of a signature and of `release-stable.toml`.
pub(super) const MAX_TEXT: u64 = 64 * 1024;

/// Maximum number of attempts to get consistent files. Upstream publishes a release within seconds.
const MAX_RETRIES: u32 = 3;

impl DistDownloader {
    /// The server.
    pub(super) fn dist_client(&self) -> DistClient {
        DistClient { client: self.client.clone(), server_url: self.server_url.clone(), now: self.now }
    }
}

impl DistClient {
    /// The address of the file at `path`. It may contain a name and a password.
    pub fn url(&self, path: &SafePath) -> String {
        // Users of rustup often set the variable with a trailing slash.
        format!("{}/{path}", self.server_url.trim_end_matches('/'))
    }

    /// The text at `path`; `None` if it does not exist.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub async fn fetch_text(&self, path: &SafePath, limit: u64) -> Result<Option<Bytes>, Error> {
        let url = self.url(path);
        match self.client.get(&Request::new(&url), limit).await {
            Ok(answer) if answer.status == 200 => Ok(Some(answer.body)),
            Ok(_) => Ok(None),
            Err(source) => Err(Error::Network { path: path.clone(), source: Box::new(source) }),
        }
    }

    /// The optional text at `path`: a file store without listing rights returns 403 for missing files.
    pub(super) async fn fetch_optional_text(&self, path: &SafePath, limit: u64) -> Result<Option<Bytes>, Error> {
        match self.fetch_text(path, limit).await {
            Err(Error::Network { source, .. }) if matches!(*source, http::Error::Status { status: 403, .. }) => {
                Ok(None)
            }
            other => other,
        }
    }

    /// Repeats `ask` as a whole after a pause, while upstream's files are inconsistent because it is publishing. If
    /// they stay inconsistent, this is an error.
    ///
    /// # Errors
    /// The error of `ask`.
    pub async fn retry_until_consistent<T, F>(&self, mut request: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut failures = 0;
        loop {
            match request().await {
                Err(error @ Error::Inconsistent { .. }) if failures < MAX_RETRIES => {
                    failures += 1;
                    self.client.backoff_sleep("the toolchains", error.to_string(), failures, MAX_RETRIES + 1).await;
                }
                other => return other,
            }
        }
    }
}

impl DistCache {
    /// Stores `texts` under `name` as a consistent set; `absent` texts do not exist upstream.
    pub(super) fn save_texts(
        &self,
        name: &str,
        texts: &Texts,
        absent: impl Iterator<Item = SafePath>,
    ) -> Result<(), Error> {
        let mut record: TextRecord = absent.map(|path| (path, None)).collect();
        for (path, text) in texts {
            record.insert(path.clone(), Some(self.save_text(text)?));
        }
        self.save_record(name, &record)
    }

    /// The stored texts of `name`, and those known to be absent.
    pub(super) fn load_texts(&self, name: &str) -> Result<Option<(Texts, Vec<SafePath>)>, Error> {
        let Some(record) = self.load_record(name)? else { return Ok(None) };
        let (mut texts, mut absent) = (Texts::new(), Vec::new());
        for (path, digest) in record {
            let Some(digest) = digest else {
                absent.push(path);
                continue;
            };
            match self.load_text(digest)? {
                Some(text) => texts.insert(path, text),
                None => return Ok(None),
            };
        }
        Ok(Some((texts, absent)))
    }
}

/// The digest in a `.sha256`: its first 64 characters; the rest is ignored.
pub fn parse_sha256(text: &[u8]) -> Option<Sha256> {
    str::from_utf8(text.get(..64)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_read_from_the_first_64_characters() {
        let digest = Sha256::of(b"x");
        for end in ["", "\n", "  channel-rust-stable.toml\n", " *./rustup-init.exe\n", "\u{fffd}"] {
            assert_eq!(parse_sha256(format!("{digest}{end}").as_bytes()), Some(digest));
        }
        for text in ["", "<html>", &" ".repeat(64), &format!("\u{feff}{digest}"), &digest.to_string()[1..]] {
            assert_eq!(parse_sha256(text.as_bytes()), None);
        }
        assert_eq!(parse_sha256(&[0xff; 64]), None);
    }
}
