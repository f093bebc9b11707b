//! One pass of cargo: a scratch project with these dependencies, locked, and gone again.

use std::fs;

use semver::VersionReq;
use toml_edit::{Array, DocumentMut, InlineTable, Value, value};

use super::words;
use super::{Error, Resolver};
use crate::crate_id::{CrateName, Version};
use crate::gather::depends::Requirement;
use crate::gather::foresight::Wish;
use crate::gather::lockfile::Lockfile;

/// A dependency of the scratch project.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The key that it has there; unique in a pass.
    pub(super) key: String,
    pub(super) package: CrateName,
    pub(super) requirement: Requirement,
    /// Whether it is an element of an array.
    pub(super) one_of_many: bool,
    /// As the user wrote it.
    pub(super) written: String,
}

impl Item {
    pub(super) fn wish(&self) -> Wish {
        Wish {
            name: self.package.clone(),
            req: self.requirement.version.parse().unwrap_or(VersionReq::STAR),
            features: self.requirement.features.iter().cloned().collect(),
            default_features: self.requirement.default_features,
        }
    }
}

impl Resolver {
    /// Locks `items` together, as a project of `rust` would have them, where it is given: of two versions cargo then
    /// prefers one that this compiler builds (cargo: the resolver's `incompatible-rust-versions`, `fallback` from
    /// resolver 3 on). The inner error is cargo's: there is no solution.
    pub(super) async fn pass(&self, items: &[Item], rust: Option<&Version>) -> Result<Result<Lockfile, String>, Error> {
        let project = tempfile::Builder::new().prefix("frostmirror-scratch-").tempdir().map_err(Error::Scratch)?;
        let folder = &std::path::absolute(project.path()).map_err(Error::Scratch)?;
        fs::write(folder.join("Cargo.toml"), self.manifest(items, rust)).map_err(Error::Scratch)?;
        // An empty target is enough: nothing is ever built.
        fs::write(folder.join("lib.rs"), "").map_err(Error::Scratch)?;
        let outcome = self.cargo.generate_lockfile(&self.loopback, &folder.join("Cargo.toml")).await?;
        if outcome.success {
            let lockfile = Lockfile::read(&folder.join("Cargo.lock"))?;
            // A registry's crate may depend on another registry's.
            self.refuse_foreign(&lockfile, "the resolution of what was asked for")?;
            return Ok(Ok(lockfile));
        }
        // Without an index file, cargo says that there is no such crate. It is not cargo who knows what happened.
        if let Some(failure) = self.loopback.failure() {
            return Err(Error::Index(failure));
        }
        Ok(Err(words::for_people(&outcome.words, self.loopback.address())))
    }

    /// The scratch project's manifest. Everything goes in as TOML values: no text of a user's can become a key.
    fn manifest(&self, items: &[Item], rust: Option<&Version>) -> String {
        let mut manifest = DocumentMut::new();
        manifest["package"]["name"] = value(words::SCRATCH);
        manifest["package"]["version"] = value("0.0.0");
        manifest["package"]["edition"] = value(edition(rust));
        if let Some(rust) = rust {
            manifest["package"]["rust-version"] = value(rust.to_string());
        }
        manifest["package"]["publish"] = value(false);
        manifest["lib"]["path"] = value("lib.rs");
        // A workspace of its own, whatever lies above the temporary folder.
        manifest["workspace"]["resolver"] = value(self.cargo.resolver());
        for item in items {
            manifest["dependencies"][&item.key] = value(dependency(item));
        }
        manifest.to_string()
    }
}

/// The newest edition up to 2021 that the compiler knows; cargo refuses a manifest where it does not.
fn edition(rust: Option<&Version>) -> &'static str {
    match rust {
        Some(rust) if *rust < Version::new(1, 31, 0) => "2015",
        Some(rust) if *rust < Version::new(1, 56, 0) => "2018",
        _ => "2021",
    }
}

fn dependency(item: &Item) -> InlineTable {
    let requirement = &item.requirement;
    let mut table = InlineTable::new();
    table.insert("package", Value::from(item.package.as_str()));
    table.insert("version", Value::from(requirement.version.as_str()));
    if !requirement.default_features {
        table.insert("default-features", Value::from(false));
    }
    if !requirement.features.is_empty() {
        let features: Array = requirement.features.iter().collect();
        table.insert("features", Value::from(features));
    }
    table
}
