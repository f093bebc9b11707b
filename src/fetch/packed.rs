//! From what was gathered to a bundle in its place: planned, written, verified, published, recorded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::{Error, Options, Outcome, Written};
use crate::artifact::{Artifact, Bytes, Kind};
use crate::bundle::format::{BundleKind, CrateRecord, CrateState, Input, Lineage};
use crate::bundle::{about, pack, verify};
use crate::client_config;
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::durable;
use crate::event::{self, Sink};
use crate::gather::download::Downloaded;
use crate::gather::history::{self, Held, History, InputSet};
use crate::gather::resolve::Resolved;
use crate::safe_path::SafePath;

/// Problems of a bundle that are quoted when it does not verify; the rest is counted.
const QUOTED: usize = 5;

/// Writes the bundle of what was gathered.
pub fn write(
    options: &Options,
    resolved: &Resolved,
    files: &BTreeMap<CrateId, Downloaded>,
    sink: &dyn Sink,
) -> Result<Outcome, Error> {
    let mut history = History::open(&options.history, sink)?;
    let plan = history.plan(input_sets(resolved, files), &[])?;
    if let (false, Some(newest), Some(delivered)) = (plan.news, &plan.parent, &options.delivered)
        && delivered(&newest.id)
    {
        return Ok(Outcome::NothingNew);
    }
    durable::make_folder(&options.output).map_err(|source| Error::Folder { path: options.output.clone(), source })?;
    let written = pack::write(pack_plan(options, &plan, resolved, files), &options.output, sink)?;
    let verdict = verify::verify(written.path(), &options.surroundings.scratch, sink)?;
    if !verdict.problems.is_empty() {
        let quoted: Vec<String> = verdict.problems.iter().take(QUOTED).map(ToString::to_string).collect();
        let more = verdict.problems.len().saturating_sub(QUOTED);
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        return Err(Error::Unsound(quoted.join("; ") + &more));
    }
    let (id, size, created) = (written.id.clone(), written.size, written.manifest.created.clone());
    let count = written.manifest.count(Kind::Crate);
    // The name and the history belong together: from here on it is as good as done.
    if !sink.settle() {
        return Err(pack::Error::Stopped.into());
    }
    let path = written.publish(&|_| false)?;
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let record =
        history::Bundle { id: id.clone(), file, sequence: plan.sequence, created, kind: BundleKind::Full.to_string() };
    if let Err(error) = history.record(&plan, record) {
        // A bundle that the history does not know of would be missing from the next one's lineage.
        let _gone = std::fs::remove_file(&path).is_ok();
        return Err(error.into());
    }
    sink.status("Packed", format!("{} into {} ({})", event::crates(count as u64), path.display(), event::size(size)));
    Ok(Outcome::Written(Written { path, size, id, crates: count }))
}

fn input_sets(resolved: &Resolved, files: &BTreeMap<CrateId, Downloaded>) -> Vec<InputSet> {
    let held = |id: &CrateId| {
        let line = resolved.crates.get(id)?;
        let size = files.get(id).map_or(0, |file| file.size);
        Some(Held { name: id.name.clone(), version: id.version.clone(), sha256: line.cksum, size, yanked: line.yanked })
    };
    let set = |input: &crate::gather::resolve::ResolvedInput| InputSet {
        name: input.name.clone(),
        roots: input.roots.clone(),
        crates: input.ids.iter().filter_map(held).collect(),
    };
    resolved.inputs.iter().map(set).collect()
}

fn pack_plan(
    options: &Options,
    plan: &history::Plan,
    resolved: &Resolved,
    files: &BTreeMap<CrateId, Downloaded>,
) -> pack::Plan {
    let on_disk: Vec<(CrateId, PathBuf)> = files.iter().map(|(id, file)| (id.clone(), file.path.clone())).collect();
    let described: BTreeMap<&CrateId, about::About> = on_disk
        .iter()
        .map(|(id, _)| id)
        .zip(about::about_all(&on_disk))
        .filter_map(|(id, about)| Some((id, about?)))
        .collect();
    let mut records = Vec::new();
    let mut positions: BTreeMap<CrateId, u32> = BTreeMap::new();
    for (position, (id, held)) in (0u32..).zip(&plan.crates) {
        positions.insert(id.clone(), position);
        let about = described.get(id).cloned().unwrap_or_default();
        records.push(CrateRecord {
            name: held.name.clone(),
            version: held.version.clone(),
            sha256: held.sha256,
            size: held.size,
            // What only other inputs of the lineage need was sent with theirs; it is named so that it stays current.
            state: if files.contains_key(id) { CrateState::Shipped } else { CrateState::Kept },
            yanked: held.yanked,
            description: about.description,
            license: about.license,
            repository: about.repository,
        });
    }
    let inputs = plan.inputs.iter().map(|input| Input {
        name: input.name.clone(),
        roots: input.roots.clone(),
        crates: input.crates.iter().filter_map(|held| positions.get(&held.id()).copied()).collect(),
    });
    pack::Plan {
        created: options.created,
        kind: BundleKind::Full,
        parent: None,
        lineage: Lineage { id: plan.lineage.clone(), sequence: plan.sequence, inputs: inputs.collect() },
        targets: Vec::new(),
        toolchains: Vec::new(),
        index_read: options.created,
        crates: records,
        files: entries(options, resolved, files),
    }
}

fn entries(options: &Options, resolved: &Resolved, files: &BTreeMap<CrateId, Downloaded>) -> Vec<(Artifact, Bytes)> {
    let mut entries: Vec<(Artifact, Bytes)> = Vec::new();
    for (id, file) in files {
        if let Some(line) = resolved.crates.get(id) {
            let artifact = Artifact { path: id.crate_path(), size: file.size, sha256: line.cksum, kind: Kind::Crate };
            entries.push((artifact, Bytes::File(file.path.clone())));
        }
    }
    let mut texts: BTreeMap<&CrateName, String> = BTreeMap::new();
    for (id, line) in &resolved.crates {
        // Writing to memory cannot fail.
        let _written = writeln!(texts.entry(&id.name).or_default(), "{}", line.raw).is_ok();
    }
    for (name, text) in texts {
        let path = format!("index/{}", name.index_path());
        entries.push(text_entry(&path, text, Kind::Index));
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
