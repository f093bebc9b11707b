//! Waits for a condition: the one polling loop of the tests. The limit is generous, for the CI machine is slow; a test that
//! passes ends with the condition, not with the limit.

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// After this time a wait fails.
pub const LIMIT: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `condition` holds; `what` names the awaited event.
#[track_caller]
pub fn until(what: impl Display, mut condition: impl FnMut() -> bool) {
    until_some(what, || condition().then_some(()));
}

/// Waits like [`until`]; a failure also shows the last state, for example the output of the server.
#[track_caller]
pub fn until_with<S: Display>(what: impl Display, state: impl Fn() -> S, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "not within {LIMIT:?}: {what}\n{}", state());
        sleep(PAUSE);
    }
}

/// Waits until `attempt` gives a value.
#[track_caller]
pub fn until_some<T>(what: impl Display, mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < end, "not within {LIMIT:?}: {what}");
        sleep(PAUSE);
    }
}
