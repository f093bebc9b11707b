//! The toolchains of a run: what each input requests, and the upstream files for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Error, Mode, Run, Session, repair_list};
use crate::diagnostics::SourceLocation;
use crate::digest::Sha256;
use crate::event;
use crate::fetch::history::{DeltaBase, DistFileRef, History};
use crate::fetch::resolve;
use crate::inputs::depends::{Location, Platforms};
use crate::inputs::input_id::InputId;
use crate::inputs::toolchain_file::ToolchainFile;
use crate::safe_path::SafePath;
use crate::toolchain::{Date, SelectionRequest, ToolchainName};
use crate::upstream::dist::{self, DistDownloader, DownloadPlan, PlannedFile, ToolchainRequest};

/// The toolchain options of the user besides `[platforms]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolchainOptions {
    /// Fetch no toolchains. Toolchains that were sent earlier stay current.
    pub skip: bool,
    /// Fetch no toolchains, and drop those that earlier bundles brought for these inputs.
    pub drop_recorded: bool,
    /// Fetch toolchains for inputs without `[platforms]` too.
    pub include_without_platforms: bool,
    /// Targets that replace those of `[platforms]`. Empty: no replacement.
    pub targets: Vec<String>,
    /// The default targets.
    pub default_targets: Vec<String>,
    /// The default toolchains.
    pub default_toolchains: Vec<ToolchainName>,
    /// The requests of toolchain files, by the file of the input: its depends.toml, or the Cargo.lock of a workspace.
    /// They count if that input has no `[platforms]`.
    pub pins: BTreeMap<PathBuf, ToolchainFile>,
    /// The base address of the dist server, as in RUSTUP_DIST_SERVER.
    pub upstream: String,
}

impl ToolchainOptions {
    /// No toolchains.
    pub fn none() -> ToolchainOptions {
        ToolchainOptions {
            skip: true,
            drop_recorded: false,
            include_without_platforms: false,
            targets: Vec::new(),
            default_targets: Vec::new(),
            default_toolchains: Vec::new(),
            pins: BTreeMap::new(),
            upstream: String::new(),
        }
    }

    /// The requests of these inputs, by input ID.
    pub(super) fn requests_for(&self, inputs: &[resolve::Input]) -> BTreeMap<InputId, ToolchainRequest> {
        let request = |input: &resolve::Input| Some((input.id(), self.request_for(input)?));
        let is_without = self.skip || self.drop_recorded;
        inputs.iter().filter(|_| !is_without).filter_map(request).collect()
    }

    /// The toolchain file of an input.
    fn pin_of(&self, input: &resolve::Input) -> Option<&ToolchainFile> {
        match input {
            resolve::Input::Depends(depends) if depends.platforms.is_none() => self.pins.get(&depends.path),
            resolve::Input::Lockfile(lockfile) => self.pins.get(&lockfile.path),
            resolve::Input::Depends(_) | resolve::Input::Crate(_) => None,
        }
    }

    /// The toolchain request of an input.
    fn request_for(&self, input: &resolve::Input) -> Option<ToolchainRequest> {
        let platforms = match input {
            resolve::Input::Depends(depends) => depends.platforms.clone(),
            resolve::Input::Lockfile(_) | resolve::Input::Crate(_) => None,
        };
        let platforms = match (platforms, self.pin_of(input)) {
            (Some(platforms), _) => platforms,
            (None, Some(pin)) => {
                let mut platforms = Platforms::default();
                pin.add_to_platforms(&mut platforms, &self.default_targets);
                platforms
            }
            (None, None) if self.include_without_platforms => Platforms::default(),
            (None, None) => return None,
        };
        let or = |given: Vec<String>, default: &Vec<String>| if given.is_empty() { default.clone() } else { given };
        let targets = or(self.targets.clone(), &or(platforms.targets, &self.default_targets));
        let toolchains =
            if platforms.toolchain.is_empty() { self.default_toolchains.clone() } else { platforms.toolchain };
        let wanted = SelectionRequest {
            targets,
            profile: platforms.profile.unwrap_or_default(),
            components: platforms.components,
        };
        Some(ToolchainRequest { toolchains, selection: wanted })
    }
}

/// The downloaded toolchains.
#[derive(Default)]
pub(super) struct ToolchainPlan {
    /// Every dist file that the requests need. Files to send have their bytes.
    pub(super) downloads: DownloadPlan,
    /// The requests of this run's inputs, by input ID.
    pub(super) requests: BTreeMap<InputId, ToolchainRequest>,
    /// The dist files of each input: of this run, and of the history if it shares channels.
    pub(super) needed_paths: BTreeMap<InputId, BTreeSet<SafePath>>,
    /// This run's inputs without a request keep the toolchains that the history has for them.
    pub(super) keeps_recorded: bool,
    /// The recorded files of this run's inputs that are kept unchanged, without a request to upstream.
    pub(super) kept: BTreeMap<InputId, Vec<DistFileRef>>,
    /// Entries of the repair list that upstream does not provide. They are in no other field.
    pub(super) unavailable: Vec<Unavailable>,
}

/// A file of a repair list that upstream does not provide in that form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Its path.
    pub path: SafePath,
    /// The state of that path upstream.
    pub reason: Reason,
}

/// The state of a path upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The path does not exist.
    NotFound,
    /// A newer file, as is usual at this path.
    Superseded,
    /// Different bytes at an immutable path.
    Altered,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match self.reason {
            Reason::NotFound => write!(f, "`{path}` does not exist"),
            Reason::Superseded => write!(f, "`{path}` has a newer file"),
            Reason::Altered => write!(f, "`{path}` has different bytes than before"),
        }
    }
}

impl ToolchainPlan {
    /// The content of a repair list as the needs of the input `id`.
    fn for_repair_list(id: InputId, list: &Path) -> Result<ToolchainPlan, repair_list::Error> {
        let listed = repair_list::read(list)?.dist_files;
        if listed.is_empty() {
            return Ok(ToolchainPlan::default());
        }
        let paths = listed.keys().cloned().collect();
        let needed = |sha256| PlannedFile::new(sha256);
        let artifacts = listed.into_iter().map(|(path, sha256)| (path, needed(sha256))).collect();
        let needs = BTreeMap::from([(id, paths)]);
        Ok(ToolchainPlan {
            downloads: DownloadPlan { files: artifacts, ..DownloadPlan::default() },
            needed_paths: needs,
            ..ToolchainPlan::default()
        })
    }

    /// The toolchain needs of an input, in the form of the history.
    pub(super) fn files_of_input(&self, id: &InputId) -> Vec<DistFileRef> {
        let needs = self.needed_paths.get(id).into_iter().flatten();
        let stored = needs.filter_map(|path| {
            let needed = self.downloads.files.get(path)?;
            Some(DistFileRef { path: path.clone(), sha256: needed.sha256, size: needed.size.unwrap_or(0) })
        });
        stored.collect()
    }

    /// The needs of inputs that this run does not fetch.
    pub(super) fn files_of_other_inputs(&self) -> BTreeMap<InputId, Vec<DistFileRef>> {
        let others = self.needed_paths.keys().filter(|id| !self.requests.contains_key(*id));
        others.map(|id| (id.clone(), self.files_of_input(id))).collect()
    }

    /// Dist files that go into the bundle.
    pub(super) fn shipped_count(&self) -> usize {
        self.downloads.files.values().filter(|needed| needed.bytes.is_some()).count()
    }
}

impl Run<'_> {
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
        if let Mode::Repair { list } = &options.mode {
            return match inputs.first() {
                Some(input) => Ok(ToolchainPlan::for_repair_list(input.id(), list)?),
                None => Ok(ToolchainPlan::default()),
            };
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
