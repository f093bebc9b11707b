//! The list of pending removals: crates since their index line was removed, and dist files since no channel names them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::disk;
use super::layout::Layout;
use super::transaction::{Error, Transaction};

/// Names of crate files and paths of dist files (which contain a `/`), each with the time since when it is
/// unreferenced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PendingDeletions(pub(super) BTreeMap<String, Timestamp>);

impl PendingDeletions {
    /// Reads the mirror's list. Unreadable entries are skipped, so their grace period restarts.
    pub(super) fn read(layout: &Layout) -> Result<PendingDeletions, Error> {
        let text = disk::read_if_present(&layout.pending_deletions())?.unwrap_or_default();
        Ok(PendingDeletions::parse(&String::from_utf8_lossy(&text)))
    }

    /// Since when the file `name` is pending, and until when. The period starts now for a file that loses its last
    /// reference in this run.
    pub(super) fn waiting_period(
        &self,
        name: &str,
        is_losing: bool,
        now: Timestamp,
        grace: Duration,
    ) -> (Timestamp, Timestamp) {
        let since = match self.0.get(name) {
            // A time in the future comes from a wrong clock.
            Some(since) if !is_losing => (*since).min(now),
            _ => now,
        };
        (since, since.saturating_add(grace).unwrap_or(Timestamp::MAX))
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

/// The names of crate files with a pending removal. An unreadable list is treated as empty.
pub(super) fn pending_file_names(layout: &Layout) -> BTreeSet<String> {
    PendingDeletions::read(layout).map(|list| list.0.into_keys().collect()).unwrap_or_default()
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
