//! The result of the last audit since the server started. It is in memory only: after a restart, the mirror counts as not
//! audited, and the API, the pages and the metrics show no result.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::imports::ImportCache;
use crate::file_stamp::FileStamp;
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::units::pluralize;

/// The state of a mirror's records. It differs after each change of the mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MirrorVersion {
    /// The number of the newest import record.
    newest_record: Option<u64>,
    /// The stamp of the summary, which every change rewrites.
    summary: Option<FileStamp>,
}

impl MirrorVersion {
    /// The current version. Unreadable records count as missing.
    pub(super) fn read(layout: &Layout) -> MirrorVersion {
        let names = ledger::record_names(layout).unwrap_or_default();
        MirrorVersion {
            newest_record: names.last().and_then(|name| ledger::record_number(name)),
            summary: FileStamp::read(&layout.summary()).ok().flatten(),
        }
    }
}

/// The result of an audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastAudit {
    /// The end of the audit.
    pub(super) finished: Timestamp,
    /// The audited version of the mirror.
    pub(super) version: MirrorVersion,
    /// The number of problems.
    pub(super) problems_total: u64,
    /// The first problems.
    pub(super) problems: Vec<String>,
    /// The number of files to fetch again.
    pub(super) to_fetch: u64,
}

impl LastAudit {
    /// The first change of the mirror that this audit did not see, as a noun: "the import of `week2.pkg`". `None` if the
    /// mirror is unchanged.
    pub(super) fn missed_change(&self, layout: &Layout, imports: &ImportCache) -> Option<String> {
        if MirrorVersion::read(layout) == self.version {
            return None;
        }
        let names = ledger::record_names(layout).unwrap_or_default();
        let is_newer = |name: &&String| ledger::record_number(name) > self.version.newest_record;
        Some(match names.iter().find(is_newer) {
            None => "the last change of the mirror".to_owned(),
            Some(name) => match imports.file_of(layout, name) {
                Some(file) => format!("the import of `{file}`"),
                None => "the last import".to_owned(),
            },
        })
    }

    /// The number of problems in words.
    pub(super) fn count(&self) -> String {
        match self.problems_total {
            0 => "no problem".to_owned(),
            several => pluralize(several, "problem"),
        }
    }
}

/// Stores the last result.
#[derive(Default)]
pub(super) struct LastAuditCell(Mutex<Option<Arc<LastAudit>>>);

impl LastAuditCell {
    /// Replaces the result.
    pub(super) fn set(&self, audit: LastAudit) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(audit));
    }

    /// The result; `None` before the first audit has ended.
    pub(super) fn get(&self) -> Option<Arc<LastAudit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
