//! Crates that are not stored: each is fetched once for all clients.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::download::{DownloadSpec, DownloadWriter, Gate, SharedDownload, Step};
use super::download_table::{Demand, Entry, FetchedCrate};
use super::error::LiveError;
use super::index_view::Excluded;
use super::prefetch_budget::{Admission, Reservation};
use super::store_worker::StoreJob;
use super::{ActiveState, LiveMirror};
use crate::crate_id::CrateId;
use crate::index_line::IndexLine;

/// Maximum size of a `.crate` in bytes. Crates.io allows 10 MB and a few exceptions; private registries have larger
/// ones.
const MAX_CRATE_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// If upstream's cached index file does not list a version and is older than this, it is fetched again: a client may
/// have newer information.
const MAX_AGE_OF_UNLISTED: Duration = Duration::from_secs(2);

/// How long a prefetched crate waits for a client to request it.
const PREFETCH_TTL: Duration = Duration::from_secs(30);

/// Result of a request for a file that is not stored.
#[derive(Debug)]
pub enum FetchOutcome {
    /// It is stored by now.
    Stored,
    /// It is being downloaded.
    Downloading(SharedDownload),
    /// It cannot be fetched.
    Failed(LiveError),
}

impl LiveMirror {
    /// Fetches a crate that is not stored; `None` if live mode is off.
    pub async fn fetch_crate(self: &Arc<Self>, id: &CrateId) -> Option<FetchOutcome> {
        let running = match self.active()? {
            Ok(running) => running,
            Err(refusal) => return Some(FetchOutcome::Failed(refusal)),
        };
        self.metrics.misses.fetch_add(1, Relaxed);
        self.prefetcher.request(id);
        // A prefetched crate may be excluded by now.
        if self.is_requested(id)
            && let Some(shared_download) = self.join_crate_download(id)
        {
            self.prefetch_crates(&running);
            return Some(FetchOutcome::Downloading(shared_download));
        }
        Some(match self.index_line(&running, id).await {
            Ok((line, read)) => {
                let miss = self.start_crate_download(&running, id, line, read, None);
                self.prefetch_crates(&running);
                miss
            }
            Err(refusal) => FetchOutcome::Failed(refusal),
        })
    }

    fn is_requested(&self, id: &CrateId) -> bool {
        let flights = self.crate_downloads.downloads();
        flights.get(&id.file_name()).is_some_and(|entry| matches!(entry.demand, Demand::Requested { .. }))
    }

    /// The running download of a crate. It counts as requested from now on.
    fn join_crate_download(self: &Arc<Self>, id: &CrateId) -> Option<SharedDownload> {
        let mut flights = self.crate_downloads.downloads();
        let entry = flights.get_mut(&id.file_name()).filter(|entry| !entry.download.is_aborted())?;
        let (shared_download, arrived) = entry.board();
        drop(flights);
        if let Some(cargo) = arrived {
            self.enqueue_store(*cargo);
        }
        Some(shared_download)
    }

    /// Prefetches what clients will probably request next, within the budget.
    fn prefetch_crates(self: &Arc<Self>, running: &Arc<ActiveState>) {
        for (id, reservation) in self.prefetcher.take_expected() {
            tokio::spawn(Arc::clone(self).prefetch(Arc::clone(running), id, reservation));
        }
    }

    async fn prefetch(self: Arc<Self>, running: Arc<ActiveState>, id: CrateId, reservation: Reservation) {
        // Nothing more is fetched if live mode was disabled meanwhile.
        if !self.is_active(&running) || self.context.mirror.crate_file(&id).is_file() {
            return;
        }
        let Ok((line, read)) = self.index_line(&running, &id).await else { return };
        let FetchOutcome::Downloading(shared_download) =
            self.start_crate_download(&running, &id, line, read, Some(reservation))
        else {
            return;
        };
        let _however_it_ends = shared_download.wait_finished().await.is_ok();
        drop(shared_download);
        if self.is_active(&running) {
            self.prefetch_crates(&running);
        }
        tokio::time::sleep(PREFETCH_TTL).await;
        self.drop_unrequested();
    }

    /// Removes prefetched crates that no client requested in time.
    fn drop_unrequested(&self) {
        let is_old =
            |entry: &Entry| matches!(&entry.demand, Demand::Prefetched(_, since, _) if since.elapsed() >= PREFETCH_TTL);
        self.crate_downloads.downloads().retain(|_, entry| !is_old(entry));
    }

    /// Asks the budget whether a prefetch of `id` may continue. A refused one is cancelled before a client can wait for
    /// it.
    fn gate(self: &Arc<Self>, running: &Arc<ActiveState>, id: &CrateId) -> Gate {
        let (proxy, name, running) = (Arc::clone(self), id.file_name(), Arc::clone(running));
        Box::new(move |step| {
            let mut flights = proxy.crate_downloads.downloads();
            let Some(Entry { demand: Demand::Prefetching(reservation), .. }) = flights.get_mut(&name) else {
                return Admission::Admitted;
            };
            let admission = match step {
                Step::Begins(length) => reservation.begin(length),
                Step::Received(bytes) if reservation.receive(bytes) => return Admission::Admitted,
                Step::Received(_) => Admission::Refused,
            };
            if admission == Admission::Refused {
                flights.remove(&name);
            }
            drop(flights);
            // Its size is known now, and may leave space for others.
            if admission == Admission::Admitted && proxy.is_active(&running) {
                proxy.prefetch_crates(&running);
            }
            admission
        })
    }

    /// The index line of a crate as offered, and when upstream's index was read.
    async fn index_line(&self, running: &Arc<ActiveState>, id: &CrateId) -> Result<(IndexLine, Timestamp), LiveError> {
        let now = self.context.now();
        let ttl = running.settings.proxy_ttl;
        let mut known = self.cached_index(running, &id.name, ttl, None).await?;
        let listed_line = |known: &super::index_cache::CachedIndex| {
            let file = known.file.as_ref()?;
            file.find_line(&id.name, &id.version)
        };
        let mut line = listed_line(&known);
        if line.is_none() {
            let since = now.checked_sub(MAX_AGE_OF_UNLISTED).unwrap_or(now);
            known = self.cached_index(running, &id.name, ttl, Some(since)).await?;
            line = listed_line(&known);
        }
        // The stored line determines the crate's bytes, even if its file was omitted or is lost.
        let stored = fs::read_to_string(self.context.mirror.index_file(&id.name)).ok();
        let stored = stored.and_then(|text| IndexLine::find_version(&text, &id.name, &id.version));
        let read = known.checked_at.unwrap_or(now);
        if let Some(stored) = stored {
            return Ok((stored, read));
        }
        let line = line.ok_or_else(|| LiveError::not_found(format!("upstream's index does not list {id}")))?;
        match running.filter.exclusion_of(&id.name, &id.version, &line.raw, now) {
            None => Ok((line, read)),
            Some(why) => Err(LiveError::not_found(match why {
                Excluded::Denied => format!("{id} is not available from this mirror: its setting `deny` excludes it"),
                Excluded::NotAllowed => {
                    format!("{id} is not available from this mirror: its setting `allow` does not list it")
                }
                Excluded::TooYoung(until) => {
                    format!("{id} is not available from this mirror before {until}, because of its setting `min_age`")
                }
            })),
        }
    }

    /// Starts the download, unless it is running. `prefetch`: no client has requested it yet.
    fn start_crate_download(
        self: &Arc<Self>,
        running: &Arc<ActiveState>,
        id: &CrateId,
        line: IndexLine,
        read: Timestamp,
        prefetch: Option<Reservation>,
    ) -> FetchOutcome {
        let name = id.file_name();
        let mut flights = self.crate_downloads.downloads();
        if let Some(entry) = flights.get_mut(&name).filter(|entry| !entry.download.is_aborted()) {
            if prefetch.is_some() {
                return FetchOutcome::Downloading(entry.download.clone());
            }
            let (shared_download, arrived) = entry.board();
            drop(flights);
            if let Some(cargo) = arrived {
                self.enqueue_store(*cargo);
            }
            return FetchOutcome::Downloading(shared_download);
        }
        // A download is removed from the table after its file is stored.
        if self.context.mirror.crate_file(id).is_file() {
            return FetchOutcome::Stored;
        }
        let (shared_download, download_writer) = SharedDownload::create(self.context.mirror.clone());
        let (handle, gate, demand) = match prefetch {
            None => (shared_download.for_client(), None, Demand::Requested { ahead: false }),
            Some(mut reservation) => {
                reservation.start();
                (shared_download.clone(), Some(self.gate(running, id)), Demand::Prefetching(reservation))
            }
        };
        flights.insert(name, Entry { download: shared_download, demand });
        drop(flights);
        // A separate task: the client may disconnect.
        tokio::spawn(Arc::clone(self).run_crate_download(
            Arc::clone(running),
            download_writer,
            id.clone(),
            line,
            read,
            gate,
        ));
        FetchOutcome::Downloading(handle)
    }

    async fn run_crate_download(
        self: Arc<Self>,
        running: Arc<ActiveState>,
        writer: DownloadWriter,
        id: CrateId,
        line: IndexLine,
        read: Timestamp,
        gate: Option<Gate>,
    ) {
        let upstreams = &running.upstreams;
        let landed = match upstreams.config().await {
            Ok(config) => {
                let spec = DownloadSpec {
                    name: id.to_string(),
                    url: config.config.download_url(&id, &line.cksum),
                    token: upstreams.registry_client().download_token(&config),
                    sha256: line.cksum,
                    max_bytes: MAX_CRATE_BYTES,
                    gate,
                };
                self.metrics.fetches.fetch_add(1, Relaxed);
                writer.run(&upstreams.client, &upstreams.crates_breaker, &spec).await
            }
            Err(refusal) => {
                writer.fail(refusal.clone());
                Err(refusal)
            }
        };
        match landed {
            Ok(landed) => {
                self.metrics.fetched_bytes.fetch_add(landed.size, Relaxed);
                let cargo = FetchedCrate { id, line, index_read: read, download: landed };
                let mut flights = self.crate_downloads.downloads();
                let entry = flights.get_mut(&cargo.id.file_name());
                let is_ahead = match entry {
                    Some(Entry { demand: standing @ Demand::Prefetching(_), .. }) => {
                        let before = std::mem::replace(standing, Demand::Requested { ahead: true });
                        if let Demand::Prefetching(mut reservation) = before {
                            reservation.land();
                            *standing = Demand::Prefetched(Box::new(cargo), Instant::now(), reservation);
                        }
                        return;
                    }
                    Some(Entry { demand: Demand::Requested { ahead }, .. }) => *ahead,
                    _ => false,
                };
                drop(flights);
                let size = cargo.download.size;
                self.prefetcher.budget.add_used(size);
                if is_ahead {
                    self.metrics.ahead_bytes.fetch_add(size, Relaxed);
                    self.metrics.ahead_used_bytes.fetch_add(size, Relaxed);
                }
                self.enqueue_store(cargo);
            }
            // The entry was removed already, and another download may use its key.
            Err(refusal) if refusal.is_given_up() => {}
            Err(refusal) => {
                let entry = self.crate_downloads.downloads().remove(&id.file_name());
                // No client misses a failed prefetch, but wrong bytes are always reported.
                if refusal.is_mismatch() || entry.is_none_or(|entry| matches!(entry.demand, Demand::Requested { .. })) {
                    self.report_failed_fetch(&id.to_string(), &refusal);
                }
            }
        }
    }

    fn enqueue_store(self: &Arc<Self>, fetched: FetchedCrate) {
        let FetchedCrate { id, line, index_read: read, download: landed } = fetched;
        let (name, proxy) = (id.file_name(), Arc::clone(self));
        let done = Box::new(move |_placed| {
            proxy.crate_downloads.downloads().remove(&name);
        });
        self.store_worker
            .enqueue(StoreJob::Crate { id, line: Box::new(line), index_read: read, download: landed }, done);
    }

    /// Counts and reports a failed download.
    pub(super) fn report_failed_fetch(&self, what: &str, refusal: &LiveError) {
        if refusal.is_not_found() {
            return;
        }
        if refusal.is_abandoned() {
            self.metrics.abandoned.fetch_add(1, Relaxed);
            self.context.sink.detail("Abandoned", refusal.operator_message());
            return;
        }
        if refusal.is_disk_full() {
            self.metrics.record_full_disk(self.context.now());
        }
        if refusal.status == 507 {
            self.store_worker.enqueue(StoreJob::FreeSpace, Box::new(|_| {}));
        }
        let counter = if refusal.is_mismatch() { &self.metrics.mismatches } else { &self.metrics.failures };
        counter.fetch_add(1, Relaxed);
        let own_server = self.active().and_then(Result::ok).and_then(|running| running.upstreams.file_loop());
        let reason = own_server.unwrap_or_else(|| refusal.operator_message());
        self.context.sink.warning(format!("live mode could not fetch {what}: {reason}"));
    }
}
