//! A dependency of a scratch project.

use semver::VersionReq;

use crate::crate_id::{CrateId, CrateName};
use crate::inputs::depends::Requirement;
use crate::upstream::prefetch::DependencyQuery;

/// A dependency of the scratch project.
#[derive(Clone, Debug)]
pub(super) struct ScratchDependency {
    /// Its key in the scratch project; unique in a pass.
    pub(super) key: String,
    pub(super) package: CrateName,
    pub(super) requirement: Requirement,
    /// Whether it is an element of an array.
    pub(super) is_alternative: bool,
    /// Its key in depends.toml, and its index in the array of the entry.
    pub(super) origin: (String, usize),
    /// As the user wrote it.
    pub(super) source_text: String,
}

impl ScratchDependency {
    /// One version of a crate, with its default features.
    pub(super) fn exact_version(id: &CrateId) -> ScratchDependency {
        let version = format!("={}", id.version);
        ScratchDependency {
            key: id.name.to_string(),
            package: id.name.clone(),
            source_text: format!("{} = \"{version}\"", id.name),
            requirement: Requirement { version, features: Vec::new(), default_features: true },
            is_alternative: false,
            origin: (id.name.to_string(), 0),
        }
    }

    pub(super) fn dependency_query(&self) -> DependencyQuery {
        DependencyQuery {
            name: self.package.clone(),
            req: self.requirement.version.parse().unwrap_or(VersionReq::STAR),
            features: self.requirement.features.iter().cloned().collect(),
            default_features: self.requirement.default_features,
        }
    }
}
