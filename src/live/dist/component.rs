//! Components: files that a stored manifest names, downloaded from upstream for all waiting clients and stored in the
//! mirror.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::super::crate_downloads::FetchOutcome;
use super::super::download::{DownloadSpec, DownloadWriter, SharedDownload};
use super::super::error::LiveError;
use super::super::store_worker::StoreJob;
use super::super::{ActiveState, LiveMirror};
use super::sync;
use crate::digest::Sha256;
use crate::safe_path::SafePath;
use crate::toolchain::{Date, DistPath};

impl LiveMirror {
    /// The digest that a manifest states for a component. If no stored manifest names it, the manifests of its date are
    /// fetched.
    pub(super) async fn component_digest(
        self: &Arc<Self>,
        running: &Arc<ActiveState>,
        path: &SafePath,
        date: Date,
    ) -> Result<Sha256, LiveError> {
        let unnamed = || LiveError::not_found(format!("no channel manifest names {path}"));
        if running.dist.is_known_absent(path) {
            return Err(unnamed());
        }
        if let Some(sha256) = self.stored_component_digest(running, path).await? {
            return Ok(sha256);
        }
        let release = match DistPath::parse(path) {
            Some(DistPath::Component { release, .. }) => Some(release),
            _ => None,
        };
        let mut first_error = None;
        for unit in sync::candidate_manifests(release, date) {
            let leader = unit.primary();
            if running.dist.is_known_absent(&leader) || self.is_stored(&leader).await {
                continue;
            }
            match self.fetch_file_set(running, &unit, &leader).await {
                Ok(()) => {}
                Err(refusal) if refusal.is_not_found() => continue,
                // A failure with another channel's manifest does not affect this one's.
                Err(refusal) => {
                    first_error.get_or_insert(refusal);
                    continue;
                }
            }
            if let Some(sha256) = self.stored_component_digest(running, path).await? {
                return Ok(sha256);
            }
        }
        if let Some(refusal) = first_error {
            return Err(refusal);
        }
        running.dist.record_absent(path.clone(), running.settings.proxy_ttl);
        Err(unnamed())
    }

    async fn stored_component_digest(
        &self,
        running: &Arc<ActiveState>,
        path: &SafePath,
    ) -> Result<Option<Sha256>, LiveError> {
        // One at a time, and not on the threads that read files for other requests: clients choose the names.
        let permit = Arc::clone(&running.dist.manifest_permit).acquire_owned().await;
        let (running, root, wanted) = (Arc::clone(running), self.context.mirror.root().to_owned(), path.clone());
        let read = tokio::task::spawn_blocking(move || {
            // Held even if the client has disconnected.
            let _turn = permit;
            running.dist.manifests.digest_of(&root, &wanted)
        });
        let read = read.await.map_err(std::io::Error::other).and_then(|read| read);
        read.map_err(|error| LiveError::bad_gateway(format!("the manifests of this mirror cannot be read: {error}")))
    }

    /// Starts the download of a component, unless it is running.
    pub(super) fn start_component_download(
        self: &Arc<Self>,
        running: &Arc<ActiveState>,
        path: &SafePath,
        sha256: Sha256,
    ) -> FetchOutcome {
        let mut flights = running.dist.downloads();
        if let Some(shared_download) = flights.get(path).filter(|shared_download| !shared_download.is_aborted()) {
            return FetchOutcome::Downloading(shared_download.for_client());
        }
        // A download is removed from the table after its file is stored.
        if path.below(self.context.mirror.root()).is_file() {
            return FetchOutcome::Stored;
        }
        let (shared_download, download_writer) = SharedDownload::create(self.context.mirror.clone());
        let handle = shared_download.for_client();
        flights.insert(path.clone(), shared_download);
        drop(flights);
        tokio::spawn(Arc::clone(self).run_component_download(
            Arc::clone(running),
            download_writer,
            path.clone(),
            sha256,
        ));
        FetchOutcome::Downloading(handle)
    }

    async fn run_component_download(
        self: Arc<Self>,
        running: Arc<ActiveState>,
        writer: DownloadWriter,
        path: SafePath,
        sha256: Sha256,
    ) {
        let upstreams = &running.upstreams;
        let spec = DownloadSpec::of_dist_file(&upstreams.dist_url, &path, sha256);
        self.metrics.fetches.fetch_add(1, Relaxed);
        let read = self.context.now();
        match writer.run(&upstreams.client, &upstreams.dist_breaker, &spec).await {
            Ok(landed) => {
                self.metrics.fetched_bytes.fetch_add(landed.size, Relaxed);
                let (running, own) = (Arc::clone(&running), path.clone());
                let done = Box::new(move |_placed| {
                    running.dist.downloads().remove(&own);
                });
                self.store_worker.enqueue(StoreJob::DistFiles(vec![(path, sha256, read, landed)]), done);
            }
            Err(refusal) => {
                if refusal.is_not_found() {
                    running.dist.record_absent(path.clone(), running.settings.proxy_ttl);
                }
                running.dist.downloads().remove(&path);
                self.report_failed_fetch(path.as_str(), &refusal);
            }
        }
    }
}

/// The date of a path that a manifest may name: an archive in the folder of a date.
pub(super) fn component_date(path: &SafePath) -> Option<Date> {
    let parts: Vec<&str> = path.components().collect();
    let ["dist", day, file] = parts.as_slice() else { return None };
    let is_archive = [".tar.xz", ".tar.gz", ".tar.zst"].iter().any(|end| file.ends_with(end));
    day.parse().ok().filter(|_| is_archive)
}
