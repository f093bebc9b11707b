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

use super::encoded::{self, Plain};
use super::format::{
    ArtifactRecord, ArtifactState, Block, BundleKind, CrateRecord, CrateState, Encoding, Entry, FormatVersion, Input,
    LEGACY_LINEAGE, Lineage, MAX_INDEX, MAX_LINE, Manifest, plain_limit,
};
use super::open::{Bundle, Error};
use super::pack::whole_seconds;
use super::rules;
use crate::artifact::Kind;
use crate::crate_id::{CrateId, InvalidId};
use crate::digest::{BUFFER, InvalidDigest, Sha256};
use crate::index_line::IndexLine;
use crate::panics::working_on;
use crate::safe_path::{SafePath, UnsafePath};

mod stated;

use stated::Stated;

const MAGIC: &[u8; 8] = b"FMPKG\0\x01\0";
/// Bytes of the table; room for a hundred thousand crates.
const MAX_TABLE: u64 = 16 * 1024 * 1024;

/// Why a bundle of frostmirror 1.x cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
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
    Crate(#[from] InvalidId),
    /// Its manifest has a digest that is none.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
    /// Its creation time is none.
    #[error("its creation time `{}` is none", .0.escape_debug())]
    Created(String),
    /// What became of it breaks a rule that every bundle must hold.
    #[error(transparent)]
    Broken(#[from] rules::Broken),
}

/// What stops the conversion.
enum Stop {
    Refused(Refused),
    NotABundle,
    Read(io::Error),
    Spool(io::Error),
}

impl<E: Into<Refused>> From<E> for Stop {
    fn from(refused: E) -> Stop {
        Stop::Refused(refused.into())
    }
}

/// Unfolds a bundle of frostmirror 1.x into a nameless file in `spool` and presents it as one of ours.
pub(super) fn open<'r>(reader: impl Read, name: &str, spool: &Path) -> Result<Bundle<Box<dyn Read + 'r>>, Error> {
    convert(reader, spool).map_or_else(
        |stop| {
            let name = name.to_owned();
            Err(match stop {
                Stop::Refused(source) => Error::Legacy { name, source },
                Stop::NotABundle => Error::NotABundle { name },
                Stop::Read(source) => Error::Io { name, source },
                Stop::Spool(source) => Error::Spool { name, folder: spool.to_owned(), source },
            })
        },
        |(manifest, payload)| {
            let reader: Box<dyn Read + 'r> = Box::new(payload);
            Ok(Bundle { name: name.to_owned(), manifest, reader, payload: 0, problems: Vec::new() })
        },
    )
}

fn convert(reader: impl Read, spool: &Path) -> Result<(Manifest, Segments), Stop> {
    let mut stream = Stream { plain: Plain::to_the_end_of(reader), given: 0 };
    let sections = stream.table()?;
    std::fs::create_dir_all(spool).map_err(Stop::Spool)?;
    let mut file = tempfile::tempfile_in(spool).map_err(Stop::Spool)?;
    let length: u64 = sections.iter().map(|section| section.length).sum();
    stream.copy(length, &mut file)?;
    stream.end()?;

    working_on("manifest.json");
    let stated = stated::read(&sections, &mut file)?;
    let mut files: HashMap<&str, Section> = HashMap::new();
    let mut index = Vec::new();
    for section in &sections {
        match section.path.components().next() {
            Some("index") => index.push(section),
            Some("manifest.json" | "config.toml" | "config") => {}
            _ => {
                if files.insert(section.path.as_str(), section.clone()).is_some() {
                    return Err(refuse_section(section.path.as_str(), "is in it twice").into());
                }
            }
        }
    }
    let mut found = Found::default();
    let mut crates = found.crates(&stated, &mut files)?;
    found.toolchain(&stated, &mut files)?;
    if let Some(path) = files.keys().min() {
        return Err(refuse_section(path, "is not in its manifest").into());
    }
    crates.sort_unstable_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    for section in index {
        found.index(section, &mut crates, &mut file, length)?;
    }
    found.finish(&stated, crates, file)
}

/// A section's place in the spooled file.
#[derive(Clone)]
struct Section {
    path: SafePath,
    offset: u64,
    length: u64,
}

fn refuse_section(path: &str, rule: &'static str) -> Refused {
    Refused::Section { path: path.to_owned(), rule }
}

/// The plain form, as it comes out of the stream.
struct Stream<R> {
    plain: Plain<R>,
    given: u64,
}

impl<R: Read> Stream<R> {
    /// Reads magic and table. Offsets are counted from the first section's first byte from here on.
    fn table(&mut self) -> Result<Vec<Section>, Stop> {
        let mut magic = [0; 8];
        // Until the magic is there, nothing says that this is meant to be brotli.
        match self.fill(&mut magic) {
            Err(Stop::Refused(_)) => return Err(Stop::NotABundle),
            other => other?,
        }
        if magic != *MAGIC {
            return Err(Stop::NotABundle);
        }
        let count = u32::from_le_bytes(self.array()?);
        let mut sections = Vec::new();
        for _ in 0..count {
            let length = u32::from_le_bytes(self.array()?);
            if length > 1024 {
                return Err(Refused::Framing("its table has a path that is too long").into());
            }
            let mut path = vec![0; length as usize];
            self.fill(&mut path)?;
            let path =
                String::from_utf8(path).map_err(|_| Refused::Framing("its table has a path that is not UTF-8"))?;
            let path: SafePath = path.parse().map_err(Refused::Path)?;
            let (offset, length) = (u64::from_le_bytes(self.array()?), u64::from_le_bytes(self.array()?));
            sections.push(Section { path, offset, length });
            if self.given > MAX_TABLE {
                return Err(Refused::Framing("its table is too long").into());
            }
        }
        let mut next = self.given;
        let begin = self.given;
        for section in &mut sections {
            let end = next.checked_add(section.length).filter(|end| *end <= i64::MAX as u64);
            match end {
                Some(end) if section.offset == next => next = end,
                _ => {
                    return Err(refuse_section(section.path.as_str(), "is not where the section before it ends").into());
                }
            }
            section.offset -= begin;
        }
        Ok(sections)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Stop> {
        let mut filled = 0;
        while filled < buffer.len() {
            filled += self.read(&mut buffer[filled..])?;
        }
        Ok(())
    }

    fn copy(&mut self, length: u64, file: &mut File) -> Result<(), Stop> {
        let mut buffer = vec![0; BUFFER];
        let mut left = length;
        while left > 0 {
            let room = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let n = self.read(&mut buffer[..room])?;
            file.write_all(&buffer[..n]).map_err(Stop::Spool)?;
            left -= n as u64;
        }
        Ok(())
    }

    /// At least one byte; the stream's end is an error.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Stop> {
        let n = self.plain.read(buffer).map_err(stop)?;
        self.given += n as u64;
        if self.given > plain_limit(self.plain.taken()) {
            return Err(Refused::Framing("it shrank more than a bundle can").into());
        }
        Ok(n)
    }

    fn end(mut self) -> Result<(), Stop> {
        self.plain.expect_no_more();
        self.plain.check_end().map_err(stop)
    }
}

fn stop(error: io::Error) -> Stop {
    let fault = match encoded::Fault::of(&error) {
        None => return Stop::Read(error),
        Some(encoded::Fault::Truncated | encoded::Fault::Short) => "the file ends before its sections do",
        Some(encoded::Fault::Malformed) => "it is damaged: its brotli stream does not decode",
        Some(encoded::Fault::Long | encoded::Fault::Trailing) => "bytes follow its last section",
    };
    Refused::Framing(fault).into()
}

/// What a legacy bundle turns out to hold: entries, each with its place in the spooled file.
#[derive(Default)]
struct Found {
    entries: Vec<(Entry, u64)>,
    /// Bytes of pruned index text behind the sections.
    appended: u64,
}

impl Found {
    fn crates(&mut self, stated: &Stated, files: &mut HashMap<&str, Section>) -> Result<Vec<CrateRecord>, Stop> {
        let mut records = Vec::with_capacity(stated.crates.len());
        for one in stated.crates.values() {
            let CrateId { name, version } = CrateId::parse(&one.name, &one.version).map_err(Refused::Crate)?;
            let sha256: Sha256 = one.sha256.parse().map_err(Refused::Digest)?;
            let from = format!("crates/{}/{}/download", one.name, one.version);
            let id = CrateId { name: name.clone(), version: version.clone() };
            self.file(files, &from, id.crate_path(), one.size, sha256, Kind::Crate)?;
            records.push(CrateRecord {
                name,
                version,
                sha256,
                size: one.size,
                state: CrateState::Shipped,
                yanked: false,
                read: None,
                description: None,
                license: None,
                repository: None,
            });
        }
        Ok(records)
    }

    fn toolchain(&mut self, stated: &Stated, files: &mut HashMap<&str, Section>) -> Result<(), Stop> {
        for one in &stated.rustup {
            let from = format!("rustup/dist/{}/{}", one.target, one.filename);
            let path = from.parse().map_err(Refused::Path)?;
            let sha256 = one.sha256.parse().map_err(Refused::Digest)?;
            self.file(files, &from, path, one.size, sha256, Kind::Rustup)?;
        }
        for one in &stated.dist {
            let from = format!("dist/{}", one.path);
            let path = from.parse().map_err(Refused::Path)?;
            let sha256 = one.sha256.parse().map_err(Refused::Digest)?;
            self.file(files, &from, path, one.size, sha256, Kind::Dist)?;
        }
        Ok(())
    }

    /// Takes one file that the manifest names out of the sections.
    fn file(
        &mut self,
        files: &mut HashMap<&str, Section>,
        from: &str,
        path: SafePath,
        size: u64,
        sha256: Sha256,
        kind: Kind,
    ) -> Result<(), Stop> {
        let section =
            files.remove(from).ok_or_else(|| refuse_section(from, "is in its manifest, but not in the bundle"))?;
        if section.length != size {
            return Err(refuse_section(from, "has another size than its manifest states").into());
        }
        self.entries.push((Entry { path, size, sha256, kind }, section.offset));
        Ok(())
    }

    /// Appends the lines of one index file that are of crates in the bundle to the spooled file.
    fn index(
        &mut self,
        section: &Section,
        crates: &mut [CrateRecord],
        file: &mut File,
        length: u64,
    ) -> Result<(), Stop> {
        let path: SafePath = section.path.folded().parse().map_err(Refused::Path)?;
        let mut kept = Vec::new();
        working_on(&section.path);
        file.seek(SeekFrom::Start(section.offset)).map_err(Stop::Spool)?;
        let mut reader = BufReader::with_capacity(BUFFER, (&*file).take(section.length));
        let mut raw = Vec::new();
        loop {
            raw.clear();
            let n = (&mut reader).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut raw).map_err(Stop::Spool)?;
            if n == 0 {
                break;
            }
            if n > MAX_LINE {
                return Err(refuse_section(section.path.as_str(), "has a line that is too long").into());
            }
            if let Some(line) = line_of(&raw, &path, crates) {
                kept.extend_from_slice(line.as_bytes());
                kept.push(b'\n');
            }
            if kept.len() as u64 > MAX_INDEX {
                return Err(refuse_section(section.path.as_str(), "is larger than an index file may be").into());
            }
        }
        if kept.is_empty() {
            return Ok(());
        }
        let offset = length + self.appended;
        file.seek(SeekFrom::Start(offset)).map_err(Stop::Spool)?;
        file.write_all(&kept).map_err(Stop::Spool)?;
        let size = kept.len() as u64;
        self.appended += size;
        self.entries.push((Entry { path, size, sha256: Sha256::of(&kept), kind: Kind::Index }, offset));
        Ok(())
    }

    fn finish(mut self, stated: &Stated, crates: Vec<CrateRecord>, file: File) -> Result<(Manifest, Segments), Stop> {
        self.entries.sort_unstable_by(|(a, _), (b, _)| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
        let time: Timestamp =
            stated.created.parse().map_err(|_| Refused::Created(stated.created.chars().take(80).collect()))?;
        let is_artifact = |entry: &Entry| matches!(entry.kind, Kind::Dist | Kind::Rustup);
        let artifacts: Vec<ArtifactRecord> = self
            .entries
            .iter()
            .filter(|(entry, _)| is_artifact(entry))
            .map(|(Entry { path, size, sha256, .. }, _)| ArtifactRecord {
                path: path.clone(),
                sha256: *sha256,
                size: *size,
                state: ArtifactState::Shipped,
                read: None,
            })
            .collect();
        let places = self.entries.iter().map(|(entry, offset)| (*offset, entry.size)).collect();
        let blocks = self.entries.into_iter().map(|(entry, _)| Block {
            encoding: Encoding::Stored,
            stored: None,
            entries: vec![entry],
        });
        let all = 0..u32::try_from(crates.len()).unwrap_or(u32::MAX);
        let has_toolchain = !stated.dist.is_empty();
        let all_artifacts = 0..u32::try_from(artifacts.len()).unwrap_or(u32::MAX);
        let mut manifest = Manifest {
            id: String::new(),
            format: FormatVersion::CURRENT,
            tool: "frostmirror 1.x".to_owned(),
            created: whole_seconds(time),
            kind: BundleKind::Full,
            repair: false,
            parent: None,
            targets: stated.targets.clone(),
            toolchains: if has_toolchain { vec![stated.toolchain.clone()] } else { Vec::new() },
            index_read: whole_seconds(time),
            lineage: Lineage {
                id: LEGACY_LINEAGE.to_owned(),
                // Its bundles are not numbered; the second of their making puts them in order.
                sequence: u64::try_from(time.as_second()).unwrap_or(0),
                inputs: vec![Input {
                    name: "frostmirror 1.x".to_owned(),
                    roots: Vec::new(),
                    crates: all.collect(),
                    artifacts: all_artifacts.collect(),
                    left_out: Vec::new(),
                }],
            },
            carried: Vec::new(),
            refreshed: Vec::new(),
            crates,
            artifacts,
            blocks: blocks.collect(),
        };
        manifest.seal();
        rules::check(&manifest)?;
        Ok((manifest, Segments { file, places, current: 0, left: None }))
    }
}

/// The line, if it is of a crate in the bundle and in the file that such a crate's lines belong into.
///
/// The crate learns from its line whether it is yanked; the manifest of a 1.x bundle does not say.
fn line_of<'t>(raw: &'t [u8], path: &SafePath, crates: &mut [CrateRecord]) -> Option<&'t str> {
    let text = std::str::from_utf8(raw).ok()?.trim_end_matches(['\n', '\r']);
    let line = IndexLine::parse(text).ok()?;
    let at_home = path.strip_prefix("index") == Some(line.id.name.index_path().as_str());
    let place = |record: &CrateRecord| (&record.name, &record.version).cmp(&(&line.id.name, &line.id.version));
    let found = crates.binary_search_by(place).ok().filter(|_| at_home)?;
    crates[found].yanked = line.yanked;
    Some(text)
}

/// Places in the spooled file, read one after another.
struct Segments {
    file: File,
    places: Vec<(u64, u64)>,
    current: usize,
    /// Bytes left of the current place; `None` before it was gone to.
    left: Option<u64>,
}

impl Read for Segments {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some((offset, length)) = self.places.get(self.current) {
            let left = match self.left {
                Some(left) => left,
                None => {
                    self.file.seek(SeekFrom::Start(*offset))?;
                    *length
                }
            };
            if left == 0 {
                (self.current, self.left) = (self.current + 1, None);
                continue;
            }
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let n = self.file.read(&mut buffer[..room])?;
            self.left = Some(left - n as u64);
            return Ok(n);
        }
        Ok(0)
    }
}
