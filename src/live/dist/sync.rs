//! Copies a file set from upstream into the mirror: requested, checked and stored as a whole.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::super::download::{CompletedDownload, DownloadSpec, SharedDownload};
use super::super::error::LiveError;
use super::super::store_worker::StoreJob;
use super::super::upstreams::with_breaker;
use super::super::{ActiveState, LiveMirror};
use super::file_set::FileSet;
use crate::bounded_read::read_at_most;
use crate::digest::Sha256;
use crate::http;
use crate::mirror::live::PartialFile;
use crate::safe_path::SafePath;
use crate::toolchain::{Date, ToolchainName, digest_path};
use crate::upstream::dist::{DistClient, Error, MAX_DIGEST_FILE, Texts, parse_sha256};

/// Maximum size of a digest file and of a release file of rustup, in bytes.
const MAX_SMALL_FILE: u64 = 64 * 1024;

/// What upstream has.
enum UpstreamState {
    /// Nothing.
    Absent,
    /// The stored files, or those of the last sync.
    Unchanged(Option<Sha256>),
    /// These texts, and this file unless its bytes are stored.
    Changed { texts: Texts, installer: Option<(SafePath, Sha256)>, sha256: Option<Sha256> },
}

/// The stored files of a set.
struct LocalState {
    /// The stated digest of the primary, if both files are stored.
    stated_digest: Option<Sha256>,
    /// The current release of rustup.
    release: Option<Vec<u8>>,
}

impl LiveMirror {
    /// Fetches a file set from upstream and stores what is new; returns the digest that upstream states for the primary. `last_digest` is the digest that upstream had the last time;
    /// if the mirror rejected it with reason, it is not fetched again.
    ///
    /// # Errors Upstream has no such files, does not answer, or sends inconsistent files; the disk write failed.
    pub(super) async fn sync(
        self: &Arc<Self>,
        running: &ActiveState,
        file_set: &FileSet,
        last_digest: Option<Sha256>,
        force: bool,
    ) -> Result<Option<Sha256>, LiveError> {
        match self.try_sync(running, file_set, last_digest, force).await {
            // Upstream may have published a new file between the two requests. Texts were already requested again.
            Err(refusal) if refusal.is_mismatch() && file_set.is_mutable() => {
                self.try_sync(running, file_set, last_digest, force).await
            }
            other => other,
        }
    }

    async fn try_sync(
        self: &Arc<Self>,
        running: &ActiveState,
        file_set: &FileSet,
        last_digest: Option<Sha256>,
        force: bool,
    ) -> Result<Option<Sha256>, LiveError> {
        let here = self.local_state(file_set).await;
        let known: Vec<Sha256> = match (here.stated_digest, force) {
            (Some(stored), false) => [Some(stored), last_digest].into_iter().flatten().collect(),
            _ => Vec::new(),
        };
        let upstreams = &running.upstreams;
        let read = self.context.now();
        let source = DistClient { client: upstreams.client.clone(), server_url: upstreams.dist_url.clone(), now: read };
        let requested = async {
            match upstream_state(&source, file_set, &known, &here).await {
                Err(Error::UnknownToolchain { .. } | Error::NoRustup { .. }) => Ok(UpstreamState::Absent),
                other => other,
            }
        };
        let (texts, program, sha256) =
            match with_breaker(&upstreams.dist_breaker, &file_set.to_string(), requested, http_error).await? {
                UpstreamState::Absent => {
                    return Err(LiveError::not_found(format!("upstream does not have {file_set}")));
                }
                UpstreamState::Unchanged(sha256) => return Ok(sha256),
                UpstreamState::Changed { texts, installer: program, sha256 } => (texts, program, sha256),
            };
        self.metrics.fetches.fetch_add(texts.len() as u64, Relaxed);
        let mut files = Vec::new();
        if let Some((path, sha256)) = program {
            let spec = DownloadSpec::of_dist_file(&upstreams.dist_url, &path, sha256);
            self.metrics.fetches.fetch_add(1, Relaxed);
            let (_, writer) = SharedDownload::create(self.context.mirror.clone());
            let landed = writer.run(&upstreams.client, &upstreams.dist_breaker, &spec).await?;
            files.push((path, sha256, read, landed));
        }
        for (path, text) in texts {
            let landed = self.store_text(text.clone()).await;
            let landed = landed.map_err(|error| LiveError::store_failed(path.as_str(), &error))?;
            files.push((path, Sha256::of(&text), read, landed));
        }
        self.metrics.fetched_bytes.fetch_add(files.iter().map(|(_, _, _, landed)| landed.size).sum(), Relaxed);
        let (sender, placed) = oneshot::channel();
        let done = Box::new(move |good| {
            let _no_request_waits = sender.send(good).is_err();
        });
        self.store_worker.enqueue(StoreJob::DistFiles(files), done);
        match placed.await {
            Ok(true) => Ok(sha256),
            _ => {
                let denied = self.context.mirror.check_writable().err().map(|(_, error)| error);
                let error = denied.unwrap_or_else(|| io::Error::other("the mirror rejected it"));
                Err(LiveError::store_failed(&file_set.to_string(), &error))
            }
        }
    }

    /// Writes a text to a file that can be stored.
    async fn store_text(&self, text: Bytes) -> io::Result<CompletedDownload> {
        let mirror = self.context.mirror.clone();
        let written = tokio::task::spawn_blocking(move || {
            let file = PartialFile::create(&mirror).map_err(|error| io::Error::new(error.source.kind(), error))?;
            let mut out = file.file();
            out.write_all(&text)?;
            io::Result::Ok(CompletedDownload { file, size: text.len() as u64 })
        });
        written.await.map_err(io::Error::other)?
    }

    async fn local_state(&self, unit: &FileSet) -> LocalState {
        let (root, unit) = (self.context.mirror.root().to_owned(), unit.clone());
        let read = move || {
            let text = |path: &SafePath| read_at_most(&path.below(&root), MAX_SMALL_FILE).ok().flatten();
            let stored = unit.primary().below(&root).is_file();
            let stated = unit.digest_file().filter(|_| stored).and_then(|path| parse_sha256(&text(&path)?));
            let release = text(&FileSet::RustupRelease.primary());
            LocalState { stated_digest: stated, release }
        };
        tokio::task::spawn_blocking(read).await.unwrap_or(LocalState { stated_digest: None, release: None })
    }
}

/// Fetches the texts of a set, again if upstream publishes at that moment.
async fn upstream_state(
    source: &DistClient,
    file_set: &FileSet,
    known: &[Sha256],
    local: &LocalState,
) -> Result<UpstreamState, Error> {
    match file_set {
        FileSet::Channel { toolchain, .. } => {
            source.retry_until_consistent(|| channel_state(source, file_set, toolchain, known)).await
        }
        FileSet::RustupRelease => {
            let rustup = source.fetch_rustup(&BTreeSet::new()).await?;
            let (path, text) = rustup.release;
            Ok(match local.release.as_deref() == Some(&text[..]) {
                true => UpstreamState::Unchanged(None),
                false => UpstreamState::Changed { texts: Texts::from([(path, text)]), installer: None, sha256: None },
            })
        }
        FileSet::RustupInit(host) => {
            let mut rustup = source.fetch_rustup(&BTreeSet::from([host.clone()])).await?;
            let Some(mut installer) = rustup.installers.remove(host) else { return Ok(UpstreamState::Absent) };
            let (leader, sha256) = (file_set.primary(), installer.sha256);
            let is_here = known.contains(&sha256);
            if is_here && local.release.as_deref() == Some(&rustup.release.1[..]) {
                return Ok(UpstreamState::Unchanged(Some(sha256)));
            }
            let beside = digest_path(&leader);
            let digest = installer.texts.remove(&beside);
            let texts = Texts::from_iter([rustup.release].into_iter().chain(digest.map(|digest| (beside, digest))));
            Ok(UpstreamState::Changed {
                texts,
                installer: (!is_here).then_some((leader, sha256)),
                sha256: Some(sha256),
            })
        }
        FileSet::ArchivedRustupInit(..) => {
            let leader = file_set.primary();
            let beside = digest_path(&leader);
            let Some(digest) = source.fetch_text(&beside, MAX_DIGEST_FILE).await? else {
                return Ok(UpstreamState::Absent);
            };
            let what = || Error::Inconsistent { what: format!("`{beside}` does not begin with a SHA-256") };
            let sha256 = parse_sha256(&digest).ok_or_else(what)?;
            let texts = Texts::from([(beside.clone(), digest)]);
            Ok(UpstreamState::Changed { texts, installer: Some((leader, sha256)), sha256: Some(sha256) })
        }
    }
}

async fn channel_state(
    source: &DistClient,
    file_set: &FileSet,
    toolchain: &ToolchainName,
    known: &[Sha256],
) -> Result<UpstreamState, Error> {
    let leader = file_set.primary();
    if !known.is_empty() {
        let (_, sha256) = source.fetch_manifest_digest(toolchain, &leader).await?;
        if known.contains(&sha256) {
            return Ok(UpstreamState::Unchanged(Some(sha256)));
        }
    }
    let (_, texts) = source.fetch_manifest(toolchain, &leader).await?;
    let sha256 = texts.get(&leader).map(|text| Sha256::of(text));
    Ok(UpstreamState::Changed { texts, installer: None, sha256 })
}

/// The manifests of that date that may name a component, likeliest first: the release in its name, then all channels.
pub(super) fn candidate_manifests(release: Option<&str>, date: Date) -> Vec<FileSet> {
    let of_release = release.and_then(|release| release.parse::<ToolchainName>().ok());
    let of_release = of_release.filter(|toolchain| toolchain.date().is_none());
    let channel = of_release.as_ref().map(|toolchain| toolchain.channel().to_string());
    let terms = channel.iter().map(String::as_str).chain(["stable", "beta", "nightly"]);
    let mut units: Vec<FileSet> = Vec::new();
    for toolchain in terms.filter_map(|word| word.parse().ok()).chain(of_release) {
        let unit = FileSet::dated(toolchain, date);
        if !units.contains(&unit) {
            units.push(unit);
        }
    }
    units
}

/// The HTTP error behind an error of the dist client.
fn http_error(error: &Error) -> Option<&http::Error> {
    match error {
        Error::Network { source, .. } => Some(source),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_in_a_file_name_orders_the_candidate_manifests() {
        let date: Date = "2026-04-16".parse().expect("a day");
        let names = |release| {
            let units = candidate_manifests(release, date);
            units
                .iter()
                .map(|unit| unit.primary().as_str().replace("dist/2026-04-16/channel-rust-", ""))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(Some("1.95.0")), ["stable.toml", "beta.toml", "nightly.toml", "1.95.0.toml"]);
        assert_eq!(names(Some("nightly")), ["nightly.toml", "stable.toml", "beta.toml"]);
        assert_eq!(names(Some("9x")), ["stable.toml", "beta.toml", "nightly.toml"]);
        assert_eq!(names(None), ["stable.toml", "beta.toml", "nightly.toml"]);
    }
}
