//! Failures exactly as a user sees them: what was being done, to which file or crate, why it failed, what to do next.
//!
//! Refresh with `SNAPSHOTS=overwrite cargo test --test it failures`, and read each of them aloud.

mod fetching;
mod user_input;
mod offline;

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
    // A cause that is told twice. Source lines and carets may repeat.
    let is_source = |line: &str| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|');
    let causes = run.stderr.lines().map(str::trim).filter(|line| line.len() > 12 && !is_source(line));
    let causes: Vec<&str> = causes.collect();
    for (place, cause) in causes.iter().enumerate() {
        let again = causes[place + 1..].iter().find(|other| other.contains(cause));
        assert!(again.is_none(), "{name}: told twice: {cause}\n{text}");
    }
    for ours in ["[ROOT]/tmp", "frostmirror-client-", "panicked", "frostmirror-snapshot", "frostmirror-scratch"] {
        assert!(!text.contains(ours), "{name}: `{ours}` is private\n{text}");
    }
}
