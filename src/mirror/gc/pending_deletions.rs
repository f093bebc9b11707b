//! The list of pending removals: crates since their index line was removed, and dist files since no channel names them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Error, Options, index_entry};
use crate::mirror::layout::Layout;
use crate::mirror::transaction::Transaction;

/// Names of crate files and paths of dist files (which contain a `/`), each with the time since when it is
/// unreferenced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PendingDeletions(pub(super) BTreeMap<String, Timestamp>);

impl PendingDeletions {
    /// Reads the mirror's list. Unreadable entries are skipped, so their grace period restarts.
    pub(super) fn read(layout: &Layout) -> Result<PendingDeletions, Error> {
        let text = index_entry::read_or_empty(&layout.pending_deletions())?;
        Ok(PendingDeletions::parse(&String::from_utf8_lossy(&text)))
    }

    /// Since when the file `name` is pending, and until when. The period starts now for a file that loses its last
    /// reference in this run.
    pub(super) fn waiting_period(&self, name: &str, is_losing: bool, options: &Options) -> (Timestamp, Timestamp) {
        let since = match self.0.get(name) {
            // A time in the future comes from a wrong clock.
            Some(since) if !is_losing => (*since).min(options.now),
            _ => options.now,
        };
        (since, since.saturating_add(options.grace).unwrap_or(Timestamp::MAX))
    }

    fn parse(text: &str) -> PendingDeletions {
        let entry = |line: &str| {
            let (time, file) = line.split_once(' ')?;
            Some((file.to_owned(), time.parse().ok()?))
        };
        PendingDeletions(text.lines().filter_map(entry).collect())
    }

    fn render(&self) -> String {
        self.0.iter().map(|(file, since)| format!("{since} {file}\n")).collect()
    }

    /// Adds the new list to a transaction.
    pub(super) fn stage(&self, layout: &Layout, tx: &mut Transaction<'_>) -> Result<(), Error> {
        let path = layout.pending_deletions();
        match self.0.is_empty() {
            true => tx.delete(&path)?,
            false => tx.put_bytes(&path, self.render().as_bytes())?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_round_trips_and_damage_stays_local() {
        let time: Timestamp = "2026-04-02T21:30:00Z".parse().expect("time");
        let list = PendingDeletions(
            [("a-1.0.0.crate".to_owned(), time), ("dist/2026-03-05/b.tar.xz".to_owned(), time)].into(),
        );
        let text = list.render();
        assert_eq!(PendingDeletions::parse(&text), list);
        assert_eq!(PendingDeletions::parse(&text.replacen("2026", "x", 1)).0.len(), 1);
        assert_eq!(PendingDeletions::parse("garbage\n\n"), PendingDeletions::default());
    }
}
