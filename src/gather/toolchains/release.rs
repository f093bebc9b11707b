//! One toolchain's texts: its channel manifest with what lies beside it, under every name that rustup may ask for.

use std::io;

use bytes::Bytes;
use futures_util::future::try_join_all;

use crate::channel::{ChannelManifest, Date, MAX_SIZE, Toolchain, digest_path, signature_path};
use crate::digest::Sha256;
use crate::http;
use crate::safe_path::SafePath;

use super::store::Store;
use super::texts::{MAX_DIGEST, MAX_TEXT, Source, Texts, stated};
use super::{Dist, Error};

/// A toolchain as upstream has it now.
pub(super) struct Release {
    /// What it is made of.
    pub(super) manifest: ChannelManifest,
    /// The manifest and what lies beside it, byte for byte, under each of its names.
    pub(super) texts: Texts,
}

impl Dist {
    /// Asks upstream for `toolchain`, or, offline, looks up what it was the last time.
    pub(super) async fn release(&self, store: &Store, toolchain: &Toolchain) -> Result<Release, Error> {
        let name = toolchain.to_string();
        if self.offline {
            let own = toolchain.manifest_path();
            let missing = || Error::Offline { paths: vec![own.clone()] };
            let (texts, _) = store.kept(&name)?.ok_or_else(missing)?;
            let manifest = self.parsed(toolchain, texts.get(&own).ok_or_else(missing)?)?;
            return Ok(Release { manifest, texts });
        }
        let release = self.source().settled(|| self.asked(toolchain)).await?;
        store.keep_all(&name, &release.texts, std::iter::empty())?;
        Ok(release)
    }

    async fn asked(&self, toolchain: &Toolchain) -> Result<Release, Error> {
        let (source, own) = (self.source(), toolchain.manifest_path());
        let (manifest, mut texts) = source.manifest(toolchain, &own).await?;
        let text = texts[&own].clone();
        let sha256 = Sha256::of(&text);
        let aliases = manifest.aliases(toolchain).into_iter().map(|alias| source.alias(alias, &text, sha256));
        texts.extend(try_join_all(aliases).await?.into_iter().flatten());
        Ok(Release { manifest, texts })
    }

    fn parsed(&self, toolchain: &Toolchain, text: &[u8]) -> Result<ChannelManifest, Error> {
        self.source().parsed(toolchain, text)
    }
}

impl Source {
    /// The digest that upstream states now for the manifest of `toolchain` at `own`.
    ///
    /// # Errors
    /// [`Error::NoToolchain`] where it is not there, [`Error::Unsettled`] where it states none, [`Error::Network`].
    pub async fn manifest_digest(&self, toolchain: &Toolchain, own: &SafePath) -> Result<(Bytes, Sha256), Error> {
        let beside = digest_path(own);
        // rustup asks in this order, and takes a missing digest for a missing toolchain too.
        let digest = self.text(&beside, MAX_DIGEST).await?.ok_or_else(|| self.absent(toolchain, &beside))?;
        match stated(&digest) {
            Some(sha256) => Ok((digest, sha256)),
            None => Err(unsettled(format!("`{beside}` does not begin with a SHA-256"))),
        }
    }

    /// The manifest of `toolchain`, which lies at `own`, with what lies beside it, as they are and as belonging together.
    ///
    /// # Errors
    /// [`Error::NoToolchain`] where it is not there, [`Error::Unsettled`] where upstream is publishing just then (see
    /// [`Source::settled`]), [`Error::Manifest`] and [`Error::Ahead`] for one that cannot be used, [`Error::Network`].
    pub async fn manifest(&self, toolchain: &Toolchain, own: &SafePath) -> Result<(ChannelManifest, Texts), Error> {
        let beside = digest_path(own);
        let (digest, stated) = self.manifest_digest(toolchain, own).await?;
        let text = self.text(own, MAX_SIZE as u64).await?.ok_or_else(|| self.absent(toolchain, own))?;
        let sha256 = Sha256::of(&text);
        if stated != sha256 {
            return Err(unsettled(format!("`{own}` has the SHA-256 {sha256}, `{beside}` says {stated}")));
        }
        let manifest = self.parsed_elsewhere(toolchain, &text).await?;
        let mut texts = Texts::new();
        if let Some(signature) = self.optional(&signature_path(own), MAX_TEXT).await? {
            // A signature states no digest: that it belongs to this manifest is known only if nothing moved meanwhile.
            let may_move = toolchain.moves() && !is_dated(own);
            if may_move && self.text(&beside, MAX_DIGEST).await?.as_ref() != Some(&digest) {
                return Err(unsettled(format!("`{beside}` changed while its manifest was read")));
            }
            texts.insert(signature_path(own), signature);
        }
        texts.insert(beside, digest);
        texts.insert(own.clone(), text);
        Ok((manifest, texts))
    }

    /// Reads a manifest where that holds up nobody else.
    async fn parsed_elsewhere(&self, toolchain: &Toolchain, text: &Bytes) -> Result<ChannelManifest, Error> {
        let (source, toolchain, text) = (self.clone(), toolchain.clone(), text.clone());
        let parsed = tokio::task::spawn_blocking(move || source.parsed(&toolchain, &text)).await;
        parsed.map_err(|ended| Error::Cache { path: "dist".into(), source: io::Error::other(ended) })?
    }

    fn absent(&self, toolchain: &Toolchain, path: &SafePath) -> Error {
        Error::NoToolchain { toolchain: toolchain.clone(), url: http::shown(&self.url(path)) }
    }

    /// What lies at and beside `path`, another name of the manifest `text`; nothing where upstream has another manifest
    /// there, or none.
    async fn alias(&self, path: SafePath, text: &Bytes, sha256: Sha256) -> Result<Texts, Error> {
        let beside = digest_path(&path);
        let digest = match self.optional(&beside, MAX_DIGEST).await? {
            Some(digest) if stated(&digest) == Some(sha256) => digest,
            // The folder of its day is where this manifest belongs, whether upstream has put it there or not.
            None if is_dated(&path) => digest_line(&path, sha256),
            Some(_) | None => return Ok(Texts::new()),
        };
        let mut texts = Texts::from([(beside, digest), (path.clone(), text.clone())]);
        let signature = signature_path(&path);
        if let Some(found) = self.optional(&signature, MAX_TEXT).await? {
            texts.insert(signature, found);
        }
        Ok(texts)
    }

    fn parsed(&self, toolchain: &Toolchain, text: &[u8]) -> Result<ChannelManifest, Error> {
        let manifest = ChannelManifest::parse(text)
            .map_err(|source| Error::Manifest { toolchain: toolchain.clone(), source: Box::new(source) })?;
        match manifest.date() {
            date if date.is_far_ahead_of(self.now) => {
                Err(Error::Ahead { toolchain: toolchain.clone(), date, now: self.now })
            }
            _ => Ok(manifest),
        }
    }
}

fn unsettled(what: String) -> Error {
    Error::Unsettled { what }
}

/// Whether `path` lies in the folder of a day: `dist/2026-04-16/channel-rust-stable.toml`.
fn is_dated(path: &SafePath) -> bool {
    path.components().nth(1).is_some_and(|part| part.parse::<Date>().is_ok())
}

/// What upstream would have in the `.sha256` beside `path`.
fn digest_line(path: &SafePath, sha256: Sha256) -> Bytes {
    let name = path.components().next_back().unwrap_or_default();
    format!("{sha256}  {name}\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_upstream_writes_it() {
        let path: SafePath = "dist/2026-04-16/channel-rust-stable.toml".parse().expect("path");
        assert!(is_dated(&path));
        let digest = Sha256::of(b"x");
        assert_eq!(digest_line(&path, digest), format!("{digest}  channel-rust-stable.toml\n"));
        assert!(!is_dated(&"dist/channel-rust-1.95.0.toml".parse().expect("path")));
    }
}
