//! Crates that are not held: each fetched once, whoever asks.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::flight::{Errand, Flight, Gate, Landed, Pilot, Step};
use super::offer::Withheld;
use super::placing::Parcel;
use super::prefetch_budget::{Admission, Reservation};
use super::refusal::Refusal;
use super::{Proxy, Running};
use crate::crate_id::CrateId;
use crate::index_line::IndexLine;

/// Most bytes of a `.crate`. Crates.io allows 10 MB and a few exceptions; own registries have larger ones.
const MAX_CRATE: u64 = 4 * 1024 * 1024 * 1024;
/// A version that upstream's file does not list is asked for again where the file is older than this: a client may know more.
const SECOND_LOOK: Duration = Duration::from_secs(2);

/// How long a prefetched crate waits for a client to request it.
const AHEAD_WAITS: Duration = Duration::from_secs(30);

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
    flights: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    flight: Flight,
    standing: Standing,
}

/// Whether a client has requested a crate, or it is prefetched.
enum Standing {
    /// A client has; `ahead`: its download began before.
    Wanted { ahead: bool },
    /// No client has yet.
    Ahead(Reservation),
    /// It arrived, and no client has requested it yet. It is only stored when one does.
    Waits(Box<Cargo>, Instant, Reservation),
}

/// A crate that came, with what belongs to it.
struct Cargo {
    id: CrateId,
    line: IndexLine,
    read: Timestamp,
    landed: Landed,
}

impl Entry {
    /// A client's handle on the download, and the crate where it has arrived and is to be stored now.
    fn board(&mut self) -> (Flight, Option<Box<Cargo>>) {
        let flight = self.flight.for_client();
        let arrived = match std::mem::replace(&mut self.standing, Standing::Wanted { ahead: true }) {
            Standing::Wanted { ahead } => {
                self.standing = Standing::Wanted { ahead };
                None
            }
            Standing::Ahead(reservation) => {
                reservation.confirm();
                None
            }
            Standing::Waits(cargo, _, reservation) => {
                reservation.confirm();
                Some(cargo)
            }
        };
        (flight, arrived)
    }
}

impl Crates {
    fn flights(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
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
        self.ahead.request(id);
        // What came ahead may be what is not offered any more.
        if self.is_wanted(id)
            && let Some(flight) = self.board(id)
        {
            self.look_ahead(&running);
            return Some(Miss::Coming(flight));
        }
        Some(match self.line_of(&running, id).await {
            Ok((line, read)) => {
                let miss = self.take_off(&running, id, line, read, None);
                self.look_ahead(&running);
                miss
            }
            Err(refusal) => Miss::Refused(refusal),
        })
    }

    fn is_wanted(&self, id: &CrateId) -> bool {
        let flights = self.crates.flights();
        flights.get(&id.file_name()).is_some_and(|entry| matches!(entry.standing, Standing::Wanted { .. }))
    }

    /// The download of a crate, where it has begun. It is wanted from then on.
    fn board(self: &Arc<Self>, id: &CrateId) -> Option<Flight> {
        let mut flights = self.crates.flights();
        let entry = flights.get_mut(&id.file_name()).filter(|entry| !entry.flight.is_lost())?;
        let (flight, arrived) = entry.board();
        drop(flights);
        if let Some(cargo) = arrived {
            self.hand_over(*cargo);
        }
        Some(flight)
    }

    /// Prefetches what clients will probably request next, within the budget.
    fn look_ahead(self: &Arc<Self>, running: &Arc<Running>) {
        for (id, reservation) in self.ahead.take_expected() {
            tokio::spawn(Arc::clone(self).prefetch(Arc::clone(running), id, reservation));
        }
    }

    async fn prefetch(self: Arc<Self>, running: Arc<Running>, id: CrateId, reservation: Reservation) {
        // Nothing more is fetched where live mode was switched off meanwhile.
        if !self.is_current(&running) || self.options.mirror.crate_file(&id).is_file() {
            return;
        }
        let Ok((line, read)) = self.line_of(&running, &id).await else { return };
        let Miss::Coming(flight) = self.take_off(&running, &id, line, read, Some(reservation)) else { return };
        let _however_it_ends = flight.ended().await.is_ok();
        drop(flight);
        if self.is_current(&running) {
            self.look_ahead(&running);
        }
        tokio::time::sleep(AHEAD_WAITS).await;
        self.let_go();
    }

    /// Removes prefetched crates that no client requested in time.
    fn let_go(&self) {
        let is_old =
            |entry: &Entry| matches!(&entry.standing, Standing::Waits(_, since, _) if since.elapsed() >= AHEAD_WAITS);
        self.crates.flights().retain(|_, entry| !is_old(entry));
    }

    /// Asks the budget whether a prefetch of `id` may go on. One that may not is given up, before a client can wait for it.
    fn gate(self: &Arc<Self>, running: &Arc<Running>, id: &CrateId) -> Gate {
        let (proxy, name, running) = (Arc::clone(self), id.file_name(), Arc::clone(running));
        Box::new(move |step| {
            let mut flights = proxy.crates.flights();
            let Some(Entry { standing: Standing::Ahead(reservation), .. }) = flights.get_mut(&name) else {
                return Admission::Admitted;
            };
            let admission = match step {
                Step::Begins(length) => reservation.begin(length),
                Step::Received(bytes) if reservation.receive(bytes) => return Admission::Admitted,
                Step::Received(_) => Admission::Refused,
            };
            if admission == Admission::Refused {
                flights.remove(&name);
            }
            drop(flights);
            // Its size is known now, and may leave room for others.
            if admission == Admission::Admitted && proxy.is_current(&running) {
                proxy.look_ahead(&running);
            }
            admission
        })
    }

    /// The line of a crate, as it is offered, and when upstream's index was read.
    async fn line_of(&self, running: &Arc<Running>, id: &CrateId) -> Result<(IndexLine, Timestamp), Refusal> {
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

    /// Begins the download, unless it has begun. `prefetch`: no client has requested it yet.
    fn take_off(
        self: &Arc<Self>,
        running: &Arc<Running>,
        id: &CrateId,
        line: IndexLine,
        read: Timestamp,
        prefetch: Option<Reservation>,
    ) -> Miss {
        let name = id.file_name();
        let mut flights = self.crates.flights();
        if let Some(entry) = flights.get_mut(&name).filter(|entry| !entry.flight.is_lost()) {
            if prefetch.is_some() {
                return Miss::Coming(entry.flight.clone());
            }
            let (flight, arrived) = entry.board();
            drop(flights);
            if let Some(cargo) = arrived {
                self.hand_over(*cargo);
            }
            return Miss::Coming(flight);
        }
        // Flights are forgotten after their file is in its place.
        if self.options.mirror.crate_file(id).is_file() {
            return Miss::Held;
        }
        let (flight, pilot) = Flight::prepare(self.options.mirror.clone());
        let (own, gate, standing) = match prefetch {
            None => (flight.for_client(), None, Standing::Wanted { ahead: false }),
            Some(mut reservation) => {
                reservation.start();
                (flight.clone(), Some(self.gate(running, id)), Standing::Ahead(reservation))
            }
        };
        flights.insert(name, Entry { flight, standing });
        drop(flights);
        // A task of its own: whoever asked may go away.
        tokio::spawn(Arc::clone(self).fly(Arc::clone(running), pilot, id.clone(), line, read, gate));
        Miss::Coming(own)
    }

    async fn fly(
        self: Arc<Self>,
        running: Arc<Running>,
        pilot: Pilot,
        id: CrateId,
        line: IndexLine,
        read: Timestamp,
        gate: Option<Gate>,
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
                    gate,
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
            Ok(landed) => {
                self.figures.bytes.fetch_add(landed.size, Relaxed);
                let cargo = Cargo { id, line, read, landed };
                let mut flights = self.crates.flights();
                let entry = flights.get_mut(&cargo.id.file_name());
                let is_ahead = match entry {
                    Some(Entry { standing: standing @ Standing::Ahead(_), .. }) => {
                        let before = std::mem::replace(standing, Standing::Wanted { ahead: true });
                        if let Standing::Ahead(mut reservation) = before {
                            reservation.land();
                            *standing = Standing::Waits(Box::new(cargo), Instant::now(), reservation);
                        }
                        return;
                    }
                    Some(Entry { standing: Standing::Wanted { ahead }, .. }) => *ahead,
                    _ => false,
                };
                drop(flights);
                let size = cargo.landed.size;
                self.ahead.budget.add_used(size);
                if is_ahead {
                    self.figures.ahead_bytes.fetch_add(size, Relaxed);
                    self.figures.ahead_used_bytes.fetch_add(size, Relaxed);
                }
                self.hand_over(cargo);
            }
            // It was taken out already, and its place may be another's.
            Err(refusal) if refusal.is_given_up() => {}
            Err(refusal) => {
                let entry = self.crates.flights().remove(&id.file_name());
                // What nobody asked for is missed by nobody; what was wrong with its bytes is told all the same.
                if refusal.is_mismatch() || entry.is_none_or(|entry| matches!(entry.standing, Standing::Wanted { .. }))
                {
                    self.lost(&id.to_string(), &refusal);
                }
            }
        }
    }

    fn hand_over(self: &Arc<Self>, cargo: Cargo) {
        let Cargo { id, line, read, landed } = cargo;
        let (name, proxy) = (id.file_name(), Arc::clone(self));
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
        if refusal.is_abandoned() {
            self.figures.abandoned.fetch_add(1, Relaxed);
            self.options.sink.detail(refusal.in_full());
            return;
        }
        if refusal.status == 507 {
            self.placer.place(Parcel::Room, Box::new(|_| {}));
        }
        let figure = if refusal.is_mismatch() { &self.figures.mismatches } else { &self.figures.failures };
        figure.fetch_add(1, Relaxed);
        self.options.sink.warning(format!("live mode did not get {what}: {}", refusal.in_full()));
    }
}
