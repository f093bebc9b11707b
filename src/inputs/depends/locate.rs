//! The places of a depends.toml that errors of a resolution name.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::DependsFile;
use super::diagnostics::Value;
use crate::crate_id::{CrateId, Version};
use crate::diagnostics::{SourceLocation, SourceText};

/// A part of a depends.toml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location<'l> {
    /// A requirement of an entry.
    Requirement {
        /// The group's number; `None` for `[dependencies]` itself.
        group: Option<&'l str>,
        /// The entry's key.
        key: &'l str,
        /// The index in the entry's array, or 0.
        alternative: usize,
        /// The part of the requirement.
        part: RequirementPart<'l>,
    },
    /// A version of `[locked]`.
    Locked(&'l CrateId),
    /// A value of a key of `[platforms]`.
    Platforms {
        /// The key.
        key: &'l str,
        /// The value, or an element of it.
        value: &'l str,
    },
}

/// A part of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequirementPart<'l> {
    /// The name of the crate.
    Name,
    /// The version requirement.
    Version,
    /// A feature.
    Feature(&'l str),
}

impl DependsFile {
    /// The line of a part. `None` if the file does not have it, for example because a flag requested it.
    pub fn locate(&self, location: Location<'_>) -> Option<SourceLocation> {
        let (root, _) = DeTable::parse_recoverable(&self.text);
        let span = find(root.get_ref(), location)?;
        Some(SourceLocation { path: self.path.clone(), excerpt: SourceText::new(&self.text).excerpt(span) })
    }
}

fn find(root: &DeTable<'_>, location: Location<'_>) -> Option<Range<usize>> {
    match location {
        Location::Requirement { group, key, alternative, part } => {
            let mut table = table(root, "dependencies")?;
            if let Some(number) = group {
                table = self::table(table, number)?;
            }
            let (key, value) = table.get_key_value(key)?;
            let requirement = match value.get_ref() {
                DeValue::Array(elements) => elements.get(alternative)?,
                _ => value,
            };
            let of_table = |key: &str| requirement.get_ref().as_table()?.get(key);
            Some(match part {
                RequirementPart::Name => of_table("package").map_or_else(|| key.span(), Value::span),
                RequirementPart::Version => of_table("version").unwrap_or(requirement).span(),
                RequirementPart::Feature(feature) => {
                    let features = of_table("features").and_then(|features| features.get_ref().as_array());
                    let found = features.and_then(|all| all.iter().find(|one| one.get_ref().as_str() == Some(feature)));
                    found.unwrap_or(requirement).span()
                }
            })
        }
        Location::Locked(id) => {
            let value = table(root, "locked")?.get(id.name.as_str())?;
            let is_version = |value: &&Value<'_>| {
                value.get_ref().as_str().and_then(|text| text.parse::<Version>().ok()).as_ref() == Some(&id.version)
            };
            Some(elements(value).into_iter().find(is_version)?.span())
        }
        Location::Platforms { key, value: word } => {
            let value = table(root, "platforms")?.get(key)?;
            let found = elements(value).into_iter().find(|element| element.get_ref().as_str() == Some(word))?;
            Some(found.span())
        }
    }
}

fn table<'t, 'i>(parent: &'t DeTable<'i>, key: &str) -> Option<&'t DeTable<'i>> {
    parent.get(key)?.get_ref().as_table()
}

fn elements<'t, 'i>(value: &'t Value<'i>) -> Vec<&'t Value<'i>> {
    match value.get_ref() {
        DeValue::Array(elements) => elements.iter().collect(),
        _ => vec![value],
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const TEXT: &str = "[dependencies]\na = '1'\nb = ['1', { version = '2', features = ['x', 'y'] }]\n\
                        [dependencies.2]\nc = { package = 'd', version = '3' }\n\
                        [locked]\ne = ['1.0.0', '2.0.0']\n[platforms]\ntoolchain = 'stable'\n";

    #[track_caller]
    fn position(location: Location<'_>) -> Option<String> {
        let depends = DependsFile::parse(TEXT, Path::new("a.toml")).expect("valid");
        depends.locate(location).map(|found| found.excerpt.position.to_string())
    }

    #[test]
    fn every_part_of_a_file_is_found() {
        let requirement =
            |group, key, alternative, part| position(Location::Requirement { group, key, alternative, part });
        let found = |text: &str| Some(text.to_owned());
        assert_eq!(requirement(None, "a", 0, RequirementPart::Name), found("2:1"));
        assert_eq!(requirement(None, "a", 0, RequirementPart::Version), found("2:5"));
        assert_eq!(requirement(None, "b", 0, RequirementPart::Version), found("3:6"));
        assert_eq!(requirement(None, "b", 1, RequirementPart::Version), found("3:23"));
        assert_eq!(requirement(None, "b", 1, RequirementPart::Feature("y")), found("3:45"));
        assert_eq!(requirement(Some("2"), "c", 0, RequirementPart::Name), found("5:17"));
        assert_eq!(requirement(Some("2"), "a", 0, RequirementPart::Name), None);
        let id = CrateId::parse("e", "2.0.0").expect("valid");
        assert_eq!(position(Location::Locked(&id)), found("7:15"));
        assert_eq!(position(Location::Platforms { key: "toolchain", value: "stable" }), found("9:13"));
        assert_eq!(position(Location::Platforms { key: "toolchain", value: "beta" }), None);
    }
}
