//! Crates that are not held: each fetched once, whoever asks.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::flight::{Errand, Flight, Landed, Pilot};
use super::offer::Withheld;
use super::placing::Parcel;
use super::refusal::Refusal;
use super::{Proxy, Running};
use crate::crate_id::CrateId;
use crate::index_line::IndexLine;

/// Most bytes of a `.crate`. Crates.io allows 10 MB and a few exceptions; own registries have larger ones.
const MAX_CRATE: u64 = 4 * 1024 * 1024 * 1024;
/// A version that upstream's file does not list is asked for again where the file is older than this: a client may know more.
const SECOND_LOOK: Duration = Duration::from_secs(2);

/// What becomes of a request for a file that is not held.
#[derive(Debug)]
pub enum Miss {
    /// It is held by now.
    Held,
    /// It is on its way.
    Coming(Flight),
    /// It cannot be had.
    Refused(Refusal),
}

/// The downloads that are under way, and those that came and are not placed yet.
#[derive(Default)]
pub(super) struct Crates {
    flights: Mutex<HashMap<String, Flight>>,
}

impl Crates {
    /// By the name of the crate's file; components of toolchains are among them, by their paths.
    pub(super) fn flights(&self) -> MutexGuard<'_, HashMap<String, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// Has a crate fetched that is not held; `None` where live mode is off.
    pub async fn fetch_crate(self: &Arc<Self>, id: &CrateId) -> Option<Miss> {
        let running = match self.running()? {
            Ok(running) => running,
            Err(refusal) => return Some(Miss::Refused(refusal)),
        };
        self.figures.misses.fetch_add(1, Relaxed);
        if let Some(flight) = self.crates.flights().get(&id.file_name()) {
            return Some(Miss::Coming(flight.clone()));
        }
        Some(match self.line_of(&running, id).await {
            Ok((line, read)) => self.take_off(&running, id, line, read),
            Err(refusal) => Miss::Refused(refusal),
        })
    }

    /// The line of a crate, as it is offered, and when upstream's index was read.
    async fn line_of(&self, running: &Arc<Running>, id: &CrateId) -> Result<(IndexLine, jiff::Timestamp), Refusal> {
        let now = (self.options.clock)();
        let ttl = running.settings.proxy_ttl;
        let mut known = self.known(running, &id.name, ttl, None).await?;
        let lists = |known: &super::lines::Known| {
            let file = known.file.as_ref()?;
            file.find(&id.name, &id.version)
        };
        let mut line = lists(&known);
        if line.is_none() {
            let since = now.checked_sub(SECOND_LOOK).unwrap_or(now);
            known = self.known(running, &id.name, ttl, Some(since)).await?;
            line = lists(&known);
        }
        // What is held says which bytes the crate has, also where its file was left out or is lost.
        let held = fs::read_to_string(self.options.mirror.index_file(&id.name)).ok();
        let held = held.and_then(|text| IndexLine::find(&text, &id.name, &id.version));
        let read = known.read.unwrap_or(now);
        if let Some(held) = held {
            return Ok((held, read));
        }
        let line = line.ok_or_else(|| Refusal::absent(format!("upstream's index does not list {id}")))?;
        match running.limits.withhold(&id.name, &id.version, &line.raw, now) {
            None => Ok((line, read)),
            Some(why) => Err(Refusal::absent(match why {
                Withheld::Denied => format!("{id} is not offered by this mirror: `deny` names it"),
                Withheld::NotAllowed => format!("{id} is not offered by this mirror: `allow` does not name it"),
                Withheld::TooYoung(until) => format!("{id} is not offered by this mirror before {until}: `min_age`"),
            })),
        }
    }

    /// Begins the download, unless it has begun.
    fn take_off(
        self: &Arc<Self>,
        running: &Arc<Running>,
        id: &CrateId,
        line: IndexLine,
        read: jiff::Timestamp,
    ) -> Miss {
        let name = id.file_name();
        let mut flights = self.crates.flights();
        if let Some(flight) = flights.get(&name) {
            return Miss::Coming(flight.clone());
        }
        // Flights are forgotten after their file is in its place.
        if self.options.mirror.crate_file(id).is_file() {
            return Miss::Held;
        }
        let (flight, pilot) = Flight::prepare(self.options.mirror.clone());
        flights.insert(name, flight.clone());
        drop(flights);
        // A task of its own: whoever asked may go away.
        tokio::spawn(Arc::clone(self).fly(Arc::clone(running), pilot, id.clone(), line, read));
        Miss::Coming(flight)
    }

    async fn fly(
        self: Arc<Self>,
        running: Arc<Running>,
        pilot: Pilot,
        id: CrateId,
        line: IndexLine,
        read: jiff::Timestamp,
    ) {
        let upstreams = &running.upstreams;
        let landed = match upstreams.config().await {
            Ok(config) => {
                let errand = Errand {
                    what: id.to_string(),
                    url: config.registry.download_url(&id, &line.cksum),
                    token: upstreams.site().download_token(&config),
                    sha256: line.cksum,
                    limit: MAX_CRATE,
                };
                self.figures.fetches.fetch_add(1, Relaxed);
                pilot.fly(&upstreams.client, &upstreams.of_crates, &errand).await
            }
            Err(refusal) => {
                pilot.refuse(refusal.clone());
                Err(refusal)
            }
        };
        match landed {
            Ok(landed) => self.landed(id, line, read, landed),
            Err(refusal) => {
                self.crates.flights().remove(&id.file_name());
                self.lost(&id.to_string(), &refusal);
            }
        }
    }

    fn landed(self: Arc<Self>, id: CrateId, line: IndexLine, read: jiff::Timestamp, landed: Landed) {
        self.figures.bytes.fetch_add(landed.size, Relaxed);
        let (name, proxy) = (id.file_name(), Arc::clone(&self));
        let done = Box::new(move |_placed| {
            proxy.crates.flights().remove(&name);
        });
        self.placer.place(Parcel::Crate { id, line: Box::new(line), read, landed }, done);
    }

    /// Counts and reports a file that did not come.
    pub(super) fn lost(&self, what: &str, refusal: &Refusal) {
        if refusal.is_absent() {
            return;
        }
        let figure = if refusal.is_mismatch() { &self.figures.mismatches } else { &self.figures.failures };
        figure.fetch_add(1, Relaxed);
        self.options.sink.warning(format!("live mode did not get {what}: {}", refusal.text));
    }
}
