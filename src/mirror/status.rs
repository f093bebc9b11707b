//! What `status` says of a mirror, from recorded state alone: the same cost for ten crates and for a million.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;

use super::index_link::{LinkState, link_state};
use super::layout::{self, Layout};
use super::ledger;
use super::live::{self, LiveTotals};
use super::summary::{Counts, LineageTip, MirrorSummary};
use super::transaction;
use super::watcher_state::WatcherState;

/// What a mirror holds and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What is held.
    pub counts: Counts,
    /// When the newest import was done; `None` where there was none.
    pub last_import: Option<Timestamp>,
    /// The toolchains that are offered, as people know them: `stable (1.95.0)`.
    pub toolchains: Vec<String>,
    /// How much of it live mode brought, and keeps current.
    pub live: LiveTotals,
    /// How many imports are on record.
    pub imports: u64,
    /// The histories that feed it.
    pub lineages: Vec<LineageTip>,
    /// Those of them of which it is doubtful which bundle is the newest, by id, and why, one sentence each.
    pub doubts: BTreeMap<String, Vec<String>>,
    /// What the watcher of the incoming folder last saw; `None` where none ever ran.
    pub watcher: Option<WatcherState>,
    /// What stands at `crates/index`.
    pub link: LinkState,
}

/// A mirror whose state cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is where the mirror's folder should be.
    #[error("`{}` is not a folder", root.display())]
    NotADirectory {
        /// The path.
        root: PathBuf,
    },
    /// It is of another layout.
    #[error(transparent)]
    Layout(#[from] layout::Error),
    /// There were imports, and nothing that can be read says what they were.
    #[error("neither manifest.json nor any record in `{}` can be read", .0.display())]
    Damaged(PathBuf),
    /// The file system refused.
    #[error(transparent)]
    Store(#[from] transaction::Error),
}

impl Status {
    /// The status of a mirror, which may be empty or not exist yet.
    ///
    /// # Errors
    /// A mirror of a newer layout; the file system's.
    pub fn read(layout: &Layout) -> Result<Status, Error> {
        if layout.root().is_file() {
            return Err(Error::NotADirectory { root: layout.root().to_owned() });
        }
        layout.check_format()?;
        let head = match ledger::read_summary(layout)? {
            Some(head) => head,
            None if ledger::record_names(layout)?.is_empty() => MirrorSummary::default(),
            None => return Err(Error::Damaged(layout.ledger())),
        };
        let doubts = head.lineages.iter().map(|lineage| (lineage.id.clone(), head.doubts(&lineage.id)));
        let doubts = doubts.filter(|(_, doubts)| !doubts.is_empty()).collect();
        Ok(Status {
            doubts,
            counts: head.counts,
            last_import: head.last_import.and_then(|time| time.parse().ok()),
            toolchains: head.toolchains,
            live: live::read_totals(layout)?,
            imports: head.imports,
            lineages: head.lineages,
            watcher: WatcherState::read(layout)?,
            link: link_state(layout),
        })
    }

    /// When the newest import was done, as it is printed: RFC 3339, `never`, or `unknown` where its record was lost.
    pub fn last_import_text(&self) -> String {
        match self.last_import {
            Some(time) => time.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string(),
            None if self.imports > 0 => "unknown".to_owned(),
            None => "never".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_that_does_not_exist_is_empty() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let status = Status::read(&Layout::new(folder.path().join("none"))).expect("read");
        assert_eq!((status.counts, status.last_import_text().as_str()), (Counts::default(), "never"));
        assert_eq!(status.link, LinkState::Missing);
    }
}
