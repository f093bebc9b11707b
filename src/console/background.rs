//! What is read in the background, since a ledger may have gigabytes: who asks waits a moment, and is told what is known by
//! then.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long who asks waits for what is being read.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is known by now, and whether somebody reads more.
#[derive(Default)]
pub(super) struct Background<K>(Arc<Shared<K>>);

#[derive(Default)]
struct Shared<K> {
    held: Mutex<Held<K>>,
    changed: Condvar,
}

#[derive(Default)]
struct Held<K> {
    known: K,
    at_work: bool,
}

/// What is known, which nobody changes meanwhile.
pub(super) struct Look<'b, K>(MutexGuard<'b, Held<K>>);

impl<K> Deref for Look<'_, K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.0.known
    }
}

impl<K> DerefMut for Look<'_, K> {
    fn deref_mut(&mut self) -> &mut K {
        &mut self.0.known
    }
}

/// Another hand on the same.
impl<K> Clone for Background<K> {
    fn clone(&self) -> Background<K> {
        Background(Arc::clone(&self.0))
    }
}

impl<K: Send + 'static> Background<K> {
    /// What is known after a moment, and whether it is `whole`. Where it is not, and nobody reads, `read` does so on a thread
    /// called `name`, and goes on when the moment is over.
    pub(super) fn after_a_moment(
        &self,
        name: &str,
        whole: impl Fn(&K) -> bool,
        read: impl Fn(&Background<K>) + Clone + Send + 'static,
    ) -> (Look<'_, K>, bool) {
        let until = Instant::now() + PATIENCE;
        let mut held = self.lock();
        loop {
            let is_whole = whole(&held.known);
            if !is_whole && !held.at_work {
                let (turn, read) = (Turn(self.clone()), read.clone());
                // A thread that does not come to be gives its turn back, for which the lock must be free.
                held.at_work = true;
                drop(held);
                let begun = thread::Builder::new().name(name.to_owned()).spawn(move || read(&turn.0));
                held = self.lock();
                if begun.is_err() {
                    return (Look(held), false);
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if is_whole || left.is_zero() {
                return (Look(held), is_whole);
            }
            held = self.0.changed.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What is known now.
    pub(super) fn look(&self) -> Look<'_, K> {
        Look(self.lock())
    }

    /// Makes more known, and wakes who waits for that.
    pub(super) fn learn(&self, change: impl FnOnce(&mut K)) {
        change(&mut self.lock().known);
        self.0.changed.notify_all();
    }
}

impl<K> Background<K> {
    fn lock(&self) -> MutexGuard<'_, Held<K>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn of who reads; it ends with the thread, however that ends.
struct Turn<K>(Background<K>);

impl<K> Drop for Turn<K> {
    fn drop(&mut self) {
        self.0.lock().at_work = false;
        self.0.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn one_reads_and_all_are_told() {
        let background = Background::<usize>::default();
        let readers = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let readers = Arc::clone(&readers);
            let read = move |of: &Background<usize>| {
                readers.fetch_add(1, Ordering::SeqCst);
                while *of.look() < 100 {
                    thread::sleep(Duration::from_millis(1));
                    of.learn(|known| *known += 1);
                }
            };
            background.after_a_moment("test", |known| *known == 100, read).1
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| while !ask() {});
            }
        });
        assert_eq!((*background.look(), readers.load(Ordering::SeqCst)), (100, 1));
    }

    #[test]
    fn one_that_breaks_off_is_followed_by_the_next() {
        let background = Background::<usize>::default();
        let ask = || {
            let read = |of: &Background<usize>| {
                of.learn(|known| *known += 1);
                assert!(*of.look() > 1, "on purpose");
            };
            background.after_a_moment("test", |known| *known >= 2, read).1
        };
        while !ask() {}
        assert!(*background.look() >= 2);
    }
}
