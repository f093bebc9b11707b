//! The names of the ledger's records: `00000001-BUNDLE.json`, numbered in the order of import.

use serde::{Deserialize, Serialize};

use crate::bundle::format::ID_DIGITS;
use crate::digest::Sha256;
use crate::mirror::disk;
use crate::mirror::layout::Layout;
use crate::mirror::transaction::Error;

/// The end of the ids of bundles of the lineage `rebuilt`. No import restores their records.
pub(in crate::mirror) const REBUILT_END: &str = "-rebuilt";

/// The end of the name of a note about lost records.
pub(super) const LOST_END: &str = ".lost";

/// The ends of the names of notes.
const NOTE_ENDS: [&str; 5] = [LOST_END, ".forgotten", ".accepted", ".rejected", ".dropped"];

/// A record, with the digest of its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRef {
    /// The name of the record's file.
    pub record: String,
    /// The digest that the record states of its content.
    pub sha256: Sha256,
}

/// The records' names, in the order of import.
///
/// # Errors
/// A file system operation failed.
pub fn record_names(layout: &Layout) -> Result<Vec<String>, Error> {
    let is_record = |name: &String| record_number(name).is_some() && has_valid_id(name);
    let mut names: Vec<String> = disk::read_names(&layout.ledger())?.filter(is_record).collect();
    names.sort_unstable();
    Ok(names)
}

/// The names of files in the ledger that are neither records nor notes, sorted. No import and no other command wrote them.
/// Temporary files begin with a dot.
pub fn stray_names(layout: &Layout) -> Result<Vec<String>, Error> {
    let is_stray = |name: &String| {
        let is_record = record_number(name).is_some() && has_valid_id(name);
        let is_file = || layout.ledger().join(name).symlink_metadata().is_ok_and(|about| about.is_file());
        !is_record && !is_note(name) && !name.starts_with('.') && is_file()
    };
    let mut names: Vec<String> = disk::read_names(&layout.ledger())?.filter(is_stray).collect();
    names.sort_unstable();
    Ok(names)
}

/// Whether the file is a note about lost records, a retired lineage, an accepted or rejected bundle, or a rejected snapshot.
pub(in crate::mirror) fn is_note(name: &str) -> bool {
    let stem = NOTE_ENDS.iter().find_map(|end| name.strip_suffix(end));
    stem.is_some_and(|stem| record_number(&format!("{stem}.json")).is_some())
}

/// The position of the record `name` in the ledger, from 1.
pub fn record_number(name: &str) -> Option<u64> {
    let (sequence, id) = name.strip_suffix(".json")?.split_once('-')?;
    // A number with more digits is invalid, because no ledger has a billion records, and none could follow the greatest
    // number.
    ((8..=9).contains(&sequence.len()) && !id.is_empty()).then(|| sequence.parse().ok())?
}

/// The id of the bundle of the record `name`.
pub(in crate::mirror) fn bundle_of_record(name: &str) -> Option<&str> {
    Some(name.strip_suffix(".json")?.split_once('-')?.1)
}

/// Whether the id in the name of a record is one that a bundle or a rebuild can have. Any other file is no record.
pub(in crate::mirror) fn has_valid_id(name: &str) -> bool {
    let is_id_digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    bundle_of_record(name).is_some_and(|id| {
        let digits = id.strip_suffix(REBUILT_END).unwrap_or(id);
        let is_long_enough = digits.len() == ID_DIGITS || digits.len() < id.len() && !digits.is_empty();
        is_long_enough && digits.bytes().all(is_id_digit)
    })
}

/// The name of the record that follows `names`, the newest record that manifest.json names, and the number `noted`. A lost
/// record's number is not used again: another record of that name would contradict the digest that others state. `noted` is
/// the highest number in a note of the ledger, because a note of another record must not cover this one.
pub(in crate::mirror) fn next_record_name(
    names: &[String],
    stated: Option<&RecordRef>,
    noted: u64,
    bundle: &str,
) -> String {
    let known = names.last().into_iter().chain(stated.map(|stated| &stated.record));
    let last = known.filter_map(|name| record_number(name)).max().unwrap_or(0).max(noted);
    format!("{:08}-{bundle}.json", last + 1)
}

/// The newest record of the bundle with this id among `names`.
pub(in crate::mirror) fn find_record<'n>(names: &'n [String], bundle: &str) -> Option<&'n str> {
    let end = format!("-{bundle}.json");
    names.iter().rev().find(|name| name.ends_with(&end)).map(String::as_str)
}

/// Whether `names` has a record of the bundle with this id.
pub fn contains_bundle(names: &[String], bundle: &str) -> bool {
    let end = format!("-{bundle}.json");
    names.iter().any(|name| name.ends_with(&end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_numbered_in_order_and_found_by_their_bundle() {
        let mut names: Vec<String> = Vec::new();
        for bundle in ["cc", "aa", "bb"] {
            names.push(next_record_name(&names, None, 0, bundle));
        }
        assert_eq!(names, ["00000001-cc.json", "00000002-aa.json", "00000003-bb.json"]);
        let lost = RecordRef { record: "00000007-dd.json".to_owned(), sha256: Sha256::of(b"") };
        assert_eq!(next_record_name(&names, Some(&lost), 0, "ee"), "00000008-ee.json");
        assert_eq!(next_record_name(&names, Some(&lost), 9, "ee"), "00000010-ee.json");
        assert!(contains_bundle(&names, "aa") && !contains_bundle(&names, "a") && !contains_bundle(&names, "dd"));
        assert_eq!(record_number(".part-x.json"), None);
        let id = "0123456789abcdef".repeat(2);
        for stem in [id.as_str(), "0123456789abcdef01234567-rebuilt"] {
            assert!(has_valid_id(&format!("00000001-{stem}.json")), "{stem}");
        }
        for stem in ["zz", "aa", &id[1..], &id.to_uppercase(), "-rebuilt", &format!("{id}0"), &format!("{id}/../x")] {
            assert!(!has_valid_id(&format!("00000001-{stem}.json")), "{stem}");
        }
        assert_eq!(record_number("18446744073709551615-aa.json"), None);
    }
}
