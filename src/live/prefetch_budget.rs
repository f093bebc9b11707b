//! How many bytes are downloaded before a client requests them.
//!
//! At any time, the bytes of prefetched crates that no client has requested (the wasted ones, and those that a client may
//! still request) are at most [`SMALL_BODY_BYTES`] plus one tenth of the bytes that clients did use. The sum holds within each session,
//! and over all of them: a session inherits the debt of the one before, and not its credit.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::metrics::LiveMetrics;

/// Bytes that may be prefetched before anything was used.
pub(super) const FREE: u64 = 512 * 1024;
/// One part in so many of the used bytes may be prefetched in vain.
pub(super) const SHARE: u64 = 10;
/// Prefetches at a time.
const DOWNLOADS: usize = 32;
/// Prefetched files at most that no client has requested, on disk or on their way.
const FILES: usize = 256;
/// Mean size of crates before any was seen, in bytes, which counts like so many crates; and the limits of estimates. They are
/// generous: a crate that turns out larger costs its beginning and a second request.
const USUAL_SIZE: u64 = 32 * 1024;
const USUAL_COUNTS: u64 = 8;
const ESTIMATES: std::ops::RangeInclusive<u64> = 8 * 1024..=128 * 1024;
/// Bodies that may wait for room at a time, each with a connection, and for how long.
const PAUSED: usize = 2;
const PAUSE: Duration = Duration::from_secs(10);

/// The bound, and what counts towards it.
#[derive(Debug)]
pub(super) struct PrefetchBudget {
    ledger: Mutex<Ledger>,
    figures: Arc<LiveMetrics>,
}

/// Sums of one session, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Ledger {
    /// Crates that clients requested and that upstream sent.
    used: u64,
    /// Prefetches that no client requested.
    wasted: u64,
    /// Prefetches that a client may still request, with their whole or estimated sizes.
    reserved: u64,
    files: usize,
    downloads: usize,
    paused: usize,
    /// Crates whose size was seen, and the sum of their sizes.
    seen: u64,
    seen_bytes: u64,
}

impl Ledger {
    fn has_room_for(&self, bytes: u64) -> bool {
        (self.wasted + self.reserved).saturating_add(bytes) <= FREE + self.used / SHARE
    }

    /// Whether there will be room, when clients have requested everything else.
    fn could_have_room_for(&self, bytes: u64) -> bool {
        self.wasted.saturating_add(bytes) <= FREE + self.used / SHARE
    }

    /// Twice the mean size so far, within limits.
    fn estimate(&self) -> u64 {
        let mean = self.seen_bytes.saturating_add(USUAL_SIZE * USUAL_COUNTS) / (self.seen + USUAL_COUNTS);
        (2 * mean).clamp(*ESTIMATES.start(), *ESTIMATES.end())
    }
}

impl PrefetchBudget {
    /// A budget that counts what was wasted in `figures`.
    pub(super) fn new(figures: Arc<LiveMetrics>) -> Arc<PrefetchBudget> {
        Arc::new(PrefetchBudget { ledger: Mutex::default(), figures })
    }

    /// Room for one crate of unknown size; `None`: there is none now.
    pub(super) fn reserve(self: &Arc<Self>) -> Option<Reservation> {
        let mut ledger = self.ledger();
        let reserved = ledger.estimate();
        if ledger.downloads >= DOWNLOADS || ledger.files >= FILES || !ledger.has_room_for(reserved) {
            return None;
        }
        ledger.reserved += reserved;
        ledger.files += 1;
        ledger.downloads += 1;
        drop(ledger);
        Some(Reservation {
            budget: Arc::clone(self),
            reserved,
            received: 0,
            started: false,
            paused: None,
            landed: false,
            open: true,
        })
    }

    /// A client got a crate of so many bytes that upstream sent.
    pub(super) fn add_used(&self, bytes: u64) {
        self.figures.used_bytes.fetch_add(bytes, Relaxed);
        let mut ledger = self.ledger();
        ledger.used += bytes;
        ledger.seen += 1;
        ledger.seen_bytes = ledger.seen_bytes.saturating_add(bytes);
    }

    /// Begins a new session. Of the credit, only what unrequested files of the old session still need is kept.
    pub(super) fn begin_session(&self) {
        let mut ledger = self.ledger();
        let earned = ledger.used / SHARE;
        let credit = earned.saturating_sub(ledger.wasted).min(ledger.reserved);
        *ledger = Ledger {
            used: credit * SHARE,
            wasted: ledger.wasted.saturating_sub(earned),
            reserved: ledger.reserved,
            files: ledger.files,
            downloads: ledger.downloads,
            paused: ledger.paused,
            ..Ledger::default()
        };
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of a body that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// There is room for it.
    Admitted,
    /// There will be, when a client has requested others: ask again.
    Paused,
    /// There is none.
    Refused,
}

/// Room for one prefetched crate. When it is dropped, the bytes that were received count as wasted.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<PrefetchBudget>,
    /// Bytes that the ledger counts for it.
    reserved: u64,
    /// Bytes that upstream sent.
    received: u64,
    started: bool,
    /// Since when its body waits for room.
    paused: Option<Instant>,
    landed: bool,
    open: bool,
}

impl Reservation {
    /// The download starts: from now on it counts as a prefetch.
    pub(super) fn start(&mut self) {
        self.started = true;
        self.budget.figures.prefetched.fetch_add(1, Relaxed);
    }

    /// A body of this length begins, for the first time or anew; whether there is room for it. There is never room for a body
    /// of unknown length. A body that is refused has begun to arrive: it counts with the estimate of its size at most.
    pub(super) fn begin(&mut self, length: Option<u64>) -> Admission {
        if self.received > 0 {
            // A body that begins anew was sent in vain.
            self.count_wasted(self.received);
            let mut ledger = self.budget.ledger();
            ledger.reserved -= self.received;
            ledger.wasted += self.received;
            self.reserved -= self.received;
            self.received = 0;
        }
        let mut ledger = self.budget.ledger();
        if let (Some(length), None) = (length, self.paused) {
            ledger.seen += 1;
            ledger.seen_bytes = ledger.seen_bytes.saturating_add(length);
        }
        let was_paused = self.paused.take();
        ledger.paused -= usize::from(was_paused.is_some());
        match length {
            Some(length) if length <= self.reserved || ledger.has_room_for(length - self.reserved) => {
                ledger.reserved = ledger.reserved - self.reserved + length;
                self.reserved = length;
                Admission::Admitted
            }
            Some(length)
                if ledger.could_have_room_for(length)
                    && ledger.paused < PAUSED
                    && was_paused.is_none_or(|since| since.elapsed() < PAUSE) =>
            {
                self.paused = Some(was_paused.unwrap_or_else(Instant::now));
                ledger.paused += 1;
                Admission::Paused
            }
            _ => {
                self.received = self.reserved.min(length.unwrap_or(u64::MAX));
                Admission::Refused
            }
        }
    }

    /// So many bytes of the body have arrived; whether it may go on.
    pub(super) fn receive(&mut self, bytes: u64) -> bool {
        self.received = bytes.min(self.reserved);
        bytes <= self.reserved
    }

    /// The file arrived whole.
    pub(super) fn land(&mut self) {
        self.landed = true;
        self.received = self.reserved;
        self.budget.figures.ahead_bytes.fetch_add(self.received, Relaxed);
        self.budget.ledger().downloads -= 1;
    }

    /// A client requested the crate: its bytes are used, those that have arrived and those that will.
    pub(super) fn confirm(mut self) {
        self.budget.figures.prefetch_hits.fetch_add(1, Relaxed);
        self.release(0);
        if self.landed {
            self.budget.figures.ahead_used_bytes.fetch_add(self.received, Relaxed);
            self.budget.figures.used_bytes.fetch_add(self.received, Relaxed);
            self.budget.ledger().used += self.received;
        }
    }

    fn release(&mut self, wasted: u64) {
        self.open = false;
        let mut ledger = self.budget.ledger();
        ledger.reserved -= self.reserved;
        ledger.wasted += wasted;
        ledger.files -= 1;
        ledger.downloads -= usize::from(!self.landed);
        ledger.paused -= usize::from(self.paused.take().is_some());
    }

    fn count_wasted(&self, bytes: u64) {
        let figures = &self.budget.figures;
        if !self.landed {
            figures.ahead_bytes.fetch_add(bytes, Relaxed);
        }
        figures.ahead_wasted_bytes.fetch_add(bytes, Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        self.release(self.received);
        if self.started {
            self.budget.figures.ahead_wasted.fetch_add(1, Relaxed);
            self.count_wasted(self.received);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budget() -> Arc<PrefetchBudget> {
        PrefetchBudget::new(Arc::default())
    }

    #[derive(Clone, Debug)]
    enum Step {
        Reserve,
        Begin { of: usize, length: Option<u64> },
        Receive { of: usize, share: u64 },
        Land { of: usize },
        Confirm { of: usize },
        GiveUp { of: usize },
        Use { bytes: u64 },
        NewSession,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let of = 0..300_usize;
        let length = prop_oneof![0..30_000_u64, 0..400_000_u64, 0..20_000_000_u64];
        let step = prop_oneof![
            6 => Just(Step::Reserve),
            6 => (of.clone(), proptest::option::weighted(0.95, length.clone()))
                .prop_map(|(of, length)| Step::Begin { of, length }),
            4 => (of.clone(), 0..=100_u64).prop_map(|(of, share)| Step::Receive { of, share }),
            4 => of.clone().prop_map(|of| Step::Land { of }),
            3 => of.clone().prop_map(|of| Step::Confirm { of }),
            2 => of.prop_map(|of| Step::GiveUp { of }),
            2 => length.prop_map(|bytes| Step::Use { bytes }),
            1 => Just(Step::NewSession),
        ];
        proptest::collection::vec(step, 1..400)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn wasted_and_unrequested_bytes_stay_within_the_bound(steps in steps()) {
            let budget = budget();
            // Prefetches with the length of their body, once it has begun, and whether it arrived.
            let mut open: Vec<(Reservation, Option<u64>, bool)> = Vec::new();
            // What the server got and gave, counted independently.
            let (mut used, mut wasted) = (0_u64, 0_u64);
            for step in steps {
                let pick = |of: usize| (!open.is_empty()).then(|| of % open.len());
                match step {
                    Step::Reserve => {
                        if let Some(mut reservation) = budget.reserve() {
                            reservation.start();
                            open.push((reservation, None, false));
                        }
                    }
                    Step::Begin { of, length } => {
                        if let Some(at) = pick(of).filter(|at| !open[*at].2) {
                            let (reservation, known, _) = &mut open[at];
                            wasted += known.map_or(0, |_| reservation.received);
                            *known = None;
                            match reservation.begin(length) {
                                Admission::Admitted => *known = length,
                                Admission::Paused => {}
                                Admission::Refused => wasted += open.swap_remove(at).0.received,
                            }
                        }
                    }
                    Step::Receive { of, share } => {
                        if let Some(at) = pick(of).filter(|at| !open[*at].2) {
                            let (reservation, known, _) = &mut open[at];
                            if let Some(length) = *known {
                                let bytes = reservation.received.max(length * share / 100);
                                prop_assert!(reservation.receive(bytes));
                            }
                        }
                    }
                    Step::Land { of } => {
                        if let Some(at) = pick(of).filter(|at| open[*at].1.is_some() && !open[*at].2) {
                            open[at].0.land();
                            open[at].2 = true;
                        }
                    }
                    Step::Confirm { of } => {
                        if let Some(at) = pick(of) {
                            let (reservation, known, landed) = open.swap_remove(at);
                            reservation.confirm();
                            // What was on its way arrives for the client.
                            if !landed {
                                budget.add_used(known.unwrap_or(1_000));
                            }
                            used += known.unwrap_or(1_000);
                        }
                    }
                    Step::GiveUp { of } => {
                        if let Some(at) = pick(of) {
                            wasted += open.swap_remove(at).0.received;
                        }
                    }
                    Step::Use { bytes } => {
                        budget.add_used(bytes);
                        used += bytes;
                    }
                    Step::NewSession => budget.begin_session(),
                }
                let ledger = *budget.ledger();
                prop_assert!(ledger.wasted + ledger.reserved <= FREE + ledger.used / SHARE, "{ledger:?}");
                let unrequested: u64 = open.iter().map(|(reservation, length, _)| {
                    length.unwrap_or(reservation.reserved)
                }).sum();
                prop_assert_eq!(ledger.reserved, unrequested);
                prop_assert_eq!((ledger.files, ledger.downloads), (open.len(), open.iter().filter(|one| !one.2).count()));
                let paused = open.iter().filter(|one| one.0.paused.is_some()).count();
                prop_assert!(paused == ledger.paused && paused <= PAUSED);
                prop_assert!(wasted + unrequested <= FREE + used / SHARE, "{wasted} + {unrequested}; {used}");
                prop_assert_eq!(budget.figures.ahead_wasted_bytes.load(Relaxed), wasted);
                prop_assert_eq!(budget.figures.used_bytes.load(Relaxed), used);
            }
        }
    }

    #[test]
    fn a_crate_that_breaks_the_bound_is_refused_when_its_length_is_known() {
        let budget = budget();
        let mut large = budget.reserve().expect("room");
        assert_eq!(large.begin(Some(FREE + 1)), Admission::Refused, "too large");
        drop(large);
        let mut unknown = budget.reserve().expect("room");
        assert_eq!(unknown.begin(None), Admission::Refused, "of unknown length");
        drop(unknown);
        let wasted = budget.ledger().wasted;
        assert_eq!(wasted, 2 * USUAL_SIZE + *ESTIMATES.end(), "their beginnings were under way");
        let mut fits = budget.reserve().expect("room");
        assert_eq!(fits.begin(Some(FREE - wasted)), Admission::Admitted, "what is left");
        assert!(budget.reserve().is_none());
        fits.land();
        fits.confirm();
        // A tenth of what was used came in addition.
        let mut next = budget.reserve().expect("room");
        assert_eq!(next.begin(Some(FREE - wasted + (FREE - wasted) / SHARE)), Admission::Admitted);
    }

    #[test]
    fn a_crate_that_others_leave_no_room_for_waits_until_a_client_requests_them() {
        let budget = budget();
        let mut first = budget.reserve().expect("room");
        let mut others: Vec<_> = (0..=PAUSED).map(|_| budget.reserve().expect("room")).collect();
        assert_eq!(first.begin(Some(300_000)), Admission::Admitted);
        let last = others.pop().map(|mut last| {
            others.iter_mut().for_each(|other| assert_eq!(other.begin(Some(200_000)), Admission::Paused));
            last.begin(Some(200_000))
        });
        assert_eq!(last, Some(Admission::Refused), "too many wait");
        assert_eq!(others[0].begin(Some(200_000)), Admission::Paused, "still");
        first.land();
        first.confirm();
        assert_eq!(others[0].begin(Some(200_000)), Admission::Admitted);
        others.clear();
        assert_eq!(budget.ledger().paused, 0);
    }

    #[test]
    fn a_session_inherits_debt_and_not_credit() {
        let budget = budget();
        budget.add_used(100_000_000);
        budget.begin_session();
        let mut one = budget.reserve().expect("room");
        assert_eq!(one.begin(Some(FREE + 1)), Admission::Refused, "the credit is gone");
        drop(one);
        let mut two = budget.reserve().expect("room");
        let left = FREE - budget.ledger().wasted;
        assert!(two.begin(Some(left)) == Admission::Admitted && two.receive(left));
        drop(two);
        budget.begin_session();
        assert!(budget.reserve().is_none(), "the debt stays");
        budget.add_used(FREE * SHARE);
        assert!(budget.reserve().is_some());
    }

    #[test]
    fn estimates_follow_the_sizes_that_were_seen() {
        let budget = budget();
        let count = |budget: &Arc<PrefetchBudget>| std::iter::from_fn(|| budget.reserve()).collect::<Vec<_>>().len();
        assert_eq!(count(&budget) as u64, FREE / (2 * USUAL_SIZE));
        (0..300).for_each(|_| budget.add_used(1_000));
        assert_eq!(count(&budget), DOWNLOADS);
        budget.begin_session();
        assert_eq!(count(&budget) as u64, FREE / (2 * USUAL_SIZE));
    }
}
