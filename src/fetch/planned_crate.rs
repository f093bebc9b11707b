//! One crate on its way through a run: resolved, then downloaded if the bundle ships it, then recorded in the history.

use crate::fetch::crate_downloader::DownloadedCrate;
use crate::fetch::history::CrateRef;
use crate::index_line::IndexLine;

/// A crate of this run's set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedCrate {
    /// Its index line, which states its ID and the digest of its file.
    pub line: IndexLine,
    /// Its file; `None` until it is downloaded, and for a crate that a delta does not send again.
    pub file: Option<DownloadedCrate>,
}

impl PlannedCrate {
    /// A resolved crate.
    pub fn new(line: IndexLine) -> PlannedCrate {
        PlannedCrate { line, file: None }
    }

    /// The crate in the form of the history. The size is 0 if the file was not downloaded.
    pub fn to_ref(&self) -> CrateRef {
        CrateRef { size: self.file.as_ref().map_or(0, |file| file.size), ..CrateRef::from(&self.line) }
    }
}
