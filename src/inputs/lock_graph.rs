//! The packages of a Cargo.lock that are reachable from some of its packages.
//!
//! Cargo writes dev-dependencies of workspace members into a lock, and of no other package (cargo:
//! src/cargo/core/resolver/encode.rs).

use std::collections::{BTreeSet, HashMap};

use cargo_util_schemas::lockfile::{TomlLockfile, TomlLockfileDependency, TomlLockfilePackageId};

/// The name and the version of a package in the lock.
pub type PackageKey = (String, String);

/// The packages of a lock and their dependencies.
#[derive(Debug)]
pub struct LockGraph {
    packages: Vec<TomlLockfileDependency>,
    by_name: HashMap<String, Vec<usize>>,
}

impl LockGraph {
    /// Parses a lock's text.
    ///
    /// # Errors
    /// The text is not a Cargo.lock.
    pub fn parse(text: &str) -> Result<LockGraph, toml::de::Error> {
        let packages = toml::from_str::<TomlLockfile>(text)?.package.unwrap_or_default();
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (position, package) in packages.iter().enumerate() {
            by_name.entry(package.name.clone()).or_default().push(position);
        }
        Ok(LockGraph { packages, by_name })
    }

    /// The packages that are reachable from the workspace members `roots`, including the roots.
    pub fn reachable_from(&self, roots: &[&str]) -> BTreeSet<PackageKey> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<usize> = Vec::new();
        let mut visit = |position: usize, next: &mut Vec<usize>| {
            if reached.insert(position) {
                next.push(position);
            }
        };
        let is_root =
            |package: &TomlLockfileDependency| package.source.is_none() && roots.contains(&package.name.as_str());
        for (position, _) in self.packages.iter().enumerate().filter(|(_, package)| is_root(package)) {
            visit(position, &mut next);
        }
        while let Some(position) = next.pop() {
            let dependencies = self.packages.get(position).and_then(|package| package.dependencies.as_ref());
            for found in dependencies
                .into_iter()
                .flatten()
                .flat_map(|dependency| self.find_dependency(dependency))
                .collect::<Vec<usize>>()
            {
                visit(found, &mut next);
            }
        }
        let found = reached.iter().filter_map(|position| self.packages.get(*position));
        found.map(|package| (package.name.clone(), package.version.clone())).collect()
    }

    /// The packages that match a dependency: a lock gives only the parts that are needed to distinguish it.
    fn find_dependency(&self, dependency: &TomlLockfilePackageId) -> impl Iterator<Item = usize> {
        let named = self.by_name.get(&dependency.name).map(Vec::as_slice).unwrap_or_default();
        named.iter().copied().filter(|position| {
            let Some(package) = self.packages.get(*position) else { return false };
            dependency.version.as_ref().is_none_or(|version| *version == package.version)
                && (dependency.source.is_none() || dependency.source == package.source)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dependencies_of_the_roots_are_reachable() {
        let package = |name: &str, version: &str, dependencies: &str| {
            format!("[[package]]\nname = {name:?}\nversion = {version:?}\ndependencies = [{dependencies}]\n\n")
        };
        let text = [
            package("std", "0.0.0", "\"normal 2.0.0\""),
            package("normal", "1.0.0", "\"old\""),
            package("normal", "2.0.0", "\"core\", \"normal 2.0.0\""),
            package("core", "0.0.0", ""),
            package("compiler", "0.0.0", "\"normal 1.0.0\""),
            package("old", "1.0.0", ""),
            package("test", "1.0.0", "\"old\"")
                .replace("dependencies", "source = \"registry+https://a.example\"\ndependencies"),
        ]
        .concat();
        let graph = LockGraph::parse(&text).expect("a lock");
        let found = |roots: &[&str]| {
            let packages = graph.reachable_from(roots).into_iter();
            packages.map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(found(&["std", "test"]), "core 0.0.0, normal 2.0.0, std 0.0.0");
        assert_eq!(found(&["compiler"]), "compiler 0.0.0, normal 1.0.0, old 1.0.0");
        assert_eq!(found(&["absent"]), "");
    }
}
