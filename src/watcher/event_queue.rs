//! Where the system's hints collect until the watcher has time for them. It stays small however many there are.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::file_state::ChangeHint;

/// Most files of which hints are kept; beyond that a look at the folder must do.
const MAX_FILES: usize = 4096;

/// What has come since the last look.
#[derive(Debug, Default)]
pub(super) struct PendingEvents {
    /// The newest hint of each file.
    pub(super) hints: HashMap<OsString, ChangeHint>,
    /// A reason to look at once.
    pub(super) is_urgent: bool,
}

/// The mailbox.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    pending: Mutex<PendingEvents>,
    changed: Condvar,
}

impl EventQueue {
    /// Takes in a hint. Writes are frequent and no reason to look.
    pub(super) fn push(&self, name: OsString, hint: ChangeHint) {
        let mut pending = self.lock();
        if pending.hints.len() < MAX_FILES || pending.hints.contains_key(&name) {
            let newest = match (pending.hints.get(&name), hint) {
                // What was written or closed stays so, whatever else is told of the file.
                (Some(known), ChangeHint::Touched) => *known,
                (_, hint) => hint,
            };
            pending.hints.insert(name, newest);
        }
        if hint != ChangeHint::Writing {
            pending.is_urgent = true;
            self.changed.notify_one();
        }
    }

    /// Asks for a look at once.
    pub(super) fn request_scan(&self) {
        self.lock().is_urgent = true;
        self.changed.notify_one();
    }

    /// Waits for something urgent, at most for `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut pending = self.lock();
        while !pending.is_urgent {
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                break;
            }
            pending = self.changed.wait_timeout(pending, remaining).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes all that has come.
    pub(super) fn take(&self) -> PendingEvents {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, PendingEvents> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_hint_wins_except_over_touches() {
        let mailbox = EventQueue::default();
        mailbox.push("a".into(), ChangeHint::Writing);
        mailbox.push("b".into(), ChangeHint::Writing);
        assert!(!mailbox.lock().is_urgent);
        mailbox.push("a".into(), ChangeHint::Complete);
        mailbox.push("a".into(), ChangeHint::Touched);
        mailbox.push("c".into(), ChangeHint::Touched);
        let post = {
            mailbox.wait(Duration::from_secs(60));
            mailbox.take()
        };
        let of = |name: &str| post.hints[&OsString::from(name)];
        assert_eq!((of("a"), of("b"), of("c")), (ChangeHint::Complete, ChangeHint::Writing, ChangeHint::Touched));
        assert!(mailbox.take().hints.is_empty());
    }

    #[test]
    fn an_event_flood_requests_a_scan_and_is_bounded() {
        let mailbox = EventQueue::default();
        for n in 0..2 * MAX_FILES {
            mailbox.push(n.to_string().into(), ChangeHint::Complete);
        }
        let post = mailbox.take();
        assert_eq!((post.hints.len(), post.is_urgent), (MAX_FILES, true));
    }
}
