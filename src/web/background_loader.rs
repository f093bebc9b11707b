//! Loads data in the background, because a ledger may have gigabytes. A caller waits briefly and gets the data that is
//! loaded by then.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a caller waits for a running load.
const WAIT_TIMEOUT: Duration = Duration::from_millis(500);

/// The loaded data, and whether a load is running.
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

/// A snapshot of the loaded data.
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

/// Clones the handle.
impl<K> Clone for BackgroundLoader<K> {
    fn clone(&self) -> BackgroundLoader<K> {
        BackgroundLoader(Arc::clone(&self.0))
    }
}

impl<K: Send + 'static> BackgroundLoader<K> {
    /// Returns the loaded data after a short wait, and whether it is complete. If it is incomplete and no load runs, starts
    /// `read` on a thread called `name`, which may outlast the wait.
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
                // If the thread cannot start, the guard is dropped, which needs the lock.
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

    /// The data that is loaded now.
    pub(super) fn data(&self) -> Guard<'_, K> {
        Guard(self.lock())
    }

    /// Adds loaded data, and wakes waiting callers.
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

/// Marks a running load; the mark ends with the thread, even after a panic.
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
