//! A plan carried out. The order of the steps stands on the room's page.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Change, Collected, Error, Item, Plan, tree};
use crate::durable::{self, checkpoint};
use crate::event::Sink;
use crate::index_line::IndexLine;
use crate::mirror::forgotten::Note;
use crate::mirror::layout::Layout;
use crate::mirror::link::{self, LinkState};
use crate::mirror::order::{Names, Node, dependencies_first};
use crate::mirror::reserve;
use crate::mirror::store::{Staged, Staging, failed, was_torn};

/// What a file becomes.
enum Becomes {
    Staged(Staged),
    Nothing,
}

/// A file below some root, and what it becomes.
struct Step {
    place: String,
    becomes: Becomes,
}

/// Carries out `plan`, under the lock.
pub(super) fn execute(layout: &Layout, plan: Plan, sink: &dyn Sink) -> Result<Collected, Error> {
    let collected = Collected {
        lines: plan.lines.len() as u64,
        crates: plan.crates.len() as u64,
        artifacts: plan.artifacts().count() as u64,
        bytes: plan.bytes() + plan.artifacts().map(|item| item.size).sum::<u64>(),
        waiting: plan.waiting.len() as u64,
        artifacts_waiting: plan.components_waiting.len() as u64,
    };
    checkpoint("gc:planned");
    // What a killed import left was counted for the plan, so that the mark that it left is settled too.
    if plan.is_empty() && !was_torn(layout) {
        return Ok(collected);
    }
    restore_link(layout, sink);
    let is_short = reserve::is_short(layout);
    if is_short {
        reserve::release(layout);
    }
    let mut staging = Staging::begin(layout)?;
    let index = Changes { root: layout.index(), changes: dependents_first(layout, &plan.work.index)?, goes: line_goes };
    let records = Changes { root: layout.lines(), changes: plan.work.records.iter().collect(), goes: record_goes };
    // On a disk without room, one part at a time is staged later.
    let staged = match is_short {
        true => None,
        false => Some((index.stage(&mut staging)?, records.stage(&mut staging)?)),
    };
    if staged.as_ref().is_some_and(|(index, records)| !index.is_empty() || !records.is_empty()) {
        staging.sync()?;
    }
    checkpoint("gc:staged");
    // Until the head is right again, whoever comes next counts the tree anew.
    staging.mark_placing()?;
    staging.torn = true;
    checkpoint("gc:marked");
    if is_short {
        remove_nameless(layout, &plan)?;
    }
    let now = plan.work.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    for lineage in &plan.work.forget {
        Note::write(layout, plan.work.newest_record, lineage, &now)?;
    }
    for lineage in &plan.work.accept {
        Note::accept(layout, plan.work.newest_record, lineage, &now)?;
    }
    checkpoint("gc:forgotten");
    plan.work.live.let_go_now(layout)?;
    checkpoint("gc:live");
    if let Some(removals) = &plan.work.removals {
        match removals.write(layout) {
            // Without the list the times of what waits begin anew, which a full disk is worth.
            Err(error) if is_short && reserve::is_full(&error) => {}
            written => written?,
        }
    }
    checkpoint("gc:removals");
    match &staged {
        Some((steps, _)) => change(&staging, &index.root, steps, "gc:index-half")?,
        None => index.carry_out_in_parts(&mut staging, "gc:index")?,
    }
    checkpoint("gc:index");
    match &staged {
        Some((_, steps)) => change(&staging, &records.root, steps, "gc:lines-half")?,
        None => records.carry_out_in_parts(&mut staging, "gc:lines")?,
    }
    checkpoint("gc:lines");
    remove_artifacts(layout, &plan.names, ["gc:channels-half", "gc:channels"])?;
    remove_folders(&plan.work.folders)?;
    checkpoint("gc:folders");
    remove_crates(layout, &plan)?;
    checkpoint("gc:crates");
    remove_artifacts(layout, &plan.components, ["gc:components-half", "gc:components"])?;
    remove_folders(&plan.work.artifact_folders)?;
    if let Some(artifacts) = &plan.work.artifacts {
        checkpoint("gc:components-folders");
        let written = durable::write_by(&layout.staging(), &layout.artifacts(), &artifacts.render());
        written.map_err(failed("write", &layout.artifacts()))?;
        checkpoint("gc:artifacts");
    }
    if let Some(removals) = &plan.work.removals_after {
        removals.write(layout)?;
    }
    plan.work.live.prune(layout)?;
    checkpoint("gc:settled");
    if let Some(head) = &plan.work.head {
        let written = durable::write_by(&layout.staging(), &layout.head(), &head.render());
        written.map_err(failed("write", &layout.head()))?;
    }
    checkpoint("gc:head");
    staging.torn = false;
    reserve::keep(layout, reserve::PART_AFTER);
    Ok(collected)
}

/// A folder that stands where the link to the index belongs would go on naming crates that are removed.
fn restore_link(layout: &Layout, sink: &dyn Sink) {
    let path = layout.index_link();
    let shown = path.display();
    if !matches!(link::link_state(layout), LinkState::Stale | LinkState::Elsewhere(_)) {
        return;
    }
    match link::restore(layout) {
        Ok(restored) => {
            let aside = restored.aside.map(|aside| format!("; what stood there is kept as `{}`", aside.display()));
            sink.warning(format!("`{shown}` was {}; it is made right{}", restored.before, aside.unwrap_or_default()));
        }
        Err(error) => sink.warning(format!("`{shown}` could not be made a link: {error}: {}", error.source)),
    }
}

/// Files below one root that lose versions, in the order in which they change.
struct Changes<'p> {
    root: PathBuf,
    changes: Vec<&'p Change>,
    /// Whether a line is of one of the versions that go.
    goes: fn(&[u8], &HashSet<String>) -> bool,
}

fn line_goes(line: &[u8], versions: &HashSet<String>) -> bool {
    tree::version_of(line).is_some_and(|version| versions.contains(&*version))
}

fn record_goes(line: &[u8], versions: &HashSet<String>) -> bool {
    tree::recorded_version(line).is_some_and(|version| versions.contains(version))
}

impl Changes<'_> {
    /// Stages what all of them become.
    fn stage(&self, staging: &mut Staging) -> Result<Vec<Step>, Error> {
        self.changes.iter().map(|change| self.stage_one(staging, change)).collect()
    }

    fn stage_one(&self, staging: &mut Staging, change: &Change) -> Result<Step, Error> {
        let text = tree::read(&self.root.join(&change.place))?;
        let becomes = stage(staging, &text, |line| (self.goes)(line, &change.versions))?;
        Ok(Step { place: change.place.clone(), becomes })
    }

    /// Stages and changes as many at a time as the disk has room for; each of them makes room for others.
    fn carry_out_in_parts(&self, staging: &mut Staging, name: &str) -> Result<(), Error> {
        let mut rest = self.changes.as_slice();
        let mut part = 0;
        while !rest.is_empty() {
            part += 1;
            let mut steps = Vec::new();
            for one in rest {
                match self.stage_one(staging, one) {
                    Ok(step) => steps.push(step),
                    Err(error) if reserve::is_full(&error) && !steps.is_empty() => break,
                    Err(error) => return Err(error),
                }
            }
            staging.sync()?;
            checkpoint(&format!("{name}-part-{part}"));
            change(staging, &self.root, &steps, &format!("{name}-half"))?;
            rest = rest.get(steps.len()..).unwrap_or_default();
        }
        Ok(())
    }
}

/// The index files that change; dependents come before what they depend on.
fn dependents_first<'p>(layout: &Layout, changes: &'p [Change]) -> Result<Vec<&'p Change>, Error> {
    let names = Names::of(changes.iter().filter_map(|change| change.place.rsplit('/').next()));
    let mut nodes = Vec::new();
    for Change { place, versions } in changes {
        let text = tree::read(&layout.index().join(place))?;
        let mut needs = Vec::new();
        for line in tree::lines(&text).filter(|line| line_goes(line, versions)) {
            let line = std::str::from_utf8(line).ok().and_then(|line| IndexLine::parse(line.trim_end()).ok());
            let deps = line.into_iter().flat_map(|line| line.deps);
            needs.extend(deps.filter(|dep| !dep.dev).filter_map(|dep| names.number(&dep.name)));
        }
        // Every one of them has a number: they were numbered above.
        let name = place.rsplit('/').next().and_then(|name| names.number(name)).unwrap_or(u32::MAX);
        needs.sort_unstable();
        needs.dedup();
        nodes.push(Node { name, needs: needs.into() });
    }
    Ok(dependencies_first(&nodes).into_iter().rev().map(|at| &changes[at]).collect())
}

/// Removes the crates that are due and lost their lines in an earlier run: that needs no room, and makes some.
fn remove_nameless(layout: &Layout, plan: &Plan) -> Result<(), Error> {
    let losing: HashSet<String> =
        plan.lines.iter().map(|line| format!("{}-{}.crate", line.name, line.version).to_lowercase()).collect();
    let folder = layout.crates();
    let nameless: Vec<&Item> = plan.crates.iter().filter(|item| !losing.contains(&item.file.to_lowercase())).collect();
    for (n, item) in nameless.iter().enumerate() {
        if n == nameless.len() / 2 {
            checkpoint("gc:nameless-half");
        }
        remove(&folder.join(&item.file), |path| fs::remove_file(path))?;
    }
    checkpoint("gc:nameless");
    Ok(())
}

/// Stages `text` without the lines that go.
fn stage(staging: &mut Staging, text: &[u8], goes: impl Fn(&[u8]) -> bool) -> Result<Becomes, Error> {
    let mut stays = Vec::with_capacity(text.len());
    for line in tree::lines(text).filter(|line| !goes(line)) {
        stays.extend_from_slice(line);
        stays.push(b'\n');
    }
    if stays.is_empty() {
        return Ok(Becomes::Nothing);
    }
    Ok(Becomes::Staged(staging.write(&stays)?))
}

/// Takes every step, in order, and makes the names durable.
fn change(staging: &Staging, root: &Path, steps: &[Step], midway: &str) -> Result<(), Error> {
    let mut folders: HashSet<PathBuf> = HashSet::new();
    for (n, Step { place, becomes }) in steps.iter().enumerate() {
        if n == steps.len() / 2 {
            checkpoint(midway);
        }
        let path = root.join(place);
        match becomes {
            Becomes::Staged(staged) => {
                fs::rename(staging.path(*staged), &path).map_err(failed("write", &path))?;
            }
            Becomes::Nothing => remove(&path, |path| fs::remove_file(path))?,
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
        remove(&folder.join(&item.file), |path| fs::remove_file(path))?;
    }
    Ok(durable::sync_folder(&folder).map_err(failed("sync", &folder))?)
}

/// Removes rustup artifacts in their order, and makes that durable.
fn remove_artifacts(layout: &Layout, items: &[Item], [midway, done]: [&str; 2]) -> Result<(), Error> {
    if items.is_empty() {
        return Ok(());
    }
    let mut folders: HashSet<PathBuf> = HashSet::new();
    for (n, item) in items.iter().enumerate() {
        if n == items.len() / 2 {
            checkpoint(midway);
        }
        let path = layout.root().join(&item.file);
        remove(&path, |path| fs::remove_file(path))?;
        folders.extend(path.parent().map(Path::to_owned));
    }
    let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    durable::sync_folders(layout.root(), &folders).map_err(failed("sync", layout.root()))?;
    checkpoint(done);
    Ok(())
}

/// Removes folders that were found to be left empty.
fn remove_folders(folders: &[PathBuf]) -> Result<(), Error> {
    for folder in folders {
        match fs::remove_dir(folder) {
            // Something came into it that no import brought; it is reported by the next run.
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            removed => remove(folder, |_| removed)?,
        }
    }
    Ok(())
}

/// Removes something; fine where somebody else did.
fn remove(path: &Path, how: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Error> {
    match how(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(e).into()),
        _ => Ok(()),
    }
}
