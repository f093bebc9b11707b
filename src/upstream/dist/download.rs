//! Large files: from the cache, otherwise from upstream. Each file is hashed, and an interrupted download is resumed.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use tokio::task::JoinSet;

use crate::digest::Sha256;
use crate::event::{self, Event, Phase, Sink};
use crate::http::{self, Request};
use crate::mirror_file::FileSource;
use crate::safe_path::SafePath;
use crate::upstream::file_batch::{UnavailableFiles, download_all, find_cached};

use super::dist_cache::DistCache;
use super::{DistDownloader, DownloadPlan, Error};

/// Maximum size of a file in bytes. The largest of upstream has about 300 MB.
pub const MAX_DIST_FILE: u64 = 4 * 1024 * 1024 * 1024;

/// Maximum number of concurrent downloads: the files are large, and a disk writes a few of them fastest.
const MAX_CONCURRENT_DOWNLOADS: usize = 8;

/// The files to download: one path for each digest.
type MissingFiles = BTreeMap<Sha256, SafePath>;

/// The cached files: the size of each digest.
type FileSizes = BTreeMap<Sha256, u64>;

impl DistDownloader {
    /// Downloads the files of `plan` that have no bytes and that `wanted` selects, or takes them from the cache. Sets
    /// their content and their size. A file with several paths is downloaded once.
    ///
    /// # Errors
    ///
    /// All files that upstream refuses are collected; the first failure of the network or the disk stops the downloads.
    /// Received bytes are kept, and the next call resumes.
    pub async fn fetch(
        &self,
        plan: &mut DownloadPlan,
        wanted: &(dyn Fn(&SafePath, &Sha256) -> bool + Sync),
    ) -> Result<(), Error> {
        match self.fetch_available(plan, wanted).await? {
            none if none.is_empty() => Ok(()),
            unavailable => Err(Error::Unavailable(unavailable)),
        }
    }

    /// Likewise, but a file that upstream refuses is not an error: it has no bytes in `plan` afterwards. For a file
    /// with several paths, the first path is requested.
    pub async fn fetch_available(
        &self,
        plan: &mut DownloadPlan,
        wanted: &(dyn Fn(&SafePath, &Sha256) -> bool + Sync),
    ) -> Result<UnavailableFiles<SafePath>, Error> {
        let mut unavailable = UnavailableFiles::default();
        let mut missing = MissingFiles::new();
        for (path, needed) in &plan.files {
            if needed.bytes.is_none() && wanted(path, &needed.sha256) {
                missing.entry(needed.sha256).or_insert_with(|| path.clone());
            }
        }
        if missing.is_empty() {
            return Ok(unavailable);
        }
        let store = DistCache::open(&self.cache, &self.server_url)?;
        let mut sizes = find_files(&store, &missing).await?;
        self.report_reused(&missing, &sizes);
        missing.retain(|digest, _| !sizes.contains_key(digest));
        if !missing.is_empty() {
            if self.offline {
                return Err(Error::Offline { paths: missing.into_values().collect() });
            }
            let guard = store.lock(self.verb, &*self.sink).await?;
            // The previous holder of the lock may have downloaded the same files.
            let cached = find_files(&store, &missing).await?;
            self.report_reused(&missing, &cached);
            sizes.extend(cached);
            missing.retain(|digest, _| !sizes.contains_key(digest));
            let (downloaded, refused_files) = self.download_missing(&store, plan, missing).await?;
            sizes.extend(downloaded);
            unavailable = refused_files;
            drop(guard);
        }
        for needed in plan.files.values_mut().filter(|needed| needed.bytes.is_none()) {
            if let Some(size) = sizes.get(&needed.sha256) {
                needed.bytes = Some(FileSource::File(store.path(needed.sha256)));
                needed.size = Some(*size);
            }
        }
        Ok(unavailable)
    }

    /// Looks up the sizes of the files of `plan` that have neither bytes nor a size and that `wanted` selects: in the
    /// cache, otherwise from upstream. Downloads nothing. Some sizes may stay unknown.
    pub async fn fill_sizes(
        &self,
        plan: &mut DownloadPlan,
        wanted: &(dyn Fn(&SafePath, &Sha256) -> bool + Sync),
    ) -> Result<(), Error> {
        let store = DistCache::open(&self.cache, &self.server_url)?;
        let unknown = plan.files.iter().filter(|(path, needed)| needed.size.is_none() && wanted(path, &needed.sha256));
        let mut unknown: MissingFiles = unknown.map(|(path, needed)| (needed.sha256, path.clone())).collect();
        let mut sizes = find_files(&store, &unknown).await?;
        unknown.retain(|digest, _| !sizes.contains_key(digest));
        if !self.offline {
            sizes.extend(self.content_lengths(&unknown).await);
        }
        for needed in plan.files.values_mut().filter(|needed| needed.size.is_none()) {
            needed.size = sizes.get(&needed.sha256).copied();
        }
        Ok(())
    }

    /// Whether a file with this digest is cached.
    pub fn is_cached(&self, sha256: &Sha256) -> bool {
        self.cache.join("dist").join(sha256.to_string()).is_file()
    }

    fn report_reused(&self, wanted: &MissingFiles, cached: &FileSizes) {
        for path in wanted.iter().filter(|(digest, _)| cached.contains_key(*digest)).map(|(_, path)| path) {
            self.sink.detail("Reused", format!("{path} from the download cache"));
        }
    }

    async fn download_missing(
        &self,
        store: &DistCache,
        plan: &DownloadPlan,
        missing: MissingFiles,
    ) -> Result<(FileSizes, UnavailableFiles<SafePath>), Error> {
        if missing.is_empty() {
            return Ok((FileSizes::new(), UnavailableFiles::default()));
        }
        let phase = Phase::Downloading;
        // All sizes must be known in advance for a useful time estimate.
        let known = plan.files.values().filter_map(|needed| Some((needed.sha256, needed.size?)));
        let mut sizes: FileSizes = known.filter(|(digest, _)| missing.contains_key(digest)).collect();
        let unknown = missing.iter().filter(|(digest, _)| !sizes.contains_key(digest));
        let unknown = unknown.map(|(digest, path)| (*digest, path.clone())).collect();
        sizes.extend(self.content_lengths(&unknown).await);
        let bytes = if sizes.len() == missing.len() { sizes.values().sum() } else { 0 };
        self.sink.event(Event::Begin { phase, items: missing.len() as u64, bytes });
        let downloaded = self.download_all(store, missing).await;
        self.sink.event(Event::End { phase });
        downloaded
    }

    async fn download_all(
        &self,
        store: &DistCache,
        missing: MissingFiles,
    ) -> Result<(FileSizes, UnavailableFiles<SafePath>), Error> {
        // Separate tasks, because hashing uses a processor. Dropping their sets stops them.
        let download = |path: SafePath, digest| {
            let (dist, store) = (self.clone(), store.clone());
            let mut task = JoinSet::new();
            task.spawn(async move { dist.download_file(&store, digest, &path).await });
            async move {
                match task.join_next().await {
                    Some(Ok(outcome)) => outcome,
                    Some(Err(ended)) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
                    Some(Err(_)) | None => {
                        Err(Error::Cache { path: "dist".into(), source: io::ErrorKind::Other.into() })
                    }
                }
            }
        };
        let http_error = |path, error| match error {
            http::Error::Io { path, source } => Error::Cache { path, source },
            source => Error::Network { path, source: Box::new(source) },
        };
        let missing = missing.into_iter().map(|(digest, path)| (path, digest));
        let (files, unavailable) = download_all(missing, self.max_concurrent(), download, http_error).await?;
        Ok((files.into_iter().map(|(_, digest, size)| (digest, size)).collect(), unavailable))
    }

    /// Downloads one file; it is complete and stored when this returns.
    async fn download_file(
        &self,
        store: &DistCache,
        digest: Sha256,
        path: &SafePath,
    ) -> Result<Result<u64, http::Error>, Error> {
        let phase = Phase::Downloading;
        let sink: Arc<dyn Sink> = Arc::clone(&self.sink);
        let progress = |bytes| sink.event(Event::Advance { phase, items: 0, bytes });
        let url = self.dist_client().url(path);
        sink.detail("Downloading", path.to_string());
        let resumed =
            self.client.download(&Request::new(&url), &store.part_path(digest), digest, MAX_DIST_FILE, &progress).await;
        let size = match resumed {
            Ok(size) => size,
            Err(error) => return Ok(Err(error)),
        };
        store.promote_part(digest)?;
        sink.detail("Downloaded", format!("{path} ({})", event::format_size(size)));
        self.sink.event(Event::Advance { phase, items: 1, bytes: 0 });
        Ok(Ok(size))
    }

    /// The sizes of the files, as far as upstream states them. If upstream does not answer, the files are requested
    /// anyway.
    async fn content_lengths(&self, wanted: &MissingFiles) -> FileSizes {
        let requests = stream::iter(wanted.clone()).map(|(digest, path)| async move {
            let url = self.dist_client().url(&path);
            let length = self.client.length(&Request::new(&url)).await;
            Some((digest, length.ok()??))
        });
        requests.buffer_unordered(self.max_concurrent()).filter_map(async |length| length).collect().await
    }

    fn max_concurrent(&self) -> usize {
        self.jobs.clamp(1, MAX_CONCURRENT_DOWNLOADS)
    }
}

/// The cached files, hashed on blocking threads.
async fn find_files(store: &DistCache, wanted: &MissingFiles) -> Result<FileSizes, Error> {
    let store = store.clone();
    let look_up = move |digest| Ok(store.verified_size(digest)?.map(|size| (digest, size)));
    Ok(find_cached(wanted.keys().copied(), look_up).await?.into_iter().collect())
}
