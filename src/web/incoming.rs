//! The incoming folder as people see it: what the watcher last said of it, and what lies there now.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::WebOptions;
use crate::bundle::file_name::is_bundle_file_name;
use crate::bundle::sanitize::sanitize_line;
use crate::error_report::Failure;
use crate::mirror::watcher_state;
use crate::watcher::rejected;

/// Files that are listed.
const MAX_LISTED_FILES: usize = 1000;

/// The incoming folder and its watcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct IncomingFolder {
    /// Whether this server imports what is dropped there.
    pub(super) watching: bool,
    /// The folder.
    pub(super) folder: String,
    /// Why the folder cannot be read, where it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
    /// Whether the system tells nothing of changes there, so that it is only looked through every few seconds.
    #[serde(rename = "polled")]
    pub(super) is_polling: bool,
    /// Bundles that are not complete yet.
    pub(super) arriving: Vec<PendingBundle>,
    /// Bundles that are good as far as one can tell, and cannot be imported yet.
    pub(super) waiting: Vec<PendingBundle>,
    /// Bundles that were refused and not dismissed; the newest names of many.
    pub(super) failed: Vec<RejectedBundle>,
    /// How many were refused and not dismissed.
    pub(super) failed_total: u64,
    /// Bundles that were refused and then dismissed, or replaced by a good one; the newest names of many.
    pub(super) dismissed: Vec<RejectedBundle>,
    /// How many were imported.
    pub(super) done_total: u64,
    /// Bundles that lie in the folder at this moment, whether somebody watches or not; no more than a thousand.
    pub(super) files: Vec<IncomingFile>,
}

/// A bundle that is not imported, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct PendingBundle {
    /// The name of its file.
    pub(super) file: String,
    /// Why, in one line.
    pub(super) reason: String,
}

/// A refused bundle, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct RejectedBundle {
    /// The name of its file.
    pub(super) file: String,
    /// Why, in one line.
    pub(super) reason: String,
    /// Whether it is in `failed/`. Where it is not, it could not be moved there, and is still in the incoming folder.
    pub(super) moved: bool,
    /// Whether the bundle is there, and not only its reason. Only then can it be retried.
    #[serde(rename = "kept")]
    pub(super) has_file: bool,
}

/// A file that is named as a bundle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub(super) struct IncomingFile {
    /// Its name.
    pub(super) file: String,
    /// Bytes of it by now.
    pub(super) bytes: u64,
    /// When it last changed (RFC 3339, UTC).
    pub(super) modified: String,
}

impl IncomingFolder {
    /// The same for a reader, who is told no path of the host.
    pub(super) fn redacted(mut self, options: &WebOptions) -> IncomingFolder {
        self.folder = "incoming".to_owned();
        let reasons = self.arriving.iter_mut().chain(&mut self.waiting).map(|one| &mut one.reason);
        let refused = self.failed.iter_mut().chain(&mut self.dismissed).map(|one| &mut one.reason);
        for text in reasons.chain(refused).chain(&mut self.problem) {
            *text = redact_paths(options, text);
        }
        self
    }
}

/// A text without the paths of this host: readers learn what is wrong, and not where.
pub(super) fn redact_paths(options: &WebOptions, text: &str) -> String {
    let mut text = text.to_owned();
    let folders = [
        (options.incoming.as_path(), "incoming"),
        (options.mirror.root(), "mirror"),
        (options.settings.folder(), "config"),
    ];
    let mut folders = folders.map(|(folder, name)| (folder.display().to_string(), name));
    // One may be inside another.
    folders.sort_by_key(|(folder, _)| std::cmp::Reverse(folder.len()));
    for (folder, name) in folders.iter().filter(|(folder, _)| folder.len() > 1) {
        text = text.replace(folder.as_str(), name);
    }
    // Other paths stand between backticks.
    let mut parts: Vec<String> = text.split('`').map(str::to_owned).collect();
    for part in parts.iter_mut().skip(1).step_by(2).filter(|part| Path::new(part.as_str()).is_absolute()) {
        *part = "…".to_owned();
    }
    parts.join("`")
}

/// How the incoming folder is at this moment.
///
/// # Errors
/// The file system's, of what the watcher recorded. A folder that cannot be read is a problem that is told.
pub(super) fn read(options: &WebOptions) -> Result<IncomingFolder, Failure> {
    let recorded = watcher_state::WatcherState::read(&options.mirror)?;
    // What was recorded of another folder says nothing of this one.
    let state = recorded.filter(|state| state.folder == options.incoming).unwrap_or_default();
    let bundles = |list: Vec<watcher_state::PendingBundle>| -> Vec<PendingBundle> {
        list.into_iter().map(|watcher_state::PendingBundle { file, reason }| PendingBundle { file, reason }).collect()
    };
    let watching = options.settings.current().watch_incoming;
    let files = list_files(&options.incoming);
    let listed = rejected::list(&options.incoming);
    let to_rejected_bundle = |one: rejected::RejectedBundle| RejectedBundle {
        file: one.file,
        reason: one.reason,
        moved: true,
        has_file: one.has_file,
    };
    let mut failed: Vec<RejectedBundle> = listed.failed.into_iter().map(to_rejected_bundle).collect();
    let mut failed_total = listed.failed_count;
    // A watcher may be unable to move what it refused.
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
        folder: options.incoming.display().to_string(),
        // Without a watcher, what was said of the folder and of what is on its way is long past.
        problem: state.problem.filter(|_| watching),
        is_polling: state.is_polling && watching,
        arriving: if watching { bundles(state.arriving) } else { Vec::new() },
        waiting: if watching { bundles(state.waiting) } else { Vec::new() },
        failed,
        failed_total,
        dismissed: listed.dismissed.into_iter().map(to_rejected_bundle).collect(),
        done_total: if watching { state.done } else { rejected::count_done(&options.incoming) },
        files,
    })
}

fn list_files(folder: &Path) -> Vec<IncomingFile> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<IncomingFile> = entries
        .flatten()
        .filter(|entry| is_bundle_file_name(&entry.file_name()))
        .take(MAX_LISTED_FILES)
        .filter_map(|entry| {
            let about = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let modified = about.modified().ok().and_then(|time| Timestamp::try_from(time).ok()).unwrap_or_default();
            let modified = modified.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            Some(IncomingFile {
                file: sanitize_line(&entry.file_name().to_string_lossy()),
                bytes: about.len(),
                modified,
            })
        })
        .collect();
    files.sort_unstable();
    files
}
