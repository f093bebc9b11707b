//! Compares an index line with the Cargo.toml in its crate. Upstream derives a line's dependencies and features from that
//! file, and the crate's checksum proves it. So it shows which lines are false.
//!
//! Cargo and crates.io wrote the same facts in different ways over the years. The comparison tolerates these: the
//! spelling of a requirement, spaces in a `cfg`, `_` for `-` in a name. It ignores dev-dependencies, which no other crate
//! needs, and the address of another registry.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_util_schemas::index::{IndexPackage, RegistryDependency};
use semver::VersionReq;
use serde::Deserialize;

use crate::bundle::package_metadata::read_manifest;
use crate::bundle::sanitize::sanitize_line;
use crate::crate_id::CrateId;
use crate::index_line::IndexLine;

/// What the Cargo.toml in a crate states about its index line.
#[derive(Debug)]
pub(super) struct PackagedManifest {
    dependencies: BTreeMap<DependencyKey, Dependency>,
    features: BTreeMap<String, BTreeSet<String>>,
    links: Option<String>,
}

/// Identifies a dependency within a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DependencyKey {
    /// The name in the manifest, which differs from that of a renamed package.
    name: String,
    is_build: bool,
    /// The platform, without spaces; empty for all platforms.
    target: String,
}

/// The properties of a dependency.
#[derive(Debug)]
struct Dependency {
    package: String,
    /// `None` if the manifest has no requirement.
    requirement: Option<String>,
    is_optional: bool,
    default_features: bool,
    features: BTreeSet<String>,
    is_of_other_registry: bool,
}

impl PackagedManifest {
    /// The manifest of the crate in the file at `path`; `None` if it cannot be read. The caller checks the digest of the
    /// file.
    pub(super) fn read(id: &CrateId, path: &Path) -> Option<PackagedManifest> {
        PackagedManifest::parse(&read_manifest(id, path)?)
    }

    fn parse(text: &str) -> Option<PackagedManifest> {
        let manifest: CargoToml = toml::from_str(text).ok()?;
        let mut dependencies = BTreeMap::new();
        let mut add = |tables: DependencyTables, target: &str| {
            for (is_build, table) in [(false, tables.dependencies), (true, tables.build_dependencies)] {
                for (name, entry) in table {
                    let key = DependencyKey { name: folded(&name), is_build, target: compact(target) };
                    dependencies.insert(key, entry.into_dependency(&name));
                }
            }
        };
        add(
            DependencyTables { dependencies: manifest.dependencies, build_dependencies: manifest.build_dependencies },
            "",
        );
        manifest.target.into_iter().for_each(|(target, tables)| add(tables, &target));
        let features = manifest.features.into_iter().map(|(name, enables)| (name, enables.into_iter().collect()));
        Some(PackagedManifest {
            dependencies,
            features: features.collect(),
            links: manifest.package.and_then(|package| package.links),
        })
    }

    /// How `line` contradicts this manifest, such as "its dependency `b` is not in the Cargo.toml of the crate"; `None` if it
    /// agrees.
    pub(super) fn find_contradiction(&self, line: &IndexLine) -> Option<String> {
        let package: IndexPackage<'_> = serde_json::from_str(&line.raw).ok()?;
        let mut rest: BTreeMap<&DependencyKey, &Dependency> = self.dependencies.iter().collect();
        for dependency in package.deps.iter().filter(|one| one.kind.as_deref() != Some("dev")) {
            let name = sanitize_line(&dependency.name);
            let (key, of_line) = Dependency::of_line(dependency);
            match rest.remove(&key) {
                None => return Some(format!("its dependency `{name}` is not in the Cargo.toml of the crate")),
                Some(of_manifest) if !of_manifest.agrees_with(&of_line) => {
                    return Some(format!(
                        "its dependency `{name}` differs from the one in the Cargo.toml of the crate"
                    ));
                }
                Some(_) => {}
            }
        }
        if let Some(key) = rest.keys().next() {
            let name = sanitize_line(&key.name);
            return Some(format!("it lacks the dependency `{name}` that is in the Cargo.toml of the crate"));
        }
        let all = package.features.iter().chain(package.features2.iter().flatten());
        let features: BTreeMap<String, BTreeSet<String>> =
            all.map(|(name, enables)| (name.to_string(), enables.iter().map(ToString::to_string).collect())).collect();
        if features != self.features {
            return Some("its features differ from those in the Cargo.toml of the crate".to_owned());
        }
        // Upstream's index did not always have this field.
        let links = package.links.as_deref();
        (links.is_some() && links != self.links.as_deref())
            .then(|| "its `links` differs from that in the Cargo.toml of the crate".to_owned())
    }
}

impl Dependency {
    fn of_line(dependency: &RegistryDependency<'_>) -> (DependencyKey, Dependency) {
        let key = DependencyKey {
            name: folded(&dependency.name),
            is_build: dependency.kind.as_deref() == Some("build"),
            target: compact(dependency.target.as_deref().unwrap_or_default()),
        };
        let of_line = Dependency {
            package: folded(dependency.package.as_ref().unwrap_or(&dependency.name)),
            requirement: Some(dependency.req.to_string()),
            is_optional: dependency.optional,
            default_features: dependency.default_features,
            features: dependency.features.iter().map(ToString::to_string).collect(),
            is_of_other_registry: dependency.registry.is_some(),
        };
        (key, of_line)
    }

    fn agrees_with(&self, of_line: &Dependency) -> bool {
        let requirement =
            |dependency: &Dependency| dependency.requirement.as_deref().and_then(|text| VersionReq::parse(text).ok());
        // Cargo once accepted requirements that it no longer reads.
        let has_same_requirement = match (requirement(self), requirement(of_line)) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        has_same_requirement
            && self.package == of_line.package
            && self.is_optional == of_line.is_optional
            && self.default_features == of_line.default_features
            && self.features == of_line.features
            // A manifest also names the registry that the crate itself comes from.
            && (self.is_of_other_registry || !of_line.is_of_other_registry)
    }
}

/// A name for comparison. crates.io has no two names that differ only in these characters.
fn folded(name: &str) -> String {
    name.to_lowercase().replace('_', "-")
}

/// A platform without the characters that cargo's own spelling of it adds or drops.
fn compact(target: &str) -> String {
    let text: String = target.chars().filter(|char| !char.is_whitespace()).collect();
    text.replace(",)", ")")
}

#[derive(Deserialize)]
struct CargoToml {
    #[serde(alias = "project")]
    package: Option<Package>,
    #[serde(default)]
    features: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    dependencies: BTreeMap<String, DependencyEntry>,
    #[serde(default, rename = "build-dependencies", alias = "build_dependencies")]
    build_dependencies: BTreeMap<String, DependencyEntry>,
    #[serde(default)]
    target: BTreeMap<String, DependencyTables>,
}

#[derive(Deserialize)]
struct Package {
    links: Option<String>,
}

#[derive(Deserialize)]
struct DependencyTables {
    #[serde(default)]
    dependencies: BTreeMap<String, DependencyEntry>,
    #[serde(default, rename = "build-dependencies", alias = "build_dependencies")]
    build_dependencies: BTreeMap<String, DependencyEntry>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum DependencyEntry {
    Requirement(String),
    Table(DependencyTable),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct DependencyTable {
    version: Option<String>,
    package: Option<String>,
    registry_index: Option<String>,
    #[serde(default)]
    optional: bool,
    #[serde(alias = "default_features")]
    default_features: Option<bool>,
    #[serde(default)]
    features: BTreeSet<String>,
}

impl DependencyEntry {
    fn into_dependency(self, name: &str) -> Dependency {
        let table = match self {
            DependencyEntry::Requirement(version) => {
                DependencyTable { version: Some(version), ..DependencyTable::default() }
            }
            DependencyEntry::Table(table) => table,
        };
        Dependency {
            package: folded(table.package.as_deref().unwrap_or(name)),
            requirement: table.version,
            is_optional: table.optional,
            default_features: table.default_features.unwrap_or(true),
            features: table.features,
            is_of_other_registry: table.registry_index.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
[package]
name = "a"
version = "1.0.0"
links = "z"

[dependencies]
plain = "1.0"
[dependencies.renamed]
version = ">= 1.2, <2"
package = "Real_name"
optional = true
default-features = false
features = ["y", "x"]
[build-dependencies.tool]
version = "0.3"
[dev-dependencies]
test = "1"
[target.'cfg(any(unix, target_os = "wasi",))'.dependencies]
libc = "0.2.1"
[features]
default = ["one"]
one = ["dep:renamed"]
"#;

    fn dependency(name: &str, req: &str, more: &str) -> String {
        let defaults = [
            ("\"features\"", "\"features\":[]"),
            ("\"optional\"", "\"optional\":false"),
            ("\"default_features\"", "\"default_features\":true"),
            ("\"target\"", "\"target\":null"),
            ("\"kind\"", "\"kind\":\"normal\""),
        ];
        let rest = defaults.iter().filter(|(key, _)| !more.contains(key)).map(|(_, text)| format!(",{text}"));
        format!(r#"{{"name":"{name}","req":"{req}"{more}{}}}"#, rest.collect::<String>())
    }

    fn genuine() -> Vec<String> {
        vec![
            dependency("plain", "^1.0", ""),
            dependency(
                "renamed",
                ">=1.2, <2",
                r#","package":"real-name","optional":true,"default_features":false,"features":["x","y"]"#,
            ),
            dependency("tool", "^0.3", r#","kind":"build""#),
            dependency("test", "^1", r#","kind":"dev""#),
            dependency("libc", "^0.2.1", r#","target":"cfg(any(unix, target_os = \"wasi\"))""#),
        ]
    }

    fn line(dependencies: &[String], rest: &str) -> IndexLine {
        let deps = dependencies.join(",");
        let raw = format!(r#"{{"name":"a","vers":"1.0.0","deps":[{deps}],"cksum":"{:064}",{rest}}}"#, 0);
        IndexLine::parse(&raw).expect("a line")
    }

    const FEATURES: &str = r#""features":{"default":["one"]},"features2":{"one":["dep:renamed"]},"links":"z""#;

    #[test]
    fn a_genuine_line_agrees_with_its_manifest() {
        let manifest = PackagedManifest::parse(MANIFEST).expect("a manifest");
        assert_eq!(manifest.find_contradiction(&line(&genuine(), FEATURES)), None);
        let mut shuffled = genuine();
        shuffled.reverse();
        // Upstream's index did not always have `links`.
        let without_links = FEATURES.replace(r#","links":"z""#, "");
        assert_eq!(manifest.find_contradiction(&line(&shuffled, &without_links)), None);
        assert!(PackagedManifest::parse("[package").is_none());
    }

    #[test]
    fn an_altered_line_contradicts_its_manifest() {
        let manifest = PackagedManifest::parse(MANIFEST).expect("a manifest");
        let contradicts = |dependencies: &[String], rest: &str, expected: &str| {
            let found = manifest.find_contradiction(&line(dependencies, rest)).unwrap_or_default();
            assert!(found.contains(expected), "{expected}: {found}");
        };
        let mut more = genuine();
        more.push(dependency("evil", "^1", ""));
        contradicts(&more, FEATURES, "`evil` is not in");
        let mut twice = genuine();
        twice.push(dependency("plain", "^6", ""));
        contradicts(&twice, FEATURES, "`plain` is not in");
        for at in [0, 1, 2, 4] {
            let mut fewer = genuine();
            fewer.remove(at);
            contradicts(&fewer, FEATURES, "it lacks the dependency");
        }
        for (at, from, to) in [
            (0, "^1.0", "=6.6.6"),
            (0, "\"optional\":false", "\"optional\":true"),
            (0, "\"features\":[]", "\"features\":[\"evil\"]"),
            (0, "\"default_features\":true", "\"default_features\":false"),
            (0, "\"kind\"", "\"registry\":\"https://evil.example\",\"kind\""),
            (1, "real-name", "evil"),
        ] {
            let mut altered = genuine();
            altered[at] = altered[at].replace(from, to);
            contradicts(&altered, FEATURES, "differs from the one in");
        }
        contradicts(&genuine(), &FEATURES.replace("dep:renamed", "plain"), "its features differ");
        contradicts(&genuine(), &FEATURES.replace("\"z\"", "\"y\""), "its `links` differs");
    }
}
