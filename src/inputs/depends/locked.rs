//! The `[locked]` table: exact versions.

use std::collections::{HashMap, HashSet};

use toml::de::{DeTable, DeValue};

use super::diagnostics::{Problems, canonical_name, in_file_order};
use crate::crate_id::{CrateId, CrateName};
use crate::diagnostics::{describe_value_kind, quote};

const EXPECTED_VERSION: &str = "a full version in quotes, such as `\"1.0.11\"`";

/// Every version, sorted.
pub(super) fn read(table: &DeTable<'_>, problems: &mut Problems<'_>) -> Vec<CrateId> {
    let mut ids: Vec<CrateId> = Vec::new();
    let mut names: HashMap<String, String> = HashMap::new();
    for (key, value) in in_file_order(table) {
        let name = key.get_ref().as_ref();
        let path = format!("locked.{name}");
        let parsed = match name.parse::<CrateName>() {
            Ok(parsed) => parsed,
            Err(_) => {
                let what = format!("{} in `[locked]` is not a crate name", quote(name));
                problems.add(key.span(), what, "1 to 64 letters, digits, `-` or `_`, a letter first");
                continue;
            }
        };
        if let Some(earlier) = names.insert(canonical_name(&parsed), name.to_owned()) {
            let what = format!("{} in `[locked]` names the same crate as {}", quote(name), quote(&earlier));
            problems.add(key.span(), what, "each crate once; write several versions as an array");
            continue;
        }
        let elements = match value.get_ref() {
            DeValue::String(_) => vec![value],
            DeValue::Array(elements) if elements.is_empty() => {
                problems.add(
                    value.span(),
                    format!("{} is an empty array", quote(&path)),
                    format!("{EXPECTED_VERSION}, or remove the key"),
                );
                continue;
            }
            DeValue::Array(elements) => elements.iter().collect(),
            other => {
                let version = other.as_table().and_then(|table| table.get("version")?.get_ref().as_str());
                match version.filter(|version| CrateId::parse(name, version).is_ok()) {
                    Some(version) => {
                        let message = format!("`[locked]` lists exact versions; write `{name} = \"{version}\"`");
                        problems.add_message(value.span(), message);
                    }
                    None => problems.add(
                        value.span(),
                        format!("{} is {}", quote(&path), describe_value_kind(other)),
                        format!("{EXPECTED_VERSION}, or an array of these"),
                    ),
                }
                continue;
            }
        };
        let mut seen = HashSet::new();
        for element in elements {
            let at = element.span();
            let Some(text) = element.get_ref().as_str() else {
                problems.add(
                    at,
                    format!("{} has {}", quote(&path), describe_value_kind(element.get_ref())),
                    EXPECTED_VERSION,
                );
                continue;
            };
            match CrateId::parse(name, text) {
                Ok(id) if !seen.insert(id.clone()) => {
                    problems.add(at, format!("{} has {} twice", quote(&path), quote(text)), "it once")
                }
                Ok(id) => ids.push(id),
                Err(_) if CrateId::parse(name, without_operator(text)).is_ok() => {
                    let message = format!("`[locked]` lists exact versions; write `\"{}\"`", without_operator(text));
                    problems.add_message(at, message);
                }
                Err(error) => {
                    let why = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
                    problems.add(
                        at,
                        format!("{} has the version {}{why}", quote(&path), quote(text)),
                        EXPECTED_VERSION,
                    );
                }
            }
        }
    }
    ids.sort();
    ids
}

/// A version requirement without its operator: `1.0.0` for `=1.0.0`.
fn without_operator(text: &str) -> &str {
    text.trim_start_matches(['=', '^', '~', 'v', ' ']).trim_end()
}
