//! What is known of upstream's toolchains: what is fresh, what is absent, what is on its way.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, Shared};

use super::super::flight::Flight;
use super::super::refusal::Refusal;
use super::named::Manifests;
use super::recent::Recent;
use super::unit::Unit;
use crate::digest::Sha256;
use crate::safe_path::SafePath;

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
/// A unit that is on its way, for all who ask for it.
pub(super) type Bringing = Shared<BoxFuture<'static, Result<(), Refusal>>>;

/// What is known of upstream's toolchains.
pub(in super::super) struct Toolchains {
    table: Mutex<Table>,
    pub(super) manifests: Manifests,
    /// Components that are under way, and those that came and are not placed yet.
    flights: Mutex<HashMap<SafePath, Flight>>,
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
        Toolchains { table: Mutex::new(table), manifests: Manifests::default(), flights: Mutex::default() }
    }
}

impl Toolchains {
    /// The components that are under way.
    pub(super) fn flights(&self) -> MutexGuard<'_, HashMap<SafePath, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether upstream is to be asked before the file at `path` is given; `Err`: not yet, since it gave no answer.
    pub(super) fn is_due(&self, unit: &Unit, path: &SafePath) -> Result<bool, Stale> {
        let table = self.table();
        let Some(fresh) = table.fresh.get(unit) else { return Ok(true) };
        let now = Instant::now();
        match fresh.until > now || (!unit.is_digest(path) && fresh.leads_until > now) {
            true if fresh.stale => Err(Stale),
            waits => Ok(!waits),
        }
    }

    /// Remembers that what is held was looked for upstream, just now.
    pub(super) fn is_fresh(&self, unit: &Unit, ttl: Duration, seen: Option<Sha256>) {
        let mut table = self.table();
        let now = Instant::now();
        let leads_until = table.fresh.get(unit).map_or(now, |before| before.leads_until);
        table.fresh.put(unit.clone(), Fresh { until: now + ttl, stale: false, leads_until, seen });
    }

    /// Remembers that the file at `path` is given to somebody, where it is the digest of another.
    pub(super) fn given(&self, unit: &Unit, path: &SafePath) {
        if unit.is_digest(path)
            && let Some(fresh) = self.table().fresh.get_mut(unit)
        {
            fresh.leads_until = Instant::now() + NEXT;
        }
    }

    /// Remembers that upstream gave no answer, or none in time: others do not wait for it as well.
    pub(super) fn is_stale(&self, unit: &Unit) {
        let mut table = self.table();
        let (now, before) = (Instant::now(), table.fresh.get(unit).copied());
        // It may have come at the last moment.
        if before.is_some_and(|before| before.until > now) {
            return;
        }
        let (leads_until, seen) = before.map_or((now, None), |before| (before.leads_until, before.seen));
        table.fresh.put(unit.clone(), Fresh { until: now + STALE_FRESH, stale: true, leads_until, seen });
    }

    /// The digest that upstream stated the last time for the leader of `unit`.
    pub(super) fn seen(&self, unit: &Unit) -> Option<Sha256> {
        self.table().fresh.get(unit).and_then(|fresh| fresh.seen)
    }

    /// What brings `unit` already, else what `begin` begins; `anew` is another thing than where it has changed.
    pub(super) fn bringing(&self, unit: &Unit, anew: bool, begin: impl FnOnce() -> Bringing) -> Bringing {
        self.table().bringing.entry((unit.clone(), anew)).or_insert_with(begin).clone()
    }

    /// Nothing brings `unit` any more.
    pub(super) fn brought(&self, unit: &Unit, anew: bool) {
        self.table().bringing.remove(&(unit.clone(), anew));
    }

    /// Whether upstream said lately that it has no such file, or no manifest names it.
    pub(super) fn is_absent(&self, path: &SafePath) -> bool {
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

    /// Remembers that.
    pub(super) fn remember_absent(&self, path: SafePath, ttl: Duration) {
        self.table().absent.put(path, Instant::now() + ttl.min(ABSENT_FRESH));
    }
}

/// Upstream gave no answer a moment ago.
pub(super) struct Stale;
