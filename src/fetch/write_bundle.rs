//! Writes the bundle: plans, writes, verifies, publishes and records it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::bundle::format::{
    self, BundleKind, CrateRecord, CrateState, DistFileRecord, DistFileState, Input, Lineage, Parent, RefreshedCrate,
};
use crate::bundle::{pack, verify};
use crate::client_setup;
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::durable;
use crate::event::{self, Sink};
use crate::fetch::error::Error;
use crate::fetch::fetch_plan::FetchPlan;
use crate::fetch::history::{self, DeltaBase, DistFileRef, History, InputSet, LockedHistory, REPAIR_KIND};
use crate::fetch::metadata;
use crate::fetch::options::{Mode, Options};
use crate::fetch::planned_crate::PlannedCrate;
use crate::fetch::repair_list::Unavailable;
use crate::fetch::resolve::ResolvedInput;
use crate::fetch::toolchain_plan::ToolchainPlan;
use crate::index_line::IndexLine;
use crate::inputs::input_id::{InputId, InputKind};
use crate::inputs::lockfile::SkippedPackage;
use crate::mirror_file::{FileKind, FileSource, MirrorFile};
use crate::safe_path::SafePath;
use crate::toolchain;
use crate::units::{agree, format_time, pluralize};

/// Maximum number of quoted problems of a bundle that does not verify. The others are counted.
const MAX_QUOTED_PROBLEMS: usize = 5;

/// The result of a run.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A bundle was written.
    Written(WrittenBundle),
    /// No bundle was written: the newest bundle has everything and was delivered or counts as delivered, or the repair
    /// list is empty.
    NothingNew,
}

/// A bundle that was written and verified.
#[derive(Clone, Debug)]
pub struct WrittenBundle {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// The ID of the bundle.
    pub id: String,
    /// The number of crates in the bundle.
    pub crates: usize,
    /// The number of dist files in the bundle.
    pub dist_files: usize,
    /// The inputs that this run retired.
    pub forgotten: Vec<String>,
    /// Files of the repair list that the bundle lacks.
    pub unavailable: Vec<Unavailable>,
    /// Packages that the inputs of this run need and that were skipped.
    pub skipped_packages: Vec<SkippedPackage>,
}

/// Writes the bundle of the downloaded files; `sent` has the files that a delta omits.
pub(super) fn write_bundle(
    options: &Options,
    mut history: LockedHistory,
    sent: Option<DeltaBase>,
    gathered: &FetchPlan,
    sink: &dyn Sink,
) -> Result<Outcome, Error> {
    let mut plan = match &options.mode {
        Mode::Repair { list } => plan_repair(&history, list, gathered, options)?,
        _ => plan_bundle(&history, gathered, options)?,
    };
    plan.update_yanked(&gathered.refreshed.lines);
    plan.has_changes |= !gathered.refreshed.changed.is_empty();
    warn_suspicious(options, &history, &plan, gathered, sink);
    let forgotten = forgotten_inputs(&history, options)?;
    if !plan.has_changes && is_delivered(options, &plan, sent.as_ref()) {
        history.update_inputs_read(&plan.inputs)?;
        warn_incomplete(gathered, sink);
        return Ok(Outcome::NothingNew);
    }
    metadata::fill(&mut plan, gathered, &options.environment.home, sink);
    let is_repair = matches!(options.mode, Mode::Repair { .. });
    let newest = history.base(None)?;
    let (introduced, introduced_dist_files) = if is_repair {
        (Vec::new(), Vec::new())
    } else {
        (plan.introduced_crates(&newest), plan.introduced_dist_files(&newest))
    };
    durable::make_folder(&options.output).map_err(|source| Error::Folder { path: options.output.clone(), source })?;
    let to_pack = pack_plan(options, &plan, sent.as_ref(), gathered);
    let kind = if is_repair { REPAIR_KIND.to_owned() } else { to_pack.kind.to_string() };
    let written = pack::write(to_pack, &options.output, sink)?;
    let verdict = verify::verify(written.path(), &options.environment.scratch, sink)?;
    if !verdict.problems.is_empty() {
        let quoted: Vec<String> = verdict.problems.iter().take(MAX_QUOTED_PROBLEMS).map(ToString::to_string).collect();
        let more = verdict.problems.len().saturating_sub(MAX_QUOTED_PROBLEMS);
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        return Err(Error::InvalidBundle(quoted.join("; ") + &more));
    }
    let (id, size, created) = (written.id.clone(), written.size, written.manifest.created.clone());
    let count = written.manifest.count_entries(FileKind::Crate);
    let relied = written.manifest.previously_sent_crates().count();
    // The name and the history belong together: from here on the run cannot be cancelled.
    if !sink.enter_commit() {
        return Err(pack::Error::Cancelled.into());
    }
    // Another bundle of this history may be on its way under such a name, from another output folder.
    let path = written.publish(&|name| history.bundles().iter().any(|sent| sent.file == name))?;
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let refreshed = gathered.refreshed.changed.clone();
    let sequence = plan.sequence;
    let record = history::BundleRecord {
        id: id.clone(),
        file,
        sequence,
        created,
        kind,
        size,
        introduced,
        introduced_dist_files,
        refreshed,
    };
    let lines = gathered.lines().filter(|_| !is_repair);
    if let Err(error) = history.record(&plan, lines, record) {
        // If the history lacked this bundle, the lineage of the next bundle would lack it too.
        let _gone = std::fs::remove_file(&path).is_ok();
        return Err(error.into());
    }
    let artifacts = gathered.toolchains.shipped_count();
    let sent_before = match relied {
        0 => String::new(),
        relied => format!(", {relied} more {} sent before", agree(relied, "was", "were")),
    };
    sink.status(
        "Packed",
        format!(
            "{} into {} ({}{sent_before})",
            event::format_contents(count as u64, artifacts as u64),
            path.display(),
            event::format_size(size)
        ),
    );
    for id in &forgotten {
        let effect = "after the import of this bundle, `gc` removes the files that only it needed";
        sink.status("Forgot", format!("`{id}`; {effect}"));
    }
    warn_incomplete(gathered, sink);
    Ok(Outcome::Written(WrittenBundle {
        path,
        size,
        id,
        crates: count,
        dist_files: artifacts,
        forgotten: forgotten.iter().map(ToString::to_string).collect(),
        unavailable: gathered.toolchains.unavailable.clone(),
        skipped_packages: gathered
            .resolution
            .inputs
            .iter()
            .flat_map(|input| input.skipped_packages.iter().cloned())
            .collect(),
    }))
}

/// The inputs that this run retires.
pub(super) fn forgotten_inputs(history: &History, options: &Options) -> Result<Vec<InputId>, history::Error> {
    options.forget.iter().map(|name| Ok(history.find_input(name)?.id.clone())).collect()
}

/// Warns at the end of a run about inputs that do not build from this bundle.
fn warn_incomplete(gathered: &FetchPlan, sink: &dyn Sink) {
    for input in gathered.resolution.inputs.iter().filter(|input| !input.skipped_packages.is_empty()) {
        let packages: Vec<String> =
            input.skipped_packages.iter().map(|one| format!("  {} [{}]", one.package, one.reason)).collect();
        sink.warning(format!(
            "`{}` does not build from this bundle alone. The importing side also needs {}:\n{}",
            input.id,
            pluralize(packages.len(), "package"),
            packages.join("\n")
        ));
    }
}

/// Warns about likely mistakes that do not stop the run.
fn warn_suspicious(
    options: &Options,
    history: &LockedHistory,
    plan: &history::BundlePlan,
    gathered: &FetchPlan,
    sink: &dyn Sink,
) {
    let today: Vec<&InputId> = gathered.resolution.inputs.iter().map(|input| &input.id).collect();
    for input in plan.inputs.iter().filter(|input| !today.contains(&&input.id)) {
        if let Some(path) = input.path.as_deref().filter(|path| !history::is_input_present(path)) {
            let (id, path) = (&input.id, path.display());
            // `history` warns, because this concerns no input of this run.
            sink.detail("Keeping", format!("the last set of the input `{id}`, whose file does not exist: `{path}`"));
        }
    }
    let written = history.bundles().iter().filter_map(|bundle| bundle.created.parse::<Timestamp>().ok()).max();
    if let Some(last) = written.filter(|last| *last > options.created) {
        sink.warning(format!(
            "the clock says {}, but the history has a bundle written at {last}: one of the two times is wrong. The index \
             entries of this bundle will not replace those of that bundle",
            format_time(options.created)
        ));
    }
}

/// Whether the mirror has the files that the history records, as far as this run can know. An older base means that it
/// does not.
pub(super) fn is_delivered(options: &Options, plan: &history::BundlePlan, sent: Option<&DeltaBase>) -> bool {
    match (sent, &plan.parent, &options.is_delivered) {
        (Some(base), ..) => base.is_newest && base.bundle.is_some(),
        (None, Some(newest), Some(delivered)) => delivered(&newest.id),
        _ => false,
    }
}

/// The plan of a repair bundle: it has the lineage and its own files, and leaves the inputs unchanged.
fn plan_repair(
    history: &LockedHistory,
    list: &Path,
    gathered: &FetchPlan,
    options: &Options,
) -> Result<history::BundlePlan, Error> {
    // No other input is a repair list.
    let mut today = input_sets(history, gathered, options);
    let id = InputId { label: list.display().to_string(), kind: InputKind::RepairList };
    today.iter_mut().for_each(|input| input.id = id.clone());
    let plan = history.plan(today, &[])?;
    Ok(history::BundlePlan { inputs: history.inputs().to_vec(), has_changes: true, ..plan })
}

/// The content of the history's next bundle.
pub(super) fn plan_bundle(
    history: &History,
    gathered: &FetchPlan,
    options: &Options,
) -> Result<history::BundlePlan, history::Error> {
    history.plan_with_updated_files(
        input_sets(history, gathered, options),
        gathered.toolchains.files_of_other_inputs(),
        &options.forget,
    )
}

/// The needs of this run's inputs, in the form of the history.
fn input_sets(memory: &History, gathered: &FetchPlan, options: &Options) -> Vec<InputSet> {
    let FetchPlan { resolution: resolved, toolchains, .. } = gathered;
    let set = |input: &ResolvedInput| {
        let request = toolchains.requests.get(&input.id);
        let keeps_recorded = toolchains.keeps_recorded && request.is_none();
        let (order, artifacts) = match memory.recorded_toolchains(&input.id).filter(|_| keeps_recorded) {
            // The same request may mean other files now, where it was planned together with those of other inputs.
            Some((order, _)) if toolchains.needed_paths.contains_key(&input.id) => {
                (Some(order), toolchains.files_of_input(&input.id))
            }
            Some((order, artifacts)) => (Some(order), artifacts),
            None => (request.cloned(), toolchains.files_of_input(&input.id)),
        };
        InputSet {
            id: input.id.clone(),
            path: input.path.clone(),
            fetched: format_time(options.created),
            roots: input.roots.clone(),
            crates: input.ids.iter().filter_map(|id| Some(resolved.crates.get(id)?.to_ref())).collect(),
            skipped_packages: input.skipped_packages.iter().map(to_history_record).collect(),
            toolchain_request: order,
            dist_files: artifacts,
        }
    };
    resolved.inputs.iter().map(set).collect()
}

/// A skipped package, in the form of the history and of bundles.
fn to_history_record(SkippedPackage { package, reason: why }: &SkippedPackage) -> format::SkippedPackage {
    format::SkippedPackage {
        name: package.name.clone(),
        version: package.version.clone(),
        source: package.source.without_local_path(),
        reason: (*why).to_owned(),
    }
}

fn pack_plan(
    options: &Options,
    plan: &history::BundlePlan,
    sent: Option<&DeltaBase>,
    gathered: &FetchPlan,
) -> pack::PackPlan {
    let FetchPlan { resolution: resolved, toolchains, refreshed, cached_index_read } = gathered;
    let parent = sent.and_then(|base| base.bundle.as_ref());
    let parent = parent.map(|parent| Parent { id: parent.id.clone(), file: parent.file.clone() });
    let mut records = Vec::new();
    let mut positions: BTreeMap<CrateId, u32> = BTreeMap::new();
    for (position, (id, stored)) in (0u32..).zip(&plan.crates) {
        positions.insert(id.clone(), position);
        let metadata = plan.crate_metadata.get(&stored.sha256).cloned().unwrap_or_default();
        records.push(CrateRecord {
            name: id.name.clone(),
            version: id.version.clone(),
            sha256: stored.sha256,
            size: stored.size,
            state: match resolved.crates.get(id) {
                Some(PlannedCrate { file: Some(_), .. }) => CrateState::Shipped,
                Some(_) => CrateState::Sent,
                // Crates that only other inputs of the lineage need were sent with those inputs. They are listed so
                // that they stay current.
                None => CrateState::Kept,
            },
            yanked: stored.yanked,
            read_at: None,
            description: metadata.description,
            license: metadata.license,
            repository: metadata.repository,
        });
    }
    let artifacts: Vec<DistFileRecord> =
        plan.dist_files.values().map(|stored| dist_file_record(stored, toolchains)).collect();
    let dist_file_positions: BTreeMap<&SafePath, u32> = plan.dist_files.keys().zip(0u32..).collect();
    let inputs = plan.inputs.iter().map(|input| Input {
        name: input.id.to_string(),
        roots: input.roots.clone(),
        crates: input.crates.iter().filter_map(|stored| positions.get(&stored.id).copied()).collect(),
        dist_files: input
            .dist_files
            .iter()
            .filter_map(|stored| dist_file_positions.get(&stored.path).copied())
            .collect(),
        skipped_packages: input.skipped_packages.clone(),
    });
    // The files for other inputs of the history are included too.
    let needed = toolchains.downloads.files.keys();
    let mut targets = toolchain::std_targets_of(needed);
    targets.extend(toolchains.requests.values().flat_map(|order| order.selection.targets.iter().cloned()));
    pack::PackPlan {
        created: options.created,
        kind: if parent.is_some() { BundleKind::Delta } else { BundleKind::Full },
        repair: matches!(options.mode, Mode::Repair { .. }),
        parent,
        lineage: Lineage {
            id: plan.lineage.clone(),
            sequence: plan.sequence,
            previous: plan.previous.clone(),
            inputs: inputs.collect(),
        },
        carried_histories: Vec::new(),
        targets: targets.into_iter().collect(),
        toolchains: toolchains.downloads.toolchains.clone(),
        // Lines of an older index must not replace those of a newer one on the other side.
        index_read: cached_index_read.map_or(options.created, |read| read.min(options.created)),
        crates: records,
        dist_files: artifacts,
        refreshed_crates: refreshed.lines.values().map(refreshed_record).collect(),
        files: bundle_entries(options, gathered),
    }
}

fn refreshed_record(line: &IndexLine) -> RefreshedCrate {
    let CrateId { name, version } = line.id.clone();
    RefreshedCrate { name, version, sha256: line.cksum, yanked: line.yanked }
}

/// The path of a dist file's bytes.
fn dist_file_record(stored: &DistFileRef, toolchains: &ToolchainPlan) -> DistFileRecord {
    let needed = toolchains.downloads.files.get(&stored.path).filter(|needed| needed.sha256 == stored.sha256);
    DistFileRecord {
        path: stored.path.clone(),
        sha256: stored.sha256,
        size: stored.size,
        state: match needed {
            Some(needed) if needed.bytes.is_some() => DistFileState::Shipped,
            Some(_) => DistFileState::Sent,
            None => DistFileState::Kept,
        },
        read_at: None,
    }
}

fn bundle_entries(options: &Options, gathered: &FetchPlan) -> Vec<(MirrorFile, FileSource)> {
    let mut entries: Vec<(MirrorFile, FileSource)> = Vec::new();
    for (id, planned) in &gathered.resolution.crates {
        if let Some(file) = &planned.file {
            let sha256 = planned.line.cksum;
            let crate_file = MirrorFile { path: id.crate_path(), size: file.size, sha256, kind: FileKind::Crate };
            entries.push((crate_file, FileSource::File(file.path.clone())));
        }
    }
    let mut texts: BTreeMap<&CrateName, String> = BTreeMap::new();
    for line in gathered.lines() {
        // Writing to memory cannot fail.
        let _written = writeln!(texts.entry(&line.id.name).or_default(), "{}", line.raw).is_ok();
    }
    for (name, text) in texts {
        let path = format!("index/{}", name.index_path());
        entries.push(text_entry(&path, text, FileKind::Index));
    }
    for (path, needed) in &gathered.toolchains.downloads.files {
        if let (Some(bytes), Some(size), Some(kind)) = (&needed.bytes, needed.size, FileKind::from_path(path)) {
            entries.push((MirrorFile { path: path.clone(), size, sha256: needed.sha256, kind }, bytes.clone()));
        }
    }
    entries.push(text_entry("config.toml", client_setup::cargo_config(options.base_url.as_str()), FileKind::Config));
    entries
}

fn text_entry(path: &str, text: String, kind: FileKind) -> (MirrorFile, FileSource) {
    let bytes = text.into_bytes();
    let path: SafePath = path.parse().expect("index paths of parsed names are safe");
    let artifact = MirrorFile { path, size: bytes.len() as u64, sha256: Sha256::of(&bytes), kind };
    (artifact, FileSource::Memory(bytes))
}
