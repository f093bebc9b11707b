//! Decides which crates of a batch to store, and merges their lines into index files.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::{Batch, Rejection, is_complete_file};
use super::{FetchedCrate, IndexUpdate, ItemId};
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::event::Sink;
use crate::index_line::IndexLine;
use crate::mirror::existing_file::ExistingFile;
use crate::mirror::index_changes::{IndexChanges, IndexOnDisk};
use crate::mirror::index_merge::{self, NewLine};
use crate::mirror::layout::Layout;
use crate::mirror::line_conflict::{ConflictJudge, Decision};
use crate::mirror::summary::CountsDelta;
use crate::mirror::topo_sort::NameIds;
use crate::mirror::transaction::{Error, Transaction, failed};
use crate::units::pluralize;

/// The staged crates and lines of a batch.
#[derive(Default)]
pub(super) struct StagedCrates<'b> {
    /// The number of crates whose files are staged.
    pub(super) crates: u64,
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
    tx: &mut Transaction<'_>,
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
    let names = batch.crates.iter().map(|one| &one.id).chain(batch.index_updates.iter().map(|one| &one.line.id));
    let mut index = IndexChanges::new(NameIds::from_names(names.map(|id| id.name.as_str())));
    let mut changed: Vec<CrateName> = Vec::new();
    for (arrivals, renewals) in by_index_path.into_values() {
        changed.extend(staged.merge_crate(layout, tx, &mut index, arrivals, renewals, sink)?);
    }
    staged.changed_names = index.put(tx)?.into_iter().map(|at| changed[at].clone()).collect();
    staged.delta.crates = index.names_added;
    staged.needs_recount |= index.files_lost || staged.delta.versions != index.newly_stored;
    Ok(staged)
}

impl<'b> StagedCrates<'b> {
    fn reject(&mut self, id: &CrateId, why: impl Into<String>) {
        self.rejected.push(Rejection { item: ItemId::Crate(id.clone()), reason: why.into() });
    }

    /// Merges the lines of one index file, and stages its crates. Returns the name if the index file changes.
    fn merge_crate(
        &mut self,
        layout: &Layout,
        tx: &mut Transaction<'_>,
        index: &mut IndexChanges,
        arrivals: Vec<&'b FetchedCrate>,
        renewals: Vec<&'b IndexUpdate>,
        sink: &dyn Sink,
    ) -> Result<Option<CrateName>, Error> {
        let ids = arrivals.iter().map(|one| &one.id).chain(renewals.iter().map(|one| &one.line.id));
        let Some(name) = ids.map(|id| id.name.clone()).next() else { return Ok(None) };
        let on_disk = IndexOnDisk::read(layout, &name)?;
        let stored = &on_disk.file;
        // Without the lines that gave way.
        let (mut believed, mut false_lines) = (stored.clone(), BTreeSet::new());
        let mut judge = ConflictJudge::new(layout, "upstream's");
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
        let mut try_with = |incoming: &mut Vec<NewLine>, one: NewLine| -> Result<Result<(), String>, Error> {
            incoming.push(one);
            loop {
                let conflict = match index_merge::merge_over(&believed, incoming.clone(), &false_lines) {
                    Ok(whole) => {
                        merged = Some(whole);
                        return Ok(Ok(()));
                    }
                    Err(conflict) => conflict,
                };
                match judge.decide(&conflict, &mut believed, incoming, &mut false_lines)? {
                    Decision::Replace(warning) => sink.warning(warning),
                    Decision::Refuse(refusal) => {
                        incoming.pop();
                        return Ok(Err(refusal.text));
                    }
                }
            }
        };
        // One at a time, so that a contradictory line is rejected without the others.
        let mut sound = Vec::new();
        for (arrival, found) in existing {
            let one =
                NewLine { line: arrival.line.clone(), read_at: arrival.read_at, index_only: false, is_refresh: false };
            match try_with(&mut incoming, one)? {
                Ok(()) => sound.push((arrival, found)),
                Err(why) => self.reject(&arrival.id, why),
            }
        }
        let mut renewed = Vec::new();
        for renewal in renewals {
            let one =
                NewLine { line: renewal.line.clone(), read_at: renewal.read_at, index_only: false, is_refresh: false };
            match try_with(&mut incoming, one)? {
                Ok(()) => renewed.push(renewal),
                Err(why) => sink.detail("Rejected", format!("upstream's new index line of {}: {why}", renewal.line.id)),
            }
        }
        let Some(merged) = merged else { return Ok(None) };
        for (arrival, found) in sound {
            self.stage_crate(layout, tx, arrival, found)?;
        }
        if merged.text != stored.text {
            let is_news = |renewal: &&IndexUpdate| !stored.text.lines().any(|line| line == renewal.line.raw);
            self.updates.extend(renewed.into_iter().filter(is_news));
        }
        if merged.damaged_lines > 0 {
            sink.warning(format!(
                "dropped or replaced {} of `{}`",
                pluralize(merged.damaged_lines, "damaged line"),
                layout.index_file(&name).display()
            ));
        }
        // Of several spellings, that of the first merged line counts.
        let name = incoming.first().map_or(name, |first| first.line.id.name.clone());
        Ok(index.add(layout, tx, &name, &on_disk, &merged)?.then_some(name))
    }

    fn stage_crate(
        &mut self,
        layout: &Layout,
        tx: &mut Transaction<'_>,
        arrival: &'b FetchedCrate,
        found: Existing,
    ) -> Result<(), Error> {
        self.accepted.push(arrival);
        if found == Existing::Identical {
            self.already_stored += 1;
            return Ok(());
        }
        let staged = tx.staging.hard_link(&arrival.file)?;
        tx.put(&layout.crate_file(&arrival.id), staged)?;
        self.crates += 1;
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
}

/// The existing file at the path of a fetched crate, or why the crate must be rejected.
fn check_existing(layout: &Layout, arrival: &FetchedCrate) -> Result<Result<Existing, String>, Error> {
    let path = layout.crate_file(&arrival.id);
    let found = match ExistingFile::open(&path)? {
        ExistingFile::Absent => Existing::Absent,
        ExistingFile::Folder => return Ok(Err(format!("`{}` is a folder", path.display()))),
        ExistingFile::NotAFile => Existing::NotAFile,
        ExistingFile::File { length, .. } if length != arrival.size => Existing::Different(length),
        ExistingFile::File { file, length } => match Sha256::of_reader(file).map_err(failed("read", &path))?.0 {
            sha256 if sha256 == arrival.sha256 => return Ok(Ok(Existing::Identical)),
            _ => Existing::Different(length),
        },
    };
    Ok(match is_complete_file(&arrival.file, arrival.size) {
        true => Ok(found),
        false => Err("its downloaded file is missing or has another length".to_owned()),
    })
}
