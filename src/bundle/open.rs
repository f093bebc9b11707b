//! The strict reader: header and manifest first, then the payload in one pass. It also reads from a pipe.
//!
//! | attack | defence |
//! |---|---|
//! | a flipped bit anywhere | header checksum, the manifest's digest, a digest for every stored byte |
//! | a length that asks for memory | every length is limited before anything is allocated; content passes in 64 KiB |
//! | a decompression bomb | stated lengths, ratios, an exact decoder with a 16 MiB window, the manifest's weight |
//! | a path that climbs, is absolute, collides, or hides below a file | [`SafePath`], and the manifest's rules |
//! | an entry that the manifest lacks, or bytes behind the last | only what the manifest names is read; then the file must end |
//! | sizes that lie or overflow | checked sums; framing follows the manifest, whose digest the header has |
//! | an index line of another crate than the shipped ones | each line is checked against the table of crates |
//! | a newer format mistaken for a damaged one | the version is in a header whose structure never changes, and has its own error |
//!
//! The reader collects all problems, not only the first, as far as the framing is intact.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::block_checker::{BlockChecker, StreamError};
use super::format::{Block, Entry, FormatVersion, HEADER_SIZE, MAGIC, Manifest};
use super::header::{Header, read_up_to, resembles_magic};
use super::index_line_checker::IndexLineChecker;
use super::manifest::ReadError;
use super::{legacy, manifest, validate};
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::panics::set_current_object;
use crate::safe_path::SafePath;

pub use super::index_line_checker::LineFault;
pub use super::legacy::LegacyError;
pub use super::validate::InvalidManifest;

/// Maximum number of problems per bundle; a bundle with more cannot be repaired by hand.
pub(super) const MAX_PROBLEMS: usize = 1000;

/// The reason why a bundle cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("could not read `{name}`")]
    Io {
        /// The bundle's file.
        name: String,
        /// The system's error.
        source: io::Error,
    },
    /// The path is a folder, not a bundle.
    #[error("`{name}` is a folder, not a bundle")]
    IsFolder {
        /// The folder.
        name: String,
    },
    /// The file is not a bundle.
    #[error("`{name}` is not a bundle")]
    NotABundle {
        /// The file.
        name: String,
    },
    /// The header is damaged.
    #[error("the header of `{name}` is damaged: {fault}")]
    CorruptHeader {
        /// The bundle's file.
        name: String,
        /// The problem.
        fault: String,
    },
    /// A newer tool wrote it.
    #[error("`{name}` was written by cargo-frostmirror {tool} in format {format}; this tool reads formats up to {newest}", newest = FormatVersion::CURRENT)]
    NewerFormat {
        /// The bundle's file.
        name: String,
        /// The tool's version.
        tool: String,
        /// The bundle's format version.
        format: FormatVersion,
    },
    /// A newer tool wrote it, with an unknown encoding.
    #[error("`{name}` was written by cargo-frostmirror {tool}; {encoding}")]
    NewerEncoding {
        /// The bundle's file.
        name: String,
        /// The tool's version.
        tool: String,
        /// The entry and its encoding.
        encoding: InvalidManifest,
    },
    /// The manifest's digest does not match.
    #[error("the manifest of `{name}` is damaged: {fault}")]
    CorruptManifest {
        /// The bundle's file.
        name: String,
        /// The problem.
        fault: &'static str,
    },
    /// The manifest violates the format.
    #[error("the manifest of `{name}` is malformed")]
    MalformedManifest {
        /// The bundle's file.
        name: String,
        /// The position and the problem.
        source: serde_json::Error,
    },
    /// The manifest violates a rule of the format.
    #[error("the manifest of `{name}` breaks a rule of the format")]
    InvalidManifest {
        /// The bundle's file.
        name: String,
        /// The rule and the object.
        source: InvalidManifest,
    },
    /// A bundle of frostmirror 1.x is invalid.
    #[error("the frostmirror 1.x bundle `{name}` is invalid")]
    Legacy {
        /// The bundle's file.
        name: String,
        /// The problem.
        source: LegacyError,
    },
    /// The disk lacks space for the decompressed legacy bundle.
    #[error("could not decompress the frostmirror 1.x bundle `{name}` in `{}`", folder.display())]
    Spool {
        /// The bundle's file.
        name: String,
        /// The folder for the decompressed file.
        folder: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The visitor failed.
    #[error("could not process the contents of `{name}`")]
    Visitor {
        /// The bundle's file.
        name: String,
        /// The visitor's own error.
        source: io::Error,
    },
}

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

/// Receives a bundle's entries in a streaming pass. A returned error stops the pass.
///
/// Each entry gives one `begin`, any number of `data`, and one `end`. If the file ends early, the remaining entries never
/// begin.
pub trait EntryVisitor {
    /// An entry begins.
    fn begin(&mut self, entry: &Entry) -> io::Result<()>;
    /// The next bytes of its content, at most 64 KiB.
    fn data(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// The entry ends; `good`: its size and digest match.
    fn end(&mut self, entry: &Entry, good: bool) -> io::Result<()>;
}

/// A visitor that ignores all entries.
pub struct NullVisitor;

impl EntryVisitor for NullVisitor {
    fn begin(&mut self, _: &Entry) -> io::Result<()> {
        Ok(())
    }

    fn data(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, _: &Entry, _: bool) -> io::Result<()> {
        Ok(())
    }
}

/// A bundle with a validated header and manifest.
pub struct Bundle<R> {
    pub(super) name: String,
    pub(super) manifest: Manifest,
    /// Positioned at the first block.
    pub(super) reader: R,
    /// The offset of the first block from the reader's start.
    pub(super) payload_offset: u64,
    /// Problems found while opening; only a legacy bundle has any.
    pub(super) problems: Vec<Problem>,
}

/// The result of reading a bundle.
#[derive(Debug)]
pub struct StreamReport {
    /// Its manifest.
    pub manifest: Manifest,
    /// All problems; the bundle is valid if there are none.
    pub problems: Vec<Problem>,
}

impl<R: Read> Bundle<R> {
    /// Reads header and manifest, and validates everything that does not need the payload. `name` is for errors.
    pub fn open(mut reader: R, name: &str) -> Result<Bundle<R>, Error> {
        let mut bytes = [0; HEADER_SIZE];
        let filled =
            read_up_to(&mut reader, &mut bytes).map_err(|source| Error::Io { name: name.to_owned(), source })?;
        let header = parse_header(&bytes, filled, name)?;
        set_current_object("the manifest");
        let manifest = manifest::read(&mut reader, &header).map_err(|refusal| {
            let name = name.to_owned();
            match refusal {
                ReadError::Io(source) => Error::Io { name, source },
                ReadError::Corrupt(fault) => Error::CorruptManifest { name, fault },
                ReadError::Malformed(source) => Error::MalformedManifest { name, source },
            }
        })?;
        validate::validate(&manifest).map_err(|source| match source {
            InvalidManifest::UnknownEncoding { .. } => {
                Error::NewerEncoding { name: name.to_owned(), tool: header.tool.clone(), encoding: source }
            }
            _ => Error::InvalidManifest { name: name.to_owned(), source },
        })?;
        let payload = HEADER_SIZE as u64 + header.stored_size;
        Ok(Bundle { name: name.to_owned(), manifest, reader, payload_offset: payload, problems: Vec::new() })
    }

    /// The bundle's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The file size in bytes according to header and manifest; `None` if the sum overflows. It is meaningless for a 1.x
    /// bundle, which was read completely when it was opened.
    pub fn file_length(&self) -> Option<u64> {
        let add = |sum: u64, block: &Block| sum.checked_add(block.stored_size()?);
        self.manifest.blocks.iter().try_fold(self.payload_offset, add)
    }

    /// The bundle's manifest; the payload stays unread.
    pub fn into_manifest(self) -> Manifest {
        self.manifest
    }

    /// Reads the payload to its end and passes it to `visitor`. Errors: those of the reader and of the visitor.
    pub fn stream(mut self, visitor: &mut dyn EntryVisitor) -> Result<StreamReport, Error> {
        let ledger = IndexLineChecker::new(&self.manifest);
        let mut checker = BlockChecker::new(&ledger);
        checker.problems = self.problems;
        let mut whole = true;
        for block in &self.manifest.blocks {
            if !whole {
                break;
            }
            whole = checker.check(block, &mut self.reader, visitor).map_err(|stop| match stop {
                StreamError::Read(source) => Error::Io { name: self.name.clone(), source },
                StreamError::Visitor(source) => Error::Visitor { name: self.name.clone(), source },
            })?;
        }
        let mut problems = checker.problems;
        if whole {
            let surplus = read_up_to(&mut self.reader, &mut [0]);
            if surplus.map_err(|source| Error::Io { name: self.name.clone(), source })? > 0 {
                problems.push(Problem::TrailingBytes);
            }
        }
        add_missing_lines(&ledger, &mut problems);
        Ok(StreamReport { manifest: self.manifest, problems })
    }
}

impl<R> fmt::Debug for Bundle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle").field("name", &self.name).field("id", &self.manifest.id).finish_non_exhaustive()
    }
}

/// Opens a bundle, or one of frostmirror 1.x, which is decompressed into an unnamed file in `spool`.
pub fn open_any<'r>(
    mut reader: Box<dyn Read + 'r>,
    name: &str,
    spool: &Path,
) -> Result<Bundle<Box<dyn Read + 'r>>, Error> {
    let mut start = [0; MAGIC.len()];
    let filled = read_up_to(&mut reader, &mut start).map_err(|source| Error::Io { name: name.to_owned(), source })?;
    let whole = io::Cursor::new(start).take(filled as u64).chain(reader);
    // An empty file is a bundle whose copy never began.
    if filled == 0 || resembles_magic(&start[..filled]) {
        Bundle::open(Box::new(whole), name)
    } else {
        legacy::open(whole, name, spool)
    }
}

/// Whether a file with this beginning is a bundle, possibly damaged.
pub(super) fn is_native(mut reader: impl Read) -> io::Result<bool> {
    let mut start = [0; MAGIC.len()];
    let filled = read_up_to(&mut reader, &mut start)?;
    Ok(filled == 0 || resembles_magic(&start[..filled]))
}

/// Crates without a line are only reported if the rest is valid: damaged index text has its own problems.
pub(super) fn add_missing_lines(ledger: &IndexLineChecker<'_>, problems: &mut Vec<Problem>) {
    if problems.is_empty() {
        problems.extend(ledger.missing_lines().take(MAX_PROBLEMS));
    }
}

fn parse_header(bytes: &[u8; HEADER_SIZE], filled: usize, name: &str) -> Result<Header, Error> {
    let damaged = |fault: &str| Error::CorruptHeader { name: name.to_owned(), fault: fault.to_owned() };
    if !resembles_magic(&bytes[..filled.min(MAGIC.len())]) {
        return Err(match filled {
            0 => damaged("the file is empty"),
            _ => Error::NotABundle { name: name.to_owned() },
        });
    }
    if filled < HEADER_SIZE {
        return Err(damaged("the file ends inside it"));
    }
    let header = Header::parse(bytes).map_err(damaged)?;
    if !header.format.is_readable() {
        return Err(Error::NewerFormat { name: name.to_owned(), tool: header.tool, format: header.format });
    }
    header.check_lengths().map_err(damaged)?;
    Ok(header)
}
