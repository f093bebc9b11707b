//! What rustup's clients find in a mirror: for each toolchain its machines, targets, profile and components; and which
//! rustup. Read from the channel manifests that are held, as far as the files that they name are held too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;

use serde::Serialize;

use super::artifacts::{Artifacts, Name, RELEASE, release_version};
use super::layout::Layout;
use super::store::Error;
use crate::channel::{self, ChannelManifest, Profile};
use crate::digest::Sha256;
use crate::safe_path::SafePath;

/// What is offered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Offers {
    /// The toolchains, by their best names.
    pub toolchains: Vec<Offered>,
    /// rustup itself, where it is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rustup: Option<Rustup>,
}

/// One toolchain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Offered {
    /// As people know it: `stable (1.95.0)`.
    pub name: String,
    /// Everything that rustup's users can call it: `stable`, `1.95.0`, `1.95`, `stable-2026-04-16`.
    pub names: Vec<String>,
    /// The day of the release.
    pub date: String,
    /// The machines that it can be installed on, each with the largest profile that is held whole; `None` where not even
    /// the smallest is.
    pub hosts: BTreeMap<String, Option<Profile>>,
    /// What it can build for: every triple whose standard library is held.
    pub targets: Vec<String>,
    /// Components that are held for any host, beyond those of its profile.
    pub components: Vec<String>,
}

/// rustup itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rustup {
    /// The release that updates lead to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The machines that it can be installed on.
    pub hosts: Vec<String>,
}

impl Offers {
    /// Reads them. What cannot be used is left out: an audit tells of it.
    ///
    /// # Errors
    /// The file system's, where the record of artifacts cannot be read.
    pub fn read(layout: &Layout) -> Result<Offers, Error> {
        let held = Artifacts::read(layout)?.unwrap_or_default();
        let mut by_digest: BTreeMap<Sha256, Vec<(&SafePath, Name<'_>)>> = BTreeMap::new();
        for (path, one) in &held.0 {
            if let Some(name) = Name::of(path) {
                by_digest.entry(one.sha256).or_default().push((path, name));
            }
        }
        let mut toolchains = Vec::new();
        for (sha256, names) in by_digest {
            // One after the other: a manifest takes far more memory than it has bytes while it is read.
            let text = names.iter().find_map(|(path, _)| text_of(layout, path, Some(sha256)));
            if let Some(manifest) = text.and_then(|text| ChannelManifest::parse(&text).ok()) {
                let names: Vec<Name<'_>> = names.into_iter().map(|(_, name)| name).collect();
                toolchains.extend(offered(&names, &manifest, &held));
            }
        }
        toolchains.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Offers { toolchains, rustup: rustup(layout, &held) })
    }

    /// The largest profile that every toolchain has for each of its hosts; `None` where nothing is offered, or where one
    /// has none.
    pub fn common_profile(&self) -> Option<Profile> {
        let all = self.toolchains.iter().flat_map(|one| one.hosts.values().copied());
        all.min().flatten()
    }
}

fn offered(names: &[Name<'_>], manifest: &ChannelManifest, held: &Artifacts) -> Option<Offered> {
    let is_held = |package: &str, target: &str| {
        let build = manifest.packages().get(package).and_then(|package| package.build(target));
        let file = build.filter(|build| build.available).and_then(|build| build.file().ok());
        file.is_some_and(|(path, sha256)| held.0.get(&path).is_some_and(|one| one.sha256 == sha256))
    };
    let built_for = |package: &str| -> Vec<String> {
        let targets = manifest.packages().get(package).into_iter().flat_map(|package| package.targets.keys());
        targets.filter(|target| is_held(package, target)).cloned().collect()
    };
    let mut hosts = BTreeMap::new();
    let mut components: BTreeSet<&str> = BTreeSet::new();
    for host in built_for("rustc") {
        let rust = manifest.packages().get("rust").and_then(|rust| rust.targets.get(&host));
        let for_host = |target: &str| target == host || target == "*";
        let listed: BTreeSet<&str> = rust
            .into_iter()
            .flat_map(|rust| rust.listed())
            .filter(|listed| for_host(&listed.target))
            .map(|listed| listed.pkg.as_str())
            .collect();
        let of_profile = |profile: Profile| -> Option<BTreeSet<&str>> {
            let packages = manifest.profiles().get(profile.as_str())?.iter().map(String::as_str);
            Some(packages.filter(|package| listed.contains(package)).collect())
        };
        let is_whole =
            |profile: &Profile| of_profile(*profile).is_some_and(|all| all.iter().all(|one| is_held(one, &host)));
        let profile = Profile::ALL.into_iter().rev().find(is_whole);
        let within = profile.and_then(of_profile).unwrap_or_default();
        components.extend(listed.iter().filter(|one| !within.contains(**one) && is_held(one, &host)));
        hosts.insert(host, profile);
    }
    let short = |package: &str| {
        let renamed = manifest.renames().iter().find(|(_, to)| to.as_str() == package);
        renamed.map_or(package, |(from, _)| from.as_str()).to_owned()
    };
    Some(Offered {
        name: Name::shown(names).into_iter().next()?,
        names: names.iter().map(Name::spoken).collect(),
        date: manifest.date().to_string(),
        hosts,
        targets: built_for("rust-std"),
        components: components.into_iter().map(short).collect(),
    })
}

fn rustup(layout: &Layout, held: &Artifacts) -> Option<Rustup> {
    let host = |path: &SafePath| {
        let host = path.as_str().strip_prefix("rustup/dist/")?.split_once('/')?;
        matches!(host.1, "rustup-init" | "rustup-init.exe").then(|| host.0.to_owned())
    };
    let hosts: BTreeSet<String> = held.0.keys().filter_map(host).collect();
    let release: SafePath = RELEASE.parse().expect("a plain path");
    let version = text_of(layout, &release, None).and_then(|text| release_version(&text));
    let rustup = Rustup { version: version.map(|version| version.to_string()), hosts: hosts.into_iter().collect() };
    (!rustup.hosts.is_empty()).then_some(rustup)
}

/// The text of a small file, where it is there with the digest that it must have.
fn text_of(layout: &Layout, path: &SafePath, sha256: Option<Sha256>) -> Option<Vec<u8>> {
    let file = File::open(path.below(layout.root())).ok()?;
    let mut text = Vec::new();
    file.take(channel::MAX_SIZE as u64 + 1).read_to_end(&mut text).ok()?;
    (text.len() <= channel::MAX_SIZE && sha256.is_none_or(|sha256| Sha256::of(&text) == sha256)).then_some(text)
}
