//! Failures exactly as a user sees them: what was being done, to which file or crate, why it failed, what to do next.
//!
//! Refresh with `SNAPSHOTS=overwrite cargo test --test it failures`, and read each of them aloud.

mod fetching;
mod user_input;
mod offline;

use std::fs;
use std::path::Path;

use snapbox::Data;
use snapbox::data::DataFormat;

use crate::support::process::{Process, Run};
use crate::support::sandbox::Sandbox;

/// Runs `words`, and compares what a user sees with tests/it/snapshots/failures/NAME.txt.
#[track_caller]
fn assert_failure(sandbox: &Sandbox, name: &str, code: i32, args: &[&str]) {
    check_failure(sandbox, name, code, args, sandbox.process(args));
}

/// The same in a folder below the one where commands run.
#[track_caller]
fn assert_failure_in(sandbox: &Sandbox, folder: &Path, name: &str, code: i32, args: &[&str]) {
    check_failure(sandbox, name, code, args, sandbox.process_in(folder, args));
}

#[track_caller]
fn check_failure(sandbox: &Sandbox, name: &str, code: i32, args: &[&str], process: Process) {
    let run = process.run();
    let text = redact(sandbox, &visible_output(args, &run));
    assert_well_formed_error(name, &run, &text);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/snapshots/failures/{name}.txt"));
    let expected = Data::read_from(&path, Some(DataFormat::Text));
    snapbox::Assert::new().action_env("SNAPSHOTS").eq(text, expected.raw());
    run.exits(code);
}

fn visible_output(args: &[&str], run: &Run) -> String {
    let stdout = if run.stdout.is_empty() { String::new() } else { format!("--- stdout\n{}", run.stdout) };
    format!("$ cargo frostmirror {}\n--- exit {}\n{stdout}--- stderr\n{}", args.join(" "), run.code, run.stderr)
}

/// Paths, ports and digests of this run are made the same every time.
fn redact(sandbox: &Sandbox, text: &str) -> String {
    // A port that is named without its host.
    let text = match text.split_once("listens on port ") {
        Some((before, after)) => {
            // The process that listens is this test; only some systems name it.
            let before = before.rsplit_once("hint: ").map_or(before, |(start, _)| start);
            let after = after.trim_start_matches(|char: char| char.is_ascii_digit());
            format!("{before}hint: [PROCESS] listens on port [PORT]{after}")
        }
        None => text.to_owned(),
    };
    let mut out = String::new();
    let mut digits = String::new();
    for char in sandbox.redact(&text).chars().chain(['\n']) {
        if char.is_ascii_hexdigit() {
            digits.push(char);
            continue;
        }
        out.push_str(if digits.len() == 64 { "[SHA256]" } else { &digits });
        digits.clear();
        out.push(char);
    }
    out.pop();
    out
}

/// A hint names only options that the command has: that of the failed verb, or the one that the hint spells out.
#[track_caller]
fn assert_hint_options(name: &str, text: &str) {
    let failed = text.lines().next().and_then(|line| line.strip_prefix("$ cargo frostmirror ")).unwrap_or_default();
    let hint = text.rsplit_once("\nhint: ").map_or("", |(_, hint)| hint);
    let mut verb = failed.split(' ').next().unwrap_or_default().to_owned();
    for (number, part) in hint.split('`').enumerate() {
        // Every second part is in backticks. Other programs have their own options.
        let (is_code, is_program) = (number % 2 == 1, !part.starts_with('-'));
        if let (true, Some(command)) = (is_code, part.strip_prefix("cargo frostmirror ")) {
            command.split(' ').next().unwrap_or_default().clone_into(&mut verb);
        } else if is_code && is_program {
            continue;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/snapshots/help/{verb}.txt"));
        for option in part.split([' ', '\n', ',', ';', ')']).filter(|term| term.starts_with("--")) {
            let help = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {}: {error}", path.display()));
            let option = option.trim_end_matches('.');
            assert!(help.contains(&format!(" {option}")), "{name}: `{verb}` has no {option}\n{text}");
        }
    }
}

#[test]
fn a_hint_with_an_option_of_another_verb_is_detected() {
    let text = |hint: &str| format!("$ cargo frostmirror up --offline\nerror: x\n\nhint: {hint}\n");
    assert_hint_options("good", &text("run `cargo frostmirror fetch` with --skip-git, or `rustc --print target-list`"));
    let result = std::panic::catch_unwind(|| assert_hint_options("bad", &text("exclude them with --skip-git")));
    assert!(result.is_err(), "`up` has no --skip-git");
}

/// What holds for every failure, whatever it says.
#[track_caller]
fn assert_well_formed_error(name: &str, run: &Run, text: &str) {
    let clap = run.code == 2;
    let lines: Vec<&str> = run.stderr.lines().collect();
    let errors: Vec<usize> = (0..lines.len()).filter(|&at| lines[at].starts_with("error: ")).collect();
    // Several errors are errors of lines of one file.
    let is_located = |at: &usize| lines.get(at + 1).is_some_and(|next| next.trim_start().starts_with("--> "));
    assert!(errors.len() == 1 || (errors.len() > 1 && errors.iter().all(is_located)), "{name}: one error\n{text}");
    assert!(clap || run.stderr.contains("\nhint: "), "{name}: what to do next is missing\n{text}");
    assert_ne!(run.code, 1, "{name}: a failure is never a bug of ours\n{text}");
    // A cause that is printed twice. Source lines and carets may repeat.
    let is_source = |line: &str| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|');
    let causes = run.stderr.lines().map(str::trim).filter(|line| line.len() > 12 && !is_source(line));
    let causes: Vec<&str> = causes.collect();
    for (place, cause) in causes.iter().enumerate() {
        let again = causes[place + 1..].iter().find(|other| other.contains(cause));
        assert!(again.is_none(), "{name}: told twice: {cause}\n{text}");
    }
    assert_hint_options(name, text);
    for ours in ["[ROOT]/tmp", "frostmirror-client-", "panicked", "frostmirror-snapshot", "frostmirror-scratch"] {
        assert!(!text.contains(ours), "{name}: `{ours}` is private\n{text}");
    }
}
