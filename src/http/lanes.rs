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
        Lanes {
            hosts: Mutex::default(),
            jobs: jobs.clamp(1, 1024),
            multiplexing,
        }
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
        Pass {
            _permit: permit,
            lane,
            narrow,
            wide,
        }
    }
}

impl Lane {
    fn new(width: usize) -> Lane {
        Lane {
            permits: Arc::new(Semaphore::new(width)),
            width: AtomicUsize::new(width),
        }
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
