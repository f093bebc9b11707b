//! A circuit breaker: an upstream that is down gets no requests for a while, so that clients do not each wait for it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::event::Sink;

/// Consecutive failures after which an upstream counts as down.
const FAILURE_THRESHOLD: u32 = 3;
/// The first pause for an upstream that is down; each further failure doubles it.
const FIRST_COOLDOWN: Duration = Duration::from_secs(5);
/// The longest pause.
const MAX_COOLDOWN: Duration = Duration::from_secs(60);

/// The state of one upstream. A request asks it for permission first and reports its result afterwards.
pub(super) struct CircuitBreaker {
    state: Mutex<BreakerState>,
    /// Whether the upstream is no longer in use.
    disabled: watch::Receiver<bool>,
    /// What the upstream provides, for the operator.
    service: &'static str,
    /// Whether the last answer showed that the upstream is this server itself.
    is_own_server: AtomicBool,
    sink: Arc<dyn Sink>,
}

#[derive(Debug, Default)]
struct BreakerState {
    /// A request succeeded.
    has_answered: bool,
    failures: u32,
    /// The end and the length of the current pause.
    cooldown: Option<(Instant, Duration)>,
    /// One request is testing whether the upstream works again.
    is_probing: bool,
    /// The last error; `None`: there was none, or it is long past.
    last_error: Option<String>,
}

/// The health of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BreakerHealth {
    /// No request was sent to it yet.
    Unused,
    /// No recent request failed.
    Healthy,
    /// Recent requests failed, with the last reason.
    Degraded(String),
    /// It gets no requests for this time, for this reason.
    Down(Duration, String),
}

impl CircuitBreaker {
    /// A breaker for the upstream of `of`, in use until `off` becomes true.
    pub(super) fn new(of: &'static str, off: &watch::Receiver<bool>, sink: Arc<dyn Sink>) -> CircuitBreaker {
        let is_own_server = AtomicBool::new(false);
        CircuitBreaker { state: Mutex::default(), disabled: off.clone(), service: of, is_own_server, sink }
    }

    /// Whether the last answer showed that the upstream is this server itself.
    pub(super) fn is_own_server(&self) -> bool {
        self.is_own_server.load(Relaxed)
    }

    /// Records whether an answer showed that the upstream is this server itself.
    pub(super) fn record_own_server(&self, is_own: bool) {
        self.is_own_server.store(is_own, Relaxed);
    }

    /// Waits until the upstream is no longer in use.
    pub(super) async fn wait_disabled(&self) {
        let mut off = self.disabled.clone();
        // A dropped sender counts as true.
        let _said = off.wait_for(|off| *off).await.is_ok();
    }

    fn state(&self) -> MutexGuard<'_, BreakerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request may be sent.
    ///
    /// # Errors It is down: the remaining pause, and the reason.
    pub(super) fn try_acquire(&self, now: Instant) -> Result<(), (Duration, String)> {
        let mut state = self.state();
        let Some((until, _)) = state.cooldown else { return Ok(()) };
        let left = until.saturating_duration_since(now);
        if left.is_zero() && !state.is_probing {
            state.is_probing = true;
            return Ok(());
        }
        Err((left.max(Duration::from_secs(1)), state.last_error.clone().unwrap_or_default()))
    }

    /// Records an answer of any kind.
    pub(super) fn record_success(&self) {
        let before =
            std::mem::replace(&mut *self.state(), BreakerState { has_answered: true, ..BreakerState::default() });
        if before.cooldown.is_some() {
            self.sink.status("Live", format!("the upstream of {} answers again", self.service));
        }
    }

    /// Records a failed request.
    pub(super) fn record_failure(&self, now: Instant, why: String) {
        let mut state = self.state();
        state.failures += 1;
        state.is_probing = false;
        state.last_error = Some(why);
        if state.failures >= FAILURE_THRESHOLD {
            // Requests that were in flight when it went down are no new evidence.
            let cooldown = match state.cooldown {
                Some((until, rest)) if until <= now => (rest * 2).min(MAX_COOLDOWN),
                Some((_, rest)) => rest,
                None => FIRST_COOLDOWN,
            };
            let outage = state.last_error.clone().filter(|_| state.cooldown.is_none());
            state.cooldown = Some((now + cooldown, cooldown));
            drop(state);
            if let Some(why) = outage {
                self.sink.warning(format!(
                    "live mode: the upstream of {} is down; requests to it are paused: {why}",
                    self.service
                ));
            }
        }
    }

    /// Records that an answer began. It may still fail, so the next request may test the upstream too.
    pub(super) fn record_response_start(&self) {
        self.state().is_probing = false;
    }

    /// Records a request that was cancelled before its result was known.
    pub(super) fn record_cancelled(&self) {
        self.state().is_probing = false;
    }

    /// The current health.
    pub(super) fn health(&self, now: Instant) -> BreakerHealth {
        let state = self.state();
        match (&state.cooldown, &state.last_error) {
            (Some((until, _)), why) => {
                BreakerHealth::Down(until.saturating_duration_since(now), why.clone().unwrap_or_default())
            }
            (None, Some(why)) => BreakerHealth::Degraded(why.clone()),
            (None, None) if state.has_answered => BreakerHealth::Healthy,
            (None, None) => BreakerHealth::Unused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::NullSink;

    #[test]
    fn three_failures_open_the_breaker_and_one_probe_may_close_it() {
        let (_switch, off) = watch::channel(false);
        let (breaker, mut now) = (CircuitBreaker::new("the index", &off, Arc::new(NullSink)), Instant::now());
        for n in 0..3 {
            breaker.try_acquire(now).expect("a request may be sent");
            breaker.record_failure(now, format!("refused {n}"));
        }
        let (left, why) = breaker.try_acquire(now).expect_err("down");
        assert_eq!((left, why.as_str()), (FIRST_COOLDOWN, "refused 2"));
        assert!(matches!(breaker.health(now), BreakerHealth::Down(..)));

        now += FIRST_COOLDOWN;
        breaker.try_acquire(now).expect("one request may test the upstream");
        breaker.try_acquire(now).expect_err("other requests must wait");
        breaker.record_failure(now, "still".to_owned());
        assert_eq!(breaker.try_acquire(now).expect_err("down").0, FIRST_COOLDOWN * 2);
        for _ in 0..20 {
            now += MAX_COOLDOWN;
            breaker.try_acquire(now).expect("one request may test the upstream");
            breaker.record_failure(now, "still".to_owned());
        }
        assert_eq!(breaker.try_acquire(now).expect_err("down").0, MAX_COOLDOWN);

        now += MAX_COOLDOWN;
        breaker.try_acquire(now).expect("one request may test the upstream");
        breaker.record_cancelled();
        breaker.try_acquire(now).expect("another request may");
        breaker.record_success();
        assert_eq!(breaker.health(now), BreakerHealth::Healthy);
        breaker.record_failure(now, "once".to_owned());
        breaker.try_acquire(now).expect("one failure changes nothing");
        assert_eq!(breaker.health(now), BreakerHealth::Degraded("once".to_owned()));
    }
}
