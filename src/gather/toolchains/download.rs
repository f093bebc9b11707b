//! The large files: from the cache, else from upstream; each of them hashed, and gone on with where it was broken off.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use tokio::task::JoinSet;

use crate::digest::Sha256;
use crate::event::{Event, Phase, Sink};
use crate::http::{self, Request};
use crate::mirror_file::FileSource;
use crate::safe_path::SafePath;

use super::dist_cache::DistCache;
use super::{DistDownloader, DownloadPlan, Error};

/// Bytes of the largest file. The largest of upstream's has about 300 MB.
pub const MAX_DIST_FILE: u64 = 4 * 1024 * 1024 * 1024;

/// Files under way at a time at most: they are large, and a disk writes a few of them best.
const MAX_CONCURRENT_DOWNLOADS: usize = 8;

/// What is to be had: one path of each digest.
type MissingFiles = BTreeMap<Sha256, SafePath>;

/// What upstream does not have, or has with other bytes; each with what was answered.
#[derive(Debug, Default)]
pub struct UnavailableFiles {
    /// Not there.
    pub absent: Vec<(SafePath, http::Error)>,
    /// There, with another digest.
    pub altered: Vec<(SafePath, http::Error)>,
}

/// What is here: how many bytes each digest has.
type FileSizes = BTreeMap<Sha256, u64>;

impl DistDownloader {
    /// Downloads, or takes from the cache, what `plan` lacks bytes for and `wanted` says yes to; fills in where the
    /// bytes are, and how many. A file that several paths share is downloaded once.
    ///
    /// # Errors
    ///
    /// What upstream refuses is collected, all of it; the first failure of the network or the disk ends the downloads.
    /// What has come stays, and the next call goes on there.
    pub async fn fetch(
        &self,
        plan: &mut DownloadPlan,
        wanted: &(dyn Fn(&SafePath, &Sha256) -> bool + Sync),
    ) -> Result<(), Error> {
        match self.fetch_available(plan, wanted).await? {
            UnavailableFiles { absent, altered } if absent.is_empty() && altered.is_empty() => Ok(()),
            UnavailableFiles { absent, altered } => Err(Error::Unavailable { absent, altered }),
        }
    }

    /// The same, where what upstream refuses is no reason to fail: it has no bytes in `plan` afterwards. Of a file that
    /// several paths share, the first of them is asked for.
    pub async fn fetch_available(
        &self,
        plan: &mut DownloadPlan,
        wanted: &(dyn Fn(&SafePath, &Sha256) -> bool + Sync),
    ) -> Result<UnavailableFiles, Error> {
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
        let mut sizes = find_cached(&store, &missing).await?;
        missing.retain(|digest, _| !sizes.contains_key(digest));
        if !missing.is_empty() {
            if self.offline {
                return Err(Error::Offline { paths: missing.into_values().collect() });
            }
            let guard = store.lock(&*self.sink).await?;
            // Whoever held the lock may have brought the same files.
            sizes.extend(find_cached(&store, &missing).await?);
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

    /// Asks how long the files are that `plan` has neither bytes nor size for and `wanted` says yes to; in the cache,
    /// else upstream. Downloads nothing. What nobody can tell stays unknown.
    pub async fn fill_sizes(
        &self,
        plan: &mut DownloadPlan,
        wanted: &(dyn Fn(&SafePath, &Sha256) -> bool + Sync),
    ) -> Result<(), Error> {
        let store = DistCache::open(&self.cache, &self.server_url)?;
        let unknown = plan.files.iter().filter(|(path, needed)| needed.size.is_none() && wanted(path, &needed.sha256));
        let mut unknown: MissingFiles = unknown.map(|(path, needed)| (needed.sha256, path.clone())).collect();
        let mut sizes = find_cached(&store, &unknown).await?;
        unknown.retain(|digest, _| !sizes.contains_key(digest));
        if !self.offline {
            sizes.extend(self.content_lengths(&unknown).await);
        }
        for needed in plan.files.values_mut().filter(|needed| needed.size.is_none()) {
            needed.size = sizes.get(&needed.sha256).copied();
        }
        Ok(())
    }

    /// Whether a file with this digest is in the cache.
    pub fn is_cached(&self, sha256: &Sha256) -> bool {
        self.cache.join("dist").join(sha256.to_string()).is_file()
    }

    async fn download_missing(
        &self,
        store: &DistCache,
        plan: &DownloadPlan,
        missing: MissingFiles,
    ) -> Result<(FileSizes, UnavailableFiles), Error> {
        if missing.is_empty() {
            return Ok((FileSizes::new(), UnavailableFiles::default()));
        }
        let phase = Phase::Downloading;
        // Known beforehand for every one, or no estimate of the time is worth its name.
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
    ) -> Result<(FileSizes, UnavailableFiles), Error> {
        let mut waiting = missing.into_iter();
        // Tasks, and not one future for all: hashing takes a processor for itself. Dropping the set ends them.
        let mut running = JoinSet::new();
        let (mut sizes, mut unavailable) = (FileSizes::new(), UnavailableFiles::default());
        loop {
            while running.len() < self.max_concurrent()
                && let Some((digest, path)) = waiting.next()
            {
                let (dist, store) = (self.clone(), store.clone());
                running.spawn(async move {
                    let outcome = dist.download_file(&store, digest, &path).await;
                    (digest, path, outcome)
                });
            }
            let Some(ended) = running.join_next().await else { break };
            let (digest, path, outcome) = match ended {
                Ok(ended) => ended,
                Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
                Err(_) => continue,
            };
            match outcome {
                Ok(Ok(size)) => drop(sizes.insert(digest, size)),
                Ok(Err(source @ http::Error::NotFound { .. })) => unavailable.absent.push((path, source)),
                Ok(Err(source @ http::Error::Checksum { .. })) => unavailable.altered.push((path, source)),
                Ok(Err(http::Error::Io { path, source })) => return Err(Error::Cache { path, source }),
                Ok(Err(source)) => return Err(Error::Network { path, source: Box::new(source) }),
                Err(error) => return Err(error),
            }
        }
        unavailable.absent.sort_by(|(one, _), (other, _)| one.cmp(other));
        unavailable.altered.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok((sizes, unavailable))
    }

    /// One file, whole and under its name when this returns.
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
        let resumed =
            self.client.resume(&Request::new(&url), &store.part_path(digest), digest, MAX_DIST_FILE, &progress).await;
        let size = match resumed {
            Ok(size) => size,
            Err(error) => return Ok(Err(error)),
        };
        store.promote_part(digest)?;
        self.sink.event(Event::Advance { phase, items: 1, bytes: 0 });
        Ok(Ok(size))
    }

    /// How long the files are, as far as upstream says. Whoever does not answer this is asked for the files all the same.
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

/// What is here already, hashed on threads that may block.
async fn find_cached(store: &DistCache, wanted: &MissingFiles) -> Result<FileSizes, Error> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let digests: Vec<Sha256> = wanted.keys().copied().collect();
    let looked = stream::iter(digests).map(|digest| {
        let store = store.clone();
        async move {
            let held = tokio::task::spawn_blocking(move || store.verified_size(digest)).await;
            let ended =
                |ended| Error::Cache { path: "dist".into(), source: io::Error::other::<tokio::task::JoinError>(ended) };
            held.map_err(ended)?.map(|size| size.map(|size| (digest, size)))
        }
    });
    let mut looked = looked.buffer_unordered(threads);
    let mut held = FileSizes::new();
    while let Some(found) = looked.next().await {
        held.extend(found?);
    }
    Ok(held)
}
