//! Reads the status of a mirror from recorded state only, so the cost is the same for ten crates and for a million.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;

use super::index_link::{LinkState, link_state};
use super::layout::{self, Layout};
use super::ledger;
use super::lineages::LineageTip;
use super::live::LiveTotals;
use super::pending_deletions;
use super::summary::{Counts, MirrorSummary};
use super::transaction;
use super::watcher_state::WatcherState;
use crate::units::format_time;

/// The status of a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The content of the mirror.
    pub counts: Counts,
    /// Files among them that await deletion: the index no longer names them. An audit and the list of crates do not
    /// count these.
    pub pending_deletions: u64,
    /// When the newest import was done; `None` if there was none.
    pub last_import: Option<Timestamp>,
    /// The available toolchains by their usual names: `stable (1.95.0)`.
    pub toolchains: Vec<String>,
    /// The totals of live mode's current files.
    pub live: LiveTotals,
    /// The number of recorded imports.
    pub imports: u64,
    /// The histories that feed the mirror.
    pub lineages: Vec<LineageTip>,
    /// Histories whose newest bundle is uncertain, by id, with the reasons, one sentence each.
    pub doubts: BTreeMap<String, Vec<String>>,
    /// The last state of the watcher; `None` if no watcher ever ran.
    pub watcher: Option<WatcherState>,
    /// The state of `crates/index`.
    pub link: LinkState,
}

/// The mirror's state cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path of the mirror's folder is a file.
    #[error("`{}` is not a folder", root.display())]
    NotADirectory {
        /// The path.
        root: PathBuf,
    },
    /// The mirror has another layout version.
    #[error(transparent)]
    Layout(#[from] layout::Error),
    /// There were imports, and neither the summary nor any record can be read.
    #[error("neither manifest.json nor any record in `{}` can be read", .0.display())]
    Damaged(PathBuf),
    /// A file system operation failed.
    #[error(transparent)]
    Store(#[from] transaction::Error),
}

impl Status {
    /// The status of a mirror, which may be empty or not exist yet.
    ///
    /// # Errors
    /// A mirror of a newer layout; a failed file system operation.
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
            pending_deletions: pending_deletions::pending_file_names(layout).len() as u64,
            last_import: head.last_import.and_then(|time| time.parse().ok()),
            toolchains: head.toolchains,
            live: LiveTotals::read(layout)?,
            imports: head.imports,
            lineages: head.lineages,
            watcher: WatcherState::read(layout)?,
            link: link_state(layout),
        })
    }

    /// The printed time of the newest import: RFC 3339, `never`, or `unknown` if its record was lost.
    pub fn last_import_text(&self) -> String {
        match self.last_import {
            Some(time) => format_time(time),
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
