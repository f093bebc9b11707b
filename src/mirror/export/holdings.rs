//! Which crates the index names, and whether each line is the one on record.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use super::{Error, go_on, missing};
use crate::crate_id::{CrateId, Version};
use crate::digest::Sha256;
use crate::event::Sink;
use crate::index_line::IndexLine;
use crate::mirror::head::each_file;
use crate::mirror::layout::Layout;
use crate::mirror::lines;
use crate::mirror::store::failed;

/// A crate that the mirror holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Held {
    /// Its name and version.
    pub(super) id: CrateId,
    /// The digest that its file must have.
    pub(super) cksum: Sha256,
}

/// What the index names.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// Crates whose files are there, by name and version; yanked ones too.
    pub(super) crates: Vec<Held>,
    /// Lines whose crates a platform filter left out.
    pub(super) index_only: u64,
}

impl Holdings {
    /// Reads the whole index, holds every line against its record, and hands each file on, with its path below the
    /// index's root. The files of the crates are only looked for.
    pub(super) fn read(
        layout: &Layout,
        sink: &dyn Sink,
        each: &mut dyn FnMut(&Path, &str) -> Result<(), Error>,
    ) -> Result<Holdings, Error> {
        let root = layout.index();
        let mut files = Vec::new();
        each_file(&root, 3, &mut |path| {
            if path.parent() != Some(&root) {
                files.push(path.to_owned());
            }
            Ok(())
        })?;
        files.sort_unstable();
        let mut holdings = Holdings::default();
        for path in files {
            go_on(sink)?;
            let place = path.strip_prefix(&root).unwrap_or(&path);
            let text = holdings.one_file(layout, &path, place)?;
            each(place, &text)?;
        }
        holdings.crates.sort_unstable();
        Ok(holdings)
    }

    fn one_file(&mut self, layout: &Layout, path: &Path, place: &Path) -> Result<String, Error> {
        let rotten = |fault: String| Error::Rotten { path: format!("index/{}", place.display()), fault };
        let bytes = fs::read(path).map_err(failed("read", path))?;
        let text = String::from_utf8(bytes).map_err(|_| rotten("is no text".to_owned()))?;
        let of_records = layout.lines().join(place);
        // A record that was lost is a matter of the audit; the lines and the crates still vouch for each other.
        let records = lines::parse(&fs::read_to_string(of_records).unwrap_or_default());
        let mut seen: HashSet<Version> = HashSet::new();
        for (at, raw) in text.lines().enumerate().filter(|(_, raw)| !raw.is_empty()) {
            let number = at + 1;
            let line = IndexLine::parse(raw).map_err(|why| rotten(format!("is damaged at line {number}: {why}")))?;
            let IndexLine { id, cksum, .. } = line;
            if layout.index_file(&id.name) != path {
                return Err(rotten(format!("has a line of {id}, which does not belong there")));
            }
            if !seen.insert(id.version.clone()) {
                return Err(rotten(format!("has two lines of {id}")));
            }
            let digest = Sha256::of(raw.as_bytes());
            let mut recorded = records.iter().filter(|record| record.version == id.version).peekable();
            let known = recorded.peek().is_some();
            let record = recorded.find(|record| record.line == digest && record.cksum == cksum);
            if known && record.is_none() {
                return Err(rotten(format!("has another line of {id} than the one on record")));
            }
            let held = Held { id, cksum };
            if layout.crate_file(&held.id).is_file() {
                self.crates.push(held);
            } else if record.is_some_and(|record| record.index_only) {
                self.index_only += 1;
            } else {
                return Err(missing(&held));
            }
        }
        if let Some(lost) = records.iter().find(|record| !seen.contains(&record.version)) {
            return Err(rotten(format!("has no line of version {}, which is on record", lost.version)));
        }
        Ok(text)
    }
}
