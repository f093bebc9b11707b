//! Where live mode fetches from, as the settings say now, and how each of these is.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, watch};

use super::breaker::Breaker;
use super::refusal::{Refusal, is_trouble, told};
use crate::channel;
use crate::crate_id::CrateName;
use crate::env::Env;
use crate::event::Sink;
use crate::gather::cargo_config::{self, CargoConfig, Origin, Upstream};
use crate::gather::site::{self, Config, Site};
use crate::http::{self, Answer, Client};
use crate::server_config::{Key, Live, Settings};

/// How long config.json of an index is taken for fresh.
const CONFIG_FRESH: Duration = Duration::from_secs(10 * 60);

/// How long an older one serves before it is asked for again, and how long anybody waits for a newer one.
const CONFIG_AGAIN: Duration = Duration::from_secs(60);
const CONFIG_PATIENCE: Duration = Duration::from_secs(4);

/// A client waits behind each request, and cargo's patience ends after 30 seconds.
const CONNECT: Duration = Duration::from_secs(8);
const SILENCE: Duration = Duration::from_secs(15);
/// Bytes a second. A download that brings less for as long as [`SILENCE`] is given up: it holds a connection that others
/// wait for.
const LOW_SPEED: u32 = 256;
/// Requests at a time that downloads leave to index files.
const FOR_INDEX: usize = 2;
const RETRIES: u32 = 2;
const BACKOFF: Duration = Duration::from_millis(250);

/// How a server like this one calls itself in `Via`, before an id of its own.
pub(super) const NAMED: &str = "frostmirror-";
/// Mirrors in a chain that are looked at.
const MOST_NAMED: usize = 16;

/// Variables that say where from, as for `fetch`.
const DIST_URL: &str = "FROSTMIRROR_DIST_URL";

/// Reads the user's cargo configuration.
pub type ReadCargoConfig = Arc<dyn Fn() -> Result<CargoConfig, cargo_config::Error> + Send + Sync>;

/// Why there is no upstream.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Cargo's configuration cannot be followed.
    #[error(transparent)]
    CargoConfig(#[from] cargo_config::Error),
    /// The client cannot be made.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// Cargo is told to stay offline.
    #[error("live mode needs the network, and cargo's `net.offline` forbids it")]
    Offline,
    /// The upstream is this very server.
    #[error("`{key}` is this server's own address")]
    Own {
        /// The key, or the variable.
        key: &'static str,
    },
}

/// The upstreams of one state of the settings.
pub(super) struct Upstreams {
    site: Site,
    config: Mutex<Option<(Arc<Config>, Instant)>>,
    /// The mirrors like this one that the registry stands for, as they say themselves.
    chain: std::sync::Mutex<Vec<String>>,
    /// The address that has dist/ and rustup/, without a slash at its end. It may hold a name and a password.
    pub(super) dist: String,
    pub(super) client: Client,
    pub(super) of_index: Breaker,
    pub(super) of_crates: Breaker,
    pub(super) of_dist: Breaker,
    off: watch::Sender<bool>,
}

impl Upstreams {
    /// Asks nobody any more; what is under way is broken off.
    pub(super) fn switch_off(&self) {
        self.off.send_replace(true);
    }

    /// Those that `settings` name, else the environment, else cargo's configuration, else crates.io and rust-lang.org.
    pub(super) fn of(
        live: &Live,
        settings: &Settings,
        read: &ReadCargoConfig,
        env: &Env,
        via: &str,
        sink: &Arc<dyn Sink>,
    ) -> Result<Upstreams, Error> {
        let cargo = read()?;
        if cargo.offline() {
            return Err(Error::Offline);
        }
        let mut http = cargo.http();
        http.via = Some(via.to_owned());
        http.retries = http.retries.min(RETRIES);
        http.first_backoff = BACKOFF;
        http.connect_timeout = http.connect_timeout.min(CONNECT);
        // Zero stands for no limit, which a server must have.
        http.low_speed_timeout =
            Some(http.low_speed_timeout).filter(|time| !time.is_zero()).unwrap_or(SILENCE).min(SILENCE);
        http.low_speed_limit = http.low_speed_limit.max(LOW_SPEED);
        http.reserved = FOR_INDEX;
        let mut registry = registry(live, settings, &cargo, env)?;
        for warning in std::mem::take(&mut registry.warnings) {
            sink.warning(warning);
        }
        let dist = match env.text(DIST_URL).filter(|_| !live.is_given(Key::ProxyDistUrl)) {
            Some(url) => url.to_owned(),
            None => settings.proxy_dist_url.as_str().to_owned(),
        };
        let dist = dist.trim_end_matches('/').to_owned();
        http.configured = registry.addresses().chain([dist.clone()]).collect();
        let client = Client::new(&http)?;
        refuse_own(settings, &registry, &dist)?;
        let (off, is_off) = watch::channel(false);
        Ok(Upstreams {
            site: Site::new(client.clone(), registry),
            config: Mutex::default(),
            chain: std::sync::Mutex::default(),
            dist,
            client,
            of_index: Breaker::new("the index", &is_off, Arc::clone(sink)),
            of_crates: Breaker::new("crates", &is_off, Arc::clone(sink)),
            of_dist: Breaker::new("toolchains", &is_off, Arc::clone(sink)),
            off,
        })
    }

    /// The registry.
    pub(super) fn site(&self) -> &Site {
        &self.site
    }

    /// What the registry says of itself, asked for now and then.
    ///
    /// # Errors
    /// It cannot be had, and never was.
    pub(super) async fn config(&self) -> Result<Arc<Config>, Refusal> {
        let mut config = self.config.lock().await;
        if let Some((known, until)) = &*config
            && *until > Instant::now()
        {
            return Ok(Arc::clone(known));
        }
        let asked = guarded(&self.of_index, "config.json", self.site.ask_for_config(), wire_of);
        let asked = match &*config {
            None => asked.await,
            Some(_) => match tokio::time::timeout(CONFIG_PATIENCE, asked).await {
                Ok(asked) => asked,
                Err(_) => Err(Refusal::busy("upstream is slow with config.json", CONFIG_PATIENCE)),
            },
        };
        let read = asked.and_then(|(answer, locked)| {
            // A mirror that was started anew has another name.
            *self.chain_now() = names_in(answer.via.as_deref().unwrap_or_default());
            let text = (answer.status == 200).then(|| String::from_utf8_lossy(&answer.body).into_owned());
            self.site.config(text.as_deref(), locked).map_err(|error| Refusal::bad_gateway(told(&error)))
        });
        let read = match read {
            Ok(new) if new.registry.auth_required => match self.site.token().await {
                Ok(_) => Ok(new),
                Err(error) => Err(Refusal::bad_gateway(told(&error))),
            },
            other => other,
        };
        match (read, &*config) {
            (Ok(new), _) => {
                let new = Arc::new(new);
                *config = Some((Arc::clone(&new), Instant::now() + CONFIG_FRESH));
                Ok(new)
            }
            (Err(_), Some((known, _))) => {
                let known = Arc::clone(known);
                // Else each who waits here would ask again in turn.
                *config = Some((Arc::clone(&known), Instant::now() + CONFIG_AGAIN));
                Ok(known)
            }
            (Err(refusal), None) => Err(refusal),
        }
    }

    /// The mirrors like this one that the registry stands for, as far as they said so.
    pub(super) fn chain(&self) -> Vec<String> {
        self.chain_now().clone()
    }

    fn chain_now(&self) -> MutexGuard<'_, Vec<String>> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index file of one crate, where it is not the one with these validators.
    pub(super) async fn lines(
        &self,
        name: &CrateName,
        etag: Option<&str>,
        last_modified: Option<&str>,
    ) -> Result<Answer, Refusal> {
        let config = self.config().await?;
        let what = format!("the index file of {name}");
        let asked = self.site.ask_for_lines(&config, name, etag, last_modified);
        guarded(&self.of_index, &what, asked, wire_of).await
    }
}

/// The mirrors like this one that a `Via` names.
pub(super) fn names_in(via: &str) -> Vec<String> {
    let words = via.split([',', ' ']).filter(|word| word.starts_with(NAMED) && word.len() <= 64);
    words.take(MOST_NAMED).map(str::to_owned).collect()
}

/// Sends a request to an upstream that is not down, and remembers how that went.
pub(super) async fn guarded<T, E: std::error::Error>(
    breaker: &Breaker,
    what: &str,
    request: impl Future<Output = Result<T, E>>,
    wire: fn(&E) -> Option<&http::Error>,
) -> Result<T, Refusal> {
    breaker
        .ask(Instant::now())
        .map_err(|(left, why)| Refusal::busy(format!("upstream is down, so {what} cannot be had: {why}"), left))?;
    let mut asked = Asked { breaker, told: false };
    let result = tokio::select! {
        biased;
        () = breaker.switched_off() => {
            return Err(Refusal::bad_gateway(format!("{what} is not asked for any more: the settings have changed")));
        }
        result = request => result,
    };
    asked.told = true;
    match &result {
        Err(error) if wire(error).is_some_and(is_trouble) => breaker.failed(Instant::now(), told(error)),
        // It has answered too where its answer could not be kept.
        _ => breaker.answered(),
    }
    result.map_err(|error| match wire(&error) {
        Some(wire) => Refusal::of_wire(what, wire),
        None => Refusal::bad_gateway(told(&error)),
    })
}

/// A request that nobody waits for any more tells its upstream's breaker so.
struct Asked<'b> {
    breaker: &'b Breaker,
    told: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.breaker.given_up();
        }
    }
}

/// What of the wire lies below an error of the registry.
fn wire_of(error: &site::Error) -> Option<&http::Error> {
    match error {
        site::Error::Fetch { source, .. } => Some(source),
        _ => None,
    }
}

/// What an error of the wire is to itself.
pub(super) fn itself(error: &http::Error) -> Option<&http::Error> {
    Some(error)
}

fn registry(live: &Live, settings: &Settings, cargo: &CargoConfig, env: &Env) -> Result<Upstream, Error> {
    let mut upstream = match live.is_given(Key::ProxyIndexUrl) {
        true => cargo.upstream_at(settings.proxy_index_url.as_str(), env)?,
        false => cargo.upstream(env)?,
    };
    if let Some(dl) = &settings.proxy_dl_url {
        upstream.dl = Some(dl.as_str().to_owned());
    }
    Ok(upstream)
}

/// Refuses the one circle that can be seen from here; others are seen by their requests.
fn refuse_own(settings: &Settings, registry: &Upstream, dist: &str) -> Result<(), Error> {
    let Some(base) = &settings.base_url else { return Ok(()) };
    let below = |url: &str| {
        let shown = http::shown(url);
        let rest = shown.trim_end_matches('/').strip_prefix(base.as_str().trim_end_matches('/')).map(str::to_owned);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if below(&registry.index) {
        let key = match registry.origin {
            Origin::Environment => "FROSTMIRROR_REGISTRY_URL",
            _ => "proxy_index_url",
        };
        return Err(Error::Own { key });
    }
    if below(dist) && dist != channel::UPSTREAM {
        return Err(Error::Own { key: "proxy_dist_url" });
    }
    Ok(())
}
