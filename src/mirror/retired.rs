//! Retired lineages. A note in the ledger states after which import the lineage's records no longer count.
//!
//! A note is called `NNNNNNNN-LINEAGE.forgotten`, with the number of the newest record at that time. Records stay
//! unchanged; every reader of the ledger ignores those that a note covers. A bundle of the lineage that is imported
//! later gets a record with a higher number, and the lineage is active again from there.
//!
//! A note `NNNNNNNN-LINEAGE-KKKKKKKK.accepted` has the same effect, but the record of number K still counts: the bundle
//! that was accepted as the lineage's newest.

use serde::{Deserialize, Serialize};

use super::disk;
use super::layout::Layout;
use super::ledger;
use super::lineages::LineageTip;
use super::transaction::{Error, Transaction};

/// A lineage, and the number of the newest record when it was retired.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Retirement {
    /// Records up to this number are covered.
    pub last_record: u64,
    /// The lineage.
    pub lineage: String,
    /// The number of the record that still counts, if a bundle was accepted as the newest.
    pub accepted_record: Option<u64>,
}

/// The informative content of a note's file; only its name is evaluated.
#[derive(Serialize, Deserialize)]
struct RetirementFile {
    #[serde(rename = "forgotten")]
    retired_at: String,
    newest: LineageTip,
}

/// Every note of the ledger, the oldest first.
///
/// # Errors
/// A file system operation failed.
pub fn read_retirements(layout: &Layout) -> Result<Vec<Retirement>, Error> {
    let mut notes: Vec<Retirement> =
        disk::read_names(&layout.ledger())?.filter_map(|name| Retirement::parse(&name)).collect();
    notes.sort_unstable();
    Ok(notes)
}

/// Whether a note covers the record with this number of `lineage`, so that it does not count.
pub fn is_retired(notes: &[Retirement], number: u64, lineage: &str) -> bool {
    notes
        .iter()
        .any(|note| note.lineage == lineage && number <= note.last_record && note.accepted_record != Some(number))
}

/// Whether this record of `lineage` is of a bundle that was accepted as the newest.
pub fn is_accepted(notes: &[Retirement], number: u64, lineage: &str) -> bool {
    notes.iter().any(|note| note.lineage == lineage && note.accepted_record == Some(number))
}

impl Retirement {
    fn parse(name: &str) -> Option<Retirement> {
        let (stem, accepted) = match name.strip_suffix(".accepted") {
            Some(stem) => {
                let (stem, accepted) = stem.rsplit_once('-')?;
                (stem, Some(accepted.parse().ok()?))
            }
            None => (name.strip_suffix(".forgotten")?, None),
        };
        let (after, lineage) = stem.split_once('-')?;
        let lineage = Some(lineage).filter(|lineage| !lineage.is_empty())?.to_owned();
        Some(Retirement { last_record: after.parse().ok()?, lineage, accepted_record: accepted })
    }

    /// Adds to a transaction the note of a lineage that is retired after the record of number `after`.
    pub(super) fn stage(
        layout: &Layout,
        tx: &mut Transaction<'_>,
        after: u64,
        newest: &LineageTip,
        now: &str,
    ) -> Result<(), Error> {
        Retirement::stage_file(layout, tx, &format!("{after:08}-{}.forgotten", newest.id), newest, now)
    }

    /// Adds to a transaction the note of a lineage whose newest bundle was accepted. A record whose name has no number is
    /// not in the ledger, and gets no note.
    pub(super) fn stage_accepted(
        layout: &Layout,
        tx: &mut Transaction<'_>,
        after: u64,
        newest: &LineageTip,
        now: &str,
    ) -> Result<(), Error> {
        let Some(number) = ledger::record_number(&newest.record) else { return Ok(()) };
        Retirement::stage_file(layout, tx, &format!("{after:08}-{}-{number:08}.accepted", newest.id), newest, now)
    }

    fn stage_file(
        layout: &Layout,
        tx: &mut Transaction<'_>,
        name: &str,
        newest: &LineageTip,
        now: &str,
    ) -> Result<(), Error> {
        let note = RetirementFile { retired_at: now.to_owned(), newest: newest.clone() };
        tx.put_bytes(&layout.ledger().join(name), &serde_json::to_vec(&note).expect("plain fields are JSON"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_retirement_covers_the_records_before_it() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        assert_eq!(read_retirements(&layout).expect("none"), []);
        fs::create_dir_all(layout.ledger()).expect("folder");
        for name in ["00000001-ab.json", ".part-x", "x-ab.forgotten", "00000001-.forgotten"] {
            fs::write(layout.ledger().join(name), "{}").expect("write");
        }
        let newest = LineageTip {
            id: "ab".to_owned(),
            sequence: 3,
            bundle: "b".to_owned(),
            created: String::new(),
            record: String::new(),
            gap_after: None,
            inputs: Vec::new(),
            more_inputs: 0,
        };
        let mut tx = Transaction::begin(&layout, "a test").expect("staging");
        Retirement::stage(&layout, &mut tx, 7, &newest, "2026-01-01T00:00:00Z").expect("staged");
        tx.commit().expect("written");
        let notes = read_retirements(&layout).expect("one");
        assert_eq!(notes, [Retirement { last_record: 7, lineage: "ab".to_owned(), accepted_record: None }]);
        assert!(is_retired(&notes, 7, "ab") && !is_retired(&notes, 8, "ab") && !is_retired(&notes, 1, "cd"));
    }

    #[test]
    fn an_accepted_record_is_not_retired() {
        let note = Retirement { last_record: 7, lineage: "ab".to_owned(), accepted_record: Some(5) };
        assert_eq!(Retirement::parse("00000007-ab-00000005.accepted"), Some(note.clone()));
        for name in ["00000007-00000005.accepted", "00000007-ab.accepted", "00000007--00000005.accepted"] {
            assert_eq!(Retirement::parse(name), None, "{name}");
        }
        let notes = [note];
        let covered: Vec<u64> = (3..9).filter(|number| is_retired(&notes, *number, "ab")).collect();
        assert_eq!(covered, [3, 4, 6, 7]);
    }
}
