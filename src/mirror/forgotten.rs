//! Lineages that were let go: each a note in the ledger that says after which import its records stopped to count.
//!
//! A note is called `NNNNNNNN-LINEAGE.forgotten`, with the number of the newest record at that time. Records stay as
//! they are; whoever reads the ledger leaves out what a note covers. A bundle of the lineage that is imported later gets
//! a record with a higher number, and the lineage counts again from there.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use super::head::LineageHead;
use super::layout::Layout;
use super::store::{Error, failed};
use crate::durable;

/// A lineage, and the number of the newest record when it was let go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Records up to this number are covered.
    pub after: u64,
    /// The lineage.
    pub lineage: String,
}

/// What a note's file says, for people: the name alone decides.
#[derive(Serialize, Deserialize)]
struct Text {
    forgotten: String,
    newest: LineageHead,
}

/// Every note of the ledger, the oldest first.
///
/// # Errors
/// The file system's.
pub fn notes(layout: &Layout) -> Result<Vec<Note>, Error> {
    let folder = layout.ledger();
    let entries = match fs::read_dir(&folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => {
            return Ok(Vec::new());
        }
        entries => entries.map_err(failed("list", &folder))?,
    };
    let mut notes = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed("list", &folder))?.file_name();
        notes.extend(name.to_str().and_then(Note::parse));
    }
    notes.sort_unstable();
    Ok(notes)
}

/// Whether a note says that the record with this number, which is of `lineage`, does not count.
pub fn covers(notes: &[Note], number: u64, lineage: &str) -> bool {
    notes.iter().any(|note| note.lineage == lineage && number <= note.after)
}

impl Note {
    fn parse(name: &str) -> Option<Note> {
        let (after, lineage) = name.strip_suffix(".forgotten")?.split_once('-')?;
        let lineage = Some(lineage).filter(|lineage| !lineage.is_empty())?.to_owned();
        Some(Note { after: after.parse().ok()?, lineage })
    }

    /// Writes the note of a lineage, by way of staging, which must have begun. Durable when it returns: the lineage is
    /// let go by then.
    pub(super) fn write(layout: &Layout, after: u64, newest: &LineageHead, forgotten: &str) -> Result<(), Error> {
        let path = layout.ledger().join(format!("{after:08}-{}.forgotten", newest.id));
        let text = Text { forgotten: forgotten.to_owned(), newest: newest.clone() };
        let text = serde_json::to_vec(&text).expect("plain fields are JSON");
        durable::write_by(&layout.staging(), &path, &text).map_err(failed("write", &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_covers_the_records_that_were_there() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        assert_eq!(notes(&layout).expect("none"), []);
        fs::create_dir_all(layout.ledger()).expect("folder");
        for name in ["00000001-ab.json", ".part-x", "x-ab.forgotten", "00000001-.forgotten"] {
            fs::write(layout.ledger().join(name), "{}").expect("write");
        }
        let newest = LineageHead {
            id: "ab".to_owned(),
            sequence: 3,
            bundle: "b".to_owned(),
            created: String::new(),
            record: String::new(),
        };
        fs::create_dir_all(layout.staging()).expect("staging");
        Note::write(&layout, 7, &newest, "2026-01-01T00:00:00Z").expect("written");
        let notes = notes(&layout).expect("one");
        assert_eq!(notes, [Note { after: 7, lineage: "ab".to_owned() }]);
        assert!(covers(&notes, 7, "ab") && !covers(&notes, 8, "ab") && !covers(&notes, 1, "cd"));
    }
}
