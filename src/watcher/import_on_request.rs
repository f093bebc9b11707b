//! Imports one bundle of the incoming folder on request, on a server that does not watch the folder.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::counters::ImportCounters;
use super::failed_bundles;
use super::file_state::{Obstacle, Outcome};
use super::import_file::FileImporter;
use super::move_to_failed::{Rejection, first_line, reject_bundle};
use super::processed::ProcessedFolders;
use crate::bundle::file_name::is_bundle_file_name;
use crate::bundle::sanitize::sanitize_line;
use crate::error_report::{ErrorClass, Failure};
use crate::event::Sink;
use crate::mirror::layout::Layout;
use crate::server_context::ServerContext;

/// How long an import waits for another process that changes the mirror.
const LOCK_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a file must be unchanged before it may be rejected, if it is not known to be complete.
const QUIET_PERIOD: Duration = Duration::from_secs(30);

/// What to import, and into which mirror.
pub struct ImportRequest {
    /// What all parts of the server share.
    pub context: ServerContext,
    /// The bundle's file name in the incoming folder.
    pub name: OsString,
    /// Whether the file is known to be complete, such as an upload.
    pub is_complete: bool,
    /// Counts imports.
    pub import_counters: Arc<ImportCounters>,
}

/// The bundle in `folder` whose displayed name is `file`; `None` if none or several match.
pub fn find_bundle(folder: &Path, file: &str) -> Option<OsString> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let matches_name = |name: &OsStr| is_bundle_file_name(name) && sanitize_line(&name.to_string_lossy()) == file;
    let mut found =
        entries.filter(|entry| matches_name(&entry.file_name()) && entry.file_type().is_ok_and(|kind| kind.is_file()));
    let name = found.next()?.file_name();
    found.next().is_none().then_some(name)
}

impl ImportRequest {
    /// Imports the bundle and moves it to `done/`, or to `failed/` if it is invalid.
    ///
    /// # Errors
    /// The reason why it was not imported.
    pub fn import(self, sink: &dyn Sink) -> Result<(), Failure> {
        let ImportRequest { context: server, name, is_complete: whole, import_counters: tally } = self;
        let importer = FileImporter { context: server.clone(), is_stopping: Arc::default() };
        let file = sanitize_line(&name.to_string_lossy());
        let gone = || Failure::new(ErrorClass::Input, format!("`{file}` is no longer in the incoming folder"));
        let before = importer.stamp(&name).ok_or_else(gone)?;
        let (outcome, imported) = importer.import(&name, before, LOCK_TIMEOUT, sink);
        if imported {
            tally.imported.fetch_add(1, Ordering::Relaxed);
            if server.settings.current().prune_on_import && !importer.prune() {
                sink.warning("the mirror was not pruned, because another process has locked it".to_owned());
            }
        }
        let context = format!("could not import `{file}`");
        match outcome {
            Outcome::Imported | Outcome::Gone if imported => Ok(()),
            Outcome::Imported => Ok(()),
            Outcome::Gone => Err(gone()),
            Outcome::BaseMissing(Obstacle { reason, hint }) => {
                let hint = hint.unwrap_or_else(|| "import the missing bundle first".to_owned());
                Err(Failure::new(ErrorClass::Integrity, reason)
                    .context(context)
                    .hint(format!("{hint}; this bundle stays in the incoming folder")))
            }
            Outcome::MirrorLocked(Obstacle { reason, .. }) => {
                Err(Failure::new(ErrorClass::Locked, reason).context(context).hint("import it again later"))
            }
            Outcome::Blocked(Obstacle { reason, .. }) if sink.is_cancelled() => {
                Err(Failure::new(ErrorClass::Interrupted, reason).context(context))
            }
            Outcome::Blocked(Obstacle { reason, hint }) => {
                let hint = hint.unwrap_or_else(|| "fix the cause".to_owned());
                Err(Failure::new(ErrorClass::Disk, reason)
                    .context(context)
                    .hint(format!("{hint}; then import the bundle again: it stays in the incoming folder")))
            }
            Outcome::Invalid(reason) => {
                let line = first_line(&reason).to_owned();
                let failure = Failure::new(ErrorClass::Integrity, line).context(context);
                let modified =
                    before.modified.and_then(|time| SystemTime::from(server.now()).duration_since(time).ok());
                let is_quiet = whole || modified.is_none_or(|age| age >= QUIET_PERIOD);
                if importer.stamp(&name) != Some(before) || !is_quiet {
                    return Err(failure.hint(
                        "the file has just changed and may be incomplete: import it again when the copy is complete",
                    ));
                }
                let keep = server.settings.current().keep_failed_packages;
                let rejection = Rejection {
                    name: &name,
                    checked_stamp: before,
                    reason: &reason,
                    keeps_file: keep,
                    now: server.now(),
                };
                let moved = reject_bundle(&ProcessedFolders::new(&server.incoming), &rejection, &tally, sink);
                moved.map_err(|error| Failure::io(format!("could not move `{file}` to failed/"), error))?;
                Err(failure.hint(if keep {
                    "the bundle is in failed/: copy it again from its source, and compare both copies with `cargo frostmirror verify`"
                } else {
                    "the bundle was deleted because of `keep_failed_packages = false`: copy it to the incoming folder again"
                }))
            }
        }
    }
}

/// Updates the record that `status` reads, on a server whose watcher does not run.
///
/// # Errors
/// A file system operation failed.
pub fn save_watcher_state(mirror: &Layout, folder: &Path) -> Result<(), Failure> {
    use crate::mirror::watcher_state::{PendingBundle, WatcherState};
    if !mirror.private().is_dir() {
        return Ok(());
    }
    let recorded = WatcherState::read(mirror)?.filter(|state| state.folder == *folder);
    let mut state = recorded.unwrap_or_else(|| WatcherState { folder: folder.to_owned(), ..WatcherState::default() });
    let listed = failed_bundles::list(folder);
    state.failed =
        listed.failed.into_iter().map(|one| PendingBundle { file: one.file, reason: one.reason, hint: None }).collect();
    state.failed_count = listed.failed_count;
    state.done = failed_bundles::count_done(folder);
    Ok(state.save(mirror)?)
}
