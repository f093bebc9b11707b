//! Parses TOML into a dependency list. Problems are collected, so that one run reports all of them.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use semver::VersionReq;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Key, MAX_PROBLEMS, Problems, Value, canonical_name, in_file_order};
use super::requirement::parse_requirement;
use super::{DependsFile, Entry, Error, Group, Requirement, locked, platforms};
use crate::crate_id::CrateName;
use crate::diagnostics::{describe_value_kind, did_you_mean, quote};
use crate::inputs::input_id::Label;

const TABLES: &[&str] = &["dependencies", "locked", "platforms"];

pub(super) fn parse(text: &str, path: &Path) -> Result<DependsFile, Error> {
    let mut problems = Problems::default();
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // Further errors on the same line are mostly caused by the parser's recovery.
        let mut lines = HashMap::new();
        for error in errors.iter().take(10 * MAX_PROBLEMS) {
            let offset = error.span().map_or(0, |span| span.start);
            let line = text.as_bytes()[..offset.min(text.len())].iter().filter(|&&b| b == b'\n').count();
            lines.entry(line).or_insert((offset, error));
        }
        for (offset, error) in lines.into_values() {
            let (what, expected) = describe_syntax_error(text, error);
            problems.add(offset, what, expected);
        }
        return Err(problems.into_error(text, path));
    }

    let label = Label::of_path(path, "depends.toml");
    let mut depends =
        DependsFile { path: path.to_owned(), label, groups: Vec::new(), locked: Vec::new(), platforms: None };
    for (key, value) in in_file_order(root.get_ref()) {
        let name = key.get_ref().as_ref();
        match (name, value.get_ref()) {
            ("dependencies", DeValue::Table(table)) => depends.groups = parse_groups(table, &mut problems),
            ("locked", DeValue::Table(table)) => depends.locked = locked::read(table, &mut problems),
            ("platforms", DeValue::Table(table)) => depends.platforms = Some(platforms::read(table, &mut problems)),
            (known, other) if TABLES.contains(&known) => {
                problems.add(
                    value.span().start,
                    format!("`{known}` is {}", describe_value_kind(other)),
                    format!("a table: `[{known}]`"),
                );
            }
            _ => {
                let near = did_you_mean(name, TABLES);
                problems.add(
                    key.span().start,
                    format!("unknown key {}", quote(name)),
                    format!("one of the tables `[dependencies]`, `[locked]` or `[platforms]`{near}; crates stand below `[dependencies]`"),
                );
            }
        }
    }
    if problems.is_empty() && depends.groups.is_empty() && depends.locked.is_empty() && depends.platforms.is_none() {
        problems.add(
            0,
            "the file requests nothing".to_owned(),
            "at least one crate below `[dependencies]` or `[locked]`",
        );
    }
    if problems.is_empty() { Ok(depends) } else { Err(problems.into_error(text, path)) }
}

/// The parser's message, with the key if one occurs twice.
fn describe_syntax_error(text: &str, error: &toml::de::Error) -> (String, String) {
    let at = error.span().and_then(|span| text.get(span)).unwrap_or_default();
    match error.message() {
        "duplicate key" => (
            format!("{} is defined a second time", quote(at)),
            if TABLES.contains(&at) || is_group_number(at) {
                "each table once".to_owned()
            } else {
                "each key once; for several versions of one crate, an array".to_owned()
            },
        ),
        message => match message.split_once(", expected ") {
            Some((what, expected)) => (format!("invalid TOML: {what}"), expected.to_owned()),
            None => (format!("invalid TOML: {message}"), "valid TOML".to_owned()),
        },
    }
}

fn parse_groups(table: &DeTable<'_>, problems: &mut Problems) -> Vec<Group> {
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
                problems.add(
                    key.span().start,
                    format!("the group {} is empty", quote(&path)),
                    "at least one crate in it",
                );
            }
            DeValue::Table(table) => {
                let entries = parse_group_entries(&path, in_file_order(table), problems);
                groups.push(Group { number: Some(number.to_owned()), entries });
            }
            other => problems.add(
                value.span().start,
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

fn parse_group_entries(path: &str, pairs: Vec<(&Key<'_>, &Value<'_>)>, problems: &mut Problems) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut seen = SeenCrates::default();
    for (key, value) in pairs {
        let name = key.get_ref().as_ref();
        let offset = key.span().start;
        if is_group_number(name) {
            problems.add(
                offset,
                format!("{} is a group inside a group", quote(&format!("{path}.{name}"))),
                "the name of a crate",
            );
            continue;
        }
        let Ok(own) = name.parse::<CrateName>() else {
            problems.add(
                offset,
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
                offset,
                format!("{} in `[{path}]` {twice}", quote(name)),
                "each crate once; for several versions, an array",
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
    problems: &mut Problems,
) -> Option<(CrateName, Vec<Requirement>)> {
    let DeValue::Array(elements) = value.get_ref() else {
        let (package, requirement) = parse_requirement(path, value, problems)?;
        return Some((package.unwrap_or_else(|| own.clone()), vec![requirement]));
    };
    if elements.is_empty() {
        problems.add(
            value.span().start,
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
            problems.add(
                element.span().start,
                format!("{} has an array in its array", quote(path)),
                "strings and tables",
            );
            continue;
        }
        let Some((named, requirement)) = parse_requirement(path, element, problems) else {
            continue;
        };
        let named = named.unwrap_or_else(|| own.clone());
        if nth > 0 && package.as_ref().is_some_and(|earlier| *earlier != named) {
            problems.add(
                element.span().start,
                format!("the array {} names two crates", quote(path)),
                "the same `package` in each element",
            );
        }
        if !seen.insert(requirement.clone()) {
            problems.add(element.span().start, format!("{} has the same requirement twice", quote(path)), "each once");
        }
        package.get_or_insert(named);
        alternatives.push(requirement);
    }
    Some((package?, alternatives))
}
