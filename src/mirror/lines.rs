//! What is recorded of every line of an index file: when it was read upstream, its digest, and whether its crate is
//! held. The format is described in [`super::layout`].

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::crate_id::Version;
use crate::digest::Sha256;

/// The record of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRecord {
    /// The version that the line is of.
    pub version: Version,
    /// When upstream's index was read.
    pub read: Timestamp,
    /// Digest of the crate, as the line states it.
    pub cksum: Sha256,
    /// Digest of the line itself, without its end.
    pub line: Sha256,
    /// Whether the crate's file was left out by a platform filter and never came.
    pub index_only: bool,
}

impl LineRecord {
    fn parse(text: &str) -> Option<LineRecord> {
        let mut words = text.split(' ');
        let record = LineRecord {
            version: words.next()?.parse().ok()?,
            read: words.next()?.parse().ok()?,
            cksum: words.next()?.parse().ok()?,
            line: words.next()?.parse().ok()?,
            index_only: match words.next()? {
                "held" => false,
                "index-only" => true,
                _ => return None,
            },
        };
        words.next().is_none().then_some(record)
    }
}

/// The records in `text`. What is no record is passed over: its line then counts as read before all others.
pub fn parse(text: &str) -> Vec<LineRecord> {
    text.lines().filter_map(LineRecord::parse).collect()
}

/// The text of `records`, in the order given.
pub fn render(records: &[LineRecord]) -> String {
    let mut text = String::new();
    for LineRecord { version, read, cksum, line, index_only } in records {
        let state = if *index_only { "index-only" } else { "held" };
        writeln!(text, "{version} {read} {cksum} {line} {state}").expect("writing to memory cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_text_and_damage_to_their_neighbours() {
        let record = |version: &str, index_only| LineRecord {
            version: version.parse().expect("version"),
            read: "2026-04-02T21:30:00Z".parse().expect("time"),
            cksum: Sha256::of(b"crate"),
            line: Sha256::of(version.as_bytes()),
            index_only,
        };
        let unknown = LineRecord { read: Timestamp::MIN, ..record("2.0.0", false) };
        let records = [record("1.0.0", false), record("1.0.1-a+b", true), unknown];
        let text = render(&records);
        assert_eq!(parse(&text), records);
        let damaged = text.replacen("held", "hexd", 1);
        assert_eq!(parse(&damaged), records[1..]);
        assert_eq!(parse(&text.replace("index-only", "index-only x")).len(), 2);
    }
}
