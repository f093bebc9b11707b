//! One snapshot of the upstream index: each of its files is fetched at most once in a run, and every pass of cargo and
//! every check sees the same text. The texts are on disk, because all of them together are large.
//!
//! Files are cached between runs below `$FROSTMIRROR_HOME/cache/index/` and requested conditionally. Without network
//! only the cached files exist. A name without a cached file is an error and never "no such crate", because cargo would
//! then silently use an older version of its dependents.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::crate_id::CrateName;
use crate::event::Sink;
use crate::fetch::crate_cache::CrateCache;
use crate::fetch::index_spool::{IndexSpool, SpooledText};
use crate::http::{Client, Secret};
use crate::index_line::RegistryConfig;
use crate::upstream::cargo_config::Upstream;
use crate::upstream::index_file::{CachedIndexFile, IndexFile, cache_folder};
use crate::upstream::prefetch::{self, DependencyQuery};
pub use crate::upstream::registry_client::Error;
use crate::upstream::registry_client::{CONFIG_FILE_NAME, RegistryClient, RegistryInfo, describe_index_file};

/// Maximum number of concurrent prefetch requests; few, so that they do not delay cargo's own requests.
const MAX_CONCURRENT_PREFETCHES: usize = 32;
/// Maximum number of prefetch requests in a run, so that an index that lists ever more crates cannot run forever.
const MAX_PREFETCHES: usize = 50_000;

/// The snapshot. Cheap to clone; clones share the same snapshot.
#[derive(Clone)]
pub struct IndexSnapshot {
    inner: Arc<Inner>,
}

struct Inner {
    registry: RegistryClient,
    folder: PathBuf,
    cache: CrateCache,
    offline: bool,
    sink: Arc<dyn Sink>,
    config: tokio::sync::OnceCell<Result<Arc<RegistryInfo>, Arc<Error>>>,
    files: Mutex<HashMap<String, Shared<BoxFuture<'static, SpooledResult>>>>,
    spool: Arc<IndexSpool>,
    prefetched: Mutex<HashSet<DependencyQuery>>,
    prefetch_tasks: Mutex<JoinSet<()>>,
    prefetch_permits: Semaphore,
    /// The time of the oldest cached file that an offline run used.
    oldest_used: Mutex<Option<SystemTime>>,
}

/// The same, as the snapshot keeps it.
type SpooledResult = Result<Option<Arc<SpooledText>>, Arc<Error>>;

/// A file of the snapshot; `None` if upstream has no such crate. Errors are shared: each file is requested once.
pub type IndexFileResult = Result<Option<Arc<IndexFile>>, Arc<Error>>;

impl IndexSnapshot {
    /// Creates an empty snapshot. Each registry has its own folder in the cache.
    pub fn new(
        client: Client,
        upstream: Upstream,
        cache: &CrateCache,
        offline: bool,
        sink: Arc<dyn Sink>,
    ) -> IndexSnapshot {
        let folder = cache_folder(&cache.root().join("index"), &upstream.index);
        IndexSnapshot {
            inner: Arc::new(Inner {
                registry: RegistryClient::new(client, upstream),
                folder,
                cache: cache.clone(),
                offline,
                sink,
                config: tokio::sync::OnceCell::new(),
                files: Mutex::default(),
                spool: Arc::new(IndexSpool::new(cache.staging())),
                prefetched: Mutex::default(),
                prefetch_tasks: Mutex::default(),
                prefetch_permits: Semaphore::new(MAX_CONCURRENT_PREFETCHES),
                oldest_used: Mutex::default(),
            }),
        }
    }

    /// The index's address, without credentials.
    pub fn address(&self) -> String {
        self.inner.registry.address()
    }

    /// The registry's config.json, with `dl` replaced if the user sets another one.
    pub async fn config(&self) -> Result<RegistryConfig, Arc<Error>> {
        Ok(self.registry_info().await?.config.clone())
    }

    /// The token for downloads: the registry's token, if it requires one for every request.
    pub async fn download_token(&self) -> Result<Option<Secret>, Arc<Error>> {
        let config = self.registry_info().await?;
        Ok(self.inner.registry.download_token(&config))
    }

    /// The index file of one crate.
    pub async fn file(&self, name: &CrateName) -> IndexFileResult {
        let path = name.index_path();
        let fetching = lock(&self.inner.files)
            .entry(path)
            .or_insert_with_key(|path| {
                // A separate task: the caller may be dropped, and the next caller must not repeat the request.
                let task = tokio::spawn(self.clone().fetch_to_spool(name.clone(), path.clone()));
                let what = describe_index_file(name);
                task.map(|ended| ended.unwrap_or_else(|_| Err(Arc::new(Error::Aborted { what })))).boxed().shared()
            })
            .clone();
        let Some(text) = fetching.await? else { return Ok(None) };
        let spool = Arc::clone(&self.inner.spool);
        match tokio::task::spawn_blocking(move || spool.get(&text)).await {
            Ok(Ok(file)) => Ok(Some(file)),
            Ok(Err(source)) => Err(Arc::new(Error::Spool { what: describe_index_file(name), source })),
            Err(_) => Err(Arc::new(Error::Aborted { what: describe_index_file(name) })),
        }
    }

    /// When the oldest index file of an offline run was written to the cache; `None` if the run asked upstream. A cached file
    /// that upstream confirmed later keeps its time, so that the true time may be later, never earlier.
    pub fn oldest_used(&self) -> Option<Timestamp> {
        (*lock(&self.inner.oldest_used)).and_then(|time| Timestamp::try_from(time).ok())
    }

    /// Prefetches the index files that cargo will request if `query` is resolved.
    pub fn prefetch(&self, query: DependencyQuery) {
        {
            let mut guessed = lock(&self.inner.prefetched);
            if guessed.len() >= MAX_PREFETCHES || !guessed.insert(query.clone()) {
                return;
            }
        }
        let index = self.clone();
        let mut guesses = lock(&self.inner.prefetch_tasks);
        while guesses.try_join_next().is_some() {}
        guesses.spawn(async move {
            let found = {
                let Ok(_permit) = index.inner.prefetch_permits.acquire().await else {
                    return;
                };
                index.file(&query.name).await
            };
            // The caller that needs the file reports the failure.
            if let Ok(Some(file)) = found {
                for next in prefetch::dependencies_of(&file, &query) {
                    index.prefetch(next.query);
                }
            }
        });
    }

    /// Stops prefetching: nothing more will be resolved.
    pub fn stop_prefetching(&self) {
        lock(&self.inner.prefetch_tasks).abort_all();
    }

    async fn fetch_to_spool(self, name: CrateName, path: String) -> SpooledResult {
        let Some(file) = self.fetch_file(&name, path).await? else { return Ok(None) };
        let spool = Arc::clone(&self.inner.spool);
        let text = tokio::task::spawn_blocking(move || spool.put(file)).await;
        text.map(|text| Some(Arc::new(text))).map_err(|_| Arc::new(Error::Aborted { what: describe_index_file(&name) }))
    }

    async fn fetch_file(&self, name: &CrateName, path: String) -> IndexFileResult {
        let inner = &self.inner;
        let kept = inner.read_cached(&path).await;
        if inner.offline {
            let kept = kept.ok_or_else(|| inner.uncached_error(describe_index_file(name)))?;
            return Ok(kept.file);
        }
        let config = self.registry_info().await?;
        let fetched = inner.registry.fetch_index(&config, name, kept.as_ref(), |file, _| file).await?;
        match fetched {
            Some(fresh) => Ok(inner.write_cached(&path, fresh).await),
            None => Ok(kept.and_then(|kept| kept.file)),
        }
    }

    async fn registry_info(&self) -> Result<Arc<RegistryInfo>, Arc<Error>> {
        let inner = &self.inner;
        let fetched = inner.config.get_or_init(|| inner.fetch_registry_info()).await;
        fetched.clone()
    }
}

impl Inner {
    async fn fetch_registry_info(&self) -> Result<Arc<RegistryInfo>, Arc<Error>> {
        if self.offline {
            let kept = self.read_cached(CONFIG_FILE_NAME).await;
            let kept = kept.ok_or_else(|| self.uncached_error(CONFIG_FILE_NAME.to_owned()))?;
            return Ok(Arc::new(self.registry.parse_config(kept.file.as_ref().map(|file| file.text()), false)?));
        }
        let (config, response) = self.registry.fetch_config().await?;
        let file = (response.status == 200).then(|| Arc::new(IndexFile::new(&response.body)));
        self.write_cached(CONFIG_FILE_NAME, CachedIndexFile { etag: None, last_modified: None, file }).await;
        Ok(Arc::new(config))
    }

    async fn read_cached(&self, path: &str) -> Option<CachedIndexFile> {
        let path = self.folder.join(path);
        let read = move || {
            let modified = path.metadata().and_then(|metadata| metadata.modified()).ok();
            CachedIndexFile::read(&path).map(|file| (file, modified))
        };
        let (file, modified) = tokio::task::spawn_blocking(read).await.ok().flatten()?;
        if self.offline {
            let mut oldest = lock(&self.oldest_used);
            *oldest = oldest.into_iter().chain(modified).min();
        }
        Some(file)
    }

    /// Caches it for the next run. If the cache is not writable, the next run is slower and this run is unaffected.
    async fn write_cached(&self, path: &str, kept: CachedIndexFile) -> Option<Arc<IndexFile>> {
        let path = self.folder.join(path);
        let sink = Arc::clone(&self.sink);
        let cache = self.cache.clone();
        let write = tokio::task::spawn_blocking(move || {
            if let Err(error) = kept.write(&path, cache.staging()) {
                let path = path.display();
                sink.detail("Note", format!("could not cache the index file `{path}`: {error}"));
            }
            kept.file
        });
        write.await.ok().flatten()
    }

    fn uncached_error(&self, what: String) -> Arc<Error> {
        let index = self.registry.address();
        Arc::new(Error::NotCached { what, index })
    }
}

/// The guarded value. A panic elsewhere leaves these maps consistent: no update is partial while they are locked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
