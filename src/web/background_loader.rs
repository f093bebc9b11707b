//! What is read in the background, since a ledger may have gigabytes: who asks waits a moment, and is told what is known by
//! then.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long who asks waits for what is being read.
const WAIT_TIMEOUT: Duration = Duration::from_millis(500);

/// What is known by now, and whether somebody reads more.
#[derive(Default)]
pub(super) struct BackgroundLoader<K>(Arc<Shared<K>>);

#[derive(Default)]
struct Shared<K> {
    state: Mutex<LoaderState<K>>,
    changed: Condvar,
}

#[derive(Default)]
struct LoaderState<K> {
    data: K,
    is_loading: bool,
}

/// What is known, which nobody changes meanwhile.
pub(super) struct Guard<'b, K>(MutexGuard<'b, LoaderState<K>>);

impl<K> Deref for Guard<'_, K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.0.data
    }
}

impl<K> DerefMut for Guard<'_, K> {
    fn deref_mut(&mut self) -> &mut K {
        &mut self.0.data
    }
}

/// Another hand on the same.
impl<K> Clone for BackgroundLoader<K> {
    fn clone(&self) -> BackgroundLoader<K> {
        BackgroundLoader(Arc::clone(&self.0))
    }
}

impl<K: Send + 'static> BackgroundLoader<K> {
    /// What is known after a moment, and whether it is `whole`. Where it is not, and nobody reads, `read` does so on a thread
    /// called `name`, and goes on when the moment is over.
    pub(super) fn load_or_timeout(
        &self,
        name: &str,
        is_complete: impl Fn(&K) -> bool,
        read: impl Fn(&BackgroundLoader<K>) + Clone + Send + 'static,
    ) -> (Guard<'_, K>, bool) {
        let deadline = Instant::now() + WAIT_TIMEOUT;
        let mut state = self.lock();
        loop {
            let complete = is_complete(&state.data);
            if !complete && !state.is_loading {
                let (guard, read) = (LoadingGuard(self.clone()), read.clone());
                // A thread that does not come to be gives its turn back, for which the lock must be free.
                state.is_loading = true;
                drop(state);
                let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || read(&guard.0));
                state = self.lock();
                if spawned.is_err() {
                    return (Guard(state), false);
                }
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            if complete || remaining.is_zero() {
                return (Guard(state), complete);
            }
            state = self.0.changed.wait_timeout(state, remaining).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What is known now.
    pub(super) fn data(&self) -> Guard<'_, K> {
        Guard(self.lock())
    }

    /// Makes more known, and wakes who waits for that.
    pub(super) fn update(&self, change: impl FnOnce(&mut K)) {
        change(&mut self.lock().data);
        self.0.changed.notify_all();
    }
}

impl<K> BackgroundLoader<K> {
    fn lock(&self) -> MutexGuard<'_, LoaderState<K>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn of who reads; it ends with the thread, however that ends.
struct LoadingGuard<K>(BackgroundLoader<K>);

impl<K> Drop for LoadingGuard<K> {
    fn drop(&mut self) {
        self.0.lock().is_loading = false;
        self.0.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn one_thread_loads_for_all_callers() {
        let background = BackgroundLoader::<usize>::default();
        let readers = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let readers = Arc::clone(&readers);
            let read = move |of: &BackgroundLoader<usize>| {
                readers.fetch_add(1, Ordering::SeqCst);
                while *of.data() < 100 {
                    thread::sleep(Duration::from_millis(1));
                    of.update(|known| *known += 1);
                }
            };
            background.load_or_timeout("test", |known| *known == 100, read).1
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| while !ask() {});
            }
        });
        assert_eq!((*background.data(), readers.load(Ordering::SeqCst)), (100, 1));
    }

    #[test]
    fn a_load_that_panics_is_restarted() {
        let background = BackgroundLoader::<usize>::default();
        let ask = || {
            let read = |of: &BackgroundLoader<usize>| {
                of.update(|known| *known += 1);
                assert!(*of.data() > 1, "on purpose");
            };
            background.load_or_timeout("test", |known| *known >= 2, read).1
        };
        while !ask() {}
        assert!(*background.data() >= 2);
    }
}
