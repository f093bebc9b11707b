//! Toolchains and rustup: what moves upstream, and what a manifest names.
//!
//! | file | what it knows |
//! |---|---|
//! | `unit` | which files are of use together alone |
//! | `bring` | one of these from upstream into the mirror |
//! | `named` | which files the held manifests name |
//! | `recent` | tables that strangers cannot make grow |
//!
//! rustup asks for a manifest's `.sha256` first, and then for the manifest: both are held, and replaced, together. Components
//! are only asked for where a held manifest names them.

mod bring;
mod named;
mod recent;
mod unit;

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

use super::crates::Miss;
use super::flight::{Errand, Flight, Pilot};
use super::placing::Parcel;
use super::refusal::Refusal;
use super::{Proxy, Running};
use crate::channel::{Date, Named};
use crate::digest::Sha256;
use crate::gather::toolchains::MAX_FILE;
use crate::safe_path::SafePath;
use named::Manifests;
use recent::Recent;
use unit::Unit;

/// How long a client waits for upstream where an older copy is at hand.
const PATIENCE_WITH_COPY: Duration = Duration::from_secs(4);
/// How long where there is none. rustup gives up later than cargo, which does after 30 seconds without a byte.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long an older copy serves before upstream is asked again.
const STALE_FRESH: Duration = Duration::from_secs(5);
/// How long an absence is remembered at most.
const ABSENT_FRESH: Duration = Duration::from_secs(60);
/// Who was given a manifest's digest asks for the manifest next. For so long it is not looked for anew, so that they fit.
const NEXT: Duration = Duration::from_secs(10);
/// Absences that are remembered, in each half of the table. A rustup that looks for a nightly of an earlier day asks for
/// every day since 2014.
const ABSENT: usize = 8 * 1024;
/// Units that are remembered, in each half of the table. Upstream has some hundred that move.
const UNITS: usize = 1024;

/// Whether the file is another one from time to time: a channel's manifest that is not of one day, what rustup is updated to,
/// and what belongs to either.
pub fn moves(path: &SafePath) -> bool {
    Unit::of(path).is_some_and(|unit| unit.moves())
}

type Bringing = Shared<BoxFuture<'static, Result<(), Refusal>>>;

/// What is known of upstream's toolchains.
pub(super) struct Toolchains {
    table: Mutex<Table>,
    manifests: Manifests,
}

struct Table {
    fresh: Recent<Unit, Fresh>,
    absent: Recent<SafePath, Instant>,
    /// What is on its way; anew, or where it has changed.
    bringing: HashMap<(Unit, bool), Bringing>,
}

/// How fresh a unit is.
#[derive(Clone, Copy)]
struct Fresh {
    /// When upstream is to be asked again.
    until: Instant,
    /// Upstream gave no answer the last time.
    stale: bool,
    /// Until when the leader is not looked for anew, because its digest was just given.
    leads_until: Instant,
    /// The digest that upstream stated the last time.
    seen: Option<Sha256>,
}

impl Default for Toolchains {
    fn default() -> Toolchains {
        let table = Table { fresh: Recent::new(UNITS), absent: Recent::new(ABSENT), bringing: HashMap::new() };
        Toolchains { table: Mutex::new(table), manifests: Manifests::default() }
    }
}

impl Toolchains {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether upstream is to be asked before the file at `path` is given; `Err`: not yet, since it gave no answer.
    fn is_due(&self, unit: &Unit, path: &SafePath) -> Result<bool, Stale> {
        let mut table = self.table();
        let Some(fresh) = table.fresh.get_mut(unit) else { return Ok(true) };
        let now = Instant::now();
        let is_digest = unit.is_digest(path);
        if is_digest && fresh.until > now {
            fresh.leads_until = now + NEXT;
        }
        match fresh.until > now || (!is_digest && fresh.leads_until > now) {
            true if fresh.stale => Err(Stale),
            waits => Ok(!waits),
        }
    }

    /// Remembers that what is held was looked for upstream, just now.
    fn is_fresh(&self, unit: &Unit, ttl: Duration, seen: Option<Sha256>) {
        let mut table = self.table();
        let now = Instant::now();
        let leads_until = table.fresh.get(unit).map_or(now, |before| before.leads_until);
        table.fresh.put(unit.clone(), Fresh { until: now + ttl, stale: false, leads_until, seen });
    }

    /// Remembers that the file at `path` is given to somebody, where it is the digest of another.
    fn given(&self, unit: &Unit, path: &SafePath) {
        if unit.is_digest(path)
            && let Some(fresh) = self.table().fresh.get_mut(unit)
        {
            fresh.leads_until = Instant::now() + NEXT;
        }
    }

    /// Remembers that upstream gave no answer, or none in time: others do not wait for it as well.
    fn is_stale(&self, unit: &Unit) {
        let mut table = self.table();
        let (now, before) = (Instant::now(), table.fresh.get(unit).copied());
        // It may have come at the last moment.
        if before.is_some_and(|before| before.until > now) {
            return;
        }
        let (leads_until, seen) = before.map_or((now, None), |before| (before.leads_until, before.seen));
        table.fresh.put(unit.clone(), Fresh { until: now + STALE_FRESH, stale: true, leads_until, seen });
    }

    fn is_absent(&self, path: &SafePath) -> bool {
        let mut table = self.table();
        match table.absent.get(path) {
            Some(until) if *until > Instant::now() => true,
            Some(_) => {
                table.absent.remove(path);
                false
            }
            None => false,
        }
    }

    fn remember_absent(&self, path: SafePath, ttl: Duration) {
        self.table().absent.put(path, Instant::now() + ttl.min(ABSENT_FRESH));
    }
}

/// Upstream gave no answer a moment ago.
struct Stale;

impl Proxy {
    /// Looks upstream for what has moved, where that was not done lately. Where an older copy is held and upstream is slow,
    /// or gives no answer, that copy is as good as it gets.
    pub async fn freshen(self: &Arc<Self>, path: &SafePath) {
        let Some(unit) = Unit::of(path).filter(Unit::moves) else { return };
        let Some(Ok(running)) = self.running() else { return };
        let stale = match running.toolchains.is_due(&unit, path) {
            Ok(false) => false,
            Err(Stale) => true,
            // What is not held is brought as a miss.
            Ok(true) if !self.holds(path).await => return,
            Ok(true) => match tokio::time::timeout(PATIENCE_WITH_COPY, self.bringing(&running, &unit, false)).await {
                Ok(Ok(())) => false,
                // What upstream does not have, or has no more, stays as it is.
                Ok(Err(refusal)) if refusal.is_absent() => {
                    running.toolchains.is_fresh(&unit, running.settings.proxy_ttl, None);
                    false
                }
                Ok(Err(_)) | Err(_) => {
                    running.toolchains.is_stale(&unit);
                    true
                }
            },
        };
        running.toolchains.given(&unit, path);
        if stale {
            self.figures.stale.fetch_add(1, Relaxed);
        }
    }

    /// Has a file below dist/ or rustup/ fetched that is not held; `None` where live mode is off, and for a path that upstream
    /// need not be asked for.
    pub async fn fetch_artifact(self: &Arc<Self>, path: &SafePath) -> Option<Miss> {
        let running = match self.running()? {
            Ok(running) => running,
            Err(refusal) => return Some(Miss::Refused(refusal)),
        };
        if let Some(unit) = Unit::of(path) {
            self.figures.misses.fetch_add(1, Relaxed);
            return Some(match self.fetch_unit(&running, &unit, path).await {
                Ok(()) => Miss::Held,
                Err(refusal) => Miss::Refused(refusal),
            });
        }
        let date = day_of_component(path)?;
        self.figures.misses.fetch_add(1, Relaxed);
        if let Some(flight) = self.crates.flights().get(path.as_str()) {
            return Some(Miss::Coming(flight.clone()));
        }
        Some(match self.digest_of(&running, path, date).await {
            Ok(sha256) => self.take_off_to(&running, path, sha256),
            Err(refusal) => Miss::Refused(refusal),
        })
    }

    async fn fetch_unit(self: &Arc<Self>, running: &Arc<Running>, unit: &Unit, path: &SafePath) -> Result<(), Refusal> {
        let absent = || Refusal::absent(format!("upstream does not have {path}"));
        let toolchains = &running.toolchains;
        if toolchains.is_absent(&unit.leader()) || toolchains.is_absent(path) {
            return Err(absent());
        }
        // A signature alone may be lacking; that it fits what is held is seen from both.
        let anew = unit.is_signature(path);
        match tokio::time::timeout(PATIENCE, self.bringing(running, unit, anew)).await {
            Ok(brought) => brought?,
            Err(_) => {
                let text = format!("upstream is slow with {path}; it is still being fetched");
                return Err(Refusal::busy(text, Duration::from_secs(2)));
            }
        }
        if self.holds(path).await {
            toolchains.given(unit, path);
            return Ok(());
        }
        toolchains.remember_absent(path.clone(), running.settings.proxy_ttl);
        Err(absent())
    }

    /// Brings a unit, once for all who ask for it.
    async fn bringing(self: &Arc<Self>, running: &Arc<Running>, unit: &Unit, anew: bool) -> Result<(), Refusal> {
        if unit.is_of_no_day((self.options.clock)()) {
            return Err(Refusal::absent(format!("no toolchain is of the day of {unit}")));
        }
        let bringing = {
            let mut table = running.toolchains.table();
            let begin = || {
                // A task of its own: whoever asked may go away.
                let task = tokio::spawn(Arc::clone(self).bring_one(Arc::clone(running), unit.clone(), anew));
                let (running, key) = (Arc::clone(running), (unit.clone(), anew));
                let ended = move |ended: Result<_, _>| {
                    ended.unwrap_or_else(|_| {
                        running.toolchains.table().bringing.remove(&key);
                        Err(Refusal::bad_gateway(format!("asking for {} was broken off", key.0)))
                    })
                };
                task.map(ended).boxed().shared()
            };
            table.bringing.entry((unit.clone(), anew)).or_insert_with(begin).clone()
        };
        bringing.await
    }

    async fn bring_one(self: Arc<Self>, running: Arc<Running>, unit: Unit, anew: bool) -> Result<(), Refusal> {
        let (toolchains, ttl) = (&running.toolchains, running.settings.proxy_ttl);
        let seen = toolchains.table().fresh.get(&unit).and_then(|fresh| fresh.seen);
        let brought = self.bring(&running, &unit, seen, anew).await;
        let outcome = match brought {
            Ok(brought) => {
                if unit.moves() {
                    toolchains.is_fresh(&unit, ttl, brought.sha256);
                }
                Ok(())
            }
            Err(refusal) => {
                match refusal.is_absent() {
                    true => toolchains.remember_absent(unit.leader(), ttl),
                    false => self.lost(&unit.to_string(), &refusal),
                }
                Err(refusal)
            }
        };
        toolchains.table().bringing.remove(&(unit, anew));
        outcome
    }

    /// The digest that a manifest states for a component. Where no held one names it, those of its day are brought.
    async fn digest_of(
        self: &Arc<Self>,
        running: &Arc<Running>,
        path: &SafePath,
        date: Date,
    ) -> Result<Sha256, Refusal> {
        let unnamed = || Refusal::absent(format!("no channel manifest names {path}"));
        if running.toolchains.is_absent(path) {
            return Err(unnamed());
        }
        if let Some(sha256) = self.named(running, path).await? {
            return Ok(sha256);
        }
        let release = match Named::of(path) {
            Some(Named::Component { release, .. }) => Some(release),
            _ => None,
        };
        let mut trouble = None;
        for unit in bring::may_name(release, date) {
            let leader = unit.leader();
            if running.toolchains.is_absent(&leader) || self.holds(&leader).await {
                continue;
            }
            match self.fetch_unit(running, &unit, &leader).await {
                Ok(()) => {}
                Err(refusal) if refusal.is_absent() => continue,
                // The manifest of another channel is no reason to do without this one's.
                Err(refusal) => {
                    trouble.get_or_insert(refusal);
                    continue;
                }
            }
            if let Some(sha256) = self.named(running, path).await? {
                return Ok(sha256);
            }
        }
        if let Some(refusal) = trouble {
            return Err(refusal);
        }
        running.toolchains.remember_absent(path.clone(), running.settings.proxy_ttl);
        Err(unnamed())
    }

    async fn named(&self, running: &Arc<Running>, path: &SafePath) -> Result<Option<Sha256>, Refusal> {
        let (running, root, wanted) = (Arc::clone(running), self.options.mirror.root().to_owned(), path.clone());
        let read = tokio::task::spawn_blocking(move || running.toolchains.manifests.digest_of(&root, &wanted));
        let read = read.await.map_err(std::io::Error::other).and_then(|read| read);
        read.map_err(|error| Refusal::bad_gateway(format!("the manifests of this mirror cannot be read: {error}")))
    }

    /// Begins the download of a component, unless it has begun.
    fn take_off_to(self: &Arc<Self>, running: &Arc<Running>, path: &SafePath, sha256: Sha256) -> Miss {
        let name = path.as_str();
        let mut flights = self.crates.flights();
        if let Some(flight) = flights.get(name) {
            return Miss::Coming(flight.clone());
        }
        // Flights are forgotten after their file is in its place.
        if path.below(self.options.mirror.root()).is_file() {
            return Miss::Held;
        }
        let (flight, pilot) = Flight::prepare(self.options.mirror.clone());
        flights.insert(name.to_owned(), flight.clone());
        drop(flights);
        tokio::spawn(Arc::clone(self).fly_to(Arc::clone(running), pilot, path.clone(), sha256));
        Miss::Coming(flight)
    }

    async fn fly_to(self: Arc<Self>, running: Arc<Running>, pilot: Pilot, path: SafePath, sha256: Sha256) {
        let upstreams = &running.upstreams;
        let url = format!("{}/{path}", upstreams.dist);
        let errand = Errand { what: path.to_string(), url, token: None, sha256, limit: MAX_FILE };
        self.figures.fetches.fetch_add(1, Relaxed);
        let read = (self.options.clock)();
        match pilot.fly(&upstreams.client, &upstreams.of_dist, &errand).await {
            Ok(landed) => {
                self.figures.bytes.fetch_add(landed.size, Relaxed);
                let (proxy, name) = (Arc::clone(&self), path.to_string());
                let done = Box::new(move |_placed| {
                    proxy.crates.flights().remove(&name);
                });
                self.placer.place(Parcel::Artifacts(vec![(path, sha256, read, landed)]), done);
            }
            Err(refusal) => {
                if refusal.is_absent() {
                    running.toolchains.remember_absent(path.clone(), running.settings.proxy_ttl);
                }
                self.crates.flights().remove(path.as_str());
                self.lost(path.as_str(), &refusal);
            }
        }
    }

    async fn holds(&self, path: &SafePath) -> bool {
        let path = path.below(self.options.mirror.root());
        tokio::task::spawn_blocking(move || path.is_file()).await.unwrap_or(false)
    }
}

/// The day of a path that a manifest may name: an archive in the folder of a day.
fn day_of_component(path: &SafePath) -> Option<Date> {
    let parts: Vec<&str> = path.components().collect();
    let ["dist", day, file] = parts.as_slice() else { return None };
    let is_archive = [".tar.xz", ".tar.gz", ".tar.zst"].iter().any(|end| file.ends_with(end));
    day.parse().ok().filter(|_| is_archive)
}
