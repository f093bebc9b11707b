//! Checks a bundle on disk with all cores: positioned reads of 64 KiB, and one hash over each stored byte.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::block_checker::{BlockChecker, StreamError};
use super::format::{Block, Encoding, Entry, Manifest};
use super::index_line_checker::IndexLineChecker;
use super::open::{self, Bundle, EntryVisitor, Error, Problem, StreamReport};
use super::{problem, reader};
use crate::event::{Event, Phase, Sink};

/// Maximum number of threads; with more, the disk is the bottleneck.
const MAX_THREADS: usize = 16;

/// The result: the manifest, and all problems. The bundle is valid if there are none.
pub type VerifyReport = StreamReport;

/// Checks the bundle at `path`. A bundle of frostmirror 1.x is first decompressed into an unnamed file in `spool`. A file
/// that is not regular (such as a pipe) is read in one pass.
pub fn verify(path: &Path, spool: &Path, sink: &dyn Sink) -> Result<VerifyReport, Error> {
    verify_named(path, path.display().to_string(), spool, sink)
}

/// As [`verify`]; errors show the bundle as `name`, such as the path that the user typed.
pub fn verify_named(path: &Path, name: String, spool: &Path, sink: &dyn Sink) -> Result<VerifyReport, Error> {
    let unreadable = |source| Error::Io { name: name.clone(), source };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(Error::IsFolder { name });
    }
    let size = if metadata.is_file() { Some(metadata.len()) } else { None };
    let start = PositionedReader { file: &file, offset: 0, remaining: size.unwrap_or(0) };
    match size {
        Some(size) if open::is_native(start).map_err(unreadable)? => {
            let whole = PositionedReader { file: &file, offset: 0, remaining: size };
            check(Bundle::open(whole, &name)?, &file, size, sink)
        }
        _ => {
            let bundle = open::open_any(Box::new(file), &name, spool)?;
            let progress = ProgressPhase::begin(bundle.manifest(), sink);
            bundle.stream(&mut ProgressVisitor::new(&progress))
        }
    }
}

fn check(bundle: Bundle<PositionedReader<'_>>, file: &File, size: u64, sink: &dyn Sink) -> Result<VerifyReport, Error> {
    let Bundle { name, manifest, payload_offset: payload, .. } = bundle;
    let line_checker = IndexLineChecker::new(&manifest);
    let mut positions: Vec<BlockPosition<'_>> = Vec::with_capacity(manifest.blocks.len());
    let mut offset = payload;
    for (number, block) in manifest.blocks.iter().enumerate() {
        // The sums were validated when the bundle was opened.
        let length = block.stored_size().unwrap_or(0);
        positions.push(BlockPosition { number, block, offset, length });
        offset = offset.saturating_add(length);
    }
    let work = SharedWork {
        file,
        size,
        next: AtomicUsize::new(0),
        decoder_lock: Mutex::new(()),
        is_stopped: AtomicBool::new(false),
        findings: Mutex::default(),
    };
    // The largest blocks come first, so that no thread gets a large one at the end.
    let mut order: Vec<&BlockPosition<'_>> = positions.iter().collect();
    order.sort_by_key(|place| std::cmp::Reverse(place.length));
    let progress = ProgressPhase::begin(&manifest, sink);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS).min(order.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work.run_worker(&order, &line_checker, &progress));
        }
    });
    drop(progress);
    let mut findings = work.findings.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(source) = findings.error.take() {
        return Err(Error::Io { name, source });
    }
    let mut problems = findings.into_problems();
    if size > offset {
        problems.push(Problem::TrailingBytes);
    }
    reader::add_missing_lines(&line_checker, &mut problems);
    drop(order);
    drop(positions);
    drop(line_checker);
    Ok(VerifyReport { manifest, problems })
}

/// A block and its position in the file.
struct BlockPosition<'m> {
    number: usize,
    block: &'m Block,
    offset: u64,
    length: u64,
}

/// The shared state of the threads.
struct SharedWork<'f> {
    file: &'f File,
    size: u64,
    next: AtomicUsize,
    /// Held while a block is decoded, so that memory does not grow with the number of cores. A decoder may need 24 MiB, and
    /// index text is a small part of any bundle.
    decoder_lock: Mutex<()>,
    is_stopped: AtomicBool,
    findings: Mutex<Findings>,
}

#[derive(Default)]
struct Findings {
    /// With their block numbers.
    problems: Vec<(usize, Problem)>,
    error: Option<io::Error>,
}

impl Findings {
    /// Adds the problems of one block. Each block may have as many as the total limit, so the excess is dropped at once.
    fn add_problems(&mut self, number: usize, problems: impl Iterator<Item = Problem>) {
        self.problems.extend(problems.map(|problem| (number, problem)));
        if self.problems.len() > 4 * problem::MAX_PROBLEMS {
            self.truncate();
        }
    }

    /// Truncates the problems to the limit, in payload order. If the file ends early, every later entry is cut off too; only
    /// one is reported.
    fn truncate(&mut self) {
        self.problems.sort_by_key(|(number, _)| *number);
        let mut cut = false;
        self.problems.retain(|(_, problem)| {
            let truncated = matches!(problem, Problem::Truncated { .. });
            !(truncated && std::mem::replace(&mut cut, true))
        });
        self.problems.truncate(problem::MAX_PROBLEMS);
    }

    fn into_problems(mut self) -> Vec<Problem> {
        self.truncate();
        self.problems.into_iter().map(|(_, problem)| problem).collect()
    }
}

impl SharedWork<'_> {
    fn run_worker(&self, order: &[&BlockPosition<'_>], ledger: &IndexLineChecker<'_>, progress: &ProgressPhase<'_>) {
        let mut checker = BlockChecker::new(ledger);
        let mut counting = ProgressVisitor::new(progress);
        while !self.is_stopped.load(Ordering::Relaxed) {
            if progress.sink.is_cancelled() {
                let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
                findings.error.get_or_insert(io::Error::new(io::ErrorKind::Interrupted, "interrupted"));
                return;
            }
            let Some(place) = order.get(self.next.fetch_add(1, Ordering::Relaxed)) else { return };
            let _one_decoder = (place.block.encoding != Encoding::Stored)
                .then(|| self.decoder_lock.lock().unwrap_or_else(PoisonError::into_inner));
            let left = self.size.saturating_sub(place.offset).min(place.length);
            let reader = PositionedReader { file: self.file, offset: place.offset, remaining: left };
            let outcome = checker.check(place.block, reader, &mut counting);
            let mut found = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
            found.add_problems(place.number, checker.problems.drain(..));
            if let Err(StreamError::Read(error) | StreamError::Visitor(error)) = outcome {
                found.error.get_or_insert(error);
                self.is_stopped.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// A reader of a range of the file with its own position, so that threads can share the file.
struct PositionedReader<'f> {
    file: &'f File,
    offset: u64,
    remaining: u64,
}

impl Read for PositionedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let space = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buffer.len());
        let n = read_at(self.file, &mut buffer[..space], self.offset)?;
        self.offset += n as u64;
        self.remaining -= n as u64;
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

/// A progress phase that ends when it is dropped.
struct ProgressPhase<'s> {
    sink: &'s dyn Sink,
}

/// Bytes between two progress reports.
const REPORT_INTERVAL_BYTES: u64 = 1024 * 1024;

impl<'s> ProgressPhase<'s> {
    fn begin(manifest: &Manifest, sink: &'s dyn Sink) -> ProgressPhase<'s> {
        let items = manifest.entries().count() as u64;
        let bytes = manifest.entries().map(|entry| entry.size).fold(0, u64::saturating_add);
        sink.event(Event::Begin { phase: Phase::Verifying, items, bytes });
        ProgressPhase { sink }
    }
}

/// Reports progress in steps.
struct ProgressVisitor<'p> {
    progress: &'p ProgressPhase<'p>,
    items: u64,
    bytes: u64,
}

impl<'p> ProgressVisitor<'p> {
    fn new(progress: &'p ProgressPhase<'p>) -> ProgressVisitor<'p> {
        ProgressVisitor { progress, items: 0, bytes: 0 }
    }

    fn report(&mut self) {
        let (items, bytes) = (std::mem::take(&mut self.items), std::mem::take(&mut self.bytes));
        self.progress.sink.event(Event::Advance { phase: Phase::Verifying, items, bytes });
    }
}

impl EntryVisitor for ProgressVisitor<'_> {
    fn begin(&mut self, _: &Entry) -> io::Result<()> {
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        if self.bytes >= REPORT_INTERVAL_BYTES {
            self.report();
        }
        Ok(())
    }

    fn end(&mut self, entry: &Entry, good: bool) -> io::Result<()> {
        if good {
            self.progress.sink.detail("Verified", entry.path.to_string());
        }
        self.items += 1;
        Ok(())
    }
}

impl Drop for ProgressVisitor<'_> {
    fn drop(&mut self) {
        self.report();
    }
}

impl Drop for ProgressPhase<'_> {
    fn drop(&mut self) {
        self.sink.event(Event::End { phase: Phase::Verifying });
    }
}
