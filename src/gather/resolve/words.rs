//! Cargo's words about a failed resolution: told on without what only concerns our scratch project, and read for whom
//! they blame.

use super::scratch::Item;
use crate::gather::cargo;

/// The name of the scratch project.
pub(super) const SCRATCH: &str = "frostmirror-scratch";

/// Versions of one list that are shown.
const SHOWN: usize = 5;
/// Characters that are shown at most.
const MOST: usize = 4000;

/// Cargo's words as a user may read them; `hidden`: the scratch project's folder and the address of our index.
pub(super) fn for_people(words: &str, hidden: &[&str; 2]) -> String {
    let [folder, address] = hidden;
    let scratch = format!("`{SCRATCH} v0.0.0 ({folder})`");
    let replaced = format!("`{}` index (which is replacing registry `crates-io`)", cargo::SOURCE);
    let mut lines: Vec<String> = Vec::new();
    for line in words.lines() {
        let said = line.trim_start();
        let progress = ["Updating ", "Blocking ", "Locking ", "warning: "];
        let ours = said.contains("required by package") && said.contains(&scratch);
        if progress.iter().any(|begin| said.starts_with(begin)) || ours || said.contains(address) {
            continue;
        }
        let line = line.strip_prefix("error: ").unwrap_or(line);
        let line = line
            .replace(&format!("of package {scratch}"), "asked for here")
            .replace(&format!("package `{SCRATCH}` depends on"), "the request depends on")
            .replace(&replaced, "crates.io index")
            .replace(&format!("`{}` index", cargo::SOURCE), "crates.io index");
        lines.push(shortened(&line));
    }
    let text = lines.join("\n");
    let text = text.trim().replace("\n\n\n", "\n\n");
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Which of `items` cargo blames for not resolving together with the others; their keys must be what cargo was given.
///
/// The first entry on the way to the package that found no version; where that is an entry itself, it is the one that
/// is not among those chosen before. Where cargo's words are of no help, the last entry goes.
pub(super) fn blamed(words: &str, items: &[Item]) -> usize {
    let last = items.len().saturating_sub(1);
    let keyed = |line: &str| {
        let rest = line.split_once("which satisfies ")?.1;
        let rest = rest.split_once("dependency `")?.1;
        let key = rest.split_once(" = ")?.0;
        rest.contains("asked for here").then(|| items.iter().position(|item| item.key == key))?
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
