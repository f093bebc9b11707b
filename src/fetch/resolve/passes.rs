//! The passes over a depends.toml: each entry alone, each group together, and the handling of conflicts in a group.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _};

use super::requested_entries::format_entry;
use super::scratch_dependency::ScratchDependency;
use super::unresolved::{KnownVersions, refused_part};
use super::{CrateSpec, Error, ExactVersions, Resolver, UnresolvedEntry, cargo_errors, locked_versions};
use crate::crate_id::{CrateName, Version};
use crate::event::{Event, Phase};
use crate::inputs::depends::{DependsFile, Group, Location, Requirement};
use crate::inputs::lockfile::Lockfile;

/// One run of cargo.
struct Pass {
    /// The index of its group.
    group: usize,
    kind: PassKind,
    items: Vec<ScratchDependency>,
    /// The Rust version to resolve for; `None`: the installed one.
    rust: Option<Version>,
}

/// The entries of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PassKind {
    /// All entries of a group, and every element of an array.
    WholeGroup,
    /// All entries of a group, and one element of each array. Cargo may satisfy several elements with one version, so
    /// the pass over the whole group does not show how the others resolve with each element.
    OneAlternativeEach,
    /// One element of one entry.
    SingleEntry,
}

impl Resolver {
    /// The needs of the groups of `depends`, together and separately.
    pub(super) async fn resolve_groups(
        &self,
        depends: &DependsFile,
        conflicting: &mut Vec<String>,
    ) -> Result<ExactVersions, Error> {
        let groups: Vec<Vec<ScratchDependency>> = depends.groups.iter().map(group_items).collect();
        for item in groups.iter().flatten() {
            self.index.prefetch(item.dependency_query());
        }
        let mut passes = Vec::new();
        for (group, (described, items)) in depends.groups.iter().zip(&groups).enumerate() {
            // The combined passes take longest; if they start first, they end at about the same time as the others.
            if items.len() > 1 {
                let items = items.clone();
                passes.push(Pass { group, kind: PassKind::WholeGroup, items, rust: None });
            }
            passes.extend(alternative_combinations(described, items).map(|items| Pass {
                group,
                kind: PassKind::OneAlternativeEach,
                items,
                rust: None,
            }));
        }
        for (group, items) in groups.iter().enumerate() {
            let single = items.iter().map(|item| vec![item.clone()]);
            passes.extend(single.map(|items| Pass { group, kind: PassKind::SingleEntry, items, rust: None }));
        }
        // The pinned compiler cannot build newer crates, so its versions are included besides those that a newer
        // compiler would lock.
        if let Some(rust) = depends.oldest_pinned_rust() {
            let pinned = |pass: &Pass| Pass { items: pass.items.clone(), rust: Some(rust.clone()), ..*pass };
            passes = passes.into_iter().flat_map(|pass| [pinned(&pass), pass]).collect();
        }
        let phase = Phase::Resolving;
        self.sink.event(Event::Begin { phase, items: passes.len() as u64, bytes: 0 });
        let outcome = self.run_passes(depends, passes, conflicting).await;
        self.sink.event(Event::End { phase });
        outcome
    }

    /// The needs of one `--crate` in a fresh resolution.
    pub(super) async fn resolve_fresh(&self, spec: &CrateSpec, name: &str) -> Result<ExactVersions, Error> {
        let item = ScratchDependency {
            key: spec.name.to_string(),
            package: spec.name.clone(),
            requirement: Requirement { version: spec.req.to_string(), features: Vec::new(), default_features: true },
            is_alternative: false,
            origin: (spec.name.to_string(), 0),
            source_text: spec.to_string(),
        };
        self.index.prefetch(item.dependency_query());
        match self.run_pass(&[item], None).await? {
            Ok(lockfile) => Ok(locked_versions(&lockfile)),
            Err(terms) => Err(Error::Unresolvable {
                unresolved: vec![UnresolvedEntry {
                    entry: spec.to_string(),
                    package: spec.name.clone(),
                    input: name.to_owned(),
                    versions: self.known_versions(&spec.name, &spec.req.to_string()).await,
                    message: terms,
                    location: None,
                }],
                missing: Vec::new(),
            }),
        }
    }

    /// The versions of a crate, for an error about a request of it. An error of the index is not the error to report.
    async fn known_versions(&self, package: &CrateName, requirement: &str) -> KnownVersions {
        let file = self.index.file(package).await.ok().flatten();
        file.map(|file| KnownVersions::read(&file, requirement)).unwrap_or_default()
    }

    async fn run_passes(
        &self,
        depends: &DependsFile,
        passes: Vec<Pass>,
        conflicting: &mut Vec<String>,
    ) -> Result<ExactVersions, Error> {
        let mut set = ExactVersions::new();
        let mut unresolved = BTreeMap::new();
        let mut conflicts = Vec::new();
        let mut running = stream::iter(passes.into_iter().enumerate())
            .map(|(order, pass)| async move {
                let outcome = self.run_pass(&pass.items, pass.rust.as_ref()).await;
                (order, pass, outcome)
            })
            .buffer_unordered(self.jobs);
        while let Some((order, pass, outcome)) = running.next().await {
            self.report_pass_done();
            match outcome? {
                Ok(lockfile) => add_locked(&mut set, &lockfile),
                Err(terms) if pass.kind != PassKind::SingleEntry => conflicts.push((order, pass, terms)),
                Err(terms) => {
                    let (Some(group), Some(item)) = (depends.groups.get(pass.group), pass.items.into_iter().next())
                    else {
                        continue;
                    };
                    let (key, alternative) = &item.origin;
                    let location = Location::Requirement {
                        group: group.number.as_deref(),
                        key,
                        alternative: *alternative,
                        part: refused_part(&terms, &item.package),
                    };
                    let failed = UnresolvedEntry {
                        location: depends.locate(location),
                        entry: item.source_text,
                        versions: self.known_versions(&item.package, &item.requirement.version).await,
                        package: item.package,
                        input: format!("[{}] in `{}`", table_name(group), depends.path.display()),
                        message: terms,
                    };
                    // The same pass for a pinned compiler fails in the same way, because the compiler only sets a
                    // preference.
                    if !unresolved
                        .values()
                        .any(|known: &UnresolvedEntry| known.entry == failed.entry && known.location == failed.location)
                    {
                        unresolved.insert(order, failed);
                    }
                }
            }
        }
        drop(running);
        if !unresolved.is_empty() {
            let unresolved = unresolved.into_values().collect();
            return Err(Error::Unresolvable { unresolved, missing: Vec::new() });
        }
        conflicts.sort_by_key(|(order, ..)| *order);
        for (_, pass, terms) in conflicts {
            let Some(group) = depends.groups.get(pass.group) else {
                continue;
            };
            let table = table_name(group);
            // The combinations have their own passes.
            if pass.kind == PassKind::WholeGroup && alternative_combinations(group, &pass.items).next().is_some() {
                if pass.rust.is_none() {
                    let how = "the versions of one crate were combined with the rest one at a time";
                    self.sink.status("Conflict", format!("[{table}]: {how}"));
                }
                continue;
            }
            self.drop_conflicting(&table, pass, terms, &mut set, conflicting).await?;
        }
        Ok(set)
    }

    /// Removes the conflicting entries one by one until the rest resolves. Each entry was already resolved alone.
    async fn drop_conflicting(
        &self,
        table: &str,
        Pass { mut items, rust, .. }: Pass,
        mut terms: String,
        set: &mut ExactVersions,
        left_out: &mut Vec<String>,
    ) -> Result<(), Error> {
        while items.len() > 1 {
            let out = items.remove(cargo_errors::culprit(&terms, &items));
            let beside: Vec<String> =
                items.iter().filter(|item| item.is_alternative).map(|item| format!("`{}`", item.source_text)).collect();
            let rest = match beside.as_slice() {
                [] => "the rest".to_owned(),
                some => format!("the rest with {}", some.join(", ")),
            };
            if rust.is_none() {
                self.sink.status(
                    "Conflict",
                    format!("[{table}]: `{}` was resolved separately from {rest}", out.source_text),
                );
            }
            terms.lines().for_each(|line| self.sink.detail("Conflict", line.to_owned()));
            if !left_out.contains(&out.source_text) {
                left_out.push(out.source_text);
            }
            match self.run_pass(&items, rust.as_ref()).await? {
                Ok(lockfile) => {
                    add_locked(set, &lockfile);
                    break;
                }
                Err(next) => terms = next,
            }
        }
        Ok(())
    }

    fn report_pass_done(&self) {
        let phase = Phase::Resolving;
        self.sink.event(Event::Advance { phase, items: 1, bytes: 0 });
    }
}

/// Every alternative of every entry, with unique keys: the elements of an array are of one crate.
fn group_items(group: &Group) -> Vec<ScratchDependency> {
    let alternatives = group.entries.iter().flat_map(|entry| {
        let single = entry.alternatives.len() == 1;
        let key = move |position: usize| match single {
            true => entry.key.clone(),
            false => format!("{}_{}", entry.key, position + 1),
        };
        let numbered = entry.alternatives.iter().enumerate();
        numbered.map(move |(position, one)| (key(position), entry, position, one))
    });
    let mut items: Vec<ScratchDependency> = Vec::new();
    for (mut key, entry, position, one) in alternatives {
        let taken = |key: &str| {
            items.iter().any(|item| item.key == key)
                || group.entries.iter().any(|other| other.key == key && other.key != entry.key)
        };
        while taken(&key) {
            key.push('_');
        }
        items.push(ScratchDependency {
            key,
            package: entry.package.clone(),
            requirement: one.clone(),
            is_alternative: entry.alternatives.len() > 1,
            origin: (entry.key.clone(), position),
            source_text: format_entry(entry, one),
        });
    }
    items
}

/// If a group has arrays and other entries: one element of each array at a time, the last ones first. An array with
/// fewer elements keeps its first.
fn alternative_combinations(
    group: &Group,
    items: &[ScratchDependency],
) -> impl Iterator<Item = Vec<ScratchDependency>> {
    let longest = group.entries.iter().map(|entry| entry.alternatives.len()).max();
    let rounds = longest.filter(|longest| *longest > 1 && group.entries.len() > 1).unwrap_or(0);
    (0..rounds).map(move |round| alternative_combination(group, items, round))
}

fn alternative_combination(group: &Group, items: &[ScratchDependency], round: usize) -> Vec<ScratchDependency> {
    let mut rest = items;
    let mut chosen = Vec::new();
    for entry in &group.entries {
        let (own, others) = rest.split_at(entry.alternatives.len().min(rest.len()));
        chosen.extend(own.get(own.len().saturating_sub(1 + round)).cloned());
        rest = others;
    }
    chosen
}

fn table_name(group: &Group) -> String {
    match &group.number {
        None => "dependencies".to_owned(),
        Some(number) => format!("dependencies.{number}"),
    }
}

fn add_locked(set: &mut ExactVersions, lockfile: &Lockfile) {
    set.extend(locked_versions(lockfile));
}
