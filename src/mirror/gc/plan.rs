//! The plan of a collection.

use std::collections::HashSet;
use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::dropped_records::DroppedRecords;
use super::error::Error;
use super::live_records::{LiveChanges, LiveSummary};
use super::rejected_bundle::{RejectedBundle, RejectedRecord};
use crate::mirror::dist_files::DistFiles;
use crate::mirror::item::StoredItem;
use crate::mirror::lineages::LineageTip;
use crate::mirror::pending_deletions::PendingDeletions;
use crate::mirror::pending_lines::PendingLines;
use crate::mirror::summary::{BundleToImport, Counts, MirrorSummary};
use crate::units::is_zero;

/// What a collection will do, and why.
#[derive(Debug)]
pub struct Plan {
    /// The lineages of the mirror, by id.
    pub lineages: Vec<LineagePlan>,
    /// The bundles that this run rejects.
    pub rejected: Vec<RejectedBundle>,
    /// The files of live mode; `None` if it never stored any.
    pub live: Option<LiveSummary>,
    /// Index lines to remove.
    pub lines: Vec<Line>,
    /// Files to remove in this run, in this order: the names that rustup requests first, crates, other dist files.
    pub removals: Vec<StoredItem>,
    /// Files to remove in a later run: crates, then dist files.
    pub pending: Vec<PendingDeletion>,
    /// Unrecognized files, which no bundle on record brought. They are kept.
    pub unrecognized: Vec<String>,
    /// Index lines that a rejected bundle may have brought, and that other bundles need. The next line of a bundle replaces each.
    pub reset_lines: Vec<Line>,
    /// The bundles whose next import restores what rejected bundles replaced.
    pub to_import: Vec<BundleToImport>,
    /// Files and crates that rejected bundles replaced, and that no bundle on record restores.
    pub unavailable: Vec<String>,
    /// What no bundle on record needs now, and lost records may need.
    pub kept_for_lost_records: Option<KeptForLostRecords>,
    /// The content of the mirror afterwards.
    pub counts: Counts,
    /// Why the plan will not be executed.
    pub(super) refusal: Option<Error>,
    pub(super) changes: FileChanges,
}

impl Plan {
    /// Why the plan will not be executed; `None` if it will be.
    pub fn refusal(&self) -> Option<&Error> {
        self.refusal.as_ref()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let FileChanges {
            index_lines: index,
            index_meta: records,
            folders,
            dist_folders: artifact_folders,
            retire: forget,
            accept,
            reject,
            dropped,
            pending: removals,
            pending_lines,
            summary: head,
            ..
        } = &self.changes;
        let artifacts = self.changes.dist_files.is_none() && artifact_folders.is_empty();
        let files = index.is_empty() && records.is_empty() && folders.is_empty() && self.removals.is_empty();
        let live = self.changes.live.is_empty();
        files
            && artifacts
            && live
            && forget.is_empty()
            && accept.is_empty()
            && reject.is_empty()
            && dropped.is_empty()
            && removals.is_none()
            && pending_lines.is_none()
            && head.is_none()
    }

    /// The crates that this run removes.
    pub fn crates(&self) -> impl Iterator<Item = &StoredItem> {
        self.removals.iter().filter(|item| item.id.crate_id().is_some())
    }

    /// The dist files that this run removes.
    pub fn dist_files(&self) -> impl Iterator<Item = &StoredItem> {
        self.removals.iter().filter(|item| item.id.crate_id().is_none())
    }

    /// The crates that a later run removes.
    pub fn pending_crates(&self) -> impl Iterator<Item = &PendingDeletion> {
        self.pending.iter().filter(|pending| pending.item.id.crate_id().is_some())
    }

    /// The dist files that a later run removes.
    pub fn pending_dist_files(&self) -> impl Iterator<Item = &PendingDeletion> {
        self.pending.iter().filter(|pending| pending.item.id.crate_id().is_none())
    }

    /// When the last pending file may be removed.
    pub fn last_deletion(&self) -> Option<Timestamp> {
        self.pending.iter().map(|pending| pending.until).max()
    }
}

/// A lineage in a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LineagePlan {
    /// Its newest bundle, and the bundle's position in the ledger.
    #[serde(flatten)]
    pub newest: LineageTip,
    /// The file of that bundle.
    pub file: String,
    /// When it was imported (RFC 3339, UTC).
    #[serde(rename = "imported")]
    pub imported_at: String,
    /// Number of crates that it names.
    pub crates: u64,
    /// Number of dist files that it names.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default)]
    #[serde(rename = "artifacts")]
    pub dist_files: u64,
    /// Whether this run retires the lineage.
    #[serde(rename = "forgotten")]
    pub retired: bool,
    /// Why the newest bundle is uncertain, one sentence each. Files that any candidate needs are kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    #[serde(rename = "doubts")]
    pub warnings: Vec<String>,
    /// If the newest bundle is uncertain: every bundle that may be the newest, the likeliest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub candidates: Vec<Candidate>,
    /// If the newest bundle is uncertain: the bundles on record that do not lead to it, which an acceptance rejects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub unconnected: Vec<RejectedBundle>,
    /// Whether this run accepts the newest bundle.
    pub accepted: bool,
    /// Whether this run should accept the newest bundle, which is certain.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub nothing_to_accept: bool,
}

/// A bundle that may be the newest of its lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Candidate {
    /// Its number in the lineage.
    pub sequence: u64,
    /// Its ID.
    pub bundle: String,
    /// The bundle's file.
    pub file: String,
    /// When it was written, as it states (RFC 3339, UTC).
    pub created: String,
    /// When it was imported (RFC 3339, UTC).
    #[serde(rename = "imported")]
    pub imported_at: String,
}

/// Files that stay because import records are lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KeptForLostRecords {
    /// Number of crates and dist files.
    pub files: u64,
    /// The IDs of the bundles whose records are lost, as far as they are known. The files stay until these are imported again.
    pub bundles: Vec<String>,
    /// Whether the lineage `rebuilt` exists, so that forgetting it ends this.
    #[serde(skip)]
    pub(crate) has_lineage: bool,
}

/// An index line to remove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Line {
    /// The crate's name, as in the index path.
    pub name: String,
    /// The version.
    pub version: String,
}

/// A file to remove later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PendingDeletion {
    /// The file.
    #[serde(flatten)]
    pub item: StoredItem,
    /// When its grace period ends (RFC 3339, UTC).
    #[schemars(with = "String")]
    pub until: Timestamp,
}

/// Changes of internal files, which are not displayed.
#[derive(Debug)]
pub(super) struct FileChanges {
    /// Versions to remove from index files, by path.
    pub(super) index_lines: Vec<VersionRemoval>,
    /// Versions to remove from the records of lines, by path.
    pub(super) index_meta: Vec<VersionRemoval>,
    /// Folders that become empty, nested ones first.
    pub(super) folders: Vec<PathBuf>,
    /// Folders at or below dist/ and rustup/ that become empty, nested ones first.
    pub(super) dist_folders: Vec<PathBuf>,
    /// The new record of dist files; `None` if unchanged.
    pub(super) dist_files: Option<DistFiles>,
    /// Lineages to retire.
    pub(super) retire: Vec<LineageTip>,
    /// Bundles to accept as the newest of their lineage.
    pub(super) accept: Vec<LineageTip>,
    /// Records to reject.
    pub(super) reject: Vec<RejectedRecord>,
    /// Records of rejected snapshots to remove.
    pub(super) dropped: DroppedRecords,
    /// Changes of live mode's records.
    pub(super) live: LiveChanges,
    /// The number of the newest record.
    pub(super) newest_record: u64,
    /// The new list of pending removals; `None` if unchanged.
    pub(super) pending: Option<PendingDeletions>,
    /// The new list of lines that wait for their crates; `None` if unchanged.
    pub(super) pending_lines: Option<PendingLines>,
    /// The new summary; `None` if unchanged.
    pub(super) summary: Option<MirrorSummary>,
    /// The time of the run, for the notes.
    pub(super) now: Timestamp,
}

/// Versions to remove from one file.
#[derive(Debug)]
pub(super) struct VersionRemoval {
    pub(super) path: String,
    pub(super) versions: HashSet<String>,
    /// Versions that stay, but whose records lose the time at which their line was read.
    pub(super) reset: HashSet<String>,
}
