//! One requirement of one crate: a string or a table.

use std::collections::HashSet;

use semver::VersionReq;
use toml::de::{DeTable, DeValue};

use super::Requirement;
use super::diagnostics::{Problems, Value, in_file_order};
use crate::crate_id::CrateName;
use crate::diagnostics::{describe_value_kind, escape_control, join_alternatives, quote};

const KEYS: &[&str] = &["version", "features", "default-features", "package"];
/// Keys of Cargo.toml that set the source of a crate.
const SOURCE_KEYS: &[&str] = &["git", "branch", "tag", "rev", "path", "registry", "registry-index", "base"];

const EXPECTED_REQUIREMENT: &str = "a version requirement, such as `1`, `=1.0.4` or `>=1.2, <1.5`";
const EXPECTED_ENTRY: &str =
    "a version requirement, a table such as `{ version = \"1\", features = [\"derive\"] }`, or an array of these";

/// One requirement and its crate, if it names one.
pub(super) fn parse_requirement(
    path: &str,
    value: &Value<'_>,
    problems: &mut Problems,
) -> Option<(Option<CrateName>, Requirement)> {
    match value.get_ref() {
        DeValue::String(text) => {
            let version = parse_version_req(path, text, value.span().start, problems)?;
            Some((None, Requirement { version, features: Vec::new(), default_features: true }))
        }
        DeValue::Table(table) => parse_requirement_table(path, table, value.span().start, problems),
        other => {
            problems.add(
                value.span().start,
                format!("{} is {}", quote(path), describe_value_kind(other)),
                EXPECTED_ENTRY,
            );
            None
        }
    }
}

fn parse_version_req(path: &str, text: &str, offset: usize, problems: &mut Problems) -> Option<String> {
    match VersionReq::parse(text) {
        Ok(_) => Some(text.to_owned()),
        Err(error) => {
            problems.add(
                offset,
                format!("{} has the version requirement {}: {error}", quote(path), quote(text)),
                EXPECTED_REQUIREMENT,
            );
            None
        }
    }
}

fn parse_requirement_table(
    path: &str,
    table: &DeTable<'_>,
    offset: usize,
    problems: &mut Problems,
) -> Option<(Option<CrateName>, Requirement)> {
    let pairs = in_file_order(table);
    if let Some((key, _)) = pairs.iter().find(|(key, _)| SOURCE_KEYS.contains(&key.get_ref().as_ref())) {
        // One problem about the source is enough; the other keys of such a table do not matter.
        let what = format!("{} has the key `{}`, which cannot be mirrored yet", quote(path), key.get_ref());
        problems.add(key.span().start, what, "a crate of crates.io");
        return None;
    }
    let mut package = None;
    let mut found = Requirement { version: String::new(), features: Vec::new(), default_features: true };
    let mut is_valid = true;
    let mut has_version = false;
    for (key, value) in pairs {
        let name = key.get_ref().as_ref();
        let key_path = format!("{path}.{name}");
        let at = value.span().start;
        match (name, value.get_ref()) {
            ("version", DeValue::String(text)) => {
                has_version = true;
                match parse_version_req(path, text, at, problems) {
                    Some(text) => found.version = text,
                    None => is_valid = false,
                }
            }
            ("features", DeValue::Array(elements)) => {
                let mut seen = HashSet::new();
                for element in elements.iter() {
                    match parse_feature(element.get_ref()) {
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
                is_valid = false;
                problems.add(
                    at,
                    format!("{} is {}", quote(&key_path), describe_value_kind(other)),
                    format!("a string with {EXPECTED_REQUIREMENT}"),
                );
            }
            ("features", other) => problems.add(
                at,
                format!("{} is {}", quote(&key_path), describe_value_kind(other)),
                "an array of strings",
            ),
            ("default-features", other) => {
                problems.add(at, format!("{} is {}", quote(&key_path), describe_value_kind(other)), "`true` or `false`")
            }
            ("package", other) => problems.add(
                at,
                format!("{} is {}", quote(&key_path), describe_value_kind(other)),
                "a string with the name of a crate",
            ),
            ("optional", _) => {
                let what = format!("{} is not supported here: every listed crate is mirrored", quote(&key_path));
                problems.add(key.span().start, what, join_alternatives(KEYS));
            }
            ("workspace", _) => {
                let what = format!("{} is not supported here: there is no workspace to inherit from", quote(&key_path));
                problems.add(key.span().start, what, join_alternatives(KEYS));
            }
            _ => problems.unknown_key(key.span().start, &key_path, name, KEYS),
        }
    }
    if !has_version {
        problems.add(
            offset,
            format!("{} has no `version`", quote(path)),
            format!("{EXPECTED_REQUIREMENT}; `*` for any"),
        );
    }
    (is_valid && has_version).then_some((package, found))
}

fn parse_feature(value: &DeValue<'_>) -> Result<String, String> {
    let Some(text) = value.as_str() else {
        return Err(describe_value_kind(value).to_owned());
    };
    match check_feature_name(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(why) => Err(format!("{}: {}", quote(text), escape_control(&why))),
    }
}

/// Whether `name` is valid in a dependency's `features`, by cargo's own rule. The error states the reason.
pub fn check_feature_name(name: &str) -> Result<(), String> {
    let checked = cargo_util_schemas::manifest::FeatureName::new(name);
    checked.map(|_| ()).map_err(|error| match error.to_string().split_once(&format!("`{name}`, ")) {
        // Only the reason; the caller knows the name.
        Some((_, reason)) => reason.to_owned(),
        None => error.to_string(),
    })
}
