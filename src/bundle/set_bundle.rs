//! Version 2 of the bundle's format: the set of a lineage travels as changes. This page is the contract; writer and reader
//! follow it. `fetch` writes [version 1](super::format) until mirrors store sets.
//!
//! ```text
//! offset  bytes  what
//!      0     96  the header, as in version 1: magic, format version, tool, stored and plain length of the manifest,
//!                SHA-256 of the stored manifest, checksum
//!     96      …  the manifest: JSON, brotli. It has no tables
//!      …      …  the sections of changes: text, brotli
//!      …      …  the parts. A part is its table (lines of JSON, brotli) and then its blocks
//!                nothing between and nothing after them
//! ```
//!
//! A pipe is read in one pass. Everything that decides whether the bundle can be imported precedes the first file's bytes.
//! The manifest states every part's length, so that a file on disk is listed without its payload.
//!
//! # Manifest
//!
//! [`SetManifest`] has the keys. `id`, `tool`, `created`, `index_read`, `kind`, `repair`, `parent`, `targets`, `toolchains`,
//! and `lineage` with `id`, `sequence` and `previous` have the meaning, the rules and the limits of version 1. The ID covers
//! the sections and tables, because the manifest has their digests.
//!
//! - `lineage.inputs` are ascending by `number`, which is 1 to 999,999 and never used again in the lineage. A label is never
//!   a path. There are at most 4,096, and their weight is at most 4 MiB;
//! - `fetched` are the numbers of the inputs of this run, ascending. The bundle relies on their rows;
//! - `registries` are those other than crates.io, at most 256. The ID follows from the URL, which is at most 1,024 bytes long
//!   and has no credentials. They are ascending by ID;
//! - `set` is the change of the lineage's set: `before` (absent for the empty set), `after`, and `sections`. A repair has
//!   none, and everything else has one. A full bundle has no `before`. There are sections if and only if the set changes;
//! - `parts` state the table, the number of entries, and the stored bytes of the blocks. There are at most 8,192;
//! - `totals` are entries and plain bytes by kind. They are the sums over the parts;
//! - `exceptions` from a policy are ascending, at most 1,024 with texts of at most 1,024 bytes. `expires` is a date.
//!
//! A snapshot has version 1. The plain manifest is at most 8 MiB, and its weight at most 24 MiB. Unknown keys are ignored; a
//! key that a reader must obey needs a new version.
//!
//! A section or a table has 1 byte to 4 MiB of plain text, and at most 10,000 times its stored size ([`MAX_TEXT_RATIO`]), plus
//! 64 KiB. There are at most 4,096 sections.
//!
//! # Set
//!
//! [`sharded_set`](crate::sharded_set) has the rules of rows and changes. Each added row names only inputs of
//! `lineage.inputs` and registries of `registries`, and `introduced` is at most `lineage.sequence`.
//!
//! # Parts
//!
//! A line of a table is a block: `encoding`, `stored` (size and digest, unless it is stored as it is), `entries`. An entry has
//! `path`, `size`, `sha256` and `kind`; a crate also `description`, `license` and `repository` of at most 2,048 bytes of JSON
//! each; an index file also `refreshed`. The rules of version 1 hold for blocks, sizes and configuration files. In addition:
//!
//! - a block has at most 2,048 entries, a bundle at most 524,288 files of toolchains and rustup, and 65,536 of them in one
//!   folder below `dist/` or `rustup/`;
//! - entries are sorted by kind: `crate`, `index`, `dist`, `rustup`, `config`. Within a kind they have the order of the set,
//!   and configuration files that of their paths. Two paths never differ only in case, and none is below another one;
//! - paths are those of version 1. Crates and index files of another registry are below `r/ID/`, and `registries` has the ID;
//! - a crate's or file's entry has a row of the set, with its digest and size. The crate is not index-only. The same bytes of
//!   dist files travel once: a file whose digest an earlier entry has needs none;
//! - each index line is that of a row: its `cksum` and the digest of the line are in the row. In an entry `refreshed` the
//!   lines are of crates that have no row, sorted and each once;
//! - each added crate of an input of `fetched` has exactly one line, unless the row that it replaces has the same digest of
//!   the line. Rows of other inputs need none;
//! - a full bundle has a file for each row of an input of `fetched` that is not index-only.
//!
//! If the set before is not known, entries and lines are compared with the added rows, and a missing line is not noticed. A
//! repair has no set, and only digests are compared.
//!
//! # Order of the checks
//!
//! 1. Header: magic, checksum, version, lengths.
//! 2. Digest, weight and JSON of the manifest, and its ID.
//! 3. Unknown kinds of inputs, then the rules of the manifest.
//! 4. Sections: digest, line by line, the digest of each changed shard, the root.
//! 5. Parts: the table's digest, unknown kinds and encodings, the rules of its entries, the blocks, rows and lines.
//! 6. The end of the file, and `totals`.
//! 7. Missing files and lines.
//!
//! The first problem of header, manifest or sections ends the reading, and so does a problem of a table. The reader collects
//! all problems of blocks, rows and lines, up to 1,000. What is missing is reported only if everything else is valid.
//!
//! An unknown version in the header, and an unknown kind or encoding of an input, a row or an entry, is not damage: the error
//! names the tool that wrote the bundle.
//!
//! # Threats
//!
//! | attack | defence |
//! |---|---|
//! | a flipped bit anywhere | the header's checksum, and a digest for every stored byte |
//! | a bomb in a section or a table | 4 MiB plain, a limited ratio, one at a time in memory |
//! | a manifest that is small in transit and large in memory | its weight |
//! | a table of many small values | each line is a block with at least one entry, and each entry has a digest |
//! | a forged index line beside a right crate | the row has the line's digest |
//! | a file that no row names, or one of another size | the row |
//! | one ID for two registries | the manifest states the URL of an ID, and the ID follows from the URL |
//! | a change of few rows that makes the receiver write much | a change of n rows writes at most n shards of 4 MiB |

mod compressed_text;
mod entry_key;
mod manifest;
mod reader;
mod rows;
mod rules;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use compressed_text::{CompressedText, MAX_TEXT_RATIO, TextFault};
pub use manifest::{
    InputKindName, KindTotal, MAX_EXCEPTION_TEXT, MAX_EXCEPTIONS, MAX_MANIFEST_SIZE, MAX_MANIFEST_WEIGHT, MAX_PARTS,
    MAX_REGISTRIES, MAX_SECTIONS, MAX_URL_LENGTH, NumberedInput, Part, PolicyException, RegistryRecord, SetLineage,
    SetManifest, StatedSet, Totals,
};
pub use reader::{Base, PartVisitor, SetBundle, SetContent, SetReport};
pub use table::{EntryDetails, PartBlock, TableFault};
pub use writer::{FileList, PackedFile, PlannedSet, SetPackPlan, write};
