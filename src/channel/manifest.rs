//! Channel manifests of version 2: what a release consists of, for every host and target.
//!
//! A manifest is an answer from upstream: its size is limited, and only what is used of it is looked at. Its bytes
//! are mirrored as they are, so nothing here writes one. Unknown keys and tables are passed over, as rustup does.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::digest::{InvalidDigest, Sha256};
use crate::safe_path::{SafePath, UnsafePath};

use super::toolchain::{Channel, Date, InvalidDate, Toolchain};

/// Bytes in the largest manifest that is read; a real one has about a million.
pub const MAX_SIZE: usize = 16 << 20;

/// What every URL of a manifest begins with. rustup puts RUSTUP_DIST_SERVER in its place, so that a mirror serves the
/// manifest as upstream signed it. (rustup: src/dist/download.rs)
pub const UPSTREAM: &str = "https://static.rust-lang.org/";

/// Renames that lead to one another. Upstream has one step; rustup follows one.
const MAX_RENAMES: usize = 8;

/// A channel manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelManifest {
    date: Date,
    packages: BTreeMap<String, Package>,
    renames: BTreeMap<String, String>,
    profiles: BTreeMap<String, Vec<String>>,
}

/// `[pkg.P]`: one package, for all its targets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Package {
    /// The version as its tool prints it: `1.95.0 (59807616e 2026-04-14)`.
    #[serde(default)]
    pub version: String,
    /// By target; `*` is every target.
    #[serde(default, rename = "target")]
    pub targets: BTreeMap<String, Build>,
}

/// `[pkg.P.target.T]`: one package as it was built for one target. URLs and digests are upstream's words: see
/// [`Build::file`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Build {
    /// Whether it could be built.
    pub available: bool,
    /// The archive packed by gzip.
    pub url: Option<String>,
    /// Its SHA-256.
    pub hash: Option<String>,
    /// The archive packed by xz.
    pub xz_url: Option<String>,
    /// Its SHA-256.
    pub xz_hash: Option<String>,
    /// Of `pkg.rust`: what an installation is made of.
    #[serde(default)]
    pub components: Vec<Listed>,
    /// Of `pkg.rust`: what can be added to it.
    #[serde(default)]
    pub extensions: Vec<Listed>,
}

/// A component that `pkg.rust.target.HOST` lists.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Listed {
    /// The package.
    pub pkg: String,
    /// Its target, or `*`.
    pub target: String,
}

/// Why bytes are no channel manifest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ManifestError {
    /// Larger than any real one.
    #[error("it has {size} bytes; no channel manifest has more than {MAX_SIZE}")]
    TooLarge {
        /// Its length in bytes.
        size: usize,
    },
    /// Not UTF-8.
    #[error("it is no text")]
    NotText,
    /// Not TOML, or not the keys that a manifest has.
    #[error("line {line}: {message}")]
    Toml {
        /// The line, counted from 1.
        line: usize,
        /// What the parser said.
        message: String,
    },
    /// A `manifest-version` that is not 2.
    #[error("it has the manifest version `{}`, and only `2` is known", .0.escape_debug())]
    Version(String),
    /// `date` is none.
    #[error("its date cannot be used")]
    Date(#[source] InvalidDate),
    /// `[renames]` leads from name to name without an end.
    #[error("its renames of `{}` do not end", .0.escape_debug())]
    Renames(String),
}

/// Why a file that a manifest names cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FileError {
    /// Marked as available, but with no URL, or with no digest for it.
    #[error("it is marked as available, but has no URL or no digest")]
    Missing,
    /// The URL is not upstream's, or not below a dated folder.
    #[error("the URL `{}` is not of the form {UPSTREAM}dist/YYYY-MM-DD/FILE", .url.escape_debug())]
    Elsewhere {
        /// The URL, as far as it fits a line.
        url: String,
    },
    /// The URL's path climbs, or cannot be a file's name.
    #[error("the URL `{}` has no usable path", .url.escape_debug())]
    Path {
        /// The URL, as far as it fits a line.
        url: String,
        /// Why not.
        source: UnsafePath,
    },
    /// The digest is none.
    #[error("the digest of `{path}` cannot be used")]
    Digest {
        /// The file.
        path: SafePath,
        /// Why not.
        source: InvalidDigest,
    },
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "manifest-version")]
    version: String,
    date: String,
    pkg: BTreeMap<String, Package>,
    #[serde(default)]
    renames: BTreeMap<String, Rename>,
    #[serde(default)]
    profiles: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Rename {
    to: String,
}

impl ChannelManifest {
    /// Reads a manifest. What its packages say of their files is checked where one is asked for.
    pub fn parse(bytes: &[u8]) -> Result<ChannelManifest, ManifestError> {
        if bytes.len() > MAX_SIZE {
            return Err(ManifestError::TooLarge { size: bytes.len() });
        }
        let text = str::from_utf8(bytes).map_err(|_| ManifestError::NotText)?;
        let raw: Raw = match toml::from_str(text) {
            Ok(raw) => raw,
            // Another version has other keys, and the version is what is to be told.
            Err(error) => return Err(other_version(text).unwrap_or_else(|| damaged(text, &error))),
        };
        if raw.version != "2" {
            return Err(ManifestError::Version(shortened(&raw.version)));
        }
        let date = raw.date.parse().map_err(ManifestError::Date)?;
        let renames = raw.renames.into_iter().map(|(from, rename)| (from, rename.to)).collect();
        let manifest = ChannelManifest { date, packages: raw.pkg, renames, profiles: raw.profiles };
        match manifest.renames.keys().find(|name| manifest.follow(name).is_none()) {
            Some(name) => Err(ManifestError::Renames(shortened(name))),
            None => Ok(manifest),
        }
    }

    /// The day of the release, which names the folder of its files.
    pub fn date(&self) -> Date {
        self.date
    }

    /// The packages by name.
    pub fn packages(&self) -> &BTreeMap<String, Package> {
        &self.packages
    }

    /// The profiles by name; empty in manifests older than profiles.
    pub fn profiles(&self) -> &BTreeMap<String, Vec<String>> {
        &self.profiles
    }

    /// `[renames]`: the name that a user writes, and the package's.
    pub fn renames(&self) -> &BTreeMap<String, String> {
        &self.renames
    }

    /// The release's version: `1.95.0`, `1.97.0-nightly`, `1.96.0-beta.3`. `None` where the manifest has no `rust`.
    pub fn release(&self) -> Option<&str> {
        self.packages.get("rust")?.version.split_whitespace().next()
    }

    /// The package that `name` stands for: itself, where nothing renames it.
    pub fn renamed<'m>(&'m self, name: &'m str) -> &'m str {
        self.follow(name).unwrap_or(name)
    }

    fn follow<'m>(&'m self, name: &'m str) -> Option<&'m str> {
        let mut name = name;
        for _ in 0..=MAX_RENAMES {
            match self.renames.get(name) {
                Some(to) => name = to,
                None => return Some(name),
            }
        }
        None
    }

    /// `toolchain`'s manifest, which this is, may lie upstream under these paths too, and rustup asks for it there
    /// when it is told another name: the release's own names and the channel's dated folder. `toolchain`'s own path
    /// is left out. They are candidates: upstream says which of them have the same digest.
    ///
    /// (rust: src/tools/build-manifest/src/main.rs writes `X.Y.Z` and `X.Y` for stable, `X.Y.Z-beta.N` and
    /// `X.Y.Z-beta` for beta.)
    pub fn aliases(&self, toolchain: &Toolchain) -> Vec<SafePath> {
        let channel = toolchain.channel();
        let mut names = Vec::new();
        // What the manifest says goes through the grammar of names before it becomes a path.
        let release = self.release().and_then(|release| release.parse::<Toolchain>().ok());
        if let Some(release) = release.filter(|release| channel != Channel::Nightly && release.channel() == channel) {
            let shorter = release.shorter();
            names.extend([Some(release), shorter].into_iter().flatten());
        }
        names.push(Toolchain::dated(channel, self.date));
        let own = toolchain.manifest_path();
        names.iter().map(Toolchain::manifest_path).filter(|path| *path != own).collect()
    }

    /// Every file that the manifest names with a digest, in either format, by its path. What cannot be used is left
    /// out.
    pub fn files(&self) -> BTreeMap<SafePath, Sha256> {
        let builds = self.packages.values().flat_map(|package| package.targets.values());
        let pairs = builds
            .filter(|build| build.available)
            .flat_map(|build| [(&build.xz_url, &build.xz_hash), (&build.url, &build.hash)]);
        pairs.filter_map(|(url, hash)| file(url.as_deref()?, hash.as_deref()?).ok()).collect()
    }
}

impl Package {
    /// What was built for `target`, or for every target.
    pub fn build(&self, target: &str) -> Option<&Build> {
        self.targets.get("*").or_else(|| self.targets.get(target))
    }
}

impl Build {
    /// The file that rustup downloads, and its digest: the one packed by xz, else the one packed by gzip.
    pub fn file(&self) -> Result<(SafePath, Sha256), FileError> {
        let pair = match (&self.xz_url, &self.xz_hash) {
            (Some(url), Some(hash)) => Some((url, hash)),
            (Some(_), None) | (None, Some(_)) => None,
            (None, None) => self.url.as_ref().zip(self.hash.as_ref()),
        };
        let (url, hash) = pair.ok_or(FileError::Missing)?;
        file(url, hash)
    }

    /// Components and extensions.
    pub fn listed(&self) -> impl Iterator<Item = &Listed> {
        self.components.iter().chain(&self.extensions)
    }
}

fn file(url: &str, hash: &str) -> Result<(SafePath, Sha256), FileError> {
    let elsewhere = || FileError::Elsewhere { url: shortened(url) };
    let path = url.strip_prefix(UPSTREAM).ok_or_else(elsewhere)?;
    // A client takes these three for something other than letters of a file's name.
    if path.contains(['%', '?', '#']) {
        return Err(elsewhere());
    }
    let path: SafePath = path.parse().map_err(|source| FileError::Path { url: shortened(url), source })?;
    if !in_a_dated_folder(&path) {
        return Err(elsewhere());
    }
    let sha256 = hash.parse().map_err(|source| FileError::Digest { path: path.clone(), source })?;
    Ok((path, sha256))
}

fn in_a_dated_folder(path: &SafePath) -> bool {
    let mut parts = path.components();
    let dated = parts.next() == Some("dist") && parts.next().is_some_and(|part| part.parse::<Date>().is_ok());
    dated && parts.next().is_some()
}

fn other_version(text: &str) -> Option<ManifestError> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "manifest-version")]
        version: String,
    }
    let head: Head = toml::from_str(text).ok()?;
    (head.version != "2").then(|| ManifestError::Version(shortened(&head.version)))
}

fn damaged(text: &str, error: &toml::de::Error) -> ManifestError {
    let start = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
    ManifestError::Toml { line, message: shortened(error.message()) }
}

/// As much of what a stranger wrote as fits a line.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}
