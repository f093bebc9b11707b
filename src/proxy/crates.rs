//! Crates that are not held: each fetched once, whoever asks.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

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

/// How long what was fetched ahead waits for somebody to ask for it, twice that at most.
const AHEAD_WAITS: Duration = Duration::from_secs(60);

/// Crates that are fetched ahead, and that nobody has asked for, at most.
const MOST_AHEAD: usize = 256;

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

/// Whether somebody has asked for a crate, or it is fetched ahead.
enum Standing {
    /// Somebody has.
    Wanted,
    /// Nobody has yet.
    Ahead,
    /// It came, and nobody has asked for it yet. It is only placed when somebody does.
    Waits(Box<Cargo>, Instant),
}

/// A crate that came, with what belongs to it.
struct Cargo {
    id: CrateId,
    line: IndexLine,
    read: Timestamp,
    landed: Landed,
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
        // What came ahead may be what is not offered any more.
        if self.is_wanted(id)
            && let Some(flight) = self.board(id)
        {
            self.look_ahead(&running, id);
            return Some(Miss::Coming(flight));
        }
        Some(match self.line_of(&running, id).await {
            Ok((line, read)) => {
                self.look_ahead(&running, id);
                self.take_off(&running, id, line, read, Standing::Wanted)
            }
            Err(refusal) => Miss::Refused(refusal),
        })
    }

    fn is_wanted(&self, id: &CrateId) -> bool {
        let flights = self.crates.flights();
        flights.get(&id.file_name()).is_some_and(|entry| matches!(entry.standing, Standing::Wanted))
    }

    /// The download of a crate, where it has begun. It is wanted from then on.
    fn board(self: &Arc<Self>, id: &CrateId) -> Option<Flight> {
        let mut flights = self.crates.flights();
        let entry = flights.get_mut(&id.file_name()).filter(|entry| !entry.flight.is_lost())?;
        let flight = entry.flight.for_client();
        let before = std::mem::replace(&mut entry.standing, Standing::Wanted);
        drop(flights);
        match before {
            Standing::Wanted => {}
            Standing::Ahead => self.figures.ahead_used(),
            Standing::Waits(cargo, _) => {
                self.figures.ahead_used();
                self.hand_over(*cargo);
            }
        }
        Some(flight)
    }

    /// Fetches what clients will probably ask for next, where that was guessed right so far.
    fn look_ahead(self: &Arc<Self>, running: &Arc<Running>, asked: &CrateId) {
        let guessed = self.ahead.asked(asked);
        if guessed.is_empty() {
            return;
        }
        let (proxy, running) = (Arc::clone(self), Arc::clone(running));
        tokio::spawn(async move {
            for id in guessed {
                // The others wait here, and not for a connection: what somebody asks for goes first, and nothing more is
                // fetched where live mode was switched off meanwhile.
                let Ok(turn) = Arc::clone(&proxy.ahead.fetching).acquire_owned().await else { break };
                if !proxy.is_current(&running) || !proxy.has_room_ahead().await {
                    break;
                }
                if proxy.options.mirror.crate_file(&id).is_file() {
                    continue;
                }
                let Ok((line, read)) = proxy.line_of(&running, &id).await else { continue };
                proxy.figures.ahead.fetch_add(1, Relaxed);
                if let Miss::Coming(flight) = proxy.take_off(&running, &id, line, read, Standing::Ahead) {
                    tokio::spawn(async move {
                        let _however_it_ends = flight.ended().await.is_ok();
                        drop(turn);
                    });
                }
            }
            // Some come late, where upstream is slow.
            loop {
                tokio::time::sleep(AHEAD_WAITS).await;
                if !proxy.let_go() {
                    break;
                }
            }
        });
    }

    /// Waits until few enough crates are there that nobody has asked for; whether that came to be.
    async fn has_room_ahead(&self) -> bool {
        let until = Instant::now() + AHEAD_WAITS / 2;
        loop {
            let unasked = |entry: &&Entry| !matches!(entry.standing, Standing::Wanted);
            if self.crates.flights().values().filter(unasked).count() < MOST_AHEAD {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Removes what was fetched ahead and nobody asked for; whether there is more of that, which is younger or on its way.
    fn let_go(&self) -> bool {
        let is_old =
            |entry: &Entry| matches!(&entry.standing, Standing::Waits(_, since) if since.elapsed() >= AHEAD_WAITS / 2);
        let mut flights = self.crates.flights();
        flights.retain(|_, entry| !is_old(entry));
        flights.values().any(|entry| !matches!(entry.standing, Standing::Wanted))
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

    /// Begins the download, unless it has begun.
    fn take_off(
        self: &Arc<Self>,
        running: &Arc<Running>,
        id: &CrateId,
        line: IndexLine,
        read: Timestamp,
        standing: Standing,
    ) -> Miss {
        let name = id.file_name();
        let mut flights = self.crates.flights();
        if let Some(entry) = flights.get(&name).filter(|entry| !entry.flight.is_lost()) {
            let is_wanted = matches!(standing, Standing::Wanted);
            let flight = if is_wanted { entry.flight.for_client() } else { entry.flight.clone() };
            drop(flights);
            if is_wanted {
                // Else what was fetched ahead a moment ago would not be placed. Where it is gone by now, it was placed or failed.
                let _gone = self.board(id).is_none();
            }
            return Miss::Coming(flight);
        }
        // Flights are forgotten after their file is in its place.
        if self.options.mirror.crate_file(id).is_file() {
            return Miss::Held;
        }
        let (flight, pilot) = Flight::prepare(self.options.mirror.clone());
        let own = if matches!(standing, Standing::Wanted) { flight.for_client() } else { flight.clone() };
        flights.insert(name, Entry { flight, standing });
        drop(flights);
        // A task of its own: whoever asked may go away.
        tokio::spawn(Arc::clone(self).fly(Arc::clone(running), pilot, id.clone(), line, read));
        Miss::Coming(own)
    }

    async fn fly(self: Arc<Self>, running: Arc<Running>, pilot: Pilot, id: CrateId, line: IndexLine, read: Timestamp) {
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
            Ok(landed) => {
                self.figures.bytes.fetch_add(landed.size, Relaxed);
                let cargo = Cargo { id, line, read, landed };
                let mut flights = self.crates.flights();
                match flights.get_mut(&cargo.id.file_name()) {
                    Some(entry) if matches!(entry.standing, Standing::Ahead) => {
                        entry.standing = Standing::Waits(Box::new(cargo), Instant::now());
                    }
                    _ => {
                        drop(flights);
                        self.hand_over(cargo);
                    }
                }
            }
            Err(refusal) => {
                let entry = self.crates.flights().remove(&id.file_name());
                // What nobody asked for is missed by nobody; what was wrong with its bytes is told all the same.
                if refusal.is_mismatch() || entry.is_none_or(|entry| matches!(entry.standing, Standing::Wanted)) {
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
