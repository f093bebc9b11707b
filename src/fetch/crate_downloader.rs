//! Downloads crates: from the download cache, from cargo's own cache, otherwise from upstream. Each file is hashed.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::event::{self, Event, Phase, Sink};
use crate::fetch::crate_cache::CrateCache;
use crate::fetch::index_snapshot::{self, IndexSnapshot};
use crate::http::{self, Client, Request, Secret};
use crate::index_line::RegistryConfig;
use crate::process_lock::{LockOwner, ProcessLock};
use crate::upstream::file_batch::{UnavailableFiles, describe_uncached, download_all, find_cached};

/// Maximum size of a `.crate` in bytes. Crates.io allows 10 MB with a few exceptions; private registries have larger
/// ones.
const MAX_CRATE_SIZE: u64 = 4 * 1024 * 1024 * 1024;

/// A downloader of crates. Cheap to clone.
#[derive(Clone)]
pub struct CrateDownloader {
    /// The HTTP client.
    pub client: Client,
    /// The index, which gives the address of a crate.
    pub index: IndexSnapshot,
    /// The download cache.
    pub cache: CrateCache,
    /// Cargo's home, whose cache is read and never written.
    pub cargo_home: Option<PathBuf>,
    /// Maximum number of concurrent downloads.
    pub jobs: usize,
    /// Whether network access is forbidden.
    pub offline: bool,
    /// The verb of this process, for processes that wait for its locks.
    pub verb: &'static str,
    /// Receives progress.
    pub sink: Arc<dyn Sink>,
    /// The digests of the files that this downloader and its clones got from upstream.
    pub downloaded: Arc<Mutex<HashSet<Sha256>>>,
}

/// A crate's file, complete and checked, in the download cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadedCrate {
    /// Its path.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// The source of the file.
    pub origin: FileOrigin,
}

/// The source of a crate's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileOrigin {
    /// The download cache.
    Cache,
    /// Cargo's cache.
    CargoCache,
    /// Upstream, in this run.
    Upstream,
}

/// Why crates could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Upstream lacks files that its index lists, or has other bytes.
    #[error("{}", .0.describe("crate", |id, error| format!("{id}: {error}")))]
    Unavailable(UnavailableFiles<CrateId>),
    /// Upstream could not be reached.
    #[error("could not download {id}")]
    Network {
        /// The first crate that failed.
        id: CrateId,
        /// The cause.
        source: Box<http::Error>,
    },
    /// A local file that upstream's `dl` points to cannot be read.
    #[error("could not read `{}`, which upstream names for {id}", path.display())]
    File {
        /// The crate.
        id: CrateId,
        /// The file.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// The network is forbidden, and the files are not cached.
    #[error("{}", describe_uncached("crate", ids))]
    Offline {
        /// The missing crates.
        ids: Vec<CrateId>,
    },
    /// The index's configuration could not be read.
    #[error(transparent)]
    Index(#[from] Arc<index_snapshot::Error>),
    /// The cache could not be used.
    #[error("could not use the download cache for {id}")]
    Cache {
        /// The crate.
        id: CrateId,
        /// The system error.
        source: io::Error,
    },
}

impl CrateDownloader {
    /// Provides every crate of `wanted` in the cache, with the given digest.
    ///
    /// # Errors
    ///
    /// All crates that upstream refuses are collected; the first failure of the network or the disk stops the
    /// downloads.
    pub async fn fetch(&self, wanted: &BTreeMap<CrateId, Sha256>) -> Result<BTreeMap<CrateId, DownloadedCrate>, Error> {
        let mut found = self.find_local(wanted).await?;
        let missing = wanted.iter().filter(|(id, _)| !found.contains_key(*id));
        let missing: Vec<(CrateId, Sha256)> = missing.map(|(id, digest)| (id.clone(), *digest)).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        if self.offline {
            let ids = missing.into_iter().map(|(id, _)| id).collect();
            return Err(Error::Offline { ids });
        }
        let site =
            DownloadEndpoint { registry_config: self.index.config().await?, token: self.index.download_token().await? };
        let phase = Phase::Downloading;
        self.sink.event(Event::Begin { phase, items: missing.len() as u64, bytes: 0 });
        let fetched = self.fetch_missing(&site, missing).await;
        self.sink.event(Event::End { phase });
        found.extend(fetched?);
        Ok(found)
    }

    /// The size of a crate in bytes, if it is known, and whether it is cached. Downloads nothing.
    pub async fn estimate_size(&self, id: &CrateId, digest: Sha256) -> Result<(Option<u64>, bool), Error> {
        let wanted = BTreeMap::from([(id.clone(), digest)]);
        if let Some(stored) = self.find_local(&wanted).await?.remove(id) {
            return Ok((Some(stored.size), true));
        }
        if self.offline {
            return Err(Error::Offline { ids: vec![id.clone()] });
        }
        let url = self.index.config().await?.download_url(id, &digest);
        if let Some(path) = file_of(&url) {
            let length = length_of(&path).map_err(|source| Error::File { id: id.clone(), path, source })?;
            return Ok((Some(length), false));
        }
        let token = self.index.download_token().await?;
        let request = Request { authorization: token.as_ref(), ..Request::new(&url) };
        match self.client.length(&request).await {
            Ok(length) => Ok((length, false)),
            Err(source @ http::Error::NotFound { .. }) => {
                Err(Error::Unavailable(UnavailableFiles { absent: vec![(id.clone(), source)], altered: Vec::new() }))
            }
            // Some upstreams do not answer HEAD; the plan then has no size.
            Err(http::Error::Status { .. }) => Ok((None, false)),
            Err(source) => Err(Error::Network { id: id.clone(), source: Box::new(source) }),
        }
    }

    /// Whether the file with this digest came from upstream in this run, rather than from a cache.
    pub fn was_downloaded(&self, digest: Sha256) -> bool {
        self.downloaded.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest)
    }

    /// The cached files, hashed on blocking threads.
    async fn find_local(
        &self,
        wanted: &BTreeMap<CrateId, Sha256>,
    ) -> Result<BTreeMap<CrateId, DownloadedCrate>, Error> {
        let (cache, folders) = (self.cache.clone(), Arc::new(self.cargo_cache_folders()));
        let look_up = move |(id, digest)| match find_local_file(&cache, &folders, &id, digest) {
            Ok(file) => Ok(file.map(|file| (id, file))),
            Err(source) => Err(Error::Cache { id, source }),
        };
        let found = find_cached(wanted.clone(), look_up).await?;
        for (id, file) in &found {
            self.report_reused(id, file);
        }
        Ok(found.into_iter().collect())
    }

    /// `registry/cache/*` of cargo's home: one folder for each registry that cargo has used.
    fn cargo_cache_folders(&self) -> Vec<PathBuf> {
        let cache = self.cargo_home.as_ref().map(|home| home.join("registry/cache"));
        let entries = cache.and_then(|cache| fs::read_dir(cache).ok());
        let folders = entries.into_iter().flatten().flatten();
        folders.map(|entry| entry.path()).collect()
    }

    async fn fetch_missing(
        &self,
        site: &DownloadEndpoint,
        missing: Vec<(CrateId, Sha256)>,
    ) -> Result<Vec<(CrateId, DownloadedCrate)>, Error> {
        let reported = &AtomicBool::new(false);
        let download =
            |id: CrateId, digest| async move { self.download_exclusively(site, &id, digest, reported).await };
        let http_error = |id, error| match error {
            http::Error::Io { source, .. } => Error::Cache { id, source },
            source => Error::Network { id, source: Box::new(source) },
        };
        let (files, unavailable) = download_all(missing, self.jobs, download, http_error).await?;
        match unavailable.is_empty() {
            true => Ok(files.into_iter().map(|(id, _, file)| (id, file)).collect()),
            false => Err(Error::Unavailable(unavailable)),
        }
    }

    /// Downloads a crate, unless another process with this cache downloads it; then waits and takes the file from the
    /// cache.
    async fn download_exclusively(
        &self,
        site: &DownloadEndpoint,
        id: &CrateId,
        digest: Sha256,
        reported: &AtomicBool,
    ) -> Result<Result<DownloadedCrate, http::Error>, Error> {
        let cache_error = |source| Error::Cache { id: id.clone(), source };
        let path = self.cache.lock_path(digest);
        let report = |owner: LockOwner| {
            if owner.is_another() && !reported.swap(true, Ordering::Relaxed) {
                self.sink.status("Blocking", format!("waiting for {owner}, which downloads {id}"));
            }
        };
        // On a file system without locks two processes may download the same file; every file is hashed.
        let lock = ProcessLock::wait(&path, self.verb, report).await.map_err(cache_error)?;
        let _lock = lock.map(|lock| CrateLock { path, _lock: lock });
        match self.cache.verified_size(digest).map_err(cache_error)? {
            Some(size) => {
                self.sink.event(Event::Advance { phase: Phase::Downloading, items: 1, bytes: 0 });
                let cached = DownloadedCrate { path: self.cache.path(digest), size, origin: FileOrigin::Cache };
                self.report_reused(id, &cached);
                Ok(Ok(cached))
            }
            None => {
                self.sink.detail("Downloading", id.to_string());
                let outcome = self.download(site, id, digest).await?;
                if let Ok(downloaded) = &outcome {
                    self.downloaded.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
                    self.sink.detail("Downloaded", format!("{id} ({})", event::format_size(downloaded.size)));
                }
                Ok(outcome)
            }
        }
    }

    async fn download(
        &self,
        site: &DownloadEndpoint,
        id: &CrateId,
        digest: Sha256,
    ) -> Result<Result<DownloadedCrate, http::Error>, Error> {
        let cache_error = |source| Error::Cache { id: id.clone(), source };
        let phase = Phase::Downloading;
        let url = site.registry_config.download_url(id, &digest);
        if let Some(path) = file_of(&url) {
            return self.copy(id, path, url, digest).await;
        }
        let request = Request { authorization: site.token.as_ref(), ..Request::new(&url) };
        let partial = self.cache.new_partial_file().map_err(cache_error)?;
        let progress = |bytes| {
            self.sink.event(Event::Advance { phase, items: 0, bytes });
        };
        let size = match self.client.download(&request, partial.path(), digest, MAX_CRATE_SIZE, &progress).await {
            Ok(size) => size,
            Err(error) => return Ok(Err(error)),
        };
        let path = self.cache.insert(partial, digest).map_err(cache_error)?;
        self.sink.event(Event::Advance { phase, items: 1, bytes: 0 });
        Ok(Ok(DownloadedCrate { path, size, origin: FileOrigin::Upstream }))
    }
}

impl CrateDownloader {
    fn report_reused(&self, id: &CrateId, file: &DownloadedCrate) {
        let from = match file.origin {
            FileOrigin::Cache => "from the download cache",
            FileOrigin::CargoCache => "from cargo's cache",
            FileOrigin::Upstream => return,
        };
        self.sink.detail("Reused", format!("{id} {from}"));
    }

    /// A crate from a `dl` that points to local files, as in cargo.
    async fn copy(
        &self,
        id: &CrateId,
        path: PathBuf,
        url: String,
        digest: Sha256,
    ) -> Result<Result<DownloadedCrate, http::Error>, Error> {
        let (cache, owned_id) = (self.cache.clone(), id.clone());
        let copying = tokio::task::spawn_blocking(move || {
            let id = owned_id;
            let unreadable = |source| Error::File { id: id.clone(), path: path.clone(), source };
            length_of(&path).map_err(unreadable)?;
            match cache.import_copy(&path, digest).map_err(|source| Error::Cache { id: id.clone(), source })? {
                Some(size) => Ok::<_, Error>(Ok(size)),
                None => {
                    let (actual, _) = Sha256::of_file(&path).map_err(unreadable)?;
                    Ok(Err(http::Error::Checksum { url, expected: digest, actual }))
                }
            }
        });
        let copied =
            copying.await.map_err(|error| Error::Cache { id: id.clone(), source: io::Error::other(error) })??;
        Ok(copied.map(|size| {
            self.sink.event(Event::Advance { phase: Phase::Downloading, items: 1, bytes: size });
            DownloadedCrate { path: self.cache.path(digest), size, origin: FileOrigin::Upstream }
        }))
    }
}

/// The local file of an address, if it points to one.
fn file_of(url: &str) -> Option<PathBuf> {
    reqwest::Url::parse(url).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
}

/// The size of a file that may be a crate. Anything but a regular file, such as a pipe, is not opened.
fn length_of(path: &Path) -> io::Result<u64> {
    let about = fs::metadata(path)?;
    match about.is_file() && about.len() <= MAX_CRATE_SIZE {
        true => Ok(about.len()),
        false => Err(io::Error::other("it is not a regular file of a valid size")),
    }
}

/// The lock on one crate; its file is removed with it.
struct CrateLock {
    path: PathBuf,
    _lock: ProcessLock,
}

impl Drop for CrateLock {
    fn drop(&mut self) {
        // The lock is still held. A file that remains is removed by the next process.
        let _stays = fs::remove_file(&self.path).is_err();
    }
}

struct DownloadEndpoint {
    registry_config: RegistryConfig,
    token: Option<Secret>,
}

fn find_local_file(
    cache: &CrateCache,
    folders: &[PathBuf],
    id: &CrateId,
    digest: Sha256,
) -> io::Result<Option<DownloadedCrate>> {
    let here = |size, from| DownloadedCrate { path: cache.path(digest), size, origin: from };
    if let Some(size) = cache.verified_size(digest)? {
        return Ok(Some(here(size, FileOrigin::Cache)));
    }
    let name = id.file_name();
    let cargo_files = folders.iter().map(|folder: &PathBuf| folder.join(&name));
    for path in cargo_files.filter(|path| Path::is_file(path)) {
        // A crate of that name from another registry, or a damaged one, is skipped.
        if let Some(size) = cache.import_copy(&path, digest)? {
            return Ok(Some(here(size, FileOrigin::CargoCache)));
        }
    }
    Ok(None)
}
