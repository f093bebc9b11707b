//! Work on many items with several threads.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::digest::BUFFER_SIZE;

/// The number of threads that read and hash. At least two, so that one hashes while the other waits for the disk.
pub fn thread_count() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16)
}

/// Runs `work` for each item on at most `threads` threads, each with its own buffer of [`BUFFER_SIZE`] bytes. Results
/// have the order of the items. A panic of `work` is passed on.
pub fn map<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T, &mut [u8]) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut buffer = vec![0; BUFFER_SIZE];
        let mut done = Vec::new();
        while let Some((at, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, items.get(at)?)))
        {
            done.push((at, work(item, &mut buffer)));
        }
        done
    };
    let mut all: Vec<(usize, R)> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads.min(items.len())).map(|_| scope.spawn(run)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().flat_map(join).collect()
    });
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}
