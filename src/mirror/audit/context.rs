//! What an audit knows before it reads any crate file.

use std::collections::BTreeSet;

use super::file_state::FileStates;
use super::listing::Listing;
use super::metadata::Metadata;
use super::problem::Fault;
use crate::crate_id::{CrateId, CrateName};
use crate::mirror::layout::Layout;

/// The input that exists before any crate file is read.
pub(super) struct AuditContext<'a> {
    pub(super) layout: &'a Layout,
    pub(super) listing: &'a Listing,
    pub(super) metadata: &'a Metadata,
    /// The result of an earlier pass.
    pub(super) before: &'a FileStates,
    /// Names of crate files that a garbage collection has scheduled for deletion.
    pub(super) pending_deletions: BTreeSet<String>,
    /// An import or a garbage collection was killed, and no run has completed since.
    pub(super) interrupted: bool,
    /// The records name every crate of the mirror.
    pub(super) is_complete: bool,
}

impl AuditContext<'_> {
    /// The problem of line `number` of the crate, if no record names the crate. A killed command may not have written its
    /// record yet.
    pub(super) fn unknown_crate_fault(&self, number: usize, id: &CrateId) -> Option<Fault> {
        if self.interrupted || self.metadata.crates.contains_key(id) {
            return None;
        }
        let id = id.clone();
        Some(if self.is_complete { Fault::NotImported { number, id } } else { Fault::RecordUnknown { number, id } })
    }

    /// The crate name for an index path: as a file or a record spells it, else in lower case.
    pub(super) fn crate_name_at(&self, path: &str) -> Option<CrateName> {
        let file = self.listing.crates.get(path).and_then(|ids| ids.first()).map(|id| &id.name);
        let known = file.or_else(|| self.metadata.crate_name_at(path));
        known.cloned().or_else(|| path.rsplit('/').next()?.parse().ok())
    }
}
