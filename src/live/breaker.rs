//! An upstream that is down is left alone for a while, so that not every client waits for it in turn.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::event::Sink;

/// Failures in a row after which an upstream counts as down.
const FAILURE_THRESHOLD: u32 = 3;
/// How long an upstream that is down is left alone at first; each further failure doubles it.
const FIRST_COOLDOWN: Duration = Duration::from_secs(5);
/// How long at most.
const MAX_COOLDOWN: Duration = Duration::from_secs(60);

/// The state of one upstream. Requests ask it before they are sent, and tell it afterwards how they fared.
pub(super) struct CircuitBreaker {
    state: Mutex<BreakerState>,
    /// Whether nobody is to be asked for anything any more.
    disabled: watch::Receiver<bool>,
    /// What it is the upstream of, for the operator.
    service: &'static str,
    sink: Arc<dyn Sink>,
}

#[derive(Debug, Default)]
struct BreakerState {
    /// Somebody was answered.
    has_answered: bool,
    failures: u32,
    /// Down, and until when it is left alone.
    cooldown: Option<(Instant, Duration)>,
    /// One request is finding out whether it is there again.
    is_probing: bool,
    /// What went wrong last; `None`: nothing, or it is long past.
    last_error: Option<String>,
}

/// How an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BreakerHealth {
    /// Nobody has asked it for anything.
    Unused,
    /// Nothing is known against it.
    Healthy,
    /// Requests have failed lately, with the last one's reason.
    Degraded(String),
    /// It is left alone, for so long, for this reason.
    Down(Duration, String),
}

impl CircuitBreaker {
    /// Of the upstream of `of`, which is asked until `off` says otherwise.
    pub(super) fn new(of: &'static str, off: &watch::Receiver<bool>, sink: Arc<dyn Sink>) -> CircuitBreaker {
        CircuitBreaker { state: Mutex::default(), disabled: off.clone(), service: of, sink }
    }

    /// Waits until nobody is to be asked for anything any more.
    pub(super) async fn wait_disabled(&self) {
        let mut off = self.disabled.clone();
        // Whoever could say so is gone: then it is so.
        let _said = off.wait_for(|off| *off).await.is_ok();
    }

    fn state(&self) -> MutexGuard<'_, BreakerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request may be sent.
    ///
    /// # Errors
    /// It is down: how long it will be left alone, and why.
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

    /// A request was answered, whatever it was.
    pub(super) fn record_success(&self) {
        let before =
            std::mem::replace(&mut *self.state(), BreakerState { has_answered: true, ..BreakerState::default() });
        if before.cooldown.is_some() {
            self.sink.status("Live", format!("the upstream of {} answers again", self.service));
        }
    }

    /// A request came to nothing.
    pub(super) fn record_failure(&self, now: Instant, why: String) {
        let mut state = self.state();
        state.failures += 1;
        state.is_probing = false;
        state.last_error = Some(why);
        if state.failures >= FAILURE_THRESHOLD {
            // Those that were under way when it went down say nothing new.
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
                    "live mode: the upstream of {} is down, and left alone for a while: {why}",
                    self.service
                ));
            }
        }
    }

    /// The answer to a request has begun, and may yet break off: the next request may find out as well.
    pub(super) fn record_response_start(&self) {
        self.state().is_probing = false;
    }

    /// A request was given up before anybody knew how it would fare.
    pub(super) fn record_cancelled(&self) {
        self.state().is_probing = false;
    }

    /// How it is.
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
            breaker.try_acquire(now).expect("it is tried");
            breaker.record_failure(now, format!("refused {n}"));
        }
        let (left, why) = breaker.try_acquire(now).expect_err("down");
        assert_eq!((left, why.as_str()), (FIRST_COOLDOWN, "refused 2"));
        assert!(matches!(breaker.health(now), BreakerHealth::Down(..)));

        now += FIRST_COOLDOWN;
        breaker.try_acquire(now).expect("one may find out");
        breaker.try_acquire(now).expect_err("the others may not");
        breaker.record_failure(now, "still".to_owned());
        assert_eq!(breaker.try_acquire(now).expect_err("down").0, FIRST_COOLDOWN * 2);
        for _ in 0..20 {
            now += MAX_COOLDOWN;
            breaker.try_acquire(now).expect("one may find out");
            breaker.record_failure(now, "still".to_owned());
        }
        assert_eq!(breaker.try_acquire(now).expect_err("down").0, MAX_COOLDOWN);

        now += MAX_COOLDOWN;
        breaker.try_acquire(now).expect("one may find out");
        breaker.record_cancelled();
        breaker.try_acquire(now).expect("another one may");
        breaker.record_success();
        assert_eq!(breaker.health(now), BreakerHealth::Healthy);
        breaker.record_failure(now, "once".to_owned());
        breaker.try_acquire(now).expect("once is nothing");
        assert_eq!(breaker.health(now), BreakerHealth::Degraded("once".to_owned()));
    }
}
