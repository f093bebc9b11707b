//! Decides which dist files of a batch to store, by the rules of an import. Each group of files that moves together is
//! handled separately, so that an unusable one does not affect the others.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::commit::{Batch, Rejection};
use super::merge_crates::is_complete_file;
use super::{FetchedDistFile, ItemId};
use crate::bundle::format::{BundleKind, DistFileRecord, DistFileState, FormatVersion, Lineage, Manifest};
use crate::bundle::pack::format_time;
use crate::digest::Sha256;
use crate::event::Sink;
use crate::mirror::dist_files::{DistFiles, MutableName};
use crate::mirror::import::is_stored;
use crate::mirror::layout::Layout;
use crate::mirror::stager::dist_files::{DistFileSource, plan_dist_files};
use crate::mirror::transaction::{Error, Removal, Rename, Staging, failed};
use crate::mirror_file::FileKind;
use crate::safe_path::SafePath;

/// The staged dist files of a batch.
pub(super) struct StagedDistFiles<'b> {
    /// Files that manifests name, and rustup itself.
    pub(super) components: Vec<Rename>,
    /// Channel manifests with their digests, then rustup's release.
    pub(super) channels: Vec<Rename>,
    /// Signatures of the previous channel manifests.
    pub(super) removals: Vec<Removal>,
    /// The record before the batch.
    pub(super) before: DistFiles,
    /// The record after the batch.
    pub(super) after: DistFiles,
    /// Files that will be recorded as live mode's.
    pub(super) accepted: Vec<&'b FetchedDistFile>,
    /// Number and bytes of files that were not stored before.
    pub(super) added: (u64, u64),
    /// Files that were skipped, because the stored ones are newer.
    pub(super) skipped: Vec<SafePath>,
    /// Rejected files, with the reason.
    pub(super) rejected: Vec<Rejection>,
}

/// Stages the dist files of the batch.
pub(super) fn stage_dist_files<'b>(
    layout: &Layout,
    staging: &mut Staging,
    batch: &'b Batch,
    sink: &dyn Sink,
) -> Result<StagedDistFiles<'b>, Error> {
    // A batch of crates alone does not read a record that grows with the mirror. An unreadable record is rebuilt, as by
    // an import.
    let before = match batch.dist_files.is_empty() {
        true => DistFiles::default(),
        false => DistFiles::read(layout)?.unwrap_or_default(),
    };
    let mut staged = StagedDistFiles {
        components: Vec::new(),
        channels: Vec::new(),
        removals: Vec::new(),
        after: before.clone(),
        before,
        accepted: Vec::new(),
        added: (0, 0),
        skipped: Vec::new(),
        rejected: Vec::new(),
    };
    // Of several files for one path, the one read last.
    let mut by_path: BTreeMap<&SafePath, &FetchedDistFile> = BTreeMap::new();
    for one in &batch.dist_files {
        let known = by_path.entry(&one.path).or_insert(one);
        if one.read_at >= known.read_at {
            *known = one;
        }
    }
    let mut groups: BTreeMap<Option<MutableName>, Vec<&FetchedDistFile>> = BTreeMap::new();
    for one in by_path.into_values() {
        match staged.rejection_reason(layout, one)? {
            None => groups.entry(MutableName::from_path(&one.path)).or_default().push(one),
            Some(why) => staged.reject(one, &why),
        }
    }
    for group in groups.into_values() {
        staged.plan_group(layout, staging, group, batch.now, sink)?;
    }
    // Sorted by path, a manifest precedes its digest, and all channels precede rustup's release.
    for moves in [&mut staged.components, &mut staged.channels] {
        moves.sort_by(|a, b| a.path.cmp(&b.path));
    }
    Ok(staged)
}

impl<'b> StagedDistFiles<'b> {
    fn reject(&mut self, one: &FetchedDistFile, why: &str) {
        self.rejected.push(Rejection { item: ItemId::DistFile(one.path.clone()), reason: why.to_owned() });
    }

    /// Why a file cannot be stored at all.
    fn rejection_reason(&self, layout: &Layout, one: &FetchedDistFile) -> Result<Option<String>, Error> {
        if !matches!(FileKind::from_path(&one.path), Some(FileKind::Dist | FileKind::Rustup)) {
            return Ok(Some("its path is neither below dist/ nor below rustup/".to_owned()));
        }
        let path = one.path.below(layout.root());
        let has = |size, sha256| is_stored(&path, Some(size), sha256, true).map_err(failed("read", &path));
        let on_record = self.before.0.get(&one.path);
        if let (None, Some(stored)) = (MutableName::from_path(&one.path), on_record)
            && stored.sha256 != one.sha256
            && has(stored.size, &stored.sha256)?
        {
            return Ok(Some(format!(
                "it is stored with the digest {}, but the fetched file has {}",
                stored.sha256, one.sha256
            )));
        }
        if is_complete_file(&one.file, one.size) || has(one.size, &one.sha256)? {
            return Ok(None);
        }
        Ok(Some("its downloaded file is missing or has another length".to_owned()))
    }

    /// Files that move together, or all files that never move.
    fn plan_group(
        &mut self,
        layout: &Layout,
        staging: &mut Staging,
        group: Vec<&'b FetchedDistFile>,
        now: Timestamp,
        sink: &dyn Sink,
    ) -> Result<(), Error> {
        let mut contents: HashMap<Sha256, DistFileSource> = HashMap::new();
        for one in &group {
            let content = match is_complete_file(&one.file, one.size) {
                true => DistFileSource::Staged(staging.hard_link(&one.file)?),
                // It was committed before the previous process was killed.
                false => DistFileSource::Stored(one.path.below(layout.root())),
            };
            contents.insert(one.sha256, content);
        }
        let manifest = as_manifest(&group, now);
        let before = self.after.clone();
        let plan = plan_dist_files(layout, staging, &manifest, contents, &before, true, now)?;
        if !plan.unusable.is_empty() {
            let why = plan.unusable.join("; ");
            group.into_iter().for_each(|one| self.reject(one, &why));
            return Ok(());
        }
        // Other files of a mutable channel are fetched on request.
        plan.warnings.into_iter().for_each(|note| sink.detail("Note", note));
        let is_left = |one: &&FetchedDistFile| plan.skipped.contains(&one.path);
        let (left, accepted): (Vec<_>, Vec<_>) = group.into_iter().partition(is_left);
        self.skipped.extend(left.into_iter().map(|one| one.path.clone()));
        let on_record =
            |one: &&FetchedDistFile| plan.after.0.get(&one.path).is_some_and(|stored| stored.sha256 == one.sha256);
        self.accepted.extend(accepted.into_iter().filter(on_record));
        self.components.extend(plan.components);
        self.channels.extend(plan.channels);
        self.removals.extend(plan.removals);
        self.added = (self.added.0 + plan.added.0, self.added.1 + plan.added.1);
        self.after = plan.after;
        Ok(())
    }
}

/// The fetched files in the form of a bundle's manifest.
fn as_manifest(group: &[&FetchedDistFile], now: Timestamp) -> Manifest {
    let record = |one: &&FetchedDistFile| DistFileRecord {
        path: one.path.clone(),
        sha256: one.sha256,
        size: one.size,
        state: DistFileState::Shipped,
        read_at: Some(one.read_at.to_string()),
    };
    Manifest {
        id: String::new(),
        format: FormatVersion::CURRENT,
        tool: String::new(),
        created: format_time(now),
        kind: BundleKind::Full,
        repair: false,
        parent: None,
        targets: Vec::new(),
        toolchains: Vec::new(),
        index_read: format_time(now),
        crates: Vec::new(),
        dist_files: group.iter().map(record).collect(),
        lineage: Lineage { id: String::new(), sequence: 1, inputs: Vec::new() },
        carried_histories: Vec::new(),
        refreshed_crates: Vec::new(),
        blocks: Vec::new(),
    }
}
