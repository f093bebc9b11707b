//! Bundles of frostmirror 1.x, read only: unfolded once, checked, and presented as a bundle of ours.
//!
//! The format: one brotli stream over the magic `FMPKG\0\1\0`, a u32 count of sections, a table of (u32 length of
//! path, path, u64 offset, u64 length), then the sections' bytes; all little-endian, offsets from the magic's first
//! byte. `manifest.json` is one of the sections and names crates, rustup files and dist files with size and digest;
//! index files are in no manifest. Nothing can be read before what precedes it, so that the plain form goes into a
//! nameless file first.
//!
//! What becomes of it: `crates/NAME/VERSION/download` is `crates/NAME-VERSION.crate`; index files keep only the lines
//! of crates in the bundle; configuration is not passed on. The digests are those of its manifest, and are checked
//! when the entries pass, as with any bundle. A crate without an index line is a problem and not passed over: cargo
//! would never find it (frostmirror 1.0 loses the lines of crates with uppercase names). All such bundles are full,
//! whatever they say (a "delta" of 1.0 ships everything), and form one lineage, in the order of their making.
//!
//! Its rustup and dist files come along at their paths; what rustup lacks in them is for whoever places them to say.
//!
//! Attacks and defences: sections must follow each other without gap or overlap up to the stream's end, which is
//! stricter than the format and true of all that 1.0 writes; paths are [`SafePath`]s; the table is limited before it
//! is kept; a bomb is stopped by the ratio of plain to stored bytes; whatever the manifest does not name is refused.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use jiff::Timestamp;

use super::brotli_stream::{self, BrotliReader};
use super::format::{
    Block, BundleKind, CrateRecord, CrateState, DistFileRecord, DistFileState, Encoding, Entry, FormatVersion, Input,
    LEGACY_LINEAGE, Lineage, MAX_INDEX_ENTRY_SIZE, MAX_LINE_LENGTH, Manifest, max_plain_size,
};
use super::open::{Bundle, Error};
use super::pack::format_time;
use super::validate;
use crate::crate_id::{CrateId, InvalidCrateId};
use crate::digest::{BUFFER_SIZE, InvalidDigest, Sha256};
use crate::index_line::IndexLine;
use crate::mirror_file::FileKind;
use crate::panics::set_current_object;
use crate::safe_path::{SafePath, UnsafePath};

mod manifest;

use manifest::LegacyManifest;

const MAGIC: &[u8; 8] = b"FMPKG\0\x01\0";
/// Bytes of the table; room for a hundred thousand crates.
const MAX_TABLE_SIZE: u64 = 16 * 1024 * 1024;

/// Why a bundle of frostmirror 1.x cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LegacyError {
    /// The stream or its table is not as the format has it.
    #[error("{0}")]
    Framing(&'static str),
    /// One section is not as the format has it.
    #[error("`{path}` {rule}")]
    Section {
        /// The section's path.
        path: String,
        /// What is wrong with it.
        rule: &'static str,
    },
    /// A path is not safe.
    #[error(transparent)]
    Path(#[from] UnsafePath),
    /// Its manifest is not JSON of its form.
    #[error("its manifest is malformed")]
    Manifest(#[from] serde_json::Error),
    /// Its manifest names a crate that is none.
    #[error(transparent)]
    Crate(#[from] InvalidCrateId),
    /// Its manifest has a digest that is none.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
    /// Its creation time is none.
    #[error("its creation time `{}` is none", .0.escape_debug())]
    InvalidTime(String),
    /// What became of it breaks a rule that every bundle must hold.
    #[error(transparent)]
    InvalidManifest(#[from] validate::InvalidManifest),
}

/// What stops the conversion.
enum ConvertError {
    Invalid(LegacyError),
    NotABundle,
    Read(io::Error),
    Spool(io::Error),
}

impl<E: Into<LegacyError>> From<E> for ConvertError {
    fn from(refused: E) -> ConvertError {
        ConvertError::Invalid(refused.into())
    }
}

/// Unfolds a bundle of frostmirror 1.x into a nameless file in `spool` and presents it as one of ours.
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
                    return Err(section_error(section.path.as_str(), "is in it twice").into());
                }
            }
        }
    }
    let mut contents = LegacyContents::default();
    let mut crates = contents.take_crates(&legacy_manifest, &mut files)?;
    contents.take_toolchain_files(&legacy_manifest, &mut files)?;
    if let Some(path) = files.keys().min() {
        return Err(section_error(path, "is not in its manifest").into());
    }
    crates.sort_unstable_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    for section in index {
        contents.append_index_lines(section, &mut crates, &mut file, length)?;
    }
    contents.into_manifest(&legacy_manifest, crates, file)
}

/// A section's place in the spooled file.
#[derive(Clone)]
struct Section {
    path: SafePath,
    offset: u64,
    length: u64,
}

fn section_error(path: &str, rule: &'static str) -> LegacyError {
    LegacyError::Section { path: path.to_owned(), rule }
}

/// The plain form, as it comes out of the stream.
struct LegacyStream<R> {
    reader: BrotliReader<R>,
    bytes_read: u64,
}

impl<R: Read> LegacyStream<R> {
    /// Reads magic and table. Offsets are counted from the first section's first byte from here on.
    fn read_table(&mut self) -> Result<Vec<Section>, ConvertError> {
        let mut magic = [0; 8];
        // Until the magic is there, nothing says that this is meant to be brotli.
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
                return Err(LegacyError::Framing("its table has a path that is too long").into());
            }
            let mut path = vec![0; length as usize];
            self.read_exact(&mut path)?;
            let path =
                String::from_utf8(path).map_err(|_| LegacyError::Framing("its table has a path that is not UTF-8"))?;
            let path: SafePath = path.parse().map_err(LegacyError::Path)?;
            let (offset, length) = (u64::from_le_bytes(self.read_array()?), u64::from_le_bytes(self.read_array()?));
            sections.push(Section { path, offset, length });
            if self.bytes_read > MAX_TABLE_SIZE {
                return Err(LegacyError::Framing("its table is too long").into());
            }
        }
        let mut next = self.bytes_read;
        let begin = self.bytes_read;
        for section in &mut sections {
            let end = next.checked_add(section.length).filter(|end| *end <= i64::MAX as u64);
            match end {
                Some(end) if section.offset == next => next = end,
                _ => {
                    return Err(section_error(section.path.as_str(), "is not where the section before it ends").into());
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
            let room = usize::try_from(left).unwrap_or(BUFFER_SIZE).min(BUFFER_SIZE);
            let n = self.read(&mut buffer[..room])?;
            file.write_all(&buffer[..n]).map_err(ConvertError::Spool)?;
            left -= n as u64;
        }
        Ok(())
    }

    /// At least one byte; the stream's end is an error.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ConvertError> {
        let n = self.reader.read(buffer).map_err(convert_error)?;
        self.bytes_read += n as u64;
        if self.bytes_read > max_plain_size(self.reader.stored_bytes_consumed()) {
            return Err(LegacyError::Framing("it shrank more than a bundle can").into());
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
            "the file ends before its sections do"
        }
        Some(brotli_stream::BrotliFault::Malformed) => "it is damaged: its brotli stream does not decode",
        Some(brotli_stream::BrotliFault::TooLong | brotli_stream::BrotliFault::TrailingBytes) => {
            "bytes follow its last section"
        }
    };
    LegacyError::Framing(fault).into()
}

/// What a legacy bundle turns out to hold: entries, each with its place in the spooled file.
#[derive(Default)]
struct LegacyContents {
    entries: Vec<(Entry, u64)>,
    /// Bytes of pruned index text behind the sections.
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
            let CrateId { name, version } = CrateId::parse(&one.name, &one.version).map_err(LegacyError::Crate)?;
            let sha256: Sha256 = one.sha256.parse().map_err(LegacyError::Digest)?;
            let from = format!("crates/{}/{}/download", one.name, one.version);
            let id = CrateId { name: name.clone(), version: version.clone() };
            self.take_file(files, &from, id.crate_path(), one.size, sha256, FileKind::Crate)?;
            records.push(CrateRecord {
                name,
                version,
                sha256,
                size: one.size,
                state: CrateState::Shipped,
                yanked: false,
                read_at: None,
                description: None,
                license: None,
                repository: None,
            });
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

    /// Takes one file that the manifest names out of the sections.
    fn take_file(
        &mut self,
        files: &mut HashMap<&str, Section>,
        from: &str,
        path: SafePath,
        size: u64,
        sha256: Sha256,
        kind: FileKind,
    ) -> Result<(), ConvertError> {
        let section =
            files.remove(from).ok_or_else(|| section_error(from, "is in its manifest, but not in the bundle"))?;
        if section.length != size {
            return Err(section_error(from, "has another size than its manifest states").into());
        }
        self.entries.push((Entry { path, size, sha256, kind }, section.offset));
        Ok(())
    }

    /// Appends the lines of one index file that are of crates in the bundle to the spooled file.
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
                return Err(section_error(section.path.as_str(), "is larger than an index file may be").into());
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
        let mut manifest = Manifest {
            id: String::new(),
            format: FormatVersion::CURRENT,
            tool: "frostmirror 1.x".to_owned(),
            created: format_time(time),
            kind: BundleKind::Full,
            repair: false,
            parent: None,
            targets: legacy_manifest.targets.clone(),
            toolchains: if has_toolchain { vec![legacy_manifest.toolchain.clone()] } else { Vec::new() },
            index_read: format_time(time),
            lineage: Lineage {
                id: LEGACY_LINEAGE.to_owned(),
                // Its bundles are not numbered; the second of their making puts them in order.
                sequence: u64::try_from(time.as_second()).unwrap_or(0),
                inputs: vec![Input {
                    name: "frostmirror 1.x".to_owned(),
                    roots: Vec::new(),
                    crates: all.collect(),
                    dist_files: all_dist_files.collect(),
                    skipped_packages: Vec::new(),
                }],
            },
            carried_histories: Vec::new(),
            refreshed_crates: Vec::new(),
            crates,
            dist_files,
            blocks: blocks.collect(),
        };
        manifest.assign_id();
        validate::validate(&manifest)?;
        Ok((manifest, SegmentReader { file, segments, current: 0, remaining: None }))
    }
}

/// The line, if it is of a crate in the bundle and in the file that such a crate's lines belong into.
///
/// The crate learns from its line whether it is yanked; the manifest of a 1.x bundle does not say.
fn line_of_bundled_crate<'t>(raw: &'t [u8], path: &SafePath, crates: &mut [CrateRecord]) -> Option<&'t str> {
    let text = std::str::from_utf8(raw).ok()?.trim_end_matches(['\n', '\r']);
    let line = IndexLine::parse(text).ok()?;
    let is_in_right_file = path.strip_prefix("index") == Some(line.id.name.index_path().as_str());
    let place = |record: &CrateRecord| (&record.name, &record.version).cmp(&(&line.id.name, &line.id.version));
    let found = crates.binary_search_by(place).ok().filter(|_| is_in_right_file)?;
    crates[found].yanked = line.yanked;
    Some(text)
}

/// Places in the spooled file, read one after another.
struct SegmentReader {
    file: File,
    segments: Vec<(u64, u64)>,
    current: usize,
    /// Bytes left of the current place; `None` before it was gone to.
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
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let n = self.file.read(&mut buffer[..room])?;
            self.remaining = Some(left - n as u64);
            return Ok(n);
        }
        Ok(0)
    }
}
