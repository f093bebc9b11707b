//! House rules that the compiler does not know: who may name whom, who may print, what a room may be called.
//!
//! The order of the `pub mod` lines in src/lib.rs is the law: a file may name its own floor and those below it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "layers/panics.rs"]
mod panics;

/// Floors that may not be named although they lie below: (who, whom, why).
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("bundle", "http", "a bundle knows no network"),
    ("bundle", "gather", "a bundle does not know where its content came from"),
    ("bundle", "mirror", "a bundle's reader streams; the mirror places"),
    ("serve", "bundle", "what is served is the mirror on disk, never a bundle"),
    ("gather", "mirror", "the online side has no mirror"),
    ("gather", "bundle", "gathering does not know how its harvest travels"),
];

/// Names that say nothing about what is inside.
const NAMELESS: &[&str] = &["util", "utils", "common", "helpers", "types", "errors", "misc"];

/// The only file that prints.
const PRINTER: &str = "report.rs";

/// The door: what comes from the process's surroundings comes in here.
const DOOR: &[&str] = &["main.rs", "cmd.rs", "cmd/", "env.rs"];

/// What comes from the process's surroundings.
const AMBIENT: &[&[&str]] = &[
    &["env", "var"],
    &["env", "var_os"],
    &["env", "vars"],
    &["env", "vars_os"],
    &["env", "args"],
    &["env", "args_os"],
    &["env", "current_dir"],
    &["home", "home_dir"],
    &["home", "cargo_home"],
    &["SystemTime", "now"],
    &["Timestamp", "now"],
    &["Zoned", "now"],
    &["io", "stdin"],
];

/// Who may ask the surroundings all the same: (file, what, why).
const ALLOWED: &[(&str, &str, &str)] = &[(
    "durable.rs",
    "env::var_os",
    "the crash tests' variable, read by debug builds alone, would burden every signature",
)];

/// Lines of code that a file may have without a word about it.
const LONGEST: usize = 500;

/// How the `//!` page of a longer file gives its reason.
const REASON: &str = "//! Long because ";

#[test]
fn the_house_keeps_its_rules() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let tower = tower(&fs::read_to_string(src.join("lib.rs")).unwrap());
    assert!(tower.len() > 10, "the tower was not read from src/lib.rs: {tower:?}");
    let mut problems = Vec::new();
    for path in files(&src) {
        let name = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
        problems.extend(check(&name, &fs::read_to_string(&path).unwrap(), &tower));
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn every_tests_file_is_for_tests() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in files(&src).into_iter().filter(|path| path.ends_with("tests.rs")) {
        let parent = path.parent().unwrap().with_extension("rs");
        let declared = fs::read_to_string(&parent).unwrap().contains("#[cfg(test)]\nmod tests;");
        assert!(declared, "{} does not declare its tests behind `#[cfg(test)]`", parent.display());
    }
}

/// The floors, top first.
fn tower(lib: &str) -> Vec<String> {
    let floors = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    floors.map(str::to_owned).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Everything that is wrong with the file `name` (its path below src/).
fn check(name: &str, source: &str, tower: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut problem = |text: String| problems.push(format!("src/{name}: {text}"));
    for part in name.trim_end_matches(".rs").split('/') {
        if NAMELESS.contains(&part) {
            problem(format!("`{part}` says nothing about what is inside"));
        }
    }
    let all = tokens(source);
    let lines: BTreeSet<usize> = all.iter().map(|token| token.line).collect();
    let reason = source.lines().take_while(|line| line.starts_with("//!")).any(|line| line.starts_with(REASON));
    if lines.len() > LONGEST && !reason {
        problem(format!("{} lines of code: split it, or give the reason as `{REASON}…`", lines.len()));
    }
    // A room's tests in a file of their own; `every_tests_file_is_for_tests` sees that it is nothing else.
    if name.ends_with("/tests.rs") {
        return problems;
    }
    let code = without_tests(&all);
    if name != PRINTER {
        for line in prints(&code) {
            problem(format!("line {line}: only src/{PRINTER} prints"));
        }
    }
    if !DOOR.iter().any(|door| name == *door || (door.ends_with('/') && name.starts_with(door))) {
        for (line, what) in ambient(&code) {
            if ALLOWED.iter().any(|(file, allowed, _)| (*file, *allowed) == (name, what.as_str())) {
                continue;
            }
            problem(format!("line {line}: `{what}` comes in through src/cmd, as a parameter"));
        }
    }
    let own = name.trim_end_matches(".rs").split('/').next().unwrap_or_default();
    let height = |module: &str| tower.iter().position(|floor| floor == module);
    if name == "lib.rs" || name == "main.rs" {
        return problems;
    }
    let Some(own_height) = height(own) else {
        problem(format!("`{own}` has no `pub mod` line in src/lib.rs"));
        return problems;
    };
    let depth = name.trim_end_matches("/mod.rs").split('/').count();
    for (line, other) in named(&code, depth) {
        match height(&other) {
            Some(other_height) if other_height < own_height => {
                problem(format!("line {line}: `{other}` lies above `{own}`"));
            }
            _ => {}
        }
        if let Some((_, _, why)) = FORBIDDEN.iter().find(|(who, whom, _)| (*who, *whom) == (own, other.as_str())) {
            problem(format!("line {line}: `{own}` may not name `{other}`: {why}"));
        }
    }
    problems
}

/// A word or one sign of code.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    text: String,
    line: usize,
}

/// The code of a file: no comments, no content of strings. `::` is one token.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut found = Vec::new();
    let (mut index, mut line) = (0, 1);
    while index < chars.len() {
        let start = index;
        let first_line = line;
        let mut text = String::new();
        match at(index) {
            '/' if at(index + 1) == '/' => index += count(&chars[index..], |char| char != '\n'),
            '/' if at(index + 1) == '*' => index = end_of_comment(&chars, index),
            '"' => index = end_of_string(&chars, index),
            '\'' => index = end_of_quote(&chars, index),
            char if is_word(char) => {
                index += count(&chars[index..], is_word);
                text = chars[start..index].iter().collect();
                let hashes = count(&chars[index..], |char| char == '#');
                let is_string = at(index + hashes) == '"' && ["r", "br", "cr", "b", "c"].contains(&text.as_str());
                if is_string && text.contains('r') {
                    index = end_of_raw_string(&chars, index, hashes);
                    text.clear();
                } else if is_string && hashes == 0 {
                    index = end_of_string(&chars, index);
                    text.clear();
                }
            }
            ':' if at(index + 1) == ':' => {
                index += 2;
                text = "::".to_owned();
            }
            char => {
                index += 1;
                if !char.is_whitespace() {
                    text = char.to_string();
                }
            }
        }
        line += chars[start..index.min(chars.len())].iter().filter(|char| **char == '\n').count();
        if !text.is_empty() {
            found.push(Token { text, line: first_line });
        }
    }
    found
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn count(chars: &[char], counts: impl Fn(char) -> bool) -> usize {
    chars.iter().take_while(|char| counts(**char)).count()
}

/// Block comments nest.
fn end_of_comment(chars: &[char], start: usize) -> usize {
    let (mut index, mut depth) = (start + 2, 1);
    while depth > 0 && index < chars.len() {
        match (chars[index], chars.get(index + 1)) {
            ('/', Some('*')) => (index, depth) = (index + 2, depth + 1),
            ('*', Some('/')) => (index, depth) = (index + 2, depth - 1),
            _ => index += 1,
        }
    }
    index
}

fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut index = start + 1;
    while index < chars.len() && chars[index] != '"' {
        index += if chars[index] == '\\' { 2 } else { 1 };
    }
    index + 1
}

fn end_of_raw_string(chars: &[char], start: usize, hashes: usize) -> usize {
    let mut index = start + hashes + 1;
    while index < chars.len() {
        index += 1;
        if chars[index - 1] == '"' && count(&chars[index..], |char| char == '#') >= hashes {
            return index + hashes;
        }
    }
    index
}

/// A character or a lifetime begins with `'`.
fn end_of_quote(chars: &[char], start: usize) -> usize {
    if chars.get(start + 1) == Some(&'\\') {
        return start + 3 + count(&chars[(start + 3).min(chars.len())..], |char| char != '\'') + 1;
    }
    if chars.get(start + 2) == Some(&'\'') { start + 3 } else { start + 1 }
}

/// The code without what stands behind `#[cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let marked =
            MARK.iter().enumerate().all(|(at, mark)| tokens.get(index + at).is_some_and(|one| one.text == *mark));
        if !marked {
            kept.push(tokens[index].clone());
            index += 1;
            continue;
        }
        // The item ends with its closing brace, or with a semicolon outside of all brackets.
        index += MARK.len();
        let mut depth = 0;
        while index < tokens.len() {
            let text = tokens[index].text.as_str();
            index += 1;
            match text {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                _ => {}
            }
            if depth == 0 && (text == "}" || text == ";") {
                break;
            }
        }
    }
    kept
}

/// Every module of the crate that the code names, with the line: `crate::a`, `use crate::{a, b::{c, d}}`, and `super::a`
/// where that many `super` lead to the root (`depth` of them, for a file that lies `depth` deep).
fn named(tokens: &[Token], depth: usize) -> Vec<(usize, String)> {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let start = index;
        index += 1;
        let behind = match text(start) {
            "crate" => start + 1,
            "super" if start == 0 || text(start - 1) != "::" => {
                let mut supers = 1;
                while text(start + 2 * supers - 1) == "::" && text(start + 2 * supers) == "super" {
                    supers += 1;
                }
                if supers != depth {
                    continue;
                }
                start + 2 * supers - 1
            }
            _ => continue,
        };
        if text(behind) != "::" {
            continue;
        }
        if text(behind + 1) != "{" {
            found.push((tokens[start].line, text(behind + 1).to_owned()));
            continue;
        }
        let (mut inside, mut at) = (1, behind + 2);
        let mut first = true;
        while inside > 0 && at < tokens.len() {
            match text(at) {
                "{" => inside += 1,
                "}" => inside -= 1,
                "," if inside == 1 => first = true,
                word if inside == 1 && first => {
                    found.push((tokens[at].line, word.to_owned()));
                    first = false;
                }
                _ => {}
            }
            at += 1;
        }
    }
    found
}

/// The lines that print or take hold of stdout or stderr.
fn prints(tokens: &[Token]) -> Vec<usize> {
    let is = |window: &[Token], texts: [&str; 3]| window.iter().zip(texts).all(|(token, text)| token.text == text);
    let mut found = Vec::new();
    for window in tokens.windows(3) {
        let stream = ["stdout", "stderr"].iter().any(|name| is(window, [name, "(", ")"]));
        let print = ["print", "println", "eprint", "eprintln", "dbg"];
        if stream || (print.contains(&window[0].text.as_str()) && window[1].text == "!") {
            found.push(window[0].line);
        }
    }
    found
}

/// The lines that ask the process's surroundings.
fn ambient(tokens: &[Token]) -> Vec<(usize, String)> {
    let windows = tokens.windows(3).filter(|window| window[1].text == "::");
    let known =
        windows.filter(|window| AMBIENT.iter().any(|path| path[0] == window[0].text && path[1] == window[2].text));
    known.map(|window| (window[0].line, format!("{}::{}", window[0].text, window[2].text))).collect()
}

/// The checker itself: it lets good code pass, and finds each fault.
mod samples {
    use super::*;

    fn problems(name: &str, source: &str) -> Vec<String> {
        let tower =
            "cmd report serve mirror bundle gather event http env".split(' ').map(str::to_owned).collect::<Vec<_>>();
        check(name, source, &tower)
    }

    #[track_caller]
    fn finds(name: &str, source: &str, expected: &str) {
        let found = problems(name, source);
        assert!(found.len() == 1 && found[0].contains(expected), "expected `{expected}`, found {found:?}");
    }

    #[test]
    fn good_code_passes() {
        let source = r##"//! See [`crate::cmd`]. println!("x")
            use crate::event::Sink;
            use crate::mirror;
            use super::layout;
            /* crate::cmd /* nested */ crate::cmd */
            pub(crate) fn f<'a>(x: &'a str, c: char) -> char { if c == '\'' || c == '"' { x.len(); } 'c' }
            const A: &str = "crate::cmd \" crate::cmd";
            const B: &str = r#"crate::cmd " println!("")"#;
            const C: &[u8] = b"crate::cmd";
            fn run(command: &mut Command) { command.stdout(Stdio::piped()); std::env::consts::OS; }
            #[cfg(test)]
            mod tests { use crate::cmd; fn f() { println!("{}", [1]); std::env::var("X"); } }
        "##;
        assert_eq!(problems("mirror/import.rs", source), [""; 0]);
        assert_eq!(
            problems("cmd/fetch.rs", "use super::Context; use std::env; fn f() { env::current_dir(); }"),
            [""; 0]
        );
    }

    #[test]
    fn a_floor_above_is_found() {
        finds("mirror.rs", "use crate::serve;", "line 1: `serve` lies above `mirror`");
        finds("mirror.rs", "fn f() {\n crate::cmd::run() }", "line 2: `cmd` lies above");
        finds("mirror/import.rs", "use crate::{\n event,\n serve::{a, b},\n};", "line 3: `serve` lies above");
        finds("mirror/import.rs", "use crate::{event::{cmd, report}, cmd};", "`cmd` lies above");
        finds("mirror.rs", "use super::cmd;", "`cmd` lies above");
        finds("mirror/import.rs", "use super::super::{event, cmd};", "`cmd` lies above");
        finds("mirror/import.rs", "#[cfg(test)] mod tests; use crate::cmd;", "`cmd` lies above");
        finds("mirror.rs", "#[cfg(test)] fn f(x: [u8; 2]) {} fn g() { crate::cmd::x() }", "`cmd` lies above");
        finds(
            "mirror.rs",
            "const X: char = '\\''; const Y: u8 = b'\"'; use crate::cmd; const Z: &str = \"\";",
            "`cmd` lies above",
        );
    }

    #[test]
    fn a_forbidden_floor_is_found() {
        finds("bundle/pack.rs", "use crate::http::Client;", "a bundle knows no network");
        finds("serve.rs", "use crate::{bundle, event};", "never a bundle");
        finds("bundle.rs", "use crate::gather;", "where its content came from");
    }

    #[test]
    fn a_room_without_a_floor_or_a_name_is_found() {
        finds("extra.rs", "", "has no `pub mod` line");
        finds("mirror/util.rs", "", "`util` says nothing");
    }

    #[test]
    fn a_print_is_found() {
        finds("mirror.rs", "fn f() { println!(\"\") }", "only src/report.rs prints");
        finds("mirror.rs", "fn f() {\n io::stderr().lock(); }", "line 2: only");
        assert_eq!(problems("report.rs", "fn f() { io::stdout().lock(); }"), [""; 0]);
    }

    #[test]
    fn ambient_things_are_found() {
        finds("mirror.rs", "fn f() { std::env::var(\"HOME\"); }", "`env::var` comes in");
        finds("mirror.rs", "fn f() { jiff::Timestamp::now(); }", "`Timestamp::now` comes in");
    }

    #[test]
    fn a_long_file_needs_its_reason() {
        let long = "fn f() {}\n".repeat(LONGEST + 1);
        finds("mirror.rs", &long, "501 lines of code");
        assert_eq!(problems("mirror.rs", &format!("//! Mirror.\n//! Long because it is a table.\n{long}")), [""; 0]);
        assert_eq!(problems("mirror.rs", &"// A comment.\n\n".repeat(LONGEST)), [""; 0]);
    }
}
