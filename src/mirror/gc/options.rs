//! Options of a collection.

use std::time::Duration;

use jiff::Timestamp;

/// The default grace period before unreferenced files are deleted.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10 * 60);

/// Options of a collection.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a crate stays after the removal of its line.
    pub grace: Duration,
    /// Lineages to retire, each by its id or a unique prefix, or [`LIVE_LINEAGE`](super::LIVE_LINEAGE). `LINEAGE@BUNDLE` retires the lineage
    /// only if that bundle is its newest, and confirms that files of lost records may be removed.
    pub retire: Vec<String>,
    /// Lineages whose newest bundle is accepted despite warnings, each by its id or a unique prefix. `LINEAGE@BUNDLE`
    /// accepts only that bundle, and not one that arrived later.
    pub accept: Vec<String>,
    /// Bundles that no longer count, each as `LINEAGE@BUNDLE`, with IDs or unique prefixes.
    pub reject: Vec<String>,
    /// The time of the run.
    pub now: Timestamp,
}
