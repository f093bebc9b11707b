//! Live mode: files that the mirror lacks are fetched from upstream on request, checked, passed on, and stored.
//!
//! | module | purpose |
//! |---|---|
//! | `upstreams` | the upstreams, by the current settings |
//! | `breaker` | a circuit breaker for an upstream that is down |
//! | `index_cache` | upstream's index files, cached for the configured time |
//! | `index_view` | the index entries that are offered: upstream's within the filters, and the stored ones |
//! | `download` | one download shared by all clients that wait for it |
//! | `crates` | crates that are not stored |
//! | `dist` | toolchains and rustup: files that change upstream, and files that a manifest names |
//! | `prefetch` | what clients will probably request next |
//! | `prefetch_graph` | the graph that a client probably has, and the order of its requests |
//! | `prefetch_budget` | limits the bytes that are prefetched and never requested |
//! | `store_worker` | stores fetched files in the mirror |
//! | `access_times` | the least recently requested files, if the size is limited |
//! | [`metrics`] | counters |
//! | [`error`] | the error response of a client |
//!
//! When live mode is off, none of this sends a request. Only crates in upstream's index can be fetched, so no client can
//! fill the disk with invented names. A file is stored only with the digest from the index or a channel manifest.
//! Requests that originate from this server itself, directly or through other mirrors, are answered from the mirror
//! only.

mod prefetch;
mod index_prefetch;
mod circuit_breaker;
mod crate_downloads;
mod download_table;
mod dist;
pub mod metrics;
mod download;
mod index_cache;
mod index_view;
mod store_worker;
mod prefetch_budget;
mod prefetch_graph;
pub mod error;
mod upstreams;
mod access_times;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::client_setup::BaseUrl;
use crate::config::settings::UpstreamUrl;
use crate::config::{Key, Settings, SettingsStore};
use crate::crate_id::CrateName;
use crate::error_chain::one_line;
use crate::http;
use crate::mirror::live::IndexUpdate;
use crate::random;
use crate::safe_path::SafePath;
use crate::server_context::ServerContext;
use crate::upstream::index_file::IndexFile;
use access_times::AccessTimes;
use circuit_breaker::BreakerHealth;
use dist::DistState;
use download_table::CrateDownloads;
use index_cache::IndexCache;
use index_view::OfferFilter;
use metrics::{LiveMetrics, MetricsSnapshot, UpstreamHealth};
use prefetch::Prefetcher;
use store_worker::{StoreJob, StoreWorker, WorkerContext};
use upstreams::{Upstreams, VIA_PREFIX, mirrors_in_via};

pub use crate_downloads::FetchOutcome;
pub use dist::is_mutable_path;
pub use download::{SharedDownload, StartedDownload};
pub use error::LiveError;
pub use upstreams::{Error, ReadCargoConfig};

/// How often the settings are checked for changes.
const SETTINGS_POLL_INTERVAL: Duration = Duration::from_millis(250);

/// How long after a failed attempt to apply the settings the next one starts.
const RECONFIGURE_DELAY: Duration = Duration::from_secs(30);

/// Live mode, on or off.
pub struct LiveMirror {
    context: ServerContext,
    /// Reads the user's cargo configuration: proxies, certificate authorities, tokens, source replacement of crates.io.
    cargo_config: ReadCargoConfig,
    via: String,
    state: Mutex<State>,
    crate_downloads: CrateDownloads,
    prefetcher: Prefetcher,
    store_worker: StoreWorker,
    metrics: Arc<LiveMetrics>,
    access_times: Arc<AccessTimes>,
    /// How often an index file changed while its cached copy still counted as fresh.
    early_changes: Arc<AtomicU64>,
}

/// The state for one settings generation.
#[derive(Default)]
struct State {
    settings_generation: Option<u64>,
    active: Option<Arc<ActiveState>>,
    /// Why no upstream can be used, and since when.
    config_error: Option<(String, Instant)>,
}

/// The settings that select the upstreams and the cache durations.
#[derive(PartialEq, Eq)]
struct UpstreamConfig {
    index: Option<UpstreamUrl>,
    dl: Option<UpstreamUrl>,
    dist: Option<UpstreamUrl>,
    base_url: Option<BaseUrl>,
    ttl: Duration,
}

impl UpstreamConfig {
    fn of(live: &SettingsStore, settings: &Settings) -> UpstreamConfig {
        let Settings { proxy_index_url, proxy_dl_url, proxy_dist_url, base_url, proxy_ttl, .. } = settings;
        UpstreamConfig {
            index: live.is_explicit(Key::ProxyIndexUrl).then(|| proxy_index_url.clone()),
            dl: proxy_dl_url.clone(),
            dist: live.is_explicit(Key::ProxyDistUrl).then(|| proxy_dist_url.clone()),
            base_url: base_url.clone(),
            ttl: *proxy_ttl,
        }
    }
}

/// The state of live mode while it is on.
struct ActiveState {
    settings: Arc<Settings>,
    config: UpstreamConfig,
    upstreams: Arc<Upstreams>,
    index_cache: Arc<IndexCache>,
    dist: Arc<DistState>,
    filter: OfferFilter,
}

/// An index entry as offered.
#[derive(Clone, Debug)]
pub struct IndexView {
    /// Its text; `None`: the crate exists neither here nor upstream.
    pub text: Option<String>,
    /// Upstream has the crate, but the filters exclude all its versions.
    pub is_excluded: bool,
    /// When upstream must be asked again.
    pub fresh_until: Instant,
}

/// Upstream's state of a crate; [`LiveMirror::index_view`] merges it with the stored entry.
pub struct UpstreamIndex(Result<(Arc<ActiveState>, index_cache::CachedIndex), LiveError>);

impl LiveMirror {
    /// Starts live mode by the settings. Removes leftovers of a killed process, on or off.
    ///
    /// # Errors The thread or the random number is not available.
    pub fn start(context: ServerContext, cargo_config: ReadCargoConfig) -> io::Result<LiveMirror> {
        let figures = Arc::new(LiveMetrics::default());
        let used = Arc::new(AccessTimes::read(&context.mirror.live_access_times()));
        let placer = StoreWorker::start(WorkerContext {
            server: context.clone(),
            metrics: Arc::clone(&figures),
            access_times: Arc::clone(&used),
        })?;
        let via = format!("{VIA_PREFIX}{}", random::hex(8)?);
        Ok(LiveMirror {
            context,
            cargo_config,
            via,
            state: Mutex::default(),
            crate_downloads: CrateDownloads::default(),
            prefetcher: Prefetcher::new(Arc::clone(&figures)),
            store_worker: placer,
            metrics: figures,
            access_times: used,
            early_changes: Arc::default(),
        })
    }

    /// Checks the settings if live mode is on, so that errors are reported at start.
    ///
    /// # Errors Everything in [`Error`].
    pub fn check_settings(&self) -> Result<(), Error> {
        let settings = self.context.settings.current();
        if settings.proxy_mode { self.build_upstreams(&settings).map(drop) } else { Ok(()) }
    }

    /// Applies changes of the settings while this exists. When live mode is disabled, it cancels downloads even without
    /// further requests. Call it inside an async runtime.
    pub fn watch_settings(self: &Arc<Self>) {
        let proxy = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(proxy) = proxy.upgrade() {
                let _as_it_is = proxy.active().is_some();
                drop(proxy);
                tokio::time::sleep(SETTINGS_POLL_INTERVAL).await;
            }
        });
    }

    /// The `Via` header of a response that identifies this server: its own ID, and those of the mirrors that it fetches
    /// from.
    pub fn via(&self) -> String {
        let mut mirrors = vec![self.via.clone()];
        if let Some(Ok(running)) = self.active() {
            mirrors.extend(running.upstreams.upstream_mirrors().into_iter().filter(|name| *name != self.via));
        }
        mirrors.iter().map(|name| format!("1.1 {name}")).collect::<Vec<_>>().join(", ")
    }

    /// Whether a request with this `Via` was sent by this server, or by a mirror that it fetches from. Neither is
    /// forwarded to them again: two mirrors of each other would wait for each other.
    pub fn is_loop(&self, via: &str) -> bool {
        let names = mirrors_in_via(via);
        let is_upstream = |name: &String| matches!(self.active(), Some(Ok(running)) if running.upstreams.upstream_mirrors().contains(name));
        names.iter().any(|name| *name == self.via || is_upstream(name))
    }

    /// Whether this server itself sent a request with this `Via`.
    pub fn is_own_request(&self, via: &str) -> bool {
        mirrors_in_via(via).contains(&self.via)
    }

    /// Whether live mode is on now.
    pub fn is_enabled(&self) -> bool {
        self.context.settings.current().proxy_mode
    }

    /// Settings generation; it changes whenever the offered content may change.
    pub fn settings_generation(&self) -> u64 {
        self.context.settings.generation() + self.early_changes.load(Relaxed)
    }

    /// Looks up a crate upstream unless its cached state is fresh; `None` if live mode is off.
    pub async fn lookup_index(self: &Arc<Self>, name: &CrateName) -> Option<UpstreamIndex> {
        let running = match self.active()? {
            Ok(running) => running,
            Err(refusal) => return Some(UpstreamIndex(Err(refusal))),
        };
        self.prefetch_index(&running, name);
        let known = self.cached_index(&running, name, running.settings.proxy_ttl, None).await;
        Some(UpstreamIndex(known.map(|known| (running, known))))
    }

    async fn cached_index(
        &self,
        running: &Arc<ActiveState>,
        name: &CrateName,
        ttl: Duration,
        since: Option<Timestamp>,
    ) -> Result<index_cache::CachedIndex, LiveError> {
        let known = running.index_cache.get(&running.upstreams, name, ttl, since).await;
        match &known {
            Ok(known) if known.stale_reason.is_some() => _ = self.metrics.stale_responses.fetch_add(1, Relaxed),
            Err(refusal) if !refusal.is_not_found() => _ = self.metrics.failures.fetch_add(1, Relaxed),
            _ => {}
        }
        known
    }

    /// The index entry that is offered for a crate, given the stored lines (`None`: none). Call it where hashing may
    /// block.
    ///
    /// # Errors Upstream gave no answer, and nothing is stored.
    pub fn index_view(&self, upstream: &UpstreamIndex, stored: Option<&str>) -> Result<IndexView, LiveError> {
        let (running, known) = match (&upstream.0, stored) {
            (Ok(requested), _) => requested,
            // Stored crates are offered whatever upstream's state is.
            (Err(_), Some(stored)) => {
                self.metrics.stale_responses.fetch_add(1, Relaxed);
                return Ok(IndexView {
                    text: Some(stored.to_owned()),
                    is_excluded: false,
                    fresh_until: Instant::now() + Duration::from_secs(2),
                });
            }
            (Err(refusal), None) => return Err(refusal.clone()),
        };
        let nothing = IndexFile::default();
        let file = known.file.as_deref().unwrap_or(&nothing);
        let offer = index_view::merge(file, stored.unwrap_or_default(), &running.filter, self.context.now());
        for id in &offer.conflicts {
            self.context.sink.detail("Keeping", format!("the stored {id}, which differs from upstream's"));
        }
        if let Some(read) = known.checked_at.filter(|_| !offer.updates.is_empty()) {
            let renewals = offer.updates.into_iter().map(|line| IndexUpdate { line, read_at: read }).collect();
            self.store_worker.enqueue(StoreJob::IndexUpdates(renewals), Box::new(|_| {}));
        }
        let text = Some(offer.text).filter(|text| !text.is_empty());
        let withheld = text.is_none() && !file.text().trim().is_empty();
        Ok(IndexView { text, is_excluded: withheld, fresh_until: known.fresh_until })
    }

    /// The registry's URL without credentials; `None` if live mode is off or has no usable upstream.
    pub fn upstream_url(&self) -> Option<String> {
        self.active()?.ok().map(|running| running.upstreams.registry_client().address())
    }

    /// Counts a response of `bytes` bytes with a file that was fetched for it.
    pub fn record_fetched_response(&self, bytes: u64) {
        self.metrics.served_misses.fetch_add(1, Relaxed);
        self.metrics.served_miss_bytes.fetch_add(bytes, Relaxed);
    }

    /// Records that a client requested a file of the mirror.
    pub fn record_access(&self, path: &SafePath) {
        if self.context.settings.current().proxy_cache_max > 0 {
            self.access_times.record(path, self.context.now());
        }
    }

    /// The counters, and the health of the upstreams.
    pub fn metrics_snapshot(&self) -> MetricsSnapshot {
        let offline = self.context.settings.current().offline;
        let mut figured = MetricsSnapshot { is_enabled: self.is_enabled(), offline, ..self.metrics.snapshot() };
        if !figured.is_enabled {
            return figured;
        }
        match self.active() {
            Some(Ok(running)) => {
                let (upstreams, now) = (&running.upstreams, Instant::now());
                figured.config_error = upstreams.file_loop();
                let health = |of, address, breaker: &circuit_breaker::CircuitBreaker| {
                    let (state, why) = match breaker.health(now) {
                        BreakerHealth::Unused => ("unasked", None),
                        BreakerHealth::Healthy => ("good", None),
                        BreakerHealth::Degraded(why) => ("shaky", Some(why)),
                        BreakerHealth::Down(_, why) => ("down", Some(why)),
                    };
                    UpstreamHealth { service: of, address, state, reason: why }
                };
                figured.upstreams = vec![
                    health("index", Some(upstreams.registry_client().address()), &upstreams.index_breaker),
                    health("crates", None, &upstreams.crates_breaker),
                    health("dist", Some(http::redact_url(&upstreams.dist_url)), &upstreams.dist_breaker),
                ];
            }
            Some(Err(refusal)) => figured.config_error = Some(refusal.operator_message()),
            None => {}
        }
        figured
    }

    /// Accepts no more work, and waits up to `timeout` until all fetched files are stored; returns whether they are.
    pub fn shutdown(&self, timeout: Duration) -> bool {
        self.store_worker.shutdown(timeout)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state for the current settings; `None`: off.
    fn active(&self) -> Option<Result<Arc<ActiveState>, LiveError>> {
        let generation = self.context.settings.generation();
        let mut state = self.state();
        if state.settings_generation != Some(generation) {
            let before = state.active.take();
            let was_on = state.settings_generation.is_some().then(|| before.is_some() || state.config_error.is_some());
            *state = State { settings_generation: Some(generation), ..self.reconfigure(before.clone()) };
            match (was_on, &state.active) {
                (Some(false), Some(running)) => {
                    let from = running.upstreams.registry_client().address();
                    self.context.sink.status("Live", format!("switched on: missing files are fetched from {from}"));
                }
                (Some(true), None) if state.config_error.is_none() => {
                    self.context.sink.status("Live", "switched off: only stored files are served".to_owned());
                }
                _ => {}
            }
            let stays = |before: &ActiveState| {
                state.active.as_ref().is_some_and(|running| Arc::ptr_eq(&running.upstreams, &before.upstreams))
            };
            if let Some(before) = before.filter(|before| !stays(before)) {
                before.upstreams.disable();
            }
        } else if state.config_error.as_ref().is_some_and(|(_, since)| since.elapsed() >= RECONFIGURE_DELAY) {
            *state = State { settings_generation: Some(generation), ..self.reconfigure(None) };
        }
        match (&state.active, &state.config_error) {
            (Some(running), _) => match running.upstreams.own_server() {
                Some(error) => Some(Err(error)),
                None => Some(Ok(Arc::clone(running))),
            },
            (None, Some((trouble, _))) => {
                Some(Err(LiveError::misconfigured("live mode is on, but has no usable upstream", trouble)))
            }
            (None, None) => None,
        }
    }

    /// Whether these upstreams are still in use.
    fn is_active(&self, running: &Arc<ActiveState>) -> bool {
        matches!(self.active(), Some(Ok(now)) if Arc::ptr_eq(&now.upstreams, &running.upstreams))
    }

    /// Applies the current settings. Cached upstream data and running downloads survive if the changed settings do not
    /// concern them.
    fn reconfigure(&self, before: Option<Arc<ActiveState>>) -> State {
        let ServerContext { settings: live, mirror, clock, sink, .. } = &self.context;
        let settings = live.current();
        if !settings.proxy_mode {
            return State::default();
        }
        if before.is_none()
            && let Err((path, error)) = mirror.check_writable()
        {
            sink.warning(format!(
                "live mode cannot store the files that it fetches, because this server may not write to `{}` ({error}): \
                 give its user write permission there, or switch live mode off",
                path.display()
            ));
        }
        let config = UpstreamConfig::of(live, &settings);
        let (upstreams, index_cache, dist) = match before.filter(|before| before.config == config) {
            Some(before) => (Arc::clone(&before.upstreams), Arc::clone(&before.index_cache), Arc::clone(&before.dist)),
            None => {
                let upstreams = match self.build_upstreams(&settings) {
                    Ok(upstreams) => Arc::new(upstreams),
                    Err(error) => {
                        let trouble = one_line(&error);
                        sink.warning(format!("live mode is on, but has no usable upstream: {trouble}"));
                        return State { config_error: Some((trouble, Instant::now())), ..State::default() };
                    }
                };
                let index_cache = IndexCache::new(
                    &mirror.live_index(),
                    &upstreams.registry_client().upstream().index,
                    *clock,
                    Arc::clone(&self.early_changes),
                    Arc::clone(&self.metrics),
                    Arc::clone(sink),
                );
                (upstreams, Arc::new(index_cache), Arc::default())
            }
        };
        let filter = OfferFilter::of(&settings);
        let running = ActiveState { settings, config, upstreams, index_cache, dist, filter };
        State { active: Some(Arc::new(running)), ..State::default() }
    }

    fn build_upstreams(&self, settings: &Settings) -> Result<Upstreams, Error> {
        let ServerContext { settings: live, env, sink, .. } = &self.context;
        Upstreams::from_settings(live, settings, &self.cargo_config, env, &self.via, sink)
    }
}
