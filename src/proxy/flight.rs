//! One download for any number of clients: its bytes are written to a file of their own, hashed, and read from there by all
//! who wait for them, as they come.
//!
//! Nobody is given the end of a file before its digest was found right: a client that would take bad bytes for good sees its
//! connection break instead.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use super::breaker::Breaker;
use super::prefetch_budget::Admission;
use super::refusal::Refusal;
use super::upstreams::{guarded, itself};
use crate::digest::Sha256;
use crate::durable;
use crate::http::{Client, Request, Secret, Taker};
use crate::mirror::layout::Layout;
use crate::mirror::live::PartialFile;

/// Bytes that are written, and told of, at a time.
const PIECE: usize = 64 * 1024;
/// The end of a file that nobody is given before the whole is found right.
const HELD_BACK: u64 = 16 * 1024;
/// Room on the disk for a body of unknown length, at least.
const UNKNOWN_LENGTH: u64 = 1 << 20;
/// How long a client waits for the beginning. Cargo gives up after 30 seconds without a byte.
const PATIENCE: Duration = Duration::from_secs(25);
/// A download that every client has left ends after so long, unless the rest will come within as long at its present speed.
/// A client that was told to try again is back by then.
const ABANDONED: Duration = Duration::from_secs(10);
/// How often it is looked whether a download is abandoned.
const LOOKS: Duration = Duration::from_millis(500);
/// How often a paused download asks whether it may go on.
const PAUSE_LOOKS: Duration = Duration::from_millis(20);

/// What is to be fetched.
pub(super) struct Errand {
    /// How errors name it.
    pub(super) what: String,
    /// Its address, which may hold a name and a password.
    pub(super) url: String,
    /// The token that goes along.
    pub(super) token: Option<Secret>,
    /// The digest that it must have.
    pub(super) sha256: Sha256,
    /// Bytes that it may have.
    pub(super) limit: u64,
    /// Whether it goes on; `None`: in any case.
    pub(super) gate: Option<Gate>,
}

/// Decides with each step whether a download goes on.
pub(super) type Gate = Box<dyn Fn(Step) -> Admission + Send + Sync>;

/// A step of a download.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// A body of this length begins, for the first time or anew.
    Begins(Option<u64>),
    /// So many bytes of it have arrived.
    Received(u64),
}

/// A file that came, whole and right.
#[derive(Debug)]
pub(super) struct Landed {
    /// The file, which nobody takes for debris as long as this is there.
    pub(super) file: PartialFile,
    /// Bytes.
    pub(super) size: u64,
}

/// A download that is under way, or over.
#[derive(Clone, Debug)]
pub struct Flight {
    progress: watch::Receiver<Progress>,
    /// Says whether any client ever waited; its receivers are the clients that wait now.
    clients: Arc<watch::Sender<bool>>,
    /// Held by a client's own handle.
    client: Option<watch::Receiver<bool>>,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    /// The file, where a body has begun, and its length where that is known.
    begun: Option<Begun>,
    /// Bytes that may be read by all.
    readable: u64,
    /// How it ended: with so many bytes, or not.
    end: Option<Result<u64, Refusal>>,
}

/// A body that has begun.
#[derive(Clone, Debug)]
pub struct Begun {
    file: Arc<File>,
    /// Counts the beginnings: what was read of an earlier one may be of another file.
    number: u32,
    /// Bytes of the whole, where upstream says so.
    pub length: Option<u64>,
}

/// The end of a flight that writes.
pub(super) struct Pilot {
    progress: watch::Sender<Progress>,
    clients: Arc<watch::Sender<bool>>,
    mirror: Layout,
}

impl Flight {
    /// A flight whose file will be among the partial ones of `mirror`, and who flies it.
    pub(super) fn prepare(mirror: Layout) -> (Flight, Pilot) {
        let (sender, receiver) = watch::channel(Progress::default());
        let clients = Arc::new(watch::Sender::new(false));
        let flight = Flight { progress: receiver, clients: Arc::clone(&clients), client: None };
        (flight, Pilot { progress: sender, clients, mirror })
    }

    /// A client's handle. While none of a download's clients holds one any more, the download is abandoned.
    pub(super) fn for_client(&self) -> Flight {
        let client = Some(self.clients.subscribe());
        self.clients.send_replace(true);
        Flight { progress: self.progress.clone(), clients: Arc::clone(&self.clients), client }
    }

    /// Whether it came to no end, and nobody flies it any more: its task broke off.
    pub(super) fn is_lost(&self) -> bool {
        self.progress.has_changed().is_err() && self.progress.borrow().end.is_none()
    }

    /// Waits for the beginning.
    ///
    /// # Errors
    /// It ended before, or does not come.
    pub async fn begun(&self) -> Result<Begun, Refusal> {
        let mut progress = self.progress.clone();
        let begun = progress.wait_for(|now| now.begun.is_some() || now.end.is_some());
        match tokio::time::timeout(PATIENCE, begun).await {
            Ok(Ok(now)) => match (&now.end, &now.begun) {
                (Some(Err(refusal)), _) => Err(refusal.clone()),
                (_, Some(begun)) => Ok(begun.clone()),
                _ => Err(broken_off()),
            },
            Ok(Err(_)) => Err(broken_off()),
            Err(_) => Err(Refusal::busy("upstream is slow; the download goes on", Duration::from_secs(2))),
        }
    }

    /// Waits for the end, as long as a client does; the bytes of the whole.
    ///
    /// # Errors
    /// It is not as it should be, or has not come yet.
    pub async fn length(&self) -> Result<u64, Refusal> {
        let slow = || Refusal::busy("upstream is slow; the download goes on", Duration::from_secs(2));
        tokio::time::timeout(PATIENCE, self.ended()).await.unwrap_or_else(|_| Err(slow()))
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// It is not as it should be, or never came.
    pub(super) async fn ended(&self) -> Result<u64, Refusal> {
        let mut progress = self.progress.clone();
        let ended = progress.wait_for(|now| now.end.is_some()).await;
        ended.ok().and_then(|now| now.end.clone()).unwrap_or_else(|| Err(broken_off()))
    }

    /// The bytes from `start` up to `end` (`None`: to the file's end), as they come. It breaks off where the download ends
    /// badly, or begins anew after bytes of it were given.
    pub fn bytes(
        &self,
        begun: Begun,
        start: u64,
        end: Option<u64>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let client = self.client.clone();
        let reader = Reader { progress: self.progress.clone(), _client: client, begun, start, at: start, end };
        futures_util::stream::unfold(Some(reader), |reader| async {
            let mut reader = reader?;
            match reader.next().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(reader))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

fn broken_off() -> Refusal {
    Refusal::bad_gateway("the download was broken off")
}

struct Reader {
    progress: watch::Receiver<Progress>,
    _client: Option<watch::Receiver<bool>>,
    begun: Begun,
    start: u64,
    at: u64,
    end: Option<u64>,
}

impl Reader {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let (readable, end, begun) = {
                let now = self.progress.borrow_and_update();
                (now.readable, now.end.clone(), now.begun.clone())
            };
            if let Some(Err(refusal)) = end {
                return Err(io::Error::other(refusal.text));
            }
            if let Some(begun) = begun
                && begun.number != self.begun.number
            {
                // The head of the answer has left already, with the length in it.
                if self.at > self.start || begun.length != self.begun.length {
                    return Err(io::Error::other("upstream began anew"));
                }
                self.begun = begun;
            }
            // A part has an end of its own, which is held back as the file's is.
            let given = |to: u64| if end.is_some() { to } else { to.saturating_sub(HELD_BACK) };
            let until = self.end.map_or(u64::MAX, given).min(readable);
            if self.at < until {
                let wanted = usize::try_from(until - self.at).unwrap_or(PIECE).min(PIECE);
                // What was written a moment ago is in memory: reading it holds up nobody.
                let piece = read_at(&self.begun.file, self.at, wanted)?;
                self.at += piece.len() as u64;
                return Ok(Some(piece));
            }
            let over = self.end.is_some_and(|end| self.at >= end);
            if over || end.is_some_and(|end| end.is_ok_and(|size| self.at >= size)) {
                return Ok(None);
            }
            self.progress.changed().await.map_err(|_| io::Error::other("the download was broken off"))?;
        }
    }
}

#[cfg(unix)]
fn read_at(file: &File, at: u64, wanted: usize) -> io::Result<Bytes> {
    use std::os::unix::fs::FileExt as _;
    let mut piece = vec![0; wanted];
    file.read_exact_at(&mut piece, at)?;
    Ok(piece.into())
}

#[cfg(windows)]
fn read_at(file: &File, at: u64, wanted: usize) -> io::Result<Bytes> {
    use std::os::windows::fs::FileExt as _;
    let mut piece = vec![0; wanted];
    let length = file.seek_read(&mut piece, at)?;
    piece.truncate(length);
    if piece.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(piece.into()) }
}

impl Pilot {
    /// Fetches it, and tells all who wait; the file, where it came whole and right.
    ///
    /// # Errors
    /// As all who wait are told.
    pub(super) async fn fly(self, client: &Client, breaker: &Breaker, errand: &Errand) -> Result<Landed, Refusal> {
        let mut writer = Writer::new(&self, breaker);
        writer.gate = errand.gate.as_ref();
        let request = Request { authorization: errand.token.as_ref(), ..Request::new(&errand.url) };
        let flown = client.relay(&request, errand.sha256, errand.limit, &mut writer);
        let flown = tokio::select! {
            biased;
            flown = guarded(breaker, &errand.what, flown, itself) => flown,
            () = self.abandoned() => Err(Refusal::abandoned(&errand.what)),
        };
        let landed = match flown {
            Err(_) if writer.is_given_up => Err(Refusal::given_up(&errand.what)),
            Ok(size) => writer.land(size).await.map_err(|error| Refusal::not_kept(&errand.what, &error)),
            Err(refusal) => Err(refusal),
        };
        self.progress.send_modify(|now| match &landed {
            Ok(landed) => {
                now.readable = landed.size;
                now.end = Some(Ok(landed.size));
            }
            Err(refusal) => now.end = Some(Err(refusal.clone())),
        });
        landed
    }

    /// Returns once no client has waited for the download for [`ABANDONED`] and the rest would not arrive within that
    /// time. A download that no client ever waited for is not abandoned.
    async fn abandoned(&self) {
        let mut pace = std::collections::VecDeque::new();
        let mut since = None;
        loop {
            tokio::time::sleep(LOOKS).await;
            let now = tokio::time::Instant::now();
            let (readable, length) = {
                let progress = self.progress.borrow();
                (progress.readable, progress.begun.as_ref().and_then(|begun| begun.length))
            };
            pace.push_back((now, readable));
            while pace.front().is_some_and(|(then, _)| now - *then > ABANDONED) {
                pace.pop_front();
            }
            if self.clients.receiver_count() > 0 || !*self.clients.borrow() {
                since = None;
                continue;
            }
            let since = *since.get_or_insert(now);
            let came = readable.saturating_sub(pace.front().map_or(readable, |(_, then)| *then));
            let is_nearly_done = length.is_some_and(|length| length.saturating_sub(readable) <= came);
            if now - since >= ABANDONED && !is_nearly_done {
                return;
            }
        }
    }

    /// Tells all who wait that nothing will come.
    pub(super) fn refuse(self, refusal: Refusal) {
        self.progress.send_modify(|now| now.end = Some(Err(refusal)));
    }
}

/// Writes what comes.
struct Writer<'p> {
    pilot: &'p Pilot,
    breaker: &'p Breaker,
    part: Option<Part>,
    number: u32,
    length: Option<u64>,
    /// Bytes of the body so far that are in the file.
    written: u64,
    /// Bytes that the file had when the download began anew: as long as the same ones come, nobody need know of that.
    before: u64,
    waiting: BytesMut,
    /// Nobody may see of this body before it is found right as a whole.
    doubtful: bool,
    gate: Option<&'p Gate>,
    /// Bytes of the body that have arrived.
    received: u64,
    /// The gate ended the download.
    is_given_up: bool,
}

struct Part {
    partial: PartialFile,
    file: tokio::fs::File,
    shared: Arc<File>,
}

impl<'p> Writer<'p> {
    fn new(pilot: &'p Pilot, breaker: &'p Breaker) -> Writer<'p> {
        Writer {
            pilot,
            breaker,
            part: None,
            number: 0,
            length: None,
            written: 0,
            before: 0,
            waiting: BytesMut::new(),
            doubtful: false,
            gate: None,
            received: 0,
            is_given_up: false,
        }
    }
}

impl Writer<'_> {
    /// Waits until the gate lets the download go on.
    async fn pass(&mut self, step: Step) -> io::Result<()> {
        let Some(gate) = self.gate else { return Ok(()) };
        loop {
            match gate(step) {
                Admission::Admitted => return Ok(()),
                Admission::Paused => tokio::time::sleep(PAUSE_LOOKS).await,
                Admission::Refused => {
                    self.is_given_up = true;
                    return Err(io::Error::other("the download was given up"));
                }
            }
        }
    }

    async fn write(&mut self) -> io::Result<()> {
        let Some(part) = &mut self.part else { return Ok(()) };
        let again = usize::try_from(self.before.saturating_sub(self.written)).unwrap_or(usize::MAX);
        let (known, new) = self.waiting.split_at(again.min(self.waiting.len()));
        if !known.is_empty() && read_at(&part.shared, self.written, known.len())? != known {
            return self.begin_otherwise().await;
        }
        part.file.write_all(new).await?;
        part.file.flush().await?;
        self.written += self.waiting.len() as u64;
        self.waiting.clear();
        if self.doubtful {
            return Ok(());
        }
        let readable = self.written.saturating_sub(HELD_BACK);
        self.pilot.progress.send_if_modified(|now| {
            let more = readable > now.readable;
            now.readable = now.readable.max(readable);
            more
        });
        Ok(())
    }

    /// Another body than the one that began before: who has read of that one is told.
    async fn begin_otherwise(&mut self) -> io::Result<()> {
        let Some(part) = &mut self.part else { return Ok(()) };
        self.number += 1;
        let begun = Begun { file: Arc::clone(&part.shared), number: self.number, length: self.length };
        self.pilot.progress.send_modify(|now| {
            now.begun = (!self.doubtful).then_some(begun);
            now.readable = 0;
        });
        // What was the same so far stays.
        part.file.set_len(self.written).await?;
        part.file.seek(io::SeekFrom::Start(self.written)).await?;
        part.file.write_all(&self.waiting).await?;
        part.file.flush().await?;
        self.written += self.waiting.len() as u64;
        self.waiting.clear();
        self.before = 0;
        Ok(())
    }

    async fn land(mut self, size: u64) -> io::Result<Landed> {
        self.write().await?;
        if self.before > self.written {
            // What came the last time is less than what had come before.
            self.begin_otherwise().await?;
        }
        let Part { partial, shared, .. } = self.part.ok_or_else(|| io::Error::other("nothing came"))?;
        self.pilot.progress.send_modify(|now| {
            // Of a doubtful body, nobody was told.
            now.begun.get_or_insert(Begun { file: shared, number: self.number, length: Some(size) });
        });
        Ok(Landed { file: partial, size })
    }

    /// A file with room for all of the body: who waits is told that there is none before anything is given.
    async fn begin_part(&mut self) -> io::Result<()> {
        let mirror = self.pilot.mirror.clone();
        let room = self.length.unwrap_or(UNKNOWN_LENGTH);
        let made = tokio::task::spawn_blocking(move || {
            let partial = PartialFile::create(&mirror).map_err(|error| io::Error::new(error.source.kind(), error))?;
            let (writer, reader) = (partial.file().try_clone()?, partial.file().try_clone()?);
            durable::allocate(&writer, room)?;
            io::Result::Ok((partial, writer, reader))
        });
        let (partial, writer, reader) = made.await.map_err(io::Error::other)??;
        self.part = Some(Part { partial, file: tokio::fs::File::from_std(writer), shared: Arc::new(reader) });
        Ok(())
    }
}

impl Taker for Writer<'_> {
    async fn begin(&mut self, length: Option<u64>, doubtful: bool) -> io::Result<()> {
        // A body may take long: while it comes, others need not be told that upstream is down.
        self.breaker.begun();
        self.received = 0;
        self.pass(Step::Begins(length)).await?;
        self.waiting.clear();
        self.before = self.before.max(self.written);
        self.written = 0;
        let is_other = self.length != length;
        self.length = length;
        self.doubtful = doubtful;
        if self.part.is_some() && !is_other {
            return Ok(());
        }
        match &self.part {
            None => self.begin_part().await?,
            Some(part) => {
                let (file, room) = (Arc::clone(&part.shared), length.unwrap_or(UNKNOWN_LENGTH));
                let given = tokio::task::spawn_blocking(move || durable::allocate(&file, room));
                given.await.map_err(io::Error::other)??;
            }
        }
        self.begin_otherwise().await
    }

    async fn take(&mut self, piece: Bytes) -> io::Result<()> {
        self.received += piece.len() as u64;
        self.pass(Step::Received(self.received)).await?;
        self.waiting.extend_from_slice(&piece);
        if self.waiting.len() >= PIECE { self.write().await } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
