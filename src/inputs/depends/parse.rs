//! Parses TOML into a dependency list. Problems are collected, so that one run reports all of them.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use semver::VersionReq;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Key, Problems, Value, canonical_name, in_file_order};
use super::requirement::parse_requirement;
use super::{DependsFile, Entry, Error, Group, OtherKind, Requirement, left_out, locked, platforms};
use crate::crate_id::CrateName;
use crate::diagnostics::{closest_match, describe_value_kind, quote};
use crate::inputs::input_id::Label;

const TABLES: &[&str] = &["dependencies", "locked", "platforms"];

pub(super) fn parse(text: &str, path: &Path) -> Result<DependsFile, Error> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if let Some(kind) = other_kind(root.get_ref()) {
        return Err(Error::OtherKind { path: path.to_owned(), kind });
    }
    let mut problems = Problems::new(text, &errors, |key| {
        if TABLES.contains(&key) || is_group_number(key) {
            "each table once"
        } else {
            "each key once; for several versions of one crate, an array"
        }
    });
    let label = Label::of_path(path, "depends.toml");
    let mut depends = DependsFile {
        path: path.to_owned(),
        text: text.into(),
        label,
        groups: Vec::new(),
        locked: Vec::new(),
        platforms: None,
        left_out: left_out::read(text),
    };
    for (key, value) in in_file_order(root.get_ref()) {
        let name = key.get_ref().as_ref();
        match (name, value.get_ref()) {
            ("dependencies", DeValue::Table(table)) => depends.groups = parse_groups(table, &mut problems),
            ("locked", DeValue::Table(table)) => depends.locked = locked::read(table, &mut problems),
            ("platforms", DeValue::Table(table)) => depends.platforms = Some(platforms::read(table, &mut problems)),
            (known, other) if TABLES.contains(&known) => {
                let message = format!("`{known}` is {}; expected a table: `[{known}]`", describe_value_kind(other));
                problems.add_message(value.span(), message);
            }
            (_, other) => problems.add_message(key.span(), describe_unknown_table(name, other)),
        }
    }
    if problems.is_empty() && depends.groups.is_empty() && depends.locked.is_empty() && depends.platforms.is_none() {
        let tables = in_file_order(root.get_ref());
        let names: Vec<String> = tables.iter().map(|(key, _)| format!("`[{}]`", key.get_ref())).collect();
        let (span, what) = match (tables.first(), names.as_slice()) {
            (Some((key, _)), [table]) => (key.span(), format!("there is nothing below {table}")),
            (Some((key, _)), [first, second, ..]) => {
                (key.span(), format!("there is nothing below {first} and {second}"))
            }
            _ => (0..0, "the file is empty".to_owned()),
        };
        let message = format!("{what}; write at least one crate below `[dependencies]` or `[locked]`");
        problems.add_message(span, message);
    }
    if problems.is_empty() { Ok(depends) } else { Err(problems.into_error(path)) }
}

/// Recognizes another file of cargo that was given as a depends.toml.
fn other_kind(root: &DeTable<'_>) -> Option<OtherKind> {
    let get = |key: &str| root.get(key).map(Value::get_ref);
    match (get("package"), get("version"), get("workspace")) {
        (Some(DeValue::Array(_)), ..) | (None, Some(DeValue::Integer(_)), None) => Some(OtherKind::Lockfile),
        (Some(DeValue::Table(package)), ..) if package.contains_key("name") => Some(OtherKind::Manifest),
        (_, _, Some(DeValue::Table(_))) => Some(OtherKind::Manifest),
        _ => None,
    }
}

/// The message for a key at the top level that is not one of [`TABLES`]: says what to write instead.
fn describe_unknown_table(name: &str, value: &DeValue<'_>) -> String {
    match name.to_lowercase().replace('_', "-").as_str() {
        "dev-dependencies" | "build-dependencies" => {
            return format!("`[{name}]` is not supported; list its crates below `[dependencies]`");
        }
        "target" => {
            return "`[target.…]` is not supported; list its crates below `[dependencies]`: they are fetched for every \
                    platform"
                .to_owned();
        }
        "patch" | "replace" => {
            return format!(
                "`[{name}]` is not supported; remove it. To fetch what a patched project builds with, run `cargo \
                 frostmirror fetch --manifest-path DIR/Cargo.toml` with its folder for DIR"
            );
        }
        _ => {}
    }
    let is_table = value.is_table();
    let shown = if is_table { quote(&format!("[{name}]")) } else { quote(name) };
    if let Some(near) = closest_match(name, TABLES) {
        return format!("unknown table {shown}; did you mean `[{near}]`?");
    }
    let kind = if is_table { "table" } else { "key" };
    if !is_table && name.parse::<CrateName>().is_ok() {
        return format!("unknown key {shown}; crates belong below `[dependencies]` or `[locked]`");
    }
    format!("unknown {kind} {shown}; expected `[dependencies]`, `[locked]` or `[platforms]`")
}

fn parse_groups(table: &DeTable<'_>, problems: &mut Problems<'_>) -> Vec<Group> {
    let (numbered, own): (Vec<_>, Vec<_>) =
        in_file_order(table).into_iter().partition(|(key, _)| is_group_number(key.get_ref()));
    let mut groups = Vec::new();
    let entries = parse_group_entries("dependencies", own, problems);
    if !entries.is_empty() {
        groups.push(Group { number: None, entries });
    }
    for (key, value) in numbered {
        let number = key.get_ref().as_ref();
        let path = format!("dependencies.{number}");
        match value.get_ref() {
            DeValue::Table(table) if table.is_empty() => {
                problems.add(key.span(), format!("the group {} is empty", quote(&path)), "at least one crate in it");
            }
            DeValue::Table(table) => {
                let entries = parse_group_entries(&path, in_file_order(table), problems);
                groups.push(Group { number: Some(number.to_owned()), entries });
            }
            other => problems.add(
                value.span(),
                format!("{} is {}", quote(&path), describe_value_kind(other)),
                "a table of crates: a number names a group",
            ),
        }
    }
    groups
}

fn is_group_number(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit())
}

fn parse_group_entries(path: &str, pairs: Vec<(&Key<'_>, &Value<'_>)>, problems: &mut Problems<'_>) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut seen = SeenCrates::default();
    for (key, value) in pairs {
        let name = key.get_ref().as_ref();
        let span = key.span();
        if is_group_number(name) {
            problems.add(
                span,
                format!("{} is a group inside a group", quote(&format!("{path}.{name}"))),
                "the name of a crate",
            );
            continue;
        }
        let Ok(own) = name.parse::<CrateName>() else {
            problems.add(
                span,
                format!("{} in `[{path}]` is not a crate name", quote(name)),
                "1 to 64 letters, digits, `-` or `_`, a letter first",
            );
            continue;
        };
        let Some((package, alternatives)) = parse_entry(&format!("{path}.{name}"), &own, value, problems) else {
            continue;
        };
        if let Some(twice) = seen.record(&own, &package, &alternatives) {
            problems.add(
                span,
                format!("{} in `[{path}]` {twice}", quote(name)),
                "each crate once; write several versions as an array",
            );
        }
        entries.push(Entry { key: name.to_owned(), package, alternatives });
    }
    entries
}

/// The crates of a group so far.
#[derive(Default)]
struct SeenCrates {
    /// From a key's canonical form to the key.
    keys: HashMap<String, String>,
    /// From a crate's canonical name to its spelling, and from each of its requirements to its key.
    packages: HashMap<String, (CrateName, HashMap<VersionReq, String>)>,
}

impl SeenCrates {
    /// Adds an entry; describes how it repeats an earlier one.
    fn record(&mut self, key: &CrateName, package: &CrateName, alternatives: &[Requirement]) -> Option<String> {
        if let Some(earlier) = self.keys.insert(canonical_name(key), key.to_string()) {
            return Some(format!("names the same crate as {}", quote(&earlier)));
        }
        let (spelling, made) =
            self.packages.entry(canonical_name(package)).or_insert_with(|| (package.clone(), HashMap::new()));
        if spelling != package {
            return Some(format!("names the crate `{package}`, which is above as `{spelling}`"));
        }
        let mut twice = None;
        for req in alternatives.iter().filter_map(|requirement| requirement.version.parse::<VersionReq>().ok()) {
            let earlier = made.entry(req).or_insert_with(|| key.to_string());
            if earlier != key.as_str() {
                twice.get_or_insert_with(|| format!("requests the same crate and versions as {}", quote(earlier)));
            }
        }
        twice
    }
}

fn parse_entry(
    path: &str,
    own: &CrateName,
    value: &Value<'_>,
    problems: &mut Problems<'_>,
) -> Option<(CrateName, Vec<Requirement>)> {
    let DeValue::Array(elements) = value.get_ref() else {
        let (package, requirement) = parse_requirement(path, Some(own.as_str()), value, problems)?;
        return Some((package.unwrap_or_else(|| own.clone()), vec![requirement]));
    };
    if elements.is_empty() {
        problems.add(
            value.span(),
            format!("{} is an empty array", quote(path)),
            "at least one version requirement in it",
        );
        return None;
    }
    let mut package: Option<CrateName> = None;
    let mut alternatives: Vec<Requirement> = Vec::new();
    let mut seen = HashSet::new();
    for (nth, element) in elements.iter().enumerate() {
        if matches!(element.get_ref(), DeValue::Array(_)) {
            problems.add(element.span(), format!("{} has an array in its array", quote(path)), "strings and tables");
            continue;
        }
        let Some((named, requirement)) = parse_requirement(path, None, element, problems) else {
            continue;
        };
        let named = named.unwrap_or_else(|| own.clone());
        if nth > 0 && package.as_ref().is_some_and(|earlier| *earlier != named) {
            problems.add(
                element.span(),
                format!("the array {} names two crates", quote(path)),
                "the same `package` in each element",
            );
        }
        if !seen.insert(requirement.clone()) {
            problems.add(element.span(), format!("{} has the same requirement twice", quote(path)), "it once");
        }
        package.get_or_insert(named);
        alternatives.push(requirement);
    }
    Some((package?, alternatives))
}
