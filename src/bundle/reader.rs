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
use std::io::Read;

use super::block_checker::BlockChecker;
use super::entry_visitor::EntryVisitor;
use super::format::{Block, HEADER_SIZE, MAX_MANIFEST_SIZE, Manifest};
use super::header::{self, read_up_to};
use super::index_line_checker::IndexLineChecker;
use super::invalid_manifest::InvalidManifest;
use super::manifest;
use super::open_error::Error;
use super::problem::{MAX_PROBLEMS, Problem};
use super::validate;
use crate::panics::set_current_object;

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
        let header = header::read(&mut reader, name)?;
        if !header.format.is_readable() {
            return Err(Error::NewerFormat { name: name.to_owned(), tool: header.tool, format: header.format });
        }
        header.check_lengths(MAX_MANIFEST_SIZE).map_err(|fault| header::damaged(name, fault))?;
        set_current_object("the manifest");
        let manifest = manifest::read(&mut reader, &header).map_err(|error| error.in_bundle(name))?;
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
            whole = checker.check(block, &mut self.reader, visitor).map_err(|error| error.in_bundle(&self.name))?;
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

/// Crates without a line are only reported if the rest is valid: damaged index text has its own problems.
pub(super) fn add_missing_lines(ledger: &IndexLineChecker<'_>, problems: &mut Vec<Problem>) {
    if problems.is_empty() {
        problems.extend(ledger.missing_lines().take(MAX_PROBLEMS));
    }
}
