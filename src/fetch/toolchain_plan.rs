//! The dist files that a run needs, and which input needs each.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Sha256;
use crate::fetch::history::DistFileRef;
use crate::fetch::repair_list::Unavailable;
use crate::inputs::input_id::InputId;
use crate::safe_path::SafePath;
use crate::upstream::dist::{DownloadPlan, PlannedFile, ToolchainRequest};

/// The downloaded toolchains.
#[derive(Default)]
pub(super) struct ToolchainPlan {
    /// Every dist file that the requests need. Files to send have their bytes.
    pub(super) downloads: DownloadPlan,
    /// The requests of this run's inputs, by input ID.
    pub(super) requests: BTreeMap<InputId, ToolchainRequest>,
    /// The dist files of each input: of this run, and of the history if it shares channels.
    pub(super) needed_paths: BTreeMap<InputId, BTreeSet<SafePath>>,
    /// This run's inputs without a request keep the toolchains that the history has for them.
    pub(super) keeps_recorded: bool,
    /// The recorded files of this run's inputs that are kept unchanged, without a request to upstream.
    pub(super) kept: BTreeMap<InputId, Vec<DistFileRef>>,
    /// Entries of the repair list that upstream does not provide. They are in no other field.
    pub(super) unavailable: Vec<Unavailable>,
}

impl ToolchainPlan {
    /// The dist files of a repair list as the needs of the input `id`.
    pub(super) fn for_repair_list(id: InputId, listed: &BTreeMap<SafePath, Sha256>) -> ToolchainPlan {
        if listed.is_empty() {
            return ToolchainPlan::default();
        }
        let files = listed.iter().map(|(path, sha256)| (path.clone(), PlannedFile::new(*sha256))).collect();
        ToolchainPlan {
            downloads: DownloadPlan { files, ..DownloadPlan::default() },
            needed_paths: BTreeMap::from([(id, listed.keys().cloned().collect())]),
            ..ToolchainPlan::default()
        }
    }

    /// The toolchain needs of an input, in the form of the history.
    pub(super) fn files_of_input(&self, id: &InputId) -> Vec<DistFileRef> {
        let needs = self.needed_paths.get(id).into_iter().flatten();
        let stored = needs.filter_map(|path| {
            let needed = self.downloads.files.get(path)?;
            Some(DistFileRef { path: path.clone(), sha256: needed.sha256, size: needed.size.unwrap_or(0) })
        });
        stored.collect()
    }

    /// The needs of inputs that this run does not fetch.
    pub(super) fn files_of_other_inputs(&self) -> BTreeMap<InputId, Vec<DistFileRef>> {
        let others = self.needed_paths.keys().filter(|id| !self.requests.contains_key(*id));
        others.map(|id| (id.clone(), self.files_of_input(id))).collect()
    }

    /// Dist files that go into the bundle.
    pub(super) fn shipped_count(&self) -> usize {
        self.downloads.files.values().filter(|needed| needed.bytes.is_some()).count()
    }
}
