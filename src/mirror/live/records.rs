//! Live mode's records: the stored files, the retired ones, and the totals.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::{ItemId, LiveRecord, LiveTotals};
use crate::bundle::format::short_id;
use crate::digest::Sha256;
use crate::durable;
use crate::mirror::layout::Layout;
use crate::mirror::transaction::{Error, failed};

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
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => Vec::new(),
            Err(source) => return Err(failed("read", path)(source)),
        };
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

/// The totals of live mode: in constant time, unless they were lost.
///
/// # Errors
/// A file system operation failed.
pub fn read_totals(layout: &Layout) -> Result<LiveTotals, Error> {
    let path = layout.live_counts();
    let known = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).ok(),
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => None,
        Err(source) => return Err(failed("read", &path)(source)),
    };
    match known {
        Some(known) => Ok(known),
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

/// Appends `records` to the file at `path`, without making them durable. Returns the previous length of the file, up to
/// the end of its last complete line.
pub(in crate::mirror) fn append(path: &Path, records: &[LiveRecord]) -> Result<u64, Error> {
    let lines: Vec<u8> = records.iter().flat_map(render_record).collect();
    let appended = || -> io::Result<u64> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let length = drop_partial_line(&mut file)?;
        file.write_all(&lines)?;
        Ok(length)
    };
    appended().map_err(failed("write", path))
}

/// Truncates an incomplete last line. Returns the remaining length.
fn drop_partial_line(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(0);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(length);
    }
    let mut text = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut text)?;
    let complete = complete_lines_length(&text) as u64;
    file.set_len(complete)?;
    Ok(complete)
}

/// Rolls back an append to the file at `path`, which had this length before.
pub(in crate::mirror) fn truncate(path: &Path, length: u64) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).open(path);
    file.and_then(|file| file.set_len(length)).map_err(failed("take back", path))
}

/// Moves the records that `is_retired` selects to the retired ones, through staging, which must have begun. Durable
/// when it returns. After a kill in between, an item is in both files and still current.
pub(in crate::mirror) fn retire(layout: &Layout, is_retired: &dyn Fn(&ItemId) -> bool) -> Result<(), Error> {
    let (gone, kept): (Vec<LiveRecord>, Vec<LiveRecord>) =
        read_records(layout)?.into_iter().partition(|record| is_retired(&record.item));
    if gone.is_empty() {
        return Ok(());
    }
    let path = layout.live_retired();
    append(&path, &gone)?;
    File::open(&path).and_then(|file| file.sync_all()).map_err(failed("sync", &path))?;
    durable::sync_folder(&layout.live()).map_err(failed("sync", &layout.live()))?;
    // After a kill from here on, the totals are derived from the records.
    let counts = layout.live_counts();
    match fs::remove_file(&counts) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &counts)(e)),
        _ => {}
    }
    write_records(layout, &layout.live_records(), &kept)?;
    write_totals(layout, sum_totals(&kept))
}

/// Replaces the retired records by `records`.
pub(in crate::mirror) fn write_retired(layout: &Layout, records: &[LiveRecord]) -> Result<(), Error> {
    write_records(layout, &layout.live_retired(), records)
}

/// Replaces the file at `path` by `records`; without records, removes the file.
pub(super) fn write_records(layout: &Layout, path: &Path, records: &[LiveRecord]) -> Result<(), Error> {
    if records.is_empty() {
        return match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(e)),
            _ => durable::sync_folder(&layout.live()).map_err(failed("sync", &layout.live())),
        };
    }
    let lines: Vec<u8> = records.iter().flat_map(render_record).collect();
    durable::write_via(&layout.staging(), path, &lines).map_err(failed("write", path))
}

/// Rewrites the records without invalid lines, and the totals, if they are wrong; through staging, which must have
/// begun. Returns whether anything was wrong.
pub(in crate::mirror) fn repair(layout: &Layout) -> Result<bool, Error> {
    let file = RecordFile::read(&layout.live_records())?;
    let (found, stored_totals) = (sum_totals(&file.records), fs::read(layout.live_counts()).ok());
    let is_right = stored_totals.map_or(file.records.is_empty(), |said| said == render_totals(found));
    if !file.damaged_lines.is_empty() {
        write_records(layout, &layout.live_records(), &file.records)?;
    }
    if !is_right {
        write_totals(layout, found)?;
    }
    Ok(!is_right || !file.damaged_lines.is_empty())
}

/// Writes the totals of the records.
pub(in crate::mirror) fn write_totals(layout: &Layout, figures: LiveTotals) -> Result<(), Error> {
    let path = layout.live_counts();
    durable::write_via(&layout.staging(), &path, &render_totals(figures)).map_err(failed("write", &path))
}

/// The text of live/counts.
pub(super) fn render_totals(figures: LiveTotals) -> Vec<u8> {
    serde_json::to_vec(&figures).expect("plain numbers are JSON")
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

    #[test]
    fn a_partial_last_line_is_ignored_and_removed_by_the_next_append() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("records");
        let all = [record("a", 1), record("dist/2026-01-01/x", 2), record("b", 3)];
        assert_eq!(append(&path, &all[..2]).expect("written"), 0);
        let two = fs::read(&path).expect("read");
        fs::write(&path, [&two[..], &render_record(&all[2])[..20]].concat()).expect("torn");
        let book = RecordFile::read(&path).expect("read");
        assert_eq!((&book.records[..], book.damaged_lines.len()), (&all[..2], 0));
        assert_eq!(append(&path, &all[2..]).expect("written"), two.len() as u64);
        assert_eq!(RecordFile::read(&path).expect("read").records, all);
        truncate(&path, two.len() as u64).expect("cut");
        assert_eq!(fs::read(&path).expect("read"), two);
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
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        fs::create_dir_all(layout.live()).expect("folder");
        let mut follower = Tailer::default();
        let path = layout.live_records();
        let names = |records: Vec<LiveRecord>| records.iter().map(|one| one.item.to_string()).collect::<Vec<_>>();
        assert!(!follower.has_changed(&layout));
        let all: Vec<LiveRecord> = ["a", "b", "c", "d"].iter().map(|name| record(name, 1)).collect();
        append(&path, &all[..2]).expect("written");
        assert!(follower.has_changed(&layout));
        assert_eq!(names(follower.read_new(&layout).expect("read")), ["a 1.0.0+b", "b 1.0.0+b"]);
        assert!(!follower.has_changed(&layout));
        let mut torn = fs::read(&path).expect("read");
        torn.extend(&render_record(&all[2])[..9]);
        fs::write(&path, &torn).expect("torn");
        assert_eq!(names(follower.read_new(&layout).expect("read")), [""; 0]);
        assert!(!follower.has_changed(&layout), "an incomplete line is not read again without a change");
        append(&path, &all[2..3]).expect("written");
        assert_eq!(names(follower.read_new(&layout).expect("read")), ["c 1.0.0+b"]);
        // The file was rewritten, and is longer than before.
        fs::remove_file(&path).expect("removed");
        let anew = [record("a-longer-name", 1), record("x", 2), record("y", 2), record("z", 2)];
        append(&path, &anew).expect("written");
        assert_eq!(follower.read_new(&layout).expect("read"), anew);
        fs::remove_file(&path).expect("removed");
        assert!(follower.has_changed(&layout));
        assert_eq!(follower.read_new(&layout).expect("read"), []);
        assert!(!follower.has_changed(&layout));
    }

    #[test]
    fn retired_records_move_to_the_retired_file_and_totals_follow() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        for folder in [layout.live(), layout.staging()] {
            fs::create_dir_all(folder).expect("folder");
        }
        assert_eq!(
            (read_totals(&layout).expect("none"), lineage_id(&layout).expect("none")),
            (LiveTotals::default(), None)
        );
        let all = [record("a", 1), record("rustup/archive/1/x", 2), record("b", 3)];
        append(&layout.live_records(), &all).expect("written");
        assert_eq!(read_totals(&layout).expect("counted"), LiveTotals { crates: 2, dist_files: 1, bytes: 30 });
        let derived = lineage_id(&layout).expect("read").expect("follows from the records");
        assert!(is_lineage_id(&derived), "{derived}");
        retire(&layout, &|what| *what == all[0].item).expect("forgotten");
        assert_eq!(
            (read_records(&layout).expect("read"), read_retired(&layout).expect("read")),
            (all[1..].to_vec(), all[..1].to_vec())
        );
        assert_eq!(read_totals(&layout).expect("written"), LiveTotals { crates: 1, dist_files: 1, bytes: 20 });
        retire(&layout, &|_| true).expect("forgotten");
        assert_eq!(read_totals(&layout).expect("written"), LiveTotals::default());
        assert!(!layout.live_records().exists());
        fs::write(layout.live_lineage_id(), "0123456789abcdef0123456789abcdef\n").expect("write");
        assert_eq!(lineage_id(&layout).expect("read").as_deref(), Some("0123456789abcdef0123456789abcdef"));
    }
}
