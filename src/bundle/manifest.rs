//! The manifest's bytes: written compact and sealed, read strictly and in bounded memory.
//!
//! Attacks and defences: a bomb (stated lengths with a ratio, and a decoder that stops there); a manifest that is
//! small on the wire and large in memory (its weight is counted while it is read, against the crates that it has
//! named so far); keys beyond those known (skipped, yet covered by the id); a second document behind the first
//! (refused); deep nesting (the JSON reader's own limit of 128).

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::encoded::{self, Plain};
use super::format::{
    BundleKind, COMMA_WEIGHT, ID_DIGITS, ID_PREFIX, Manifest, NUMBER_WEIGHT, ROWS_ALLOWANCE, STORED_BYTES_PER_ROW,
    manifest_weight_limit, short_id,
};
use super::header::Header;
use crate::digest::{BUFFER, Hasher};

/// A manifest's bytes as they are stored, and the plain length.
pub(super) struct Stored {
    pub(super) bytes: Vec<u8>,
    pub(super) plain: u64,
}

/// Seals a manifest and encodes it.
pub(super) fn encode(manifest: &mut Manifest) -> io::Result<Stored> {
    manifest.seal();
    let mut plain = 0;
    let bytes = encoded::encode(|writer| {
        let mut counting = Counting { inner: writer, length: 0 };
        serde_json::to_writer(&mut counting, manifest)?;
        plain = counting.length;
        Ok(())
    })?;
    Ok(Stored { bytes, plain })
}

/// Why a manifest was refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The reader below failed.
    Io(io::Error),
    /// Its bytes are not those that were written.
    Damaged(&'static str),
    /// It is not what this format has for a manifest.
    Malformed(serde_json::Error),
}

/// Reads the manifest that `header` announces.
pub(super) fn read(reader: &mut impl Read, header: &Header) -> Result<Manifest, Refusal> {
    let rows = Rows::of(header.stored);
    let mut plain = Plain::new(reader, header.stored, header.plain);
    let mut weighed = Weighed::new(&mut plain, &rows);
    let parsed = parse(&mut weighed, &rows);
    let id = weighed.finish();
    let end = plain.check_end();
    // Damage in transit is the likelier story, and the more useful one, than whatever the damage looks like to JSON.
    match plain.drain().map_err(Refusal::Io)? {
        None => return Err(Refusal::Damaged("the file ends inside it")),
        Some(sha256) if sha256 != header.sha256 => {
            return Err(Refusal::Damaged("its SHA-256 is not the one in the header"));
        }
        Some(_) => {}
    }
    // A parser that stopped early leaves a stream that seems short; one that is too long is so by itself.
    let too_long = |error: &io::Error| encoded::Fault::of(error).is_some_and(|fault| fault != encoded::Fault::Short);
    match (parsed, end) {
        (_, Err(error)) if too_long(&error) => Err(refusal_of_io(&error)),
        (Err(error), _) => Err(refusal(error)),
        (Ok(_), Err(error)) => Err(refusal_of_io(&error)),
        (Ok(manifest), Ok(())) if id.as_deref() != Some(manifest.id.as_str()) => {
            Err(Refusal::Damaged("its id does not follow from its content"))
        }
        (Ok(manifest), Ok(())) => Ok(manifest),
    }
}

/// What is known of the tables while they are read.
struct Rows {
    count: Cell<u64>,
    /// Most that the manifest's stored length accounts for.
    most: u64,
    snapshot: Cell<bool>,
}

impl Rows {
    fn of(stored: u64) -> Rows {
        let most = (stored / STORED_BYTES_PER_ROW).saturating_add(ROWS_ALLOWANCE);
        Rows { count: Cell::new(0), most, snapshot: Cell::new(false) }
    }
}

fn parse(weighed: &mut impl Read, crates: &Rows) -> Result<Manifest, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(BUFFER, weighed));
    let manifest = json.deserialize_map(WholeManifest { counted: crates })?;
    json.end()?;
    Ok(manifest)
}

fn refusal(error: serde_json::Error) -> Refusal {
    if error.is_io() { refusal_of_io(&error.into()) } else { Refusal::Malformed(error) }
}

fn refusal_of_io(error: &io::Error) -> Refusal {
    match encoded::Fault::of(error) {
        Some(encoded::Fault::Truncated) => Refusal::Damaged("the file ends inside it"),
        Some(encoded::Fault::Malformed) => Refusal::Damaged("it is not valid brotli"),
        Some(encoded::Fault::Short) => Refusal::Damaged("it decodes to fewer bytes than the header states"),
        Some(encoded::Fault::Long) => Refusal::Damaged("it decodes to more bytes than the header states"),
        Some(encoded::Fault::Trailing) => Refusal::Damaged("bytes follow the end of its brotli stream"),
        None if error.get_ref().is_some_and(|inner| inner.is::<TooHeavy>()) => {
            Refusal::Damaged("it is larger than the crates that it names account for")
        }
        None => Refusal::Io(io::Error::new(error.kind(), error.to_string())),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a manifest over its weight")]
struct TooHeavy;

/// Counts a manifest's weight and derives its id while it is read.
struct Weighed<'c, R> {
    inner: R,
    rows: &'c Rows,
    weight: u64,
    commas: Commas,
    position: usize,
    begins_well: bool,
    hasher: Hasher,
}

impl<'c, R: Read> Weighed<'c, R> {
    fn new(inner: R, rows: &'c Rows) -> Weighed<'c, R> {
        let commas = Commas::default();
        Weighed { inner, rows, weight: 0, commas, position: 0, begins_well: true, hasher: Hasher::new() }
    }

    /// The id that follows from what was read; `None` where it does not begin with one.
    fn finish(self) -> Option<String> {
        self.begins_well.then(|| short_id(&self.hasher.finish()))
    }

    /// Takes in bytes, with zeros for the id's digits.
    fn hash(&mut self, bytes: &[u8]) {
        let head = bytes.len().min((ID_PREFIX.len() + ID_DIGITS + 1).saturating_sub(self.position));
        for byte in &bytes[..head] {
            let expected = match self.position {
                n if n < ID_PREFIX.len() => Some(ID_PREFIX[n]),
                n if n == ID_PREFIX.len() + ID_DIGITS => Some(b'"'),
                _ => None,
            };
            self.begins_well &= expected.is_none_or(|expected| expected == *byte);
            self.hasher.update(&[expected.unwrap_or(b'0')]);
            self.position += 1;
        }
        self.hasher.update(&bytes[head..]);
    }
}

impl<R: Read> Read for Weighed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash(&buffer[..n]);
        self.weight += n as u64 + self.commas.weigh(&buffer[..n]);
        if self.weight > manifest_weight_limit(self.rows.count.get(), self.rows.snapshot.get()) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, TooHeavy));
        }
        Ok(n)
    }
}

/// What commas between values weigh; those in texts weigh nothing.
#[derive(Default)]
struct Commas {
    in_text: bool,
    escaped: bool,
    /// The last byte was a comma between values.
    pending: bool,
}

impl Commas {
    fn weigh(&mut self, bytes: &[u8]) -> u64 {
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

struct Counting<W> {
    inner: W,
    length: u64,
}

impl<W: io::Write> io::Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.length += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads a manifest key by key, and counts the crates and rustup artifacts as they come. What serde derives could not
/// count.
struct WholeManifest<'c> {
    counted: &'c Rows,
}

impl<'de> Visitor<'de> for WholeManifest<'_> {
    type Value = Manifest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bundle's manifest")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Manifest, A::Error> {
        let (mut id, mut format, mut tool, mut created, mut kind) = (None, None, None, None, None);
        let (mut repair, mut parent) = (None, None);
        let (mut targets, mut toolchains, mut index_read) = (None, None, None);
        let mut refreshed = None;
        let (mut crates, mut artifacts, mut lineage, mut carried, mut blocks) = (None, None, None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "id" => put(&mut id, "id", map.next_value()?)?,
                "format" => put(&mut format, "format", map.next_value()?)?,
                "tool" => put(&mut tool, "tool", map.next_value()?)?,
                "created" => put(&mut created, "created", map.next_value()?)?,
                "kind" => {
                    let value: BundleKind = map.next_value()?;
                    self.counted.snapshot.set(value == BundleKind::Snapshot);
                    put(&mut kind, "kind", value)?;
                }
                "repair" => put(&mut repair, "repair", map.next_value()?)?,
                "parent" => put(&mut parent, "parent", map.next_value()?)?,
                "targets" => put(&mut targets, "targets", map.next_value()?)?,
                "toolchains" => put(&mut toolchains, "toolchains", map.next_value()?)?,
                "index_read" => put(&mut index_read, "index_read", map.next_value()?)?,
                "crates" => put(&mut crates, "crates", map.next_value_seed(Counted::new(self.counted))?)?,
                "artifacts" => put(&mut artifacts, "artifacts", map.next_value_seed(Counted::new(self.counted))?)?,
                "refreshed" => put(&mut refreshed, "refreshed", map.next_value_seed(Counted::new(self.counted))?)?,
                "lineage" => put(&mut lineage, "lineage", map.next_value()?)?,
                "carried" => put(&mut carried, "carried", map.next_value()?)?,
                "blocks" => put(&mut blocks, "blocks", map.next_value()?)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Manifest {
            id: there(id, "id")?,
            format: there(format, "format")?,
            tool: there(tool, "tool")?,
            created: there(created, "created")?,
            kind: there(kind, "kind")?,
            repair: repair.unwrap_or_default(),
            parent: parent.unwrap_or_default(),
            targets: targets.unwrap_or_default(),
            toolchains: toolchains.unwrap_or_default(),
            index_read: there(index_read, "index_read")?,
            crates: there(crates, "crates")?,
            artifacts: artifacts.unwrap_or_default(),
            refreshed: refreshed.unwrap_or_default(),
            lineage: there(lineage, "lineage")?,
            carried: carried.unwrap_or_default(),
            blocks: there(blocks, "blocks")?,
        })
    }
}

fn put<T, E: serde::de::Error>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

fn there<T, E: serde::de::Error>(slot: Option<T>, name: &'static str) -> Result<T, E> {
    slot.ok_or_else(|| E::missing_field(name))
}

/// A table whose rows are counted.
struct Counted<'c, T> {
    rows: &'c Rows,
    row: PhantomData<T>,
}

impl<'c, T> Counted<'c, T> {
    fn new(rows: &'c Rows) -> Counted<'c, T> {
        Counted { rows, row: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Counted<'_, T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Counted<'_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of crates or of rustup artifacts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut records = Vec::new();
        while let Some(record) = seq.next_element()? {
            let count = self.rows.count.get() + 1;
            if count > self.rows.most || records.len() >= u32::MAX as usize {
                return Err(A::Error::custom("its tables have more rows than its length accounts for"));
            }
            records.push(record);
            self.rows.count.set(count);
        }
        Ok(records)
    }
}
