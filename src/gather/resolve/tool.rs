//! `--crate`: what a library needs to be built, and what a tool needs to be installed, with its own lock and without.

use std::collections::BTreeMap;
use std::path::Path;

use super::scratch::Item;
use super::{CrateSpec, Error, Needs, Resolver, Set, Unresolved, set_of};
use crate::crate_id::{CrateId, Version};
use crate::gather::download::Downloads;
use crate::gather::lockfile::{Foreign, Lockfile};
use crate::gather::packaged_lock::{self, Packaged};
use crate::index_line::IndexLine;

/// What the lock packaged with a tool says.
struct OwnLock {
    /// For people: `Cargo.lock in tool-1.0.0.crate`.
    name: String,
    /// The lock's text.
    text: String,
    /// Its packages of crates.io without the tool itself. Those that only dev-dependencies need belong to it:
    /// `cargo install --locked` builds none of them, and fails where the index lacks one (tried with cargo 1.95).
    set: Set,
    /// Packages of it that are not of crates.io.
    foreign: Vec<Foreign>,
}

impl Resolver {
    /// What `--crate` brings: a fresh resolution of the crate, which has no dev-dependencies; and of a package with
    /// binaries what the lock inside its `.crate` names, for `cargo install --locked`. Where only that lock resolves,
    /// it alone is brought.
    pub(super) async fn crate_spec(&self, spec: &CrateSpec, downloads: &Downloads) -> Result<Needs, Error> {
        let name = format!("--crate {spec}");
        let roots = vec![spec.to_string()];
        let set = match self.one_crate(spec, &name).await {
            Ok(set) => set,
            Err(Error::Unresolvable { unresolved }) => {
                return match self.own_lock_alone(spec, &unresolved, downloads).await? {
                    Some(lines) => Ok(Needs { roots, lines }),
                    None => Err(Error::Unresolvable { unresolved }),
                };
            }
            Err(error) => return Err(error),
        };
        let mut lines = self.lines(&set, &name).await?;
        let found = lines.values().filter(|line| line.id.name == spec.name && spec.req.matches(&line.id.version));
        if let Some(line) = found.max_by(|one, other| one.id.version.cmp(&other.id.version)).cloned() {
            if let Some(own) = self.own_lock(&line, downloads).await? {
                lines.extend(self.extras(own).await?);
            }
            lines.extend(self.newer(spec, &line.id.version, downloads).await?);
        }
        Ok(Needs { roots, lines })
    }

    /// What a version above `resolved` needs that is installed with its own lock only: cargo resolved an older one in
    /// place of it.
    async fn newer(
        &self,
        spec: &CrateSpec,
        resolved: &Version,
        downloads: &Downloads,
    ) -> Result<BTreeMap<CrateId, IndexLine>, Error> {
        let Some(newest) = self.newest(spec).await?.filter(|newest| newest.id.version > *resolved) else {
            return Ok(BTreeMap::new());
        };
        let name = format!("--crate {spec}");
        match self.pass(&[Item::exactly(&newest.id)], None).await? {
            // It resolves, and cargo prefers a version that this compiler builds.
            Ok(_) => Ok(BTreeMap::new()),
            Err(words) => {
                let unresolved = [Unresolved { entry: newest.id.to_string(), input: name, words }];
                Ok(self.own_lock_alone(spec, &unresolved, downloads).await?.unwrap_or_default())
            }
        }
    }

    /// What the lock inside the `.crate` of `line` adds. Whatever is missing of it stays a warning: without it, the tool
    /// still installs from its fresh resolution.
    async fn extras(&self, own: OwnLock) -> Result<BTreeMap<CrateId, IndexLine>, Error> {
        let OwnLock { name, mut set, foreign, .. } = own;
        for foreign in &foreign {
            self.leave_out(foreign, "only `cargo install --locked` needs it", &name);
        }
        match self.lines(&set, &name).await {
            Err(Error::NoVersion { missing }) => {
                for missing in missing {
                    self.sink.warning(missing.to_string());
                    set.remove(&missing.id);
                }
                self.lines(&set, &name).await
            }
            lines => lines,
        }
    }

    /// The set of a tool that has no fresh resolution and is installed with its own lock only; `None` where that lock does
    /// not help either. Cargo itself has to find that the lock fits.
    async fn own_lock_alone(
        &self,
        spec: &CrateSpec,
        unresolved: &[Unresolved],
        downloads: &Downloads,
    ) -> Result<Option<BTreeMap<CrateId, IndexLine>>, Error> {
        let Some(line) = self.newest(spec).await? else { return Ok(None) };
        let Some(own) = self.own_lock(&line, downloads).await? else { return Ok(None) };
        if !own.foreign.is_empty() {
            return Ok(None);
        }
        let mut lines = match self.lines(&own.set, &own.name).await {
            Err(Error::NoVersion { .. }) => return Ok(None),
            lines => lines?,
        };
        lines.insert(line.id.clone(), line.clone());
        if !self.fits(&own, &line, &lines).await? {
            return Ok(None);
        }
        let why: Vec<&str> = unresolved.iter().map(|one| one.words.as_str()).collect();
        self.sink.warning(format!(
            "{} resolves only with the Cargo.lock inside its .crate, so only the packages of that lock are included. \
             Offline, install it with `cargo install --locked {}`; without `--locked`, cargo reports:\n{}",
            line.id,
            line.id.name,
            why.join("\n")
        ));
        Ok(Some(lines))
    }

    /// The version that `cargo install` chooses: the newest that matches and is not yanked.
    async fn newest(&self, spec: &CrateSpec) -> Result<Option<IndexLine>, Error> {
        let Some(file) = self.index.file(&spec.name).await? else { return Ok(None) };
        let heads = file.heads().iter().filter(|head| !head.yanked && spec.req.matches(&head.version));
        let newest: Option<&Version> = heads.map(|head| &head.version).max();
        Ok(newest.and_then(|version| file.find(&spec.name, version)))
    }

    /// The lock inside the `.crate` of `line`, where `cargo install --locked` would use it.
    async fn own_lock(&self, line: &IndexLine, downloads: &Downloads) -> Result<Option<OwnLock>, Error> {
        let id = &line.id;
        let wanted = BTreeMap::from([(id.clone(), line.cksum)]);
        let Some(file) = downloads.fetch(&wanted).await?.remove(id) else { return Ok(None) };
        let Packaged { lock: Some(text), binaries: true } = packaged_lock::read(&file.path, id)? else {
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
        let mut set = set_of(&lockfile);
        // The tool's own package has no source in its lock; were it there, its line is known.
        set.remove(id);
        Ok(Some(OwnLock { name, text, set, foreign: lockfile.foreign }))
    }

    /// Whether cargo, given the lock, resolves the tool from nothing but `lines`.
    async fn fits(&self, own: &OwnLock, line: &IndexLine, lines: &BTreeMap<CrateId, IndexLine>) -> Result<bool, Error> {
        let Some(locked) = self.pass_with_lock(&Item::exactly(&line.id), &own.text, line).await? else {
            return Ok(false);
        };
        Ok(locked.foreign.is_empty() && locked.packages.iter().all(|package| lines.contains_key(&package.id)))
    }
}
