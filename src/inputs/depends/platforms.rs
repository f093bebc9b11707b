//! The `[platforms]` table: the toolchains to mirror, and their targets.

use std::collections::HashSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::Problems;
use crate::diagnostics::{describe_value_kind, did_you_mean, join_alternatives, quote};
use crate::toolchain::is_triple;
use crate::toolchain::{Profile, ToolchainName, suggest_correction};

/// `[platforms]`. An empty field was not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platforms {
    /// Target triples.
    pub targets: Vec<String>,
    /// Channels: `stable`, `1.86.0`, `nightly-2026-04-25`.
    pub toolchain: Vec<ToolchainName>,
    /// The profile of a toolchain.
    pub profile: Option<Profile>,
    /// Additional components.
    pub components: Vec<String>,
}

const KEYS: &[&str] = &["targets", "toolchain", "profile", "components"];

pub(super) fn read(table: &DeTable<'_>, problems: &mut Problems<'_>) -> Platforms {
    let mut platforms = Platforms::default();
    for (key, value) in table.iter() {
        let name = key.get_ref().as_ref();
        let path = format!("platforms.{name}");
        match name {
            "targets" => {
                platforms.targets = parse_strings(
                    &path,
                    value,
                    false,
                    problems,
                    "a target triple, such as `x86_64-unknown-linux-gnu`",
                    |word| is_triple(word).then(|| word.to_owned()),
                    |_| None,
                );
            }
            "toolchain" => {
                platforms.toolchain = parse_strings(
                    &path,
                    value,
                    true,
                    problems,
                    "a channel, such as `stable`, `1.86.0` or `nightly-2026-04-25`",
                    |word| word.parse().ok(),
                    suggest_correction,
                );
            }
            "components" => {
                platforms.components = parse_strings(
                    &path,
                    value,
                    false,
                    problems,
                    "a component, such as `rust-src`",
                    |word| is_component_name(word).then(|| word.to_owned()),
                    |_| None,
                );
            }
            "profile" => platforms.profile = parse_profile(&path, value, problems),
            _ => problems.unknown_key(key.span(), &path, name, KEYS),
        }
    }
    platforms
}

fn parse_profile(path: &str, value: &Spanned<DeValue<'_>>, problems: &mut Problems<'_>) -> Option<Profile> {
    let text = value.get_ref().as_str();
    let profile = text.and_then(|text| text.parse().ok());
    if profile.is_none() {
        let profiles = Profile::ALL.map(Profile::as_str);
        let found = text.map_or_else(|| describe_value_kind(value.get_ref()).to_owned(), quote);
        let near = text.map(|text| did_you_mean(text, &profiles)).unwrap_or_default();
        problems.add(value.span(), format!("{} is {found}", quote(path)), join_alternatives(&profiles) + &near);
    }
    profile
}

/// An array of distinct strings, or one string if `allows_single` is set.
fn parse_strings<T>(
    path: &str,
    value: &Spanned<DeValue<'_>>,
    allows_single: bool,
    problems: &mut Problems<'_>,
    expected: &str,
    read: fn(&str) -> Option<T>,
    suggest: fn(&str) -> Option<String>,
) -> Vec<T> {
    let elements = match value.get_ref() {
        DeValue::Array(elements) if elements.is_empty() => {
            problems.add(
                value.span(),
                format!("{} is an empty array", quote(path)),
                format!("{expected}, or remove the key"),
            );
            return Vec::new();
        }
        DeValue::Array(elements) => elements.iter().collect(),
        DeValue::String(_) if allows_single => vec![value],
        DeValue::String(text) if read(text).is_some() => {
            let key = path.rsplit('.').next().unwrap_or(path);
            problems.add_message(value.span(), format!("`{key}` must be an array; write `{key} = [\"{text}\"]`"));
            return Vec::new();
        }
        _ if problems.add_unquoted_number(path.rsplit('.').next(), value) => return Vec::new(),
        other => {
            let shape = if allows_single { "a string or an array of strings" } else { "an array of strings" };
            problems.add(
                value.span(),
                format!("{} is {}", quote(path), describe_value_kind(other)),
                format!("{shape}, each {expected}"),
            );
            return Vec::new();
        }
    };
    let mut terms: Vec<T> = Vec::new();
    let mut seen = HashSet::new();
    for element in elements {
        match element.get_ref().as_str().map(|word| (word, read(word))) {
            Some((word, None)) => {
                let doubt = suggest(word).map(|doubt| format!(" ({doubt})")).unwrap_or_default();
                let what = format!("{} has {}", quote(path), quote(word));
                problems.add(element.span(), what, expected.to_owned() + &doubt);
            }
            Some((word, Some(_))) if !seen.insert(word) => {
                problems.add(element.span(), format!("{} has {} twice", quote(path), quote(word)), "it once");
            }
            Some((_, Some(value))) => terms.push(value),
            None => {
                problems.add(
                    element.span(),
                    format!("{} has {}", quote(path), describe_value_kind(element.get_ref())),
                    expected.to_owned(),
                );
            }
        }
    }
    terms
}

fn is_component_name(text: &str) -> bool {
    let good = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    text.len() <= 100 && text.split('-').all(good)
}
