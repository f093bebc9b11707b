//! Retired lineages. A note in the ledger states after which import the lineage's records no longer count.
//!
//! A note is called `NNNNNNNN-LINEAGE.forgotten`, with the number of the newest record at that time. Records stay
//! unchanged; every reader of the ledger ignores those that a note covers. A bundle of the lineage that is imported
//! later gets a record with a higher number, and the lineage is active again from there.
//!
//! A note `NNNNNNNN-LINEAGE-KKKKKKKK.accepted` has the same effect, but the record of number K still counts: the bundle
//! that was accepted as the lineage's newest. If an import writes another record of that bundle, because the accepted one is
//! lost, it writes the same note for the new record. A note `NNNNNNNN-LINEAGE-KKKKKKKK.rejected` covers only the record of number
//! K: the sender did not write that bundle. The record may be lost. A rejected snapshot has one note for each of its records. A
//! rejected record cannot be an accepted one, so the note that accepted it has no effect.
//!
//! An acceptance also rejects the records of its lineage that do not lead to the accepted bundle. For each of number R there is a
//! note `NNNNNNNN-LINEAGE-RRRRRRRR-KKKKKKKK.rejected`. It has no effect if the record of number K, the accepted one, is
//! rejected.
//!
//! Once nothing of a rejected snapshot is left, a collection removes its records and their notes. One note
//! `NNNNNNNN-SNAPSHOT-FFFFFFFF-LLLLLLLL.dropped` remains of the records with the numbers F to L. So the chain of records and
//! their number stay right.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::disk;
use super::layout::Layout;
use super::ledger;
use super::lineages::LineageTip;
use super::transaction::{Error, Transaction};
use crate::units::format_time;

/// A lineage, and the number of the newest record when it or one of its bundles was retired.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Retirement {
    /// The number of the newest record at that time.
    pub last_record: u64,
    /// The lineage.
    pub lineage: String,
    /// The covered records.
    pub scope: Scope,
}

/// The records of a lineage that a note covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All records up to the newest one at that time.
    All,
    /// The same without the record of this number: the accepted bundle.
    AllBut(u64),
    /// The record of this number: a rejected bundle.
    Only(u64),
    /// The record of number `rejected`, unless the record of number `accepted` is rejected itself: its acceptance rejected the
    /// other one.
    Unconnected {
        /// The rejected record.
        rejected: u64,
        /// The accepted record.
        accepted: u64,
    },
    /// The records of a rejected snapshot, which a collection removed, because nothing of the snapshot is left. The note states the
    /// snapshot's id in place of a lineage.
    Dropped {
        /// The number of the first record.
        first: u64,
        /// The number of the last record.
        last: u64,
    },
}

/// Maximum number of acceptances that depend on one another, each of which rejected the bundle of the one before.
const MAX_ACCEPTANCES: u32 = 16;

/// The content of a note's file. Only its name is evaluated, except to find the accepted bundle of a lost record.
#[derive(Serialize, Deserialize)]
struct RetirementFile {
    #[serde(rename = "forgotten")]
    retired_at: String,
    newest: LineageTip,
}

/// The content of a note about dropped records. Only its name is evaluated.
#[derive(Serialize)]
struct DroppedFile {
    dropped: String,
    file: String,
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

/// The same with the names of their files.
pub(super) fn read_note_names(layout: &Layout) -> Result<Vec<(String, Retirement)>, Error> {
    let names = disk::read_names(&layout.ledger())?;
    Ok(names.filter_map(|name| Retirement::parse(&name).map(|note| (name, note))).collect())
}

/// Whether a note covers the record with this number of `lineage`, so that it does not count.
pub fn is_retired(notes: &[Retirement], number: u64, lineage: &str) -> bool {
    let mut notes_of_lineage = notes.iter().filter(|note| note.lineage == lineage);
    let is_covered = notes_of_lineage.any(|note| match note.scope {
        Scope::All => number <= note.last_record,
        Scope::AllBut(accepted) => {
            number <= note.last_record && accepted != number && !is_rejected(notes, accepted, lineage)
        }
        Scope::Only(_) | Scope::Unconnected { .. } | Scope::Dropped { .. } => false,
    });
    is_covered || is_rejected(notes, number, lineage)
}

/// Whether this record of `lineage` is of a bundle that was accepted as the newest.
pub fn is_accepted(notes: &[Retirement], number: u64, lineage: &str) -> bool {
    notes.iter().any(|note| note.lineage == lineage && note.scope == Scope::AllBut(number))
}

/// Whether this record of `lineage` is of a bundle that was rejected.
pub fn is_rejected(notes: &[Retirement], number: u64, lineage: &str) -> bool {
    is_dropped(notes, number) || has_rejection(notes, number, lineage, MAX_ACCEPTANCES)
}

/// Whether the record with this number was of a rejected snapshot, and a collection removed it.
pub fn is_dropped(notes: &[Retirement], number: u64) -> bool {
    notes.iter().any(|note| matches!(note.scope, Scope::Dropped { first, last } if (first..=last).contains(&number)))
}

/// The number of records that were counted when the record with this number was written, and that a collection removed later.
pub fn count_dropped_before(notes: &[Retirement], number: u64) -> u64 {
    let counts = notes.iter().map(|note| match note.scope {
        Scope::Dropped { first, last } if last < number && number <= note.last_record => last.saturating_sub(first) + 1,
        _ => 0,
    });
    counts.sum()
}

fn has_rejection(notes: &[Retirement], number: u64, lineage: &str, depth: u32) -> bool {
    let mut scopes = notes.iter().filter(|note| note.lineage == lineage).map(|note| note.scope);
    scopes.any(|scope| match scope {
        Scope::Only(rejected) => rejected == number,
        Scope::Unconnected { rejected, accepted } => {
            rejected == number && depth > 0 && !has_rejection(notes, accepted, lineage, depth - 1)
        }
        Scope::All | Scope::AllBut(_) | Scope::Dropped { .. } => false,
    })
}

/// Whether an administrator named the bundle of the record with this number, of any lineage, as a false one.
pub fn is_named_as_false(notes: &[Retirement], number: u64) -> bool {
    notes.iter().any(|note| note.scope == Scope::Only(number))
}

/// The number of the newest record when `lineage` was retired last; 0 if it never was.
pub fn last_retirement(notes: &[Retirement], lineage: &str) -> u64 {
    let notes = notes.iter().filter(|note| note.lineage == lineage && note.scope == Scope::All);
    notes.map(|note| note.last_record).max().unwrap_or(0)
}

/// The acceptance of another record of this bundle, unless a later note covers that record. The content of the note names the
/// bundle, because its record may be lost.
///
/// # Errors
/// A file system operation failed.
pub(super) fn find_acceptance(
    layout: &Layout,
    notes: &[Retirement],
    tip: &LineageTip,
) -> Result<Option<Retirement>, Error> {
    let is_acceptance = |note: &Retirement| note.lineage == tip.id && matches!(note.scope, Scope::AllBut(_));
    if !notes.iter().any(is_acceptance) {
        return Ok(None);
    }
    for name in disk::read_names(&layout.ledger())? {
        let Some(note) = Retirement::parse(&name).filter(is_acceptance) else { continue };
        let Scope::AllBut(number) = note.scope else { continue };
        let Some(text) = disk::read_if_present(&layout.ledger().join(&name))? else { continue };
        let accepted = serde_json::from_slice(&text).map(|file: RetirementFile| file.newest);
        let is_same = accepted.is_ok_and(|known| {
            known.bundle == tip.bundle && known.id == tip.id && ledger::record_number(&known.record) == Some(number)
        });
        if is_same && !is_retired(notes, number, &tip.id) {
            return Ok(Some(note));
        }
    }
    Ok(None)
}

impl Retirement {
    /// Adds to a transaction the same acceptance for the new record of the accepted bundle.
    pub(super) fn stage_again(
        &self,
        layout: &Layout,
        tx: &mut Transaction<'_>,
        tip: &LineageTip,
        now: Timestamp,
    ) -> Result<(), Error> {
        Retirement::stage_accepted(layout, tx, self.last_record, tip, &format_time(now))
    }

    /// The rejection of the bundle with this record, as if an administrator had named it.
    pub(super) fn of_false_bundle(lineage: &str, number: u64) -> Retirement {
        Retirement { last_record: number, lineage: lineage.to_owned(), scope: Scope::Only(number) }
    }

    fn parse(name: &str) -> Option<Retirement> {
        let (stem, end) = name.rsplit_once('.')?;
        let (stem, scope) = match end {
            "forgotten" => (stem, Scope::All),
            "accepted" | "rejected" => {
                let (stem, number) = stem.rsplit_once('-')?;
                let number = number.parse().ok()?;
                // No id of a lineage contains this character.
                match stem.split_once('-')?.1.rsplit_once('-') {
                    _ if end == "accepted" => (stem, Scope::AllBut(number)),
                    None => (stem, Scope::Only(number)),
                    Some((_, rejected)) => {
                        let scope = Scope::Unconnected { rejected: rejected.parse().ok()?, accepted: number };
                        (stem.rsplit_once('-')?.0, scope)
                    }
                }
            }
            "dropped" => {
                let (stem, last) = stem.rsplit_once('-')?;
                let (stem, first) = stem.rsplit_once('-')?;
                (stem, Scope::Dropped { first: first.parse().ok()?, last: last.parse().ok()? })
            }
            _ => return None,
        };
        let (after, lineage) = stem.split_once('-')?;
        let lineage = Some(lineage).filter(|lineage| !lineage.is_empty())?.to_owned();
        Some(Retirement { last_record: after.parse().ok()?, lineage, scope })
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

    /// Adds to a transaction the note of a bundle that was accepted as its lineage's newest. A record whose name has no
    /// number is not in the ledger, and gets no note.
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

    /// The same of a bundle that was rejected, because an administrator named it or accepted the record of number `accepted`.
    pub(super) fn stage_rejected(
        layout: &Layout,
        tx: &mut Transaction<'_>,
        after: u64,
        bundle: &LineageTip,
        accepted: Option<u64>,
        now: &str,
    ) -> Result<(), Error> {
        let Some(number) = ledger::record_number(&bundle.record) else { return Ok(()) };
        let accepted = accepted.map(|accepted| format!("-{accepted:08}")).unwrap_or_default();
        let name = format!("{after:08}-{}-{number:08}{accepted}.rejected", bundle.id);
        Retirement::stage_file(layout, tx, &name, bundle, now)
    }

    /// Adds to a transaction the note of the records `first` to `last` of a rejected snapshot, which it removes. `file` is the
    /// snapshot's.
    pub(super) fn stage_dropped(
        layout: &Layout,
        tx: &mut Transaction<'_>,
        after: u64,
        snapshot: &str,
        [first, last]: [u64; 2],
        file: &str,
        now: &str,
    ) -> Result<(), Error> {
        let name = format!("{after:08}-{snapshot}-{first:08}-{last:08}.dropped");
        stage_note(layout, tx, &name, &DroppedFile { dropped: now.to_owned(), file: file.to_owned() })
    }

    fn stage_file(
        layout: &Layout,
        tx: &mut Transaction<'_>,
        name: &str,
        newest: &LineageTip,
        now: &str,
    ) -> Result<(), Error> {
        let note = RetirementFile { retired_at: now.to_owned(), newest: newest.clone() };
        stage_note(layout, tx, name, &note)
    }
}

fn stage_note(layout: &Layout, tx: &mut Transaction<'_>, name: &str, note: &impl Serialize) -> Result<(), Error> {
    tx.put_bytes(&layout.ledger().join(name), &serde_json::to_vec(note).expect("plain fields are JSON"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::mirror::guard::WriteGuard;

    fn note(last_record: u64, scope: Scope) -> Retirement {
        Retirement { last_record, lineage: "ab".to_owned(), scope }
    }

    /// The records of numbers 3 to 8 that the notes cover.
    fn covered(notes: &[Retirement]) -> Vec<u64> {
        (3..9).filter(|number| is_retired(notes, *number, "ab")).collect()
    }

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
            chain_start: 3,
            chain_created: String::new(),
            chain_follows: None,
            gap_after: None,
            inputs: Vec::new(),
            more_inputs: 0,
        };
        let guard = WriteGuard::for_test(&layout);
        let mut tx = Transaction::begin(&guard, "a test").expect("staging");
        Retirement::stage(&layout, &mut tx, 7, &newest, "2026-01-01T00:00:00Z").expect("staged");
        tx.commit().expect("written");
        let notes = read_retirements(&layout).expect("one");
        assert_eq!(notes, [note(7, Scope::All)]);
        assert!(is_retired(&notes, 7, "ab") && !is_retired(&notes, 8, "ab") && !is_retired(&notes, 1, "cd"));
    }

    #[test]
    fn an_accepted_record_is_not_retired() {
        let accepted = note(7, Scope::AllBut(5));
        assert_eq!(Retirement::parse("00000007-ab-00000005.accepted"), Some(accepted.clone()));
        for name in ["00000007-00000005.accepted", "00000007-ab.accepted", "00000007--00000005.accepted"] {
            assert_eq!(Retirement::parse(name), None, "{name}");
        }
        assert_eq!(covered(&[accepted]), [3, 4, 6, 7]);
    }

    #[test]
    fn a_rejected_record_is_retired_alone_and_is_no_longer_accepted() {
        let rejected = note(8, Scope::Only(5));
        assert_eq!(Retirement::parse("00000008-ab-00000005.rejected"), Some(rejected.clone()));
        for name in ["00000008-ab.rejected", "00000008--00000005.rejected", "00000008-ab-00000005.other"] {
            assert_eq!(Retirement::parse(name), None, "{name}");
        }
        assert_eq!(covered(std::slice::from_ref(&rejected)), [5]);
        assert_eq!(covered(&[note(7, Scope::AllBut(5)), rejected.clone()]), [5], "the acceptance has no effect");
        assert_eq!(covered(&[note(7, Scope::AllBut(6)), rejected]), [3, 4, 5, 7]);
    }

    #[test]
    fn dropped_records_stay_rejected_and_are_counted() {
        let dropped =
            Retirement { last_record: 9, lineage: "ee".to_owned(), scope: Scope::Dropped { first: 4, last: 6 } };
        assert_eq!(Retirement::parse("00000009-ee-00000004-00000006.dropped"), Some(dropped.clone()));
        assert_eq!(Retirement::parse("00000009-ee-00000004.dropped"), None);
        let notes = [dropped];
        assert_eq!(covered(&notes), [4, 5, 6]);
        let counts: Vec<u64> = (3..12).map(|number| count_dropped_before(&notes, number)).collect();
        assert_eq!(counts, [0, 0, 0, 0, 3, 3, 3, 0, 0]);
    }

    #[test]
    fn what_an_acceptance_rejected_counts_again_once_the_accepted_bundle_is_rejected() {
        let unconnected = note(7, Scope::Unconnected { rejected: 4, accepted: 6 });
        assert_eq!(Retirement::parse("00000007-ab-00000004-00000006.rejected"), Some(unconnected.clone()));
        for name in ["00000007-ab-x-00000006.rejected", "00000007--00000004-00000006.rejected"] {
            assert_eq!(Retirement::parse(name), None, "{name}");
        }
        let is_rejected = |notes: &[Retirement]| is_rejected(notes, 4, "ab");
        assert!(is_rejected(std::slice::from_ref(&unconnected)));
        assert_eq!(covered(std::slice::from_ref(&unconnected)), [4]);
        let accepted = note(7, Scope::AllBut(6));
        assert_eq!(covered(&[unconnected.clone(), accepted.clone()]), [3, 4, 5, 7]);
        let by_name = note(8, Scope::Only(6));
        assert_eq!(covered(&[unconnected.clone(), accepted.clone(), by_name]), [6]);
        // A later acceptance rejects the accepted one, and is rejected itself.
        let later = note(8, Scope::Unconnected { rejected: 6, accepted: 8 });
        assert!(!is_rejected(&[unconnected.clone(), later.clone()]));
        assert!(is_rejected(&[unconnected.clone(), later.clone(), note(9, Scope::Only(8))]));
        // Notes that contradict each other end.
        let circle = note(8, Scope::Unconnected { rejected: 6, accepted: 4 });
        let _ = is_rejected(&[unconnected, circle]);
    }
}
