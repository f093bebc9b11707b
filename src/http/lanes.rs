//! How many requests a host gets at a time: 1 until it is known to speak HTTP/2 (so that a crowd of first requests
//! does not open a crowd of connections), 8 where it does not, the `jobs` number where it does.
//!
//! Downloads may leave some of these to short requests, so that slow downloads never hold up an index file.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at a time to a host without HTTP/2; more is taken for an attack by some.
const WITHOUT_HTTP2: usize = 8;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A text of limited size, such as an index file, or the head of an answer alone.
    Text,
    /// A file, which may take long.
    File,
}

/// The lanes of every host.
pub(super) struct Lanes {
    hosts: Mutex<HashMap<String, Arc<Lane>>>,
    jobs: usize,
    multiplexing: bool,
    /// Requests at a time that downloads leave to texts, where a host bears more than one at a time.
    reserved: usize,
}

struct Lane {
    /// For each request.
    permits: Arc<Semaphore>,
    width: AtomicUsize,
    /// For each download, which needs one of `permits` too.
    downloads: Arc<Semaphore>,
    download_width: AtomicUsize,
    reserved: usize,
}

/// The right to one request; given back when dropped.
pub(super) struct Pass {
    _permits: [Option<OwnedSemaphorePermit>; 2],
    lane: Arc<Lane>,
    narrow: usize,
    wide: usize,
}

impl Lanes {
    pub(super) fn new(jobs: usize, multiplexing: bool, reserved: usize) -> Lanes {
        Lanes { hosts: Mutex::default(), jobs: jobs.clamp(1, 1024), multiplexing, reserved }
    }

    /// Waits for the right to ask the host of `url`.
    pub(super) async fn enter(&self, url: &Url, purpose: Purpose) -> Pass {
        let narrow = self.jobs.min(WITHOUT_HTTP2);
        let wide = if self.multiplexing { self.jobs } else { narrow };
        let lane = {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            let host = url.origin().ascii_serialization();
            Arc::clone(hosts.entry(host).or_insert_with(|| {
                let may_multiplex = self.multiplexing && url.scheme() == "https";
                Arc::new(Lane::new(if may_multiplex { 1 } else { narrow }, self.reserved))
            }))
        };
        // A semaphore is never closed, so this fails never; without a permit the request is merely unlimited.
        let download = match purpose {
            Purpose::File => Arc::clone(&lane.downloads).acquire_owned().await.ok(),
            Purpose::Text => None,
        };
        let permit = Arc::clone(&lane.permits).acquire_owned().await.ok();
        Pass { _permits: [download, permit], lane, narrow, wide }
    }
}

impl Lane {
    fn new(width: usize, reserved: usize) -> Lane {
        let downloads = without_reserved(width, reserved);
        Lane {
            permits: Arc::new(Semaphore::new(width)),
            width: AtomicUsize::new(width),
            downloads: Arc::new(Semaphore::new(downloads)),
            download_width: AtomicUsize::new(downloads),
            reserved,
        }
    }

    fn widen(&self, width: usize) {
        let before = self.width.fetch_max(width, Ordering::AcqRel);
        self.permits.add_permits(width.saturating_sub(before));
        let width = without_reserved(width, self.reserved);
        let before = self.download_width.fetch_max(width, Ordering::AcqRel);
        self.downloads.add_permits(width.saturating_sub(before));
    }
}

/// Of so many requests at a time, those that may be downloads: never less than half, and never none.
fn without_reserved(width: usize, reserved: usize) -> usize {
    width.saturating_sub(reserved).max(width / 2).max(1)
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
        let pass = lanes.enter(&url.parse().expect("address"), Purpose::File).await;
        pass.lane.permits.available_permits() + 1
    }

    #[tokio::test]
    async fn the_first_request_goes_alone_where_http2_may_come() {
        let lanes = Lanes::new(64, true, 0);
        let url: Url = "https://h/".parse().expect("address");
        let first = lanes.enter(&url, Purpose::File).await;
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
        let lanes = Lanes::new(64, true, 0);
        assert_eq!(free(&lanes, "https://h/").await, 1);
        assert_eq!(free(&lanes, "https://h/").await, 8);
        let lanes = Lanes::new(64, false, 0);
        assert_eq!(free(&lanes, "https://h/").await, 8);
    }

    #[tokio::test]
    async fn the_jobs_number_is_never_passed() {
        let lanes = Lanes::new(3, true, 0);
        let first = lanes.enter(&"https://h/".parse().expect("address"), Purpose::File).await;
        first.answered(true);
        drop(first);
        assert_eq!(free(&lanes, "https://h/").await, 3);
    }

    #[tokio::test]
    async fn downloads_leave_room_for_texts() {
        for (jobs, url, multiplexed, downloads) in [
            (64, "http://h/", false, 6),
            (64, "https://h/", true, 62),
            (3, "http://h/", false, 1),
            (2, "http://h/", false, 1),
        ] {
            let lanes = Lanes::new(jobs, true, 2);
            let url: Url = url.parse().expect("address");
            let first = lanes.enter(&url, Purpose::Text).await;
            first.answered(multiplexed);
            drop(first);
            let mut held = Vec::new();
            for _ in 0..downloads {
                held.push(lanes.enter(&url, Purpose::File).await);
            }
            let next = lanes.enter(&url, Purpose::File);
            let next = tokio::time::timeout(std::time::Duration::from_millis(20), next).await;
            assert!(next.is_err(), "{url}: one download too many");
            lanes.enter(&url, Purpose::Text).await;
        }
        // A single request at a time is a single one.
        let lanes = Lanes::new(1, true, 2);
        let url: Url = "http://h/".parse().expect("address");
        drop(lanes.enter(&url, Purpose::File).await);
        lanes.enter(&url, Purpose::Text).await;
    }
}
