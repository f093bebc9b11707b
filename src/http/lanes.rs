//! How many requests a host gets at a time: 1 until it is known to speak HTTP/2 (so that a crowd of first requests
//! does not open a crowd of connections), 8 where it does not, the `jobs` number where it does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at a time to a host without HTTP/2; more is taken for an attack by some.
const WITHOUT_HTTP2: usize = 8;

/// The lanes of every host.
pub(super) struct Lanes {
    hosts: Mutex<HashMap<String, Arc<Lane>>>,
    jobs: usize,
    multiplexing: bool,
}

struct Lane {
    permits: Arc<Semaphore>,
    width: AtomicUsize,
}

/// The right to one request; given back when dropped.
pub(super) struct Pass {
    _permit: Option<OwnedSemaphorePermit>,
    lane: Arc<Lane>,
    narrow: usize,
    wide: usize,
}

impl Lanes {
    pub(super) fn new(jobs: usize, multiplexing: bool) -> Lanes {
        Lanes { hosts: Mutex::default(), jobs: jobs.clamp(1, 1024), multiplexing }
    }

    /// Waits for the right to ask the host of `url`.
    pub(super) async fn enter(&self, url: &Url) -> Pass {
        let narrow = self.jobs.min(WITHOUT_HTTP2);
        let wide = if self.multiplexing { self.jobs } else { narrow };
        let lane = {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            let host = url.origin().ascii_serialization();
            Arc::clone(hosts.entry(host).or_insert_with(|| {
                let may_multiplex = self.multiplexing && url.scheme() == "https";
                Arc::new(Lane::new(if may_multiplex { 1 } else { narrow }))
            }))
        };
        // The semaphore is never closed, so this fails never; without a permit the request is merely unlimited.
        let permit = Arc::clone(&lane.permits).acquire_owned().await.ok();
        Pass { _permit: permit, lane, narrow, wide }
    }
}

impl Lane {
    fn new(width: usize) -> Lane {
        Lane { permits: Arc::new(Semaphore::new(width)), width: AtomicUsize::new(width) }
    }

    fn widen(&self, width: usize) {
        let before = self.width.fetch_max(width, Ordering::AcqRel);
        self.permits.add_permits(width.saturating_sub(before));
    }
}

impl Pass {
    /// The host itself has answered, with HTTP/2 or without.
    pub(super) fn answered(&self, http2: bool) {
        self.lane.widen(if http2 { self.wide } else { self.narrow });
    }
}

impl Drop for Pass {
    /// A first request that came to nothing must not hold up the others one by one.
    fn drop(&mut self) {
        self.lane.widen(self.narrow);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn free(lanes: &Lanes, url: &str) -> usize {
        let pass = lanes.enter(&url.parse().expect("address")).await;
        pass.lane.permits.available_permits() + 1
    }

    #[tokio::test]
    async fn the_first_request_goes_alone_where_http2_may_come() {
        let lanes = Lanes::new(64, true);
        let url: Url = "https://h/".parse().expect("address");
        let first = lanes.enter(&url).await;
        assert_eq!(first.lane.permits.available_permits(), 0);
        first.answered(true);
        assert_eq!(first.lane.permits.available_permits(), 63);
        drop(first);
        assert_eq!(free(&lanes, "https://h/other").await, 64);
        // Another host, another protocol: nothing is known of them.
        assert_eq!(free(&lanes, "https://h:444/").await, 1);
        assert_eq!(free(&lanes, "http://h/").await, 8);
    }

    #[tokio::test]
    async fn without_http2_there_are_eight_even_when_the_first_request_fails() {
        let lanes = Lanes::new(64, true);
        assert_eq!(free(&lanes, "https://h/").await, 1);
        assert_eq!(free(&lanes, "https://h/").await, 8);
        let lanes = Lanes::new(64, false);
        assert_eq!(free(&lanes, "https://h/").await, 8);
    }

    #[tokio::test]
    async fn the_jobs_number_is_never_passed() {
        let lanes = Lanes::new(3, true);
        let first = lanes.enter(&"https://h/".parse().expect("address")).await;
        first.answered(true);
        drop(first);
        assert_eq!(free(&lanes, "https://h/").await, 3);
    }
}
