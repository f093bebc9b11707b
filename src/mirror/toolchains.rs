//! The toolchains in a mirror, with their hosts, targets, profiles and components, and the available rustup. They are
//! read from the stored channel manifests, limited to stored files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;

use serde::Serialize;

use super::dist_files::{ChannelName, DistFiles, RUSTUP_RELEASE_PATH, parse_rustup_version};
use super::layout::Layout;
use super::transaction::Error;
use crate::digest::Sha256;
use crate::safe_path::SafePath;
use crate::toolchain::{self, ChannelManifest, Profile};

/// The available toolchains.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AvailableToolchains {
    /// The toolchains, by their most precise names.
    pub toolchains: Vec<AvailableToolchain>,
    /// rustup itself, if it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rustup: Option<AvailableRustup>,
}

/// One toolchain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AvailableToolchain {
    /// Its usual name: `stable (1.95.0)`.
    pub name: String,
    /// All names that rustup accepts for it: `stable`, `1.95.0`, `1.95`, `stable-2026-04-16`.
    pub names: Vec<String>,
    /// The date of the release.
    pub date: String,
    /// The hosts that it can be installed on, each with the largest profile that is stored completely; `None` if not
    /// even the smallest is.
    pub hosts: BTreeMap<String, Option<Profile>>,
    /// Its targets: every triple whose standard library is stored.
    pub targets: Vec<String>,
    /// Components that are stored for any host, in addition to those of its profile.
    pub components: Vec<String>,
}

/// rustup itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AvailableRustup {
    /// The release that updates install.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The hosts that it can be installed on.
    pub hosts: Vec<String>,
}

impl AvailableToolchains {
    /// Reads the available toolchains. Skips unusable files, which an audit reports.
    ///
    /// # Errors
    /// The record of dist files cannot be read.
    pub fn read(layout: &Layout) -> Result<AvailableToolchains, Error> {
        let dist_files = DistFiles::read(layout)?.unwrap_or_default();
        let mut by_digest: BTreeMap<Sha256, Vec<(&SafePath, ChannelName<'_>)>> = BTreeMap::new();
        for (path, one) in &dist_files.0 {
            if let Some(name) = ChannelName::from_path(path) {
                by_digest.entry(one.sha256).or_default().push((path, name));
            }
        }
        let mut toolchains = Vec::new();
        for (sha256, names) in by_digest {
            // One manifest at a time, because parsing uses far more memory than its size.
            let text = names.iter().find_map(|(path, _)| read_verified(layout, path, Some(sha256)));
            if let Some(manifest) = text.and_then(|text| ChannelManifest::parse(&text).ok()) {
                let names: Vec<ChannelName<'_>> = names.into_iter().map(|(_, name)| name).collect();
                toolchains.extend(available_toolchain(&names, &manifest, &dist_files));
            }
        }
        toolchains.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(AvailableToolchains { toolchains, rustup: available_rustup(layout, &dist_files) })
    }

    /// The largest profile that every toolchain has for each of its hosts. `None` without any toolchain, or if one has
    /// no profile.
    pub fn common_profile(&self) -> Option<Profile> {
        let all = self.toolchains.iter().flat_map(|one| one.hosts.values().copied());
        all.min().flatten()
    }
}

fn available_toolchain(
    names: &[ChannelName<'_>],
    manifest: &ChannelManifest,
    dist_files: &DistFiles,
) -> Option<AvailableToolchain> {
    let is_held = |package: &str, target: &str| {
        let build = manifest.packages().get(package).and_then(|package| package.build(target));
        let file = build.filter(|build| build.available).and_then(|build| build.file().ok());
        file.is_some_and(|(path, sha256)| dist_files.0.get(&path).is_some_and(|one| one.sha256 == sha256))
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
            .flat_map(|rust| rust.components_and_extensions())
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
        let in_profile = profile.and_then(of_profile).unwrap_or_default();
        components.extend(listed.iter().filter(|one| !in_profile.contains(**one) && is_held(one, &host)));
        hosts.insert(host, profile);
    }
    let short = |package: &str| {
        let renamed = manifest.renames().iter().find(|(_, to)| to.as_str() == package);
        renamed.map_or(package, |(from, _)| from.as_str()).to_owned()
    };
    Some(AvailableToolchain {
        name: ChannelName::display_names(names).into_iter().next()?,
        names: names.iter().map(ChannelName::display_name).collect(),
        date: manifest.date().to_string(),
        hosts,
        targets: built_for("rust-std"),
        components: components.into_iter().map(short).collect(),
    })
}

fn available_rustup(layout: &Layout, dist_files: &DistFiles) -> Option<AvailableRustup> {
    let host = |path: &SafePath| {
        let host = path.as_str().strip_prefix("rustup/dist/")?.split_once('/')?;
        matches!(host.1, "rustup-init" | "rustup-init.exe").then(|| host.0.to_owned())
    };
    let hosts: BTreeSet<String> = dist_files.0.keys().filter_map(host).collect();
    let release: SafePath = RUSTUP_RELEASE_PATH.parse().expect("a plain path");
    let version = read_verified(layout, &release, None).and_then(|text| parse_rustup_version(&text));
    let rustup =
        AvailableRustup { version: version.map(|version| version.to_string()), hosts: hosts.into_iter().collect() };
    (!rustup.hosts.is_empty()).then_some(rustup)
}

/// The text of a small file, if it exists with the expected digest.
fn read_verified(layout: &Layout, path: &SafePath, sha256: Option<Sha256>) -> Option<Vec<u8>> {
    let file = File::open(path.below(layout.root())).ok()?;
    let mut text = Vec::new();
    file.take(toolchain::MAX_MANIFEST_SIZE as u64 + 1).read_to_end(&mut text).ok()?;
    (text.len() <= toolchain::MAX_MANIFEST_SIZE && sha256.is_none_or(|sha256| Sha256::of(&text) == sha256))
        .then_some(text)
}
