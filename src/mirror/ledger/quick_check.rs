//! A quick check of the import records, for the status of a mirror. It reads the beginning of every record, and the whole
//! content of a few. Only an audit reads all of them.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use super::chain::{self, ChainFault, ChainFaultKind};
use super::record_file::read_checked_header;
use super::record_names;
use crate::mirror::layout::Layout;
use crate::mirror::summary::MirrorSummary;
use crate::mirror::transaction::Error;

/// Maximum number of bytes whose digest the check computes. The status is also read for each scrape of the metrics.
const MAX_BYTES: u64 = 8 << 20;

/// A record that is damaged, was altered, or contradicts the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultyRecord {
    /// The name of its file.
    pub record: String,
    /// What is wrong with it.
    pub fault: ChainFaultKind,
}

/// The result of the check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuickCheck {
    /// The faulty records.
    pub faulty: Vec<FaultyRecord>,
    /// The number of records whose content was not read.
    pub unchecked: u64,
}

impl QuickCheck {
    /// Checks the records. Without the lock, a change that another process makes meanwhile is no fault.
    ///
    /// # Errors
    /// A file system operation failed.
    pub(in crate::mirror) fn run(layout: &Layout) -> Result<QuickCheck, Error> {
        let found = QuickCheck::run_once(layout)?;
        if found.faulty.is_empty() {
            return Ok(found);
        }
        if layout.journal().exists() {
            // The next command that changes the mirror completes the transaction.
            return Ok(QuickCheck { faulty: Vec::new(), ..found });
        }
        // A transaction may have ended between two reads.
        QuickCheck::run_once(layout)
    }

    fn run_once(layout: &Layout) -> Result<QuickCheck, Error> {
        let summary = MirrorSummary::read(layout)?;
        let stated = summary.as_ref().and_then(|summary| summary.newest_record.as_ref());
        let mut faults = chain::read_faults(layout, stated)?;
        let names = record_names(layout)?;
        let is_faulty = |faults: &[ChainFault], name: &str| faults.iter().any(|fault| fault.record == name);
        // The records that decide which files are needed come first, then the newest ones.
        let newest = summary.iter().flat_map(MirrorSummary::all_contenders).map(|tip| tip.record.as_str());
        let mut seen = BTreeSet::new();
        let order = newest.filter(|name| names.iter().any(|known| known == name));
        let order = order.chain(names.iter().rev().map(String::as_str));
        let (mut rest, mut unchecked) = (MAX_BYTES, 0);
        for name in order.filter(|name| seen.insert(*name)) {
            if is_faulty(&faults, name) {
                continue;
            }
            let size = fs::metadata(layout.ledger().join(name)).map_or(0, |about| about.len());
            if size > rest {
                unchecked += 1;
                continue;
            }
            rest -= size;
            match read_checked_header(layout, name) {
                Ok(Some(_)) => {}
                Err(error) if error.source.kind() == io::ErrorKind::PermissionDenied => return Err(error),
                Err(error) if error.source.kind() == io::ErrorKind::NotFound => {}
                Ok(None) | Err(_) => {
                    faults.push(ChainFault { record: name.to_owned(), kind: ChainFaultKind::Altered });
                }
            }
        }
        let faulty = faults.into_iter().map(|ChainFault { record, kind }| FaultyRecord { record, fault: kind });
        Ok(QuickCheck { faulty: faulty.collect(), unchecked })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Record;
    use super::*;
    use crate::bundle::format::{Lineage, Manifest};
    use crate::mirror::summary::ImportTotals;

    const RECORD: &str = "00000001-0123456789abcdef0123456789abcdef.json";

    /// A record with a text of this length.
    fn record(length: u64) -> Vec<u8> {
        let text = |part: &str| part.repeat(usize::try_from(length).expect("fits"));
        let lineage = Lineage { id: "a".to_owned(), sequence: 1, previous: None, inputs: Vec::new() };
        let manifest = Manifest { tool: text("x"), ..Manifest::new(String::new(), String::new(), lineage) };
        Record::new(String::new(), String::new(), ImportTotals::default(), manifest).render().0
    }

    #[test]
    fn small_records_are_read_completely_and_large_ones_are_counted() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        assert_eq!(QuickCheck::run(&layout).expect("no ledger"), QuickCheck::default());
        fs::create_dir_all(layout.ledger()).expect("folder");
        let write = |name: &str, text: &[u8]| fs::write(layout.ledger().join(name), text).expect("write");
        let small = record(1);
        write(RECORD, &small);
        assert_eq!(QuickCheck::run(&layout).expect("checked"), QuickCheck::default());

        // A byte of the manifest.
        let mut altered = small.clone();
        *altered.last_mut().expect("not empty") ^= 1;
        write(RECORD, &altered);
        let faulty = FaultyRecord { record: RECORD.to_owned(), fault: ChainFaultKind::Altered };
        let expected = QuickCheck { faulty: vec![faulty.clone()], unchecked: 0 };
        assert_eq!(QuickCheck::run(&layout).expect("checked"), expected);
        fs::write(layout.journal(), "{}").expect("write");
        assert_eq!(QuickCheck::run(&layout).expect("checked"), QuickCheck::default(), "a transaction is in progress");
        fs::remove_file(layout.journal()).expect("removed");

        let large = record(MAX_BYTES);
        write(RECORD, &large);
        assert_eq!(QuickCheck::run(&layout).expect("checked"), QuickCheck { faulty: Vec::new(), unchecked: 1 });
        write(RECORD, &large[1..]);
        assert_eq!(QuickCheck::run(&layout).expect("checked"), expected, "the first line of every record is read");
    }
}
