//! The record of every line of an index file: when it was read upstream, its digest, and whether its crate is stored.
//! [`super::layout`] describes the format.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::crate_id::Version;
use crate::digest::Sha256;

/// The time in the record of a line that only rejected bundles confirm. It is later than the earliest time, which a rebuild
/// writes, and earlier than that of any bundle, so the next bundle that has the line of this version replaces it.
pub(super) const REVOKED: Timestamp = Timestamp::constant(-377_705_023_200, 0);

/// The record of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexLineMeta {
    /// The version of the line.
    pub version: Version,
    /// When upstream's index was read.
    pub read_at: Timestamp,
    /// Digest of the crate, as the line states it.
    pub cksum: Sha256,
    /// Digest of the line itself, without its line end.
    pub line_sha256: Sha256,
    /// Whether a platform filter excluded the crate's file, and no bundle contained it since.
    pub index_only: bool,
}

impl IndexLineMeta {
    fn parse(text: &str) -> Option<IndexLineMeta> {
        let mut fields = text.split(' ');
        let record = IndexLineMeta {
            version: fields.next()?.parse().ok()?,
            read_at: fields.next()?.parse().ok()?,
            cksum: fields.next()?.parse().ok()?,
            line_sha256: fields.next()?.parse().ok()?,
            index_only: match fields.next()? {
                "held" => false,
                "index-only" => true,
                _ => return None,
            },
        };
        fields.next().is_none().then_some(record)
    }
}

impl IndexLineMeta {
    /// Whether this is the record of another line of the same version that was read at the same time as `current`. One of the
    /// two lines is false, because upstream's index had one line then.
    pub(super) fn is_rival_of(&self, current: &IndexLineMeta) -> bool {
        self.version == current.version
            && self.read_at == current.read_at
            && self.read_at > REVOKED
            && self.line_sha256 != current.line_sha256
    }

    /// Whether both records state the same line with the same time.
    pub(super) fn is_of_same_line(&self, other: &IndexLineMeta) -> bool {
        self.version == other.version && self.read_at == other.read_at && self.line_sha256 == other.line_sha256
    }
}

/// The record `line` of a file in lines/ with the time [`REVOKED`]. `None` if the record is invalid.
pub(super) fn revoke(line: &str) -> Option<String> {
    let record = IndexLineMeta::parse(line.trim_end())?;
    Some(render(&[IndexLineMeta { read_at: REVOKED, ..record }]))
}

/// The records in `text`. Invalid records are skipped: their lines then count as read before all others.
pub fn parse(text: &str) -> Vec<IndexLineMeta> {
    text.lines().filter_map(IndexLineMeta::parse).collect()
}

/// The text of `records`, in the given order.
pub fn render(records: &[IndexLineMeta]) -> String {
    let mut text = String::new();
    for IndexLineMeta { version, read_at: read, cksum, line_sha256: line, index_only } in records {
        let state = if *index_only { "index-only" } else { "held" };
        writeln!(text, "{version} {read} {cksum} {line} {state}").expect("writing to memory cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip_and_damage_stays_local() {
        let record = |version: &str, index_only| IndexLineMeta {
            version: version.parse().expect("version"),
            read_at: "2026-04-02T21:30:00Z".parse().expect("time"),
            cksum: Sha256::of(b"crate"),
            line_sha256: Sha256::of(version.as_bytes()),
            index_only,
        };
        let unknown = IndexLineMeta { read_at: Timestamp::MIN, ..record("2.0.0", false) };
        let revoked = IndexLineMeta { read_at: REVOKED, ..record("3.0.0", false) };
        assert!(unknown.read_at < revoked.read_at);
        let records = [record("1.0.0", false), record("1.0.1-a+b", true), unknown, revoked];
        let text = render(&records);
        assert_eq!(parse(&text), records);
        let damaged = text.replacen("held", "hexd", 1);
        assert_eq!(parse(&damaged), records[1..]);
        assert_eq!(parse(&text.replace("index-only", "index-only x")).len(), 3);
    }
}
