//! What answers that wait for their clients may hold: memory and open files, per connection and in all.
//!
//! A client that asks for much and takes nothing costs a server what its answers hold. Every answer's body therefore has
//! a [`Hold`]: a share of its connection's [`Account`], which the body and all its pieces keep until the last of them
//! has left. A body for which the account has no room gives back what it has, and is made anew when there is room.
//!
//! | attack | defence |
//! |---|---|
//! | many requests on one connection of HTTP/2, and no window for their answers | [`CONNECTION`] bounds what the connection holds; a stream without progress ends after [`STALLED_AFTER`] |
//! | PING, SETTINGS, WINDOW_UPDATE as signs of life | only bytes of a body that leave, and requests that come, count |
//! | many such connections | above [`Budget::most`] those that take the least for what they hold are ended |
//! | one byte a minute | the same: [`ENOUGH`] bytes within [`QUIET_AFTER`] is the least under pressure |

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::rt::Executor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::file::PIECE;
use super::patient::Pulse;

/// The unit of every weight, in bytes.
const UNIT: usize = 1024;
/// What the bodies of one connection may hold, in units. A larger body is held alone.
const CONNECTION: usize = 1024;
/// What a body that is read piece by piece weighs: a piece that waits for its client, and the next one.
pub(super) const STREAMED: usize = 2 * PIECE;
/// What a request over HTTP/2 costs while it is not answered to the end, beside its body, in units (measured).
const STREAM_COSTS: usize = 8;
/// What all bodies and requests may hold before connections that take nothing are ended, in units.
const ALL: usize = 96 * 1024;
/// How long a body may wait for its client to take anything.
pub const STALLED_AFTER: Duration = Duration::from_secs(60);
/// Under pressure a connection that took fewer than [`ENOUGH`] bytes for this long makes room for others.
pub(super) const QUIET_AFTER: Duration = Duration::from_secs(2);
/// See [`QUIET_AFTER`].
pub(super) const ENOUGH: u64 = 16 * 1024;
/// Pages and answers of the API that one connection may wait for or take at one time.
const PAGES: usize = 8;

/// What all connections hold together.
pub(super) struct Budget {
    /// Files that may be open for bodies, less those that are.
    files: Arc<Semaphore>,
    held: AtomicUsize,
    most: usize,
    stalled_after: Duration,
}

/// What one connection holds.
pub(super) struct Account {
    budget: Arc<Budget>,
    pulse: Pulse,
    room: Arc<Semaphore>,
    pages: Arc<Semaphore>,
    held: AtomicUsize,
    streams: AtomicUsize,
    taken: AtomicU64,
}

/// A share of an account, given back when it is dropped.
pub(super) struct Hold {
    account: Arc<Account>,
    weight: usize,
    stream: Option<Arc<StreamPulse>>,
    _room: Option<OwnedSemaphorePermit>,
    _file: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// Nothing is held; `files`: how many may be open for bodies; `stalled_after`: see [`STALLED_AFTER`].
    pub fn new(files: usize, stalled_after: Duration) -> Arc<Budget> {
        let files = Arc::new(Semaphore::new(files.min(Semaphore::MAX_PERMITS)));
        Arc::new(Budget { files, held: AtomicUsize::new(0), most: ALL, stalled_after })
    }

    /// How many units are held beyond what is good; some where no more files may be opened.
    pub fn excess(&self) -> usize {
        let excess = self.held.load(Relaxed).saturating_sub(self.most);
        if self.files.available_permits() == 0 { excess.max(CONNECTION) } else { excess }
    }
}

impl Account {
    /// Of a new connection.
    pub fn new(budget: &Arc<Budget>, pulse: Pulse) -> Arc<Account> {
        Arc::new(Account {
            budget: Arc::clone(budget),
            pulse,
            room: Arc::new(Semaphore::new(CONNECTION)),
            pages: Arc::new(Semaphore::new(PAGES)),
            held: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            taken: AtomicU64::new(0),
        })
    }

    /// The connection's last use.
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// How long a body may wait for its client to take anything.
    pub fn stalled_after(&self) -> Duration {
        self.budget.stalled_after
    }

    /// Units that bodies hold.
    pub fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Units that bodies and requests hold.
    pub fn load(&self) -> usize {
        self.held() + self.streams.load(Relaxed) * STREAM_COSTS
    }

    /// Bytes of bodies that left.
    pub fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }

    /// A share for so many bytes and perhaps an open file; `None` where there is no room.
    pub fn try_hold(self: &Arc<Self>, bytes: usize, file: bool) -> Option<Arc<Hold>> {
        let weight = weight(bytes);
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits(weight)).ok()?;
        let file = if file { Some(Arc::clone(&self.budget.files).try_acquire_owned().ok()?) } else { None };
        Some(self.hold(weight, Some(room), file))
    }

    /// The same, when there is room.
    pub async fn wait_to_hold(self: &Arc<Self>, bytes: usize, file: bool) -> Arc<Hold> {
        let weight = weight(bytes);
        // Neither is ever closed.
        let room = Arc::clone(&self.room).acquire_many_owned(permits(weight)).await.ok();
        let file = if file { Arc::clone(&self.budget.files).acquire_owned().await.ok() } else { None };
        self.hold(weight, room, file)
    }

    /// A share for what is there already, and cannot be made anew.
    pub fn hold_anyway(self: &Arc<Self>, bytes: usize) -> Arc<Hold> {
        self.hold(weight(bytes), None, None)
    }

    /// Room for one page; it is kept until its answer has left.
    pub async fn page(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.pages).acquire_owned().await.ok()
    }

    fn hold(
        self: &Arc<Self>,
        weight: usize,
        room: Option<OwnedSemaphorePermit>,
        file: Option<OwnedSemaphorePermit>,
    ) -> Arc<Hold> {
        self.held.fetch_add(weight, Relaxed);
        self.budget.held.fetch_add(weight, Relaxed);
        let stream = STREAM.try_with(Arc::clone).ok();
        if let Some(stream) = &stream {
            stream.begin();
        }
        Arc::new(Hold { account: Arc::clone(self), weight, stream, _room: room, _file: file })
    }
}

fn weight(bytes: usize) -> usize {
    bytes.div_ceil(UNIT).clamp(1, CONNECTION)
}

fn permits(weight: usize) -> u32 {
    u32::try_from(weight).unwrap_or(u32::MAX)
}

impl Hold {
    fn took(&self, bytes: usize) {
        self.account.taken.fetch_add(bytes as u64, Relaxed);
        self.account.pulse.beat();
        if let Some(stream) = &self.stream {
            stream.beat();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.account.held.fetch_sub(self.weight, Relaxed);
        self.account.budget.held.fetch_sub(self.weight, Relaxed);
    }
}

/// A piece of a body on its way. It counts what leaves.
pub struct Piece {
    bytes: Bytes,
    hold: Option<Arc<Hold>>,
}

impl Piece {
    /// These bytes, for which `hold` is kept until they have left.
    pub(super) fn new(bytes: Bytes, hold: Option<Arc<Hold>>) -> Piece {
        Piece { bytes, hold }
    }

    fn left(&self, bytes: usize) {
        if let Some(hold) = &self.hold
            && bytes > 0
        {
            hold.took(bytes);
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
        self.left(bytes);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        let bytes = self.bytes.copy_to_bytes(length);
        self.left(length);
        bytes
    }
}

tokio::task_local! {
    /// The stream of HTTP/2 that a task answers.
    static STREAM: Arc<StreamPulse>;
}

/// When the body of one stream of HTTP/2 last made progress.
pub(super) struct StreamPulse {
    opened: Instant,
    /// Milliseconds from `opened` to the last progress.
    last: AtomicU64,
    /// Whether there is a body.
    sends: AtomicBool,
}

impl StreamPulse {
    fn new() -> Arc<StreamPulse> {
        Arc::new(StreamPulse { opened: Instant::now(), last: AtomicU64::new(0), sends: AtomicBool::new(false) })
    }

    fn begin(&self) {
        self.beat();
        self.sends.store(true, Relaxed);
    }

    fn beat(&self) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(since, Relaxed);
    }

    /// Until the body made no progress for too long. While there is none, the answer is still being made.
    async fn stalled(&self, after: Duration) {
        loop {
            let until = match self.sends.load(Relaxed) {
                // The last progress was at most a millisecond later.
                true => self.opened + Duration::from_millis(self.last.load(Relaxed) + 1) + after,
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
pub(super) struct Streams(pub(super) Arc<Account>);

/// While this is there, a stream is.
struct Stream(Arc<Account>);

impl Stream {
    fn new(account: &Arc<Account>) -> Stream {
        account.streams.fetch_add(1, Relaxed);
        account.budget.held.fetch_add(STREAM_COSTS, Relaxed);
        Stream(Arc::clone(account))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Relaxed);
        self.0.budget.held.fetch_sub(STREAM_COSTS, Relaxed);
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let pulse = StreamPulse::new();
        let watched = Arc::clone(&pulse);
        let counted = Stream::new(&self.0);
        let after = self.0.stalled_after();
        let stream = async move {
            let _counted = counted;
            tokio::select! {
                () = stream => {}
                () = watched.stalled(after) => {}
            }
        };
        // It ends with its connection.
        drop(tokio::spawn(STREAM.scope(pulse, stream)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(files: usize) -> (Arc<Budget>, Arc<Account>) {
        let budget = Budget::new(files, STALLED_AFTER);
        let account = Account::new(&budget, Pulse::new());
        (budget, account)
    }

    #[tokio::test]
    async fn a_connection_holds_so_much_and_no_more() {
        let (budget, account) = account(100);
        let holds: Vec<_> = (0..20).map_while(|_| account.try_hold(STREAMED, true)).collect();
        assert_eq!(holds.len(), CONNECTION * UNIT / STREAMED);
        assert_eq!(account.held(), CONNECTION);
        assert_eq!(budget.files.available_permits(), 100 - holds.len());
        assert!(account.try_hold(1, false).is_none());
        drop(holds);
        assert_eq!((account.held(), budget.held.load(Relaxed)), (0, 0));
        let large = account.try_hold(100 << 20, false).expect("a body that is larger than all is held alone");
        assert!(account.try_hold(1, false).is_none());
        drop(large);
        assert!(account.try_hold(1, false).is_some());
    }

    #[tokio::test]
    async fn pieces_keep_what_their_body_held_until_they_left() {
        let (_budget, account) = account(1);
        let hold = account.try_hold(100_000, true).expect("room");
        let mut piece = Piece::new(Bytes::from_static(b"hello"), Some(Arc::clone(&hold)));
        drop(hold);
        assert!(account.held() > 0 && account.try_hold(1, true).is_none(), "the only file is open");
        piece.advance(2);
        assert_eq!(account.taken(), 2);
        assert_eq!(piece.copy_to_bytes(3), "llo");
        assert_eq!(account.taken(), 5);
        drop(piece);
        assert_eq!(account.held(), 0);
        assert!(account.try_hold(1, true).is_some());
    }

    #[tokio::test]
    async fn too_much_in_all_or_no_more_files_is_pressure() {
        let budget = Budget::new(1, STALLED_AFTER);
        let accounts: Vec<_> = (0..=ALL / CONNECTION).map(|_| Account::new(&budget, Pulse::new())).collect();
        let one = accounts[0].try_hold(1, true);
        assert!(budget.excess() > 0, "the only file is open");
        drop(one);
        assert_eq!(budget.excess(), 0);
        let _holds: Vec<_> = accounts.iter().map(|account| account.try_hold(CONNECTION * UNIT, false)).collect();
        assert_eq!(budget.excess(), CONNECTION);
    }

    #[tokio::test]
    async fn a_stream_ends_without_progress_and_not_before_its_answer_is_made() {
        let after = Duration::from_millis(100);
        let pulse = StreamPulse::new();
        let stalled = pulse.stalled(after);
        tokio::pin!(stalled);
        assert!(tokio::time::timeout(3 * after, &mut stalled).await.is_err(), "it is being made");
        pulse.begin();
        let begun = Instant::now();
        stalled.await;
        assert!(begun.elapsed() >= after);
        pulse.beat();
        let beat = Instant::now();
        pulse.stalled(after).await;
        assert!(beat.elapsed() >= after, "there was progress");
    }
}
