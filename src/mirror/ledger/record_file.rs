//! The file of a record: a line with the import and its bundle, then the bundle's manifest. For a history that a snapshot
//! included, what the snapshot states of it takes the place of the manifest. [`crate::mirror::layout`] describes the format.
//!
//! The line is short and has a digest of its own, so that most readers never see the manifest, which may have many
//! megabytes.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Cursor, Read as _, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::record_header::{BundleHeader, RecordHeader};
use super::record_name::RecordRef;
use super::seal;
use crate::bundle::format::{CarriedHistory, Manifest};
use crate::digest::{self, Hasher, HashingWriter, Sha256};
use crate::mirror::layout::Layout;
use crate::mirror::staging::{StagedFile, Staging};
use crate::mirror::summary::ImportTotals;
use crate::mirror::transaction::{Error, failed};

/// One import.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The record before this one; `None` for the first.
    pub previous: Option<RecordRef>,
    /// When it was done (RFC 3339, UTC).
    pub imported_at: String,
    /// The name of the bundle's file.
    pub file: String,
    /// The totals of the mirror after this import.
    pub totals: ImportTotals,
    /// For a history that a snapshot included, the snapshot's id. Its file then has what the snapshot states of it, with
    /// positions in the tables of the snapshot's own record.
    pub snapshot_id: Option<String>,
    /// See [`crate::mirror::lineages::LineageTip::gap_after`], as of this import. The other records show it too, but any of them may be lost.
    pub gap_after: Option<u64>,
    /// Warnings of the import, one sentence each.
    pub warnings: Vec<String>,
    /// The bundle's manifest, without its blocks.
    pub manifest: Manifest,
}

/// An open record whose first line has the digest that it states.
pub struct RecordFile {
    /// The first line.
    pub header: RecordHeader,
    /// The digest of the first line, which states that of the manifest.
    pub(in crate::mirror) sha256: Sha256,
    path: PathBuf,
    /// The rest of the file.
    rest: BufReader<File>,
}

impl RecordFile {
    /// Opens the record `name`; `None` if its first line is invalid or does not have the digest that it states.
    ///
    /// # Errors
    /// A file system operation failed.
    pub fn open(layout: &Layout, name: &str) -> Result<Option<RecordFile>, Error> {
        let path = layout.ledger().join(name);
        let (line, rest) = read_first_line(&path).map_err(failed("read", &path))?;
        let (Some(sha256), Ok(header)) = (seal::RECORD.check(&line), serde_json::from_slice(&line)) else {
            return Ok(None);
        };
        Ok(Some(RecordFile { header, sha256, path, rest }))
    }

    /// Whether the manifest has the digest that the first line states. Needs little memory.
    ///
    /// # Errors
    /// A file system operation failed.
    pub(in crate::mirror) fn is_intact(&mut self) -> Result<bool, Error> {
        let mut hasher = Hasher::new();
        hasher.update_from(&mut self.rest).map_err(failed("read", &self.path))?;
        Ok(hasher.finish() == self.header.manifest_sha256)
    }

    /// The text after the first line; `None` if it does not have the digest that the first line states.
    ///
    /// # Errors
    /// A file system operation failed.
    pub fn read_manifest(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut text = Vec::new();
        self.rest.read_to_end(&mut text).map_err(failed("read", &self.path))?;
        Ok((Sha256::of(&text) == self.header.manifest_sha256).then_some(text))
    }

    /// What the record has after its first line; `None` if it is invalid or contradicts that line.
    pub(super) fn read_contents(&mut self) -> Result<Option<RecordContents>, Error> {
        let Some(text) = self.read_manifest()? else { return Ok(None) };
        let contents = match self.header.snapshot_id {
            None => serde_json::from_slice(&text).map(RecordContents::Bundle),
            Some(_) => serde_json::from_slice(&text).map(RecordContents::History),
        };
        let header = &self.header;
        Ok(contents.ok().filter(|contents| contents.bundle_header(&header.file) == header.bundle))
    }
}

/// What follows the first line of a record.
pub(super) enum RecordContents {
    /// The bundle's manifest.
    Bundle(Manifest),
    /// The statement of a snapshot. Its positions refer to the tables in the snapshot's own record.
    History(CarriedHistory),
}

impl RecordContents {
    /// What the first line states of the bundle.
    fn bundle_header(&self, file: &str) -> BundleHeader {
        match self {
            RecordContents::Bundle(manifest) => BundleHeader::of_bundle(manifest, file),
            RecordContents::History(carried) => BundleHeader::of_history(carried, file),
        }
    }
}

/// The first line of the record `name`; `None` if it is invalid or does not have the digest that it states. Whether the
/// manifest is intact is unknown then.
///
/// # Errors
/// A file system operation failed.
pub fn read_header(layout: &Layout, name: &str) -> Result<Option<RecordHeader>, Error> {
    Ok(RecordFile::open(layout, name)?.map(|file| file.header))
}

/// The first line of the record `name` and its digest; `None` if a part of the record is not what it was. Reads the whole
/// record, and needs little memory.
pub(in crate::mirror) fn read_checked_header(
    layout: &Layout,
    name: &str,
) -> Result<Option<(RecordHeader, Sha256)>, Error> {
    let Some(mut file) = RecordFile::open(layout, name)? else { return Ok(None) };
    Ok(file.is_intact()?.then_some((file.header, file.sha256)))
}

/// The first line of a file without its line break, and a reader of what follows.
pub(super) fn read_first_line(path: &Path) -> io::Result<(Vec<u8>, BufReader<File>)> {
    let mut file = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    file.read_until(b'\n', &mut line)?;
    line.pop_if(|last| *last == b'\n');
    Ok((line, file))
}

impl Record {
    /// The first record of a ledger, without warnings.
    pub fn new(imported_at: String, file: String, totals: ImportTotals, manifest: Manifest) -> Record {
        Record {
            previous: None,
            imported_at,
            file,
            totals,
            snapshot_id: None,
            gap_after: None,
            warnings: Vec::new(),
            manifest,
        }
    }

    /// The record with this first line and manifest.
    pub(super) fn from_parts(header: RecordHeader, manifest: Manifest) -> Record {
        let RecordHeader { previous, imported_at, file, totals, snapshot_id, gap_after, warnings, .. } = header;
        Record { previous, imported_at, file, totals, snapshot_id, gap_after, warnings, manifest }
    }

    fn header(&self, manifest_sha256: Sha256) -> RecordHeader {
        RecordHeader {
            manifest_sha256,
            previous: self.previous.clone(),
            imported_at: self.imported_at.clone(),
            file: self.file.clone(),
            totals: self.totals,
            snapshot_id: self.snapshot_id.clone(),
            gap_after: self.gap_after,
            warnings: self.warnings.clone(),
            bundle: match self.carried_history() {
                None => BundleHeader::of_bundle(&self.manifest, &self.file),
                Some(carried) => BundleHeader::of_history(carried, &self.file),
            },
        }
    }

    /// The text of the record's file, and the digest of its first line.
    pub fn render(&self) -> (Vec<u8>, Sha256) {
        let mut text = Cursor::new(Vec::new());
        let sha256 = self.write(&mut text).expect("the fields are plain data with text for keys");
        (text.into_inner(), sha256)
    }

    /// Stages the record's file. Returns the digest of its first line.
    pub(in crate::mirror) fn stage(&self, staging: &mut Staging) -> Result<(StagedFile, Sha256), Error> {
        staging.write_with(|file| self.write(file))
    }

    /// What a snapshot states of the record's bundle.
    fn carried_history(&self) -> Option<&CarriedHistory> {
        match self.manifest.carried_histories.as_slice() {
            [carried] if self.snapshot_id.is_some() => Some(carried),
            _ => None,
        }
    }

    /// Writes the record. Its text is never in memory as a whole.
    fn write(&self, mut file: impl Write + Seek) -> io::Result<Sha256> {
        // Every digest has the same length.
        let mut header = self.header(Sha256::from_bytes([0; 32]));
        let (line, _) = seal::RECORD.render(&header);
        file.write_all(&line)?;
        file.write_all(b"\n")?;
        let mut manifest = BufWriter::with_capacity(digest::BUFFER_SIZE, HashingWriter::new(&mut file));
        match self.carried_history() {
            None => serde_json::to_writer(&mut manifest, &self.manifest)?,
            Some(carried) => serde_json::to_writer(&mut manifest, carried)?,
        }
        let (manifest_sha256, ..) = manifest.into_inner().map_err(io::IntoInnerError::into_error)?.finish();
        header.manifest_sha256 = manifest_sha256;
        let (line, sha256) = seal::RECORD.render(&header);
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&line)?;
        Ok(sha256)
    }
}
