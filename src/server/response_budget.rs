//! Limits the memory and open files of responses that wait for their clients, per connection and in total.
//!
//! A client that requests much and reads nothing costs a server the memory of its responses. So the body of every
//! response has a [`Reservation`]: a share of its connection's [`ConnectionBudget`]. The body and all its chunks keep
//! the share until the last chunk is sent. A body that does not fit into the budget is dropped, and built again when
//! there is space.
//!
//! | attack | defence |
//! |---|---|
//! | many requests on one HTTP/2 connection, with no window for their responses | [`CONNECTION_UNITS`] limits the connection; a stream without progress ends after [`STALL_TIMEOUT`] |
//! | PING, SETTINGS, WINDOW_UPDATE to look alive | only sent body bytes and new requests count |
//! | many such connections | each has [`OWN_UNITS`], and all share [`SHARED_UNITS`]; above [`Budget::limit`] the connections that read the least for what they occupy are closed |
//! | one byte a minute | likewise: under pressure a connection must read [`MIN_PROGRESS_BYTES`] bytes within [`PRESSURE_WINDOW`] |

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::rt::Executor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::stall_timeout::ConnectionActivity;

/// Bytes in one chunk of a body. A file of this size or less is one chunk: it is read at once, and sent in one write
/// together with its headers.
pub(super) const CHUNK_SIZE: usize = 64 * 1024;
/// The unit of every weight, in bytes.
const UNIT_BYTES: usize = 1024;
/// Limit for the bodies of one connection, in units. A larger body is only admitted alone.
const CONNECTION_UNITS: usize = 1024;
/// What every connection may occupy, in units. The rest of its limit comes from [`SHARED_UNITS`]. A larger body is admitted
/// alone.
const OWN_UNITS: usize = 256;
/// What all connections together may occupy beyond [`OWN_UNITS`] of each, in units.
const SHARED_UNITS: usize = 16 * 1024;
/// Weight of a streamed body, in bytes: the chunk that waits for its client, and the next one.
pub(super) const STREAMED_BYTES: usize = 2 * CHUNK_SIZE;
/// Cost of an unfinished HTTP/2 request without its body, in units (measured).
const STREAM_UNITS: usize = 3;
/// Limit for all bodies and requests, in units. Above it, stalled connections are closed.
const TOTAL_UNITS: usize = 64 * 1024;
/// How long a body may wait for its client without progress.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Under pressure, a connection that read fewer than [`MIN_PROGRESS_BYTES`] bytes in this time is closed.
pub(super) const PRESSURE_WINDOW: Duration = Duration::from_secs(2);
/// See [`PRESSURE_WINDOW`].
pub(super) const MIN_PROGRESS_BYTES: u64 = 16 * 1024;
/// Pages and API responses in progress at a time on one connection.
const MAX_PAGES: usize = 8;

/// The total of all connections.
pub(super) struct Budget {
    /// Permits for files that bodies keep open.
    files: Arc<Semaphore>,
    /// See [`SHARED_UNITS`].
    shared: Arc<Semaphore>,
    reserved: AtomicUsize,
    limit: usize,
    stalled_after: Duration,
}

/// The total of one connection.
pub(super) struct ConnectionBudget {
    budget: Arc<Budget>,
    activity: ConnectionActivity,
    units: Arc<Semaphore>,
    /// See [`OWN_UNITS`].
    own: Arc<Semaphore>,
    pages: Arc<Semaphore>,
    reserved: AtomicUsize,
    streams: AtomicUsize,
    sent_bytes: AtomicU64,
}

/// A share of a budget, returned on drop.
pub(super) struct Reservation {
    connection: Arc<ConnectionBudget>,
    weight: usize,
    stream: Option<Arc<StreamActivity>>,
    _units: Option<OwnedSemaphorePermit>,
    /// Units of the connection's own, or shared ones.
    _source: Option<OwnedSemaphorePermit>,
    _file: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// An empty budget. `files`: how many files bodies may keep open; `stalled_after`: see [`STALL_TIMEOUT`].
    pub fn new(files: usize, stalled_after: Duration) -> Arc<Budget> {
        let files = Arc::new(Semaphore::new(files.min(Semaphore::MAX_PERMITS)));
        let shared = Arc::new(Semaphore::new(SHARED_UNITS));
        Arc::new(Budget { files, shared, reserved: AtomicUsize::new(0), limit: TOTAL_UNITS, stalled_after })
    }

    /// Units above the limit; greater than zero if no more files may be opened.
    pub fn excess(&self) -> usize {
        let excess = self.reserved.load(Relaxed).saturating_sub(self.limit);
        if self.files.available_permits() == 0 { excess.max(CONNECTION_UNITS) } else { excess }
    }
}

impl ConnectionBudget {
    /// The budget of a new connection.
    pub fn new(budget: &Arc<Budget>, pulse: ConnectionActivity) -> Arc<ConnectionBudget> {
        Arc::new(ConnectionBudget {
            budget: Arc::clone(budget),
            activity: pulse,
            units: Arc::new(Semaphore::new(CONNECTION_UNITS)),
            own: Arc::new(Semaphore::new(OWN_UNITS)),
            pages: Arc::new(Semaphore::new(MAX_PAGES)),
            reserved: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            sent_bytes: AtomicU64::new(0),
        })
    }

    /// The connection's last activity.
    pub fn activity(&self) -> &ConnectionActivity {
        &self.activity
    }

    /// How long a body may wait for its client without progress.
    pub fn stalled_after(&self) -> Duration {
        self.budget.stalled_after
    }

    /// Units that bodies occupy.
    pub fn reserved(&self) -> usize {
        self.reserved.load(Relaxed)
    }

    /// Units that bodies and requests occupy.
    pub fn load(&self) -> usize {
        self.reserved() + self.streams.load(Relaxed) * STREAM_UNITS
    }

    /// Body bytes that were sent.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Relaxed)
    }

    /// A share for `bytes` and optionally an open file; `None` if there is no space.
    pub fn try_reserve(self: &Arc<Self>, bytes: usize, file: bool) -> Option<Arc<Reservation>> {
        let weight = weight(bytes);
        let space = Arc::clone(&self.units).try_acquire_many_owned(permits(weight)).ok()?;
        let own = Arc::clone(&self.own).try_acquire_many_owned(permits(weight.min(OWN_UNITS)));
        let source = own.or_else(|_| Arc::clone(&self.budget.shared).try_acquire_many_owned(permits(weight))).ok()?;
        let file = if file { Some(Arc::clone(&self.budget.files).try_acquire_owned().ok()?) } else { None };
        Some(self.new_reservation(weight, Some(space), Some(source), file))
    }

    /// Waits until there is space for a share.
    pub async fn reserve(self: &Arc<Self>, bytes: usize, file: bool) -> Arc<Reservation> {
        let weight = weight(bytes);
        // The semaphores are never closed.
        let space = Arc::clone(&self.units).acquire_many_owned(permits(weight)).await.ok();
        let source = tokio::select! {
            biased;
            own = Arc::clone(&self.own).acquire_many_owned(permits(weight.min(OWN_UNITS))) => own.ok(),
            shared = Arc::clone(&self.budget.shared).acquire_many_owned(permits(weight)) => shared.ok(),
        };
        let file = if file { Arc::clone(&self.budget.files).acquire_owned().await.ok() } else { None };
        self.new_reservation(weight, space, source, file)
    }

    /// A share for a body that exists already and cannot be built again.
    pub fn reserve_unchecked(self: &Arc<Self>, bytes: usize) -> Arc<Reservation> {
        self.new_reservation(weight(bytes), None, None, None)
    }

    /// A permit for one page, kept until its response is sent.
    pub async fn acquire_page(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.pages).acquire_owned().await.ok()
    }

    fn new_reservation(
        self: &Arc<Self>,
        weight: usize,
        space: Option<OwnedSemaphorePermit>,
        source: Option<OwnedSemaphorePermit>,
        file: Option<OwnedSemaphorePermit>,
    ) -> Arc<Reservation> {
        self.reserved.fetch_add(weight, Relaxed);
        self.budget.reserved.fetch_add(weight, Relaxed);
        let stream = STREAM.try_with(Arc::clone).ok();
        if let Some(stream) = &stream {
            stream.start_body();
        }
        Arc::new(Reservation {
            connection: Arc::clone(self),
            weight,
            stream,
            _units: space,
            _source: source,
            _file: file,
        })
    }
}

fn weight(bytes: usize) -> usize {
    bytes.div_ceil(UNIT_BYTES).clamp(1, CONNECTION_UNITS)
}

fn permits(weight: usize) -> u32 {
    u32::try_from(weight).unwrap_or(u32::MAX)
}

impl Reservation {
    fn record_sent(&self, bytes: usize) {
        self.connection.sent_bytes.fetch_add(bytes as u64, Relaxed);
        self.connection.activity.touch();
        if let Some(stream) = &self.stream {
            stream.touch();
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.connection.reserved.fetch_sub(self.weight, Relaxed);
        self.connection.budget.reserved.fetch_sub(self.weight, Relaxed);
    }
}

/// A chunk of a body on its way. It counts the bytes that are sent.
pub struct BodyChunk {
    bytes: Bytes,
    reservation: Option<Arc<Reservation>>,
}

impl BodyChunk {
    /// A chunk that keeps `hold` until its bytes are sent.
    pub(super) fn new(bytes: Bytes, hold: Option<Arc<Reservation>>) -> BodyChunk {
        BodyChunk { bytes, reservation: hold }
    }

    fn record_sent(&self, bytes: usize) {
        if let Some(hold) = &self.reservation
            && bytes > 0
        {
            hold.record_sent(bytes);
        }
    }
}

impl Buf for BodyChunk {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
        self.record_sent(bytes);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        let bytes = self.bytes.copy_to_bytes(length);
        self.record_sent(length);
        bytes
    }
}

tokio::task_local! {
    /// The HTTP/2 stream that a task serves.
    static STREAM: Arc<StreamActivity>;
}

/// When the body of one HTTP/2 stream last made progress.
pub(super) struct StreamActivity {
    opened: Instant,
    /// Milliseconds from `opened` to the last progress.
    last_progress: AtomicU64,
    /// Whether the response has a body yet.
    has_body: AtomicBool,
}

impl StreamActivity {
    fn new() -> Arc<StreamActivity> {
        Arc::new(StreamActivity {
            opened: Instant::now(),
            last_progress: AtomicU64::new(0),
            has_body: AtomicBool::new(false),
        })
    }

    fn start_body(&self) {
        self.touch();
        self.has_body.store(true, Relaxed);
    }

    fn touch(&self) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_progress.store(since, Relaxed);
    }

    /// Completes when the body made no progress for too long. It does not complete while the response is still being
    /// built.
    async fn wait_stalled(&self, after: Duration) {
        loop {
            let until = match self.has_body.load(Relaxed) {
                // The timestamp is rounded down, so progress was at most one millisecond later.
                true => self.opened + Duration::from_millis(self.last_progress.load(Relaxed) + 1) + after,
                false => Instant::now() + after,
            };
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// Runs the streams of an HTTP/2 connection. It resets a stream whose client stops reading.
#[derive(Clone)]
pub(super) struct StreamExecutor(pub(super) Arc<ConnectionBudget>);

/// Counts a stream while it exists.
struct StreamGuard(Arc<ConnectionBudget>);

impl StreamGuard {
    fn new(account: &Arc<ConnectionBudget>) -> StreamGuard {
        account.streams.fetch_add(1, Relaxed);
        account.budget.reserved.fetch_add(STREAM_UNITS, Relaxed);
        StreamGuard(Arc::clone(account))
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Relaxed);
        self.0.budget.reserved.fetch_sub(STREAM_UNITS, Relaxed);
    }
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let pulse = StreamActivity::new();
        let watched = Arc::clone(&pulse);
        let counted = StreamGuard::new(&self.0);
        let after = self.0.stalled_after();
        let stream = async move {
            let _counted = counted;
            tokio::select! {
                () = stream => {}
                () = watched.wait_stalled(after) => {}
            }
        };
        // The task ends with its connection.
        drop(tokio::spawn(STREAM.scope(pulse, stream)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(files: usize) -> (Arc<Budget>, Arc<ConnectionBudget>) {
        let budget = Budget::new(files, STALL_TIMEOUT);
        let account = ConnectionBudget::new(&budget, ConnectionActivity::new());
        (budget, account)
    }

    #[tokio::test]
    async fn a_connection_cannot_exceed_its_budget() {
        let (budget, account) = account(100);
        let holds: Vec<_> = (0..20).map_while(|_| account.try_reserve(STREAMED_BYTES, true)).collect();
        assert_eq!(holds.len(), CONNECTION_UNITS * UNIT_BYTES / STREAMED_BYTES);
        assert_eq!(account.reserved(), CONNECTION_UNITS);
        assert_eq!(budget.files.available_permits(), 100 - holds.len());
        assert!(account.try_reserve(1, false).is_none());
        drop(holds);
        assert_eq!((account.reserved(), budget.reserved.load(Relaxed)), (0, 0));
        let large = account.try_reserve(100 << 20, false).expect("a body above the limit is admitted alone");
        assert!(account.try_reserve(1, false).is_none());
        drop(large);
        assert!(account.try_reserve(1, false).is_some());
    }

    #[tokio::test]
    async fn all_connections_share_what_exceeds_their_own_units() {
        const COUNT: usize = 100;
        let budget = Budget::new(10_000, STALL_TIMEOUT);
        let accounts: Vec<_> = (0..COUNT).map(|_| ConnectionBudget::new(&budget, ConnectionActivity::new())).collect();
        let mut holds = Vec::new();
        for account in &accounts {
            let own: Vec<_> = std::iter::from_fn(|| account.try_reserve(STREAMED_BYTES, true)).collect();
            assert!(own.len() * STREAMED_BYTES >= OWN_UNITS * UNIT_BYTES, "{}", own.len());
            holds.extend(own);
        }
        assert_eq!(budget.reserved.load(Relaxed), SHARED_UNITS + COUNT * OWN_UNITS);
        // A waiting response continues when a part of its connection's own units is returned.
        let waiting = accounts[COUNT - 1].reserve(STREAMED_BYTES, true);
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut waiting).await.is_err());
        holds.pop();
        waiting.await;
        drop(holds);
        assert_eq!(budget.shared.available_permits(), SHARED_UNITS);
    }

    #[tokio::test]
    async fn chunks_keep_the_reservation_until_they_are_sent() {
        let (_budget, account) = account(1);
        let hold = account.try_reserve(100_000, true).expect("space");
        let mut piece = BodyChunk::new(Bytes::from_static(b"hello"), Some(Arc::clone(&hold)));
        drop(hold);
        assert!(account.reserved() > 0 && account.try_reserve(1, true).is_none(), "the only file is open");
        piece.advance(2);
        assert_eq!(account.sent_bytes(), 2);
        assert_eq!(piece.copy_to_bytes(3), "llo");
        assert_eq!(account.sent_bytes(), 5);
        drop(piece);
        assert_eq!(account.reserved(), 0);
        assert!(account.try_reserve(1, true).is_some());
    }

    #[tokio::test]
    async fn an_exceeded_total_or_no_free_file_counts_as_excess() {
        let budget = Budget::new(1, STALL_TIMEOUT);
        let accounts: Vec<_> = (0..=TOTAL_UNITS / CONNECTION_UNITS)
            .map(|_| ConnectionBudget::new(&budget, ConnectionActivity::new()))
            .collect();
        let one = accounts[0].try_reserve(1, true);
        assert!(budget.excess() > 0, "the only file is open");
        drop(one);
        assert_eq!(budget.excess(), 0);
        let _holds: Vec<_> =
            accounts.iter().map(|account| account.try_reserve(CONNECTION_UNITS * UNIT_BYTES, false)).collect();
        assert_eq!(budget.excess(), CONNECTION_UNITS);
    }

    #[tokio::test]
    async fn a_stream_times_out_only_after_its_response_has_started() {
        let after = Duration::from_millis(100);
        let pulse = StreamActivity::new();
        let stalled = pulse.wait_stalled(after);
        tokio::pin!(stalled);
        assert!(tokio::time::timeout(3 * after, &mut stalled).await.is_err(), "the response is still being built");
        pulse.start_body();
        let begun = Instant::now();
        stalled.await;
        assert!(begun.elapsed() >= after);
        pulse.touch();
        let beat = Instant::now();
        pulse.wait_stalled(after).await;
        assert!(beat.elapsed() >= after, "there was progress");
    }
}
