//! Refreshed index lines whose crate is not stored yet. They wait until a bundle brings the crate, so that the state of
//! a version does not depend on the order of imports. [`super::layout`] describes the format.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::disk;
use super::layout::Layout;
use super::transaction::Error;
use crate::crate_id::CrateId;
use crate::index_line::IndexLine;

/// Maximum total bytes of waiting lines. Beyond that, the lines that were read first are dropped. The limit exists
/// because a bundle may name any crates, and every import reads this file.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The waiting lines, each with the time when it was read from upstream's index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PendingLines(BTreeMap<CrateId, (Timestamp, String)>);

impl PendingLines {
    /// The waiting lines of a mirror. Invalid lines are skipped.
    ///
    /// # Errors
    /// A file system operation failed; a missing file is not an error.
    pub(super) fn read(layout: &Layout) -> Result<PendingLines, Error> {
        let text = disk::read_if_present(&layout.pending_lines())?.unwrap_or_default();
        Ok(PendingLines::parse(&String::from_utf8_lossy(&text)))
    }

    fn parse(text: &str) -> PendingLines {
        let mut pending = PendingLines::default();
        for line in text.lines() {
            if let Some((read, raw)) = line.split_once(' ')
                && let Ok(read) = read.parse()
                && let Some(id) = id_of(raw)
            {
                pending.insert(id, read, raw);
            }
        }
        pending
    }

    /// The text of the file.
    pub(super) fn render(&self) -> String {
        self.0
            .values()
            .flat_map(|(read, raw)| [read.to_string(), " ".to_owned(), raw.clone(), "\n".to_owned()])
            .collect()
    }

    /// The line that waits for this crate, and when it was read. It was checked when it was added, and is checked again
    /// here.
    pub(super) fn get(&self, id: &CrateId) -> Option<(Timestamp, IndexLine)> {
        let (read, raw) = self.0.get(id)?;
        let line = IndexLine::parse(raw).ok().filter(|line| line.id == *id)?;
        Some((*read, line))
    }

    /// Adds a line. Of two lines for one crate the one read later stays, as in the index.
    pub(super) fn add(&mut self, line: &IndexLine, read: Timestamp) {
        self.insert(line.id.clone(), read, &line.raw);
    }

    /// Drops the line that waits for this crate.
    pub(super) fn remove(&mut self, id: &CrateId) {
        self.0.remove(id);
    }

    /// Drops the lines that were read first, until the rest is within the limit.
    pub(super) fn trim(&mut self) {
        let mut bytes: usize = self.0.values().map(|(_, raw)| raw.len()).sum();
        if bytes <= MAX_BYTES {
            return;
        }
        let mut oldest: Vec<(Timestamp, CrateId)> = self.0.iter().map(|(id, (read, _))| (*read, id.clone())).collect();
        oldest.sort_unstable();
        for (_, id) in oldest {
            if bytes <= MAX_BYTES {
                break;
            }
            bytes -= self.0.remove(&id).map_or(0, |(_, raw)| raw.len());
        }
    }

    /// The number of waiting lines.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn insert(&mut self, id: CrateId, read: Timestamp, raw: &str) {
        let waiting = self.0.get(&id);
        if waiting.is_none_or(|(before, other)| (read, raw) > (*before, other)) {
            self.0.insert(id, (read, raw.to_owned()));
        }
    }
}

/// The crate of an index line.
fn id_of(raw: &str) -> Option<CrateId> {
    #[derive(Deserialize)]
    struct Head {
        name: String,
        vers: String,
    }
    let Head { name, vers } = serde_json::from_str(raw).ok()?;
    CrateId::parse(&name, &vers).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    fn line(version: &str, extra: &str) -> IndexLine {
        let cksum = Sha256::of(version.as_bytes());
        let raw = format!(r#"{{"name":"a","vers":"{version}","deps":[],"cksum":"{cksum}","features":{{}}{extra}}}"#);
        IndexLine::parse(&raw).expect("a line")
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn the_line_read_later_waits_and_survives_the_file() {
        let (old, new) = (line("1.0.0", ""), line("1.0.0", r#","yanked": true"#));
        for order in [[(&old, 1), (&new, 2)], [(&new, 2), (&old, 1)]] {
            let mut pending = PendingLines::default();
            order.iter().for_each(|(line, second)| pending.add(line, at(*second)));
            pending.add(&line("2.0.0", ""), at(1));
            let text = format!("nothing\n2026-01-01T00:00:00Z {{}}\n{}", pending.render());
            let read = PendingLines::parse(&text);
            assert_eq!((&read, read.get(&new.id)), (&pending, Some((at(2), new.clone()))));
        }
    }

    #[test]
    fn the_file_stays_small_and_the_newest_lines_stay() {
        let filler = format!(r#","x":"{}""#, "x".repeat(MAX_BYTES / 4));
        let mut pending = PendingLines::default();
        (1..=6).for_each(|n| pending.add(&line(&format!("{n}.0.0"), &filler), at(n)));
        pending.trim();
        let left: Vec<String> = pending.0.keys().map(|id| id.version.to_string()).collect();
        assert_eq!(left, ["4.0.0", "5.0.0", "6.0.0"]);
    }
}
