//! The manifest's serialized form: written compact with its ID, and parsed strictly in limited memory.
//!
//! Attacks and defences: a decompression bomb (stated lengths with a maximum ratio, and a decoder that stops there); a
//! manifest that is small in transit and large in memory (the parser counts its weight relative to the crates read so far);
//! unknown keys (ignored, but covered by the ID); a second document after the first (refused); deep nesting (the JSON
//! parser's limit of 128).

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::brotli_stream::{self, BrotliReader};
use super::format::{
    BundleKind, COMMA_WEIGHT, ID_DIGITS, ID_PREFIX, Manifest, NUMBER_WEIGHT, ROWS_ALLOWANCE, STORED_BYTES_PER_ROW,
    manifest_weight_limit, short_id,
};
use super::header::Header;
use super::open_error::Error;
use crate::digest::{BUFFER_SIZE, Hasher};

/// The stored bytes of a manifest, and its plain length.
pub(super) struct EncodedManifest {
    pub(super) bytes: Vec<u8>,
    pub(super) plain_size: u64,
}

/// Serializes a manifest of any version, which has its ID.
pub(super) fn encode(manifest: &impl Serialize) -> io::Result<EncodedManifest> {
    let mut plain = 0;
    let bytes = brotli_stream::encode(|writer| {
        let mut counting = CountingWriter { inner: writer, length: 0 };
        serde_json::to_writer(&mut counting, manifest)?;
        plain = counting.length;
        Ok(())
    })?;
    Ok(EncodedManifest { bytes, plain_size: plain })
}

/// The reason why a manifest was refused.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The underlying reader failed.
    Io(io::Error),
    /// Its digest does not match.
    Corrupt(&'static str),
    /// It is not a manifest of this format.
    Malformed(serde_json::Error),
}

impl ReadError {
    /// The error of the bundle `name`.
    pub(super) fn in_bundle(self, name: &str) -> Error {
        let name = name.to_owned();
        match self {
            ReadError::Io(source) => Error::Io { name, source },
            ReadError::Corrupt(fault) => Error::CorruptManifest { name, fault },
            ReadError::Malformed(source) => Error::MalformedManifest { name, source },
        }
    }
}

/// Reads the manifest that `header` describes.
pub(super) fn read(reader: &mut impl Read, header: &Header) -> Result<Manifest, ReadError> {
    let rows = RowCounter::with_stored_size(header.stored_size);
    let limit = WeightLimit {
        limit: &|| manifest_weight_limit(rows.count.get(), rows.is_snapshot.get()),
        fault: "it is too large for the number of crates that it lists",
    };
    read_weighed(reader, header, &limit, |text| parse(text, &rows), |manifest| &manifest.id)
}

/// The maximum weight of a manifest, which may grow while it is read.
pub(super) struct WeightLimit<'c> {
    pub(super) limit: &'c dyn Fn() -> u64,
    /// What is wrong with a manifest that exceeds it.
    pub(super) fault: &'static str,
}

/// Reads the manifest that `header` describes: its digest, then `parse`, the weight, and its ID.
pub(super) fn read_weighed<M>(
    reader: &mut impl Read,
    header: &Header,
    limit: &WeightLimit<'_>,
    parse: impl FnOnce(&mut dyn Read) -> Result<M, serde_json::Error>,
    id_of: impl FnOnce(&M) -> &str,
) -> Result<M, ReadError> {
    let mut plain = BrotliReader::new(reader, header.stored_size, header.plain_size);
    let mut weighed = WeighingReader::new(&mut plain, limit);
    let parsed = parse(&mut weighed);
    let id = weighed.finish();
    let end = plain.check_end();
    // A digest mismatch is reported first: transit damage is likelier, and more useful to know, than the resulting JSON
    // error.
    match plain.drain().map_err(ReadError::Io)? {
        None => return Err(ReadError::Corrupt("the file ends inside it")),
        Some(sha256) if sha256 != header.sha256 => {
            return Err(ReadError::Corrupt("its SHA-256 is not the one in the header"));
        }
        Some(_) => {}
    }
    // A parser that stops early makes a stream look too short; a stream that is too long is an error of its own.
    let too_long = |error: &io::Error| {
        brotli_stream::BrotliFault::from_io(error).is_some_and(|fault| fault != brotli_stream::BrotliFault::TooShort)
    };
    match (parsed, end) {
        (_, Err(error)) if too_long(&error) => Err(read_error_of_io(&error)),
        (Err(error), _) => Err(read_error(error)),
        (Ok(_), Err(error)) => Err(read_error_of_io(&error)),
        (Ok(manifest), Ok(())) if id.as_deref() != Some(id_of(&manifest)) => {
            Err(ReadError::Corrupt("its `id` does not match its content"))
        }
        (Ok(manifest), Ok(())) => Ok(manifest),
    }
}

/// The counts of the tables during parsing.
struct RowCounter {
    count: Cell<u64>,
    /// The maximum that the manifest's stored length allows.
    max: u64,
    is_snapshot: Cell<bool>,
}

impl RowCounter {
    fn with_stored_size(stored: u64) -> RowCounter {
        let most = (stored / STORED_BYTES_PER_ROW).saturating_add(ROWS_ALLOWANCE);
        RowCounter { count: Cell::new(0), max: most, is_snapshot: Cell::new(false) }
    }
}

fn parse(weighed: &mut dyn Read, crates: &RowCounter) -> Result<Manifest, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(BUFFER_SIZE, weighed));
    let manifest = json.deserialize_map(ManifestVisitor { rows: crates })?;
    json.end()?;
    Ok(manifest)
}

fn read_error(error: serde_json::Error) -> ReadError {
    if error.is_io() { read_error_of_io(&error.into()) } else { ReadError::Malformed(error) }
}

fn read_error_of_io(error: &io::Error) -> ReadError {
    match brotli_stream::BrotliFault::from_io(error) {
        Some(brotli_stream::BrotliFault::Truncated) => ReadError::Corrupt("the file ends inside it"),
        Some(brotli_stream::BrotliFault::Malformed) => ReadError::Corrupt("it is not valid brotli"),
        Some(brotli_stream::BrotliFault::TooShort) => {
            ReadError::Corrupt("it decodes to fewer bytes than the header states")
        }
        Some(brotli_stream::BrotliFault::TooLong) => {
            ReadError::Corrupt("it decodes to more bytes than the header states")
        }
        Some(brotli_stream::BrotliFault::TrailingBytes) => {
            ReadError::Corrupt("bytes follow the end of its brotli stream")
        }
        None => match error.get_ref().and_then(|inner| inner.downcast_ref::<WeightExceeded>()) {
            Some(WeightExceeded(fault)) => ReadError::Corrupt(fault),
            None => ReadError::Io(io::Error::new(error.kind(), error.to_string())),
        },
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WeightExceeded(&'static str);

/// Counts a manifest's weight and computes its ID during parsing.
struct WeighingReader<'c, R> {
    inner: R,
    limit: &'c WeightLimit<'c>,
    weight: u64,
    commas: CommaWeigher,
    position: usize,
    begins_with_id: bool,
    hasher: Hasher,
}

impl<'c, R: Read> WeighingReader<'c, R> {
    fn new(inner: R, limit: &'c WeightLimit<'c>) -> WeighingReader<'c, R> {
        let commas = CommaWeigher::default();
        WeighingReader { inner, limit, weight: 0, commas, position: 0, begins_with_id: true, hasher: Hasher::new() }
    }

    /// The computed ID; `None` if the manifest does not begin with one.
    fn finish(self) -> Option<String> {
        self.begins_with_id.then(|| short_id(&self.hasher.finish()))
    }

    /// Hashes bytes, with zeros in place of the ID's digits.
    fn hash(&mut self, bytes: &[u8]) {
        let head = bytes.len().min((ID_PREFIX.len() + ID_DIGITS + 1).saturating_sub(self.position));
        for byte in &bytes[..head] {
            let expected = match self.position {
                n if n < ID_PREFIX.len() => Some(ID_PREFIX[n]),
                n if n == ID_PREFIX.len() + ID_DIGITS => Some(b'"'),
                _ => None,
            };
            self.begins_with_id &= expected.is_none_or(|expected| expected == *byte);
            self.hasher.update(&[expected.unwrap_or(b'0')]);
            self.position += 1;
        }
        self.hasher.update(&bytes[head..]);
    }
}

impl<R: Read> Read for WeighingReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash(&buffer[..n]);
        self.weight += n as u64 + self.commas.add_bytes(&buffer[..n]);
        if self.weight > (self.limit.limit)() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, WeightExceeded(self.limit.fault)));
        }
        Ok(n)
    }
}

/// The weight of the commas between values; commas in strings weigh nothing.
#[derive(Default)]
struct CommaWeigher {
    in_text: bool,
    escaped: bool,
    /// Whether the last byte was a comma between values.
    pending: bool,
}

impl CommaWeigher {
    fn add_bytes(&mut self, bytes: &[u8]) -> u64 {
        let mut weight = 0;
        for byte in bytes {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            if self.pending {
                weight += if byte.is_ascii_digit() { NUMBER_WEIGHT } else { COMMA_WEIGHT };
            }
            self.pending = *byte == b',';
            self.in_text = *byte == b'"';
        }
        weight
    }
}

struct CountingWriter<W> {
    inner: W,
    length: u64,
}

impl<W: io::Write> io::Write for CountingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.length += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Parses a manifest key by key and counts crates and dist files, which derived serde code could not do.
struct ManifestVisitor<'c> {
    rows: &'c RowCounter,
}

impl<'de> Visitor<'de> for ManifestVisitor<'_> {
    type Value = Manifest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bundle's manifest")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Manifest, A::Error> {
        let (mut id, mut format, mut tool, mut created, mut kind) = (None, None, None, None, None);
        let (mut repair, mut parent) = (None, None);
        let (mut targets, mut toolchains, mut index_read) = (None, None, None);
        let mut refreshed = None;
        let (mut crates, mut dist_files, mut lineage, mut carried, mut blocks) = (None, None, None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "id" => set_once(&mut id, "id", map.next_value()?)?,
                "format" => set_once(&mut format, "format", map.next_value()?)?,
                "tool" => set_once(&mut tool, "tool", map.next_value()?)?,
                "created" => set_once(&mut created, "created", map.next_value()?)?,
                "kind" => {
                    let value: BundleKind = map.next_value()?;
                    self.rows.is_snapshot.set(value == BundleKind::Snapshot);
                    set_once(&mut kind, "kind", value)?;
                }
                "repair" => set_once(&mut repair, "repair", map.next_value()?)?,
                "parent" => set_once(&mut parent, "parent", map.next_value()?)?,
                "targets" => set_once(&mut targets, "targets", map.next_value()?)?,
                "toolchains" => set_once(&mut toolchains, "toolchains", map.next_value()?)?,
                "index_read" => set_once(&mut index_read, "index_read", map.next_value()?)?,
                "crates" => set_once(&mut crates, "crates", map.next_value_seed(CountedTable::new(self.rows))?)?,
                "artifacts" => {
                    set_once(&mut dist_files, "artifacts", map.next_value_seed(CountedTable::new(self.rows))?)?
                }
                "refreshed" => {
                    set_once(&mut refreshed, "refreshed", map.next_value_seed(CountedTable::new(self.rows))?)?
                }
                "lineage" => set_once(&mut lineage, "lineage", map.next_value()?)?,
                "carried" => set_once(&mut carried, "carried", map.next_value()?)?,
                "blocks" => set_once(&mut blocks, "blocks", map.next_value()?)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Manifest {
            id: require(id, "id")?,
            format: require(format, "format")?,
            tool: require(tool, "tool")?,
            created: require(created, "created")?,
            kind: require(kind, "kind")?,
            repair: repair.unwrap_or_default(),
            parent: parent.unwrap_or_default(),
            targets: targets.unwrap_or_default(),
            toolchains: toolchains.unwrap_or_default(),
            index_read: require(index_read, "index_read")?,
            crates: require(crates, "crates")?,
            dist_files: dist_files.unwrap_or_default(),
            refreshed_crates: refreshed.unwrap_or_default(),
            lineage: require(lineage, "lineage")?,
            carried_histories: carried.unwrap_or_default(),
            blocks: require(blocks, "blocks")?,
        })
    }
}

fn set_once<T, E: serde::de::Error>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

fn require<T, E: serde::de::Error>(slot: Option<T>, name: &'static str) -> Result<T, E> {
    slot.ok_or_else(|| E::missing_field(name))
}

/// A table with counted rows.
struct CountedTable<'c, T> {
    rows: &'c RowCounter,
    row: PhantomData<T>,
}

impl<'c, T> CountedTable<'c, T> {
    fn new(rows: &'c RowCounter) -> CountedTable<'c, T> {
        CountedTable { rows, row: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for CountedTable<'_, T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for CountedTable<'_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of crates or of rustup artifacts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut records = Vec::new();
        while let Some(record) = seq.next_element()? {
            let count = self.rows.count.get() + 1;
            if count > self.rows.max || records.len() >= u32::MAX as usize {
                return Err(A::Error::custom("its tables have too many rows for its length"));
            }
            records.push(record);
            self.rows.count.set(count);
        }
        Ok(records)
    }
}
