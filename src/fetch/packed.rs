//! From what was gathered to a bundle in its place: planned, written, verified, published, recorded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;

use super::{Error, Gathered, Mode, Options, Outcome, Written, told, toolchains};
use crate::artifact::{Artifact, Bytes, Kind};
use crate::bundle::format::{
    self, ArtifactRecord, ArtifactState, BundleKind, CrateRecord, CrateState, Input, Lineage, Parent, Refreshed,
};
use crate::bundle::{pack, verify};
use crate::channel;
use crate::client_config;
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::durable;
use crate::event::{self, Sink};
use crate::gather::history::{self, Base, Held, HeldArtifact, History, InputSet, Memory, REPAIR};
use crate::gather::input_id::{InputId, InputKind};
use crate::gather::lockfile::LeftOut;
use crate::gather::resolve::ResolvedInput;
use crate::index_line::IndexLine;
use crate::safe_path::SafePath;

/// Problems of a bundle that are quoted when it does not verify; the rest is counted.
const QUOTED: usize = 5;

/// Writes the bundle of what was gathered; `sent` is what a delta leaves out.
pub(super) fn write(
    options: &Options,
    mut history: History,
    sent: Option<Base>,
    gathered: &Gathered,
    sink: &dyn Sink,
) -> Result<Outcome, Error> {
    let mut plan = match &options.mode {
        Mode::Repair { list } => repair_plan(&history, list, gathered, options)?,
        _ => planned(&history, gathered, options)?,
    };
    plan.refresh(&gathered.refreshed.lines);
    plan.news |= !gathered.refreshed.changed.is_empty();
    doubts(options, &history, &plan, gathered, sink);
    if !plan.news && is_delivered(options, &plan, sent.as_ref()) {
        history.touch(&plan.inputs)?;
        tell_incomplete(gathered, sink);
        return Ok(Outcome::NothingNew);
    }
    if !matches!(options.mode, Mode::Repair { .. }) {
        let lines = gathered.resolved.crates.iter().chain(&gathered.refreshed.lines);
        plan.lines = lines.map(|(id, line)| (id.clone(), line.raw.clone())).collect();
    }
    told::complete(&mut plan, gathered, &options.surroundings.home);
    let repairs = matches!(options.mode, Mode::Repair { .. });
    let newest = history.base(None)?;
    let (came, artifacts) =
        if repairs { (Vec::new(), Vec::new()) } else { (plan.came(&newest), plan.artifacts_came(&newest)) };
    durable::make_folder(&options.output).map_err(|source| Error::Folder { path: options.output.clone(), source })?;
    let packed = pack_plan(options, &plan, sent.as_ref(), gathered);
    let kind = if repairs { REPAIR.to_owned() } else { packed.kind.to_string() };
    let written = pack::write(packed, &options.output, sink)?;
    let verdict = verify::verify(written.path(), &options.surroundings.scratch, sink)?;
    if !verdict.problems.is_empty() {
        let quoted: Vec<String> = verdict.problems.iter().take(QUOTED).map(ToString::to_string).collect();
        let more = verdict.problems.len().saturating_sub(QUOTED);
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        return Err(Error::Unsound(quoted.join("; ") + &more));
    }
    let (id, size, created) = (written.id.clone(), written.size, written.manifest.created.clone());
    let count = written.manifest.count(Kind::Crate);
    let relied = written.manifest.relied_on().count();
    // The name and the history belong together: from here on it is as good as done.
    if !sink.settle() {
        return Err(pack::Error::Stopped.into());
    }
    let path = written.publish(&|_| false)?;
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let refreshed = gathered.refreshed.changed.clone();
    let sequence = plan.sequence;
    let record = history::Bundle { id: id.clone(), file, sequence, created, kind, size, came, artifacts, refreshed };
    if let Err(error) = history.record(&plan, record) {
        // A bundle that the history does not know of would be missing from the next one's lineage.
        let _gone = std::fs::remove_file(&path).is_ok();
        return Err(error.into());
    }
    let artifacts = gathered.toolchains.shipped();
    let held = match relied {
        0 => String::new(),
        1 => ", 1 more was sent before".to_owned(),
        relied => format!(", {relied} more were sent before"),
    };
    sink.status(
        "Packed",
        format!(
            "{} into {} ({}{held})",
            event::contents(count as u64, artifacts as u64),
            path.display(),
            event::size(size)
        ),
    );
    tell_incomplete(gathered, sink);
    Ok(Outcome::Written(Written {
        path,
        size,
        id,
        crates: count,
        artifacts,
        lacking: gathered.toolchains.lacking.clone(),
        left_out: gathered.resolved.inputs.iter().flat_map(|input| input.left_out.iter().cloned()).collect(),
    }))
}

/// Warns, as the last thing of a run, where an input of today does not build from what was packed.
fn tell_incomplete(gathered: &Gathered, sink: &dyn Sink) {
    for input in gathered.resolved.inputs.iter().filter(|input| !input.left_out.is_empty()) {
        let packages: Vec<String> =
            input.left_out.iter().map(|one| format!("  {} [{}]", one.package, one.why)).collect();
        sink.warning(format!(
            "`{}` does not build from this bundle as it stands. The far side needs {} that it lacks:\n{}",
            input.id,
            if packages.len() == 1 { "1 package".to_owned() } else { format!("{} packages", packages.len()) },
            packages.join("\n")
        ));
    }
}

/// Tells of what is likely to be a mistake, and is no reason to stop.
fn doubts(options: &Options, history: &History, plan: &history::Plan, gathered: &Gathered, sink: &dyn Sink) {
    let today: Vec<&InputId> = gathered.resolved.inputs.iter().map(|input| &input.id).collect();
    for input in plan.inputs.iter().filter(|input| !today.contains(&&input.id)) {
        if let Some(path) = input.path.as_deref().filter(|path| !path.exists()) {
            let (id, path) = (&input.id, path.display());
            sink.warning(format!(
                "the file of the input `{id}` is gone: `{path}`. The mirror keeps what it needed last; if it is not needed \
                 any more, retire it with `--forget '{id}'`"
            ));
        }
    }
    let written = history.bundles().iter().filter_map(|bundle| bundle.created.parse::<Timestamp>().ok()).max();
    if let Some(last) = written.filter(|last| *last > options.created) {
        sink.warning(format!(
            "the clock says {}, and the history has a bundle that was written at {last}: one of the two is wrong. What this \
             bundle says of the index will not replace what that one said",
            options.created.strftime("%Y-%m-%dT%H:%M:%SZ")
        ));
    }
}

/// Whether the far side has what the history says, as far as can be known here. An older base means that it has not.
fn is_delivered(options: &Options, plan: &history::Plan, sent: Option<&Base>) -> bool {
    match (sent, &plan.parent, &options.delivered) {
        (Some(base), ..) => base.newest && base.bundle.is_some(),
        (None, Some(newest), Some(delivered)) => delivered(&newest.id),
        _ => false,
    }
}

/// The plan of a bundle that mends: it names what the lineage names and what it ships, and leaves the inputs as they are.
fn repair_plan(history: &History, list: &Path, gathered: &Gathered, options: &Options) -> Result<history::Plan, Error> {
    // No other input is a list.
    let mut today = input_sets(history, gathered, options);
    let id = InputId { label: list.display().to_string(), kind: InputKind::List };
    today.iter_mut().for_each(|input| input.id = id.clone());
    let plan = history.plan(today, &[])?;
    Ok(history::Plan { inputs: history.inputs().to_vec(), news: true, ..plan })
}

/// What the next bundle of the history says.
pub(super) fn planned(
    history: &Memory,
    gathered: &Gathered,
    options: &Options,
) -> Result<history::Plan, history::Error> {
    history.plan_with(input_sets(history, gathered, options), gathered.toolchains.moved(), &options.forget)
}

/// What each of today's inputs needs, as the history keeps it.
fn input_sets(memory: &Memory, gathered: &Gathered, options: &Options) -> Vec<InputSet> {
    let Gathered { resolved, files, toolchains, .. } = gathered;
    let held = |id: &CrateId| {
        let line = resolved.crates.get(id)?;
        let size = files.get(id).map_or(0, |file| file.size);
        Some(Held { name: id.name.clone(), version: id.version.clone(), sha256: line.cksum, size, yanked: line.yanked })
    };
    let set = |input: &ResolvedInput| {
        let (order, artifacts) = match memory.toolchains_of(&input.id).filter(|_| toolchains.left) {
            Some((order, artifacts)) => (Some(order), artifacts),
            None => (toolchains.orders.get(&input.id).cloned(), toolchains.held(&input.id)),
        };
        InputSet {
            id: input.id.clone(),
            path: input.path.clone(),
            fetched: options.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            roots: input.roots.clone(),
            crates: input.ids.iter().filter_map(held).collect(),
            left_out: input.left_out.iter().map(remembered).collect(),
            order,
            artifacts,
        }
    };
    resolved.inputs.iter().map(set).collect()
}

/// A package that was left out, as the history keeps it and bundles name it.
fn remembered(LeftOut { package, why }: &LeftOut) -> history::LeftOut {
    history::LeftOut {
        name: package.name.clone(),
        version: package.version.clone(),
        source: package.source.for_bundle(),
        why: (*why).to_owned(),
    }
}

fn left_out(one: &history::LeftOut) -> format::LeftOut {
    let history::LeftOut { name, version, source, why } = one.clone();
    format::LeftOut { name, version, source, why }
}

fn pack_plan(options: &Options, plan: &history::Plan, sent: Option<&Base>, gathered: &Gathered) -> pack::Plan {
    let Gathered { resolved, files, toolchains, refreshed } = gathered;
    let parent = sent.and_then(|base| base.bundle.as_ref());
    let parent = parent.map(|parent| Parent { id: parent.id.clone(), file: parent.file.clone() });
    let mut records = Vec::new();
    let mut positions: BTreeMap<CrateId, u32> = BTreeMap::new();
    for (position, (id, held)) in (0u32..).zip(&plan.crates) {
        positions.insert(id.clone(), position);
        let told = plan.told.get(&held.sha256).cloned().unwrap_or_default();
        records.push(CrateRecord {
            name: held.name.clone(),
            version: held.version.clone(),
            sha256: held.sha256,
            size: held.size,
            state: if files.contains_key(id) {
                CrateState::Shipped
            } else if resolved.crates.contains_key(id) {
                CrateState::Sent
            } else {
                // What only other inputs of the lineage need was sent with theirs; it is named so that it stays current.
                CrateState::Kept
            },
            yanked: held.yanked,
            read: None,
            description: told.description,
            license: told.license,
            repository: told.repository,
        });
    }
    let artifacts: Vec<ArtifactRecord> =
        plan.artifacts.values().map(|held| artifact_record(held, toolchains)).collect();
    let places: BTreeMap<&SafePath, u32> = plan.artifacts.keys().zip(0u32..).collect();
    let inputs = plan.inputs.iter().map(|input| Input {
        name: input.id.to_string(),
        roots: input.roots.clone(),
        crates: input.crates.iter().filter_map(|held| positions.get(&held.id()).copied()).collect(),
        artifacts: input.artifacts.iter().filter_map(|held| places.get(&held.path).copied()).collect(),
        left_out: input.left_out.iter().map(left_out).collect(),
    });
    // What other inputs of the history want comes along too.
    let needed = toolchains.plan.artifacts.keys();
    let mut targets = channel::targets_of(needed);
    targets.extend(toolchains.orders.values().flat_map(|order| order.wanted.targets.iter().cloned()));
    pack::Plan {
        created: options.created,
        kind: if parent.is_some() { BundleKind::Delta } else { BundleKind::Full },
        repair: matches!(options.mode, Mode::Repair { .. }),
        parent,
        lineage: Lineage { id: plan.lineage.clone(), sequence: plan.sequence, inputs: inputs.collect() },
        carried: Vec::new(),
        targets: targets.into_iter().collect(),
        toolchains: toolchains.plan.toolchains.clone(),
        index_read: options.created,
        crates: records,
        artifacts,
        refreshed: refreshed.lines.values().map(refreshed_record).collect(),
        files: entries(options, gathered),
    }
}

fn refreshed_record(line: &IndexLine) -> Refreshed {
    let CrateId { name, version } = line.id.clone();
    Refreshed { name, version, sha256: line.cksum, yanked: line.yanked }
}

/// Where a rustup artifact's bytes are.
fn artifact_record(held: &HeldArtifact, toolchains: &toolchains::Gathered) -> ArtifactRecord {
    let needed = toolchains.plan.artifacts.get(&held.path).filter(|needed| needed.sha256 == held.sha256);
    ArtifactRecord {
        path: held.path.clone(),
        sha256: held.sha256,
        size: held.size,
        state: match needed {
            Some(needed) if needed.bytes.is_some() => ArtifactState::Shipped,
            Some(_) => ArtifactState::Sent,
            None => ArtifactState::Kept,
        },
        read: None,
    }
}

fn entries(
    options: &Options,
    Gathered { resolved, files, toolchains, refreshed }: &Gathered,
) -> Vec<(Artifact, Bytes)> {
    let mut entries: Vec<(Artifact, Bytes)> = Vec::new();
    for (id, file) in files {
        if let Some(line) = resolved.crates.get(id) {
            let artifact = Artifact { path: id.crate_path(), size: file.size, sha256: line.cksum, kind: Kind::Crate };
            entries.push((artifact, Bytes::File(file.path.clone())));
        }
    }
    let mut texts: BTreeMap<&CrateName, String> = BTreeMap::new();
    let lines: BTreeMap<&CrateId, &IndexLine> = resolved.crates.iter().chain(&refreshed.lines).collect();
    for (id, line) in lines {
        // Writing to memory cannot fail.
        let _written = writeln!(texts.entry(&id.name).or_default(), "{}", line.raw).is_ok();
    }
    for (name, text) in texts {
        let path = format!("index/{}", name.index_path());
        entries.push(text_entry(&path, text, Kind::Index));
    }
    for (path, needed) in &toolchains.plan.artifacts {
        if let (Some(bytes), Some(size), Some(kind)) = (&needed.bytes, needed.size, Kind::of_path(path)) {
            entries.push((Artifact { path: path.clone(), size, sha256: needed.sha256, kind }, bytes.clone()));
        }
    }
    entries.push(text_entry("config.toml", client_config::cargo_config(options.base_url.as_str()), Kind::Config));
    entries
}

fn text_entry(path: &str, text: String, kind: Kind) -> (Artifact, Bytes) {
    let bytes = text.into_bytes();
    let path: SafePath = path.parse().expect("index paths of parsed names are safe");
    let artifact = Artifact { path, size: bytes.len() as u64, sha256: Sha256::of(&bytes), kind };
    (artifact, Bytes::Memory(bytes))
}
