//! One requirement of one crate: a string or a table.

use std::collections::HashSet;
use std::ops::Range;

use semver::VersionReq;
use toml::de::{DeArray, DeTable, DeValue};

use super::Requirement;
use super::diagnostics::{Problems, Value, in_file_order};
use crate::crate_id::CrateName;
use crate::diagnostics::{describe_value_kind, escape_control, quote};

const KEYS: &[&str] = &["version", "features", "default-features", "package"];
/// Keys of Cargo.toml that set the source of a crate.
const SOURCE_KEYS: &[&str] = &["git", "branch", "tag", "rev", "path", "registry", "registry-index", "base"];

const EXPECTED_REQUIREMENT: &str = "a version requirement, such as `1`, `=1.0.4` or `>=1.2, <1.5`";
const EXPECTED_ENTRY: &str =
    "a version requirement, a table such as `{ version = \"1\", features = [\"derive\"] }`, or an array of these";

/// One requirement and its crate, if it names one. `key` is the key of a value that is not in an array.
pub(super) fn parse_requirement(
    path: &str,
    key: Option<&str>,
    value: &Value<'_>,
    problems: &mut Problems<'_>,
) -> Option<(Option<CrateName>, Requirement)> {
    match value.get_ref() {
        DeValue::String(text) => {
            let version = parse_version_req(path, text, value.span(), problems)?;
            Some((None, Requirement { version, features: Vec::new(), default_features: true }))
        }
        DeValue::Table(table) => parse_requirement_table(path, key, table, value.span(), problems),
        _ if problems.add_unquoted_number(key, value) => None,
        other => {
            problems.add(value.span(), format!("{} is {}", quote(path), describe_value_kind(other)), EXPECTED_ENTRY);
            None
        }
    }
}

fn parse_version_req(path: &str, text: &str, span: Range<usize>, problems: &mut Problems<'_>) -> Option<String> {
    match VersionReq::parse(text) {
        Ok(_) => Some(text.to_owned()),
        Err(error) => {
            problems.add(
                span,
                format!("{} has the version requirement {}: {error}", quote(path), quote(text)),
                EXPECTED_REQUIREMENT,
            );
            None
        }
    }
}

/// The message for a key of Cargo.toml that sets the source of a crate: says what to write instead.
fn describe_source_key(path: &str, key: &str) -> String {
    let path = quote(path);
    match key {
        "path" | "base" => format!(
            "{path} is a path dependency, which is not fetched; remove it. `cargo frostmirror fetch --manifest-path \
             DIR/Cargo.toml` with its folder for DIR fetches what it needs"
        ),
        "registry" | "registry-index" => format!(
            "{path} names another registry, which is not supported here; remove `{key}` if crates.io has the crate, \
             otherwise remove the entry"
        ),
        _ => format!(
            "{path} is a git dependency, which is not supported here; write a version of crates.io, or remove the entry"
        ),
    }
}

fn parse_requirement_table(
    path: &str,
    crate_key: Option<&str>,
    table: &DeTable<'_>,
    span: Range<usize>,
    problems: &mut Problems<'_>,
) -> Option<(Option<CrateName>, Requirement)> {
    let pairs = in_file_order(table);
    let source = pairs.iter().find(|(key, _)| SOURCE_KEYS.contains(&key.get_ref().to_lowercase().as_str()));
    if let Some((key, _)) = source {
        // One problem about the source is enough; the other keys of such a table do not matter.
        problems.add_message(key.span(), describe_source_key(path, &key.get_ref().to_lowercase()));
        return None;
    }
    let mut package = None;
    let mut found = Requirement { version: String::new(), features: Vec::new(), default_features: true };
    let mut is_valid = true;
    let mut has_version = false;
    for (key, value) in pairs {
        let name = key.get_ref().as_ref();
        let key_path = format!("{path}.{name}");
        let at = value.span();
        match (name, value.get_ref()) {
            ("version", DeValue::String(text)) => {
                has_version = true;
                match parse_version_req(path, text, at, problems) {
                    Some(text) => found.version = text,
                    None => is_valid = false,
                }
            }
            ("features", DeValue::Array(elements)) => found.features = parse_features(&key_path, elements, problems),
            ("default-features", DeValue::Boolean(wanted)) => found.default_features = *wanted,
            ("package", DeValue::String(text)) => match text.parse() {
                Ok(name) => package = Some(name),
                Err(_) => problems.add(at, format!("{} is {}", quote(&key_path), quote(text)), "the name of a crate"),
            },
            ("version", other) => {
                has_version = true;
                is_valid = false;
                if !problems.add_unquoted_number(Some("version"), value) {
                    problems.add(
                        at,
                        format!("{} is {}", quote(&key_path), describe_value_kind(other)),
                        format!("a string with {EXPECTED_REQUIREMENT}"),
                    );
                }
            }
            ("features", DeValue::String(text)) if check_feature_name(text).is_ok() => {
                problems.add_message(at, format!("features must be an array; write `features = [\"{text}\"]`"));
            }
            ("features", other) => problems.add(
                at,
                format!("{} is {}", quote(&key_path), describe_value_kind(other)),
                "an array of strings",
            ),
            ("default-features", DeValue::String(text)) if matches!(text.as_ref(), "true" | "false") => {
                problems.add_message(at, format!("write it without quotes: `default-features = {text}`"));
            }
            ("default-features", other) => {
                problems.add(at, format!("{} is {}", quote(&key_path), describe_value_kind(other)), "`true` or `false`")
            }
            ("package", other) => problems.add(
                at,
                format!("{} is {}", quote(&key_path), describe_value_kind(other)),
                "a string with the name of a crate",
            ),
            ("optional", _) => {
                problems
                    .add_message(key.span(), "`optional` is not supported: every listed crate is fetched; remove it");
            }
            ("workspace", _) => {
                has_version = true;
                is_valid = false;
                let entry = crate_key.map_or_else(|| "\"1\"".to_owned(), |name| format!("{name} = \"1\""));
                let message = format!(
                    "`workspace` is not supported: there is no workspace to inherit from; write the version, such as `{entry}`"
                );
                problems.add_message(key.span(), message);
            }
            _ => problems.unknown_key(key.span(), &key_path, name, KEYS),
        }
    }
    if !has_version {
        problems.add(
            span,
            format!("{} has no `version`", quote(path)),
            format!("{EXPECTED_REQUIREMENT}, or `*` for any version"),
        );
    }
    (is_valid && has_version).then_some((package, found))
}

fn parse_features(path: &str, elements: &DeArray<'_>, problems: &mut Problems<'_>) -> Vec<String> {
    let mut features = Vec::new();
    let mut seen = HashSet::new();
    for element in elements.iter() {
        match parse_feature(element.get_ref()) {
            Ok(feature) if !seen.insert(feature.clone()) => {}
            Ok(feature) => features.push(feature),
            Err(what) => {
                problems.add(element.span(), format!("{} has {what}", quote(path)), "the name of a feature");
            }
        }
    }
    features
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
