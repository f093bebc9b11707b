//! Limits the concurrent requests to a host. The limit is 1 until the host is known to speak HTTP/2, so that many first
//! requests do not open many connections. Then it is 8 without HTTP/2, and the `jobs` number with it.
//!
//! Downloads may leave some of these to short requests, so that slow downloads never delay an index file.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum number of connections to a host without HTTP/2; some servers treat more as an attack.
const MAX_HTTP1_CONNECTIONS: usize = 8;

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A text of limited size, such as an index file, or only response headers.
    Text,
    /// A file, which may take long.
    File,
}

/// The limits of all hosts.
pub(super) struct HostLimits {
    hosts: Mutex<HashMap<String, Arc<HostLimit>>>,
    jobs: usize,
    multiplexing: bool,
    /// Concurrent requests that downloads leave to texts, if a host allows more than one at a time.
    reserved: usize,
}

struct HostLimit {
    /// One permit per request.
    permits: Arc<Semaphore>,
    limit: AtomicUsize,
    /// One permit per download, which also needs one of `permits`.
    downloads: Arc<Semaphore>,
    download_limit: AtomicUsize,
    reserved: usize,
}

/// The permit for one request, returned on drop.
pub(super) struct Permit {
    _permits: [Option<OwnedSemaphorePermit>; 2],
    host_limit: Arc<HostLimit>,
    http1_limit: usize,
    http2_limit: usize,
}

impl HostLimits {
    pub(super) fn new(jobs: usize, multiplexing: bool, reserved: usize) -> HostLimits {
        HostLimits { hosts: Mutex::default(), jobs: jobs.clamp(1, 1024), multiplexing, reserved }
    }

    /// Waits for a permit for the host of `url`.
    pub(super) async fn acquire(&self, url: &Url, purpose: Purpose) -> Permit {
        let narrow = self.jobs.min(MAX_HTTP1_CONNECTIONS);
        let wide = if self.multiplexing { self.jobs } else { narrow };
        let lane = {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            let host = url.origin().ascii_serialization();
            Arc::clone(hosts.entry(host).or_insert_with(|| {
                let may_multiplex = self.multiplexing && url.scheme() == "https";
                Arc::new(HostLimit::new(if may_multiplex { 1 } else { narrow }, self.reserved))
            }))
        };
        // A semaphore is never closed, so this never fails; without a permit the request would only be unlimited.
        let download = match purpose {
            Purpose::File => Arc::clone(&lane.downloads).acquire_owned().await.ok(),
            Purpose::Text => None,
        };
        let permit = Arc::clone(&lane.permits).acquire_owned().await.ok();
        Permit { _permits: [download, permit], host_limit: lane, http1_limit: narrow, http2_limit: wide }
    }
}

impl HostLimit {
    fn new(width: usize, reserved: usize) -> HostLimit {
        let downloads = download_share(width, reserved);
        HostLimit {
            permits: Arc::new(Semaphore::new(width)),
            limit: AtomicUsize::new(width),
            downloads: Arc::new(Semaphore::new(downloads)),
            download_limit: AtomicUsize::new(downloads),
            reserved,
        }
    }

    fn raise(&self, width: usize) {
        let before = self.limit.fetch_max(width, Ordering::AcqRel);
        self.permits.add_permits(width.saturating_sub(before));
        let width = download_share(width, self.reserved);
        let before = self.download_limit.fetch_max(width, Ordering::AcqRel);
        self.downloads.add_permits(width.saturating_sub(before));
    }
}

/// How many of `width` concurrent requests may be downloads: at least half, and at least one.
fn download_share(width: usize, reserved: usize) -> usize {
    width.saturating_sub(reserved).max(width / 2).max(1)
}

impl Permit {
    /// Records whether the host itself answered with HTTP/2.
    pub(super) fn record_protocol(&self, http2: bool) {
        self.host_limit.raise(if http2 { self.http2_limit } else { self.http1_limit });
    }
}

impl Drop for Permit {
    /// After a failed first request, the others must not be tried one by one.
    fn drop(&mut self) {
        self.host_limit.raise(self.http1_limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn free_permits(lanes: &HostLimits, url: &str) -> usize {
        let permit = lanes.acquire(&url.parse().expect("address"), Purpose::File).await;
        permit.host_limit.permits.available_permits() + 1
    }

    #[tokio::test]
    async fn the_first_request_is_alone_until_http2_is_known() {
        let lanes = HostLimits::new(64, true, 0);
        let url: Url = "https://h/".parse().expect("address");
        let first = lanes.acquire(&url, Purpose::File).await;
        assert_eq!(first.host_limit.permits.available_permits(), 0);
        first.record_protocol(true);
        assert_eq!(first.host_limit.permits.available_permits(), 63);
        drop(first);
        assert_eq!(free_permits(&lanes, "https://h/other").await, 64);
        // Another host or scheme has its own limit.
        assert_eq!(free_permits(&lanes, "https://h:444/").await, 1);
        assert_eq!(free_permits(&lanes, "http://h/").await, 8);
    }

    #[tokio::test]
    async fn http1_hosts_get_eight_requests_even_after_a_failed_first_one() {
        let lanes = HostLimits::new(64, true, 0);
        assert_eq!(free_permits(&lanes, "https://h/").await, 1);
        assert_eq!(free_permits(&lanes, "https://h/").await, 8);
        let lanes = HostLimits::new(64, false, 0);
        assert_eq!(free_permits(&lanes, "https://h/").await, 8);
    }

    #[tokio::test]
    async fn the_jobs_limit_is_never_exceeded() {
        let lanes = HostLimits::new(3, true, 0);
        let first = lanes.acquire(&"https://h/".parse().expect("address"), Purpose::File).await;
        first.record_protocol(true);
        drop(first);
        assert_eq!(free_permits(&lanes, "https://h/").await, 3);
    }

    #[tokio::test]
    async fn downloads_leave_reserved_permits_to_texts() {
        for (jobs, url, multiplexed, downloads) in [
            (64, "http://h/", false, 6),
            (64, "https://h/", true, 62),
            (3, "http://h/", false, 1),
            (2, "http://h/", false, 1),
        ] {
            let lanes = HostLimits::new(jobs, true, 2);
            let url: Url = url.parse().expect("address");
            let first = lanes.acquire(&url, Purpose::Text).await;
            first.record_protocol(multiplexed);
            drop(first);
            let mut stored = Vec::new();
            for _ in 0..downloads {
                stored.push(lanes.acquire(&url, Purpose::File).await);
            }
            let next = lanes.acquire(&url, Purpose::File);
            let next = tokio::time::timeout(std::time::Duration::from_millis(20), next).await;
            assert!(next.is_err(), "{url}: one download too many");
            lanes.acquire(&url, Purpose::Text).await;
        }
        // A limit of one is not divided.
        let lanes = HostLimits::new(1, true, 2);
        let url: Url = "http://h/".parse().expect("address");
        drop(lanes.acquire(&url, Purpose::File).await);
        lanes.acquire(&url, Purpose::Text).await;
    }
}
