//! Predicts cargo's next requests: its resolver walks the graph in waves over two connections, so every wave would cost
//! a round trip to upstream. The prediction is good enough to have the files in advance.
//!
//! It assumes the highest matching version and the requested features. Cargo requests mispredicted files itself.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use cargo_util_schemas::index::IndexPackage;
use semver::VersionReq;

use crate::crate_id::{CrateName, Version};
use crate::upstream::index_file::{IndexFile, VersionEntry};

/// A dependency on a crate from a package of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DependencyQuery {
    /// The crate.
    pub name: CrateName,
    /// The requirement.
    pub req: VersionReq,
    /// Requested features.
    pub features: BTreeSet<String>,
    /// Whether the default features are requested.
    pub default_features: bool,
}

/// A dependency of a crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The dependency.
    pub query: DependencyQuery,
    /// Why a build may not need it although a lock lists it; `None`: every build needs it.
    pub condition: Option<Condition>,
}

/// Why a build may not need a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// It is for one platform (`cfg(…)` or a target triple), of whose text this is a hash.
    Platform(u64),
    /// Only a weak feature (`name?/feature`) enables it: it is locked, but not built.
    WeakFeature,
}

impl Condition {
    /// The platform as in the index.
    pub fn platform(text: &str) -> Condition {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Condition::Platform(hasher.finish())
    }
}

/// The version that `query` will probably resolve to.
pub fn select_version(file: &IndexFile, query: &DependencyQuery) -> Option<Version> {
    newest_matching(file, query).map(|head| head.version.clone())
}

fn newest_matching<'f>(file: &'f IndexFile, query: &DependencyQuery) -> Option<&'f VersionEntry> {
    let fitting = file.versions().iter().filter(|head| !head.yanked && query.req.matches(&head.version));
    fitting.max_by(|a, b| a.version.cmp(&b.version))
}

/// The dependencies of the probable version of `query`. Empty if no version matches.
pub fn dependencies_of(file: &IndexFile, query: &DependencyQuery) -> Vec<Dependency> {
    let package = newest_matching(file, query).and_then(|head| serde_json::from_str(file.line_text(head)).ok());
    package.map_or_else(Vec::new, |package| enabled_dependencies(&package, query))
}

fn enabled_dependencies(package: &IndexPackage<'_>, query: &DependencyQuery) -> Vec<Dependency> {
    let enabled = dependencies_by_feature(package, query);
    let normal = package.deps.iter().filter(|dep| dep.kind.as_deref() != Some("dev") && dep.registry.is_none());
    normal
        .filter_map(|dep| {
            let requested_features = enabled.get(dep.name.as_ref());
            if dep.optional && requested_features.is_none() {
                return None;
            }
            let own = dep.features.iter().map(ToString::to_string);
            let query = DependencyQuery {
                name: dep.package.as_ref().unwrap_or(&dep.name).parse().ok()?,
                req: VersionReq::parse(&dep.req).ok()?,
                features: own
                    .chain(requested_features.into_iter().flat_map(|active| &active.features).cloned())
                    .collect(),
                default_features: dep.default_features,
            };
            let is_weak = dep.optional && requested_features.is_none_or(|active| !active.strong);
            let condition = match &dep.target {
                Some(target) => Some(Condition::platform(target)),
                None => is_weak.then_some(Condition::WeakFeature),
            };
            Some(Dependency { query, condition })
        })
        .collect()
}

/// The effect of features on an optional dependency.
#[derive(Default)]
struct Active {
    features: BTreeSet<String>,
    /// Whether a feature that is not weak enables it.
    strong: bool,
}

/// Dependencies that features enable, by their name in the package.
fn dependencies_by_feature(package: &IndexPackage<'_>, query: &DependencyQuery) -> HashMap<String, Active> {
    let meaning = |feature: &str| {
        let newer = package.features2.as_ref().and_then(|map| map.get(feature));
        package.features.get(feature).or(newer)
    };
    let mut enabled: HashMap<String, Active> = HashMap::new();
    let mut seen = BTreeSet::new();
    // Each feature, and whether a feature that is not weak enables it.
    let mut todo: Vec<(&str, bool)> = query.features.iter().map(|feature| (feature.as_str(), true)).collect();
    if query.default_features {
        todo.push(("default", true));
    }
    while let Some((feature, is_strong)) = todo.pop() {
        if !seen.insert((feature, is_strong)) {
            continue;
        }
        if let Some(dependency) = feature.strip_prefix("dep:") {
            enabled.entry(dependency.to_owned()).or_default().strong |= is_strong;
        } else if let Some((dependency, inner)) = feature.split_once('/') {
            // Cargo also locks the optional dependency of a weak feature (`name?/feature`).
            let weak = dependency.strip_suffix('?');
            let (dependency, is_strong) = (weak.unwrap_or(dependency), is_strong && weak.is_none());
            let entry = enabled.entry(dependency.to_owned()).or_default();
            entry.features.insert(inner.to_owned());
            entry.strong |= is_strong;
            if meaning(dependency).is_some() {
                todo.push((dependency, is_strong));
            }
        } else if let Some(list) = meaning(feature) {
            todo.extend(list.iter().map(|feature| (feature.as_ref(), is_strong)));
        } else {
            // An optional dependency that no feature names is an implicit feature.
            enabled.entry(feature.to_owned()).or_default().strong |= is_strong;
        }
    }
    enabled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(req: &str, features: &[&str], default_features: bool) -> DependencyQuery {
        DependencyQuery {
            name: "a".parse().expect("valid"),
            req: req.parse().expect("valid"),
            features: features.iter().map(ToString::to_string).collect(),
            default_features,
        }
    }

    fn names(dependencies: &[Dependency]) -> Vec<String> {
        dependencies.iter().map(|dependency| dependency.query.name.to_string()).collect()
    }

    const FILE: &str = concat!(
        r#"{"name":"a","vers":"1.0.0","deps":[{"name":"old","req":"^1"}],"cksum":"","features":{}}"#,
        "\n",
        r#"{"name":"a","vers":"1.1.0","deps":[{"name":"always","req":"^1","features":["f"]},{"name":"renamed","package":"real","req":"^2","optional":true},{"name":"weak","req":"^1","optional":true},{"name":"bare","req":"1","optional":true},{"name":"test","req":"^1","kind":"dev"},{"name":"far","req":"^1","registry":"https://elsewhere"}],"cksum":"","features":{"default":["std"],"std":["always/std","weak?/std"]},"features2":{"full":["dep:renamed","std"]},"v":2}"#,
        "\n",
        r#"{"name":"a","vers":"1.2.0","deps":[{"name":"gone","req":"^1"}],"cksum":"","features":{},"yanked":true}"#,
    );

    #[test]
    fn the_newest_matching_version_is_used() {
        let file = IndexFile::new(FILE.as_bytes());
        assert_eq!(names(&dependencies_of(&file, &query("=1.0", &[], true))), ["old"]);
        assert_eq!(names(&dependencies_of(&file, &query("1", &[], false))), ["always"]);
        assert_eq!(dependencies_of(&file, &query("7", &[], false)), []);
    }

    #[test]
    fn features_enable_their_dependencies() {
        let file = IndexFile::new(FILE.as_bytes());
        let by_default = dependencies_of(&file, &query("1", &[], true));
        assert_eq!(names(&by_default), ["always", "weak"]);
        let features: Vec<_> = by_default[0].query.features.iter().map(String::as_str).collect();
        assert_eq!(features, ["f", "std"]);
        let full = dependencies_of(&file, &query("1", &["full"], false));
        assert_eq!(names(&full), ["always", "real", "weak"]);
        let bare = dependencies_of(&file, &query("1", &["bare"], false));
        assert_eq!(names(&bare), ["always", "bare"]);
    }

    #[test]
    fn conditions_say_what_a_build_may_do_without() {
        let file = IndexFile::new(FILE.as_bytes());
        let conditions = |features: &[&str]| {
            let found = dependencies_of(&file, &query("1", features, true)).into_iter();
            found.map(|one| (one.query.name.to_string(), one.condition)).collect::<Vec<_>>()
        };
        let always = ("always".to_owned(), None);
        assert_eq!(conditions(&[]), [always.clone(), ("weak".to_owned(), Some(Condition::WeakFeature))]);
        assert_eq!(conditions(&["weak"]), [always, ("weak".to_owned(), None)]);
        let platforms = r#"{"name":"a","vers":"1.0.0","deps":[{"name":"b","req":"^1","target":"cfg(windows)"},{"name":"b","req":"^1","target":"cfg(unix)"}],"cksum":"","features":{}}"#;
        let found = dependencies_of(&IndexFile::new(platforms.as_bytes()), &query("1", &[], true));
        let found: Vec<_> = found.into_iter().map(|one| one.condition).collect();
        assert_eq!(found, [Condition::platform("cfg(windows)"), Condition::platform("cfg(unix)")].map(Some));
        assert_ne!(found[0], found[1]);
    }
}
