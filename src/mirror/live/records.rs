//! Live mode's records: the stored files, the retired ones, and the totals.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::{ItemId, LiveRecord, LiveTotals};
use crate::bundle::format::short_id;
use crate::digest::Sha256;
use crate::mirror::disk;
use crate::mirror::layout::Layout;
use crate::mirror::summary::MirrorSummary;
use crate::mirror::transaction::{Error, Transaction, counts_are_stale, failed};

/// The content of a file of records.
#[derive(Debug, Default)]
pub(in crate::mirror) struct RecordFile {
    /// The records, the oldest first; of several for one item the last.
    pub(in crate::mirror) records: Vec<LiveRecord>,
    /// The numbers of invalid lines, from 1, without an incomplete last line.
    pub(in crate::mirror) damaged_lines: Vec<usize>,
}

impl RecordFile {
    /// Reads the file at `path`; a missing file has no records.
    pub(in crate::mirror) fn read(path: &Path) -> Result<RecordFile, Error> {
        let text = disk::read_if_present(path)?.unwrap_or_default();
        Ok(RecordFile::parse(&text))
    }

    fn parse(text: &[u8]) -> RecordFile {
        let whole = &text[..complete_lines_length(text)];
        let mut file = RecordFile::default();
        for (number, line) in (1..).zip(whole.split(|byte| *byte == b'\n')).filter(|(_, line)| !line.is_empty()) {
            match serde_json::from_slice::<LiveRecord>(line) {
                Ok(record) => file.records.push(record),
                Err(_) => file.damaged_lines.push(number),
            }
        }
        let mut seen: HashSet<&ItemId> = HashSet::with_capacity(file.records.len());
        let mut last: Vec<bool> = file.records.iter().rev().map(|record| seen.insert(&record.item)).collect();
        if last.iter().all(|last| *last) {
            return file;
        }
        drop(seen);
        file.records.retain(|_| last.pop().unwrap_or(true));
        file
    }
}

/// The length of the text up to its last line end.
fn complete_lines_length(text: &[u8]) -> usize {
    text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

/// The current files of live mode, the oldest first.
///
/// # Errors
/// A file system operation failed.
pub fn read_records(layout: &Layout) -> Result<Vec<LiveRecord>, Error> {
    Ok(RecordFile::read(&layout.live_records())?.records)
}

/// Follows the records: returns new ones since the last read, without reading the rest again.
#[derive(Debug, Default)]
pub struct Tailer {
    /// The length of the file at the last read, and of its complete lines then.
    seen_length: u64,
    complete_length: u64,
    /// The last bytes of these lines, which detect that the file was rewritten.
    tail: Vec<u8>,
}

/// Number of these bytes: they contain a digest or two times.
const TAIL_LENGTH: usize = 128;

impl Tailer {
    /// Whether there is something to read, in constant time.
    pub fn has_changed(&self, layout: &Layout) -> bool {
        fs::metadata(layout.live_records()).map_or(0, |about| about.len()) != self.seen_length
    }

    /// The new records since the last read, or all if the file was rewritten meanwhile.
    ///
    /// # Errors
    /// A file system operation failed.
    pub fn read_new(&mut self, layout: &Layout) -> Result<Vec<LiveRecord>, Error> {
        let path = layout.live_records();
        let mut read = || -> io::Result<Vec<u8>> {
            let mut file = match File::open(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => {
                    *self = Tailer::default();
                    return Ok(Vec::new());
                }
                file => file?,
            };
            let mut text = Vec::new();
            file.seek(SeekFrom::Start(self.complete_length - self.tail.len() as u64))?;
            file.read_to_end(&mut text)?;
            if text.starts_with(&self.tail) {
                text.drain(..self.tail.len());
            } else {
                *self = Tailer::default();
                text.clear();
                file.rewind()?;
                file.read_to_end(&mut text)?;
            }
            self.seen_length = self.complete_length + text.len() as u64;
            text.truncate(complete_lines_length(&text));
            self.complete_length += text.len() as u64;
            self.tail.extend_from_slice(&text[text.len().saturating_sub(TAIL_LENGTH)..]);
            self.tail.drain(..self.tail.len().saturating_sub(TAIL_LENGTH));
            Ok(text)
        };
        let text = read().map_err(|error| {
            // The next change triggers another read.
            self.seen_length = fs::metadata(&path).map_or(0, |about| about.len());
            failed("read", &path)(error)
        })?;
        Ok(RecordFile::parse(&text).records)
    }
}

/// Retired items of live mode whose file may still exist.
///
/// # Errors
/// A file system operation failed.
pub fn read_retired(layout: &Layout) -> Result<Vec<LiveRecord>, Error> {
    Ok(RecordFile::read(&layout.live_retired())?.records)
}

/// The totals of live mode: in constant time, unless `manifest.json` was lost.
///
/// # Errors
/// A file system operation failed.
pub fn read_totals(layout: &Layout) -> Result<LiveTotals, Error> {
    match MirrorSummary::read(layout)?.filter(|_| !counts_are_stale(layout)) {
        Some(summary) => Ok(summary.live),
        None => Ok(sum_totals(&read_records(layout)?)),
    }
}

/// The totals of these records.
pub(in crate::mirror) fn sum_totals<'r>(records: impl IntoIterator<Item = &'r LiveRecord>) -> LiveTotals {
    let mut figures = LiveTotals::default();
    for record in records {
        match record.item {
            ItemId::Crate(_) => figures.crates += 1,
            ItemId::DistFile(_) => figures.dist_files += 1,
        }
        figures.bytes = figures.bytes.saturating_add(record.size);
    }
    figures
}

/// The lineage of live mode's files in a snapshot; `None` if live mode never stored any. A lost id is derived from the
/// oldest record.
///
/// # Errors
/// A file system operation failed.
pub fn lineage_id(layout: &Layout) -> Result<Option<String>, Error> {
    let path = layout.live_lineage_id();
    match fs::read_to_string(&path) {
        Ok(text) if is_lineage_id(text.trim()) => return Ok(Some(text.trim().to_owned())),
        Err(source)
            if !matches!(
                source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidData
            ) =>
        {
            return Err(failed("read", &path)(source));
        }
        _ => {}
    }
    Ok(read_records(layout)?.first().map(|oldest| short_id(&Sha256::of(&render_record(oldest)))))
}

fn is_lineage_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn render_record(record: &LiveRecord) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).expect("plain fields are JSON");
    line.push(b'\n');
    line
}

/// Adds to a transaction that `records` are appended. An incomplete last line of the file is dropped.
pub(in crate::mirror) fn stage_append(
    layout: &Layout,
    tx: &mut Transaction<'_>,
    records: &[LiveRecord],
) -> Result<(), Error> {
    if records.is_empty() {
        return Ok(());
    }
    let path = layout.live_records();
    let length = complete_length(&path).map_err(failed("read", &path))?;
    tx.append(&path, length, &render_records(records))
}

fn render_records(records: &[LiveRecord]) -> Vec<u8> {
    records.iter().flat_map(render_record).collect()
}

/// The length of the file without an incomplete last line. Reads the whole file only if there is one.
fn complete_length(path: &Path) -> io::Result<u64> {
    let mut file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    let length = file.metadata()?.len();
    let mut last = *b"\n";
    if length > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last == *b"\n" {
        return Ok(length);
    }
    let mut text = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut text)?;
    Ok(complete_lines_length(&text) as u64)
}

/// Adds to a transaction the replacement of the records by `kept`.
pub(in crate::mirror) fn stage_records(
    layout: &Layout,
    tx: &mut Transaction<'_>,
    kept: &[LiveRecord],
) -> Result<(), Error> {
    stage_file(tx, &layout.live_records(), kept)
}

/// Adds to a transaction the replacement of the retired records by `records`.
pub(in crate::mirror) fn stage_retired(
    layout: &Layout,
    tx: &mut Transaction<'_>,
    records: &[LiveRecord],
) -> Result<(), Error> {
    stage_file(tx, &layout.live_retired(), records)
}

/// Replaces the file at `path` by `records`; without records, removes the file.
fn stage_file(tx: &mut Transaction<'_>, path: &Path, records: &[LiveRecord]) -> Result<(), Error> {
    match records.is_empty() {
        true => tx.delete(path),
        false => tx.put_bytes(path, &render_records(records)),
    }
}

/// Rewrites the records without invalid lines. Returns whether there were any.
pub(in crate::mirror) fn repair(layout: &Layout, tx: &mut Transaction<'_>) -> Result<bool, Error> {
    let file = RecordFile::read(&layout.live_records())?;
    if !file.damaged_lines.is_empty() {
        stage_records(layout, tx, &file.records)?;
    }
    Ok(!file.damaged_lines.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crate_id::CrateId;
    use jiff::Timestamp;

    fn record(name: &str, second: i64) -> LiveRecord {
        let time = Timestamp::from_second(second).expect("time");
        LiveRecord {
            item: match name.contains('/') {
                true => ItemId::DistFile(name.parse().expect("path")),
                false => ItemId::Crate(CrateId::parse(name, "1.0.0+b").expect("crate")),
            },
            sha256: Sha256::of(name.as_bytes()),
            size: 10,
            stored_at: time,
            read_at: time,
            description: (second > 1).then(|| "what\nit is".to_owned()),
            license: None,
            repository: None,
        }
    }

    /// Appends records to those of a mirror.
    fn append(layout: &Layout, records: &[LiveRecord]) {
        let mut tx = Transaction::begin(layout, "a test").expect("staging");
        stage_append(layout, &mut tx, records).expect("staged");
        tx.commit().expect("written");
    }

    fn temporary_mirror() -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        fs::create_dir_all(layout.live()).expect("folder");
        (folder, layout)
    }

    #[test]
    fn a_partial_last_line_is_ignored_and_removed_by_the_next_append() {
        let (_folder, layout) = temporary_mirror();
        let path = layout.live_records();
        let all = [record("a", 1), record("dist/2026-01-01/x", 2), record("b", 3)];
        append(&layout, &all[..2]);
        let two = fs::read(&path).expect("read");
        fs::write(&path, [&two[..], &render_record(&all[2])[..20]].concat()).expect("torn");
        let book = RecordFile::read(&path).expect("read");
        assert_eq!((&book.records[..], book.damaged_lines.len()), (&all[..2], 0));
        append(&layout, &all[2..]);
        assert_eq!(RecordFile::read(&path).expect("read").records, all);
    }

    #[test]
    fn the_later_record_wins_and_damage_stays_local() {
        let (old, new, other) = (record("a", 1), record("a", 5), record("b", 1));
        let text =
            [render_record(&old), b"{\"name\":\"c\"}\n".to_vec(), render_record(&other), render_record(&new)].concat();
        let book = RecordFile::parse(&text);
        assert_eq!((book.records, book.damaged_lines), (vec![other, new], vec![2]));
    }

    #[test]
    fn a_tailer_reads_each_record_once() {
        let (_folder, layout) = temporary_mirror();
        let mut follower = Tailer::default();
        let path = layout.live_records();
        let names = |records: Vec<LiveRecord>| records.iter().map(|one| one.item.to_string()).collect::<Vec<_>>();
        assert!(!follower.has_changed(&layout));
        let all: Vec<LiveRecord> = ["a", "b", "c", "d"].iter().map(|name| record(name, 1)).collect();
        append(&layout, &all[..2]);
        assert!(follower.has_changed(&layout));
        assert_eq!(names(follower.read_new(&layout).expect("read")), ["a 1.0.0+b", "b 1.0.0+b"]);
        assert!(!follower.has_changed(&layout));
        let mut torn = fs::read(&path).expect("read");
        torn.extend(&render_record(&all[2])[..9]);
        fs::write(&path, &torn).expect("torn");
        assert_eq!(names(follower.read_new(&layout).expect("read")), [""; 0]);
        assert!(!follower.has_changed(&layout), "an incomplete line is not read again without a change");
        append(&layout, &all[2..3]);
        assert_eq!(names(follower.read_new(&layout).expect("read")), ["c 1.0.0+b"]);
        // The file was rewritten, and is longer than before.
        fs::remove_file(&path).expect("removed");
        let rewritten = [record("a-longer-name", 1), record("x", 2), record("y", 2), record("z", 2)];
        append(&layout, &rewritten);
        assert_eq!(follower.read_new(&layout).expect("read"), rewritten);
        fs::remove_file(&path).expect("removed");
        assert!(follower.has_changed(&layout));
        assert_eq!(follower.read_new(&layout).expect("read"), []);
        assert!(!follower.has_changed(&layout));
    }

    #[test]
    fn retired_records_move_to_the_retired_file_and_totals_follow() {
        let (_folder, layout) = temporary_mirror();
        let retire = |kept: &[LiveRecord], retired: &[LiveRecord]| {
            let mut tx = Transaction::begin(&layout, "a test").expect("staging");
            stage_records(&layout, &mut tx, kept).expect("staged");
            stage_retired(&layout, &mut tx, retired).expect("staged");
            tx.commit().expect("written");
        };
        assert_eq!(
            (read_totals(&layout).expect("none"), lineage_id(&layout).expect("none")),
            (LiveTotals::default(), None)
        );
        let all = [record("a", 1), record("rustup/archive/1/x", 2), record("b", 3)];
        append(&layout, &all);
        assert_eq!(read_totals(&layout).expect("counted"), LiveTotals { crates: 2, dist_files: 1, bytes: 30 });
        let derived = lineage_id(&layout).expect("read").expect("follows from the records");
        assert!(is_lineage_id(&derived), "{derived}");
        retire(&all[1..], &all[..1]);
        assert_eq!(
            (read_records(&layout).expect("read"), read_retired(&layout).expect("read")),
            (all[1..].to_vec(), all[..1].to_vec())
        );
        assert_eq!(read_totals(&layout).expect("written"), LiveTotals { crates: 1, dist_files: 1, bytes: 20 });
        retire(&[], &all);
        assert_eq!(read_totals(&layout).expect("written"), LiveTotals::default());
        assert!(!layout.live_records().exists());
        fs::write(layout.live_lineage_id(), "0123456789abcdef0123456789abcdef\n").expect("write");
        assert_eq!(lineage_id(&layout).expect("read").as_deref(), Some("0123456789abcdef0123456789abcdef"));
    }
}
