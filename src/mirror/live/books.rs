//! Live mode's records: what it brought, what of that was let go, and how much it is.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::{Figures, Record, What};
use crate::bundle::format::short_id;
use crate::digest::Sha256;
use crate::durable;
use crate::mirror::layout::Layout;
use crate::mirror::store::{Error, failed};

/// What a file of records says.
#[derive(Debug, Default)]
pub(in crate::mirror) struct Book {
    /// The records, the oldest first; of several for one thing the last.
    pub(in crate::mirror) records: Vec<Record>,
    /// The numbers of lines that are no record, from 1. A last one that was not written whole is none of them.
    pub(in crate::mirror) damaged: Vec<usize>,
}

impl Book {
    /// Reads the file at `path`; one that is not there has no records.
    pub(in crate::mirror) fn read(path: &Path) -> Result<Book, Error> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => Vec::new(),
            Err(source) => return Err(failed("read", path)(source)),
        };
        Ok(Book::parse(&text))
    }

    fn parse(text: &[u8]) -> Book {
        let whole = &text[..whole_length(text)];
        let mut book = Book::default();
        for (number, line) in (1..).zip(whole.split(|byte| *byte == b'\n')).filter(|(_, line)| !line.is_empty()) {
            match serde_json::from_slice::<Record>(line) {
                Ok(record) => book.records.push(record),
                Err(_) => book.damaged.push(number),
            }
        }
        let mut seen: HashSet<&What> = HashSet::with_capacity(book.records.len());
        let mut last: Vec<bool> = book.records.iter().rev().map(|record| seen.insert(&record.what)).collect();
        if last.iter().all(|last| *last) {
            return book;
        }
        drop(seen);
        book.records.retain(|_| last.pop().unwrap_or(true));
        book
    }
}

/// The length of what ends with a line's end.
fn whole_length(text: &[u8]) -> usize {
    text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

/// What live mode brought and is current, the oldest first.
///
/// # Errors
/// The file system's.
pub fn records(layout: &Layout) -> Result<Vec<Record>, Error> {
    Ok(Book::read(&layout.live_records())?.records)
}

/// Follows the records: what is new since the last look, without reading the rest again.
#[derive(Debug, Default)]
pub struct Follower {
    /// The length of the file at the last look, and of its whole lines then.
    seen: u64,
    whole: u64,
    /// The last bytes of these, by which a file that was written anew is known.
    end: Vec<u8>,
}

/// Bytes by which a file is known again: they have a digest or two times in them.
const END: usize = 128;

impl Follower {
    /// Whether there is something to read, in constant time.
    pub fn is_behind(&self, layout: &Layout) -> bool {
        fs::metadata(layout.live_records()).map_or(0, |about| about.len()) != self.seen
    }

    /// What is new since the last look, or all where the file was written anew meanwhile.
    ///
    /// # Errors
    /// The file system's.
    pub fn news(&mut self, layout: &Layout) -> Result<Vec<Record>, Error> {
        let path = layout.live_records();
        let mut read = || -> io::Result<Vec<u8>> {
            let mut file = match File::open(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => {
                    *self = Follower::default();
                    return Ok(Vec::new());
                }
                file => file?,
            };
            let mut text = Vec::new();
            file.seek(SeekFrom::Start(self.whole - self.end.len() as u64))?;
            file.read_to_end(&mut text)?;
            if text.starts_with(&self.end) {
                text.drain(..self.end.len());
            } else {
                *self = Follower::default();
                text.clear();
                file.rewind()?;
                file.read_to_end(&mut text)?;
            }
            self.seen = self.whole + text.len() as u64;
            text.truncate(whole_length(&text));
            self.whole += text.len() as u64;
            self.end.extend_from_slice(&text[text.len().saturating_sub(END)..]);
            self.end.drain(..self.end.len().saturating_sub(END));
            Ok(text)
        };
        let text = read().map_err(|error| {
            // It is read again when it has changed.
            self.seen = fs::metadata(&path).map_or(0, |about| about.len());
            failed("read", &path)(error)
        })?;
        Ok(Book::parse(&text).records)
    }
}

/// What live mode brought and was let go, where its file may still be there.
///
/// # Errors
/// The file system's.
pub fn forgotten(layout: &Layout) -> Result<Vec<Record>, Error> {
    Ok(Book::read(&layout.live_forgotten())?.records)
}

/// How much live mode brought: in constant time, unless that number was lost.
///
/// # Errors
/// The file system's.
pub fn figures(layout: &Layout) -> Result<Figures, Error> {
    let path = layout.live_counts();
    let known = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).ok(),
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => None,
        Err(source) => return Err(failed("read", &path)(source)),
    };
    match known {
        Some(known) => Ok(known),
        None => Ok(figures_of(&records(layout)?)),
    }
}

/// How much these are.
pub(in crate::mirror) fn figures_of<'r>(records: impl IntoIterator<Item = &'r Record>) -> Figures {
    let mut figures = Figures::default();
    for record in records {
        match record.what {
            What::Crate(_) => figures.crates += 1,
            What::Artifact(_) => figures.artifacts += 1,
        }
        figures.bytes = figures.bytes.saturating_add(record.size);
    }
    figures
}

/// The lineage under which a snapshot carries what live mode brought; `None` where it never brought anything. Where the id
/// was lost, it follows from the oldest record.
///
/// # Errors
/// The file system's.
pub fn id(layout: &Layout) -> Result<Option<String>, Error> {
    let path = layout.live_id();
    match fs::read_to_string(&path) {
        Ok(text) if is_id(text.trim()) => return Ok(Some(text.trim().to_owned())),
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
    Ok(records(layout)?.first().map(|oldest| short_id(&Sha256::of(&line(oldest)))))
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn line(record: &Record) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).expect("plain fields are JSON");
    line.push(b'\n');
    line
}

/// Appends `records` to the file at `path`, without making them durable. Returns the length that the file had, up to the
/// end of its last whole line.
pub(in crate::mirror) fn append(path: &Path, records: &[Record]) -> Result<u64, Error> {
    let lines: Vec<u8> = records.iter().flat_map(line).collect();
    let appended = || -> io::Result<u64> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let length = ended(&mut file)?;
        file.write_all(&lines)?;
        Ok(length)
    };
    appended().map_err(failed("write", path))
}

/// Cuts off a last line that was not written whole. Returns the length that is left.
fn ended(file: &mut File) -> io::Result<u64> {
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
    let whole = whole_length(&text) as u64;
    file.set_len(whole)?;
    Ok(whole)
}

/// Takes back what was appended to the file at `path`, which had this length.
pub(in crate::mirror) fn cut(path: &Path, length: u64) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).open(path);
    file.and_then(|file| file.set_len(length)).map_err(failed("take back", path))
}

/// Moves what `goes` names from the records to the forgotten ones, by way of staging, which must have begun. Durable when
/// it returns; killed in between, the thing is in both, and still current.
pub(in crate::mirror) fn forget(layout: &Layout, goes: &dyn Fn(&What) -> bool) -> Result<(), Error> {
    let (gone, kept): (Vec<Record>, Vec<Record>) = records(layout)?.into_iter().partition(|record| goes(&record.what));
    if gone.is_empty() {
        return Ok(());
    }
    let path = layout.live_forgotten();
    append(&path, &gone)?;
    File::open(&path).and_then(|file| file.sync_all()).map_err(failed("sync", &path))?;
    durable::sync_folder(&layout.live()).map_err(failed("sync", &layout.live()))?;
    // Killed from here on, the numbers are taken from the records.
    let counts = layout.live_counts();
    match fs::remove_file(&counts) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &counts)(e)),
        _ => {}
    }
    write(layout, &layout.live_records(), &kept)?;
    write_figures(layout, figures_of(&kept))
}

/// Makes `records` the forgotten ones.
pub(in crate::mirror) fn write_forgotten(layout: &Layout, records: &[Record]) -> Result<(), Error> {
    write(layout, &layout.live_forgotten(), records)
}

/// Makes `records` all that the file at `path` says; without any the file goes.
pub(super) fn write(layout: &Layout, path: &Path, records: &[Record]) -> Result<(), Error> {
    if records.is_empty() {
        return match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(e)),
            _ => durable::sync_folder(&layout.live()).map_err(failed("sync", &layout.live())),
        };
    }
    let lines: Vec<u8> = records.iter().flat_map(line).collect();
    durable::write_by(&layout.staging(), path, &lines).map_err(failed("write", path))
}

/// Makes the records anew without lines that are none, and their numbers, where these are not right; by way of staging,
/// which must have begun. Returns whether anything was wrong.
pub(in crate::mirror) fn mend(layout: &Layout) -> Result<bool, Error> {
    let book = Book::read(&layout.live_records())?;
    let (found, said) = (figures_of(&book.records), fs::read(layout.live_counts()).ok());
    let is_right = said.map_or(book.records.is_empty(), |said| said == render(found));
    if !book.damaged.is_empty() {
        write(layout, &layout.live_records(), &book.records)?;
    }
    if !is_right {
        write_figures(layout, found)?;
    }
    Ok(!is_right || !book.damaged.is_empty())
}

/// Writes how much the records are.
pub(in crate::mirror) fn write_figures(layout: &Layout, figures: Figures) -> Result<(), Error> {
    let path = layout.live_counts();
    durable::write_by(&layout.staging(), &path, &render(figures)).map_err(failed("write", &path))
}

/// The text of live/counts.
pub(super) fn render(figures: Figures) -> Vec<u8> {
    serde_json::to_vec(&figures).expect("plain numbers are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crate_id::CrateId;
    use jiff::Timestamp;

    fn record(name: &str, second: i64) -> Record {
        let time = Timestamp::from_second(second).expect("time");
        Record {
            what: match name.contains('/') {
                true => What::Artifact(name.parse().expect("path")),
                false => What::Crate(CrateId::parse(name, "1.0.0+b").expect("crate")),
            },
            sha256: Sha256::of(name.as_bytes()),
            size: 10,
            placed: time,
            read: time,
            description: (second > 1).then(|| "what\nit is".to_owned()),
            license: None,
            repository: None,
        }
    }

    #[test]
    fn a_torn_last_line_is_none_and_is_cut_off_by_the_next() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("records");
        let all = [record("a", 1), record("dist/2026-01-01/x", 2), record("b", 3)];
        assert_eq!(append(&path, &all[..2]).expect("written"), 0);
        let two = fs::read(&path).expect("read");
        fs::write(&path, [&two[..], &line(&all[2])[..20]].concat()).expect("torn");
        let book = Book::read(&path).expect("read");
        assert_eq!((&book.records[..], book.damaged.len()), (&all[..2], 0));
        assert_eq!(append(&path, &all[2..]).expect("written"), two.len() as u64);
        assert_eq!(Book::read(&path).expect("read").records, all);
        cut(&path, two.len() as u64).expect("cut");
        assert_eq!(fs::read(&path).expect("read"), two);
    }

    #[test]
    fn of_two_records_the_later_counts_and_damage_harms_no_neighbour() {
        let (old, new, other) = (record("a", 1), record("a", 5), record("b", 1));
        let text = [line(&old), b"{\"name\":\"c\"}\n".to_vec(), line(&other), line(&new)].concat();
        let book = Book::parse(&text);
        assert_eq!((book.records, book.damaged), (vec![other, new], vec![2]));
    }

    #[test]
    fn who_follows_reads_each_record_once() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        fs::create_dir_all(layout.live()).expect("folder");
        let mut follower = Follower::default();
        let path = layout.live_records();
        let names = |records: Vec<Record>| records.iter().map(|one| one.what.to_string()).collect::<Vec<_>>();
        assert!(!follower.is_behind(&layout));
        let all: Vec<Record> = ["a", "b", "c", "d"].iter().map(|name| record(name, 1)).collect();
        append(&path, &all[..2]).expect("written");
        assert!(follower.is_behind(&layout));
        assert_eq!(names(follower.news(&layout).expect("read")), ["a 1.0.0+b", "b 1.0.0+b"]);
        assert!(!follower.is_behind(&layout));
        let mut torn = fs::read(&path).expect("read");
        torn.extend(&line(&all[2])[..9]);
        fs::write(&path, &torn).expect("torn");
        assert_eq!(names(follower.news(&layout).expect("read")), [""; 0]);
        assert!(!follower.is_behind(&layout), "nobody reads a torn line over and over");
        append(&path, &all[2..3]).expect("written");
        assert_eq!(names(follower.news(&layout).expect("read")), ["c 1.0.0+b"]);
        // Written anew, and longer by now than it was.
        fs::remove_file(&path).expect("removed");
        let anew = [record("a-longer-name", 1), record("x", 2), record("y", 2), record("z", 2)];
        append(&path, &anew).expect("written");
        assert_eq!(follower.news(&layout).expect("read"), anew);
        fs::remove_file(&path).expect("removed");
        assert!(follower.is_behind(&layout));
        assert_eq!(follower.news(&layout).expect("read"), []);
        assert!(!follower.is_behind(&layout));
    }

    #[test]
    fn what_is_let_go_is_forgotten_and_the_numbers_follow() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        for folder in [layout.live(), layout.staging()] {
            fs::create_dir_all(folder).expect("folder");
        }
        assert_eq!((figures(&layout).expect("none"), id(&layout).expect("none")), (Figures::default(), None));
        let all = [record("a", 1), record("rustup/archive/1/x", 2), record("b", 3)];
        append(&layout.live_records(), &all).expect("written");
        assert_eq!(figures(&layout).expect("counted"), Figures { crates: 2, artifacts: 1, bytes: 30 });
        let derived = id(&layout).expect("read").expect("follows from the records");
        assert!(is_id(&derived), "{derived}");
        forget(&layout, &|what| *what == all[0].what).expect("forgotten");
        assert_eq!(
            (records(&layout).expect("read"), forgotten(&layout).expect("read")),
            (all[1..].to_vec(), all[..1].to_vec())
        );
        assert_eq!(figures(&layout).expect("written"), Figures { crates: 1, artifacts: 1, bytes: 20 });
        forget(&layout, &|_| true).expect("forgotten");
        assert_eq!(figures(&layout).expect("written"), Figures::default());
        assert!(!layout.live_records().exists());
        fs::write(layout.live_id(), "0123456789abcdef0123456789abcdef\n").expect("write");
        assert_eq!(id(&layout).expect("read").as_deref(), Some("0123456789abcdef0123456789abcdef"));
    }
}
