//! Decides which crates of a batch to store, and merges their lines into index files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use super::commit::{Batch, Rejection};
use super::{FetchedCrate, IndexUpdate, ItemId};
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::event::Sink;
use crate::index_line::IndexLine;
use crate::mirror::index_merge::{self, MergeResult, NewLine, StoredIndexFile};
use crate::mirror::index_meta;
use crate::mirror::layout::Layout;
use crate::mirror::stager::read_text;
use crate::mirror::summary::CountsDelta;
use crate::mirror::topo_sort::{NameIds, Node, dependencies_first};
use crate::mirror::transaction::{Error, Rename, Staging, failed};
use crate::units::pluralize;

/// The staged crates and lines of a batch.
#[derive(Default)]
pub(super) struct StagedCrates<'b> {
    /// Crates to commit.
    pub(super) crates: Vec<Rename>,
    /// Line records to commit.
    pub(super) index_meta: Vec<Rename>,
    /// Index files to commit, in this order.
    pub(super) index: Vec<Rename>,
    /// Crates that will be recorded.
    pub(super) accepted: Vec<&'b FetchedCrate>,
    /// Index updates that have an effect.
    pub(super) updates: Vec<&'b IndexUpdate>,
    /// How many of the accepted crates were already stored.
    pub(super) already_stored: u64,
    /// Rejected items, with the reason.
    pub(super) rejected: Vec<Rejection>,
    /// The change of the mirror's counts.
    pub(super) delta: CountsDelta,
    /// The crates whose index files change.
    pub(super) changed_names: Vec<CrateName>,
    /// Index, records and files contradicted each other before, so restored files must not count as new.
    pub(super) needs_recount: bool,
    newly_stored: u64,
    changed: Vec<ChangedIndexFile>,
}

/// An index file that changes.
struct ChangedIndexFile {
    name: CrateName,
    dependencies: Vec<String>,
    rename: Rename,
}

/// The existing file at a crate's path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Absent,
    /// The same bytes.
    Identical,
    /// Other bytes, this many.
    Different(u64),
    /// A link or the like, which counts do not include.
    NotAFile,
}

/// Stages the crates and lines of the batch.
pub(super) fn stage_crates<'b>(
    layout: &Layout,
    staging: &mut Staging,
    batch: &'b Batch,
    sink: &dyn Sink,
) -> Result<StagedCrates<'b>, Error> {
    let mut by_index_path: BTreeMap<String, (Vec<&FetchedCrate>, Vec<&IndexUpdate>)> = BTreeMap::new();
    let mut staged = StagedCrates::default();
    let mut seen: BTreeSet<&CrateId> = BTreeSet::new();
    for arrival in &batch.crates {
        if arrival.line.id != arrival.id || arrival.line.cksum != arrival.sha256 {
            staged.reject(&arrival.id, "its index line has another checksum");
        } else if seen.insert(&arrival.id) {
            by_index_path.entry(arrival.id.name.index_path()).or_default().0.push(arrival);
        }
    }
    for renewal in &batch.index_updates {
        by_index_path.entry(renewal.line.id.name.index_path()).or_default().1.push(renewal);
    }
    for (place, (arrivals, renewals)) in by_index_path {
        staged.merge_crate(layout, staging, &place, arrivals, renewals, sink)?;
    }
    staged.needs_recount |= staged.delta.versions != staged.newly_stored;
    let names = NameIds::from_names(staged.changed.iter().map(|one| one.name.as_str()));
    let numbered = |one: &ChangedIndexFile| Node {
        id: names.id(one.name.as_str()).unwrap_or(u32::MAX),
        dependencies: one.dependencies.iter().filter_map(|need| names.id(need)).collect(),
    };
    let nodes: Vec<Node> = staged.changed.iter().map(numbered).collect();
    let mut changed: Vec<Option<ChangedIndexFile>> =
        std::mem::take(&mut staged.changed).into_iter().map(Some).collect();
    for at in dependencies_first(&nodes) {
        if let Some(ChangedIndexFile { name, rename: moved, .. }) = changed[at].take() {
            staged.index.push(moved);
            staged.changed_names.push(name);
        }
    }
    Ok(staged)
}

impl<'b> StagedCrates<'b> {
    fn reject(&mut self, id: &CrateId, why: impl Into<String>) {
        self.rejected.push(Rejection { item: ItemId::Crate(id.clone()), reason: why.into() });
    }

    /// Merges the lines of one index file, and stages its crates.
    fn merge_crate(
        &mut self,
        layout: &Layout,
        staging: &mut Staging,
        path: &str,
        arrivals: Vec<&'b FetchedCrate>,
        renewals: Vec<&'b IndexUpdate>,
        sink: &dyn Sink,
    ) -> Result<(), Error> {
        let (index_path, records_path) = (layout.index().join(path), layout.index_meta().join(path));
        let (text, records) = (read_text(&index_path)?, read_text(&records_path)?);
        let stored = StoredIndexFile {
            text: text.clone().unwrap_or_default(),
            records: index_meta::parse(records.as_deref().unwrap_or_default()),
        };
        let mut existing: Vec<(&'b FetchedCrate, Existing)> = Vec::new();
        for arrival in arrivals {
            match check_existing(layout, arrival)? {
                Ok(found) => existing.push((arrival, found)),
                Err(why) => self.reject(&arrival.id, why),
            }
        }
        let is_wanted = |renewal: &&IndexUpdate| {
            let id = &renewal.line.id;
            let is_arriving = existing.iter().any(|(arrival, _)| arrival.id == *id);
            let is_held = || layout.crate_file(id).symlink_metadata().is_ok_and(|about| about.is_file());
            !is_arriving && IndexLine::find_version(&stored.text, &id.name, &id.version).is_some() && is_held()
        };
        let renewals: Vec<&IndexUpdate> = renewals.into_iter().filter(is_wanted).collect();
        let mut incoming: Vec<NewLine> = Vec::new();
        let mut merged = None;
        let mut try_with = |incoming: &mut Vec<NewLine>, one: NewLine| -> Result<(), String> {
            incoming.push(one);
            match index_merge::merge(&stored, incoming.clone()) {
                Ok(whole) => merged = Some(whole),
                Err(conflict) => {
                    incoming.pop();
                    return Err(conflict.to_string());
                }
            }
            Ok(())
        };
        // One at a time, so that a contradictory line is rejected without the others.
        let mut sound = Vec::new();
        for (arrival, found) in existing {
            let one =
                NewLine { line: arrival.line.clone(), read_at: arrival.read_at, index_only: false, is_refresh: false };
            match try_with(&mut incoming, one) {
                Ok(()) => sound.push((arrival, found)),
                Err(why) => self.reject(&arrival.id, why),
            }
        }
        let mut renewed = Vec::new();
        for renewal in renewals {
            let one =
                NewLine { line: renewal.line.clone(), read_at: renewal.read_at, index_only: false, is_refresh: false };
            match try_with(&mut incoming, one) {
                Ok(()) => renewed.push(renewal),
                Err(why) => sink.detail("Rejected", format!("upstream's new index line of {}: {why}", renewal.line.id)),
            }
        }
        let Some(merged) = merged else { return Ok(()) };
        for (arrival, found) in sound {
            self.stage_crate(layout, staging, arrival, found)?;
        }
        let changes = merged.text != stored.text;
        if changes {
            let is_news = |renewal: &&IndexUpdate| !stored.text.lines().any(|line| line == renewal.line.raw);
            self.updates.extend(renewed.into_iter().filter(is_news));
        }
        if merged.damaged_lines > 0 {
            let index = index_path.display();
            sink.warning(format!(
                "dropped or replaced {} of `{index}`",
                pluralize(merged.damaged_lines, "damaged line")
            ));
        }
        self.stage_index(staging, path, &stored, [text.is_some(), records.is_some()], merged, &incoming)
    }

    fn stage_crate(
        &mut self,
        layout: &Layout,
        staging: &mut Staging,
        arrival: &'b FetchedCrate,
        found: Existing,
    ) -> Result<(), Error> {
        self.accepted.push(arrival);
        if found == Existing::Identical {
            self.already_stored += 1;
            return Ok(());
        }
        let staged = staging.hard_link(&arrival.file)?;
        let file_name = arrival.id.file_name();
        let replaces = layout.crates().join(&file_name).symlink_metadata().is_ok();
        self.crates.push(Rename { staged, path: file_name.into(), replaces });
        self.delta.bytes += arrival.size;
        match found {
            Existing::Different(length) => {
                self.delta.bytes_replaced += length;
                // The recorded length may differ from the former length of the file.
                self.needs_recount = true;
            }
            Existing::NotAFile => {
                self.delta.versions += 1;
                self.needs_recount = true;
            }
            Existing::Absent | Existing::Identical => self.delta.versions += 1,
        }
        Ok(())
    }

    fn stage_index(
        &mut self,
        staging: &mut Staging,
        path: &str,
        stored: &StoredIndexFile,
        [text_there, records_there]: [bool; 2],
        merged: MergeResult,
        incoming: &[NewLine],
    ) -> Result<(), Error> {
        self.newly_stored += merged.newly_stored as u64;
        self.needs_recount |= records_there && !text_there;
        let changes = merged.text != stored.text;
        // A record of a replaced line may remain; it is harmless, and no reason to write.
        if changes || !merged.records.iter().all(|record| stored.records.contains(record)) {
            let staged = staging.write(index_meta::render(&merged.records).as_bytes())?;
            self.index_meta.push(Rename { staged, path: path.into(), replaces: records_there });
        }
        if let (true, Some(first)) = (changes, incoming.first()) {
            let staged = staging.write(merged.text.as_bytes())?;
            let moved = Rename { staged, path: path.into(), replaces: text_there };
            self.changed.push(ChangedIndexFile {
                name: first.line.id.name.clone(),
                dependencies: merged.dependencies,
                rename: moved,
            });
            self.delta.crates += u64::from(!text_there);
        }
        Ok(())
    }
}

/// The existing file at the path of a fetched crate, or why the crate must be rejected.
fn check_existing(layout: &Layout, arrival: &FetchedCrate) -> Result<Result<Existing, String>, Error> {
    let path = layout.crate_file(&arrival.id);
    let found = match path.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => Existing::Absent,
        Err(source) => return Err(failed("read", &path)(source)),
        Ok(about) if about.is_dir() => return Ok(Err(format!("`{}` is a folder", path.display()))),
        Ok(about) if !about.is_file() => Existing::NotAFile,
        Ok(about) if about.len() != arrival.size => Existing::Different(about.len()),
        Ok(about) => match Sha256::of_file(&path).map_err(failed("read", &path))? {
            (sha256, _) if sha256 == arrival.sha256 => Existing::Identical,
            _ => Existing::Different(about.len()),
        },
    };
    if found == Existing::Identical {
        return Ok(Ok(found));
    }
    Ok(match is_complete_file(&arrival.file, arrival.size) {
        true => Ok(found),
        false => Err("its downloaded file is missing or has another length".to_owned()),
    })
}

/// Whether the downloaded file exists with its full length.
pub(super) fn is_complete_file(file: &std::path::Path, size: u64) -> bool {
    fs::symlink_metadata(file).is_ok_and(|about| about.is_file() && about.len() == size)
}
