//! Rules that the compiler does not know: which module may refer to which, which may print, how modules are named.
//!
//! The order of the `pub mod` lines in src/lib.rs is the law: a file may refer to its own layer and to those below it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;

use paths::named_paths;
use source::{Token, source_files, tokens, without_tests};

#[path = "layers/cycles.rs"]
mod cycles;
#[path = "layers/language.rs"]
mod language;
#[path = "layers/panics.rs"]
mod panic_safety;
#[path = "layers/paths.rs"]
mod paths;
#[path = "layers/plurals.rs"]
mod plurals;
#[path = "layers/source.rs"]
mod source;

/// Lower layers that a module must not refer to: (module, layer, reason).
const FORBIDDEN_REFERENCES: &[(&str, &str, &str)] = &[
    ("bundle", "http", "a bundle knows no network"),
    ("bundle", "upstream", "a bundle does not know where its content came from"),
    ("bundle", "mirror", "a bundle's reader streams; the mirror places"),
    ("server", "bundle", "what is served is the mirror on disk, never a bundle"),
    ("fetch", "mirror", "the online side has no mirror"),
    ("upstream", "mirror", "the online side has no mirror"),
    ("upstream", "bundle", "a download does not know how it travels"),
];

/// Names that say nothing about what is inside.
const MEANINGLESS_NAMES: &[&str] = &["util", "utils", "common", "helpers", "types", "errors", "misc"];

/// The only file that prints.
const PRINTING_FILE: &str = "terminal.rs";

/// Only these files read the process's environment.
const ENTRY_POINTS: &[&str] = &["main.rs", "commands.rs", "commands/", "env.rs"];

/// What comes from the process's surroundings.
const AMBIENT_APIS: &[&[&str]] = &[
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
const AMBIENT_EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "durable.rs",
    "env::var_os",
    "the crash tests' variable, read by debug builds alone, would burden every signature",
)];

/// What changes files.
const WRITING_APIS: &[&[&str]] = &[
    &["fs", "copy"],
    &["fs", "create_dir"],
    &["fs", "create_dir_all"],
    &["fs", "hard_link"],
    &["fs", "remove_dir"],
    &["fs", "remove_dir_all"],
    &["fs", "remove_file"],
    &["fs", "rename"],
    &["fs", "write"],
    &["durable", "make_folder"],
    &["durable", "rewrite"],
    &["durable", "write"],
    &["durable", "write_via"],
    &["File", "create"],
    &["File", "create_new"],
    &["OpenOptions", "new"],
];

/// The files of `mirror` that change files: (file or folder, why). All others add to a transaction.
const MIRROR_WRITERS: &[(&str, &str)] = &[
    ("mirror/transaction.rs", "it makes the changes of a mirror"),
    ("mirror/transaction/", "the same"),
    ("mirror/staging.rs", "its files have no public name"),
    ("mirror/guard.rs", "the name of the lock's holder"),
    ("mirror/lock.rs", "the lock file and its holder's name"),
    ("mirror/layout.rs", "the version of the layout, before any transaction"),
    ("mirror/disk_reserve.rs", "the content of the reserve has no meaning"),
    ("mirror/watcher_state.rs", "the watcher's own state, which needs no lock"),
    ("mirror/live/partial.rs", "downloads in progress"),
    ("mirror/live/commit.rs", "removes these downloads"),
    ("mirror/index_link.rs", "tries whether the file system has links, and removes a moved copy of the index"),
    ("mirror/snapshot.rs", "writes outside of the mirror"),
    ("mirror/export/", "writes outside of the mirror"),
];

/// Lines of code that a file may have without a word about it.
const MAX_CODE_LINES: usize = 500;

/// How the `//!` page of a longer file gives its reason.
const LENGTH_REASON_PREFIX: &str = "//! Long because ";

#[test]
fn source_files_follow_the_architecture_rules() {
    let files = source_files();
    let layers = layers(&files.iter().find(|file| file.name == "lib.rs").unwrap().text);
    assert!(layers.len() > 10, "the layers were not read from src/lib.rs: {layers:?}");
    let problems: Vec<String> = files.iter().flat_map(|file| check(&file.name, &file.text, &layers)).collect();
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn every_tests_file_contains_only_tests() {
    let files = source_files();
    for parent in files.iter().filter_map(|file| file.name.strip_suffix("/tests.rs")) {
        let parent = files.iter().find(|file| file.name == format!("{parent}.rs")).unwrap();
        let declared = parent.text.contains("#[cfg(test)]\nmod tests;");
        assert!(declared, "src/{} does not declare its tests behind `#[cfg(test)]`", parent.name);
    }
}

/// The layers, top first.
fn layers(lib: &str) -> Vec<String> {
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    modules.map(str::to_owned).collect()
}

/// Everything that is wrong with the file `name` (its path below src/).
fn check(name: &str, source: &str, layers: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut problem = |text: String| problems.push(format!("src/{name}: {text}"));
    for part in name.trim_end_matches(".rs").split('/') {
        if MEANINGLESS_NAMES.contains(&part) {
            problem(format!("`{part}` says nothing about what is inside"));
        }
    }
    let all = tokens(source);
    let lines: BTreeSet<usize> = all.iter().map(|token| token.line).collect();
    let reason =
        source.lines().take_while(|line| line.starts_with("//!")).any(|line| line.starts_with(LENGTH_REASON_PREFIX));
    if lines.len() > MAX_CODE_LINES && !reason {
        problem(format!("{} lines of code: split it, or give the reason as `{LENGTH_REASON_PREFIX}…`", lines.len()));
    }
    // A module's tests in a file of their own; `every_tests_file_contains_only_tests` sees that it is nothing else.
    if name.ends_with("/tests.rs") {
        return problems;
    }
    let code = without_tests(&all);
    if name != PRINTING_FILE {
        for line in printing_lines(&code) {
            problem(format!("line {line}: only src/{PRINTING_FILE} prints"));
        }
    }
    if !ENTRY_POINTS.iter().any(|entry| name == *entry || (entry.ends_with('/') && name.starts_with(entry))) {
        for (line, what) in uses(&code, AMBIENT_APIS) {
            if AMBIENT_EXCEPTIONS.iter().any(|(file, allowed, _)| (*file, *allowed) == (name, what.as_str())) {
                continue;
            }
            problem(format!("line {line}: `{what}` comes in through src/commands, as a parameter"));
        }
    }
    let is_writer = |entry: &str| name == entry || (entry.ends_with('/') && name.starts_with(entry));
    if name.starts_with("mirror/") && !MIRROR_WRITERS.iter().any(|(entry, _)| is_writer(entry)) {
        for (line, what) in uses(&code, WRITING_APIS) {
            problem(format!("line {line}: `{what}` changes a mirror outside of a transaction"));
        }
    }
    let own = name.trim_end_matches(".rs").split('/').next().unwrap_or_default();
    let height = |module: &str| layers.iter().position(|layer| layer == module);
    if name == "lib.rs" || name == "main.rs" {
        return problems;
    }
    let Some(own_height) = height(own) else {
        problem(format!("`{own}` has no `pub mod` line in src/lib.rs"));
        return problems;
    };
    let depth = name.split('/').count();
    let references: BTreeSet<(usize, String)> =
        named_paths(&code).iter().filter_map(|path| Some((path.line, path.layer(depth)?.to_owned()))).collect();
    for (line, other) in references {
        if height(&other).is_some_and(|other_height| other_height < own_height) {
            problem(format!("line {line}: `{other}` lies above `{own}`"));
        }
        if let Some((_, _, why)) =
            FORBIDDEN_REFERENCES.iter().find(|(who, whom, _)| (*who, *whom) == (own, other.as_str()))
        {
            problem(format!("line {line}: `{own}` may not name `{other}`: {why}"));
        }
    }
    problems
}

/// The lines that print or take hold of stdout or stderr.
fn printing_lines(tokens: &[Token]) -> Vec<usize> {
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

/// The lines that use one of these.
fn uses(tokens: &[Token], apis: &[&[&str]]) -> Vec<(usize, String)> {
    let windows = tokens.windows(3).filter(|window| window[1].text == "::");
    let known = windows.filter(|window| apis.iter().any(|path| path[0] == window[0].text && path[1] == window[2].text));
    known.map(|window| (window[0].line, format!("{}::{}", window[0].text, window[2].text))).collect()
}

/// The checker itself: it lets good code pass, and finds each fault.
mod samples {
    use super::*;

    fn problems(name: &str, source: &str) -> Vec<String> {
        let layers = "commands terminal server mirror bundle upstream event http env"
            .split(' ')
            .map(str::to_owned)
            .collect::<Vec<_>>();
        check(name, source, &layers)
    }

    #[track_caller]
    fn assert_finds(name: &str, source: &str, expected: &str) {
        let found = problems(name, source);
        assert!(found.len() == 1 && found[0].contains(expected), "expected `{expected}`, found {found:?}");
    }

    #[test]
    fn good_code_passes() {
        let source = r##"//! See [`crate::commands`]. println!("x")
            use crate::event::Sink;
            use crate::mirror;
            use super::layout;
            /* crate::commands /* nested */ crate::commands */
            pub(crate) fn f<'a>(x: &'a str, c: char) -> char { if c == '\'' || c == '"' { x.len(); } 'c' }
            const A: &str = "crate::commands \" crate::commands";
            const B: &str = r#"crate::commands " println!("")"#;
            const C: &[u8] = b"crate::commands";
            fn run(command: &mut Command) { command.stdout(Stdio::piped()); std::env::consts::OS; }
            #[cfg(test)]
            mod tests { use crate::commands; fn f() { println!("{}", [1]); std::env::var("X"); } }
        "##;
        assert_eq!(problems("mirror/import.rs", source), [""; 0]);
        assert_eq!(
            problems("commands/fetch.rs", "use super::Context; use std::env; fn f() { env::current_dir(); }"),
            [""; 0]
        );
    }

    #[test]
    fn a_reference_to_an_upper_layer_is_found() {
        assert_finds("mirror.rs", "use crate::server;", "line 1: `server` lies above `mirror`");
        assert_finds("mirror.rs", "fn f() {\n crate::commands::run() }", "line 2: `commands` lies above");
        assert_finds(
            "mirror/gc.rs",
            "fn f() { fs::rename(a, b) }",
            "`fs::rename` changes a mirror outside of a transaction",
        );
        assert_finds("mirror/import.rs", "use crate::{\n event,\n server::{a, b},\n};", "line 3: `server` lies above");
        assert_finds(
            "mirror/import.rs",
            "use crate::{event::{commands, terminal}, commands};",
            "`commands` lies above",
        );
        assert_finds("mirror.rs", "use super::commands;", "`commands` lies above");
        assert_finds("mirror/import.rs", "use super::super::{event, commands};", "`commands` lies above");
        assert_finds("mirror/import.rs", "#[cfg(test)] mod tests; use crate::commands;", "`commands` lies above");
        assert_finds(
            "mirror.rs",
            "#[cfg(test)] fn f(x: [u8; 2]) {} fn g() { crate::commands::x() }",
            "`commands` lies above",
        );
        assert_finds(
            "mirror.rs",
            "const X: char = '\\''; const Y: u8 = b'\"'; use crate::commands; const Z: &str = \"\";",
            "`commands` lies above",
        );
    }

    #[test]
    fn a_forbidden_reference_is_found() {
        assert_finds("bundle/pack.rs", "use crate::http::Client;", "a bundle knows no network");
        assert_finds("server.rs", "use crate::{bundle, event};", "never a bundle");
        assert_finds("bundle.rs", "use crate::upstream;", "where its content came from");
    }

    #[test]
    fn a_module_without_a_layer_or_a_meaningful_name_is_found() {
        assert_finds("extra.rs", "", "has no `pub mod` line");
        assert_finds("mirror/util.rs", "", "`util` says nothing");
    }

    #[test]
    fn printing_outside_the_terminal_module_is_found() {
        assert_finds("mirror.rs", "fn f() { println!(\"\") }", "only src/terminal.rs prints");
        assert_finds("mirror.rs", "fn f() {\n io::stderr().lock(); }", "line 2: only");
        assert_eq!(problems("terminal.rs", "fn f() { io::stdout().lock(); }"), [""; 0]);
    }

    #[test]
    fn ambient_access_is_found() {
        assert_finds("mirror.rs", "fn f() { std::env::var(\"HOME\"); }", "`env::var` comes in");
        assert_finds("mirror.rs", "fn f() { jiff::Timestamp::now(); }", "`Timestamp::now` comes in");
    }

    #[test]
    fn a_long_file_needs_a_reason() {
        let long = "fn f() {}\n".repeat(MAX_CODE_LINES + 1);
        assert_finds("mirror.rs", &long, "501 lines of code");
        assert_eq!(problems("mirror.rs", &format!("//! Mirror.\n//! Long because it is a table.\n{long}")), [""; 0]);
        assert_eq!(problems("mirror.rs", &"// A comment.\n\n".repeat(MAX_CODE_LINES)), [""; 0]);
    }
}
