//! Requests that have no solution: entries that cargo cannot resolve, and versions that the index lacks. Each names the
//! line of depends.toml that requested it.

use std::fmt;

use crate::crate_id::{CrateId, CrateName, Version};
use crate::diagnostics::SourceLocation;
use crate::inputs::depends::RequirementPart;
use crate::line_column::LineColumn;

/// An entry without a solution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnresolvedEntry {
    /// As the user wrote it.
    pub entry: String,
    /// The requested crate.
    pub package: CrateName,
    /// Its position: a path and a table, or a flag.
    pub input: String,
    /// Cargo's message, without details of the scratch project.
    pub message: String,
    /// Its line in depends.toml; `None` for a flag.
    pub location: Option<SourceLocation>,
}

/// A version that the index lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingVersion {
    /// The version.
    pub id: CrateId,
    /// The input that requests it.
    pub input: String,
    /// The nearest versions in the index; empty if the index does not know the crate.
    pub nearest: Vec<Version>,
    /// Its line in depends.toml; `None` in a Cargo.lock.
    pub location: Option<SourceLocation>,
}

impl UnresolvedEntry {
    /// Whether the index lacks the requested crate itself.
    pub fn is_unknown_crate(&self) -> bool {
        is_unknown_crate(&self.message, &self.package)
    }
}

/// Whether cargo's message says that `package` does not exist.
fn is_unknown_crate(message: &str, package: &CrateName) -> bool {
    // The second form suggests a crate with a similar name.
    message.contains(&format!("no matching package named `{package}` found"))
        || (message.contains("no matching package found")
            && message.contains(&format!("searched package name: `{package}`")))
}

/// The feature that `package` lacks according to cargo's message.
fn unknown_feature<'m>(message: &'m str, package: &CrateName) -> Option<&'m str> {
    let begin = format!("depends on `{package}` with feature `");
    let (feature, rest) = message.split_once(&begin)?.1.split_once('`')?;
    rest.starts_with(&format!(" but `{package}` does not have that feature")).then_some(feature)
}

/// The part of a requirement for `package` that cargo's message is about.
pub(super) fn refused_part<'m>(message: &'m str, package: &CrateName) -> RequirementPart<'m> {
    match unknown_feature(message, package) {
        Some(feature) => RequirementPart::Feature(feature),
        None if is_unknown_crate(message, package) => RequirementPart::Name,
        None => RequirementPart::Version,
    }
}

impl fmt::Display for UnresolvedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnresolvedEntry { entry, package, input, message, location } = self;
        let Some(location) = location else {
            return write!(f, "`{entry}` ({input}) cannot be resolved\n{message}");
        };
        if let Some(feature) = unknown_feature(message, package) {
            write!(f, "`{package}` has no feature `{feature}`\n{location}")?;
            let is_known =
                |line: &&str| line.starts_with("failed to select") || line.contains(" but `") || line.trim().is_empty();
            let rest: Vec<&str> = message.lines().filter(|line| !is_known(line)).map(str::trim).collect();
            return if rest.is_empty() { Ok(()) } else { write!(f, "\n{}", rest.join("\n")) };
        }
        let (title, rest) = message.split_once('\n').unwrap_or((message, ""));
        write!(f, "{title}\n{location}")?;
        let rest = rest.lines().filter(|line| *line != "location searched: crates.io index");
        rest.into_iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

impl std::error::Error for UnresolvedEntry {}

impl fmt::Display for MissingVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MissingVersion { id, input, nearest, location } = self;
        let nearest = match nearest.as_slice() {
            [] => "it does not have the crate at all".to_owned(),
            some => {
                let some: Vec<String> = some.iter().map(Version::to_string).collect();
                format!("it has {}", some.join(", "))
            }
        };
        match location {
            Some(location) => write!(f, "the index has no {id}; {nearest}\n{location}"),
            None => write!(f, "the index has no {id}, which {input} requests; {nearest}"),
        }
    }
}

impl std::error::Error for MissingVersion {}

/// Whether every request names its line, so that the error is a list of lines.
pub(super) fn all_located(unresolved: &[UnresolvedEntry], missing: &[MissingVersion]) -> bool {
    unresolved.iter().all(|one| one.location.is_some()) && missing.iter().all(|one| one.location.is_some())
}

/// All requests in the order of the file's lines.
pub(super) fn join(unresolved: &[UnresolvedEntry], missing: &[MissingVersion]) -> String {
    let position = |location: &Option<SourceLocation>| location.as_ref().map(|one| one.excerpt.position);
    let entries = unresolved.iter().map(|one| (position(&one.location), one.to_string()));
    let versions = missing.iter().map(|one| (position(&one.location), one.to_string()));
    let mut blocks: Vec<(Option<LineColumn>, String)> = entries.chain(versions).collect();
    blocks.sort_by_key(|(position, _)| *position);
    let blocks: Vec<String> = blocks.into_iter().map(|(_, text)| text).collect();
    blocks.join(if all_located(unresolved, missing) { "\n\nerror: " } else { "\n" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_cargo_refuses_is_recognized() {
        let package: CrateName = "engine".parse().expect("a name");
        for (message, part) in [
            ("no matching package named `engine` found\nlocation searched: crates.io index", RequirementPart::Name),
            (
                "no matching package found\nsearched package name: `engine`\nperhaps you meant:      engines",
                RequirementPart::Name,
            ),
            ("no matching package named `other` found\nrequired by package `engine v1.0.0`", RequirementPart::Version),
            ("failed to select a version for the requirement `engine = \"^9\"`", RequirementPart::Version),
            (
                "the request depends on `engine` with feature `fats` but `engine` does not have that feature.",
                RequirementPart::Feature("fats"),
            ),
            (
                "package `engine v1.0.0` depends on `other` with feature `x` but `other` does not have that feature.",
                RequirementPart::Version,
            ),
        ] {
            assert_eq!(refused_part(message, &package), part, "{message}");
        }
    }
}
