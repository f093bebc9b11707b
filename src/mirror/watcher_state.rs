//! The last state of the watcher of an incoming folder, stored in the mirror so that `status` need not scan the folder.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::disk;
use super::layout::Layout;
use super::transaction::{Error, failed};
use crate::durable;

/// The state of an incoming folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatcherState {
    /// The folder.
    pub folder: PathBuf,
    /// Why the folder cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The system sends no events for the folder, so the watcher only scans it every few seconds.
    #[serde(default)]
    #[serde(rename = "polled")]
    pub is_polling: bool,
    /// Imported bundles that are still in the folder or in its `done/`.
    pub done: u64,
    /// Bundles that are not complete yet.
    pub arriving: Vec<PendingBundle>,
    /// Bundles that appear valid and cannot be imported yet.
    pub waiting: Vec<PendingBundle>,
    /// Rejected bundles: in `failed/`, or in the folder if they cannot be moved. Limited to the last names.
    pub failed: Vec<PendingBundle>,
    /// The total number of rejected bundles.
    pub failed_count: u64,
}

/// A bundle that is not imported, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct PendingBundle {
    /// The name of its file.
    pub file: String,
    /// Why, in one line.
    pub reason: String,
    /// The next step, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl WatcherState {
    /// Reads the stored state; `None` if no watcher ever ran, or the file is invalid.
    ///
    /// # Errors
    /// A file system operation failed; a missing file is not an error.
    pub fn read(layout: &Layout) -> Result<Option<WatcherState>, Error> {
        let text = disk::read_if_present(&layout.watcher_state())?;
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// The same with other texts, such as with the mirror's path in the commands.
    #[must_use]
    pub fn map_texts(mut self, change: impl Fn(&str) -> String) -> WatcherState {
        let bundles = self.arriving.iter_mut().chain(&mut self.waiting).chain(&mut self.failed);
        let texts = bundles.flat_map(|one| std::iter::once(&mut one.reason).chain(&mut one.hint));
        texts.chain(&mut self.problem).for_each(|text| *text = change(text));
        self
    }

    /// Saves the state durably, if it has changed. Needs no lock, because the mirror's files do not change.
    ///
    /// # Errors
    /// A file system operation failed.
    pub fn save(&self, layout: &Layout) -> Result<(), Error> {
        if WatcherState::read(layout)?.as_ref() == Some(self) {
            return Ok(());
        }
        let path = layout.watcher_state();
        durable::make_folder(&layout.private()).map_err(failed("make the folder", &layout.private()))?;
        let text = serde_json::to_vec_pretty(self).expect("plain fields are JSON");
        durable::write(&path, &text).map_err(failed("write", &path))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn unchanged_state_is_not_written_again() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path().join("mirror"));
        assert_eq!(WatcherState::read(&layout).expect("read"), None);
        let bundle = PendingBundle { file: "a.pkg".to_owned(), reason: "why".to_owned(), hint: None };
        let state = WatcherState { folder: "/in".into(), done: 3, waiting: vec![bundle], ..WatcherState::default() };
        state.save(&layout).expect("recorded");
        let written = || fs::metadata(layout.watcher_state()).and_then(|about| about.modified()).expect("there");
        let first = written();
        std::thread::sleep(std::time::Duration::from_millis(20));
        state.save(&layout).expect("recorded");
        assert_eq!(written(), first);
        assert_eq!(WatcherState::read(&layout).expect("read"), Some(state));
        fs::write(layout.watcher_state(), "{").expect("write");
        assert_eq!(WatcherState::read(&layout).expect("read"), None);
    }
}
