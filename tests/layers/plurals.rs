//! A number with its noun is written by `units::pluralize`, and its verb by `units::agree`, so that no message says
//! `1 crates` or `1 crate are`.

use std::collections::BTreeSet;

use super::source::{SourceFile, source_files};

/// Words that may stand between a number and its noun.
const ADJECTIVES: &[&str] = &["damaged", "index", "invalid", "locked", "more", "open", "other", "rustup"];

/// Nouns that no call of `pluralize` has, but that messages could count.
const MORE_NOUNS: &[&str] = &["archive", "channel", "column", "day", "folder", "hour", "minute", "target", "time"];

/// Placeholders in front of a plural that are never the number 1: (file, text, reason).
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("http/error.rs", "{attempts} times", "more than one attempt"),
    ("commands/status.rs", "{word} bundles", "no number"),
    ("commands/export/folder.rs", "{has} files", "no number"),
    ("mirror/export/vendor/unpack.rs", "{} bytes", "a constant limit"),
];

/// Verbs in the plural that could be about a number.
const PLURAL_VERBS: &[&str] = &["are", "count", "differ", "do", "have", "lack", "need", "remain", "were"];

/// Placeholders in front of such a verb that are never about one thing: (end of the path, text, reason).
const VERB_EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("commands/export/folder.rs", "{}) have", "more than one crate"),
    ("commands/export/folder.rs", "{has} files whose names differ only in case (", "the verb of `files`"),
    ("commands/gc.rs", "{} shows whether they are damaged)", "the heading is a plural"),
    ("commands/list.rs", "{created}\\nCrate count", "a noun"),
    ("commands/verify/mirror.rs", "{what} are unknown", "the verb of `lineages`"),
    ("fetch/resolve/cargo_errors.rs", "{head} are", "cargo's text about `versions`"),
    ("fetch/resolve/unresolved.rs", "{package} are yanked", "more than one version"),
    ("fetch/resolve/error.rs", "{input} needs packages that are not from crates", "the verb of `packages`"),
    ("http/error.rs", "{url} does not have the expected content", "an infinitive"),
    ("mirror/export/vendor/unpack/tests.rs", "{taken} names were accepted", "a test"),
    ("mirror/warnings.rs", "{file} need", "the verb of `inputs`"),
    ("server/auth.rs", "{MIN_TOKEN_CHARS} visible ASCII characters are required", "a constant limit"),
    ("upstream/file_batch.rs", "{} are unavailable", "more than one file"),
    ("upstream/file_batch.rs", "{} are", "more than one file"),
    ("web/api/status.rs", "{} were rejected", "more than one bundle"),
    ("web/pages/dashboard.rs", "{} are doubtful", "the verb of `bundles`"),
    ("web/pages/live_mode.rs", "{} Stored files are served", "the verb of `files`"),
    ("web/pages/live_mode.rs", "{why} Stored files are served", "the verb of `files`"),
];

#[test]
fn numbers_are_written_with_the_right_form_of_their_noun() {
    let files = source_files();
    let mut nouns: BTreeSet<String> = MORE_NOUNS.iter().map(|noun| (*noun).to_owned()).collect();
    nouns.extend(files.iter().flat_map(|file| pluralized_nouns(&file.text)));
    assert!(nouns.contains("crate") && nouns.len() > 15, "{nouns:?}");
    let plurals: BTreeSet<String> = nouns.iter().map(|noun| plural(noun)).collect();
    let mut problems = Vec::new();
    for SourceFile { name, text } in &files {
        for (line, found) in fixed_plurals(text, &plurals) {
            if !EXCEPTIONS.iter().any(|(file, text, _)| name == file && found == *text) {
                problems.push(format!("src/{name}:{line}: `{found}`; use `units::pluralize`"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn numbers_have_the_right_form_of_their_verb() {
    let mut problems = Vec::new();
    for SourceFile { name, text } in source_files() {
        for (line, found) in plural_verbs(&text) {
            if !VERB_EXCEPTIONS.iter().any(|(file, text, _)| name == *file && found == *text) {
                problems.push(format!("src/{name}:{line}: `{found}`; use `units::agree`, or say it without a verb"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Placeholders in string literals with a plural verb behind them, before any punctuation: the line, and both.
fn plural_verbs(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices('}') {
            let is_in_string = line[..at].matches('"').count() % 2 == 1;
            let Some(start) = line[..at].rfind('{').filter(|_| is_in_string) else { continue };
            let clause = line[at + 1..].split(['{', '"', ';', ':', ',', '.', '`', '|']).next().unwrap_or_default();
            if clause.split(' ').any(|word| PLURAL_VERBS.contains(&word)) {
                found.push((number + 1, format!("{}{}", &line[start..=at], clause.trim_end())));
            }
        }
    }
    found
}

#[test]
fn plural_verbs_are_found() {
    let found = |text: &str| plural_verbs(text).into_iter().map(|(_, found)| found).collect::<Vec<_>>();
    assert_eq!(
        found(r#"format!("{count} of {} are damaged; {n} is, and {m} ({x}) that others need: are")"#),
        ["{} are damaged", "{x}) that others need"]
    );
    assert_eq!(found(r#"} else if are { "{a}, are" }"#), [""; 0]);
}

/// The last words of the nouns that calls of `pluralize` have as literals.
fn pluralized_nouns(text: &str) -> Vec<String> {
    let calls = text.split("pluralize(").skip(1).filter_map(|call| {
        let end = call.find(['\n', ';']).unwrap_or(call.len());
        call[..end].split('"').nth(1)?.rsplit(' ').next()
    });
    calls
        .map(str::to_owned)
        .filter(|noun| noun.bytes().all(|byte| byte.is_ascii_lowercase()) && !noun.is_empty())
        .collect()
}

fn plural(noun: &str) -> String {
    match noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u'])) {
        Some(stem) => format!("{stem}ies"),
        None => format!("{noun}s"),
    }
}

/// Placeholders with a plural behind them: the line, and both.
fn fixed_plurals(text: &str, plurals: &BTreeSet<String>) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices("} ") {
            let Some(start) = line[..at].rfind('{') else { continue };
            let name = &line[start + 1..at];
            // A constant limit is more than one.
            let is_constant = name == "limit" || name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            if !name.is_empty() && is_constant || name.contains(' ') {
                continue;
            }
            let mut words =
                line[at + 2..].split(' ').map(|word| word.trim_end_matches(|c: char| !c.is_ascii_lowercase()));
            let mut next = words.next().unwrap_or_default();
            let mut shown = format!("{{{name}}} {next}");
            if ADJECTIVES.contains(&next) {
                next = words.next().unwrap_or_default();
                shown = format!("{shown} {next}");
            }
            let noun: String = next.chars().take_while(char::is_ascii_lowercase).collect();
            if plurals.contains(&noun) {
                found.push((number + 1, shown.trim_end_matches(|c: char| !c.is_ascii_lowercase()).to_owned()));
            }
        }
    }
    found
}

#[test]
fn fixed_plurals_are_found() {
    let plurals = BTreeSet::from(["crates".to_owned(), "artifacts".to_owned(), "histories".to_owned()]);
    let found = |text: &str| fixed_plurals(text, &plurals).into_iter().map(|(_, found)| found).collect::<Vec<_>>();
    assert_eq!(
        found(r#"format!("{count} crates, {} rustup artifacts", n)"#),
        ["{count} crates", "{} rustup artifacts"]
    );
    assert_eq!(found(r#"format!("{n} histories")"#), ["{n} histories"]);
    assert_eq!(found(r#"format!("{id} needs crates, at most {MAX_CRATES} crates and {limit} crates")"#), [""; 0]);
    assert_eq!([plural("crate"), plural("history"), plural("day")], ["crates", "histories", "days"]);
    assert_eq!(pluralized_nouns("pluralize(a.len(), \"index line\") pluralize(b, noun)"), ["line"]);
}
