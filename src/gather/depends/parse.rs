//! From TOML to what it asks for. Problems are collected, so that one run tells of all of them.

use std::collections::HashMap;
use std::path::Path;

use semver::VersionReq;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::words::{kind, nearest, one_of, quote};
use super::{Depends, Entry, Error, Group, Problem, Requirement, platforms};
use crate::crate_id::{CrateId, CrateName};
use crate::gather::place::Place;

/// Problems beyond these are only counted: a reader needs no more, and each costs a walk over the text.
const MAX_PROBLEMS: usize = 20;

const TABLES: &[&str] = &["dependencies", "locked", "platforms"];
const KEYS: &[&str] = &["version", "features", "default-features", "package"];
/// Keys of Cargo.toml that say where a crate comes from.
const SOURCES: &[&str] = &[
    "git",
    "branch",
    "tag",
    "rev",
    "path",
    "registry",
    "registry-index",
    "base",
];

const REQUIREMENT: &str = "a version requirement, such as `1`, `=1.0.4` or `>=1.2, <1.5`";
const ENTRY: &str = "a version requirement, a table such as `{ version = \"1\", features = [\"derive\"] }`, or an array of these";
const EXACT: &str = "a full version, such as `1.0.11`";

type Value<'i> = Spanned<DeValue<'i>>;
type Key<'i> = Spanned<std::borrow::Cow<'i, str>>;

/// What is wrong so far, by its byte in the text.
#[derive(Default)]
pub(super) struct Problems(Vec<(usize, String, String)>);

impl Problems {
    pub(super) fn add(&mut self, offset: usize, what: String, expected: impl Into<String>) {
        self.0.push((offset, what, expected.into()));
    }

    pub(super) fn unknown_key(&mut self, offset: usize, path: &str, name: &str, known: &[&str]) {
        let near = nearest(name, known)
            .map(|near| format!(" (did you mean `{near}`?)"))
            .unwrap_or_default();
        self.add(
            offset,
            format!("unknown key {}", quote(path)),
            one_of(known) + &near,
        );
    }

    fn into_error(mut self, text: &str, path: &Path) -> Error {
        self.0.sort();
        let more = self.0.len().saturating_sub(MAX_PROBLEMS);
        let told = self.0.into_iter().take(MAX_PROBLEMS);
        let problems = told.map(|(offset, what, expected)| Problem {
            place: Place::of(text, offset),
            what,
            expected,
        });
        Error::Invalid {
            path: path.to_owned(),
            problems: problems.collect(),
            more,
        }
    }
}

pub(super) fn parse(text: &str, path: &Path) -> Result<Depends, Error> {
    let mut problems = Problems::default();
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What follows a mistake on its line is mostly noise of the recovery.
        let mut lines = HashMap::new();
        for error in errors.iter().take(10 * MAX_PROBLEMS) {
            let offset = error.span().map_or(0, |span| span.start);
            let line = text.as_bytes()[..offset.min(text.len())]
                .iter()
                .filter(|&&b| b == b'\n')
                .count();
            lines.entry(line).or_insert((offset, error));
        }
        for (offset, error) in lines.into_values() {
            let (what, expected) = syntax(text, error);
            problems.add(offset, what, expected);
        }
        return Err(problems.into_error(text, path));
    }

    let mut depends = Depends {
        path: path.to_owned(),
        groups: Vec::new(),
        locked: Vec::new(),
        platforms: None,
    };
    for (key, value) in in_order(root.get_ref()) {
        let name = key.get_ref().as_ref();
        match (name, value.get_ref()) {
            ("dependencies", DeValue::Table(table)) => {
                depends.groups = groups(table, &mut problems)
            }
            ("locked", DeValue::Table(table)) => depends.locked = locked(table, &mut problems),
            ("platforms", DeValue::Table(table)) => {
                depends.platforms = Some(platforms::read(table, &mut problems))
            }
            (known, other) if TABLES.contains(&known) => {
                problems.add(
                    value.span().start,
                    format!("`{known}` is {}", kind(other)),
                    format!("a table: `[{known}]`"),
                );
            }
            _ => {
                let near = nearest(name, TABLES)
                    .map(|near| format!(" (did you mean `{near}`?)"))
                    .unwrap_or_default();
                problems.add(
                    key.span().start,
                    format!("unknown key {}", quote(name)),
                    format!("one of the tables `[dependencies]`, `[locked]` and `[platforms]`{near}; crates stand below `[dependencies]`"),
                );
            }
        }
    }
    if problems.0.is_empty()
        && depends.groups.is_empty()
        && depends.locked.is_empty()
        && depends.platforms.is_none()
    {
        problems.add(
            0,
            "the file asks for nothing".to_owned(),
            "at least one crate below `[dependencies]` or `[locked]`",
        );
    }
    if problems.0.is_empty() {
        Ok(depends)
    } else {
        Err(problems.into_error(text, path))
    }
}

/// The parser's words, with the key where one stands twice.
fn syntax(text: &str, error: &toml::de::Error) -> (String, String) {
    let at = error
        .span()
        .and_then(|span| text.get(span))
        .unwrap_or_default();
    match error.message() {
        "duplicate key" => (
            format!("{} stands here a second time", quote(at)),
            "each key once; for several versions of one crate, an array".to_owned(),
        ),
        message => match message.split_once(", expected ") {
            Some((what, expected)) => (format!("invalid TOML: {what}"), expected.to_owned()),
            None => (format!("invalid TOML: {message}"), "valid TOML".to_owned()),
        },
    }
}

/// The table's pairs as they stand in the file; the parser sorts them by name.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Key<'i>, &'t Value<'i>)> {
    let mut pairs: Vec<_> = table.iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    pairs
}

fn groups(table: &DeTable<'_>, problems: &mut Problems) -> Vec<Group> {
    let (numbered, own): (Vec<_>, Vec<_>) = in_order(table)
        .into_iter()
        .partition(|(key, _)| is_number(key.get_ref()));
    let mut groups = Vec::new();
    let entries = group("dependencies", own, problems);
    if !entries.is_empty() {
        groups.push(Group {
            number: None,
            entries,
        });
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
                let entries = group(&path, in_order(table), problems);
                groups.push(Group {
                    number: Some(number.to_owned()),
                    entries,
                });
            }
            other => problems.add(
                value.span().start,
                format!("{} is {}", quote(&path), kind(other)),
                "a table of crates: a number names a group",
            ),
        }
    }
    groups
}

fn is_number(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit())
}

fn group(path: &str, pairs: Vec<(&Key<'_>, &Value<'_>)>, problems: &mut Problems) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut seen = Seen::default();
    for (key, value) in pairs {
        let name = key.get_ref().as_ref();
        let offset = key.span().start;
        if is_number(name) {
            problems.add(
                offset,
                format!(
                    "{} is a group inside a group",
                    quote(&format!("{path}.{name}"))
                ),
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
        let Some((package, alternatives)) = entry(&format!("{path}.{name}"), &own, value, problems)
        else {
            continue;
        };
        if let Some(twice) = seen.again(&own, &package, &alternatives) {
            problems.add(
                offset,
                format!("{} in `[{path}]` {twice}", quote(name)),
                "each crate once; for several versions, an array",
            );
        }
        entries.push(Entry {
            key: name.to_owned(),
            package,
            alternatives,
        });
    }
    entries
}

/// Which crates a group has named so far.
#[derive(Default)]
struct Seen {
    /// From a key's folded form to the key.
    keys: HashMap<String, String>,
    /// From a crate's folded name to its spelling and the requirements made of it, each under its key.
    packages: HashMap<String, (CrateName, Vec<(VersionReq, String)>)>,
}

impl Seen {
    /// Takes note of an entry; says how it repeats an earlier one.
    fn again(
        &mut self,
        key: &CrateName,
        package: &CrateName,
        alternatives: &[Requirement],
    ) -> Option<String> {
        if let Some(earlier) = self.keys.insert(folded(key), key.to_string()) {
            return Some(format!("names the same crate as {}", quote(&earlier)));
        }
        let (spelling, made) = self
            .packages
            .entry(folded(package))
            .or_insert_with(|| (package.clone(), Vec::new()));
        if spelling != package {
            return Some(format!(
                "names the crate `{package}`, which stands above as `{spelling}`"
            ));
        }
        let mut twice = None;
        for req in alternatives
            .iter()
            .filter_map(|requirement| requirement.version.parse::<VersionReq>().ok())
        {
            if let Some((_, earlier)) = made
                .iter()
                .find(|(other, earlier)| *other == req && earlier != key.as_str())
            {
                twice.get_or_insert_with(|| {
                    format!("asks for the same crate and versions as {}", quote(earlier))
                });
            }
            made.push((req, key.to_string()));
        }
        twice
    }
}

/// Names that differ only in this form cannot both be on crates.io.
fn folded(name: &CrateName) -> String {
    name.as_str().to_lowercase().replace('_', "-")
}

fn entry(
    path: &str,
    own: &CrateName,
    value: &Value<'_>,
    problems: &mut Problems,
) -> Option<(CrateName, Vec<Requirement>)> {
    let DeValue::Array(elements) = value.get_ref() else {
        let (package, requirement) = requirement(path, value, problems)?;
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
    for (nth, element) in elements.iter().enumerate() {
        if matches!(element.get_ref(), DeValue::Array(_)) {
            problems.add(
                element.span().start,
                format!("{} has an array in its array", quote(path)),
                "strings and tables",
            );
            continue;
        }
        let Some((named, requirement)) = requirement(path, element, problems) else {
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
        if alternatives.contains(&requirement) {
            problems.add(
                element.span().start,
                format!("{} has the same requirement twice", quote(path)),
                "each once",
            );
        }
        package.get_or_insert(named);
        alternatives.push(requirement);
    }
    Some((package?, alternatives))
}

/// One requirement and the crate that it names, where it names one.
fn requirement(
    path: &str,
    value: &Value<'_>,
    problems: &mut Problems,
) -> Option<(Option<CrateName>, Requirement)> {
    match value.get_ref() {
        DeValue::String(text) => {
            let version = version(path, text, value.span().start, problems)?;
            Some((
                None,
                Requirement {
                    version,
                    features: Vec::new(),
                    default_features: true,
                },
            ))
        }
        DeValue::Table(table) => extended(path, table, value.span().start, problems),
        other => {
            problems.add(
                value.span().start,
                format!("{} is {}", quote(path), kind(other)),
                ENTRY,
            );
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
                format!(
                    "{} has the version requirement {}: {error}",
                    quote(path),
                    quote(text)
                ),
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
    if let Some((key, _)) = pairs
        .iter()
        .find(|(key, _)| SOURCES.contains(&key.get_ref().as_ref()))
    {
        // One word on the source is enough; what else such a table has or lacks does not matter.
        let what = format!(
            "{} has the key `{}`, which cannot be mirrored yet",
            quote(path),
            key.get_ref()
        );
        problems.add(key.span().start, what, "a crate of crates.io");
        return None;
    }
    let mut package = None;
    let mut found = Requirement {
        version: String::new(),
        features: Vec::new(),
        default_features: true,
    };
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
                for element in elements.iter() {
                    match feature(element.get_ref()) {
                        Ok(feature) if found.features.contains(&feature) => {}
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
                Err(_) => problems.add(
                    at,
                    format!("{} is {}", quote(&key_path), quote(text)),
                    "the name of a crate",
                ),
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
            ("features", other) => problems.add(
                at,
                format!("{} is {}", quote(&key_path), kind(other)),
                "an array of strings",
            ),
            ("default-features", other) => problems.add(
                at,
                format!("{} is {}", quote(&key_path), kind(other)),
                "`true` or `false`",
            ),
            ("package", other) => problems.add(
                at,
                format!("{} is {}", quote(&key_path), kind(other)),
                "a string with the name of a crate",
            ),
            ("optional", _) => problems.add(
                key.span().start,
                format!("unknown key {}", quote(&key_path)),
                "no such key: what is named here is always mirrored",
            ),
            ("workspace", _) => problems.add(
                key.span().start,
                format!("unknown key {}", quote(&key_path)),
                "no such key: there is no workspace to inherit from here",
            ),
            _ => problems.unknown_key(key.span().start, &key_path, name, KEYS),
        }
    }
    if !has_version {
        problems.add(
            offset,
            format!("{} has no `version`", quote(path)),
            format!("{REQUIREMENT}; `*` for any"),
        );
    }
    (good && has_version).then_some((package, found))
}

fn feature(value: &DeValue<'_>) -> Result<String, String> {
    let Some(text) = value.as_str() else {
        return Err(kind(value).to_owned());
    };
    check_feature(text).map_err(|why| format!("{}: {why}", quote(text)))?;
    Ok(text.to_owned())
}

/// Whether `name` may stand in a dependency's `features`, by cargo's own rule; the error says why not.
pub fn check_feature(name: &str) -> Result<(), String> {
    let checked = cargo_util_schemas::manifest::FeatureName::new(name);
    checked
        .map(|_| ())
        .map_err(|error| error.to_string().escape_debug().to_string())
}

fn locked(table: &DeTable<'_>, problems: &mut Problems) -> Vec<CrateId> {
    let mut ids: Vec<CrateId> = Vec::new();
    let mut names: HashMap<String, String> = HashMap::new();
    for (key, value) in in_order(table) {
        let name = key.get_ref().as_ref();
        let path = format!("locked.{name}");
        let parsed = match name.parse::<CrateName>() {
            Ok(parsed) => parsed,
            Err(_) => {
                let what = format!("{} in `[locked]` is not a crate name", quote(name));
                problems.add(
                    key.span().start,
                    what,
                    "1 to 64 letters, digits, `-` or `_`, a letter first",
                );
                continue;
            }
        };
        if let Some(earlier) = names.insert(folded(&parsed), name.to_owned()) {
            let what = format!(
                "{} in `[locked]` names the same crate as {}",
                quote(name),
                quote(&earlier)
            );
            problems.add(
                key.span().start,
                what,
                "each crate once; for several versions, an array",
            );
            continue;
        }
        let elements = match value.get_ref() {
            DeValue::String(_) => vec![value],
            DeValue::Array(elements) if elements.is_empty() => {
                problems.add(
                    value.span().start,
                    format!("{} is an empty array", quote(&path)),
                    format!("{EXACT}, in it"),
                );
                continue;
            }
            DeValue::Array(elements) => elements.iter().collect(),
            other => {
                problems.add(
                    value.span().start,
                    format!("{} is {}", quote(&path), kind(other)),
                    format!("{EXACT}, or an array of such"),
                );
                continue;
            }
        };
        let first = ids.len();
        for element in elements {
            let at = element.span().start;
            let Some(text) = element.get_ref().as_str() else {
                problems.add(
                    at,
                    format!("{} has {}", quote(&path), kind(element.get_ref())),
                    EXACT,
                );
                continue;
            };
            match CrateId::parse(name, text) {
                Ok(id) if ids[first..].contains(&id) => problems.add(
                    at,
                    format!("{} has {} twice", quote(&path), quote(text)),
                    "each once",
                ),
                Ok(id) => ids.push(id),
                Err(error) => {
                    let why = std::error::Error::source(&error)
                        .map(|source| format!(": {source}"))
                        .unwrap_or_default();
                    problems.add(
                        at,
                        format!("{} has the version {}{why}", quote(&path), quote(text)),
                        EXACT,
                    );
                }
            }
        }
    }
    ids.sort();
    ids
}
