//! The set of a lineage: everything that its inputs need, in shards, so that a change costs what changed.
//!
//! # Rows
//!
//! A row is a line of fields with a tab between them. The first field is its kind. A kind that this version does not know is
//! a newer format, and the error says so.
//!
//! ```text
//! c REGISTRY NAME VERSION SHA256 SIZE LINE-SHA256 INTRODUCED INPUTS FLAGS
//! f PATH SHA256 SIZE INTRODUCED INPUTS
//! ```
//!
//! - `c` is a crate. REGISTRY is `-` for crates.io, otherwise 16 hexadecimal digits ([`RegistryId`]). SHA256 and SIZE are
//!   those of the `.crate` file; SIZE is 0 if no bundle has the file. LINE-SHA256 is the digest of its index line without
//!   line break. FLAGS are `-`, or of the letters `x` (index-only) and `y` (yanked) those that apply.
//! - `f` is a file: `dist/…`, `rustup/…`, or a file of a git repository, `git/HOST/…/NAME.git/FILE`. See [`FilePath`].
//! - INTRODUCED is the number of the bundle that introduced the row's content: the bundles since then name it without a gap.
//!   After a bundle was imported, a mirror certainly has the rows with at most its number.
//! - INPUTS are the numbers of the inputs that need it, ascending, with commas; at least one. An input keeps its number
//!   for the whole life of the lineage.
//!
//! A row has exactly one spelling: lowercase digits of digests, numbers without leading zeros, versions as semver prints
//! them. A reader renders each row again and compares, so unknown fields and second spellings are errors.
//!
//! # Order and shards
//!
//! The **key** of a row is its kind with REGISTRY, NAME and VERSION, or with PATH. Its **placement** is the key in lower
//! case without VERSION. The placement of a path is its first two components, of a git file the path up to `….git`. So all
//! versions of a name are together, and so are the files of one date. The **place** is the first 8 bytes of the SHA-256 of
//! the placement.
//!
//! Rows are sorted by place, and then by the key in lower case. No two have the same key in lower case, no two names differ
//! only in case, and no path is below the path of another row. This order does not depend on the number of shards. So sets
//! of any size can be compared and united in one pass that has one shard of each in memory.
//!
//! The number of shards is 2^bits for the smallest `bits` with at most [`ROWS_PER_SHARD`] rows a shard on average. It depends
//! on the number of rows alone ([`shard_bits`]), so a set has one digest, whatever its history. A row is in the shard that
//! the first `bits` bits of its place name. The text of a shard is its rows, each with a line break.
//!
//! # Digests
//!
//! The list of shards is the line `frostmirror-set 2 ROWS` and then the SHA-256 of every shard's text, one a line. The
//! **root** is the SHA-256 of this list. It depends on every byte of the set. A shard without rows has the digest of the
//! empty text, and is not stored.
//!
//! # Changes
//!
//! A bundle has the changes from one set to another as text in sections:
//!
//! ```text
//! @ SHARD SHA256      the rows up to the next such line are in this shard of the set after the change, which then has
//!                     this digest
//! - KEY               removes a row
//! ~ KEY INPUTS        replaces the inputs of a row; nothing else of it differs
//! + ROW               adds a row, or replaces the row with this key in lower case
//! ```
//!
//! Changes have the order of rows. Between two sets there is exactly one list of changes: nothing is removed that does not
//! exist, no row is replaced by itself, and a row of which only the inputs differ has the short form. Every shard that is named has a change. A section has whole lines and begins with
//! an `@` line; if a shard continues from the section before, the line is repeated. If the number of shards changes, the
//! receiver moves rows between shards itself, and no text is needed for that. Added rows name only the inputs and registries
//! that the bundle lists, and no later bundle ([`RowRules`]).
//!
//! # Limits
//!
//! | | |
//! |---|---|
//! | rows of a set | [`MAX_ROWS`], 16,777,216 |
//! | shards | 2^[`MAX_BITS`], 65,536 |
//! | text of a shard | [`MAX_SHARD_SIZE`], 4 MiB |
//! | list of shards | [`MAX_LIST_SIZE`], 4.3 MB |
//! | row | [`MAX_ROW_LENGTH`], 32 KiB |
//! | inputs of a row | [`MAX_INPUTS_PER_ROW`], 4,096 |
//! | number of an input | 1 to [`MAX_INPUT`], 999,999 |
//! | section of changes | [`MAX_SECTION_SIZE`], 4 MiB |
//!
//! # Threats
//!
//! | attack | defence |
//! |---|---|
//! | a flipped bit in a shard or in the list | both are read by their digest; the error names the shard |
//! | changes for another set | the root before is compared first, and the root after at the end |
//! | changes that say something else than the sender's set | the digest of each changed shard, which the error names |
//! | a text that asks for memory | every length is limited before it is read; rows are bounded by their minimum of 80 bytes |
//! | many rows in one shard, by chosen names | the shard's limit; the error names the shard, and nothing is changed |
//! | a second spelling, a duplicate, another order, a row in a foreign shard | each is an error that names shard and row |
//! | a set whose list states another number of rows | a walk over the whole set compares it |
//!
//! Nothing here touches files: a [`ShardStore`] does. Shards are stored before the root is compared. They are named by their
//! digest, so a shard that no list names is harmless.

mod build;
mod changes;
mod diff;
mod digest_list;
mod edit;
mod error;
mod fault;
mod key;
mod limits;
mod lookup;
mod merge;
mod row;
mod shard;
mod store;
mod summary;
#[cfg(test)]
mod tests;
mod union;
mod walk;

pub use build::{Builder, build};
pub use changes::{Change, ChangeReader, PlacedChange, RowRules};
pub use diff::{DiffTotals, diff};
pub use digest_list::DigestList;
pub use edit::{SetChange, apply, edit};
pub use error::Error;
pub use fault::{ChangeFault, ListFault, RowFault};
pub use key::{CrateKey, FilePath, InvalidFilePath, Key, Registry, RegistryId, SortKey};
pub use limits::{
    MAX_BITS, MAX_INPUT, MAX_INPUTS_PER_ROW, MAX_LIST_SIZE, MAX_ROW_LENGTH, MAX_ROWS, MAX_SECTION_SIZE, MAX_SHARD_SIZE,
    ROWS_PER_SHARD, shard_bits,
};
pub use lookup::Lookup;
pub use row::{CrateRow, FileRow, Inputs, Row};
pub use shard::PlacedRow;
pub use store::{LayeredStore, SetRef, ShardStore};
pub use summary::SetSummary;
pub use union::{Union, UnionRow};
pub use walk::Walk;
