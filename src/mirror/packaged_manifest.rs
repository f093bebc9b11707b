//! Compares an index line with the Cargo.toml in its crate. Upstream derives a line's dependencies, features, `links` and
//! `rust_version` from that file, and the crate's checksum proves it. So it shows which lines are false.
//!
//! Cargo and crates.io wrote the same facts in different ways over the years. The comparison tolerates these: the
//! spelling of a requirement, spaces in a `cfg`, `_` for `-` in a name, an empty name among the features of a dependency.
//! It tolerates that a line lacks `links` or `rust_version`, which older lines never had. It ignores the fields that a
//! Cargo.toml does not determine, such as `yanked`.
//!
//! Before 2018, cargo did not know all of today's keys, and crates.io lost some data. So the line of a Cargo.toml from that
//! time may lack dependencies and features, but may not state others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_util_schemas::index::{IndexPackage, RegistryDependency};
use semver::{Op, VersionReq};

use crate::bundle::package_metadata::read_manifest;
use crate::bundle::sanitize::sanitize_line;
use crate::crate_id::CrateId;

mod cargo_toml;

pub(in crate::mirror) use cargo_toml::PackagedManifest;
use cargo_toml::{Dependency, DependencyKey, DependencyKind, compact, folded};

/// Versions on crates.io whose index line differs from their Cargo.toml since they were published, or did so for years (source:
/// the comparison of all versions in rust-lang/cargo#11319). Their lines are not compared.
const KNOWN_DIFFERENCES: [(&str, &str); 7] = [
    ("bounded-spsc-queue", "0.0.1"),
    ("enclave", "0.1.1"),
    ("nanovg", "0.2.0"),
    ("ncollide", "0.2.0"),
    ("noir", "0.2.0"),
    ("openssl", "0.0.1"),
    ("python3-sys", "0.1.0"),
];

/// The end of the index URL of crates.io, which lines of other registries state.
const CRATES_IO_INDEX_END: &str = "/rust-lang/crates.io-index";

impl PackagedManifest {
    /// The manifest of the crate in the file at `path`; `None` if it cannot be read. The caller checks the digest of the
    /// file.
    pub(in crate::mirror) fn read(id: &CrateId, path: &Path) -> Option<PackagedManifest> {
        PackagedManifest::parse(&read_manifest(id, path)?)
    }

    /// How the index line `raw` contradicts this manifest, such as "its dependency `b` is not in the Cargo.toml of the
    /// crate"; `None` if it agrees.
    pub(in crate::mirror) fn find_contradiction(&self, raw: &str) -> Option<String> {
        let package: IndexPackage<'_> = serde_json::from_str(raw).ok()?;
        if KNOWN_DIFFERENCES.contains(&(package.name.as_ref(), package.vers.to_string().as_str())) {
            return None;
        }
        if let Some(contradiction) = self.find_dependency_contradiction(&package) {
            return Some(contradiction);
        }
        if !self.has_features_of(&package) {
            return Some("its features differ from those in the Cargo.toml of the crate".to_owned());
        }
        let links = package.links.as_deref();
        if links.is_some() && links != self.links.as_deref() {
            return Some("its `links` differs from that in the Cargo.toml of the crate".to_owned());
        }
        let rust_version = package.rust_version.map(|version| version.to_string());
        let is_false = match (&rust_version, &self.rust_version) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(stated), Some(expected)) => version_numbers(stated) != version_numbers(expected),
        };
        is_false.then(|| "its `rust_version` differs from that in the Cargo.toml of the crate".to_owned())
    }

    fn find_dependency_contradiction(&self, package: &IndexPackage<'_>) -> Option<String> {
        let mut found: BTreeSet<&DependencyKey> = BTreeSet::new();
        for dependency in &package.deps {
            let (mut key, of_line) = Dependency::of_line(dependency);
            // A few lines from before 2018 lack the kind.
            if dependency.kind.is_none() && !self.is_complete {
                let kinds = [DependencyKind::Normal, DependencyKind::Build, DependencyKind::Dev];
                let stated = kinds.into_iter().find(|kind| {
                    key.kind = *kind;
                    self.dependencies.contains_key(&key)
                });
                key.kind = stated.unwrap_or(DependencyKind::Normal);
            }
            let shown = format!("{} `{}`", key.kind.dependency_noun(), sanitize_line(&dependency.name));
            let Some((key, of_manifest)) = self.dependencies.get_key_value(&key) else {
                return Some(format!("its {shown} is not in the Cargo.toml of the crate"));
            };
            if !of_manifest.iter().any(|one| one.agrees_with(&of_line, self.is_complete)) {
                return Some(format!("its {shown} differs from the one in the Cargo.toml of the crate"));
            }
            found.insert(key);
        }
        // Cargo publishes no dev-dependency that has only a path.
        let is_expected = |key: &DependencyKey, all: &[Dependency]| {
            key.kind != DependencyKind::Dev || all.iter().all(|one| one.requirement.is_some())
        };
        let mut expected = self.dependencies.iter().filter(|(key, all)| self.is_complete && is_expected(key, all));
        let (missing, _) = expected.find(|(key, _)| !found.contains(key))?;
        let shown = format!("{} `{}`", missing.kind.dependency_noun(), sanitize_line(&missing.name));
        Some(format!("it lacks the {shown} that is in the Cargo.toml of the crate"))
    }

    fn has_features_of(&self, package: &IndexPackage<'_>) -> bool {
        // Cargo combines the values of a feature that is in both tables.
        let mut of_line: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (feature, enables) in package.features.iter().chain(package.features2.iter().flatten()) {
            of_line.entry(feature).or_default().extend(enables.iter().map(AsRef::<str>::as_ref));
        }
        let are_stated = of_line.iter().all(|(feature, enables)| {
            let stated = self.features.get(*feature);
            stated.is_some_and(|stated| {
                enables.iter().all(|one| stated.contains(*one)) && (!self.is_complete || enables.len() == stated.len())
            })
        });
        are_stated && (!self.is_complete || of_line.len() == self.features.len())
    }
}

impl DependencyKind {
    fn dependency_noun(self) -> &'static str {
        match self {
            DependencyKind::Normal => "dependency",
            DependencyKind::Build => "build-dependency",
            DependencyKind::Dev => "dev-dependency",
        }
    }
}

impl Dependency {
    fn of_line(dependency: &RegistryDependency<'_>) -> (DependencyKey, Dependency) {
        let key = DependencyKey {
            name: folded(&dependency.name),
            // As cargo reads it (cargo: sources/registry/index/mod.rs).
            kind: match dependency.kind.as_deref() {
                Some("dev") => DependencyKind::Dev,
                Some("build") => DependencyKind::Build,
                _ => DependencyKind::Normal,
            },
            target: compact(dependency.target.as_deref().unwrap_or_default()),
        };
        let of_line = Dependency {
            package: folded(dependency.package.as_ref().unwrap_or(&dependency.name)),
            requirement: Some(dependency.req.to_string()),
            is_optional: dependency.optional,
            default_features: dependency.default_features,
            features: without_empty(dependency.features.iter().map(ToString::to_string)),
            registry: dependency.registry.as_ref().map(ToString::to_string),
            is_artifact: dependency.artifact.is_some(),
        };
        (key, of_line)
    }

    /// Whether this dependency of a manifest agrees with that of a line. `is_complete` is that of the manifest.
    fn agrees_with(&self, of_line: &Dependency, is_complete: bool) -> bool {
        let has_same_requirement = match (self.requirement.as_deref(), of_line.requirement.as_deref()) {
            (None, _) if !is_complete => true,
            (stated, of_line) => is_same_requirement(stated.unwrap_or("*"), of_line.unwrap_or("*")),
        };
        let has_same_registry = match (&self.registry, &of_line.registry) {
            // A manifest also names the registry that the crate itself comes from.
            (_, None) => true,
            (Some(stated), Some(of_line)) => bare_index_url(stated) == bare_index_url(of_line),
            // The line of another registry names crates.io, which the manifest does not need to name.
            (None, Some(of_line)) => bare_index_url(of_line).ends_with(CRATES_IO_INDEX_END),
        };
        has_same_requirement
            && has_same_registry
            && self.package == of_line.package
            && self.is_optional == of_line.is_optional
            && self.default_features == of_line.default_features
            && (self.is_artifact || !of_line.is_artifact)
            && without_empty(self.features.iter().cloned()) == of_line.features
    }
}

/// Whether a requirement of a line is that of a manifest. If one of them cannot be parsed, the result is true, because cargo
/// once accepted requirements that it no longer reads.
fn is_same_requirement(stated: &str, of_line: &str) -> bool {
    let (Some(one), Some(other)) = (canonical_requirement(stated), canonical_requirement(of_line)) else { return true };
    // Until 2021, cargo dropped the operator before a wildcard: it published `^1.2.*` as `1.2.*`.
    let without_operators = || canonical_requirement(&stated.replace(['^', '~', '=', '<', '>'], ""));
    one == other || stated.contains(['*', 'x', 'X']) && without_operators().is_none_or(|bare| bare == other)
}

/// The parsed requirement, in the same form for texts such as `1`, `^1` and `1.*`, which mean the same. `None` if it cannot be
/// parsed.
fn canonical_requirement(text: &str) -> Option<VersionReq> {
    let mut requirement = VersionReq::parse(text).ok()?;
    for comparator in &mut requirement.comparators {
        let is_range = matches!(comparator.op, Op::Exact | Op::Tilde | Op::Caret | Op::Wildcard);
        match (comparator.minor, comparator.patch) {
            (None, _) if is_range => comparator.op = Op::Caret,
            (Some(_), None) if is_range && (comparator.op != Op::Caret || comparator.major == 0) => {
                comparator.op = Op::Tilde;
            }
            _ => {}
        }
    }
    Some(requirement)
}

/// The index of crates.io once stated the features of a dependency without any as one empty name.
fn without_empty(features: impl Iterator<Item = String>) -> BTreeSet<String> {
    features.filter(|feature| !feature.is_empty()).collect()
}

/// An index URL without the protocol prefix of a source and without a slash at its end.
fn bare_index_url(url: &str) -> &str {
    let url = ["sparse+", "registry+"].into_iter().find_map(|prefix| url.strip_prefix(prefix)).unwrap_or(url);
    url.trim_end_matches('/')
}

/// The numbers of a Rust version such as `1.56`, without zeros at the end.
fn version_numbers(text: &str) -> Vec<&str> {
    let mut numbers: Vec<&str> = text.trim().split('.').collect();
    while numbers.last() == Some(&"0") {
        numbers.pop();
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"# THIS FILE IS AUTOMATICALLY GENERATED BY CARGO
[package]
name = "a"
version = "1.0.0"
links = "z"
rust-version = "1.56"

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
local = { path = "../local" }
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

    fn line(dependencies: &[String], rest: &str) -> String {
        let deps = dependencies.join(",");
        format!(r#"{{"name":"a","vers":"1.0.0","deps":[{deps}],"cksum":"{:064}",{rest}}}"#, 0)
    }

    const FEATURES: &str =
        r#""features":{"default":["one"]},"features2":{"one":["dep:renamed"]},"links":"z","rust_version":"1.56""#;

    #[test]
    fn a_genuine_line_agrees_with_its_manifest() {
        let manifest = PackagedManifest::parse(MANIFEST).expect("a manifest");
        assert_eq!(manifest.find_contradiction(&line(&genuine(), FEATURES)), None);
        let mut shuffled = genuine();
        shuffled.reverse();
        let later = FEATURES.replace("1.56", "1.56.0") + r#","yanked":true,"pubtime":"2026-01-01T00:00:00Z","v":2"#;
        assert_eq!(manifest.find_contradiction(&line(&shuffled, &later)), None);
        // Older lines of upstream lack these.
        let older = FEATURES.replace(r#","links":"z","rust_version":"1.56""#, "");
        assert_eq!(manifest.find_contradiction(&line(&shuffled, &older)), None);
        let null = FEATURES.replace(r#""links":"z","rust_version":"1.56""#, r#""links":null,"rust_version":null"#);
        assert_eq!(manifest.find_contradiction(&line(&shuffled, &null)), None);
        // Before 2022, upstream stated an empty name instead of no features.
        let unnamed: Vec<String> =
            genuine().iter().map(|one| one.replace("\"features\":[]", "\"features\":[\"\"]")).collect();
        assert_ne!(unnamed, genuine());
        assert_eq!(manifest.find_contradiction(&line(&unnamed, FEATURES)), None);
        assert!(PackagedManifest::parse("[package").is_none());
    }

    #[test]
    fn an_altered_line_contradicts_its_manifest() {
        let manifest = PackagedManifest::parse(MANIFEST).expect("a manifest");
        let contradicts = |dependencies: &[String], rest: &str, expected: &str| {
            let found = manifest.find_contradiction(&line(dependencies, rest)).unwrap_or_default();
            assert!(found.contains(expected), "{expected}: {found}");
        };
        for (kind, noun) in [("normal", "dependency"), ("dev", "dev-dependency"), ("build", "build-dependency")] {
            let mut more = genuine();
            more.push(dependency("evil", "^1", &format!(r#","kind":"{kind}""#)));
            contradicts(&more, FEATURES, &format!("its {noun} `evil` is not in"));
        }
        let mut twice = genuine();
        twice.push(dependency("plain", "^6", ""));
        contradicts(&twice, FEATURES, "`plain` differs from the one in");
        for at in 0..genuine().len() {
            let mut fewer = genuine();
            fewer.remove(at);
            contradicts(&fewer, FEATURES, "it lacks the ");
        }
        for (at, from, to, expected) in [
            (0, "^1.0", "=6.6.6", "differs from the one in"),
            (0, "\"optional\":false", "\"optional\":true", "differs from the one in"),
            (0, "\"features\":[]", "\"features\":[\"evil\"]", "differs from the one in"),
            (0, "\"default_features\":true", "\"default_features\":false", "differs from the one in"),
            (0, "\"kind\"", "\"registry\":\"https://evil.example\",\"kind\"", "differs from the one in"),
            (0, "\"kind\"", "\"artifact\":[\"bin\"],\"kind\"", "differs from the one in"),
            (0, "\"kind\":\"normal\"", "\"kind\":null,\"target\":\"cfg(unix)\"", "is not in"),
            (0, "\"plain\"", "\"plain\",\"package\":\"evil\"", "differs from the one in"),
            (1, "real-name", "evil", "differs from the one in"),
            (3, "^1", "^6", "its dev-dependency `test` differs from the one in"),
            (3, "\"dev\"", "\"normal\"", "its dependency `test` is not in"),
            (4, "wasi", "linux", "is not in"),
        ] {
            let mut altered = genuine();
            altered[at] = altered[at].replace(from, to);
            if to.contains("null") {
                altered[at] = altered[at].replace(r#","target":null"#, "");
            }
            assert_ne!(altered, genuine());
            contradicts(&altered, FEATURES, expected);
        }
        for (from, to) in [
            ("dep:renamed", "plain"),
            ("[\"one\"]", "[]"),
            ("[\"one\"]", "[\"one\",\"plain\"]"),
            ("\"default\"", "\"other\""),
            // Cargo combines both.
            ("\"default\":[\"one\"]", "\"default\":[\"one\"],\"one\":[\"plain\"]"),
        ] {
            let altered = FEATURES.replace(from, to);
            assert_ne!(altered, FEATURES);
            contradicts(&genuine(), &altered, "its features differ");
        }
        contradicts(&genuine(), &FEATURES.replace("\"z\"", "\"y\""), "its `links` differs");
        contradicts(&genuine(), &FEATURES.replace("1.56", "1.85"), "its `rust_version` differs");
    }

    #[test]
    fn requirements_with_the_same_meaning_are_the_same() {
        for (stated, of_line) in [
            ("1", "^1"),
            ("1.*", "^1"),
            ("^0.*", "0.*"),
            ("0.2", "~0.2"),
            ("=1.2", "1.2.*"),
            ("^1.2.*", "1.2.*"),
            ("1.2.x", "1.2.*"),
            (">= 1.2, <2", ">=1.2, <2"),
            ("*", "*"),
            ("not a requirement", "^1"),
        ] {
            assert!(is_same_requirement(stated, of_line), "{stated} {of_line}");
        }
        for (stated, of_line) in [
            ("1.2", "1.2.*"),
            ("1", "2"),
            ("1.2.3", "=1.2.3"),
            ("~1.2.3", "^1.2.3"),
            ("^1.2.*", "2"),
            ("1", "*"),
            ("*", "=6.6.6"),
        ] {
            assert!(!is_same_requirement(stated, of_line), "{stated} {of_line}");
        }
    }

    #[test]
    fn a_line_from_the_early_years_may_lack_what_its_manifest_states() {
        let text = MANIFEST.split_once('\n').expect("two lines").1;
        let manifest = PackagedManifest::parse(text).expect("a manifest");
        let agrees = |dependencies: &[String], rest: &str| manifest.find_contradiction(&line(dependencies, rest));
        assert_eq!(agrees(&[], r#""features":{}"#), None);
        assert_eq!(agrees(&genuine(), r#""features":{"default":[]}"#), None);
        let without_kind: Vec<String> = genuine().iter().map(|one| one.replace("\"dev\"", "null")).collect();
        assert_ne!(without_kind, genuine());
        assert_eq!(agrees(&without_kind, FEATURES), None);
        let evil = [dependency("evil", "^1", "")];
        assert!(agrees(&evil, FEATURES).is_some_and(|text| text.contains("`evil` is not in")));
        assert!(
            agrees(&genuine(), r#""features":{"evil":[]}"#).is_some_and(|text| text.contains("its features differ"))
        );
    }

    #[test]
    fn a_line_may_name_the_registry_that_the_manifest_names_or_implies() {
        let text = "[package]\nedition = \"2021\"\n[dependencies.plain]\nversion = \"1\"\n";
        let implied = PackagedManifest::parse(text).expect("a manifest");
        let named = format!("{text}registry-index = \"sparse+https://registry.example/index/\"\n");
        let named = PackagedManifest::parse(&named).expect("a manifest");
        let of_registry =
            |url: &str| line(&[dependency("plain", "^1", &format!(r#","registry":"{url}""#))], r#""features":{}"#);
        let crates_io = of_registry("https://github.com/rust-lang/crates.io-index");
        let same = of_registry("sparse+https://registry.example/index");
        let evil = of_registry("https://evil.example/index");
        assert_eq!(implied.find_contradiction(&crates_io), None);
        assert_eq!(named.find_contradiction(&same), None);
        for (manifest, line) in [(&implied, &same), (&implied, &evil), (&named, &evil), (&named, &crates_io)] {
            assert!(manifest.find_contradiction(line).is_some_and(|text| text.contains("`plain` differs")), "{line}");
        }
        // The registry of the crate itself.
        assert_eq!(named.find_contradiction(&line(&[dependency("plain", "^1", "")], r#""features":{}"#)), None);
    }
}
