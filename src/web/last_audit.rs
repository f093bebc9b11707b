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
    /// The current version; `None` if it cannot be read.
    pub(super) fn read(layout: &Layout) -> Option<MirrorVersion> {
        let names = ledger::record_names(layout).ok()?;
        Some(MirrorVersion {
            newest_record: names.last().and_then(|name| ledger::record_number(name)),
            summary: FileStamp::read(&layout.summary()).ok()?,
        })
    }
}

/// The result of an audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastAudit {
    /// The end of the audit.
    pub(super) finished: Timestamp,
    /// The audited version of the mirror; `None` if it could not be read.
    pub(super) version: Option<MirrorVersion>,
    /// The number of problems.
    pub(super) problems_total: u64,
    /// The first problems.
    pub(super) problems: Vec<String>,
    /// The number of files to fetch again.
    pub(super) to_fetch: u64,
}

impl LastAudit {
    /// What changed after this audit, as the end of "before …": "the import of `week2.pkg`". `None` if the mirror is
    /// unchanged.
    pub(super) fn missed_change(&self, layout: &Layout, imports: &ImportCache) -> Option<String> {
        let (Some(current), Ok(names)) = (MirrorVersion::read(layout), ledger::record_names(layout)) else {
            return Some("the mirror's records became unreadable".to_owned());
        };
        if self.version.as_ref() == Some(&current) {
            return None;
        }
        let audited = self.version.as_ref().and_then(|version| version.newest_record);
        let is_newer = |name: &&String| self.version.is_some() && ledger::record_number(name) > audited;
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

#[cfg(all(test, unix))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn records_that_became_unreadable_are_a_change_of_their_own() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (layout, imports) = (Layout::new(folder.path()), ImportCache::default());
        fs::create_dir_all(layout.private()).expect("folder");
        let version = MirrorVersion::read(&layout);
        let (finished, problems, to_fetch) = (Timestamp::UNIX_EPOCH, Vec::new(), 0);
        let audit = LastAudit { finished, version, problems_total: 0, problems, to_fetch };
        assert_eq!(audit.missed_change(&layout, &imports), None);
        fs::write(layout.summary(), "{}").expect("write");
        let change = audit.missed_change(&layout, &imports);
        assert_eq!(change.as_deref(), Some("the last change of the mirror"));
        // The system refuses to list a link to itself.
        std::os::unix::fs::symlink(layout.ledger(), layout.ledger()).expect("link");
        let change = audit.missed_change(&layout, &imports);
        assert_eq!(change.as_deref(), Some("the mirror's records became unreadable"));
    }
}
