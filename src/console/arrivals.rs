//! The incoming folder as people see it: what the watcher last said of it, and what lies there now.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::Options;
use crate::bundle::name::is_bundles;
use crate::bundle::shown::shown;
use crate::failure::Failure;
use crate::mirror::incoming;
use crate::watch::refused;

/// Files that are listed.
const MOST_FILES: usize = 1000;

/// The incoming folder and its watcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Arrivals {
    /// Whether this server imports what is dropped there.
    pub(super) watching: bool,
    /// The folder.
    pub(super) folder: String,
    /// Why the folder cannot be read, where it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
    /// Whether the system tells nothing of changes there, so that it is only looked through every few seconds.
    pub(super) polled: bool,
    /// Bundles that are not complete yet.
    pub(super) arriving: Vec<Bundle>,
    /// Bundles that are good as far as one can tell, and cannot be imported yet.
    pub(super) waiting: Vec<Bundle>,
    /// Bundles that were refused and not dismissed; the newest names of many.
    pub(super) failed: Vec<Refused>,
    /// How many were refused and not dismissed.
    pub(super) failed_total: u64,
    /// Bundles that were refused and then dismissed, or replaced by a good one; the newest names of many.
    pub(super) dismissed: Vec<Refused>,
    /// How many were imported.
    pub(super) done_total: u64,
    /// Bundles that lie in the folder at this moment, whether somebody watches or not; no more than a thousand.
    pub(super) files: Vec<Lying>,
}

/// A bundle that is not imported, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Bundle {
    /// The name of its file.
    pub(super) file: String,
    /// Why, in one line.
    pub(super) reason: String,
}

/// A refused bundle, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Refused {
    /// The name of its file.
    pub(super) file: String,
    /// Why, in one line.
    pub(super) reason: String,
    /// Whether it is in `failed/`. Where it is not, it could not be moved there, and is still in the incoming folder.
    pub(super) moved: bool,
    /// Whether the bundle is there, and not only its reason. Only then can it be retried.
    pub(super) kept: bool,
}

/// A file that is named as a bundle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub(super) struct Lying {
    /// Its name.
    pub(super) file: String,
    /// Bytes of it by now.
    pub(super) bytes: u64,
    /// When it last changed (RFC 3339, UTC).
    pub(super) modified: String,
}

impl Arrivals {
    /// The same for a reader, who is told no path of the host.
    pub(super) fn for_reader(mut self, options: &Options) -> Arrivals {
        self.folder = "incoming".to_owned();
        let reasons = self.arriving.iter_mut().chain(&mut self.waiting).map(|one| &mut one.reason);
        let refused = self.failed.iter_mut().chain(&mut self.dismissed).map(|one| &mut one.reason);
        for text in reasons.chain(refused).chain(&mut self.problem) {
            *text = without_paths(options, text);
        }
        self
    }
}

/// A text without the paths of this host: readers learn what is wrong, and not where.
pub(super) fn without_paths(options: &Options, text: &str) -> String {
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
pub(super) fn now(options: &Options) -> Result<Arrivals, Failure> {
    let recorded = incoming::Incoming::read(&options.mirror)?;
    // What was recorded of another folder says nothing of this one.
    let state = recorded.filter(|state| state.folder == options.incoming).unwrap_or_default();
    let bundles = |list: Vec<incoming::Bundle>| -> Vec<Bundle> {
        list.into_iter().map(|incoming::Bundle { file, reason }| Bundle { file, reason }).collect()
    };
    let watching = options.settings.current().watch_incoming;
    let files = lying(&options.incoming);
    let listed = refused::list(&options.incoming);
    let there = |one: refused::Refused| Refused { file: one.file, reason: one.reason, moved: true, kept: one.kept };
    let mut failed: Vec<Refused> = listed.failed.into_iter().map(there).collect();
    let mut failed_total = listed.failed_count;
    // A watcher may be unable to move what it refused.
    let in_place = state.failed.into_iter().filter(|one| {
        watching && files.iter().any(|file| file.file == one.file) && !failed.iter().any(|other| other.file == one.file)
    });
    let in_place: Vec<Refused> =
        in_place.map(|one| Refused { file: one.file, reason: one.reason, moved: false, kept: true }).collect();
    failed_total += in_place.len() as u64;
    failed.extend(in_place);
    Ok(Arrivals {
        watching,
        folder: options.incoming.display().to_string(),
        // Without a watcher, what was said of the folder and of what is on its way is long past.
        problem: state.problem.filter(|_| watching),
        polled: state.polled && watching,
        arriving: if watching { bundles(state.arriving) } else { Vec::new() },
        waiting: if watching { bundles(state.waiting) } else { Vec::new() },
        failed,
        failed_total,
        dismissed: listed.dismissed.into_iter().map(there).collect(),
        done_total: if watching { state.done } else { refused::count_done(&options.incoming) },
        files,
    })
}

fn lying(folder: &Path) -> Vec<Lying> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<Lying> = entries
        .flatten()
        .filter(|entry| is_bundles(&entry.file_name()))
        .take(MOST_FILES)
        .filter_map(|entry| {
            let about = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let modified = about.modified().ok().and_then(|time| Timestamp::try_from(time).ok()).unwrap_or_default();
            let modified = modified.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            Some(Lying { file: shown(&entry.file_name().to_string_lossy()), bytes: about.len(), modified })
        })
        .collect();
    files.sort_unstable();
    files
}
