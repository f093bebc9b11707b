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
//! Rules; the reader names each violated one:
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
//! - `lineage.previous` is the id of the bundle with the number before it in its history, which the history knows also for
//!   a full bundle. Number 1 is the first and has none, and neither have numbers from [`FIRST_TIMESTAMP_SEQUENCE`](super::sequence::FIRST_TIMESTAMP_SEQUENCE) on. The same holds for
//!   each history that a snapshot includes. A mirror follows this chain and not the numbers, see `mirror::layout`;
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
//! A **refreshed** crate came with an earlier bundle of the history, and upstream changed its index line since, for example
//! by a yank. The bundle has the new line, but neither the file nor a reference to it. The line replaces the stored line of
//! the crate; if the mirror lacks the crate, the line waits for it. A refreshed crate does not count as needed by an input,
//! and gc does not keep it for that reason. A delta refreshes what changed since its base. A full bundle refreshes every
//! changed crate that no input of that run needs; the lines of needed crates are in the table anyway.
//!
//! A **snapshot** is a mirror in one bundle. Its table names every crate in the mirror's index, shipped or index-only, and
//! the crates that only its histories name, as `kept`. A crate's `read` is the time when its own line was read. Its
//! `lineage` is not a history: its ID is derived from the crates that no history references, which are its one input.
//! `carried` has the newest bundle of each of the mirror's histories, as positions in the table, sorted by history and
//! bundle, at most [`MAX_CARRIED_HISTORIES`]. If a history's newest bundle is doubtful, `carried` has all candidates. The
//! files of live mode are one of the histories. Only a snapshot has `carried`, `read`, and the entries `frostmirror.toml`
//! and `depends.toml`, each at most [`MAX_CONFIG_SIZE`] bytes. They contain no private data of the mirror's host.
//!
//! Threats: a bundle is hostile until all of its bytes are checked. Lengths are checked before any allocation, arithmetic is
//! checked, and paths cannot leave the root. The reader extracts nothing: it passes bytes to the importer, which commits
//! them only if the whole bundle is valid.
//!
//! Versions:
//! - 1: the first.
//! - 2: [`set_bundle`](super::set_bundle), with a set in place of the tables. `fetch` does not write it, and mirrors do not
//!   import it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::{HashingWriter, Sha256};
use crate::mirror_file::FileKind;
use crate::safe_path::SafePath;

/// The magic: the first eight bytes.
pub const MAGIC: [u8; 8] = *b"\x89FMB\r\n\x1a\n";
/// Size of the header in bytes.
pub const HEADER_SIZE: usize = 96;
/// Maximum plain size of a manifest in bytes.
pub const MAX_MANIFEST_SIZE: u64 = 128 * 1024 * 1024;
/// Maximum compression ratio of the manifest, beyond [`RATIO_ALLOWANCE`]. Real manifests reach about three, because digests
/// do not compress; 32 is generous.
pub const MANIFEST_RATIO: u64 = 32;
/// Maximum plain size of a compressed block in bytes.
pub const MAX_BLOCK_SIZE: u64 = 4 * 1024 * 1024;
/// Maximum stored size of a compressed block in bytes. Brotli adds a few bytes per thousand to incompressible data.
pub const MAX_STORED_BLOCK_SIZE: u64 = MAX_BLOCK_SIZE + 64 * 1024;
/// Maximum length of an index line in bytes, without its line break. The longest of crates.io are near 100 kB.
pub const MAX_LINE_LENGTH: usize = 1024 * 1024;
/// Maximum size of an index entry in bytes, however it is stored: merging index text needs a whole file in memory.
pub const MAX_INDEX_ENTRY_SIZE: u64 = 2 * MAX_BLOCK_SIZE;
/// Maximum size of a configuration file in bytes.
pub const MAX_CONFIG_SIZE: u64 = 1024 * 1024;
/// Maximum size of each text of [`SkippedPackage`] in bytes.
pub const MAX_SKIPPED_PACKAGE_TEXT: usize = 1024;
/// Maximum number of histories in a snapshot. Each becomes a record, and each record names all known histories.
pub const MAX_CARRIED_HISTORIES: usize = 1024;
/// Maximum compression ratio of a brotli stream, beyond [`RATIO_ALLOWANCE`]. Repetitive index text of many versions stays
/// near 30.
pub const MAX_RATIO: u64 = 200;
/// Plain size in bytes that any brotli stream may have, however short it is.
pub const RATIO_ALLOWANCE: u64 = 64 * 1024;

/// Minimum stored size of a manifest per table row in bytes, beyond [`ROWS_ALLOWANCE`]. The 32 random bytes of a row's
/// digest alone need more.
pub const STORED_BYTES_PER_ROW: u64 = 24;
/// Number of rows that a manifest of any stored length may have.
pub const ROWS_ALLOWANCE: u64 = 4096;
/// Maximum size of a crate's description, licence or repository as JSON, in bytes.
pub const MAX_TEXT_LENGTH: usize = 2048;
/// Maximum size of a bundle's file name as JSON, in bytes.
pub const MAX_FILE_NAME_LENGTH: usize = 1024;
/// Maximum number of targets and of toolchains in a manifest.
pub const MAX_NAMES: usize = 1024;
/// Maximum length of a target's or toolchain's name in bytes.
pub const MAX_NAME_LENGTH: usize = 256;
/// Maximum number of inputs in a history.
pub const MAX_INPUTS: usize = 4096;
/// Maximum weight of a history, in addition to the weight per row.
pub const MAX_HISTORY_WEIGHT: u64 = 4 * 1024 * 1024;
/// Maximum weight of all histories of a mirror or a snapshot, in addition to the weight per row.
pub const MAX_HISTORIES_WEIGHT: u64 = 32 * 1024 * 1024;
/// Weight per table row that histories may have.
pub const HISTORY_WEIGHT_PER_ROW: u64 = 2048;

/// The lineage of every bundle of frostmirror 1.x: `frostmirror-1.xx` in hexadecimal.
pub const LEGACY_LINEAGE: &str = "66726f73746d6972726f722d312e7878";

/// A version of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FormatVersion(pub u32);

impl FormatVersion {
    /// The version that `fetch` writes, and the newest that a mirror imports.
    pub const CURRENT: FormatVersion = FormatVersion(1);
    /// The version of [`set_bundle`](super::set_bundle).
    pub const SET: FormatVersion = FormatVersion(2);

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

/// The kind of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BundleKind {
    /// It contains all resolved files.
    Full,
    /// It contains only what its base lacks.
    Delta,
    /// It contains a whole mirror with its configuration.
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

/// The manifest. Unknown keys are ignored within a version; a new key that a reader must obey needs a new version.
///
/// The order of the fields is the order of the keys in the file. The ID is first, because it is derived from the rest. The
/// crates precede the fields that refer to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// 32 hexadecimal digits derived from the other fields.
    pub id: String,
    /// Version of the format, equal to the header's.
    pub format: FormatVersion,
    /// The tool that wrote it, `cargo-frostmirror 0.1.0`.
    pub tool: String,
    /// The creation time (RFC 3339, UTC, whole seconds; respects SOURCE_DATE_EPOCH).
    pub created: String,
    /// The kind: full, delta or snapshot.
    pub kind: BundleKind,
    /// Whether it repairs a mirror: it contains exactly the requested files, whatever was sent before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repair: bool,
    /// The base bundle of a delta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The target triples.
    #[serde(default)]
    pub targets: Vec<String>,
    /// The included toolchains.
    #[serde(default)]
    pub toolchains: Vec<String>,
    /// When the index was read (RFC 3339, UTC): of two lines for one version, the one that was read later wins. Except in a
    /// snapshot, it is at most a day after `created`.
    pub index_read: String,
    /// Every resolved crate, shipped or not, sorted by name and version.
    pub crates: Vec<CrateRecord>,
    /// Every needed dist file, shipped or not, sorted by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "artifacts")]
    pub dist_files: Vec<DistFileRecord>,
    /// Crates of earlier bundles whose changed index lines are included, sorted by name and version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "refreshed")]
    pub refreshed_crates: Vec<RefreshedCrate>,
    /// The bundle's history. In a snapshot: the crates that no history references.
    pub lineage: Lineage,
    /// The histories of a snapshot, by ID and bundle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "carried")]
    pub carried_histories: Vec<CarriedHistory>,
    /// The payload.
    pub blocks: Vec<Block>,
}

/// The base bundle of a delta.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its id.
    pub id: String,
    /// Its file name at creation.
    pub file: String,
}

/// A history: a series of bundles for one mirror.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The bundle's number in the lineage, from 1.
    pub sequence: u64,
    /// The id of the bundle with the number before it; `None` for number 1, and if the number is a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Every input of the lineage that was not retired, each with its newest set.
    pub inputs: Vec<Input>,
}

/// The newest bundle of a history in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedHistory {
    /// The bundle's id.
    pub bundle: String,
    /// Its file name.
    pub file: String,
    /// Its creation time (RFC 3339, UTC).
    pub created: String,
    /// The time when its index was read (RFC 3339, UTC).
    pub index_read: String,
    /// The history.
    pub lineage: Lineage,
    /// Its crates, as positions in [`Manifest::crates`], ascending.
    pub crates: Vec<u32>,
    /// Its dist files, as positions in [`Manifest::dist_files`], ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "artifacts")]
    pub dist_files: Vec<u32>,
}

/// An input and its needs: one depends.toml, one lockfile or one `--crate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The label and kind of the input, such as `app (Cargo.lock)`, or `--crate NAME@REQ`. Never a path.
    pub name: String,
    /// The requirements as the user wrote them, e.g. `serde = "1"`.
    #[serde(default)]
    pub roots: Vec<String>,
    /// The crates it needs, as positions in [`Manifest::crates`], ascending.
    pub crates: Vec<u32>,
    /// The dist files it needs, as positions in [`Manifest::dist_files`], ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "artifacts")]
    pub dist_files: Vec<u32>,
    /// Packages that it needs and that no bundle of the history contains: it cannot be built from these bundles alone.
    /// Sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "left_out")]
    pub skipped_packages: Vec<SkippedPackage>,
}

impl Input {
    /// An input without roots, which names these positions.
    pub fn new(name: impl Into<String>, crates: Vec<u32>, dist_files: Vec<u32>) -> Input {
        Input { name: name.into(), roots: Vec::new(), crates, dist_files, skipped_packages: Vec::new() }
    }
}

/// A package that an input needs and that the user left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SkippedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its source: `git: URL` or `registry: URL`, without credentials.
    pub source: String,
    /// The flag that left it out.
    #[serde(rename = "why")]
    pub reason: String,
}

/// A crate of the resolved set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrateRecord {
    /// Its name.
    pub name: CrateName,
    /// Its version.
    pub version: Version,
    /// Upstream's digest of the `.crate` file.
    pub sha256: Sha256,
    /// Size of the `.crate` file in bytes; 0 if the file is neither shipped nor known.
    #[serde(default)]
    pub size: u64,
    /// The location of its bytes.
    pub state: CrateState,
    /// Whether it was yanked when the index was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub yanked: bool,
    /// In a snapshot, when the crate's index line was read (RFC 3339, UTC), if that differs from [`Manifest::index_read`].
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
    /// A crate without metadata.
    pub fn new(CrateId { name, version }: CrateId, sha256: Sha256, size: u64, state: CrateState) -> CrateRecord {
        CrateRecord {
            name,
            version,
            sha256,
            size,
            state,
            yanked: false,
            read_at: None,
            description: None,
            license: None,
            repository: None,
        }
    }

    /// The crate's identity.
    pub fn id(&self) -> CrateId {
        CrateId { name: self.name.clone(), version: self.version.clone() }
    }
}

/// A crate of an earlier bundle whose changed index line is included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshedCrate {
    /// Its name.
    pub name: CrateName,
    /// Its version.
    pub version: Version,
    /// Upstream's digest of the `.crate` file.
    pub sha256: Sha256,
    /// Whether it was yanked when the index was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub yanked: bool,
}

impl RefreshedCrate {
    /// The crate's identity.
    pub fn id(&self) -> CrateId {
        CrateId { name: self.name.clone(), version: self.version.clone() }
    }
}

/// The location of a crate's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrateState {
    /// In this bundle.
    Shipped,
    /// In an earlier bundle of the lineage, which the mirror must have.
    Sent,
    /// In no bundle: a platform filter left the file out and kept the index line.
    IndexOnly,
    /// Belongs to another input of the lineage. It is named so that it stays referenced; the bundle does not rely on it and
    /// has no index line for it.
    Kept,
}

/// A dist file: a file of rustup or of a toolchain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistFileRecord {
    /// Its path: `dist/…` or `rustup/…`.
    pub path: SafePath,
    /// Digest of its bytes, as upstream states it.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
    /// The location of its bytes.
    pub state: DistFileState,
    /// In a snapshot, when it was read from upstream (RFC 3339, UTC), if that differs from [`Manifest::index_read`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "read")]
    pub read_at: Option<String>,
}

/// The location of a dist file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DistFileState {
    /// In this bundle, at this path or at another one with the same digest.
    Shipped,
    /// In an earlier bundle of the lineage, which the mirror must have.
    Sent,
    /// Belongs to another input of the lineage. It is named so that it stays referenced; the bundle does not rely on it.
    Kept,
}

/// The encoding of a block.
///
/// An unknown name is not malformed but newer, and the error says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Uncompressed.
    Stored,
    /// One brotli stream.
    Brotli,
    /// A name that this version does not know.
    #[serde(untagged)]
    Unknown(String),
}

/// A range of stored bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Its encoding.
    pub encoding: Encoding,
    /// The stored bytes of a compressed block; absent for an uncompressed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredBytes>,
    /// The entries in order. At least one; exactly one in an uncompressed block.
    pub entries: Vec<Entry>,
}

/// Size and digest of a compressed block's stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBytes {
    /// Length in bytes.
    pub size: u64,
    /// Digest of the stored bytes.
    pub sha256: Sha256,
}

/// A file in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path.
    pub path: SafePath,
    /// Size of its content in bytes.
    pub size: u64,
    /// Digest of its content.
    pub sha256: Sha256,
    /// Its kind.
    pub kind: FileKind,
}

impl Manifest {
    /// A full manifest without content or id, of this tool and the current format.
    pub fn new(created: String, index_read: String, lineage: Lineage) -> Manifest {
        Manifest {
            id: String::new(),
            format: FormatVersion::CURRENT,
            tool: format!("cargo-frostmirror {}", env!("CARGO_PKG_VERSION")),
            created,
            kind: BundleKind::Full,
            repair: false,
            parent: None,
            targets: Vec::new(),
            toolchains: Vec::new(),
            index_read,
            crates: Vec::new(),
            dist_files: Vec::new(),
            lineage,
            carried_histories: Vec::new(),
            refreshed_crates: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// The time when the index line of `record`, a crate of the table, was read.
    pub fn line_read_at<'m>(&'m self, record: &'m CrateRecord) -> &'m str {
        record.read_at.as_deref().unwrap_or(&self.index_read)
    }

    /// The time when `record`, a dist file of the table, was read.
    pub fn dist_file_read_at<'m>(&'m self, record: &'m DistFileRecord) -> &'m str {
        record.read_at.as_deref().unwrap_or(&self.index_read)
    }

    /// Whether it was converted from a bundle of frostmirror 1.x, whose toolchains are seldom complete. A false claim has no
    /// benefit: the import then uses less of the bundle.
    pub fn is_legacy(&self) -> bool {
        self.lineage.id == LEGACY_LINEAGE
    }

    /// The dist files of the table in this state.
    pub fn dist_files_in(&self, state: DistFileState) -> impl Iterator<Item = &DistFileRecord> {
        self.dist_files.iter().filter(move |record| record.state == state)
    }

    /// Packages that the inputs need and that no bundle contains, each with its input's name; includes the histories of a
    /// snapshot.
    pub fn skipped_packages(&self) -> impl Iterator<Item = (&str, &SkippedPackage)> {
        let lineages = std::iter::once(&self.lineage).chain(self.carried_histories.iter().map(|one| &one.lineage));
        let inputs = lineages.flat_map(|lineage| &lineage.inputs);
        inputs.flat_map(|input| input.skipped_packages.iter().map(|left_out| (input.name.as_str(), left_out)))
    }

    /// The number of histories of a snapshot. Several bundles that may be the newest of one history count once.
    pub fn carried_history_count(&self) -> usize {
        self.carried_histories.chunk_by(|one, next| one.lineage.id == next.lineage.id).count()
    }

    /// Every entry, in the payload's order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.blocks.iter().flat_map(|block| &block.entries)
    }

    /// The number of entries of `kind`.
    pub fn count_entries(&self, kind: FileKind) -> usize {
        self.entries().filter(|entry| entry.kind == kind).count()
    }

    /// The crates that the mirror must already have.
    pub fn previously_sent_crates(&self) -> impl Iterator<Item = &CrateRecord> {
        self.crates.iter().filter(|record| record.state == CrateState::Sent)
    }

    /// Sets the ID, which is derived from the other fields.
    pub fn assign_id(&mut self) {
        self.id = "0".repeat(ID_DIGITS);
        self.id = derive_id(self);
    }
}

/// The ID of a manifest of any version that has zeros in its place.
pub(super) fn derive_id(manifest: &impl Serialize) -> String {
    let mut writer = HashingWriter::new(std::io::sink());
    // A manifest is plain data with string keys, and writing to a sink cannot fail.
    serde_json::to_writer(&mut writer, manifest).expect("a manifest is JSON");
    short_id(&writer.finish().0)
}

/// Length of a bundle's or a lineage's ID in hexadecimal digits.
pub const ID_DIGITS: usize = 32;
/// The beginning of the plain manifest, directly before the digits of its ID.
pub const ID_PREFIX: &[u8] = br#"{"id":""#;

/// An ID: the first half of a digest.
pub fn short_id(digest: &Sha256) -> String {
    let mut text = digest.to_string();
    text.truncate(ID_DIGITS);
    text
}

impl Block {
    /// Size of the block in the file in bytes, or `None` if the sum overflows.
    pub fn stored_size(&self) -> Option<u64> {
        match self.stored {
            Some(stored) => Some(stored.size),
            None => self.plain_size(),
        }
    }

    /// Plain size of the block in bytes, or `None` if the sum overflows.
    pub fn plain_size(&self) -> Option<u64> {
        self.entries.iter().try_fold(0u64, |sum, entry| sum.checked_add(entry.size))
    }
}

/// The maximum weight of a manifest with this number of table rows. The weight is its plain size, plus [`COMMA_WEIGHT`] for
/// each comma between values, or [`NUMBER_WEIGHT`] before a number, because every parsed value needs memory, however short
/// it is.
///
/// A real manifest weighs about 1,200 per crate. This limit bounds a reader's memory; the stored and plain lengths do not:
/// `["a","a",…]` needs fourteen times its length. A snapshot also has the histories of its mirror.
pub fn manifest_weight_limit(rows: u64, snapshot: bool) -> u64 {
    let histories = if snapshot { MAX_HISTORIES_WEIGHT } else { 0 };
    let row = MAX_ROW_WEIGHT + HISTORY_WEIGHT_PER_ROW;
    rows.saturating_mul(row).saturating_add(8 * 1024 * 1024).saturating_add(histories)
}
/// The weight of a comma before a value that is not a number.
pub const COMMA_WEIGHT: u64 = 32;
/// The weight of a comma before a number.
pub const NUMBER_WEIGHT: u64 = 8;
/// The maximum weight of a row with its entries: 3 texts of [`MAX_TEXT_LENGTH`] bytes, and less than 2,000 for the rest.
const MAX_ROW_WEIGHT: u64 = 8192;

/// The maximum weight of a history in a snapshot, from a bundle with `rows` table rows.
pub fn history_weight(lineage: &Lineage, file: &str, rows: u64) -> u64 {
    /// IDs, times, keys and commas.
    const FIXED: u64 = 1024;
    /// A position has up to seven digits.
    const POSITION: u64 = 8 + NUMBER_WEIGHT;
    let inputs = lineage.inputs.iter().map(|input| {
        let positions = (input.crates.len() + input.dist_files.len()) as u64;
        input_weight(&input.name, &input.roots, &input.skipped_packages) + positions * POSITION
    });
    FIXED + json_length(file) as u64 + rows.saturating_mul(POSITION) + inputs.sum::<u64>()
}

/// The weight of an input without its positions.
pub(super) fn input_weight(name: &str, roots: &[String], skipped_packages: &[SkippedPackage]) -> u64 {
    let roots: u64 = roots.iter().map(|root| json_length(root) as u64 + 1 + COMMA_WEIGHT).sum();
    let texts =
        skipped_packages.iter().flat_map(|skipped| [&skipped.name, &skipped.version, &skipped.source, &skipped.reason]);
    let left_out: u64 = texts.map(|text| json_length(text) as u64 + 12 + COMMA_WEIGHT).sum();
    256 + left_out + json_length(name) as u64 + roots
}

/// Size of a text as JSON in bytes, with its quotes.
pub(super) fn json_length(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..0x20 => 6,
        _ => 1,
    };
    2 + text.bytes().map(escaped).sum::<usize>()
}

/// The maximum plain size of a brotli stream of `stored` bytes.
pub fn max_plain_size(stored: u64) -> u64 {
    stored.saturating_mul(MAX_RATIO).saturating_add(RATIO_ALLOWANCE)
}
