//! Which rustup artifacts of a batch are placed: by the rules of an import, for each thing that moves by itself, so that one
//! that cannot be used harms no other.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::arrived::is_whole;
use super::place::{Batch, Refused};
use super::{ArrivedArtifact, What};
use crate::artifact::Kind;
use crate::bundle::format::{ArtifactRecord, ArtifactState, BundleKind, FormatVersion, Lineage, Manifest};
use crate::bundle::pack::whole_seconds;
use crate::digest::Sha256;
use crate::event::Sink;
use crate::mirror::artifacts::{Artifacts, Moving};
use crate::mirror::import::is_held;
use crate::mirror::layout::Layout;
use crate::mirror::receive::artifacts::{Content, settle};
use crate::mirror::store::{Error, Move, Removal, Staging, failed};
use crate::safe_path::SafePath;

/// What was staged of a batch's rustup artifacts.
pub(super) struct Shelved<'b> {
    /// What manifests name, and rustup itself.
    pub(super) components: Vec<Move>,
    /// Channel manifests with their digests, then rustup's release.
    pub(super) channels: Vec<Move>,
    /// Signatures of what channels were before.
    pub(super) removals: Vec<Removal>,
    /// What is on record now.
    pub(super) before: Artifacts,
    /// What is on record afterwards.
    pub(super) after: Artifacts,
    /// Those that will be on record as live mode's.
    pub(super) accepted: Vec<&'b ArrivedArtifact>,
    /// Files that were not held, and their bytes.
    pub(super) new: (u64, u64),
    /// What is not placed, because what is held is newer.
    pub(super) left: Vec<SafePath>,
    /// What is left out, and why.
    pub(super) refused: Vec<Refused>,
}

/// Stages what is to be placed of the batch's rustup artifacts.
pub(super) fn sort<'b>(
    layout: &Layout,
    staging: &mut Staging,
    batch: &'b Batch,
    sink: &dyn Sink,
) -> Result<Shelved<'b>, Error> {
    // A batch of crates alone does not read what grows with the mirror. What cannot be read is made anew, as an import does.
    let before = match batch.artifacts.is_empty() {
        true => Artifacts::default(),
        false => Artifacts::read(layout)?.unwrap_or_default(),
    };
    let mut shelved = Shelved {
        components: Vec::new(),
        channels: Vec::new(),
        removals: Vec::new(),
        after: before.clone(),
        before,
        accepted: Vec::new(),
        new: (0, 0),
        left: Vec::new(),
        refused: Vec::new(),
    };
    // Of several for one path the one read last.
    let mut by_path: BTreeMap<&SafePath, &ArrivedArtifact> = BTreeMap::new();
    for one in &batch.artifacts {
        let known = by_path.entry(&one.path).or_insert(one);
        if one.read >= known.read {
            *known = one;
        }
    }
    let mut groups: BTreeMap<Option<Moving>, Vec<&ArrivedArtifact>> = BTreeMap::new();
    for one in by_path.into_values() {
        match shelved.objection(layout, one)? {
            None => groups.entry(Moving::of(&one.path)).or_default().push(one),
            Some(why) => shelved.refuse(one, &why),
        }
    }
    for group in groups.into_values() {
        shelved.one_group(layout, staging, group, batch.now, sink)?;
    }
    // By path a manifest comes before its digest, and all channels before rustup's release.
    for moves in [&mut shelved.components, &mut shelved.channels] {
        moves.sort_by(|a, b| a.place.cmp(&b.place));
    }
    Ok(shelved)
}

impl<'b> Shelved<'b> {
    fn refuse(&mut self, one: &ArrivedArtifact, why: &str) {
        self.refused.push(Refused { what: What::Artifact(one.path.clone()), why: why.to_owned() });
    }

    /// Why it cannot be placed at all.
    fn objection(&self, layout: &Layout, one: &ArrivedArtifact) -> Result<Option<String>, Error> {
        if !matches!(Kind::of_path(&one.path), Some(Kind::Dist | Kind::Rustup)) {
            return Ok(Some("it belongs neither below dist/ nor below rustup/".to_owned()));
        }
        let path = one.path.below(layout.root());
        let has = |size, sha256| is_held(&path, Some(size), sha256, true).map_err(failed("read", &path));
        let on_record = self.before.0.get(&one.path);
        if let (None, Some(held)) = (Moving::of(&one.path), on_record)
            && held.sha256 != one.sha256
            && has(held.size, &held.sha256)?
        {
            return Ok(Some(format!(
                "it is held with the digest {}, and these bytes have {}",
                held.sha256, one.sha256
            )));
        }
        if is_whole(&one.file, one.size) || has(one.size, &one.sha256)? {
            return Ok(None);
        }
        Ok(Some("its file is gone or has another length than it arrived with".to_owned()))
    }

    /// Files that move together, or all that never move.
    fn one_group(
        &mut self,
        layout: &Layout,
        staging: &mut Staging,
        group: Vec<&'b ArrivedArtifact>,
        now: Timestamp,
        sink: &dyn Sink,
    ) -> Result<(), Error> {
        let mut contents: HashMap<Sha256, Content> = HashMap::new();
        for one in &group {
            let content = match is_whole(&one.file, one.size) {
                true => Content::Staged(staging.adopt(&one.file)?),
                // It was placed before this process was killed.
                false => Content::Held(one.path.below(layout.root())),
            };
            contents.insert(one.sha256, content);
        }
        let manifest = as_manifest(&group, now);
        let before = self.after.clone();
        let settled = settle(layout, staging, &manifest, contents, &before, true, now)?;
        if !settled.unusable.is_empty() {
            let why = settled.unusable.join("; ");
            group.into_iter().for_each(|one| self.refuse(one, &why));
            return Ok(());
        }
        // What other machines lack of a channel that moves is fetched when they ask for it.
        settled.notes.into_iter().for_each(|note| sink.detail(note));
        let is_left = |one: &&ArrivedArtifact| settled.left.contains(&one.path);
        let (left, accepted): (Vec<_>, Vec<_>) = group.into_iter().partition(is_left);
        self.left.extend(left.into_iter().map(|one| one.path.clone()));
        let on_record =
            |one: &&ArrivedArtifact| settled.after.0.get(&one.path).is_some_and(|held| held.sha256 == one.sha256);
        self.accepted.extend(accepted.into_iter().filter(on_record));
        self.components.extend(settled.components);
        self.channels.extend(settled.channels);
        self.removals.extend(settled.removals);
        self.new = (self.new.0 + settled.new.0, self.new.1 + settled.new.1);
        self.after = settled.after;
        Ok(())
    }
}

/// What arrived, as a bundle would say it.
fn as_manifest(group: &[&ArrivedArtifact], now: Timestamp) -> Manifest {
    let record = |one: &&ArrivedArtifact| ArtifactRecord {
        path: one.path.clone(),
        sha256: one.sha256,
        size: one.size,
        state: ArtifactState::Shipped,
        read: Some(one.read.to_string()),
    };
    Manifest {
        id: String::new(),
        format: FormatVersion::CURRENT,
        tool: String::new(),
        created: whole_seconds(now),
        kind: BundleKind::Full,
        repair: false,
        parent: None,
        targets: Vec::new(),
        toolchains: Vec::new(),
        index_read: whole_seconds(now),
        crates: Vec::new(),
        artifacts: group.iter().map(record).collect(),
        lineage: Lineage { id: String::new(), sequence: 1, inputs: Vec::new() },
        carried: Vec::new(),
        refreshed: Vec::new(),
        blocks: Vec::new(),
    }
}
