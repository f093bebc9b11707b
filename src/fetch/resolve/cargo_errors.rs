//! Cargo's messages about a failed resolution: removes details of the scratch project, and finds the entry that caused
//! the failure.

use super::scratch_dependency::ScratchDependency;
use crate::fetch::cargo;

/// The name of the scratch project.
pub(super) const SCRATCH_PACKAGE: &str = "frostmirror-scratch";

/// Replaces the scratch project in messages.
const REQUESTED_HERE: &str = "of the request";
/// Maximum number of versions shown from one list.
const MAX_LISTED_VERSIONS: usize = 5;
/// Maximum number of characters shown.
const MAX_CHARS: usize = 4000;

/// Converts cargo's message for the user; lines with `address`, that of the loopback index, are removed.
pub(super) fn humanize(message: &str, address: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in cargo::hide_snapshot_source(message).lines() {
        let trimmed = line.trim_start();
        let progress = ["Updating ", "Blocking ", "Locking ", "warning: "];
        let names_scratch = trimmed.contains(&format!("required by package `{SCRATCH_PACKAGE} v"));
        if progress.iter().any(|begin| trimmed.starts_with(begin)) || names_scratch || trimmed.contains(address) {
            continue;
        }
        let line = line.strip_prefix("error: ").unwrap_or(line);
        let line = hide_scratch_package(line)
            .replace(&format!("package `{SCRATCH_PACKAGE}` depends on"), "the request depends on");
        lines.push(shorten_version_list(&line));
    }
    let text = lines.join("\n");
    let text = text.trim().replace("\n\n\n", "\n\n");
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Replaces ``of package `SCRATCH v0.0.0 (FOLDER)` ``.
fn hide_scratch_package(line: &str) -> String {
    let begin = format!("of package `{SCRATCH_PACKAGE} v");
    match line.split_once(&begin).and_then(|(head, rest)| Some((head, rest.split_once(")`")?.1))) {
        Some((head, tail)) => format!("{head}{REQUESTED_HERE}{tail}"),
        None => line.to_owned(),
    }
}

/// Returns the index of the entry in `items` that causes the conflict according to cargo; `message` comes from
/// [`humanize`], and the keys of the items are those in the scratch project.
///
/// It is the first entry on the path to the package without a matching version; if that package is itself an entry, it
/// is the one that was not chosen before. If cargo's message does not help, it is the last entry.
pub(super) fn culprit(message: &str, items: &[ScratchDependency]) -> usize {
    let last = items.len().saturating_sub(1);
    let keyed = |line: &str| {
        let rest = line.split_once("which satisfies ")?.1;
        let rest = rest.split_once("dependency `")?.1;
        let key = rest.split_once(" = ")?.0;
        rest.contains(REQUESTED_HERE).then(|| items.iter().position(|item| item.key == key))?
    };
    let (first, _) = message.split_once("\n\n").unwrap_or((message, ""));
    if let Some(position) = first.lines().find_map(keyed) {
        return position;
    }
    let name = message
        .lines()
        .find_map(|line| line.trim().strip_prefix("failed to select a version for `"))
        .and_then(|rest| rest.split_once('`'))
        .map(|(name, _)| name);
    let chosen: Vec<usize> = message.lines().filter_map(keyed).collect();
    let direct = items.iter().rposition(|item| Some(item.package.as_str()) == name);
    let unchosen = items.iter().enumerate().rev().find_map(|(position, item)| {
        let named = Some(item.package.as_str()) == name;
        (named && !chosen.contains(&position)).then_some(position)
    });
    let earlier = chosen.first().copied();
    unchosen.or(direct).or(earlier).unwrap_or(last)
}

/// Shortens `versions that meet the requirements … are: a, b, c, …`, which may list hundreds.
fn shorten_version_list(line: &str) -> String {
    let Some((head, versions)) = line.split_once(" are: ") else {
        return line.to_owned();
    };
    let versions: Vec<&str> = versions.split(", ").collect();
    if versions.len() <= MAX_LISTED_VERSIONS {
        return line.to_owned();
    }
    format!("{head} are: {}, …", versions[..MAX_LISTED_VERSIONS].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::depends::Requirement;

    const ADDRESS: &str = "http://127.0.0.1:4711/5ec3e7/";

    fn items(entries: &[(&str, &str)]) -> Vec<ScratchDependency> {
        let item = |(key, package): &(&str, &str)| ScratchDependency {
            key: (*key).to_owned(),
            package: package.parse().expect("valid"),
            requirement: Requirement { version: "1".to_owned(), features: Vec::new(), default_features: true },
            is_alternative: false,
            origin: ((*key).to_owned(), 0),
            source_text: String::new(),
        };
        entries.iter().map(item).collect()
    }

    /// The message of cargo 1.95.
    const DEEP: &str = "\
    Updating `frostmirror-snapshot` index
error: failed to select a version for `native`.
    ... required by package `second v1.0.0`
    ... which satisfies dependency `b = \"^1\"` of package `frostmirror-scratch v0.0.0 (/tmp/x y)`
versions that meet the requirements `^0.2` are: 0.2.6, 0.2.5, 0.2.4, 0.2.3, 0.2.2, 0.2.1, 0.2.0

package `native` links to the native library `z`, but it conflicts with a previous package which links to `z` as well:
package `native v0.1.0`
    ... which satisfies dependency `native = \"^0.1\"` of package `first v1.0.0`
    ... which satisfies dependency `a = \"^1\"` of package `frostmirror-scratch v0.0.0 (/tmp/x y)`
";

    const DIRECT: &str = "\
error: failed to select a version for `native`.
    ... required by package `frostmirror-scratch v0.0.0 (/tmp/x)`
versions that meet the requirements `^0.28` are: 0.28.0

package `native` links to the native library `z`, but it conflicts with a previous package which links to `z` as well:
package `native v0.26.0`
    ... which satisfies dependency `native_2 = \"^0.26\"` of package `frostmirror-scratch v0.0.0 (/tmp/x)`
";

    #[test]
    fn scratch_project_details_are_hidden() {
        let message = humanize(DEEP, ADDRESS);
        assert!(message.starts_with("failed to select a version for `native`.\n"), "{message}");
        assert!(message.contains("dependency `b = \"^1\"` of the request\n"), "{message}");
        assert!(message.contains("are: 0.2.6, 0.2.5, 0.2.4, 0.2.3, 0.2.2, …"), "{message}");
        for ours in ["scratch", "snapshot", "/tmp"] {
            assert!(!message.contains(ours), "{message}");
        }
        let direct = humanize(&format!("{DIRECT}Caused by:\n  GET {ADDRESS}1/a\n"), ADDRESS);
        assert!(!direct.contains("127.0.0.1") && !direct.contains("required by package"), "{direct}");
        assert!(humanize(&"long ".repeat(10_000), ADDRESS).len() < 5000);
    }

    #[test]
    fn the_culprit_is_the_entry_that_leads_to_the_conflict() {
        let terms = humanize(DEEP, ADDRESS);
        assert_eq!(culprit(&terms, &items(&[("a", "first"), ("b", "second"), ("c", "third")])), 1);
        assert_eq!(culprit(&terms, &items(&[("b", "second"), ("a", "first")])), 0);
    }

    #[test]
    fn of_two_entries_of_one_crate_the_unselected_one_is_the_culprit() {
        let terms = humanize(DIRECT, ADDRESS);
        assert_eq!(culprit(&terms, &items(&[("native_1", "native"), ("native_2", "native"), ("c", "third")])), 0);
        assert_eq!(culprit(&terms, &items(&[("native_2", "native"), ("native_1", "native")])), 1);
    }

    #[test]
    fn without_a_usable_message_the_last_entry_is_the_culprit() {
        assert_eq!(culprit("something new", &items(&[("a", "first"), ("b", "second")])), 1);
    }
}
