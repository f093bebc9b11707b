//! Adds the crates that the Cargo.lock inside rust-src names. Without them `-Zbuild-std` fails behind the gap.

use std::collections::BTreeSet;

use crate::event::{self, Sink};
use crate::fetch::crate_downloader::CrateDownloader;
use crate::fetch::resolve::{self, Resolution, Resolver};
use crate::fetch::toolchain_plan::ToolchainPlan;
use crate::inputs::lockfile::Lockfile;
use crate::safe_path::SafePath;
use crate::upstream::dist::{self, DistDownloader, PlannedFile};

/// The lock of one rust-src.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StdLock {
    lockfile: Lockfile,
    /// Indices of the inputs that need this lock.
    input_indexes: BTreeSet<usize>,
}

impl StdLock {
    pub(super) fn lockfile(&self) -> &Lockfile {
        &self.lockfile
    }
}

/// The locks in every rust-src that is `planned`. A rust-src that only other inputs of the history need counts for
/// the first input of this run with toolchains: its crates change with their channel. A kept rust-src keeps its crates.
pub(super) async fn fetch_std_locks(
    inputs: &[resolve::Input],
    planned: &ToolchainPlan,
    dist: &DistDownloader,
    sink: &dyn Sink,
) -> Result<Vec<StdLock>, dist::Error> {
    let needs = |input: &resolve::Input, path: &SafePath| {
        let mut kept = planned.kept.get(&input.id()).into_iter().flatten();
        planned.needed_paths.get(&input.id()).is_some_and(|paths| paths.contains(path))
            || kept.any(|file| file.path == *path)
    };
    let mut sources = planned.downloads.clone();
    for file in planned.kept.values().flatten() {
        let kept = PlannedFile::new(file.sha256);
        sources.files.entry(file.path.clone()).or_insert(kept);
    }
    if planned.requests.is_empty() {
        // What only other inputs need stays with what the history has for them.
        sources.files.retain(|path, _| inputs.iter().any(|input| needs(input, path)));
    }
    let mut locks = Vec::new();
    for (path, lockfile) in dist.fetch_std_locks(&sources).await? {
        let numbered = || inputs.iter().enumerate();
        let mut owners: BTreeSet<usize> =
            numbered().filter(|(_, input)| needs(input, &path)).map(|(number, _)| number).collect();
        if owners.is_empty() {
            let first = numbered().find(|(_, input)| planned.requests.contains_key(&input.id()));
            owners.extend(first.map(|(number, _)| number));
        }
        locks.push(StdLock { lockfile, input_indexes: owners });
    }
    let all: BTreeSet<_> = locks.iter().flat_map(|lock| lock.lockfile.packages.keys()).collect();
    if !all.is_empty() {
        let crates = event::format_crates(all.len() as u64);
        sink.status("Including", format!("{crates} of the standard library, for -Zbuild-std with rust-src"));
    }
    Ok(locks)
}

/// The needs of `inputs`, each with the crates of its locks.
pub(super) async fn resolve_with_std_locks(
    resolver: &Resolver,
    inputs: &[resolve::Input],
    locks: &[StdLock],
    downloads: &CrateDownloader,
) -> Result<Resolution, resolve::Error> {
    let std_inputs = locks.iter().map(|lock| resolve::Input::Lockfile(lock.lockfile.clone()));
    let all: Vec<resolve::Input> = inputs.iter().cloned().chain(std_inputs).collect();
    let mut resolved = resolver.resolve(&all, downloads).await?;
    let extras = resolved.inputs.split_off(inputs.len().min(resolved.inputs.len()));
    for (extra, lock) in extras.into_iter().zip(locks) {
        for (_, input) in
            resolved.inputs.iter_mut().enumerate().filter(|(number, _)| lock.input_indexes.contains(number))
        {
            input.ids.extend(extra.ids.iter().cloned());
        }
    }
    Ok(resolved)
}
