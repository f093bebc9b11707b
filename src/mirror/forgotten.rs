//! Lineages that were let go: each a note in the ledger that says after which import its records stopped to count.
//!
//! A note is called `NNNNNNNN-LINEAGE.forgotten`, with the number of the newest record at that time. Records stay as
//! they are; whoever reads the ledger leaves out what a note covers. A bundle of the lineage that is imported later gets
//! a record with a higher number, and the lineage counts again from there.
//!
//! A note `NNNNNNNN-LINEAGE-KKKKKKKK.accepted` does the same, save that the record of number K goes on to count: the bundle
//! that was accepted as the lineage's newest.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use super::head::LineageHead;
use super::layout::Layout;
use super::ledger;
use super::store::{Error, failed};
use crate::durable;

/// A lineage, and the number of the newest record when it was let go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Records up to this number are covered.
    pub after: u64,
    /// The lineage.
    pub lineage: String,
    /// The number of the record that counts nevertheless, where a bundle was accepted as the newest.
    pub accepted: Option<u64>,
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
    notes.iter().any(|note| note.lineage == lineage && number <= note.after && note.accepted != Some(number))
}

impl Note {
    fn parse(name: &str) -> Option<Note> {
        let (stem, accepted) = match name.strip_suffix(".accepted") {
            Some(stem) => {
                let (stem, accepted) = stem.rsplit_once('-')?;
                (stem, Some(accepted.parse().ok()?))
            }
            None => (name.strip_suffix(".forgotten")?, None),
        };
        let (after, lineage) = stem.split_once('-')?;
        let lineage = Some(lineage).filter(|lineage| !lineage.is_empty())?.to_owned();
        Some(Note { after: after.parse().ok()?, lineage, accepted })
    }

    /// Writes the note of a lineage, by way of staging, which must have begun. Durable when it returns: the lineage is
    /// let go by then.
    pub(super) fn write(layout: &Layout, after: u64, newest: &LineageHead, forgotten: &str) -> Result<(), Error> {
        Note::write_as(layout, &format!("{after:08}-{}.forgotten", newest.id), newest, forgotten)
    }

    /// Writes the note of a lineage whose newest bundle was accepted, as [`Note::write`] does. A record whose name has no
    /// number is none of the ledger's, and gets no note.
    pub(super) fn accept(layout: &Layout, after: u64, newest: &LineageHead, now: &str) -> Result<(), Error> {
        match ledger::sequence_of(&newest.record) {
            Some(number) => {
                Note::write_as(layout, &format!("{after:08}-{}-{number:08}.accepted", newest.id), newest, now)
            }
            None => Ok(()),
        }
    }

    fn write_as(layout: &Layout, name: &str, newest: &LineageHead, forgotten: &str) -> Result<(), Error> {
        let path = layout.ledger().join(name);
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
            jumped_from: None,
            inputs: Vec::new(),
            more_inputs: 0,
        };
        fs::create_dir_all(layout.staging()).expect("staging");
        Note::write(&layout, 7, &newest, "2026-01-01T00:00:00Z").expect("written");
        let notes = notes(&layout).expect("one");
        assert_eq!(notes, [Note { after: 7, lineage: "ab".to_owned(), accepted: None }]);
        assert!(covers(&notes, 7, "ab") && !covers(&notes, 8, "ab") && !covers(&notes, 1, "cd"));
    }

    #[test]
    fn a_note_of_an_accepted_bundle_leaves_out_its_record() {
        let note = Note { after: 7, lineage: "ab".to_owned(), accepted: Some(5) };
        assert_eq!(Note::parse("00000007-ab-00000005.accepted"), Some(note.clone()));
        for name in ["00000007-00000005.accepted", "00000007-ab.accepted", "00000007--00000005.accepted"] {
            assert_eq!(Note::parse(name), None, "{name}");
        }
        let notes = [note];
        let covered: Vec<u64> = (3..9).filter(|number| covers(&notes, *number, "ab")).collect();
        assert_eq!(covered, [3, 4, 6, 7]);
    }
}
