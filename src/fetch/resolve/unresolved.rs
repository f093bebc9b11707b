//! Requests that have no solution: entries that cargo cannot resolve, and versions that the index lacks. Each names the
//! line of depends.toml that requested it.

use std::fmt;

use semver::VersionReq;

use crate::crate_id::{CrateId, CrateName, Version};
use crate::diagnostics::SourceLocation;
use crate::inputs::depends::RequirementPart;
use crate::line_column::LineColumn;
use crate::upstream::index_file::IndexFile;

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
    /// The versions of the crate in the index.
    pub versions: KnownVersions,
    /// Its line in depends.toml; `None` for a flag.
    pub location: Option<SourceLocation>,
}

/// The versions of a requested crate in the index, for an error about the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownVersions {
    /// The newest ones that are not yanked, newest first; at most five.
    pub newest: Vec<Version>,
    /// The number of further ones that are not yanked.
    pub more: usize,
    /// The yanked ones that match the request, newest first, if no other version matches it.
    pub yanked: Vec<Version>,
}

impl KnownVersions {
    /// Maximum number of listed versions.
    const MAX_LISTED: usize = 5;

    /// The versions in `file`, for a request of `requirement`.
    pub(super) fn read(file: &IndexFile, requirement: &str) -> KnownVersions {
        let mut versions: Vec<(&Version, bool)> =
            file.versions().iter().map(|head| (&head.version, head.yanked)).collect();
        versions.sort_by(|one, other| other.cmp(one));
        let matching = requirement.parse::<VersionReq>().ok().map(|requirement| {
            versions.iter().filter(move |(version, _)| requirement.matches(version)).copied().collect::<Vec<_>>()
        });
        let matching = matching.filter(|matching| matching.iter().all(|(_, yanked)| *yanked)).unwrap_or_default();
        let mut newest: Vec<Version> =
            versions.iter().filter(|(_, yanked)| !yanked).map(|(version, _)| (*version).clone()).collect();
        let more = newest.len().saturating_sub(KnownVersions::MAX_LISTED);
        newest.truncate(KnownVersions::MAX_LISTED);
        KnownVersions { newest, more, yanked: matching.into_iter().map(|(version, _)| version.clone()).collect() }
    }

    /// The yanked matches as the first line of an error.
    fn yanked_title(&self, package: &CrateName) -> Option<String> {
        match self.yanked.as_slice() {
            [] => None,
            [one] => Some(format!("{package} {one} is yanked")),
            some => Some(format!(
                "all matching versions of {package} are yanked: {}",
                list(some, KnownVersions::MAX_LISTED)
            )),
        }
    }

    /// The newest versions as one line.
    fn available(&self) -> Option<String> {
        match (self.newest.as_slice(), self.yanked.is_empty()) {
            ([], true) => None,
            ([], false) => Some("the index has no version that is not yanked".to_owned()),
            (newest, no_yanked) => {
                let which = if no_yanked { "" } else { " that are not yanked" };
                let more = if self.more > 0 { format!(", and {} older", self.more) } else { String::new() };
                Some(format!("newest versions in the index{which}: {}{more}", list(newest, KnownVersions::MAX_LISTED)))
            }
        }
    }
}

fn list(versions: &[Version], limit: usize) -> String {
    let mut text: Vec<String> = versions.iter().take(limit).map(Version::to_string).collect();
    text.extend((versions.len() > limit).then(|| format!("and {} older", versions.len() - limit)));
    text.join(", ")
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
    /// Whether a lock states its checksum. Without one, `--reuse` cannot confirm an archived version.
    pub has_checksum: bool,
    /// Its line in depends.toml; `None` in a Cargo.lock.
    pub location: Option<SourceLocation>,
}

impl UnresolvedEntry {
    /// Whether the index lacks the requested crate itself.
    pub fn is_unknown_crate(&self) -> bool {
        is_unknown_crate(&self.message, &self.package)
    }

    /// Whether cargo's message says that no version of the requested crate matches the request.
    pub fn has_no_matching_version(&self) -> bool {
        self.message.contains(&format!("for the requirement `{} =", self.package))
    }

    /// Cargo's message, with the versions of the index instead of cargo's selection.
    fn message_with_versions(&self) -> String {
        if !self.has_no_matching_version() {
            return self.message.clone();
        }
        let Some(available) = self.versions.available() else { return self.message.clone() };
        if let Some(title) = self.versions.yanked_title(&self.package) {
            return format!("{title}\n{available}");
        }
        let is_selection = |line: &&str| line.starts_with("candidate versions found which didn't match");
        let mut lines: Vec<&str> = self.message.lines().filter(|line| !is_selection(line)).collect();
        lines.insert(lines.len().min(1), &available);
        lines.join("\n")
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
        let UnresolvedEntry { entry, package, input, location, .. } = self;
        let message = &self.message_with_versions();
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
        let MissingVersion { id, input, nearest, location, .. } = self;
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

    fn index_file(versions: &[(&str, bool)]) -> IndexFile {
        let line = |(version, yanked): &(&str, bool)| {
            let cksum = "0".repeat(64);
            format!(
                "{{\"name\":\"a\",\"vers\":\"{version}\",\"deps\":[],\"cksum\":\"{cksum}\",\"features\":{{}},\"yanked\":{yanked}}}\n"
            )
        };
        IndexFile::new(versions.iter().map(line).collect::<String>().as_bytes())
    }

    fn entry(versions: KnownVersions, requirement: &str) -> UnresolvedEntry {
        UnresolvedEntry {
            entry: format!("a@{requirement}"),
            package: "a".parse().expect("a name"),
            input: format!("--crate a@{requirement}"),
            message: format!(
                "failed to select a version for the requirement `a = \"{requirement}\"`\n\
                 candidate versions found which didn't match: 2.0.0\nlocation searched: crates.io index"
            ),
            versions,
            location: None,
        }
    }

    #[test]
    fn a_request_for_a_yanked_version_says_that_it_is_yanked() {
        let file = index_file(&[("1.0.0", false), ("2.0.0", false), ("1.1.0", true), ("1.2.0", true)]);
        let text = |requirement: &str| entry(KnownVersions::read(&file, requirement), requirement).to_string();
        let yanked = text("=1.1.0");
        assert!(yanked.contains("\na 1.1.0 is yanked\n"), "{yanked}");
        assert!(yanked.ends_with("newest versions in the index that are not yanked: 2.0.0, 1.0.0"), "{yanked}");
        assert!(text("^1.1").contains("all matching versions of a are yanked: 1.2.0, 1.1.0"));
        // A version that is not yanked matches, or none matches at all.
        for requirement in ["^1", "=3.0.0"] {
            let other = text(requirement);
            assert!(
                !other.contains("yanked") && other.contains("newest versions in the index: 2.0.0, 1.0.0"),
                "{other}"
            );
        }
        let all = index_file(&[("1.0.0", true)]);
        let only = entry(KnownVersions::read(&all, "1"), "1").to_string();
        assert!(only.contains("a 1.0.0 is yanked\nthe index has no version that is not yanked"), "{only}");
    }

    #[test]
    fn many_versions_are_counted() {
        let versions: Vec<String> = (0..9).map(|minor| format!("1.{minor}.0")).collect();
        let versions: Vec<(&str, bool)> = versions.iter().map(|version| (version.as_str(), false)).collect();
        let text = entry(KnownVersions::read(&index_file(&versions), "9"), "9").to_string();
        assert!(text.contains("in the index: 1.8.0, 1.7.0, 1.6.0, 1.5.0, 1.4.0, and 4 older\n"), "{text}");
        assert!(!text.contains("candidate versions"), "{text}");
    }

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
