//! Live mode: what the mirror lacks is fetched from upstream when a client asks for it, checked, passed on, and placed.
//!
//! | room | what it does |
//! |---|---|
//! | `upstreams` | where from, as the settings say now |
//! | `breaker` | an upstream that is down is left alone |
//! | `lines` | upstream's index files, fresh within the time that is set |
//! | `offer` | what is offered of a crate: upstream's lines within the limits, and the held ones |
//! | `flight` | one download for all who wait for it |
//! | `crates` | crates that are not held |
//! | `dist` | toolchains and rustup: what moves upstream, and what a manifest names |
//! | `ahead` | what clients will probably request next |
//! | `prefetch_graph` | the graph that a client probably has, and the order of its requests |
//! | `prefetch_budget` | how many bytes are prefetched that no client may request |
//! | `placing` | what came, into the mirror |
//! | `used` | which files were not asked for the longest, where the size is limited |
//! | [`figures`] | what was done so far, in numbers |
//! | [`refusal`] | what a client is told instead |
//!
//! Switched off, none of this asks anybody for anything. Only what upstream's index lists can be fetched, so nobody fills the
//! disk with names that he made up. A file is only placed with the digest that the index or a channel manifest states for it.
//! Requests that this very server sent, by whatever detour, are answered from the mirror alone.

mod ahead;
mod breaker;
mod crates;
mod dist;
pub mod figures;
mod flight;
mod lines;
mod offer;
mod placing;
mod prefetch_budget;
mod prefetch_graph;
pub mod refusal;
mod upstreams;
mod used;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::client_config::BaseUrl;
use crate::crate_id::CrateName;
use crate::env::Env;
use crate::event::Sink;
use crate::gather::index_file::IndexFile;
use crate::gather::random;
use crate::http;
use crate::mirror::layout::Layout;
use crate::mirror::live::Renewal;
use crate::safe_path::SafePath;
use crate::server_config::settings::Upstream;
use crate::server_config::{Key, Live, Settings};
use ahead::Ahead;
use breaker::Health;
use crates::Crates;
use dist::Toolchains;
use figures::{Figured, Figures, UpstreamHealth};
use lines::Lines;
use offer::Limits;
use placing::{Parcel, Placer, Tools};
use refusal::told;
use upstreams::{NAMED, Upstreams, names_in};
use used::Used;

pub use crates::Miss;
pub use dist::moves;
pub use flight::{Begun, Flight};
pub use refusal::Refusal;
pub use upstreams::{Error, ReadCargoConfig};

/// How often it is looked whether the settings have changed.
const FOLLOWS: Duration = Duration::from_millis(250);

/// How long what was set is taken for not having come to anything, where it cannot be followed.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// Whose live mode it is.
pub struct Options {
    /// The mirror.
    pub mirror: Layout,
    /// The settings, which may change at any time.
    pub settings: Arc<Live>,
    /// Reads the user's cargo configuration: proxies, authorities, tokens, the replacement of crates.io.
    pub cargo_config: ReadCargoConfig,
    /// The environment.
    pub env: Env,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// Where faults are reported.
    pub sink: Arc<dyn Sink>,
}

/// Live mode, on or off.
pub struct Proxy {
    options: Options,
    via: String,
    now: Mutex<Now>,
    crates: Crates,
    ahead: Ahead,
    placer: Placer,
    figures: Arc<Figures>,
    used: Arc<Used>,
    /// How often an index file turned out to be another one before it was to be asked about again.
    surprises: Arc<AtomicU64>,
}

/// What belongs to one state of the settings.
#[derive(Default)]
struct Now {
    generation: Option<u64>,
    running: Option<Arc<Running>>,
    /// Why nobody can be asked, and since when.
    trouble: Option<(String, Instant)>,
}

/// What the settings say of where to fetch from, and of how long that is fresh.
#[derive(PartialEq, Eq)]
struct Wanted {
    index: Option<Upstream>,
    dl: Option<Upstream>,
    dist: Option<Upstream>,
    base_url: Option<BaseUrl>,
    ttl: Duration,
}

impl Wanted {
    fn of(live: &Live, settings: &Settings) -> Wanted {
        let Settings { proxy_index_url, proxy_dl_url, proxy_dist_url, base_url, proxy_ttl, .. } = settings;
        Wanted {
            index: live.is_given(Key::ProxyIndexUrl).then(|| proxy_index_url.clone()),
            dl: proxy_dl_url.clone(),
            dist: live.is_given(Key::ProxyDistUrl).then(|| proxy_dist_url.clone()),
            base_url: base_url.clone(),
            ttl: *proxy_ttl,
        }
    }
}

/// Live mode that is on.
struct Running {
    settings: Arc<Settings>,
    wanted: Wanted,
    upstreams: Arc<Upstreams>,
    lines: Arc<Lines>,
    toolchains: Arc<Toolchains>,
    limits: Limits,
}

/// An index file as it is offered.
#[derive(Clone, Debug)]
pub struct Offered {
    /// Its text; `None`: there is no such crate, neither here nor upstream.
    pub text: Option<String>,
    /// Upstream has such a crate, and the limits let none of its versions pass.
    pub withheld: bool,
    /// Until when it may be given without asking again.
    pub until: Instant,
}

/// What upstream says of a crate; what is offered follows from it and from what is held.
pub struct Upstreamed(Result<(Arc<Running>, lines::Known), Refusal>);

impl Proxy {
    /// Live mode as the settings say. What a killed process left is removed, off or on.
    ///
    /// # Errors
    /// No thread, no random number.
    pub fn start(options: Options) -> io::Result<Proxy> {
        let figures = Arc::new(Figures::default());
        let used = Arc::new(Used::read(&options.mirror.live_used()));
        let placer = Placer::start(Tools {
            layout: options.mirror.clone(),
            settings: Arc::clone(&options.settings),
            env: options.env.clone(),
            clock: options.clock,
            figures: Arc::clone(&figures),
            used: Arc::clone(&used),
            sink: Arc::clone(&options.sink),
        })?;
        let via = format!("{NAMED}{}", random::hex(8)?);
        Ok(Proxy {
            options,
            via,
            now: Mutex::default(),
            crates: Crates::default(),
            ahead: Ahead::new(Arc::clone(&figures)),
            placer,
            figures,
            used,
            surprises: Arc::default(),
        })
    }

    /// Refuses settings that cannot be followed where live mode is on: who starts a server is told at once.
    ///
    /// # Errors
    /// Everything in [`Error`].
    pub fn check(&self) -> Result<(), Error> {
        let settings = self.options.settings.current();
        if settings.proxy_mode { self.upstreams(&settings).map(drop) } else { Ok(()) }
    }

    /// Follows the settings as long as it lives: switched off, it breaks off what is under way, whether anybody asks for anything
    /// or not. Call it where tasks can be started.
    pub fn follow_settings(self: &Arc<Self>) {
        let proxy = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(proxy) = proxy.upgrade() {
                let _as_it_is = proxy.running().is_some();
                drop(proxy);
                tokio::time::sleep(FOLLOWS).await;
            }
        });
    }

    /// What is said in `Via` of an answer that tells others what this server is: its own name, and those of the mirrors that it
    /// fetches from.
    pub fn via(&self) -> String {
        let mut names = vec![self.via.clone()];
        if let Some(Ok(running)) = self.running() {
            names.extend(running.upstreams.chain().into_iter().filter(|name| *name != self.via));
        }
        names.iter().map(|name| format!("1.1 {name}")).collect::<Vec<_>>().join(", ")
    }

    /// Whether a request with this `Via` was sent by this very server, or by a mirror that it fetches from. Neither is asked
    /// for it again: two that ask each other would wait for each other.
    pub fn comes_back(&self, via: &str) -> bool {
        let names = names_in(via);
        let is_upstream =
            |name: &String| matches!(self.running(), Some(Ok(running)) if running.upstreams.chain().contains(name));
        names.iter().any(|name| *name == self.via || is_upstream(name))
    }

    /// Whether live mode is on now.
    pub fn is_on(&self) -> bool {
        self.options.settings.current().proxy_mode
    }

    /// A number that is another one whenever what is offered may be another.
    pub fn generation(&self) -> u64 {
        self.options.settings.generation() + self.surprises.load(Relaxed)
    }

    /// Asks upstream about a crate, where that was not done lately; `None` where live mode is off.
    pub async fn ask(self: &Arc<Self>, name: &CrateName) -> Option<Upstreamed> {
        let running = match self.running()? {
            Ok(running) => running,
            Err(refusal) => return Some(Upstreamed(Err(refusal))),
        };
        self.foresee(&running, name);
        let known = self.known(&running, name, running.settings.proxy_ttl, None).await;
        Some(Upstreamed(known.map(|known| (running, known))))
    }

    async fn known(
        &self,
        running: &Arc<Running>,
        name: &CrateName,
        ttl: Duration,
        since: Option<Timestamp>,
    ) -> Result<lines::Known, Refusal> {
        let known = running.lines.of(&running.upstreams, name, ttl, since).await;
        match &known {
            Ok(known) if known.stale.is_some() => _ = self.figures.stale.fetch_add(1, Relaxed),
            Err(refusal) if !refusal.is_absent() => _ = self.figures.failures.fetch_add(1, Relaxed),
            _ => {}
        }
        known
    }

    /// What is offered of a crate, with its lines that are held (`None`: none are). Call it where hashing may take a while.
    ///
    /// # Errors
    /// Upstream gave no answer, and nothing is held.
    pub fn offered(&self, asked: &Upstreamed, held: Option<&str>) -> Result<Offered, Refusal> {
        let (running, known) = match (&asked.0, held) {
            (Ok(asked), _) => asked,
            // What is here is offered whatever upstream does.
            (Err(_), Some(held)) => {
                self.figures.stale.fetch_add(1, Relaxed);
                return Ok(Offered {
                    text: Some(held.to_owned()),
                    withheld: false,
                    until: Instant::now() + Duration::from_secs(2),
                });
            }
            (Err(refusal), None) => return Err(refusal.clone()),
        };
        let nothing = IndexFile::default();
        let file = known.file.as_deref().unwrap_or(&nothing);
        let offer = offer::offer(file, held.unwrap_or_default(), &running.limits, (self.options.clock)());
        for id in &offer.contradicted {
            self.options.sink.detail(format!("upstream has another {id} than the one that is held, which stays"));
        }
        if let Some(read) = known.read.filter(|_| !offer.renewed.is_empty()) {
            let renewals = offer.renewed.into_iter().map(|line| Renewal { line, read }).collect();
            self.placer.place(Parcel::Renewals(renewals), Box::new(|_| {}));
        }
        let text = Some(offer.text).filter(|text| !text.is_empty());
        let withheld = text.is_none() && !file.text().trim().is_empty();
        Ok(Offered { text, withheld, until: known.fresh_until })
    }

    /// Where crates come from, without credentials; `None` where live mode is off, or can ask nobody.
    pub fn upstream(&self) -> Option<String> {
        self.running()?.ok().map(|running| running.upstreams.site().address())
    }

    /// What was not held is given to a client all the same, so many bytes of it.
    pub fn gives_late(&self, bytes: u64) {
        self.figures.given.fetch_add(1, Relaxed);
        self.figures.given_bytes.fetch_add(bytes, Relaxed);
    }

    /// A file of the mirror is being given to a client.
    pub fn gives(&self, path: &SafePath) {
        if self.options.settings.current().proxy_cache_max > 0 {
            self.used.now(path, (self.options.clock)());
        }
    }

    /// The figures, and how the upstreams are.
    pub fn figures(&self) -> Figured {
        let offline = self.options.settings.current().offline;
        let mut figured = Figured { on: self.is_on(), offline, ..self.figures.now() };
        if !figured.on {
            return figured;
        }
        match self.running() {
            Some(Ok(running)) => {
                let (upstreams, now) = (&running.upstreams, Instant::now());
                let health = |of, address, breaker: &breaker::Breaker| {
                    let (state, why) = match breaker.health(now) {
                        Health::Unasked => ("unasked", None),
                        Health::Good => ("good", None),
                        Health::Shaky(why) => ("shaky", Some(why)),
                        Health::Down(_, why) => ("down", Some(why)),
                    };
                    UpstreamHealth { of, address, state, why }
                };
                figured.upstreams = vec![
                    health("index", Some(upstreams.site().address()), &upstreams.of_index),
                    health("crates", None, &upstreams.of_crates),
                    health("dist", Some(http::shown(&upstreams.dist)), &upstreams.of_dist),
                ];
            }
            Some(Err(refusal)) => figured.trouble = Some(refusal.in_full()),
            None => {}
        }
        figured
    }

    /// Takes no more work, and waits until what came is placed, for so long at most; whether it is.
    pub fn finish(&self, within: Duration) -> bool {
        self.placer.finish(within)
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Live mode as it is to be now; `None`: off.
    fn running(&self) -> Option<Result<Arc<Running>, Refusal>> {
        let generation = self.options.settings.generation();
        let mut now = self.now();
        if now.generation != Some(generation) {
            let before = now.running.take();
            let was_on = now.generation.is_some().then(|| before.is_some() || now.trouble.is_some());
            *now = Now { generation: Some(generation), ..self.follow(before.clone()) };
            match (was_on, &now.running) {
                (Some(false), Some(running)) => {
                    let from = running.upstreams.site().address();
                    self.options.sink.status("Live", format!("switched on: what is not held is fetched from {from}"));
                }
                (Some(true), None) if now.trouble.is_none() => {
                    self.options.sink.status("Live", "switched off: what is held is all there is".to_owned());
                }
                _ => {}
            }
            let stays = |before: &Running| {
                now.running.as_ref().is_some_and(|running| Arc::ptr_eq(&running.upstreams, &before.upstreams))
            };
            if let Some(before) = before.filter(|before| !stays(before)) {
                before.upstreams.switch_off();
            }
        } else if now.trouble.as_ref().is_some_and(|(_, since)| since.elapsed() >= TRY_AGAIN) {
            *now = Now { generation: Some(generation), ..self.follow(None) };
        }
        match (&now.running, &now.trouble) {
            (Some(running), _) => Some(Ok(Arc::clone(running))),
            (None, Some((trouble, _))) => {
                Some(Err(Refusal::misled("live mode is on, and cannot ask upstream", trouble)))
            }
            (None, None) => None,
        }
    }

    /// Whether these upstreams are still to be asked.
    fn is_current(&self, running: &Arc<Running>) -> bool {
        matches!(self.running(), Some(Ok(now)) if Arc::ptr_eq(&now.upstreams, &running.upstreams))
    }

    /// Follows the settings as they are now. What is known of upstream, and what is under way, stays where the settings that
    /// changed say nothing of either.
    fn follow(&self, before: Option<Arc<Running>>) -> Now {
        let Options { settings: live, mirror, clock, sink, .. } = &self.options;
        let settings = live.current();
        if !settings.proxy_mode {
            return Now::default();
        }
        let wanted = Wanted::of(live, &settings);
        let limits = Limits::of(&settings);
        if let Some(before) = before.filter(|before| before.wanted == wanted) {
            let Running { upstreams, lines, toolchains, .. } = &*before;
            let (upstreams, lines, toolchains) = (Arc::clone(upstreams), Arc::clone(lines), Arc::clone(toolchains));
            let running = Running { settings, wanted, upstreams, lines, toolchains, limits };
            return Now { running: Some(Arc::new(running)), ..Now::default() };
        }
        let upstreams = match self.upstreams(&settings) {
            Ok(upstreams) => Arc::new(upstreams),
            Err(error) => {
                let trouble = told(&error);
                sink.warning(format!("live mode is on, and cannot ask upstream: {trouble}"));
                return Now { trouble: Some((trouble, Instant::now())), ..Now::default() };
            }
        };
        let index = &upstreams.site().upstream().index;
        let lines = Arc::new(Lines::new(
            &mirror.live_index(),
            index,
            *clock,
            Arc::clone(&self.surprises),
            Arc::clone(&self.figures),
            Arc::clone(sink),
        ));
        let running = Running { settings, wanted, upstreams, lines, toolchains: Arc::default(), limits };
        Now { running: Some(Arc::new(running)), ..Now::default() }
    }

    fn upstreams(&self, settings: &Settings) -> Result<Upstreams, Error> {
        let Options { settings: live, cargo_config, env, sink, .. } = &self.options;
        Upstreams::of(live, settings, cargo_config, env, &self.via, sink)
    }
}
