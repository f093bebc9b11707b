//! Selects the components of a release for a set of hosts and targets.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::safe_path::SafePath;

use super::Profile;
use super::component_file::{ComponentFileError, shortened};
use super::manifest::{Build, ChannelManifest};

/// The request for a release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectionRequest {
    /// Target triples. Those with a complete toolchain in the release are hosts, the others are cross targets.
    pub targets: Vec<String>,
    /// The profile of every host.
    pub profile: Profile,
    /// Additional components, by the name of their package or by the name that is renamed to it.
    pub components: Vec<String>,
}

/// The selection from a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The files, sorted by path, without duplicates.
    pub components: Vec<Component>,
    /// The requested files that are missing, sorted; reported to the user.
    pub unavailable: Vec<UnavailableComponent>,
    /// The triples with a complete toolchain, sorted.
    pub hosts: Vec<String>,
    /// The triples with rust-std only, sorted.
    pub cross_targets: Vec<String>,
}

/// One file of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its path below the root of the dist server: `dist/2026-04-16/cargo-1.95.0-x86_64-unknown-linux-gnu.tar.xz`.
    pub path: SafePath,
    /// The digest in the manifest.
    pub sha256: Sha256,
    /// The package: `clippy-preview`.
    pub package: String,
    /// The target, or `*`. Upstream uses one file for several targets if it is target-independent (the documentation);
    /// this is the first of the targets that request it.
    pub target: String,
}

/// A component that upstream lacks for a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnavailableComponent {
    /// The package: `miri-preview`.
    pub component: String,
    /// The target.
    pub target: String,
}

/// Why a selection failed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectError {
    /// The release has no such triple as a host or as a target.
    #[error("{release} has no target `{}`", .triple.escape_debug())]
    UnknownTriple {
        /// The triple.
        triple: String,
        /// The release, as `Rust 1.95.0`.
        release: String,
        /// The triple that was probably meant.
        suggestion: Option<String>,
    },
    /// No host of the release has this component.
    #[error("{release} has no component `{}`", .component.escape_debug())]
    UnknownComponent {
        /// The requested component.
        component: String,
        /// The release, as `Rust 1.95.0`.
        release: String,
        /// The component that was probably meant.
        suggestion: Option<String>,
        /// The available components, as users write them.
        available: Vec<String>,
    },
    /// The manifest has profiles, but not this one.
    #[error("the channel manifest has no profile `{0}`")]
    NoProfile(Profile),
    /// The manifest lists a component, but lacks its package.
    #[error("the channel manifest lists `{}` for `{}`, but has no such package", .package.escape_debug(), .target.escape_debug())]
    NoPackage {
        /// The package.
        package: String,
        /// The target.
        target: String,
    },
    /// The manifest's entry for a component's file is invalid.
    #[error("the channel manifest's entry of `{}` for `{}` is damaged", .package.escape_debug(), .target.escape_debug())]
    InvalidFile {
        /// The package.
        package: String,
        /// The target.
        target: String,
        /// The cause.
        source: ComponentFileError,
    },
    /// Two components have one path and two digests.
    #[error("the channel manifest has two digests for `{0}`")]
    ConflictingDigests(SafePath),
}

/// Selects the files for `wanted` from a release:
///
/// - for every host the components of the profile, if the release lists them for that host or for every target
///   (rust-mingw is only for Windows with GNU's linker), and the components requested by name;
/// - rust-std for every listed triple, so that each host can build for each.
///
/// Components that upstream could not build, and requested components that do not exist for that host, are skipped and
/// reported.
/// (rustup: src/dist/manifest.rs, `get_profile_components`.)
pub fn select(manifest: &ChannelManifest, wanted: &SelectionRequest) -> Result<Selection, SelectError> {
    let extras = requested_packages(manifest, &wanted.components)?;
    let mut chosen = SelectionBuilder { manifest, files: BTreeMap::new(), unavailable: BTreeSet::new() };
    let (mut hosts, mut cross) = (Vec::new(), Vec::new());
    for triple in wanted.targets.iter().collect::<BTreeSet<_>>() {
        match triple_support(manifest, triple)? {
            TripleSupport::Host(rust) => {
                chosen.add_host_toolchain(triple, rust, wanted.profile, &extras)?;
                hosts.push(triple.clone());
            }
            TripleSupport::UnavailableHost => {
                chosen.mark_unavailable("rust", triple);
                cross.push(triple.clone());
            }
            TripleSupport::TargetOnly => cross.push(triple.clone()),
        }
        chosen.add_standard_library(triple)?;
    }
    let components = chosen.files.into_values().collect();
    Ok(Selection { components, unavailable: chosen.unavailable.into_iter().collect(), hosts, cross_targets: cross })
}

/// The support of a release for a triple.
enum TripleSupport<'m> {
    /// The toolchain runs there.
    Host(&'m Build),
    /// The toolchain would run there, but the build is missing.
    UnavailableHost,
    /// The toolchain builds for it.
    TargetOnly,
}

fn triple_support<'m>(manifest: &'m ChannelManifest, triple: &str) -> Result<TripleSupport<'m>, SelectError> {
    let targets = |package: &str| manifest.packages().get(package).map(|package| &package.targets);
    let (rust, std) = (targets("rust"), targets("rust-std"));
    if let Some(build) = rust.and_then(|builds| builds.get(triple)) {
        return Ok(if build.available { TripleSupport::Host(build) } else { TripleSupport::UnavailableHost });
    }
    if std.is_some_and(|builds| builds.contains_key(triple)) {
        return Ok(TripleSupport::TargetOnly);
    }
    let candidates = rust.into_iter().chain(std).flat_map(BTreeMap::keys);
    Err(SelectError::UnknownTriple {
        triple: triple.to_owned(),
        release: release_name(manifest),
        suggestion: nearest(triple, candidates),
    })
}

/// The packages that are requested by name.
fn requested_packages<'m>(
    manifest: &'m ChannelManifest,
    names: &'m [String],
) -> Result<BTreeSet<&'m str>, SelectError> {
    let package = |name: &'m String| {
        let package = manifest.resolve_rename(name);
        if manifest.packages().contains_key(package) {
            return Ok(package);
        }
        let candidates = manifest.packages().keys().chain(manifest.renames().keys());
        let near = nearest(name, candidates);
        let (component, release, known) = (name.clone(), release_name(manifest), component_names(manifest));
        Err(SelectError::UnknownComponent { component, release, suggestion: near, available: known })
    };
    names.iter().map(package).collect()
}

/// The components that a release lists for any host, as users write them: without `-preview`. Standard libraries come
/// with targets and are excluded.
fn component_names(manifest: &ChannelManifest) -> Vec<String> {
    let builds = manifest.packages().get("rust").into_iter().flat_map(|rust| rust.targets.values());
    let listed: BTreeSet<&str> =
        builds.flat_map(Build::components_and_extensions).map(|listed| listed.pkg.as_str()).collect();
    let written = |package: &str| {
        let renamed = manifest.renames().iter().find(|(_, to)| to.as_str() == package);
        shortened(renamed.map_or(package, |(name, _)| name.as_str()))
    };
    listed.into_iter().filter(|package| *package != "rust-std").map(written).collect()
}

/// The selection so far.
struct SelectionBuilder<'m> {
    manifest: &'m ChannelManifest,
    files: BTreeMap<SafePath, Component>,
    unavailable: BTreeSet<UnavailableComponent>,
}

impl SelectionBuilder<'_> {
    /// Adds a complete toolchain for `host`; `rust` is the entry of the release for it.
    fn add_host_toolchain(
        &mut self,
        host: &str,
        rust: &Build,
        profile: Profile,
        extras: &BTreeSet<&str>,
    ) -> Result<(), SelectError> {
        let for_host = |target: &str| target == host || target == "*";
        let listed: HashSet<&str> = rust
            .components_and_extensions()
            .filter(|listed| for_host(&listed.target))
            .map(|listed| listed.pkg.as_str())
            .collect();
        let profiles = self.manifest.profiles();
        let packages: Vec<&str> = if profiles.is_empty() {
            // A manifest from before profiles: rustup uses the components of an installation.
            let components = rust.components.iter().filter(|listed| for_host(&listed.target));
            components.map(|listed| listed.pkg.as_str()).collect()
        } else {
            let packages = profiles.get(profile.as_str()).ok_or(SelectError::NoProfile(profile))?;
            packages.iter().map(String::as_str).filter(|package| listed.contains(package)).collect()
        };
        for package in packages {
            self.add_component(package, host)?;
        }
        for package in extras {
            if listed.contains(package) {
                self.add_component(package, host)?;
            } else {
                self.mark_unavailable(package, host);
            }
        }
        Ok(())
    }

    /// Adds rust-std for `triple`. A host without rust-std is skipped and reported.
    fn add_standard_library(&mut self, triple: &str) -> Result<(), SelectError> {
        let is_listed = self.manifest.packages().get("rust-std").is_some_and(|std| std.build(triple).is_some());
        if is_listed {
            return self.add_component("rust-std", triple);
        }
        self.mark_unavailable("rust-std", triple);
        Ok(())
    }

    fn add_component(&mut self, package: &str, target: &str) -> Result<(), SelectError> {
        let found = self.manifest.packages().get(package);
        let Some((found, build)) = found.and_then(|found| Some((found, found.build(target)?))) else {
            return Err(SelectError::NoPackage { package: shortened(package), target: shortened(target) });
        };
        let target = if found.targets.contains_key("*") { "*" } else { target };
        if !build.available {
            self.mark_unavailable(package, target);
            return Ok(());
        }
        let (path, sha256) = build.file().map_err(|source| {
            let (package, target) = (shortened(package), shortened(target));
            SelectError::InvalidFile { package, target, source }
        })?;
        let component = Component { path, sha256, package: package.to_owned(), target: target.to_owned() };
        let first = self.files.entry(component.path.clone()).or_insert(component);
        if first.sha256 == sha256 { Ok(()) } else { Err(SelectError::ConflictingDigests(first.path.clone())) }
    }

    fn mark_unavailable(&mut self, component: &str, target: &str) {
        self.unavailable.insert(UnavailableComponent { component: component.to_owned(), target: target.to_owned() });
    }
}

/// The display name of the release.
fn release_name(manifest: &ChannelManifest) -> String {
    match manifest.release_version() {
        Some(release) => format!("Rust {}", shortened(release).escape_debug()),
        None => format!("the release of {}", manifest.date()),
    }
}

/// The closest known name to `wrong`, if one is close enough.
fn nearest<'w>(wrong: &str, candidates: impl Iterator<Item = &'w String>) -> Option<String> {
    // The comparison is quadratic, and a text of this length is not a mistyped triple.
    let short = |word: &&'w String| word.len() <= 100;
    if wrong.len() > 100 {
        return None;
    }
    let folded = wrong.to_lowercase();
    // Debian and compilers of C leave the vendor out: `x86_64-linux-gnu`.
    let with_vendor = folded.split_once('-').map(|(arch, rest)| format!("{arch}-unknown-{rest}"));
    let distance = |word: &str| {
        let forms = [Some(&folded), with_vendor.as_ref()].into_iter().flatten();
        forms.map(|form| strsim::osa_distance(form, word)).min().unwrap_or(usize::MAX)
    };
    candidates
        .filter(short)
        .map(|word| (distance(word), word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1))
        .min()
        .map(|(_, word)| word.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_triple_without_its_vendor_is_recognized() {
        let known =
            ["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl", "x86_64-pc-windows-gnu"].map(str::to_owned);
        let near = |wrong: &str| nearest(wrong, known.iter());
        assert_eq!(near("x86_64-linux-gnu").as_deref(), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(near("x86_64-linux-musl").as_deref(), Some("x86_64-unknown-linux-musl"));
    }

    /// A release for two hosts, `a-x` and `b-y`, and the target `c-z`.
    fn release(change: impl Fn(String) -> String) -> ChannelManifest {
        let mut text = "manifest-version = \"2\"\ndate = \"2026-04-16\"\n".to_owned();
        let build = |text: &mut String, package: &str, target: &str, available: bool| {
            let file = format!("https://static.rust-lang.org/dist/2026-04-16/{package}-{target}.tar").replace("-*", "");
            let (gz, xz) = (Sha256::of(package.as_bytes()), Sha256::of(file.as_bytes()));
            *text += &format!("[pkg.{package}.target.\"{target}\"]\navailable = {available}\n");
            if available {
                *text += &format!("url = \"{file}.gz\"\nhash = \"{gz}\"\nxz_url = \"{file}.xz\"\nxz_hash = \"{xz}\"\n");
            }
        };
        for target in ["a-x", "b-y"] {
            for package in ["rustc", "rust-docs", "clippy-preview"] {
                build(&mut text, package, target, (package, target) != ("clippy-preview", "b-y"));
            }
        }
        for target in ["a-x", "b-y", "c-z"] {
            build(&mut text, "rust-std", target, true);
        }
        build(&mut text, "rust-src", "*", true);
        build(&mut text, "rust-mingw", "b-y", true);
        for host in ["a-x", "b-y"] {
            build(&mut text, "rust", host, true);
            let listed = |pkg: &str, target: &str| format!("{{ pkg = \"{pkg}\", target = \"{target}\" }}");
            text += &format!("# of {host}\ncomponents = [{}, {}]\n", listed("rustc", host), listed("rust-std", host));
            let mingw = if host == "b-y" { listed("rust-mingw", host) + ", " } else { String::new() };
            let others = [listed("rust-src", "*"), listed("clippy-preview", host), listed("rust-docs", "a-x")];
            text += &format!("extensions = [{mingw}{}]\n", others.join(", "));
        }
        text += "[pkg.rust]\nversion = \"1.95.0 (59807616e 2026-04-14)\"\n";
        text += "[renames]\nclippy = { to = \"clippy-preview\" }\n";
        text += "[profiles]\nminimal = [\"rustc\", \"rust-std\", \"rust-mingw\"]\n";
        text += "default = [\"rustc\", \"rust-std\", \"rust-mingw\", \"rust-docs\", \"clippy-preview\"]\n";
        ChannelManifest::parse(change(text).as_bytes()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn selected(manifest: &ChannelManifest, targets: &[&str], profile: Profile, components: &[&str]) -> String {
        let owned = |terms: &[&str]| terms.iter().map(|word| (*word).to_owned()).collect();
        let wanted = SelectionRequest { targets: owned(targets), profile, components: owned(components) };
        match select(manifest, &wanted) {
            Ok(selection) => {
                let files = selection.components.iter();
                let files = files.map(|one| one.path.as_str().trim_start_matches("dist/2026-04-16/").to_owned());
                let skipped = selection.unavailable.iter().map(|one| format!("!{}-{}", one.component, one.target));
                files.chain(skipped).collect::<Vec<_>>().join(" ").replace(".tar.xz", "")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_profile_is_limited_to_what_the_host_lists() {
        let manifest = release(|text| text);
        assert_eq!(selected(&manifest, &["a-x"], Profile::Minimal, &[]), "rust-std-a-x rustc-a-x");
        assert_eq!(selected(&manifest, &["b-y"], Profile::Minimal, &[]), "rust-mingw-b-y rust-std-b-y rustc-b-y");
        assert_eq!(
            selected(&manifest, &["a-x"], Profile::Default, &[]),
            "clippy-preview-a-x rust-docs-a-x rust-std-a-x rustc-a-x"
        );
        // Its list has rust-docs only for the other host, and its clippy could not be built.
        assert_eq!(
            selected(&manifest, &["b-y"], Profile::Default, &[]),
            "rust-mingw-b-y rust-std-b-y rustc-b-y !clippy-preview-b-y"
        );
        assert_eq!(
            selected(&manifest, &["a-x"], Profile::Complete, &[]),
            "the channel manifest has no profile `complete`"
        );
    }

    #[test]
    fn extra_components_go_to_hosts_and_rust_std_to_every_target() {
        let manifest = release(|text| text);
        let extras = ["clippy", "clippy-preview", "rust-src", "rust-mingw"];
        assert_eq!(
            selected(&manifest, &["c-z", "a-x", "c-z"], Profile::Minimal, &extras),
            "clippy-preview-a-x rust-src rust-std-a-x rust-std-c-z rustc-a-x !rust-mingw-a-x"
        );
        assert_eq!(selected(&manifest, &["c-z"], Profile::Default, &extras), "rust-std-c-z");
        assert_eq!(selected(&manifest, &[], Profile::Default, &[]), "");
        assert_eq!(selected(&manifest, &["c-z"], Profile::Default, &["clipy"]), "Rust 1.95.0 has no component `clipy`");
        assert_eq!(selected(&manifest, &["c-q"], Profile::Default, &[]), "Rust 1.95.0 has no target `c-q`");
        assert_eq!(selected(&manifest, &["*"], Profile::Default, &[]), "Rust 1.95.0 has no target `*`");
    }

    #[test]
    fn gzip_is_used_without_xz() {
        let manifest = release(|text| text.replace("xz_", "zst_"));
        assert_eq!(selected(&manifest, &["c-z"], Profile::Minimal, &[]), "rust-std-c-z.tar.gz");
    }

    #[test]
    fn without_profiles_the_listed_components_are_selected() {
        let manifest = release(|text| text[..text.find("[profiles]").expect("it is there")].to_owned());
        for profile in Profile::ALL {
            assert_eq!(selected(&manifest, &["a-x"], profile, &["rust-src"]), "rust-src rust-std-a-x rustc-a-x");
        }
    }

    #[test]
    fn an_unavailable_host_is_treated_as_a_target() {
        let manifest = release(|text| {
            text.replace("[pkg.rust.target.\"a-x\"]\navailable = true", "[pkg.rust.target.\"a-x\"]\navailable = false")
        });
        assert_eq!(selected(&manifest, &["a-x"], Profile::Minimal, &[]), "rust-std-a-x !rust-a-x");
    }

    #[test]
    fn invalid_manifest_entries_are_refused_when_selected() {
        let std = "https://static.rust-lang.org/dist/2026-04-16/rust-std-c-z.tar.xz";
        for bad in [
            "https://evil.example/dist/2026-04-16/rust-std-c-z.tar.xz",
            "https://static.rust-lang.org/dist/2026-04-16/../../etc/passwd",
        ] {
            let manifest = release(|text| text.replace(std, bad));
            let expected = "the channel manifest's entry of `rust-std` for `c-z` is damaged";
            assert_eq!(selected(&manifest, &["c-z"], Profile::Minimal, &[]), expected);
            assert_eq!(selected(&manifest, &["a-x"], Profile::Minimal, &[]), "rust-std-a-x rustc-a-x");
            let wanted = SelectionRequest { targets: vec!["c-z".to_owned()], ..SelectionRequest::default() };
            let Err(SelectError::InvalidFile { source, .. }) = select(&manifest, &wanted) else {
                panic!("it is damaged")
            };
            assert!(source.to_string().contains(bad), "{source}");
        }
        let manifest = release(|text| text.replace("rust-std-c-z.tar.xz", "rust-std-a-x.tar.xz"));
        let expected = "the channel manifest has two digests for `dist/2026-04-16/rust-std-a-x.tar.xz`";
        assert_eq!(selected(&manifest, &["a-x", "c-z"], Profile::Minimal, &[]), expected);
        let manifest = release(|text| text.replace("[pkg.rustc.target.\"a-x\"]", "[pkg.rustc.target.\"a-q\"]"));
        let expected = "the channel manifest lists `rustc` for `a-x`, but has no such package";
        assert_eq!(selected(&manifest, &["a-x"], Profile::Minimal, &[]), expected);
    }
}
