//! The problems of a bundle that is read to its end.

use super::set_bundle::{TableFault, TextFault};
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::safe_path::SafePath;

/// Maximum number of problems per bundle; a bundle with more cannot be repaired by hand.
pub(super) const MAX_PROBLEMS: usize = 1000;

/// A problem in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An entry's digest does not match.
    #[error("{path}: its SHA-256 is {actual}, but the manifest states {expected}")]
    WrongDigest {
        /// The entry.
        path: SafePath,
        /// The digest in the manifest.
        expected: Sha256,
        /// The digest of the bytes.
        actual: Sha256,
    },
    /// An entry's block cannot be decoded.
    #[error("{path}: its block is damaged ({fault})")]
    Undecodable {
        /// The entry.
        path: SafePath,
        /// The decoder's error.
        fault: String,
    },
    /// A block's stored digest does not match, although its entries are correct.
    #[error("{first}{}: the stored bytes of the block are damaged", others_suffix(.others))]
    CorruptBlock {
        /// The block's first entry.
        first: SafePath,
        /// The number of its further entries.
        others: usize,
    },
    /// The file ends inside an entry.
    #[error("{path}: the bundle ends before the end of this file; the copy is incomplete")]
    Truncated {
        /// The first incomplete entry.
        path: SafePath,
    },
    /// Bytes follow the last entry.
    #[error("unexpected bytes follow the last entry")]
    TrailingBytes,
    /// An index line is invalid.
    #[error("{path}: line {number} {fault}")]
    InvalidLine {
        /// The index entry.
        path: SafePath,
        /// The line number, from 1.
        number: u64,
        /// The problem.
        fault: LineFault,
    },
    /// The table of a part cannot be read.
    #[error("part {part}: its table {fault}")]
    CorruptTable {
        /// The part, from 1.
        part: usize,
        /// The damage.
        fault: TextFault,
    },
    /// The table of a part breaks a rule.
    #[error("part {part}: {fault}")]
    InvalidTable {
        /// The part, from 1.
        part: usize,
        /// The rule and the object.
        fault: Box<TableFault>,
    },
    /// The entries have other sums than the manifest states.
    #[error("the sums of all entries differ from `totals` in the manifest")]
    WrongTotals,
    /// No row names the file.
    #[error("{path}: the bundle's set has no row for this file")]
    UnknownFile {
        /// The entry.
        path: SafePath,
    },
    /// The row of the file is of a crate without a file.
    #[error("{path}: the row of this crate in the bundle's set is index-only")]
    IndexOnlyFile {
        /// The entry.
        path: SafePath,
    },
    /// Digest or size are not those of the row.
    #[error("{path}: its digest or size differs from its row in the bundle's set")]
    DiffersFromRow {
        /// The entry.
        path: SafePath,
    },
    /// A full bundle lacks a file.
    #[error("{name}: the bundle is full, but has no file for this row")]
    MissingFile {
        /// The name of the crate, or the path.
        name: String,
    },
    /// A crate has no index line, so cargo would never find it.
    #[error("{id}: the bundle has no index line for this crate")]
    MissingLine {
        /// The crate.
        id: CrateId,
    },
}

fn others_suffix(count: &usize) -> String {
    match count {
        0 => String::new(),
        1 => " and one more".to_owned(),
        n => format!(" and {n} more"),
    }
}

/// A problem of an index line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// Not valid for cargo.
    #[error("is not an index line that cargo can read")]
    Malformed,
    /// Longer than [`MAX_LINE_LENGTH`](super::format::MAX_LINE_LENGTH).
    #[error("exceeds the length limit of an index line")]
    TooLong,
    /// The last line has no line break.
    #[error("has no line break at its end")]
    Unterminated,
    /// It belongs in another file.
    #[error("is for {0}, which belongs in another index file")]
    WrongFile(CrateId),
    /// The crate is not in the table of crates.
    #[error("is for {0}, which the bundle does not contain")]
    UnknownCrate(CrateId),
    /// Its `cksum` is not the crate's digest.
    #[error("has a different checksum for {0} than the manifest")]
    WrongChecksum(CrateId),
    /// The crate already has a line.
    #[error("is a second line for {0}")]
    Duplicate(CrateId),
    /// It is not the line of the crate's row.
    #[error("is another line for {0} than the set states")]
    DiffersFromRow(CrateId),
    /// It is in a refreshed entry, but the set has the crate.
    #[error("is for {0}, which the set has, although the entry is refreshed")]
    NotRefreshed(CrateId),
    /// It is in a refreshed entry, and the line before belongs after it.
    #[error("is for {0}, which is out of order")]
    OutOfOrder(CrateId),
}
