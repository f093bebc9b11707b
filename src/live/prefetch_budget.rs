//! Limits the bytes that are downloaded before a client requests them.
//!
//! At any time, the bytes of prefetched crates that no client has requested are at most [`FREE`] plus one tenth of the
//! bytes that clients used. They include wasted crates and those that a client may still request. The limit holds
//! within each session, and over all of them: a session inherits the debt of the one before, but not its credit.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::metrics::LiveMetrics;

/// Bytes that may be prefetched before any were used.
pub(super) const FREE: u64 = 512 * 1024;
/// One in this many of the used bytes may be wasted on prefetches.
pub(super) const SHARE: u64 = 10;
/// Maximum number of concurrent prefetches.
const DOWNLOADS: usize = 32;
/// Maximum number of prefetched files that no client has requested, on disk or in flight.
const FILES: usize = 256;
/// Assumed size of a crate in bytes before any was seen, with the weight of this many crates; and the limits of
/// estimates. They are generous: a crate that turns out larger costs its first bytes and a second request.
const USUAL_SIZE: u64 = 32 * 1024;
const USUAL_COUNTS: u64 = 8;
const ESTIMATES: std::ops::RangeInclusive<u64> = 8 * 1024..=128 * 1024;
/// Maximum number of bodies that wait for space, each with a connection, and for how long.
const PAUSED: usize = 2;
const PAUSE: Duration = Duration::from_secs(10);

/// The limit, and the sums that count towards it.
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
    /// Prefetches that a client may still request, with their actual or estimated sizes.
    reserved: u64,
    files: usize,
    downloads: usize,
    paused: usize,
    /// Number of crates with known size, and the sum of their sizes.
    seen: u64,
    seen_bytes: u64,
}

impl Ledger {
    fn has_space_for(&self, bytes: u64) -> bool {
        (self.wasted + self.reserved).saturating_add(bytes) <= FREE + self.used / SHARE
    }

    /// Whether there would be space if clients requested everything else.
    fn could_have_space_for(&self, bytes: u64) -> bool {
        self.wasted.saturating_add(bytes) <= FREE + self.used / SHARE
    }

    /// Twice the mean size so far, within limits.
    fn estimate(&self) -> u64 {
        let mean = self.seen_bytes.saturating_add(USUAL_SIZE * USUAL_COUNTS) / (self.seen + USUAL_COUNTS);
        (2 * mean).clamp(*ESTIMATES.start(), *ESTIMATES.end())
    }
}

impl PrefetchBudget {
    /// A budget that counts waste in `figures`.
    pub(super) fn new(figures: Arc<LiveMetrics>) -> Arc<PrefetchBudget> {
        Arc::new(PrefetchBudget { ledger: Mutex::default(), figures })
    }

    /// Reserves space for one crate of unknown size; `None`: there is no space now.
    pub(super) fn reserve(self: &Arc<Self>) -> Option<Reservation> {
        let mut ledger = self.ledger();
        let reserved = ledger.estimate();
        if ledger.downloads >= DOWNLOADS || ledger.files >= FILES || !ledger.has_space_for(reserved) {
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

    /// Records that a client got a crate of `bytes` bytes that upstream sent.
    pub(super) fn add_used(&self, bytes: u64) {
        self.figures.used_bytes.fetch_add(bytes, Relaxed);
        let mut ledger = self.ledger();
        ledger.used += bytes;
        ledger.seen += 1;
        ledger.seen_bytes = ledger.seen_bytes.saturating_add(bytes);
    }

    /// Begins a new session. It keeps only the credit that unrequested files of the old session still need.
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

/// Decision on a body that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// There is space.
    Admitted,
    /// There will be space when a client requests other crates: try again.
    Paused,
    /// There is no space.
    Refused,
}

/// Space for one prefetched crate. Its received bytes count as wasted on drop.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<PrefetchBudget>,
    /// Bytes that the budget counts for it.
    reserved: u64,
    /// Bytes that upstream sent.
    received: u64,
    started: bool,
    /// Since when its body waits for space.
    paused: Option<Instant>,
    landed: bool,
    open: bool,
}

impl Reservation {
    /// The download starts: it counts as a prefetch from now on.
    pub(super) fn start(&mut self) {
        self.started = true;
        self.budget.figures.prefetched.fetch_add(1, Relaxed);
    }

    /// Decides on a body of this length that begins, for the first time or after a restart. There is never space for a
    /// body of unknown length. A refused body has begun to arrive: it counts with at most its estimated size.
    pub(super) fn begin(&mut self, length: Option<u64>) -> Admission {
        if self.received > 0 {
            // The bytes before a restart are wasted.
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
            Some(length) if length <= self.reserved || ledger.has_space_for(length - self.reserved) => {
                ledger.reserved = ledger.reserved - self.reserved + length;
                self.reserved = length;
                Admission::Admitted
            }
            Some(length)
                if ledger.could_have_space_for(length)
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

    /// Records that `bytes` bytes of the body arrived; returns whether it may continue.
    pub(super) fn receive(&mut self, bytes: u64) -> bool {
        self.received = bytes.min(self.reserved);
        bytes <= self.reserved
    }

    /// Records that the file is complete.
    pub(super) fn land(&mut self) {
        self.landed = true;
        self.received = self.reserved;
        self.budget.figures.ahead_bytes.fetch_add(self.received, Relaxed);
        self.budget.ledger().downloads -= 1;
    }

    /// Records that a client requested the crate: the bytes that arrived, and those that will, count as used.
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
            // Prefetches with the length of their body, once it has begun, and whether it is complete.
            let mut open: Vec<(Reservation, Option<u64>, bool)> = Vec::new();
            // The actual sums, counted independently.
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
                            // The bytes in flight arrive for the client.
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
        let mut large = budget.reserve().expect("space");
        assert_eq!(large.begin(Some(FREE + 1)), Admission::Refused, "too large");
        drop(large);
        let mut unknown = budget.reserve().expect("space");
        assert_eq!(unknown.begin(None), Admission::Refused, "of unknown length");
        drop(unknown);
        let wasted = budget.ledger().wasted;
        assert_eq!(wasted, 2 * USUAL_SIZE + *ESTIMATES.end(), "their first bytes were in flight");
        let mut fits = budget.reserve().expect("space");
        assert_eq!(fits.begin(Some(FREE - wasted)), Admission::Admitted, "what is left");
        assert!(budget.reserve().is_none());
        fits.land();
        fits.confirm();
        // A tenth of the used bytes was added.
        let mut next = budget.reserve().expect("space");
        assert_eq!(next.begin(Some(FREE - wasted + (FREE - wasted) / SHARE)), Admission::Admitted);
    }

    #[test]
    fn a_crate_that_others_leave_no_space_for_waits_until_a_client_requests_them() {
        let budget = budget();
        let mut first = budget.reserve().expect("space");
        let mut others: Vec<_> = (0..=PAUSED).map(|_| budget.reserve().expect("space")).collect();
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
        let mut one = budget.reserve().expect("space");
        assert_eq!(one.begin(Some(FREE + 1)), Admission::Refused, "the credit is gone");
        drop(one);
        let mut two = budget.reserve().expect("space");
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
