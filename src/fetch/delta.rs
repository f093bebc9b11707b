//! Decides which files a delta omits, based on the history of files that were sent.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use crate::bundle::open::open_any;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::event::Sink;
use crate::fetch::error::Error;
use crate::fetch::history::{BundlePlan, DeltaBase, EMPTY_BASE, History, LockedHistory};
use crate::fetch::options::{Mode, Options};
use crate::fetch::resolve::{self, Resolution};
use crate::fetch::toolchain_plan::ToolchainPlan;
use crate::inputs::lockfile::Lockfile;
use crate::safe_path::SafePath;

/// The history of an incremental run. It stays locked for the whole run, because it decides which downloads are
/// omitted.
pub struct IncrementalState {
    /// The history.
    pub history: LockedHistory,
    /// The base: files that need not be sent.
    pub base: DeltaBase,
}

/// Opens the history if the run is incremental. May wait for another process.
pub async fn open_incremental(options: &Options, sink: &Arc<dyn Sink>) -> Result<Option<IncrementalState>, Error> {
    let Mode::Incremental { base } = &options.mode else {
        return Ok(None);
    };
    let name = base.as_deref().map(|base| resolve_bundle_name(base, options)).transpose()?;
    let history = open_history(options, sink).await?;
    let base = find_base(&history, name, options, sink.as_ref())?;
    Ok(Some(IncrementalState { history, base }))
}

/// Waits until no other process has the history open, and opens it.
pub async fn open_history(options: &Options, sink: &Arc<dyn Sink>) -> Result<LockedHistory, Error> {
    let (folder, verb, to) = (options.history.clone(), options.environment.verb, Arc::clone(sink));
    let opening = tokio::task::spawn_blocking(move || LockedHistory::open(&folder, verb, to.as_ref()));
    Ok(opening.await.map_err(Error::Worker)??)
}

/// The base of a dry run; `history` was read without a lock.
pub fn peek_base(history: &History, options: &Options, sink: &dyn Sink) -> Result<Option<DeltaBase>, Error> {
    let Mode::Incremental { base } = &options.mode else {
        return Ok(None);
    };
    let name = base.as_deref().map(|base| resolve_bundle_name(base, options)).transpose()?;
    find_base(history, name, options, sink).map(Some)
}

/// Crates of other inputs that the base lacks. They were sent after it, and are sent again.
pub fn missing_from_base(plan: &BundlePlan, base: &DeltaBase, resolved: &Resolution) -> BTreeMap<CrateId, Sha256> {
    let missing = plan
        .crates
        .iter()
        .filter(|(id, stored)| !resolved.crates.contains_key(*id) && !base.has_crate(id, stored.sha256));
    missing.map(|(id, stored)| (id.clone(), stored.sha256)).collect()
}

/// A dist file that the base lacks and that is not sent again.
pub fn dist_file_missing_from_base(
    plan: &BundlePlan,
    base: &DeltaBase,
    toolchains: &ToolchainPlan,
) -> Option<SafePath> {
    let is_sent = |path: &SafePath| toolchains.downloads.files.get(path).is_some_and(|needed| needed.bytes.is_some());
    let mut missing = plan.dist_files.values().filter(|stored| !base.has_dist_file(&stored.path, stored.sha256));
    missing.find(|stored| !is_sent(&stored.path)).map(|stored| stored.path.clone())
}

/// Exactly these crates, in the form of a lock.
pub fn pinned_input(crates: BTreeMap<CrateId, Sha256>, base: &DeltaBase) -> resolve::Input {
    let after = base.bundle.as_ref().map_or("the beginning", |bundle| bundle.file.as_str());
    resolve::Input::Lockfile(Lockfile::of_packages(crates, format!("what was sent after {after}").into()))
}

/// The name in the history of the bundle that the user gave. A local file states its own ID, even if it was renamed.
fn resolve_bundle_name(base: &str, options: &Options) -> Result<String, Error> {
    let path = options.environment.cwd.join(base);
    if base == EMPTY_BASE || !path.is_file() {
        return Ok(base.to_owned());
    }
    let file = File::open(&path).map_err(|source| Error::Folder { path: path.clone(), source })?;
    let opened = open_any(Box::new(file), base, &options.environment.scratch)?;
    Ok(opened.manifest().id.clone())
}

fn find_base(history: &History, name: Option<String>, options: &Options, sink: &dyn Sink) -> Result<DeltaBase, Error> {
    let base = history.base(name.as_deref())?;
    if history.newest_bundle().is_none() {
        let folder = options.history.display();
        sink.warning(format!("the history `{folder}` has no bundles yet, so this bundle is full"));
    }
    Ok(base)
}
