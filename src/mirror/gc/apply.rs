//! Executes a plan. The page of [`super`] describes the steps.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::dropped_records::DroppedRange;
use super::error::Error;
use super::index_entry;
use super::plan::{Plan, VersionRemoval};
use super::rejected_bundle::RejectedRecord;
use crate::event::Sink;
use crate::index_line::IndexLine;
use crate::mirror::disk_reserve;
use crate::mirror::guard::WriteGuard;
use crate::mirror::index_link::{self, LinkState};
use crate::mirror::item::{StoredItem, total_size};
use crate::mirror::layout::Layout;
use crate::mirror::retired::Retirement;
use crate::mirror::summary::BundleToImport;
use crate::mirror::topo_sort::{NameIds, Node, dependencies_first};
use crate::mirror::transaction::{Staging, Transaction, counts_are_stale, delete_folder, delete_unreferenced};
use crate::units::{format_time, is_zero};

/// What the changes belong to, for messages.
const WHAT: &str = "the garbage collection";

/// The result of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GcReport {
    /// Removed index lines.
    pub lines: u64,
    /// Removed crates.
    pub crates: u64,
    /// Removed dist files.
    #[serde(rename = "artifacts")]
    pub dist_files: u64,
    /// Total bytes of the removed crates and dist files.
    pub bytes: u64,
    /// Crates with a pending removal.
    #[serde(rename = "waiting")]
    pub pending: u64,
    /// Dist files with a pending removal.
    #[serde(rename = "artifacts_waiting")]
    pub pending_dist_files: u64,
    /// Index lines that a rejected bundle may have brought. The next line of a bundle replaces each.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default)]
    pub reset_lines: u64,
    /// The bundles whose next import restores what rejected bundles replaced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    #[serde(rename = "import_again")]
    pub to_import: Vec<BundleToImport>,
}

/// Executes `plan` under the lock: in one transaction, or piece by piece on a nearly full disk.
pub(super) fn execute(guard: &WriteGuard, plan: Plan, sink: &dyn Sink) -> Result<GcReport, Error> {
    let layout = guard.layout();
    let collected = GcReport {
        lines: plan.lines.len() as u64,
        crates: plan.crates().count() as u64,
        dist_files: plan.dist_files().count() as u64,
        bytes: total_size(&plan.removals),
        pending: plan.pending_crates().count() as u64,
        pending_dist_files: plan.pending_dist_files().count() as u64,
        reset_lines: plan.reset_lines.len() as u64,
        to_import: plan.to_import.clone(),
    };
    // The plan counted the files, so a mark of wrong counts must be resolved too.
    if !plan.is_empty() || counts_are_stale(layout) {
        restore_link(guard, sink);
        match disk_reserve::is_low_on_space(layout) {
            true => execute_on_full_disk(guard, &plan)?,
            false => match execute_at_once(guard, &plan) {
                // The user's quota is full, and not the disk.
                Err(error) if can_retry(layout, &error) => execute_on_full_disk(guard, &plan)?,
                executed => executed?,
            },
        }
    }
    disk_reserve::maintain(guard, disk_reserve::SHARE_AFTER_GC);
    Ok(collected)
}

/// Whether the disk was too full, and the mirror has no unfinished transaction.
fn can_retry(layout: &Layout, error: &Error) -> bool {
    disk_reserve::is_full(error) && layout.journal().symlink_metadata().is_err()
}

/// Executes the plan in parts. If the disk has no space for that, removes live mode's cached index files of upstream,
/// which live mode fetches again, and tries once more.
fn execute_on_full_disk(guard: &WriteGuard, plan: &Plan) -> Result<(), Error> {
    let layout = guard.layout();
    guard.remove_stale_partial_files()?;
    match execute_in_parts(guard, plan) {
        Err(error) if can_retry(layout, &error) && layout.live_index().is_dir() => {
            delete_folder(guard, &layout.live_index())?;
            execute_in_parts(guard, plan)
        }
        executed => executed,
    }
}

fn execute_at_once(guard: &WriteGuard, plan: &Plan) -> Result<(), Error> {
    let layout = guard.layout();
    let mut tx = Transaction::begin(guard, WHAT)?;
    stage_notes(layout, plan, &mut tx, false)?;
    let (index, records) = rewrites(layout, plan)?;
    index.stage(&mut tx, &index.changes)?;
    records.stage(&mut tx, &records.changes)?;
    plan.removals.iter().try_for_each(|item| tx.delete(&item.id.file(layout)))?;
    removed_folders(plan).for_each(|path| tx.remove_folder(path));
    plan.changes.live.stage(layout, &mut tx)?;
    stage_lists(layout, plan, &mut tx)?;
    tx.staging.counts_are_stale = false;
    Ok(tx.commit()?)
}

/// On a nearly full disk, nothing is staged ahead. The removals that need no new file come first, and each part frees
/// space for the next. A kill in between leaves the mirror consistent. The next run determines the rest from the files, and
/// until then a mark says that the counts are wrong.
fn execute_in_parts(guard: &WriteGuard, plan: &Plan) -> Result<(), Error> {
    let layout = guard.layout();
    disk_reserve::release(guard);
    let mut staging = Staging::begin(guard)?;
    staging.mark_counts_stale()?;
    staging.counts_are_stale = true;
    drop(staging);
    delete_unreferenced(guard, unlisted_crates(layout, plan))?;
    let mut tx = Transaction::begin(guard, WHAT)?;
    tx.without_backups();
    stage_notes(layout, plan, &mut tx, true)?;
    plan.changes.live.stage_retirement(layout, &mut tx)?;
    tx.commit()?;
    // No index file names a dist file.
    delete_unreferenced(guard, plan.dist_files().map(|item| item.id.file(layout)))?;
    let (mut index, mut records) = rewrites(layout, plan)?;
    delete_whole_files(guard, plan, &mut index, &mut records)?;
    index.apply_in_parts(guard)?;
    records.apply_in_parts(guard)?;
    let folders = removed_folders(plan).map(Path::to_owned);
    delete_unreferenced(guard, plan.removals.iter().map(|item| item.id.file(layout)).chain(folders))?;
    let mut tx = Transaction::begin(guard, WHAT)?;
    tx.without_backups();
    plan.changes.live.stage(layout, &mut tx)?;
    stage_lists(layout, plan, &mut tx)?;
    tx.staging.counts_are_stale = false;
    Ok(tx.commit()?)
}

/// Removes index files that lose all their lines, then the records of these lines, and then the crates that are due. A file
/// stays for later if another one that stays for later still depends on it.
fn delete_whole_files<'p>(
    guard: &WriteGuard,
    plan: &'p Plan,
    index: &mut FileRewrites<'p>,
    records: &mut FileRewrites<'p>,
) -> Result<(), Error> {
    let layout = guard.layout();
    let mut deleted: HashSet<&str> = HashSet::new();
    let mut needed_later: HashSet<String> = HashSet::new();
    for &change in &index.changes {
        let text = index_entry::read_or_empty(&index.root.join(&change.path))?;
        let name = change.path.rsplit('/').next().unwrap_or_default();
        if index.loses_all(&text, change) && !needed_later.contains(name) {
            deleted.insert(&change.path);
        } else {
            needed_later.extend(removed_dependencies(&text, change).map(|name| name.to_lowercase()));
        }
    }
    index.delete_whole(guard, &deleted)?;
    records.delete_whole(guard, &deleted)?;
    let is_unlisted =
        |item: &&StoredItem| item.id.crate_id().is_some_and(|id| deleted.contains(id.name.index_path().as_str()));
    delete_unreferenced(guard, plan.crates().filter(is_unlisted).map(|item| item.id.file(layout)))?;
    Ok(())
}

/// The notes of retired lineages, and of accepted and rejected bundles.
fn stage_notes(layout: &Layout, plan: &Plan, tx: &mut Transaction<'_>, in_parts: bool) -> Result<(), Error> {
    let now = format_time(plan.changes.now);
    for lineage in &plan.changes.retire {
        Retirement::stage(layout, tx, plan.changes.newest_record, lineage, &now)?;
    }
    for lineage in &plan.changes.accept {
        Retirement::stage_accepted(layout, tx, plan.changes.newest_record, lineage, &now)?;
    }
    let is_dropped = |record: &str| plan.changes.dropped.records.contains(record);
    // On a full disk, the records are removed by the last transaction.
    let rejected = plan.changes.reject.iter().filter(|one| in_parts || !is_dropped(&one.tip.record));
    for RejectedRecord { tip, accepted } in rejected {
        Retirement::stage_rejected(layout, tx, plan.changes.newest_record, tip, *accepted, &now)?;
    }
    Ok(())
}

/// The record of dist files, the list of pending removals, the records of rejected snapshots, and the summary.
fn stage_lists(layout: &Layout, plan: &Plan, tx: &mut Transaction<'_>) -> Result<(), Error> {
    let dropped = &plan.changes.dropped;
    for DroppedRange { snapshot, file, first, last } in &dropped.ranges {
        let (after, now) = (plan.changes.newest_record, format_time(plan.changes.now));
        Retirement::stage_dropped(layout, tx, after, snapshot, [*first, *last], file, &now)?;
    }
    if !dropped.is_empty() {
        let names = dropped.notes(layout)?;
        names.iter().chain(&dropped.records).try_for_each(|name| tx.delete(&layout.ledger().join(name)))?;
    }
    if let Some(dist_files) = &plan.changes.dist_files {
        tx.put_bytes(&layout.dist_files(), &dist_files.render())?;
    }
    if let Some(pending) = &plan.changes.pending {
        pending.stage(layout, tx)?;
    }
    if let Some(pending_lines) = &plan.changes.pending_lines {
        tx.put_bytes(&layout.pending_lines(), pending_lines.render().as_bytes())?;
    }
    if let Some(summary) = &plan.changes.summary {
        tx.put_bytes(&layout.summary(), &summary.render())?;
    }
    Ok(())
}

/// Folders that become empty, nested ones first.
fn removed_folders(plan: &Plan) -> impl Iterator<Item = &Path> {
    plan.changes.folders.iter().chain(&plan.changes.dist_folders).map(PathBuf::as_path)
}

/// Crates that are due and lost their lines in an earlier run.
fn unlisted_crates<'p>(layout: &'p Layout, plan: &'p Plan) -> impl Iterator<Item = PathBuf> + use<'p> {
    let losing: HashSet<String> =
        plan.lines.iter().map(|line| format!("{}-{}.crate", line.name, line.version).to_lowercase()).collect();
    let is_unlisted = move |item: &&StoredItem| !losing.contains(&item.id.key().to_lowercase());
    plan.crates().filter(is_unlisted).map(|item| item.id.file(layout))
}

/// Restores the index link. A folder in its place would still list removed crates.
fn restore_link(guard: &WriteGuard, sink: &dyn Sink) {
    let layout = guard.layout();
    let path = layout.index_link();
    let shown = path.display();
    if !matches!(index_link::link_state(layout), LinkState::NotALink | LinkState::WrongTarget(_)) {
        return;
    }
    match index_link::restore(guard) {
        Ok(restored) => {
            let aside =
                restored.moved_to.map(|aside| format!("; the previous content was moved to `{}`", aside.display()));
            sink.warning(format!(
                "`{shown}` was {}; the link is restored{}",
                restored.previous,
                aside.unwrap_or_default()
            ));
        }
        Err(error) => sink.warning(format!("could not restore the link `{shown}`: {error}: {}", error.source)),
    }
}

/// Files below one root that lose versions, in the order in which they change.
struct FileRewrites<'p> {
    root: PathBuf,
    changes: Vec<&'p VersionRemoval>,
    /// Whether a line belongs to one of the removed versions.
    is_removed: fn(&[u8], &HashSet<String>) -> bool,
}

/// The index files, dependents first, and the records of their lines.
fn rewrites<'p>(layout: &Layout, plan: &'p Plan) -> Result<(FileRewrites<'p>, FileRewrites<'p>), Error> {
    let index = FileRewrites {
        root: layout.index(),
        changes: dependents_first(layout, &plan.changes.index_lines)?,
        is_removed: is_removed_line,
    };
    let changes = plan.changes.index_meta.iter().collect();
    Ok((index, FileRewrites { root: layout.index_meta(), changes, is_removed: is_removed_meta }))
}

fn is_removed_line(line: &[u8], versions: &HashSet<String>) -> bool {
    index_entry::version_of(line).is_some_and(|version| versions.contains(&*version))
}

fn is_removed_meta(line: &[u8], versions: &HashSet<String>) -> bool {
    index_entry::version_of_meta(line).is_some_and(|version| versions.contains(version))
}

impl FileRewrites<'_> {
    /// Whether a file with this text loses all its lines.
    fn loses_all(&self, text: &[u8], change: &VersionRemoval) -> bool {
        index_entry::nonempty_lines(text).all(|line| (self.is_removed)(line, &change.versions))
    }

    /// Deletes those of the files at `paths` that lose all their lines.
    fn delete_whole(&mut self, guard: &WriteGuard, paths: &HashSet<&str>) -> Result<(), Error> {
        let mut whole = HashSet::new();
        for change in self.changes.iter().filter(|change| paths.contains(change.path.as_str())) {
            let path = self.root.join(&change.path);
            if self.loses_all(&index_entry::read_or_empty(&path)?, change) {
                whole.insert(path);
            }
        }
        let in_order = self.changes.iter().map(|change| self.root.join(&change.path));
        delete_unreferenced(guard, in_order.filter(|path| whole.contains(path)))?;
        self.changes.retain(|change| !whole.contains(&self.root.join(&change.path)));
        Ok(())
    }

    /// Adds the new content of these files to a transaction.
    fn stage(&self, tx: &mut Transaction<'_>, changes: &[&VersionRemoval]) -> Result<(), Error> {
        for VersionRemoval { path, versions, reset } in changes {
            let path = self.root.join(path);
            let text = index_entry::read_or_empty(&path)?;
            let mut stays = Vec::with_capacity(text.len());
            for line in index_entry::nonempty_lines(&text).filter(|line| !(self.is_removed)(line, versions)) {
                match index_entry::revoke(line, reset) {
                    Some(record) => stays.extend_from_slice(record.as_bytes()),
                    None => {
                        stays.extend_from_slice(line);
                        stays.push(b'\n');
                    }
                }
            }
            match stays.is_empty() {
                true => tx.delete(&path)?,
                false => tx.put_reduced(&path, &stays)?,
            }
        }
        Ok(())
    }

    /// Changes as many files at a time as fit on the disk.
    fn apply_in_parts(&self, guard: &WriteGuard) -> Result<(), Error> {
        let (mut rest, mut count) = (self.changes.as_slice(), self.changes.len());
        while !rest.is_empty() {
            let (part, later) = rest.split_at(count.min(rest.len()));
            match self.apply_part(guard, part) {
                Err(error) if disk_reserve::is_full(&error) && part.len() > 1 => count = part.len() / 2,
                applied => {
                    applied?;
                    rest = later;
                }
            }
        }
        Ok(())
    }

    fn apply_part(&self, guard: &WriteGuard, part: &[&VersionRemoval]) -> Result<(), Error> {
        let mut tx = Transaction::begin(guard, WHAT)?;
        tx.without_backups();
        self.stage(&mut tx, part)?;
        Ok(tx.commit()?)
    }
}

/// The index files to change; dependents come before their dependencies.
fn dependents_first<'p>(layout: &Layout, changes: &'p [VersionRemoval]) -> Result<Vec<&'p VersionRemoval>, Error> {
    let names = NameIds::from_names(changes.iter().filter_map(|change| change.path.rsplit('/').next()));
    let mut nodes = Vec::new();
    for change in changes {
        let text = index_entry::read_or_empty(&layout.index().join(&change.path))?;
        let mut needs: Vec<u32> = removed_dependencies(&text, change).filter_map(|name| names.id(&name)).collect();
        // Every name has a number, assigned above.
        let name = change.path.rsplit('/').next().and_then(|name| names.id(name)).unwrap_or(u32::MAX);
        needs.sort_unstable();
        needs.dedup();
        nodes.push(Node { id: name, dependencies: needs.into() });
    }
    Ok(dependencies_first(&nodes).into_iter().rev().map(|at| &changes[at]).collect())
}

/// The names of the crates that the removed lines of an index file depend on.
fn removed_dependencies(text: &[u8], change: &VersionRemoval) -> impl Iterator<Item = String> {
    let removed = index_entry::nonempty_lines(text).filter(move |line| is_removed_line(line, &change.versions));
    let parsed = removed.filter_map(|line| IndexLine::parse(std::str::from_utf8(line).ok()?.trim_end()).ok());
    parsed.flat_map(|line| line.deps).filter(|dep| !dep.dev).map(|dep| dep.name)
}
