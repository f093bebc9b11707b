//! Bodies that are asked for often, in the system's own memory a second time: it sends them from there without copying.
//!
//! A connection is told the twin of each answer. Where what it is to send lies within the body, as its address says, the
//! same part of the twin is sent instead; all else, and what the system refuses, is written as ever. So nothing but the
//! speed changes, and secured connections, which send other bytes, go by as before.
//!
//! A twin is a nameless file in memory and not the mirror's: nobody can change it while it is sent, no disk is waited for,
//! and the mirror's file system may be taken away while nothing is read from it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use tokio::net::TcpStream;

/// Bodies below this many bytes are copied as quickly.
const MIN_BODY_BYTES: usize = 16 * 1024;
/// How often a body is asked for before it gets a twin.
const REQUESTS_BEFORE_COPY: usize = 8;
/// Bytes that all twins may have, and how many there may be.
const MAX_BYTES: usize = 16 * 1024 * 1024;
const MAX_BODIES: u64 = 1024;

/// A copy of a body.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "there are none"))]
pub(super) struct MemfdBody {
    file: File,
    body: Bytes,
    budget: Arc<MemfdBudget>,
}

/// What all twins take.
pub(super) struct MemfdBudget {
    max_bodies: u64,
    bodies: AtomicUsize,
    bytes: AtomicUsize,
}

/// Whether a body has a twin, and what speaks for it.
pub(super) struct SendfileCandidate {
    requests: AtomicUsize,
    memfd: OnceLock<Arc<MemfdBody>>,
    budget: Arc<MemfdBudget>,
}

/// The twin of the answer that a connection sends now. It is not kept from going: a client that idles holds no memory.
#[derive(Default)]
pub(super) struct PendingSendfile(Mutex<Option<Weak<MemfdBody>>>);

/// How many twins there may be, each of which is an open file, where so many files may be open.
#[cfg_attr(not(unix), allow(dead_code, reason = "there no number of open files is known"))]
pub(super) fn max_bodies(open_files: u64) -> u64 {
    (open_files / 8).min(MAX_BODIES)
}

impl MemfdBudget {
    /// Nothing is taken; `most`: how many twins there may be.
    pub fn new(most: u64) -> Arc<MemfdBudget> {
        Arc::new(MemfdBudget { max_bodies: most, bodies: AtomicUsize::new(0), bytes: AtomicUsize::new(0) })
    }

    /// Takes room for one more; it is given back with [`MemfdBudget::release`].
    fn reserve(&self, bytes: usize) -> bool {
        let twins = self.bodies.fetch_add(1, Ordering::Relaxed) as u64;
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = twins < self.max_bodies && before + bytes <= MAX_BYTES;
        if !fits {
            self.release(bytes);
        }
        fits
    }

    fn release(&self, bytes: usize) {
        self.bodies.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl SendfileCandidate {
    /// Of a body that nobody asked for yet.
    pub fn new(room: &Arc<MemfdBudget>) -> SendfileCandidate {
        SendfileCandidate { requests: AtomicUsize::new(0), memfd: OnceLock::new(), budget: Arc::clone(room) }
    }

    /// The twin of a body that is asked for now, always the same one; it is made as soon as it is worth that.
    pub fn memfd_body(&self, body: &Bytes) -> Option<Arc<MemfdBody>> {
        if body.len() < MIN_BODY_BYTES {
            return None;
        }
        if let Some(twin) = self.memfd.get() {
            return Some(Arc::clone(twin));
        }
        if self.requests.fetch_add(1, Ordering::Relaxed) % REQUESTS_BEFORE_COPY != REQUESTS_BEFORE_COPY - 1 {
            return None;
        }
        let twin = MemfdBody::create(body.clone(), &self.budget)?;
        Some(Arc::clone(self.memfd.get_or_init(|| twin)))
    }
}

impl MemfdBody {
    fn create(body: Bytes, room: &Arc<MemfdBudget>) -> Option<Arc<MemfdBody>> {
        if !room.reserve(body.len()) {
            return None;
        }
        match create_memfd(&body) {
            Ok(file) => Some(Arc::new(MemfdBody { file, body, budget: Arc::clone(room) })),
            // It is as well without one.
            Err(_) => {
                room.release(body.len());
                None
            }
        }
    }

    /// Where in the body a slice is, be it of its very memory.
    pub fn range_of(&self, slice: &[u8]) -> Option<Range<usize>> {
        let start = (slice.as_ptr() as usize).checked_sub(self.body.as_ptr() as usize)?;
        let end = start.checked_add(slice.len()).filter(|end| *end <= self.body.len())?;
        (start < end).then_some(start..end)
    }

    /// Sends `head` and then this part of the body, as much of both as there is room for in the connection. `Ok(0)`: the
    /// system does not do that, and nothing was sent.
    ///
    /// # Errors
    /// The connection's; `WouldBlock` where there is no room at all.
    #[cfg(target_os = "linux")]
    pub fn send(&self, to: &TcpStream, head: &[u8], part: Range<usize>) -> io::Result<usize> {
        use rustix::io::Errno;
        use rustix::net::SendFlags;
        let mut sent = 0;
        if !head.is_empty() {
            // The head waits for the body, so that both leave in one packet.
            sent = rustix::net::send(to, head, SendFlags::MORE | SendFlags::NOSIGNAL)?;
            if sent < head.len() {
                return Ok(sent);
            }
        }
        let mut offset = part.start as u64;
        match rustix::fs::sendfile(to, &self.file, Some(&mut offset), part.len()) {
            Ok(more) => Ok(sent + more),
            Err(_) if sent > 0 => Ok(sent),
            Err(Errno::AGAIN) => Err(io::ErrorKind::WouldBlock.into()),
            Err(_) => Ok(0),
        }
    }

    /// Elsewhere there are no twins.
    #[cfg(not(target_os = "linux"))]
    pub fn send(&self, _: &TcpStream, _: &[u8], _: Range<usize>) -> io::Result<usize> {
        Ok(0)
    }
}

impl Drop for MemfdBody {
    fn drop(&mut self) {
        self.budget.release(self.body.len());
    }
}

#[cfg(target_os = "linux")]
fn create_memfd(body: &[u8]) -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    use std::io::Write;
    let mut file = File::from(memfd_create("frostmirror", MemfdFlags::CLOEXEC)?);
    file.write_all(body)?;
    Ok(file)
}

#[cfg(not(target_os = "linux"))]
fn create_memfd(_: &[u8]) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

impl PendingSendfile {
    /// From now on it is this one.
    pub fn set(&self, twin: Option<&Arc<MemfdBody>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = twin.map(Arc::downgrade);
    }

    /// It, if it is still there.
    pub fn get(&self) -> Option<Arc<MemfdBody>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::Read;
    use tokio::net::TcpListener;

    fn body(length: usize) -> Bytes {
        (0..=250u8).cycle().take(length).collect::<Vec<_>>().into()
    }

    fn asked(prospect: &SendfileCandidate, body: &Bytes, times: usize) -> Vec<bool> {
        (0..times).map(|_| prospect.memfd_body(body).is_some()).collect()
    }

    #[test]
    fn popular_bodies_get_a_memfd_within_the_budget() {
        let room = MemfdBudget::new(2);
        let (first, second, third) =
            (SendfileCandidate::new(&room), SendfileCandidate::new(&room), SendfileCandidate::new(&room));
        let whole = body(MIN_BODY_BYTES);
        let answers = asked(&first, &whole, REQUESTS_BEFORE_COPY + 1);
        assert_eq!(answers.iter().position(|has| *has), Some(REQUESTS_BEFORE_COPY - 1));
        assert!(answers[REQUESTS_BEFORE_COPY], "it stays");
        assert!(!asked(&second, &body(MIN_BODY_BYTES - 1), 3 * REQUESTS_BEFORE_COPY).contains(&true), "too small");
        assert!(
            !asked(&second, &body(MAX_BYTES), 3 * REQUESTS_BEFORE_COPY).contains(&true),
            "too large beside the first"
        );
        assert!(asked(&second, &whole, REQUESTS_BEFORE_COPY).contains(&true));
        assert!(!asked(&third, &whole, 3 * REQUESTS_BEFORE_COPY).contains(&true), "two are all");
        drop(first);
        assert!(asked(&third, &whole, REQUESTS_BEFORE_COPY).contains(&true), "the room of one that went");
        drop((second, third));
        assert_eq!((room.bodies.load(Ordering::Relaxed), room.bytes.load(Ordering::Relaxed)), (0, 0));
        assert_eq!((max_bodies(1024), max_bodies(u64::MAX)), (128, MAX_BODIES));
    }

    #[test]
    fn only_slices_of_the_body_itself_have_a_range() {
        let whole = body(MIN_BODY_BYTES);
        let twin = MemfdBody::create(whole.clone(), &MemfdBudget::new(1)).expect("room");
        assert_eq!(twin.range_of(&whole), Some(0..MIN_BODY_BYTES));
        assert_eq!(twin.range_of(&whole[5..9]), Some(5..9));
        assert_eq!(twin.range_of(&whole[9..9]), None);
        assert_eq!(twin.range_of(&body(MIN_BODY_BYTES)), None, "the same bytes elsewhere");
        let sending = PendingSendfile::default();
        sending.set(Some(&twin));
        assert!(sending.get().is_some_and(|same| Arc::ptr_eq(&same, &twin)));
        drop(twin);
        assert!(sending.get().is_none(), "nobody holds it for a connection");
    }

    #[tokio::test]
    async fn sendfile_sends_the_head_and_then_the_range() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (client, server) = (client.expect("connect"), accepted.expect("accept").0);
        let whole = body(40_000);
        let twin = MemfdBody::create(whole.clone(), &MemfdBudget::new(1)).expect("room");
        server.writable().await.expect("writable");
        assert_eq!(twin.send(&server, b"head", 1000..9000).expect("sent"), 8004);
        assert_eq!(twin.send(&server, b"", 9000..9001).expect("sent"), 1);
        // Until there is no room any more.
        let mut more = 0;
        let full = loop {
            match twin.send(&server, b"", 0..whole.len()) {
                Ok(sent) => more += sent,
                Err(full) => break full,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let mut client = client.into_std().expect("socket");
        client.set_nonblocking(false).expect("blocking");
        let mut taken = vec![0; 8005];
        client.read_exact(&mut taken).expect("read");
        assert!(taken[..4] == *b"head" && taken[4..] == whole[1000..9001]);
        let mut rest = vec![0; more];
        client.read_exact(&mut rest).expect("read");
        assert!(rest[..1000] == whole[..1000], "from the beginning again");
    }
}
