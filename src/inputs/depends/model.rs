//! The content of a depends.toml.

use std::path::PathBuf;
use std::sync::Arc;

use super::platforms::Platforms;
use crate::crate_id::{CrateId, CrateName};
use crate::inputs::input_id::Label;
use crate::inputs::lockfile::ForeignPackage;

/// The content of a depends.toml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DependsFile {
    /// The file.
    pub path: PathBuf,
    /// Its text. Errors show the lines that requested a crate.
    pub text: Arc<str>,
    /// Its label in a history.
    pub label: Label,
    /// The groups that have entries, in the file's order.
    pub groups: Vec<Group>,
    /// `[locked]`: exact versions, sorted, each once.
    pub locked: Vec<CrateId>,
    /// `[platforms]`, if it exists.
    pub platforms: Option<Platforms>,
    /// Packages that the comment of `init` names: the workspace needs them, and this file cannot list them.
    pub left_out: Vec<ForeignPackage>,
}

/// Entries that are resolved together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The digits of `[dependencies.2]`; `None` for `[dependencies]` itself.
    pub number: Option<String>,
    /// Never empty; in the file's order.
    pub entries: Vec<Entry>,
}

/// One key of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key as written: the name that Cargo.toml would have.
    pub key: String,
    /// The crate: `package`, else the key.
    pub package: CrateName,
    /// Never empty: one for each element of an array, else one.
    pub alternatives: Vec<Requirement>,
}

/// The requirement for one crate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// A version requirement that semver accepts, as written.
    pub version: String,
    /// Features, as written; each is a valid name of a feature, without `/` and `dep:`.
    pub features: Vec<String>,
    /// Whether the default features are enabled.
    pub default_features: bool,
}
