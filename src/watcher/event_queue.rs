//! The queue of file system events until the watcher handles them. Its size is bounded.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::file_state::ChangeHint;

/// The most files whose events are kept. Beyond that, the watcher scans the folder.
const MAX_FILES: usize = 4096;

/// Events since the last scan.
#[derive(Debug, Default)]
pub(super) struct PendingEvents {
    /// The most significant event of each file.
    pub(super) hints: HashMap<OsString, ChangeHint>,
    /// Whether to scan at once.
    pub(super) is_urgent: bool,
}

/// A queue of events.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    pending: Mutex<PendingEvents>,
    changed: Condvar,
}

impl EventQueue {
    /// Adds an event. Writes are frequent and trigger no scan.
    pub(super) fn push(&self, name: OsString, hint: ChangeHint) {
        let mut pending = self.lock();
        if pending.hints.len() < MAX_FILES || pending.hints.contains_key(&name) {
            let newest = match (pending.hints.get(&name), hint) {
                // A `Touched` event does not replace an earlier `Writing` or `Complete`.
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

    /// Requests a scan at once.
    pub(super) fn request_scan(&self) {
        self.lock().is_urgent = true;
        self.changed.notify_one();
    }

    /// Waits for an urgent event, at most `timeout`.
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

    /// Takes all pending events.
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
