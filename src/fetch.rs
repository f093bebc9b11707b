//! The online half as one call: resolves the inputs, downloads and packs the files, verifies the bundle and records it.
//!
//! A failed run leaves no files behind. The bundle gets its name, and the history records it, only after it was
//! verified.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::event::Sink;
use crate::inputs::input_id::InputId;
use crate::inputs::lockfile::Lockfile;

pub mod init;
pub mod history;
pub mod substitute_toolchain;
pub mod resolve;
pub mod crate_downloader;
pub mod packaged_lock;
pub mod planned_crate;
pub mod crate_cache;
pub mod workspace;
pub mod cargo;
pub mod local_registry;
pub mod index_snapshot;
pub mod index_spool;
mod delta;
mod error;
mod fetch_plan;
mod options;
mod run;
mod session;
mod write_bundle;
mod estimate;
pub mod repair_list;
mod changed_index_lines;
mod deleted_lines;
mod reuse;
mod standard_library;
mod metadata;
mod toolchain_options;
mod toolchain_plan;
mod toolchains;
mod workspace_lock;

use fetch_plan::FetchPlan;
use history::History;
use resolve::Resolution;
use run::Run;
use session::Session;
use toolchain_plan::ToolchainPlan;
use workspace::Workspace;

pub use error::Error;
pub use estimate::{DryRun, EstimatedFile};
pub use options::{DeliveryCheck, Environment, InputSpec, Mode, Options};
pub use repair_list::{Reason, Unavailable};
pub use toolchain_options::ToolchainOptions;
pub use write_bundle::{Outcome, WrittenBundle};

/// Maximum time until a worker notices that it is stopped.
const WORKER_STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Resolves, downloads, packs, verifies and records a bundle.
pub async fn fetch(options: Options, sink: Arc<dyn Sink>) -> Result<Outcome, Error> {
    check_paths(&options)?;
    let session = Session::start(&options.environment, Some(&options.history), &sink).await?;
    let incremental = delta::open_incremental(&options, &sink).await?;
    let run = Run::start(&options, session).await?;
    if run.has_no_work() {
        return Ok(Outcome::NothingNew);
    }
    let sent = incremental.as_ref().map(|known| &known.base);
    // Without a lock, other processes may record bundles meanwhile.
    let memory = &History::read(&options.history)?;
    run.check_labels(memory)?;
    run.report_unrequested_toolchains(memory);
    // Errors in `[platforms]` are reported before the crates, which can be many, are downloaded.
    let planned = run.plan_toolchains(memory, sent).await?;
    let std_locks = run.fetch_std_locks(&planned).await?;
    let resolution = run.session.resolve_and_download(&run.inputs, &std_locks, sent).await?;
    let toolchains = run.download_toolchains(planned, memory, sent).await?;
    let mut fetch_plan = FetchPlan { resolution, toolchains, ..FetchPlan::default() };
    check_not_empty(&fetch_plan.resolution, &fetch_plan.toolchains)?;
    let unavailable = &fetch_plan.toolchains.unavailable;
    if !unavailable.is_empty() && fetch_plan.resolution.crates.is_empty() && fetch_plan.toolchains.shipped_count() == 0
    {
        return Err(Error::Unavailable(unavailable.clone()));
    }
    if let Some(known) = &incremental {
        let plan = write_bundle::plan_bundle(&known.history, &fetch_plan, &options)?;
        if let Some(path) = delta::dist_file_missing_from_base(&plan, &known.base, &fetch_plan.toolchains) {
            return Err(Error::ToolchainsMissingFromBase(path));
        }
        let missing = delta::missing_from_base(&plan, &known.base, &fetch_plan.resolution);
        if !missing.is_empty() {
            let more =
                run.session.resolve_and_download(&[delta::pinned_input(missing, &known.base)], &[], None).await?;
            fetch_plan.resolution.crates.extend(more.crates);
        }
    }
    let (history, sent) = match incremental {
        Some(delta::IncrementalState { history, base }) => (history, Some(base)),
        None => {
            let history = delta::open_history(&options, &sink).await?;
            if matches!(options.mode, Mode::Full) && run.other_requests(memory) != run.other_requests(&history) {
                let planned = run.plan_toolchains(&history, None).await?;
                let now = run.fetch_std_locks(&planned).await?;
                if now != std_locks {
                    fetch_plan.resolution = run.session.resolve_and_download(&run.inputs, &now, None).await?;
                }
                fetch_plan.toolchains = run.download_toolchains(planned, &history, None).await?;
            }
            (history, None)
        }
    };
    if !run.inputs.is_empty() && !matches!(options.mode, Mode::Repair { .. }) {
        fetch_plan.refreshed = run.session.refresh_lines(&history, sent.as_ref(), &fetch_plan.resolution).await?;
    }
    fetch_plan.cached_index_read = run.session.downloads.index.oldest_used();
    let (ended, end) = mpsc::channel();
    let writing = move || {
        let written = write_bundle::write_bundle(&options, history, sent, &fetch_plan, sink.as_ref());
        drop(ended);
        written
    };
    let _end = WorkerGuard(end);
    tokio::task::spawn_blocking(writing).await.map_err(Error::Worker)?
}

/// Rejects paths that the run cannot use, before it starts. A dry run rejects them too: it shows what the run would do.
fn check_paths(options: &Options) -> Result<(), Error> {
    reuse::check_sources(&options.environment.reuse)?;
    check_output(&options.output)
}

/// Rejects an output folder that is not writable before the download starts. The folder is not created yet, because a
/// failed run leaves no files behind.
fn check_output(output: &Path) -> Result<(), Error> {
    let existing = output.ancestors().find(|folder| folder.symlink_metadata().is_ok()).unwrap_or(output);
    // A file without a name, which disappears with its handle.
    let tried = tempfile::tempfile_in(existing).map(drop);
    tried.map_err(|source| Error::Output { path: output.to_owned(), source })
}

/// Stops a worker and waits for its cleanup when this value is dropped.
struct WorkerGuard(mpsc::Receiver<()>);

impl Drop for WorkerGuard {
    fn drop(&mut self) {
        // No value is ever sent: the channel ends with the sender.
        let _ended = self.0.recv_timeout(WORKER_STOP_TIMEOUT).is_err();
    }
}

/// Resolves the inputs and returns the planned downloads with their sizes. Writes only to the caches.
pub async fn dry_run(options: Options, sink: Arc<dyn Sink>) -> Result<DryRun, Error> {
    check_paths(&options)?;
    let session = Session::start(&options.environment, Some(&options.history), &sink).await?;
    let memory = History::read(&options.history)?;
    let base = delta::peek_base(&memory, &options, sink.as_ref())?;
    let base = base.as_ref();
    let run = Run::start(&options, session).await?;
    let (session, inputs) = (&run.session, &run.inputs);
    run.check_labels(&memory)?;
    run.report_unrequested_toolchains(&memory);
    let toolchains = run.plan_toolchains(&memory, base).await?;
    let std_locks = run.fetch_std_locks(&toolchains).await?;
    let resolved =
        standard_library::resolve_with_std_locks(&session.resolver, inputs, &std_locks, &session.downloads).await?;
    session.report_resolved(&resolved);
    check_not_empty(&resolved, &toolchains)?;
    let mut wanted: BTreeMap<CrateId, Sha256> =
        resolved.crates.iter().map(|(id, planned)| (id.clone(), planned.line.cksum)).collect();
    let gathered = FetchPlan { resolution: resolved, toolchains, ..FetchPlan::default() };
    let is_repair = matches!(options.mode, Mode::Repair { .. });
    let plan = if is_repair { None } else { Some(write_bundle::plan_bundle(&memory, &gathered, &options)?) };
    let mut has_changes = !run.has_no_work();
    if let (Some(base), Some(plan)) = (base, &plan) {
        wanted.retain(|id, sha256| !base.has_crate(id, *sha256));
        wanted.extend(delta::missing_from_base(plan, base, &gathered.resolution));
        has_changes &= plan.has_changes || !write_bundle::is_delivered(&options, plan, Some(base));
        if !has_changes && !inputs.is_empty() {
            let refreshed = session.refresh_lines(&memory, Some(base), &gathered.resolution).await?;
            has_changes = !refreshed.changed.is_empty();
        }
    }
    let mut estimate = estimate::estimate_crates(&wanted, &session.downloads).await?;
    estimate.writes_bundle = has_changes;
    if let Some(plan) = &plan {
        estimate.forgotten =
            write_bundle::forgotten_inputs(&memory, &options)?.iter().map(InputId::to_string).collect();
        (estimate.dropped_crates, estimate.dropped_dist_files) = memory.count_dropped(plan);
    }
    estimate.dist_files =
        estimate::estimate_dist_files(gathered.toolchains.downloads, base, &run.dist_downloader()).await?;
    Ok(estimate)
}

/// The lock of a workspace: its own if it fits the manifests, otherwise the lock that cargo resolves for a copy of
/// them.
pub async fn lock_workspace(
    workspace: &Workspace,
    surroundings: &Environment,
    sink: Arc<dyn Sink>,
) -> Result<Lockfile, Error> {
    let session = Session::start(surroundings, None, &sink).await?;
    workspace_lock::read_or_resolve(workspace, &session).await
}

/// An empty set is usually a mistake. An empty bundle would look like success on both sides of the gap.
fn check_not_empty(resolved: &Resolution, toolchains: &ToolchainPlan) -> Result<(), Error> {
    if resolved.crates.is_empty() && !resolved.inputs.is_empty() && toolchains.needed_paths.is_empty() {
        let names = resolved.inputs.iter().map(|input| input.description.clone());
        return Err(Error::NoCrates(names.collect()));
    }
    Ok(())
}
