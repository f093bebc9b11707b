//! The record of live mode's lineage: one file, to which every batch appends. [`crate::mirror::layout`] describes it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bundle::format::short_id;
use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::Sha256;
use crate::mirror::disk;
use crate::mirror::item::ItemId;
use crate::mirror::layout::Layout;
use crate::mirror::transaction::{Error, Transaction, failed};
use crate::random;
use crate::safe_path::SafePath;

/// A crate or dist file that live mode stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Row", into = "Row")]
pub struct LiveRecord {
    /// The crate or dist file.
    pub item: ItemId,
    /// Digest of its bytes, which upstream published.
    pub sha256: Sha256,
    /// Size in bytes.
    pub size: u64,
    /// When it was stored.
    pub stored_at: Timestamp,
    /// When upstream's index or manifest was read.
    pub read_at: Timestamp,
    /// The crate's description.
    pub description: Option<String>,
    /// The crate's license.
    pub license: Option<String>,
    /// The crate's repository.
    pub repository: Option<String>,
    /// Whether live mode no longer needs it. Its file stays until a collection deletes it.
    pub retired: bool,
}

/// The lineage of live mode.
#[derive(Debug, Default)]
pub struct LiveLineage {
    /// Its id, 32 hexadecimal digits; `None` if live mode never stored anything.
    pub id: Option<String>,
    /// One record per item, the oldest first, also of retired items.
    pub records: Vec<LiveRecord>,
    /// The numbers of invalid lines, from 1, without an incomplete last line.
    pub damaged_lines: Vec<usize>,
}

/// The first line of the file.
#[derive(Serialize, Deserialize)]
struct Header {
    lineage: String,
}

/// The JSON form of a record.
#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<CrateName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<SafePath>,
    sha256: Sha256,
    size: u64,
    #[serde(rename = "placed")]
    stored_at: Timestamp,
    #[serde(rename = "read")]
    read_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[serde(rename = "forgotten")]
    retired: bool,
}

impl TryFrom<Row> for LiveRecord {
    type Error = &'static str;

    fn try_from(row: Row) -> Result<LiveRecord, &'static str> {
        let Row { name, version, path, sha256, size, stored_at, read_at, description, license, repository, retired } =
            row;
        let item = match (name, version, path) {
            (Some(name), Some(version), None) => ItemId::Crate(CrateId { name, version }),
            (None, None, Some(path)) => ItemId::DistFile(path),
            _ => return Err("neither a crate nor a dist file"),
        };
        Ok(LiveRecord { item, sha256, size, stored_at, read_at, description, license, repository, retired })
    }
}

impl From<LiveRecord> for Row {
    fn from(record: LiveRecord) -> Row {
        let LiveRecord { item, sha256, size, stored_at, read_at, description, license, repository, retired } = record;
        let (name, version, path) = match item {
            ItemId::Crate(CrateId { name, version }) => (Some(name), Some(version), None),
            ItemId::DistFile(path) => (None, None, Some(path)),
        };
        Row { name, version, path, sha256, size, stored_at, read_at, description, license, repository, retired }
    }
}

impl LiveLineage {
    /// Reads the lineage.
    ///
    /// # Errors
    /// A file system operation failed; a missing file is not an error.
    pub fn read(layout: &Layout) -> Result<LiveLineage, Error> {
        let text = disk::read_if_present(&layout.live_records())?.unwrap_or_default();
        Ok(LiveLineage::parse(&text))
    }

    fn parse(text: &[u8]) -> LiveLineage {
        let whole = &text[..complete_lines_length(text)];
        let mut lineage = LiveLineage::default();
        for (number, line) in (1..).zip(whole.split(|byte| *byte == b'\n')).filter(|(_, line)| !line.is_empty()) {
            match serde_json::from_slice::<LiveRecord>(line) {
                Ok(record) => lineage.records.push(record),
                Err(_) => match serde_json::from_slice::<Header>(line) {
                    Ok(Header { lineage: id }) if number == 1 && is_lineage_id(&id) => lineage.id = Some(id),
                    _ => lineage.damaged_lines.push(number),
                },
            }
        }
        let oldest = lineage.records.first();
        lineage.id = lineage.id.or_else(|| oldest.map(|oldest| short_id(&Sha256::of(&render_line(oldest)))));
        lineage.remove_superseded();
        lineage
    }

    /// Of several records for one item, keeps the last.
    fn remove_superseded(&mut self) {
        let mut seen: HashSet<&ItemId> = HashSet::with_capacity(self.records.len());
        let mut last: Vec<bool> = self.records.iter().rev().map(|record| seen.insert(&record.item)).collect();
        if last.iter().all(|last| *last) {
            return;
        }
        drop(seen);
        self.records.retain(|_| last.pop().unwrap_or(true));
    }

    /// The records of the items that live mode needs.
    pub fn current(&self) -> impl Iterator<Item = &LiveRecord> {
        self.records.iter().filter(|record| !record.retired)
    }

    /// The records of items that live mode added and no longer needs.
    pub fn retired(&self) -> impl Iterator<Item = &LiveRecord> {
        self.records.iter().filter(|record| record.retired)
    }

    /// Adds to a transaction that the file is replaced by one with these records, without those of `dropped` items.
    pub(in crate::mirror) fn stage(
        &self,
        layout: &Layout,
        tx: &mut Transaction<'_>,
        dropped: &HashSet<ItemId>,
    ) -> Result<(), Error> {
        let path = layout.live_records();
        let Some(id) = &self.id else { return tx.delete(&path) };
        let kept = self.records.iter().filter(|record| !dropped.contains(&record.item));
        let text: Vec<u8> = render_header(id).into_iter().chain(kept.flat_map(render_line)).collect();
        tx.put_bytes(&path, &text)
    }
}

/// The length of the text up to its last line end.
fn complete_lines_length(text: &[u8]) -> usize {
    text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

fn is_lineage_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn render_header(id: &str) -> Vec<u8> {
    render_line(&Header { lineage: id.to_owned() })
}

fn render_line(content: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(content).expect("plain fields are JSON");
    line.push(b'\n');
    line
}

/// Adds to a transaction that `records` are appended. An incomplete last line of the file is dropped. A new lineage gets
/// an id.
pub(super) fn stage_append(layout: &Layout, tx: &mut Transaction<'_>, records: &[LiveRecord]) -> Result<(), Error> {
    if records.is_empty() {
        return Ok(());
    }
    let path = layout.live_records();
    let length = complete_length(&path).map_err(failed("read", &path))?;
    let mut text = match length {
        0 => render_header(&random::hex(16).map_err(failed("make an id for", &path))?),
        _ => Vec::new(),
    };
    text.extend(records.iter().flat_map(render_line));
    tx.append(&path, length, &text)
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

    /// The new records since the last read, also of retired items, or all if the file was rewritten meanwhile.
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
        Ok(LiveLineage::parse(&text).records)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::guard::WriteGuard;
    use crate::mirror::summary::LiveTotals;

    const ID: &str = "0123456789abcdef0123456789abcdef";

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
            retired: false,
        }
    }

    fn retired(record: &LiveRecord) -> LiveRecord {
        LiveRecord { retired: true, ..record.clone() }
    }

    /// Appends records to those of a mirror.
    fn append(layout: &Layout, records: &[LiveRecord]) {
        let guard = WriteGuard::for_test(layout);
        let mut tx = Transaction::begin(&guard, "a test").expect("staging");
        stage_append(layout, &mut tx, records).expect("staged");
        tx.commit().expect("written");
    }

    fn records(layout: &Layout) -> Vec<LiveRecord> {
        LiveLineage::read(layout).expect("read").records
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
        fs::write(&path, [&two[..], &render_line(&all[2])[..20]].concat()).expect("torn");
        let lineage = LiveLineage::read(&layout).expect("read");
        assert_eq!((&lineage.records[..], lineage.damaged_lines.len()), (&all[..2], 0));
        append(&layout, &all[2..]);
        assert_eq!(records(&layout), all);
        // A torn first line has no id yet.
        fs::write(&path, &two[..20]).expect("torn");
        assert_eq!(LiveLineage::read(&layout).expect("read").id, None);
        append(&layout, &all[..1]);
        let lineage = LiveLineage::read(&layout).expect("read");
        assert!(lineage.id.is_some() && lineage.damaged_lines.is_empty());
        assert_eq!(lineage.records, all[..1]);
    }

    #[test]
    fn the_later_record_wins_and_damage_stays_local() {
        let (old, new, other) = (record("a", 1), record("a", 5), record("b", 1));
        let (gone, back) = (record("c", 1), record("d", 1));
        let lines = [&old, &gone, &retired(&back), &other, &new, &retired(&gone), &back].map(render_line);
        let text = [render_header(ID), b"{\"name\":\"c\"}\n".to_vec(), lines.concat()].concat();
        let lineage = LiveLineage::parse(&text);
        assert_eq!(lineage.current().cloned().collect::<Vec<_>>(), [other, new, back]);
        assert_eq!(lineage.retired().cloned().collect::<Vec<_>>(), [retired(&gone)]);
        assert_eq!((lineage.id.as_deref(), lineage.damaged_lines), (Some(ID), vec![2]));
    }

    #[test]
    fn a_lost_id_follows_from_the_first_record() {
        let lines = [record("a", 1), record("b", 1), record("a", 5)].map(|one| render_line(&one)).concat();
        let derived = LiveLineage::parse(&lines).id.expect("derived");
        assert!(is_lineage_id(&derived), "{derived}");
        for damaged in ["{\"lineage\":\"short\"}\n", "?\n"] {
            let lineage = LiveLineage::parse(&[damaged.as_bytes(), &lines].concat());
            assert_eq!((lineage.id.as_ref(), lineage.damaged_lines), (Some(&derived), vec![1]));
        }
        // The id is only in the first line.
        let lineage = LiveLineage::parse(&[lines, render_header(ID)].concat());
        assert_eq!((lineage.id, lineage.damaged_lines), (Some(derived), vec![4]));
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
        torn.extend(&render_line(&all[2])[..9]);
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
    fn a_rewritten_file_keeps_its_id_and_totals_follow() {
        let (_folder, layout) = temporary_mirror();
        let rewrite = |records: &[LiveRecord], dropped: &[&LiveRecord]| {
            let lineage = LiveLineage { records: records.to_vec(), ..LiveLineage::read(&layout).expect("read") };
            let guard = WriteGuard::for_test(&layout);
            let mut tx = Transaction::begin(&guard, "a test").expect("staging");
            let dropped = dropped.iter().map(|record| record.item.clone()).collect();
            lineage.stage(&layout, &mut tx, &dropped).expect("staged");
            tx.commit().expect("written");
        };
        assert_eq!(LiveTotals::read(&layout).expect("none"), LiveTotals::default());
        assert_eq!(LiveLineage::read(&layout).expect("none").id, None);
        let all = [record("a", 1), record("rustup/archive/1/x", 2), record("b", 3)];
        append(&layout, &all);
        assert_eq!(LiveTotals::read(&layout).expect("counted"), LiveTotals { crates: 2, dist_files: 1, bytes: 30 });
        let id = LiveLineage::read(&layout).expect("read").id.expect("made");
        let after = [retired(&all[0]), all[1].clone(), retired(&all[2])];
        rewrite(&after, &[&all[2]]);
        assert_eq!(records(&layout), after[..2]);
        assert_eq!(LiveTotals::read(&layout).expect("written"), LiveTotals { crates: 0, dist_files: 1, bytes: 10 });
        append(&layout, &all[..1]);
        assert_eq!(records(&layout), [all[1].clone(), all[0].clone()], "it is current again");
        rewrite(&[], &[]);
        let lineage = LiveLineage::read(&layout).expect("read");
        assert_eq!((lineage.id, lineage.records), (Some(id), Vec::new()));
        assert_eq!(LiveTotals::read(&layout).expect("written"), LiveTotals::default());
    }
}
