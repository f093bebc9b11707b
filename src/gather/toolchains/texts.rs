//! Small texts from upstream, and the patience that texts which must belong together need.

use std::collections::BTreeMap;
use std::future::Future;

use bytes::Bytes;
use jiff::Timestamp;

use crate::digest::Sha256;
use crate::http::{self, Client, Request};
use crate::safe_path::SafePath;

use super::store::{Record, Store};
use super::{Dist, Error};

/// Texts by their paths.
pub type Texts = BTreeMap<SafePath, Bytes>;

/// A dist server that is asked for its texts. Cheap to clone.
#[derive(Clone)]
pub struct Source {
    /// Fetches.
    pub client: Client,
    /// What RUSTUP_DIST_SERVER would be. It may hold a name and a password.
    pub base: String,
    /// What the clock says.
    pub now: Timestamp,
}

/// Bytes of the longest `.sha256`.
pub const MAX_DIGEST: u64 = 4 * 1024;

/// Bytes of the longest signature, and of the longest `release-stable.toml`.
pub(super) const MAX_TEXT: u64 = 64 * 1024;

/// How often files that do not belong together are asked for again. Upstream publishes a release within seconds.
const AGAIN: u32 = 3;

impl Dist {
    /// The server.
    pub(super) fn source(&self) -> Source {
        Source { client: self.client.clone(), base: self.base.clone(), now: self.now }
    }
}

impl Source {
    /// The address of the file at `path`. It may hold a name and a password.
    pub fn url(&self, path: &SafePath) -> String {
        // A slash at the end of the variable is rustup's users' habit.
        format!("{}/{path}", self.base.trim_end_matches('/'))
    }

    /// The text at `path`; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub async fn text(&self, path: &SafePath, limit: u64) -> Result<Option<Bytes>, Error> {
        let url = self.url(path);
        match self.client.get(&Request::new(&url), limit).await {
            Ok(answer) if answer.status == 200 => Ok(Some(answer.body)),
            Ok(_) => Ok(None),
            Err(source) => Err(Error::Network { path: path.clone(), source: Box::new(source) }),
        }
    }

    /// The text at `path`, which need not be there: a store that lists no names says 403 of what it does not have.
    pub(super) async fn optional(&self, path: &SafePath, limit: u64) -> Result<Option<Bytes>, Error> {
        match self.text(path, limit).await {
            Err(Error::Network { source, .. }) if matches!(*source, http::Error::Status { status: 403, .. }) => {
                Ok(None)
            }
            other => other,
        }
    }

    /// Asks once more, as a whole and after a pause, while upstream's files do not belong together: it is publishing
    /// just then. What stays so is damage.
    ///
    /// # Errors
    /// What `ask` returns.
    pub async fn settled<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut failures = 0;
        loop {
            match ask().await {
                Err(error @ Error::Unsettled { .. }) if failures < AGAIN => {
                    failures += 1;
                    self.client.rest(failures, &error).await;
                }
                other => return other,
            }
        }
    }
}

impl Store {
    /// Keeps `texts` under `name`, as they are and as belonging together; `absent` are known not to be there.
    pub(super) fn keep_all(
        &self,
        name: &str,
        texts: &Texts,
        absent: impl Iterator<Item = SafePath>,
    ) -> Result<(), Error> {
        let mut record: Record = absent.map(|path| (path, None)).collect();
        for (path, text) in texts {
            record.insert(path.clone(), Some(self.keep(text)?));
        }
        self.remember(name, &record)
    }

    /// The texts that were kept under `name`, and what was known to be absent.
    pub(super) fn kept(&self, name: &str) -> Result<Option<(Texts, Vec<SafePath>)>, Error> {
        let Some(record) = self.recall(name)? else { return Ok(None) };
        let (mut texts, mut absent) = (Texts::new(), Vec::new());
        for (path, digest) in record {
            let Some(digest) = digest else {
                absent.push(path);
                continue;
            };
            match self.text(digest)? {
                Some(text) => texts.insert(path, text),
                None => return Ok(None),
            };
        }
        Ok(Some((texts, absent)))
    }
}

/// The digest that a `.sha256` states: its first 64 letters, whatever follows them.
pub fn stated(text: &[u8]) -> Option<Sha256> {
    str::from_utf8(text.get(..64)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_what_a_file_begins_with() {
        let digest = Sha256::of(b"x");
        for end in ["", "\n", "  channel-rust-stable.toml\n", " *./rustup-init.exe\n", "\u{fffd}"] {
            assert_eq!(stated(format!("{digest}{end}").as_bytes()), Some(digest));
        }
        for text in ["", "<html>", &" ".repeat(64), &format!("\u{feff}{digest}"), &digest.to_string()[1..]] {
            assert_eq!(stated(text.as_bytes()), None);
        }
        assert_eq!(stated(&[0xff; 64]), None);
    }
}
