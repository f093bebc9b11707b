//! The state of the incoming folder: the watcher's last report, and the files there now.

use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::visible_text::visible_text;
use crate::bundle::file_name::is_bundle_file_name;
use crate::bundle::sanitize::sanitize_line;
use crate::durable;
use crate::error_report::Failure;
use crate::mirror::watcher_state::{PendingBundle, WatcherState};
use crate::server_context::ServerContext;
use crate::units::format_time;
use crate::watcher::failed_bundles;

/// Maximum number of listed files.
const MAX_LISTED_FILES: usize = 1000;

/// The incoming folder and its watcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct IncomingFolder {
    /// Whether this server imports bundles from the folder.
    pub(super) watching: bool,
    /// The folder's path.
    pub(super) folder: String,
    /// Why the folder cannot be read, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
    /// Whether the system reports no changes there, so that the watcher polls it every few seconds.
    #[serde(rename = "polled")]
    pub(super) is_polling: bool,
    /// Incomplete bundles.
    pub(super) arriving: Vec<PendingBundle>,
    /// Valid bundles that cannot be imported yet.
    pub(super) waiting: Vec<PendingBundle>,
    /// Invalid bundles that are not dismissed; at most the newest.
    pub(super) failed: Vec<RejectedBundle>,
    /// The number of invalid bundles that are not dismissed.
    pub(super) failed_total: u64,
    /// Invalid bundles that were dismissed, or replaced by a valid one; at most the newest.
    pub(super) dismissed: Vec<RejectedBundle>,
    /// The number of imported bundles.
    pub(super) done_total: u64,
    /// The files that are in the folder now, with or without a watcher; at most a thousand.
    pub(super) files: Vec<IncomingFile>,
}

/// An invalid bundle, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct RejectedBundle {
    /// The file name.
    pub(super) file: String,
    /// The reason, in one line.
    pub(super) reason: String,
    /// Whether it is in `failed/`; otherwise the move failed, and it is still in the incoming folder.
    pub(super) moved: bool,
    /// Whether the bundle's file is stored, and not only the reason. Only then can it be retried.
    pub(super) has_file: bool,
}

/// A file named as a bundle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub(super) struct IncomingFile {
    /// The file name.
    pub(super) file: String,
    /// The current size in bytes.
    pub(super) bytes: u64,
    /// The time of the last change (RFC 3339, UTC).
    pub(super) modified: String,
}

impl IncomingFolder {
    /// The version for this client. Readers see no paths of the host.
    fn visible(mut self, context: &ServerContext, is_admin: bool) -> IncomingFolder {
        if !is_admin {
            self.folder = "incoming".to_owned();
        }
        let pending = self.arriving.iter_mut().chain(&mut self.waiting);
        let reasons = pending.flat_map(|one| std::iter::once(&mut one.reason).chain(&mut one.hint));
        let refused = self.failed.iter_mut().chain(&mut self.dismissed).map(|one| &mut one.reason);
        for text in reasons.chain(refused).chain(&mut self.problem) {
            *text = visible_text(context, text, is_admin);
        }
        self
    }
}

/// The current state of the incoming folder as this client may see it.
///
/// # Errors
/// A file system error of the watcher's records.
pub(super) fn read_visible(context: &ServerContext, is_admin: bool) -> Result<IncomingFolder, Failure> {
    Ok(read(context)?.visible(context, is_admin))
}

/// The current state of the incoming folder.
///
/// # Errors
/// A file system error of the watcher's records. An unreadable folder is reported as a problem instead.
pub(super) fn read(context: &ServerContext) -> Result<IncomingFolder, Failure> {
    let recorded = WatcherState::read(&context.mirror)?;
    // Records about another folder do not apply.
    let state = recorded.filter(|state| state.folder == context.incoming).unwrap_or_default();
    let watching = context.settings.current().watch_incoming;
    let (files, unreadable) = match list_files(&context.incoming) {
        Ok(files) => (files, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let listed = failed_bundles::list(&context.incoming);
    let to_rejected_bundle = |one: failed_bundles::RejectedBundle| RejectedBundle {
        file: one.file,
        reason: one.reason,
        moved: true,
        has_file: one.has_file,
    };
    let mut failed: Vec<RejectedBundle> = listed.failed.into_iter().map(to_rejected_bundle).collect();
    let mut failed_total = listed.failed_count;
    // The watcher may fail to move an invalid bundle.
    let in_place = state.failed.into_iter().filter(|one| {
        watching && files.iter().any(|file| file.file == one.file) && !failed.iter().any(|other| other.file == one.file)
    });
    let in_place: Vec<RejectedBundle> = in_place
        .map(|one| RejectedBundle { file: one.file, reason: one.reason, moved: false, has_file: true })
        .collect();
    failed_total += in_place.len() as u64;
    failed.extend(in_place);
    Ok(IncomingFolder {
        watching,
        folder: context.incoming.display().to_string(),
        // Without a watcher, its records about the folder and incomplete bundles are outdated.
        problem: state.problem.filter(|_| watching).or(unreadable),
        is_polling: state.is_polling && watching,
        arriving: if watching { state.arriving } else { Vec::new() },
        waiting: if watching { state.waiting } else { Vec::new() },
        failed,
        failed_total,
        dismissed: listed.dismissed.into_iter().map(to_rejected_bundle).collect(),
        done_total: if watching { state.done } else { failed_bundles::count_done(&context.incoming) },
        files,
    })
}

/// The bundles in the folder; none if it does not exist.
fn list_files(folder: &Path) -> io::Result<Vec<IncomingFile>> {
    let Some(entries) = durable::if_exists(fs::read_dir(folder))? else { return Ok(Vec::new()) };
    let mut files: Vec<IncomingFile> = entries
        .flatten()
        .filter(|entry| is_bundle_file_name(&entry.file_name()))
        .take(MAX_LISTED_FILES)
        .filter_map(|entry| {
            let about = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let modified = about.modified().ok().and_then(|time| Timestamp::try_from(time).ok()).unwrap_or_default();
            let modified = format_time(modified);
            Some(IncomingFile {
                file: sanitize_line(&entry.file_name().to_string_lossy()),
                bytes: about.len(),
                modified,
            })
        })
        .collect();
    files.sort_unstable();
    Ok(files)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_read_is_not_empty() {
        let folder = tempfile::tempdir().expect("temporary folder");
        assert_eq!(list_files(&folder.path().join("missing")).expect("no folder, no files"), []);
        fs::write(folder.path().join("one.pkg"), "x").expect("write");
        assert_eq!(list_files(folder.path()).expect("readable").len(), 1);
        // The system refuses to list a link to itself.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&link, &link).expect("link");
        assert!(list_files(&link).is_err());
    }
}
