//! Downloads crates: from the download cache, from cargo's own cache, otherwise from upstream. Each file is hashed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::stream::{self, StreamExt as _};

use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::event::{self, Event, Phase, Sink};
use crate::fetch::crate_cache::CrateCache;
use crate::fetch::index_snapshot::{self, IndexSnapshot};
use crate::http::{self, Client, Request, Secret};
use crate::index_line::RegistryConfig;
use crate::process_lock::{LOCK_POLL_INTERVAL, ProcessLock, REPORT_WAIT_AFTER};
use crate::units::pluralize;

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
    #[error("{}", list_failures(absent, altered))]
    Unavailable {
        /// Crates that the index lists and upstream lacks.
        absent: Vec<(CrateId, http::Error)>,
        /// Crates whose digest differs from the index.
        altered: Vec<(CrateId, http::Error)>,
    },
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
    #[error("{} not in the cache, and network access is forbidden:\n{}", count_crates_are(ids), join_names(ids))]
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
        let missing: Vec<(&CrateId, Sha256)> =
            wanted.iter().filter(|(id, _)| !found.contains_key(*id)).map(|(id, digest)| (id, *digest)).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        if self.offline {
            let ids = missing.into_iter().map(|(id, _)| id.clone()).collect();
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
                Err(Error::Unavailable { absent: vec![(id.clone(), source)], altered: Vec::new() })
            }
            // Some upstreams do not answer HEAD; the plan then has no size.
            Err(http::Error::Status { .. }) => Ok((None, false)),
            Err(source) => Err(Error::Network { id: id.clone(), source: Box::new(source) }),
        }
    }

    /// The cached files, hashed on blocking threads.
    async fn find_local(
        &self,
        wanted: &BTreeMap<CrateId, Sha256>,
    ) -> Result<BTreeMap<CrateId, DownloadedCrate>, Error> {
        let folders = Arc::new(self.cargo_cache_folders());
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let looked = stream::iter(wanted.clone()).map(|(id, digest)| {
            let cache = self.cache.clone();
            let folders = Arc::clone(&folders);
            tokio::task::spawn_blocking(move || {
                let found = find_local_file(&cache, &folders, &id, digest);
                (id, found)
            })
        });
        let mut looked = looked.buffer_unordered(threads);
        let mut found_files = BTreeMap::new();
        while let Some(found) = looked.next().await {
            // A cancelled task has no result.
            let Ok((id, found)) = found else { continue };
            match found {
                Ok(Some(downloaded)) => {
                    self.report_reused(&id, &downloaded);
                    found_files.insert(id, downloaded)
                }
                Ok(None) => None,
                Err(source) => return Err(Error::Cache { id, source }),
            };
        }
        Ok(found_files)
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
        missing: Vec<(&CrateId, Sha256)>,
    ) -> Result<Vec<(CrateId, DownloadedCrate)>, Error> {
        let reported = &AtomicBool::new(false);
        let downloads = stream::iter(missing).map(|(id, digest)| async move {
            let outcome = self.download_exclusively(site, id, digest, reported).await;
            (id, outcome)
        });
        let mut downloads = downloads.buffer_unordered(self.jobs.max(1));
        let mut completed = Vec::new();
        let (mut absent, mut altered) = (Vec::new(), Vec::new());
        // Leaving this loop early drops the stream, which stops every download and removes its partial file.
        while let Some((id, outcome)) = downloads.next().await {
            match outcome {
                Ok(downloaded) => completed.push((id.clone(), downloaded)),
                Err(DownloadError::Http(source @ http::Error::NotFound { .. })) => absent.push((id.clone(), source)),
                Err(DownloadError::Http(source @ http::Error::Checksum { .. })) => altered.push((id.clone(), source)),
                Err(DownloadError::Http(http::Error::Io { source, .. }) | DownloadError::Io(source)) => {
                    let id = id.clone();
                    return Err(Error::Cache { id, source });
                }
                Err(DownloadError::File { path, source }) => return Err(Error::File { id: id.clone(), path, source }),
                Err(DownloadError::Http(source)) => {
                    let id = id.clone();
                    return Err(Error::Network { id, source: Box::new(source) });
                }
            }
        }
        if absent.is_empty() && altered.is_empty() {
            Ok(completed)
        } else {
            Err(Error::Unavailable { absent, altered })
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
    ) -> Result<DownloadedCrate, DownloadError> {
        let path = self.cache.lock_path(digest);
        let started = Instant::now();
        let _lock = loop {
            match ProcessLock::try_lock(&path, self.verb) {
                Ok(Ok(lock)) => break Some(CrateLock { path, _lock: lock }),
                // On a file system without locks two processes may download the same file; every file is hashed.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => break None,
                Err(error) => return Err(DownloadError::Io(error)),
                Ok(Err(owner)) => {
                    let report = started.elapsed() >= REPORT_WAIT_AFTER && owner.is_another();
                    if report && !reported.swap(true, Ordering::Relaxed) {
                        self.sink.status("Blocking", format!("waiting for {owner}, which downloads {id}"));
                    }
                    tokio::time::sleep(LOCK_POLL_INTERVAL).await;
                }
            }
        };
        match self.cache.verified_size(digest).map_err(DownloadError::Io)? {
            Some(size) => {
                self.sink.event(Event::Advance { phase: Phase::Downloading, items: 1, bytes: 0 });
                let cached = DownloadedCrate { path: self.cache.path(digest), size, origin: FileOrigin::Cache };
                self.report_reused(id, &cached);
                Ok(cached)
            }
            None => {
                self.sink.detail("Downloading", id.to_string());
                let downloaded = self.download(site, id, digest).await?;
                self.sink.detail("Downloaded", format!("{id} ({})", event::format_size(downloaded.size)));
                Ok(downloaded)
            }
        }
    }

    async fn download(
        &self,
        site: &DownloadEndpoint,
        id: &CrateId,
        digest: Sha256,
    ) -> Result<DownloadedCrate, DownloadError> {
        let phase = Phase::Downloading;
        let url = site.registry_config.download_url(id, &digest);
        if let Some(path) = file_of(&url) {
            return self.copy(path, url, digest).await;
        }
        let request = Request { authorization: site.token.as_ref(), ..Request::new(&url) };
        let partial = self.cache.new_partial_file().map_err(DownloadError::Io)?;
        let progress = |bytes| {
            self.sink.event(Event::Advance { phase, items: 0, bytes });
        };
        let size = self
            .client
            .download(&request, partial.path(), digest, MAX_CRATE_SIZE, &progress)
            .await
            .map_err(DownloadError::Http)?;
        let path = self.cache.insert(partial, digest).map_err(DownloadError::Io)?;
        self.sink.event(Event::Advance { phase, items: 1, bytes: 0 });
        let from = FileOrigin::Upstream;
        Ok(DownloadedCrate { path, size, origin: from })
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
    async fn copy(&self, path: PathBuf, url: String, digest: Sha256) -> Result<DownloadedCrate, DownloadError> {
        let cache = self.cache.clone();
        let copying = tokio::task::spawn_blocking(move || {
            let unreadable = |source| DownloadError::File { path: path.clone(), source };
            length_of(&path).map_err(unreadable)?;
            match cache.import_copy(&path, digest).map_err(DownloadError::Io)? {
                Some(size) => Ok(size),
                None => {
                    let (actual, _) = Sha256::of_file(&path).map_err(unreadable)?;
                    Err(DownloadError::Http(http::Error::Checksum { url, expected: digest, actual }))
                }
            }
        });
        let size = copying.await.map_err(|error| DownloadError::Io(io::Error::other(error)))??;
        self.sink.event(Event::Advance { phase: Phase::Downloading, items: 1, bytes: size });
        Ok(DownloadedCrate { path: self.cache.path(digest), size, origin: FileOrigin::Upstream })
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

enum DownloadError {
    Http(http::Error),
    Io(io::Error),
    File { path: PathBuf, source: io::Error },
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

fn list_failures(absent: &[(CrateId, http::Error)], altered: &[(CrateId, http::Error)]) -> String {
    let lines: Vec<String> = altered.iter().chain(absent).map(|(id, error)| format!("{id}: {error}")).collect();
    match lines.len() {
        1 => lines.concat(),
        count => format!("{} are unavailable:\n{}", pluralize(count, "crate"), lines.join("\n")),
    }
}

fn join_names(ids: &[CrateId]) -> String {
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    names.join("\n")
}

fn count_crates_are(ids: &[CrateId]) -> String {
    match ids.len() {
        1 => "1 crate is".to_owned(),
        count => format!("{} are", pluralize(count, "crate")),
    }
}
