//! Why a set cannot be read or changed.

use std::io;

use super::fault::{ChangeFault, ListFault, RowFault};
use super::summary::SetSummary;
use crate::digest::Sha256;

/// Why a set cannot be read or changed. Shards are counted from 0, as in their numbers; rows, lines and sections from 1.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error("could not read or write shard {shard} of the set")]
    Store {
        /// The shard.
        shard: usize,
        /// The system's error.
        source: io::Error,
    },
    /// The store lacks a shard.
    #[error("shard {shard} of the set is missing (SHA-256 {sha256})")]
    MissingShard {
        /// The shard.
        shard: usize,
        /// Its digest.
        sha256: Sha256,
    },
    /// A shard has another digest.
    #[error("shard {shard} of the set is damaged: its SHA-256 is {actual}, but the list of shards states {expected}")]
    DamagedShard {
        /// The shard.
        shard: usize,
        /// The digest in the list.
        expected: Sha256,
        /// The digest of its text.
        actual: Sha256,
    },
    /// A shard exceeds [`MAX_SHARD_SIZE`](super::MAX_SHARD_SIZE).
    #[error("shard {shard} of the set is larger than 4 MiB")]
    LargeShard {
        /// The shard.
        shard: usize,
    },
    /// A row of a shard is invalid.
    #[error("row {row} of shard {shard} {fault}")]
    InvalidRow {
        /// The shard.
        shard: usize,
        /// The row.
        row: usize,
        /// The problem.
        fault: RowFault,
    },
    /// The list of shards has another digest.
    #[error("the list of shards is damaged: its SHA-256 is {actual}, but {expected} is required")]
    DamagedList {
        /// The required digest.
        expected: Sha256,
        /// The digest of its text.
        actual: Sha256,
    },
    /// The list of shards cannot be read.
    #[error("could not read the list of shards {root}")]
    ReadList {
        /// The root.
        root: Sha256,
        /// The system's error.
        source: io::Error,
    },
    /// The list of shards is invalid.
    #[error("the list of shards {root} {fault}")]
    InvalidList {
        /// The root.
        root: Sha256,
        /// The problem.
        fault: ListFault,
    },
    /// The rows of all shards are not as many as the list states.
    #[error("the list of shards states {stated} as the number of rows, but there are {found}")]
    RowCount {
        /// The number in the list.
        stated: u64,
        /// The number of rows.
        found: u64,
    },
    /// A set would have more rows than [`MAX_ROWS`](super::MAX_ROWS).
    #[error("the set would have {0} rows, more than the limit of 16777216")]
    TooManyRows(u64),
    /// A section of changes cannot be read.
    #[error("could not read section {section} of the changes")]
    ReadSection {
        /// The section.
        section: usize,
        /// The system's error.
        source: io::Error,
    },
    /// A section of changes cannot be written.
    #[error("could not write section {section} of the changes")]
    WriteSection {
        /// The section.
        section: usize,
        /// The system's error.
        source: io::Error,
    },
    /// A section of changes is empty or larger than [`MAX_SECTION_SIZE`](super::MAX_SECTION_SIZE).
    #[error("section {section} of the changes is empty or larger than 4 MiB")]
    SectionSize {
        /// The section.
        section: usize,
    },
    /// A line of a section of changes is invalid.
    #[error("line {line} of section {section} of the changes {fault}")]
    InvalidChange {
        /// The section.
        section: usize,
        /// The line.
        line: usize,
        /// The problem.
        fault: ChangeFault,
    },
    /// The changes are for another set.
    #[error("the changes are for the set {expected}, but this is the set {found}")]
    OtherSet {
        /// The set for which they are.
        expected: SetSummary,
        /// The set to which they were applied.
        found: SetSummary,
    },
    /// A change removes a row that does not exist, or sets its inputs.
    #[error("the changes remove or change {key} in shard {shard}, which does not have it")]
    AbsentRow {
        /// The shard.
        shard: usize,
        /// The row's key.
        key: String,
    },
    /// A change replaces a row by itself.
    #[error("the changes replace {key} in shard {shard} by itself")]
    UselessChange {
        /// The shard.
        shard: usize,
        /// The row's key.
        key: String,
    },
    /// A change repeats a whole row although only its inputs differ.
    #[error("the changes repeat the row of {key} in shard {shard}, although only its inputs differ")]
    RepeatedRow {
        /// The shard.
        shard: usize,
        /// The row's key.
        key: String,
    },
    /// A changed shard does not have the stated digest.
    #[error("the changed shard {shard} has the SHA-256 {actual}, but the changes state {expected}")]
    ShardResult {
        /// The shard.
        shard: usize,
        /// The stated digest.
        expected: Sha256,
        /// The digest of the result.
        actual: Sha256,
    },
    /// The changed set has another number of rows.
    #[error("the bundle states {stated} as the number of rows of the changed set, but there are {found}")]
    ResultRows {
        /// The stated number.
        stated: u64,
        /// The number of rows.
        found: u64,
    },
    /// The changed set is not the stated one.
    #[error("the changed set is {actual}, but the bundle states {expected}")]
    SetResult {
        /// The stated set.
        expected: SetSummary,
        /// The result.
        actual: SetSummary,
    },
}

impl Error {
    /// Whether a newer version of the program wrote the text, so that only that version can read it.
    pub fn is_newer_format(&self) -> bool {
        matches!(
            self,
            Error::InvalidRow { fault: RowFault::UnknownKind(_), .. }
                | Error::InvalidChange { fault: ChangeFault::Row(RowFault::UnknownKind(_)), .. }
                | Error::InvalidList { fault: ListFault::UnknownVersion(_), .. }
        )
    }
}
