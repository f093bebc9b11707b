//! Executes a plan. The page of [`super`] lists the order of the steps.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Error, GcReport, Item, Plan, VersionRemoval, dir_scan};
use crate::durable::{self, checkpoint};
use crate::event::Sink;
use crate::index_line::IndexLine;
use crate::mirror::disk_reserve;
use crate::mirror::index_link::{self, LinkState};
use crate::mirror::layout::Layout;
use crate::mirror::retired::Retirement;
use crate::mirror::topo_sort::{NameIds, Node, dependencies_first};
use crate::mirror::transaction::{StagedFile, Staging, failed, was_interrupted};

/// The new state of a file.
enum NewContent {
    Staged(StagedFile),
    Deleted,
}

/// A file below a root, and its new state.
struct Step {
    path: String,
    new_content: NewContent,
}

/// Executes `plan` under the lock.
pub(super) fn execute(layout: &Layout, plan: Plan, sink: &dyn Sink) -> Result<GcReport, Error> {
    let collected = GcReport {
        lines: plan.lines.len() as u64,
        crates: plan.crates.len() as u64,
        dist_files: plan.dist_files().count() as u64,
        bytes: plan.bytes() + plan.dist_files().map(|item| item.size).sum::<u64>(),
        pending: plan.pending_crates.len() as u64,
        pending_dist_files: plan.pending_components.len() as u64,
    };
    checkpoint("gc:planned");
    // The plan counted the files of a killed import, so its mark must be resolved too.
    if plan.is_empty() && !was_interrupted(layout) {
        return Ok(collected);
    }
    restore_link(layout, sink);
    let is_short = disk_reserve::is_low_on_space(layout);
    if is_short {
        disk_reserve::release(layout);
    }
    let mut staging = Staging::begin(layout)?;
    let index = FileRewrites {
        root: layout.index(),
        changes: dependents_first(layout, &plan.changes.index_lines)?,
        is_removed: is_removed_line,
    };
    let records = FileRewrites {
        root: layout.index_meta(),
        changes: plan.changes.index_meta.iter().collect(),
        is_removed: is_removed_meta,
    };
    // On a full disk, parts are staged one at a time later.
    let staged = match is_short {
        true => None,
        false => Some((index.stage(&mut staging)?, records.stage(&mut staging)?)),
    };
    if staged.as_ref().is_some_and(|(index, records)| !index.is_empty() || !records.is_empty()) {
        staging.sync()?;
    }
    checkpoint("gc:staged");
    // Until the summary is correct again, the next process counts the files anew.
    staging.mark_in_progress()?;
    staging.interrupted = true;
    checkpoint("gc:marked");
    if is_short {
        remove_unlisted_crates(layout, &plan)?;
    }
    let now = plan.changes.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    for lineage in &plan.changes.retire {
        Retirement::write(layout, plan.changes.newest_record, lineage, &now)?;
    }
    for lineage in &plan.changes.accept {
        Retirement::write_accepted(layout, plan.changes.newest_record, lineage, &now)?;
    }
    checkpoint("gc:forgotten");
    plan.changes.live.write_retirements(layout)?;
    checkpoint("gc:live");
    if let Some(removals) = &plan.changes.pending_during {
        match removals.write(layout) {
            // Without the list, the grace periods of pending files restart, which is acceptable on a full disk.
            Err(error) if is_short && disk_reserve::is_full(&error) => {}
            written => written?,
        }
    }
    checkpoint("gc:removals");
    match &staged {
        Some((steps, _)) => apply_steps(&staging, &index.root, steps, "gc:index-half")?,
        None => index.apply_in_parts(&mut staging, "gc:index")?,
    }
    checkpoint("gc:index");
    match &staged {
        Some((_, steps)) => apply_steps(&staging, &records.root, steps, "gc:lines-half")?,
        None => records.apply_in_parts(&mut staging, "gc:lines")?,
    }
    checkpoint("gc:lines");
    remove_dist_files(layout, &plan.mutable_files, ["gc:channels-half", "gc:channels"])?;
    remove_folders(&plan.changes.folders)?;
    checkpoint("gc:folders");
    remove_crates(layout, &plan)?;
    checkpoint("gc:crates");
    remove_dist_files(layout, &plan.components, ["gc:components-half", "gc:components"])?;
    remove_folders(&plan.changes.dist_folders)?;
    if let Some(artifacts) = &plan.changes.dist_files {
        checkpoint("gc:components-folders");
        let written = durable::write_via(&layout.staging(), &layout.dist_files(), &artifacts.render());
        written.map_err(failed("write", &layout.dist_files()))?;
        checkpoint("gc:artifacts");
    }
    if let Some(removals) = &plan.changes.pending_after {
        removals.write(layout)?;
    }
    plan.changes.live.prune_retired(layout)?;
    checkpoint("gc:settled");
    if let Some(head) = &plan.changes.summary {
        let written = durable::write_via(&layout.staging(), &layout.summary(), &head.render());
        written.map_err(failed("write", &layout.summary()))?;
    }
    checkpoint("gc:head");
    staging.interrupted = false;
    disk_reserve::maintain(layout, disk_reserve::SHARE_AFTER_GC);
    Ok(collected)
}

/// Restores the index link. A folder in its place would still list removed crates.
fn restore_link(layout: &Layout, sink: &dyn Sink) {
    let path = layout.index_link();
    let shown = path.display();
    if !matches!(index_link::link_state(layout), LinkState::NotALink | LinkState::WrongTarget(_)) {
        return;
    }
    match index_link::restore(layout) {
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

fn is_removed_line(line: &[u8], versions: &HashSet<String>) -> bool {
    dir_scan::version_of(line).is_some_and(|version| versions.contains(&*version))
}

fn is_removed_meta(line: &[u8], versions: &HashSet<String>) -> bool {
    dir_scan::version_of_meta(line).is_some_and(|version| versions.contains(version))
}

impl FileRewrites<'_> {
    /// Stages the new content of all files.
    fn stage(&self, staging: &mut Staging) -> Result<Vec<Step>, Error> {
        self.changes.iter().map(|change| self.stage_one(staging, change)).collect()
    }

    fn stage_one(&self, staging: &mut Staging, change: &VersionRemoval) -> Result<Step, Error> {
        let text = dir_scan::read_or_empty(&self.root.join(&change.path))?;
        let becomes = stage_without(staging, &text, |line| (self.is_removed)(line, &change.versions))?;
        Ok(Step { path: change.path.clone(), new_content: becomes })
    }

    /// Stages and applies as many files at a time as fit on the disk. Each part frees space for the next.
    fn apply_in_parts(&self, staging: &mut Staging, name: &str) -> Result<(), Error> {
        let mut rest = self.changes.as_slice();
        let mut part = 0;
        while !rest.is_empty() {
            part += 1;
            let mut steps = Vec::new();
            for one in rest {
                match self.stage_one(staging, one) {
                    Ok(step) => steps.push(step),
                    Err(error) if disk_reserve::is_full(&error) && !steps.is_empty() => break,
                    Err(error) => return Err(error),
                }
            }
            staging.sync()?;
            checkpoint(&format!("{name}-part-{part}"));
            apply_steps(staging, &self.root, &steps, &format!("{name}-half"))?;
            rest = rest.get(steps.len()..).unwrap_or_default();
        }
        Ok(())
    }
}

/// The index files to change; dependents come before their dependencies.
fn dependents_first<'p>(layout: &Layout, changes: &'p [VersionRemoval]) -> Result<Vec<&'p VersionRemoval>, Error> {
    let names = NameIds::from_names(changes.iter().filter_map(|change| change.path.rsplit('/').next()));
    let mut nodes = Vec::new();
    for VersionRemoval { path: place, versions } in changes {
        let text = dir_scan::read_or_empty(&layout.index().join(place))?;
        let mut needs = Vec::new();
        for line in dir_scan::nonempty_lines(&text).filter(|line| is_removed_line(line, versions)) {
            let line = std::str::from_utf8(line).ok().and_then(|line| IndexLine::parse(line.trim_end()).ok());
            let deps = line.into_iter().flat_map(|line| line.deps);
            needs.extend(deps.filter(|dep| !dep.dev).filter_map(|dep| names.id(&dep.name)));
        }
        // Every name has a number, assigned above.
        let name = place.rsplit('/').next().and_then(|name| names.id(name)).unwrap_or(u32::MAX);
        needs.sort_unstable();
        needs.dedup();
        nodes.push(Node { id: name, dependencies: needs.into() });
    }
    Ok(dependencies_first(&nodes).into_iter().rev().map(|at| &changes[at]).collect())
}

/// Removes crates that are due and lost their lines in an earlier run. That needs no space and frees some.
fn remove_unlisted_crates(layout: &Layout, plan: &Plan) -> Result<(), Error> {
    let losing: HashSet<String> =
        plan.lines.iter().map(|line| format!("{}-{}.crate", line.name, line.version).to_lowercase()).collect();
    let folder = layout.crates();
    let nameless: Vec<&Item> = plan.crates.iter().filter(|item| !losing.contains(&item.file.to_lowercase())).collect();
    for (n, item) in nameless.iter().enumerate() {
        if n == nameless.len() / 2 {
            checkpoint("gc:nameless-half");
        }
        remove_if_present(&folder.join(&item.file), |path| fs::remove_file(path))?;
    }
    checkpoint("gc:nameless");
    Ok(())
}

/// Stages `text` without the removed lines.
fn stage_without(staging: &mut Staging, text: &[u8], is_removed: impl Fn(&[u8]) -> bool) -> Result<NewContent, Error> {
    let mut stays = Vec::with_capacity(text.len());
    for line in dir_scan::nonempty_lines(text).filter(|line| !is_removed(line)) {
        stays.extend_from_slice(line);
        stays.push(b'\n');
    }
    if stays.is_empty() {
        return Ok(NewContent::Deleted);
    }
    Ok(NewContent::Staged(staging.write(&stays)?))
}

/// Applies every step in order, and makes the names durable.
fn apply_steps(staging: &Staging, root: &Path, steps: &[Step], midway: &str) -> Result<(), Error> {
    let mut folders: HashSet<PathBuf> = HashSet::new();
    for (n, Step { path: place, new_content: becomes }) in steps.iter().enumerate() {
        if n == steps.len() / 2 {
            checkpoint(midway);
        }
        let path = root.join(place);
        match becomes {
            NewContent::Staged(staged) => {
                fs::rename(staging.path(*staged), &path).map_err(failed("write", &path))?;
            }
            NewContent::Deleted => remove_if_present(&path, |path| fs::remove_file(path))?,
        }
        folders.extend(path.parent().map(Path::to_owned));
    }
    let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    Ok(durable::sync_folders(root, &folders).map_err(failed("sync", root))?)
}

fn remove_crates(layout: &Layout, plan: &Plan) -> Result<(), Error> {
    if plan.crates.is_empty() {
        return Ok(());
    }
    let folder = layout.crates();
    for (n, item) in plan.crates.iter().enumerate() {
        if n == plan.crates.len() / 2 {
            checkpoint("gc:crates-half");
        }
        remove_if_present(&folder.join(&item.file), |path| fs::remove_file(path))?;
    }
    Ok(durable::sync_folder(&folder).map_err(failed("sync", &folder))?)
}

/// Removes dist files in their order, and makes that durable.
fn remove_dist_files(layout: &Layout, items: &[Item], [midway, done]: [&str; 2]) -> Result<(), Error> {
    if items.is_empty() {
        return Ok(());
    }
    let mut folders: HashSet<PathBuf> = HashSet::new();
    for (n, item) in items.iter().enumerate() {
        if n == items.len() / 2 {
            checkpoint(midway);
        }
        let path = layout.root().join(&item.file);
        remove_if_present(&path, |path| fs::remove_file(path))?;
        folders.extend(path.parent().map(Path::to_owned));
    }
    let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    durable::sync_folders(layout.root(), &folders).map_err(failed("sync", layout.root()))?;
    checkpoint(done);
    Ok(())
}

/// Removes folders that have become empty.
fn remove_folders(folders: &[PathBuf]) -> Result<(), Error> {
    for folder in folders {
        match fs::remove_dir(folder) {
            // A file that no import brought appeared in it; the next run reports it.
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            removed => remove_if_present(folder, |_| removed)?,
        }
    }
    Ok(())
}

/// Removes a file or folder; it may already be gone.
fn remove_if_present(path: &Path, how: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Error> {
    match how(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(e).into()),
        _ => Ok(()),
    }
}
