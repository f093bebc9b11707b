//! Notes about lost records. A rebuild writes them, because manifest.json names the lost records only until then.
//! [`crate::mirror::layout`] describes the format.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(in crate::mirror) use super::record_name::REBUILT_END;
use super::record_name::{LOST_END, bundle_of_record, is_note, record_names, record_number};
use crate::mirror::disk;
use crate::mirror::layout::Layout;
use crate::mirror::retired::{self, Retirement};
use crate::mirror::transaction::{Error, Transaction};
use crate::units::is_zero;

/// Stands for the id in the name of the note about records whose bundles are unknown.
const UNNAMED: &str = "unnamed";

/// The greatest number that a note may state. A record with a greater one would be invalid.
const MAX_NUMBER: u64 = 900_000_000;

/// The content of a note.
#[derive(Serialize, Deserialize)]
struct Note {
    /// When the rebuild ran (RFC 3339, UTC).
    noted: String,
    /// The highest number of a record at that time. A record of the bundle with a higher number restores the lost one.
    after: u64,
    /// The number of lost records, if nothing names their bundles.
    #[serde(default, skip_serializing_if = "is_zero")]
    unnamed: u64,
    /// Whether the notes of that rebuild name every lost record that may have been the newest of its lineage.
    #[serde(default)]
    complete: bool,
}

/// What a rebuild notes about lost records.
#[derive(Debug, Default)]
pub(in crate::mirror) struct LostRecords {
    /// The names of the lost records.
    pub(in crate::mirror) names: BTreeSet<String>,
    /// The number of other lost records, which may have been the newest of a lineage.
    pub(in crate::mirror) unnamed: u64,
    /// The highest number of a record.
    pub(in crate::mirror) last_number: u64,
    /// Whether the names include every lost record that may have been the newest of its lineage.
    pub(in crate::mirror) is_complete: bool,
}

impl LostRecords {
    /// Adds the notes to a transaction.
    pub(in crate::mirror) fn stage(&self, layout: &Layout, tx: &mut Transaction<'_>, now: &str) -> Result<(), Error> {
        let LostRecords { names, unnamed, last_number: after, is_complete } = self;
        let mut put = |path: PathBuf, unnamed: u64| {
            let note = Note { noted: now.to_owned(), after: *after, unnamed, complete: *is_complete };
            tx.put_bytes(&path, &serde_json::to_vec(&note).expect("plain fields are JSON"))
        };
        names.iter().filter_map(|name| note_path(layout, name)).try_for_each(|path| put(path, 0))?;
        // Without names, the note still states that others may be lost.
        if *unnamed > 0 || names.is_empty() && !is_complete {
            put(layout.ledger().join(format!("{after:08}-{UNNAMED}{LOST_END}")), *unnamed)?;
        }
        Ok(())
    }
}

/// The path of the note about the record `name`. `None` if that is no name of a file.
pub(in crate::mirror) fn note_path(layout: &Layout, name: &str) -> Option<PathBuf> {
    let stem = name.strip_suffix(".json").filter(|stem| !stem.contains(['/', '\\']))?;
    Some(layout.ledger().join(format!("{stem}{LOST_END}")))
}

/// The names of the records that a rebuild reported as lost.
pub(in crate::mirror) fn read_names(layout: &Layout) -> Result<BTreeSet<String>, Error> {
    let names = disk::read_names(&layout.ledger())?;
    Ok(names.filter_map(|name| Some(format!("{}.json", name.strip_suffix(LOST_END)?))).collect())
}

/// The highest number of a record that a note of the ledger states: of lost records, retired lineages, and accepted or
/// rejected bundles. All records may be lost, but not what these notes decide.
pub(in crate::mirror) fn last_noted_number(layout: &Layout) -> Result<u64, Error> {
    let mut last = 0;
    for name in disk::read_names(&layout.ledger())?.filter(|name| is_note(name)) {
        let stem = name.rsplit_once('.').map_or("", |(stem, _)| stem);
        last = record_number(&format!("{stem}.json")).unwrap_or(0).max(last);
        if name.ends_with(LOST_END) {
            let note: Option<Note> = disk::read_if_present(&layout.ledger().join(&name))?
                .and_then(|text| serde_json::from_slice(&text).ok());
            last = note.map_or(0, |note| note.after).min(MAX_NUMBER).max(last);
        }
    }
    Ok(last)
}

/// Lost records whose bundles were not imported again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::mirror) struct Unrestored {
    /// The ids of these bundles.
    pub(in crate::mirror) bundles: BTreeSet<String>,
    /// The number of records whose bundles are unknown. Nothing shows whether they were imported again.
    pub(in crate::mirror) unnamed: u64,
    /// The highest number of a record when the last of these losses was noted, also of one that only a missing manifest.json
    /// would show.
    pub(in crate::mirror) last_record: u64,
    /// The number of lost records whose bundles were imported again or are false.
    pub(in crate::mirror) restored: u64,
    /// A note does not name every lost record that may have been the newest of its lineage.
    pub(in crate::mirror) is_incomplete: bool,
}

impl Unrestored {
    /// Whether there are none.
    pub(in crate::mirror) fn is_empty(&self) -> bool {
        self.bundles.is_empty() && self.unnamed == 0
    }

    /// Whether records were lost, and the bundle of every one that may have been the newest of its lineage was imported again.
    pub(in crate::mirror) fn is_all_restored(&self) -> bool {
        self.is_empty() && self.restored > 0 && !self.is_incomplete
    }

    /// Reads the notes of rebuilds whose newest record had the number `since` or a higher one. `notes` name the false bundles,
    /// which are not missing.
    pub(in crate::mirror) fn read(layout: &Layout, since: u64, notes: &[Retirement]) -> Result<Unrestored, Error> {
        let (lost, records) = (read_names(layout)?, record_names(layout)?);
        let mut unrestored = Unrestored::default();
        for name in lost {
            let (Some(bundle), Some(path)) = (bundle_of_record(&name), note_path(layout, &name)) else { continue };
            let note: Option<Note> = fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
            // A damaged note protects the files until an administrator decides.
            let (after, unnamed, complete) =
                note.map_or((u64::MAX, 1, false), |note| (note.after, note.unnamed, note.complete));
            let is_restored = |record: &String| {
                let is_later = record_number(record).is_some_and(|number| number > after);
                *record == name || is_later && bundle_of_record(record) == Some(bundle)
            };
            if after < since || bundle.ends_with(REBUILT_END) {
                continue;
            }
            if !complete {
                unrestored.is_incomplete = true;
                unrestored.last_record = unrestored.last_record.max(after);
            }
            let is_false = record_number(&name).is_some_and(|number| retired::is_named_as_false(notes, number));
            if is_false || records.iter().any(is_restored) {
                unrestored.restored += 1;
                continue;
            }
            // A note without a number of records states no loss.
            if bundle != UNNAMED || unnamed > 0 {
                unrestored.last_record = unrestored.last_record.max(after);
            }
            match bundle {
                UNNAMED => unrestored.unnamed = unrestored.unnamed.max(unnamed),
                bundle => drop(unrestored.bundles.insert(bundle.to_owned())),
            }
        }
        Ok(unrestored)
    }
}
