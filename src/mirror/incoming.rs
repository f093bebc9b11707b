//! What the watcher of an incoming folder last saw there, kept beside the mirror so that `status` need not look itself.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::store::{Error, failed};
use crate::durable;

/// The state of an incoming folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    /// The folder.
    pub folder: PathBuf,
    /// Why the folder cannot be read, where it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The system tells nothing of changes there, so that it is only looked through every few seconds.
    #[serde(default)]
    pub polled: bool,
    /// Bundles that were imported and are still in the folder or in its `done/`.
    pub done: u64,
    /// Bundles that are not complete yet.
    pub arriving: Vec<Bundle>,
    /// Bundles that are good as far as one can tell, and cannot be imported yet.
    pub waiting: Vec<Bundle>,
    /// Bundles that were refused: in `failed/`, or in the folder where they cannot be moved. The newest names of many.
    pub failed: Vec<Bundle>,
    /// How many were refused in all.
    pub failed_count: u64,
}

/// A bundle that is not imported, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bundle {
    /// The name of its file.
    pub file: String,
    /// Why, in one line.
    pub reason: String,
}

impl Incoming {
    /// What was last recorded; `None` where no watcher ever ran, or where it cannot be read as that.
    ///
    /// # Errors
    /// The file system's, other than that there is no such file.
    pub fn read(layout: &Layout) -> Result<Option<Incoming>, Error> {
        let path = layout.incoming();
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
    pub fn record(&self, layout: &Layout) -> Result<(), Error> {
        if Incoming::read(layout)?.as_ref() == Some(self) {
            return Ok(());
        }
        let path = layout.incoming();
        durable::make_folder(&layout.private()).map_err(failed("make the folder", &layout.private()))?;
        let text = serde_json::to_vec_pretty(self).expect("plain fields are JSON");
        durable::write(&path, &text).map_err(failed("write", &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_read_and_not_written_twice() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path().join("mirror"));
        assert_eq!(Incoming::read(&layout).expect("read"), None);
        let bundle = Bundle { file: "a.pkg".to_owned(), reason: "why".to_owned() };
        let state = Incoming { folder: "/in".into(), done: 3, waiting: vec![bundle], ..Incoming::default() };
        state.record(&layout).expect("recorded");
        let written = || fs::metadata(layout.incoming()).and_then(|about| about.modified()).expect("there");
        let first = written();
        std::thread::sleep(std::time::Duration::from_millis(20));
        state.record(&layout).expect("recorded");
        assert_eq!(written(), first);
        assert_eq!(Incoming::read(&layout).expect("read"), Some(state));
        fs::write(layout.incoming(), "{").expect("write");
        assert_eq!(Incoming::read(&layout).expect("read"), None);
    }
}
