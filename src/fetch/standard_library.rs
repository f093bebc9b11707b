//! With rust-src come the crates that its own Cargo.lock names: without them `-Zbuild-std` fails behind the gap.

use std::collections::BTreeSet;

use super::{Error, Options, Station, toolchains};
use crate::event;
use crate::gather::download::Downloads;
use crate::gather::lockfile::Lockfile;
use crate::gather::resolve::{self, Resolved, Resolver};
use crate::safe_path::SafePath;

/// The lock of one rust-src.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StdLock {
    lockfile: Lockfile,
    /// Positions of the inputs that it counts for.
    owners: BTreeSet<usize>,
}

impl Station<'_> {
    /// The locks in every rust-src that is `planned`. What only other inputs of the history want of it counts for the
    /// first of today's that wants toolchains: its crates move along with their channel.
    pub(super) async fn std_locks(
        &self,
        options: &Options,
        inputs: &[resolve::Input],
        planned: &toolchains::Gathered,
    ) -> Result<Vec<StdLock>, Error> {
        if planned.orders.is_empty() {
            return Ok(Vec::new());
        }
        let needs = |input: &resolve::Input, path: &SafePath| {
            planned.needs.get(&input.id()).is_some_and(|paths| paths.contains(path))
        };
        let mut locks = Vec::new();
        for (path, lockfile) in self.dist(options).std_locks(&planned.plan).await? {
            let numbered = || inputs.iter().enumerate();
            let mut owners: BTreeSet<usize> =
                numbered().filter(|(_, input)| needs(input, &path)).map(|(number, _)| number).collect();
            if owners.is_empty() {
                let first = numbered().find(|(_, input)| planned.orders.contains_key(&input.id()));
                owners.extend(first.map(|(number, _)| number));
            }
            locks.push(StdLock { lockfile, owners });
        }
        let all: BTreeSet<_> =
            locks.iter().flat_map(|lock| &lock.lockfile.packages).map(|package| &package.id).collect();
        if !all.is_empty() {
            let crates = event::crates(all.len() as u64);
            self.sink.status("Including", format!("{crates} of the standard library, for -Zbuild-std with rust-src"));
        }
        Ok(locks)
    }
}

/// The locks as inputs of their own.
pub(super) fn inputs_of(locks: &[StdLock]) -> impl Iterator<Item = resolve::Input> {
    locks.iter().map(|lock| resolve::Input::Lockfile(lock.lockfile.clone()))
}

/// What `inputs` need, and each with what the locks name that count for it.
pub(super) async fn resolve(
    resolver: &Resolver,
    inputs: &[resolve::Input],
    locks: &[StdLock],
    downloads: &Downloads,
) -> Result<Resolved, resolve::Error> {
    let all: Vec<resolve::Input> = inputs.iter().cloned().chain(inputs_of(locks)).collect();
    let mut resolved = resolver.resolve(&all, downloads).await?;
    let extras = resolved.inputs.split_off(inputs.len().min(resolved.inputs.len()));
    for (extra, lock) in extras.into_iter().zip(locks) {
        for (_, input) in resolved.inputs.iter_mut().enumerate().filter(|(number, _)| lock.owners.contains(number)) {
            input.ids.extend(extra.ids.iter().cloned());
        }
    }
    Ok(resolved)
}
