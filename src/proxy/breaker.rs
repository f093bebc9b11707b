//! An upstream that is down is left alone for a while, so that not every client waits for it in turn.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::event::Sink;

/// Failures in a row after which an upstream counts as down.
const FAILURES: u32 = 3;
/// How long an upstream that is down is left alone at first; each further failure doubles it.
const FIRST_REST: Duration = Duration::from_secs(5);
/// How long at most.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The state of one upstream. Requests ask it before they are sent, and tell it afterwards how they fared.
pub(super) struct Breaker {
    state: Mutex<State>,
    /// Whether nobody is to be asked for anything any more.
    off: watch::Receiver<bool>,
    /// What it is the upstream of, for the operator.
    of: &'static str,
    sink: Arc<dyn Sink>,
}

#[derive(Debug, Default)]
struct State {
    /// Somebody was answered.
    answered: bool,
    failures: u32,
    /// Down, and until when it is left alone.
    rest: Option<(Instant, Duration)>,
    /// One request is finding out whether it is there again.
    probing: bool,
    /// What went wrong last; `None`: nothing, or it is long past.
    why: Option<String>,
}

/// How an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Nobody has asked it for anything.
    Unasked,
    /// Nothing is known against it.
    Good,
    /// Requests have failed lately, with the last one's reason.
    Shaky(String),
    /// It is left alone, for so long, for this reason.
    Down(Duration, String),
}

impl Breaker {
    /// Of the upstream of `of`, which is asked until `off` says otherwise.
    pub(super) fn new(of: &'static str, off: &watch::Receiver<bool>, sink: Arc<dyn Sink>) -> Breaker {
        Breaker { state: Mutex::default(), off: off.clone(), of, sink }
    }

    /// Waits until nobody is to be asked for anything any more.
    pub(super) async fn switched_off(&self) {
        let mut off = self.off.clone();
        // Whoever could say so is gone: then it is so.
        let _said = off.wait_for(|off| *off).await.is_ok();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request may be sent.
    ///
    /// # Errors
    /// It is down: how long it will be left alone, and why.
    pub(super) fn ask(&self, now: Instant) -> Result<(), (Duration, String)> {
        let mut state = self.state();
        let Some((until, _)) = state.rest else { return Ok(()) };
        let left = until.saturating_duration_since(now);
        if left.is_zero() && !state.probing {
            state.probing = true;
            return Ok(());
        }
        Err((left.max(Duration::from_secs(1)), state.why.clone().unwrap_or_default()))
    }

    /// A request was answered, whatever it was.
    pub(super) fn answered(&self) {
        let before = std::mem::replace(&mut *self.state(), State { answered: true, ..State::default() });
        if before.rest.is_some() {
            self.sink.status("Live", format!("the upstream of {} answers again", self.of));
        }
    }

    /// A request came to nothing.
    pub(super) fn failed(&self, now: Instant, why: String) {
        let mut state = self.state();
        state.failures += 1;
        state.probing = false;
        state.why = Some(why);
        if state.failures >= FAILURES {
            // Those that were under way when it went down say nothing new.
            let rest = match state.rest {
                Some((until, rest)) if until <= now => (rest * 2).min(LONGEST_REST),
                Some((_, rest)) => rest,
                None => FIRST_REST,
            };
            let told = state.why.clone().filter(|_| state.rest.is_none());
            state.rest = Some((now + rest, rest));
            drop(state);
            if let Some(why) = told {
                self.sink.warning(format!(
                    "live mode: the upstream of {} is down, and left alone for a while: {why}",
                    self.of
                ));
            }
        }
    }

    /// The answer to a request has begun, and may yet break off: the next request may find out as well.
    pub(super) fn begun(&self) {
        self.state().probing = false;
    }

    /// A request was given up before anybody knew how it would fare.
    pub(super) fn given_up(&self) {
        self.state().probing = false;
    }

    /// How it is.
    pub(super) fn health(&self, now: Instant) -> Health {
        let state = self.state();
        match (&state.rest, &state.why) {
            (Some((until, _)), why) => {
                Health::Down(until.saturating_duration_since(now), why.clone().unwrap_or_default())
            }
            (None, Some(why)) => Health::Shaky(why.clone()),
            (None, None) if state.answered => Health::Good,
            (None, None) => Health::Unasked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Silent;

    #[test]
    fn three_failures_in_a_row_and_one_that_finds_out() {
        let (_switch, off) = watch::channel(false);
        let (breaker, mut now) = (Breaker::new("the index", &off, Arc::new(Silent)), Instant::now());
        for n in 0..3 {
            breaker.ask(now).expect("it is tried");
            breaker.failed(now, format!("refused {n}"));
        }
        let (left, why) = breaker.ask(now).expect_err("down");
        assert_eq!((left, why.as_str()), (FIRST_REST, "refused 2"));
        assert!(matches!(breaker.health(now), Health::Down(..)));

        now += FIRST_REST;
        breaker.ask(now).expect("one may find out");
        breaker.ask(now).expect_err("the others may not");
        breaker.failed(now, "still".to_owned());
        assert_eq!(breaker.ask(now).expect_err("down").0, FIRST_REST * 2);
        for _ in 0..20 {
            now += LONGEST_REST;
            breaker.ask(now).expect("one may find out");
            breaker.failed(now, "still".to_owned());
        }
        assert_eq!(breaker.ask(now).expect_err("down").0, LONGEST_REST);

        now += LONGEST_REST;
        breaker.ask(now).expect("one may find out");
        breaker.given_up();
        breaker.ask(now).expect("another one may");
        breaker.answered();
        assert_eq!(breaker.health(now), Health::Good);
        breaker.failed(now, "once".to_owned());
        breaker.ask(now).expect("once is nothing");
        assert_eq!(breaker.health(now), Health::Shaky("once".to_owned()));
    }
}
