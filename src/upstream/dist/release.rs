//! The texts of one toolchain: its channel manifest with its checksum and signature, under every name that rustup may
//! request.

use std::io;

use bytes::Bytes;
use futures_util::future::try_join_all;

use crate::digest::Sha256;
use crate::http;
use crate::safe_path::SafePath;
use crate::toolchain::{ChannelManifest, Date, MAX_MANIFEST_SIZE, ToolchainName, digest_path, signature_path};

use super::dist_cache::DistCache;
use super::dist_client::{DistClient, MAX_DIGEST_FILE, MAX_TEXT, Texts, parse_sha256};
use super::{DistDownloader, Error};

/// A toolchain in its current state upstream.
pub(super) struct ToolchainRelease {
    /// Its manifest.
    pub(super) manifest: ChannelManifest,
    /// The manifest with its checksum and signature, unchanged, under each of its names.
    pub(super) texts: Texts,
}

impl DistDownloader {
    /// Requests `toolchain` from upstream; offline, looks up its state in the last run.
    pub(super) async fn fetch_release(
        &self,
        store: &DistCache,
        toolchain: &ToolchainName,
    ) -> Result<ToolchainRelease, Error> {
        let name = toolchain.to_string();
        if self.offline {
            let own = toolchain.manifest_path();
            let missing = || Error::Offline { paths: vec![own.clone()] };
            let (texts, _) = store.load_texts(&name)?.ok_or_else(missing)?;
            let manifest = self.parse_manifest(toolchain, texts.get(&own).ok_or_else(missing)?)?;
            return Ok(ToolchainRelease { manifest, texts });
        }
        let release = self.dist_client().retry_until_consistent(|| self.fetch_release_once(toolchain)).await?;
        store.save_texts(&name, &release.texts, std::iter::empty())?;
        Ok(release)
    }

    async fn fetch_release_once(&self, toolchain: &ToolchainName) -> Result<ToolchainRelease, Error> {
        let (source, own) = (self.dist_client(), toolchain.manifest_path());
        let (manifest, mut texts) = source.fetch_manifest(toolchain, &own).await?;
        let text = texts[&own].clone();
        let sha256 = Sha256::of(&text);
        let aliases = manifest.alias_paths(toolchain).into_iter().map(|alias| source.fetch_alias(alias, &text, sha256));
        texts.extend(try_join_all(aliases).await?.into_iter().flatten());
        Ok(ToolchainRelease { manifest, texts })
    }

    fn parse_manifest(&self, toolchain: &ToolchainName, text: &[u8]) -> Result<ChannelManifest, Error> {
        self.dist_client().parse_manifest(toolchain, text)
    }
}

impl DistClient {
    /// The digest that upstream currently states for the manifest of `toolchain` at `own`.
    ///
    /// # Errors
    /// [`Error::UnknownToolchain`] if it does not exist, [`Error::Inconsistent`] if the digest is missing,
    /// [`Error::Network`].
    pub async fn fetch_manifest_digest(
        &self,
        toolchain: &ToolchainName,
        own: &SafePath,
    ) -> Result<(Bytes, Sha256), Error> {
        let beside = digest_path(own);
        // rustup requests in this order, and treats a missing digest as a missing toolchain too.
        let digest = self
            .fetch_text(&beside, MAX_DIGEST_FILE)
            .await?
            .ok_or_else(|| self.unknown_toolchain(toolchain, &beside))?;
        match parse_sha256(&digest) {
            Some(sha256) => Ok((digest, sha256)),
            None => Err(inconsistent(format!("`{beside}` does not begin with a SHA-256"))),
        }
    }

    /// The manifest of `toolchain` at `own`, with its checksum and signature, checked for consistency.
    ///
    /// [`Error::UnknownToolchain`] if it does not exist, [`Error::Inconsistent`] if upstream is publishing (see
    /// [`DistClient::retry_until_consistent`]), [`Error::InvalidManifest`] and [`Error::FutureManifest`] for an
    /// unusable one, [`Error::Network`].
    pub async fn fetch_manifest(
        &self,
        toolchain: &ToolchainName,
        own: &SafePath,
    ) -> Result<(ChannelManifest, Texts), Error> {
        let beside = digest_path(own);
        let (digest, stated_digest) = self.fetch_manifest_digest(toolchain, own).await?;
        let text = self
            .fetch_text(own, MAX_MANIFEST_SIZE as u64)
            .await?
            .ok_or_else(|| self.unknown_toolchain(toolchain, own))?;
        let sha256 = Sha256::of(&text);
        if stated_digest != sha256 {
            return Err(inconsistent(format!(
                "`{own}` has the SHA-256 {sha256}, but `{beside}` states {stated_digest}"
            )));
        }
        let manifest = self.parse_manifest_blocking(toolchain, &text).await?;
        let mut texts = Texts::new();
        if let Some(signature) = self.fetch_optional_text(&signature_path(own), MAX_TEXT).await? {
            // A signature states no digest: it belongs to this manifest only if nothing changed meanwhile.
            let is_mutable = toolchain.is_mutable() && !is_in_dated_folder(own);
            if is_mutable && self.fetch_text(&beside, MAX_DIGEST_FILE).await?.as_ref() != Some(&digest) {
                return Err(inconsistent(format!("`{beside}` changed while its manifest was read")));
            }
            texts.insert(signature_path(own), signature);
        }
        texts.insert(beside, digest);
        texts.insert(own.clone(), text);
        Ok((manifest, texts))
    }

    /// Parses a manifest on a blocking thread.
    async fn parse_manifest_blocking(&self, toolchain: &ToolchainName, text: &Bytes) -> Result<ChannelManifest, Error> {
        let (source, toolchain, text) = (self.clone(), toolchain.clone(), text.clone());
        let parsed = tokio::task::spawn_blocking(move || source.parse_manifest(&toolchain, &text)).await;
        parsed.map_err(|ended| Error::Cache { path: "dist".into(), source: io::Error::other(ended) })?
    }

    fn unknown_toolchain(&self, toolchain: &ToolchainName, path: &SafePath) -> Error {
        Error::UnknownToolchain { toolchain: toolchain.clone(), url: http::redact_url(&self.url(path)) }
    }

    /// The texts at `path`, another name of the manifest `text`; nothing if upstream has another manifest there, or
    /// none.
    async fn fetch_alias(&self, path: SafePath, text: &Bytes, sha256: Sha256) -> Result<Texts, Error> {
        let beside = digest_path(&path);
        let digest = match self.fetch_optional_text(&beside, MAX_DIGEST_FILE).await? {
            Some(digest) if parse_sha256(&digest) == Some(sha256) => digest,
            // The dated folder is this manifest's own, even if upstream has not put it there.
            None if is_in_dated_folder(&path) => digest_line(&path, sha256),
            Some(_) | None => return Ok(Texts::new()),
        };
        let mut texts = Texts::from([(beside, digest), (path.clone(), text.clone())]);
        let signature = signature_path(&path);
        if let Some(found) = self.fetch_optional_text(&signature, MAX_TEXT).await? {
            texts.insert(signature, found);
        }
        Ok(texts)
    }

    fn parse_manifest(&self, toolchain: &ToolchainName, text: &[u8]) -> Result<ChannelManifest, Error> {
        let manifest = ChannelManifest::parse(text)
            .map_err(|source| Error::InvalidManifest { toolchain: toolchain.clone(), source: Box::new(source) })?;
        match manifest.date() {
            date if date.is_in_the_future_of(self.now) => {
                Err(Error::FutureManifest { toolchain: toolchain.clone(), date, now: self.now })
            }
            _ => Ok(manifest),
        }
    }
}

fn inconsistent(what: String) -> Error {
    Error::Inconsistent { what }
}

/// Whether `path` is in a dated folder: `dist/2026-04-16/channel-rust-stable.toml`.
fn is_in_dated_folder(path: &SafePath) -> bool {
    path.components().nth(1).is_some_and(|part| part.parse::<Date>().is_ok())
}

/// The content of upstream's `.sha256` for `path`.
fn digest_line(path: &SafePath, sha256: Sha256) -> Bytes {
    let name = path.components().next_back().unwrap_or_default();
    format!("{sha256}  {name}\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_line_matches_upstreams_form() {
        let path: SafePath = "dist/2026-04-16/channel-rust-stable.toml".parse().expect("path");
        assert!(is_in_dated_folder(&path));
        let digest = Sha256::of(b"x");
        assert_eq!(digest_line(&path, digest), format!("{digest}  channel-rust-stable.toml\n"));
        assert!(!is_in_dated_folder(&"dist/channel-rust-1.95.0.toml".parse().expect("path")));
    }
}
