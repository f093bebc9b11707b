//! One snapshot of the upstream index: each of its files is fetched at most once in a run, and every pass of cargo and
//! every check sees the same text. The texts are on disk meanwhile, because all of them together are large.
//!
//! Files are kept between runs below `$FROSTMIRROR_HOME/cache/index/` and asked for conditionally. Without network they
//! are all there is; a name that is not among them is an error and never "no such crate", because cargo would then
//! quietly take an older version of whatever depends on it.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::cache::Cache;
use super::cargo_config::Upstream;
use super::foresight::{self, Wish};
use super::index_file::{IndexFile, Kept};
use super::index_spool::{IndexSpool, SpooledText};
pub use super::site::Error;
use super::site::{CONFIG, Config, Site, what_of};
use crate::crate_id::CrateName;
use crate::digest::Sha256;
use crate::event::Sink;
use crate::http::{Client, Secret};
use crate::index_line::RegistryConfig;

/// Guessed requests under way at a time; few enough that what cargo really waits for is not held up for long.
const GUESSES: usize = 32;
/// Guesses in a run at most: an index that names ever more crates cannot keep us busy for ever.
const MAX_GUESSES: usize = 50_000;

/// The snapshot. Cheap to clone; clones are the same snapshot.
#[derive(Clone)]
pub struct Index {
    inner: Arc<Inner>,
}

struct Inner {
    site: Site,
    folder: PathBuf,
    cache: Cache,
    offline: bool,
    sink: Arc<dyn Sink>,
    config: tokio::sync::OnceCell<Result<Arc<Config>, Arc<Error>>>,
    files: Mutex<HashMap<String, Shared<BoxFuture<'static, TextResult>>>>,
    spool: Arc<IndexSpool>,
    guessed: Mutex<HashSet<Wish>>,
    guesses: Mutex<JoinSet<()>>,
    guessing: Semaphore,
}

/// The same, as the snapshot keeps it.
type TextResult = Result<Option<Arc<SpooledText>>, Arc<Error>>;

/// A file of the snapshot; `None` where upstream has no such crate. An error is shared: each file is asked for once.
pub type FileResult = Result<Option<Arc<IndexFile>>, Arc<Error>>;

impl Index {
    /// A snapshot that begins empty. Each registry has a folder of its own in the cache.
    pub fn new(client: Client, upstream: Upstream, cache: &Cache, offline: bool, sink: Arc<dyn Sink>) -> Index {
        let registry = Sha256::of(upstream.index.as_bytes()).to_string();
        let folder = cache.root().join("index").join(&registry[..16]);
        Index {
            inner: Arc::new(Inner {
                site: Site::new(client, upstream),
                folder,
                cache: cache.clone(),
                offline,
                sink,
                config: tokio::sync::OnceCell::new(),
                files: Mutex::default(),
                spool: Arc::new(IndexSpool::new(cache.staging())),
                guessed: Mutex::default(),
                guesses: Mutex::default(),
                guessing: Semaphore::new(GUESSES),
            }),
        }
    }

    /// The index's address, without credentials.
    pub fn address(&self) -> String {
        self.inner.site.address()
    }

    /// The registry's config.json, with `dl` replaced where the user named another.
    pub async fn config(&self) -> Result<RegistryConfig, Arc<Error>> {
        Ok(self.fetched_config().await?.registry.clone())
    }

    /// The token that a download must carry: the registry's, where it wants one with every request.
    pub async fn download_token(&self) -> Result<Option<Secret>, Arc<Error>> {
        let config = self.fetched_config().await?;
        Ok(self.inner.site.download_token(&config))
    }

    /// The index file of one crate.
    pub async fn file(&self, name: &CrateName) -> FileResult {
        let path = name.index_path();
        let fetching = lock(&self.inner.files)
            .entry(path)
            .or_insert_with_key(|path| {
                // A task of its own: whoever asks may go away, and the next one must not ask upstream again.
                let task = tokio::spawn(self.clone().fetch(name.clone(), path.clone()));
                let what = what_of(name);
                task.map(|ended| ended.unwrap_or_else(|_| Err(Arc::new(Error::BrokenOff { what })))).boxed().shared()
            })
            .clone();
        let Some(text) = fetching.await? else { return Ok(None) };
        let spool = Arc::clone(&self.inner.spool);
        match tokio::task::spawn_blocking(move || spool.get(&text)).await {
            Ok(Ok(file)) => Ok(Some(file)),
            Ok(Err(source)) => Err(Arc::new(Error::Spool { what: what_of(name), source })),
            Err(_) => Err(Arc::new(Error::BrokenOff { what: what_of(name) })),
        }
    }

    /// Fetches in the background what cargo will ask for if `wish` is resolved.
    pub fn foresee(&self, wish: Wish) {
        {
            let mut guessed = lock(&self.inner.guessed);
            if guessed.len() >= MAX_GUESSES || !guessed.insert(wish.clone()) {
                return;
            }
        }
        let index = self.clone();
        let mut guesses = lock(&self.inner.guesses);
        while guesses.try_join_next().is_some() {}
        guesses.spawn(async move {
            let found = {
                let Ok(_permit) = index.inner.guessing.acquire().await else {
                    return;
                };
                index.file(&wish.name).await
            };
            // Failures are told by whoever needs the file.
            if let Ok(Some(file)) = found {
                for next in foresight::next(&file, &wish) {
                    index.foresee(next.wish);
                }
            }
        });
    }

    /// Ends the guessing: nothing more will be resolved.
    pub fn rest(&self) {
        lock(&self.inner.guesses).abort_all();
    }

    async fn fetch(self, name: CrateName, path: String) -> TextResult {
        let Some(file) = self.fetched(&name, path).await? else { return Ok(None) };
        let spool = Arc::clone(&self.inner.spool);
        let text = tokio::task::spawn_blocking(move || spool.put(file)).await;
        text.map(|text| Some(Arc::new(text))).map_err(|_| Arc::new(Error::BrokenOff { what: what_of(&name) }))
    }

    async fn fetched(&self, name: &CrateName, path: String) -> FileResult {
        let inner = &self.inner;
        let kept = inner.kept(&path).await;
        if inner.offline {
            let kept = kept.ok_or_else(|| inner.uncached(what_of(name)))?;
            return Ok(kept.file);
        }
        let config = self.fetched_config().await?;
        // An absence has no validators, and a text without any cannot be asked for conditionally.
        let known = kept.as_ref().filter(|kept| kept.file.is_some());
        let etag = known.and_then(|kept| kept.etag.as_deref());
        let date = known.and_then(|kept| kept.last_modified.as_deref());
        let answer = inner.site.ask_for_lines(&config, name, etag, date).await?;
        if answer.status == 304
            && let Some(kept) = kept
        {
            return Ok(kept.file);
        }
        let file = (answer.status == 200).then(|| Arc::new(IndexFile::new(&answer.body)));
        if let Some(file) = &file
            && !file.is_index()
        {
            return Err(Arc::new(inner.site.no_index_file(name)));
        }
        let now = Kept { etag: answer.etag, last_modified: answer.last_modified, file };
        Ok(inner.keep(&path, now).await)
    }

    async fn fetched_config(&self) -> Result<Arc<Config>, Arc<Error>> {
        let inner = &self.inner;
        let fetched = inner.config.get_or_init(|| inner.fetch_config()).await;
        fetched.clone()
    }
}

impl Inner {
    async fn fetch_config(&self) -> Result<Arc<Config>, Arc<Error>> {
        let (kept, locked) = if self.offline {
            let kept = self.kept(CONFIG).await;
            (kept.ok_or_else(|| self.uncached(CONFIG.to_owned()))?, false)
        } else {
            let (answer, locked) = self.site.ask_for_config().await?;
            let file = (answer.status == 200).then(|| Arc::new(IndexFile::new(&answer.body)));
            let now = Kept { etag: None, last_modified: None, file };
            (now, locked)
        };
        let config = self.site.config(kept.file.as_ref().map(|file| file.text()), locked)?;
        if config.registry.auth_required && !self.offline {
            self.site.token().await?;
        }
        if !self.offline {
            self.keep(CONFIG, kept).await;
        }
        Ok(Arc::new(config))
    }

    async fn kept(&self, path: &str) -> Option<Kept> {
        let path = self.folder.join(path);
        let read = tokio::task::spawn_blocking(move || Kept::read(&path));
        read.await.ok().flatten()
    }

    /// Keeps it for the next run. A cache that cannot be written makes the next run slower and this one no worse.
    async fn keep(&self, path: &str, kept: Kept) -> Option<Arc<IndexFile>> {
        let path = self.folder.join(path);
        let sink = Arc::clone(&self.sink);
        let cache = self.cache.clone();
        let write = tokio::task::spawn_blocking(move || {
            if let Err(error) = kept.write(&path, cache.staging()) {
                let path = path.display();
                sink.detail(format!("could not keep the index file `{path}`: {error}"));
            }
            kept.file
        });
        write.await.ok().flatten()
    }

    fn uncached(&self, what: String) -> Arc<Error> {
        let index = self.site.address();
        Arc::new(Error::Uncached { what, index })
    }
}

/// The guarded value. A panic elsewhere leaves these maps whole: nothing is half-done while they are held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
