//! The records of rejected snapshots that a collection removes.

use std::collections::BTreeSet;

use super::error::Error;
use crate::mirror::layout::Layout;
use crate::mirror::ledger::RecordRef;
use crate::mirror::retired::{self, Scope};

/// The records to remove.
#[derive(Debug, Default)]
pub(super) struct DroppedRecords {
    /// Ranges of adjacent numbers, each with the id and the file of its snapshot.
    pub(super) ranges: Vec<DroppedRange>,
    /// The names of the records.
    pub(super) records: BTreeSet<String>,
    /// The newest record of those that stay.
    pub(super) newest: Option<RecordRef>,
    /// The time of the last import of those that stay.
    pub(super) last_import: Option<String>,
}

/// Adjacent records of a rejected snapshot.
#[derive(Debug)]
pub(super) struct DroppedRange {
    pub(super) snapshot: String,
    pub(super) file: String,
    /// The number of the first record.
    pub(super) first: u64,
    /// The number of the last record.
    pub(super) last: u64,
}

impl DroppedRecords {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether the record with this number is one of them.
    pub(super) fn has(&self, number: u64) -> bool {
        self.ranges.iter().any(|range| (range.first..=range.last).contains(&number))
    }

    /// The names of the notes that reject one of them.
    pub(super) fn notes(&self, layout: &Layout) -> Result<Vec<String>, Error> {
        let notes = retired::read_note_names(layout)?.into_iter();
        let is_of_dropped = |scope| match scope {
            Scope::Only(rejected) | Scope::Unconnected { rejected, .. } => self.has(rejected),
            Scope::All | Scope::AllBut(_) | Scope::Dropped { .. } => false,
        };
        Ok(notes.filter(|(_, note)| is_of_dropped(note.scope)).map(|(name, _)| name).collect())
    }
}
