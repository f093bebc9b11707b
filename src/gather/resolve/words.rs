//! Cargo's words about a failed resolution: told on without what only concerns our scratch project, and read for whom
//! they blame.

use super::scratch::Item;
use crate::gather::cargo;

/// The name of the scratch project.
pub(super) const SCRATCH: &str = "frostmirror-scratch";

/// What stands for it in the words that are told on.
const ASKED: &str = "asked for here";
/// Versions of one list that are shown.
const SHOWN: usize = 5;
/// Characters that are shown at most.
const MOST: usize = 4000;

/// Cargo's words as a user may read them; lines with `address`, that of our index, are left out.
pub(super) fn for_people(words: &str, address: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in cargo::of_crates_io(words).lines() {
        let said = line.trim_start();
        let progress = ["Updating ", "Blocking ", "Locking ", "warning: "];
        let ours = said.contains(&format!("required by package `{SCRATCH} v"));
        if progress.iter().any(|begin| said.starts_with(begin)) || ours || said.contains(address) {
            continue;
        }
        let line = line.strip_prefix("error: ").unwrap_or(line);
        let line = without_scratch(line).replace(&format!("package `{SCRATCH}` depends on"), "the request depends on");
        lines.push(shortened(&line));
    }
    let text = lines.join("\n");
    let text = text.trim().replace("\n\n\n", "\n\n");
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// ``of package `SCRATCH v0.0.0 (FOLDER)` `` becomes what it means.
fn without_scratch(line: &str) -> String {
    let begin = format!("of package `{SCRATCH} v");
    match line.split_once(&begin).and_then(|(head, rest)| Some((head, rest.split_once(")`")?.1))) {
        Some((head, tail)) => format!("{head}{ASKED}{tail}"),
        None => line.to_owned(),
    }
}

/// Which of `items` cargo blames for not resolving together with the others; `words` come from [`for_people`], and the
/// items' keys are those that cargo was given.
///
/// The first entry on the way to the package that found no version; where that is an entry itself, it is the one that
/// is not among those chosen before. Where cargo's words are of no help, the last entry goes.
pub(super) fn blamed(words: &str, items: &[Item]) -> usize {
    let last = items.len().saturating_sub(1);
    let keyed = |line: &str| {
        let rest = line.split_once("which satisfies ")?.1;
        let rest = rest.split_once("dependency `")?.1;
        let key = rest.split_once(" = ")?.0;
        rest.contains(ASKED).then(|| items.iter().position(|item| item.key == key))?
    };
    let (first, _) = words.split_once("\n\n").unwrap_or((words, ""));
    if let Some(position) = first.lines().find_map(keyed) {
        return position;
    }
    let name = words
        .lines()
        .find_map(|line| line.trim().strip_prefix("failed to select a version for `"))
        .and_then(|rest| rest.split_once('`'))
        .map(|(name, _)| name);
    let chosen: Vec<usize> = words.lines().filter_map(keyed).collect();
    let direct = items.iter().rposition(|item| Some(item.package.as_str()) == name);
    let unchosen = items.iter().enumerate().rev().find_map(|(position, item)| {
        let named = Some(item.package.as_str()) == name;
        (named && !chosen.contains(&position)).then_some(position)
    });
    let earlier = chosen.first().copied();
    unchosen.or(direct).or(earlier).unwrap_or(last)
}

/// `versions that meet the requirements … are: a, b, c, …` may name hundreds.
fn shortened(line: &str) -> String {
    let Some((head, versions)) = line.split_once(" are: ") else {
        return line.to_owned();
    };
    let versions: Vec<&str> = versions.split(", ").collect();
    if versions.len() <= SHOWN {
        return line.to_owned();
    }
    format!("{head} are: {}, …", versions[..SHOWN].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gather::depends::Requirement;

    const ADDRESS: &str = "http://127.0.0.1:4711/5ec3e7/";

    fn items(entries: &[(&str, &str)]) -> Vec<Item> {
        let item = |(key, package): &(&str, &str)| Item {
            key: (*key).to_owned(),
            package: package.parse().expect("valid"),
            requirement: Requirement { version: "1".to_owned(), features: Vec::new(), default_features: true },
            one_of_many: false,
            written: String::new(),
        };
        entries.iter().map(item).collect()
    }

    /// As cargo 1.95 has it.
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
    fn nothing_of_ours_is_told_on() {
        let told = for_people(DEEP, ADDRESS);
        assert!(told.starts_with("failed to select a version for `native`.\n"), "{told}");
        assert!(told.contains("dependency `b = \"^1\"` asked for here\n"), "{told}");
        assert!(told.contains("are: 0.2.6, 0.2.5, 0.2.4, 0.2.3, 0.2.2, …"), "{told}");
        for ours in ["scratch", "snapshot", "/tmp"] {
            assert!(!told.contains(ours), "{told}");
        }
        let direct = for_people(&format!("{DIRECT}Caused by:\n  GET {ADDRESS}1/a\n"), ADDRESS);
        assert!(!direct.contains("127.0.0.1") && !direct.contains("required by package"), "{direct}");
        assert!(for_people(&"long ".repeat(10_000), ADDRESS).len() < 5000);
    }

    #[test]
    fn the_entry_on_the_way_to_the_conflict_is_blamed() {
        let words = for_people(DEEP, ADDRESS);
        assert_eq!(blamed(&words, &items(&[("a", "first"), ("b", "second"), ("c", "third")])), 1);
        assert_eq!(blamed(&words, &items(&[("b", "second"), ("a", "first")])), 0);
    }

    #[test]
    fn of_two_entries_of_one_crate_the_one_that_was_not_chosen_is_blamed() {
        let words = for_people(DIRECT, ADDRESS);
        assert_eq!(blamed(&words, &items(&[("native_1", "native"), ("native_2", "native"), ("c", "third")])), 0);
        assert_eq!(blamed(&words, &items(&[("native_2", "native"), ("native_1", "native")])), 1);
    }

    #[test]
    fn words_that_are_of_no_help_blame_the_last() {
        assert_eq!(blamed("something new", &items(&[("a", "first"), ("b", "second")])), 1);
    }
}
