//! What a user reads: the help of every verb under both spellings, completions, man pages.
//!
//! Refresh the snapshots with `SNAPSHOTS=overwrite cargo test --test it help`, the generated files with
//! `cargo xtask gen`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::commands::examples::examples_of;
use frostmirror::commands::help::Topic;
use frostmirror::env::VARIABLES;
use frostmirror::error_report::exit_codes;
use snapbox::Data;
use snapbox::data::DataFormat;

use crate::support::process::write_program;
use crate::support::sandbox::Sandbox;

fn verbs() -> Vec<String> {
    let command = frostmirror::cli::command();
    command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
}

/// The forms of verbs that have some, each with its verb.
fn subverbs() -> Vec<(String, String)> {
    let command = frostmirror::cli::command();
    let forms = command
        .get_subcommands()
        .flat_map(|verb| verb.get_subcommands().map(|form| (verb.get_name().to_owned(), form.get_name().to_owned())));
    forms.collect()
}

fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares with tests/it/snapshots/help/NAME.txt, or writes it where SNAPSHOTS is `overwrite`.
#[track_caller]
fn assert_snapshot(name: &str, actual: &str) {
    let path = manifest_dir().join("tests/it/snapshots/help").join(format!("{name}.txt"));
    let expected = Data::read_from(&path, Some(DataFormat::Text));
    snapbox::Assert::new().action_env("SNAPSHOTS").eq(actual, expected.raw());
}

/// Runs `words` under both spellings; what both print.
#[track_caller]
fn help_text(sandbox: &Sandbox, args: &[&str]) -> String {
    let direct = sandbox.run(args).ok();
    let through_cargo = sandbox.run(["frostmirror"].iter().chain(args)).ok();
    assert_eq!(direct.stderr, "");
    assert_eq!(direct.stdout, through_cargo.stdout);
    direct.stdout
}

/// Every verb, every subcommand of one, and the program itself as an empty path.
fn paths() -> Vec<Vec<String>> {
    let verbs = verbs().into_iter().map(|verb| vec![verb]);
    let nested = subverbs().into_iter().map(|(verb, form)| vec![verb, form]);
    verbs.chain(nested).chain([Vec::new()]).collect()
}

#[test]
fn every_help_text_matches_its_snapshot() {
    let sandbox = Sandbox::new();
    assert!(verbs().len() > 10);
    let mut expected = BTreeSet::new();
    for path in paths() {
        let name = if path.is_empty() { "cargo-frostmirror".to_owned() } else { path.join("-") };
        let args = |flag| path.iter().map(String::as_str).chain([flag]).collect::<Vec<_>>();
        assert_snapshot(&name, &help_text(&sandbox, &args("--help")));
        assert_snapshot(&format!("{name}-h"), &help_text(&sandbox, &args("-h")));
        expected.extend([format!("{name}.txt"), format!("{name}-h.txt")]);
    }
    for topic in Topic::ALL {
        assert_snapshot(topic.name(), &help_text(&sandbox, &["help", topic.name()]));
        expected.insert(format!("{}.txt", topic.name()));
    }
    let folder = fs::read_dir(manifest_dir().join("tests/it/snapshots/help")).unwrap();
    let found: BTreeSet<String> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, expected, "a snapshot of a verb that is gone");
}

#[test]
fn short_help_fits_a_screen_with_one_line_per_option() {
    for columns in ["80", "100"] {
        let sandbox = Sandbox::new().env("COLUMNS", columns);
        for path in paths() {
            let args: Vec<&str> = path.iter().map(String::as_str).chain(["-h"]).collect();
            let text = help_text(&sandbox, &args);
            assert!(text.lines().count() <= 40, "{columns} columns:\n{text}");
            assert!(text.lines().all(|line| line.len() <= columns.parse().unwrap()), "{text}");
            // Only a list of possible values may continue on a second line.
            let lines: Vec<&str> = text.lines().take_while(|line| !line.starts_with("See also")).collect();
            let continued = lines.windows(2).find(|pair| {
                pair[1].starts_with("          ") && !pair[1].trim().starts_with("--") && !pair[0].contains("[possible")
            });
            assert!(columns == "80" || continued.is_none(), "{path:?}: {continued:?}");
        }
    }
}

#[test]
fn long_help_refers_to_global_options_and_exit_codes_and_ends_with_examples() {
    let sandbox = Sandbox::new();
    for path in paths() {
        let args: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let text = help_text(&sandbox, &args);
        let (before, examples) = text.split_once("\nEXAMPLES:\n").unwrap_or_else(|| panic!("{text}"));
        assert!((2..=4).contains(&examples.split("\n\n").count()), "{text}");
        assert!(before.contains("cargo frostmirror help exit-codes"), "{text}");
        let shows_globals = before.contains("--message-format");
        assert_eq!(shows_globals, path.is_empty(), "{text}");
        assert_eq!(before.contains("cargo frostmirror help global-options"), !path.is_empty(), "{text}");
    }
}

/// Each example runs in bash as printed, with programs that only note their arguments. These are then parsed.
#[test]
fn examples_are_valid_command_lines() {
    let sandbox = Sandbox::new();
    for name in ["cargo", "cargo-frostmirror"] {
        let note = format!("#!/bin/sh\nprintf '%s\\n' {name} \"$@\" >> noted\n");
        write_program(&sandbox.path("bin").join(name), note.as_bytes());
    }
    write_program(&sandbox.path("bin/man"), b"#!/bin/sh\ncat > /dev/null\n");
    let bin = sandbox.path("bin");
    let sandbox = sandbox.env("PATH", &format!("{}:/usr/bin:/bin", bin.to_str().unwrap()));
    sandbox.write("20260402-2130-crates.pkg", "");
    for path in paths() {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        for example in examples_of(&path) {
            // A line of the help is indented by four columns, and must not be broken on a narrow terminal.
            assert!(example.command.lines().all(|line| line.len() <= 76), "{example:?}");
            assert!(example.about.ends_with(':'), "{example:?}");
            let noted = sandbox.path("noted");
            fs::write(&noted, "").unwrap();
            // A pipe into `source` fails in bash, but the program on its left has run.
            sandbox.other_program("bash", ["-c", &format!("{}\nwait\ntrue", example.command)]).run().ok();
            let noted = fs::read_to_string(&noted).unwrap();
            let args: Vec<&str> = noted.lines().filter(|arg| *arg != "frostmirror").collect();
            assert!(!args.is_empty(), "{example:?}");
            let parsed = frostmirror::cli::command().try_get_matches_from(&args);
            let parsed = parsed.unwrap_or_else(|error| panic!("{}: {error}", example.command));
            if let [verb, ..] = path[..] {
                assert_eq!(parsed.subcommand_name(), Some(verb), "{example:?}");
            }
        }
    }
}

#[test]
fn topics_of_help_show_the_tables_of_the_code() {
    let sandbox = Sandbox::new();
    let codes = help_text(&sandbox, &["help", "exit-codes"]);
    for (code, meaning) in exit_codes() {
        let first_words = format!("{code:>5}  {}", meaning.split(',').next().unwrap());
        assert!(codes.lines().any(|line| line.starts_with(&first_words)), "{first_words}\n{codes}");
    }
    let variables = help_text(&sandbox, &["help", "environment"]);
    for variable in VARIABLES {
        assert!(variables.contains(&format!("  {} ({})\n", variable.name, variable.verbs)), "{variables}");
    }
    let options = help_text(&sandbox, &["help", "global-options"]);
    for name in ["--verbose", "--quiet", "--color", "--message-format"] {
        assert!(options.contains(name), "{options}");
    }
}

#[test]
fn help_suggests_the_nearest_verb_topic_or_subcommand() {
    let sandbox = Sandbox::new();
    for (args, suggested) in [
        (&["help", "exit-code"][..], "exit-codes"),
        (&["help", "fetsch"], "fetch"),
        (&["help", "export", "vender"], "vendor"),
    ] {
        sandbox.run(args).exits(2).stderr_has(&format!("'{suggested}'"));
    }
}

#[test]
fn help_does_not_show_environment_values() {
    let secret = "do-not-print-this";
    let names =
        ["FROSTMIRROR_MODE", "FROSTMIRROR_OUTPUT", "FROSTMIRROR_BASE_URL", "FROSTMIRROR_BIND", "FROSTMIRROR_MIRROR"];
    let sandbox = names.iter().fold(Sandbox::new(), |sandbox, name| sandbox.env(name, secret));
    for verb in verbs() {
        let text = help_text(&sandbox, &[&verb, "--help"]);
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn help_works_as_a_cargo_subcommand() {
    let sandbox = Sandbox::new();
    for (args, flag) in [(&["help", "fetch"][..], &["fetch", "--help"][..]), (&["help"], &["--help"])] {
        assert_eq!(sandbox.run(args).ok().stdout, help_text(&sandbox, flag));
    }
    let nested = ["help", "export", "snapshot"];
    assert_eq!(sandbox.run(nested).ok().stdout, sandbox.run(["export", "snapshot", "--help"]).ok().stdout);
}

#[test]
fn invalid_arguments_exit_with_2() {
    let sandbox = Sandbox::new();
    for args in [
        &["nonsense"][..],
        &["help", "nonsense"],
        &["fetch", "--nonsense"],
        &[],
        &["completions"],
        &["completions", "tcsh"],
    ] {
        let run = sandbox.run(args).exits(2);
        assert_eq!(run.stdout, "", "{args:?}");
        assert!(!run.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn the_version_is_the_package_version() {
    let run = Sandbox::new().run(["--version"]).ok();
    assert_eq!(run.line(), concat!("cargo-frostmirror ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_match_the_committed_files() {
    let sandbox = Sandbox::new();
    let shells = [
        ("bash", "cargo-frostmirror.bash"),
        ("zsh", "_cargo-frostmirror"),
        ("fish", "cargo-frostmirror.fish"),
        ("powershell", "_cargo-frostmirror.ps1"),
        ("elvish", "cargo-frostmirror.elv"),
    ];
    for (shell, file) in shells {
        let committed = fs::read_to_string(manifest_dir().join("completions").join(file)).unwrap();
        let fresh = sandbox.run(["completions", shell]).ok().stdout;
        assert!(fresh == committed, "completions/{file} is out of date; refresh it with: cargo xtask gen");
    }
}

#[test]
fn man_pages_match_the_committed_files() {
    let sandbox = Sandbox::new();
    sandbox.run(["man", "pages"]).ok();
    let files = |folder: PathBuf| -> Vec<(String, String)> {
        let read = |path: PathBuf| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        };
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| read(entry.unwrap().path())).collect();
        files.sort();
        files
    };
    let fresh = files(sandbox.path("pages"));
    assert_eq!(fresh.len(), verbs().len() + subverbs().len() + 1);
    let committed = files(manifest_dir().join("completions/man"));
    assert!(fresh == committed, "completions/man is out of date; refresh it with: cargo xtask gen");
    let first = sandbox.run(["man"]).ok().stdout;
    assert_eq!(Some(&first), fresh.iter().find(|(name, _)| name == "cargo-frostmirror.1").map(|(_, page)| page));
}

#[test]
fn every_man_page_has_the_sections_of_man_pages_7() {
    let pages = frostmirror::commands::man::render_pages(frostmirror::cli::command());
    for (name, page) in &pages {
        let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        let expected = [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "EXIT STATUS",
            "ENVIRONMENT",
            "FILES",
            "EXAMPLES",
            "SEE ALSO",
        ];
        let found: Vec<&str> = sections.into_iter().filter(|title| expected.contains(title)).collect();
        assert_eq!(found, expected, "{name}");
        // Each section says something, and each reference is to a page that exists.
        assert!(!page.contains("\n.SH EXAMPLES\n.SH"), "{name}");
        let (_, see_also) = page.split_once("\n.SH SEE ALSO\n").unwrap();
        let own = see_also.lines().filter_map(|line| line.strip_prefix("\\fBcargo\\-frostmirror"));
        for rest in own.filter_map(|line| line.split_once("\\fR(1)")).map(|(rest, _)| rest.replace('\\', "")) {
            let file = format!("cargo-frostmirror{rest}.1");
            assert!(pages.iter().any(|(name, _)| *name == file), "{name} refers to {file}");
        }
    }
}

#[test]
#[ignore = "needs mandoc"]
fn mandoc_finds_no_fault_in_the_man_pages() {
    let sandbox = Sandbox::new();
    sandbox.run(["man", "pages"]).ok();
    let lint = "mandoc -T lint -W warning pages/*.1";
    let run = sandbox.other_program("sh", ["-c", lint]).run();
    // A date would change the committed files from day to day.
    let faults: Vec<&str> = run.stdout.lines().filter(|line| !line.contains("missing date")).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(run.stdout.lines().count(), paths().len(), "{}", run.stdout);
}
