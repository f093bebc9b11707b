//! Decides which dist files of a batch to store, by the rules of an import. Each group of files that moves together is
//! handled separately, so that an unusable one does not affect the others.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::batch::{Batch, Rejection, is_complete_file};
use super::{FetchedDistFile, ItemId};
use crate::bundle::format::{DistFileRecord, DistFileState};
use crate::digest::Sha256;
use crate::event::Sink;
use crate::mirror::bundle_stager::dist_files::{DistFileSource, DistPlan, plan_dist_files};
use crate::mirror::bundle_stager::incoming_dist_files::IncomingDistFiles;
use crate::mirror::dist_files::{DistFiles, MutableName};
use crate::mirror::existing_file::is_stored;
use crate::mirror::layout::Layout;
use crate::mirror::transaction::{Error, Staging};
use crate::mirror_file::FileKind;
use crate::safe_path::SafePath;

/// The staged dist files of a batch.
pub(super) struct StagedDistFiles<'b> {
    /// The changes of all accepted groups.
    pub(super) plan: DistPlan,
    /// The record before the batch.
    pub(super) before: DistFiles,
    /// Files that will be recorded as live mode's.
    pub(super) accepted: Vec<&'b FetchedDistFile>,
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
        plan: DistPlan { after: before.clone(), ..DistPlan::default() },
        before,
        accepted: Vec::new(),
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
        let has = |size, sha256| is_stored(&path, Some(size), sha256, true);
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
        let records = records_of(&group);
        let incoming = IncomingDistFiles { records: &records, default_read_at: now, created: now, is_legacy: false };
        let before = self.plan.after.clone();
        let plan = plan_dist_files(layout, staging, incoming, contents, &before, true, now)?;
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
        let (all, (count, bytes)) = (&mut self.plan, plan.added);
        all.files.extend(plan.files);
        all.removals.extend(plan.removals);
        all.added = (all.added.0 + count, all.added.1 + bytes);
        all.after = plan.after;
        Ok(())
    }
}

/// The records of fetched files, as a bundle would state them.
fn records_of(group: &[&FetchedDistFile]) -> Vec<DistFileRecord> {
    let record = |one: &&FetchedDistFile| DistFileRecord {
        path: one.path.clone(),
        sha256: one.sha256,
        size: one.size,
        state: DistFileState::Shipped,
        read_at: Some(one.read_at.to_string()),
    };
    group.iter().map(record).collect()
}
