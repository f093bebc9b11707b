//! One snapshot of the upstream index: each of its files is fetched at most once in a run, and every pass of cargo and
//! every check sees the same text.
//!
//! Files are kept between runs below `$FROSTMIRROR_HOME/cache/index/` and asked for conditionally. Without network they
//! are all there is; a name that is not among them is an error and never "no such crate", because cargo would then
//! quietly take an older version of whatever depends on it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::cargo_config::Upstream;
use super::foresight::{self, Wish};
use super::index_file::{IndexFile, Kept};
use crate::crate_id::CrateName;
use crate::digest::Sha256;
use crate::event::Sink;
use crate::http::{self, Client, Request, Secret};
use crate::index_line::RegistryConfig;

/// Most bytes of an index file. The largest of crates.io have about 4 MB.
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// Most bytes of a config.json.
const MAX_CONFIG: u64 = 64 * 1024;
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
    client: Client,
    upstream: Upstream,
    folder: PathBuf,
    offline: bool,
    sink: Arc<dyn Sink>,
    config: tokio::sync::OnceCell<Result<Arc<Config>, Arc<Error>>>,
    files: Mutex<HashMap<String, Shared<BoxFuture<'static, FileResult>>>>,
    guessed: Mutex<HashSet<Wish>>,
    guesses: Mutex<JoinSet<()>>,
    guessing: Semaphore,
}

/// A file of the snapshot; `None` where upstream has no such crate. An error is shared: each file is asked for once.
pub type FileResult = Result<Option<Arc<IndexFile>>, Arc<Error>>;

struct Config {
    registry: RegistryConfig,
    /// Whether config.json itself was only given for a token.
    locked: bool,
}

/// Why the index could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Upstream could not be reached, or refused.
    #[error("could not read {what} of the registry {index}")]
    Fetch {
        /// `config.json`, or the crate that the file is of.
        what: String,
        /// The index's address.
        index: String,
        /// What happened.
        source: http::Error,
    },
    /// The registry wants a token, and there is none.
    #[error("the registry {index} asks for a token, and none is configured for it")]
    NoToken {
        /// The index's address.
        index: String,
        /// The variable that would give one, where the registry has a name in cargo's configuration.
        variable: Option<String>,
    },
    /// There is no config.json.
    #[error("{index} is not a sparse registry index: it has no config.json")]
    NoConfig {
        /// The index's address.
        index: String,
    },
    /// config.json is not one.
    #[error("config.json of the registry {index} is not what cargo reads")]
    Config {
        /// The index's address.
        index: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Something else than a crate's index file was sent for one.
    #[error("what the registry {index} sent for {what} is not an index file")]
    NoIndexFile {
        /// The crate that was asked for.
        what: String,
        /// The index's address.
        index: String,
    },
    /// Without network, and the file was never fetched.
    #[error("{what} of the registry {index} is not in the cache, and the network may not be used")]
    Uncached {
        /// `config.json`, or the crate that the file is of.
        what: String,
        /// The index's address.
        index: String,
    },
    /// A task of this run ended before its time.
    #[error("reading {what} of the index was broken off")]
    BrokenOff {
        /// What was being read.
        what: String,
    },
}

impl Index {
    /// A snapshot that begins empty. `cache` is `$FROSTMIRROR_HOME/cache`; each registry has a folder of its own there.
    pub fn new(client: Client, upstream: Upstream, cache: &Path, offline: bool, sink: Arc<dyn Sink>) -> Index {
        let registry = Sha256::of(upstream.index.as_bytes()).to_string();
        let folder = cache.join("index").join(&registry[..16]);
        Index {
            inner: Arc::new(Inner {
                client,
                upstream,
                folder,
                offline,
                sink,
                config: tokio::sync::OnceCell::new(),
                files: Mutex::default(),
                guessed: Mutex::default(),
                guesses: Mutex::default(),
                guessing: Semaphore::new(GUESSES),
            }),
        }
    }

    /// The index's address, without credentials.
    pub fn address(&self) -> String {
        http::shown(&self.inner.upstream.index)
    }

    /// The registry's config.json, with `dl` replaced where the user named another.
    pub async fn config(&self) -> Result<RegistryConfig, Arc<Error>> {
        Ok(self.fetched_config().await?.registry.clone())
    }

    /// The token that a download must carry: the registry's, where it wants one with every request.
    pub async fn download_token(&self) -> Result<Option<Secret>, Arc<Error>> {
        let config = self.fetched_config().await?;
        let token = self.inner.upstream.token.clone();
        Ok(token.filter(|_| config.registry.auth_required))
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
        fetching.await
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
                    index.foresee(next);
                }
            }
        });
    }

    /// Ends the guessing: nothing more will be resolved.
    pub fn rest(&self) {
        lock(&self.inner.guesses).abort_all();
    }

    async fn fetch(self, name: CrateName, path: String) -> FileResult {
        let inner = &self.inner;
        let kept = inner.kept(&path).await;
        let what = what_of(&name);
        if inner.offline {
            let kept = kept.ok_or_else(|| inner.uncached(what))?;
            return Ok(kept.file.map(Arc::new));
        }
        let config = self.fetched_config().await?;
        let send_token = config.registry.auth_required || config.locked;
        let token = inner.upstream.token.as_ref().filter(|_| send_token);
        let url = format!("{}{path}", inner.upstream.index);
        // An absence has no validators, and a text without any cannot be asked for conditionally.
        let known = kept.as_ref().filter(|kept| kept.file.is_some());
        let etag = known.and_then(|kept| kept.etag.as_deref());
        let date = known.and_then(|kept| kept.last_modified.as_deref());
        let request = Request {
            authorization: token,
            if_none_match: etag,
            // Cargo sends one of the two as well.
            if_modified_since: date.filter(|_| etag.is_none()),
            ..Request::new(&url)
        };
        let answer = inner.client.get(&request, MAX_FILE).await;
        let answer = answer.map_err(|source| inner.failed(what, source))?;
        if answer.status == 304
            && let Some(kept) = kept
        {
            return Ok(kept.file.map(Arc::new));
        }
        let file = (answer.status == 200).then(|| IndexFile::new(&answer.body));
        // A page to log in at, say. Cargo would pass over each of its lines, and call the crate absent.
        if let Some(file) = &file
            && !file.is_index()
        {
            return Err(Arc::new(Error::NoIndexFile {
                what: what_of(&name),
                index: http::shown(&inner.upstream.index),
            }));
        }
        let now = Kept { etag: answer.etag, last_modified: answer.last_modified, file };
        Ok(inner.keep(&path, now).await.map(Arc::new))
    }

    async fn fetched_config(&self) -> Result<Arc<Config>, Arc<Error>> {
        let inner = &self.inner;
        let fetched = inner.config.get_or_init(|| inner.fetch_config()).await;
        fetched.clone()
    }
}

impl Inner {
    async fn fetch_config(&self) -> Result<Arc<Config>, Arc<Error>> {
        const NAME: &str = "config.json";
        let index = || http::shown(&self.upstream.index);
        let (kept, locked) = if self.offline {
            let kept = self.kept(NAME).await;
            (kept.ok_or_else(|| self.uncached(NAME.to_owned()))?, false)
        } else {
            let (answer, locked) = self.ask_for_config(NAME).await?;
            let file = (answer.status == 200).then(|| IndexFile::new(&answer.body));
            let now = Kept { etag: None, last_modified: None, file };
            (now, locked)
        };
        let mut registry = match (&kept.file, &self.upstream.dl) {
            (Some(file), _) => serde_json::from_str(file.text())
                .map_err(|source| Error::Config { index: index(), source })
                .map_err(Arc::new)?,
            // Only `dl` is needed of it, and the user has named that.
            (None, Some(_)) => RegistryConfig { dl: String::new(), api: None, auth_required: false },
            (None, None) => return Err(Arc::new(Error::NoConfig { index: index() })),
        };
        if let Some(dl) = &self.upstream.dl {
            dl.trim_end_matches('/').clone_into(&mut registry.dl);
        }
        if registry.auth_required && self.upstream.token.is_none() && !self.offline {
            return Err(Arc::new(Error::NoToken { index: index(), variable: self.upstream.token_variable() }));
        }
        if !self.offline {
            self.keep(NAME, kept).await;
        }
        Ok(Arc::new(Config { registry, locked }))
    }

    /// Asks without the token first, as cargo does: a registry that does not want it never sees it.
    async fn ask_for_config(&self, name: &str) -> Result<(http::Answer, bool), Arc<Error>> {
        let url = format!("{}{name}", self.upstream.index);
        let request = Request::new(&url);
        let refused = match self.client.get(&request, MAX_CONFIG).await {
            Ok(answer) => return Ok((answer, false)),
            Err(error @ http::Error::Status { status: 401 | 403, .. }) => error,
            Err(source) => return Err(self.failed(name.to_owned(), source)),
        };
        if self.upstream.token.is_none() {
            return Err(match refused {
                http::Error::Status { status: 401, .. } => {
                    let (index, variable) = (http::shown(&self.upstream.index), self.upstream.token_variable());
                    Arc::new(Error::NoToken { index, variable })
                }
                other => self.failed(name.to_owned(), other),
            });
        }
        let request = Request { authorization: self.upstream.token.as_ref(), ..request };
        let answer = self.client.get(&request, MAX_CONFIG).await;
        let answer = answer.map_err(|source| self.failed(name.to_owned(), source))?;
        Ok((answer, true))
    }

    async fn kept(&self, path: &str) -> Option<Kept> {
        let path = self.folder.join(path);
        let read = tokio::task::spawn_blocking(move || Kept::read(&path));
        read.await.ok().flatten()
    }

    /// Keeps it for the next run. A cache that cannot be written makes the next run slower and this one no worse.
    async fn keep(&self, path: &str, kept: Kept) -> Option<IndexFile> {
        let path = self.folder.join(path);
        let sink = Arc::clone(&self.sink);
        let write = tokio::task::spawn_blocking(move || {
            if let Err(error) = kept.write(&path) {
                let path = path.display();
                sink.detail(format!("could not keep the index file `{path}`: {error}"));
            }
            kept.file
        });
        write.await.ok().flatten()
    }

    fn failed(&self, what: String, source: http::Error) -> Arc<Error> {
        let index = http::shown(&self.upstream.index);
        Arc::new(Error::Fetch { what, index, source })
    }

    fn uncached(&self, what: String) -> Arc<Error> {
        let index = http::shown(&self.upstream.index);
        Arc::new(Error::Uncached { what, index })
    }
}

fn what_of(name: &CrateName) -> String {
    format!("`{name}`")
}

/// The guarded value. A panic elsewhere leaves these maps whole: nothing is half-done while they are held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
