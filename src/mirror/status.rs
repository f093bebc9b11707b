//! Reads the status of a mirror from recorded state only, so the cost is the same for ten crates and for a million. Only
//! if `manifest.json` is lost, a caller may count the files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;

use super::index_link::{LinkState, link_state};
use super::layout::{self, Layout};
use super::ledger::{self, ChainFaultKind, FaultyRecord, QuickCheck};
use super::lineages::LineageTip;
use super::live::LiveTotals;
use super::pending_deletions;
use super::summary::{self, BundleToImport, Counts, SummaryLoss};
use super::transaction;
use super::watcher_state::WatcherState;
use crate::bundle::sanitize::sanitize_line;
use crate::units::{agree, format_time, pluralize};

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
    /// The bundles to import again, because they restore what a rejected bundle replaced.
    pub import_again: Vec<BundleToImport>,
    /// The last state of the watcher; `None` if no watcher ever ran.
    pub watcher: Option<WatcherState>,
    /// The state of `crates/index`.
    pub link: LinkState,
    /// `manifest.json` is lost: counts and histories come from the remaining records, and may be outdated.
    pub summary_loss: Option<SummaryLoss>,
    /// Import records that manifest.json counts and the ledger lacks.
    pub lost_records: u64,
    /// Import records that are damaged or were altered, as far as a quick check shows them.
    pub records: QuickCheck,
}

/// Maximum number of faulty records that a message names.
const MAX_NAMED_RECORDS: usize = 3;

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
        let head = ledger::read_summary(layout)?.unwrap_or_default();
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
            import_again: head.import_again,
            watcher: WatcherState::read(layout)?,
            link: link_state(layout),
            summary_loss: SummaryLoss::find(layout)?,
            lost_records: summary::count_lost_records(layout)?,
            records: QuickCheck::run(layout)?,
        })
    }

    /// The same with the counts of the files on disk, if `manifest.json` is lost. That takes long in a large mirror.
    ///
    /// # Errors
    /// A file system operation failed.
    pub fn with_counted_files(mut self, layout: &Layout) -> Result<Status, Error> {
        if self.summary_loss.is_some() {
            self.counts = Counts::count_tree(layout)?;
        }
        Ok(self)
    }

    /// What is wrong with the recorded state, one or two sentences each without the last full stop; empty if nothing is.
    pub fn problems(&self) -> Vec<String> {
        let summary = self.summary_loss.as_ref().map(SummaryLoss::finding);
        let records = (self.lost_records > 0).then(|| {
            let lost = pluralize(self.lost_records, "record");
            format!("the ledger lacks {lost} of the {} that manifest.json counts", pluralize(self.imports, "import"))
        });
        let faulty = self.faulty_records();
        let more = faulty.len().saturating_sub(MAX_NAMED_RECORDS);
        let more =
            (more > 0).then(|| format!("{} more {} faulty", pluralize(more, "record"), agree(more, "is", "are")));
        let named = faulty.into_iter().take(MAX_NAMED_RECORDS);
        let named =
            named.map(|FaultyRecord { record, fault }| format!("the record `{}` {fault}", sanitize_line(record)));
        summary.into_iter().chain(records).chain(named).chain(more).collect()
    }

    /// The faulty records. Without manifest.json, a rebuild is necessary in any case. A missing record may be counted among
    /// the lost ones.
    fn faulty_records(&self) -> Vec<&FaultyRecord> {
        if self.summary_loss.is_some() {
            return Vec::new();
        }
        let is_counted =
            |one: &FaultyRecord| matches!(one.fault, ChainFaultKind::Missing { .. }) && self.lost_records > 0;
        self.records.faulty.iter().filter(|one| !is_counted(one)).collect()
    }

    /// Whether records are lost, and not only faulty.
    pub fn has_lost_records(&self) -> bool {
        self.summary_loss.is_some() || self.lost_records > 0
    }

    /// The printed time of the newest import: RFC 3339, `never`, or `unknown` if its record was lost.
    pub fn last_import_text(&self) -> String {
        match self.last_import {
            Some(time) => format_time(time),
            None if self.imports > 0 || self.summary_loss.is_some() => "unknown".to_owned(),
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
