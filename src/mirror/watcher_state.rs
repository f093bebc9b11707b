//! What the watcher of an incoming folder last saw there, kept beside the mirror so that `status` need not look itself.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::transaction::{Error, failed};
use crate::durable;

/// The state of an incoming folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatcherState {
    /// The folder.
    pub folder: PathBuf,
    /// Why the folder cannot be read, where it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The system tells nothing of changes there, so that it is only looked through every few seconds.
    #[serde(default)]
    #[serde(rename = "polled")]
    pub is_polling: bool,
    /// Bundles that were imported and are still in the folder or in its `done/`.
    pub done: u64,
    /// Bundles that are not complete yet.
    pub arriving: Vec<PendingBundle>,
    /// Bundles that are good as far as one can tell, and cannot be imported yet.
    pub waiting: Vec<PendingBundle>,
    /// Bundles that were refused: in `failed/`, or in the folder where they cannot be moved. The newest names of many.
    pub failed: Vec<PendingBundle>,
    /// How many were refused in all.
    pub failed_count: u64,
}

/// A bundle that is not imported, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PendingBundle {
    /// The name of its file.
    pub file: String,
    /// Why, in one line.
    pub reason: String,
}

impl WatcherState {
    /// What was last recorded; `None` where no watcher ever ran, or where it cannot be read as that.
    ///
    /// # Errors
    /// The file system's, other than that there is no such file.
    pub fn read(layout: &Layout) -> Result<Option<WatcherState>, Error> {
        let path = layout.watcher_state();
        match fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => Ok(None),
            Err(source) => Err(failed("read", &path)(source)),
        }
    }

    /// Records it durably, where it is not on record yet. The tree is not touched, so this takes no lock.
    ///
    /// # Errors
    /// The file system's.
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
    use super::*;

    #[test]
    fn unchanged_state_is_not_written_again() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path().join("mirror"));
        assert_eq!(WatcherState::read(&layout).expect("read"), None);
        let bundle = PendingBundle { file: "a.pkg".to_owned(), reason: "why".to_owned() };
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
