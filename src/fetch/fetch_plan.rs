//! The content of a bundle before it is written.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::fetch::changed_index_lines::RefreshedLines;
use crate::fetch::resolve::Resolution;
use crate::fetch::toolchain_plan::ToolchainPlan;
use crate::index_line::IndexLine;

/// The resolved set, with the files that go into the bundle.
#[derive(Default)]
pub(super) struct FetchPlan {
    pub(super) resolution: Resolution,
    pub(super) toolchains: ToolchainPlan,
    pub(super) refreshed: RefreshedLines,
    /// When the index was read, if the run was offline and used older files of the cache.
    pub(super) cached_index_read: Option<Timestamp>,
}

impl FetchPlan {
    /// The index lines that go into the bundle, sorted by crate.
    pub(super) fn lines(&self) -> impl Iterator<Item = &IndexLine> {
        let lines = self.resolution.crates.iter().map(|(id, planned)| (id, &planned.line));
        lines.chain(&self.refreshed.lines).collect::<BTreeMap<_, _>>().into_values()
    }
}
