//! Where the system's hints collect until the watcher has time for them. It stays small however many there are.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::settle::Hint;

/// Most files of which hints are kept; beyond that a look at the folder must do.
const MOST: usize = 4096;

/// What has come since the last look.
#[derive(Debug, Default)]
pub(super) struct Post {
    /// The newest hint of each file.
    pub(super) hints: HashMap<OsString, Hint>,
    /// A reason to look at once.
    pub(super) urgent: bool,
}

/// The mailbox.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    post: Mutex<Post>,
    changed: Condvar,
}

impl Mailbox {
    /// Takes in a hint. Writes are frequent and no reason to look.
    pub(super) fn hint(&self, name: OsString, hint: Hint) {
        let mut post = self.lock();
        if post.hints.len() < MOST || post.hints.contains_key(&name) {
            let newest = match (post.hints.get(&name), hint) {
                // What was written or closed stays so, whatever else is told of the file.
                (Some(known), Hint::Touched) => *known,
                (_, hint) => hint,
            };
            post.hints.insert(name, newest);
        }
        if hint != Hint::Written {
            post.urgent = true;
            self.changed.notify_one();
        }
    }

    /// Asks for a look at once.
    pub(super) fn look(&self) {
        self.lock().urgent = true;
        self.changed.notify_one();
    }

    /// Waits for something urgent, at most for `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        let until = Instant::now() + timeout;
        let mut post = self.lock();
        while !post.urgent {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            post = self.changed.wait_timeout(post, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes all that has come.
    pub(super) fn take(&self) -> Post {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_word_stays_and_a_touch_hides_nothing() {
        let mailbox = Mailbox::default();
        mailbox.hint("a".into(), Hint::Written);
        mailbox.hint("b".into(), Hint::Written);
        assert!(!mailbox.lock().urgent);
        mailbox.hint("a".into(), Hint::Whole);
        mailbox.hint("a".into(), Hint::Touched);
        mailbox.hint("c".into(), Hint::Touched);
        let post = {
            mailbox.wait(Duration::from_secs(60));
            mailbox.take()
        };
        let of = |name: &str| post.hints[&OsString::from(name)];
        assert_eq!((of("a"), of("b"), of("c")), (Hint::Whole, Hint::Written, Hint::Touched));
        assert!(mailbox.take().hints.is_empty());
    }

    #[test]
    fn a_flood_is_a_reason_to_look_and_takes_no_memory() {
        let mailbox = Mailbox::default();
        for n in 0..2 * MOST {
            mailbox.hint(n.to_string().into(), Hint::Whole);
        }
        let post = mailbox.take();
        assert_eq!((post.hints.len(), post.urgent), (MOST, true));
    }
}
