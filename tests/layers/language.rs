//! Phrases that readers of this project stumbled over. Each has a plain replacement.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Banned phrases, word by word and without case, and what to write instead. `*` stands for one to four words.
/// The words of a name count too: `what_nobody_reads` has three.
const BANNED: &[(&str, &str)] = &[
    ("whoever", "name the person or the program"),
    ("whomever", "name the person or the program"),
    ("nobody", "`no client`, `no process`, `nothing`"),
    ("somebody", "name the person or the program"),
    ("be it", "`whether … or …`"),
    ("as ever", "`as before`, or nothing"),
    ("lets go of", "`releases`, `drops`, `forgets`"),
    ("let go of", "`release`, `drop`, `forget`"),
    ("is had", "`exists`, `is stored`, `is available`"),
    ("was had", "`existed`, `was fetched`"),
    ("be had", "`be fetched`, `be available`"),
    ("stranger", "`unrecognized file`, `unknown client`, `untrusted input`"),
    ("strangers", "`unrecognized files`, `unknown clients`"),
    ("house", "`crate`, `project`"),
    ("tower", "`layers`"),
    ("floor", "`layer`"),
    ("floors", "`layers`"),
    ("room", "`space`, `module`, `limit`"),
    ("rooms", "`modules`"),
    ("door", "`boundary`, `entry point`"),
    ("station", "`session`"),
    ("journey", "`transfer`, `run`"),
    ("patience", "`timeout`"),
    ("patient", "`waits`, `tolerates stalls`"),
    ("twin", "`copy`, `duplicate`"),
    ("twins", "`copies`, `duplicates`"),
    ("pilot", "`download writer`"),
    ("errand", "`task`, `download spec`"),
    ("parcel", "`job`"),
    ("feeds", "`lineages`, `adds files to`"),
    ("shelf", "`folder`, `set of dist files`"),
    ("shelves", "`folders`, `sets of dist files`"),
    ("wish", "`query`, `request`"),
    ("wishes", "`queries`, `requests`"),
    ("spare", "`unreferenced`"),
    ("got rid of", "`removed`, `deleted`"),
    ("gets rid of", "`removes`, `deletes`"),
    ("another hand", "`a clone of the handle`"),
    ("let a * go", "`forget`, `remove`"),
    ("lets it go", "`forgets it`, `removes it`"),
    ("there it lies", "`it is stored there`"),
    ("where it is there", "`if it exists`"),
    ("is all there is", "`only … exists`"),
    ("what who", "name the person or the program"),
    ("what is no", "`an invalid …`"),
    ("what is held", "`the stored files`"),
    ("what was left out", "`the skipped …`"),
    ("what is left is", "`the rest is`"),
    ("what could not be", "`anything that could not be`"),
    ("is told", "`reads`, `receives`, `is reported`"),
    ("are told", "`read`, `receive`, `are reported`"),
    ("was told", "`read`, `received`, `was reported`"),
    ("were told", "`read`, `received`, `were reported`"),
    ("be told", "`read`, `receive`, `be reported`"),
    ("it tells", "`it reports`, `it shows`"),
    ("is asked for", "`is requested`"),
    ("are asked for", "`are requested`"),
    ("was asked for", "`was requested`"),
    ("asked for often", "`popular`"),
    ("asks for what", "`requests`"),
    ("is no good", "`is invalid`"),
    ("are not good", "`are invalid`"),
    ("no good bundle", "`an invalid bundle`"),
    ("which is no time", "`that is not a time`"),
    ("any more", "`no longer`"),
    ("a day to come", "`a date in the future`"),
    ("has come", "`has passed`, `has arrived`"),
    ("says of itself", "`declares`"),
    ("its own to make", "`creates`"),
    ("gives up on who", "`ends connections that`"),
    ("has no meaning here", "`is ignored here`"),
    ("know this server by", "`the server's network name`"),
    ("being another one", "`a change`"),
    ("the beginning of it", "`a unique prefix`"),
    ("anew", "`again`"),
    ("came of", "`resulted from`"),
];

/// Files that may use a phrase: (end of the path, phrase, reason).
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("tests/layers/language.rs", "", "the list itself"),
    ("tests/it/browser_editors.rs", "tower", "the name of a published crate"),
    ("tests/it/snapshot/redeployed.rs", "stranger", "the name of a made-up crate"),
    ("tests/it/golden/messages.rs", "stranger", "the name of a made-up crate"),
    ("tests/it/import_dist_files.rs", "stranger", "the name of a made-up file"),
    ("tests/it/list.rs", "stranger", "the name of a made-up crate"),
    ("tests/it/gc/dist_files.rs", "stranger", "the name of a made-up file"),
    ("tests/it/export/builds.rs", "twins", "the name of a made-up crate"),
    ("tests/it/live_store.rs", "nobody", "the name of a made-up crate"),
    ("tests/it/failures/fetching.rs", "stranger", "the name of a snapshot"),
    ("src/upstream/cargo_config/files.rs", "floor", "a method of str"),
    ("src/inputs/lockfile.rs", "floor", "a method of str"),
    ("src/diagnostics/excerpt.rs", "floor", "a method of str"),
    ("src/diagnostics/toml_syntax.rs", "floor", "a method of str"),
    ("src/watcher/processed.rs", "floor", "a method of str"),
];

#[test]
fn texts_and_names_are_in_plain_english() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "xtask"] {
        collect(&root.join(folder), &mut files);
    }
    files.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root.join(name)));
    assert!(files.len() > 300, "only {} files were found", files.len());
    let mut problems = Vec::new();
    for path in files {
        let shown = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        for (line, phrase) in banned_phrases(&fs::read_to_string(&path).unwrap()) {
            let is_exception = |(file, allowed, _): &&(&str, &str, &str)| {
                shown.ends_with(file) && (allowed.is_empty() || *allowed == phrase.0)
            };
            if EXCEPTIONS.iter().find(is_exception).is_none() {
                problems.push(format!("{shown}:{line}: `{}`; write {}", phrase.0, phrase.1));
            }
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let has_text = |kind: &str| path.extension().is_some_and(|extension| extension == kind);
        if path.is_dir() {
            collect(&path, files);
        } else if ["rs", "md", "html", "js", "css", "sh", "ps1", "txt", "svg", "stderr", "stdout"]
            .into_iter()
            .any(has_text)
        {
            files.push(path);
        }
    }
}

/// Each banned phrase with the number of the line where it begins.
fn banned_phrases(text: &str) -> Vec<(usize, &'static (&'static str, &'static str))> {
    let terms: Vec<(usize, String)> = text
        .lines()
        .enumerate()
        .flat_map(|(line, text)| {
            let terms = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            terms.map(move |word| (line + 1, word.to_lowercase())).collect::<Vec<_>>()
        })
        .collect();
    // Most words begin no phrase, and no phrase begins with `*`.
    let mut by_first = HashMap::<&str, Vec<&'static (&'static str, &'static str)>>::new();
    for phrase in BANNED {
        by_first.entry(phrase.0.split(' ').next().unwrap()).or_default().push(phrase);
    }
    let mut found = Vec::new();
    for (at, (line, word)) in terms.iter().enumerate() {
        for phrase in by_first.get(word.as_str()).into_iter().flatten() {
            if matches(&terms[at..], &phrase.0.split(' ').collect::<Vec<_>>(), *line) {
                found.push((*line, *phrase));
            }
        }
    }
    found
}

/// Whether `words` begins with `phrase`, all of it at most one line below `first`.
fn matches(terms: &[(usize, String)], phrase: &[&str], first: usize) -> bool {
    match phrase {
        [] => true,
        ["*", rest @ ..] => (1..=4).any(|skipped| terms.len() >= skipped && matches(&terms[skipped..], rest, first)),
        [word, rest @ ..] => terms
            .first()
            .is_some_and(|(line, have)| have == word && *line <= first + 1 && matches(&terms[1..], rest, first)),
    }
}

#[test]
fn banned_phrases_are_found_in_prose_and_in_names() {
    let found = |text: &str| banned_phrases(text).iter().map(|(line, phrase)| (*line, phrase.0)).collect::<Vec<_>>();
    assert_eq!(found("/// Nobody reads it,\nbe it\nlong"), [(1, "nobody"), (2, "be it")]);
    assert_eq!(found("fn what_the_user_is_told() {}"), [(1, "is told")]);
    assert_eq!(found("// Let a lineage of\n// another site go."), [(1, "let a * go")]);
    assert_eq!(found("maybe items, somebody_else"), [(1, "somebody")]);
    assert_eq!(found("What a client sends is stored. Tokens are compared."), []);
}
