//! Checks a bundle on disk, on all cores: positioned reads of 64 KiB, and one hash over each stored byte.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::block::{Checker, Stop};
use super::format::{Block, Encoding, Entry, Manifest};
use super::lines::Ledger;
use super::open::{self, Bundle, Error, Problem, Streamed, Visitor};
use crate::event::{Event, Phase, Sink};

/// Threads at most; beyond a few, the disk is what is waited for.
const MOST_THREADS: usize = 16;

/// What a bundle was found to be: its manifest, and all that is wrong with it. It is good if there is nothing.
pub type Verdict = Streamed;

/// Checks the bundle at `path`. One of frostmirror 1.x is unfolded into a nameless file in `spool` first. What is not
/// a regular file (a pipe, say) is read in one pass.
pub fn verify(path: &Path, spool: &Path, sink: &dyn Sink) -> Result<Verdict, Error> {
    let name = path.display().to_string();
    let unreadable = |source| Error::Io { name: name.clone(), source };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(Error::Folder { name });
    }
    let size = if metadata.is_file() { Some(metadata.len()) } else { None };
    let start = Positioned { file: &file, offset: 0, left: size.unwrap_or(0) };
    match size {
        Some(size) if open::is_ours(start).map_err(unreadable)? => {
            let whole = Positioned { file: &file, offset: 0, left: size };
            check(Bundle::open(whole, &name)?, &file, size, sink)
        }
        _ => {
            let bundle = open::open_any(Box::new(file), &name, spool)?;
            let progress = Progress::begin(bundle.manifest(), sink);
            bundle.stream(&mut Counting::new(&progress))
        }
    }
}

fn check(bundle: Bundle<Positioned<'_>>, file: &File, size: u64, sink: &dyn Sink) -> Result<Verdict, Error> {
    let Bundle { name, manifest, payload, .. } = bundle;
    let ledger = Ledger::new(&manifest);
    let mut places: Vec<Place<'_>> = Vec::with_capacity(manifest.blocks.len());
    let mut offset = payload;
    for (number, block) in manifest.blocks.iter().enumerate() {
        // The sums were checked when the bundle was opened.
        let length = block.stored_size().unwrap_or(0);
        places.push(Place { number, block, offset, length });
        offset = offset.saturating_add(length);
    }
    let work = Work {
        file,
        size,
        next: AtomicUsize::new(0),
        decoding: Mutex::new(()),
        stopped: AtomicBool::new(false),
        found: Mutex::default(),
    };
    // The largest first, so that no thread is left alone with a large one at the end.
    let mut order: Vec<&Place<'_>> = places.iter().collect();
    order.sort_by_key(|place| std::cmp::Reverse(place.length));
    let progress = Progress::begin(&manifest, sink);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS).min(order.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work.run(&order, &ledger, &progress));
        }
    });
    drop(progress);
    let mut found = work.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(source) = found.error.take() {
        return Err(Error::Io { name, source });
    }
    let mut problems = found.in_order();
    if size > offset {
        problems.push(Problem::Trailing);
    }
    open::add_missing_lines(&ledger, &mut problems);
    drop(order);
    drop(places);
    drop(ledger);
    Ok(Verdict { manifest, problems })
}

/// A block and where it lies in the file.
struct Place<'m> {
    number: usize,
    block: &'m Block,
    offset: u64,
    length: u64,
}

/// What the threads share.
struct Work<'f> {
    file: &'f File,
    size: u64,
    next: AtomicUsize,
    /// Held while a block is decoded, so that memory does not grow with the cores: a decoder may take 24 MiB, and
    /// index text is a small part of any bundle.
    decoding: Mutex<()>,
    stopped: AtomicBool,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// With the number of the block that they are of.
    problems: Vec<(usize, Problem)>,
    error: Option<io::Error>,
}

impl Found {
    /// Takes in the problems of one block. Each block may have as many as are told of all, so that those which would
    /// not be told are dropped on the way.
    fn take(&mut self, number: usize, problems: impl Iterator<Item = Problem>) {
        self.problems.extend(problems.map(|problem| (number, problem)));
        if self.problems.len() > 4 * open::MOST_PROBLEMS {
            self.keep_the_first();
        }
    }

    /// Leaves as many as are told, the first in the payload's order. Where the file ends early, every entry behind
    /// that is cut too; one is told.
    fn keep_the_first(&mut self) {
        self.problems.sort_by_key(|(number, _)| *number);
        let mut cut = false;
        self.problems.retain(|(_, problem)| {
            let truncated = matches!(problem, Problem::Truncated { .. });
            !(truncated && std::mem::replace(&mut cut, true))
        });
        self.problems.truncate(open::MOST_PROBLEMS);
    }

    fn in_order(mut self) -> Vec<Problem> {
        self.keep_the_first();
        self.problems.into_iter().map(|(_, problem)| problem).collect()
    }
}

impl Work<'_> {
    fn run(&self, order: &[&Place<'_>], ledger: &Ledger<'_>, progress: &Progress<'_>) {
        let mut checker = Checker::new(ledger);
        let mut counting = Counting::new(progress);
        while !self.stopped.load(Ordering::Relaxed) {
            if progress.sink.stopped() {
                let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
                found.error.get_or_insert(io::Error::new(io::ErrorKind::Interrupted, "interrupted"));
                return;
            }
            let Some(place) = order.get(self.next.fetch_add(1, Ordering::Relaxed)) else { return };
            let _one_decoder = (place.block.encoding != Encoding::Stored)
                .then(|| self.decoding.lock().unwrap_or_else(PoisonError::into_inner));
            let left = self.size.saturating_sub(place.offset).min(place.length);
            let reader = Positioned { file: self.file, offset: place.offset, left };
            let outcome = checker.check(place.block, reader, &mut counting);
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.take(place.number, checker.problems.drain(..));
            if let Err(Stop::Read(error) | Stop::Visitor(error)) = outcome {
                found.error.get_or_insert(error);
                self.stopped.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// A run of a file's bytes, read at its own place, whoever else reads the file.
struct Positioned<'f> {
    file: &'f File,
    offset: u64,
    left: u64,
}

impl Read for Positioned<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let n = read_at(self.file, &mut buffer[..room], self.offset)?;
        self.offset += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

/// A counted phase, from its beginning to when it is dropped.
struct Progress<'s> {
    sink: &'s dyn Sink,
}

/// Bytes between two reports of progress.
const STRIDE: u64 = 1024 * 1024;

impl<'s> Progress<'s> {
    fn begin(manifest: &Manifest, sink: &'s dyn Sink) -> Progress<'s> {
        let items = manifest.entries().count() as u64;
        let bytes = manifest.entries().map(|entry| entry.size).fold(0, u64::saturating_add);
        sink.event(Event::Begin { phase: Phase::Verifying, items, bytes });
        Progress { sink }
    }
}

/// Reports what passes, a stride at a time.
struct Counting<'p> {
    progress: &'p Progress<'p>,
    items: u64,
    bytes: u64,
}

impl<'p> Counting<'p> {
    fn new(progress: &'p Progress<'p>) -> Counting<'p> {
        Counting { progress, items: 0, bytes: 0 }
    }

    fn report(&mut self) {
        let (items, bytes) = (std::mem::take(&mut self.items), std::mem::take(&mut self.bytes));
        self.progress.sink.event(Event::Advance { phase: Phase::Verifying, items, bytes });
    }
}

impl Visitor for Counting<'_> {
    fn begin(&mut self, _: &Entry) -> io::Result<()> {
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        if self.bytes >= STRIDE {
            self.report();
        }
        Ok(())
    }

    fn end(&mut self, _: &Entry, _: bool) -> io::Result<()> {
        self.items += 1;
        Ok(())
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        self.report();
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.sink.event(Event::End { phase: Phase::Verifying });
    }
}
