//! The bundle's format. This page is the contract; writer and reader follow it.
//!
//! ```text
//! offset  bytes  what
//!      0      8  magic: 89 46 4D 42 0D 0A 1A 0A  (a text-mode copy breaks it, as with PNG)
//!      8      4  format version, little-endian
//!     12     24  version of the tool that wrote it, ASCII, padded with NUL
//!     36      8  length of the stored manifest in bytes, little-endian
//!     44      8  length of the plain manifest in bytes, little-endian
//!     52     32  SHA-256 of the stored manifest
//!     84     12  first 12 bytes of the SHA-256 over bytes 0..84
//!     96      …  the manifest: JSON, brotli
//!      …      …  the blocks, one after another in the manifest's order, nothing between and nothing after them
//! ```
//!
//! The first 96 bytes keep this meaning in every version, so that an older tool can say which newer one is needed.
//!
//! The plain manifest begins with `{"id":"`, 32 hexadecimal digits and `"`. The digits are the first half of the
//! SHA-256 over the plain manifest with 32 zeros in their place, so that the id covers every byte, also of keys that
//! a reader does not know.
//!
//! A **block** is a run of stored bytes with one encoding; it decodes to its entries' bytes, one after another. A
//! crate is a block of its own, stored as it is. Index text shares brotli blocks of at most [`MAX_BLOCK_SIZE`] plain
//! bytes. Each entry states path, size and SHA-256 of its content; a block that is not stored as it is states size
//! and SHA-256 of its stored bytes too, so that every stored byte can be checked without decoding.
//!
//! What must hold, and is refused by name where it does not:
//! - the manifest is at most [`MAX_MANIFEST_SIZE`] bytes plain, and at most [`MANIFEST_RATIO`] times its stored length (plus
//!   [`RATIO_ALLOWANCE`]); its weight (see [`manifest_weight_limit`]) stays in proportion to the crates that it names;
//! - each row of its tables is backed by [`STORED_BYTES_PER_ROW`] stored bytes, beyond [`ROWS_ALLOWANCE`] rows: a digest
//!   does not shrink, so that what a reader needs in memory is a small factor of what came;
//! - a row's description, licence and repository are at most [`MAX_TEXT_LENGTH`] bytes each, a file's name [`MAX_FILE_NAME_LENGTH`];
//!   there are at most [`MAX_NAMES`] targets and as many toolchains of [`MAX_NAME_LENGTH`] bytes each; a history has at most
//!   [`MAX_INPUTS`] inputs, and its weight (see [`history_weight`]) is at most [`MAX_HISTORY_WEIGHT`] and
//!   [`HISTORY_WEIGHT_PER_ROW`] for each row of the tables: whatever is imported can be exported again;
//! - times are RFC 3339 in UTC with whole seconds, ids are 32 lowercase hexadecimal digits, a delta names its parent;
//! - the crate table is sorted by name and version, and neither two crates of it nor two names differ only in case;
//! - the table of rustup artifacts is sorted by path, below dist/ and rustup/ and without hidden names, and no two of its
//!   paths differ only in case, and none is a folder of another; they are ASCII without `<>"|?*`, and no part of one is a
//!   device's name on Windows (`CON`, `NUL.txt`, `com1`);
//! - a version is at most 150 bytes, a crate's name 64, a path 1000 and each part of it 240, so that every file name that
//!   is derived from one is at most 255 bytes;
//! - an input's positions are ascending and within the tables; what it left out is sorted, each once, and each of its
//!   texts has 1 to [`MAX_SKIPPED_PACKAGE_TEXT`] bytes;
//! - every entry's path is a [`SafePath`] of the kind that it states, unique even without regard to case, and no folder
//!   of another entry's path; the entries are sorted by (kind, path), so that a reader needs no second look; crates
//!   come before index text;
//! - a crate's entry is `crates/NAME-VERSION.crate` of a crate in the table, with its digest and size; `shipped` means
//!   that an entry is here, and only then; a full bundle relies on nothing that was `sent`;
//! - a rustup artifact that is `shipped` has an entry with its digest and size, at its own path or, since the same bytes
//!   travel once, at that of another one with this digest; every entry below dist/ and rustup/ is at the path of one;
//! - a block that is stored as it is has exactly one entry and states no stored bytes of its own; an encoded block has
//!   no crates, is at most [`MAX_BLOCK_SIZE`] plain bytes and at most [`MAX_RATIO`] times its stored length (plus
//!   [`RATIO_ALLOWANCE`]), its stored length is at most [`MAX_STORED_BLOCK_SIZE`], and it decodes to exactly the sum of its
//!   entries;
//! - an index entry is not empty, is at most [`MAX_INDEX_ENTRY_SIZE`] bytes, and holds whole lines of at most [`MAX_LINE_LENGTH`] bytes,
//!   each of a crate in the table that is not `kept`, or of a refreshed one, and whose index path the entry is at, with
//!   the table's digest as its `cksum`; every crate of the table that is not `kept`, and every refreshed one, has exactly
//!   one line;
//! - the refreshed crates are sorted by name and version; one that the table of crates has too is `kept` there and has the
//!   same digest; no two names of both tables differ only in case; a snapshot has no refreshed crates;
//! - the file ends with the last block.
//!
//! A **refreshed** crate is one that an earlier bundle of the history brought and whose index line upstream changed since,
//! as when it yanks a version. The bundle has the new line and neither the file nor a claim on it: the line replaces that of
//! a crate which the mirror has; where the mirror has none, it waits for the crate. No input needs the crate for that reason,
//! and no collection keeps it for that reason. A delta refreshes what changed since its base, a full bundle whatever has ever
//! changed, as far as no input of that run needs it; the lines of those are with the table.
//!
//! A **snapshot** is a mirror in one bundle. Its table names every crate that the mirror's index lists, shipped or
//! index-only, and those that only its histories name, as `kept`; a crate's `read` says when its own line was read. Its
//! `lineage` is no history: its id follows from the crates that the mirror holds and no history claims, which are its
//! one input. `carried` has the newest bundle of each of the mirror's histories, as positions in the table, sorted by
//! history and bundle, at most [`MAX_CARRIED_HISTORIES`]; of a history of which numbers and times do not tell which bundle is the
//! newest, it has all that may be. What live mode brought is one of them. Only a snapshot has `carried`, `read`, and the entries `frostmirror.toml` and
//! `depends.toml`, each at most [`MAX_CONFIG_SIZE`] bytes; what was private to the mirror's host is not in them.
//!
//! Threats: a bundle is hostile until every one of its bytes was checked. Lengths are checked before anything is
//! allocated, arithmetic is checked, paths cannot climb, and the reader extracts nothing: it hands bytes to whoever
//! places them, and those are placed only when the whole bundle was found good.
//!
//! Versions:
//! - 1: the first.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::{HashingWriter, Sha256};
use crate::mirror_file::FileKind;
use crate::safe_path::SafePath;

/// The first eight bytes.
pub const MAGIC: [u8; 8] = *b"\x89FMB\r\n\x1a\n";
/// Bytes of the header.
pub const HEADER_SIZE: usize = 96;
/// Most bytes of a plain manifest.
pub const MAX_MANIFEST_SIZE: u64 = 128 * 1024 * 1024;
/// Most plain bytes that one stored byte of the manifest may stand for, beyond [`RATIO_ALLOWANCE`]. Real manifests
/// shrink about threefold, because digests do not shrink at all; 32 is generous.
pub const MANIFEST_RATIO: u64 = 32;
/// Most plain bytes of one encoded block.
pub const MAX_BLOCK_SIZE: u64 = 4 * 1024 * 1024;
/// Most stored bytes of one encoded block. Brotli adds a few bytes in a thousand to what does not shrink.
pub const MAX_STORED_BLOCK_SIZE: u64 = MAX_BLOCK_SIZE + 64 * 1024;
/// Most bytes of one index line, without its end. The longest of crates.io are near 100 kB.
pub const MAX_LINE_LENGTH: usize = 1024 * 1024;
/// Most bytes of one index entry, however it is stored: whoever merges index text holds a file of it in memory.
pub const MAX_INDEX_ENTRY_SIZE: u64 = 2 * MAX_BLOCK_SIZE;
/// Most bytes of one configuration file.
pub const MAX_CONFIG_SIZE: u64 = 1024 * 1024;
/// Most bytes of each text of [`SkippedPackage`].
pub const MAX_SKIPPED_PACKAGE_TEXT: usize = 1024;
/// Most bundles that a snapshot brings along. Each becomes a record, and each record names all histories known by then.
pub const MAX_CARRIED_HISTORIES: usize = 1024;
/// Most plain bytes that one stored byte may stand for in a brotli stream, beyond [`RATIO_ALLOWANCE`]. Index text of
/// many versions, repetitive as it is, stays near 30.
pub const MAX_RATIO: u64 = 200;
/// Plain bytes that any brotli stream may decode to, however short it is.
pub const RATIO_ALLOWANCE: u64 = 64 * 1024;

/// Fewest stored bytes of a manifest for each row of its tables, beyond [`ROWS_ALLOWANCE`]. The 32 random bytes of a
/// row's digest alone take more.
pub const STORED_BYTES_PER_ROW: u64 = 24;
/// Rows that a manifest may have whatever its stored length.
pub const ROWS_ALLOWANCE: u64 = 4096;
/// Most bytes of a crate's description, licence or repository, as JSON has them.
pub const MAX_TEXT_LENGTH: usize = 2048;
/// Most bytes of the name of a bundle's file, as JSON has them.
pub const MAX_FILE_NAME_LENGTH: usize = 1024;
/// Most targets of a manifest, and most toolchains.
pub const MAX_NAMES: usize = 1024;
/// Most bytes of the name of a target or a toolchain.
pub const MAX_NAME_LENGTH: usize = 256;
/// Most inputs of one history.
pub const MAX_INPUTS: usize = 4096;
/// Most weight of one history, beyond what its rows allow.
pub const MAX_HISTORY_WEIGHT: u64 = 4 * 1024 * 1024;
/// Most weight of all histories of a mirror, and of a snapshot, beyond what the rows allow.
pub const MAX_HISTORIES_WEIGHT: u64 = 32 * 1024 * 1024;
/// What each row of the tables adds to the weight that histories may have.
pub const HISTORY_WEIGHT_PER_ROW: u64 = 2048;

/// The lineage of every bundle of frostmirror 1.x: `frostmirror-1.xx` in hexadecimal.
pub const LEGACY_LINEAGE: &str = "66726f73746d6972726f722d312e7878";

/// A version of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FormatVersion(pub u32);

impl FormatVersion {
    /// The version that this tool writes, and the newest that it reads.
    pub const CURRENT: FormatVersion = FormatVersion(1);

    /// Whether this tool reads bundles of this version.
    pub fn is_readable(self) -> bool {
        self.0 >= 1 && self <= FormatVersion::CURRENT
    }
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Whether a bundle stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BundleKind {
    /// Everything that was resolved is in it.
    Full,
    /// Only what its parent's mirror lacks.
    Delta,
    /// A whole mirror with its configuration.
    Snapshot,
}

impl fmt::Display for BundleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BundleKind::Full => "full",
            BundleKind::Delta => "delta",
            BundleKind::Snapshot => "snapshot",
        })
    }
}

/// What the manifest says. Unknown keys are ignored within a version; a new key that a reader must obey is a new version.
///
/// The order of the fields is the order of the keys in the file: the id first, because it is derived from what
/// follows; the crates before what refers to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// 32 hexadecimal digits that are derived from all the rest.
    pub id: String,
    /// Version of the format, equal to the header's.
    pub format: FormatVersion,
    /// The tool that wrote it, `cargo-frostmirror 0.1.0`.
    pub tool: String,
    /// When it was written (RFC 3339, UTC, whole seconds; SOURCE_DATE_EPOCH is honoured).
    pub created: String,
    /// Whether it stands alone.
    pub kind: BundleKind,
    /// Whether it mends what a mirror has lost: exactly that is shipped, whatever was sent before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repair: bool,
    /// The bundle that a delta builds on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The target triples it was made for.
    #[serde(default)]
    pub targets: Vec<String>,
    /// The toolchains in it.
    #[serde(default)]
    pub toolchains: Vec<String>,
    /// When the index was read (RFC 3339, UTC): of two lines for one version, the later read is the newer. Other than in
    /// a snapshot, not more than a day after `created`.
    pub index_read: String,
    /// Every crate that is resolved, shipped or not, sorted by name and version.
    pub crates: Vec<CrateRecord>,
    /// Every file of rustup and of toolchains that is needed, shipped or not, sorted by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "artifacts")]
    pub dist_files: Vec<DistFileRecord>,
    /// The crates that came with earlier bundles and whose index lines are here anew, sorted by name and version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "refreshed")]
    pub refreshed_crates: Vec<RefreshedCrate>,
    /// The history that the bundle belongs to. Of a snapshot: what it holds and no history claims.
    pub lineage: Lineage,
    /// The histories that a snapshot brings along, by id and bundle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "carried")]
    pub carried_histories: Vec<CarriedHistory>,
    /// The payload.
    pub blocks: Vec<Block>,
}

/// The bundle that a delta builds on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its id.
    pub id: String,
    /// The name of its file when it was written.
    pub file: String,
}

/// One history that feeds one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Counts the bundles of the lineage, from 1.
    pub sequence: u64,
    /// Every input that the lineage was ever fed and was not told to forget, each with its newest set.
    pub inputs: Vec<Input>,
}

/// The newest bundle of a history, as a snapshot brings it along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedHistory {
    /// The bundle's id.
    pub bundle: String,
    /// The name of its file.
    pub file: String,
    /// When it was written (RFC 3339, UTC).
    pub created: String,
    /// When the index was read for it (RFC 3339, UTC).
    pub index_read: String,
    /// The history.
    pub lineage: Lineage,
    /// The crates that it named, as positions in [`Manifest::crates`], ascending.
    pub crates: Vec<u32>,
    /// The rustup artifacts that it named, as positions in [`Manifest::dist_files`], ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "artifacts")]
    pub dist_files: Vec<u32>,
}

/// One depends.toml, one lockfile or one `--crate`, and what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// What the input is called: its label and its kind, such as `app (Cargo.lock)`, or `--crate NAME@REQ`. Never a path.
    pub name: String,
    /// What was asked for, as the user wrote it, e.g. `serde = "1"`.
    #[serde(default)]
    pub roots: Vec<String>,
    /// The crates it needs, as positions in [`Manifest::crates`], ascending.
    pub crates: Vec<u32>,
    /// The rustup artifacts it needs, as positions in [`Manifest::dist_files`], ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "artifacts")]
    pub dist_files: Vec<u32>,
    /// What it needs besides and no bundle of the history brings: it does not build from these bundles alone. Sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "left_out")]
    pub skipped_packages: Vec<SkippedPackage>,
}

/// A package that an input needs and that its user left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SkippedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it comes from: `git: URL` or `registry: URL`, without credentials.
    pub source: String,
    /// Why it was left out, for people: the flag that did.
    #[serde(rename = "why")]
    pub reason: String,
}

/// One crate of the resolved set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrateRecord {
    /// Its name.
    pub name: CrateName,
    /// Its version.
    pub version: Version,
    /// Upstream's digest of the `.crate` file.
    pub sha256: Sha256,
    /// Bytes of the `.crate` file; 0 where the file is neither shipped nor known.
    #[serde(default)]
    pub size: u64,
    /// Where its bytes are.
    pub state: CrateState,
    /// Whether upstream had it yanked when the index was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub yanked: bool,
    /// In a snapshot, when the crate's index line was read (RFC 3339, UTC), where that is not
    /// [`Manifest::index_read`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "read")]
    pub read_at: Option<String>,
    /// `package.description`, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `package.license`, or `package.license-file` as `file: NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// `package.repository`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

impl CrateRecord {
    /// The crate's identity.
    pub fn id(&self) -> CrateId {
        CrateId { name: self.name.clone(), version: self.version.clone() }
    }
}

/// A crate of an earlier bundle whose index line is here as upstream has it now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshedCrate {
    /// Its name.
    pub name: CrateName,
    /// Its version.
    pub version: Version,
    /// Upstream's digest of the `.crate` file.
    pub sha256: Sha256,
    /// Whether upstream had it yanked when the index was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub yanked: bool,
}

impl RefreshedCrate {
    /// The crate's identity.
    pub fn id(&self) -> CrateId {
        CrateId { name: self.name.clone(), version: self.version.clone() }
    }
}

/// Where a crate's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrateState {
    /// In this bundle.
    Shipped,
    /// In an earlier bundle of the lineage; this one relies on it being held.
    Sent,
    /// Nowhere: a platform filter left the file out and kept the index line.
    IndexOnly,
    /// Belongs to another input of the lineage; named so that it stays current, not relied on, without an index line.
    Kept,
}

/// One file of rustup or of a toolchain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistFileRecord {
    /// Where it belongs: `dist/…` or `rustup/…`.
    pub path: SafePath,
    /// Digest of its bytes, which upstream vouches for.
    pub sha256: Sha256,
    /// Its length in bytes.
    pub size: u64,
    /// Where its bytes are.
    pub state: DistFileState,
    /// In a snapshot, when it was read from upstream (RFC 3339, UTC), where that is not [`Manifest::index_read`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "read")]
    pub read_at: Option<String>,
}

/// Where a rustup artifact's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DistFileState {
    /// In this bundle, at this path or at another one with the same digest.
    Shipped,
    /// In an earlier bundle of the lineage; this one relies on it being held.
    Sent,
    /// Belongs to another input of the lineage; named so that it stays current, not relied on.
    Kept,
}

/// How a block is stored.
///
/// An unknown name is not malformed but newer: the error says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// As it is.
    Stored,
    /// One brotli stream.
    Brotli,
    /// A name that this tool does not know.
    #[serde(untagged)]
    Unknown(String),
}

/// A run of stored bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// How its bytes are stored.
    pub encoding: Encoding,
    /// Stored bytes. Absent where they are the content itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredBytes>,
    /// What it decodes to, in order. At least one; exactly one where it is stored as it is.
    pub entries: Vec<Entry>,
}

/// Size and digest of a block's stored bytes, where they are not the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBytes {
    /// Length in bytes.
    pub size: u64,
    /// Digest of the stored bytes.
    pub sha256: Sha256,
}

/// One file of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it belongs.
    pub path: SafePath,
    /// Length of its content in bytes.
    pub size: u64,
    /// Digest of its content.
    pub sha256: Sha256,
    /// What it is.
    pub kind: FileKind,
}

impl Manifest {
    /// When the index line of `record`, which is a crate of the table, was read.
    pub fn line_read_at<'m>(&'m self, record: &'m CrateRecord) -> &'m str {
        record.read_at.as_deref().unwrap_or(&self.index_read)
    }

    /// When `record`, which is a rustup artifact of the table, was read.
    pub fn dist_file_read_at<'m>(&'m self, record: &'m DistFileRecord) -> &'m str {
        record.read_at.as_deref().unwrap_or(&self.index_read)
    }

    /// Whether it was made of a bundle of frostmirror 1.x, whose toolchains are hardly ever whole. Whoever claims that
    /// falsely gains nothing: less of the bundle is placed.
    pub fn is_legacy(&self) -> bool {
        self.lineage.id == LEGACY_LINEAGE
    }

    /// The rustup artifacts of the table in this state.
    pub fn dist_files_in(&self, state: DistFileState) -> impl Iterator<Item = &DistFileRecord> {
        self.dist_files.iter().filter(move |record| record.state == state)
    }

    /// What the inputs of the history need and no bundle brings, each with its input's name; those of a snapshot's
    /// histories too.
    pub fn skipped_packages(&self) -> impl Iterator<Item = (&str, &SkippedPackage)> {
        let lineages = std::iter::once(&self.lineage).chain(self.carried_histories.iter().map(|one| &one.lineage));
        let inputs = lineages.flat_map(|lineage| &lineage.inputs);
        inputs.flat_map(|input| input.skipped_packages.iter().map(|left_out| (input.name.as_str(), left_out)))
    }

    /// Every entry, in the payload's order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.blocks.iter().flat_map(|block| &block.entries)
    }

    /// How many entries are of `kind`.
    pub fn count_entries(&self, kind: FileKind) -> usize {
        self.entries().filter(|entry| entry.kind == kind).count()
    }

    /// The crates that the bundle relies on being held already.
    pub fn previously_sent_crates(&self) -> impl Iterator<Item = &CrateRecord> {
        self.crates.iter().filter(|record| record.state == CrateState::Sent)
    }

    /// Gives the manifest the id that follows from all the rest of it.
    pub fn assign_id(&mut self) {
        self.id = "0".repeat(ID_DIGITS);
        let mut writer = HashingWriter::new(std::io::sink());
        // A manifest is plain data: strings as keys, no foreign types; and a sink takes everything.
        serde_json::to_writer(&mut writer, self).expect("a manifest is JSON");
        self.id = short_id(&writer.finish().0);
    }
}

/// Hexadecimal digits of a bundle's or a lineage's id.
pub const ID_DIGITS: usize = 32;
/// What the plain manifest begins with, right before the digits of its id.
pub const ID_PREFIX: &[u8] = br#"{"id":""#;

/// The first half of a digest: an id.
pub fn short_id(digest: &Sha256) -> String {
    let mut text = digest.to_string();
    text.truncate(ID_DIGITS);
    text
}

impl Block {
    /// Bytes that the block takes in the file, `None` where the sum overflows.
    pub fn stored_size(&self) -> Option<u64> {
        match self.stored {
            Some(stored) => Some(stored.size),
            None => self.plain_size(),
        }
    }

    /// Bytes that the block decodes to, `None` where the sum overflows.
    pub fn plain_size(&self) -> Option<u64> {
        self.entries.iter().try_fold(0u64, |sum, entry| sum.checked_add(entry.size))
    }
}

/// Most that a manifest with so many rows in its tables may weigh: its plain bytes, and for each comma between values
/// [`COMMA_WEIGHT`] more, because what stands between two commas takes memory of its own, however short it is; before a
/// number [`NUMBER_WEIGHT`].
///
/// A real manifest weighs about 1,200 a crate. This is what bounds a reader's memory, as the stored length and the
/// plain length alone do not: `["a","a",…]` takes fourteen times its length. A snapshot has the histories of its mirror
/// as well.
pub fn manifest_weight_limit(rows: u64, snapshot: bool) -> u64 {
    let histories = if snapshot { MAX_HISTORIES_WEIGHT } else { 0 };
    let row = MAX_ROW_WEIGHT + HISTORY_WEIGHT_PER_ROW;
    rows.saturating_mul(row).saturating_add(8 * 1024 * 1024).saturating_add(histories)
}
/// What a comma before anything but a number adds to a manifest's weight.
pub const COMMA_WEIGHT: u64 = 32;
/// What a comma before a number adds.
pub const NUMBER_WEIGHT: u64 = 8;
/// The most that a row weighs with its entries: 3 texts of [`MAX_TEXT_LENGTH`] bytes, and less than 2,000 for the rest.
const MAX_ROW_WEIGHT: u64 = 8192;

/// What a history weighs at most when a snapshot carries it, from a bundle of it with `rows` rows in its tables.
pub fn history_weight(lineage: &Lineage, file: &str, rows: u64) -> u64 {
    /// Ids, times, keys and commas.
    const FIXED: u64 = 1024;
    /// A position has up to seven digits.
    const POSITION: u64 = 8 + NUMBER_WEIGHT;
    let inputs = lineage.inputs.iter().map(|input| {
        let roots: u64 = input.roots.iter().map(|root| json_length(root) as u64 + 1 + COMMA_WEIGHT).sum();
        let positions = (input.crates.len() + input.dist_files.len()) as u64;
        let texts = input
            .skipped_packages
            .iter()
            .flat_map(|skipped| [&skipped.name, &skipped.version, &skipped.source, &skipped.reason]);
        let left_out: u64 = texts.map(|text| json_length(text) as u64 + 12 + COMMA_WEIGHT).sum();
        256 + left_out + json_length(&input.name) as u64 + roots + positions * POSITION
    });
    FIXED + json_length(file) as u64 + rows.saturating_mul(POSITION) + inputs.sum::<u64>()
}

/// Bytes of a text in JSON, with its quotes.
pub(super) fn json_length(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..0x20 => 6,
        _ => 1,
    };
    2 + text.bytes().map(escaped).sum::<usize>()
}

/// The most plain bytes that a brotli stream of `stored` bytes may decode to.
pub fn max_plain_size(stored: u64) -> u64 {
    stored.saturating_mul(MAX_RATIO).saturating_add(RATIO_ALLOWANCE)
}
