//! One requirement of one crate: a string or a table.

use std::collections::HashSet;

use semver::VersionReq;
use toml::de::{DeTable, DeValue};

use super::Requirement;
use super::walk::{Problems, Value, in_order};
use crate::crate_id::CrateName;
use crate::toml_words::{kind, one_of, plain, quote};

const KEYS: &[&str] = &["version", "features", "default-features", "package"];
/// Keys of Cargo.toml that say where a crate comes from.
const SOURCES: &[&str] = &["git", "branch", "tag", "rev", "path", "registry", "registry-index", "base"];

const REQUIREMENT: &str = "a version requirement, such as `1`, `=1.0.4` or `>=1.2, <1.5`";
const ENTRY: &str =
    "a version requirement, a table such as `{ version = \"1\", features = [\"derive\"] }`, or an array of these";

/// One requirement and the crate that it names, where it names one.
pub(super) fn requirement(
    path: &str,
    value: &Value<'_>,
    problems: &mut Problems,
) -> Option<(Option<CrateName>, Requirement)> {
    match value.get_ref() {
        DeValue::String(text) => {
            let version = version(path, text, value.span().start, problems)?;
            Some((None, Requirement { version, features: Vec::new(), default_features: true }))
        }
        DeValue::Table(table) => extended(path, table, value.span().start, problems),
        other => {
            problems.add(value.span().start, format!("{} is {}", quote(path), kind(other)), ENTRY);
            None
        }
    }
}

fn version(path: &str, text: &str, offset: usize, problems: &mut Problems) -> Option<String> {
    match VersionReq::parse(text) {
        Ok(_) => Some(text.to_owned()),
        Err(error) => {
            problems.add(
                offset,
                format!("{} has the version requirement {}: {error}", quote(path), quote(text)),
                REQUIREMENT,
            );
            None
        }
    }
}

fn extended(
    path: &str,
    table: &DeTable<'_>,
    offset: usize,
    problems: &mut Problems,
) -> Option<(Option<CrateName>, Requirement)> {
    let pairs = in_order(table);
    if let Some((key, _)) = pairs.iter().find(|(key, _)| SOURCES.contains(&key.get_ref().as_ref())) {
        // One word on the source is enough; what else such a table has or lacks does not matter.
        let what = format!("{} has the key `{}`, which cannot be mirrored yet", quote(path), key.get_ref());
        problems.add(key.span().start, what, "a crate of crates.io");
        return None;
    }
    let mut package = None;
    let mut found = Requirement { version: String::new(), features: Vec::new(), default_features: true };
    let mut good = true;
    let mut has_version = false;
    for (key, value) in pairs {
        let name = key.get_ref().as_ref();
        let key_path = format!("{path}.{name}");
        let at = value.span().start;
        match (name, value.get_ref()) {
            ("version", DeValue::String(text)) => {
                has_version = true;
                match version(path, text, at, problems) {
                    Some(text) => found.version = text,
                    None => good = false,
                }
            }
            ("features", DeValue::Array(elements)) => {
                let mut seen = HashSet::new();
                for element in elements.iter() {
                    match feature(element.get_ref()) {
                        Ok(feature) if !seen.insert(feature.clone()) => {}
                        Ok(feature) => found.features.push(feature),
                        Err(what) => problems.add(
                            element.span().start,
                            format!("{} has {what}", quote(&key_path)),
                            "the name of a feature",
                        ),
                    }
                }
            }
            ("default-features", DeValue::Boolean(wanted)) => found.default_features = *wanted,
            ("package", DeValue::String(text)) => match text.parse() {
                Ok(name) => package = Some(name),
                Err(_) => problems.add(at, format!("{} is {}", quote(&key_path), quote(text)), "the name of a crate"),
            },
            ("version", other) => {
                has_version = true;
                good = false;
                problems.add(
                    at,
                    format!("{} is {}", quote(&key_path), kind(other)),
                    format!("a string with {REQUIREMENT}"),
                );
            }
            ("features", other) => {
                problems.add(at, format!("{} is {}", quote(&key_path), kind(other)), "an array of strings")
            }
            ("default-features", other) => {
                problems.add(at, format!("{} is {}", quote(&key_path), kind(other)), "`true` or `false`")
            }
            ("package", other) => problems.add(
                at,
                format!("{} is {}", quote(&key_path), kind(other)),
                "a string with the name of a crate",
            ),
            ("optional", _) => {
                let what = format!("{} has no meaning here, for what is named is always mirrored", quote(&key_path));
                problems.add(key.span().start, what, one_of(KEYS));
            }
            ("workspace", _) => {
                let what =
                    format!("{} has no meaning here, for there is no workspace to inherit from", quote(&key_path));
                problems.add(key.span().start, what, one_of(KEYS));
            }
            _ => problems.unknown_key(key.span().start, &key_path, name, KEYS),
        }
    }
    if !has_version {
        problems.add(offset, format!("{} has no `version`", quote(path)), format!("{REQUIREMENT}; `*` for any"));
    }
    (good && has_version).then_some((package, found))
}

fn feature(value: &DeValue<'_>) -> Result<String, String> {
    let Some(text) = value.as_str() else {
        return Err(kind(value).to_owned());
    };
    match check_feature(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(why) => Err(format!("{}: {}", quote(text), plain(&why))),
    }
}

/// Whether `name` may stand in a dependency's `features`, by cargo's own rule; the error says why not.
pub fn check_feature(name: &str) -> Result<(), String> {
    let checked = cargo_util_schemas::manifest::FeatureName::new(name);
    checked.map(|_| ()).map_err(|error| match error.to_string().split_once(&format!("`{name}`, ")) {
        // The reason alone; the name is known.
        Some((_, reason)) => reason.to_owned(),
        None => error.to_string(),
    })
}
