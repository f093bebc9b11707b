//! The problems that an audit can find, and the list of crates and dist files to fetch again.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::Sha256;
use crate::mirror::item::ItemId;
use crate::mirror::ledger::ChainFaultKind;
use crate::safe_path::SafePath;
use crate::units::pluralize;

/// The record name of crates that live mode stored.
pub(super) const LIVE_RECORDS: &str = "live/records";

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file or folder, relative to the mirror.
    pub path: String,
    /// What is wrong with it.
    pub fault: Fault,
}

impl Problem {
    pub(super) fn new(path: impl Into<String>, fault: Fault) -> Problem {
        Problem { path: path.into(), fault }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // File names on disk are untrusted and must not control the terminal.
        write!(f, "{}: {}", self.path.escape_debug(), self.fault)
    }
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// The bytes differ from those that upstream published.
    #[error("its SHA-256 is {actual}, but {expected} is recorded")]
    Digest {
        /// The recorded digest.
        expected: Sha256,
        /// The digest of the bytes.
        actual: Sha256,
    },
    /// A crate file is missing.
    #[error("is missing, but {index} names it")]
    Missing {
        /// The index file that names it.
        index: String,
    },
    /// The file cannot be read.
    #[error("cannot be read: {why}")]
    Unreadable {
        /// The system's error message.
        why: String,
    },
    /// A crate file without an index line.
    #[error("no index line names it")]
    NotIndexed,
    /// A file that does not belong to a mirror.
    #[error("nothing names it")]
    Unrecognized,
    /// A link, a folder or a device instead of a file.
    #[error("is not a regular file")]
    NotAFile,
    /// A line that cargo cannot read.
    #[error("line {number} is not a valid index line")]
    InvalidLine {
        /// Line number from 1.
        number: usize,
    },
    /// A line of a crate that belongs in another index file.
    #[error("line {number} is for {id}, which belongs in another index file")]
    Misplaced {
        /// Line number from 1.
        number: usize,
        /// The crate of the line.
        id: CrateId,
    },
    /// A second line of a version.
    #[error("line {number} is a second line for {id}")]
    Duplicate {
        /// Line number from 1.
        number: usize,
        /// The crate of the line.
        id: CrateId,
    },
    /// A line that differs from the recorded one.
    #[error("line {number}, for {id}, differs from the recorded line")]
    Altered {
        /// Line number from 1.
        number: usize,
        /// The crate of the line.
        id: CrateId,
    },
    /// A recorded line is missing.
    #[error("the recorded line of {id} is missing")]
    MissingLine {
        /// The crate.
        id: CrateId,
    },
    /// A crate that a lineage or live mode needs is not in the index.
    #[error("the line of {id} is missing, but {needed_by} needs it")]
    NotInIndex {
        /// The crate.
        id: CrateId,
        /// The bundle that names it.
        needed_by: String,
    },
    /// A crate file that an import record confirms has no index line.
    #[error("has the SHA-256 that {stated_by} states, but its index line is missing")]
    LineLost {
        /// The bundle whose record confirms it.
        stated_by: String,
    },
    /// A dist file that a lineage needs is not recorded as stored.
    #[error("is not stored, but {needed_by} needs it")]
    LostDistFile {
        /// The bundle that names it.
        needed_by: String,
    },
    /// A line of the file is not a valid record.
    #[error("line {number} is not a valid record of an index line")]
    InvalidRecord {
        /// Line number from 1.
        number: usize,
    },
    /// A line has no record.
    #[error("has no record of the line of {id}")]
    Unrecorded {
        /// The crate.
        id: CrateId,
    },
    /// The record of a line that does not exist, of a crate that no import record names and no file contains.
    #[error("has a record of {id}, but no index line, import record or crate file has that version")]
    UnsupportedRecord {
        /// The crate.
        id: CrateId,
    },
    /// A line contradicts the crate's own manifest.
    #[error("the line of {id} is false: {difference}")]
    ContradictsCrate {
        /// The crate.
        id: CrateId,
        /// How the line contradicts the Cargo.toml in the crate.
        difference: String,
    },
    /// A rejected bundle may have brought the line, and no other bundle replaced it since.
    #[error("the line of {id} may be that of a rejected bundle, because no other bundle has replaced it since")]
    RejectedLine {
        /// The crate.
        id: CrateId,
    },
    /// A record contradicts its index line.
    #[error("has a different checksum for {id} than its index line")]
    RecordChecksum {
        /// The crate.
        id: CrateId,
    },
    /// A record of the ledger contradicts the index.
    #[error("has a different checksum for {id} than {}", book(record))]
    LedgerChecksum {
        /// The crate.
        id: CrateId,
        /// The record.
        record: String,
    },
    /// A line of a crate that no import brought, although no import record is lost.
    #[error("line {number} is for {id}, which no import on record added")]
    NotImported {
        /// Line number from 1.
        number: usize,
        /// The crate of the line.
        id: CrateId,
    },
    /// A line of a crate that no record names, while import records or manifest.json are lost.
    #[error("line {number} is for {id}, which no record names; the record of its import may be lost")]
    RecordUnknown {
        /// Line number from 1.
        number: usize,
        /// The crate of the line.
        id: CrateId,
    },
    /// A dist file that no import record names, while import records or manifest.json are lost.
    #[error("is recorded as stored, but no import record names it; the record of its import may be lost")]
    DistFileRecordUnknown,
    /// The record of dist files contradicts the import records.
    #[error("is recorded with a digest that no import record states; {expected} is right")]
    LedgerDistFile {
        /// The digest of the newest import record.
        expected: Sha256,
    },
    /// `manifest.json` is missing or wrong.
    #[error("{0}")]
    Summary(SummaryFault),
    /// A dist file is missing.
    #[error("is missing, but is recorded as stored")]
    MissingDistFile,
    /// The record of dist files is missing or unreadable.
    #[error("is missing or is not a valid record of rustup artifacts")]
    DistFileRecords,
    /// A record of the ledger is damaged, or the chain of records contradicts it.
    #[error("{0}")]
    LedgerRecord(ChainFaultKind),
    /// A file in the ledger that is neither a record nor a note.
    #[error("is no import record and does not belong in the ledger")]
    NoRecord,
    /// `crates/index` is not the required link.
    #[error("{state}")]
    Link {
        /// What it is instead.
        state: String,
    },
    /// A garbage collection on a nearly full disk was killed.
    #[error("a garbage collection was killed while it changed files; run it again")]
    Interrupted,
    /// A line of live mode's records is invalid.
    #[error("line {number} is not a valid record of live mode")]
    LiveRecord {
        /// Line number from 1.
        number: usize,
    },
    /// A dist file that live mode stored is not recorded as stored.
    #[error("is not recorded as stored with the digest in live mode's records")]
    LiveDistFile,
    /// A transaction was killed.
    #[error("a command was killed while it changed files; the next command that changes the mirror completes it")]
    Unfinished,
    /// `index/config.json` is not a registry configuration that cargo reads.
    #[error("is not a valid registry configuration")]
    Config,
}

/// The name of a record for users.
fn book(record: &str) -> String {
    if record == LIVE_RECORDS { record.to_owned() } else { format!("the ledger's {record}") }
}

impl Fault {
    /// Whether `rebuild` mends the problem: it restores derived records, and moves crates aside that contradict the
    /// import records.
    pub fn is_rebuildable(&self) -> bool {
        use Fault as F;
        matches!(
            self,
            F::InvalidRecord { .. }
                | F::Unrecorded { .. }
                | F::RecordChecksum { .. }
                | F::Summary(_)
                | F::LedgerRecord(_)
                | F::NoRecord
                | F::DistFileRecords
                | F::RecordUnknown { .. }
                | F::DistFileRecordUnknown
                | F::LiveRecord { .. }
                | F::Unfinished
                | F::LedgerChecksum { .. }
                | F::NotImported { .. }
                | F::UnsupportedRecord { .. }
                | F::ContradictsCrate { .. }
                | F::Link { .. }
        )
    }

    /// Whether `manifest.json` is lost, so that it is unknown which record is the newest.
    pub fn is_summary_lost(&self) -> bool {
        matches!(self, Fault::Summary(SummaryFault::Missing | SummaryFault::Damaged))
    }

    /// Whether an import record or a crate shows that an index line is false.
    pub fn is_untrusted(&self) -> bool {
        matches!(self, Fault::LedgerChecksum { .. } | Fault::NotImported { .. } | Fault::ContradictsCrate { .. })
    }

    /// Whether the file of an import record was copied, renamed or overwritten.
    pub fn is_copied_record(&self) -> bool {
        matches!(self, Fault::LedgerRecord(ChainFaultKind::Copied { .. }))
    }

    /// Whether an import record is lost, altered or damaged.
    pub fn is_lost_record(&self) -> bool {
        use SummaryFault as S;
        match self {
            Fault::LedgerRecord(_) => true,
            Fault::Summary(S::MissingRecord { .. }) => true,
            Fault::Summary(S::Imports { says, found }) => found < says,
            _ => false,
        }
    }

    /// Whether the file is unknown, so that only a person can decide about it.
    pub fn is_stray(&self) -> bool {
        matches!(self, Fault::Unrecognized | Fault::NotAFile | Fault::NotIndexed)
    }
}

/// What is wrong with `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum SummaryFault {
    /// The file is missing.
    #[error("is missing")]
    Missing,
    /// The file is not a valid summary.
    #[error("is damaged: it is not a valid summary of the mirror")]
    Damaged,
    /// A count differs from the files on disk.
    #[error("states {says} {what}, but the disk has {found}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// The count in the file.
        says: u64,
        /// The count on disk.
        found: u64,
    },
    /// The file does not state the newest record of the ledger.
    #[error("does not state which record of the ledger is the newest")]
    NoNewestRecord,
    /// The file states an older record of the ledger as the newest.
    #[error(
        "states that {stated} is the newest record, but {newest} is newer: the file was changed, or is an older copy"
    )]
    OlderNewestRecord {
        /// The stated record.
        stated: String,
        /// The newest record.
        newest: String,
    },
    /// The ledger has fewer or more records than stated.
    #[error("states {}, but the ledger has {}", pluralize(*says, "import"), pluralize(*found, "valid record"))]
    Imports {
        /// The number in the file.
        says: u64,
        /// The number in the ledger.
        found: u64,
    },
    /// A lineage's newest record is not in the ledger.
    #[error("names {record} as a record of lineage {lineage}, but the ledger does not contain it")]
    MissingRecord {
        /// The lineage.
        lineage: String,
        /// The record.
        record: String,
    },
    /// The summary contradicts the record of a lineage's newest bundle.
    #[error("states {says} for a newest bundle of lineage {lineage}, but its record {record} states {found}")]
    ContradictsRecord {
        /// The lineage.
        lineage: String,
        /// The record.
        record: String,
        /// What the file states.
        says: String,
        /// What the record states.
        found: String,
    },
    /// The summary names other bundles that may be the newest than the ledger shows, or other gaps before them.
    #[error("differs from the ledger about which bundle of lineage {lineage} may be the newest")]
    Doubts {
        /// The lineage.
        lineage: String,
    },
    /// The ledger has a lineage that the summary lacks.
    #[error("does not name lineage {lineage}, whose newest record is {record}")]
    MissingLineage {
        /// The lineage.
        lineage: String,
        /// Its newest record.
        record: String,
    },
    /// The ledger has a newer record of a lineage.
    #[error("has an older record of lineage {lineage} than the ledger's {record}")]
    OutdatedRecord {
        /// The lineage.
        lineage: String,
        /// The newer record.
        record: String,
    },
}

/// Files that must be fetched again: crates by name and version, then dist files by path, each with the digest that it must
/// have.
pub type Repairs = BTreeMap<ItemId, Sha256>;

/// A line of a repair list.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum RepairLine<'a> {
    Crate {
        name: &'a CrateName,
        version: &'a Version,
        sha256: Sha256,
    },
    #[serde(rename = "artifact")]
    DistFile {
        path: &'a SafePath,
        sha256: Sha256,
    },
}

/// The text of a repair list: JSON, one object per line. An object with `kind` `crate` has `name`, `version` and `sha256`. An
/// object with `kind` `artifact` (a dist file) has `path` and `sha256`.
pub fn render_repair_list(repairs: &Repairs) -> String {
    let line = |(item, sha256): (&ItemId, &Sha256)| {
        let line = match item {
            ItemId::Crate(id) => RepairLine::Crate { name: &id.name, version: &id.version, sha256: *sha256 },
            ItemId::DistFile(path) => RepairLine::DistFile { path, sha256: *sha256 },
        };
        serde_json::to_string(&line).expect("plain fields are JSON") + "\n"
    };
    repairs.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repair_list_has_one_object_a_line() {
        let id = CrateId::parse("Foo-Bar", "1.0.0+b").expect("a crate");
        let sha256 = Sha256::of(b"");
        let path: SafePath = "dist/2026-04-16/x.tar.xz".parse().expect("a path");
        let text = render_repair_list(&[(ItemId::Crate(id), sha256), (ItemId::DistFile(path), sha256)].into());
        assert_eq!(
            text,
            format!(
                "{{\"kind\":\"crate\",\"name\":\"Foo-Bar\",\"version\":\"1.0.0+b\",\"sha256\":\"{sha256}\"}}\n\
                 {{\"kind\":\"artifact\",\"path\":\"dist/2026-04-16/x.tar.xz\",\"sha256\":\"{sha256}\"}}\n"
            )
        );
        assert_eq!(render_repair_list(&Repairs::new()), "");
    }

    #[test]
    fn control_characters_in_file_names_are_escaped() {
        let reported = Problem::new("crates/\u{1b}[2J", Fault::Unrecognized).to_string();
        assert_eq!(reported, "crates/\\u{1b}[2J: nothing names it");
    }
}
