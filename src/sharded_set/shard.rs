//! The rows of one shard: the strict parser of its text, and the same checks for its writer.

use super::error::Error;
use super::fault::RowFault;
use super::key::{Key, Placer, SortKey};
use super::limits::{MAX_ROW_LENGTH, MAX_SHARD_SIZE};
use super::row::{Inputs, Row};
use crate::digest::Sha256;

/// A row with its position in the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedRow {
    /// Its position.
    pub sort_key: SortKey,
    /// The row.
    pub row: Row,
}

/// The rows of one shard in order.
#[derive(Debug)]
pub(super) struct ShardRows {
    shard: usize,
    bits: u32,
    rows: Vec<PlacedRow>,
    text: String,
}

impl ShardRows {
    /// A shard without rows.
    pub(super) fn new(shard: usize, bits: u32) -> ShardRows {
        ShardRows { shard, bits, rows: Vec::new(), text: String::new() }
    }

    /// Parses the text of a shard.
    ///
    /// # Errors
    /// [`Error::LargeShard`], or [`Error::InvalidRow`] for the first invalid row.
    pub(super) fn parse(text: &[u8], shard: usize, bits: u32) -> Result<Vec<PlacedRow>, Error> {
        if text.len() > MAX_SHARD_SIZE {
            return Err(Error::LargeShard { shard });
        }
        let mut placer = Placer::default();
        let mut rows = ShardRows::new(shard, bits);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let row = parse_line(line).map_err(|fault| rows.next_row_error(fault))?;
            let sort_key = placer.sort_key(row.key_text());
            rows.add(PlacedRow { sort_key, row })?;
        }
        rows.check_paths()?;
        Ok(rows.rows)
    }

    /// Adds a row to a shard that is written.
    ///
    /// # Errors
    /// [`Error::LargeShard`], [`Error::InvalidRow`].
    pub(super) fn push(&mut self, row: PlacedRow) -> Result<(), Error> {
        let text = row.row.text();
        if self.text.len() + text.len() + 1 > MAX_SHARD_SIZE {
            return Err(Error::LargeShard { shard: self.shard });
        }
        self.add(row)?;
        self.text.push_str(&text);
        self.text.push('\n');
        Ok(())
    }

    /// The text of a shard that is written, its digest, and the number of its rows.
    ///
    /// # Errors
    /// [`Error::InvalidRow`].
    pub(super) fn finish(self) -> Result<(String, Sha256, u64), Error> {
        self.check_paths()?;
        let sha256 = Sha256::of(self.text.as_bytes());
        Ok((self.text, sha256, self.rows.len() as u64))
    }

    fn next_row_error(&self, fault: RowFault) -> Error {
        Error::InvalidRow { shard: self.shard, row: self.rows.len() + 1, fault }
    }

    fn add(&mut self, row: PlacedRow) -> Result<(), Error> {
        match self.find_fault(&row) {
            Some(fault) => Err(self.next_row_error(fault)),
            None => {
                self.rows.push(row);
                Ok(())
            }
        }
    }

    fn find_fault(&self, row: &PlacedRow) -> Option<RowFault> {
        let name = || row.row.key().to_string();
        if row.sort_key.shard(self.bits) != self.shard {
            return Some(RowFault::WrongShard(name()));
        }
        let last = self.rows.last()?;
        match last.sort_key.cmp(&row.sort_key) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => return Some(RowFault::Duplicate(name())),
            std::cmp::Ordering::Greater => return Some(RowFault::OutOfOrder(name())),
        }
        // All versions of a name are adjacent, also those of a name in different case.
        has_other_case(&last.row, &row.row).then(|| RowFault::DifferentCase(name()))
    }

    /// No file is at a folder of another file's path.
    fn check_paths(&self) -> Result<(), Error> {
        let is_file = |key: (u64, &str)| self.rows.binary_search_by(|row| row.sort_key.as_parts().cmp(&key)).is_ok();
        let below = self.rows.iter().position(|row| row.sort_key.folders().any(is_file));
        match below.and_then(|position| Some((position, self.rows.get(position)?))) {
            None => Ok(()),
            Some((position, row)) => {
                let fault = RowFault::BelowFile(row.row.key().to_string());
                Err(Error::InvalidRow { shard: self.shard, row: position + 1, fault })
            }
        }
    }
}

fn has_other_case(one: &Row, other: &Row) -> bool {
    let (Row::Crate(one), Row::Crate(other)) = (one, other) else { return false };
    let (first, second) = (one.key.id.name.as_str(), other.key.id.name.as_str());
    one.key.registry == other.key.registry && first != second && first.eq_ignore_ascii_case(second)
}

/// A row with its line break.
pub(super) fn parse_line(line: &[u8]) -> Result<Row, RowFault> {
    Row::parse(decode_line(line)?)
}

/// A key with its line break, in its canonical form.
pub(super) fn parse_key_line(line: &[u8]) -> Result<Key, RowFault> {
    let text = decode_line(line)?;
    let mut fields = text.split('\t');
    let key = Key::parse(&mut fields)?;
    if fields.next().is_some() {
        return Err(RowFault::FieldCount);
    }
    match key.text().text == text {
        true => Ok(key),
        false => Err(RowFault::NotCanonical),
    }
}

/// A key and inputs with their line break, in their canonical form.
pub(super) fn parse_inputs_line(line: &[u8]) -> Result<(Key, Inputs), RowFault> {
    let text = decode_line(line)?;
    let mut fields = text.split('\t');
    let key = Key::parse(&mut fields)?;
    let inputs = fields.next().ok_or(RowFault::FieldCount)?;
    let inputs = Inputs::parse(inputs).ok_or(RowFault::Field("list of inputs"))?;
    if fields.next().is_some() {
        return Err(RowFault::FieldCount);
    }
    let mut canonical = key.text().text;
    canonical.push('\t');
    inputs.push_to(&mut canonical);
    match canonical == text {
        true => Ok((key, inputs)),
        false => Err(RowFault::NotCanonical),
    }
}

fn decode_line(line: &[u8]) -> Result<&str, RowFault> {
    let line = line.strip_suffix(b"\n").ok_or(RowFault::Unterminated)?;
    if line.len() > MAX_ROW_LENGTH {
        return Err(RowFault::TooLong);
    }
    std::str::from_utf8(line).map_err(|_| RowFault::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a shard with these rows.
    fn shard_text(rows: &[&str]) -> Vec<u8> {
        rows.iter().flat_map(|row| [row, "\n"]).collect::<String>().into_bytes()
    }

    #[test]
    fn each_rule_of_a_shard_is_checked_and_names_the_row() {
        let digest = Sha256::of(b"");
        let crate_row = |name: &str, version: &str| format!("c\t-\t{name}\t{version}\t{digest}\t0\t{digest}\t1\t1\t-");
        let file_row = |path: &str| format!("f\t{path}\t{digest}\t0\t1\t1");
        let (a1, a2) = (crate_row("aa", "1.0.0"), crate_row("aa", "2.0.0"));
        let fault = |rows: &[&str]| match ShardRows::parse(&shard_text(rows), 0, 0) {
            Err(Error::InvalidRow { shard: 0, row, fault }) => (row, fault),
            other => panic!("{other:?}"),
        };
        assert_eq!(ShardRows::parse(&shard_text(&[&a1, &a2]), 0, 0).expect("valid").len(), 2);
        assert_eq!(fault(&[&a2, &a1]), (2, RowFault::OutOfOrder("aa 1.0.0".to_owned())));
        assert_eq!(fault(&[&a1, &a1]), (2, RowFault::Duplicate("aa 1.0.0".to_owned())));
        assert_eq!(fault(&[&a1, &crate_row("AA", "1.0.0")]), (2, RowFault::Duplicate("AA 1.0.0".to_owned())));
        assert_eq!(fault(&[&a1, &crate_row("Aa", "2.0.0")]), (2, RowFault::DifferentCase("Aa 2.0.0".to_owned())));
        let upper = crate_row("aa", "1.0.0-A");
        assert_eq!(fault(&[&upper, &crate_row("aa", "1.0.0-a")]), (2, RowFault::Duplicate("aa 1.0.0-a".to_owned())));
        let files = [file_row("dist/d"), file_row("dist/d/x")];
        assert_eq!(
            [fault(&[&files[0], &files[1]]), fault(&[&file_row("dist/e/F"), &file_row("dist/e/f/x")])],
            [(2, RowFault::BelowFile("dist/d/x".to_owned())), (2, RowFault::BelowFile("dist/e/f/x".to_owned()))]
        );
        assert_eq!(fault(&["z\tanything"]), (1, RowFault::UnknownKind("z".to_owned())));
        assert_eq!(fault(&[&a1, ""]), (2, RowFault::Field("kind")));
        let unterminated = ShardRows::parse(a1.as_bytes(), 0, 0).expect_err("no line break");
        assert!(matches!(&unterminated, Error::InvalidRow { row: 1, fault: RowFault::Unterminated, .. }));
        let mut not_utf8 = shard_text(&[&a1]);
        not_utf8[5] = 0xff;
        assert!(matches!(ShardRows::parse(&not_utf8, 0, 0), Err(Error::InvalidRow { fault: RowFault::NotUtf8, .. })));
        let large = vec![b'\n'; MAX_SHARD_SIZE + 1];
        assert!(matches!(ShardRows::parse(&large, 3, 4), Err(Error::LargeShard { shard: 3 })));
        // The other shard of two.
        let shard = Placer::default().sort_key(Row::parse(&a1).expect("valid").key_text()).shard(1);
        assert!(ShardRows::parse(&shard_text(&[&a1]), shard, 1).is_ok());
        let elsewhere = ShardRows::parse(&shard_text(&[&a1]), 1 - shard, 1).expect_err("elsewhere").to_string();
        assert_eq!(elsewhere, format!("row 1 of shard {} is for aa 1.0.0, which belongs in another shard", 1 - shard));
        let newer = ShardRows::parse(&shard_text(&["gem\tx"]), 0, 0).expect_err("newer");
        assert!(newer.is_newer_format());
        assert_eq!(newer.to_string(), "row 1 of shard 0 has the kind `gem`, which this version does not know");
    }
}
