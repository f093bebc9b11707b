//! The list of a set's shards, and the root over it.

use std::io::Read;

use super::error::Error;
use super::fault::ListFault;
use super::limits::{MAX_LIST_SIZE, MAX_ROWS, shard_bits};
use super::summary::SetSummary;
use crate::digest::Sha256;

/// The first words of a list of shards.
const FIRST_WORD: &str = "frostmirror-set";
/// The version of the rules in this module. It is part of every root.
const VERSION: &str = "2";

/// The digests of shards, of any number of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShardDigests {
    pub(super) bits: u32,
    pub(super) rows: u64,
    pub(super) digests: Vec<Sha256>,
}

/// The list of a set's shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestList {
    shards: ShardDigests,
    root: Sha256,
}

impl DigestList {
    /// A set without rows.
    pub fn empty() -> DigestList {
        let shards = ShardDigests { bits: 0, rows: 0, digests: vec![Sha256::of(b"")] };
        let root = Sha256::of(render(&shards).as_bytes());
        DigestList { shards, root }
    }

    /// The list of these shards. `None` if the set of that many rows has another number of shards.
    pub(super) fn new(shards: ShardDigests) -> Option<DigestList> {
        let is_valid = shards.bits == shard_bits(shards.rows) && shards.digests.len() == 1 << shards.bits;
        is_valid.then(|| DigestList { root: Sha256::of(render(&shards).as_bytes()), shards })
    }

    /// The set's digest and number of rows.
    pub fn summary(&self) -> SetSummary {
        SetSummary { root: self.root, rows: self.shards.rows }
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.shards.rows
    }

    /// The digest of each shard, by its number. Shards without rows are not stored.
    pub fn digests(&self) -> &[Sha256] {
        &self.shards.digests
    }

    pub(super) fn shards(&self) -> &ShardDigests {
        &self.shards
    }

    /// The list as text. Its SHA-256 is the root.
    pub fn text(&self) -> String {
        render(&self.shards)
    }

    /// Reads the list of the set `root`.
    ///
    /// # Errors
    /// [`Error::ReadList`], [`Error::DamagedList`], [`Error::InvalidList`].
    pub fn read(reader: impl Read, root: Sha256) -> Result<DigestList, Error> {
        let mut text = Vec::new();
        let mut limited = reader.take(MAX_LIST_SIZE as u64 + 1);
        limited.read_to_end(&mut text).map_err(|source| Error::ReadList { root, source })?;
        if text.len() > MAX_LIST_SIZE {
            return Err(Error::InvalidList { root, fault: ListFault::TooLong });
        }
        let actual = Sha256::of(&text);
        if actual != root {
            return Err(Error::DamagedList { expected: root, actual });
        }
        let shards = parse(&text).map_err(|fault| Error::InvalidList { root, fault })?;
        Ok(DigestList { shards, root })
    }
}

fn render(shards: &ShardDigests) -> String {
    let mut text = format!("{FIRST_WORD} {VERSION} {}\n", shards.rows);
    text.reserve(65 * shards.digests.len());
    for digest in &shards.digests {
        digest.push_to(&mut text);
        text.push('\n');
    }
    text
}

fn parse(text: &[u8]) -> Result<ShardDigests, ListFault> {
    let text = std::str::from_utf8(text).map_err(|_| ListFault::FirstLine)?;
    let (first, digests) = text.split_once('\n').ok_or(ListFault::FirstLine)?;
    let stated = first.strip_prefix(FIRST_WORD).and_then(|rest| rest.strip_prefix(' ')).ok_or(ListFault::FirstLine)?;
    let (version, rows) = stated.split_once(' ').ok_or(ListFault::FirstLine)?;
    if version != VERSION {
        let is_number = !version.is_empty() && version.len() <= 16 && version.bytes().all(|byte| byte.is_ascii_digit());
        return Err(if is_number { ListFault::UnknownVersion(version.to_owned()) } else { ListFault::FirstLine });
    }
    let rows: u64 = rows.parse().map_err(|_| ListFault::FirstLine)?;
    if rows > MAX_ROWS {
        return Err(ListFault::TooManyRows);
    }
    let bits = shard_bits(rows);
    // One more than needed shows that there are too many.
    let lines = digests.split_inclusive('\n').take((1 << bits) + 1).enumerate();
    let digests = lines.map(|(shard, line)| parse_digest(line).ok_or(ListFault::Digest(shard)));
    let digests = digests.collect::<Result<Vec<Sha256>, ListFault>>()?;
    if digests.len() != 1 << bits {
        return Err(ListFault::ShardCount);
    }
    let shards = ShardDigests { bits, rows, digests };
    // The number of rows has one spelling.
    if render(&shards) != text {
        return Err(ListFault::FirstLine);
    }
    Ok(shards)
}

/// 64 lowercase hexadecimal digits and a line break.
fn parse_digest(line: &str) -> Option<Sha256> {
    let digits = line.strip_suffix('\n')?;
    let is_lowercase = digits.bytes().all(|byte| !byte.is_ascii_uppercase());
    digits.parse().ok().filter(|_| is_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DigestList, Error> {
        DigestList::read(text.as_bytes(), Sha256::of(text.as_bytes()))
    }

    fn list(rows: u64) -> DigestList {
        let bits = shard_bits(rows);
        let digests = (0..1u32 << bits).map(|shard| Sha256::of(&shard.to_be_bytes())).collect();
        DigestList::new(ShardDigests { bits, rows, digests }).expect("valid")
    }

    #[test]
    fn a_list_round_trips_and_every_flipped_bit_is_found() {
        for rows in [0, 1, 256, 257, 1000] {
            let list = list(rows);
            let text = list.text();
            assert_eq!(Sha256::of(text.as_bytes()), list.summary().root);
            assert_eq!(read(&text).expect("valid"), list);
            for bit in 0..text.len() * 8 {
                let mut flipped = text.clone().into_bytes();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let found = DigestList::read(flipped.as_slice(), list.summary().root);
                assert!(matches!(found, Err(Error::DamagedList { .. })), "bit {bit}");
                // A sender can adapt the root, and even so no second text has the same content.
                if let Ok(other) = DigestList::read(flipped.as_slice(), Sha256::of(&flipped)) {
                    assert_ne!(other, list, "bit {bit}");
                }
            }
        }
        assert_eq!(DigestList::empty().text(), format!("frostmirror-set 2 0\n{}\n", Sha256::of(b"")));
    }

    #[test]
    fn invalid_lists_are_refused_by_name() {
        let text = list(300).text();
        let digest = Sha256::of(b"");
        let fault = |text: &str| match read(text) {
            Err(Error::InvalidList { fault, .. }) => fault,
            other => panic!("{other:?}"),
        };
        assert_eq!(fault(""), ListFault::FirstLine);
        assert_eq!(fault(&text.replacen("300", "0300", 1)), ListFault::FirstLine);
        assert_eq!(fault(&text.replacen("300", "+300", 1)), ListFault::FirstLine);
        assert_eq!(fault(&text.replacen("300", "200", 1)), ListFault::ShardCount);
        assert_eq!(fault(&text.replacen("300", "600", 1)), ListFault::ShardCount);
        assert_eq!(fault(&text.replacen("300", "16777217", 1)), ListFault::TooManyRows);
        assert_eq!(fault(&text.replacen("set 2", "set 3", 1)), ListFault::UnknownVersion("3".to_owned()));
        assert_eq!(fault(&format!("{text}{digest}\n")), ListFault::ShardCount);
        assert_eq!(fault(&format!("{text}\n")), ListFault::Digest(2));
        assert_eq!(fault(text.trim_end()), ListFault::Digest(1));
        assert_eq!(fault(&text.to_uppercase().replacen("FROSTMIRROR-SET", "frostmirror-set", 1)), ListFault::Digest(0));
        let endless = format!("frostmirror-set 2 16777216\n{}", format!("{digest}\n").repeat(65_537));
        assert!(matches!(fault(&endless), ListFault::TooLong | ListFault::ShardCount));
        let error = read(&text.replacen("set 2", "set 3", 1)).expect_err("newer");
        assert!(error.is_newer_format(), "{error}");
    }

    #[test]
    fn a_list_has_as_many_shards_as_its_rows_need() {
        let digests = vec![Sha256::of(b"")];
        assert!(DigestList::new(ShardDigests { bits: 0, rows: 257, digests: digests.clone() }).is_none());
        assert!(DigestList::new(ShardDigests { bits: 1, rows: 257, digests: digests.clone() }).is_none());
        assert!(DigestList::new(ShardDigests { bits: 0, rows: 256, digests }).is_some());
    }
}
