//! The rows of a set and their text.

use super::fault::RowFault;
use super::key::{CrateKey, FilePath, Key, KeyText};
use super::limits::{MAX_INPUT, MAX_INPUTS_PER_ROW, MAX_ROW_LENGTH};
use crate::digest::Sha256;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// A crate.
    Crate(CrateRow),
    /// A file.
    File(FileRow),
}

/// A crate of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrateRow {
    /// Its registry, name and version.
    pub key: CrateKey,
    /// Digest of the `.crate` file, as upstream states it.
    pub sha256: Sha256,
    /// Size of the `.crate` file in bytes; 0 if no bundle has it.
    pub size: u64,
    /// Digest of its index line, without line break.
    pub line_sha256: Sha256,
    /// The number of the bundle that introduced it, at least 1.
    pub introduced: u64,
    /// The inputs that need it.
    pub inputs: Inputs,
    /// Whether a platform filter left its file out.
    pub is_index_only: bool,
    /// Whether it was yanked when the index was read.
    pub is_yanked: bool,
}

/// A file of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRow {
    /// Its path.
    pub path: FilePath,
    /// Its digest.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
    /// The number of the bundle that introduced this content at this path, at least 1.
    pub introduced: u64,
    /// The inputs that need it.
    pub inputs: Inputs,
}

/// The numbers of the inputs that need a row: ascending, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs(Vec<u32>);

impl Inputs {
    /// These numbers, in any order. `None` without a number, with too many, or if one is 0 or greater than [`MAX_INPUT`].
    pub fn new(numbers: impl IntoIterator<Item = u32>) -> Option<Inputs> {
        let mut numbers: Vec<u32> = numbers.into_iter().collect();
        numbers.sort_unstable();
        numbers.dedup();
        let is_valid = (1..=MAX_INPUTS_PER_ROW).contains(&numbers.len())
            && numbers.iter().all(|number| (1..=MAX_INPUT).contains(number));
        is_valid.then_some(Inputs(numbers))
    }

    /// The numbers, ascending.
    pub fn as_slice(&self) -> &[u32] {
        &self.0
    }

    pub(super) fn push_to(&self, text: &mut String) {
        for (position, number) in self.0.iter().enumerate() {
            if position > 0 {
                text.push(',');
            }
            text.push_str(&number.to_string());
        }
    }

    /// The number of inputs and their order are limited here; the spelling of numbers is checked with the whole line.
    pub(super) fn parse(text: &str) -> Option<Inputs> {
        let mut numbers: Vec<u32> = Vec::new();
        for part in text.split(',') {
            let number = part.parse().ok().filter(|number| (1..=MAX_INPUT).contains(number))?;
            if numbers.last().is_some_and(|last| *last >= number) || numbers.len() == MAX_INPUTS_PER_ROW {
                return None;
            }
            numbers.push(number);
        }
        Some(Inputs(numbers))
    }
}

impl Row {
    /// Its key.
    pub fn key(&self) -> Key {
        match self {
            Row::Crate(row) => Key::Crate(row.key.clone()),
            Row::File(row) => Key::File(row.path.clone()),
        }
    }

    /// The digest of its file.
    pub fn sha256(&self) -> Sha256 {
        match self {
            Row::Crate(row) => row.sha256,
            Row::File(row) => row.sha256,
        }
    }

    /// The size of its file in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Row::Crate(row) => row.size,
            Row::File(row) => row.size,
        }
    }

    /// The number of the bundle that introduced it.
    pub fn introduced(&self) -> u64 {
        match self {
            Row::Crate(row) => row.introduced,
            Row::File(row) => row.introduced,
        }
    }

    /// The inputs that need it.
    pub fn inputs(&self) -> &Inputs {
        match self {
            Row::Crate(row) => &row.inputs,
            Row::File(row) => &row.inputs,
        }
    }

    /// The row with other inputs.
    pub(super) fn with_inputs(self, inputs: Inputs) -> Row {
        match self {
            Row::Crate(row) => Row::Crate(CrateRow { inputs, ..row }),
            Row::File(row) => Row::File(FileRow { inputs, ..row }),
        }
    }

    /// Whether nothing but the inputs differs.
    pub(super) fn differs_in_inputs_only(&self, other: &Row) -> bool {
        self != other && *self == other.clone().with_inputs(self.inputs().clone())
    }

    pub(super) fn key_text(&self) -> KeyText {
        match self {
            Row::Crate(row) => row.key.text(),
            Row::File(row) => row.path.text(),
        }
    }

    /// The row as text, without line break.
    pub fn text(&self) -> String {
        let mut text = self.key_text().text;
        text.reserve(256);
        push_field(&mut text, |text| self.sha256().push_to(text));
        push_field(&mut text, |text| text.push_str(&self.size().to_string()));
        if let Row::Crate(row) = self {
            push_field(&mut text, |text| row.line_sha256.push_to(text));
        }
        push_field(&mut text, |text| text.push_str(&self.introduced().to_string()));
        push_field(&mut text, |text| self.inputs().push_to(text));
        if let Row::Crate(row) = self {
            let flags = match (row.is_index_only, row.is_yanked) {
                (false, false) => "-",
                (true, false) => "x",
                (false, true) => "y",
                (true, true) => "xy",
            };
            push_field(&mut text, |text| text.push_str(flags));
        }
        text
    }

    /// Parses a row without its line break.
    ///
    /// # Errors
    /// The first problem; anything but the canonical form is one.
    pub fn parse(line: &str) -> Result<Row, RowFault> {
        if line.len() > MAX_ROW_LENGTH {
            return Err(RowFault::TooLong);
        }
        let mut fields = line.split('\t');
        let key = Key::parse(&mut fields)?;
        let sha256 = parse_field(&mut fields, "digest", |text| text.parse().ok())?;
        let size = parse_field(&mut fields, "size", |text| text.parse().ok())?;
        let line_sha256 = match key {
            Key::Crate(_) => Some(parse_field(&mut fields, "digest of its index line", |text| text.parse().ok())?),
            Key::File(_) => None,
        };
        let is_number = |number: &u64| *number > 0;
        let introduced = parse_field(&mut fields, "bundle number", |text| text.parse().ok().filter(is_number))?;
        let inputs = parse_field(&mut fields, "list of inputs", Inputs::parse)?;
        let row = match (key, line_sha256) {
            (Key::Crate(key), Some(line_sha256)) => {
                let (is_index_only, is_yanked) = parse_field(&mut fields, "flag", |text| match text {
                    "-" => Some((false, false)),
                    "x" => Some((true, false)),
                    "y" => Some((false, true)),
                    "xy" => Some((true, true)),
                    _ => None,
                })?;
                Row::Crate(CrateRow { key, sha256, size, line_sha256, introduced, inputs, is_index_only, is_yanked })
            }
            (Key::File(path), None) => Row::File(FileRow { path, sha256, size, introduced, inputs }),
            (Key::Crate(_), None) | (Key::File(_), Some(_)) => return Err(RowFault::FieldCount),
        };
        if fields.next().is_some() {
            return Err(RowFault::FieldCount);
        }
        match row.text() == line {
            true => Ok(row),
            false => Err(RowFault::NotCanonical),
        }
    }
}

fn parse_field<'t, T>(
    fields: &mut impl Iterator<Item = &'t str>,
    name: &'static str,
    parse: impl FnOnce(&'t str) -> Option<T>,
) -> Result<T, RowFault> {
    parse(fields.next().ok_or(RowFault::FieldCount)?).ok_or(RowFault::Field(name))
}

fn push_field(text: &mut String, push: impl FnOnce(&mut String)) {
    text.push('\t');
    push(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_row_has_one_spelling() {
        let rows = [
            format!("c\t-\tserde\t1.0.0\t{DIGEST}\t17\t{DIGEST}\t3\t1,2,40\t-"),
            format!(
                "c\t0123456789abcdef\tA_b-C\t1.0.0-rc.1+b.2\t{DIGEST}\t0\t{DIGEST}\t18446744073709551615\t999999\txy"
            ),
            format!("f\tdist/2026-04-16/a b.tar.xz\t{DIGEST}\t18446744073709551615\t1\t1"),
            format!("f\tgit/example.org/a.git/refs\t{DIGEST}\t9\t1\t1"),
        ];
        for text in &rows {
            let row = Row::parse(text).unwrap_or_else(|fault| panic!("{text:?} {fault}"));
            assert_eq!(row.text(), *text);
            // Every prefix is another row or none.
            for (end, _) in text.char_indices() {
                assert!(Row::parse(&text[..end]).map(|other| other != row).unwrap_or(true), "{end}");
            }
        }
        let row = &rows[0];
        for (from, to) in [
            ("e3b0", "E3b0"),
            ("\t17\t", "\t+17\t"),
            ("\t17\t", "\t017\t"),
            ("\t17\t", "\t-1\t"),
            ("\t17\t", "\t18446744073709551616\t"),
            ("\t3\t", "\t0\t"),
            ("1,2,40", "1,2,2"),
            ("1,2,40", "2,1"),
            ("1,2,40", "1,02"),
            ("1,2,40", "0"),
            ("1,2,40", "1000000"),
            ("1,2,40", ""),
            ("1.0.0", "1.0"),
            ("1.0.0", "01.0.0"),
            ("\t-\tserde", "\t\tserde"),
            ("serde", "ser de"),
            ("c\t", "C\t"),
            ("\t17", "\t17\t"),
        ] {
            let changed = row.replacen(from, to, 1);
            let fault = Row::parse(&changed).expect_err(&changed);
            assert!(!matches!(fault, RowFault::UnknownKind(_)), "{changed}");
        }
        for flags in ["", "yx", "xx", "z", "-\t"] {
            let changed = format!("{}{flags}", &row[..row.len() - 1]);
            assert!(Row::parse(&changed).is_err(), "{changed}");
        }
        assert_eq!(Row::parse(&row.replacen('c', "g", 1)), Err(RowFault::UnknownKind("g".to_owned())));
        let long = format!("{row}{}", "x".repeat(MAX_ROW_LENGTH));
        assert_eq!(Row::parse(&long), Err(RowFault::TooLong));
    }

    #[test]
    fn the_longest_row_fits() {
        let numbers = (MAX_INPUT - 4095)..=MAX_INPUT;
        let inputs = Inputs::new(numbers.clone()).expect("valid");
        let text = format!(
            "c\t0123456789abcdef\t{}\t1.0.0-{}\t{DIGEST}\t{m}\t{DIGEST}\t{m}\t1\txy",
            "n".repeat(64),
            "v".repeat(144),
            m = u64::MAX
        );
        let Ok(Row::Crate(row)) = Row::parse(&text) else { panic!("valid") };
        let longest = Row::Crate(CrateRow { inputs, ..row }).text();
        assert!(longest.len() > 28_000 && longest.len() < MAX_ROW_LENGTH, "{}", longest.len());
        assert_eq!(Row::parse(&longest).map(|row| row.inputs().as_slice().len()), Ok(MAX_INPUTS_PER_ROW));
        assert_eq!(Inputs::new(numbers.chain([1])), None);
        assert_eq!(Inputs::new([]), None);
        assert_eq!(Inputs::new([2, 1, 2]).expect("valid").as_slice(), [1, 2]);
    }
}
