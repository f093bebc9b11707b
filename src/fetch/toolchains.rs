//! Plans, downloads and reports the toolchains of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::diagnostics::SourceLocation;
use crate::digest::Sha256;
use crate::event;
use crate::fetch::error::Error;
use crate::fetch::history::{DeltaBase, History};
use crate::fetch::options::Mode;
use crate::fetch::repair_list::{Reason, Unavailable};
use crate::fetch::resolve;
use crate::fetch::run::Run;
use crate::fetch::session::Session;
use crate::fetch::standard_library::{self, StdLock};
use crate::fetch::toolchain_plan::ToolchainPlan;
use crate::inputs::depends::Location;
use crate::inputs::input_id::InputId;
use crate::safe_path::SafePath;
use crate::toolchain::Date;
use crate::upstream::dist::{self, DistDownloader, DownloadPlan, PlannedFile, ToolchainRequest};

impl Run<'_> {
    /// The locks in every rust-src that is `planned`. A repair bundle needs none.
    pub(super) async fn fetch_std_locks(&self, planned: &ToolchainPlan) -> Result<Vec<StdLock>, Error> {
        if matches!(self.options.mode, Mode::Repair { .. }) {
            return Ok(Vec::new());
        }
        let dist = self.dist_downloader();
        Ok(standard_library::fetch_std_locks(&self.inputs, planned, &dist, self.session.sink.as_ref()).await?)
    }

    /// Downloads the `planned` files that were not sent before. `memory` has the other inputs of the history, which
    /// share channels with the inputs of this run.
    pub(super) async fn download_toolchains(
        &self,
        planned: ToolchainPlan,
        memory: &History,
        sent: Option<&DeltaBase>,
    ) -> Result<ToolchainPlan, Error> {
        let mut gathered = planned;
        if !gathered.needed_paths.is_empty() {
            let to_send = |path: &SafePath, sha256: &Sha256| sent.is_none_or(|base| !base.has_dist_file(path, *sha256));
            match &self.options.mode {
                Mode::Repair { .. } => self.download_available(&mut gathered, memory).await?,
                Mode::Full | Mode::Incremental { .. } => {
                    self.dist_downloader().fetch(&mut gathered.downloads, &to_send).await?
                }
            }
            let sent = gathered.downloads.files.values().filter(|needed| needed.bytes.is_some());
            // rustup-init has two paths, and is downloaded and packed once.
            let sizes: BTreeMap<Sha256, u64> = sent.map(|one| (one.sha256, one.size.unwrap_or(0))).collect();
            let (count, bytes) = (event::format_dist_files(gathered.shipped_count() as u64), sizes.values().sum());
            self.session.sink.status("Gathered", format!("{count} ({})", event::format_size(bytes)));
            self.report_other_inputs(&gathered);
        }
        Ok(gathered)
    }

    /// Reports the files for inputs that this run does not fetch.
    fn report_other_inputs(&self, gathered: &ToolchainPlan) {
        let (today, others): (Vec<_>, Vec<_>) =
            gathered.needed_paths.iter().partition(|(name, _)| gathered.requests.contains_key(*name));
        let today: BTreeSet<&SafePath> = today.into_iter().flat_map(|(_, paths)| paths).collect();
        let shipped = |path: &&SafePath| gathered.downloads.files.get(*path).is_some_and(|one| one.bytes.is_some());
        let needs_more = |paths: &BTreeSet<SafePath>| paths.iter().filter(shipped).any(|path| !today.contains(path));
        let names: Vec<String> =
            others.iter().filter(|(_, paths)| needs_more(paths)).map(|(name, _)| format!("`{name}`")).collect();
        let paths: BTreeSet<&SafePath> = others
            .iter()
            .flat_map(|(_, paths)| paths.iter())
            .filter(shipped)
            .filter(|path| !today.contains(path))
            .collect();
        if !paths.is_empty() && !gathered.requests.is_empty() {
            let count = event::format_dist_files(paths.len() as u64);
            let message = format!("{count} for other inputs of the history only: {}", names.join(", "));
            self.session.sink.status("Including", message);
        }
    }

    /// Downloads the files of a repair list that upstream still has. A replaced file may have other paths in the
    /// history, such as its dated folder.
    async fn download_available(&self, gathered: &mut ToolchainPlan, memory: &History) -> Result<(), Error> {
        let dist = self.dist_downloader();
        let plan = &mut gathered.downloads;
        let refused = dist.fetch_available(plan, &|_, _| true).await?;
        let missing: BTreeMap<&SafePath, Sha256> =
            plan.files.iter().filter(|(_, one)| one.bytes.is_none()).map(|(path, one)| (path, one.sha256)).collect();
        let mut other_paths = DownloadPlan::default();
        for (path, sha256) in &missing {
            for place in memory.paths_of_digest(*sha256).into_iter().filter(|place| place != *path) {
                other_paths.files.insert(place, PlannedFile::new(*sha256));
            }
        }
        dist.fetch_available(&mut other_paths, &|_, _| true).await?;
        let found: BTreeMap<Sha256, PlannedFile> =
            other_paths.files.into_values().map(|one| (one.sha256, one)).collect();
        let not_found: BTreeSet<&SafePath> = refused.absent.iter().map(|(path, _)| path).collect();
        let mut unavailable = Vec::new();
        plan.files.retain(|path, needed| {
            if needed.bytes.is_none()
                && let Some(found) = found.get(&needed.sha256)
            {
                needed.clone_from(found);
            }
            if needed.bytes.is_none() {
                let why = match is_mutable_path(path) {
                    _ if not_found.contains(path) => Reason::NotFound,
                    true => Reason::Superseded,
                    false => Reason::Altered,
                };
                unavailable.push(Unavailable { path: path.clone(), reason: why });
            }
            needed.bytes.is_some()
        });
        for paths in gathered.needed_paths.values_mut() {
            paths.retain(|path| plan.files.contains_key(path));
        }
        gathered.unavailable = unavailable;
        Ok(())
    }

    /// Reports whether the recorded toolchains of inputs without a request are kept or dropped. Reports it if the bundle
    /// has no toolchains.
    pub(super) fn report_unrequested_toolchains(&self, memory: &History) {
        let Run { options, inputs, requests, .. } = self;
        if inputs.is_empty() || matches!(options.mode, Mode::Repair { .. }) {
            return;
        }
        for (id, request) in requests {
            let Some((recorded, _)) = memory.recorded_toolchains(id) else { continue };
            let toolchains = recorded.toolchains.iter().filter(|name| !request.toolchains.contains(name));
            let targets = recorded.selection.targets.iter().filter(|one| !request.selection.targets.contains(one));
            let dropped: Vec<String> = toolchains
                .map(|name| format!("toolchain `{name}`"))
                .chain(targets.map(|target| format!("target `{target}`")))
                .collect();
            if !dropped.is_empty() {
                self.session.sink.warning(format!(
                    "`{id}` no longer requests {}, which its last bundle had; after the import, `gc` removes their files \
                     unless another input needs them",
                    dropped.join(", ")
                ));
            }
        }
        let unrequested = inputs.iter().map(resolve::Input::id).filter(|id| !requests.contains_key(id));
        let recorded: Vec<String> = unrequested
            .filter_map(|id| {
                let (request, _) = memory.recorded_toolchains(&id)?;
                let names: Vec<String> = request.toolchains.iter().map(|name| format!("`{name}`")).collect();
                Some(format!("{} of `{id}`", names.join(", ")))
            })
            .collect();
        let names = recorded.join("; ");
        if recorded.is_empty() {
            if requests.is_empty() && !options.toolchains.skip {
                self.session.sink.status("Fetching", "only crates, no toolchains".to_owned());
            }
        } else if options.toolchains.drop_recorded {
            self.session.sink.warning(format!(
                "this bundle drops toolchains of earlier bundles: {names}; after its import, `gc` removes their files \
                 unless another input needs them"
            ));
        } else {
            let message = format!(
                "toolchains of earlier bundles, without updates: {names}; `--target TRIPLE` updates them, \
                 `--drop-toolchains` drops them"
            );
            self.session.sink.status("Keeping", message);
        }
    }

    /// The requests of other inputs in the history. A recorded request of this run's inputs counts if it is neither
    /// replaced nor dropped.
    pub(super) fn other_requests(&self, memory: &History) -> Vec<(InputId, ToolchainRequest)> {
        let replaced: Vec<InputId> = match self.options.toolchains.drop_recorded {
            true => self.inputs.iter().map(resolve::Input::id).collect(),
            false => self.requests.keys().cloned().collect(),
        };
        memory.other_toolchain_requests(&replaced, &self.options.forget)
    }

    /// The dist files to fetch, and the small texts (manifests, checksums) that describe them.
    pub(super) async fn plan_toolchains(
        &self,
        memory: &History,
        sent: Option<&DeltaBase>,
    ) -> Result<ToolchainPlan, Error> {
        let Run { options, inputs, requests, .. } = self;
        if matches!(options.mode, Mode::Repair { .. }) {
            let plan = |input: &resolve::Input| ToolchainPlan::for_repair_list(input.id(), &self.listed_dist_files);
            return Ok(inputs.first().map(plan).unwrap_or_default());
        }
        let keeps_recorded = !options.toolchains.drop_recorded;
        let others = self.other_requests(memory);
        // Files for other inputs were sent before, unless their bundles were lost.
        let lost = sent.is_some_and(|base| !base.is_newest) && !others.is_empty();
        if options.toolchains.skip || requests.is_empty() && !lost {
            let recorded = |id: InputId| Some((id.clone(), memory.recorded_toolchains(&id)?.1));
            let today = inputs.iter().map(resolve::Input::id).filter(|_| keeps_recorded);
            let kept = today.filter_map(recorded).collect();
            return Ok(ToolchainPlan { keeps_recorded, kept, ..ToolchainPlan::default() });
        }
        let all: Vec<(InputId, ToolchainRequest)> = requests.clone().into_iter().chain(others).collect();
        let wanted: Vec<ToolchainRequest> = all.iter().map(|(_, order)| order.clone()).collect();
        let plan = self.dist_downloader().plan(&wanted).await.map_err(|error| {
            match error.failed_request(&wanted).and_then(|number| all.get(number)) {
                Some((id, _)) if inputs.iter().all(|input| input.id() != *id) => {
                    Error::OtherInputToolchains { input: id.to_string(), source: Box::new(error) }
                }
                Some((id, _)) => match locate_in_depends(inputs, id, &error) {
                    Some(place) => Error::Platforms { location: place, source: Box::new(error) },
                    None => self.attribute_error(Some(id), error),
                },
                None => self.attribute_error(None, error),
            }
        })?;
        self.session.sink.status("Resolved", format!("toolchains: {}", plan.toolchains.join(", ")));
        let needs = all.into_iter().map(|(id, _)| id).zip(plan.by_request.iter().cloned()).collect();
        let (requests, needed_paths) = (requests.clone(), needs);
        Ok(ToolchainPlan { downloads: plan, requests, needed_paths, keeps_recorded, ..ToolchainPlan::default() })
    }

    /// The error for the toolchains of the input `id`, or of any input if it is unknown. Includes the toolchain file, if
    /// one requests them.
    fn attribute_error(&self, id: Option<&InputId>, error: dist::Error) -> Error {
        let mut wanting = self.inputs.iter().filter(|input| id.is_none_or(|id| input.id() == *id));
        let pin = wanting.find_map(|input| self.options.toolchains.pin_of(input));
        match pin.and_then(|pin| Some((pin.path.clone(), pin.toolchain.clone()?))) {
            Some((toolchain_file, toolchain)) => {
                Error::PinnedToolchain { toolchain_file, toolchain, source: Box::new(error) }
            }
            None => error.into(),
        }
    }

    pub(super) fn dist_downloader(&self) -> DistDownloader {
        let Session { environment, downloads, sink, .. } = &self.session;
        DistDownloader {
            client: downloads.client.clone(),
            server_url: self.options.toolchains.upstream.clone(),
            cache: environment.home.join("cache"),
            jobs: downloads.jobs,
            offline: downloads.offline,
            now: environment.now,
            verb: environment.verb,
            sink: Arc::clone(sink),
        }
    }
}

/// The line of the unavailable value in the depends.toml of the input `id`.
fn locate_in_depends(inputs: &[resolve::Input], id: &InputId, error: &dist::Error) -> Option<SourceLocation> {
    let (key, word) = error.unavailable_platform_value()?;
    let input = inputs.iter().find(|input| input.id() == *id)?;
    let resolve::Input::Depends(depends) = input else { return None };
    depends.locate(Location::Platforms { key, value: &word })
}

/// Whether upstream may replace the file at `path`. Dated folders and the folders of a rustup version are immutable.
fn is_mutable_path(path: &SafePath) -> bool {
    let dated = path.components().nth(1).is_some_and(|folder| folder.parse::<Date>().is_ok());
    !dated && !path.as_str().starts_with("rustup/archive/")
}
