//! What is wrong with a line of a set. Each is the end of a sentence that names the line.

/// A fault of a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    /// It is not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// It has no line break.
    #[error("has no line break at its end")]
    Unterminated,
    /// It is longer than [`MAX_ROW_LENGTH`](super::MAX_ROW_LENGTH).
    #[error("is longer than 32 KiB")]
    TooLong,
    /// A newer version wrote it.
    #[error("has the kind `{}`, which this version does not know", .0.escape_debug())]
    UnknownKind(String),
    /// It has too few or too many fields.
    #[error("has a wrong number of fields")]
    FieldCount,
    /// A field is invalid.
    #[error("has an invalid {0}")]
    Field(&'static str),
    /// Its path is not that of a file in a set.
    #[error("has the path `{}`, which {reason}", path.escape_debug())]
    Path {
        /// The path.
        path: String,
        /// The problem.
        reason: String,
    },
    /// It has another spelling than the canonical one.
    #[error("is not in the canonical form")]
    NotCanonical,
    /// Its key occurs before.
    #[error("is a second row for {0}")]
    Duplicate(String),
    /// Its key precedes the one before.
    #[error("is for {0}, which is out of order")]
    OutOfOrder(String),
    /// Its key belongs in another shard.
    #[error("is for {0}, which belongs in another shard")]
    WrongShard(String),
    /// Another row has the same name in different case.
    #[error("is for {0}, whose name another row spells in different case")]
    DifferentCase(String),
    /// The path of another row is a folder of its path.
    #[error("is for {0}, which is below the path of another row")]
    BelowFile(String),
}

/// A fault of a line in a section of changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeFault {
    /// The row or key in it.
    #[error(transparent)]
    Row(#[from] RowFault),
    /// It is neither a shard nor a change.
    #[error("is neither a shard nor a change")]
    UnknownLine,
    /// The number or digest of a shard is invalid.
    #[error("does not name a shard of this set")]
    InvalidShard,
    /// The shard does not follow the one before.
    #[error("names a shard that is duplicated or out of order")]
    ShardOrder,
    /// The change belongs to no shard.
    #[error("has a change before the first shard")]
    NoShard,
    /// It names an input that the bundle does not list.
    #[error("names the input {0}, which the bundle does not list")]
    UnknownInput(u32),
    /// It names a registry that the bundle does not list.
    #[error("names the registry {0}, which the bundle does not list")]
    UnknownRegistry(String),
    /// It names a bundle after its own.
    #[error("states that bundle {introduced} introduced its row, but this is bundle {sequence}")]
    LaterBundle {
        /// The number in the row.
        introduced: u64,
        /// The number of the bundle.
        sequence: u64,
    },
    /// The shard before it has no change.
    #[error("follows a shard without changes")]
    EmptyShard,
}

/// A fault of a list of shards.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListFault {
    /// It is longer than [`MAX_LIST_SIZE`](super::MAX_LIST_SIZE).
    #[error("is longer than any set needs")]
    TooLong,
    /// A newer version wrote it.
    #[error("has the version `{}`, which this version does not know", .0.escape_debug())]
    UnknownVersion(String),
    /// The first line is invalid.
    #[error("has an invalid first line")]
    FirstLine,
    /// It states more rows than a set can have.
    #[error("states more than 16777216 rows")]
    TooManyRows,
    /// A line is not a digest.
    #[error("has an invalid digest for shard {0}")]
    Digest(usize),
    /// The number of shards does not follow from the number of rows.
    #[error("does not have the number of shards that its rows need")]
    ShardCount,
}
