//! What the mirror's index lists, held against the records of its lines and the files of its crates.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::Timestamp;

use super::{Error, entry_path};
use crate::artifact::{Artifact, Bytes, Kind};
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::index_line::IndexLine;
use crate::mirror::head::each_file;
use crate::mirror::import::Problems;
use crate::mirror::layout::Layout;
use crate::mirror::lines::{self, LineRecord};
use crate::mirror::store::{self, failed};
use crate::safe_path::SafePath;

/// What the index lists.
pub(super) struct Held {
    pub(super) crates: BTreeMap<CrateId, Line>,
    /// Crates and index files.
    pub(super) files: Vec<(Artifact, Bytes)>,
}

/// A line of the index.
pub(super) struct Line {
    pub(super) cksum: Sha256,
    pub(super) yanked: bool,
    /// When it was read; the epoch where nobody knows.
    pub(super) read: Timestamp,
    /// Bytes of the crate's file, where it is there.
    pub(super) size: Option<u64>,
}

impl Held {
    pub(super) fn read(layout: &Layout) -> Result<Held, Error> {
        let mut places = Vec::new();
        each_file(&layout.index(), 3, &mut |path| {
            if path.parent() != Some(&layout.index()) {
                places.push(path.to_owned());
            }
            Ok(())
        })?;
        places.sort();
        let mut held = Held { crates: BTreeMap::new(), files: Vec::new() };
        let mut problems: Vec<String> = Vec::new();
        for path in places {
            held.index_file(layout, &path, &mut problems)?;
        }
        if !problems.is_empty() {
            return Err(Error::Damaged { root: layout.root().to_owned(), problems: Problems::of(&problems) });
        }
        if held.crates.is_empty() {
            return Err(Error::Empty { root: layout.root().to_owned() });
        }
        Ok(held)
    }

    fn index_file(&mut self, layout: &Layout, path: &Path, problems: &mut Vec<String>) -> Result<(), Error> {
        let shown = path.strip_prefix(layout.root()).unwrap_or(path).display();
        let bytes = fs::read(path).map_err(failed("read", path))?;
        let text = String::from_utf8_lossy(&bytes);
        let mut recorded: Option<Vec<LineRecord>> = None;
        let mut place: Option<SafePath> = None;
        for (number, raw) in (1..).zip(text.lines()) {
            let mut problem = |what: String| problems.push(format!("{shown}: line {number} {what}"));
            let line = match IndexLine::parse(raw) {
                Ok(line) if layout.index_file(&line.id.name) == path => line,
                Ok(line) => {
                    problem(format!("is of {}, which does not belong there", line.id));
                    continue;
                }
                Err(error) => {
                    problem(format!("cannot be read: {error}"));
                    continue;
                }
            };
            place.get_or_insert_with(|| entry_path(&format!("index/{}", line.id.name.index_path())));
            let records = match &mut recorded {
                Some(records) => records,
                none => none.insert(read_records(&layout.line_records(&line.id.name))?),
            };
            let digest = Sha256::of(raw.as_bytes());
            let mut of_version = records.iter().filter(|record| record.version == line.id.version).peekable();
            let unknown = of_version.peek().is_none();
            let record = of_version.filter(|record| record.line == digest).max_by_key(|record| record.read);
            if record.is_none() && !unknown {
                problem(format!("({}) is not what was recorded of it", line.id));
                continue;
            }
            let Some(size) = self.crate_file(layout, &line, record.is_some_and(|r| r.index_only), problems)? else {
                continue;
            };
            // Nobody knows when: before all others.
            let read = record.map_or(Timestamp::UNIX_EPOCH, |record| record.read.max(Timestamp::UNIX_EPOCH));
            let held = Line { cksum: line.cksum, yanked: line.yanked, read, size };
            if self.crates.insert(line.id.clone(), held).is_some() {
                problems.push(format!("{shown}: line {number} is of {}, which has one already", line.id));
            }
        }
        match place {
            Some(place) => self.files.push(index_entry(place, path, &text)),
            None => problems.push(format!("{shown}: has no line of a crate")),
        }
        Ok(())
    }

    /// Takes the line's crate along, and gives the size of its file; of one that was left out there is none. The outer
    /// `None`: there is a problem.
    fn crate_file(
        &mut self,
        layout: &Layout,
        line: &IndexLine,
        index_only: bool,
        problems: &mut Vec<String>,
    ) -> Result<Option<Option<u64>>, Error> {
        let path = layout.crate_file(&line.id);
        let size = match path.symlink_metadata() {
            Ok(about) if about.is_file() => about.len(),
            Ok(_) => {
                problems.push(format!("crates/{}: not a file", line.id.file_name()));
                return Ok(None);
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                if index_only {
                    return Ok(Some(None));
                }
                problems.push(format!("crates/{}: not there, and the index names it", line.id.file_name()));
                return Ok(None);
            }
            Err(source) => return Err(failed("read", &path)(source).into()),
        };
        let artifact = Artifact { path: line.id.crate_path(), size, sha256: line.cksum, kind: Kind::Crate };
        self.files.push((artifact, Bytes::File(path)));
        Ok(Some(Some(size)))
    }
}

fn read_records(path: &Path) -> Result<Vec<LineRecord>, store::Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(lines::parse(&String::from_utf8_lossy(&bytes))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(failed("read", path)(source)),
    }
}

/// An index file that goes along, read again from disk while it is packed, or as lines where it is not in their form.
fn index_entry(place: SafePath, file: &Path, text: &str) -> (Artifact, Bytes) {
    let lines: String = text.lines().flat_map(|line| [line, "\n"]).collect();
    let artifact =
        Artifact { path: place, size: lines.len() as u64, sha256: Sha256::of(lines.as_bytes()), kind: Kind::Index };
    let bytes = if lines == text { Bytes::File(file.to_owned()) } else { Bytes::Memory(lines.into_bytes()) };
    (artifact, bytes)
}
