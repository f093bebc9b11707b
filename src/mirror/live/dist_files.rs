//! Which rustup artifacts of a batch are placed: by the rules of an import, for each thing that moves by itself, so that one
//! that cannot be used harms no other.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::commit::{Batch, Rejection};
use super::crates::is_complete_file;
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

/// What was staged of a batch's rustup artifacts.
pub(super) struct StagedDistFiles<'b> {
    /// What manifests name, and rustup itself.
    pub(super) components: Vec<Rename>,
    /// Channel manifests with their digests, then rustup's release.
    pub(super) channels: Vec<Rename>,
    /// Signatures of what channels were before.
    pub(super) removals: Vec<Removal>,
    /// What is on record now.
    pub(super) before: DistFiles,
    /// What is on record afterwards.
    pub(super) after: DistFiles,
    /// Those that will be on record as live mode's.
    pub(super) accepted: Vec<&'b FetchedDistFile>,
    /// Files that were not held, and their bytes.
    pub(super) added: (u64, u64),
    /// What is not placed, because what is held is newer.
    pub(super) skipped: Vec<SafePath>,
    /// What is left out, and why.
    pub(super) rejected: Vec<Rejection>,
}

/// Stages what is to be placed of the batch's rustup artifacts.
pub(super) fn stage_dist_files<'b>(
    layout: &Layout,
    staging: &mut Staging,
    batch: &'b Batch,
    sink: &dyn Sink,
) -> Result<StagedDistFiles<'b>, Error> {
    // A batch of crates alone does not read what grows with the mirror. What cannot be read is made anew, as an import does.
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
    // Of several for one path the one read last.
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
    // By path a manifest comes before its digest, and all channels before rustup's release.
    for moves in [&mut staged.components, &mut staged.channels] {
        moves.sort_by(|a, b| a.path.cmp(&b.path));
    }
    Ok(staged)
}

impl<'b> StagedDistFiles<'b> {
    fn reject(&mut self, one: &FetchedDistFile, why: &str) {
        self.rejected.push(Rejection { item: ItemId::DistFile(one.path.clone()), reason: why.to_owned() });
    }

    /// Why it cannot be placed at all.
    fn rejection_reason(&self, layout: &Layout, one: &FetchedDistFile) -> Result<Option<String>, Error> {
        if !matches!(FileKind::from_path(&one.path), Some(FileKind::Dist | FileKind::Rustup)) {
            return Ok(Some("it belongs neither below dist/ nor below rustup/".to_owned()));
        }
        let path = one.path.below(layout.root());
        let has = |size, sha256| is_stored(&path, Some(size), sha256, true).map_err(failed("read", &path));
        let on_record = self.before.0.get(&one.path);
        if let (None, Some(held)) = (MutableName::from_path(&one.path), on_record)
            && held.sha256 != one.sha256
            && has(held.size, &held.sha256)?
        {
            return Ok(Some(format!(
                "it is held with the digest {}, and these bytes have {}",
                held.sha256, one.sha256
            )));
        }
        if is_complete_file(&one.file, one.size) || has(one.size, &one.sha256)? {
            return Ok(None);
        }
        Ok(Some("its file is gone or has another length than it arrived with".to_owned()))
    }

    /// Files that move together, or all that never move.
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
                // It was placed before this process was killed.
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
        // What other machines lack of a channel that moves is fetched when they ask for it.
        plan.warnings.into_iter().for_each(|note| sink.detail(note));
        let is_left = |one: &&FetchedDistFile| plan.skipped.contains(&one.path);
        let (left, accepted): (Vec<_>, Vec<_>) = group.into_iter().partition(is_left);
        self.skipped.extend(left.into_iter().map(|one| one.path.clone()));
        let on_record =
            |one: &&FetchedDistFile| plan.after.0.get(&one.path).is_some_and(|held| held.sha256 == one.sha256);
        self.accepted.extend(accepted.into_iter().filter(on_record));
        self.components.extend(plan.components);
        self.channels.extend(plan.channels);
        self.removals.extend(plan.removals);
        self.added = (self.added.0 + plan.added.0, self.added.1 + plan.added.1);
        self.after = plan.after;
        Ok(())
    }
}

/// What arrived, as a bundle would say it.
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
