//! Creates the text of a depends.toml from workspaces, and updates `[locked]` in an existing one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{Dependency, Package};
use cargo_util_schemas::core::SourceKind;
use cargo_util_schemas::lockfile::TomlLockfileSourceId;
use semver::{Op, VersionReq};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

use crate::crate_id::{CrateId, CrateName, Version};
use crate::fetch::workspace::Workspace;
use crate::inputs::depends::{self, DependsFile, Platforms, Requirement, check_feature_name, comment_on_left_out};
use crate::inputs::lockfile::{ForeignPackage, ForeignSource, Lockfile, is_crates_io};
use crate::inputs::toolchain_file::ToolchainFile;

mod update_locked;

pub use update_locked::update_locked;

/// The default host; `fetch` uses the same one.
const DEFAULT_HOST: &str = "x86_64-unknown-linux-gnu";

/// The needs of workspaces, merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkspaceDependencies {
    /// The members' own requirements, if they are requested.
    pub direct: Option<BTreeMap<CrateName, Vec<Requirement>>>,
    /// The packages of the lock files, if they are requested.
    pub locked: Option<BTreeMap<CrateName, BTreeSet<Version>>>,
    /// Packages from git and from other registries.
    pub skipped: BTreeSet<ForeignPackage>,
    /// The content of rust-toolchain.toml, if it exists.
    pub platforms: Option<Platforms>,
}

/// Why a depends.toml cannot be updated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The existing file is invalid.
    #[error(transparent)]
    Depends(#[from] depends::Error),
    /// The edit has a wrong result; nothing was written.
    #[error("could not update `[locked]` in `{path}`: {what}")]
    Edit {
        /// The file.
        path: String,
        /// The cause.
        what: String,
    },
}

/// cargo accepts the dependency of a manifest, but this program does not.
#[derive(Debug, thiserror::Error)]
#[error("`{member}` depends on `{dependency}`, which cannot be requested: {reason}")]
pub struct InvalidDependency {
    /// The member.
    pub member: String,
    /// The dependency's crate.
    pub dependency: String,
    /// The cause.
    pub reason: String,
}

impl WorkspaceDependencies {
    /// Adds the packages of a lock file.
    pub fn add_lockfile(&mut self, lock: &Lockfile) {
        let locked = self.locked.get_or_insert_default();
        for id in lock.packages.keys().chain(lock.unbuilt.keys()) {
            let CrateId { name, version } = id.clone();
            locked.entry(name).or_default().insert(version);
        }
        self.skipped.extend(lock.foreign.iter().cloned());
    }

    /// Adds the members' own requirements: of every kind, of every target, optional or not.
    ///
    /// Features are merged if the requirement is the same; different requirements of one crate become alternatives.
    /// Features that a member's own features enable in a dependency (`"tokio/net"`) are included.
    pub fn add_members(&mut self, workspace: &Workspace) -> Result<(), InvalidDependency> {
        self.direct.get_or_insert_default();
        for member in &workspace.members {
            for dependency in &member.dependencies {
                self.add_dependency(member, dependency)?;
            }
        }
        Ok(())
    }

    fn add_dependency(&mut self, member: &Package, dependency: &Dependency) -> Result<(), InvalidDependency> {
        let invalid = |why: String| InvalidDependency {
            member: member.name.to_string(),
            dependency: dependency.name.clone(),
            reason: why,
        };
        // A path dependency is part of the user's own source tree, even if it also has a version for publishing.
        let (Some(source), None) = (&dependency.source, &dependency.path) else {
            return Ok(());
        };
        let source = TomlLockfileSourceId::new(source.repr.clone()).map_err(|error| invalid(error.to_string()))?;
        if !is_crates_io(&source) {
            let foreign = ForeignPackage {
                name: dependency.name.clone(),
                version: format_requirement(&dependency.req),
                source: match source.kind() {
                    SourceKind::Git(_) => ForeignSource::Git { url: crate::inputs::lockfile::redacted_url(&source) },
                    _ => ForeignSource::Registry { url: crate::inputs::lockfile::redacted_url(&source) },
                },
                unused_patch: false,
            };
            self.skipped.insert(foreign);
            return Ok(());
        }
        let name: CrateName =
            dependency.name.parse().map_err(|error: crate::crate_id::InvalidCrateName| invalid(error.to_string()))?;
        let mut features = dependency.features.clone();
        features.extend(enabled_features(member, dependency));
        features.retain(|feature| check_feature_name(feature).is_ok());
        let wanted = Requirement {
            version: format_requirement(&dependency.req),
            features,
            default_features: dependency.uses_default_features,
        };
        merge_requirement(self.direct.get_or_insert_default().entry(name).or_default(), wanted);
        Ok(())
    }

    /// Adds the toolchain of a project.
    pub fn add_toolchain(&mut self, file: &ToolchainFile) {
        if file.toolchain.is_some() {
            file.add_to_platforms(self.platforms.get_or_insert_default(), &[DEFAULT_HOST.to_owned()]);
        }
    }

    /// The total number of requirements; a crate with alternatives has several.
    pub fn direct_count(&self) -> usize {
        self.direct.iter().flat_map(BTreeMap::values).map(Vec::len).sum()
    }

    /// The total number of exact versions.
    pub fn locked_count(&self) -> usize {
        self.locked.iter().flat_map(BTreeMap::values).map(BTreeSet::len).sum()
    }

    /// The text of a new depends.toml.
    pub fn to_toml(&self) -> String {
        let mut document = DocumentMut::new();
        let mut header = "# Crates to carry across the air gap. Written by `cargo frostmirror init`.\n".to_owned();
        if let Some(direct) = &self.direct {
            let mut table = Table::new();
            for (name, alternatives) in direct {
                table.insert(name.as_str(), Item::Value(alternatives_value(alternatives)));
            }
            header.push_str("\n# The requirements of the workspace's members.\n");
            if self.locked.is_none() {
                header.push_str(&comment_on_left_out(&self.skipped));
            }
            table.decor_mut().set_prefix(std::mem::take(&mut header));
            document.insert("dependencies", Item::Table(table));
        }
        if let Some(locked) = &self.locked {
            let mut table = Table::new();
            for (name, versions) in locked {
                table.insert(name.as_str(), Item::Value(versions_value(versions)));
            }
            header.push_str(
                "\n# Every crates.io package in Cargo.lock. `cargo frostmirror init --update` updates this table.\n",
            );
            header.push_str(&comment_on_left_out(&self.skipped));
            table.decor_mut().set_prefix(std::mem::take(&mut header));
            document.insert("locked", Item::Table(table));
        }
        if let Some(platforms) = &self.platforms {
            let mut table = Table::new();
            let mut put = |key: &str, terms: &[String]| {
                if !terms.is_empty() {
                    table.insert(key, Item::Value(terms.iter().map(String::as_str).collect::<Array>().into()));
                }
            };
            let toolchains: Vec<String> = platforms.toolchain.iter().map(ToString::to_string).collect();
            put("targets", &platforms.targets);
            put("toolchain", &toolchains);
            put("components", &platforms.components);
            if let Some(profile) = platforms.profile {
                table.insert("profile", Item::Value(profile.as_str().into()));
            }
            header.push_str("\n# The project's toolchain, from rust-toolchain.toml.\n");
            table.decor_mut().set_prefix(header);
            document.insert("platforms", Item::Table(table));
        }
        document.to_string()
    }
}

/// The features of a dependency that the member's own features enable as `dependency/feature` or `dependency?/feature`.
fn enabled_features<'m>(member: &'m Package, dependency: &'m Dependency) -> impl Iterator<Item = String> + 'm {
    let key = dependency.rename.as_deref().unwrap_or(&dependency.name);
    member.features.values().flatten().filter_map(move |value| {
        let (name, feature) = value.split_once('/')?;
        (name.strip_suffix('?').unwrap_or(name) == key).then(|| feature.to_owned())
    })
}

/// Adds a requirement to those of the same crate: an existing one with the same versions gets its features.
fn merge_requirement(alternatives: &mut Vec<Requirement>, wanted: Requirement) {
    let index = match alternatives.iter().position(|stored| stored.version == wanted.version) {
        Some(index) => {
            let stored = &mut alternatives[index];
            stored.default_features |= wanted.default_features;
            stored.features.extend(wanted.features);
            index
        }
        None => {
            let index = alternatives.partition_point(|stored| stored.version < wanted.version);
            alternatives.insert(index, wanted);
            index
        }
    };
    let features = &mut alternatives[index].features;
    features.sort();
    features.dedup();
}

/// A requirement in its usual form: `1.2`, not `^1.2`.
fn format_requirement(req: &VersionReq) -> String {
    let text = req.to_string();
    match req.comparators.as_slice() {
        [only] if only.op == Op::Caret => text.trim_start_matches('^').to_owned(),
        _ => text,
    }
}

fn alternatives_value(alternatives: &[Requirement]) -> Value {
    match alternatives {
        [only] => requirement_value(only),
        several => several.iter().map(requirement_value).collect::<Array>().into(),
    }
}

fn requirement_value(requirement: &Requirement) -> Value {
    if requirement.features.is_empty() && requirement.default_features {
        return requirement.version.as_str().into();
    }
    let mut table = InlineTable::new();
    table.insert("version", requirement.version.as_str().into());
    if !requirement.default_features {
        table.insert("default-features", false.into());
    }
    if !requirement.features.is_empty() {
        table.insert("features", requirement.features.iter().map(String::as_str).collect::<Array>().into());
    }
    table.into()
}

fn versions_value(versions: &BTreeSet<Version>) -> Value {
    let mut texts = versions.iter().map(Version::to_string);
    match (texts.next(), texts.next()) {
        (Some(only), None) => only.into(),
        (first, second) => first.into_iter().chain(second).chain(texts).collect::<Array>().into(),
    }
}

/// Parses a text as a depends.toml: `fetch` must be able to read the output of `init`.
fn parse_depends(text: &str, path: &Path) -> Result<DependsFile, depends::Error> {
    DependsFile::parse(text, path)
}
