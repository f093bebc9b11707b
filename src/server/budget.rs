//! What answers that wait for their clients may hold: memory and open files, per connection and in all.
//!
//! A client that asks for much and takes nothing costs a server what its answers hold. Every answer's body therefore has
//! a [`Reservation`]: a share of its connection's [`ConnectionBudget`], which the body and all its pieces keep until the last of them
//! has left. A body for which the account has no room gives back what it has, and is made anew when there is room.
//!
//! | attack | defence |
//! |---|---|
//! | many requests on one connection of HTTP/2, and no window for their answers | [`CONNECTION_UNITS`] bounds what the connection holds; a stream without progress ends after [`STALL_TIMEOUT`] |
//! | PING, SETTINGS, WINDOW_UPDATE as signs of life | only bytes of a body that leave, and requests that come, count |
//! | many such connections | above [`Budget::limit`] those that take the least for what they hold are ended |
//! | one byte a minute | the same: [`MIN_PROGRESS_BYTES`] bytes within [`PRESSURE_WINDOW`] is the least under pressure |

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::rt::Executor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::file::CHUNK_SIZE;
use super::stall_timeout::ConnectionActivity;

/// The unit of every weight, in bytes.
const UNIT_BYTES: usize = 1024;
/// What the bodies of one connection may hold, in units. A larger body is held alone.
const CONNECTION_UNITS: usize = 1024;
/// What a body that is read piece by piece weighs: a piece that waits for its client, and the next one.
pub(super) const STREAMED_BYTES: usize = 2 * CHUNK_SIZE;
/// What a request over HTTP/2 costs while it is not answered to the end, beside its body, in units (measured).
const STREAM_UNITS: usize = 8;
/// What all bodies and requests may hold before connections that take nothing are ended, in units.
const TOTAL_UNITS: usize = 96 * 1024;
/// How long a body may wait for its client to take anything.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Under pressure a connection that took fewer than [`MIN_PROGRESS_BYTES`] bytes for this long makes room for others.
pub(super) const PRESSURE_WINDOW: Duration = Duration::from_secs(2);
/// See [`PRESSURE_WINDOW`].
pub(super) const MIN_PROGRESS_BYTES: u64 = 16 * 1024;
/// Pages and answers of the API that one connection may wait for or take at one time.
const MAX_PAGES: usize = 8;

/// What all connections hold together.
pub(super) struct Budget {
    /// Files that may be open for bodies, less those that are.
    files: Arc<Semaphore>,
    reserved: AtomicUsize,
    limit: usize,
    stalled_after: Duration,
}

/// What one connection holds.
pub(super) struct ConnectionBudget {
    budget: Arc<Budget>,
    activity: ConnectionActivity,
    units: Arc<Semaphore>,
    pages: Arc<Semaphore>,
    reserved: AtomicUsize,
    streams: AtomicUsize,
    sent_bytes: AtomicU64,
}

/// A share of an account, given back when it is dropped.
pub(super) struct Reservation {
    connection: Arc<ConnectionBudget>,
    weight: usize,
    stream: Option<Arc<StreamActivity>>,
    _units: Option<OwnedSemaphorePermit>,
    _file: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// Nothing is held; `files`: how many may be open for bodies; `stalled_after`: see [`STALL_TIMEOUT`].
    pub fn new(files: usize, stalled_after: Duration) -> Arc<Budget> {
        let files = Arc::new(Semaphore::new(files.min(Semaphore::MAX_PERMITS)));
        Arc::new(Budget { files, reserved: AtomicUsize::new(0), limit: TOTAL_UNITS, stalled_after })
    }

    /// How many units are held beyond what is good; some where no more files may be opened.
    pub fn excess(&self) -> usize {
        let excess = self.reserved.load(Relaxed).saturating_sub(self.limit);
        if self.files.available_permits() == 0 { excess.max(CONNECTION_UNITS) } else { excess }
    }
}

impl ConnectionBudget {
    /// Of a new connection.
    pub fn new(budget: &Arc<Budget>, pulse: ConnectionActivity) -> Arc<ConnectionBudget> {
        Arc::new(ConnectionBudget {
            budget: Arc::clone(budget),
            activity: pulse,
            units: Arc::new(Semaphore::new(CONNECTION_UNITS)),
            pages: Arc::new(Semaphore::new(MAX_PAGES)),
            reserved: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            sent_bytes: AtomicU64::new(0),
        })
    }

    /// The connection's last use.
    pub fn activity(&self) -> &ConnectionActivity {
        &self.activity
    }

    /// How long a body may wait for its client to take anything.
    pub fn stalled_after(&self) -> Duration {
        self.budget.stalled_after
    }

    /// Units that bodies hold.
    pub fn reserved(&self) -> usize {
        self.reserved.load(Relaxed)
    }

    /// Units that bodies and requests hold.
    pub fn load(&self) -> usize {
        self.reserved() + self.streams.load(Relaxed) * STREAM_UNITS
    }

    /// Bytes of bodies that left.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Relaxed)
    }

    /// A share for so many bytes and perhaps an open file; `None` where there is no room.
    pub fn try_reserve(self: &Arc<Self>, bytes: usize, file: bool) -> Option<Arc<Reservation>> {
        let weight = weight(bytes);
        let room = Arc::clone(&self.units).try_acquire_many_owned(permits(weight)).ok()?;
        let file = if file { Some(Arc::clone(&self.budget.files).try_acquire_owned().ok()?) } else { None };
        Some(self.new_reservation(weight, Some(room), file))
    }

    /// The same, when there is room.
    pub async fn reserve(self: &Arc<Self>, bytes: usize, file: bool) -> Arc<Reservation> {
        let weight = weight(bytes);
        // Neither is ever closed.
        let room = Arc::clone(&self.units).acquire_many_owned(permits(weight)).await.ok();
        let file = if file { Arc::clone(&self.budget.files).acquire_owned().await.ok() } else { None };
        self.new_reservation(weight, room, file)
    }

    /// A share for what is there already, and cannot be made anew.
    pub fn reserve_unchecked(self: &Arc<Self>, bytes: usize) -> Arc<Reservation> {
        self.new_reservation(weight(bytes), None, None)
    }

    /// Room for one page; it is kept until its answer has left.
    pub async fn acquire_page(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.pages).acquire_owned().await.ok()
    }

    fn new_reservation(
        self: &Arc<Self>,
        weight: usize,
        room: Option<OwnedSemaphorePermit>,
        file: Option<OwnedSemaphorePermit>,
    ) -> Arc<Reservation> {
        self.reserved.fetch_add(weight, Relaxed);
        self.budget.reserved.fetch_add(weight, Relaxed);
        let stream = STREAM.try_with(Arc::clone).ok();
        if let Some(stream) = &stream {
            stream.start_body();
        }
        Arc::new(Reservation { connection: Arc::clone(self), weight, stream, _units: room, _file: file })
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

/// A piece of a body on its way. It counts what leaves.
pub struct BodyChunk {
    bytes: Bytes,
    reservation: Option<Arc<Reservation>>,
}

impl BodyChunk {
    /// These bytes, for which `hold` is kept until they have left.
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
    /// The stream of HTTP/2 that a task answers.
    static STREAM: Arc<StreamActivity>;
}

/// When the body of one stream of HTTP/2 last made progress.
pub(super) struct StreamActivity {
    opened: Instant,
    /// Milliseconds from `opened` to the last progress.
    last_progress: AtomicU64,
    /// Whether there is a body.
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

    /// Until the body made no progress for too long. While there is none, the answer is still being made.
    async fn wait_stalled(&self, after: Duration) {
        loop {
            let until = match self.has_body.load(Relaxed) {
                // The last progress was at most a millisecond later.
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

/// Runs the streams of a connection of HTTP/2, and ends those whose client takes nothing: they are reset.
#[derive(Clone)]
pub(super) struct StreamExecutor(pub(super) Arc<ConnectionBudget>);

/// While this is there, a stream is.
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
        // It ends with its connection.
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
        let large = account.try_reserve(100 << 20, false).expect("a body that is larger than all is held alone");
        assert!(account.try_reserve(1, false).is_none());
        drop(large);
        assert!(account.try_reserve(1, false).is_some());
    }

    #[tokio::test]
    async fn chunks_keep_the_reservation_until_they_are_sent() {
        let (_budget, account) = account(1);
        let hold = account.try_reserve(100_000, true).expect("room");
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
        assert!(tokio::time::timeout(3 * after, &mut stalled).await.is_err(), "it is being made");
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
