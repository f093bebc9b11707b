//! One pass of cargo: creates a scratch project with the dependencies, locks it and removes it.

use std::fs;

use toml::Table;
use toml_edit::{Array, DocumentMut, InlineTable, Value, value};

use super::cargo_errors;
use super::scratch_dependency::ScratchDependency;
use super::{Error, Resolver};
use crate::crate_id::Version;
use crate::fetch::cargo;
use crate::index_line::IndexLine;
use crate::inputs::lockfile::{CRATES_IO_SOURCE, Lockfile};

impl Resolver {
    /// Locks `items` together, as in a project with the Rust version `rust`, if it is given. Cargo then prefers
    /// versions that this compiler builds (cargo: the resolver's `incompatible-rust-versions`, `fallback` from resolver
    /// 3 on). The inner error is cargo's message: there is no solution.
    pub(super) async fn run_pass(
        &self,
        items: &[ScratchDependency],
        rust: Option<&Version>,
    ) -> Result<Result<Lockfile, String>, Error> {
        let locked = self.run_in_project(items, rust, None).await?;
        if let Ok(lockfile) = &locked {
            // A crate of a registry may depend on another registry.
            self.check_foreign(lockfile, "the resolution of the request")?;
        }
        Ok(locked)
    }

    /// Lets cargo update `lock`, the text of the Cargo.lock inside the `.crate` of `line`, for a project that needs
    /// only `item`, that crate. Cargo keeps the locked versions. `None` if there is no solution.
    pub(super) async fn run_pass_with_lock(
        &self,
        item: &ScratchDependency,
        lock: &str,
        line: &IndexLine,
    ) -> Result<Option<Lockfile>, Error> {
        let Some(lock) = lock_for_dependent(lock, line) else { return Ok(None) };
        Ok(self.run_in_project(std::slice::from_ref(item), None, Some(&lock)).await?.ok())
    }

    /// Locks a scratch project, or updates its `lock`. The inner error is cargo's message: there is no solution.
    async fn run_in_project(
        &self,
        items: &[ScratchDependency],
        rust: Option<&Version>,
        lock: Option<&str>,
    ) -> Result<Result<Lockfile, String>, Error> {
        let project =
            tempfile::Builder::new().prefix("project-").tempdir_in(self.cargo.scratch()).map_err(Error::Scratch)?;
        let folder = &std::path::absolute(project.path()).map_err(Error::Scratch)?;
        let manifest = self.scratch_manifest(items, rust);
        // An empty target is enough: nothing is built.
        let files = [("Cargo.toml", Some(manifest.as_str())), ("lib.rs", Some("")), ("Cargo.lock", lock)];
        for (name, text) in files.into_iter().filter_map(|(name, text)| Some((name, text?))) {
            fs::write(folder.join(name), text).map_err(Error::Scratch)?;
        }
        let args: &[&str] = if lock.is_some() { &["update", "--workspace"] } else { &["generate-lockfile"] };
        self.report_cargo_run(&args.join(" "), items, rust);
        let trace = |line: &str| self.trace_cargo_output(line);
        let outcome = self.cargo.run_for_manifest(&self.registry, &folder.join("Cargo.toml"), args, &trace).await?;
        if outcome.success {
            return Ok(Ok(Lockfile::read(&folder.join("Cargo.lock"))?));
        }
        // If an index file is missing because of a failure, cargo reports a missing crate. The registry knows the true
        // cause.
        if let Some(failure) = self.registry.first_failure() {
            return Err(Error::Index(failure));
        }
        let stderr = cargo_errors::humanize(&outcome.stderr, self.registry.address());
        match cargo::system_error(&outcome.stderr) {
            Some(source) => Err(cargo::Error::System { stderr, source }.into()),
            None => Ok(Err(stderr)),
        }
    }

    /// Reports which resolution a run of cargo serves.
    fn report_cargo_run(&self, args: &str, items: &[ScratchDependency], rust: Option<&Version>) {
        let entries: Vec<&str> = items.iter().map(|item| item.source_text.as_str()).collect();
        let rust = rust.map(|rust| format!(", with Rust {rust}")).unwrap_or_default();
        self.sink.detail("Running", format!("`cargo {args}` for {}{rust}", entries.join(", ")));
    }

    /// The scratch project's manifest. All values are written as TOML values, so no text of a user can become a key.
    fn scratch_manifest(&self, items: &[ScratchDependency], rust: Option<&Version>) -> String {
        let mut manifest = DocumentMut::new();
        manifest["package"]["name"] = value(cargo_errors::SCRATCH_PACKAGE);
        manifest["package"]["version"] = value("0.0.0");
        manifest["package"]["edition"] = value(newest_edition(rust));
        if let Some(rust) = rust {
            manifest["package"]["rust-version"] = value(rust.to_string());
        }
        manifest["package"]["publish"] = value(false);
        manifest["lib"]["path"] = value("lib.rs");
        // Its own workspace, whatever is in the folders above the temporary folder.
        manifest["workspace"]["resolver"] = value(self.cargo.default_resolver());
        for item in items {
            manifest["dependencies"][&item.key] = value(dependency_table(item));
        }
        manifest.to_string()
    }
}

/// Converts a package's own lock to the lock of a project that depends on the package: the package of `line` gets its
/// source, and the scratch project gets an entry. `None` if the lock does not have the package.
fn lock_for_dependent(lock: &str, line: &IndexLine) -> Option<String> {
    let mut lock: Table = lock.parse().ok()?;
    let packages = lock.get_mut("package")?.as_array_mut()?;
    let (name, version) = (line.id.name.to_string(), line.id.version.to_string());
    let is = |package: &&mut Table, key: &str, text: &str| package.get(key).and_then(toml::Value::as_str) == Some(text);
    let mut tables = packages.iter_mut().filter_map(toml::Value::as_table_mut);
    let own = tables.find(|package| is(package, "name", &name) && is(package, "version", &version))?;
    own.insert("source".to_owned(), CRATES_IO_SOURCE.into());
    own.insert("checksum".to_owned(), line.cksum.to_string().into());
    let dependencies = vec![toml::Value::from(format!("{name} {version}"))];
    packages.push(toml::Value::Table(Table::from_iter([
        ("name".to_owned(), cargo_errors::SCRATCH_PACKAGE.into()),
        ("version".to_owned(), "0.0.0".into()),
        ("dependencies".to_owned(), dependencies.into()),
    ])));
    Some(lock.to_string())
}

/// The newest edition up to 2021 that the compiler supports; cargo rejects a manifest with a newer one.
fn newest_edition(rust: Option<&Version>) -> &'static str {
    match rust {
        Some(rust) if *rust < Version::new(1, 31, 0) => "2015",
        Some(rust) if *rust < Version::new(1, 56, 0) => "2018",
        _ => "2021",
    }
}

fn dependency_table(item: &ScratchDependency) -> InlineTable {
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
