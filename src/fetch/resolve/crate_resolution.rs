//! `--crate`: the needs of a library's build, and of a tool's installation with its own lock and without.

use std::collections::BTreeMap;
use std::path::Path;

use super::scratch_dependency::ScratchDependency;
use super::unresolved::KnownVersions;
use super::{
    CrateSpec, Error, ExactVersions, InputResolution, MissingVersion, REUSE_HINT, Resolver, UnresolvedEntry,
    locked_versions,
};
use crate::crate_id::{CrateId, Version};
use crate::fetch::crate_downloader::CrateDownloader;
use crate::fetch::packaged_lock::{self, PackagedCrate};
use crate::index_line::IndexLine;
use crate::inputs::lockfile::{ForeignPackage, Lockfile};
use crate::units::pluralize;

/// The lock packaged with a tool.
struct PackagedLock {
    /// For messages: `Cargo.lock in tool-1.0.0.crate`.
    display_name: String,
    /// The lock's text.
    text: String,
    /// Its packages of crates.io without the tool itself. They include dev-dependencies: `cargo install --locked` does
    /// not build them, but fails if the index lacks one (tested with cargo 1.95).
    versions: ExactVersions,
    /// Its packages outside crates.io.
    foreign: Vec<ForeignPackage>,
}

impl Resolver {
    /// The crates of a `--crate`: a fresh resolution of the crate, without dev-dependencies. For a package with
    /// binaries also the packages of the lock inside its `.crate`, for `cargo install --locked`. If only that lock
    /// resolves, only its packages are used.
    pub(super) async fn resolve_crate_spec(
        &self,
        spec: &CrateSpec,
        downloads: &CrateDownloader,
    ) -> Result<InputResolution, Error> {
        let name = format!("--crate {spec}");
        let roots = vec![spec.to_string()];
        let set = match self.resolve_fresh(spec, &name).await {
            Ok(set) => set,
            Err(Error::Unresolvable { unresolved, missing }) => {
                return match self.resolve_with_packaged_lock(spec, &unresolved, downloads).await? {
                    Some(lines) => Ok(InputResolution { roots, lines }),
                    None => Err(Error::Unresolvable { unresolved, missing }),
                };
            }
            Err(error) => return Err(error),
        };
        let mut lines = self.index_lines(&set, &name).await?;
        let found = lines.values().filter(|line| line.id.name == spec.name && spec.req.matches(&line.id.version));
        if let Some(line) = found.max_by(|one, other| one.id.version.cmp(&other.id.version)).cloned() {
            if let Some(own) = self.fetch_packaged_lock(&line, downloads).await? {
                lines.extend(self.packaged_lock_lines(own, &line.id).await?);
            }
            lines.extend(self.resolve_newer_version(spec, &line.id.version, downloads).await?);
        }
        Ok(InputResolution { roots, lines })
    }

    /// The needs of a version above `resolved` that installs only with its own lock: cargo resolved an older one
    /// instead.
    async fn resolve_newer_version(
        &self,
        spec: &CrateSpec,
        resolved: &Version,
        downloads: &CrateDownloader,
    ) -> Result<BTreeMap<CrateId, IndexLine>, Error> {
        let Some(newest) = self.newest_matching_version(spec).await?.filter(|newest| newest.id.version > *resolved)
        else {
            return Ok(BTreeMap::new());
        };
        let name = format!("--crate {spec}");
        match self.run_pass(&[ScratchDependency::exact_version(&newest.id)], None).await? {
            // It resolves, but cargo prefers a version that this compiler builds.
            Ok(_) => Ok(BTreeMap::new()),
            Err(terms) => {
                let unresolved = [UnresolvedEntry {
                    entry: newest.id.to_string(),
                    package: newest.id.name.clone(),
                    input: name,
                    message: terms,
                    versions: KnownVersions::default(),
                    location: None,
                }];
                Ok(self.resolve_with_packaged_lock(spec, &unresolved, downloads).await?.unwrap_or_default())
            }
        }
    }

    /// The additional crates of the lock inside the `.crate` of `line`. If some are missing, a warning is enough: the
    /// tool still installs from its fresh resolution.
    async fn packaged_lock_lines(
        &self,
        packaged: PackagedLock,
        tool: &CrateId,
    ) -> Result<BTreeMap<CrateId, IndexLine>, Error> {
        let PackagedLock { display_name: name, versions: mut set, foreign, .. } = packaged;
        for foreign in &foreign {
            self.record_skipped(foreign, "only `cargo install --locked` needs it", &name);
        }
        match self.index_lines(&set, &name).await {
            Err(Error::MissingVersions { missing }) => {
                self.sink.warning(describe_missing_locked(&name, tool, &missing, true));
                for missing in missing {
                    set.remove(&missing.id);
                }
                self.index_lines(&set, &name).await
            }
            lines => lines,
        }
    }

    /// The set of a tool that has no fresh resolution and installs only with its own lock; `None` if that lock does not
    /// resolve either. Cargo must confirm that the lock fits.
    async fn resolve_with_packaged_lock(
        &self,
        spec: &CrateSpec,
        unresolved: &[UnresolvedEntry],
        downloads: &CrateDownloader,
    ) -> Result<Option<BTreeMap<CrateId, IndexLine>>, Error> {
        let Some(line) = self.newest_matching_version(spec).await? else { return Ok(None) };
        let Some(own) = self.fetch_packaged_lock(&line, downloads).await? else { return Ok(None) };
        if !own.foreign.is_empty() {
            return Ok(None);
        }
        let mut lines = match self.index_lines(&own.versions, &own.display_name).await {
            Err(Error::MissingVersions { missing }) => {
                self.sink.warning(describe_missing_locked(&own.display_name, &line.id, &missing, false));
                return Ok(None);
            }
            lines => lines?,
        };
        lines.insert(line.id.clone(), line.clone());
        if !self.packaged_lock_fits(&own, &line, &lines).await? {
            return Ok(None);
        }
        let why: Vec<&str> = unresolved.iter().map(|one| one.message.as_str()).collect();
        self.sink.warning(format!(
            "{} resolves only with the Cargo.lock inside its .crate, so only the packages of that lock are included. \
             Offline, install it with `cargo install --locked {}`; without `--locked`, cargo reports:\n{}",
            line.id,
            line.id.name,
            why.join("\n")
        ));
        Ok(Some(lines))
    }

    /// The version that `cargo install` chooses: the newest one that matches and is not yanked.
    async fn newest_matching_version(&self, spec: &CrateSpec) -> Result<Option<IndexLine>, Error> {
        let Some(file) = self.index.file(&spec.name).await? else { return Ok(None) };
        let heads = file.versions().iter().filter(|head| !head.yanked && spec.req.matches(&head.version));
        let newest: Option<&Version> = heads.map(|head| &head.version).max();
        Ok(newest.and_then(|version| file.find_line(&spec.name, version)))
    }

    /// The lock inside the `.crate` of `line`, if `cargo install --locked` would use it.
    async fn fetch_packaged_lock(
        &self,
        line: &IndexLine,
        downloads: &CrateDownloader,
    ) -> Result<Option<PackagedLock>, Error> {
        let id = &line.id;
        let wanted = BTreeMap::from([(id.clone(), line.cksum)]);
        let Some(file) = downloads.fetch(&wanted).await?.remove(id) else { return Ok(None) };
        let PackagedCrate { lock: Some(text), has_binaries: true } = packaged_lock::read(&file.path, id)? else {
            return Ok(None);
        };
        let name = format!("Cargo.lock in {}", id.file_name());
        let lockfile = match Lockfile::parse(&text, Path::new(&name)) {
            Ok(lockfile) => lockfile,
            Err(error) => {
                self.sink.warning(format!("{error}; `cargo install --locked {}` will not work offline", id.name));
                return Ok(None);
            }
        };
        let mut set = locked_versions(&lockfile);
        // The tool's own package has no source in its lock. If it had one, its line is known.
        set.remove(id);
        Ok(Some(PackagedLock { display_name: name, text, versions: set, foreign: lockfile.foreign }))
    }

    /// Whether cargo, given the lock, resolves the tool from `lines` alone.
    async fn packaged_lock_fits(
        &self,
        own: &PackagedLock,
        line: &IndexLine,
        lines: &BTreeMap<CrateId, IndexLine>,
    ) -> Result<bool, Error> {
        let Some(locked) =
            self.run_pass_with_lock(&ScratchDependency::exact_version(&line.id), &own.text, line).await?
        else {
            return Ok(false);
        };
        Ok(locked.foreign.is_empty() && locked.packages.keys().all(|id| lines.contains_key(id)))
    }
}

/// One warning for all versions of the packaged lock `lock_name` that upstream lacks. `resolves_freshly`: the tool
/// installs without its lock.
fn describe_missing_locked(
    lock_name: &str,
    tool: &CrateId,
    missing: &[MissingVersion],
    resolves_freshly: bool,
) -> String {
    const MAX_NAMED: usize = 5;
    let named: Vec<String> = missing.iter().take(MAX_NAMED).map(|missing| missing.id.to_string()).collect();
    let more = match missing.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let name = &tool.name;
    let outcome = match resolves_freshly {
        true => format!("`cargo install {name} --locked` will not work from the mirror; `cargo install {name}` does"),
        false => format!("`cargo install {name} --locked` needs them"),
    };
    format!(
        "upstream lacks {} of the {lock_name}: {}{more}. {outcome}. For a version that upstream deleted, \
         {REUSE_HINT}",
        pluralize(missing.len(), "version"),
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_names_the_first_missing_versions_and_the_consequence() {
        let tool = CrateId::parse("tool", "1.0.0").expect("valid");
        let missing = |n: usize| MissingVersion {
            id: CrateId::parse(&format!("dep{n}"), "1.0.0").expect("valid"),
            input: String::new(),
            nearest: Vec::new(),
            has_checksum: true,
            location: None,
        };
        let text = |count| {
            describe_missing_locked("Cargo.lock in T", &tool, &(0..count).map(missing).collect::<Vec<_>>(), true)
        };
        let end = "`cargo install tool --locked` will not work from the mirror; `cargo install tool` does. For a version \
                   that upstream deleted, use `cargo frostmirror fetch --reuse MIRROR` with a mirror or bundle that has it";
        assert_eq!(text(1), format!("upstream lacks 1 version of the Cargo.lock in T: {}. {end}", missing(0).id));
        let many = text(7);
        assert!(many.starts_with("upstream lacks 7 versions of the Cargo.lock in T: "), "{many}");
        assert!(many.contains(&format!("{} and 2 more. {end}", missing(4).id)) && !many.contains("dep5"), "{many}");
    }
}
