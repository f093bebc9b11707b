//! Reads bundles of frostmirror 1.x: unpacks and validates them, and presents them as bundles of the current format.
//!
//! The format is one brotli stream over these parts: the magic `FMPKG\0\1\0`, a u32 number of sections, a table of (u32 path
//! length, path, u64 offset, u64 length), and the sections' bytes. All numbers are little-endian; offsets start at the
//! magic's first byte. The section `manifest.json` names crates, rustup files and dist files with size and digest. Index
//! files are in no manifest. The stream cannot be read out of order, so it is first decompressed into an unnamed file.
//!
//! The conversion: `crates/NAME/VERSION/download` becomes `crates/NAME-VERSION.crate`. Index files keep only the lines of
//! crates in the bundle; configuration is dropped. The digests are those of its manifest, and are checked when entries are
//! read, as in any bundle. A crate without an index line is a problem, because cargo would never find it (frostmirror 1.0
//! loses the lines of crates with uppercase names). All such bundles count as full (a "delta" of 1.0 ships everything). They
//! form one lineage, in order of creation.
//!
//! Its rustup and dist files keep their paths; the importer adds the files that rustup also needs.
//!
//! Attacks and defences: sections must follow each other without gap or overlap to the stream's end, which is stricter than
//! the format and true of all output of 1.0. Paths are [`SafePath`]s. The table's size is limited before it is stored. A
//! compression ratio limit stops decompression bombs. Files that the manifest does not name are refused.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use jiff::Timestamp;

use super::brotli_stream::{self, BrotliReader};
use super::format::{
    Block, CrateRecord, CrateState, DistFileRecord, DistFileState, Encoding, Entry, Input, LEGACY_LINEAGE, Lineage,
    MAX_INDEX_ENTRY_SIZE, MAX_LINE_LENGTH, Manifest, max_plain_size,
};
use super::open_error::Error;
use super::reader::Bundle;
use super::sequence::timestamp_sequence;
use super::validate;
use crate::crate_id::CrateId;
use crate::digest::{BUFFER_SIZE, Sha256};
use crate::index_line::IndexLine;
use crate::mirror_file::FileKind;
use crate::panics::set_current_object;
use crate::safe_path::SafePath;
use crate::units::format_time;

mod error;
mod manifest;
mod section;

pub use error::LegacyError;

use error::{ConvertError, section_error};
use manifest::LegacyManifest;
use section::Section;

const MAGIC: &[u8; 8] = b"FMPKG\0\x01\0";
/// Maximum table size in bytes; enough for a hundred thousand crates.
const MAX_TABLE_SIZE: u64 = 16 * 1024 * 1024;

/// Decompresses a bundle of frostmirror 1.x into an unnamed file in `spool`, and presents it as a bundle of the current
/// format.
pub(super) fn open<'r>(reader: impl Read, name: &str, spool: &Path) -> Result<Bundle<Box<dyn Read + 'r>>, Error> {
    convert(reader, spool).map_or_else(
        |stop| {
            let name = name.to_owned();
            Err(match stop {
                ConvertError::Invalid(source) => Error::Legacy { name, source },
                ConvertError::NotABundle => Error::NotABundle { name },
                ConvertError::Read(source) => Error::Io { name, source },
                ConvertError::Spool(source) => Error::Spool { name, folder: spool.to_owned(), source },
            })
        },
        |(manifest, payload)| {
            let reader: Box<dyn Read + 'r> = Box::new(payload);
            Ok(Bundle { name: name.to_owned(), manifest, reader, payload_offset: 0, problems: Vec::new() })
        },
    )
}

fn convert(reader: impl Read, spool: &Path) -> Result<(Manifest, SegmentReader), ConvertError> {
    let mut stream = LegacyStream { reader: BrotliReader::with_unknown_length(reader), bytes_read: 0 };
    let sections = stream.read_table()?;
    std::fs::create_dir_all(spool).map_err(ConvertError::Spool)?;
    let mut file = tempfile::tempfile_in(spool).map_err(ConvertError::Spool)?;
    let length: u64 = sections.iter().map(|section| section.length).sum();
    stream.copy_to(length, &mut file)?;
    stream.check_end()?;

    set_current_object("manifest.json");
    let legacy_manifest = manifest::read(&sections, &mut file)?;
    let mut files: HashMap<&str, Section> = HashMap::new();
    let mut index = Vec::new();
    for section in &sections {
        match section.path.components().next() {
            Some("index") => index.push(section),
            Some("manifest.json" | "config.toml" | "config") => {}
            _ => {
                if files.insert(section.path.as_str(), section.clone()).is_some() {
                    return Err(section_error(section.path.as_str(), "occurs twice").into());
                }
            }
        }
    }
    let mut contents = LegacyContents::default();
    let mut crates = contents.take_crates(&legacy_manifest, &mut files)?;
    contents.take_toolchain_files(&legacy_manifest, &mut files)?;
    if let Some(path) = files.keys().min() {
        return Err(section_error(path, "is not listed in manifest.json").into());
    }
    crates.sort_unstable_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    for section in index {
        contents.append_index_lines(section, &mut crates, &mut file, length)?;
    }
    contents.into_manifest(&legacy_manifest, crates, file)
}

/// The decompressed stream.
struct LegacyStream<R> {
    reader: BrotliReader<R>,
    bytes_read: u64,
}

impl<R: Read> LegacyStream<R> {
    /// Reads magic and table. From here on, offsets start at the first section's first byte.
    fn read_table(&mut self) -> Result<Vec<Section>, ConvertError> {
        let mut magic = [0; 8];
        // Before the magic is read, the file need not be a brotli stream at all.
        match self.read_exact(&mut magic) {
            Err(ConvertError::Invalid(_)) => return Err(ConvertError::NotABundle),
            other => other?,
        }
        if magic != *MAGIC {
            return Err(ConvertError::NotABundle);
        }
        let count = u32::from_le_bytes(self.read_array()?);
        let mut sections = Vec::new();
        for _ in 0..count {
            let length = u32::from_le_bytes(self.read_array()?);
            if length > 1024 {
                return Err(LegacyError::Framing("its table of sections has a path that is too long").into());
            }
            let mut path = vec![0; length as usize];
            self.read_exact(&mut path)?;
            let path = String::from_utf8(path)
                .map_err(|_| LegacyError::Framing("its table of sections has a path that is not UTF-8"))?;
            let path: SafePath = path.parse().map_err(LegacyError::Path)?;
            let (offset, length) = (u64::from_le_bytes(self.read_array()?), u64::from_le_bytes(self.read_array()?));
            sections.push(Section { path, offset, length });
            if self.bytes_read > MAX_TABLE_SIZE {
                return Err(LegacyError::Framing("its table of sections is too long").into());
            }
        }
        let mut next = self.bytes_read;
        let begin = self.bytes_read;
        for section in &mut sections {
            let end = next.checked_add(section.length).filter(|end| *end <= i64::MAX as u64);
            match end {
                Some(end) if section.offset == next => next = end,
                _ => {
                    return Err(
                        section_error(section.path.as_str(), "does not start where the previous section ends").into()
                    );
                }
            }
            section.offset -= begin;
        }
        Ok(sections)
    }

    fn read_array<const N: usize>(&mut self) -> Result<[u8; N], ConvertError> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), ConvertError> {
        let mut filled = 0;
        while filled < buffer.len() {
            filled += self.read(&mut buffer[filled..])?;
        }
        Ok(())
    }

    fn copy_to(&mut self, length: u64, file: &mut File) -> Result<(), ConvertError> {
        let mut buffer = vec![0; BUFFER_SIZE];
        let mut left = length;
        while left > 0 {
            let space = usize::try_from(left).unwrap_or(BUFFER_SIZE).min(BUFFER_SIZE);
            let n = self.read(&mut buffer[..space])?;
            file.write_all(&buffer[..n]).map_err(ConvertError::Spool)?;
            left -= n as u64;
        }
        Ok(())
    }

    /// Reads at least one byte; the stream's end is an error.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ConvertError> {
        let n = self.reader.read(buffer).map_err(convert_error)?;
        self.bytes_read += n as u64;
        if self.bytes_read > max_plain_size(self.reader.stored_bytes_consumed()) {
            return Err(LegacyError::Framing("its compression ratio is too high for a bundle").into());
        }
        Ok(n)
    }

    fn check_end(mut self) -> Result<(), ConvertError> {
        self.reader.expect_end();
        self.reader.check_end().map_err(convert_error)
    }
}

fn convert_error(error: io::Error) -> ConvertError {
    let fault = match brotli_stream::BrotliFault::from_io(&error) {
        None => return ConvertError::Read(error),
        Some(brotli_stream::BrotliFault::Truncated | brotli_stream::BrotliFault::TooShort) => {
            "the file ends before its last section"
        }
        Some(brotli_stream::BrotliFault::Malformed) => "its brotli stream is damaged",
        Some(brotli_stream::BrotliFault::TooLong | brotli_stream::BrotliFault::TrailingBytes) => {
            "unexpected bytes follow its last section"
        }
    };
    LegacyError::Framing(fault).into()
}

/// The entries of a legacy bundle, each with its position in the spooled file.
#[derive(Default)]
struct LegacyContents {
    entries: Vec<(Entry, u64)>,
    /// Bytes of filtered index text after the sections.
    index_bytes: u64,
}

impl LegacyContents {
    fn take_crates(
        &mut self,
        legacy_manifest: &LegacyManifest,
        files: &mut HashMap<&str, Section>,
    ) -> Result<Vec<CrateRecord>, ConvertError> {
        let mut records = Vec::with_capacity(legacy_manifest.crates.len());
        for one in legacy_manifest.crates.values() {
            let id = CrateId::parse(&one.name, &one.version).map_err(LegacyError::Crate)?;
            let sha256: Sha256 = one.sha256.parse().map_err(LegacyError::Digest)?;
            let from = format!("crates/{}/{}/download", one.name, one.version);
            self.take_file(files, &from, id.crate_path(), one.size, sha256, FileKind::Crate)?;
            records.push(CrateRecord::new(id, sha256, one.size, CrateState::Shipped));
        }
        Ok(records)
    }

    fn take_toolchain_files(
        &mut self,
        legacy_manifest: &LegacyManifest,
        files: &mut HashMap<&str, Section>,
    ) -> Result<(), ConvertError> {
        for one in &legacy_manifest.rustup {
            let from = format!("rustup/dist/{}/{}", one.target, one.filename);
            let path = from.parse().map_err(LegacyError::Path)?;
            let sha256 = one.sha256.parse().map_err(LegacyError::Digest)?;
            self.take_file(files, &from, path, one.size, sha256, FileKind::Rustup)?;
        }
        for one in &legacy_manifest.dist {
            let from = format!("dist/{}", one.path);
            let path = from.parse().map_err(LegacyError::Path)?;
            let sha256 = one.sha256.parse().map_err(LegacyError::Digest)?;
            self.take_file(files, &from, path, one.size, sha256, FileKind::Dist)?;
        }
        Ok(())
    }

    /// Removes a file that the manifest names from the sections.
    fn take_file(
        &mut self,
        files: &mut HashMap<&str, Section>,
        from: &str,
        path: SafePath,
        size: u64,
        sha256: Sha256,
        kind: FileKind,
    ) -> Result<(), ConvertError> {
        let section = files
            .remove(from)
            .ok_or_else(|| section_error(from, "is listed in manifest.json, but the bundle does not contain it"))?;
        if section.length != size {
            return Err(section_error(from, "has a different size than manifest.json states").into());
        }
        self.entries.push((Entry { path, size, sha256, kind }, section.offset));
        Ok(())
    }

    /// Appends the lines of an index file to the spooled file if their crates are in the bundle.
    fn append_index_lines(
        &mut self,
        section: &Section,
        crates: &mut [CrateRecord],
        file: &mut File,
        length: u64,
    ) -> Result<(), ConvertError> {
        let path: SafePath = section.path.case_folded().parse().map_err(LegacyError::Path)?;
        let mut kept = Vec::new();
        set_current_object(&section.path);
        file.seek(SeekFrom::Start(section.offset)).map_err(ConvertError::Spool)?;
        let mut reader = BufReader::with_capacity(BUFFER_SIZE, (&*file).take(section.length));
        let mut raw = Vec::new();
        loop {
            raw.clear();
            let n = (&mut reader)
                .take(MAX_LINE_LENGTH as u64 + 1)
                .read_until(b'\n', &mut raw)
                .map_err(ConvertError::Spool)?;
            if n == 0 {
                break;
            }
            if n > MAX_LINE_LENGTH {
                return Err(section_error(section.path.as_str(), "has a line that is too long").into());
            }
            if let Some(line) = line_of_bundled_crate(&raw, &path, crates) {
                kept.extend_from_slice(line.as_bytes());
                kept.push(b'\n');
            }
            if kept.len() as u64 > MAX_INDEX_ENTRY_SIZE {
                return Err(section_error(section.path.as_str(), "exceeds the size limit of an index file").into());
            }
        }
        if kept.is_empty() {
            return Ok(());
        }
        let offset = length + self.index_bytes;
        file.seek(SeekFrom::Start(offset)).map_err(ConvertError::Spool)?;
        file.write_all(&kept).map_err(ConvertError::Spool)?;
        let size = kept.len() as u64;
        self.index_bytes += size;
        self.entries.push((Entry { path, size, sha256: Sha256::of(&kept), kind: FileKind::Index }, offset));
        Ok(())
    }

    fn into_manifest(
        mut self,
        legacy_manifest: &LegacyManifest,
        crates: Vec<CrateRecord>,
        file: File,
    ) -> Result<(Manifest, SegmentReader), ConvertError> {
        self.entries.sort_unstable_by(|(a, _), (b, _)| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
        let time: Timestamp = legacy_manifest
            .created
            .parse()
            .map_err(|_| LegacyError::InvalidTime(legacy_manifest.created.chars().take(80).collect()))?;
        let is_dist_file = |entry: &Entry| matches!(entry.kind, FileKind::Dist | FileKind::Rustup);
        let dist_files: Vec<DistFileRecord> = self
            .entries
            .iter()
            .filter(|(entry, _)| is_dist_file(entry))
            .map(|(Entry { path, size, sha256, .. }, _)| DistFileRecord {
                path: path.clone(),
                sha256: *sha256,
                size: *size,
                state: DistFileState::Shipped,
                read_at: None,
            })
            .collect();
        let segments = self.entries.iter().map(|(entry, offset)| (*offset, entry.size)).collect();
        let blocks = self.entries.into_iter().map(|(entry, _)| Block {
            encoding: Encoding::Stored,
            stored: None,
            entries: vec![entry],
        });
        let all = 0..u32::try_from(crates.len()).unwrap_or(u32::MAX);
        let has_toolchain = !legacy_manifest.dist.is_empty();
        let all_dist_files = 0..u32::try_from(dist_files.len()).unwrap_or(u32::MAX);
        let lineage = Lineage {
            id: LEGACY_LINEAGE.to_owned(),
            // Legacy bundles have no numbers; their creation time in seconds gives the order.
            sequence: timestamp_sequence(time.as_second()),
            previous: None,
            inputs: vec![Input::new("frostmirror 1.x", all.collect(), all_dist_files.collect())],
        };
        let mut manifest = Manifest {
            tool: "frostmirror 1.x".to_owned(),
            targets: legacy_manifest.targets.clone(),
            toolchains: if has_toolchain { vec![legacy_manifest.toolchain.clone()] } else { Vec::new() },
            crates,
            dist_files,
            blocks: blocks.collect(),
            ..Manifest::new(format_time(time), format_time(time), lineage)
        };
        manifest.assign_id();
        validate::validate(&manifest)?;
        Ok((manifest, SegmentReader { file, segments, current: 0, remaining: None }))
    }
}

/// The line, if its crate is in the bundle and the line is in the crate's own index file.
///
/// It also tells whether the crate is yanked, which the manifest of a 1.x bundle does not.
fn line_of_bundled_crate<'t>(raw: &'t [u8], path: &SafePath, crates: &mut [CrateRecord]) -> Option<&'t str> {
    let text = std::str::from_utf8(raw).ok()?.trim_end_matches(['\n', '\r']);
    let line = IndexLine::parse(text).ok()?;
    let is_in_right_file = path.strip_prefix("index") == Some(line.id.name.index_path().as_str());
    let place = |record: &CrateRecord| (&record.name, &record.version).cmp(&(&line.id.name, &line.id.version));
    let found = crates.binary_search_by(place).ok().filter(|_| is_in_right_file)?;
    crates[found].yanked = line.yanked;
    Some(text)
}

/// Reads positions of the spooled file one after another.
struct SegmentReader {
    file: File,
    segments: Vec<(u64, u64)>,
    current: usize,
    /// Bytes left at the current position; `None` before the first seek.
    remaining: Option<u64>,
}

impl Read for SegmentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some((offset, length)) = self.segments.get(self.current) {
            let left = match self.remaining {
                Some(left) => left,
                None => {
                    self.file.seek(SeekFrom::Start(*offset))?;
                    *length
                }
            };
            if left == 0 {
                (self.current, self.remaining) = (self.current + 1, None);
                continue;
            }
            let space = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let n = self.file.read(&mut buffer[..space])?;
            self.remaining = Some(left - n as u64);
            return Ok(n);
        }
        Ok(0)
    }
}
