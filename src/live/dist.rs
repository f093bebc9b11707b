//! Toolchains and rustup: files that change upstream, and files that a manifest names.
//!
//! | module | purpose |
//! |---|---|
//! | `file_set` | files that are only useful together |
//! | `sync` | copies a file set from upstream into the mirror |
//! | `component` | a file that a stored manifest names |
//! | `manifest_index` | the files that manifests name |
//! | `freshness` | what is fresh, absent, or being fetched |
//!
//! rustup requests a manifest's `.sha256` first, and then the manifest: both are stored, and replaced, together.
//! Components are only fetched if a stored manifest names them.

mod sync;
mod component;
mod manifest_index;
mod freshness;
mod file_set;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::crate_downloads::FetchOutcome;
use super::error::LiveError;
use super::{ActiveState, LiveMirror};
use crate::safe_path::SafePath;
use component::component_date;
use file_set::FileSet;
use freshness::UpstreamUnavailable;

pub(super) use freshness::DistState;

/// How long a client waits for upstream if an older copy is stored.
const TIMEOUT_WITH_COPY: Duration = Duration::from_secs(4);
/// How long it waits otherwise. Cargo gives up after 30 seconds without a byte, rustup later.
const TIMEOUT: Duration = Duration::from_secs(25);

/// Whether the file changes upstream: the manifest of a channel without a date, the current rustup, and the files that
/// belong to either.
pub fn is_mutable_path(path: &SafePath) -> bool {
    FileSet::of(path).is_some_and(|unit| unit.is_mutable())
}

impl LiveMirror {
    /// Checks upstream for a changed file unless the last check is recent. If upstream is slow or does not answer, the
    /// stored copy remains.
    pub async fn refresh_dist_file(self: &Arc<Self>, path: &SafePath) {
        let Some(file_set) = FileSet::of(path).filter(FileSet::is_mutable) else { return };
        let Some(Ok(running)) = self.active() else { return };
        let stale = match running.dist.needs_refresh(&file_set, path) {
            Ok(false) => false,
            Err(UpstreamUnavailable) => true,
            // A file that is not stored is fetched as a miss.
            Ok(true) if !self.is_stored(path).await => return,
            Ok(true) => match tokio::time::timeout(TIMEOUT_WITH_COPY, self.join_sync(&running, &file_set, false)).await
            {
                Ok(Ok(())) => false,
                // A file that upstream lacks or removed stays as it is.
                Ok(Err(refusal)) if refusal.is_not_found() => {
                    running.dist.record_fresh(&file_set, running.settings.proxy_ttl, None);
                    false
                }
                Ok(Err(_)) | Err(_) => {
                    running.dist.record_stale(&file_set);
                    true
                }
            },
        };
        running.dist.record_served(&file_set, path);
        if stale {
            self.metrics.stale_responses.fetch_add(1, Relaxed);
        }
    }

    /// Fetches a missing file below dist/ or rustup/; `None` if live mode is off, and for a path that upstream cannot
    /// have.
    pub async fn fetch_dist_file(self: &Arc<Self>, path: &SafePath) -> Option<FetchOutcome> {
        let running = match self.active()? {
            Ok(running) => running,
            Err(refusal) => return Some(FetchOutcome::Failed(refusal)),
        };
        if let Some(unit) = FileSet::of(path) {
            self.metrics.misses.fetch_add(1, Relaxed);
            return Some(match self.fetch_file_set(&running, &unit, path).await {
                Ok(()) => FetchOutcome::Stored,
                Err(refusal) => FetchOutcome::Failed(refusal),
            });
        }
        let date = component_date(path)?;
        self.metrics.misses.fetch_add(1, Relaxed);
        if let Some(download) = running.dist.downloads().get(path).filter(|download| !download.is_aborted()) {
            return Some(FetchOutcome::Downloading(download.clone()));
        }
        // Several manifests may be fetched, one after the other.
        Some(match tokio::time::timeout(TIMEOUT, self.component_digest(&running, path, date)).await {
            Ok(Ok(sha256)) => self.start_component_download(&running, path, sha256),
            Ok(Err(refusal)) => FetchOutcome::Failed(refusal),
            Err(_) => {
                let text = format!("upstream has not sent the channel manifests that may list {path} yet; try again");
                FetchOutcome::Failed(LiveError::unavailable(text, Duration::from_secs(2)))
            }
        })
    }

    async fn fetch_file_set(
        self: &Arc<Self>,
        running: &Arc<ActiveState>,
        file_set: &FileSet,
        path: &SafePath,
    ) -> Result<(), LiveError> {
        let absent = || LiveError::not_found(format!("upstream does not have {path}"));
        let toolchains = &running.dist;
        if toolchains.is_known_absent(&file_set.primary()) || toolchains.is_known_absent(path) {
            return Err(absent());
        }
        // If only a signature is missing, upstream's manifest is fetched too: only the two together show whether it
        // matches.
        let force = file_set.is_signature(path);
        match tokio::time::timeout(TIMEOUT, self.join_sync(running, file_set, force)).await {
            Ok(added) => added?,
            Err(_) => {
                let text = format!("upstream has not sent {path} yet; it is still being fetched, so try again");
                return Err(LiveError::unavailable(text, Duration::from_secs(2)));
            }
        }
        if self.is_stored(path).await {
            toolchains.record_served(file_set, path);
            return Ok(());
        }
        toolchains.record_absent(path.clone(), running.settings.proxy_ttl);
        Err(absent())
    }

    /// Syncs a file set, once for all clients that request it.
    async fn join_sync(
        self: &Arc<Self>,
        running: &Arc<ActiveState>,
        file_set: &FileSet,
        force: bool,
    ) -> Result<(), LiveError> {
        if file_set.has_impossible_date(self.context.now()) {
            return Err(LiveError::not_found(format!("no toolchain can have the date of {file_set}")));
        }
        let begin = || {
            // A separate task: the client may disconnect.
            let task = tokio::spawn(Arc::clone(self).run_sync(Arc::clone(running), file_set.clone(), force));
            let (running, unit) = (Arc::clone(running), file_set.clone());
            let ended = move |ended: Result<_, _>| {
                ended.unwrap_or_else(|_| {
                    running.dist.remove_pending(&unit, force);
                    Err(LiveError::bad_gateway(format!("the request for {unit} was cancelled")))
                })
            };
            task.map(ended).boxed().shared()
        };
        running.dist.join_pending(file_set, force, begin).await
    }

    async fn run_sync(
        self: Arc<Self>,
        running: Arc<ActiveState>,
        file_set: FileSet,
        force: bool,
    ) -> Result<(), LiveError> {
        let (toolchains, ttl) = (&running.dist, running.settings.proxy_ttl);
        let added = self.sync(&running, &file_set, toolchains.last_digest(&file_set), force).await;
        let outcome = match added {
            Ok(digest) => {
                if file_set.is_mutable() {
                    toolchains.record_fresh(&file_set, ttl, digest);
                }
                Ok(())
            }
            Err(refusal) => {
                match refusal.is_not_found() {
                    true => toolchains.record_absent(file_set.primary(), ttl),
                    false => self.report_failed_fetch(&file_set.to_string(), &refusal),
                }
                Err(refusal)
            }
        };
        toolchains.remove_pending(&file_set, force);
        outcome
    }

    async fn is_stored(&self, path: &SafePath) -> bool {
        let path = path.below(self.context.mirror.root());
        tokio::task::spawn_blocking(move || path.is_file()).await.unwrap_or(false)
    }
}
