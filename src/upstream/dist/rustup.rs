//! rustup itself: upstream's version, and its installer for every host, with their digests.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;

use crate::crate_id::Version;
use crate::digest::Sha256;
use crate::http;
use crate::safe_path::SafePath;
use crate::toolchain::{digest_path, rustup_init_file_name};

use super::dist_cache::DistCache;
use super::dist_client::{DistClient, MAX_DIGEST_FILE, MAX_TEXT, Texts, parse_sha256};
use super::{DistDownloader, Error};

/// The path of rustup's release file.
pub const RUSTUP_RELEASE_PATH: &str = "rustup/release-stable.toml";

/// The name of its texts in the cache; no toolchain has this name.
const RECORD_NAME: &str = "rustup";

/// Maximum number of concurrent requests for texts of 100 bytes.
const MAX_CONCURRENT_REQUESTS: usize = 8;

/// rustup in its current state upstream.
pub struct RustupRelease {
    /// `release-stable.toml`, which states the version.
    pub release: (SafePath, bytes::Bytes),
    /// The files of each host.
    pub installers: BTreeMap<String, RustupInstaller>,
    /// Hosts for which upstream has no rustup.
    pub unavailable_hosts: Vec<String>,
}

/// The installer for one host.
pub struct RustupInstaller {
    /// The same file below `rustup/archive/VERSION/` and below `rustup/dist/`.
    pub paths: [SafePath; 2],
    /// Its digest.
    pub sha256: Sha256,
    /// The `.sha256` beside each path.
    pub texts: Texts,
}

#[derive(Deserialize)]
struct ReleaseFile {
    version: String,
}

impl DistDownloader {
    /// Requests the rustup of `hosts` from upstream; offline, looks up its state in the last run.
    pub(super) async fn fetch_rustup(
        &self,
        store: &DistCache,
        hosts: &BTreeSet<String>,
    ) -> Result<RustupRelease, Error> {
        let path: SafePath = RUSTUP_RELEASE_PATH.parse().expect("a safe path");
        let known = store.load_texts(RECORD_NAME)?;
        if self.offline {
            let missing = || Error::Offline { paths: vec![path.clone()] };
            let (texts, absent) = known.ok_or_else(missing)?;
            return parse_rustup(&path, hosts, &texts, &absent);
        }
        let source = self.dist_client();
        let (texts, absent) = source.retry_until_consistent(|| source.fetch_rustup_once(&path, hosts)).await?;
        let rustup = parse_rustup(&path, hosts, &texts, &absent)?;
        // Another input may have requested other hosts of this version.
        let earlier = known.filter(|(known, _)| known.get(&path) == texts.get(&path));
        let (mut all, mut none) = earlier.unwrap_or_default();
        all.extend(texts);
        none.retain(|path| !all.contains_key(path));
        store.save_texts(RECORD_NAME, &all, none.into_iter().chain(absent))?;
        Ok(rustup)
    }
}

impl DistClient {
    /// Requests rustup's release and the digests of its installers for `hosts`, each of which is a triple.
    ///
    /// # Errors
    /// [`Error::NoRustup`] if there is no release, [`Error::Inconsistent`] if the texts stay inconsistent,
    /// [`Error::Network`].
    pub async fn fetch_rustup(&self, hosts: &BTreeSet<String>) -> Result<RustupRelease, Error> {
        let path: SafePath = RUSTUP_RELEASE_PATH.parse().expect("a safe path");
        let (texts, absent) = self.retry_until_consistent(|| self.fetch_rustup_once(&path, hosts)).await?;
        parse_rustup(&path, hosts, &texts, &absent)
    }

    async fn fetch_rustup_once(
        &self,
        path: &SafePath,
        hosts: &BTreeSet<String>,
    ) -> Result<(Texts, Vec<SafePath>), Error> {
        let text = self.fetch_text(path, MAX_TEXT).await?;
        let text = text.ok_or_else(|| Error::NoRustup { url: http::redact_url(&self.url(path)) })?;
        let version = parse_version(path, &text)?;
        let requested = hosts.iter().flat_map(|host| installer_paths(&version, host).map(|path| digest_path(&path)));
        let requested = stream::iter(requested.collect::<Vec<_>>()).map(|path| async move {
            let text = self.fetch_optional_text(&path, MAX_DIGEST_FILE).await?;
            Ok::<_, Error>((path, text))
        });
        let answers: Vec<_> = requested.buffer_unordered(MAX_CONCURRENT_REQUESTS).try_collect().await?;
        let (mut texts, mut absent) = (Texts::from([(path.clone(), text)]), Vec::new());
        for (path, text) in answers {
            match text {
                Some(text) => drop(texts.insert(path, text)),
                None => absent.push(path),
            }
        }
        // Inconsistencies are detected here, where the texts can be requested again.
        parse_rustup(path, hosts, &texts, &absent)?;
        Ok((texts, absent))
    }
}

/// Combines the texts.
fn parse_rustup(
    path: &SafePath,
    hosts: &BTreeSet<String>,
    texts: &Texts,
    absent: &[SafePath],
) -> Result<RustupRelease, Error> {
    let text = texts.get(path).ok_or_else(|| Error::Offline { paths: vec![path.clone()] })?;
    let version = parse_version(path, text)?;
    let mut rustup = RustupRelease {
        release: (path.clone(), text.clone()),
        installers: BTreeMap::new(),
        unavailable_hosts: Vec::new(),
    };
    for host in hosts {
        let paths = installer_paths(&version, host);
        let beside = [digest_path(&paths[0]), digest_path(&paths[1])];
        match beside.each_ref().map(|path| texts.get(path)) {
            [Some(archived), Some(current)] => {
                let sha256 = match (parse_sha256(archived), parse_sha256(current)) {
                    (Some(archived), Some(current)) if archived == current => archived,
                    (Some(_), Some(_)) => {
                        let what = format!("`{}` and `{}` have different digests", paths[0], paths[1]);
                        return Err(Error::Inconsistent { what });
                    }
                    (archived, _) => {
                        let path = &beside[usize::from(archived.is_some())];
                        return Err(Error::Inconsistent { what: format!("`{path}` does not begin with a SHA-256") });
                    }
                };
                let found = [archived, current].map(Clone::clone);
                let texts = beside.into_iter().zip(found).collect();
                rustup.installers.insert(host.clone(), RustupInstaller { paths, sha256, texts });
            }
            [None, None] if beside.iter().all(|path| absent.contains(path)) => {
                rustup.unavailable_hosts.push(host.clone())
            }
            [archived, current] => {
                let missing: Vec<SafePath> = beside
                    .iter()
                    .zip([archived, current])
                    .filter(|(_, text)| text.is_none())
                    .map(|(path, _)| path.clone())
                    .collect();
                let Some(absent_path) = missing.iter().find(|path| absent.contains(path)) else {
                    return Err(Error::Offline { paths: missing });
                };
                let what = format!("`{absent_path}` does not exist, although rustup {version} is the current version");
                return Err(Error::Inconsistent { what });
            }
        }
    }
    Ok(rustup)
}

/// The version in `release-stable.toml`, which becomes the name of a folder.
fn parse_version(path: &SafePath, text: &[u8]) -> Result<Version, Error> {
    let raw = str::from_utf8(text).ok().and_then(|text| toml::from_str::<ReleaseFile>(text).ok());
    let version = raw.and_then(|raw| raw.version.parse().ok());
    version.ok_or_else(|| Error::Inconsistent { what: format!("`{path}` names no version of rustup") })
}

fn installer_paths(version: &Version, host: &str) -> [SafePath; 2] {
    let name = rustup_init_file_name(host);
    [format!("rustup/archive/{version}/{host}/{name}"), format!("rustup/dist/{host}/{name}")]
        .map(|path| path.parse().expect("a version and a known host are safe"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "x86_64-unknown-linux-gnu";

    fn outcome(release: &str, archived: Option<&str>, current: Option<&str>) -> Result<RustupRelease, Error> {
        let path: SafePath = RUSTUP_RELEASE_PATH.parse().expect("path");
        let mut texts = Texts::from([(path.clone(), release.to_owned().into())]);
        let mut absent = Vec::new();
        for (folder, text) in [("archive/1.29.0", archived), ("dist", current)] {
            let path: SafePath = format!("rustup/{folder}/{HOST}/rustup-init.sha256").parse().expect("path");
            match text {
                Some(text) => drop(texts.insert(path, text.to_owned().into())),
                None => absent.push(path),
            }
        }
        parse_rustup(&path, &BTreeSet::from([HOST.to_owned()]), &texts, &absent)
    }

    #[test]
    fn differing_or_missing_digests_are_inconsistent() {
        let release = "schema-version = \"1\"\nversion = \"1.29.0\"\n";
        let (one, other) = (Sha256::of(b"1").to_string(), Sha256::of(b"2").to_string());
        let one_name = format!("{one} *./rustup-init\n");
        let rustup = outcome(release, Some(&one_name), Some(&one)).expect("one");
        assert_eq!(rustup.installers[HOST].sha256.to_string(), one);
        assert_eq!(rustup.installers[HOST].texts.len(), 2);
        assert_eq!(outcome(release, None, None).expect("none for this host").unavailable_hosts, [HOST]);
        for (archived, current) in
            [(Some(&*one), Some(&*other)), (Some(&one), None), (None, Some(&one)), (Some("<html>"), Some(&one))]
        {
            assert!(matches!(outcome(release, archived, current), Err(Error::Inconsistent { .. })));
        }
    }

    #[test]
    fn an_invalid_rustup_version_is_inconsistent() {
        for release in ["", "version = 1", "version = \"../..\"", "version = \"1.29\"", "\u{0}"] {
            let outcome = outcome(release, None, None);
            assert!(matches!(outcome, Err(Error::Inconsistent { .. })), "{release}");
        }
    }
}
